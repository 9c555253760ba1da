//! What ends a stream, each saying whose doing it is.
//!
//! Promises: a refusal is never a fault; after a fault nothing more of the stream is read. The words hold nothing of what
//! a peer said beyond numbers, so they may be logged and shown to the client.
//! Held by: `sftp/tests/core.rs` and `scp/tests.rs`, which compare side and words.

use crate::sftp::wire::Malformed;

/// Whose doing a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamSide {
    /// The client broke the protocol.
    Client,
    /// The target behind the gateway did.
    Target,
}

/// A stream that cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {} broke the file transfer protocol: {what}", side.word())]
pub(crate) struct StreamFault {
    /// Whose doing.
    pub(crate) side: StreamSide,
    /// What is wrong.
    pub(crate) what: String,
}

impl StreamSide {
    const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Target => "target",
        }
    }
}

impl StreamFault {
    /// The client's doing.
    pub(crate) fn client(what: impl Into<String>) -> Self {
        Self { side: StreamSide::Client, what: what.into() }
    }

    /// The target's doing.
    pub(crate) fn target(what: impl Into<String>) -> Self {
        Self { side: StreamSide::Target, what: what.into() }
    }

    /// A packet of this side that cannot be read.
    pub(crate) fn malformed(side: StreamSide, why: Malformed) -> Self {
        Self { side, what: why.to_string() }
    }
}
