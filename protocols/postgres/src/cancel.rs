//! Cancel requests: keys of the gateway's own, and what they reach.
//!
//! Promises: a client never sees a server's key; it gets one of ours, of four bytes in protocol 3.0 and 32 in 3.2, good
//! for its own session only and gone with it. A request reaches the task that owns the session, which alone knows
//! whether a statement is in flight or a hold is waiting, and decides; nothing is sent to a server from here unasked.
//! Keys are compared in constant time, whether or not the session exists; an address that shows wrong keys too fast is
//! not listened to. Requests for one session are merged. The server's own cancel connection is protected like its session.
//!
//! Does not promise: that the statement stops; cancelling is a wish in this protocol, and a race by nature. Keys live
//! in this process: [`CancelKeys`] is where a store shared by gateways would come in.
//! Held by: `cancel/tests.rs`.

use crate::error::{Error, Result, Side};
use crate::login::backend::{Target, reach};
use crate::login::send;
use crate::message::write;
use crate::negotiate::CancelRequest;
use crate::startup::Version;
use bytes::BytesMut;
use futures_util::future::BoxFuture;
use ring::rand::{SecureRandom, SystemRandom};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

mod local;
#[cfg(test)]
mod tests;

pub use local::LocalKeys;

/// What became of a request. For the record only: the one who sent it is told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requested {
    /// The session was told.
    Delivered,
    /// Too many wrong keys from this address lately; not looked at.
    Ignored,
    /// No session has this key.
    Unknown,
}

/// Who has which key.
pub trait CancelKeys: Send + Sync + 'static {
    /// A fresh key for a session that speaks `version`, or none when there are too many.
    fn register(&self, version: Version) -> Option<Registration>;

    /// Passes a request that came from `from` to the session it names.
    fn request(&self, from: IpAddr, request: CancelRequest) -> BoxFuture<'_, Requested>;
}

/// A session's key. Dropping it forgets the key.
pub struct Registration {
    pid: i32,
    secret: Zeroizing<Vec<u8>>,
    requests: mpsc::Receiver<()>,
    _forget: Forget,
}

impl Registration {
    /// What the client is given in BackendKeyData.
    #[must_use]
    pub fn key(&self) -> (i32, &[u8]) {
        (self.pid, &self.secret)
    }

    /// Ready when a cancel was asked for since the last time.
    pub fn poll_requested(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.requests.poll_recv(cx) {
            Poll::Ready(Some(())) => Poll::Ready(()),
            // A registry that is gone asks for nothing.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Resolves when a cancel is asked for. Cancel safe.
    pub async fn requested(&mut self) {
        std::future::poll_fn(|cx| self.poll_requested(cx)).await;
    }
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// Runs when a registration ends.
struct Forget(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Drop for Forget {
    fn drop(&mut self) {
        if let Some(forget) = self.0.take() {
            forget();
        }
    }
}

/// The length of a key's secret part.
fn secret_length(version: Version) -> usize {
    if version >= Version::V3_2 { 32 } else { 4 }
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

/// How to cancel what a server runs for one session.
#[derive(Clone)]
pub struct ServerCancel {
    target: Arc<Target>,
    pid: i32,
    secret: Arc<Zeroizing<Vec<u8>>>,
}

impl ServerCancel {
    pub(crate) fn new(target: &Target, pid: i32, secret: Vec<u8>) -> Self {
        // A cancel request carries no login, so it needs no password.
        let target = Target { password: None, ..target.clone() };
        Self { target: Arc::new(target), pid, secret: Arc::new(Zeroizing::new(secret)) }
    }

    /// The server's process that serves the session.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// Asks the server to cancel what it runs for this session, and waits until it has heard. The answer to the
    /// statement says whether it did.
    ///
    /// # Errors
    /// When the server cannot be reached, or not in the time of its login.
    pub async fn send(&self) -> Result<()> {
        let asked = async {
            let mut io = reach(&self.target).await?;
            let mut out = BytesMut::new();
            write::cancel_request(&mut out, self.pid, &self.secret);
            send(&mut io, &out, Side::Backend).await?;
            // The server closes once the signal is sent. However it closes, it has read.
            io.read_u8().await.ok();
            Ok(())
        };
        match tokio::time::timeout(self.target.timeout, asked).await {
            Ok(done) => done,
            Err(_) => Err(Error::Timeout { side: Side::Backend, doing: "taking a cancel request" }),
        }
    }
}

impl std::fmt::Debug for ServerCancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerCancel").field("pid", &self.pid).finish_non_exhaustive()
    }
}
