//! What is sent over a socket, and what of it the gateway says of itself to a backend.
//!
//! Promises: a message of a client is no variant of [`Own`]: it leaves only as the gate cleared it. A pong holds what the
//! backend itself sent; a close is a code and the gateway's own words. Held by: the types.

use super::close::Close;
use super::frame::Kind;
use bytes::Bytes;
use portcullis_gate::Weight;

/// A frame for either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToPeer {
    Text(Bytes),
    Binary(Bytes),
    Pong(Bytes),
    Close(Close),
    /// Nothing follows: the stream ends.
    End,
}

impl ToPeer {
    /// What it is on the wire; `None` for the end, which is no frame.
    pub(crate) fn frame(&self) -> Option<(Kind, Bytes)> {
        Some(match self {
            Self::Text(text) => (Kind::Text, text.clone()),
            Self::Binary(bytes) => (Kind::Binary, bytes.clone()),
            Self::Pong(bytes) => (Kind::Pong, bytes.clone()),
            Self::Close(close) => (Kind::Close, close.payload()),
            Self::End => return None,
        })
    }

    /// Bytes that were said.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(bytes) | Self::Binary(bytes) | Self::Pong(bytes) => bytes.len(),
            Self::Close(_) | Self::End => 0,
        }
    }
}

impl Weight for ToPeer {
    fn weight(&self) -> usize {
        // However little one holds, it takes its place.
        self.len().max(64)
    }
}

/// What the gateway itself says to a backend.
#[derive(Clone, Debug)]
pub(crate) enum Own {
    Pong(Bytes),
    Close(Close),
    End,
}

impl portcullis_gate::Own for Own {
    type Frame = ToPeer;

    fn into_frame(self) -> ToPeer {
        match self {
            Self::Pong(bytes) => ToPeer::Pong(bytes),
            Self::Close(close) => ToPeer::Close(close),
            Self::End => ToPeer::End,
        }
    }
}
