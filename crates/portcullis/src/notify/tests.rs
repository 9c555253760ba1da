//! What is told when the store fails between.

use super::*;
use jiff::Timestamp;
use portcullis_store::{MemoryTable, Outage, ProbedTable, TableOperation};
use tokio::sync::broadcast;

type Failing = ProbedTable<Outage>;

/// A table whose reads of one thing or deletions fail when a test says so.
fn failing(reads: bool, deletions: bool) -> Arc<Failing> {
    let covers = move |operation, _: &[u8]| match operation {
        TableOperation::Get => reads,
        TableOperation::Delete => deletions,
        TableOperation::Put | TableOperation::Scan | TableOperation::Expire => false,
    };
    Arc::new(ProbedTable::new(Arc::new(MemoryTable::new()), Outage::of(covers)))
}

/// What was told to be open and not yet to have ended.
async fn kept(table: &Failing) -> usize {
    table.inner.scan(KEYS).await.unwrap().len()
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
        let table = failing(reads, deletions);
        let desk = desk(&table).await;
        let mut request = notice::tests::request("DELETE FROM orders", None);
        request.created = Timestamp::now();
        let (id, deadline) = (request.id, desk.open(request.clone()).await.unwrap());
        let (mut teller, mut told) = run(&table, &desk);
        teller.opened(Notice::opened(&request, deadline)).await;
        assert_eq!((texts(&mut told), kept(&table).await), (vec![format!("{id}-opened")], 1));
        desk.withdraw(id).await.unwrap();
        table.probe.begin();
        next_end(&mut teller).await;
        assert_eq!((texts(&mut told), kept(&table).await), (vec![], 1), "{reads} {deletions}");

        table.probe.end();
        let (mut next, mut told) = run(&table, &desk);
        next.take_up().await;
        next_end(&mut next).await;
        assert_eq!((texts(&mut told), kept(&table).await), (vec![format!("{id}-ended")], 0));
        let (mut third, _) = run(&table, &desk);
        third.take_up().await;
        assert!(third.endings.is_empty());
    }
}

#[tokio::test]
async fn a_request_that_is_gone_is_forgotten() {
    let table = failing(false, false);
    let desk = desk(&table).await;
    let (mut teller, mut told) = run(&table, &desk);
    // Nothing was opened at the desk.
    teller.opened(Notice::opened(&notice::tests::request("x", None), Timestamp::now())).await;
    assert_eq!((texts(&mut told).len(), kept(&table).await), (1, 1));
    next_end(&mut teller).await;
    assert_eq!((texts(&mut told), kept(&table).await), (vec![], 0));
}
