//! What a configuration says, as plain values with their defaults applied.
//!
//! Promises: every value is within its range and every path absolute or relative to the working directory of the caller;
//! a secret is a reference, never its text. `portcullis/assemble.rs` alone turns these into each crate's own settings.
//! Held by: the golden files of `fixtures/config/`.

use crate::notifications::Notifier;
use crate::policies::PolicyGlob;
use crate::vault::Vaults;
use portcullis_model::{Name, Problem};
use ssh_key::PublicKey;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    /// `data_dir`: the embedded store, keys and sockets.
    pub data_dir: PathBuf,
    /// `store`.
    pub store: Store,
    /// `listen`.
    pub listen: Listen,
    /// `tls`: towards clients.
    pub tls: Tls,
    /// `identity.roles`.
    pub roles: Roles,
    /// `identity.oidc`: providers whose tokens are accepted.
    pub oidc: Vec<OidcIssuer>,
    /// `identity.ssh_*`.
    pub ssh: SshIdentity,
    /// `vault`: what opens the vaults that references to secrets name.
    pub vaults: Vaults,
    /// `connections`, by name.
    pub connections: BTreeMap<Name, Connection>,
    /// `policies`: patterns of files; see [`Config::policy_files`].
    pub policies: Vec<PolicyGlob>,
    /// `notifications`: who is told that something waits for people.
    pub notifications: Vec<Notifier>,
    /// `audit`.
    pub audit: Audit,
    /// `limits`.
    pub limits: Limits,
}

impl Config {
    /// The provider that PostgreSQL clients of OAUTHBEARER are sent to, and what they ask it for.
    #[must_use]
    pub fn oauth(&self) -> Option<(&Arc<str>, Arc<str>)> {
        crate::oidc::sent_to(&self.oidc)
    }

    /// The policy files that the patterns match now, sorted, each once.
    ///
    /// # Errors
    /// A problem for each pattern that matches nothing or cannot be followed.
    pub fn policy_files(&self) -> Result<Vec<PathBuf>, Vec<Problem>> {
        crate::policies::files(&self.policies)
    }
}

/// Where the record and the tables are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// In `data_dir`.
    RocksDb,
}

/// Where clients connect; what is left out is off. Port 0 takes any free port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// PostgreSQL clients.
    pub postgres: Option<SocketAddr>,
    /// SSH clients.
    pub ssh: Option<SocketAddr>,
    /// HTTP clients.
    pub http: Option<SocketAddr>,
    /// The console, the API, `/readyz` and `/metrics`.
    pub console: Option<SocketAddr>,
}

impl Listen {
    /// Every address that TLS protects, with its key.
    pub fn over_tls(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        [("postgres", self.postgres), ("http", self.http), ("console", self.console)]
            .into_iter()
            .filter_map(|(key, address)| address.map(|address| (key, address)))
    }
}

/// How clients are met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// With a certificate authority and leaf that the gateway makes itself in `data_dir`.
    SelfMade,
    /// With this certificate.
    Files {
        /// PEM: the leaf, then its intermediates.
        certificate: PathBuf,
        /// PEM: its key.
        key: PathBuf,
    },
    /// In plaintext: every listen address is loopback.
    Off,
}

/// Groups that may use the console and the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// As administrators.
    pub admin: BTreeSet<Arc<str>>,
    /// As auditors.
    pub auditor: BTreeSet<Arc<str>>,
    /// As approvers.
    pub approver: BTreeSet<Arc<str>>,
}

/// Whose SSH keys and certificates are accepted. Every key is given once in all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshIdentity {
    /// `ssh_certificate_authorities`: their certificates say who somebody is.
    pub authorities: Vec<PublicKey>,
    /// `ssh_keys`.
    pub keys: Vec<SshUserKey>,
    /// `ssh_users`: the groups of those who come with a certificate.
    pub users: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

/// A key, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshUserKey {
    /// The user.
    pub user: Arc<str>,
    /// The groups of whoever comes with this key.
    pub groups: BTreeSet<Arc<str>>,
    /// The key.
    pub key: PublicKey,
}

/// A backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// A PostgreSQL server.
    Postgres(Postgres),
    /// An SSH server.
    Ssh(Ssh),
    /// A service behind HTTP.
    Http(Http),
}

