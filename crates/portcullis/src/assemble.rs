//! The one place that turns configuration into each crate's own settings.
//!
//! Promises: everything that a gateway is made of is built here, in the order of its dependencies, and what cannot be
//! built is said with the key it came from; the same parts serve the running gateway, `check`, and the client commands
//! over a store that nobody has open.
//! Held by: `tests/it` (every end-to-end test starts what is built here).

mod client_auth;
pub(crate) mod credentials;
pub(crate) mod device;
pub(crate) mod http;
mod key_command;
pub(crate) mod notifications;
pub(crate) mod oidc;
pub(crate) mod opa;
mod session_roles;
pub(crate) mod ssh;

pub(crate) use credentials::credentials;

use crate::error::{Failure, print_problems};
use axum::body::Body;
use hyper::{Request, Response};
use jiff::Timestamp;
use portcullis_approvals::Desk;
use portcullis_audit::{Durability, Recorder, Settings as RecordSettings, SigningKey, Writer};
use portcullis_config as config;
use portcullis_config::Config;
use portcullis_console::{Api, Endpoint, Health, Journal};
use portcullis_credentials::Credentials;
use portcullis_gate::{Gate, MaskingKey, Parts, Settings};
use portcullis_http::Seal;
use portcullis_identity::{Authenticated, Identity, Roles, Settings as IdentitySettings, TokenKey};
use portcullis_model::{Catalogue, Connection, Name, Problem, Protocol};
use portcullis_net::{Address, Authority, Certificates, ClientTls, DialOptions, Roots, ServerTls, VerifyMode};
use portcullis_policy::{PolicySet, SourceFile};
use portcullis_postgres::{Destination, Settings as PostgresSettings, negotiate};
use portcullis_store::{Log, Table};
use portcullis_store_rocksdb::Store;
use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What is recorded of each answer under `results: sample`.
const SAMPLE_BYTES: usize = 4 * 1024;

/// How long a database may take to let a client command in.
const CATALOGUE_TIMEOUT: Duration = Duration::from_secs(10);

/// This gateway among those that share a store: the embedded one has one.
const SEAT: &str = "gateway";

/// This gateway's version, as recorded.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The configuration, its problems printed.
pub(crate) fn load(path: &Path) -> Result<Config, Failure> {
    match config::load(path) {
        Ok(loaded) => {
            print_problems(&loaded.warnings);
            Ok(loaded.config)
        }
        Err(problems) => {
            let errors = print_problems(&problems);
            Err(Failure::Refused(format!("{errors} problems in {}", path.display())))
        }
    }
}

/// Where the running gateway listens for local administration.
pub(crate) fn admin_socket(config: &Config) -> PathBuf {
    config.data_dir.join("admin.sock")
}

/// The public key of the record, for auditors.
pub(crate) fn signing_key_file(config: &Config) -> PathBuf {
    config.data_dir.join("audit.key")
}

/// The configured bundles as they are on disk now.
pub(crate) fn policy_sources(config: &Config) -> Result<Vec<SourceFile>, Failure> {
    let files = config.policy_files().map_err(|problems| {
        let errors = print_problems(&problems);
        Failure::Refused(format!("{errors} problems with `policies`"))
    })?;
    files.iter().map(|file| read_source(file)).collect()
}

/// One bundle.
pub(crate) fn read_source(file: &Path) -> Result<SourceFile, Failure> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| Failure::refused(&name, error))?;
    Ok(SourceFile::new(name, text))
}

/// The configured bundles as one set, its problems printed.
pub(crate) fn policy(config: &Config) -> Result<PolicySet, Failure> {
    let loaded = opa::load(&policy_sources(config)?).and_then(|loaded| {
        let problems = mask_problems(config, &loaded.set);
        if problems.is_empty() { Ok(loaded) } else { Err(problems) }
    });
    match loaded {
        Ok(loaded) => {
            print_problems(&loaded.warnings);
            Ok(loaded.set.with_connections(databases(config)))
        }
        Err(problems) => {
            let errors = print_problems(&problems);
            Err(Failure::Refused(format!("{errors} problems in the policy bundles")))
        }
    }
}

/// What the set's masks ask for that cannot be carried out.
pub(crate) fn mask_problems(config: &Config, set: &PolicySet) -> Vec<Problem> {
    let connections: Vec<Connection> = connections(config).into_values().collect();
    portcullis_gate::mask_problems(set, &connections)
}

