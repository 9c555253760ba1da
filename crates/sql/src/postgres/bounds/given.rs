//! What a column is compared with: patterns, containers, searches and ends of ranges that certainly leave something out.
//!
//! A closed list: constants that do, parameters, times, and a few functions of those. What is computed in another way may
//! match everything. Held by: `fixtures/sql/bounds.tsv`.

use super::pattern::{self, Held, Side};
use super::terms::Term;
use crate::postgres::expression::constant;
use crate::postgres::names;
use crate::postgres::query::last;
use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, Node, a_const};

/// Functions of a time, and those that make one.
const TIMES: [&str; 15] = [
    "age",
    "date",
    "date_part",
    "date_trunc",
    "extract",
    "make_date",
    "make_interval",
    "make_timestamp",
    "make_timestamptz",
    "now",
    "statement_timestamp",
    "timezone",
    "to_date",
    "to_timestamp",
    "transaction_timestamp",
];

const RANGES: [&str; 6] = ["daterange", "int4range", "int8range", "numrange", "tsrange", "tstzrange"];

/// Types whose constants look like ranges and are none.
const GEOMETRIC: [&str; 6] = ["box", "circle", "lseg", "path", "point", "polygon"];

/// The largest number that leaves what it is added to apart: a much larger one absorbs a float.
const ADDED: f64 = 1e6;

/// The type id of `jsonb`.
pub(super) const JSONB: u32 = 3802;

