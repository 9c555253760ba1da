//! A connection from its first byte to its last: negotiate, prove, enter, log in, relay.
//!
//! Promises: a client reads nothing of the backend before its identity was accepted, policy let it in and the record
//! took the session; the settings it is told are the server's own, the cancel key is the gateway's; every step before
//! the relay has a time limit; a client that is refused reads why, in the table of `reply.rs`.
//! Does not promise to go on when the backend cannot be reached: the client is told so without the backend's words.
//! Held by: `tests/it/entry.rs` and everything in `tests/it`.

mod pump;

use crate::cancel::{CancelKeys, LocalKeys, Requested};
use crate::catalogue::{Catalogues, Shared};
use crate::classify::Reader;
use crate::core::{Core, Snapshot};
use crate::error::{Error, Refused, Result, Side};
use crate::frame::{FrameBuf, FrameLimits};
use crate::login::backend::{self, Backend, Target};
use crate::login::client::{self, Discovery, Login, Way};
use crate::login::{refuse, send};
use crate::negotiate::{self, Opened, Opening};
use crate::preview::Place;
use crate::reply;
use crate::startup::{ClientAuth, Startup};
use portcullis_gate::{Arrival, Gate, NotEntered, Proof, RESERVED_USER, Session};
use portcullis_model::{ClientInfo, Name, Protocol, SessionKind};
use portcullis_net::{Accepted, Address, ClientTls, DialOptions, Drain};
use portcullis_sql::Limits;
use pump::Peers;
use secrecy::SecretString;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Cancel keys of one gateway.
const SESSIONS: usize = 100_000;

/// How sessions are served.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How connections open: TLS, cancel requests in the clear, the time for it.
    pub negotiate: negotiate::Settings,
    /// How clients of a connection prove who they are, where they do not say and it is not by password.
    pub client_auth: HashMap<Name, ClientAuth>,
    /// Where clients get a token for OAUTHBEARER; without, nobody is asked for one so.
    pub discovery: Option<Discovery>,
    /// The time a client has to present its token, and the gateway to log in to the backend.
    pub login_timeout: Duration,
    /// Limits on single messages; `statement` is `limits.statement` of the configuration.
    pub frames: FrameLimits,
    /// Limits on what is read as SQL.
    pub reading: Limits,
    /// Bytes of readings that are kept for each database, for texts that come again.
    pub cache: u64,
    /// A session in which nothing happened for this long is ended.
    pub idle: Duration,
}

impl Settings {
    /// The defaults of DESIGN 4 behind these opening settings.
    #[must_use]
    pub fn new(negotiate: negotiate::Settings) -> Self {
        Self {
            negotiate,
            client_auth: HashMap::new(),
            discovery: None,
            login_timeout: Duration::from_secs(30),
            frames: FrameLimits::default(),
            // The login pins how strings are read, and sees to it that they stay so.
            reading: Limits::default().pinned(),
            cache: 32 << 20,
            idle: Duration::from_secs(3600),
        }
    }
}

/// Where a connection of the configuration leads.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The server's address. A Unix socket is its directory.
    pub address: Address,
    /// How to protect the connection to it.
    pub tls: ClientTls,
    /// The name to verify in its certificate, if not the address's host.
    pub server_name: Option<String>,
    /// The database where the client names none.
    pub database: Name,
    /// Further databases that clients may name (`CONNECTION/DATABASE`).
    pub databases: Vec<Name>,
    /// Bounds of the dial.
    pub dial: DialOptions,
}

impl Destination {
    /// Where and how a login of this role goes to this database.
    #[must_use]
    pub fn target(&self, role: &str, password: Option<SecretString>, database: &Name, timeout: Duration) -> Target {
        Target {
            address: self.address.clone(),
            tls: self.tls.clone(),
            server_name: self.server_name.clone(),
            username: role.to_owned(),
            password,
            database: database.as_str().to_owned(),
            dial: self.dial,
            timeout,
        }
    }
}

/// All PostgreSQL connections of a gateway. Made once by whoever assembles it, shared by all its listeners.
pub struct Postgres {
    gate: Gate,
    destinations: HashMap<Name, Destination>,
    settings: Settings,
    keys: Arc<dyn CancelKeys>,
    catalogues: Catalogues,
}

impl Postgres {
    /// Serves these destinations, by the names the gate knows their connections under.
    #[must_use]
    pub fn new(settings: Settings, gate: Gate, destinations: HashMap<Name, Destination>) -> Self {
        Self {
            gate,
            destinations,
            keys: Arc::new(LocalKeys::new(SESSIONS)),
            catalogues: Catalogues::new(settings.cache),
            settings,
        }
    }

