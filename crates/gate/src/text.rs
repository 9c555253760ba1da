//! The text of an answer: what a program or a terminal writes, in any pieces, released as it comes and recorded with its
//! timing.
//!
//! A protocol gives each piece to [`Answer::text`] and releases what comes back. A stream may be one of several of its
//! kind: the numbered blocks of a model's answer go to [`Answer::text_of`] and wait for no pause, only for their end.
//! Where no mask looks for values in text
//! that is the piece itself, not copied. Where one does, detectors look through it as it streams (escapes of terminals
//! taken out), and what may still become a value is held back: for [`Answer::QUIET`] at most, when the protocol calls
//! [`Answer::text_pause`] as it should. A terminal must show a prompt although it might be the beginning of an address, so a
//! pause lets everything out but a private key, and a value that is written with such pauses in it reaches the client.
//! It does not reach the record, whose detectors wait a second for the end of the word: nobody waits for that.
//!
//! Promises: what detectors find does not leave, however it is cut; the record is redacted by the masks without their
//! `unless`, is bounded by the result budget, says once that it was cut off, and breaks no character of UTF-8; pieces of
//! the same moment become one event, which carries the time of the first of them. A mask that cannot be carried out lets
//! nothing pass. Does not promise to find what was written with pauses, or what `portcullis_masking` says it does not.
//! Held by: `tests/it/text.rs`, and for what is only recorded `tests/it/json.rs`.

use crate::answer::{Answer, Cut};
use crate::error::Withheld;
use crate::mask::Mask;
use crate::masking::{Masking, Side};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use portcullis_masking::TerminalRedactor;
use portcullis_model::{EventBody, MaskedColumn};
use std::sync::Arc;
use std::time::Duration;

/// Pieces that follow within this time of the first are recorded as one.
const MOMENT: SignedDuration = SignedDuration::from_millis(5);

/// How long the record's detectors wait for the end of a word. A screen without line ends would else be recorded long after
/// it was drawn.
const WORD: SignedDuration = SignedDuration::from_secs(1);

/// Pieces of a numbered stream that follow within this time of the first are recorded as one: it is read, not watched.
const WHILE: SignedDuration = SignedDuration::from_secs(1);

/// Bytes of text gathered before they go to the record as one event.
const TEXT_BATCH: usize = 32 * 1024;

/// The longest name of a kind of terminal that is recorded.
const TERM: usize = 64;

/// Which stream of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stream {
    name: &'static str,
    /// Which of several.
    index: Option<u32>,
}

impl Stream {
    const fn only(name: &'static str) -> Self {
        Self { name, index: None }
    }

    /// As the record names it.
    fn label(self) -> Arc<str> {
        match self.index {
            None => self.name.into(),
            Some(index) => format!("{} {index}", self.name).into(),
        }
    }
}

/// One stream of text of an answer.
pub(crate) struct Flow {
    stream: Stream,
    client: Reader,
    record: Reader,
    /// When the newest piece came.
    newest: Timestamp,
    /// The first bytes of a character whose last have not come, for the record.
    begun: Vec<u8>,
}

/// What one who reads the text gets to see of it.
enum Reader {
    All,
    Redacted(Box<TerminalRedactor>, Arc<Mask>),
    /// A mask cannot be carried out.
    Nothing,
}

/// Text that is not in the record yet.
pub(crate) struct Gathered {
    stream: Stream,
    text: String,
    since: Timestamp,
}

impl Reader {
    fn new(masking: &Masking, side: &Side) -> Self {
        if side.is_broken() {
            return Self::Nothing;
        }
        match masking.words_of(side).and_then(|mask| Some((mask.detectors.as_ref()?.terminal(), mask))) {
            Some((redactor, mask)) => Self::Redacted(Box::new(redactor), mask),
            None => Self::All,
        }
    }

    fn take(&mut self, bytes: Bytes) -> Bytes {
        match self {
            Self::All => bytes,
            Self::Redacted(redactor, mask) => {
                let mut out = Vec::with_capacity(bytes.len());
                redactor.push(&bytes, &mask.key, &mut out);
                out.into()
            }
            Self::Nothing => Bytes::new(),
        }
    }

