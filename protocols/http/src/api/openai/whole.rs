//! An answer that comes as one document.
//!
//! Promises: the same becomes of each choice as in a stream: the document is read strictly when it is whole, and one that
//! is not shaped as the API says does not pass; the calls are asked about in their order, and what is released is written
//! anew of the members that are listed, without the likelihoods of its words, which would say them again. What the model
//! said in them is in the record, before the calls of its choice, however the answer ends. Held by: `tests.rs`.

use super::answer::{CHOICES, about, call, is_beside, is_text, reason, refused_in, written};
use super::facts::facts;
use crate::api::model::{self, Call, Document, Ready, STRANGE, Turn, UNREADABLE, Wanted, is_plain};
use crate::api::{Part, Unfit, Words};
use crate::json::{self, Node, Value, quoted};
use crate::tools::ToolTable;
use bytes::Bytes;
use portcullis_model::Denial;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

pub(super) struct Whole {
    tools: Arc<ToolTable>,
    wanted: Wanted,
    document: String,
    /// Without its choices.
    root: Node,
    choices: Vec<Choice>,
    waiting: VecDeque<Next>,
    asked: Option<(usize, Ready)>,
    turn: Turn,
}

struct Choice {
    node: Node,
    /// What passes of its calls, and what is said instead of the others.
    left: Vec<String>,
    refused: Vec<String>,
}

/// What follows.
enum Next {
    /// The record keeps this.
    Said(String),
    /// A call to ask about, of the choice in this place and of this number.
    Call(usize, u64, Call),
}

impl Document for Whole {
    fn read(tools: Arc<ToolTable>, wanted: Wanted, body: Vec<u8>) -> Result<Self, Unfit> {
        let document = String::from_utf8(body).map_err(|_| UNREADABLE)?;
        let mut root = json::read(document.as_bytes()).map_err(|_| UNREADABLE)?;
        let nodes = root.take_elements("choices").ok_or(STRANGE)?;
        if nodes.len() as u64 > CHOICES || root.get("object").and_then(Node::text) != Some("chat.completion") {
            return Err(STRANGE);
        }
        let (mut waiting, mut turn, mut indices) = (VecDeque::new(), Turn::default(), BTreeSet::new());
        for (at, choice) in nodes.iter().enumerate() {
            let index = choice.get("index").and_then(Node::number).filter(|index| *index < CHOICES).ok_or(STRANGE)?;
            model::reason(choice.get("finish_reason"))?;
            if !indices.insert(index) {
                return Err(STRANGE);
            }
            let message = choice.get("message").ok_or(STRANGE)?;
            let calls = calls(message)?;
            waiting.extend(said(index, message, &document).into_iter().map(Next::Said));
            for call in calls {
                turn.count()?;
                waiting.push_back(Next::Call(at, index, read(call)?));
            }
        }
        let choice = |node| Choice { node, left: Vec::new(), refused: Vec::new() };
        let choices = nodes.into_iter().map(choice).collect();
        Ok(Self { tools, wanted, document, root, choices, waiting, asked: None, turn })
    }

    fn usage(&self) -> Option<&Node> {
        self.root.get("usage")
    }