    /// Serves one accepted connection to its end; the handler of a listener.
    pub async fn serve(self: Arc<Self>, accepted: Accepted) {
        let peer = accepted.peer;
        match self.session(accepted).await {
            Ok(()) | Err(Error::Refused(_) | Error::Closed { .. }) => {}
            Err(error) if error.side() == Side::Client => {
                tracing::info!(%peer, %error, "a PostgreSQL client broke its connection");
            }
            Err(error) => tracing::warn!(%peer, %error, "a PostgreSQL connection failed"),
        }
    }

    async fn session(&self, accepted: Accepted) -> Result<()> {
        let Accepted { io, peer, local: _, unauthenticated, drain } = accepted;
        let loopback = peer.ip().to_canonical().is_loopback();
        let mut opening = match negotiate::open(io, loopback, &self.settings.negotiate).await? {
            Opened::Session(opening) => *opening,
            Opened::Cancel(request) => {
                let requested = self.keys.request(peer.ip(), request).await;
                if requested != Requested::Delivered {
                    tracing::info!(%peer, ?requested, "a cancel request reached nobody");
                }
                return Ok(());
            }
        };
        let mut buffer = FrameBuf::new(self.settings.frames);
        let session = self.enter(&mut opening, &mut buffer, peer, loopback).await?;
        unauthenticated.authenticated();
        if let Some(reason) = &opening.startup.reason {
            session.because(reason);
        }
        let session = Arc::new(session);
        let (result, reason) = match self.log_in(&session, &opening.startup).await {
            Ok(entered) => self.relay(&session, opening, buffer, entered, drain).await,
            Err(error) => {
                refuse(&mut opening.io, &error).await;
                (Err(error), "the backend refused the login")
            }
        };
        // Whatever still held the session is gone with the relay.
        if let Some(session) = Arc::into_inner(session) {
            session.end(reason);
        }
        result
    }

    /// Proves the client and lets it in.
    async fn enter(
        &self,
        opening: &mut Opening,
        buffer: &mut FrameBuf,
        peer: SocketAddr,
        loopback: bool,
    ) -> Result<Session> {
        let wanted = Wanted::of(&opening.startup.database);
        let client = ClientInfo {
            address: peer.to_string().into(),
            application: opening.startup.setting("application_name").map(Into::into),
            transport: transport(opening),
        };
        let claimed: Arc<str> = opening.startup.user.as_str().into();
        let unjudged = {
            let (client, claimed) = (client.clone(), Arc::clone(&claimed));
            move |error: &Error| self.record_unjudged(error, &claimed, client)
        };
        let way = match self.way(&opening.startup, &wanted.connection) {
            Ok(way) => way,
            Err(refused) => {
                let refused = Error::from(refused);
                unjudged(&refused);
                refuse(&mut opening.io, &refused).await;
                return Err(refused);
            }
        };
        let verify = |proof: Proof| async move {
            let arrival = Arrival {
                proof,
                kind: SessionKind::Sql,
                protocol: Protocol::Postgres,
                connection: wanted.connection,
                database: wanted.database,
                login: None,
                client,
                from: peer.ip(),
                claimed,
            };
            match self.gate.enter(arrival).await {
                Err(NotEntered::Identity { .. }) => None,
                entered => Some(entered),
            }
        };
        let login = Login { startup: &opening.startup, way: &way, loopback, timeout: self.settings.login_timeout };
        let entered = client::authenticate(&mut opening.io, buffer, login, verify).await.inspect_err(unjudged)?;
        let refused = match entered {
            Ok(session) => return Ok(session),
            Err(why) => Error::Refused(reply::not_entered(&why, &opening.startup.database)),
        };
        refuse(&mut opening.io, &refused).await;
        Err(refused)
    }

    /// Records a refusal that nothing was judged for.
    fn record_unjudged(&self, error: &Error, claimed: &str, client: ClientInfo) {
        if let Error::Refused(Refused { unjudged: Some(why), .. }) = error {
            self.gate.refused(Protocol::Postgres, claimed, client, why);
        }
    }

    /// What this client is asked for: what it wants, else what its connection does.
    fn way(&self, startup: &Startup, connection: &Name) -> std::result::Result<Way, Refused> {
        let configured = || self.settings.client_auth.get(connection).copied().unwrap_or_default();
        match startup.auth.unwrap_or_else(configured) {
            ClientAuth::Password => Ok(Way::Password),
            // The salt belongs to a user, and any token may be under this name.
            ClientAuth::Scram if startup.user == RESERVED_USER => Err(Refused::new(
                "28000",
                format!("SCRAM needs the token's own user, and \"{RESERVED_USER}\" stands for any"),
            )
            .hint("Connect as the user that the token was made for, or with portcullis.auth=password.")
            .unjudged("SCRAM under the name that stands for any user")),
            ClientAuth::Scram => Ok(Way::Scram(self.gate.identity().scram_challenge(&startup.user))),
            ClientAuth::OAuth => self.settings.discovery.clone().map(Way::OAuth).ok_or_else(|| {
                Refused::new("28000", "this gateway names no identity provider for OAUTHBEARER")
                    .hint("Connect with portcullis.auth=password and the token as the password.")
            }),
        }
    }

