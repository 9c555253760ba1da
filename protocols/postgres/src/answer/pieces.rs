//! A row that comes in pieces and is masked: what leaves of it, and what the record holds.
//!
//! Promises: the client's masks and the record's each see every byte once, as it comes, and each keeps only what it shows
//! (`mask/sieve.rs`): a value that one of them hides is no part of what may be too long for it. A row of which the record
//! would keep more than [`LONGEST_RECORDED`] is counted in the record, like a long row that nothing is masked in.
//! Does not promise to be asked only for rows that are masked: `core/rows.rs` asks [`Shape::masks`] first.
//! Held by: `core/tests/masking/rows.rs`.

use super::Shape;
use crate::frame::HEADER;
use crate::mask::{BadRow, Bounds, Plan, PlannedColumn, RowRewriter};
use bytes::{Bytes, BytesMut};
use portcullis_gate::Answer;

/// The longest row in pieces that is still put together for the record, in bytes.
pub(crate) const LONGEST_RECORDED: usize = 1 << 20;

/// What the record is to hold of a row, once it is whole.
pub(super) struct Recorded {
    rewriter: RowRewriter,
    row: BytesMut,
}

impl Shape {
    /// A piece of a row: the whole row, masked, with the last of them.
    pub(crate) fn piece(&mut self, answer: &mut Answer, piece: &[u8], is_first: bool) -> Result<Option<Bytes>, BadRow> {
        if is_first {
            let recorded = if answer.records_rows() { self.recorded() } else { None };
            if let Some(planned) = &mut self.planned {
                planned.long = recorded;
            }
        }
        let planned = self.planned.as_mut().ok_or(BadRow::Malformed)?;
        let client = planned.client.as_mut().ok_or(BadRow::Malformed)?;
        let mut row = BytesMut::new();
        client.piece(piece, &mut row)?;
        let fits = planned.long.as_mut().map(|long| long.rewriter.piece(piece, &mut long.row).is_ok());
        if fits == Some(false) {
            planned.long = None;
        }
        if row.is_empty() {
            return Ok(None);
        }
        answer.masked(client.masked());
        match planned.long.take() {
            Some(long) => self.record(answer, long.row.get(HEADER..).unwrap_or_default(), true),
            None => answer.count_rows(1),
        }
        Ok(Some(row.freeze()))
    }

    /// What the record's masks make of a row that comes now.
    fn recorded(&self) -> Option<Recorded> {
        let planned = self.planned.as_ref()?;
        let width = usize::from(planned.width?);
        let known = |index: usize| self.columns.get(index).filter(|_| self.columns.len() == width);
        let column = |index: usize| PlannedColumn {
            mask: planned.record.as_ref().and_then(|masks| masks.get(index)?.clone()),
            type_oid: known(index).map_or(0, |known| known.type_oid),
            binary: self.is_binary(index),
        };
        let bounds = Bounds { row: LONGEST_RECORDED, ..Bounds::default() };
        let rewriter = RowRewriter::within(Plan::new((0..width).map(column)), bounds);
        Some(Recorded { rewriter, row: BytesMut::new() })
    }
}
