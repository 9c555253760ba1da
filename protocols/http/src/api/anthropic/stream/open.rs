//! The block of a streamed answer that has not stopped.
//!
//! Promises: text passes as it comes but for what a match or a document may still need; a tool call waits from its start to
//! its verdict, since clients run it when it stops; thinking waits while a mask binds, and is left out (its signature
//! stays) where a mask finds something in it, because it cannot be changed. A compaction waits, since clients take the last
//! piece of it for the whole. The record gets what was said, without a gap, and the sources of it.
//! Held by: `tests.rs` of the API.

use super::super::block::{Calls, Kind, call, given, is_blank, kind, redacted, shown, signature, text};
use super::super::facts::facts;
use super::event::{self, started, wrote};
use crate::api::model::{self, Call, Ready, STRANGE, Speech, Turn, UNREADABLE, is_sealed};
use crate::api::{Part, Unfit, Words};
use crate::json::{Node, Value, quoted};
use crate::tools::{self, ToolTable};

const TOO_LONG: Unfit = Unfit("a block of the model's answer is too long");

/// Where a block goes.
pub(super) struct Place<'a> {
    /// Its number, as it leaves.
    pub(super) out: usize,
    pub(super) words: &'a mut dyn Words,
    pub(super) parts: &'a mut Vec<Part>,
}

pub(super) enum Open {
    /// Text that passes as it comes.
    Text(Said),
    Compaction(Summary),
    Thinking(Thought),
    Call(Call),
    /// Came whole with its start: this, for the record.
    Whole(String),
    Dropped,
}

/// What has become of a block.
pub(super) enum Stopped {
    Shown,
    Dropped,
    /// It is a call, which is asked about.
    Asks(Box<Ready>),
}

/// A text, and its sources as they came.
pub(super) struct Said {
    speech: Speech,
    cited: Vec<String>,
    /// Bytes of them.
    size: usize,
}

/// What the provider made of earlier turns.
#[derive(Default)]
pub(super) struct Summary {
    /// What it began with besides, as it came.
    begun: Option<String>,
    said: Option<String>,
    sealed: Option<String>,
}

/// Thinking, and its signature.
pub(super) struct Thought {
    said: String,
    signature: String,
    /// A mask binds.
    waits: bool,
    /// Not all that was said is kept.
    cut: bool,
}

