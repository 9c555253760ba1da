//! The answer of a plain API, read as what it is.
//!
//! Promises: how an answer is masked is settled before its first byte leaves, and a body that turns out to be something
//! else breaks off; JSON, a line and an event are each bounded, and no byte is searched twice for where they end. Where no
//! mask binds, bytes pass as they come and the record keeps what is text (`kept.rs`). Held by: `tests.rs` beside this file.

use super::kept::Kept;
use super::media::{Media, Opaque};
use crate::api::{Ended, NotJson, Part, Reader, Unfit, Words};
use crate::frame::Head;
use crate::sse::{Event, Parser};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use portcullis_gate::has_member;
use portcullis_model::{ApprovalId, Denial};
use std::sync::Arc;

/// Bytes of one JSON document.
const DOCUMENT: usize = 64 << 20;
/// Bytes of one line of a JSON stream.
const LINE: usize = 1 << 20;

/// What tells of bytes that the client does not get (RFC 9110 §8.8, §14; RFC 9530).
const TELLING: [&str; 9] = [
    "etag",
    "last-modified",
    "content-md5",
    "digest",
    "repr-digest",
    "content-digest",
    "content-range",
    "accept-ranges",
    "age",
];

const NOT_MASKABLE: Unfit = Unfit(
    "it is of a type that cannot be masked; whoever runs the gateway can name that under the connection's `opaque`",
);
const NO_TYPE: Unfit = Unfit("it has no content-type that says one thing, and cannot be masked");
const NOT_UTF8: Unfit = Unfit("it is not text in UTF-8, and in other characters nothing can be masked");
const NOT_JSON: Unfit = Unfit("it is not JSON that could be masked; ask for JSON (`accept: application/json`)");
const TOO_LONG: Unfit = Unfit("it is too long to be masked");
const NO_TEXT: Unfit = Unfit("a message of the service has bytes that no text has, and cannot be masked");
const NO_DOCUMENT: Unfit = Unfit("a message of the service is not JSON that could be masked");

/// Reads an answer.
pub(super) struct Answering {
    opaque: Arc<Opaque>,
    mode: Mode,
    kept: Kept,
}

enum Mode {
    /// As it comes.
    Pass,
    /// One document.
    Document(Vec<u8>),
    /// A document a line.
    Lines(Vec<u8>),
    Events(Box<Parser>),
    /// By detectors, once it is known to be no JSON where fields are masked.
    Text(Utf8),
    /// Nothing of it may pass, for this reason: the body must be empty.
    Nothing(Unfit),
    Over,
}

/// The number of the one stream of text.
const STREAM: u32 = 0;

impl Answering {
    pub(super) const fn new(opaque: Arc<Opaque>) -> Self {
        Self { opaque, mode: Mode::Nothing(NO_TYPE), kept: Kept::Nothing }
    }

    fn broken(&mut self, why: Unfit, words: &mut dyn Words, parts: &mut Vec<Part>) {
        self.mode = Mode::Over;
        self.kept.end(false, words);
        parts.push(Part::Broken(why));
    }

    /// The lines of a JSON stream that end in these bytes.
    fn lines(held: &mut Vec<u8>, data: &[u8], words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let (whole, rest) = data.split_at(memchr::memrchr(b'\n', data).map_or(0, |at| at + 1));
        if !whole.is_empty() {
            held.extend_from_slice(whole);
            Self::documents(&std::mem::take(held), words, parts)?;
        }
        held.extend_from_slice(rest);
        if held.len() > LINE { Err(TOO_LONG) } else { Ok(()) }
    }

    /// Looks through whole lines.
    fn documents(lines: &[u8], words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        if lines.is_empty() {
            return Ok(());
        }
        let text = std::str::from_utf8(lines).map_err(|_| NOT_JSON)?;
        let mut out = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let document = line.trim_matches(['\n', '\r', ' ', '\t', '\u{1e}']);
            if document.is_empty() {
                out.push_str(line);
                continue;
            }
            match words.json_kept(document).map_err(|NotJson| NOT_JSON)? {
                None => out.push_str(line),
                Some(masked) => {
                    let (before, after) = line.split_once(document).unwrap_or_default();
                    out.extend([before, &masked, after]);
                }
            }
        }
        parts.push(Part::Data(out.into()));
        Ok(())
    }

    fn events(parser: &mut Parser, data: &[u8], words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let mut events: Vec<Event> = Vec::new();
        parser.feed(data, &mut events).map_err(|_| Unfit("the stream of events cannot be read"))?;
        for mut event in events {
            let masked = match words.json_kept(&event.data) {
                Ok(masked) => masked,
                Err(NotJson) if words.binds_fields() && may_hold_fields(&event.data) => return Err(NOT_JSON),
                Err(NotJson) => {
                    words.record(&event.data);
                    words.whole(&event.data)
                }
            };
            if let Some(masked) = masked {
                event.data = masked;
            }
            event.id = None;
            // Digits can be a value, too.
            event.retry = event.retry.filter(|wait| words.whole(&wait.to_string()).is_none());
            if words.binds_fields() && event.name.as_deref().is_some_and(has_member) {
                return Err(NOT_JSON);
            }
            if let Some(name) = event.name.as_deref().and_then(|name| words.whole(name)) {
                event.name = Some(name);
            }
            parts.push(Part::Data(event.written()));
        }
        Ok(())
    }
}

