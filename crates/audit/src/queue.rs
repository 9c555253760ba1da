//! The queue between sessions and the one writer: the only place where they meet.
//!
//! Appending takes the lock for a push and never longer; the writer takes everything at once. The sequence number of an
//! append is given out under the same lock, so its order is the queue's. Where nobody waits for the writer, it can let
//! appends gather: it is woken by the first, then by time or by [`EARLY`] bytes, not by each. The queue ends in one of two
//! ways, and for good: closed by its owner (what is in it is still written) or failed by the writer (it is not).
//! Held by: the tests below and `tests/it/recording.rs`.

#![expect(
    clippy::disallowed_types,
    reason = "one writer thread waits here for many sessions; a push is all that is locked"
)]

use crate::error::RecordUnavailable;
use crate::stream::Shared;
use crate::tally::Summary;
use smallvec::SmallVec;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that are not left to gather any longer.
const EARLY: usize = 64 * 1024;

/// One append of one stream.
pub(crate) struct Item {
    pub(crate) stream: Arc<Shared>,
    /// Given out by the queue.
    pub(crate) sequence: u64,
    /// The number of its first event.
    pub(crate) first: u64,
    /// For each event, space for a head and then its canonical form.
    pub(crate) bytes: Vec<u8>,
    /// Where each event ends in them.
    pub(crate) ends: SmallVec<[usize; 4]>,
    /// Set when this append ends the stream.
    pub(crate) closes: Option<Summary>,
}

pub(crate) struct Queue {
    inner: Mutex<Inner>,
    ready: Condvar,
    /// Appends are refused while this many bytes wait.
    most_bytes: usize,
    /// For so long the first append waits for others; not at all where somebody waits for it.
    gather: Option<Duration>,
}

#[derive(Default)]
struct Inner {
    items: Vec<Item>,
    /// When the first of them came, where they gather.
    since: Option<Instant>,
    /// The sequence number given out last.
    newest: u64,
    /// In the queue and with the writer.
    bytes: usize,
    state: State,
    /// The writer waits for so many bytes.
    wanted: Option<usize>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Closed,
    Failed,
}

/// What the writer gets.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) items: Vec<Item>,
    /// When the first of them came, where they gathered.
    pub(crate) since: Option<Instant>,
    /// No more will come.
    pub(crate) last: bool,
}

impl Queue {
    pub(crate) fn new(most_bytes: usize, gather: Option<Duration>) -> Self {
        Self { inner: Mutex::default(), ready: Condvar::new(), most_bytes, gather }
    }

    /// Puts an append at the end and returns its sequence number.
    pub(crate) fn push(&self, mut item: Item) -> Result<u64, RecordUnavailable> {
        let mut inner = self.locked();
        let bytes = inner.bytes.saturating_add(item.bytes.len());
        if inner.state != State::Open || bytes > self.most_bytes {
            return Err(RecordUnavailable);
        }
        inner.newest += 1;
        inner.bytes = bytes;
        item.sequence = inner.newest;
        let sequence = item.sequence;
        if self.gather.is_some() && inner.items.is_empty() {
            inner.since = Some(Instant::now());
        }
        inner.items.push(item);
        if inner.wanted.is_some_and(|wanted| inner.bytes >= wanted) {
            inner.wanted = None;
            drop(inner);
            self.ready.notify_one();
        }
        Ok(sequence)
    }

    /// Everything in the queue; waits until there is something and it has gathered, it is closed, or the deadline has
    /// passed. `written` is what was taken before and is now out of the writer's hands.
    pub(crate) fn take(&self, written: usize, deadline: Option<Instant>) -> Taken {
        let mut inner = self.locked();
        inner.bytes = inner.bytes.saturating_sub(written);
        loop {
            let gathered = inner.since.zip(self.gather).map(|(since, gather)| since + gather);
            let wanted = match gathered {
                Some(_) if inner.bytes < EARLY => EARLY,
                None if inner.items.is_empty() => 1,
                Some(_) | None => 0,
            };
            let until = gathered.into_iter().chain(deadline).min();
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if wanted == 0 || inner.state != State::Open || left.is_some_and(|left| left.is_zero()) {
                let last = inner.state != State::Open;
                return Taken { items: std::mem::take(&mut inner.items), since: inner.since.take(), last };
            }
            inner.wanted = Some(wanted);
            inner = match left {
                None => self.ready.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self.ready.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0,
            };
            inner.wanted = None;
        }
    }

