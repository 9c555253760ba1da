//! The embedded store: one RocksDB in the data directory, behind the two traits of `store`.
//!
//! ```no_run
//! # fn main() -> Result<(), portcullis_store::StoreError> {
//! use portcullis_store_rocksdb::Store;
//! let store = Store::open(std::path::Path::new("data/store"))?;
//! let (log, table) = (store.log(), store.table());
//! # Ok(()) }
//! ```
//! Promises: a batch is one write of RocksDB's write-ahead log, synced before a durable append or a put returns; the
//! directory is made 0700; one process writes at a time ([`StoreError::InUse`] for the others), readers may open a
//! directory that no process writes; a nearly full disk is [`StoreError::Full`] while there is still room for the
//! database itself to stay whole. Does not promise: that bytes on the disk are unaltered beyond RocksDB's checksums.
//!
//! Held by: `conform!` over a fresh directory, and `tests/it` (`kill -9`, locking, a full disk, what a reader sees).

mod database;
mod log;
mod space;
mod table;

use database::{Access, Database};
use portcullis_store::{Log, StoreError, Table};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Writes are refused as [`StoreError::Full`] while the disk has fewer free bytes than this.
    pub reserve: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { reserve: 128 * 1024 * 1024 }
    }
}

/// An open store. What [`Store::log`] and [`Store::table`] hand out keeps it open.
#[derive(Clone)]
pub struct Store {
    log: Arc<log::RocksLog>,
    table: Arc<table::RocksTable>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in this directory, making it where there is none. Blocks.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another process has it, and any other [`StoreError`].
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_with(directory, Options::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(directory: &Path, options: Options) -> Result<Self, StoreError> {
        Self::over(Database::open(directory, Access::Write { reserve: options.reserve })?)
    }

    /// Opens the store for reading, for offline work while no gateway runs; nothing in the directory is changed. Several
    /// readers may have it open at once. Blocks.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while a process writes it, [`StoreError::Unavailable`] where there is none, and any other.
    /// Writing to it is [`StoreError::Unavailable`].
    pub fn open_read_only(directory: &Path) -> Result<Self, StoreError> {
        Self::over(Database::open(directory, Access::Read)?)
    }

    fn over(database: Database) -> Result<Self, StoreError> {
        let database = Arc::new(database);
        let log = Arc::new(log::RocksLog::new(Arc::clone(&database))?);
        let table = Arc::new(table::RocksTable::new(database)?);
        Ok(Self { log, table })
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> Arc<dyn Log> {
        Arc::<log::RocksLog>::clone(&self.log)
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> Arc<dyn Table> {
        Arc::<table::RocksTable>::clone(&self.table)
    }
}