/// Whether a reader would take it for an object or a list.
pub(super) fn looks_like_json(text: &[u8]) -> bool {
    text.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| matches!(byte, b'{' | b'['))
}

/// Whether a text that is no document may hold what a path leads to, for a reader that is not strict or finds one in it.
fn may_hold_fields(text: &str) -> bool {
    has_member(text) || text.trim_start().starts_with('{')
}

impl Reader for Answering {
    fn on_head(&mut self, head: &mut Head, words: &mut dyn Words) -> Result<(), Unfit> {
        if head.status.is_redirection() && head.status != StatusCode::NOT_MODIFIED {
            return Err(Unfit("the service behind the gateway redirects, and redirects are not passed on"));
        }
        let types = head.headers.get_all(header::CONTENT_TYPE).iter();
        let mut types = types.map(|value| value.to_str().ok().and_then(Media::of));
        let named = types.next();
        // Of two types some clients take the first and some the last.
        let differ = types.any(|other| Some(&other) != named.as_ref());
        // Asked now, not when the request came: it may have waited for people while masks came into force.
        if !words.binds() {
            self.mode = Mode::Pass;
            self.kept = Kept::of(named.flatten().as_ref(), words);
            return Ok(());
        }
        if matches!(head.status, StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED) {
            return Err(Unfit("a part of an answer, or an answer about bytes the client has, cannot be masked"));
        }
        for name in TELLING {
            head.headers.remove(name);
        }
        head.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        head.headers.insert(header::VARY, HeaderValue::from_static("authorization"));
        mask_headers(head, words);
        self.mode = match named {
            _ if differ => return Err(NO_TYPE),
            // Without a type it may only be empty.
            None => Mode::Nothing(NO_TYPE),
            Some(None) => return Err(NO_TYPE),
            Some(Some(media)) if !media.is_utf8() => return Err(NOT_UTF8),
            Some(Some(media)) if media.is_json_lines() => Mode::Lines(Vec::new()),
            Some(Some(media)) if media.is_json() => Mode::Document(Vec::new()),
            Some(Some(media)) if media.is_events() => Mode::Events(Box::default()),
            Some(Some(media)) if self.opaque.covers(&media) => Mode::Pass,
            // What clients parse whatever it is called is masked as what they parse.
            Some(Some(media)) if media.is_text() && words.binds_fields() => Mode::Document(Vec::new()),
            Some(Some(media)) if media.is_text() => {
                self.kept = Kept::of(Some(&media), words);
                Mode::Text(Utf8::default())
            }
            Some(Some(_)) => Mode::Nothing(NOT_MASKABLE),
        };
        Ok(())
    }

    fn on_data(&mut self, data: &[u8], words: &mut dyn Words, parts: &mut Vec<Part>) {
        if data.is_empty() {
            return;
        }
        let done = match &mut self.mode {
            Mode::Pass => {
                self.kept.take(data, STREAM, words);
                parts.push(Part::Data(Bytes::copy_from_slice(data)));
                Ok(())
            }
            Mode::Document(held) => {
                held.extend_from_slice(data);
                if held.len() > DOCUMENT { Err(TOO_LONG) } else { Ok(()) }
            }
            Mode::Lines(held) => Self::lines(held, data, words, parts),
            Mode::Events(parser) => Self::events(parser, data, words, parts),
            Mode::Text(utf8) => utf8.take(data).map_err(|NotUtf8| NOT_UTF8).map(|text| {
                self.kept.take(text.as_bytes(), STREAM, words);
                let shown = words.piece(STREAM, &text);
                if !shown.is_empty() {
                    parts.push(Part::Data(shown.into()));
                }
            }),
            Mode::Nothing(why) => Err(why.clone()),
            Mode::Over => Ok(()),
        };
        if let Err(why) = done {
            self.broken(why, words, parts);
        }
    }

