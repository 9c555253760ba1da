//! Text of programs and terminals: what the client has at once, what is held back, and what the record keeps of it.

use crate::world::{World, policy, reads};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use portcullis_gate::{Answer, Permit, Ruling, Session, Withheld};
use portcullis_model::EventBody;
use std::time::Duration;

const DETECTS: &str = r#"
bundle: shop
applies_to: { connections: [shop] }
rules:
  - id: reads
    allow: { actions: [read], objects: ["table public.*"] }
mask:
  - id: cards
    detect: [payment_card, email]
    with: redact
    unless: { groups: [privacy] }
"#;

async fn world(rules: Option<&str>) -> World {
    let world = World::new().await;
    if let Some(rules) = rules {
        world.gate.set_policy(policy(rules));
    }
    world
}

async fn member_of(world: &World, group: &str) -> Session {
    let (_, token) = world.token(group).await;
    world.arrive("shop", token).await.unwrap()
}

fn permit(session: &Session) -> Permit {
    match session.ask(session.seal(Bytes::new(), reads("run"))) {
        Ruling::Forward(_, permit) => permit,
        Ruling::Refuse(_) | Ruling::Hold(_) => panic!("not allowed"),
    }
}

/// A piece of terminal output, as text.
fn written(answer: &mut Answer, piece: &[u8]) -> String {
    String::from_utf8_lossy(&answer.text("terminal", Bytes::copy_from_slice(piece))).into_owned()
}

async fn recorded(world: &World, session: &Session) -> Vec<EventBody> {
    world.settle(session).await;
    world.events(session.id()).into_iter().map(|event| event.body).collect()
}

/// Recorded output: stream, text, whether it was cut off.
fn outputs(events: &[EventBody]) -> Vec<(&str, &str, bool)> {
    let output = |event| match event {
        &EventBody::Output { ref stream, ref text, truncated, .. } => Some((&**stream, &**text, truncated)),
        _ => None,
    };
    events.iter().filter_map(output).collect()
}

#[tokio::test]
async fn without_masks_a_piece_passes_as_it_is_and_pieces_of_a_moment_are_one_event() {
    let world = world(None).await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    let piece = Bytes::from_static(b"4111 1111 1111 1111 ann@example.com");
    let passed = answer.text("stdout", piece.clone());
    assert_eq!(passed.as_ptr(), piece.as_ptr(), "it was copied");
    assert!(answer.text_waits());
    assert!(answer.text_pause("stdout").is_empty() && !answer.text_waits());
    for byte in "ok \u{1f600}!".as_bytes() {
        assert_eq!(answer.text("stdout", Bytes::copy_from_slice(&[*byte])).as_ref(), [*byte]);
    }
    answer.text("stderr", Bytes::from_static(b"bad \xff\xf0\x9f"));
    assert!(answer.text_end("stderr").is_empty());
    drop(answer);
    let events = recorded(&world, &session).await;
    let outputs = outputs(&events);
    assert_eq!(outputs[0], ("stdout", "4111 1111 1111 1111 ann@example.com", false));
    let text =
        |stream| outputs[1..].iter().filter(|output| output.0 == stream).map(|output| output.1).collect::<String>();
    assert_eq!(text("stdout"), "ok \u{1f600}!");
    assert_eq!(text("stderr"), "bad \u{fffd}\u{fffd}");
    assert!(outputs.len() < 8, "an event for each byte");
}

