//! What is known of the API: the lists of `data/openai.yaml`.
//!
//! Promises: a list is data and code only asks it; where the data could not be read, nothing is listed, so every request is
//! refused. Held by: the ledger test below.

use crate::api::anthropic::List;
use serde::Deserialize;
use std::sync::LazyLock;

const SOURCE: &str = include_str!("../../../data/openai.yaml");

/// The lists.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) chat: List,
    pub(super) embeddings: List,
    pub(super) spared: List,
    pub(super) headers: List,
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
    chat: String,
    embeddings: String,
    spared: String,
    headers: String,
}

fn raw() -> Result<Raw, String> {
    marked_yaml::from_yaml(0, SOURCE).map_err(|error| error.to_string())
}

fn load() -> Result<Facts, String> {
    let raw = raw()?;
    Ok(Facts {
        chat: List::of(&raw.chat),
        embeddings: List::of(&raw.embeddings),
        spared: List::of(&raw.spared),
        headers: List::of(&raw.headers),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_there() {
        let facts = load().unwrap();
        assert!(raw().unwrap().source.len() > 20);
        assert!(facts.chat.has("messages") && facts.embeddings.has("input") && facts.headers.has("x-request-id"));
        for never in ["content", "arguments", "refusal", "text", "url", "input"] {
            assert!(!facts.spared.has(never), "{never}");
        }
        for never in ["logprobs", "functions", "audio"] {
            assert!(!facts.chat.has(never), "{never}");
        }
        for never in ["openai-organization", "openai-project", "set-cookie", "location"] {
            assert!(!facts.headers.has(never), "{never}");
        }
    }
}
