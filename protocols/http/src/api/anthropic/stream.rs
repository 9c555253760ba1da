//! A streamed answer, event by event.
//!
//! Promises: every event is read strictly and written anew; events come in the order of the API, one block at a time, and
//! an answer that breaks it breaks off. Text passes as it comes but for what a match may still need; a tool call waits
//! from its start to its verdict, since clients run it when it stops; thinking waits while a mask binds, and is left out
//! (its signature stays) where a mask finds something in it, because it cannot be changed. Blocks and events that are not
//! known are dropped and the blocks numbered anew. An answer that broke off ends with an error and without its last event.
//! Held by: `tests.rs`.

mod event;

use super::block::{BLOCKS, Call, Kind, STRANGE, Turn, kind, redacted, signature, text};
use super::words;
use crate::api::{Ended, Part, Unfit, Words};
use crate::json::{self, Edits, Node, Value, quoted};
use crate::sse::{self, Event, Parser};
use crate::tools::{self, ToolTable};
use event::{Name, started, stopped, wrote};
use portcullis_model::Denial;
use portcullis_model::Tokens;
use std::collections::VecDeque;
use std::sync::Arc;

const BROKE_OFF: Unfit = Unfit("the answer of the model broke off");
const UNREADABLE: Unfit = Unfit("the answer of the model cannot be read");
const TOO_LONG: Unfit = Unfit("a block of the model's answer is too long");

pub(super) struct Stream {
    tools: Arc<ToolTable>,
    parser: Parser,
    /// Events that wait behind a verdict.
    queue: VecDeque<Event>,
    /// What follows the queue.
    after: Option<Result<Ended, Unfit>>,
    state: State,
    open: Option<Open>,
    /// The next block's number, as it comes and as it leaves.
    next: usize,
    out: usize,
    turn: Turn,
    usage: Tokens,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    /// Between `message_start` and `message_delta`.
    Blocks,
    /// Behind the blocks.
    Ending,
    Stopped,
    /// Nothing more comes out.
    Over,
}

/// The block that has not stopped.
struct Open {
    index: usize,
    what: What,
}

enum What {
    /// Text that passes as it comes: the words for its delta and the member in it.
    Text {
        delta: &'static str,
        member: &'static str,
        said: String,
    },
    /// Waits for its end while a mask binds.
    Thinking {
        said: String,
        signature: String,
        waits: bool,
    },
    Call(Call),
    /// Its verdict is awaited.
    Asked(Call),
    /// Came whole.
    Whole,
    Dropped,
}

