use super::super::sample::{CANARY, mask as sample};
use super::super::{LONGEST_ROW, Replace, Treatment, fuzz_mask_row};
use super::*;
use crate::message::DataRow;
use proptest::prelude::*;

fn row(cells: &[Option<&[u8]>]) -> Vec<u8> {
    let mut out = vec![b'D', 0, 0, 0, 0];
    out.extend_from_slice(&u16::try_from(cells.len()).unwrap().to_be_bytes());
    for cell in cells {
        match cell {
            None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
            Some(cell) => {
                out.extend_from_slice(&i32::try_from(cell.len()).unwrap().to_be_bytes());
                out.extend_from_slice(cell);
            }
        }
    }
    let length = i32::try_from(out.len() - 1).unwrap();
    out[1..5].copy_from_slice(&length.to_be_bytes());
    out
}

fn column(treatment: Option<Treatment>, type_oid: u32) -> PlannedColumn {
    PlannedColumn { mask: treatment.map(|treatment| sample(treatment, "[redacted]")), type_oid, binary: false }
}

/// Open, redacted, open, a number that is redacted.
fn plan() -> Plan {
    let whole = Some(Treatment::Whole);
    Plan::new([column(None, 25), column(whole, 25), column(None, 23), column(whole, 23)])
}

fn rewritten(run: &[u8], frames: usize) -> Result<Vec<u8>, BadRow> {
    let mut out = BytesMut::new();
    RowRewriter::new(plan()).rewrite(run, frames, &mut out).map(|()| out.to_vec())
}

#[test]
fn masked_cells_are_replaced_and_the_others_stay() {
    let run = [
        row(&[Some(b"a"), Some(CANARY.as_bytes()), Some(b"1"), Some(b"77")]),
        row(&[None, None, None, None]),
        row(&[Some(b""), Some(b""), Some(b""), Some(b"")]),
    ];
    let expected = [
        row(&[Some(b"a"), Some(b"[redacted]"), Some(b"1"), None]),
        row(&[None, None, None, None]),
        row(&[Some(b""), Some(b"[redacted]"), Some(b""), None]),
    ];
    let (mut rewriter, mut out) = (RowRewriter::new(plan()), BytesMut::new());
    assert_eq!(rewriter.rewrite(&run.concat(), 3, &mut out), Ok(()));
    assert_eq!(out, expected.concat());
    assert_eq!(rewriter.masked(), [0, 2, 0, 2], "a NULL that stays NULL was not replaced");
    assert_eq!(rewriter.rewrite(&run[0], 1, &mut out), Ok(()));
    assert_eq!(rewriter.masked(), [0, 3, 0, 3]);
    assert!(!plan().is_empty() && Plan::new([column(None, 25)]).is_empty() && Plan::new([]).is_empty());
    let searched = |type_oid| Plan::new([column(Some(Treatment::Detect), type_oid)]).is_empty();
    assert!(searched(17) && searched(23) && !searched(25) && !searched(20) && !searched(2249));
    assert!(!Plan::new([column(Some(Treatment::Whole), 17)]).is_empty());
}

#[test]
fn a_row_of_no_columns_is_a_row() {
    let (mut rewriter, mut out) = (RowRewriter::new(Plan::new([])), BytesMut::new());
    assert_eq!(rewriter.rewrite(&row(&[]), 1, &mut out), Ok(()));
    assert_eq!(out, row(&[]));
}

