//! A text that a model says piece by piece.
//!
//! Promises: text passes as it comes but for what a match may still need; while masks name fields of JSON, what begins
//! like JSON in a line of its own waits, with all behind it, until the text is over, and is masked as the documents that
//! it holds. What is kept for the record is the beginning of what was said, without a gap. Does not promise to show such a
//! text soon.
//! Held by: `tests.rs` and the tests of each API.

use super::words::{self, begins};
use crate::api::{Unfit, Words};
use crate::tools;

const TOO_LONG: Unfit = Unfit("a JSON text of the model's answer is too long");

/// One text.
#[derive(Debug)]
pub(in crate::api) struct Speech {
    /// Its number, to the masks.
    stream: u32,
    said: String,
    /// Not all that was said is in it.
    cut: bool,
    /// Only spaces stand in this line.
    line: bool,
    /// What waits.
    held: Option<String>,
}

impl Speech {
    /// Each text of an answer has a number.
    pub(in crate::api) const fn new(stream: u32) -> Self {
        Self { stream, said: String::new(), cut: false, line: true, held: None }
    }

    /// The next piece: what of it, and of earlier ones, may pass now.
    pub(in crate::api) fn push(&mut self, piece: &str, words: &mut dyn Words) -> Result<String, Unfit> {
        // What is said is not bounded, what is kept of it is. Nothing is kept behind a gap: a value whose name is in it would
        // be words that no mask is about.
        if !self.cut && self.said.len() + piece.len() <= tools::LONGEST {
            self.said.push_str(piece);
        } else {
            self.cut = true;
        }
        if let Some(held) = &mut self.held {
            if held.len() + piece.len() > tools::LONGEST {
                return Err(TOO_LONG);
            }
            held.push_str(piece);
            return Ok(String::new());
        }
        let found = if words.binds_fields() { begins(piece, &mut self.line) } else { None };
        let Some((before, from)) = found.and_then(|at| piece.split_at_checked(at)) else {
            return Ok(if piece.is_empty() { String::new() } else { words.piece(self.stream, piece) });
        };
        let mut shown = if before.is_empty() { String::new() } else { words.piece(self.stream, before) };
        shown.push_str(&words.last(self.stream));
        self.held = Some(from.to_owned());
        Ok(shown)
    }

    /// The text is over: the rest of it.
    pub(in crate::api) fn end(&mut self, words: &mut dyn Words) -> String {
        match self.held.take() {
            Some(held) => words::string(&held, words).unwrap_or(held),
            None => words.last(self.stream),
        }
    }

    /// What was said, as the record keeps it.
    pub(in crate::api) fn said(&self) -> &str {
        &self.said
    }

    /// Whether that is all.
    pub(in crate::api) const fn is_kept(&self) -> bool {
        !self.cut
    }
}
