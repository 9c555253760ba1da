//! Tokens and key sets of providers under arbitrary bytes.
//!
//! Promises: [`fuzz_oidc`] fails where any text but the one that was signed is accepted, also one that differs from it in a
//! few bytes; where signed claims name a user that nobody may be, or count when they must not; or where a key set made of
//! these bytes verifies what it did not sign. Does not promise to guess signatures.
//! Held by: the tests below and the fuzz target `identity_oidc`.

use super::keys::Keys;
use super::token::Token;
use super::{Flaw, Issuer, claims, json};
use crate::RESERVED_USER;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::LazyLock;

pub(crate) const ISSUER: &str = "https://idp.example";
pub(crate) const AUDIENCE: &str = "portcullis";
const SIGNED_AT: i64 = 1_800_000_000;

/// Signs as a provider does.
pub(crate) struct Forge {
    key: SigningKey,
    id: &'static str,
}

impl Forge {
    pub(crate) fn new(id: &'static str) -> Self {
        let mut secret = [0; 32];
        rand::fill(&mut secret);
        Self { key: SigningKey::from_bytes(&secret), id }
    }

    pub(crate) fn public(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes());
        json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.id, "x": x})
    }

    pub(crate) fn set(&self) -> String {
        json!({"keys": [self.public()]}).to_string()
    }

    /// A token with these claims, as they are written.
    pub(crate) fn sign(&self, claims: &[u8]) -> String {
        let header = json!({"alg": "EdDSA", "kid": self.id, "typ": "JWT"}).to_string();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()).to_bytes());
        format!("{signed}.{signature}")
    }
}

struct Signed {
    forge: Forge,
    keys: Keys,
    issuer: Issuer,
    other: Issuer,
    token: String,
}

static SIGNED: LazyLock<Signed> = LazyLock::new(|| {
    let forge = Forge::new("k1");
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "agent-7", "groups": ["agents"], "iat": SIGNED_AT, "exp": SIGNED_AT + 600,
    });
    let token = forge.sign(claims.to_string().as_bytes());
    let keys = Keys::read(forge.set().as_bytes()).unwrap_or_default();
    let mut issuer = Issuer::new(ISSUER, AUDIENCE);
    issuer.groups_claim = Some("groups".into());
    let mut other = Issuer::new("https://other.example", AUDIENCE);
    (other.user_prefix, other.groups_prefix) = (Some("other:".into()), Some("other:".into()));
    Signed { forge, keys, issuer, other, token }
});

impl Signed {
    fn judge(&self, keys: &Keys, text: &str, second: i64) -> Result<claims::Named, Flaw> {
        let now = Timestamp::from_second(second).map_err(|_| Flaw::Time)?;
        let token = Token::read(text)?;
        let key = keys.find(token.algorithm, token.key_id.as_deref()).ok_or(Flaw::UnknownKey)?;
        key.verify(&token)?;
        claims::judge(&token, &self.issuer, std::iter::once(&self.other), now)
    }
}

