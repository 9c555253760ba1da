//! A streamed answer, chunk by chunk.
//!
//! Promises: every chunk is read strictly and written anew, one for each thing that a choice says. Text passes as it comes but
//! for what a match may still need; the calls of a choice wait until it is over, and are asked about in their order; what is
//! refused is said in the choice's text, and a choice without calls does not wait for one. A stream that broke off ends with
//! an error and without `[DONE]`. Held by: `tests.rs`.

use super::call::{CALLS, CHOICES, Call, KEPT, STRANGE};
use crate::api::anthropic::is_word;
use crate::api::{Ended, Part, Unfit, Words};
use crate::json::{self, Node, Value, quoted};
use crate::sse::{Event, Parser};
use crate::tools::{self, ToolTable};
use portcullis_model::Denial;
use portcullis_model::Tokens;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const BROKE_OFF: Unfit = Unfit("the answer of the model broke off");
const UNREADABLE: Unfit = Unfit("the answer of the model cannot be read");

/// The members of a delta that are text, each a stream of its own to the masks.
const TEXTS: [&str; 4] = ["content", "refusal", "reasoning_content", "reasoning"];

pub(super) struct Stream {
    tools: Arc<ToolTable>,
    /// The client wants the count of tokens.
    usage: bool,
    parser: Parser,
    queue: VecDeque<Event>,
    after: Option<Result<Ended, Unfit>>,
    /// What every chunk says of the answer.
    about: Option<String>,
    choices: BTreeMap<u64, Choice>,
    /// The choice whose calls are asked about.
    asking: Option<u64>,
    calls: usize,
    done: bool,
    over: bool,
    recorded: usize,
}

#[derive(Default)]
struct Choice {
    said: String,
    calls: BTreeMap<u64, Call>,
    /// Why it ended, from when it did.
    reason: Option<String>,
    /// The call that is asked about, and those that follow.
    asked: Option<Call>,
    waiting: VecDeque<Call>,
    left: usize,
    refused: usize,
}

impl Stream {
    pub(super) fn new(usage: bool, tools: Arc<ToolTable>) -> Self {
        Self {
            tools,
            usage,
            parser: Parser::default(),
            queue: VecDeque::new(),
            after: None,
            about: None,
            choices: BTreeMap::new(),
            asking: None,
            calls: 0,
            done: false,
            over: false,
            recorded: 0,
        }
    }

    pub(super) fn on_data(&mut self, data: &[u8], words: &mut dyn Words, parts: &mut Vec<Part>) {
        if self.after.is_none() && self.parser.feed(data, &mut self.queue).is_err() {
            self.after = Some(Err(UNREADABLE));
        }
        self.run(words, parts);
    }

    pub(super) fn on_end(&mut self, ended: Ended, words: &mut dyn Words, parts: &mut Vec<Part>) {
        self.after.get_or_insert(Ok(ended));
        self.run(words, parts);
    }

