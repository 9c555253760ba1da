//! What a client sent on one channel and nobody has taken yet.
//!
//! The library's callbacks put messages here and return at once; the channel's task takes them. The library gives the
//! window back as soon as data arrives, whoever reads it, so this is where a client that sends faster than its target
//! takes is held: first in memory, then in a file without a name, and the brake of the connection slows what is read
//! from the client meanwhile (`wire.rs`).
//!
//! Promises: order is kept; short data gathers, so that a message a byte costs its byte; at most [`SOFT`] bytes and
//! [`MESSAGES`] messages in memory; past [`HARD`] bytes in all, the channel has overflowed and nothing more of it is
//! taken. A message is never waited for here while the lock is held. The end of a channel comes at once, and what was
//! sent before is dropped, but for those that say otherwise ([`Closes`]).
//! Held by: the tests below.

use crate::frame::FromClient;
use bytes::{Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use russh::Sig;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
#[expect(
    clippy::disallowed_types,
    reason = "callbacks of the library and the channel's task share the queue; no await"
)]
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

/// Bytes of data kept in memory.
pub(crate) const SOFT: usize = 2 << 20;
/// Messages kept, data counted by the piece.
const MESSAGES: usize = 4096;
/// Bytes of data kept in all.
const HARD: u64 = 1 << 30;
/// What a terminal sends when its user wants no more of what runs.
const CTRL_C: u8 = 3;
/// Data gathers up to this size.
const PIECE: usize = 32 * 1024;

/// One channel's queue. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Inbox(Arc<Shared>);

struct Shared {
    #[expect(clippy::disallowed_types, reason = "see above")]
    queue: Mutex<Queue>,
    waker: AtomicWaker,
    starved: AtomicBool,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<FromClient>,
    /// The newest data, still growing; behind all of `messages`.
    tail: BytesMut,
    in_memory: usize,
    spool: Option<Spool>,
    closed: bool,
    closes: Closes,
    /// It has said that no more comes.
    ended: bool,
    overflowed: bool,
    interrupts: Interrupts,
}

/// When the end of a channel is seen.
#[derive(Clone, Copy, Default)]
enum Closes {
    /// At once.
    #[default]
    AtOnce,
    /// Behind what was sent, where its peer had said that no more comes; else at once.
    AfterTheEnd,
    /// Behind what was sent.
    InOrder,
}

/// Ways in which a client said that it wants no more of what it asked for, whatever is queued before them.
#[derive(Clone, Copy, Default)]
struct Interrupts {
    /// Ctrl-C, which means that where there is a terminal.
    typed: bool,
    /// The signal of that name (RFC 4254 §6.9).
    signalled: bool,
}

/// Data that lies in a file: behind `messages` and `tail`, before `behind`.
struct Spool {
    file: File,
    read: u64,
    written: u64,
    /// What came after the data in the file.
    behind: VecDeque<FromClient>,
}

impl Queue {
    fn gather(&mut self) {
        if !self.tail.is_empty() {
            self.messages.push_back(FromClient::Data(self.tail.split().freeze()));
        }
    }

    fn count(&self) -> usize {
        self.messages.len() + self.spool.as_ref().map_or(0, |spool| spool.behind.len())
    }

    fn push(&mut self, message: FromClient) {
        if self.closed || self.overflowed {
            return;
        }
        if matches!(message, FromClient::Close) {
            let waits = match self.closes {
                Closes::AtOnce => false,
                Closes::AfterTheEnd => std::mem::take(&mut self.ended),
                Closes::InOrder => true,
            };
            if !waits {
                self.closed = true;
                return;
            }
        }
        self.ended |= matches!(message, FromClient::Eof);
        self.interrupts.signalled |= matches!(message, FromClient::Signal(Sig::INT));
        if self.count() >= MESSAGES {
            self.overflowed = true;
            return;
        }
        match &mut self.spool {
            Some(spool) => spool.behind.push_back(message),
            None => {
                self.gather();
                self.messages.push_back(message);
            }
        }
    }

    fn push_data(&mut self, data: &[u8]) -> io::Result<()> {
        self.interrupts.typed = self.interrupts.typed || data.contains(&CTRL_C);
        match &mut self.spool {
            None if self.in_memory + data.len() <= SOFT => {
                self.in_memory += data.len();
                self.tail.extend_from_slice(data);
                if self.tail.len() >= PIECE {
                    self.gather();
                }
                Ok(())
            }
            // Data behind a message that is behind data in the file: a client that mixes them while it is held.
            Some(spool) if !spool.behind.is_empty() => {
                self.overflowed = true;
                Ok(())
            }
            Some(spool) if spool.written + data.len() as u64 > HARD => {
                self.overflowed = true;
                Ok(())
            }
            Some(spool) => spool.write(data),
            None => {
                let mut spool = Spool { file: tempfile::tempfile()?, read: 0, written: 0, behind: VecDeque::new() };
                spool.write(data)?;
                self.spool = Some(spool);
                Ok(())
            }
        }
    }

