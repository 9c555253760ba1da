//! How an expression stands for a column of the item that is to be restricted.
//!
//! A closed list: the column itself, casts and computations of it that keep values apart, and built-in functions for
//! which an equality of the result restricts the column. Whatever is not listed stands for nothing.
//! Held by: `fixtures/sql/bounds.tsv`.

use super::terms::{Term, number};
use crate::postgres::names;
use pg_query::NodeEnum;
use pg_query::protobuf::{self, AExpr, AExprKind, Node};

/// How an expression stands for a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The column itself, casts aside.
    Plain,
    /// A day or period of it: ranges of it are ranges of the column.
    Period,
    /// A function of it for which only equalities restrict.
    Other,
    /// The row's place: only equalities restrict.
    Place,
}

/// Functions of a column for which an equality restricts the column.
const WRAPPERS: [&str; 15] = [
    "lower",
    "upper",
    "btrim",
    "ltrim",
    "rtrim",
    "md5",
    "date_part",
    "extract",
    "length",
    "char_length",
    "to_char",
    "coalesce",
    "initcap",
    "sha256",
    "timezone",
];

impl<'t> Term<'_, '_, '_, 't> {
    /// How the expression stands for a column of the item, if it does.
    pub(super) fn shape(&mut self, node: &'t Node) -> Option<Shape> {
        match node.node.as_ref()? {
            NodeEnum::ColumnRef(column) => match self.resolve(&column.fields)? {
                (at, "ctid") if at == self.at => Some(Shape::Place),
                (at, "tableoid" | "xmin" | "xmax" | "cmin" | "cmax") if at == self.at => None,
                (at, _) if at == self.at => Some(Shape::Plain),
                _ => None,
            },
            NodeEnum::TypeCast(cast) => self.cast_shape(cast),
            NodeEnum::CollateClause(collate) => self.shape(collate.arg.as_deref()?),
            NodeEnum::CoalesceExpr(coalesce) => {
                let (first, rest) = coalesce.args.split_first()?;
                let owned = self.shape(first).is_some() && rest.iter().all(|arg| self.settled(arg));
                owned.then_some(Shape::Other)
            }
            NodeEnum::AIndirection(indirection) => self.shape(indirection.arg.as_deref()?).map(|_| Shape::Other),
            NodeEnum::FuncCall(call) => self.wrapped(call),
            NodeEnum::AExpr(operation) => self.computed(operation),
            _ => None,
        }
    }

    /// A cast keeps what a column is, except to a type that cannot tell values apart.
    fn cast_shape(&mut self, cast: &'t protobuf::TypeCast) -> Option<Shape> {
        let shape = self.shape(cast.arg.as_deref()?)?;
        let parts = names::strings(&cast.type_name.as_ref()?.names)?;
        let typmods = cast.type_name.as_ref().is_some_and(|name| !name.typmods.is_empty());
        match *parts.last()? {
            // `x::varchar(0)` and `x::char(1)` of a long value, `x::bool` of a number: fewer values than rows.
            _ if typmods => Some(Shape::Other),
            "bool" | "regclass" | "void" | "unknown" => None,
            "date" if shape == Shape::Plain => Some(Shape::Period),
            _ => Some(shape),
        }
    }

    fn wrapped(&mut self, call: &'t protobuf::FuncCall) -> Option<Shape> {
        let parts = names::strings(&call.funcname)?;
        let name = *parts.last()?;
        if parts.len() > 1 && parts.first() != Some(&names::CATALOGUE) {
            return None;
        }
        let owned = call.args.iter().filter(|arg| self.shape(arg).is_some()).count();
        let rest = call.args.iter().filter(|arg| self.settled(arg)).count();
        if owned != 1 || owned + rest != call.args.len() || call.over.is_some() || !self.is_builtin(name) {
            return None;
        }
        match name {
            "date_trunc" | "date" => Some(Shape::Period),
            _ if WRAPPERS.contains(&name) && !(name == "to_char" && call.args.len() != 2) => Some(Shape::Other),
            _ => None,
        }
    }

    fn computed(&mut self, operation: &'t AExpr) -> Option<Shape> {
        if operation.kind() != AExprKind::AexprOp {
            return None;
        }
        let (left, right) = (operation.lexpr.as_deref()?, operation.rexpr.as_deref()?);
        let symbol = names::strings(&operation.name)?;
        match symbol.as_slice() {
            ["->" | "->>" | "#>" | "#>>" | "+" | "-"] if self.settled(right) => self.shape(left).map(|_| Shape::Other),
            ["%"] if number(right).is_some_and(|value| value.abs() > 1.0) => self.shape(left).map(|_| Shape::Other),
            ["||"] if self.settled(right) => self.shape(left).map(|_| Shape::Other),
            ["||" | "+"] if self.settled(left) => self.shape(right).map(|_| Shape::Other),
            _ => None,
        }
    }
}
