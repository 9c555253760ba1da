//! The key of hashing transforms.
//!
//! Promises: the key never prints and is wiped when it is dropped; one key and one value give one digest, two keys give
//! digests that tell nothing of each other; a digest made here is of no use anywhere else that hashes with the same
//! bytes (the domain is hashed first). Does not promise that a digest hides a value of a small set from somebody who
//! may ask for digests of values of his own choice: that is why a rule may not hash a column that its principal writes
//! (DESIGN 3).
//!
//! Held by: the tests below.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// What is hashed before every value.
const DOMAIN: &[u8] = b"portcullis mask v1\0";

/// How many bytes of the code a digest shows.
const SHOWN: usize = 16;

/// The key of [`Transform::Hash`](portcullis_model::Transform::Hash).
pub struct Key {
    bytes: Zeroizing<[u8; 32]>,
}

impl Key {
    /// Takes the bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self { bytes: Zeroizing::new(bytes) }
    }

    /// The keyed digest of a value: 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn digest(&self, value: &[u8]) -> String {
        // A key shorter than the hash's block is filled with zeros by definition; done here it cannot fail.
        let mut block = Zeroizing::new([0_u8; 64]);
        for (to, from) in block.iter_mut().zip(self.bytes.iter()) {
            *to = *from;
        }
        let mut code = Hmac::<Sha256>::new((&*block).into());
        code.update(DOMAIN);
        code.update(value);
        let code = code.finalize().into_bytes();
        hex::encode(code.get(..SHOWN).unwrap_or_default())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_hmac_sha_256_over_the_domain_and_the_value() {
        let mut code = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
        code.update(b"portcullis mask v1\0ann@example.com");
        let expected = hex::encode(code.finalize().into_bytes());
        assert_eq!(Key::new([7; 32]).digest(b"ann@example.com"), expected[..32]);
    }

    #[test]
    fn equal_values_stay_equal_and_only_under_one_key() {
        let (one, other) = (Key::new([1; 32]), Key::new([2; 32]));
        assert_eq!(one.digest(b"a"), one.digest(b"a"));
        assert_ne!(one.digest(b"a"), one.digest(b"b"));
        assert_ne!(one.digest(b"a"), other.digest(b"a"));
    }

    #[test]
    fn a_key_does_not_print() {
        assert_eq!(format!("{:?}", Key::new([65; 32])), "Key([redacted])");
    }
}
