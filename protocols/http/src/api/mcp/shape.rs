//! How a tool server's answer comes, by its head.
//!
//! Promises: an answer is JSON or a stream of events, and called that in the head that the client gets, with a closed list of
//! headers; an error in another form becomes one in the gateway's words; a session id leaves sealed or not at all.
//! Held by: `tests.rs`.

use super::headers::{SESSION, is_type};
use super::message::{Id, Said, What};
use crate::api::Unfit;
use crate::frame::Head;
use crate::sse::Parser;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// What the request was, as far as its answer depends on it.
pub(super) enum Expects {
    /// The answer to this request.
    Answer(Id, Asks),
    /// Nothing: the status alone.
    Status,
    /// What the server says by itself; answers too where a broken stream is taken up again.
    Stream { resumed: bool },
}

/// What its result may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Tools,
    Tool,
    Other,
}

impl Expects {
    pub(super) fn of(said: &Said, resumed: bool) -> Self {
        match said {
            Said::Request(id, what) => {
                let asks = match what {
                    What::Tools => Asks::Tools,
                    What::Tool { .. } => Asks::Tool,
                    What::Session | What::Read(..) => Asks::Other,
                };
                Self::Answer(id.clone(), asks)
            }
            Said::Notification | Said::Pong | Said::Close => Self::Status,
            Said::Stream => Self::Stream { resumed },
        }
    }
}

/// How the answer comes.
pub(super) enum Body {
    Nothing,
    /// An error of the server in words that do not pass.
    Withheld,
    Message(Vec<u8>),
    Events(Parser),
}

/// How the answer with this head comes.
///
/// # Errors
/// [`Unfit`].
pub(super) fn body_of(expects: &Expects, head: &Head) -> Result<Body, Unfit> {
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let good = head.status.is_success();
    let empty = matches!(head.status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT);
    if head.status.is_informational() || head.status.is_redirection() {
        return Err(Unfit("the tool server redirects, and the gateway does not follow"));
    }
    if is_type(kind, "application/json") && !matches!((expects, good), (Expects::Status, true)) {
        return Ok(Body::Message(Vec::new()));
    }
    if !good {
        return Ok(Body::Withheld);
    }
    match expects {
        Expects::Status => Ok(Body::Nothing),
        Expects::Answer(..) | Expects::Stream { .. } if is_type(kind, "text/event-stream") => {
            Ok(Body::Events(Parser::default()))
        }
        Expects::Answer(..) | Expects::Stream { .. } if empty => Ok(Body::Nothing),
        Expects::Answer(..) | Expects::Stream { .. } => {
            Err(Unfit("the tool server's answer is neither JSON nor a stream of events"))
        }
    }
}

/// What seals a session id.
pub(super) type Sealing<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The headers that the client gets. `sealed` seals a session id; it is none where there are no sessions.
///
/// # Errors
/// [`Unfit`].
pub(super) fn headers(old: &HeaderMap, body: &Body, sealed: Option<Sealing<'_>>) -> Result<HeaderMap, Unfit> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("authorization"));
    if let Some(wait) = old.get(header::RETRY_AFTER).filter(|wait| wait.as_bytes().iter().all(u8::is_ascii_digit)) {
        headers.insert(header::RETRY_AFTER, wait.clone());
    }
    let kind = match body {
        Body::Nothing => None,
        Body::Withheld | Body::Message(_) => Some("application/json"),
        Body::Events(_) => Some("text/event-stream"),
    };
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    if matches!(body, Body::Events(_)) {
        headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    }
    let mut sessions = old.get_all(SESSION).iter();
    if let Some((id, sealed)) = sessions.next().zip(sealed) {
        let id = id.to_str().ok().filter(|_| sessions.next().is_none());
        let value = id.and_then(sealed).and_then(|sealed| HeaderValue::from_str(&sealed).ok());
        headers.insert(SESSION, value.ok_or(Unfit("the tool server's session id is none"))?);
    }
    Ok(headers)
}
