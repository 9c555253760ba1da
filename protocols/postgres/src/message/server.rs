//! What servers send, read from one frame's body. A server is not trusted either: it may be old, broken or hostile.
//!
//! Text stays bytes where a server may send another encoding than UTF-8 (errors before login, databases in
//! `SQL_ASCII`). [`DataRow`] checks cells while they are walked, since most rows are never walked.
//! Held by: `message/tests.rs`.

use super::client::Formats;
use super::read::{DecodeError, Reader, text};
use std::borrow::Cow;

/// A message from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage<'a> {
    /// 'R'
    Authentication(Authentication<'a>),
    /// 'K'
    BackendKeyData {
        /// The server's process.
        pid: i32,
        /// What a cancel request must show, 4 to 256 bytes.
        secret: &'a [u8],
    },
    /// '2'
    BindComplete,
    /// '3'
    CloseComplete,
    /// 'C', with the command's tag
    CommandComplete(&'a str),
    /// 'd'
    CopyData(&'a [u8]),
    /// 'c'
    CopyDone,
    /// 'G'
    CopyIn {
        /// Whether the whole is in binary form.
        binary: bool,
        /// The columns' formats.
        columns: Formats<'a>,
    },
    /// 'H'
    CopyOut {
        /// Whether the whole is in binary form.
        binary: bool,
        /// The columns' formats.
        columns: Formats<'a>,
    },
    /// 'D'
    DataRow(DataRow<'a>),
    /// 'I'
    EmptyQuery,
    /// 'E'
    Error(Fields<'a>),
    /// 'v'
    NegotiateProtocolVersion {
        /// The newest version the server speaks, as in a startup message.
        version: u32,
        /// The options it does not know.
        options: Vec<&'a str>,
    },
    /// 'n'
    NoData,
    /// 'N'
    Notice(Fields<'a>),
    /// 'A'
    Notification {
        /// The process that notified.
        pid: i32,
        /// The channel.
        channel: &'a [u8],
        /// The payload.
        payload: &'a [u8],
    },
    /// 't': type OIDs
    ParameterDescription(Vec<u32>),
    /// 'S'
    ParameterStatus {
        /// The setting.
        name: &'a str,
        /// Its value.
        value: &'a [u8],
    },
    /// '1'
    ParseComplete,
    /// 's'
    PortalSuspended,
    /// 'Z'
    ReadyForQuery(TransactionStatus),
    /// 'T'
    RowDescription(Vec<Column<'a>>),
}

/// What a server says in words.
#[derive(Clone, Copy, Debug)]
pub enum Said<'m, 'a> {
    /// An error.
    Error(&'m Fields<'a>),
    /// A notice.
    Notice(&'m Fields<'a>),
    /// What some session notified.
    Notification {
        /// The process that notified.
        pid: i32,
        /// The channel.
        channel: &'a [u8],
        /// The payload.
        payload: &'a [u8],
    },
}

impl<'a> ServerMessage<'a> {
    /// What the message says in words, if it does.
    #[must_use]
    pub const fn said(&self) -> Option<Said<'_, 'a>> {
        match self {
            Self::Error(fields) => Some(Said::Error(fields)),
            Self::Notice(fields) => Some(Said::Notice(fields)),
            Self::Notification { pid, channel, payload } => Some(Said::Notification { pid: *pid, channel, payload }),
            Self::Authentication(_)
            | Self::BackendKeyData { .. }
            | Self::BindComplete
            | Self::CloseComplete
            | Self::CommandComplete(_)
            | Self::CopyData(_)
            | Self::CopyDone
            | Self::CopyIn { .. }
            | Self::CopyOut { .. }
            | Self::DataRow(_)
            | Self::EmptyQuery
            | Self::NegotiateProtocolVersion { .. }
            | Self::NoData
            | Self::ParameterDescription(_)
            | Self::ParameterStatus { .. }
            | Self::ParseComplete
            | Self::PortalSuspended
            | Self::ReadyForQuery(_)
            | Self::RowDescription(_) => None,
        }
    }
}

/// What a server wants for authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// 3
    CleartextPassword,
    /// 5, with the salt
    Md5Password([u8; 4]),
    /// 0
    Ok,
    /// Any other code, such as GSS or SSPI
    Other(i32),
    /// 10, with the mechanisms offered
    Sasl(Vec<&'a str>),
    /// 11
    SaslContinue(&'a [u8]),
    /// 12
    SaslFinal(&'a [u8]),
}

/// Whether a transaction is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// 'E': open and failed; only its end is accepted.
    Failed,
    /// 'I'
    Idle,
    /// 'T'
    Open,
}

impl TransactionStatus {
    /// The protocol's letter.
    #[must_use]
    pub const fn letter(self) -> u8 {
        match self {
            Self::Failed => b'E',
            Self::Idle => b'I',
            Self::Open => b'T',
        }
    }
}

/// One column of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// Its name in the result.
    pub name: &'a [u8],
    /// The relation it comes from, or zero.
    pub relation: u32,
    /// Its attribute number there; zero with a relation is the whole row.
    pub attribute: i16,
    /// Its type.
    pub type_oid: u32,
    /// The type's size, negative if variable.
    pub type_size: i16,
    /// The type's modifier.
    pub type_modifier: i32,
    /// Whether values come in binary form.
    pub binary: bool,
}

/// One field of an error or notice: its code and its text.
pub type Field<'a> = (u8, &'a [u8]);

/// The fields of an error or notice, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields<'a>(Vec<Field<'a>>);

impl<'a> Fields<'a> {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Field<'a>> + '_ {
        self.0.iter().copied()
    }

    /// The text of the first field with this code.
    #[must_use]
    pub fn get(&self, code: u8) -> Option<&'a [u8]> {
        self.0.iter().find(|(found, _)| *found == code).map(|(_, text)| *text)
    }

    /// The same, readable; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self, code: u8) -> Cow<'a, str> {
        String::from_utf8_lossy(self.get(code).unwrap_or_default())
    }

    /// Whether it ends the session: severity FATAL or PANIC, from the field that is never translated.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self.get(b'V').or_else(|| self.get(b'S')), Some(b"FATAL" | b"PANIC"))
    }
}

/// A row whose cells are read on demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataRow<'a> {
    cells: &'a [u8],
    count: usize,
}

impl<'a> DataRow<'a> {
    /// Reads the number of cells.
    ///
    /// # Errors
    /// [`DecodeError`] when there is none.
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let count = reader.count()?;
        Ok(Self { cells: reader.rest(), count })
    }

    /// How many cells the row says it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether it says it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The cells in order.
    #[must_use]
    pub const fn cells(&self) -> Cells<'a> {
        Cells { reader: Reader::new(self.cells), left: self.count, ended: false }
    }
}

