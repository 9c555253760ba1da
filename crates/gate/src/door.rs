//! The door: who may enter, and what all sessions share.
//!
//! Promises: nobody gets a [`Session`] without a proof that `identity` accepted, a connection of the asked protocol, a
//! policy that lets this principal open this kind of session there, and a record that took the session's first event;
//! an unknown connection is told only to a caller whose identity was accepted; policy is swapped whole.
//! Held by: `tests/it/entry.rs`.

use crate::allowance::Allowance;
use crate::error::NotEntered;
use crate::live::{Counters, Counts, LiveSession, Registry};
use crate::masking::Closed;
use crate::session::{Inner, Session};
use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use portcullis_approvals::Desk;
use portcullis_audit::{Durability, RecordUnavailable, Recorder, Stream};
use portcullis_credentials::Credentials;
use portcullis_identity::{Authenticated, Identity, Proof, Standing};
use portcullis_masking::Key;
use portcullis_model::{
    AdminAction, ClientInfo, Connection, Denial, EventBody, Name, Principal, Protocol, Reason, SessionId, SessionKind,
    StreamKind, Verdict,
};
use portcullis_policy::PolicySet;
use portcullis_store::Table;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// What `assemble` decides for all sessions.
#[derive(Clone, Debug)]
pub struct Settings {
    /// When a command's record must be durable.
    pub durability: Durability,
    /// Bytes of one answer that go into the record; 0 records no results.
    pub result_bytes: usize,
    /// How long a command waits for people at most, whatever its rule says.
    pub approval_wait: Duration,
    /// Sessions that one principal may have open.
    pub sessions_per_principal: usize,
    /// This gateway's version, as recorded.
    pub version: Arc<str>,
}

/// What a gate is made of.
pub struct Parts {
    /// The policy in force at the start.
    pub policy: PolicySet,
    /// The record.
    pub recorder: Recorder,
    /// Who is who.
    pub identity: Arc<Identity>,
    /// The backends' credentials.
    pub credentials: Arc<Credentials>,
    /// Where approvals are asked for.
    pub desk: Desk,
    /// What hashes stand for protected values with.
    pub masking_key: Arc<Key>,
    /// The configured connections by name.
    pub connections: HashMap<Name, Connection>,
    /// The rest.
    pub settings: Settings,
}

/// A policy set and its number; permits remember the number they were judged under.
pub(crate) struct InForce {
    pub(crate) set: PolicySet,
    pub(crate) epoch: u64,
}

pub(crate) struct Shared {
    pub(crate) policy: ArcSwap<InForce>,
    /// The newest number given to a policy set. Two that come into force at once must not share one, or a permit judged
    /// under the first would stand under the second.
    epochs: AtomicU64,
    pub(crate) recorder: Recorder,
    pub(crate) identity: Arc<Identity>,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) desk: Desk,
    pub(crate) masking_key: Arc<Key>,
    /// Protected sets, closed, for the sessions that they are the same for.
    pub(crate) protections: ArcSwap<Vec<Arc<Closed>>>,
    /// Comparisons with protected columns.
    pub(crate) allowance: Allowance,
    /// Where budgets are counted.
    budgets: OnceLock<Arc<dyn Table>>,
    pub(crate) durability: Durability,
    pub(crate) result_bytes: usize,
    pub(crate) approval_wait: Duration,
    sessions_per_principal: usize,
    pub(crate) registry: Registry,
    pub(crate) counters: Counters,
    /// Grants that are in the record and on their way into the store.
    pub(crate) giving: TaskTracker,
    connections: HashMap<Name, Connection>,
    version: Arc<str>,
    /// The gateway's own stream: administration, policy, refused logins.
    own: Stream,
}

impl Shared {
    /// Where budgets are counted; nothing that a budget is about passes where there is none.
    pub(crate) fn budgets(&self) -> Option<&Arc<dyn Table>> {
        self.budgets.get()
    }

    pub(crate) fn record(&self, event: EventBody) {
        // Said where it is found out, and nothing is permitted by what is recorded here.
        self.append(event).ok();
    }

    fn append(&self, event: EventBody) -> Result<(), RecordUnavailable> {
        let appended = self.own.append(Timestamp::now(), [event]);
        appended
            .map(drop)
            .inspect_err(|_| tracing::error!("the record cannot be written; nobody enters and nothing passes"))
    }
}

/// The one door. Cheap to clone.
#[derive(Clone)]
pub struct Gate(Arc<Shared>);

