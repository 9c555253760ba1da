//! A request to the Messages API, read as the command that it is.
//!
//! Promises: a request whose meaning is not known whole is a command with a fault: an unknown path, method, version,
//! parameter or member, a body that can be read two ways. Every model that may answer is `generate model NAME`, every tool
//! that the provider runs is `call tool NAME` of the request; those that the client would run are on offer, and judged
//! before; what the provider fetches is `connect host H:P`. What is forwarded is masked before it is judged. Does not promise that the tools are what their names say.
//! Held by: `tests.rs`.

use super::answer::Answering;
use super::facts::facts;
use super::words;
use crate::api::{Asked, Read, Words};
use crate::classify;
use crate::frame::{Head, Method, Request};
use crate::json::{self, Edits, Node, Value};
use crate::tools::{self, ToolTable};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use portcullis_model::{Action, Command, Fault, Object, Operation, Part};
use std::sync::Arc;

/// Models that one request may name.
const MODELS: usize = 16;
/// Tools that one request may offer.
const TOOLS: usize = 1_024;

/// Operations of one request.
const OPERATIONS: usize = 1_024;

/// Reads a request.
pub(crate) fn read(mut request: Request, tools: &Arc<ToolTable>, words: &mut dyn Words) -> Read {
    match understood(&request, words) {
        Ok(Understood::Own) => Read::Own(Head { status: StatusCode::OK, headers: HeaderMap::new() }, Bytes::new()),
        Ok(Understood::Listing) => {
            let command = classify::request(&request, vec![classify::endpoint(&request.method, &request.path)]);
            asked(request, command, None, 0, Answering::plain())
        }
        Ok(Understood::Message(message)) => {
            if let Some(body) = message.body {
                request.body = body;
            }
            let command = classify::request(&request, message.operations);
            let reader = if message.counts {
                Answering::plain()
            } else {
                Answering::message(message.streams, Arc::clone(tools))
            };
            asked(request, command, message.offers, message.tokens, reader)
        }
        Err(fault) => {
            let command = classify::faulty(&request, fault);
            asked(request, command, None, 0, Answering::plain())
        }
    }
}

fn asked(request: Request, command: Command, offers: Option<Command>, tokens: u64, reader: Answering) -> Read {
    Read::Asked(Box::new(Asked { offers, command, request, tokens, reader: Box::new(reader) }))
}

enum Understood {
    /// The gateway answers.
    Own,
    /// Models are listed.
    Listing,
    Message(Box<Message>),
}

struct Message {
    operations: Vec<Operation>,
    offers: Option<Command>,
    /// Only its tokens are counted.
    counts: bool,
    streams: bool,
    tokens: u64,
    /// Masked; none where nothing was.
    body: Option<Bytes>,
}

fn ambiguous(message: impl Into<Arc<str>>) -> Fault {
    Fault::Ambiguous { message: message.into() }
}

fn unsupported(message: impl Into<Arc<str>>) -> Fault {
    Fault::Unsupported { message: message.into() }
}

fn understood(request: &Request, words: &mut dyn Words) -> Result<Understood, Fault> {
    let path = request.path.as_str();
    let listed = path.strip_prefix("/v1/models").is_some_and(|rest| {
        rest.is_empty() || rest.strip_prefix('/').is_some_and(|id| !id.is_empty() && !id.contains('/'))
    });
    match (&request.method, path) {
        (Method::Head, "/api/hello") => Ok(Understood::Own),
        (Method::Post, "/v1/messages" | "/v1/messages/count_tokens") => {
            query(request, &["beta"])?;
            let counts = path.ends_with("/count_tokens");
            Ok(Understood::Message(Box::new(message(request, counts, words)?)))
        }
        (Method::Get, _) if listed => {
            query(request, &["beta", "limit", "after_id", "before_id"])?;
            if !request.body.is_empty() {
                return Err(unsupported("a list of models is asked for without a body"));
            }
            Ok(Understood::Listing)
        }
        (_, _) => Err(unsupported(
            "this path or method of the API does not pass; POST /v1/messages, POST /v1/messages/count_tokens and GET \
             /v1/models do",
        )),
    }
}

