//! What an API makes of a request, and of the answer to it.
//!
//! Each API has a folder with a `read`, which turns a whole request into the command that is asked about, and a
//! [`Reader`], which takes the answer as it comes. Both are sans-I/O: a reader is given decoded bytes and verdicts, and
//! gives [`Part`]s. Values leave through [`Words`], which masks them; what a reader gives as [`Part::Data`] has been
//! through it or is the gateway's own.
//!
//! Promises: how an answer was cut into pieces changes nothing of what comes out; what a reader cannot read it does not
//! pass. Does not promise that the command is allowed: the gate says so.
//! Held by: the tests of each API, which feed every answer byte by byte and whole.

pub(crate) mod anthropic;
pub(crate) mod mcp;
mod model;
pub(crate) mod openai;
pub(crate) mod rest;
#[cfg(test)]
pub(crate) mod testing;

use crate::frame::{Head, Request};
use bytes::Bytes;
pub(crate) use model::Room;
use portcullis_model::{ApprovalId, Command, Denial, Tokens};
use std::time::Duration;

/// Which API a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Methods on paths, with JSON in them.
    Rest,
    /// Anthropic's Messages.
    Anthropic,
    /// OpenAI's chat completions and responses.
    OpenAi,
    /// The Model Context Protocol over streamable HTTP.
    Mcp,
}

/// How often the client of an SSE stream hears of us while people decide.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A request as its API reads it.
pub(crate) struct Asked {
    /// What the request offers to a model that it may do: judged before it, and prepared only.
    pub(crate) offers: Option<Command>,
    /// What the request does. One that cannot be read is a command with a fault.
    pub(crate) command: Command,
    /// What is forwarded if it passes; for a faulty command, what was received.
    pub(crate) request: Request,
    /// Tokens that it may cost at most, for the budget; 0 where it has none.
    pub(crate) tokens: u64,
    /// Takes its answer.
    pub(crate) reader: Box<dyn Reader>,
}

/// What a request comes to.
pub(crate) enum Read {
    /// A command.
    Asked(Box<Asked>),
    /// The gateway itself answers.
    Own(Head, Bytes),
}

/// Takes an answer as it comes.
pub(crate) trait Reader: Send {
    /// The head of the answer. It may be changed: what the client gets is what is left in it. A length that was announced is
    /// gone already and is set anew where the body is whole before the head leaves.
    ///
    /// # Errors
    /// [`Unfit`]: the client gets none of it.
    fn on_head(&mut self, head: &mut Head, words: &mut dyn Words) -> Result<(), Unfit>;

    /// The next decoded bytes. Not called between [`Part::Propose`] and its verdict.
    fn on_data(&mut self, data: &[u8], words: &mut dyn Words, parts: &mut Vec<Part>);

    /// Bytes that it keeps until the answer is whole.
    fn gathered(&self) -> usize;

    /// The answer is over, whole or not. A reader that was given its end gives [`Part::End`] or [`Part::Broken`] last.
    fn on_end(&mut self, ended: Ended, words: &mut dyn Words, parts: &mut Vec<Part>);

    /// What became of the command proposed last. What was fed before it and not read yet is read on from here.
    fn on_verdict(&mut self, verdict: Result<(), &Denial>, words: &mut dyn Words, parts: &mut Vec<Part>);

    /// What keeps the client waiting for this approval, of its request or of what was proposed, where a stream was asked for
    /// and knows such a thing.
    fn keep_alive(&self, approval: ApprovalId) -> Option<Bytes>;
}

/// How the backend's answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Whole,
    /// The backend's connection broke, its coding was wrong, or a limit was reached.
    Broken,
}

/// What a reader gives.
#[derive(Debug)]
pub(crate) enum Part {
    /// For the client: masked, or the gateway's own.
    Data(Bytes),
    /// The answer proposes a command to the client. Nothing follows before the verdict.
    Propose(Box<Command>),
    /// What the answer cost, as far as it is known: the newest replaces the one before.
    Used(Tokens),
    /// The answer is whole.
    End,
    /// The answer cannot go on. Where nothing of it has left, the client gets an error of its API; else the connection
    /// breaks off.
    Broken(Unfit),
}

/// Why an answer cannot be passed on, in words the client may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfit(pub(crate) &'static str);

/// A text that was to be JSON and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJson;

/// The masks that bind the caller, as readers use them: for what comes back, and for what leaves to a model.
pub(crate) trait Words {
    /// Whether any mask binds.
    fn binds(&self) -> bool;

    /// Whether a mask names fields of JSON.
    fn binds_fields(&self) -> bool;

    /// The names of members that those masks go by, to what they hide.
    fn protected(&self) -> Vec<String>;

    /// One JSON document, masked in its fields and by detectors; `None` where nothing changed.
    ///
    /// # Errors
    /// [`NotJson`]: none of it may pass while a mask binds.
    fn json(&mut self, document: &str) -> Result<Option<String>, NotJson>;

    /// The same, and the record keeps the document, masked for it.
    ///
    /// # Errors
    /// [`NotJson`].
    fn json_kept(&mut self, document: &str) -> Result<Option<String>, NotJson> {
        self.record_document(document, true);
        self.json(document)
    }

    /// One whole text, looked through by detectors; `None` where nothing was found.
    fn whole(&mut self, text: &str) -> Option<String>;

    /// The next piece of a stream of text: what of it, and of earlier pieces, may pass now. Streams have numbers of the
    /// reader's choosing.
    fn piece(&mut self, stream: u32, text: &str) -> String;

    /// The stream is over: the rest of it.
    fn last(&mut self, stream: u32) -> String;

    /// What the record keeps of the answer, before masking: the gate masks it for the record. Words that are no document
    /// and hold no members of one are kept where fields are masked, too.
    fn record(&mut self, text: &str);

    /// The same of a document. Of one that is not `whole` this is the beginning; the record says so and keeps no more.
    fn record_document(&mut self, document: &str, _whole: bool) {
        self.record(document);
    }

    /// The same of the next piece of a stream of text, of the numbers that [`Words::piece`] has.
    fn record_piece(&mut self, _stream: u32, piece: &[u8]) {
        self.record(&String::from_utf8_lossy(piece));
    }

    /// What the record makes of an answer, of which there is something to record.
    fn keeps(&mut self) -> Keeps {
        Keeps::Nothing
    }

    /// The masks of the record, whoever else they bind, for what is made with them of several parts; `None`: it keeps nothing
    /// more of the answer.
    fn recording(&mut self) -> Option<Box<dyn Words>> {
        None
    }

    /// Records what was made as [`Words::keeps`] says, or with [`Words::recording`].
    fn record_made(&mut self, _made: &str) {}

    /// How much may still be looked through in the texts of this body for JSON that is none; `None`: each text has its own.
    fn room(&mut self) -> Option<&mut Room> {
        None
    }
}

/// What the record makes of an answer that is masked part by part.
pub(crate) enum Keeps {
    /// It keeps nothing more of it.
    Nothing,
    /// What the client gets.
    Alike,
    /// What these masks leave of it.
    Apart(Box<dyn Words>),
}
