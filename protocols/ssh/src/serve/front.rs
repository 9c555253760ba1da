//! The library's callbacks for a client's connection: each puts what came where its task finds it, and returns.
//!
//! Promises: nothing here waits but the proof of an identity, before there is any channel; every kind of channel and
//! every request has an answer of its own, and those that are never forwarded are asked of the gate all the same, so
//! that the record has them; a client that proved who it is and may not enter is told why.
//! Requests of a channel are answered here, in their order; whether a program may run, its task says later.
//! Held by: `tests/it`.

use super::{CHANNELS, Ssh, WINDOW};
use crate::classify;
use crate::error::{Error, Result};
use crate::frame::{FromClient, Size, Terminal, ToTarget, Variable};
use crate::inbox::Inbox;
use crate::own::Locale;
use crate::reply::{self, Ends, REFUSED, STDERR};
use crate::wire::Brake;
use bytes::Bytes;
use portcullis_gate::{Arrival, NotEntered, Proof, Ruling, Session};
use portcullis_model::{ClientInfo, Command, Name, Outcome, Protocol, SessionKind};
use russh::keys::ssh_key::Certificate;
use russh::server::{self, Auth, ChannelOpenHandle, Msg, PublicKeyOffer, Response, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf, Pty, Sig};
use secrecy::SecretString;
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The window that a client is given while what it sent waits: enough to notice that it ends.
const TRICKLE: u32 = 4 << 10;

/// What happens on a connection, for the task that owns it.
pub(super) enum Event {
    /// The client proved who it is; `None` where it may not enter.
    Entered(Option<Entered>),
    /// It opened a session channel.
    Channel(Opened),
    /// It asks for a channel to another host.
    Forward(Box<ForwardAsked>),
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

/// A channel that a client opened.
pub(super) struct Opened {
    pub(super) inbox: Inbox,
    pub(super) half: ChannelWriteHalf<Msg>,
    pub(super) handle: server::Handle,
}

/// The callbacks' own state.
pub(super) struct Front {
    ssh: Arc<Ssh>,
    peer: SocketAddr,
    brake: Brake,
    events: mpsc::Sender<Event>,
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
}

impl Requests {
    const fn new(inbox: Inbox) -> Self {
        Self { inbox, begun: false, terminal: false, variables: 0 }
    }
}

/// Variables that a client may set on one channel, and bytes of each.
const VARIABLES: usize = 64;
const VARIABLE_BYTES: usize = 4096;
/// The longest name of a kind of terminal.
const TERM: usize = 64;

/// `CONNECTION` or `CONNECTION+LOGIN`.
fn wanted(user: &str) -> (&str, Option<&str>) {
    match user.split_once('+') {
        Some((connection, login)) => (connection, Some(login)),
        None => (user, None),
    }
}

impl Front {
    pub(super) fn new(ssh: Arc<Ssh>, peer: SocketAddr, brake: Brake, events: mpsc::Sender<Event>) -> Self {
        Self { ssh, peer, brake, events, entered: None, refused: None, channels: HashMap::new() }
    }

