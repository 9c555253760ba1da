//! What is told when the store fails between.

use super::*;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use portcullis_store::{Change, MemoryTable, StoreError, Versioned};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::broadcast;

/// A table whose reads or deletions fail when a test says so.
struct Failing {
    inner: MemoryTable,
    reads: AtomicBool,
    deletions: AtomicBool,
}

impl Failing {
    fn new() -> Arc<Self> {
        Arc::new(Self { inner: MemoryTable::new(), reads: AtomicBool::new(false), deletions: AtomicBool::new(false) })
    }

    fn pass<'t, T: Send + 't>(
        failing: &AtomicBool,
        done: impl FnOnce() -> BoxFuture<'t, Result<T, StoreError>>,
    ) -> BoxFuture<'t, Result<T, StoreError>> {
        if failing.load(Ordering::SeqCst) { Box::pin(async { Err(StoreError::Full) }) } else { done() }
    }

    /// What was told to be open and not yet to have ended.
    async fn kept(&self) -> usize {
        self.inner.scan(KEYS).await.unwrap().len()
    }
}

impl Table for Failing {
    fn get(&self, key: &[u8]) -> BoxFuture<'_, Result<Option<Versioned>, StoreError>> {
        Self::pass(&self.reads, || self.inner.get(key))
    }

    fn put(
        &self,
        key: Bytes,
        value: Bytes,
        expect: Expect,
        expires: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Put, StoreError>> {
        self.inner.put(key, value, expect, expires)
    }

    fn delete(&self, key: Bytes, expect: Expect) -> BoxFuture<'_, Result<Put, StoreError>> {
        Self::pass(&self.deletions, || self.inner.delete(key, expect))
    }

    fn scan(&self, prefix: &[u8]) -> BoxFuture<'_, Result<Vec<(Bytes, Versioned)>, StoreError>> {
        self.inner.scan(prefix)
    }

    fn expire(&self, now: Timestamp) -> BoxFuture<'_, Result<usize, StoreError>> {
        self.inner.expire(now)
    }

    fn watch(&self, prefix: &[u8]) -> BoxStream<'static, Change> {
        self.inner.watch(prefix)
    }
}

async fn desk(table: &Arc<Failing>) -> Desk {
    Desk::open_at(Arc::<Failing>::clone(table), "gateway", Arc::new(Timestamp::now)).await.unwrap()
}

/// One run: what tells, and what one notifier of everything is told.
fn run(table: &Arc<Failing>, desk: &Desk) -> (Teller, mpsc::Receiver<Arc<Notice>>) {
    let notifier =
        Notifier { way: Way::Command(Vec::new()), name: "command".into(), connections: [].into(), rules: [].into() };
    let (sender, told) = mpsc::channel(WAITING);
    let queues = vec![Queue { notifier: Arc::new(notifier), sender, full: false }];
    let teller = Teller {
        desk: desk.clone(),
        table: Arc::<Failing>::clone(table),
        tail: broadcast::channel(1).1,
        queues,
        telling: JoinSet::new(),
        open: BTreeMap::new(),
        endings: JoinSet::new(),
    };
    (teller, told)
}

async fn next_end(teller: &mut Teller) {
    let end = teller.endings.join_next().await.unwrap().unwrap();
    teller.ended(Some(end)).await;
}

fn texts(told: &mut mpsc::Receiver<Arc<Notice>>) -> Vec<String> {
    std::iter::from_fn(|| told.try_recv().ok()).map(|notice| notice.delivery.clone()).collect()
}

#[tokio::test]
async fn an_end_is_told_once_by_the_next_run_when_the_store_failed_in_this_one() {
    for (reads, deletions) in [(true, false), (false, true), (true, true)] {
        let table = Failing::new();
        let desk = desk(&table).await;
        let mut request = notice::tests::request("DELETE FROM orders", None);
        request.created = Timestamp::now();
        let (id, deadline) = (request.id, desk.open(request.clone()).await.unwrap());
        let (mut teller, mut told) = run(&table, &desk);
        teller.opened(Notice::opened(&request, deadline)).await;
        assert_eq!((texts(&mut told), table.kept().await), (vec![format!("{id}-opened")], 1));
        desk.withdraw(id).await.unwrap();
        table.reads.store(reads, Ordering::SeqCst);
        table.deletions.store(deletions, Ordering::SeqCst);
        next_end(&mut teller).await;
        assert_eq!((texts(&mut told), table.kept().await), (vec![], 1), "{reads} {deletions}");

        table.reads.store(false, Ordering::SeqCst);
        table.deletions.store(false, Ordering::SeqCst);
        let (mut next, mut told) = run(&table, &desk);
        next.take_up().await;
        next_end(&mut next).await;
        assert_eq!((texts(&mut told), table.kept().await), (vec![format!("{id}-ended")], 0));
        let (mut third, _) = run(&table, &desk);
        third.take_up().await;
        assert!(third.endings.is_empty());
    }
}

#[tokio::test]
async fn a_request_that_is_gone_is_forgotten() {
    let table = Failing::new();
    let desk = desk(&table).await;
    let (mut teller, mut told) = run(&table, &desk);
    // Nothing was opened at the desk.
    teller.opened(Notice::opened(&notice::tests::request("x", None), Timestamp::now())).await;
    assert_eq!((texts(&mut told).len(), table.kept().await), (1, 1));
    next_end(&mut teller).await;
    assert_eq!((texts(&mut told), table.kept().await), (vec![], 0));
}
