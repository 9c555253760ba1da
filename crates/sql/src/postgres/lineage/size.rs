//! How long a value may become, and which calls refuse it for that, far below the gigabyte that no value exceeds.
//!
//! `lower` takes room for four bytes of every character, `btrim` for a pointer to each, `to_jsonb` has 28 bits for a
//! length: for a text of some hundred million characters they are an error, which comes in no time. Whoever chooses by
//! a protected value whether such a text is there is told by it. So a bound of each value's length is kept, and what
//! is given more than [`LARGE`] is a risk. Bounds are nominal: [`STORED`] for what a column holds.
//!
//! Promises: what a text makes out of constants and of stored values of up to a megabyte is known to be large where it
//! is longer than 64 million bytes; what grows with the number of rows counts as large. Does not promise anything
//! where longer values are stored, nor of results above a gigabyte ([`TAKES_ALL`]).
//! Held by: `fixtures/sql/lineage.tsv` and `tests` below.

use super::Tracer;
use super::flow::Value;
use super::kind::Side;
use super::settled;
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, TypeName, a_const};
use portcullis_model::catalogue::Oid;

/// Numbers, times and names.
pub(super) const SMALL: u64 = 64;

/// What a column holds, and whatever else is not told. Sixteen times as much is looked for.
pub(super) const STORED: u64 = 64 << 10;

/// What comes with Bind.
pub(super) const PARAMETER: u64 = 2 << 20;

/// From here on some calls may refuse a value.
const LARGE: u64 = 4 << 20;

/// As long as somebody likes.
pub(super) const ENDLESS: u64 = u64::MAX;

/// They take what there is, up to a gigabyte.
const TAKES_ALL: [&str; 36] = [
    "->",
    "->>",
    "<",
    "<=",
    "<>",
    "=",
    ">",
    ">=",
    "any_value",
    "array_agg",
    "array_length",
    "array_to_json",
    "array_to_string",
    "bit_length",
    "cardinality",
    "char_length",
    "character_length",
    "concat",
    "concat_ws",
    "count",
    "json_agg",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "left",
    "length",
    "max",
    "md5",
    "min",
    "octet_length",
    "right",
    "row_to_json",
    "string_agg",
    "to_json",
    "unnest",
    "||",
];

/// Built-in functions whose results are no longer than what they are given, but for their delimiters and marks.
const KEEPING: &str = "any_value array_to_json btrim chr concat encode first_value host initcap json_build_array \
     json_build_object json_strip_nulls jsonb_build_array jsonb_build_object jsonb_strip_nulls lag last_value \
     lead left lower ltrim max md5 min nth_value overlay quote_ident quote_literal quote_nullable \
     regexp_match regexp_matches regexp_split_to_table regexp_substr reverse right row_to_json rtrim \
     split_part string_to_table substr substring text to_char to_json to_jsonb translate trim unnest upper";

/// Those that give numbers, times and digests, whatever they are given.
const NUMBERS: &str = "abs age array_dims avg bit_and bit_or broadcast ceil ceiling cume_dist date_part date_trunc div exp \
     extract family floor generate_series hashtextextended json_typeof jsonb_typeof justify_days \
     justify_hours justify_interval ln log make_date make_interval make_timestamp make_timestamptz mod \
     network ntile percent_rank power random round sha224 sha256 sha384 sha512 sign sqrt stddev stddev_pop \
     stddev_samp sum to_date to_timestamp trunc var_pop var_samp variance width_bucket";

/// Types of which no value is long, nor has a collation.
const fn is_short(of: Oid) -> bool {
    matches!(
        of,
        16 | 18
            | 20
            | 21
            | 23
            | 26
            | 650
            | 700
            | 701
            | 790
            | 829
            | 869
            | 1082
            | 1083
            | 1114
            | 1184
            | 1186
            | 1266
            | 2950
    )
}

/// Whether values of the type may have a collation.
pub(super) const fn has_collation(of: Oid) -> bool {
    !is_short(of)
}

/// A value of the type that is stored, or of which nothing more is told.
pub(super) const fn of_type(of: Oid) -> u64 {
    if is_short(of) || of == 19 { SMALL } else { STORED }
}

fn sum<'v>(values: impl Iterator<Item = &'v Value>) -> u64 {
    values.fold(0, |all, value| all.saturating_add(value.size))
}

/// So many as they are written. A number below 0 is none: it counts from the other end, as in `left(x, -1)`.
fn count(node: Option<&Node>) -> Option<u64> {
    match node?.node.as_ref()? {
        NodeEnum::AConst(constant) => match constant.val.as_ref()? {
            a_const::Val::Ival(number) => u64::try_from(number.ival).ok(),
            a_const::Val::Fval(_) | a_const::Val::Boolval(_) | a_const::Val::Sval(_) | a_const::Val::Bsval(_) => None,
        },
        _ => None,
    }
}

/// The bytes of a text as it is written.
fn written(node: Option<&Node>) -> Option<u64> {
    match node?.node.as_ref()? {
        NodeEnum::AConst(constant) => match constant.val.as_ref()? {
            a_const::Val::Sval(text) => Some(bytes(&text.sval)),
            a_const::Val::Ival(_) | a_const::Val::Fval(_) | a_const::Val::Boolval(_) | a_const::Val::Bsval(_) => None,
        },
        _ => None,
    }
}

/// The length of a text.
pub(super) fn bytes(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(ENDLESS)
}

