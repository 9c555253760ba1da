//! Of which types values are, and what their types may have refused.
//!
//! Most types have values that a call or an implicit cast refuses: `1e400` has no float, `'{"a": "\u0000"}'` no member,
//! a far date no time. Whoever chooses such a constant by a protected value (CASE, NULLIF, a set operation) is told by
//! the error which it was. So a value is *tame* only where no client's constant of such a type can be in it: it is of a
//! plain type, whose every value is taken, or it is what columns hold. Of columns' values it is kept what chose among
//! them, since a client may have stored them.
//!
//! Promises: a type that is told is the value's for certain, but for the width of integers and texts; what is tame is
//! no client's constant of a type that is not plain. Does not promise to know every call: what is not known is not
//! tame. What a column holds by itself may be refused too, which tells nothing of any other.
//! Held by: `fixtures/sql/lineage.tsv`.

use super::flow::{Flow, Value};
use super::operator::FIRST_NORMAL;
use super::{Tracer, size};
use crate::builtins::{self, Safe};
use crate::postgres::names::{self, CATALOGUE};
use crate::postgres::types;
use pg_query::NodeEnum;
use pg_query::protobuf::{AConst, AExprKind, Node, TypeName, a_const};
use portcullis_model::catalogue::Oid;

const BOOLEAN: Oid = 16;
const INT8: Oid = 20;
const INT4: Oid = 23;
const TEXT: Oid = 25;
const JSON: Oid = 114;
const FLOAT4: Oid = 700;
const FLOAT8: Oid = 701;
/// A text in quotes or NULL, which is of the type of what stands beside it.
const UNKNOWN: Oid = 705;
const TEXTS: Oid = 1009;
const TIMESTAMPTZ: Oid = 1184;
const INTERVAL: Oid = 1186;
const BITS: Oid = 1560;
const NUMERIC: Oid = 1700;
const RECORD: Oid = 2249;
const UUID: Oid = 2950;
const JSONB: Oid = 3802;

/// Functions of values that no client chooses give none either.
const KEEPING: [&str; 42] = [
    "age",
    "any_value",
    "array_agg",
    "array_to_json",
    "avg",
    "ceil",
    "ceiling",
    "date_part",
    "date_trunc",
    "extract",
    "first_value",
    "floor",
    "generate_series",
    "json_agg",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "justify_days",
    "justify_hours",
    "justify_interval",
    "lag",
    "last_value",
    "lead",
    "lower",
    "max",
    "min",
    "nth_value",
    "round",
    "row_to_json",
    "sign",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "sum",
    "to_json",
    "trunc",
    "unnest",
    "upper",
    "var_pop",
    "var_samp",
    "variance",
    "width_bucket",
];

/// Aggregates are computed before anything that is chosen by CASE and the like.
const AGGREGATES: [&str; 12] = [
    "avg",
    "bit_and",
    "bit_or",
    "jsonb_agg",
    "jsonb_object_agg",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
];

/// What functions give, whatever they are given.
const GIVING: [(Oid, &str); 9] = [
    (
        TEXT,
        "array_to_string chr concat concat_ws encode format host initcap json_typeof jsonb_pretty jsonb_typeof left lpad \
         md5 quote_ident quote_literal quote_nullable regexp_replace regexp_split_to_table regexp_substr repeat replace \
         right rpad split_part string_to_table text to_char translate",
    ),
    (
        INT4,
        "array_length array_lower array_ndims array_upper ascii bit_length cardinality char_length character_length \
         hashtext json_array_length jsonb_array_length length masklen num_nonnulls num_nulls octet_length \
         pg_column_size position regexp_count strpos",
    ),
    (INT8, "count dense_rank rank row_number"),
    (BOOLEAN, "bool_and bool_or every isfinite regexp_like starts_with texteq"),
    (JSONB, "jsonb_agg jsonb_build_array jsonb_build_object jsonb_object_agg jsonb_set jsonb_strip_nulls to_jsonb"),
    (JSON, "json_agg json_build_array json_build_object json_object_agg row_to_json to_json"),
    (UUID, "gen_random_uuid"),
    (TEXTS, "regexp_match regexp_split_to_array string_to_array"),
    (TIMESTAMPTZ, CLOCKS),
];

