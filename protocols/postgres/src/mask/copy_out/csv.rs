//! CSV: a field in quotes may hold delimiters and line ends.
//!
//! Held by: `copy_out/tests.rs`.

use super::{BadCopy, CopyOptions, Ended, Taken, line_ends};
use crate::mask::sieve::{Held, Sieve};
use crate::mask::value::Masked;
use std::borrow::Cow;

/// Where in a field the reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Behind a quote within quotes: the field ends here, unless that quote escapes another.
    Closed,
    /// Within quotes, behind an escape that is no quote.
    Escaped,
    /// In a field without quotes.
    Plain,
    /// Within quotes.
    Quoted,
    /// In front of a field.
    #[default]
    Start,
}

/// Finds the fields of a line.
#[derive(Default)]
pub(super) struct Reader {
    at: At,
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
            // A COPY of no columns has empty lines.
            if data.first() != Some(&b'\n') {
                return Err(BadCopy::Columns);
            }
            out.push(b'\n');
            return Ok((1, Some(Ended::Row)));
        }
        let mut taken = 0;
        while let Some(rest) = data.get(taken..).filter(|rest| !rest.is_empty()) {
            if self.at == At::Start {
                if !sieve.begin(is_header, options.null.len()) {
                    return Err(BadCopy::Columns);
                }
                self.at = At::Plain;
                if rest.first() == Some(&options.quote) {
                    sieve.add(&[options.quote], 0)?;
                    self.at = At::Quoted;
                    taken += 1;
                    continue;
                }
            }
            let (step, behind) = self.step(rest, options, sieve)?;
            taken += step;
            let Some(behind) = behind else { continue };
            self.at = At::Start;
            field(options, sieve)?;
            if behind == b'\n' {
                line_ends(sieve, out)?;
                return Ok((taken, Some(Ended::Row)));
            }
            sieve.show(&[behind])?;
        }
        Ok((taken, None))
    }

    /// Takes bytes of a field, one at least: how many, and the one behind the field if that is the last of them.
    fn step(&mut self, rest: &[u8], options: &CopyOptions, sieve: &mut Sieve) -> Result<(usize, Option<u8>), BadCopy> {
        let (quote, escape) = (options.quote, options.escape);
        let special = match self.at {
            At::Plain | At::Start => memchr::memchr3(quote, options.delimiter, b'\n', rest),
            At::Quoted => memchr::memchr2(quote, escape, rest),
            At::Closed | At::Escaped => Some(0),
        };
        let run = special.and_then(|at| rest.get(..at)).unwrap_or(rest);
        sieve.add(run, run.len())?;
        let Some(&byte) = rest.get(run.len()) else { return Ok((run.len(), None)) };
        let ends = byte == options.delimiter || byte == b'\n';
        match self.at {
            At::Plain | At::Start if byte == quote => return Err(BadCopy::Malformed),
            At::Plain | At::Start => return Ok((run.len() + 1, Some(byte))),
            At::Quoted => {
                sieve.add(&[byte], 0)?;
                self.at = if byte == quote { At::Closed } else { At::Escaped };
            }
            At::Closed if byte == quote && quote == escape => {
                sieve.add(&[byte], 1)?;
                self.at = At::Quoted;
            }
            At::Closed if ends => return Ok((run.len() + 1, Some(byte))),
            At::Escaped if byte == quote || byte == escape => {
                sieve.add(&[byte], 1)?;
                self.at = At::Quoted;
            }
            At::Closed | At::Escaped => return Err(BadCopy::Malformed),
        }
        Ok((run.len() + 1, None))
    }
}

/// A field is whole.
fn field(options: &CopyOptions, sieve: &mut Sieve) -> Result<(), BadCopy> {
    let null = options.null.as_bytes();
    let gathered = match sieve.held() {
        Held::Shown => Vec::new(),
        Held::Dropped => {
            sieve.count();
            sieve.show(null)?;
            Vec::new()
        }
        Held::Gathered(written) => {
            // A value that looks like NULL is written in quotes.
            if written == null {
                sieve.show(&written)?;
            } else {
                match sieve.replaced(&value_of(&written, options)) {
                    Masked::Keep => sieve.show(&written)?,
                    Masked::Null => sieve.show(null)?,
                    Masked::Bytes(new) => {
                        let mut shown = Vec::with_capacity(new.len() + 2);
                        put(&new, options, options.force_quote.includes(sieve.column()), &mut shown);
                        sieve.show(&shown)?;
                    }
                }
            }
            written
        }
    };
    sieve.pass(gathered);
    Ok(())
}

/// What a field says, whose quotes are where they belong.
fn value_of<'a>(written: &'a [u8], options: &CopyOptions) -> Cow<'a, [u8]> {
    let quote = [options.quote];
    let inner = written.strip_prefix(&quote).and_then(|written| written.strip_suffix(&quote));
    let Some(inner) = inner else { return Cow::Borrowed(written) };
    if !inner.contains(&options.escape) {
        return Cow::Borrowed(inner);
    }
    let mut value = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        value.extend(if *byte == options.escape { bytes.next() } else { Some(byte) });
    }
    Cow::Owned(value)
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
