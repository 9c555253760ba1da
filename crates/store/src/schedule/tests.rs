use super::*;
use crate::{Expect, MemoryTable, Put};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::Builder;

/// Every order of a scenario, each on a runtime of its own.
fn explored<F: Future<Output = ()>>(scenario: impl Fn(Steps) -> F) -> usize {
    explore(|steps| {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(scenario(steps));
    })
}

const KEY: &[u8] = b"count";

/// Adds one to what is kept, under its version or not. Whether it was written.
async fn add(table: Arc<SteppedTable>, careful: bool) -> bool {
    let found = table.get(KEY).await.unwrap().unwrap();
    let next = found.value.first().unwrap() + 1;
    let expect = if careful { Expect::Version(found.version) } else { Expect::Any };
    table.put(KEY.into(), vec![next].into(), expect, None).await.unwrap() != Put::Conflict
}

/// What two tasks that each add one can leave, and how many orders there were.
fn added(careful: bool) -> (BTreeSet<(u8, usize)>, usize) {
    let left = RefCell::new(BTreeSet::new());
    let orders = explored(async |steps| {
        let table = Arc::new(steps.table(Arc::new(MemoryTable::new())));
        let _new = table.put(KEY.into(), vec![0].into(), Expect::Absent, None).await.unwrap();
        let written = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..2 {
            let (table, written) = (Arc::clone(&table), Arc::clone(&written));
            tasks.spawn(async move {
                written.fetch_add(usize::from(add(table, careful).await), Ordering::Relaxed);
            });
        }
        steps.play(tasks).await;
        let found = table.get(KEY).await.unwrap().unwrap();
        left.borrow_mut().insert((*found.value.first().unwrap(), written.load(Ordering::Relaxed)));
    });
    (left.into_inner(), orders)
}

#[test]
fn every_order_is_played_and_a_lost_update_is_found() {
    assert_eq!(added(false), ([(1, 2), (2, 2)].into(), 6));
    assert_eq!(added(true), ([(1, 1), (2, 2)].into(), 6));
}

#[test]
fn the_clock_moves_where_nobody_can_take_a_step() {
    let orders = explored(async |steps| {
        let (first, second) = (steps.clone(), steps.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            tokio::time::sleep(Duration::from_secs(600)).await;
            first.step("late").await;
        });
        tasks.spawn(async move {
            second.step("early").await;
        });
        steps.play(tasks).await;
        assert_eq!(steps.told(), " early late");
    });
    assert_eq!(orders, 1);
}

#[test]
fn a_follower_hears_of_a_change_at_any_time_after_it() {
    let heard = RefCell::new(BTreeSet::new());
    explored(async |steps| {
        let table = Arc::new(steps.table(Arc::new(MemoryTable::new())));
        let mut changes = table.watch(KEY);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { assert!(changes.next().await.is_some()) });
        let own = steps.clone();
        tasks.spawn(async move {
            let _new = table.put(KEY.into(), vec![0].into(), Expect::Absent, None).await.unwrap();
            own.step("own").await;
        });
        steps.play(tasks).await;
        heard.borrow_mut().insert(steps.told());
    });
    assert_eq!(
        heard.into_inner(),
        [" put:count hear:count own".to_owned(), " put:count own hear:count".to_owned()].into()
    );
}

#[test]
#[should_panic(expected = "not the same each time")]
fn a_scenario_that_changes_fails() {
    let times = AtomicUsize::new(1);
    explored(async |steps| {
        let mut tasks = JoinSet::new();
        for _ in 0..=times.fetch_add(1, Ordering::Relaxed) {
            tasks.spawn(steps.step("one"));
        }
        steps.play(tasks).await;
    });
}

#[test]
#[should_panic(expected = "within a task")]
fn a_task_that_fails_fails_the_scenario() {
    explored(async |steps| {
        let mut tasks = JoinSet::new();
        tasks.spawn(async { panic!("within a task") });
        steps.play(tasks).await;
    });
}
