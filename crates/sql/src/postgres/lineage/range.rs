//! The range table of a query while its values are followed, and what a name in it means.
//!
//! As the server has it: a name goes to the innermost level that has the column; an alias hides what is inside an
//! aliased join; ON sees its own two sides; a query in FROM sees its neighbours only behind LATERAL. Where a row
//! source's columns are not known, a name that nothing at its level has for certain may be one of them and is looked up
//! further out as well. Promises: a name that nothing has is unknown, never nothing.
//! Held by: `fixtures/sql/lineage.tsv`, whose rows on scoping were checked against a server.

use super::Tracer;
use super::flow::{Column, Columns, Flow, Found, Rows, Value};
use crate::postgres::names::Standing;
use crate::postgres::reader::WIDEST;
use portcullis_model::Name;
use std::rc::Rc;

/// One item of a range table.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// What it is called; empty for an item without a name.
    pub(super) name: Name,
    /// The schema that may stand in front of its name, where it has no alias; `None` inside is one not known.
    pub(super) schema: Option<Option<Name>>,
    pub(super) rows: Rows,
    /// The names that an alias list gives, from the first column on.
    pub(super) renamed: Vec<Name>,
    /// Columns that a join has merged: a bare name or star means the merged one.
    pub(super) taken: Vec<Name>,
    /// Whether bare names and stars reach its columns.
    pub(super) plain: bool,
}

impl Item {
    pub(super) fn new(name: &str, rows: Rows) -> Self {
        Self { name: Name::canonical(name), schema: None, rows, renamed: Vec::new(), taken: Vec::new(), plain: true }
    }

    pub(super) fn columns(name: &str, columns: Columns) -> Self {
        Self::new(name, Rows::Columns(Rc::new(columns)))
    }

    fn value(&self, name: &str) -> Found {
        self.rows.named(&self.renamed, name)
    }

    fn row(&self) -> Value {
        self.rows.row(&self.renamed)
    }

    fn is_called(&self, schema: Option<&str>, name: &str) -> bool {
        let schema_fits = || match (schema, &self.schema) {
            (None, _) | (Some(_), Some(None)) => true,
            (Some(schema), Some(Some(known))) => known.as_str() == schema,
            (Some(_), None) => false,
        };
        self.name.as_str() == name && schema_fits()
    }
}

/// One query's range table.
#[derive(Debug, Default)]
pub(super) struct Level {
    pub(super) items: Vec<Item>,
    /// The first item that is in sight now.
    pub(super) from: usize,
    /// What flows into the result of a function over a window of this name.
    pub(super) windows: Vec<(Name, Flow)>,
}

impl Level {
    pub(super) fn in_sight(&self) -> &[Item] {
        self.items.get(self.from..).unwrap_or_default()
    }

    /// What a bare name is at this level.
    fn bare(&self, standing: &Standing<'_>, name: &str) -> Found {
        let mut certain: Option<Value> = None;
        let mut perhaps: Option<Flow> = None;
        let steps = &standing.steps;
        for item in self.in_sight().iter().filter(|item| item.plain) {
            if !steps.take(item.rows.looks() + (item.taken.len() + item.renamed.len()) / 16) {
                return Found::No;
            }
            if item.taken.iter().any(|taken| taken.as_str() == name) {
                continue;
            }
            match item.value(name) {
                Found::Certainly(value) => {
                    certain = Some(match certain {
                        Some(known) => known.or(&value),
                        None => value,
                    });
                }
                Found::Perhaps(flow) => perhaps = Some(perhaps.unwrap_or_default().with(&flow)),
                Found::No => {}
            }
        }
        match (certain, perhaps) {
            // Two row sources with the name would be ambiguous, so it is this one; a mistake here costs exactness only.
            (Some(value), None) => Found::Certainly(value),
            (Some(value), Some(flow)) => Found::Certainly(Value::untold(value.flow.with(&flow))),
            (None, Some(flow)) => Found::Perhaps(flow),
            (None, None) => Found::No,
        }
    }
}

impl Tracer<'_, '_> {
    pub(super) fn enter(&mut self) {
        self.levels.push(Level::default());
    }

    pub(super) fn leave(&mut self) {
        self.levels.pop();
    }

    pub(super) fn push(&mut self, item: Item) {
        if let Some(level) = self.levels.last_mut() {
            level.items.push(item);
        }
    }

    /// How many items the query being read has so far.
    pub(super) fn items(&self) -> usize {
        self.levels.last().map_or(0, |level| level.items.len())
    }

