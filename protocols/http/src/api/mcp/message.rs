//! What a client says, read in one way only.
//!
//! Promises: one JSON-RPC message a request, never a list of them; only methods that `data/mcp.yaml` has, in the version the
//! client speaks, with only the members they have: a server that reads names without case finds no second one. What the
//! headers say is what the body says (`headers.rs`). Names of things that two readers could take for different ones are
//! refused, so that a rule about a resource is not walked round by another spelling of it.
//! Held by: `fixtures/http/mcp.tsv`, which `tests.rs` plays, and the tests there.

use super::answer::is;
use super::headers;
use super::methods::{self, From, Is, Row, STATELESS, Says};
use super::names;
use crate::frame::{Method, Request};
use crate::json::{self, Node, Value};
use crate::tools;
use http::StatusCode;
use portcullis_model::{Action, Fault, Name, Object, Operation};
use std::ops::Range;

/// JSON-RPC 2.0 §5.1, and schema/2026-07-28 of the protocol.
pub(super) const PARSE: i64 = -32700;
pub(super) const INVALID: i64 = -32600;
pub(super) const NO_METHOD: i64 = -32601;
pub(super) const PARAMS: i64 = -32602;
pub(super) const MISMATCH: i64 = -32020;
pub(super) const VERSION: i64 = -32022;

/// Bytes of a prompt's name, and of an id.
pub(super) const LONGEST_NAME: usize = 256;
/// Resources that one subscription may name.
const SUBSCRIPTIONS: usize = 64;
pub(super) const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// By which the server tells how far it is.
pub(super) const META_PROGRESS: &str = "progressToken";
/// Where Claude Code says which tool call of its model this is.
pub(super) const META_TOOL_USE: &str = "claudecode/toolUseId";

/// Which message an answer belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Id {
    Number(Box<str>),
    Text(String),
}

impl Id {
    pub(super) fn of(node: &Node) -> Option<Self> {
        match &node.value {
            Value::Number(digits) => {
                let plain = digits.strip_prefix('-').unwrap_or(digits);
                let whole = plain.len() <= 16 && plain.bytes().all(|byte| byte.is_ascii_digit());
                whole.then(|| Self::Number(digits.clone()))
            }
            Value::String(text) => (text.len() <= LONGEST_NAME).then(|| Self::Text(text.clone())),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// As JSON.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Number(digits) => digits.to_string(),
            Self::Text(text) => json::quoted(text),
        }
    }
}

/// Why a message is none for us.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) id: Option<Id>,
    pub(super) code: i64,
    pub(super) status: StatusCode,
    pub(super) fault: Fault,
    /// The version that was asked for, where there is none of that name.
    pub(super) version: Option<String>,
}

impl Refusal {
    pub(super) fn new(code: i64, why: impl Into<String>) -> Self {
        let message = why.into().into();
        let fault = match code {
            NO_METHOD | VERSION => Fault::Unsupported { message },
            _ => Fault::Ambiguous { message },
        };
        Self { id: None, code, status: StatusCode::BAD_REQUEST, fault, version: None }
    }

    fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

/// What a message is about.
#[derive(Debug)]
pub(super) enum What {
    Session,
    /// It asks for the tools there are.
    Tools,
    Tool {
        name: String,
        /// The call of a model that it is, where the client says so.
        call: Option<String>,
    },
    /// What it reads, and its names in words.
    Read(Vec<Operation>, String),
}

/// What is said.
#[derive(Debug)]
pub(super) enum Said {
    Request(Id, What),
    Notification,
    /// The answer to a ping.
    Pong,
    /// GET: the stream of what the server says by itself.
    Stream,
    /// DELETE: the session is over.
    Close,
}

/// A message, read.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) said: Said,
    /// The method; the HTTP method where there is no body.
    pub(super) method: String,
    /// Whether its version knows no sessions.
    pub(super) stateless: bool,
    /// What the client says it can do for the server: where that stands in the body, and what of it may be said.
    pub(super) capabilities: Option<(Range<usize>, String)>,
    /// By which the server tells how far it is.
    pub(super) progress: Option<Id>,
    /// The body, as it was read; none where there is none.
    pub(super) body: Option<Node>,
}

