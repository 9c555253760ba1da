//! Whether a write is bounded: whether a condition of it restricts the target's own column against constants or
//! parameters, directly or through other rows so restricted (DESIGN 2).
//!
//! The range table of the write is solved to a fixed point: an entry is restricted when a top-level AND term pins one of
//! its columns to a constant, or equates one with a column of an entry that is restricted already. What the walk does
//! not know does not restrict. Promises: a condition that is true of every row whatever the data (tautologies, `LIKE
//! '%'`, the whole range of a type, `IS NOT NULL`, volatile functions, OR with anything that does not restrict) never
//! makes a write bounded. Named limits: an open range (`id > 0`) is taken as a restriction although data may make it
//! none; so is a comparison with a parameter, whatever its value; and LIMIT with a small constant. A LIMIT that is a
//! parameter is none: its value comes with Bind, behind the judgement.
//! Held by: `fixtures/sql/bounds.tsv`, and `tests/it/properties.rs`.

mod columns;
mod given;
mod heaps;
mod outputs;
mod pattern;
mod scope;
mod settled;
mod shape;
mod shown;
mod terms;
mod view;

use self::columns::{Columns, More};
use super::names::{self, Standing};
use super::reader::{Cte, Reader};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    self, CommonTableExpr, DeleteStmt, InsertStmt, JoinType, MergeStmt, MergeWhenClause, Node, OnConflictClause,
    RangeVar, SelectStmt, SetOperation, UpdateStmt, a_const,
};
use portcullis_model::catalogue::Oid;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// The largest constant LIMIT that counts as a restriction.
const SMALL_LIMIT: i32 = 10_000;

/// How many queries and names are looked at in one statement. Past them nothing restricts. What is looked at for
/// every item again takes steps of the text besides.
const FUEL: u32 = 200_000;

/// An entry of the range table being solved.
#[derive(Debug)]
struct Item<'t> {
    alias: &'t str,
    schema: &'t str,
    columns: Columns<'t>,
    /// Restricted, as far as is known.
    restricted: bool,
    /// Belongs to the query around: names of the query itself come first.
    outer: bool,
    /// The rows of the round before, in a recursion.
    before: bool,
}

/// A WITH entry in sight.
#[derive(Clone, Copy, Debug)]
struct Entry<'t> {
    node: &'t CommonTableExpr,
    recursive: bool,
    /// How many queries are around it.
    depth: usize,
    /// Behind the entry that is looked at, in the same WITH: the server may mean it, what it gives is not told here.
    later: bool,
}

/// WITH entries that are out of sight for a while, and where they were.
struct Hidden<'t> {
    from: usize,
    entries: Vec<Entry<'t>>,
}

/// How the values of a query are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// Each as it is.
    Each,
    /// Each as it is, or by its elements where it is an array.
    Elements,
    /// The only one, by its elements.
    Array,
}

/// The rows of a query: whether all come from rows that are restricted, and their columns.
struct Rows<'t> {
    restricted: bool,
    columns: Columns<'t>,
}

/// One solving: what names mean, and the terms that hold for every row.
struct Solver<'r, 's, 't> {
    standing: &'r Standing<'s>,
    ctes: Vec<Entry<'t>>,
    /// WITH entries being solved: a recursive reference to one is restricted if its base is.
    open: Vec<(&'t CommonTableExpr, Columns<'t>)>,
    /// The items of the queries around the one that is looked at, from the outermost in.
    around: Vec<Vec<Columns<'t>>>,
    given: Option<bool>,
    /// How many views the text is of, one in another.
    views: usize,
    /// What the views of this text say, each read once.
    told: HashMap<Oid, Arc<[view::Said]>>,
    fuel: u32,
}

/// Columns that USING equates: the one item is restricted by them where the other is.
struct Using<'t> {
    at: usize,
    by: usize,
    names: Vec<&'t str>,
}

/// One query's items and terms.
#[derive(Default)]
struct Problem<'t> {
    items: Vec<Item<'t>>,
    terms: Vec<&'t Node>,
    /// Terms that hold for the rows of these items alone, in whose place an outer join may put NULLs.
    within: Vec<(Range<usize>, &'t Node)>,
    using: Vec<Using<'t>>,
    /// Columns of two items may stand as one in `*`.
    merged: bool,
    /// Where the last item stands in the query around.
    seen_as: Option<usize>,
}

