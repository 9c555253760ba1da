//! JSON documents: what the client may have of one that comes back, what may be sent of one that goes out, and what the
//! record keeps.
//!
//! Promises: a document in which nothing is masked is not copied; one that is not strict JSON, and any document under a
//! mask that cannot be carried out, is [`Withheld`] as soon as a path or a detector binds the client; the record keeps
//! what the masks without their `unless` leave, as far as the result budget goes; how many values each rule replaced is
//! recorded when the answer is finished. What goes out is masked before its frame is sealed, so digest and record are of
//! what is sent, and one value comes out alike each time: providers cache by prefix.
//! Does not promise anything of masks that name columns: a document has none. What is only recorded is in `keeping.rs`.
//!
//! Held by: `tests/it/json.rs`.

use crate::answer::{Answer, Cut};
use crate::clearance::Permit;
use crate::error::Withheld;
use crate::masking::{Masking, Side};
use crate::session::Session;
use bytes::Bytes;
use portcullis_masking::{JsonMasks, JsonPath, Key, MaskedJson};
use portcullis_model::{EventBody, MaskedColumn};
use std::borrow::Cow;
use std::sync::Arc;

/// What the record holds in the place of a document that its masks could not be applied to.
pub(crate) const UNKEPT: &str = "[not kept: it is not JSON that could be masked]";

/// What the record calls that which was found by path.
const BY_PATH: &str = "path";

/// What the record calls that which detectors found in what was sent.
const REQUEST: &str = "request";

/// How many values each rule replaced.
#[derive(Default)]
pub(crate) struct Tally {
    columns: Vec<MaskedColumn>,
}

impl Tally {
    fn add(&mut self, side: &Side, stream: &str, masked: &MaskedJson) {
        for ((path, rule), values) in side.json_rules.iter().zip(&masked.paths) {
            self.count(path, rule, BY_PATH, *values);
        }
        for (rule, values) in side.detector_rules.iter().zip(&masked.detectors) {
            self.count(stream, rule, "detector", *values);
        }
    }

    fn count(&mut self, column: &str, rule: &Arc<str>, reason: &str, values: u64) {
        if values == 0 {
            return;
        }
        let same =
            |known: &&mut MaskedColumn| *known.column == *column && known.rule == *rule && *known.reason == *reason;
        match self.columns.iter_mut().find(same) {
            Some(known) => known.values += values,
            None => self.columns.push(MaskedColumn {
                column: column.into(),
                rule: Arc::clone(rule),
                reason: reason.into(),
                values,
            }),
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for column in other.columns {
            self.count(&column.column, &column.rule, &column.reason, column.values);
        }
    }

    pub(crate) fn add_column(&mut self, column: &MaskedColumn) {
        self.count(&column.column, &column.rule, &column.reason, column.values);
    }

    pub(crate) fn take(&mut self) -> Vec<MaskedColumn> {
        std::mem::take(&mut self.columns)
    }
}

// === impl Side ===

impl Side {
    /// Whether documents are changed by it at all.
    pub(crate) fn masks_json(&self) -> bool {
        self.detectors.is_some() || !self.json.is_empty() || self.is_broken()
    }

    pub(crate) fn json(&self, document: &[u8], spared: &[JsonPath], key: &Key) -> Result<Option<MaskedJson>, Withheld> {
        if self.is_broken() {
            return Err(Withheld::Broken);
        }
        if !self.masks_json() {
            return Ok(None);
        }
        self.json_masks(spared, key).mask(document).map_err(|_| Withheld::NotJson)
    }

