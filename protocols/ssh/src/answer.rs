//! The way back of one command: what its program writes, redacted where a mask says so, recorded and released.
//!
//! Promises: every byte of the target's output passes the gate's answer, in order and each stream by itself; with a
//! terminal there is one stream, since there is one screen; what is held back because it may become a value leaves when
//! the program goes quiet ([`Output::pause`]) or ends, and before anything that says how it ended.
//! Held by: `tests/it/ssh.rs` and `ssh_guarded.rs` of the binary.

use crate::frame::{Size, Terminal, ToClient};
use crate::reply::STDERR;
use bytes::Bytes;
use portcullis_gate::{Answer, Permit, Released, Session};
use std::time::Duration;

/// What a program writes, on its way to the client.
pub(crate) struct Output {
    answer: Answer,
    screen: bool,
    bytes: u64,
}

impl Output {
    /// The output of this command; `terminal` is the one it runs on.
    pub(crate) fn of(session: &Session, permit: &Permit, terminal: Option<&Terminal>) -> Self {
        let mut answer = session.answer(Some(permit));
        if let Some(terminal) = terminal {
            answer.terminal(&terminal.term, terminal.size.columns, terminal.size.rows);
        }
        Self { answer, screen: terminal.is_some(), bytes: 0 }
    }

    const fn stdout(&self) -> &'static str {
        if self.screen { "terminal" } else { "stdout" }
    }

    const fn stream(&self, kind: u32) -> &'static str {
        match kind {
            _ if self.screen => "terminal",
            STDERR => "stderr",
            _ => "extended",
        }
    }

    /// Standard output.
    pub(crate) fn data(&mut self, data: Bytes) -> Option<Released<ToClient>> {
        self.bytes += data.len() as u64;
        let shown = self.answer.text(self.stdout(), data);
        self.release(shown, ToClient::Data)
    }

    /// Extended data of this type.
    pub(crate) fn extended(&mut self, kind: u32, data: Bytes) -> Option<Released<ToClient>> {
        self.bytes += data.len() as u64;
        let shown = self.answer.text(self.stream(kind), data);
        self.release(shown, |shown| ToClient::Extended(kind, shown))
    }

    /// Whether a pause would let anything out.
    pub(crate) fn waits(&self) -> bool {
        self.answer.text_waits()
    }

    /// How long a program is quiet before a pause is due.
    pub(crate) const QUIET: Duration = Answer::QUIET;

    /// The program is quiet: what may be shown of what was held back.
    pub(crate) fn pause(&mut self) -> Vec<Released<ToClient>> {
        let out = self.answer.text_pause(self.stdout());
        let out = self.release(out, ToClient::Data);
        let err = if self.screen { Bytes::new() } else { self.answer.text_pause("stderr") };
        let err = self.release(err, |shown| ToClient::Extended(STDERR, shown));
        out.into_iter().chain(err).collect()
    }

    /// The last of the output.
    pub(crate) fn end(&mut self) -> Vec<Released<ToClient>> {
        let out = self.answer.text_end(self.stdout());
        let out = self.release(out, ToClient::Data);
        let err = if self.screen { Bytes::new() } else { self.answer.text_end("stderr") };
        let err = self.release(err, |shown| ToClient::Extended(STDERR, shown));
        out.into_iter().chain(err).collect()
    }

    /// What the gateway itself writes beside it: for the record, since it is released as the gateway's own.
    pub(crate) fn said(&mut self, words: &[u8]) {
        self.answer.said(self.stdout(), words);
    }

    /// What is no output: a status, an end.
    pub(crate) fn tell(&mut self, frame: ToClient) -> Released<ToClient> {
        self.answer.release(frame)
    }

    /// The terminal has another size.
    pub(crate) fn resized(&mut self, size: Size) {
        self.answer.resized(size.columns, size.rows);
    }

    /// Bytes of output so far.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn release(&mut self, shown: Bytes, frame: impl FnOnce(Bytes) -> ToClient) -> Option<Released<ToClient>> {
        (!shown.is_empty()).then(|| self.answer.release(frame(shown)))
    }
}
