//! Whether a write is bounded: whether a condition of it restricts the target's own column against constants or
//! parameters, directly or through other rows so restricted (DESIGN 2).
//!
//! The range table of the write is solved to a fixed point: an entry is restricted when a top-level AND term pins one of
//! its columns to a constant, or equates one with a column of an entry that is restricted already. What the walk does
//! not know does not restrict. Promises: a condition that is true of every row whatever the data (tautologies, `LIKE
//! '%'`, the whole range of a type, `IS NOT NULL`, volatile functions, OR with anything that does not restrict) never
//! makes a write bounded. Named limits: an open range (`id > 0`) is taken as a restriction although data may make it
//! none; so is a comparison with a parameter, whatever its value; and LIMIT with a small constant.
//! Held by: `fixtures/sql/bounds.tsv`, and `tests/it/properties.rs`.

mod pattern;
mod shape;
mod terms;

use super::names::{self, Standing};
use super::reader::{Cte, Reader};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    self, CommonTableExpr, DeleteStmt, InsertStmt, JoinType, MergeStmt, MergeWhenClause, Node, OnConflictClause,
    RangeVar, SelectStmt, SetOperation, UpdateStmt, a_const,
};
use portcullis_model::catalogue::Relation;
use std::sync::Arc;

/// The largest constant LIMIT that counts as a restriction.
const SMALL_LIMIT: i32 = 10_000;

/// An entry of the range table being solved.
#[derive(Debug)]
struct Item<'t> {
    alias: &'t str,
    schema: &'t str,
    /// What the catalogue knows of its columns.
    relation: Option<Arc<Relation>>,
    /// Column names, where they are known although no relation is.
    columns: Option<Vec<&'t str>>,
    /// Restricted, as far as is known.
    restricted: bool,
    /// Belongs to the query around: names of the query itself come first.
    outer: bool,
}

/// One solving: what names mean, and the terms that hold for every row.
struct Solver<'r, 's, 't> {
    standing: &'r Standing<'s>,
    ctes: Vec<(&'t CommonTableExpr, bool)>,
    /// WITH entries being solved: a recursive reference to one is restricted if its base is.
    open: Vec<&'t str>,
    given: Option<bool>,
}

/// One query's items and terms.
#[derive(Default)]
struct Problem<'t> {
    items: Vec<Item<'t>>,
    terms: Vec<&'t Node>,
    /// Columns that USING equates between the items before and behind the mark.
    using: Vec<(Vec<usize>, Vec<usize>)>,
}

fn solver<'r, 's, 't>(reader: &'r Reader<'s, 't>) -> Solver<'r, 's, 't> {
    let ctes = reader.ctes.iter().map(|cte: &Cte<'t>| (cte.node, cte.recursive)).collect();
    Solver { standing: &reader.standing, ctes, open: Vec::new(), given: reader.given }
}

/// Whether an UPDATE is bounded.
pub(super) fn update<'t>(reader: &Reader<'_, 't>, update: &'t UpdateStmt) -> bool {
    solver(reader).write(update.relation.as_ref(), &update.from_clause, update.where_clause.as_deref())
}

/// Whether a DELETE is bounded.
pub(super) fn delete<'t>(reader: &Reader<'_, 't>, delete: &'t DeleteStmt) -> bool {
    solver(reader).write(delete.relation.as_ref(), &delete.using_clause, delete.where_clause.as_deref())
}

/// Whether a branch of MERGE is bounded. What no source row matched is bounded by its own condition alone.
pub(super) fn merge<'t>(
    reader: &Reader<'_, 't>,
    merge: &'t MergeStmt,
    branch: &'t MergeWhenClause,
    unmatched: bool,
) -> bool {
    let mut solver = solver(reader);
    let mut problem = Problem::default();
    solver.target(&mut problem, merge.relation.as_ref());
    if let (Some(source), false) = (merge.source_relation.as_deref(), unmatched) {
        solver.from(&mut problem, source);
        problem.terms.extend(merge.join_condition.as_deref());
    }
    problem.terms.extend(branch.condition.as_deref());
    solver.solve(&mut problem);
    problem.items.first().is_some_and(|target| target.restricted)
}

