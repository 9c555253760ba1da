//! What the server still owes: one slot for each frame sent that it answers.
//!
//! | sent | answered by | an error on it |
//! |---|---|---|
//! | Query, FunctionCall | ReadyForQuery | keeps the slot until ReadyForQuery |
//! | Parse, Bind, Describe, Execute, Close | its own completion | drops every slot up to the next Sync |
//! | Sync | ReadyForQuery | keeps the slot until ReadyForQuery |
//! | Flush, Terminate, COPY frames | nothing: no slot | |
//!
//! Promises: slots are numbered in the order of their frames, and answered in that order; whatever a server sends that
//! the slot in front does not allow is a breach, which ends the session. Does not promise to bound itself:
//! [`Expectations::is_full`] says when to read no more.
//! Held by: the tests below and every test of `core`, which compare what was owed with what came.

use crate::core::limited::Around;
use crate::core::run::RunId;
use portcullis_gate::Permit;
use portcullis_model::Denial;
use std::collections::VecDeque;
use std::sync::Arc;

/// Slots beyond which no more of a client is read.
const MANY: usize = 1024;

/// What one answered frame was for.
pub(crate) enum Work {
    /// A judged Query.
    Query(RunId),
    /// A judged Parse.
    Parse { name: Box<str>, permit: Permit },
    /// A judged Bind.
    Bind {
        portal: Box<str>,
        run: RunId,
        /// The statement, where this use of it is the first in its scope.
        statement: Option<Box<str>>,
    },
    /// Describe of a statement.
    DescribeStatement {
        name: Box<str>,
        /// The text that the name stood for; none where it was not known.
        text: Option<Arc<str>>,
    },
    /// Describe of a portal, and its run where one is known.
    DescribePortal(Option<RunId>),
    /// Execute of a judged portal.
    Execute { run: RunId },
    /// Close of a statement.
    CloseStatement(Box<str>),
    /// Close of a portal.
    ClosePortal(Box<str>),
    /// Sync.
    Sync,
    /// The gateway's own question about names: nothing of its answer reaches the client.
    AskScope,
    /// The gateway's own Describe of a portal whose rows may have to be masked: nothing of its answer reaches the client.
    AskColumns { run: RunId },
    /// A judged Query in a transaction that the gateway put around it: nothing of what is around it reaches the client.
    Around(Box<Around>),
    /// A stand-in for a refused frame.
    Refused(Box<Refused>),
}

/// A stand-in that the server will reject.
pub(crate) struct Refused {
    /// What the client is told instead.
    pub(crate) denial: Denial,
    /// The SQLSTATE it is told, where the reason's own is not it.
    pub(crate) sqlstate: Option<&'static str>,
    /// Whether the answer ends in ReadyForQuery, as for a Query.
    pub(crate) then_ready: bool,
    /// Whether the error came.
    pub(crate) told: bool,
    /// The unnamed statement is gone behind it.
    pub(crate) forgets_unnamed: bool,
}

/// One frame's place in the order of answers.
pub(crate) struct Slot {
    pub(crate) number: u64,
    pub(crate) work: Work,
}

/// The order of answers.
#[derive(Default)]
pub(crate) struct Expectations {
    slots: VecDeque<Slot>,
    next: u64,
}

impl Expectations {
    /// A frame was sent that will be answered.
    pub(crate) fn push(&mut self, work: Work) -> u64 {
        let number = self.next;
        self.next += 1;
        self.slots.push_back(Slot { number, work });
        number
    }

    /// A frame was sent that the server discards: it has its place in the order and no answer.
    pub(crate) fn unowed(&mut self, work: Work) -> Slot {
        let number = self.next;
        self.next += 1;
        Slot { number, work }
    }

    /// What the server answers now.
    pub(crate) fn front(&self) -> Option<&Slot> {
        self.slots.front()
    }

    /// What the server answers now.
    pub(crate) fn front_mut(&mut self) -> Option<&mut Slot> {
        self.slots.front_mut()
    }

    /// The frame in front was answered.
    pub(crate) fn pop(&mut self) -> Option<Slot> {
        self.slots.pop_front()
    }

    /// An extended frame failed: the server discards everything up to the next Sync. True if a Sync was sent already.
    pub(crate) fn skip_to_sync(&mut self) -> (Vec<Slot>, bool) {
        let sync = self.slots.iter().position(|slot| matches!(slot.work, Work::Sync));
        let discarded = self.slots.drain(..sync.unwrap_or(self.slots.len())).collect();
        (discarded, sync.is_some())
    }

    /// Whether the slot of this number was answered or discarded.
    pub(crate) fn is_answered(&self, number: u64) -> bool {
        number < self.next && self.slots.front().is_none_or(|front| front.number > number)
    }

    /// Whether the server answers what was sent without being asked to: the last frame makes it.
    pub(crate) fn ends_in_ready(&self) -> bool {
        self.slots.back().is_none_or(|slot| ends_in_ready(&slot.work))
    }

    /// The newest frame not yet answered that runs something.
    pub(crate) fn last_running(&self) -> Option<u64> {
        self.slots
            .iter()
            .rev()
            .find(|slot| matches!(slot.work, Work::Query(_) | Work::Around(_) | Work::Execute { .. }))
            .map(|s| s.number)
    }

    /// The newest frame not yet answered behind which the server is ready for more: there a transaction may have ended.
    pub(crate) fn last_ready(&self) -> Option<u64> {
        self.slots.iter().rev().find(|slot| ends_in_ready(&slot.work)).map(|slot| slot.number)
    }

    /// The gateway's own question, while it is not yet answered.
    pub(crate) fn asked_scope(&self) -> Option<u64> {
        self.slots.iter().rev().find(|slot| matches!(slot.work, Work::AskScope)).map(|slot| slot.number)
    }

    /// The newest frame not yet answered.
    pub(crate) fn last(&self) -> Option<u64> {
        self.slots.back().map(|slot| slot.number)
    }

    /// Every slot in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    /// Whether nothing is owed.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether to read no more of the client.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() >= MANY
    }
}

/// Whether the answer ends in ReadyForQuery.
fn ends_in_ready(work: &Work) -> bool {
    match work {
        Work::Query(_) | Work::Around(_) | Work::Sync | Work::AskScope => true,
        Work::Refused(refused) => refused.then_ready,
        Work::Parse { .. }
        | Work::Bind { .. }
        | Work::DescribeStatement { .. }
        | Work::DescribePortal(_)
        | Work::AskColumns { .. }
        | Work::Execute { .. }
        | Work::CloseStatement(_)
        | Work::ClosePortal(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pg_p23_an_error_drops_everything_up_to_the_next_sync_and_no_further() {
        let mut queue = Expectations::default();
        for _ in 0..3 {
            queue.push(Work::DescribeStatement { name: "s".into(), text: None });
        }
        queue.push(Work::Query(RunId(1)));
        let sync = queue.push(Work::Sync);
        queue.push(Work::Query(RunId(2)));
        assert!(!queue.is_answered(0));
        queue.pop();
        assert!(queue.is_answered(0));
        let (discarded, found) = queue.skip_to_sync();
        assert_eq!((discarded.len(), found), (3, true));
        assert_eq!(queue.front().map(|slot| slot.number), Some(sync));
        assert!(queue.ends_in_ready() && !queue.is_answered(sync));
        queue.pop();
        let (discarded, found) = queue.skip_to_sync();
        assert_eq!((discarded.len(), found), (1, false));
        assert!(queue.is_answered(sync + 1) && !queue.is_answered(sync + 2));
    }
}
