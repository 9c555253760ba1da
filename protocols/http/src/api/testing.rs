//! What the tests of readers share: masks that replace `SECRET`, wherever it is cut, and the members named `ssn`; and a
//! client that takes an answer in whatever pieces it comes.

use super::{Ended, NotJson, Part, Reader, Room, Unfit, Words};
use crate::frame::Head;
use crate::json::{self, Edits, Node};
use http::{HeaderMap, StatusCode};
use portcullis_model::{Command, Denial, Reason, Tokens};
use std::collections::BTreeMap;

/// What the canary becomes.
pub(crate) const SECRET: &str = "SECRET";
pub(crate) const MASKED: &str = "[masked]";

/// Masks for tests.
#[derive(Default)]
pub(crate) struct TestWords {
    pub(crate) binds: bool,
    pub(crate) fields: bool,
    /// The record's masks bind, fields too, whatever binds the client.
    pub(crate) exempt: bool,
    /// What the canary becomes, where it is not that of every test.
    pub(crate) masked: Option<&'static str>,
    /// What is found in a whole text, where it is not the canary.
    pub(crate) finds: Option<&'static str>,
    pub(crate) streams: BTreeMap<u32, String>,
    /// What went to the record.
    pub(crate) recorded: Vec<String>,
    pub(crate) room: Room,
}

impl TestWords {
    /// Masks that bind, fields too.
    pub(crate) fn binding() -> Self {
        Self { binds: true, fields: true, ..Self::default() }
    }

    /// Masks that bind the record and not the client.
    pub(crate) fn exempt() -> Self {
        Self { exempt: true, ..Self::default() }
    }

    fn masked(&self) -> &'static str {
        self.masked.unwrap_or(MASKED)
    }
}

impl Words for TestWords {
    fn binds(&self) -> bool {
        self.binds
    }

    fn binds_fields(&self) -> bool {
        self.fields
    }

    fn protected(&self) -> Vec<String> {
        if self.fields { vec!["ssn".to_owned()] } else { Vec::new() }
    }

    fn json(&mut self, document: &str) -> Result<Option<String>, NotJson> {
        if !self.binds {
            return Ok(None);
        }
        let root = json::read(document.as_bytes()).map_err(|_| NotJson)?;
        let mut edits = Edits::default();
        mask(&root, self.fields, self.masked(), &mut edits);
        Ok((!edits.is_empty()).then(|| edits.apply(document).unwrap()))
    }

    fn whole(&mut self, text: &str) -> Option<String> {
        let canary = self.finds.unwrap_or(SECRET);
        (self.binds && text.contains(canary)).then(|| text.replace(canary, self.masked()))
    }

    fn piece(&mut self, stream: u32, text: &str) -> String {
        if !self.binds {
            return text.to_owned();
        }
        let masked = self.masked();
        let held = self.streams.entry(stream).or_default();
        held.push_str(text);
        let masked = held.replace(SECRET, masked);
        let keep = (1..SECRET.len()).rev().find(|n| masked.ends_with(&SECRET[..*n])).unwrap_or(0);
        let (out, rest) = masked.split_at(masked.len() - keep);
        *held = rest.to_owned();
        out.to_owned()
    }

    fn last(&mut self, stream: u32) -> String {
        self.streams.remove(&stream).unwrap_or_default()
    }

    fn record(&mut self, text: &str) {
        self.recorded.push(text.to_owned());
    }

    fn recording(&mut self) -> Option<Box<dyn Words>> {
        let (binds, fields) = (self.binds || self.exempt, self.fields || self.exempt);
        Some(Box::new(Self { binds, fields, masked: self.masked, ..Self::default() }))
    }

    fn record_made(&mut self, made: &str) {
        self.recorded.push(made.to_owned());
    }

    fn room(&mut self) -> Option<&mut Room> {
        Some(&mut self.room)
    }
}

fn mask(node: &Node, fields: bool, masked: &str, edits: &mut Edits) {
    if let Some(text) = node.text().filter(|text| text.contains(SECRET)) {
        edits.replace(node.span.clone(), json::quoted(&text.replace(SECRET, masked)));
    }
    for element in node.elements() {
        mask(element, fields, masked, edits);
    }
    for (name, member) in node.members() {
        if fields && name == "ssn" {
            edits.replace(member.span.clone(), json::quoted(masked));
        } else {
            mask(member, fields, masked, edits);
        }
    }
}

/// Feeds a whole body in pieces of this size; gives what came out and the last part.
pub(crate) fn feed(reader: &mut dyn Reader, words: &mut dyn Words, body: &[u8], size: usize) -> (Vec<u8>, Vec<Part>) {
    let mut out = Vec::new();
    let mut others = Vec::new();
    let mut parts = Vec::new();
    for piece in body.chunks(size.max(1)) {
        reader.on_data(piece, words, &mut parts);
    }
    reader.on_end(Ended::Whole, words, &mut parts);
    for part in parts {
        match part {
            Part::Data(data) => out.extend_from_slice(&data),
            other => others.push(other),
        }
    }
    (out, others)
}

