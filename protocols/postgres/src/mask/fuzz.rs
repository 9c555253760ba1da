//! Arbitrary bytes as what a server sends, rewritten whole and in pieces.
//!
//! Held by: the fuzz targets of the same names, and the property tests beside the modules.

use super::{
    BadCopy, Bounds, CopyColumn, CopyFormat, CopyOptions, CopyRewriter, ForceQuote, Mask, Plan, PlannedColumn, Replace,
    RowRewriter, Treatment,
};
use crate::message::DataRow;
use bytes::BytesMut;
use std::sync::Arc;

/// What the treatments here put in a value's place.
const SHOWN: &str = "a,\"b\t\\";

struct Shown(Treatment);

impl Replace for Shown {
    fn treatment(&self) -> Treatment {
        self.0
    }

    fn text(&self, _value: &str) -> Option<String> {
        Some(SHOWN.to_owned())
    }

    fn json(&self, _document: &str) -> Option<String> {
        Some("{}".to_owned())
    }

    fn detected(&self, text: &str) -> Option<String> {
        text.contains("41").then(|| "found".to_owned())
    }
}

/// Bounds that short inputs break.
const NARROW: Bounds = Bounds { row: 90, value: 12 };

/// A column that is not masked, two that are, one that is hidden, and one that is searched.
const COLUMNS: [(Option<Treatment>, u32); 5] = [
    (None, 25),
    (Some(Treatment::Whole), 25),
    (Some(Treatment::Whole), 1009),
    (Some(Treatment::Null), 25),
    (Some(Treatment::Detect), 114),
];

fn shown(treatment: Option<Treatment>) -> Option<Mask> {
    treatment.map(|treatment| Arc::new(Shown(treatment)) as Mask)
}

/// Takes arbitrary bytes as a run of rows: nothing may panic; what comes out must be whole rows in which the cells that
/// are not masked are those that came, and the same if each row comes in pieces.
pub fn fuzz_mask_row(data: &[u8]) {
    let Some((&seed, data)) = data.split_first() else { return };
    let column =
        |(treatment, type_oid)| PlannedColumn { mask: shown(treatment), type_oid, binary: seed.is_multiple_of(2) };
    let plan = Plan::new(COLUMNS.map(column));
    // One row made of the bytes as cells, then the bytes as they are.
    let step = usize::from(seed % 61) + 1;
    let mut made = Vec::from(*b"D\0\0\0\0\0\x05");
    for cell in data.chunks(data.len().div_ceil(COLUMNS.len()).max(1)).chain(std::iter::repeat(&b""[..])).take(5) {
        made.extend_from_slice(&u32::try_from(cell.len()).unwrap_or_default().to_be_bytes());
        made.extend_from_slice(cell);
    }
    let length = u32::try_from(made.len() - 1).unwrap_or_default();
    if let Some(field) = made.get_mut(1..5) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    let rewritten = both_ways(&plan, &made, step, Bounds::default());
    assert!(rewritten.is_some(), "a row that is right was refused");
    both_ways(&plan, &made, step, NARROW);
    both_ways(&plan, data, step, Bounds::default());
    both_ways(&plan, data, step, NARROW);
}

/// One row whole and in pieces; what came out.
fn both_ways(plan: &Plan, row: &[u8], step: usize, bounds: Bounds) -> Option<BytesMut> {
    let (mut whole, mut pieces) = (BytesMut::new(), BytesMut::new());
    let result = RowRewriter::within(plan.clone(), bounds).rewrite(row, 1, &mut whole);
    let mut rewriter = RowRewriter::within(plan.clone(), bounds);
    let in_pieces = row.chunks(step).try_for_each(|piece| rewriter.piece(piece, &mut pieces));
    if result.is_err() {
        // A row that ends early is not refused in pieces, since more could come; but nothing leaves. Behind the end of a
        // row, another may begin.
        let declared = row.get(1..5).and_then(<[u8]>::first_chunk).map_or(0, |length| u32::from_be_bytes(*length));
        let is_longer = usize::try_from(declared).is_ok_and(|length| row.len() > length.saturating_add(1));
        assert!(is_longer || pieces.is_empty(), "a split let a row out that is refused");
        return None;
    }
    assert!(in_pieces.is_ok() && whole == pieces, "a split changed a row");
    let body = |row| <[u8]>::get(row, 5..).and_then(|body| DataRow::read(body).ok());
    let (before, after) = (body(row), body(&whole));
    assert!(before.is_some() && after.is_some(), "what came out is no row");
    let (before, after) = (before?, after?);
    for (before, after) in before.cells().zip(after.cells()).take(1) {
        assert_eq!(before, after, "a cell that is not masked changed");
    }
    assert!(after.cells().all(|cell| cell.is_ok()) && after.len() == before.len(), "what came out is no row");
    Some(whole)
}

/// Takes arbitrary bytes as COPY data in a format that they choose: nothing may panic, and where the data is cut must
/// change neither what comes out nor whether it is refused.
pub fn fuzz_mask_copy(data: &[u8]) {
    let Some((&seed, data)) = data.split_first() else { return };
    let formats = [
        CopyOptions::default(),
        CopyOptions::csv(),
        CopyOptions::binary(),
        CopyOptions { header: true, null: "41".to_owned(), delimiter: b',', ..CopyOptions::default() },
        CopyOptions { escape: b'\\', force_quote: ForceQuote::All, null: "N".to_owned(), ..CopyOptions::csv() },
    ];
    let Some(options) = formats.get(usize::from(seed) % formats.len()) else { return };
    let step = usize::from(seed % 61) + 1;
    let narrow = |step| rewritten(options, data, step, NARROW);
    assert_eq!(narrow(data.len().max(1)), narrow(step), "a split changed COPY data of long values");
    let whole = rewritten(options, data, data.len().max(1), Bounds::default());
    let cut = rewritten(options, data, step, Bounds::default());
    assert_eq!(whole, cut, "a split changed COPY data");
    if options.format != CopyFormat::Binary && whole.1.is_ok() {
        let again = rewritten(options, &whole.0, usize::MAX, Bounds::default());
        assert!(again.1.is_ok(), "what came out is not what this format reads");
        assert_eq!(again.0, whole.0, "what is masked twice is masked once");
    }
}

fn rewritten(options: &CopyOptions, data: &[u8], step: usize, bounds: Bounds) -> (Vec<u8>, Result<(), BadCopy>) {
    let mut out = Vec::new();
    let columns = COLUMNS.map(|(treatment, type_oid)| CopyColumn { mask: shown(treatment), type_oid });
    let result = CopyRewriter::within(options.clone(), columns.to_vec(), bounds).and_then(|mut rewriter| {
        data.chunks(step).try_for_each(|piece| rewriter.push(piece, &mut out))?;
        rewriter.finish()
    });
    (out, result)
}
