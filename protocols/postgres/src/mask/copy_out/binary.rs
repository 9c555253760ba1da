//! The binary format: a header, rows of values behind their lengths, and a mark at the end.
//!
//! Held by: `copy_out/tests.rs`.

use super::{BadCopy, Ended, Taken};
use crate::mask::cells::Cells;
use crate::mask::sieve::Sieve;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// The signature, the flags, and the length of what else the header holds.
const HEADER: usize = 19;
/// Flags that change how rows read; the only one known, bit 16, puts OIDs into them, and no supported server sets it.
const CRITICAL: u32 = 0xffff_0000;
/// What else a header may hold; servers put nothing there.
const LONGEST_EXTENSION: usize = 64 * 1024;
/// The bytes in front of a row's values that say how many they are.
const COUNT: usize = 2;

/// Finds the values of a row.
#[derive(Default)]
pub(super) struct Reader {
    /// What came of the header, or of a row's number of values.
    head: Vec<u8>,
    /// Whether the number of values was read.
    within: bool,
    cells: Cells,
}

impl Reader {
    pub(super) fn take(&mut self, data: &[u8], is_header: bool, sieve: &mut Sieve, out: &mut Vec<u8>) -> Taken {
        if is_header {
            return self.header(data, out);
        }
        let mut taken = 0;
        if !self.within {
            taken = self.gather(data, COUNT);
            let Some(count) = self.head.first_chunk::<COUNT>() else { return Ok((taken, None)) };
            let count = i16::from_be_bytes(*count);
            if count == -1 {
                out.append(&mut self.head);
                return Ok((taken, Some(Ended::Data)));
            }
            if usize::from(count.cast_unsigned()) != sieve.width() {
                return Err(BadCopy::Columns);
            }
            sieve.show(&self.head)?;
            self.head.clear();
            self.within = true;
        }
        let (used, is_whole) = self.cells.push(data.get(taken..).unwrap_or_default(), sieve)?;
        taken += used;
        if !is_whole {
            return Ok((taken, None));
        }
        self.within = false;
        sieve.leave(out);
        Ok((taken, Some(Ended::Row)))
    }

    fn header(&mut self, data: &[u8], out: &mut Vec<u8>) -> Taken {
        let mut taken = 0;
        loop {
            let end = header_end(&self.head)?;
            if end == Some(self.head.len()) {
                out.append(&mut self.head);
                return Ok((taken, Some(Ended::Row)));
            }
            let rest = data.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                return Ok((taken, None));
            }
            taken += self.gather(rest, end.unwrap_or(HEADER));
        }
    }

    /// Takes bytes until the head is this long: how many.
    fn gather(&mut self, data: &[u8], length: usize) -> usize {
        let now = data.get(..length.saturating_sub(self.head.len())).unwrap_or(data);
        self.head.extend_from_slice(now);
        now.len()
    }
}

/// Where the header ends that begins so, once it says.
fn header_end(head: &[u8]) -> Result<Option<usize>, BadCopy> {
    let known = head.len().min(SIGNATURE.len());
    if head.get(..known) != SIGNATURE.get(..known) {
        return Err(BadCopy::Malformed);
    }
    let Some(words) = head.get(SIGNATURE.len()..).and_then(<[u8]>::first_chunk::<8>) else { return Ok(None) };
    let words = u64::from_be_bytes(*words);
    let (flags, extension) = ((words >> 32) as u32, (words & 0xffff_ffff) as usize);
    if flags & CRITICAL != 0 || extension > LONGEST_EXTENSION {
        return Err(BadCopy::Malformed);
    }
    Ok(Some(HEADER + extension))
}
