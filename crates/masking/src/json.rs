//! Masks members of JSON documents by path.
//!
//! Promises: every byte outside a masked value stays as it was; every value that a path leads to is masked, also under a
//! key that occurs twice or is written with escapes; a text that is not JSON for every reader is [`NotJson`], and the
//! caller then masks all of it. Depth is bounded, recursion is not used, time is linear. Does not promise anything of
//! documents inside strings of documents, nor of names: a path masks values, never keys.
//!
//! Held by: `tests.rs` beside this file, property tests against serde_json among them.

mod path;
mod scan;

use crate::key::Key;
use crate::transform::{REDACTED, apply};
use path::Child;
pub use path::{BadPath, JsonPath};
use portcullis_model::Transform;
use scan::{Scanner, write_string};
use std::ops::Range;

/// The text is not JSON, or is nested more than 512 deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON text that can be masked by path")]
pub struct NotJson;

/// How deep a document may nest.
const DEPTH: usize = 512;

/// Masks what the paths lead to. `Ok(None)`: they lead to nothing here that is not null.
///
/// A string becomes the transformed string, or null; a number or a truth value a string where the transform is a
/// constant or a hash, else null; null stays null; an object or a list is replaced whole by the constant, or null.
///
/// # Errors
/// [`NotJson`]: the caller masks the text whole.
pub fn mask_json(text: &str, paths: &[(JsonPath, Transform)], key: &Key) -> Result<Option<String>, NotJson> {
    let mut walk = Walk {
        scanner: Scanner::new(text),
        paths,
        key,
        levels: Vec::new(),
        states: Vec::new(),
        current: vec![JsonPath::START; paths.len()],
        hidden: None,
        out: String::new(),
        copied: 0,
    };
    walk.document()?;
    if walk.out.is_empty() {
        return Ok(None);
    }
    walk.out.push_str(walk.scanner.slice(walk.copied..text.len()));
    Ok(Some(walk.out))
}

struct Level {
    object: bool,
    /// The index of the element read now.
    index: usize,
}

/// A container that is replaced whole.
struct Hidden<'p> {
    /// How many levels are open outside it.
    outside: usize,
    start: usize,
    transform: &'p Transform,
}

struct Walk<'t, 'p> {
    scanner: Scanner<'t>,
    paths: &'p [(JsonPath, Transform)],
    key: &'p Key,
    levels: Vec<Level>,
    /// For each open level, the state of each path.
    states: Vec<u64>,
    /// The state of each path at the value read now.
    current: Vec<u64>,
    hidden: Option<Hidden<'p>>,
    out: String,
    copied: usize,
}

