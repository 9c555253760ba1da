//! `kill -9` under load: what was reported durable is there, the chain verifies, and nothing stays open.
//!
//! The child is this test binary run again with `PORTCULLIS_CRASH_DIR` set; it says on its standard output what it saw
//! become durable, one line each, and is killed in the middle of it.

use crate::file_log::FileLog;
use crate::samples::{command, decided, durable, key, now, open, received, settings, started};
use portcullis_audit::{Durability, Reader, Recorder, Settings, verify};
use portcullis_model::{Effect, EventBody, Outcome, SessionId};
use portcullis_store::{Log, MemoryLog};
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const DIR: &str = "PORTCULLIS_CRASH_DIR";

fn cases(default: u64) -> u64 {
    std::env::var("PORTCULLIS_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .map_or(default, |cases: u64| cases.min(50))
}

/// Not a test by itself: the child of `kill_9_under_load`, which does nothing unless it is started as that.
#[test]
fn child_that_records_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let durability =
        if std::env::var_os("PORTCULLIS_BATCHED").is_some() { Durability::Batched } else { Durability::Strict };
    let log = Arc::new(FileLog::open(&std::path::Path::new(&dir).join("log"))) as Arc<dyn Log>;
    let settings = Settings { durability, seal_every: Duration::from_millis(3), ..Settings::default() };
    let (recorder, _writer) = Recorder::open(log, key(), settings).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut sessions = tokio::task::JoinSet::new();
        for user in 0..8 {
            let recorder = recorder.clone();
            sessions.spawn(async move {
                loop {
                    let stream = recorder.begin(started(&user.to_string()), now()).unwrap();
                    for number in 1..20 {
                        let asked = [received(number, "DELETE FROM orders"), decided(number, Effect::Allow)];
                        let appended = stream.append(now(), asked).unwrap();
                        assert!(durable(&recorder, appended).await);
                        // What the gate would forward now.
                        writeln!(std::io::stdout(), "{} {number}", stream.id()).unwrap();
                        stream.append(now(), [crate::samples::settled(number)]).unwrap();
                    }
                }
            });
        }
        sessions.join_all().await;
    });
}

fn run_and_kill(dir: &std::path::Path, batched: bool, lines: usize) -> HashMap<SessionId, u64> {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "crash::child_that_records_until_it_is_killed", "--nocapture"]).env(DIR, dir);
    if batched {
        child.env("PORTCULLIS_BATCHED", "1");
    }
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut told = HashMap::new();
    let mut seen = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The harness prints lines of its own, and the last one may be cut.
        if let Some((session, number)) = line.rsplit_once(' ')
            && let (Ok(session), Ok(number)) = (session.rsplit(' ').next().unwrap().parse(), number.parse::<u64>())
        {
            let newest = told.entry(session).or_insert(0);
            *newest = number.max(*newest);
            seen += 1;
        }
        if seen == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    told
}

fn kill_9_under_load(batched: bool) {
    let dir = tempfile::tempdir().unwrap();
    let mut told = HashMap::new();
    for case in 0..cases(3) {
        // Every run starts on what the last one left, so recovery itself is under test each time.
        told.extend(run_and_kill(dir.path(), batched, 150 + 37 * usize::try_from(case).unwrap()));
        let log = Arc::new(FileLog::open(&dir.path().join("log"))) as Arc<dyn Log>;
        let crashed = verify::store(&log, key().public(), &[]).unwrap();
        let (recorder, writer) = Recorder::open(Arc::clone(&log), key(), settings()).unwrap();
        let recovered =
            verify::store(&log, key().public(), &crashed.checkpoint.into_iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(recovered.unsealed, 0, "a start seals what was not");
        for (session, newest) in &told {
            assert_closed(&recorder.reader(), *session, *newest);
        }
        writer.close().unwrap();
    }
}

/// The session is ended, its commands up to the one seen durable are there, and each is settled once.
fn assert_closed(reader: &Reader, session: SessionId, newest: u64) {
    let events: Vec<_> = reader.events(session, 0).map(Result::unwrap).collect();
    assert!(matches!(events.last().unwrap().body, EventBody::SessionEnded { .. }));
    let commands = events.iter().filter(|event| matches!(event.body, EventBody::CommandReceived { .. })).count() as u64;
    assert!(commands >= newest, "{commands} of {newest} are there");
    let settled = events.iter().filter(|event| matches!(event.body, EventBody::CommandSettled { .. })).count() as u64;
    assert_eq!(settled, commands);
}

#[test]
fn kill_9_under_load_strict() {
    kill_9_under_load(false);
}

#[test]
fn kill_9_under_load_batched() {
    kill_9_under_load(true);
}

/// The store as it is after each commit of a run is one that a start can go on from.
#[test]
fn every_prefix_of_the_commits_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (recorder, writer) = Recorder::open(Arc::new(FileLog::open(&path)), key(), settings()).unwrap();
    for user in ["a", "b"] {
        let stream = recorder.begin(started(user), now()).unwrap();
        (1..4).for_each(|number| {
            command(&stream, number);
        });
    }
    writer.close().unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let log = Arc::new(FileLog::open(&path)) as Arc<dyn Log>;
        let (_, writer) = Recorder::open(Arc::clone(&log), key(), settings()).unwrap();
        writer.close().unwrap();
        match verify::store(&log, key().public(), &[]) {
            Ok(report) => assert_eq!(report.unsealed, 0, "cut at {length}"),
            Err(verify::VerifyError::NoRecord(_)) => assert!(log.scan(b"", b"", 1).unwrap().is_empty()),
            Err(error) => panic!("cut at {length}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_start_closes_what_a_crash_left_open() {
    let log = Arc::new(MemoryLog::new());
    let (recorder, writer) = open(&log);
    let stream = recorder.begin(started("a"), now()).unwrap();
    command(&stream, 1);
    let number = stream.append(now(), [received(2, "x"), decided(2, Effect::Allow)]).unwrap();
    assert!(durable(&recorder, number).await);
    let crashed = Arc::new(MemoryLog::holding(log.entries()));
    let id = stream.id();
    drop(stream);
    drop(writer);
    for _ in 0..3 {
        let (recorder, writer) = open(&crashed);
        let events: Vec<_> = recorder.reader().events(id, 0).map(Result::unwrap).collect();
        let [.., settled, ended] = events.as_slice() else { panic!("too few") };
        let interrupted = EventBody::CommandSettled { command: 2, outcome: Outcome::Interrupted, data: None };
        assert_eq!(settled.body, interrupted);
        assert_eq!(ended.body, EventBody::SessionEnded { reason: "interrupted".into(), commands: 2 });
        assert_eq!(recorder.reader().session(id).unwrap().reason.as_deref(), Some("interrupted"));
        writer.close().unwrap();
        let log = Arc::clone(&crashed) as Arc<dyn Log>;
        assert_eq!(verify::store(&log, key().public(), &[]).unwrap().unsealed, 0);
    }
}
