//! The task of one session channel: what its core says, done.
//!
//! Promises: reading one side never waits for the other; each side is read only while there is room for what it says,
//! here and in the record; the client's end is seen whatever else waits; last words have a time limit, so that a client
//! that does not read them holds nothing.
//! Held by: `tests/it/ssh_flow.rs` of the binary.

mod source;

use super::asking::{self, Asker, Done};
use super::front::{Entered, Opened};
use super::{FAREWELL, Ssh};
use crate::answer::Output;
use crate::core::{Core, Steps};
use crate::frame::{FromClient, FromTarget, ToTarget};
use crate::inbox::{Inbox, Taken};
use crate::listener::Under;
use crate::login::arrivals::Sent;
use crate::login::target::{Connecting, Target};
use crate::upstream::{ClientChannel, TargetChannel};
use crate::wire::Brake;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use portcullis_gate::{Downstream, Gate, Reminder, Room, SendError, Session, Settled, Upstream};
use portcullis_model::{SessionKind, Verdict};
use portcullis_shell::Limits;
use russh::{ChannelWriteHalf, client};
use source::Source;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep};

/// Bytes that may wait for a peer before the other one is read no more.
const HIGH: usize = 256 * 1024;
/// Messages taken before the other channels get their turn.
const TURNS: usize = 32;

/// One session channel.
pub(super) struct Line {
    gate: Gate,
    session: Arc<Session>,
    core: Core,
    steps: Steps,
    inbox: Inbox,
    brake: Brake,
    limits: Limits,
    login: Arc<str>,
    connecting: Connecting,
    /// Keeps the connection while its channel is open.
    target: Option<Arc<Target>>,
    down: Downstream<ClientChannel>,
    up: Option<Upstream<TargetChannel>>,
    from_target: Option<Source>,
    hold: Option<BoxFuture<'static, Settled<ToTarget>>>,
    /// When the client hears of that again.
    reminder: Reminder,
    work: Option<BoxFuture<'static, (Done, Asker)>>,
    /// Asks the target about its files; away while something asks.
    asker: Option<Asker>,
    room: Room,
    /// Set while output is held back: when the program counts as quiet.
    quiet: Option<Pin<Box<Sleep>>>,
    client_left: bool,
    /// The client has closed the channel behind all that it had to say.
    leaving: bool,
}

impl Line {
    pub(super) fn new(ssh: &Ssh, entered: &Entered, connecting: Connecting, opened: Opened, brake: Brake) -> Self {
        let session = Arc::clone(&entered.session);
        let down = Downstream::new(ClientChannel::new(opened.half, opened.handle), &session);
        let limits =
            Limits { plain_bytes: Limits::default().plain_bytes.min(ssh.settings.statement), ..Limits::default() };
        let login = Arc::clone(&session.connection().login);
        Self {
            gate: ssh.gate.clone(),
            core: Core::new(Arc::clone(&session)),
            session,
            steps: Steps::default(),
            inbox: opened.inbox,
            brake,
            limits,
            login,
            connecting: connecting.clone(),
            target: None,
            down,
            up: None,
            from_target: None,
            hold: None,
            reminder: Reminder::default(),
            work: None,
            asker: Some(Asker::new(connecting)),
            room: Room::default(),
            quiet: None,
            client_left: false,
            leaving: false,
        }
    }

    /// A channel to another host that the target has opened, or one that came to its listener, under what permits that.
    pub(super) fn connected(mut self, under: Under, channel: russh::Channel<client::Msg>) -> Self {
        self.core.on_connected(under);
        self.attach(channel);
        self
    }

    /// A channel that came to a listener of the target, under the permit of that.
    pub(super) fn carrying(mut self, under: Under, half: ChannelWriteHalf<client::Msg>, sent: Sent) -> Self {
        self.core.on_connected(under);
        self.attach_halves(Source::Inbox(sent), half);
        self
    }

    fn attach(&mut self, channel: russh::Channel<client::Msg>) {
        let (read, write) = channel.split();
        self.attach_halves(Source::Channel(read), write);
    }

    fn attach_halves(&mut self, read: Source, write: ChannelWriteHalf<client::Msg>) {
        self.from_target = Some(read);
        self.up = Some(Upstream::new(TargetChannel::new(write), &self.session));
        if let Some(Ok(target)) = self.connecting.peek() {
            self.target = Some(Arc::clone(target));
        }
    }

