//! Ctrl-R: the newest line that holds what is typed.
//!
//! Promises: the line found is the line shown and the line sent; a search that finds nothing keeps what was there.
//! Held by: `fixtures/guarded/keys.tsv` and `screens.tsv`.

use super::history::History;
use super::line::{LINE_BYTES, Line};

/// A search going on.
#[derive(Default)]
pub(super) struct Search {
    text: String,
    /// How many lines are newer than the one found.
    at: usize,
    /// The line before the search.
    before: String,
}

impl Search {
    pub(super) fn new(line: &Line) -> Self {
        Self { before: line.text(), ..Self::default() }
    }

    /// Instead of the prompt.
    pub(super) fn prompt(&self) -> String {
        format!("(search '{}'): ", self.text)
    }

    pub(super) fn push(&mut self, c: char, history: &History, line: &mut Line) {
        if self.text.len() < LINE_BYTES {
            self.text.push(c);
            self.find(self.at, history, line);
        }
    }

    pub(super) fn pop(&mut self, history: &History, line: &mut Line) {
        self.text.pop();
        self.at = 0;
        self.find(0, history, line);
    }

    /// The next older one.
    pub(super) fn older(&mut self, history: &History, line: &mut Line) {
        self.find(self.at + 1, history, line);
    }

    fn find(&mut self, from: usize, history: &History, line: &mut Line) {
        if !self.text.is_empty()
            && let Some((at, found)) = history.search(&self.text, from)
        {
            self.at = at;
            line.set(found);
        }
    }

    /// What was there before.
    pub(super) fn cancel(self, line: &mut Line) {
        line.set(&self.before);
    }
}
