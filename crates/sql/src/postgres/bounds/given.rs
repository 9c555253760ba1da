//! What a column is compared with: patterns, containers, searches and ends of ranges that certainly leave something out.
//!
//! A closed list: constants that do, parameters, times, and a few functions of those. What is computed in another way may
//! match everything. Held by: `fixtures/sql/bounds.tsv`.

use super::pattern;
use super::terms::Term;
use crate::postgres::expression::constant;
use crate::postgres::names;
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

/// The type id of `jsonb`.
const JSONB: u32 = 3802;

impl<'t> Term<'_, '_, '_, 't> {
    /// A container that leaves something out, as far as its text tells. What is computed may be empty.
    pub(super) fn container(&mut self, node: &'t Node) -> bool {
        if let Some(text) = constant(Some(node)) {
            return pattern::container_restricts(text);
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
                    (name, [low, high, ..]) if RANGES.contains(&name) => {
                        self.moment(low) && self.moment(high) && !same(low, high)
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
    fn given(&self, node: &'t Node) -> bool {
        match &node.node {
            Some(NodeEnum::AConst(value)) => !value.isnull,
            Some(NodeEnum::ParamRef(_)) => true,
            Some(NodeEnum::ColumnRef(column)) => self.is_variable(&column.fields),
            Some(NodeEnum::TypeCast(cast)) => {
                let array = cast.type_name.as_ref().is_some_and(|name| !name.array_bounds.is_empty());
                let parameter = cast.arg.as_deref().is_some_and(is_parameter);
                (!array || parameter) && cast.arg.as_deref().is_some_and(|arg| self.given(arg))
            }
            Some(_) | None => false,
        }
    }

    /// A finite end of a range: a constant, a parameter, a time, and what is added to one.
    pub(super) fn moment(&self, node: &'t Node) -> bool {
        match &bare(node).node {
            Some(NodeEnum::AConst(value)) => match &value.val {
                Some(a_const::Val::Boolval(_)) => false,
                Some(a_const::Val::Sval(text)) => {
                    !text.sval.trim().is_empty() && !text.sval.to_ascii_lowercase().contains("inf")
                }
                _ => !value.isnull,
            },
            Some(NodeEnum::ParamRef(_) | NodeEnum::SqlvalueFunction(_)) => true,
            Some(NodeEnum::FuncCall(call)) => {
                let name = names::strings(&call.funcname).and_then(|parts| parts.last().copied()).unwrap_or_default();
                TIMES.contains(&name) && self.is_builtin(name) && call.args.iter().all(|arg| self.moment(arg))
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
            a_const::Val::Fval(value) => value.fval.replace('_', "").parse().ok(),
            a_const::Val::Sval(text) => text.sval.trim().parse().ok().filter(|value: &f64| value.is_finite()),
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

/// The languages of patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Like,
    Similar,
    Regex,
    Prefix,
}

impl Pattern {
    fn restricts(self, text: &str) -> bool {
        match self {
            Self::Like => pattern::like_restricts(text),
            Self::Similar => pattern::similar_restricts(text),
            Self::Regex => pattern::regex_restricts(text),
            Self::Prefix => !text.is_empty(),
        }
    }

    /// Whether what stands beside a part of a pattern can undo what the part asks for.
    fn undoes(self, text: Option<&str>) -> bool {
        match (self, text) {
            (Self::Like | Self::Prefix, _) => false,
            (Self::Similar | Self::Regex, Some(text)) => text.contains(['|', '*', '?', '{', '(']),
            (Self::Similar | Self::Regex, None) => true,
        }
    }
}

/// Whether a pattern is a constant that restricts, or holds a parameter.
pub(super) fn pattern_settled(node: &Node, pattern: Pattern) -> bool {
    if let Some(text) = constant(Some(node)) {
        return pattern.restricts(text);
    }
    match &bare(node).node {
        Some(NodeEnum::ParamRef(_)) => true,
        Some(NodeEnum::AExpr(operation)) if matches!(names::strings(&operation.name).as_deref(), Some(["||"])) => {
            let (Some(left), Some(right)) = (operation.lexpr.as_deref(), operation.rexpr.as_deref()) else {
                return false;
            };
            let undone = |side: &Node| !is_parameter(side) && pattern.undoes(constant(Some(side)));
            (pattern_settled(left, pattern) && !undone(right)) || (pattern_settled(right, pattern) && !undone(left))
        }
        // LIKE … ESCAPE and SIMILAR TO hand their pattern through a built-in.
        Some(NodeEnum::FuncCall(call)) => match names::strings(&call.funcname).as_deref() {
            Some([.., "like_escape" | "similar_to_escape"]) => {
                call.args.first().is_some_and(|first| pattern_settled(first, pattern))
            }
            _ => false,
        },
        Some(_) | None => false,
    }
}

fn is_parameter(node: &Node) -> bool {
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
