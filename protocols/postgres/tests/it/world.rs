//! A gateway in this process, in front of a real server, with its record at hand.

use jiff::Timestamp;
use portcullis_approvals::Desk;
use portcullis_audit::{Durability, Recorder as Record, Settings as RecordSettings, SigningKey, Writer};
use portcullis_credentials::{Credentials, Method, SecretSource, Source};
use portcullis_gate::{Gate, MaskingKey, Parts};
use portcullis_identity::{Authenticated, Identity, NewToken, Settings as IdentitySettings, TokenKey};
use portcullis_model::{Connection, Event, EventBody, Name, Outcome, Protocol};
use portcullis_net::{Address, ClientTls, DialOptions, Drain, Limits, listen, serve_tcp};
use portcullis_policy::{PolicySet, SourceFile};
use portcullis_postgres::login::client::Discovery;
use portcullis_postgres::{Destination, Postgres as Gateway, Settings, negotiate};
use portcullis_store::{FaultyLog, MemoryLog, MemoryTable};
use portcullis_testkit::postgres::SUPERUSER;
use portcullis_testkit::wire::RawClient;
use portcullis_testkit::{Postgres, Recorder};
use secrecy::ExposeSecret;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// How long a test waits for what others bring about; less than the statements sleep that it ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Waits until this holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = tokio::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What most tests run under: reading and bounded writing are allowed, destruction is not, DDL on `held_*` waits.
pub(crate) const BUNDLE: &str = r#"
bundle: test
applies_to: { connections: [shop], principals: { groups: [agents] } }
rules:
  - id: reads
    allow: { actions: [read], objects: ["table public.*", "table pg_temp*.*", "table other.*"] }
  - id: bulk
    allow: { actions: [read, insert], objects: ["table public.*"], marks: [bulk] }
  - id: writes
    allow: { actions: [insert, update, delete], objects: ["table public.*", "table pg_temp*.*"] }
  - id: tables
    allow: { actions: [create, alter], objects: ["*"] }
  - id: settings
    allow: { actions: [configure], objects: ["setting *"] }
  - id: functions
    allow: { actions: [execute], objects: ["function public.*", "function pg_catalog.*"] }
  - id: no-unbounded
    deny: { actions: [update, delete], marks: [unbounded] }
    message: Name the rows.
  - id: no-destruction
    deny: { actions: [drop, truncate], objects: ["table public.*"] }
    message: Nothing is dropped here.
  - id: secrets
    deny: { actions: [read], objects: ["table public.secrets", "table evil.*"] }
"#;

pub(crate) struct World {
    pub(crate) address: String,
    pub(crate) gate: Gate,
    pub(crate) database: String,
    pub(crate) recorder: Recorder,
    pub(crate) token: String,
    pub(crate) log: Arc<FaultyLog>,
    pub(crate) drain: Drain,
    pub(crate) identity: Arc<Identity>,
    record: Record,
    _writer: Writer,
}

/// How a world differs from the usual one.
pub(crate) struct Wish {
    pub(crate) policy: String,
    pub(crate) sql: &'static str,
    pub(crate) desk: Option<Desk>,
    pub(crate) upstream: Option<String>,
    pub(crate) idle: Duration,
}

impl Default for Wish {
    fn default() -> Self {
        Self { policy: BUNDLE.to_owned(), sql: SCHEMA, desk: None, upstream: None, idle: Duration::from_secs(3600) }
    }
}

