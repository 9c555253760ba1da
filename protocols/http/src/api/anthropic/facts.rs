//! What is known of the API: the lists of `data/anthropic.yaml`.
//!
//! Promises: a list is data and code only asks it; where the data could not be read, nothing is listed, so every request is
//! refused. Held by: the ledger test below.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const SOURCE: &str = include_str!("../../../data/anthropic.yaml");

/// Words, some of them beginnings.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct List(Vec<String>);

impl List {
    pub(in crate::api) fn of(text: &str) -> Self {
        Self(text.split_whitespace().map(ToOwned::to_owned).collect())
    }

    /// Whether the word is listed.
    pub(in crate::api) fn has(&self, word: &str) -> bool {
        self.0.iter().any(|entry| entry.strip_suffix('*').map_or(entry == word, |prefix| word.starts_with(prefix)))
    }
}

/// The lists.
#[derive(Debug, Default)]
pub(super) struct Facts {
    versions: BTreeMap<String, List>,
    pub(super) client_tools: List,
    pub(super) spared: List,
    pub(super) signed: List,
    pub(super) results: List,
    pub(super) headers: List,
}

impl Facts {
    /// The members that a request of this version may have; `None` for a version that is not known.
    pub(super) fn members(&self, version: &str) -> Option<&List> {
        self.versions.get(version)
    }
}

/// What is known.
pub(super) fn facts() -> &'static Facts {
    static FACTS: LazyLock<Facts> = LazyLock::new(|| load().unwrap_or_default());
    &FACTS
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[cfg_attr(not(test), expect(dead_code, reason = "for people"))]
    source: String,
    versions: BTreeMap<String, String>,
    client_tools: String,
    spared: String,
    signed: String,
    results: String,
    headers: String,
}

fn raw() -> Result<Raw, String> {
    marked_yaml::from_yaml(0, SOURCE).map_err(|error| error.to_string())
}

fn load() -> Result<Facts, String> {
    let raw = raw()?;
    Ok(Facts {
        versions: raw.versions.into_iter().map(|(version, members)| (version, List::of(&members))).collect(),
        client_tools: List::of(&raw.client_tools),
        spared: List::of(&raw.spared),
        signed: List::of(&raw.signed),
        results: List::of(&raw.results),
        headers: List::of(&raw.headers),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_there_and_says_nothing_twice() {
        let facts = load().unwrap();
        assert!(raw().unwrap().source.len() > 20);
        assert_eq!(facts.versions.len(), 2);
        let lists = [&facts.client_tools, &facts.spared, &facts.signed, &facts.results, &facts.headers];
        for list in facts.versions.values().chain(lists) {
            let mut words = list.0.clone();
            words.sort();
            words.dedup();
            assert!(!words.is_empty() && words.len() == list.0.len(), "{list:?}");
        }
        assert!(facts.client_tools.has("bash_20250124") && !facts.client_tools.has("web_fetch_20250910"));
        for never in ["text", "content", "input", "cited_text", "title", "data", "thinking"] {
            assert!(!facts.spared.has(never), "{never}");
        }
        for never in ["anthropic-organization-id", "set-cookie", "location", "cf-ray"] {
            assert!(!facts.headers.has(never), "{never}");
        }
    }
}
