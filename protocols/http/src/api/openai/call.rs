//! A tool call of a choice, and what becomes of it.
//!
//! Promises: a call is one only if its id is a plain word and its arguments are whole; what is released is built anew from
//! what was judged, its arguments masked; what is refused is said in a text of the gateway's. Held by: `tests.rs`.

use crate::api::anthropic::is_word;
use crate::api::{Unfit, Words};
use crate::json::{self, Value, quoted};
use crate::reply;
use crate::tools::{self, ToolTable};
use portcullis_model::{Command, Denial};

/// Choices of one answer.
pub(super) const CHOICES: u64 = 16;
/// Calls of one answer.
pub(super) const CALLS: usize = 128;
/// Bytes of an answer that the record keeps.
pub(super) const KEPT: usize = 4 << 20;

pub(super) const STRANGE: Unfit = Unfit("the answer of the model is not what its API says");

/// A call, not judged yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

impl Call {
    /// What it would do.
    pub(super) fn command(&self, table: &ToolTable) -> Result<Command, Unfit> {
        if self.id.is_empty() || self.id.len() > 256 || !is_word(&self.id) {
            return Err(STRANGE);
        }
        // A call without arguments is one with none.
        let input = if self.arguments.is_empty() { "{}" } else { &self.arguments };
        Ok(tools::call(table, &self.name, Some(&self.id), input))
    }

    /// The call as it may pass, or what is said instead.
    pub(super) fn settle(&self, verdict: Result<(), &Denial>, words: &mut dyn Words) -> Result<String, String> {
        let refusal = match verdict {
            Ok(()) => match self.released(words) {
                Some(released) => return Ok(released),
                None => "what it is given cannot be masked. Ask for something without protected values.".to_owned(),
            },
            Err(denial) => reply::refusal_text(denial),
        };
        let shown = words.whole(&self.name).unwrap_or_else(|| self.name.clone());
        let shown: String = shown.chars().filter(|c| !c.is_control()).take(128).collect();
        Err(format!("[portcullis] {shown} was refused: {refusal}"))
    }

    /// Its members; `None` where the masks leave no arguments that a tool could take.
    fn released(&self, words: &mut dyn Words) -> Option<String> {
        if words.whole(&self.name).is_some() {
            return None;
        }
        let given = if self.arguments.is_empty() { "{}" } else { &self.arguments };
        let arguments = words.json(given).ok()?.unwrap_or_else(|| given.to_owned());
        let whole = json::read(arguments.as_bytes()).is_ok_and(|node| matches!(node.value, Value::Object(_)));
        let (id, name, arguments) = (quoted(&self.id), quoted(&self.name), quoted(&arguments));
        whole.then(|| format!(r#""id":{id},"type":"function","function":{{"name":{name},"arguments":{arguments}}}"#))
    }

    /// As the model said it, for the record.
    pub(super) fn recorded(&self) -> String {
        let (id, name, arguments) = (quoted(&self.id), quoted(&self.name), quoted(&self.arguments));
        format!(r#"{{"id":{id},"type":"function","function":{{"name":{name},"arguments":{arguments}}}}}"#)
    }
}
