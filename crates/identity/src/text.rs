//! The text of a token: `pct_` and 86 characters of base64url over identifier, secret and signature.
//!
//! Promises: reading gives a value only for the one canonical spelling of bytes that this key signed; the signature is
//! compared in constant time; what is kept of the secret is a keyed hash. Does not promise that the token is live.
//! Held by: the tests below, which change, cut and lengthen every byte.

use crate::key::TokenKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_model::TokenId;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

/// How every token starts, so that scanners for leaked secrets find it.
pub(crate) const PREFIX: &str = "pct_";

const ID: usize = 16;
const SECRET: usize = 32;
const SIGNATURE: usize = 16;
const BODY: usize = ID + SECRET + SIGNATURE;
/// Base64 without padding of [`BODY`] bytes.
const ENCODED: usize = (BODY * 4).div_ceil(3);

/// What is kept of a token's secret.
#[derive(Clone, Copy)]
pub(crate) struct SecretHash(pub(crate) [u8; 32]);

impl SecretHash {
    pub(crate) fn matches(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

/// A token that this key signed.
pub(crate) struct Presented {
    pub(crate) id: TokenId,
    pub(crate) hash: SecretHash,
}

/// Makes a token's text, and what is to be kept of it.
pub(crate) fn make(key: &TokenKey, id: TokenId) -> (SecretString, SecretHash) {
    let mut secret = Zeroizing::new([0; SECRET]);
    rand::fill(secret.as_mut_slice());
    let signature = sign(key, id.as_uuid().as_bytes(), secret.as_slice());
    let mut body = Zeroizing::new(Vec::with_capacity(BODY));
    body.extend_from_slice(id.as_uuid().as_bytes());
    body.extend_from_slice(secret.as_slice());
    body.extend_from_slice(&signature);
    let mut text = String::with_capacity(PREFIX.len() + ENCODED);
    text.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(body.as_slice(), &mut text);
    (SecretString::from(text), hash(key, id.as_uuid().as_bytes(), secret.as_slice()))
}

/// Reads a token's text; `None` where this key did not sign it.
pub(crate) fn read(key: &TokenKey, text: &SecretString) -> Option<Presented> {
    let encoded = text.expose_secret().strip_prefix(PREFIX)?;
    if encoded.len() != ENCODED {
        return None;
    }
    // The engine writes in whole groups and may want up to two bytes more than it leaves.
    let mut body = Zeroizing::new([0; BODY + 2]);
    let length = URL_SAFE_NO_PAD.decode_slice(encoded, body.as_mut_slice()).ok()?;
    let (id, rest) = body.get(..length)?.split_first_chunk::<ID>()?;
    let (secret, signature) = rest.split_first_chunk::<SECRET>()?;
    let genuine: bool = sign(key, id, secret).as_slice().ct_eq(signature).into();
    genuine.then(|| Presented { id: id_of(*id), hash: hash(key, id, secret) })
}

fn id_of(bytes: [u8; ID]) -> TokenId {
    TokenId::from_uuid(uuid::Uuid::from_bytes(bytes))
}

fn sign(key: &TokenKey, id: &[u8], secret: &[u8]) -> [u8; SIGNATURE] {
    let full = key.mac(b"portcullis token signature v1\0", &[id, secret]);
    let mut short = [0; SIGNATURE];
    for (to, from) in short.iter_mut().zip(full) {
        *to = from;
    }
    short
}

fn hash(key: &TokenKey, id: &[u8], secret: &[u8]) -> SecretHash {
    SecretHash(key.mac(b"portcullis token hash v1\0", &[id, secret]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::{fuzz_stored, fuzz_token};
    use proptest::prelude::*;

    #[test]
    fn a_token_reads_back_and_only_under_its_own_key() {
        let key = TokenKey::generate();
        let id = TokenId::new();
        let (text, kept) = make(&key, id);
        assert_eq!(text.expose_secret().len(), PREFIX.len() + ENCODED);
        let read_back = read(&key, &text).unwrap();
        assert_eq!(read_back.id, id);
        assert!(bool::from(read_back.hash.matches(&kept)));
        assert!(read(&TokenKey::generate(), &text).is_none());
    }

    #[test]
    fn no_other_spelling_of_a_token_is_accepted() {
        let key = TokenKey::generate();
        let (text, _) = make(&key, TokenId::new());
        let text = text.expose_secret();
        for at in 0..text.len() {
            for replacement in ["A", "B", "_", "-", "+", "=", " ", "\0", "é", ""] {
                let changed = format!("{}{replacement}{}", &text[..at], &text[at + 1..]);
                assert_eq!(read(&key, &changed.clone().into()).is_some(), changed == text, "{at} {replacement:?}");
            }
            assert!(read(&key, &text[..at].into()).is_none());
        }
        for around in
            [format!(" {text}"), format!("{text} "), format!("{text}\n"), format!("{text}=="), format!("pct_{text}")]
        {
            assert!(read(&key, &around.into()).is_none());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_never_a_token(text in "(pct_)?[A-Za-z0-9_-]{80,90}|.{0,300}") {
            fuzz_token(text.as_bytes());
        }

        #[test]
        fn any_bytes_at_any_place_make_no_token(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            fuzz_token(&bytes);
            fuzz_stored(&bytes);
        }
    }
}
