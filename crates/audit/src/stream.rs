//! One session's chain, as its owner holds it.
//!
//! Appending encodes the events in the calling task and puts them in the queue; it never waits for the disk, so the
//! owner bounds itself with [`Stream::room`]. Events of one stream are recorded in the order of the calls. Dropping a
//! stream that was not ended settles its open commands and ends it, both as `interrupted`.

#![expect(
    clippy::disallowed_types,
    reason = "numbers and wakers of one stream; shared with the one writer, held for a push"
)]

use crate::canonical::Encoder;
use crate::chain::HEAD;
use crate::error::RecordUnavailable;
use crate::queue::{Item, Queue};
use crate::tally::{Noted, Tally};
use jiff::Timestamp;
use portcullis_model::{Event, EventBody, SessionId};
use smallvec::SmallVec;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What one stream may have in the queue before its owner is to wait (DESIGN 2, "Durability").
const ROOM: usize = 256 * 1024;
/// What one stream may have in the queue at all: an owner that never waits is refused here.
const MOST: usize = 64 * ROOM;

/// The part of a stream that the writer knows.
pub(crate) struct Shared {
    pub(crate) id: SessionId,
    /// Bytes in the queue or with the writer.
    pending: AtomicUsize,
    wakers: Mutex<Vec<Waker>>,
}

impl Shared {
    pub(crate) fn new(id: SessionId) -> Self {
        Self { id, pending: AtomicUsize::new(0), wakers: Mutex::default() }
    }

    /// So many bytes are durable: wakes who waits for room.
    pub(crate) fn written(&self, bytes: usize) {
        let before = self.pending.fetch_sub(bytes, Ordering::AcqRel);
        if before.saturating_sub(bytes) < ROOM {
            self.wake();
        }
    }

    /// Wakes who waits for room, there being some or none ever again.
    pub(crate) fn wake(&self) {
        for waker in locked(&self.wakers).drain(..) {
            waker.wake();
        }
    }
}

/// One stream of events: one hash chain. Shared by reference between the tasks of its session.
pub struct Stream {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tally: Tally,
    encoder: Encoder,
    /// The sequence number of the newest append.
    newest: u64,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("id", &self.shared.id).finish_non_exhaustive()
    }
}

impl Stream {
    pub(crate) fn begin(queue: Arc<Queue>, started: EventBody, at: Timestamp) -> Result<Self, RecordUnavailable> {
        let shared = Arc::new(Shared::new(SessionId::new()));
        let stream = Self { shared, queue, state: Mutex::default() };
        stream.append(at, [started])?;
        Ok(stream)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.shared.id
    }

    /// Records the events, all or none, behind all earlier ones, and returns the number to wait for in the watermark.
    /// Never waits for the disk.
    ///
    /// # Errors
    /// [`RecordUnavailable`] when the record failed or was closed, when this stream is ended, has far more in the queue
    /// than [`Stream::room`] allows, or when an event has no canonical form. Nothing of it is recorded then.
    pub fn append(&self, at: Timestamp, bodies: impl IntoIterator<Item = EventBody>) -> Result<u64, RecordUnavailable> {
        let mut state = locked(&self.state);
        self.append_locked(&mut state, at, bodies)
    }

    /// Ends the stream: settles what is open as interrupted and records the end. Returns as [`Stream::append`].
    ///
    /// # Errors
    /// As [`Stream::append`].
    pub fn end(&self, at: Timestamp, reason: impl Into<Arc<str>>) -> Result<u64, RecordUnavailable> {
        let mut state = locked(&self.state);
        let closing = state.tally.closing(reason.into());
        self.append_locked(&mut state, at, closing)
    }

    fn append_locked(
        &self,
        state: &mut State,
        at: Timestamp,
        bodies: impl IntoIterator<Item = EventBody>,
    ) -> Result<u64, RecordUnavailable> {
        let first = state.tally.events;
        let mut ended = state.tally.ended.is_some();
        let mut noted: SmallVec<[Noted; 4]> = SmallVec::new();
        let mut item = Item {
            stream: Arc::clone(&self.shared),
            sequence: 0,
            first,
            bytes: Vec::with_capacity(1024),
            ends: SmallVec::new(),
            closes: None,
        };
        for (number, body) in (first..).zip(bodies) {
            // A stream starts with its start and has nothing behind its end.
            if ended || (number == 0) != matches!(body, EventBody::SessionStarted { .. }) {
                tracing::error!(stream = %self.shared.id, number, "an event out of place was refused");
                return Err(RecordUnavailable);
            }
            ended = matches!(body, EventBody::SessionEnded { .. });
            noted.push(Noted::of(at, &body));
            // Text is most of what its event will be: the buffer grows once, for that and what escapes add.
            if let EventBody::Output { text, .. } = &body {
                item.bytes.reserve(text.len() + text.len() / 8 + 512);
            }
            let event = Event { stream: self.shared.id, number, at, body };
            item.bytes.resize(item.bytes.len() + HEAD, 0);
            state.encoder.encode(&event, &mut item.bytes).map_err(|error| {
                tracing::error!(stream = %self.shared.id, number, %error, "an event has no canonical form");
                RecordUnavailable
            })?;
            item.ends.push(item.bytes.len());
        }
        if item.ends.is_empty() {
            return if self.queue.is_open() { Ok(state.newest) } else { Err(RecordUnavailable) };
        }
        if ended {
            let mut tally = state.tally.clone();
            noted.iter().for_each(|noted| tally.take(noted));
            item.closes = tally.summary();
        }
        state.newest = self.push(item)?;
        noted.iter().for_each(|noted| state.tally.take(noted));
        Ok(state.newest)
    }

    fn push(&self, item: Item) -> Result<u64, RecordUnavailable> {
        let bytes = item.bytes.len();
        let before = self.shared.pending.fetch_add(bytes, Ordering::AcqRel);
        let pushed = if before.saturating_add(bytes) > MOST { Err(RecordUnavailable) } else { self.queue.push(item) };
        if pushed.is_err() {
            self.shared.pending.fetch_sub(bytes, Ordering::AcqRel);
        }
        pushed
    }

    /// The number of the newest append: when the watermark reaches it, all of this stream is durable.
    #[must_use]
    pub fn newest(&self) -> u64 {
        locked(&self.state).newest
    }

    /// Bytes of this stream that are not yet durable.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.shared.pending.load(Ordering::Acquire)
    }

    /// Whether the owner may go on appending: fewer than 256 KiB are not yet durable, or none where the whole queue is
    /// crowded. Also true once the record has failed, so that nobody waits for what will not come.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let pending = self.pending_bytes();
        pending == 0 || (pending < ROOM && !self.queue.is_crowded()) || !self.queue.is_open()
    }

    /// Waits until [`Stream::has_room`].
    pub async fn room(&self) {
        poll_fn(|cx| self.poll_room(cx)).await;
    }

    /// [`Stream::room`] as a poll; any number of tasks may wait.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_room() {
            return Poll::Ready(());
        }
        {
            let mut wakers = locked(&self.shared.wakers);
            if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                wakers.push(cx.waker().clone());
            }
        }
        // Looked at again, since the writer may have woken everybody just before.
        if self.has_room() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if locked(&self.state).tally.ended.is_none() && self.end(Timestamp::now(), "interrupted").is_err() {
            tracing::debug!(stream = %self.shared.id, "the end of a stream is left to the next start");
        }
    }
}

/// What is behind these locks is whole after every statement.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
