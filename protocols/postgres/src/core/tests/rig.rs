//! The core between a client that says what a test says and a [`Server`].

use super::server::Server;
use crate::classify::Reader;
use crate::core::{Core, Snapshot, Steps};
use crate::frame::{FrameBuf, FrameLimits, Next, Phase};
use crate::preview::Foretold;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use portcullis_approvals::Desk;
use portcullis_audit::{Durability, Reader as RecordReader, Recorder, Settings as RecordSettings, SigningKey, Writer};
use portcullis_credentials::Credentials;
use portcullis_gate::{Arrival, Downstream, Gate, MaskingKey, Outlet, Parts, Session, Settings, Settled, Upstream};
use portcullis_identity::{Authenticated, Identity, NewToken, Proof, Settings as IdentitySettings, TokenKey};
use portcullis_model::catalogue::{Catalogue, Column, Contents, FiredBy, RelKind, Relation, Rule};
use portcullis_model::{
    ClientInfo, Connection, Effect, EventBody, Name, Outcome, Protocol, SessionId, SessionKind, StreamKind,
};
use portcullis_policy::{PolicySet, SourceFile};
use portcullis_sql::{Cache, Limits};
use portcullis_store::{MemoryLog, MemoryTable};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

const BUNDLE: &str = r#"
bundle: test
applies_to: { connections: [shop], principals: { groups: [agents] } }
rules:
  - id: all
    allow: { actions: [read, insert, update, delete], objects: ["table public.*"], marks: [bulk] }
  - id: no-drop
    deny: { actions: [drop], objects: ["*"] }
  - id: ask
    hold: { actions: [truncate], objects: ["table public.*"] }
    approvers: { groups: [dba] }
"#;

/// Two rows of `public.items` and `public.ruled` may be written.
const LIMITED: &str = r#"
bundle: test
applies_to: { connections: [shop], principals: { groups: [agents] } }
rules:
  - id: reads
    allow: { actions: [read], objects: ["table public.*"], marks: [bulk] }
  - id: few
    allow: { actions: [write], objects: ["table public.*"], marks: [bulk] }
    max_rows: 2
"#;

/// Everything may be read and made.
const MAKING: &str = r#"
bundle: test
applies_to: { connections: [shop], principals: { groups: [agents] } }
rules:
  - id: all
    allow: { actions: [read, create, configure], objects: ["*"] }
"#;

/// People decide about what deletes from `public.items` or truncates it.
const HOLDING: &str = r#"
bundle: test
applies_to: { connections: [shop], principals: { groups: [agents] } }
rules:
  - id: all
    allow: { actions: [read, write, execute], objects: ["*"] }
  - id: ask
    hold: { actions: [delete, truncate], objects: ["table public.items"] }
    approvers: { groups: [dba] }
    in_transaction: wait
    preview: count
"#;

/// The usual rules, and masks: of a column, and of what looks like a card.
const MASKS: &str = r#"
mask:
  - id: pii
    columns: [public.people.ssn]
    with: redact
    predicates: allow
    unless: { groups: [privacy] }
"#;

const DETECTORS: &str = r#"
mask:
  - id: cards
    detect: [payment_card]
    with: redact
"#;

/// A gate over an in-memory record.
pub(crate) struct House {
    pub(crate) gate: Gate,
    identity: Arc<Identity>,
    record: Recorder,
    _writer: Writer,
}

/// A gate where the usual rules are in force.
pub(crate) async fn gate() -> House {
    House::new().await
}

/// A gate where `public.people.ssn` is masked besides.
pub(super) async fn masked() -> House {
    let house = House::new().await;
    house.gate.set_policy(policy(&format!("{BUNDLE}{MASKS}")));
    house
}

/// A gate where cards are masked wherever they are.
pub(super) async fn detecting() -> House {
    let house = House::new().await;
    house.gate.set_policy(policy(&format!("{BUNDLE}{DETECTORS}")));
    house
}

/// A gate whose rules hold what deletes from `public.items`.
pub(super) async fn holding() -> House {
    let house = House::new().await;
    house.gate.set_policy(policy(HOLDING));
    house
}

/// A gate whose rules let everything be read and made.
pub(super) async fn making() -> House {
    let house = House::new().await;
    house.gate.set_policy(policy(MAKING));
    house
}

