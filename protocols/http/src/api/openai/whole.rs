//! An answer that comes as one document.
//!
//! Promises: the same becomes of each choice as in a stream: the document is read strictly when it is whole, the calls are
//! asked about in their order, and what is released is the document with its calls written anew, its other values masked in
//! place and without the likelihoods of its words, which would say them again. Held by: `tests.rs`.

use super::call::{CALLS, CHOICES, Call, STRANGE};
use super::facts::facts;
use crate::api::anthropic;
use crate::api::{Part, Unfit, Words};
use crate::json::{self, Edits, Node, Value, quoted};
use crate::tools::ToolTable;
use bytes::Bytes;
use portcullis_model::Denial;
use portcullis_model::Tokens;
use std::collections::VecDeque;
use std::sync::Arc;

const UNREADABLE: Unfit = Unfit("the answer of the model is not JSON that is read in one way only");

pub(super) struct Whole {
    tools: Arc<ToolTable>,
    document: String,
    root: Node,
    /// Calls to ask about, each with the place of its choice.
    waiting: VecDeque<(usize, Call)>,
    asked: Option<(usize, Call)>,
    /// What passes of each choice's calls, and what is said instead of the others.
    left: Vec<Vec<String>>,
    refused: Vec<Vec<String>>,
}

impl Whole {
    pub(super) fn read(tools: Arc<ToolTable>, body: Vec<u8>) -> Result<Self, Unfit> {
        let document = String::from_utf8(body).map_err(|_| UNREADABLE)?;
        let root = json::read(document.as_bytes()).map_err(|_| UNREADABLE)?;
        let choices = root.get("choices").filter(|node| matches!(node.value, Value::Array(_))).ok_or(STRANGE)?;
        let choices = choices.elements();
        if choices.len() as u64 > CHOICES || root.get("object").and_then(Node::text) != Some("chat.completion") {
            return Err(STRANGE);
        }
        let mut waiting = VecDeque::new();
        for (at, choice) in choices.iter().enumerate() {
            let message = choice.get("message").ok_or(STRANGE)?;
            let spoken = message.get("content").is_none_or(|node| matches!(node.value, Value::Null | Value::String(_)));
            let old = message.get("function_call").is_some_and(|call| call.value != Value::Null);
            let sounds = message.get("audio").is_some_and(|audio| audio.value != Value::Null);
            if !spoken || old || sounds {
                return Err(STRANGE);
            }
            for call in message.get("tool_calls").map(Node::elements).unwrap_or_default() {
                waiting.push_back((at, read(call)?));
            }
        }
        if waiting.len() > CALLS {
            return Err(Unfit("the answer of the model calls too many tools"));
        }
        let (left, refused) = (vec![Vec::new(); choices.len()], vec![Vec::new(); choices.len()]);
        Ok(Self { tools, document, root, waiting, asked: None, left, refused })
    }

    pub(super) fn run(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let Some((at, call)) = self.waiting.pop_front() else { return self.finish(words, parts) };
        parts.push(Part::Propose(Box::new(call.command(&self.tools)?)));
        self.asked = Some((at, call));
        Ok(())
    }

    pub(super) fn on_verdict(
        &mut self,
        verdict: Result<(), &Denial>,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        if let Some((at, call)) = self.asked.take() {
            let (list, said) = match call.settle(verdict, words) {
                Ok(members) => (self.left.get_mut(at), format!("{{{members}}}")),
                Err(refusal) => (self.refused.get_mut(at), refusal),
            };
            list.ok_or(STRANGE)?.push(said);
        }
        self.run(words, parts)
    }

    fn finish(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let mut edits = Edits::default();
        let unreadable = |_| UNREADABLE;
        for (name, member) in self.root.members() {
            if name != "choices" && !(matches!(name.as_str(), "id" | "model") && word(member)) {
                let spared = &facts().spared;
                anthropic::mask_sparing(spared, member, &self.document, words, &mut edits).map_err(unreadable)?;
            }
        }
        let choices = self.root.get("choices").map(Node::elements).unwrap_or_default();
        for ((choice, left), refused) in choices.iter().zip(&self.left).zip(&self.refused) {
            self.choice(choice, left, refused, words, &mut edits)?;
        }
        if let Some(usage) = self.root.get("usage") {
            let mut used = Tokens::default();
            super::answer::count(usage, &mut used);
            parts.push(Part::Used(used));
        }
        words.record(&self.document);
        parts.push(Part::Data(Bytes::from(edits.apply(&self.document).ok_or(STRANGE)?)));
        parts.push(Part::End);
        Ok(())
    }

    fn choice(
        &self,
        choice: &Node,
        left: &[String],
        refused: &[String],
        words: &mut dyn Words,
        edits: &mut Edits,
    ) -> Result<(), Unfit> {
        for (name, member) in choice.members() {
            match name.as_str() {
                "message" => self.message(member, left, refused, words, edits)?,
                "logprobs" => edits.replace(member.span.clone(), "null"),
                "finish_reason" => {
                    if member.text() == Some("tool_calls") && left.is_empty() && !refused.is_empty() {
                        edits.replace(member.span.clone(), quoted("stop"));
                    }
                }
                "index" => {}
                _ => anthropic::mask_sparing(&facts().spared, member, &self.document, words, edits)
                    .map_err(|_| UNREADABLE)?,
            }
        }
        Ok(())
    }

    fn message(
        &self,
        message: &Node,
        left: &[String],
        refused: &[String],
        words: &mut dyn Words,
        edits: &mut Edits,
    ) -> Result<(), Unfit> {
        let mut said: Vec<String> = Vec::new();
        if let Some(text) = message.get("content").and_then(Node::text).filter(|text| !text.is_empty()) {
            said.push(words.whole(text).unwrap_or_else(|| text.to_owned()));
        }
        said.extend_from_slice(refused);
        let content = if said.is_empty() { "null".to_owned() } else { quoted(&said.join("\n\n")) };
        let calls = if left.is_empty() { "null".to_owned() } else { format!("[{}]", left.join(",")) };
        if message.get("content").is_none() && !refused.is_empty() {
            // There is a member behind it: the calls.
            let at = message.span.start + 1;
            edits.replace(at..at, format!(r#""content":{content},"#));
        }
        for (name, member) in message.members() {
            match name.as_str() {
                "content" if member.text() == Some("") && refused.is_empty() => {}
                "content" => edits.replace(member.span.clone(), content.clone()),
                "tool_calls" if member.elements().is_empty() => {}
                "tool_calls" => edits.replace(member.span.clone(), calls.clone()),
                "role" if word(member) => {}
                _ => anthropic::mask_sparing(&facts().spared, member, &self.document, words, edits)
                    .map_err(|_| UNREADABLE)?,
            }
        }
        Ok(())
    }
}

fn word(node: &Node) -> bool {
    node.text().is_some_and(anthropic::is_word)
}

fn read(call: &Node) -> Result<Call, Unfit> {
    let text = |node: &Node, name: &str| node.get(name).and_then(Node::text).map(ToOwned::to_owned).ok_or(STRANGE);
    let function = call.get("function").ok_or(STRANGE)?;
    if text(call, "type")? != "function" {
        return Err(STRANGE);
    }
    Ok(Call { id: text(call, "id")?, name: text(function, "name")?, arguments: text(function, "arguments")? })
}
