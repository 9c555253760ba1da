//! WHERE, term by term, and constants that may be values of a column.
//!
//! A term `column = constant` at the top of a WHERE is an [`Usage::Equality`]; everything else in it is a condition.
//! Constants and parameters beside a column, in any comparison or in the place of its new value, are [`Bound`] to it,
//! so that a record can hide them. Promises: an equality has one column, unchanged, and the server's own `=`; a bound
//! place is the whole literal. Does not promise to bind what is computed from a constant in another clause.
//! Held by: `fixtures/sql/lineage.tsv`.

use super::flow::Value;
use super::operator::is_constant;
use super::{Tracer, Used};
use crate::lexical;
use crate::postgres::names::{self, CATALOGUE};
use pg_query::NodeEnum;
use pg_query::protobuf::{AExpr, AExprKind, BoolExprType, Node};
use portcullis_model::{Bound, ColumnId, Place, Usage};

/// Columns of one side of a comparison that constants of the other side are bound to, at most.
const BESIDE: usize = 4;

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
        let Some(node) = node.and_then(|node| node.node.as_ref()) else { return };
        if self.bound.len() >= BOUND {
            return;
        }
        match node {
            NodeEnum::AConst(constant) if !constant.isnull => {
                let at = usize::try_from(constant.location).ok();
                if let Some(span) = at.and_then(|at| lexical::literal(self.text, at)) {
                    self.place(columns, &Place::Text(span));
                }
            }
            NodeEnum::ParamRef(parameter) => {
                if let Ok(number) = u32::try_from(parameter.number) {
                    self.place(columns, &Place::Parameter(number));
                }
            }
            NodeEnum::TypeCast(cast) => self.bind(columns, cast.arg.as_deref()),
            NodeEnum::CollateClause(collate) => self.bind(columns, collate.arg.as_deref()),
            NodeEnum::List(list) => self.bind_all(columns, &list.items),
            NodeEnum::AArrayExpr(array) => self.bind_all(columns, &array.elements),
            NodeEnum::RowExpr(row) => self.bind_all(columns, &row.args),
            NodeEnum::FuncCall(call) => self.bind_all(columns, &call.args),
            NodeEnum::AExpr(expression) => {
                self.bind(columns, expression.lexpr.as_deref());
                self.bind(columns, expression.rexpr.as_deref());
            }
            _ => {}
        }
    }

    fn bind_all(&mut self, columns: &[ColumnId], nodes: &'t [Node]) {
        for node in nodes {
            self.bind(columns, Some(node));
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
