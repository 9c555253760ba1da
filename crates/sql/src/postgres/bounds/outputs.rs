//! What a query gives: whether all its rows come from rows that are restricted, and which of its columns restrict them.
//!
//! A column of a query restricts its rows if it is a column of an item in it, as it is, and the item's restriction is
//! one of all the others. Held by: `fixtures/sql/bounds.tsv`.

use super::columns::{Columns, More, Output, certain_name};
use super::given::bare;
use super::heaps;
use super::settled::settled;
use super::shape::Shape;
use super::terms::Term;
use super::{Problem, Rows, Solver};
use crate::postgres::query::is_star;
use crate::postgres::reader::WIDEST;
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, ReturningClause, SelectStmt, SetOperation};
use std::borrow::Cow;

impl<'t> Solver<'_, '_, 't> {
    /// The rows of a query, or those that a write returns.
    pub(super) fn query(&mut self, node: Option<&'t Node>) -> Rows<'t> {
        if !self.spend() {
            return Rows::unknown();
        }
        match node.and_then(|node| node.node.as_ref()) {
            Some(NodeEnum::SelectStmt(select)) => self.select(select),
            Some(NodeEnum::UpdateStmt(update)) => {
                let before = self.enter_with(update.with_clause.as_ref());
                let problem =
                    self.written(update.relation.as_ref(), &update.from_clause, update.where_clause.as_deref());
                let rows = self.returned(problem, update.returning_clause.as_ref());
                self.ctes.truncate(before);
                rows
            }
            Some(NodeEnum::DeleteStmt(delete)) => {
                let before = self.enter_with(delete.with_clause.as_ref());
                let problem =
                    self.written(delete.relation.as_ref(), &delete.using_clause, delete.where_clause.as_deref());
                let rows = self.returned(problem, delete.returning_clause.as_ref());
                self.ctes.truncate(before);
                rows
            }
            Some(NodeEnum::InsertStmt(insert)) => {
                let before = self.enter_with(insert.with_clause.as_ref());
                let restricted = insert.select_stmt.is_none() || self.query(insert.select_stmt.as_deref()).restricted;
                let mut problem = self.written(insert.relation.as_ref(), &[], None);
                if let Some(target) = problem.items.first_mut() {
                    target.restricted = restricted;
                }
                let rows = self.returned(problem, insert.returning_clause.as_ref());
                self.ctes.truncate(before);
                rows
            }
            Some(_) | None => Rows::unknown(),
        }
    }

    /// One row for each of the target that is written.
    fn returned(&mut self, mut problem: Problem<'t>, clause: Option<&'t ReturningClause>) -> Rows<'t> {
        let restricted = problem.items.first().is_some_and(|target| target.restricted);
        let exprs = clause.map(|clause| clause.exprs.as_slice()).unwrap_or_default();
        Rows { restricted, columns: self.outputs(&mut problem, exprs, true, restricted) }
    }

