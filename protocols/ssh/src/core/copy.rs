//! A copy of old scp on a session channel: each file that either end announces, judged before its line passes.
//!
//! Promises: lines and content pass in their order, content under its file's permit and the rest under the command's;
//! what is refused is skipped and said in the protocol's own way, and the copy goes on.
//! Held by: `scp/tests.rs` for what is read, `tests/it/ssh_clients.rs` of the binary with real clients.

use super::{Steps, ToRead};
use crate::frame::{ToClient, ToTarget};
use crate::scp::{Scp, ScpAction, ScpSettled};
use crate::sftp::words;
use portcullis_gate::{Permit, Session};
use portcullis_model::Denial;

pub(crate) use crate::scp::Side as CopySide;

/// Bytes of the client that wait before no more are taken.
const WAITING: usize = 1 << 20;

/// A copy.
pub(super) struct Copy {
    pub(super) scp: Scp<Permit>,
    takes: bool,
}

impl Copy {
    pub(super) fn new(side: CopySide) -> Self {
        let takes = matches!(side, CopySide::Sink { .. });
        Self { scp: Scp::new(side), takes }
    }

    /// Whether the target takes files.
    pub(super) const fn takes(&self) -> bool {
        self.takes
    }

    pub(super) fn wants_client(&self) -> bool {
        self.scp.buffered() < WAITING
    }

    /// Moves it as far as it goes; `Err` ends the channel.
    pub(super) fn pump(&mut self, session: &Session, command: &Permit, steps: &mut Steps) -> Result<(), String> {
        loop {
            match self.scp.next() {
                ScpAction::Wait => return Ok(()),
                ScpAction::Ask(wanted) => {
                    steps.read = Some(ToRead::Files(wanted));
                    return Ok(());
                }
                ScpAction::ToTarget { permit, bytes } => {
                    let followed = session.follow(permit.unwrap_or(command), ToTarget::Data(bytes));
                    steps.up.push(followed.map_err(|stale| words(&stale.denial))?);
                }
                ScpAction::ToClient { permit, bytes } => {
                    let mut answer = session.answer(Some(permit.unwrap_or(command)));
                    steps.down.push(answer.release(ToClient::Data(bytes)));
                }
                ScpAction::Settle(ScpSettled { permit, outcome, digest }) => session.settle(permit, outcome, digest),
                ScpAction::End(fault) => return Err(fault.to_string()),
            }
        }
    }

    /// What was asked may not pass.
    pub(super) fn refuse(&mut self, session: &Session, command: &Permit, denial: &Denial, steps: &mut Steps) {
        let refusal = self.scp.refused(denial);
        steps.down.push(session.say(ToClient::Data(refusal.to_client)));
        // Of constants alone, in answer to what the target announced.
        if let Some(bytes) = refusal.to_target
            && let Ok(cleared) = session.follow(command, ToTarget::Data(bytes))
        {
            steps.up.push(cleared);
        }
    }
}
