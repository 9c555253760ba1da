//! Policy bundles: from a case to a decision.
//!
//! A bundle (`policies/*.yaml`, DESIGN 3) says which operations are allowed, held for a human or refused, for whom and
//! where, which values are masked, and carries the tests that hold it. All bundles load as one [`PolicySet`];
//! [`PolicySet::decide`] judges a [`Case`], [`PolicySet::masks`] says what is hidden from someone. Policy sees readings
//! ([`Operation`](portcullis_model::Operation)s), never text.
//!
//! Promises: deciding is pure, total and deterministic, and refuses what no rule allows. Loading tells every problem of
//! every file, as a compiler would. What this version does not support (`triggers: true`) is refused by name, never ignored.
//! Deciding takes bounded work, whatever a condition (`when`) or a delegated rule (`rego`) says.
//! Does not promise: that the operations are what the command does (the readers promise that), that a value is masked
//! (`masking` and the gate do it), I/O, or time: the caller reads files and clocks.
//!
//! Read `rule.rs` for what a rule means, `field.rs` for what it says of a body, `condition.rs` and `rego.rs` for what it
//! may ask, `pattern.rs` for how objects are written, `decide.rs` for how rules combine,
//! `mask.rs` for whom masks bind.
//! Held by: the tests beside each module, `fixtures/policy/`, and `tests/it/main.rs` for the shipped bundles.

mod budget;
mod bundle;
mod bundle_test;
mod condition;
mod decide;
mod decimal;
mod explain;
mod facts;
mod field;
mod fuzz;
mod glob;
mod mask;
mod matching;
mod path;
mod pattern;
mod reach;
mod rego;
mod rule;
#[cfg(test)]
mod samples;
mod scope;
mod set;
mod source;
mod weaken;
mod yaml;

use std::sync::Arc;

pub use budget::Budget;
pub use bundle_test::{Expectation, PolicyTest, TestCommand, TestOutcome, run_test};
pub use decide::{Case, Scoped};
pub use explain::{Explanation, MaskExplanation, OperationExplanation, RuleExplanation, ScopeExplanation};
pub use field::read_body;
pub use fuzz::fuzz_set;
pub use mask::{Mask, Masks};
pub use set::{BundleInfo, Loaded, MaskInfo, PolicySet, RuleInfo};
pub use source::OpaBundles;

/// A bundle's text and the name to report it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// As problems and listings show it.
    pub path: Arc<str>,
    /// Its text.
    pub text: Arc<str>,
}

impl SourceFile {
    /// The file of this name with this text.
    #[must_use]
    pub fn new(path: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}
