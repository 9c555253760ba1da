//! What is known of the API: the lists of `data/anthropic.yaml`.
//!
//! Promises: a list is data and code only asks it; where the data could not be read, nothing is listed, so every request is
//! refused. Held by: the ledger test below.

use crate::api::model::members::Within;
use crate::api::model::{List, Spared};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const SOURCE: &str = include_str!("../../../data/anthropic.yaml");

/// The lists.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Facts {
    #[cfg_attr(not(test), expect(dead_code, reason = "for people"))]
    source: String,
    versions: BTreeMap<String, List>,
    pub(super) kept: String,
    pub(super) kept_error: String,
    /// Members of a message, of its parts by type, of what the provider's tools found, and of the client's own tools.
    pub(super) turn: List,
    pub(super) parts: BTreeMap<String, List>,
    pub(super) found: List,
    pub(super) tool: List,
    /// Members of the objects in all of these.
    pub(super) within: Within,
    pub(super) sources: List,
    pub(super) client_tools: List,
    pub(super) spared: Spared,
    pub(super) results: List,
    pub(super) request_headers: List,
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

fn load() -> Result<Facts, String> {
    marked_yaml::from_yaml(0, SOURCE).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_there_and_says_nothing_twice() {
        let facts = load().unwrap();
        assert!(facts.source.len() > 20);
        assert_eq!(facts.versions.len(), 2);
        let Facts { turn, parts, found, tool, within, sources, client_tools, spared, results, .. } = &facts;
        let Facts { request_headers, headers, .. } = &facts;
        let Spared { own, sealed, signed, foreign, documents } = spared;
        let lists = [sources, client_tools, own, sealed, signed, foreign, documents, results, request_headers, headers];
        let members = parts.values().chain(within.values()).chain([turn, found, tool]);
        for list in facts.versions.values().chain(lists).chain(members) {
            assert!(list.is_sound(), "{list:?}");
        }
        assert!(facts.versions.values().all(|members| !members.has(&facts.kept)) && !facts.kept_error.is_empty());
        assert!(client_tools.has("bash_20250124") && !client_tools.has("web_fetch_20250910"));
        assert!(client_tools.has("computer_20251124") && !client_tools.has("computer_toolset_20260801"));
        assert!(parts.values().all(|members| members.has("type")) && turn.has("role") && turn.has("content"));
        for never in ["definition", "tools", "file_id", "mcp_servers", "container", "model"] {
            // Sources of a text, and which models answered: what was, and not what is to be.
            let told = |name: &str| matches!(name, "citations" | "from" | "to");
            let listed = |(name, members): (&String, &List)| members.has(never) && !told(name);
            assert!(!parts.iter().chain(within).any(listed) && !turn.has(never) && !tool.has(never), "{never}");
        }
        for never in ["text", "content", "input", "cited_text", "title", "data", "thinking", "signature", "user_id"] {
            assert!(!own.has(never) && !sealed.has(never), "{never}");
        }
        for never in ["anthropic-organization-id", "set-cookie", "location", "cf-ray", "authorization"] {
            assert!(!headers.has(never) && !request_headers.has(never), "{never}");
        }
        // What is not in the conversation but with the provider.
        assert!(!parts.contains_key("container_upload") && !sources.has("file"));
    }
}