/// A gate whose rules let a statement write two rows.
pub(super) async fn limited() -> House {
    let house = House::new().await;
    house.gate.set_policy(policy(LIMITED));
    house
}

/// The same, where `public.people.ssn` is masked besides.
pub(super) async fn limited_and_masked() -> House {
    let house = House::new().await;
    house.gate.set_policy(policy(&format!("{LIMITED}{MASKS}")));
    house
}

/// The usual rules.
pub(super) fn usual() -> PolicySet {
    policy(BUNDLE)
}

fn policy(text: &str) -> PolicySet {
    PolicySet::load(&[SourceFile::new("test.yaml", text)]).map_err(|problems| format!("{problems:?}")).unwrap().set
}

impl House {
    async fn new() -> Self {
        let log = Arc::new(MemoryLog::new());
        // What leaves at once can be compared without waiting for a writer; tests/it runs strict.
        let durability = Durability::Batched;
        let settings = RecordSettings { durability, ..RecordSettings::default() };
        let (record, writer) = Recorder::open(log, SigningKey::from_seed(&[7; 32]), settings).unwrap();
        let identity = Identity::open(Arc::new(MemoryTable::new()), TokenKey::generate(), IdentitySettings::default())
            .await
            .unwrap();
        let identity = Arc::new(identity);
        let shop = Connection {
            name: Name::canonical("shop"),
            protocol: Protocol::Postgres,
            address: "127.0.0.1:5432".into(),
            database: Some(Name::canonical("shop")),
            login: "app".into(),
        };
        let desk = Desk::open_at(Arc::new(MemoryTable::new()), "one", Arc::new(Timestamp::now)).await.unwrap();
        let gate = Gate::new(Parts {
            policy: policy(BUNDLE),
            recorder: record.clone(),
            identity: Arc::clone(&identity),
            credentials: Arc::new(Credentials::default()),
            masking_key: Arc::new(MaskingKey::new([3; 32])),
            desk,
            connections: HashMap::from([(shop.name.clone(), shop)]),
            settings: Settings {
                durability,
                result_bytes: 4096,
                approval_wait: std::time::Duration::from_secs(600),
                sessions_per_principal: 1000,
                version: "test".into(),
            },
        })
        .unwrap();
        Self { gate, identity, record, _writer: writer }
    }

    pub(crate) async fn session(&self) -> Session {
        self.session_of(&["agents"]).await
    }

    /// A session of somebody in these groups.
    pub(super) async fn session_of(&self, groups: &[&str]) -> Session {
        let wanted = groups.iter().fold(NewToken::for_user("agent-7"), |token, group| token.in_group(*group));
        let made =
            self.identity.create_token(wanted, &Authenticated::local_admin(None), Timestamp::now()).await.unwrap();
        self.gate
            .enter(Arrival {
                proof: Proof::Token { token: made.text, claimed_user: None },
                kind: SessionKind::Sql,
                protocol: Protocol::Postgres,
                connection: Name::canonical("shop"),
                database: None,
                login: None,
                client: ClientInfo { address: "127.0.0.1:9".into(), application: None, transport: "test".into() },
                from: IpAddr::V4(Ipv4Addr::LOCALHOST),
                claimed: "agent-7".into(),
            })
            .await
            .map_err(|error| error.to_string())
            .unwrap()
    }

    /// Verdicts and outcomes of a session, in the order of the record.
    pub(super) async fn told(&self, id: SessionId) -> Vec<String> {
        self.events(id).await.iter().filter_map(line).collect()
    }

    /// What the record holds of answers: rows, and what was said.
    pub(super) async fn answers(&self, id: SessionId) -> Vec<String> {
        self.events(id).await.iter().flat_map(answer).collect()
    }

    async fn events(&self, id: SessionId) -> Vec<EventBody> {
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
        let reader: RecordReader = self.record.reader();
        reader.events(id, 0).map(|event| event.unwrap().body).collect()
    }
}