/// The tables that tests use.
pub(crate) const SCHEMA: &str = "
CREATE TABLE public.items (id int PRIMARY KEY, name text NOT NULL, price numeric(10,2));
INSERT INTO public.items SELECT n, 'item ' || n, n * 1.5 FROM generate_series(1, 100) n;
CREATE TABLE public.secrets (id int PRIMARY KEY, word text);
INSERT INTO public.secrets VALUES (1, 'hush');
CREATE SCHEMA evil; CREATE TABLE evil.items (id int, name text, price numeric); INSERT INTO evil.items VALUES (0, 'evil', 0);
CREATE SCHEMA other; CREATE TABLE other.things (id int); INSERT INTO other.things VALUES (7);
";

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Wish::default()).await
    }

    pub(crate) async fn with(wish: Wish) -> Self {
        let server = Postgres::shared().unwrap();
        let database = server.create_database("it", wish.sql).unwrap();
        let recorder = Recorder::start(&wish.upstream.unwrap_or_else(|| server.address())).unwrap();
        let log = Arc::new(FaultyLog::new(Arc::new(MemoryLog::new())));
        let settings = RecordSettings { durability: Durability::Strict, ..RecordSettings::default() };
        let (record, writer) = Record::open(Arc::clone(&log) as _, SigningKey::from_seed(&[7; 32]), settings).unwrap();
        let table = Arc::new(MemoryTable::new());
        let identity = Identity::open(table, TokenKey::generate(), IdentitySettings::default()).await.unwrap();
        let identity = Arc::new(identity);
        let shop = Connection {
            name: Name::canonical("shop"),
            protocol: Protocol::Postgres,
            address: recorder.address().into(),
            database: Some(Name::canonical(database.as_str())),
            login: SUPERUSER.into(),
        };
        let password = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(password.path(), server.password()).unwrap();
        let (_, path) = password.keep().unwrap();
        let source = Source {
            username: SUPERUSER.into(),
            logins: [].into(),
            method: Method::Password(SecretSource::File(path)),
        };
        let gate = Gate::new(Parts {
            policy: policy(&wish.policy),
            recorder: record.clone(),
            identity: Arc::clone(&identity),
            credentials: Arc::new(Credentials::new(BTreeMap::from([(shop.name.clone(), source)]))),
            desk: wish.desk.unwrap_or_else(Desk::closed),
            masking_key: Arc::new(MaskingKey::new([3; 32])),
            connections: HashMap::from([(shop.name.clone(), shop.clone())]),
            settings: portcullis_gate::Settings {
                durability: Durability::Strict,
                result_bytes: 64 * 1024,
                approval_wait: std::time::Duration::from_secs(600),
                sessions_per_principal: 1000,
                version: "test".into(),
            },
        })
        .unwrap();
        let destination = Destination {
            address: recorder.address().parse::<Address>().unwrap(),
            tls: ClientTls::disabled(),
            server_name: None,
            database: Name::canonical(database.as_str()),
            databases: vec![Name::canonical("postgres")],
            dial: DialOptions::default(),
        };
        let discovery = Some(Discovery { issuer: "https://idp.example".into(), scope: "openid".into() });
        let settings = Settings { idle: wish.idle, discovery, ..Settings::new(negotiate::Settings::new(None)) };
        let gateway = Arc::new(Gateway::new(settings, gate.clone(), HashMap::from([(shop.name, destination)])));
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let drain = Drain::new();
        let handler = move |accepted| Arc::clone(&gateway).serve(accepted);
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        tokio::spawn(serve_tcp(listener, Limits::default(), drain.clone(), handler));
        let wanted = NewToken::for_user("agent-7").in_group("agents");
        let made = identity.create_token(wanted, &Authenticated::local_admin(None), Timestamp::now()).await.unwrap();
        let token = made.text.expose_secret().to_owned();
        Self { address, gate, database, recorder, token, log, drain, identity, record, _writer: writer }
    }

    /// A client that is in.
    pub(crate) async fn client(&self) -> RawClient {
        RawClient::login(&self.address, "agent-7", "shop", &self.token).await.unwrap()
    }

    /// What the server's superuser sees.
    pub(crate) fn sql(&self, text: &str) -> String {
        Postgres::shared().unwrap().run_sql(&self.database, text).unwrap().trim().to_owned()
    }

    /// Ends the gateway gently, and returns every durable event of its client sessions, in order.
    pub(crate) async fn events(&self) -> Vec<Event> {
        eventually("the end of every session", || self.gate.sessions().is_empty()).await;
        let reader = self.record.reader();
        let probe = self.record.begin(
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
        let mut watermark = self.record.durable();
        watermark.wait_for(|mark| mark.reached(newest).unwrap_or(true)).await.unwrap();
        let mut events = Vec::new();
        for session in reader.sessions(None, 1000).unwrap().0 {
            events.extend(reader.events(session.id, 0).map(Result::unwrap));
        }
        events
    }
}

pub(crate) fn policy(text: &str) -> PolicySet {
    match PolicySet::load(&[SourceFile::new("test.yaml", text)]) {
        Ok(loaded) => loaded.set,
        Err(problems) => panic!("{problems:?}"),
    }
}

/// The outcomes in the record, with the command's number and text.
pub(crate) fn outcomes(events: &[Event]) -> Vec<(String, Outcome)> {
    let text = |number: u64, stream| {
        events
            .iter()
            .filter(|event| event.stream == stream)
            .find_map(|event| match &event.body {
                EventBody::CommandReceived { command, text, .. } if *command == number => {
                    Some(text.as_str().to_owned())
                }
                _ => None,
            })
            .unwrap_or_default()
    };
    events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::CommandSettled { command, outcome, .. } => Some((text(*command, event.stream), outcome.clone())),
            _ => None,
        })
        .collect()
}
