//! Lines to whole commands.
//!
//! A command that goes on (an open quote, `if` without `fi`, a here-document) takes more lines, and is judged and run as one
//! text. Promises: bounded; what is given up is given up whole. Whether a text is whole is asked of
//! `portcullis_shell::completeness`. Held by: `guarded/dialogue/tests.rs`.

use portcullis_shell::{Completeness, Limits, completeness};

/// Bytes of one command.
const COMMAND: usize = 32 << 10;

/// Lines of one command; each asks again whether the text is whole.
const LINES: usize = 500;

/// What a line made of the lines before it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Assembled {
    /// Nothing to do: blanks.
    Nothing,
    /// Another line is needed.
    More,
    /// A command. It may be one that no shell takes: the reader says so.
    Whole(String),
    /// It is too long, and is gone.
    TooLong,
}

/// The lines so far.
#[derive(Default)]
pub(crate) struct Assembly {
    text: String,
    lines: usize,
}

impl Assembly {
    pub(crate) const fn is_open(&self) -> bool {
        self.lines > 0
    }

    pub(crate) fn push(&mut self, line: &str) -> Assembled {
        if self.lines > 0 {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.lines += 1;
        if self.text.len() > COMMAND || self.lines > LINES {
            self.clear();
            return Assembled::TooLong;
        }
        match completeness(&self.text, &Limits::default()) {
            Completeness::Incomplete => Assembled::More,
            Completeness::Complete | Completeness::Invalid => match self.take() {
                Some(text) if text.trim_matches([' ', '\t', '\n']).is_empty() => Assembled::Nothing,
                Some(text) => Assembled::Whole(text),
                None => Assembled::Nothing,
            },
        }
    }

    /// The lines so far, whole or not.
    pub(crate) fn take(&mut self) -> Option<String> {
        let text = std::mem::take(&mut self.text);
        (std::mem::take(&mut self.lines) > 0).then_some(text)
    }

    pub(crate) fn clear(&mut self) {
        self.take();
    }
}