    fn pop(&mut self) -> Option<FromClient> {
        if self.messages.is_empty() {
            self.gather();
        }
        if let Some(message) = self.messages.pop_front() {
            if let FromClient::Data(data) = &message {
                self.in_memory = self.in_memory.saturating_sub(data.len());
            }
            return Some(message);
        }
        let spool = self.spool.as_mut()?;
        match spool.read() {
            Ok(Some(data)) => Some(FromClient::Data(data)),
            Ok(None) => {
                self.messages = std::mem::take(&mut spool.behind);
                self.spool = None;
                self.messages.pop_front()
            }
            Err(error) => {
                tracing::error!(%error, "what a client sent could not be read back; its channel ends");
                self.overflowed = true;
                None
            }
        }
    }
}

impl Spool {
    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, self.written)?;
        self.written += data.len() as u64;
        Ok(())
    }

    fn read(&mut self) -> io::Result<Option<Bytes>> {
        let left = usize::try_from(self.written - self.read).unwrap_or(usize::MAX).min(PIECE);
        if left == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; left];
        self.file.read_exact_at(&mut piece, self.read)?;
        self.read += left as u64;
        Ok(Some(piece.into()))
    }
}

/// What is taken from an inbox.
#[derive(Debug)]
pub(crate) enum Taken {
    /// The next message.
    Message(FromClient),
    /// The client closed the channel, or is gone; what it sent before is dropped.
    Closed,
    /// It sent more than is kept.
    Overflowed,
}

