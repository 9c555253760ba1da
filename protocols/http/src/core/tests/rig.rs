//! One exchange between a client that says what a test says and a backend that a test plays, over a gate in memory.

use crate::api::mcp::Seal;
use crate::api::{Api, rest::Opaque};
use crate::core::{Core, Proposal, Steps, Target, Waiting};
use crate::error::Error;
use crate::frame::{Head, Method, Request, ToClient};
use crate::path::{Path, Query};
use crate::tools::ToolTable;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use portcullis_approvals::{Ballot, Desk, Vote};
use portcullis_audit::{Durability, Recorder, Settings as RecordSettings, SigningKey, Writer};
use portcullis_credentials::Credentials;
use portcullis_gate::{
    Arrival, Downstream, Gate, MaskingKey, Outlet, Parts, Proof, Session, Settings, Settled, Upstream, Waited,
};
use portcullis_identity::{Authenticated, Identity, NewToken, Settings as IdentitySettings, TokenKey};
use portcullis_model::{
    ApprovalId, ClientInfo, Connection, CredentialKind, Effect, EventBody, Name, Outcome, Principal, Protocol,
    SessionId, SessionKind, StreamKind,
};
use portcullis_policy::{PolicySet, SourceFile};
use portcullis_store::{MemoryLog, MemoryTable, Table};
use secrecy::SecretBox;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The rules of every test.
pub(crate) const BUNDLE: &str = r#"
bundle: test
applies_to: { connections: [service], principals: { groups: [agents] } }
rules:
  - id: reads
    allow: { actions: [read], objects: ["endpoint * /**"] }
  - id: models
    allow: { actions: [generate], objects: ["model *"] }
  - id: looks
    allow: { actions: [call, execute], objects: ["tool Bash", "program ls"] }
  - id: files
    allow: { actions: [read], objects: ["file **"] }
  - id: ask
    hold: { actions: [insert, execute, call], objects: ["endpoint POST /orders", "program uptime", "tool wipe"] }
    approvers: { groups: [dba] }
budgets:
  - { id: daily, tokens_per_day: 1000 }
"#;

pub(crate) fn policy(text: &str) -> PolicySet {
    PolicySet::load(&[SourceFile::new("test.yaml", text)]).map_err(|problems| format!("{problems:?}")).unwrap().set
}

