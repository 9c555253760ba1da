//! PostgreSQL through the gate.
//!
//! [`Postgres::serve`] takes an accepted connection to its end: its own negotiation and startup, a token as the
//! password (or proven by SASL), the gate, a login to the server behind it with a credential the client never sees, then the relay, in
//! which each command is read (`classify.rs`), judged (the gate) and sent, refused by substitution or held.
//!
//! ```text
//! client bytes -> frame -> message -> core -> gate -> own | upstream -> server
//! server bytes -> frame -> message -> core (expect) -> answer | reply -> client
//! ```
//!
//! Promises: DESIGN 1 and 7, each pitfall of the protocol has a test whose name
//! begins with its number (`pg_p33_…`). Does not promise replication or FunctionCall: both are refused.
//! Held by: the tests beside each module, and `tests/it` against real servers of versions 14 to 18.

mod answer;
mod asking;
pub mod cancel;
mod catalogue;
mod classify;
mod core;
mod error;
mod expect;
pub mod frame;
mod fuzz;
pub mod login;
mod mask;
pub mod message;
pub mod negotiate;
mod own;
mod preview;
mod reply;
mod roles;
mod scope;
mod serve;
pub mod startup;
mod upstream;

pub use catalogue::load_catalogue;
pub use core::fuzz_core;
pub use error::{Error, Refused, Result, Side};
pub use frame::fuzz_frame;
pub use fuzz::{fuzz_login, fuzz_sasl, fuzz_values};
pub use mask::{fuzz_mask_copy, fuzz_mask_row};
pub use message::fuzz_message;
pub use roles::{NewRole, drop_roles, extend_roles, find_roles, make_role};
pub use serve::{Destination, Postgres, Settings};
pub use startup::{ClientAuth, fuzz_startup};
