//! The embedded store on a real directory.
//!
//! Cargo builds RocksDB anew when the features of its build tools differ, and they depend on which packages are
//! selected. To share the build of the binary: `cargo test -p portcullis -p portcullis-store-rocksdb --test rocksdb`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what helps a test may fail loudly too"
)]

mod crash;
mod directory;

use portcullis_store::{Log, Table};
use portcullis_store_rocksdb::Store;
use std::sync::Arc;
use tempfile::TempDir;

fn fresh() -> (Store, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Store::open(&directory.path().join("store")).unwrap(), directory)
}

fn log() -> (Arc<dyn Log>, TempDir) {
    let (store, directory) = fresh();
    (store.log(), directory)
}

fn table() -> (Arc<dyn Table>, TempDir) {
    let (store, directory) = fresh();
    (store.table(), directory)
}

mod conform {
    portcullis_store::conform! { log: super::log, table: super::table }
}
