//! The headers of the protocol, which must say what the body says.
//!
//! Promises: of each header that means something there is one at most; what `Mcp-Method`, `Mcp-Name`,
//! `MCP-Protocol-Version` and `Mcp-Param-*` say is in the body, decoded where it is encoded (2026-07-28, "Request Metadata"),
//! so that whoever behind the gateway goes by headers goes by what was judged. Only a closed list of headers is sent on,
//! and nothing that a web page sends.
//! Does not promise that a `Mcp-Param-*` header belongs to the argument it equals: which argument it copies is in the
//! tool's schema, which the server checks; here its value must be one of the arguments' values.
//! Held by: `fixtures/http/mcp.tsv`, which `tests.rs` plays.

mod params;

use super::message::{INVALID, META_VERSION, MISMATCH, Refusal, Said, VERSION, What};
use super::methods::{self, Row, STATELESS};
use crate::frame::Request;
use crate::json::Node;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};

pub(super) const SESSION: &str = "mcp-session-id";
pub(super) const LAST_EVENT: &str = "last-event-id";
const PROTOCOL_VERSION: &str = "mcp-protocol-version";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
const PARAM: &str = "mcp-param-";
const ENCODED: (&str, &str) = ("=?base64?", "?=");
const BOTH: &str = "application/json, text/event-stream";

/// What is sent on, beside `Mcp-Param-*`.
const SENT: &[&str] = &[
    "accept",
    "content-type",
    "user-agent",
    "traceparent",
    "tracestate",
    SESSION,
    LAST_EVENT,
    PROTOCOL_VERSION,
    METHOD,
    NAME,
];

fn mismatch(why: impl Into<String>) -> Refusal {
    Refusal::new(MISMATCH, why)
}

/// Refuses a header that stands twice or is no plain text.
pub(super) fn once_each(request: &Request) -> Result<(), Refusal> {
    for name in request.headers.keys() {
        let name = name.as_str();
        if name.starts_with("mcp-") || matches!(name, LAST_EVENT | "content-type") {
            let mut values = request.headers.get_all(name).iter();
            let one = values.next().is_some_and(|value| value.to_str().is_ok());
            if !one || values.next().is_some() {
                return Err(mismatch(format!("the header {name} must stand once, in ASCII")));
            }
        }
    }
    Ok(())
}

/// Refuses headers about a message where there is none.
pub(super) fn none_of_a_message(request: &Request) -> Result<(), Refusal> {
    let about = |name: &str| matches!(name, METHOD | NAME) || name.starts_with(PARAM);
    match request.headers.keys().find(|name| about(name.as_str())) {
        Some(name) => Err(mismatch(format!("the header {name} says what the body does not"))),
        None => Ok(()),
    }
}

/// Refuses a body that is not called JSON.
pub(super) fn is_json(request: &Request) -> Result<(), Refusal> {
    let kind = request.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    if is_type(kind, "application/json") {
        return Ok(());
    }
    let refusal = Refusal::new(INVALID, "the content type of a message is application/json, in UTF-8");
    Err(Refusal { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, ..refusal })
}

/// Whether a content type is this one, in UTF-8.
pub(super) fn is_type(text: &str, expected: &str) -> bool {
    let (kind, parameters) = text.split_once(';').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
    let utf8 = |parameters: &str| {
        let parameters = parameters.trim().to_ascii_lowercase();
        matches!(parameters.as_str(), "charset=utf-8" | "charset=\"utf-8\"")
    };
    kind.trim().eq_ignore_ascii_case(expected) && parameters.is_none_or(utf8)
}

/// The version that the message is of; `None` where neither header nor body says it.
pub(super) fn version(request: &Request, meta: Option<&Node>) -> Result<Option<String>, Refusal> {
    let header = request.header(PROTOCOL_VERSION);
    let meta = meta.map(|meta| meta.text().ok_or_else(|| mismatch("the version in `_meta` is no text"))).transpose()?;
    if meta.is_some() && header != meta {
        return Err(mismatch("the header MCP-Protocol-Version is not the version in `_meta`"));
    }
    let Some(version) = header else { return Ok(None) };
    if !methods::versions().iter().any(|known| known == version) {
        let refusal = Refusal::new(VERSION, "no such version of the protocol is read here");
        return Err(Refusal { version: Some(version.to_owned()), ..refusal });
    }
    Ok(Some(version.to_owned()))
}

