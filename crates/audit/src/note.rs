//! Signed checkpoints: C2SP tlog-checkpoint inside C2SP signed-note.
//!
//! ```text
//! portcullis/<log id>            the origin, also the name of the key
//! <leaves>
//! <root, base64>
//!
//! — <key name> <base64 of key id and Ed25519 signature>
//! ```
//! A checkpoint names the size and root hash of the Merkle log, so two of them are of one log exactly when a consistency
//! proof joins them. Lines behind the root are extensions and further signatures are witnesses': both are kept and
//! ignored. Promises: [`Checkpoint::open`] returns only what the key has signed.

use crate::keys::{SigningKey, VerifyingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_model::Digest;
use std::fmt;

/// A note is refused beyond this; a checkpoint has a few hundred bytes and each witness adds about a hundred.
const GREATEST: usize = 64 * 1024;

/// The size and root of a log at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many leaves the log has.
    pub size: u64,
    /// The root hash over them.
    pub root: Digest,
}

/// Why a text is not a checkpoint of this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNote {
    /// It is not a signed note holding a checkpoint.
    #[error("not a signed checkpoint")]
    Format,
    /// It is of another log, or signed by another key only.
    #[error("the checkpoint is of another log, or of another key")]
    Foreign,
    /// The signature does not fit the text.
    #[error("the signature of the checkpoint is wrong")]
    Signature,
}

impl Checkpoint {
    /// The signed note.
    pub(crate) fn sign(&self, key: &SigningKey) -> String {
        let public = key.public();
        let text = format!("{}\n{}\n{}\n", public.origin(), self.size, STANDARD.encode(self.root.as_bytes()));
        let signature = [public.id().as_slice(), &key.sign(text.as_bytes())].concat();
        format!("{text}\n\u{2014} {} {}\n", public.origin(), STANDARD.encode(signature))
    }

    /// The checkpoint in a note, if this key has signed it.
    ///
    /// # Errors
    /// Any [`BadNote`].
    pub fn open(note: &str, key: &VerifyingKey) -> Result<Self, BadNote> {
        if note.len() > GREATEST || note.chars().any(|c| c.is_control() && c != '\n') {
            return Err(BadNote::Format);
        }
        // The text ends with its last newline before an empty line; the signatures follow it.
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(BadNote::Format)?;
        let signed = note.get(..=text.len()).ok_or(BadNote::Format)?;
        let signatures = signatures.strip_suffix('\n').ok_or(BadNote::Format)?;
        let mut found = BadNote::Foreign;
        for line in signatures.split('\n') {
            let line = line.strip_prefix("\u{2014} ").ok_or(BadNote::Format)?;
            let (name, signature) = line.split_once(' ').ok_or(BadNote::Format)?;
            let signature = STANDARD.decode(signature).map_err(|_| BadNote::Format)?;
            let (id, signature) = signature.split_at_checked(4).ok_or(BadNote::Format)?;
            if name != key.origin() || id != key.id() {
                continue;
            }
            match signature.try_into() {
                Ok(signature) if key.verifies(signed.as_bytes(), signature) => return Self::parse(text, key),
                Ok(_) | Err(_) => found = BadNote::Signature,
            }
        }
        Err(found)
    }

    fn parse(text: &str, key: &VerifyingKey) -> Result<Self, BadNote> {
        let mut lines = text.split('\n');
        let (origin, size, root) = (lines.next(), lines.next(), lines.next());
        if origin != Some(key.origin()) {
            return Err(BadNote::Foreign);
        }
        let shown = size.ok_or(BadNote::Format)?;
        let size: u64 = shown.parse().map_err(|_| BadNote::Format)?;
        let root = STANDARD.decode(root.ok_or(BadNote::Format)?).map_err(|_| BadNote::Format)?;
        let root = Digest::from_bytes(root.try_into().map_err(|_| BadNote::Format)?);
        // One number has one spelling: no sign, no leading zero.
        if size.to_string() == shown { Ok(Self { size, root }) } else { Err(BadNote::Format) }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} leaves, root {}", self.size, self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[3; 32])
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { size: 1234, root: Digest::of(b"root") }
    }

    #[test]
    fn a_checkpoint_opens_as_signed() {
        let note = checkpoint().sign(&key());
        assert_eq!(Checkpoint::open(&note, key().public()), Ok(checkpoint()));
        let witnessed = format!("{note}\u{2014} witness.example/w1 {}\n", STANDARD.encode([9; 68]));
        assert_eq!(Checkpoint::open(&witnessed, key().public()), Ok(checkpoint()), "a witness may add its signature");
        let other = SigningKey::from_seed(&[4; 32]);
        assert_eq!(Checkpoint::open(&note, other.public()), Err(BadNote::Foreign));
        let unsigned = note.replacen(key().public().origin(), "x", 1);
        assert_eq!(Checkpoint::open(&unsigned, key().public()), Err(BadNote::Signature));
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_refused() {
        let note = checkpoint().sign(&key());
        for at in 0..note.len() {
            for flip in [1, 0x20, 0x80] {
                let mut bytes = note.clone().into_bytes();
                bytes[at] ^= flip;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                assert!(Checkpoint::open(&changed, key().public()).is_err(), "byte {at} ^ {flip}");
            }
            let Some(cut) = note.get(..at) else { continue };
            assert!(Checkpoint::open(cut, key().public()).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_note_is_the_format_of_c2sp() {
        let note = checkpoint().sign(&key());
        let lines: Vec<_> = note.split('\n').collect();
        assert_eq!(lines.len(), 6, "origin, size, root, empty, signature, end");
        assert_eq!((lines[0], lines[1], lines[3], lines[5]), (key().public().origin(), "1234", "", ""));
        assert!(lines[4].starts_with(&format!("\u{2014} {} ", lines[0])));
    }
}