fn solver<'r, 's, 't>(reader: &'r Reader<'s, 't>) -> Solver<'r, 's, 't> {
    let entry = |cte: &Cte<'t>| Entry { node: cte.node, recursive: cte.recursive, depth: 0, later: false };
    let ctes = reader.ctes.iter().map(entry).collect();
    let (open, around) = (Vec::new(), Vec::new());
    let (given, told) = (reader.given, HashMap::new());
    Solver { standing: &reader.standing, ctes, open, around, given, views: 0, told, fuel: FUEL }
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
    if insert.select_stmt.is_none() || solver.query(insert.select_stmt.as_deref()).restricted {
        return true;
    }
    solver.write(insert.relation.as_ref(), &[], conflict.where_clause.as_deref())
}

impl<'t> Solver<'_, '_, 't> {
    /// Whether there is fuel for another look.
    fn spend(&mut self) -> bool {
        self.fuel = self.fuel.saturating_sub(1);
        self.fuel > 0 && self.step(1)
    }

    /// Takes steps of the text's; false where it is refused anyway.
    fn step(&self, count: usize) -> bool {
        self.standing.steps.take(count)
    }

    /// Whether a write to this target with these other items and this condition is bounded.
    fn write(&mut self, target: Option<&'t RangeVar>, from: &'t [Node], condition: Option<&'t Node>) -> bool {
        target.is_some() && self.written(target, from, condition).items.first().is_some_and(|target| target.restricted)
    }

