//! Values with escapes run through them, wherever the stream is cut.

use super::super::tests::{every, table};
use super::*;
use portcullis_model::{Detector, Transform};
use proptest::prelude::*;

fn key() -> Key {
    Key::new([5; 32])
}

fn played<'p>(detectors: &Arc<Detectors>, pieces: impl IntoIterator<Item = &'p [u8]>) -> String {
    let mut stream = detectors.terminal();
    let mut out = Vec::new();
    for piece in pieces {
        stream.push(piece, &key(), &mut out);
        assert!(stream.woven.bytes <= HOLD_BACK + LONGEST);
    }
    stream.finish(&key(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn redacted(text: &str) -> String {
    played(&Arc::new(every(&Transform::Redact)), [text.as_bytes()])
}

/// What may stand within a value without a reader of the screen seeing it.
const WITHIN: &[&str] = &[
    "\x1b[0m",
    "\x1b[38;2;255;10;1m",
    "\x1b[K",
    "\x1b[?25l",
    "\x1b]0;a title\x07",
    "\x1b]8;;http://x\x1b\\",
    "\x1bP1$r0m\x1b\\",
    "\x1b(B",
    "\x1b7",
    "\u{9b}1m",
    "\u{85}",
    "\r",
    "\x08",
    "\x00",
    "\x1b[\r1m",
    "\x1b]0;cut off\x1b[1m",
];

#[test]
fn escapes_within_a_value_stay_and_the_value_goes() {
    assert_eq!(redacted("a 4111 1111\x1b[0m 1111 1111 b\n"), "a [redacted]\x1b[0m b\n");
    assert_eq!(redacted("\x1b[31mann@\x1b[1mexample.com\x1b[0m, x\n"), "\x1b[31m[redacted]\x1b[1m\x1b[0m, x\n");
    assert_eq!(redacted("\x1b[2Jann@example.com\r\n"), "\x1b[2J[redacted]\r\n");
}

#[test]
fn no_value_of_the_table_survives_an_escape_at_any_place() {
    let detectors = Arc::new(every(&Transform::Redact));
    for (line, _, text, hit) in table() {
        let Some(hit) = hit else { continue };
        let start = text.find(&hit).unwrap();
        for at in (1..hit.len()).filter(|at| hit.is_char_boundary(*at)) {
            for escape in WITHIN {
                let (before, behind) = text.split_at(start + at);
                let out = played(&detectors, [format!("{before}{escape}{behind}\n").as_bytes()]);
                let plain = out.replace(escape, "");
                assert!(!plain.contains(&hit), "line {line}, {escape:?} at {at}: {out:?}");
            }
        }
    }
}

#[test]
fn what_only_an_escape_keeps_apart_is_found_as_well() {
    for escape in WITHIN.iter().filter(|escape| **escape != "\x08") {
        let out = redacted(&format!("4111111111111111{escape}4111111111111111\n"));
        assert!(!out.contains("4111"), "{escape:?}: {out:?}");
    }
}

#[test]
fn characters_struck_over_are_read_once() {
    let bold: String = "ann@example.com".chars().map(|c| format!("{c}\x08{c}")).collect();
    assert!(!redacted(&format!("to {bold} now\n")).contains('@'));
    assert_eq!(redacted("4111 1111x\x08 1111 1111\n"), "[redacted]\x08\n");
}

#[test]
fn the_inside_of_an_escape_is_looked_through() {
    for (open, close) in
        [("\x1b]0;", "\x07"), ("\x1b]52;c;", "\x1b\\"), ("\x1bPq", "\x1b\\"), ("\x1b[", "m"), ("\u{9d}", "\u{9c}")]
    {
        let out = redacted(&format!("a{open}4111111111111111{close}b\n"));
        assert!(!out.contains("4111") && out.ends_with("b\n"), "{out:?}");
    }
    // One that does not end, or not soon, hides nothing.
    for open in ["\x1b]0;", "\x1b", "\x1b[", "\x1b(", "\x1bP"] {
        for filler in [0, 5000] {
            let out = redacted(&format!("{open}{} 4111111111111111 x", "y".repeat(filler)));
            assert!(!out.contains("4111111111111111"), "{open:?} {filler}");
        }
    }
}

#[test]
fn a_private_key_stays_hidden_through_colours_and_pauses() {
    let detectors = Arc::new(every(&Transform::Redact));
    let mut stream = detectors.terminal();
    let mut out = Vec::new();
    for piece in
        ["-----BEGIN \x1b[1mPRIVATE KEY-----\r\n", "abc\x1b[0md\r\n", "-----END PRIV", "ATE KEY-----\r\nok\r\n"]
    {
        stream.push(piece.as_bytes(), &key(), &mut out);
        stream.flush(&key(), &mut out);
    }
    assert_eq!(String::from_utf8_lossy(&out), "[redacted]\x1b[1m\r\x1b[0m\r\r\nok\r\n");
    assert_eq!(stream.hits(), 1);
}

#[test]
fn a_prompt_comes_out_when_the_stream_goes_quiet() {
    let detectors = Arc::new(every(&Transform::Redact));
    let mut stream = detectors.terminal();
    let mut out = Vec::new();
    stream.push(b"\x1b[32mann@example", &key(), &mut out);
    assert!(stream.is_holding());
    assert_eq!(out, b"\x1b[32m");
    stream.flush(&key(), &mut out);
    assert!(!stream.is_holding());
    assert_eq!(out, b"\x1b[32mann@example");
    stream.push(b"\x1b[", &key(), &mut out);
    assert!(!stream.is_holding());
    stream.finish(&key(), &mut out);
    assert_eq!(out, b"\x1b[32mann@example\x1b[");
}

#[test]
fn more_escapes_than_are_held_come_out() {
    let text = format!("4111{} 1111", "\x1b[0m".repeat(20_000));
    assert_eq!(redacted(&text), text);
}

#[test]
fn a_short_value_of_a_pattern_leaves_colours_alone() {
    let detectors = Arc::new(Detectors::new(&[(Detector::Pattern(r"\d{4}".into()), Transform::Redact)]).unwrap());
    let out = played(&detectors, [b"\x1b[1;31m12\x1b[0m34 \x1b[38;5;196mx\n".as_slice()]);
    assert_eq!(out, "\x1b[1;31m[redacted]\x1b[0m \x1b[38;5;196mx\n");
}

/// Text of a terminal: words, values, escapes, halves of escapes, bytes that are no text.
fn screens() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::sample::select(WITHIN).prop_map(|escape| escape.as_bytes().to_vec()),
        proptest::sample::select(vec![
            "4111 1111 1111 1111",
            "4111111111111111",
            "ann@",
            "example.com",
            " ",
            "\r\n",
            "é",
            "£",
            "\u{1f600}",
            "-----BEGIN PRIVATE KEY-----",
            "-----END PRIVATE KEY-----",
            "secret=",
            "+49 30 ",
            "10.1.2.3",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        "[0-9a-zA-Z@. -]{1,6}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 1..4),
        proptest::sample::select(vec!["\x1b", "\x1b[", "\x1b]", "\x1b[3", "\x1bP", "\u{9d}", "\x07"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_stream_comes_out_alike_however_it_is_cut(text in screens(), cut in 0_u8..40) {
        fuzz_terminal(&[&[cut], &text[..]].concat());
    }

    #[test]
    fn no_value_survives_any_escapes_at_any_places(
        value in proptest::sample::select(vec!["4111 1111 1111 1111", "ann@example.com", "AKIAIOSFODNN7EXAMPLE"]),
        escapes in proptest::collection::vec((any::<prop::sample::Index>(), proptest::sample::select(WITHIN)), 1..6),
        size in 1_usize..40,
    ) {
        let mut text: Vec<String> = value.chars().map(String::from).collect();
        for (place, escape) in &escapes {
            // Behind a character, so that what opens an escape is not closed by the next.
            let at = place.index(text.len());
            text[at] += escape;
        }
        let text = format!("x {} y\n", text.concat());
        let out = played(&Arc::new(every(&Transform::Redact)), text.as_bytes().chunks(size));
        let plain = escapes.iter().fold(out.clone(), |out, (_, escape)| out.replace(escape, ""));
        prop_assert!(!plain.contains(value), "{text:?} became {out:?}");
    }

    #[test]
    fn bytes_of_any_kind_pass_or_are_redacted(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz_terminal(&bytes);
    }

    #[test]
    fn without_escapes_it_is_as_any_stream(text in "[ -~\n]{0,200}", size in 1_usize..20) {
        let detectors = Arc::new(every(&Transform::KeepLast(4)));
        let mut plain = detectors.stream();
        let mut out = Vec::new();
        text.as_bytes().chunks(size).for_each(|piece| plain.push(piece, &key(), &mut out));
        plain.finish(&key(), &mut out);
        prop_assert_eq!(played(&detectors, text.as_bytes().chunks(size)), String::from_utf8_lossy(&out));
    }
}

proptest! {
    /// What goes in by whole characters comes out so: a text of pieces that must each be text can be redacted.
    #[test]
    fn no_character_is_cut(
        pieces in proptest::collection::vec("([ -~]|é|£|\u{9b}|😀|\x1b|ann@|é.com|4111 1111 ){0,6}", 0..20),
        long in 0..3_usize,
    ) {
        let mut stream = Arc::new(every(&Transform::KeepLast(2))).terminal();
        let long = ["", "é", "x😀"][long].repeat(HOLD_BACK / 2);
        for piece in pieces.iter().chain([&long]).chain(&pieces) {
            let mut out = Vec::new();
            stream.push(piece.as_bytes(), &key(), &mut out);
            prop_assert!(std::str::from_utf8(&out).is_ok(), "{piece:?}");
        }
        let mut out = Vec::new();
        stream.finish(&key(), &mut out);
        prop_assert!(std::str::from_utf8(&out).is_ok());
    }
}

#[test]
fn a_token_too_long_to_hold_takes_a_character_that_it_cut_with_it() {
    let text = ["\u{9b}ann@é.com", &"é".repeat(HOLD_BACK / 2), " x"].concat();
    let mut stream = Arc::new(every(&Transform::Redact)).terminal();
    let mut out = Vec::new();
    stream.push(text.as_bytes(), &key(), &mut out);
    stream.finish(&key(), &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "\u{9b}a[redacted]éééé x");
}
