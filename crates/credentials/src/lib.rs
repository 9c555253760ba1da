//! Connection to backend credential: leased for one login, wiped when the lease ends, never printed.
//!
//! Promises: a secret is read anew for every lease, so that a rotated one is used from the next login; it lives in a
//! type that is wiped on drop, and in no error, log line or `Debug` form; a source that is missing, empty, too large,
//! not text or not a plain file gives an error and no lease. Line ends at the end of a secret file are not part of the
//! secret. A lease is for a login that the connection names, for no other. Certificates are made for one lease each.
//!
//! Does not promise that the backend accepts it, nor to know who may use a connection or ask for another login: the
//! policy decides that before a lease is asked for. Held by: the tests below.

mod authority;
mod kept;
mod keys;
mod lease;
pub mod roles;
pub mod server;
mod source;
mod vault;

pub use authority::CertificateAuthority;
pub use kept::Kept;
pub use keys::PrivateKey;
pub use lease::{Lease, Secret};
pub use roles::{RoleKeeper, SessionRole};
pub use server::{Keeper, Server, ServerFault, ServerLogin};
pub use source::{PlainSource, SecretSource, file_warning};
pub use vault::{KeySource, Printed, Programs, Vault, is_name};

use jiff::Timestamp;
use portcullis_model::{Name, Principal};
use roles::{RoleFault, RoleServer, Roles};
use secrecy::{ExposeSecret as _, SecretString};
use source::Places;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why there is no lease. Always the gateway's configuration or its surroundings, never the client's fault, but for
/// [`CredentialError::NotALogin`]. Names the source, never what was in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// No such connection is configured.
    #[error("no credential is configured for connection `{0}`")]
    UnknownConnection(Name),
    /// The connection has no such login.
    #[error("connection `{connection}` has no login `{login}`")]
    NotALogin {
        /// The connection.
        connection: Name,
        /// What was asked for.
        login: Arc<str>,
    },
    /// The environment variable is not there.
    #[error("environment variable {0} is not set")]
    NotSet(Arc<str>),
    /// The file cannot be read, or made.
    #[error("{file}: {why}")]
    Unreadable {
        /// Which.
        file: String,
        /// The system's words.
        why: String,
    },
    /// It is there and cannot be a secret.
    #[error("the secret in {place} {why}")]
    Unusable {
        /// Which variable or file.
        place: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The local vault has no secret of this name, or there is no vault.
    #[error("the vault has no secret `{0}`; `portcullis secrets set` puts it there")]
    NotInVault(Arc<str>),
    /// The local vault cannot be used.
    #[error("the vault {file} {why}")]
    Vault {
        /// Which file.
        file: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The vault server gives nothing.
    #[error("{path} on the vault server: {why}")]
    Server {
        /// What was asked for.
        path: Arc<str>,
        /// Why not.
        why: ServerFault,
    },
    /// The gateway could not make a role for a session, or drop it.
    #[error("the role of a session on `{connection}`: {why}")]
    NoRole {
        /// On which connection.
        connection: Name,
        /// Why not.
        why: RoleFault,
    },
    /// A certificate is asked for that cannot be made.
    #[error("no certificate was made: {0}")]
    NotSigned(&'static str),
}

/// How the gateway logs in to one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The login there.
    pub username: Arc<str>,
    /// Other logins there that may be asked for; the same method serves them.
    pub logins: BTreeSet<Arc<str>>,
    /// What proves it.
    pub method: Method,
}

/// What the gateway proves itself to a backend with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// Nothing: the backend asks for none.
    None,
    /// A password.
    Password(SecretSource),
    /// A login that the vault server makes for each lease, with its own name: this role of a database engine, as
    /// `MOUNT/creds/ROLE`.
    Issued(Arc<str>),
    /// A role that the gateway makes for each lease, which acts as the login.
    SessionRole(SessionRole),
    /// A private SSH key in OpenSSH's format, without a passphrase.
    PrivateKey(SecretSource),
    /// A fresh key with a certificate of the gateway's own authority.
    Certificate,
    /// Headers of HTTP.
    Headers(Vec<HeaderSource>),
}

