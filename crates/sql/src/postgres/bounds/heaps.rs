//! Values that hold more than their row has: an aggregate of rows that only a LIMIT counts is one row, and may have
//! every key in it. Such a value is compared as a whole; what takes it apart is not settled.
//!
//! Promises: what is not certainly a column, a constant or a computation of those is taken for one.
//! Held by: `fixtures/sql/bounds.tsv`.

use super::terms::{Term, has_dots};
use super::{Problem, Solver};
use crate::postgres::children::children;
use crate::postgres::notation;
use crate::postgres::query::is_star;
use pg_query::protobuf::{ColumnRef, Node};
use pg_query::{NodeEnum, NodeRef};

impl<'t> Solver<'_, '_, 't> {
    /// Whether a value of the expression may hold more than the rows that it is of.
    pub(super) fn heaps(&mut self, problem: &Problem<'t>, node: &'t Node) -> bool {
        let Some(node) = &node.node else { return false };
        Term { solver: self, problem, at: usize::MAX }.heaps(node.to_ref())
    }
}

impl<'t> Term<'_, '_, '_, 't> {
    /// As [`Solver::heaps`]: whether a query, or a column that heaps, is anywhere in it.
    pub(super) fn heaps(&self, node: NodeRef<'t>) -> bool {
        if !self.solver.step(1) {
            return true;
        }
        match node {
            NodeRef::ColumnRef(column) => self.is_heaped(column),
            NodeRef::SubLink(_) | NodeRef::SelectStmt(_) => true,
            _ => {
                let mut found = false;
                let known = children(node, &mut |child| found = found || self.heaps(child));
                found || !known
            }
        }
    }

    fn is_heaped(&self, column: &'t ColumnRef) -> bool {
        if self.is_variable(&column.fields) {
            return false;
        }
        if is_star(&column.fields) {
            return self.problem.items.iter().any(|item| item.columns.heaped(None));
        }
        self.resolve(&column.fields)
            .and_then(|(at, name)| {
                let columns = &self.problem.items.get(at)?.columns;
                // `t.array_agg` gathers rows, if it is no column.
                let gathers = column.fields.len() > 1 && notation::gathers_rows(name);
                Some(columns.heaped(Some(name)) || (gathers && columns.knows(name) != Some(true)))
            })
            .unwrap_or(true)
    }
}

/// Whether an output is made of the values of its row alone: nothing in it gathers rows.
pub(super) fn is_plain(node: &Node) -> bool {
    let below = |node: Option<&Node>| node.is_none_or(is_plain);
    match &node.node {
        Some(NodeEnum::ResTarget(target)) => below(target.val.as_deref()),
        Some(NodeEnum::ColumnRef(_) | NodeEnum::AConst(_) | NodeEnum::ParamRef(_) | NodeEnum::SqlvalueFunction(_)) => {
            true
        }
        Some(NodeEnum::TypeCast(cast)) => below(cast.arg.as_deref()),
        Some(NodeEnum::CollateClause(collate)) => below(collate.arg.as_deref()),
        // Behind a dot may stand an aggregate: `(id).array_agg`.
        Some(NodeEnum::AIndirection(indirection)) => !has_dots(indirection) && below(indirection.arg.as_deref()),
        Some(NodeEnum::AExpr(operation)) => below(operation.lexpr.as_deref()) && below(operation.rexpr.as_deref()),
        Some(NodeEnum::CoalesceExpr(coalesce)) => coalesce.args.iter().all(is_plain),
        Some(_) | None => false,
    }
}
