//! A token's text: three parts, a header and claims, before anybody knows who signed them.
//!
//! Promises: gives a value only for the one spelling of a compact JWS (base64url without padding, no bits left over) of at
//! most [`LONGEST`] bytes whose header names an algorithm of a closed list: RSA, ECDSA or Ed25519, never `none`, never
//! HMAC. A header that brings a key or points at one (`jwk`, `jku`, `x5c`, `x5u`), changes what is signed or how it is
//! read (`b64`, `zip`, `enc`, `cty`), or is critical is refused, known or not; so is the type of a refresh or logout token.
//! Does not promise that anything in it is true: `keys.rs` says that.
//! Held by: the tests below, and `tests/it` by `fixtures/identity/oidc.tsv`.

use super::Flaw;
use super::json;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::CoreJwsSigningAlgorithm as Jws;
use serde_json::{Map, Value};

/// Bytes of a token.
pub(crate) const LONGEST: usize = 16 * 1024;

/// Bytes of a key's name.
const LONGEST_KEY_ID: usize = 256;

/// What a header may not have, whatever its value.
const REFUSED: &[&str] = &["b64", "crit", "cty", "enc", "jku", "jwk", "x5c", "x5u", "zip"];

/// What a header may say a token is, without `application/`. All but the second are neither an access token nor not.
const TYPES: &[&str] = &["jwt", ACCESS, "jose", "id_token+jwt"];

/// The type of an access token (RFC 9068).
const ACCESS: &str = "at+jwt";

/// What signs a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

/// What kind of key signs so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Algorithm {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "RS384" => Some(Self::Rs384),
            "RS512" => Some(Self::Rs512),
            "PS256" => Some(Self::Ps256),
            "PS384" => Some(Self::Ps384),
            "PS512" => Some(Self::Ps512),
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }

    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => Kind::Rsa,
            Self::Es256 => Kind::P256,
            Self::Es384 => Kind::P384,
            Self::EdDsa => Kind::Ed25519,
        }
    }

    pub(crate) const fn jws(self) -> Jws {
        match self {
            Self::Rs256 => Jws::RsaSsaPkcs1V15Sha256,
            Self::Rs384 => Jws::RsaSsaPkcs1V15Sha384,
            Self::Rs512 => Jws::RsaSsaPkcs1V15Sha512,
            Self::Ps256 => Jws::RsaSsaPssSha256,
            Self::Ps384 => Jws::RsaSsaPssSha384,
            Self::Ps512 => Jws::RsaSsaPssSha512,
            Self::Es256 => Jws::EcdsaP256Sha256,
            Self::Es384 => Jws::EcdsaP384Sha384,
            Self::EdDsa => Jws::EdDsa,
        }
    }
}

/// A token that can be read; nobody has looked at its signature.
pub(crate) struct Token<'t> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    /// Whether its header says that it is an access token.
    pub(crate) is_access: bool,
    /// What was signed: both parts with the point between them.
    pub(crate) signed: &'t str,
    pub(crate) signature: Vec<u8>,
    pub(crate) claims: Map<String, Value>,
}

/// Whether somebody who presents this means a token of an identity provider.
pub(crate) fn looks_like_one(text: &str) -> bool {
    let part = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let mut parts = text.split('.');
    // The third may be empty: an unsigned token is one of theirs too, and refused as such.
    let three = [parts.next(), parts.next(), parts.next()];
    parts.next().is_none()
        && three.iter().all(|found| found.is_some_and(part))
        && three.iter().take(2).all(|found| found.is_some_and(|part| !part.is_empty()))
}

impl<'t> Token<'t> {
    pub(crate) fn read(text: &'t str) -> Result<Self, Flaw> {
        if text.len() > LONGEST {
            return Err(Flaw::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Flaw::Shape)?;
        let (header, claims) = signed.split_once('.').ok_or(Flaw::Shape)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Flaw::Shape);
        let header = json::object(&decode(header)?).ok_or(Flaw::Shape)?;
        if header.keys().any(|name| REFUSED.contains(&name.as_str())) {
            return Err(Flaw::Header);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::named);
        let algorithm = algorithm.ok_or(Flaw::Algorithm)?;
        let is_access = is_access(header.get("typ"))?;
        let key_id = key_id(header.get("kid"))?;
        let claims = json::object(&decode(claims)?).ok_or(Flaw::Shape)?;
        Ok(Self { algorithm, key_id, is_access, signed, signature: decode(signature)?, claims })
    }
}

fn key_id(value: Option<&Value>) -> Result<Option<String>, Flaw> {
    match value {
        None => Ok(None),
        Some(Value::String(id)) if (1..=LONGEST_KEY_ID).contains(&id.len()) => Ok(Some(id.clone())),
        Some(_) => Err(Flaw::Header),
    }
}

fn is_access(value: Option<&Value>) -> Result<bool, Flaw> {
    let Some(value) = value else { return Ok(false) };
    let stated = value.as_str().ok_or(Flaw::Type)?.to_ascii_lowercase();
    let stated = stated.strip_prefix("application/").unwrap_or(&stated);
    if TYPES.contains(&stated) { Ok(stated == ACCESS) } else { Err(Flaw::Type) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_parts_are_theirs_and_a_token_of_this_gateway_is_not() {
        for text in ["a.b.c", "eyJ.eyJ.", "A-_.0.9"] {
            assert!(looks_like_one(text), "{text}");
        }
        for text in ["", ".", "..", "a.b", "a..c", ".b.c", "a.b.c.d", "a.b.c=", "a.b.c ", "a.b.é", "pct_AAAA"] {
            assert!(!looks_like_one(text), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_in_one_way_is_no_token() {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let (header, claims) = (encode(r#"{"alg":"ES256","kid":"k"}"#), encode(r#"{"iss":"x"}"#));
        let read = |text: &str| Token::read(text).map(|token| token.algorithm);
        assert_eq!(read(&format!("{header}.{claims}.AAAA")), Ok(Algorithm::Es256));
        // The second spelling of the signature has bits left over.
        for signature in ["AAA=", "AAB", "A", "A+/A", "AA AA"] {
            assert_eq!(read(&format!("{header}.{claims}.{signature}")), Err(Flaw::Shape), "{signature}");
        }
        let twice = encode(r#"{"alg":"ES256","alg":"RS256"}"#);
        assert_eq!(read(&format!("{twice}.{claims}.AAAA")), Err(Flaw::Shape));
        let long = "A".repeat(LONGEST);
        assert_eq!(read(&format!("{header}.{long}.AAAA")), Err(Flaw::TooLong));
    }
}