    /// No more appends; what is here is still written.
    pub(crate) fn close(&self) {
        let mut inner = self.locked();
        if inner.state == State::Open {
            inner.state = State::Closed;
        }
        self.ready.notify_one();
    }

    /// No more appends, and what is here is not written: it is returned, so that its streams can be told.
    pub(crate) fn fail(&self) -> Vec<Item> {
        let mut inner = self.locked();
        inner.state = State::Failed;
        inner.since = None;
        std::mem::take(&mut inner.items)
    }

    /// The sequence number given out last; 0 before the first.
    pub(crate) fn newest(&self) -> u64 {
        self.locked().newest
    }

    /// Whether an append can succeed at all.
    pub(crate) fn is_open(&self) -> bool {
        self.locked().state == State::Open
    }

    /// Whether so much waits that every stream should slow down.
    pub(crate) fn is_crowded(&self) -> bool {
        let inner = self.locked();
        inner.bytes > self.most_bytes / 4
    }

    /// What is behind the lock is whole after every statement.
    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_model::SessionId;
    use std::thread;

    const LONG: Duration = Duration::from_secs(3600);

    fn item(bytes: usize) -> Item {
        let stream = Arc::new(Shared::new(SessionId::new()));
        Item { stream, sequence: 0, first: 0, bytes: vec![0; bytes], ends: SmallVec::new(), closes: None }
    }

    #[test]
    fn what_somebody_waits_for_is_taken_at_once() {
        let queue = Queue::new(1 << 20, None);
        queue.push(item(1)).unwrap();
        let taken = queue.take(0, None);
        assert_eq!((taken.items.len(), taken.since, taken.last), (1, None, false));
    }

    #[test]
    fn what_nobody_waits_for_gathers_until_it_is_much() {
        let queue = Queue::new(1 << 20, Some(LONG));
        queue.push(item(1)).unwrap();
        let taken = thread::scope(|scope| {
            let writer = scope.spawn(|| queue.take(0, None));
            queue.push(item(2)).unwrap();
            queue.push(item(EARLY)).unwrap();
            writer.join().unwrap()
        });
        assert_eq!(taken.items.iter().map(|item| item.sequence).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(taken.since.is_some());
        // What comes next gathers anew, from when it comes; what is with the writer is no longer in the way.
        queue.push(item(4)).unwrap();
        let written = taken.items.iter().map(|item| item.bytes.len()).sum();
        let taken = thread::scope(|scope| {
            let writer = scope.spawn(|| queue.take(written, None));
            queue.push(item(EARLY)).unwrap();
            writer.join().unwrap()
        });
        assert_eq!(taken.items.len(), 2);
    }

    #[test]
    fn what_gathered_is_taken_in_time_at_a_deadline_and_at_the_end() {
        let short = Queue::new(1 << 20, Some(Duration::from_millis(1)));
        short.push(item(1)).unwrap();
        assert_eq!(short.take(0, None).items.len(), 1);
        let long = Queue::new(1 << 20, Some(LONG));
        long.push(item(1)).unwrap();
        assert_eq!(long.take(0, Some(Instant::now())).items.len(), 1);
        assert!(long.take(1, Some(Instant::now())).items.is_empty());
        long.push(item(1)).unwrap();
        let taken = thread::scope(|scope| {
            let writer = scope.spawn(|| long.take(0, None));
            long.close();
            writer.join().unwrap()
        });
        assert_eq!((taken.items.len(), taken.last), (1, true));
    }
}
