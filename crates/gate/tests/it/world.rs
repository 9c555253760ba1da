//! A gate made of in-memory parts, and a peer that keeps what it is sent.

use bytes::Bytes;
use jiff::Timestamp;
use portcullis_approvals::Desk;
use portcullis_audit::{Durability, Reader, Recorder, Settings as RecordSettings, SigningKey, Writer};
use portcullis_credentials::{Credentials, Method, Source as Login};
use portcullis_gate::{Arrival, Gate, MaskingKey, NotEntered, Outlet, Parts, Session, Settings};
use portcullis_identity::{Authenticated, Identity, NewToken, Proof, Settings as IdentitySettings, TokenKey};
use portcullis_model::{
    Action, ClientInfo, Command, Connection, Digest, Event, EventBody, Name, Object, Operation, Protocol,
    QualifiedName, RelationKind, SessionId, SessionKind, Source, Text, TokenId,
};
use portcullis_policy::{PolicySet, SourceFile};
use portcullis_store::{FaultyLog, MemoryLog, MemoryTable, Table};
use secrecy::SecretString;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

pub(crate) const BUNDLE: &str = r#"
bundle: shop
applies_to: { connections: [shop], principals: { groups: [agents] } }
rules:
  - id: reads
    allow: { actions: [read], objects: ["table public.*"] }
  - id: writes
    allow: { actions: [update], objects: ["table public.*"] }
  - id: no-unbounded
    deny: { actions: [update], marks: [unbounded] }
    message: Name the rows.
  - id: ask-a-person
    hold: { actions: [create], objects: ["table public.*"] }
    approvers: { groups: [dba] }
    expires: 10m
"#;

pub(crate) struct World {
    pub(crate) gate: Gate,
    pub(crate) log: Arc<FaultyLog>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) desk: Desk,
    pub(crate) recorder: Recorder,
    _writer: Writer,
}

pub(crate) fn policy(text: &str) -> PolicySet {
    PolicySet::load(&[SourceFile::new("shop.yaml", text)]).unwrap().set
}

impl World {
    /// A strict gate at which nobody can vote.
    pub(crate) async fn new() -> Self {
        Self::with(Durability::Strict, Desk::closed()).await
    }

    /// A strict gate at which people can vote.
    pub(crate) async fn with_approvers() -> Self {
        let table = Arc::new(MemoryTable::new());
        let desk = Desk::open_at(table, "gateway-1", Arc::new(Timestamp::now)).await.unwrap();
        Self::with(Durability::Strict, desk).await
    }

    pub(crate) async fn with(durability: Durability, desk: Desk) -> Self {
        Self::waiting(durability, desk, Duration::from_secs(3600)).await
    }

    /// A gate where nobody waits for people longer than that.
    pub(crate) async fn waiting(durability: Durability, desk: Desk, approval_wait: Duration) -> Self {
        Self::over(Arc::new(MemoryTable::new()), durability, desk, approval_wait).await
    }

    /// A gate whose identities are kept in this table.
    pub(crate) async fn over(
        table: Arc<dyn Table>,
        durability: Durability,
        desk: Desk,
        approval_wait: Duration,
    ) -> Self {
        let log = Arc::new(FaultyLog::new(Arc::new(MemoryLog::new())));
        let settings = RecordSettings { durability, ..RecordSettings::default() };
        let (recorder, writer) =
            Recorder::open(Arc::clone(&log) as _, SigningKey::from_seed(&[7; 32]), settings).unwrap();
        let identity = Identity::open(table, TokenKey::generate(), IdentitySettings::default()).await.unwrap();
        let identity = Arc::new(identity);
        let shop = Connection {
            name: Name::canonical("shop"),
            protocol: Protocol::Postgres,
            address: "127.0.0.1:5432".into(),
            database: Some(Name::canonical("shop")),
            login: "app".into(),
        };
        let source = Login { username: "app".into(), logins: ["owner".into()].into(), method: Method::None };
        let gate = Gate::new(Parts {
            policy: policy(BUNDLE),
            recorder: recorder.clone(),
            identity: Arc::clone(&identity),
            credentials: Arc::new(Credentials::new([(shop.name.clone(), source)].into())),
            desk: desk.clone(),
            masking_key: Arc::new(MaskingKey::new([3; 32])),
            connections: HashMap::from([(shop.name.clone(), shop)]),
            settings: Settings {
                durability,
                result_bytes: 1024,
                approval_wait,
                sessions_per_principal: 64,
                version: "test".into(),
            },
        })
        .unwrap();
        Self { gate, log, identity, desk, recorder, _writer: writer }
    }

