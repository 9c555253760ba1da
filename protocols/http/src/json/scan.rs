//! One document, read from its first byte to its last.
//!
//! Promises: each byte is looked at once or twice, whatever the document is made of; depth and number of values are
//! bounded while they are read, so that what is refused for them has not taken more than they allow; what a string says is
//! unescaped by the library, which knows surrogates.
//! Does not promise to say what is wrong in more words than a place and a kind.
//! Held by: the tests of `json.rs`.

use super::{DEPTH, Node, NotStrict, VALUES, Value};
use std::collections::HashSet;

/// Reads a document.
pub(super) fn document(text: &str) -> Result<Node, NotStrict> {
    let mut scanner = Scanner { text, at: 0, left: VALUES };
    let node = scanner.value(0)?;
    scanner.blanks();
    if scanner.at < text.len() {
        return Err(scanner.wrong("something follows the document"));
    }
    Ok(node)
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    /// How many values there may still be.
    left: usize,
}

impl<'t> Scanner<'t> {
    fn wrong(&self, what: &str) -> NotStrict {
        NotStrict(format!("the body is not JSON that is read in one way only: {what} (at byte {})", self.at))
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'t [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The next byte behind blanks, if it is this one.
    fn takes(&mut self, byte: u8) -> bool {
        self.blanks();
        let found = self.byte() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Node, NotStrict> {
        self.blanks();
        if depth > DEPTH {
            return Err(NotStrict(format!("the body is nested more than {DEPTH} deep")));
        }
        let Some(left) = self.left.checked_sub(1) else {
            return Err(NotStrict(format!("the body has more than {VALUES} values")));
        };
        self.left = left;
        let start = self.at;
        let value = match self.byte() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(_) => return Err(self.wrong("a value is expected")),
            None => return Err(self.wrong("it ends where a value is expected")),
        };
        Ok(Node { value, span: start..self.at })
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, NotStrict> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.wrong("a value is expected"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Value, NotStrict> {
        self.at += 1;
        let mut members: Vec<(String, Node)> = Vec::new();
        if self.takes(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.blanks();
            if self.byte() != Some(b'"') {
                return Err(self.wrong("a name is expected"));
            }
            let name = self.string()?;
            if !self.takes(b':') {
                return Err(self.wrong("`:` is expected"));
            }
            members.push((name, self.value(depth + 1)?));
            if self.takes(b'}') {
                break;
            }
            if !self.takes(b',') {
                return Err(self.wrong("`,` or `}` is expected"));
            }
        }
        let mut seen = HashSet::with_capacity(members.len());
        if !members.iter().all(|(name, _)| seen.insert(name.as_str())) {
            return Err(self.wrong("a name occurs twice in one object"));
        }
        Ok(Value::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Value, NotStrict> {
        self.at += 1;
        let mut elements = Vec::new();
        if self.takes(b']') {
            return Ok(Value::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            if self.takes(b']') {
                return Ok(Value::Array(elements));
            }
            if !self.takes(b',') {
                return Err(self.wrong("`,` or `]` is expected"));
            }
        }
    }

    fn string(&mut self) -> Result<String, NotStrict> {
        let start = self.at;
        self.at += 1;
        let mut escapes = false;
        loop {
            match memchr::memchr2(b'"', b'\\', self.rest()) {
                None => return Err(self.wrong("a string has no end")),
                Some(found) => self.at += found + 1,
            }
            match self.text.as_bytes().get(self.at - 1) {
                Some(b'"') => break,
                // What is escaped ends no string.
                _ => {
                    escapes = true;
                    self.at += 1;
                }
            }
        }
        let written = self.text.get(start..self.at).unwrap_or_default();
        let plain = written.get(1..written.len().saturating_sub(1)).unwrap_or_default();
        if escapes {
            return serde_json::from_str(written).map_err(|_| self.wrong("a string that readers take differently"));
        }
        if plain.bytes().any(|byte| byte < 0x20) {
            return Err(self.wrong("a string has a control character in it"));
        }
        Ok(plain.to_owned())
    }

    fn digits(&mut self) -> Result<(), NotStrict> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.wrong("a digit is expected")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Value, NotStrict> {
        let start = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Value::Number(self.text.get(start..self.at).unwrap_or_default().into()))
    }
}
