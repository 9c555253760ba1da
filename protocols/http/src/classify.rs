//! What a request is, as the command that the gate is asked about.
//!
//! Promises: every request has a command, also one that cannot be read, so that its refusal is recorded like any other; the
//! digest is over everything that would be sent but the credential; the text of record is the request line as it was
//! written, the operation has the one spelling of its path that rules see; the body is a parameter beside them, which the
//! gate masks as the document that it is and cuts where it is long.
//! Does not promise to know what a body means: the readers under `api/` do.
//! Held by: the tests below.

use crate::api::rest::Media;
use crate::frame::{Method, Request};
use crate::json::{self, Node};
use crate::path::Path;
use crate::tools::ToolTable;
use crate::websocket::ToPeer;
use portcullis_model::{Action, Command, Digest, Fault, Fields, Name, Object, Operation, Parameter, Source, Text};
use std::sync::Arc;

/// Bytes of a body that are given to the record whole: what is cut cannot be masked by its fields.
const WHOLE: usize = 4 << 20;
/// Bytes of a longer one that go there.
const BEGINNING: usize = 256 * 1024;

/// The operation that `METHOD PATH` is, as a request with it would be judged: for tests and explanations.
///
/// # Errors
/// Why no such request would get as far as a rule.
pub fn endpoint_of(method: &str, path: &str) -> Result<Operation, String> {
    let path = Path::received(path).map_err(|why| format!("`{}`: {why}", path.escape_debug()))?;
    let method = Method::of(method).ok_or_else(|| format!("`{}` is no method that passes", method.escape_debug()))?;
    Ok(endpoint(&method, &path))
}

/// The operation that opening a WebSocket at this path is, and each message over it.
///
/// # Errors
/// Why no such request would get as far as a rule.
pub fn upgrade_of(path: &str) -> Result<Operation, String> {
    let path = Path::received(path).map_err(|why| format!("`{}`: {why}", path.escape_debug()))?;
    Ok(upgrade(&path))
}

/// What a call of a tool would do and the fields of its input, read as the gateway reads it where the connection says
/// nothing of the tool.
#[must_use]
pub fn call_of(tool: &str, input: &str) -> (Vec<Operation>, Option<Fields>) {
    let call = crate::tools::call(&ToolTable::default(), tool, None, input);
    (call.operations().to_vec(), call.fields.as_deref().cloned())
}

/// The operation that a method on a path is (DESIGN 2).
pub(crate) fn endpoint(method: &Method, path: &Path) -> Operation {
    let action = match method {
        Method::Get | Method::Head | Method::Options => Action::Read,
        Method::Post => Action::Insert,
        Method::Put | Method::Patch => Action::Update,
        Method::Delete => Action::Delete,
        Method::Other(_) => Action::Unknown,
    };
    let object = Object::Endpoint { method: Name::canonical(method.word()), path: Name::canonical(path.judged()) };
    Operation::new(action, object)
}

/// The operation of a socket: nobody knows before what is said over it, so that a right to read gives none to open one.
pub(crate) fn upgrade(path: &Path) -> Operation {
    let method = Name::canonical(Method::Get.word());
    Operation::new(Action::Connect, Object::Endpoint { method, path: Name::canonical(path.judged()) })
}

/// What a client says over a socket that this request opened, as a command of its own. The digest is over the request and
/// the message; rules see the values of a message that is JSON, and of any other that it could not be read.
pub(crate) fn message(request: &Request, said: &ToPeer) -> Command {
    let (kind, bytes): (&[u8], &[u8]) = match said {
        ToPeer::Text(text) => (b"text", text),
        ToPeer::Binary(bytes) => (b"binary", bytes),
        ToPeer::Pong(_) | ToPeer::Close(_) | ToPeer::End => (b"control", &[]),
    };
    let read = if matches!(said, ToPeer::Text(_)) { json::read(bytes).ok() } else { None };
    let digest = Digest::of_parts(&[request.digest().as_bytes(), b"\n", kind, b"\n", bytes]);
    let fields = read.as_ref().map_or_else(Fields::unknown, |node| node.fields(&[]));
    let kept = match said {
        ToPeer::Binary(bytes) => vec![unshown(bytes)],
        ToPeer::Text(_) | ToPeer::Pong(_) | ToPeer::Close(_) | ToPeer::End => kept(bytes, read.is_some()),
    };
    let command = Command::new(Source::Request, Text::plain(request.line()), vec![upgrade(&request.path)], digest);
    command.with_parameters(kept).with_fields(fields).writing(true)
}

/// What a conversation with a model holds: thousands of values that no rule is about. Rules see the values beside it.
const CONVERSATION: [&str; 5] = ["messages", "system", "tools", "input", "instructions"];

/// A request that does this, of an API of models. `body` is what was read of the one that is sent.
pub(crate) fn request(request: &Request, operations: Vec<Operation>, body: Option<&Node>) -> Command {
    told(request, operations, body, &CONVERSATION)
}

