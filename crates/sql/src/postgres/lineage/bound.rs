//! WHERE, term by term, and constants that may be values of a column.
//!
//! A term `column = constant` at the top of a WHERE is an [`Usage::Equality`]; everything else in it is a condition.
//! Constants and parameters beside a column, in any comparison or in the place of its new value, are [`Bound`] to it,
//! so that a record can hide them. Promises: an equality has one column, unchanged, and the server's own `=`; a bound
//! place is the whole literal; whatever passes a constant on (`coalesce`, CASE, a subquery's list) does not hide it. Does not
//! promise to bind what is computed from a constant in another clause.
//! Held by: `fixtures/sql/lineage.tsv`.

use super::flow::Value;
use super::operator::is_constant;
use super::{Tracer, Used};
use crate::lexical;
use crate::postgres::children::children;
use crate::postgres::expression::inner;
use crate::postgres::names::{self, CATALOGUE};
use pg_query::protobuf::{AExpr, AExprKind, BoolExprType, Node, SelectStmt};
use pg_query::{NodeEnum, NodeRef};
use portcullis_model::{Bound, ColumnId, Place, Usage};

/// Columns of one side of a comparison that constants of the other side are bound to, at most.
pub(super) const BESIDE: usize = 4;

/// Values bound in one statement, at most: beyond that the text is data, not a question.
const BOUND: usize = 65_536;

impl<'t> Tracer<'_, 't> {
    /// WHERE.
    pub(super) fn filter(&mut self, node: Option<&'t Node>) {
        match node.and_then(|node| node.node.as_ref()) {
            Some(NodeEnum::BoolExpr(terms)) if terms.boolop() == BoolExprType::AndExpr => {
                for term in &terms.args {
                    self.filter(Some(term));
                }
            }
            Some(NodeEnum::AExpr(expression)) => {
                if !self.equality(expression) {
                    self.decides(node);
                }
            }
            _ => self.decides(node),
        }
    }

    /// Notes `column = constant`; false where it is not that.
    fn equality(&mut self, expression: &'t AExpr) -> bool {
        if expression.kind() != AExprKind::AexprOp {
            return false;
        }
        let schema = match names::strings(&expression.name).as_deref() {
            Some(["="]) => None,
            Some([CATALOGUE, "="]) => Some(CATALOGUE),
            _ => return false,
        };
        let (column, constant) = match (expression.lexpr.as_deref(), expression.rexpr.as_deref()) {
            (Some(column), constant) if is_column(column) && is_constant(constant) => (column, constant),
            (constant, Some(column)) if is_column(column) && is_constant(constant) => (column, constant),
            _ => return false,
        };
        let value = self.value(Some(column));
        let Some(id) = value.column() else { return false };
        let beside = self.value(constant);
        if !beside.flow.is_none() || !self.user_operators(schema, "=", &[&value, &beside]).is_empty() {
            return false;
        }
        self.bind(&[id], constant);
        self.uses.push(Used { flow: value.flow, usage: Usage::Equality });
        true
    }

    /// Binds the constants of a comparison to the columns on its other side.
    pub(super) fn compared(&mut self, expression: &'t AExpr, left: &Value, right: &Value) {
        let compares = match expression.kind() {
            AExprKind::Undefined | AExprKind::AexprNullif => false,
            AExprKind::AexprOp => names::strings(&expression.name)
                .and_then(|parts| parts.last().map(|symbol| is_comparison(symbol)))
                .unwrap_or(false),
            AExprKind::AexprOpAny
            | AExprKind::AexprOpAll
            | AExprKind::AexprDistinct
            | AExprKind::AexprNotDistinct
            | AExprKind::AexprIn
            | AExprKind::AexprLike
            | AExprKind::AexprIlike
            | AExprKind::AexprSimilar
            | AExprKind::AexprBetween
            | AExprKind::AexprNotBetween
            | AExprKind::AexprBetweenSym
            | AExprKind::AexprNotBetweenSym => true,
        };
        if !compares {
            return;
        }
        for (side, other) in [(left, &expression.rexpr), (right, &expression.lexpr)] {
            let columns: Vec<_> = side.flow.columns().iter().copied().take(BESIDE).collect();
            if !columns.is_empty() {
                self.bind(&columns, other.as_deref());
            }
        }
    }

    /// Binds every constant and parameter of an expression to these columns.
    pub(super) fn bind(&mut self, columns: &[ColumnId], node: Option<&'t Node>) {
        if let Some(node) = inner(node) {
            self.bind_below(columns, node);
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a constant may be given on by whatever stands around it")]
    fn bind_below(&mut self, columns: &[ColumnId], node: NodeRef<'t>) {
        // What stands in several comparisons, one in another, is looked through for each.
        if self.bound.len() >= BOUND || !self.standing.steps.take(1) {
            return;
        }
        match node {
            NodeRef::AConst(constant) if !constant.isnull => {
                let at = usize::try_from(constant.location).ok();
                if let Some(span) = at.and_then(|at| lexical::literal(self.text, at)) {
                    self.place(columns, &Place::Text(span));
                }
            }
            NodeRef::ParamRef(parameter) => {
                if let Ok(number) = u32::try_from(parameter.number) {
                    self.place(columns, &Place::Parameter(number));
                }
            }
            NodeRef::TypeName(_) => {}
            NodeRef::SelectStmt(select) => self.bind_given(columns, select),
            // Its results; what it tests is bound to what it is compared with.
            NodeRef::CaseExpr(case) => {
                case.args.iter().for_each(|when| self.bind(columns, Some(when)));
                self.bind(columns, case.defresult.as_deref());
            }
            NodeRef::CaseWhen(when) => self.bind(columns, when.result.as_deref()),
            _ => {
                let mut nodes = Vec::new();
                children(node, &mut |child| nodes.push(child));
                nodes.into_iter().for_each(|node| self.bind_below(columns, node));
            }
        }
    }

    /// Binds what a query gives; what it looks for is bound to what it is compared with.
    fn bind_given(&mut self, columns: &[ColumnId], select: &'t SelectStmt) {
        for node in select.target_list.iter().chain(&select.values_lists) {
            self.bind(columns, Some(node));
        }
        for arm in [&select.larg, &select.rarg].into_iter().flatten() {
            self.bind_given(columns, arm);
        }
    }

    fn place(&mut self, columns: &[ColumnId], place: &Place) {
        self.bound.extend(columns.iter().map(|column| Bound { column: *column, place: place.clone() }));
    }
}

fn is_column(node: &Node) -> bool {
    matches!(node.node, Some(NodeEnum::ColumnRef(_)))
}

/// Operators whose sides may be values of the same column, or patterns of them.
fn is_comparison(symbol: &str) -> bool {
    matches!(
        symbol,
        "=" | "<>"
            | "<"
            | ">"
            | "<="
            | ">="
            | "~"
            | "~*"
            | "!~"
            | "!~*"
            | "~~"
            | "~~*"
            | "!~~"
            | "!~~*"
            | "^@"
            | "@>"
            | "<@"
            | "&&"
            | "@@"
            | "?"
            | "?|"
            | "?&"
            | "%"
    )
}
