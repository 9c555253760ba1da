//! A request for a socket: over a connection of its own, which is nobody else's afterwards.
//!
//! Promises: host, prefix, headers and credential are those of any request of this destination; TLS offers HTTP/1.1 alone,
//! and no compression is offered; the socket is one only where the backend agreed to what it was asked. Any other answer
//! is read as one of HTTP. Does not promise that the socket says anything. Held by: `tests/it/websocket.rs` of the binary.

use super::way::{HEAD, Way, deepest};
use super::{Answered, Came};
use crate::error::{Error, Result, Side};
use crate::frame::Request;
use crate::login;
use crate::websocket::{Key, switched};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portcullis_gate::Session;
use ring::rand::SystemRandom;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// What a connection still has to do once its answer began: the body is read by it.
pub(super) type Driving = BoxFuture<'static, ()>;

/// Bytes both ways, whatever they go through.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A socket to a backend.
pub(crate) struct Switched {
    pub(crate) io: Box<dyn Wire>,
    /// The protocol that it chose of those that were offered.
    pub(crate) protocol: Option<HeaderValue>,
}

impl Way {
    /// Asks for a socket, and waits for the head of the answer.
    pub(super) async fn open(self: Arc<Self>, session: Arc<Session>, request: Request) -> (Answered, Option<Driving>) {
        match tokio::time::timeout(self.timeout, self.opened(&session, &request)).await {
            Ok(Ok((came, driving))) => (Ok(came), driving),
            Ok(Err(error)) => (Err(error), None),
            Err(_) => (Err(Error::Timeout { side: Side::Backend, doing: "to begin an answer" }), None),
        }
    }

    async fn opened(&self, session: &Session, request: &Request) -> Result<(Came, Option<Driving>)> {
        let lease = session.lease().await.map_err(|error| Error::Credential(error.to_string().into()))?;
        let key = Key::fresh(&SystemRandom::new());
        let key = key.ok_or_else(|| Error::Credential("the system gives no random bytes".into()))?;
        let unusable = || Error::Unsendable("a header that no request has");
        let mut headers = self.built(request)?;
        login::show(lease, &mut headers)?;
        headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
        headers.insert(header::HOST, HeaderValue::from_str(self.authority.as_str()).map_err(|_| unusable())?);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_str(key.as_str()).map_err(|_| unusable())?);
        let mut sent = http::Request::new(Full::<Bytes>::default());
        *sent.uri_mut() = Uri::from(self.target_of(request)?);
        *sent.headers_mut() = headers;

        let broke = |error: hyper::Error| Error::Backend(deepest(&error).into());
        let line = self.direct.clone().connect().await?;
        let (mut sender, connection) = http1::Builder::new().max_buf_size(HEAD).handshake(line).await.map_err(broke)?;
        let connection = connection.with_upgrades();
        let mut driving: Driving = Box::pin(async move { connection.await.unwrap_or_default() });
        let mut answering = std::pin::pin!(sender.send_request(sent));
        let mut driven = false;
        let answered = loop {
            tokio::select! {
                biased;
                answered = answering.as_mut() => break answered,
                // What it read before is in the answer, or there is none.
                () = &mut driving, if !driven => driven = true,
            }
        };
        let mut response = answered.map_err(broke)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok((Came::Answer(response), (!driven).then_some(driving)));
        }
        let protocol = switched(response.headers(), &key, request);
        let protocol = protocol.map_err(|why| Error::Backend(format!("it opens no socket: {}", why.0).into()))?;
        let upgrade = hyper::upgrade::on(&mut response);
        if !driven {
            driving.await;
        }
        let io = Box::new(TokioIo::new(upgrade.await.map_err(broke)?));
        Ok((Came::Switched(Switched { io, protocol }), None))
    }
}
