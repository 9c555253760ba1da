//! Frames to messages: strict, borrowing decoders for both sides, and builders for what the gateway writes itself.
//!
//! Promises: a decoder reads exactly one frame's body and all of it; each string ends in the one NUL where the protocol
//! puts it, and what a client calls text is valid UTF-8; counts and lengths are checked against what is there, and -1
//! is the only negative length. What a decoder returns borrows the bytes that are forwarded, so what is judged is what
//! runs. No input makes a decoder panic or allocate more than a small multiple of the input.
//! A [`DecodeError`] says whether the session can live on: what is well framed but unacceptable (a name too long, text
//! that is not UTF-8) is refused alone; what is malformed ends the session with 08P01.
//!
//! Does not promise: that a message makes sense at its place; the session's core knows.
//! Held by: `message/tests.rs` (round trips, every truncation, agreement with another implementation) and
//! [`fuzz_message`].

mod build;
mod client;
mod read;
mod server;
#[cfg(test)]
mod tests;

pub use build::{Report, Severity, write};
pub use client::{ClientMessage, Formats, Params, Target, password, sasl_initial};
pub use read::DecodeError;
pub use server::{Authentication, Cells, Column, DataRow, Field, Fields, Said, ServerMessage, TransactionStatus};

/// The longest name of a statement or portal, in bytes; longer ones would name something else after truncation.
pub const NAME_LIMIT: usize = 63;

/// Names that begin so are the gateway's own; clients may not use them.
pub const RESERVED_PREFIX: &str = "gw$";

/// Decodes arbitrary bytes as every message of both sides and walks what comes out; for the fuzzer and the tests.
pub fn fuzz_message(data: &[u8]) {
    let Some((&tag, body)) = data.split_first() else { return };
    if let Ok(message) = ClientMessage::decode(tag, body) {
        assert!(message.walk() <= body.len(), "a client message gave out more than it holds");
    }
    if let Ok(message) = ServerMessage::decode(tag, body) {
        assert!(message.walk() <= body.len(), "a server message gave out more than it holds");
    }
    if let Ok(text) = password(body) {
        assert!(text.len() < body.len());
    }
    crate::startup::fuzz_startup(body);
}
