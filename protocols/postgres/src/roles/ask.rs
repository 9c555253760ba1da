//! A connection of the gateway's own that asks something and reads the whole answer.
//!
//! Promises: bounded in time by the target's own limit and in size by [`MOST`]; one text is one transaction, unless it says
//! otherwise; an error of the server is an error, whatever came before it. A statement that waits ends on the server, too,
//! soon after nobody reads its answer any more ([`WAITS`]). Does not promise anything about what is asked: the texts are
//! the caller's. Held by: `tests/it/roles.rs`.

use crate::error::{Error, Result, Side};
use crate::frame::{FrameLimits, Phase};
use crate::login::backend::{Backend, Target, connect};
use crate::login::{receive, send};
use crate::message::{DecodeError, ServerMessage, write};
use bytes::BytesMut;
use std::time::Duration;

/// All rows of an answer together, in bytes.
const MOST: usize = 8 << 20;

/// What a connection that is closed in the middle would leave waiting on the server: it looks at its client only when it
/// writes. A lock that somebody holds is waited for the next time.
const WAITS: [(&str, &str); 2] = [("lock_timeout", "2s"), ("statement_timeout", "8s")];

/// `undefined_object`.
const GONE: &str = "42704";

/// `dependent_objects_still_exist`.
const OWNS: &str = "2BP01";

/// A row in text form.
pub(super) type Row = Vec<Option<String>>;

/// What became of a statement about a role.
pub(super) enum Told {
    Done,
    /// There is no such role.
    Gone,
    /// Something is its, or was granted to it.
    Owns,
    /// Anything else that the server said against it.
    Refused(Error),
}

impl Told {
    /// Whether the role is there and not what it was to be; the log says why.
    pub(super) fn is_left(&self, role: &str, wanted: &'static str) -> bool {
        match self {
            Self::Done | Self::Gone => return false,
            Self::Owns => tracing::warn!(%role, "the role of a session is not {wanted} yet: it owns something"),
            Self::Refused(error) => tracing::warn!(%role, %error, "the role of a session is not {wanted} yet"),
        }
        true
    }
}

/// An open connection.
pub(super) struct Asking {
    backend: Backend,
    patience: Duration,
}

impl Asking {
    /// Logs in.
    pub(super) async fn open(target: &Target) -> Result<Self> {
        let settings =
            [("search_path", "pg_catalog"), ("DateStyle", "ISO"), ("TimeZone", "UTC")].into_iter().chain(WAITS);
        let settings: Vec<_> = settings.map(|(name, value)| (name, value.to_owned())).collect();
        let backend = connect(target, &settings, FrameLimits::default()).await?;
        Ok(Self { backend, patience: target.timeout })
    }

    /// Runs a text: the rows of as many results as are asked for.
    pub(super) async fn ask<const RESULTS: usize>(&mut self, text: &str) -> Result<[Vec<Row>; RESULTS]> {
        let late = |_| Error::Timeout { side: Side::Backend, doing: "answering the gateway" };
        tokio::time::timeout(self.patience, self.run(text)).await.map_err(late)?
    }

    /// Runs a text about a role. An error is one of the connection.
    pub(super) async fn tell(&mut self, text: &str) -> Result<Told> {
        match self.ask(text).await {
            Ok([]) => Ok(Told::Done),
            Err(Error::BackendFailed { code, .. }) if code == GONE => Ok(Told::Gone),
            Err(Error::BackendFailed { code, .. }) if code == OWNS => Ok(Told::Owns),
            Err(error @ Error::BackendFailed { .. }) => Ok(Told::Refused(error)),
            Err(error) => Err(error),
        }
    }

    async fn run<const RESULTS: usize>(&mut self, text: &str) -> Result<[Vec<Row>; RESULTS]> {
        let mut out = BytesMut::new();
        write::query(&mut out, text);
        send(&mut self.backend.io, &out, Side::Backend).await?;
        let mut results = [const { Vec::new() }; RESULTS];
        let (mut taken, mut bytes, mut failed) = (0, 0, None);
        loop {
            let frame =
                receive(&mut self.backend.io, &mut self.backend.buffer, Phase::ServerReady, Side::Backend).await?;
            bytes += frame.body().len();
            if bytes > MOST {
                return Err(Error::Protocol { side: Side::Backend, reason: "its answer is longer than was asked for" });
            }
            let malformed = |source: DecodeError| Error::Decode { side: Side::Backend, source };
            match ServerMessage::decode(frame.tag(), frame.body()).map_err(malformed)? {
                ServerMessage::RowDescription(_) => taken += 1,
                ServerMessage::DataRow(row) => {
                    let cell = |cell: std::result::Result<Option<&[u8]>, DecodeError>| {
                        let text = |bytes| std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DecodeError::Text);
                        cell.and_then(|cell| cell.map(text).transpose())
                    };
                    let row: Row = row.cells().map(cell).collect::<std::result::Result<_, _>>().map_err(malformed)?;
                    // What nobody asked for is read and left.
                    if let Some(rows) = results.get_mut(usize::saturating_sub(taken, 1)) {
                        rows.push(row);
                    }
                }
                ServerMessage::Error(fields) => {
                    let (code, message) = (fields.text(b'C').into_owned(), fields.text(b'M').into_owned());
                    let error = Error::BackendFailed { code, message };
                    if fields.is_fatal() {
                        return Err(error);
                    }
                    failed = Some(error);
                }
                ServerMessage::ReadyForQuery(_) => return failed.map_or(Ok(results), Err),
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
        }
    }

    /// Says goodbye; a server that does not hear it notices the close.
    pub(super) async fn close(mut self) {
        let mut out = BytesMut::new();
        write::terminate(&mut out);
        send(&mut self.backend.io, &out, Side::Backend).await.ok();
    }
}
