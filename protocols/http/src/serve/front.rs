//! What hyper calls: one request in, the head of one answer out.
//!
//! Promises: a request without a credential is answered here, and nothing of it reaches the gate; one whose head is not read
//! in one way only is so too where it does not say who asks and of what, and else is refused by the task that owns the
//! connection, which has it recorded. Everything else goes to that task and waits for it. What an answer is
//! shaped like before anybody is known is taken from the request, never from the connection it names.
//! Held by: the raw table of `head/tests.rs`, `tests/it/http*.rs` of the binary.

use super::body::Unread;
use super::{Http, REQUESTS};
use crate::api::Api;
use crate::frame::Head;
use crate::head::{self, HEADERS, LARGEST, Received, Refusal};
use crate::reply;
use crate::upstream::{ClientAnswer, Streamed};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::{Body as _, Incoming};
use hyper::service::Service;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use portcullis_gate::NotEntered;
use portcullis_model::{Command, Name};
use secrecy::SecretString;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Bytes of HTTP/2's windows: what a client may send unread, of a request and of all.
const WINDOW: u32 = 256 * 1024;
const WINDOWS: u32 = 1024 * 1024;

/// A request on its way to the connection's task.
pub(super) struct Arrived {
    pub(super) connection: Name,
    /// What its client proves itself with; taken by whoever asks about it.
    pub(super) credential: Option<SecretString>,
    /// What the client calls itself.
    pub(super) agent: Option<Arc<str>>,
    /// Which API it looks like.
    pub(super) shape: Option<Api>,
    pub(super) asks: Asks,
    pub(super) body: Unread,
    pub(super) responder: Responder,
}

/// What was read of its head.
pub(super) enum Asks {
    /// All.
    This(Box<Received>),
    /// It is refused, in the record too once it is known who asked.
    Unread(Box<Command>, Refusal),
}

/// The gateway's own words, and what was not read of the request that they answer.
pub(super) type Told = (Response<ClientAnswer>, Unread);

/// Where its answer goes.
pub(super) struct Responder {
    pub(super) answer: oneshot::Sender<Told>,
    pub(super) stream: oneshot::Sender<Response<Streamed>>,
    /// Told when hyper drops the request or its answer before the end.
    pub(super) gone: CancellationToken,
    /// Its client's connection, where the answer makes a socket of it.
    pub(super) upgrade: OnUpgrade,
}

/// The service of one connection.
pub(super) struct Front {
    http: Arc<Http>,
    arrivals: mpsc::Sender<Arrived>,
}

impl Front {
    pub(super) const fn new(http: Arc<Http>, arrivals: mpsc::Sender<Arrived>) -> Self {
        Self { http, arrivals }
    }
}

impl Service<Request<Incoming>> for Front {
    type Response = Response<ClientAnswer>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<ClientAnswer>, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let upgrade = hyper::upgrade::on(&mut request);
        let (parts, body) = request.into_parts();
        let shape = shape(parts.uri.path(), &parts.headers);
        let sends_body = !body.is_end_stream();
        let body = Unread { body, version: parts.version };
        let routes = &self.http.routes;
        let (answer, answered) = oneshot::channel();
        let (stream, streamed) = oneshot::channel();
        let responder = Responder { answer, stream, gone: CancellationToken::new(), upgrade };
        let arrived = match head::read(&parts, sends_body, routes) {
            Ok(mut received) => {
                received.mount.tls = self.http.settings.tls.is_some();
                let Some(credential) = received.credential.take() else {
                    let nobody = NotEntered::Identity { retry_after: None };
                    return told((whole(reply::not_entered(shape, &nobody, "")), body));
                };
                let (connection, agent) = (received.connection.clone(), received.agent.take());
                let (credential, asks) = (Some(credential), Asks::This(Box::new(received)));
                Arrived { connection, credential, agent, shape, asks, body, responder }
            }
            Err(refusal) => {
                let Some(unread) = head::unread(&parts, refusal, routes) else {
                    return told((closing(whole(reply::malformed(shape, refusal.status, refusal.why))), body));
                };
                let head::Unread { connection, credential, command, agent } = unread;
                let (credential, asks) = (Some(credential), Asks::Unread(Box::new(command), refusal));
                Arrived { connection, credential, agent, shape, asks, body, responder }
            }
        };
        let arrivals = self.arrivals.clone();
        Box::pin(async move { Ok(ask(arrivals, arrived, answered, streamed).await) })
    }
}