/// Reads a request.
///
/// # Errors
/// [`Refusal`].
pub(super) fn of(request: &Request) -> Result<Message, Refusal> {
    if request.path.as_str() != "/" || !request.query.is_empty() {
        let why = "a connection to a tool server is one endpoint: send to /CONNECTION itself, without a query";
        return Err(Refusal::new(INVALID, why).with_status(StatusCode::NOT_FOUND));
    }
    headers::no_page(&request.headers)?;
    headers::once_each(request)?;
    match &request.method {
        Method::Post => post(request),
        Method::Get => bare(request, Said::Stream),
        Method::Delete => bare(request, Said::Close),
        Method::Head | Method::Options | Method::Put | Method::Patch | Method::Other(_) => Err(not_allowed()),
    }
}

fn not_allowed() -> Refusal {
    let why = "a tool server takes POST, and before 2026-07-28 GET and DELETE";
    Refusal::new(INVALID, why).with_status(StatusCode::METHOD_NOT_ALLOWED)
}

fn bare(request: &Request, said: Said) -> Result<Message, Refusal> {
    headers::none_of_a_message(request)?;
    let version = headers::version(request, None)?;
    if version.is_some_and(|version| version.as_str() >= STATELESS) {
        return Err(not_allowed());
    }
    if !request.body.is_empty() {
        return Err(Refusal::new(INVALID, "a GET or DELETE has no body here"));
    }
    headers::in_session(&request.headers)?;
    let has_session = request.headers.contains_key(headers::SESSION);
    if !has_session && (matches!(said, Said::Close) || request.headers.contains_key(headers::LAST_EVENT)) {
        return Err(Refusal::new(INVALID, "this request needs the header Mcp-Session-Id"));
    }
    let method = request.method.word().to_owned();
    Ok(Message { said, method, stateless: false, capabilities: None, progress: None, body: None })
}

fn post(request: &Request) -> Result<Message, Refusal> {
    headers::is_json(request)?;
    let body = json::read(&request.body).map_err(|why| Refusal::new(PARSE, why.0))?;
    let id = body.get("id").and_then(Id::of);
    let message = message(request, &body).map_err(|refusal| Refusal { id, ..refusal })?;
    Ok(Message { body: Some(body), ..message })
}

fn message(request: &Request, body: &Node) -> Result<Message, Refusal> {
    let invalid = |why: &str| Refusal::new(INVALID, why);
    match &body.value {
        Value::Object(_) => {}
        Value::Array(_) => return Err(invalid("lists of messages do not pass; send each by itself")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(invalid("the body is no JSON-RPC message"));
        }
    }
    if body.get("jsonrpc").and_then(Node::text) != Some("2.0") {
        return Err(invalid("the body is no message of JSON-RPC 2.0"));
    }
    let Some(method) = body.get("method") else { return pong(request, body) };
    let method = method.text().ok_or_else(|| invalid("`method` is no text"))?;
    only(body, &["jsonrpc", "id", "method", "params"])?;
    let params = body.get("params");
    if params.is_some_and(|params| !matches!(params.value, Value::Object(_))) {
        return Err(Refusal::new(PARAMS, "`params` is no object"));
    }
    let meta = params.and_then(|params| params.get("_meta"));
    if meta.is_some_and(|meta| !matches!(meta.value, Value::Object(_))) {
        return Err(Refusal::new(PARAMS, "`_meta` is no object"));
    }
    let version = headers::version(request, meta.and_then(|meta| meta.get(META_VERSION)))?;
    let stateless = version.as_deref().is_some_and(|version| version >= STATELESS);
    if !stateless {
        headers::in_session(&request.headers)?;
    }
    let row = known(method, version.as_deref(), stateless)?;
    if let Some((name, _)) =
        params.map_or(&[][..], Node::members).iter().find(|(name, _)| !row.takes(name) || name.is_empty())
    {
        return Err(Refusal::new(PARAMS, format!("`{method}` takes no `{name}` here")));
    }
    let (progress, call) = marks(meta)?;
    let said = said(method, row, body, params, call)?;
    headers::agree(request, method, row, &said, params, stateless)?;
    let capabilities = match method {
        "initialize" => params.and_then(|params| params.get("capabilities")),
        _ => meta.and_then(|meta| meta.get(META_CAPABILITIES)),
    };
    let capabilities = capabilities.map(|node| Ok((node.span.clone(), may_be_said(&request.body, node)?)));
    let capabilities = capabilities.transpose()?;
    Ok(Message { said, method: method.to_owned(), stateless, capabilities, progress, body: None })
}