/// The server's clock.
const CLOCKS: &str = "clock_timestamp now statement_timestamp transaction_timestamp";

/// They give a text for a text.
const OF_TEXT: [&str; 10] =
    ["btrim", "lower", "ltrim", "overlay", "reverse", "rtrim", "string_agg", "substr", "substring", "upper"];

/// What is done with values that stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// They are made one type.
    Joined,
    /// They are made one type and compared.
    Compared,
    /// They are looked into.
    Read,
    /// They are looked into by an aggregate.
    Gathered,
}

/// A value beside others, and the expression that it is of.
pub(super) type Side<'v> = (&'v Value, Option<&'v Node>);

/// Types whose every value every safe call takes, and that become no others but wider ones.
pub(super) const fn is_plain(oid: Oid) -> bool {
    matches!(oid, BOOLEAN | 20 | 21 | INT4 | TEXT | UNKNOWN | TEXTS | 1042 | 1043 | UUID | JSONB)
}

const fn is_integer(oid: Oid) -> bool {
    matches!(oid, 20 | 21 | 23)
}

const fn is_text(oid: Oid) -> bool {
    matches!(oid, TEXT | UNKNOWN | 1042 | 1043)
}

/// Types of object ids, which not every large integer is.
const fn is_oid(oid: Oid) -> bool {
    matches!(oid, 24 | 26 | 2202..=2206 | 3734 | 3769 | 4089 | 4096 | 4191)
}

/// Not arrays of what cannot be compared, nor rows: comparing these is an error that comes with the values.
const fn has_equality(oid: Oid) -> bool {
    !matches!(oid, 0 | 143 | 199 | 629 | 719 | 1017..=1020 | 1027 | RECORD | 2287 | 2949 | 4073 | 5039)
}

/// What a column of the type holds, as far as it is tame.
pub(super) fn of_column(type_oid: Oid) -> Option<Flow> {
    (has_equality(type_oid) && !is_oid(type_oid)).then(Flow::none)
}

/// What is tame where all of these are; a text in quotes stays a text.
pub(super) fn all_tame<'v>(values: impl IntoIterator<Item = &'v Value>) -> Option<Flow> {
    values.into_iter().try_fold(Flow::none(), |all, value| match (&value.tame, value.type_oid) {
        (Some(more), _) => Some(all.with(more)),
        (None, UNKNOWN) => Some(all),
        (None, _) => None,
    })
}

/// The one type that values of two are made.
const fn joined(one: Oid, other: Oid) -> Oid {
    match (one, other) {
        _ if one == other => one,
        _ if is_integer(one) && is_integer(other) => INT8,
        _ if is_text(one) && is_text(other) => TEXT,
        (_, FLOAT4 | FLOAT8 | NUMERIC) if is_integer(one) => other,
        (FLOAT4 | FLOAT8 | NUMERIC, _) if is_integer(other) => one,
        _ => 0,
    }
}

/// The type of what is one of these, and what chose it where it is tame.
pub(super) fn common<'v>(values: impl Iterator<Item = &'v Value> + Clone) -> (Oid, Option<Flow>) {
    let untyped = |value: &&Value| value.type_oid == UNKNOWN;
    let texts = values.clone().filter(untyped).any(|value| value.tame.is_none());
    let nulls = values.clone().filter(untyped).any(|value| value.tame.is_some());
    let typed = values.filter(|value| value.type_oid != UNKNOWN);
    let Some(of) = typed.clone().map(|value| value.type_oid).reduce(joined) else {
        return (UNKNOWN, (!texts).then(Flow::none));
    };
    let tame = match of {
        _ if is_plain(of) => Some(Flow::none()),
        RECORD => None,
        // The text becomes a value of that type.
        _ if texts => None,
        // A comparison of NULL fails for no type.
        _ if nulls && !types::is_scalar(of) => None,
        _ => all_tame(typed),
    };
    (of, tame)
}

