//! What is known of the API: the lists of `data/openai.yaml`.
//!
//! Promises: a list is data and code only asks it; where the data could not be read, nothing is listed, so every request is
//! refused. Held by: the ledger test below.

use super::responses;
use crate::api::model::members::Within;
use crate::api::model::{List, Spared};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const SOURCE: &str = include_str!("../../../data/openai.yaml");

/// The lists.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Facts {
    #[cfg_attr(not(test), expect(dead_code, reason = "for people"))]
    source: String,
    pub(super) chat: List,
    /// What is taken out of it, as `NAME=VALUE`.
    pub(super) left_out: List,
    pub(super) embeddings: List,
    /// Members of a message, of its parts by type, and of the client's own tools.
    pub(super) turn: List,
    pub(super) parts: BTreeMap<String, List>,
    pub(super) tool: List,
    /// Members of the objects in all of these.
    pub(super) within: Within,
    /// Tokens of an answer that nobody limits.
    pub(super) ceiling: u64,
    /// Members of an answer that is a document, of a choice, and of a message or a piece of one.
    pub(super) answer: List,
    pub(super) choice: List,
    pub(super) message: List,
    pub(super) spared: Spared,
    pub(super) responses: responses::Facts,
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
        let Facts {
            chat,
            left_out,
            embeddings,
            turn,
            parts,
            tool,
            within,
            ceiling,
            answer,
            choice,
            message,
            spared,
            request_headers,
            headers,
            ..
        } = &facts;
        let Spared { own, sealed, signed: _, foreign, documents } = spared;
        let of_answers = [answer, choice, message];
        let others = [chat, left_out, embeddings, own, sealed, foreign, documents, request_headers, headers];
        let members = parts.values().chain(within.values()).chain([turn, tool]);
        for list in of_answers.into_iter().chain(others).chain(members) {
            assert!(list.is_sound(), "{list:?}");
        }
        assert!(chat.has("messages") && embeddings.has("input") && headers.has("x-request-id"));
        assert!(*ceiling >= 100_000);
        assert!(answer.has("choices") && choice.has("message") && message.has("tool_calls"));
        assert!(super::super::answer::TEXTS.iter().all(|text| message.has(text)));
        for never in ["reasoning_details", "function_call", "audio", "logprobs", "thinking_blocks"] {
            assert!(!message.has(never), "{never}");
        }
        for never in ["content", "arguments", "refusal", "text", "url", "input", "thinking_blocks", "file_id"] {
            assert!(!own.has(never) && !sealed.has(never), "{never}");
        }
        for never in ["logprobs", "functions", "audio"] {
            assert!(!chat.has(never), "{never}");
        }
        assert!(left_out.has("logprobs=false") && !left_out.has("logprobs=true") && !left_out.has("top_logprobs=1"));
        for never in ["video_url", "input_audio", "file"] {
            assert!(!parts.contains_key(never), "{never}");
        }
        assert!(parts.values().all(|members| members.has("type")) && turn.has("role") && turn.has("content"));
        for never in ["audio", "function_call", "file_id", "file", "server_url", "custom"] {
            let listed = parts.values().chain(within.values()).any(|members| members.has(never));
            assert!(!listed && !turn.has(never) && !tool.has(never), "{never}");
        }
        for never in ["openai-organization", "openai-project", "set-cookie", "location", "authorization"] {
            assert!(!headers.has(never) && !request_headers.has(never), "{never}");
        }
    }
}
