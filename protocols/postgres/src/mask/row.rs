//! DataRow frames with the values of protected columns replaced.
//!
//! Promises: a cell that is not masked, or that its treatment keeps, is copied by range; only the lengths around a new
//! value change. A row whose cells are not as many as the plan's columns, whose lengths lie, or that became too long is
//! [`BadRow`], and no byte of it is in the output; the rows before it are. The caller ends the session, since nothing is
//! known any more of what the server sends.
//! A row that arrives in pieces is gathered whole if the plan masks anything: its length stands in front of its cells. If
//! the plan masks nothing, pieces pass as they come; runs of rows need not come here at all then.
//!
//! Nothing is allocated for a row but what [`super::Replace`] returns, and that not for a text replaced whole. Held by: `row/tests.rs` and
//! [`super::fuzz_mask_row`].

use super::value::{Masked, is_plain, mask, mask_plain, matters};
use super::{LONGEST_ROW, Mask};
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

/// A column, and whether its values are texts that are replaced whole.
struct Column {
    planned: PlannedColumn,
    plain: bool,
}

/// What becomes of the rows of one result: one entry for each of its columns.
#[derive(Clone)]
pub(crate) struct Plan {
    columns: Arc<[Column]>,
}

impl Plan {
    /// A plan for rows of exactly these columns. A treatment that cannot change its column's type is left out.
    pub(crate) fn new(columns: impl IntoIterator<Item = PlannedColumn>) -> Self {
        let useful = |column: PlannedColumn| {
            let mask = column.mask.filter(|with| matters(column.type_oid, with.as_ref()));
            let plain = mask.as_ref().is_some_and(|with| is_plain(column.type_oid, with.as_ref()));
            Column { planned: PlannedColumn { mask, ..column }, plain }
        };
        Self { columns: columns.into_iter().map(useful).collect() }
    }

    /// Whether it leaves every row as it is, so that runs of rows can be released by range.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.iter().all(|column| column.planned.mask.is_none())
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
    /// The row is longer than [`LONGEST_ROW`], or would be longer than a frame may be.
    #[error("a row that is too long to be masked")]
    TooLong,
}

/// Rewrites the rows of one result.
pub(crate) struct RowRewriter {
    plan: Plan,
    masked: Vec<u64>,
    /// A row that arrives in pieces.
    gathered: Vec<u8>,
    /// The newest text that was replaced whole.
    text: String,
}

impl RowRewriter {
    /// For the rows of one result.
    pub(crate) fn new(plan: Plan) -> Self {
        let masked = vec![0; plan.columns.len()];
        Self { plan, masked, gathered: Vec::new(), text: String::new() }
    }

    /// How many values of each column were replaced so far. For the record.
    pub(crate) fn masked(&self) -> &[u64] {
        &self.masked
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

    /// Takes the next piece of one row that arrives in pieces, the first beginning with the frame's tag. Appends what can
    /// leave: nothing until the row is whole, unless the plan masks nothing.
    ///
    /// # Errors
    /// [`BadRow`]; no byte of a row that is masked is in `out` then.
    pub(crate) fn piece(&mut self, piece: &[u8], out: &mut BytesMut) -> Result<(), BadRow> {
        if self.plan.is_empty() {
            out.extend_from_slice(piece);
            return Ok(());
        }
        self.gathered.extend_from_slice(piece);
        let Some(length) = declared(&self.gathered)? else { return Ok(()) };
        if length > LONGEST_ROW {
            self.gathered = Vec::new();
            return Err(BadRow::TooLong);
        }
        if self.gathered.len() < length {
            return Ok(());
        }
        let row = std::mem::take(&mut self.gathered);
        self.rewrite(&row, 1, out)
    }

    /// One whole frame.
    fn row(&mut self, row: &[u8], out: &mut BytesMut) -> Result<(), BadRow> {
        let start = out.len();
        let written = self.cells(row, out).and_then(|()| {
            let length = out.len() - start - 1;
            let length = if length <= LONGEST { i32::try_from(length).ok() } else { None };
            let field = out.get_mut(start + 1..start + HEADER).ok_or(BadRow::Malformed)?;
            field.copy_from_slice(&length.ok_or(BadRow::TooLong)?.to_be_bytes());
            Ok(())
        });
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn cells(&mut self, row: &[u8], out: &mut BytesMut) -> Result<(), BadRow> {
        let count = row.get(HEADER..).and_then(<[u8]>::first_chunk::<2>).ok_or(BadRow::Malformed)?;
        let (cells, columns) = (usize::from(u16::from_be_bytes(*count)), self.plan.columns.len());
        if cells != columns {
            return Err(BadRow::Cells { cells, columns });
        }
        let (mut at, mut copied) = (HEADER + 2, 0);
        for (Column { planned: column, plain }, masked) in self.plan.columns.iter().zip(&mut self.masked) {
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
            let Some(with) = &column.mask else { continue };
            let made;
            let new = if *plain {
                mask_plain(value, with.as_ref(), &mut self.text).then_some(self.text.as_bytes())
            } else {
                match mask(value, column.type_oid, column.binary, with.as_ref()) {
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
