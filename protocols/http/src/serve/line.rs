//! The task of one client connection: its sessions, and the exchanges that run in them.
//!
//! Promises: an identity is asked about once for each credential and connection name, however many requests show it at
//! once; no more wait for it than may run at once, whatever a client cuts short; a session that nothing runs in makes room
//! for the seventeenth; sessions end with the connection, each saying why.
//! Held by: the test below and `tests/it/http*.rs` of the binary.

use super::asking::Asking;
use super::front::{Arrived, Front, closing, whole};
use super::{Http, REQUESTS};
use crate::api::Api;
use crate::head;
use crate::login;
use crate::reply;
use crate::upstream::Way;
use http::StatusCode;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use portcullis_gate::{Arrival, NotEntered, Session};
use portcullis_model::{ClientInfo, Digest, Name, Protocol, SessionKind};
use portcullis_net::{Drain, Io, Unauthenticated};
use secrecy::SecretString;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Sessions of one connection.
const SESSIONS: usize = 16;
/// How long what was answered last may take to be sent.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long a head may take, from the end of the answer before it.
pub(super) const HEAD: Duration = Duration::from_secs(90);

/// A credential and the connection that it is shown for.
type Key = (Digest, Name);
/// What hyper makes of a connection.
type Serving<'s> = auto::UpgradeableConnection<'s, TokioIo<Io>, Front, TokioExecutor>;

enum Entry {
    /// These wait for it.
    Entering(Vec<Arrived>),
    /// With what waits for somebody else to end it.
    Open(Arc<Session>, AbortHandle),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    ClientLeft,
    Killed,
    RecordFailed,
    Stopped,
    Idle,
    /// Nobody proved who they are.
    Unknown,
}

impl End {
    const fn reason(self) -> &'static str {
        match self {
            Self::ClientLeft | Self::Unknown => "client left",
            Self::Killed => "killed",
            Self::RecordFailed => "the record failed",
            Self::Stopped => "the gateway stopped",
            Self::Idle => "idle",
        }
    }
}

/// One client connection.
pub(super) struct Line {
    http: Arc<Http>,
    peer: SocketAddr,
    transport: Arc<str>,
    drain: Drain,
    /// Until the first identity is accepted.
    unauthenticated: Option<Unauthenticated>,
    sessions: HashMap<Key, Entry>,
    entering: JoinSet<(Key, Result<Session, NotEntered>)>,
    exchanges: JoinSet<()>,
    /// One for each session, done when somebody else ends it.
    ended: JoinSet<End>,
    /// The connection belongs to a socket, which one of the exchanges runs.
    switched: CancellationToken,
}

impl Line {
    pub(super) fn new(
        http: Arc<Http>,
        peer: SocketAddr,
        transport: Arc<str>,
        drain: Drain,
        unauthenticated: Unauthenticated,
    ) -> Self {
        Self {
            http,
            peer,
            transport,
            drain,
            unauthenticated: Some(unauthenticated),
            sessions: HashMap::new(),
            entering: JoinSet::new(),
            exchanges: JoinSet::new(),
            ended: JoinSet::new(),
            switched: CancellationToken::new(),
        }
    }

    pub(super) async fn run(mut self, serving: Serving<'_>, arrivals: mpsc::Receiver<Arrived>) {
        let end = {
            let mut serving = pin!(serving);
            let end = self.until_over(serving.as_mut(), arrivals).await;
            if matches!(end, End::RecordFailed) {
                // Who waits for a head is told why.
                serving.as_mut().graceful_shutdown();
                tokio::time::timeout(FAREWELL, serving).await.ok();
            }
            end
        };
        if matches!(end, End::ClientLeft) {
            // Each sees that its client is gone, or that its client had all of it.
            let over = async { while self.exchanges.join_next().await.is_some() {} };
            tokio::time::timeout(FAREWELL, over).await.ok();
        }
        // What runs in them is recorded as interrupted, what waits as withdrawn, by being dropped.
        self.entering.shutdown().await;
        self.exchanges.shutdown().await;
        for (_, entry) in self.sessions.drain() {
            if let Entry::Open(session, _) = entry {
                close(session, end);
            }
        }
    }

