//! What flows into a value while a statement is followed, and the columns of a row source.
//!
//! A [`Flow`] becomes [`Sources`] at the end. Promises: adding never loses a source; a set above [`MOST`] columns says
//! `unknown` besides, so work is bounded and nothing is forgotten. A [`Value`] that is `exact` has one column, and is
//! that column's value unchanged; one that is tame is told in `kind`. Does not promise that what flows in can be seen in
//! the value.
//! Held by: `tests` below and `fixtures/sql/lineage.tsv`.

use super::{collation, kind, size};
use crate::postgres::types;
use portcullis_model::catalogue::{Oid, RelKind, Relation};
use portcullis_model::{ColumnId, Name, QualifiedName, Sources};
use std::rc::Rc;
use std::sync::Arc;

/// Columns in one set, and functions, above which it is not to be told what else flows in.
const MOST: usize = 1024;

/// System columns of every table; they hold no data of their own.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// What may flow into a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    /// Sorted, without repeats.
    columns: Vec<ColumnId>,
    /// Sorted, without repeats.
    functions: Vec<QualifiedName>,
    unknown: bool,
}

impl Flow {
    pub(super) const fn none() -> Self {
        Self { columns: Vec::new(), functions: Vec::new(), unknown: false }
    }

    pub(super) const fn unknown() -> Self {
        Self { columns: Vec::new(), functions: Vec::new(), unknown: true }
    }

    pub(super) fn column(column: ColumnId) -> Self {
        Self { columns: vec![column], ..Self::none() }
    }

    pub(super) fn function(name: QualifiedName) -> Self {
        Self { functions: vec![name], ..Self::none() }
    }

    pub(super) fn columns(&self) -> &[ColumnId] {
        &self.columns
    }

    pub(super) const fn is_none(&self) -> bool {
        self.columns.is_empty() && self.functions.is_empty() && !self.unknown
    }

    /// Whether nothing of what flows in is told.
    pub(super) const fn is_untold(&self) -> bool {
        self.unknown && self.columns.is_empty() && self.functions.is_empty()
    }

    /// Adds functions and what is unknown of what was told already.
    pub(super) fn add_untold(&mut self, sources: &Sources) {
        self.unknown |= sources.is_unknown();
        sources.functions().iter().for_each(|function| self.add(&Self::function(function.clone())));
    }

    /// Whether the column flows in, by itself or in its row.
    pub(super) fn reads(&self, column: ColumnId) -> bool {
        [column, ColumnId::row(column.relation)].iter().any(|column| self.columns.binary_search(column).is_ok())
    }

    /// How much is put together where it is.
    pub(super) fn weight(&self) -> usize {
        self.columns.len() + 2 * self.functions.len()
    }

    /// The one column that is all there is.
    pub(super) fn only(&self) -> Option<ColumnId> {
        match self.columns.as_slice() {
            [column] if self.functions.is_empty() && !self.unknown => Some(*column),
            _ => None,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.unknown |= other.unknown;
        if self.columns.is_empty() {
            self.columns.clone_from(&other.columns);
        } else if self.columns != other.columns {
            other.columns.iter().for_each(|column| self.add_column(*column));
        }
        for function in &other.functions {
            if let Err(at) = self.functions.binary_search(function) {
                if self.functions.len() < MOST {
                    self.functions.insert(at, function.clone());
                } else {
                    self.unknown = true;
                }
            }
        }
    }

    fn add_column(&mut self, column: ColumnId) {
        if let Err(at) = self.columns.binary_search(&column) {
            if self.columns.len() < MOST {
                self.columns.insert(at, column);
            } else {
                self.unknown = true;
            }
        }
    }

    pub(super) fn with(mut self, other: &Self) -> Self {
        self.add(other);
        self
    }

    /// Puts other flows in the place of columns for which there is one.
    pub(super) fn substitute(&mut self, of: &dyn Fn(ColumnId) -> Option<Self>) {
        let found: Vec<_> = self.columns.iter().filter_map(|column| of(*column)).collect();
        if !found.is_empty() {
            self.columns.retain(|column| of(*column).is_none());
            found.iter().for_each(|flow| self.add(flow));
        }
    }

    /// The same for those who judge it. A column that stands for a row of a recursive query is nobody's: unknown.
    pub(super) fn sources(self) -> Sources {
        let known = self.columns.iter().all(|column| column.relation != STAND_IN);
        let mut sources = joined(&self.columns);
        for function in self.functions {
            sources.add(&Sources::function(function));
        }
        if self.unknown || !known {
            sources.add(&Sources::unknown());
        }
        sources
    }
}

/// The relation of columns that stand for those of a recursive query while it is read; no relation has this id.
pub(super) const STAND_IN: Oid = 0;

/// Halves are joined, since adding one by one sorts every time.
fn joined(columns: &[ColumnId]) -> Sources {
    match columns {
        [] => Sources::none(),
        [column] if column.relation == STAND_IN => Sources::unknown(),
        [column] => Sources::column(*column),
        _ => {
            let (left, right) = columns.split_at(columns.len() / 2);
            joined(left).with(&joined(right))
        }
    }
}

/// A value: what flows into it, and what more is known about it.
#[derive(Clone, Debug, Default)]
pub(super) struct Value {
    pub(super) flow: Flow,
    /// It is the value of its one column, unchanged.
    pub(super) exact: bool,
    /// Its type; 0 where it is not told.
    pub(super) type_oid: Oid,
    /// Where it is no constant of a client's but one of a plain type ([`kind`]): what chose it among columns' values.
    pub(super) tame: Option<Flow>,
    /// Columns that it is the value of, unchanged, wherever they flow into it: it may be something else instead.
    pub(super) own: Vec<ColumnId>,
    /// It is no array for certain.
    pub(super) scalar: bool,
    /// Its fields, where it is a row whose fields are known.
    pub(super) fields: Option<Rows>,
    /// Its collation beside the database's own ([`collation`]).
    pub(super) collation: Oid,
    /// How many bytes it may have, nominally ([`size`]).
    pub(super) size: u64,
}

impl Value {
    pub(super) const fn none() -> Self {
        Self::of(Flow::none())
    }

