//! A request to the API, read as the command that it is.
//!
//! Promises: as for `api: anthropic`: an unknown path, parameter or member is a fault; the model is `generate model NAME`,
//! what the provider runs or fetches is said besides, what the client would run is on offer. The tokens of a streamed answer
//! are always asked for, and left out again where the client did not. Held by: `tests.rs`.

use super::answer::Answering;
use super::facts::facts;
use crate::api::anthropic::{self, List};
use crate::api::{Asked, Read, Words};
use crate::classify;
use crate::frame::{Method, Request};
use crate::json::{self, Edits, Node, Value};
use crate::tools::{self, ToolTable};
use bytes::Bytes;
use portcullis_model::{Action, Command, Fault, Object, Operation, Part};
use std::sync::Arc;

/// Tools of one request, and what else it does.
const MOST: usize = 1_024;

/// Reads a request.
pub(crate) fn read(mut request: Request, tools: &Arc<ToolTable>, words: &mut dyn Words) -> Read {
    let (command, offers, tokens, reader) = match understood(&request, words) {
        Ok(None) => {
            let command = classify::request(&request, vec![classify::endpoint(&request.method, &request.path)]);
            (command, None, 0, Answering::plain())
        }
        Ok(Some(chat)) => {
            if let Some(body) = chat.body {
                request.body = body;
            }
            let reader = match chat.streams {
                None => Answering::plain(),
                Some(Streams { usage }) if chat.streamed => Answering::stream(usage, Arc::clone(tools)),
                Some(_) => Answering::message(Arc::clone(tools)),
            };
            (classify::request(&request, chat.operations), chat.offers, chat.tokens, reader)
        }
        Err(fault) => (classify::faulty(&request, fault), None, 0, Answering::plain()),
    };
    Read::Asked(Box::new(Asked { offers, command, request, tokens, reader: Box::new(reader) }))
}

/// A request to a model.
struct Chat {
    operations: Vec<Operation>,
    offers: Option<Command>,
    /// None for embeddings.
    streams: Option<Streams>,
    streamed: bool,
    tokens: u64,
    body: Option<Bytes>,
}

struct Streams {
    /// The client asked for the count of tokens.
    usage: bool,
}

fn ambiguous(message: impl Into<Arc<str>>) -> Fault {
    Fault::Ambiguous { message: message.into() }
}

fn unsupported(message: impl Into<Arc<str>>) -> Fault {
    Fault::Unsupported { message: message.into() }
}

fn understood(request: &Request, words: &mut dyn Words) -> Result<Option<Chat>, Fault> {
    let path = request.path.as_str();
    let listed = path.strip_prefix("/v1/models").is_some_and(|rest| {
        rest.is_empty() || rest.strip_prefix('/').is_some_and(|id| !id.is_empty() && !id.contains('/'))
    });
    if !request.query.is_empty() {
        return Err(unsupported("the query has a parameter that the gateway does not know here"));
    }
    match (&request.method, path) {
        (Method::Get, _) if listed && request.body.is_empty() => Ok(None),
        (Method::Post, "/v1/chat/completions") => chat(request, words).map(Some),
        (Method::Post, "/v1/embeddings") => embeddings(request, words).map(Some),
        (_, _) => Err(unsupported(
            "this path or method of the API does not pass; POST /v1/chat/completions, POST /v1/embeddings and GET \
             /v1/models do",
        )),
    }
}

/// The body, of no other members than these.
fn body<'r>(request: &'r Request, known: &List) -> Result<(&'r str, Node), Fault> {
    let text = anthropic::content(request)?;
    let body = json::read(text.as_bytes()).map_err(|error| ambiguous(error.to_string()))?;
    let Value::Object(members) = &body.value else { return Err(ambiguous("the body is no JSON object")) };
    if let Some((name, _)) = members.iter().find(|(name, _)| !known.has(name)) {
        let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        let message = format!("the request has a member `{name}` that the gateway does not pass on; leave it out");
        return Err(unsupported(message));
    }
    Ok((text, body))
}

fn model(body: &Node) -> Result<Operation, Fault> {
    let model = body.get("model").and_then(Node::text).filter(|model| tools::is_name(model));
    let model = model.ok_or_else(|| ambiguous("the request names no model, or not in plain text"))?;
    Ok(Operation::new(Action::Generate, Object::Model(Part::known(model))))
}

fn embeddings(request: &Request, words: &mut dyn Words) -> Result<Chat, Fault> {
    let (text, body) = body(request, &facts().embeddings)?;
    Ok(Chat {
        operations: vec![model(&body)?],
        offers: None,
        streams: None,
        streamed: false,
        tokens: text.len() as u64 / 4,
        body: edited(&body, text, Edits::default(), words)?,
    })
}