/// The connections as rules, records and the gate see them.
pub(crate) fn connections(config: &Config) -> HashMap<Name, Connection> {
    let listed = config.connections.iter().map(|(name, connection)| {
        let connection = match connection {
            config::Connection::Postgres(postgres) => Connection {
                name: name.clone(),
                protocol: Protocol::Postgres,
                address: postgres.address.to_string().into(),
                database: Some(Name::canonical(Arc::clone(&postgres.database))),
                login: Arc::clone(&postgres.username),
            },
            config::Connection::Ssh(target) => ssh::connection(name, target),
            config::Connection::Http(service) => http::connection(name, service),
        };
        (name.clone(), connection)
    });
    listed.collect()
}

/// Every database that a connection leads to: what a statement inside a shell line may reach.
pub(crate) fn databases(config: &Config) -> Vec<Connection> {
    let connections = connections(config).into_values();
    let all = connections.flat_map(|main| {
        let others = match config.connections.get(&main.name) {
            Some(config::Connection::Postgres(postgres)) => postgres.databases.clone(),
            Some(config::Connection::Ssh(_) | config::Connection::Http(_)) | None => [].into(),
        };
        let other = |name: Arc<str>| Connection { database: Some(Name::canonical(name)), ..main.clone() };
        let others: Vec<Connection> = others.into_iter().map(other).collect();
        [main].into_iter().chain(others)
    });
    all.collect()
}

fn databases_of(config: &Config) -> impl Iterator<Item = (&Name, &config::Postgres)> {
    config.connections.iter().filter_map(|(name, connection)| match connection {
        config::Connection::Postgres(postgres) => Some((name, postgres)),
        config::Connection::Ssh(_) | config::Connection::Http(_) => None,
    })
}

/// Where each PostgreSQL connection leads, and how its server proves itself.
pub(crate) fn destinations(config: &Config) -> Result<HashMap<Name, Destination>, Failure> {
    databases_of(config).map(|(name, postgres)| Ok((name.clone(), destination(name, postgres)?))).collect()
}

/// What anything configured cannot be reached with, before anybody asks: all of it.
pub(crate) fn reach_problems(config: &Config) -> Vec<Failure> {
    let databases = databases_of(config).filter_map(|(name, postgres)| destination(name, postgres).err());
    let told = notifications::problems(config);
    databases.chain(http::problems(config)).chain(oidc::trust(config).err()).chain(told).collect()
}

fn destination(name: &Name, postgres: &config::Postgres) -> Result<Destination, Failure> {
    let mode = match postgres.tls {
        config::BackendTls::VerifyFull => VerifyMode::VerifyFull,
        config::BackendTls::VerifyCa => VerifyMode::VerifyCa,
        config::BackendTls::Require => VerifyMode::Require,
        config::BackendTls::Disable => VerifyMode::Disable,
    };
    let roots = postgres.tls_ca.as_ref().map_or(Roots::Native, |file| Roots::File(file.clone()));
    let tls = if matches!(mode, VerifyMode::Disable) {
        ClientTls::disabled()
    } else {
        ClientTls::new(mode, &roots, &[b"postgresql"])
            .map_err(|error| Failure::refused(&format!("connections.{name}.tls"), error))?
    };
    Ok(Destination {
        address: address(&postgres.address),
        tls,
        server_name: None,
        database: Name::canonical(Arc::clone(&postgres.database)),
        databases: postgres.databases.iter().map(|name| Name::canonical(Arc::clone(name))).collect(),
        dial: DialOptions::default(),
    })
}

/// The catalogue of a connection's database, read through the gateway's own credential.
pub(crate) async fn catalogue(config: &Config, connection: &Name) -> Result<Catalogue, Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::refused(connection.as_str(), error);
    let destinations = destinations(config)?;
    let destination = destinations.get(connection).ok_or_else(|| refused(&"it leads nowhere"))?;
    let (credentials, _keepers) = credentials(config)?;
    let lease = credentials.lease(connection, None, &local_admin().principal).await;
    let mut lease = lease.map_err(|error| refused(&error))?;
    let (role, made) = (Arc::clone(&lease.username), lease.kept.take());
    let password = lease.into_password().map_err(|error| refused(&error))?;
    let target = destination.target(&role, password, &destination.database, CATALOGUE_TIMEOUT);
    let catalogue = portcullis_postgres::load_catalogue(&target, 1).await.map_err(|error| refused(&error));
    if let Some(made) = made {
        credentials.give_back(made).await.map_err(|error| refused(&error))?;
    }
    catalogue
}