/// A header of HTTP and where its value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderSource {
    /// Its name.
    pub name: Arc<str>,
    /// What stands before the secret, such as `Bearer `.
    pub before: &'static str,
    /// The secret.
    pub source: SecretSource,
}

impl HeaderSource {
    /// Its whole value, read now.
    async fn read(&self, places: &Places) -> Result<SecretString, CredentialError> {
        let secret = self.source.read(places).await?;
        if self.before.is_empty() {
            return Ok(secret);
        }
        // All of the room at once, so that boxing it moves nothing and leaves nothing behind.
        let mut value = String::with_capacity(self.before.len() + secret.expose_secret().len());
        value.push_str(self.before);
        value.push_str(secret.expose_secret());
        Ok(SecretString::from(value))
    }
}

impl Method {
    /// Where its secrets are kept; none where nothing is kept.
    fn sources(&self) -> Vec<&SecretSource> {
        match self {
            Self::None | Self::Certificate | Self::Issued(_) => Vec::new(),
            Self::Password(source) | Self::PrivateKey(source) => vec![source],
            Self::SessionRole(how) => vec![&how.password],
            Self::Headers(headers) => headers.iter().map(|header| &header.source).collect(),
        }
    }
}

/// The credentials of every connection.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    sources: BTreeMap<Name, Source>,
    authority: Option<CertificateAuthority>,
    places: Places,
    roles: Option<Arc<Roles>>,
}

impl Credentials {
    /// These, by connection.
    #[must_use]
    pub fn new(sources: BTreeMap<Name, Source>) -> Self {
        Self { sources, authority: None, places: Places::default(), roles: None }
    }

    /// With the vault that [`SecretSource::Vault`] means.
    #[must_use]
    pub fn with_vault(mut self, vault: Arc<Vault>) -> Self {
        self.places.vault = Some(vault);
        self
    }

    /// With the server that [`SecretSource::Server`] and [`Method::Issued`] mean.
    #[must_use]
    pub fn with_server(mut self, server: Arc<Server>) -> Self {
        self.places.server = Some(server);
        self
    }

    /// With this to run what [`Method::SessionRole`] asks for, and what keeps the roles where any does: run that for as
    /// long as sessions live. After the vaults, which may have the passwords for it.
    #[must_use]
    pub fn with_roles(mut self, server: Arc<dyn RoleServer>) -> (Self, Option<RoleKeeper>) {
        let (roles, keeper) = Roles::of(&self.sources, self.places.clone(), server).unzip();
        self.roles = roles;
        (self, keeper)
    }

    fn roles(&self, connection: &Name) -> Result<&Arc<Roles>, CredentialError> {
        self.roles.as_ref().ok_or_else(|| CredentialError::UnknownConnection(connection.clone()))
    }

    /// Gives back at once what no [`Keeper`] or [`RoleKeeper`] keeps.
    ///
    /// # Errors
    /// [`CredentialError::Server`], [`CredentialError::NoRole`].
    pub async fn give_back(&self, kept: Kept) -> Result<(), CredentialError> {
        if kept.is_of_gateway() {
            let connection = Name::canonical(Arc::clone(kept.path()));
            self.roles(&connection)?.drop_now(&connection, kept.id()).await?;
        } else {
            let why = |why| CredentialError::Server { path: Arc::clone(kept.path()), why };
            self.places.server()?.revoke(kept.id()).await.map_err(why)?;
        }
        kept.done();
        Ok(())
    }

    /// With the authority that [`Method::Certificate`] asks.
    #[must_use]
    pub fn with_authority(self, authority: CertificateAuthority) -> Self {
        Self { authority: Some(authority), ..self }
    }

    /// Whether the connection has this login: its own, or one of the others it names.
    #[must_use]
    pub fn has_login(&self, connection: &Name, login: &str) -> bool {
        self.sources.get(connection).is_some_and(|source| *source.username == *login || source.logins.contains(login))
    }