    fn pause(&mut self) -> Bytes {
        match self {
            Self::Redacted(redactor, mask) if redactor.is_holding() => {
                let mut out = Vec::new();
                redactor.flush(&mask.key, &mut out);
                out.into()
            }
            Self::All | Self::Redacted(..) | Self::Nothing => Bytes::new(),
        }
    }

    /// The last of the text.
    fn end(&mut self) -> Bytes {
        match self {
            Self::Redacted(redactor, mask) => {
                let mut out = Vec::new();
                redactor.finish(&mask.key, &mut out);
                out.into()
            }
            Self::All | Self::Nothing => Bytes::new(),
        }
    }

    fn is_holding(&self) -> bool {
        match self {
            Self::Redacted(redactor, _) => redactor.is_holding(),
            Self::All | Self::Nothing => false,
        }
    }

    /// How many values were replaced, and by which rules.
    fn masked(&self, stream: &str) -> Option<MaskedColumn> {
        let Self::Redacted(redactor, mask) = self else { return None };
        let masked = MaskedColumn {
            column: stream.into(),
            rule: Arc::clone(&mask.by),
            reason: mask.reason().into(),
            values: redactor.hits(),
        };
        (masked.values > 0).then_some(masked)
    }
}

impl Answer {
    /// How long a stream may be quiet before [`Answer::text_pause`] is due.
    pub const QUIET: Duration = Duration::from_millis(25);

    /// How many numbered streams may be open at once.
    pub const STREAMS: usize = 64;

    /// Takes the next piece of a stream (`stdout`, `stderr`, or `terminal` where both go to a screen) and gives what of it,
    /// and of earlier ones, the client may have now.
    pub fn text(&mut self, stream: &'static str, piece: Bytes) -> Bytes {
        self.piece(Stream::only(stream), piece)
    }

    /// The same for one of several streams of a name. What comes out ends with a character where what went in did, and
    /// what may still become a value waits for more or for [`Answer::text_of_end`].
    ///
    /// # Errors
    /// [`Withheld`]: there are too many, or a mask cannot be carried out; nothing of the piece may pass.
    pub fn text_of(&mut self, stream: &'static str, index: u32, piece: Bytes) -> Result<Bytes, Withheld> {
        let stream = self.numbered(stream, index)?;
        Ok(self.piece(stream, piece))
    }

    /// The same for text that the record keeps in another form.
    ///
    /// # Errors
    /// As [`Answer::text_of`].
    pub fn text_part_of(&mut self, stream: &'static str, index: u32, piece: Bytes) -> Result<Bytes, Withheld> {
        let stream = self.numbered(stream, index)?;
        Ok(self.flow(stream).map_or_else(Bytes::new, |flow| flow.client.take(piece)))
    }

    /// Records a piece of one of several streams that the client has in another way. It is redacted like any text: what
    /// may still become a value waits for more of the stream or for its end.
    pub fn keep_text_of(&mut self, stream: &'static str, index: u32, piece: &Bytes) {
        if let Ok(stream) = self.numbered(stream, index) {
            self.keep(stream, piece);
        }
    }

    /// One of several streams, where it may be begun or go on.
    fn numbered(&self, name: &'static str, index: u32) -> Result<Stream, Withheld> {
        let stream = Stream { name, index: Some(index) };
        if self.masking().client.is_broken() {
            return Err(Withheld::Broken);
        }
        let open = self.flows.iter().filter(|flow| flow.stream.index.is_some()).count();
        if open >= Self::STREAMS && self.flows.iter().all(|flow| flow.stream != stream) {
            return Err(Withheld::TooManyStreams);
        }
        Ok(stream)
    }

    /// The stream is over: gives the last of it.
    pub fn text_of_end(&mut self, stream: &'static str, index: u32) -> Bytes {
        self.end_of(Stream { name: stream, index: Some(index) })
    }

