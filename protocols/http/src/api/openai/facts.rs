//! What is known of the API: the lists of `data/openai.yaml`.
//!
//! Promises: a list is data and code only asks it; where the data could not be read, nothing is listed, so every request is
//! refused. Held by: the ledger test below.

use crate::api::model::{List, Spared};
use serde::Deserialize;
use std::sync::LazyLock;

const SOURCE: &str = include_str!("../../../data/openai.yaml");

/// The lists.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Facts {
    #[cfg_attr(not(test), expect(dead_code, reason = "for people"))]
    source: String,
    pub(super) chat: List,
    pub(super) embeddings: List,
    pub(super) parts: List,
    /// Tokens of an answer that nobody limits.
    pub(super) ceiling: u64,
    pub(super) spared: Spared,
    pub(super) request_headers: List,
    pub(super) headers: List,
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
        let Facts { source: _, chat, embeddings, parts, ceiling, spared, request_headers, headers } = &facts;
        let Spared { own, sealed, signed: _, foreign, documents } = spared;
        for list in [chat, embeddings, parts, own, sealed, foreign, documents, request_headers, headers] {
            assert!(list.is_sound(), "{list:?}");
        }
        assert!(chat.has("messages") && embeddings.has("input") && headers.has("x-request-id"));
        assert!(*ceiling >= 100_000);
        for never in ["content", "arguments", "refusal", "text", "url", "input", "thinking_blocks", "file_id"] {
            assert!(!own.has(never) && !sealed.has(never), "{never}");
        }
        for never in ["logprobs", "functions", "audio"] {
            assert!(!chat.has(never), "{never}");
        }
        for never in ["video_url", "input_audio", "file"] {
            assert!(!parts.has(never), "{never}");
        }
        for never in ["openai-organization", "openai-project", "set-cookie", "location", "authorization"] {
            assert!(!headers.has(never) && !request_headers.has(never), "{never}");
        }
    }
}
