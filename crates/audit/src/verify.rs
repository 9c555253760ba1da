//! Proving the record unaltered, with the public key alone, or naming the first thing that is wrong.
//!
//! [`store`] reads a whole store: every chain, every sealed head, every node of the Merkle log, every checkpoint, every
//! index, and that nothing else is there. [`export`] reads a file made by [`crate::export`]. Both take checkpoints that
//! were kept elsewhere (by a witness, in an earlier export): the record must contain them. Either works while a gateway
//! writes; what came after the newest checkpoint is counted as not yet sealed.
//!
//! Promises: removing, adding, reordering or editing anything sealed is found. Does not promise to find a record cut off
//! at an earlier checkpoint by someone who holds the store, unless a later checkpoint is given; and events behind the
//! last seal (at most a second's) are covered by their own hashes only.
//! Held by: `tests/it/tampering.rs`, which flips, removes, swaps and cuts everything.

mod file;
pub(crate) mod walk;
mod whole;

pub use file::export;
pub use whole::store;

use crate::chain::LogId;
use crate::error::AuditError;
use crate::note::{BadNote, Checkpoint};
use portcullis_model::SessionId;
use portcullis_store::StoreError;
use serde::Serialize;
use std::fmt;

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which log.
    pub log: LogId,
    /// Sessions read.
    pub sessions: u64,
    /// Events read and found sealed.
    pub events: u64,
    /// Events read behind the newest seal: chained, not yet sealed.
    pub unsealed: u64,
    /// The newest checkpoint; `None` for a log in which nothing was ever sealed.
    pub checkpoint: Option<Checkpoint>,
    /// Its signed note: what to keep elsewhere for the next verification.
    pub note: Option<String>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// An event.
    Event {
        /// Of this session.
        session: SessionId,
        /// By its number, from 0.
        number: u64,
    },
    /// A session as a whole.
    Session(SessionId),
    /// A sealed head, by its index in the Merkle log.
    Leaf(u64),
    /// An inner node of the Merkle log.
    Node {
        /// Its height above the leaves.
        level: u8,
        /// Its place among those of its height.
        index: u64,
    },
    /// A signed checkpoint.
    Checkpoint,
    /// Something that has no place here, by its key.
    Entry(String),
    /// A line of an export, from 1.
    Line(u64),
}

/// In which way it is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It is not what was written.
    Altered,
    /// It is not there, though what follows it is.
    Missing,
    /// It stands in another's place.
    Reordered,
    /// It and what followed it are gone.
    Truncated,
    /// It was never written here.
    Unexpected,
}

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Finding {
    /// What.
    pub subject: Subject,
    /// How.
    pub why: Why,
    /// More, in words; may be empty.
    pub detail: String,
}

impl Finding {
    pub(crate) fn new(subject: Subject, why: Why, detail: impl Into<String>) -> Self {
        Self { subject, why, detail: detail.into() }
    }

    /// Something that cannot be read as what its key says.
    pub(crate) fn entry(key: &[u8]) -> Self {
        Self::new(Subject::Entry(hex::encode(key)), Why::Altered, "")
    }

    pub(crate) fn note(bad: &BadNote) -> Self {
        Self::new(Subject::Checkpoint, Why::Altered, bad.to_string())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Event { session, number } => write!(f, "event {number} of session {session}")?,
            Subject::Session(session) => write!(f, "session {session}")?,
            Subject::Leaf(index) => write!(f, "sealed head {index}")?,
            Subject::Node { level, index } => write!(f, "node {index} at height {level} of the Merkle log")?,
            Subject::Checkpoint => f.write_str("the checkpoint")?,
            Subject::Entry(key) => write!(f, "the entry {key}")?,
            Subject::Line(line) => write!(f, "line {line} of the export")?,
        }
        f.write_str(match self.why {
            Why::Altered => " was altered",
            Why::Missing => " is missing",
            Why::Reordered => " is out of its place",
            Why::Truncated => " and what followed it are gone",
            Why::Unexpected => " was never recorded",
        })?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}

/// Why the record is not proved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It is not what was recorded.
    #[error("{0}")]
    Broken(Finding),
    /// An export holds neither the given checkpoint nor a proof from it: export again, from that checkpoint on.
    #[error("the export ({export} sealed heads) cannot be compared with a checkpoint of {checkpoint}")]
    NotComparable {
        /// The size of the export's log.
        export: u64,
        /// The size in the checkpoint.
        checkpoint: u64,
    },
    /// The store holds no record of this key.
    #[error("there is no record of this key (log {0})")]
    NoRecord(LogId),
    /// It could not be read.
    #[error(transparent)]
    Unread(AuditError),
}

impl From<AuditError> for VerifyError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Damaged(finding) => Self::Broken(finding),
            other => Self::Unread(other),
        }
    }
}

impl From<Finding> for VerifyError {
    fn from(finding: Finding) -> Self {
        Self::Broken(finding)
    }
}

impl From<StoreError> for VerifyError {
    fn from(error: StoreError) -> Self {
        Self::Unread(error.into())
    }
}
