//! One load: log in, ask everything in one transaction, build.
//!
//! Held by: `tests/it/catalogue.rs`.

use super::build::Builder;
use super::queries::ALL;
use crate::error::{Error, Result, Side};
use crate::frame::{Frame, FrameLimits, Phase};
use crate::login::backend::{Backend, Target, connect};
use crate::login::{receive, send};
use crate::message::{DecodeError, ServerMessage, write};
use bytes::BytesMut;
use portcullis_model::Catalogue;

/// All results together, in bytes: far beyond any schema that people keep.
const MOST: usize = 512 << 20;

/// Loads the catalogue of the target's database.
pub(super) async fn load(target: &Target, epoch: u64) -> Result<Catalogue> {
    let settings = [("search_path", "pg_catalog".to_owned())];
    let mut backend = connect(target, &settings, FrameLimits::default()).await?;
    let loaded = ask(&mut backend, epoch).await;
    let mut out = BytesMut::new();
    write::terminate(&mut out);
    // It is read to its end; a server that does not hear the goodbye notices the close.
    send(&mut backend.io, &out, Side::Backend).await.ok();
    loaded
}

async fn ask(backend: &mut Backend, epoch: u64) -> Result<Catalogue> {
    let mut text = String::from("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;");
    for query in ALL {
        text.push_str(query);
        text.push(';');
    }
    text.push_str("COMMIT");
    let mut out = BytesMut::new();
    write::query(&mut out, &text);
    send(&mut backend.io, &out, Side::Backend).await?;
    let mut taking = Taking { builder: Builder::default(), result: None, bytes: 0, failed: None };
    loop {
        let frame = receive(&mut backend.io, &mut backend.buffer, Phase::ServerReady, Side::Backend).await?;
        if taking.take(&frame)? {
            break;
        }
    }
    match taking.failed {
        Some((code, message)) => Err(Error::BackendRefused { code, message }),
        None => Ok(taking.builder.finish(epoch)),
    }
}

struct Taking {
    builder: Builder,
    /// The query whose rows come; none before the first.
    result: Option<usize>,
    bytes: usize,
    failed: Option<(String, String)>,
}

impl Taking {
    /// True at the end.
    fn take(&mut self, frame: &Frame) -> Result<bool> {
        self.bytes += frame.body().len();
        if self.bytes > MOST {
            return Err(Error::Protocol { side: Side::Backend, reason: "its catalogue is larger than is loaded" });
        }
        let malformed = |source: DecodeError| Error::Decode { side: Side::Backend, source };
        match ServerMessage::decode(frame.tag(), frame.body()).map_err(malformed)? {
            ServerMessage::RowDescription(_) => self.result = Some(self.result.map_or(0, |result| result + 1)),
            ServerMessage::DataRow(row) => {
                let cells: Vec<Option<&[u8]>> =
                    row.cells().collect::<std::result::Result<_, _>>().map_err(malformed)?;
                let cells: Vec<&str> = cells
                    .into_iter()
                    .map(|cell| cell.map_or(Ok(""), std::str::from_utf8))
                    .collect::<std::result::Result<_, _>>()
                    .map_err(|_| malformed(DecodeError::Text))?;
                let query = self.result.and_then(|result| ALL.get(result));
                self.builder.row(query.copied().unwrap_or_default(), &cells);
            }
            ServerMessage::Error(fields) => {
                self.failed = Some((fields.text(b'C').into_owned(), fields.text(b'M').into_owned()));
                return Ok(fields.is_fatal());
            }
            ServerMessage::ReadyForQuery(_) => return Ok(true),
            ServerMessage::CommandComplete(_)
            | ServerMessage::Notice(_)
            | ServerMessage::Notification { .. }
            | ServerMessage::ParameterStatus { .. } => {}
            ServerMessage::Authentication(_)
            | ServerMessage::BackendKeyData { .. }
            | ServerMessage::BindComplete
            | ServerMessage::CloseComplete
            | ServerMessage::CopyData(_)
            | ServerMessage::CopyDone
            | ServerMessage::CopyIn { .. }
            | ServerMessage::CopyOut { .. }
            | ServerMessage::EmptyQuery
            | ServerMessage::NegotiateProtocolVersion { .. }
            | ServerMessage::NoData
            | ServerMessage::ParameterDescription(_)
            | ServerMessage::ParseComplete
            | ServerMessage::PortalSuspended => {
                return Err(Error::Protocol { side: Side::Backend, reason: "an answer that is not to a query" });
            }
        }
        Ok(false)
    }
}
