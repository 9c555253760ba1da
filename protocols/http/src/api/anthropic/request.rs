//! A request to the Messages API, read as the command that it is.
//!
//! Promises: a request whose meaning is not known whole is a command with a fault: an unknown path, method, version,
//! parameter, member or part, a body that can be read two ways. Every model that may answer is `generate model NAME`, every
//! tool that the provider runs is `call tool NAME` of the request; those that the client would run are on offer, and judged
//! before; what the provider fetches is `connect host H:P`. Members of messages, of their parts and of settings are listed:
//! no tool is defined but in `tools`. What is forwarded is masked before it is judged. Does not promise that the tools are
//! what their names say, nor to know what a tool of the provider's may be told.
//! Held by: `tests.rs`.

use super::answer::Messages;
use super::facts::facts;
use super::stream::Stream;
use crate::api::model::request::{
    self, Answer, Body, Message, Operations, Received, Runs, Understood, ambiguous, asked, is_listing, keep_headers,
    unsupported,
};
use crate::api::model::{List, Wanted, is_word, members};
use crate::api::{Read, Words, model};
use crate::frame::{Method, Request};
use crate::json::{Edits, Node, Value};
use crate::tools::{self, ToolTable};
use portcullis_model::{Action, Fault, Object, Operation, Part};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Why a conversation that the provider keeps does not pass.
pub(super) const KEPT: &str = "a conversation that the provider keeps could be anybody's, and what is kept is not masked; send it whole, without a thread";

/// Models that one request may name.
const MODELS: usize = 16;

/// Reads a request.
pub(crate) fn read(mut request: Request, tools: &Arc<ToolTable>, words: &mut dyn Words) -> Read {
    keep_headers(&mut request, &facts().request_headers, words);
    let understood = understood(&request, words);
    asked::<Messages>(request, understood, tools, |_| Stream::new(Arc::clone(tools)))
}

fn understood(request: &Request, words: &mut dyn Words) -> Result<Understood, Fault> {
    let path = request.path.as_str();
    match (&request.method, path) {
        (Method::Head, "/api/hello") => Ok(Understood::Own),
        (Method::Post, "/v1/messages" | "/v1/messages/count_tokens") => {
            query(request, &["beta"])?;
            message(request, path.ends_with("/count_tokens"), words)
                .map(|message| Understood::Message(Box::new(message)))
        }
        (Method::Get, _) if is_listing(path) => {
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
            _ => value.is_some_and(is_word),
        };
        if !known.contains(&name) || !fits {
            return Err(unsupported("the query has a parameter that the gateway does not know here"));
        }
    }
    Ok(())
}

fn message(request: &Request, counts: bool, words: &mut dyn Words) -> Result<Message, Fault> {
    let version = request.header("anthropic-version").unwrap_or_default();
    let known = facts().members(version).ok_or_else(|| {
        unsupported("the request has no anthropic-version that the gateway knows; 2023-06-01 and 2026-10-21 are")
    })?;
    let received = Received::read(request)?;
    if received.node.get(&facts().kept).is_some() {
        return Err(unsupported(KEPT));
    }
    let body = received.sent(known, &List::default(), &facts().spared, Edits::default(), words)?;
    let mut operations = models(&body)?;
    let offers = request::tools(body.list("tools")?, runs, &mut operations)?;
    let most = match body.number("max_tokens")? {
        Some(most) => most,
        None if counts => 0,
        None => return Err(ambiguous("max_tokens is no whole number")),
    };
    let streams = body.is_true("stream")? && !counts;
    members::settings(&body.node, &["messages", "system", "tools"], &facts().within)?;
    conversation(&body)?;
    fetched(&body.node, &mut operations)?;
    Ok(Message {
        operations: operations.bounded()?,
        offers,
        tokens: if counts { 0 } else { most.saturating_add(body.tokens()) },
        body,
        answer: match (counts, streams) {
            (true, _) => Answer::Plain,
            // A refused call is said in a text, whatever form was asked for: the API has no other place for it.
            (false, true) => Answer::Stream(Wanted::default()),
            (false, false) => Answer::Message(Wanted::default()),
        },
    })
}

/// Every model that may answer.
fn models(body: &Body) -> Result<Operations, Fault> {
    let model = body.node.get("model").and_then(Node::text).ok_or_else(|| ambiguous("the request names no model"))?;
    let mut models = vec![model];
    if body.node.get("fallbacks").and_then(Node::text).is_some() {
        return Err(unsupported("fallbacks names no models: name them, since which one answers could not be judged"));
    }
    for fallback in body.list("fallbacks")? {
        let model = fallback.text().or_else(|| fallback.get("model").and_then(Node::text));
        // What else stands in such an entry could be anything that a request may say.
        let only = fallback.members().iter().all(|(name, _)| name == "model");
        models.push(model.filter(|_| only).ok_or_else(|| unsupported("a fallback is more than a model"))?);
    }
    // An adviser is asked beside, about the conversation.
    for tool in body.list("tools")? {
        match tool.get("model").map(|node| &node.value) {
            None | Some(Value::Null) => {}
            Some(Value::String(model)) => models.push(model),
            Some(_) => return Err(ambiguous("the model of a tool is no text")),
        }
    }
    models.dedup();
    if models.len() > MODELS || !models.iter().all(|model| tools::is_name(model)) {
        return Err(ambiguous("the name of a model is empty, too long, or not plain text"));
    }
    let generate = |model: &&str| Operation::new(Action::Generate, Object::Model(Part::known(*model)));
    Ok(models.iter().map(generate).collect())
}

