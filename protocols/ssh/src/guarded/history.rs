//! The lines of this session, to be recalled.
//!
//! A line that was refused is kept like any other: it can be mended, and it is judged again whenever it is sent. Promises:
//! bounded in lines and bytes, kept in memory only, in no `Debug`. Held by: `fixtures/guarded/keys.tsv`.

use std::collections::VecDeque;

/// Lines kept.
const LINES: usize = 500;

/// Bytes kept.
const BYTES: usize = 256 << 10;

/// Lines, the newest last.
#[derive(Default)]
pub(super) struct History {
    lines: VecDeque<String>,
    bytes: usize,
    /// The line being looked at; that many from the newest, 0 is the one being typed.
    back: usize,
    /// What was typed before looking.
    typed: String,
}

impl History {
    pub(super) fn push(&mut self, line: &str) {
        self.back = 0;
        if line.trim().is_empty() || self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        self.bytes += line.len();
        self.lines.push_back(line.to_owned());
        while self.lines.len() > LINES || self.bytes > BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }

    /// Looks at nothing any more.
    pub(super) const fn leave(&mut self) {
        self.back = 0;
    }

    /// The line before the one that is looked at.
    pub(super) fn older(&mut self, current: &str) -> Option<&str> {
        if self.back == 0 {
            current.clone_into(&mut self.typed);
        }
        let line = self.lines.len().checked_sub(self.back + 1).and_then(|at| self.lines.get(at))?;
        self.back += 1;
        Some(line)
    }

    /// The line after it.
    pub(super) fn newer(&mut self) -> Option<&str> {
        self.back = self.back.checked_sub(1)?;
        if self.back == 0 {
            return Some(&self.typed);
        }
        self.lines.len().checked_sub(self.back).and_then(|at| self.lines.get(at)).map(String::as_str)
    }

    /// The newest line that holds a text, among those before the `before` newest; how many are newer, and the line.
    pub(super) fn search(&self, text: &str, before: usize) -> Option<(usize, &str)> {
        self.lines
            .iter()
            .rev()
            .enumerate()
            .skip(before)
            .find(|(_, line)| line.contains(text))
            .map(|(at, line)| (at, line.as_str()))
    }
}