    /// Logs in to the backend, and sees to it that its catalogue is there.
    async fn log_in(&self, session: &Session, startup: &Startup) -> Result<Entered> {
        let connection = session.connection();
        let unknown = || Error::from(reply::no_such_connection(&startup.database));
        let destination = self.destinations.get(&connection.name).ok_or_else(unknown)?;
        let database = connection.database.as_ref().unwrap_or(&destination.database);
        if *database != destination.database && !destination.databases.contains(database) {
            return Err(unknown());
        }
        let no_credential = |error| {
            tracing::error!(connection = %connection.name, %error, "no credential for the backend");
            Refused::new("08001", "the gateway has no credential for the database behind it")
                .hint("Nothing is wrong with your own login. The gateway's log says what happened.")
        };
        let lease = session.lease().await.map_err(no_credential)?;
        let role = Arc::clone(&lease.username);
        let password = lease.into_password().map_err(no_credential)?;
        let timeout = self.settings.login_timeout;
        let target = Arc::new(destination.target(&role, password, database, timeout));
        let catalogue = self.catalogues.of(&connection.name, database);
        let loaded = async {
            if catalogue.fresh_for().is_zero() {
                catalogue.refresh(&target, Instant::now()).await;
            }
        };
        let login = backend::connect(&target, &startup.settings, self.settings.frames);
        let (backend, ()) = tokio::join!(login, loaded);
        Ok(Entered { backend: backend?, target, catalogue })
    }

    /// Welcomes the client and relays until one side ends.
    async fn relay(
        &self,
        session: &Arc<Session>,
        mut opening: Opening,
        mut buffer: FrameBuf,
        entered: Entered,
        drain: Drain,
    ) -> (Result<()>, &'static str) {
        let Entered { backend, target, catalogue } = entered;
        let Backend { io, buffer: from_backend, parameters, cancel, version: _ } = backend;
        // A server without a key cannot cancel, and its client is given none (notes 11).
        let registration = cancel.is_some().then(|| self.keys.register(opening.startup.version)).flatten();
        let key = registration.as_ref().map(crate::cancel::Registration::key);
        let reported = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let welcome = client::welcome(reported, key);
        if let Err(error) = send(&mut opening.io, &welcome, crate::error::Side::Client).await {
            return (Err(error), "client left");
        }
        buffer.idle();
        let shared = Arc::clone(&catalogue);
        let snapshot: Snapshot = Arc::new(move || shared.snapshot());
        let reader = Reader { cache: catalogue.cache(), limits: self.settings.reading };
        let own_pid = cancel.as_ref().map(crate::cancel::ServerCancel::pid);
        let mut core = Core::new(Arc::clone(session), reader, snapshot, rand::random(), own_pid);
        core.begins_with(&opening.startup.settings, &parameters);
        let peers = Peers { client: opening.io, from_client: buffer, backend: io, from_backend };
        let previews = Place { target: Arc::clone(&target), turns: catalogue.previews() };
        let surroundings = pump::Surroundings {
            session: Arc::clone(session),
            catalogue,
            target,
            previews,
            registration,
            cancel,
            drain,
            idle: self.settings.idle,
        };
        (Ok(()), pump::run(core, peers, surroundings).await)
    }
}

/// A backend that let the gateway in.
struct Entered {
    backend: Backend,
    target: Arc<Target>,
    catalogue: Arc<Shared>,
}

/// What a client's `dbname` asks for.
struct Wanted {
    connection: Name,
    database: Option<Name>,
}

impl Wanted {
    fn of(dbname: &str) -> Self {
        match dbname.split_once('/') {
            Some((connection, database)) => {
                Self { connection: Name::canonical(connection), database: Some(Name::canonical(database)) }
            }
            None => Self { connection: Name::canonical(dbname), database: None },
        }
    }
}

/// `tls1.3` or `plaintext`.
fn transport(opening: &Opening) -> Arc<str> {
    match &opening.transport.tls {
        Some(tls) => tls.version.to_ascii_lowercase().replace('v', "").into(),
        None => "plaintext".into(),
    }
}
