//! A provider's keys, and whether one of them signed a token.
//!
//! Promises: only public keys for signatures of a kind and size that are accepted are kept (RSA of 2048 to 4096 bits, P-256,
//! P-384, Ed25519); a set may hold others, which are passed over. A key is used for a token only if its name, its kind and,
//! where it states them, its use and its one algorithm fit, and only if no other key of the set does too: a token without a
//! key's name needs a set with one key that fits. Signatures are checked by `openidconnect`.
//! Held by: the tests below, and `tests/it` by `fixtures/identity/oidc.tsv`.

use super::Flaw;
use super::json;
use super::token::{Algorithm, Kind, Token};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::JsonWebKey as _;
use openidconnect::core::CoreJsonWebKey;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Keys of one set.
const MOST_KEYS: usize = 64;

/// A key that may have signed a token.
#[derive(Debug)]
pub(crate) struct Key {
    id: Option<String>,
    kind: Kind,
    /// The one algorithm that it is for, where it states one.
    algorithm: Option<Algorithm>,
    key: CoreJsonWebKey,
}

/// The keys that a provider signs with now.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<Arc<Key>>);

impl Keys {
    /// Reads a key set; `None` where it is none.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let set = json::object(bytes)?;
        let keys = set.get("keys")?.as_array()?;
        if keys.len() > MOST_KEYS {
            return None;
        }
        Some(Self(keys.iter().filter_map(Key::read).map(Arc::new).collect()))
    }

    /// The one key that can have signed it.
    pub(crate) fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Option<&Arc<Key>> {
        let named = |key: &&Arc<Key>| id.is_none_or(|id| key.id.as_deref() == Some(id));
        let mut fitting = self.0.iter().filter(named).filter(|key| key.fits(algorithm));
        let found = fitting.next()?;
        fitting.next().is_none().then_some(found)
    }
}

