//! How many rows a command may write.
//!
//! Promises: a write that any rule permits without `max_rows`, or several together column by column, has no limit; a hold
//! that permits it is such a rule, since people then say yes to it. Otherwise the most permissive of the rules that permit
//! all of it counts, and where only several together do, the least of theirs. A command may write as many rows as the
//! strictest of its writes may. Reads have no limit.
//! Does not promise that rows can be counted: the gate asks that of the command.
//! Held by: `decide/tests/limits.rs`.

use crate::rule::{ColumnSet, Permits};
use portcullis_model::{Action, Columns, Operation, RowLimit};

/// The limits of what permits one operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    /// Something permits all of it without a limit.
    free: bool,
    /// The columns that something permits without a limit.
    columns: ColumnSet,
    /// The most permissive limit of what permits all of it.
    whole: Option<RowLimit>,
    /// The strictest of what permits columns of it.
    parts: Option<RowLimit>,
}

impl Limits {
    /// Something permits this much of the operation, up to this limit.
    pub(super) fn permit(&mut self, permits: &Permits, limit: Option<&RowLimit>) {
        match (permits, limit) {
            (Permits::Nothing, _) => {}
            (Permits::Whole, None) => self.free = true,
            (Permits::Columns(set), None) => {
                self.columns.resize(self.columns.len().max(set.len()), 0);
                self.columns.iter_mut().zip(set).for_each(|(bits, more)| *bits |= more);
            }
            (Permits::Whole, Some(limit)) => {
                if self.whole.as_ref().is_none_or(|known| order(known) < order(limit)) {
                    self.whole = Some(limit.clone());
                }
            }
            (Permits::Columns(_), Some(limit)) => {
                if self.parts.as_ref().is_none_or(|known| order(limit) < order(known)) {
                    self.parts = Some(limit.clone());
                }
            }
        }
    }

    fn of(&self, operation: &Operation) -> Option<&RowLimit> {
        let covered = |nth: usize| self.columns.get(nth / 64).is_some_and(|bits| bits >> (nth % 64) & 1 == 1);
        let by_columns = match &operation.columns {
            Columns::Named(names) => !names.is_empty() && (0..names.len()).all(covered),
            Columns::None | Columns::Unknown => false,
        };
        if self.free || by_columns { None } else { self.whole.as_ref().or(self.parts.as_ref()) }
    }
}

/// From strict to permissive.
const fn order(limit: &RowLimit) -> (u64, bool) {
    (limit.rows, limit.ignores_cascades)
}

/// The strictest limit of what the operations write.
pub(super) fn smallest<'l>(operations: &[Operation], limits: impl Iterator<Item = &'l Limits>) -> Option<RowLimit> {
    let writes = |operation: &&Operation| matches!(operation.action, Action::Insert | Action::Update | Action::Delete);
    let each = operations.iter().zip(limits).filter(|(operation, _)| writes(operation));
    each.filter_map(|(operation, limits)| limits.of(operation)).min_by_key(|limit| order(limit)).cloned()
}
