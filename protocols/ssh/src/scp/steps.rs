//! What a copy is, and what it tells its caller to do.
//!
//! Promises: each value says one thing to do; what is refused is told to both ends in their own way, and made here of
//! constants and the words of the refusal alone.
//! Held by: `scp/tests.rs`, which does what they say.

use crate::sftp::{StreamFault, Wanted};
use bytes::Bytes;
use portcullis_model::{Digest, Outcome};

/// Which end the target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// `scp -t PATH`: it takes files.
    Sink {
        /// The path of the command line.
        path: String,
        /// Whether that is a directory now: files are put into it then, in its place otherwise.
        directory: bool,
        /// Whether `-r` was said.
        recursive: bool,
    },
    /// `scp -f PATH…`: it gives files.
    Source {
        /// The paths of the command line, as the target expands them.
        paths: Vec<String>,
    },
}

/// What is to be done next.
#[derive(Debug)]
#[must_use = "the other end waits for it"]
pub(crate) enum ScpAction<'a, P> {
    /// Nothing, until more comes or what was asked is settled.
    Wait,
    /// Is judged, its name resolved first; then [`Scp::granted`] or [`Scp::refused`]. Where the target takes files the frame
    /// is the line itself; where it gives them it is empty, and nothing is sent for it.
    Ask(Box<Wanted>),
    /// Follows this permit, or that of the command where there is none. If it may not, the channel ends.
    ToTarget { permit: Option<&'a P>, bytes: Bytes },
    /// Answers this permit, or that of the command where there is none.
    ToClient { permit: Option<&'a P>, bytes: Bytes },
    /// A file or directory is done.
    Settle(ScpSettled<P>),
    /// The stream ends here.
    End(StreamFault),
}

/// A file or directory that is done.
#[derive(Debug)]
pub(crate) struct ScpSettled<P> {
    /// Its permit.
    pub(crate) permit: P,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// Of its content.
    pub(crate) digest: Option<Digest>,
}

/// What is said where a file was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScpRefusal {
    /// To the client: why.
    pub(crate) to_client: Bytes,
    /// To the target, where it gives files: not this one.
    pub(crate) to_target: Option<Bytes>,
}
