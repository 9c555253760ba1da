//! What a client asks of the gateway itself, in its startup message: `portcullis.auth`, how it wants to prove who it is.
//!
//! libpq takes the first mechanism that it knows, and nothing before that shows what a client can do; so a client that
//! wants another way in than the token as its password says so. None of it is told to the server.
//! Held by: `startup/tests.rs`.

use crate::error::Refused;

/// The name of the setting.
pub(super) const AUTH: &str = "portcullis.auth";

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// By its token as the password.
    #[default]
    Password,
    /// By SCRAM-SHA-256 over its token, which is never sent.
    Scram,
    /// By a provider's token, with SASL OAUTHBEARER.
    OAuth,
}

impl ClientAuth {
    pub(super) fn read(value: &str) -> Result<Self, Refused> {
        match value {
            "password" => Ok(Self::Password),
            "scram" => Ok(Self::Scram),
            "oauth" => Ok(Self::OAuth),
            _ => Err(Refused::new("22023", format!("invalid value for parameter \"{AUTH}\""))
                .hint(format!("Write {AUTH}=password, {AUTH}=scram or {AUTH}=oauth."))),
        }
    }
}
