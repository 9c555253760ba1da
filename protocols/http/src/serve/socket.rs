//! An open socket: what its core says, done.
//!
//! Promises: waiting for one side, for the record or for people stalls neither the other direction nor the gateway's own
//! control frames; each message takes from the budgets before it is sent, and nothing more is read of its client until it
//! has; no more is read of a side than the other, and the record, have room for; a client that vanishes is
//! noticed while people decide, and one that says more than [`BEHIND`] meanwhile is closed; nobody saying anything for
//! `limits.idle` ends it, and so does a drain; a socket that is over is waited for [`FAREWELL`] and no longer. One whose
//! session is killed is dropped, and both its streams with it.
//! Held by: `socket/tests.rs`, `tests/it/websocket.rs` of the binary.

use crate::frame::Request;
use crate::upstream::{SocketWriter, Wire};
use crate::websocket::{Core, Steps, ToPeer};
use bytes::BytesMut;
use futures_util::future::BoxFuture;
use portcullis_gate::{Downstream, Permit, Reservation, Room, SendError, Session, Settled, Upstream};
use portcullis_model::Denial;
use portcullis_net::Drain;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead as _, ReadBuf, ReadHalf, WriteHalf, split};
use tokio::time::{Instant, Sleep};

/// Bytes that may wait for a side before the other is read no more.
const HIGH: usize = 256 * 1024;
/// Messages that may.
const MANY: usize = 1024;
/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;
/// Bytes that a client may say behind a message that waits for people.
const BEHIND: usize = 256 * 1024;
/// Rounds before other tasks get their turn.
const TURNS: usize = 32;
/// How long both sides may take to close.
const FAREWELL: Duration = Duration::from_secs(2);

type Half = Box<dyn Wire>;

/// What a socket is run with.
pub(super) struct Opened {
    pub(super) session: Arc<Session>,
    pub(super) request: Request,
    pub(super) permit: Permit,
    /// Bytes that are no text may pass unread.
    pub(super) opaque: bool,
    /// Bytes of a message of the client.
    pub(super) most: usize,
    pub(super) idle: Duration,
    pub(super) drain: Drain,
}

/// The reading half of a side.
struct Reading {
    io: ReadHalf<Half>,
    /// Nothing more comes.
    over: bool,
}

impl Reading {
    /// Reads what has come; `None` at the end, and where the stream breaks.
    fn poll(&mut self, cx: &mut Context<'_>, piece: &mut BytesMut) -> Poll<bool> {
        piece.resize(PIECE, 0);
        let mut buffer = ReadBuf::new(piece);
        let Poll::Ready(read) = Pin::new(&mut self.io).poll_read(cx, &mut buffer) else { return Poll::Pending };
        let filled = buffer.filled().len();
        piece.truncate(filled);
        self.over = read.is_err() || filled == 0;
        Poll::Ready(!self.over)
    }
}

/// An open socket.
pub(super) struct Socket {
    session: Arc<Session>,
    core: Core,
    steps: Steps,
    client: Reading,
    backend: Reading,
    up: Upstream<SocketWriter<WriteHalf<Half>>>,
    down: Downstream<SocketWriter<WriteHalf<Half>>>,
    /// A side that cannot be written to any more.
    up_broken: bool,
    down_broken: bool,
    piece: BytesMut,
    hold: Option<BoxFuture<'static, Settled<ToPeer>>>,
    /// What a message takes from the budgets.
    reserving: Option<BoxFuture<'static, (Permit, Result<Reservation, Denial>)>>,
    room: Room,
    drain: BoxFuture<'static, ()>,
    idle: Duration,
    quiet: Pin<Box<Sleep>>,
    /// How many messages there were when it was quiet last.
    heard: u64,
    farewell: Option<Pin<Box<Sleep>>>,
    ending: bool,
}

impl Socket {
    pub(super) fn new(opened: Opened, client: Half, backend: Half) -> Self {
        let Opened { session, request, permit, opaque, most, idle, drain } = opened;
        let ((client, to_client), (backend, to_backend)) = (split(client), split(backend));
        Self {
            core: Core::new(Arc::clone(&session), request, opaque, permit, most),
            steps: Steps::default(),
            client: Reading { io: client, over: false },
            backend: Reading { io: backend, over: false },
            up: Upstream::new(SocketWriter::to_backend(to_backend), &session),
            down: Downstream::new(SocketWriter::to_client(to_client), &session),
            up_broken: false,
            down_broken: false,
            piece: BytesMut::new(),
            hold: None,
            reserving: None,
            room: Room::default(),
            drain: Box::pin(async move { drain.draining().await }),
            idle,
            quiet: Box::pin(tokio::time::sleep(idle)),
            heard: 0,
            farewell: None,
            ending: false,
            session,
        }
    }

