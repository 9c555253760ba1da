//! The one door: who enters, what is asked, and the only maker of what passes.
//!
//! A protocol proves a caller with [`Gate::enter`] and gets a [`Session`]. Every frame that could make a backend do
//! something is sealed with the [`Command`](portcullis_model::Command) read from it ([`Session::seal`]) and asked
//! ([`Session::ask`]): decide, append to the record, rule. Only [`Cleared`] frames enter an [`Upstream`], only
//! [`Released`] frames a [`Downstream`], and only this crate makes either. See `docs/ARCHITECTURE.md` for the picture.
//!
//! Promises (DESIGN 1): nothing passes unread; a failing policy, store or approval service is a denial; a command that
//! can write is durable in the record before it is sent, one that only reads before its first answer is released; what
//! is dropped is recorded (`abandoned`, `withdrawn`, `interrupted`), never forwarded.
//! Does not promise that the command describes the frame: the protocol's decoder and the reader promise that.
//!
//! No protocol's name or type occurs here. Held by: the `compile_fail` doctests beside each type (a clearance cannot be
//! forged, read out, or used twice; a ruling cannot be ignored) and `tests/it`.

mod allowance;
mod answer;
mod budget;
mod clearance;
mod door;
mod error;
mod explain;
mod flow;
mod granting;
mod hold;
mod json;
mod judging;
mod keeping;
mod leaving;
mod limit;
mod live;
mod mask;
mod masking;
mod reason;
mod reminder;
mod room;
mod session;
mod text;

pub use answer::{Answer, Released};
pub use budget::Reservation;
pub use clearance::{Cleared, Own, Passage, Pending, Permit, Ruling, Settled, Stale};
pub use door::{Arrival, Gate, Parts, Settings};
pub use error::{NotEntered, SendError, Withheld};
pub use explain::{
    MasksExplained, OutputExplanation, explain_masks, mask_problems, mask_warnings, mask_warnings_without_columns,
};
pub use flow::{Downstream, Outlet, Upstream, Weight};
pub use hold::Hold;
pub use json::Outgoing;
pub use keeping::Keeping;
pub use leaving::{LeftOpen, Waited};
pub use live::{Counts, LiveSession};
pub use mask::{Mask, MaskKind, Plan, Plans, ResultColumn};
pub use masking::Touches;
pub use reminder::Reminder;
pub use room::Room;
pub use session::Session;

/// Which members of JSON documents are meant.
pub use portcullis_masking::{BadPath, JsonPath};

/// Whether a text holds members of JSON, whatever else it is.
pub use portcullis_masking::has_member;

/// The key of what is hashed in the place of protected values.
pub use portcullis_masking::Key as MaskingKey;

/// What a caller presents at [`Gate::enter`], who judges it, and what it permits besides commands.
pub use portcullis_identity::{Extensions, Identity, Proof, RESERVED_USER, ScramChallenge, ScramProof};

/// What [`Session::lease`] gives.
pub use portcullis_credentials::{CredentialError, Lease, PrivateKey, Secret};
