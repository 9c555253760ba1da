//! The answer to a request for a response: what it has of its own of what answers of models are.
//!
//! Promises: errors are those of the API; counts are taken as they are said. A response is written anew of the members that
//! are listed, with the items that were released: what it repeats of the request is left out. Does not promise that the
//! provider counts as it charges. Held by: `tests.rs`.

use super::facts::facts;
use super::item;
use super::stream::Stream;
use super::whole::Whole;
use crate::api::model::{self, Dialect, List, STRANGE, Told, Turn, UNREADABLE, is_plain};
use crate::api::{Unfit, Words};
use crate::json::{Node, Value, quoted};
use portcullis_model::Tokens;

/// Items of one answer, and parts of one item.
pub(super) const ITEMS: usize = 4_096;

/// The API.
pub(super) enum Responses {}

/// Reads an answer of it.
#[cfg(test)]
pub(super) type Answering = crate::api::model::Answering<Responses>;

impl Dialect for Responses {
    type Whole = Whole;
    type Events = Stream;

    fn headers() -> &'static List {
        &super::super::facts::facts().headers
    }

    fn error(told: &Told) -> String {
        super::super::answer::Completions::error(told)
    }

    fn count(usage: &Node) -> Tokens {
        super::super::answer::counted(usage, ["input_tokens", "input_tokens_details", "output_tokens"])
    }
}

/// The id of a response, which it must be.
pub(super) fn id(response: &Node) -> Result<&str, Unfit> {
    if model::word(response, "object")? != "response" {
        return Err(STRANGE);
    }
    item::id(response)
}

/// The response that a document says, with these items.
pub(super) fn written(
    response: &Node,
    document: &str,
    items: &[String],
    words: &mut dyn Words,
) -> Result<String, Unfit> {
    let mut members = Vec::new();
    for (name, member) in response.members().iter().filter(|(name, _)| facts().answer.has(name)) {
        let value = match (name.as_str(), &member.value) {
            ("output", _) => continue,
            ("usage", Value::Object(_)) => {
                super::facts::facts().spared.masked(member, document, words).map_err(|_| UNREADABLE)?
            }
            ("incomplete_details", Value::Object(_)) => {
                let reason = model::reason(member.get("reason"))?.map_or_else(|| "null".to_owned(), quoted);
                format!(r#"{{"reason":{reason}}}"#)
            }
            ("error", Value::Object(_)) => error(member, words)?,
            // Not a text: nothing of it would be in the record.
            (_, value) if is_plain(value) => document.get(member.span.clone()).ok_or(STRANGE)?.to_owned(),
            (_, _) => continue,
        };
        members.push(format!("{}:{value}", quoted(name)));
    }
    members.push(format!(r#""output":[{}]"#, items.join(",")));
    Ok(format!("{{{}}}", members.join(",")))
}

/// Why a response failed.
fn error(error: &Node, words: &mut dyn Words) -> Result<String, Unfit> {
    let code = model::reason(error.get("code"))?.unwrap_or("server_error");
    let message = error.get("message").and_then(Node::text).ok_or(STRANGE)?;
    let masked = model::string(message, words).unwrap_or_else(|| message.to_owned());
    Ok(format!(r#"{{"code":{},"message":{}}}"#, quoted(code), quoted(&masked)))
}

/// The record keeps why a response failed.
pub(super) fn keep_error(response: &Node, turn: &mut Turn) {
    if let Some(message) = response.get("error").and_then(|error| error.get("message")).and_then(Node::text) {
        turn.keep(format!(r#"{{"type":"error","message":{}}}"#, quoted(message)));
    }
}