    /// The credential for a login to this connection on behalf of this principal: as `login`, or as the connection's
    /// own where none is asked for.
    ///
    /// # Errors
    /// [`CredentialError`]; the session is then refused.
    pub async fn lease(
        &self,
        connection: &Name,
        login: Option<&str>,
        principal: &Principal,
    ) -> Result<Lease, CredentialError> {
        let source =
            self.sources.get(connection).ok_or_else(|| CredentialError::UnknownConnection(connection.clone()))?;
        let mut username: Arc<str> = login.map_or_else(|| Arc::clone(&source.username), Arc::from);
        if !self.has_login(connection, &username) {
            return Err(CredentialError::NotALogin { connection: connection.clone(), login: username });
        }
        let mut kept = None;
        let secret = match &source.method {
            Method::None => Secret::None,
            Method::Issued(path) => {
                let issued = self.places.server()?.issue(path).await?;
                username = issued.username;
                kept = Some(issued.kept);
                Secret::Password(issued.password)
            }
            Method::SessionRole(_) => {
                let made = self.roles(connection)?.make(connection).await?;
                username = made.name;
                kept = Some(made.kept);
                Secret::Password(made.password)
            }
            Method::Password(source) => Secret::Password(source.read(&self.places).await?),
            Method::PrivateKey(source) => Secret::PrivateKey(source.read_key(&self.places).await?),
            Method::Certificate => {
                let authority = self.authority.as_ref().ok_or(CredentialError::NotSigned("there is no authority"))?;
                let (key, certificate) = authority.issue(&username, principal, Timestamp::now())?;
                Secret::Certificate { key, certificate: Box::new(certificate) }
            }
            Method::Headers(sources) => {
                let mut headers = Vec::with_capacity(sources.len());
                for header in sources {
                    headers.push((Arc::clone(&header.name), header.read(&self.places).await?));
                }
                Secret::Headers(headers)
            }
        };
        Ok(Lease { username, secret, kept })
    }

    /// Reads every secret once and forgets it: what would fail at a login, found before.
    pub async fn problems(&self) -> Vec<(Name, CredentialError)> {
        let mut problems = Vec::new();
        for (connection, source) in &self.sources {
            let before = problems.len();
            for secret in source.method.sources() {
                let read = match &source.method {
                    Method::PrivateKey(_) => secret.read_key(&self.places).await.map(drop),
                    Method::None
                    | Method::Certificate
                    | Method::Issued(_)
                    | Method::SessionRole(_)
                    | Method::Password(_)
                    | Method::Headers(_) => secret.read(&self.places).await.map(drop),
                };
                problems.extend(read.err().map(|error| (connection.clone(), error)));
            }
            let made = matches!(source.method, Method::Issued(_) | Method::SessionRole(_));
            if made && problems.len() == before {
                problems.extend(self.try_out(connection, source).await.err().map(|error| (connection.clone(), error)));
            }
        }
        problems
    }

    /// Has a login made and takes it back.
    async fn try_out(&self, connection: &Name, source: &Source) -> Result<(), CredentialError> {
        let kept = match &source.method {
            Method::Issued(path) => self.places.server()?.issue(path).await?.kept,
            Method::SessionRole(_) => self.roles(connection)?.make(connection).await?.kept,
            Method::None | Method::Password(_) | Method::PrivateKey(_) | Method::Certificate | Method::Headers(_) => {
                return Ok(());
            }
        };
        self.give_back(kept).await
    }

    /// What an administrator should know about the files that hold secrets, by connection; about those that open the
    /// vaults, under `vault.local.key` and `vault.server`.
    #[must_use]
    pub fn warnings(&self) -> Vec<(Name, String)> {
        let vault = self.places.vault.iter().filter_map(|vault| vault.key_file());
        let server = self.places.server.iter().flat_map(|server| server.files());
        let opening = vault.map(|file| ("vault.local.key", file)).chain(server.map(|file| ("vault.server", file)));
        let opening = opening.map(|(key, file)| (Name::canonical(key), file));
        let kept = self.sources.iter().flat_map(|(connection, source)| {
            let files = source.method.sources().into_iter().filter_map(SecretSource::file);
            files.map(|file| (connection.clone(), file))
        });
        kept.chain(opening).filter_map(|(name, file)| Some((name, file_warning(file)?))).collect()
    }
}

#[cfg(test)]
mod tests;
