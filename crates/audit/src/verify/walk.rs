//! Walking along one chain: the same steps for a start, a store and an export.

use super::{Finding, Subject, Why};
use crate::chain::{self, LogId};
use crate::layout::Leaf;
use crate::tally::Tally;
use portcullis_model::{Digest, Event, EventBody, SessionId};
use std::collections::VecDeque;

/// One chain, walked so far.
pub(crate) struct Walk {
    stream: SessionId,
    head: Digest,
    tally: Tally,
    /// The leaves that seal this stream and are not reached yet.
    leaves: VecDeque<(u64, Leaf)>,
    sealed: u64,
}

/// A chain, walked to its end.
pub(crate) struct Walked {
    pub(crate) head: Digest,
    pub(crate) tally: Tally,
    /// How many of its events are sealed.
    pub(crate) sealed: u64,
}

impl Walk {
    /// At the start of a chain that these leaves, in the order of the log, seal.
    pub(crate) fn new(log: LogId, stream: SessionId, leaves: Vec<(u64, Leaf)>) -> Self {
        let head = chain::genesis(&log, stream);
        Self { stream, head, tally: Tally::default(), leaves: leaves.into(), sealed: 0 }
    }

    fn finding(&self, why: Why, detail: impl Into<String>) -> Finding {
        Finding::new(Subject::Event { session: self.stream, number: self.tally.events }, why, detail)
    }

    /// One more event: stored as this number, with this head after it.
    pub(crate) fn step(&mut self, number: u64, head: Digest, json: &[u8]) -> Result<(), Finding> {
        let expected = self.tally.events;
        if number != expected {
            return Err(self.finding(Why::Missing, ""));
        }
        let Ok(event) = serde_json::from_slice::<Event>(json) else {
            return Err(self.finding(Why::Altered, "it cannot be read"));
        };
        if (event.stream, event.number) != (self.stream, expected) {
            let detail = format!("event {} of session {} is in its place", event.number, event.stream);
            return Err(self.finding(Why::Reordered, detail));
        }
        let reached = chain::next(&self.head, json);
        if reached != head {
            return Err(self.finding(Why::Altered, ""));
        }
        if (expected == 0) != matches!(event.body, EventBody::SessionStarted { .. }) || self.tally.ended.is_some() {
            return Err(self.finding(Why::Unexpected, ""));
        }
        self.check_seal(reached)?;
        self.head = reached;
        self.tally.note(event.at, &event.body);
        Ok(())
    }

    /// The seal over the events so far and the next one, if there is one.
    fn check_seal(&mut self, reached: Digest) -> Result<(), Finding> {
        let events = self.tally.events + 1;
        let Some((index, leaf)) = self.leaves.front() else { return Ok(()) };
        if leaf.events > events {
            return Ok(());
        }
        if leaf.events < events {
            return Err(Finding::new(Subject::Leaf(*index), Why::Reordered, "it seals less than one before it"));
        }
        if leaf.head != reached {
            let first = self.sealed;
            let detail = if first + 1 == events {
                "it is not what was sealed".to_owned()
            } else {
                format!("it, or one from {first} on, is not what was sealed")
            };
            return Err(self.finding(Why::Altered, detail));
        }
        self.sealed = events;
        self.leaves.pop_front();
        Ok(())
    }

    /// At the end of the events: every seal must have been reached.
    pub(crate) fn finish(self) -> Result<Walked, Finding> {
        if let Some((_, leaf)) = self.leaves.front() {
            return Err(self.finding(Why::Truncated, format!("{} events were sealed", leaf.events)));
        }
        Ok(Walked { head: self.head, tally: self.tally, sealed: self.sealed })
    }
}
