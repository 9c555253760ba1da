//! What a server says in words: errors, notices, notifications; as the client may read them.
//!
//! Promises: words about a command that touches protected data keep only what cannot hold any; what another session
//! notified comes without its payload where the client is bound by masks; where detectors are in force, they look at the
//! rest. The record holds what the client read, or less: what a client is exempt from, the record is not.
//! Does not promise that a channel's name says nothing.
//! Held by: `crates/portcullis/tests/it/masking_record.rs` and `masking_shapes.rs`, and the tables of `mask/message/tests.rs`.

use super::{Core, Steps};
use crate::answer::said;
use crate::frame::Frame;
use crate::mask;
use crate::message::ServerMessage;
use bytes::Bytes;
use portcullis_gate::Answer;

impl Core {
    /// Releases what says something in words, and records it as the client reads it.
    pub(super) fn release_said(&mut self, message: &ServerMessage<'_>, frame: Frame, steps: &mut Steps) {
        let run = self.front_run();
        let own = self.own_pid;
        let answer = match run.and_then(|id| self.runs.get_mut(id)) {
            Some(run) => &mut run.answer,
            None => &mut self.unasked,
        };
        let told = told(answer, message, &frame, own);
        steps.down.push(answer.release(told.bytes));
    }
}

/// What the client reads of a message.
pub(super) struct Told {
    /// The frame.
    pub(super) bytes: Bytes,
    /// Of an error, its SQLSTATE and message.
    pub(super) failed: Option<(Box<str>, Box<str>)>,
}

/// What the client reads of a message, recorded.
pub(super) fn told(answer: &mut Answer, message: &ServerMessage<'_>, frame: &Frame, own: Option<i32>) -> Told {
    let bytes = words(answer, message, frame, own).unwrap_or_else(|| frame.bytes().clone());
    let kept = Frame::whole(recorded(answer, message, frame.tag(), own).unwrap_or_else(|| bytes.clone()));
    let read = kept.as_ref().ok().and_then(|kept| ServerMessage::decode(kept.tag(), kept.body()).ok());
    let Some(read) = read else { return Told { bytes, failed: None } };
    if let Some((stream, text)) = said(&read) {
        answer.output(stream, &text);
    }
    let failed = match &read {
        ServerMessage::Error(fields) => Some((fields.text(b'C').into(), fields.text(b'M').into())),
        _ => None,
    };
    Told { bytes, failed }
}

/// A message as the record may hold it, which no exemption is for; `None` where that is what the client reads.
fn recorded(answer: &Answer, message: &ServerMessage<'_>, tag: u8, own: Option<i32>) -> Option<Bytes> {
    if let ServerMessage::Error(fields) | ServerMessage::Notice(fields) = message {
        return mask::scrub(tag, fields, answer.touches_record());
    }
    match message {
        ServerMessage::Notification { pid, channel, .. } if answer.masks_record() && own != Some(*pid) => {
            Some(mask::withhold(*pid, channel))
        }
        _ => None,
    }
}

/// An error, notice or notification as the client may read it; `None` where nothing changes.
fn words(answer: &Answer, message: &ServerMessage<'_>, frame: &Frame, own: Option<i32>) -> Option<Bytes> {
    match message {
        ServerMessage::Error(fields) | ServerMessage::Notice(fields) if answer.touches() => {
            mask::scrub(frame.tag(), fields, true)
        }
        ServerMessage::Error(fields) | ServerMessage::Notice(fields) => {
            answer.words().and_then(|mask| mask::detect_in(frame.tag(), fields, &*mask))
        }
        // What another session sent was not judged by the masks of this one.
        ServerMessage::Notification { pid, channel, .. } if answer.masks() && own != Some(*pid) => {
            Some(mask::withhold(*pid, channel))
        }
        ServerMessage::Notification { pid, channel, payload } => {
            answer.words().and_then(|mask| mask::detect_in_notification(*pid, channel, payload, &*mask))
        }
        ServerMessage::Authentication(_)
        | ServerMessage::BackendKeyData { .. }
        | ServerMessage::BindComplete
        | ServerMessage::CloseComplete
        | ServerMessage::CommandComplete(_)
        | ServerMessage::CopyData(_)
        | ServerMessage::CopyDone
        | ServerMessage::CopyIn { .. }
        | ServerMessage::CopyOut { .. }
        | ServerMessage::DataRow(_)
        | ServerMessage::EmptyQuery
        | ServerMessage::NegotiateProtocolVersion { .. }
        | ServerMessage::NoData
        | ServerMessage::ParameterDescription(_)
        | ServerMessage::ParameterStatus { .. }
        | ServerMessage::ParseComplete
        | ServerMessage::PortalSuspended
        | ServerMessage::ReadyForQuery(_)
        | ServerMessage::RowDescription(_) => None,
    }
}