impl Inbox {
    #[expect(clippy::disallowed_types, reason = "see above")]
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared { queue: Mutex::default(), waker: AtomicWaker::new(), starved: AtomicBool::new(false) }))
    }

    /// One of a channel to another host: what its client sent is to arrive although it has closed the channel, where no more
    /// was to come.
    pub(crate) fn to_the_end() -> Self {
        Self::new().closing(Closes::AfterTheEnd)
    }

    /// One of a channel that a target opened: its end comes behind all that it sent.
    pub(crate) fn in_order() -> Self {
        Self::new().closing(Closes::InOrder)
    }

    fn closing(self, closes: Closes) -> Self {
        self.with(|queue| queue.closes = closes);
        self
    }

    /// Whether anybody else has it.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Puts a message other than data behind the others.
    pub(crate) fn push(&self, message: FromClient) {
        self.with(|queue| queue.push(message));
        self.0.waker.wake();
    }

    /// Puts data behind the others.
    pub(crate) fn push_data(&self, data: &[u8]) {
        self.with(|queue| {
            if !queue.closed && !queue.overflowed && queue.push_data(data).is_err() {
                tracing::error!("what a client sent could not be kept; its channel ends");
                queue.overflowed = true;
            }
        });
        self.0.waker.wake();
    }

    /// Says whether the other direction waits for the client: then nothing of it may be slowed, since what it waits for
    /// comes behind the data.
    pub(crate) fn set_starved(&self, starved: bool) {
        self.0.starved.store(starved, Ordering::Relaxed);
    }

    /// Takes the next message, the end first.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Taken> {
        self.0.waker.register(cx.waker());
        self.with(|queue| {
            if queue.closed {
                return Poll::Ready(Taken::Closed);
            }
            let message = queue.pop();
            match message {
                Some(message) => Poll::Ready(Taken::Message(message)),
                None if queue.overflowed => Poll::Ready(Taken::Overflowed),
                None => Poll::Pending,
            }
        })
    }

    /// Whether the client closed the channel. Registers for the next change.
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.waker.register(cx.waker());
        self.with(|queue| if queue.closed { Poll::Ready(()) } else { Poll::Pending })
    }

    /// Whether the client wants no more of what it asked for, which has not begun. Registers for the next change.
    pub(crate) fn poll_interrupted(&self, terminal: bool, cx: &mut Context<'_>) -> Poll<()> {
        self.0.waker.register(cx.waker());
        let Interrupts { typed, signalled } = self.with(|queue| queue.interrupts);
        if signalled || (typed && terminal) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether more was sent than memory holds.
    pub(crate) fn is_spooling(&self) -> bool {
        self.with(|queue| queue.spool.is_some())
    }

    /// Whether so little waits that the client may send at its own pace again.
    pub(crate) fn has_caught_up(&self) -> bool {
        self.with(|queue| queue.spool.is_none() && queue.in_memory < SOFT / 4)
    }

    /// Bytes that wait past what memory holds; `None` where the channel keeps up.
    pub(crate) fn behind(&self) -> Option<u64> {
        if self.0.starved.load(Ordering::Relaxed) {
            return None;
        }
        self.with(|queue| {
            let spooled = queue.spool.as_ref().map_or(0, |spool| spool.written - spool.read);
            (spooled > 0 || queue.in_memory > SOFT / 2).then_some(spooled)
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Queue) -> T) -> T {
        // A panic while it was held left it whole: every step leaves the queue consistent.
        act(&mut self.0.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker_ref;

    fn take(inbox: &Inbox) -> Option<Taken> {
        match inbox.poll_take(&mut Context::from_waker(noop_waker_ref())) {
            Poll::Ready(taken) => Some(taken),
            Poll::Pending => None,
        }
    }

    fn drained(inbox: &Inbox) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(Taken::Message(FromClient::Data(data))) = take(inbox) {
            out.extend_from_slice(&data);
        }
        out
    }

    #[test]
    fn order_is_kept_across_memory_and_file() {
        let inbox = Inbox::new();
        let mut expected = Vec::new();
        for nth in 0..3000u32 {
            let piece = vec![u8::try_from(nth % 251).unwrap(); 1000];
            expected.extend_from_slice(&piece);
            inbox.push_data(&piece);
        }
        assert!(inbox.behind().is_some());
        inbox.push(FromClient::Eof);
        let got = drained(&inbox);
        assert_eq!(got.len(), expected.len());
        assert_eq!(got, expected);
        assert!(inbox.behind().is_none());
    }

    #[test]
    fn a_message_behind_data_in_the_file_comes_behind_it() {
        let inbox = Inbox::new();
        inbox.push_data(&vec![1; SOFT]);
        inbox.push_data(&[2; 10]);
        inbox.push(FromClient::Eof);
        let mut sizes = 0;
        loop {
            match take(&inbox) {
                Some(Taken::Message(FromClient::Data(data))) => sizes += data.len(),
                Some(Taken::Message(FromClient::Eof)) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(sizes, SOFT + 10);
        inbox.push_data(&[3; 5]);
        assert_eq!(drained(&inbox), [3; 5]);
    }

    #[test]
    fn an_interrupt_is_seen_behind_whatever_waits_and_ctrl_c_only_of_a_terminal() {
        let interrupted = |inbox: &Inbox, terminal| {
            inbox.poll_interrupted(terminal, &mut Context::from_waker(noop_waker_ref())).is_ready()
        };
        let inbox = Inbox::new();
        inbox.push_data(&vec![b'x'; SOFT + 1]);
        assert!(!interrupted(&inbox, true));
        inbox.push_data(b"y\x03z");
        assert!(interrupted(&inbox, true) && !interrupted(&inbox, false));
        inbox.push(FromClient::Signal(Sig::TERM));
        assert!(!interrupted(&inbox, false));
        inbox.push(FromClient::Signal(Sig::INT));
        assert!(interrupted(&inbox, false));
        // What was typed is still there for what runs.
        assert_eq!(drained(&inbox).len(), SOFT + 4);
    }

    #[test]
    fn single_bytes_gather() {
        let inbox = Inbox::new();
        for _ in 0..100_000 {
            inbox.push_data(b"x");
        }
        assert_eq!(drained(&inbox).len(), 100_000);
    }

    #[test]
    fn requests_without_end_overflow_and_a_close_is_seen_at_once() {
        let inbox = Inbox::new();
        for _ in 0..2 * MESSAGES {
            inbox.push(FromClient::Shell);
        }
        for _ in 0..MESSAGES {
            assert!(matches!(take(&inbox), Some(Taken::Message(FromClient::Shell))));
        }
        assert!(matches!(take(&inbox), Some(Taken::Overflowed)));
        let inbox = Inbox::new();
        inbox.push_data(&[1; 10]);
        inbox.push(FromClient::Close);
        assert!(matches!(take(&inbox), Some(Taken::Closed)));
    }

    #[test]
    fn to_the_end_a_close_is_behind_what_was_sent_only_where_no_more_was_to_come() {
        let closed = |inbox: &Inbox| inbox.poll_closed(&mut Context::from_waker(noop_waker_ref())).is_ready();
        let inbox = Inbox::to_the_end();
        inbox.push_data(&vec![1; SOFT + 1]);
        inbox.push(FromClient::Eof);
        inbox.push(FromClient::Close);
        assert!(!closed(&inbox));
        let mut sizes = 0;
        loop {
            match take(&inbox) {
                Some(Taken::Message(FromClient::Data(data))) => sizes += data.len(),
                Some(Taken::Message(FromClient::Eof)) => {}
                Some(Taken::Message(FromClient::Close)) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(sizes, SOFT + 1);
        // One whose connection is gone besides has its end at once.
        inbox.push(FromClient::Close);
        assert!(closed(&inbox));
        let inbox = Inbox::to_the_end();
        inbox.push_data(&[1; 10]);
        inbox.push(FromClient::Close);
        assert!(closed(&inbox));
        let inbox = Inbox::in_order();
        inbox.push_data(&[1; 10]);
        inbox.push(FromClient::Close);
        assert!(!closed(&inbox) && drained(&inbox).len() == 10 && inbox.is_shared() != inbox.clone().is_shared());
    }
}
