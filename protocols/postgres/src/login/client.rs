//! The client's login to the gateway: a token as the password, inside TLS.
//!
//! Promises: the token is asked for only where nobody can listen (TLS, or loopback when the listener is configured
//! without TLS); it is at most 16 KiB, becomes a secret at once, and the session's buffer it arrived in is overwritten.
//! Whatever is wrong with it, the client reads the same FATAL 28P01; what really was wrong is for the verifier to record.
//! Does not promise: equal timing; the verifier owns that. Rate limits are the verifier's too.
//! Held by: `login/tests.rs`.

use super::{receive, refuse, send};
use crate::error::{Error, Refused, Result, Side};
use crate::frame::{FrameBuf, Phase};
use crate::message::{TransactionStatus, password, write};
use crate::startup::Startup;
use bytes::{Bytes, BytesMut};
use portcullis_net::Io;
use secrecy::SecretString;
use std::future::Future;
use std::time::Duration;
use zeroize::Zeroize;

/// Asks the client for its token and gives it to `verify`, which answers with what it proved, or nothing. `loopback`
/// says whether the peer is on this machine.
///
/// # Errors
/// [`Error::Refused`] when nothing was proven, after the client was told; [`Error::Timeout`]; protocol and connection
/// errors.
pub async fn authenticate<T, V, F>(
    io: &mut Io,
    buffer: &mut FrameBuf,
    startup: &Startup,
    loopback: bool,
    timeout: Duration,
    verify: V,
) -> Result<T>
where
    V: FnOnce(SecretString) -> F,
    F: Future<Output = Option<T>>,
{
    let done = async {
        let token = ask(io, buffer, loopback).await?;
        // One answer for every reason.
        verify(token).await.ok_or_else(|| {
            Refused::new("28P01", format!("password authentication failed for user \"{}\"", startup.user))
                .hint("The password is a token of this gateway; whoever runs it makes one with `portcullis token create`.")
                .into()
        })
    };
    let result = match tokio::time::timeout(timeout, done).await {
        Ok(result) => result,
        Err(_) => Err(Error::Timeout { side: Side::Client, doing: "logging in" }),
    };
    if let Err(error) = &result {
        refuse(io, error).await;
    }
    result
}

async fn ask(io: &mut Io, buffer: &mut FrameBuf, loopback: bool) -> Result<SecretString> {
    if !io.is_tls() && !loopback {
        return Err(Refused::new("28000", "this gateway accepts passwords over TLS only").into());
    }
    let mut out = BytesMut::new();
    write::authentication_cleartext(&mut out);
    send(io, &out, Side::Client).await?;
    let frame = receive(io, buffer, Phase::ClientLogin, Side::Client).await?;
    let token =
        password(frame.body()).map(SecretString::from).map_err(|source| Error::Decode { side: Side::Client, source });
    // Nothing follows a password before its answer, so the bytes are ours alone and can be overwritten.
    buffer.idle();
    if let Ok(mut bytes) = frame.into_bytes().try_into_mut() {
        bytes.as_mut().zeroize();
    }
    token
}

/// What a client reads once both logins are done: AuthenticationOk, the server's settings, the gateway's own cancel key
/// if there is one, and the one ReadyForQuery that does not come from the server.
#[must_use]
pub fn welcome<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>, key: Option<(i32, &[u8])>) -> Bytes {
    let mut out = BytesMut::new();
    write::authentication_ok(&mut out);
    for (name, value) in parameters {
        write::parameter_status(&mut out, name, value);
    }
    if let Some((pid, secret)) = key {
        write::backend_key_data(&mut out, pid, secret);
    }
    write::ready_for_query(&mut out, TransactionStatus::Idle);
    out.freeze()
}
