//! The byte stream under a connection: it can be cut, and its reading slowed.
//!
//! The library's own goodbye waits behind whatever it still has to send, and its windows open by themselves. So an end
//! that must be an end, and a client that must wait, are made here, below it.
//!
//! Promises: once [`Cut::cut`] was called, every read and write fails at once, so that the library drops the connection
//! whatever it was doing; while the [`Brake`] is on, at most [`SIP`] bytes are read at a time, the next after a pause
//! that grows with what already waits, so that a request, a window or an end behind the data is still seen.
//! Held by: the tests below and `tests/it/ssh_flow.rs` of the binary.

use futures_util::task::AtomicWaker;
use portcullis_net::Io;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

/// Bytes read at a time while the brake is on.
const SIP: usize = 16 * 1024;
/// The shortest pause between two of them.
const PAUSE: Duration = Duration::from_millis(20);
/// Pauses grow by this for every MiB that waits.
const PAUSE_A_MIB: Duration = Duration::from_millis(10);
/// And no longer than this.
const LONGEST: Duration = Duration::from_secs(2);

/// Ends a connection from outside. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cut(CancellationToken);

impl Cut {
    /// Ends it now.
    pub(crate) fn cut(&self) {
        self.0.cancel();
    }

    /// Ends it when the guard is dropped.
    pub(crate) fn guard(&self) -> DropGuard {
        self.0.clone().drop_guard()
    }
}

/// Slows the reading of a connection. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Brake(Arc<Pedal>);

#[derive(Debug, Default)]
struct Pedal {
    /// Bytes that wait, and one; 0 where none has to.
    behind: AtomicU64,
    released: AtomicWaker,
}

impl Brake {
    /// This many bytes wait past what memory holds; `None` where nothing has to.
    pub(crate) fn set(&self, behind: Option<u64>) {
        let before = self.0.behind.swap(behind.map_or(0, |bytes| bytes + 1), Ordering::Relaxed);
        if behind.is_none() && before > 0 {
            self.0.released.wake();
        }
    }

    /// How long to wait before the next sip; `None` where the brake is off.
    fn pause(&self) -> Option<Duration> {
        let behind = self.0.behind.load(Ordering::Relaxed).checked_sub(1)?;
        let mib = u32::try_from(behind >> 20).unwrap_or(u32::MAX);
        Some(PAUSE.saturating_add(PAUSE_A_MIB.saturating_mul(mib)).min(LONGEST))
    }
}

/// A connection's stream.
pub(crate) struct Wire {
    io: Io,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    token: CancellationToken,
    brake: Brake,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    pub(crate) fn new(io: Io, cut: &Cut, brake: Brake) -> Self {
        let token = cut.0.clone();
        Self { io, cut: Box::pin(token.clone().cancelled_owned()), token, brake, pause: None }
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.token.is_cancelled() || self.cut.as_mut().poll(cx).is_ready() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was cut"));
        }
        Ok(())
    }

    /// Ready when a read is due.
    fn poll_brake(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            self.brake.0.released.register(cx.waker());
            if self.brake.pause().is_some() {
                ready!(pause.as_mut().poll(cx));
            }
            self.pause = None;
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        ready!(self.poll_brake(cx));
        let Some(pause) = self.brake.pause() else { return Pin::new(&mut self.io).poll_read(cx, buf) };
        let mut sip = buf.take(SIP);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut sip))?;
        // The buffer learns of what its part was filled with by being given it; a sip is small.
        let bytes = sip.filled().to_vec();
        buf.put_slice(&bytes);
        self.pause = Some(Box::pin(tokio::time::sleep_until(Instant::now() + pause)));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_cut_wakes_who_waits() {
        let (near, _far) = tokio::io::duplex(64);
        let cut = Cut::default();
        let mut wire = Wire::new(Io::memory(near), &cut, Brake::default());
        let mut buffer = [0; 8];
        let reading = wire.read(&mut buffer);
        let ending = async { cut.cut() };
        let (read, ()) = tokio::join!(reading, ending);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert!(wire.write(b"x").await.is_err());
    }

    #[tokio::test]
    async fn the_brake_slows_and_does_not_stop() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let brake = Brake::default();
        let mut wire = Wire::new(Io::memory(near), &Cut::default(), brake.clone());
        far.write_all(&vec![7; 4 * SIP]).await.unwrap();
        brake.set(Some(0));
        let mut got = vec![0; 4 * SIP];
        assert_eq!(wire.read(&mut got).await.unwrap(), SIP);
        for nth in 1..4 {
            assert_eq!(wire.read(&mut got[nth * SIP..]).await.unwrap(), SIP, "more than a sip");
        }
        assert!(got.iter().all(|byte| *byte == 7));
        brake.set(None);
        far.write_all(&[1; 100]).await.unwrap();
        let mut rest = [0; 100];
        wire.read_exact(&mut rest).await.unwrap();
    }
}
