//! One client of the one API router: through the admin socket, over TLS, or in process over the opened store.
//!
//! Promises: the same request gives the same answer whichever way it goes; with `--config` the running gateway is asked
//! where there is one, and the store itself, opened as its only user, where there is none, so the two never disagree.
//! Held by: `tests/it`.

use crate::args::GatewayArgs;
use crate::assemble::{self, Offline};
use crate::error::Failure;
use crate::state;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use portcullis_net::{Address, ClientTls, DialOptions, Roots, VerifyMode, dial};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

/// A way to the router.
pub(crate) enum Client {
    /// The running gateway's admin socket.
    Socket(PathBuf),
    /// A gateway's console listener; without a token as nobody.
    Tls { address: String, tls: ClientTls, token: Option<SecretString> },
    /// The store of a gateway that does not run.
    Offline(Box<Offline>),
}

/// An answer whose body is still to come.
pub(crate) struct Answer {
    body: axum::body::Body,
    /// The connection that carries it; ends with this value.
    _carrier: Option<JoinSet<()>>,
}

#[derive(Deserialize)]
struct ProblemDetails {
    detail: String,
}

impl Client {
    /// The way that the arguments name.
    pub(crate) async fn open(args: &GatewayArgs) -> Result<Self, Failure> {
        if let Some(address) = &args.gateway {
            let Some(token) = state::token(Some(address)) else {
                let help = "log in with `portcullis login`, or put a token in PORTCULLIS_TOKEN, to use --gateway";
                return Err(Failure::Usage(help.to_owned()));
            };
            return Self::over_tls(address, args.ca.as_deref(), Some(token));
        }
        let Some(config) = &args.config else {
            return Err(Failure::Usage("name a gateway: --config FILE or --gateway HOST:PORT".to_owned()));
        };
        let config = assemble::load(config)?;
        let socket = assemble::admin_socket(&config);
        match UnixStream::connect(&socket).await {
            Ok(_) => Ok(Self::Socket(socket)),
            Err(_) => Ok(Self::Offline(Box::new(assemble::offline(&config).await?))),
        }
    }

    /// The way to a gateway's console listener, with this token or as nobody.
    pub(crate) fn over_tls(address: &str, ca: Option<&Path>, token: Option<SecretString>) -> Result<Self, Failure> {
        let roots = ca.map_or(Roots::Native, |file| Roots::File(file.to_owned()));
        let tls = ClientTls::new(VerifyMode::VerifyFull, &roots, &[b"http/1.1"])
            .map_err(|error| Failure::refused("the certificate authority", error))?;
        Ok(Self::Tls { address: address.to_owned(), tls, token })
    }

    /// Asks and reads the whole answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Result<T, Failure> {
        let bytes = self.ask(method, path, body).await?.bytes().await?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Asks; an error of the API becomes a refusal in its own words.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "portcullis");
        if let Self::Tls { token: Some(token), .. } = self {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
        }
        let bytes = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                serde_json::to_vec(&body)?
            }
            None => Vec::new(),
        };
        let request = request
            .body(Bytes::from(bytes))
            .map_err(|error| Failure::refused("the request could not be made", error))?;
        let (status, answer) = self.send(request).await?;
        if status.is_success() {
            return Ok(answer);
        }
        let bytes = answer.bytes().await?;
        let detail = serde_json::from_slice::<ProblemDetails>(&bytes)
            .map_or_else(|_| String::from_utf8_lossy(&bytes).trim().to_owned(), |problem| problem.detail);
        Err(Failure::Refused(detail))
    }

    async fn send(&self, request: Request<Bytes>) -> Result<(StatusCode, Answer), Failure> {
        match self {
            Self::Offline(offline) => {
                let request = request.map(axum::body::Body::from);
                let response = offline.call(request).await;
                Ok((response.status(), Answer { body: response.into_body(), _carrier: None }))
            }
            Self::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(unreachable)?;
                exchange(stream, request).await
            }
            Self::Tls { address, tls, token: _ } => {
                let address: Address = address.parse().map_err(|error| Failure::Usage(format!("{error}")))?;
                let host = address.host().unwrap_or_default().to_owned();
                let dialed = dial(&address, DialOptions::default()).await.map_err(unreachable)?;
                let io = tls.connect(dialed.io, &host).await.map_err(unproven)?;
                exchange(io, request).await
            }
        }
    }
}

impl Answer {
    /// The whole body.
    pub(crate) async fn bytes(self) -> Result<Bytes, Failure> {
        Ok(self.body.collect().await.map_err(unreachable)?.to_bytes())
    }

    /// Gives each line of the body to `line` as it comes, until the body ends or `line` fails.
    pub(crate) async fn lines(self, mut line: impl AsyncFnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut body = self.body;
        let mut pending: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data): Result<Bytes, _> = frame.map_err(unreachable)?.into_data() else { continue };
            pending.extend_from_slice(&data);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let rest = pending.split_off(end + 1);
                line(text_of(&pending)?.trim_end()).await?;
                pending = rest;
            }
        }
        if pending.is_empty() { Ok(()) } else { line(text_of(&pending)?).await }
    }
}

fn text_of(bytes: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(bytes).map_err(|_| Failure::Refused("the answer is not text".to_owned()))
}

/// It answers, and does not prove that it is the one.
fn unproven(error: impl std::fmt::Display) -> Failure {
    let mut told = error.to_string();
    if told.contains("UnknownIssuer") {
        told.push_str("; name its certificate authority with --ca FILE");
    }
    Failure::Unreachable(told)
}

fn unreachable(error: impl std::fmt::Display) -> Failure {
    Failure::Unreachable(error.to_string())
}

/// One request over a fresh connection.
async fn exchange<I>(io: I, request: Request<Bytes>) -> Result<(StatusCode, Answer), Failure>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(unreachable)?;
    let mut carrier = JoinSet::new();
    carrier.spawn(async move {
        // How the connection ended shows in the body.
        let _ended = connection.await;
    });
    let response = sender.send_request(request.map(Full::new)).await.map_err(unreachable)?;
    let (parts, body) = response.into_parts();
    Ok((parts.status, Answer { body: axum::body::Body::new(body), _carrier: Some(carrier) }))
}