    /// Until an end, and which.
    async fn until_over(
        &mut self,
        mut serving: std::pin::Pin<&mut Serving<'_>>,
        mut arrivals: mpsc::Receiver<Arrived>,
    ) -> End {
        let drain = self.drain.clone();
        let known_by = tokio::time::sleep(self.http.settings.handshake);
        let mut known_by = pin!(known_by);
        let (mut last, mut draining, mut served) = (Instant::now(), false, false);
        loop {
            let over = if draining { End::Stopped } else { End::ClientLeft };
            if served && self.exchanges.is_empty() {
                return over;
            }
            let idle = tokio::time::sleep_until((last + self.http.settings.idle).into());
            let quiet = self.exchanges.is_empty() && self.entering.is_empty();
            tokio::select! {
                biased;
                Some(ended) = self.ended.join_next() => match ended {
                    Ok(end) => return end,
                    // It made room for another session.
                    Err(_) => continue,
                },
                () = drain.cutting() => return End::Stopped,
                () = drain.draining(), if !draining => {
                    draining = true;
                    serving.as_mut().graceful_shutdown();
                }
                // Of a socket the library knows nothing more.
                _ = serving.as_mut(), if !served => {
                    if !self.switched.is_cancelled() {
                        return over;
                    }
                    served = true;
                }
                Some(arrived) = arrivals.recv() => self.take(arrived),
                Some(entered) = self.entering.join_next() => {
                    if let Ok((key, entered)) = entered {
                        self.entered(key, entered);
                    }
                }
                Some(_) = self.exchanges.join_next() => {}
                () = known_by.as_mut(), if self.unauthenticated.is_some() => return End::Unknown,
                () = idle, if quiet => return End::Idle,
            }
            last = Instant::now();
        }
    }

    /// A request: into its session, or to the door.
    fn take(&mut self, mut arrived: Arrived) {
        if arrived.responder.gone.is_cancelled() {
            return;
        }
        let Some(credential) = arrived.credential.take() else { return };
        let key = (head::digest(&credential), arrived.connection.clone());
        match self.sessions.get_mut(&key) {
            Some(Entry::Open(session, _)) => {
                let session = Arc::clone(session);
                self.begin(session, arrived);
            }
            Some(Entry::Entering(waiting)) => {
                if let Some(arrived) = join(waiting, arrived, |one| one.responder.gone.is_cancelled()) {
                    turn_away(arrived, "too many requests wait over one connection; send them again");
                }
            }
            None => self.arrive(key, credential, arrived),
        }
    }

    fn arrive(&mut self, key: Key, credential: SecretString, arrived: Arrived) {
        if self.has_place() {
            self.enter(key.clone(), credential, &arrived);
            self.sessions.insert(key, Entry::Entering(vec![arrived]));
        } else {
            turn_away(arrived, "too many sessions over one connection; open another");
        }
    }

    /// Whether there is a place for another session, which may be that of one where nothing runs.
    fn has_place(&mut self) -> bool {
        if self.sessions.len() < SESSIONS {
            return true;
        }
        let unused = self.sessions.iter().find_map(|(key, entry)| match entry {
            Entry::Open(session, _) if Arc::strong_count(session) == 1 => Some(key.clone()),
            Entry::Open(..) | Entry::Entering(_) => None,
        });
        let Some(key) = unused else { return false };
        if let Some(Entry::Open(session, watch)) = self.sessions.remove(&key) {
            watch.abort();
            close(session, End::Idle);
        }
        true
    }

    fn enter(&mut self, key: Key, credential: SecretString, arrived: &Arrived) {
        let gate = self.http.gate.clone();
        let arrival = Arrival {
            proof: login::proof(credential),
            kind: SessionKind::Http,
            protocol: Protocol::Http,
            connection: key.1.clone(),
            database: None,
            login: None,
            client: ClientInfo {
                address: self.peer.to_string().into(),
                application: arrived.agent.clone(),
                transport: Arc::clone(&self.transport),
            },
            from: self.peer.ip(),
            claimed: "".into(),
        };
        self.entering.spawn(async move { (key, gate.enter(arrival).await) });
    }

