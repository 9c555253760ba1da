//! Queries: WITH, SELECT, VALUES and set operations, to the columns that they give.
//!
//! A WITH entry is followed once, where it stands, and its columns are shared by all who name it; entries of WITH
//! RECURSIVE when they are first named. Promises: everything in a clause that decides which rows come, how many or in
//! which order is a condition; DISTINCT and set operations that compare rows make conditions of all they compare.
//! Held by: `fixtures/sql/lineage.tsv`.

use super::Tracer;
use super::flow::{Column, Columns, Flow, Value};
use super::kind::Use;
use super::range::Item;
use crate::postgres::expression::inner;
use crate::postgres::names;
use crate::postgres::query::{is_row_star, is_star, output_name};
use crate::postgres::reader::WIDEST;
use pg_query::protobuf::{self, CommonTableExpr, Node, SelectStmt, SetOperation, WithClause};
use pg_query::{NodeEnum, NodeRef};
use portcullis_model::Name;
use std::rc::Rc;

/// A WITH entry in sight.
pub(super) struct Cte<'t> {
    pub(super) node: &'t CommonTableExpr,
    pub(super) state: State,
    /// How many levels and entries it sees itself.
    pub(super) sees: (usize, usize),
}

/// How far a WITH entry has been followed.
#[derive(Clone, Debug)]
pub(super) enum State {
    Pending,
    /// It is being followed; a recursive one has columns for itself.
    Running(Option<Rc<Columns>>),
    Done(Rc<Columns>),
}

