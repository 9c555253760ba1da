//! The writing halves of both sockets, as the gate's writers take them.
//!
//! Promises: frames leave whole and in order; small ones gather into one buffer, long ones are written from where they
//! lie; one write for a batch, vectored where the stream can; an idle socket keeps no buffer. A socket is closed with
//! the TLS goodbye once everything staged was written.
//! Does not promise to write anything by itself: only [`Upstream`](portcullis_gate::Upstream) and
//! [`Downstream`](portcullis_gate::Downstream) call it.
//! Held by: the tests below.

use bytes::{Buf, Bytes, BytesMut};
use portcullis_gate::Outlet;
use portcullis_net::Io;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncWrite, WriteHalf};

/// Frames shorter than this are gathered.
const SMALL: usize = 2 * 1024;
/// A buffer larger than this is given back when it is empty.
const KEPT: usize = 8 * 1024;
/// Pieces of one vectored write.
const PIECES: usize = 16;

/// Asks an outlet to close its socket behind what is staged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closer(Arc<AtomicU8>);

const OPEN: u8 = 0;
const CLOSING: u8 = 1;
const LOST: u8 = 2;
const CLOSED: u8 = 3;

impl Closer {
    /// Close once everything staged was written.
    pub(crate) fn close(&self) {
        let _was = self.0.compare_exchange(OPEN, CLOSING, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The record cannot be written, so nothing that waits for it may leave: say that, as a constant, and close.
    pub(crate) fn close_without_record(&self) {
        let _was = self.0.compare_exchange(OPEN, LOST, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// The writing half of a socket.
pub(crate) struct Socket<W = WriteHalf<Io>> {
    io: W,
    segments: VecDeque<Bytes>,
    tail: BytesMut,
    staged: usize,
    closer: Closer,
    /// Whether what was written so far ends between two frames.
    whole: Whole,
}

/// How much of the frame that was staged last is still to come.
#[derive(Default)]
struct Whole {
    left: usize,
}

impl Whole {
    /// Follows the frames in `bytes`; a header is never split between two of them.
    fn follow(&mut self, mut bytes: &[u8]) {
        loop {
            let taken = self.left.min(bytes.len());
            self.left -= taken;
            bytes = bytes.get(taken..).unwrap_or_default();
            let Some(length) = bytes.get(1..5).and_then(|field| field.first_chunk::<4>()) else { return };
            self.left = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX - 1).saturating_add(1);
        }
    }
}

impl<W: AsyncWrite + Unpin> Socket<W> {
    pub(crate) fn new(io: W) -> (Self, Closer) {
        let closer = Closer::default();
        let socket = Self {
            io,
            segments: VecDeque::new(),
            tail: BytesMut::new(),
            staged: 0,
            closer: closer.clone(),
            whole: Whole::default(),
        };
        (socket, closer)
    }

    fn gather(&mut self) {
        if !self.tail.is_empty() {
            self.segments.push_back(self.tail.split().freeze());
        }
    }

    fn wrote(&mut self, mut written: usize) {
        self.staged = self.staged.saturating_sub(written);
        while let Some(first) = self.segments.front_mut() {
            if first.len() > written {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.segments.pop_front();
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.closer.0.load(Ordering::Relaxed) {
            LOST => {
                self.closer.0.store(CLOSING, Ordering::Relaxed);
                if self.whole.left == 0 {
                    let words = crate::reply::fatal("58030", "the record cannot be written, so the session ends");
                    self.staged += words.len();
                    self.segments.push_back(words);
                    return self.poll_flush(cx);
                }
                self.poll_close(cx)
            }
            CLOSING => {
                let done = ready!(Pin::new(&mut self.io).poll_shutdown(cx));
                self.closer.0.store(CLOSED, Ordering::Relaxed);
                Poll::Ready(done)
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<W: AsyncWrite + Unpin> Outlet for Socket<W> {
    type Frame = Bytes;

    fn stage(&mut self, frame: Bytes) {
        self.staged += frame.len();
        self.whole.follow(&frame);
        if frame.len() < SMALL {
            self.tail.extend_from_slice(&frame);
        } else {
            self.gather();
            self.segments.push_back(frame);
        }
    }

    fn staged(&self) -> usize {
        let closing = matches!(self.closer.0.load(Ordering::Relaxed), CLOSING | LOST);
        self.staged + usize::from(closing)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.gather();
            if self.segments.is_empty() {
                ready!(Pin::new(&mut self.io).poll_flush(cx))?;
                if self.tail.capacity() > KEPT {
                    self.tail = BytesMut::new();
                }
                return self.poll_close(cx);
            }
            let mut slices = [IoSlice::new(&[]); PIECES];
            let mut count = 0;
            for (slice, segment) in slices.iter_mut().zip(&self.segments) {
                *slice = IoSlice::new(segment);
                count += 1;
            }
            let slices = slices.get(..count).unwrap_or_default();
            let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.wrote(written);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;

    fn frame(tag: u8, length: usize) -> Bytes {
        let mut bytes = vec![tag];
        bytes.extend_from_slice(&u32::try_from(length + 4).unwrap().to_be_bytes());
        bytes.resize(length + 5, tag);
        bytes.into()
    }

    #[tokio::test]
    async fn frames_leave_in_order_whatever_their_size() {
        let (near, mut far) = tokio::io::duplex(100);
        let (mut socket, closer) = Socket::new(near);
        let mut expected = Vec::new();
        for (index, length) in [3, 5000, 10, 0, 4000, 1].into_iter().enumerate() {
            let frame = frame(b'a' + u8::try_from(index).unwrap(), length);
            expected.extend_from_slice(&frame);
            socket.stage(frame);
        }
        closer.close();
        let reading = async {
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.unwrap();
            got
        };
        let (written, got) = tokio::join!(poll_fn(|cx| socket.poll_flush(cx)), reading);
        written.unwrap();
        assert_eq!(got, expected);
        assert_eq!(closer.0.load(Ordering::Relaxed), CLOSED);
        assert_eq!(socket.staged(), 0);
    }

    #[tokio::test]
    async fn last_words_never_land_inside_a_frame() {
        for (sent, expects_words) in [(frame(b'D', 4), true), (frame(b'D', 4).slice(..7), false)] {
            let (near, mut far) = tokio::io::duplex(1024);
            let (mut socket, closer) = Socket::new(near);
            socket.stage(sent.clone());
            closer.close_without_record();
            poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
            drop(socket);
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.unwrap();
            assert!(got.starts_with(&sent));
            assert_eq!(got.len() > sent.len(), expects_words);
        }
    }
}
