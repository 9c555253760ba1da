//! An answer that comes as one document.
//!
//! Promises: the same becomes of each choice as in a stream: the document is read strictly when it is whole, and one that
//! is not shaped as the API says does not pass; the calls are asked about in their order, and what is released is the
//! document with its calls written anew, its other values masked in place and without the likelihoods of its words, which
//! would say them again. Held by: `tests.rs`.

use super::answer::{CHOICES, call, count, reason, written};
use super::facts::facts;
use crate::api::model::{self, Call, Document, Ready, STRANGE, Turn, UNREADABLE};
use crate::api::{Part, Unfit, Words};
use crate::json::{self, Edits, Node, Value, quoted};
use crate::tools::ToolTable;
use bytes::Bytes;
use portcullis_model::Denial;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

pub(super) struct Whole {
    tools: Arc<ToolTable>,
    document: String,
    root: Node,
    /// Calls to ask about, each with the place of its choice.
    waiting: VecDeque<(usize, Call)>,
    asked: Option<(usize, Ready)>,
    /// What passes of each choice's calls, and what is said instead of the others.
    left: Vec<Vec<String>>,
    refused: Vec<Vec<String>>,
    turn: Turn,
}

impl Document for Whole {
    fn read(tools: Arc<ToolTable>, body: Vec<u8>) -> Result<Self, Unfit> {
        let document = String::from_utf8(body).map_err(|_| UNREADABLE)?;
        let root = json::read(document.as_bytes()).map_err(|_| UNREADABLE)?;
        let choices = list(root.get("choices"))?.ok_or(STRANGE)?;
        if choices.len() as u64 > CHOICES || root.get("object").and_then(Node::text) != Some("chat.completion") {
            return Err(STRANGE);
        }
        let (mut waiting, mut turn, mut indices) = (VecDeque::new(), Turn::default(), BTreeSet::new());
        for (at, choice) in choices.iter().enumerate() {
            let index = choice.get("index").and_then(Node::number).filter(|index| *index < CHOICES).ok_or(STRANGE)?;
            model::reason(choice.get("finish_reason"))?;
            if !indices.insert(index) {
                return Err(STRANGE);
            }
            for call in calls(choice.get("message").ok_or(STRANGE)?)? {
                turn.count()?;
                waiting.push_back((at, read(call)?));
            }
        }
        let (left, refused) = (vec![Vec::new(); choices.len()], vec![Vec::new(); choices.len()]);
        Ok(Self { tools, document, root, waiting, asked: None, left, refused, turn })
    }

    fn run(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let Some((at, call)) = self.waiting.pop_front() else { return self.finish(words, parts) };
        let mut call = call.ready(&self.tools, words)?;
        self.turn.keep(call.recorded(&format!(r#""choice":{at},"#)));
        parts.push(call.propose()?);
        self.asked = Some((at, call));
        Ok(())
    }

    fn settled(
        &mut self,
        verdict: Result<(), &Denial>,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        if let Some((at, call)) = self.asked.take() {
            let (list, said) = match call.settle(verdict) {
                Ok(()) => (self.left.get_mut(at), format!("{{{}}}", written(&call))),
                Err(refusal) => (self.refused.get_mut(at), refusal),
            };
            list.ok_or(STRANGE)?.push(said);
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
            let own = matches!(name.as_str(), "id" | "model") && model::word(&self.root, name).is_ok();
            if name != "choices" && !own {
                facts().spared.mask(member, &self.document, words, &mut edits).map_err(|_| UNREADABLE)?;
            }
        }
        let choices = self.root.get("choices").map(Node::elements).unwrap_or_default();
        for ((choice, left), refused) in choices.iter().zip(&self.left).zip(&self.refused) {
            self.choice(choice, left, refused, words, &mut edits)?;
        }
        for (at, choice) in choices.iter().enumerate() {
            let about = format!(r#""choice":{at},"type":"message""#);
            for (name, member) in choice.get("message").map(Node::members).unwrap_or_default() {
                if let (false, Some(text)) = (name == "role" || name == "tool_calls", member.text()) {
                    let about = format!(r#"{about},"member":{}"#, quoted(name));
                    self.turn.keep_text(&about, "text", text, words);
                }
            }
        }
        let released = edits.apply(&self.document).ok_or(STRANGE)?;
        if let Some(usage) = self.root.get("usage").filter(|usage| matches!(usage.value, Value::Object(_))) {
            parts.push(Part::Used(count(usage)));
        }
        self.turn.record(None, words);
        parts.push(Part::Data(Bytes::from(released)));
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
                    if let Some(said) = member.text() {
                        edits.replace(member.span.clone(), quoted(reason(said, left.len(), refused.len())));
                    }
                }
                // A number, as it was read.
                "index" => {}
                _ => facts().spared.mask(member, &self.document, words, edits).map_err(|_| UNREADABLE)?,
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
            said.push(model::string(text, words).unwrap_or_else(|| text.to_owned()));
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
                // It is that of the model.
                "role" => {}
                _ => facts().spared.mask(member, &self.document, words, edits).map_err(|_| UNREADABLE)?,
            }
        }
        Ok(())
    }
}

/// The elements of a list; none where there is nothing in its place.
fn list(node: Option<&Node>) -> Result<Option<&[Node]>, Unfit> {
    match node.map(|node| &node.value) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(elements)) => Ok(Some(elements)),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => Err(STRANGE),
    }
}

/// The calls of a message, which says nothing in a form that is not read.
fn calls(message: &Node) -> Result<&[Node], Unfit> {
    let is_nothing = |name: &str| message.get(name).is_none_or(|node| node.value == Value::Null);
    let spoken = is_nothing("content") || message.get("content").and_then(Node::text).is_some();
    let by_model = message.get("role").and_then(Node::text) == Some("assistant");
    if !matches!(message.value, Value::Object(_)) || !by_model || !spoken {
        return Err(STRANGE);
    }
    // Calls of an older kind, and sounds.
    if !is_nothing("function_call") || !is_nothing("audio") {
        return Err(STRANGE);
    }
    Ok(list(message.get("tool_calls"))?.unwrap_or_default())
}

fn read(given: &Node) -> Result<Call, Unfit> {
    let text = |node: &Node, name: &str| node.get(name).and_then(Node::text).map(ToOwned::to_owned).ok_or(STRANGE);
    let function = given.get("function").ok_or(STRANGE)?;
    if text(given, "type")? != "function" {
        return Err(STRANGE);
    }
    Ok(call(&text(given, "id")?, &text(function, "name")?, &text(function, "arguments")?))
}