#[tokio::test]
async fn an_event_carries_the_time_of_its_first_piece() {
    let world = world(None).await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    let mut written_by = Vec::new();
    for piece in [b"a", b"b"] {
        written(&mut answer, piece);
        written_by.push(Timestamp::now());
        // Another moment.
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    drop(answer);
    world.settle(&session).await;
    let events = world.events(session.id());
    let at: Vec<_> =
        events.iter().filter(|event| matches!(event.body, EventBody::Output { .. })).map(|event| event.at).collect();
    let [first, second] = at[..] else { panic!("{at:?}") };
    assert!(first <= written_by[0] && second <= written_by[1], "it has the time at which it was written down");
    assert!(second > written_by[0], "it has the time of the one before it");
}

#[tokio::test]
async fn what_detectors_find_leaves_neither_by_pieces_nor_through_escapes() {
    let world = world(Some(DETECTS)).await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    let mut shown = String::new();
    for piece in "card 4111 1111\x1b[0m 1111 1111\r\nmail ann@\x1b[1mexample.com\r\n$ ".as_bytes().chunks(3) {
        shown += &written(&mut answer, piece);
    }
    assert_eq!(shown, "card [redacted]\x1b[0m\r\nmail [redacted]\x1b[1m\r\n$ ");
    assert!(answer.text_end("terminal").is_empty());
    drop(answer);
    let events = recorded(&world, &session).await;
    let text: String = outputs(&events).into_iter().map(|output| output.1).collect();
    assert_eq!(text, shown);
    let masked = events.iter().find_map(|event| match event {
        EventBody::Masked { columns, .. } => Some(columns.clone()),
        _ => None,
    });
    let masked = &masked.unwrap()[0];
    assert_eq!(
        (&*masked.column, &*masked.rule, &*masked.reason, masked.values),
        ("terminal", "shop/cards", "detector", 2)
    );
}

#[tokio::test]
async fn a_prompt_appears_after_a_pause_and_the_record_waits_for_the_word() {
    let world = world(Some(DETECTS)).await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    assert_eq!(written(&mut answer, b"login ann@example"), "login ");
    assert!(answer.text_waits());
    assert_eq!(answer.text_pause("terminal").as_ref(), b"ann@example");
    assert!(!answer.text_waits());
    assert_eq!(written(&mut answer, b".com\n"), ".com\n");
    drop(answer);
    let events = recorded(&world, &session).await;
    let text: String = outputs(&events).into_iter().map(|output| output.1).collect();
    assert_eq!(text, "login [redacted]\n");
}

#[tokio::test]
async fn the_record_of_a_screen_without_line_ends_keeps_its_time() {
    let world = world(Some(&DETECTS.replace("email]", "email, { regex: \"EMP-[0-9]+\" }]"))).await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = loop {
        let mut answer = session.answer(Some(&permit));
        let begun = Timestamp::now();
        written(&mut answer, b"\x1b[Hone EMP-12");
        tokio::time::sleep(Duration::from_millis(20)).await;
        written(&mut answer, b"34\x1b[Htwo");
        if Timestamp::now().duration_since(begun) < SignedDuration::from_secs(1) {
            break answer;
        }
        // A machine that stood still for so long paused within the word: anew.
    };
    tokio::time::sleep(Duration::from_millis(1100)).await;
    written(&mut answer, b"\x1b[Hthree");
    drop(answer);
    world.settle(&session).await;
    let events = world.events(session.id());
    let outputs = events.iter().filter_map(|event| match &event.body {
        EventBody::Output { text, .. } => Some((event.at, &**text)),
        _ => None,
    });
    let outputs: Vec<_> = outputs.collect();
    let [.., _, (early, first), (late, second)] = outputs[..] else { panic!("{outputs:?}") };
    assert_eq!((first, second), ("one [redacted]\x1b[Htwo", "\x1b[Hthree"));
    assert!(late.duration_since(early).as_millis() >= 1000);
}

#[tokio::test]
async fn who_is_exempt_sees_what_the_record_does_not() {
    let world = world(Some(DETECTS)).await;
    let session = member_of(&world, "privacy").await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    assert_eq!(written(&mut answer, b"4111111111111111"), "4111111111111111");
    answer.said("terminal", b"no: ann@example.com\n");
    drop(answer);
    let events = recorded(&world, &session).await;
    let text: String = outputs(&events).into_iter().map(|output| output.1).collect();
    assert!(!text.contains("4111") && !text.contains("ann"), "{text}");
    assert!(!events.iter().any(|event| matches!(event, EventBody::Masked { .. })));
}

#[tokio::test]
async fn the_record_of_text_is_bounded_and_says_once_that_it_was_cut() {
    let world = world(None).await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    for _ in 0..100 {
        let piece = "\u{e9}".repeat(50);
        assert_eq!(written(&mut answer, piece.as_bytes()), piece);
    }
    answer.output("error", "more");
    drop(answer);
    let events = recorded(&world, &session).await;
    let outputs = outputs(&events);
    assert_eq!(outputs.iter().map(|output| output.1.len()).sum::<usize>(), 1024);
    assert_eq!(outputs.iter().filter(|output| output.2).count(), 1);
    assert!(outputs.last().unwrap().2);
}

#[tokio::test]
async fn a_terminal_is_recorded_with_its_sizes() {
    let world = world(None).await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    answer.terminal("xterm-256color\x1b]0;x\x07", 80, 24);
    written(&mut answer, b"$ ");
    answer.resized(80, 24);
    answer.resized(132, 50);
    drop(answer);
    let events = recorded(&world, &session).await;
    let behind = events.iter().position(|event| matches!(event, EventBody::Terminal { .. })).unwrap();
    let screen = |columns, rows, name: Option<&str>| EventBody::Terminal {
        command: Some(1),
        columns,
        rows,
        name: name.map(Into::into),
    };
    assert_eq!(events[behind], screen(80, 24, Some("xterm-256color0x")));
    assert!(matches!(&events[behind + 1], EventBody::Output { text, .. } if &**text == "$ "));
    assert_eq!(events[behind + 2], screen(132, 50, None));
}

#[tokio::test]
async fn a_mask_that_cannot_be_carried_out_lets_no_text_pass() {
    let world = world(None).await;
    world.gate.set_policy(policy(&DETECTS.replace("payment_card", "{ regex: \"(\" }")));
    let session = world.session().await;
    let mut answer = session.answer(None);
    assert_eq!(written(&mut answer, b"anything"), "");
    assert!(answer.text_end("terminal").is_empty());
    drop(answer);
    assert!(outputs(&recorded(&world, &session).await).is_empty());
}

#[tokio::test]
async fn what_was_written_through_the_gate_plays() {
    let world = world(Some(DETECTS)).await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    answer.terminal("xterm", 100, 30);
    for piece in ["\x1b]0;t\x07$ cat card\r\n", "4111 1111\x1b[1m 1111 1111\r\n"] {
        written(&mut answer, piece.as_bytes());
    }
    answer.resized(90, 20);
    answer.text_end("terminal");
    drop(answer);
    world.settle(&session).await;
    let mut cast = Vec::new();
    portcullis_audit::asciicast::write(world.recorder.reader().events(session.id(), 0), &mut cast).unwrap();
    let cast = String::from_utf8(cast).unwrap();
    let lines: Vec<serde_json::Value> = cast.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["width"], &lines[0]["env"]["TERM"]), (&100.into(), &"xterm".into()));
    let shown: String = lines.iter().filter(|line| line[1] == "o").filter_map(|line| line[2].as_str()).collect();
    assert!(shown.ends_with("$ cat card\r\n[redacted]\x1b[1m\r\n"), "{shown:?}");
    assert!(lines.iter().any(|line| line[1] == "r" && line[2] == "90x20"));
    assert!(lines.iter().any(|line| line[1] == "m" && line[2] == "command 1: allow run"));
}