    /// Records what the gateway itself writes into a stream: a prompt, an echo, a refusal. It is released by
    /// [`Session::say`](crate::Session::say).
    pub fn said(&mut self, stream: &'static str, text: &[u8]) {
        self.keep(Stream::only(stream), &Bytes::copy_from_slice(text));
    }

    /// Whether a pause would release or record anything: then [`Answer::text_pause`] is due after [`Answer::QUIET`].
    #[must_use]
    pub fn text_waits(&self) -> bool {
        let waits = |flow: &Flow| flow.stream.index.is_none() && flow.client.is_holding();
        !self.gathered_texts.is_empty() || self.flows.iter().any(waits)
    }

    /// The stream has gone quiet: gives what was held back of it and may be shown.
    pub fn text_pause(&mut self, stream: &'static str) -> Bytes {
        self.write_text();
        self.flow(Stream::only(stream)).map_or_else(Bytes::new, |flow| flow.client.pause())
    }

    /// The stream is over: gives the last of it.
    pub fn text_end(&mut self, stream: &'static str) -> Bytes {
        self.end_of(Stream::only(stream))
    }

    fn piece(&mut self, stream: Stream, piece: Bytes) -> Bytes {
        self.keep(stream, &piece);
        self.flow(stream).map_or_else(Bytes::new, |flow| flow.client.take(piece))
    }

    fn end_of(&mut self, stream: Stream) -> Bytes {
        let Some(at) = self.flows.iter().position(|flow| flow.stream == stream) else { return Bytes::new() };
        let flow = self.flows.remove(at);
        self.end(flow)
    }

    /// A terminal of this size and kind (`TERM`) begins.
    pub fn terminal(&mut self, name: &str, columns: u32, rows: u32) {
        let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
        let name: String = name.chars().filter(plain).take(TERM).collect();
        self.screen(Some(name.into()), columns, rows);
    }

    /// The terminal has another size.
    pub fn resized(&mut self, columns: u32, rows: u32) {
        if self.screen != Some((columns, rows)) {
            self.screen(None, columns, rows);
        }
    }

    fn screen(&mut self, name: Option<Arc<str>>, columns: u32, rows: u32) {
        self.write_text();
        self.screen = Some((columns, rows));
        self.session.record([EventBody::Terminal { command: self.number, columns, rows, name }]);
    }

    /// Ends every stream that the protocol did not; the client has no more of it.
    pub(crate) fn end_texts(&mut self) {
        for flow in std::mem::take(&mut self.flows) {
            let _unsent = self.end(flow);
        }
        self.write_text();
    }

    fn end(&mut self, flow: Flow) -> Bytes {
        let Flow { stream, mut client, mut record, newest, mut begun } = flow;
        let mut text = String::new();
        decode(&mut begun, &record.end(), &mut text);
        if !begun.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
        self.gather(stream, text, newest);
        match stream.index {
            None => self.write_text(),
            Some(_) => self.write_text_of(stream, false),
        }
        let last = client.end();
        if let (Some(command), Some(masked)) = (self.number, client.masked(stream.name)) {
            match stream.index {
                None => self.session.record([EventBody::Masked { command, columns: vec![masked] }]),
                Some(_) => self.tally.add_column(&masked),
            }
        }
        last
    }

    /// The stream of this name, begun where it is new.
    fn flow(&mut self, stream: Stream) -> Option<&mut Flow> {
        if self.flows.iter().all(|flow| flow.stream != stream) {
            let masking = self.masking();
            let client = Reader::new(&masking, &masking.client);
            let record = Reader::new(&masking, &masking.record);
            self.flows.push(Flow { stream, client, record, newest: Timestamp::now(), begun: Vec::new() });
        }
        self.flows.iter_mut().find(|flow| flow.stream == stream)
    }

