//! Events as a session makes them, and records made of them.

use jiff::Timestamp;
use portcullis_audit::{Recorder, Settings, SigningKey, Stream, Watermark, Writer};
use portcullis_model::{
    Action, ClientInfo, Connection, CredentialKind, Digest, Effect, EventBody, Mark, Name, Object, Operation, Outcome,
    Parameter, Principal, Protocol, QualifiedName, RecordedColumn, RecordedMatch, RecordedOperation, RelationKind,
    Source, StreamKind, Text,
};
use portcullis_store::{Entry, FaultyLog, Log, MemoryLog};
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(&[42; 32])
}

/// Seals with every commit, so that tests need not wait for seals.
pub(crate) fn settings() -> Settings {
    Settings { seal_every: Duration::ZERO, ..Settings::default() }
}

pub(crate) fn open(log: &Arc<MemoryLog>) -> (Recorder, Writer) {
    Recorder::open(Arc::clone(log) as Arc<dyn Log>, key(), settings()).unwrap()
}

/// Releases the log when dropped, so that a failed test does not leave the writer waiting.
pub(crate) struct Faulty(Arc<FaultyLog>);

impl std::ops::Deref for Faulty {
    type Target = FaultyLog;
    fn deref(&self) -> &FaultyLog {
        &self.0
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// The log comes last, so that it is dropped before the writer is.
pub(crate) fn open_faulty(settings: Settings) -> (Writer, Recorder, Faulty) {
    let log = Arc::new(FaultyLog::new(Arc::new(MemoryLog::new())));
    let (recorder, writer) = Recorder::open(Arc::clone(&log) as Arc<dyn Log>, key(), settings).unwrap();
    (writer, recorder, Faulty(log))
}

pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

pub(crate) fn started(user: &str) -> EventBody {
    EventBody::SessionStarted {
        kind: StreamKind::Session,
        principal: Some(Principal {
            issuer: "portcullis".into(),
            subject: user.into(),
            user: user.into(),
            groups: ["agents".into()].into(),
            claims: [("team".into(), ["payments".into()].into())].into(),
            credential: CredentialKind::Oidc,
        }),
        connection: Some(Connection {
            name: Name::canonical("shop"),
            protocol: Protocol::Postgres,
            address: "127.0.0.1:5432".into(),
            database: Some(Name::canonical("shop")),
            login: "app".into(),
        }),
        client: Some(ClientInfo { address: "127.0.0.1:50000".into(), application: None, transport: "tls1.3".into() }),
        gateway: "0.1.0".into(),
    }
}

pub(crate) fn received(command: u64, sql: &str) -> EventBody {
    let orders = Object::relation(QualifiedName::new("public", "orders"), RelationKind::Table);
    let operation = Operation::new(Action::Delete, orders).marked(Mark::Unbounded);
    EventBody::CommandReceived {
        command,
        source: Source::Sql,
        text: Text::plain(sql),
        digest: Digest::of(sql.as_bytes()),
        operations: vec![RecordedOperation::from(&operation)],
        parameters: vec![Parameter { type_name: "int4".into(), value: Some("1".into()) }],
        fault: None,
        prepared_by: None,
    }
}

pub(crate) fn decided(command: u64, verdict: Effect) -> EventBody {
    EventBody::CommandDecided {
        command,
        verdict,
        reason: None,
        told: None,
        matches: vec![RecordedMatch { rule: "shop/read".into(), effect: verdict, operation: 0 }],
        policy: "0011".into(),
        grants: Vec::new(),
        limit: None,
    }
}

pub(crate) fn result(command: u64, columns: &[&str], rows: u64) -> EventBody {
    let column = |name: &&str| RecordedColumn { name: (*name).into(), type_name: "text".into() };
    EventBody::Result {
        command,
        columns: columns.iter().map(column).collect(),
        rows: (0..rows).map(|at| vec![Some(at.to_string().into()), None]).collect(),
        truncated: false,
    }
}

pub(crate) fn settled(command: u64) -> EventBody {
    let outcome = Outcome::Completed { status: "DELETE 3".into(), rows: 3, bytes: 99 };
    EventBody::CommandSettled { command, outcome, data: None }
}

/// One command, allowed and completed.
pub(crate) fn command(stream: &Stream, command: u64) -> u64 {
    stream.append(now(), [received(command, "DELETE FROM orders"), decided(command, Effect::Allow)]).unwrap();
    stream.append(now(), [result(command, &["id", "note"], 2), settled(command)]).unwrap()
}

/// Waits until this append is durable; false when the record failed.
pub(crate) async fn durable(recorder: &Recorder, number: u64) -> bool {
    let mut watermark = recorder.durable();
    let reached = watermark.wait_for(|watermark| watermark.reached(number) != Ok(false)).await;
    matches!(reached.as_deref(), Ok(Watermark::Durable { .. }))
}

/// A closed record of a few sessions, some of them in an earlier run.
pub(crate) fn sample() -> Vec<Entry> {
    let log = Arc::new(MemoryLog::new());
    for run in 0..2 {
        let (recorder, writer) = open(&log);
        for user in ["agent-7", "dba"] {
            let stream = recorder.begin(started(user), now()).unwrap();
            (1..=2 + run).for_each(|number| {
                command(&stream, number);
            });
            stream.append(now(), [received(9, "DROP TABLE orders"), decided(9, Effect::Deny)]).unwrap();
            stream.end(now(), "client left").unwrap();
        }
        writer.close().unwrap();
    }
    log.entries()
}