#[test]
fn a_row_that_is_not_what_was_planned_gives_out_nothing() {
    let good = row(&[Some(b"a"), Some(CANARY.as_bytes()), Some(b"1"), Some(b"77")]);
    for cells in [&[][..], &[Some(CANARY.as_bytes())], &[Some(CANARY.as_bytes()); 3], &[Some(CANARY.as_bytes()); 5]] {
        assert_eq!(rewritten(&row(cells), 1), Err(BadRow::Cells { cells: cells.len(), columns: 4 }));
    }
    for cut in 0..good.len() {
        if cut > 0 {
            assert_eq!(rewritten(&good[..cut], 1), Err(BadRow::Malformed), "cut at {cut}");
        }
        // A length that lies, with the frame's own made right.
        if cut >= 5 {
            let mut lying = good[..cut].to_vec();
            lying[1..5].copy_from_slice(&i32::try_from(cut - 1).unwrap().to_be_bytes());
            assert!(rewritten(&lying, 1).is_err(), "cut at {cut}");
        }
    }
    let mut longer = [good.as_slice(), b"x"].concat();
    longer[4] += 1;
    assert_eq!(rewritten(&longer, 1), Err(BadRow::Malformed), "bytes behind the last cell");
    let mut negative = good.clone();
    negative[7..11].copy_from_slice(&(-2_i32).to_be_bytes());
    assert_eq!(rewritten(&negative, 1), Err(BadRow::Malformed));
    assert_eq!(rewritten(&good, 2), Err(BadRow::Malformed), "fewer rows than announced");
    let mut other = good.clone();
    other[0] = b'T';
    assert_eq!(rewritten(&other, 1), Err(BadRow::Malformed));
    // What stands before a bad row is whole, and nothing of the bad one is there.
    let (mut rewriter, mut out) = (RowRewriter::new(plan()), BytesMut::new());
    let run = [good.as_slice(), &row(&[Some(b"a"), Some(CANARY.as_bytes())])].concat();
    assert!(rewriter.rewrite(&run, 2, &mut out).is_err());
    assert_eq!(out, rewritten(&good, 1).unwrap());
    // Also where the lie comes behind a masked cell that was written already.
    for lie in [(good.len() - 3, 9), (4, good[4] + 1)] {
        let (mut rewriter, mut out) = (RowRewriter::new(plan()), BytesMut::from(&b"before"[..]));
        let mut bad = [good.as_slice(), if lie.0 == 4 { b"x" } else { b"" }].concat();
        bad[lie.0] = lie.1;
        assert_eq!(rewriter.rewrite(&bad, 1, &mut out), Err(BadRow::Malformed));
        assert_eq!(&out[..], b"before");
    }
}

#[test]
fn a_long_row_comes_out_whole_or_not_at_all() {
    let long = vec![b'x'; 200_000];
    let given = row(&[Some(&long), Some(CANARY.as_bytes()), Some(b"1"), Some(b"77")]);
    let expected = row(&[Some(&long), Some(b"[redacted]"), Some(b"1"), None]);
    for step in [1, 3, 4096, given.len()] {
        let (mut rewriter, mut out) = (RowRewriter::new(plan()), BytesMut::new());
        let mut pieces = given.chunks(step).peekable();
        while let Some(piece) = pieces.next() {
            assert_eq!(rewriter.piece(piece, &mut out), Ok(()));
            assert!(out.is_empty() || pieces.peek().is_none(), "a part of a row left");
        }
        assert_eq!(out, expected);
        // The next row begins anew.
        out.clear();
        assert_eq!(rewriter.piece(&given, &mut out), Ok(()));
        assert_eq!((out.to_vec(), rewriter.masked()), (expected.clone(), &[0, 2, 0, 2][..]));
    }
}

#[test]
fn a_row_too_long_is_refused_before_it_is_here() {
    let header = [&b"D"[..], &i32::try_from(LONGEST_ROW + 99).unwrap().to_be_bytes(), &[0, 4]].concat();
    let long = i32::try_from(LONGEST_ROW).unwrap().to_be_bytes();
    let (mut rewriter, mut out) = (RowRewriter::new(plan()), BytesMut::new());
    assert_eq!(rewriter.piece(&header, &mut out), Ok(()), "what is long may be hidden");
    assert_eq!(rewriter.piece(&long, &mut out), Err(BadRow::TooLong), "the first value is not");
    assert!(out.is_empty() && rewriter.sieve.memory() == 0);
    // The second one is masked, and too long for that: it is NULL.
    let mut rewriter = RowRewriter::new(plan());
    let second = [&header[..], &[0, 0, 0, 1], b"a", &long].concat();
    assert_eq!((rewriter.piece(&second, &mut out), out.len()), (Ok(()), 0));
    assert!(rewriter.masks() && !RowRewriter::new(Plan::new([column(None, 25)])).masks());
}

/// An open text, one that is hidden, two that are redacted.
fn hiding() -> Plan {
    let whole = || column(Some(Treatment::Whole), 25);
    Plan::new([column(None, 25), column(Some(Treatment::Null), 25), whole(), whole()])
}

