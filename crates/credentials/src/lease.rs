//! What a lease gives: a login, and what proves it.
//!
//! Promises: nothing in here has a printed form, and all of it is wiped when it is dropped; a protocol takes the kind of
//! proof that it can show, and anything else is an error of the configuration. Held by: the tests of this crate.

use crate::keys::PrivateKey;
use crate::{CredentialError, Kept};
use secrecy::SecretString;
use ssh_key::Certificate;
use std::sync::Arc;

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
