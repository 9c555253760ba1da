//! What keeps the logins that the server made: renews them while their sessions live, and gives them back.
//!
//! Promises: whatever ends a session drops its [`Kept`](crate::Kept), and the login is then revoked, tried again for as
//! long as the server would keep it; what nobody holds any more is not renewed, whether its end was told or not; a lease is
//! renewed when two thirds of it have passed, and so is the gateway's own token, with
//! which the server would take back all leases; at the end everything that is left is given back, within a bounded time.
//!
//! Does not promise that a login outlives the longest time that its role allows: the server decides that, and an open
//! session is not cut for it. A gateway that is killed gives nothing back: its leases end by themselves, unrenewed.
//! Held by: the tests below, and `tests/server.rs` of this crate.

use super::{Server, ServerFault};
use crate::kept::Told;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
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

/// One lease, and what is to be done about it next.
struct Live {
    path: Arc<str>,
    held: Weak<()>,
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
            Told::Begun { id, path, lasts, renewable, held } => {
                let (until, due) = (now + lasts, now + renewal(lasts));
                let live = Live { path, held, ended: false, renewable, lasts, until, due };
                self.live.insert(id, live);
            }
            Told::Ended { id, path } => {
                // One that was not heard of before is given back all the same.
                let lasts = Duration::ZERO;
                let held = Weak::new();
                let unheard = Live { path, held, ended: true, renewable: false, lasts, until: now, due: now };
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
        if live.ended || live.held.strong_count() == 0 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept::Kept;
    use crate::server::{Answered, Exchange, Exchanged, Request};
    use crate::{PlainSource, ServerLogin};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use zeroize::Zeroizing;

    /// A server that renews and revokes whatever it is asked to.
    #[derive(Default)]
    struct Counting {
        renewed: AtomicUsize,
        revoked: AtomicUsize,
    }

    impl Exchange for Counting {
        fn send(&self, request: Request) -> Exchanged<'_> {
            let renews = request.path.ends_with("/renew");
            if renews { &self.renewed } else { &self.revoked }.fetch_add(1, Ordering::SeqCst);
            let body = br#"{"lease_id":"l","renewable":true,"lease_duration":1}"#.to_vec();
            Box::pin(async move { Ok(Answered { status: 200, body: Zeroizing::new(body) }) })
        }
    }

    #[tokio::test]
    async fn an_end_that_was_not_heard_is_found_when_the_lease_would_be_renewed() {
        let exchange = Arc::new(Counting::default());
        // A variable that every test process has.
        let login = ServerLogin::Token(PlainSource::Env("PATH".into()));
        let (server, _) = Server::new(Arc::<Counting>::clone(&exchange), login, None);
        let (tell, told) = mpsc::channel(1);
        let mut keeper = Keeper::new(server, told);
        let second = Duration::from_secs(1);
        let kept = Kept::of_server("l".to_owned(), "database/creds/app".into(), second, true, tell.clone());
        let begun = keeper.told.recv().await.unwrap();
        keeper.hear(begun);
        let mut live = keeper.live.remove("l").unwrap();
        assert!(keeper.step("l", &mut live).await && live.renewable, "held, and renewed");
        // There is no room to tell of the end.
        assert!(tell.try_send(Told::LoggedIn(second)).is_ok());
        drop(kept);
        assert!(matches!(keeper.told.try_recv(), Ok(Told::LoggedIn(_))) && keeper.told.try_recv().is_err());
        assert!(!keeper.step("l", &mut live).await, "nothing is left to do about it");
        assert_eq!((exchange.renewed.load(Ordering::SeqCst), exchange.revoked.load(Ordering::SeqCst)), (1, 1));
    }
}
