//! The [`Table`] trait over the database. Every call runs on the runtime's blocking threads, so an async worker never
//! waits for the disk; a put holds the table's lock from its look at what is there to its write.
//!
//! A row is its version (8 bytes), its expiry in nanoseconds since 1970 (16 bytes, two's complement; the least number for
//! none), and its value. Versions come from one counter that is written with every change, so one is never given twice.

#![expect(clippy::disallowed_types, reason = "compare and put is one step; held on blocking threads only")]

use crate::database::{Database, Family};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use portcullis_store::{Change, Expect, Put, StoreError, Table, Versioned, Watchers};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counter that survives the process.
const VERSION: &str = "table-version";
const NEVER: i128 = i128::MIN;

pub(crate) struct RocksTable(Arc<Inner>);

struct Inner {
    database: Arc<Database>,
    /// The version given out last.
    version: Mutex<u64>,
    watchers: Watchers,
}

impl RocksTable {
    pub(crate) fn new(database: Arc<Database>) -> Result<Self, StoreError> {
        let version = Mutex::new(database.counter(VERSION)?);
        Ok(Self(Arc::new(Inner { database, version, watchers: Watchers::default() })))
    }

    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&inner)).await;
            done.unwrap_or_else(|_| Err(StoreError::Unavailable("the runtime is shutting down".to_owned())))
        })
    }
}

impl Inner {
    fn locked(&self) -> MutexGuard<'_, u64> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        let row = self.database.get(Family::Table, key)?.map(decode).transpose()?;
        Ok(row.filter(|row| row.is_live(Timestamp::now())))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Versioned)>, StoreError> {
        let found = self.database.scan(Family::Table, prefix, b"", usize::MAX)?;
        found.into_iter().map(|(key, row)| Ok((key, decode(row)?))).collect()
    }

    /// Puts, or deletes where there is no value. Published under the lock, so that watchers see versions in order.
    fn change(&self, key: Bytes, value: Option<(Bytes, Option<Timestamp>)>, expect: Expect) -> Result<Put, StoreError> {
        let mut version = self.locked();
        if !expect.is_met_by(self.get(&key)?.as_ref()) {
            return Ok(Put::Conflict);
        }
        let next = *version + 1;
        let value = value.map(|(value, expires)| Versioned { value, version: next, expires });
        let row = value.as_ref().map(encode);
        self.database.write(Family::Table, [(key.as_ref(), row.as_deref())], Some((VERSION, next)), true)?;
        *version = next;
        self.watchers.publish(&Change { key, value });
        Ok(Put::Done(next))
    }

    fn expire(&self, now: Timestamp) -> Result<usize, StoreError> {
        let _changes = self.locked();
        let mut out = self.scan(b"")?;
        out.retain(|(_, row)| !row.is_live(now));
        if !out.is_empty() {
            self.database.write(Family::Table, out.iter().map(|(key, _)| (key.as_ref(), None)), None, true)?;
        }
        for (key, _) in &out {
            self.watchers.publish(&Change { key: key.clone(), value: None });
        }
        Ok(out.len())
    }
}

impl Table for RocksTable {
    fn get(&self, key: &[u8]) -> BoxFuture<'_, Result<Option<Versioned>, StoreError>> {
        let key = key.to_vec();
        self.blocking(move |inner| inner.get(&key))
    }

    fn put(
        &self,
        key: Bytes,
        value: Bytes,
        expect: Expect,
        expires: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Put, StoreError>> {
        self.blocking(move |inner| inner.change(key, Some((value, expires)), expect))
    }

    fn delete(&self, key: Bytes, expect: Expect) -> BoxFuture<'_, Result<Put, StoreError>> {
        self.blocking(move |inner| inner.change(key, None, expect))
    }

    fn scan(&self, prefix: &[u8]) -> BoxFuture<'_, Result<Vec<(Bytes, Versioned)>, StoreError>> {
        let prefix = prefix.to_vec();
        self.blocking(move |inner| {
            let now = Timestamp::now();
            let mut found = inner.scan(&prefix)?;
            found.retain(|(_, row)| row.is_live(now));
            Ok(found)
        })
    }

    fn expire(&self, now: Timestamp) -> BoxFuture<'_, Result<usize, StoreError>> {
        self.blocking(move |inner| inner.expire(now))
    }

    fn watch(&self, prefix: &[u8]) -> BoxStream<'static, Change> {
        self.0.watchers.watch(prefix)
    }
}

fn encode(row: &Versioned) -> Vec<u8> {
    let expires = row.expires.map_or(NEVER, Timestamp::as_nanosecond);
    [row.version.to_be_bytes().as_slice(), &expires.to_be_bytes(), &row.value].concat()
}

fn decode(row: Bytes) -> Result<Versioned, StoreError> {
    let damaged = || StoreError::Damaged("a row of the table is cut".to_owned());
    let (version, rest) = row.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (expires, value) = rest.split_first_chunk::<16>().ok_or_else(damaged)?;
    let expires = match i128::from_be_bytes(*expires) {
        NEVER => None,
        nanoseconds => Some(Timestamp::from_nanosecond(nanoseconds).map_err(|_| damaged())?),
    };
    Ok(Versioned { value: row.slice_ref(value), version: u64::from_be_bytes(*version), expires })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_back_and_a_cut_one_does_not() {
        let value = Bytes::from_static(b"v");
        for expires in [None, Some(Timestamp::MIN), Some(Timestamp::MAX), Some(Timestamp::UNIX_EPOCH)] {
            let row = Versioned { value: value.clone(), version: 7, expires };
            let encoded = Bytes::from(encode(&row));
            assert_eq!(decode(encoded.clone()).unwrap(), row);
            for cut in 0..24 {
                assert!(decode(encoded.slice(..cut)).is_err());
            }
        }
    }
}
