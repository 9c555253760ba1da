//! Statements whose rule says how many rows they may write: nothing of their answer leaves before they were counted, and
//! what wrote too many is undone.
//!
//! Nothing more of the client is taken until such a statement was answered. An Execute runs in a transaction that is open
//! until Sync at the least, and a Query inside a transaction in that one: where either wrote too many, the stand-in of a
//! refusal is sent behind it, the server fails the transaction as it does behind any error, and the client is told the
//! refusal. Around a Query outside a transaction the gateway puts one of its own, and sends the Query once that was begun:
//!
//! | sent | answered | then |
//! |---|---|---|
//! | BEGIN | ready, in a transaction | the Query |
//! | the Query | few enough | COMMIT |
//! | the Query | too many, or an error | ROLLBACK |
//! | COMMIT | COMMIT | the answer that was kept is released |
//! | COMMIT | an error | the client is told it; ROLLBACK where the transaction is still open |
//!
//! Does not promise to know what triggers wrote: a statement for which that counts was refused before.
//! Held by: `core/tests/limits.rs`, `core/tests/transactions.rs`, and `core/tests/splitting.rs` wherever bytes are split.

use super::backend::{Breach, Front};
use super::run::RunId;
use super::{Core, Steps};
use crate::expect::{Refused, Work};
use crate::frame::Frame;
use crate::message::{ServerMessage, TransactionStatus};
use crate::own::Own;
use crate::reply;
use bytes::Bytes;
use portcullis_gate::{Answer, Cleared, Permit, Released};
use portcullis_model::Denial;

/// The most of an answer that is kept back, in bytes. A statement that answers more is undone.
const LONGEST_KEPT: usize = 1 << 20;

/// How often the gateway tries to end a transaction of its own whose ROLLBACK is cancelled.
const MOST_ROLLBACKS: u8 = 100;

/// How far a limited statement is.
enum Course {
    /// It has not completed.
    Runs,
    /// It wrote few enough.
    Within,
    /// It wrote too many: so many, where the server said a number.
    Exceeds { denial: Denial, rows: Option<u64> },
}

/// A limited statement while it runs, and what is kept back of its answer: as the client would be given it, so that how
/// long a value is that a mask hides says nothing about what becomes of the statement.
pub(crate) struct Limited {
    course: Course,
    kept: Vec<Released<Bytes>>,
    /// What it completed with, once it wrote few enough inside a transaction of the gateway's own.
    completion: Option<Frame>,
    bytes: usize,
}

impl Limited {
    /// What keeps the answer of a statement with this permit, if its rows must be counted; the answer is withheld.
    pub(crate) fn of(permit: &Permit, answer: &mut Answer) -> Option<Self> {
        permit.is_limited().then(|| {
            answer.withhold();
            Self { course: Course::Runs, kept: Vec::new(), completion: None, bytes: 0 }
        })
    }

    /// Keeps a part of so many bytes.
    pub(crate) fn keep(&mut self, part: Released<Bytes>, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.is_too_long() {
            self.kept.clear();
        } else {
            self.kept.push(part);
        }
    }

    const fn is_too_long(&self) -> bool {
        self.bytes > LONGEST_KEPT
    }
}

/// A transaction of the gateway's own around a Query.
pub(crate) struct Around {
    pub(crate) run: RunId,
    stage: Stage,
}

enum Stage {
    /// BEGIN was sent, and this is sent behind it.
    Begins { query: Cleared<Bytes>, begun: bool },
    /// The Query was sent.
    Runs,
    /// COMMIT was sent.
    Commits { done: bool },
    /// ROLLBACK was sent, so many times.
    RollsBack(u8),
}

/// The rows that a command tag counts: the number that it ends in.
fn counted(tag: &str) -> Option<u64> {
    let number = tag.rsplit(' ').next()?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if digits { number.parse().ok() } else { None }
}

impl Core {
    /// A limited Query may be sent: at once inside a transaction, behind a BEGIN of the gateway's own outside.
    pub(super) fn send_limited(&mut self, cleared: Cleared<Bytes>, run: RunId, steps: &mut Steps) -> Work {
        if self.skipping || self.transaction.status() != TransactionStatus::Idle {
            steps.up.push(cleared);
            return Work::Query(run);
        }
        steps.up.push(self.session.own(Own::Begin));
        Work::Around(Box::new(Around { run, stage: Stage::Begins { query: cleared, begun: false } }))
    }