impl Open {
    /// A block begins.
    pub(super) fn start(block: &Node, data: &str, calls: &Calls, place: &mut Place<'_>) -> Result<Self, Unfit> {
        let given = |member: &str| given(block, member).map(Option::unwrap_or_default);
        Ok(match kind(text(block, "type")?) {
            Some(Kind::Text) => {
                started(place.out, r#"{"type":"text","text":""}"#, place.parts);
                let speech = Speech::new(u32::try_from(place.out).unwrap_or(u32::MAX));
                let mut said = Said { speech, cited: Vec::new(), size: 0 };
                said.say(given("text")?, place)?;
                Self::Text(said)
            }
            Some(Kind::Compaction) => Self::Compaction(Summary::start(block, data, place)?),
            Some(Kind::Thinking) => {
                started(place.out, r#"{"type":"thinking","thinking":"","signature":""}"#, place.parts);
                let waits = place.words.binds();
                let mut thought = Thought { said: String::new(), signature: String::new(), waits, cut: false };
                thought.on(given("thinking")?, given("signature")?, place)?;
                Self::Thinking(thought)
            }
            Some(Kind::Redacted) => {
                let block = redacted(block)?;
                started(place.out, &block, place.parts);
                Self::Whole(block)
            }
            Some(Kind::Result) if !calls.refused(block) => {
                let masked = facts().spared.masked(block, data, place.words).map_err(|_| UNREADABLE)?;
                started(place.out, &masked, place.parts);
                Self::Whole(data.get(block.span.clone()).unwrap_or_default().to_owned())
            }
            Some(Kind::Call) => {
                let mut call = call(block)?;
                // The input comes in pieces; where it is whole at the start, there is something in it.
                if let Some(input) = block.get("input").filter(|input| !is_blank(&input.value)) {
                    // A call without what is no object would be another one.
                    if !matches!(input.value, Value::Object(_)) {
                        return Err(STRANGE);
                    }
                    data.get(input.span.clone()).unwrap_or_default().clone_into(&mut call.input);
                }
                Self::Call(call)
            }
            Some(Kind::Result) | None => Self::Dropped,
        })
    }

    /// It goes on.
    pub(super) fn on_delta(&mut self, delta: &Node, data: &str, place: &mut Place<'_>) -> Result<(), Unfit> {
        let kind = text(delta, "type")?;
        match self {
            Self::Text(said) if kind == "citations_delta" => {
                said.cite(delta.get("citation").ok_or(STRANGE)?, data, place)
            }
            Self::Text(said) if kind == "text_delta" => said.say(given(delta, "text")?.unwrap_or_default(), place),
            Self::Compaction(summary) if kind == "compaction_delta" => summary.on(delta),
            Self::Thinking(thought) if kind == "thinking_delta" => thought.on(text(delta, "thinking")?, "", place),
            Self::Thinking(thought) if kind == "signature_delta" => thought.on("", text(delta, "signature")?, place),
            Self::Call(call) if kind == "input_json_delta" => {
                call.input.push_str(text(delta, "partial_json")?);
                if call.input.len() > tools::LONGEST { Err(TOO_LONG) } else { Ok(()) }
            }
            Self::Dropped => Ok(()),
            Self::Text(_) | Self::Compaction(_) | Self::Thinking(_) | Self::Call(_) | Self::Whole(_) => Err(STRANGE),
        }
    }

    /// It is whole. The event for that is its stream's.
    pub(super) fn stop(self, tools: &ToolTable, turn: &mut Turn, place: &mut Place<'_>) -> Result<Stopped, Unfit> {
        match self {
            Self::Call(call) => {
                return Ok(Stopped::Asks(Box::new(turn.ready("", call, tools, place.words)?)));
            }
            Self::Dropped => return Ok(Stopped::Dropped),
            Self::Text(mut said) => {
                let rest = said.speech.end(place.words);
                Said::show(&rest, place);
                said.keep(turn);
            }
            Self::Compaction(summary) => {
                summary.show(place);
                summary.keep(turn);
            }
            Self::Thinking(thought) => {
                thought.show(place);
                thought.keep(turn);
            }
            Self::Whole(block) => turn.keep(block),
        }
        Ok(Stopped::Shown)
    }

    /// For the record, as far as it came.
    pub(super) fn keep(self, turn: &mut Turn) {
        match self {
            Self::Text(said) => said.keep(turn),
            Self::Compaction(summary) => summary.keep(turn),
            Self::Thinking(thought) => thought.keep(turn),
            Self::Call(call) => turn.keep_unasked("", &call.kind, &call.name),
            Self::Whole(block) => turn.keep(block),
            Self::Dropped => {}
        }
    }
}

impl Said {
    /// What may pass of it now.
    fn say(&mut self, given: &str, place: &mut Place<'_>) -> Result<(), Unfit> {
        let shown = self.speech.push(given, place.words)?;
        Self::show(&shown, place);
        Ok(())
    }

    fn show(shown: &str, place: &mut Place<'_>) {
        if !shown.is_empty() {
            wrote(place.out, "text_delta", "text", shown, place.parts);
        }
    }

    /// It has a source.
    fn cite(&mut self, citation: &Node, data: &str, place: &mut Place<'_>) -> Result<(), Unfit> {
        let masked = facts().spared.masked(citation, data, place.words).map_err(|_| UNREADABLE)?;
        event::cited(place.out, &masked, place.parts);
        let written = data.get(citation.span.clone()).unwrap_or_default();
        self.size = self.size.saturating_add(written.len());
        if self.size <= tools::LONGEST {
            self.cited.push(written.to_owned());
        }
        Ok(())
    }

    fn keep(&self, turn: &mut Turn) {
        turn.keep_speech(r#""type":"text""#, "text", &self.speech);
        if !self.cited.is_empty() {
            turn.keep(format!(r#"{{"type":"text","citations":[{}]}}"#, self.cited.join(",")));
        }
        if self.size > tools::LONGEST {
            turn.cut();
        }
    }
}

impl Summary {
    /// It begins, mostly without its text: with a signature, and with the tools that its turns took in.
    fn start(block: &Node, data: &str, place: &mut Place<'_>) -> Result<Self, Unfit> {
        if let Some(said) = block.get("content").and_then(Node::text).filter(|said| !said.is_empty()) {
            started(place.out, r#"{"type":"compaction","content":null}"#, place.parts);
            return Ok(Self { said: Some(said.to_owned()), ..Self::default() });
        }
        let masked = facts().spared.masked(block, data, place.words).map_err(|_| UNREADABLE)?;
        started(place.out, &masked, place.parts);
        let says_more = block.members().iter().any(|(_, member)| !model::is_plain(&member.value));
        let begun = says_more.then(|| data.get(block.span.clone()).unwrap_or_default().to_owned());
        Ok(Self { begun, ..Self::default() })
    }

    /// Each piece is all of it. One that came to nothing has no text.
    fn on(&mut self, delta: &Node) -> Result<(), Unfit> {
        self.said = given(delta, "content")?.map(ToOwned::to_owned);
        let sealed = given(delta, "encrypted_content")?.map(ToOwned::to_owned);
        self.sealed = sealed.or_else(|| self.sealed.take());
        let size = self.said.as_ref().map_or(0, String::len) + self.sealed.as_ref().map_or(0, String::len);
        if size > tools::LONGEST { Err(TOO_LONG) } else { Ok(()) }
    }

    fn show(&self, place: &mut Place<'_>) {
        let said = self.said.as_ref().map(|said| model::string(said, place.words).unwrap_or_else(|| said.clone()));
        let sealed = self.sealed.as_ref().map(|sealed| {
            let masked = if is_sealed(sealed) { None } else { model::string(sealed, place.words) };
            masked.unwrap_or_else(|| sealed.clone())
        });
        if said.is_some() || sealed.is_some() {
            event::compacted(place.out, said.as_deref(), sealed.as_deref(), place.parts);
        }
    }

    fn keep(self, turn: &mut Turn) {
        if let Some(begun) = self.begun {
            turn.keep(begun);
        }
        if let Some(said) = self.said {
            turn.keep(format!(r#"{{"type":"compaction","content":{}}}"#, quoted(&said)));
        }
        if let Some(sealed) = self.sealed.filter(|sealed| !is_sealed(sealed)) {
            turn.keep(format!(r#"{{"type":"compaction","encrypted_content":{}}}"#, quoted(&sealed)));
        }
    }
}

impl Thought {
    fn on(&mut self, thought: &str, signed: &str, place: &mut Place<'_>) -> Result<(), Unfit> {
        let signed = signature(signed)?;
        let fits = self.said.len() + thought.len() + self.signature.len() + signed.len() <= tools::LONGEST;
        // Nothing is kept behind a gap: see `Speech`.
        if fits && !self.cut {
            self.said.push_str(thought);
            self.signature.push_str(signed);
        } else if self.waits {
            return Err(TOO_LONG);
        } else {
            self.cut = true;
        }
        if !self.waits {
            Self::write(thought, signed, place);
        }
        Ok(())
    }

    fn keep(&self, turn: &mut Turn) {
        turn.keep(format!(r#"{{"type":"thinking","thinking":{}}}"#, quoted(&self.said)));
        if self.cut {
            turn.cut();
        }
    }

    /// What waited.
    fn show(&self, place: &mut Place<'_>) {
        if self.waits {
            Self::write(shown(&self.said, place.words), &self.signature, place);
        }
    }

    fn write(thought: &str, signed: &str, place: &mut Place<'_>) {
        if !thought.is_empty() {
            wrote(place.out, "thinking_delta", "thinking", thought, place.parts);
        }
        if !signed.is_empty() {
            wrote(place.out, "signature_delta", "signature", signed, place.parts);
        }
    }
}
