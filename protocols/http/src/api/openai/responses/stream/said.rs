//! The texts of an item of a streamed answer.
//!
//! Promises: text passes as it comes but for what a match or a document may still need, and what is said of it once more is
//! what passed; a copy that says something else than its pieces breaks the answer off. The record gets what was said,
//! without a gap, and the sources of it.
//! Held by: `tests.rs` of the API.

use super::super::answer::ITEMS;
use super::super::facts::facts;
use super::super::item::{self, Kind, REFUSAL, SUMMARY, Spoken, TEXT, THOUGHT};
use super::event::Name;
use super::number;
use super::open::Place;
use crate::api::Unfit;
use crate::api::model::{self, STRANGE, Speech, Turn, UNREADABLE};
use crate::json::{Node, Value, quoted};

/// An item of texts.
pub(super) struct Speaker {
    kind: Kind,
    id: String,
    /// The parts that are whole, as they were released.
    summary: Vec<String>,
    content: Vec<String>,
    part: Option<Said>,
}

impl Speaker {
    pub(super) const fn new(kind: Kind, id: String) -> Self {
        Self { kind, id, summary: Vec::new(), content: Vec::new(), part: None }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// For the record, as far as it came: parts that are whole are there.
    pub(super) fn keep(self, index: usize, turn: &mut Turn) {
        if let Some(part) = self.part {
            part.keep(index, turn);
        }
    }

    fn list(&mut self, name: &str) -> &mut Vec<String> {
        if name == SUMMARY.list { &mut self.summary } else { &mut self.content }
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
        let list = match name {
            Name::PartAdded => TEXT.list,
            Name::SummaryAdded => SUMMARY.list,
            _ => {
                let part = self.part.as_mut().ok_or(STRANGE)?;
                if !part.on(name, node, data, &self.id, place)? {
                    return Ok(());
                }
                let part = self.part.take().ok_or(STRANGE)?;
                let written = part.end(&self.id, turn, place);
                self.list(part.spoken.list).push(written);
                return Ok(());
            }
        };
        let part = node.get("part").ok_or(STRANGE)?;
        let spoken = Spoken::of(part, self.kind, list)?;
        let at = self.list(list).len();
        if self.part.is_some() || number(node, index(spoken))? != at || at >= ITEMS || !spoken.said(part)?.is_empty() {
            return Err(STRANGE);
        }
        let speech = Speech::new(place.out.text());
        let said =
            Said { spoken, at, speech, shown: String::new(), sources: Vec::new(), cited: Vec::new(), over: false };
        said.tell(name, &format!(r#""part":{}"#, spoken.written("", &[])), &self.id, place);
        self.part = Some(said);
        Ok(())
    }

    /// The item, of what was released of it.
    pub(super) fn end(
        self,
        kind: Kind,
        item: &Node,
        status: Option<&str>,
        turn: &mut Turn,
        place: &Place<'_>,
    ) -> Result<String, Unfit> {
        let Self { id, summary, content, part, .. } = self;
        if let Some(part) = part {
            part.keep(place.index, turn);
            return Err(STRANGE);
        }
        let agrees = |name: &str, parts: &[String]| Ok(model::elements(item, name)?.len() == parts.len());
        if kind != self.kind || !agrees("content", &content)? || !agrees("summary", &summary)? {
            return Err(STRANGE);
        }
        if kind == Kind::Message {
            return Ok(item::message(&id, status.unwrap_or("completed"), item::phase(item)?, &content));
        }
        let sealed = item::sealed(item)?;
        if let Some(sealed) = sealed {
            let (index, sealed) = (place.index, quoted(sealed));
            turn.keep(format!(r#"{{"item":{index},"type":"reasoning","encrypted_content":{sealed}}}"#));
        }
        Ok(item::reasoning(&id, status, &summary, &content, sealed))
    }
}

/// The names of the events of a text: of its pieces, of the whole text, of the whole part.
pub(super) fn names(spoken: &Spoken) -> [Name; 3] {
    match spoken {
        text if *text == REFUSAL => [Name::RefusalDelta, Name::RefusalDone, Name::PartDone],
        text if *text == SUMMARY => [Name::SummaryDelta, Name::SummaryTextDone, Name::SummaryDone],
        text if *text == THOUGHT => [Name::ThoughtDelta, Name::ThoughtDone, Name::PartDone],
        _ => [Name::TextDelta, Name::TextDone, Name::PartDone],
    }
}

/// Where clients look for likelihoods: they would say the text again.
pub(super) fn likely(spoken: &Spoken) -> &'static str {
    if *spoken == TEXT { r#","logprobs":[]"# } else { "" }
}

/// The member that says which part it is.
fn index(spoken: &Spoken) -> &'static str {
    if *spoken == SUMMARY { "summary_index" } else { "content_index" }
}

/// A text, and its sources as they were released and as they came.
struct Said {
    spoken: &'static Spoken,
    at: usize,
    speech: Speech,
    shown: String,
    sources: Vec<String>,
    cited: Vec<String>,
    /// It was said as a whole.
    over: bool,
}

impl Said {
    /// Says something of this part.
    fn tell(&self, name: Name, members: &str, id: &str, place: &mut Place<'_>) {
        place.within(name, id, &format!(r#""{}":{},{members}"#, index(self.spoken), self.at));
    }

    /// It goes on; whether it is whole now.
    fn on(&mut self, name: Name, node: &Node, data: &str, id: &str, place: &mut Place<'_>) -> Result<bool, Unfit> {
        if number(node, index(self.spoken))? != self.at {
            return Err(STRANGE);
        }
        let [delta, done, end] = names(self.spoken);
        match name {
            name if name == delta && !self.over => {
                let piece = node.get("delta").and_then(Node::text).ok_or(STRANGE)?;
                let shown = self.speech.push(piece, place.words)?;
                self.show(&shown, id, place)?;
            }
            name if name == done && !self.over => {
                self.agrees(node)?;
                let rest = self.speech.end(place.words);
                self.show(&rest, id, place)?;
                self.over = true;
                let text = format!(r#""{}":{}{}"#, self.spoken.member, quoted(&self.shown), likely(self.spoken));
                self.tell(done, &text, id, place);
            }
            Name::SourceAdded if *self.spoken == TEXT => self.cite(node, data, id, place)?,
            name if name == end && self.over => {
                let part = node.get("part").ok_or(STRANGE)?;
                if part.get("type").and_then(Node::text) != Some(self.spoken.kind) {
                    return Err(STRANGE);
                }
                self.agrees(part)?;
                return Ok(true);
            }
            _ => return Err(STRANGE),
        }
        Ok(false)
    }

    /// A copy says what the pieces did, as far as that is known.
    fn agrees(&self, copy: &Node) -> Result<(), Unfit> {
        let said = self.spoken.said(copy)?;
        if self.speech.is_kept() && said != self.speech.said() { Err(STRANGE) } else { Ok(()) }
    }

    fn show(&mut self, shown: &str, id: &str, place: &mut Place<'_>) -> Result<(), Unfit> {
        if shown.is_empty() {
            return Ok(());
        }
        self.shown.push_str(shown);
        let [delta, ..] = names(self.spoken);
        self.tell(delta, &format!(r#""delta":{}{}"#, quoted(shown), likely(self.spoken)), id, place);
        place.out.hold(shown.len())
    }

    /// It has a source.
    fn cite(&mut self, node: &Node, data: &str, id: &str, place: &mut Place<'_>) -> Result<(), Unfit> {
        let Some(source) = node.get("annotation").filter(|source| source.value != Value::Null) else { return Ok(()) };
        if !item::is_source(source) {
            return Ok(());
        }
        let masked = facts().spared.masked(source, data, place.words).map_err(|_| UNREADABLE)?;
        self.tell(
            Name::SourceAdded,
            &format!(r#""annotation_index":{},"annotation":{masked}"#, self.sources.len()),
            id,
            place,
        );
        let said = data.get(source.span.clone()).unwrap_or("null");
        place.out.hold(masked.len().saturating_add(said.len()))?;
        self.sources.push(masked);
        self.cited.push(said.to_owned());
        Ok(())
    }

    /// It is whole: as it was released.
    fn end(&self, id: &str, turn: &mut Turn, place: &mut Place<'_>) -> String {
        let [.., end] = names(self.spoken);
        let written = self.spoken.written(&self.shown, &self.sources);
        self.tell(end, &format!(r#""part":{written}"#), id, place);
        self.keep(place.index, turn);
        written
    }

    fn keep(&self, index: usize, turn: &mut Turn) {
        let about = self.spoken.about(index);
        turn.keep_speech(&about, self.spoken.member, &self.speech);
        if !self.cited.is_empty() {
            turn.keep(format!(r#"{{{about},"annotations":[{}]}}"#, self.cited.join(",")));
        }
    }
}
