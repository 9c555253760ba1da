//! The body of a request, whole.
//!
//! Promises: never more than its limit, as sent and as decoded; a client that stops sending is not waited for; a body that
//! breaks its framing is an error and never a shorter body; trailers are dropped.
//! Held by: the raw table of `head/tests.rs` and the tests below.

use crate::coding::{self, Coding, Undecodable};
use crate::head::Refusal;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use hyper::body::Body;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

/// Of a request, as it was read.
///
/// # Errors
/// [`Refusal`].
pub(crate) async fn collect<B>(
    body: B,
    coding: Option<Coding>,
    most: usize,
    patience: Duration,
) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let too_large = Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, why: "the body is larger than its limit" };
    if body.size_hint().lower() > most as u64 {
        return Err(too_large);
    }
    let mut whole = BytesMut::new();
    loop {
        let next = tokio::time::timeout(patience, poll_fn(|cx| body.as_mut().poll_frame(cx))).await;
        let late = Refusal { status: StatusCode::REQUEST_TIMEOUT, why: "the body took too long to arrive" };
        let broken = Refusal { status: StatusCode::BAD_REQUEST, why: "the body breaks off or breaks its framing" };
        let Some(frame) = next.map_err(|_| late)? else { break };
        let Ok(data) = frame.map_err(|_| broken)?.into_data() else { continue };
        if whole.len() + data.len() > most {
            return Err(too_large);
        }
        whole.extend_from_slice(&data);
    }
    coding::request(coding, whole.freeze(), most as u64).map_err(|why| match why {
        Undecodable::TooLarge => too_large,
        Undecodable::Unknown | Undecodable::Layered => Refusal {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            why: "a body is sent as it is, or as gzip and nothing else",
        },
        Undecodable::Malformed | Undecodable::Truncated | Undecodable::Trailing => {
            Refusal { status: StatusCode::BAD_REQUEST, why: "the body is not what its content coding says" }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use std::convert::Infallible;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_body_has_its_limit_announced_or_not() {
        let full = |text: &'static str| Full::new(Bytes::from(text));
        assert_eq!(collect(full("abc"), None, 3, PATIENCE).await.unwrap(), "abc");
        assert_eq!(collect(full("abcd"), None, 3, PATIENCE).await.unwrap_err().status, 413);
        let pieces = |count: usize| {
            let frame = |_| Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"ab")));
            StreamBody::new(futures_util::stream::iter((0..count).map(frame)))
        };
        assert_eq!(collect(pieces(2), None, 4, PATIENCE).await.unwrap(), "abab");
        assert_eq!(collect(pieces(3), None, 4, PATIENCE).await.unwrap_err().status, 413);
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let never = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>());
        assert_eq!(collect(never, None, 4, Duration::from_millis(1)).await.unwrap_err().status, 408);
    }
}