impl<'t> Tracer<'_, 't> {
    /// Follows a query below another node.
    pub(super) fn query_node(&mut self, node: Option<&'t Node>) -> Columns {
        match inner(node) {
            Some(node) => self.query(node),
            None => Columns::default(),
        }
    }

    /// Follows a query or write to the columns that it gives.
    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is a query")]
    pub(super) fn query(&mut self, node: NodeRef<'t>) -> Columns {
        match node {
            NodeRef::SelectStmt(select) => self.select(select),
            NodeRef::InsertStmt(insert) => self.insert(insert),
            NodeRef::UpdateStmt(update) => self.update(update),
            NodeRef::DeleteStmt(delete) => self.delete(delete),
            NodeRef::MergeStmt(merge) => self.merge(merge),
            _ => {
                self.unknown = true;
                Columns::open(Flow::unknown())
            }
        }
    }

    /// Follows the WITH entries; gives how many were in sight before.
    pub(super) fn enter_with(&mut self, with: Option<&'t WithClause>) -> usize {
        let before = self.ctes.len();
        let Some(with) = with else { return before };
        let nodes = with.ctes.iter().filter_map(|node| match &node.node {
            Some(NodeEnum::CommonTableExpr(cte)) => Some(&**cte),
            _ => None,
        });
        if with.recursive {
            let sees = (self.levels.len(), before + with.ctes.len());
            self.ctes.extend(nodes.map(|node| Cte { node, state: State::Pending, sees }));
            for at in before..self.ctes.len() {
                self.resolve(at);
            }
        } else {
            for node in nodes {
                let columns = self.entry(node);
                let sees = (self.levels.len(), self.ctes.len());
                self.ctes.push(Cte { node, state: State::Done(Rc::new(columns)), sees });
            }
        }
        before
    }

    /// The WITH entries followed since are out of sight.
    pub(super) fn leave_with(&mut self, before: usize) {
        self.ctes.truncate(before);
    }

    /// The columns of a WITH entry of this name.
    pub(super) fn cte(&mut self, name: &str) -> Option<Rc<Columns>> {
        if !self.standing.steps.take(1 + self.ctes.len() / 4) {
            return None;
        }
        let at = self.ctes.iter().rposition(|cte| cte.node.ctename == name)?;
        self.resolve(at);
        Some(match self.ctes.get(at).map(|cte| &cte.state) {
            Some(State::Done(columns) | State::Running(Some(columns))) => Rc::clone(columns),
            Some(State::Pending | State::Running(None)) | None => Rc::new(Columns::open(Flow::unknown())),
        })
    }

    /// Follows an entry of WITH RECURSIVE, seeing what it sees where it stands.
    fn resolve(&mut self, at: usize) {
        let Some(cte) = self.ctes.get_mut(at) else { return };
        if !matches!(cte.state, State::Pending) {
            return;
        }
        cte.state = State::Running(None);
        let (node, sees) = (cte.node, cte.sees);
        let levels = self.levels.split_off(sees.0.min(self.levels.len()));
        let ctes = self.ctes.split_off(sees.1.min(self.ctes.len()));
        let columns = self.recursive_entry(node, at);
        self.levels.extend(levels);
        self.ctes.extend(ctes);
        if let Some(cte) = self.ctes.get_mut(at) {
            cte.state = State::Done(Rc::new(columns));
        }
    }

    /// The columns of a WITH entry under its own names.
    pub(super) fn entry(&mut self, node: &'t CommonTableExpr) -> Columns {
        let columns = self.query_node(node.ctequery.as_deref());
        self.entry_columns(node, columns)
    }

    /// Gives columns the names of the entry, and adds those of SEARCH and CYCLE.
    pub(super) fn entry_columns(&mut self, node: &CommonTableExpr, columns: Columns) -> Columns {
        let mut columns = renamed(columns, &node.aliascolnames);
        self.standing.steps.take(columns.weight());
        let add = |tracer: &mut Self, columns: &mut Columns, name: &str| {
            let all = columns.all();
            tracer.condition(&all);
            columns.list.push(Column { name: Name::canonical(name), value: Value::untold(all) });
        };
        if let Some(search) = &node.search_clause {
            add(self, &mut columns, &search.search_seq_column);
        }
        if let Some(cycle) = &node.cycle_clause {
            add(self, &mut columns, &cycle.cycle_mark_column);
            add(self, &mut columns, &cycle.cycle_path_column);
        }
        columns
    }

    /// Follows a SELECT to its columns.
    pub(super) fn select(&mut self, select: &'t SelectStmt) -> Columns {
        let before = self.enter_with(select.with_clause.as_ref());
        let columns = match (is_set_operation(select), &select.larg, &select.rarg) {
            (true, Some(left), Some(right)) => {
                let left = self.select(left);
                let right = self.select(right);
                let columns = self.combined(select, left, &right);
                self.combined_tail(select, columns)
            }
            _ => self.plain_select(select),
        };
        self.leave_with(before);
        // Whoever names them puts them together again.
        self.standing.steps.take(columns.weight());
        columns
    }

    /// The columns of a set operation, by place.
    pub(super) fn combined(&mut self, select: &SelectStmt, left: Columns, right: &Columns) -> Columns {
        if select.op() != SetOperation::SetopUnion || !select.all {
            let all = left.all().with(&right.all());
            self.condition(&all);
        }
        if left.rest.is_some() || right.rest.is_some() || left.list.len() != right.list.len() {
            return Columns::open(left.all().with(&right.all()));
        }
        for (left, right) in left.list.iter().zip(&right.list) {
            self.typed(&[(&left.value, None), (&right.value, None)], Use::Joined);
        }
        let pairs = left.list.into_iter().zip(&right.list);
        let list = pairs.map(|(left, right)| Column { name: left.name, value: left.value.or(&right.value) });
        Columns { list: list.collect(), rest: None }
    }

    /// ORDER BY and LIMIT of a set operation, which see its columns and nothing else.
    pub(super) fn combined_tail(&mut self, select: &'t SelectStmt, columns: Columns) -> Columns {
        let columns = Rc::new(columns);
        self.enter();
        self.push(Item::new("", super::flow::Rows::Columns(Rc::clone(&columns))));
        self.tail(select, &columns);
        self.leave();
        Rc::unwrap_or_clone(columns)
    }

    fn plain_select(&mut self, select: &'t SelectStmt) -> Columns {
        self.enter();
        for item in &select.from_clause {
            self.source_item(item);
        }
        self.windows(&select.window_clause);
        let columns = if select.values_lists.is_empty() {
            self.outputs(&select.target_list)
        } else {
            self.values(&select.values_lists)
        };
        self.filter(select.where_clause.as_deref());
        for node in &select.group_clause {
            self.grouped(node, &columns);
        }
        self.decides(select.having_clause.as_deref());
        self.distinct(&select.distinct_clause, &columns);
        self.tail(select, &columns);
        self.leave();
        columns
    }

    /// A value that decides about rows.
    pub(super) fn decides(&mut self, node: Option<&'t Node>) {
        let flow = self.value(node).flow;
        self.condition(&flow);
    }

    pub(super) fn decide_all(&mut self, nodes: &'t [Node]) {
        for node in nodes {
            self.decides(Some(node));
        }
    }

    fn tail(&mut self, select: &'t SelectStmt, columns: &Columns) {
        for node in &select.sort_clause {
            match &node.node {
                Some(NodeEnum::SortBy(sort)) => {
                    let flow = self.operator(&sort.use_op);
                    self.condition(&flow);
                    self.sorted(sort.node.as_deref(), columns);
                }
                _ => self.decides(Some(node)),
            }
        }
        self.decides(select.limit_offset.as_deref());
        self.decides(select.limit_count.as_deref());
    }

    /// WINDOW: what flows into functions over each.
    fn windows(&mut self, nodes: &'t [Node]) {
        for node in nodes {
            if let Some(NodeEnum::WindowDef(window)) = &node.node {
                let flow = self.window(window);
                if let Some(level) = self.levels.last_mut() {
                    level.windows.push((Name::canonical(window.name.as_str()), flow));
                }
            }
        }
    }

    /// VALUES: each column is what any row has there.
    fn values(&mut self, rows: &'t [Node]) -> Columns {
        let mut columns = Columns::default();
        for (nth, row) in rows.iter().enumerate() {
            let Some(NodeEnum::List(row)) = &row.node else {
                columns.rest = Some(Flow::unknown());
                continue;
            };
            let row = self.row_values(&row.items);
            let fits = row.rest.is_none() && (nth == 0 || row.list.len() == columns.list.len());
            if !fits || columns.rest.is_some() {
                columns = Columns::open(columns.all().with(&row.all()));
                continue;
            }
            for (at, Column { value, .. }) in row.list.into_iter().enumerate() {
                match columns.list.get_mut(at) {
                    Some(column) => {
                        self.typed(&[(&column.value, None), (&value, None)], Use::Joined);
                        column.value = std::mem::take(&mut column.value).or(&value);
                    }
                    None => columns.list.push(Column { name: Name::canonical(format!("column{}", at + 1)), value }),
                }
            }
        }
        columns
    }

    /// The values of one row, in which a star is several.
    fn row_values(&mut self, items: &'t [Node]) -> Columns {
        let mut row = Columns { list: Vec::with_capacity(items.len()), rest: None };
        for item in items {
            let more = self.expanded(item.node.as_ref(), Some(item), "");
            if more.rest.is_some() || row.rest.is_some() {
                row = Columns::open(row.all().with(&more.all()));
            } else {
                row.list.extend(more.list);
            }
        }
        row
    }

    /// A select list.
    pub(super) fn outputs(&mut self, targets: &'t [Node]) -> Columns {
        let mut all = Columns::default();
        for target in targets {
            let Some(NodeEnum::ResTarget(target)) = &target.node else {
                let flow = self.value(Some(target)).flow;
                all = Columns::open(all.all().with(&flow));
                continue;
            };
            let more = self.output(target);
            let wide = all.list.len() + more.list.len() > WIDEST;
            if all.rest.is_some() || more.rest.is_some() || wide {
                all = Columns::open(all.all().with(&more.all()));
            } else {
                all.list.extend(more.list);
            }
        }
        all
    }

    /// One item of a select list, which may be several columns.
    fn output(&mut self, target: &'t protobuf::ResTarget) -> Columns {
        let value = target.val.as_deref().and_then(|value| value.node.as_ref());
        let name = if target.name.is_empty() { output_name(value) } else { target.name.as_str() };
        self.expanded(value, target.val.as_deref(), name)
    }

    /// An expression, or the columns that it stands for where it is a star.
    fn expanded(&mut self, value: Option<&'t NodeEnum>, node: Option<&'t Node>, name: &str) -> Columns {
        match value {
            Some(NodeEnum::ColumnRef(column)) if is_star(&column.fields) => {
                let qualifier = column.fields.split_last().and_then(|(_, rest)| names::strings(rest));
                self.star(qualifier.as_deref().unwrap_or_default())
            }
            Some(NodeEnum::AIndirection(indirection)) if is_row_star(value) => self.row_star(indirection),
            _ => {
                let value = self.value(node);
                Columns { list: vec![Column { name: Name::canonical(name), value }], rest: None }
            }
        }
    }
}

/// Whether it is a UNION, INTERSECT or EXCEPT.
pub(super) fn is_set_operation(select: &SelectStmt) -> bool {
    match select.op() {
        SetOperation::SetopUnion | SetOperation::SetopIntersect | SetOperation::SetopExcept => true,
        SetOperation::Undefined | SetOperation::SetopNone => false,
    }
}

/// Columns whose first ones get other names.
pub(super) fn renamed(mut columns: Columns, names: &[Node]) -> Columns {
    let names = names::strings(names).unwrap_or_default();
    if columns.rest.is_some() && !names.is_empty() {
        let all = columns.all();
        return Columns { list: super::range::listed(names.into_iter().map(Name::canonical), &all), rest: Some(all) };
    }
    for (column, name) in columns.list.iter_mut().zip(names) {
        column.name = Name::canonical(name);
    }
    columns
}
