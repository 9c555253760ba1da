//! A line editor in the manner of emacs, for a client with a terminal.
//!
//! It reads after [`Editor::prompt`] until something is the caller's to answer: a line, an interrupt, the end of input, a
//! word to complete. What comes after that stays here until the next `prompt` or `complete`, so how a client's bytes are
//! split changes nothing.
//! Promises: a line holds no control character and at most 8 KiB; a longer one is [`Event::TooLong`], never cut; what is
//! sent as a line was shown whole before (`screen.rs`). A newline that is pasted ends a line like one that is typed, and a
//! tab that is pasted is a blank. Ctrl-C is heard in every state. Nothing here is in a `Debug`: lines hold secrets.
//! Held by: `fixtures/guarded/{keys,screens}.tsv`, the tests below and `fuzz_guarded`.

use super::history::History;
use super::keys::{Key, Keys};
use super::line::{LINE_BYTES, Line, is_letter, is_not_blank};
use super::screen::Screen;
use super::search::Search;
use super::word::{Candidate, Word, completed, word};
use crate::frame::Size;
use bytes::Bytes;
use std::collections::VecDeque;

/// Bytes kept that came while nothing was read.
const AHEAD: usize = 64 << 10;

/// What the editor says. All but [`Event::Show`] wait for an answer: `prompt`, or `complete` for [`Event::Complete`].
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// To the client.
    Show(Bytes),
    /// A line, without its end.
    Line(String),
    /// A line, or what came while nothing was read, was longer than what is kept, and is gone.
    TooLong,
    /// A line that is not text; only where there is no terminal.
    Unreadable,
    /// Ctrl-C: the line is gone, and so is what came before it and was not read yet.
    Interrupt,
    /// Ctrl-D on an empty line, or the end of what the client sends.
    EndOfInput,
    /// Tab.
    Complete(Word),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits for `prompt`.
    Idle,
    Reading,
    /// Waits for `complete`.
    Completing,
}

/// The editor.
pub(crate) struct Editor {
    keys: Keys,
    line: Line,
    history: History,
    search: Option<Search>,
    screen: Screen,
    state: State,
    prompt: String,
    completing: Option<Word>,
    /// Words that were asked for so far.
    asked: u64,
    pasting: bool,
    ahead: VecDeque<u8>,
    lost: bool,
    /// The client says nothing more.
    ended: bool,
    dumb: bool,
    out: String,
}

impl Editor {
    /// An editor for a terminal of this kind and size, which does not read yet.
    pub(crate) fn new(term: &str, size: Size) -> Self {
        let dumb = matches!(term, "" | "dumb" | "unknown" | "emacs");
        Self {
            keys: Keys::default(),
            line: Line::default(),
            history: History::default(),
            search: None,
            screen: Screen::new(size.columns, size.rows, dumb),
            state: State::Idle,
            prompt: String::new(),
            completing: None,
            asked: 0,
            pasting: false,
            ahead: VecDeque::new(),
            lost: false,
            ended: false,
            dumb,
            out: String::new(),
        }
    }

    /// Starts a new line. The cursor of the terminal has to be at the start of a row.
    pub(crate) fn prompt(&mut self, prompt: &str) -> Vec<Event> {
        prompt.clone_into(&mut self.prompt);
        self.line.set("");
        self.history.leave();
        self.search = None;
        self.screen.start();
        self.state = State::Reading;
        if !self.dumb {
            self.out.push_str("\x1b[?2004h");
        }
        if std::mem::take(&mut self.lost) {
            return self.stop(Event::TooLong);
        }
        self.go_on()
    }

