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
mod keys;
pub mod server;
mod source;
mod vault;

pub use authority::CertificateAuthority;
pub use keys::PrivateKey;
pub use server::{Keeper, Kept, Server, ServerFault, ServerLogin};
pub use source::{PlainSource, SecretSource, file_warning};
pub use vault::{KeySource, Printed, Programs, Vault, is_name};

use jiff::Timestamp;
use portcullis_model::{Name, Principal};
use secrecy::{ExposeSecret as _, SecretString};
use source::Places;
use ssh_key::Certificate;
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
            Self::Headers(headers) => headers.iter().map(|header| &header.source).collect(),
        }
    }
}

/// A credential for one login; wiped when dropped.
#[derive(Debug)]
pub struct Lease {
    /// The login.
    pub username: Arc<str>,
    /// What proves it.
    pub secret: Secret,
    /// Where somebody made this login for this lease: what gives it back when it is dropped.
    pub kept: Option<Kept>,
}

/// What proves a login. None of it has a printed form.
#[derive(Debug)]
pub enum Secret {
    /// The backend asks for none. One that asks for one all the same is refused.
    None,
    /// A password.
    Password(SecretString),
    /// A private SSH key.
    PrivateKey(PrivateKey),
    /// A private SSH key of this lease only, with its certificate.
    Certificate {
        /// The key.
        key: PrivateKey,
        /// The certificate, which is no secret.
        certificate: Box<Certificate>,
    },
    /// Headers of HTTP by their names, with their whole values.
    Headers(Vec<(Arc<str>, SecretString)>),
}

impl Lease {
    /// The password of a backend that knows only passwords; `Ok(None)` where it asks for none.
    ///
    /// # Errors
    /// [`CredentialError::Unusable`] where the connection is configured with something that such a backend cannot use:
    /// a fault of the gateway.
    pub fn into_password(self) -> Result<Option<SecretString>, CredentialError> {
        match self.secret {
            Secret::None => Ok(None),
            Secret::Password(password) => Ok(Some(password)),
            Secret::PrivateKey(_) | Secret::Certificate { .. } => {
                Err(unusable("is a key, where the backend takes a password"))
            }
            Secret::Headers(_) => Err(unusable("is a header, where the backend takes a password")),
        }
    }

    /// The headers that prove it to a backend of HTTP; empty where it asks for none.
    ///
    /// # Errors
    /// As [`Lease::into_password`].
    pub fn into_headers(self) -> Result<Vec<(Arc<str>, SecretString)>, CredentialError> {
        match self.secret {
            Secret::None => Ok(Vec::new()),
            Secret::Headers(headers) => Ok(headers),
            Secret::Password(_) | Secret::PrivateKey(_) | Secret::Certificate { .. } => {
                Err(unusable("is no header, where the backend takes headers"))
            }
        }
    }
}

fn unusable(why: &'static str) -> CredentialError {
    CredentialError::Unusable { place: "the configuration".to_owned(), why }
}

/// The credentials of every connection.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    sources: BTreeMap<Name, Source>,
    authority: Option<CertificateAuthority>,
    places: Places,
}

impl Credentials {
    /// These, by connection.
    #[must_use]
    pub fn new(sources: BTreeMap<Name, Source>) -> Self {
        Self { sources, authority: None, places: Places::default() }
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

    /// Gives back at once what no [`Keeper`] keeps.
    ///
    /// # Errors
    /// [`CredentialError::Server`].
    pub async fn give_back(&self, kept: Kept) -> Result<(), CredentialError> {
        let why = |why| CredentialError::Server { path: Arc::from(kept.path()), why };
        self.places.server()?.revoke(kept.id()).await.map_err(why)?;
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
            for secret in source.method.sources() {
                let read = match &source.method {
                    Method::PrivateKey(_) => secret.read_key(&self.places).await.map(drop),
                    Method::None
                    | Method::Certificate
                    | Method::Issued(_)
                    | Method::Password(_)
                    | Method::Headers(_) => secret.read(&self.places).await.map(drop),
                };
                problems.extend(read.err().map(|error| (connection.clone(), error)));
            }
            if let Method::Issued(path) = &source.method {
                problems.extend(self.try_out(path).await.err().map(|error| (connection.clone(), error)));
            }
        }
        problems
    }

    /// Has a login made and takes it back.
    async fn try_out(&self, path: &Arc<str>) -> Result<(), CredentialError> {
        let issued = self.places.server()?.issue(path).await?;
        self.give_back(issued.kept).await
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