/// Whether the update of an upsert is bounded: by the rows that are inserted, or by its own condition.
pub(super) fn upsert<'t>(reader: &Reader<'_, 't>, insert: &'t InsertStmt, conflict: &'t OnConflictClause) -> bool {
    let mut solver = solver(reader);
    if insert.select_stmt.is_none() || solver.query(insert.select_stmt.as_deref()) {
        return true;
    }
    solver.write(insert.relation.as_ref(), &[], conflict.where_clause.as_deref())
}

impl<'t> Solver<'_, '_, 't> {
    /// Whether a write to this target with these other items and this condition is bounded.
    fn write(&mut self, target: Option<&'t RangeVar>, from: &'t [Node], condition: Option<&'t Node>) -> bool {
        if target.is_none() {
            return false;
        }
        let mut problem = Problem::default();
        self.target(&mut problem, target);
        for item in from {
            self.from(&mut problem, item);
        }
        problem.terms.extend(condition);
        self.solve(&mut problem);
        problem.items.first().is_some_and(|target| target.restricted)
    }

    fn target(&self, problem: &mut Problem<'t>, range: Option<&'t RangeVar>) {
        if let Some(range) = range {
            problem.items.push(self.table(range));
        }
        if let Some(bounded) = self.given {
            for alias in ["old", "new"] {
                let columns = Some(Vec::new());
                problem.items.push(Item {
                    alias,
                    schema: "",
                    relation: None,
                    columns,
                    restricted: bounded,
                    outer: true,
                });
            }
        }
    }

