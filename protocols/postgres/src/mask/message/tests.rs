use super::states::{CLASSES, CODES, Ruling, rows};
use super::*;
use crate::frame::Frame;
use crate::mask::sample::{CANARY, CARD, Sample};
use crate::mask::{self, Treatment};
use crate::message::ServerMessage;
use proptest::prelude::*;
use std::collections::BTreeSet;

const TABLE: &str = include_str!("../../../../../fixtures/postgres/mask_messages.tsv");

/// The fields of a message that was written, read by the decoder.
fn read(frame: Bytes) -> Vec<(u8, String)> {
    let frame = Frame::whole(frame).expect("one frame");
    match ServerMessage::decode(frame.tag(), frame.body()) {
        Ok(ServerMessage::Error(fields) | ServerMessage::Notice(fields)) => {
            fields.iter().map(|(code, text)| (code, String::from_utf8_lossy(text).into_owned())).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// What stands in a message with these fields.
fn with_fields<T>(fields: &[(u8, &str)], then: impl FnOnce(&Fields<'_>) -> T) -> T {
    let bytes = frame(b'E', fields.iter().copied());
    match ServerMessage::decode(b'E', &bytes[5..]) {
        Ok(ServerMessage::Error(fields)) => then(&fields),
        other => panic!("{other:?}"),
    }
}

/// `C=22P02|M=text` as fields.
fn fields(written: &str) -> Vec<(u8, &str)> {
    written
        .split('|')
        .filter_map(|field| field.split_once('='))
        .map(|(code, text)| (code.as_bytes()[0], text))
        .collect()
}

#[test]
fn every_message_of_the_table_is_what_the_table_says() {
    let mut cases = 0;
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let [tag, given, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let scrubbed = with_fields(&fields(given), |fields| mask::scrub(tag.as_bytes()[0], fields, true)).unwrap();
        assert_eq!(scrubbed[0], tag.as_bytes()[0]);
        let expected: Vec<_> = fields(expected)
            .into_iter()
            .map(|(code, text)| (code, text.replace("; …", &format!("; {WITHHELD}")).replace('#', WITHHELD_NOTICE)))
            .collect();
        assert_eq!(read(scrubbed), expected, "{line}");
        cases += 1;
        assert!(with_fields(&fields(given), |fields| mask::scrub(b'E', fields, false)).is_none());
    }
    assert!(cases > 30, "the table was not read: {cases}");
}

#[test]
fn the_tables_are_whole() {
    let codes: Vec<_> = rows(CODES).collect();
    let classes: Vec<_> = rows(CLASSES).collect();
    assert!(codes.is_sorted() && classes.is_sorted(), "sorted, for a person to find a line");
    assert_eq!(codes.len(), 263, "Appendix A of versions 14 to 18");
    let known: BTreeSet<_> = codes.iter().map(|row| row[0]).collect();
    for row in &codes {
        let valid = |code: &str| code.len() == 5 && code.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        assert!(row.len() == 3 && valid(row[0]) && !row[1].is_empty(), "{row:?}");
        assert!(classes.iter().any(|class| class[0] == &row[0][..2]), "{row:?} has no class");
    }
    for row in &classes {
        assert!(row.len() == 4 && Ruling::of(row[1]).is_some() && !row[2].is_empty() && !row[3].is_empty(), "{row:?}");
        assert!(row[0].len() == 2 || known.contains(row[0]), "{row:?} overrules nothing");
    }
    for data in ["22", "23", "P0", "XX", "38", "39", "HV"] {
        let class = classes.iter().find(|row| row[0] == data).unwrap();
        assert_eq!(Ruling::of(class[1]), Some(Ruling::Replace), "{data} can hold values");
    }
}

#[test]
fn notifications_lose_their_payload() {
    let decode = |frame: Bytes| {
        let frame = Frame::whole(frame).unwrap();
        match ServerMessage::decode(frame.tag(), frame.body()) {
            Ok(ServerMessage::Notification { pid, channel, payload }) => (pid, channel.to_vec(), payload.to_vec()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(decode(mask::withhold(7, b"jobs")), (7, b"jobs".to_vec(), vec![]));
    let detectors = Sample { treatment: Treatment::Detect, word: None };
    let found = mask::detect_in_notification(7, b"jobs", format!("pay {CARD}").as_bytes(), &detectors).unwrap();
    assert_eq!(decode(found), (7, b"jobs".to_vec(), b"pay [card]".to_vec()));
    assert!(mask::detect_in_notification(7, b"jobs", b"pay", &detectors).is_none());
    let unreadable = mask::detect_in_notification(7, b"jobs", b"\xff4111", &detectors).unwrap();
    assert_eq!(decode(unreadable).2, UNREADABLE.as_bytes());
}

#[test]
fn detectors_look_in_every_text_of_a_message() {
    let detectors = Sample { treatment: Treatment::Detect, word: None };
    let all: Vec<_> = b"MDHWqstcdnZ".iter().map(|code| (*code, CARD)).collect();
    let found = with_fields(&[&[(b'S', "ERROR"), (b'C', "22P02")], &all[..]].concat(), |fields| {
        mask::detect_in(b'E', fields, &detectors)
    });
    let found = read(found.unwrap());
    assert!(found[2..].iter().all(|(_, text)| text == "[card]") && found.len() == all.len() + 2, "{found:?}");
    assert_eq!(found[1], (b'C', "22P02".to_owned()));
    let nothing = with_fields(&[(b'M', "no such table")], |fields| mask::detect_in(b'E', fields, &detectors).is_none());
    assert!(nothing);
}

#[test]
fn a_code_that_was_made_up_carries_nothing() {
    for code in ["SSN12", "12345", "4567A", "P0009", "", "22p02", "123456789"] {
        let fields = [(b'S', "ERROR"), (b'V', "ERROR"), (b'C', code), (b'M', "x"), (b'n', "x")];
        let scrubbed = read(with_fields(&fields, |fields| mask::scrub(b'E', fields, true)).unwrap());
        assert_eq!(scrubbed[2], (b'C', "P0001".to_owned()), "{code}");
        assert_eq!(scrubbed.len(), 4, "{scrubbed:?}");
    }
}

proptest! {
    #[test]
    fn no_canary_leaves_in_what_procedural_code_can_fill(
        code in prop::sample::select(rows(CODES).map(|row| row[0]).collect::<Vec<_>>()),
        others in prop::collection::vec(prop::sample::select(b"DHWqpdFLRstcnPVSM".to_vec()), 0..17),
        tag in prop::sample::select(b"EN".to_vec()),
    ) {
        // RAISE always has a context.
        let mut given = vec![(b'C', code), (b'M', CANARY), (b'W', CANARY)];
        given.extend(others.into_iter().map(|code| (code, CANARY)));
        let scrubbed = with_fields(&given, |fields| mask::scrub(tag, fields, true)).unwrap();
        prop_assert!(!String::from_utf8_lossy(&scrubbed).contains(CANARY));
        prop_assert_eq!(read(scrubbed).len(), 4);
    }
}
