//! INSERT, UPDATE, DELETE and MERGE: what goes into which column, and what RETURNING gives back.
//!
//! Promises: every value written is a use with the column that it goes into, where the catalogue has that column;
//! `excluded` is what was to be inserted and what was there. Does not promise to follow triggers, rules or defaults.
//! Held by: `fixtures/sql/lineage.tsv`.

use super::Tracer;
use super::flow::{Columns, Flow, Rows, Value};
use super::range::Item;
use crate::postgres::names;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    DeleteStmt, InsertStmt, MergeStmt, MergeWhenClause, Node, OnConflictClause, RangeVar, ReturningClause, UpdateStmt,
};
use portcullis_model::catalogue::{Column, Relation};
use portcullis_model::{ColumnId, Name};
use std::rc::Rc;
use std::sync::Arc;

/// Where a statement writes.
struct Target {
    item: Item,
    relation: Option<Arc<Relation>>,
    /// What was written into columns of it so far.
    given: Vec<(Option<ColumnId>, Flow)>,
}

impl Target {
    /// The column of this name.
    fn named(&self, name: &str) -> Option<ColumnId> {
        let relation = self.relation.as_ref()?;
        relation.column(name).map(|column| ColumnId { relation: relation.oid, number: column.number })
    }

    /// Its rows after the statement: a column is what it was and what was written into it.
    fn returned(&self) -> Option<Rows> {
        if self.given.is_empty() {
            return None;
        }
        let anywhere = self.given.iter().filter(|(into, _)| into.is_none());
        let anywhere = anywhere.fold(Flow::none(), |all, (_, flow)| all.with(flow));
        let columns = match self.item.rows.columns(&[]) {
            Some(mut list) => {
                for column in &mut list {
                    let id = column.value.column();
                    let given = self.given.iter().filter(|(into, _)| id.is_none() || *into == id);
                    let given = given.fold(anywhere.clone(), |all, (_, flow)| all.with(flow));
                    if !given.is_none() {
                        let flow = std::mem::take(&mut column.value.flow).with(&given);
                        column.value = Value::typed(flow, column.value.type_oid);
                    }
                }
                Columns { list, rest: None }
            }
            None => {
                let all = self.item.rows.all();
                Columns::open(self.given.iter().fold(all, |all, (_, flow)| all.with(flow)))
            }
        };
        Some(Rows::Columns(Rc::new(columns)))
    }

    /// What a unique index may compare with these columns of a new row: themselves as they stand in other rows, and
    /// what the server computes from them.
    fn compared(&self, into: &[Option<ColumnId>], source: &Columns) -> Flow {
        let (Some(relation), None) = (&self.relation, &source.rest) else { return self.item.rows.all() };
        let Some(given) = into.iter().copied().collect::<Option<Vec<ColumnId>>>() else { return self.item.rows.all() };
        let of_given = |column: &&Column| match &column.derived {
            Some(derived) => {
                let sources = &derived.sources;
                sources.is_unknown() || sources.columns().iter().any(|source| source.is_row() || given.contains(source))
            }
            None => true,
        };
        let computed = relation.columns.iter().filter(|column| column.generated.is_some()).filter(of_given);
        let computed = computed.map(|column| ColumnId { relation: relation.oid, number: column.number });
        given.iter().copied().chain(computed).fold(Flow::none(), |all, column| all.with(&Flow::column(column)))
    }

    /// The column at this place of the relation, from 0.
    fn at(&self, at: usize) -> Option<ColumnId> {
        let relation = self.relation.as_ref()?;
        relation.columns.get(at).map(|column| ColumnId { relation: relation.oid, number: column.number })
    }
}

/// The names in a list of target columns.
fn target_names(nodes: &[Node]) -> impl Iterator<Item = &str> {
    nodes.iter().map(|node| match &node.node {
        Some(NodeEnum::ResTarget(target)) => target.name.as_str(),
        _ => "",
    })
}