    fn run(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        while let Some(next) = self.waiting.pop_front() {
            match next {
                Next::Said(value) => self.turn.keep(value),
                Next::Call(at, index, call) => {
                    let mut call = self.turn.ready(&format!(r#""choice":{index},"#), call, &self.tools, words)?;
                    parts.push(call.propose()?);
                    self.asked = Some((at, call));
                    return Ok(());
                }
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
        if let Some((at, call)) = self.asked.take() {
            let choice = self.choices.get_mut(at).ok_or(STRANGE)?;
            match call.settle(verdict) {
                Ok(()) => choice.left.push(format!("{{{}}}", written(&call))),
                Err(refusal) => choice.refused.push(refusal),
            }
        }
        self.run(words, parts)
    }

    fn record(&mut self, broke: &Unfit, words: &mut dyn Words) {
        for next in std::mem::take(&mut self.waiting) {
            match next {
                Next::Said(value) => self.turn.keep(value),
                Next::Call(_, index, call) => {
                    self.turn.keep_unasked(&format!(r#""choice":{index},"#), &call.kind, &call.name);
                }
            }
        }
        self.turn.record(Some(broke), &facts().spared, words);
    }
}

impl Whole {
    fn finish(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let mut members = Vec::new();
        for (name, member) in self.root.members().iter().filter(|(name, _)| facts().answer.has(name)) {
            let value = match (name.as_str(), &member.value) {
                ("choices", _) => {
                    let choices = self.choices.iter().map(|choice| self.choice(choice, words));
                    format!("[{}]", choices.collect::<Result<Vec<_>, _>>()?.join(","))
                }
                ("usage", Value::Object(_)) => self.masked(member, words)?,
                // Not a text: nothing of it would be in the record.
                (_, value) if is_plain(value) => self.written(member)?,
                _ => continue,
            };
            members.push(format!("{}:{value}", quoted(name)));
        }
        self.turn.record(None, &facts().spared, words);
        parts.push(Part::Data(Bytes::from(format!("{{{}}}", members.join(",")))));
        parts.push(Part::End);
        Ok(())
    }

    fn choice(&self, choice: &Choice, words: &mut dyn Words) -> Result<String, Unfit> {
        let mut members = Vec::new();
        for (name, member) in choice.node.members().iter().filter(|(name, _)| facts().choice.has(name)) {
            let value = match (name.as_str(), member.text()) {
                ("message", _) => self.message(member, choice, words)?,
                ("logprobs", _) => "null".to_owned(),
                ("finish_reason", Some(said)) => quoted(reason(said, choice.left.len(), choice.refused.len())),
                (_, _) if is_plain(&member.value) => self.written(member)?,
                (_, _) => continue,
            };
            members.push(format!("{}:{value}", quoted(name)));
        }
        Ok(format!("{{{}}}", members.join(",")))
    }

    fn message(&self, message: &Node, choice: &Choice, words: &mut dyn Words) -> Result<String, Unfit> {
        let Choice { left, refused, .. } = choice;
        let place = refused_in(self.wanted);
        let mut said: Vec<String> = Vec::new();
        let spoken = message.get(place).and_then(Node::text).filter(|text| !text.is_empty() && !refused.is_empty());
        said.extend(spoken.map(|text| model::string(text, words).unwrap_or_else(|| text.to_owned())));
        said.extend_from_slice(refused);
        let instead = quoted(&said.join("\n\n"));
        let mut members = Vec::new();
        if message.get(place).is_none() && !refused.is_empty() {
            members.push(format!(r#""{place}":{instead}"#));
        }
        for (name, member) in message.members().iter().filter(|(name, _)| facts().message.has(name)) {
            let value = match (name.as_str(), &member.value) {
                (name, _) if name == place && !refused.is_empty() => instead.clone(),
                // It is that of the model.
                ("role", _) | (_, Value::Null) => self.written(member)?,
                (_, Value::Array(none)) if none.is_empty() => self.written(member)?,
                ("tool_calls", _) if left.is_empty() => "null".to_owned(),
                ("tool_calls", _) => format!("[{}]", left.join(",")),
                (name, value) if is_text(name, value) || is_beside(name, member) => self.masked(member, words)?,
                (_, _) => continue,
            };
            members.push(format!("{}:{value}", quoted(name)));
        }
        Ok(format!("{{{}}}", members.join(",")))
    }

    fn written(&self, node: &Node) -> Result<String, Unfit> {
        self.document.get(node.span.clone()).map(ToOwned::to_owned).ok_or(STRANGE)
    }

    fn masked(&self, node: &Node, words: &mut dyn Words) -> Result<String, Unfit> {
        facts().spared.masked(node, &self.document, words).map_err(|_| UNREADABLE)
    }
}

/// What the record keeps of what a message says: its texts, and what else it has.
fn said(index: u64, message: &Node, document: &str) -> Vec<String> {
    let mut kept = Vec::new();
    for (name, member) in message.members().iter().filter(|(name, _)| facts().message.has(name)) {
        let about = about(index, name);
        let written = document.get(member.span.clone()).unwrap_or("null");
        if is_text(name, &member.value) && member.text() != Some("") {
            kept.push(format!(r#"{{{about},"text":{written}}}"#));
        } else if is_beside(name, member) {
            kept.push(format!(r#"{{{about},"value":{written}}}"#));
        }
    }
    kept
}

/// The calls of a message, which says nothing in a form that is not read.
fn calls(message: &Node) -> Result<&[Node], Unfit> {
    let is_nothing = |name: &str| message.get(name).is_none_or(|node| node.value == Value::Null);
    let is_said = |name: &&str| is_nothing(name) || message.get(name).and_then(Node::text).is_some();
    let spoken = ["content", "refusal"].iter().all(is_said);
    let by_model = message.get("role").and_then(Node::text) == Some("assistant");
    if !matches!(message.value, Value::Object(_)) || !by_model || !spoken {
        return Err(STRANGE);
    }
    // Calls of an older kind, and sounds.
    if !is_nothing("function_call") || !is_nothing("audio") {
        return Err(STRANGE);
    }
    model::elements(message, "tool_calls")
}

fn read(given: &Node) -> Result<Call, Unfit> {
    let text = |node: &Node, name: &str| node.get(name).and_then(Node::text).map(ToOwned::to_owned).ok_or(STRANGE);
    let function = given.get("function").ok_or(STRANGE)?;
    if text(given, "type")? != "function" {
        return Err(STRANGE);
    }
    Ok(call(&text(given, "id")?, &text(function, "name")?, &text(function, "arguments")?))
}
