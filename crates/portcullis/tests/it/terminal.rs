//! A recorded terminal as an auditor meets it: played on a terminal at its speed, into a pipe at once, exported for
//! players; whatever the target wrote, the auditor's own terminal only draws, and is put right when it is stopped.

use crate::surroundings::BINARY;
use jiff::{SignedDuration, Timestamp};
use portcullis_audit::{Recorder, Settings, SigningKey};
use portcullis_model::{Digest, Effect, EventBody, Outcome, Source, StreamKind, Text};
use portcullis_store_rocksdb::Store;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CONFIG: &str = "data_dir: ./data\nlisten: { postgres: 127.0.0.1:0 }\nconnections:\n  shop: { protocol: postgres, address: \
    127.0.0.1:5432, database: shop, username: app, password: { env: SHOP_PASSWORD }, tls: verify-full }\n\
    policies: [policy.yaml]\n";

const POLICY: &str =
    "bundle: p\napplies_to: { connections: [\"*\"] }\nrules:\n  - id: none\n    deny: { actions: [any] }\n";

fn output(text: &str) -> EventBody {
    EventBody::Output { command: Some(1), stream: "terminal".into(), text: text.into(), truncated: false }
}

fn shell() -> [EventBody; 3] {
    let text = "shell";
    [
        EventBody::CommandReceived {
            command: 1,
            source: Source::Shell,
            text: Text::plain(text),
            digest: Digest::of(text.as_bytes()),
            operations: Vec::new(),
            parameters: Vec::new(),
            fault: None,
            prepared_by: None,
        },
        EventBody::CommandDecided {
            command: 1,
            verdict: Effect::Allow,
            reason: None,
            told: None,
            matches: Vec::new(),
            policy: "00".into(),
            grants: Vec::new(),
            limit: None,
        },
        EventBody::Terminal { command: Some(1), columns: 100, rows: 30, name: Some("xterm".into()) },
    ]
}

/// The store of a gateway that does not run, with one recorded shell in it: a second of work, a minute of nothing.
fn recorded(directory: &Path) -> String {
    std::fs::write(directory.join("portcullis.yaml"), CONFIG).unwrap();
    std::fs::write(directory.join("policy.yaml"), POLICY).unwrap();
    let data = directory.join("data");
    std::fs::create_dir(&data).unwrap();
    let store = Store::open(&data.join("store")).unwrap();
    let key = SigningKey::load_or_create(&data.join("audit.key")).unwrap();
    let (recorder, writer) = Recorder::open(store.log(), key, Settings::default()).unwrap();
    let began: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let at = |millis| began + SignedDuration::from_millis(millis);
    let started = EventBody::SessionStarted {
        kind: StreamKind::Session,
        principal: None,
        connection: None,
        client: None,
        gateway: "test".into(),
    };
    let stream = recorder.begin(started, at(0)).unwrap();
    stream.append(at(10), shell()).unwrap();
    stream.append(at(20), [output("\x1b[?1049h\x1b[31mfirst\x1b]0;own\x07\x1b[6n\r\n")]).unwrap();
    stream.append(at(1020), [output("second\x1b]52;c;eA==\x1b\\\x1b[21t\r\n")]).unwrap();
    stream.append(at(61_020), [output("last\r\n")]).unwrap();
    let outcome = Outcome::Completed { status: "0".into(), rows: 0, bytes: 0 };
    stream.append(at(61_030), [EventBody::CommandSettled { command: 1, outcome, data: None }]).unwrap();
    stream.end(at(61_040), "client left").unwrap();
    let id = stream.id().to_string();
    drop(stream);
    writer.close().unwrap();
    id
}

fn portcullis(directory: &Path, words: &[&str]) -> String {
    let config = directory.join("portcullis.yaml");
    let output = Command::new(BINARY).args(words).arg("--config").arg(config).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The same on a terminal, where the machine can make one.
fn on_a_terminal(directory: &Path, words: &str) -> Option<Child> {
    let command = format!("{BINARY} {words} --config {}", directory.join("portcullis.yaml").display());
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &command, "/dev/null"]);
    script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()
}

fn only_draws(shown: &str) {
    for attack in ["\x1b]", "\x1b[6n", "\x1b[21t", "own", "eA=="] {
        assert!(!shown.contains(attack), "{attack:?} in {shown:?}");
    }
    assert!(shown.contains("\x1b[?1049h\x1b[31mfirst\r") && shown.contains("\x1b[?1049l"), "{shown:?}");
    assert!(shown.contains("\x1b[?25h"), "{shown:?}");
}

#[test]
fn a_recorded_terminal_is_printed_at_once_into_a_pipe_and_exported_for_players() {
    let directory = tempfile::tempdir().unwrap();
    let id = recorded(directory.path());
    let began = Instant::now();
    let shown = portcullis(directory.path(), &["sessions", "replay", &id]);
    assert!(began.elapsed() < Duration::from_secs(30), "it waited though nobody watches");
    only_draws(&shown);
    assert!(shown.contains("last") && shown.contains("session ended: client left"), "{shown:?}");
    let cast = portcullis(directory.path(), &["sessions", "export", &id, "--format", "asciicast"]);
    let lines: Vec<Value> = cast.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&lines[0]["width"], &lines[0]["height"], &lines[0]["env"]["TERM"]),
        (&100.into(), &30.into(), &"xterm".into())
    );
    let events: Vec<(f64, &str, &str)> = lines[1..]
        .iter()
        .map(|line| (line[0].as_f64().unwrap(), line[1].as_str().unwrap(), line[2].as_str().unwrap()))
        .collect();
    only_draws(&events.iter().filter(|event| event.1 == "o").map(|event| event.2).collect::<String>());
    assert!(events.contains(&(61.02, "o", "last\r\n")) && events.contains(&(0.01, "m", "command 1: allow shell")));
    portcullis(directory.path(), &["sessions", "verify"]);
}

#[test]
fn on_a_terminal_it_plays_at_its_speed_with_idle_time_cut() {
    let directory = tempfile::tempdir().unwrap();
    let id = recorded(directory.path());
    let began = Instant::now();
    let Some(child) = on_a_terminal(directory.path(), &format!("sessions replay {id} --idle-limit 0.5")) else {
        return;
    };
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    // A second of work and a minute of nothing, each cut to half a second.
    assert!((Duration::from_secs(1)..Duration::from_secs(45)).contains(&began.elapsed()), "{:?}", began.elapsed());
    only_draws(&String::from_utf8(output.stdout).unwrap());
}

#[test]
fn stopped_in_the_middle_it_puts_the_terminal_right() {
    let directory = tempfile::tempdir().unwrap();
    let id = recorded(directory.path());
    let Some(mut child) = on_a_terminal(directory.path(), &format!("sessions replay {id}")) else { return };
    let mut out = child.stdout.take().unwrap();
    let mut shown = Vec::new();
    let mut piece = [0; 4096];
    while !String::from_utf8_lossy(&shown).contains("second") {
        let read = out.read(&mut piece).unwrap();
        assert!(read > 0, "it ended early: {}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&piece[..read]);
    }
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"\x03").unwrap();
    input.flush().unwrap();
    out.read_to_end(&mut shown).unwrap();
    child.wait().unwrap();
    let shown = String::from_utf8(shown).unwrap();
    only_draws(&shown);
    assert!(!shown.contains("last"), "{shown:?}");
}
