//! What can go wrong with the record. All of it is the gateway's fault, or that of whoever touched its files.

use crate::verify::Finding;
use portcullis_model::SessionId;
use portcullis_store::StoreError;

/// The record cannot take the event, so nothing that needs it may pass. Why is in the log, not for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record cannot be written")]
pub struct RecordUnavailable;

/// Why the record could not be opened, read or exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// What is stored is not what was written.
    #[error("the record was altered: {0}")]
    Damaged(Finding),
    /// Reading or writing a file that is not the store.
    #[error("{what}: {source}")]
    File {
        /// Which, and what was tried.
        what: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The key file holds no key, or others may read it.
    #[error("the signing key {path} {why}")]
    Key {
        /// Which file.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No session has this id.
    #[error("no session {0}")]
    NoSession(SessionId),
    /// Nothing of the session is sealed yet; it will be within a second.
    #[error("session {0} is not sealed yet; try again in a second")]
    NotSealed(SessionId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record can take no more.
    #[error(transparent)]
    Unavailable(#[from] RecordUnavailable),
}

impl From<Finding> for AuditError {
    fn from(finding: Finding) -> Self {
        Self::Damaged(finding)
    }
}