/// The cells of a row; none is NULL. An error, if there is one, is the last item: a length that lies, or bytes behind
/// the last cell.
#[derive(Clone)]
pub struct Cells<'a> {
    reader: Reader<'a>,
    left: usize,
    ended: bool,
}

impl<'a> Iterator for Cells<'a> {
    type Item = Result<Option<&'a [u8]>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if self.left == 0 {
            self.ended = true;
            return self.reader.end().err().map(Err);
        }
        self.left -= 1;
        let cell = self.reader.value();
        self.ended = cell.is_err();
        Some(cell)
    }
}

impl<'a> ServerMessage<'a> {
    /// Reads the body of a frame with this tag.
    ///
    /// # Errors
    /// [`DecodeError`]; a server that sends such a message is not one to go on with.
    pub fn decode(tag: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        let reader = Reader::new(body);
        let empty = |message| reader.end().map(|()| message);
        match tag {
            b'1' => empty(Self::ParseComplete),
            b'2' => empty(Self::BindComplete),
            b'3' => empty(Self::CloseComplete),
            b'I' => empty(Self::EmptyQuery),
            b'c' => empty(Self::CopyDone),
            b'n' => empty(Self::NoData),
            b's' => empty(Self::PortalSuspended),
            b'A' => notification(reader),
            b'C' => one_string(reader).and_then(text).map(Self::CommandComplete),
            b'D' => DataRow::read(body).map(Self::DataRow),
            b'E' => fields(reader).map(Self::Error),
            b'G' => copy(reader).map(|(binary, columns)| Self::CopyIn { binary, columns }),
            b'H' => copy(reader).map(|(binary, columns)| Self::CopyOut { binary, columns }),
            b'K' => key_data(reader),
            b'N' => fields(reader).map(Self::Notice),
            b'R' => authentication(reader).map(Self::Authentication),
            b'S' => parameter_status(reader),
            b'T' => row_description(reader).map(Self::RowDescription),
            b'Z' => ready(reader).map(Self::ReadyForQuery),
            b'd' => Ok(Self::CopyData(body)),
            b't' => parameter_description(reader).map(Self::ParameterDescription),
            b'v' => negotiate(reader),
            _ => Err(DecodeError::Unknown),
        }
    }

    /// Touches everything, for the fuzzer; the sum of the lengths of what there is.
    pub(super) fn walk(&self) -> usize {
        match self {
            Self::Authentication(Authentication::Sasl(names)) => names.iter().map(|name| name.len()).sum(),
            Self::Authentication(Authentication::SaslContinue(data) | Authentication::SaslFinal(data)) => data.len(),
            Self::BackendKeyData { secret, .. } => secret.len(),
            Self::CommandComplete(tag) => tag.len(),
            Self::CopyData(data) => data.len(),
            Self::CopyIn { columns, .. } | Self::CopyOut { columns, .. } => columns.len(),
            Self::DataRow(row) => row.cells().flatten().flatten().map(<[u8]>::len).sum(),
            Self::Error(fields) | Self::Notice(fields) => fields.iter().map(|(_, text)| text.len()).sum(),
            Self::NegotiateProtocolVersion { options, .. } => options.iter().map(|option| option.len()).sum(),
            Self::Notification { channel, payload, .. } => channel.len() + payload.len(),
            Self::ParameterDescription(types) => types.len(),
            Self::ParameterStatus { name, value } => name.len() + value.len(),
            Self::RowDescription(columns) => columns.iter().map(|column| column.name.len()).sum(),
            Self::Authentication(
                Authentication::CleartextPassword
                | Authentication::Md5Password(_)
                | Authentication::Ok
                | Authentication::Other(_),
            )
            | Self::BindComplete
            | Self::CloseComplete
            | Self::CopyDone
            | Self::EmptyQuery
            | Self::NoData
            | Self::ParseComplete
            | Self::PortalSuspended
            | Self::ReadyForQuery(_) => 0,
        }
    }
}

