//! Tokens, and what a store gives back of them, under arbitrary bytes.
//!
//! Promises: [`fuzz_token`] fails where any text but the one that was made is read as a token, also one that differs
//! from it in a few bytes; [`fuzz_certificate`] fails where any certificate is accepted but the one that was signed, or
//! that one under a user, from an address or at a time that it is not good for; [`fuzz_stored`] fails where what was read as a token's record cannot be kept again, or where
//! one that cannot be read does not count as revoked. Does not promise to guess signatures.
//! Held by: the tests in `text.rs` and `tests/ssh.rs`, and the fuzz targets `identity_token`, `identity_certificate` and
//! `identity_stored`.

use crate::key::TokenKey;
use crate::record::Stored;
use crate::ssh::SshTrust;
use crate::{revocations, text, tokens};
use bytes::Bytes;
use jiff::Timestamp;
use portcullis_model::TokenId;
use portcullis_store::Versioned;
use secrecy::{ExposeSecret as _, SecretString};
use ssh_key::certificate::{Builder, Certificate};
use ssh_key::{Algorithm, PrivateKey};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

static MADE: LazyLock<(TokenKey, SecretString)> = LazyLock::new(|| {
    let key = TokenKey::generate();
    let made = text::make(&key, TokenId::new()).0;
    (key, made)
});

/// Reads arbitrary bytes as a token, and a token with these bytes in it: the first two say where and instead of how
/// much. Nothing but this crate's own tokens may be read as one.
#[doc(hidden)]
pub fn fuzz_token(bytes: &[u8]) {
    let (key, made) = &*MADE;
    let whole = std::str::from_utf8(bytes).ok().and_then(|text| text::read(key, &SecretString::from(text)));
    assert!(whole.is_none(), "a token that nobody signed was read");
    let [at, length, put @ ..] = bytes else { return };
    let (Ok(put), made) = (std::str::from_utf8(put), made.expose_secret()) else { return };
    let at = usize::from(*at).min(made.len());
    let end = (at + usize::from(*length)).min(made.len());
    let changed = [made.get(..at), Some(put), made.get(end..)].map(Option::unwrap_or_default).concat();
    let same = changed == made;
    let read = text::read(key, &SecretString::from(changed));
    assert_eq!(read.is_some(), same, "another spelling of a token was read, or a token was not");
}

const SIGNED_AT: u64 = 1_800_000_000;
const SIGNED_FOR: &str = "agent-7";
const GOOD_FOR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// An authority's trust, and a certificate of it.
static SIGNED: LazyLock<Option<(SshTrust, Certificate)>> = LazyLock::new(|| {
    let random = || PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519);
    let (authority, key) = (random().ok()?, random().ok()?);
    let mut trust = SshTrust::default();
    trust.trust(authority.public_key()).ok()?;
    let nonce = [7; 16];
    let mut made = Builder::new(nonce, key.public_key().key_data().clone(), SIGNED_AT, SIGNED_AT + 600).ok()?;
    made.valid_principal(SIGNED_FOR).ok()?;
    made.critical_option("source-address", "192.0.2.0/24").ok()?;
    made.extension("permit-pty", "").ok()?;
    Some((trust, made.sign(&authority).ok()?))
});

/// Reads arbitrary bytes as a certificate, and a certificate with these bytes in it: the first two say where (in parts
/// of its length) and instead of how much. Nothing but the certificate that was signed may be accepted.
#[doc(hidden)]
pub fn fuzz_certificate(bytes: &[u8]) {
    let Some((trust, made)) = &*SIGNED else { return };
    assert_accepted(trust, made, bytes);
    let (Ok(signed), [at, length, put @ ..]) = (made.to_bytes(), bytes) else { return };
    let at = signed.len() * usize::from(*at) / 256;
    let end = (at + usize::from(*length)).min(signed.len());
    let changed = [signed.get(..at), Some(put), signed.get(end..)].map(Option::unwrap_or_default).concat();
    assert_accepted(trust, made, &changed);
    assert_accepted(trust, made, &signed);
}

fn assert_accepted(trust: &SshTrust, made: &Certificate, bytes: &[u8]) {
    let Ok(read) = Certificate::from_bytes(bytes) else { return };
    let judge = |user, from, second: u64| {
        let now = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok())?;
        trust.judge_certificate(&read, user, from, now).ok()
    };
    let accepted = judge(None, GOOD_FOR, SIGNED_AT + 1);
    assert_eq!(accepted.is_some(), read == *made, "a certificate that nobody signed was accepted, or one was not");
    assert!(accepted.is_none_or(|accepted| &*accepted.principal.user == SIGNED_FOR), "it names somebody else");
    let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 3, 1));
    for (user, from, second) in [
        (Some("agent-8"), GOOD_FOR, SIGNED_AT + 1),
        (None, elsewhere, SIGNED_AT + 1),
        (None, GOOD_FOR, SIGNED_AT - 1),
        (None, GOOD_FOR, SIGNED_AT + 600),
    ] {
        assert!(judge(user, from, second).is_none(), "accepted as {user:?} from {from} at {second}");
    }
}

/// Reads arbitrary bytes as what is kept of a token.
#[doc(hidden)]
pub fn fuzz_stored(bytes: &[u8]) {
    let id = TokenId::new();
    let versioned = Versioned { value: Bytes::copy_from_slice(bytes), version: 1, expires: None };
    let Ok(stored) = tokens::decode(id, &versioned) else {
        assert!(revocations::revoked_until(id, &versioned).is_some(), "a token that cannot be read counts as good");
        return;
    };
    let again = serde_json::to_vec(&stored).ok().and_then(|json| serde_json::from_slice::<Stored>(&json).ok());
    assert!(again.is_some_and(|again| again.principal(id) == stored.principal(id)), "kept again it is another");
    assert_eq!(revocations::revoked_until(id, &versioned).is_some(), stored.revoked.is_some());
    let made_out = stored.clone().info(id);
    assert_eq!((&made_out.user, made_out.expires), (&stored.user, stored.expires));
}
