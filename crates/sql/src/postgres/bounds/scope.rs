//! Whose column a name is, and whether a query refers to anything around it.
//!
//! Names of a query come before those of the queries around it. Promises: a name is an item's only where the item is
//! known to have it, or where no item around is known to have it; behind an item's name, only where it is no call of a
//! function with the whole row. Does not promise that without a catalogue, where any table may have any column that is
//! not called like a function of any row. Held by: `fixtures/sql/bounds.tsv`.

use super::columns::Columns;
use super::given::bare;
use super::settled::UNSETTLED;
use super::terms::Term;
use super::{Item, Problem, Solver};
use crate::postgres::children::children;
use crate::postgres::query::is_star;
use crate::postgres::{names, notation};
use pg_query::protobuf::{self, CommonTableExpr, Node};
use pg_query::{NodeEnum, NodeRef};
use portcullis_model::catalogue::Oid;

/// Whose a bare name is, among the items of one query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Known(usize),
    /// Of the only one that may have it.
    Likely(usize),
    /// Of one of them, or perhaps not.
    Doubtful,
    Nobody,
}

fn owner<'i, 't: 'i>(items: impl Iterator<Item = (usize, &'i Columns<'t>)>, name: &str) -> Owner {
    let (mut has, mut unsure) = (Vec::new(), Vec::new());
    for (at, columns) in items {
        match columns.knows(name) {
            Some(true) => has.push(at),
            Some(false) => {}
            None => unsure.push(at),
        }
    }
    match (has.as_slice(), unsure.as_slice()) {
        ([at], []) => Owner::Known(*at),
        ([], [at]) => Owner::Likely(*at),
        ([], []) => Owner::Nobody,
        _ => Owner::Doubtful,
    }
}

/// The steps of looking a name up in all of these.
fn looks<'i, 't: 'i>(items: impl Iterator<Item = &'i Columns<'t>>) -> usize {
    items.map(|columns| 1 + columns.width() / 16).sum()
}

impl<'t> Solver<'_, '_, 't> {
    /// Whether a query around has the name; `opaque`: or may have it.
    fn is_around(&self, name: &str, opaque: bool) -> bool {
        if !self.step(1 + looks(self.around.iter().flatten())) {
            return true;
        }
        self.around.iter().flatten().any(|columns| match columns.knows(name) {
            Some(has) => has,
            None => opaque,
        })
    }

    /// Whether the entries of a WITH are in sight.
    fn is_within(&self, with: &protobuf::WithClause) -> bool {
        let Some(NodeEnum::CommonTableExpr(first)) = with.ctes.first().and_then(|first| first.node.as_ref()) else {
            return false;
        };
        self.ctes.iter().any(|entry| !entry.later && std::ptr::eq(entry.node, &**first))
    }

    /// Whether the query refers to nothing but its own items; `steady`: and gives the same each time.
    pub(super) fn uncorrelated(&mut self, select: &'t protobuf::SelectStmt, steady: bool) -> bool {
        Walk { solver: self, levels: Vec::new(), entered: Vec::new(), steady }.own(NodeRef::SelectStmt(select))
    }
}

/// A walk through a query, with the items of the queries in it.
struct Walk<'x, 'r, 's, 't> {
    solver: &'x mut Solver<'r, 's, 't>,
    levels: Vec<Vec<Item<'t>>>,
    /// WITH entries being walked.
    entered: Vec<&'t CommonTableExpr>,
    steady: bool,
}