    fn entered(&mut self, key: Key, entered: Result<Session, NotEntered>) {
        let Some(Entry::Entering(waiting)) = self.sessions.remove(&key) else { return };
        let session = match entered {
            Ok(session) => Arc::new(session),
            Err(why) => {
                for arrived in waiting {
                    self.refuse(arrived, &why, &key.1);
                }
                return;
            }
        };
        if let Some(unauthenticated) = self.unauthenticated.take() {
            unauthenticated.authenticated();
        }
        let (ended, failed) = (session.ended(), Arc::downgrade(&session));
        let watch = self.ended.spawn(async move {
            ended.cancelled().await;
            if failed.upgrade().is_some_and(|session| session.record_failed()) {
                End::RecordFailed
            } else {
                End::Killed
            }
        });
        for arrived in waiting {
            self.begin(Arc::clone(&session), arrived);
        }
        self.sessions.insert(key, Entry::Open(session, watch));
    }

    fn refuse(&self, arrived: Arrived, why: &NotEntered, connection: &Name) {
        // Whoever is known is told in the words of the API; nobody else learns which it is.
        let api = match why {
            NotEntered::Denied(_) | NotEntered::TooManySessions | NotEntered::RecordUnavailable => {
                self.way(connection).map(|way| way.target.api)
            }
            _ => None,
        };
        let answer = whole(reply::not_entered(api.or(arrived.shape), why, connection.as_str()));
        arrived.responder.answer.send((answer, arrived.body)).ok();
    }

    fn way(&self, connection: &Name) -> Option<Arc<Way>> {
        self.http.ways.get(connection).cloned()
    }

    /// Runs an exchange.
    fn begin(&mut self, session: Arc<Session>, arrived: Arrived) {
        let Some(way) = self.way(&session.connection().name) else { return };
        let Arrived { asks, body, responder, .. } = arrived;
        if responder.gone.is_cancelled() {
            return;
        }
        let settings = &self.http.settings;
        let most = match way.target.api {
            Api::Anthropic | Api::OpenAi => settings.model_body,
            Api::Rest | Api::Mcp => settings.body,
        };
        let (idle, drain, switched) = (settings.idle, self.drain.clone(), self.switched.clone());
        let (share, patience) = (self.http.bodies.of(session.principal()), settings.handshake);
        let asking = Asking { session, way, most, share, patience, idle, drain, switched };
        self.exchanges.spawn(asking.run(asks, body, responder));
    }
}

/// Lets one wait too; gives it back where too many wait. A client can cut its requests short and make others as fast as
/// it likes: those that are gone wait no more.
fn join<T>(waiting: &mut Vec<T>, one: T, is_gone: impl Fn(&T) -> bool) -> Option<T> {
    waiting.retain(|one| !is_gone(one));
    if waiting.len() >= REQUESTS {
        return Some(one);
    }
    waiting.push(one);
    None
}

/// Answers a request that there is no place for.
fn turn_away(arrived: Arrived, why: &str) {
    let full = reply::failed(arrived.shape.unwrap_or(Api::Rest), StatusCode::SERVICE_UNAVAILABLE, why, true);
    arrived.responder.answer.send((closing(whole(full)), arrived.body)).ok();
}

/// Ends a session that nothing runs in. One that something still runs in records that it was interrupted when it goes.
fn close(session: Arc<Session>, end: End) {
    if let Ok(session) = Arc::try_unwrap(session) {
        session.end(end.reason());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_gone_do_not_pile_up_and_no_more_wait_than_may_run() {
        let (mut waiting, gone) = (Vec::new(), |one: &usize| one.is_multiple_of(2));
        for one in 0..1000 {
            join(&mut waiting, one, gone);
            assert!(waiting.len() <= REQUESTS);
        }
        assert_eq!(waiting.iter().filter(|one| !gone(one)).count(), REQUESTS);
        assert_eq!(join(&mut waiting, 1001, gone), Some(1001));
    }
}
