//! The opening of a connection, up to a startup message that was read and accepted, or a cancel request.
//!
//! Promises: requests are read exactly, eight bytes first, and never more than is asked for; a byte that arrives behind
//! an encryption request before its answer refuses the connection, so nothing sent in the clear is ever read as if it
//! had come through TLS. Each kind of encryption is asked for at most once, GSS is answered `N`, TLS begins with its
//! request or directly, then with the application protocol `postgresql`. A listener with TLS serves sessions over TLS
//! only; one without serves loopback only. All of it has one time limit. A client that is refused is told why.
//!
//! Does not promise: who the client is. Cancel requests in the clear are accepted where [`Settings::cancel_in_clear`]
//! says so, since older clients send them no other way.
//! Held by: `negotiate/tests.rs`.

use crate::error::{Error, Refused, Result, Side};
use crate::login::{refuse, send};
use crate::message::write;
use crate::startup::{LONGEST, Startup};
use bytes::BytesMut;
use portcullis_net::{Io, ServerTls, TlsInfo};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

#[cfg(test)]
mod tests;

/// The application protocol of PostgreSQL in TLS.
pub const ALPN: &[u8] = b"postgresql";

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;
/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// How a listener opens connections.
#[derive(Clone, Debug)]
pub struct Settings {
    /// TLS for this listener, with [`ALPN`]. Without it only loopback peers are served.
    pub tls: Option<ServerTls>,
    /// Whether a cancel request may come in the clear although the listener has TLS.
    pub cancel_in_clear: bool,
    /// The time for everything up to the startup message.
    pub timeout: Duration,
}

impl Settings {
    /// Settings with the defaults: cancel requests in the clear, ten seconds.
    #[must_use]
    pub const fn new(tls: Option<ServerTls>) -> Self {
        Self { tls, cancel_in_clear: true, timeout: Duration::from_secs(10) }
    }
}

/// How the connection came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// What TLS agreed on; none in the clear.
    pub tls: Option<TlsInfo>,
    /// Whether TLS began directly, without a request.
    pub direct: bool,
}

/// A connection that wants a session.
#[derive(Debug)]
pub struct Opening {
    /// The stream, inside TLS where there is any. Nothing behind the startup message was read.
    pub io: Io,
    /// What the client wants.
    pub startup: Startup,
    /// How it came in.
    pub transport: Transport,
}

/// A request to cancel what another connection runs. It gets no answer.
#[derive(Clone, PartialEq, Eq)]
pub struct CancelRequest {
    /// The number the gateway gave out with the key.
    pub pid: i32,
    /// The key shown, 4 to 256 bytes.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for CancelRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelRequest").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// What a connection turned out to be.
#[derive(Debug)]
pub enum Opened {
    /// A cancel request. The connection is closed already.
    Cancel(CancelRequest),
    /// A session.
    Session(Box<Opening>),
}

/// Opens a connection. `loopback` says whether the peer is on this machine.
///
/// # Errors
/// [`Error::Refused`] and protocol errors, after the client was told; [`Error::Timeout`]; connection errors.
pub async fn open(io: Io, loopback: bool, settings: &Settings) -> Result<Opened> {
    match tokio::time::timeout(settings.timeout, Dialogue::new(io, loopback, settings).run()).await {
        Ok(opened) => opened,
        Err(_) => Err(Error::Timeout { side: Side::Client, doing: "opening the connection" }),
    }
}

/// What was said so far.
struct Dialogue<'a> {
    io: Io,
    loopback: bool,
    settings: &'a Settings,
    ssl_asked: bool,
    gss_asked: bool,
    direct: bool,
}

impl<'a> Dialogue<'a> {
    fn new(io: Io, loopback: bool, settings: &'a Settings) -> Self {
        Self { io, loopback, settings, ssl_asked: false, gss_asked: false, direct: false }
    }

    async fn run(mut self) -> Result<Opened> {
        match self.talk().await {
            Ok(Said::Cancel(request)) => Ok(Opened::Cancel(request)),
            Ok(Said::Startup(startup)) => {
                let transport = Transport { tls: self.io.tls(), direct: self.direct };
                Ok(Opened::Session(Box::new(Opening { io: self.io, startup, transport })))
            }
            Err(error) => {
                refuse(&mut self.io, &error).await;
                Err(error)
            }
        }
    }

    async fn talk(&mut self) -> Result<Said> {
        loop {
            let mut head = [0; 8];
            self.read(&mut head).await?;
            let [a, b, c, d, e, f, g, h] = head;
            let (length, code) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
            let first = !self.ssl_asked && !self.gss_asked && !self.io.is_tls();
            match (code, length) {
                _ if a == TLS_HANDSHAKE && first && self.settings.tls.is_some() => self.direct(&head).await?,
                (SSL_REQUEST, 8) => self.ssl().await?,
                (GSSENC_REQUEST, 8) => self.gss().await?,
                (CANCEL_REQUEST, 16..=268) => return self.cancel(length).await.map(Said::Cancel),
                (SSL_REQUEST | GSSENC_REQUEST | CANCEL_REQUEST, _) => return Err(invalid_length()),
                (_, 9..) if usize::try_from(length).is_ok_and(|length| length <= LONGEST) => {
                    return self.startup(length, [e, f, g, h]).await.map(Said::Startup);
                }
                (_, _) => return Err(invalid_length()),
            }
        }
    }

