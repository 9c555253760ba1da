//! An answer that comes as one document.
//!
//! Promises: the same becomes of each item as in a stream: the document is read strictly when it is whole, its calls are
//! asked about one after the other, and what is released is written anew of the members that are listed. Of an answer that
//! ends before, the record has the items that nobody came to. Held by: `tests.rs`.

use super::answer::{self, ITEMS};
use super::facts::facts;
use super::item::{self, Ids, Kind, Spoken};
use crate::api::model::{self, Document, Ready, STRANGE, Turn, UNREADABLE, Wanted};
use crate::api::{Part, Unfit, Words};
use crate::json::{self, Node, quoted};
use crate::tools::ToolTable;
use bytes::Bytes;
use portcullis_model::Denial;
use std::sync::Arc;

/// An answer, whole, on its way through its items.
pub(super) struct Whole {
    tools: Arc<ToolTable>,
    wanted: Wanted,
    document: String,
    /// Without its items.
    root: Node,
    /// Those that follow, and how many did not.
    items: std::vec::IntoIter<Node>,
    taken: usize,
    /// Those that pass.
    out: Vec<String>,
    ids: Ids,
    /// Its verdict is awaited: with the id and the state of its item.
    asked: Option<(String, String, Ready)>,
    turn: Turn,
}

impl Document for Whole {
    fn read(tools: Arc<ToolTable>, wanted: Wanted, body: Vec<u8>) -> Result<Self, Unfit> {
        let document = String::from_utf8(body).map_err(|_| UNREADABLE)?;
        let mut root = json::read(document.as_bytes()).map_err(|_| UNREADABLE)?;
        answer::id(&root)?;
        let items = root.take_elements("output").ok_or(STRANGE)?;
        if items.len() > ITEMS || item::status(&root)?.is_none() {
            return Err(STRANGE);
        }
        let (items, ids, turn) = (items.into_iter(), Ids::default(), Turn::default());
        Ok(Self { tools, wanted, document, root, items, taken: 0, out: Vec::new(), ids, asked: None, turn })
    }

    fn usage(&self) -> Option<&Node> {
        self.root.get("usage")
    }

    fn run(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        while let Some(item) = self.next() {
            let kind = item::kind(&item)?;
            self.keep(kind, &item);
            let id = item::id(&item)?.to_owned();
            let status = item::status(&item)?;
            self.ids.take(&id)?;
            let written = match kind {
                Kind::Message => {
                    let content = self.texts(kind, &item, "content", words)?;
                    item::message(&id, status.unwrap_or("completed"), item::phase(&item)?, &content)
                }
                Kind::Reasoning => {
                    let summary = self.texts(kind, &item, "summary", words)?;
                    let content = self.texts(kind, &item, "content", words)?;
                    item::reasoning(&id, status, &summary, &content, item::sealed(&item)?)
                }
                Kind::Search => {
                    let action = item::action(&item)?;
                    item::search(&id, status.unwrap_or("completed"), &self.masked(action, words)?)
                }
                Kind::Call => {
                    let mut call = self.ready(&item, words)?;
                    self.ids.take(call.id())?;
                    self.turn.count()?;
                    parts.push(call.propose()?);
                    self.asked = Some((id, status.unwrap_or("completed").to_owned(), call));
                    return Ok(());
                }
            };
            self.out.push(written);
        }
        self.finish(words, parts)
    }

    fn settled(
        &mut self,
        verdict: Result<(), &Denial>,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit> {
        if let Some((id, status, call)) = self.asked.take() {
            self.out.push(match call.settle(verdict) {
                Ok(()) => item::called(&id, &status, &call, call.input()),
                Err(refusal) => {
                    let text = Spoken::refused(self.wanted).written(&refusal, &[]);
                    item::message(&item::instead_of(&call), "completed", None, &[text])
                }
            });
        }
        self.run(words, parts)
    }

    fn record(&mut self, broke: &Unfit, words: &mut dyn Words) {
        while let Some(item) = self.next() {
            match item::kind(&item) {
                Ok(Kind::Call) => self.keep_unasked(&item),
                Ok(kind) => self.keep(kind, &item),
                Err(_) => self.turn.cut(),
            }
        }
        answer::keep_error(&self.root, &mut self.turn);
        self.turn.record(Some(broke), &facts().spared, words);
    }
}

impl Whole {
    /// The call that an item is. The record keeps it also where it cannot be one.
    fn ready(&mut self, item: &Node, words: &mut dyn Words) -> Result<Ready, Unfit> {
        match item::call(item) {
            Ok(call) => self.turn.ready(&self.about(), call, &self.tools, words),
            Err(why) => {
                self.keep_unasked(item);
                Err(why)
            }
        }
    }

