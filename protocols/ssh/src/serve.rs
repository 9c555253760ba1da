//! A connection from its first byte to its last: algorithms, proof, the gate, then its channels.
//!
//! Promises: a client reads nothing of the target before its identity was accepted, policy let it in and the record
//! took the session; each channel has a task and a connection to the target of its own, so that one that is held or not
//! read stalls none but itself, and all listeners of a client one more (`listening.rs`); the login has one time limit,
//! which only a client whose person logs in elsewhere is given anew (`front/device.rs`); a killed session's sockets are
//! closed at once, whatever either side does; a drain waits for what runs.
//! Does not promise to share target connections between channels.
//! Held by: `tests/it/ssh.rs`, `ssh_edges.rs`, `ssh_flow.rs` and `ssh_forwards.rs` of the binary.

mod asking;
mod channel;
mod forward;
mod front;
mod listening;

use crate::error::Error;
use crate::login::ALGORITHMS;
use crate::login::arrivals::Arrivals;
use crate::login::device::DeviceLogins;
use crate::login::target::{Connecting, Destination, connect};
use crate::wire::{Brake, Cut, Wire};
use front::{Caller, Entered, Event, Front, Tells};
use futures_util::future::FutureExt as _;
use listening::{CARRIED, Listening};
use portcullis_gate::{Gate, PrivateKey, Session};
use portcullis_model::Name;
use portcullis_net::{Accepted, Drain};
use russh::server::{self, RunningSession};
use russh::{MethodKind, MethodSet, SshId};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Channels that one connection may have.
const CHANNELS: usize = 64;
/// Bytes of a channel's window: what a client may send unread (RFC 4254 §5.2).
pub(crate) const WINDOW: u32 = 2 << 20;
/// The window that a peer is given while what it sent waits: enough to notice that it ends.
pub(crate) const TRICKLE: u32 = 4 << 10;
/// How long a channel may take to say its last words.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long a client without a channel may take to leave a gateway that stops.
const PARTING: Duration = Duration::from_secs(2);

/// How SSH sessions are served.
#[derive(Clone)]
pub struct Settings {
    /// The gateway's own host key.
    pub host_key: PrivateKey,
    /// For the algorithms and the proof together; and again for the login to a target.
    pub login_timeout: Duration,
    /// A connection without a channel is ended after this.
    pub idle: Duration,
    /// Bytes of a command line.
    pub statement: usize,
}

/// The SSH side of a gateway. Share it behind an `Arc`.
pub struct Ssh {
    config: Arc<server::Config>,
    settings: Settings,
    gate: Gate,
    destinations: HashMap<Name, Destination>,
    /// Where people may log in with a code.
    device_logins: Option<Arc<dyn DeviceLogins>>,
}

impl Ssh {
    /// Serves these destinations through the gate.
    #[must_use]
    pub fn new(settings: Settings, gate: Gate, destinations: HashMap<Name, Destination>) -> Self {
        let config = Arc::new(config(&settings));
        Self { config, settings, gate, destinations, device_logins: None }
    }

    /// Lets people log in with a code, too.
    #[must_use]
    pub fn with_device_logins(mut self, logins: Arc<dyn DeviceLogins>) -> Self {
        self.device_logins = Some(logins);
        self
    }

    /// Takes an accepted connection to its end.
    pub async fn serve(self: Arc<Self>, accepted: Accepted) {
        let Accepted { io, peer, local, unauthenticated, drain } = accepted;
        let (cut, brake) = (Cut::default(), Brake::default());
        let (sender, mut events) = mpsc::channel(CHANNELS);
        let (confirming, confirmed) = mpsc::channel(CARRIED);
        let deadline = tokio::time::sleep(self.settings.login_timeout);
        let (later, mut moved) = watch::channel(deadline.deadline());
        let caller = Caller { peer, local, brake: brake.clone(), waits: unauthenticated.waits(), drain: drain.clone() };
        let front =
            Front::new(Arc::clone(&self), caller, Tells { events: sender, confirmed: confirming, deadline: later });
        let wire = Wire::new(io, &cut, brake.clone());
        tokio::pin!(deadline);
        let started = tokio::select! {
            started = server::run_stream(Arc::clone(&self.config), wire, front) => started,
            () = &mut deadline => return,
        };
        let Ok(mut running) = started else { return };
        let entered = loop {
            tokio::select! {
                entered = events.recv() => break entered,
                _ = &mut running => break None,
                Ok(()) = moved.changed() => deadline.as_mut().reset(*moved.borrow_and_update()),
                () = &mut deadline => break None,
            }
        };
        unauthenticated.authenticated();
        match entered {
            Some(Event::Entered(Some(entered))) => {
                let listening = Listening::new(Arc::clone(&self), entered.clone(), brake.clone(), confirmed);
                let lines = Lines { ssh: self, entered, cut, brake, drain, channels: JoinSet::new(), listening };
                lines.run(running, events).await;
            }
            // Proved, and nothing to be had here: it reads why on its first channel.
            Some(Event::Entered(None)) => {
                let patience = tokio::time::timeout(self.settings.login_timeout, &mut running).await;
                drop(patience);
                cut.cut();
            }
            Some(Event::Channel(_) | Event::Forward(_) | Event::Listen(_) | Event::Unlisten(_)) | None => cut.cut(),
        }
    }