fn told((response, unread): Told) -> BoxFuture<'static, Result<Response<ClientAnswer>, Infallible>> {
    Box::pin(async move {
        unread.read_off().await;
        Ok(response)
    })
}

async fn ask(
    arrivals: mpsc::Sender<Arrived>,
    arrived: Arrived,
    answered: oneshot::Receiver<Told>,
    streamed: oneshot::Receiver<Response<Streamed>>,
) -> Response<ClientAnswer> {
    let shape = arrived.shape;
    // Dropped with this future, where hyper drops it; behind the head, the body has one of its own.
    let guard = arrived.responder.gone.clone().drop_guard();
    if arrivals.send(arrived).await.is_err() {
        return unrecorded(shape);
    }
    let response = tokio::select! {
        Ok((answer, unread)) = answered => {
            unread.read_off().await;
            answer
        }
        Ok(streamed) = streamed => streamed.map(Either::Right),
        else => unrecorded(shape),
    };
    guard.disarm();
    response
}

/// Nothing was released: the record failed, or the session is over.
fn unrecorded(shape: Option<Api>) -> Response<ClientAnswer> {
    let error = crate::error::Error::RecordUnavailable;
    let api = shape.unwrap_or(Api::Rest);
    closing(whole(reply::failed(api, StatusCode::SERVICE_UNAVAILABLE, error.told(), error.may_pass())))
}

/// An answer in the gateway's own words.
pub(super) fn whole((head, body): (Head, Bytes)) -> Response<ClientAnswer> {
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// The last one of its connection: what follows it is not read.
pub(super) fn closing(mut response: Response<ClientAnswer>) -> Response<ClientAnswer> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Which API a request looks like, for whom nothing may be told of the connection yet.
pub(super) fn shape(path: &str, headers: &HeaderMap) -> Option<Api> {
    let below = |end: &str| path.trim_end_matches('/').ends_with(end);
    if headers.contains_key("anthropic-version") || below("/v1/messages") || below("/v1/messages/count_tokens") {
        return Some(Api::Anthropic);
    }
    if ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/models"].iter().any(|end| below(end)) {
        return Some(Api::OpenAi);
    }
    // The first message of a session has no header of the protocol's own, but must accept both of these.
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let takes_both = accepts.contains("application/json") && accepts.contains("text/event-stream");
    (takes_both || headers.contains_key("mcp-protocol-version")).then_some(Api::Mcp)
}

/// HTTP/1.1 and HTTP/2 within our limits.
pub(crate) fn listener(patience: Duration) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_headers(HEADERS)
        .max_buf_size(LARGEST)
        .half_close(false);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(u32::try_from(REQUESTS).unwrap_or(u32::MAX))
        .max_header_list_size(u32::try_from(LARGEST).unwrap_or(u32::MAX))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOWS)
        .max_send_buf_size(256 * 1024)
        .max_pending_accept_reset_streams(REQUESTS)
        .max_local_error_reset_streams(64)
        .keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(20));
    server
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_shaped_by_what_was_asked() {
        let mut headers = HeaderMap::new();
        assert_eq!(shape("/claude/v1/messages", &headers), Some(Api::Anthropic));
        assert_eq!(shape("/nobody/v1/chat/completions", &headers), Some(Api::OpenAi));
        assert_eq!(shape("/crm/orders", &headers), None);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        assert_eq!(shape("/tools/", &headers), Some(Api::Mcp));
        assert_eq!(shape("/claude/v1/messages", &headers), Some(Api::Anthropic));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        assert_eq!(shape("/tools/", &headers), None);
        headers.insert("mcp-protocol-version", HeaderValue::from_static("2025-11-25"));
        assert_eq!(shape("/tools/", &headers), Some(Api::Mcp));
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        assert_eq!(shape("/claude/v1/models", &headers), Some(Api::Anthropic));
    }
}