    async fn enter(&mut self, user: &str, proof: Proof) -> Auth {
        let (connection, login) = wanted(user);
        let arrival = Arrival {
            proof,
            kind: SessionKind::Exec,
            protocol: Protocol::Ssh,
            connection: Name::canonical(connection),
            database: None,
            login: login.map(Arc::from),
            client: ClientInfo { address: self.peer.to_string().into(), application: None, transport: "ssh".into() },
            from: self.peer.ip(),
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
        self.brake.set(self.behind());
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

    async fn refuse(&self, command: Command, reply: ChannelOpenHandle) -> Result<()> {
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

impl server::Handler for Front {
    type Error = Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth> {
        Ok(Auth::reject())
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth> {
        Ok(self.enter(user, Proof::Token { token: SecretString::from(password), claimed_user: None }).await)
    }

    async fn auth_publickey_offered(&mut self, _: &str, offer: PublicKeyOffer<'_>) -> Result<Auth> {
        let known = self.ssh.gate.identity().knows_key(offer.public_key);
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth> {
        let proof = Proof::SshKey { key: key.public_key.clone(), claimed_user: None };
        Ok(self.enter(user, proof).await)
    }

    async fn auth_openssh_certificate(&mut self, user: &str, certificate: &Certificate) -> Result<Auth> {
        Ok(self
            .enter(user, Proof::SshCertificate { certificate: Box::new(certificate.clone()), claimed_user: None })
            .await)
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth> {
        const PROMPTS: &[(Cow<'static, str>, bool)] = &[(Cow::Borrowed("Portcullis token: "), false)];
        let Some(answer) = response.and_then(|mut answers| answers.next()) else {
            let prompts = Cow::Borrowed(PROMPTS);
            return Ok(Auth::Partial { name: "".into(), instructions: "".into(), prompts });
        };
        let Ok(token) = std::str::from_utf8(&answer) else { return Ok(Auth::reject()) };
        let token = SecretString::from(token);
        Ok(self.enter(user, Proof::Token { token, claimed_user: None }).await)
    }

    async fn auth_succeeded(&mut self, _: &mut server::Session) -> Result<()> {
        // The first event of a connection: there is room for it.
        self.events.try_send(Event::Entered(self.entered.clone())).ok();
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut server::Session,
    ) -> Result<()> {
        let id = channel.id();
        if self.refused.is_some() {
            reply.accept().await;
            return Ok(());
        }
        let (_, half) = channel.split();
        let opened = Opened { inbox: Inbox::new(), half, handle: session.handle() };
        let inbox = opened.inbox.clone();
        if self.channels.len() >= CHANNELS || self.events.try_send(Event::Channel(opened)).is_err() {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        self.channels.insert(id, Requests::new(inbox));
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<()> {
        self.refuse(classify::unsupported("an X11 channel", ""), reply).await
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        session: &mut server::Session,
    ) -> Result<()> {
        let permitted = self.entered.as_ref().is_some_and(|entered| entered.session.extensions().port_forwarding);
        if !permitted {
            return self.refuse(classify::unsupported("a port that the certificate does not permit", ""), reply).await;
        }
        let id = channel.id();
        let (_, half) = channel.split();
        let opened = Opened { inbox: Inbox::new(), half, handle: session.handle() };
        let inbox = opened.inbox.clone();
        let asked = Box::new(ForwardAsked { opened, reply, host: host.to_owned(), port });
        // Without room it is dropped, which refuses the channel.
        if self.channels.len() < CHANNELS && self.events.try_send(Event::Forward(asked)).is_ok() {
            self.channels.insert(id, Requests::new(inbox));
        }
        Ok(())
    }

    async fn channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<()> {
        self.refuse(classify::unsupported("a channel that only a server opens", ""), reply).await
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<()> {
        self.refuse(classify::unsupported("a Unix socket", ""), reply).await
    }

    async fn tcpip_forward(&mut self, host: &str, port: &mut u32, _: &mut server::Session) -> Result<bool> {
        let what = format!("a listener on {host}:{port}");
        self.asks(classify::unsupported(&what, "; only connections from here are"));
        Ok(false)
    }

    async fn streamlocal_forward(&mut self, _: &str, _: &mut server::Session) -> Result<bool> {
        self.asks(classify::unsupported("a listener on a Unix socket", ""));
        Ok(false)
    }

    async fn cancel_tcpip_forward(&mut self, _: &str, _: u32, _: &mut server::Session) -> Result<bool> {
        Ok(false)
    }

    async fn cancel_streamlocal_forward(&mut self, _: &str, _: &mut server::Session) -> Result<bool> {
        Ok(false)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        modes: &[(Pty, u32)],
        session: &mut server::Session,
    ) -> Result<()> {
        let permitted = self.entered.as_ref().is_some_and(|entered| entered.session.extensions().pty);
        let named = term.len() <= TERM && term.chars().all(|c| c.is_ascii_graphic());
        let good = permitted
            && named
            && self
                .channels
                .get_mut(&channel)
                .is_some_and(|asked| !asked.begun && !std::mem::replace(&mut asked.terminal, true));
        if good {
            let size = Size { columns, rows, width, height };
            self.push(channel, FromClient::Pty(Terminal { term: term.to_owned(), size, modes: modes.to_vec() }));
        }
        // One that may open nothing reads why on the program that it asks for next.
        answered(channel, good || self.refused.is_some(), session)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut server::Session,
    ) -> Result<()> {
        let room = self.channels.get_mut(&channel).is_some_and(|asked| {
            asked.variables += 1;
            !asked.begun && asked.variables <= VARIABLES
        });
        let taken = if room && name.len() + value.len() <= VARIABLE_BYTES { self.variable(name, value) } else { None };
        let good = taken.is_some();
        if let Some(message) = taken {
            self.push(channel, message);
        }
        answered(channel, good, session)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut server::Session,
    ) -> Result<()> {
        self.asks(classify::unsupported("X11 forwarding", ""));
        answered(channel, false, session)
    }

    async fn agent_request(&mut self, _: ChannelId, _: &mut server::Session) -> Result<bool> {
        self.asks(classify::unsupported("agent forwarding", ""));
        Ok(false)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut server::Session) -> Result<()> {
        self.starts(channel, FromClient::Shell, session)
    }

    async fn exec_request(&mut self, channel: ChannelId, command: &[u8], session: &mut server::Session) -> Result<()> {
        self.starts(channel, FromClient::Exec(Bytes::copy_from_slice(command)), session)
    }

    async fn subsystem_request(&mut self, channel: ChannelId, name: &str, session: &mut server::Session) -> Result<()> {
        self.starts(channel, FromClient::Subsystem(name.to_owned()), session)
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        _: &mut server::Session,
    ) -> Result<()> {
        self.push(channel, FromClient::Resize(Size { columns, rows, width, height }));
        Ok(())
    }

    async fn signal(&mut self, channel: ChannelId, signal: Sig, _: &mut server::Session) -> Result<()> {
        self.push(channel, FromClient::Signal(signal));
        Ok(())
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], _: &mut server::Session) -> Result<()> {
        self.push_data(channel, data);
        Ok(())
    }

    async fn extended_data(&mut self, channel: ChannelId, _: u32, _: &[u8], _: &mut server::Session) -> Result<()> {
        self.push(channel, FromClient::Extended);
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, _: &mut server::Session) -> Result<()> {
        self.push(channel, FromClient::Eof);
        self.update_brake();
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut server::Session) -> Result<()> {
        self.push(channel, FromClient::Close);
        self.channels.remove(&channel);
        self.update_brake();
        Ok(())
    }

    async fn window_adjusted(&mut self, _: ChannelId, _: u32, _: &mut server::Session) -> Result<()> {
        self.update_brake();
        Ok(())
    }

    fn adjust_window(&mut self, channel: ChannelId, _: u32) -> u32 {
        let held = self.channels.get(&channel).is_some_and(|asked| asked.inbox.is_spooling());
        if held { TRICKLE } else { WINDOW }
    }
}

impl Drop for Front {
    /// The connection is gone: so is every channel.
    fn drop(&mut self) {
        for asked in self.channels.values() {
            asked.inbox.push(FromClient::Close);
        }
    }
}
