//! The way to one backend: where it is, and its pool of connections.
//!
//! Promises: host, scheme and prefix come from the configuration alone; TLS is verified as configured; HTTP/2 is spoken
//! where the backend chose it; connections are kept for a minute and never shared with another destination. What fails
//! is told without the address.
//! Held by: the tests of `upstream.rs`.

use crate::addresses::{Addresses, Mount};
use crate::api::{Api, mcp::Seal, rest::Opaque};
use crate::core::Target;
use crate::error::{Error, Result, Side};
use crate::frame::Request;
use crate::head::put;
use crate::login;
use crate::path::Path;
use crate::tools::ToolTable;
use crate::upstream::{Answered, Came};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use http_body_util::Full;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portcullis_gate::Session;
use portcullis_net::{Address, ClientTls, DialOptions, Io, VerifyMode, dial};
use std::io;
use std::pin::Pin;
use std::str::FromStr as _;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long a connection that nobody uses is kept.
const KEPT: Duration = Duration::from_secs(60);
/// Connections that nobody uses, of one destination.
const IDLE: usize = 32;
/// For the TLS handshake; dialling has its own limit.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes of a backend's head.
pub(super) const HEAD: usize = 128 * 1024;

/// Where a connection leads, and how its requests are read.
#[derive(Clone)]
pub struct Destination {
    /// Where it listens.
    pub address: Address,
    /// How it proves itself; `disabled` without TLS. With TLS it offers `h2` and `http/1.1`.
    pub tls: ClientTls,
    /// Its name with its port, where that is not the scheme's own: what `Host` says and what its certificate is for.
    pub authority: String,
    /// What stands before every path: empty, or canonical segments without a slash at the end.
    pub prefix: String,
    /// How its requests and answers are read.
    pub api: Api,
    /// Headers that every request has, besides those that its credential is made of.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Media types that pass unread.
    pub opaque: Arc<Opaque>,
    /// What the fields of tools hold.
    pub tools: Arc<ToolTable>,
    /// Seals the session ids of tool servers: the same on every replica of a gateway.
    pub seal: Arc<Seal>,
    /// `Host` names that mean it.
    pub hosts: Vec<String>,
    /// How long it may take to begin or to continue an answer.
    pub timeout: Duration,
}

/// A destination and its connections.
pub(crate) struct Way {
    client: Client<Connector, Full<Bytes>>,
    /// Makes connections that are in no pool and speak HTTP/1.1.
    pub(super) direct: Connector,
    scheme: Scheme,
    pub(super) authority: Authority,
    prefix: Path,
    headers: Vec<(HeaderName, HeaderValue)>,
    address: String,
    pub(crate) target: Arc<Target>,
    pub(crate) timeout: Duration,
}

