//! Logins that were renewed: whoever presents a new token of their provider keeps the sessions that the old one opened.
//!
//! Promises: a session goes on only on a newer login of the very same person, with the same user, groups and claims, so
//! what it was judged by is still true; the newest login alone counts, so whoever lost a group keeps no session that had
//! it; it goes on until that login runs out or is revoked; what was revoked before it stays revoked. Entries are in the
//! store, for every gateway of it, and one that cannot be read renews nothing. Does not promise to bring back a session
//! that has ended: the new token is to come before the old one runs out.
//! Held by: `tests/renewals.rs`. Why it is not taken inside a session: `docs/decisions/0021`.

use crate::Authenticated;
use crate::error::IdentityError;
use crate::oidc::revoked::person;
use bytes::Bytes;
use jiff::Timestamp;
use portcullis_model::{CredentialKind, Principal};
use portcullis_store::{Expect, Put, StoreError, Table, Versioned};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Under which they are kept.
pub(crate) const KEYS: &[u8] = b"oidc-renewed/";

/// How often a change is tried again when another one came first.
const TRIES: usize = 16;

/// A person's newest login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    principal: Principal,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
}

impl Login {
    /// The login of a caller who proved it.
    ///
    /// # Errors
    /// Where the caller is not from a provider, or the login is over.
    pub(crate) fn of(by: &Authenticated, now: Timestamp) -> Result<Self, IdentityError> {
        let invalid = |why: &str| Err(IdentityError::Invalid(why.to_owned()));
        let (CredentialKind::Oidc, Some(issued), Some(expires)) = (&by.principal.credential, by.issued, by.expires)
        else {
            return invalid("only a token of an identity provider renews the sessions of another");
        };
        if now >= expires {
            return invalid("this login ran out: log in again");
        }
        Ok(Self { principal: by.principal.clone(), issued, expires })
    }

    /// Whether what this session was opened as is still what its person is.
    fn renews(&self, session: &Authenticated) -> bool {
        let of = |one: &Principal| one.issuer == self.principal.issuer && one.subject == self.principal.subject;
        // The maker of a certificate of a login is that login.
        self.principal.differs_in_credential_only(&session.principal) && session.makers.iter().all(of)
    }

    fn read(versioned: &Versioned) -> Option<Self> {
        serde_json::from_slice(&versioned.value).ok()
    }
}

fn key_of(principal: &Principal) -> Bytes {
    [KEYS, person(&principal.issuer, &principal.subject).to_string().as_bytes()].concat().into()
}

/// Keeps this login as its person's newest; the one that is kept then.
pub(crate) async fn keep(table: &dyn Table, login: Login) -> Result<Login, IdentityError> {
    let key = key_of(&login.principal);
    for _ in 0..TRIES {
        let found = table.get(&key).await?;
        if let Some(newest) = found.as_ref().and_then(Login::read).filter(|kept| kept.issued >= login.issued) {
            return Ok(newest);
        }
        let expect = found.map_or(Expect::Absent, |versioned| Expect::Version(versioned.version));
        let json = serde_json::to_vec(&login).map_err(|error| StoreError::Damaged(error.to_string()))?;
        match table.put(key.clone(), json.into(), expect, Some(login.expires)).await? {
            Put::Done(_) => return Ok(login),
            Put::Conflict => {}
        }
    }
    Err(StoreError::Unavailable("the login keeps changing".to_owned()).into())
}

/// Everybody's newest login, as every session can ask once its own has run out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Renewed(HashMap<Bytes, Login>);

impl Renewed {
    /// The login on which this session goes on.
    pub(crate) fn login_of(&self, session: &Authenticated, now: Timestamp) -> Option<&Login> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&key_of(&session.principal)).filter(|login| now < login.expires && login.renews(session))
    }

    /// Takes what the store says of one of them.
    pub(crate) fn take(&mut self, key: &Bytes, value: Option<&Versioned>) {
        match value.and_then(Login::read) {
            Some(login) => self.put(key.clone(), login),
            None => drop(self.0.remove(key)),
        }
    }

    /// Takes what was just kept, ahead of the store's own word of it.
    pub(crate) fn add(&mut self, login: Login) {
        self.put(key_of(&login.principal), login);
    }

    fn put(&mut self, key: Bytes, login: Login) {
        let newest = self.0.get(&key).is_none_or(|kept| kept.issued <= login.issued);
        if newest {
            self.0.insert(key, login);
        }
    }

    /// Forgets those that ran out.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        self.0.retain(|_, login| now < login.expires);
    }
}
