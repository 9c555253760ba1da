//! The relay: one task that owns both sockets, polled by hand so that neither direction ever waits for the other.
//!
//! Each turn takes what is buffered through the core, writes once to each side, then reads. What makes a direction stop:
//! a client is read no more while the core waits for an answer or for people (beyond what tells whether it left), while
//! much is on its way to the server, or while the record has no room for more of this session; a server is read no more
//! while the client is slow or the record has no room. Promises: an order to end, a kill or the end of a peer closes both
//! sockets within a second, and what waits for the record then is not sent to the server, unless the client took its leave
//! behind it; a fatal error that can be said is said first; memory is bounded by the marks below, plus one frame.
//! Held by: `tests/it/flow.rs`, `tests/it/lifecycle.rs`.

mod events;

use crate::cancel::{Registration, ServerCancel};
use crate::catalogue::Shared;
use crate::core::{Core, Steps, TERMINATED};
use crate::frame::{Frame, FrameBuf, Next, Phase};
use crate::login::backend::Target;
use crate::preview::Place;
use crate::upstream::{Closer, Socket};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use portcullis_gate::{Downstream, Reminder, Room, SendError, Session, Settled, Upstream};
use portcullis_net::{Drain, Io};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::ReadHalf;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Sleep;

/// Bytes on their way to one side beyond which the other is read no more.
const HIGH: usize = 256 * 1024;
/// Bytes of a client that are read ahead while its next frame must wait.
const AHEAD: usize = 64 * 1024;
/// Rows that are released in one piece, in bytes.
const RUN: usize = 64 * 1024;
/// Frames longer than this may take milliseconds to read, in bytes.
const LONG: usize = 32 * 1024;
/// Turns before other tasks get theirs.
const TURNS: usize = 32;
/// What is left to be said at the end is given this long.
const FAREWELL: Duration = Duration::from_millis(900);

/// Both streams, and what was read from them and not used yet.
pub(super) struct Peers {
    pub(super) client: Io,
    pub(super) from_client: FrameBuf,
    pub(super) backend: Io,
    pub(super) from_backend: FrameBuf,
}

/// What else can happen to a session.
pub(super) struct Surroundings {
    pub(super) session: Arc<Session>,
    pub(super) catalogue: Arc<Shared>,
    pub(super) target: Arc<Target>,
    pub(super) previews: Place,
    pub(super) registration: Option<Registration>,
    pub(super) cancel: Option<ServerCancel>,
    pub(super) drain: Drain,
    pub(super) idle: Duration,
}

struct Pump {
    core: Core,
    steps: Steps,
    client: ReadHalf<Io>,
    from_client: FrameBuf,
    backend: ReadHalf<Io>,
    from_backend: FrameBuf,
    up: Upstream<Socket>,
    down: Downstream<Socket>,
    close_client: Closer,
    close_backend: Closer,
    around: Surroundings,
    /// A command waits for people.
    hold: Option<BoxFuture<'static, Settled<Bytes>>>,
    /// When the client hears of that again.
    reminder: Reminder,
    /// The catalogue is loaded because what waits needs it.
    refresh: Option<BoxFuture<'static, ()>>,
    /// The catalogue is loaded because it is old.
    renewal: Option<BoxFuture<'static, ()>>,
    renew_at: Pin<Box<Sleep>>,
    cancelling: Option<BoxFuture<'static, ()>>,
    room: Room,
    killed: BoxFuture<'static, ()>,
    draining: Option<BoxFuture<'static, ()>>,
    is_draining: bool,
    cut: BoxFuture<'static, ()>,
    idle: Pin<Box<Sleep>>,
    last: Instant,
    client_left: bool,
    backend_left: bool,
    ending: Option<&'static str>,
}

/// Relays until an end, and says which.
pub(super) async fn run(core: Core, peers: Peers, around: Surroundings) -> &'static str {
    let mut pump = Pump::new(core, peers, around);
    pump.core.start(&mut pump.steps);
    pump.apply();
    poll_fn(|cx| pump.poll_relay(cx)).await;
    let reason = pump.ending.unwrap_or("ended");
    let farewell = tokio::time::timeout(FAREWELL, poll_fn(|cx| pump.poll_farewell(cx)));
    // A peer that does not read its goodbye is not waited for.
    farewell.await.ok();
    reason
}

