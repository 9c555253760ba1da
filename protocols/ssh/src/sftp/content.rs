//! How much of a file passed, and what it was.
//!
//! Promises: bytes are counted; where content passed in order from the file's beginning, without a gap or a repetition,
//! its SHA-256 is that of what passed. Otherwise there is none, because a digest of pieces would be taken for one of a
//! file. Does not promise that the target kept what it was sent: a failed write is counted like another.
//! Held by: the tests below.

use portcullis_model::Digest;
use sha2::{Digest as _, Sha256};

/// The content of one direction.
#[derive(Clone, Default)]
pub(crate) struct Content {
    bytes: u64,
    hash: Sha256,
    scattered: bool,
}

impl Content {
    /// A piece at this place; `None` is the end of what passed so far.
    pub(crate) fn take(&mut self, at: Option<u64>, piece: &[u8]) {
        self.scattered |= at.is_some_and(|at| at != self.bytes);
        self.bytes = self.bytes.saturating_add(piece.len() as u64);
        if !self.scattered {
            self.hash.update(piece);
        }
    }

    /// How much passed.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What passed, where it passed in order.
    pub(crate) fn digest(&self) -> Option<Digest> {
        (!self.scattered).then(|| Digest::from_bytes(self.hash.clone().finalize().into()))
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// What passed through one handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transferred {
    /// Read from the file.
    pub(crate) read: Content,
    /// Written to it.
    pub(crate) written: Content,
}

impl Transferred {
    /// Bytes of both directions.
    pub(crate) const fn bytes(&self) -> u64 {
        self.read.bytes().saturating_add(self.written.bytes())
    }

    /// The digest for the record, where only one direction was used and in order.
    pub(crate) fn digest(&self) -> Option<Digest> {
        match (self.read.bytes(), self.written.bytes()) {
            (0, 0) => None,
            (_, 0) => self.read.digest(),
            (0, _) => self.written.digest(),
            (_, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_content_in_order_has_a_digest() {
        let mut content = Content::default();
        content.take(Some(0), b"ab");
        content.take(Some(2), b"c");
        content.take(None, b"d");
        assert_eq!((content.bytes(), content.digest()), (4, Some(Digest::of(b"abcd"))));
        content.take(Some(3), b"d");
        assert_eq!((content.bytes(), content.digest()), (5, None));
        let mut both = Transferred::default();
        both.read.take(Some(0), b"x");
        assert_eq!(both.digest(), Some(Digest::of(b"x")));
        both.written.take(Some(0), b"x");
        assert_eq!((both.bytes(), both.digest()), (2, None));
    }
}
