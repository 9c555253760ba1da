//! The stores in memory: for tests, and the reference that the others are compared with by `conform!`.
//!
//! Promises what the traits promise within the life of the process: "durable" means "in memory". Does not promise:
//! anything after it. Held by: `conform!` below.

#![expect(
    clippy::disallowed_types,
    reason = "this is a store: the one place where shared state lives, behind its trait"
)]

use crate::watch::Watchers;
use crate::{Change, Entry, Expect, Log, Position, Put, StoreError, Sync, Table, Versioned, prefix_end};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A [`Log`] in memory.
#[derive(Debug, Default)]
pub struct MemoryLog {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: BTreeMap<Bytes, Bytes>,
    position: Position,
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A log that holds exactly these entries: how a test makes a copy that was tampered with.
    #[must_use]
    pub fn holding(entries: impl IntoIterator<Item = Entry>) -> Self {
        let by_key: BTreeMap<_, _> = entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
        let position = by_key.len() as Position;
        Self { entries: Mutex::new(Entries { by_key, position }) }
    }

    /// Everything in it, in key order.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        locked(&self.entries).by_key.iter().map(|(key, value)| entry(key, value)).collect()
    }
}

impl Log for MemoryLog {
    fn append(&self, batch: &[Entry], _: Sync) -> Result<Position, StoreError> {
        let mut entries = locked(&self.entries);
        for Entry { key, value } in batch {
            entries.by_key.insert(key.clone(), value.clone());
            entries.position += 1;
        }
        Ok(entries.position)
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        let start = Bytes::copy_from_slice(prefix.max(from));
        let entries = locked(&self.entries);
        let found = entries.by_key.range(start..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(found.take(limit).map(|(key, value)| entry(key, value)).collect())
    }

    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let entries = locked(&self.entries);
        let end = prefix_end(prefix).into_iter().chain(before.map(<[u8]>::to_vec)).min();
        let end = end.map_or(Bound::Unbounded, |end| Bound::Excluded(Bytes::from(end)));
        let found = entries.by_key.range((Bound::Unbounded, end)).rev().take_while(|(key, _)| key.starts_with(prefix));
        Ok(found.take(limit).map(|(key, value)| entry(key, value)).collect())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(locked(&self.entries).by_key.get(key).cloned())
    }

    fn replace(&self, entry: &Entry) -> Result<(), StoreError> {
        let mut entries = locked(&self.entries);
        let Some(value) = entries.by_key.get_mut(&entry.key) else {
            return Err(StoreError::Damaged("no entry under the key to replace".to_owned()));
        };
        *value = entry.value.clone();
        Ok(())
    }
}

/// A [`Table`] in memory.
#[derive(Debug, Default)]
pub struct MemoryTable {
    rows: Mutex<Rows>,
    watchers: Watchers,
}

#[derive(Debug, Default)]
struct Rows {
    by_key: BTreeMap<Bytes, Versioned>,
    version: u64,
}

impl MemoryTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `value`, or deletes where it is `None`. The change is published under the lock, so that watchers see the
    /// changes of a key in the order of its versions.
    fn change(&self, key: Bytes, value: Option<(Bytes, Option<Timestamp>)>, expect: Expect) -> Put {
        let mut rows = locked(&self.rows);
        let live = rows.by_key.get(&key).filter(|row| row.is_live(Timestamp::now()));
        if !expect.is_met_by(live) {
            return Put::Conflict;
        }
        rows.version += 1;
        let version = rows.version;
        let value = value.map(|(value, expires)| Versioned { value, version, expires });
        match &value {
            Some(row) => rows.by_key.insert(key.clone(), row.clone()),
            None => rows.by_key.remove(&key),
        };
        self.watchers.publish(&Change { key, value });
        Put::Done(version)
    }
}

impl Table for MemoryTable {
    fn get(&self, key: &[u8]) -> BoxFuture<'_, Result<Option<Versioned>, StoreError>> {
        let row = locked(&self.rows).by_key.get(key).filter(|row| row.is_live(Timestamp::now())).cloned();
        Box::pin(async { Ok(row) })
    }

    fn put(
        &self,
        key: Bytes,
        value: Bytes,
        expect: Expect,
        expires: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Put, StoreError>> {
        Box::pin(async move { Ok(self.change(key, Some((value, expires)), expect)) })
    }

    fn delete(&self, key: Bytes, expect: Expect) -> BoxFuture<'_, Result<Put, StoreError>> {
        Box::pin(async move { Ok(self.change(key, None, expect)) })
    }

    fn scan(&self, prefix: &[u8]) -> BoxFuture<'_, Result<Vec<(Bytes, Versioned)>, StoreError>> {
        let now = Timestamp::now();
        let rows = locked(&self.rows);
        let found = rows.by_key.range(Bytes::copy_from_slice(prefix)..).take_while(|(key, _)| key.starts_with(prefix));
        let found: Vec<_> = found.filter(|(_, row)| row.is_live(now)).map(|(k, v)| (k.clone(), v.clone())).collect();
        Box::pin(async { Ok(found) })
    }

    fn expire(&self, now: Timestamp) -> BoxFuture<'_, Result<usize, StoreError>> {
        Box::pin(async move {
            let mut rows = locked(&self.rows);
            let out: Vec<_> =
                rows.by_key.iter().filter(|(_, row)| !row.is_live(now)).map(|(key, _)| key.clone()).collect();
            for key in &out {
                rows.by_key.remove(key);
                self.watchers.publish(&Change { key: key.clone(), value: None });
            }
            Ok(out.len())
        })
    }

    fn watch(&self, prefix: &[u8]) -> BoxStream<'static, Change> {
        self.watchers.watch(prefix)
    }
}

fn entry(key: &Bytes, value: &Bytes) -> Entry {
    Entry { key: key.clone(), value: value.clone() }
}

/// What is behind these locks is whole whenever a statement that can panic runs.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    crate::conform! {
        log: || (Arc::new(MemoryLog::new()) as Arc<dyn Log>, ()),
        table: || (Arc::new(MemoryTable::new()) as Arc<dyn Table>, ()),
    }
}