impl Pump {
    fn new(core: Core, peers: Peers, around: Surroundings) -> Self {
        let (client, to_client) = tokio::io::split(peers.client);
        let (backend, to_backend) = tokio::io::split(peers.backend);
        let (to_client, close_client) = Socket::new(to_client);
        let (to_backend, close_backend) = Socket::new(to_backend);
        let (draining, cutting) = (around.drain.clone(), around.drain.clone());
        Self {
            core,
            steps: Steps::default(),
            client,
            from_client: peers.from_client,
            backend,
            from_backend: peers.from_backend,
            up: Upstream::new(to_backend, &around.session),
            down: Downstream::new(to_client, &around.session),
            close_client,
            close_backend,
            hold: None,
            reminder: Reminder::default(),
            refresh: None,
            renewal: None,
            renew_at: Box::pin(tokio::time::sleep(around.catalogue.fresh_for())),
            cancelling: None,
            room: Room::default(),
            killed: Box::pin(around.session.ended().cancelled_owned()),
            draining: Some(Box::pin(async move { draining.draining().await })),
            is_draining: false,
            cut: Box::pin(async move { cutting.cutting().await }),
            idle: Box::pin(tokio::time::sleep(around.idle)),
            last: Instant::now(),
            client_left: false,
            backend_left: false,
            ending: None,
            around,
        }
    }

