//! Treatments for tests, and the value that none of them may let out.

use super::{Mask, Replace, Treatment};
use std::sync::Arc;

/// What must not come out of a masked column.
pub(super) const CANARY: &str = "123-45-6789";
/// A number that the detector knows.
pub(super) const CARD: &str = "4111111111111111";

/// Replaces whole values by its word, members called `ssn` by `*`, and card numbers by `[card]`.
pub(super) struct Sample {
    pub(super) treatment: Treatment,
    pub(super) word: Option<&'static str>,
}

impl Replace for Sample {
    fn treatment(&self) -> Treatment {
        self.treatment
    }

    /// `=` in the word is the value's last four characters.
    fn text(&self, value: &str) -> Option<String> {
        let last: String = value.chars().skip(value.chars().count().saturating_sub(4)).collect();
        self.word.map(|word| word.replace('=', &last))
    }

    fn json(&self, document: &str) -> Option<String> {
        let mut value: serde_json::Value = serde_json::from_str(document).ok()?;
        if let Some(found) = value.get_mut("ssn") {
            *found = "*".into();
            return Some(value.to_string());
        }
        Some(document.to_owned())
    }

    fn detected(&self, text: &str) -> Option<String> {
        text.contains(CARD).then(|| text.replace(CARD, "[card]"))
    }
}

pub(super) fn mask(treatment: Treatment, word: &'static str) -> Mask {
    Arc::new(Sample { treatment, word: Some(word) })
}
