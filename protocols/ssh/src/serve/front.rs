//! What the library's callbacks for a client's connection share: who came in, its channels, and what is asked of the
//! gate before there is a task for it.
//!
//! Promises: nothing here waits but the proof of an identity, before there is any channel, and for a short time the
//! answer to a listener, since what the callback returns is that answer; what is never forwarded is asked of the gate
//! all the same, so that the record has it; a client that proved who it is and may not enter is told why; once the
//! connection is gone, each of its channels is closed.
//! Does not promise that what was asked for may run: a channel's task says that.
//! Held by: `tests/it/ssh.rs` and `ssh_edges.rs` of the binary.

mod callbacks;
mod device;
mod listening;

use super::Ssh;
use crate::classify;
use crate::error::{Error, Result};
use crate::frame::{FromClient, ToTarget, Variable};
use crate::inbox::Inbox;
use crate::listener::Place;
use crate::own::Locale;
use crate::reply::{self, Ends, REFUSED, STDERR};
use crate::wire::Brake;
use device::Device;
use portcullis_gate::{Arrival, NotEntered, Proof, Ruling, Session};
use portcullis_model::{ClientInfo, Command, Name, Outcome, Protocol, SessionKind};
use portcullis_net::{Drain, Waits};
use russh::server::{self, Auth, ChannelOpenHandle, Msg};
use russh::{ChannelId, ChannelOpenFailure, ChannelWriteHalf};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// What happens on a connection, for the task that owns it.
pub(super) enum Event {
    /// The client proved who it is; `None` where it may not enter.
    Entered(Option<Entered>),
    /// It opened a session channel.
    Channel(Opened),
    /// It asks for a channel to another host.
    Forward(Box<ForwardAsked>),
    /// It asks for a listener at the target.
    Listen(Box<ListenAsked>),
    /// It gives one up.
    Unlisten(UnlistenAsked),
}

/// A client that is in.
#[derive(Clone)]
pub(super) struct Entered {
    pub(super) session: Arc<Session>,
}

/// A channel to another host that a client asks for; it is answered once the target has opened it.
pub(super) struct ForwardAsked {
    pub(super) opened: Opened,
    pub(super) reply: ChannelOpenHandle,
    pub(super) host: String,
    pub(super) port: u32,
}

/// The port of a listener that a client asked for, or what it is told.
pub(super) type Listened = std::result::Result<u32, String>;

/// A listener at the target that a client asks for.
pub(super) struct ListenAsked {
    pub(super) place: Place,
    /// By which the client is offered what comes to it.
    pub(super) handle: server::Handle,
    pub(super) done: oneshot::Sender<Listened>,
}

/// A listener that a client gives up.
pub(super) struct UnlistenAsked {
    pub(super) address: String,
    pub(super) port: u32,
    pub(super) done: oneshot::Sender<bool>,
}

/// A channel that the gateway opened and the client has taken.
pub(super) struct Confirmed {
    pub(super) id: ChannelId,
    pub(super) inbox: Inbox,
}

/// A channel that a client opened, or took.
pub(super) struct Opened {
    pub(super) inbox: Inbox,
    pub(super) half: ChannelWriteHalf<Msg>,
    pub(super) handle: server::Handle,
}

/// Whom the callbacks are for.
pub(super) struct Caller {
    pub(super) peer: SocketAddr,
    /// The address it came to.
    pub(super) local: SocketAddr,
    pub(super) brake: Brake,
    /// Where it may wait for its person.
    pub(super) waits: Waits,
    pub(super) drain: Drain,
}

/// What the callbacks tell the task that owns the connection.
pub(super) struct Tells {
    pub(super) events: mpsc::Sender<Event>,
    /// Has room for every channel that is offered at once.
    pub(super) confirmed: mpsc::Sender<Confirmed>,
    /// By when the client is to have proved who it is.
    pub(super) deadline: watch::Sender<Instant>,
}

/// The callbacks' own state.
pub(super) struct Front {
    ssh: Arc<Ssh>,
    caller: Caller,
    tells: Tells,
    device: Device,
    entered: Option<Entered>,
    /// Why a client that proved who it is may open nothing.
    refused: Option<String>,
    channels: HashMap<ChannelId, Requests>,
}

/// A channel, and what was asked for on it so far.
struct Requests {
    inbox: Inbox,
    /// It has its one program (RFC 4254 §6.5).
    begun: bool,
    terminal: bool,
    variables: usize,
    /// The gateway opened it.
    offered: bool,
}

impl Requests {
    const fn new(inbox: Inbox) -> Self {
        Self { inbox, begun: false, terminal: false, variables: 0, offered: false }
    }

    /// One on which nothing can be asked for.
    const fn offered(inbox: Inbox) -> Self {
        Self { inbox, begun: true, terminal: false, variables: 0, offered: true }
    }
}

/// The variable that says why the commands of a connection are sent; it goes no further.
const REASON: &str = "PORTCULLIS_REASON";

/// `CONNECTION` or `CONNECTION+LOGIN`.
fn wanted(user: &str) -> (&str, Option<&str>) {
    match user.split_once('+') {
        Some((connection, login)) => (connection, Some(login)),
        None => (user, None),
    }
}

impl Front {
    pub(super) fn new(ssh: Arc<Ssh>, caller: Caller, tells: Tells) -> Self {
        let (device, channels) = (Device::Unused, HashMap::new());
        Self { ssh, caller, tells, device, entered: None, refused: None, channels }
    }

    /// How the gateway sees the client.
    fn client(&self) -> ClientInfo {
        ClientInfo { address: self.caller.peer.to_string().into(), application: None, transport: "ssh".into() }
    }

