//! How an expression stands for a column of the item that is to be restricted.
//!
//! A closed list: the column itself, casts and computations of it that keep values apart, and built-in functions for
//! which an equality of the result restricts the column. Whatever is not listed stands for nothing.
//! What makes the same of every value is none of them: a constant behind `||`, the length of a cast, a part of nothing.
//! Held by: `fixtures/sql/bounds.tsv`.

use super::given::{JSONB, bare, number};
use super::pattern;
use super::terms::{BOOLEAN, Term, USERS};
use crate::postgres::expression::constant;
use crate::postgres::names;
use crate::postgres::notation::Behind;
use crate::postgres::query::last;
use pg_query::NodeEnum;
use pg_query::protobuf::{self, AExpr, AExprKind, AIndirection, CoalesceExpr, Node, a_const};
use portcullis_model::catalogue::Oid;

/// How an expression stands for a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The column itself, casts aside.
    Plain,
    /// A day or period of it: ranges of it are ranges of the column.
    Period,
    /// A function of it for which only equalities and patterns restrict.
    Other,
    /// A function of it that has about so many values: fewer equalities than that restrict.
    Coarse(usize),
    /// The column with a constant beside it: only an equality of the whole restricts.
    Joined,
    /// The row's place: only equalities restrict.
    Place,
}

/// A name behind a dot that is a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dotted<'t> {
    pub(super) name: &'t str,
    /// It may be a field as well.
    pub(super) field: bool,
}

/// Functions that fields are often called like, and that keep values apart: those of a type's own name.
const APART: [&str; 7] = ["date", "money", "name", "numeric", "text", "timestamp", "timestamptz"];

/// Functions of a column for which an equality restricts the column, whatever it stands in.
const WRAPPERS: [&str; 9] = ["lower", "upper", "initcap", "btrim", "ltrim", "rtrim", "md5", "sha256", "timezone"];

/// Types of characters and bytes.
const TEXTS: [Oid; 4] = [17, 25, 1042, 1043];
pub(super) const NUMBERS: [Oid; 6] = [20, 21, 23, 700, 701, 1700];
const DATE: Oid = 1082;
const JSON: Oid = 114;

/// Times of a day and spans of time, of which years and days may all be 0.
const SPANS: [Oid; 3] = [1083, 1186, 1266];

/// Types besides numbers whose values stay apart when the same is added to all: times, money, addresses.
const MOVED: [Oid; 9] = [790, 869, 1082, 1083, 1114, 1184, 1186, 1266, 3220];
const MOVED_NAMES: [&str; 13] = [
    "date",
    "float4",
    "float8",
    "int2",
    "int4",
    "int8",
    "interval",
    "money",
    "numeric",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
];

/// Types of which `||` writes over what is there: `jsonb`, `tsvector`, `tsquery`.
const DOCUMENTS: [Oid; 3] = [JSONB, 3614, 3615];
const DOCUMENT_NAMES: [&str; 5] = ["hstore", "json", "jsonb", "tsquery", "tsvector"];

