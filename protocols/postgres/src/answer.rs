//! What a server answers, read as far as the record needs it, and masked as the plan of the gate says.
//!
//! Promises: a row is decoded only while the record still takes rows or something in it may have to be masked; what
//! cannot be decoded is recorded as not readable, never dropped silently; without a plan, the bytes that came are the bytes
//! released. The record holds values after the masks of the record, which nobody is exempt from.
//! Does not promise that the plan is right: `portcullis_gate::Answer::plan` does.
//! Held by: the tests below, `core/tests/masking.rs`, and `tests/it/record.rs`.

mod pieces;
mod values;

pub(crate) use pieces::LONGEST_RECORDED;
pub(crate) use values::{text_of, type_name, type_oids};

use crate::frame::Run;
use crate::mask::{self, BadRow, Masked, PlannedColumn, RowRewriter};
use crate::message::{Column, DataRow, Formats, Said, ServerMessage};
use bytes::{Buf as _, Bytes, BytesMut};
use portcullis_gate::{Answer, Plans, ResultColumn};
use portcullis_model::{ColumnId, Parameter, RecordedColumn};
use std::sync::Arc;

/// The most of one value that goes into the record, in bytes; its digest covers the rest.
const LONGEST_VALUE: usize = 16 * 1024;

/// One column as a Describe or a result told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) name: Arc<str>,
    pub(crate) type_oid: u32,
    pub(crate) binary: bool,
    /// The column of a relation that it is, where the server says so.
    pub(crate) origin: Option<ColumnId>,
}

/// The columns of a result, as far as they are known.
#[derive(Default)]
pub(crate) struct Shape {
    /// Empty where no RowDescription was seen.
    pub(crate) columns: Arc<[Known]>,
    /// Format codes that the portal asked for; they apply where the columns come from a Describe of the statement.
    pub(crate) formats: Option<Arc<[bool]>>,
    /// Whether the record has been told the columns of the rows that come.
    told: bool,
    /// A RowDescription for just these rows came.
    described: bool,
    /// What becomes of the columns, once the first row came.
    planned: Option<Planned>,
}

/// What becomes of the columns of a result.
#[derive(Default)]
struct Planned {
    /// How many values each row has, where anything may have to be masked.
    width: Option<u16>,
    client: Option<RowRewriter>,
    record: Option<Vec<Option<mask::Mask>>>,
    /// What the record is to hold of a row that comes in pieces.
    long: Option<pieces::Recorded>,
}

impl Shape {
    /// What a portal bound with these formats will give, from what a Describe of its statement said.
    pub(crate) fn of_portal(described: Option<&Arc<[Known]>>, formats: Formats<'_>) -> Self {
        let formats: Arc<[bool]> = (0..formats.len()).map(|index| formats.is_binary(index)).collect();
        Self { columns: described.cloned().unwrap_or_default(), formats: Some(formats), ..Self::default() }
    }

    /// A RowDescription for these rows came.
    pub(crate) fn described(&mut self, columns: Arc<[Known]>) {
        *self = Self { columns, described: true, ..Self::default() };
    }

    fn is_binary(&self, index: usize) -> bool {
        match &self.formats {
            None => self.columns.get(index).is_some_and(|column| column.binary),
            Some(formats) if formats.len() == 1 => formats.first().is_some_and(|binary| *binary),
            Some(formats) => formats.get(index).is_some_and(|binary| *binary),
        }
    }

