//! SCRAM-SHA-256 for the tokens of this gateway (RFC 5802, RFC 7677): the token is the password, and never arrives.
//!
//! Promises: the challenge is the same for every token of a user, and made in the same way for users who do not exist, so
//! that it tells nobody apart; it asks no store. Every token has, beside its record, what it takes to check an answer
//! made with it, under a key that leads from the user to it, so that no exchange reads through the tokens of others; that
//! entry is written before the record and is worth nothing without it, so a token is never without it and an entry left
//! over opens nothing. All live tokens of the user are tried in the same time, compared in constant time, and the one that
//! answers is judged as if it had been presented ([`tokens::judge_presented`](crate::tokens::judge_presented)).
//!
//! Does not promise: that tokens beyond the [`MOST`] newest of a user can be used so, nor those made before these entries
//! were kept; both work as a password. What is kept is as secret as `token.key`: who has it can pose as this gateway.
//! Held by: the vector of RFC 7677 below, and `tests/scram.rs`.

use crate::error::{IdentityError, Why};
use crate::key::TokenKey;
use crate::text::{Presented, SecretHash};
use crate::{Authenticated, tokens};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use portcullis_model::{Digest, TokenId};
use portcullis_store::{Expect, StoreError, Table};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, OnceLock};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

const KEYS: &[u8] = b"scram/";

/// PostgreSQL's own number. More would slow down everybody and no guesser: a token is 256 random bits.
const ITERATIONS: u32 = 4096;

/// The tokens of one user that can be used so.
pub(crate) const MOST: usize = 256;

/// What the server says first, besides its nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScramChallenge {
    /// The user's salt.
    pub salt: [u8; 16],
    /// The rounds of PBKDF2.
    pub iterations: u32,
}

/// A client's whole exchange, after the protocol has checked nonces and channel binding.
pub struct ScramProof {
    user: Arc<str>,
    transcript: Vec<u8>,
    proof: [u8; 32],
    signature: ServerSignature,
}

/// Where the answer to a [`ScramProof`] appears once its token was accepted.
#[derive(Clone, Default)]
pub struct ServerSignature(Arc<OnceLock<[u8; 32]>>);

impl ScramProof {
    /// What this user's client proved: the `AuthMessage` of RFC 5802 and the `ClientProof` over it.
    #[must_use]
    pub fn new(user: Arc<str>, transcript: Vec<u8>, proof: [u8; 32]) -> (Self, ServerSignature) {
        let signature = ServerSignature::default();
        (Self { user, transcript, proof, signature: signature.clone() }, signature)
    }
}

impl ServerSignature {
    /// What shows the client that this gateway knows its token; nothing unless that token was accepted.
    #[must_use]
    pub fn get(&self) -> Option<[u8; 32]> {
        self.0.get().copied()
    }
}

impl std::fmt::Debug for ScramProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScramProof").field("user", &self.user).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ServerSignature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerSignature(..)")
    }
}

/// What is kept beside a token's record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// As in the record: the two belong together.
    hash: Digest,
    stored_key: Digest,
    server_key: Digest,
}

pub(crate) fn challenge(key: &TokenKey, user: &str) -> ScramChallenge {
    let mut salt = [0; 16];
    for (to, from) in salt.iter_mut().zip(key.mac(b"portcullis scram salt v1\0", &[user.as_bytes()])) {
        *to = from;
    }
    ScramChallenge { salt, iterations: ITERATIONS }
}

/// Where the entries of a user begin. Of one length for all, so that no user's name is the beginning of another's.
fn prefix(key: &TokenKey, user: &str) -> Vec<u8> {
    let user = Digest::from_bytes(key.mac(b"portcullis scram user v1\0", &[user.as_bytes()]));
    [KEYS, user.to_string().as_bytes(), b"/"].concat()
}

/// Keeps what a token about to be made needs, as long as it lives.
pub(crate) async fn keep(
    table: &dyn Table,
    key: &TokenKey,
    user: &str,
    token: (TokenId, &SecretString, SecretHash),
    expires: Timestamp,
) -> Result<(), IdentityError> {
    let (id, text, hash) = token;
    let kept = Kept::of(text, hash, challenge(key, user));
    let value = serde_json::to_vec(&kept).map_err(|error| StoreError::Damaged(error.to_string()))?;
    let prefix = prefix(key, user);
    // Identifiers grow with time, so the oldest come first.
    let there = table.scan(&prefix).await?;
    let beyond = (there.len() + 1).saturating_sub(MOST);
    if beyond > 0 {
        tracing::warn!(user, "too many live tokens for SCRAM: the oldest work as passwords only");
    }
    for (oldest, _) in there.into_iter().take(beyond) {
        let _gone = table.delete(oldest, Expect::Any).await?;
    }
    let entry = Bytes::from([prefix.as_slice(), id.to_string().as_bytes()].concat());
    let _put = table.put(entry, value.into(), Expect::Any, Some(expires)).await?;
    Ok(())
}