/// The token and the call of a model in `_meta`. They are not part of what is approved (`same.rs`), so they are as small as
/// an `id` or refused: all else that is sent was judged as it is.
fn marks(meta: Option<&Node>) -> Result<(Option<Id>, Option<&str>), Refusal> {
    let wrong = |name: &str, what: &str| Refusal::new(PARAMS, format!("`{name}` must be {what} of at most 256 bytes"));
    let of = |name: &str| meta.and_then(|meta| meta.get(name));
    let progress =
        of(META_PROGRESS).map(|token| Id::of(token).ok_or_else(|| wrong(META_PROGRESS, "a number or a text")));
    let call = of(META_TOOL_USE).map(|call| tool_use(call).ok_or_else(|| wrong(META_TOOL_USE, "a text")));
    Ok((progress.transpose()?, call.transpose()?))
}

/// The call of a model that a mark is.
pub(super) fn tool_use(mark: &Node) -> Option<&str> {
    mark.text().filter(|call| call.len() <= LONGEST_NAME)
}

fn known(method: &str, version: Option<&str>, stateless: bool) -> Result<&'static Row, Refusal> {
    let row = methods::row(From::Client, method);
    // Without a version it is one of those that had no header for it.
    row.filter(|row| row.is_in(version.unwrap_or("2025-03-26"))).ok_or_else(|| {
        let status = if stateless { StatusCode::NOT_FOUND } else { StatusCode::OK };
        Refusal::new(NO_METHOD, "the method does not pass, or is not in this version of the protocol")
            .with_status(status)
    })
}

fn said(method: &str, row: &Row, body: &Node, params: Option<&Node>, call: Option<&str>) -> Result<Said, Refusal> {
    let id = body.get("id");
    match row.says {
        Says::Notification if id.is_some() => Err(Refusal::new(INVALID, "a notification has no `id`")),
        Says::Notification => Ok(Said::Notification),
        Says::Request => {
            let why = "`id` must be a whole number or a text of at most 256 bytes";
            let id = id.and_then(Id::of).ok_or_else(|| Refusal::new(INVALID, why))?;
            Ok(Said::Request(id, what(method, row, params, call)?))
        }
    }
}

/// The answer to a request of the server. Of these only pings reach clients, so only empty answers come back.
fn pong(request: &Request, body: &Node) -> Result<Message, Refusal> {
    only(body, &["jsonrpc", "id", "result"])?;
    headers::none_of_a_message(request)?;
    headers::in_session(&request.headers)?;
    let version = headers::version(request, None)?;
    let empty = body.get("result").is_some_and(|result| result.value == Value::Object(Vec::new()));
    let known = body.get("id").and_then(Id::of).is_some();
    if !empty || !known || version.is_some_and(|version| version.as_str() >= STATELESS) {
        let why = "only answers to pings pass: what servers ask of clients (sampling, elicitation, roots) does not";
        return Err(Refusal::new(INVALID, why));
    }
    let method = "answer to ping".to_owned();
    Ok(Message { said: Said::Pong, method, stateless: false, capabilities: None, progress: None, body: None })
}

fn only(node: &Node, names: &[&str]) -> Result<(), Refusal> {
    match node.members().iter().find(|(name, _)| !names.contains(&name.as_str())) {
        Some((name, _)) => Err(Refusal::new(INVALID, format!("a message has no member `{name}` here"))),
        None => Ok(()),
    }
}