    pub(super) fn on_verdict(&mut self, verdict: Result<(), &Denial>, words: &mut dyn Words, parts: &mut Vec<Part>) {
        if let Some(index) = self.asking
            && let Some(choice) = self.choices.get_mut(&index)
            && let Some(call) = choice.asked.take()
        {
            let delta = match call.settle(verdict, words) {
                Ok(members) => {
                    choice.left += 1;
                    format!(r#"{{"tool_calls":[{{"index":{},{members}}}]}}"#, choice.left - 1)
                }
                Err(refusal) => {
                    choice.refused += 1;
                    format!(r#"{{"content":{}}}"#, quoted(&refusal))
                }
            };
            self.emit(index, &delta, None, parts);
            if let Err(why) = self.ask(index, parts) {
                self.fail(why, words, parts);
            }
        }
        self.run(words, parts);
    }

    fn run(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) {
        while self.asking.is_none() && !self.over {
            let went = match self.queue.pop_front() {
                Some(event) => self.on_event(&event, words, parts),
                None => match self.after.take() {
                    None => return,
                    Some(Ok(Ended::Whole)) if self.done => {
                        self.over = true;
                        self.record(words);
                        parts.push(Part::End);
                        return;
                    }
                    Some(Ok(_)) => Err(BROKE_OFF),
                    Some(Err(why)) => Err(why),
                },
            };
            if let Err(why) = went {
                self.fail(why, words, parts);
            }
        }
    }

    fn fail(&mut self, why: Unfit, words: &mut dyn Words, parts: &mut Vec<Part>) {
        self.over = true;
        self.asking = None;
        self.queue.clear();
        self.record(words);
        let error = super::answer::error("api_error", &format!("portcullis: {}", why.0));
        parts.push(Part::Data(Event::new(None, error).written()));
        parts.push(Part::Broken(why));
    }

    fn on_event(&mut self, event: &Event, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        if self.done {
            return Err(STRANGE);
        }
        if event.data == "[DONE]" {
            let open = self.choices.values().any(|choice| choice.reason.is_none());
            if open || self.choices.is_empty() {
                return Err(BROKE_OFF);
            }
            self.done = true;
            parts.push(Part::Data(Event::new(None, "[DONE]").written()));
            return Ok(());
        }
        let node = json::read(event.data.as_bytes()).map_err(|_| UNREADABLE)?;
        if node.get("error").is_some() {
            let (kind, message) = super::answer::told(&node, words).ok_or(STRANGE)?;
            parts.push(Part::Data(Event::new(None, super::answer::error(&kind, &message)).written()));
            self.over = true;
            self.record(words);
            parts.push(Part::Broken(Unfit("the provider of the model broke off with an error")));
            return Ok(());
        }
        self.chunk(&node, &event.data, words, parts)
    }

    fn chunk(&mut self, node: &Node, data: &str, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let word = |name: &str| node.get(name).and_then(Node::text).filter(|word| is_word(word)).ok_or(STRANGE);
        if word("object")? != "chat.completion.chunk" {
            return Err(STRANGE);
        }
        let (id, model) = (quoted(word("id")?), quoted(word("model")?));
        let created = node.get("created").and_then(Node::number).ok_or(STRANGE)?;
        self.about.get_or_insert_with(|| {
            format!(r#"{{"id":{id},"object":"chat.completion.chunk","created":{created},"model":{model},"#)
        });
        let choices = node.get("choices").filter(|node| matches!(node.value, Value::Array(_))).ok_or(STRANGE)?;
        let [choice] = choices.elements() else {
            if choices.elements().is_empty() {
                return self.used(node, data, words, parts);
            }
            if choices.elements().len() as u64 > CHOICES {
                return Err(STRANGE);
            }
            // A chunk of several choices is as many chunks.
            for choice in choices.elements().iter().rev() {
                let choice = data.get(choice.span.clone()).ok_or(STRANGE)?;
                let about = self.about.as_deref().unwrap_or_default();
                self.queue.push_front(Event::new(None, format!(r#"{about}"choices":[{choice}]}}"#)));
            }
            self.count(node, parts);
            return Ok(());
        };
        self.choice(choice, words, parts)?;
        self.count(node, parts);
        Ok(())
    }

    /// A chunk without choices counts the tokens.
    fn used(&mut self, node: &Node, data: &str, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        self.count(node, parts);
        let counted = node.get("usage").filter(|usage| matches!(usage.value, Value::Object(_)));
        if let (true, Some(usage), Some(about)) = (self.usage, counted, &self.about) {
            let masked = super::answer::masked(usage, data, words).map_err(|_| UNREADABLE)?;
            let chunk = format!(r#"{about}"choices":[],"usage":{masked}}}"#);
            parts.push(Part::Data(Event::new(None, chunk).written()));
        }
        Ok(())
    }

    fn count(&self, node: &Node, parts: &mut Vec<Part>) {
        let mut used = Tokens::default();
        if let Some(usage) = node.get("usage").filter(|usage| matches!(usage.value, Value::Object(_))) {
            super::answer::count(usage, &mut used);
            parts.push(Part::Used(used));
        }
    }

    fn choice(&mut self, node: &Node, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let index = node.get("index").and_then(Node::number).filter(|index| *index < CHOICES).ok_or(STRANGE)?;
        let delta = node.get("delta").ok_or(STRANGE)?;
        if let Entry::Vacant(choice) = self.choices.entry(index) {
            choice.insert(Choice::default());
            self.emit(index, r#"{"role":"assistant","content":""}"#, None, parts);
        }
        for (kind, member) in TEXTS.iter().enumerate() {
            let Some(text) = delta.get(member).and_then(Node::text).filter(|text| !text.is_empty()) else { continue };
            let choice = self.choices.get_mut(&index).filter(|choice| choice.reason.is_none()).ok_or(STRANGE)?;
            if choice.said.len() < KEPT {
                choice.said.push_str(text);
            }
            let shown = words.piece(stream(index, kind), text);
            self.text(index, member, &shown, parts);
        }
        self.hold(index, delta)?;
        if delta.get("function_call").is_some_and(|call| call.value != Value::Null) {
            return Err(STRANGE);
        }
        match node.get("finish_reason").map(|reason| &reason.value) {
            None | Some(Value::Null) => Ok(()),
            Some(Value::String(reason)) if is_word(reason) => self.finished(index, reason, words, parts),
            Some(_) => Err(STRANGE),
        }
    }

    /// Pieces of calls.
    fn hold(&mut self, index: u64, delta: &Node) -> Result<(), Unfit> {
        for piece in delta.get("tool_calls").map(Node::elements).unwrap_or_default() {
            let choice = self.choices.get_mut(&index).filter(|choice| choice.reason.is_none()).ok_or(STRANGE)?;
            let at = piece.get("index").and_then(Node::number).ok_or(STRANGE)?;
            if !matches!(piece.get("type").and_then(Node::text), None | Some("function")) {
                return Err(STRANGE);
            }
            if !choice.calls.contains_key(&at) {
                self.calls += 1;
                if self.calls > CALLS {
                    return Err(Unfit("the answer of the model calls too many tools"));
                }
            }
            let call = choice.calls.entry(at).or_default();
            let function = piece.get("function");
            let name = function.and_then(|function| function.get("name")).and_then(Node::text);
            let arguments = function.and_then(|function| function.get("arguments")).and_then(Node::text);
            for (held, given) in [(&mut call.id, piece.get("id").and_then(Node::text)), (&mut call.name, name)] {
                // Clients differ in whether a second one is added or taken instead.
                let given = given.unwrap_or_default();
                if !given.is_empty() && !held.is_empty() && held != given {
                    return Err(STRANGE);
                }
                if held.is_empty() {
                    held.push_str(given);
                }
            }
            call.arguments.push_str(arguments.unwrap_or_default());
            if call.arguments.len() > tools::LONGEST {
                return Err(Unfit("a tool call of the model's answer is too long"));
            }
        }
        Ok(())
    }

    /// A choice is over: its calls are asked about.
    fn finished(
        &mut self,
        index: u64,
        reason: &str,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        for (kind, member) in TEXTS.iter().enumerate() {
            let rest = words.last(stream(index, kind));
            self.text(index, member, &rest, parts);
        }
        let choice = self.choices.get_mut(&index).filter(|choice| choice.reason.is_none()).ok_or(STRANGE)?;
        choice.reason = Some(reason.to_owned());
        choice.waiting = std::mem::take(&mut choice.calls).into_values().collect();
        if !choice.waiting.is_empty() {
            let calls: Vec<String> = choice.waiting.iter().map(Call::recorded).collect();
            choice.said.push_str(&format!(" [{}]", calls.join(",")));
        }
        self.ask(index, parts)
    }

    /// The next call, or the end of the choice.
    fn ask(&mut self, index: u64, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let Some(choice) = self.choices.get_mut(&index) else { return Ok(()) };
        if let Some(call) = choice.waiting.pop_front() {
            let command = call.command(&self.tools)?;
            choice.asked = Some(call);
            self.asking = Some(index);
            parts.push(Part::Propose(Box::new(command)));
            return Ok(());
        }
        self.asking = None;
        let reason = choice.reason.clone().unwrap_or_default();
        let none_left = reason == "tool_calls" && choice.left == 0 && choice.refused > 0;
        let reason = if none_left { "stop" } else { &reason };
        self.emit(index, "{}", Some(reason), parts);
        Ok(())
    }

    fn text(&self, index: u64, member: &str, text: &str, parts: &mut Vec<Part>) {
        if !text.is_empty() {
            self.emit(index, &format!(r#"{{"{member}":{}}}"#, quoted(text)), None, parts);
        }
    }

    fn emit(&self, index: u64, delta: &str, reason: Option<&str>, parts: &mut Vec<Part>) {
        let Some(about) = &self.about else { return };
        let reason = reason.map_or_else(|| "null".to_owned(), quoted);
        let chunk = format!(
            r#"{about}"choices":[{{"index":{index},"delta":{delta},"logprobs":null,"finish_reason":{reason}}}]}}"#
        );
        parts.push(Part::Data(Event::new(None, chunk).written()));
    }

    fn record(&mut self, words: &mut dyn Words) {
        for choice in std::mem::take(&mut self.choices).into_values() {
            self.recorded += choice.said.len();
            if !choice.said.is_empty() && self.recorded <= 2 * KEPT {
                words.record(&choice.said);
            }
        }
    }
}

fn stream(index: u64, kind: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX / 8) * 4 + u32::try_from(kind).unwrap_or_default()
}