impl<'t> Tracer<'_, 't> {
    fn target(&mut self, range: Option<&'t RangeVar>) -> Target {
        let (item, relation) = match range {
            Some(range) => self.relation(range),
            None => {
                self.unknown = true;
                (Item::columns("", Columns::open(Flow::unknown())), None)
            }
        };
        self.push(item.clone());
        Target { item, relation, given: Vec::new() }
    }

    /// SET, and the values of each column.
    fn set(&mut self, target: &mut Target, nodes: &'t [Node]) {
        for node in nodes {
            let Some(NodeEnum::ResTarget(set)) = &node.node else {
                let flow = self.value(Some(node)).flow;
                self.write(target, None, Value::of(flow), None);
                continue;
            };
            let index = self.all_values(&set.indirection);
            let value = self.assigned(set.val.as_deref());
            let into = target.named(&set.name);
            self.write(target, into, at(value, &set.indirection, &index), set.val.as_deref());
        }
    }

    /// A value goes into a column; constants in it are values of that column. What was computed from a column and goes
    /// back to it is not that column's value any more: who reads it there would read what was computed.
    fn write(&mut self, target: &mut Target, into: Option<ColumnId>, value: Value, node: Option<&'t Node>) {
        if !value.flow.is_none() {
            target.given.push((into, value.flow.clone()));
        }
        self.written(into.filter(|into| value.suits(*into)), value.flow);
        if let (Some(column), Some(node)) = (into, node) {
            let node = part(node).unwrap_or(node);
            self.bind(&[column], Some(node));
        }
    }

    /// RETURNING, where `old` and `new` mean the target's row too.
    fn returning(&mut self, clause: Option<&'t ReturningClause>, target: &Target) -> Columns {
        let Some(clause) = clause else { return Columns::default() };
        let mut names = vec!["old", "new"];
        for option in &clause.options {
            if let Some(NodeEnum::ReturningOption(option)) = &option.node {
                names.push(&option.value);
            }
        }
        let returned = target.returned();
        if let (Some(item), Some(rows)) = (self.levels.last_mut().and_then(|level| level.items.first_mut()), returned) {
            item.rows = rows;
        }
        for name in names {
            if self.item(None, name).is_none() {
                // What was there is told as what is there now: no less flows into that.
                let item = Item { name: Name::canonical(name), schema: None, plain: false, ..self.first(target) };
                self.push(item);
            }
        }
        self.outputs(&clause.exprs)
    }

    /// The target as RETURNING sees it.
    fn first(&self, target: &Target) -> Item {
        let first = self.levels.last().and_then(|level| level.items.first());
        first.unwrap_or(&target.item).clone()
    }

    pub(super) fn insert(&mut self, insert: &'t InsertStmt) -> Columns {
        let before = self.enter_with(insert.with_clause.as_ref());
        let source = self.query_node(insert.select_stmt.as_deref());
        self.enter();
        let mut target = self.target(insert.relation.as_ref());
        let into: Vec<Option<ColumnId>> = if insert.cols.is_empty() {
            (0..source.list.len()).map(|at| target.at(at)).collect()
        } else {
            target_names(&insert.cols).map(|name| target.named(name)).collect()
        };
        for node in &insert.cols {
            if let Some(NodeEnum::ResTarget(column)) = &node.node {
                let index = self.all_values(&column.indirection);
                self.write(&mut target, None, Value::of(index), None);
            }
        }
        self.inserted(&mut target, &into, &source, &insert.cols);
        self.bind_rows(&into, insert.select_stmt.as_deref());
        if let Some(conflict) = &insert.on_conflict_clause {
            self.on_conflict(conflict, &mut target, &into, &source);
        }
        let columns = self.returning(insert.returning_clause.as_ref(), &target);
        self.leave();
        self.leave_with(before);
        columns
    }

    /// What each column gets.
    fn inserted(&mut self, target: &mut Target, into: &[Option<ColumnId>], source: &Columns, names: &[Node]) {
        if source.rest.is_some() {
            // Which column gets what is not known.
            let all = source.all();
            return self.write(target, None, Value::of(all), None);
        }
        for (nth, column) in source.list.iter().enumerate() {
            let value = at(column.value.clone(), steps(names.get(nth)), &Flow::none());
            self.write(target, into.get(nth).copied().flatten(), value, None);
        }
    }

    /// Constants in the rows of VALUES, or in a select list, belong to the columns that they go into.
    fn bind_rows(&mut self, into: &[Option<ColumnId>], node: Option<&'t Node>) {
        let Some(NodeEnum::SelectStmt(select)) = node.and_then(|node| node.node.as_ref()) else { return };
        for row in &select.values_lists {
            if let Some(NodeEnum::List(row)) = &row.node {
                self.bind_row(into, &mut row.items.iter());
            }
        }
        let mut items = select.target_list.iter().filter_map(|node| match &node.node {
            Some(NodeEnum::ResTarget(target)) => target.val.as_deref(),
            _ => None,
        });
        if select.values_lists.is_empty() {
            self.bind_row(into, &mut items);
        }
    }

    fn bind_row(&mut self, into: &[Option<ColumnId>], items: &mut dyn Iterator<Item = &'t Node>) {
        for (column, item) in into.iter().zip(items) {
            if let Some(column) = column {
                self.bind(&[*column], Some(item));
            }
        }
    }

    fn on_conflict(
        &mut self,
        conflict: &'t OnConflictClause,
        target: &mut Target,
        into: &[Option<ColumnId>],
        source: &Columns,
    ) {
        match &conflict.infer {
            Some(infer) if !infer.index_elems.is_empty() => {
                self.index_elements(&infer.index_elems);
                self.decides(infer.where_clause.as_deref());
            }
            // Any unique index of the table, or one that only its name tells, over any of what is given.
            Some(_) | None => {
                let compared = target.compared(into, source);
                self.condition(&compared);
            }
        }
        self.push(excluded(target, into, source));
        self.set(target, &conflict.target_list);
        self.decides(conflict.where_clause.as_deref());
        if let Some(level) = self.levels.last_mut() {
            level.items.pop();
        }
    }

    /// The columns and expressions of an index: whether a row is already there tells of them.
    fn index_elements(&mut self, nodes: &'t [Node]) {
        for node in nodes {
            if let Some(NodeEnum::IndexElem(element)) = &node.node {
                if !element.name.is_empty() {
                    let column = self.bare_value(&element.name).flow;
                    self.condition(&column);
                }
                self.decides(element.expr.as_deref());
            }
        }
    }

    pub(super) fn update(&mut self, update: &'t UpdateStmt) -> Columns {
        let before = self.enter_with(update.with_clause.as_ref());
        self.enter();
        let mut target = self.target(update.relation.as_ref());
        self.sources(&update.from_clause);
        self.set(&mut target, &update.target_list);
        self.filter(update.where_clause.as_deref());
        let columns = self.returning(update.returning_clause.as_ref(), &target);
        self.leave();
        self.leave_with(before);
        columns
    }

    pub(super) fn delete(&mut self, delete: &'t DeleteStmt) -> Columns {
        let before = self.enter_with(delete.with_clause.as_ref());
        self.enter();
        let target = self.target(delete.relation.as_ref());
        self.sources(&delete.using_clause);
        self.filter(delete.where_clause.as_deref());
        let columns = self.returning(delete.returning_clause.as_ref(), &target);
        self.leave();
        self.leave_with(before);
        columns
    }

    /// What stands beside the target, which LATERAL does not see.
    fn sources(&mut self, nodes: &'t [Node]) {
        for node in nodes {
            self.source_item(node);
        }
    }

    pub(super) fn merge(&mut self, merge: &'t MergeStmt) -> Columns {
        let before = self.enter_with(merge.with_clause.as_ref());
        self.enter();
        let mut target = self.target(merge.relation.as_ref());
        if let Some(source) = merge.source_relation.as_deref() {
            self.source_item(source);
        }
        self.decides(merge.join_condition.as_deref());
        for clause in &merge.merge_when_clauses {
            if let Some(NodeEnum::MergeWhenClause(clause)) = &clause.node {
                self.merge_branch(clause, &mut target);
            }
        }
        let columns = self.returning(merge.returning_clause.as_ref(), &target);
        self.leave();
        self.leave_with(before);
        // A bare star has the columns of the source before those of the target, and not every version has it.
        let star = merge.returning_clause.as_ref().is_some_and(|clause| clause.exprs.iter().any(is_bare_star));
        if star { Columns::open(columns.all()) } else { columns }
    }

    fn merge_branch(&mut self, clause: &'t MergeWhenClause, target: &mut Target) {
        self.decides(clause.condition.as_deref());
        if clause.values.is_empty() {
            return self.set(target, &clause.target_list);
        }
        let names: Vec<_> = target_names(&clause.target_list).collect();
        for (nth, item) in clause.values.iter().enumerate() {
            let named = || names.get(nth).and_then(|name| target.named(name));
            let into = if names.is_empty() { target.at(nth) } else { named() };
            let steps = steps(clause.target_list.get(nth));
            let index = self.all_values(steps);
            let value = self.value(Some(item));
            self.write(target, into, at(value, steps, &index), Some(item));
        }
    }
}

