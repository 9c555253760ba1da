//! What keeps the roles of sessions: extends them while these live, drops them afterwards, and finds what was left.
//!
//! Promises: a role is dropped soon after its session, tried again for as long as it takes with longer and longer pauses,
//! one connection's trouble after the other's, and never while the server still runs something of it; a role whose session
//! lives is extended when two thirds of its time have passed, and one that cannot be keeps no other; at the start, and
//! every ten minutes, roles of this gateway that no session has are looked for and dropped; at the end all that are left
//! are dropped, within a bounded time, each connection's beside the others'.
//!
//! Does not promise to drop what a crash left where no gateway with the same `data_dir` and connection runs again: such a
//! role lets nobody in after its time. Held by: the tests below, and `tests/roles.rs` of this crate.

mod due;
#[cfg(test)]
mod tests;

use super::{Errand, RoleFault, Roles, bounded};
use crate::kept::Told;
use due::Due;
use portcullis_model::Name;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long after a first failure it is tried again; each pause is twice the one before.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// How often roles that were left are looked for.
const LOOK: Duration = Duration::from_secs(10 * 60);

/// Roles that one connection of the gateway drops or extends.
const BATCH: usize = 50;

/// How long dropping everything of a connection may take at the end.
const FAREWELL: Duration = Duration::from_secs(10);

/// The roles of one connection.
struct Ward {
    /// Those of sessions that live, and when each is extended.
    live: Due,
    /// Those that are to be dropped.
    ended: VecDeque<Arc<str>>,
    /// When it is tried next.
    due: Instant,
    pause: Duration,
    /// When roles that were left are looked for next.
    look: Instant,
    look_pause: Duration,
}

impl Ward {
    fn new(now: Instant) -> Self {
        let (live, ended) = (Due::default(), VecDeque::new());
        Self { live, ended, due: now, pause: FIRST_PAUSE, look: now, look_pause: FIRST_PAUSE }
    }

    /// When there is something to do.
    fn next(&self) -> Instant {
        let drops = (!self.ended.is_empty()).then_some(self.due);
        drops.into_iter().chain(self.live.first()).fold(self.look, Instant::min)
    }

    fn pause(&mut self, now: Instant) {
        self.due = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// Keeps the roles of sessions. See [`RoleKeeper::keep`].
pub struct RoleKeeper {
    roles: Arc<Roles>,
    told: mpsc::Receiver<Told>,
    wards: BTreeMap<Name, Ward>,
}

impl std::fmt::Debug for RoleKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RoleKeeper({} connections)", self.wards.len())
    }
}

impl RoleKeeper {
    pub(super) fn new(roles: Arc<Roles>, told: mpsc::Receiver<Told>) -> Self {
        let now = Instant::now();
        let wards = roles.wards.keys().map(|connection| (connection.clone(), Ward::new(now))).collect();
        Self { roles, told, wards }
    }

    /// Keeps roles until `stop`, which must come when no session is left; then drops what is left.
    pub async fn keep(mut self, stop: impl Future<Output = ()> + Send) {
        tokio::pin!(stop);
        loop {
            let next = self.wards.values().map(Ward::next).min().unwrap_or_else(|| Instant::now() + LOOK);
            tokio::select! {
                biased;
                () = &mut stop => break,
                told = self.told.recv() => match told {
                    Some(told) => self.hear(told),
                    None => break,
                },
                () = sleep_until(next) => self.work().await,
            }
        }
        self.hear_all();
        let mut farewells = JoinSet::new();
        for (connection, ward) in self.wards {
            farewells.spawn(farewell(Arc::clone(&self.roles), connection, ward));
        }
        while farewells.join_next().await.is_some() {}
    }

    fn hear(&mut self, told: Told) {
        let now = Instant::now();
        match told {
            Told::Begun { id, path, lasts, renewable: _, held: _ } => {
                if let Some(ward) = self.wards.get_mut(&Name::canonical(path)) {
                    ward.live.set(id, now + lasts * 2 / 3);
                }
            }
            Told::Ended { id, path } => {
                if let Some(ward) = self.wards.get_mut(&Name::canonical(path)) {
                    ward.live.remove(&id);
                    ward.ended.push_front(id);
                    ward.due = now;
                }
            }
            // Only the vault server says so.
            Told::LoggedIn(_) => {}
        }
    }

    fn hear_all(&mut self) {
        while let Ok(told) = self.told.try_recv() {
            self.hear(told);
        }
    }

    /// Does one thing that is due: between two, a stop and what sessions tell are heard, however slow a server is.
    async fn work(&mut self) {
        let now = Instant::now();
        let Some((connection, ward)) = self.wards.iter().min_by_key(|(_, ward)| ward.next()) else { return };
        let connection = connection.clone();
        if !ward.ended.is_empty() && ward.due <= now {
            self.drop_ended(&connection).await;
        } else if ward.live.first().is_some_and(|due| due <= now) {
            self.extend(&connection).await;
        } else if ward.look <= now {
            self.look(&connection).await;
        }
    }

