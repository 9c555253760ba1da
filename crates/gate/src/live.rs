//! Which sessions are open now, so that an administrator can list and end them, and counters for metrics.
//!
//! Promises: a session is listed from its entry to its drop; ending one wakes its task at once, and so does the end of what
//! its identity stands on, once somebody looks ([`Gate::end_fallen`](crate::Gate::end_fallen)). Does not promise to
//! know the sessions of other gateways on the same store: that list is each gateway's own.
//! Held by: `tests/it/entry.rs`.

use jiff::Timestamp;
use portcullis_identity::Authenticated;
use portcullis_model::{Connection, Effect, Principal, SessionId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_util::sync::CancellationToken;

/// An open session, as an administrator sees it.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// Its id.
    pub id: SessionId,
    /// Who.
    pub principal: Principal,
    /// Where to.
    pub connection: Connection,
    /// From where.
    pub client: Arc<str>,
    /// Since when.
    pub started: Timestamp,
}

/// What was decided since the start of this gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions opened.
    pub sessions: u64,
    /// Callers that did not enter.
    pub refused_entries: u64,
    /// Commands allowed.
    pub allowed: u64,
    /// Commands held.
    pub held: u64,
    /// Commands refused.
    pub denied: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    sessions: AtomicU64,
    refused_entries: AtomicU64,
    allowed: AtomicU64,
    held: AtomicU64,
    denied: AtomicU64,
}

impl Counters {
    pub(crate) fn entered(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused_entry(&self) {
        self.refused_entries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn decided(&self, effect: Effect) {
        let counter = match effect {
            Effect::Allow => &self.allowed,
            Effect::Hold => &self.held,
            Effect::Deny => &self.denied,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Counts {
        Counts {
            sessions: self.sessions.load(Ordering::Relaxed),
            refused_entries: self.refused_entries.load(Ordering::Relaxed),
            allowed: self.allowed.load(Ordering::Relaxed),
            held: self.held.load(Ordering::Relaxed),
            denied: self.denied.load(Ordering::Relaxed),
        }
    }
}

/// A session in the registry.
struct Open {
    session: LiveSession,
    authenticated: Authenticated,
    ended: CancellationToken,
}

/// The open sessions by id. Entered and left once a session, read by administrators and when standings change: a lock held
/// for one map operation.
#[derive(Default)]
pub(crate) struct Registry {
    #[expect(clippy::disallowed_types, reason = "one map operation a session; never held across an await")]
    open: std::sync::Mutex<BTreeMap<SessionId, Open>>,
}

impl Registry {
    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<SessionId, Open>) -> T) -> T {
        // A panic while it was held leaves the map whole: every use is one map operation.
        f(&mut self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    pub(crate) fn enter(&self, session: LiveSession, authenticated: Authenticated) -> CancellationToken {
        let ended = CancellationToken::new();
        let (id, open) = (session.id, Open { session, authenticated, ended: ended.clone() });
        self.with(|sessions| sessions.insert(id, open));
        ended
    }

    /// How many this principal has open.
    pub(crate) fn count(&self, principal: &Principal) -> usize {
        let same = |open: &&Open| {
            let other = &open.session.principal;
            (&other.issuer, &other.subject) == (&principal.issuer, &principal.subject)
        };
        self.with(|open| open.values().filter(same).count())
    }

    pub(crate) fn leave(&self, id: SessionId) {
        self.with(|open| open.remove(&id));
    }

    pub(crate) fn list(&self) -> Vec<LiveSession> {
        self.with(|open| open.values().map(|open| open.session.clone()).collect())
    }

    pub(crate) fn end(&self, id: SessionId) -> bool {
        self.with(|open| open.get(&id).map(|open| open.ended.cancel()).is_some())
    }

    /// Ends every session whose identity does not stand; how many.
    pub(crate) fn end_unless(&self, stands: impl Fn(&Authenticated) -> bool) -> usize {
        self.with(|sessions| {
            let fallen = sessions.values().filter(|open| !open.ended.is_cancelled() && !stands(&open.authenticated));
            fallen.map(|open| open.ended.cancel()).count()
        })
    }
}