    async fn enter(&mut self, user: &str, proof: Proof) -> Auth {
        self.leave_device(device::LEFT);
        let (connection, login) = wanted(user);
        let arrival = Arrival {
            proof,
            kind: SessionKind::Exec,
            protocol: Protocol::Ssh,
            connection: Name::canonical(connection),
            database: None,
            login: login.map(Arc::from),
            client: self.client(),
            from: self.caller.peer.ip(),
            claimed: user.into(),
        };
        match self.ssh.gate.enter(arrival).await {
            Ok(session) => {
                self.take(Arc::new(session), login);
                Auth::Accept
            }
            Err(NotEntered::Identity { .. }) => Auth::reject(),
            Err(why) => {
                self.refused = Some(reply::not_entered(&why, connection));
                Auth::Accept
            }
        }
    }

    /// In; another login than the connection's own needs a rule.
    fn take(&mut self, session: Arc<Session>, login: Option<&str>) {
        let Some(login) = login else {
            self.entered = Some(Entered { session });
            return;
        };
        match session.ask(session.seal(ToTarget::Close, classify::login(login))) {
            Ruling::Forward(_, permit) => {
                session.settle(permit, Outcome::Completed { status: "accepted".into(), rows: 0, bytes: 0 }, None);
                self.entered = Some(Entered { session });
            }
            Ruling::Refuse(denial) => self.refused = Some(reply::refused(&denial)),
            // A login cannot wait; dropping the hold withdraws it.
            Ruling::Hold(_) => self.refused = Some(reply::failed("a login cannot wait for an approval")),
        }
    }

    fn push(&mut self, channel: ChannelId, message: FromClient) {
        if let Some(asked) = self.channels.get(&channel) {
            asked.inbox.push(message);
        }
    }

    fn push_data(&mut self, channel: ChannelId, data: &[u8]) {
        if let Some(asked) = self.channels.get(&channel) {
            asked.inbox.push_data(data);
            self.update_brake();
        }
    }

    fn behind(&self) -> Option<u64> {
        self.channels.values().filter_map(|asked| asked.inbox.behind()).max()
    }

    fn update_brake(&self) {
        self.caller.brake.set(self.behind());
    }

    /// A request that starts something: where the client may open nothing, it is told why, and its channel ends.
    fn starts(&mut self, channel: ChannelId, message: FromClient, session: &mut server::Session) -> Result<()> {
        let Some(why) = &self.refused else {
            let fresh = self.channels.get_mut(&channel).is_some_and(|asked| !std::mem::replace(&mut asked.begun, true));
            if fresh {
                self.push(channel, message);
            }
            return answered(channel, fresh, session);
        };
        let text = reply::lines(why, Ends::Plain);
        let said = session
            .channel_success(channel)
            .and_then(|()| session.extended_data(channel, STDERR, text))
            .and_then(|()| session.exit_status_request(channel, REFUSED))
            .and_then(|()| session.eof(channel))
            .and_then(|()| session.close(channel));
        said.map_err(Error::Client)
    }

    /// Takes a variable that is for the gateway: why the commands of the connection are sent.
    fn explained(&self, name: &str, value: &str) -> bool {
        let Some(Entered { session }) = self.entered.as_ref().filter(|_| name == REASON) else { return false };
        session.because(value);
        true
    }

    /// A variable that may be set: one that only presents, or one that a rule allows.
    fn variable(&self, name: &str, value: &str) -> Option<FromClient> {
        let Entered { session } = self.entered.as_ref()?;
        if let Some(locale) = Locale::new(name, value) {
            return Some(FromClient::Locale(locale));
        }
        let frame = ToTarget::Env { name: name.to_owned(), value: value.to_owned() };
        match session.ask(session.seal(frame, classify::variable(name, value))) {
            Ruling::Forward(cleared, permit) => {
                let (name, value) = (name.to_owned(), value.to_owned());
                Some(FromClient::Variable(Box::new(Variable { name, value, cleared: Some((cleared, permit)) })))
            }
            // Nobody is asked about a variable: dropping the hold withdraws it.
            Ruling::Refuse(_) | Ruling::Hold(_) => None,
        }
    }

    /// Asks the gate about what is never forwarded, for the record; says whether a rule would have allowed it.
    fn asks(&self, command: Command) -> bool {
        let Some(Entered { session }) = &self.entered else { return false };
        match session.ask(session.seal(ToTarget::Close, command)) {
            Ruling::Forward(_, permit) => {
                let message = Some("this gateway does not forward it".into());
                session.settle(permit, Outcome::Failed { status: "unsupported".into(), message }, None);
                true
            }
            Ruling::Refuse(_) | Ruling::Hold(_) => false,
        }
    }

    async fn refuse(&mut self, command: Command, reply: ChannelOpenHandle) -> Result<()> {
        let why = if self.asks(command) {
            ChannelOpenFailure::UnknownChannelType
        } else {
            ChannelOpenFailure::AdministrativelyProhibited
        };
        reply.reject(why).await;
        Ok(())
    }
}

/// Answers a request of a channel. At once, since the library answers by whichever request came last: what is said later
/// would be taken for the answer to another.
fn answered(channel: ChannelId, good: bool, session: &mut server::Session) -> Result<()> {
    let answer = if good { session.channel_success(channel) } else { session.channel_failure(channel) };
    answer.map_err(Error::Client)
}

impl Drop for Front {
    /// The connection is gone: so is every channel, and a login that waits.
    fn drop(&mut self) {
        // A gateway that stops may have ended its record: its callbacks said so while they waited.
        if !self.caller.drain.is_draining() {
            self.leave_device(device::GONE);
        }
        for asked in self.channels.values() {
            asked.inbox.push(FromClient::Close);
        }
    }
}
