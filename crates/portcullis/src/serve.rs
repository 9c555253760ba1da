//! `portcullis serve`: from configuration to listeners, and back down without losing anybody's transaction.
//!
//! Promises: `ready` is printed once every listener accepts and the admin socket is there; SIGTERM and SIGINT drain:
//! no new connections, sessions end as their protocol says, the record is closed last; changed bundles come into force
//! by themselves unless they are weaker than those in force, which only `policy reload` takes.
//! Held by: `tests/it`.

use crate::args::ServeArgs;
use crate::assemble::credentials::Keepers;
use crate::assemble::{self, Ground};
use crate::error::Failure;
use crate::notify::{Notifier, Teller};
use jiff::Timestamp;
use portcullis_approvals::Desk;
use portcullis_config::Config;
use portcullis_console::{Api, Health, Journal, Reload};
use portcullis_gate::Gate;
use portcullis_model::{Problem, Protocol};
use portcullis_net::{Authority, Certificates, Drain, Limits, listen, serve_tcp};
use portcullis_policy::PolicySet;
use portcullis_postgres::Postgres;
use portcullis_ssh::Ssh;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

/// How often the bundles are looked at.
const LOOK_AT_POLICY: Duration = Duration::from_secs(2);

/// How often sessions are looked at whose token may have run out.
const LOOK_AT_IDENTITIES: Duration = Duration::from_secs(1);

/// How often the gateway's own certificate is looked at; it is renewed weeks before it runs out.
const LOOK_AT_CERTIFICATE: Duration = Duration::from_secs(12 * 60 * 60);

/// Runs the gateway until it is told to stop.
pub(crate) async fn run(args: &ServeArgs) -> Result<(), Failure> {
    logging();
    let config = assemble::load(&args.config)?;
    let running = start(config).await?;
    println!("{}", running.ready_line());
    std::io::stdout().flush()?;
    stop_signal().await?;
    tracing::info!("draining");
    running.stop().await
}

/// Logs to standard error: for people on a terminal, JSON lines elsewhere.
pub(crate) fn logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process (the demo's) is not an error.
    let _first = if std::io::stderr().is_terminal() { logs.try_init() } else { logs.json().try_init() };
}

async fn stop_signal() -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// A gateway whose listeners accept.
pub(crate) struct Running {
    pub(crate) postgres: Option<SocketAddr>,
    pub(crate) ssh: Option<SocketAddr>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) console: Option<SocketAddr>,
    gate: Gate,
    ground: Ground,
    desk: Desk,
    health: Health,
    /// Of what is no listener.
    drain: Drain,
    /// One each: a listener whose last session has ended cuts its own drain, and only that.
    listeners: Vec<Drain>,
    tasks: JoinSet<()>,
    /// Of what keeps the logins that were made for sessions: it ends after the last of them.
    keeping: Drain,
    keepers: JoinSet<()>,
    /// Of what tells people: it ends after the sessions, so that their last endings are told.
    telling: JoinSet<()>,
}

/// A listener that accepts, and where.
struct Open {
    listener: TcpListener,
    address: SocketAddr,
}

fn open(address: Option<SocketAddr>) -> Result<Option<Open>, Failure> {
    let Some(address) = address else { return Ok(None) };
    let listener = listen(address).map_err(|error| Failure::refused("listen", error))?;
    let address = listener.local_addr()?;
    Ok(Some(Open { listener, address }))
}

