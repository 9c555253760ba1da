//! Sessions of events, and what is shown of them when.

use super::*;
use jiff::SignedDuration;
use portcullis_model::{Digest, Effect, Outcome, SessionId, Source, StreamKind, Text};

fn event(millis: i64, body: EventBody) -> Event {
    let at = Timestamp::UNIX_EPOCH + SignedDuration::from_millis(millis);
    Event { stream: SessionId::new(), number: 0, at, body }
}

fn started() -> Event {
    let kind = StreamKind::Session;
    event(0, EventBody::SessionStarted { kind, principal: None, connection: None, client: None, gateway: "1".into() })
}

fn received(millis: i64, command: u64, text: &str) -> Event {
    let received = EventBody::CommandReceived {
        command,
        source: Source::Sql,
        text: Text::plain(text),
        digest: Digest::of(text.as_bytes()),
        operations: Vec::new(),
        parameters: Vec::new(),
        fault: None,
        prepared_by: None,
    };
    event(millis, received)
}

fn decided(millis: i64, command: u64, verdict: Effect) -> Event {
    let (matches, policy, grants, limit) = (Vec::new(), "".into(), Vec::new(), None);
    let (reason, told) = (None, None);
    event(millis, EventBody::CommandDecided { command, verdict, reason, told, matches, policy, grants, limit })
}

fn settled(millis: i64, command: u64) -> Event {
    let outcome = Outcome::Completed { status: "0".into(), rows: 0, bytes: 0 };
    event(millis, EventBody::CommandSettled { command, outcome, data: None })
}

fn output(millis: i64, stream: &str, text: &str) -> Event {
    let output = EventBody::Output { command: None, stream: stream.into(), text: text.into(), truncated: false };
    event(millis, output)
}

fn terminal(millis: i64, command: Option<u64>) -> Event {
    event(millis, EventBody::Terminal { command, columns: 80, rows: 24, name: Some("xterm".into()) })
}

fn ended(millis: i64) -> Event {
    event(millis, EventBody::SessionEnded { reason: "client left".into(), commands: 1 })
}

fn played(events: &[Event], sought: Option<u64>) -> (String, Vec<f64>, Option<u64>) {
    let mut player = Player::new(sought);
    let steps: Vec<Step> = events.iter().map(|event| player.step(event)).collect();
    let text: String = steps.iter().map(|step| step.text.as_str()).collect();
    let text = text + &player.leave();
    (text, steps.iter().map(|step| step.after).collect(), player.sought)
}

#[test]
fn a_terminal_is_drawn_with_no_line_between_and_put_right() {
    let events = [
        started(),
        received(10, 1, "session shell"),
        decided(10, 1, Effect::Allow),
        terminal(20, Some(1)),
        output(520, "terminal", "\x1b[?1049h\x1b]0;title\x07a\nb\r"),
        received(600, 2, "not shown"),
        decided(600, 2, Effect::Deny),
        output(700, "terminal", "\nc\x1b[6n"),
        settled(1700, 1),
        ended(1800),
    ];
    let (text, after, _) = played(&events, None);
    let (before, drawn) = text.split_once("\x1b[?1049h").unwrap();
    assert!(before.contains("[1] session shell") && before.contains("terminal 80x24 xterm"), "{before}");
    let (drawn, behind) = drawn.split_once("\x1b[?1049l").unwrap();
    assert_eq!(drawn, "a\x1b[Db\r\nc".replace("\x1b[D", "\x1bD"));
    assert!(behind.contains("\x1b[?25h") && behind.contains("session ended"), "{behind:?}");
    assert!(!text.contains("not shown"));
    assert!((after[4] - 0.5).abs() < 1e-9 && (after[8] - 1.0).abs() < 1e-9, "{after:?}");
}

#[test]
fn programs_without_a_terminal_are_shown_with_their_commands() {
    let events = [
        started(),
        received(1, 1, "make"),
        decided(1, 1, Effect::Allow),
        output(2, "stdout", "one\ntwo\x1b]52;c;eA==\x07"),
        output(3, "stderr", "bad\n"),
        output(4, "stdout", "no line end"),
        settled(5, 1),
        output(6, "notice", "told, not drawn\x1b[2J"),
    ];
    let (text, ..) = played(&events, None);
    assert!(text.contains("one\ntwobad\nno line end\n   "), "{text}");
    assert!(text.contains("[1] make") && text.contains("[1] ALLOWED"), "{text}");
    assert!(text.contains("told, not drawn\\u{1b}[2J"), "{text}");
}

#[test]
fn it_begins_with_the_command_that_was_asked_for() {
    let events = [
        started(),
        received(1000, 1, "first"),
        output(2000, "stdout", "of the first"),
        output(2000, "terminal", "drawn"),
        settled(3000, 1),
        received(9000, 2, "second"),
        output(9500, "stdout", "of the second"),
    ];
    let (text, after, sought) = played(&events, Some(2));
    assert!(!text.contains("of the first") && !text.contains("[1]"), "{text}");
    assert!(text.contains("drawn") && text.contains("of the second"), "{text}");
    assert_eq!(after, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5]);
    assert_eq!(sought, None);
    assert_eq!(played(&events, Some(7)).2, Some(7));
}

#[test]
fn waits_are_cut_and_then_sped_up() {
    let pace = |speed, idle_limit| Pace { speed, idle_limit, command: None };
    assert_eq!(pace(1.0, None).wait(90.0), Duration::from_secs(90));
    assert_eq!(pace(4.0, Some(2.0)).wait(90.0), Duration::from_millis(500));
    assert_eq!(pace(1e-300, None).wait(90.0), Duration::MAX);
    for wrong in [pace(0.0, None), pace(f64::NAN, None), pace(1.0, Some(-1.0)), pace(1.0, Some(f64::INFINITY))] {
        assert!(wrong.check().is_err());
    }
    // Recorded behind what is later: no time passes.
    let (_, after, _) = played(&[started(), output(900, "stdout", "x"), output(300, "stdout", "y"), ended(1000)], None);
    assert_eq!(after[2], 0.0);
    assert!((after[3] - 0.1).abs() < 1e-9);
}