    pub(crate) async fn token(&self, group: &str) -> (TokenId, SecretString) {
        self.token_of("agent-7", group).await
    }

    pub(crate) async fn token_of(&self, user: &str, group: &str) -> (TokenId, SecretString) {
        self.token_by(&Authenticated::local_admin(None), user, group).await
    }

    /// A token that somebody made.
    pub(crate) async fn token_by(&self, maker: &Authenticated, user: &str, group: &str) -> (TokenId, SecretString) {
        let wanted = NewToken::for_user(user).in_group(group);
        let made = self.identity.create_token(wanted, maker, Timestamp::now()).await.unwrap();
        (made.id, made.text)
    }

    pub(crate) async fn arrive(&self, connection: &str, token: SecretString) -> Result<Session, NotEntered> {
        self.arrive_as(connection, None, token).await
    }

    pub(crate) async fn arrive_as(
        &self,
        connection: &str,
        login: Option<&str>,
        token: SecretString,
    ) -> Result<Session, NotEntered> {
        self.gate
            .enter(Arrival {
                proof: Proof::Token { token, claimed_user: None },
                kind: SessionKind::Sql,
                protocol: Protocol::Postgres,
                connection: Name::canonical(connection),
                database: None,
                login: login.map(Into::into),
                client: ClientInfo { address: "127.0.0.1:9".into(), application: None, transport: "test".into() },
                from: IpAddr::V4(Ipv4Addr::LOCALHOST),
                claimed: "agent-7".into(),
            })
            .await
    }

    pub(crate) async fn session(&self) -> Session {
        self.session_of("agent-7").await
    }

    pub(crate) async fn session_of(&self, user: &str) -> Session {
        let (_, token) = self.token_of(user, "agents").await;
        self.arrive("shop", token).await.unwrap()
    }

    /// Everything that is durable now, of this stream.
    pub(crate) fn events(&self, id: SessionId) -> Vec<Event> {
        let reader: Reader = self.recorder.reader();
        reader.events(id, 0).collect::<Result<_, _>>().unwrap()
    }

    /// Waits until all that was appended is durable.
    pub(crate) async fn settle(&self, session: &Session) {
        let probe = self.recorder.begin(
            EventBody::SessionStarted {
                kind: portcullis_model::StreamKind::Gateway,
                principal: None,
                connection: None,
                client: None,
                gateway: "probe".into(),
            },
            Timestamp::now(),
        );
        let newest = probe.unwrap().newest();
        let mut watermark = self.recorder.durable();
        watermark.wait_for(|mark| mark.reached(newest).unwrap_or(true)).await.unwrap();
        let _ = session.id();
    }
}

pub(crate) fn table(name: &str) -> Object {
    Object::relation(QualifiedName::new("public", name), RelationKind::Table)
}

pub(crate) fn command(text: &str, operation: Operation) -> Command {
    Command::new(Source::Sql, Text::plain(text), [operation], Digest::of(text.as_bytes()))
}

pub(crate) fn reads(text: &str) -> Command {
    command(text, Operation::new(Action::Read, table("orders")))
}

pub(crate) fn writes(text: &str) -> Command {
    command(text, Operation::new(Action::Update, table("orders")))
}

/// A minute for what other tasks bring about. Not by the runtime's clock, which may stand still.
pub(crate) struct Patience(Instant);

impl Patience {
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Lets other tasks go on; panics where the minute is over.
    pub(crate) async fn turn(&self) {
        assert!(self.0.elapsed() < Duration::from_secs(60), "it did not come within a minute");
        tokio::task::yield_now().await;
    }
}

/// A peer that keeps what it is sent.
#[derive(Default)]
pub(crate) struct Sink {
    staged: Vec<Bytes>,
    pub(crate) sent: Arc<std::sync::atomic::AtomicUsize>,
    pub(crate) writes: Arc<std::sync::atomic::AtomicUsize>,
}

impl Outlet for Sink {
    type Frame = Bytes;

    fn stage(&mut self, frame: Bytes) {
        self.staged.push(frame);
    }

    fn staged(&self) -> usize {
        self.staged.iter().map(Bytes::len).sum()
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        use std::sync::atomic::Ordering::SeqCst;
        self.sent.fetch_add(self.staged.len(), SeqCst);
        self.writes.fetch_add(1, SeqCst);
        self.staged.clear();
        Poll::Ready(Ok(()))
    }
}
