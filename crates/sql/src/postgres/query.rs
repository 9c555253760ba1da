//! Queries: SELECT, VALUES, set operations, what stands in FROM, and the WITH entries in front of any statement.
//!
//! Scoping follows the server: a WITH entry is seen by those behind it (by all, if recursive) and by the statement; it
//! never stands for the target of a write; a name that a non-recursive entry has in common with a relation means the
//! relation inside that entry. Promises: every clause is walked. Does not promise to reject what the server rejects.
//! Held by: `fixtures/sql/query.tsv`.

use super::expression::inner;
use super::gather::ColumnSet;
use super::names::{self, Place};
use super::reader::{Cte, Entry, Level, Reader, Reference, Source, together};
use pg_query::protobuf::{self, Alias, CommonTableExpr, Node, RangeVar, SelectStmt, SetOperation, WithClause};
use pg_query::{NodeEnum, NodeRef};
use portcullis_model::{Action, Mark, Marks, Name, Object};
use std::collections::HashSet;

/// The names in a list of alias columns.
fn alias_columns(alias: Option<&Alias>) -> Vec<Name> {
    let parts = alias.and_then(|alias| names::strings(&alias.colnames)).unwrap_or_default();
    parts.into_iter().map(Name::canonical).collect()
}

/// Columns under an alias list: the first ones are renamed.
fn renamed(columns: Option<Vec<Name>>, alias: Option<&Alias>) -> Option<Vec<Name>> {
    let list = alias_columns(alias);
    match columns {
        Some(columns) => {
            let rest = columns.into_iter().skip(list.len());
            Some(list.iter().cloned().chain(rest).collect())
        }
        None => None,
    }
}

