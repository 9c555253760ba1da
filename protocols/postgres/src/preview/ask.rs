//! The conversation in which a preview is asked: one transaction on a connection of its own.
//!
//! Promises: no answer is read beyond [`MOST`] bytes; what the server says of an error is not passed on, only a few words
//! of the gateway's own for its class.
//! Held by: `protocols/postgres/tests/it/previews.rs` against real servers.

use crate::asking::{self, Part, Taken};
use crate::error::Error;
use crate::login::backend::Target;
use crate::message::{ClientMessage, DecodeError, Target as Described, write};
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
    connection: asking::Asking,
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
        let connection = asking::Asking::open(target, settings.to_vec(), MOST).await.map_err(|_| UNREACHABLE)?;
        Ok(Self { connection })
    }

    /// Runs a text of the gateway's own; the first column of its last row.
    pub(super) async fn query(&mut self, text: &str) -> Result<Option<String>, Failed> {
        let mut told = Told::default();
        self.connection.query(text, |part| told.take(part)).await.map_err(|error| words_for(&error))?;
        Ok(told.cell)
    }

    /// Prepares a statement; the types of its parameters.
    pub(super) async fn prepare(&mut self, name: &str, text: &str, types: &[u32]) -> Result<Vec<u32>, Failed> {
        let mut out = BytesMut::new();
        write::parse(&mut out, name, text, types);
        write::describe(&mut out, Described::Statement(name));
        self.extended(out).await?.types.ok_or(ODD)
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
        self.extended(out).await?.cell.ok_or(ODD)
    }

    /// Takes the transaction back and leaves.
    pub(super) async fn close(self) {
        self.connection.close(Some("ROLLBACK")).await;
    }

    async fn extended(&mut self, mut out: BytesMut) -> Result<Told, Failed> {
        write::sync(&mut out);
        let mut told = Told::default();
        self.connection.extended(&out, |part| told.take(part)).await.map_err(|error| words_for(&error))?;
        Ok(told)
    }
}

impl Told {
    fn take(&mut self, part: Part<'_>) -> Taken {
        match part {
            Part::Result => {}
            Part::Row(row) => {
                let first = row.cells().next().ok_or(DecodeError::Short)??;
                let first = first.map(std::str::from_utf8).transpose().map_err(|_| DecodeError::Text)?;
                self.cell = first.map(ToOwned::to_owned);
            }
            Part::Parameters(types) => self.types = Some(types),
        }
        Ok(())
    }
}

/// What a failure is to people who decide: the text of the server's errors may hold values.
fn words_for(error: &Error) -> Failed {
    match error {
        Error::BackendFailed { code, .. } => match code.as_str() {
            "55P03" => "a table of it is locked",
            "57014" => TOO_LONG,
            "42501" => "the gateway's login may not do it",
            _ => "the database answers with an error",
        },
        Error::Protocol { reason: asking::TOO_LONG, .. } => "its plan is longer than is read",
        Error::Decode { .. } | Error::Protocol { .. } => ODD,
        Error::Authentication(_)
        | Error::BackendRefused { .. }
        | Error::Closed { .. }
        | Error::Frame { .. }
        | Error::Io { .. }
        | Error::Net(_)
        | Error::Refused(_)
        | Error::Scram(_)
        | Error::Timeout { .. } => UNREACHABLE,
    }
}
