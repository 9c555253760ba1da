//! The blocks of an answer: which there are, and what becomes of a tool call.
//!
//! Promises: a call is one only if its id and names are plain words and its input is whole; what is released of it is built
//! anew from what was judged, its input masked; what is refused is said in a text of the gateway's. A turn in which no
//! call of the client's is left does not say that it waits for one.
//! Held by: `tests.rs`.

use super::facts::facts;
use super::words;
use crate::api::{Unfit, Words};
use crate::json::{self, Node, Value, quoted};
use crate::reply;
use crate::tools::{self, ToolTable};
use portcullis_model::{Command, Denial};
use std::collections::HashSet;

/// Blocks of one answer.
pub(super) const BLOCKS: usize = 4_096;
/// Calls in one answer.
pub(super) const CALLS: usize = 128;
/// Bytes of an answer that the record keeps.
const KEPT: usize = 4 << 20;
/// Bytes of an id.
const ID: usize = 256;

pub(super) const STRANGE: Unfit = Unfit("the answer of the model is not what its API says");

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// What the provider made of earlier turns.
    Compaction,
    Thinking,
    Redacted,
    Call,
    /// What the provider's own tools found.
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

/// A block of redacted thinking, which is encrypted and nothing else.
pub(super) fn redacted(block: &Node) -> Result<String, Unfit> {
    let data = text(block, "data")?;
    if !words::is_word(data) {
        return Err(STRANGE);
    }
    Ok(format!(r#"{{"type":"redacted_thinking","data":{}}}"#, quoted(data)))
}

/// A signature, which is base64.
pub(super) fn signature(text: &str) -> Result<&str, Unfit> {
    if words::is_word(text) { Ok(text) } else { Err(STRANGE) }
}

/// A call of a tool, not judged yet.
#[derive(Debug)]
pub(super) struct Call {
    kind: String,
    id: String,
    name: String,
    /// The server of an MCP tool that the provider calls.
    server: Option<String>,
    pub(super) input: String,
}

impl Call {
    /// Without its input.
    pub(super) fn read(block: &Node) -> Result<Self, Unfit> {
        let (kind, id) = (text(block, "type")?, text(block, "id")?);
        if id.is_empty() || id.len() > ID || !words::is_word(id) {
            return Err(STRANGE);
        }
        let server = if kind == "mcp_tool_use" { Some(text(block, "server_name")?.to_owned()) } else { None };
        Ok(Self {
            kind: kind.to_owned(),
            id: id.to_owned(),
            name: text(block, "name")?.to_owned(),
            server,
            input: String::new(),
        })
    }

    /// What it would do.
    pub(super) fn command(&self, table: &ToolTable) -> Command {
        let named = self.server.as_ref().map(|server| format!("mcp__{server}__{}", self.name));
        tools::call(table, named.as_deref().unwrap_or(&self.name), Some(&self.id), &self.input)
    }

    /// The block without its input, and the masked input; `None` where the masks leave none that a tool could take.
    pub(super) fn released(&self, words: &mut dyn Words) -> Option<(String, String)> {
        let mut named = String::new();
        for (member, value) in
            [("id", Some(&self.id)), ("name", Some(&self.name)), ("server_name", self.server.as_ref())]
        {
            if let Some(value) = value {
                if member != "id" && words.whole(value).is_some() {
                    return None;
                }
                named.push_str(&format!(r#","{member}":{}"#, quoted(value)));
            }
        }
        let input = words.json(&self.input).ok()?.unwrap_or_else(|| self.input.clone());
        let whole = json::read(input.as_bytes()).is_ok_and(|node| matches!(node.value, Value::Object(_)));
        let block = format!(r#"{{"type":{}{named},"input":{{}}}}"#, quoted(&self.kind));
        whole.then_some((block, input))
    }

    /// As the model said it, for the record.
    fn recorded(&self) -> String {
        let (kind, id, name) = (quoted(&self.kind), quoted(&self.id), quoted(&self.name));
        let read = json::read(self.input.as_bytes()).is_ok();
        let input = if read { self.input.clone() } else { quoted(&self.input) };
        format!(r#"{{"type":{kind},"id":{id},"name":{name},"input":{input}}}"#)
    }
}

/// What became of the calls of one answer, and what the record keeps of it.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Calls that the client will run.
    left: usize,
    refused: HashSet<String>,
    calls: usize,
    kept: Vec<String>,
    size: usize,
}

impl Turn {
    /// One more call.
    pub(super) fn count(&mut self, call: &Call) -> Result<(), Unfit> {
        self.calls += 1;
        self.keep(call.recorded());
        if self.calls > CALLS {
            return Err(Unfit("the answer of the model calls too many tools"));
        }
        Ok(())
    }

    /// The call, as it may pass, or what is said instead.
    pub(super) fn settle(
        &mut self,
        call: &Call,
        verdict: Result<(), &Denial>,
        words: &mut dyn Words,
    ) -> Result<(String, String), String> {
        let shown = words.whole(&call.name).unwrap_or_else(|| call.name.clone());
        let shown: String = shown.chars().filter(|c| !c.is_control()).take(128).collect();
        let refusal = match verdict {
            Ok(()) => match call.released(words) {
                Some(released) => {
                    self.left += usize::from(call.kind == "tool_use");
                    return Ok(released);
                }
                None => "what it is given cannot be masked. Ask for something without protected values.".to_owned(),
            },
            Err(denial) => reply::refusal_text(denial),
        };
        self.refused.insert(call.id.clone());
        Err(format!("[portcullis] {shown} was refused: {refusal}"))
    }

    /// Whether this is what came of a call that was refused.
    pub(super) fn is_of_refused(&self, block: &Node) -> bool {
        block.get("tool_use_id").and_then(Node::text).is_some_and(|id| self.refused.contains(id))
    }

    /// Why the turn ended, if it is not as the provider said.
    pub(super) fn stop_reason(&self, said: &str) -> Option<&'static str> {
        (said == "tool_use" && self.left == 0 && !self.refused.is_empty()).then_some("end_turn")
    }

    /// The record keeps a block.
    pub(super) fn keep(&mut self, block: String) {
        self.size += block.len();
        if self.size <= KEPT {
            self.kept.push(block);
        }
    }

    /// Gives the record the answer, as far as it came.
    pub(super) fn record(&mut self, words: &mut dyn Words) {
        if !self.kept.is_empty() {
            words.record(&format!(r#"{{"role":"assistant","content":[{}]}}"#, self.kept.join(",")));
            self.kept.clear();
        }
    }
}
