//! Before the gate and behind it: asked, forwarded, refused by substitution, or held.
//!
//! Promises: there is one place where a judged frame is sent, and one where its stand-in is. A refusal never makes the
//! core say anything by itself: the client is told when the server has rejected the stand-in, so the order of answers
//! and the transaction status are the server's own.
//! Held by: `core/tests/refusal.rs`, `core/tests/holding.rs`, and `tests/it/refusal.rs` against a real server.

use super::analysed::Used;
use super::run::{Run, RunId};
use super::{Core, Portal, Prepared, State, Steps};
use crate::answer::Shape;
use crate::classify::Read;
use crate::expect::{Refused, Work};
use crate::message::TransactionStatus;
use crate::own::Own;
use crate::reply;
use bytes::Bytes;
use portcullis_gate::{Cleared, Hold, Permit, Ruling, Settled, Stale};
use portcullis_model::{Command, DecisionId, Denial, Outcome, Reason};
use portcullis_sql::Effect;
use std::sync::Arc;

/// What a frame was, while the gate decides.
pub(super) enum Asked {
    /// Query.
    Query(Arc<Read>),
    /// Parse.
    Parse { name: Box<str>, prepared: Box<Prepared> },
    /// Bind; without what it binds, it can only be refused.
    Bind(Option<&'static str>, Option<Box<Bound>>),
    /// Execute of a portal that does not exist: it can only be refused.
    Execute(Option<&'static str>),
    /// Execute of a portal that is asked about anew: its run was settled, or what it runs by name has changed.
    Again { run: RunId, portal: Box<str>, read: Option<Arc<Read>> },
    /// Execute of a cursor that SQL declared.
    Fetch { read: Arc<Read>, portal: Box<str> },
    /// FunctionCall: it can only be refused.
    Call,
    /// A frame that was not read: it can only be refused.
    Unread { code: Option<&'static str>, parse: bool, then_ready: bool },
}

/// What a Bind makes.
pub(super) struct Bound {
    pub(super) portal: Box<str>,
    pub(super) read: Arc<Read>,
    /// The use of its statement, where that is not kept yet.
    pub(super) used: Option<Box<Used>>,
    pub(super) shape: Shape,
    /// The types of its parameters, as far as they are known, and the body of the message that has their values.
    pub(super) values: (Arc<[u32]>, Bytes),
}

impl Core {
    /// Asks the gate about a frame.
    pub(super) fn ask(&mut self, frame: Bytes, command: Command, asked: Asked, steps: &mut Steps) {
        let pending = self.session.seal(frame, command);
        match self.session.ask(pending) {
            Ruling::Forward(cleared, permit) => self.forward(asked, cleared, permit, steps),
            Ruling::Refuse(denial) => self.refuse(asked, denial, steps),
            Ruling::Hold(hold) => self.hold(asked, hold, steps),
        }
    }

    fn forward(&mut self, asked: Asked, cleared: Cleared<Bytes>, permit: Permit, steps: &mut Steps) {
        match asked {
            Asked::Query(read) => {
                let mut run = Run::new(&self.session, permit, Arc::clone(&read), Shape::default());
                if let Some(denial) = self.unmaskable_copy(&mut run) {
                    return self.refuse(Asked::Query(read), denial, steps);
                }
                run.executed = true;
                self.keep_executed(&read);
                let limited = run.limited.is_some();
                let id = self.runs.add(run);
                let work = if limited {
                    self.send_limited(cleared, id, steps)
                } else {
                    steps.up.push(cleared);
                    Work::Query(id)
                };
                let slot = self.owe(work);
                self.runs_now(&read, limited, slot);
                self.touches(id, slot);
                self.unnamed_end(slot);
            }
            Asked::Fetch { read, portal } => {
                let mut run = Run::new(&self.session, permit, read, Shape::default());
                (run.executed, run.passing) = (true, true);
                let (read, asks, limited) = (Arc::clone(&run.read), run.asks_columns(), run.limited.is_some());
                let id = self.runs.add(run);
                if asks {
                    self.ask_columns(id, portal, steps);
                }
                steps.up.push(cleared);
                let slot = self.owe(Work::Execute { run: id });
                self.touches(id, slot);
                self.runs_now(&read, limited, slot);
            }
            Asked::Parse { name, mut prepared } => {
                steps.up.push(cleared);
                prepared.number = Some(permit.number());
                let slot = self.owe(Work::Parse { name: name.clone(), permit });
                self.statements.propose(&name, slot, self.stretch, Some(Arc::new(*prepared)));
            }
            Asked::Bind(_, Some(bound)) => {
                let Bound { portal, read, used, shape, values: _ } = *bound;
                let mut run = Run::new(&self.session, permit, Arc::clone(&read), shape);
                if let Some(denial) = self.unmaskable_copy(&mut run) {
                    return self.refuse(Asked::Bind(None, None), denial, steps);
                }
                steps.up.push(cleared);
                self.keep_executed(&read);
                let statement = used.map(|used| {
                    self.keep_use(&used);
                    used.statement
                });
                let name = portal.clone();
                let run = self.runs.add(run);
                let slot = self.owe(Work::Bind { portal, run, statement });
                self.portals.propose(&name, slot, self.stretch, Some(Portal::Bound(run)));
            }
            Asked::Again { run: id, portal, read } => {
                self.runs.settle(&self.session, id);
                if let Some(read) = &read {
                    self.keep_executed(read);
                }
                if let Some(run) = self.runs.get_mut(id) {
                    if let Some(read) = read {
                        run.read = read;
                    }
                    run.again(&self.session, permit);
                }
                self.executed(id, &portal, Ok(cleared), steps);
            }
            // These were asked as faulty, and a faulty command is never allowed.
            Asked::Bind(_, None) | Asked::Execute(_) | Asked::Call | Asked::Unread { .. } => {
                self.session.settle(permit, Outcome::REFUSED, None);
                let denial = Denial { decision: None, reason: Reason::Withdrawn, message: None };
                self.refuse(asked, denial, steps);
            }
        }
    }

    /// An Execute of a judged portal was cleared, or may not go on.
    pub(super) fn executed(
        &mut self,
        id: RunId,
        portal: &str,
        cleared: Result<Cleared<Bytes>, Stale<Bytes>>,
        steps: &mut Steps,
    ) {
        match cleared {
            Ok(cleared) => {
                if self.runs.get(id).is_some_and(Run::asks_columns) {
                    self.ask_columns(id, portal.into(), steps);
                }
                steps.up.push(cleared);
                let slot = self.owe(Work::Execute { run: id });
                self.touches(id, slot);
                if let Some(run) = self.runs.get_mut(id) {
                    run.executed = true;
                    run.executing = Some(slot);
                    let (read, limited) = (Arc::clone(&run.read), run.limited.is_some());
                    self.runs_now(&read, limited, slot);
                }
            }
            Err(stale) => self.refuse(Asked::Execute(None), stale.denial, steps),
        }
    }

    /// Learns where the columns of a portal come from before its rows do.
    fn ask_columns(&mut self, run: RunId, portal: Box<str>, steps: &mut Steps) {
        steps.up.push(self.session.own(Own::AskColumns { portal }));
        self.owe(Work::AskColumns { run });
    }

    /// Sends the stand-in.
    fn refuse(&mut self, asked: Asked, denial: Denial, steps: &mut Steps) {
        let decision = denial.decision;
        let nowhere = self.nowhere.clone();
        let (own, sqlstate, then_ready, forgets_unnamed) = match asked {
            Asked::Query(read) => (Own::RefusedQuery(decision), read.sqlstate, true, false),
            Asked::Call => (Own::RefusedQuery(decision), None, true, false),
            Asked::Parse { name, prepared } => {
                let sqlstate = prepared.read.as_ref().and_then(|(_, _, read)| read.sqlstate);
                let unnamed = name.is_empty();
                (Own::RefusedParse { decision, unnamed, nowhere }, sqlstate, false, unnamed)
            }
            Asked::Bind(sqlstate, bound) => {
                let sqlstate = sqlstate.or_else(|| bound.and_then(|bound| bound.read.sqlstate));
                (Own::RefusedBind(nowhere), sqlstate, false, false)
            }
            Asked::Execute(sqlstate) => (Own::RefusedExecute(nowhere), sqlstate, false, false),
            Asked::Again { .. } | Asked::Fetch { .. } => (Own::RefusedExecute(nowhere), None, false, false),
            Asked::Unread { code, parse: true, then_ready } => {
                (Own::RefusedParse { decision, unnamed: false, nowhere }, code, then_ready, false)
            }
            Asked::Unread { code, parse: false, then_ready: true } => (Own::RefusedQuery(decision), code, true, false),
            Asked::Unread { code, parse: false, then_ready: false } => {
                (Own::RefusedExecute(nowhere), code, false, false)
            }
        };
        steps.up.push(self.session.own(own));
        let refused = Refused { denial, sqlstate, then_ready, told: false, forgets_unnamed };
        let slot = self.owe(Work::Refused(Box::new(refused)));
        if then_ready {
            self.unnamed_end(slot);
        } else if forgets_unnamed {
            self.statements.propose("", slot, self.stretch, None);
        }
    }

    /// A Query ends the unnamed statement and portal, whatever becomes of it.
    fn unnamed_end(&mut self, slot: u64) {
        self.statements.propose("", slot, self.stretch, None);
        self.portals.propose("", slot, self.stretch, None);
    }

    fn hold(&mut self, asked: Asked, hold: Hold<Bytes>, steps: &mut Steps) {
        if self.skipping {
            // The server would discard it: nobody is asked.
            return drop(hold);
        }
        let waits_inside = hold.terms().iter().all(|terms| terms.in_transaction);
        if !waits_inside
            && self.in_transaction()
            && let Some(rule) = hold.terms().first().map(|terms| terms.rule.clone())
        {
            let denial = hold.refuse(Reason::HeldInTransaction { rule });
            return self.refuse(asked, denial, steps);
        }
        self.notify(reply::held(hold.approval(), hold.terms()), steps);
        if !self.queue.ends_in_ready() {
            // What came before it is answered while it waits.
            steps.up.push(self.session.own(Own::Flush));
        }
        steps.preview = self.foretell(&asked, hold.counts_rows());
        let (number, approval) = (hold.number(), hold.approval());
        self.state = State::Holding { asked: Box::new(asked), number, approval };
        steps.hold = Some(hold);
    }

    /// Whether a transaction is open, or what is under way may open one.
    pub(super) fn in_transaction(&self) -> bool {
        let opens = |work: &Work| match work {
            Work::Query(run) | Work::Execute { run } => self
                .runs
                .get(*run)
                .is_some_and(|run| run.read.effects.iter().flatten().any(|effect| matches!(effect, Effect::Begin))),
            // One write, in a transaction that is over when it is answered.
            Work::Around(_)
            | Work::Parse { .. }
            | Work::Bind { .. }
            | Work::DescribeStatement { .. }
            | Work::DescribePortal(_)
            | Work::CloseStatement(_)
            | Work::ClosePortal(_)
            | Work::Sync
            | Work::AskScope
            | Work::AskColumns { .. }
            | Work::Refused(_) => false,
        };
        self.transaction.status() != TransactionStatus::Idle || self.queue.iter().any(|slot| opens(&slot.work))
    }

    /// Nobody has decided for a while: the client hears that it was not forgotten, unless it still is to hear that it waits.
    pub(crate) fn on_waited(&mut self, steps: &mut Steps) {
        if let State::Holding { approval, .. } = &self.state {
            self.notify(reply::still_held(*approval), steps);
        }
    }

    /// People decided, or nobody did in time.
    pub(crate) fn on_settled(&mut self, settled: Settled<Bytes>, steps: &mut Steps) {
        self.later = None;
        let asked = match std::mem::replace(&mut self.state, State::Ready) {
            State::Holding { asked, .. } => *asked,
            // Nothing waits any more: the session ended, or the server discards what was held.
            other => return self.state = other,
        };
        match settled {
            Settled::Forward(cleared, permit) => self.forward(asked, cleared, permit, steps),
            Settled::Refuse(denial) => self.refuse(asked, denial, steps),
        }
    }

    /// The client cancelled the wait.
    pub(crate) fn on_withdrawn(&mut self, steps: &mut Steps) {
        self.later = None;
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Holding { asked, number, .. } => {
                steps.unhold = true;
                let decision = Some(DecisionId { session: self.session.id(), number });
                self.refuse(*asked, Denial { decision, reason: Reason::Withdrawn, message: None }, steps);
            }
            other => self.state = other,
        }
    }
}