    pub(super) const fn of(flow: Flow) -> Self {
        Self::scalar(flow, false)
    }

    /// The same, no array for certain where it is said so.
    pub(super) const fn scalar(flow: Flow, scalar: bool) -> Self {
        let (collation, size) = (collation::NONE, size::STORED);
        Self { flow, exact: false, type_oid: 0, tame: None, own: Vec::new(), scalar, fields: None, collation, size }
    }

    /// Anything that these flow into, of whichever collation and length: as long as what is stored where it comes from a
    /// relation that is not known.
    pub(super) fn untold(flow: Flow) -> Self {
        let size = if flow.unknown { size::STORED } else { size::ENDLESS };
        Self { collation: collation::UNTOLD, size, ..Self::of(flow) }
    }

    /// A column of one of several relations.
    fn of_any(flow: Flow) -> Self {
        Self { size: size::STORED, ..Self::untold(flow) }
    }

    /// The same, as one of these, whichever.
    pub(super) fn like<'v>(self, values: impl Iterator<Item = &'v Self>) -> Self {
        self.over(values, u64::max)
    }

    /// The same, made of all these.
    pub(super) fn made_of<'v>(self, values: impl Iterator<Item = &'v Self>) -> Self {
        self.over(values, u64::saturating_add)
    }

    fn over<'v>(mut self, values: impl Iterator<Item = &'v Self>, size: fn(u64, u64) -> u64) -> Self {
        (self.collation, self.size) = (collation::NONE, 0);
        for value in values {
            self.collation = collation::together(self.collation, value.collation);
            self.size = size(self.size, value.size);
        }
        self
    }

    /// Any value of this type.
    pub(super) fn typed(flow: Flow, type_oid: Oid) -> Self {
        let tame = kind::is_plain(type_oid).then(Flow::none);
        Self { type_oid, tame, size: size::of_type(type_oid), ..Self::scalar(flow, types::is_scalar(type_oid)) }
    }

    /// The column whose value it is.
    pub(super) fn column(&self) -> Option<ColumnId> {
        self.flow.only().filter(|column| self.exact && !column.is_row() && column.relation != STAND_IN)
    }

    /// Whether the column may get it: what flows in from there, if anything does, is its value, unchanged.
    pub(super) fn suits(&self, column: ColumnId) -> bool {
        self.column() == Some(column) || self.own.contains(&column) || !self.flow.reads(column)
    }

    /// The columns that flow in unchanged.
    pub(super) fn unchanged(&self) -> impl Iterator<Item = ColumnId> + '_ {
        self.column().into_iter().chain(self.own.iter().copied())
    }

    /// It or the other, as a set operation or a merged column has it.
    pub(super) fn or(self, other: &Self) -> Self {
        let same = self.exact && other.exact && self.flow == other.flow && self.type_oid == other.type_oid;
        // Both are of one type.
        let scalar = self.scalar || other.scalar;
        let (type_oid, tame) = kind::common([&self, other].into_iter());
        if same {
            return self;
        }
        let both = Self { type_oid, tame, ..Self::scalar(self.flow.clone().with(&other.flow), scalar) };
        both.like([&self, other].into_iter())
    }
}

/// A column as it stands in a row source.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: Name,
    pub(super) value: Value,
}

