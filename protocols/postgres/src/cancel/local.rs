//! The cancel keys of one process.
//!
//! A map behind a lock: it is touched twice in a session's life and once for each request, never across an await, and
//! holds nothing but keys. It is bounded, and so is the list of addresses that showed wrong keys.
//! Held by: `cancel/tests.rs`.

use super::{CancelKeys, Forget, Registration, Requested, random, secret_length};
use crate::negotiate::CancelRequest;
use crate::startup::Version;
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::net::IpAddr;
#[expect(clippy::disallowed_types, reason = "a map of keys, touched twice a session and never across an await")]
use std::sync::Mutex;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// Wrong keys an address may show at once.
const BURST: u32 = 20;
/// The time in which one of them is forgotten.
const FORGIVEN: Duration = Duration::from_millis(200);
/// Addresses remembered for wrong keys.
const MOST_ADDRESSES: usize = 4096;

/// Keys of the sessions of this process; cheap to clone.
#[derive(Clone)]
pub struct LocalKeys {
    #[expect(clippy::disallowed_types, reason = "a map of keys, touched twice a session and never across an await")]
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    capacity: usize,
    sessions: HashMap<i32, Entry>,
    wrong: HashMap<IpAddr, Wrong>,
}

struct Entry {
    secret: Zeroizing<Vec<u8>>,
    requests: mpsc::Sender<()>,
}

/// Wrong keys shown by one address: so many, as of then.
struct Wrong {
    count: u32,
    since: Instant,
}

impl LocalKeys {
    /// Room for `capacity` sessions.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let inner = Inner { capacity, sessions: HashMap::new(), wrong: HashMap::new() };
        #[expect(clippy::disallowed_types, reason = "see the head comment")]
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        // The map is whole between any two of its operations, so a panic elsewhere does not spoil it.
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl CancelKeys for LocalKeys {
    fn register(&self, version: Version) -> Option<Registration> {
        let secret = Zeroizing::new(random::<32>()?.get(..secret_length(version))?.to_vec());
        let (sender, requests) = mpsc::channel(1);
        let pid = self.with(|inner| {
            if inner.sessions.len() >= inner.capacity {
                return None;
            }
            // Positive, as a process number is, and as hard to guess as the rest of the key.
            let pid = std::iter::repeat_with(|| Some(i32::from_be_bytes(random()?) & i32::MAX))
                .take(64)
                .flatten()
                .find(|pid| *pid != 0 && !inner.sessions.contains_key(pid))?;
            inner.sessions.insert(pid, Entry { secret: secret.clone(), requests: sender });
            Some(pid)
        })?;
        let map = Arc::downgrade(&self.inner);
        let forget = move || {
            if let Some(inner) = Weak::upgrade(&map) {
                Self { inner }.with(|inner| inner.sessions.remove(&pid));
            }
        };
        Some(Registration { pid, secret, requests, _forget: Forget(Some(Box::new(forget))) })
    }

    fn request(&self, from: IpAddr, request: CancelRequest) -> BoxFuture<'_, Requested> {
        let done = self.with(|inner| inner.request(from.to_canonical(), &request, Instant::now()));
        Box::pin(std::future::ready(done))
    }
}

impl Inner {
    fn request(&mut self, from: IpAddr, request: &CancelRequest, now: Instant) -> Requested {
        if self.wrong_keys(from, now) >= BURST {
            return Requested::Ignored;
        }
        let entry = self.sessions.get(&request.pid);
        // Compared even if there is no such session, against as many bytes as were shown.
        let nothing = vec![0; request.secret.len()];
        let secret = entry.map_or(nothing.as_slice(), |entry| entry.secret.as_slice());
        let right = secret.ct_eq(&request.secret) & Choice::from(u8::from(entry.is_some()));
        match entry.filter(|_| bool::from(right)) {
            Some(entry) => {
                // A request that is still waiting to be seen stands for this one too.
                entry.requests.try_send(()).ok();
                Requested::Delivered
            }
            None => {
                self.remember(from, now);
                Requested::Unknown
            }
        }
    }

    /// How many wrong keys still count against an address.
    fn wrong_keys(&self, from: IpAddr, now: Instant) -> u32 {
        self.wrong.get(&from).map_or(0, |wrong| wrong.left(now))
    }

    fn remember(&mut self, from: IpAddr, now: Instant) {
        if self.wrong.len() >= MOST_ADDRESSES && !self.wrong.contains_key(&from) {
            self.wrong.retain(|_, wrong| wrong.left(now) > 0);
            if self.wrong.len() >= MOST_ADDRESSES {
                // So many attackers at once that forgetting one of them changes nothing.
                let any = self.wrong.keys().next().copied();
                any.and_then(|any| self.wrong.remove(&any));
            }
        }
        let count = self.wrong_keys(from, now) + 1;
        self.wrong.insert(from, Wrong { count, since: now });
    }
}

impl Wrong {
    fn left(&self, now: Instant) -> u32 {
        let forgiven = now.saturating_duration_since(self.since).as_millis() / FORGIVEN.as_millis();
        self.count.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_keys_are_forgiven_with_time_and_remembered_for_few() {
        let mut inner = Inner { capacity: 1, sessions: HashMap::new(), wrong: HashMap::new() };
        let request = CancelRequest { pid: 1, secret: vec![0; 4] };
        let (start, here) = (Instant::now(), IpAddr::from([192, 0, 2, 1]));
        for _ in 0..BURST {
            assert_eq!(inner.request(here, &request, start), Requested::Unknown);
        }
        assert_eq!(inner.request(here, &request, start), Requested::Ignored);
        let later = start + FORGIVEN * 2;
        assert_eq!(inner.request(here, &request, later), Requested::Unknown);
        assert_eq!(inner.request(here, &request, later), Requested::Unknown);
        assert_eq!(inner.request(here, &request, later), Requested::Ignored);
        for host in 0..20_000_u32 {
            inner.request(IpAddr::V4(host.into()), &request, later);
        }
        assert!(inner.wrong.len() <= MOST_ADDRESSES);
    }
}
