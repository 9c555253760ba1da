//! DataRow frames with the values of protected columns replaced.
//!
//! Promises: a cell that is not masked, or that its treatment keeps, is copied by range; only the lengths around a new
//! value change. A row whose cells are not as many as the plan's columns, whose lengths lie, or that became too long is
//! [`BadRow`], and no byte of it is in the output; the rows before it are. The caller ends the session, since nothing is
//! known any more of what the server sends.
//! A row that arrives in pieces leaves once it is whole, since its length stands in front of its cells; of what arrives
//! only what leaves is kept (`sieve.rs`), and it comes to the same as the row in one piece. Where the plan masks nothing,
//! rows need not come here at all.
//!
//! Nothing is allocated for a row in one piece but what [`super::Replace`] returns, and that not for a text replaced whole.
//! Held by: `row/tests.rs` and [`super::fuzz_mask_row`].

use super::cells::Cells;
use super::sieve::{Bounds, Sieve, Unfit};
use super::value::{Masked, Treatment, is_plain, mask_plain, matters};
use super::{Mask, ROW_HEADER};
use crate::frame::{HEADER, LONGEST};
use bytes::{BufMut, BytesMut};
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// One column of a result.
#[derive(Clone)]
pub(crate) struct PlannedColumn {
    /// What treats its values, if anything does.
    pub(crate) mask: Option<Mask>,
    /// Its type.
    pub(crate) type_oid: u32,
    /// Whether its values come in binary form.
    pub(crate) binary: bool,
}

/// A column, and what its treatment comes to for its type.
pub(super) struct Column {
    pub(super) planned: PlannedColumn,
    /// Its values are texts that are replaced whole.
    plain: bool,
    /// Each of its values becomes NULL.
    pub(super) hides: bool,
}

impl Column {
    pub(super) const fn is_masked(&self) -> bool {
        self.planned.mask.is_some()
    }
}

/// What becomes of the rows of one result: one entry for each of its columns.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(super) columns: Arc<[Column]>,
}

impl Plan {
    /// A plan for rows of exactly these columns. A treatment that cannot change its column's type is left out.
    pub(crate) fn new(columns: impl IntoIterator<Item = PlannedColumn>) -> Self {
        let useful = |column: PlannedColumn| {
            let mask = column.mask.filter(|with| matters(column.type_oid, with.as_ref()));
            let plain = mask.as_ref().is_some_and(|with| is_plain(column.type_oid, with.as_ref()));
            let hides = mask.as_ref().is_some_and(|with| with.treatment() == Treatment::Null);
            Column { planned: PlannedColumn { mask, ..column }, plain, hides }
        };
        Self { columns: columns.into_iter().map(useful).collect() }
    }

    /// Whether it leaves every row as it is, so that runs of rows can be released by range.
    pub(crate) fn is_empty(&self) -> bool {
        !self.columns.iter().any(Column::is_masked)
    }
}

/// Why rows cannot be masked. Each ends the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRow {
    /// The row has more or fewer cells than its result has columns.
    #[error("a row of {cells} values in a result of {columns} columns")]
    Cells {
        /// What the row says it has.
        cells: usize,
        /// What the result has.
        columns: usize,
    },
    /// What was called whole rows is something else, or a length in a row lies.
    #[error("a malformed row")]
    Malformed,
    /// More would leave of the row than [`Bounds::row`].
    #[error("a row that is too long to be masked")]
    TooLong,
}

impl From<Unfit> for BadRow {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Malformed => Self::Malformed,
            Unfit::TooLong => Self::TooLong,
        }
    }
}

/// Rewrites the rows of one result.
pub(crate) struct RowRewriter {
    sieve: Sieve,
    /// The newest text that was replaced whole.
    text: String,
    /// Of a row that arrives in pieces, its frame's beginning, up to its number of cells.
    head: Vec<u8>,
    /// The bytes behind that which have not come, once it was read.
    left: Option<usize>,
    cells: Cells,
}

impl RowRewriter {
    /// For the rows of one result.
    pub(crate) fn new(plan: Plan) -> Self {
        Self::within(plan, Bounds::default())
    }

    /// The same within other bounds.
    pub(crate) fn within(plan: Plan, bounds: Bounds) -> Self {
        let sieve = Sieve::new(plan, bounds);
        Self { sieve, text: String::new(), head: Vec::new(), left: None, cells: Cells::default() }
    }

    /// How many values of each column were replaced so far. For the record.
    pub(crate) fn masked(&self) -> &[u64] {
        &self.sieve.masked
    }

    /// Whether anything is masked, so that rows must be whole before they leave.
    pub(crate) fn masks(&self) -> bool {
        !self.sieve.plan.is_empty()
    }

    /// Appends this run of whole DataRow frames, masked.
    ///
    /// # Errors
    /// [`BadRow`]; whole rows before the bad one are in `out`.
    pub(crate) fn rewrite(&mut self, run: &[u8], frames: usize, out: &mut BytesMut) -> Result<(), BadRow> {
        out.reserve(run.len());
        let (mut rest, mut rows) = (run, 0);
        while !rest.is_empty() {
            let length = declared(rest)?.ok_or(BadRow::Malformed)?;
            let (row, after) = rest.split_at_checked(length).ok_or(BadRow::Malformed)?;
            self.row(row, out)?;
            rest = after;
            rows += 1;
        }
        if rows == frames { Ok(()) } else { Err(BadRow::Malformed) }
    }

