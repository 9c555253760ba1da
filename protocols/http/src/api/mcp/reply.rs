//! What a client of a tool server is told (DESIGN 7).
//!
//! | what | how |
//! |---|---|
//! | a tool call that is refused, or that people have not decided about yet | 200, a result with `isError: true`: every client gives it to its model |
//! | another request that is refused | 200, a JSON-RPC error |
//! | a message that cannot be read | the status that the protocol has for it, a JSON-RPC error |
//! | GET, DELETE, a notification that is refused | 403, a JSON-RPC error |
//! | the server is out of reach | the status, a JSON-RPC error |
//!
//! Promises: what is said is the gateway's own; only the client's own `id` is copied.
//! Held by: `tests.rs`.

use super::message::{self, Id, Refusal, Said, VERSION, What};
use super::methods;
use crate::frame::{Head, Request};
use crate::json::quoted;
use crate::reply::{left_text, refusal_text};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portcullis_gate::LeftOpen;
use portcullis_model::{Denial, Reason};
use std::time::Duration;

/// How long a call waits for people before its client is told: clients give up after 60 seconds whatever is sent meanwhile.
pub(crate) const PATIENCE: Duration = Duration::from_secs(50);

/// The code of a refusal, outside of what JSON-RPC reserves (2026-07-28, "Error Codes").
const REFUSED: i64 = 403;
/// JSON-RPC 2.0 §5.1.
pub(super) const INTERNAL: i64 = -32603;

/// A refusal.
pub(crate) fn refused(request: &Request, denial: &Denial) -> (Head, Bytes) {
    let text = refusal_text(denial);
    match message::of(request) {
        Err(refusal) => unread(&refusal),
        Ok(read) => {
            let status = match &denial.reason {
                Reason::IdentityRevoked => StatusCode::UNAUTHORIZED,
                Reason::RecordUnavailable => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::FORBIDDEN,
            };
            said(&read.said, read.stateless, status, &text)
        }
    }
}

/// A call that its client does not stay for; its request stays open.
pub(crate) fn left(request: &Request, left: &LeftOpen) -> (Head, Bytes) {
    let text = format!("[portcullis] not run yet: {}", left_text(left));
    match message::of(request) {
        Err(refusal) => unread(&refusal),
        Ok(read) => said(&read.said, read.stateless, StatusCode::CONFLICT, &text),
    }
}

/// A failure that is nobody's refusal.
pub(crate) fn failed(request: &Request, status: StatusCode, why: &str) -> (Head, Bytes) {
    let id = match message::of(request) {
        Ok(message::Message { said: Said::Request(id, _), .. }) => Some(id),
        Ok(_) => None,
        Err(refusal) => refusal.id,
    };
    json(status, error(id.as_ref(), INTERNAL, &format!("[portcullis] {why}"), None))
}

fn unread(refusal: &Refusal) -> (Head, Bytes) {
    let data = refusal.version.as_ref().filter(|_| refusal.code == VERSION).map(|requested| {
        let known: Vec<String> = methods::versions().iter().map(|version| quoted(version)).collect();
        format!(r#"{{"supported":[{}],"requested":{}}}"#, known.join(","), quoted(requested))
    });
    let text = format!("[portcullis] {}", refusal.fault.message());
    json(refusal.status, error(refusal.id.as_ref(), refusal.code, &text, data.as_deref()))
}

fn said(said: &Said, stateless: bool, status: StatusCode, text: &str) -> (Head, Bytes) {
    match said {
        Said::Request(id, What::Tool { .. }) => json(StatusCode::OK, tool_error(id, stateless, text)),
        Said::Request(id, What::Session | What::Tools | What::Read(..)) => {
            json(StatusCode::OK, error(Some(id), REFUSED, text, None))
        }
        Said::Notification | Said::Pong | Said::Stream | Said::Close => json(status, error(None, REFUSED, text, None)),
    }
}

/// The result of a tool that failed.
pub(super) fn tool_error(id: &Id, stateless: bool, text: &str) -> String {
    let kind = if stateless { r#""resultType":"complete","# } else { "" };
    let (id, text) = (id.written(), quoted(text));
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{{kind}"content":[{{"type":"text","text":{text}}}],"isError":true}}}}"#
    )
}

/// An error of JSON-RPC. Its id is null where the request's is not known (JSON-RPC 2.0 §5): clients take none without.
pub(super) fn error(id: Option<&Id>, code: i64, text: &str, data: Option<&str>) -> String {
    let id = id.map_or_else(|| "null".to_owned(), Id::written);
    let data = data.map(|data| format!(r#","data":{data}"#)).unwrap_or_default();
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{}{data}}}}}"#, quoted(text))
}

fn json(status: StatusCode, body: String) -> (Head, Bytes) {
    let body = Bytes::from(body);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (Head { status, headers }, body)
}
