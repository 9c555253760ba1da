//! What failed: errors passed on or swapped for a refusal, and what the server discards behind them.
//!
//! What was sent in the stretch of a failure keeps its names until the Sync that ends the stretch is sent: whether the
//! error had come by then or not, the frames of the stretch are judged alike, and the server does none of them.
//! Held by: `core/tests/splitting.rs`, `core/tests/outcomes.rs`, and `tests/it/refusal.rs` against a real server.

use super::backend::{Breach, Front};
use super::copy::CopyIn;
use super::run::RunId;
use super::words::told;
use super::{Core, Discarded, State, Steps};
use crate::expect::Work;
use crate::frame::Frame;
use crate::message::{Fields, ServerMessage};
use crate::reply;

impl Core {
    pub(super) fn failed(
        &mut self,
        front: Front,
        fields: &Fields<'_>,
        message: &ServerMessage<'_>,
        frame: Frame,
        steps: &mut Steps,
    ) -> Result<(), Breach> {
        if fields.is_fatal() {
            self.release_said(message, frame, steps);
            self.state = State::Ended;
            steps.unhold = true;
            steps.end = Some("the backend ended the session");
            return Ok(());
        }
        self.scope.failed();
        self.transaction.failed();
        match front {
            Front::Query(id) | Front::Execute(id) | Front::Bind(id) => {
                self.run_failed(id, fields, message, frame, steps);
                if !matches!(front, Front::Query(_)) {
                    self.skip(steps);
                }
            }
            Front::AskColumns(id) => {
                // The client knows of no Describe: what failed is its Execute, which comes next.
                self.queue.pop();
                self.run_failed(id, fields, message, frame, steps);
                self.skip(steps);
            }
            Front::Parse | Front::DescribeStatement | Front::DescribePortal(_) => {
                self.release_said(message, frame, steps);
                self.skip(steps);
            }
            Front::CloseStatement | Front::ClosePortal => {
                self.release_said(message, frame, steps);
                self.skip(steps);
            }
            Front::Nothing | Front::Sync => self.release_said(message, frame, steps),
            Front::AskScope => {}
            Front::Around => {
                if let Some(id) = self.front_run().filter(|_| self.around_failed()) {
                    self.run_failed(id, fields, message, frame, steps);
                }
            }
            Front::Refused { told: true, .. } => return Err(Breach("two errors for one message")),
            Front::Refused { then_ready, told: false } => {
                self.tell_refusal(fields, message, frame, steps);
                if !then_ready {
                    self.skip(steps);
                }
            }
        }
        Ok(())
    }

    /// The server rejected the stand-in: the client is told why.
    fn tell_refusal(&mut self, fields: &Fields<'_>, message: &ServerMessage<'_>, frame: Frame, steps: &mut Steps) {
        if let Some(slot) = self.queue.front_mut()
            && let Work::Refused(refused) = &mut slot.work
        {
            refused.told = true;
            // Any other error is the server's own matter (it shuts down, it was cancelled), and the client hears it.
            if matches!(fields.get(b'C'), Some(b"42601" | b"26000" | b"34000" | b"25P02")) {
                steps.down.push(self.session.say(reply::refused(&refused.denial, refused.sqlstate)));
            } else {
                self.release_said(message, frame, steps);
            }
        }
    }

    fn run_failed(
        &mut self,
        id: RunId,
        fields: &Fields<'_>,
        message: &ServerMessage<'_>,
        frame: Frame,
        steps: &mut Steps,
    ) {
        if self.copy.is_active() || self.copy == CopyIn::Refused {
            self.copy = CopyIn::None;
        }
        let about = self.about();
        let Some(run) = self.runs.get_mut(id) else { return self.release_said(message, frame, steps) };
        self.copying_out = None;
        let told = told(&mut run.answer, message, &frame, about);
        run.failed = told.failed.or_else(|| Some((fields.text(b'C').into(), "".into())));
        match run.refused.take() {
            Some(denial) => steps.down.push(self.session.say(reply::refused(&denial, None))),
            None => steps.down.push(run.answer.release(told.bytes)),
        }
    }

    /// An extended frame failed: the server discards what was sent up to the next Sync.
    fn skip(&mut self, steps: &mut Steps) {
        let Some(slot) = self.queue.pop() else { return };
        self.discarded.push(Discarded { slot, failed: true });
        let (discarded, found) = self.queue.skip_to_sync();
        self.discarded.extend(discarded.into_iter().map(|slot| Discarded { slot, failed: false }));
        self.skipping = !found;
        if found {
            // The stretch is over.
            self.settle_discarded();
        } else if self.is_holding() {
            // The server would discard what is held.
            self.state = State::Ready;
            steps.unhold = true;
        }
    }

    /// Settles what the server did not do, and takes its names back.
    pub(super) fn settle_discarded(&mut self) {
        for Discarded { slot, failed } in std::mem::take(&mut self.discarded) {
            match slot.work {
                // What the gateway put a transaction around came alone, and was discarded by nobody.
                Work::Around(around) => self.runs.skip(&self.session, around.run),
                Work::Query(run) => {
                    self.runs.skip(&self.session, run);
                    self.unnamed_live(slot.number);
                }
                Work::Refused(refused) if refused.then_ready => self.unnamed_live(slot.number),
                Work::Refused(refused) if refused.forgets_unnamed && failed => {
                    self.statements.confirm("", slot.number);
                }
                Work::Refused(refused) if refused.forgets_unnamed => {
                    self.statements.reject("", slot.number, false);
                }
                Work::Parse { name, .. } => {
                    // A failed Parse of the unnamed statement has removed the one before it.
                    let forget = failed && name.is_empty();
                    self.statements.reject(&name, slot.number, forget);
                }
                Work::Bind { portal, run, statement: _ } => {
                    let forget = failed && portal.is_empty();
                    let gone = self.portals.reject(&portal, slot.number, forget);
                    if failed {
                        self.runs.end(&self.session, run)
                    } else {
                        self.runs.skip(&self.session, run)
                    }
                    gone.into_iter().for_each(|portal| self.portal_gone(portal));
                }
                Work::Execute { run } => {
                    if failed {
                        self.runs.settle(&self.session, run)
                    } else {
                        self.runs.skipped(&self.session, run)
                    }
                    self.runs.pass(&self.session, run);
                }
                Work::CloseStatement(name) => {
                    self.statements.reject(&name, slot.number, false);
                }
                Work::ClosePortal(name) => {
                    self.portals.reject(&name, slot.number, false);
                }
                Work::DescribeStatement { .. }
                | Work::DescribePortal(_)
                | Work::Sync
                | Work::AskScope
                | Work::AskColumns { .. }
                | Work::Refused(_) => {}
            }
        }
    }

    /// A Query was discarded, so it ended nothing.
    fn unnamed_live(&mut self, slot: u64) {
        self.statements.reject("", slot, false);
        self.portals.reject("", slot, false);
    }
}
