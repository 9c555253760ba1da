//! The body of a request, whole or thrown away.
//!
//! Promises: never more than its limit, as sent and as decoded, nor than its principal may have (`held.rs`); a client that stops sending is not waited for; a body that
//! breaks its framing is an error and never a shorter body; trailers are dropped. What is refused unread is read off where
//! its client would else read no answer, as far as that is soon and little.
//! Held by: the raw table of `head/tests.rs` and the tests below.

use super::held::Share;
use crate::coding::{self, Coding, Undecodable};
use crate::head::Refusal;
use bytes::{Bytes, BytesMut};
use http::{StatusCode, Version};
use hyper::body::{Body, Incoming};
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

/// Bytes that are read to be thrown away, and how long for.
const THROWN: usize = 256 * 1024;
const SOON: Duration = Duration::from_secs(1);

/// The body of a request that was not read, or not to its end.
pub(super) struct Unread {
    pub(super) body: Incoming,
    pub(super) version: Version,
}

impl Unread {
    /// Reads it and throws it away. Over HTTP/2 a client that is answered early cuts its request short, which the library
    /// answers by resetting the stream, and a stream whose request is dropped is reset as well: neither shows its client
    /// the answer. Over HTTP/1.1 the library does what is needed.
    pub(super) async fn read_off(self) {
        if self.version == Version::HTTP_2 {
            tokio::time::timeout(SOON, read_off(self.body)).await.ok();
        }
    }
}

async fn read_off<B: Body<Data = Bytes>>(body: B) {
    let mut body = pin!(body);
    let mut thrown = 0;
    while let Some(Ok(frame)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await
        && thrown <= THROWN
    {
        thrown += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// Of a request, as it was read.
///
/// # Errors
/// [`Refusal`].
pub(super) async fn collect<B>(
    body: B,
    coding: Option<Coding>,
    most: usize,
    share: &mut Share,
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
        share.holds(whole.len() + data.len())?;
        whole.extend_from_slice(&data);
    }
    let decoded = coding::request(coding, whole.freeze(), most as u64).map_err(|why| match why {
        Undecodable::TooLarge => too_large,
        Undecodable::Unknown | Undecodable::Layered => Refusal {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            why: "a body is sent as it is, or as gzip and nothing else",
        },
        Undecodable::Malformed | Undecodable::Truncated | Undecodable::Trailing => {
            Refusal { status: StatusCode::BAD_REQUEST, why: "the body is not what its content coding says" }
        }
    })?;
    share.holds(decoded.len())?;
    Ok(decoded)
}

/// The body of a request whose principal sends nothing else.
#[cfg(test)]
pub(crate) async fn collected<B>(
    body: B,
    coding: Option<Coding>,
    most: usize,
    patience: Duration,
) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
{
    collect(body, coding, most, &mut super::held::Share::alone(most), patience).await
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
        assert_eq!(collected(full("abc"), None, 3, PATIENCE).await.unwrap(), "abc");
        assert_eq!(collected(full("abcd"), None, 3, PATIENCE).await.unwrap_err().status, 413);
        let pieces = |count: usize| {
            let frame = |_| Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"ab")));
            StreamBody::new(futures_util::stream::iter((0..count).map(frame)))
        };
        assert_eq!(collected(pieces(2), None, 4, PATIENCE).await.unwrap(), "abab");
        assert_eq!(collected(pieces(3), None, 4, PATIENCE).await.unwrap_err().status, 413);
    }

    #[tokio::test]
    async fn no_more_is_thrown_away_than_is_little() {
        let polled = std::cell::Cell::new(0_usize);
        let frames = (0..).map(|_| {
            polled.set(polled.get() + 1);
            Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; 1024])))
        });
        read_off(StreamBody::new(futures_util::stream::iter(frames))).await;
        assert!((THROWN / 1024..THROWN / 1024 + 4).contains(&polled.get()), "{}", polled.get());
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let never = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>());
        assert_eq!(collected(never, None, 4, Duration::from_millis(1)).await.unwrap_err().status, 408);
    }
}