    fn table(&self, range: &'t RangeVar) -> Item<'t> {
        let place = self.standing.range(range);
        let alias = range.alias.as_ref();
        Item {
            alias: alias.map_or(range.relname.as_str(), |alias| alias.aliasname.as_str()),
            schema: &range.schemaname,
            // Under an alias list names move: the columns are those that the list gives, and no others are trusted.
            columns: alias.filter(|alias| !alias.colnames.is_empty()).and_then(|a| names::strings(&a.colnames)),
            relation: place
                .and_then(|place| place.relation)
                .filter(|_| alias.is_none_or(|alias| alias.colnames.is_empty())),
            restricted: false,
            outer: false,
        }
    }

    /// Adds an item of FROM, and the terms of inner joins in it.
    fn from(&mut self, problem: &mut Problem<'t>, node: &'t Node) {
        match &node.node {
            Some(NodeEnum::RangeVar(range)) => {
                let mut item = self.table(range);
                if range.schemaname.is_empty()
                    && let Some(at) = self.ctes.iter().rposition(|(cte, _)| cte.ctename == range.relname)
                {
                    item.restricted = self.cte(at);
                    item.relation = None;
                }
                problem.items.push(item);
            }
            Some(NodeEnum::RangeSubselect(sub)) => {
                let restricted = self.query(sub.subquery.as_deref());
                problem.items.push(derived(sub.alias.as_ref(), restricted));
            }
            Some(NodeEnum::RangeFunction(function)) => {
                let restricted = terms::function_of_constants(self, &function.functions);
                problem.items.push(derived(function.alias.as_ref(), restricted));
            }
            Some(NodeEnum::JoinExpr(join)) => self.join(problem, join),
            Some(NodeEnum::RangeTableSample(sample)) => {
                if let Some(relation) = sample.relation.as_deref() {
                    self.from(problem, relation);
                }
            }
            Some(NodeEnum::RangeTableFunc(table)) => problem.items.push(derived(table.alias.as_ref(), false)),
            Some(NodeEnum::JsonTable(table)) => problem.items.push(derived(table.alias.as_ref(), false)),
            Some(_) | None => problem.items.push(derived(None, false)),
        }
    }

    fn join(&mut self, problem: &mut Problem<'t>, join: &'t protobuf::JoinExpr) {
        let first = problem.items.len();
        join.larg.as_deref().into_iter().for_each(|left| self.from(problem, left));
        let middle = problem.items.len();
        join.rarg.as_deref().into_iter().for_each(|right| self.from(problem, right));
        if join.jointype() != JoinType::JoinInner {
            return;
        }
        problem.terms.extend(join.quals.as_deref());
        if !join.using_clause.is_empty() && middle - first == 1 && problem.items.len() - middle == 1 {
            problem.using.push((vec![first], vec![middle]));
        }
    }

    /// Restricts items until nothing changes.
    fn solve(&mut self, problem: &mut Problem<'t>) {
        let mut changed = true;
        while changed {
            changed = false;
            for at in 0..problem.items.len() {
                if problem.items.get(at).is_none_or(|item| item.restricted) {
                    continue;
                }
                let restricted = problem.terms.iter().any(|term| terms::restricts(self, problem, at, term))
                    || problem.using.iter().any(|(left, right)| {
                        let is =
                            |side: &[usize]| side.iter().any(|at| problem.items.get(*at).is_some_and(|i| i.restricted));
                        (left.contains(&at) && is(right)) || (right.contains(&at) && is(left))
                    });
                if let (true, Some(item)) = (restricted, problem.items.get_mut(at)) {
                    item.restricted = true;
                    changed = true;
                }
            }
        }
    }

    /// Whether a WITH entry gives only rows that are restricted.
    fn cte(&mut self, at: usize) -> bool {
        let Some((cte, recursive)) = self.ctes.get(at).copied() else { return false };
        if recursive && self.open.contains(&cte.ctename.as_str()) {
            return true;
        }
        // Inside, only the entries before it are in sight, and itself where it is recursive.
        let hidden = self.ctes.split_off((at + usize::from(recursive)).min(self.ctes.len()));
        self.open.push(&cte.ctename);
        let restricted = self.query(cte.ctequery.as_deref());
        self.open.pop();
        self.ctes.extend(hidden);
        restricted
    }

    /// Whether every row of a query comes from rows that are restricted.
    fn query(&mut self, node: Option<&'t Node>) -> bool {
        match node.and_then(|node| node.node.as_ref()) {
            Some(NodeEnum::SelectStmt(select)) => self.select(select),
            Some(NodeEnum::UpdateStmt(update)) => {
                self.write(update.relation.as_ref(), &update.from_clause, update.where_clause.as_deref())
            }
            Some(NodeEnum::DeleteStmt(delete)) => {
                self.write(delete.relation.as_ref(), &delete.using_clause, delete.where_clause.as_deref())
            }
            Some(NodeEnum::InsertStmt(insert)) => {
                insert.select_stmt.is_none() || self.query(insert.select_stmt.as_deref())
            }
            Some(_) | None => false,
        }
    }

    fn select(&mut self, select: &'t SelectStmt) -> bool {
        let before = self.enter_with(select.with_clause.as_ref());
        let restricted = small_limit(select) || self.select_rows(select);
        self.ctes.truncate(before);
        restricted
    }

    fn enter_with(&mut self, with: Option<&'t protobuf::WithClause>) -> usize {
        let before = self.ctes.len();
        for node in with.map(|with| with.ctes.as_slice()).unwrap_or_default() {
            if let Some(NodeEnum::CommonTableExpr(cte)) = &node.node {
                self.ctes.push((cte, with.is_some_and(|with| with.recursive)));
            }
        }
        before
    }

    fn select_rows(&mut self, select: &'t SelectStmt) -> bool {
        match (select.op(), &select.larg, &select.rarg) {
            (SetOperation::SetopUnion, Some(left), Some(right)) => self.select(left) && self.select(right),
            (SetOperation::SetopIntersect, Some(left), Some(right)) => self.select(left) || self.select(right),
            (SetOperation::SetopExcept, Some(left), _) => self.select(left),
            _ => {
                let problem = self.solved(select);
                let rows = select.values_lists.iter().chain(&select.target_list);
                let constant = rows.into_iter().all(|row| self.output(&problem, row));
                problem.items.iter().all(|item| item.restricted || item.outer) && constant
            }
        }
    }

    /// Whether the values of an output column come from restricted rows and constants alone.
    fn output(&mut self, problem: &Problem<'t>, target: &'t Node) -> bool {
        if let Some(NodeEnum::ResTarget(target)) = &target.node
            && let Some(NodeEnum::ColumnRef(column)) = target.val.as_ref().and_then(|value| value.node.as_ref())
            && matches!(column.fields.last().and_then(|field| field.node.as_ref()), Some(NodeEnum::AStar(_)))
        {
            return !problem.items.is_empty() && problem.items.iter().all(|item| item.restricted);
        }
        terms::settled(self, problem, None, target)
    }

    /// Whether a subquery gives at most one value whatever the row around it: an equality with it restricts.
    fn scalar(&mut self, node: Option<&'t Node>) -> bool {
        let Some(NodeEnum::SelectStmt(select)) = node.and_then(|node| node.node.as_ref()) else { return false };
        if select.op() != SetOperation::SetopNone || select.with_clause.is_some() || select.from_clause.is_empty() {
            return false;
        }
        let problem = self.solved(select);
        terms::uncorrelated(self, &problem, select)
    }

    /// The items and terms of a plain SELECT, solved.
    fn solved(&mut self, select: &'t SelectStmt) -> Problem<'t> {
        let mut problem = Problem::default();
        for item in &select.from_clause {
            self.from(&mut problem, item);
        }
        problem.terms.extend(select.where_clause.as_deref());
        self.solve(&mut problem);
        problem
    }

    /// Whether the single output column of a query can only have values from rows that are restricted.
    fn values(&mut self, node: Option<&'t Node>) -> bool {
        let Some(NodeEnum::SelectStmt(select)) = node.and_then(|node| node.node.as_ref()) else { return false };
        let before = self.enter_with(select.with_clause.as_ref());
        let restricted = small_limit(select)
            || match (select.op(), select.target_list.as_slice()) {
                (SetOperation::SetopNone, [output]) => {
                    let problem = self.solved(select);
                    self.output(&problem, output)
                }
                _ => self.select_rows(select),
            };
        self.ctes.truncate(before);
        restricted
    }

    /// Whether EXISTS with this query restricts the item at `at` of the query around.
    fn exists(&mut self, outer: &Problem<'t>, at: usize, node: Option<&'t Node>) -> bool {
        let Some(NodeEnum::SelectStmt(select)) = node.and_then(|node| node.node.as_ref()) else { return false };
        let Some(item) = outer.items.get(at) else { return false };
        // An aggregate gives a row even where nothing matches, so it restricts nothing.
        let plain = select.op() == SetOperation::SetopNone
            && select.group_clause.is_empty()
            && select.having_clause.is_none()
            && select.with_clause.is_none()
            && !select.target_list.iter().any(terms::calls)
            && !select.from_clause.is_empty();
        if !plain {
            return false;
        }
        let mut problem = Problem::default();
        for item in &select.from_clause {
            self.from(&mut problem, item);
        }
        if problem.items.iter().any(|inner| inner.alias == item.alias) {
            return false;
        }
        problem.terms.extend(select.where_clause.as_deref());
        // The inner rows must be restricted by themselves, and the outer row through them.
        self.solve(&mut problem);
        let inner = problem.items.len();
        problem.items.push(Item {
            alias: item.alias,
            schema: item.schema,
            relation: item.relation.clone(),
            columns: item.columns.clone(),
            restricted: false,
            outer: true,
        });
        problem.terms.iter().any(|term| terms::restricts(self, &problem, inner, term))
    }
}

fn derived<'t>(alias: Option<&'t protobuf::Alias>, restricted: bool) -> Item<'t> {
    Item {
        alias: alias.map_or("", |alias| alias.aliasname.as_str()),
        schema: "",
        relation: None,
        columns: alias.filter(|alias| !alias.colnames.is_empty()).and_then(|alias| names::strings(&alias.colnames)),
        restricted,
        outer: false,
    }
}

/// Whether LIMIT keeps the rows to a small constant number, or to a parameter.
fn small_limit(select: &SelectStmt) -> bool {
    if select.limit_option() == protobuf::LimitOption::WithTies {
        return false;
    }
    match select.limit_count.as_ref().and_then(|count| count.node.as_ref()) {
        Some(NodeEnum::AConst(count)) => match &count.val {
            Some(a_const::Val::Ival(count)) => count.ival <= SMALL_LIMIT,
            _ => false,
        },
        Some(NodeEnum::ParamRef(_)) => true,
        Some(_) | None => false,
    }
}