/// The request without these tools of the client's; `None` where it cannot be sent so.
pub(crate) fn without(request: &Request, refused: &BTreeSet<String>) -> Option<Request> {
    model::without(request, refused, runs)
}

/// Who runs this tool.
fn runs(tool: &Node) -> Result<Runs<'_>, Fault> {
    let kind = match tool.get("type").map(|node| &node.value) {
        None | Some(Value::Null) => "custom",
        Some(Value::String(kind)) => kind,
        Some(_) => return Err(ambiguous("the type of a tool is no text")),
    };
    let name = tool.get("name").and_then(Node::text);
    if facts().client_tools.has(kind) {
        members::only(format_args!("a tool"), tool, &facts().tool, &facts().within)?;
        name.map(Runs::Client).ok_or_else(|| ambiguous("a tool has no usable name"))
    } else {
        // The provider goes by the type, which begins with the tool's name (`web_search_20250305`). A name that it does not
        // begin with is one that the client chose, and some have none (`mcp_toolset`): then the type is the name.
        let own = name.filter(|name| kind.strip_prefix(*name).is_some_and(|rest| rest.starts_with('_')));
        Ok(Runs::Provider(own.unwrap_or(kind)))
    }
}

/// What the provider fetches for the conversation: sources that are URLs. Other sources are in the conversation itself.
fn fetched(node: &Node, operations: &mut Operations) -> Result<(), Fault> {
    let kind = node.get("type").and_then(Node::text);
    if kind == Some("url")
        && let Some(url) = node.get("url").and_then(Node::text)
    {
        operations.add(tools::reached(url));
    }
    // What a tool was called with is nothing that the provider acts on.
    let is_call = kind.is_some_and(|kind| kind.ends_with("tool_use"));
    node.elements().iter().try_for_each(|element| fetched(element, operations))?;
    for (name, member) in node.members().iter().filter(|(name, _)| !(is_call && name == "input")) {
        let is_source = name == "source" && matches!(member.value, Value::Object(_));
        if is_source && !member.get("type").and_then(Node::text).is_some_and(|kind| facts().sources.has(kind)) {
            return Err(unsupported("a source is neither in the request nor a URL; put its content into the message"));
        }
        fetched(member, operations)?;
    }
    Ok(())
}

/// The conversation is a list of turns, each of text or blocks: what is neither would pass unseen.
fn conversation(body: &Body) -> Result<(), Fault> {
    let Some(Value::Array(turns)) = body.node.get("messages").map(|node| &node.value) else {
        return Err(ambiguous("messages is no list"));
    };
    for turn in turns {
        let known = matches!(turn.get("role").and_then(Node::text), Some("user" | "assistant" | "system"));
        let said = turn.get("content").filter(|content| is_said(content));
        if !known || said.is_none() {
            return Err(ambiguous("a message has no known role, or its content is neither text nor blocks"));
        }
        members::only(format_args!("a message"), turn, &facts().turn, &facts().within)?;
        said.map_or(Ok(()), parts)?;
    }
    body.node.get("system").map_or(Ok(()), parts)
}

fn is_said(content: &Node) -> bool {
    match &content.value {
        Value::String(_) => true,
        Value::Array(blocks) => blocks.iter().all(|block| block.get("type").and_then(Node::text).is_some()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

/// Blocks are of kinds that are known, with the members of their kind. What the provider's own tools found is the
/// provider's: it has the members of what they find.
fn parts(content: &Node) -> Result<(), Fault> {
    let facts = facts();
    for block in content.elements() {
        let kind = block.get("type").and_then(Node::text).unwrap_or_default();
        let listed = facts.parts.get(kind);
        let listed =
            listed.ok_or_else(|| unsupported("a message has a part that the gateway does not know; leave it out"))?;
        members::only(format_args!("a part `{kind}`"), block, listed, &facts.within)?;
        if facts.results.has(kind) {
            let found = block.get("content");
            found.map_or(Ok(()), |found| members::throughout(format_args!("a part `{kind}`"), found, &facts.found))?;
        } else {
            block.get("content").map_or(Ok(()), parts)?;
            block.get("source").and_then(|source| source.get("content")).map_or(Ok(()), parts)?;
        }
    }
    Ok(())
}