    /// A message about a Query or Execute. What goes its usual way comes back.
    pub(super) fn count(
        &mut self,
        front: Front,
        message: &ServerMessage<'_>,
        frame: Frame,
        steps: &mut Steps,
    ) -> Option<Frame> {
        let (Front::Query(id) | Front::Execute(id)) = front else { return Some(frame) };
        let around = self.is_around(id);
        let Some(run) = self.runs.get_mut(id) else { return Some(frame) };
        let Some(limited) = run.limited.as_mut() else { return Some(frame) };
        match message {
            ServerMessage::CommandComplete(_) | ServerMessage::PortalSuspended | ServerMessage::EmptyQuery => {}
            ServerMessage::ReadyForQuery(status) => return self.limited_is_ready(front, *status, frame, steps),
            // Errors, notices and the rest are the client's to know; what was kept of a statement that failed is not.
            ServerMessage::Error(_) => {
                limited.kept.clear();
                return Some(frame);
            }
            _ => return Some(frame),
        }
        let rows = match message {
            ServerMessage::CommandComplete(tag) => {
                run.tag = Some((*tag).into());
                counted(tag)
            }
            _ => None,
        };
        let permit = run.permit.as_ref();
        let suspended = matches!(message, ServerMessage::PortalSuspended);
        let denial = match permit {
            Some(permit) if suspended => permit.uncounted("its rows were asked for in parts"),
            Some(permit) => {
                permit.exceeds(rows).or_else(|| limited.is_too_long().then(|| permit.uncounted(TOO_LONG)).flatten())
            }
            // It was settled, so nothing of it can run.
            None => None,
        };
        match denial {
            None if around => {
                limited.completion = Some(frame);
                limited.course = Course::Within;
                None
            }
            None => {
                self.release_kept(id, steps);
                Some(frame)
            }
            Some(denial) => {
                limited.kept.clear();
                self.exceeds(front, id, denial, rows, steps);
                None
            }
        }
    }

    /// It wrote too many. What it is in fails: at once where that is left open by an Execute, else when the server is ready.
    fn exceeds(&mut self, front: Front, id: RunId, denial: Denial, rows: Option<u64>, steps: &mut Steps) {
        if matches!(front, Front::Execute(_)) {
            self.runs.undo(&self.session, id, rows);
            self.queue.pop();
            self.runs.pass(&self.session, id);
            steps.up.push(self.session.own(Own::RefusedExecute(self.nowhere.clone())));
            self.queue.push(Work::Refused(Box::new(refused(denial, false))));
        } else if let Some(limited) = self.runs.get_mut(id).and_then(|run| run.limited.as_mut()) {
            limited.course = Course::Exceeds { denial, rows };
        }
    }

    /// What was kept back leaves.
    fn release_kept(&mut self, id: RunId, steps: &mut Steps) {
        let Some(run) = self.runs.get_mut(id) else { return };
        let Some(limited) = run.limited.take() else { return };
        run.answer.give();
        for part in limited.kept {
            steps.down.push(part);
        }
        if let Some(completion) = limited.completion {
            self.take_backend(completion, steps);
        }
    }

    /// The server is ready behind a limited Query. What goes its usual way comes back.
    fn limited_is_ready(
        &mut self,
        front: Front,
        status: TransactionStatus,
        frame: Frame,
        steps: &mut Steps,
    ) -> Option<Frame> {
        let Front::Query(id) = front else { return Some(frame) };
        let course = self.runs.get_mut(id).and_then(|run| run.limited.as_mut());
        let course = course.map(|limited| std::mem::replace(&mut limited.course, Course::Runs));
        let within = matches!(course, Some(Course::Within)) && status == TransactionStatus::Open;
        let wrote = matches!(course, Some(Course::Within | Course::Exceeds { .. }));
        if wrote && status == TransactionStatus::Idle {
            // What it wrote may stand, so nobody is told that it was undone.
            self.runs.end(&self.session, id);
            self.breach("a transaction that nothing ended is over", steps);
            return None;
        }
        if let Some(Course::Exceeds { denial, rows }) = course {
            self.runs.undo(&self.session, id, rows);
            if !self.is_around(id) {
                steps.up.push(self.session.own(Own::RefusedQuery(denial.decision)));
                self.become_work(Work::Refused(Box::new(refused(denial, true))));
                self.runs.end(&self.session, id);
                return None;
            }
            steps.down.push(self.session.say(reply::refused(&denial, None)));
        }
        let Some(Work::Around(around)) = self.queue.front_mut().map(|slot| &mut slot.work) else {
            return Some(frame);
        };
        let own = if within {
            around.stage = Stage::Commits { done: false };
            Own::Commit
        } else {
            around.stage = Stage::RollsBack(1);
            Own::Rollback
        };
        steps.up.push(self.session.own(own));
        None
    }

    fn is_around(&self, id: RunId) -> bool {
        matches!(self.queue.front().map(|slot| &slot.work), Some(Work::Around(around)) if around.run == id)
    }