    /// Logs in to the target of this session. What comes to listeners there goes to `arrivals`.
    fn connect(&self, session: &Arc<Session>, arrivals: Option<Arrivals>) -> Connecting {
        let destination = self.destinations.get(&session.connection().name).cloned();
        let session = Arc::clone(session);
        let patience = self.settings.login_timeout;
        let connecting = async move {
            let Some(destination) = destination else {
                return Err(Arc::new(Error::Credential("the connection leads nowhere".into())));
            };
            let lease = session.lease().await.map_err(|error| Arc::new(Error::Credential(error.to_string().into())))?;
            connect(&destination, lease, patience, arrivals).await.map(Arc::new).map_err(Arc::new)
        };
        connecting.boxed().shared()
    }
}

fn config(settings: &Settings) -> server::Config {
    server::Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Portcullis")),
        methods: MethodSet::from(&[MethodKind::PublicKey, MethodKind::KeyboardInteractive, MethodKind::Password][..]),
        // The judge of identities takes its own time with a refusal.
        auth_rejection_time: Duration::ZERO,
        keys: vec![russh::keys::PrivateKey::clone(settings.host_key.key())],
        window_size: WINDOW,
        event_buffer_size: 64,
        channel_buffer_size: 1,
        preferred: ALGORITHMS,
        max_auth_attempts: 12,
        inactivity_timeout: None,
        keepalive_interval: Some(Duration::from_secs(60)),
        nodelay: true,
        ..server::Config::default()
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The library's task has ended.
    ClientLeft,
    CallbacksGone,
    Killed,
    RecordFailed,
    Stopped,
    /// The gateway stopped, and the library's task has ended.
    Parted,
    Idle,
}

impl End {
    const fn reason(self) -> &'static str {
        match self {
            Self::ClientLeft | Self::CallbacksGone => "client left",
            Self::Killed => "killed",
            Self::RecordFailed => "the record failed",
            Self::Stopped | Self::Parted => "the gateway stopped",
            Self::Idle => "idle",
        }
    }
}

/// The channels of one connection.
struct Lines {
    ssh: Arc<Ssh>,
    entered: Entered,
    cut: Cut,
    brake: Brake,
    drain: Drain,
    channels: JoinSet<()>,
    listening: Listening,
}

impl Lines {
    async fn run(mut self, mut running: RunningSession<Front>, events: mpsc::Receiver<Event>) {
        let end = self.relay(&mut running, events).await;
        self.cut.cut();
        // What runs in them is recorded as interrupted by being dropped.
        self.channels.shutdown().await;
        self.listening.end(matches!(end, End::ClientLeft | End::CallbacksGone | End::Parted)).await;
        if !matches!(end, End::ClientLeft | End::Parted) {
            // The library's task sees the cut and drops its half of the session.
            tokio::time::timeout(FAREWELL, &mut running).await.ok();
        }
        // Where it does not, the session is recorded as interrupted when it goes.
        if let Ok(session) = Arc::try_unwrap(self.entered.session) {
            session.end(end.reason());
        }
    }

    /// Whether it has neither a channel nor a listener.
    fn is_quiet(&self) -> bool {
        self.channels.is_empty() && self.listening.is_empty()
    }

    /// Until an end, and which.
    async fn relay(&mut self, running: &mut RunningSession<Front>, mut events: mpsc::Receiver<Event>) -> End {
        let session = Arc::clone(&self.entered.session);
        let ended = session.ended();
        let drain = self.drain.clone();
        let mut last = Instant::now();
        loop {
            let idle = tokio::time::sleep_until((last + self.ssh.settings.idle).into());
            tokio::select! {
                biased;
                () = ended.cancelled() => return if session.record_failed() { End::RecordFailed } else { End::Killed },
                () = drain.cutting() => return End::Stopped,
                // Nothing new comes; what came is let end.
                () = drain.draining(), if self.listening.listens() => self.listening.close("the gateway stops"),
                () = drain.draining(), if self.is_quiet() => {
                    // Who was told the end of its last program is still to read it, and leaves by itself then.
                    let left = tokio::time::timeout(PARTING, &mut *running).await.is_ok();
                    return if left { End::Parted } else { End::Stopped };
                }
                event = events.recv() => match event {
                    Some(Event::Channel(opened)) => {
                        let connecting = self.ssh.connect(&session, None);
                        let line = channel::Line::new(&self.ssh, &self.entered, connecting, opened, self.brake.clone());
                        self.channels.spawn(line.run());
                    }
                    Some(Event::Forward(asked)) => {
                        let connecting = self.ssh.connect(&session, None);
                        let (ssh, entered, brake) = (Arc::clone(&self.ssh), self.entered.clone(), self.brake.clone());
                        self.channels.spawn(forward::run(ssh, entered, connecting, *asked, brake));
                    }
                    // One that is dropped is refused.
                    Some(Event::Listen(asked)) if !drain.is_draining() => self.listening.on_listen(*asked),
                    Some(Event::Unlisten(asked)) => self.listening.on_unlisten(asked),
                    Some(Event::Entered(_) | Event::Listen(_)) => {}
                    // The library has dropped the callbacks; its task ends with them.
                    None => return End::CallbacksGone,
                },
                _ = self.channels.join_next(), if !self.channels.is_empty() => {}
                () = self.listening.turn() => {}
                _ = &mut *running => return End::ClientLeft,
                () = idle, if self.is_quiet() => return End::Idle,
            }
            last = Instant::now();
        }
    }
}