    pub(super) async fn run(mut self) {
        // The login to the target goes on while the client says what it wants.
        let mut early = Some(self.connecting.clone());
        poll_fn(|cx| {
            if let Some(connecting) = &mut early
                && std::pin::Pin::new(connecting).poll(cx).is_ready()
            {
                early = None;
            }
            self.poll_relay(cx)
        })
        .await;
        let farewell = poll_fn(|cx| self.poll_farewell(cx));
        tokio::time::timeout(FAREWELL, farewell).await.ok();
    }

    fn poll_relay(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            let mut progress = self.poll_events(cx);
            let told = self.take_target(cx);
            self.poll_quiet(told, cx);
            progress |= told | self.take_client(cx);
            let full = self.full();
            self.write(cx);
            if self.steps.end || self.client_left {
                return Poll::Ready(());
            }
            // A side that was not asked because too much waited wakes nobody: it is asked again once there is room.
            let freed = full.into_iter().zip(self.full()).any(|(before, now)| before && !now);
            let unseen = self.room.is_unseen(&self.session);
            if !progress && !freed && !unseen {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether too much waits for the client, and for the target.
    fn full(&self) -> [bool; 2] {
        [self.down.backlog() >= HIGH, self.up.as_ref().is_some_and(|up| up.backlog() >= HIGH)]
    }

    /// What happens beside the two streams. True where the core was told: what it began by that, as the hold of a line
    /// that was read, was not asked yet, and would wake nobody.
    fn poll_events(&mut self, cx: &mut Context<'_>) -> bool {
        let mut told = false;
        if let Some(hold) = &mut self.hold
            && let Poll::Ready(settled) = hold.as_mut().poll(cx)
        {
            self.hold = None;
            self.core.on_settled(settled, &mut self.steps);
            self.apply();
            told = true;
        }
        // One that does not read has enough to read.
        if self.reminder.poll(self.hold.is_some(), cx) && self.down.backlog() < HIGH {
            self.core.on_waited(&mut self.steps);
            self.apply();
        }
        if let Some(terminal) = self.core.held()
            && self.inbox.poll_interrupted(terminal, cx).is_ready()
        {
            self.core.on_interrupt(&mut self.steps);
            self.apply();
        }
        while let Some(work) = &mut self.work
            && let Poll::Ready((done, asker)) = work.as_mut().poll(cx)
        {
            self.work = None;
            self.asker = Some(asker);
            self.on_done(done);
            self.apply();
            told = true;
        }
        self.room.poll(&self.session, cx);
        if !self.steps.end && self.inbox.poll_closed(cx).is_ready() {
            self.core.on_gone(&mut self.steps);
            self.apply();
            self.client_left = true;
        }
        told
    }

    /// Lets out what is held back once nothing more has come for a moment.
    fn poll_quiet(&mut self, told: bool, cx: &mut Context<'_>) {
        if !self.core.output_waits() {
            self.quiet = None;
            return;
        }
        let due = Instant::now() + Output::QUIET;
        let quiet = self.quiet.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if told {
            quiet.as_mut().reset(due);
        }
        if quiet.as_mut().poll(cx).is_ready() {
            self.quiet = None;
            self.core.on_quiet(&mut self.steps);
            self.apply();
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Read(frame, command, copy) => self.core.on_read(frame, *command, copy, &mut self.steps),
            Done::Judged(judged) => self.core.on_judged(judged, &mut self.steps),
            Done::Home(home) => self.core.on_home(home, &mut self.steps),
            Done::Names(word, found) => self.core.on_names(&word, found, &mut self.steps),
            Done::Line(asked, reading) => self.core.on_line(&asked, reading, &mut self.steps),
            Done::Opened(channel) => {
                self.attach(*channel);
                self.core.on_opened(&mut self.steps);
            }
            Done::Unreachable(why) => self.core.on_unreachable(why, &mut self.steps),
        }
    }

    /// Does what the core said.
    fn apply(&mut self) {
        for released in self.steps.down.drain(..) {
            self.down.push(released);
        }
        // Without a channel there is nobody to tell: what would be sent is the end of what is not there.
        for cleared in self.steps.up.drain(..) {
            if let Some(up) = &mut self.up {
                up.push(cleared);
            }
        }
        if std::mem::take(&mut self.steps.unhold) {
            self.hold = None;
        }
        if let Some(hold) = self.steps.hold.take() {
            self.hold = Some(Box::pin(hold.settle()));
        }
        self.set_to_work();
    }

    /// Begins what is to be read or opened; while something else is under way it waits.
    fn set_to_work(&mut self) {
        let Some(asker) = self.asker.take() else { return };
        if let Some(to_read) = self.steps.read.take() {
            self.work = Some(Box::pin(asking::read(to_read, asker, self.limits, Arc::clone(&self.login))));
        } else if std::mem::take(&mut self.steps.open) {
            self.work = Some(Box::pin(asking::open(asker)));
        } else {
            self.asker = Some(asker);
        }
    }

    /// What the target says, through the core. True if there was anything.
    fn take_target(&mut self, cx: &mut Context<'_>) -> bool {
        let mut taken = false;
        while !self.steps.end && self.down.backlog() < HIGH && self.session.has_room() {
            let Some(from) = &mut self.from_target else { break };
            let Poll::Ready(message) = from.poll(cx) else { break };
            if matches!(message, Some(FromTarget::Close)) {
                self.from_target = None;
            }
            let Some(message) = message else { continue };
            self.core.on_target(message, &mut self.steps);
            self.apply();
            taken = true;
        }
        if let Some(Source::Inbox(sent)) = &self.from_target
            && taken
            && sent.inbox.has_caught_up()
        {
            // Where another is behind, its next data says so again.
            sent.brake.set(None);
        }
        taken
    }

    /// What the client says, through the core. True if there was anything.
    fn take_client(&mut self, cx: &mut Context<'_>) -> bool {
        let mut taken = false;
        while !self.steps.end
            && !self.leaving
            && self.core.wants_client()
            && self.up.as_ref().is_none_or(|up| up.backlog() < HIGH)
            && self.session.has_room()
        {
            let Poll::Ready(message) = self.inbox.poll_take(cx) else { break };
            match message {
                // What it said before is to reach the target first.
                Taken::Message(FromClient::Close) => self.leaving = true,
                Taken::Message(message) => {
                    let raw = matches!(message, FromClient::Shell) && self.gives_raw_shell();
                    self.core.on_client(message, raw, &mut self.steps);
                }
                Taken::Closed => self.core.on_client(FromClient::Close, false, &mut self.steps),
                Taken::Overflowed => self.core.fail("more was sent than the program takes", &mut self.steps),
            }
            self.apply();
            taken = true;
        }
        if taken && self.inbox.has_caught_up() {
            // Where another channel of the connection is behind, its next data says so again.
            self.brake.set(None);
        }
        taken
    }

    /// Whether policy gives this principal a terminal that is not guarded.
    fn gives_raw_shell(&self) -> bool {
        let (principal, connection) = (self.session.principal(), self.session.connection());
        let now = Timestamp::now();
        let decided = self.gate.with_policy(|set| set.opens(SessionKind::Shell, principal, connection, now));
        matches!(decided.verdict, Verdict::Allow)
    }

    /// One batch to each side.
    fn write(&mut self, cx: &mut Context<'_>) {
        let down = self.down.poll_send(cx);
        let starved = down.is_pending() && self.down.backlog() > 0;
        self.inbox.set_starved(starved);
        if starved {
            self.brake.set(None);
        }
        if let Poll::Ready(Err(error)) = down {
            self.lost(&error);
        }
        let up = self.up.as_mut().map(|up| up.poll_send(cx));
        let starved = matches!(up, Some(Poll::Pending)) && self.up.as_ref().is_some_and(|up| up.backlog() > 0);
        if let Some(Source::Inbox(sent)) = &self.from_target {
            sent.inbox.set_starved(starved);
            if starved {
                sent.brake.set(None);
            }
        }
        if let Some(Poll::Ready(Err(error))) = up {
            match error {
                SendError::RecordUnavailable => self.lost(&error),
                // What the target said before it left is still to be read.
                _ => self.up = None,
            }
        }
        if self.leaving && !self.steps.end && self.up.as_ref().is_none_or(|up| up.backlog() == 0) {
            self.core.on_left(&mut self.steps);
            self.apply();
            self.client_left = true;
        }
    }

    fn lost(&mut self, error: &SendError) {
        tracing::debug!(%error, "a channel ends");
        self.core.on_gone(&mut self.steps);
        self.client_left = true;
    }

    /// Says what is left to be said.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let up = self.up.as_mut().is_none_or(|up| up.poll_send(cx).is_ready());
        let down = self.client_left || self.down.poll_send(cx).is_ready() || self.inbox.poll_closed(cx).is_ready();
        if up && down { Poll::Ready(()) } else { Poll::Pending }
    }
}