    /// Tells the record the columns, once for each result.
    fn tell(&mut self, answer: &mut Answer, cells: usize) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let column = |index: usize| match self.columns.get(index) {
            Some(column) => RecordedColumn { name: Arc::clone(&column.name), type_name: type_name(column.type_oid) },
            None => RecordedColumn { name: "".into(), type_name: "unknown".into() },
        };
        answer.columns((0..cells).map(column).collect());
    }

    /// Whether a RowDescription for the rows that come was seen.
    pub(crate) const fn is_described(&self) -> bool {
        self.described
    }

    /// What described the rows may not hold for those that come.
    pub(crate) const fn doubt(&mut self) {
        self.described = false;
    }

    /// The rows that come are those of another run: what becomes of them is asked anew.
    pub(crate) fn forget_plan(&mut self) {
        self.planned = None;
    }

    /// Rows on their way to the client: recorded, and masked where the plan says so.
    pub(crate) fn rows(
        &mut self,
        answer: &mut Answer,
        statement: usize,
        rewritten: bool,
        rows: &Run,
    ) -> Result<Bytes, BadRow> {
        self.plan(answer, statement, rewritten, &rows.bytes)?;
        self.are_as_planned(&rows.bytes)?;
        let mut left = rows.bytes.clone();
        let mut unread = rows.frames;
        while unread > 0 && answer.records_rows() {
            let Some(body) = next_body(&mut left) else { break };
            self.record(answer, &body, false);
            unread -= 1;
        }
        answer.count_rows(unread as u64);
        let Some(rewriter) = self.planned.as_mut().and_then(|planned| planned.client.as_mut()) else {
            return Ok(rows.bytes.clone());
        };
        let mut out = BytesMut::new();
        rewriter.rewrite(&rows.bytes, rows.frames, &mut out)?;
        answer.masked(rewriter.masked());
        Ok(out.freeze())
    }

    /// Whether rows of this statement must be whole before any of them can leave.
    pub(crate) fn masks(
        &mut self,
        answer: &mut Answer,
        statement: usize,
        rewritten: bool,
        first: &[u8],
    ) -> Result<bool, BadRow> {
        self.plan(answer, statement, rewritten, first)?;
        let planned = self.planned.as_ref();
        match planned.and_then(|planned| planned.width) {
            Some(width) if width_of(first) != Some(width) => Err(BadRow::Malformed),
            Some(_) | None => Ok(planned.and_then(|planned| planned.client.as_ref()).is_some_and(RowRewriter::masks)),
        }
    }

    /// Where no column of a result is masked, its rows are not read; but that is said of rows of so many columns only.
    fn are_as_planned(&self, rows: &[u8]) -> Result<(), BadRow> {
        let Some(Planned { width: Some(width), client: None, .. }) = &self.planned else { return Ok(()) };
        let mut rest = rows;
        while !rest.is_empty() {
            let length = rest.get(1..).and_then(<[u8]>::first_chunk::<4>).ok_or(BadRow::Malformed)?;
            let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| BadRow::Malformed)?;
            if width_of(rest) != Some(*width) {
                return Err(BadRow::Malformed);
            }
            rest = rest.get(length + 1..).ok_or(BadRow::Malformed)?;
        }
        Ok(())
    }

    /// Asks what becomes of each column, before the first row; `first` begins with that row's frame.
    fn plan(&mut self, answer: &mut Answer, statement: usize, rewritten: bool, first: &[u8]) -> Result<(), BadRow> {
        if self.planned.is_some() {
            return Ok(());
        }
        if !answer.plans() {
            self.planned = Some(Planned::default());
            return Ok(());
        }
        let cells = width_of(first).ok_or(BadRow::Malformed)?;
        let width = usize::from(cells);
        // Rows that nothing describes are those of no statement: what was read in the text does not hold for them.
        let statement = if self.described { statement } else { usize::MAX };
        let column = |index: usize| match self.columns.get(index).filter(|_| self.columns.len() == width) {
            Some(known) => ResultColumn {
                name: &known.name,
                // Only what describes just these rows says where they come from; of rows that a rewrite rule put in
                // the place of others, it says where those would.
                origin: known.origin.filter(|_| self.described && !rewritten),
                json: mask::is_json(known.type_oid),
            },
            None => ResultColumn { name: "", origin: None, json: false },
        };
        let columns: Vec<_> = (0..width).map(column).collect();
        let Plans { client, record } = answer.plan(statement, &columns);
        let known = |index: usize| self.columns.get(index).filter(|_| self.columns.len() == width);
        let planned = |(index, mask): (usize, Option<Arc<portcullis_gate::Mask>>)| PlannedColumn {
            mask: mask.map(|mask| mask as mask::Mask),
            type_oid: known(index).map_or(0, |known| known.type_oid),
            binary: self.is_binary(index),
        };
        self.planned = Some(Planned {
            width: Some(cells),
            client: client.map(|plan| RowRewriter::new(mask::Plan::new(plan.into_iter().enumerate().map(planned)))),
            record: record.map(|plan| plan.into_iter().map(|mask| mask.map(|mask| mask as mask::Mask)).collect()),
            long: None,
        });
        Ok(())
    }

    /// Records one row, as the masks of the record leave it, or left it where it `is_masked` already.
    fn record(&mut self, answer: &mut Answer, body: &[u8], is_masked: bool) {
        let Ok(row) = DataRow::read(body) else {
            answer.count_rows(1);
            return;
        };
        self.tell(answer, row.len());
        let masks = self.planned.as_ref().filter(|_| !is_masked).and_then(|planned| planned.record.as_ref());
        let known = |index: usize| self.columns.get(index).filter(|_| self.columns.len() == row.len());
        let cell = |(index, cell): (usize, Result<Option<&[u8]>, _>)| match cell {
            Ok(None) => None,
            Ok(Some(bytes)) => {
                let (type_oid, binary) = (known(index).map_or(0, |column| column.type_oid), self.is_binary(index));
                let mask = masks.and_then(|masks| masks.get(index)).and_then(Option::as_ref);
                match mask.map_or(Masked::Keep, |with| mask::mask(bytes, type_oid, binary, &**with)) {
                    Masked::Keep => Some(shortened(text_of(bytes, type_oid, binary))),
                    Masked::Null => None,
                    Masked::Bytes(bytes) => Some(shortened(text_of(&bytes, type_oid, binary))),
                }
            }
            Err(_) => Some("[not readable]".into()),
        };
        answer.row(row.cells().enumerate().map(cell).collect());
    }
}

