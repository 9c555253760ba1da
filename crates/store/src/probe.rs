//! A [`Table`] with a test between it and who uses it: how the crates above prove what they do when a store fails,
//! stalls, answers with what is old, or loses a watcher.
//!
//! A [`Probe`] says only what it changes, an [`Outage`] is the usual one. Promises: an operation that [`Probe::before`] refuses does not
//! reach the table, and each operation is asked about once, when it is polled. Does not promise: anything about what runs
//! inside the table. Held by: `conform!` over a probe that changes nothing, and the tests below. [`schedule`](crate::schedule)
//! is built on it; for a log there is [`FaultyLog`](crate::FaultyLog).

use crate::{Change, Expect, Put, StoreError, Table, Versioned};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use futures_util::stream::{BoxStream, StreamExt as _};
use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// What is asked of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableOperation {
    /// [`Table::get`].
    Get,
    /// [`Table::put`].
    Put,
    /// [`Table::delete`].
    Delete,
    /// [`Table::scan`]; its key is the prefix.
    Scan,
    /// [`Table::expire`]; its key is empty.
    Expire,
}

/// What a test does to the operations on a table.
pub trait Probe: Send + Sync + 'static {
    /// Runs before the operation, which fails with this where it is an error.
    fn before<'p>(&'p self, _operation: TableOperation, _key: &'p [u8]) -> BoxFuture<'p, Result<(), StoreError>> {
        ready(Ok(())).boxed()
    }

    /// Runs when the operation is done, before its answer is seen.
    fn after<'p>(&'p self, _operation: TableOperation, _key: &'p [u8]) -> BoxFuture<'p, ()> {
        ready(()).boxed()
    }

    /// What a watcher of this prefix hears of these changes.
    fn heard(&self, _prefix: &[u8], changes: BoxStream<'static, Change>) -> BoxStream<'static, Change> {
        changes
    }
}

/// A table whose operations pass by a [`Probe`].
pub struct ProbedTable<P> {
    /// The table itself, for what the test does unprobed.
    pub inner: Arc<dyn Table>,
    /// What stands before it.
    pub probe: P,
}

impl<P: Probe> ProbedTable<P> {
    /// This table, behind this probe.
    pub fn new(inner: Arc<dyn Table>, probe: P) -> Self {
        Self { inner, probe }
    }

    async fn pass<T>(
        &self,
        operation: TableOperation,
        key: &[u8],
        done: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.probe.before(operation, key).await?;
        let answer = done.await;
        self.probe.after(operation, key).await;
        answer
    }
}

impl<P: Probe> Table for ProbedTable<P> {
    fn get(&self, key: &[u8]) -> BoxFuture<'_, Result<Option<Versioned>, StoreError>> {
        let key = Bytes::copy_from_slice(key);
        // A table may look when it is asked, so it is asked when the probe is done.
        Box::pin(async move { self.pass(TableOperation::Get, &key, async { self.inner.get(&key).await }).await })
    }

    fn put(
        &self,
        key: Bytes,
        value: Bytes,
        expect: Expect,
        expires: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Put, StoreError>> {
        let put = self.inner.put(key.clone(), value, expect, expires);
        Box::pin(async move { self.pass(TableOperation::Put, &key, put).await })
    }

    fn delete(&self, key: Bytes, expect: Expect) -> BoxFuture<'_, Result<Put, StoreError>> {
        let delete = self.inner.delete(key.clone(), expect);
        Box::pin(async move { self.pass(TableOperation::Delete, &key, delete).await })
    }

    fn scan(&self, prefix: &[u8]) -> BoxFuture<'_, Result<Vec<(Bytes, Versioned)>, StoreError>> {
        let prefix = Bytes::copy_from_slice(prefix);
        Box::pin(
            async move { self.pass(TableOperation::Scan, &prefix, async { self.inner.scan(&prefix).await }).await },
        )
    }

    fn expire(&self, now: Timestamp) -> BoxFuture<'_, Result<usize, StoreError>> {
        Box::pin(async move { self.pass(TableOperation::Expire, b"", async { self.inner.expire(now).await }).await })
    }

    fn watch(&self, prefix: &[u8]) -> BoxStream<'static, Change> {
        self.probe.heard(prefix, self.inner.watch(prefix))
    }
}

/// Whether an outage covers this operation on this key.
type Covers = dyn Fn(TableOperation, &[u8]) -> bool + Send + Sync;

/// A [`Probe`] that fails what it is told to, while it is told to.
pub struct Outage {
    covers: Box<Covers>,
    down: AtomicBool,
    cuts: watch::Sender<()>,
}

