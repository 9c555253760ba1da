//! How fast the record takes events: `cargo run --release -p portcullis-audit --example append`.
//!
//! Measures the append of one command's events in the calling task (encoding included), and events a second through
//! chain, seal and commit over a store in memory, for 1 to 64 sessions. The disk is measured by `just bench`.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement by hand")]

use jiff::Timestamp;
use portcullis_audit::{Recorder, Settings, SigningKey, Stream, Watermark};
use portcullis_model::{
    Action, Digest, Effect, EventBody, Object, Operation, Outcome, QualifiedName, RecordedMatch, RecordedOperation,
    RelationKind, Source, StreamKind, Text,
};
use portcullis_store::{Log, MemoryLog};
use std::sync::Arc;
use std::time::{Duration, Instant};

const COMMANDS: u64 = 100_000;

fn started() -> EventBody {
    let kind = StreamKind::Session;
    EventBody::SessionStarted { kind, principal: None, connection: None, client: None, gateway: "0".into() }
}

/// What a command leaves in the record: received, decided, settled.
fn bodies(command: u64) -> ([EventBody; 2], EventBody) {
    let text = "SELECT abalance FROM pgbench_accounts WHERE aid = 4242";
    let table = Object::relation(QualifiedName::new("public", "pgbench_accounts"), RelationKind::Table);
    let received = EventBody::CommandReceived {
        command,
        source: Source::Sql,
        text: Text::plain(text),
        digest: Digest::of(text.as_bytes()),
        operations: vec![RecordedOperation::from(&Operation::new(Action::Read, table))],
        parameters: Vec::new(),
        fault: None,
        prepared_by: None,
    };
    let decided = EventBody::CommandDecided {
        command,
        verdict: Effect::Allow,
        reason: None,
        told: None,
        matches: vec![RecordedMatch { rule: "agents/read-public".into(), effect: Effect::Allow, operation: 0 }],
        policy: "0123456789abcdef0123456789abcdef".into(),
    };
    let outcome = Outcome::Completed { status: "SELECT 1".into(), rows: 1, bytes: 24 };
    ([received, decided], EventBody::CommandSettled { command, outcome, data: None })
}

fn open() -> (Recorder, portcullis_audit::Writer) {
    let log = Arc::new(MemoryLog::new()) as Arc<dyn Log>;
    let settings = Settings { queue_bytes: usize::MAX, ..Settings::default() };
    Recorder::open(log, SigningKey::from_seed(&[1; 32]), settings).unwrap()
}

/// Appends one command; the time is that of the two appends alone.
fn append(stream: &Stream, command: u64) -> Duration {
    let (asked, settled) = bodies(command);
    let now = Timestamp::now();
    let start = Instant::now();
    stream.append(now, asked).unwrap();
    stream.append(now, [settled]).unwrap();
    start.elapsed()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for sessions in [1, 4, 16, 64] {
        let (recorder, writer) = open();
        let start = Instant::now();
        let spent: Duration = runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..sessions {
                let recorder = recorder.clone();
                tasks.spawn(async move {
                    let stream = recorder.begin(started(), Timestamp::now()).unwrap();
                    let mut spent = Duration::ZERO;
                    for command in 1..=COMMANDS / sessions {
                        stream.room().await;
                        spent += append(&stream, command);
                    }
                    let last = stream.newest();
                    let mut durable = recorder.durable();
                    durable
                        .wait_for(|mark| mark.reached(last) == Ok(true) || *mark == Watermark::Failed)
                        .await
                        .unwrap();
                    spent
                });
            }
            tasks.join_all().await.into_iter().sum()
        });
        let events = COMMANDS / sessions * sessions * 3;
        let rate = events as f64 / start.elapsed().as_secs_f64();
        let each = spent.as_nanos() as f64 / (events / 3) as f64;
        println!("{sessions:>3} sessions: {rate:>9.0} events/s, {each:>6.0} ns a command in the caller");
        writer.close().unwrap();
    }
}
