//! The queue between sessions and the one writer: the only place where they meet.
//!
//! Appending takes the lock for a push and never longer; the writer takes everything at once. The sequence number of an
//! append is given out under the same lock, so its order is the queue's. The queue ends in one of two ways, and for good:
//! closed by its owner (what is in it is still written) or failed by the writer (it is not).

#![expect(
    clippy::disallowed_types,
    reason = "one writer thread waits here for many sessions; a push is all that is locked"
)]

use crate::error::RecordUnavailable;
use crate::stream::Shared;
use crate::tally::Summary;
use smallvec::SmallVec;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

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
}

#[derive(Default)]
struct Inner {
    items: Vec<Item>,
    /// The sequence number given out last.
    newest: u64,
    /// In the queue and with the writer.
    bytes: usize,
    state: State,
    writer_waits: bool,
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
    /// No more will come.
    pub(crate) last: bool,
}

impl Queue {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self { inner: Mutex::default(), ready: Condvar::new(), most_bytes }
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
        inner.items.push(item);
        if std::mem::take(&mut inner.writer_waits) {
            drop(inner);
            self.ready.notify_one();
        }
        Ok(sequence)
    }

    /// Everything in the queue; waits until there is something, it is closed, or the deadline has passed. `written` is
    /// what was taken before and is now out of the writer's hands.
    pub(crate) fn take(&self, written: usize, deadline: Option<Instant>) -> Taken {
        let mut inner = self.locked();
        inner.bytes = inner.bytes.saturating_sub(written);
        loop {
            if !inner.items.is_empty() || inner.state != State::Open {
                let last = inner.state != State::Open;
                return Taken { items: std::mem::take(&mut inner.items), last };
            }
            inner.writer_waits = true;
            inner = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => self.ready.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return Taken::default(),
                Some(left) => self.ready.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0,
            };
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
        std::mem::take(&mut inner.items)
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
