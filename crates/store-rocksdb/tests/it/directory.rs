//! What is made on the disk, who may open it, and what a full disk does.

use crate::fresh;
use bytes::Bytes;
use portcullis_store::conform::blocking;
use portcullis_store::{Entry, Expect, Put, StoreError, Sync};
use portcullis_store_rocksdb::{Options, Store};
use std::os::unix::fs::PermissionsExt as _;

fn one(key: &'static str) -> [Entry; 1] {
    [Entry { key: key.into(), value: "value".into() }]
}

#[test]
fn the_directory_is_the_owners_alone() {
    let (_store, directory) = fresh();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(directory.path().join("store")), 0o700);
    assert_eq!(mode(directory.path().join("store/portcullis.lock")), 0o600);
}

#[test]
fn one_writer_or_many_readers() {
    let (store, directory) = fresh();
    let path = directory.path().join("store");
    assert!(matches!(Store::open(&path), Err(StoreError::InUse)));
    assert!(matches!(Store::open_read_only(&path), Err(StoreError::InUse)));
    let log = store.log();
    drop(store);
    assert!(matches!(Store::open(&path), Err(StoreError::InUse)), "a log keeps the store open");
    drop(log);
    let reader = Store::open_read_only(&path).unwrap();
    let _another = Store::open_read_only(&path).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::InUse)));
    drop(reader);
}

#[test]
fn everything_is_there_after_it_was_closed() {
    let (store, directory) = fresh();
    let path = directory.path().join("store");
    assert_eq!(store.log().append(&one("a"), Sync::Buffered).unwrap(), 1);
    let table = store.table();
    let put = blocking(table.put("k".into(), "v".into(), Expect::Absent, None)).unwrap();
    drop((table, store));

    let store = Store::open_read_only(&path).unwrap();
    assert_eq!(store.log().get(b"a").unwrap(), Some(Bytes::from_static(b"value")));
    assert_eq!(store.log().scan_back(b"", None, 9).unwrap(), one("a"));
    let table = store.table();
    let row = blocking(table.get(b"k")).unwrap().unwrap();
    assert_eq!((row.value, Put::Done(row.version)), (Bytes::from_static(b"v"), put));
    assert!(matches!(store.log().append(&one("b"), Sync::Durable), Err(StoreError::Unavailable(_))));
    assert!(blocking(table.put("k".into(), "w".into(), Expect::Any, None)).is_err());
    drop((table, store));

    let store = Store::open(&path).unwrap();
    assert_eq!(store.log().append(&one("b"), Sync::Durable).unwrap(), 2, "positions go on");
    let table = store.table();
    let again = blocking(table.put("k".into(), "w".into(), Expect::Any, None)).unwrap();
    let (Put::Done(first), Put::Done(second)) = (put, again) else { panic!("refused") };
    assert!(second > first, "versions go on");
}

#[test]
fn reading_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("absent");
    assert!(matches!(Store::open_read_only(&path), Err(StoreError::Unavailable(_))));
    assert!(!path.exists());
}

#[test]
fn a_nearly_full_disk_is_full() {
    let (store, directory) = fresh();
    store.log().append(&one("a"), Sync::Durable).unwrap();
    drop(store);
    let full = Options { reserve: u64::MAX };
    let path = directory.path().join("store");
    assert!(matches!(Store::open_with(&path, full), Err(StoreError::Full)));
    assert!(Store::open_with(&path, Options { reserve: 0 }).is_ok());
}

#[test]
fn a_place_that_is_no_directory_is_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "x").unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Unavailable(_))));
}

#[test]
fn a_damaged_database_is_said_to_be() {
    let (store, directory) = fresh();
    let path = directory.path().join("store");
    drop(store);
    std::fs::write(path.join("CURRENT"), "nonsense").unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Damaged(_) | StoreError::Unavailable(_))));
}