impl<'t> Term<'_, '_, '_, 't> {
    /// A container that leaves something out, as far as its text tells. What is computed may be empty.
    pub(super) fn container(&mut self, node: &'t Node, held: Held) -> bool {
        if let Some(text) = constant(Some(node)) {
            let apart = is_cast_to(node, &GEOMETRIC) || pattern::range_restricts(text, held);
            return apart && pattern::container_restricts(text);
        }
        match &bare(node).node {
            Some(NodeEnum::AArrayExpr(array)) => {
                !array.elements.is_empty() && array.elements.iter().all(|element| self.given(element))
            }
            Some(NodeEnum::FuncCall(call)) => {
                let parts = names::strings(&call.funcname).unwrap_or_default();
                match (parts.last().copied().unwrap_or_default(), call.args.as_slice()) {
                    (name, _) if parts.len() > 1 || !self.is_builtin(name) => false,
                    ("jsonb_build_object", args @ [_, _, ..]) => args
                        .iter()
                        .all(|arg| self.given(arg) && constant(Some(arg)).is_none_or(pattern::container_restricts)),
                    (name, [low, high, bounds @ ..]) if RANGES.contains(&name) => {
                        self.moment(low) && self.moment(high) && !same(low, high) && spans(low, high, bounds, held)
                    }
                    _ => self.moment(node),
                }
            }
            Some(_) => self.given(node) || self.moment(node),
            None => false,
        }
    }

    /// A text search that asks for a word. What a path in JSON asks for is not told.
    pub(super) fn search(&mut self, column: &'t Node, query: &'t Node) -> bool {
        if !self.apart(column) || self.column_type(column) == Some(JSONB) {
            return false;
        }
        if let Some(text) = constant(Some(query)) {
            return pattern::search_restricts(text);
        }
        match &bare(query).node {
            Some(NodeEnum::FuncCall(call)) => {
                let name = names::strings(&call.funcname).and_then(|parts| parts.last().copied()).unwrap_or_default();
                let restricts: fn(&str) -> bool = match name {
                    "to_tsquery" => pattern::search_restricts,
                    "websearch_to_tsquery" => pattern::web_search_restricts,
                    "plainto_tsquery" | "phraseto_tsquery" => |text| !text.trim().is_empty(),
                    _ => return false,
                };
                let word = |arg: &Node| constant(Some(arg)).map_or_else(|| is_parameter(arg), restricts);
                self.is_builtin(name) && self.settled(query) && call.args.last().is_some_and(word)
            }
            Some(_) => is_parameter(query),
            None => false,
        }
    }

    /// A constant, a parameter, or a variable of a code block: a single value.
    pub(super) fn given(&self, node: &'t Node) -> bool {
        match &node.node {
            Some(NodeEnum::AConst(value)) => !value.isnull,
            Some(NodeEnum::ParamRef(_)) => true,
            Some(NodeEnum::ColumnRef(column)) => self.is_variable(&column.fields),
            Some(NodeEnum::TypeCast(cast)) => {
                let array = cast.type_name.as_ref().is_some_and(|name| {
                    let last = last(&name.names);
                    !name.array_bounds.is_empty() || last.starts_with('_') || last.ends_with("vector")
                });
                let parameter = cast.arg.as_deref().is_some_and(is_parameter);
                // The text of an array of a type that is not known for one.
                let empty = |text: &str| text.trim_start().starts_with('{') && !pattern::has_words(text);
                (!array || parameter)
                    && !constant(Some(node)).is_some_and(empty)
                    && cast.arg.as_deref().is_some_and(|arg| self.given(arg))
            }
            Some(_) | None => false,
        }
    }

    /// What a column may be moved by and keep its values apart: a small number or a finite span. A range, a key and an
    /// infinity write over what is there.
    pub(super) fn adds(&self, node: &'t Node) -> bool {
        if let Some(number) = number(node) {
            return number.abs() <= ADDED;
        }
        match constant(Some(node)) {
            Some(text) => {
                text.trim_start().starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+'))
                    && pattern::is_finite(text)
            }
            None => self.given(node) || self.moment(node),
        }
    }

    /// A finite end of a range: a constant, a parameter, a time, and what is added to one.
    pub(super) fn moment(&self, node: &'t Node) -> bool {
        if is_cast_to(node, &["interval"]) && is_spelt(bare(node)) {
            return true;
        }
        match &bare(node).node {
            Some(NodeEnum::AConst(value)) => match &value.val {
                Some(a_const::Val::Boolval(_) | a_const::Val::Bsval(_)) => false,
                Some(a_const::Val::Sval(text)) => !text.sval.trim().is_empty() && pattern::is_finite(&text.sval),
                _ => !value.isnull,
            },
            Some(NodeEnum::ParamRef(_) | NodeEnum::SqlvalueFunction(_)) => true,
            Some(NodeEnum::FuncCall(call)) => {
                let name = names::strings(&call.funcname).and_then(|parts| parts.last().copied()).unwrap_or_default();
                TIMES.contains(&name) && self.is_builtin(name) && call.args.iter().all(|arg| self.moment(given_as(arg)))
            }
            Some(NodeEnum::AExpr(operation)) if operation.kind() == AExprKind::AexprOp => {
                matches!(names::strings(&operation.name).as_deref(), Some(["+" | "-" | "*" | "/"]))
                    && operation.lexpr.as_deref().is_none_or(|left| self.moment(left))
                    && operation.rexpr.as_deref().is_some_and(|right| self.moment(right))
            }
            Some(_) | None => false,
        }
    }
}

/// An argument, whether it is given by its place or by its name.
fn given_as(node: &Node) -> &Node {
    match &node.node {
        Some(NodeEnum::NamedArgExpr(named)) => named.arg.as_deref().unwrap_or(node),
        Some(_) | None => node,
    }
}

/// Whether it is the text of a span of time, put together of a number and words as drivers do that have no type for one:
/// `$1 || ' days'`. It begins with a number or a parameter, so that no word in it is an infinity for certain.
fn is_spelt(node: &Node) -> bool {
    fn parts(node: &Node, all: &mut String) -> bool {
        match &node.node {
            Some(NodeEnum::AConst(value)) => match &value.val {
                Some(a_const::Val::Sval(text)) => all.push_str(&text.sval),
                Some(a_const::Val::Ival(number)) => all.push_str(&number.ival.to_string()),
                _ => return false,
            },
            Some(NodeEnum::AExpr(operation))
                if operation.kind() == AExprKind::AexprOp && last(&operation.name) == "||" =>
            {
                return operation.lexpr.as_deref().is_some_and(|left| parts(left, all))
                    && operation.rexpr.as_deref().is_some_and(|right| parts(right, all));
            }
            // A constant that is cast may be another text.
            Some(_) if is_parameter(node) => all.push('1'),
            Some(_) | None => return false,
        }
        true
    }
    let mut all = String::new();
    matches!(node.node, Some(NodeEnum::AExpr(_)))
        && parts(node, &mut all)
        && all.trim_start().starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+'))
        && pattern::is_finite(&all)
}

