//! The record: events to hash chains to signed checkpoints (DESIGN 8), and back again for those who read and prove it.
//!
//! [`Recorder`] takes events from sessions without ever waiting for the disk; one writer thread chains, commits and
//! seals them and says in a watch how far the record is durable ([`Watermark`]). Every session is one [`Stream`], one hash
//! chain. Chain heads are sealed into an append-only Merkle log (RFC 6962) whose checkpoints are signed notes (C2SP).
//! [`Reader`] lists and shows sessions, [`export`] writes one or all to a self-contained file, [`verify`] proves a store
//! or an export unaltered with the public key alone, or names the first bad event; [`asciicast`] writes what a session's
//! screen showed for any player, and [`Screen`] keeps what was recorded from doing more than draw.
//!
//! Promises: the bytes hashed are the bytes stored; what the watermark covers survives `kill -9`; a stream that was
//! begun is always ended, if not by its owner then as `interrupted` by its drop or by the next start; when the store
//! fails, nothing is reported durable ever again. Does not promise: to detect a whole suffix cut off the log by someone
//! who holds the store, unless the verifier has a later checkpoint, kept elsewhere; nor anything once the key is stolen.
//!
//! Held by: the tests beside each module and `tests/it` (every byte flipped, entries removed, swapped and cut, `kill -9`).

pub mod asciicast;
mod canonical;
mod chain;
mod error;
pub mod export;
mod fuzz;
mod keys;
mod layout;
mod merkle;
mod note;
mod queue;
mod reader;
mod recorder;
mod recover;
mod replay;
mod screen;
mod seal;
mod stream;
mod tally;
pub mod verify;
mod writer;

pub use canonical::canonical;
pub use chain::LogId;
pub use error::{AuditError, RecordUnavailable};
pub use fuzz::{fuzz_export, fuzz_store};
pub use keys::{SigningKey, VerifyingKey};
pub use note::{BadNote, Checkpoint};
pub use reader::{Events, Reader, SessionInfo};
pub use recorder::{Durability, Recorded, Recorder, Settings, Watermark};
pub use replay::{Exchange, Remark, Step, Timeline, Vote};
pub use screen::{Screen, fuzz_screen};
pub use stream::Stream;
pub use tally::Summary;
pub use verify::{Finding, Report, Subject, VerifyError, Why};
pub use writer::Writer;