/// A gate over an in-memory record.
pub(crate) struct House {
    pub(crate) gate: Gate,
    desk: Desk,
    identity: Arc<Identity>,
    record: Recorder,
    _writer: Writer,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::counting_in(Arc::new(MemoryTable::new())).await
    }

    /// One whose budgets are counted in this table.
    pub(crate) async fn counting_in(budgets: Arc<dyn Table>) -> Self {
        // What leaves at once can be compared without waiting for a writer; the gate's own tests run strict.
        let durability = Durability::Batched;
        let settings = RecordSettings { durability, ..RecordSettings::default() };
        let log = Arc::new(MemoryLog::new());
        let (record, writer) = Recorder::open(log, SigningKey::from_seed(&[7; 32]), settings).unwrap();
        let table = || Arc::new(MemoryTable::new());
        let identity = Identity::open(table(), TokenKey::generate(), IdentitySettings::default()).await.unwrap();
        let identity = Arc::new(identity);
        let service = Connection {
            name: Name::canonical("service"),
            protocol: Protocol::Http,
            address: "127.0.0.1:80".into(),
            database: None,
            login: "".into(),
        };
        let desk = Desk::open_at(table(), "one", Arc::new(Timestamp::now)).await.unwrap();
        let gate = Gate::new(Parts {
            policy: policy(BUNDLE),
            recorder: record.clone(),
            identity: Arc::clone(&identity),
            credentials: Arc::new(Credentials::default()),
            masking_key: Arc::new(MaskingKey::new([3; 32])),
            desk: desk.clone(),
            connections: HashMap::from([(service.name.clone(), service)]),
            settings: Settings {
                durability,
                result_bytes: 1 << 20,
                approval_wait: std::time::Duration::from_secs(600),
                sessions_per_principal: 1000,
                version: "test".into(),
            },
        })
        .unwrap();
        gate.count_budgets_in(budgets);
        Self { gate, desk, identity, record, _writer: writer }
    }

    pub(crate) async fn session(&self) -> Session {
        let wanted = NewToken::for_user("agent-7").in_group("agents");
        let made =
            self.identity.create_token(wanted, &Authenticated::local_admin(None), Timestamp::now()).await.unwrap();
        self.gate
            .enter(Arrival {
                proof: Proof::Token { token: made.text, claimed_user: None },
                kind: SessionKind::Http,
                protocol: Protocol::Http,
                connection: Name::canonical("service"),
                database: None,
                login: None,
                client: ClientInfo { address: "127.0.0.1:9".into(), application: None, transport: "test".into() },
                from: IpAddr::V4(Ipv4Addr::LOCALHOST),
                claimed: "".into(),
            })
            .await
            .map_err(|error| error.to_string())
            .unwrap()
    }

    /// An exchange with a service of this API.
    pub(super) async fn exchange(&self, api: Api) -> Rig {
        Rig::of(Arc::new(self.session().await), api)
    }

    /// Votes, once the request is there.
    pub(crate) async fn vote(&self, approval: ApprovalId, ballot: Ballot) {
        let dba = Principal {
            issuer: "https://idp".into(),
            subject: "dana".into(),
            user: "dana".into(),
            groups: [Arc::from("dba")].into(),
            claims: [].into(),
            credential: CredentialKind::Oidc,
        };
        let now = Timestamp::now();
        let vote = Vote::new(dba, now, now, ballot).unwrap();
        let begun = Instant::now();
        while self.desk.vote(approval, &vote).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "nobody is asked about {approval}");
            tokio::task::yield_now().await;
        }
    }

    /// Verdicts, outcomes, use and answers of a session, in the order of the record.
    pub(super) async fn told(&self, rig: &Rig) -> Vec<String> {
        self.told_of(rig.id).await
    }

    pub(crate) async fn told_of(&self, session: SessionId) -> Vec<String> {
        let probe = self.record.begin(
            EventBody::SessionStarted {
                kind: StreamKind::Gateway,
                principal: None,
                connection: None,
                client: None,
                gateway: "probe".into(),
            },
            Timestamp::now(),
        );
        let newest = probe.unwrap().newest();
        let mut durable = self.record.durable();
        durable.wait_for(|mark| mark.reached(newest).unwrap_or(true)).await.unwrap();
        self.record.reader().events(session, 0).filter_map(|event| line(&event.unwrap().body)).collect()
    }
}

fn line(event: &EventBody) -> Option<String> {
    match event {
        EventBody::CommandReceived { command, text, .. } => Some(format!("{command} {}", text.as_str())),
        EventBody::CommandDecided { command, verdict, .. } if *verdict != Effect::Allow => {
            Some(format!("{command} {}", verdict.word()))
        }
        EventBody::ApprovalSettled { command, verdict, .. } => Some(format!("{command} vote {verdict}")),
        EventBody::Usage { command, usage } => Some(format!("{command} used {}+{}", usage.input, usage.output)),
        EventBody::Output { text, .. } => Some(format!("said {text}")),
        EventBody::CommandSettled { command, outcome, .. } => Some(match outcome {
            Outcome::Completed { status, .. } => format!("{command} completed {status}"),
            Outcome::Failed { status, .. } => format!("{command} failed {status}"),
            Outcome::Skipped => format!("{command} skipped"),
            Outcome::Refused { .. } => format!("{command} refused"),
            Outcome::Withdrawn => format!("{command} withdrawn"),
            Outcome::Abandoned => format!("{command} abandoned"),
            Outcome::Interrupted => format!("{command} interrupted"),
        }),
        _ => None,
    }
}

/// A peer that keeps what it is sent.
pub(crate) struct Sink<F> {
    #[expect(clippy::disallowed_types, reason = "a test's frames")]
    frames: Arc<std::sync::Mutex<Vec<F>>>,
}

