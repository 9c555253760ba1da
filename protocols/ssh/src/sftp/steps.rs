//! What the core tells its caller to do, on both sides.
//!
//! Promises: each value says one thing to do, and those that must not be dropped are `#[must_use]`; a fault ends the stream,
//! a refusal never does. Nothing here holds bytes that a gate has not yet ruled on, except inside a
//! [`Wanted`](crate::sftp::Wanted).
//! Held by: `sftp/tests/driving.rs`, which does what they say.

use crate::sftp::answer::Answer;
use crate::sftp::content::Transferred;
use crate::sftp::fault::StreamFault;
use crate::sftp::refusal::{self, code};
use crate::sftp::wanted::Wanted;
use bytes::Bytes;
use portcullis_model::Outcome;

/// What the client's side is to do next.
#[derive(Debug)]
#[must_use = "what a client asked waits for it"]
pub(crate) enum Action<'a, P> {
    /// Nothing, until more comes from one side or what was asked is settled.
    Wait,
    /// Goes to the target unasked: the greeting, or the end of a handle. It carries neither command nor data.
    Pass(Bytes),
    /// Is judged, its names resolved first; then [`Sftp::granted`] or [`Sftp::refused`].
    Ask(Box<Wanted>),
    /// Belongs to what this permit started; then [`Sftp::sent`] or [`Sftp::refused`].
    Follow {
        /// The permit of the handle's opening.
        permit: &'a P,
        /// The packet.
        frame: Bytes,
    },
    /// The stream ends here.
    End(StreamFault),
}

/// What the target's side is to do next.
#[derive(Debug)]
#[must_use = "an answer is released, and what ended is settled"]
pub(crate) enum Back<'a, P> {
    /// Nothing, until more comes.
    Wait,
    /// An answer for the client.
    Reply {
        /// What it answers.
        of: Of<'a, P>,
        /// As it may be released.
        bytes: Bytes,
    },
    /// The stream ends here.
    End(StreamFault),
}

/// What an answer belongs to.
#[derive(Debug)]
pub(crate) enum Of<'a, P> {
    /// No command: the greeting, or something of a handle that is gone.
    Nobody,
    /// A command that goes on.
    Running(&'a P),
    /// A command that ended with it.
    Ended(Ended<P>),
}

/// A command that ended.
#[derive(Debug)]
#[must_use = "its permit is settled"]
pub(crate) struct Ended<P> {
    /// Its permit.
    pub(crate) permit: P,
    /// How.
    pub(crate) how: How,
    /// What passed, where it opened something.
    pub(crate) transferred: Option<Box<Transferred>>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The target did it; so many names came back.
    Done {
        /// Names in the answer.
        names: u32,
    },
    /// The target did not.
    Failed {
        /// Its status code.
        code: u32,
        /// Its words.
        message: String,
    },
    /// The channel ended before the target said.
    Cut,
}

impl<P> Ended<P> {
    /// As it is settled.
    pub(crate) fn outcome(&self) -> Outcome {
        let bytes = self.transferred.as_ref().map_or(0, |transferred| transferred.bytes());
        match &self.how {
            How::Done { names } => {
                Outcome::Completed { status: refusal::name(code::OK).into(), rows: u64::from(*names), bytes }
            }
            How::Failed { code, message } => Outcome::Failed {
                status: refusal::name(*code).into(),
                message: (!message.is_empty()).then(|| message.as_str().into()),
            },
            How::Cut => Outcome::Interrupted,
        }
    }
}

impl How {
    /// As the target said it.
    pub(super) fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Status { code: code::OK, .. }
            | Answer::Handle(_)
            | Answer::Data(_)
            | Answer::Attributes
            | Answer::Extended(_) => Self::Done { names: 0 },
            Answer::Names(names) => Self::Done { names: *names },
            Answer::Status { code, message } => {
                Self::Failed { code: *code, message: String::from_utf8_lossy(message).into_owned() }
            }
        }
    }
}