impl<'t> Walk<'_, '_, '_, 't> {
    fn own(&mut self, node: NodeRef<'t>) -> bool {
        if !self.solver.spend() {
            return false;
        }
        match node {
            NodeRef::ColumnRef(column) => self.has(&column.fields),
            NodeRef::SelectStmt(select) => {
                let with = select.with_clause.as_ref();
                // Whoever asks about a query is in its WITH already.
                let known = with.is_some_and(|with| self.solver.is_within(with));
                let before = self.solver.enter_with(with.filter(|_| !known));
                let problem = self.solver.solved(select);
                self.levels.push(problem.items);
                let own = self.below(node);
                self.levels.pop();
                self.solver.ctes.truncate(before);
                own
            }
            // These do not see the items beside them.
            NodeRef::RangeSubselect(sub) if !sub.lateral => self.outside(node),
            NodeRef::CommonTableExpr(cte) => {
                let entries = &self.solver.ctes;
                let known = entries.iter().rposition(|entry| !entry.later && std::ptr::eq(entry.node, cte));
                let Some(at) = known else { return false };
                // Names in it mean what they mean there, not what they mean behind the whole WITH.
                let hidden = self.solver.hide(at);
                let own = self.outside(node);
                self.solver.unhide(hidden);
                own
            }
            NodeRef::RangeVar(range) => self.entry(range) && self.below(node),
            NodeRef::FuncCall(call) if self.steady => {
                let name = names::strings(&call.funcname).and_then(|parts| parts.last().copied());
                name.is_some_and(|name| !UNSETTLED.contains(&name)) && self.below(node)
            }
            _ => self.below(node),
        }
    }

    fn below(&mut self, node: NodeRef<'t>) -> bool {
        let mut below = Vec::new();
        children(node, &mut |child| below.push(child)) && below.into_iter().all(|child| self.own(child))
    }

    fn outside(&mut self, node: NodeRef<'t>) -> bool {
        let level = self.levels.pop();
        let own = self.below(node);
        self.levels.extend(level);
        own
    }

    /// A WITH entry may itself refer to what is around it.
    fn entry(&mut self, range: &'t protobuf::RangeVar) -> bool {
        let Some(at) = self.solver.cte_named(range) else { return true };
        let Some(entry) = self.solver.ctes.get(at).copied().filter(|entry| !entry.later) else { return false };
        if self.entered.iter().any(|entered| std::ptr::eq(*entered, entry.node)) {
            return true;
        }
        let Some(query) = entry.node.ctequery.as_deref().and_then(|query| query.node.as_ref()) else { return false };
        self.entered.push(entry.node);
        let levels = std::mem::take(&mut self.levels);
        let hidden = self.solver.hide(at);
        let own = self.own(query.to_ref());
        self.solver.unhide(hidden);
        self.levels = levels;
        self.entered.pop();
        own
    }

    fn has(&self, fields: &'t [Node]) -> bool {
        if !self.solver.step(1 + looks(self.levels.iter().flatten().map(|item| &item.columns))) {
            return false;
        }
        let Some(parts) = names::strings(fields) else {
            let alias = names::strings(fields.get(..fields.len().saturating_sub(1)).unwrap_or_default());
            return is_star(fields) && alias.is_some_and(|parts| parts.last().is_none_or(|alias| self.is_alias(alias)));
        };
        match parts.as_slice() {
            [] => false,
            [name] => self.is_name(name),
            [.., alias, _] => self.is_alias(alias),
        }
    }

    fn is_alias(&self, alias: &str) -> bool {
        self.levels.iter().flatten().any(|item| item.alias == alias)
    }

    fn is_name(&self, name: &str) -> bool {
        for level in self.levels.iter().rev() {
            match owner(level.iter().map(|item| &item.columns).enumerate(), name) {
                Owner::Known(_) => return true,
                Owner::Likely(_) | Owner::Doubtful => {
                    let opaque = level.iter().any(|item| item.columns.is_opaque());
                    return !self.solver.is_around(name, opaque)
                        || level.iter().any(|item| item.columns.knows(name) == Some(true));
                }
                Owner::Nobody if level.iter().any(|item| item.alias == name) => return true,
                Owner::Nobody => {}
            }
        }
        // A variable of a code block is given like a parameter.
        self.solver.standing.is_variable(name) && !self.solver.is_around(name, true)
    }
}