/// What comes of one row within these bounds, in one piece and in pieces of this size.
fn both(plan: &Plan, row: &[u8], step: usize, bounds: Bounds) -> [Result<Vec<u8>, BadRow>; 2] {
    let (mut whole, mut pieces) = (BytesMut::new(), BytesMut::new());
    let at_once = RowRewriter::within(plan.clone(), bounds).rewrite(row, 1, &mut whole);
    let mut rewriter = RowRewriter::within(plan.clone(), bounds);
    let in_pieces = row.chunks(step).try_for_each(|piece| {
        let done = rewriter.piece(piece, &mut pieces);
        let most = 2 * (bounds.row + bounds.value) + 64;
        assert!(rewriter.sieve.memory() <= most, "it keeps {} bytes", rewriter.sieve.memory());
        done
    });
    [at_once.map(|()| whole.to_vec()), in_pieces.map(|()| pieces.to_vec())]
}

#[test]
fn a_value_that_is_hidden_is_no_part_of_what_may_be_too_long() {
    let bounds = Bounds { row: 100, value: 40 };
    let long = vec![b'x'; 10_000];
    let (long, fits) = (long.as_slice(), &long[..40]);
    let expected = row(&[Some(b"a"), None, None, None]);
    let redacted = row(&[Some(b"a"), None, Some(b"[redacted]"), Some(b"[redacted]")]);
    for step in [1, 3, 7, 4096, 1 << 20] {
        let outcome = |cells: &[Option<&[u8]>]| both(&hiding(), &row(cells), step, bounds);
        for hidden in [&b""[..], &long[..1], fits, long] {
            let cells = [Some(&b"a"[..]), Some(hidden), None, None];
            assert_eq!(outcome(&cells), [Ok(expected.clone()), Ok(expected.clone())], "{step} {}", hidden.len());
        }
        // Two that fit and together do not; one that is too long to be masked.
        let cells = [Some(&b"a"[..]), Some(long), Some(fits), Some(fits)];
        assert_eq!(outcome(&cells), [Ok(redacted.clone()), Ok(redacted.clone())], "{step}");
        let cells = [Some(&b"a"[..]), Some(long), Some(long), Some(long)];
        assert_eq!(outcome(&cells), [Ok(expected.clone()), Ok(expected.clone())], "{step}");
        // What is shown is too long.
        let cells = [Some(&long[..100]), None, None, None];
        assert_eq!(outcome(&cells), [Err(BadRow::TooLong), Err(BadRow::TooLong)], "{step}");
    }
    // As are words that are put in a value's place and do not fit.
    let narrow = Bounds { row: 100, value: 9 };
    let cells = [Some(&b"a"[..]), None, Some(b"b"), Some(b"c")];
    assert_eq!(both(&hiding(), &row(&cells), 5, narrow), [Ok(expected.clone()), Ok(expected)]);
}

#[test]
fn lengths_that_lie_are_refused_in_pieces_too() {
    let good = row(&[Some(b"a"), Some(b"hidden"), Some(b"b"), Some(b"c")]);
    let bounds = Bounds { row: 100, value: 4 };
    // Of the hidden value: one more, one less, below NULL's, and far behind the frame's end.
    for length in [7_i32, 5, -2, i32::MAX] {
        let mut lying = good.clone();
        lying[12..16].copy_from_slice(&length.to_be_bytes());
        for step in [1, 2, 9, 1 << 10] {
            let outcomes = both(&hiding(), &lying, step, bounds);
            assert!(outcomes.iter().all(Result::is_err), "{length} {step}: {outcomes:?}");
        }
    }
}

#[test]
fn pieces_of_something_else_are_refused() {
    for piece in [&b"T\0\0\0\x04"[..], b"D\0\0\0\x03", b"D\xff\xff\xff\xff", b"D\x40\0\0\0"] {
        let (mut rewriter, mut out) = (RowRewriter::new(plan()), BytesMut::new());
        assert_eq!(rewriter.piece(piece, &mut out), Err(BadRow::Malformed), "{piece:?}");
        assert!(out.is_empty());
    }
    let two = row(&[None; 4]).repeat(2);
    let (mut rewriter, mut out) = (RowRewriter::new(plan()), BytesMut::new());
    assert_eq!(rewriter.piece(&two, &mut out), Err(BadRow::Malformed), "two rows are no piece of one");
}