    fn keep_unasked(&mut self, item: &Node) {
        let name = item.get("name").and_then(Node::text).unwrap_or_default();
        self.turn.keep_unasked(&self.about(), "function", name);
    }

    /// The record keeps what an item says; of a call what was judged.
    fn keep(&mut self, kind: Kind, item: &Node) {
        let index = self.index();
        for name in ["summary", "content"] {
            for part in item.get(name).map(Node::elements).unwrap_or_default() {
                let Ok(spoken) = Spoken::of(part, kind, name) else { continue };
                let about = spoken.about(index);
                if let Some(text) = part.get(spoken.member).and_then(Node::text).filter(|text| !text.is_empty()) {
                    self.turn.keep(format!(r#"{{{about},"{}":{}}}"#, spoken.member, quoted(text)));
                }
                let sources = part.get("annotations").map(Node::elements).unwrap_or_default();
                let sources: Vec<&str> =
                    sources.iter().filter(|one| item::is_source(one)).map(|one| self.written(one)).collect();
                if *spoken == item::TEXT && !sources.is_empty() {
                    let sources = sources.join(",");
                    self.turn.keep(format!(r#"{{{about},"annotations":[{sources}]}}"#));
                }
            }
        }
        match kind {
            Kind::Message | Kind::Call => {}
            Kind::Reasoning => {
                if let Ok(Some(sealed)) = item::sealed(item) {
                    let sealed = quoted(sealed);
                    self.turn.keep(format!(r#"{{"item":{index},"type":"reasoning","encrypted_content":{sealed}}}"#));
                }
            }
            Kind::Search => {
                if let Some(action) = item.get("action") {
                    let action = self.written(action);
                    self.turn.keep(format!(r#"{{"item":{index},"type":"web_search_call","action":{action}}}"#));
                }
            }
        }
    }

    /// The texts of an item that are in the list of this name, masked.
    fn texts(&self, kind: Kind, item: &Node, name: &str, words: &mut dyn Words) -> Result<Vec<String>, Unfit> {
        let list = model::elements(item, name)?;
        let text = |part: &Node| {
            let spoken = Spoken::of(part, kind, name)?;
            let said = spoken.said(part)?;
            let masked = model::string(said, words);
            let sources = model::elements(part, "annotations")?.iter().filter(|one| item::is_source(one));
            let sources: Result<Vec<String>, Unfit> = sources.map(|one| self.masked(one, words)).collect();
            Ok(spoken.written(masked.as_deref().unwrap_or(said), &sources?))
        };
        list.iter().map(text).collect()
    }

    fn finish(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let released = answer::written(&self.root, &self.document, &self.out, words)?;
        answer::keep_error(&self.root, &mut self.turn);
        self.turn.record(None, &facts().spared, words);
        parts.extend([Part::Data(Bytes::from(released)), Part::End]);
        Ok(())
    }

    fn next(&mut self) -> Option<Node> {
        let item = self.items.next()?;
        self.taken += 1;
        Some(item)
    }

    /// The place of the item that was taken last.
    const fn index(&self) -> usize {
        self.taken.saturating_sub(1)
    }

    fn about(&self) -> String {
        format!(r#""item":{},"#, self.index())
    }

    fn written(&self, node: &Node) -> &str {
        self.document.get(node.span.clone()).unwrap_or("null")
    }

    fn masked(&self, node: &Node, words: &mut dyn Words) -> Result<String, Unfit> {
        facts().spared.masked(node, &self.document, words).map_err(|_| UNREADABLE)
    }
}
