//! Events of a streamed answer, as they are named and as they are written.
//!
//! Promises: every event that leaves has its name and the same word as its type, without which clients pass over it.
//! Held by: `tests.rs` of the API.

use crate::api::Part;
use crate::json::quoted;
use crate::sse::Event;

/// The events that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    MessageStart,
    BlockStart,
    BlockDelta,
    BlockStop,
    MessageDelta,
    MessageStop,
    Ping,
    Error,
}

impl Name {
    const ALL: [Self; 8] = [
        Self::MessageStart,
        Self::BlockStart,
        Self::BlockDelta,
        Self::BlockStop,
        Self::MessageDelta,
        Self::MessageStop,
        Self::Ping,
        Self::Error,
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::MessageStart => "message_start",
            Self::BlockStart => "content_block_start",
            Self::BlockDelta => "content_block_delta",
            Self::BlockStop => "content_block_stop",
            Self::MessageDelta => "message_delta",
            Self::MessageStop => "message_stop",
            Self::Ping => "ping",
            Self::Error => "error",
        }
    }

    pub(super) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.word() == word)
    }
}

pub(super) fn written(name: Name, data: &str, parts: &mut Vec<Part>) {
    parts.push(Part::Data(Event::new(Some(name.word()), data).written()));
}

/// A block begins.
pub(super) fn started(index: usize, block: &str, parts: &mut Vec<Part>) {
    let data = format!(r#"{{"type":"content_block_start","index":{index},"content_block":{block}}}"#);
    written(Name::BlockStart, &data, parts);
}

/// A block goes on with a text.
pub(super) fn wrote(index: usize, delta: &str, member: &str, text: &str, parts: &mut Vec<Part>) {
    let text = quoted(text);
    let data =
        format!(r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"{delta}","{member}":{text}}}}}"#);
    written(Name::BlockDelta, &data, parts);
}

/// What earlier turns come to, whole, with what the provider sealed of them.
pub(super) fn compacted(index: usize, summary: Option<&str>, sealed: Option<&str>, parts: &mut Vec<Part>) {
    let summary = summary.map_or_else(|| "null".to_owned(), quoted);
    let sealed = sealed.map(|sealed| format!(r#","encrypted_content":{}"#, quoted(sealed))).unwrap_or_default();
    let delta = format!(r#"{{"type":"compaction_delta","content":{summary}{sealed}}}"#);
    written(Name::BlockDelta, &format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#), parts);
}

/// A text has a source.
pub(super) fn cited(index: usize, citation: &str, parts: &mut Vec<Part>) {
    let data = format!(
        r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"citations_delta","citation":{citation}}}}}"#
    );
    written(Name::BlockDelta, &data, parts);
}

/// A block is whole.
pub(super) fn stopped(index: usize, parts: &mut Vec<Part>) {
    written(Name::BlockStop, &format!(r#"{{"type":"content_block_stop","index":{index}}}"#), parts);
}

pub(super) fn ping(parts: &mut Vec<Part>) {
    written(Name::Ping, r#"{"type":"ping"}"#, parts);
}