/// Builds everything and starts accepting.
pub(crate) async fn start(config: Config) -> Result<Running, Failure> {
    let policy = assemble::policy(&config)?;
    let ground = assemble::ground(&config).await?;
    let postgres = open(config.listen.postgres)?;
    let ssh = open(config.listen.ssh)?;
    let http = open(config.listen.http)?;
    let console = open(config.listen.console)?;
    let addresses: Vec<SocketAddr> =
        [&postgres, &http, &console].into_iter().flatten().map(|open| open.address).collect();
    let tls = assemble::tls(&config, &addresses)?;
    let desk = assemble::desk(&config, &ground).await?;
    let (credentials, keepers) = assemble::credentials(&config)?;
    let notifiers = assemble::notifications::notifiers(&config, &credentials)?;
    let gate = assemble::gate(&config, &ground, policy, desk.clone(), credentials)?;
    let (certificates, own) = tls.map_or((None, None), |tls| (Some(tls.certificates), tls.own));
    let (authority, file) = own.map_or((None, None), |(authority, file)| (Some(authority), Some(file)));
    let mut running = Running {
        postgres: postgres.as_ref().map(|open| open.address),
        ssh: ssh.as_ref().map(|open| open.address),
        http: http.as_ref().map(|open| open.address),
        console: console.as_ref().map(|open| open.address),
        gate,
        ground,
        desk,
        health: Health::default(),
        drain: Drain::new(),
        listeners: Vec::new(),
        tasks: JoinSet::new(),
        keeping: Drain::new(),
        keepers: JoinSet::new(),
        telling: JoinSet::new(),
    };
    running.keep_logins(keepers);
    running.tell(notifiers);
    let config = Arc::new(config);
    let api = running.api(&config, file, certificates.is_some());
    if let Some(open) = postgres {
        running.serve_postgres(&config, open, certificates.as_ref())?;
    }
    if let Some(open) = ssh {
        running.serve_ssh(&config, open)?;
    }
    if let Some(open) = http {
        running.serve_http(&config, open, certificates.as_ref())?;
    }
    if let Some(open) = console {
        running.serve_console(&config, open, certificates.as_ref(), Arc::clone(&api))?;
    }
    running.serve_socket(&config, api).await?;
    running.follow_policy(config);
    running.follow_identity();
    if let Some((authority, certificates)) = authority.zip(certificates) {
        running.renew_certificate(authority, certificates);
    }
    running.health.set_ready(true);
    Ok(running)
}

impl Running {
    /// The one line that `serve` prints.
    pub(crate) fn ready_line(&self) -> String {
        let listed = [("postgres", self.postgres), ("ssh", self.ssh), ("http", self.http), ("console", self.console)];
        let shown: Vec<String> =
            listed.iter().filter_map(|(name, address)| address.map(|address| format!(" {name}={address}"))).collect();
        format!("ready{}", shown.concat())
    }

