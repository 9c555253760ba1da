//! What clients send, read from one frame's body.
//!
//! Structure is checked first and completely, then names and text, so that a malformed message always ends the session
//! and an unacceptable one never does. All values borrow the frame.
//! Held by: `message/tests.rs`.

use super::read::{DecodeError, Reader, name, text};

/// A message from a client in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMessage<'a> {
    /// 'B'
    Bind {
        /// The portal made; empty is the unnamed one.
        portal: &'a str,
        /// The statement bound.
        statement: &'a str,
        /// The parameters.
        params: Params<'a>,
        /// The formats wanted for the result's columns.
        results: Formats<'a>,
    },
    /// 'C'
    Close(Target<'a>),
    /// 'd'
    CopyData(&'a [u8]),
    /// 'c'
    CopyDone,
    /// 'f', with the reason given
    CopyFail(&'a str),
    /// 'D'
    Describe(Target<'a>),
    /// 'E'
    Execute {
        /// The portal run.
        portal: &'a str,
        /// The most rows wanted; zero or less is all.
        max_rows: i32,
    },
    /// 'H'
    Flush,
    /// 'F', which is always refused: it runs a function that no text names.
    FunctionCall {
        /// The function's OID.
        function: u32,
    },
    /// 'P'
    Parse {
        /// The statement made; empty is the unnamed one.
        statement: &'a str,
        /// Its text.
        sql: &'a str,
        /// Parameter type OIDs, big-endian, four bytes each; zero leaves the choice to the server.
        types: &'a [u8],
    },
    /// 'Q', with its text
    Query(&'a str),
    /// 'S'
    Sync,
    /// 'X'
    Terminate,
}

/// What Describe and Close name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// 'P'
    Portal(&'a str),
    /// 'S'
    Statement(&'a str),
}

impl<'a> ClientMessage<'a> {
    /// Reads the body of a frame with this tag.
    ///
    /// # Errors
    /// [`DecodeError`]; its [`DecodeError::is_fatal`] says whether the session can live on.
    pub fn decode(tag: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let empty = |message| reader.end().map(|()| message);
        match tag {
            b'B' => bind(reader),
            b'C' => target(reader).map(Self::Close),
            b'D' => target(reader).map(Self::Describe),
            b'E' => {
                let portal = reader.string()?;
                let max_rows = reader.i32()?;
                reader.end()?;
                Ok(Self::Execute { portal: name(portal)?, max_rows })
            }
            b'F' => function_call(reader),
            b'H' => empty(Self::Flush),
            b'P' => parse(reader),
            b'Q' => {
                let sql = reader.string()?;
                reader.end()?;
                Ok(Self::Query(text(sql)?))
            }
            b'S' => empty(Self::Sync),
            b'X' => empty(Self::Terminate),
            b'c' => empty(Self::CopyDone),
            b'd' => Ok(Self::CopyData(body)),
            b'f' => {
                let reason = reader.string()?;
                reader.end()?;
                Ok(Self::CopyFail(text(reason)?))
            }
            _ => Err(DecodeError::Unknown),
        }
    }

    /// Touches everything, for the fuzzer; the sum of the lengths of what there is.
    pub(super) fn walk(&self) -> usize {
        match self {
            Self::Bind { portal, statement, params, results } => {
                let values: usize = params.iter().flatten().map(<[u8]>::len).sum();
                let formats = (0..params.len()).filter(|at| params.is_binary(*at)).count();
                portal.len() + statement.len() + values + formats.min(1) + results.codes.len()
            }
            Self::Close(Target::Portal(name) | Target::Statement(name))
            | Self::Describe(Target::Portal(name) | Target::Statement(name)) => name.len(),
            Self::CopyData(data) => data.len(),
            Self::CopyFail(text) | Self::Query(text) => text.len(),
            Self::Execute { portal, .. } => portal.len(),
            Self::Parse { statement, sql, types } => statement.len() + sql.len() + types.len(),
            Self::CopyDone | Self::Flush | Self::FunctionCall { .. } | Self::Sync | Self::Terminate => 0,
        }
    }
}

/// Parameter type OIDs of a Parse, in order.
pub(crate) fn parameter_types(types: &[u8]) -> impl Iterator<Item = u32> + '_ {
    types.as_chunks::<4>().0.iter().map(|oid| u32::from_be_bytes(*oid))
}

fn target(mut reader: Reader<'_>) -> Result<Target<'_>, DecodeError> {
    let kind = reader.u8()?;
    let named = reader.string()?;
    reader.end()?;
    match kind {
        b'P' => name(named).map(Target::Portal),
        b'S' => name(named).map(Target::Statement),
        _ => Err(DecodeError::Invalid("subtype")),
    }
}

fn parse(mut reader: Reader<'_>) -> Result<ClientMessage<'_>, DecodeError> {
    let statement = reader.string()?;
    let sql = reader.string()?;
    let count = reader.count()?;
    let types = reader.take(count * 4)?;
    reader.end()?;
    Ok(ClientMessage::Parse { statement: name(statement)?, sql: text(sql)?, types })
}

fn bind(mut reader: Reader<'_>) -> Result<ClientMessage<'_>, DecodeError> {
    let portal = reader.string()?;
    let statement = reader.string()?;
    let formats = Formats::read(&mut reader)?;
    let params = Params::read(&mut reader, formats)?;
    let results = Formats::read(&mut reader)?;
    reader.end()?;
    Ok(ClientMessage::Bind { portal: name(portal)?, statement: name(statement)?, params, results })
}

fn function_call(mut reader: Reader<'_>) -> Result<ClientMessage<'_>, DecodeError> {
    let function = reader.u32()?;
    let formats = Formats::read(&mut reader)?;
    Params::read(&mut reader, formats)?;
    reader.i16()?;
    reader.end()?;
    Ok(ClientMessage::FunctionCall { function })
}

/// Format codes: none is text for all, one is for all, else one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats<'a> {
    /// Two bytes each, zero or one.
    codes: &'a [u8],
}

impl<'a> Formats<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = reader.count()?;
        let codes = reader.take(count * 2)?;
        if codes.as_chunks::<2>().0.iter().any(|code| !matches!(code, [0, 0 | 1])) {
            return Err(DecodeError::Invalid("format code"));
        }
        Ok(Self { codes })
    }

    /// How many codes were given.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.codes.len() / 2
    }

    /// Whether none was given, so that everything is text.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// Whether the value at `index` is binary.
    #[must_use]
    pub fn is_binary(&self, index: usize) -> bool {
        let index = if self.len() == 1 { 0 } else { index };
        matches!(self.codes.as_chunks::<2>().0.get(index), Some([_, 1]))
    }

    /// Whether any value is binary.
    #[must_use]
    pub fn any_binary(&self) -> bool {
        self.codes.contains(&1)
    }
}

/// The parameters of a Bind, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params<'a> {
    values: &'a [u8],
    count: usize,
    formats: Formats<'a>,
}

impl<'a> Params<'a> {
    fn read(reader: &mut Reader<'a>, formats: Formats<'a>) -> Result<Self, DecodeError> {
        let count = reader.count()?;
        if formats.len() > 1 && formats.len() != count {
            return Err(DecodeError::Invalid("number of parameter formats"));
        }
        let before = reader.rest();
        for _ in 0..count {
            reader.value()?;
        }
        let values = before.get(..before.len() - reader.rest().len()).unwrap_or_default();
        Ok(Self { values, count, formats })
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the parameter at `index` is in binary form.
    #[must_use]
    pub fn is_binary(&self, index: usize) -> bool {
        self.formats.is_binary(index)
    }

    /// The values in order; none is NULL.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let mut reader = Reader::new(self.values);
        // They were read once before, so they can be read again.
        (0..self.count).map_while(move |_| reader.value().ok())
    }
}

/// Reads the body of a password message: one string.
///
/// # Errors
/// [`DecodeError`] when it is anything else.
pub fn password(body: &[u8]) -> Result<&str, DecodeError> {
    let mut reader = Reader::new(body);
    let password = reader.string()?;
    reader.end()?;
    text(password)
}

/// Reads the body of a SASLInitialResponse: the mechanism, and its first message where that came along.
///
/// # Errors
/// [`DecodeError`] when it is anything else.
pub fn sasl_initial(body: &[u8]) -> Result<(&str, Option<&[u8]>), DecodeError> {
    let mut reader = Reader::new(body);
    let mechanism = reader.string()?;
    let message = reader.value()?;
    reader.end()?;
    Ok((text(mechanism)?, message))
}