    /// Takes the next piece of one row that arrives in pieces, the first beginning with the frame's tag. Appends the row,
    /// masked, once it is whole, and nothing before.
    ///
    /// # Errors
    /// [`BadRow`]; no byte of the row is in `out` then.
    pub(crate) fn piece(&mut self, piece: &[u8], out: &mut BytesMut) -> Result<(), BadRow> {
        match self.take(piece) {
            Ok(true) => {
                let mut row = self.sieve.take();
                let length = i32::try_from(row.len().saturating_sub(1)).map_err(|_| BadRow::TooLong)?;
                let field = row.get_mut(1..HEADER).ok_or(BadRow::Malformed)?;
                field.copy_from_slice(&length.to_be_bytes());
                out.extend_from_slice(&row);
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(error) => {
                self.sieve.clear();
                Err(error)
            }
        }
    }

    /// A piece of a row; whether the row is whole now.
    fn take(&mut self, piece: &[u8]) -> Result<bool, BadRow> {
        let (left, body) = match self.left {
            Some(left) => (left, piece),
            None => {
                let (now, body) = piece.split_at(piece.len().min(ROW_HEADER.saturating_sub(self.head.len())));
                self.head.extend_from_slice(now);
                let Some(length) = declared(&self.head)? else { return Ok(false) };
                let left = length.checked_sub(ROW_HEADER).ok_or(BadRow::Malformed)?;
                let Some(cells) = counted(&self.head) else { return Ok(false) };
                self.are_as_planned(cells)?;
                self.sieve.show(&self.head)?;
                self.head.clear();
                (left, body)
            }
        };
        let left = left.checked_sub(body.len()).ok_or(BadRow::Malformed)?;
        let (taken, is_whole) = self.cells.push(body, &mut self.sieve)?;
        // Nothing may stand behind the last value, and the frame may not end before it.
        if taken < body.len() || is_whole != (left == 0) {
            return Err(BadRow::Malformed);
        }
        self.left = (left > 0).then_some(left);
        Ok(is_whole)
    }

    fn are_as_planned(&self, cells: usize) -> Result<(), BadRow> {
        let columns = self.sieve.width();
        if cells == columns { Ok(()) } else { Err(BadRow::Cells { cells, columns }) }
    }

    /// One whole frame.
    fn row(&mut self, row: &[u8], out: &mut BytesMut) -> Result<(), BadRow> {
        let start = out.len();
        let written = self.values(row, out).and_then(|()| {
            let length = out.len() - start;
            if length > self.sieve.bounds.row.min(LONGEST) {
                return Err(BadRow::TooLong);
            }
            let field = out.get_mut(start + 1..start + HEADER).ok_or(BadRow::Malformed)?;
            field.copy_from_slice(&i32::try_from(length - 1).map_err(|_| BadRow::TooLong)?.to_be_bytes());
            Ok(())
        });
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn values(&mut self, row: &[u8], out: &mut BytesMut) -> Result<(), BadRow> {
        self.are_as_planned(counted(row).ok_or(BadRow::Malformed)?)?;
        let (mut at, mut copied) = (ROW_HEADER, 0);
        let Sieve { plan, bounds, masked, .. } = &mut self.sieve;
        for (column, masked) in plan.columns.iter().zip(masked) {
            let length = row.get(at..).and_then(<[u8]>::first_chunk::<4>).ok_or(BadRow::Malformed)?;
            let from = at;
            at += 4;
            let value = match i32::from_be_bytes(*length) {
                -1 => continue,
                length => {
                    let length = usize::try_from(length).map_err(|_| BadRow::Malformed)?;
                    row.get(at..).and_then(|rest| rest.get(..length)).ok_or(BadRow::Malformed)?
                }
            };
            at += value.len();
            let Some(with) = &column.planned.mask else { continue };
            let made;
            let new = if column.is_null(value.len(), *bounds) {
                None
            } else if column.plain {
                let fits = mask_plain(value, with.as_ref(), &mut self.text) && self.text.len() <= bounds.value;
                fits.then_some(self.text.as_bytes())
            } else {
                match column.replaced(value, *bounds) {
                    Masked::Keep => continue,
                    Masked::Bytes(new) => {
                        made = new;
                        Some(&*made)
                    }
                    Masked::Null => None,
                }
            };
            *masked += 1;
            out.extend_from_slice(row.get(copied..from).ok_or(BadRow::Malformed)?);
            match new {
                Some(new) => {
                    out.put_i32(i32::try_from(new.len()).map_err(|_| BadRow::TooLong)?);
                    out.extend_from_slice(new);
                }
                None => out.put_i32(-1),
            }
            copied = at;
        }
        if at != row.len() {
            return Err(BadRow::Malformed);
        }
        out.extend_from_slice(row.get(copied..).ok_or(BadRow::Malformed)?);
        Ok(())
    }
}

/// How many cells the row has whose frame begins here, once that is there.
fn counted(frame: &[u8]) -> Option<usize> {
    let count = frame.get(HEADER..ROW_HEADER)?.first_chunk::<2>()?;
    Some(usize::from(u16::from_be_bytes(*count)))
}

/// The bytes of the DataRow frame that begins here, tag included; none while its header is not whole.
fn declared(bytes: &[u8]) -> Result<Option<usize>, BadRow> {
    let Some((tag, rest)) = bytes.split_first() else { return Ok(None) };
    if *tag != b'D' {
        return Err(BadRow::Malformed);
    }
    let Some(length) = rest.first_chunk::<4>() else { return Ok(None) };
    match usize::try_from(i32::from_be_bytes(*length)) {
        Ok(length) if (4..=LONGEST).contains(&length) => Ok(Some(length + 1)),
        Ok(_) | Err(_) => Err(BadRow::Malformed),
    }
}
