//! Just enough of PostgreSQL's protocol 3.0 for tests that must say what no driver says: frames as bytes, the messages a
//! fake server answers with, a client that writes anything and reads frame by frame, and SCRAM for both sides.
//!
//! Promises: what is built is what PostgreSQL's documentation says (chapter 55, "Message Formats"); what is read is cut
//! at the length that the frame states. It is deliberately independent of the gateway's own codec, so that a mistake
//! there cannot hide in both. Does not promise strictness: tests judge what they read.
//! Held by: the unit tests below, and `tests/it/wire.rs` against a real server.

mod client;
mod scram;

pub use client::{Drained, RawClient, outline};
pub(crate) use scram::ServerExchange;
pub use scram::equivalents;

use crate::error::TestkitError;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest frame that is read, in bytes.
const LONGEST: usize = 256 << 20;

/// A frame after start-up: its tag and its body, without the length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The message type.
    pub tag: u8,
    /// What follows the length.
    pub body: Bytes,
}

impl Frame {
    /// Reads one frame; `None` at a clean end.
    ///
    /// # Errors
    /// [`TestkitError::Io`] on a broken connection, [`TestkitError::Protocol`] on an impossible length.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Self>, TestkitError> {
        let mut tag = [0];
        if stream.read(&mut tag).await.map_err(TestkitError::io("read a frame"))? == 0 {
            return Ok(None);
        }
        let [tag] = tag;
        let length = stream.read_u32().await.map_err(TestkitError::io("read a frame"))?;
        Ok(Some(Self { tag, body: read_body(stream, length, 4).await? }))
    }

    /// The frame as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        frame(self.tag, &self.body)
    }

    /// The text of an ErrorResponse's or NoticeResponse's field (`C` code, `M` message, `D`, `H`, `S`).
    #[must_use]
    pub fn field(&self, code: u8) -> Option<String> {
        let mut rest = self.body.clone();
        while rest.has_remaining() {
            let found = rest.get_u8();
            let end = rest.iter().position(|&byte| byte == 0)?;
            let text = rest.split_to(end);
            rest.advance(1);
            if found == code {
                return Some(String::from_utf8_lossy(&text).into_owned());
            }
        }
        None
    }

    /// The columns of a DataRow; `None` is NULL.
    #[must_use]
    pub fn columns(&self) -> Vec<Option<Bytes>> {
        let mut rest = self.body.clone();
        if rest.remaining() < 2 {
            return Vec::new();
        }
        let count = rest.get_u16();
        let mut columns = Vec::new();
        for _column in 0..count {
            if rest.remaining() < 4 {
                break;
            }
            let length = rest.get_i32();
            columns.push(usize::try_from(length).ok().map(|length| rest.split_to(length.min(rest.len()))));
        }
        columns
    }
}

async fn read_body(stream: &mut (impl AsyncRead + Unpin), length: u32, own: usize) -> Result<Bytes, TestkitError> {
    let body = usize::try_from(length).ok().and_then(|length| length.checked_sub(own)).filter(|&body| body <= LONGEST);
    let body = body.ok_or_else(|| TestkitError::Protocol(format!("frame length {length}")))?;
    let mut bytes = BytesMut::zeroed(body);
    stream.read_exact(&mut bytes).await.map_err(TestkitError::io("read a frame"))?;
    Ok(bytes.freeze())
}

/// A frame from its parts.
#[must_use]
pub fn frame(tag: u8, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(body.len() + 5);
    bytes.put_u8(tag);
    bytes.put_u32(u32::try_from(body.len() + 4).unwrap_or(u32::MAX));
    bytes.put_slice(body);
    bytes.freeze()
}

/// A start-up packet of protocol 3.0 with these parameters.
#[must_use]
pub fn startup(parameters: &[(&str, &str)]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u32(0x0003_0000);
    for (name, value) in parameters {
        put_text(&mut body, name);
        put_text(&mut body, value);
    }
    body.put_u8(0);
    untagged(&body)
}