    /// To its end.
    pub(super) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            let mut progress = self.poll_hold(cx);
            progress |= self.poll_reserving(cx);
            self.room.poll(&self.session, cx);
            let full = self.is_full();
            progress |= self.take_client(cx);
            progress |= self.take_backend(cx);
            progress |= self.poll_clocks(cx);
            let (client, backend) = (self.down.backlog() < HIGH, self.up.backlog() < HIGH);
            self.core.pong(client, backend, &mut self.steps);
            self.apply();
            if !self.write(cx) {
                return Poll::Ready(());
            }
            match self.poll_end(cx) {
                Poll::Ready(true) => return Poll::Ready(()),
                Poll::Ready(false) => progress = true,
                Poll::Pending => {}
            }
            // What was not read because too much waited wakes nobody.
            let freed = full && !self.is_full();
            let unseen = self.room.is_unseen(&self.session);
            if !progress && !freed && !unseen {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_full(&self) -> bool {
        self.down.backlog() >= HIGH || self.up.backlog() >= HIGH || self.core.forwarded() >= MANY
    }

    /// Does what the core said.
    fn apply(&mut self) {
        if self.steps.withdraw {
            self.hold = None;
            self.reserving = None;
            self.steps.withdraw = false;
        }
        for cleared in self.steps.up.drain(..) {
            self.up.push(cleared);
        }
        for released in self.steps.down.drain(..) {
            self.down.push(released);
        }
        if let Some(hold) = self.steps.hold.take() {
            self.hold = Some(Box::pin(hold.settle()));
        }
        if let Some(permit) = self.steps.reserve.take() {
            let session = Arc::clone(&self.session);
            self.reserving = Some(Box::pin(async move {
                let reserved = session.reserve(&permit, 0).await;
                (permit, reserved)
            }));
        }
    }

    fn poll_hold(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(hold) = &mut self.hold else { return false };
        let Poll::Ready(settled) = hold.as_mut().poll(cx) else { return false };
        self.hold = None;
        self.core.on_settled(settled, &mut self.steps);
        self.apply();
        true
    }

    fn poll_reserving(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(reserving) = &mut self.reserving else { return false };
        let Poll::Ready((permit, reserved)) = reserving.as_mut().poll(cx) else { return false };
        self.reserving = None;
        self.core.on_reserved(permit, reserved, &mut self.steps);
        self.apply();
        true
    }

    /// What the client says, through the core. True if there was anything.
    fn take_client(&mut self, cx: &mut Context<'_>) -> bool {
        for taken in 0..TURNS {
            let room = self.up.backlog() < HIGH && self.core.forwarded() < MANY && self.session.has_room();
            // What a client says before it closes or leaves is sent: its end waits behind a message that is counted.
            if (!room || self.reserving.is_some()) && !self.core.is_closing() {
                return taken > 0;
            }
            if !self.core.on_client(&mut self.steps) {
                if self.client.over {
                    return taken > 0;
                }
                // Nothing behind a message that waits is read, but its end is looked for: behind more it could not be seen.
                if self.hold.is_some() && self.core.held_of_client() >= BEHIND {
                    self.core.on_flood(&mut self.steps);
                    self.apply();
                    return true;
                }
                match self.client.poll(cx, &mut self.piece) {
                    Poll::Pending => return taken > 0,
                    Poll::Ready(true) => self.core.feed_client(&self.piece),
                    Poll::Ready(false) => self.core.on_client_gone(&mut self.steps),
                }
            }
            self.apply();
            self.poll_reserving(cx);
        }
        true
    }

    /// The same of the backend.
    fn take_backend(&mut self, cx: &mut Context<'_>) -> bool {
        for taken in 0..TURNS {
            let room = self.down.backlog() < HIGH && self.session.has_room();
            if !room && !self.core.is_closing() {
                return taken > 0;
            }
            if !self.core.on_backend(&mut self.steps) {
                if self.backend.over {
                    return taken > 0;
                }
                match self.backend.poll(cx, &mut self.piece) {
                    Poll::Pending => return taken > 0,
                    Poll::Ready(true) => self.core.feed_backend(&self.piece),
                    Poll::Ready(false) => self.core.on_backend_gone(&mut self.steps),
                }
            }
            self.apply();
        }
        true
    }

    /// Ends what is quiet for too long, and what is to end.
    fn poll_clocks(&mut self, cx: &mut Context<'_>) -> bool {
        if self.core.is_closing() {
            return false;
        }
        if self.core.messages() != self.heard || self.hold.is_some() {
            self.heard = self.core.messages();
            self.quiet.as_mut().reset(Instant::now() + self.idle);
        }
        if self.drain.as_mut().poll(cx).is_ready() {
            self.core.on_drain(&mut self.steps);
        } else if self.quiet.as_mut().poll(cx).is_ready() {
            self.core.on_idle(&mut self.steps);
        } else {
            return false;
        }
        self.apply();
        true
    }

    /// Sends what may be sent; false where nothing more can be.
    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.up_broken {
            match self.up.poll_send(cx) {
                Poll::Ready(Err(SendError::Io(_))) => {
                    self.up_broken = true;
                    self.core.on_backend_gone(&mut self.steps);
                }
                Poll::Ready(Err(_)) => return false,
                Poll::Ready(Ok(())) => self.core.on_sent(),
                Poll::Pending => {}
            }
        }
        if !self.down_broken {
            match self.down.poll_send(cx) {
                Poll::Ready(Err(SendError::Io(_))) => {
                    self.down_broken = true;
                    self.core.on_client_gone(&mut self.steps);
                }
                Poll::Ready(Err(_)) => return false,
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        true
    }

    /// Ready and true once both streams are at their end; ready and false where something is to be sent for it.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if !self.core.is_closing() {
            return Poll::Pending;
        }
        let farewell = self.farewell.get_or_insert_with(|| Box::pin(tokio::time::sleep(FAREWELL)));
        if farewell.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        if !self.steps.up.is_empty() || !self.steps.down.is_empty() {
            self.apply();
            return Poll::Ready(false);
        }
        let up = self.up_broken || self.up.backlog() == 0;
        let down = self.down_broken || self.down.backlog() == 0;
        if !self.core.is_over() || !up || !down {
            return Poll::Pending;
        }
        if std::mem::replace(&mut self.ending, true) {
            return Poll::Ready(true);
        }
        self.core.end(&mut self.steps);
        self.apply();
        Poll::Ready(false)
    }
}

#[cfg(test)]
mod tests;
