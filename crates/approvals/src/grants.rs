//! The grants that are kept, as a snapshot that every session can ask when a rule would hold it.
//!
//! Promises: subscribed before it is first read, so no change falls between; a change that this gateway makes is in the
//! snapshot when the call returns; of two states of a grant the newer stays, whichever is heard of first; while changes
//! cannot be followed no grant counts. A grant that ended stays ended, and is kept for a day so that its end is told at
//! most once, by the gateway that it was given at, also after a restart. It ends at `until` whether anybody looks or not.
//! Held by: `grants/tests.rs`.

mod desk;

use crate::Core;
use crate::TRIES;
use crate::error::{DeskError, GrantError};
use crate::grant::Grant;
use crate::request::KEPT_DECIDED;
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use portcullis_model::{Connection, GrantId, Principal};
use portcullis_store::{Change, Expect, Put, StoreError, Table, Versioned};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const KEYS: &[u8] = b"grant/";

/// How long after the store's stream ended it is opened again.
const AGAIN: Duration = Duration::from_millis(250);

/// Why a grant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Its time was over.
    Time,
    /// Somebody revoked it.
    Revoked,
    /// The identity of whoever had it or gave it was revoked.
    Identity,
}

impl Ended {
    /// The word used in records and listings.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Revoked => "revoked",
            Self::Identity => "identity",
        }
    }
}

/// A grant as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantShown {
    /// The grant.
    #[serde(flatten)]
    pub grant: Grant,
    /// Why it ended; absent while it is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// Who revoked it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<Arc<str>>,
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    grant: Arc<Grant>,
    /// The gateway that it was given at.
    seat: Arc<str>,
    ended: Option<Ended>,
    revoked_by: Option<Arc<str>>,
    /// Whether its end was told: kept before it is recorded, so that it is recorded once at most.
    told: bool,
}

impl Stored {
    fn ended(&self, now: Timestamp) -> Option<Ended> {
        self.ended.or_else(|| (now >= self.grant.until).then_some(Ended::Time))
    }

    fn shown(&self, now: Timestamp) -> GrantShown {
        let (ended, revoked_by) = (self.ended(now), self.revoked_by.clone());
        GrantShown { grant: Grant::clone(&self.grant), ended, revoked_by }
    }
}

#[derive(Clone, Default)]
struct Snapshot {
    following: bool,
    /// With their versions in the store.
    all: HashMap<GrantId, (u64, Arc<Stored>)>,
    /// Those that have not been ended, by the subject of whoever has them.
    open: HashMap<Arc<str>, Vec<Arc<Grant>>>,
}

impl Snapshot {
    fn take(&mut self, version: u64, stored: Stored) {
        let id = stored.grant.id;
        if self.all.get(&id).is_none_or(|(known, _)| version > *known) {
            self.all.insert(id, (version, Arc::new(stored)));
        }
    }

    fn index(&mut self) {
        self.open.clear();
        for (_, stored) in self.all.values().filter(|(_, stored)| stored.ended.is_none()) {
            let subject = Arc::clone(&stored.grant.holder.principal.subject);
            self.open.entry(subject).or_default().push(Arc::clone(&stored.grant));
        }
    }
}

/// The grants of one desk.
pub(crate) struct Grants {
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// Ends with this value.
    _follower: JoinSet<()>,
}

impl Grants {
    pub(crate) async fn follow(table: Arc<dyn Table>) -> Result<Self, DeskError> {
        let snapshot = Arc::new(ArcSwap::default());
        let mut changes = table.watch(KEYS);
        read_all(&*table, &snapshot).await?;
        let followed = Arc::clone(&snapshot);
        let mut follower = JoinSet::new();
        follower.spawn(async move {
            loop {
                while let Some(change) = changes.next().await {
                    take(&followed, &change);
                }
                followed.rcu(|old| Snapshot { following: false, ..Snapshot::clone(old) });
                tracing::error!("the changes of grants cannot be followed; no grant counts");
                changes = loop {
                    tokio::time::sleep(AGAIN).await;
                    let changes = table.watch(KEYS);
                    if read_all(&*table, &followed).await.is_ok() {
                        break changes;
                    }
                };
                tracing::info!("the changes of grants are followed again");
            }
        });
        Ok(Self { snapshot, _follower: follower })
    }

    /// What this principal was granted here and has not ended at this moment.
    pub(crate) fn in_force(&self, principal: &Principal, here: &Connection, now: Timestamp) -> Vec<Arc<Grant>> {
        let snapshot = self.snapshot.load();
        if !snapshot.following {
            return Vec::new();
        }
        let theirs = snapshot.open.get(&principal.subject).into_iter().flatten();
        theirs.filter(|grant| now < grant.until && grant.is_for(principal, here)).map(Arc::clone).collect()
    }

    /// Whether this one is still in force at this moment.
    pub(crate) fn is_in_force(&self, grant: &Grant, now: Timestamp) -> bool {
        let snapshot = self.snapshot.load();
        let known = snapshot.all.get(&grant.id).is_some_and(|(_, stored)| stored.ended(now).is_none());
        snapshot.following && known && now < grant.until
    }

    fn took(&self, version: u64, stored: &Stored) {
        self.snapshot.rcu(|old| {
            let mut next = Snapshot::clone(old);
            next.take(version, stored.clone());
            next.index();
            next
        });
    }

