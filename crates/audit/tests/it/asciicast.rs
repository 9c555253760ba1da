//! Recordings for players: read back by a small reader of the format, which knows nothing of the writer.

use crate::samples::{decided, open, received, result, settled, started};
use jiff::{SignedDuration, Timestamp};
use portcullis_audit::{Stream, asciicast};
use portcullis_model::{Effect, EventBody, Outcome};
use portcullis_store::MemoryLog;
use serde_json::Value;
use std::sync::Arc;

/// A recording as a player reads it (asciicast v2: a header object, then arrays of time, code, data).
struct Played {
    header: Value,
    events: Vec<(f64, String, String)>,
}

fn read(cast: &[u8]) -> Played {
    let text = std::str::from_utf8(cast).unwrap();
    assert!(text.ends_with('\n'));
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let header = lines.next().unwrap();
    assert_eq!(header["version"], 2);
    assert!(header["width"].as_u64().unwrap() > 0 && header["height"].as_u64().unwrap() > 0);
    let mut before = 0.0;
    let events = lines.map(|line| {
        let [time, code, data] = line.as_array().unwrap().as_slice() else { panic!("{line}") };
        let (time, code, data) = (time.as_f64().unwrap(), code.as_str().unwrap(), data.as_str().unwrap());
        assert!(time >= before, "time went back: {line}");
        before = time;
        match code {
            "o" => assert!(!data.is_empty()),
            "m" => {}
            "r" => {
                let (columns, rows) = data.split_once('x').unwrap();
                assert!(columns.parse::<u16>().unwrap() > 0 && rows.parse::<u16>().unwrap() > 0);
            }
            _ => panic!("{line}"),
        }
        (time, code.to_owned(), data.to_owned())
    });
    Played { events: events.collect(), header }
}

impl Played {
    fn all(&self, code: &str) -> Vec<&str> {
        self.events.iter().filter(|event| event.1 == code).map(|event| event.2.as_str()).collect()
    }

    fn shown(&self) -> String {
        self.all("o").concat()
    }
}

fn output(command: u64, stream: &str, text: &str) -> EventBody {
    EventBody::Output { command: Some(command), stream: stream.into(), text: text.into(), truncated: false }
}

fn terminal(columns: u32, rows: u32, name: Option<&str>) -> EventBody {
    EventBody::Terminal { command: Some(1), columns, rows, name: name.map(Into::into) }
}

/// The session that this records, as a recording; times are milliseconds after its start.
fn recording(record: impl FnOnce(&Stream, &dyn Fn(i64) -> Timestamp)) -> Played {
    let log = Arc::new(MemoryLog::new());
    let (recorder, writer) = open(&log);
    let began: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let stream = recorder.begin(started("agent-7"), began).unwrap();
    let id = stream.id();
    record(&stream, &|millis| began + SignedDuration::from_millis(millis));
    drop(stream);
    writer.close().unwrap();
    let mut cast = Vec::new();
    asciicast::write(recorder.reader().events(id, 0), &mut cast).unwrap();
    read(&cast)
}