    /// Follows something that sees the items of the current query from here on only.
    pub(super) fn seeing<R>(&mut self, from: usize, follow: impl FnOnce(&mut Self) -> R) -> R {
        let depth = self.levels.len();
        let before = self.levels.last_mut().map(|level| std::mem::replace(&mut level.from, from));
        let result = follow(self);
        if let (Some(level), Some(before)) = (depth.checked_sub(1).and_then(|at| self.levels.get_mut(at)), before) {
            level.from = before;
        }
        result
    }

    /// What a bare name means as a column.
    pub(super) fn bare(&self, name: &str) -> Found {
        let mut perhaps: Option<Flow> = None;
        for level in self.levels.iter().rev() {
            match level.bare(self.standing, name) {
                Found::Certainly(value) => {
                    return match perhaps {
                        None => Found::Certainly(value),
                        Some(flow) => Found::Perhaps(flow.with(&value.flow)),
                    };
                }
                Found::Perhaps(flow) => perhaps = Some(perhaps.unwrap_or_default().with(&flow)),
                Found::No => {}
            }
        }
        perhaps.map_or(Found::No, Found::Perhaps)
    }

    /// The innermost item that is called so.
    pub(super) fn item(&self, schema: Option<&str>, name: &str) -> Option<&Item> {
        self.levels.iter().rev().find_map(|level| {
            let items = level.in_sight();
            let goes_on = self.standing.steps.take(1 + items.len() / 4);
            items.iter().find(|item| goes_on && item.is_called(schema, name))
        })
    }

    /// The column of what is called so, and the row that it is in where it is not certain. `None` where nothing is called
    /// so.
    pub(super) fn qualified(&self, schema: Option<&str>, qualifier: &str, name: &str) -> Option<(Found, Value)> {
        self.item(schema, qualifier).map(|item| {
            self.standing.steps.take(item.rows.looks());
            match item.value(name) {
                found @ Found::Certainly(_) => (found, Value::none()),
                found @ (Found::Perhaps(_) | Found::No) => (found, self.whole(item)),
            }
        })
    }

    /// The row of what is called so.
    pub(super) fn row(&self, schema: Option<&str>, name: &str) -> Option<Value> {
        self.item(schema, name).map(|item| self.whole(item))
    }

    fn whole(&self, item: &Item) -> Value {
        if self.standing.steps.take(item.rows.weight()) { item.row() } else { Value::untold(Flow::unknown()) }
    }

    /// Takes the steps of listing the columns of these.
    pub(super) fn lists(&self, items: &[Item]) -> bool {
        items.iter().all(|item| self.standing.steps.take(1 + item.rows.weight() + item.taken.len() / 4))
    }

    /// The columns that `*` or `name.*` stands for.
    pub(super) fn star(&self, qualifier: &[&str]) -> Columns {
        let item = match qualifier {
            [] => {
                let items = self.levels.last().map(Level::in_sight).filter(|items| self.lists(items));
                return items.map_or_else(|| Columns::open(Flow::unknown()), expanded);
            }
            [name] => self.item(None, name),
            [.., schema, name] => self.item(Some(schema), name),
        };
        match item {
            Some(item) if !self.lists(std::slice::from_ref(item)) => Columns::open(Flow::unknown()),
            Some(item) => expanded(std::slice::from_ref(&Item { taken: Vec::new(), plain: true, ..item.clone() })),
            None if qualifier.last().is_some_and(|name| self.standing.is_variable(name)) => Columns::open(Flow::none()),
            None => Columns::open(Flow::unknown()),
        }
    }
}

/// The columns of these items as a star lists them.
pub(super) fn expanded(items: &[Item]) -> Columns {
    let mut all = Columns::default();
    for item in items.iter().filter(|item| item.plain) {
        match item.rows.columns(&item.renamed) {
            Some(columns) if all.rest.is_none() && all.list.len() + columns.len() <= WIDEST => {
                all.list.extend(columns.into_iter().filter(|column| !item.taken.contains(&column.name)));
            }
            Some(_) | None => {
                let rest = all.all().with(&item.rows.all());
                all = Columns::open(rest);
            }
        }
    }
    all
}

/// A list of columns of one flow each. No row is wider.
pub(super) fn listed(names: impl IntoIterator<Item = Name>, flow: &Flow) -> Vec<Column> {
    names.into_iter().take(WIDEST).map(|name| Column { name, value: Value::untold(flow.clone()) }).collect()
}
