//! The [`Log`] trait over the database. Blocks, as the trait says.

#![expect(
    clippy::disallowed_types,
    reason = "appends are counted under it; the record has one writer, so nobody waits"
)]

use crate::database::{Database, Family};
use bytes::Bytes;
use portcullis_store::{Entry, Log, Position, StoreError, Sync};
use std::sync::{Arc, Mutex, PoisonError};

/// The counter that survives the process.
const POSITION: &str = "log-position";

pub(crate) struct RocksLog {
    database: Arc<Database>,
    position: Mutex<Position>,
}

impl RocksLog {
    pub(crate) fn new(database: Arc<Database>) -> Result<Self, StoreError> {
        let position = Mutex::new(database.counter(POSITION)?);
        Ok(Self { database, position })
    }
}

impl Log for RocksLog {
    fn append(&self, batch: &[Entry], sync: Sync) -> Result<Position, StoreError> {
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let next = *position + batch.len() as Position;
        let changes = batch.iter().map(|entry| (entry.key.as_ref(), Some(entry.value.as_ref())));
        self.database.write(Family::Log, changes, Some((POSITION, next)), sync == Sync::Durable)?;
        *position = next;
        Ok(next)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.database.flush()
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        Ok(entries(self.database.scan(Family::Log, prefix, from, limit)?))
    }

    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        Ok(entries(self.database.scan_back(Family::Log, prefix, before, limit)?))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.database.get(Family::Log, key)
    }

    fn replace(&self, entry: &Entry) -> Result<(), StoreError> {
        // Under the lock of appends, so that what is there stays there until it is replaced.
        let _appends = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        if self.database.get(Family::Log, &entry.key)?.is_none() {
            return Err(StoreError::Damaged("no entry under the key to replace".to_owned()));
        }
        self.database.write(Family::Log, [(entry.key.as_ref(), Some(entry.value.as_ref()))], None, true)
    }
}

fn entries(found: Vec<(Bytes, Bytes)>) -> Vec<Entry> {
    found.into_iter().map(|(key, value)| Entry { key, value }).collect()
}