/// A packet without a tag, as sent before and at start-up.
#[must_use]
pub fn untagged(body: &[u8]) -> Bytes {
    frame(0, body).slice(1..)
}

fn put_text(bytes: &mut BytesMut, text: &str) {
    bytes.put_slice(text.as_bytes());
    bytes.put_u8(0);
}

/// What clients send after start-up.
pub mod frontend {
    use super::{Bytes, BytesMut, frame, put_text};
    use bytes::BufMut;

    /// Query.
    #[must_use]
    pub fn query(sql: &str) -> Bytes {
        frame(b'Q', &[sql.as_bytes(), b"\0"].concat())
    }

    /// Parse, without parameter types.
    #[must_use]
    pub fn parse(name: &str, sql: &str) -> Bytes {
        let mut body = BytesMut::new();
        put_text(&mut body, name);
        put_text(&mut body, sql);
        body.put_u16(0);
        frame(b'P', &body)
    }

    /// Bind with parameters in text form (`None` is NULL) and results in text form.
    #[must_use]
    pub fn bind(portal: &str, statement: &str, parameters: &[Option<&str>]) -> Bytes {
        let mut body = BytesMut::new();
        put_text(&mut body, portal);
        put_text(&mut body, statement);
        body.put_u16(0);
        body.put_u16(u16::try_from(parameters.len()).unwrap_or(u16::MAX));
        for parameter in parameters {
            match parameter {
                None => body.put_i32(-1),
                Some(text) => {
                    body.put_i32(i32::try_from(text.len()).unwrap_or(i32::MAX));
                    body.put_slice(text.as_bytes());
                }
            }
        }
        body.put_u16(0);
        frame(b'B', &body)
    }

    /// Describe of a statement (`S`) or portal (`P`).
    #[must_use]
    pub fn describe(kind: u8, name: &str) -> Bytes {
        frame(b'D', &[&[kind], name.as_bytes(), b"\0"].concat())
    }

    /// Execute with a row limit; 0 is none.
    #[must_use]
    pub fn execute(portal: &str, rows: u32) -> Bytes {
        let mut body = BytesMut::new();
        put_text(&mut body, portal);
        body.put_u32(rows);
        frame(b'E', &body)
    }

    /// Close of a statement (`S`) or portal (`P`).
    #[must_use]
    pub fn close(kind: u8, name: &str) -> Bytes {
        frame(b'C', &[&[kind], name.as_bytes(), b"\0"].concat())
    }

    /// Sync.
    #[must_use]
    pub fn sync() -> Bytes {
        frame(b'S', b"")
    }

    /// Flush.
    #[must_use]
    pub fn flush() -> Bytes {
        frame(b'H', b"")
    }

    /// CopyData.
    #[must_use]
    pub fn copy_data(data: &[u8]) -> Bytes {
        frame(b'd', data)
    }

    /// CopyDone.
    #[must_use]
    pub fn copy_done() -> Bytes {
        frame(b'c', b"")
    }

    /// CopyFail.
    #[must_use]
    pub fn copy_fail(reason: &str) -> Bytes {
        frame(b'f', &[reason.as_bytes(), b"\0"].concat())
    }

    /// FunctionCall of `oid` without arguments.
    #[must_use]
    pub fn function_call(oid: u32) -> Bytes {
        let mut body = BytesMut::new();
        body.put_u32(oid);
        body.put_slice(&[0; 6]);
        frame(b'F', &body)
    }

    /// Terminate.
    #[must_use]
    pub fn terminate() -> Bytes {
        frame(b'X', b"")
    }
}

/// What servers answer.
pub mod backend {
    use super::{Bytes, BytesMut, frame, put_text};
    use bytes::BufMut;

    /// ReadyForQuery with a transaction status: `I`, `T` or `E`.
    #[must_use]
    pub fn ready(status: u8) -> Bytes {
        frame(b'Z', &[status])
    }