fn answer(event: &EventBody) -> Vec<String> {
    match event {
        EventBody::Result { rows, .. } => {
            let cell = |cell: &Option<Arc<str>>| cell.as_deref().unwrap_or("NULL").to_owned();
            rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join("|")).collect()
        }
        EventBody::Output { stream, text, .. } => vec![format!("{stream}: {text}")],
        EventBody::Masked { columns, .. } => {
            columns.iter().map(|one| format!("masked {} {} {}", one.column, one.reason, one.values)).collect()
        }
        EventBody::CommandSettled { outcome: Outcome::Failed { message: Some(message), .. }, .. } => {
            vec![format!("failed: {message}")]
        }
        _ => Vec::new(),
    }
}

fn line(event: &EventBody) -> Option<String> {
    match event {
        EventBody::CommandReceived { command, text, .. } => Some(format!("{command} {}", text.as_str())),
        EventBody::CommandPrepared { command, text, .. } => Some(format!("{command} prepared {}", text.as_str())),
        EventBody::CommandDecided { command, verdict, .. } if *verdict != Effect::Allow => {
            Some(format!("{command} {}", verdict.word()))
        }
        EventBody::CommandSettled { command, outcome, data } => Some(format!(
            "{command} {}{}",
            match outcome {
                Outcome::Completed { status, rows, .. } => format!("completed {status} {rows}"),
                Outcome::Failed { status, .. } => format!("failed {status}"),
                Outcome::Skipped => "skipped".to_owned(),
                Outcome::Refused { undone: None } => "refused".to_owned(),
                Outcome::Refused { undone: Some(rows) } => format!("refused, {rows} rows undone"),
                Outcome::Withdrawn => "withdrawn".to_owned(),
                Outcome::Abandoned => "abandoned".to_owned(),
                Outcome::Interrupted => "interrupted".to_owned(),
            },
            if data.is_some() { " +data" } else { "" }
        )),
        _ => None,
    }
}

/// A peer that keeps what it is sent.
#[derive(Clone, Default)]
struct Sink {
    #[expect(clippy::disallowed_types, reason = "a test's bytes")]
    bytes: Arc<std::sync::Mutex<Vec<u8>>>,
}

impl Sink {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Outlet for Sink {
    type Frame = Bytes;

    fn stage(&mut self, frame: Bytes) {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&frame);
    }

