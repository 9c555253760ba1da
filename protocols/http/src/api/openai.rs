//! `api: openai`: responses, chat completions, embeddings and the list of models.
//!
//! | | |
//! |---|---|
//! | a request | `generate model NAME`, and `call tool NAME` for each tool that the provider runs |
//! | tools on offer | `call tool NAME` each, judged before the request |
//! | a tool call in the answer | held until its choice is over and it is judged, then released or replaced by the reason |
//! | text in the answer | masked as it comes, of each choice by itself |
//!
//! Promises: those of `api: anthropic`. What the gateway does not know of a request is refused, of an answer left out; a
//! stream that broke off ends without `[DONE]`. `responses.rs` says what the Responses API has of its own.
//! Held by: `openai/tests.rs` and `openai/responses/tests.rs`, which feed every answer whole, by bytes and cut anywhere.

mod answer;
mod facts;
mod request;
mod responses;
mod stream;
#[cfg(test)]
mod tests;
mod whole;

pub(crate) use request::{read, without};