    /// CommandComplete.
    #[must_use]
    pub fn complete(tag: &str) -> Bytes {
        frame(b'C', &[tag.as_bytes(), b"\0"].concat())
    }

    /// ErrorResponse with severity ERROR.
    #[must_use]
    pub fn error(sqlstate: &str, message: &str) -> Bytes {
        let mut body = BytesMut::new();
        for (code, text) in [(b'S', "ERROR"), (b'V', "ERROR"), (b'C', sqlstate), (b'M', message)] {
            body.put_u8(code);
            put_text(&mut body, text);
        }
        body.put_u8(0);
        frame(b'E', &body)
    }

    /// ParameterStatus.
    #[must_use]
    pub fn parameter(name: &str, value: &str) -> Bytes {
        let mut body = BytesMut::new();
        put_text(&mut body, name);
        put_text(&mut body, value);
        frame(b'S', &body)
    }

    /// BackendKeyData of protocol 3.0.
    #[must_use]
    pub fn key(process: u32, secret: u32) -> Bytes {
        frame(b'K', &[process.to_be_bytes(), secret.to_be_bytes()].concat())
    }

    /// An Authentication message: its code and what follows.
    #[must_use]
    pub fn authentication(code: u32, rest: &[u8]) -> Bytes {
        frame(b'R', &[&code.to_be_bytes(), rest].concat())
    }

    /// RowDescription of text columns that belong to no table.
    #[must_use]
    pub fn row_description(names: &[&str]) -> Bytes {
        let mut body = BytesMut::new();
        body.put_u16(u16::try_from(names.len()).unwrap_or(u16::MAX));
        for name in names {
            put_text(&mut body, name);
            body.put_u32(0);
            body.put_u16(0);
            body.put_u32(25);
            body.put_i16(-1);
            body.put_i32(-1);
            body.put_u16(0);
        }
        frame(b'T', &body)
    }

    /// DataRow of text values; `None` is NULL.
    #[must_use]
    pub fn data_row(values: &[Option<&str>]) -> Bytes {
        let mut body = BytesMut::new();
        body.put_u16(u16::try_from(values.len()).unwrap_or(u16::MAX));
        for value in values {
            match value {
                None => body.put_i32(-1),
                Some(text) => {
                    body.put_i32(i32::try_from(text.len()).unwrap_or(i32::MAX));
                    body.put_slice(text.as_bytes());
                }
            }
        }
        frame(b'D', &body)
    }
}

#[cfg(test)]
mod tests {
    use super::{Frame, backend, frontend, startup};

    #[test]
    fn frames_state_their_length() {
        assert_eq!(frontend::query("SELECT 1").as_ref(), b"Q\0\0\0\x0dSELECT 1\0");
        assert_eq!(frontend::sync().as_ref(), b"S\0\0\0\x04");
        assert_eq!(startup(&[("user", "a")]).as_ref(), b"\0\0\0\x10\0\x03\0\0user\0a\0\0");
    }

    #[tokio::test]
    async fn reads_what_it_builds() {
        let bytes = [backend::error("42501", "no"), backend::data_row(&[Some("a"), None])].concat();
        let mut stream = bytes.as_slice();
        let error = Frame::read(&mut stream).await.unwrap().unwrap();
        assert_eq!((error.tag, error.field(b'C').as_deref()), (b'E', Some("42501")));
        let row = Frame::read(&mut stream).await.unwrap().unwrap();
        assert_eq!(row.columns(), [Some("a".into()), None]);
        assert_eq!(Frame::read(&mut stream).await.unwrap(), None);
    }

    #[tokio::test]
    async fn refuses_impossible_lengths() {
        for length in [0_u32, 3, u32::MAX] {
            let bytes = [b"Q".as_slice(), &length.to_be_bytes()].concat();
            assert!(Frame::read(&mut bytes.as_slice()).await.is_err(), "{length}");
        }
    }
}