/// A service behind HTTP, and what the gateway says to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where it is.
    pub upstream: Upstream,
    /// PEM: the authorities that its certificate must come from, instead of the system's.
    pub tls_ca: Option<PathBuf>,
    /// How its requests and answers are read.
    pub api: Api,
    /// Headers that the gateway sets on every request, by their names in small letters; a client's own of the same name
    /// never pass.
    pub headers: BTreeMap<Arc<str>, Header>,
    /// `Host` names that mean this connection besides its own name, in small letters.
    pub hosts: BTreeSet<Arc<str>>,
    /// Media types of answers that pass unread although masks bind.
    pub opaque: BTreeSet<MediaRange>,
    /// What the fields of a tool's input hold, by tool and field.
    pub tools: BTreeMap<Arc<str>, BTreeMap<Arc<str>, ToolField>>,
    /// How long the service may take to begin or continue an answer; 10 minutes.
    pub timeout: Duration,
}

/// Where a service is: the parts of its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Whether TLS protects it; without, the address is loopback.
    pub tls: bool,
    /// Host and port.
    pub address: Address,
    /// What stands before every path: empty, or canonical segments each behind its `/`, without one at the end.
    pub prefix: Arc<str>,
}

/// How the requests and answers of a service are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// As JSON over methods and paths.
    Rest,
    /// As Anthropic's Messages.
    Anthropic,
    /// As OpenAI's chat completions and responses.
    OpenAi,
    /// As the Model Context Protocol.
    Mcp,
}

/// A header that the gateway sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// The secret is its whole value.
    Secret(SecretSource),
    /// `Bearer`, a blank and the secret.
    Bearer(SecretSource),
    /// Written out: only for names that never hold a secret.
    Plain(Arc<str>),
}

/// An OpenID Connect provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcIssuer {
    /// Its URL, exactly as its tokens say it.
    pub issuer: Arc<str>,
    /// Its host and port.
    pub address: Address,
    /// What its tokens for this gateway are made for, and the public client that people log in with.
    pub audience: Arc<str>,
    /// Authorities that its certificate must come from, instead of the system's.
    pub tls_ca: Option<PathBuf>,
    /// The claim that is the user.
    pub user_claim: Arc<str>,
    /// The claim that lists groups; `None` for no groups.
    pub groups_claim: Option<Arc<str>>,
    /// The groups that it may name, before the prefix; `None` for any.
    pub groups_allowed: Option<BTreeSet<Arc<str>>>,
    /// Before every user of it.
    pub user_prefix: Option<Arc<str>>,
    /// Before every group of it.
    pub groups_prefix: Option<Arc<str>>,
    /// What PostgreSQL clients of OAUTHBEARER are told to ask it for. At most one provider has it: the one that they are
    /// sent to.
    pub oauth_scope: Option<Arc<str>>,
}

/// Media types: one, or all of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MediaRange {
    /// Before the `/`, in small letters.
    pub kind: Arc<str>,
    /// Behind it; `None` for `*`.
    pub subtype: Option<Arc<str>>,
}

/// What a field of a tool's input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolField {
    /// SQL.
    Sql,
    /// A shell command line.
    Shell,
    /// Nothing that is run.
    None,
}

/// An SSH server, and how the gateway logs in to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    /// Where it is: host and port.
    pub address: Address,
    /// The login there.
    pub username: Arc<str>,
    /// Others that `CONNECTION+LOGIN` may ask for.
    pub logins: BTreeSet<Arc<str>>,
    /// What proves the gateway.
    pub login: SshLogin,
    /// Keys that prove the server; with `host_authorities` never empty.
    pub host_keys: Vec<PublicKey>,
    /// Authorities whose host certificates prove it.
    pub host_authorities: Vec<PublicKey>,
}

/// What the gateway proves itself to an SSH server with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SshLogin {
    /// A password.
    Password(SecretSource),
    /// A private key in OpenSSH's format.
    PrivateKey(SecretSource),
    /// A certificate of the gateway's own authority, made for each login.
    OwnCertificate,
}

