//! The words of JSON (RFC 8259), read strictly and without copying.
//!
//! Promises: what is accepted here is JSON for every reader, whatever its leniency: no control characters in strings, no
//! half of a surrogate pair, no leading zeros, no byte order mark. Does not promise to know structure: `super` does.
//!
//! Held by: `../tests.rs`, against serde_json.

use super::NotJson;
use crate::detect::{STOP, kind_of, kinds_of};
use std::borrow::Cow;
use std::ops::Range;

/// What a string says, and what kinds of bytes are in that.
pub(super) struct Said<'t> {
    pub(super) text: Cow<'t, str>,
    pub(super) kinds: u8,
}

pub(super) struct Scanner<'t> {
    text: &'t str,
    pub(super) at: usize,
}

impl<'t> Scanner<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) const fn length(&self) -> usize {
        self.text.len()
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not white space, not taken.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.byte()
    }

    /// Takes this byte, white space before it allowed.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(super) fn slice(&self, span: Range<usize>) -> &'t str {
        self.text.get(span).unwrap_or_default()
    }

    /// `true`, `false` or `null`, whole.
    pub(super) fn word(&mut self, word: &str) -> Result<(), NotJson> {
        if !self.slice(self.at..self.text.len()).starts_with(word) {
            return Err(NotJson);
        }
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(NotJson) } else { Ok(()) }
    }

    pub(super) fn number(&mut self) -> Result<(), NotJson> {
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
        Ok(())
    }

    /// Goes over what a string holds as it is; gives what kinds of bytes that was, and what it stands at then.
    fn plain(&mut self) -> Result<(u8, u8), NotJson> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let mut kinds = 0;
        for (length, byte) in rest.iter().enumerate() {
            let kind = kind_of(*byte);
            if kind == STOP {
                self.at += length;
                return if *byte < 0x20 { Err(NotJson) } else { Ok((kinds, *byte)) };
            }
            kinds |= kind;
        }
        Err(NotJson)
    }

    /// A string; the opening quote stands here. Gives what it says.
    pub(super) fn string(&mut self) -> Result<Said<'t>, NotJson> {
        self.at += 1;
        let start = self.at;
        let (kinds, stop) = self.plain()?;
        if stop == b'\\' {
            return self.escaped(start);
        }
        let said = self.slice(start..self.at);
        self.at += 1;
        Ok(Said { text: Cow::Borrowed(said), kinds })
    }

    /// The rest of a string that has an escape here.
    fn escaped(&mut self, start: usize) -> Result<Said<'t>, NotJson> {
        let mut said = String::new();
        let mut plain = start;
        loop {
            let (_, stop) = self.plain()?;
            said.push_str(self.slice(plain..self.at));
            self.at += 1;
            if stop != b'\\' {
                break;
            }
            said.push(self.escape()?);
            plain = self.at;
        }
        let kinds = kinds_of(said.as_bytes());
        Ok(Said { text: Cow::Owned(said), kinds })
    }

    fn escape(&mut self) -> Result<char, NotJson> {
        let kind = self.byte().ok_or(NotJson)?;
        self.at += 1;
        Ok(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                let code = if (0xD800..0xDC00).contains(&first) {
                    self.word("\\u")?;
                    let second = self.hex()?;
                    let low = second.checked_sub(0xDC00).filter(|low| *low < 0x400).ok_or(NotJson)?;
                    0x10000 + ((first - 0xD800) << 10) + low
                } else {
                    first
                };
                char::from_u32(code).ok_or(NotJson)?
            }
            _ => return Err(NotJson),
        })
    }

    fn hex(&mut self) -> Result<u32, NotJson> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(NotJson)?;
        let mut code = 0;
        for digit in digits {
            code = code * 16 + char::from(*digit).to_digit(16).ok_or(NotJson)?;
        }
        self.at += 4;
        Ok(code)
    }
}

/// Writes a string as JSON.
pub(super) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| kind_of(byte) == STOP) {
        let (plain, stopped) = rest.split_at(at);
        out.push_str(plain);
        let mut stopped = stopped.chars();
        match stopped.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            other => {
                let code = other.map_or(0, u32::from);
                out.push_str("\\u00");
                out.extend([code >> 4, code & 15].into_iter().filter_map(|digit| char::from_digit(digit, 16)));
            }
        }
        rest = stopped.as_str();
    }
    out.push_str(rest);
    out.push('"');
}
