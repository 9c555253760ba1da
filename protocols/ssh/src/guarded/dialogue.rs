//! One guarded channel: who gets the client's bytes, and what happens next.
//!
//! ```text
//! client bytes -> editor or lines -> whole command -> Judge -> (reader, gate) -> run | refused
//! run -> exec text -> target's output -> output -> finished -> prompt
//! ```
//!
//! Promises: bytes that come while a line runs on a terminal are its program's, all others are lines; bytes behind a line
//! in the same packet are lines, too. A line is judged in the scope that it runs in, because the next one is not
//! taken before it ended. `exit`, `exit N` and `logout` alone are the gateway's own and are not sent. Does not judge, and
//! does not release output: the caller does both.
//! Held by: `guarded/dialogue/tests.rs`.

use super::assembly::{Assembled, Assembly};
use super::editor::{Editor, Event};
use super::plain::Plain;
use super::session::{Exit, Nonce, Session, Unframed};
use super::trailer::TrailerFilter;
use super::word::{Candidate, Word};
use crate::frame::{Size, Terminal};
use bytes::Bytes;
use portcullis_shell::{Reading, Scope};
use std::collections::VecDeque;

/// Asks for more of a command.
const MORE: &str = "> ";

/// What the caller does next, in this order.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// To the client's standard output: the gateway's own words.
    Show(Bytes),
    /// To the client's standard error: the gateway's own words, where there is no terminal.
    Say(Bytes),
    /// Read this in [`Dialogue::scope`], ask the gate, then [`Dialogue::run`] or [`Dialogue::refused`].
    Judge(Asked),
    /// List these names if that is allowed, then [`Dialogue::complete`].
    Complete(Word),
    /// The user gave the command up while it was decided: withdraw it, then [`Dialogue::refused`].
    Withdraw,
    /// To the running program's standard input.
    Program(Bytes),
    /// The end of it.
    ProgramEof,
    /// Send this exit status, the end of output, and close.
    End(u8),
}

/// A command that is to be judged. What is sent for it is made of its own text, never of what was typed since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The command.
    pub(crate) text: String,
    number: u64,
}

/// How a line ended.
pub(crate) struct Finished {
    /// What was held back of its output and is no trailer.
    pub(crate) rest: Bytes,
    /// What is to be done behind it.
    pub(crate) steps: Vec<Step>,
}

/// Whose the client's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The editor's.
    Editing,
    /// Kept for the editor; Ctrl-C withdraws the command.
    Deciding,
    /// The program's, where there is a terminal; else kept.
    Running,
    /// Nobody's.
    Ended,
}

enum Input {
    Terminal(Box<Editor>),
    Plain(Plain),
}

struct Running {
    reading: Reading,
    filter: TrailerFilter,
}

/// The channel.
pub(crate) struct Dialogue {
    input: Input,
    assembly: Assembly,
    session: Session,
    mode: Mode,
    /// The newest command that was asked for.
    number: u64,
    running: Option<Running>,
}

impl Dialogue {
    /// Begins with `start`.
    pub(crate) fn new(session: Session, terminal: Option<&Terminal>) -> Self {
        let input = match terminal {
            Some(terminal) => Input::Terminal(Box::new(Editor::new(&terminal.term, terminal.size))),
            None => Input::Plain(Plain::default()),
        };
        Self { input, assembly: Assembly::default(), session, mode: Mode::Editing, number: 0, running: None }
    }

    pub(crate) fn start(&mut self) -> Vec<Step> {
        let events = self.prompt();
        self.take(events)
    }

