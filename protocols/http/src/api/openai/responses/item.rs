//! The items of an answer: which there are, and how they are written.
//!
//! Promises: an item of a kind that is not known does not pass; ids and states are words of the API's own, and no item has
//! the id of another; what the provider sealed passes only where it looks like that. A call that is refused is a message in
//! its place, by an id that no other answer has. Held by: `tests.rs`.

use super::facts::facts;
use crate::api::Unfit;
use crate::api::model::{self, Call, Ready, STRANGE, Wanted, is_sealed};
use crate::json::{Node, Value, quoted};
use std::collections::HashSet;

const UNKNOWN: Unfit = Unfit("the answer of the model has an item of a kind that does not pass");
const ELSEWHERE: Unfit = Unfit("the answer of the model calls a tool of a kind that was not offered");

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Reasoning,
    Call,
    /// What the provider searched for.
    Search,
}

/// What kind of item it is; one of another kind does not pass.
pub(super) fn kind(item: &Node) -> Result<Kind, Unfit> {
    match model::word(item, "type")? {
        "message" if model::word(item, "role")? == "assistant" => Ok(Kind::Message),
        "reasoning" => Ok(Kind::Reasoning),
        "function_call" => Ok(Kind::Call),
        "web_search_call" => Ok(Kind::Search),
        _ => Err(UNKNOWN),
    }
}

/// The id of an item or of a response.
pub(super) fn id(node: &Node) -> Result<&str, Unfit> {
    model::word(node, "id").and_then(|id| if id.is_empty() { Err(STRANGE) } else { Ok(id) })
}

/// The ids of one answer.
#[derive(Debug, Default)]
pub(super) struct Ids(HashSet<String>);

impl Ids {
    /// One more, of an item or of a call.
    pub(super) fn take(&mut self, id: &str) -> Result<(), Unfit> {
        if self.0.insert(id.to_owned()) { Ok(()) } else { Err(STRANGE) }
    }
}

/// A member that says in a word how things stand, where it is said.
fn state<'n>(item: &'n Node, name: &str, known: &[&str]) -> Result<Option<&'n str>, Unfit> {
    let said = model::reason(item.get(name))?;
    if said.is_none_or(|said| known.contains(&said)) { Ok(said) } else { Err(STRANGE) }
}

/// How an item ended.
pub(super) fn status(item: &Node) -> Result<Option<&str>, Unfit> {
    state(item, "status", &["completed", "incomplete", "failed"])
}

/// Whether a message is an answer or a word in between.
pub(super) fn phase(item: &Node) -> Result<Option<&str>, Unfit> {
    state(item, "phase", &["commentary", "final_answer"])
}

/// What the provider sealed of its reasoning.
pub(super) fn sealed(item: &Node) -> Result<Option<&str>, Unfit> {
    match item.get("encrypted_content").map(|sealed| &sealed.value) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(sealed)) if is_sealed(sealed) => Ok(Some(sealed)),
        Some(_) => Err(STRANGE),
    }
}

/// What the provider did in a search.
pub(super) fn action(item: &Node) -> Result<&Node, Unfit> {
    item.get("action").filter(|action| matches!(action.value, Value::Object(_))).ok_or(STRANGE)
}

/// The call that an item is.
pub(super) fn call(item: &Node) -> Result<Call, Unfit> {
    let text = |name: &str| item.get(name).and_then(Node::text).map(ToOwned::to_owned).ok_or(STRANGE);
    let is_said = |name: &str| item.get(name).is_some_and(|node| node.value != Value::Null);
    // It would be another tool of that name, or one that a program of the provider's called.
    let direct = item
        .get("caller")
        .is_none_or(|caller| caller.value == Value::Null || caller.get("type").and_then(Node::text) == Some("direct"));
    if is_said("namespace") || !direct {
        return Err(ELSEWHERE);
    }
    let kind = "function".to_owned();
    Ok(Call { kind, id: text("call_id")?, name: text("name")?, server: None, input: text("arguments")? })
}

/// A kind of text, by the words for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spoken {
    pub(super) kind: &'static str,
    pub(super) member: &'static str,
    /// The list that it is in, of the item.
    pub(super) list: &'static str,
    /// The item that it is in.
    pub(super) of: Kind,
}

