//! The three ways to the router: TLS with a token, the admin socket, and in process.
//!
//! Promises: a [`Caller`] is added only here, from a token that `identity` accepted or because the request came through
//! the admin socket (mode 0600, in a directory of mode 0700) or from this process; a caller's own headers cannot make
//! one. Headers are bounded in size and time, a connection that sends none in ten seconds is closed; a body that is not
//! there ten seconds after its headers is none.
//! Held by: `tests/it`, and the test below.

use crate::Api;
use crate::caller::Caller;
use crate::router;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, Response, header};
use futures_util::{Stream, StreamExt as _, stream};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use portcullis_identity::{Authenticated, Identity, Proof};
use portcullis_net::{Accepted, Drain, ServerTls};
use secrecy::SecretString;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tower::service_fn;

/// How long a client may take to send a request's headers, and to finish a TLS handshake.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);

/// How long a client may take to send a request's body: whoever it is was looked at before.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// Bytes of one request's headers.
const HEADER_BYTES: usize = 16 * 1024;

/// Answers one request in this process, as the local administrator.
pub async fn call(api: Arc<Api>, request: Request<Body>, caller: Authenticated) -> Response<Body> {
    answer(&router(api), request, Some(Caller(caller))).await
}

/// Serves one connection of the console listener; plaintext where `tls` is absent.
pub async fn serve_tls(api: Arc<Api>, accepted: Accepted, tls: Option<ServerTls>) {
    let Accepted { io, peer, unauthenticated, drain, .. } = accepted;
    let io = match tls {
        None => io,
        Some(tls) => match tokio::time::timeout(HEADERS_WITHIN, tls.accept(io)).await {
            Ok(Ok(io)) => io,
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "no TLS with this client of the console"),
            Err(_) => return tracing::debug!(%peer, "a client of the console took too long over TLS"),
        },
    };
    unauthenticated.authenticated();
    let identity = Arc::clone(&api.identity);
    let from = peer.ip();
    let routes = router(api);
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (routes, identity) = (routes.clone(), Arc::clone(&identity));
        async move {
            let request =
                request.map(|body| Body::from_stream(in_time(Body::new(body).into_data_stream(), BODY_WITHIN)));
            let caller = bearer(&identity, request.headers().get(header::AUTHORIZATION).cloned(), from).await;
            Ok::<_, Infallible>(answer(&routes, request, caller).await)
        }
    });
    drive(io, service, &drain).await;
}

/// The admin socket: whoever may open it is the local administrator.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Makes the socket, mode 0600, instead of one that a crash left behind.
    ///
    /// # Errors
    /// When it cannot be made there.
    pub fn bind(path: &Path) -> io::Result<Self> {
        // Nobody else has the store open, so a socket that is there is nobody's.
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves until the drain starts, then removes the socket.
    pub async fn serve(self, api: Arc<Api>, caller: Authenticated, drain: Drain) {
        let routes = router(api);
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = drain.draining() => break,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the admin socket cannot accept; trying again");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (routes, caller, drain) = (routes.clone(), caller.clone(), drain.clone());
            tasks.spawn(async move {
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let (routes, caller) = (routes.clone(), Caller(caller.clone()));
                    let request =
                        request.map(|body| Body::from_stream(in_time(Body::new(body).into_data_stream(), BODY_WITHIN)));
                    async move { Ok::<_, Infallible>(answer(&routes, request, Some(caller)).await) }
                });
                drive(stream, service, &drain).await;
            });
        }
        tasks.close();
        tasks.wait().await;
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the admin socket was gone already");
        }
    }
}

/// A body, which fails where it is not there in time.
fn in_time<S, E>(body: S, within: Duration) -> impl Stream<Item = io::Result<Bytes>> + Send
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let ends = Instant::now() + within;
    stream::unfold(Some(body), move |body| async move {
        let mut body = body?;
        match timeout_at(ends, body.next()).await {
            Ok(piece) => piece.map(|piece| (piece.map_err(io::Error::other), Some(body))),
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
        }
    })
}

/// Whoever the bearer token proves.
async fn bearer(identity: &Identity, header: Option<HeaderValue>, from: IpAddr) -> Option<Caller> {
    let token = SecretString::from(header?.to_str().ok()?.strip_prefix("Bearer ")?);
    let proof = Proof::Token { token, claimed_user: None };
    match identity.authenticate(proof, from, Timestamp::now()).await {
        Ok(authenticated) => Some(Caller(authenticated)),
        Err(refused) => {
            tracing::info!(%from, why = refused.why().words(), "a token was refused at the console");
            None
        }
    }
}

async fn answer(routes: &Router, mut request: Request<Body>, caller: Option<Caller>) -> Response<Body> {
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    match routes.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Runs HTTP/1.1 over the stream until it ends or the drain starts.
async fn drive<I, S>(io: I, service: S, drain: &Drain)
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: tower::Service<Request<hyper::body::Incoming>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.draining() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                // A stream that is being followed has no end of its own.
                () = tokio::time::sleep(Duration::from_secs(1)) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the console ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test]
    async fn a_body_that_does_not_come_in_time_is_none() {
        let piece = |text: &'static str| Ok::<_, io::Error>(Bytes::from_static(text.as_bytes()));
        let whole: Vec<_> = in_time(stream::iter([piece("{"), piece("}")]), BODY_WITHIN).collect().await;
        assert_eq!(whole.into_iter().map(Result::unwrap).collect::<Vec<_>>(), ["{", "}"]);
        // One piece after the other, without an end, and none.
        let slow = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Ok::<_, io::Error>(Bytes::from_static(b" ")), ()))
        });
        for body in [slow.boxed(), stream::once(pending()).boxed()] {
            let last = in_time(body, Duration::from_millis(20)).collect::<Vec<_>>().await.pop().unwrap();
            assert_eq!(last.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
    }
}