/// A constant as it is written.
pub(super) fn of_constant(constant: &AConst) -> Value {
    let none = Flow::none;
    match &constant.val {
        _ if constant.isnull => null(),
        Some(a_const::Val::Sval(text)) => Value { type_oid: UNKNOWN, size: size::bytes(&text.sval), ..Value::none() },
        Some(a_const::Val::Ival(_)) => Value::typed(none(), INT4),
        Some(a_const::Val::Boolval(_)) => Value::typed(none(), BOOLEAN),
        Some(a_const::Val::Bsval(_)) => Value::typed(none(), BITS),
        Some(a_const::Val::Fval(number)) => {
            let number = number.fval.as_str();
            match (number.parse::<i64>(), number.parse::<f64>()) {
                (Ok(_), _) => Value::typed(none(), INT8),
                (Err(_), Ok(_)) => {
                    // One that every type of numbers has.
                    let small = number.len() <= 20 && !number.contains(['e', 'E']);
                    Value { tame: small.then(Flow::none), ..Value::typed(none(), NUMERIC) }
                }
                (Err(_), Err(_)) => Value::scalar(none(), true),
            }
        }
        None => Value::scalar(none(), true),
    }
}

/// Whether it is written as nothing but constants and parameters.
fn is_written(node: Option<&Node>) -> bool {
    match node.and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_)) => true,
        Some(NodeEnum::TypeCast(cast)) => is_written(cast.arg.as_deref()),
        Some(NodeEnum::AArrayExpr(array)) => array.elements.iter().all(|element| is_written(Some(element))),
        Some(NodeEnum::List(list)) => list.items.iter().all(|item| is_written(Some(item))),
        _ => false,
    }
}

/// Whether it is a parameter, of whichever type its client says.
fn is_parameter(node: Option<&Node>) -> bool {
    matches!(node.and_then(|node| node.node.as_ref()), Some(NodeEnum::ParamRef(_)))
}

/// A parameter under casts: whether it can be cast is seen when it is.
pub(super) fn has_parameter(node: Option<&Node>) -> bool {
    match node.and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::TypeCast(cast)) => has_parameter(cast.arg.as_deref()),
        _ => is_parameter(node),
    }
}

/// Whether a written constant may be of a type of object ids, or of one that is not known.
fn may_be_oid(node: Option<&Node>) -> bool {
    match node.and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::TypeCast(cast)) => {
            let parts = cast.type_name.as_ref().and_then(|name| names::strings(&name.names)).unwrap_or_default();
            parts.last().and_then(|name| types::oid(name)).is_none_or(is_oid)
        }
        Some(NodeEnum::AArrayExpr(array)) => array.elements.iter().any(|element| may_be_oid(Some(element))),
        Some(NodeEnum::List(list)) => list.items.iter().any(|item| may_be_oid(Some(item))),
        _ => false,
    }
}

/// Whether it may be a constant that a client chose by something else, of a type that refuses some.
fn is_open((value, node): Side<'_>, large: bool, using: Use) -> bool {
    if value.type_oid == RECORD && using == Use::Compared {
        let spelt = matches!(node.and_then(|node| node.node.as_ref()), Some(NodeEnum::RowExpr(_) | NodeEnum::List(_)));
        return !spelt || value.tame.is_none();
    }
    if is_written(node) { large && may_be_oid(node) } else { value.tame.is_none() }
}