    fn staged(&self) -> usize {
        0
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The catalogue of the tests: `public.items`, `public.others`, and `public.people` with a column that masks hide.
fn catalogue() -> Catalogue {
    let column = |number, name: &str| Column {
        number,
        name: Name::canonical(name),
        type_oid: if number == 1 { 23 } else { 25 },
        collation: if number == 1 { 0 } else { 100 },
        not_null: false,
        generated: None,
        derived: None,
        default: None,
    };
    let relation = |oid, name: &str| Relation {
        oid,
        schema: Name::canonical("public"),
        name: Name::canonical(name),
        kind: RelKind::Table,
        columns: vec![column(1, "id"), column(2, "name")],
        children: Vec::new(),
        parents: Vec::new(),
        definition: None,
        reads: Vec::new(),
        rules: Vec::new(),
        triggers: Vec::new(),
        referenced_by: Vec::new(),
        functions: Vec::new(),
    };
    let mut people = relation(20_002, "people");
    people.columns = vec![column(1, "id"), column(2, "ssn"), column(3, "name")];
    let mut ruled = relation(20_003, "ruled");
    ruled.rules = vec![Rule {
        name: Name::canonical("tells"),
        event: FiredBy::Insert,
        instead: false,
        definition: "CREATE RULE tells AS ON INSERT TO public.ruled DO SELECT ssn FROM public.people".into(),
    }];
    let relations = vec![relation(20_000, "items"), relation(20_001, "others"), people, ruled];
    let schemas = ["public", "pg_catalog"].map(Name::canonical).to_vec();
    Catalogue::new(1, Contents { relations, schemas, ..Contents::default() })
}

/// A core, its peers and what is on the way.
pub(super) struct Rig {
    pub(super) core: Core,
    pub(super) server: Server,
    pub(super) id: SessionId,
    pub(super) steps: Steps,
    up: Upstream<Sink>,
    down: Downstream<Sink>,
    to_server: Sink,
    to_client: Sink,
    from_client: FrameBuf,
    from_server: FrameBuf,
    /// Answers of the server that have not been delivered.
    coming: Vec<u8>,
    /// Everything that was sent to the server.
    pub(super) sent: Vec<u8>,
    pub(super) hold: Option<BoxFuture<'static, Settled<Bytes>>>,
    /// What people would be told about what was held last.
    pub(super) preview: Option<Foretold>,
    pub(super) end: Option<&'static str>,
    pub(super) refreshes: usize,
    /// The gate whose session it is, where the test needs it no more.
    pub(super) house: Option<House>,
}

impl Rig {
    pub(super) async fn new(house: &House) -> Self {
        Self::of(house.session().await)
    }

    /// A rig whose server says only what the test says, once the session has begun.
    pub(super) async fn by_hand(house: &House, groups: &[&str]) -> Self {
        let mut rig = Self::of(house.session_of(groups).await);
        rig.quiet();
        rig.told();
        rig.sent.clear();
        rig.server.silent = true;
        rig
    }

    fn of(session: Session) -> Self {
        let session = Arc::new(session);
        let (to_server, to_client) = (Sink::default(), Sink::default());
        let (up, down) = (Upstream::new(to_server.clone(), &session), Downstream::new(to_client.clone(), &session));
        let known = Arc::new(catalogue());
        let snapshot: Snapshot = Arc::new(move || Arc::clone(&known));
        let reader = Reader { cache: Arc::new(Cache::new(1 << 20)), limits: Limits::default().pinned() };
        let id = session.id();
        let mut rig = Self {
            core: Core::new(session, reader, snapshot, 42, Some(4711)),
            server: Server::default(),
            id,
            steps: Steps::default(),
            up,
            down,
            to_server,
            to_client,
            from_client: FrameBuf::new(FrameLimits::default()),
            from_server: FrameBuf::new(FrameLimits::default()),
            coming: Vec::new(),
            sent: Vec::new(),
            hold: None,
            preview: None,
            end: None,
            refreshes: 0,
            house: None,
        };
        rig.core.start(&mut rig.steps);
        rig.apply();
        rig
    }

    fn apply(&mut self) {
        for cleared in self.steps.up.drain(..) {
            self.up.push(cleared);
        }
        for released in self.steps.down.drain(..) {
            self.down.push(released);
        }
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(self.up.poll_send(&mut cx), Poll::Ready(Ok(()))));
        assert!(matches!(self.down.poll_send(&mut cx), Poll::Ready(Ok(()))));
        if std::mem::take(&mut self.steps.unhold) {
            self.hold = None;
        }
        if let Some(preview) = self.steps.preview.take() {
            self.preview = Some(preview);
        }
        if let Some(hold) = self.steps.hold.take() {
            self.hold = Some(Box::pin(hold.settle()));
        }
        self.end = self.end.or(self.steps.end.take());
        if std::mem::take(&mut self.steps.refresh) {
            self.refreshes += 1;
            self.core.on_refreshed(&mut self.steps);
            self.apply();
        }
        let sent = self.to_server.take();
        self.sent.extend_from_slice(&sent);
        let answers = self.server.take(&sent);
        self.coming.extend_from_slice(&answers);
    }

    /// The client's next bytes.
    pub(super) fn client(&mut self, bytes: &[u8]) {
        self.from_client.push(bytes);
        self.take_client();
    }

    fn take_client(&mut self) {
        while self.end.is_none() && self.core.wants_client() {
            match self.from_client.next(self.core.phase(), b"") {
                Next::Frame(frame) => self.core.on_client(frame, &mut self.steps),
                Next::Oversize { tag, length, limit } => self.core.on_oversize(tag, length, limit, &mut self.steps),
                Next::Bad(error) => self.core.malformed(&error.to_string(), &mut self.steps),
                Next::NeedMore | Next::Chunk(_) => break,
            }
            self.apply();
        }
    }

    /// Delivers up to so many bytes of what the server answered; true if there were any.
    pub(super) fn deliver(&mut self, bytes: usize) -> bool {
        let now = self.coming.len().min(bytes);
        let later = self.coming.split_off(now);
        let now = std::mem::replace(&mut self.coming, later);
        self.backend(&now);
        !now.is_empty()
    }

    /// Bytes of a server, whatever they are.
    pub(super) fn backend(&mut self, bytes: &[u8]) {
        self.from_server.push(bytes);
        while self.end.is_none() {
            if let Some(rows) = self.from_server.run(b'D', 1 << 16) {
                self.core.on_rows(rows, &mut self.steps);
            } else {
                match self.from_server.next(Phase::ServerReady, b"dD") {
                    Next::Frame(frame) => self.core.on_backend(frame, &mut self.steps),
                    Next::Chunk(chunk) => self.core.on_backend_chunk(chunk, &mut self.steps),
                    Next::Bad(_) | Next::Oversize { .. } => self.core.breach("no message", &mut self.steps),
                    Next::NeedMore => break,
                }
            }
            self.apply();
        }
        self.take_client();
    }

    /// Delivers everything until nothing moves.
    pub(super) fn quiet(&mut self) {
        while self.deliver(usize::MAX) {}
    }

    pub(super) fn withdraw(&mut self) {
        self.core.on_withdrawn(&mut self.steps);
        self.apply();
        self.take_client();
    }

    /// Nobody has decided for a while.
    pub(super) fn waited(&mut self) {
        self.core.on_waited(&mut self.steps);
        self.apply();
    }

    /// What the client was told since the last time: tags, with SQLSTATEs and statuses.
    pub(super) fn outline(&mut self) -> String {
        outline(&self.told())
    }

    /// What the client was told since the last time.
    pub(super) fn told(&mut self) -> Vec<u8> {
        self.to_client.take()
    }
}

/// What a client was told: tags, with SQLSTATEs and statuses.
pub(super) fn outline(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    let mut rest = bytes;
    while rest.len() >= 5 {
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        let body = &rest[5..=length];
        out.push(match rest[0] {
            b'E' => {
                let code = body.split(|b| *b == 0).find(|field| field.first() == Some(&b'C')).unwrap();
                format!("E{}", String::from_utf8_lossy(&code[1..]))
            }
            b'Z' => format!("Z{}", char::from(body[0])),
            tag => char::from(tag).to_string(),
        });
        rest = &rest[length + 1..];
    }
    out.join(" ")
}

/// Frames as a test writes them.
pub(super) mod says {
    use crate::message::{Target, write};
    use bytes::{BufMut, BytesMut};

