//! The binary format: a header, rows of values behind their lengths, and a mark at the end.
//!
//! Held by: `copy_out/tests.rs`.

use super::{BadCopy, Columns};
use crate::mask::LONGEST_ROW;
use crate::mask::value::Masked;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// The signature, the flags, and the length of what else the header holds.
const HEADER: usize = 19;
/// Flags that change how rows read; the only one known, bit 16, puts OIDs into them, and no supported server sets it.
const CRITICAL: u32 = 0xffff_0000;
/// What else a header may hold; servers put nothing there.
const LONGEST_EXTENSION: usize = 64 * 1024;

/// Looks for the end of the header or of a row.
pub(super) struct Scan {
    columns: usize,
    /// Bytes of this row that were looked at, and the values among them.
    seen: usize,
    values: usize,
}

impl Scan {
    pub(super) fn new(columns: usize) -> Self {
        Self { columns, seen: 0, values: 0 }
    }

    /// Where the header or row ends, if it is whole.
    pub(super) fn end(&mut self, rest: &[u8], is_header: bool) -> Result<Option<usize>, BadCopy> {
        if is_header {
            return header_end(rest);
        }
        let Some(count) = rest.first_chunk::<2>() else { return Ok(None) };
        let count = i16::from_be_bytes(*count);
        if count == -1 {
            return Ok(Some(2));
        }
        if count.cast_unsigned() != u16::try_from(self.columns).map_err(|_| BadCopy::Columns)? {
            return Err(BadCopy::Columns);
        }
        self.seen = self.seen.max(2);
        while self.values < self.columns {
            let Some(length) = rest.get(self.seen..).and_then(<[u8]>::first_chunk::<4>) else { return Ok(None) };
            let end = self.seen + 4 + value_length(*length)?.unwrap_or(0);
            if end > LONGEST_ROW {
                return Err(BadCopy::TooLong);
            }
            if end > rest.len() {
                return Ok(None);
            }
            self.seen = end;
            self.values += 1;
        }
        self.values = 0;
        Ok(Some(std::mem::take(&mut self.seen)))
    }
}

fn header_end(rest: &[u8]) -> Result<Option<usize>, BadCopy> {
    let known = rest.len().min(SIGNATURE.len());
    if rest.get(..known) != SIGNATURE.get(..known) {
        return Err(BadCopy::Malformed);
    }
    let Some(words) = rest.get(SIGNATURE.len()..).and_then(<[u8]>::first_chunk::<8>) else { return Ok(None) };
    let words = u64::from_be_bytes(*words);
    let (flags, extension) = ((words >> 32) as u32, (words & 0xffff_ffff) as usize);
    if flags & CRITICAL != 0 || extension > LONGEST_EXTENSION {
        return Err(BadCopy::Malformed);
    }
    Ok(Some(HEADER + extension).filter(|end| *end <= rest.len()))
}

/// The length of a value; none is NULL.
fn value_length(length: [u8; 4]) -> Result<Option<usize>, BadCopy> {
    match i32::from_be_bytes(length) {
        -1 => Ok(None),
        length => usize::try_from(length).map(Some).map_err(|_| BadCopy::Malformed),
    }
}

/// Appends one row, masked; whether it is the end mark.
pub(super) fn row(row: &[u8], columns: &mut Columns, out: &mut Vec<u8>) -> Result<bool, BadCopy> {
    let (count, mut rest) = row.split_at_checked(2).ok_or(BadCopy::Malformed)?;
    out.extend_from_slice(count);
    let mut index = 0;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let size = value_length(*length)?;
        let (value, after) = after.split_at_checked(size.unwrap_or(0)).ok_or(BadCopy::Malformed)?;
        rest = after;
        let masked = match (columns.at(index)?, size) {
            (Some(_), Some(_)) => columns.mask(index, value, true),
            (Some(_) | None, Some(_) | None) => Masked::Keep,
        };
        match masked {
            Masked::Keep => {
                out.extend_from_slice(length);
                out.extend_from_slice(value);
            }
            Masked::Null => out.extend_from_slice(&(-1_i32).to_be_bytes()),
            Masked::Bytes(new) => {
                out.extend_from_slice(&i32::try_from(new.len()).map_err(|_| BadCopy::TooLong)?.to_be_bytes());
                out.extend_from_slice(&new);
            }
        }
        index += 1;
    }
    // The scan found the end of exactly as many values as there are columns; the end mark has none.
    Ok(count == (-1_i16).to_be_bytes())
}
