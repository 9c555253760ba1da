//! A streamed answer, event by event.
//!
//! Promises: every event is read strictly and written anew; events come in the order of the API, one block at a time, and
//! an answer that breaks it breaks off. Blocks and events that are not known are dropped and the blocks numbered anew. What
//! the answer used is known when its last event is: one that broke off before has used what was taken for it. Does not
//! know what a block is: `open.rs` does.
//! Held by: `tests.rs`.

mod event;
mod open;

use super::answer::{Messages, beside, count, sum};
use super::block::{BLOCKS, Calls, text, written};
use super::facts::facts;
use crate::api::model::members::is_nothing;
use crate::api::model::{self, Failure, Grammar, Ready, STRANGE, Told, Turn, UNREADABLE};
use crate::api::{Part, Unfit, Words};
use crate::json::{self, Edits, Node, Value, quoted};
use crate::sse::Event;
use crate::tools::ToolTable;
use event::{Name, started, stopped, wrote};
use open::{Open, Place, Stopped};
use portcullis_model::{Denial, Tokens};
use std::collections::VecDeque;
use std::sync::Arc;

pub(super) struct Stream {
    tools: Arc<ToolTable>,
    state: State,
    open: Option<Open>,
    /// Its verdict is awaited.
    asked: Option<Ready>,
    /// The next block's number, as it comes and as it leaves.
    next: usize,
    out: usize,
    calls: Calls,
    turn: Turn,
    usage: Tokens,
    /// What is in no total of it.
    beside: Tokens,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    /// Between `message_start` and `message_delta`.
    Blocks,
    /// Behind the blocks.
    Ending,
    Stopped,
}