impl Outage {
    /// Fails those operations on those keys that this is true of, once it [begins](Self::begin).
    pub fn of(covers: impl Fn(TableOperation, &[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self { covers: Box::new(covers), down: AtomicBool::new(false), cuts: watch::Sender::new(()) }
    }

    /// They fail from now on.
    pub fn begin(&self) {
        self.down.store(true, Ordering::SeqCst);
    }

    /// They work from now on.
    pub fn end(&self) {
        self.down.store(false, Ordering::SeqCst);
    }

    /// Ends the streams of those who watch what they could not scan while it is down.
    pub fn cut(&self) {
        self.cuts.send_replace(());
    }
}

impl Probe for Outage {
    fn before<'p>(&'p self, operation: TableOperation, key: &'p [u8]) -> BoxFuture<'p, Result<(), StoreError>> {
        let fails = self.down.load(Ordering::SeqCst) && (self.covers)(operation, key);
        ready(if fails { Err(StoreError::Unavailable("as told".to_owned())) } else { Ok(()) }).boxed()
    }

    fn heard(&self, prefix: &[u8], changes: BoxStream<'static, Change>) -> BoxStream<'static, Change> {
        if !(self.covers)(TableOperation::Scan, prefix) {
            return changes;
        }
        let mut cuts = self.cuts.subscribe();
        changes.take_until(async move { cuts.changed().await.map(drop) }).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Log, MemoryLog, MemoryTable};
    use tokio::sync::mpsc;

    struct Nothing;

    impl Probe for Nothing {}

    crate::conform! {
        log: || (Arc::new(MemoryLog::new()) as Arc<dyn Log>, ()),
        table: || (Arc::new(ProbedTable::new(Arc::new(MemoryTable::new()), Nothing)) as Arc<dyn Table>, ()),
    }

    fn down() -> ProbedTable<Outage> {
        let table = ProbedTable::new(Arc::new(MemoryTable::new()), Outage::of(|_, key| !key.starts_with(b"up")));
        table.probe.begin();
        table
    }

    #[tokio::test]
    async fn an_operation_that_is_refused_does_not_reach_the_table() {
        let table = down();
        let put = async |key: &'static str| table.put(key.into(), "v".into(), Expect::Any, None).await;
        assert!(put("up").await.is_ok() && put("k").await.is_err());
        assert!(table.inner.get(b"k").await.unwrap().is_none());
        table.probe.end();
        assert!(put("k").await.is_ok());
        table.probe.begin();
        assert!(table.get(b"k").await.is_err() && table.scan(b"k").await.is_err() && table.scan(b"").await.is_err());
        assert!(table.delete("k".into(), Expect::Any).await.is_err() && table.expire(Timestamp::now()).await.is_err());
        assert!(table.inner.get(b"k").await.unwrap().is_some());
        assert!(table.get(b"up").await.unwrap().is_some() && table.scan(b"up").await.unwrap().len() == 1);
    }

    #[tokio::test]
    async fn a_cut_ends_the_streams_that_it_covers() {
        let table = down();
        let (mut lost, mut heard) = (table.watch(b"k"), table.watch(b"up"));
        table.probe.cut();
        assert_eq!(lost.next().await, None);
        let _done = table.put("up".into(), "v".into(), Expect::Any, None).await.unwrap();
        assert_eq!(heard.next().await.map(|change| change.key), Some("up".into()));
    }

    struct Told(mpsc::Sender<(TableOperation, bool)>);

    impl Probe for Told {
        fn before<'p>(&'p self, operation: TableOperation, _: &'p [u8]) -> BoxFuture<'p, Result<(), StoreError>> {
            self.0.try_send((operation, false)).unwrap();
            ready(Ok(())).boxed()
        }

        fn after<'p>(&'p self, operation: TableOperation, _: &'p [u8]) -> BoxFuture<'p, ()> {
            self.0.try_send((operation, true)).unwrap();
            ready(()).boxed()
        }
    }

    #[tokio::test]
    async fn a_probe_is_asked_once_before_and_once_after_each() {
        let (sender, mut told) = mpsc::channel(16);
        let table = ProbedTable::new(Arc::new(MemoryTable::new()), Told(sender));
        let _done = table.put("k".into(), "v".into(), Expect::Any, None).await.unwrap();
        assert!(table.get(b"k").await.unwrap().is_some());
        assert_eq!(table.scan(b"k").await.unwrap().len(), 1);
        assert_eq!(table.expire(Timestamp::now()).await.unwrap(), 0);
        let _done = table.delete("k".into(), Expect::Any).await.unwrap();
        for operation in ["Put", "Get", "Scan", "Expire", "Delete"] {
            for after in [false, true] {
                let (told, when) = told.recv().await.unwrap();
                assert_eq!((format!("{told:?}").as_str(), when), (operation, after));
            }
        }
        assert!(told.is_empty());
    }
}