    /// The items and terms of a write, solved.
    fn written(&mut self, target: Option<&'t RangeVar>, from: &'t [Node], condition: Option<&'t Node>) -> Problem<'t> {
        let mut problem = Problem::default();
        self.target(&mut problem, target);
        for item in from {
            self.from(&mut problem, item);
        }
        problem.terms.extend(condition);
        self.solve(&mut problem);
        problem
    }

    fn target(&mut self, problem: &mut Problem<'t>, range: Option<&'t RangeVar>) {
        if let Some(range) = range {
            problem.items.push(self.table(range));
        }
        if let Some(restricted) = self.given {
            for alias in ["old", "new"] {
                let columns = Columns::Qualified;
                problem.items.push(Item { alias, schema: "", columns, restricted, outer: true, before: false });
            }
        }
    }

    fn table(&mut self, range: &'t RangeVar) -> Item<'t> {
        let place = self.standing.range(range);
        let alias = range.alias.as_ref();
        let columns = match place.and_then(|place| place.relation) {
            Some(relation) => self.relation(relation),
            None => Columns::Untold,
        };
        Item {
            alias: alias.map_or(range.relname.as_str(), |alias| alias.aliasname.as_str()),
            schema: &range.schemaname,
            columns: columns.renamed(colnames(alias)),
            restricted: false,
            outer: false,
            before: false,
        }
    }

    /// The WITH entry that a name means.
    fn cte_named(&self, range: &RangeVar) -> Option<usize> {
        let bare = range.schemaname.is_empty() && self.step(1 + self.ctes.len() / 4);
        bare.then(|| self.ctes.iter().rposition(|entry| entry.node.ctename == range.relname)).flatten()
    }

    /// Adds an item of FROM, and the terms of inner joins in it.
    fn from(&mut self, problem: &mut Problem<'t>, node: &'t Node) {
        if !self.step(1) {
            return;
        }
        match &node.node {
            Some(NodeEnum::RangeVar(range)) => {
                let mut item = self.table(range);
                if let Some(at) = self.cte_named(range) {
                    (item.before, item.restricted, item.columns) = self.cte(at);
                    item.columns = item.columns.renamed(colnames(range.alias.as_ref()));
                    self.step(item.columns.weight());
                }
                problem.items.push(item);
            }
            Some(NodeEnum::RangeSubselect(sub)) => {
                if sub.lateral {
                    self.step(problem.items.iter().map(|item| item.columns.weight()).sum());
                    self.around.push(level(problem));
                }
                let rows = self.query(sub.subquery.as_deref());
                if sub.lateral {
                    self.around.pop();
                }
                problem.items.push(derived(sub.alias.as_ref(), rows));
            }
            Some(NodeEnum::RangeFunction(function)) => {
                let restricted = settled::function_of_constants(self, &function.functions);
                let user = |name: &str| !self.standing.function(None, name).user.is_empty();
                let (alias, columns) = columns::of_function(function, user);
                problem.items.push(Item { alias, schema: "", columns, restricted, outer: false, before: false });
            }
            Some(NodeEnum::JoinExpr(join)) => self.join(problem, join),
            Some(NodeEnum::RangeTableSample(sample)) => {
                if let Some(relation) = sample.relation.as_deref() {
                    self.from(problem, relation);
                }
            }
            Some(NodeEnum::RangeTableFunc(table)) => problem.items.push(derived(table.alias.as_ref(), Rows::unknown())),
            Some(NodeEnum::JsonTable(table)) => problem.items.push(derived(table.alias.as_ref(), Rows::unknown())),
            Some(_) | None => problem.items.push(derived(None, Rows::unknown())),
        }
    }

    fn join(&mut self, problem: &mut Problem<'t>, join: &'t protobuf::JoinExpr) {
        let (first, terms) = (problem.items.len(), problem.terms.len());
        join.larg.as_deref().into_iter().for_each(|left| self.from(problem, left));
        let (middle, half) = (problem.items.len(), problem.terms.len());
        join.rarg.as_deref().into_iter().for_each(|right| self.from(problem, right));
        let (end, kind) = (problem.items.len(), join.jointype());
        let (of_right, of_left) = (problem.terms.split_off(half), problem.terms.split_off(terms));
        problem.arm(of_left, first..middle, !matches!(kind, JoinType::JoinInner | JoinType::JoinLeft));
        problem.arm(of_right, middle..end, !matches!(kind, JoinType::JoinInner | JoinType::JoinRight));
        problem.merged |= !join.using_clause.is_empty() || join.is_natural;
        if join.alias.as_ref().is_some_and(|alias| !alias.colnames.is_empty()) {
            // Under an alias list of the whole, names mean other columns.
            for item in problem.items.iter_mut().skip(first) {
                item.columns = Columns::unknown();
            }
            return;
        }
        let quals: Vec<_> = join.quals.as_deref().into_iter().collect();
        // Of an arm that NULLs may stand for, ON says which rows there are; of the other arm it says nothing.
        let (left, right) = if kind == JoinType::JoinInner {
            problem.terms.extend(quals);
            (true, true)
        } else if kind == JoinType::JoinLeft {
            problem.arm(quals, middle..end, true);
            (false, true)
        } else if kind == JoinType::JoinRight {
            problem.arm(quals, first..middle, true);
            (true, false)
        } else {
            return;
        };
        if let (Some(names), true) = (names::strings(&join.using_clause), middle == first + 1 && end == middle + 1) {
            if left {
                problem.using.push(Using { at: first, by: middle, names: names.clone() });
            }
            if right {
                problem.using.push(Using { at: middle, by: first, names });
            }
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
                if !self.step(1 + (problem.within.len() + problem.using.len()) / 4) {
                    return;
                }
                let within = problem.within.iter().filter(|(items, _)| items.contains(&at)).map(|(_, term)| term);
                let restricted =
                    problem.terms.iter().chain(within).any(|term| terms::restricts(self, problem, at, term))
                        || problem.using.iter().any(|using| using.at == at && using.restricts(&problem.items));
                if let (true, Some(item)) = (restricted, problem.items.get_mut(at)) {
                    item.restricted = true;
                    changed = true;
                }
            }
        }
    }

    /// Whether a WITH entry is the recursion's own round before, whether it gives only rows that are restricted, and its
    /// columns.
    fn cte(&mut self, at: usize) -> (bool, bool, Columns<'t>) {
        let Some(entry) = self.ctes.get(at).copied().filter(|entry| !entry.later) else {
            return (false, false, Columns::unknown());
        };
        let cte = entry.node;
        // Another entry of the same name is not the round before.
        if let Some((_, columns)) = self.open.iter().rfind(|(open, _)| std::ptr::eq(*open, cte)) {
            self.step(4 * columns.width());
            return (true, true, columns.clone());
        }
        let hidden = self.hide(at);
        let inner = self.around.split_off(entry.depth.min(self.around.len()));
        self.open.push((cte, Columns::unknown()));
        if let Some(NodeEnum::SelectStmt(select)) = cte.ctequery.as_deref().and_then(|query| query.node.as_ref())
            && let (true, Some(base)) = (entry.recursive, &select.larg)
        {
            let columns = self.select(base).columns.renamed(&cte.aliascolnames);
            if let Some(open) = self.open.last_mut() {
                open.1 = columns;
            }
        }
        let rows = self.query(cte.ctequery.as_deref());
        self.open.pop();
        self.around.extend(inner);
        self.unhide(hidden);
        let mut columns = rows.columns.renamed(&cte.aliascolnames);
        if let (true, Columns::Listed(_, more)) =
            (cte.search_clause.is_some() || cte.cycle_clause.is_some(), &mut columns)
        {
            *more = More::Anything;
        }
        (false, rows.restricted, columns)
    }

    /// Leaves in sight what the query of a WITH entry sees: the entries before it, and under RECURSIVE itself and those
    /// behind it, which are not told here. What may stand behind it for another reason is not told either.
    fn hide(&mut self, at: usize) -> Hidden<'t> {
        let entry = self.ctes.get(at).copied().filter(|entry| entry.recursive);
        let from = (at + usize::from(entry.is_some())).min(self.ctes.len());
        let entries = self.ctes.split_off(from);
        if let Some(entry) = entry {
            let later = entries.iter().take_while(|other| other.recursive && other.depth == entry.depth);
            self.ctes.extend(later.map(|other| Entry { later: true, ..*other }));
        }
        Hidden { from, entries }
    }