impl<'t> Term<'_, '_, '_, 't> {
    /// The item that a column reference means, and the column's name. `None` where that is not certain.
    pub(super) fn resolve(&self, fields: &'t [Node]) -> Option<(usize, &'t str)> {
        let parts = names::strings(fields)?;
        match parts.as_slice() {
            // Which of the two a name means is a setting of the server.
            [name] if self.solver.standing.is_variable(name) => None,
            [name] => self.bare_column(name).map(|at| (at, *name)),
            [alias, name] => self.called(None, alias).filter(|at| self.has_column(*at, name)).map(|at| (at, *name)),
            [.., schema, alias, name] => {
                self.called(Some(schema), alias).filter(|at| self.has_column(*at, name)).map(|at| (at, *name))
            }
            [] => None,
        }
    }

    /// Whether the name behind an item's is a column of it, and no function of the whole row: `o.pg_typeof`.
    fn has_column(&self, at: usize, name: &str) -> bool {
        let Some(item) = self.problem.items.get(at) else { return false };
        if !self.solver.step(looks(std::iter::once(&item.columns))) {
            return false;
        }
        match (&item.columns, item.columns.knows(name)) {
            // What a rule's action is given may have any column.
            (Columns::Qualified, _) | (_, None) => !self.solver.standing.may_take_row(name),
            (_, Some(has)) => has,
        }
    }

    /// Whether an aggregate or another function is called anywhere in it, written as a column of an item.
    pub(super) fn calls_of_rows(&self, node: NodeRef<'t>) -> bool {
        if !self.solver.step(1) {
            return true;
        }
        let mut found = match node {
            NodeRef::ColumnRef(column) => self.is_call_of_row(&column.fields),
            _ => false,
        };
        let known = children(node, &mut |child| found = found || self.calls_of_rows(child));
        found || !known
    }

    fn is_call_of_row(&self, fields: &'t [Node]) -> bool {
        let at = match names::strings(fields).as_deref() {
            Some([alias, _]) => self.called(None, alias),
            Some([.., schema, alias, _]) => self.called(Some(schema), alias),
            Some(_) | None => None,
        };
        let gathers = || {
            self.resolve(fields).is_none_or(|(at, name)| {
                let item = self.problem.items.get(at);
                notation::gathers_rows(name) && item.is_none_or(|item| item.columns.knows(name) != Some(true))
            })
        };
        at.is_some() && gathers()
    }

    /// Whether the name is a variable of a code block for certain: it is given like a parameter.
    pub(super) fn is_variable(&self, fields: &'t [Node]) -> bool {
        let Some(parts) = names::strings(fields) else { return false };
        let Some(first) = parts.first().filter(|first| self.solver.standing.is_variable(first)) else { return false };
        if !self.solver.step(self.problem.items.len()) {
            return false;
        }
        self.problem
            .items
            .iter()
            .all(|item| item.alias != *first && item.schema != *first && item.columns.knows(first) == Some(false))
    }

    fn called(&self, schema: Option<&str>, alias: &str) -> Option<usize> {
        if !self.solver.step(1 + self.problem.items.len() / 4) {
            return None;
        }
        let matching = |outer: bool| {
            self.problem.items.iter().position(|item| {
                item.outer == outer
                    && item.alias == alias
                    && schema.is_none_or(|schema| item.schema == schema || item.schema.is_empty())
            })
        };
        matching(false).or_else(|| matching(true))
    }

    fn bare_column(&self, name: &str) -> Option<usize> {
        let Problem { items, seen_as, .. } = self.problem;
        if !self.solver.step(1 + looks(items.iter().map(|item| &item.columns))) {
            return None;
        }
        let inner = || items.iter().enumerate().filter(|(_, item)| !item.outer);
        match owner(inner().map(|(at, item)| (at, &item.columns)), name) {
            Owner::Known(at) => Some(at),
            // The slip of a name that the query does not have, and the one around does.
            Owner::Likely(at) => {
                let opaque = items.get(at).is_none_or(|item| item.columns.is_opaque());
                (!self.solver.is_around(name, opaque)).then_some(at)
            }
            Owner::Doubtful => None,
            // The whole row of an item.
            Owner::Nobody if inner().any(|(_, item)| item.alias == name) => None,
            // Not a column of the query itself: of the item of the one around that stands last here.
            Owner::Nobody => {
                let seen_as = (*seen_as)?;
                match owner(self.solver.around.last()?.iter().enumerate(), name) {
                    Owner::Known(at) | Owner::Likely(at) if at == seen_as => items.iter().rposition(|item| item.outer),
                    Owner::Known(_) | Owner::Likely(_) | Owner::Doubtful | Owner::Nobody => None,
                }
            }
        }
    }

    pub(super) fn column_type(&self, node: &'t Node) -> Option<Oid> {
        let Some(pg_query::NodeEnum::ColumnRef(column)) = &bare(node).node else { return None };
        let (at, name) = self.resolve(&column.fields)?;
        self.problem.items.get(at)?.columns.type_oid(name)
    }
}
