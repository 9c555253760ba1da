//! Connection to backend credential: leased for one login, wiped when the lease ends, never printed.
//!
//! Promises: a secret is read anew for every lease, so that a rotated one is used from the next login; it lives in a
//! [`SecretString`] that is wiped on drop, and in no error, log line or `Debug` form; a source that is missing, empty,
//! too large, not text or not a plain file gives an error and no lease. Line ends at the end of a secret file are not
//! part of the secret.
//!
//! Does not promise that the backend accepts it, nor to know who may use a connection: the policy decides that before a
//! lease is asked for. Held by: the tests below.

mod source;

pub use source::{SecretSource, file_warning};

use portcullis_model::{Name, Principal};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why there is no lease. Always the gateway's configuration or its surroundings, never the client's fault. Names the
/// source, never what was in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// No such connection is configured.
    #[error("no credential is configured for connection `{0}`")]
    UnknownConnection(Name),
    /// The environment variable is not there.
    #[error("environment variable {0} is not set")]
    NotSet(Arc<str>),
    /// The file cannot be read.
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
}

/// How the gateway logs in to one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The login there.
    pub username: Arc<str>,
    /// Where its password is; `None` where the backend asks for none.
    pub password: Option<SecretSource>,
}

/// A credential for one login; wiped when dropped.
#[derive(Debug)]
pub struct Lease {
    /// The login.
    pub username: Arc<str>,
    /// Its password; `None` where the backend asks for none. A backend that asks for one all the same is refused.
    pub password: Option<SecretString>,
}

/// The credentials of every connection.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    sources: BTreeMap<Name, Source>,
}

impl Credentials {
    /// These, by connection.
    #[must_use]
    pub const fn new(sources: BTreeMap<Name, Source>) -> Self {
        Self { sources }
    }

    /// The credential for a login to this connection on behalf of this principal.
    ///
    /// # Errors
    /// [`CredentialError`]; the session is then refused.
    pub async fn lease(&self, connection: &Name, _principal: &Principal) -> Result<Lease, CredentialError> {
        let source =
            self.sources.get(connection).ok_or_else(|| CredentialError::UnknownConnection(connection.clone()))?;
        let password = match &source.password {
            Some(password) => Some(password.read().await?),
            None => None,
        };
        Ok(Lease { username: Arc::clone(&source.username), password })
    }

    /// Reads every secret once and forgets it: what would fail at a login, found before.
    pub async fn problems(&self) -> Vec<(Name, CredentialError)> {
        let mut problems = Vec::new();
        for (connection, source) in &self.sources {
            if let Some(password) = &source.password
                && let Err(error) = password.read().await
            {
                problems.push((connection.clone(), error));
            }
        }
        problems
    }

    /// What an administrator should know about the files that hold secrets, by connection.
    #[must_use]
    pub fn warnings(&self) -> Vec<(Name, String)> {
        let warning = |(connection, source): (&Name, &Source)| match &source.password {
            Some(SecretSource::File(file)) => Some((connection.clone(), file_warning(file)?)),
            Some(SecretSource::Env(_)) | None => None,
        };
        self.sources.iter().filter_map(warning).collect()
    }
}

#[cfg(test)]
mod tests;
