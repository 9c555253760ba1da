//! What ends a session or a login, each variant saying whose doing it is and what the client is told.
//!
//! Promises: a denial is never an error of this type; a message for a client never carries what the backend said about
//! its own login, nor an address or a user of the backend. What is in here may be logged: no secrets, no statements.
//! Held by: the tests of `negotiate.rs`, `login.rs` and `startup.rs`, which compare codes and texts.

use crate::frame::FrameError;
use crate::message::{DecodeError, Report, Severity};
use std::io;

/// The result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Whose doing a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The server behind the gateway.
    Backend,
    /// The client.
    Client,
    /// The gateway itself or its configuration.
    Gateway,
}

/// A failure that ends a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The backend wants a kind of authentication that the gateway does not give it.
    #[error(
        "the backend asks for {0} authentication; only SCRAM-SHA-256 is given, or nothing where no password is configured"
    )]
    Authentication(&'static str),
    /// The backend refused what the gateway asked it to do on a connection of its own.
    #[error("the backend refused: {code} {message}")]
    BackendFailed {
        /// Its SQLSTATE.
        code: String,
        /// Its message.
        message: String,
    },
    /// The backend refused the login or ended it with an error.
    #[error("the backend refused the login: {code} {message}")]
    BackendRefused {
        /// Its SQLSTATE.
        code: String,
        /// Its message.
        message: String,
    },
    /// The peer is gone.
    #[error("{side:?} closed the connection")]
    Closed {
        /// Which peer.
        side: Side,
    },
    /// A body that is not the message its tag says.
    #[error("{side:?} sent a malformed message: {source}")]
    Decode {
        /// Which peer sent it.
        side: Side,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A stream that is not frames.
    #[error("{side:?} broke the protocol: {source}")]
    Frame {
        /// Which peer sent it.
        side: Side,
        /// How.
        source: FrameError,
    },
    /// The connection failed.
    #[error("connection to {side:?}: {source}")]
    Io {
        /// Which peer.
        side: Side,
        /// What the system said.
        source: io::Error,
    },
    /// The backend cannot be reached, or TLS with it failed.
    #[error(transparent)]
    Net(#[from] portcullis_net::Error),
    /// A peer broke the protocol in a way that is no frame or message.
    #[error("{side:?} broke the protocol: {reason}")]
    Protocol {
        /// Which peer.
        side: Side,
        /// How.
        reason: &'static str,
    },
    /// The client was refused before it had a session, and told so.
    #[error("refused: {0}")]
    Refused(#[from] Refused),
    /// SCRAM with the backend failed: it does not know the password, or asks for something unacceptable.
    #[error("SCRAM with the backend: {0}")]
    Scram(&'static str),
    /// A peer took too long.
    #[error("{side:?} took too long: {doing}")]
    Timeout {
        /// Which peer.
        side: Side,
        /// What it was to do.
        doing: &'static str,
    },
}

impl Error {
    /// Whose doing it is.
    #[must_use]
    pub const fn side(&self) -> Side {
        match self {
            Self::Authentication(_)
            | Self::BackendFailed { .. }
            | Self::BackendRefused { .. }
            | Self::Net(_)
            | Self::Scram(_) => Side::Backend,
            Self::Refused(_) => Side::Client,
            Self::Closed { side }
            | Self::Decode { side, .. }
            | Self::Frame { side, .. }
            | Self::Io { side, .. }
            | Self::Protocol { side, .. }
            | Self::Timeout { side, .. } => *side,
        }
    }

    /// What the client is told before its connection closes; nothing if it is not there to read it.
    #[must_use]
    pub fn report(&self) -> Option<Report<'static>> {
        let fatal = |code, message: String| Some(Report::new(Severity::Fatal, code, message));
        match self {
            Self::Refused(refused) => Some(refused.report()),
            Self::Decode { side: Side::Client, source } => fatal(source.sqlstate(), source.to_string()),
            Self::Frame { side: Side::Client, source } => fatal("08P01", source.to_string()),
            Self::Protocol { side: Side::Client, reason } => fatal("08P01", (*reason).to_owned()),
            Self::Timeout { side: Side::Client, doing } => fatal("08006", format!("timeout: {doing}")),
            Self::Closed { side: Side::Client } | Self::Io { side: Side::Client, .. } => None,
            Self::BackendRefused { code, .. } if own_words(code).is_some() => {
                own_words(code).map(|(code, message)| Report::new(Severity::Fatal, code, message))
            }
            Self::Authentication(_) | Self::BackendRefused { .. } | Self::Net(_) | Self::Scram(_) => Some(
                Report::new(Severity::Fatal, "08001", "the gateway could not log in to the database behind it")
                    .hint("Nothing is wrong with your own login. The gateway's log says what happened."),
            ),
            Self::Closed { .. }
            | Self::BackendFailed { .. }
            | Self::Decode { .. }
            | Self::Frame { .. }
            | Self::Io { .. }
            | Self::Protocol { .. }
            | Self::Timeout { .. } => {
                fatal("08006", "the connection to the database behind the gateway failed".to_owned())
            }
        }
    }
}

/// What a client may know of a refused login, in the gateway's words: what it chose itself, or can only wait for.
fn own_words(code: &str) -> Option<(&'static str, &'static str)> {
    match code {
        "22023" => Some(("22023", "the database does not accept one of the startup settings")),
        "3D000" => Some(("3D000", "the database does not exist")),
        "53300" => Some(("53300", "the database has too many connections already")),
        "57P03" => Some(("57P03", "the database is starting up or shutting down")),
        _ => None,
    }
}

/// Why a client gets no session: code, text and hint are what it is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code} {message}")]
pub struct Refused {
    /// SQLSTATE.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// What the record says of it, where nothing was presented that would be judged, and recorded, elsewhere.
    pub unjudged: Option<&'static str>,
}

impl Refused {
    /// A refusal of one line.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, unjudged: None }
    }

    /// The same with what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with what the record is to say of it, since nothing was judged.
    #[must_use]
    pub const fn unjudged(mut self, words: &'static str) -> Self {
        self.unjudged = Some(words);
        self
    }

    /// As the client is told.
    #[must_use]
    pub fn report(&self) -> Report<'static> {
        let report = Report::new(Severity::Fatal, self.code, self.message.clone());
        match &self.hint {
            Some(hint) => report.hint(hint.clone()),
            None => report,
        }
    }
}