    fn one(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
        let mut out = BytesMut::new();
        write(&mut out);
        out.to_vec()
    }

    pub(in super::super) fn query(sql: &str) -> Vec<u8> {
        one(|out| write::query(out, sql))
    }

    pub(in super::super) fn parse(name: &str, sql: &str) -> Vec<u8> {
        one(|out| write::parse(out, name, sql, &[]))
    }

    pub(in super::super) fn bind(portal: &str, statement: &str) -> Vec<u8> {
        one(|out| write::bind(out, portal, statement, &[], false))
    }

    pub(in super::super) fn execute(portal: &str) -> Vec<u8> {
        one(|out| write::execute(out, portal, 0))
    }

    pub(in super::super) fn close(name: &str) -> Vec<u8> {
        one(|out| write::close(out, Target::Statement(name)))
    }

    pub(in super::super) fn describe(portal: &str) -> Vec<u8> {
        one(|out| write::describe(out, Target::Portal(portal)))
    }

    pub(in super::super) fn sync() -> Vec<u8> {
        one(write::sync)
    }

    pub(in super::super) fn data(bytes: &[u8]) -> Vec<u8> {
        one(|out| {
            out.put_u8(b'd');
            out.put_u32(u32::try_from(bytes.len() + 4).unwrap());
            out.put_slice(bytes);
        })
    }

    pub(in super::super) fn done() -> Vec<u8> {
        b"c\0\0\0\x04".to_vec()
    }

    pub(in super::super) fn execute_some(portal: &str, rows: i32) -> Vec<u8> {
        one(|out| write::execute(out, portal, rows))
    }

    pub(in super::super) fn close_portal(name: &str) -> Vec<u8> {
        one(|out| write::close(out, Target::Portal(name)))
    }

    pub(in super::super) fn describe_statement(name: &str) -> Vec<u8> {
        one(|out| write::describe(out, Target::Statement(name)))
    }

    /// P, B, E of one text.
    pub(in super::super) fn run(sql: &str) -> Vec<u8> {
        [parse("", sql), bind("", ""), execute("")].concat()
    }
}