    pub(super) fn select(&mut self, select: &'t SelectStmt) -> Rows<'t> {
        if !self.spend() {
            return Rows::unknown();
        }
        let before = self.enter_with(select.with_clause.as_ref());
        let mut rows = self.select_rows(select);
        rows.restricted = rows.restricted || self.limited(select);
        self.ctes.truncate(before);
        rows
    }

    pub(super) fn select_rows(&mut self, select: &'t SelectStmt) -> Rows<'t> {
        match (select.op(), &select.larg, &select.rarg) {
            (SetOperation::SetopUnion, Some(left), Some(right)) => {
                let (left, right) = (self.select(left), self.select(right));
                let restricted = left.restricted && right.restricted;
                Rows { restricted, columns: left.columns.both(&right.columns) }
            }
            (SetOperation::SetopIntersect, Some(left), Some(right)) => {
                let (left, right) = (self.select(left), self.select(right));
                Rows { restricted: left.restricted || right.restricted, columns: left.columns.both(&right.columns) }
            }
            (SetOperation::SetopExcept, Some(left), _) => self.select(left),
            _ => {
                let mut problem = self.solved(select);
                let rows = select.values_lists.iter().chain(&select.target_list);
                let constant = rows.into_iter().all(|row| self.output(&problem, row));
                let restricted = problem.items.iter().all(|item| item.restricted || item.outer) && constant;
                let columns = match select.values_lists.as_slice() {
                    rows @ [_, ..] => self.listed(&problem, rows),
                    [] => {
                        let grouping = |group: &Node| matches!(group.node, Some(NodeEnum::GroupingSet(_)));
                        // Grouping sets make columns NULL that are not.
                        let narrows = !select.group_clause.iter().any(grouping);
                        self.outputs(&mut problem, &select.target_list, narrows, restricted)
                    }
                };
                Rows { restricted, columns }
            }
        }
    }

    /// Whether the values of an output column come from restricted rows and constants alone.
    pub(super) fn output(&mut self, problem: &Problem<'t>, target: &'t Node) -> bool {
        if star(target) {
            let items = &problem.items;
            return !items.is_empty() && items.iter().all(|item| item.restricted && !item.columns.made(None));
        }
        settled(self, problem, None, target)
    }

    /// The columns of VALUES.
    fn listed(&mut self, problem: &Problem<'t>, rows: &'t [Node]) -> Columns<'t> {
        let mut heaped = Vec::new();
        for row in rows {
            let Some(NodeEnum::List(list)) = &row.node else { return Columns::unknown() };
            heaped.resize(list.items.len(), false);
            for (heaped, value) in heaped.iter_mut().zip(&list.items) {
                *heaped |= self.heaps(problem, value);
            }
        }
        let output = |(at, heaped): (usize, bool)| Output {
            name: Cow::Owned(format!("column{}", at + 1)),
            narrows: false,
            made: false,
            heaped,
            type_oid: None,
        };
        Columns::Listed(heaped.into_iter().enumerate().map(output).collect(), More::Nothing)
    }

    /// The columns of a list of outputs; `restricted`: all rows that they are made of are.
    fn outputs(
        &mut self,
        problem: &mut Problem<'t>,
        targets: &'t [Node],
        narrows: bool,
        restricted: bool,
    ) -> Columns<'t> {
        let restricts: Vec<bool> =
            (0..problem.items.len()).map(|at| narrows && self.restricts_all(problem, at, targets)).collect();
        let recursive = problem.items.iter().any(|item| item.before);
        let (mut outputs, mut more) = (Vec::new(), More::Nothing);
        for target in targets {
            let Some(NodeEnum::ResTarget(named)) = &target.node else { return Columns::unknown() };
            let value = named.val.as_deref();
            if star(target) {
                for (at, item) in problem.items.iter().enumerate().filter(|(_, item)| !item.outer) {
                    // No row is wider; stars over stars would double it with each query.
                    if outputs.len() + item.columns.width() > WIDEST || !self.step(1 + 4 * item.columns.width()) {
                        return Columns::unknown();
                    }
                    let (starred, beside) = item.columns.star(restricts.get(at).copied().unwrap_or(false));
                    outputs.extend(starred);
                    more = if more == More::Nothing { beside } else { both(more, beside) };
                }
                if problem.merged {
                    more = More::Anything;
                }
                continue;
            }
            let name = match named.name.as_str() {
                "" => certain_name(value.and_then(|value| value.node.as_ref())),
                name => Some(name),
            };
            let Some(name) = name else {
                more = More::Anything;
                continue;
            };
            let made = recursive || (self.views > 0 && !self.is_countable(problem, target));
            let heaped = self.heaps(problem, target) || !(restricted || heaps::is_plain(target));
            let output = Output { name: Cow::Borrowed(name), narrows: false, made, heaped, type_oid: None };
            outputs.push(self.one(problem, output, value, &restricts));
        }
        Columns::Listed(outputs, more)
    }

    fn one(
        &mut self,
        problem: &Problem<'t>,
        mut output: Output<'t>,
        value: Option<&'t Node>,
        restricts: &[bool],
    ) -> Output<'t> {
        let Some(value) = value else { return output };
        for (at, narrows) in restricts.iter().enumerate() {
            let mut term = Term { solver: &mut *self, problem, at };
            if term.shape(value) == Some(Shape::Plain) {
                output.narrows = *narrows;
            }
        }
        let term = Term { solver: &mut *self, problem, at: usize::MAX };
        if let Some(NodeEnum::ColumnRef(column)) = &bare(value).node {
            let meant = term.resolve(&column.fields);
            let columns = meant.and_then(|(at, name)| Some((&problem.items.get(at)?.columns, name)));
            output.made = columns.is_some_and(|(columns, name)| columns.made(Some(name)));
            output.type_oid = term.column_type(value);
        }
        output
    }

    /// Whether all rows of the query are restricted where those of the item at `at` are.
    fn restricts_all(&mut self, problem: &mut Problem<'t>, at: usize, targets: &'t [Node]) -> bool {
        let was: Vec<bool> = problem.items.iter().map(|item| item.restricted).collect();
        for (index, item) in problem.items.iter_mut().enumerate() {
            // What the round before restricts is what is asked here.
            item.restricted = index == at || (item.restricted && !item.before);
        }
        self.solve(problem);
        let all = problem.items.iter().all(|item| item.restricted || item.outer)
            && (self.views > 0 || targets.iter().all(|target| self.output(problem, target)));
        for (item, was) in problem.items.iter_mut().zip(was) {
            item.restricted = was;
        }
        all
    }
}

fn star(target: &Node) -> bool {
    match &target.node {
        Some(NodeEnum::ResTarget(target)) => match target.val.as_ref().and_then(|value| value.node.as_ref()) {
            Some(NodeEnum::ColumnRef(column)) => is_star(&column.fields),
            Some(_) | None => false,
        },
        Some(_) | None => false,
    }
}

fn both(one: More, other: More) -> More {
    match (one, other) {
        (one, More::Nothing) => one,
        (More::Nothing, other) => other,
        (More::Table { narrows }, More::Table { narrows: others }) => More::Table { narrows: narrows && others },
        (More::Anything, _) | (_, More::Anything) => More::Anything,
    }
}
