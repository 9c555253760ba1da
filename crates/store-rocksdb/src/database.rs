//! The one RocksDB under both traits: opening, locking, options, and its errors as ours.
//!
//! Column families: `log` and `table` hold what the traits put in them, `counters` the two numbers that must outlive a
//! process and are written with whatever moves them.

use crate::space::Space;
use bytes::Bytes;
use portcullis_store::{StoreError, prefix_end};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Direction,
    ErrorKind, IteratorMode, LogLevel, Options, ReadOptions, WriteBatch, WriteOptions,
};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The file whose lock says who has the store: shared by readers, exclusive to a writer.
const LOCK: &str = "portcullis.lock";
const COUNTERS: &str = "counters";

/// What the store is opened for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access {
    Read,
    Write { reserve: u64 },
}

/// A column family by name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Family {
    Log,
    Table,
}

impl Family {
    const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Table => "table",
        }
    }
}

pub(crate) struct Database {
    db: DB,
    /// `None` where it is open for reading only.
    space: Option<Space>,
    /// Closed after the database is, being declared after it.
    _lock: File,
}

impl Database {
    pub(crate) fn open(directory: &Path, access: Access) -> Result<Self, StoreError> {
        let lock = lock(directory, access)?;
        let options = options();
        let families = || {
            [Family::Log.name(), Family::Table.name(), COUNTERS]
                .map(|name| ColumnFamilyDescriptor::new(name, family_options()))
        };
        let (db, space) = match access {
            Access::Read => (DB::open_cf_descriptors_read_only(&options, directory, families(), false), None),
            Access::Write { reserve } => {
                let space = Space::new(directory, reserve);
                if !space.is_enough() {
                    return Err(StoreError::Full);
                }
                (DB::open_cf_descriptors(&options, directory, families()), Some(space))
            }
        };
        Ok(Self { db: db.map_err(failed)?, space, _lock: lock })
    }

    fn family(&self, name: &str) -> Result<&ColumnFamily, StoreError> {
        self.db.cf_handle(name).ok_or_else(|| StoreError::Damaged(format!("it has no column family {name}")))
    }

    /// A number of `counters`; 0 where it was never written.
    pub(crate) fn counter(&self, name: &str) -> Result<u64, StoreError> {
        let Some(value) = self.db.get_cf(self.family(COUNTERS)?, name).map_err(failed)? else { return Ok(0) };
        let number = value.try_into().map(u64::from_be_bytes);
        number.map_err(|_| StoreError::Damaged(format!("the counter {name} is not a number")))
    }

    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.db.get_cf(self.family(family.name())?, key).map_err(failed)?;
        Ok(value.map(Bytes::from))
    }

    /// Entries of a prefix from `from` on, in key order.
    pub(crate) fn scan(
        &self,
        family: Family,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let start = prefix.max(from);
        let Some(bounds) = bounds(start, prefix_end(prefix)) else { return Ok(Vec::new()) };
        let entries =
            self.db.iterator_cf_opt(self.family(family.name())?, bounds, IteratorMode::From(start, Direction::Forward));
        collect(entries, limit)
    }

    /// Entries of a prefix below `before`, in falling key order.
    pub(crate) fn scan_back(
        &self,
        family: Family,
        prefix: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let end = match (prefix_end(prefix), before) {
            (Some(end), Some(before)) => Some(end.min(before.to_vec())),
            (end, before) => end.or_else(|| before.map(<[u8]>::to_vec)),
        };
        let Some(bounds) = bounds(prefix, end) else { return Ok(Vec::new()) };
        collect(self.db.iterator_cf_opt(self.family(family.name())?, bounds, IteratorMode::End), limit)
    }

    /// Writes puts, deletes and one counter as one.
    pub(crate) fn write<'a>(
        &self,
        family: Family,
        changes: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
        counter: Option<(&str, u64)>,
        sync: bool,
    ) -> Result<(), StoreError> {
        let Some(space) = &self.space else {
            return Err(StoreError::Unavailable("it is open for reading only".to_owned()));
        };
        if !space.is_enough() {
            return Err(StoreError::Full);
        }
        let own = self.family(family.name())?;
        let mut batch = WriteBatch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put_cf(own, key, value),
                None => batch.delete_cf(own, key),
            }
        }
        if let Some((name, value)) = counter {
            batch.put_cf(self.family(COUNTERS)?, name, value.to_be_bytes());
        }
        let mut how = WriteOptions::default();
        how.set_sync(sync);
        self.db.write_opt(batch, &how).map_err(failed)
    }

    /// Puts the write-ahead log on the disk.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.db.flush_wal(true).map_err(failed)
    }
}

/// Takes the lock of the directory, which for writing is made where there is none.
fn lock(directory: &Path, access: Access) -> Result<File, StoreError> {
    let unavailable = |error: io::Error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::Unavailable(format!("{}: {error}", directory.display())),
    };
    let path = directory.join(LOCK);
    let (file, locked) = match access {
        Access::Read => {
            let file = File::open(path).map_err(unavailable)?;
            let locked = file.try_lock_shared();
            (file, locked)
        }
        Access::Write { .. } => {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(unavailable)?;
            let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
            let file = file.map_err(unavailable)?;
            let locked = file.try_lock();
            (file, locked)
        }
    };
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // A torn end of the write-ahead log is what a crash leaves of writes that were never reported durable.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_max_total_wal_size(256 * 1024 * 1024);
    options.set_max_background_jobs(2);
    options.set_max_open_files(512);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(1024 * 1024);
    options.set_keep_log_file_num(2);
    options
}

fn family_options() -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(32 * 1024 * 1024));
    blocks.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    // The youngest levels are written again soon: each byte is compressed once, on its way below them.
    let (young, old) = (DBCompressionType::None, DBCompressionType::Zstd);
    options.set_compression_per_level(&[young, young, old, old, old, old, old]);
    options.set_write_buffer_size(32 * 1024 * 1024);
    options.set_block_based_table_factory(&blocks);
    options
}

/// Reads from `start` to below `end`; `None` where nothing is between them.
fn bounds(start: &[u8], end: Option<Vec<u8>>) -> Option<ReadOptions> {
    let mut bounds = ReadOptions::default();
    if let Some(end) = end {
        if start >= end.as_slice() {
            return None;
        }
        bounds.set_iterate_upper_bound(end);
    }
    bounds.set_iterate_lower_bound(start);
    Some(bounds)
}

type Found = Result<(Box<[u8]>, Box<[u8]>), rocksdb::Error>;

fn collect(entries: impl Iterator<Item = Found>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
    entries.take(limit).map(|entry| entry.map(|(key, value)| (key.into(), value.into())).map_err(failed)).collect()
}

/// RocksDB tells its kind, and the system's own message within the text.
#[expect(clippy::needless_pass_by_value, reason = "it is mapped over results")]
fn failed(error: rocksdb::Error) -> StoreError {
    let text = error.to_string();
    if text.contains("No space left on device") || text.contains("Disk quota exceeded") {
        return StoreError::Full;
    }
    if matches!(error.kind(), ErrorKind::Corruption) {
        StoreError::Damaged(text)
    } else {
        StoreError::Unavailable(text)
    }
}