impl Way {
    pub(crate) fn new(destination: &Destination) -> Result<Self> {
        let wrong = |what: &str| Error::Credential(format!("the destination is not usable: {what}").into());
        let authority = Authority::from_str(&destination.authority).map_err(|_| wrong("its host"))?;
        let prefix = if destination.prefix.is_empty() { "/" } else { &destination.prefix };
        let prefix = Path::read(prefix).map_err(|why| wrong(why.0))?;
        let plain = destination.tls.mode() == VerifyMode::Disable;
        let connector = Connector {
            address: destination.address.clone(),
            tls: (!plain).then(|| destination.tls.clone()),
            name: authority.host().trim_matches(['[', ']']).to_owned(),
        };
        let direct = Connector {
            tls: connector.tls.as_ref().map(|tls| tls.offering(&[b"http/1.1".as_slice()])),
            ..connector.clone()
        };
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT)
            .pool_max_idle_per_host(IDLE)
            .http1_max_buf_size(HEAD)
            .http2_max_header_list_size(u32::try_from(HEAD).unwrap_or(u32::MAX))
            .http2_keep_alive_interval(Duration::from_secs(30))
            .build(connector);
        Ok(Self {
            client,
            direct,
            scheme: if plain { Scheme::HTTP } else { Scheme::HTTPS },
            authority,
            prefix,
            headers: destination.headers.clone(),
            address: destination.address.to_string(),
            target: Arc::new(Target {
                api: destination.api,
                tools: Arc::clone(&destination.tools),
                opaque: Arc::clone(&destination.opaque),
                seal: Arc::clone(&destination.seal),
            }),
            timeout: destination.timeout,
        })
    }

    /// Sends a request, and waits for the head of its answer.
    pub(super) async fn send(&self, session: &Session, request: Request) -> Answered {
        let lease = session.lease().await.map_err(|error| Error::Credential(error.to_string().into()))?;
        let mut headers = self.built(&request)?;
        login::show(lease, &mut headers)?;
        let (method, uri) = (method(&request)?, self.uri(&request)?);
        let mut sent = http::Request::new(Full::new(request.body));
        *sent.method_mut() = method;
        *sent.uri_mut() = uri;
        *sent.headers_mut() = headers;
        match tokio::time::timeout(self.timeout, self.client.request(sent)).await {
            Ok(answered) => answered.map(Came::Answer).map_err(|error| self.failed(&error)),
            Err(_) => Err(Error::Timeout { side: Side::Backend, doing: "to begin an answer" }),
        }
    }

    /// The headers of a request but for the credential.
    pub(super) fn built(&self, request: &Request) -> Result<HeaderMap> {
        let mut headers = request.headers.clone();
        // A coding that is there all the same is decoded; asking for none saves both sides the work.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, value) in &self.headers {
            put(&mut headers, name.clone(), value.clone());
        }
        // The library would take it for this hop's.
        if headers.contains_key(header::HOST) || headers.contains_key(header::TRANSFER_ENCODING) {
            return Err(Error::Unsendable("a header of the framing came this far"));
        }
        Ok(headers)
    }

    /// The path below the prefix, and the query.
    pub(super) fn target_of(&self, request: &Request) -> Result<PathAndQuery> {
        let path = request.path.below(&self.prefix);
        let query = request.query.to_string();
        let target = if query.is_empty() { path.as_str().to_owned() } else { format!("{}?{query}", path.as_str()) };
        let target = PathAndQuery::from_maybe_shared(Bytes::from(target));
        target.map_err(|_| Error::Unsendable("a path that no request has"))
    }

    /// Writes what the head of an answer says of this destination as its client reaches it.
    pub(crate) fn readdress(&self, headers: &mut HeaderMap, mount: &Mount) {
        let (scheme, authority, prefix) = (self.scheme.as_str(), &self.authority, self.prefix.as_str());
        Addresses { scheme, authority, prefix, mount }.rewrite(headers);
    }

    fn uri(&self, request: &Request) -> Result<Uri> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(self.target_of(request)?);
        Uri::from_parts(parts).map_err(|_| Error::Unsendable("a target that no request has"))
    }

    fn failed(&self, error: &hyper_util::client::legacy::Error) -> Error {
        let told = deepest(error);
        if error.is_connect() {
            let address = self.address.clone();
            return Error::Net(portcullis_net::Error::Dial { address, source: io::Error::other(told) });
        }
        Error::Backend(told.into())
    }
}

/// What was wrong in the end.
pub(crate) fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    // A chain is a few errors long; a circle would be a fault of whoever made it.
    for _ in 0..16 {
        let Some(source) = last.source() else { break };
        last = source;
    }
    last.to_string()
}

fn method(request: &Request) -> Result<http::Method> {
    http::Method::from_bytes(request.method.word().as_bytes())
        .map_err(|_| Error::Unsendable("a method that no request has"))
}

/// Makes connections to one address.
#[derive(Clone)]
pub(super) struct Connector {
    address: Address,
    tls: Option<ClientTls>,
    name: String,
}

impl Connector {
    pub(super) async fn connect(self) -> portcullis_net::Result<Line> {
        let dialed = dial(&self.address, DialOptions::default()).await?;
        let Some(tls) = self.tls else {
            return Ok(Line { io: TokioIo::new(dialed.io), h2: false });
        };
        let late = || portcullis_net::Error::DialTimeout { address: self.address.to_string() };
        let shaken = tokio::time::timeout(HANDSHAKE, tls.connect(dialed.io, &self.name)).await;
        let io = shaken.map_err(|_| late())??;
        let h2 = io.tls().and_then(|info| info.alpn).is_some_and(|alpn| alpn == b"h2");
        Ok(Line { io: TokioIo::new(io), h2 })
    }
}

impl tower::Service<Uri> for Connector {
    type Response = Line;
    type Error = portcullis_net::Error;
    type Future = BoxFuture<'static, portcullis_net::Result<Line>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<portcullis_net::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The target is this connector's own: what the request names is not asked.
    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

/// A connection to a backend.
pub(super) struct Line {
    io: TokioIo<Io>,
    h2: bool,
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        if self.h2 { connected.negotiated_h2() } else { connected }
    }
}

impl Read for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
