//! What the record keeps of the answer of a model, and how many calls it may have.
//!
//! Promises: the record is what the model said, in its order, a document in a text by itself, so that it is masked as one;
//! where something is missing, because it was too much or because the answer broke off, it says so. It is given once,
//! however the answer ends. What a tool was to be called with is in the record with the command that the call is.
//! Held by: `tests.rs` and the tests of each API.

use super::Speech;
use super::words::kept;
use crate::api::{Unfit, Words};
use crate::json::{Node, quoted};

/// Calls in one answer.
pub(in crate::api) const CALLS: usize = 128;
/// Documents in the texts of an answer that the record keeps each by itself.
const DOCUMENTS: usize = 64;
/// Bytes of an answer that the record keeps.
const KEPT: usize = 4 << 20;

#[derive(Debug)]
enum Kept {
    /// A JSON value among others.
    Value(String),
    /// A document by itself.
    Document(String),
}

/// One answer.
#[derive(Debug, Default)]
pub(in crate::api) struct Turn {
    calls: usize,
    documents: usize,
    kept: Vec<Kept>,
    size: usize,
    cut: bool,
}

impl Turn {
    /// One more call.
    pub(in crate::api) fn count(&mut self) -> Result<(), Unfit> {
        self.calls += 1;
        if self.calls > CALLS {
            return Err(Unfit("the answer of the model calls too many tools"));
        }
        Ok(())
    }

    /// The record keeps this JSON value.
    pub(in crate::api) fn keep(&mut self, value: String) {
        let size = value.len();
        self.keep_one(Kept::Value(value), size);
    }

    fn keep_one(&mut self, kept: Kept, size: usize) {
        self.size = self.size.saturating_add(size);
        if self.size <= KEPT {
            self.kept.push(kept);
        } else {
            self.cut = true;
        }
    }

    /// Something is missing that the record would keep.
    pub(in crate::api) const fn cut(&mut self) {
        self.cut = true;
    }

    /// The record keeps a text, as members of objects of this kind: `{ABOUT,"MEMBER":"…"}`.
    pub(in crate::api) fn keep_speech(&mut self, about: &str, member: &str, speech: &Speech, words: &dyn Words) {
        self.cut |= !speech.is_kept();
        self.keep_text(about, member, speech.said(), words);
    }

    /// The same of a text that is whole.
    pub(in crate::api) fn keep_text(&mut self, about: &str, member: &str, text: &str, words: &dyn Words) {
        for piece in kept(text, words) {
            let said = match &piece {
                Ok(prose) => prose,
                Err(document) if self.documents < DOCUMENTS => {
                    self.documents += 1;
                    self.keep_one(Kept::Document(document.to_string()), document.len());
                    continue;
                }
                Err(document) => document.as_ref(),
            };
            self.keep(format!(r#"{{{about},"{member}":{}}}"#, quoted(said)));
        }
    }

    /// A block as it is written, where its member of this name is one text.
    pub(in crate::api) fn keep_block(
        &mut self,
        about: &str,
        member: &str,
        block: &Node,
        document: &str,
        words: &dyn Words,
    ) {
        match block.get(member).and_then(Node::text) {
            Some(text) if kept(text, words).any(|piece| piece.is_err()) => self.keep_text(about, member, text, words),
            _ => self.keep(document.get(block.span.clone()).unwrap_or_default().to_owned()),
        }
    }

    /// Gives the record the answer, as far as it came.
    pub(in crate::api) fn record(&mut self, broke: Option<&Unfit>, words: &mut dyn Words) {
        let mut missing = Vec::new();
        if std::mem::take(&mut self.cut) {
            missing.push("not all is kept: it is too long, or a call broke off".to_owned());
        }
        missing.extend(broke.map(|why| format!("this is not all: {}", why.0)));
        if self.kept.is_empty() && missing.is_empty() {
            return;
        }
        let mut values: Vec<String> = Vec::new();
        for kept in std::mem::take(&mut self.kept) {
            match kept {
                Kept::Value(value) => values.push(value),
                Kept::Document(document) => {
                    said(&mut values, "", words);
                    words.record(&document);
                }
            }
        }
        let missing = if missing.is_empty() {
            String::new()
        } else {
            format!(r#","portcullis":{}"#, quoted(&missing.join("; ")))
        };
        said(&mut values, &missing, words);
    }
}

/// Records these values, if there are any, with what is missing behind them.
fn said(values: &mut Vec<String>, missing: &str, words: &mut dyn Words) {
    if !values.is_empty() || !missing.is_empty() {
        let values = std::mem::take(values).join(",");
        words.record(&format!(r#"{{"role":"assistant","content":[{values}]{missing}}}"#));
    }
}