    /// Records a piece, as far as it may be.
    fn keep(&mut self, stream: Stream, piece: &Bytes) {
        if !self.keeps_text() {
            return;
        }
        let Some(flow) = self.flow(stream) else { return };
        let (now, before) = (Timestamp::now(), flow.newest);
        flow.newest = now;
        let (mut earlier, mut text) = (String::new(), String::new());
        // A numbered stream is not drawn at once, so its words may take any time.
        if stream.index.is_none() && now.duration_since(before) >= WORD {
            decode(&mut flow.begun, &flow.record.pause(), &mut earlier);
        }
        decode(&mut flow.begun, &flow.record.take(piece.clone()), &mut text);
        self.gather(stream, earlier, before);
        self.gather(stream, text, now);
    }

    fn keeps_text(&self) -> bool {
        self.session.result_budget() > 0 && matches!(self.cut, Cut::Whole)
    }

    fn gather(&mut self, stream: Stream, mut text: String, at: Timestamp) {
        if text.is_empty() || !self.keeps_text() {
            return;
        }
        self.write_earlier(stream, at);
        let whole = text.len();
        text.truncate(text.floor_char_boundary(self.budget));
        self.budget -= text.len();
        let cut = text.len() < whole;
        let full = match self.gathered_texts.iter_mut().find(|gathered| gathered.stream == stream) {
            Some(gathered) => {
                gathered.text.push_str(&text);
                gathered.text.len() >= TEXT_BATCH
            }
            None => {
                let full = text.len() >= TEXT_BATCH;
                self.gathered_texts.push(Gathered { stream, text, since: at });
                full
            }
        };
        if cut {
            self.cut = Cut::Said;
        }
        if cut || full {
            self.write_text_of(stream, cut);
        }
    }

    /// Puts into the record what has gathered and is not of the same moment as what comes now.
    fn write_earlier(&mut self, stream: Stream, at: Timestamp) {
        let found = self.gathered_texts.iter().find(|gathered| gathered.stream == stream);
        let joins = |since: Timestamp, within| at.duration_since(since) < within;
        match stream.index {
            Some(_) if found.is_some_and(|gathered| !joins(gathered.since, WHILE)) => self.write_text_of(stream, false),
            Some(_) => {}
            None if found.is_some_and(|gathered| joins(gathered.since, MOMENT)) => {}
            None => self.write_text(),
        }
    }

    /// Puts the text that has gathered into the record.
    pub(crate) fn write_text(&mut self) {
        for gathered in std::mem::take(&mut self.gathered_texts) {
            self.write(gathered, false);
        }
    }

    /// The same of one stream; where it is the last that is recorded, behind all others.
    fn write_text_of(&mut self, stream: Stream, truncated: bool) {
        if let Some(at) = self.gathered_texts.iter().position(|gathered| gathered.stream == stream) {
            let gathered = self.gathered_texts.remove(at);
            if truncated {
                self.write_text();
            }
            self.write(gathered, truncated);
        }
    }

    fn write(&self, gathered: Gathered, truncated: bool) {
        let Gathered { stream, text, since } = gathered;
        let event = EventBody::Output { command: self.number, stream: stream.label(), text, truncated };
        self.session.record_at(since, [event]);
    }
}

/// Appends bytes as text. What is no UTF-8 is replaced; the first bytes of a character wait in `begun` for the others.
fn decode(begun: &mut Vec<u8>, bytes: &[u8], text: &mut String) {
    let joined;
    let mut rest = if begun.is_empty() {
        bytes
    } else {
        joined = [begun.as_slice(), bytes].concat();
        begun.clear();
        &joined
    };
    while !rest.is_empty() {
        let (valid, broken, length) = match std::str::from_utf8(rest) {
            Ok(valid) => (valid, &[][..], None),
            Err(error) => {
                let (valid, broken) = rest.split_at(error.valid_up_to());
                (std::str::from_utf8(valid).unwrap_or_default(), broken, error.error_len())
            }
        };
        text.push_str(valid);
        let Some(length) = length else {
            begun.extend_from_slice(broken);
            return;
        };
        text.push(char::REPLACEMENT_CHARACTER);
        rest = broken.get(length..).unwrap_or_default();
    }
}