    async fn drop_ended(&mut self, connection: &Name) {
        let Some(ward) = self.wards.get_mut(connection) else { return };
        let names: Vec<Arc<str>> = ward.ended.drain(..ward.ended.len().min(BATCH)).collect();
        let left = drop_these(&self.roles, connection, names.clone()).await;
        let now = Instant::now();
        match left {
            Ok(left) if left.is_empty() => {
                ward.pause = FIRST_PAUSE;
                ward.due = now;
            }
            // The server still runs something of theirs, or they own what it cannot give away.
            Ok(left) => {
                ward.ended.extend(left);
                ward.pause(now);
            }
            Err(error) => {
                tracing::warn!(%connection, %error, "roles of sessions are dropped later");
                ward.ended.extend(names);
                ward.pause(now);
            }
        }
    }

    async fn extend(&mut self, connection: &Name) {
        let Some(valid) = self.roles.wards.get(connection).map(|ward| ward.how.valid) else { return };
        let Some(ward) = self.wards.get_mut(connection) else { return };
        let names = ward.live.until(Instant::now(), BATCH);
        let extended = bounded(self.roles.run(connection, Errand::Extend { names: names.clone(), valid })).await;
        let left: BTreeSet<Arc<str>> = match extended {
            Ok(left) => left.into_iter().collect(),
            Err(error) => {
                tracing::warn!(%connection, %error, "roles of sessions are not extended");
                names.iter().cloned().collect()
            }
        };
        let now = Instant::now();
        for name in names {
            let again = if left.contains(&name) { (valid / 12).min(LONGEST_PAUSE) } else { valid * 2 / 3 };
            ward.live.set(name, now + again);
        }
    }

    /// Looks for what an earlier run left, or one whose making was given up.
    async fn look(&mut self, connection: &Name) {
        let Some(prefix) = self.roles.wards.get(connection).map(|ward| Arc::clone(&ward.how.prefix)) else { return };
        let found = bounded(self.roles.run(connection, Errand::Find { prefix: Arc::clone(&prefix) })).await;
        // Whoever was made before it was found was told before that.
        self.hear_all();
        let now = Instant::now();
        let Some(ward) = self.wards.get_mut(connection) else { return };
        match found {
            Ok(found) => {
                // A server that names others is not asked to drop them.
                let ours = |name: &Arc<str>| name.starts_with(&*prefix) && !ward.live.contains(name);
                let ended: BTreeSet<&Arc<str>> = ward.ended.iter().collect();
                let left = |name: &Arc<str>| ours(name) && !ended.contains(name);
                let left: Vec<Arc<str>> = found.into_iter().filter(left).collect();
                if !left.is_empty() {
                    tracing::info!(%connection, roles = left.len(), "roles were left of sessions that are no more");
                    ward.ended.extend(left);
                    ward.due = now;
                }
                (ward.look, ward.look_pause) = (now + LOOK, FIRST_PAUSE);
            }
            Err(error) => {
                tracing::warn!(%connection, %error, "roles that were left are looked for later");
                ward.look = now + ward.look_pause;
                ward.look_pause = (ward.look_pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Drops all that are left of a connection.
async fn farewell(roles: Arc<Roles>, connection: Name, ward: Ward) {
    let names = ward.ended.into_iter().chain(ward.live.into_names()).collect();
    if timeout(FAREWELL, drop_all(&roles, &connection, names)).await.is_err() {
        tracing::warn!(%connection, "roles of sessions were not dropped: the next start does it");
    }
}

async fn drop_all(roles: &Roles, connection: &Name, mut names: Vec<Arc<str>>) {
    while !names.is_empty() {
        let batch: Vec<Arc<str>> = names.drain(..names.len().min(BATCH)).collect();
        match drop_these(roles, connection, batch).await {
            Ok(left) if left.is_empty() => {}
            Ok(left) => {
                names.extend(left);
                sleep(FIRST_PAUSE).await;
            }
            Err(error) => {
                tracing::warn!(%connection, %error, "roles of sessions were not dropped: the next start does it");
                break;
            }
        }
    }
}

async fn drop_these(roles: &Roles, connection: &Name, names: Vec<Arc<str>>) -> Result<Vec<Arc<str>>, RoleFault> {
    let acts_as = roles.wards.get(connection).map(|ward| Arc::clone(&ward.acts_as));
    let acts_as = acts_as.ok_or_else(|| RoleFault("there is no such connection".to_owned()))?;
    bounded(roles.run(connection, Errand::Drop { names, acts_as })).await
}
