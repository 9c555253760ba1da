//! A table that fails for some keys while it is told to: what is kept under them cannot be changed, read as a whole or
//! followed.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _};
use jiff::Timestamp;
use portcullis_store::{Change, Expect, MemoryTable, Put, StoreError, Table, Versioned};
use tokio::sync::watch;

pub(crate) struct FaultyTable {
    inner: MemoryTable,
    /// The keys that it fails for begin with this.
    keys: &'static [u8],
    down: watch::Sender<bool>,
}

impl FaultyTable {
    pub(crate) fn new(keys: &'static [u8]) -> Self {
        Self { inner: MemoryTable::new(), keys, down: watch::Sender::new(false) }
    }

    pub(crate) fn fail(&self, fails: bool) {
        self.down.send_replace(fails);
    }

    fn check(&self, key: &[u8]) -> Result<(), StoreError> {
        let fails = *self.down.borrow() && key.starts_with(self.keys);
        if fails { Err(StoreError::Unavailable("as told".to_owned())) } else { Ok(()) }
    }
}

impl Table for FaultyTable {
    fn get(&self, key: &[u8]) -> BoxFuture<'_, Result<Option<Versioned>, StoreError>> {
        self.inner.get(key)
    }

    fn put(
        &self,
        key: Bytes,
        value: Bytes,
        expect: Expect,
        expires: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Put, StoreError>> {
        Box::pin(async move {
            self.check(&key)?;
            self.inner.put(key, value, expect, expires).await
        })
    }

    fn delete(&self, key: Bytes, expect: Expect) -> BoxFuture<'_, Result<Put, StoreError>> {
        self.inner.delete(key, expect)
    }

    fn scan(&self, prefix: &[u8]) -> BoxFuture<'_, Result<Vec<(Bytes, Versioned)>, StoreError>> {
        match self.check(prefix) {
            Ok(()) => self.inner.scan(prefix),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn expire(&self, now: Timestamp) -> BoxFuture<'_, Result<usize, StoreError>> {
        self.inner.expire(now)
    }

    fn watch(&self, prefix: &[u8]) -> BoxStream<'static, Change> {
        let changes = self.inner.watch(prefix);
        if !prefix.starts_with(self.keys) {
            return changes;
        }
        let mut down = self.down.subscribe();
        changes.take_until(async move { down.wait_for(|down| *down).await.map(drop) }).boxed()
    }
}
