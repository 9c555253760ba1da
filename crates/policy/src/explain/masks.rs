//! The masks in force on a connection, for a person: what each hides, and whom it leaves out.
//!
//! Promises: every mask on the connection is listed, those from which the principal is exempt with the reason. What is
//! shown is what was loaded, columns as they are written. Does not promise which output of a statement is masked: that
//! takes lineage and a catalogue, which policy has not; join it by [`Masks::on_column`](crate::Masks::on_column).
//! Held by: `explain/tests.rs`.

use crate::bundle::Bundle;
use crate::mask::Mask;
use crate::set::PolicySet;
use portcullis_model::{Connection, Detector, Predicates, Principal, RuleId, Transform, Unproven};
use std::fmt;
use std::sync::Arc;

/// What one mask hides, and whether it binds the principal that was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskExplanation {
    /// Which.
    pub id: RuleId,
    /// The file it stands in.
    pub file: Arc<str>,
    /// The line it starts on, from 1.
    pub line: usize,
    /// Its columns, as they are written.
    pub columns: Vec<Arc<str>>,
    /// What it looks for in any text.
    pub detect: Vec<Detector>,
    /// Its JSON paths.
    pub json: Vec<Arc<str>>,
    /// Its clean functions, as they are written.
    pub clean: Vec<Arc<str>>,
    /// What stands in a value's place, as it is written in rules; `nothing` where the mask only names clean functions.
    pub with: String,
    /// What its columns may be used for besides being returned.
    pub predicates: Predicates,
    /// What becomes of a result that may hold its values and cannot be told.
    pub unproven: Unproven,
    /// Whom it leaves out, where it leaves out anybody.
    pub unless: Option<String>,
    /// Whether the principal is one of them.
    pub exempt: bool,
}

impl PolicySet {
    /// Every mask on this connection, in file order, and whether it binds this principal.
    #[must_use]
    pub fn masks_explained(&self, principal: &Principal, connection: &Connection) -> Vec<MaskExplanation> {
        let bundles = self.bundles.iter().filter(|bundle| bundle.scope.on(connection));
        bundles.flat_map(|bundle| bundle.masks.iter().map(|mask| explain(bundle, mask, principal))).collect()
    }
}

fn explain(bundle: &Bundle, mask: &Mask, principal: &Principal) -> MaskExplanation {
    MaskExplanation {
        id: mask.id.clone(),
        file: bundle.file.clone(),
        line: mask.line,
        columns: mask.columns().to_vec(),
        detect: mask.detect.clone(),
        json: mask.json.clone(),
        clean: mask.clean().to_vec(),
        with: mask.with.as_ref().map_or_else(|| "nothing".to_owned(), written),
        predicates: mask.predicates,
        unproven: mask.unproven,
        unless: mask.unless().map(crate::scope::Who::describe),
        exempt: mask.exempts(principal),
    }
}

/// A transform as rules write it.
pub(crate) fn written(transform: &Transform) -> String {
    match transform {
        Transform::Null => "null".to_owned(),
        Transform::Redact => "redact".to_owned(),
        Transform::Fixed(text) => format!("fixed: {text:?}"),
        Transform::Hash => "hash".to_owned(),
        Transform::KeepFirst(count) => format!("keep_first: {count}"),
        Transform::KeepLast(count) => format!("keep_last: {count}"),
    }
}

impl fmt::Display for MaskExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |texts: &[Arc<str>]| texts.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
        let mark = if self.exempt { "(no)" } else { "mask" };
        write!(f, "{mark:<6} {}  {}:{}", self.id, self.file, self.line)?;
        if let (true, Some(unless)) = (self.exempt, &self.unless) {
            write!(f, "  [exempt: {unless}]")?;
        }
        let mut parts = Vec::new();
        if !self.columns.is_empty() && self.json.is_empty() {
            parts.push(format!("columns {}", join(&self.columns)));
        }
        if !self.json.is_empty() {
            let inside = if self.columns.is_empty() { "any JSON".to_owned() } else { join(&self.columns) };
            parts.push(format!("json {} in {inside}", join(&self.json)));
        }
        if !self.detect.is_empty() {
            let words: Vec<_> = self.detect.iter().map(Detector::word).collect();
            parts.push(format!("detect {}", words.join(", ")));
        }
        if !parts.is_empty() {
            write!(f, "\n            {} => {}", parts.join("; "), self.with)?;
        }
        if !self.columns.is_empty() || !self.json.is_empty() {
            let unproven = crate::mask::unproven_word(self.unproven);
            write!(f, "; predicates {}, unproven {unproven}", crate::mask::predicates_word(self.predicates))?;
        }
        if !self.clean.is_empty() {
            write!(f, "\n            clean functions {}", join(&self.clean))?;
        }
        Ok(())
    }
}
