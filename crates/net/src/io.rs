//! One type for every byte stream: TCP, Unix socket, either side of TLS, or something in memory.
//!
//! Promises: reads and writes are those of the stream inside, vectored writes included; bytes given back with
//! [`Io::replaying`] are read first, exactly once, and never written. TLS can be laid over any `Io`.
//! Does not promise: buffering; whoever reads owns its buffers. Nothing here waits on anything but the stream itself.
//! Held by: the tests below and those of `certificates.rs`.

use rustls::sign::CertifiedKey;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A byte stream to a peer.
pub struct Io {
    inner: Inner,
    /// Bytes read too early, to be read again, and how many of them already were.
    replay: Option<(Box<[u8]>, usize)>,
}

enum Inner {
    Memory(Box<dyn Stream>),
    Tcp(TcpStream),
    TlsClient(Box<tokio_rustls::client::TlsStream<Io>>),
    /// With the certificate that this side showed.
    TlsServer(Box<tokio_rustls::server::TlsStream<Io>>, Arc<CertifiedKey>),
    Unix(UnixStream),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What a finished TLS handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: String,
    /// The cipher suite's name.
    pub cipher: String,
    /// The application protocol, if one was agreed on.
    pub alpn: Option<Vec<u8>>,
    /// The server name the client asked for (only on the server's side).
    pub server_name: Option<String>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

impl Io {
    /// Wraps any stream, such as `tokio::io::duplex`.
    pub fn memory(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::of(Inner::Memory(Box::new(stream)))
    }

    fn of(inner: Inner) -> Self {
        Self { inner, replay: None }
    }

    /// The server's side of TLS, in which this certificate was shown.
    pub(crate) fn tls_server(stream: tokio_rustls::server::TlsStream<Self>, shown: Arc<CertifiedKey>) -> Self {
        Self::of(Inner::TlsServer(Box::new(stream), shown))
    }

    /// The same stream, with `bytes` read again before anything that is still to come.
    #[must_use]
    pub fn replaying(mut self, bytes: &[u8]) -> Self {
        let mut again = bytes.to_vec();
        if let Some((old, at)) = &self.replay {
            again.extend(old.iter().skip(*at));
        }
        self.replay = (!again.is_empty()).then(|| (again.into_boxed_slice(), 0));
        self
    }

    /// Whether TLS covers this stream.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls().is_some()
    }

    /// What TLS agreed on, if it covers this stream.
    #[must_use]
    pub fn tls(&self) -> Option<TlsInfo> {
        let (common, server_name): (&rustls::CommonState, Option<&str>) = match &self.inner {
            Inner::TlsClient(stream) => (stream.get_ref().1, None),
            Inner::TlsServer(stream, _) => (stream.get_ref().1, stream.get_ref().1.server_name()),
            Inner::Memory(_) | Inner::Tcp(_) | Inner::Unix(_) => return None,
        };
        Some(TlsInfo {
            version: common
                .protocol_version()
                .and_then(|v| v.as_str())
                .unwrap_or("unknown")
                .replace("TLSv1_", "TLSv1."),
            cipher: common.negotiated_cipher_suite().map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
            alpn: common.alpn_protocol().map(<[u8]>::to_vec),
            server_name: server_name.map(str::to_owned),
            resumed: common.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        })
    }