impl<'t> Term<'_, '_, '_, 't> {
    /// How the expression stands for a column of the item, if it does.
    pub(super) fn shape(&mut self, node: &'t Node) -> Option<Shape> {
        if !self.solver.step(1) {
            return None;
        }
        match node.node.as_ref()? {
            NodeEnum::ColumnRef(column) => match self.resolve(&column.fields)? {
                (at, "ctid") if at == self.at => Some(Shape::Place),
                (at, "tableoid" | "xmin" | "xmax" | "cmin" | "cmax") if at == self.at => None,
                (at, name) if at == self.at => {
                    self.problem.items.get(at)?.columns.narrows(name).then_some(Shape::Plain)
                }
                _ => None,
            },
            NodeEnum::TypeCast(cast) => self.cast_shape(cast),
            NodeEnum::CollateClause(collate) => self.shape(collate.arg.as_deref()?),
            NodeEnum::CoalesceExpr(coalesce) => self.coalesced(coalesce),
            NodeEnum::AIndirection(indirection) => self.part(indirection),
            NodeEnum::FuncCall(call) => self.wrapped(call),
            NodeEnum::AExpr(operation) => self.computed(operation),
            _ => None,
        }
    }

    /// A cast keeps what a column is, except to a type that cannot tell values apart.
    fn cast_shape(&mut self, cast: &'t protobuf::TypeCast) -> Option<Shape> {
        let arg = cast.arg.as_deref()?;
        let shape = self.shape(arg)?;
        let name = cast.type_name.as_ref()?;
        let parts = names::strings(&name.names)?;
        let typmods = !name.typmods.is_empty();
        match *parts.last()? {
            "bool" | "regclass" | "void" | "unknown" => None,
            // What is read out of it, or cut off, may be what stands beside the column.
            "text" | "varchar" if shape == Shape::Joined && !typmods => Some(Shape::Joined),
            _ if shape == Shape::Joined => None,
            // Rounded to a power of ten, or cut to years: the same for all.
            "numeric" if typmods && name.typmods.get(1).is_some_and(|scale| number(scale).is_none_or(|n| n < 0.0)) => {
                None
            }
            "interval" if typmods => None,
            // `x::varchar(0)` and `x::char(1)` of a long value, `x::bit(1)` of a number: fewer values than rows.
            "char" | "bit" | "varbit" => Some(Shape::Coarse(2)),
            _ if matches!(shape, Shape::Coarse(_)) => (!typmods).then_some(shape),
            // The time of what is whole days is midnight.
            "time" | "timetz" => {
                let own = shape == Shape::Plain && is_column(bare(arg)) && self.column_type(arg) != Some(DATE);
                (own && !self.is_span(arg)).then_some(Shape::Other)
            }
            _ if typmods => Some(Shape::Other),
            "date" if shape == Shape::Plain => Some(Shape::Period),
            _ => Some(shape),
        }
    }

    /// Whether it is a member of a document that the column itself is, cast to a time or a number, as is
    /// `(doc ->> 'at')::date`. It is each row's own, as a column is, so a range of it leaves out what a range of a
    /// column does. All values of `smallint` are below some ends that count, so it is not among the types; what is
    /// computed on the way may be the same for all.
    pub(super) fn is_measured_member(&mut self, node: &'t Node) -> bool {
        const MEASURED: [&str; 7] = ["date", "float8", "int4", "int8", "numeric", "timestamp", "timestamptz"];
        let Some(NodeEnum::TypeCast(cast)) = &node.node else { return false };
        let Some(name) = cast.type_name.as_ref().filter(|name| name.typmods.is_empty() && name.array_bounds.is_empty())
        else {
            return false;
        };
        let measured = match names::strings(&name.names).as_deref() {
            Some([name] | [names::CATALOGUE, name]) => MEASURED.contains(name),
            Some(_) | None => false,
        };
        measured && cast.arg.as_deref().is_some_and(|arg| self.is_member(arg, "->>"))
    }

    /// Whether it is one member, or one of that; `outer`: the operator that gives it.
    fn is_member(&mut self, node: &'t Node, outer: &str) -> bool {
        let Some(NodeEnum::AExpr(operation)) = &node.node else { return false };
        let (Some(left), Some(right)) = (operation.lexpr.as_deref(), operation.rexpr.as_deref()) else { return false };
        let by_name = operation.kind() == AExprKind::AexprOp
            && names::strings(&operation.name).is_some_and(|symbol| symbol == [outer])
            && matches!(&right.node, Some(NodeEnum::AConst(key)) if !key.isnull);
        let own = is_column(left)
            && matches!(self.column_type(left), None | Some(JSON | JSONB))
            && self.shape(left) == Some(Shape::Plain);
        by_name && (own || self.is_member(left, "->"))
    }

    /// The default stands for NULL, so behind anything but the column itself it may stand for all.
    fn coalesced(&mut self, coalesce: &'t CoalesceExpr) -> Option<Shape> {
        let (first, rest) = coalesce.args.split_first()?;
        let owned = self.shape(first) == Some(Shape::Plain) && rest.iter().all(|arg| self.settled(arg));
        let boolean = self.column_type(first) == Some(BOOLEAN) || rest.iter().any(is_boolean);
        owned.then_some(if boolean { Shape::Coarse(2) } else { Shape::Other })
    }

    /// An element or a field, or a function of what the dot stands behind. A slice may be empty whatever it is of.
    fn part(&mut self, indirection: &'t AIndirection) -> Option<Shape> {
        let slice = indirection
            .indirection
            .iter()
            .any(|part| matches!(&part.node, Some(NodeEnum::AIndices(indices)) if indices.is_slice));
        let arg = indirection.arg.as_deref()?;
        let shape = self.shape(arg)?;
        if slice || shape == Shape::Joined {
            return None;
        }
        match (self.behind_dots(indirection).as_slice(), indirection.indirection.as_slice()) {
            ([], _) => Some(Shape::Other),
            ([call], [_]) => self.dotted(*call, arg, shape),
            _ => None,
        }
    }

    /// What the names behind dots call, as far as they are no fields for certain.
    pub(super) fn behind_dots(&self, indirection: &'t AIndirection) -> Vec<Dotted<'t>> {
        let standing = self.solver.standing;
        let column = indirection.arg.as_deref().filter(|arg| is_column(arg));
        let mut of = column.and_then(|column| self.column_type(column));
        let mut calls = Vec::new();
        for step in &indirection.indirection {
            let before = of.take();
            let Some(NodeEnum::String(field)) = &step.node else { continue };
            let name = field.sval.as_str();
            match standing.behind(before, name) {
                Behind::Field(type_oid) => of = Some(type_oid),
                Behind::Function => calls.push(Dotted { name, field: false }),
                Behind::Either if standing.behind_dot(name).is_some() => calls.push(Dotted { name, field: true }),
                Behind::Either => {}
            }
        }
        calls
    }

    /// `(arg).f`, which is `f(arg)`, or may be. As a field it restricts by its equalities.
    fn dotted(&self, call: Dotted<'t>, arg: &'t Node, shape: Shape) -> Option<Shape> {
        let apart = matches!(shape, Shape::Plain | Shape::Period | Shape::Other);
        if call.field && apart && APART.contains(&call.name) && self.is_builtin(call.name) {
            return Some(Shape::Other);
        }
        match self.of_builtin(call.name, arg, shape, &[])? {
            Shape::Plain | Shape::Period | Shape::Place if call.field => Some(Shape::Other),
            shape => Some(shape),
        }
    }

    fn wrapped(&mut self, call: &'t protobuf::FuncCall) -> Option<Shape> {
        let parts = names::strings(&call.funcname)?;
        let name = *parts.last()?;
        if parts.len() > 1 && parts.first() != Some(&names::CATALOGUE) {
            return None;
        }
        let (mut owned, mut rest) = (Vec::new(), Vec::new());
        for arg in &call.args {
            match self.shape(arg) {
                Some(shape) => owned.push((arg, shape)),
                None if self.settled(arg) => rest.push(arg),
                None => return None,
            }
        }
        let [(arg, shape)] = *owned.as_slice() else { return None };
        if call.over.is_some() { None } else { self.of_builtin(name, arg, shape, &rest) }
    }

    /// What a built-in function makes of what stands for the column; `rest`: its other arguments.
    fn of_builtin(&self, name: &str, arg: &'t Node, shape: Shape, rest: &[&'t Node]) -> Option<Shape> {
        if !self.is_builtin(name) {
            return None;
        }
        match (name, rest) {
            ("date", []) if shape == Shape::Plain => Some(Shape::Period),
            ("date_trunc" | "date_part" | "extract", [unit, ..]) if self.is_span(arg) => {
                let whole = name != "date_trunc" && shape == Shape::Plain;
                (whole && constant(Some(unit)).is_some_and(|unit| unit.trim().eq_ignore_ascii_case("epoch")))
                    .then_some(Shape::Other)
            }
            ("date_trunc", [unit, ..]) if matches!(shape, Shape::Plain | Shape::Period | Shape::Other) => {
                let fine = constant(Some(unit)).map_or_else(|| self.given(unit), pattern::fine_unit);
                fine.then_some(Shape::Period)
            }
            ("date_part" | "extract", [unit]) if shape == Shape::Plain => {
                let count = pattern::values_of_unit(constant(Some(unit))?, self.column_type(arg) == Some(DATE))?;
                Some(if count == usize::MAX { Shape::Other } else { Shape::Coarse(count) })
            }
            ("to_char", [format]) if shape == Shape::Plain => self.shown_as(arg, constant(Some(format))?),
            // The length of what a cast makes is that of every value of some types.
            ("length" | "char_length" | "character_length", []) if is_column(arg) => {
                let text = self.column_type(arg).is_none_or(|type_oid| TEXTS.contains(&type_oid));
                text.then_some(Shape::Coarse(2))
            }
            // What is trimmed away may be all that there is.
            ("btrim" | "ltrim" | "rtrim", [_, ..]) => None,
            ("md5" | "sha256", _) if shape != Shape::Plain => None,
            (_, [] | [_]) if WRAPPERS.contains(&name) => match shape {
                Shape::Joined | Shape::Coarse(_) => Some(shape),
                Shape::Plain | Shape::Period | Shape::Other | Shape::Place => Some(Shape::Other),
            },
            _ => None,
        }
    }

    /// A time in words: only where the words say something of it.
    fn shown_as(&self, arg: &'t Node, format: &str) -> Option<Shape> {
        let type_oid = self.column_type(arg);
        if type_oid.is_some_and(|type_oid| NUMBERS.contains(&type_oid)) || self.is_span(arg) {
            return None;
        }
        match pattern::date_format(format, type_oid == Some(DATE)) {
            Some(pattern::Format::Year) => Some(Shape::Other),
            Some(pattern::Format::Part) => Some(Shape::Coarse(2)),
            None => None,
        }
    }

    fn computed(&mut self, operation: &'t AExpr) -> Option<Shape> {
        if operation.kind() != AExprKind::AexprOp {
            return None;
        }
        let (left, right) = (operation.lexpr.as_deref()?, operation.rexpr.as_deref()?);
        let symbol = names::strings(&operation.name)?;
        match symbol.as_slice() {
            ["->" | "->>" | "#>" | "#>>"] if self.settled(right) => match self.shape(left)? {
                Shape::Joined | Shape::Coarse(_) => None,
                Shape::Plain | Shape::Period | Shape::Other | Shape::Place => Some(Shape::Other),
            },
            ["+" | "-"] if self.settled(right) && self.adds(right) && self.is_moved(left) => {
                let shape = self.shape(left)?;
                // A range of it is one of the column, moved to the other side.
                let range = shape == Shape::Plain && self.is_moved_time(left, right);
                Some(if range { Shape::Period } else { moved(shape) })
            }
            ["+"] if self.settled(left) && self.adds(left) && self.is_moved(right) => self.shape(right).map(moved),
            ["%"] => {
                let count = number(right).map(f64::abs).filter(|value| *value > 1.0)?;
                self.shape(left).map(|shape| if shape == Shape::Joined { shape } else { Shape::Coarse(whole(count)) })
            }
            ["||"] if self.settled(right) && !self.is_document(left, right) => self.shape(left).map(|_| Shape::Joined),
            ["||"] if self.settled(left) && !self.is_document(right, left) => self.shape(right).map(|_| Shape::Joined),
            _ => None,
        }
    }

    /// Whether values of the expression stay apart when the same is added to all, as far as its type tells.
    fn is_moved(&self, node: &'t Node) -> bool {
        match &node.node {
            Some(NodeEnum::ColumnRef(_)) => self
                .column_type(node)
                .is_none_or(|type_oid| NUMBERS.contains(&type_oid) || MOVED.contains(&type_oid) || type_oid >= USERS),
            Some(NodeEnum::TypeCast(cast)) => {
                cast.type_name.as_ref().is_some_and(|name| MOVED_NAMES.contains(&last(&name.names)))
            }
            Some(NodeEnum::AExpr(operation)) => matches!(last(&operation.name), "+" | "-" | "%"),
            Some(NodeEnum::FuncCall(_) | NodeEnum::CoalesceExpr(_)) => true,
            Some(_) | None => false,
        }
    }

    /// Whether a column of times is moved by a span of time, or one of days by so many. Times of a day start anew.
    fn is_moved_time(&self, column: &'t Node, by: &'t Node) -> bool {
        let days = self.column_type(column) == Some(DATE) && number(by).is_some();
        is_column(column) && !self.is_span(column) && (days || is_interval(by))
    }

    /// Whether `||` may write over what the column has, as it does in JSON.
    fn is_document(&self, column: &'t Node, beside: &'t Node) -> bool {
        let cast = |node: &Node| match &node.node {
            Some(NodeEnum::TypeCast(cast)) => {
                cast.type_name.as_ref().is_some_and(|name| DOCUMENT_NAMES.contains(&last(&name.names)))
            }
            Some(NodeEnum::FuncCall(call)) => last(&call.funcname).contains("json"),
            Some(_) | None => false,
        };
        let keyed = |text: &str| text.trim_start().starts_with('{') || text.contains("=>");
        let typed = self.column_type(column).filter(|type_oid| *type_oid < USERS);
        cast(column)
            || cast(beside)
            || typed.map_or_else(|| constant(Some(beside)).is_some_and(keyed), |type_oid| DOCUMENTS.contains(&type_oid))
    }

    /// Whether the expression is certainly, or may be, a span of time: what one time is behind another.
    fn is_span(&self, node: &'t Node) -> bool {
        let of = |node: Option<&'t Node>| node.is_some_and(|node| self.is_span(node));
        match &node.node {
            Some(NodeEnum::ColumnRef(_)) => self.column_type(node).is_some_and(|oid| SPANS.contains(&oid)),
            Some(NodeEnum::TypeCast(cast)) => {
                let name = cast.type_name.as_ref().map_or("", |name| last(&name.names));
                matches!(name, "interval" | "time" | "timetz") || of(cast.arg.as_deref())
            }
            Some(NodeEnum::AExpr(operation)) => {
                let (left, right) = (operation.lexpr.as_deref(), operation.rexpr.as_deref());
                let moves = |node: &Node| number(node).is_some() || is_interval(node);
                let own = |node: Option<&'t Node>| node.filter(|node| constant(Some(*node)).is_none());
                match last(&operation.name) {
                    "-" => of(left) || !right.is_some_and(moves),
                    _ => of(own(left)) || of(own(right)),
                }
            }
            Some(NodeEnum::FuncCall(call)) => call.args.iter().any(|arg| self.is_span(arg)),
            Some(NodeEnum::CoalesceExpr(coalesce)) => of(coalesce.args.first()),
            Some(_) | None => false,
        }
    }
}