fn address(address: &config::Address) -> Address {
    match address {
        config::Address::Tcp { host, port } => Address::Tcp { host: host.to_string(), port: *port },
        config::Address::Unix { directory, port } => Address::Unix(directory.join(format!(".s.PGSQL.{port}"))),
    }
}

/// How PostgreSQL sessions are served.
pub(crate) fn postgres(config: &Config, tls: Option<ServerTls>) -> PostgresSettings {
    let mut settings = PostgresSettings::new(negotiate::Settings::new(tls));
    let statement = usize::try_from(config.limits.statement).unwrap_or(usize::MAX);
    settings.client_auth = client_auth::of_connections(config);
    settings.discovery = client_auth::discovery(config);
    settings.login_timeout = config.limits.handshake;
    settings.negotiate.timeout = config.limits.handshake;
    settings.idle = config.limits.idle;
    settings.frames.statement = statement;
    settings.reading.statement_bytes = statement;
    settings
}

/// Where approvals are given: nobody can without a provider of interactive logins. To be called once in a run of the
/// gateway: what an earlier run left waiting is withdrawn.
pub(crate) async fn desk(config: &Config, ground: &Ground) -> Result<Desk, Failure> {
    if config.oidc.is_empty() {
        return Ok(Desk::closed());
    }
    let desk = Desk::open_at(Arc::clone(&ground.table), SEAT, Arc::new(Timestamp::now)).await;
    desk.map_err(|error| Failure::refused("the requests for approval", error))
}

/// The groups that may use the API.
pub(crate) fn roles(config: &Config) -> Roles {
    Roles {
        admin: config.roles.admin.clone(),
        auditor: config.roles.auditor.clone(),
        approver: config.roles.approver.clone(),
    }
}

/// How clients are met over TLS.
pub(crate) struct Tls {
    /// The certificate of the listeners.
    pub(crate) certificates: Certificates,
    /// The gateway's own authority, where it made the certificate itself: clients verify with it, and the certificate is
    /// renewed from it.
    pub(crate) own: Option<(Authority, PathBuf)>,
}

/// How clients are met; `None` in plaintext.
pub(crate) fn tls(config: &Config, listen: &[SocketAddr]) -> Result<Option<Tls>, Failure> {
    match &config.tls {
        config::Tls::Off => Ok(None),
        config::Tls::Files { certificate, key } => {
            let certificates =
                Certificates::from_files(certificate, key).map_err(|error| Failure::refused("tls", error))?;
            Ok(Some(Tls { certificates, own: None }))
        }
        config::Tls::SelfMade => {
            let authority = Authority::new(&config.data_dir, listen, &[]);
            let made = authority.open().map_err(|error| Failure::refused("the gateway's own certificate", error))?;
            Ok(Some(Tls { certificates: made.certificates, own: Some((authority, made.authority)) }))
        }
    }
}

/// The directory of the store, keys and sockets, made if need be.
fn data_dir(config: &Config) -> Result<(), Failure> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.data_dir)
        .map_err(|error| Failure::refused(&config.data_dir.display().to_string(), error))
}

/// The store, the record over it, and who is who: what every command needs.
pub(crate) struct Ground {
    pub(crate) recorder: Recorder,
    pub(crate) writer: Writer,
    pub(crate) identity: Arc<Identity>,
    pub(crate) log: Arc<dyn Log>,
    /// Tokens and budgets.
    pub(crate) table: Arc<dyn Table>,
    /// The key of what is hashed in the place of protected values.
    pub(crate) masking_key: Arc<MaskingKey>,
    /// The gateway's own SSH keys, where SSH is configured.
    pub(crate) ssh: Option<ssh::Keys>,
    /// Seals the session ids of tool servers.
    pub(crate) seal: Arc<Seal>,
}