    pub(crate) fn list(&self, now: Timestamp) -> Vec<GrantShown> {
        let snapshot = self.snapshot.load();
        let mut shown: Vec<GrantShown> = snapshot.all.values().map(|(_, stored)| stored.shown(now)).collect();
        shown.sort_by_key(|shown| (shown.grant.given, shown.grant.id));
        shown
    }
}

async fn read_all(table: &dyn Table, snapshot: &ArcSwap<Snapshot>) -> Result<(), DeskError> {
    let found = table.scan(KEYS).await?;
    let mut next = Snapshot { following: true, ..Snapshot::default() };
    for (key, versioned) in &found {
        if let Some(stored) = decode(versioned).filter(|stored| id_of(key) == Some(stored.grant.id)) {
            next.take(versioned.version, stored);
        }
    }
    snapshot.rcu(|old| {
        let mut next = next.clone();
        // What was heard of since the store was read is newer.
        for (id, (version, stored)) in &old.all {
            if next.all.contains_key(id) {
                next.take(*version, Stored::clone(stored));
            }
        }
        next.index();
        next
    });
    Ok(())
}

fn take(snapshot: &ArcSwap<Snapshot>, change: &Change) {
    let Some(id) = id_of(&change.key) else { return };
    let stored = change.value.as_ref().and_then(|versioned| Some((versioned.version, decode(versioned)?)));
    snapshot.rcu(|old| {
        let mut next = Snapshot::clone(old);
        match &stored {
            Some((version, stored)) if stored.grant.id == id => next.take(*version, stored.clone()),
            // One that is gone, or cannot be read, does not count.
            Some(_) | None => drop(next.all.remove(&id)),
        }
        next.index();
        next
    });
}

fn key_of(id: GrantId) -> Bytes {
    [KEYS, id.to_string().as_bytes()].concat().into()
}

fn id_of(key: &[u8]) -> Option<GrantId> {
    std::str::from_utf8(key.strip_prefix(KEYS)?).ok()?.parse().ok()
}

fn decode(versioned: &Versioned) -> Option<Stored> {
    let read = serde_json::from_slice(&versioned.value);
    read.inspect_err(|_| tracing::error!("a grant cannot be read, and does not count")).ok()
}

impl Core {
    async fn keep(&self, stored: &Stored, expect: Expect) -> Result<Put, DeskError> {
        let json = serde_json::to_vec(stored).map_err(|error| StoreError::Damaged(error.to_string()))?;
        let kept_until = stored.grant.until.checked_add(KEPT_DECIDED).unwrap_or(Timestamp::MAX);
        Ok(self.table.put(key_of(stored.grant.id), json.into(), expect, Some(kept_until)).await?)
    }

    pub(crate) async fn give(&self, grants: &Grants, grant: Grant) -> Result<(), GrantError> {
        let seat = Arc::clone(&self.seat);
        let stored = Stored { grant: Arc::new(grant), seat, ended: None, revoked_by: None, told: false };
        match self.keep(&stored, Expect::Absent).await? {
            Put::Done(version) => grants.took(version, &stored),
            Put::Conflict => return Err(GrantError::Ended),
        }
        Ok(())
    }

    /// Changes a grant under its version; what it was changed to.
    async fn end(
        &self,
        grants: &Grants,
        id: GrantId,
        change: impl Fn(&mut Stored) -> Result<(), GrantError>,
    ) -> Result<(), GrantError> {
        for _ in 0..TRIES {
            let found = self.table.get(&key_of(id)).await.map_err(DeskError::from)?;
            let found = found.ok_or(GrantError::NotFound(id))?;
            let damaged = || DeskError::from(StoreError::Damaged("a grant cannot be read".to_owned()));
            let mut stored = decode(&found).ok_or_else(damaged)?;
            change(&mut stored)?;
            if let Put::Done(version) = self.keep(&stored, Expect::Version(found.version)).await? {
                grants.took(version, &stored);
                return Ok(());
            }
        }
        Err(DeskError::from(StoreError::Unavailable("the grant keeps changing".to_owned())).into())
    }

    pub(crate) async fn revoke(&self, grants: &Grants, id: GrantId, by: &Arc<str>) -> Result<(), GrantError> {
        let now = self.now();
        let revoke = |stored: &mut Stored| {
            if stored.ended(now).is_some() {
                return Err(GrantError::Ended);
            }
            stored.ended = Some(Ended::Revoked);
            stored.revoked_by = Some(Arc::clone(by));
            Ok(())
        };
        self.end(grants, id, revoke).await
    }

    /// The grants given at this seat that are over, or no longer stand, and whose end was not told yet.
    pub(crate) fn ended(
        &self,
        grants: &Grants,
        now: Timestamp,
        stands: impl Fn(&Grant) -> bool,
    ) -> Vec<(Arc<Grant>, Ended)> {
        let snapshot = grants.snapshot.load();
        let ours = snapshot.all.values().map(|(_, stored)| stored).filter(|one| !one.told && one.seat == self.seat);
        let over = ours.filter_map(|stored| {
            let fallen = || (!stands(&stored.grant)).then_some(Ended::Identity);
            Some((Arc::clone(&stored.grant), stored.ended(now).or_else(fallen)?))
        });
        over.collect()
    }

    /// Ends it, where it is not over, and keeps that its end is told now.
    pub(crate) async fn told(&self, grants: &Grants, id: GrantId, ended: Ended) -> Result<(), GrantError> {
        let tell = |stored: &mut Stored| {
            stored.ended = stored.ended.or(Some(ended));
            stored.told = true;
            Ok(())
        };
        self.end(grants, id, tell).await
    }
}

#[cfg(test)]
mod tests;
