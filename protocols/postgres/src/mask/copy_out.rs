//! What COPY … TO STDOUT sends, with the values of protected columns replaced: text, CSV and binary.
//!
//! Promises: where CopyData messages begin and end changes nothing; a row is understood once it is whole and leaves whole.
//! Columns that are not masked leave byte for byte. Only what the server writes is understood, and strictly: another number
//! of columns, a quote in the middle of a field, anything behind the end is [`BadCopy`], and no byte of that row is in
//! the output. The server sends one row in one CopyData and clients count on it; who pushes one message and frames what
//! came out as one message keeps that.
//! In text format a value may look like NULL where the statement chose what stands for NULL (`NULL '123-45-6789'` makes
//! that a question about the value), so there a protected column's NULLs are treated as values.
//!
//! Does not promise that the options are those of the statement: they come from its reader, which also refuses an
//! ENCODING other than UTF8. A header line that the options announce is passed on. Held by: `copy_out/tests.rs` and
//! [`super::fuzz_mask_copy`].

use super::value::{Masked, mask};
use super::{LONGEST_ROW, Mask};

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
    /// A row longer than [`LONGEST_ROW`].
    #[error("a row of COPY data that is too long to be masked")]
    TooLong,
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
    columns: Columns,
    scan: Scan,
    /// What arrived of a row that is not whole.
    pending: Vec<u8>,
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

/// Looks for the end of a row, or of a header, and remembers how far it looked.
enum Scan {
    Binary(binary::Scan),
    Csv(csv::Scan),
    Text(text::Scan),
}

impl CopyRewriter {
    /// For the data of one COPY with these options and exactly these columns.
    ///
    /// # Errors
    /// [`BadCopy::Options`].
    pub(crate) fn new(options: CopyOptions, columns: Vec<CopyColumn>) -> Result<Self, BadCopy> {
        if !options.are_possible() {
            return Err(BadCopy::Options);
        }
        let scan = match options.format {
            CopyFormat::Binary => Scan::Binary(binary::Scan::new(columns.len())),
            CopyFormat::Csv => Scan::Csv(csv::Scan::new(&options)),
            CopyFormat::Text => Scan::Text(text::Scan::default()),
        };
        let has_header = options.header || options.format == CopyFormat::Binary;
        let stage = if has_header { Stage::Header } else { Stage::Rows };
        let masked = vec![0; columns.len()];
        Ok(Self { options, columns: Columns { columns, masked }, scan, pending: Vec::new(), stage })
    }

    /// How many values of each column were replaced so far. For the record.
    pub(crate) fn masked(&self) -> &[u64] {
        &self.columns.masked
    }

    /// Takes the body of the next CopyData and appends the rows that are whole, masked.
    ///
    /// # Errors
    /// [`BadCopy`], now and for whatever comes; whole rows before the bad one are in `out`.
    pub(crate) fn push(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), BadCopy> {
        if let Stage::Broken(error) = self.stage {
            return Err(error);
        }
        let mut gathered = std::mem::take(&mut self.pending);
        let result = if gathered.is_empty() {
            self.rows(data, out).map(|taken| self.pending.extend_from_slice(data.get(taken..).unwrap_or_default()))
        } else {
            gathered.extend_from_slice(data);
            self.rows(&gathered, out).map(|taken| {
                gathered.drain(..taken);
                self.pending = gathered;
            })
        };
        let result = result.and(if self.pending.len() > LONGEST_ROW { Err(BadCopy::TooLong) } else { Ok(()) });
        if let Err(error) = result {
            self.stage = Stage::Broken(error);
            self.pending = Vec::new();
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
            Stage::Rows if self.options.format == CopyFormat::Binary => Err(BadCopy::Malformed),
            // No row and no header: nothing was sent.
            Stage::Header if self.options.format != CopyFormat::Binary && self.pending.is_empty() => Ok(()),
            Stage::Header => Err(BadCopy::Malformed),
            Stage::Ended | Stage::Rows => {
                if self.pending.is_empty() {
                    Ok(())
                } else {
                    Err(BadCopy::Malformed)
                }
            }
        }
    }

    /// Rewrites the whole rows at the front; how many bytes they take.
    fn rows(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<usize, BadCopy> {
        let mut taken = 0;
        loop {
            let rest = data.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(taken);
            }
            if self.stage == Stage::Ended {
                return Err(BadCopy::Malformed);
            }
            let end = match &mut self.scan {
                Scan::Binary(scan) => scan.end(rest, self.stage == Stage::Header)?,
                Scan::Csv(scan) => scan.end(rest),
                Scan::Text(scan) => scan.end(rest),
            };
            let Some(row) = end.and_then(|end| rest.get(..end)) else { return Ok(taken) };
            taken += row.len();
            let start = out.len();
            if let Err(error) = self.row(row, out) {
                out.truncate(start);
                return Err(error);
            }
        }
    }

    /// One row, header or end mark, its line end included.
    fn row(&mut self, row: &[u8], out: &mut Vec<u8>) -> Result<(), BadCopy> {
        let is_header = self.stage == Stage::Header;
        let is_end = match self.options.format {
            CopyFormat::Binary if is_header => {
                out.extend_from_slice(row);
                false
            }
            CopyFormat::Binary => binary::row(row, &mut self.columns, out)?,
            CopyFormat::Csv => {
                csv::row(row, &self.options, &mut self.columns, is_header, out)?;
                false
            }
            CopyFormat::Text => text::row(row, &self.options, &mut self.columns, is_header, out)?,
        };
        self.stage = if is_end { Stage::Ended } else { Stage::Rows };
        Ok(())
    }
}

/// The columns, and what was replaced in them.
struct Columns {
    columns: Vec<CopyColumn>,
    masked: Vec<u64>,
}

impl Columns {
    /// What treats this column's values. A row with more columns than the COPY is bad.
    fn at(&self, column: usize) -> Result<Option<&CopyColumn>, BadCopy> {
        let column = self.columns.get(column).ok_or(BadCopy::Columns)?;
        Ok(column.mask.is_some().then_some(column))
    }

    /// What becomes of a value that is not NULL.
    fn mask(&mut self, column: usize, value: &[u8], binary: bool) -> Masked {
        let Some(CopyColumn { mask: Some(with), type_oid }) = self.columns.get(column) else { return Masked::Null };
        let masked = mask(value, *type_oid, binary, with.as_ref());
        if masked != Masked::Keep
            && let Some(count) = self.masked.get_mut(column)
        {
            *count += 1;
        }
        masked
    }

    /// A row had this many columns. A COPY of none has rows of one empty field.
    fn check(&self, seen: usize) -> Result<(), BadCopy> {
        if seen == self.columns.len() { Ok(()) } else { Err(BadCopy::Columns) }
    }
}
