//! What a configuration says of one connection: where its backend is, how it is met, and with what.
//!
//! Promises: as the rest of the settings: a secret is a reference, never its text; a backend without TLS is a local one.
//! Held by: the golden files of `fixtures/config/`.

use ssh_key::PublicKey;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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
    /// Of a role that the gateway makes for each session, which acts as the login.
    SessionRole(SessionRole),
}

/// How the gateway makes a role for each session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRole {
    /// The login that makes it.
    pub by: Arc<str>,
    /// Its password.
    pub password: SecretSource,
    /// How long it lets anybody log in, from when it was made or extended last.
    pub valid: Duration,
}
