//! A streamed answer, event by event.
//!
//! Promises: nothing behind a proposed call is read before its verdict; an answer that broke off, at whatever place and
//! whoever broke it, ends with an error of the API and never with its last event, and the record has what was read of it.
//! While much of it waits, a client hears that it goes on.
//! Does not know any event: the [`Grammar`] of an API does. Held by: the tests of each API.

use super::{BROKE_OFF, Told};
use crate::api::{Ended, Part, Unfit, Words};
use crate::sse::{self, Event, Parser};
use portcullis_model::Denial;
use std::collections::VecDeque;

const UNREADABLE: Unfit = Unfit("the answer of the model cannot be read");

/// Bytes of events of which nothing leaves, until a comment does: a long call or a masked text is said for minutes, and
/// clients leave a stream that is silent for as long.
const QUIET: usize = 8 << 10;

/// Why a stream cannot go on, and what the provider said of it, if it did, masked.
pub(in crate::api) struct Failure {
    pub(in crate::api) why: Unfit,
    pub(in crate::api) told: Option<Told>,
}

impl From<Unfit> for Failure {
    fn from(why: Unfit) -> Self {
        Self { why, told: None }
    }
}

/// The events of an API.
pub(in crate::api) trait Grammar: Send {
    /// The next event. What is put in front of the queue is read next.
    fn on_event(
        &mut self,
        event: &Event,
        queue: &mut VecDeque<Event>,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Failure>;

    /// What became of the call that was asked about.
    fn settled(
        &mut self,
        verdict: Result<(), &Denial>,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit>;

    /// Whether a verdict is awaited.
    fn is_asking(&self) -> bool;

    /// Whether the answer has come to its end.
    fn is_whole(&self) -> bool;

    /// An error, as the API says it in a stream.
    fn error(&self, told: &Told) -> Event;

    /// Gives the record what was read: all of it, or what came before it broke.
    fn record(&mut self, broke: Option<&Unfit>, words: &mut dyn Words);
}

/// Reads a stream.
pub(in crate::api) struct Pump<G> {
    grammar: G,
    parser: Parser,
    /// Events that wait behind a verdict.
    queue: VecDeque<Event>,
    /// What follows the queue.
    after: Option<Result<Ended, Unfit>>,
    /// Nothing more comes out.
    over: bool,
    /// Bytes of events since something left.
    quiet: usize,
}

impl<G: Grammar> Pump<G> {
    pub(in crate::api) fn new(grammar: G) -> Self {
        Self { grammar, parser: Parser::default(), queue: VecDeque::new(), after: None, over: false, quiet: 0 }
    }

    pub(in crate::api) fn on_data(&mut self, data: &[u8], words: &mut dyn Words, parts: &mut Vec<Part>) {
        if self.after.is_none() && self.parser.feed(data, &mut self.queue).is_err() {
            self.after = Some(Err(UNREADABLE));
        }
        self.run(words, parts);
    }

    pub(in crate::api) fn on_end(&mut self, ended: Ended, words: &mut dyn Words, parts: &mut Vec<Part>) {
        self.after.get_or_insert(Ok(ended));
        // Who waited for the verdict is gone, or gets an answer that broke off whatever it is.
        if ended == Ended::Broken && self.grammar.is_asking() && !self.over {
            self.fail(BROKE_OFF.into(), words, parts);
        }
        self.run(words, parts);
    }

    pub(in crate::api) fn on_verdict(
        &mut self,
        verdict: Result<(), &Denial>,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) {
        if self.over || !self.grammar.is_asking() {
            return;
        }
        if let Err(why) = self.grammar.settled(verdict, words, parts) {
            self.fail(why.into(), words, parts);
        }
        self.run(words, parts);
    }

    fn run(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) {
        while !self.over && !self.grammar.is_asking() {
            let went = match self.queue.pop_front() {
                Some(event) => self.next(&event, words, parts),
                None => match self.after.take() {
                    None => return,
                    Some(Ok(Ended::Whole)) if self.grammar.is_whole() => {
                        self.over = true;
                        self.grammar.record(None, words);
                        parts.push(Part::End);
                        return;
                    }
                    Some(Ok(_)) => Err(BROKE_OFF.into()),
                    Some(Err(why)) => Err(why.into()),
                },
            };
            if let Err(failure) = went {
                self.fail(failure, words, parts);
            }
        }
    }

    /// The next event, and a sign of life where nothing came of it and of those before. It goes by what the events are and
    /// not by time, so it is the same however the stream was cut.
    fn next(&mut self, event: &Event, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Failure> {
        let before = parts.len();
        self.grammar.on_event(event, &mut self.queue, words, parts)?;
        self.quiet = if parts.len() == before { self.quiet.saturating_add(event.data.len()) } else { 0 };
        if self.quiet >= QUIET {
            self.quiet = 0;
            parts.push(Part::Data(sse::comment("goes on")));
        }
        Ok(())
    }

    /// The client must not take what it has for an answer.
    fn fail(&mut self, failure: Failure, words: &mut dyn Words, parts: &mut Vec<Part>) {
        self.over = true;
        self.queue.clear();
        self.grammar.record(Some(&failure.why), words);
        let told = failure.told.unwrap_or_else(|| Told::own(format!("portcullis: {}", failure.why.0)));
        parts.push(Part::Data(self.grammar.error(&told).written()));
        parts.push(Part::Broken(failure.why));
    }
}
