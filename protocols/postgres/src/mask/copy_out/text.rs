//! The text format: a line for each row, fields between delimiters, `\` in front of what would mean something.
//!
//! Held by: `copy_out/tests.rs`.

use super::{BadCopy, Columns, CopyOptions};
use crate::mask::value::Masked;
use std::borrow::Cow;

/// Looks for the end of a line. The server escapes every other line end.
#[derive(Default)]
pub(super) struct Scan {
    seen: usize,
}

impl Scan {
    pub(super) fn end(&mut self, rest: &[u8]) -> Option<usize> {
        let found = memchr::memchr(b'\n', rest.get(self.seen..)?);
        let end = found.map(|at| self.seen + at + 1);
        self.seen = if end.is_some() { 0 } else { rest.len() };
        end
    }
}

/// Appends one line, masked; whether it is the end mark.
pub(super) fn row(
    row: &[u8],
    options: &CopyOptions,
    columns: &mut Columns,
    is_header: bool,
    out: &mut Vec<u8>,
) -> Result<bool, BadCopy> {
    let line = row.strip_suffix(b"\n").ok_or(BadCopy::Malformed)?;
    // A field that is these two bytes would have its backslash escaped.
    if line == b"\\." || columns.columns.is_empty() {
        out.extend_from_slice(row);
        return if line == b"\\." || line.is_empty() { Ok(!line.is_empty()) } else { Err(BadCopy::Columns) };
    }
    let (mut start, mut index) = (0, 0);
    loop {
        let end = field_end(line, start, options.delimiter)?;
        let written = line.get(start..end).ok_or(BadCopy::Malformed)?;
        match columns.at(index)? {
            Some(_) if !is_header => field(written, index, options, columns, out),
            Some(_) | None => out.extend_from_slice(written),
        }
        index += 1;
        if end == line.len() {
            break;
        }
        out.push(options.delimiter);
        start = end + 1;
    }
    out.push(b'\n');
    columns.check(index).map(|()| false)
}

fn field_end(line: &[u8], start: usize, delimiter: u8) -> Result<usize, BadCopy> {
    let mut at = start;
    while let Some(byte) = line.get(at) {
        match byte {
            b'\\' => at += 2,
            byte if *byte == delimiter => return Ok(at),
            _ => at += 1,
        }
    }
    // A backslash at the end would take the line end into the field.
    if at == line.len() { Ok(at) } else { Err(BadCopy::Malformed) }
}

fn field(written: &[u8], index: usize, options: &CopyOptions, columns: &mut Columns, out: &mut Vec<u8>) {
    let null = options.null.as_bytes();
    if written == null && is_only_null(null, options.delimiter) {
        out.extend_from_slice(written);
        return;
    }
    match columns.mask(index, &unescaped(written), false) {
        Masked::Keep => out.extend_from_slice(written),
        Masked::Null => out.extend_from_slice(null),
        Masked::Bytes(new) => {
            let start = out.len();
            escape(&new, options.delimiter, out);
            // What would read as NULL gets its first byte in octal.
            if out.get(start..) == Some(null)
                && let Some((first, rest)) = new.split_first()
            {
                out.truncate(start);
                out.extend_from_slice(format!("\\{first:03o}").as_bytes());
                escape(rest, options.delimiter, out);
            }
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
