//! What is no array for certain: arrays have shapes that can be put together or not, which is an answer.
//!
//! Promises: a call that is said to give no array gives none on any server. Does not promise to know every one that gives
//! none: what is not known counts as an array. Held by: `fixtures/sql/lineage.tsv`.

use super::flow::Value;
use super::operator::is_constant;
use crate::postgres::names;
use crate::postgres::types;
use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, AIndirection, Node, TypeName};

/// Built-in functions whose results are no arrays, whatever they are given.
const SINGLE: [&str; 120] = [
    "abs",
    "age",
    "ascii",
    "avg",
    "bit_length",
    "bool_and",
    "bool_or",
    "btrim",
    "ceil",
    "ceiling",
    "char_length",
    "character_length",
    "chr",
    "concat",
    "concat_ws",
    "count",
    "cume_dist",
    "current_setting",
    "date_part",
    "date_trunc",
    "decode",
    "dense_rank",
    "encode",
    "every",
    "extract",
    "floor",
    "format",
    "gen_random_uuid",
    "hashtext",
    "host",
    "initcap",
    "json_agg",
    "json_array_elements",
    "json_array_elements_text",
    "json_array_length",
    "json_build_array",
    "json_build_object",
    "json_extract_path",
    "json_extract_path_text",
    "json_object",
    "json_object_agg",
    "json_object_keys",
    "json_strip_nulls",
    "json_typeof",
    "jsonb_agg",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_array_length",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_extract_path",
    "jsonb_extract_path_text",
    "jsonb_object",
    "jsonb_object_agg",
    "jsonb_object_keys",
    "jsonb_path_exists",
    "jsonb_path_query",
    "jsonb_path_query_array",
    "jsonb_path_query_first",
    "jsonb_pretty",
    "jsonb_set",
    "jsonb_strip_nulls",
    "jsonb_typeof",
    "left",
    "length",
    "lower",
    "lpad",
    "ltrim",
    "make_date",
    "make_interval",
    "make_timestamp",
    "masklen",
    "md5",
    "mod",
    "now",
    "num_nonnulls",
    "num_nulls",
    "octet_length",
    "overlay",
    "percent_rank",
    "pg_column_size",
    "pg_typeof",
    "position",
    "power",
    "quote_ident",
    "quote_literal",
    "quote_nullable",
    "rank",
    "regexp_count",
    "regexp_like",
    "regexp_replace",
    "regexp_split_to_table",
    "regexp_substr",
    "repeat",
    "replace",
    "reverse",
    "right",
    "round",
    "row_number",
    "row_to_json",
    "rpad",
    "rtrim",
    "sha256",
    "sign",
    "split_part",
    "sqrt",
    "starts_with",
    "string_agg",
    "string_to_table",
    "strpos",
    "substr",
    "substring",
    "text",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "translate",
];

/// Those that give what their first argument is: one of its values, or an element of it.
const LIKE_ITS_FIRST: [&str; 8] = ["any_value", "first_value", "lag", "last_value", "lead", "max", "min", "nth_value"];

/// Whether the call of a built-in gives no array.
pub(super) fn of_call(name: &str, arguments: &[Value]) -> bool {
    let first = || arguments.first().is_some_and(|value| value.scalar);
    SINGLE.binary_search(&name).is_ok()
        || matches!(name, "trim" | "trunc" | "upper" | "sum" | "unnest")
        || LIKE_ITS_FIRST.contains(&name) && first()
}

/// Whether an operator gives no array.
pub(super) fn of_operation(kind: AExprKind, symbol: &str, operands: &[(&Value, Option<&Node>)]) -> bool {
    match kind {
        AExprKind::AexprNullif => operands.first().is_some_and(|(value, _)| value.scalar),
        AExprKind::Undefined | AExprKind::AexprOp => match symbol {
            "+" | "-" | "*" | "/" | "%" | "^" | "||" => joins(operands),
            "=" | "<>" | "<" | ">" | "<=" | ">=" | "~" | "~*" | "!~" | "!~*" | "~~" | "~~*" | "!~~" | "!~~*" | "->"
            | "->>" | "#>" | "#>>" | "@>" | "<@" | "?" | "?|" | "?&" | "&&" | "@@" => true,
            _ => false,
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
        | AExprKind::AexprNotBetweenSym => true,
    }
}

/// Whether each operand is no array: one is so for certain, and the other too, or it is written as a constant, which is
/// read as what the one is.
pub(super) fn joins(operands: &[(&Value, Option<&Node>)]) -> bool {
    operands.iter().any(|(value, _)| value.scalar)
        && operands.iter().all(|(value, node)| value.scalar || node.is_none() || is_constant(*node))
}

/// Whether a cast to the type gives no array.
pub(super) fn of_type(name: &TypeName) -> bool {
    name.array_bounds.is_empty()
        && match names::strings(&name.names).as_deref() {
            Some([name] | [names::CATALOGUE, name]) => types::oid(name).is_some(),
            _ => false,
        }
}

/// Whether what is taken out of a value is one element of it, or a field of a document.
pub(super) fn of_element(indirection: &AIndirection) -> bool {
    !indirection.indirection.is_empty()
        && indirection
            .indirection
            .iter()
            .all(|step| matches!(&step.node, Some(NodeEnum::AIndices(indices)) if !indices.is_slice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_built_in() {
        assert!(SINGLE.windows(2).all(|pair| pair[0] < pair[1]));
        for name in SINGLE.iter().chain(&LIKE_ITS_FIRST) {
            assert!(crate::builtins::function(name).is_some(), "{name}");
        }
    }
}