    fn unhide(&mut self, hidden: Hidden<'t>) {
        self.ctes.truncate(hidden.from);
        self.ctes.extend(hidden.entries);
    }

    fn enter_with(&mut self, with: Option<&'t protobuf::WithClause>) -> usize {
        let (before, depth) = (self.ctes.len(), self.around.len());
        for node in with.map(|with| with.ctes.as_slice()).unwrap_or_default() {
            if let Some(NodeEnum::CommonTableExpr(cte)) = &node.node {
                let recursive = with.is_some_and(|with| with.recursive);
                self.ctes.push(Entry { node: cte, recursive, depth, later: false });
            }
        }
        before
    }

    /// Whether a subquery gives at most one value whatever the row around it: an equality with it restricts.
    fn scalar(&mut self, node: Option<&'t Node>) -> bool {
        let Some(NodeEnum::SelectStmt(select)) = node.and_then(|node| node.node.as_ref()) else { return false };
        if select.op() != SetOperation::SetopNone || select.with_clause.is_some() || select.from_clause.is_empty() {
            return false;
        }
        self.uncorrelated(select, true)
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

    /// Whether a small LIMIT keeps the query to a few rows in all. One that refers to the row around it gives as many
    /// for each of those.
    fn limited(&mut self, select: &'t SelectStmt) -> bool {
        small_limit(select) && self.uncorrelated(select, false)
    }

    /// Whether the single output column of a query can only have values from rows that are restricted, or from the few
    /// that a LIMIT leaves.
    fn values(&mut self, node: Option<&'t Node>, taken: Taken) -> bool {
        let Some(NodeEnum::SelectStmt(select)) = node.and_then(|node| node.node.as_ref()) else { return false };
        if !self.spend() {
            return false;
        }
        let before = self.enter_with(select.with_clause.as_ref());
        // Whether a value may hold more than its row has: of rows that are restricted, and of others.
        let (settled, heaped, aggregated) = match (select.op(), select.target_list.as_slice()) {
            (SetOperation::SetopNone, [output]) => {
                let problem = self.solved(select);
                let (heaped, plain) = (self.heaps(&problem, output), heaps::is_plain(output));
                // `count(*)` and `row_number()` are made of no column, and yet of all rows that there are.
                let whole = plain || problem.items.iter().all(|item| item.restricted || item.outer);
                (whole && self.output(&problem, output), heaped, heaped || !plain)
            }
            _ => {
                let rows = self.select_rows(select);
                let heaped = rows.columns.heaped(None);
                (rows.restricted, heaped, heaped)
            }
        };
        let few = |solver: &mut Self| match taken {
            Taken::Each => solver.limited(select),
            Taken::Elements => !aggregated && solver.limited(select),
            // One array may hold every key, so that a LIMIT of it says nothing.
            Taken::Array => false,
        };
        let restricted = (settled && (taken == Taken::Each || !heaped)) || few(self);
        self.ctes.truncate(before);
        restricted
    }

    /// Whether EXISTS with this query restricts the item at `at` of the query around.
    fn exists(&mut self, outer: &Problem<'t>, at: usize, node: Option<&'t Node>) -> bool {
        let Some(NodeEnum::SelectStmt(select)) = node.and_then(|node| node.node.as_ref()) else { return false };
        let Some(item) = outer.items.get(at) else { return false };
        // An aggregate gives a row even where nothing matches, so it restricts nothing, wherever it stands.
        let lists = [&select.target_list, &select.distinct_clause, &select.sort_clause, &select.window_clause];
        let plain = select.op() == SetOperation::SetopNone
            && select.group_clause.is_empty()
            && select.having_clause.is_none()
            && select.with_clause.is_none()
            && !lists.into_iter().flatten().any(terms::calls)
            && !select.from_clause.is_empty();
        if !plain || !self.spend() {
            return false;
        }
        let mut problem = Problem::default();
        for item in &select.from_clause {
            self.from(&mut problem, item);
        }
        if problem.items.iter().any(|inner| inner.alias == item.alias) {
            return false;
        }
        // `o.count` is one, too.
        let term = terms::Term { solver: &mut *self, problem: &problem, at: usize::MAX };
        let mut nodes = lists.into_iter().flatten().filter_map(|node| node.node.as_ref());
        if nodes.any(|node| term.calls_of_rows(node.to_ref())) {
            return false;
        }
        problem.terms.extend(select.where_clause.as_deref());
        // The inner rows must be restricted by themselves, and the outer row through them.
        self.solve(&mut problem);
        let inner = problem.items.len();
        problem.items.push(Item {
            alias: item.alias,
            schema: item.schema,
            columns: item.columns.clone(),
            restricted: false,
            outer: true,
            before: false,
        });
        problem.seen_as = Some(at);
        problem.terms.iter().any(|term| terms::restricts(self, &problem, inner, term))
    }
}

impl<'t> Problem<'t> {
    /// Adds the terms of an arm of a join; `filled`: NULLs may stand for its rows.
    fn arm(&mut self, terms: Vec<&'t Node>, items: Range<usize>, filled: bool) {
        if filled {
            self.within.extend(terms.into_iter().map(|term| (items.clone(), term)));
        } else {
            self.terms.extend(terms);
        }
    }
}

impl Using<'_> {
    fn restricts(&self, items: &[Item<'_>]) -> bool {
        let (Some(item), Some(by)) = (items.get(self.at), items.get(self.by)) else { return false };
        by.restricted
            && self.names.iter().any(|&name| {
                let boolean = item.columns.type_oid(name) == Some(terms::BOOLEAN);
                item.columns.narrows(name) && !boolean && !by.columns.made(Some(name))
            })
    }
}

impl Rows<'_> {
    fn unknown() -> Self {
        Self { restricted: false, columns: Columns::unknown() }
    }
}

/// What the items of a query are to the queries in it.
fn level<'t>(problem: &Problem<'t>) -> Vec<Columns<'t>> {
    problem.items.iter().map(|item| item.columns.clone()).collect()
}

fn colnames(alias: Option<&protobuf::Alias>) -> &[Node] {
    alias.map(|alias| alias.colnames.as_slice()).unwrap_or_default()
}

fn derived<'t>(alias: Option<&'t protobuf::Alias>, rows: Rows<'t>) -> Item<'t> {
    Item {
        alias: alias.map_or("", |alias| alias.aliasname.as_str()),
        schema: "",
        columns: rows.columns.renamed(colnames(alias)),
        restricted: rows.restricted,
        outer: false,
        before: false,
    }
}

/// Whether LIMIT keeps the rows to a small constant number. A parameter may be any.
fn small_limit(select: &SelectStmt) -> bool {
    if select.limit_option() == protobuf::LimitOption::WithTies {
        return false;
    }
    match select.limit_count.as_ref().and_then(|count| count.node.as_ref()) {
        Some(NodeEnum::AConst(count)) => match &count.val {
            Some(a_const::Val::Ival(count)) => count.ival <= SMALL_LIMIT,
            _ => false,
        },
        Some(_) | None => false,
    }
}
