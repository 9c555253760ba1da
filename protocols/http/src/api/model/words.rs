//! Values of messages, masked in place.
//!
//! Promises: every string of a value passes through the masks but the API's own words where the API has them, what is
//! signed or sealed and long enough to be that, and bytes of pictures; every other byte stays as it was. A value is spared
//! for where it stands and what it is made of, never for what it calls itself: in what clients describe themselves
//! (schemas, metadata) nothing is. What a tool was given is masked as the JSON that it is, and so is JSON in a text that
//! begins in a line of its own. The same value comes out alike each time, so a conversation that is sent again stays the
//! same to a provider that caches it. Does not promise to read pictures or encoded documents, nor to know a member in the
//! middle of a line or in what is only nearly JSON.
//! Held by: `tests.rs` and the tests of each API.

use super::scan::{Scan, scan};
use super::{ID, List};
use crate::api::{NotJson, Words};
use crate::json::{self, Edits, Node, Value, quoted};
use serde::Deserialize;

/// What stands for JSON whose fields cannot be masked.
pub(super) const WITHHELD: &str = "[portcullis: JSON that cannot be masked]";

/// Bytes from which on a text of base64 is taken for what is sealed, signed or a picture.
const SEALED: usize = 32;

/// How often the texts of a body are looked through for JSON that is none.
pub(super) const TIMES: usize = 8;
/// Bytes of them that are looked through in any case.
pub(super) const ANYWAY: usize = 64 << 10;

/// How much may be looked through for JSON that is none, over all the texts of one body: many short ones are not more than
/// one long one. It grows with each text, so that what stands behind a text changes nothing of what is found in it.
#[derive(Debug)]
pub(crate) struct Room {
    granted: usize,
    looked: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { granted: ANYWAY, looked: 0 }
    }
}

impl Room {
    fn grow(&mut self, text: &str) {
        self.granted = self.granted.saturating_add(text.len().saturating_mul(TIMES));
    }

    /// So many bytes were no document; whether more may be looked for. A text for which there is no room is not looked
    /// through again, and takes none from those behind it.
    const fn goes_on(&mut self, bytes: usize) -> bool {
        let looked = self.looked.saturating_add(bytes);
        let fits = looked <= self.granted;
        if fits {
            self.looked = looked;
        }
        fits
    }
}

#[cfg(test)]
impl Room {
    /// The steps that were for nothing, but for the last in a text.
    pub(crate) const fn looked(&self) -> usize {
        self.looked
    }
}

/// Which values of an API are never changed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Spared {
    /// Members that are words of the API's own.
    pub(in crate::api) own: List,
    /// Members that the provider encrypted.
    pub(in crate::api) sealed: List,
    /// Types of blocks of a turn whose text a signature is over: it can be left out and not changed.
    #[serde(default)]
    pub(in crate::api) signed: List,
    /// Members that clients fill with names of their own: nothing in them is spared.
    pub(in crate::api) foreign: List,
    /// The same, and what they hold is a document with fields that rules name.
    pub(in crate::api) documents: List,
}

/// Where in a request a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Body,
    Turns,
    Turn,
    Blocks,
    Inner,
    Foreign,
}

impl Place {
    fn member(self, name: &str, spared: &Spared) -> Self {
        match (self, name) {
            (Self::Foreign, _) => Self::Foreign,
            (_, name) if spared.foreign.has(name) => Self::Foreign,
            (Self::Body, "messages") => Self::Turns,
            (Self::Turn, "content") => Self::Blocks,
            (Self::Body | Self::Turns | Self::Turn | Self::Blocks | Self::Inner, _) => Self::Inner,
        }
    }

    const fn element(self) -> Self {
        match self {
            Self::Turns => Self::Turn,
            Self::Blocks => Self::Blocks,
            Self::Foreign => Self::Foreign,
            Self::Body | Self::Turn | Self::Inner => Self::Inner,
        }
    }
}