pub(super) static TEXT: Spoken = Spoken { kind: "output_text", member: "text", list: "content", of: Kind::Message };
pub(super) static REFUSAL: Spoken = Spoken { kind: "refusal", member: "refusal", list: "content", of: Kind::Message };
pub(super) static SUMMARY: Spoken =
    Spoken { kind: "summary_text", member: "text", list: "summary", of: Kind::Reasoning };
pub(super) static THOUGHT: Spoken =
    Spoken { kind: "reasoning_text", member: "text", list: "content", of: Kind::Reasoning };

impl Spoken {
    /// The kind of text in which a refused call is said. Clients that asked for a form read the plain one as that.
    pub(super) fn refused(wanted: Wanted) -> &'static Self {
        if wanted.formatted { &REFUSAL } else { &TEXT }
    }

    /// What kind of text this part is, of an item of this kind, in the list of this name.
    pub(super) fn of(part: &Node, item: Kind, list: &str) -> Result<&'static Self, Unfit> {
        let kind = model::word(part, "type")?;
        let known = [&TEXT, &REFUSAL, &SUMMARY, &THOUGHT].into_iter();
        known.into_iter().find(|one| one.kind == kind && one.of == item && one.list == list).ok_or(UNKNOWN)
    }

    /// What it says.
    pub(super) fn said<'n>(&self, part: &'n Node) -> Result<&'n str, Unfit> {
        part.get(self.member).and_then(Node::text).ok_or(STRANGE)
    }

    /// A part that says this, with its sources.
    pub(super) fn written(&self, text: &str, sources: &[String]) -> String {
        let Self { kind, member, .. } = self;
        let sources = if *self == TEXT { format!(r#""annotations":[{}],"#, sources.join(",")) } else { String::new() };
        format!(r#"{{"type":"{kind}",{sources}"{member}":{}}}"#, quoted(text))
    }

    /// The first members of what the record keeps of it.
    pub(super) fn about(&self, index: usize) -> String {
        format!(r#""item":{index},"type":"{}""#, self.kind)
    }
}

/// Whether this source of a text passes.
pub(super) fn is_source(annotation: &Node) -> bool {
    annotation.get("type").and_then(Node::text).is_some_and(|kind| facts().annotations.has(kind))
}

/// A message of the model.
pub(super) fn message(id: &str, status: &str, phase: Option<&str>, content: &[String]) -> String {
    let phase = phase.map(|phase| format!(r#","phase":{}"#, quoted(phase))).unwrap_or_default();
    format!(
        r#"{{"id":{},"type":"message","status":{},"role":"assistant"{phase},"content":[{}]}}"#,
        quoted(id),
        quoted(status),
        content.join(",")
    )
}

/// What the model thought.
pub(super) fn reasoning(
    id: &str,
    status: Option<&str>,
    summary: &[String],
    content: &[String],
    sealed: Option<&str>,
) -> String {
    let id = quoted(id);
    let content = if content.is_empty() { String::new() } else { format!(r#","content":[{}]"#, content.join(",")) };
    let sealed = sealed.map(|sealed| format!(r#","encrypted_content":{}"#, quoted(sealed))).unwrap_or_default();
    let status = status.map(|status| format!(r#","status":{}"#, quoted(status))).unwrap_or_default();
    format!(r#"{{"id":{id},"type":"reasoning","summary":[{}]{content}{sealed}{status}}}"#, summary.join(","))
}

/// What the provider searched for.
pub(super) fn search(id: &str, status: &str, action: &str) -> String {
    format!(r#"{{"id":{},"type":"web_search_call","status":{},"action":{action}}}"#, quoted(id), quoted(status))
}

/// A call that passes, with these arguments.
pub(super) fn called(id: &str, status: &str, call: &Ready, arguments: &str) -> String {
    format!(
        r#"{{"id":{},"type":"function_call","status":{},"call_id":{},"name":{},"arguments":{}}}"#,
        quoted(id),
        quoted(status),
        quoted(call.id()),
        quoted(call.name()),
        quoted(arguments)
    )
}

/// The id of the message that stands for a call that does not pass. The provider takes no other for one of a message.
pub(super) fn instead_of(call: &Ready) -> String {
    let plain = call.id().chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    format!("msg_{}", plain.take(60).collect::<String>())
}