    fn json_masks<'m>(&'m self, spared: &'m [JsonPath], key: &'m Key) -> JsonMasks<'m> {
        JsonMasks { paths: &self.json, detectors: self.detectors.as_deref(), spared, key }
    }

    /// Whether fields are masked, or none can be told to be clean.
    pub(crate) fn masks_paths(&self) -> bool {
        !self.json.is_empty() || self.is_broken()
    }

    /// The names of members that its paths go by, each once.
    pub(crate) fn members(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.json.iter().flat_map(|(path, _)| path.members()).map(ToOwned::to_owned).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

// === impl Answer ===

impl Answer {
    /// What the client may have of one whole document; `None`: it may have it as it is. The record keeps it under this
    /// name. `spared` are values that detectors leave as they are, such as signatures and ids.
    ///
    /// # Errors
    /// [`Withheld`]: none of it may pass, and none of it is kept.
    pub fn json(
        &mut self,
        stream: &'static str,
        document: &[u8],
        spared: &[JsonPath],
    ) -> Result<Option<Bytes>, Withheld> {
        let masking = self.masking();
        let masked = self.masked_json(&masking, stream, document, spared)?;
        self.keep_json(&masking, stream, document, spared, masked.as_deref());
        Ok(masked.map(Bytes::from))
    }

    /// The same for a document that the record keeps in another form, or that says nothing worth keeping.
    ///
    /// # Errors
    /// [`Withheld`]: none of it may pass.
    pub fn json_part(
        &mut self,
        stream: &'static str,
        document: &[u8],
        spared: &[JsonPath],
    ) -> Result<Option<Bytes>, Withheld> {
        let masking = self.masking();
        Ok(self.masked_json(&masking, stream, document, spared)?.map(Bytes::from))
    }

    /// What was masked in what this command sent: told in the record with what is masked in its answer.
    pub fn sent(&mut self, outgoing: Outgoing) {
        self.tally.merge(outgoing.tally);
    }

    /// Whether the client is bound by masks of JSON members by path.
    #[must_use]
    pub fn masks_paths(&self) -> bool {
        self.masking().client.masks_paths()
    }

    /// The names of members that those masks go by: what is called otherwise they do not find.
    #[must_use]
    pub fn protected_members(&self) -> Vec<String> {
        self.masking().client.members()
    }

    /// Whether detectors look at what the client gets.
    #[must_use]
    pub fn detects(&self) -> bool {
        let client = &self.masking().client;
        client.detectors.is_some() || client.is_broken()
    }

    fn masked_json(
        &mut self,
        masking: &Masking,
        stream: &str,
        document: &[u8],
        spared: &[JsonPath],
    ) -> Result<Option<String>, Withheld> {
        let masked = masking.client.json(document, spared, masking.key())?;
        if let Some(masked) = &masked {
            self.tally.add(&masking.client, stream, masked);
        }
        Ok(masked.map(|masked| masked.text))
    }

    /// Records a document as far as it may be; `shown` is what the client has of it where that is another.
    fn keep_json(
        &mut self,
        masking: &Masking,
        stream: &'static str,
        document: &[u8],
        spared: &[JsonPath],
        shown: Option<&str>,
    ) {
        if !self.keeps() {
            return;
        }
        let kept = if masking.is_same_for_record() {
            shown.map(Cow::Borrowed)
        } else {
            match masking.record.json(document, spared, masking.key()) {
                Ok(masked) => masked.map(|masked| Cow::Owned(masked.text)),
                Err(Withheld::NotJson | Withheld::Broken | Withheld::TooManyStreams) => Some(Cow::Borrowed(UNKEPT)),
            }
        };
        let kept = kept.unwrap_or_else(|| String::from_utf8_lossy(document));
        self.write_kept(stream, &kept, false);
    }

    /// Whether the record keeps more of the answer; if not, it will say so.
    pub(crate) fn keeps(&mut self) -> bool {
        if !self.records_rows() && self.session.result_budget() > 0 {
            self.cut();
        }
        self.records_rows()
    }

    pub(crate) fn write_kept(&mut self, stream: &'static str, kept: &str, cut: bool) {
        self.write_text();
        let fits = kept.get(..kept.floor_char_boundary(self.budget)).unwrap_or_default();
        let truncated = cut || fits.len() < kept.len();
        self.budget -= fits.len();
        if truncated {
            self.cut = Cut::Said;
        }
        if !fits.is_empty() || truncated {
            let text = fits.into();
            self.session.record([EventBody::Output { command: self.number, stream: stream.into(), text, truncated }]);
        }
    }
}

// === impl Outgoing ===

/// Masks what is sent to somebody outside (a model provider), by the masks that bind the principal at this moment: the
/// frame is built from what comes out, then sealed.
pub struct Outgoing {
    masking: Arc<Masking>,
    tally: Tally,
}

impl Session {
    /// Begins to mask what is to be sent.
    #[must_use]
    pub fn outgoing(&self) -> Outgoing {
        Outgoing { masking: self.inner.masking_now(), tally: Tally::default() }
    }
}

impl Outgoing {
    /// Whether anything could be masked: if not, nothing need be asked.
    #[must_use]
    pub fn masks(&self) -> bool {
        self.masking.client.masks_json()
    }

    /// Whether members of JSON are masked by path.
    #[must_use]
    pub fn masks_paths(&self) -> bool {
        self.masking.client.masks_paths()
    }

    /// The names of members that those masks go by: what is called otherwise they do not find.
    #[must_use]
    pub fn protected_members(&self) -> Vec<String> {
        self.masking.client.members()
    }

    /// What may be sent of one whole document; `None`: all of it as it is. `spared` are values that detectors leave as
    /// they are, such as signatures and ids.
    ///
    /// # Errors
    /// [`Withheld`]: none of it may be sent.
    pub fn json(&mut self, document: &[u8], spared: &[JsonPath]) -> Result<Option<Bytes>, Withheld> {
        let side = &self.masking.client;
        let masked = side.json(document, spared, self.masking.key())?;
        Ok(masked.map(|masked| {
            self.tally.add(side, REQUEST, &masked);
            masked.text.into()
        }))
    }

    /// What may be sent of a text, which may be JSON itself; `None`: all of it as it is.
    ///
    /// # Errors
    /// [`Withheld::Broken`]: none of it may be sent.
    pub fn text(&mut self, text: &str) -> Result<Option<String>, Withheld> {
        let side = &self.masking.client;
        if side.is_broken() {
            return Err(Withheld::Broken);
        }
        if !side.masks_json() {
            return Ok(None);
        }
        let masked = side.json_masks(&[], self.masking.key()).mask_text(text);
        Ok(masked.map(|masked| {
            self.tally.add(side, REQUEST, &masked);
            masked.text
        }))
    }

    /// Whether the command that this permits was allowed under the same masks. A policy that came in between, or while
    /// people were asked, may have others: then what is sealed was masked by the old ones, and is not to be sent.
    #[must_use]
    pub fn is_of(&self, permit: &Permit) -> bool {
        self.masking.same_for_client(&permit.masking)
    }
}
