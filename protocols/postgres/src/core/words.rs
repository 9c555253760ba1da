//! What a server says in words: errors, notices, notifications, settings; as the client may read them.
//!
//! Promises: words about a command that touches protected data keep only what cannot hold any, and so do those that come
//! before the transaction ends in which one ran: triggers and constraints that are deferred speak at COMMIT or Sync. So do
//! words that code raised which the client did not send, and words about a relation that has protected columns, whatever
//! the command named: cascades, triggers and functions in constraints go where they like. What
//! another session notified comes without its payload where the client is bound by masks, what this one notified where
//! protected data was touched; a setting that may have been set to a value stays unsaid. Where detectors are in force,
//! they look at the rest. The record holds what the masks of the record leave, whoever the client is. Does not promise
//! that a channel's name says nothing.
//! Held by: `core/tests/masking.rs`, `tests/it/masking.rs`, `crates/portcullis/tests/it/masking_record.rs`, and the tables of `mask/message/tests.rs`.

use super::run::RunId;
use super::{Core, Steps};
use crate::answer::said;
use crate::expect::Expectations;
use crate::frame::Frame;
use crate::mask;
use crate::message::{Fields, Said, ServerMessage, TransactionStatus};
use bytes::Bytes;
use portcullis_gate::{Answer, Mask};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// Settings that a server reports and that take only values of a closed set, or none from a session.
const CLOSED: [&str; 10] = [
    "DateStyle",
    "IntervalStyle",
    "client_encoding",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "is_superuser",
    "server_encoding",
    "server_version",
    "standard_conforming_strings",
];

/// What protected values may still be in what the server says.
#[derive(Default)]
pub(super) struct Touched {
    /// Commands of this transaction that touch what is protected from the client.
    client: Slots,
    /// The same, from the record.
    record: Slots,
    /// Those that touch what is protected from the client since the server was ready.
    unready: Slots,
    /// Settings that were not told: what they go back to may be what they were then.
    settings: HashSet<Box<str>>,
}

/// The slots of commands, in order: the first and those that are not answered.
#[derive(Default)]
pub(super) struct Slots(VecDeque<u64>);

impl Slots {
    pub(super) fn push(&mut self, slot: u64, queue: &Expectations) {
        if self.0.get(1).is_some_and(|second| queue.is_answered(*second)) {
            self.0.remove(1);
        }
        self.0.push_back(slot);
    }

    /// Forgets those that are answered.
    pub(super) fn ready(&mut self, queue: &Expectations) {
        self.0.retain(|slot| !queue.is_answered(*slot));
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them was answered or is being answered: what was only sent says nothing yet.
    fn began(&self, queue: &Expectations) -> bool {
        let front = queue.front().map(|slot| slot.number);
        self.0.front().is_some_and(|first| front.is_none_or(|front| *first <= front))
    }
}

/// What words are about.
#[derive(Clone, Copy)]
pub(super) struct About {
    own_pid: Option<i32>,
    /// Something protected from the client was touched in this transaction.
    client: bool,
    /// The same, from the record.
    record: bool,
}

impl Core {
    /// A command was sent in this slot.
    pub(super) fn touches(&mut self, id: RunId, slot: u64) {
        let Some(run) = self.runs.get(id) else { return };
        self.surroundings.sent(&run.read, slot, &self.queue);
        if run.command.can_write() {
            self.wrote.push(slot, &self.queue);
        }
        if run.answer.touches() {
            self.touched.client.push(slot, &self.queue);
            self.touched.unready.push(slot, &self.queue);
        }
        if run.answer.touches_record() {
            self.touched.record.push(slot, &self.queue);
        }
    }

    /// The server is ready for more: a transaction that ended says nothing any more.
    pub(super) fn words_ready(&mut self, status: TransactionStatus) {
        self.touched.unready.ready(&self.queue);
        self.surroundings.ready(status == TransactionStatus::Idle, &self.queue);
        if status == TransactionStatus::Idle {
            self.touched.client.ready(&self.queue);
            self.touched.record.ready(&self.queue);
            self.wrote.ready(&self.queue);
        }
    }

    /// What words are about that come now.
    pub(super) fn about(&self) -> About {
        About {
            own_pid: self.own_pid,
            client: self.touched.client.began(&self.queue),
            record: self.touched.record.began(&self.queue),
        }
    }

    /// Releases what says something in words, and records it.
    pub(super) fn release_said(&mut self, message: &ServerMessage<'_>, frame: Frame, steps: &mut Steps) {
        let (run, about) = (self.front_run(), self.about());
        let answer = match run.and_then(|id| self.runs.get_mut(id)) {
            Some(run) => &mut run.answer,
            None => &mut self.unasked,
        };
        let told = told(answer, message, &frame, about);
        steps.down.push(answer.release(told.bytes));
    }

