//! What people may be told about a statement that is held: what is known of it here, and what the database is asked.
//!
//! Promises: only about statements that write rows, and only where another session would see what this one sees and mean
//! what it means: nothing that may have changed the transaction's own view was sent in it, its isolation shows it the
//! newest state, it does not ask when it began, and what names and values mean is settled. A text of more than [`LONGEST`]
//! is not looked at, so that this takes no longer than reading did.
//! Does not promise the snapshot itself: others write between the preview and the statement.
//! Held by: `core/tests/previews.rs`.

use super::Core;
use super::ruling::Asked;
use crate::classify::Read;
use crate::preview::{Foretold, Wanted};
use bytes::Bytes;
use portcullis_model::{Action, Object, Preview};
use portcullis_sql::{Foresight, Question, foresee};
use std::sync::Arc;

/// The longest text that is looked at, in bytes.
const LONGEST: usize = 64 << 10;

impl Core {
    /// What is told, or asked, about a frame that is held.
    pub(super) fn foretell(&self, asked: &Asked, counts: bool) -> Option<Foretold> {
        let (read, bound) = match asked {
            Asked::Query(read) => (read, None),
            Asked::Bind(_, Some(bound)) => (&bound.read, Some(bound.values.clone())),
            Asked::Again { run, read, .. } => {
                let read = read.as_ref().or_else(|| self.runs.get(*run).map(|run| &run.read))?;
                return writes_rows(read).then(|| none("it is a portal that is run again"));
            }
            Asked::Parse { .. }
            | Asked::Bind(_, None)
            | Asked::Execute(_)
            | Asked::Fetch { .. }
            | Asked::Call
            | Asked::Unread { .. } => return None,
        };
        if !writes_rows(read) {
            return None;
        }
        if !self.wrote.is_empty() {
            return Some(none("its transaction has changed what only it sees"));
        }
        if self.scope.is_unsettled() {
            return Some(none("what its names mean is not known for certain"));
        }
        if read.text.len() > LONGEST {
            return Some(none("its text is too long"));
        }
        let scope = self.scope.scope((self.snapshot)());
        Some(match foresee(&read.text, &scope, &self.reader.limits) {
            Foresight::Untold(why) => Foretold::Said(Preview::none(why)),
            Foresight::Ask(question) => match self.wanted(question, counts, bound) {
                Ok(wanted) => Foretold::Ask(Box::new(wanted)),
                Err(why) => none(why),
            },
        })
    }

    /// What another session is asked, where it sees the same and reads values alike.
    fn wanted(
        &self,
        question: Question,
        counts: bool,
        bound: Option<(Arc<[u32]>, Bytes)>,
    ) -> Result<Wanted, &'static str> {
        let settings = self.surroundings.settings()?;
        let open = self.in_transaction() || self.surroundings.is_under_way();
        if open && self.surroundings.is_isolated() {
            return Err("its transaction may see an older state");
        }
        if open && question.clock {
            return Err("it asks when its transaction began");
        }
        Ok(Wanted { question, counts, bound, settings, open })
    }
}

fn none(why: &'static str) -> Foretold {
    Foretold::Said(Preview::none(why))
}

/// Whether rows of a table are written.
fn writes_rows(read: &Read) -> bool {
    read.operations.iter().any(|operation| {
        matches!(operation.action, Action::Insert | Action::Update | Action::Delete)
            && matches!(operation.object, Object::Relation { .. })
    })
}
