//! The outlets of an exchange: the one request to a backend, and the answer to its client.
//!
//! Promises: a request is built from what was judged, below the configured prefix, to the configured host, with the
//! gateway's own headers in it and nothing that was there before of their names; it leaves once, over a connection of a
//! pool that belongs to its destination, or over one of its own where it asks for a socket; a redirect is not followed.
//! An answer leaves through a channel of a few pieces, so that nothing piles up, and one that is aborted ends without its
//! last chunk, so that it never looks whole.
//! Does not promise to notice a client that goes away: its body does, and the exchange looks.
//! Only [`Upstream`](portcullis_gate::Upstream) and [`Downstream`](portcullis_gate::Downstream) call these.
//! Held by: the tests below, and `tests/it/http*.rs` of the binary.

mod answering;
mod socket;
mod switching;
mod way;

pub(crate) use answering::{ClientAnswer, ClientBody, Once, Slot, Streamed};
pub(crate) use socket::SocketWriter;
pub(crate) use switching::{Switched, Wire};
pub use way::Destination;
pub(crate) use way::{Way, deepest};

use crate::error::Error;
use crate::frame::Request;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use portcullis_gate::{Outlet, Session, Weight as _};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use switching::Driving;
use tokio::sync::oneshot;

/// What came of a request.
pub(crate) type Answered = Result<Came, Error>;

/// What a backend answers with.
pub(crate) enum Came {
    /// The head of its answer, with the body behind it.
    Answer(http::Response<Incoming>),
    /// The socket that it was asked for.
    Switched(Switched),
}

/// Sends one request; the answer comes back through a slot.
pub(crate) struct RequestSender {
    way: Arc<Way>,
    session: Arc<Session>,
    waiting: Option<Request>,
    sending: Option<BoxFuture<'static, (Answered, Option<Driving>)>>,
    /// The connection that its answer comes over, where that is nobody else's.
    driving: Option<Driving>,
    answered: Option<oneshot::Sender<Answered>>,
}

impl RequestSender {
    pub(crate) fn new(way: Arc<Way>, session: Arc<Session>, answered: oneshot::Sender<Answered>) -> Self {
        Self { way, session, waiting: None, sending: None, driving: None, answered: Some(answered) }
    }
}

impl Outlet for RequestSender {
    type Frame = Request;

    fn stage(&mut self, frame: Request) {
        self.waiting = Some(frame);
    }

    fn staged(&self) -> usize {
        self.waiting.as_ref().map_or(0, |request| request.weight().max(1))
            + usize::from(self.sending.is_some() || self.driving.is_some())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(request) = self.waiting.take() {
            let (way, session) = (Arc::clone(&self.way), Arc::clone(&self.session));
            self.sending = Some(if request.upgrades() {
                Box::pin(way.open(session, request))
            } else {
                Box::pin(async move { (way.send(&session, request).await, None) })
            });
        }
        if let Some(sending) = &mut self.sending {
            let (answered, driving) = ready!(sending.as_mut().poll(cx));
            self.sending = None;
            self.driving = driving;
            if let Some(slot) = self.answered.take() {
                // Nobody waits for it any more: it is dropped, which ends it at the backend.
                slot.send(answered).ok();
            }
        }
        if let Some(driving) = &mut self.driving {
            ready!(driving.as_mut().poll(cx));
            self.driving = None;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
