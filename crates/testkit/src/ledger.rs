//! What a peer received, as tests read it: the bytes of each connection in order of arrival.
//!
//! Promises: a byte is in the ledger before the peer acts on it, so whoever saw the peer's answer also sees the byte.
//! That is what lets a test say "no byte of a refused command was ever written upstream". One that keeps nothing
//! ([`Ledger::of_nothing`]) is for peers that run for as long as somebody plays with them.
//! Held by: `tests/it/wire.rs`, and the test below.

#![expect(clippy::disallowed_types, reason = "written by connection tasks, read by a test between its own steps")]

use crate::wire::Frame;
use bytes::{Buf, Bytes};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The bytes that a recording peer received, one entry a connection.
#[derive(Clone, Debug)]
pub struct Ledger {
    connections: Arc<Mutex<Vec<Vec<u8>>>>,
    keeps: bool,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { connections: Arc::default(), keeps: true }
    }
}

impl Ledger {
    /// One that forgets everything at once and is always empty.
    #[must_use]
    pub fn of_nothing() -> Self {
        Self { keeps: false, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens an entry for a new connection; returns its index.
    pub(crate) fn open(&self) -> usize {
        if !self.keeps {
            return 0;
        }
        let mut connections = self.lock();
        connections.push(Vec::new());
        connections.len() - 1
    }

    /// Appends to a connection's entry.
    pub(crate) fn append(&self, connection: usize, bytes: &[u8]) {
        if let Some(entry) = self.lock().get_mut(connection) {
            entry.extend_from_slice(bytes);
        }
    }

    /// All bytes, connection by connection.
    #[must_use]
    pub fn connections(&self) -> Vec<Vec<u8>> {
        self.lock().clone()
    }

    /// How many bytes came in all. A test remembers it and looks at [`Ledger::contains`] later.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().iter().map(Vec::len).sum()
    }

    /// Whether nothing came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether any connection received this text, in any letter case.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        let wanted = text.to_ascii_lowercase();
        !wanted.is_empty()
            && self.lock().iter().any(|entry| {
                let entry = entry.to_ascii_lowercase();
                entry.windows(wanted.len()).any(|window| window == wanted.as_bytes())
            })
    }

    /// The frames of every connection after its start-up packets.
    #[must_use]
    pub fn frames(&self) -> Vec<Vec<Frame>> {
        self.lock().iter().map(|entry| frames(Bytes::copy_from_slice(entry))).collect()
    }

    /// Forgets what came so far; connections stay.
    pub fn clear(&self) {
        self.lock().iter_mut().for_each(Vec::clear);
    }
}

/// Start-up packets have no tag and begin with a zero byte, which no tag is.
fn frames(mut rest: Bytes) -> Vec<Frame> {
    let mut found = Vec::new();
    while rest.len() >= 5 {
        let tag = rest.first().copied().unwrap_or(0);
        if tag != 0 {
            rest.advance(1);
        }
        let length = usize::try_from(rest.get_u32()).unwrap_or(usize::MAX).saturating_sub(4);
        let body = rest.split_to(length.min(rest.len()));
        if tag != 0 {
            found.push(Frame { tag, body });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_all_or_nothing() {
        for (ledger, kept) in [(Ledger::default(), 2), (Ledger::of_nothing(), 0)] {
            for bytes in [b"abc", b"def"] {
                let entry = ledger.open();
                ledger.append(entry, bytes);
            }
            assert_eq!((ledger.connections().len(), ledger.len()), (kept, 3 * kept));
            assert_eq!(ledger.contains("E"), kept > 0);
        }
    }
}
