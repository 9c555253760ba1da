//! Where everything lies in the store. Every key begins with the log id and one letter:
//!
//! | letter | then | value |
//! |---|---|---|
//! | `e` | stream, number | the head after the event (32 bytes), then the event's canonical JSON |
//! | `o` | run, stream | nothing: this stream was begun in this run of the gateway |
//! | `c` | stream | its [`Summary`](crate::Summary), once it is ended and its end is sealed |
//! | `l` | index | a leaf of the Merkle log: [`Leaf`] as canonical JSON |
//! | `n` | level, index | a node of the Merkle log whose subtree is complete (RFC 6962), 32 bytes |
//! | `h` | stream, events | the index of the leaf that seals the stream's first so many events |
//! | `k` | size | the signed checkpoint of the Merkle log at this size |
//!
//! Numbers are big-endian, so that keys sort as numbers do. `o`, `c`, `n` and `h` can be made again from the rest: they
//! are there for speed, and verification checks each of them.

use crate::chain::{HEAD, LogId};
use bytes::Bytes;
use portcullis_model::{Digest, SessionId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a leaf says: the stream, begun in that run, had this head after so many events. `seal` counts the times that
/// heads were sealed, so that the checkpoint behind each can be missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leaf {
    pub(crate) events: u64,
    pub(crate) head: Digest,
    pub(crate) run: u64,
    pub(crate) seal: u64,
    pub(crate) stream: SessionId,
}

pub(crate) const EVENT: u8 = b'e';
pub(crate) const OPENED: u8 = b'o';
pub(crate) const CLOSED: u8 = b'c';
pub(crate) const LEAF: u8 = b'l';
pub(crate) const NODE: u8 = b'n';
pub(crate) const SEALED: u8 = b'h';
pub(crate) const CHECKPOINT: u8 = b'k';
/// Every letter there is.
pub(crate) const LETTERS: &[u8] = &[EVENT, OPENED, CLOSED, LEAF, NODE, SEALED, CHECKPOINT];

/// The keys of one log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys(pub(crate) LogId);

impl Keys {
    fn key(self, letter: u8, parts: &[&[u8]]) -> Bytes {
        let mut key = Vec::with_capacity(LogId::LEN + 1 + 24);
        key.extend_from_slice(self.0.as_bytes());
        key.push(letter);
        parts.iter().for_each(|part| key.extend_from_slice(part));
        key.into()
    }

    /// What every key of one kind begins with.
    pub(crate) fn all(self, letter: u8) -> Bytes {
        self.key(letter, &[])
    }

    pub(crate) fn events(self, stream: SessionId) -> Bytes {
        self.key(EVENT, &[stream.as_uuid().as_bytes()])
    }

    pub(crate) fn event(self, stream: SessionId, number: u64) -> Bytes {
        self.key(EVENT, &[stream.as_uuid().as_bytes(), &number.to_be_bytes()])
    }

    pub(crate) fn run(self, run: u64) -> Bytes {
        self.key(OPENED, &[&run.to_be_bytes()])
    }

    pub(crate) fn opened(self, run: u64, stream: SessionId) -> Bytes {
        self.key(OPENED, &[&run.to_be_bytes(), stream.as_uuid().as_bytes()])
    }

    pub(crate) fn closed(self, stream: SessionId) -> Bytes {
        self.key(CLOSED, &[stream.as_uuid().as_bytes()])
    }

    pub(crate) fn leaf(self, index: u64) -> Bytes {
        self.key(LEAF, &[&index.to_be_bytes()])
    }

    pub(crate) fn node(self, level: u8, index: u64) -> Bytes {
        self.key(NODE, &[&[level], &index.to_be_bytes()])
    }

    pub(crate) fn seals(self, stream: SessionId) -> Bytes {
        self.key(SEALED, &[stream.as_uuid().as_bytes()])
    }

    pub(crate) fn sealed(self, stream: SessionId, events: u64) -> Bytes {
        self.key(SEALED, &[stream.as_uuid().as_bytes(), &events.to_be_bytes()])
    }

    pub(crate) fn checkpoint(self, size: u64) -> Bytes {
        self.key(CHECKPOINT, &[&size.to_be_bytes()])
    }
}

/// The part of a key behind log id and letter.
fn rest(key: &[u8]) -> Option<&[u8]> {
    key.get(LogId::LEN + 1..)
}

/// The log that a key belongs to.
pub(crate) fn log_of(key: &[u8]) -> Option<LogId> {
    key.first_chunk().copied().map(LogId::from_bytes)
}

/// A number as stored.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// The stream and number of an `e` or `h` key.
pub(crate) fn stream_and_number(key: &[u8]) -> Option<(SessionId, u64)> {
    let (stream, last) = rest(key)?.split_first_chunk::<16>()?;
    Some((SessionId::from_uuid(Uuid::from_bytes(*stream)), number(last)?))
}

/// The run and stream of an `o` key.
pub(crate) fn run_and_stream(key: &[u8]) -> Option<(u64, SessionId)> {
    let (run, stream) = rest(key)?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*run), SessionId::from_uuid(Uuid::from_bytes(stream.try_into().ok()?))))
}

/// The stream of a `c` key.
pub(crate) fn stream(key: &[u8]) -> Option<SessionId> {
    Some(SessionId::from_uuid(Uuid::from_bytes(rest(key)?.try_into().ok()?)))
}

/// The number of an `l` or `k` key.
pub(crate) fn last_number(key: &[u8]) -> Option<u64> {
    number(rest(key)?)
}

/// The level and index of an `n` key.
pub(crate) fn level_and_index(key: &[u8]) -> Option<(u8, u64)> {
    let (level, index) = rest(key)?.split_first()?;
    Some((*level, number(index)?))
}

/// The head and the event of an `e` value.
pub(crate) fn head_and_event(value: &[u8]) -> Option<(Digest, &[u8])> {
    let (head, event) = value.split_first_chunk::<HEAD>()?;
    Some((Digest::from_bytes(*head), event))
}

/// A hash as stored.
pub(crate) fn hash(value: &[u8]) -> Option<Digest> {
    value.try_into().ok().map(Digest::from_bytes)
}
