//! What is masked for the record alone: what a command sent, and what of an answer the client has in another way.
//!
//! Promises: no `unless` exempts the record; a document is masked by its fields, whole and before it is cut; where fields are
//! masked, what is no document, and what is only a part of one, is not kept. Nothing here is counted: what was masked for
//! the client was counted where that was done. [`Keeping`] is for a protocol that builds what it records of several parts,
//! as it builds what the client gets.
//! Does not promise that what was built with it is what may be kept: the tests of the protocol do.
//! Held by: `tests/it/json.rs`.

use crate::answer::Answer;
use crate::error::Withheld;
use crate::json::UNKEPT;
use crate::masking::{Masking, Side};
use portcullis_masking::Key;
use std::borrow::Cow;
use std::sync::Arc;

/// Bytes of a document in a command that the record keeps, after it was masked.
const KEPT: usize = 256 * 1024;

// === impl Side ===

impl Side {
    /// What is left of a document: by its fields where it is JSON; what is none is searched, or not kept where fields are
    /// masked.
    fn kept<'d>(&self, document: &'d str, key: &Key) -> Cow<'d, str> {
        match self.json(document.as_bytes(), &[], key) {
            Ok(None) => Cow::Borrowed(document),
            Ok(Some(masked)) => Cow::Owned(masked.text),
            Err(_) => self.kept_unread(document, key),
        }
    }

    /// The same for what is no document, or only a part of one.
    fn kept_unread<'d>(&self, text: &'d str, key: &Key) -> Cow<'d, str> {
        if self.masks_paths() { Cow::Borrowed(UNKEPT) } else { self.searched(text, key) }
    }

    /// The same for words, which hold no fields as long as nothing in them is written like one.
    pub(crate) fn kept_words<'w>(&self, words: &'w str, key: &Key) -> Cow<'w, str> {
        match self.json(words.as_bytes(), &[], key) {
            Ok(None) => Cow::Borrowed(words),
            Ok(Some(masked)) => Cow::Owned(masked.text),
            Err(Withheld::NotJson) if !holds_members(words) => self.searched(words, key),
            Err(_) => self.kept_unread(words, key),
        }
    }

    fn searched<'w>(&self, words: &'w str, key: &Key) -> Cow<'w, str> {
        let found = self.detectors.as_ref().and_then(|detectors| detectors.redact(words, key, &mut |_| {}));
        found.map_or(Cow::Borrowed(words), Cow::Owned)
    }

    /// What the record may hold of a document in a command: masked first, then cut.
    pub(crate) fn document(&self, document: &str, key: &Key) -> String {
        let kept = self.kept(document, key);
        let shown = kept.get(..kept.floor_char_boundary(KEPT)).unwrap_or_default();
        if shown.len() < kept.len() { format!("{shown}… ({} bytes)", kept.len()) } else { kept.into_owned() }
    }
}

/// Whether it begins like a document, or a name and its colon are in it, as JSON writes them.
fn holds_members(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
        || text
            .match_indices('"')
            .any(|(at, quote)| text.get(at + quote.len()..).is_some_and(|rest| rest.trim_start().starts_with(':')))
}

// === impl Answer ===

impl Answer {
    /// Records a document that the client has in another way, masked for the record alone: what was masked for the client
    /// was counted where that was done. What is no JSON is not kept where fields are masked. Of one that is not `whole`
    /// this is the beginning, and the record says so.
    pub fn keep_document(&mut self, stream: &'static str, document: &str, whole: bool) {
        if self.keeps() {
            let masking = self.masking();
            let (record, key) = (&masking.record, masking.key());
            let kept = if whole { record.kept(document, key) } else { record.kept_unread(document, key) };
            self.write_kept(stream, &kept, !whole);
        }
    }

    /// The same for words that may be a document. Where fields are masked, words that hold members of one are not kept.
    pub fn keep_words(&mut self, stream: &'static str, words: &str) {
        if self.keeps() {
            let masking = self.masking();
            let kept = masking.record.kept_words(words, masking.key());
            self.write_kept(stream, &kept, false);
        }
    }

    /// Records what was built with [`Answer::keeping`].
    pub fn keep_made(&mut self, stream: &'static str, made: &str) {
        if self.keeps() {
            self.write_kept(stream, made, false);
        }
    }

    /// The masks of the record, for what is built of several parts; `None` where it keeps nothing more.
    #[must_use]
    pub fn keeping(&mut self) -> Option<Keeping> {
        self.keeps().then(|| Keeping(self.masking()))
    }
}

// === impl Keeping ===

/// The masks of the record, which nobody is exempt from. What a protocol builds with them goes into the record by
/// [`Answer::keep_made`].
pub struct Keeping(Arc<Masking>);

impl Keeping {
    /// Whether they are the client's too, so that the record may hold what the client has.
    #[must_use]
    pub fn is_alike(&self) -> bool {
        self.0.is_same_for_record()
    }

    /// Whether anything could be masked.
    #[must_use]
    pub fn masks(&self) -> bool {
        self.0.record.masks_json()
    }

    /// Whether members of JSON are masked by path.
    #[must_use]
    pub fn masks_paths(&self) -> bool {
        self.0.record.masks_paths()
    }

    /// The names of members that those masks go by.
    #[must_use]
    pub fn protected_members(&self) -> Vec<String> {
        self.0.record.members()
    }

    /// What may be kept of one whole document; `None`: all of it as it is.
    ///
    /// # Errors
    /// [`Withheld`]: none of it.
    pub fn json(&self, document: &[u8]) -> Result<Option<String>, Withheld> {
        Ok(self.0.record.json(document, &[], self.0.key())?.map(|masked| masked.text))
    }

    /// What may be kept of words that are no document; `None`: all of them as they are. Nothing of them where a mask cannot
    /// be carried out.
    #[must_use]
    pub fn words(&self, words: &str) -> Option<String> {
        if self.0.record.is_broken() { Some(UNKEPT.to_owned()) } else { self.0.searched(words) }
    }
}
