//! The gate that a played session enters: everything of it in memory.
//!
//! It stands here and not in a crate because a protocol may not import policy, record or identity, and because no crate
//! that ships should be able to make a session of a gate that nobody configured.
//! Promises: each session is fresh; its gate refuses every `drop` and what no rule allows, asks people for `truncate`,
//! and writes a batched record. A gate is replaced after some sessions, so that its record does not fill the memory.

use jiff::Timestamp;
use portcullis_approvals::Desk;
use portcullis_audit::{Durability, Recorder, Settings as RecordSettings, SigningKey, Writer};
use portcullis_credentials::Credentials;
use portcullis_gate::{Arrival, Gate, MaskingKey, Parts, Proof, Session, Settings};
use portcullis_identity::{Authenticated, Identity, NewToken, Settings as IdentitySettings, TokenKey};
use portcullis_model::{ClientInfo, Connection, Name, Protocol, SessionKind};
use portcullis_policy::{PolicySet, SourceFile};
use portcullis_store::{MemoryLog, MemoryTable};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::runtime::Runtime;

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

/// Sessions that one gate serves.
const SESSIONS: usize = 2000;

thread_local! {
    static HOUSE: RefCell<Option<House>> = const { RefCell::new(None) };
}

struct House {
    gate: Gate,
    identity: Arc<Identity>,
    served: usize,
    _writer: Writer,
    runtime: Runtime,
}

/// Plays an input in a fresh session.
pub fn in_a_session(data: &[u8], play: fn(Session, &[u8])) {
    HOUSE.with_borrow_mut(|house| {
        let House { gate, identity, served, runtime, .. } = house.get_or_insert_with(House::new);
        *served += 1;
        let session = runtime.block_on(enter(gate, identity));
        let _inside = runtime.enter();
        play(session, data);
        if *served == SESSIONS {
            *house = None;
        }
    });
}

impl House {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (gate, identity, writer) = runtime.block_on(gate());
        Self { gate, identity, served: 0, _writer: writer, runtime }
    }
}

async fn gate() -> (Gate, Arc<Identity>, Writer) {
    let durability = Durability::Batched;
    let settings = RecordSettings { durability, ..RecordSettings::default() };
    let key = SigningKey::from_seed(&[7; 32]);
    let (recorder, writer) = Recorder::open(Arc::new(MemoryLog::new()), key, settings).expect("an empty record");
    let identity =
        Identity::open(Arc::new(MemoryTable::new()), TokenKey::generate(), IdentitySettings::default()).await;
    let identity = Arc::new(identity.expect("an empty table"));
    let shop = Connection {
        name: Name::canonical("shop"),
        protocol: Protocol::Postgres,
        address: "127.0.0.1:5432".into(),
        database: Some(Name::canonical("shop")),
        login: "app".into(),
    };
    let desk = Desk::open_at(Arc::new(MemoryTable::new()), "one", Arc::new(Timestamp::now)).await;
    let gate = Gate::new(Parts {
        policy: PolicySet::load(&[SourceFile::new("test.yaml", BUNDLE)]).expect("a bundle that loads").set,
        recorder,
        identity: Arc::clone(&identity),
        credentials: Arc::new(Credentials::default()),
        desk: desk.expect("an empty table"),
        masking_key: Arc::new(MaskingKey::new([3; 32])),
        connections: HashMap::from([(shop.name.clone(), shop)]),
        settings: Settings {
            durability,
            result_bytes: 4096,
            approval_wait: std::time::Duration::from_secs(600),
            sessions_per_principal: 1000,
            version: "test".into(),
        },
    });
    (gate.expect("a gate"), identity, writer)
}

async fn enter(gate: &Gate, identity: &Identity) -> Session {
    let wanted = NewToken::for_user("agent-7").in_group("agents");
    let made = identity.create_token(wanted, &Authenticated::local_admin(None), Timestamp::now()).await;
    gate.enter(Arrival {
        proof: Proof::Token { token: made.expect("a token").text, claimed_user: None },
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
    .unwrap_or_else(|error| panic!("the gate is open: {error}"))
}
