//! Why nobody entered, and why nothing could be sent: both are the end of a connection. Why a document may not pass: the
//! end of an answer. A refusal of one command is a [`Denial`], which is a value.

use portcullis_model::Denial;
use std::io;
use std::time::Duration;

/// Why a caller did not enter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotEntered {
    /// Client: the proof was not accepted. Nothing more may be said to the client.
    #[error("authentication failed")]
    Identity {
        /// Set where the address has tried too often.
        retry_after: Option<Duration>,
    },
    /// Client: no such connection, or not of this protocol, or not that database.
    #[error("there is no connection of this name")]
    NoSuchConnection,
    /// Client: policy does not let this principal open this kind of session here.
    #[error("policy does not allow this session")]
    Denied(Denial),
    /// Client: the principal has as many sessions open as one may have.
    #[error("you have as many sessions open as one may have here; close some")]
    TooManySessions,
    /// Gateway: the record cannot be written, so nobody enters.
    #[error("the record cannot be written")]
    RecordUnavailable,
}

/// Why a writer stopped for good.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Peer: its connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// Gateway: the record failed, so what waits for it is never sent.
    #[error("the record cannot be written")]
    RecordUnavailable,
}

/// Why nothing of a document or a text may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// Policy: a mask cannot be carried out.
    #[error("a mask cannot be carried out")]
    Broken,
    /// Peer: it is not strict JSON, so nobody can say what a client would read in it.
    #[error("it is not JSON that could be masked")]
    NotJson,
    /// Peer: it has too many streams of text open at once.
    #[error("too many streams of text are open at once")]
    TooManyStreams,
}
