//! A session as a person reads it: one exchange for each command, and remarks between them.
//!
//! Built from events alone, so it shows a live session, a stored one and an export alike. A timeline holds the whole
//! session in memory, results included; who wants to stream reads [`Events`](crate::Events).

use crate::error::AuditError;
use crate::reader::{Reader, SessionInfo};
use jiff::Timestamp;
use portcullis_model::{
    ApprovalId, Digest, Effect, Event, EventBody, Fault, GrantId, MaskedColumn, Outcome, Parameter, Reason,
    RecordedColumn, RecordedMatch, RecordedOperation, SessionId, Source, Text,
};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;

/// A session, whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timeline {
    /// Its line.
    pub session: SessionInfo,
    /// What happened, in order; an exchange stands where its command was received.
    pub steps: Vec<Step>,
}

/// One step of a timeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A command and all that became of it.
    Exchange(Box<Exchange>),
    /// Something that belongs to no command that ran: what was only prepared, too.
    Remark(Box<Remark>),
}

/// A command and all that became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exchange {
    /// Its ordinal.
    pub command: u64,
    /// When it was received.
    pub at: Timestamp,
    /// Where it came from.
    pub source: Source,
    /// Its text, redacted.
    pub text: Text,
    /// Over its exact bytes.
    pub digest: Digest,
    /// What it would do.
    pub operations: Vec<RecordedOperation>,
    /// The values bound to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// Set where its reader refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The prepared command that it runs, where it runs one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepared_by: Option<u64>,
    /// The decision, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ruling: Option<Ruling>,
    /// Approvals that were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
    /// What came back, after masking, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answer: Vec<Answer>,
    /// What of it was masked for the client.
    pub masked: Vec<MaskedColumn>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled: Option<Timestamp>,
}

/// The decision on a command.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ruling {
    /// Allow, hold or deny.
    pub verdict: Effect,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The reason as the client was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<Arc<str>>,
    /// Every rule that matched.
    pub matches: Vec<RecordedMatch>,
    /// The digest of the policy set.
    pub policy: Arc<str>,
    /// The grants under which rules that hold did not hold it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<GrantId>,
}

/// An approval that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Vote {
    /// The request.
    pub approval: ApprovalId,
    /// The rule that asks; empty where only the settling was recorded.
    pub rule: Arc<str>,
    /// What became of it, once it is settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Arc<str>>,
    /// Who voted.
    pub voters: Vec<Arc<str>>,
}

/// A part of what came back.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Rows of a result; several parts with the same columns are joined.
    Rows {
        /// The columns.
        columns: Vec<RecordedColumn>,
        /// The values in text form.
        rows: Vec<Vec<Option<Arc<str>>>>,
        /// Whether the recording limit cut the rest off.
        truncated: bool,
    },
    /// Output that is not rows.
    Output {
        /// `notice`, `error`, `stdout` …
        stream: Arc<str>,
        /// The text.
        text: String,
        /// Whether the recording limit cut the rest off.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
    },
    /// The screen of the output that follows.
    Terminal {
        /// Characters in a line.
        columns: u32,
        /// Lines.
        rows: u32,
    },
}

/// Something that belongs to no command.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Remark {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: EventBody,
}

impl Reader {
    /// A session as a timeline.
    ///
    /// # Errors
    /// The store's, that there is no such session, or that an event cannot be read.
    pub fn timeline(&self, id: SessionId) -> Result<Timeline, AuditError> {
        let session = self.session(id)?;
        let mut builder = Builder::default();
        for event in self.events(id, 0) {
            builder.add(event?);
        }
        Ok(Timeline { session, steps: builder.steps })
    }
}

/// Puts events together into steps.
#[derive(Default)]
struct Builder {
    steps: Vec<Step>,
    /// Where the exchange of a command stands in `steps`.
    places: HashMap<u64, usize>,
}

impl Builder {
    fn exchange(&mut self, command: u64) -> Option<&mut Exchange> {
        match self.steps.get_mut(*self.places.get(&command)?)? {
            Step::Exchange(exchange) => Some(exchange),
            Step::Remark(_) => None,
        }
    }

    fn add(&mut self, event: Event) {
        let Event { at, body, .. } = event;
        if let Some(unplaced) = self.place(at, body) {
            self.steps.push(Step::Remark(Box::new(Remark { at, what: unplaced })));
        }
    }

