//! The text format: a line for each row, fields between delimiters, `\` in front of what would mean something.
//!
//! Held by: `copy_out/tests.rs`.

use super::{BadCopy, CopyOptions, Ended, Taken, line_ends};
use crate::mask::sieve::{Held, Sieve};
use crate::mask::value::Masked;
use std::borrow::Cow;

/// How far a line is the end mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mark {
    /// It is the mark.
    All,
    /// It is `\` so far.
    Backslash,
    /// It is something else.
    No,
    /// Nothing came of it.
    #[default]
    Nothing,
}

/// Finds the fields of a line. The server escapes every other line end.
#[derive(Default)]
pub(super) struct Reader {
    mark: Mark,
    /// Whether a field has begun.
    within: bool,
    /// Whether a backslash came in front of what comes.
    escaped: bool,
}

impl Reader {
    pub(super) fn take(
        &mut self,
        data: &[u8],
        options: &CopyOptions,
        is_header: bool,
        sieve: &mut Sieve,
        out: &mut Vec<u8>,
    ) -> Taken {
        if sieve.width() == 0 {
            return self.take_empty(data, out);
        }
        let mut taken = 0;
        while let Some((first, rest)) = data.get(taken..).and_then(<[u8]>::split_first) {
            if !self.within && !sieve.begin(is_header, options.null.len()) {
                return Err(BadCopy::Columns);
            }
            self.within = true;
            if std::mem::take(&mut self.escaped) {
                // A backslash at the end would take the line end into the field.
                if *first == b'\n' {
                    return Err(BadCopy::Malformed);
                }
                self.add(&[*first], 1, sieve)?;
                taken += 1;
            } else if *first == b'\\' {
                self.add(b"\\", 0, sieve)?;
                self.escaped = true;
                taken += 1;
            } else if *first == b'\n' {
                return self.line_ends(taken + 1, options, sieve, out);
            } else if *first == options.delimiter {
                self.mark = Mark::No;
                self.field(options, sieve)?;
                sieve.show(&[options.delimiter])?;
                taken += 1;
            } else {
                let special = memchr::memchr3(b'\\', options.delimiter, b'\n', rest);
                let end = special.map_or(data.len(), |at| taken + 1 + at);
                let run = data.get(taken..end).unwrap_or_default();
                self.add(run, run.len(), sieve)?;
                taken = end;
            }
        }
        Ok((taken, None))
    }

    fn add(&mut self, written: &[u8], length: usize, sieve: &mut Sieve) -> Result<(), BadCopy> {
        self.look(written);
        Ok(sieve.add(written, length)?)
    }

    /// More of the line came, without its end.
    fn look(&mut self, written: &[u8]) {
        for byte in written.iter().take(3) {
            self.mark = match self.mark {
                Mark::Nothing if *byte == b'\\' => Mark::Backslash,
                Mark::Backslash if *byte == b'.' => Mark::All,
                Mark::All | Mark::Backslash | Mark::No | Mark::Nothing => Mark::No,
            };
        }
    }

    fn line_ends(&mut self, taken: usize, options: &CopyOptions, sieve: &mut Sieve, out: &mut Vec<u8>) -> Taken {
        // A field that is these two bytes would have its backslash escaped.
        if std::mem::take(&mut self.mark) == Mark::All {
            sieve.clear();
            out.extend_from_slice(b"\\.\n");
            return Ok((taken, Some(Ended::Data)));
        }
        self.field(options, sieve)?;
        line_ends(sieve, out)?;
        Ok((taken, Some(Ended::Row)))
    }

