//! An answer that comes as one document.
//!
//! Promises: the same becomes of each block as in a stream: its document is read strictly when it is whole, its calls are
//! asked about one after the other, and what is released is the document with its blocks written anew and its other values
//! masked in place. Held by: `tests.rs`.

use super::block::{BLOCKS, Call, Kind, STRANGE, Turn, kind, redacted, signature, text};
use super::words;
use crate::api::{Part, Unfit, Words};
use crate::json::{self, Edits, Node, Value, quoted};
use crate::tools::ToolTable;
use bytes::Bytes;
use portcullis_model::Denial;
use portcullis_model::Tokens;
use std::sync::Arc;

const UNREADABLE: Unfit = Unfit("the answer of the model is not JSON that is read in one way only");

/// An answer, whole, on its way through its blocks.
pub(super) struct Whole {
    tools: Arc<ToolTable>,
    document: String,
    root: Node,
    next: usize,
    /// The blocks that pass.
    out: Vec<String>,
    /// Its verdict is awaited.
    asked: Option<Call>,
    turn: Turn,
}

impl Whole {
    pub(super) fn read(tools: Arc<ToolTable>, body: Vec<u8>) -> Result<Self, Unfit> {
        let document = String::from_utf8(body).map_err(|_| UNREADABLE)?;
        let root = json::read(document.as_bytes()).map_err(|_| UNREADABLE)?;
        let blocks = root.get("content").filter(|content| matches!(content.value, Value::Array(_))).ok_or(STRANGE)?;
        let is_message = text(&root, "type")? == "message" && text(&root, "role")? == "assistant";
        if !is_message || blocks.elements().len() > BLOCKS {
            return Err(STRANGE);
        }
        Ok(Self { tools, document, root, next: 0, out: Vec::new(), asked: None, turn: Turn::default() })
    }

    /// Goes on to the next call, or to the end.
    pub(super) fn run(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        loop {
            let Some(block) = self.root.get("content").and_then(|content| content.elements().get(self.next)) else {
                return self.finish(words, parts);
            };
            self.next += 1;
            let written = self.document.get(block.span.clone()).unwrap_or_default();
            let unreadable = |_| UNREADABLE;
            match kind(text(block, "type")?) {
                Some(Kind::Call) => {
                    let mut call = Call::read(block)?;
                    let input = block.get("input").ok_or(STRANGE)?;
                    self.document.get(input.span.clone()).unwrap_or_default().clone_into(&mut call.input);
                    self.turn.count(&call)?;
                    parts.push(Part::Propose(Box::new(call.command(&self.tools))));
                    self.asked = Some(call);
                    return Ok(());
                }
                Some(Kind::Result) if self.turn.is_of_refused(block) => continue,
                None => continue,
                Some(Kind::Text | Kind::Compaction | Kind::Result) => {
                    self.out.push(words::masked(block, &self.document, words).map_err(unreadable)?);
                }
                Some(Kind::Redacted) => self.out.push(redacted(block)?),
                Some(Kind::Thinking) => self.out.push(thinking(block, words)?),
            }
            self.turn.keep(written.to_owned());
        }
    }

    pub(super) fn on_verdict(
        &mut self,
        verdict: Result<(), &Denial>,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        if let Some(call) = self.asked.take() {
            self.out.push(match self.turn.settle(&call, verdict, words) {
                Ok((block, input)) => {
                    let block = block.strip_suffix("{}}").ok_or(STRANGE)?;
                    format!("{block}{input}}}")
                }
                Err(refusal) => format!(r#"{{"type":"text","text":{}}}"#, quoted(&refusal)),
            });
        }
        self.run(words, parts)
    }

    fn finish(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let mut edits = Edits::default();
        for (name, member) in self.root.members() {
            match name.as_str() {
                "content" => edits.replace(member.span.clone(), format!("[{}]", self.out.join(","))),
                "stop_reason" => {
                    if let Some(instead) = member.text().and_then(|said| self.turn.stop_reason(said)) {
                        edits.replace(member.span.clone(), quoted(instead));
                    }
                }
                "id" | "model" | "type" | "role" if member.text().is_some_and(words::is_word) => {}
                _ => words::mask(member, &self.document, words, &mut edits).map_err(|_| UNREADABLE)?,
            }
        }
        if let Some(usage) = self.root.get("usage") {
            let mut used = Tokens::default();
            super::answer::count(usage, &mut used);
            parts.push(Part::Used(used));
        }
        self.turn.record(words);
        parts.push(Part::Data(Bytes::from(edits.apply(&self.document).ok_or(STRANGE)?)));
        parts.push(Part::End);
        Ok(())
    }

    /// The record keeps what was read of an answer that does not pass.
    pub(super) fn record(&mut self, words: &mut dyn Words) {
        self.turn.record(words);
    }
}

/// Thinking cannot be changed, only left out: its signature is over it.
fn thinking(block: &Node, words: &mut dyn Words) -> Result<String, Unfit> {
    let said = text(block, "thinking")?;
    let signed = signature(block.get("signature").and_then(Node::text).unwrap_or_default())?;
    let said = if words::string(said, words).is_none() { said } else { "" };
    Ok(format!(r#"{{"type":"thinking","thinking":{},"signature":{}}}"#, quoted(said), quoted(signed)))
}
