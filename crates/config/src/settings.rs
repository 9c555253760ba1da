//! What a configuration says, as plain values with their defaults applied.
//!
//! Promises: every value is within its range and every path absolute or relative to the working directory of the caller;
//! a secret is a reference, never its text. `portcullis/assemble.rs` alone turns these into each crate's own settings.
//! Held by: the golden files of `fixtures/config/`.

mod connection;

pub use connection::{
    Address, Api, BackendTls, ClientAuth, Connection, Header, Http, MediaRange, Password, PlainSource, Postgres,
    SecretSource, SessionRole, Ssh, SshLogin, ToolField, Upstream,
};

use crate::notifications::Notifier;
use crate::policies::PolicyGlob;
use crate::vault::Vaults;
use portcullis_model::{Name, Problem};
use ssh_key::PublicKey;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
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
    /// `ssh_revoked_keys`: files of what is revoked, each once; they change while a gateway runs.
    pub revoked_keys: Vec<PathBuf>,
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
    /// Whether people log in there when they come over SSH with no key: at most one provider has it.
    pub ssh_login: bool,
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
    /// `sessions_per_principal`: of one principal at the same time, of all listeners; three quarters of `sessions`.
    pub sessions_per_principal: u32,
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
            sessions_per_principal: 750,
            unauthenticated_per_address: 32,
        }
    }
}
