//! The words of JSON (RFC 8259), read strictly and without copying.
//!
//! Promises: what is accepted here is JSON for every reader, whatever its leniency: no control characters in strings, no
//! half of a surrogate pair, no leading zeros, no byte order mark. Does not promise to know structure: `super` does.
//!
//! Held by: `../tests.rs`, against serde_json.

use super::NotJson;
use std::borrow::Cow;
use std::ops::Range;

pub(super) struct Scanner<'t> {
    text: &'t str,
    pub(super) at: usize,
}

impl<'t> Scanner<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
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

    /// A string; the opening quote stands here. Gives what it says.
    pub(super) fn string(&mut self) -> Result<Cow<'t, str>, NotJson> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.byte().ok_or(NotJson)? {
                b'"' => break,
                b'\\' => return self.escaped(start),
                0..0x20 => return Err(NotJson),
                _ => self.at += 1,
            }
        }
        let said = self.slice(start..self.at);
        self.at += 1;
        Ok(Cow::Borrowed(said))
    }

    /// The rest of a string that has an escape here.
    fn escaped(&mut self, start: usize) -> Result<Cow<'t, str>, NotJson> {
        let mut said = String::new();
        let mut plain = start;
        loop {
            match self.byte().ok_or(NotJson)? {
                b'"' => break,
                b'\\' => {
                    said.push_str(self.slice(plain..self.at));
                    self.at += 1;
                    said.push(self.escape()?);
                    plain = self.at;
                }
                0..0x20 => return Err(NotJson),
                _ => self.at += 1,
            }
        }
        said.push_str(self.slice(plain..self.at));
        self.at += 1;
        Ok(Cow::Owned(said))
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
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\0'..'\u{20}' => {
                let code = u32::from(c);
                out.push_str("\\u00");
                out.extend([code >> 4, code & 15].into_iter().filter_map(|digit| char::from_digit(digit, 16)));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}