/// Whether a constant is cast to one of these types.
fn is_cast_to(node: &Node, types: &[&str]) -> bool {
    match &node.node {
        Some(NodeEnum::TypeCast(cast)) => {
            cast.type_name.as_ref().is_some_and(|name| types.contains(&last(&name.names)))
                || cast.arg.as_deref().is_some_and(|arg| is_cast_to(arg, types))
        }
        Some(_) | None => false,
    }
}

/// Whether a range between these ends leaves anything out.
fn spans(low: &Node, high: &Node, bounds: &[Node], held: Held) -> bool {
    if held == Held::Around {
        return match (number(low), number(high)) {
            (Some(low), Some(high)) => {
                pattern::number_restricts(Side::Above, low, None) || pattern::number_restricts(Side::Below, high, None)
            }
            _ => true,
        };
    }
    let ascending = || match (&bare(low).node, &bare(high).node) {
        (Some(NodeEnum::ParamRef(low)), Some(NodeEnum::ParamRef(high))) => low.number != high.number,
        _ => match (number(low), number(high), constant(Some(low)), constant(Some(high))) {
            (Some(low), Some(high), _, _) => low < high,
            (_, _, Some(low), Some(high)) => pattern::are_ascending(low, high),
            _ => false,
        },
    };
    match bounds {
        [] => ascending(),
        [bounds] => match constant(Some(bounds)) {
            Some("[]") => true,
            Some("[)" | "(]") => ascending(),
            _ => false,
        },
        _ => false,
    }
}

/// An expression without the casts around it.
pub(super) fn bare(node: &Node) -> &Node {
    match &node.node {
        Some(NodeEnum::TypeCast(cast)) => cast.arg.as_deref().map_or(node, bare),
        _ => node,
    }
}

/// The number that constants add up to.
pub(super) fn number(node: &Node) -> Option<f64> {
    match bare(node).node.as_ref()? {
        NodeEnum::AConst(value) => match value.val.as_ref()? {
            a_const::Val::Ival(value) => Some(f64::from(value.ival)),
            a_const::Val::Fval(value) => pattern::number_of(&value.fval),
            a_const::Val::Sval(text) => pattern::number_of(&text.sval).filter(|value| value.is_finite()),
            a_const::Val::Boolval(_) | a_const::Val::Bsval(_) => None,
        },
        NodeEnum::AExpr(operation) => {
            let symbol = names::strings(&operation.name)?;
            let right = number(operation.rexpr.as_deref()?)?;
            let left = operation.lexpr.as_deref().map_or(Some(0.0), number)?;
            match symbol.as_slice() {
                ["-"] => Some(left - right),
                ["+"] => Some(left + right),
                ["*"] => Some(left * right),
                ["/"] => Some(left / right),
                ["^"] => Some(left.powf(right)),
                _ => None,
            }
        }
        _ => None,
    }
}

pub(super) fn is_parameter(node: &Node) -> bool {
    matches!(&bare(node).node, Some(NodeEnum::ParamRef(_)))
}

/// Whether two ends of a range are written the same.
fn same(low: &Node, high: &Node) -> bool {
    match (constant(Some(low)), constant(Some(high)), number(low), number(high)) {
        (Some(low), Some(high), _, _) => low == high,
        (_, _, Some(low), Some(high)) => low >= high,
        _ => false,
    }
}