/// The columns of a row source that is no relation.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    /// The first ones, or all.
    pub(super) list: Vec<Column>,
    /// Where there may be more, or others: what may flow into any of them.
    pub(super) rest: Option<Flow>,
}

impl Columns {
    /// Not known which; this may flow into each.
    pub(super) const fn open(flow: Flow) -> Self {
        Self { list: Vec::new(), rest: Some(flow) }
    }

    /// Everything that flows into any.
    pub(super) fn all(&self) -> Flow {
        let rest = self.rest.clone().unwrap_or_default();
        self.list.iter().fold(rest, |all, column| all.with(&column.value.flow))
    }

    /// What following them into something takes.
    pub(super) fn weight(&self) -> usize {
        let rest = self.rest.as_ref().map_or(0, Flow::weight);
        self.list.iter().map(|column| 1 + column.value.flow.weight() / 2).sum::<usize>() + rest
    }

    /// What chose the values of a row of them, where each is tame.
    pub(super) fn tame(&self) -> Option<Flow> {
        if self.rest.is_some() { None } else { kind::all_tame(self.list.iter().map(|column| &column.value)) }
    }
}

/// What reading a relation gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// Its columns are what the catalogue numbers.
    Stored,
    /// It describes objects and holds no data.
    Clean,
    /// It may hold anything.
    Unknown,
}

impl Nature {
    fn flow(self, column: ColumnId) -> Flow {
        match self {
            Self::Stored => Flow::column(column),
            Self::Clean => Flow::none(),
            Self::Unknown => Flow::unknown(),
        }
    }
}

/// A source of rows.
#[derive(Clone, Debug)]
pub(super) enum Rows {
    Relation(Arc<Relation>, Nature),
    /// One of these, not told which.
    AnyOf(Vec<(Arc<Relation>, Nature)>),
    Columns(Rc<Columns>),
}

/// What a name is in a row source.
#[derive(Debug)]
pub(super) enum Found {
    Certainly(Value),
    /// It may be one of the columns that are not known.
    Perhaps(Flow),
    No,
}

fn of_relation(relation: &Relation, nature: Nature, column: &portcullis_model::catalogue::Column) -> Value {
    let flow = nature.flow(ColumnId { relation: relation.oid, number: column.number });
    let (exact, type_oid) = (nature == Nature::Stored, column.type_oid);
    let (collation, size) = (collation::of_column(column), size::of_type(type_oid));
    let tame = kind::of_column(type_oid);
    Value { exact, type_oid, tame, collation, size, ..Value::scalar(flow, types::is_scalar(type_oid)) }
}

const fn has_system_columns(kind: RelKind) -> bool {
    match kind {
        RelKind::Table
        | RelKind::PartitionedTable
        | RelKind::ForeignTable
        | RelKind::MaterializedView
        | RelKind::Sequence
        | RelKind::Toast => true,
        RelKind::View | RelKind::Index | RelKind::CompositeType => false,
    }
}

impl Rows {
    /// The column of this name; the first columns may be renamed.
    pub(super) fn named(&self, renamed: &[Name], name: &str) -> Found {
        if let Some(at) = renamed.iter().position(|renamed| renamed.as_str() == name) {
            return self.at(at);
        }
        match self {
            Self::Relation(relation, nature) => {
                let mut columns = relation.columns.iter().skip(renamed.len());
                match columns.find(|column| column.name.as_str() == name) {
                    Some(column) => Found::Certainly(of_relation(relation, *nature, column)),
                    None if SYSTEM_COLUMNS.contains(&name) && has_system_columns(relation.kind) => {
                        Found::Certainly(Value::none())
                    }
                    None => Found::No,
                }
            }
            Self::AnyOf(_) if !renamed.is_empty() => Found::Perhaps(self.all()),
            Self::AnyOf(relations) => {
                let each = relations.iter().map(|(relation, nature)| Self::Relation(Arc::clone(relation), *nature));
                let mut flow: Option<Flow> = None;
                let mut missing = false;
                for rows in each {
                    match rows.named(&[], name) {
                        Found::Certainly(value) => flow = Some(flow.unwrap_or_default().with(&value.flow)),
                        Found::Perhaps(_) | Found::No => missing = true,
                    }
                }
                match flow {
                    Some(flow) if !missing => Found::Certainly(Value::of_any(flow)),
                    Some(flow) => Found::Perhaps(flow),
                    None => Found::No,
                }
            }
            Self::Columns(columns) => {
                let mut list = columns.list.iter().skip(renamed.len());
                match (list.find(|column| column.name.as_str() == name), &columns.rest) {
                    (Some(column), _) => Found::Certainly(column.value.clone()),
                    (None, Some(rest)) => Found::Perhaps(rest.clone()),
                    (None, None) => Found::No,
                }
            }
        }
    }

