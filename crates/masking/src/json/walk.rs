//! Goes over a document once and replaces what is to be masked.
//!
//! The document is read as it stands, never taken apart into a tree: where each path is in it is one word for each open
//! level, what is replaced is a span. A string that holds documents gets a walk of its own, which looks into no further.
//!
//! Held by: the tests of `super`.

use super::path::{Child, JsonPath, fold};
use super::scan::{Said, Scanner, write_string};
use super::{JsonMasks, MaskedJson, NotJson, count, is_container};
use crate::detect::Value;
use crate::transform::{REDACTED, apply};
use portcullis_model::Transform;
use std::borrow::Cow;
use std::ops::Range;

/// How deep a document may nest.
const DEPTH: usize = 512;

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

pub(super) struct Walk<'t, 'p> {
    scanner: Scanner<'t>,
    masks: JsonMasks<'p>,
    /// Whether strings are looked into.
    inside: bool,
    levels: Vec<Level>,
    /// For each open level, the state of each path, then of each that spares.
    states: Vec<u64>,
    /// The state of each of them at the value read now.
    current: Vec<u64>,
    /// The name that the value read now stands under.
    name: Option<Cow<'t, str>>,
    hidden: Option<Hidden<'p>>,
    /// How many levels are open outside the container that is spared.
    spared: Option<usize>,
    out: String,
    copied: usize,
    paths: Vec<u64>,
    detectors: Vec<u64>,
}

impl<'t, 'p> Walk<'t, 'p> {
    /// One that looks into strings.
    pub(super) fn new(masks: JsonMasks<'p>, text: &'t str) -> Self {
        Self {
            scanner: Scanner::new(text),
            inside: true,
            levels: Vec::new(),
            states: Vec::new(),
            current: vec![JsonPath::START; masks.paths.len() + masks.spared.len()],
            name: None,
            hidden: None,
            spared: None,
            out: String::new(),
            copied: 0,
            paths: vec![0; masks.paths.len()],
            detectors: vec![0; masks.detectors.map_or(0, crate::detect::Detectors::count)],
            masks,
        }
    }

    /// One that does not.
    pub(super) fn flat(masks: JsonMasks<'p>, text: &'t str) -> Self {
        Self { inside: false, ..Self::new(masks, text) }
    }

    /// The text is one document.
    pub(super) fn document(mut self) -> Result<Option<MaskedJson>, NotJson> {
        self.one()?;
        if self.scanner.peek().is_none() { Ok(self.masked()) } else { Err(NotJson) }
    }

    /// The text is one object or list, or several.
    pub(super) fn documents(mut self) -> Result<Option<MaskedJson>, NotJson> {
        let start = self.current.clone();
        while let Some(first) = self.scanner.peek() {
            if !matches!(first, b'{' | b'[') {
                return Err(NotJson);
            }
            self.current.clone_from(&start);
            self.one()?;
        }
        Ok(self.masked())
    }

    fn masked(mut self) -> Option<MaskedJson> {
        if self.out.is_empty() {
            return None;
        }
        self.out.push_str(self.scanner.slice(self.copied..self.scanner.length()));
        Some(MaskedJson { text: self.out, paths: self.paths, detectors: self.detectors })
    }

    fn one(&mut self) -> Result<(), NotJson> {
        loop {
            let opened = self.value()?;
            if opened && self.first_child()? {
                continue;
            }
            if !self.next_child()? {
                return Ok(());
            }
        }
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
                if self.hidden.is_none() {
                    self.string(start, &said, asked);
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
        let text = self.scanner.slice(start..self.scanner.at);
        if let Some(transform) = asked {
            let put = match transform {
                Transform::Redact | Transform::Fixed(_) | Transform::Hash => apply(transform, text, self.masks.key),
                Transform::Null | Transform::KeepFirst(_) | Transform::KeepLast(_) => None,
            };
            self.count_asked();
            self.replace(start..self.scanner.at, put.as_deref());
        } else if !matches!(kind, b't' | b'f') {
            self.look(start, Value::plain(text));
        }
        Ok(false)
    }

    fn string(&mut self, start: usize, said: &Said<'t>, asked: Option<&'p Transform>) {
        let span = start..self.scanner.at;
        if let Some(transform) = asked {
            self.count_asked();
            let put = apply(self.at_least(transform, said), &said.text, self.masks.key);
            self.replace(span, put.as_deref());
            return;
        }
        match self.within(&said.text) {
            Some(Ok(within)) => {
                if let Some(within) = within {
                    add(&mut self.paths, &within.paths);
                    add(&mut self.detectors, &within.detectors);
                    self.replace(span, Some(&within.text));
                }
                return;
            }
            // Others may read in it what is not read here: half of a pair that a service cut, a comma too many.
            Some(Err(NotJson)) if self.masks.withholds(&said.text) => {
                self.replace(span, Some(REDACTED));
                return;
            }
            Some(Err(NotJson)) | None => {}
        }
        let name = self.name.take();
        self.look(start, Value { name: name.as_deref(), text: &said.text, kinds: said.kinds });
    }

    /// The transform, or what else is stricter: the ends of a value that a path would keep may be those of something that
    /// a detector or a path finds in it.
    fn at_least(&mut self, transform: &'p Transform, said: &Said<'t>) -> &'p Transform {
        match transform {
            Transform::Null | Transform::Redact | Transform::Fixed(_) => return transform,
            Transform::Hash | Transform::KeepFirst(_) | Transform::KeepLast(_) => {}
        }
        if let Some(Ok(Some(_))) = self.within(&said.text) {
            return transform.stricter(&Transform::Redact);
        }
        let Some(detectors) = self.masks.detectors else { return transform };
        let value = Value { name: self.name.as_deref(), text: &said.text, kinds: said.kinds };
        let counts = &mut self.detectors;
        let found = detectors.strictest(value, &mut |rule| count(counts, rule));
        found.map_or(transform, |found| transform.stricter(found))
    }

