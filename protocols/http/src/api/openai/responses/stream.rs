//! A streamed answer, event by event.
//!
//! Promises: every event is read strictly and written anew, with numbers that have no gaps; the response begins once, its
//! items come one after the other, and an answer that breaks that order breaks off. What its last event repeats is what was
//! released. What the answer used is known then: one that broke off before has used what was taken for it. Does not know
//! what an item is: `open.rs` does.
//! Held by: `tests.rs`.

mod event;
mod open;
mod said;

use super::super::answer::or_null;
use super::answer::{self, ITEMS, Responses};
use super::facts::facts;
use super::item::{self, Ids, Spoken};
use crate::api::model::{self, Dialect, Failure, Grammar, STRANGE, Told, Turn, UNREADABLE, Wanted};
use crate::api::{Part, Unfit, Words};
use crate::json::{self, Node, Value, quoted};
use crate::sse::{self, Event};
use crate::tools::ToolTable;
use event::{Name, Out};
use open::{Asked, Open, Place, Whole};
use portcullis_model::Denial;
use std::collections::VecDeque;
use std::sync::Arc;

pub(super) struct Stream {
    tools: Arc<ToolTable>,
    wanted: Wanted,
    state: State,
    /// Of the response.
    id: String,
    open: Option<Open>,
    /// Its verdict is awaited.
    asked: Option<Asked>,
    /// The items as they were released.
    items: Vec<String>,
    ids: Ids,
    out: Out,
    turn: Turn,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    /// `response.created` came.
    Created,
    /// `response.in_progress` came, or an item.
    Items,
    Over,
}

impl Grammar for Stream {
    fn on_event(
        &mut self,
        event: &Event,
        _queue: &mut VecDeque<Event>,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Failure> {
        let (node, data) = (json::read(event.data.as_bytes()).map_err(|_| UNREADABLE)?, event.data.as_str());
        if node.get("error").is_some_and(|error| error.value != Value::Null) {
            return Err(model::error(&node, words));
        }
        // Clients go by the type and not by the name.
        let kind = model::word(&node, "type")?;
        if event.name.as_ref().is_some_and(|name| name != kind) {
            return Err(STRANGE.into());
        }
        let name = Name::of(kind).ok_or(STRANGE)?;
        match (name, self.state) {
            (Name::Error, _) => return Err(model::failure(&node, "code", words)),
            (Name::Created, State::Fresh) | (Name::InProgress, State::Created) => {
                self.begun(name, &node, data, words, parts)?;
            }
            (Name::KeepAlive, State::Created | State::Items) => parts.push(Part::Data(sse::comment("keepalive"))),
            (Name::ItemAdded, State::Created | State::Items) => self.added(&node, words, parts)?,
            (Name::ItemDone, State::Items) => self.ended(&node, data, words, parts)?,
            (Name::Completed | Name::Incomplete | Name::Failed, State::Created | State::Items) => {
                self.over(name, &node, data, words, parts)?;
            }
            (name, State::Items) if name.is_within() => self.within(name, &node, data, words, parts)?,
            (_, State::Fresh | State::Created | State::Items | State::Over) => return Err(STRANGE.into()),
        }
        Ok(())
    }

    fn settled(
        &mut self,
        verdict: Result<(), &Denial>,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        let asked = self.asked.take().ok_or(STRANGE)?;
        let mut place = Place { index: self.items.len(), words, parts, out: &mut self.out };
        let item = asked.settle(verdict, Spoken::refused(self.wanted), &mut place)?;
        self.items.push(item);
        Ok(())
    }

    fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    fn is_whole(&self) -> bool {
        self.state == State::Over
    }

    fn error(&self, told: &Told) -> Event {
        // Some clients read it as an event of the API, others know errors by this member.
        let (number, error) = (self.out.number(), Responses::error(told));
        let nested = error.strip_prefix('{').unwrap_or_default();
        let code = quoted(told.code.as_deref().unwrap_or(&told.kind));
        let (message, param) = (quoted(&told.message), or_null(told.param.as_deref()));
        let data = format!(
            r#"{{"type":"error","sequence_number":{number},"code":{code},"message":{message},"param":{param},{nested}"#
        );
        Event::new(Some(Name::Error.word()), data)
    }

    fn record(&mut self, broke: Option<&Unfit>, words: &mut dyn Words) {
        if let Some(open) = self.open.take() {
            open.keep(self.items.len(), &mut self.turn);
        }
        self.turn.record(broke, &facts().spared, words);
    }
}

impl Stream {
    pub(super) fn new(wanted: Wanted, tools: Arc<ToolTable>) -> Self {
        Self {
            tools,
            wanted,
            state: State::Fresh,
            id: String::new(),
            open: None,
            asked: None,
            items: Vec::new(),
            ids: Ids::default(),
            out: Out::default(),
            turn: Turn::default(),
        }
    }