impl Stream {
    pub(super) fn new(tools: Arc<ToolTable>) -> Self {
        Self {
            tools,
            parser: Parser::default(),
            queue: VecDeque::new(),
            after: None,
            state: State::Fresh,
            open: None,
            next: 0,
            out: 0,
            turn: Turn::default(),
            usage: Tokens::default(),
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
        if let Some(Open { what: What::Asked(call), .. }) =
            self.open.take_if(|open| matches!(open.what, What::Asked(_)))
        {
            let out = self.out;
            self.out += 1;
            match self.turn.settle(&call, verdict, words) {
                Ok((block, input)) => {
                    started(out, &block, parts);
                    wrote(out, "input_json_delta", "partial_json", &input, parts);
                }
                Err(refusal) => {
                    started(out, r#"{"type":"text","text":""}"#, parts);
                    wrote(out, "text_delta", "text", &refusal, parts);
                }
            }
            stopped(out, parts);
        }
        self.run(words, parts);
    }

    fn is_waiting(&self) -> bool {
        matches!(&self.open, Some(Open { what: What::Asked(_), .. }))
    }

    fn run(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) {
        while !self.is_waiting() && self.state != State::Over {
            let done = match self.queue.pop_front() {
                Some(event) => self.on_event(&event, words, parts),
                None => match self.after.take() {
                    None => return,
                    Some(Ok(Ended::Whole)) if self.state == State::Stopped => {
                        self.state = State::Over;
                        self.turn.record(words);
                        parts.push(Part::End);
                        return;
                    }
                    Some(Ok(_)) => Err(BROKE_OFF),
                    Some(Err(why)) => Err(why),
                },
            };
            if let Err(why) = done {
                self.fail(why, words, parts);
            }
        }
    }

    /// The client must not take what it has for an answer.
    fn fail(&mut self, why: Unfit, words: &mut dyn Words, parts: &mut Vec<Part>) {
        self.state = State::Over;
        self.queue.clear();
        if let Some(open) = self.open.take() {
            self.keep(open.what);
        }
        self.turn.record(words);
        event::failed("api_error", &format!("portcullis: {}", why.0), parts);
        parts.push(Part::Broken(why));
    }

    fn on_event(&mut self, event: &Event, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        // Clients pass over an event without a name.
        let Some(name) = &event.name else { return Ok(()) };
        let node = json::read(event.data.as_bytes()).map_err(|_| UNREADABLE)?;
        if text(&node, "type")? != name {
            return Err(STRANGE);
        }
        let Some(name) = Name::of(name) else { return Ok(()) };
        match (name, self.state, &self.open) {
            (Name::Ping, State::Stopped, _) => Ok(()),
            (Name::Ping, _, _) => {
                event::ping(parts);
                Ok(())
            }
            (Name::Error, _, _) => {
                let (kind, message) = super::answer::told(&node, words).ok_or(STRANGE)?;
                event::failed(&kind, &message, parts);
                self.state = State::Over;
                self.turn.record(words);
                parts.push(Part::Broken(Unfit("the provider of the model broke off with an error")));
                Ok(())
            }
            (Name::MessageStart, State::Fresh, None) => self.message_start(&node, &event.data, words, parts),
            (Name::BlockStart, State::Blocks, None) => self.block_start(&node, &event.data, words, parts),
            (Name::BlockDelta, State::Blocks, Some(_)) => self.block_delta(&node, &event.data, words, parts),
            (Name::BlockStop, State::Blocks, Some(_)) => self.block_stop(&node, words, parts),
            (Name::MessageDelta, State::Blocks | State::Ending, None) => {
                self.message_delta(&node, &event.data, words, parts)
            }
            (Name::MessageStop, State::Ending, None) => {
                self.state = State::Stopped;
                event::written(Name::MessageStop, r#"{"type":"message_stop"}"#, parts);
                Ok(())
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
            ) => Err(STRANGE),
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
        let masked = words::masked(node, data, words).map_err(|_| UNREADABLE)?;
        event::written(Name::MessageStart, &masked, parts);
        self.state = State::Blocks;
        self.used(message.get("usage"), parts);
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
        let mut edits = Edits::default();
        words::mask(node, data, words, &mut edits).map_err(|_| UNREADABLE)?;
        if let Some(reason) = delta.get("stop_reason")
            && let Some(instead) = reason.text().and_then(|said| self.turn.stop_reason(said))
        {
            edits.replace(reason.span.clone(), quoted(instead));
        }
        event::written(Name::MessageDelta, &edits.apply(data).ok_or(STRANGE)?, parts);
        self.state = State::Ending;
        self.used(node.get("usage"), parts);
        Ok(())
    }

    /// Counts are of the whole answer so far, wherever they are given.
    fn used(&mut self, usage: Option<&Node>, parts: &mut Vec<Part>) {
        let Some(usage) = usage else { return };
        super::answer::count(usage, &mut self.usage);
        parts.push(Part::Used(self.usage));
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
        let stream = self.stream();
        let what = match kind(text(block, "type")?) {
            Some(Kind::Text) => {
                started(self.out, r#"{"type":"text","text":""}"#, parts);
                let mut said = String::new();
                let given = block.get("text").and_then(Node::text).unwrap_or_default();
                self.say("text_delta", "text", given, &mut said, stream, words, parts)?;
                What::Text { delta: "text_delta", member: "text", said }
            }
            Some(Kind::Compaction) => {
                started(self.out, r#"{"type":"compaction","content":null}"#, parts);
                let mut said = String::new();
                let given = block.get("content").and_then(Node::text).unwrap_or_default();
                self.say("compaction_delta", "content", given, &mut said, stream, words, parts)?;
                What::Text { delta: "compaction_delta", member: "content", said }
            }
            Some(Kind::Thinking) => {
                started(self.out, r#"{"type":"thinking","thinking":"","signature":""}"#, parts);
                let given = |member: &str| block.get(member).and_then(Node::text).unwrap_or_default().to_owned();
                let mut what = What::Thinking { said: String::new(), signature: String::new(), waits: words.binds() };
                self.think(&mut what, &given("thinking"), &given("signature"), parts)?;
                what
            }
            Some(Kind::Redacted) => {
                started(self.out, &redacted(block)?, parts);
                What::Whole
            }
            Some(Kind::Result) if !self.turn.is_of_refused(block) => {
                started(self.out, &words::masked(block, data, words).map_err(|_| UNREADABLE)?, parts);
                self.turn.keep(data.get(block.span.clone()).unwrap_or_default().to_owned());
                What::Whole
            }
            Some(Kind::Call) => {
                let mut call = Call::read(block)?;
                // The input comes in pieces; where it is whole at the start, there is something in it.
                if let Some(input) = block.get("input").filter(|input| !input.members().is_empty()) {
                    data.get(input.span.clone()).unwrap_or_default().clone_into(&mut call.input);
                }
                What::Call(call)
            }
            Some(Kind::Result) | None => What::Dropped,
        };
        self.open = Some(Open { index: self.next - 1, what });
        Ok(())
    }

    fn block_delta(
        &mut self,
        node: &Node,
        data: &str,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        let mut open = self.open.take().filter(|open| index(node) == Ok(open.index)).ok_or(STRANGE)?;
        let delta = node.get("delta").ok_or(STRANGE)?;
        let kind = text(delta, "type")?;
        let stream = self.stream();
        match &mut open.what {
            What::Text { delta: "text_delta", .. } if kind == "citations_delta" => {
                let citation = delta.get("citation").ok_or(STRANGE)?;
                let masked = words::masked(citation, data, words).map_err(|_| UNREADABLE)?;
                event::cited(self.out, &masked, parts);
            }
            What::Text { delta: known, member, said } if kind == *known => {
                // A compaction that came to nothing has no text.
                let given = delta.get(member).and_then(Node::text).unwrap_or_default();
                self.say(known, member, given, said, stream, words, parts)?;
            }
            thinking @ What::Thinking { .. } if kind == "thinking_delta" => {
                self.think(thinking, text(delta, "thinking")?, "", parts)?;
            }
            thinking @ What::Thinking { .. } if kind == "signature_delta" => {
                self.think(thinking, "", text(delta, "signature")?, parts)?;
            }
            What::Call(call) if kind == "input_json_delta" => {
                call.input.push_str(text(delta, "partial_json")?);
                if call.input.len() > tools::LONGEST {
                    return Err(TOO_LONG);
                }
            }
            What::Dropped => {}
            What::Text { .. } | What::Thinking { .. } | What::Call(_) | What::Asked(_) | What::Whole => {
                return Err(STRANGE);
            }
        }
        self.open = Some(open);
        Ok(())
    }

    fn block_stop(&mut self, node: &Node, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let open = self.open.take().filter(|open| index(node) == Ok(open.index)).ok_or(STRANGE)?;
        match &open.what {
            What::Text { delta, member, .. } => {
                let rest = words.last(self.stream());
                if !rest.is_empty() {
                    wrote(self.out, delta, member, &rest, parts);
                }
            }
            What::Thinking { said, signature, waits: true } => {
                if !said.is_empty() && words::string(said, words).is_none() {
                    wrote(self.out, "thinking_delta", "thinking", said, parts);
                }
                if !signature.is_empty() {
                    wrote(self.out, "signature_delta", "signature", signature, parts);
                }
            }
            What::Thinking { .. } | What::Whole | What::Asked(_) => {}
            What::Dropped => return Ok(()),
            What::Call(_) => return self.propose(open, parts),
        }
        stopped(self.out, parts);
        self.out += 1;
        self.keep(open.what);
        Ok(())
    }

    fn propose(&mut self, open: Open, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let Open { index, what: What::Call(mut call) } = open else { return Err(STRANGE) };
        if call.input.is_empty() {
            call.input.push_str("{}");
        }
        self.turn.count(&call)?;
        parts.push(Part::Propose(Box::new(call.command(&self.tools))));
        self.open = Some(Open { index, what: What::Asked(call) });
        Ok(())
    }

    /// What may pass of a text now.
    #[expect(clippy::too_many_arguments, reason = "a text has a place in the stream, in the record and in the masks")]
    fn say(
        &self,
        delta: &str,
        member: &str,
        given: &str,
        said: &mut String,
        stream: u32,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        if given.is_empty() {
            return Ok(());
        }
        // The record bounds it further; what is said is not bounded.
        if said.len() < tools::LONGEST {
            said.push_str(given);
        }
        let shown = words.piece(stream, given);
        if !shown.is_empty() {
            wrote(self.out, delta, member, &shown, parts);
        }
        Ok(())
    }

    fn think(&self, what: &mut What, thought: &str, signed: &str, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let What::Thinking { said, signature: whole, waits } = what else { return Err(STRANGE) };
        let signed = signature(signed)?;
        if said.len() + thought.len() + whole.len() + signed.len() <= tools::LONGEST {
            said.push_str(thought);
            whole.push_str(signed);
        } else if *waits {
            return Err(TOO_LONG);
        }
        if !*waits {
            if !thought.is_empty() {
                wrote(self.out, "thinking_delta", "thinking", thought, parts);
            }
            if !signed.is_empty() {
                wrote(self.out, "signature_delta", "signature", signed, parts);
            }
        }
        Ok(())
    }

    /// The record keeps a block that has stopped.
    fn keep(&mut self, what: What) {
        match what {
            What::Text { member, said, .. } => {
                let kind = if member == "text" { "text" } else { "compaction" };
                self.turn.keep(format!(r#"{{"type":"{kind}","{member}":{}}}"#, quoted(&said)));
            }
            What::Thinking { said, .. } => {
                self.turn.keep(format!(r#"{{"type":"thinking","thinking":{}}}"#, quoted(&said)));
            }
            What::Call(_) | What::Asked(_) | What::Whole | What::Dropped => {}
        }
    }

    /// Each block is a stream of its own to the masks.
    fn stream(&self) -> u32 {
        u32::try_from(self.out).unwrap_or(u32::MAX)
    }

    pub(super) fn keep_alive() -> bytes::Bytes {
        sse::comment("waiting for approval")
    }
}

fn index(node: &Node) -> Result<usize, Unfit> {
    node.get("index").and_then(Node::number).and_then(|index| usize::try_from(index).ok()).ok_or(STRANGE)
}
