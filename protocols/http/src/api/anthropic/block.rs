//! The blocks of an answer: which there are, and what of them passes.
//!
//! Promises: a block of a kind that is not known does not pass; a call is read with its id and its names; thinking passes as
//! it is or not at all, since a signature is over it. A turn in which no call of the client's is left does not say that it
//! waits for one. Held by: `tests.rs`.

use super::facts::facts;
use crate::api::model::{self, Call, Ready, STRANGE, is_word};
use crate::api::{Unfit, Words};
use crate::json::{Node, Value, quoted};
use portcullis_model::Denial;
use std::collections::HashSet;

/// Blocks of one answer.
pub(super) const BLOCKS: usize = 4_096;

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// What the provider made of earlier turns.
    Compaction,
    Thinking,
    Redacted,
    Call,
    /// What the provider's own tools found or an adviser said, or that another model goes on: it comes whole.
    Result,
}

/// What kind of block this word is; a block of another kind does not pass.
pub(super) fn kind(word: &str) -> Option<Kind> {
    match word {
        "text" => Some(Kind::Text),
        "compaction" => Some(Kind::Compaction),
        "thinking" => Some(Kind::Thinking),
        "redacted_thinking" => Some(Kind::Redacted),
        "tool_use" | "server_tool_use" | "mcp_tool_use" => Some(Kind::Call),
        result if facts().results.has(result) => Some(Kind::Result),
        _ => None,
    }
}

/// The text of a member.
pub(super) fn text<'n>(node: &'n Node, name: &str) -> Result<&'n str, Unfit> {
    node.get(name).and_then(Node::text).ok_or(STRANGE)
}

/// The same of one that may say nothing.
pub(super) fn given<'n>(node: &'n Node, name: &str) -> Result<Option<&'n str>, Unfit> {
    match node.get(name).map(|member| &member.value) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => Err(STRANGE),
    }
}

/// Whether the input of a call says nothing yet: it comes in pieces.
pub(super) fn is_blank(input: &Value) -> bool {
    match input {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A block of redacted thinking, which is encrypted and nothing else.
pub(super) fn redacted(block: &Node) -> Result<String, Unfit> {
    let data = text(block, "data")?;
    if !is_word(data) {
        return Err(STRANGE);
    }
    Ok(format!(r#"{{"type":"redacted_thinking","data":{}}}"#, quoted(data)))
}

/// A signature, which is base64.
pub(super) fn signature(text: &str) -> Result<&str, Unfit> {
    if is_word(text) { Ok(text) } else { Err(STRANGE) }
}

/// What of a thought may be shown: all of it or nothing.
pub(super) fn shown<'t>(thought: &'t str, words: &mut dyn Words) -> &'t str {
    if model::string(thought, words).is_none() { thought } else { "" }
}

/// A call, without its input.
pub(super) fn call(block: &Node) -> Result<Call, Unfit> {
    let kind = text(block, "type")?;
    let server = if kind == "mcp_tool_use" { Some(text(block, "server_name")?.to_owned()) } else { None };
    Ok(Call {
        kind: kind.to_owned(),
        id: text(block, "id")?.to_owned(),
        name: text(block, "name")?.to_owned(),
        server,
        input: String::new(),
    })
}

/// The block of a call, with this JSON as its input.
pub(super) fn written(call: &Ready, input: &str) -> String {
    let (kind, id, name) = (quoted(call.kind()), quoted(call.id()), quoted(call.name()));
    let server = call.server().map(|server| format!(r#","server_name":{}"#, quoted(server))).unwrap_or_default();
    format!(r#"{{"type":{kind},"id":{id},"name":{name}{server},"input":{input}}}"#)
}

/// What became of the calls of one answer.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// How many the client will run.
    left: usize,
    refused: HashSet<String>,
}

impl Calls {
    /// The call may pass, or this is said instead.
    pub(super) fn settle(&mut self, call: &Ready, verdict: Result<(), &Denial>) -> Result<(), String> {
        let settled = call.settle(verdict);
        if settled.is_err() {
            self.refused.insert(call.id().to_owned());
        } else {
            self.left += usize::from(call.kind() == "tool_use");
        }
        settled
    }

    /// Whether this is what came of a call that was refused.
    pub(super) fn refused(&self, block: &Node) -> bool {
        block.get("tool_use_id").and_then(Node::text).is_some_and(|id| self.refused.contains(id))
    }

    /// Why the turn ended, if it is not as the provider said.
    pub(super) fn stop_reason(&self, said: Option<&str>) -> Option<&'static str> {
        (said == Some("tool_use") && self.left == 0 && !self.refused.is_empty()).then_some("end_turn")
    }
}