fn what(method: &str, row: &Row, params: Option<&Node>, call: Option<&str>) -> Result<What, Refusal> {
    let missing = || Refusal::new(PARAMS, format!("`{method}` needs `{}`", row.name.as_deref().unwrap_or("params")));
    let subject = || row.name.as_deref().and_then(|name| params?.get(name)).ok_or_else(missing);
    match row.is {
        Is::Session => Ok(What::Session),
        Is::Tools => Ok(What::Tools),
        Is::Tool => {
            let name = subject()?.text().filter(|name| tools::is_name(name)).ok_or_else(missing)?;
            let arguments = params.and_then(|params| params.get("arguments"));
            if arguments.is_some_and(|arguments| !matches!(arguments.value, Value::Object(_))) {
                return Err(Refusal::new(PARAMS, "`arguments` is no object"));
            }
            Ok(What::Tool { name: name.to_owned(), call: call.map(str::to_owned) })
        }
        Is::Endpoint => {
            let names = things(method, subject()?).ok_or_else(missing)?;
            let verb = method.rsplit('/').next().unwrap_or(method);
            let verb = if method == "subscriptions/listen" { "SUBSCRIBE".to_owned() } else { verb.to_uppercase() };
            let operations: Vec<Operation> =
                names.iter().map(|(thing, name)| read(&verb, thing, name)).collect::<Result<_, _>>()?;
            let names: Vec<&str> = names.iter().map(|(_, name)| *name).collect();
            Ok(if operations.is_empty() { What::Session } else { What::Read(operations, names.join(" ")) })
        }
    }
}

/// Kinds and names of the things that a request is about.
fn things<'a>(method: &str, node: &'a Node) -> Option<Vec<(&'static str, &'a str)>> {
    match method {
        "prompts/get" => Some(vec![("prompts", node.text()?)]),
        "completion/complete" => {
            let has_only = |names: &[&str]| node.members().iter().all(|(name, _)| names.contains(&name.as_str()));
            match node.get("type")?.text()? {
                "ref/prompt" if has_only(&["type", "name", "title"]) => {
                    Some(vec![("prompts", node.get("name")?.text()?)])
                }
                "ref/resource" if has_only(&["type", "uri"]) => Some(vec![("resources", node.get("uri")?.text()?)]),
                _ => None,
            }
        }
        "subscriptions/listen" => {
            let known = |name: &str| {
                matches!(
                    name,
                    "toolsListChanged" | "promptsListChanged" | "resourcesListChanged" | "resourceSubscriptions"
                )
            };
            if !matches!(node.value, Value::Object(_)) || !node.members().iter().all(|(name, _)| known(name)) {
                return None;
            }
            let resources = node.get("resourceSubscriptions").map_or(&[][..], Node::elements);
            let resources: Option<Vec<_>> = resources.iter().map(|uri| Some(("resources", uri.text()?))).collect();
            resources.filter(|resources| resources.len() <= SUBSCRIPTIONS)
        }
        _ => Some(vec![("resources", node.text()?)]),
    }
}

/// Reading a thing is reading the endpoint VERB /THINGS/NAME, in the one spelling of names (`names.rs`).
fn read(verb: &str, thing: &str, name: &str) -> Result<Operation, Refusal> {
    let path = if thing == "resources" { names::resource(name)? } else { names::prompt(name)? };
    let (method, path) = (Name::canonical(verb), Name::canonical(path.judged()));
    Ok(Operation::new(Action::Read, Object::Endpoint { method, path }))
}

/// What a client can do for a server, without what does not pass: a server that keeps to the protocol then never asks.
fn may_be_said(body: &[u8], node: &Node) -> Result<String, Refusal> {
    let wrong = || Refusal::new(PARAMS, "the capabilities are no object");
    if !matches!(node.value, Value::Object(_)) {
        return Err(wrong());
    }
    let mut kept = Vec::new();
    for (name, value) in node.members() {
        // A server that reads names without case takes `Sampling` for it.
        if !["sampling", "elicitation", "roots", "tasks"].iter().any(|known| is(name, known)) {
            let written = body.get(value.span.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok());
            kept.push(format!("{}:{}", json::quoted(name), written.ok_or_else(wrong)?));
        }
    }
    Ok(format!("{{{}}}", kept.join(",")))
}
