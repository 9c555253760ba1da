//! Tokens in the store: make, judge, list, revoke.
//!
//! Promises: a token is judged against what the store holds at that moment; every check is made whatever an earlier one
//! said, so that reasons take the same time; a revocation is a change of the kept record under its version, so it cannot
//! be lost to a change made at the same time. A token goes with the logins of whoever made it, or made its maker's token,
//! and with every token that it or its maker's was made with: nobody keeps a door open behind a revocation. Does not
//! promise anything about rate: that is `attempts`.
//! Held by: `tests.rs`, `tests/makers.rs` and `tests/oidc.rs`.

use crate::error::{IdentityError, Why};
use crate::key::TokenKey;
use crate::oidc::revoked;
use crate::record::{LONGEST_LIFE, NewToken, Stored, StoredRevocation, TokenInfo};
use crate::text::{self, Presented, SecretHash};
use crate::{Authenticated, Extensions, RESERVED_USER, scram};
use bytes::Bytes;
use jiff::Timestamp;
use portcullis_model::{CredentialKind, Digest, Principal, TokenId};
use portcullis_store::{Expect, Put, StoreError, Table, Versioned};
use secrecy::SecretString;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(crate) const KEYS: &[u8] = b"token/";

/// Kept so long after it ran out, so that the record can say "expired" rather than "unknown", and as long as anything
/// made with it can live: a maker's token that is not kept was deleted.
const KEPT_AFTER: Duration = LONGEST_LIFE;

/// Makers of makers beyond this are not kept; nobody makes tokens with tokens with tokens that deep.
const MOST_MAKERS: usize = 16;

/// How often a change is tried again when another one came first.
const TRIES: usize = 16;

/// A token just made.
#[derive(Debug)]
pub struct MadeToken {
    /// Its identifier.
    pub id: TokenId,
    /// Its text: shown once, kept nowhere.
    pub text: SecretString,
    /// When it runs out.
    pub expires: Timestamp,
}

/// What became of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// It is revoked now.
    Revoked {
        /// When it would have run out.
        expires: Timestamp,
    },
    /// It was revoked before.
    AlreadyRevoked {
        /// When it would have run out.
        expires: Timestamp,
    },
    /// No such token is kept.
    Unknown,
}

pub(crate) fn key_of(id: TokenId) -> Bytes {
    [KEYS, id.to_string().as_bytes()].concat().into()
}

pub(crate) fn id_of(key: &[u8]) -> Option<TokenId> {
    std::str::from_utf8(key.strip_prefix(KEYS)?).ok()?.parse().ok()
}

pub(crate) fn decode(id: TokenId, versioned: &Versioned) -> Result<Stored, IdentityError> {
    serde_json::from_slice(&versioned.value).map_err(|_| IdentityError::Damaged(id))
}

fn encode(stored: &Stored) -> Result<Bytes, IdentityError> {
    let json = serde_json::to_vec(stored).map_err(|error| StoreError::Damaged(error.to_string()))?;
    Ok(json.into())
}

pub(crate) fn kept_until(expires: Timestamp) -> Timestamp {
    expires.checked_add(KEPT_AFTER).unwrap_or(Timestamp::MAX)
}

/// The principal without what does not tell who it is.
pub(crate) fn person(principal: &Principal) -> Principal {
    Principal { groups: BTreeSet::new(), claims: BTreeMap::new(), ..principal.clone() }
}

pub(crate) async fn create(
    table: &dyn Table,
    key: &TokenKey,
    request: NewToken,
    by: &Authenticated,
    now: Timestamp,
) -> Result<MadeToken, IdentityError> {
    let expires = request.check(now)?;
    let id = TokenId::new();
    let (text, hash) = text::make(key, id);
    let mut makers = vec![person(&by.principal)];
    makers.extend(by.makers.iter().map(person));
    if makers.len() > MOST_MAKERS {
        return Err(IdentityError::Invalid("tokens made with tokens go no deeper".to_owned()));
    }
    // Before the record: an entry that leads to nothing is harmless.
    scram::keep(table, key, &request.user, (id, &text, hash), expires).await?;
    let stored = Stored {
        hash: Digest::from_bytes(hash.0),
        user: request.user,
        groups: request.groups,
        claims: request.claims,
        created: now,
        expires,
        makers,
        revoked: None,
        certificate: None,
    };
    keep(table, id, &stored).await?;
    Ok(MadeToken { id, text, expires })
}

/// Puts a new record into the store.
pub(crate) async fn keep(table: &dyn Table, id: TokenId, stored: &Stored) -> Result<(), IdentityError> {
    match table.put(key_of(id), encode(stored)?, Expect::Absent, Some(kept_until(stored.expires))).await? {
        Put::Done(_) => Ok(()),
        Put::Conflict => Err(StoreError::Unavailable("a fresh token identifier was taken".to_owned()).into()),
    }
}