impl Grammar for Stream {
    fn on_event(
        &mut self,
        event: &Event,
        _queue: &mut VecDeque<Event>,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Failure> {
        // Clients pass over an event without a name.
        let Some(name) = &event.name else { return Ok(()) };
        let node = json::read(event.data.as_bytes()).map_err(|_| UNREADABLE)?;
        if text(&node, "type")? != name {
            return Err(STRANGE.into());
        }
        let Some(name) = Name::of(name) else { return Ok(()) };
        match (name, self.state, &self.open) {
            (Name::Ping, State::Stopped, _) => {}
            (Name::Ping, _, _) => event::ping(parts),
            (Name::Error, _, _) => return Err(model::error(&node, words)),
            (Name::MessageStart, State::Fresh, None) => self.message_start(&node, &event.data, words, parts)?,
            (Name::BlockStart, State::Blocks, None) => self.block_start(&node, &event.data, words, parts)?,
            (Name::BlockDelta, State::Blocks, Some(_)) => self.block_delta(&node, &event.data, words, parts)?,
            (Name::BlockStop, State::Blocks, Some(_)) => self.block_stop(&node, words, parts)?,
            (Name::MessageDelta, State::Blocks | State::Ending, None) => {
                self.message_delta(&node, &event.data, words, parts)?;
            }
            (Name::MessageStop, State::Ending, None) => {
                self.state = State::Stopped;
                event::written(Name::MessageStop, r#"{"type":"message_stop"}"#, parts);
            }
            (
                Name::MessageStart
                | Name::BlockStart
                | Name::BlockDelta
                | Name::BlockStop
                | Name::MessageDelta
                | Name::MessageStop,
                _,
                _,
            ) => return Err(STRANGE.into()),
        }
        Ok(())
    }

    fn settled(
        &mut self,
        verdict: Result<(), &Denial>,
        _words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        let call = self.asked.take().ok_or(STRANGE)?;
        match self.calls.settle(&call, verdict) {
            Ok(()) => {
                started(self.out, &written(&call, "{}"), parts);
                wrote(self.out, "input_json_delta", "partial_json", call.input(), parts);
            }
            Err(refusal) => {
                started(self.out, r#"{"type":"text","text":""}"#, parts);
                wrote(self.out, "text_delta", "text", &refusal, parts);
            }
        }
        stopped(self.out, parts);
        self.out += 1;
        Ok(())
    }

    fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    fn is_whole(&self) -> bool {
        self.state == State::Stopped
    }

    fn error(&self, told: &Told) -> Event {
        Event::new(Some(Name::Error.word()), <Messages as model::Dialect>::error(told))
    }

    fn record(&mut self, broke: Option<&Unfit>, words: &mut dyn Words) {
        if let Some(open) = self.open.take() {
            open.keep(&mut self.turn);
        }
        self.turn.record(broke, &facts().spared, words);
    }
}

impl Stream {
    pub(super) fn new(tools: Arc<ToolTable>) -> Self {
        Self {
            tools,
            state: State::Fresh,
            open: None,
            asked: None,
            next: 0,
            out: 0,
            calls: Calls::default(),
            turn: Turn::default(),
            usage: Tokens::default(),
            beside: Tokens::default(),
        }
    }

    fn message_start(
        &mut self,
        node: &Node,
        data: &str,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        let message = node.get("message").ok_or(STRANGE)?;
        let empty = message.get("content").is_some_and(|content| content.value == Value::Array(Vec::new()));
        if text(message, "type")? != "message" || text(message, "role")? != "assistant" || !empty {
            return Err(STRANGE);
        }
        model::reason(message.get("stop_reason"))?;
        let masked = facts().spared.masked(node, data, words).map_err(|_| UNREADABLE)?;
        event::written(Name::MessageStart, &masked, parts);
        self.turn.keep_beside(node, data, &["message"]);
        self.turn.keep_beside(message, data, &["content", "usage"]);
        self.state = State::Blocks;
        self.count(message.get("usage"));
        Ok(())
    }

    fn message_delta(
        &mut self,
        node: &Node,
        data: &str,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        let delta = node.get("delta").filter(|delta| matches!(delta.value, Value::Object(_))).ok_or(STRANGE)?;
        // What is said stands in blocks; a client that takes every member of this over would run a call in it.
        if delta.get("content").is_some_and(|content| !is_nothing(content)) {
            return Err(STRANGE);
        }
        let reason = delta.get("stop_reason");
        let said = model::reason(reason)?;
        let mut edits = Edits::default();
        facts().spared.mask(node, data, words, &mut edits).map_err(|_| UNREADABLE)?;
        if let (Some(reason), Some(instead)) = (reason, self.calls.stop_reason(said)) {
            edits.replace(reason.span.clone(), quoted(instead));
        }
        event::written(Name::MessageDelta, &edits.apply(data).ok_or(STRANGE)?, parts);
        self.turn.keep_beside(node, data, &["delta", "usage"]);
        self.turn.keep_beside(delta, data, &[]);
        self.state = State::Ending;
        if node.get("usage").is_some() {
            self.count(node.get("usage"));
            parts.push(Part::Used(sum(self.usage, self.beside)));
        }
        Ok(())
    }

    /// Counts are of the whole answer so far, wherever they are given.
    fn count(&mut self, usage: Option<&Node>) {
        if let Some(usage) = usage {
            count(usage, &mut self.usage);
            self.beside = beside(usage).unwrap_or(self.beside);
        }
    }

    fn block_start(
        &mut self,
        node: &Node,
        data: &str,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        let block = node.get("content_block").ok_or(STRANGE)?;
        if index(node)? != self.next || self.next >= BLOCKS {
            return Err(STRANGE);
        }
        self.next += 1;
        let mut place = Place { out: self.out, words, parts };
        self.open = Some(Open::start(block, data, &self.calls, &mut place)?);
        Ok(())
    }

    fn block_delta(
        &mut self,
        node: &Node,
        data: &str,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        let delta = node.get("delta").ok_or(STRANGE)?;
        let open = self.open.as_mut().filter(|_| index(node) == Ok(self.next - 1)).ok_or(STRANGE)?;
        open.on_delta(delta, data, &mut Place { out: self.out, words, parts })
    }

    fn block_stop(&mut self, node: &Node, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        if index(node)? != self.next - 1 {
            return Err(STRANGE);
        }
        let open = self.open.take().ok_or(STRANGE)?;
        let mut place = Place { out: self.out, words, parts };
        match open.stop(&self.tools, &mut self.turn, &mut place)? {
            Stopped::Shown => {
                stopped(self.out, parts);
                self.out += 1;
            }
            Stopped::Dropped => {}
            Stopped::Asks(mut call) => {
                self.turn.count()?;
                parts.push(call.propose()?);
                self.asked = Some(*call);
            }
        }
        Ok(())
    }
}

fn index(node: &Node) -> Result<usize, Unfit> {
    node.get("index").and_then(Node::number).and_then(|index| usize::try_from(index).ok()).ok_or(STRANGE)
}