#[tokio::test]
async fn numbered_streams_are_held_back_each_for_itself() {
    let world = world(Some(DETECTS)).await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    let mut shown = [String::new(), String::new(), String::new()];
    let texts = ["pay 4111 1111 1111 1111 \u{1f600}now", "write to ann@example.com \u{e9}", "4111 1111"];
    for (nth, byte) in
        (0..30).flat_map(|at| (0..3).map(move |nth| (nth, at))).map(|(nth, at)| (nth, texts[nth].chars().nth(at)))
    {
        let Some(c) = byte else { continue };
        let piece = Bytes::from(c.to_string());
        let passed = answer.text_of("text", u32::try_from(nth).unwrap(), piece).unwrap();
        shown[nth] += std::str::from_utf8(&passed).expect("a character was cut");
    }
    assert!(!shown[0].contains("4111") && !shown[1].contains("ann") && shown[2].is_empty(), "{shown:?}");
    for (nth, shown) in shown.iter_mut().enumerate() {
        *shown += std::str::from_utf8(&answer.text_of_end("text", u32::try_from(nth).unwrap())).unwrap();
    }
    assert!(answer.text_of_end("text", 0).is_empty());
    assert_eq!(shown, ["pay [redacted] \u{1f600}now", "write to [redacted] \u{e9}", "4111 1111"]);
    drop(answer);
    let events = recorded(&world, &session).await;
    let expected: Vec<_> = ["text 0", "text 1", "text 2"].into_iter().zip(shown.iter().map(String::as_str)).collect();
    assert_eq!(outputs(&events).into_iter().map(|one| (one.0, one.1)).collect::<Vec<_>>(), expected);
    let masked = events.iter().find_map(|event| match event {
        EventBody::Masked { columns, .. } => Some(columns.clone()),
        _ => None,
    });
    let masked: Vec<_> = masked.unwrap().into_iter().map(|one| (one.column.to_string(), one.values)).collect();
    assert_eq!(masked, [("text".to_owned(), 2)]);
}

