//! Values of messages, masked in place.
//!
//! Promises: every string of a value passes through the masks but those that are the API's own, signed or encrypted
//! (`data/anthropic.yaml`), and bytes of pictures; every other byte stays as it was. What a tool was given or said is
//! masked as the JSON that it is. The same value comes out alike each time, so a conversation that is sent again stays the
//! same to a provider that caches it. Does not promise to read pictures or encoded documents.
//! Held by: `tests.rs`.

use super::facts::{List, facts};
use crate::api::{NotJson, Words};
use crate::json::{self, Edits, Node, Value, quoted};

/// What to change of a value that stands in `text`.
pub(super) fn mask(node: &Node, text: &str, words: &mut dyn Words, edits: &mut Edits) -> Result<(), NotJson> {
    mask_sparing(&facts().spared, node, text, words, edits)
}

/// The same for an API with other words of its own.
pub(in crate::api) fn mask_sparing(
    spared: &List,
    node: &Node,
    text: &str,
    words: &mut dyn Words,
    edits: &mut Edits,
) -> Result<(), NotJson> {
    match &node.value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(value) => {
            if let Some(masked) = string(value, words) {
                edits.replace(node.span.clone(), quoted(&masked));
            }
            Ok(())
        }
        Value::Array(elements) => {
            elements.iter().try_for_each(|element| mask_sparing(spared, element, text, words, edits))
        }
        Value::Object(members) => {
            let kind = node.get("type").and_then(Node::text).unwrap_or_default();
            if facts().signed.has(kind) {
                return Ok(());
            }
            for (name, member) in members {
                let is_word = member.text().is_some_and(is_word);
                match name.as_str() {
                    // The provider's own words for things have no spaces; a longer text under such a name is a text.
                    name if spared.has(name) && is_word => {}
                    "data" if kind == "base64" => {}
                    "url" if member.text().is_some_and(|url| url.starts_with("data:") && url.contains(";base64,")) => {}
                    "input" if kind.ends_with("tool_use") => document(member, text, words, edits)?,
                    _ => mask_sparing(spared, member, text, words, edits)?,
                }
            }
            Ok(())
        }
    }
}

/// A value that is a document of somebody's own, with fields that rules name.
pub(super) fn document(node: &Node, text: &str, words: &mut dyn Words, edits: &mut Edits) -> Result<(), NotJson> {
    let written = text.get(node.span.clone()).ok_or(NotJson)?;
    if let Some(masked) = words.json(written)? {
        edits.replace(node.span.clone(), masked);
    }
    Ok(())
}

/// A whole string, which may hold a document.
pub(super) fn string(value: &str, words: &mut dyn Words) -> Option<String> {
    if words.binds_fields()
        && value.trim_start().starts_with(['{', '['])
        && let Ok(masked) = words.json(value)
    {
        return masked;
    }
    words.whole(value)
}

/// The value with its strings masked.
pub(super) fn masked(node: &Node, text: &str, words: &mut dyn Words) -> Result<String, NotJson> {
    masked_sparing(&facts().spared, node, text, words)
}

/// The same for an API with other words of its own.
pub(in crate::api) fn masked_sparing(
    spared: &List,
    node: &Node,
    text: &str,
    words: &mut dyn Words,
) -> Result<String, NotJson> {
    let written = text.get(node.span.clone()).ok_or(NotJson)?;
    if !words.binds() {
        return Ok(written.to_owned());
    }
    let alone = json::read(written.as_bytes()).map_err(|_| NotJson)?;
    let mut edits = Edits::default();
    mask_sparing(spared, &alone, written, words, &mut edits)?;
    edits.apply(written).ok_or(NotJson)
}

/// Whether a text has the form of an id, a word of the API, or base64.
pub(in crate::api) fn is_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':' | b'+' | b'/' | b'='))
}
