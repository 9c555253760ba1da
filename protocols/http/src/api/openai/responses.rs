//! The Responses API: `POST /v1/responses`.
//!
//! | | |
//! |---|---|
//! | a request | `generate model NAME`, and `call tool NAME` for each tool that the provider runs |
//! | tools on offer | `call tool NAME` each, judged before the request |
//! | a function call in the answer | held from the start of its item to its end, judged once, then released or replaced by a message that says why |
//! | text in the answer | masked as it comes; the copies of it that follow are written of what was released |
//!
//! Promises: those of `api: openai`. Nothing that the provider keeps is asked for, and it is asked to keep nothing. An item, a
//! part or an event that is not known breaks the answer off, and a stream that broke off has no last event. Does not promise
//! the other paths of the API (responses by their ids, `/compact`, `/input_tokens`): they are refused.
//! Held by: `responses/tests.rs`, which feeds every answer whole, by bytes and cut anywhere.

mod answer;
mod facts;
mod item;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod whole;

pub(super) use facts::Facts;
pub(super) use request::{is_asked, read, runs};