impl Spared {
    /// What to change of the body of a request, which stands in `text`.
    pub(in crate::api) fn mask_body(
        &self,
        body: &Node,
        text: &str,
        words: &mut dyn Words,
        edits: &mut Edits,
    ) -> Result<(), NotJson> {
        self.at(Place::Body, body, text, words, edits)
    }

    /// What to change of a value of an answer, which stands in `text`.
    pub(in crate::api) fn mask(
        &self,
        node: &Node,
        text: &str,
        words: &mut dyn Words,
        edits: &mut Edits,
    ) -> Result<(), NotJson> {
        self.at(Place::Inner, node, text, words, edits)
    }

    /// The value with its strings masked.
    pub(in crate::api) fn masked(&self, node: &Node, text: &str, words: &mut dyn Words) -> Result<String, NotJson> {
        self.masked_alone(text.get(node.span.clone()).ok_or(NotJson)?, words)
    }

    /// The same of a value that is written so.
    pub(super) fn masked_alone(&self, written: &str, words: &mut dyn Words) -> Result<String, NotJson> {
        if !words.binds() {
            return Ok(written.to_owned());
        }
        let alone = json::read(written.as_bytes()).map_err(|_| NotJson)?;
        let mut edits = Edits::default();
        self.mask(&alone, written, words, &mut edits)?;
        edits.apply(written).ok_or(NotJson)
    }

    fn at(
        &self,
        place: Place,
        node: &Node,
        text: &str,
        words: &mut dyn Words,
        edits: &mut Edits,
    ) -> Result<(), NotJson> {
        match &node.value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
            Value::String(value) => {
                if let Some(masked) = string(value, words) {
                    edits.replace(node.span.clone(), quoted(&masked));
                }
                Ok(())
            }
            Value::Array(elements) => {
                elements.iter().try_for_each(|element| self.at(place.element(), element, text, words, edits))
            }
            Value::Object(members) => {
                let kind = node.get("type").and_then(Node::text).unwrap_or_default();
                let signed = place == Place::Blocks && self.signed.has(kind);
                for (name, member) in members {
                    if place != Place::Foreign && self.spares(kind, signed, name, member) {
                        continue;
                    }
                    let is_document = (name == "input" && kind.ends_with("tool_use")) || self.documents.has(name);
                    match member.text() {
                        // Its signature is over it.
                        Some(said) if signed && name == "thinking" => {
                            if string(said, words).is_some() {
                                edits.replace(member.span.clone(), quoted(""));
                            }
                        }
                        _ if is_document && place != Place::Foreign => document(member, text, words, edits)?,
                        _ => {
                            // A block has members, not blocks.
                            let within = if place == Place::Blocks { Place::Inner } else { place };
                            self.at(within.member(name, self), member, text, words, edits)?;
                        }
                    }
                }
                Ok(())
            }
        }
    }

    /// Whether this member of an object of this kind stays as it is.
    fn spares(&self, kind: &str, signed: bool, name: &str, member: &Node) -> bool {
        let Some(value) = member.text() else { return false };
        match name {
            // The provider's own words for things have no spaces; a longer text under such a name is a text.
            name if self.own.has(name) => value.len() <= ID && is_word(value),
            name if self.sealed.has(name) => is_sealed(value),
            "signature" | "data" if signed => is_sealed(value),
            "data" => kind == "base64" && is_sealed(value),
            "url" | "image_url" => {
                let picture = value.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
                picture.is_some_and(|(kind, data)| kind.len() <= ID && is_word(kind) && is_sealed(data))
            }
            _ => false,
        }
    }
}

/// A value that is a document of somebody's own, with fields that rules name.
fn document(node: &Node, text: &str, words: &mut dyn Words, edits: &mut Edits) -> Result<(), NotJson> {
    // A string in the place of a document may be one.
    if let Some(said) = node.text() {
        if let Some(masked) = string(said, words) {
            edits.replace(node.span.clone(), quoted(&masked));
        }
        return Ok(());
    }
    let written = text.get(node.span.clone()).ok_or(NotJson)?;
    if let Some(masked) = words.json(written)? {
        edits.replace(node.span.clone(), masked);
    }
    Ok(())
}

