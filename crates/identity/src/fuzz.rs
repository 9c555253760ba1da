//! Tokens, and what a store gives back of them, under arbitrary bytes.
//!
//! Promises: [`fuzz_token`] fails where any text but the one that was made is read as a token, also one that differs
//! from it in a few bytes; [`fuzz_stored`] fails where what was read as a token's record cannot be kept again, or where
//! one that cannot be read does not count as revoked. Does not promise to guess signatures.
//! Held by: the tests in `text.rs`, and the fuzz targets `identity_token` and `identity_stored`.

use crate::key::TokenKey;
use crate::record::Stored;
use crate::{revocations, text, tokens};
use bytes::Bytes;
use portcullis_model::TokenId;
use portcullis_store::Versioned;
use secrecy::{ExposeSecret as _, SecretString};
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
