//! What ends a connection or a login, each variant saying whose doing it is.
//!
//! Promises: a denial is never an error of this type; what a client is told of a failure ([`Error::told`]) carries
//! neither what the target said about the gateway's login nor an address or a login of the target. What is in here may
//! be logged: no secrets, no commands.
//! Held by: the tests below and `tests/it/ssh_flow.rs` of the binary.

use std::sync::Arc;

/// The result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Whose doing a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The target behind the gateway.
    Backend,
    /// The client.
    Client,
    /// The gateway itself or its configuration.
    Gateway,
}

/// A failure that ends a connection, or a channel of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Client: it broke the protocol, or went away.
    #[error("the client's connection: {0}")]
    Client(russh::Error),
    /// Backend: it broke the protocol, or went away.
    #[error("the connection to the target: {0}")]
    Backend(russh::Error),
    /// Backend: its host key is not the one that is configured.
    #[error("the target shows the host key {shown}, which is not configured for this connection")]
    HostKey {
        /// The fingerprint of what it shows, or what is wrong with its certificate.
        shown: Arc<str>,
    },
    /// Backend: it does not accept the gateway's credential.
    #[error("the target refused the gateway's login")]
    LoginRefused,
    /// Backend: it cannot be reached.
    #[error(transparent)]
    Net(#[from] portcullis_net::Error),
    /// A peer took too long.
    #[error("{side:?} took too long: {doing}")]
    Timeout {
        /// Which peer.
        side: Side,
        /// What it was to do.
        doing: &'static str,
    },
    /// Gateway: there is no usable credential for the target.
    #[error("no credential for the target: {0}")]
    Credential(Arc<str>),
}

impl Error {
    /// Whose doing it is.
    #[must_use]
    pub const fn side(&self) -> Side {
        match self {
            Self::Client(_) => Side::Client,
            Self::Backend(_) | Self::HostKey { .. } | Self::LoginRefused | Self::Net(_) => Side::Backend,
            Self::Timeout { side, .. } => *side,
            Self::Credential(_) => Side::Gateway,
        }
    }

    /// What the client may read.
    #[must_use]
    pub const fn told(&self) -> &'static str {
        match self {
            Self::Client(_) => "the connection broke the protocol",
            Self::Backend(_) => "the connection to the machine behind the gateway was lost",
            Self::HostKey { .. } => {
                "the machine behind the gateway does not prove to be the one that is configured; nothing was sent to it"
            }
            Self::LoginRefused | Self::Credential(_) => {
                "the gateway could not log in to the machine behind it; nothing is wrong with your own login"
            }
            Self::Net(_) => "the machine behind the gateway cannot be reached",
            Self::Timeout { .. } => "the machine behind the gateway took too long to answer",
        }
    }
}

impl From<russh::Error> for Error {
    /// What the library reports in a handler of the target's side; the client's side names its own.
    fn from(error: russh::Error) -> Self {
        Self::Backend(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_reads_nothing_of_the_target() {
        let errors = [
            Error::HostKey { shown: "SHA256:abc".into() },
            Error::LoginRefused,
            Error::Credential("environment variable KEY is not set".into()),
            Error::Timeout { side: Side::Backend, doing: "login as deploy" },
        ];
        for error in errors {
            for secret in ["SHA256", "KEY", "deploy"] {
                assert!(!error.told().contains(secret), "{error}");
            }
        }
    }
}
