//! The answer of the API: what it has of its own of what answers of models are.
//!
//! Promises: errors are those of the API; counts are taken as they are said. Does not promise that the provider counts as
//! it charges. Held by: `tests.rs`.

use super::facts::facts;
use super::stream::Stream;
use super::whole::Whole;
use crate::api::model::{self, Call, Dialect, List, Ready, Told, Wanted};
use crate::json::{Node, Value, quoted};
use portcullis_model::Tokens;

/// Choices of one answer.
pub(super) const CHOICES: u64 = 16;

/// The members of a message, or of a piece of one, that are text: each a stream of its own to the masks.
pub(super) const TEXTS: [&str; 4] = ["content", "refusal", "reasoning_content", "reasoning"];

/// The API.
pub(super) enum Completions {}

/// Reads an answer of it.
#[cfg(test)]
pub(super) type Answering = crate::api::model::Answering<Completions>;

impl Dialect for Completions {
    type Whole = Whole;
    type Events = Stream;

    fn headers() -> &'static List {
        &facts().headers
    }

    fn error(told: &Told) -> String {
        let (kind, message) = (quoted(&told.kind), quoted(&told.message));
        let (param, code) = (or_null(told.param.as_deref()), or_null(told.code.as_deref()));
        format!(r#"{{"error":{{"message":{message},"type":{kind},"param":{param},"code":{code}}}}}"#)
    }

    fn count(usage: &Node) -> Tokens {
        counted(usage, ["prompt_tokens", "prompt_tokens_details", "completion_tokens"])
    }
}

/// What is counted under these names: of what was asked, in detail, and of the answer.
pub(super) fn counted(usage: &Node, [input, details, output]: [&str; 3]) -> Tokens {
    let number = |node: &Node, name: &str| model::tokens(node, name).unwrap_or_default();
    let cached = usage.get(details).map_or(0, |details| number(details, "cached_tokens"));
    // Of what was asked some was cached; that is counted apart.
    Tokens {
        input: number(usage, input).saturating_sub(cached),
        output: number(usage, output),
        cache_read: cached,
        ..Tokens::default()
    }
}

/// A word, or that there is none.
pub(super) fn or_null(word: Option<&str>) -> String {
    word.map_or_else(|| "null".to_owned(), quoted)
}

/// Whether this member of a message is a text of it.
pub(super) fn is_text(name: &str, value: &Value) -> bool {
    TEXTS.contains(&name) && matches!(value, Value::String(_))
}

/// Whether it is something that a message says beside its texts and its calls.
pub(super) fn is_beside(name: &str, member: &Node) -> bool {
    let read = matches!(name, "role" | "tool_calls") || TEXTS.contains(&name);
    let other = !read && facts().message.has(name);
    other && !(member.elements().is_empty() && member.members().is_empty())
}

/// The first members of what the record keeps of this member of a choice.
pub(super) fn about(choice: u64, member: &str) -> String {
    format!(r#""choice":{choice},"type":"message","member":{}"#, quoted(member))
}

/// A call of this id and name.
pub(super) fn call(id: &str, name: &str, arguments: &str) -> Call {
    let (kind, id, name, input) = ("function".to_owned(), id.to_owned(), name.to_owned(), arguments.to_owned());
    Call { kind, id, name, server: None, input }
}

/// The members of a call that may pass.
pub(super) fn written(call: &Ready) -> String {
    let (id, name, arguments) = (quoted(call.id()), quoted(call.name()), quoted(call.input()));
    format!(r#""id":{id},"type":"function","function":{{"name":{name},"arguments":{arguments}}}"#)
}

/// The member of a message in which a refused call is said. Clients that asked for a form read the text as that.
pub(super) const fn refused_in(wanted: Wanted) -> &'static str {
    if wanted.formatted { "refusal" } else { "content" }
}

/// Why a choice ended: not for calls where none of them is left.
pub(super) const fn reason(said: &str, left: usize, refused: usize) -> &str {
    if left == 0 && refused > 0 && matches!(said.as_bytes(), b"tool_calls") { "stop" } else { said }
}