/// What came out of an answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Came {
    pub(crate) client: String,
    pub(crate) proposed: Vec<String>,
    pub(crate) broken: Option<Unfit>,
    pub(crate) used: Option<Tokens>,
    pub(crate) recorded: Vec<String>,
    /// Nothing may follow.
    over: bool,
}

impl Came {
    /// Takes parts; gives what is proposed, behind which nothing may stand.
    pub(crate) fn take(&mut self, parts: Vec<Part>) -> Option<Command> {
        let mut proposed = None;
        for part in parts {
            assert!(proposed.is_none(), "something follows a proposal: {part:?}");
            assert!(!self.over, "something follows the end: {part:?}");
            match part {
                Part::Data(data) => self.client.push_str(std::str::from_utf8(&data).unwrap()),
                Part::Propose(command) => proposed = Some(*command),
                Part::Used(used) => self.used = Some(used),
                Part::End => self.over = true,
                Part::Broken(why) => {
                    self.over = true;
                    self.broken = Some(why);
                }
            }
        }
        proposed
    }

    /// Whether the answer has ended.
    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }
}

/// A command as the record has it.
pub(crate) fn said(command: &Command) -> String {
    let parameters = command.parameters.iter().filter_map(|parameter| parameter.value.as_deref());
    [command.text.as_str()].into_iter().chain(parameters).collect::<Vec<_>>().join(" ")
}

/// Feeds an answer in these pieces; a call passes unless its command holds `DENY` or has a fault.
pub(crate) fn answered(mut reader: impl Reader, mut words: TestWords, pieces: &[&[u8]], ended: Ended) -> Came {
    let mut head = Head { status: StatusCode::OK, headers: HeaderMap::new() };
    reader.on_head(&mut head, &mut words).unwrap();
    let mut came = Came::default();
    for at in 0..=pieces.len() {
        let mut parts = Vec::new();
        match pieces.get(at) {
            Some(piece) => reader.on_data(piece, &mut words, &mut parts),
            None => reader.on_end(ended, &mut words, &mut parts),
        }
        while let Some(command) = came.take(parts) {
            parts = Vec::new();
            let denial = Denial { decision: None, reason: Reason::Withdrawn, message: Some("Ask the pilot.".into()) };
            let said = said(&command);
            let refused = command.fault.is_some() || said.contains("DENY");
            came.proposed.push(said);
            reader.on_verdict(if refused { Err(&denial) } else { Ok(()) }, &mut words, &mut parts);
        }
    }
    assert!(came.over, "an answer without an end: {came:?}");
    came.recorded = words.recorded;
    came
}

/// Feeds an answer to a client that leaves while people decide about the first call of it, as `core::relay` tells its reader
/// then: what is proposed is withdrawn, one after the other, and nothing follows.
pub(crate) fn left(mut reader: impl Reader, mut words: TestWords, pieces: &[&[u8]]) -> Came {
    let (mut came, mut proposed) = (Came::default(), None);
    for at in 0..=pieces.len() {
        let mut parts = Vec::new();
        match pieces.get(at) {
            Some(piece) => reader.on_data(piece, &mut words, &mut parts),
            None => reader.on_end(Ended::Whole, &mut words, &mut parts),
        }
        proposed = came.take(parts);
        if proposed.is_some() {
            break;
        }
    }
    assert!(proposed.is_some(), "an answer without a call: {came:?}");
    let withdrawn = Denial { decision: None, reason: Reason::Withdrawn, message: None };
    let mut ended = false;
    while proposed.is_some() || !ended {
        let mut parts = Vec::new();
        if let Some(command) = proposed.take() {
            came.proposed.push(said(&command));
            reader.on_verdict(Err(&withdrawn), &mut words, &mut parts);
        } else {
            reader.on_end(Ended::Broken, &mut words, &mut parts);
            ended = true;
        }
        proposed = came.take(parts);
        ended |= came.over;
    }
    assert!(came.over, "an answer without an end: {came:?}");
    came.recorded = words.recorded;
    came
}

/// The same answer whole, by bytes, and cut once at many places, which must all come to the same.
pub(crate) fn everywhere<R: Reader>(reader: impl Fn() -> R, words: impl Fn() -> TestWords, body: &[u8]) -> Came {
    let whole = answered(reader(), words(), &[body], Ended::Whole);
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(answered(reader(), words(), &bytes, Ended::Whole), whole, "by bytes");
    for at in (0..body.len()).step_by(1 + body.len() / 200) {
        let (left, right) = body.split_at(at);
        assert_eq!(answered(reader(), words(), &[left, right], Ended::Whole), whole, "cut at {at}");
    }
    whole
}
