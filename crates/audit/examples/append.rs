//! How fast the record takes events: `cargo run --release -p portcullis-audit --example append`.
//!
//! Measures the processor time of one command's three events: in the calling task (encoding included), and in the writer
//! (chain, seal, a store in memory). The disk is measured by `just bench`.

#![allow(clippy::indexing_slicing, clippy::print_stdout, clippy::unwrap_used, reason = "a measurement by hand")]

use jiff::Timestamp;
use portcullis_audit::{Recorder, Settings, SigningKey, Stream};
use portcullis_model::{
    Action, Digest, Effect, EventBody, Object, Operation, Outcome, QualifiedName, RecordedMatch, RecordedOperation,
    RelationKind, Source, StreamKind, Text,
};
use portcullis_store::{FaultyLog, Log, MemoryLog};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SESSIONS: usize = 16;
const ROUNDS: u64 = 40;
const COMMANDS: u64 = 2_000;

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
        grants: Vec::new(),
        limit: None,
    };
    let outcome = Outcome::Completed { status: "SELECT 1".into(), rows: 1, bytes: 24 };
    ([received, decided], EventBody::CommandSettled { command, outcome, data: None })
}

/// Nanoseconds that threads spent on a processor, which a busy machine does not change: of this one, or of all.
fn on_cpu(tasks: impl Iterator<Item = std::path::PathBuf>) -> u64 {
    let spent = tasks.filter_map(|task| std::fs::read_to_string(task.join("schedstat")).ok());
    spent.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum()
}

fn caller() -> u64 {
    on_cpu(["/proc/thread-self".into()].into_iter())
}

fn process() -> u64 {
    on_cpu(std::fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| task.path()))
}

/// Begins sessions and lets their commands wait behind a blocked disk, so that the caller's part is seen alone; then lets
/// the writer go.
fn main() {
    let log = Arc::new(FaultyLog::new(Arc::new(MemoryLog::new())));
    let settings = Settings { queue_bytes: usize::MAX, ..Settings::default() };
    let key = SigningKey::from_seed(&[1; 32]);
    let (recorder, writer) = Recorder::open(Arc::clone(&log) as Arc<dyn Log>, key, settings).unwrap();
    let streams: Vec<_> = (0..SESSIONS).map(|_| recorder.begin(started(), Timestamp::now()).unwrap()).collect();
    let now = Timestamp::now();
    for round in 1..=ROUNDS {
        log.block();
        let start = caller();
        let made: Vec<_> = (1..=COMMANDS).map(|at| bodies(round * COMMANDS + at)).collect();
        let middle = caller();
        for (at, (asked, settled)) in made.into_iter().enumerate() {
            let stream = &streams[at % SESSIONS];
            stream.append(now, asked).unwrap();
            stream.append(now, [settled]).unwrap();
        }
        let (end, before) = (caller(), process());
        let released = Instant::now();
        log.release();
        let last = streams.iter().map(Stream::newest).max().unwrap();
        while recorder.durable().borrow().reached(last) == Ok(false) {
            std::thread::sleep(Duration::from_micros(100));
        }
        let wall = released.elapsed();
        let writer = process() - before;
        println!(
            "a command: making its events {} ns, appending them {} ns, chaining and storing {} ns; {:.0} events/s",
            (middle - start) / COMMANDS,
            (end - middle) / COMMANDS,
            writer / COMMANDS,
            (3 * COMMANDS) as f64 / wall.as_secs_f64(),
        );
    }
    drop(streams);
    writer.close().unwrap();
}