#[tokio::test]
async fn numbered_streams_are_bounded_in_number_and_in_the_record() {
    let world = world(Some(DETECTS)).await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    let piece = || Bytes::from_static(b"0123456789 \n");
    let most = u32::try_from(Answer::STREAMS).unwrap();
    for index in 0..most {
        assert_eq!(answer.text_of("text", index, piece()).unwrap(), piece());
    }
    assert_eq!(answer.text_of("text", most, piece()), Err(Withheld::TooManyStreams));
    assert_eq!(answer.text_of("text", most - 1, piece()).unwrap(), piece());
    assert_eq!(answer.text("stdout", piece()), piece());
    answer.text_of_end("text", 3);
    assert_eq!(answer.text_of("text", most, piece()).unwrap(), piece());
    for _ in 0..2 {
        answer.text_of("text", 7, Bytes::from("9".repeat(400) + "\n")).unwrap();
    }
    drop(answer);
    let events = recorded(&world, &session).await;
    let outputs = outputs(&events);
    assert_eq!(outputs.iter().map(|output| output.1.len()).sum::<usize>(), 1024);
    assert_eq!(outputs.iter().position(|output| output.2), Some(outputs.len() - 1));
}

#[tokio::test]
async fn a_numbered_stream_may_pause_within_a_value() {
    let world = world(Some(DETECTS)).await;
    let session = world.session().await;
    let permit = permit(&session);
    let mut answer = session.answer(Some(&permit));
    assert!(answer.text_of("text", 0, Bytes::from_static(b"4111 1111 ")).unwrap().is_empty());
    assert!(!answer.text_waits());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(answer.text_of("text", 0, Bytes::from_static(b"1111 1111")).unwrap().is_empty());
    assert_eq!(answer.text_of_end("text", 0).as_ref(), b"[redacted]");
    // The same once more, for text that is recorded in another form.
    assert!(answer.text_part_of("text", 0, Bytes::from_static(b"4111 1111 ")).unwrap().is_empty());
    assert!(answer.text_part_of("text", 0, Bytes::from_static(b"1111 1111")).unwrap().is_empty());
    assert_eq!(answer.text_of_end("text", 0).as_ref(), b"[redacted]");
    drop(answer);
    assert_eq!(outputs(&recorded(&world, &session).await), [("text 0", "[redacted]", false)]);
}