impl<'t> Reader<'_, 't> {
    /// Reads a query below another node.
    pub(super) fn query_node(&mut self, node: Option<&'t Node>) -> Option<Vec<Name>> {
        inner(node).and_then(|node| self.query(node))
    }

    /// Reads a query or write; the names of its output columns, where they are known.
    #[expect(clippy::wildcard_enum_match_arm, reason = "anything else below WITH or COPY is a statement of its own")]
    pub(super) fn query(&mut self, node: NodeRef<'t>) -> Option<Vec<Name>> {
        match node {
            NodeRef::SelectStmt(select) => self.select(select),
            NodeRef::InsertStmt(insert) => self.insert(insert),
            NodeRef::UpdateStmt(update) => self.update(update),
            NodeRef::DeleteStmt(delete) => self.delete(delete),
            NodeRef::MergeStmt(merge) => self.merge(merge),
            other => {
                self.statement(other);
                None
            }
        }
    }

    /// Reads the WITH entries; gives how many were in sight before.
    pub(super) fn enter_with(&mut self, with: Option<&'t WithClause>) -> usize {
        let before = self.ctes.len();
        let Some(with) = with else { return before };
        let entries: Vec<&'t CommonTableExpr> = with
            .ctes
            .iter()
            .filter_map(|node| match &node.node {
                Some(NodeEnum::CommonTableExpr(cte)) => Some(&**cte),
                _ => None,
            })
            .collect();
        if with.recursive {
            for node in &entries {
                let columns = names::strings(&node.aliascolnames).unwrap_or_default();
                let columns: Vec<_> = columns.into_iter().map(Name::canonical).collect();
                self.ctes.push(Cte { node, columns: (!columns.is_empty()).then_some(columns), recursive: true });
            }
        }
        for (at, node) in entries.iter().enumerate() {
            let columns = self.query_node(node.ctequery.as_deref());
            if let Some(cycle) = &node.cycle_clause {
                self.walk(NodeRef::CtecycleClause(cycle));
            }
            let columns = self.cte_columns(node, columns);
            if !with.recursive {
                self.ctes.push(Cte { node, columns, recursive: false });
            } else if let Some(cte) = self.ctes.get_mut(before + at) {
                cte.columns = columns;
            }
        }
        before
    }

    fn cte_columns(&self, node: &CommonTableExpr, columns: Option<Vec<Name>>) -> Option<Vec<Name>> {
        let list: Vec<_> =
            names::strings(&node.aliascolnames).unwrap_or_default().into_iter().map(Name::canonical).collect();
        let mut columns: Vec<_> = list.iter().cloned().chain(columns?.into_iter().skip(list.len())).collect();
        if let Some(search) = &node.search_clause {
            columns.push(Name::canonical(search.search_seq_column.as_str()));
        }
        if let Some(cycle) = &node.cycle_clause {
            columns.push(Name::canonical(cycle.cycle_mark_column.as_str()));
            columns.push(Name::canonical(cycle.cycle_path_column.as_str()));
        }
        Some(columns)
    }

    /// The WITH entries read since are out of sight.
    pub(super) fn leave_with(&mut self, before: usize) {
        self.ctes.truncate(before);
    }

    /// Reads a SELECT.
    pub(super) fn select(&mut self, select: &'t SelectStmt) -> Option<Vec<Name>> {
        let before = self.enter_with(select.with_clause.as_ref());
        let outputs = match (select.op(), &select.larg, &select.rarg) {
            (
                SetOperation::SetopUnion | SetOperation::SetopIntersect | SetOperation::SetopExcept,
                Some(left),
                right,
            ) => self.set_operation(select, left, right.as_deref()),
            _ => self.plain_select(select),
        };
        if let Some(into) = &select.into_clause {
            self.creates_from(into, super::define::Made::Table);
        }
        self.leave_with(before);
        outputs
    }

    fn set_operation(
        &mut self,
        select: &'t SelectStmt,
        left: &'t SelectStmt,
        right: Option<&'t SelectStmt>,
    ) -> Option<Vec<Name>> {
        let outputs = self.select(left);
        if let Some(right) = right {
            self.select(right);
        }
        // ORDER BY sees the output columns and nothing else.
        let entry = Entry { alias: Name::canonical(""), source: Source::Derived(outputs.clone()) };
        self.levels.push(Level { entries: vec![entry], outputs: outputs.clone().unwrap_or_default() });
        self.tail(select);
        self.leave();
        outputs
    }

    fn plain_select(&mut self, select: &'t SelectStmt) -> Option<Vec<Name>> {
        self.enter();
        for item in &select.from_clause {
            self.source_item(item);
        }
        let outputs = if select.values_lists.is_empty() {
            self.outputs(&select.target_list)
        } else {
            self.walk_all(&select.values_lists);
            let width = match select.values_lists.first().and_then(|row| row.node.as_ref()) {
                Some(NodeEnum::List(row)) => row.items.len(),
                _ => 0,
            };
            Some((1..=width).map(|at| Name::canonical(format!("column{at}"))).collect())
        };
        if let Some(level) = self.levels.last_mut() {
            level.outputs = outputs.clone().unwrap_or_default();
        }
        self.walk_node(select.where_clause.as_deref());
        self.walk_group(&select.group_clause);
        self.walk_node(select.having_clause.as_deref());
        self.walk_all(&select.window_clause);
        self.walk_group(&select.distinct_clause);
        self.tail(select);
        self.leave();
        outputs
    }

    /// ORDER BY, LIMIT, OFFSET and FOR UPDATE.
    fn tail(&mut self, select: &'t SelectStmt) {
        self.walk_order(&select.sort_clause);
        self.walk_node(select.limit_offset.as_deref());
        self.walk_node(select.limit_count.as_deref());
        for clause in &select.locking_clause {
            if let Some(NodeEnum::LockingClause(clause)) = &clause.node {
                self.locks(&clause.locked_rels);
            }
        }
        // FOR UPDATE reaches into the queries of FROM, whose reads have been noted.
        if !select.locking_clause.is_empty() && select.from_clause.iter().any(holds_query) {
            self.gathered.mark_reads(Mark::Locks.into());
        }
    }

    fn locks(&mut self, of: &[Node]) {
        let named: Vec<&str> = of
            .iter()
            .filter_map(|node| match &node.node {
                Some(NodeEnum::RangeVar(range)) => Some(range.relname.as_str()),
                _ => None,
            })
            .collect();
        let Some(level) = self.levels.last_mut() else { return };
        for entry in &mut level.entries {
            if !named.is_empty() && !named.contains(&entry.alias.as_str()) {
                continue;
            }
            match &mut entry.source {
                Source::Relation(reference) => reference.marks = reference.marks.with(Mark::Locks),
                Source::Derived(_) | Source::Join(_) => {}
            }
        }
    }

    /// Walks a select list; the names of its columns, where they are known.
    pub(super) fn outputs(&mut self, targets: &'t [Node]) -> Option<Vec<Name>> {
        let mut names = Some(Vec::with_capacity(targets.len()));
        for target in targets {
            let Some(NodeEnum::ResTarget(target)) = &target.node else {
                self.walk_node(Some(target));
                names = None;
                continue;
            };
            let value = target.val.as_deref().and_then(|value| value.node.as_ref());
            let more = match value {
                Some(NodeEnum::ColumnRef(column)) if is_star(&column.fields) => {
                    let qualifier = column.fields.split_last().and_then(|(_, rest)| names::strings(rest));
                    self.star(qualifier.as_deref().unwrap_or_default())
                }
                _ => {
                    self.walk_node(target.val.as_deref());
                    let shown = if target.name.is_empty() { output_name(value) } else { target.name.as_str() };
                    (!is_row_star(value)).then(|| vec![Name::canonical(shown)])
                }
            };
            names = together(names, more);
        }
        names
    }

    /// Reads an item of FROM into the range table.
    pub(super) fn source_item(&mut self, node: &'t Node) {
        match &node.node {
            Some(NodeEnum::RangeVar(range)) => self.relation_item(range),
            Some(NodeEnum::RangeSubselect(sub)) => {
                let columns = self.query_node(sub.subquery.as_deref());
                let alias = sub.alias.as_ref();
                self.derived(alias.map_or("", |alias| &alias.aliasname), renamed(columns, alias));
            }
            Some(NodeEnum::RangeFunction(function)) => {
                self.walk_all(&function.functions);
                self.walk_all(&function.coldeflist);
                let alias = function.alias.as_ref();
                let name = alias.map_or_else(|| function_name(&function.functions), |alias| alias.aliasname.as_str());
                // How many columns it has is not known; those that are named are.
                self.derived(name, None);
            }
            Some(NodeEnum::JoinExpr(join)) => self.join(join),
            Some(NodeEnum::RangeTableSample(sample)) => {
                self.walk_all(&sample.args);
                self.walk_node(sample.repeatable.as_deref());
                self.sample_method(&sample.method);
                if let Some(relation) = sample.relation.as_deref() {
                    self.source_item(relation);
                }
            }
            Some(NodeEnum::RangeTableFunc(table)) => {
                self.walk_children_of(NodeRef::RangeTableFunc(table));
                self.derived(table.alias.as_ref().map_or("xmltable", |alias| &alias.aliasname), None);
            }
            Some(NodeEnum::JsonTable(table)) => {
                self.walk_children_of(NodeRef::JsonTable(table));
                self.derived(table.alias.as_ref().map_or("json_table", |alias| &alias.aliasname), None);
            }
            Some(_) => {
                self.walk_node(Some(node));
                self.unknown(Marks::NONE);
            }
            None => {}
        }
    }

    fn walk_children_of(&mut self, node: NodeRef<'t>) {
        let mut below = Vec::new();
        super::children::children(node, &mut |child| below.push(child));
        for child in below {
            self.walk(child);
        }
    }

    fn derived(&mut self, alias: &str, columns: Option<Vec<Name>>) {
        self.enter_source(alias, Source::Derived(columns));
    }

    /// TABLESAMPLE runs its method's handler; all but the built-in two are extensions'.
    fn sample_method(&mut self, method: &[Node]) {
        match names::strings(method).as_deref() {
            Some(["bernoulli" | "system"] | ["pg_catalog", "bernoulli" | "system"]) => {}
            Some([.., name]) => {
                let callee = self.standing.function(None, name);
                self.callee(&callee, name, Marks::NONE);
            }
            Some([]) | None => self.unknown(Marks::NONE),
        }
    }

    /// Reads a relation or WITH entry into the range table.
    pub(super) fn relation_item(&mut self, range: &'t RangeVar) {
        let alias = range.alias.as_ref();
        let shown = alias.map_or(range.relname.as_str(), |alias| alias.aliasname.as_str());
        if range.schemaname.is_empty() {
            let steps = &self.standing.steps;
            if !steps.take(1 + self.ctes.len() / 4) {
                return;
            }
            let cte = self.ctes.iter().rev().find(|cte| cte.node.ctename == range.relname);
            if let Some(columns) = cte.map(|cte| &cte.columns) {
                // Each mention keeps the names for itself.
                let names = columns.as_ref().map_or(0, Vec::len);
                let columns = columns.clone().filter(|_| steps.take(4 * names));
                return self.derived(shown, renamed(columns, alias));
            }
            if self.is_given(&range.relname) {
                return self.derived(shown, None);
            }
        }
        let place = self.place(range);
        self.enter_source(shown, Source::Relation(Box::new(reference(place, range, false))));
    }

    fn join(&mut self, join: &'t protobuf::JoinExpr) {
        let first = self.levels.last().map_or(0, |level| level.entries.len());
        if let Some(left) = join.larg.as_deref() {
            self.source_item(left);
        }
        let middle = self.levels.last().map_or(0, |level| level.entries.len());
        if let Some(right) = join.rarg.as_deref() {
            self.source_item(right);
        }
        self.walk_node(join.quals.as_deref());
        for name in names::strings(&join.using_clause).unwrap_or_default() {
            self.operator_use_equal();
            self.touch_column(name);
        }
        if join.is_natural {
            self.operator_use_equal();
            self.natural(first, middle);
        }
        for alias in [&join.alias, &join.join_using_alias].into_iter().flatten() {
            if !alias.colnames.is_empty() {
                // Renamed through an alias list: any of the columns may be meant by any of the names.
                let end = self.levels.last().map_or(first, |level| level.entries.len());
                self.enter_source(&alias.aliasname, Source::Join(first..end));
                self.touch_row(None, &alias.aliasname);
                if let Some(entry) = self.levels.last_mut().and_then(|level| level.entries.last_mut()) {
                    entry.source = Source::Derived(None);
                }
                continue;
            }
            let end = self.levels.last().map_or(first, |level| level.entries.len());
            self.enter_source(&alias.aliasname, Source::Join(first..end));
        }
    }

    fn operator_use_equal(&mut self) {
        for function in self.standing.operator(None, "=") {
            self.add(Action::Execute, Object::Function(function), Marks::NONE);
        }
    }

    /// NATURAL JOIN compares the columns that both sides have.
    fn natural(&mut self, first: usize, middle: usize) {
        let columns = |entries: &[Entry]| -> Option<Vec<Name>> {
            let mut all = Vec::new();
            for entry in entries {
                match &entry.source {
                    Source::Relation(reference) => {
                        let relation = reference.place.relation.as_ref()?;
                        if !reference.renamed.is_empty() {
                            return None;
                        }
                        all.extend(relation.columns.iter().map(|column| column.name.clone()));
                    }
                    Source::Derived(columns) => all.extend(columns.clone()?),
                    Source::Join(_) => {}
                }
            }
            Some(all)
        };
        let Some(level) = self.levels.last() else { return };
        let width: usize = level.entries.iter().skip(first).map(|entry| 1 + entry.width()).sum();
        if !self.standing.steps.take(2 * width) {
            return;
        }
        let left = level.entries.get(first..middle).and_then(columns);
        let right = level.entries.get(middle..).and_then(columns);
        match (left, right) {
            (Some(left), Some(right)) => {
                let right: HashSet<&Name> = right.iter().collect();
                for name in left.iter().filter(|name| right.contains(name)) {
                    self.touch_column(name.as_str());
                }
            }
            _ => self.touch_unknown(),
        }
    }
}