/// Opens the store as its only user.
pub(crate) async fn ground(config: &Config) -> Result<Ground, Failure> {
    data_dir(config)?;
    let store = Store::open(&config.data_dir.join("store")).map_err(|error| Failure::refused("the store", error))?;
    let key =
        SigningKey::load_or_create(&signing_key_file(config)).map_err(|error| Failure::refused("audit.key", error))?;
    let log = store.log();
    let settings = RecordSettings { durability: durability(config), ..RecordSettings::default() };
    let (recorder, writer) =
        Recorder::open(Arc::clone(&log), key, settings).map_err(|error| Failure::refused("the record", error))?;
    let token_key = TokenKey::load_or_create(&config.data_dir.join("token.key"))
        .map_err(|error| Failure::refused("token.key", error))?;
    let masking_key = Arc::new(MaskingKey::new(*token_key.derive("masking")));
    let ssh = ssh::keys_if_used(config)?;
    let seal = http::seal(&token_key)?;
    let settings = IdentitySettings {
        ssh: told(ssh::trust(config, ssh.as_ref()))?,
        revoked_keys: told(ssh::revoked_keys(config))?,
        oidc: oidc::trust(config)?,
        ..IdentitySettings::default()
    };
    let identity = Identity::open(store.table(), token_key, settings)
        .await
        .map_err(|error| Failure::refused("the token store", error))?;
    let table = store.table();
    Ok(Ground { recorder, writer, identity: Arc::new(identity), log, table, masking_key, ssh, seal })
}

/// What is built of `identity`, problems printed.
fn told<T>(built: Result<T, Vec<Problem>>) -> Result<T, Failure> {
    built.map_err(|problems| {
        let errors = print_problems(&problems);
        Failure::Refused(format!("{errors} problems with `identity`"))
    })
}

const fn durability(config: &Config) -> Durability {
    match config.audit.durability {
        config::Durability::Strict => Durability::Strict,
        config::Durability::Batched => Durability::Batched,
    }
}

/// The gate over this ground.
pub(crate) fn gate(
    config: &Config,
    ground: &Ground,
    policy: PolicySet,
    desk: Desk,
    credentials: Credentials,
) -> Result<Gate, Failure> {
    let limit = usize::try_from(config.audit.max_result_bytes).unwrap_or(usize::MAX);
    let result_bytes = match config.audit.results {
        config::Results::Full => limit,
        config::Results::Sample => limit.min(SAMPLE_BYTES),
        config::Results::None => 0,
    };
    let credentials = match &ground.ssh {
        Some(keys) => credentials.with_authority(keys.authority.clone()),
        None => credentials,
    };
    let gate = Gate::new(Parts {
        policy,
        recorder: ground.recorder.clone(),
        identity: Arc::clone(&ground.identity),
        credentials: Arc::new(credentials),
        desk,
        masking_key: Arc::clone(&ground.masking_key),
        connections: connections(config),
        settings: Settings {
            durability: durability(config),
            result_bytes,
            approval_wait: config.limits.approval_wait,
            sessions_per_principal: config.limits.sessions_per_principal as usize,
            version: VERSION.into(),
        },
    })
    .map_err(|error| Failure::refused("the record", error))?;
    gate.count_budgets_in(Arc::clone(&ground.table));
    Ok(gate)
}

/// The API of a gateway that does not run: the same routes, over the opened store.
pub(crate) struct Offline {
    api: Arc<Api>,
    caller: Authenticated,
    _writer: Writer,
}

impl Offline {
    /// Answers one request as the local administrator.
    pub(crate) async fn call(&self, request: Request<Body>) -> Response<Body> {
        portcullis_console::call(Arc::clone(&self.api), request, self.caller.clone()).await
    }
}

/// Opens the store for client commands.
pub(crate) async fn offline(config: &Config) -> Result<Offline, Failure> {
    let Ground { recorder, writer, identity, log, table: _, masking_key: _, ssh: _, seal: _ } = ground(config).await?;
    let api = Api {
        reader: recorder.reader(),
        public: recorder.public().clone(),
        log,
        journal: Journal::Record { recorder, version: VERSION.into() },
        identity,
        roles: roles(config),
        recorder: None,
        connections: connections(config).into_values().collect(),
        endpoints: Vec::new(),
        authority: None,
        ssh_host_key: None,
        logins: oidc::logins(config),
        desk: Desk::closed(),
        reload: None,
        health: Health::default(),
    };
    Ok(Offline { api: Arc::new(api), caller: local_admin(), _writer: writer })
}

/// Whoever runs this command on the gateway's machine.
pub(crate) fn local_admin() -> Authenticated {
    Authenticated::local_admin(os_user().as_deref())
}

/// The operating system's name for the user, for the record.
pub(crate) fn os_user() -> Option<String> {
    std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).or_else(|_| std::env::var("LOGNAME")).ok()
}

/// Where clients of a protocol connect, as the API tells them.
pub(crate) fn endpoint(protocol: Protocol, address: SocketAddr, tls: bool) -> Endpoint {
    Endpoint { protocol, address, tls }
}
