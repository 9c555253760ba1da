//! A request to a model without the tools that policy lets nobody call here.
//!
//! An agent offers every tool that it has, in each request; one that no rule knows would refuse them all. So it is left out,
//! as a tool server's list leaves it out, and the rest of the request is read again from its first byte.
//! Promises: what is left out is what was refused, by the name that was judged; a request is not sent without a tool that it
//! insists on, nor with none where it had some. Where a search of the client's found the tool, the conversation says that it
//! may not be called, since a provider refuses one that refers to a tool which it is not offered. Does not promise that the
//! model does not call it: calls are judged.
//! Held by: `core/tests.rs` and the tests of `api: anthropic`.

use super::request::Runs;
use crate::frame::Request;
use crate::json::{self, Edits, Node, quoted};
use portcullis_model::Fault;
use std::collections::BTreeSet;

/// The request that offers none of these tools; `None` where it cannot be sent so.
pub(in crate::api) fn without(
    request: &Request,
    refused: &BTreeSet<String>,
    runs: impl for<'n> Fn(&'n Node) -> Result<Runs<'n>, Fault>,
) -> Option<Request> {
    let text = std::str::from_utf8(&request.body).ok()?;
    let body = json::read(text.as_bytes()).ok()?;
    let tools = body.get("tools")?;
    let is_kept = |tool: &&Node| !matches!(runs(tool), Ok(Runs::Client(name)) if refused.contains(name));
    let kept = tools.elements().iter().filter(is_kept);
    let kept: Vec<&str> = kept.map(|tool| text.get(tool.span.clone())).collect::<Option<_>>()?;
    let mut insists = false;
    if let Some(choice) = body.get("tool_choice") {
        choice.strings(&mut |word| insists |= refused.contains(word));
    }
    if kept.is_empty() || insists {
        return None;
    }
    let mut edits = Edits::default();
    edits.replace(tools.span.clone(), format!("[{}]", kept.join(",")));
    if let Some(turns) = body.get("messages") {
        unname(turns, text, refused, &mut edits);
    }
    Some(Request { body: edits.apply(text)?.into(), ..request.clone() })
}

/// A reference to a tool that is left out becomes a text that says so.
fn unname(node: &Node, text: &str, refused: &BTreeSet<String>, edits: &mut Edits) {
    let word = |member: &str| node.get(member).and_then(Node::text);
    match (word("type"), word("tool_name")) {
        (Some("tool_reference"), Some(name)) if refused.contains(name) => {
            let said = quoted(&format!("[portcullis] {name} may not be called here"));
            let cache = node.get("cache_control").and_then(|cache| text.get(cache.span.clone()));
            let cache = cache.map(|cache| format!(r#","cache_control":{cache}"#)).unwrap_or_default();
            edits.replace(node.span.clone(), format!(r#"{{"type":"text","text":{said}{cache}}}"#));
        }
        // What a tool was called with is the client's.
        (Some(kind), _) if kind.ends_with("tool_use") => {}
        (_, _) => {
            node.elements().iter().for_each(|element| unname(element, text, refused, edits));
            for (name, member) in node.members() {
                // Lists that take no text.
                if matches!(name.as_str(), "tool_references" | "tool_changes") {
                    strike(member, text, refused, edits);
                } else {
                    unname(member, text, refused, edits);
                }
            }
        }
    }
}

/// Takes out of a list what refers to a tool that is left out.
fn strike(list: &Node, text: &str, refused: &BTreeSet<String>, edits: &mut Edits) {
    let stays = |element: &&Node| {
        let name = element.get("tool_name").or_else(|| element.get("tool")?.get("name")).and_then(Node::text);
        name.is_none_or(|name| !refused.contains(name))
    };
    let kept: Vec<&Node> = list.elements().iter().filter(stays).collect();
    if kept.len() < list.elements().len() {
        let kept: Vec<&str> = kept.iter().filter_map(|element| text.get(element.span.clone())).collect();
        edits.replace(list.span.clone(), format!("[{}]", kept.join(",")));
    }
}
