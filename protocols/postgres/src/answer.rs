//! What a server answers, read as far as the record needs it.
//!
//! Promises: a row is decoded only while the record still takes rows; what cannot be decoded is recorded as not
//! readable, never dropped silently, and never changes what the client gets: the bytes that came are the bytes released.
//! Does not promise masking; that comes with the issue that brings it.
//! Held by: the tests below, and `tests/it/record.rs`.

mod values;

pub(crate) use values::{text_of, type_name};

use crate::message::{Column, DataRow, Formats, ServerMessage};
use portcullis_gate::Answer;
use portcullis_model::{Parameter, RecordedColumn};
use std::sync::Arc;

/// The most of one value that goes into the record, in bytes; its digest covers the rest.
const LONGEST_VALUE: usize = 16 * 1024;

/// One column as a Describe or a result told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) name: Arc<str>,
    pub(crate) type_oid: u32,
    pub(crate) binary: bool,
}

/// The columns of a result, as far as they are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    /// Empty where no RowDescription was seen.
    pub(crate) columns: Arc<[Known]>,
    /// Format codes that the portal asked for; they apply where the columns come from a Describe of the statement.
    pub(crate) formats: Option<Arc<[bool]>>,
    /// Whether the record has been told the columns of the rows that come.
    told: bool,
}

impl Shape {
    /// What a portal bound with these formats will give, from what a Describe of its statement said.
    pub(crate) fn of_portal(described: Option<&Arc<[Known]>>, formats: Formats<'_>) -> Self {
        let formats: Arc<[bool]> = (0..formats.len()).map(|index| formats.is_binary(index)).collect();
        Self { columns: described.cloned().unwrap_or_default(), formats: Some(formats), told: false }
    }

    /// A RowDescription for these rows came.
    pub(crate) fn described(&mut self, columns: Arc<[Known]>) {
        *self = Self { columns, formats: None, told: false };
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

    /// Records one row.
    pub(crate) fn record(&mut self, answer: &mut Answer, body: &[u8]) {
        let Ok(row) = DataRow::read(body) else {
            answer.count_rows(1);
            return;
        };
        self.tell(answer, row.len());
        let cell = |(index, cell): (usize, Result<Option<&[u8]>, _>)| match cell {
            Ok(None) => None,
            Ok(Some(bytes)) => {
                let type_oid = self.columns.get(index).map_or(0, |column| column.type_oid);
                Some(shortened(text_of(bytes, type_oid, self.is_binary(index))))
            }
            Err(_) => Some("[not readable]".into()),
        };
        answer.row(row.cells().enumerate().map(cell).collect());
    }
}

/// The columns of a RowDescription.
pub(crate) fn known(columns: &[Column<'_>]) -> Arc<[Known]> {
    let known = |column: &Column<'_>| Known {
        name: String::from_utf8_lossy(column.name).into(),
        type_oid: column.type_oid,
        binary: column.binary,
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
    let (stream, fields) = match message {
        ServerMessage::Error(fields) => ("error", fields),
        ServerMessage::Notice(fields) => ("notice", fields),
        ServerMessage::Notification { channel, payload, .. } => {
            let text = format!("{}: {}", String::from_utf8_lossy(channel), String::from_utf8_lossy(payload));
            return Some(("notification", text));
        }
        ServerMessage::Authentication(_)
        | ServerMessage::BackendKeyData { .. }
        | ServerMessage::BindComplete
        | ServerMessage::CloseComplete
        | ServerMessage::CommandComplete(_)
        | ServerMessage::CopyData(_)
        | ServerMessage::CopyDone
        | ServerMessage::CopyIn { .. }
        | ServerMessage::CopyOut { .. }
        | ServerMessage::DataRow(_)
        | ServerMessage::EmptyQuery
        | ServerMessage::NegotiateProtocolVersion { .. }
        | ServerMessage::NoData
        | ServerMessage::ParameterDescription(_)
        | ServerMessage::ParameterStatus { .. }
        | ServerMessage::ParseComplete
        | ServerMessage::PortalSuspended
        | ServerMessage::ReadyForQuery(_)
        | ServerMessage::RowDescription(_) => return None,
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
        let columns: Arc<[Known]> = Arc::new([Known { name: "n".into(), type_oid: 23, binary: false }]);
        let body = [&2_i16.to_be_bytes()[..], &[0, 1, 0, 1]].concat();
        let mut shape = Shape { columns: Arc::clone(&columns), formats: Some(Arc::new([true])), told: false };
        assert!(shape.is_binary(0) && shape.is_binary(5), "one code is for all");
        shape.described(columns);
        assert!(!shape.is_binary(0), "{body:?}");
    }
}