    /// Takes bytes of the client.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        if self.state == State::Reading {
            self.ahead.extend(bytes);
            return self.go_on();
        }
        let after = bytes.iter().rposition(|byte| *byte == 0x03);
        if let Some(at) = after {
            // What was typed ahead of it is given up, too.
            self.ahead.clear();
            self.lost = false;
            self.keys = Keys::default();
            self.pasting = false;
            self.ahead.extend(bytes.iter().skip(at + 1));
            let mut events = Vec::new();
            if self.state == State::Completing {
                self.completing = None;
                self.line.go(usize::MAX);
                self.draw();
                self.screen.give_up(&mut self.out);
                self.flush(&mut events);
            }
            self.state = State::Idle;
            self.line.set("");
            events.push(Event::Interrupt);
            return events;
        }
        // Behind what is gone, nothing is known to be the start of a line.
        if !self.lost {
            self.ahead.extend(bytes);
        }
        if self.ahead.len() > AHEAD {
            self.ahead.clear();
            self.lost = true;
        }
        Vec::new()
    }

    /// The client says nothing more.
    pub(crate) fn end(&mut self) -> Vec<Event> {
        self.ended = true;
        if self.state == State::Reading { self.go_on() } else { Vec::new() }
    }

    /// Whether names for this word are waited for: after Ctrl-C they are not, whatever is completed since.
    pub(crate) fn waits_for(&self, word: &Word) -> bool {
        self.state == State::Completing && self.completing.as_ref() == Some(word)
    }

    /// Answers [`Event::Complete`] for its word; without candidates nothing is put in. An answer that nobody waits for any
    /// more changes nothing.
    pub(crate) fn complete(&mut self, word: &Word, candidates: Vec<Candidate>) -> Vec<Event> {
        if !self.waits_for(word) {
            return Vec::new();
        }
        self.completing = None;
        if std::mem::take(&mut self.lost) {
            return self.stop(Event::TooLong);
        }
        let (text, list) = completed(word, candidates);
        if let Some(list) = list {
            self.finish();
            self.screen.finish(&list, &[], &mut self.out);
        } else if text.is_empty() {
            self.out.push('\x07');
        }
        text.chars().for_each(|c| self.line.insert(c));
        self.state = State::Reading;
        self.go_on()
    }

    /// The terminal has another size.
    pub(crate) fn resize(&mut self, size: Size) -> Vec<Event> {
        self.screen.resize(size.columns, size.rows);
        let mut events = Vec::new();
        if self.state == State::Reading {
            self.draw();
            self.flush(&mut events);
        }
        events
    }

    /// Whether it takes lines now; else what the client sends is for whatever the line started.
    #[cfg(test)]
    pub(crate) const fn is_reading(&self) -> bool {
        matches!(self.state, State::Reading | State::Completing)
    }

    fn go_on(&mut self) -> Vec<Event> {
        while let Some(byte) = self.ahead.pop_front() {
            if let Some(key) = self.keys.feed(byte)
                && let Some(event) = self.press(key)
            {
                return self.stop(event);
            }
        }
        if self.ended {
            return self.stop(Event::EndOfInput);
        }
        self.draw();
        let mut events = Vec::new();
        self.flush(&mut events);
        events
    }

    /// Ends reading with this.
    fn stop(&mut self, event: Event) -> Vec<Event> {
        let mut events = Vec::new();
        match &event {
            Event::Complete(word) => {
                self.state = State::Completing;
                self.completing = Some(word.clone());
                self.draw();
            }
            Event::Show(_)
            | Event::Line(_)
            | Event::TooLong
            | Event::Unreadable
            | Event::Interrupt
            | Event::EndOfInput => {
                self.state = State::Idle;
                self.search = None;
                if event == Event::Interrupt {
                    // What was left of the line is shown with what became of it.
                    self.line.go(usize::MAX);
                    self.draw();
                    self.screen.give_up(&mut self.out);
                } else {
                    self.finish();
                }
                if !self.dumb {
                    self.out.push_str("\x1b[?2004l");
                }
            }
        }
        self.flush(&mut events);
        events.push(event);
        events
    }

    fn draw(&mut self) {
        let searching = self.search.as_ref().map(Search::prompt);
        let prompt = searching.as_deref().unwrap_or(&self.prompt);
        self.screen.draw(prompt, self.line.chars(), self.line.cursor(), &mut self.out);
    }

    fn finish(&mut self) {
        self.screen.finish(&self.prompt, self.line.chars(), &mut self.out);
    }

    fn flush(&mut self, events: &mut Vec<Event>) {
        if !self.out.is_empty() {
            events.push(Event::Show(Bytes::from(std::mem::take(&mut self.out))));
        }
    }

    fn press(&mut self, key: Key) -> Option<Event> {
        let key = if self.search.is_some() { self.press_searching(key)? } else { key };
        let had_cut = self.line.take_last_cut();
        match key {
            Key::Char(c) => self.line.insert(c),
            Key::Tab if self.pasting => self.line.insert(' '),
            Key::PasteStart => self.pasting = true,
            Key::PasteEnd => self.pasting = false,
            Key::Enter => return Some(self.entered()),
            Key::Interrupt => {
                self.pasting = false;
                return Some(Event::Interrupt);
            }
            Key::EndOrDelete if self.line.chars().is_empty() => return Some(Event::EndOfInput),
            Key::Tab => return self.tab(),
            Key::Clear if self.dumb => {}
            Key::Clear => {
                self.out.push_str("\x1b[H\x1b[J");
                self.screen.start();
            }
            Key::Search => self.search = Some(Search::new(&self.line)),
            Key::Up => match self.history.older(&self.line.text()) {
                Some(text) => self.line.set(text),
                None => self.out.push('\x07'),
            },
            Key::Down => match self.history.newer() {
                Some(text) => self.line.set(text),
                None => self.out.push('\x07'),
            },
            Key::Left
            | Key::Right
            | Key::Home
            | Key::End
            | Key::WordLeft
            | Key::WordRight
            | Key::Backspace
            | Key::Delete
            | Key::EndOrDelete
            | Key::KillLeft
            | Key::KillRight
            | Key::KillBlankLeft
            | Key::KillWordLeft
            | Key::KillWordRight
            | Key::Yank
            | Key::Transpose => self.edit(key, had_cut),
            Key::Cancel | Key::Nothing => {}
        }
        None
    }

    fn edit(&mut self, key: Key, had_cut: bool) {
        let line = &mut self.line;
        let (at, all) = (line.cursor(), line.chars().len());
        match key {
            Key::Left => line.go(at.saturating_sub(1)),
            Key::Right => line.go(at + 1),
            Key::Home => line.go(0),
            Key::End => line.go(all),
            Key::WordLeft => line.go(line.word_left(is_letter)),
            Key::WordRight => line.go(line.word_right()),
            Key::Backspace => line.delete(at.saturating_sub(1)),
            Key::Delete | Key::EndOrDelete => line.delete(at + 1),
            Key::KillLeft => line.cut(0, had_cut),
            Key::KillRight => line.cut(all, had_cut),
            Key::KillBlankLeft => line.cut(line.word_left(is_not_blank), had_cut),
            Key::KillWordLeft => line.cut(line.word_left(is_letter), had_cut),
            Key::KillWordRight => line.cut(line.word_right(), had_cut),
            Key::Yank => line.yank(),
            Key::Transpose => line.transpose(),
            Key::Char(_)
            | Key::Enter
            | Key::Tab
            | Key::Up
            | Key::Down
            | Key::Clear
            | Key::Search
            | Key::Cancel
            | Key::Interrupt
            | Key::PasteStart
            | Key::PasteEnd
            | Key::Nothing => {}
        }
    }

    /// A key in a search; what is left is done with the line found.
    fn press_searching(&mut self, key: Key) -> Option<Key> {
        let search = self.search.as_mut()?;
        match key {
            Key::Char(c) => search.push(c, &self.history, &mut self.line),
            Key::Backspace => search.pop(&self.history, &mut self.line),
            Key::Search => search.older(&self.history, &mut self.line),
            Key::Cancel => {
                if let Some(search) = self.search.take() {
                    search.cancel(&mut self.line);
                }
            }
            Key::Nothing => {}
            Key::Enter
            | Key::Tab
            | Key::Delete
            | Key::EndOrDelete
            | Key::Left
            | Key::Right
            | Key::Home
            | Key::End
            | Key::Up
            | Key::Down
            | Key::WordLeft
            | Key::WordRight
            | Key::KillLeft
            | Key::KillRight
            | Key::KillBlankLeft
            | Key::KillWordLeft
            | Key::KillWordRight
            | Key::Yank
            | Key::Transpose
            | Key::Clear
            | Key::Interrupt
            | Key::PasteStart
            | Key::PasteEnd => {
                self.search = None;
                return Some(key);
            }
        }
        None
    }

    fn entered(&mut self) -> Event {
        if self.line.is_too_long() {
            return Event::TooLong;
        }
        let text = self.line.text();
        debug_assert!(text.len() <= LINE_BYTES, "a line is bounded");
        self.history.push(&text);
        Event::Line(text)
    }

    fn tab(&mut self) -> Option<Event> {
        let before = self.line.chars().get(..self.line.cursor()).unwrap_or_default();
        self.asked += 1;
        let found = word(before, self.asked);
        if found.is_none() {
            self.out.push('\x07');
        }
        found.map(Event::Complete)
    }
}

#[cfg(test)]
mod tests;
