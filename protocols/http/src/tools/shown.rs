//! What the record shows of a tool call.
//!
//! Promises: what the walk hid of the input does not stand in what is shown of it, which is whole and JSON; nothing that is no
//! plain id stands behind the name. Held by: `tests.rs`.

use super::NAME;
use crate::json::{self, Node, Value};
use portcullis_model::Text;
use std::collections::HashMap;

/// Bytes of a list of names.
const SHOWN: usize = 64 << 10;

/// A call without its input.
pub(super) fn call(name: &str, id: Option<&str>) -> Text {
    let plain =
        |id: &&str| id.len() <= NAME && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    Text::plain(id.filter(plain).map_or_else(|| name.to_owned(), |id| format!("{name} ({id})")))
}

/// As much of a text as the record shows.
pub(super) fn bounded(text: &str) -> &str {
    let end = text.floor_char_boundary(SHOWN.min(text.len()));
    text.get(..end).unwrap_or_default()
}

/// A whole input as JSON.
pub(super) fn input(node: &Node, hidden: &HashMap<usize, String>) -> String {
    let mut text = String::new();
    compact(node, hidden, &mut text);
    text
}

/// JSON without spaces, with what is hidden replaced.
fn compact(node: &Node, hidden: &HashMap<usize, String>, out: &mut String) {
    if let Some(instead) = hidden.get(&node.span.start) {
        return out.push_str(&json::quoted(instead));
    }
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(digits) => out.push_str(digits),
        Value::String(text) => out.push_str(&json::quoted(text)),
        Value::Array(elements) => {
            for (at, element) in elements.iter().enumerate() {
                out.push(if at == 0 { '[' } else { ',' });
                compact(element, hidden, out);
            }
            out.push_str(if elements.is_empty() { "[]" } else { "]" });
        }
        Value::Object(members) => {
            for (at, (name, member)) in members.iter().enumerate() {
                out.push(if at == 0 { '{' } else { ',' });
                out.push_str(&json::quoted(name));
                out.push(':');
                compact(member, hidden, out);
            }
            out.push_str(if members.is_empty() { "{}" } else { "}" });
        }
    }
}