impl Tracer<'_, '_> {
    /// What may be refused for the types of values that stand together.
    pub(super) fn typed(&mut self, sides: &[Side<'_>], using: Use) {
        let odd: Vec<Side<'_>> = sides.iter().copied().filter(|(value, _)| !is_plain(value.type_oid)).collect();
        let looked = matches!(using, Use::Read | Use::Gathered);
        if using == Use::Joined && sides.len() < 2 {
            return;
        }
        let parameters = odd.iter().filter(|(_, node)| is_parameter(*node)).count();
        // What stands beside a plain value becomes one, as it is read.
        if odd.len() == parameters && (parameters == 0 || !looked && sides.len() > parameters) {
            return;
        }
        let large = sides.iter().any(|(value, _)| value.type_oid == INT8);
        let open = odd.iter().any(|side| is_open(*side, large, using));
        if !looked && agree(&odd, large, open, using) {
            return;
        }
        if open {
            let all = sides.iter().fold(Flow::none(), |all, (value, _)| all.with(&value.flow));
            self.risk(&all);
        }
        let chosen = odd.iter().filter_map(|(value, _)| value.tame.as_ref());
        let chosen = chosen.fold(Flow::none(), |all, more| all.with(more));
        self.condition(&chosen);
        if using != Use::Gathered || !chosen.is_none() {
            self.risks += 1;
        }
    }
}

/// Whether those of types that are not plain are of one type, so that nothing becomes another.
fn agree(odd: &[Side<'_>], large: bool, open: bool, using: Use) -> bool {
    let Some((first, _)) = odd.first() else { return true };
    let of = first.type_oid;
    let comparable = || has_equality(of) && (of < FIRST_NORMAL || !open);
    of != 0
        && odd.iter().all(|(value, _)| value.type_oid == of)
        && !(large && is_oid(of))
        && (using == Use::Joined || comparable())
}

/// What the built-in function or operator of this name does with values, where their types matter to it.
pub(super) fn asked(name: &str, arguments: usize) -> Option<Use> {
    let facts = builtins::flows(name);
    match name {
        "=" | "<>" | "<" | "<=" | ">" | ">=" | "max" | "min" => Some(Use::Compared),
        "lag" | "lead" if arguments > 2 => Some(Use::Read),
        _ if facts.any_type || facts.safe == Safe::default() => None,
        _ if AGGREGATES.contains(&name) => Some(Use::Gathered),
        _ => Some(Use::Read),
    }
}

/// The type of what the call of a built-in function gives, and what chose it where it is tame.
pub(super) fn of_call(name: &str, arguments: &[Value]) -> (Oid, Option<Flow>) {
    let of = type_of_call(name, arguments);
    if is_plain(of) || CLOCKS.split(' ').any(|clock| clock == name) {
        return (of, Some(Flow::none()));
    }
    // A text in quotes is no value of these but a name.
    let is_name =
        |at: usize| name.starts_with("json") || (at == 0 && matches!(name, "date_part" | "date_trunc" | "extract"));
    let stays = |(at, value): (usize, &Value)| value.tame.is_some() || (value.type_oid == UNKNOWN && is_name(at));
    let keeps = KEEPING.binary_search(&name).is_ok() && !arguments.is_empty();
    let tame = if keeps && arguments.iter().enumerate().all(stays) { all_tame(arguments) } else { None };
    (of, tame)
}

fn type_of_call(name: &str, arguments: &[Value]) -> Oid {
    if let Some((of, _)) = GIVING.iter().find(|(_, names)| names.split(' ').any(|known| known == name)) {
        return *of;
    }
    let first = arguments.first().map_or(0, |value| value.type_oid);
    match name {
        "array_agg" if is_text(first) => TEXTS,
        "unnest" => element(first),
        "any_value" | "first_value" | "lag" | "last_value" | "lead" | "max" | "min" | "nth_value" => {
            match (arguments.len(), first) {
                (3.., _) => 0,
                (_, UNKNOWN) => TEXT,
                (_, of) => of,
            }
        }
        "bit_and" | "bit_or" if is_integer(first) => first,
        "generate_series" => match common(arguments.iter()).0 {
            UNKNOWN => 0,
            of => of,
        },
        "avg" | "sum" => summed(name, first),
        // Of bytes, bits and ranges they give something else.
        _ if is_text(first) && OF_TEXT.contains(&name) => TEXT,
        _ => 0,
    }
}

fn summed(name: &str, of: Oid) -> Oid {
    match (name, of) {
        ("sum", 21 | INT4) => INT8,
        (_, 20 | 21 | INT4 | NUMERIC) => NUMERIC,
        ("avg", FLOAT4) | (_, FLOAT8) => FLOAT8,
        (_, FLOAT4 | INTERVAL) => of,
        _ => 0,
    }
}

/// The type of what an operator gives, and what chose it where it is tame.
pub(super) fn of_operation(kind: AExprKind, symbol: &str, sides: &[Side<'_>]) -> (Oid, Option<Flow>) {
    let none = Value::none();
    let side = |at: usize| sides.get(at).map_or(&none, |(value, _)| *value);
    let (left, right) = (side(0), side(1));
    let of = match kind {
        AExprKind::AexprNullif => {
            // Whether it is the left one is for the right one to say.
            let by = if right.exact { Flow::none() } else { right.flow.clone() };
            return (left.type_oid, chosen(left.type_oid, left.tame.clone(), &by));
        }
        AExprKind::Undefined | AExprKind::AexprOp => match symbol {
            "->" | "#>" if matches!(left.type_oid, JSON | JSONB) => {
                return (left.type_oid, chosen(left.type_oid, left.tame.clone(), &right.flow));
            }
            "->>" | "#>>" if matches!(left.type_oid, JSON | JSONB) => TEXT,
            "||" => concatenated(left.type_oid, right.type_oid),
            "+" | "-" | "*" | "/" | "%" if sides.iter().all(|(value, _)| is_integer(value.type_oid)) => INT8,
            "=" | "<>" | "<" | ">" | "<=" | ">=" | "~" | "~*" | "!~" | "!~*" | "~~" | "~~*" | "!~~" | "!~~*" | "@>"
            | "<@" | "?" | "?|" | "?&" | "&&" | "@@" => BOOLEAN,
            _ => 0,
        },
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
        | AExprKind::AexprNotBetweenSym => BOOLEAN,
    };
    (of, is_plain(of).then(Flow::none))
}

/// The type of `left || right`.
fn concatenated(left: Oid, right: Oid) -> Oid {
    let typed_text = |of: Oid| of != UNKNOWN && is_text(of);
    match (left, right) {
        (TEXTS, _) | (_, TEXTS) => TEXTS,
        _ if typed_text(left) || typed_text(right) => TEXT,
        (JSONB, JSONB | UNKNOWN) | (UNKNOWN, JSONB) => JSONB,
        (UNKNOWN, UNKNOWN) => TEXT,
        (UNKNOWN, of) | (of, UNKNOWN) if is_integer(of) || matches!(of, BOOLEAN | UUID | 1082 | NUMERIC) => TEXT,
        _ => 0,
    }
}

/// A tame value that something else chose; of plain values every one is taken, whoever chose it.
pub(super) fn chosen(type_oid: Oid, tame: Option<Flow>, by: &Flow) -> Option<Flow> {
    if is_plain(type_oid) { tame } else { tame.map(|tame| tame.with(by)) }
}

/// What a cast to this type gives.
pub(super) fn of_cast(name: &TypeName, value: &Value, node: Option<&Node>) -> (Oid, Option<Flow>) {
    let of = of_type(name);
    if is_plain(of) {
        return (of, Some(Flow::none()));
    }
    let constant = matches!(node.and_then(|node| node.node.as_ref()), Some(NodeEnum::AConst(_)));
    // A small number is one of every type; a text becomes whatever it says.
    let number = constant && matches!(value.type_oid, INT4 | NUMERIC) && matches!(of, FLOAT4 | FLOAT8 | NUMERIC);
    let null = constant && value.type_oid == UNKNOWN && value.tame.is_some();
    let keeps = number || null || value.exact || !is_plain(value.type_oid);
    (of, if keeps { value.tame.clone() } else { None })
}

/// The type of this name, where it is one of the server's that are told.
fn of_type(name: &TypeName) -> Oid {
    let single = match names::strings(&name.names).as_deref() {
        Some([name] | [CATALOGUE, name]) => types::oid(name).unwrap_or(0),
        _ => 0,
    };
    match single {
        _ if name.array_bounds.is_empty() => single,
        TEXT | 1043 => TEXTS,
        _ => 0,
    }
}

/// An array of such values.
pub(super) fn array_of(of: Oid, tame: Option<Flow>) -> (Oid, Option<Flow>) {
    if is_text(of) || of == TEXTS { (TEXTS, Some(Flow::none())) } else { (0, tame) }
}

/// The type of an array's elements.
const fn element(of: Oid) -> Oid {
    match of {
        TEXTS => TEXT,
        1015 => 1043,
        1014 => 1042,
        1005 => 21,
        1007 => INT4,
        1016 => INT8,
        1000 => BOOLEAN,
        2951 => UUID,
        _ => 0,
    }
}

/// What is taken out of a value by a subscript.
pub(super) fn taken(value: &Value, index: &Flow, is_element: bool) -> (Oid, Option<Flow>) {
    let of = match (value.type_oid, is_element) {
        (JSONB, _) => JSONB,
        (of, true) => element(of),
        (of, false) => of,
    };
    (of, if is_plain(of) { Some(Flow::none()) } else { value.tame.clone().map(|tame| tame.with(index)) })
}

/// A row as it is written.
pub(super) fn row(flow: Flow, values: &[Value]) -> Value {
    Value { type_oid: RECORD, tame: all_tame(values), ..Value::scalar(flow, true) }
}

/// A list of values, as IN and BETWEEN have it.
pub(super) fn list(flow: Flow, values: &[Value]) -> Value {
    let rows = !values.is_empty() && values.iter().all(|value| value.type_oid == RECORD);
    let (type_oid, tame) = if rows { (RECORD, all_tame(values)) } else { common(values.iter()) };
    Value { type_oid, tame, ..Value::of(flow) }
}

/// NULL where nothing is written.
pub(super) fn null() -> Value {
    Value { type_oid: UNKNOWN, tame: Some(Flow::none()), size: 0, ..Value::none() }
}

/// A value of the server's own, which no client chooses.
pub(super) fn of_server() -> Value {
    Value { tame: Some(Flow::none()), ..Value::none() }
}

/// A truth value.
pub(super) fn boolean(flow: Flow) -> Value {
    Value::typed(flow, BOOLEAN)
}

/// The number of a row.
pub(super) fn ordinal() -> Value {
    Value::typed(Flow::none(), INT8)
}

/// The value of a recursive query's column in a later round: of its type, whichever value.
pub(super) fn of_round(value: &Value) -> (Oid, Option<Flow>) {
    let of = if value.type_oid == UNKNOWN { TEXT } else { value.type_oid };
    (of, is_plain(of).then(Flow::none))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_built_in() {
        for names in [KEEPING.as_slice(), AGGREGATES.as_slice()] {
            assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
            for name in names {
                assert!(builtins::function(name).is_some(), "{name}");
            }
        }
        for name in GIVING.iter().flat_map(|(_, names)| names.split(' ')).chain(OF_TEXT) {
            assert!(builtins::function(name).is_some(), "{name}");
        }
    }

    #[test]
    fn one_type_is_told_of_several() {
        assert_eq!(joined(21, 23), INT8);
        assert_eq!(joined(1043, TEXT), TEXT);
        assert_eq!((joined(INT4, NUMERIC), joined(FLOAT8, INT8)), (NUMERIC, FLOAT8));
        assert_eq!((joined(NUMERIC, FLOAT8), joined(1082, TIMESTAMPTZ), joined(0, TEXT)), (0, 0, 0));
    }

    #[test]
    fn a_constant_beside_others_is_tame_only_where_no_value_is_refused() {
        let text = Value { type_oid: UNKNOWN, ..Value::none() };
        let null = Value { type_oid: UNKNOWN, tame: Some(Flow::none()), ..Value::none() };
        let number = Value { tame: Some(Flow::none()), ..Value::typed(Flow::none(), NUMERIC) };
        let of = |values: &[&Value]| {
            let (of, tame) = common(values.iter().copied());
            (of, tame.is_some())
        };
        assert_eq!(of(&[&text, &Value::typed(Flow::none(), TEXT)]), (TEXT, true));
        assert_eq!(of(&[&number, &text]), (NUMERIC, false));
        assert_eq!(of(&[&number, &null]), (NUMERIC, true));
        assert_eq!(of(&[&number, &Value::typed(Flow::none(), INT4)]), (NUMERIC, true));
        assert_eq!(of(&[&Value::typed(Flow::none(), JSON), &null]), (JSON, false));
        assert_eq!(of(&[&text, &null]), (UNKNOWN, false));
    }
}
