//! Whether an UPDATE or DELETE names its rows (DESIGN 2, `unbounded`), as far as the text alone can say.
//!
//! It does where a top-level AND term restricts a column of the target against something that is no column: a
//! comparison, a list, a range, a pattern that is not `%`, or a sub-query that is itself restricted. `1 = 1`, `id = id`,
//! `id * 0 = 0`, `TRUE`, EXISTS and `IS NOT NULL` do not. Where other tables are joined, only columns qualified by the
//! target count.

#![expect(clippy::wildcard_enum_match_arm, reason = "a form that is not listed does not restrict")]

use sqlparser::ast::{BinaryOperator, Expr, Query, SetExpr, UnaryOperator, Value, Visit, Visitor};
use std::ops::ControlFlow;

/// Whose columns count: any, or those qualified by one of these names.
pub(super) enum Target {
    Any,
    Named(Vec<String>),
}

impl Target {
    fn owns(&self, qualifier: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Named(names) => {
                qualifier.is_some_and(|qualifier| names.iter().any(|name| name.eq_ignore_ascii_case(qualifier)))
            }
        }
    }
}

/// Whether the condition names the rows of the target.
pub(super) fn bounded(condition: Option<&Expr>, target: &Target) -> bool {
    // AND chains may be as long as the text: no recursion along them
    let mut open: Vec<&Expr> = condition.into_iter().collect();
    while let Some(term) = open.pop() {
        match term {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => open.extend([&**left, &**right]),
            Expr::Nested(inner) => open.push(inner),
            term if restricts(term, target) => return true,
            _ => {}
        }
    }
    false
}

/// Whether a term that is no AND holds of some rows only.
fn restricts(term: &Expr, target: &Target) -> bool {
    match term {
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => either(left, right, target),
        Expr::BinaryOp { left, op, right } if compares(op) => {
            (owned(left, target) && fixed(right)) || (owned(right, target) && fixed(left))
        }
        Expr::IsNull(expr) | Expr::IsTrue(expr) | Expr::IsFalse(expr) => owned(expr, target),
        Expr::IsNotDistinctFrom(left, right) | Expr::IsDistinctFrom(left, right) => {
            (owned(left, target) && fixed(right)) || (owned(right, target) && fixed(left))
        }
        Expr::InList { expr, list, .. } => owned(expr, target) && list.iter().all(fixed),
        Expr::InSubquery { expr, subquery, negated: false } => owned(expr, target) && query_bounded(subquery),
        Expr::Between { expr, low, high, negated: false } => owned(expr, target) && fixed(low) && fixed(high),
        Expr::Like { expr, pattern, negated: false, .. } | Expr::ILike { expr, pattern, negated: false, .. } => {
            owned(expr, target) && fixed(pattern) && !matches_all(pattern)
        }
        Expr::SimilarTo { expr, pattern, negated: false, .. } | Expr::RLike { expr, pattern, negated: false, .. } => {
            owned(expr, target) && fixed(pattern) && !matches_all(pattern)
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => owned_column(expr, target),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => owned_column(term, target),
        _ => false,
    }
}

/// Both sides of an OR must restrict; chains of them are walked, not recursed along.
fn either(left: &Expr, right: &Expr, target: &Target) -> bool {
    let mut open = vec![left, right];
    while let Some(term) = open.pop() {
        match term {
            Expr::BinaryOp { left, op: BinaryOperator::Or, right } => open.extend([&**left, &**right]),
            Expr::Nested(inner) => open.push(inner),
            term if bounded_term(term, target) => {}
            _ => return false,
        }
    }
    true
}

fn bounded_term(term: &Expr, target: &Target) -> bool {
    match term {
        Expr::BinaryOp { op: BinaryOperator::And, .. } => bounded(Some(term), target),
        _ => restricts(term, target),
    }
}

const fn compares(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
            | BinaryOperator::Spaceship
            | BinaryOperator::Regexp
    )
}

fn query_bounded(query: &Query) -> bool {
    match &*query.body {
        SetExpr::Select(select) => select.from.is_empty() || bounded(select.selection.as_ref(), &Target::Any),
        SetExpr::Values(_) => true,
        _ => false,
    }
}

fn matches_all(pattern: &Expr) -> bool {
    match pattern {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => {
                text.trim_matches(['%', '_', '.', '*', '^', '$']).is_empty()
            }
            _ => false,
        },
        _ => false,
    }
}

/// A column of the target by itself.
fn owned_column(expr: &Expr, target: &Target) -> bool {
    match expr {
        Expr::Identifier(ident) => target.owns(None) && is_column(&ident.value),
        Expr::CompoundIdentifier(parts) => {
            let qualifier = parts.len().checked_sub(2).and_then(|at| parts.get(at));
            target.owns(qualifier.map(|ident| ident.value.as_str()))
        }
        Expr::Nested(inner) => owned_column(inner, target),
        _ => false,
    }
}

/// Constants that a parser takes for identifiers, and variables.
fn is_column(name: &str) -> bool {
    !name.starts_with('@') && !["true", "false", "null", "current_user"].contains(&name.to_ascii_lowercase().as_str())
}

/// What stands in an expression.
#[derive(Default)]
struct Contents<'t> {
    target: Option<&'t Target>,
    columns: usize,
    owned: usize,
    queries: usize,
}

impl Visitor for Contents<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        // a sub-query that is restricted is as good as a constant, any other may hold every row
        if query_bounded(query) {
            ControlFlow::Continue(())
        } else {
            self.queries += 1;
            ControlFlow::Break(())
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let column = match expr {
            Expr::Identifier(ident) => is_column(&ident.value),
            Expr::CompoundIdentifier(_) | Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => true,
            _ => false,
        };
        self.columns += usize::from(column);
        self.owned += usize::from(column && self.target.is_some_and(|target| owned_column(expr, target)));
        ControlFlow::Continue(())
    }
}

/// Whether an expression is of one column of the target: itself, a function of it, or it and a constant added.
fn owned(expr: &Expr, target: &Target) -> bool {
    if let Expr::BinaryOp { op, .. } = expr
        && !matches!(op, BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::StringConcat)
    {
        return false;
    }
    let mut contents = Contents { target: Some(target), ..Contents::default() };
    let whole = expr.visit(&mut contents).is_continue();
    whole && contents.owned == 1 && contents.columns == 1
}

/// Whether an expression is the same for every row: a constant, a parameter, or a restricted sub-query.
fn fixed(expr: &Expr) -> bool {
    if let Expr::Subquery(query) = expr {
        return query_bounded(query);
    }
    let mut contents = Contents::default();
    let whole = expr.visit(&mut contents).is_continue();
    whole && contents.columns == 0 && contents.queries == 0
}
