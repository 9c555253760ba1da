//! A request for a response, read as the command that it is.
//!
//! Promises: an unknown member that says something is a fault, and so is an unknown item, part, tool or value of
//! `include`. What a client says of itself (`client_metadata`) is taken out. The provider is asked to keep nothing
//! (`store: false`, whatever its default is), and what it keeps is not asked for: neither an earlier response, a
//! conversation or a prompt by its id, nor an item without its content. The model is `generate model NAME`, what the
//! provider runs or fetches is said besides, what the client would run is on offer. An answer that the request does not
//! limit may cost the most of any. Does not promise that the provider keeps nothing where it is asked to.
//! Held by: `tests/requests.rs`.

use super::super::facts::facts as of_api;
use super::super::request::{fetched, model, unquestioned};
use super::answer::Responses;
use super::facts::facts;
use super::stream::Stream;
use crate::api::model::request::{
    self, Answer, Body, Message, Operations, Received, Runs, Understood, ambiguous, asked, unsupported,
};
use crate::api::model::{List, Wanted, members};
use crate::api::{Read, Words};
use crate::frame::{Method, Request};
use crate::json::{Edits, Node, Value};
use crate::tools::ToolTable;
use portcullis_model::Fault;
use std::sync::Arc;

const KEPT: &str = "what the provider keeps could be anybody's, and is not masked; send the conversation whole, without previous_response_id, conversation, prompt or background";
const STORED: &str =
    "a response that the provider keeps is not masked when it is read again; leave store out or make it false";
const UNSEALED: &str = "a reasoning item without its encrypted_content is one that the provider keeps; ask for it by include: [\"reasoning.encrypted_content\"], or leave the item out";

/// Whether the request is one for a response.
pub(in crate::api::openai) fn is_asked(request: &Request) -> bool {
    request.method == Method::Post && request.path.as_str() == "/v1/responses"
}

/// Reads it.
pub(in crate::api::openai) fn read(request: Request, tools: &Arc<ToolTable>, words: &mut dyn Words) -> Read {
    let understood = response(&request, words).map(|message| Understood::Message(Box::new(message)));
    asked::<Responses>(request, understood, tools, |wanted| Stream::new(wanted, Arc::clone(tools)))
}

fn response(request: &Request, words: &mut dyn Words) -> Result<Message, Fault> {
    unquestioned(request)?;
    let facts = facts();
    let received = Received::read(request)?;
    let mut edits = Edits::default();
    unstored(&received.node, &mut edits)?;
    let body = received.sent(&facts.request, &facts.left_out, &facts.spared, edits, words)?;
    let mut operations = Operations::from_iter([model(&body)?]);
    let offers = request::tools(body.list("tools")?, runs, &mut operations)?;
    included(&body)?;
    members::settings(&body.node, &["input", "tools"], &facts.within)?;
    conversation(&body)?;
    fetched(&body.node, &mut operations);
    // Nothing is no limit.
    let most = body.number("max_output_tokens")?.filter(|most| *most > 0).unwrap_or(of_api().ceiling);
    let format = body.node.get("text").and_then(|text| text.get("format"));
    let wanted = Wanted { counted: true, formatted: request::is_formatted(format) };
    Ok(Message {
        operations: operations.bounded()?,
        offers,
        tokens: most.saturating_add(body.tokens()),
        answer: if body.is_true("stream")? { Answer::Stream(wanted) } else { Answer::Message(wanted) },
        body,
    })
}

/// Has the provider keep nothing, and refers to nothing that it keeps.
fn unstored(body: &Node, edits: &mut Edits) -> Result<(), Fault> {
    let is_nothing = |node: &Node| matches!(node.value, Value::Null | Value::Bool(false));
    if body.members().iter().any(|(name, node)| facts().kept.has(name) && !is_nothing(node)) {
        return Err(unsupported(KEPT));
    }
    match body.get("store") {
        Some(store) if store.value == Value::Bool(false) => {}
        Some(store) if store.value == Value::Null => edits.replace(store.span.clone(), "false"),
        Some(_) => return Err(unsupported(STORED)),
        None if body.members().is_empty() => {}
        None => {
            let at = body.span.start + 1;
            edits.replace(at..at, r#""store":false,"#);
        }
    }
    Ok(())
}

/// Who runs this tool.
pub(in crate::api::openai) fn runs(tool: &Node) -> Result<Runs<'_>, Fault> {
    let unnamed = || ambiguous("a tool has no usable name");
    match tool.get("type").and_then(Node::text).ok_or_else(unnamed)? {
        "function" => {
            only(tool, &facts().function)?;
            tool.get("name").and_then(Node::text).map(Runs::Client).ok_or_else(unnamed)
        }
        kind if facts().provider_tools.has(kind) => Ok(Runs::Provider(kind)),
        _ => Err(unsupported("a tool is of a kind that does not pass; functions and web_search do")),
    }
}

