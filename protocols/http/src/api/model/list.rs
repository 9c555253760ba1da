//! Words that a data file names.
//!
//! Promises: a list is data and code only asks it; an empty one has no word. Held by: the ledger tests of the APIs.

use serde::Deserialize;

/// Words, some of them beginnings: one that ends in `*` stands for all that begin so. Written with spaces between them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "String")]
pub(in crate::api) struct List(Vec<String>);

impl From<String> for List {
    fn from(text: String) -> Self {
        Self(text.split_whitespace().map(ToOwned::to_owned).collect())
    }
}

impl List {
    /// Whether the word is listed.
    pub(in crate::api) fn has(&self, word: &str) -> bool {
        self.0.iter().any(|entry| entry.strip_suffix('*').map_or(entry == word, |prefix| word.starts_with(prefix)))
    }
}

#[cfg(test)]
impl List {
    /// Whether it has words, and none twice.
    pub(in crate::api) fn is_sound(&self) -> bool {
        let words: std::collections::BTreeSet<&String> = self.0.iter().collect();
        !words.is_empty() && words.len() == self.0.len()
    }
}
