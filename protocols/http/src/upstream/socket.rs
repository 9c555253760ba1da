//! The writing half of a socket, on either side.
//!
//! Promises: a frame is written as one whole message, masked with random bytes of its own towards a backend (RFC 6455 §5.3);
//! where the system gives none, nothing is written any more. Held by: the tests below, `tests/it/websocket.rs` of the binary.

use crate::websocket::{LARGEST_HEAD, ToPeer, write};
use bytes::{Buf as _, BytesMut};
use portcullis_gate::Outlet;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Bytes that are kept for the next frames once these are written.
const KEPT: usize = 64 * 1024;

/// Writes frames.
pub(crate) struct SocketWriter<W> {
    io: W,
    /// Masks what is written, towards a backend.
    random: Option<SystemRandom>,
    out: BytesMut,
    /// The stream below may hold back what it was given.
    unflushed: bool,
    ends: bool,
    failed: bool,
}

impl<W: AsyncWrite + Unpin> SocketWriter<W> {
    pub(crate) fn to_client(io: W) -> Self {
        Self { io, random: None, out: BytesMut::new(), unflushed: false, ends: false, failed: false }
    }

    pub(crate) fn to_backend(io: W) -> Self {
        Self { random: Some(SystemRandom::new()), ..Self::to_client(io) }
    }
}

impl<W: AsyncWrite + Unpin> Outlet for SocketWriter<W> {
    type Frame = ToPeer;

    fn stage(&mut self, frame: ToPeer) {
        self.unflushed = true;
        let Some((kind, payload)) = frame.frame() else {
            self.ends = true;
            return;
        };
        let mask = match &self.random {
            None => None,
            Some(random) => {
                let mut mask = [0; 4];
                self.failed |= random.fill(&mut mask).is_err();
                Some(mask)
            }
        };
        if !self.failed {
            self.out.reserve(LARGEST_HEAD + payload.len());
            write(kind, &payload, mask, &mut self.out);
        }
    }

    fn staged(&self) -> usize {
        self.out.len() + usize::from(self.unflushed)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.failed {
            return Poll::Ready(Err(io::Error::other("no random bytes to mask with")));
        }
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
        }
        if self.out.capacity() > KEPT {
            self.out = BytesMut::new();
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        if self.ends {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        }
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::{Close, Code, Heard, Messages, Peer};
    use bytes::Bytes;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn what_is_written_is_read_again_and_masked_towards_a_backend_alone() {
        for peer in [Peer::Client, Peer::Backend] {
            let (near, mut far) = tokio::io::duplex(1 << 20);
            let mut writer =
                if peer == Peer::Client { SocketWriter::to_backend(near) } else { SocketWriter::to_client(near) };
            let text = Bytes::from("the same words ".repeat(9));
            for frame in [
                ToPeer::Text(text.clone()),
                ToPeer::Text(text.clone()),
                ToPeer::Pong(Bytes::from("p")),
                ToPeer::Close(Close::bare(Some(Code::NORMAL))),
                ToPeer::End,
            ] {
                writer.stage(frame);
            }
            poll_fn(|cx| writer.poll_flush(cx)).await.unwrap();
            assert_eq!(writer.staged(), 0);
            let mut bytes = Vec::new();
            far.read_to_end(&mut bytes).await.unwrap();
            let seen = memchr::memmem::find(&bytes, &text).is_some();
            assert_eq!(seen, peer == Peer::Backend);
            let mut messages = Messages::of(peer, 1 << 20);
            messages.feed(&bytes);
            let mut next = || messages.next(false).unwrap().unwrap();
            let said = Heard::Text(String::from_utf8(text.to_vec()).unwrap());
            assert_eq!([next(), next(), next()], [said.clone(), said, Heard::Pong]);
            assert_eq!(next(), Heard::Close(Some(Code::NORMAL)));
        }
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_waited_for() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut writer = SocketWriter::to_client(near);
        writer.stage(ToPeer::Binary(Bytes::from(vec![7; 100])));
        let blocked = poll_fn(|cx| Poll::Ready(writer.poll_flush(cx).is_pending())).await;
        assert!(blocked && writer.staged() > 80, "{}", writer.staged());
        let mut got = vec![0; 102];
        let (flushed, read) = tokio::join!(poll_fn(|cx| writer.poll_flush(cx)), far.read_exact(&mut got));
        assert!(flushed.is_ok() && read.is_ok());
    }
}