    /// The certificate the peer proved itself with, in DER, if TLS covers this stream and it sent one.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        let common: &rustls::CommonState = match &self.inner {
            Inner::TlsClient(stream) => stream.get_ref().1,
            Inner::TlsServer(stream, _) => stream.get_ref().1,
            Inner::Memory(_) | Inner::Tcp(_) | Inner::Unix(_) => return None,
        };
        common.peer_certificates().and_then(<[_]>::first).map(|certificate| certificate.as_ref())
    }

    /// What binds a login to this TLS connection (`tls-server-end-point`, RFC 5929): the hash of the server's
    /// certificate, whichever side of it this is. None where the certificate's signature names no hash.
    #[must_use]
    pub fn server_end_point(&self) -> Option<Vec<u8>> {
        use ring::digest::{SHA256, SHA384, SHA512, digest};
        use x509_parser::oid_registry as oid;
        use x509_parser::prelude::{FromDer, X509Certificate};
        let der = match &self.inner {
            Inner::TlsClient(_) => self.peer_certificate()?,
            Inner::TlsServer(_, shown) => shown.cert.first()?.as_ref(),
            Inner::Memory(_) | Inner::Tcp(_) | Inner::Unix(_) => return None,
        };
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let signature = &certificate.signature_algorithm.algorithm;
        let of = |known: &[oid::Oid<'_>]| known.iter().any(|known| known == signature);
        // MD5 and SHA-1 are replaced by SHA-256, as the RFC says.
        let hash = if of(&[
            oid::OID_PKCS1_MD5WITHRSAENC,
            oid::OID_PKCS1_SHA1WITHRSA,
            oid::OID_PKCS1_SHA256WITHRSA,
            oid::OID_SIG_ECDSA_WITH_SHA256,
        ]) {
            &SHA256
        } else if of(&[oid::OID_PKCS1_SHA384WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA384]) {
            &SHA384
        } else if of(&[oid::OID_PKCS1_SHA512WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA512]) {
            &SHA512
        } else {
            return None;
        };
        Some(digest(hash, der).as_ref().to_vec())
    }
}

impl From<TcpStream> for Io {
    fn from(stream: TcpStream) -> Self {
        Self::of(Inner::Tcp(stream))
    }
}

impl From<UnixStream> for Io {
    fn from(stream: UnixStream) -> Self {
        Self::of(Inner::Unix(stream))
    }
}

impl From<tokio_rustls::client::TlsStream<Io>> for Io {
    fn from(stream: tokio_rustls::client::TlsStream<Io>) -> Self {
        Self::of(Inner::TlsClient(Box::new(stream)))
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.inner {
            Inner::Memory(_) => "Io(memory)",
            Inner::Tcp(_) => "Io(tcp)",
            Inner::TlsClient(_) => "Io(tls client)",
            Inner::TlsServer(..) => "Io(tls server)",
            Inner::Unix(_) => "Io(unix)",
        })
    }
}

/// Calls one method of whichever stream is inside.
macro_rules! inner {
    ($io:expr, $stream:ident => $call:expr) => {
        match &mut $io.get_mut().inner {
            Inner::Memory(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Inner::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Inner::TlsClient(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Inner::TlsServer(stream, _) => {
                let $stream = Pin::new(stream);
                $call
            }
            Inner::Unix(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some((bytes, at)) = &mut self.replay {
            let rest = bytes.get(*at..).unwrap_or_default();
            let taken = rest.len().min(buf.remaining());
            buf.put_slice(rest.get(..taken).unwrap_or_default());
            *at += taken;
            if *at >= bytes.len() {
                self.replay = None;
            }
            return Poll::Ready(Ok(()));
        }
        inner!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        inner!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A peer that is gone already is as closed as it can be.
        match ready!(inner!(self, stream => stream.poll_shutdown(cx))) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            done => Poll::Ready(done),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        inner!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Memory(stream) => stream.is_write_vectored(),
            Inner::Tcp(stream) => stream.is_write_vectored(),
            Inner::TlsClient(stream) => stream.is_write_vectored(),
            Inner::TlsServer(stream, _) => stream.is_write_vectored(),
            Inner::Unix(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn replayed_bytes_come_first_and_once() {
        let (near, mut far) = tokio::io::duplex(64);
        far.write_all(b"rest").await.unwrap();
        drop(far);
        let mut io = Io::memory(near).replaying(b"cd").replaying(b"ab");
        let mut first = [0; 3];
        io.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"abc");
        let mut all = Vec::new();
        io.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"drest");
        assert!(!io.is_tls() && io.tls().is_none() && io.peer_certificate().is_none());
    }
}
