//! A request to the API, read as the command that it is; those for responses are in `responses/request.rs`.
//!
//! Promises: as for `api: anthropic`: an unknown path, parameter, part or member that says something is a fault; the
//! model is `generate model NAME`, what the provider runs or fetches is said besides, what the client would run is on
//! offer. An answer that the request does not limit may cost the most of any. The tokens of a streamed answer are
//! always asked for, and left out again where the client did not. Held by: `tests.rs`.

use super::answer::{CHOICES, Completions};
use super::facts::facts;
use super::responses;
use super::stream::Stream;
use crate::api::model::request::{
    self, Answer, Body, Message, Operations, Received, Runs, Understood, ambiguous, asked, is_listing, keep_headers,
    unsupported,
};
use crate::api::model::{List, Wanted, members};
use crate::api::{self, Read, Words};
use crate::frame::{Method, Request};
use crate::json::{Edits, Node, Value};
use crate::tools::{self, ToolTable};
use portcullis_model::{Action, Fault, Object, Operation, Part};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Reads a request.
pub(crate) fn read(mut request: Request, tools: &Arc<ToolTable>, words: &mut dyn Words) -> Read {
    keep_headers(&mut request, &facts().request_headers, words);
    if responses::is_asked(&request) {
        return responses::read(request, tools, words);
    }
    let understood = understood(&request, words);
    asked::<Completions>(request, understood, tools, |wanted| Stream::new(wanted, Arc::clone(tools)))
}

/// The request without these tools of the client's; `None` where it cannot be sent so.
pub(crate) fn without(request: &Request, refused: &BTreeSet<String>) -> Option<Request> {
    if responses::is_asked(request) {
        return api::model::without(request, refused, responses::runs);
    }
    api::model::without(request, refused, runs)
}

fn understood(request: &Request, words: &mut dyn Words) -> Result<Understood, Fault> {
    unquestioned(request)?;
    match (&request.method, request.path.as_str()) {
        (Method::Get, path) if is_listing(path) && request.body.is_empty() => Ok(Understood::Listing),
        (Method::Post, "/v1/chat/completions") => {
            chat(request, words).map(|message| Understood::Message(Box::new(message)))
        }
        (Method::Post, "/v1/embeddings") => {
            embeddings(request, words).map(|message| Understood::Message(Box::new(message)))
        }
        (_, _) => Err(unsupported(
            "this path or method of the API does not pass; POST /v1/responses, POST /v1/chat/completions, POST \
             /v1/embeddings and GET /v1/models do",
        )),
    }
}

/// No path of the API has parameters.
pub(super) fn unquestioned(request: &Request) -> Result<(), Fault> {
    if request.query.is_empty() {
        return Ok(());
    }
    Err(unsupported("the query has a parameter that the gateway does not know here"))
}

pub(super) fn model(body: &Body) -> Result<Operation, Fault> {
    let model = body.node.get("model").and_then(Node::text).filter(|model| tools::is_name(model));
    let model = model.ok_or_else(|| ambiguous("the request names no model, or not in plain text"))?;
    Ok(Operation::new(Action::Generate, Object::Model(Part::known(model))))
}

