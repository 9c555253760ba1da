//! What waits for people on a session channel: what the client hears meanwhile, how it gives up, and what the end brings.
//!
//! Promises: who waits at a terminal can give it up as a program, and then nothing of it runs; a decision that comes for
//! nothing that waits is recorded as interrupted. A file of a transfer and a line of a guarded session wait in their own
//! modules. Held by: `waiting` of the binary's end-to-end tests.

use super::{Core, Phase, Steps};
use crate::frame::ToTarget;
use crate::reply;
use portcullis_gate::{Hold, Settled};
use portcullis_model::{DecisionId, Denial, Reason};

impl Core {
    pub(super) fn tell_held(&mut self, hold: &Hold<ToTarget>, steps: &mut Steps) {
        self.awaited = Some(hold.approval());
        let text = reply::held(hold.approval(), hold.terms());
        steps.down.push(self.session.say(reply::say(&text, self.ends())));
    }

    /// Nobody has decided for a while about what waits: the client hears that it was not forgotten.
    pub(crate) fn on_waited(&self, steps: &mut Steps) {
        if let Some(approval) = self.awaited {
            steps.down.push(self.session.say(reply::say(&reply::still_held(approval), self.ends())));
        }
    }

    /// Whether what the client asked for waits for people, and whether it has a terminal to give it up at.
    pub(crate) const fn held(&self) -> Option<bool> {
        match &self.phase {
            Phase::Held(..) => Some(self.terminal.is_some()),
            Phase::Fresh
            | Phase::Reading
            | Phase::Opening(..)
            | Phase::Running(_)
            | Phase::Starting(_)
            | Phase::Guarded(_)
            | Phase::Over => None,
        }
    }

    /// The client wants no more of what waits: the hold goes, and with it the request for approval.
    pub(crate) fn on_interrupt(&mut self, steps: &mut Steps) {
        if let Phase::Held(_, number) = self.phase {
            steps.unhold = true;
            let decision = Some(DecisionId { session: self.session.id(), number });
            let denial = Denial { decision, reason: Reason::Withdrawn, message: None };
            self.end_with(&reply::refused(&denial), reply::INTERRUPTED, steps);
        }
    }

    /// A hold has ended.
    pub(crate) fn on_settled(&mut self, settled: Settled<ToTarget>, steps: &mut Steps) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Held(kind, _) => match settled {
                Settled::Forward(cleared, permit) => self.open(cleared, permit, kind, steps),
                Settled::Refuse(denial) => self.refuse(&denial, steps),
            },
            Phase::Running(run) => {
                self.phase = Phase::Running(run);
                self.settle_file(settled, steps);
            }
            Phase::Guarded(shell) => {
                self.phase = Phase::Guarded(shell);
                self.settle_line(settled, steps);
            }
            // Dropping what was cleared records it as interrupted.
            other @ (Phase::Fresh | Phase::Reading | Phase::Opening(..) | Phase::Starting(_) | Phase::Over) => {
                self.phase = other;
            }
        }
    }
}