/// The result of a built-in function; `of`: its type.
pub(super) fn of_call(name: &str, of: Oid, arguments: &[Side<'_>]) -> u64 {
    let node = |at: usize| arguments.get(at).and_then(|(_, node)| *node);
    let first = arguments.first().map_or(0, |(value, _)| value.size);
    let all = sum(arguments.iter().map(|(value, _)| *value));
    let grown = |by: Option<u64>| by.map_or(ENDLESS, |by| first.saturating_mul(by.saturating_add(1)));
    match name {
        _ if is_short(of) => SMALL,
        "repeat" => count(node(1)).map_or(ENDLESS, |times| first.saturating_mul(times)),
        "lpad" | "rpad" => count(node(1)).map_or(ENDLESS, |length| length.saturating_mul(4)),
        "left" => count(node(1)).map_or(first, |length| first.min(length.saturating_mul(4))),
        "replace" | "regexp_replace" => grown(written(node(2))),
        "array_to_string" => match (written(node(1)), arguments.len()) {
            (Some(delimiter), 2) => grown(Some(delimiter)),
            _ => ENDLESS,
        },
        "concat_ws" => all.saturating_add(first.saturating_mul(bytes_of(arguments.len()))),
        "format" => settled::text(node(0)).map_or(ENDLESS, |format| formatted(format, all, arguments)),
        "string_to_array" | "regexp_split_to_array" => all.saturating_mul(16),
        _ if NUMBERS.split(' ').any(|known| known == name) => STORED,
        _ if KEEPING.split(' ').any(|known| known == name) => all,
        _ => ENDLESS,
    }
}

/// The same, of a call with VARIADIC: what `concat_ws` puts between elements stands there as often as an array has
/// some.
pub(super) fn of_variadic(name: &str, of: Oid, arguments: &[Side<'_>]) -> u64 {
    if name == "concat_ws" { ENDLESS } else { of_call(name, of, arguments) }
}

/// What `format` makes of values of this length together. A width that is long or is given with the values makes it as
/// long as one likes; a value that is named by its place may come again.
fn formatted(format: &str, all: u64, arguments: &[Side<'_>]) -> u64 {
    /// More than five digits say.
    const WIDEST: u64 = 100_000;
    let Some(places) = settled::places(format, &['s', 'L', 'I']).map(bytes_of) else { return ENDLESS };
    let longest = arguments.iter().map(|(value, _)| value.size).max().unwrap_or(0);
    let again = if format.contains('$') { longest } else { 0 };
    all.saturating_add(places.saturating_mul(again.saturating_add(WIDEST)))
}

fn bytes_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(ENDLESS)
}

/// The result of an operator; `of`: its type.
pub(super) fn of_operation(symbol: &str, of: Oid, sides: &[Side<'_>]) -> u64 {
    let first = sides.first().map_or(0, |(value, _)| value.size);
    match symbol {
        _ if is_short(of) => SMALL,
        "->" | "->>" | "#>" | "#>>" => first,
        _ => sum(sides.iter().map(|(value, _)| *value)),
    }
}

/// A value cast to a type; `of`: that type, as far as it is told.
pub(super) fn of_cast(name: &TypeName, of: Oid, value: &Value) -> u64 {
    if is_short(of) {
        return SMALL;
    }
    // Blanks and zeros are filled in up to the length.
    let filled = name.typmods.first().map_or(0, |typmod| count(Some(typmod)).map_or(ENDLESS, |length| length * 2));
    let shown = if has_collation(value.type_oid) { value.size } else { SMALL };
    shown.max(filled)
}

impl Tracer<'_, '_> {
    /// A call of what may refuse values that are large.
    pub(super) fn strained(&mut self, name: &str, sides: &[Side<'_>]) {
        if !TAKES_ALL.contains(&name) && sum(sides.iter().map(|(value, _)| *value)) >= LARGE {
            self.may_fail(sides);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtins;
    use crate::postgres::lineage::flow::Flow;

    #[test]
    fn names_are_in_order_and_built_in() {
        assert!(TAKES_ALL.windows(2).all(|pair| pair[0] < pair[1]));
        for name in TAKES_ALL.iter().copied().chain(KEEPING.split(' ')).chain(NUMBERS.split(' ')) {
            assert!(
                builtins::function(name).is_some() || name == "trim" || builtins::is_builtin_operator(name),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_put_together_is_as_long_as_its_parts() {
        let stored = Value::of(Flow::none());
        let side: Side<'_> = (&stored, None);
        assert_eq!(of_call("lower", 25, &[side]), STORED);
        assert_eq!(of_call("length", 23, &[side]), SMALL);
        assert_eq!(of_operation("||", 25, &[side, side]), 2 * STORED);
        assert_eq!(of_call("string_agg", 25, &[side]), ENDLESS);
        assert_eq!(of_call("repeat", 25, &[side, side]), ENDLESS);
        assert_eq!(of_call("query_to_xml", 0, &[side]), ENDLESS);
        assert_eq!(of_call("format", 25, &[side]), ENDLESS);
        assert_eq!(of_call("concat_ws", 25, &[side, side]), 4 * STORED);
        assert_eq!(of_variadic("concat_ws", 25, &[side, side]), ENDLESS);
        assert_eq!(formatted("%s and %-9s", 3 * STORED, &[side]), 3 * STORED + 200_000);
        assert_eq!(formatted("%1$s%1$s", STORED, &[side]), 3 * STORED + 200_000);
    }
}
