//! An answer that comes as one document.
//!
//! Promises: the same becomes of each block as in a stream: its document is read strictly when it is whole, its calls are
//! asked about one after the other, and what is released is the document with its blocks written anew and its other values
//! masked in place. Held by: `tests.rs`.

use super::block::{self, BLOCKS, Calls, Kind, call, redacted, shown, signature, text, written};
use super::facts::facts;
use crate::api::model::{self, Document, Ready, STRANGE, Turn, UNREADABLE};
use crate::api::{Part, Unfit, Words};
use crate::json::{self, Edits, Node, Value, quoted};
use crate::tools::ToolTable;
use bytes::Bytes;
use portcullis_model::{Denial, Tokens};
use std::sync::Arc;

/// An answer, whole, on its way through its blocks.
pub(super) struct Whole {
    tools: Arc<ToolTable>,
    document: String,
    root: Node,
    next: usize,
    /// The blocks that pass.
    out: Vec<String>,
    /// Its verdict is awaited.
    asked: Option<Ready>,
    calls: Calls,
    turn: Turn,
}

impl Document for Whole {
    fn read(tools: Arc<ToolTable>, body: Vec<u8>) -> Result<Self, Unfit> {
        let document = String::from_utf8(body).map_err(|_| UNREADABLE)?;
        let root = json::read(document.as_bytes()).map_err(|_| UNREADABLE)?;
        let blocks = root.get("content").filter(|content| matches!(content.value, Value::Array(_))).ok_or(STRANGE)?;
        let is_message = text(&root, "type")? == "message" && text(&root, "role")? == "assistant";
        if !is_message || blocks.elements().len() > BLOCKS {
            return Err(STRANGE);
        }
        model::reason(root.get("stop_reason"))?;
        let (calls, turn) = (Calls::default(), Turn::default());
        Ok(Self { tools, document, root, next: 0, out: Vec::new(), asked: None, calls, turn })
    }

    fn run(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        loop {
            let Some(block) = self.root.get("content").and_then(|content| content.elements().get(self.next)) else {
                return self.finish(words, parts);
            };
            self.next += 1;
            let unreadable = |_| UNREADABLE;
            let kind = text(block, "type")?;
            match block::kind(kind) {
                Some(Kind::Call) => {
                    let mut call = call(block)?;
                    let input = block.get("input").ok_or(STRANGE)?;
                    self.document.get(input.span.clone()).unwrap_or_default().clone_into(&mut call.input);
                    let mut call = call.ready(&self.tools, words)?;
                    self.turn.keep(call.recorded(""));
                    self.turn.count()?;
                    parts.push(call.propose()?);
                    self.asked = Some(call);
                    return Ok(());
                }
                Some(Kind::Result) if self.calls.refused(block) => continue,
                None => continue,
                Some(Kind::Text | Kind::Compaction | Kind::Result) => {
                    self.out.push(facts().spared.masked(block, &self.document, words).map_err(unreadable)?);
                }
                Some(Kind::Redacted) => self.out.push(redacted(block)?),
                Some(Kind::Thinking) => self.out.push(thinking(block, words)?),
            }
            let about = format!(r#""type":{}"#, quoted(kind));
            self.turn.keep_block(&about, if kind == "text" { "text" } else { "content" }, block, &self.document, words);
        }
    }

    fn settled(
        &mut self,
        verdict: Result<(), &Denial>,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        if let Some(call) = self.asked.take() {
            self.out.push(match self.calls.settle(&call, verdict) {
                Ok(()) => written(&call, call.input()),
                Err(refusal) => format!(r#"{{"type":"text","text":{}}}"#, quoted(&refusal)),
            });
        }
        self.run(words, parts)
    }

    fn record(&mut self, broke: &Unfit, words: &mut dyn Words) {
        self.turn.record(Some(broke), words);
    }
}

impl Whole {
    fn finish(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let mut edits = Edits::default();
        for (name, member) in self.root.members() {
            match name.as_str() {
                "content" => edits.replace(member.span.clone(), format!("[{}]", self.out.join(","))),
                "stop_reason" => {
                    if let Some(instead) = self.calls.stop_reason(member.text()) {
                        edits.replace(member.span.clone(), quoted(instead));
                    }
                }
                "id" | "model" | "type" | "role" if model::word(&self.root, name).is_ok() => {}
                _ => facts().spared.mask(member, &self.document, words, &mut edits).map_err(|_| UNREADABLE)?,
            }
        }
        let released = edits.apply(&self.document).ok_or(STRANGE)?;
        if let Some(usage) = self.root.get("usage") {
            let mut used = Tokens::default();
            super::answer::count(usage, &mut used);
            parts.push(Part::Used(used));
        }
        self.turn.record(None, words);
        parts.push(Part::Data(Bytes::from(released)));
        parts.push(Part::End);
        Ok(())
    }
}

/// Thinking cannot be changed, only left out.
fn thinking(block: &Node, words: &mut dyn Words) -> Result<String, Unfit> {
    let signed = signature(block.get("signature").and_then(Node::text).unwrap_or_default())?;
    let said = shown(text(block, "thinking")?, words);
    Ok(format!(r#"{{"type":"thinking","thinking":{},"signature":{}}}"#, quoted(said), quoted(signed)))
}