    /// A COPY of no columns has empty lines.
    fn take_empty(&mut self, data: &[u8], out: &mut Vec<u8>) -> Taken {
        let end = memchr::memchr(b'\n', data);
        let line = end.and_then(|end| data.get(..end)).unwrap_or(data);
        self.look(line);
        let ended = match (self.mark, end) {
            (Mark::No, _) | (Mark::Backslash, Some(_)) => return Err(BadCopy::Columns),
            (Mark::All | Mark::Backslash | Mark::Nothing, None) => return Ok((data.len(), None)),
            (Mark::All, Some(_)) => Ended::Data,
            (Mark::Nothing, Some(_)) => Ended::Row,
        };
        let written: &[u8] = if ended == Ended::Data { b"\\.\n" } else { b"\n" };
        out.extend_from_slice(written);
        self.mark = Mark::Nothing;
        Ok((line.len() + 1, Some(ended)))
    }

    /// A field is whole.
    fn field(&mut self, options: &CopyOptions, sieve: &mut Sieve) -> Result<(), BadCopy> {
        self.within = false;
        let null = options.null.as_bytes();
        let gathered = match sieve.held() {
            Held::Shown => Vec::new(),
            Held::Dropped => {
                sieve.count();
                sieve.show(null)?;
                Vec::new()
            }
            Held::Gathered(written) => {
                let shown = shown(&written, options, sieve);
                sieve.show(shown.as_deref().unwrap_or(&written))?;
                written
            }
        };
        sieve.pass(gathered);
        Ok(())
    }
}

/// What leaves in the place of a field, if anything else does.
fn shown(written: &[u8], options: &CopyOptions, sieve: &mut Sieve) -> Option<Vec<u8>> {
    let (null, delimiter) = (options.null.as_bytes(), options.delimiter);
    if written == null && is_only_null(null, delimiter) {
        return None;
    }
    match sieve.replaced(&unescaped(written)) {
        Masked::Keep => None,
        Masked::Null => Some(null.to_vec()),
        Masked::Bytes(new) => {
            let mut out = Vec::with_capacity(new.len());
            escape(&new, delimiter, &mut out);
            // What would read as NULL gets its first byte in octal.
            if out == null
                && let Some((first, rest)) = new.split_first()
            {
                out = format!("\\{first:03o}").into_bytes();
                escape(rest, delimiter, &mut out);
            }
            Some(out)
        }
    }
}

/// Whether what stands for NULL cannot be what the server writes for a value.
fn is_only_null(null: &[u8], delimiter: u8) -> bool {
    let mut value = Vec::with_capacity(null.len());
    escape(&unescaped(null), delimiter, &mut value);
    value != null
}

/// What a field means.
fn unescaped(written: &[u8]) -> Cow<'_, [u8]> {
    if !written.contains(&b'\\') {
        return Cow::Borrowed(written);
    }
    let mut out = Vec::with_capacity(written.len());
    let mut rest = written;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let (b'\\', Some((escaped, after))) = (*byte, rest.split_first()) else {
            out.push(*byte);
            continue;
        };
        let (meant, behind) = match escaped {
            b'b' => (0x08, after),
            b'f' => (0x0c, after),
            b'n' => (b'\n', after),
            b'r' => (b'\r', after),
            b't' => (b'\t', after),
            b'v' => (0x0b, after),
            b'0'..=b'7' => digits(rest, 8, 3),
            b'x' if after.first().is_some_and(u8::is_ascii_hexdigit) => digits(after, 16, 2),
            other => (*other, after),
        };
        out.push(meant);
        rest = behind;
    }
    Cow::Owned(out)
}

/// A byte from at most so many digits, as COPY FROM reads it: what is beyond eight bits is lost.
fn digits(rest: &[u8], base: u32, most: usize) -> (u8, &[u8]) {
    let values = rest.iter().take(most).map_while(|byte| char::from(*byte).to_digit(base));
    let (count, value) = values.fold((0, 0), |(count, value), digit| (count + 1, value * base + digit));
    (value.to_le_bytes().first().copied().unwrap_or_default(), rest.get(count..).unwrap_or_default())
}

/// Writes a value as the server does.
fn escape(value: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    for byte in value {
        let letter = match byte {
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0b => b'v',
            b'\\' => b'\\',
            byte if *byte == delimiter => *byte,
            byte => {
                out.push(*byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}
