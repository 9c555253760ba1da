//! The hash chain of one stream (DESIGN 8): `h_0 = SHA-256(domain, log id, session id)`, `h_n = SHA-256(h_{n-1} || event)`
//! over the canonical bytes of each event. A head therefore fixes every event of its stream, their order and their number.
//!
//! The log id is made from the public key, so a chain cannot be moved to a log of another key.

use portcullis_model::{Digest, SessionId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The length of a head in bytes.
pub(crate) const HEAD: usize = 32;

const CHAIN_DOMAIN: &[u8] = b"portcullis/chain/1\n";
const LOG_DOMAIN: &[u8] = b"portcullis/log/1\n";

/// Which log: 16 bytes made from the public key that signs it. Printed in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId([u8; 16]);

impl LogId {
    /// The length in bytes.
    pub(crate) const LEN: usize = 16;

    /// The log that this Ed25519 public key signs.
    #[must_use]
    pub fn of(public: &[u8; 32]) -> Self {
        let mut id = [0; Self::LEN];
        for (byte, from) in id.iter_mut().zip(Digest::of_parts(&[LOG_DOMAIN, public]).as_bytes()) {
            *byte = *from;
        }
        Self(id)
    }

    /// From its bytes.
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for LogId {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; Self::LEN];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl Serialize for LogId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LogId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The head before the first event.
pub(crate) fn genesis(log: &LogId, session: SessionId) -> Digest {
    Digest::of_parts(&[CHAIN_DOMAIN, log.as_bytes(), session.as_uuid().as_bytes()])
}

/// The head after one more event.
pub(crate) fn next(head: &Digest, event: &[u8]) -> Digest {
    Digest::of_parts(&[head.as_bytes(), event])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_depends_on_its_log_its_session_and_the_order_of_its_events() {
        let (one, other) = (SessionId::new(), SessionId::new());
        let (log, elsewhere) = (LogId::of(&[1; 32]), LogId::of(&[2; 32]));
        let start = genesis(&log, one);
        assert_ne!(start, genesis(&log, other));
        assert_ne!(start, genesis(&elsewhere, one));
        assert_ne!(next(&next(&start, b"a"), b"b"), next(&next(&start, b"b"), b"a"));
        assert_ne!(next(&start, b"ab"), next(&next(&start, b"a"), b"b"));
    }

    #[test]
    fn a_log_id_reads_back_as_printed() {
        let id = LogId::of(&[7; 32]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("0g".parse::<LogId>().is_err());
        assert!("00".parse::<LogId>().is_err());
    }
}