    /// Drains the listeners, then closes the record.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        self.health.set_ready(false);
        self.listeners.iter().chain([&self.drain]).for_each(Drain::start);
        while self.tasks.join_next().await.is_some() {}
        self.gate.finish_giving().await;
        self.gate.close("stopped");
        drop(self.gate);
        self.keeping.start();
        while self.keepers.join_next().await.is_some() {}
        while self.telling.join_next().await.is_some() {}
        self.ground.writer.close().map_err(|error| Failure::refused("the record", error))
    }

    fn api(&self, config: &Arc<Config>, authority: Option<PathBuf>, tls: bool) -> Arc<Api> {
        let postgres = self.postgres.map(|address| assemble::endpoint(Protocol::Postgres, address, tls));
        // SSH has its own encryption, whatever the other listeners have.
        let ssh = self.ssh.map(|address| assemble::endpoint(Protocol::Ssh, address, false));
        let http = self.http.map(|address| assemble::endpoint(Protocol::Http, address, tls));
        Arc::new(Api {
            journal: Journal::Gate(self.gate.clone()),
            identity: Arc::clone(&self.ground.identity),
            roles: assemble::roles(config),
            reader: self.ground.recorder.reader(),
            log: Arc::clone(&self.ground.log),
            public: self.ground.recorder.public().clone(),
            recorder: Some(self.ground.recorder.clone()),
            connections: assemble::connections(config).into_values().collect(),
            endpoints: postgres.into_iter().chain(ssh).chain(http).collect(),
            authority,
            ssh_host_key: self.ground.ssh.as_ref().and_then(|keys| assemble::ssh::host_line(keys, self.ssh)),
            reload: Some(reload(Arc::clone(config), self.gate.clone())),
            health: self.health.clone(),
            logins: assemble::oidc::logins(config),
            desk: self.desk.clone(),
        })
    }

    fn serve_postgres(
        &mut self,
        config: &Config,
        open: Open,
        certificates: Option<&Certificates>,
    ) -> Result<(), Failure> {
        let tls = certificates
            .map(|certificates| certificates.server(&[b"postgresql"]))
            .transpose()
            .map_err(|error| Failure::refused("tls", error))?;
        let (settings, destinations) = (assemble::postgres(config, tls), assemble::destinations(config)?);
        let postgres = Arc::new(Postgres::new(settings, self.gate.clone(), destinations));
        let (limits, drain) = (limits(config), self.listener_drain());
        self.tasks.spawn(async move {
            let drained =
                serve_tcp(open.listener, limits, drain, move |accepted| Arc::clone(&postgres).serve(accepted)).await;
            if drained.cut > 0 {
                tracing::warn!(sessions = drained.cut, "sessions were cut at the end of the drain");
            }
        });
        Ok(())
    }

    fn serve_ssh(&mut self, config: &Config, open: Open) -> Result<(), Failure> {
        // A configuration with a listener has keys.
        let Some(keys) = &self.ground.ssh else { return Ok(()) };
        let settings = assemble::ssh::settings(config, keys);
        let ssh = Ssh::new(settings, self.gate.clone(), assemble::ssh::destinations(config));
        let ssh = Arc::new(match assemble::device::logins(config)? {
            Some(logins) => ssh.with_device_logins(logins),
            None => ssh,
        });
        let (limits, drain) = (limits(config), self.listener_drain());
        self.tasks.spawn(async move {
            let drained =
                serve_tcp(open.listener, limits, drain, move |accepted| Arc::clone(&ssh).serve(accepted)).await;
            if drained.cut > 0 {
                tracing::warn!(sessions = drained.cut, "sessions were cut at the end of the drain");
            }
        });
        Ok(())
    }

    fn serve_http(&mut self, config: &Config, open: Open, certificates: Option<&Certificates>) -> Result<(), Failure> {
        let tls = certificates
            .map(|certificates| certificates.server(&[b"h2", b"http/1.1"]))
            .transpose()
            .map_err(|error| Failure::refused("tls", error))?;
        let http = Arc::new(assemble::http::serve(config, self.gate.clone(), &self.ground.seal, tls)?);
        let (limits, drain) = (limits(config), self.listener_drain());
        self.tasks.spawn(async move {
            let drained =
                serve_tcp(open.listener, limits, drain, move |accepted| Arc::clone(&http).serve(accepted)).await;
            if drained.cut > 0 {
                tracing::warn!(connections = drained.cut, "connections were cut at the end of the drain");
            }
        });
        Ok(())
    }

    fn serve_console(
        &mut self,
        config: &Config,
        open: Open,
        certificates: Option<&Certificates>,
        api: Arc<Api>,
    ) -> Result<(), Failure> {
        let tls = certificates
            .map(|certificates| certificates.server(&[b"http/1.1"]))
            .transpose()
            .map_err(|error| Failure::refused("tls", error))?;
        let (limits, drain) = (limits(config), self.listener_drain());
        self.tasks.spawn(async move {
            let handler = move |accepted| portcullis_console::serve_tls(Arc::clone(&api), accepted, tls.clone());
            serve_tcp(open.listener, limits, drain, handler).await;
        });
        Ok(())
    }

    fn listener_drain(&mut self) -> Drain {
        let drain = Drain::new();
        self.listeners.push(drain.clone());
        drain
    }

    async fn serve_socket(&mut self, config: &Config, api: Arc<Api>) -> Result<(), Failure> {
        let socket = portcullis_console::AdminSocket::bind(&assemble::admin_socket(config))
            .map_err(|error| Failure::refused("admin.sock", error))?;
        let drain = self.drain.clone();
        self.tasks.spawn(socket.serve(api, assemble::local_admin(), drain));
        Ok(())
    }

    fn renew_certificate(&mut self, authority: Authority, certificates: Certificates) {
        self.tasks.spawn(renew(authority, certificates, self.drain.clone()));
    }

    /// Keeps what was made for sessions.
    fn keep_logins(&mut self, keepers: Keepers) {
        let Keepers { leases, roles } = keepers;
        let (first, second) = (self.keeping.clone(), self.keeping.clone());
        if let Some(keeper) = leases {
            self.keepers.spawn(keeper.keep(async move { first.draining().await }));
        }
        if let Some(keeper) = roles {
            self.keepers.spawn(keeper.keep(async move { second.draining().await }));
        }
    }

    /// Tells people of what waits for them.
    fn tell(&mut self, notifiers: Vec<Notifier>) {
        if !notifiers.is_empty() {
            let table = Arc::clone(&self.ground.table);
            let teller = Teller::new(notifiers, self.desk.clone(), table, &self.ground.recorder);
            self.telling.spawn(teller.run(self.keeping.clone()));
        }
    }

    /// Ends sessions whose identity was revoked, at once, and those whose token ran out, within a second.
    fn follow_identity(&mut self) {
        let (gate, drain) = (self.gate.clone(), self.drain.clone());
        let mut changes = gate.identity().changes();
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = drain.draining() => return,
                    Ok(()) = changes.changed() => {}
                    () = tokio::time::sleep(LOOK_AT_IDENTITIES) => {}
                }
                let ended = gate.end_fallen(Timestamp::now());
                if ended > 0 {
                    tracing::info!(sessions = ended, "sessions ended with the identity they stood on");
                }
                gate.end_grants(Timestamp::now()).await;
            }
        });
    }

    /// Takes changed bundles by itself, unless they are weaker.
    fn follow_policy(&mut self, config: Arc<Config>) {
        let (gate, drain) = (self.gate.clone(), self.drain.clone());
        self.tasks.spawn(async move {
            let mut refused: Option<String> = None;
            loop {
                tokio::select! {
                    () = drain.draining() => return,
                    () = tokio::time::sleep(LOOK_AT_POLICY) => {}
                }
                look_at_policy(&config, &gate, &mut refused);
            }
        });
    }
}

