//! What a stranger may send to the HTTP listener, as fuzzers send it: heads, documents, streams of events, tool calls, and
//! requests to tool servers and models. What comes back is in `fuzz/answers.rs`, sockets are in `fuzz/websocket.rs`.
//!
//! Promises: each function fails where what passes could be read in two ways, is not what was judged, or comes to something
//! else when it is read again; nothing may panic. `coding.rs` has that of content codings.
//! Held by: `fuzz/tests.rs`, which plays arbitrary and nearly right bytes, and whatever fuzzer calls them.

mod answers;
#[cfg(test)]
mod tests;
mod websocket;

use crate::api::mcp::{self, Context, Seal};
use crate::api::rest::{self, Opaque};
use crate::api::{Asked, Read, anthropic, openai};
use crate::frame::{Method, Request};
use crate::head::{self, Routes};
use crate::json::{self, Edits, Node, Value};
use crate::path::{Path, Query};
use crate::sse::{Event, Parser};
use crate::tools::{self, ToolTable};
use answers::Masks;
pub use answers::fuzz_answers;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Version, header};
use portcullis_model::{Action, Digest, Name, Object, Operation, Part};
use secrecy::SecretBox;
use serde_json::value::RawValue;
use std::sync::Arc;
pub use websocket::fuzz_websocket;

/// Headers that belong to one hop or to one of the two sides.
const NOT_OURS: [&str; 16] = [
    "authorization",
    "x-api-key",
    "proxy-authorization",
    "cookie",
    "host",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "content-length",
    "upgrade",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
];

/// Reads a head as it stands on the wire: a request line, then a header a line. What passes is read again as the same.
pub fn fuzz_head(data: &[u8]) {
    fuzz_path(data);
    let Some((parts, _)) = head_of(data) else { return };
    let crm = Name::canonical("crm");
    let hosts = [("crm.example".to_owned(), crm.clone())].into();
    let routes = Routes { hosts, names: [crm, Name::canonical("claude")].into() };
    let sends_body = parts.headers.contains_key(header::CONTENT_LENGTH);
    match head::read(&parts, sends_body, &routes) {
        Ok(received) => {
            let request = &received.request;
            let path = request.path.as_str();
            // Escapes in lower case are, and nothing else.
            let sent = parts.uri.path().to_ascii_lowercase();
            assert!(path == "/" || sent.ends_with(&path.to_ascii_lowercase()), "the path was written anew");
            assert_eq!(Path::read(request.path.as_str()).as_ref(), Ok(&request.path));
            assert_eq!(Query::read(&request.query.to_string()).as_ref(), Ok(&request.query));
            assert_eq!(request.upgrades(), received.upgrade.is_some(), "an upgrade goes on that was not read");
            assert!(!request.upgrades() || parts.method == "GET" && parts.version == Version::HTTP_11);
            for (name, value) in &request.headers {
                if received.upgrade.is_some() && (name == header::UPGRADE || name == header::SEC_WEBSOCKET_PROTOCOL) {
                    continue;
                }
                assert!(!NOT_OURS.contains(&name.as_str()), "{name} goes further");
                let said = || parts.headers.get_all(name).iter().any(|said| said == value);
                assert!(name == "prefer" || said(), "{name} was not said");
            }
        }
        Err(refusal) => {
            if let Some(unread) = head::unread(&parts, refusal, &routes) {
                assert!(unread.command.fault.is_some(), "what was refused is a command");
            }
        }
    }
}

fn fuzz_path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(path) = Path::read(text) {
        assert_eq!(path.as_str(), text);
        let steps = ["//", "/./", "/../", "%2F", "%2f", "%2E", "%2e", "%25", "%5C", "%00", "\\", ";", "#", "?"];
        assert!(!steps.iter().any(|step| text.contains(step)), "{text} can be read in two ways");
        assert!(!text.ends_with("/.") && !text.ends_with("/.."), "{text} steps up");
    }
    if let Ok(query) = Query::read(text) {
        assert_eq!(Query::read(&query.to_string()), Ok(query));
    }
}

