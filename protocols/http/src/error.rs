//! What ends an exchange without being anybody's refusal, each variant saying whose doing it is.
//!
//! Promises: a denial is never an error of this type; what a client is told ([`Error::told`]) carries neither an address
//! nor anything the backend said. What is in here may be logged: no secrets, no bodies.
//! Held by: the tests below.

use http::StatusCode;
use std::sync::Arc;

/// The result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Whose doing a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The backend behind the gateway.
    Backend,
    /// The client.
    Client,
    /// The gateway itself or its configuration.
    Gateway,
}

/// A failure of an exchange or of a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Gateway: what was judged cannot be written as a request.
    #[error("what was judged cannot be written as a request: {0}")]
    Unsendable(&'static str),
    /// Backend: it broke the protocol, or went away.
    #[error("the connection to the backend: {0}")]
    Backend(Arc<str>),
    /// Backend: it redirects, with this status.
    #[error("the backend redirects ({0})")]
    Redirects(u16),
    /// Backend: it cannot be reached, or does not prove itself.
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
    /// Gateway: there is no usable credential for the backend.
    #[error("no credential for the backend: {0}")]
    Credential(Arc<str>),
    /// Gateway: the record cannot be written.
    #[error("the record cannot be written")]
    RecordUnavailable,
}

impl Error {
    /// Whose doing it is.
    #[must_use]
    pub const fn side(&self) -> Side {
        match self {
            Self::Backend(_) | Self::Redirects(_) | Self::Net(_) => Side::Backend,
            Self::Timeout { side, .. } => *side,
            Self::Unsendable(_) | Self::Credential(_) | Self::RecordUnavailable => Side::Gateway,
        }
    }

    /// What the client may read.
    #[must_use]
    pub const fn told(&self) -> &'static str {
        match self {
            Self::Unsendable(_) => "the request cannot be sent as it was read; nothing of it was",
            Self::Backend(_) => "the service behind the gateway broke off or answered what is no HTTP",
            // What was asked for is done, or is answered elsewhere (RFC 9110 §15.4.4).
            Self::Redirects(303) => {
                "the service took the request and tells of it elsewhere (303), and redirects are not passed on: look at what \
                 became of it before you send it again"
            }
            Self::Redirects(_) => {
                "the service redirects, and redirects are not passed on: ask for the address itself (often the same path with \
                 or without a slash at its end)"
            }
            Self::Net(_) => "the service behind the gateway cannot be reached",
            Self::Timeout { side: Side::Client, .. } => "the request took too long to arrive",
            Self::Timeout { .. } => "the service behind the gateway took too long to answer",
            Self::Credential(_) => {
                "the gateway has no credential for the service behind it; nothing is wrong with yours"
            }
            Self::RecordUnavailable => "the record cannot be written; nothing passes until it can",
        }
    }

    /// The status of an answer that says so (RFC 9110 §15).
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Timeout { side: Side::Client, .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Backend(_) | Self::Redirects(_) | Self::Net(_) | Self::Unsendable(_) => StatusCode::BAD_GATEWAY,
            Self::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Credential(_) | Self::RecordUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whether the same request may fare better later.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            // The answer will be the same.
            Self::Redirects(_) | Self::Unsendable(_) => false,
            Self::Backend(_) | Self::Net(_) | Self::Timeout { .. } | Self::Credential(_) | Self::RecordUnavailable => {
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_reads_nothing_of_the_backend() {
        let errors = [
            Error::Backend("connection closed by 10.0.0.9:443".into()),
            Error::Credential("environment variable KEY is not set".into()),
            Error::Timeout { side: Side::Backend, doing: "login at 10.0.0.9" },
            Error::Redirects(308),
        ];
        for error in errors {
            for secret in ["10.0.0.9", "KEY"] {
                assert!(!error.told().contains(secret), "{error}");
            }
            assert!(error.status().is_server_error());
        }
    }

    #[test]
    fn a_redirect_is_told_as_one() {
        for status in [301, 302, 303, 307, 308] {
            let error = Error::Redirects(status);
            assert!(error.told().contains("redirects are not passed on") && !error.may_pass(), "{status}");
        }
        assert!(Error::Redirects(303).told().contains("before you send it again"));
        assert!(Error::Backend("reset".into()).may_pass());
    }
}