    #[cfg(test)]
    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }

    /// What names mean in the text of [`Step::Judge`]; add what globs expand to before reading it again.
    pub(crate) fn scope(&self) -> Scope {
        self.session.scope()
    }

    /// Bytes of the client.
    pub(crate) fn client(&mut self, bytes: &[u8]) -> Vec<Step> {
        match (self.mode, &mut self.input) {
            (Mode::Ended, _) => Vec::new(),
            (Mode::Running, Input::Terminal(_)) => vec![Step::Program(Bytes::copy_from_slice(bytes))],
            (Mode::Editing | Mode::Deciding, Input::Terminal(editor)) => {
                let events = editor.feed(bytes);
                self.take(events)
            }
            (Mode::Editing | Mode::Deciding | Mode::Running, Input::Plain(plain)) => {
                let events = plain.feed(bytes);
                self.take(events)
            }
        }
    }

    /// The client sends nothing more.
    pub(crate) fn client_eof(&mut self) -> Vec<Step> {
        let events = match &mut self.input {
            Input::Terminal(editor) => editor.end(),
            Input::Plain(plain) => plain.end(),
        };
        let mut steps = self.take(events);
        if self.mode == Mode::Running && matches!(self.input, Input::Terminal(_)) {
            steps.push(Step::ProgramEof);
        }
        steps
    }

    /// The terminal has another size. A running program is told by the caller.
    pub(crate) fn resize(&mut self, size: Size) -> Vec<Step> {
        let events = match &mut self.input {
            Input::Terminal(editor) => editor.resize(size),
            Input::Plain(_) => Vec::new(),
        };
        self.take(events)
    }

    /// Whether names for this word are still waited for.
    pub(crate) fn completes(&self, word: &Word) -> bool {
        match &self.input {
            Input::Terminal(editor) => editor.waits_for(word),
            Input::Plain(_) => false,
        }
    }

    /// Answers [`Step::Complete`] for its word.
    pub(crate) fn complete(&mut self, word: &Word, candidates: Vec<Candidate>) -> Vec<Step> {
        let events = match &mut self.input {
            Input::Terminal(editor) => editor.complete(word, candidates),
            Input::Plain(_) => Vec::new(),
        };
        self.take(events)
    }

    /// Where the next line runs.
    pub(crate) fn directory(&self) -> &str {
        self.session.directory()
    }

    /// What would be sent if the text, as it was read, is allowed.
    pub(crate) fn frame(&self, asked: &Asked, reading: &Reading, nonce: &Nonce) -> Result<Vec<u8>, Unframed> {
        self.session.frame(&asked.text, reading, nonce)
    }

    /// Whether this command is still to be decided: what was given up meanwhile must not run, nor stand for what was typed
    /// after it.
    pub(crate) fn waits_for(&self, asked: &Asked) -> bool {
        self.mode == Mode::Deciding && self.number == asked.number
    }

    /// The command was allowed as it was read, and its frame is sent.
    pub(crate) fn run(&mut self, reading: Reading, nonce: &Nonce) {
        self.running = Some(Running { reading, filter: TrailerFilter::new(nonce.as_str()) });
        self.mode = Mode::Running;
    }

    /// The text does not run. The client was told why, in whole rows.
    pub(crate) fn refused(&mut self) -> Vec<Step> {
        self.session.refused();
        self.go_on(Vec::new())
    }

    /// The target's standard output, to what the client may see of it.
    pub(crate) fn output(&mut self, bytes: &[u8]) -> Bytes {
        match &mut self.running {
            Some(running) => running.filter.feed(bytes),
            None => Bytes::copy_from_slice(bytes),
        }
    }

    /// The line's channel is closed.
    pub(crate) fn finished(&mut self, exit: &Exit) -> Finished {
        let Some(Running { reading, filter }) = self.running.take() else {
            return Finished { rest: Bytes::new(), steps: Vec::new() };
        };
        let (rest, after, inside) = filter.finish();
        let mut steps = Vec::new();
        if inside && matches!(self.input, Input::Terminal(_)) {
            // The editor has to know where the cursor is.
            steps.push(Step::Show(Bytes::from_static(b"\r\n")));
        }
        let settled = self.session.settle(&reading, after, exit);
        for notice in settled.notices {
            steps.push(self.notice(&notice));
        }
        if settled.ended {
            steps.push(self.end());
            return Finished { rest, steps };
        }
        Finished { rest, steps: self.go_on(steps) }
    }

    fn go_on(&mut self, mut steps: Vec<Step>) -> Vec<Step> {
        self.mode = Mode::Editing;
        let events = self.prompt();
        steps.extend(self.take(events));
        steps
    }

    fn end(&mut self) -> Step {
        self.mode = Mode::Ended;
        Step::End(self.session.status())
    }

    fn prompt(&mut self) -> Vec<Event> {
        let prompt = if self.assembly.is_open() { MORE.to_owned() } else { self.session.prompt() };
        match &mut self.input {
            Input::Terminal(editor) => editor.prompt(&prompt),
            Input::Plain(plain) => plain.next(),
        }
    }

    fn notice(&self, text: &str) -> Step {
        match self.input {
            Input::Terminal(_) => Step::Show(Bytes::from(format!("portcullis: {text}\r\n"))),
            Input::Plain(_) => Step::Say(Bytes::from(format!("portcullis: {text}\n"))),
        }
    }

    fn take(&mut self, events: Vec<Event>) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut events = VecDeque::from(events);
        while let Some(event) = events.pop_front() {
            let again = match event {
                Event::Show(bytes) => {
                    steps.push(Step::Show(bytes));
                    false
                }
                Event::Complete(word) => {
                    steps.push(Step::Complete(word));
                    false
                }
                Event::Line(line) => self.line(&line, &mut steps),
                Event::TooLong => self.give_up("the line is too long, and nothing of it was run", 1, &mut steps),
                Event::Unreadable => self.give_up("the line is not UTF-8, and was not run", 1, &mut steps),
                Event::Interrupt if self.mode == Mode::Deciding => {
                    steps.push(Step::Withdraw);
                    false
                }
                Event::Interrupt => {
                    self.assembly.clear();
                    self.session.set_status(130);
                    true
                }
                Event::EndOfInput => self.end_of_input(&mut steps),
            };
            if again {
                events.extend(self.prompt());
            }
        }
        steps
    }

    /// Whether to ask for another line.
    fn line(&mut self, line: &str, steps: &mut Vec<Step>) -> bool {
        match self.assembly.push(line) {
            Assembled::Nothing | Assembled::More => true,
            Assembled::TooLong => self.give_up("the command is too long, and nothing of it was run", 1, steps),
            Assembled::Whole(text) => {
                self.whole(text, steps);
                false
            }
        }
    }

    fn whole(&mut self, text: String, steps: &mut Vec<Step>) {
        if let Some(status) = leaves(&text) {
            self.session.set_status(status.unwrap_or_else(|| self.session.status()));
            steps.push(self.end());
            return;
        }
        self.mode = Mode::Deciding;
        self.number += 1;
        steps.push(Step::Judge(Asked { text, number: self.number }));
    }

    fn give_up(&mut self, why: &str, status: u8, steps: &mut Vec<Step>) -> bool {
        self.assembly.clear();
        self.session.set_status(status);
        steps.push(self.notice(why));
        true
    }

    fn end_of_input(&mut self, steps: &mut Vec<Step>) -> bool {
        match (self.assembly.take(), &self.input) {
            (None, _) => {
                steps.push(self.end());
                false
            }
            (Some(_), Input::Terminal(_)) => self.give_up("the command is not complete, and was not run", 2, steps),
            // The reader refuses it, and that is recorded.
            (Some(text), Input::Plain(_)) => {
                self.whole(text, steps);
                false
            }
        }
    }
}

/// Whether a text is nothing but the end of the session, and the status it says.
fn leaves(text: &str) -> Option<Option<u8>> {
    let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
    words.next().filter(|name| matches!(*name, "exit" | "logout"))?;
    match (words.next(), words.next()) {
        (None, None) => Some(None),
        (Some(status), None) if status.bytes().all(|byte| byte.is_ascii_digit()) => {
            // As a shell does it: the lowest eight bits.
            status.parse::<u64>().ok().and_then(|status| u8::try_from(status % 256).ok()).map(Some)
        }
        (Some(_), _) | (None, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests;
