//! What is asked for when a token is made, what is kept of it, and what a listing shows.
//!
//! Promises: a request is checked whole before anything is made; nothing that is kept or shown can be turned back into a
//! token. Held by: the tests in `tests.rs`.

use crate::error::IdentityError;
use crate::{RESERVED_USER, TOKEN_ISSUER};
use jiff::Timestamp;
use portcullis_model::{CredentialKind, Principal, TokenId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const DEFAULT_LIFE: Duration = Duration::from_secs(60 * 60);
pub(crate) const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
const SHORTEST_LIFE: Duration = Duration::from_secs(1);
const LONGEST_NAME: usize = 128;
const MOST_NAMES: usize = 64;

/// A request for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// For whom; not [`RESERVED_USER`].
    pub user: Arc<str>,
    /// With these groups.
    pub groups: BTreeSet<Arc<str>>,
    /// With these claims.
    pub claims: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// For how long: one hour where not said, at most 24.
    pub ttl: Option<Duration>,
}

impl NewToken {
    /// For this user, in no group, for an hour.
    #[must_use]
    pub fn for_user(user: impl Into<Arc<str>>) -> Self {
        Self { user: user.into(), groups: BTreeSet::new(), claims: BTreeMap::new(), ttl: None }
    }

    /// The same in this group too.
    #[must_use]
    pub fn in_group(mut self, group: impl Into<Arc<str>>) -> Self {
        self.groups.insert(group.into());
        self
    }

    /// The same for so long.
    #[must_use]
    pub const fn lasting(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// When it would run out, if it can be made at all.
    pub(crate) fn check(&self, now: Timestamp) -> Result<Timestamp, IdentityError> {
        name("user", &self.user)?;
        if self.user.eq_ignore_ascii_case(RESERVED_USER) {
            return Err(IdentityError::Invalid(format!("`{RESERVED_USER}` is reserved: choose another user name")));
        }
        many("groups", self.groups.len())?;
        many("claims", self.claims.len())?;
        for group in &self.groups {
            name("group", group)?;
        }
        for (claim, values) in &self.claims {
            name("claim", claim)?;
            many("values of a claim", values.len())?;
            for value in values {
                name("claim value", value)?;
            }
        }
        let life = self.ttl.unwrap_or(DEFAULT_LIFE);
        if !(SHORTEST_LIFE..=LONGEST_LIFE).contains(&life) {
            return Err(IdentityError::Invalid("a token lasts at least 1s and at most 24h".to_owned()));
        }
        now.checked_add(life).map_err(|_| IdentityError::Invalid("the clock is out of range".to_owned()))
    }
}

pub(crate) fn name(what: &str, text: &str) -> Result<(), IdentityError> {
    if text.is_empty() || text.chars().count() > LONGEST_NAME {
        return Err(IdentityError::Invalid(format!("a {what} has 1 to {LONGEST_NAME} characters")));
    }
    if text.chars().any(char::is_control) || text.trim() != text {
        return Err(IdentityError::Invalid(format!(
            "a {what} has no control characters and no spaces around it: {text:?}"
        )));
    }
    Ok(())
}

fn many(what: &str, count: usize) -> Result<(), IdentityError> {
    if count > MOST_NAMES {
        return Err(IdentityError::Invalid(format!("a token has at most {MOST_NAMES} {what}")));
    }
    Ok(())
}

/// A token as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenInfo {
    /// Its identifier.
    pub id: TokenId,
    /// Whose it is.
    pub user: Arc<str>,
    /// With these groups.
    pub groups: BTreeSet<Arc<str>>,
    /// With these claims.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: Arc<str>,
    /// When it runs out.
    pub expires: Timestamp,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// Who revoked it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<Arc<str>>,
    /// Set where it is no token but an SSH certificate of a login: the fingerprint of its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_key: Option<Arc<str>>,
}

/// What is kept of a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    /// The keyed hash of its secret, as hexadecimal digits; of a certificate, its digest.
    pub(crate) hash: portcullis_model::Digest,
    pub(crate) user: Arc<str>,
    pub(crate) groups: BTreeSet<Arc<str>>,
    #[serde(default)]
    pub(crate) claims: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
    /// Its maker first, then whoever made the maker's token, and so on.
    pub(crate) makers: Vec<Principal>,
    #[serde(default)]
    pub(crate) revoked: Option<StoredRevocation>,
    /// Set where it is the record of an SSH certificate: no text is a token of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<StoredCertificate>,
}

/// What is kept of an SSH certificate of a login besides what is kept of a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredCertificate {
    /// The fingerprint of its key.
    pub(crate) key: Arc<str>,
    /// The provider of the login.
    pub(crate) issuer: Arc<str>,
    /// Who it is there.
    pub(crate) subject: Arc<str>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredRevocation {
    pub(crate) at: Timestamp,
    pub(crate) by: Arc<str>,
}

impl Stored {
    pub(crate) fn principal(&self, id: TokenId) -> Principal {
        let (issuer, subject) = match &self.certificate {
            Some(login) => (Arc::clone(&login.issuer), Arc::clone(&login.subject)),
            None => (TOKEN_ISSUER.into(), Arc::clone(&self.user)),
        };
        Principal {
            issuer,
            subject,
            user: Arc::clone(&self.user),
            groups: self.groups.clone(),
            claims: self.claims.clone(),
            credential: CredentialKind::Token(id),
        }
    }

    pub(crate) fn info(self, id: TokenId) -> TokenInfo {
        let created_by = self.makers.first().map_or_else(|| "?".into(), |maker| Arc::clone(&maker.user));
        let (revoked, revoked_by) = self.revoked.map_or((None, None), |r| (Some(r.at), Some(r.by)));
        TokenInfo {
            id,
            user: self.user,
            groups: self.groups,
            claims: self.claims,
            created: self.created,
            created_by,
            expires: self.expires,
            revoked,
            revoked_by,
            ssh_key: self.certificate.map(|certificate| certificate.key),
        }
    }
}