fn chat(request: &Request, words: &mut dyn Words) -> Result<Chat, Fault> {
    let (text, body) = body(request, &facts().chat)?;
    let mut operations = vec![model(&body)?];
    let offers = self::tools(&body, &mut operations)?;
    turns(&body)?;
    fetched(&body, &mut operations);
    if operations.len() > MOST {
        return Err(Fault::TooLarge { message: format!("the request does more than {MOST} things").into() });
    }
    let count = |name: &str| match body.get(name).map(|node| &node.value) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => body.get(name).and_then(Node::number).map(Some).ok_or_else(|| ambiguous("a count is no number")),
    };
    let most = count("max_completion_tokens")?.max(count("max_tokens")?).unwrap_or_default();
    let choices = count("n")?.unwrap_or(1);
    if choices > super::call::CHOICES {
        return Err(Fault::TooLarge { message: "the request asks for more than 16 choices".into() });
    }
    let streamed = match body.get("stream").map(|node| &node.value) {
        None | Some(Value::Null) => false,
        Some(Value::Bool(streams)) => *streams,
        Some(_) => return Err(ambiguous("stream is neither true nor false")),
    };
    let mut edits = Edits::default();
    let usage = streamed && counts(&body, &mut edits)?;
    Ok(Chat {
        operations,
        offers,
        streams: Some(Streams { usage }),
        streamed,
        tokens: most.saturating_mul(choices).saturating_add(text.len() as u64 / 4),
        body: edited(&body, text, edits, words)?,
    })
}

/// Whether the client wants the count of tokens; the gateway always does.
fn counts(body: &Node, edits: &mut Edits) -> Result<bool, Fault> {
    let wanted = r#"{"include_usage":true}"#;
    match body.get("stream_options") {
        Some(options) => {
            let known = options.members().iter().all(|(name, _)| name == "include_usage");
            if !known || !matches!(options.value, Value::Object(_) | Value::Null) {
                return Err(unsupported("stream_options has a member that the gateway does not know"));
            }
            let asked = options.get("include_usage").is_some_and(Node::is_true);
            if !asked {
                edits.replace(options.span.clone(), wanted);
            }
            Ok(asked)
        }
        None => {
            // There is a member behind it: the model.
            let at = body.span.start + 1;
            edits.replace(at..at, format!(r#""stream_options":{wanted},"#));
            Ok(false)
        }
    }
}

/// The tools that the client would run are offers; those that the provider runs are operations of the request.
fn tools(body: &Node, operations: &mut Vec<Operation>) -> Result<Option<Command>, Fault> {
    let list: &[Node] = match body.get("tools").map(|node| &node.value) {
        None | Some(Value::Null) => &[],
        Some(Value::Array(list)) => list,
        Some(_) => return Err(ambiguous("tools is no list")),
    };
    if list.len() > MOST {
        return Err(Fault::TooLarge { message: format!("the request offers more than {MOST} tools").into() });
    }
    let mut offered = Vec::new();
    for tool in list {
        let unnamed = || ambiguous("a tool has no usable name");
        match tool.get("type").and_then(Node::text).ok_or_else(unnamed)? {
            kind @ ("function" | "custom") => {
                let name = tool.get(kind).and_then(|of| of.get("name")).and_then(Node::text);
                offered.push(name.filter(|name| tools::is_name(name)).ok_or_else(unnamed)?);
            }
            kind if tools::is_name(kind) => operations.push(tools::offered(kind)),
            _ => return Err(unnamed()),
        }
    }
    if body.get("web_search_options").is_some() {
        operations.push(tools::offered("web_search"));
    }
    Ok(tools::offers(offered.into_iter()))
}

fn turns(body: &Node) -> Result<(), Fault> {
    let Some(Value::Array(turns)) = body.get("messages").map(|node| &node.value) else {
        return Err(ambiguous("messages is no list"));
    };
    let known = |turn: &Node| {
        let role = turn.get("role").and_then(Node::text);
        matches!(role, Some("system" | "developer" | "user" | "assistant" | "tool"))
    };
    if turns.iter().all(known) { Ok(()) } else { Err(ambiguous("a message has no role that is known")) }
}

/// What the provider fetches for the conversation.
fn fetched(node: &Node, operations: &mut Vec<Operation>) {
    if let Some(url) = node.get("image_url").map(|image| image.get("url").unwrap_or(image)).and_then(Node::text)
        && !url.starts_with("data:")
    {
        let operation = tools::reached(url);
        if operations.len() <= MOST && !operations.contains(&operation) {
            operations.push(operation);
        }
    }
    node.elements().iter().for_each(|element| fetched(element, operations));
    node.members().iter().for_each(|(_, member)| fetched(member, operations));
}

/// The body with these edits, and with what the masks find replaced.
fn edited(body: &Node, text: &str, mut edits: Edits, words: &mut dyn Words) -> Result<Option<Bytes>, Fault> {
    let not_maskable = || unsupported("the request cannot be masked");
    if words.binds() {
        for (name, member) in body.members() {
            // Words of the API and edited already.
            if !matches!(name.as_str(), "model" | "stream_options") {
                anthropic::mask_sparing(&facts().spared, member, text, words, &mut edits)
                    .map_err(|_| not_maskable())?;
            }
        }
    }
    if edits.is_empty() {
        return Ok(None);
    }
    let masked = edits.apply(text).ok_or_else(not_maskable)?;
    // What became of it must still be what was read.
    json::read(masked.as_bytes()).map_err(|_| not_maskable())?;
    Ok(Some(Bytes::from(masked)))
}