impl<F> Sink<F> {
    pub(crate) fn new() -> Self {
        Self { frames: Arc::default() }
    }

    pub(crate) fn again(&self) -> Self {
        Self { frames: Arc::clone(&self.frames) }
    }

    pub(crate) fn take(&self) -> Vec<F> {
        std::mem::take(&mut self.frames.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<F: portcullis_gate::Weight> Outlet for Sink<F> {
    type Frame = F;

    fn stage(&mut self, frame: F) {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).push(frame);
    }

    fn staged(&self) -> usize {
        0
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

enum Held {
    Request(watch::Receiver<ApprovalId>, BoxFuture<'static, Waited<Request>>),
    Proposal(ApprovalId, BoxFuture<'static, Settled<Proposal>>),
}

/// What a client was told: the status once there is a head, what came behind it, and how it ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    /// `None` while it goes on; whether it was whole.
    pub(super) ended: Option<bool>,
}

/// One exchange.
pub(super) struct Rig {
    core: Core,
    pub(super) id: SessionId,
    session: Arc<Session>,
    steps: Steps,
    up: Upstream<Sink<Request>>,
    down: Downstream<Sink<ToClient>>,
    to_backend: Sink<Request>,
    to_client: Sink<ToClient>,
    hold: Option<Held>,
    pub(super) told: Told,
    /// What was forwarded.
    pub(super) sent: Vec<Request>,
}

impl Rig {
    fn of(session: Arc<Session>, api: Api) -> Self {
        let seal = Seal::new(&SecretBox::new(Box::new([5; 32]))).unwrap();
        let target = Target {
            api,
            tools: Arc::new(ToolTable::default()),
            opaque: Arc::new(Opaque::new([])),
            seal: Arc::new(seal),
        };
        let (to_backend, to_client) = (Sink::new(), Sink::new());
        Self {
            core: Core::new(Arc::clone(&session), Arc::new(target)),
            id: session.id(),
            steps: Steps::default(),
            up: Upstream::new(to_backend.again(), &session),
            down: Downstream::new(to_client.again(), &session),
            session,
            to_backend,
            to_client,
            hold: None,
            told: Told::default(),
            sent: Vec::new(),
        }
    }

    /// Another exchange of the same session.
    pub(super) fn another(&self, api: Api) -> Self {
        Self::of(Arc::clone(&self.session), api)
    }

    /// Does what the core said, as `serve/exchange.rs` does.
    async fn apply(&mut self) {
        loop {
            if let Some(cleared) = self.steps.up.take() {
                self.up.push(cleared);
            }
            for released in self.steps.down.drain(..) {
                self.down.push(released);
            }
            let mut cx = Context::from_waker(Waker::noop());
            assert!(matches!(self.up.poll_send(&mut cx), Poll::Ready(Ok(()))));
            assert!(matches!(self.down.poll_send(&mut cx), Poll::Ready(Ok(()))));
            if self.steps.end {
                self.hold = None;
            }
            if let Some(waiting) = self.steps.hold.take() {
                self.hold = Some(match waiting {
                    Waiting::Request(hold, patience) => {
                        Held::Request(hold.waits_for(), Box::pin(hold.settle_within(patience)))
                    }
                    Waiting::Proposal(hold) => Held::Proposal(hold.approval(), Box::pin(hold.settle())),
                });
            }
            if let Some((reservation, used)) = self.steps.used.take() {
                reservation.settle(used).await;
            }
            let Some(reserve) = self.steps.reserve.take() else { break };
            let reserved = self.session.reserve(&reserve.permit, reserve.tokens).await;
            self.core.on_reserved(reserve.permit, reserved, &mut self.steps);
        }
        self.sent.extend(self.to_backend.take());
        for frame in self.to_client.take() {
            match frame {
                ToClient::Head(_) if self.told.status != 0 => panic!("two heads"),
                ToClient::Head(head) => (self.told.status, self.told.headers) = (head.status.as_u16(), head.headers),
                ToClient::Data(data) => self.told.body.push_str(std::str::from_utf8(&data).unwrap()),
                ToClient::End => self.told.ended = Some(true),
                ToClient::Abort => self.told.ended = Some(false),
            }
        }
    }

    pub(super) async fn ask(&mut self, method: &str, path: &str, body: &str) {
        self.ask_within(None, method, path, body).await;
    }

    /// The same of a client that stays for so long.
    pub(super) async fn ask_within(&mut self, patience: Option<Duration>, method: &str, path: &str, body: &str) {
        self.ask_with(HeaderMap::new(), patience, method, path, body).await;
    }

    /// The same with headers of its own.
    pub(super) async fn ask_with(
        &mut self,
        mut headers: HeaderMap,
        patience: Option<Duration>,
        method: &str,
        path: &str,
        body: &str,
    ) {
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        if !body.is_empty() {
            headers.insert("content-type", HeaderValue::from_static("application/json"));
        }
        let request = Request {
            method: Method::of(method).unwrap(),
            path: Path::read(path).unwrap(),
            query: Query::default(),
            headers,
            body: Bytes::from(body.to_owned()),
        };
        self.core.on_request(request, patience, &mut self.steps);
        self.apply().await;
    }

    /// The head of the backend's answer, and what of it is there at once.
    pub(super) async fn answer(&mut self, status: u16, kind: &str, coding: Option<&'static str>, body: &[u8]) {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_str(kind).unwrap());
        if let Some(coding) = coding {
            headers.insert(HeaderName::from_static("content-encoding"), HeaderValue::from_static(coding));
        }
        let head = Head { status: StatusCode::from_u16(status).unwrap(), headers };
        assert!(self.core.wants_backend());
        self.core.on_head(head, &mut self.steps);
        self.apply().await;
        self.data(body).await;
    }

    /// Bytes of it, read to their end. How many steps that took.
    pub(super) async fn data(&mut self, body: &[u8]) -> usize {
        let mut steps = 1;
        self.core.on_data(Bytes::copy_from_slice(body), &mut self.steps);
        self.apply().await;
        while self.core.is_behind() {
            self.core.on_more(&mut self.steps);
            self.apply().await;
            steps += 1;
        }
        steps
    }

    pub(super) async fn end(&mut self) {
        self.core.on_end(&mut self.steps);
        self.apply().await;
    }

    pub(super) async fn broken(&mut self, error: Error) {
        self.core.on_broken(&error, &mut self.steps);
        self.apply().await;
    }

    pub(super) async fn gone(&mut self) {
        self.core.on_gone(&mut self.steps);
        self.hold = None;
        if let Some((reservation, used)) = self.steps.used.take() {
            reservation.settle(used).await;
        }
        assert!(self.steps.up.is_none() && self.steps.down.is_empty(), "something is sent to nobody");
    }

    pub(super) fn is_held(&self) -> bool {
        self.hold.is_some()
    }

    /// Ten seconds of a hold pass.
    pub(super) async fn waited(&mut self) {
        self.core.on_waited(&mut self.steps);
        self.apply().await;
    }

    /// The wait for people ends, for whatever reason.
    pub(super) async fn over(&mut self) {
        match self.hold.take().unwrap() {
            Held::Request(_, held) => self.core.on_request_settled(held.await, &mut self.steps),
            Held::Proposal(_, held) => self.core.on_proposal_settled(held.await, &mut self.steps),
        }
        self.apply().await;
    }

    /// People decide.
    pub(super) async fn decided(&mut self, house: &House, ballot: Ballot) {
        match self.hold.take().unwrap() {
            Held::Request(approval, held) => {
                let approval = *approval.borrow();
                let (settled, ()) = tokio::join!(held, house.vote(approval, ballot));
                self.core.on_request_settled(settled, &mut self.steps);
            }
            Held::Proposal(approval, held) => {
                let (settled, ()) = tokio::join!(held, house.vote(approval, ballot));
                self.core.on_proposal_settled(settled, &mut self.steps);
            }
        }
        self.apply().await;
        // What waited behind the verdict is read on.
        while self.core.is_behind() {
            self.core.on_more(&mut self.steps);
            self.apply().await;
        }
    }
}