fn embeddings(request: &Request, words: &mut dyn Words) -> Result<Message, Fault> {
    let facts = facts();
    let received = Received::read(request)?;
    let body = received.sent(&facts.embeddings, &List::default(), &facts.spared, Edits::default(), words)?;
    let input = body.node.get("input").ok_or_else(|| ambiguous("the request has no input"))?;
    let is_text = match &input.value {
        Value::String(_) => true,
        Value::Array(texts) => texts.iter().all(|text| text.text().is_some()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    };
    if words.binds() && !is_text {
        return Err(unsupported("an input of tokens cannot be masked; send it as text"));
    }
    Ok(Message {
        operations: vec![model(&body)?],
        offers: None,
        tokens: body.node.get("input").map_or(0, embedded),
        body,
        answer: Answer::Counted,
    })
}

/// Tokens that an input may have at most: of a text no more than bytes, of a list what is in it.
fn embedded(input: &Node) -> u64 {
    match &input.value {
        Value::String(text) => text.len() as u64,
        Value::Array(elements) => elements.iter().map(embedded).fold(0, u64::saturating_add),
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::Object(_) => input.span.len() as u64,
    }
}

fn chat(request: &Request, words: &mut dyn Words) -> Result<Message, Fault> {
    let facts = facts();
    let received = Received::read(request)?;
    let mut edits = Edits::default();
    let counted = counts(&received.node, &mut edits)?;
    let body = received.sent(&facts.chat, &facts.left_out, &facts.spared, edits, words)?;
    let mut operations = Operations::from_iter([model(&body)?]);
    let offers = request::tools(body.list("tools")?, runs, &mut operations)?;
    if body.node.get("web_search_options").is_some() {
        operations.add(tools::offered("web_search"));
    }
    members::settings(&body.node, &["messages", "tools"], &facts.within)?;
    turns(&body)?;
    // What is expected of the answer is said in parts, too.
    said(body.node.get("prediction").and_then(|prediction| prediction.get("content")))?;
    fetched(&body.node, &mut operations);
    // Nothing is no limit, and no choices are one.
    let limit = body.number("max_completion_tokens")?.max(body.number("max_tokens")?);
    let most = limit.filter(|most| *most > 0).unwrap_or(facts.ceiling);
    let choices = body.number("n")?.unwrap_or(1).max(1);
    if choices > CHOICES {
        return Err(Fault::TooLarge { message: "the request asks for more than 16 choices".into() });
    }
    let wanted = Wanted { counted, formatted: request::is_formatted(body.node.get("response_format")) };
    Ok(Message {
        operations: operations.bounded()?,
        offers,
        tokens: most.saturating_mul(choices).saturating_add(body.tokens()),
        answer: if body.is_true("stream")? { Answer::Stream(wanted) } else { Answer::Message(wanted) },
        body,
    })
}

/// Whether the client wants the count of tokens; the gateway always does.
fn counts(body: &Node, edits: &mut Edits) -> Result<bool, Fault> {
    let wanted = |more: &str| format!(r#"{{"include_usage":true{more}}}"#);
    let streams = body.get("stream").is_some_and(Node::is_true);
    let Some(options) = body.get("stream_options") else {
        if streams {
            // There is a member behind it: `stream`.
            let at = body.span.start + 1;
            edits.replace(at..at, format!(r#""stream_options":{},"#, wanted("")));
        }
        return Ok(false);
    };
    let known = |(name, node): &(String, Node)| {
        matches!(name.as_str(), "include_usage" | "include_obfuscation")
            && matches!(node.value, Value::Bool(_) | Value::Null)
    };
    if !matches!(options.value, Value::Object(_) | Value::Null) || !options.members().iter().all(known) {
        return Err(unsupported("stream_options has a member that the gateway does not know"));
    }
    let asked = options.get("include_usage").is_some_and(Node::is_true);
    if streams && !asked {
        let more = match options.get("include_obfuscation").map(|node| &node.value) {
            Some(Value::Bool(wished)) => format!(r#","include_obfuscation":{wished}"#),
            _ => String::new(),
        };
        edits.replace(options.span.clone(), wanted(&more));
    }
    Ok(asked)
}

/// Who runs this tool.
fn runs(tool: &Node) -> Result<Runs<'_>, Fault> {
    let unnamed = || ambiguous("a tool has no usable name");
    match tool.get("type").and_then(Node::text).ok_or_else(unnamed)? {
        "function" => {
            members::only(format_args!("a tool"), tool, &facts().tool, &facts().within)?;
            let name = tool.get("function").and_then(|function| function.get("name")).and_then(Node::text);
            name.map(Runs::Client).ok_or_else(unnamed)
        }
        "custom" => {
            Err(unsupported("a custom tool is called with text of a form that is not known; offer it as a function"))
        }
        kind => Ok(Runs::Provider(kind)),
    }
}

/// The conversation is a list of turns of known roles and members, each of text or of parts that are known.
fn turns(body: &Body) -> Result<(), Fault> {
    let Some(Value::Array(turns)) = body.node.get("messages").map(|node| &node.value) else {
        return Err(ambiguous("messages is no list"));
    };
    for turn in turns {
        let role = turn.get("role").and_then(Node::text);
        if !matches!(role, Some("system" | "developer" | "user" | "assistant" | "tool")) {
            return Err(ambiguous("a message has no role that is known"));
        }
        members::only(format_args!("a message"), turn, &facts().turn, &facts().within)?;
        said(turn.get("content"))?;
    }
    Ok(())
}

/// What is said is a text, or parts that are known, with the members of their kind.
fn said(content: Option<&Node>) -> Result<(), Fault> {
    let unknown = || unsupported("a message has a part that the gateway does not know; leave it out");
    match content.map(|content| &content.value) {
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(Value::Array(parts)) => parts.iter().try_for_each(|part| {
            let kind = part.get("type").and_then(Node::text).unwrap_or_default();
            let listed = facts().parts.get(kind).ok_or_else(unknown)?;
            members::only(format_args!("a part `{kind}`"), part, listed, &facts().within)
        }),
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Err(unknown()),
    }
}

/// What the provider fetches for the conversation.
pub(super) fn fetched(node: &Node, operations: &mut Operations) {
    if let Some(url) = node.get("image_url").map(|image| image.get("url").unwrap_or(image)).and_then(Node::text)
        && !url.starts_with("data:")
    {
        operations.add(tools::reached(url));
    }
    node.elements().iter().for_each(|element| fetched(element, operations));
    node.members().iter().for_each(|(_, member)| fetched(member, operations));
}