/// Parameters that the API is known to have.
fn query(request: &Request, known: &[&str]) -> Result<(), Fault> {
    for (name, value) in request.query.iter() {
        let fits = match name {
            "beta" => value == Some("true"),
            _ => value.is_some_and(words::is_word),
        };
        if !known.contains(&name) || !fits {
            return Err(unsupported("the query has a parameter that the gateway does not know here"));
        }
    }
    Ok(())
}

fn message(request: &Request, counts: bool, words: &mut dyn Words) -> Result<Message, Fault> {
    let text = content(request)?;
    let body = json::read(text.as_bytes()).map_err(|error| ambiguous(error.to_string()))?;
    let Value::Object(members) = &body.value else { return Err(ambiguous("the body is no JSON object")) };
    let version = request.header("anthropic-version").unwrap_or_default();
    let known = facts().members(version).ok_or_else(|| {
        unsupported("the request has no anthropic-version that the gateway knows; 2023-06-01 and 2026-10-21 are")
    })?;
    if let Some((name, _)) = members.iter().find(|(name, _)| !known.has(name)) {
        let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        let message = format!("the request has a member `{name}` that the gateway does not pass on; leave it out");
        return Err(unsupported(message));
    }
    let mut operations = models(&body)?;
    let offers = self::tools(&body, &mut operations)?;
    let max_tokens = match body.get("max_tokens").map(Node::number) {
        Some(Some(max_tokens)) => max_tokens,
        None if counts => 0,
        Some(None) | None => return Err(ambiguous("max_tokens is no whole number")),
    };
    let streams = match body.get("stream").map(|node| &node.value) {
        None | Some(Value::Null) => false,
        Some(Value::Bool(streams)) => *streams && !counts,
        Some(_) => return Err(ambiguous("stream is neither true nor false")),
    };
    conversation(&body)?;
    fetched(&body, &mut operations);
    if operations.len() > OPERATIONS {
        return Err(Fault::TooLarge { message: format!("the request does more than {OPERATIONS} things").into() });
    }
    Ok(Message {
        operations,
        offers,
        counts,
        streams,
        tokens: if counts { 0 } else { max_tokens.saturating_add(text.len() as u64 / 4) },
        body: masked(&body, text, words)?,
    })
}

/// The body as text, where its headers say that it is what it is.
pub(in crate::api) fn content(request: &Request) -> Result<&str, Fault> {
    let kind = request.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let mut parts = kind.split(';').map(str::trim);
    let json = parts.next() == Some("application/json");
    if !json || !parts.all(|part| matches!(part, "" | "charset=utf-8" | "charset=\"utf-8\"")) {
        return Err(ambiguous("the body is not said to be application/json in UTF-8"));
    }
    std::str::from_utf8(&request.body).map_err(|_| ambiguous("the body is not UTF-8"))
}

/// Every model that may answer.
fn models(body: &Node) -> Result<Vec<Operation>, Fault> {
    let model = body.get("model").and_then(Node::text).ok_or_else(|| ambiguous("the request names no model"))?;
    let mut models = vec![model];
    match body.get("fallbacks").map(|node| &node.value) {
        None | Some(Value::Null) => {}
        Some(Value::Array(fallbacks)) => {
            for fallback in fallbacks {
                let model = fallback.text().or_else(|| fallback.get("model").and_then(Node::text));
                // What else stands in such an entry could be anything that a request may say.
                let only = fallback.members().iter().all(|(name, _)| name == "model");
                models.push(model.filter(|_| only).ok_or_else(|| unsupported("a fallback is more than a model"))?);
            }
        }
        Some(_) => return Err(ambiguous("fallbacks is no list")),
    }
    models.dedup();
    if models.len() > MODELS || !models.iter().all(|model| tools::is_name(model)) {
        return Err(ambiguous("the name of a model is empty, too long, or not plain text"));
    }
    let generate = |model: &&str| Operation::new(Action::Generate, Object::Model(Part::known(*model)));
    Ok(models.iter().map(generate).collect())
}

