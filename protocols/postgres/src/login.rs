//! Both logins: the client's to the gateway ([`client`]) and the gateway's to the server behind it ([`backend`]).
//!
//! They meet only in the caller: a client's password never goes to a server, a server's never to a client, and what a
//! server says about its own login is never told to a client.
//!
//! After both, no other handle to either peer exists than the two halves of the session.
//! Held by: `login/tests.rs`.

use crate::error::{Error, Result, Side};
use crate::frame::{Frame, FrameBuf, Next, Phase};
use crate::message::write;
use bytes::BytesMut;
use portcullis_net::Io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

pub mod backend;
pub mod client;
mod scram;
#[cfg(test)]
mod tests;

pub use client::fuzz_sasl;
pub use scram::fuzz_login;
pub(crate) use scram::verifier;

/// How long a refused peer may take to read why.
const FAREWELL: Duration = Duration::from_secs(2);

/// Writes and flushes.
pub(crate) async fn send(io: &mut Io, bytes: &[u8], side: Side) -> Result<()> {
    let done = async {
        io.write_all(bytes).await?;
        io.flush().await
    };
    done.await.map_err(|source| Error::Io { side, source })
}

/// Tells a client why it is refused, as far as it listens, and closes its stream.
pub(crate) async fn refuse(io: &mut Io, error: &Error) {
    let Some(report) = error.report() else { return };
    let mut out = BytesMut::new();
    write::error(&mut out, &report);
    let farewell = async {
        if send(io, &out, Side::Client).await.is_ok() {
            io.shutdown().await.ok();
        }
    };
    // A client that does not read its refusal is not waited for.
    tokio::time::timeout(FAREWELL, farewell).await.ok();
}

/// The next whole frame of a login.
pub(crate) async fn receive(io: &mut Io, buffer: &mut FrameBuf, phase: Phase, side: Side) -> Result<Frame> {
    loop {
        match buffer.next(phase, b"") {
            Next::Frame(frame) => return Ok(frame),
            Next::Bad(source) => return Err(Error::Frame { side, source }),
            Next::Chunk(_) | Next::Oversize { .. } => {
                return Err(Error::Protocol { side, reason: "unexpected data during login" });
            }
            Next::NeedMore => {}
        }
        match buffer.fill(io).await {
            Ok(0) => return Err(Error::Closed { side }),
            Ok(_) => {}
            Err(source) => return Err(Error::Io { side, source }),
        }
    }
}
