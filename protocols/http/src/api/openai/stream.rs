//! A streamed answer, chunk by chunk.
//!
//! Promises: every chunk is read strictly and written anew, one for each thing that a choice says. Text passes as it
//! comes but for what a match or a document may still need; the calls of a choice wait until it is over, and are asked
//! about in their order; what is refused is said in the choice's text, or in its refusal where the client reads the text
//! as a document, and a choice without calls does not wait for one. The record has what
//! a choice said before its calls. What the answer used is known when its choices are over: one that broke off before has
//! used what was taken for it. A stream that broke off ends with an error and without `[DONE]`. What Azure's filters
//! found is left out. Held by: `tests.rs`.

use super::answer::{CHOICES, Completions, TEXTS, about, is_beside, reason, refused_in, written};
use super::facts::facts;
use crate::api::model::{
    self, BROKE_OFF, Call, Dialect, Failure, Grammar, LONG_CALL, Ready, STRANGE, Speech, Told, Turn, UNREADABLE, Wanted,
};
use crate::api::{Part, Unfit, Words};
use crate::json::{self, Node, Value, quoted};
use crate::sse::Event;
use crate::tools::{self, ToolTable};
use portcullis_model::{Denial, Tokens};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub(super) struct Stream {
    tools: Arc<ToolTable>,
    wanted: Wanted,
    /// What every chunk says of the answer.
    about: Option<String>,
    choices: BTreeMap<u64, Choice>,
    /// The choice whose calls are asked about.
    asking: Option<u64>,
    turn: Turn,
    used: Option<Tokens>,
    done: bool,
}

struct Choice {
    /// In the order of [`TEXTS`].
    texts: [Speech; TEXTS.len()],
    /// What else it said, for the record, and the bytes of that.
    beside: Vec<String>,
    size: usize,
    calls: BTreeMap<u64, Call>,
    /// Why it ended, from when it did.
    reason: Option<String>,
    /// The call that is asked about, and those that follow.
    asked: Option<Ready>,
    waiting: VecDeque<Ready>,
    left: usize,
    refused: usize,
}

impl Choice {
    fn new(index: u64) -> Self {
        let first = u32::try_from(index).unwrap_or(u32::MAX / 8) * 4;
        let texts = [first, first + 1, first + 2, first + 3].map(Speech::new);
        let (calls, waiting) = (BTreeMap::new(), VecDeque::new());
        let beside = Vec::new();
        Self { texts, beside, size: 0, calls, reason: None, asked: None, waiting, left: 0, refused: 0 }
    }

    /// The record keeps what it said.
    fn keep(&mut self, index: u64, turn: &mut Turn) {
        for (member, speech) in TEXTS.iter().zip(&self.texts) {
            turn.keep_speech(&about(index, member), "text", speech);
        }
        for value in std::mem::take(&mut self.beside) {
            turn.keep(value);
        }
        if self.size > tools::LONGEST {
            turn.cut();
        }
    }
}