/// What the answer and its stream may have besides is listed.
fn included(body: &Body) -> Result<(), Fault> {
    let listed = |value: &Node| value.text().is_some_and(|value| facts().include.has(value));
    if !body.list("include")?.iter().all(listed) {
        return Err(unsupported("include has a value that the gateway does not pass on"));
    }
    let Some(options) = body.node.get("stream_options") else { return Ok(()) };
    let known = |(name, node): &(String, Node)| name == "include_obfuscation" && matches!(node.value, Value::Bool(_));
    if !matches!(options.value, Value::Object(_) | Value::Null) || !options.members().iter().all(known) {
        return Err(unsupported("stream_options has a member that the gateway does not know"));
    }
    Ok(())
}

/// The conversation is a text, or items of known kinds.
fn conversation(body: &Body) -> Result<(), Fault> {
    if !matches!(body.node.get("instructions").map(|node| &node.value), None | Some(Value::Null | Value::String(_))) {
        return Err(ambiguous("instructions is no text"));
    }
    match body.node.get("input").map(|node| &node.value) {
        Some(Value::String(_)) => Ok(()),
        Some(Value::Array(items)) => items.iter().try_for_each(item),
        None | Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            Err(ambiguous("input is neither text nor a list of items"))
        }
    }
}

fn item(node: &Node) -> Result<(), Fault> {
    let unknown = || unsupported("the input has an item of a kind that the gateway does not pass on; leave it out");
    // A message need not say that it is one.
    let kind = node.get("type").map_or(Some("message"), Node::text).ok_or_else(unknown)?;
    only(node, facts().items.get(kind).ok_or_else(unknown)?)?;
    let text = |name: &str| node.get(name).and_then(Node::text).is_some();
    let whole = match kind {
        "message" => {
            let role = node.get("role").and_then(Node::text);
            said(node.get("content"), &["input_text", "input_image", "output_text", "refusal"])?;
            matches!(role, Some("user" | "assistant" | "system" | "developer"))
        }
        "function_call" => text("call_id") && text("name") && text("arguments"),
        "function_call_output" => {
            said(node.get("output"), &["input_text", "input_image"])?;
            text("call_id")
        }
        "reasoning" => {
            if !text("encrypted_content") {
                return Err(unsupported(UNSEALED));
            }
            for (name, kind) in [("summary", "summary_text"), ("content", "reasoning_text")] {
                node.get(name).filter(|node| !members::is_nothing(node)).map_or(Ok(()), |list| parts(list, &[kind]))?;
            }
            true
        }
        "web_search_call" => node.get("action").is_some_and(|action| matches!(action.value, Value::Object(_))),
        _ => return Err(unknown()),
    };
    if whole { Ok(()) } else { Err(ambiguous("an item of the input lacks what one of its kind has")) }
}

/// What an item says is a text, or parts of these kinds.
fn said(content: Option<&Node>, kinds: &[&str]) -> Result<(), Fault> {
    let content = content.ok_or_else(|| ambiguous("an item of the input has no content"))?;
    if content.text().is_some() { Ok(()) } else { parts(content, kinds) }
}

fn parts(list: &Node, kinds: &[&str]) -> Result<(), Fault> {
    let unknown = || unsupported("an item has a part that the gateway does not know; leave it out");
    if !matches!(list.value, Value::Array(_)) {
        return Err(unknown());
    }
    for part in list.elements() {
        let kind = part.get("type").and_then(Node::text).filter(|kind| kinds.contains(kind)).ok_or_else(unknown)?;
        only(part, facts().parts.get(kind).ok_or_else(unknown)?)?;
        let member = match kind {
            "refusal" => "refusal",
            "input_image" => "image_url",
            _ => "text",
        };
        part.get(member).and_then(Node::text).ok_or_else(|| ambiguous("a part of an item says nothing"))?;
    }
    Ok(())
}

/// Of other members than these, there is nothing in any.
fn only(node: &Node, listed: &List) -> Result<(), Fault> {
    members::only(format_args!("a tool, an item or a part of one"), node, listed, &facts().within)
}
