//! COPY data from the client, and where it stands.
//!
//! While a frame that may start a COPY is unanswered, nothing more of the client is taken: only the server's
//! CopyInResponse says whether a Sync that follows is one (it ignores Sync and Flush while it reads COPY data). So data
//! is sent only under the permit of the statement that reads it, stray data never, and no Sync is counted that the
//! server does not answer.
//!
//! Promises: data of a COPY that may not go on (revoked, policy moved on) is replaced by CopyFail, and the rest of it
//! dropped; its digest is recorded with the outcome.
//! Held by: `core/tests/copying.rs` and `tests/it/copy.rs` against a real server.

use super::run::RunId;
use super::{Core, Steps};
use crate::frame::Frame;
use crate::own::{Own, Passage};
use sha2::Digest as _;

/// Where COPY data from the client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CopyIn {
    /// The server reads none; what comes is dropped, as the server would.
    None,
    /// The server reads it for this run.
    Active(RunId),
    /// It was refused; the rest is dropped.
    Refused,
}

impl CopyIn {
    pub(super) const fn is_active(self) -> bool {
        matches!(self, Self::Active(_))
    }
}

impl Core {
    /// Sends COPY data. It always comes as whole frames: once half of one was sent, nothing could take its place.
    pub(super) fn copy_data(&mut self, frame: Frame, steps: &mut Steps) {
        let CopyIn::Active(id) = self.copy else { return };
        let Some(run) = self.runs.get_mut(id) else { return };
        let Some(permit) = &run.permit else { return };
        let kept = frame.clone();
        match self.session.follow(permit, frame.into_bytes()) {
            Ok(cleared) => {
                if let Some(hash) = &mut run.data {
                    hash.update(kept.body());
                }
                steps.up.push(cleared);
            }
            Err(stale) => {
                run.refused = Some(stale.denial);
                self.copy = CopyIn::Refused;
                steps.up.push(self.session.own(Own::CopyFail));
            }
        }
    }

    /// CopyDone or CopyFail.
    pub(super) fn copy_ends(&mut self, frame: Frame, failed: bool, steps: &mut Steps) {
        match self.copy {
            CopyIn::Active(_) => {
                let passage = if failed { Passage::CopyFail(frame) } else { Passage::CopyDone(frame) };
                steps.up.push(self.session.pass(passage));
                self.copy = CopyIn::None;
            }
            CopyIn::None | CopyIn::Refused => {}
        }
    }
}