impl Grammar for Stream {
    fn on_event(
        &mut self,
        event: &Event,
        queue: &mut VecDeque<Event>,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Failure> {
        if self.done {
            return Err(STRANGE.into());
        }
        if event.data == "[DONE]" {
            if !self.is_over() {
                return Err(BROKE_OFF.into());
            }
            self.done = true;
            self.used(parts);
            parts.push(Part::Data(Event::new(None, "[DONE]").written()));
            return Ok(());
        }
        let node = json::read(event.data.as_bytes()).map_err(|_| UNREADABLE)?;
        if node.get("error").is_some() {
            return Err(model::error(&node, words));
        }
        Ok(self.chunk(&node, &event.data, queue, words, parts)?)
    }

    fn settled(
        &mut self,
        verdict: Result<(), &Denial>,
        _words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        let index = self.asking.ok_or(STRANGE)?;
        let choice = self.choices.get_mut(&index).ok_or(STRANGE)?;
        let call = choice.asked.take().ok_or(STRANGE)?;
        let delta = match call.settle(verdict) {
            Ok(()) => {
                choice.left += 1;
                format!(r#"{{"tool_calls":[{{"index":{},{}}}]}}"#, choice.left - 1, written(&call))
            }
            Err(refusal) => {
                choice.refused += 1;
                format!(r#"{{"{}":{}}}"#, refused_in(self.wanted), quoted(&refusal))
            }
        };
        self.emit(index, &delta, None, parts);
        self.ask(index, parts)
    }

    fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    fn is_whole(&self) -> bool {
        self.done
    }

    fn error(&self, told: &Told) -> Event {
        Event::new(None, Completions::error(told))
    }

    fn record(&mut self, broke: Option<&Unfit>, words: &mut dyn Words) {
        for (index, mut choice) in std::mem::take(&mut self.choices) {
            // Of one that is over it was kept.
            if choice.reason.is_none() {
                choice.keep(index, &mut self.turn);
            }
            for call in choice.calls.into_values() {
                self.turn.keep_unasked(&format!(r#""choice":{index},"#), &call.kind, &call.name);
            }
        }
        self.turn.record(broke, &facts().spared, words);
    }
}

impl Stream {
    pub(super) fn new(wanted: Wanted, tools: Arc<ToolTable>) -> Self {
        Self {
            tools,
            wanted,
            about: None,
            choices: BTreeMap::new(),
            asking: None,
            turn: Turn::default(),
            used: None,
            done: false,
        }
    }

    /// Whether every choice has ended.
    fn is_over(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|choice| choice.reason.is_some())
    }

    fn chunk(
        &mut self,
        node: &Node,
        data: &str,
        queue: &mut VecDeque<Event>,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        let choices = node.get("choices").filter(|node| matches!(node.value, Value::Array(_))).ok_or(STRANGE)?;
        match model::word(node, "object")? {
            "chat.completion.chunk" => {}
            "" if is_remark(node, choices) => return Ok(()),
            // A filter ends a choice so.
            "" if choices.elements().iter().all(|choice| choice.get("delta").is_none()) => {}
            _ => return Err(STRANGE),
        }
        let (id, model) = (quoted(model::word(node, "id")?), quoted(model::word(node, "model")?));
        let created = node.get("created").and_then(Node::number).ok_or(STRANGE)?;
        self.about.get_or_insert_with(|| {
            format!(r#"{{"id":{id},"object":"chat.completion.chunk","created":{created},"model":{model},"#)
        });
        if let Some(usage) = node.get("usage").filter(|usage| matches!(usage.value, Value::Object(_))) {
            self.used = Some(Completions::count(usage));
        }
        match choices.elements() {
            [] => self.counts(node, data, words, parts)?,
            [choice] => self.choice(choice, data, words, parts)?,
            choices if choices.len() as u64 > CHOICES => return Err(STRANGE),
            choices => {
                // A chunk of several choices is as many chunks.
                for choice in choices.iter().rev() {
                    let choice = data.get(choice.span.clone()).ok_or(STRANGE)?;
                    let about = self.about.as_deref().unwrap_or_default();
                    queue.push_front(Event::new(None, format!(r#"{about}"choices":[{choice}]}}"#)));
                }
            }
        }
        if self.asking.is_none() {
            self.used(parts);
        }
        Ok(())
    }

    /// Before the choices are over the count is of a part of them.
    fn used(&mut self, parts: &mut Vec<Part>) {
        if self.is_over() {
            parts.extend(self.used.take().map(Part::Used));
        }
    }

    /// A chunk without choices counts the tokens.
    fn counts(&self, node: &Node, data: &str, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let counted = node.get("usage").filter(|usage| matches!(usage.value, Value::Object(_)));
        if let (true, Some(usage), Some(about)) = (self.wanted.counted, counted, &self.about) {
            let masked = facts().spared.masked(usage, data, words).map_err(|_| UNREADABLE)?;
            let chunk = format!(r#"{about}"choices":[],"usage":{masked}}}"#);
            parts.push(Part::Data(Event::new(None, chunk).written()));
        }
        Ok(())
    }

    fn choice(&mut self, node: &Node, data: &str, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let index = node.get("index").and_then(Node::number).filter(|index| *index < CHOICES).ok_or(STRANGE)?;
        let reason = model::reason(node.get("finish_reason"))?;
        let nothing = Node { value: Value::Object(Vec::new()), span: node.span.clone() };
        let delta = match node.get("delta") {
            Some(delta) if matches!(delta.value, Value::Object(_)) => delta,
            Some(_) => return Err(STRANGE),
            // A filter says so what it found in a choice, and that it ends it.
            None if reason.is_none() => return Ok(()),
            None => &nothing,
        };
        if let Entry::Vacant(choice) = self.choices.entry(index) {
            choice.insert(Choice::new(index));
            self.emit(index, r#"{"role":"assistant","content":""}"#, None, parts);
        }
        // As in a document; what is no text of what it thought is left out.
        if ["content", "refusal"].iter().any(|member| !is_said(delta.get(member))) {
            return Err(STRANGE);
        }
        for (nth, member) in TEXTS.iter().enumerate() {
            let Some(text) = delta.get(member).and_then(Node::text).filter(|text| !text.is_empty()) else { continue };
            let choice = self.choices.get_mut(&index).filter(|choice| choice.reason.is_none()).ok_or(STRANGE)?;
            let shown = choice.texts.get_mut(nth).ok_or(STRANGE)?.push(text, words)?;
            self.text(index, member, &shown, parts);
        }
        self.beside(index, delta, data, words, parts)?;
        self.hold(index, delta)?;
        if delta.get("function_call").is_some_and(|call| call.value != Value::Null) {
            return Err(STRANGE);
        }
        match reason {
            None => Ok(()),
            Some(reason) => self.finished(index, reason, words, parts),
        }
    }

    /// What a choice says that is neither a text nor a call.
    fn beside(
        &mut self,
        index: u64,
        delta: &Node,
        data: &str,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        for (name, member) in delta.members().iter().filter(|(name, member)| is_beside(name, member)) {
            let choice = self.choices.get_mut(&index).filter(|choice| choice.reason.is_none()).ok_or(STRANGE)?;
            let written = data.get(member.span.clone()).ok_or(STRANGE)?;
            let value = format!(r#"{{{},"value":{written}}}"#, about(index, name));
            choice.size = choice.size.saturating_add(value.len());
            if choice.size <= tools::LONGEST {
                choice.beside.push(value);
            }
            let masked = facts().spared.masked(member, data, words).map_err(|_| UNREADABLE)?;
            self.emit(index, &format!("{{{}:{masked}}}", quoted(name)), None, parts);
        }
        Ok(())
    }

    /// Pieces of calls.
    fn hold(&mut self, index: u64, delta: &Node) -> Result<(), Unfit> {
        let pieces = delta.get("tool_calls").filter(|pieces| pieces.value != Value::Null);
        if pieces.is_some_and(|pieces| !matches!(pieces.value, Value::Array(_))) {
            return Err(STRANGE);
        }
        for piece in pieces.map(Node::elements).unwrap_or_default() {
            let choice = self.choices.get_mut(&index).filter(|choice| choice.reason.is_none()).ok_or(STRANGE)?;
            let at = piece.get("index").and_then(Node::number).ok_or(STRANGE)?;
            if !matches!(piece.get("type").and_then(Node::text), None | Some("function")) {
                return Err(STRANGE);
            }
            let call = match choice.calls.entry(at) {
                Entry::Occupied(call) => call.into_mut(),
                Entry::Vacant(place) => {
                    self.turn.count()?;
                    place.insert(super::answer::call("", "", ""))
                }
            };
            let function = piece.get("function").filter(|function| function.value != Value::Null);
            if function.is_some_and(|function| !matches!(function.value, Value::Object(_))) {
                return Err(STRANGE);
            }
            let [name, arguments] = ["name", "arguments"].map(|member| function.and_then(|node| node.get(member)));
            // A call of what was left of it would be another one.
            if ![piece.get("id"), name, arguments].into_iter().all(is_said) {
                return Err(STRANGE);
            }
            let (name, arguments) = (name.and_then(Node::text), arguments.and_then(Node::text));
            for (held, given) in [(&mut call.id, piece.get("id").and_then(Node::text)), (&mut call.name, name)] {
                // Clients differ in whether a second one is added or taken instead.
                let given = given.unwrap_or_default();
                if given.len() > model::ID || (!given.is_empty() && !held.is_empty() && held != given) {
                    return Err(STRANGE);
                }
                if held.is_empty() {
                    held.push_str(given);
                }
            }
            call.input.push_str(arguments.unwrap_or_default());
            if call.input.len() > tools::LONGEST {
                return Err(LONG_CALL);
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
        for (nth, member) in TEXTS.iter().enumerate() {
            let choice = self.choices.get_mut(&index).filter(|choice| choice.reason.is_none()).ok_or(STRANGE)?;
            let rest = choice.texts.get_mut(nth).ok_or(STRANGE)?.end(words);
            self.text(index, member, &rest, parts);
        }
        let choice = self.choices.get_mut(&index).ok_or(STRANGE)?;
        choice.reason = Some(reason.to_owned());
        choice.keep(index, &mut self.turn);
        // Those behind one that cannot be read stay where they are, for the record.
        while let Some((_, call)) = choice.calls.pop_first() {
            let call = self.turn.ready(&format!(r#""choice":{index},"#), call, &self.tools, words)?;
            choice.waiting.push_back(call);
        }
        self.ask(index, parts)
    }

    /// The next call, or the end of the choice.
    fn ask(&mut self, index: u64, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let choice = self.choices.get_mut(&index).ok_or(STRANGE)?;
        if let Some(mut call) = choice.waiting.pop_front() {
            parts.push(call.propose()?);
            choice.asked = Some(call);
            self.asking = Some(index);
            return Ok(());
        }
        self.asking = None;
        let said = choice.reason.clone().unwrap_or_default();
        let said = reason(&said, choice.left, choice.refused);
        self.emit(index, "{}", Some(said), parts);
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
}

/// Whether this is a text, or nothing at all.
fn is_said(node: Option<&Node>) -> bool {
    node.is_none_or(|node| matches!(node.value, Value::Null | Value::String(_)))
}

/// Whether a chunk says nothing of the answer, but what a filter found in it or in the prompt.
fn is_remark(chunk: &Node, choices: &Node) -> bool {
    let ends = |choice: &Node| choice.get("finish_reason").is_some_and(|reason| reason.value != Value::Null);
    let counts = chunk.get("usage").is_some_and(|usage| usage.value != Value::Null);
    !counts && choices.elements().iter().all(|choice| choice.get("delta").is_none() && !ends(choice))
}
