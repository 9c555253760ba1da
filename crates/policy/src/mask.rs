//! The `mask` part of a bundle: which values are hidden, from whom, and what stands in their place.
//!
//! Promises, exactly (DESIGN 3):
//! - A mask binds **every** principal on the connections of its bundle; the bundle's `principals` do not limit it, and
//!   `unless` is its only exemption. [`PolicySet::masks_of_record`] knows no exemption at all.
//! - A rule may name `columns`, `detect`, `json` and `functions`, and each stands for itself, with one exception: with
//!   `columns` and `json` together the paths apply inside those columns only, which then are not hidden whole
//!   ([`Mask::hides_whole_columns`]).
//! - A function is clean where a rule surely names it; one whose schema or name is not known never is. Whether it is does
//!   not depend on who asks: `functions` and `unless` in one rule are refused.
//! - [`PolicySet::may_write`] says where `hash` must not be used, because who can write a column and read its hashes can
//!   find its values by trying.
//!
//! Does not promise: that a column named here exists (policy knows no database), that a regular expression compiles, or
//! anything about values: `masking` carries masks out, and where several bind one value takes the strictest of each part.
//! Held by: `mask/tests.rs`, and the tables of bundles in `set/tests.rs`.

mod read;
mod writes;

use crate::glob::{Certainty, Segments};
use crate::scope::Who;
use crate::set::PolicySet;
use crate::yaml::Place;
use portcullis_model::{Connection, Detector, Predicates, Principal, QualifiedName, RuleId, Transform, Unproven};
use std::sync::Arc;

pub(crate) use read::{predicates_word, unproven_word};
pub(crate) use writes::warn_written_hashes;

/// One mask rule, compiled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mask {
    /// Its bundle and id.
    pub id: RuleId,
    /// What stands in a value's place; `None` only where the rule names nothing but clean functions.
    pub with: Option<Transform>,
    /// What its columns may be used for besides being returned.
    pub predicates: Predicates,
    /// What becomes of a result that may hold its values and cannot be told.
    pub unproven: Unproven,
    /// What it looks for in any text.
    pub detect: Vec<Detector>,
    /// JSON paths: inside its columns where it has some, else in every JSON document of the connection.
    pub json: Vec<Arc<str>>,
    /// The line it starts on, from 1.
    pub line: usize,
    at: Place,
    columns: Named,
    clean: Named,
    unless: Option<Who>,
}

/// Patterns of names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Named {
    /// As written, for comparing sets and for people.
    pub(crate) written: Vec<Arc<str>>,
    pub(crate) patterns: Vec<Segments>,
}

impl Named {
    fn takes(&self, parts: &[Option<&str>]) -> bool {
        self.patterns.iter().any(|pattern| pattern.takes(parts, Certainty::Surely))
    }
}

impl Mask {
    /// Whether it names this column of this relation; names are canonical.
    #[must_use]
    pub fn names_column(&self, schema: &str, relation: &str, column: &str) -> bool {
        self.columns.takes(&[Some(schema), Some(relation), Some(column)])
    }

    /// Whether it may name this column of this relation, or one of it where that is not known.
    pub(crate) fn may_name(&self, relation: &QualifiedName, column: Option<&str>) -> bool {
        let parts = [relation.schema.as_str(), relation.name.as_str(), column];
        self.columns.patterns.iter().any(|pattern| pattern.takes(&parts, Certainty::Possibly))
    }

    /// Whether the columns that it names are hidden as a whole. With `json` beside them only the paths inside are.
    #[must_use]
    pub fn hides_whole_columns(&self) -> bool {
        !self.columns.written.is_empty() && self.json.is_empty()
    }

    /// Its columns as they are written.
    #[must_use]
    pub fn columns(&self) -> &[Arc<str>] {
        &self.columns.written
    }

    /// Its clean functions as they are written.
    #[must_use]
    pub fn clean(&self) -> &[Arc<str>] {
        &self.clean.written
    }

    /// Whether this principal is exempt.
    #[must_use]
    pub fn exempts(&self, principal: &Principal) -> bool {
        self.unless.as_ref().is_some_and(|who| who.matches(principal))
    }

    pub(crate) const fn unless(&self) -> Option<&Who> {
        self.unless.as_ref()
    }
}

/// The masks that bind someone on a connection, in file order. Cheap to clone; equal where the same masks are in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Masks(Arc<[Arc<Mask>]>);

impl PolicySet {
    /// The masks that bind this principal on this connection.
    #[must_use]
    pub fn masks(&self, principal: &Principal, connection: &Connection) -> Masks {
        self.masks_where(connection, |mask| !mask.exempts(principal))
    }

    /// All masks on this connection, exemptions or not: what the record is masked by.
    #[must_use]
    pub fn masks_of_record(&self, connection: &Connection) -> Masks {
        self.masks_where(connection, |_| true)
    }

    fn masks_where(&self, connection: &Connection, binds: impl Fn(&Mask) -> bool) -> Masks {
        let bundles = self.bundles.iter().filter(|bundle| bundle.scope.on(connection));
        let found: Vec<_> = bundles.flat_map(|bundle| &bundle.masks).filter(|mask| binds(mask)).cloned().collect();
        if found.is_empty() { Masks::default() } else { Masks(found.into()) }
    }
}

impl Masks {
    /// Whether nothing is masked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The masks, in file order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Mask>> {
        self.0.iter()
    }

    /// The masks whose columns name this column of this relation; names are canonical. Ask each whether it
    /// [hides the column whole](Mask::hides_whole_columns) or only its paths inside it.
    pub fn on_column(&self, schema: &str, relation: &str, column: &str) -> impl Iterator<Item = &Arc<Mask>> {
        self.iter().filter(move |mask| mask.names_column(schema, relation, column))
    }

    /// Whether a rule lists this user function as clean. One that is not wholly known never is.
    #[must_use]
    pub fn is_clean(&self, function: &QualifiedName) -> bool {
        let (Some(schema), Some(name)) = (function.schema.as_str(), function.name.as_str()) else { return false };
        self.iter().any(|mask| mask.clean.takes(&[Some(schema), Some(name)]))
    }

    /// The masks that look for something in any text.
    pub fn with_detectors(&self) -> impl Iterator<Item = &Arc<Mask>> {
        self.iter().filter(|mask| !mask.detect.is_empty())
    }

    /// The masks whose JSON paths apply to every document of the connection: those without columns.
    pub fn with_json(&self) -> impl Iterator<Item = &Arc<Mask>> {
        self.iter().filter(|mask| !mask.json.is_empty() && mask.columns.written.is_empty())
    }
}

#[cfg(test)]
mod tests;
