//! What the record keeps of the answer of a model, and how many calls it may have.
//!
//! Promises: the record is what the model said, in its order, with its strings masked as a client's are whom the record's
//! masks bind: JSON in a text too, wherever that stands. Where something is missing, because it was too much or because the
//! answer broke off, it says so. It is given once, however the answer ends. What a tool was to be called with is in the
//! record with the command that the call is.
//! Held by: `tests.rs`, the tests of each API, and `core/tests/recorded.rs` through the gate.

use super::words::WITHHELD;
use super::{Call, Ready, Spared, Speech, is_plain};
use crate::api::{Unfit, Words};
use crate::json::{Node, quoted};
use crate::tools::ToolTable;

/// Calls in one answer.
pub(in crate::api) const CALLS: usize = 128;
/// Bytes of an answer that the record keeps.
const KEPT: usize = 4 << 20;

/// One answer.
#[derive(Debug, Default)]
pub(in crate::api) struct Turn {
    calls: usize,
    /// JSON values, as they came.
    kept: Vec<String>,
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
        self.size = self.size.saturating_add(value.len());
        if self.size <= KEPT {
            self.kept.push(value);
        } else {
            self.cut = true;
        }
    }

    /// Something is missing that the record would keep.
    pub(in crate::api) const fn cut(&mut self) {
        self.cut = true;
    }

    /// The record keeps a text, if there is one, as a member of an object of this kind: `{ABOUT,"MEMBER":"…"}`.
    pub(in crate::api) fn keep_speech(&mut self, about: &str, member: &str, speech: &Speech) {
        self.cut |= !speech.is_kept();
        if !speech.said().is_empty() {
            self.keep(format!(r#"{{{about},"{member}":{}}}"#, quoted(speech.said())));
        }
    }

    /// The record keeps what an object says beside these members, where that is more than a word of the API's own.
    pub(in crate::api) fn keep_beside(&mut self, node: &Node, document: &str, apart_from: &[&str]) {
        let others = node.members().iter().filter(|(name, _)| !apart_from.contains(&name.as_str()));
        for (name, member) in others.filter(|(_, member)| !is_plain(&member.value)) {
            let written = document.get(member.span.clone()).unwrap_or("null");
            self.keep(format!("{{{}:{written}}}", quoted(name)));
        }
    }

    /// Reads a call as it would be released. The record keeps it also where it cannot be one.
    pub(in crate::api) fn ready(
        &mut self,
        about: &str,
        call: Call,
        table: &ToolTable,
        words: &mut dyn Words,
    ) -> Result<Ready, Unfit> {
        let (kind, name) = (call.kind.clone(), call.name.clone());
        let ready = call.ready(table, words);
        match &ready {
            Ok(call) => self.keep(call.recorded(about)),
            Err(_) => self.keep_unasked(about, &kind, &name),
        }
        ready
    }

    /// Of a call that nobody was asked about it keeps the name. What is secret in half of an input cannot be told.
    pub(in crate::api) fn keep_unasked(&mut self, about: &str, kind: &str, name: &str) {
        self.keep(format!(r#"{{{about}"type":{},"name":{}}}"#, quoted(kind), quoted(name)));
        self.cut = true;
    }

    /// Gives the record the answer, as far as it came.
    pub(in crate::api) fn record(&mut self, broke: Option<&Unfit>, spared: &Spared, words: &mut dyn Words) {
        let kept = std::mem::take(&mut self.kept);
        let mut missing = Vec::new();
        if std::mem::take(&mut self.cut) {
            missing.push("not all is kept: it is too long, or a call broke off".to_owned());
        }
        missing.extend(broke.map(|why| format!("this is not all: {}", why.0)));
        if kept.is_empty() && missing.is_empty() {
            return;
        }
        let Some(mut masks) = words.recording() else { return };
        let masked = |value: &String| spared.masked_alone(value, &mut *masks).unwrap_or_else(|_| quoted(WITHHELD));
        let values = kept.iter().map(masked).collect::<Vec<_>>().join(",");
        let missing = if missing.is_empty() {
            String::new()
        } else {
            format!(r#","portcullis":{}"#, quoted(&missing.join("; ")))
        };
        words.record_made(&format!(r#"{{"role":"assistant","content":[{values}]{missing}}}"#));
    }
}
