//! CSV: a field in quotes may hold delimiters and line ends.
//!
//! Held by: `copy_out/tests.rs`.

use super::{BadCopy, Columns, CopyOptions};
use crate::mask::value::Masked;

/// Looks for the line end that is not in quotes.
pub(super) struct Scan {
    quote: u8,
    escape: u8,
    seen: usize,
    quoted: bool,
}

impl Scan {
    pub(super) fn new(options: &CopyOptions) -> Self {
        Self { quote: options.quote, escape: options.escape, seen: 0, quoted: false }
    }

    pub(super) fn end(&mut self, rest: &[u8]) -> Option<usize> {
        while let Some(ahead) = rest.get(self.seen..) {
            let other = if self.quoted { self.escape } else { b'\n' };
            let at = match memchr::memchr2(self.quote, other, ahead) {
                Some(at) => at,
                None => {
                    self.seen = rest.len();
                    return None;
                }
            };
            let byte = ahead.get(at).copied()?;
            if byte == self.quote {
                // Where the escape is the quote itself, a doubled one leaves the quotes and enters them again.
                self.quoted = !self.quoted;
                self.seen += at + 1;
            } else if self.quoted {
                // What is behind the escape must be here before it can be passed over.
                if ahead.len() < at + 2 {
                    self.seen += at;
                    return None;
                }
                self.seen += at + 2;
            } else {
                let end = self.seen + at + 1;
                self.seen = 0;
                return Some(end);
            }
        }
        None
    }
}

/// Appends one row, masked.
pub(super) fn row(
    row: &[u8],
    options: &CopyOptions,
    columns: &mut Columns,
    is_header: bool,
    out: &mut Vec<u8>,
) -> Result<(), BadCopy> {
    let line = row.strip_suffix(b"\n").ok_or(BadCopy::Malformed)?;
    if columns.columns.is_empty() {
        out.extend_from_slice(row);
        return if line.is_empty() { Ok(()) } else { Err(BadCopy::Columns) };
    }
    let (mut start, mut index) = (0, 0);
    loop {
        let rest = line.get(start..).ok_or(BadCopy::Malformed)?;
        let (length, value) = field(rest, options)?;
        let written = rest.get(..length).ok_or(BadCopy::Malformed)?;
        match (columns.at(index)?, value) {
            (Some(_), Some(value)) if !is_header => match columns.mask(index, &value, false) {
                Masked::Keep => out.extend_from_slice(written),
                Masked::Null => out.extend_from_slice(options.null.as_bytes()),
                Masked::Bytes(new) => put(&new, options, options.force_quote.includes(index), out),
            },
            (Some(_) | None, Some(_) | None) => out.extend_from_slice(written),
        }
        index += 1;
        start += length;
        if start == line.len() {
            break;
        }
        out.push(options.delimiter);
        start += 1;
    }
    out.push(b'\n');
    columns.check(index)
}

/// The field at the front: the bytes it takes, and its value unless it is NULL.
fn field(rest: &[u8], options: &CopyOptions) -> Result<(usize, Option<Vec<u8>>), BadCopy> {
    if rest.first() != Some(&options.quote) {
        let length = memchr::memchr(options.delimiter, rest).unwrap_or(rest.len());
        let value = rest.get(..length).ok_or(BadCopy::Malformed)?;
        if value.contains(&options.quote) {
            return Err(BadCopy::Malformed);
        }
        // A value that looks like NULL is written in quotes.
        return Ok((length, (value != options.null.as_bytes()).then(|| value.to_vec())));
    }
    let (mut value, mut at) = (Vec::new(), 1);
    loop {
        let byte = *rest.get(at).ok_or(BadCopy::Malformed)?;
        let next = rest.get(at + 1).copied();
        match next {
            Some(next) if byte == options.escape && (next == options.quote || next == options.escape) => {
                value.push(next);
                at += 2;
            }
            Some(_) | None if byte == options.quote => {
                at += 1;
                break;
            }
            Some(_) | None if byte == options.escape => return Err(BadCopy::Malformed),
            Some(_) | None => {
                value.push(byte);
                at += 1;
            }
        }
    }
    match rest.get(at) {
        None => Ok((at, Some(value))),
        Some(byte) if *byte == options.delimiter => Ok((at, Some(value))),
        Some(_) => Err(BadCopy::Malformed),
    }
}

/// Writes a value, in quotes where it needs them.
fn put(value: &[u8], options: &CopyOptions, force: bool, out: &mut Vec<u8>) {
    let is_special = |byte: &u8| *byte == options.delimiter || *byte == options.quote || matches!(byte, b'\n' | b'\r');
    // `\.` alone on a line was the end of the data for long.
    let quoted = force || value == options.null.as_bytes() || value == b"\\." || value.iter().any(is_special);
    if !quoted {
        out.extend_from_slice(value);
        return;
    }
    out.push(options.quote);
    for byte in value {
        if *byte == options.quote || *byte == options.escape {
            out.push(options.escape);
        }
        out.push(*byte);
    }
    out.push(options.quote);
}
