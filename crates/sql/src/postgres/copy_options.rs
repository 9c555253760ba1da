//! The form of what a COPY … TO STDOUT sends, from its options.
//!
//! Promises: options that are not understood, that no server takes together, or that name an encoding other than UTF8 give
//! nothing at all, never a guess: who must read the data cannot. Does not promise that a server takes them.
//! Held by: the tests below.

use super::define::{options, truthy};
use super::expression::constant;
use super::names;
use crate::reading::{CopyFormat, CopyOptions, ForceQuote};
use pg_query::NodeEnum;
use pg_query::protobuf::{CopyStmt, DefElem};
use portcullis_model::Name;

/// The options of the statement.
pub(super) fn copy_options(statement: &CopyStmt) -> Option<CopyOptions> {
    let format = match word(statement, "format")?.as_deref() {
        None | Some("text") => CopyFormat::Text,
        Some("csv") => CopyFormat::Csv,
        Some("binary") => CopyFormat::Binary,
        Some(_) => return None,
    };
    match word(statement, "encoding")?.as_deref() {
        None | Some("utf8" | "utf-8" | "unicode") => {}
        Some(_) => return None,
    }
    let csv = format == CopyFormat::Csv;
    let quote = byte(statement, "quote")?.unwrap_or(b'"');
    Some(CopyOptions {
        format,
        delimiter: byte(statement, "delimiter")?.unwrap_or(if csv { b',' } else { b'\t' }),
        null: text(statement, "null")?.unwrap_or_else(|| if csv { "" } else { "\\N" }.to_owned()),
        quote,
        escape: byte(statement, "escape")?.unwrap_or(quote),
        header: one(statement, "header")?.is_some_and(|option| truthy(option.arg.as_deref())),
        force_quote: force_quote(statement)?,
    })
}

/// The option of this name; a server takes it once.
fn one<'t>(statement: &'t CopyStmt, name: &str) -> Option<Option<&'t DefElem>> {
    let mut found = options(&statement.options).filter(|option| option.defname == name);
    let first = found.next();
    found.next().is_none().then_some(first)
}

fn text(statement: &CopyStmt, name: &str) -> Option<Option<String>> {
    match one(statement, name)? {
        None => Some(None),
        Some(option) => constant(option.arg.as_deref()).map(|text| Some(text.to_owned())),
    }
}

fn word(statement: &CopyStmt, name: &str) -> Option<Option<String>> {
    Some(text(statement, name)?.map(|text| text.to_ascii_lowercase()))
}

fn byte(statement: &CopyStmt, name: &str) -> Option<Option<u8>> {
    match text(statement, name)? {
        None => Some(None),
        Some(text) => match text.as_bytes() {
            [byte] => Some(Some(*byte)),
            _ => None,
        },
    }
}

fn force_quote(statement: &CopyStmt) -> Option<ForceQuote> {
    let Some(option) = one(statement, "force_quote")? else { return Some(ForceQuote::None) };
    match option.arg.as_ref().and_then(|arg| arg.node.as_ref())? {
        NodeEnum::AStar(_) => Some(ForceQuote::All),
        NodeEnum::List(list) => {
            let columns = names::strings(&list.items)?;
            Some(ForceQuote::Columns(columns.into_iter().map(Name::canonical).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::{CopyFormat, CopyOptions, Dialect, ForceQuote, Limits, Scope};
    use portcullis_model::Name;

    fn read(text: &str) -> Option<CopyOptions> {
        let reading = crate::read(text, Dialect::Postgres, &Scope::unknown(), &Limits::default());
        assert_eq!((reading.statements.len(), &reading.fault), (1, &None), "{text}");
        reading.statements[0].copy_options.clone()
    }

    #[test]
    fn options_are_read_in_both_spellings() {
        let csv = read("COPY t TO STDOUT WITH (FORMAT csv, HEADER, FORCE_QUOTE *)").unwrap();
        assert_eq!((csv.format, csv.delimiter, csv.null.as_str()), (CopyFormat::Csv, b',', ""));
        assert!(csv.header && csv.force_quote == ForceQuote::All && csv.escape == b'"');
        let old = "COPY t (email) TO STDOUT WITH DELIMITER '|' NULL AS 'x' CSV HEADER QUOTE AS '~' FORCE QUOTE email";
        let old = read(old).unwrap();
        assert_eq!((old.format, old.delimiter, old.null.as_str()), (CopyFormat::Csv, b'|', "x"));
        assert_eq!((old.quote, old.escape), (b'~', b'~'));
        assert_eq!(old.force_quote, ForceQuote::Columns(vec![Name::canonical("email")]));
        assert_eq!(read("COPY t TO STDOUT (FORMAT BINARY)").unwrap().format, CopyFormat::Binary);
        assert_eq!(read("COPY BINARY t TO STDOUT").unwrap().format, CopyFormat::Binary);
        let plain = read("COPY t TO STDOUT").unwrap();
        assert_eq!((plain.format, plain.delimiter, plain.null.as_str()), (CopyFormat::Text, b'\t', "\\N"));
        assert!(!read("COPY t TO STDOUT (FORMAT csv, HEADER off)").unwrap().header);
        assert_eq!(read("COPY t TO STDOUT (NULL U&'\\0041')").unwrap().null, "A");
    }

    #[test]
    fn what_is_not_understood_gives_no_options() {
        for text in [
            "COPY t TO STDOUT (FORMAT parquet)",
            "COPY t TO STDOUT (ENCODING 'LATIN1')",
            "COPY t TO STDOUT (DELIMITER 'ab')",
            "COPY t TO STDOUT (DELIMITER '|', DELIMITER ';')",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("COPY t FROM STDIN"), None);
        assert_eq!(read("SELECT 1"), None);
    }
}
