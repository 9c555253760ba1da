//! Values behind their lengths, as rows and binary COPY data have them, masked as they arrive.
//!
//! Promises: a row is whole once as many values are as it has columns, and no byte behind them is taken; a length below
//! zero that is not NULL's is [`Unfit::Malformed`]. What is kept of a value is what `sieve.rs` says.
//! Does not promise that the values fit into their frame: the caller looks. Held by: `row/tests.rs` and
//! `copy_out/tests.rs`.

use super::sieve::{Held, Sieve, Unfit};
use super::value::Masked;

/// The length of a value that is NULL.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// Where in a row's values the reader is.
#[derive(Default)]
pub(super) struct Cells {
    /// What came of the length in front of the next value, and how many bytes that is.
    length: u32,
    came: u8,
    /// The bytes of the value under way that have not come.
    left: Option<usize>,
}

impl Cells {
    /// Takes bytes of the values of one row: how many it took, and whether the row is whole.
    pub(super) fn push(&mut self, data: &[u8], sieve: &mut Sieve) -> Result<(usize, bool), Unfit> {
        let mut at = 0;
        loop {
            let rest = data.get(at..).unwrap_or_default();
            if let Some(left) = self.left {
                let now = rest.get(..left).unwrap_or(rest);
                sieve.add(now, now.len())?;
                at += now.len();
                if now.len() < left {
                    self.left = Some(left - now.len());
                    return Ok((at, false));
                }
                self.left = None;
                end(sieve)?;
                continue;
            }
            if sieve.is_whole() {
                return Ok((at, true));
            }
            let Some(byte) = rest.first() else { return Ok((at, false)) };
            at += 1;
            self.length = (self.length << 8) | u32::from(*byte);
            self.came += 1;
            if self.came == 4 {
                self.came = 0;
                self.left = begin(std::mem::take(&mut self.length).to_be_bytes(), sieve)?;
            }
        }
    }
}

/// A value's length is whole: how many bytes are to come, none if it is NULL.
fn begin(length: [u8; 4], sieve: &mut Sieve) -> Result<Option<usize>, Unfit> {
    if length == NULL {
        sieve.show(&NULL)?;
        sieve.pass(Vec::new());
        return Ok(None);
    }
    let bytes = usize::try_from(i32::from_be_bytes(length)).map_err(|_| Unfit::Malformed)?;
    if !sieve.begin(false, 0) {
        return Err(Unfit::Malformed);
    }
    sieve.announced(length, bytes)?;
    Ok(Some(bytes))
}

/// A value is whole.
fn end(sieve: &mut Sieve) -> Result<(), Unfit> {
    let gathered = match sieve.held() {
        Held::Shown => Vec::new(),
        Held::Dropped => {
            sieve.count();
            sieve.show(&NULL)?;
            Vec::new()
        }
        Held::Gathered(value) => {
            match sieve.replaced(&value) {
                Masked::Keep => put(&value, sieve)?,
                Masked::Bytes(new) => put(&new, sieve)?,
                Masked::Null => sieve.show(&NULL)?,
            }
            value
        }
    };
    sieve.pass(gathered);
    Ok(())
}

fn put(value: &[u8], sieve: &mut Sieve) -> Result<(), Unfit> {
    let length = i32::try_from(value.len()).map_err(|_| Unfit::TooLong)?;
    sieve.show(&length.to_be_bytes())?;
    sieve.show(value)
}