pub(crate) async fn judge(
    table: &dyn Table,
    key: &TokenKey,
    token: &SecretString,
    claimed_user: Option<&str>,
    now: Timestamp,
) -> Result<Authenticated, Why> {
    let presented = text::read(key, token).ok_or(Why::NotOurs)?;
    judge_presented(table, &presented, claimed_user, now).await
}

/// Judges what was shown to be a token of this gateway, by its text or by a proof made with it.
pub(crate) async fn judge_presented(
    table: &dyn Table,
    presented: &Presented,
    claimed_user: Option<&str>,
    now: Timestamp,
) -> Result<Authenticated, Why> {
    let found = table.get(&key_of(presented.id)).await.map_err(|_| Why::Unavailable)?;
    let stored = match &found {
        Some(versioned) => decode(presented.id, versioned).map_err(|_| Why::Unavailable)?,
        None => return Err(Why::Unknown),
    };
    // What is kept with a certificate is no hash of a secret.
    let matches = bool::from(SecretHash(*stored.hash.as_bytes()).matches(&presented.hash));
    let genuine = matches && stored.certificate.is_none();
    let expired = now >= stored.expires;
    let revoked = stored.revoked.is_some();
    let named = claimed_user.is_none_or(|user| user == RESERVED_USER || user == &*stored.user);
    let why = match (genuine, revoked, expired, named) {
        (false, ..) => Why::WrongSecret,
        (true, true, ..) => Why::Revoked,
        (true, false, true, _) => Why::Expired,
        (true, false, false, false) => Why::WrongUser,
        (true, false, false, true) => {
            if made_by_revoked(table, &stored).await? {
                return Err(Why::MakerRevoked);
            }
            return Ok(Authenticated {
                principal: stored.principal(presented.id),
                expires: Some(stored.expires),
                issued: Some(stored.created),
                interactive: None,
                makers: stored.makers,
                extensions: Extensions::all(),
                shown_key: None,
            });
        }
    };
    Err(why)
}

/// Whether any of its makers was revoked after it was made, at their provider or by the token that they used; one that ran
/// out was not. Only a token whose secret is right comes so far, so nobody learns from the time that this takes.
pub(crate) async fn made_by_revoked(table: &dyn Table, stored: &Stored) -> Result<bool, Why> {
    for maker in &stored.makers {
        let revoked = match &maker.credential {
            CredentialKind::Oidc => revoked::is_kept(table, maker, stored.created).await?,
            CredentialKind::Token(id) => is_revoked(table, *id).await?,
            CredentialKind::Saml
            | CredentialKind::SshKey(_)
            | CredentialKind::SshCertificate(_)
            | CredentialKind::LocalAdmin => false,
        };
        if revoked {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a maker's token was revoked. One that is gone was deleted, since it is kept as long as what it made can live.
async fn is_revoked(table: &dyn Table, id: TokenId) -> Result<bool, Why> {
    let found = table.get(&key_of(id)).await.map_err(|_| Why::Unavailable)?;
    let Some(versioned) = found else { return Ok(true) };
    decode(id, &versioned).map(|stored| stored.revoked.is_some()).map_err(|_| Why::Unavailable)
}

pub(crate) async fn list(table: &dyn Table) -> Result<Vec<TokenInfo>, IdentityError> {
    let mut tokens = Vec::new();
    for (key, versioned) in table.scan(KEYS).await? {
        let Some(id) = id_of(&key) else {
            return Err(StoreError::Damaged("a key under `token/` is no token identifier".to_owned()).into());
        };
        tokens.push(decode(id, &versioned)?.info(id));
    }
    tokens.sort_by_key(|token| (token.created, token.id));
    Ok(tokens)
}

pub(crate) async fn revoke(
    table: &dyn Table,
    id: TokenId,
    by: &Authenticated,
    now: Timestamp,
) -> Result<Revocation, IdentityError> {
    for _ in 0..TRIES {
        let Some(versioned) = table.get(&key_of(id)).await? else { return Ok(Revocation::Unknown) };
        let mut stored = decode(id, &versioned)?;
        let expires = stored.expires;
        if stored.revoked.is_some() {
            return Ok(Revocation::AlreadyRevoked { expires });
        }
        stored.revoked = Some(StoredRevocation { at: now, by: by.principal.user.clone() });
        let put =
            table.put(key_of(id), encode(&stored)?, Expect::Version(versioned.version), Some(kept_until(expires)));
        match put.await? {
            Put::Done(_) => return Ok(Revocation::Revoked { expires }),
            Put::Conflict => {}
        }
    }
    Err(StoreError::Unavailable("the token keeps changing".to_owned()).into())
}
