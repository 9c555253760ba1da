//! Joins: what they compare, which columns they merge, and what an alias around one hides.
//!
//! Promises: ON, USING and NATURAL are conditions on everything they compare; a merged column is what either side has;
//! the columns of a star come in the server's order, merged ones first. Held by: `fixtures/sql/lineage.tsv`.

use super::Tracer;
use super::flow::{Column, Columns, Flow, Found, Value};
use super::range::{Item, expanded};
use crate::postgres::names;
use pg_query::protobuf::{Alias, JoinExpr};
use portcullis_model::Name;
use std::collections::HashSet;

impl<'t> Tracer<'_, 't> {
    pub(super) fn join(&mut self, join: &'t JoinExpr) {
        let first = self.items();
        if let Some(left) = join.larg.as_deref() {
            self.source_item(left);
        }
        let middle = self.items();
        if let Some(right) = join.rarg.as_deref() {
            self.source_item(right);
        }
        self.seeing(first, |tracer| tracer.decides(join.quals.as_deref()));
        let using = names::strings(&join.using_clause).unwrap_or_default();
        let merged = if join.is_natural {
            self.natural(first, middle)
        } else {
            self.merged(&using.into_iter().map(Name::canonical).collect::<Vec<_>>(), first, middle)
        };
        if !merged.is_empty() {
            self.merge_items(merged.clone(), first);
        }
        if let Some(alias) = &join.alias {
            self.aliased(alias, first);
        }
        if let Some(alias) = &join.join_using_alias {
            let columns = Columns { list: merged, rest: None };
            self.push(Item { plain: false, ..Item::columns(&alias.aliasname, columns) });
        }
    }

    /// The merged columns of these names: compared, and what either side has.
    fn merged(&mut self, names: &[Name], first: usize, middle: usize) -> Vec<Column> {
        let mut merged = Vec::with_capacity(names.len());
        for name in names {
            let left = self.side(name, first, Some(middle));
            let right = self.side(name, middle, None);
            let equal = self.operator_named(None, "=", &[&left, &right]);
            self.condition(&equal);
            let value = left.or(&right);
            self.condition(&value.flow);
            merged.push(Column { name: name.clone(), value });
        }
        merged
    }

    /// What a name is on one side of a join.
    fn side(&self, name: &Name, from: usize, to: Option<usize>) -> Value {
        let Some(level) = self.levels.last() else { return Value::untold(Flow::unknown()) };
        let items = level.items.get(from..to.unwrap_or(level.items.len())).unwrap_or_default();
        let mut value: Option<Value> = None;
        for item in items.iter().filter(|item| item.plain) {
            if !self.standing.steps.take(item.rows.looks() + item.taken.len() / 16) {
                break;
            }
            if item.taken.contains(name) {
                continue;
            }
            let found = match item.rows.named(&item.renamed, name.as_str()) {
                Found::Certainly(found) => found,
                Found::Perhaps(flow) => Value::untold(flow),
                Found::No => continue,
            };
            value = Some(match value {
                Some(value) => value.or(&found),
                None => found,
            });
        }
        value.unwrap_or_else(|| Value::untold(Flow::unknown()))
    }

    /// The columns that NATURAL merges: those that both sides have.
    fn natural(&mut self, first: usize, middle: usize) -> Vec<Column> {
        let sides = self.levels.last().and_then(|level| {
            let left = level.items.get(first..middle).unwrap_or_default();
            let right = level.items.get(middle..).unwrap_or_default();
            (self.lists(left) && self.lists(right)).then(|| (expanded(left), expanded(right)))
        });
        let Some((left, right)) = sides else { return Vec::new() };
        if left.rest.is_some() || right.rest.is_some() {
            // Which columns it compares is not known, nor then which a star has.
            let all = left.all().with(&right.all());
            self.condition(&all);
            self.push(Item::columns("", Columns::open(Flow::none())));
            return Vec::new();
        }
        let both = left.list.into_iter().map(|column| column.name);
        let known: HashSet<Name> = right.list.into_iter().map(|column| column.name).collect();
        let names: Vec<_> = both.filter(|name| known.contains(name)).collect();
        self.merged(&names, first, middle)
    }

    /// Merged columns stand before those of both sides, which keep the rest.
    fn merge_items(&mut self, merged: Vec<Column>, first: usize) {
        let Some(level) = self.levels.last_mut() else { return };
        for item in level.items.get_mut(first..).into_iter().flatten() {
            // Each item keeps the names.
            if !self.standing.steps.take(1 + 2 * merged.len()) {
                return;
            }
            item.taken.extend(merged.iter().map(|column| column.name.clone()));
        }
        let at = first.min(level.items.len());
        level.items.insert(at, Item::columns("", Columns { list: merged, rest: None }));
    }

    /// An alias around a join hides what is inside.
    fn aliased(&mut self, alias: &Alias, first: usize) {
        let all = self.levels.last().map(|level| level.items.as_slice());
        if !self.lists(all.and_then(|items| items.get(first..)).unwrap_or_default()) {
            return;
        }
        let Some(level) = self.levels.last_mut() else { return };
        let inside = level.items.split_off(first.min(level.items.len()));
        let columns = expanded(&inside);
        let renamed = names::strings(&alias.colnames).unwrap_or_default().into_iter().map(Name::canonical).collect();
        self.push(Item { renamed, ..Item::columns(&alias.aliasname, columns) });
    }
}