    /// Releases the news of a setting, unless what was touched may be in it.
    pub(super) fn release_setting(&mut self, name: &str, value: &[u8], frame: Frame, steps: &mut Steps) {
        let (run, touched) = (self.front_run(), self.touched.unready.began(&self.queue));
        let answer = match run.and_then(|id| self.runs.get_mut(id)) {
            Some(run) => &mut run.answer,
            None => &mut self.unasked,
        };
        if !CLOSED.contains(&name) && answer.masks() {
            let detects = |mask: Arc<Mask>| match std::str::from_utf8(value) {
                Ok(value) => mask.detected(value).is_some(),
                Err(_) => true,
            };
            if touched || self.touched.settings.contains(name) || answer.words().is_some_and(detects) {
                self.touched.settings.insert(name.into());
                return;
            }
        }
        steps.down.push(answer.release(frame.into_bytes()));
    }
}

/// What the client reads of a message.
pub(super) struct Told {
    /// The frame.
    pub(super) bytes: Bytes,
    /// Of an error, its SQLSTATE and message, as the record may hold them.
    pub(super) failed: Option<(Box<str>, Box<str>)>,
}

/// What the client reads of a message; what the record may hold of it is recorded.
pub(super) fn told(answer: &mut Answer, message: &ServerMessage<'_>, frame: &Frame, about: About) -> Told {
    let foreign = matches!(message, ServerMessage::Notification { pid, .. } if about.own_pid != Some(*pid));
    let spoken = match message.said() {
        Some(Said::Error(fields) | Said::Notice(fields)) => {
            let relation = fields.get(b't').map(|_| (fields.text(b's'), fields.text(b't')));
            let relation = relation.as_ref().map(|(schema, table)| (&**schema, &**table));
            answer.spoken(is_raised(fields), relation)
        }
        Some(Said::Notification { .. }) | None => answer.spoken(false, None),
    };
    let client = Side {
        touches: spoken.client || about.client,
        // What another session sent was not judged by the masks of this one.
        withholds: about.client || (foreign && answer.masks()),
        words: answer.words(),
    };
    let bytes = words(&client, message, frame).unwrap_or_else(|| frame.bytes().clone());
    let Ok(kept) = Frame::whole(bytes.clone()) else { return Told { bytes, failed: None } };
    let Ok(read) = ServerMessage::decode(kept.tag(), kept.body()) else { return Told { bytes, failed: None } };
    let touches = spoken.record || about.record;
    // The record searches what it takes by itself.
    let record = Side { touches, withholds: about.record || (foreign && touches), words: None };
    let failed = match words(&record, &read, &kept).map(Frame::whole) {
        None => recorded(answer, &read),
        Some(Ok(kept)) => ServerMessage::decode(kept.tag(), kept.body()).ok().and_then(|read| recorded(answer, &read)),
        Some(Err(_)) => None,
    };
    Told { bytes, failed }
}

/// Whether code ran that the client did not send: a trigger, a cascade of a foreign key, a function in a constraint. What
/// the server says of the client's own data, of a line of COPY or a document, is not that.
fn is_raised(fields: &Fields<'_>) -> bool {
    let own = |line: &[u8]| line.starts_with(b"COPY ") || line.starts_with(b"JSON data, line ");
    let foreign = |context: &[u8]| !context.split(|byte| *byte == b'\n').all(own);
    fields.get(b'W').is_some_and(foreign) || fields.get(b'q').is_some() || fields.get(b'p').is_some()
}

fn recorded(answer: &mut Answer, message: &ServerMessage<'_>) -> Option<(Box<str>, Box<str>)> {
    if let Some((stream, text)) = said(message) {
        answer.output(stream, &text);
    }
    match message.said()? {
        Said::Error(fields) => Some((fields.text(b'C').into(), fields.text(b'M').into())),
        Said::Notice(_) | Said::Notification { .. } => None,
    }
}

/// Whom words are for.
struct Side {
    /// They may hold protected values.
    touches: bool,
    /// The payload of a notification may.
    withholds: bool,
    /// What looks for values in the rest.
    words: Option<Arc<Mask>>,
}

/// An error, notice or notification as one side may read it; `None` where nothing changes.
fn words(side: &Side, message: &ServerMessage<'_>, frame: &Frame) -> Option<Bytes> {
    match message.said()? {
        Said::Error(fields) | Said::Notice(fields) if side.touches => mask::scrub(frame.tag(), fields, true),
        Said::Error(fields) | Said::Notice(fields) => {
            side.words.as_ref().and_then(|mask| mask::detect_in(frame.tag(), fields, &**mask))
        }
        Said::Notification { pid, channel, .. } if side.withholds => Some(mask::withhold(pid, channel)),
        Said::Notification { pid, channel, payload } => {
            side.words.as_ref().and_then(|mask| mask::detect_in_notification(pid, channel, payload, &**mask))
        }
    }
}