/// How many values the row says it has whose frame begins here.
fn width_of(frame: &[u8]) -> Option<u16> {
    frame.get(5..mask::ROW_HEADER).and_then(<[u8]>::first_chunk).map(|count| u16::from_be_bytes(*count))
}

/// The body of the next frame.
pub(crate) fn next_body(frames: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(i32::from_be_bytes(*frames.get(1..5)?.first_chunk::<4>()?)).ok()?;
    if frames.len() < length + 1 || length < 4 {
        return None;
    }
    let mut frame = frames.split_to(length + 1);
    frame.advance(5);
    Some(frame)
}

/// The columns of a RowDescription.
pub(crate) fn known(columns: &[Column<'_>]) -> Arc<[Known]> {
    let known = |column: &Column<'_>| Known {
        name: String::from_utf8_lossy(column.name).into(),
        type_oid: column.type_oid,
        binary: column.binary,
        origin: (column.relation != 0).then_some(ColumnId { relation: column.relation, number: column.attribute }),
    };
    columns.iter().map(known).collect()
}

/// A parameter of a Bind, as recorded.
pub(crate) fn parameter(value: Option<&[u8]>, type_oid: u32, binary: bool) -> Parameter {
    Parameter { type_name: type_name(type_oid), value: value.map(|bytes| shortened(text_of(bytes, type_oid, binary))) }
}

fn shortened(text: String) -> Arc<str> {
    if text.len() <= LONGEST_VALUE {
        return text.into();
    }
    let mut end = LONGEST_VALUE;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len()).into()
}

/// What an error or notice says, in one text for the record.
pub(crate) fn said(message: &ServerMessage<'_>) -> Option<(&'static str, String)> {
    let (stream, fields) = match message.said()? {
        Said::Error(fields) => ("error", fields),
        Said::Notice(fields) => ("notice", fields),
        Said::Notification { channel, payload, .. } => {
            let text = format!("{}: {}", String::from_utf8_lossy(channel), String::from_utf8_lossy(payload));
            return Some(("notification", text));
        }
    };
    let mut text = format!("{}: {} {}", fields.text(b'S'), fields.text(b'C'), fields.text(b'M'));
    for (code, word) in [(b'D', "DETAIL"), (b'H', "HINT"), (b'W', "CONTEXT")] {
        if fields.get(code).is_some() {
            text.push_str(&format!("\n{word}: {}", fields.text(code)));
        }
    }
    Some((stream, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_between_characters_and_say_how_long_they_were() {
        let text = "é".repeat(LONGEST_VALUE);
        let kept = shortened(text.clone());
        assert!(kept.len() < LONGEST_VALUE + 40 && kept.ends_with(&format!("({} bytes)", text.len())));
        assert_eq!(&*shortened("short".to_owned()), "short");
    }

    #[test]
    fn a_parameter_keeps_its_type_and_its_text_form() {
        let number = parameter(Some(&7_i32.to_be_bytes()), 23, true);
        assert_eq!((&*number.type_name, number.value.as_deref()), ("int4", Some("7")));
        assert_eq!(parameter(None, 0, false).value, None);
        assert_eq!(parameter(Some(b"\xff"), 17, true).value.as_deref(), Some("\\xff"));
    }

    #[test]
    fn pg_p36_formats_of_the_bind_decide_where_the_columns_come_from_the_statement() {
        let columns: Arc<[Known]> = Arc::new([Known { name: "n".into(), type_oid: 23, binary: false, origin: None }]);
        let body = [&2_i16.to_be_bytes()[..], &[0, 1, 0, 1]].concat();
        let mut shape = Shape { columns: Arc::clone(&columns), formats: Some(Arc::new([true])), ..Shape::default() };
        assert!(shape.is_binary(0) && shape.is_binary(5), "one code is for all");
        shape.described(columns);
        assert!(!shape.is_binary(0), "{body:?}");
    }
}
