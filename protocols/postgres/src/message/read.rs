//! The cursor that all decoders share: every step is checked, and the end must be reached.
//!
//! Held by: `message/tests.rs`, which cuts and stretches every kind of message at every byte.

use super::{NAME_LIMIT, RESERVED_PREFIX};

/// Why a body is not the message its tag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A count, code or length has a value it cannot have.
    #[error("invalid {0} in message")]
    Invalid(&'static str),
    /// A name is longer than PostgreSQL keeps, and would name something else after truncation.
    #[error("the name of a prepared statement or portal is longer than 63 bytes")]
    NameTooLong,
    /// A name is not ASCII where the server keeps names in another encoding, and may then name something else.
    #[error("the names of prepared statements and portals must be ASCII where the database is not in UTF8")]
    ForeignName,
    /// A name begins like those the gateway uses for itself.
    #[error("names of prepared statements and portals must not begin with \"gw$\"")]
    ReservedName,
    /// The body ends too early: a string without its NUL, or fewer bytes than announced.
    #[error("insufficient data left in message")]
    Short,
    /// Text is not valid UTF-8.
    #[error("invalid byte sequence for encoding \"UTF8\"")]
    Text,
    /// Bytes are left after the message.
    #[error("invalid message format")]
    Trailing,
    /// The tag is of no message of this side.
    #[error("unknown message type")]
    Unknown,
}

impl DecodeError {
    /// Whether the session must end. If not, the frame is refused and the next one is read.
    #[must_use]
    pub const fn is_fatal(self) -> bool {
        match self {
            Self::ForeignName | Self::NameTooLong | Self::ReservedName | Self::Text => false,
            Self::Invalid(_) | Self::Short | Self::Trailing | Self::Unknown => true,
        }
    }

    /// The SQLSTATE a client is told.
    #[must_use]
    pub const fn sqlstate(self) -> &'static str {
        match self {
            Self::Text => "22021",
            Self::ForeignName => "42602",
            Self::NameTooLong => "42622",
            Self::ReservedName => "42939",
            Self::Invalid(_) | Self::Short | Self::Trailing | Self::Unknown => "08P01",
        }
    }
}

/// A position in a body.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The message ends here.
    pub(super) const fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(u8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    /// A count: the protocol's Int16, which the server reads as unsigned.
    pub(super) fn count(&mut self) -> Result<usize, DecodeError> {
        self.array().map(|bytes| usize::from(u16::from_be_bytes(bytes)))
    }

    pub(super) fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A string, whatever its encoding, without its NUL.
    pub(super) fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        let at = memchr::memchr(0, self.rest).ok_or(DecodeError::Short)?;
        let string = self.take(at)?;
        self.take(1)?;
        Ok(string)
    }

    /// A value behind its length; -1 is NULL.
    pub(super) fn value(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| DecodeError::Invalid("value length"))?;
                self.take(length).map(Some)
            }
        }
    }
}

/// Strings of a message whose shape is already known to be right: encoding errors come after structural ones, so that
/// a malformed message always ends the session.
pub(super) fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::Text)
}

/// A client's name for a statement or portal.
pub(super) fn name(bytes: &[u8]) -> Result<&str, DecodeError> {
    if bytes.len() > NAME_LIMIT {
        return Err(DecodeError::NameTooLong);
    }
    let name = text(bytes)?;
    if name.starts_with(RESERVED_PREFIX) { Err(DecodeError::ReservedName) } else { Ok(name) }
}