/// Refuses headers that say something else than the body, or where they must be there, nothing.
pub(super) fn agree(
    request: &Request,
    method: &str,
    row: &Row,
    said: &Said,
    params: Option<&Node>,
    stateless: bool,
) -> Result<(), Refusal> {
    let is_request = matches!(said, Said::Request(..));
    let in_meta = || params.and_then(|params| params.get("_meta")?.get(META_VERSION)).is_some();
    if stateless && is_request && !in_meta() {
        return Err(mismatch(format!("from {STATELESS} on, the version is in `_meta` too")));
    }
    match request.header(METHOD) {
        Some(header) if header != method => return Err(mismatch("the header Mcp-Method is not the body's method")),
        None if stateless && is_request => return Err(mismatch("the header Mcp-Method is missing")),
        Some(_) | None => {}
    }
    let name = row.name.as_ref().filter(|_| row.header).and_then(|name| params?.get(name)?.text());
    match (request.header(NAME), name) {
        (Some(header), name) if name.is_none() || decoded(header).as_deref() != name => {
            return Err(mismatch("the header Mcp-Name is not the body's name"));
        }
        (None, Some(_)) if stateless => return Err(mismatch("the header Mcp-Name is missing")),
        (Some(_) | None, _) => {}
    }
    let arguments = match said {
        Said::Request(_, What::Tool { .. }) => params.and_then(|params| params.get("arguments")),
        Said::Request(_, What::Session | What::Tools | What::Read(..))
        | Said::Notification
        | Said::Pong
        | Said::Stream
        | Said::Close => None,
    };
    let said = request.headers.iter().filter(|(name, _)| name.as_str().starts_with(PARAM));
    match params::unfounded(said, arguments) {
        Some(name) => Err(mismatch(format!("the header {name} is not an argument of the body"))),
        None => Ok(()),
    }
}

/// A value that may be encoded; `None` where its encoding is wrong.
fn decoded(value: &str) -> Option<String> {
    let encoded = value.strip_prefix(ENCODED.0).and_then(|value| value.strip_suffix(ENCODED.1));
    match encoded {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

/// The headers that are sent on with a message, or with none.
pub(super) fn sent(headers: &HeaderMap, has_message: bool, session: Option<&str>) -> Option<HeaderMap> {
    let mut sent = HeaderMap::new();
    for (name, value) in headers {
        if SENT.contains(&name.as_str()) || name.as_str().starts_with(PARAM) {
            sent.insert(name, value.clone());
        }
    }
    sent.remove(SESSION);
    if let Some(session) = session {
        sent.insert(SESSION, HeaderValue::from_str(session).ok()?);
    }
    if has_message {
        sent.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let accept = if has_message { BOTH } else { "text/event-stream" };
    sent.insert(header::ACCEPT, HeaderValue::from_static(accept));
    Some(sent)
}

/// Refuses what a web page sends: browsers say so, and no page has business with a tool server (2025-11-25, "Security
/// Warning" of the transport).
pub(super) fn no_page(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(header::ORIGIN) {
        let refusal = Refusal::new(INVALID, "requests of web pages do not pass: leave the header Origin out");
        return Err(Refusal { status: StatusCode::FORBIDDEN, ..refusal });
    }
    Ok(())
}

/// Refuses a session that the caller does not have, as `mcp.rs` marks it. Clients begin a new one (2025-11-25, "Session
/// Management").
pub(super) fn in_session(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.get(SESSION).is_some_and(HeaderValue::is_empty) {
        return Err(no_session());
    }
    Ok(())
}

/// The session is not the caller's.
pub(super) fn no_session() -> Refusal {
    let refusal = Refusal::new(INVALID, "there is no such session; begin a new one with `initialize`");
    Refusal { status: StatusCode::NOT_FOUND, ..refusal }
}