/// A value on its way into a column, or into a part of one: a part that is the whole of another value is altered.
fn at(value: Value, steps: &[Node], index: &Flow) -> Value {
    if steps.is_empty() { value } else { Value::of(value.flow.with(index)) }
}

/// The subscripts and fields behind the name of a target column.
fn steps(node: Option<&Node>) -> &[Node] {
    match node.and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::ResTarget(target)) => &target.indirection,
        _ => &[],
    }
}

/// The part of `(a, b) = (…)` that one column gets.
fn part(node: &Node) -> Option<&Node> {
    let Some(NodeEnum::MultiAssignRef(part)) = &node.node else { return None };
    let at = usize::try_from(part.colno).ok()?.checked_sub(1)?;
    match part.source.as_deref()?.node.as_ref()? {
        NodeEnum::RowExpr(row) => row.args.get(at),
        _ => None,
    }
}

/// Whether it is `*` with no name in front.
fn is_bare_star(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::ResTarget(target)) => match target.val.as_deref().and_then(|value| value.node.as_ref()) {
            Some(NodeEnum::ColumnRef(column)) => {
                column.fields.len() == 1 && crate::postgres::query::is_star(&column.fields)
            }
            _ => false,
        },
        _ => false,
    }
}

/// The row that was to be inserted.
fn excluded(target: &Target, into: &[Option<ColumnId>], source: &Columns) -> Item {
    let all = source.all();
    let given = |column: Option<ColumnId>| -> Value {
        let at = column.and_then(|column| into.iter().position(|into| *into == Some(column)));
        match (at, &source.rest) {
            (Some(at), None) => source.list.get(at).map_or_else(Value::none, |column| column.value.clone()),
            (None, None) => Value::none(),
            (_, Some(_)) => Value::of(all.clone()),
        }
    };
    let columns = match target.item.rows.columns(&[]) {
        Some(list) => {
            let list = list.into_iter().map(|mut column| {
                let inserted = given(column.value.column());
                // What is given by the client alone, or as it was there, may go where what was there may.
                if !inserted.flow.is_none() {
                    let own: Vec<_> = column.value.column().into_iter().filter(|own| inserted.suits(*own)).collect();
                    let flow = column.value.flow.with(&inserted.flow);
                    column.value = Value { own, ..Value::typed(flow, column.value.type_oid) };
                }
                column
            });
            Columns { list: list.collect(), rest: None }
        }
        None => Columns::open(target.item.rows.all().with(&all)),
    };
    let rows = Rows::Columns(Rc::new(columns));
    Item { plain: false, ..Item::new("excluded", rows) }
}

/// The columns of a list of names in COPY; without a list all but the generated ones, which COPY leaves out.
pub(super) fn copied(item: &Item, nodes: &[Node]) -> Columns {
    let names = names::strings(nodes).unwrap_or_default();
    if names.is_empty() {
        let mut columns = super::range::expanded(std::slice::from_ref(item));
        if let super::flow::Rows::Relation(relation, _) = &item.rows {
            let generated =
                |name: &Name| relation.columns.iter().any(|known| known.generated.is_some() && known.name == *name);
            columns.list.retain(|column| !generated(&column.name));
        }
        return columns;
    }
    let mut columns = Columns::default();
    for name in names {
        let value = match item.rows.named(&[], name) {
            super::flow::Found::Certainly(value) => value,
            super::flow::Found::Perhaps(flow) => Value::of(flow),
            super::flow::Found::No => Value::of(Flow::unknown()),
        };
        columns.list.push(super::flow::Column { name: Name::canonical(name), value });
    }
    columns
}