    /// What a string becomes that is documents itself; `None` where it is not looked into.
    fn within(&self, text: &str) -> Option<Result<Option<MaskedJson>, NotJson>> {
        if !self.inside || self.is_spared() || !is_container(text) {
            return None;
        }
        let masks = JsonMasks { spared: &[], ..self.masks };
        let mut walk = Walk::flat(masks, text);
        for ((state, outer), (path, _)) in walk.current.iter_mut().zip(&self.current).zip(self.masks.paths) {
            *state |= path.not_arrived(*outer);
        }
        Some(walk.documents())
    }

    /// Lets detectors look at a value.
    fn look(&mut self, start: usize, value: Value<'_>) {
        let Some(detectors) = self.masks.detectors.filter(|one| one.may_find(value.kinds, value.text.len())) else {
            return;
        };
        if self.hidden.is_some() || self.is_spared() {
            return;
        }
        let counts = &mut self.detectors;
        if let Some(put) = detectors.redact_value(value, self.masks.key, &mut |rule| count(counts, rule)) {
            self.replace(start..self.scanner.at, Some(&put));
        }
    }

    /// The strictest transform that the paths ask for at the value read now.
    fn asked(&self) -> Option<&'p Transform> {
        if self.hidden.is_some() {
            return None;
        }
        let here = self.masks.paths.iter().zip(&self.current).filter(|((path, _), state)| path.arrived(**state));
        here.map(|((_, transform), _)| transform).reduce(|one, other| one.stricter(other))
    }

    fn count_asked(&mut self) {
        for (((path, _), state), count) in self.masks.paths.iter().zip(&self.current).zip(&mut self.paths) {
            *count += u64::from(path.arrived(*state));
        }
    }

    fn is_spared(&self) -> bool {
        let states = self.current.get(self.masks.paths.len()..).unwrap_or_default();
        self.spared.is_some() || self.masks.spared.iter().zip(states).any(|(path, state)| path.arrived(*state))
    }

    fn open(&mut self, object: bool, asked: Option<&'p Transform>) -> Result<(), NotJson> {
        if self.levels.len() == DEPTH {
            return Err(NotJson);
        }
        if let Some(transform) = asked {
            self.count_asked();
            self.hidden = Some(Hidden { outside: self.levels.len(), start: self.scanner.at, transform });
        }
        if self.spared.is_none() && self.is_spared() {
            self.spared = Some(self.levels.len());
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
        self.states.truncate(self.levels.len() * self.current.len());
        self.spared.take_if(|outside| *outside == self.levels.len());
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
        let mut name = None;
        if object {
            if self.scanner.peek() != Some(b'"') {
                return Err(NotJson);
            }
            let start = self.scanner.at;
            let said = self.scanner.string()?;
            // The states are still those of what stands before: only a whole container spares names.
            if self.spared.is_none() {
                self.name(start, &said);
            }
            if !self.scanner.take(b':') {
                return Err(NotJson);
            }
            name = Some(said.text);
        }
        if self.hidden.is_none() {
            let folded = name.as_deref().map(fold);
            let named = name.as_deref().zip(folded.as_deref());
            let child = named.map_or(Child::Element(index), |(written, folded)| Child::member(written, folded));
            let outer = self.states.len() - self.current.len();
            let outer = self.states.get(outer..).unwrap_or_default();
            let masks = self.masks.paths.iter().map(|(path, _)| (path, false));
            let paths = masks.chain(self.masks.spared.iter().map(|path| (path, true)));
            for (((path, spares), state), current) in paths.zip(outer).zip(&mut self.current) {
                *current = if spares { path.advance_exactly(*state, child) } else { path.advance(*state, child) };
            }
        }
        self.name = name;
        Ok(())
    }

    /// Lets detectors look at a name.
    fn name(&mut self, start: usize, said: &Said<'t>) {
        let Some(detectors) = self.masks.detectors.filter(|_| self.hidden.is_none()) else { return };
        let value = Value { name: None, text: &said.text, kinds: said.kinds };
        let counts = &mut self.detectors;
        if let Some(put) = detectors.redact_value(value, self.masks.key, &mut |rule| count(counts, rule)) {
            self.replace(start..self.scanner.at, Some(&put));
        }
    }

    fn replace(&mut self, span: Range<usize>, put: Option<&str>) {
        if self.out.is_empty() {
            self.out.reserve(self.scanner.length());
        }
        self.out.push_str(self.scanner.slice(self.copied..span.start));
        match put {
            Some(text) => write_string(&mut self.out, text),
            None => self.out.push_str("null"),
        }
        self.copied = span.end;
    }
}

fn add(counts: &mut [u64], more: &[u64]) {
    for (count, more) in counts.iter_mut().zip(more) {
        *count += more;
    }
}
