//! A file transfer on a session channel: each request of the client judged before it goes to the target, each answer
//! released to the command that it belongs to.
//!
//! Promises: requests pass in their order, one judged at a time; a refusal is an answer of the protocol
//! (SSH_FX_PERMISSION_DENIED) and a line on standard error, since clients show little of the first; the session lives on.
//! Held by: `sftp/tests` for what is read, `tests/it/ssh_clients.rs` of the binary with real clients.

use super::run::{Kind, Run};
use super::{Core, JudgedFile, Phase, Steps, ToRead};
use crate::frame::{ToClient, ToTarget};
use crate::own::Passage;
use crate::sftp::{Action, Back, Ended, Of, Place, Sftp, words};
use bytes::Bytes;
use portcullis_gate::{Permit, Ruling, Session, Settled};
use portcullis_model::Denial;

/// Bytes of requests that wait before no more are taken of the client.
const WAITING: usize = 1 << 20;
/// Refusals that are told on standard error too; a client that asks for a tree would drown in them.
const TOLD: usize = 20;

/// A file transfer.
pub(super) struct Transfer {
    pub(super) sftp: Sftp<Permit>,
    /// What is held, and what it would open.
    held: Option<Place>,
    told: usize,
}

impl Default for Transfer {
    fn default() -> Self {
        Self { sftp: Sftp::new(), held: None, told: 0 }
    }
}

impl Transfer {
    pub(super) fn wants_client(&self) -> bool {
        self.sftp.buffered() < WAITING
    }

    fn refuse(&mut self, session: &Session, denial: &Denial, steps: &mut Steps) {
        let answer = self.sftp.refused(denial);
        steps.down.push(session.say(ToClient::Data(answer)));
        self.told += 1;
        if self.told <= TOLD {
            Run::warn(session, &format!("portcullis: {}\n", words(denial)), steps);
        }
    }

    /// What the client's side can do now; false when it waits. `Err` ends the channel.
    fn client_side(&mut self, session: &Session, steps: &mut Steps) -> Result<bool, String> {
        match self.sftp.next_client() {
            Action::Wait => return Ok(false),
            Action::Pass(frame) => steps.up.push(session.pass(Unjudged(frame))),
            Action::Ask(wanted) => {
                steps.read = Some(ToRead::Files(wanted));
                return Ok(false);
            }
            Action::Follow { permit, frame } => match session.follow(permit, ToTarget::Data(frame)) {
                Ok(cleared) => {
                    steps.up.push(cleared);
                    self.sftp.sent();
                }
                Err(stale) => self.refuse(session, &stale.denial, steps),
            },
            Action::End(fault) => return Err(fault.to_string()),
        }
        Ok(true)
    }

    /// The same for the target's.
    fn target_side(&mut self, session: &Session, steps: &mut Steps) -> Result<bool, String> {
        match self.sftp.next_target() {
            Back::Wait => return Ok(false),
            Back::Reply { of: Of::Nobody, bytes } => steps.down.push(session.say(ToClient::Data(bytes))),
            Back::Reply { of: Of::Running(permit), bytes } => {
                steps.down.push(session.answer(Some(permit)).release(ToClient::Data(bytes)));
            }
            Back::Reply { of: Of::Ended(ended), bytes } => {
                steps.down.push(session.answer(Some(&ended.permit)).release(ToClient::Data(bytes)));
                settle(session, ended);
            }
            Back::End(fault) => return Err(fault.to_string()),
        }
        Ok(true)
    }

    /// The channel is closed.
    pub(super) fn finish(self, session: &Session) {
        for ended in self.sftp.finish() {
            settle(session, ended);
        }
    }
}

fn settle(session: &Session, ended: Ended<Permit>) {
    let outcome = ended.outcome();
    let digest = ended.transferred.as_ref().and_then(|transferred| transferred.digest());
    session.settle(ended.permit, outcome, digest);
}

/// A packet that carries neither command nor data: the greeting, the end of a handle.
struct Unjudged(Bytes);

impl portcullis_gate::Passage for Unjudged {
    type Frame = ToTarget;

    fn into_frame(self) -> ToTarget {
        ToTarget::Data(self.0)
    }
}