/// Whether an item of FROM is or holds a query.
fn holds_query(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::RangeSubselect(_)) => true,
        Some(NodeEnum::JoinExpr(join)) => [&join.larg, &join.rarg].into_iter().flatten().any(|side| holds_query(side)),
        Some(_) | None => false,
    }
}

/// A relation's entry in a range table.
pub(super) fn reference(place: Place, range: &RangeVar, target: bool) -> Reference {
    Reference {
        place,
        descends: range.inh,
        renamed: alias_columns(range.alias.as_ref()),
        used: ColumnSet::None,
        marks: Marks::NONE,
        target,
    }
}

/// Every column of a relation, where they are known.
pub(super) fn all_columns(place: &Place) -> ColumnSet {
    place.relation.as_ref().map_or(ColumnSet::Unknown, |relation| {
        ColumnSet::named(relation.columns.iter().map(|column| column.name.clone()))
    })
}

pub(super) fn is_star(fields: &[Node]) -> bool {
    matches!(fields.last().and_then(|field| field.node.as_ref()), Some(NodeEnum::AStar(_)))
}

/// `(expression).*`, whose columns are not known.
pub(super) fn is_row_star(value: Option<&NodeEnum>) -> bool {
    match value {
        Some(NodeEnum::AIndirection(indirection)) => is_star(&indirection.indirection),
        _ => false,
    }
}

