//! What readers mask with: the gate's answer for what comes back, and its outgoing masks for what is sent to a model.
//!
//! Promises: a mask that cannot be carried out lets nothing pass ([`NotJson`], an empty text); what is recorded of a body
//! goes through the gate, which masks it for the record, or was built with the record's own masks. Masks of columns bind no
//! document. Held by: `tests/it/http*.rs` of the binary.

use crate::api::{Keeps, NotJson, Room, Words};
use bytes::Bytes;
use portcullis_gate::{Answer, Keeping, Outgoing, Permit, Released, Session, Weight};

/// What the record calls the body of an answer.
const BODY: &str = "body";

/// The answer to one request, on its way to the client.
pub(crate) struct Output {
    answer: Answer,
    /// A mask could not be carried out: nothing more may pass.
    withheld: bool,
    room: Room,
}

impl Output {
    pub(crate) fn new(session: &Session, permit: &Permit, sent: Option<Outgoing>) -> Self {
        let mut answer = session.answer(Some(permit));
        if let Some(sent) = sent {
            answer.sent(sent);
        }
        Self { answer, withheld: false, room: Room::default() }
    }

    /// Lets a frame go to the client.
    pub(crate) fn release<F: Weight>(&mut self, frame: F) -> Released<F> {
        self.answer.release(frame)
    }

    /// What follows belongs to the newest command of the session too: it leaves once that is in the record.
    pub(crate) fn behind_newest(&mut self) {
        self.answer.behind_newest();
    }

    /// Whether something was withheld that a reader could not see.
    pub(crate) const fn is_withheld(&self) -> bool {
        self.withheld
    }

    /// The answer is whole.
    pub(crate) fn finish(&mut self) {
        self.answer.finish();
    }
}

fn text(bytes: Bytes) -> String {
    String::from_utf8(bytes.into()).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

impl Words for Output {
    fn binds(&self) -> bool {
        self.answer.masks_paths() || self.answer.detects()
    }

    fn binds_fields(&self) -> bool {
        self.answer.masks_paths()
    }

    fn protected(&self) -> Vec<String> {
        self.answer.protected_members()
    }

    fn json(&mut self, document: &str) -> Result<Option<String>, NotJson> {
        let masked = self.answer.json_part(BODY, document.as_bytes(), &[]).map_err(|_| NotJson)?;
        Ok(masked.map(text))
    }

    fn json_kept(&mut self, document: &str) -> Result<Option<String>, NotJson> {
        let masked = self.answer.json(BODY, document.as_bytes(), &[]).map_err(|_| NotJson)?;
        Ok(masked.map(text))
    }

    fn whole(&mut self, words: &str) -> Option<String> {
        self.answer.words().and_then(|mask| mask.detected(words))
    }

    fn piece(&mut self, stream: u32, words: &str) -> String {
        match self.answer.text_part_of(BODY, stream, Bytes::copy_from_slice(words.as_bytes())) {
            Ok(shown) => text(shown),
            Err(_) => {
                self.withheld = true;
                String::new()
            }
        }
    }

    fn last(&mut self, stream: u32) -> String {
        text(self.answer.text_of_end(BODY, stream))
    }

    fn record(&mut self, words: &str) {
        self.answer.keep_words(BODY, words);
    }

    fn record_document(&mut self, document: &str, whole: bool) {
        self.answer.keep_document(BODY, document, whole);
    }

    fn record_piece(&mut self, stream: u32, piece: &[u8]) {
        self.answer.keep_text_of(BODY, stream, &Bytes::copy_from_slice(piece));
    }

    fn keeps(&mut self) -> Keeps {
        match self.answer.keeping() {
            None => Keeps::Nothing,
            Some(keeping) if keeping.is_alike() => Keeps::Alike,
            Some(keeping) => Keeps::Apart(Box::new(Recorded::new(keeping))),
        }
    }

    fn recording(&mut self) -> Option<Box<dyn Words>> {
        self.answer.keeping().map(|keeping| Box::new(Recorded::new(keeping)) as Box<dyn Words>)
    }

    fn record_made(&mut self, made: &str) {
        self.answer.keep_made(BODY, made);
    }

    fn room(&mut self) -> Option<&mut Room> {
        Some(&mut self.room)
    }
}

/// The masks of the record.
struct Recorded {
    keeping: Keeping,
    room: Room,
}

impl Recorded {
    fn new(keeping: Keeping) -> Self {
        Self { keeping, room: Room::default() }
    }
}

impl Words for Recorded {
    fn binds(&self) -> bool {
        self.keeping.masks()
    }

    fn binds_fields(&self) -> bool {
        self.keeping.masks_paths()
    }

    fn protected(&self) -> Vec<String> {
        self.keeping.protected_members()
    }

    fn json(&mut self, document: &str) -> Result<Option<String>, NotJson> {
        self.keeping.json(document.as_bytes()).map_err(|_| NotJson)
    }

    fn whole(&mut self, words: &str) -> Option<String> {
        self.keeping.words(words)
    }

    fn piece(&mut self, _stream: u32, words: &str) -> String {
        // What is built with it is whole.
        self.whole(words).unwrap_or_else(|| words.to_owned())
    }

    fn last(&mut self, _stream: u32) -> String {
        String::new()
    }

    fn record(&mut self, _words: &str) {
        // It is what the record gets.
    }

    fn room(&mut self) -> Option<&mut Room> {
        Some(&mut self.room)
    }
}

/// What is sent to somebody outside.
pub(crate) struct Sent {
    pub(crate) outgoing: Outgoing,
    /// A mask could not be carried out: nothing may be sent.
    pub(crate) withheld: bool,
    room: Room,
}

impl Sent {
    pub(crate) fn new(session: &Session) -> Self {
        Self { outgoing: session.outgoing(), withheld: false, room: Room::default() }
    }
}

impl Words for Sent {
    fn binds(&self) -> bool {
        self.outgoing.masks()
    }

    fn binds_fields(&self) -> bool {
        self.outgoing.masks_paths()
    }

    fn protected(&self) -> Vec<String> {
        self.outgoing.protected_members()
    }

    fn json(&mut self, document: &str) -> Result<Option<String>, NotJson> {
        let masked = self.outgoing.json(document.as_bytes(), &[]).map_err(|_| NotJson)?;
        Ok(masked.map(text))
    }

    fn whole(&mut self, words: &str) -> Option<String> {
        match self.outgoing.text(words) {
            Ok(masked) => masked,
            Err(_) => {
                self.withheld = true;
                Some(String::new())
            }
        }
    }

    fn piece(&mut self, _stream: u32, words: &str) -> String {
        // A request is whole: nothing of it waits for more.
        self.whole(words).unwrap_or_else(|| words.to_owned())
    }

    fn last(&mut self, _stream: u32) -> String {
        String::new()
    }

    fn record(&mut self, _words: &str) {
        // A request is recorded as its command.
    }

    fn room(&mut self) -> Option<&mut Room> {
        Some(&mut self.room)
    }
}