/// The tools that the client would run are offers; those that the provider runs are operations of the request.
fn tools(body: &Node, operations: &mut Vec<Operation>) -> Result<Option<Command>, Fault> {
    let list: &[Node] = match body.get("tools").map(|node| &node.value) {
        None | Some(Value::Null) => &[],
        Some(Value::Array(list)) => list,
        Some(_) => return Err(ambiguous("tools is no list")),
    };
    if list.len() > TOOLS {
        return Err(Fault::TooLarge { message: format!("the request offers more than {TOOLS} tools").into() });
    }
    let mut offered = Vec::new();
    for tool in list {
        let kind = match tool.get("type").map(|node| &node.value) {
            None | Some(Value::Null) => "custom",
            Some(Value::String(kind)) => kind,
            Some(_) => return Err(ambiguous("the type of a tool is no text")),
        };
        let client = facts().client_tools.has(kind);
        let name = tool.get("name").and_then(Node::text);
        // A tool of the provider's may have no name of its own (`mcp_toolset`): its type is one.
        let name = if client { name } else { name.or(Some(kind)) };
        let name = name.filter(|name| tools::is_name(name)).ok_or_else(|| ambiguous("a tool has no usable name"))?;
        if client {
            offered.push(name);
        } else {
            let operation = tools::offered(name);
            if !operations.contains(&operation) {
                operations.push(operation);
            }
        }
    }
    Ok(tools::offers(offered.into_iter()))
}

/// What the provider fetches for the conversation: sources that are URLs.
fn fetched(node: &Node, operations: &mut Vec<Operation>) {
    if node.get("type").and_then(Node::text) == Some("url")
        && let Some(url) = node.get("url").and_then(Node::text)
    {
        let operation = tools::reached(url);
        if operations.len() <= OPERATIONS && !operations.contains(&operation) {
            operations.push(operation);
        }
    }
    // What a tool was called with is nothing that the provider acts on.
    let is_call = node.get("type").and_then(Node::text).is_some_and(|kind| kind.ends_with("tool_use"));
    node.elements().iter().for_each(|element| fetched(element, operations));
    node.members()
        .iter()
        .filter(|(name, _)| !(is_call && name == "input"))
        .for_each(|(_, member)| fetched(member, operations));
}

/// The conversation is a list of turns, each of text or blocks: what is neither would pass unseen.
fn conversation(body: &Node) -> Result<(), Fault> {
    let Some(Value::Array(turns)) = body.get("messages").map(|node| &node.value) else {
        return Err(ambiguous("messages is no list"));
    };
    for turn in turns {
        let known = matches!(turn.get("role").and_then(Node::text), Some("user" | "assistant" | "system"));
        let content = match turn.get("content").map(|node| &node.value) {
            Some(Value::String(_)) => true,
            Some(Value::Array(blocks)) => blocks.iter().all(|block| block.get("type").and_then(Node::text).is_some()),
            Some(_) | None => false,
        };
        if !known || !content {
            return Err(ambiguous("a message has no known role, or its content is neither text nor blocks"));
        }
    }
    Ok(())
}

/// The body with what the masks find replaced; `None` where they find nothing.
fn masked(body: &Node, text: &str, words: &mut dyn Words) -> Result<Option<Bytes>, Fault> {
    if !words.binds() {
        return Ok(None);
    }
    let not_maskable = || unsupported("the request cannot be masked");
    let mut edits = Edits::default();
    words::mask(body, text, words, &mut edits).map_err(|_| not_maskable())?;
    if edits.is_empty() {
        return Ok(None);
    }
    let masked = edits.apply(text).ok_or_else(not_maskable)?;
    // What masks made of it must still be what was read.
    json::read(masked.as_bytes()).map_err(|_| not_maskable())?;
    Ok(Some(Bytes::from(masked)))
}
