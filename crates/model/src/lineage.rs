//! Where the values of a statement come from and where they go: what masking joins with the protected set (DESIGN 2,
//! "Reading and protection").
//!
//! A reader fills a [`Lineage`] for each statement; it knows no policy and no principal, so it can be kept with the
//! reading. Columns are told by their numbers in the [`Catalogue`](crate::Catalogue) it was read against.
//!
//! Promises: [`Sources`] are what *may* flow into a value, never less; what a reader could not follow is
//! [`Sources::unknown`], never left out. Does not promise that each source does flow.
//! Held by: the tests below, and `fixtures/sql/lineage.tsv` for the reader of SQL.

use crate::catalogue::Oid;
use crate::name::{Name, QualifiedName};
use std::ops::Range;

/// A column of a relation by its numbers in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnId {
    /// `pg_class.oid`.
    pub relation: Oid,
    /// `pg_attribute.attnum`; 0 is the whole row.
    pub number: i16,
}

impl ColumnId {
    /// The whole row of a relation.
    #[must_use]
    pub const fn row(relation: Oid) -> Self {
        Self { relation, number: 0 }
    }

    /// The nth argument of an EXECUTE, from 1, in the text of that EXECUTE: it is compared with what the prepared
    /// statement compares its parameter with, which only who knows that statement can tell. No relation has number 0.
    #[must_use]
    pub const fn argument(number: i16) -> Self {
        Self { relation: 0, number }
    }

    /// Which argument of an EXECUTE it stands for, if it does.
    #[must_use]
    pub fn as_argument(self) -> Option<u32> {
        if self.relation == 0 { u32::try_from(self.number).ok() } else { None }
    }

    /// Whether it stands for the whole row.
    #[must_use]
    pub const fn is_row(self) -> bool {
        self.number == 0
    }
}

/// What may flow into a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    columns: Vec<ColumnId>,
    functions: Vec<QualifiedName>,
    unknown: bool,
}

impl Sources {
    /// Nothing stored: constants, parameters, pure functions of them.
    #[must_use]
    pub const fn none() -> Self {
        Self { columns: Vec::new(), functions: Vec::new(), unknown: false }
    }

    /// One column.
    #[must_use]
    pub fn column(column: ColumnId) -> Self {
        Self { columns: vec![column], ..Self::none() }
    }

    /// What a function returns that nobody has read: it may be anything, unless a rule says that it is clean.
    #[must_use]
    pub fn function(name: QualifiedName) -> Self {
        Self { functions: vec![name], ..Self::none() }
    }

    /// Not to be told: it may be anything.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { columns: Vec::new(), functions: Vec::new(), unknown: true }
    }

    /// Adds what flows into another value.
    pub fn add(&mut self, other: &Self) {
        self.columns.extend_from_slice(&other.columns);
        self.columns.sort_unstable();
        self.columns.dedup();
        self.functions.extend_from_slice(&other.functions);
        self.functions.sort_unstable();
        self.functions.dedup();
        self.unknown |= other.unknown;
    }

    /// This and that.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.add(other);
        self
    }

    /// The columns, sorted, without repeats.
    #[must_use]
    pub fn columns(&self) -> &[ColumnId] {
        &self.columns
    }

    /// The functions outside `pg_catalog` whose results flow in, sorted, without repeats.
    #[must_use]
    pub fn functions(&self) -> &[QualifiedName] {
        &self.functions
    }

    /// Whether anything else may flow in.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// Whether nothing stored flows in.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.columns.is_empty() && self.functions.is_empty() && !self.unknown
    }
}

/// One column of a statement's result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Its label, as far as the reader knows it.
    pub name: Option<Name>,
    /// What may flow into it.
    pub sources: Sources,
    /// Whether its value is that of its one source column, unchanged.
    pub exact: bool,
}

/// The columns of a statement's result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Outputs {
    /// It returns no rows.
    #[default]
    None,
    /// Exactly these, in order.
    Known(Vec<Output>),
    /// It is not known which; this may flow into any of them.
    Unknown(Sources),
}

/// How a statement uses a value other than by returning it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usage {
    /// A column, as it is, compared by one `=` with one constant or parameter, in a top-level AND term of a WHERE.
    Equality,
    /// It decides which rows come, how many, in which order or whether an error comes: WHERE, JOIN, HAVING, GROUP BY,
    /// ORDER BY, DISTINCT, set operations that compare rows, LIMIT, FILTER, windows, functions in FROM.
    Condition,
    /// It goes somewhere else: another column, a new relation, a setting, a notification, a lock, a function that may
    /// keep it. `into` is the column that it is written to, where it is one that exists; what was computed from a column
    /// and goes back to it has none.
    Written {
        /// The column written.
        into: Option<ColumnId>,
    },
}

/// One use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// What is used.
    pub sources: Sources,
    /// How.
    pub usage: Usage,
}

/// Where a value that a client wrote stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// These bytes of the text.
    Text(Range<usize>),
    /// The parameter of this number, from 1.
    Parameter(u32),
}

/// A constant or parameter that is compared with a column or written to it: it may be a value of that column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The column.
    pub column: ColumnId,
    /// Where the value stands.
    pub place: Place,
}

/// Where the values of one statement come from and where they go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// What it returns.
    pub outputs: Outputs,
    /// What it uses besides.
    pub uses: Vec<Use>,
    /// Values in it that belong to a column.
    pub bound: Vec<Bound>,
    /// Every relation that it names for reading or writing, sorted, without repeats.
    pub relations: Vec<Oid>,
    /// Whether it does something that was not followed: a relation that the catalogue does not have, code that was not
    /// read, a catalogue relation that holds data.
    pub unknown: bool,
}

impl Lineage {
    /// Of what was not followed at all.
    #[must_use]
    pub fn untold() -> Self {
        Self { outputs: Outputs::Unknown(Sources::unknown()), unknown: true, ..Self::default() }
    }

    /// Everything that may flow into any of its results.
    #[must_use]
    pub fn all_outputs(&self) -> Sources {
        match &self.outputs {
            Outputs::None => Sources::none(),
            Outputs::Known(outputs) => outputs.iter().fold(Sources::none(), |all, output| all.with(&output.sources)),
            Outputs::Unknown(sources) => sources.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_flows_in_is_kept_once_and_in_order() {
        let (a, b) = (ColumnId { relation: 1, number: 2 }, ColumnId::row(1));
        let mut sources = Sources::column(a).with(&Sources::column(b)).with(&Sources::column(a));
        assert_eq!(sources.columns(), [b, a]);
        assert!(b.is_row() && !a.is_row() && !sources.is_none() && !sources.is_unknown());
        sources.add(&Sources::function(QualifiedName::new("public", "f")));
        sources.add(&Sources::unknown());
        assert_eq!(sources.functions().len(), 1);
        assert!(sources.is_unknown());
        assert!(Sources::none().is_none());
    }

    #[test]
    fn an_untold_statement_may_return_anything() {
        assert!(Lineage::untold().all_outputs().is_unknown() && Lineage::untold().unknown);
        assert!(Lineage::default().all_outputs().is_none());
    }
}
