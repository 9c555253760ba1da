//! Masks for the tests of readers: they replace `SECRET`, wherever it is cut, and the members named `ssn`.

use super::{Ended, NotJson, Part, Reader, Words};
use crate::json::{self, Edits, Node};
use std::collections::BTreeMap;

/// What the canary becomes.
pub(crate) const SECRET: &str = "SECRET";
pub(crate) const MASKED: &str = "[masked]";

/// Masks for tests.
#[derive(Default)]
pub(crate) struct TestWords {
    pub(crate) binds: bool,
    pub(crate) fields: bool,
    /// What the canary becomes, where it is not that of every test.
    pub(crate) masked: Option<&'static str>,
    pub(crate) streams: BTreeMap<u32, String>,
    /// What went to the record.
    pub(crate) recorded: Vec<String>,
}

impl TestWords {
    /// Masks that bind, fields too.
    pub(crate) fn binding() -> Self {
        Self { binds: true, fields: true, ..Self::default() }
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
        (self.binds && text.contains(SECRET)).then(|| text.replace(SECRET, self.masked()))
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