pub(crate) async fn judge(
    table: &dyn Table,
    key: &TokenKey,
    shown: &ScramProof,
    now: Timestamp,
) -> Result<Authenticated, Why> {
    let prefix = prefix(key, &shown.user);
    let entries = table.scan(&prefix).await.map_err(|_| Why::Unavailable)?;
    let mut found = None;
    for (at, versioned) in entries.iter().rev().take(MOST) {
        let kept: Kept = serde_json::from_slice(&versioned.value).map_err(|_| Why::Unavailable)?;
        let id = at.strip_prefix(prefix.as_slice()).and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
        if bool::from(kept.answers(shown)) {
            found = Some((id.ok_or(Why::Unavailable)?, kept));
        }
    }
    let (id, kept) = found.ok_or(Why::NoScramToken)?;
    let presented = Presented { id, hash: SecretHash(*kept.hash.as_bytes()) };
    let authenticated = tokens::judge_presented(table, &presented, Some(&shown.user), now).await?;
    let signature = mac(kept.server_key.as_bytes(), &shown.transcript);
    // Set once: a proof is moved into its one judgement.
    let _first = shown.signature.0.set(signature);
    Ok(authenticated)
}

impl Kept {
    fn of(text: &SecretString, hash: SecretHash, challenge: ScramChallenge) -> Self {
        let salted = salted(text.expose_secret(), &challenge.salt, challenge.iterations);
        let client_key = Zeroizing::new(mac(&salted, b"Client Key"));
        Self {
            hash: Digest::from_bytes(hash.0),
            stored_key: Digest::of(client_key.as_slice()),
            server_key: Digest::from_bytes(mac(&salted, b"Server Key")),
        }
    }

    /// Whether the client that showed this has the token.
    fn answers(&self, shown: &ScramProof) -> Choice {
        let mut client_key = Zeroizing::new(mac(self.stored_key.as_bytes(), &shown.transcript));
        for (byte, shown) in client_key.iter_mut().zip(shown.proof) {
            *byte ^= shown;
        }
        let stored: [u8; 32] = Sha256::digest(client_key.as_slice()).into();
        stored.ct_eq(self.stored_key.as_bytes())
    }
}

fn salted(password: &str, salt: &[u8], iterations: u32) -> Zeroizing<[u8; 32]> {
    let mut salted = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, salted.as_mut_slice());
    salted
}

fn mac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    // A key of the hash's length always fits; a failure would give a MAC under the empty key, which matches nothing.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&[0; 64].into()));
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    /// RFC 7677, section 3.
    #[test]
    fn the_exchange_of_the_rfc() {
        let bytes = |text: &str| -> Vec<u8> { STANDARD.decode(text).unwrap() };
        let salt: [u8; 16] = bytes("W22ZaJ0SNY7soEsUEjb6gQ==").try_into().unwrap();
        let kept = Kept::of(&"pencil".into(), SecretHash([0; 32]), ScramChallenge { salt, iterations: 4096 });
        let transcript = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof: [u8; 32] = bytes("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").try_into().unwrap();
        let shown = |transcript: &str, proof| ScramProof::new("user".into(), transcript.into(), proof).0;
        assert!(bool::from(kept.answers(&shown(transcript, proof))));
        let signature = mac(kept.server_key.as_bytes(), transcript.as_bytes());
        assert_eq!(STANDARD.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        for at in 0..32 {
            let mut other = proof;
            other[at] ^= 1;
            assert!(!bool::from(kept.answers(&shown(transcript, other))), "{at}");
        }
        assert!(!bool::from(kept.answers(&shown(&transcript[1..], proof))));
    }

    #[test]
    fn a_users_salt_is_its_own_and_stays() {
        let key = TokenKey::generate();
        assert_eq!(challenge(&key, "a"), challenge(&key, "a"));
        let others = [challenge(&key, "b"), challenge(&key, ""), challenge(&TokenKey::generate(), "a")];
        assert!(others.iter().all(|other| *other != challenge(&key, "a")));
        assert!(!prefix(&key, "ab").starts_with(&prefix(&key, "a")));
        assert!(!format!("{:?}", ScramProof::new("a".into(), vec![77], [77; 32])).contains("77"));
    }
}
