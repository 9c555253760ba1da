//! What COPY … TO STDOUT sends, with the values of protected columns replaced: text, CSV and binary.
//!
//! Promises: where CopyData messages begin and end changes nothing; a row leaves whole, and of what came of it only what
//! leaves is kept until then (`sieve.rs`). Columns that are not masked leave byte for byte. Only what the server writes is
//! understood, and strictly: another number of columns, a quote in the middle of a field, anything behind the end is
//! [`BadCopy`], and no byte of that row is in the output. The server sends one row in one CopyData and clients count on
//! it; who pushes one message and frames what came out as one message keeps that.
//! In text format a value may look like NULL where the statement chose what stands for NULL (`NULL '123-45-6789'` makes
//! that a question about the value), so there a protected column's NULLs are treated as values.
//!
//! Does not promise that the options are those of the statement: they come from its reader, which also refuses an
//! ENCODING other than UTF8. A header line that the options announce is passed on. Held by: `copy_out/tests.rs` and
//! [`super::fuzz_mask_copy`].

use super::Mask;
use super::row::{Plan, PlannedColumn};
use super::sieve::{Bounds, Sieve, Unfit};

mod binary;
mod csv;
#[cfg(test)]
mod tests;
mod text;

/// The form of a COPY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CopyFormat {
    Binary,
    Csv,
    #[default]
    Text,
}

/// Which columns have their values in quotes whatever they are (CSV).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ForceQuote {
    All,
    /// The columns with these places in the COPY, from 0.
    Columns(Vec<usize>),
    #[default]
    None,
}

impl ForceQuote {
    fn includes(&self, column: usize) -> bool {
        match self {
            Self::All => true,
            Self::Columns(columns) => columns.contains(&column),
            Self::None => false,
        }
    }
}

/// The options of a COPY statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopyOptions {
    pub(crate) format: CopyFormat,
    pub(crate) delimiter: u8,
    /// What stands for NULL.
    pub(crate) null: String,
    pub(crate) quote: u8,
    pub(crate) escape: u8,
    /// Whether the first line is the names of the columns.
    pub(crate) header: bool,
    pub(crate) force_quote: ForceQuote,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            format: CopyFormat::Text,
            delimiter: b'\t',
            null: "\\N".to_owned(),
            quote: b'"',
            escape: b'"',
            header: false,
            force_quote: ForceQuote::None,
        }
    }
}

impl CopyOptions {
    /// `FORMAT csv`, whose defaults are others.
    pub(crate) fn csv() -> Self {
        Self { format: CopyFormat::Csv, delimiter: b',', null: String::new(), ..Self::default() }
    }

    /// `FORMAT binary`.
    pub(crate) fn binary() -> Self {
        Self { format: CopyFormat::Binary, ..Self::default() }
    }

    /// Whether the server would take them; with others it is not known what it writes.
    fn are_possible(&self) -> bool {
        let single = |byte: u8| byte.is_ascii() && !matches!(byte, 0 | b'\n' | b'\r');
        let null = self.null.as_bytes();
        let in_lines = single(self.delimiter) && !null.iter().any(|byte| !single(*byte) && byte.is_ascii());
        let in_fields = in_lines && !null.contains(&self.delimiter);
        match self.format {
            CopyFormat::Binary => !self.header,
            CopyFormat::Csv => {
                let quotes = single(self.quote) && single(self.escape) && self.quote != self.delimiter;
                in_fields && quotes && !null.contains(&self.quote)
            }
            // Not what an escape could mean.
            CopyFormat::Text => {
                let is_plain = matches!(self.delimiter, b'\\' | b'.' | b'a'..=b'z' | b'0'..=b'9');
                in_fields && !is_plain
            }
        }
    }
}

/// Why COPY data cannot be masked. Each ends the statement, and the session where the server cannot be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadCopy {
    /// The row has another number of columns than the COPY.
    #[error("a row of COPY data with another number of columns than the COPY")]
    Columns,
    /// Not the format that the statement asked for.
    #[error("malformed COPY data")]
    Malformed,
    /// Options that no server takes.
    #[error("options of COPY that exclude each other")]
    Options,
    /// More would leave of a row than [`Bounds::row`].
    #[error("a row of COPY data that is too long to be masked")]
    TooLong,
}

impl From<Unfit> for BadCopy {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Malformed => Self::Malformed,
            Unfit::TooLong => Self::TooLong,
        }
    }
}

/// One column of a COPY.
#[derive(Clone)]
pub(crate) struct CopyColumn {
    /// What treats its values, if anything does.
    pub(crate) mask: Option<Mask>,
    /// Its type.
    pub(crate) type_oid: u32,
}

