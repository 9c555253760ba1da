//! WebSockets (RFC 6455) through the gate: an upgrade that a rule grants, and then messages, each judged by itself.
//!
//! ```text
//! client -> frame -> message -> core -> gate -> upstream -> backend
//! backend -> frame -> message -> core -> masks -> downstream -> client
//! ```
//! Each side has a socket of its own, and nothing of one is copied to the other: frames are read strictly and put together
//! (`frame.rs`, `message.rs`), whole messages go on in frames of the gateway's own, without extensions. Pings are answered
//! and closes are made on each side by the gateway (`close.rs`).
//! Held by: the tests of the files below it, `fuzz/websocket.rs`, and `tests/it/websocket*.rs` of the binary.

mod close;
mod core;
mod frame;
mod handshake;
mod message;
mod own;

pub(crate) use self::core::{Core, Steps};
pub(crate) use close::{Close, Code};
pub(crate) use frame::{Kind, LARGEST_HEAD, Peer, write};
pub(crate) use handshake::{Key, switched, switching};
pub(crate) use message::{Heard, Messages};
pub(crate) use own::ToPeer;