/// A request that does this. `body` is what was read as JSON: rules see all of its values.
pub(crate) fn document(request: &Request, operations: Vec<Operation>, body: Option<&Node>) -> Command {
    let command = told(request, operations, body, &[]);
    match body {
        Some(node) if is_patch(request) => command.with_fields(node.fields_of_patch()),
        Some(_) | None => command,
    }
}

fn is_patch(request: &Request) -> bool {
    request.header("content-type").and_then(Media::of).is_some_and(|media| media.is_json_patch())
}

fn told(request: &Request, operations: Vec<Operation>, body: Option<&Node>, apart_from: &[&str]) -> Command {
    let command = Command::new(Source::Request, Text::plain(request.line()), operations, request.digest());
    let fields = match body {
        Some(node) => node.fields(apart_from),
        None if request.body.is_empty() => Fields::none(),
        None => Fields::unknown(),
    };
    // Nobody knows what a service does when it is read from.
    command.with_parameters(kept(&request.body, body.is_some())).with_fields(fields).writing(true)
}

/// A request that cannot be read.
pub(crate) fn faulty(request: &Request, fault: Fault) -> Command {
    let command = Command::faulty(Source::Request, Text::plain(request.line()), fault, request.digest());
    command.with_parameters(kept(&request.body, false))
}

/// The body as a parameter; none where it is empty. `json` says whether it was read as that: the record keeps what was not
/// only where no fields are masked.
fn kept(body: &[u8], json: bool) -> Vec<Parameter> {
    if body.is_empty() {
        return Vec::new();
    }
    let Ok(text) = std::str::from_utf8(body) else { return vec![unshown(body)] };
    let (kind, value): (&str, Arc<str>) = match text {
        text if body.len() <= WHOLE => (if json { "json" } else { "document" }, text.into()),
        text => {
            let beginning = text.get(..text.floor_char_boundary(BEGINNING)).unwrap_or_default();
            ("document", format!("{beginning}… ({} bytes)", body.len()).into())
        }
    };
    vec![Parameter { type_name: kind.into(), value: Some(value) }]
}