fn one_string(mut reader: Reader<'_>) -> Result<&[u8], DecodeError> {
    let string = reader.string()?;
    reader.end()?;
    Ok(string)
}

fn notification(mut reader: Reader<'_>) -> Result<ServerMessage<'_>, DecodeError> {
    let pid = reader.i32()?;
    let channel = reader.string()?;
    let payload = reader.string()?;
    reader.end()?;
    Ok(ServerMessage::Notification { pid, channel, payload })
}

fn fields(mut reader: Reader<'_>) -> Result<Fields<'_>, DecodeError> {
    let mut fields = Vec::new();
    loop {
        match reader.u8()? {
            0 => break,
            code => fields.push((code, reader.string()?)),
        }
    }
    reader.end()?;
    Ok(Fields(fields))
}

fn copy(mut reader: Reader<'_>) -> Result<(bool, Formats<'_>), DecodeError> {
    let binary = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(DecodeError::Invalid("COPY format")),
    };
    let columns = Formats::read(&mut reader)?;
    reader.end()?;
    Ok((binary, columns))
}

fn key_data(mut reader: Reader<'_>) -> Result<ServerMessage<'_>, DecodeError> {
    let pid = reader.i32()?;
    let secret = reader.rest();
    if (4..=256).contains(&secret.len()) {
        Ok(ServerMessage::BackendKeyData { pid, secret })
    } else {
        Err(DecodeError::Invalid("cancel key length"))
    }
}

fn authentication(mut reader: Reader<'_>) -> Result<Authentication<'_>, DecodeError> {
    let code = reader.i32()?;
    let wanted = match code {
        0 => Authentication::Ok,
        3 => Authentication::CleartextPassword,
        5 => Authentication::Md5Password(reader.u32()?.to_be_bytes()),
        10 => {
            let mut names = Vec::new();
            loop {
                match reader.string()? {
                    [] => break,
                    name => names.push(text(name)?),
                }
            }
            Authentication::Sasl(names)
        }
        11 => return Ok(Authentication::SaslContinue(reader.rest())),
        12 => return Ok(Authentication::SaslFinal(reader.rest())),
        other => return Ok(Authentication::Other(other)),
    };
    reader.end()?;
    Ok(wanted)
}

fn parameter_status(mut reader: Reader<'_>) -> Result<ServerMessage<'_>, DecodeError> {
    let name = reader.string()?;
    let value = reader.string()?;
    reader.end()?;
    Ok(ServerMessage::ParameterStatus { name: text(name)?, value })
}

fn row_description(mut reader: Reader<'_>) -> Result<Vec<Column<'_>>, DecodeError> {
    /// A name's NUL and the fixed fields behind it.
    const SHORTEST: usize = 19;
    let count = reader.count()?;
    let mut columns = Vec::with_capacity(count.min(reader.rest().len() / SHORTEST));
    for _ in 0..count {
        columns.push(Column {
            name: reader.string()?,
            relation: reader.u32()?,
            attribute: reader.i16()?,
            type_oid: reader.u32()?,
            type_size: reader.i16()?,
            type_modifier: reader.i32()?,
            binary: match reader.i16()? {
                0 => false,
                1 => true,
                _ => return Err(DecodeError::Invalid("format code")),
            },
        });
    }
    reader.end()?;
    Ok(columns)
}

fn ready(mut reader: Reader<'_>) -> Result<TransactionStatus, DecodeError> {
    let status = match reader.u8()? {
        b'E' => TransactionStatus::Failed,
        b'I' => TransactionStatus::Idle,
        b'T' => TransactionStatus::Open,
        _ => return Err(DecodeError::Invalid("transaction status")),
    };
    reader.end()?;
    Ok(status)
}

fn parameter_description(mut reader: Reader<'_>) -> Result<Vec<u32>, DecodeError> {
    let count = reader.count()?;
    let types = reader.take(count * 4)?;
    reader.end()?;
    Ok(super::client::parameter_types(types).collect())
}

fn negotiate(mut reader: Reader<'_>) -> Result<ServerMessage<'_>, DecodeError> {
    let version = reader.u32()?;
    let count = reader.u32()?;
    let mut options = Vec::new();
    for _ in 0..count {
        options.push(text(reader.string()?)?);
    }
    reader.end()?;
    Ok(ServerMessage::NegotiateProtocolVersion { version, options })
}
