//! What stands in the place of a value, and what becomes of the columns of a result.
//!
//! A protocol asks [`Answer::plan`](crate::Answer::plan) and carries the plan out in its own formats; it never learns which
//! rule says what, but for the record. Held by: `tests/it/masking.rs`.

use portcullis_masking::{Because, Detectors, Key, Treatment};
use portcullis_model::{ColumnId, Transform};
use std::sync::Arc;

/// A column of a result, as the backend describes it.
#[derive(Clone, Copy, Debug)]
pub struct ResultColumn<'a> {
    /// Its label.
    pub name: &'a str,
    /// The column of a relation that it is, where the backend says so.
    pub origin: Option<ColumnId>,
    /// Whether its values are JSON.
    pub json: bool,
}

/// What becomes of each column; `None` passes.
pub type Plan = Vec<Option<Arc<Mask>>>;

/// What becomes of the columns of a result; `None` where all of them pass.
#[derive(Default)]
pub struct Plans {
    /// For the client.
    pub client: Option<Plan>,
    /// For the record.
    pub record: Option<Plan>,
}

/// What a mask does with the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskKind {
    /// Every value becomes NULL: the only thing that says nothing about a value computed from a protected one.
    Null,
    /// Every value becomes what [`Mask::text`] gives, where its type can hold that.
    Whole,
    /// Fields inside JSON values are masked ([`Mask::json`]); what is not JSON becomes NULL.
    Json,
    /// The same where a value is JSON, whatever column it is of; elsewhere detectors look.
    JsonAnywhere,
    /// What detectors find is replaced ([`Mask::detected`]).
    Detects,
}

/// What stands in the place of a value.
pub struct Mask {
    /// The treatment is of JSON values of any column.
    pub(crate) anywhere: bool,
    pub(crate) treatment: Option<Treatment>,
    pub(crate) because: Because,
    pub(crate) by: Arc<str>,
    pub(crate) detectors: Option<Arc<Detectors>>,
    pub(crate) key: Arc<Key>,
}

impl Mask {
    /// What it does with values.
    #[must_use]
    pub fn kind(&self) -> MaskKind {
        match &self.treatment {
            None => MaskKind::Detects,
            Some(Treatment { whole: Some(Transform::Null), .. }) => MaskKind::Null,
            Some(Treatment { whole: Some(_), .. }) => MaskKind::Whole,
            Some(Treatment { whole: None, .. }) if self.anywhere => MaskKind::JsonAnywhere,
            Some(Treatment { whole: None, .. }) => MaskKind::Json,
        }
    }

    /// What stands in the place of a whole value; `None` is NULL.
    #[must_use]
    pub fn text(&self, value: &str) -> Option<String> {
        let transform = self.treatment.as_ref()?.whole.as_ref()?;
        portcullis_masking::apply(transform, value, &self.key)
    }

    /// Appends what stands in the place of a whole value; false, with nothing appended, is NULL.
    #[must_use]
    pub fn text_into(&self, value: &str, out: &mut String) -> bool {
        let transform = self.treatment.as_ref().and_then(|treatment| treatment.whole.as_ref());
        transform.is_some_and(|transform| portcullis_masking::apply_into(transform, value, &self.key, out))
    }

    /// A JSON value with its protected fields masked; `None` is NULL, for what is not JSON.
    #[must_use]
    pub fn json(&self, text: &str) -> Option<String> {
        let treatment = self.treatment.as_ref()?;
        match portcullis_masking::mask_json(text, &treatment.json, &self.key) {
            Ok(Some(masked)) => Some(masked),
            Ok(None) => Some(text.to_owned()),
            Err(_) => None,
        }
    }

    /// The text with what was detected in it replaced; `None` where nothing was.
    #[must_use]
    pub fn detected(&self, text: &str) -> Option<String> {
        self.detectors.as_ref()?.redact(text, &self.key, &mut |_| {})
    }

    /// The rules that ask for it, as the record names them.
    #[must_use]
    pub const fn by(&self) -> &Arc<str> {
        &self.by
    }

    /// How it was found: `provenance`, `lineage`, `unproven`, `detector`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.because.word()
    }
}