    /// Puts the event into its exchange; hands back what belongs to none.
    fn place(&mut self, at: Timestamp, body: EventBody) -> Option<EventBody> {
        if let EventBody::CommandReceived {
            command,
            source,
            text,
            digest,
            operations,
            parameters,
            fault,
            prepared_by,
        } = body
        {
            self.places.insert(command, self.steps.len());
            self.steps.push(Step::Exchange(Box::new(Exchange {
                command,
                at,
                source,
                text,
                digest,
                operations,
                parameters,
                fault,
                prepared_by,
                ruling: None,
                votes: Vec::new(),
                answer: Vec::new(),
                masked: Vec::new(),
                outcome: None,
                settled: None,
            })));
            return None;
        }
        let command = command_of(&body);
        match command.and_then(|command| self.exchange(command)) {
            Some(exchange) => exchange.add(at, body),
            None => Some(body),
        }
    }
}

/// The command that an event is about.
const fn command_of(body: &EventBody) -> Option<u64> {
    match body {
        EventBody::CommandReceived { command, .. }
        | EventBody::CommandDecided { command, .. }
        | EventBody::CommandSettled { command, .. }
        | EventBody::Result { command, .. }
        | EventBody::Masked { command, .. }
        | EventBody::ApprovalRequested { command, .. }
        | EventBody::ApprovalSettled { command, .. } => Some(*command),
        EventBody::Output { command, .. } | EventBody::Terminal { command, .. } => *command,
        EventBody::CommandPrepared { .. }
        | EventBody::Usage { .. }
        | EventBody::GrantGiven { .. }
        | EventBody::GrantEnded { .. }
        | EventBody::SessionStarted { .. }
        | EventBody::SessionLogin { .. }
        | EventBody::SessionEnded { .. }
        | EventBody::AdminChanged { .. }
        | EventBody::PolicyLoaded { .. }
        | EventBody::IdentityRefused { .. } => None,
    }
}

impl Exchange {
    /// Takes what is about this command; hands anything else back.
    fn add(&mut self, at: Timestamp, body: EventBody) -> Option<EventBody> {
        match body {
            EventBody::CommandDecided { verdict, reason, told, matches, policy, grants, .. } => {
                self.ruling = Some(Ruling { verdict, reason, told, matches, policy, grants });
            }
            EventBody::CommandSettled { outcome, .. } => {
                self.outcome = Some(outcome);
                self.settled = Some(at);
            }
            EventBody::Result { columns, rows, truncated, .. } => self.rows(columns, rows, truncated),
            EventBody::Output { stream, text, truncated, .. } => {
                self.answer.push(Answer::Output { stream, text, truncated });
            }
            EventBody::Terminal { columns, rows, .. } => self.answer.push(Answer::Terminal { columns, rows }),
            EventBody::Masked { columns, .. } => self.masked.extend(columns),
            EventBody::ApprovalRequested { approval, rule, .. } => {
                self.votes.push(Vote { approval, rule, verdict: None, voters: Vec::new() });
            }
            EventBody::ApprovalSettled { approval, verdict, voters, .. } => self.settle_vote(approval, verdict, voters),
            other @ (EventBody::CommandReceived { .. }
            | EventBody::CommandPrepared { .. }
            | EventBody::Usage { .. }
            | EventBody::GrantGiven { .. }
            | EventBody::GrantEnded { .. }
            | EventBody::SessionStarted { .. }
            | EventBody::SessionLogin { .. }
            | EventBody::SessionEnded { .. }
            | EventBody::AdminChanged { .. }
            | EventBody::PolicyLoaded { .. }
            | EventBody::IdentityRefused { .. }) => return Some(other),
        }
        None
    }

    fn rows(&mut self, columns: Vec<RecordedColumn>, more: Vec<Vec<Option<Arc<str>>>>, cut: bool) {
        match self.answer.last_mut() {
            // Only the first part of a result names its columns.
            Some(Answer::Rows { rows, truncated, .. }) if columns.is_empty() => {
                rows.extend(more);
                *truncated |= cut;
            }
            Some(Answer::Rows { .. } | Answer::Output { .. } | Answer::Terminal { .. }) | None => {
                self.answer.push(Answer::Rows { columns, rows: more, truncated: cut });
            }
        }
    }

    fn settle_vote(&mut self, approval: ApprovalId, verdict: Arc<str>, voters: Vec<Arc<str>>) {
        match self.votes.iter_mut().find(|vote| vote.approval == approval) {
            Some(vote) => (vote.verdict, vote.voters) = (Some(verdict), voters),
            None => self.votes.push(Vote { approval, rule: "".into(), verdict: Some(verdict), voters }),
        }
    }
}