/// Rewrites the data of one COPY … TO STDOUT.
pub(crate) struct CopyRewriter {
    options: CopyOptions,
    sieve: Sieve,
    reader: Reader,
    /// Whether anything came of a row, or of a header, that has not ended.
    begun: bool,
    stage: Stage,
}

/// Where the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Something was wrong. Nothing more comes out.
    Broken(BadCopy),
    /// The end mark came.
    Ended,
    /// The header comes next.
    Header,
    Rows,
}

/// Finds values and the ends of rows.
enum Reader {
    Binary(binary::Reader),
    Csv(csv::Reader),
    Text(text::Reader),
}

/// What ended with the bytes that a reader took, which else took all there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// A row, or the header.
    Row,
    /// The data.
    Data,
}

/// What a reader took of a row: so many bytes, and what ended there.
type Taken = Result<(usize, Option<Ended>), BadCopy>;

impl CopyRewriter {
    /// For the data of one COPY with these options and exactly these columns.
    ///
    /// # Errors
    /// [`BadCopy::Options`].
    pub(crate) fn new(options: CopyOptions, columns: Vec<CopyColumn>) -> Result<Self, BadCopy> {
        Self::within(options, columns, Bounds::default())
    }

    /// The same within other bounds.
    pub(crate) fn within(options: CopyOptions, columns: Vec<CopyColumn>, bounds: Bounds) -> Result<Self, BadCopy> {
        if !options.are_possible() {
            return Err(BadCopy::Options);
        }
        let reader = match options.format {
            CopyFormat::Binary => Reader::Binary(binary::Reader::default()),
            CopyFormat::Csv => Reader::Csv(csv::Reader::default()),
            CopyFormat::Text => Reader::Text(text::Reader::default()),
        };
        let binary = options.format == CopyFormat::Binary;
        let stage = if options.header || binary { Stage::Header } else { Stage::Rows };
        let planned = |CopyColumn { mask, type_oid }: CopyColumn| PlannedColumn { mask, type_oid, binary };
        let sieve = Sieve::new(Plan::new(columns.into_iter().map(planned)), bounds);
        Ok(Self { options, sieve, reader, begun: false, stage })
    }

    /// How many values of each column were replaced so far. For the record.
    pub(crate) fn masked(&self) -> &[u64] {
        &self.sieve.masked
    }

    /// Takes the body of the next CopyData and appends the rows that are whole, masked.
    ///
    /// # Errors
    /// [`BadCopy`], now and for whatever comes; whole rows before the bad one are in `out`.
    pub(crate) fn push(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), BadCopy> {
        if let Stage::Broken(error) = self.stage {
            return Err(error);
        }
        let result = self.rows(data, out);
        if let Err(error) = result {
            self.stage = Stage::Broken(error);
            self.sieve.clear();
        }
        result
    }

    /// CopyDone came: whether the data was whole. Not for a COPY that ended in an error.
    ///
    /// # Errors
    /// [`BadCopy::Malformed`] if a row, or the end of binary data, is missing.
    pub(crate) fn finish(self) -> Result<(), BadCopy> {
        match self.stage {
            Stage::Broken(error) => Err(error),
            Stage::Ended => Ok(()),
            // No row and no header: nothing was sent.
            Stage::Header | Stage::Rows if self.options.format != CopyFormat::Binary && !self.begun => Ok(()),
            Stage::Header | Stage::Rows => Err(BadCopy::Malformed),
        }
    }

    /// Rewrites what is there.
    fn rows(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), BadCopy> {
        let mut rest = data;
        while !rest.is_empty() {
            let is_header = match self.stage {
                Stage::Broken(error) => return Err(error),
                Stage::Ended => return Err(BadCopy::Malformed),
                Stage::Header => true,
                Stage::Rows => false,
            };
            self.begun = true;
            let (taken, ended) = match &mut self.reader {
                Reader::Binary(reader) => reader.take(rest, is_header, &mut self.sieve, out)?,
                Reader::Csv(reader) => reader.take(rest, &self.options, is_header, &mut self.sieve, out)?,
                Reader::Text(reader) => reader.take(rest, &self.options, is_header, &mut self.sieve, out)?,
            };
            let Some(ended) = ended else { return Ok(()) };
            self.begun = false;
            self.stage = match ended {
                Ended::Row => Stage::Rows,
                Ended::Data => Stage::Ended,
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }
}

/// A row in lines has ended: it leaves if it has a value for each column.
fn line_ends(sieve: &mut Sieve, out: &mut Vec<u8>) -> Result<(), BadCopy> {
    if !sieve.is_whole() {
        return Err(BadCopy::Columns);
    }
    sieve.show(b"\n")?;
    sieve.leave(out);
    Ok(())
}