    /// The slot in front is another one's from now on.
    fn become_work(&mut self, work: Work) {
        if let Some(slot) = self.queue.front_mut() {
            slot.work = work;
        }
    }

    /// An answer to what the gateway put around a Query.
    pub(super) fn around(
        &mut self,
        message: &ServerMessage<'_>,
        frame: Frame,
        steps: &mut Steps,
    ) -> Result<(), Breach> {
        let Some(Work::Around(around)) = self.queue.front_mut().map(|slot| &mut slot.work) else {
            return Err(Breach("an answer that nothing asked for"));
        };
        let id = around.run;
        match (&mut around.stage, message) {
            (Stage::Begins { begun, .. }, ServerMessage::CommandComplete("BEGIN")) if !*begun => *begun = true,
            (Stage::Begins { begun: true, .. }, ServerMessage::ReadyForQuery(TransactionStatus::Open)) => {
                if let Stage::Begins { query, .. } = std::mem::replace(&mut around.stage, Stage::Runs) {
                    steps.up.push(query);
                }
            }
            // It was not begun, and the client was told why: the Query is not sent.
            (Stage::Begins { begun: false, .. }, ServerMessage::ReadyForQuery(TransactionStatus::Idle)) => {
                return self.ends_around(id, frame, steps);
            }
            (Stage::Commits { done }, ServerMessage::CommandComplete("COMMIT")) if !*done => {
                *done = true;
                self.answer_around(id, steps);
            }
            (Stage::RollsBack(_), ServerMessage::CommandComplete("ROLLBACK")) => {}
            (Stage::Commits { .. } | Stage::RollsBack(_), ServerMessage::ReadyForQuery(TransactionStatus::Idle)) => {
                return self.ends_around(id, frame, steps);
            }
            // A cancel met what was to end the transaction.
            (
                stage @ (Stage::Commits { done: false } | Stage::RollsBack(_)),
                ServerMessage::ReadyForQuery(TransactionStatus::Open | TransactionStatus::Failed),
            ) => {
                let tried = if let Stage::RollsBack(tried) = stage { *tried } else { 0 };
                if tried >= MOST_ROLLBACKS {
                    return Err(Breach("it does not end a transaction"));
                }
                *stage = Stage::RollsBack(tried + 1);
                steps.up.push(self.session.own(Own::Rollback));
            }
            _ => return Err(Breach("an answer that is not to what was asked")),
        }
        Ok(())
    }

    /// An error about what the gateway put around a Query: true where the client is told it as the Query's own.
    pub(super) fn around_failed(&mut self) -> bool {
        match self.queue.front().map(|slot| &slot.work) {
            Some(Work::Around(around)) => match &around.stage {
                Stage::Begins { .. } | Stage::Commits { .. } | Stage::Runs => true,
                Stage::RollsBack(_) => false,
            },
            _ => false,
        }
    }

    /// Its transaction is committed: the client is given the answer.
    fn answer_around(&mut self, id: RunId, steps: &mut Steps) {
        let Some(slot) = self.queue.front_mut() else { return };
        let around = std::mem::replace(&mut slot.work, Work::Query(id));
        self.release_kept(id, steps);
        self.become_work(around);
    }

    /// The transaction around a Query is over, and so is the Query.
    fn ends_around(&mut self, id: RunId, frame: Frame, steps: &mut Steps) -> Result<(), Breach> {
        self.become_work(Work::Query(id));
        if let Some(run) = self.runs.get_mut(id) {
            run.limited = None;
        }
        self.is_ready(TransactionStatus::Idle, frame, steps)
    }

    /// Whether the Query in front runs inside a transaction of the gateway's own.
    pub(super) fn runs_around(around: &Around) -> Option<RunId> {
        matches!(around.stage, Stage::Runs).then_some(around.run)
    }
}

/// Why a long answer is none.
const TOO_LONG: &str = "it returns more than is kept back until it was counted";

/// The stand-in behind a statement that wrote too many.
fn refused(denial: Denial, then_ready: bool) -> Refused {
    Refused { denial, sqlstate: None, then_ready, told: false, forgets_unnamed: false }
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn a_tag_counts_by_the_number_at_its_end_and_nothing_else_does() {
        for (tag, rows) in [
            ("DELETE 5", Some(5)),
            ("INSERT 0 7", Some(7)),
            ("MERGE 0", Some(0)),
            ("COPY 18446744073709551615", Some(u64::MAX)),
            ("COPY 18446744073709551616", None),
            ("UPDATE", None),
            ("UPDATE ", None),
            ("UPDATE +5", None),
            ("UPDATE -5", None),
            ("", None),
        ] {
            assert_eq!(counted(tag), rows, "{tag}");
        }
    }
}
