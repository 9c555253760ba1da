//! Who was revoked at which provider: what is kept in the store, one entry for each person.
//!
//! Promises: no token of theirs that was issued before the revocation counts, here or at another gateway of the same
//! store, nor one that a provider whose clock runs ahead may have issued before it; so after a revocation a new login counts
//! once the clocks' skew has passed. A later revocation never lets an earlier one go. An entry is kept until the last token
//! that it is about has run out. While an entry cannot be read, whoever its key names is refused and stands nowhere, and
//! nobody else is. Does not promise to revoke at the provider, who may give out new tokens.
//! Held by: `tests/oidc.rs` beside `oidc.rs`.

use super::claims::SKEW;
use crate::error::{IdentityError, Why};
use crate::record::LONGEST_LIFE;
use bytes::Bytes;
use jiff::Timestamp;
use portcullis_model::{Digest, Principal};
use portcullis_store::{Expect, Put, StoreError, Table, Versioned};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Under which they are kept.
pub(crate) const KEYS: &[u8] = b"oidc-revoked/";

/// How often a change is tried again when another one came first.
const TRIES: usize = 16;

/// A person's entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    issuer: Arc<str>,
    subject: Arc<str>,
    /// Tokens from before this do not count.
    before: Timestamp,
    by: Arc<str>,
}

impl Entry {
    pub(crate) fn read(versioned: &Versioned) -> Option<Self> {
        serde_json::from_slice(&versioned.value).ok()
    }

    fn covers(&self, issued: Timestamp) -> bool {
        covers(self.before, issued)
    }
}

fn covers(before: Timestamp, issued: Timestamp) -> bool {
    before.checked_add(SKEW).is_ok_and(|end| issued < end)
}

/// When the last token that a revocation at `before` is about has run out.
fn kept_until(before: Timestamp) -> Timestamp {
    let end = before.checked_add(LONGEST_LIFE).and_then(|end| end.checked_add(SKEW.saturating_mul(2)));
    end.unwrap_or(Timestamp::MAX)
}

/// How keys of the store name a person.
pub(crate) fn person(issuer: &str, subject: &str) -> Digest {
    // The length tells where the one ends and the other begins.
    let length = u64::try_from(issuer.len()).unwrap_or(u64::MAX).to_be_bytes();
    Digest::of_parts(&[&length, issuer.as_bytes(), subject.as_bytes()])
}

fn key_of(issuer: &str, subject: &str) -> Bytes {
    [KEYS, person(issuer, subject).to_string().as_bytes()].concat().into()
}

/// Whether the store holds a revocation of this principal that is about a token issued then.
pub(crate) async fn is_kept(table: &dyn Table, principal: &Principal, issued: Timestamp) -> Result<bool, Why> {
    let found = table.get(&key_of(&principal.issuer, &principal.subject)).await.map_err(|_| Why::Unavailable)?;
    let Some(versioned) = found else { return Ok(false) };
    Entry::read(&versioned).map(|entry| entry.covers(issued)).ok_or(Why::Unavailable)
}

/// Revokes every token of this person issued until `now`.
pub(crate) async fn revoke(
    table: &dyn Table,
    issuer: &str,
    subject: &str,
    by: Arc<str>,
    now: Timestamp,
) -> Result<Entry, IdentityError> {
    let key = key_of(issuer, subject);
    let mut entry = Entry { issuer: issuer.into(), subject: subject.into(), before: now, by };
    for _ in 0..TRIES {
        let found = table.get(&key).await?;
        if let Some(earlier) = found.as_ref().and_then(Entry::read) {
            entry.before = now.max(earlier.before);
        }
        let expect = found.map_or(Expect::Absent, |versioned| Expect::Version(versioned.version));
        let json = serde_json::to_vec(&entry).map_err(|error| StoreError::Damaged(error.to_string()))?;
        match table.put(key.clone(), json.into(), expect, Some(kept_until(entry.before))).await? {
            Put::Done(_) => return Ok(entry),
            Put::Conflict => {}
        }
    }
    Err(StoreError::Unavailable("the revocation keeps changing".to_owned()).into())
}

/// Everybody revoked, as every session can ask at every command.
#[derive(Clone, Default)]
pub(crate) struct People {
    /// By subject, then by issuer, each with the time before which no token counts.
    revoked: HashMap<Arc<str>, HashMap<Arc<str>, Timestamp>>,
    /// The entries that cannot be read, by their keys, which tell whom they are about: those may be revoked.
    unread: HashSet<Bytes>,
}

/// What the store says of one entry.
pub(crate) enum Said {
    /// This.
    Entry(Entry),
    /// Nothing that can be read.
    Unreadable,
    /// That it went. This takes nothing back of what was read: its tokens ran out, or somebody deleted it.
    Gone,
}

impl Said {
    pub(crate) fn of(value: Option<&Versioned>) -> Self {
        value.map_or(Self::Gone, |versioned| Entry::read(versioned).map_or(Self::Unreadable, Self::Entry))
    }
}

impl People {
    pub(crate) fn holds(&self, principal: &Principal, issued: Option<Timestamp>) -> bool {
        let before = self.revoked.get(&principal.subject).and_then(|issuers| issuers.get(&principal.issuer));
        before.is_some_and(|before| issued.is_none_or(|issued| covers(*before, issued))) || self.may_hold(principal)
    }

    /// Whether every entry could be read.
    pub(crate) fn are_read(&self) -> bool {
        self.unread.is_empty()
    }

    /// Whether there is an entry about this principal that cannot be read.
    fn may_hold(&self, principal: &Principal) -> bool {
        !self.unread.is_empty() && self.unread.contains(&key_of(&principal.issuer, &principal.subject))
    }

    /// Takes what the store says of one of them; one that cannot be read counts against whom it is about
    /// until it can, or went.
    pub(crate) fn take(&mut self, key: &Bytes, said: &Said) {
        match said {
            Said::Entry(entry) => {
                self.unread.remove(key);
                self.add(entry);
            }
            Said::Unreadable => {
                self.unread.insert(key.clone());
            }
            Said::Gone => {
                self.unread.remove(key);
            }
        }
    }

    /// Those that cannot be read here and were not known of there.
    pub(crate) fn unread_beyond<'a>(&'a self, known: &'a Self) -> impl Iterator<Item = &'a Bytes> {
        self.unread.difference(&known.unread)
    }

    pub(crate) fn add(&mut self, entry: &Entry) {
        let issuers = self.revoked.entry(Arc::clone(&entry.subject)).or_default();
        let before = issuers.entry(Arc::clone(&entry.issuer)).or_insert(entry.before);
        *before = entry.before.max(*before);
    }

    /// Forgets those of whom no token lives any more.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        self.revoked.retain(|_, issuers| {
            issuers.retain(|_, before| kept_until(*before) > now);
            !issuers.is_empty()
        });
    }

    /// Keeps what was known of people; what is in the store may have run out in between, or been deleted. What cannot be
    /// read is only what the store holds now.
    pub(crate) fn join(&mut self, known: &Self) {
        for (subject, issuers) in &known.revoked {
            let into = self.revoked.entry(Arc::clone(subject)).or_default();
            for (issuer, known) in issuers {
                let before = into.entry(Arc::clone(issuer)).or_insert(*known);
                *before = (*known).max(*before);
            }
        }
    }
}