/// What the record has of bytes that are no text, beside their digest.
fn unshown(bytes: &[u8]) -> Parameter {
    let value = format!("({} bytes that are no text)", bytes.len());
    Parameter { type_name: "text".into(), value: Some(value.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Query;
    use bytes::Bytes;
    use http::HeaderMap;

    #[test]
    fn methods_on_paths_are_the_operations_that_rules_name() {
        let path = Path::read("/orders/7").unwrap();
        for (method, operation) in [
            (Method::Get, "read endpoint GET /orders/7"),
            (Method::Head, "read endpoint HEAD /orders/7"),
            (Method::Options, "read endpoint OPTIONS /orders/7"),
            (Method::Post, "insert endpoint POST /orders/7"),
            (Method::Put, "update endpoint PUT /orders/7"),
            (Method::Patch, "update endpoint PATCH /orders/7"),
            (Method::Delete, "delete endpoint DELETE /orders/7"),
            (Method::Other("PROPFIND".into()), "unknown endpoint PROPFIND /orders/7"),
        ] {
            assert_eq!(endpoint(&method, &path).to_string(), operation);
        }
    }

    /// A deny of `/$batch` is not walked round by `/%24batch`, which is sent as it was written and approved as that.
    #[test]
    fn a_path_is_judged_in_one_spelling_and_sent_in_its_own() {
        let asks = |path: &str| {
            let (path, query) = (Path::read(path).unwrap(), Query::default());
            Request { method: Method::Post, path, query, headers: HeaderMap::new(), body: Bytes::new() }
        };
        let (plain, escaped) = (asks("/v1/x:delete"), asks("/v1/x%3Adelete"));
        let command = |request: &Request| document(request, vec![endpoint(&request.method, &request.path)], None);
        assert_eq!(command(&plain).operations(), command(&escaped).operations());
        assert_eq!(command(&escaped).operations()[0].to_string(), "insert endpoint POST /v1/x:delete");
        assert_eq!(command(&escaped).text.as_str(), "POST /v1/x%3Adelete");
        assert_ne!(command(&plain).digest, command(&escaped).digest);
        assert_eq!(endpoint_of("GET", "/%24batch"), endpoint_of("GET", "/$batch"));
        assert_eq!(upgrade_of("/live/a%40b"), upgrade_of("/live/a@b"));
    }

    #[test]
    fn a_message_is_a_command_of_its_own_over_what_opened_its_socket() {
        let (path, query) = (Path::read("/live/7").unwrap(), Query::default());
        let opens = Request { method: Method::Get, path, query, headers: HeaderMap::new(), body: Bytes::new() };
        let text = |text: &'static str| message(&opens, &ToPeer::Text(Bytes::from(text)));
        let said = text(r#"{"kind":"refund"}"#);
        assert!(said.operations()[0].to_string() == "connect endpoint GET /live/7" && said.can_write());
        assert_eq!((&*said.parameters[0].type_name, said.text.as_str()), ("json", "GET /live/7"));
        assert_eq!(said.fields.as_deref().unwrap().leaves().unwrap().len(), 1);
        // Rules about values are told that there are some, not that there are none.
        for unread in ["refund", r#"{"kind":"a","kind":"b"}"#, ""] {
            assert!(text(unread).fields.as_deref().unwrap().leaves().is_none(), "{unread}");
        }
        let binary = message(&opens, &ToPeer::Binary(Bytes::from(r#"{"kind":"refund"}"#)));
        assert!(binary.fields.as_deref().unwrap().leaves().is_none());
        assert_eq!(binary.parameters[0].value.as_deref(), Some("(17 bytes that are no text)"));
        assert_ne!(binary.digest, said.digest);
        let other = Request { path: Path::read("/live/8").unwrap(), ..opens.clone() };
        assert_ne!(message(&other, &ToPeer::Text(Bytes::from("a"))).digest, text("a").digest);
        assert_eq!(upgrade_of("/live/7").unwrap(), upgrade(&opens.path));
        assert!(upgrade_of("/live/../x").is_err());
    }

    #[test]
    fn what_is_declared_a_patch_and_is_none_could_not_be_told() {
        let told = |kind: &'static str, body: &'static str| {
            let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind))]);
            let (path, query) = (Path::read("/orders/7").unwrap(), Query::default());
            let request = Request { method: Method::Patch, path, query, headers, body: Bytes::from(body) };
            let read = json::read(&request.body).ok();
            let command = document(&request, vec![endpoint(&request.method, &request.path)], read.as_ref());
            command.fields.as_deref().is_some_and(|fields| fields.leaves().is_some())
        };
        let (patch, json) = ("application/json-patch+json", "application/json");
        for body in [
            r#"[{"op":"replace","path":"/note","value":"x"}]"#,
            r#"[{"op":"remove","path":"/note"}]"#,
            r#"[{"op":"add","path":"/tags/-","value":{"a":[1]}},{"op":"test","path":"/b","value":null}]"#,
            "[]",
        ] {
            assert!(told(patch, body) && told(json, body), "{body}");
        }
        for body in [
            r#"{"op":"replace","path":"/refund","value":500}"#,
            r#"{"patch":[{"op":"replace","path":"/refund","value":500}]}"#,
            r#"[[{"op":"replace","path":"/refund","value":500}]]"#,
            r#"[{"op":"test","path":"/a","value":1},{"replace":"/refund"}]"#,
        ] {
            assert!(!told(patch, body) && told(json, body), "{body}");
        }
        // Whatever it is declared.
        for body in [
            r#"[{"Op":"replace","Path":"/refund","Value":500}]"#,
            r#"[{"op":"replace","path":["refund"],"value":500}]"#,
        ] {
            assert!(!told(patch, body) && !told(json, body), "{body}");
        }
    }

    #[test]
    fn the_digest_is_over_everything_that_is_sent() {
        let whole = |query: &str, body: &'static str| {
            let (path, query) = (Path::read("/a").unwrap(), Query::read(query).unwrap());
            let sent =
                Request { method: Method::Post, path, query, headers: HeaderMap::new(), body: Bytes::from(body) };
            let read = json::read(&sent.body).ok();
            let command = document(&sent, vec![endpoint(&sent.method, &sent.path)], read.as_ref());
            assert!(command.can_write());
            (command.digest, command.parameters)
        };
        let (plain, parameters) = whole("", "{\"a\":1}");
        assert_eq!(&*parameters[0].type_name, "json");
        assert_ne!(plain, whole("x=1", "{\"a\":1}").0);
        assert_ne!(plain, whole("", "{\"a\":2}").0);
        assert_eq!(plain, whole("", "{\"a\":1}").0);
        let (_, parameters) = whole("", "{\"a\":1,\"a\":2}");
        assert_eq!(&*parameters[0].type_name, "document");
        assert!(whole("", "").1.is_empty());
    }

    #[test]
    fn the_record_gets_a_body_whole_so_that_its_fields_can_be_masked() {
        let of = |body: &[u8], json| {
            let parameter = kept(body, json).remove(0);
            (parameter.type_name.to_string(), parameter.value.unwrap().len())
        };
        let long = format!("[\"{}\"]", "x".repeat(1 << 20));
        assert_eq!(of(long.as_bytes(), true), ("json".to_owned(), long.len()));
        assert_eq!(of(b"a=1", false), ("document".to_owned(), 3));
        assert_eq!(of(b"\xff", false).0, "text");
        // Nobody can mask the fields of what was cut.
        let (kind, size) = of(&vec![b' '; WHOLE + 1], true);
        assert!(kind == "document" && size < BEGINNING + 64);
    }
}
