//! HTTP through the gate.
//!
//! A client's connection ends here. Each request is read whole (`head.rs`, `path.rs`, `json.rs`, and the reader of its API
//! under `api/`), judged (the gate), and what is forwarded is built anew from what was judged, with the backend's
//! credential in it. The answer is read as its API means it, masked and released.
//!
//! ```text
//! client -> hyper -> head -> api::read -> core -> gate -> upstream -> hyper -> backend
//! backend -> hyper -> coding -> api::Reader -> core -> answer | reply -> downstream -> hyper -> client
//! ```

mod addresses;
mod answer;
mod api;
mod classify;
mod coding;
mod core;
mod error;
mod frame;
mod fuzz;
mod head;
mod json;
mod login;
mod path;
mod reply;
mod serve;
mod sse;
mod tools;
mod upstream;
mod websocket;

pub use api::Api;
pub use api::mcp::Seal;
pub use api::rest::Opaque;
pub use classify::{call_of, endpoint_of, upgrade_of};
pub use coding::fuzz_coding;
pub use error::{Error, Result, Side};
pub use fuzz::{
    fuzz_answers, fuzz_document, fuzz_events, fuzz_head, fuzz_mcp, fuzz_request, fuzz_tool, fuzz_websocket,
};
pub use serve::{Http, Settings};
pub use tools::{ToolField, ToolTable};
pub use upstream::Destination;