/// A caller at the door.
pub struct Arrival {
    /// What it presents.
    pub proof: Proof,
    /// What it wants to do there.
    pub kind: SessionKind,
    /// The protocol it speaks.
    pub protocol: Protocol,
    /// The connection it names.
    pub connection: Name,
    /// The database it names, where it names one.
    pub database: Option<Name>,
    /// The login at the backend it asks for, where it is not to be the connection's own. One that the connection does
    /// not have is answered like an unknown connection; whether this caller may use it, a rule says.
    pub login: Option<Arc<str>>,
    /// How the gateway sees it.
    pub client: ClientInfo,
    /// Its address, for the limit on attempts.
    pub from: IpAddr,
    /// The user name it claims, for the record of a refusal.
    pub claimed: Arc<str>,
}

impl Gate {
    /// A door made of these parts; begins the gateway's own stream in the record.
    ///
    /// # Errors
    /// [`NotEntered::RecordUnavailable`]: nothing may start without a record.
    pub fn new(parts: Parts) -> Result<Self, NotEntered> {
        let settings = parts.settings;
        let started = EventBody::SessionStarted {
            kind: StreamKind::Gateway,
            principal: None,
            connection: None,
            client: None,
            gateway: Arc::clone(&settings.version),
        };
        let now = Timestamp::now();
        let own = parts.recorder.begin(started, now).map_err(|_| NotEntered::RecordUnavailable)?;
        let gate = Self(Arc::new(Shared {
            policy: ArcSwap::from_pointee(InForce { set: parts.policy, epoch: 1 }),
            epochs: AtomicU64::new(1),
            recorder: parts.recorder,
            identity: parts.identity,
            credentials: parts.credentials,
            desk: parts.desk,
            masking_key: parts.masking_key,
            protections: ArcSwap::default(),
            allowance: Allowance::default(),
            budgets: OnceLock::new(),
            durability: settings.durability,
            result_bytes: settings.result_bytes,
            approval_wait: settings.approval_wait,
            sessions_per_principal: settings.sessions_per_principal,
            registry: Registry::default(),
            counters: Counters::default(),
            giving: TaskTracker::new(),
            connections: parts.connections,
            version: settings.version,
            own,
        }));
        gate.record_policy(&gate.0.policy.load().set);
        Ok(gate)
    }

    /// Counts budgets in this table from now on; the first that is given stays.
    pub fn count_budgets_in(&self, table: Arc<dyn Table>) {
        let _given_before = self.0.budgets.set(table);
    }

    /// Lets a caller in.
    ///
    /// # Errors
    /// [`NotEntered`], recorded as `identity.refused`.
    pub async fn enter(&self, arrival: Arrival) -> Result<Session, NotEntered> {
        let Arrival { proof, kind, protocol, connection, database, login, client, from, claimed } = arrival;
        let now = Timestamp::now();
        let authenticated = match self.0.identity.authenticate(proof, from, now).await {
            Ok(authenticated) => authenticated,
            Err(refused) => {
                self.record_refused(protocol, &claimed, client, refused.why().words());
                return Err(NotEntered::Identity { retry_after: refused.retry_after() });
            }
        };
        let Some(connection) = self.connection(protocol, &connection, database, login) else {
            self.record_refused(protocol, &claimed, client, "no such connection");
            return Err(NotEntered::NoSuchConnection);
        };
        let decision = self.0.policy.load().set.opens(kind, &authenticated.principal, &connection, now);
        if let Some(reason) = not_opened(decision.verdict) {
            self.record_refused(protocol, &claimed, client, &reason.to_string());
            return Err(NotEntered::Denied(Denial { decision: None, reason, message: decision.message }));
        }
        if self.0.registry.count(&authenticated.principal) >= self.0.sessions_per_principal {
            self.record_refused(protocol, &claimed, client, "the principal has too many sessions");
            return Err(NotEntered::TooManySessions);
        }
        self.open(authenticated, connection, client, now)
    }

    fn open(
        &self,
        authenticated: Authenticated,
        connection: Connection,
        client: ClientInfo,
        now: Timestamp,
    ) -> Result<Session, NotEntered> {
        let address = Arc::clone(&client.address);
        let started = EventBody::SessionStarted {
            kind: StreamKind::Session,
            principal: Some(authenticated.principal.clone()),
            connection: Some(connection.clone()),
            client: Some(client),
            gateway: Arc::clone(&self.0.version),
        };
        let stream = self.0.recorder.begin(started, now).map_err(|_| NotEntered::RecordUnavailable)?;
        let live = LiveSession {
            id: stream.id(),
            principal: authenticated.principal.clone(),
            connection: connection.clone(),
            client: address,
            started: now,
        };
        let ended = self.0.registry.enter(live, authenticated.clone());
        self.0.counters.entered();
        let shared = Arc::clone(&self.0);
        let commands = AtomicU64::new(0);
        let (masking, kept, reason) = (ArcSwapOption::empty(), ArcSwapOption::empty(), ArcSwapOption::empty());
        let inner = Inner { shared, stream, authenticated, connection, ended, commands, masking, kept, reason };
        Ok(Session { inner: Arc::new(inner) })
    }