    /// The response, before it has items.
    fn begun(
        &mut self,
        name: Name,
        node: &Node,
        data: &str,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        let response = node.get("response").ok_or(STRANGE)?;
        let id = answer::id(response)?;
        if self.state == State::Fresh {
            id.clone_into(&mut self.id);
        }
        let begins = model::reason(response.get("status"))?.is_none_or(|status| status == "in_progress");
        if id != self.id || !begins || !model::elements(response, "output")?.is_empty() {
            return Err(STRANGE);
        }
        self.state = if self.state == State::Fresh { State::Created } else { State::Items };
        let written = answer::written(response, data, &[], words)?;
        self.out.event(name, &format!(r#""response":{written}"#), parts);
        Ok(())
    }

    /// An item begins.
    fn added(&mut self, node: &Node, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        self.state = State::Items;
        let index = self.items.len();
        if self.open.is_some() || number(node, "output_index")? != index || index >= ITEMS {
            return Err(STRANGE);
        }
        let item = node.get("item").ok_or(STRANGE)?;
        self.ids.take(item::id(item)?)?;
        self.open = Some(Open::start(item, &mut self.turn, &mut Place { index, words, parts, out: &mut self.out })?);
        Ok(())
    }

    /// The item goes on.
    fn within(
        &mut self,
        name: Name,
        node: &Node,
        data: &str,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        let index = self.items.len();
        let open = self.open.as_mut().ok_or(STRANGE)?;
        if number(node, "output_index")? != index || model::word(node, "item_id")? != open.id() {
            return Err(STRANGE);
        }
        let mut place = Place { index, words, parts, out: &mut self.out };
        open.on(name, node, data, &mut self.turn, &mut place)
    }

    /// An item is whole.
    fn ended(&mut self, node: &Node, data: &str, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let index = self.items.len();
        let item = node.get("item").ok_or(STRANGE)?;
        let is_open = |open: &mut Open| number(node, "output_index") == Ok(index) && item::id(item) == Ok(open.id());
        let open = self.open.take_if(is_open).ok_or(STRANGE)?;
        let mut place = Place { index, words, parts, out: &mut self.out };
        match open.end(item, data, &self.tools, &mut self.turn, &mut place)? {
            Whole::Shown(item) => self.items.push(item),
            Whole::Asks(mut asked) => {
                self.ids.take(asked.call.id())?;
                self.turn.count()?;
                parts.push(asked.call.propose()?);
                self.asked = Some(*asked);
            }
        }
        Ok(())
    }

    /// The response is over, one way or the other.
    fn over(
        &mut self,
        name: Name,
        node: &Node,
        data: &str,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Failure> {
        let response = node.get("response").ok_or(STRANGE)?;
        if let (Name::Failed, Some(_), Some(error)) = (name, &self.open, response.get("error")) {
            // What came of the item is no item.
            return Err(model::failure(error, "code", words));
        }
        let said = model::elements(response, "output")?.len();
        let is_ours =
            answer::id(response)? == self.id && item::status(response)? == name.word().strip_prefix("response.");
        if self.open.is_some() || !is_ours || (said != 0 && said != self.items.len()) {
            return Err(STRANGE.into());
        }
        let usage = response.get("usage").filter(|usage| matches!(usage.value, Value::Object(_)));
        parts.extend(usage.map(|usage| Part::Used(Responses::count(usage))));
        let written = answer::written(response, data, &self.items, words)?;
        self.out.event(name, &format!(r#""response":{written}"#), parts);
        answer::keep_error(response, &mut self.turn);
        self.state = State::Over;
        Ok(())
    }
}

fn number(node: &Node, name: &str) -> Result<usize, Unfit> {
    node.get(name).and_then(Node::number).and_then(|number| usize::try_from(number).ok()).ok_or(STRANGE)
}
