//! An answer that comes as one document.
//!
//! Promises: the same becomes of each block as in a stream: its document is read strictly when it is whole, its calls are
//! asked about one after the other, and what is released is the document with its blocks written anew and its other values
//! masked in place. Of an answer that ends before, the record has the blocks that nobody came to. Held by: `tests.rs`.

use super::block::{BLOCKS, Calls, Kind, call, kind, redacted, shown, signature, text, written};
use super::facts::facts;
use crate::api::model::{self, Document, Ready, STRANGE, Turn, UNREADABLE, Wanted};
use crate::api::{Part, Unfit, Words};
use crate::json::{self, Edits, Node, quoted};
use crate::tools::ToolTable;
use bytes::Bytes;
use portcullis_model::Denial;
use std::sync::Arc;

/// An answer, whole, on its way through its blocks.
pub(super) struct Whole {
    tools: Arc<ToolTable>,
    document: String,
    /// Without its blocks.
    root: Node,
    /// Those that follow.
    blocks: std::vec::IntoIter<Node>,
    /// The blocks that pass.
    out: Vec<String>,
    /// Its verdict is awaited.
    asked: Option<Ready>,
    calls: Calls,
    turn: Turn,
}

impl Document for Whole {
    fn read(tools: Arc<ToolTable>, _wanted: Wanted, body: Vec<u8>) -> Result<Self, Unfit> {
        let document = String::from_utf8(body).map_err(|_| UNREADABLE)?;
        let mut root = json::read(document.as_bytes()).map_err(|_| UNREADABLE)?;
        let blocks = root.take_elements("content").ok_or(STRANGE)?;
        let is_message = text(&root, "type")? == "message" && text(&root, "role")? == "assistant";
        if !is_message || blocks.len() > BLOCKS {
            return Err(STRANGE);
        }
        model::reason(root.get("stop_reason"))?;
        let (calls, turn) = (Calls::default(), Turn::default());
        let blocks = blocks.into_iter();
        Ok(Self { tools, document, root, blocks, out: Vec::new(), asked: None, calls, turn })
    }

    fn usage(&self) -> Option<&Node> {
        self.root.get("usage")
    }

    fn run(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        while let Some(block) = self.blocks.next() {
            let kind = kind(text(&block, "type")?);
            self.keep(kind, &block);
            match kind {
                Some(Kind::Call) => {
                    let mut call = self.ready(&block, words)?;
                    self.turn.count()?;
                    parts.push(call.propose()?);
                    self.asked = Some(call);
                    return Ok(());
                }
                Some(Kind::Result) if self.calls.refused(&block) => {}
                None => {}
                Some(Kind::Text | Kind::Compaction | Kind::Result) => {
                    self.out.push(facts().spared.masked(&block, &self.document, words).map_err(|_| UNREADABLE)?);
                }
                Some(Kind::Redacted) => self.out.push(redacted(&block)?),
                Some(Kind::Thinking) => self.out.push(thinking(&block, words)?),
            }
        }
        self.finish(words, parts)
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
        while let Some(block) = self.blocks.next() {
            let word = block.get("type").and_then(Node::text).unwrap_or_default();
            match kind(word) {
                Some(Kind::Call) => self.keep_unasked(&block),
                other => self.keep(other, &block),
            }
        }
        self.turn.record(Some(broke), &facts().spared, words);
    }
}

impl Whole {
    /// The call that a block is. The record keeps it also where it cannot be one.
    fn ready(&mut self, block: &Node, words: &mut dyn Words) -> Result<Ready, Unfit> {
        let Some((mut call, input)) = call(block).ok().zip(block.get("input")) else {
            self.keep_unasked(block);
            return Err(STRANGE);
        };
        self.document.get(input.span.clone()).unwrap_or_default().clone_into(&mut call.input);
        self.turn.ready("", call, &self.tools, words)
    }

    fn keep_unasked(&mut self, block: &Node) {
        let said = |name| block.get(name).and_then(Node::text).unwrap_or_default();
        self.turn.keep_unasked("", said("type"), said("name"));
    }

    /// The record keeps a block as it is written, where it passes; of a call what was judged.
    fn keep(&mut self, kind: Option<Kind>, block: &Node) {
        match kind {
            None | Some(Kind::Call) => {}
            Some(Kind::Result) if self.calls.refused(block) => {}
            Some(Kind::Text | Kind::Compaction | Kind::Thinking | Kind::Redacted | Kind::Result) => {
                self.turn.keep(self.document.get(block.span.clone()).unwrap_or_default().to_owned());
            }
        }
    }

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
        self.turn.keep_beside(&self.root, &self.document, &["content", "usage"]);
        self.turn.record(None, &facts().spared, words);
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