/// A PostgreSQL server, and how the gateway logs in to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgres {
    /// Where it is.
    pub address: Address,
    /// The database that the connection's name stands for.
    pub database: Arc<str>,
    /// Others that `CONNECTION/DATABASE` may name.
    pub databases: BTreeSet<Arc<str>>,
    /// The login there.
    pub username: Arc<str>,
    /// Its password; `None` where the server asks for none.
    pub password: Option<Password>,
    /// How the server proves itself.
    pub tls: BackendTls,
    /// PEM: the authorities that its certificate must come from, instead of the system's.
    pub tls_ca: Option<PathBuf>,
    /// How clients that do not say prove who they are.
    pub client_auth: ClientAuth,
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// By its token as the password.
    #[default]
    Password,
    /// By SCRAM-SHA-256 over a token of this gateway.
    Scram,
    /// By a provider's token with SASL OAUTHBEARER.
    OAuth,
}

/// Where a backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Host (a name or a bare address) and port.
    Tcp {
        /// The host.
        host: Arc<str>,
        /// The port.
        port: u16,
    },
    /// The directory of a Unix socket, as libpq understands it; the port is part of the socket's name.
    Unix {
        /// The directory.
        directory: PathBuf,
        /// The port.
        port: u16,
    },
}

impl Address {
    /// Whether it cannot leave this machine: a Unix socket or a loopback address. A name never is, `localhost` included:
    /// what it resolves to is decided elsewhere.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix { .. } => true,
            Self::Tcp { host, .. } => host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { directory, port } => write!(f, "{}:{port}", directory.display()),
        }
    }
}

/// How a backend proves itself, in libpq's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendTls {
    /// By a certificate of a known authority for the host's name.
    VerifyFull,
    /// By a certificate of a known authority.
    VerifyCa,
    /// Encrypted, by any certificate.
    Require,
    /// Not at all; local addresses only.
    Disable,
}

/// Where a secret is that no vault keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlainSource {
    /// In an environment variable of the gateway.
    Env(Arc<str>),
    /// In a file.
    File(PathBuf),
}

impl From<PlainSource> for SecretSource {
    fn from(source: PlainSource) -> Self {
        match source {
            PlainSource::Env(variable) => Self::Env(variable),
            PlainSource::File(file) => Self::File(file),
        }
    }
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In an environment variable of the gateway.
    Env(Arc<str>),
    /// In a file.
    File(PathBuf),
    /// In the local vault, under this name.
    Vault(Arc<str>),
    /// On the vault server, in a KV engine of version 2.
    Server {
        /// As `MOUNT/data/PATH`.
        path: Arc<str>,
        /// Which field of it.
        field: Arc<str>,
    },
}

/// The password of a database's login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// Kept somewhere.
    Kept(SecretSource),
    /// Of a login that the vault server makes for each session: this role of its database engine.
    Issued(Arc<str>),
}

/// What is recorded of results, always after masking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Results {
    /// All of them, up to `max_result_bytes`.
    Full,
    /// The first rows of each.
    Sample,
    /// Counts only.
    None,
}

/// When an event counts as kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On stable storage before what it is about goes on.
    Strict,
    /// Within 10 ms.
    Batched,
}

/// `audit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// `results`; full.
    pub results: Results,
    /// `max_result_bytes` of one result; 1 MiB.
    pub max_result_bytes: u64,
    /// `retention`; 400 days.
    pub retention: Duration,
    /// `durability`; strict.
    pub durability: Durability,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            results: Results::Full,
            max_result_bytes: 1024 * 1024,
            retention: Duration::from_secs(400 * 24 * 60 * 60),
            durability: Durability::Strict,
        }
    }
}

/// `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `statement`: bytes of one command; 1 MiB.
    pub statement: u64,
    /// `approval_wait`: how long a command waits for people at most; 10 minutes.
    pub approval_wait: Duration,
    /// `idle`: a session without a command ends after it; 1 hour.
    pub idle: Duration,
    /// `handshake`: a client must be logged in by then; 15 seconds.
    pub handshake: Duration,
    /// `sessions`: at the same time; 1000.
    pub sessions: u32,
    /// `unauthenticated_per_address`: clients of one address that are not yet logged in; 32.
    pub unauthenticated_per_address: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            statement: 1024 * 1024,
            approval_wait: Duration::from_secs(10 * 60),
            idle: Duration::from_secs(60 * 60),
            handshake: Duration::from_secs(15),
            sessions: 1000,
            unauthenticated_per_address: 32,
        }
    }
}