impl Key {
    fn read(value: &Value) -> Option<Self> {
        let members = value.as_object()?;
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let absent_or = |name: &str, wanted: &str| members.get(name).is_none_or(|value| value == wanted);
        // A private or secret key in public is nobody's any more.
        let published = ["d", "k", "p", "q"].iter().any(|name| members.contains_key(*name));
        let verifies = members.get("key_ops").is_none_or(|operations| {
            operations.as_array().is_some_and(|operations| operations.iter().any(|operation| operation == "verify"))
        });
        if published || !absent_or("use", "sig") || !verifies {
            return None;
        }
        let kind = kind(members)?;
        let algorithm = match members.get("alg") {
            None => None,
            Some(stated) => Some(Algorithm::named(stated.as_str()?).filter(|stated| stated.kind() == kind)?),
        };
        let id = match members.get("kid") {
            None => None,
            Some(id) => Some(id.as_str()?.to_owned()),
        };
        // What is handed on is made of what was looked at and nothing else.
        let looked_at = ["kty", "crv", "n", "e", "x", "y"];
        let plain: Map<_, _> =
            looked_at.iter().filter_map(|name| Some(((*name).to_owned(), text(name)?.into()))).collect();
        let key = serde_json::from_value(plain.into()).ok()?;
        Some(Self { id, kind, algorithm, key })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.kind == algorithm.kind() && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// Whether this key signed it.
    pub(crate) fn verify(&self, token: &Token<'_>) -> Result<(), Flaw> {
        if !self.fits(token.algorithm) {
            return Err(Flaw::UnknownKey);
        }
        let verified = self.key.verify_signature(&token.algorithm.jws(), token.signed.as_bytes(), &token.signature);
        verified.map_err(|_| Flaw::Signature)
    }
}

/// What kind of key it is, if it is one whose numbers are as long as they should be.
fn kind(members: &Map<String, Value>) -> Option<Kind> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let number = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    let of = |name: &str, length: usize| number(name).is_some_and(|bytes| bytes.len() == length);
    match (text("kty")?, text("crv")) {
        ("RSA", None) => {
            let (modulus, exponent) = (number("n")?, number("e")?);
            let modulus = modulus.strip_prefix(&[0]).unwrap_or(&modulus);
            let odd = |bytes: &[u8]| bytes.last().is_some_and(|last| last % 2 == 1);
            let sized = (256..=512).contains(&modulus.len()) && modulus.first().is_some_and(|first| *first >= 0x80);
            let powers = exponent.len() <= 4 && exponent.as_slice() > [1].as_slice();
            (sized && odd(modulus) && powers && odd(&exponent)).then_some(Kind::Rsa)
        }
        ("EC", Some("P-256")) => (of("x", 32) && of("y", 32)).then_some(Kind::P256),
        ("EC", Some("P-384")) => (of("x", 48) && of("y", 48)).then_some(Kind::P384),
        ("OKP", Some("Ed25519")) => of("x", 32).then_some(Kind::Ed25519),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(keys: &Value) -> Keys {
        Keys::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn numbers(length: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![0x81; length])
    }

    #[test]
    fn only_public_signing_keys_of_good_size_are_kept() {
        let ec = |more: Value| {
            let mut key = json!({"kty": "EC", "crv": "P-256", "x": numbers(32), "y": numbers(32), "kid": "a"});
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            set(&json!([key])).0.len()
        };
        assert_eq!(ec(json!({})), 1);
        assert_eq!(ec(json!({"use": "sig", "alg": "ES256", "key_ops": ["verify"]})), 1);
        for wrong in [
            json!({"use": "enc"}),
            json!({"alg": "ES384"}),
            json!({"alg": "HS256"}),
            json!({"alg": "none"}),
            json!({"alg": 1}),
            json!({"kid": 1}),
            json!({"key_ops": ["sign"]}),
            json!({"d": "AA"}),
            json!({"k": "AA"}),
            json!({"crv": "P-384"}),
            json!({"crv": "secp256k1"}),
            json!({"kty": "oct"}),
            json!({"x": numbers(33)}),
        ] {
            assert_eq!(ec(wrong.clone()), 0, "{wrong}");
        }
        let rsa = |bytes, e: &str| set(&json!([{"kty": "RSA", "n": numbers(bytes), "e": e}])).0.len();
        assert_eq!((rsa(256, "AQAB"), rsa(512, "Aw")), (1, 1));
        assert_eq!((rsa(255, "AQAB"), rsa(128, "AQAB"), rsa(513, "AQAB")), (0, 0, 0));
        assert_eq!((rsa(256, "AQ"), rsa(256, "AQAC"), rsa(256, "AQAAAAE")), (0, 0, 0));
    }

    #[test]
    fn a_set_that_is_none_or_too_large_is_refused() {
        let many = vec![json!({}); MOST_KEYS + 1];
        for text in ["", "[]", "{}", r#"{"keys":1}"#, r#"{"keys":[],"keys":[]}"#] {
            assert!(Keys::read(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Keys::read(json!({ "keys": many }).to_string().as_bytes()).is_none());
    }

    #[test]
    fn the_one_key_that_fits_is_found_and_never_one_of_two() {
        let ed = |id: &str| json!({"kty": "OKP", "crv": "Ed25519", "x": numbers(32), "kid": id});
        let ec = json!({"kty": "EC", "crv": "P-256", "x": numbers(32), "y": numbers(32), "kid": "a"});
        let keys = set(&json!([ed("a"), ec]));
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
            assert!(keys.find(algorithm, Some("a")).is_some() && keys.find(algorithm, None).is_some());
            assert!(keys.find(algorithm, Some("b")).is_none());
        }
        assert!(keys.find(Algorithm::Rs256, Some("a")).is_none() && keys.find(Algorithm::Es384, None).is_none());
        let twins = set(&json!([ed("a"), ed("a"), ed("b")]));
        assert!(twins.find(Algorithm::EdDsa, Some("a")).is_none() && twins.find(Algorithm::EdDsa, None).is_none());
        assert!(twins.find(Algorithm::EdDsa, Some("b")).is_some());
        let marked = set(&json!([{"kty": "RSA", "n": numbers(256), "e": "AQAB", "alg": "RS256"}]));
        assert!(marked.find(Algorithm::Rs256, None).is_some() && marked.find(Algorithm::Ps256, None).is_none());
    }
}
