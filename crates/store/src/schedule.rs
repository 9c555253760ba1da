//! Every order in which the steps of a few tasks can meet: how `approvals`, `identity` and `gate` prove their races.
//!
//! What the gateway's tasks share they share through a [`Table`], and through snapshots that follow one. A
//! [`SteppedTable`] makes each operation, and each change that a follower hears of, a step that waits to be let through.
//! [`explore`] plays a scenario again and again, each time in another order, until there is none left: depth first, by
//! the choices of the time before with the last one changed that can be.
//!
//! Promises: no order of steps is left out; tasks come as far as they can between two steps, so that what a task has
//! ready always meets what the others have. A scenario that is not the same under the same choices fails.
//! Does not promise: orders inside a step, and of what is shared in another way. Needs a runtime of one thread whose
//! clock is paused. Held by: the tests below. Why this, and no library: `docs/decisions/0017`.

#![expect(clippy::disallowed_types, reason = "what a test's tasks wait in, used in tests only")]

use crate::{Change, Probe, ProbedTable, StoreError, Table, TableOperation};
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use futures_util::stream::BoxStream;
use std::fmt::Write as _;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::task::{Id, JoinSet};

/// Plays the scenario once for each order of its steps, and says how many there were.
///
/// # Panics
/// Where the scenario does, and where it is not the same each time.
pub fn explore(mut scenario: impl FnMut(Steps)) -> usize {
    let mut path = Vec::new();
    let mut played = 0;
    loop {
        let steps = Steps::along(path);
        scenario(steps.clone());
        played += 1;
        path = std::mem::take(&mut steps.locked().path);
        let last = path.iter().rposition(|choice| choice.taken + 1 < choice.among);
        let Some(last) = last else { return played };
        path.truncate(last + 1);
        if let Some(choice) = path.last_mut() {
            choice.taken += 1;
        }
    }
}

/// The steps of one time that a scenario is played. Clones are the same.
#[derive(Clone)]
pub struct Steps {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    path: Vec<Choice>,
    /// How many choices of the path were made.
    made: usize,
    held: bool,
    waiting: Vec<Waiting>,
    told: String,
}

#[derive(Clone, Copy)]
struct Choice {
    taken: usize,
    among: usize,
}

struct Waiting {
    task: Option<Id>,
    name: String,
    through: oneshot::Sender<()>,
}

impl Steps {
    fn along(path: Vec<Choice>) -> Self {
        let state = State { path, ..State::default() };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), arrived: Notify::new() }) }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This table, in steps.
    #[must_use]
    pub fn table(&self, inner: Arc<dyn Table>) -> SteppedTable {
        ProbedTable::new(inner, Stepping { steps: self.clone(), late: false })
    }

    /// A step of the scenario's own: it waits to be let through while [`Steps::play`] plays, and not otherwise.
    pub fn step(&self, name: &str) -> impl Future<Output = ()> + Send + use<> {
        let (steps, name) = (self.clone(), name.to_owned());
        async move {
            let passed = {
                let mut state = steps.locked();
                if !state.held {
                    return;
                }
                let (through, passed) = oneshot::channel();
                state.waiting.push(Waiting { task: tokio::task::try_id(), name, through });
                passed
            };
            steps.shared.arrived.notify_one();
            // Nobody lets it through: the scenario is over.
            let _over = passed.await;
        }
    }

    /// Plays these tasks, and all that they set going, to their end.
    ///
    /// # Panics
    /// Where one of them does.
    pub async fn play(&self, mut tasks: JoinSet<()>) {
        self.locked().held = true;
        loop {
            // A paused clock moves when everybody has come as far as they can, and not before.
            tokio::time::sleep(Duration::from_nanos(1)).await;
            while let Some(ended) = tasks.try_join_next() {
                if let Err(Ok(panicked)) = ended.map_err(tokio::task::JoinError::try_into_panic) {
                    resume_unwind(panicked);
                }
            }
            if self.let_one_through() {
                continue;
            }
            if tasks.is_empty() {
                break;
            }
            // What is left waits for the clock.
            self.shared.arrived.notified().await;
        }
        self.locked().held = false;
    }

    fn let_one_through(&self) -> bool {
        let mut state = self.locked();
        // Whoever waited no longer, because it was dropped, has no step to take.
        state.waiting.retain(|waiting| !waiting.through.is_closed());
        if state.waiting.is_empty() {
            return false;
        }
        state.waiting.sort_by_key(|waiting| waiting.task);
        let among = state.waiting.len();
        let made = state.made;
        let taken = match state.path.get(made) {
            Some(choice) => {
                assert_eq!(choice.among, among, "not the same each time, after{}", state.told);
                choice.taken
            }
            None => {
                state.path.push(Choice { taken: 0, among });
                0
            }
        };
        state.made += 1;
        let chosen = state.waiting.remove(taken);
        let _fits = write!(state.told, " {}", chosen.name);
        let _gone = chosen.through.send(());
        true
    }

    /// The steps that were taken so far, for the message of a failed assertion.
    #[must_use]
    pub fn told(&self) -> String {
        self.locked().told.clone()
    }
}

/// Something that happens at most once, and is seen by others. Clones are the same.
#[derive(Clone, Default)]
pub struct Fact(Arc<AtomicBool>);

impl Fact {
    /// Whether it happened.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// It happened.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A table whose operations are steps.
pub type SteppedTable = ProbedTable<Stepping>;

/// What makes each operation a step.
pub struct Stepping {
    steps: Steps,
    late: bool,
}

impl ProbedTable<Stepping> {
    /// The same, where the answer to a write is a step of its own: whoever asked may be gone when it comes.
    #[must_use]
    pub fn answering_late(mut self) -> Self {
        self.probe.late = true;
        self
    }
}

/// What an operation is called: with the beginning of its key, since the rest is made up each time.
fn name(operation: &str, key: &[u8]) -> String {
    let head = key.split(|byte| *byte == b'/').next().unwrap_or_default();
    format!("{operation}:{}", String::from_utf8_lossy(head))
}

impl Probe for Stepping {
    fn before<'p>(&'p self, operation: TableOperation, key: &'p [u8]) -> BoxFuture<'p, Result<(), StoreError>> {
        let operation = match operation {
            TableOperation::Get => "get",
            TableOperation::Put => "put",
            TableOperation::Delete => "delete",
            TableOperation::Scan => "scan",
            TableOperation::Expire => "expire",
        };
        self.steps.step(&name(operation, key)).map(Ok).boxed()
    }

    fn after<'p>(&'p self, operation: TableOperation, key: &'p [u8]) -> BoxFuture<'p, ()> {
        if self.late && operation == TableOperation::Put {
            self.steps.step(&name("answer", key)).boxed()
        } else {
            ready(()).boxed()
        }
    }

    fn heard(&self, prefix: &[u8], changes: BoxStream<'static, Change>) -> BoxStream<'static, Change> {
        let (steps, name) = (self.steps.clone(), name("hear", prefix));
        let heard = changes.then(move |change| {
            let step = steps.step(&name);
            async move {
                step.await;
                change
            }
        });
        heard.boxed()
    }
}

#[cfg(test)]
mod tests;
