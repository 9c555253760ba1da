//! What keeps the logins that the server made: renews them while their sessions live, and gives them back.
//!
//! Promises: whatever ends a session drops its [`Kept`], and the login is then revoked, tried again for as long as the
//! server would keep it; a lease is renewed when two thirds of it have passed, and so is the gateway's own token, with
//! which the server would take back all leases; at the end everything that is left is given back, within a bounded time.
//!
//! Does not promise that a login outlives the longest time that its role allows: the server decides that, and an open
//! session is not cut for it. A gateway that is killed gives nothing back: its leases end by themselves, unrenewed.
//! Held by: `tests/server.rs` of this crate.

use super::{Server, ServerFault};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// How long giving everything back may take at the end.
const FAREWELL: Duration = Duration::from_secs(10);

/// The server is not asked to renew anything more often.
const SHORTEST: Duration = Duration::from_millis(500);

/// There is nothing to do until something ends.
const AN_HOUR: Duration = Duration::from_secs(60 * 60);

pub(super) enum Told {
    Begun { id: Arc<str>, path: Arc<str>, lasts: Duration, renewable: bool },
    Ended { id: Arc<str>, path: Arc<str> },
    LoggedIn(Duration),
}

/// A lease that somebody holds. Dropping it gives it back.
#[derive(Debug)]
pub struct Kept {
    id: Arc<str>,
    path: Arc<str>,
    /// `None` once it was given back.
    tell: Option<mpsc::Sender<Told>>,
}

impl Kept {
    pub(super) fn new(id: String, path: Arc<str>, lasts: Duration, renewable: bool, tell: mpsc::Sender<Told>) -> Self {
        let id = Arc::<str>::from(id);
        let begun = Told::Begun { id: Arc::clone(&id), path: Arc::clone(&path), lasts, renewable };
        if tell.try_send(begun).is_err() {
            tracing::warn!(%path, "a login of the vault server is not kept: it ends by itself");
        }
        Self { id, path, tell: Some(tell) }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Somebody gave it back.
    pub(crate) fn done(mut self) {
        self.tell = None;
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let Some(tell) = &self.tell else { return };
        if tell.try_send(Told::Ended { id: Arc::clone(&self.id), path: Arc::clone(&self.path) }).is_err() {
            tracing::warn!(path = %self.path, "a login of the vault server is not given back: it ends by itself");
        }
    }
}

/// One lease, and what is to be done about it next.
struct Live {
    path: Arc<str>,
    ended: bool,
    renewable: bool,
    /// What the server gave at first: what is asked for again.
    lasts: Duration,
    until: Instant,
    due: Instant,
}

/// Keeps leases. See [`Keeper::keep`].
pub struct Keeper {
    server: Arc<Server>,
    told: mpsc::Receiver<Told>,
    live: BTreeMap<Arc<str>, Live>,
    token_due: Option<Instant>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keeper({} leases)", self.live.len())
    }
}

impl Keeper {
    pub(super) fn new(server: Arc<Server>, told: mpsc::Receiver<Told>) -> Self {
        Self { server, told, live: BTreeMap::new(), token_due: None }
    }

    /// Keeps leases until `stop`, which must come when no session is left; then gives back what is left.
    pub async fn keep(mut self, stop: impl Future<Output = ()> + Send) {
        tokio::pin!(stop);
        loop {
            let next = self.live.values().map(|live| live.due).chain(self.token_due).min();
            let next = next.unwrap_or_else(|| Instant::now() + AN_HOUR);
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
        while let Ok(told) = self.told.try_recv() {
            self.hear(told);
        }
        if timeout(FAREWELL, self.give_all_back()).await.is_err() {
            tracing::warn!(
                leases = self.live.len(),
                "logins of the vault server were not given back: they end by themselves"
            );
        }
    }

    fn hear(&mut self, told: Told) {
        let now = Instant::now();
        match told {
            Told::Begun { id, path, lasts, renewable } => {
                let live = Live { path, ended: false, renewable, lasts, until: now + lasts, due: now + renewal(lasts) };
                self.live.insert(id, live);
            }
            Told::Ended { id, path } => {
                // One that was not heard of before is given back all the same.
                let lasts = Duration::ZERO;
                let unheard = Live { path, ended: true, renewable: false, lasts, until: now, due: now };
                let live = self.live.entry(id).or_insert(unheard);
                live.ended = true;
                live.due = now;
            }
            Told::LoggedIn(lasts) => self.token_due = Some(now + renewal(lasts)),
        }
    }

    /// Does one thing that is due: between two, a stop and what sessions tell are heard, however slow the server is.
    async fn work(&mut self) {
        let now = Instant::now();
        if self.token_due.is_some_and(|due| due <= now) {
            self.token_due = match bounded(self.server.renew_token()).await {
                Ok(lasts) if lasts >= SHORTEST => Some(Instant::now() + renewal(lasts)),
                // It has run out, or soon will: the next request that is denied logs in anew.
                Ok(_) | Err(ServerFault::Denied) => None,
                Err(_) => Some(Instant::now() + AGAIN),
            };
        }
        let due = self.live.iter().filter(|(_, live)| live.due <= now).min_by_key(|(_, live)| live.due);
        let Some((id, mut live)) = due.map(|(id, _)| Arc::clone(id)).and_then(|id| self.live.remove_entry(&id)) else {
            return;
        };
        if self.step(&id, &mut live).await {
            self.live.insert(id, live);
        }
    }

    /// Renews or revokes one lease; whether there is more to do about it.
    async fn step(&self, id: &str, live: &mut Live) -> bool {
        let again = Instant::now() + AGAIN;
        if live.ended {
            return match bounded(self.server.revoke(id)).await {
                Ok(()) => false,
                // The server keeps it no longer than that itself.
                Err(_) if again >= live.until => false,
                Err(error) => {
                    tracing::warn!(path = %live.path, %error, "a login of the vault server is given back later");
                    live.due = again;
                    true
                }
            };
        }
        if !live.renewable {
            live.due = again + AN_HOUR;
            return true;
        }
        match bounded(self.server.renew(id, live.lasts)).await {
            Ok(lasts) => {
                let now = Instant::now();
                live.until = now + lasts;
                live.due = now + renewal(lasts);
                // The role's longest time is near: asking for more gives less and less.
                live.renewable = lasts > SHORTEST;
            }
            Err(error) => {
                tracing::warn!(path = %live.path, %error, "a login of the vault server is not renewed");
                live.renewable = again < live.until;
                live.due = again;
            }
        }
        true
    }

    async fn give_all_back(&mut self) {
        while let Some((id, live)) = self.live.pop_first() {
            if let Err(error) = bounded(self.server.revoke(&id)).await {
                tracing::warn!(path = %live.path, %error, "a login of the vault server was not given back: it ends by itself");
            }
        }
    }
}

/// When a lease of this length is renewed.
fn renewal(lasts: Duration) -> Duration {
    (lasts * 2 / 3).max(SHORTEST)
}

async fn bounded<T>(asked: impl Future<Output = Result<T, ServerFault>>) -> Result<T, ServerFault> {
    timeout(PATIENCE, asked).await.unwrap_or(Err(ServerFault::Late))
}
