//! What a stream comes to: counted by its owner as it is written, and again by whoever recovers, shows or verifies it.

use jiff::Timestamp;
use portcullis_model::{Effect, EventBody, Outcome};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The counts of a closed stream, stored beside it so that listing needs not read it. Verified against the events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Commands that were received; one that was only prepared ran nothing and does not count.
    pub commands: u64,
    /// Of those, refused by policy or by their reader.
    pub denied: u64,
    /// When it ended.
    pub ended: Timestamp,
    /// Events in it.
    pub events: u64,
    /// Why it ended.
    pub reason: Arc<str>,
}

/// What an event changes in the count, so that it can be counted after the event itself was given away.
#[derive(Clone, Debug)]
pub(crate) enum Noted {
    Received(u64),
    /// Refused: nothing of it ran, so nothing of it is open.
    Denied(u64),
    Settled(u64),
    Ended(Timestamp, Arc<str>),
    Nothing,
}

impl Noted {
    pub(crate) fn of(at: Timestamp, body: &EventBody) -> Self {
        match body {
            EventBody::CommandReceived { command, .. } => Self::Received(*command),
            EventBody::CommandDecided { command, verdict: Effect::Deny, .. } => Self::Denied(*command),
            EventBody::CommandSettled { command, .. } => Self::Settled(*command),
            EventBody::SessionEnded { reason, .. } => Self::Ended(at, Arc::clone(reason)),
            EventBody::CommandDecided { verdict: Effect::Allow | Effect::Hold, .. }
            | EventBody::CommandPrepared { .. }
            | EventBody::SessionStarted { .. }
            | EventBody::SessionLogin { .. }
            | EventBody::Result { .. }
            | EventBody::Output { .. }
            | EventBody::Terminal { .. }
            | EventBody::Usage { .. }
            | EventBody::Masked { .. }
            | EventBody::ApprovalRequested { .. }
            | EventBody::ApprovalSettled { .. }
            | EventBody::GrantGiven { .. }
            | EventBody::GrantEnded { .. }
            | EventBody::AdminChanged { .. }
            | EventBody::PolicyLoaded { .. }
            | EventBody::IdentityRefused { .. } => Self::Nothing,
        }
    }
}

/// The running count of one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) events: u64,
    pub(crate) commands: u64,
    pub(crate) denied: u64,
    /// Received and not settled.
    pub(crate) open: BTreeSet<u64>,
    pub(crate) ended: Option<(Timestamp, Arc<str>)>,
}

impl Tally {
    pub(crate) fn note(&mut self, at: Timestamp, body: &EventBody) {
        self.take(&Noted::of(at, body));
    }

    pub(crate) fn take(&mut self, noted: &Noted) {
        self.events += 1;
        match noted {
            Noted::Received(command) => {
                self.commands += 1;
                self.open.insert(*command);
            }
            Noted::Denied(command) => {
                self.denied += 1;
                self.open.remove(command);
            }
            Noted::Settled(command) => {
                self.open.remove(command);
            }
            Noted::Ended(at, reason) => self.ended = Some((*at, Arc::clone(reason))),
            Noted::Nothing => {}
        }
    }

    /// What ends the stream: every open command settled as interrupted, then the end.
    pub(crate) fn closing(&self, reason: Arc<str>) -> Vec<EventBody> {
        let open = self.open.iter().map(|&command| EventBody::CommandSettled {
            command,
            outcome: Outcome::Interrupted,
            data: None,
        });
        open.chain([EventBody::SessionEnded { reason, commands: self.commands }]).collect()
    }

    /// The summary, once it has ended.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let (ended, reason) = self.ended.clone()?;
        Some(Summary { commands: self.commands, denied: self.denied, ended, events: self.events, reason })
    }
}