/// A whole string, which may hold documents.
pub(in crate::api) fn string(value: &str, words: &mut dyn Words) -> Option<String> {
    if !words.binds_fields() {
        return words.whole(value);
    }
    let found = match words.room() {
        Some(room) => pieces(value, room),
        None => pieces(value, &mut Room::default()),
    };
    let mut out = String::new();
    let mut changed = false;
    for piece in found {
        let (said, masked) = match piece {
            Piece::Prose(said) => (said, words.whole(said)),
            Piece::Document(said) => (said, words.json(said).unwrap_or_else(|_| withheld())),
            // It is masked with what it lacks, and that is taken away again.
            Piece::Cut(said, lacks) => match words.json(&format!("{said}{lacks}")) {
                Ok(masked) => {
                    (said, masked.map(|masked| masked.strip_suffix(&lacks).map(ToOwned::to_owned).unwrap_or(masked)))
                }
                Err(_) => (said, withheld()),
            },
            Piece::Unread(said) => (said, withheld()),
        };
        changed |= masked.is_some();
        out.push_str(masked.as_deref().unwrap_or(said));
    }
    changed.then_some(out)
}

fn withheld() -> Option<String> {
    Some(WITHHELD.to_owned())
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    Prose(&'t str),
    /// One JSON document.
    Document(&'t str),
    /// One that breaks off with the text, and what it lacks.
    Cut(&'t str, String),
    /// Too much that begins like one.
    Unread(&'t str),
}

/// Where in the text a line begins with what JSON begins with. `line` says whether only spaces stood before the text in
/// its line, and then whether they do behind it.
pub(super) fn begins(text: &str, line: &mut bool) -> Option<usize> {
    for (at, c) in text.char_indices() {
        match c {
            '{' | '[' if *line => return Some(at),
            '\n' | '\r' => *line = true,
            c if c.is_whitespace() || c == '\u{feff}' => {}
            _ => *line = false,
        }
    }
    None
}

/// The documents of a text, and what lies between them.
pub(super) fn pieces<'t>(text: &'t str, room: &mut Room) -> Vec<Piece<'t>> {
    let mut pieces = Vec::new();
    room.grow(text);
    // `prose` is where what no document was found in begins, up to `at`.
    let (mut prose, mut at, mut line) = (0, 0, true);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    while let Some(found) = begins(part(at, text.len()), &mut line) {
        let start = at + found;
        let rest = part(start, text.len());
        let (piece, length) = match scan(rest) {
            Scan::Wrong(bytes) if room.goes_on(bytes) => {
                (at, line) = (start + 1, false);
                continue;
            }
            Scan::Wrong(_) => (Piece::Unread(rest), rest.len()),
            Scan::Whole(bytes) => (Piece::Document(part(start, start + bytes)), bytes),
            Scan::Cut(lacks) => (Piece::Cut(rest, lacks), rest.len()),
        };
        if prose < start {
            pieces.push(Piece::Prose(part(prose, start)));
        }
        pieces.push(piece);
        at = start + length;
        (prose, line) = (at, true);
    }
    if prose < text.len() {
        pieces.push(Piece::Prose(part(prose, text.len())));
    }
    pieces
}

/// Whether a text has the form of an id, a word of the API, or base64.
pub(in crate::api) fn is_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':' | b'+' | b'/' | b'='))
}

/// Whether a text is base64 (RFC 4648 §4 or §5), and too long to be a value by itself.
pub(in crate::api) fn is_sealed(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let (padding, rest) = (text.len() - digits.len(), digits.len() % 4);
    let plain = |of: [u8; 2]| digits.bytes().all(|b| b.is_ascii_alphanumeric() || of.contains(&b));
    text.len() >= SEALED
        && (plain(*b"+/") || plain(*b"-_"))
        && (rest != 1)
        && (padding == 0 || (padding <= 2 && (rest + padding) % 4 == 0))
}