    /// The column at this place, from 0.
    fn at(&self, at: usize) -> Found {
        match self {
            Self::Relation(relation, nature) => match relation.columns.get(at) {
                Some(column) => Found::Certainly(of_relation(relation, *nature, column)),
                None => Found::Certainly(Value::untold(Flow::unknown())),
            },
            Self::AnyOf(_) => Found::Certainly(Value::of_any(self.all())),
            Self::Columns(columns) => match (columns.list.get(at), &columns.rest) {
                (Some(column), None) => Found::Certainly(column.value.clone()),
                (_, Some(_)) => Found::Certainly(Value::untold(columns.all())),
                // The server refuses an alias list that is longer than the row.
                (None, None) => Found::Certainly(Value::untold(Flow::unknown())),
            },
        }
    }

    /// Everything that flows into any column: for a relation, its row.
    pub(super) fn all(&self) -> Flow {
        match self {
            Self::Relation(relation, nature) => nature.flow(ColumnId::row(relation.oid)),
            Self::AnyOf(relations) => relations
                .iter()
                .fold(Flow::none(), |all, (relation, nature)| all.with(&nature.flow(ColumnId::row(relation.oid)))),
            Self::Columns(columns) => columns.all(),
        }
    }

    /// The row as one value.
    pub(super) fn row(&self, renamed: &[Name]) -> Value {
        let fields = renamed.is_empty().then(|| self.clone());
        let exact = matches!(self, Self::Relation(_, Nature::Stored));
        let tame = match self {
            Self::Relation(..) | Self::AnyOf(_) => Some(Flow::none()),
            Self::Columns(columns) => columns.tame(),
        };
        let row = Value { exact, tame, fields, ..Value::scalar(self.all(), true) };
        match self {
            Self::Relation(..) => row,
            Self::AnyOf(_) => Value { collation: collation::UNTOLD, ..row },
            Self::Columns(columns) if columns.rest.is_some() => {
                Value { collation: collation::UNTOLD, size: size::ENDLESS, ..row }
            }
            Self::Columns(columns) => row.made_of(columns.list.iter().map(|column| &column.value)),
        }
    }

    /// How many columns a name is looked for among, and what stands for those that are not known.
    pub(super) fn looks(&self) -> usize {
        match self {
            Self::Relation(relation, _) => 1 + relation.columns.len() / 16,
            Self::AnyOf(relations) => relations.iter().map(|(relation, _)| 1 + relation.columns.len() / 16).sum(),
            Self::Columns(columns) => {
                1 + columns.list.len() / 16 + columns.rest.as_ref().map_or(0, |rest| rest.weight() / 2)
            }
        }
    }

    /// What listing all of them takes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Relation(relation, _) => 2 * relation.columns.len(),
            Self::AnyOf(relations) => relations.len(),
            Self::Columns(columns) => 1 + columns.weight(),
        }
    }

    /// The columns in order; `None` where they are not known.
    pub(super) fn columns(&self, renamed: &[Name]) -> Option<Vec<Column>> {
        let mut list: Vec<Column> = match self {
            Self::Relation(relation, nature) => relation
                .columns
                .iter()
                .map(|column| Column { name: column.name.clone(), value: of_relation(relation, *nature, column) })
                .collect(),
            Self::Columns(columns) if columns.rest.is_none() => columns.list.clone(),
            Self::AnyOf(_) | Self::Columns(_) => return None,
        };
        for (column, name) in list.iter_mut().zip(renamed) {
            column.name = name.clone();
        }
        Some(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(number: i16) -> ColumnId {
        ColumnId { relation: 7, number }
    }

    #[test]
    fn a_set_keeps_order_and_says_when_it_is_full() {
        let mut flow = Flow::none();
        for number in (1..=5_000).rev() {
            flow.add(&Flow::column(column(number)));
        }
        assert_eq!(flow.columns().len(), MOST);
        assert!(flow.columns().windows(2).all(|pair| pair[0] < pair[1]));
        let sources = flow.sources();
        assert!(sources.is_unknown() && sources.columns().len() == MOST);
    }

    #[test]
    fn a_stand_in_that_was_never_replaced_is_unknown() {
        let stand_in = ColumnId { relation: STAND_IN, number: 3 };
        let mut flow = Flow::column(stand_in).with(&Flow::column(column(1)));
        assert!(flow.clone().sources().is_unknown());
        flow.substitute(&|found| (found == stand_in).then(|| Flow::column(column(2))));
        let sources = flow.sources();
        assert_eq!(sources.columns(), [column(1), column(2)]);
        assert!(!sources.is_unknown());
    }
}