/// Whether a constant is a span of time.
fn is_interval(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::TypeCast(cast)) => cast.type_name.as_ref().is_some_and(|name| last(&name.names) == "interval"),
        Some(NodeEnum::FuncCall(call)) => last(&call.funcname) == "make_interval",
        Some(NodeEnum::AExpr(operation)) => {
            operation.lexpr.as_deref().is_some_and(is_interval) || operation.rexpr.as_deref().is_some_and(is_interval)
        }
        Some(_) | None => false,
    }
}

/// What a shape is when a constant is added.
fn moved(shape: Shape) -> Shape {
    match shape {
        Shape::Joined | Shape::Coarse(_) => shape,
        Shape::Plain | Shape::Period | Shape::Other | Shape::Place => Shape::Other,
    }
}

/// How many whole numbers are below the number, at most a thousand.
fn whole(count: f64) -> usize {
    (2_u16..1000).take_while(|value| f64::from(*value) <= count).last().map_or(2, usize::from)
}

fn is_column(node: &Node) -> bool {
    matches!(&node.node, Some(NodeEnum::ColumnRef(_)))
}

/// Whether an expression is a boolean constant.
pub(super) fn is_boolean(node: &Node) -> bool {
    match &bare(node).node {
        Some(NodeEnum::AConst(value)) => match &value.val {
            Some(a_const::Val::Boolval(_)) => true,
            Some(a_const::Val::Sval(text)) => {
                matches!(text.sval.trim().to_ascii_lowercase().as_str(), "t" | "f" | "true" | "false")
            }
            _ => false,
        },
        Some(_) | None => false,
    }
}
