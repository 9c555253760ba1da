//! One request and its answer: what the core says, done.
//!
//! Promises: the backend is read only while the client's side and the record have room; one that goes silent is waited for
//! no longer than its connection says, and a client that takes nothing of what waits for it (a piece of 64 KiB, or what is
//! left) no longer than `patience.rs` says: then it is gone, what it holds is let go of, and its connection ends by the
//! idle limit; one that reads slowly is not cut. What of an answer is gathered to be masked counts among what its
//! principal's requests hold (`held.rs`). What an answer did not use of its budgets is given back before its client has the
//! end of it, within a second (`giving.rs`), and so is what was being taken for a client that left meanwhile; a client that
//! goes away ends what runs and withdraws what waits at once, also where the store has not yet taken what is given back;
//! where the record fails nothing more is released, and the client is not left waiting; a success
//! over HTTP/2 whose backend resets the stream, for whatever reason, is not whole. An error is believed to be: its
//! backend may reset what it does not want of the request (RFC 9113 §8.1).
//! Held by: `exchange/tests.rs` for budgets and streams that are reset, and `tests/it/http*.rs` of the binary.

use super::giving::GivingBack;
use super::held::Share;
use super::patience::Patience;
use crate::addresses::Mount;
use crate::api::KEEP_ALIVE;
use crate::core::{Core, Proposal, Reserve, Steps, Waiting};
use crate::error::{Error, Side};
use crate::frame::{Head, Request};
use crate::head;
use crate::upstream::{Answered, Came, ClientBody, RequestSender, Streamed, Switched, Way, deepest};
use futures_util::future::BoxFuture;
use http::{Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use portcullis_gate::{Downstream, Permit, Reminder, Reservation, Room, SendError, Session, Settled, Upstream, Waited};
use portcullis_model::Denial;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Bytes that may wait for the client before the backend is read no more.
const HIGH: usize = 256 * 1024;
/// Rounds before other tasks get their turn.
const TURNS: usize = 32;

enum Held {
    Request(BoxFuture<'static, Waited<Request>>),
    Proposal(BoxFuture<'static, Settled<Proposal>>),
}

/// One exchange, from the asking to the end of the answer.
pub(super) struct Exchange {
    session: Arc<Session>,
    way: Arc<Way>,
    /// Where its client reaches the connection; addresses in the head of the answer are written so.
    mount: Option<Mount>,
    core: Core,
    steps: Steps,
    up: Upstream<RequestSender>,
    answered: Option<oneshot::Receiver<Answered>>,
    body: Option<Incoming>,
    /// The end of the body is a frame of its own, which the backend sends or not.
    framed: bool,
    down: Downstream<ClientBody>,
    hold: Option<Held>,
    /// What is taken from budgets, and what is given back: what leaves with it stays in the steps until it may.
    reserving: Option<BoxFuture<'static, (Permit, Result<Reservation, Denial>)>>,
    giving_back: GivingBack,
    /// When the client that waits for people hears of us again.
    reminder: Reminder,
    patience: Patience,
    /// What its request holds, and what of its answer is gathered.
    share: Share,
    room: Room,
    gone: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The socket that it asked for.
    switched: Option<(Permit, Switched)>,
}

impl Exchange {
    pub(super) fn new(
        session: Arc<Session>,
        way: Arc<Way>,
        share: Share,
        stream: oneshot::Sender<Response<Streamed>>,
        gone: &CancellationToken,
    ) -> Self {
        let (sender, answered) = oneshot::channel();
        let patience = Patience::new(way.timeout);
        Self {
            way: Arc::clone(&way),
            mount: None,
            core: Core::new(Arc::clone(&session), Arc::clone(&way.target)),
            steps: Steps::default(),
            up: Upstream::new(RequestSender::new(way, Arc::clone(&session), sender), &session),
            answered: Some(answered),
            body: None,
            framed: false,
            down: Downstream::new(ClientBody::new(stream, gone), &session),
            hold: None,
            reserving: None,
            giving_back: GivingBack::default(),
            reminder: Reminder::every(KEEP_ALIVE),
            patience,
            share,
            room: Room::default(),
            gone: Box::pin(gone.clone().cancelled_owned()),
            switched: None,
            session,
        }
    }

    /// Says where its client reaches the connection.
    pub(super) fn reached_at(&mut self, mount: Mount) {
        self.mount = Some(mount);
    }

    /// Asks about the request, which is whole.
    pub(super) fn ask(&mut self, request: Request, stays: Option<Duration>, reason: Option<Arc<str>>) {
        self.core.because(reason);
        self.core.on_request(request, stays, &mut self.steps);
        self.apply();
    }

    /// Until its client has all of it or is gone, and then until what was not used is given back. Gives what it became.
    pub(super) async fn run(mut self) -> Option<(Permit, Switched)> {
        poll_fn(|cx| self.poll(cx)).await;
        let switched = self.switched.take();
        self.into_giving_back().over().await;
        switched
    }

    /// What is left of it behind its client: the request to the backend, and what waits for people or budgets, end here.
    fn into_giving_back(self) -> GivingBack {
        self.giving_back
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            // Before anything else: for somebody who is gone nothing is sent any more.
            if self.gone.as_mut().poll(cx).is_ready() {
                self.leave();
                return Poll::Ready(());
            }
            let mut progress = self.poll_hold(cx);
            self.poll_reminder(cx);
            self.room.poll(&self.session, cx);
            progress |= self.take_backend(cx);
            self.poll_silence(progress, cx);
            // Behind all that takes from budgets and gives back to them: what began is asked before it is waited for.
            progress |= self.poll_budgets(cx);
            let waited = self.down.backlog();
            if !self.write(cx) {
                return Poll::Ready(());
            }
            if self.switched.is_some() || (self.steps.end && self.is_told() && self.giving_back.is_over()) {
                return Poll::Ready(());
            }
            if self.is_deaf(waited, cx) {
                self.leave();
                return Poll::Ready(());
            }
            // What was not asked because too much waited wakes nobody: it is asked again once there is room.
            let freed = waited >= HIGH && self.down.backlog() < HIGH;
            let unseen = self.room.is_unseen(&self.session);
            if !progress && !freed && !unseen {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The client is gone: nothing is done any more but that its budgets are given back.
    fn leave(&mut self) {
        self.core.on_gone(&mut self.steps);
        // Nothing was sent: what is being taken for it goes back once it is taken.
        if let Some(reserving) = self.reserving.take() {
            self.giving_back.begin(async move {
                let (_permit, reserved) = reserving.await;
                if let Ok(reserved) = reserved {
                    reserved.settle(0).await;
                }
            });
        }
        if let Some((reservation, used)) = self.steps.used.take() {
            self.giving_back.begin(reservation.settle(used));
        }
    }

    /// Whether the client's side has all of what there is for it.
    fn is_told(&self) -> bool {
        self.steps.down.is_empty() && self.down.backlog() == 0
    }

    /// Does what the core said.
    fn apply(&mut self) {
        if let Some(cleared) = self.steps.up.take() {
            self.up.push(cleared);
        }
        if let Some((reservation, used)) = self.steps.used.take() {
            self.giving_back.begin(reservation.settle(used));
        }
        if !self.giving_back.keeps_the_end() {
            for released in self.steps.down.drain(..) {
                self.down.push(released);
            }
        }
        if let Some(Reserve { permit, tokens }) = self.steps.reserve.take() {
            let session = Arc::clone(&self.session);
            self.reserving = Some(Box::pin(async move {
                let reserved = session.reserve(&permit, tokens).await;
                (permit, reserved)
            }));
        }
        if let Some(waiting) = self.steps.hold.take() {
            self.hold = Some(match waiting {
                Waiting::Request(hold, patience) => Held::Request(Box::pin(hold.settle_within(patience))),
                Waiting::Proposal(hold) => Held::Proposal(Box::pin(hold.settle())),
            });
        }
    }

    fn poll_hold(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.hold {
            None => return false,
            Some(Held::Request(held)) => {
                let Poll::Ready(settled) = held.as_mut().poll(cx) else { return false };
                self.hold = None;
                self.core.on_request_settled(settled, &mut self.steps);
            }
            Some(Held::Proposal(held)) => {
                let Poll::Ready(settled) = held.as_mut().poll(cx) else { return false };
                self.hold = None;
                self.core.on_proposal_settled(settled, &mut self.steps);
            }
        }
        self.apply();
        true
    }

    /// What budgets have given or taken back. True if the exchange goes on by it.
    fn poll_budgets(&mut self, cx: &mut Context<'_>) -> bool {
        if self.giving_back.poll(cx) {
            self.apply();
        }
        let Some(reserving) = &mut self.reserving else { return false };
        let Poll::Ready((permit, reserved)) = reserving.as_mut().poll(cx) else { return false };
        self.reserving = None;
        self.core.on_reserved(permit, reserved, &mut self.steps);
        self.apply();
        true
    }

    fn poll_reminder(&mut self, cx: &mut Context<'_>) {
        if self.reminder.poll(self.hold.is_some(), cx) {
            self.core.on_waited(&mut self.steps);
            self.apply();
        }
    }

    /// Ends an answer that does not go on, while it is waited for.
    fn poll_silence(&mut self, progress: bool, cx: &mut Context<'_>) {
        // While the client's side or the record has no room nothing is read of it, which is not its silence.
        let room = self.down.backlog() < HIGH && self.session.has_room();
        let waits = room && self.body.is_some() && self.core.wants_backend() && !self.steps.end;
        if self.patience.is_silent(waits, progress, cx) {
            self.broken(&Error::Timeout { side: Side::Backend, doing: "to continue an answer" });
        }
    }

    /// Whether the client has taken nothing for too long. Before it was written to, `waited` bytes waited for it.
    fn is_deaf(&mut self, waited: usize, cx: &mut Context<'_>) -> bool {
        let waits = self.down.backlog();
        // While people decide, the answer is theirs to wait for; while the record has no room, the record's.
        let takes = waits > 0 && self.hold.is_none() && self.session.has_room();
        let over = self.patience.is_deaf(takes, waits < waited, cx);
        if over {
            let connection = self.session.connection().name.as_str();
            tracing::info!(connection, session = %self.session.id(), waits, "a client does not read its answer");
        }
        over
    }

    /// What the backend says, through the core. True if there was anything.
    fn take_backend(&mut self, cx: &mut Context<'_>) -> bool {
        let mut taken = 0;
        while taken < TURNS
            && !self.steps.end
            && self.core.wants_backend()
            && self.down.backlog() < HIGH
            && self.session.has_room()
        {
            let took = if self.answered.is_some() { self.take_head(cx) } else { self.take_body(cx) };
            if !took {
                break;
            }
            self.apply();
            taken += 1;
        }
        taken > 0
    }

    fn take_head(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(slot) = &mut self.answered else { return false };
        let Poll::Ready(answered) = Pin::new(slot).poll(cx) else { return false };
        self.answered = None;
        match answered.unwrap_or_else(|_| Err(Error::Backend("nothing was sent".into()))) {
            Ok(Came::Switched(switched)) => {
                self.switched = self.core.on_switched().map(|permit| (permit, switched));
                self.steps.end = true;
            }
            Ok(Came::Answer(response)) => {
                let (parts, body) = response.into_parts();
                let failed = parts.status.is_client_error() || parts.status.is_server_error();
                self.framed = parts.version == Version::HTTP_2 && !failed;
                if leads_elsewhere(parts.status) {
                    // Followed, the client would go round the gateway, with what it has of the backend's (RFC 9110 §15.4).
                    let status = parts.status.as_u16();
                    let error = if parts.status.is_redirection() {
                        Error::Redirects(status)
                    } else {
                        Error::Backend(format!("it answers {status}, and was not asked to change protocols").into())
                    };
                    self.broken(&error);
                    return true;
                }
                let mut headers = head::answered(&parts.headers);
                if let Some(mount) = &self.mount {
                    self.way.readdress(&mut headers, mount);
                }
                self.body = Some(body);
                self.core.on_head(Head { status: parts.status, headers }, &mut self.steps);
            }
            Err(error) => self.broken(&error),
        }
        true
    }

    fn take_body(&mut self, cx: &mut Context<'_>) -> bool {
        if self.core.is_behind() {
            self.core.on_more(&mut self.steps);
            self.count();
            return true;
        }
        let Some(body) = &mut self.body else { return false };
        let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else { return false };
        match frame {
            Some(Ok(frame)) => {
                // Trailers are no part of what was read, and go no further.
                if let Ok(data) = frame.into_data() {
                    self.core.on_data(data, &mut self.steps);
                    self.count();
                }
            }
            // The library says the same of a stream that ended and of one that was reset without an error.
            None if self.framed && !body.is_end_stream() && body.size_hint().exact() != Some(0) => {
                self.broken(&Error::Backend("the stream was reset before its end".into()));
            }
            None => {
                self.body = None;
                self.core.on_end(&mut self.steps);
            }
            Some(Err(error)) => self.broken(&Error::Backend(deepest(&error).into())),
        }
        true
    }

    /// Counts what is gathered of the answer among what its principal's requests hold.
    fn count(&mut self) {
        if self.share.gathers(self.core.gathered()).is_err() {
            self.body = None;
            self.core.on_too_much(&mut self.steps);
        }
    }

    fn broken(&mut self, error: &Error) {
        self.body = None;
        let connection = self.session.connection().name.as_str();
        tracing::warn!(connection, session = %self.session.id(), %error, "an answer failed");
        self.core.on_broken(error, &mut self.steps);
        self.apply();
    }

    /// Sends what may be sent; false where nothing more can be.
    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        let sent = |polled: Poll<Result<(), SendError>>| !matches!(polled, Poll::Ready(Err(_)));
        let up = sent(self.up.poll_send(cx));
        match self.down.poll_send(cx) {
            Poll::Ready(Err(SendError::Io(_))) => {
                self.leave();
                false
            }
            // What waits is never sent; whoever waits for a head is told without it.
            Poll::Ready(Err(_)) => false,
            Poll::Ready(Ok(())) | Poll::Pending => up,
        }
    }
}

/// Whether an answer would send its client to another place, or to another protocol.
fn leads_elsewhere(status: StatusCode) -> bool {
    (status.is_redirection() && status != StatusCode::NOT_MODIFIED) || status.is_informational()
}

#[cfg(test)]
mod tests;
