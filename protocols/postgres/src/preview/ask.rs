//! The conversation in which a preview is asked: one transaction on a connection of its own.
//!
//! Promises: every kind of answer is matched by name; none is kept beyond [`MOST`] bytes; what the server says of an error
//! is not passed on, only a few words of the gateway's own for its class.
//! Held by: `protocols/postgres/tests/it/previews.rs` against real servers.

use crate::error::Side;
use crate::frame::{FrameLimits, Phase};
use crate::login::backend::{Backend, Target, connect};
use crate::login::{receive, send};
use crate::message::{ClientMessage, ServerMessage, Target as Described, write};
use crate::startup::Setting;
use bytes::{Bytes, BytesMut};

/// It took longer than anybody waits.
pub(super) const TOO_LONG: &str = "it takes too long";

/// One answer, in bytes.
const MOST: usize = 4 << 20;

/// Why there is no answer, as half a sentence.
type Failed = &'static str;

const UNREACHABLE: Failed = "the database does not answer";
const ODD: Failed = "the database answers something else";

/// A connection with a transaction that is not over.
pub(super) struct Asking {
    backend: Backend,
}

/// What was answered until the server was ready again.
#[derive(Default)]
struct Told {
    /// The first column of the last row.
    cell: Option<String>,
    /// The types of a statement's parameters.
    types: Option<Vec<u32>>,
}

impl Asking {
    /// Logs in.
    pub(super) async fn open(target: &Target, settings: &[Setting]) -> Result<Self, Failed> {
        let mut settings = settings.to_vec();
        settings.push(("search_path", "pg_catalog".to_owned()));
        let connected = connect(target, &settings, FrameLimits::default()).await;
        connected.map(|backend| Self { backend }).map_err(|_| UNREACHABLE)
    }

    /// Runs a text of the gateway's own; the first column of its last row.
    pub(super) async fn query(&mut self, text: &str) -> Result<Option<String>, Failed> {
        let mut out = BytesMut::new();
        write::query(&mut out, text);
        Ok(self.exchange(&out).await?.cell)
    }

    /// Prepares a statement; the types of its parameters.
    pub(super) async fn prepare(&mut self, name: &str, text: &str, types: &[u32]) -> Result<Vec<u32>, Failed> {
        let mut out = BytesMut::new();
        write::parse(&mut out, name, text, types);
        write::describe(&mut out, Described::Statement(name));
        write::sync(&mut out);
        self.exchange(&out).await?.types.ok_or(ODD)
    }

    /// Runs a prepared statement with the values of a client's Bind; the text that it returns.
    pub(super) async fn run(&mut self, name: &str, bind: Option<&Bytes>) -> Result<String, Failed> {
        let mut out = BytesMut::new();
        match bind {
            None => write::bind(&mut out, "", name, &[], false),
            Some(body) => match ClientMessage::decode(b'B', body) {
                Ok(ClientMessage::Bind { params, .. }) => write::bind_again(&mut out, "", name, params),
                Ok(_) | Err(_) => return Err("its values cannot be read"),
            },
        }
        write::execute(&mut out, "", 0);
        write::sync(&mut out);
        self.exchange(&out).await?.cell.ok_or(ODD)
    }

    /// Takes the transaction back and leaves.
    pub(super) async fn close(mut self) {
        let mut out = BytesMut::new();
        write::query(&mut out, "ROLLBACK");
        write::terminate(&mut out);
        // Nothing depends on it: a server that does not hear it notices the close.
        send(&mut self.backend.io, &out, Side::Backend).await.ok();
    }

    async fn exchange(&mut self, out: &[u8]) -> Result<Told, Failed> {
        let Backend { io, buffer, .. } = &mut self.backend;
        send(io, out, Side::Backend).await.map_err(|_| UNREACHABLE)?;
        let mut told = Told::default();
        let mut failed = None;
        let mut bytes = 0_usize;
        loop {
            let frame = receive(io, buffer, Phase::ServerReady, Side::Backend).await.map_err(|_| UNREACHABLE)?;
            bytes = bytes.saturating_add(frame.body().len());
            if bytes > MOST {
                return Err("its plan is longer than is read");
            }
            let message = ServerMessage::decode(frame.tag(), frame.body()).map_err(|_| ODD)?;
            if let ServerMessage::Error(fields) = &message {
                failed = Some(words_for(&fields.text(b'C')));
                if fields.is_fatal() {
                    break;
                }
            }
            if told.take(&message)? {
                break;
            }
        }
        failed.map_or(Ok(told), Err)
    }
}

impl Told {
    /// Takes one message; true at the end.
    fn take(&mut self, message: &ServerMessage<'_>) -> Result<bool, Failed> {
        match message {
            ServerMessage::DataRow(row) => {
                let first = row.cells().next().ok_or(ODD)?.map_err(|_| ODD)?;
                let first = first.map(std::str::from_utf8).transpose().map_err(|_| ODD)?;
                self.cell = first.map(ToOwned::to_owned);
            }
            ServerMessage::ParameterDescription(types) => self.types = Some(types.clone()),
            ServerMessage::ReadyForQuery(_) => return Ok(true),
            ServerMessage::BindComplete
            | ServerMessage::CommandComplete(_)
            | ServerMessage::Error(_)
            | ServerMessage::NoData
            | ServerMessage::Notice(_)
            | ServerMessage::Notification { .. }
            | ServerMessage::ParameterStatus { .. }
            | ServerMessage::ParseComplete
            | ServerMessage::RowDescription(_) => {}
            ServerMessage::Authentication(_)
            | ServerMessage::BackendKeyData { .. }
            | ServerMessage::CloseComplete
            | ServerMessage::CopyData(_)
            | ServerMessage::CopyDone
            | ServerMessage::CopyIn { .. }
            | ServerMessage::CopyOut { .. }
            | ServerMessage::EmptyQuery
            | ServerMessage::NegotiateProtocolVersion { .. }
            | ServerMessage::PortalSuspended => return Err(ODD),
        }
        Ok(false)
    }
}

/// What an error is to people who decide: its text may hold values.
fn words_for(code: &str) -> Failed {
    match code {
        "55P03" => "a table of it is locked",
        "57014" => TOO_LONG,
        "42501" => "the gateway's login may not do it",
        _ => "the database answers with an error",
    }
}