    async fn read(&mut self, into: &mut [u8]) -> Result<()> {
        match self.io.read_exact(into).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(Error::Closed { side: Side::Client })
            }
            Err(source) => Err(Error::Io { side: Side::Client, source }),
        }
    }

    async fn ssl(&mut self) -> Result<()> {
        if self.ssl_asked || self.io.is_tls() {
            return Err(violation("unexpected SSL request"));
        }
        self.ssl_asked = true;
        if more_is_there(&mut self.io).await {
            return Err(violation("received unencrypted data after SSL request"));
        }
        if self.settings.tls.is_none() {
            return send(&mut self.io, b"N", Side::Client).await;
        }
        send(&mut self.io, b"S", Side::Client).await?;
        self.encrypt(&[]).await
    }

    async fn gss(&mut self) -> Result<()> {
        if self.gss_asked || self.io.is_tls() {
            return Err(violation("unexpected GSSAPI encryption request"));
        }
        self.gss_asked = true;
        if more_is_there(&mut self.io).await {
            return Err(violation("received unencrypted data after GSSAPI encryption request"));
        }
        send(&mut self.io, b"N", Side::Client).await
    }

    async fn direct(&mut self, head: &[u8; 8]) -> Result<()> {
        self.direct = true;
        self.encrypt(head).await?;
        if self.io.tls().and_then(|tls| tls.alpn).as_deref() == Some(ALPN) {
            return Ok(());
        }
        Err(violation("received direct SSL connection request without ALPN protocol negotiation extension"))
    }

    /// Lays TLS over the stream, whose first bytes were `head`.
    async fn encrypt(&mut self, head: &[u8]) -> Result<()> {
        let Some(tls) = &self.settings.tls else {
            return Err(violation("TLS is not available"));
        };
        // Until the handshake is done there is nobody to be told anything.
        let clear = std::mem::replace(&mut self.io, Io::memory(tokio::io::empty()));
        self.io = tls.accept(clear.replaying(head)).await.map_err(|source| Error::Io { side: Side::Client, source })?;
        Ok(())
    }

    async fn cancel(&mut self, length: u32) -> Result<CancelRequest> {
        let mut rest = [0; 260];
        let rest = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get_mut(..length.checked_sub(8)?))
            .ok_or_else(invalid_length)?;
        self.read(rest).await?;
        if !self.io.is_tls() && self.settings.tls.is_some() && !self.settings.cancel_in_clear {
            return Err(violation("cancel requests must use TLS"));
        }
        let (pid, secret) = rest.split_first_chunk::<4>().ok_or_else(invalid_length)?;
        Ok(CancelRequest { pid: i32::from_be_bytes(*pid), secret: secret.to_vec() })
    }

    async fn startup(&mut self, length: u32, code: [u8; 4]) -> Result<Startup> {
        let mut body = code.to_vec();
        // At most 10,000 bytes, so this is no length to be trusted.
        body.resize(usize::try_from(length).unwrap_or(LONGEST) - 4, 0);
        self.read(body.get_mut(4..).unwrap_or_default()).await?;
        if !self.io.is_tls() && (self.settings.tls.is_some() || !self.loopback) {
            return Err(Refused::new("28000", "this gateway accepts connections over TLS only")
                .hint("Connect with sslmode=verify-full and sslrootcert set to the gateway's certificate authority.")
                .into());
        }
        let startup = Startup::parse(&body)?;
        if startup.needs_negotiation() {
            let mut out = BytesMut::new();
            write::negotiate_protocol_version(&mut out, startup.version.code(), &startup.unknown_options);
            send(&mut self.io, &out, Side::Client).await?;
        }
        Ok(startup)
    }
}

enum Said {
    Cancel(CancelRequest),
    Startup(Startup),
}

fn violation(reason: &'static str) -> Error {
    Error::Protocol { side: Side::Client, reason }
}

fn invalid_length() -> Error {
    violation("invalid length of startup packet")
}

/// Whether a byte can be read right now. It takes that byte, so the connection must end if there is one.
pub(crate) async fn more_is_there(io: &mut Io) -> bool {
    std::future::poll_fn(|cx| {
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        match Pin::new(&mut *io).poll_read(cx, &mut byte) {
            Poll::Ready(Ok(())) => Poll::Ready(!byte.filled().is_empty()),
            // An error shows again at the next read.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(false),
        }
    })
    .await
}
