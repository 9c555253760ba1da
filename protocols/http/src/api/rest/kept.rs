//! What the record keeps of an answer that passes as it comes.
//!
//! Promises: whatever leaves is recorded as it leaves, or where the answer ends, however it ends; it is masked for the record
//! as what it is: a document, a document a line, the data of an event, or a stream of text, whose values are found where
//! they were cut. What does not fit, a document that broke off, and text in characters that masks do not know (another
//! charset than UTF-8, named or not) is said to be cut. Where the record has no masks all of
//! it is text. Does not keep what is no text.
//! Held by: `tests.rs` beside this file.

use super::media::Media;
use crate::api::{Keeps, Words};
use crate::sse::{Event, Parser};

/// Bytes of one document.
const DOCUMENT: usize = 4 << 20;
/// Bytes of one line of a JSON stream.
const LINE: usize = 1 << 20;

pub(super) enum Kept {
    Nothing,
    /// And whether masks look through it.
    Text {
        masked: bool,
    },
    /// Text of which masks cannot tell the characters.
    Unread,
    Document(Vec<u8>),
    Lines(Vec<u8>),
    Events(Box<Parser>),
}

impl Kept {
    /// Of an answer of this type.
    pub(super) fn of(media: Option<&Media>, words: &mut dyn Words) -> Self {
        let known = |media: &&Media| media.is_json() || media.is_json_lines() || media.is_events() || media.is_text();
        let Some(media) = media.filter(known) else { return Self::Nothing };
        let (binds, fields) = match words.keeps() {
            Keeps::Nothing => return Self::Nothing,
            Keeps::Alike => (words.binds(), words.binds_fields()),
            Keeps::Apart(record) => (record.binds(), record.binds_fields()),
        };
        match media {
            _ if !binds => Self::Text { masked: false },
            media if !media.is_utf8() => Self::Unread,
            media if media.is_json_lines() => Self::Lines(Vec::new()),
            media if media.is_events() => Self::Events(Box::default()),
            media if media.is_json() || fields => Self::Document(Vec::new()),
            _ => Self::Text { masked: true },
        }
    }

    /// The next bytes that pass; text is of this stream.
    pub(super) fn take(&mut self, data: &[u8], stream: u32, words: &mut dyn Words) {
        let goes_on = match self {
            Self::Nothing => true,
            Self::Unread => false,
            // No text in UTF-8 has it; in UTF-16 and UTF-32 it stands beside every digit.
            Self::Text { masked: true } if memchr::memchr(0, data).is_some() => {
                *self = Self::Unread;
                false
            }
            Self::Text { .. } => {
                words.record_piece(stream, data);
                true
            }
            Self::Document(held) => {
                held.extend_from_slice(data.get(..data.len().min(DOCUMENT - held.len())).unwrap_or_default());
                held.len() < DOCUMENT
            }
            Self::Lines(held) => {
                let (whole, rest) = data.split_at(memchr::memrchr(b'\n', data).map_or(0, |at| at + 1));
                if !whole.is_empty() {
                    held.extend_from_slice(whole);
                    std::mem::take(held).split(|byte| *byte == b'\n').for_each(|line| record_line(line, true, words));
                }
                held.extend_from_slice(rest.get(..rest.len().min(LINE - held.len())).unwrap_or_default());
                held.len() < LINE
            }
            Self::Events(parser) => {
                let mut events: Vec<Event> = Vec::new();
                let read = parser.feed(data, &mut events);
                events.iter().filter(|event| !event.data.is_empty()).for_each(|event| words.record(&event.data));
                read.is_ok()
            }
        };
        if !goes_on {
            self.end(false, words);
        }
    }

    /// Nothing more passes: of a whole answer, or of one that broke off.
    pub(super) fn end(&mut self, whole: bool, words: &mut dyn Words) {
        match std::mem::replace(self, Self::Nothing) {
            Self::Document(held) | Self::Lines(held) => record_line(&held, whole, words),
            // An event that did not end is none (WHATWG HTML §9.2.6).
            Self::Events(_) | Self::Unread if !whole => words.record_document("", false),
            // The gate has the stream of text to its end. Of what cannot be read nothing came.
            Self::Nothing | Self::Text { .. } | Self::Events(_) | Self::Unread => {}
        }
    }
}

fn record_line(line: &[u8], whole: bool, words: &mut dyn Words) {
    let text = String::from_utf8_lossy(line);
    let document = text.trim_matches(['\n', '\r', ' ', '\t', '\u{1e}']);
    if !document.is_empty() {
        words.record_document(document, whole);
    }
}
