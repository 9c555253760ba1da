//! `api: anthropic`: the Messages API.
//!
//! | | |
//! |---|---|
//! | a request | `generate model NAME`, and `call tool NAME` for each tool that the provider runs |
//! | tools on offer | `call tool NAME` each, judged before the request |
//! | a tool call in the answer | held until it is judged, then released or replaced by the reason |
//! | text in the answer | masked as it comes, held back only where a longer match may begin |
//!
//! Promises: what leaves to the provider and what comes back is masked; a tool call reaches the client only after it was
//! allowed, whole; what the gateway does not know of a request is refused, of an answer dropped; an answer that broke off
//! never looks complete. Does not promise that an agent does nothing else: what it does arrives at a gate again.
//! Held by: `anthropic/tests.rs`, which feeds every answer whole, by bytes and cut anywhere.

mod answer;
mod block;
mod facts;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod whole;

use portcullis_model::Fault;
pub(crate) use request::{read, without};
use serde_json::{Value, json};

/// What SDKs go by, beside the text, where a request does not pass: without a thread they ask once more, by themselves.
pub(crate) fn details(fault: &Fault) -> Option<Value> {
    let kept = fault.message() == request::KEPT;
    kept.then(|| json!({ "error_code": facts::facts().kept_error, "unsupported": [facts::facts().kept] }))
}