/// Renews the gateway's own certificate before it runs out.
async fn renew(authority: Authority, certificates: Certificates, drain: Drain) {
    loop {
        tokio::select! {
            () = drain.draining() => return,
            () = tokio::time::sleep(LOOK_AT_CERTIFICATE) => {}
        }
        match authority.renew(&certificates) {
            Ok(true) => tracing::info!("the gateway's own certificate was renewed"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the gateway's own certificate could not be renewed"),
        }
    }
}

/// Reads the bundles once; `refused` is what was said last, so that one bad file is told and recorded once.
fn look_at_policy(config: &Config, gate: &Gate, refused: &mut Option<String>) {
    let why: Vec<Arc<str>> = match read_policy(config) {
        Ok((set, _)) => {
            let (same, weaker) = gate.with_policy(|old| (old.digest() == set.digest(), set.weakens(old)));
            if same {
                *refused = None;
                return;
            }
            if weaker.is_empty() {
                tracing::info!(policy = %set.digest(), "changed bundles are in force");
                gate.set_policy(set);
                *refused = None;
                return;
            }
            weaker.into_iter().map(Arc::from).collect()
        }
        Err(problems) => problems.iter().map(|problem| problem.to_string().into()).collect(),
    };
    let told = why.join("\n");
    if refused.as_ref() != Some(&told) {
        tracing::warn!(why = %told, "changed bundles are not taken; the old ones stay in force");
        gate.policy_refused(why);
        *refused = Some(told);
    }
}

fn read_policy(config: &Config) -> Result<(PolicySet, Vec<Problem>), Vec<Problem>> {
    let files = config.policy_files()?;
    let sources: Result<Vec<_>, _> = files.iter().map(|file| assemble::read_source(file)).collect();
    let sources = sources.map_err(|failure| vec![Problem::error("policies", failure.to_string())])?;
    let loaded = assemble::opa::load(&sources)?;
    let problems = assemble::mask_problems(config, &loaded.set);
    let set = loaded.set.with_connections(assemble::databases(config));
    if problems.is_empty() { Ok((set, loaded.warnings)) } else { Err(problems) }
}

/// What `policy reload` does: takes the bundles even when they are weaker.
fn reload(config: Arc<Config>, gate: Gate) -> Reload {
    Arc::new(move || match read_policy(&config) {
        Ok((set, warnings)) => {
            gate.set_policy(set);
            Ok(warnings)
        }
        Err(problems) => {
            gate.policy_refused(problems.iter().map(|problem| problem.to_string().into()).collect());
            Err(problems)
        }
    })
}

fn limits(config: &Config) -> Limits {
    let defaults = Limits::default();
    let max_unauthenticated = defaults.max_unauthenticated.min(config.limits.sessions as usize);
    let of_address = config.limits.unauthenticated_per_address as usize;
    Limits {
        max_connections: config.limits.sessions as usize,
        max_unauthenticated,
        max_unauthenticated_per_address: of_address,
        // Whoever waits for a person leaves half of the places to those who do not.
        max_waiting: defaults.max_waiting.min(max_unauthenticated.div_ceil(2)),
        max_waiting_per_address: defaults.max_waiting_per_address.min(of_address.div_ceil(2)),
        ..defaults
    }
}