    fn poll_relay(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            let mut progress = self.poll_events(cx);
            progress |= self.take_backend();
            progress |= self.take_client();
            if self.ending.is_none() && self.is_draining && self.core.is_quiet() {
                self.end_with("57P01", "terminating connection due to administrator command", "the gateway stopped");
            }
            self.write(cx);
            if self.ending.is_some() {
                return Poll::Ready(());
            }
            progress |= self.read(cx);
            if !progress {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Frames of the server through the core. True if there were any.
    fn take_backend(&mut self) -> bool {
        let mut taken = false;
        while self.ending.is_none() && self.down.backlog() < HIGH && self.has_room() {
            if let Some(rows) = self.from_backend.run(b'D', RUN) {
                self.core.on_rows(rows, &mut self.steps);
            } else {
                match self.from_backend.next(Phase::ServerReady, b"dD") {
                    Next::Frame(frame) => self.core.on_backend(frame, &mut self.steps),
                    Next::Chunk(chunk) => self.core.on_backend_chunk(chunk, &mut self.steps),
                    Next::NeedMore => {
                        if self.backend_left {
                            self.end_with(
                                "08006",
                                "the database behind the gateway closed the connection",
                                "the backend left",
                            );
                        }
                        break;
                    }
                    Next::Bad(_) | Next::Oversize { .. } => {
                        self.core.breach("bytes that are no message", &mut self.steps);
                    }
                }
            }
            taken = true;
            self.apply();
        }
        taken
    }

    /// Frames of the client through the core. True if there were any.
    fn take_client(&mut self) -> bool {
        let mut taken = false;
        while self.ending.is_none() && self.core.wants_client() && self.up.backlog() < HIGH && self.has_room() {
            match self.from_client.next(self.core.phase(), b"") {
                Next::Frame(frame) if frame.body().len() > LONG => self.take_long(frame),
                Next::Frame(frame) => self.core.on_client(frame, &mut self.steps),
                Next::Oversize { tag, length, limit } => {
                    self.core.on_oversize(tag, length, limit, &mut self.steps);
                }
                Next::NeedMore => break,
                Next::Bad(error) => self.core.malformed(&error.to_string(), &mut self.steps),
                Next::Chunk(_) => self.core.malformed("unexpected message length", &mut self.steps),
            }
            taken = true;
            self.apply();
        }
        if self.client_left && self.ending.is_none() && (!taken || !self.core.wants_client()) {
            self.core.on_client_gone(&mut self.steps);
            self.apply();
            self.ending = Some("client left");
            self.cancel_running();
        }
        taken
    }

    /// A text that takes long to read: the other tasks of this worker are handed to another meanwhile.
    fn take_long(&mut self, frame: Frame) {
        let many = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
        if many {
            tokio::task::block_in_place(|| self.core.on_client(frame, &mut self.steps));
        } else {
            self.core.on_client(frame, &mut self.steps);
        }
    }

    /// Does what the core said.
    fn apply(&mut self) {
        for cleared in self.steps.up.drain(..) {
            self.up.push(cleared);
        }
        for released in self.steps.down.drain(..) {
            self.down.push(released);
        }
        if std::mem::take(&mut self.steps.unhold) {
            self.hold = None;
        }
        if let Some(hold) = self.steps.hold.take() {
            let preview = self.steps.preview.take();
            let previews = self.around.previews.clone();
            // Whoever waits no more drops both: the preview, and the request that was to follow it.
            self.hold = Some(Box::pin(async move {
                let hold = match preview {
                    Some(foretold) => hold.previewed(previews.foretell(foretold).await),
                    None => hold,
                };
                hold.settle().await
            }));
        }
        if std::mem::take(&mut self.steps.refresh) && self.refresh.is_none() {
            self.refresh = Some(self.load(Instant::now()));
        }
        if let Some(reason) = self.steps.end.take() {
            self.ending.get_or_insert(reason);
        }
    }

    fn load(&self, asked: Instant) -> BoxFuture<'static, ()> {
        let (catalogue, target) = (Arc::clone(&self.around.catalogue), Arc::clone(&self.around.target));
        Box::pin(async move { catalogue.refresh(&target, asked).await })
    }

    fn end_with(&mut self, code: &'static str, message: &str, reason: &'static str) {
        self.core.end(code, message, reason, &mut self.steps);
        self.apply();
    }

    fn has_room(&mut self) -> bool {
        self.around.session.has_room()
    }

    /// Once the session ended here, what waits for the record is not sent to the backend, however soon the record has it;
    /// the gate sees to what others end. Who said goodbye behind a command, as some clients do without waiting for its
    /// answer, had it sent.
    fn discard(&mut self) {
        if self.ending.is_some_and(|reason| reason != TERMINATED) {
            self.up.discard();
        }
    }

    /// One write to each side.
    fn write(&mut self, cx: &mut Context<'_>) {
        self.discard();
        if let Poll::Ready(Err(error)) = self.up.poll_send(cx) {
            self.lost(&error, "the backend left");
        }
        if let Poll::Ready(Err(error)) = self.down.poll_send(cx) {
            self.lost(&error, "client left");
        }
    }

    fn lost(&mut self, error: &SendError, reason: &'static str) {
        match error {
            SendError::RecordUnavailable => {
                self.close_client.close_without_record();
                self.ending.get_or_insert("the record failed");
            }
            _ if reason == "client left" => {
                self.client_left = true;
                self.core.on_client_gone(&mut self.steps);
                self.apply();
                self.cancel_running();
                self.ending.get_or_insert(reason);
            }
            // What the server said before it left is still to be read.
            _ => self.backend_left = true,
        }
    }

    /// Reads what may be read. True if something came.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        let mut came = false;
        let ahead = if self.core.wants_client() && self.up.backlog() < HIGH { usize::MAX } else { AHEAD };
        if !self.client_left && self.from_client.buffered() < ahead && self.has_room() {
            match self.from_client.poll_fill(cx, Pin::new(&mut self.client)) {
                Poll::Ready(Ok(1..)) => {
                    self.last = Instant::now();
                    came = true;
                }
                Poll::Ready(Ok(0) | Err(_)) => {
                    self.client_left = true;
                    came = true;
                }
                Poll::Pending => {}
            }
        }
        if !self.backend_left && self.down.backlog() < HIGH && self.has_room() {
            match self.from_backend.poll_fill(cx, Pin::new(&mut self.backend)) {
                Poll::Ready(Ok(1..)) => came = true,
                Poll::Ready(Ok(0) | Err(_)) => {
                    self.backend_left = true;
                    came = true;
                }
                Poll::Pending => {}
            }
        }
        if !came && !self.core.is_running() {
            self.from_client.idle();
            self.from_backend.idle();
        }
        came
    }

    /// Says what is left to be said, and closes both sockets: each once nothing more for it waits for the record.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.discard();
        let mut done = true;
        match self.down.poll_send(cx) {
            Poll::Ready(sent) => {
                match sent {
                    Err(SendError::RecordUnavailable) => self.close_client.close_without_record(),
                    Ok(()) | Err(_) => self.close_client.close(),
                }
                done &= self.down.poll_send(cx).is_ready();
            }
            Poll::Pending => done = false,
        }
        if self.up.poll_send(cx).is_ready() {
            self.close_backend.close();
            done &= self.up.poll_send(cx).is_ready();
        } else {
            done = false;
        }
        ready(&mut self.cancelling, cx);
        if done && self.cancelling.is_none() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Polls what may be under way; true when it has just ended.
fn ready(future: &mut Option<BoxFuture<'static, ()>>, cx: &mut Context<'_>) -> bool {
    let done = future.as_mut().is_some_and(|future| future.as_mut().poll(cx).is_ready());
    if done {
        *future = None;
    }
    done
}
