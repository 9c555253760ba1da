//! A connection of the gateway's own, on which it asks something and reads the whole answer.
//!
//! Promises: names in what is asked mean those of `pg_catalog`; every kind of message is matched by name; no more of an
//! answer is read than the caller bounds it to; an error of the server is an error, whatever came before or comes behind
//! it, and one in the middle leaves the connection ready for the next text.
//!
//! Does not promise an end in time: each caller has its own patience. What is asked are the caller's words; what a client
//! says is in them only where `preview.rs` puts it.
//! Held by: `tests/it/catalogue.rs`, `tests/it/roles.rs` and `tests/it/previews.rs` against real servers.

use crate::error::{Error, Result, Side};
use crate::frame::{FrameLimits, Phase};
use crate::login::backend::{Backend, Target, connect};
use crate::login::{receive, send};
use crate::message::{DataRow, DecodeError, ServerMessage, write};
use crate::startup::Setting;
use bytes::BytesMut;

/// Why an answer that exceeds its bound is not read on.
pub(crate) const TOO_LONG: &str = "its answer is longer than was asked for";

/// What became of taking a part of an answer.
pub(crate) type Taken = std::result::Result<(), DecodeError>;

/// How it was asked, which says what may come back.
#[derive(Clone, Copy)]
enum Asked {
    Text,
    Extended,
}

/// A part of an answer.
pub(crate) enum Part<'a> {
    /// Rows of the next result follow.
    Result,
    /// A row.
    Row(DataRow<'a>),
    /// The types of a statement's parameters.
    Parameters(Vec<u32>),
}

/// An open connection.
pub(crate) struct Asking {
    backend: Backend,
    /// One answer, in bytes.
    most: usize,
}

impl Asking {
    /// Logs in with these settings; reads at most so many bytes of one answer.
    pub(crate) async fn open(target: &Target, mut settings: Vec<Setting>, most: usize) -> Result<Self> {
        settings.push(("search_path", "pg_catalog".to_owned()));
        Ok(Self { backend: connect(target, &settings, FrameLimits::default()).await?, most })
    }

    /// Runs a text.
    pub(crate) async fn query(&mut self, text: &str, take: impl FnMut(Part<'_>) -> Taken) -> Result<()> {
        let mut out = BytesMut::new();
        write::query(&mut out, text);
        self.exchange(&out, Asked::Text, take).await
    }

    /// Sends messages of the extended protocol, the last of them a Sync.
    pub(crate) async fn extended(&mut self, out: &[u8], take: impl FnMut(Part<'_>) -> Taken) -> Result<()> {
        self.exchange(out, Asked::Extended, take).await
    }

    async fn exchange(&mut self, out: &[u8], asked: Asked, mut take: impl FnMut(Part<'_>) -> Taken) -> Result<()> {
        let Backend { io, buffer, .. } = &mut self.backend;
        send(io, out, Side::Backend).await?;
        let (mut bytes, mut failed) = (0_usize, None);
        loop {
            let frame = receive(io, buffer, Phase::ServerReady, Side::Backend).await?;
            bytes = bytes.saturating_add(frame.body().len());
            if bytes > self.most {
                return Err(protocol(TOO_LONG));
            }
            let malformed = |source: DecodeError| Error::Decode { side: Side::Backend, source };
            match (ServerMessage::decode(frame.tag(), frame.body()).map_err(malformed)?, asked) {
                (ServerMessage::RowDescription(_), _) => take(Part::Result).map_err(malformed)?,
                (ServerMessage::DataRow(row), _) => take(Part::Row(row)).map_err(malformed)?,
                (ServerMessage::ParameterDescription(types), Asked::Extended) => {
                    take(Part::Parameters(types)).map_err(malformed)?;
                }
                (ServerMessage::Error(fields), _) => {
                    let (code, message) = (fields.text(b'C').into_owned(), fields.text(b'M').into_owned());
                    let error = Error::BackendFailed { code, message };
                    if fields.is_fatal() {
                        return Err(error);
                    }
                    failed = Some(error);
                }
                (ServerMessage::ReadyForQuery(_), _) => return failed.map_or(Ok(()), Err),
                (
                    ServerMessage::CommandComplete(_)
                    | ServerMessage::Notice(_)
                    | ServerMessage::Notification { .. }
                    | ServerMessage::ParameterStatus { .. },
                    _,
                )
                | (
                    ServerMessage::BindComplete | ServerMessage::NoData | ServerMessage::ParseComplete,
                    Asked::Extended,
                ) => {}
                (
                    ServerMessage::BindComplete
                    | ServerMessage::NoData
                    | ServerMessage::ParameterDescription(_)
                    | ServerMessage::ParseComplete,
                    Asked::Text,
                )
                | (
                    ServerMessage::Authentication(_)
                    | ServerMessage::BackendKeyData { .. }
                    | ServerMessage::CloseComplete
                    | ServerMessage::CopyData(_)
                    | ServerMessage::CopyDone
                    | ServerMessage::CopyIn { .. }
                    | ServerMessage::CopyOut { .. }
                    | ServerMessage::EmptyQuery
                    | ServerMessage::NegotiateProtocolVersion { .. }
                    | ServerMessage::PortalSuspended,
                    _,
                ) => return Err(protocol("an answer that is not to what was asked")),
            }
        }
    }

    /// Says a last word, if there is one, and goodbye; a server that hears neither notices the close.
    pub(crate) async fn close(mut self, last: Option<&str>) {
        let mut out = BytesMut::new();
        if let Some(text) = last {
            write::query(&mut out, text);
        }
        write::terminate(&mut out);
        send(&mut self.backend.io, &out, Side::Backend).await.ok();
    }
}

const fn protocol(reason: &'static str) -> Error {
    Error::Protocol { side: Side::Backend, reason }
}