/// Reads arbitrary bytes as a token, as a good token with these bytes in it (the first three say where and instead of how
/// much), as claims that the provider signed, and as its key set.
#[doc(hidden)]
pub fn fuzz_oidc(bytes: &[u8]) {
    let signed = &*SIGNED;
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(signed.judge(&signed.keys, text, SIGNED_AT).is_err(), "a token that nobody signed was accepted");
    }
    if let [high, low, length, put @ ..] = bytes
        && let Ok(put) = std::str::from_utf8(put)
    {
        let whole = signed.token.as_str();
        let at = usize::from(u16::from_be_bytes([*high, *low])) % (whole.len() + 1);
        let end = (at + usize::from(*length)).min(whole.len());
        let changed = [whole.get(..at), Some(put), whole.get(end..)].map(Option::unwrap_or_default).concat();
        let accepted = signed.judge(&signed.keys, &changed, SIGNED_AT);
        assert_eq!(accepted.is_ok(), changed == whole, "a changed token was accepted, or the good one was not");
    }
    if let Ok(named) = signed.judge(&signed.keys, &signed.forge.sign(bytes), SIGNED_AT) {
        let claims = json::object(bytes).unwrap_or_default();
        let user = named.principal.user.to_lowercase();
        assert!(claims.get("iss").is_some_and(|issuer| issuer == ISSUER), "it is another issuer's");
        assert!(user != RESERVED_USER && !user.is_empty() && !user.starts_with("other:"), "it names {user:?}");
        assert!(named.principal.groups.iter().all(|group| !group.starts_with("other:")), "it is in another's group");
        assert!(
            named.expires.as_second() > SIGNED_AT && named.interactive.is_none_or(|at| at.as_second() <= SIGNED_AT)
        );
    }
    if let Some(keys) = Keys::read(bytes) {
        let verified = signed.judge(&keys, &signed.token, SIGNED_AT).is_ok();
        assert!(!verified || bytes == signed.forge.set().as_bytes(), "keys of nobody verified it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_good_token_is_accepted_until_it_runs_out() {
        let signed = &*SIGNED;
        let named = signed.judge(&signed.keys, &signed.token, SIGNED_AT).unwrap();
        assert_eq!((&*named.principal.user, &*named.principal.subject), ("agent-7", "agent-7"));
        assert_eq!(signed.judge(&signed.keys, &signed.token, SIGNED_AT + 599).map(|named| named.interactive), Ok(None));
        for (second, flaw) in [(SIGNED_AT + 600, Flaw::Expired), (SIGNED_AT - 61, Flaw::NotYetValid)] {
            assert_eq!(signed.judge(&signed.keys, &signed.token, second).map(|named| named.expires), Err(flaw));
        }
        let again = Keys::read(signed.forge.set().as_bytes()).unwrap();
        assert!(signed.judge(&again, &signed.token, SIGNED_AT - 60).is_ok());
    }

    /// Every place, and every other character that the alphabet of tokens has.
    #[test]
    fn no_token_that_differs_in_one_character_is_accepted() {
        let signed = &*SIGNED;
        let (whole, alphabet) =
            (&signed.token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ");
        for at in 0..whole.len() {
            assert!(signed.judge(&signed.keys, &format!("{}{}", &whole[..at], &whole[at + 1..]), SIGNED_AT).is_err());
            for put in alphabet.chars().filter(|put| !whole[at..].starts_with(*put)) {
                let changed = format!("{}{put}{}", &whole[..at], &whole[at + 1..]);
                assert!(signed.judge(&signed.keys, &changed, SIGNED_AT).is_err(), "{put} at {at}");
            }
        }
    }

    fn claims() -> impl Strategy<Value = String> {
        let value = prop_oneof![
            Just(json!(ISSUER)),
            Just(json!(AUDIENCE)),
            Just(json!([AUDIENCE, "b"])),
            Just(json!(SIGNED_AT)),
            Just(json!(SIGNED_AT + 60)),
            Just(json!("token")),
            Just(json!("other:x")),
            Just(json!(["other:x", "a"])),
            Just(json!({"a": {"b": "c"}})),
            "[a-z:\\n ]{0,8}".prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
        ];
        let names = prop::sample::select(vec![
            "sub",
            "groups",
            "azp",
            "auth_time",
            "nbf",
            "exp",
            "iat",
            "aud",
            "typ",
            "a.b",
            "a",
        ]);
        prop::collection::btree_map(names, value, 0..5).prop_map(|changes| {
            let mut claims =
                json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "s", "iat": SIGNED_AT, "exp": SIGNED_AT + 60});
            if let Some(members) = claims.as_object_mut() {
                members.extend(changes.into_iter().map(|(name, value)| (name.to_owned(), value)));
            }
            claims.to_string()
        })
    }

    proptest! {
        #[test]
        fn signed_claims_never_name_whom_they_must_not(claims in claims()) {
            fuzz_oidc(claims.as_bytes());
        }

        #[test]
        fn any_bytes_at_any_place_make_no_token(bytes in prop::collection::vec(any::<u8>(), 0..16)) {
            fuzz_oidc(&bytes);
        }
    }
}
