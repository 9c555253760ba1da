//! Which kinds of message may come when, and how long each may be. Both lists are closed.
//!
//! The limits are PostgreSQL's own (`PQ_SMALL_MESSAGE_LIMIT` for what a client sends, libpq's 30,000 for what a server
//! sends) except where one of ours is lower. FunctionCall ('F') may arrive, so that it can be refused by name; CopyBoth
//! ('W') and FunctionCallResponse ('V') may not: nothing the gateway forwards can cause them.
//! Held by: `frame/tests.rs`.

use super::{FrameLimits, LONGEST};

/// The longest of a client's short messages.
const SMALL_FROM_CLIENT: usize = 10_000;
/// The longest password message: long enough for a signed token.
const PASSWORD: usize = 16 * 1024;
/// The longest message with a provider's token.
const BEARER: usize = 64 * 1024;
/// The longest of a server's short messages.
const SMALL_FROM_SERVER: usize = 30_000;
/// The longest ParameterDescription: 65,535 parameter types.
const PARAMETER_TYPES: usize = 4 + 2 + 65_535 * 4;

/// Which messages may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// From a client that has not proven who it is: password messages only.
    ClientLogin,
    /// The same where a provider's token is asked for.
    ClientBearer,
    /// From a client in its session. COPY messages may come at any time; the server ignores stray ones.
    ClientReady,
    /// From a client whose COPY the server is reading.
    ClientCopyIn,
    /// From a server before its first ReadyForQuery.
    ServerLogin,
    /// From a server in a session.
    ServerReady,
}

impl Phase {
    pub(super) const ALL: [Self; 6] = [
        Self::ClientLogin,
        Self::ClientBearer,
        Self::ClientReady,
        Self::ClientCopyIn,
        Self::ServerLogin,
        Self::ServerReady,
    ];

    /// The longest length field that a frame of this kind may have now; none if the kind may not come at all.
    pub(super) fn longest(self, tag: u8, limits: &FrameLimits) -> Option<usize> {
        let longest = match (self, tag) {
            (Self::ClientLogin, b'p') => PASSWORD,
            (Self::ClientBearer, b'p') => BEARER,
            (Self::ClientReady, b'Q' | b'P') => limits.statement,
            (Self::ClientReady, b'B') => limits.bind,
            (Self::ClientReady, b'F') => limits.bind,
            (Self::ClientReady, b'D' | b'E' | b'C' | b'X' | b'H' | b'S' | b'c' | b'f') => SMALL_FROM_CLIENT,
            (Self::ClientCopyIn, b'c' | b'f' | b'H' | b'S' | b'X') => SMALL_FROM_CLIENT,
            (Self::ClientReady | Self::ClientCopyIn, b'd') => limits.row,
            (Self::ServerLogin, b'R' | b'S' | b'K' | b'Z' | b'v') => SMALL_FROM_SERVER,
            (Self::ServerLogin, b'E' | b'N') => limits.row,
            (Self::ServerReady, b'd' | b'D' | b'E' | b'N' | b'A' | b'T') => limits.row,
            (Self::ServerReady, b't') => PARAMETER_TYPES,
            (
                Self::ServerReady,
                b'1' | b'2' | b'3' | b'C' | b'G' | b'H' | b'I' | b'K' | b'S' | b'Z' | b'c' | b'n' | b's',
            ) => SMALL_FROM_SERVER,
            (
                Self::ClientLogin
                | Self::ClientBearer
                | Self::ClientReady
                | Self::ClientCopyIn
                | Self::ServerLogin
                | Self::ServerReady,
                _,
            ) => return None,
        };
        Some(longest.min(LONGEST))
    }

    /// Whether a frame above its limit is refused alone, and the session lives on.
    pub(super) fn may_be_dropped(self, tag: u8) -> bool {
        matches!((self, tag), (Self::ClientReady, b'Q' | b'P' | b'B' | b'F'))
    }
}