impl<'p> Walk<'_, 'p> {
    fn document(&mut self) -> Result<(), NotJson> {
        loop {
            let opened = self.value()?;
            if opened && self.first_child()? {
                continue;
            }
            if !self.next_child()? {
                break;
            }
        }
        if self.scanner.peek().is_none() { Ok(()) } else { Err(NotJson) }
    }

    /// Reads a scalar whole, or the opening of a container: then true.
    fn value(&mut self) -> Result<bool, NotJson> {
        let kind = self.scanner.peek().ok_or(NotJson)?;
        let start = self.scanner.at;
        let asked = self.asked();
        match kind {
            b'{' | b'[' => {
                self.open(kind == b'{', asked)?;
                return Ok(true);
            }
            b'"' => {
                let said = self.scanner.string()?;
                if let Some(transform) = asked {
                    let put = apply(transform, &said, self.key);
                    self.replace(start..self.scanner.at, put.as_deref());
                }
                return Ok(false);
            }
            b'n' => {
                self.scanner.word("null")?;
                return Ok(false);
            }
            b't' => self.scanner.word("true")?,
            b'f' => self.scanner.word("false")?,
            b'-' | b'0'..=b'9' => self.scanner.number()?,
            _ => return Err(NotJson),
        }
        if let Some(transform) = asked {
            let put = match transform {
                Transform::Redact | Transform::Fixed(_) | Transform::Hash => {
                    apply(transform, self.scanner.slice(start..self.scanner.at), self.key)
                }
                Transform::Null | Transform::KeepFirst(_) | Transform::KeepLast(_) => None,
            };
            self.replace(start..self.scanner.at, put.as_deref());
        }
        Ok(false)
    }

    /// The strictest transform that the paths ask for at the value read now.
    fn asked(&self) -> Option<&'p Transform> {
        if self.hidden.is_some() {
            return None;
        }
        let here = self.paths.iter().zip(&self.current).filter(|((path, _), state)| path.arrived(**state));
        here.map(|((_, transform), _)| transform).reduce(|one, other| one.stricter(other))
    }

    fn open(&mut self, object: bool, asked: Option<&'p Transform>) -> Result<(), NotJson> {
        if self.levels.len() == DEPTH {
            return Err(NotJson);
        }
        if let Some(transform) = asked {
            self.hidden = Some(Hidden { outside: self.levels.len(), start: self.scanner.at, transform });
        }
        self.scanner.at += 1;
        self.levels.push(Level { object, index: 0 });
        self.states.extend_from_slice(&self.current);
        Ok(())
    }

    /// Goes to the first child of the container just opened; false where it has none.
    fn first_child(&mut self) -> Result<bool, NotJson> {
        let object = self.levels.last().is_some_and(|level| level.object);
        let closer = if object { b'}' } else { b']' };
        if self.scanner.peek() == Some(closer) {
            return Ok(false);
        }
        self.enter(object, 0)?;
        Ok(true)
    }

    /// After a value or an empty container: goes to what follows, closing levels; false at the end of the document.
    fn next_child(&mut self) -> Result<bool, NotJson> {
        while let Some(level) = self.levels.last_mut() {
            let object = level.object;
            let index = level.index + 1;
            if self.scanner.take(if object { b'}' } else { b']' }) {
                self.close();
            } else if self.scanner.take(b',') {
                level.index = index;
                self.enter(object, index)?;
                return Ok(true);
            } else {
                return Err(NotJson);
            }
        }
        Ok(false)
    }

    fn close(&mut self) {
        self.levels.pop();
        self.states.truncate(self.levels.len() * self.paths.len());
        if let Some(hidden) = self.hidden.take_if(|hidden| hidden.outside == self.levels.len()) {
            let put = match hidden.transform {
                Transform::Null => None,
                Transform::Redact
                | Transform::Fixed(_)
                | Transform::Hash
                | Transform::KeepFirst(_)
                | Transform::KeepLast(_) => Some(REDACTED),
            };
            self.replace(hidden.start..self.scanner.at, put);
        }
    }

    /// Reads a member's name where there is one, and sets the states of the value to come.
    fn enter(&mut self, object: bool, index: usize) -> Result<(), NotJson> {
        let name = if object {
            if self.scanner.peek() != Some(b'"') {
                return Err(NotJson);
            }
            let name = self.scanner.string()?;
            if !self.scanner.take(b':') {
                return Err(NotJson);
            }
            Some(name)
        } else {
            None
        };
        if self.hidden.is_none() {
            let child = name.as_deref().map_or(Child::Element(index), Child::Member);
            let outer = self.states.len() - self.paths.len();
            let outer = self.states.get(outer..).unwrap_or_default();
            for (((path, _), state), current) in self.paths.iter().zip(outer).zip(&mut self.current) {
                *current = path.advance(*state, child);
            }
        }
        Ok(())
    }

    fn replace(&mut self, span: Range<usize>, put: Option<&str>) {
        self.out.push_str(self.scanner.slice(self.copied..span.start));
        match put {
            Some(text) => write_string(&mut self.out, text),
            None => self.out.push_str("null"),
        }
        self.copied = span.end;
    }
}

/// Fuzzing entry: any bytes; must not panic, and what it makes of JSON must be JSON whose second masking has nothing to
/// do that the first did not.
pub fn fuzz_json(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let key = Key::new([1; 32]);
    let all: Vec<_> = ["$..a", "$.b[*].c", "$..['x y'].*", "$[1]"]
        .iter()
        .filter_map(|path| Some((JsonPath::parse(path).ok()?, Transform::Redact)))
        .collect();
    if let Ok(Some(masked)) = mask_json(&text, &all, &key) {
        let again = mask_json(&masked, &all, &key);
        assert!(again.as_ref().is_ok_and(|again| again.as_ref().is_none_or(|again| *again == masked)), "not settled");
    }
    drop(JsonPath::parse(&text));
}

#[cfg(test)]
mod tests;
