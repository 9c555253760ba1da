//! The two writers: the only callers of an [`Outlet`], each taking only what the gate made.
//!
//! Promises: frames leave in the order they were pushed; the longest prefix whose record is durable leaves, the rest
//! waits; one write for whatever has gathered, never one for each frame; polling never blocks, so a peer that does not
//! read stalls only its own direction. Once the record has failed, what waits is never sent, and every later asking says
//! so. What waits for its record when somebody ends the session is never sent to the backend, however soon the record has
//! it.
//! Does not promise a bound on the queue: the session's pump reads no more while [`Upstream::backlog`] is high.
//! Held by: `tests/it/durability.rs`.

use crate::answer::Released;
use crate::clearance::Cleared;
use crate::error::SendError;
use crate::session::Session;
use bytes::Bytes;
use futures_util::Stream;
use portcullis_audit::Watermark;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;

/// Bytes staged in an outlet before they are written: past it a batch is written even if more could be staged.
const BATCH: usize = 64 * 1024;

/// The size of a frame in bytes.
pub trait Weight {
    /// In bytes.
    fn weight(&self) -> usize;
}

impl Weight for Bytes {
    fn weight(&self) -> usize {
        self.len()
    }
}

/// Where frames leave to a peer: a socket, a channel half, a request sender. Implemented in each protocol's
/// `upstream.rs`, called only from here.
pub trait Outlet {
    /// What it takes.
    type Frame: Weight;
    /// Takes a frame into its write batch; no input or output.
    fn stage(&mut self, frame: Self::Frame);
    /// Bytes staged and not yet written.
    fn staged(&self) -> usize;
    /// Writes what is staged; ready when nothing is left.
    ///
    /// # Errors
    /// What the peer's connection reports.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// The shared body of the two writers.
struct Writer<O: Outlet> {
    outlet: O,
    queue: VecDeque<(u64, O::Frame)>,
    queued: usize,
    durable: u64,
    watermark: WatchStream<Watermark>,
    /// The record failed. Its stream says so once.
    failed: bool,
}

impl<O: Outlet> Writer<O> {
    fn new(outlet: O, session: &Session) -> Self {
        let watermark = WatchStream::new(session.watermark());
        Self { outlet, queue: VecDeque::new(), queued: 0, durable: 0, watermark, failed: false }
    }

    fn push(&mut self, wait_for: u64, frame: O::Frame) {
        // Nothing waits and this need not wait either: straight into the batch.
        if self.queue.is_empty() && wait_for <= self.durable && self.outlet.staged() < BATCH {
            self.outlet.stage(frame);
            return;
        }
        self.queued += frame.weight();
        self.queue.push_back((wait_for, frame));
    }

    fn backlog(&self) -> usize {
        self.queued + self.outlet.staged()
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        loop {
            let blocked = self.stage_durable();
            if self.outlet.staged() > 0 {
                ready!(self.outlet.poll_flush(cx))?;
                continue;
            }
            if !blocked {
                return Poll::Ready(Ok(()));
            }
            if self.failed {
                return Poll::Ready(Err(SendError::RecordUnavailable));
            }
            match ready!(Pin::new(&mut self.watermark).poll_next(cx)) {
                Some(Watermark::Durable { upto }) => self.durable = upto,
                Some(Watermark::Failed) | None => self.failed = true,
            }
        }
    }

    /// Whether there is anything that waits for its record, or behind what does.
    fn waits(&self) -> bool {
        !self.queue.is_empty()
    }

    fn discard(&mut self) {
        self.queue.clear();
        self.queued = 0;
    }

    /// Stages the longest durable prefix, up to one batch; true when what is left waits for the record.
    fn stage_durable(&mut self) -> bool {
        while self.outlet.staged() < BATCH {
            match self.queue.front() {
                None => return false,
                Some((wait_for, _)) if *wait_for > self.durable => return true,
                Some(_) => {}
            }
            if let Some((_, frame)) = self.queue.pop_front() {
                self.queued -= frame.weight();
                self.outlet.stage(frame);
            }
        }
        false
    }
}

/// The writer half of a backend: takes only [`Cleared`] frames.
pub struct Upstream<O: Outlet> {
    writer: Writer<O>,
    /// Somebody else ended the session.
    ended: CancellationToken,
    record: watch::Receiver<Watermark>,
}

impl<O: Outlet> Upstream<O> {
    /// The one writer to this backend; after login no other handle that writes exists.
    pub fn new(outlet: O, session: &Session) -> Self {
        Self { writer: Writer::new(outlet, session), ended: session.ended(), record: session.watermark() }
    }

    /// Queues a frame. It leaves with [`Upstream::poll_send`].
    pub fn push(&mut self, cleared: Cleared<O::Frame>) {
        self.writer.push(cleared.wait_for, cleared.frame);
    }

    /// Drops what waits, so that it is never sent: its client is gone.
    pub fn discard(&mut self) {
        self.writer.discard();
    }

    /// Bytes queued and not yet written.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.writer.backlog()
    }

    /// Sends what may be sent; ready when nothing is left.
    ///
    /// # Errors
    /// [`SendError`]: the session ends.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        // A record that failed ends sessions too, and is told as what it is.
        if self.writer.waits() && self.ended.is_cancelled() && !matches!(*self.record.borrow(), Watermark::Failed) {
            self.writer.discard();
        }
        self.writer.poll_send(cx)
    }
}

/// The writer half of a client: takes only [`Released`] frames.
pub struct Downstream<O: Outlet>(Writer<O>);

impl<O: Outlet> Downstream<O> {
    /// The one writer to this client; after login no other handle that writes exists.
    pub fn new(outlet: O, session: &Session) -> Self {
        Self(Writer::new(outlet, session))
    }

    /// Queues a frame. It leaves with [`Downstream::poll_send`].
    pub fn push(&mut self, released: Released<O::Frame>) {
        self.0.push(released.wait_for, released.frame);
    }

    /// Bytes queued and not yet written.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.0.backlog()
    }

    /// Sends what may be sent; ready when nothing is left.
    ///
    /// # Errors
    /// [`SendError`]: the session ends.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.0.poll_send(cx)
    }
}
