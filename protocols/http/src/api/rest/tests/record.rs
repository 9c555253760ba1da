//! What the record gets of an answer, for a client whom other masks bind than the record.

use super::*;
use crate::api::{Ended, Keeps, NotJson, Words};

/// A client's masks, and the record's.
struct Apart {
    client: TestWords,
    fields: bool,
    detects: bool,
    recorded: Vec<String>,
}

impl Words for Apart {
    fn binds(&self) -> bool {
        self.client.binds()
    }

    fn binds_fields(&self) -> bool {
        self.client.binds_fields()
    }

    fn protected(&self) -> Vec<String> {
        self.client.protected()
    }

    fn json(&mut self, document: &str) -> Result<Option<String>, NotJson> {
        self.client.json(document)
    }

    fn whole(&mut self, text: &str) -> Option<String> {
        self.client.whole(text)
    }

    fn piece(&mut self, stream: u32, text: &str) -> String {
        self.client.piece(stream, text)
    }

    fn last(&mut self, stream: u32) -> String {
        self.client.last(stream)
    }

    fn record(&mut self, text: &str) {
        self.recorded.push(format!("words {text}"));
    }

    fn record_document(&mut self, document: &str, whole: bool) {
        self.recorded.push(format!("{} {document}", if whole { "document" } else { "cut" }));
    }

    fn record_piece(&mut self, stream: u32, piece: &[u8]) {
        self.recorded.push(format!("piece {stream} {}", String::from_utf8_lossy(piece)));
    }

    fn keeps(&mut self) -> Keeps {
        Keeps::Apart(Box::new(TestWords { binds: self.detects, fields: self.fields, ..TestWords::default() }))
    }
}

/// What is recorded of an answer that comes in these pieces and ends so.
fn recorded(mut words: Apart, kind: &str, pieces: &[&[u8]], ended: Ended) -> Vec<String> {
    let Read::Asked(asked) = read(request(None, b""), &opaque(), &mut words) else { panic!() };
    let mut reader = asked.reader;
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap())]);
    reader.on_head(&mut Head { status: StatusCode::OK, headers }, &mut words).unwrap();
    let mut parts = Vec::new();
    pieces.iter().for_each(|piece| reader.on_data(piece, &mut words, &mut parts));
    reader.on_end(ended, &mut words, &mut parts);
    words.recorded
}

fn apart(detects: bool, fields: bool) -> Apart {
    Apart { client: TestWords::default(), fields, detects, recorded: Vec::new() }
}

#[test]
fn what_passes_as_it_comes_is_recorded_as_what_it_is() {
    let json = "application/json";
    let lines = "application/x-ndjson";
    let events = "text/event-stream";
    type Case<'c> = (&'c str, bool, &'c [&'c [u8]], &'c [&'c str]);
    let cases: &[Case<'_>] = &[
        (json, false, &[b"{\"ssn\":", b"\"1\"}"], &["document {\"ssn\":\"1\"}"]),
        (json, false, &[b""], &[]),
        (
            lines,
            false,
            &[b"{\"a\":1}\n{\"ss", b"n\":1}\n", b"{}"],
            &["document {\"a\":1}", "document {\"ssn\":1}", "document {}"],
        ),
        (events, false, &[b"data: {\"ssn\"", b":1}\n\ndata: lo", b"st"], &["words {\"ssn\":1}"]),
        ("text/csv", true, &[b"ssn\n", b"1"], &["document ssn\n1"]),
        ("text/csv", false, &[b"of SEC", b"RET"], &["piece 0 of SEC", "piece 0 RET"]),
        ("application/pdf", true, &[b"SECRET"], &[]),
    ];
    for (kind, fields, pieces, expected) in cases {
        assert_eq!(recorded(apart(true, *fields), kind, pieces, Ended::Whole), *expected, "{kind} {fields}");
    }
    // Masks do not find what stands there in other characters than they know.
    let utf16: &[&[u8]] = &[b"s\0s\0n\0\n\0", b"1\0"];
    for (kind, fields) in [
        ("text/csv; charset=utf-16le", false),
        ("text/csv; charset=utf-16le", true),
        ("text/csv", false),
        ("application/json; charset=utf-16le", false),
        ("application/x-ndjson; charset=utf-16le", true),
        ("text/event-stream; charset=iso-8859-1", false),
        ("text/plain; charset=utf-7", false),
    ] {
        assert_eq!(recorded(apart(true, fields), kind, utf16, Ended::Whole), ["cut "], "{kind} {fields}");
        assert_eq!(recorded(apart(true, fields), kind, &[], Ended::Whole), [""; 0], "{kind} {fields}");
    }
    assert_eq!(recorded(apart(true, false), "text/csv", &[b"a", b"b\0"], Ended::Whole), ["piece 0 a", "cut "]);
    assert_eq!(recorded(apart(false, false), "text/csv; charset=utf-16le", &[b"1\0"], Ended::Whole), ["piece 0 1\0"]);
    // Without masks of the record all of it is text, in whatever pieces.
    assert_eq!(recorded(apart(false, false), json, &[b"{", b"}"], Ended::Whole), ["piece 0 {", "piece 0 }"]);
}

#[test]
fn what_was_released_of_an_answer_that_broke_off_is_recorded() {
    let broken = |kind, piece: &[u8]| recorded(apart(true, true), kind, &[piece], Ended::Broken);
    assert_eq!(broken("application/json", b"{\"ssn\":\"1"), ["cut {\"ssn\":\"1"]);
    assert_eq!(broken("application/x-ndjson", b"{}\n{\"ssn\":"), ["document {}", "cut {\"ssn\":"]);
    assert_eq!(broken("text/event-stream", b"data: a\n\ndata: b"), ["words a", "cut "]);
    assert_eq!(recorded(apart(false, false), "text/plain", &[b"a"], Ended::Broken), ["piece 0 a"]);
}

#[test]
fn what_does_not_fit_is_said_to_be_cut() {
    let long = vec![b'x'; 5 << 20];
    let kept = recorded(apart(true, true), "application/json", &[&long, b"y"], Ended::Whole);
    assert!(kept.len() == 1 && kept[0].starts_with("cut x") && kept[0].len() < 5 << 20);
    let kept = recorded(apart(true, false), "application/x-ndjson", &[b"{}\n", &long, b"y\n"], Ended::Whole);
    assert_eq!(kept.iter().map(|one| one.split(' ').next().unwrap()).collect::<Vec<_>>(), ["document", "cut"]);
    let kept = recorded(apart(true, false), "text/event-stream", &[b"data: a\n\ndata: ", &long], Ended::Whole);
    assert_eq!(kept, ["words a", "cut "]);
}

#[test]
fn a_text_is_recorded_once_and_by_the_masks_of_the_record() {
    let words = |fields| Apart { client: TestWords { binds: true, ..TestWords::default() }, ..apart(true, fields) };
    let pieces: &[&[u8]] = &[b"of SEC", b"RET"];
    assert_eq!(recorded(words(false), "text/plain", pieces, Ended::Whole), ["piece 0 of SEC", "piece 0 RET"]);
    assert_eq!(recorded(words(true), "text/plain", pieces, Ended::Whole), ["document of SECRET"]);
}
