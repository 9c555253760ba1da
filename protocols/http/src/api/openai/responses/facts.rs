//! What is known of the Responses API: its part of `data/openai.yaml`.
//!
//! Promises: a list is data and code only asks it; where the data could not be read, nothing is listed, so every request is
//! refused. Held by: the ledger test below.

use crate::api::model::members::Within;
use crate::api::model::{List, Spared};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The lists.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api::openai) struct Facts {
    pub(super) request: List,
    /// What is taken out of it, as `NAME=VALUE`.
    pub(super) left_out: List,
    /// Members that stand for what the provider keeps.
    pub(super) kept: List,
    pub(super) include: List,
    /// Members of items and of their parts, by type.
    pub(super) items: BTreeMap<String, List>,
    pub(super) parts: BTreeMap<String, List>,
    /// Members of a tool that the client runs.
    pub(super) function: List,
    /// Members of the objects in the body.
    pub(super) within: Within,
    pub(super) provider_tools: List,
    pub(super) answer: List,
    pub(super) annotations: List,
    pub(super) spared: Spared,
}

/// What is known.
pub(super) fn facts() -> &'static Facts {
    &super::super::facts::facts().responses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_there_and_says_nothing_twice() {
        let Facts {
            request,
            left_out,
            kept,
            include,
            items,
            parts,
            function,
            within,
            provider_tools,
            answer,
            annotations,
            spared,
        } = facts();
        let Spared { own, sealed, signed: _, foreign, documents } = spared;
        let lists = [request, left_out, kept, include, function, provider_tools, answer, annotations];
        let of_spared = [own, sealed, foreign, documents];
        let members = items.values().chain(parts.values()).chain(within.values());
        for list in lists.into_iter().chain(of_spared).chain(members) {
            assert!(list.is_sound(), "{list:?}");
        }
        assert!(items.values().chain(parts.values()).all(|members| members.has("type")));
        for never in ["top_logprobs", "moderation", "context_management", "modalities"] {
            assert!(!request.has(never), "{never}");
        }
        for never in ["mcp", "file_search", "code_interpreter", "image_generation", "shell", "computer", "custom"] {
            assert!(!provider_tools.has(never), "{never}");
        }
        for never in ["item_reference", "mcp_call", "custom_tool_call", "compaction", "input_file", "file_search_call"]
        {
            assert!(!items.contains_key(never) && !parts.contains_key(never), "{never}");
        }
        for members in parts.values() {
            assert!(!members.has("file_id") && !members.has("logprobs"));
        }
        // What the request said, and what the answer would say twice.
        for never in ["instructions", "tools", "metadata", "text", "prompt", "user", "output_text", "reasoning"] {
            assert!(!answer.has(never), "{never}");
        }
        for never in
            ["text", "content", "output", "arguments", "name", "refusal", "summary", "url", "image_url", "code"]
        {
            assert!(!own.has(never) && !sealed.has(never), "{never}");
        }
        assert!(!include.has("message.output_text.logprobs"));
        assert!(left_out.has(r#"client_metadata={"a":"b"}"#) && !left_out.has("top_logprobs=1"));
    }
}