impl Core {
    /// Moves what speaks a protocol of its own as far as it goes.
    pub(super) fn pump(&mut self, steps: &mut Steps) {
        let broken = match &mut self.phase {
            Phase::Running(run) => match &mut run.kind {
                Kind::Program | Kind::Forward => Ok(()),
                Kind::Files(transfer) => pump(transfer, &self.session, steps),
                Kind::Copy(copy) => copy.pump(&self.session, run.under.permit(), steps),
            },
            _ => Ok(()),
        };
        if let Err(why) = broken {
            self.break_off(&why, steps);
            return;
        }
        // The end of input comes behind what was read of it.
        if self.ended_input
            && let Phase::Running(run) = &mut self.phase
            && run.takes_end()
        {
            steps.up.push(self.session.pass(Passage::Eof));
        }
    }

    /// What a transfer or a copy asked for, with what its names mean.
    pub(crate) fn on_judged(&mut self, judged: JudgedFile, steps: &mut Steps) {
        let Phase::Running(run) = &mut self.phase else { return };
        let pending = self.session.seal(ToTarget::Data(judged.frame.clone()), judged.command);
        match (self.session.ask(pending), &mut run.kind) {
            (Ruling::Forward(cleared, permit), Kind::Files(transfer)) => {
                steps.up.push(cleared);
                transfer.sftp.granted(permit, judged.place);
            }
            (Ruling::Refuse(denial), Kind::Files(transfer)) => transfer.refuse(&self.session, &denial, steps),
            (Ruling::Hold(hold), Kind::Files(transfer)) => {
                transfer.held = Some(judged.place);
                self.wait_for(hold, steps);
            }
            (Ruling::Forward(cleared, permit), Kind::Copy(copy)) => {
                // Where the target gives files, nothing goes there for what is judged.
                if copy.takes() {
                    steps.up.push(cleared);
                }
                copy.scp.granted(permit);
            }
            (Ruling::Refuse(denial), Kind::Copy(copy)) => {
                copy.refuse(&self.session, run.under.permit(), &denial, steps)
            }
            (Ruling::Hold(hold), Kind::Copy(_)) => self.wait_for(hold, steps),
            // A program asks for nothing.
            (Ruling::Forward(..) | Ruling::Refuse(_) | Ruling::Hold(_), Kind::Program | Kind::Forward) => {}
        }
        self.pump(steps);
    }

    fn wait_for(&mut self, hold: portcullis_gate::Hold<ToTarget>, steps: &mut Steps) {
        self.tell_held(&hold, steps);
        steps.hold = Some(hold);
    }

    /// A hold of a transfer or a copy has ended.
    pub(super) fn settle_file(&mut self, settled: Settled<ToTarget>, steps: &mut Steps) {
        let Phase::Running(run) = &mut self.phase else { return };
        match (settled, &mut run.kind) {
            (Settled::Forward(cleared, permit), Kind::Files(transfer)) => {
                if let Some(place) = transfer.held.take() {
                    steps.up.push(cleared);
                    transfer.sftp.granted(permit, place);
                }
            }
            (Settled::Refuse(denial), Kind::Files(transfer)) => transfer.refuse(&self.session, &denial, steps),
            (Settled::Forward(cleared, permit), Kind::Copy(copy)) => {
                if copy.takes() {
                    steps.up.push(cleared);
                }
                copy.scp.granted(permit);
            }
            (Settled::Refuse(denial), Kind::Copy(copy)) => {
                copy.refuse(&self.session, run.under.permit(), &denial, steps)
            }
            (Settled::Forward(..) | Settled::Refuse(_), Kind::Program | Kind::Forward) => {}
        }
        self.pump(steps);
    }
}

fn pump(transfer: &mut Transfer, session: &Session, steps: &mut Steps) -> Result<(), String> {
    loop {
        // While names are asked for or a person is, the answers of what went before still come back.
        let client = steps.read.is_none() && steps.hold.is_none() && transfer.client_side(session, steps)?;
        let target = transfer.target_side(session, steps)?;
        if !client && !target {
            return Ok(());
        }
    }
}
