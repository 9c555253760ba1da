//! The item of a streamed answer that is not whole.
//!
//! Promises: a call waits from the start of its item to its verdict, and what the provider searched for waits to its end;
//! what a call is released as is what was judged. Texts pass as they come: `said.rs` says how.
//! Held by: `tests.rs` of the API.

use super::super::facts::facts;
use super::super::item::{self, Kind, Spoken};
use super::event::{Name, Out};
use super::said::{Speaker, likely, names};
use crate::api::model::{self, Call, LONG_CALL, Ready, STRANGE, Turn, UNREADABLE};
use crate::api::{Part, Unfit, Words};
use crate::json::{Node, quoted};
use crate::tools::{self, ToolTable};
use portcullis_model::Denial;

/// Where an item goes.
pub(super) struct Place<'a> {
    pub(super) index: usize,
    pub(super) words: &'a mut dyn Words,
    pub(super) parts: &'a mut Vec<Part>,
    pub(super) out: &'a mut Out,
}

impl Place<'_> {
    /// An item begins.
    fn added(&mut self, item: &str) {
        self.out.event(Name::ItemAdded, &format!(r#""output_index":{},"item":{item}"#, self.index), self.parts);
    }

    /// It is whole, and is said again at the end.
    fn done(&mut self, item: &str) -> Result<(), Unfit> {
        self.out.event(Name::ItemDone, &format!(r#""output_index":{},"item":{item}"#, self.index), self.parts);
        self.out.hold(item.len())
    }

    /// Something within the item of this id.
    pub(super) fn within(&mut self, name: Name, id: &str, members: &str) {
        let members = format!(r#""item_id":{},"output_index":{},{members}"#, quoted(id), self.index);
        self.out.event(name, &members, self.parts);
    }
}

pub(super) enum Open {
    /// Texts that pass as they come: a message or reasoning.
    Spoken(Speaker),
    Call(Called),
    /// What the provider searches for, by its id.
    Search(String),
}

/// What has become of an item.
pub(super) enum Whole {
    Shown(String),
    /// It is a call, which is asked about.
    Asks(Box<Asked>),
}

impl Open {
    /// An item begins, in which there is nothing yet.
    pub(super) fn start(item: &Node, turn: &mut Turn, place: &mut Place<'_>) -> Result<Self, Unfit> {
        let (kind, id) = (item::kind(item)?, item::id(item)?.to_owned());
        for list in ["content", "summary"] {
            if !model::elements(item, list)?.is_empty() {
                return Err(STRANGE);
            }
        }
        Ok(match kind {
            Kind::Message => {
                place.added(&item::message(&id, "in_progress", item::phase(item)?, &[]));
                Self::Spoken(Speaker::new(kind, id))
            }
            Kind::Reasoning => {
                place.added(&item::reasoning(&id, None, &[], &[], None));
                Self::Spoken(Speaker::new(kind, id))
            }
            Kind::Call => {
                let call =
                    item::call(item).and_then(|call| if call.input.is_empty() { Ok(call) } else { Err(STRANGE) });
                let call = call.inspect_err(|_| {
                    let name = item.get("name").and_then(Node::text).unwrap_or_default();
                    turn.keep_unasked(&about(place.index), "function", name);
                })?;
                Self::Call(Called { id, call, said: false })
            }
            Kind::Search => Self::Search(id),
        })
    }

    /// The id of the item.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Spoken(speaker) => speaker.id(),
            Self::Call(Called { id, .. }) | Self::Search(id) => id,
        }
    }

    /// It goes on.
    pub(super) fn on(
        &mut self,
        name: Name,
        node: &Node,
        data: &str,
        turn: &mut Turn,
        place: &mut Place<'_>,
    ) -> Result<(), Unfit> {
        match self {
            Self::Spoken(speaker) => speaker.on(name, node, data, turn, place),
            Self::Call(called) => called.on(name, node),
            // They say nothing but that it goes on.
            Self::Search(_) if matches!(name, Name::SearchBegan | Name::Searching | Name::SearchDone) => Ok(()),
            Self::Search(_) => Err(STRANGE),
        }
    }

    /// It is whole, as this item says.
    pub(super) fn end(
        self,
        item: &Node,
        data: &str,
        tools: &ToolTable,
        turn: &mut Turn,
        place: &mut Place<'_>,
    ) -> Result<Whole, Unfit> {
        let (kind, status) = (item::kind(item)?, item::status(item)?);
        let written = match self {
            Self::Call(called) => {
                let index = place.index;
                if kind != Kind::Call || item::call(item).as_ref().map(is_of) != Ok(is_of(&called.call)) {
                    turn.keep_unasked(&about(index), &called.call.kind, &called.call.name);
                    return Err(STRANGE);
                }
                let call = turn.ready(&about(index), called.call, tools, place.words)?;
                let status = status.unwrap_or("completed").to_owned();
                return Ok(Whole::Asks(Box::new(Asked { id: called.id, status, call })));
            }
            Self::Spoken(speaker) => speaker.end(kind, item, status, turn, place)?,
            Self::Search(id) => {
                let action = item::action(item)?;
                if kind != Kind::Search {
                    return Err(STRANGE);
                }
                let (index, said) = (place.index, data.get(action.span.clone()).unwrap_or("null"));
                turn.keep(format!(r#"{{"item":{index},"type":"web_search_call","action":{said}}}"#));
                let masked = facts().spared.masked(action, data, place.words).map_err(|_| UNREADABLE)?;
                place.added(&item::search(&id, "in_progress", &masked));
                item::search(&id, status.unwrap_or("completed"), &masked)
            }
        };
        place.done(&written)?;
        Ok(Whole::Shown(written))
    }

    /// For the record, as far as it came.
    pub(super) fn keep(self, index: usize, turn: &mut Turn) {
        match self {
            Self::Spoken(speaker) => speaker.keep(index, turn),
            Self::Call(called) => turn.keep_unasked(&about(index), &called.call.kind, &called.call.name),
            Self::Search(_) => {}
        }
    }
}

fn about(index: usize) -> String {
    format!(r#""item":{index},"#)
}

/// What makes a call that one.
fn is_of(call: &Call) -> (&str, &str, &str) {
    (&call.id, &call.name, &call.input)
}

/// A call that is not whole.
pub(super) struct Called {
    id: String,
    call: Call,
    /// Its arguments were said as a whole.
    said: bool,
}

impl Called {
    fn on(&mut self, name: Name, node: &Node) -> Result<(), Unfit> {
        let text = |member: &str| node.get(member).and_then(Node::text).ok_or(STRANGE);
        match name {
            Name::CallDelta if !self.said => {
                self.call.input.push_str(text("delta")?);
                if self.call.input.len() > tools::LONGEST { Err(LONG_CALL) } else { Ok(()) }
            }
            Name::CallDone if !self.said && text("arguments")? == self.call.input => {
                self.said = true;
                Ok(())
            }
            _ => Err(STRANGE),
        }
    }
}

/// A call that waits for its verdict.
pub(super) struct Asked {
    id: String,
    status: String,
    pub(super) call: Ready,
}

impl Asked {
    /// The item that is released: the call, or a message that says why it is not, in a text of this kind.
    pub(super) fn settle(
        self,
        verdict: Result<(), &Denial>,
        spoken: &Spoken,
        place: &mut Place<'_>,
    ) -> Result<String, Unfit> {
        let Self { id, status, call } = self;
        let item = match call.settle(verdict) {
            Ok(()) => {
                place.added(&item::called(&id, "in_progress", &call, ""));
                let input = quoted(call.input());
                place.within(Name::CallDelta, &id, &format!(r#""delta":{input}"#));
                let name = quoted(call.name());
                place.within(Name::CallDone, &id, &format!(r#""name":{name},"arguments":{input}"#));
                item::called(&id, &status, &call, call.input())
            }
            Err(refusal) => {
                let id = item::instead_of(&call);
                place.added(&item::message(&id, "in_progress", None, &[]));
                let (text, member, likely) = (quoted(&refusal), spoken.member, likely(spoken));
                let [delta, done, end] = names(spoken);
                let part = |text: &str| format!(r#""content_index":0,"part":{}"#, spoken.written(text, &[]));
                place.within(Name::PartAdded, &id, &part(""));
                place.within(delta, &id, &format!(r#""content_index":0,"delta":{text}{likely}"#));
                place.within(done, &id, &format!(r#""content_index":0,"{member}":{text}{likely}"#));
                place.within(end, &id, &part(&refusal));
                item::message(&id, "completed", None, &[spoken.written(&refusal, &[])])
            }
        };
        place.done(&item)?;
        Ok(item)
    }
}