    /// The connection of this name and protocol, with the database and the login in force.
    fn connection(
        &self,
        protocol: Protocol,
        name: &Name,
        database: Option<Name>,
        login: Option<Arc<str>>,
    ) -> Option<Connection> {
        let connection = self.0.connections.get(name).filter(|connection| connection.protocol == protocol)?;
        let mut connection = connection.clone();
        if database.is_some() {
            connection.database = database;
        }
        if let Some(login) = login {
            if !self.0.credentials.has_login(name, &login) {
                return None;
            }
            connection.login = login;
        }
        Some(connection)
    }

    /// Puts another policy set into force; live sessions are judged by it from their next command.
    pub fn set_policy(&self, set: PolicySet) {
        let epoch = self.0.epochs.fetch_add(1, Ordering::Relaxed) + 1;
        self.record_policy(&set);
        self.0.policy.store(Arc::new(InForce { set, epoch }));
    }

    /// Runs `read` with the policy set in force.
    pub fn with_policy<T>(&self, read: impl FnOnce(&PolicySet) -> T) -> T {
        read(&self.0.policy.load().set)
    }

    /// Records a policy set that was not taken.
    pub fn policy_refused(&self, problems: Vec<Arc<str>>) {
        let policy = Arc::clone(self.0.policy.load().set.digest());
        self.0.record(EventBody::PolicyLoaded { policy, bundles: Vec::new(), accepted: false, problems });
    }

    /// Records what an administrator changed, or how somebody voted.
    ///
    /// # Errors
    /// [`RecordUnavailable`]: it is not in the record, and whoever asked for it is to be told.
    pub fn changed(&self, by: Principal, change: AdminAction) -> Result<(), RecordUnavailable> {
        self.0.append(EventBody::AdminChanged { by, change })
    }

    /// Who is who: for what a protocol must know before anything is proved.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// The open sessions.
    #[must_use]
    pub fn sessions(&self) -> Vec<LiveSession> {
        self.0.registry.list()
    }

    /// Ends a session; false when it is not open here.
    #[must_use]
    pub fn kill(&self, session: SessionId) -> bool {
        self.0.registry.end(session)
    }

    /// Ends every session whose identity was revoked or ran out; how many. To be called when standings change
    /// ([`Identity::changes`]) and, since the clock changes them too, from time to time.
    pub fn end_fallen(&self, now: Timestamp) -> usize {
        self.0.registry.end_unless(|authenticated| self.0.identity.standing(authenticated, now) == Standing::Good)
    }

    /// What was decided so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.counters.read()
    }

    /// Ends the gateway's own stream in the record: the last thing a gateway does.
    pub fn close(&self, reason: &str) {
        // A record that failed has latched: there is nothing left to end.
        let _ended = self.0.own.end(Timestamp::now(), reason);
    }

    /// Records a caller that was turned away before anything that it presented could be judged, in words of the gateway.
    pub fn refused(&self, protocol: Protocol, claimed: &str, client: ClientInfo, why: &'static str) {
        self.record_refused(protocol, claimed, client, why);
    }

    fn record_policy(&self, set: &PolicySet) {
        self.0.record(EventBody::PolicyLoaded {
            policy: Arc::clone(set.digest()),
            bundles: set.bundles().map(|bundle| Arc::clone(&bundle.name)).collect(),
            accepted: true,
            problems: Vec::new(),
        });
    }

    fn record_refused(&self, protocol: Protocol, claimed: &str, client: ClientInfo, why: &str) {
        self.0.counters.refused_entry();
        self.0.record(EventBody::IdentityRefused {
            protocol: protocol.word().into(),
            claimed: claimed.chars().take(128).collect::<String>().into(),
            client,
            why: why.into(),
        });
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }
}

/// Why a verdict on opening a session is not a yes.
fn not_opened(verdict: Verdict) -> Option<Reason> {
    match verdict {
        Verdict::Allow => None,
        Verdict::Deny(reason) => Some(reason),
        // A session cannot be held open before it is open.
        Verdict::Hold(terms) => Some(
            terms
                .into_iter()
                .next()
                .map_or(Reason::Withdrawn, |terms| Reason::ApprovalUnavailable { rule: terms.rule }),
        ),
    }
}
