//! What a statement adds up to while it is read: operations merged by what they act on, effects, faults.
//!
//! Promises: two operations of the same action, object and marks become one whose columns are those of both; the order
//! is that of first mention. Held by: `tests::` below and every row of `fixtures/sql/`.

use super::names::Place;
use crate::reading::{CopyDirection, CopyOptions, Effect};
use portcullis_model::{Action, Columns, Fault, Lineage, Marks, Name, Object, Operation};
use std::collections::{BTreeSet, HashMap};

/// Columns as they gather.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum ColumnSet {
    #[default]
    None,
    Named(BTreeSet<Name>),
    Unknown,
}

impl ColumnSet {
    /// These names; none at all is [`Self::None`].
    pub(super) fn named(names: impl IntoIterator<Item = Name>) -> Self {
        let names: BTreeSet<_> = names.into_iter().collect();
        if names.is_empty() { Self::None } else { Self::Named(names) }
    }

    pub(super) fn add(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Unknown, _) | (_, Self::None) => {}
            (_, Self::Unknown) => *self = Self::Unknown,
            (Self::None, named @ Self::Named(_)) => *self = named,
            (Self::Named(names), Self::Named(more)) => names.extend(more),
        }
    }

    pub(super) fn add_name(&mut self, name: Name) {
        match self {
            Self::Unknown => {}
            Self::Named(names) => {
                names.insert(name);
            }
            Self::None => *self = Self::Named(BTreeSet::from([name])),
        }
    }

    pub(super) const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    fn finish(self) -> Columns {
        match self {
            Self::None => Columns::None,
            Self::Named(names) => Columns::Named(names.into_iter().collect()),
            Self::Unknown => Columns::Unknown,
        }
    }
}

/// What one statement adds up to.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    order: Vec<(Action, Object, Marks)>,
    columns: HashMap<(Action, Object, Marks), ColumnSet>,
    pub(super) effects: Vec<Effect>,
    pub(super) writes: bool,
    pub(super) executes: Vec<Name>,
    pub(super) fetches: Vec<Name>,
    pub(super) copies: Option<CopyDirection>,
    pub(super) copy_options: Option<CopyOptions>,
    pub(super) fault: Option<Fault>,
    /// The targets of its writes, one for each node that writes rows.
    pub(super) targets: Vec<Place>,
    /// A relation to which a foreign key carries a write.
    pub(super) cascades: Option<Name>,
    /// Of a code block that was read: where its values come from and where they go.
    pub(super) lineage: Option<Lineage>,
}

impl Gathered {
    /// Adds an operation.
    pub(super) fn add(&mut self, action: Action, object: Object, marks: impl Into<Marks>, columns: ColumnSet) {
        let key = (action, object, marks.into());
        if let Some(known) = self.columns.get_mut(&key) {
            known.add(columns);
        } else {
            self.order.push(key.clone());
            self.columns.insert(key, columns);
        }
    }

    /// Adds marks to every read.
    pub(super) fn mark_reads(&mut self, marks: Marks) {
        if marks.is_empty() {
            return;
        }
        let order = std::mem::take(&mut self.order);
        let mut columns = std::mem::take(&mut self.columns);
        for key in order {
            let set = columns.remove(&key).unwrap_or_default();
            let more = if key.0 == Action::Read { marks } else { Marks::NONE };
            self.add(key.0, key.1, key.2.union(more), set);
        }
    }

    /// Adds what another statement, read on behalf of this one, adds up to. Its effects on the session stay its own.
    pub(super) fn absorb(&mut self, mut other: Self) {
        for key in other.order {
            let columns = other.columns.remove(&key).unwrap_or_default();
            self.add(key.0, key.1, key.2, columns);
        }
        self.executes.append(&mut other.executes);
        self.fetches.append(&mut other.fetches);
        self.writes |= other.writes;
        self.targets.append(&mut other.targets);
        self.cascades = self.cascades.take().or(other.cascades);
        if self.fault.is_none() {
            self.fault = other.fault;
        }
    }

    /// The operations, `session` where there is none.
    pub(super) fn operations(&mut self) -> Vec<Operation> {
        let mut out: Vec<_> = std::mem::take(&mut self.order)
            .into_iter()
            .map(|key| {
                let columns = self.columns.remove(&key).unwrap_or_default().finish();
                Operation::new(key.0, key.1).naming(columns).marked(key.2)
            })
            .collect();
        if out.is_empty() {
            out.push(Operation::session());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_model::{Mark, QualifiedName, RelationKind};

    #[test]
    fn the_same_operation_twice_is_one_with_the_columns_of_both() {
        let mut gathered = Gathered::default();
        let table = || Object::relation(QualifiedName::new("public", "t"), RelationKind::Table);
        let columns = |name: &str| ColumnSet::named([Name::canonical(name)]);
        gathered.add(Action::Read, table(), Marks::NONE, columns("b"));
        gathered.add(Action::Update, table(), Mark::Unbounded, columns("a"));
        gathered.add(Action::Read, table(), Marks::NONE, columns("a"));
        gathered.add(Action::Update, table(), Marks::NONE, ColumnSet::Unknown);
        let printed: Vec<_> = gathered.operations().iter().map(ToString::to_string).collect();
        assert_eq!(
            printed,
            ["read table public.t (a, b)", "update table public.t (a) +unbounded", "update table public.t (?)"]
        );
    }
}