#[test]
fn a_terminal_plays_as_it_was_drawn() {
    let played = recording(|stream, at| {
        stream.append(at(10), [received(1, "session shell"), decided(1, Effect::Allow)]).unwrap();
        stream.append(at(20), [terminal(120, 40, Some("xterm-256color"))]).unwrap();
        stream.append(at(1500), [output(1, "terminal", "\x1b[32m$ \x1b[0m")]).unwrap();
        // Recorded late: a piece carries the time at which it came.
        stream.append(at(1200), [output(1, "terminal", "l\x1b]0;title\x07s\r\n")]).unwrap();
        stream.append(at(2000), [terminal(100, 30, None)]).unwrap();
        stream.append(at(2100), [output(1, "terminal", "\x1b]52;c;eA==\x07\u{1f600}")]).unwrap();
        stream.append(at(3000), [settled(1)]).unwrap();
        stream.append(at(3001), [received(2, "uname"), decided(2, Effect::Deny)]).unwrap();
        stream.end(at(3002), "client left").unwrap();
    });
    assert_eq!((&played.header["width"], &played.header["height"]), (&120.into(), &40.into()));
    assert_eq!(played.header["timestamp"], 1_767_323_045);
    assert_eq!(played.header["env"]["TERM"], "xterm-256color");
    assert!(played.header["title"].as_str().unwrap().starts_with("agent-7 on shop, session "));
    assert_eq!(played.all("r"), ["100x30"]);
    assert_eq!(
        played.all("m"),
        ["command 1: allow session shell", "command 2: deny uname", "session ended: client left"]
    );
    let shown = played.shown();
    assert!(shown.starts_with("$ session shell\r\n\x1b[H\x1b[2J\x1b[32m$ \x1b[0mls\r\n\u{1f600}\x1b[0m"), "{shown:?}");
    // Behind the terminal nothing echoes any more.
    assert!(shown.ends_with("$ uname\r\n[deny]\r\n"), "{shown:?}");
    let times: Vec<f64> = played.events.iter().filter(|event| event.1 == "o").map(|event| event.0).collect();
    assert!(times.starts_with(&[0.01, 0.02, 1.5, 1.5, 2.1]), "{times:?}");
}

#[test]
fn programs_without_a_terminal_play_in_order_with_their_line_ends_made() {
    let played = recording(|stream, at| {
        stream.append(at(0), [received(1, "make all\necho \x1b[8mhidden"), decided(1, Effect::Allow)]).unwrap();
        stream.append(at(5), [output(1, "stdout", "one\ntwo"), output(1, "stderr", "bad\r\n")]).unwrap();
        let truncated =
            EventBody::Output { command: Some(1), stream: "stdout".into(), text: "three".into(), truncated: true };
        stream.append(at(6), [truncated]).unwrap();
        let outcome = Outcome::Failed { status: "2".into(), message: None };
        stream.append(at(7), [EventBody::CommandSettled { command: 1, outcome, data: None }]).unwrap();
        stream.append(at(8), [received(2, "rm -rf /"), decided(2, Effect::Deny)]).unwrap();
        stream.append(at(8), [output(2, "stderr", "refused: no\n")]).unwrap();
    });
    let expected = "$ make all\r\necho \x1b[8mhidden\r\none\r\ntwobad\r\nthree\r\n[the rest is past the limit of the record]\
        \r\n[failed: 2 ]\r\n$ rm -rf /\r\n[deny]\r\nrefused: no\r\n";
    assert_eq!(played.shown(), expected);
    assert_eq!((&played.header["width"], &played.header["height"]), (&80.into(), &24.into()));
    assert!(played.header.get("env").is_none() && played.all("r").is_empty());
}

#[test]
fn a_session_of_statements_plays_as_text() {
    let played = recording(|stream, at| {
        stream
            .append(at(0), [received(1, "SELECT 1"), decided(1, Effect::Allow), result(1, &["id", "note"], 2)])
            .unwrap();
        stream.append(at(1), [output(1, "notice", "careful"), settled(1)]).unwrap();
    });
    assert_eq!(played.shown(), "$ SELECT 1\r\nid\tnote\r\n0\tNULL\r\n1\tNULL\r\ncareful\r\n");
}

#[test]
fn a_long_session_needs_no_more_than_its_first_events_at_once() {
    let played = recording(|stream, at| {
        for command in 1..=300 {
            stream.append(at(1), [received(command, "x"), decided(command, Effect::Allow), settled(command)]).unwrap();
        }
        stream.append(at(2), [terminal(90, 20, None), output(1, "terminal", "late")]).unwrap();
    });
    assert_eq!((&played.header["width"], played.all("r")), (&80.into(), vec!["90x20"]));
    assert_eq!(played.all("m").len(), 301);
}