/// A head and what follows it behind an empty line; none where no library would make one of it.
fn head_of(data: &[u8]) -> Option<(http::request::Parts, &[u8])> {
    let (head, body) = match memchr::memmem::find(data, b"\n\n") {
        Some(at) => (data.get(..at)?, data.get(at + 2..)?),
        None => (data, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut words = lines.next()?.splitn(3, |byte| *byte == b' ');
    let (method, target) = (words.next()?, words.next()?);
    let version = if words.next() == Some(b"2") { Version::HTTP_2 } else { Version::HTTP_11 };
    let mut request = http::Request::builder().method(method).uri(target).version(version);
    for line in lines {
        let at = memchr::memchr(b':', line)?;
        let value = line.get(at + 1..)?.trim_ascii();
        request = request.header(HeaderName::from_bytes(line.get(..at)?).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    Some((request.body(()).ok()?.into_parts().0, body))
}

/// A request as it is read behind its head.
fn request_of(data: &[u8], path: &str) -> Option<Request> {
    let (parts, body) = head_of(data)?;
    let mut headers = parts.headers;
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    headers.entry("anthropic-version").or_insert(HeaderValue::from_static("2023-06-01"));
    let (method, path) = (Method::of(parts.method.as_str())?, Path::read(path).ok()?);
    Some(Request { method, path, query: Query::default(), headers, body: Bytes::copy_from_slice(body) })
}

/// Reads a document, and writes some of its values anew: it is read as the library reads it, and nothing else changes.
pub fn fuzz_document(data: &[u8]) {
    let Ok(node) = json::read(data) else { return };
    let text = std::str::from_utf8(data).unwrap_or_default();
    let theirs: Result<&RawValue, _> = serde_json::from_str(text);
    assert!(theirs.is_ok(), "the library does not take {text}");
    let mut edits = Edits::default();
    stands(&node, text, &mut edits);
    let changed = edits.apply(text);
    let again = changed.as_deref().and_then(|changed| json::read(changed.as_bytes()).ok());
    assert!(again.as_ref().is_some_and(|again| agrees(&node, again)), "{text} became {changed:?}");
}

/// What is replaced.
fn is_masked(name: &str, node: &Node) -> bool {
    name == "a" || node.text().is_some_and(|text| text.contains('1'))
}

fn stands(node: &Node, text: &str, edits: &mut Edits) {
    let written = text.get(node.span.clone()).unwrap_or_default();
    let same = match &node.value {
        Value::Null => written == "null",
        Value::Bool(value) => written == value.to_string(),
        Value::Number(digits) => written == &**digits,
        Value::String(said) => serde_json::from_str::<String>(written).is_ok_and(|theirs| theirs == *said),
        Value::Array(_) => written.starts_with('[') && written.ends_with(']'),
        Value::Object(_) => written.starts_with('{') && written.ends_with('}'),
    };
    assert!(same, "{written} stands where {:?} does", node.value);
    for element in node.elements() {
        replace("", element, text, edits);
    }
    for (name, member) in node.members() {
        replace(name, member, text, edits);
    }
}

fn replace(name: &str, node: &Node, text: &str, edits: &mut Edits) {
    if is_masked(name, node) {
        edits.replace(node.span.clone(), "\"x\"");
    } else {
        stands(node, text, edits);
    }
}

fn agrees(old: &Node, new: &Node) -> bool {
    let is = |name: &str, old: &Node, new: &Node| {
        if is_masked(name, old) { new.text() == Some("x") } else { agrees(old, new) }
    };
    match (&old.value, &new.value) {
        (Value::Array(old), Value::Array(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| is("", old, new))
        }
        (Value::Object(old), Value::Object(new)) => {
            let pairs = || old.iter().zip(new);
            old.len() == new.len() && pairs().all(|((name, old), (other, new))| name == other && is(name, old, new))
        }
        (old, new) => old == new,
    }
}

/// Reads a stream of events, whole and in pieces of the size that the first byte says, and what is written of it again.
pub fn fuzz_events(data: &[u8]) {
    let Some((&cut, data)) = data.split_first() else { return };
    let read = |cut: usize| {
        let (mut parser, mut events) = (Parser::default(), Vec::<Event>::new());
        data.chunks(cut.max(1)).try_for_each(|piece| parser.feed(piece, &mut events)).map(|()| events)
    };
    let whole = read(data.len());
    assert_eq!(read(usize::from(cut)), whole);
    for mut event in whole.unwrap_or_default() {
        let (mut parser, mut events) = (Parser::default(), Vec::<Event>::new());
        let read = parser.feed(&event.written(), &mut events);
        event.name = event.name.map(|name| name.replace('\0', "")).filter(|name| !name.is_empty());
        assert!(read.is_ok() && events == [event], "written anew it is {events:?}");
    }
}

/// Reads a call: a name, a zero byte, the input. A command that stands in one more field is seen whatever stands before it.
pub fn fuzz_tool(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (name, input) = text.split_once('\0').unwrap_or(("tool", text));
    let table = ToolTable::default();
    let command = tools::call(&table, name, Some("toolu_1"), input);
    if let Some(value) = command.parameters.first().and_then(|kept| kept.value.as_deref()) {
        assert!(json::read(value.as_bytes()).is_ok(), "the record has no document: {value}");
    }
    if command.fault.is_some() {
        return;
    }
    let call = Object::Tool(Part::known(name));
    let is_call =
        command.operations().first().is_some_and(|first| first.action == Action::Call && first.object == call);
    assert!(is_call, "{name} is no call");
    let Some(open) = input.trim_end().strip_suffix('}') else { return };
    let is_empty = json::read(input.as_bytes()).is_ok_and(|node| node.members().is_empty());
    let comma = if is_empty { "" } else { "," };
    let more = format!("{open}{comma}\"one more\":{{\"command\":\"rm /srv/canary\"}}}}");
    let command = tools::call(&table, name, None, &more);
    let seen = |operation: &Operation| {
        operation.action == Action::Delete && operation.object.to_string().contains("/srv/canary")
    };
    assert!(command.fault.is_some() || command.operations().iter().any(seen), "a command is not seen in {more}");
}

/// Reads a message to a tool server, headers and all. What is sent is read again as the same, changed no further.
pub fn fuzz_mcp(data: &[u8]) {
    let Some(request) = request_of(data, "/") else { return };
    let Some(context) = context() else { return };
    let Some(first) = passed(mcp::read(request, &context)) else { return };
    let sent = first.request.clone();
    let again = passed(mcp::read(sent.clone(), &context));
    assert!(again.is_some(), "what is sent is not read again");
    let Some(again) = again else { return };
    assert_eq!(again.request.body, sent.body);
    assert_eq!(again.command.operations(), first.command.operations());
    assert_eq!(again.command.digest, again.request.digest());
    assert_eq!(mcp::same(&sent).is_some(), !sent.body.is_empty());
}

fn context() -> Option<Context> {
    Some(Context {
        tools: Arc::new(ToolTable::default()),
        opaque: Arc::new(Opaque::new(["image/png"])),
        seal: Arc::new(Seal::new(&SecretBox::new(Box::new([7; 32])))?),
        holder: Digest::of(b"somebody"),
    })
}

/// What is asked, where it can be read.
fn passed(read: Read) -> Option<Asked> {
    match read {
        Read::Asked(asked) => Some(*asked).filter(|asked| asked.command.fault.is_none()),
        Read::Own(..) => None,
    }
}

/// Reads a request to a model or a service. What is sent in JSON is JSON that is read in one way, and names no other method.
pub fn fuzz_request(data: &[u8]) {
    let Some((&which, data)) = data.split_first() else { return };
    let tools = Arc::new(ToolTable::default());
    let opaque = Arc::new(Opaque::new(["image/png"]));
    let mut masks = Masks::default();
    let read = match which % 4 {
        0 => request_of(data, "/v1/messages").map(|request| anthropic::read(request, &tools, &mut masks)),
        1 => request_of(data, "/v1/chat/completions").map(|request| openai::read(request, &tools, &mut masks)),
        3 => request_of(data, "/v1/responses").map(|request| openai::read(request, &tools, &mut masks)),
        _ => request_of(data, "/orders/7").map(|request| rest::read(request, &opaque, &mut masks)),
    };
    let Some(asked) = read.and_then(passed) else { return };
    assert_eq!(asked.command.digest, asked.request.digest(), "judged is not what is sent");
    assert!(!asked.command.operations().is_empty());
    let named = asked.request.header("content-type").and_then(rest::Media::of);
    if !asked.request.body.is_empty() && named.is_some_and(|named| named.is_json()) {
        assert!(json::read(&asked.request.body).is_ok(), "no JSON is sent");
    }
}