    fn gathered(&self) -> usize {
        match &self.mode {
            Mode::Document(held) | Mode::Lines(held) => held.len(),
            // Each is bounded by itself, and small.
            Mode::Pass | Mode::Events(_) | Mode::Text(_) | Mode::Nothing(_) | Mode::Over => 0,
        }
    }

    fn on_end(&mut self, ended: Ended, words: &mut dyn Words, parts: &mut Vec<Part>) {
        let mode = std::mem::replace(&mut self.mode, Mode::Over);
        self.kept.end(ended == Ended::Whole, words);
        if ended == Ended::Broken {
            if !matches!(mode, Mode::Over) {
                parts.push(Part::Broken(Unfit("the service behind the gateway broke off its answer")));
            }
            return;
        }
        let done = match mode {
            Mode::Document(held) if held.is_empty() => Ok(()),
            Mode::Document(held) => document(held, words).map(|shown| parts.push(Part::Data(shown))),
            Mode::Lines(held) => Self::documents(&held, words, parts),
            // An event that did not end is none (WHATWG HTML §9.2.6).
            Mode::Pass | Mode::Events(_) | Mode::Nothing(_) => Ok(()),
            Mode::Text(utf8) if utf8.is_between() => {
                let rest = words.last(STREAM);
                if !rest.is_empty() {
                    parts.push(Part::Data(rest.into()));
                }
                Ok(())
            }
            Mode::Text(_) => Err(NOT_UTF8),
            Mode::Over => return,
        };
        parts.push(match done {
            Ok(()) => Part::End,
            Err(why) => Part::Broken(why),
        });
    }

    fn on_verdict(&mut self, _verdict: Result<(), &Denial>, _words: &mut dyn Words, _parts: &mut Vec<Part>) {
        // It proposes nothing.
    }

    fn keep_alive(&self, _approval: ApprovalId) -> Option<Bytes> {
        None
    }
}

fn document(held: Vec<u8>, words: &mut dyn Words) -> Result<Bytes, Unfit> {
    let text = String::from_utf8(held).map_err(|_| NOT_JSON)?;
    let masked = words.json_kept(&text).map_err(|NotJson| NOT_JSON)?;
    Ok(masked.unwrap_or(text).into())
}

/// A whole text that comes by itself, as a message over a socket does: a document where it is JSON; what is none passes by
/// detectors, and not at all where fields are masked. What leaves of it; `None`: it leaves as it is. The record keeps it.
pub(crate) fn message(text: &str, words: &mut dyn Words) -> Result<Option<String>, Unfit> {
    if !words.binds() {
        // Masked for the record as what it is.
        if looks_like_json(text.as_bytes()) {
            words.record_document(text, true)
        } else {
            words.record(text)
        }
        return Ok(None);
    }
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Err(NO_TEXT);
    }
    match words.json_kept(text) {
        Ok(masked) => Ok(masked),
        Err(NotJson) if words.binds_fields() => Err(NO_DOCUMENT),
        Err(NotJson) => {
            words.record(text);
            Ok(words.whole(text))
        }
    }
}

/// Headers carry words of the backend like any body. What paths are about is in none of them.
fn mask_headers(head: &mut Head, words: &mut dyn Words) {
    for value in head.headers.values_mut() {
        let masked = match value.to_str() {
            Ok(text) if words.binds_fields() && has_member(text) => Some(Ok(HeaderValue::from_static(""))),
            Ok(text) => words.whole(text).map(|masked| HeaderValue::from_str(&masked)),
            Err(_) => Some(Ok(HeaderValue::from_static(""))),
        };
        match masked {
            None => {}
            Some(Ok(masked)) => *value = masked,
            Some(Err(_)) => *value = HeaderValue::from_static(""),
        }
    }
}

/// Puts characters together that were cut.
#[derive(Default)]
struct Utf8 {
    begun: Vec<u8>,
}

struct NotUtf8;

impl Utf8 {
    fn take(&mut self, data: &[u8]) -> Result<String, NotUtf8> {
        let mut bytes = std::mem::take(&mut self.begun);
        bytes.extend_from_slice(data);
        let valid = match std::str::from_utf8(&bytes) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(NotUtf8),
        };
        self.begun = bytes.split_off(valid);
        // Text does not have it, and detectors would look past a value in UTF-16.
        if memchr::memchr(0, &bytes).is_some() {
            return Err(NotUtf8);
        }
        String::from_utf8(bytes).map_err(|_| NotUtf8)
    }

    const fn is_between(&self) -> bool {
        self.begun.is_empty()
    }
}