/// What the server calls an output column that has no name of its own.
pub(super) fn output_name(value: Option<&NodeEnum>) -> &str {
    match value {
        Some(NodeEnum::ColumnRef(column)) => last(&column.fields),
        Some(NodeEnum::FuncCall(call)) => last(&call.funcname),
        Some(NodeEnum::AIndirection(indirection)) => match last(&indirection.indirection) {
            "?column?" => output_name(indirection.arg.as_deref().and_then(|arg| arg.node.as_ref())),
            field => field,
        },
        Some(NodeEnum::TypeCast(cast)) => match output_name(cast.arg.as_deref().and_then(|arg| arg.node.as_ref())) {
            "?column?" => cast.type_name.as_ref().map_or("?column?", |name| last(&name.names)),
            name => name,
        },
        Some(NodeEnum::CollateClause(collate)) => output_name(collate.arg.as_deref().and_then(|arg| arg.node.as_ref())),
        Some(NodeEnum::CaseExpr(_)) => "case",
        Some(NodeEnum::CoalesceExpr(_)) => "coalesce",
        Some(NodeEnum::AArrayExpr(_)) => "array",
        Some(NodeEnum::RowExpr(_)) => "row",
        _ => "?column?",
    }
}

pub(super) fn last(parts: &[Node]) -> &str {
    parts
        .iter()
        .rev()
        .find_map(|part| match &part.node {
            Some(NodeEnum::String(part)) => Some(part.sval.as_str()),
            _ => None,
        })
        .unwrap_or("?column?")
}

/// What a function in FROM is called when it has no alias.
pub(super) fn function_name(functions: &[Node]) -> &str {
    match functions.first().and_then(|list| list.node.as_ref()) {
        Some(NodeEnum::List(list)) => match list.items.first().and_then(|item| item.node.as_ref()) {
            Some(NodeEnum::FuncCall(call)) => last(&call.funcname),
            _ => "",
        },
        _ => "",
    }
}
