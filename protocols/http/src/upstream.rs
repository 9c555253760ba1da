//! The outlets of an exchange: the one request to a backend, and the answer to its client.
//!
//! Promises: a request is built from what was judged, below the configured prefix, to the configured host, with the
//! gateway's own headers in it and nothing that was there before of their names; it leaves once, over a connection of a
//! pool that belongs to its destination; a redirect is not followed. An answer leaves through a channel of a few pieces,
//! so that nothing piles up, and one that is aborted ends without its last chunk, so that it never looks whole.
//! Does not promise to notice a client that goes away: its body does, and the exchange looks.
//! Only [`Upstream`](portcullis_gate::Upstream) and [`Downstream`](portcullis_gate::Downstream) call these.
//! Held by: the tests below, and `tests/it/http*.rs` of the binary.

mod answering;
mod way;

pub(crate) use answering::{ClientAnswer, ClientBody, Once, Slot, Streamed};
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
use tokio::sync::oneshot;

/// What came of a request: the head of its answer, with the body behind it.
pub(crate) type Answered = Result<http::Response<Incoming>, Error>;

/// Sends one request; the answer comes back through a slot.
pub(crate) struct RequestSender {
    way: Arc<Way>,
    session: Arc<Session>,
    waiting: Option<Request>,
    sending: Option<BoxFuture<'static, Answered>>,
    answered: Option<oneshot::Sender<Answered>>,
}

impl RequestSender {
    pub(crate) fn new(way: Arc<Way>, session: Arc<Session>, answered: oneshot::Sender<Answered>) -> Self {
        Self { way, session, waiting: None, sending: None, answered: Some(answered) }
    }
}

impl Outlet for RequestSender {
    type Frame = Request;

    fn stage(&mut self, frame: Request) {
        self.waiting = Some(frame);
    }

    fn staged(&self) -> usize {
        self.waiting.as_ref().map_or(0, |request| request.weight().max(1)) + usize::from(self.sending.is_some())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(request) = self.waiting.take() {
            let (way, session) = (Arc::clone(&self.way), Arc::clone(&self.session));
            self.sending = Some(Box::pin(async move { way.send(&session, request).await }));
        }
        if let Some(sending) = &mut self.sending {
            let answered = ready!(sending.as_mut().poll(cx));
            self.sending = None;
            if let Some(slot) = self.answered.take() {
                // Nobody waits for it any more: it is dropped, which ends it at the backend.
                slot.send(answered).ok();
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