proptest! {
    #[test]
    fn no_canary_leaves_and_open_cells_stay(
        rows in prop::collection::vec(
            prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), 4), 1..5),
        step in 1_usize..50,
        binary: bool,
    ) {
        // Open, text, text in arrays, JSON; the secret stands in each masked cell.
        let whole = |type_oid| PlannedColumn { binary, ..column(Some(Treatment::Whole), type_oid) };
        let plan = Plan::new([column(None, 25), whole(25), whole(1009), whole(3802)]);
        let cell = |(index, cell): (usize, &Option<Vec<u8>>)| {
            let secret = if index == 0 { "" } else { CANARY };
            cell.as_ref().map(|cell| [cell.as_slice(), secret.as_bytes()].concat())
        };
        let rows: Vec<Vec<_>> = rows.iter().map(|row| row.iter().enumerate().map(cell).collect()).collect();
        let frames: Vec<_> = rows.iter().map(|r| row(&r.iter().map(Option::as_deref).collect::<Vec<_>>())).collect();
        let (mut rewriter, mut out) = (RowRewriter::new(plan.clone()), BytesMut::new());
        prop_assert_eq!(rewriter.rewrite(&frames.concat(), rows.len(), &mut out), Ok(()));
        prop_assert!(memchr::memmem::find(&out, CANARY.as_bytes()).is_none());
        let (mut rest, mut pieces) = (&out[..], BytesMut::new());
        for (cells, frame) in rows.iter().zip(&frames) {
            let (row, after) = rest.split_at(declared(rest).unwrap().unwrap());
            rest = after;
            let read: Vec<_> = DataRow::read(&row[HEADER..]).unwrap().cells().map(Result::unwrap).collect();
            prop_assert_eq!(read[0], cells[0].as_deref());
            for (read, cell) in read.iter().zip(cells) {
                prop_assert!(read.is_none() || cell.is_some(), "a NULL became a value");
            }
            let mut rewriter = RowRewriter::new(plan.clone());
            prop_assert_eq!(frame.chunks(step).try_for_each(|piece| rewriter.piece(piece, &mut pieces)), Ok(()));
        }
        prop_assert_eq!(pieces, out);
    }

    #[test]
    fn what_comes_of_a_row_is_the_same_in_pieces_and_whatever_is_hidden(
        cells in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..60)), 4),
        other in prop::collection::vec(any::<u8>(), 0..300),
        bounds in (20_usize..160, 0_usize..50).prop_map(|(row, value)| Bounds { row, value }),
        step in 1_usize..70,
    ) {
        let mut cells: Vec<_> = cells.iter().map(Option::as_deref).collect();
        let [at_once, in_pieces] = both(&hiding(), &row(&cells), step, bounds);
        prop_assert_eq!(&at_once, &in_pieces);
        cells[1] = Some(&other);
        let [hidden, hidden_in_pieces] = both(&hiding(), &row(&cells), step, bounds);
        prop_assert_eq!(&hidden, &at_once);
        prop_assert_eq!(&hidden_in_pieces, &at_once);
    }

    #[test]
    fn arbitrary_bytes_are_no_harm(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_mask_row(&data);
    }
}

/// A transform that takes as long as returning a constant does.
struct Constant;

impl Replace for Constant {
    fn treatment(&self) -> Treatment {
        Treatment::Whole
    }

    fn text(&self, _value: &str) -> Option<String> {
        Some("[redacted]".to_owned())
    }

    fn json(&self, _document: &str) -> Option<String> {
        None
    }

    fn detected(&self, _text: &str) -> Option<String> {
        None
    }
}

/// How long a row takes, for a person to read: `cargo test -- --ignored --nocapture nanoseconds`.
#[test]
#[ignore = "measures; it can only fail to be fast"]
fn nanoseconds_of_a_row() {
    const ROWS: usize = 2_000;
    let one = row(&[Some(b"12345"), Some(b"alice.b@example.test"), Some(b"77"), Some(b"2026-01-05 10:00:00+00")]);
    let run = one.repeat(ROWS);
    let constant = PlannedColumn { mask: Some(Arc::new(Constant)), type_oid: 25, binary: false };
    let plan = Plan::new([column(None, 23), constant, column(None, 23), column(None, 1184)]);
    let mut out = BytesMut::with_capacity(run.len() * 2);
    let mut nanoseconds = |work: &mut dyn FnMut(&mut BytesMut)| {
        let mut best = u128::MAX;
        for _ in 0..200 {
            out.clear();
            let start = std::time::Instant::now();
            work(&mut out);
            best = best.min(start.elapsed().as_nanos());
        }
        best as f64 / ROWS as f64
    };
    let mut rewriter = RowRewriter::new(plan);
    let masked = nanoseconds(&mut |out| rewriter.rewrite(&run, ROWS, out).unwrap());
    let copied = nanoseconds(&mut |out| run.chunks(one.len()).for_each(|row| out.extend_from_slice(row)));
    println!("one masked cell of 20 bytes among 4: {masked:.1} ns a row; copying the row: {copied:.1} ns");
}
