//! A request to a model without the tools that policy lets nobody call here.
//!
//! An agent offers every tool that it has, in each request; one that no rule knows would refuse them all. So it is left out,
//! as a tool server's list leaves it out, and the rest of the request is read again from its first byte.
//! Promises: what is left out is what was refused, by the name that was judged; a request is not sent without a tool that it
//! insists on, nor with none where it had some. Does not promise that the model does not call it: calls are judged.
//! Held by: `core/tests.rs`.

use super::request::Runs;
use crate::frame::Request;
use crate::json::{self, Edits, Node};
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
    Some(Request { body: edits.apply(text)?.into(), ..request.clone() })
}
