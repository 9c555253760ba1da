//! What a call of a built-in function may come to.
//!
//! The evaluator looks at the clock between its steps and not inside a built-in function, and no allocation that fails can be
//! caught. So each function is called through here, but for those that look at nothing but the kind of a value. Promises: a
//! call is an error, and so a denial, where its arguments are longer than [`RESULT`] when they are written (a value in two
//! places counted twice: the evaluator writes whatever it finds in a wrong place into its message), where its result could
//! be, or where it goes round by a number or text of its arguments for longer than the bound of its row in [`CALLS`] says.
//! The numbers and texts may come from a claim.
//! Does not promise anything of operators, or of `print`: `x * x` of a module doubles the digits each time it is written.
//! Held by: `rego/tests/bounds.rs`; that each of the evaluator's functions was looked at, and has its row, by a test there.

mod measure;

use super::module::NOT_OFFERED;
use measure::{elements, exponents, numerals, pairs, paths_are_short, replaced, replaced_each, size, walked, widths};
use regorus::unstable::{BUILTINS, Expr, Ref, Span};
use regorus::{Engine, Source, Value};

/// Elements of a range or of joined arrays.
const ELEMENTS: u64 = 100_000;

/// Bits that a number is shifted by, and the largest power of ten that a text may name.
const DIGITS: u64 = 4096;

/// The widest column of `sprintf`.
const WIDTH: u64 = 1000;

/// Bytes of text where the work may be the product of their lengths.
const TEXT: usize = 64 << 10;

/// Bytes of a template, of which each pattern is compiled.
const TEMPLATE: usize = 4 << 10;

/// Bytes of what is put together, and of what it is put together of.
const RESULT: usize = 1 << 20;

/// Bytes or elements that a call may go over, again and again.
const WORK: usize = 64 << 20;

/// Steps of a path into a value: what is made of it is dropped step within step.
const STEPS: usize = 128;

/// What a call may come to. But for the first three, arguments are never longer than [`RESULT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// It looks at the kind of a value or at its length.
    Kind,
    /// It looks at the keys of an object of any length; of what else it is given, only the first is looked at.
    Keyed,
    /// It takes over elements of an array of any length.
    Listed,
    /// It goes over its arguments once, or sorts them: its result is at most six times as long.
    Once,
    /// From a number to a number.
    Range,
    /// By this many bits.
    Shift,
    /// A text that is a number, or in which numbers stand.
    Numerals,
    /// Text with a unit, of which the number may have an exponent.
    Exponent,
    /// A format and what is put in.
    Format,
    /// Texts with a text between each.
    Joined,
    /// Two lists.
    Lists,
    /// Texts, wherever they stand, of which each may be looked for in each.
    Texts,
    /// A text that is replaced, perhaps everywhere.
    Replaced,
    /// The same for many texts, one after the other.
    ReplacedEach,
    /// The same for a pattern, whose groups the replacement may name.
    ReplacedPattern,
    /// Each group of a pattern, wherever it matches.
    Groups,
    /// Patterns between texts.
    Template,
    /// A pattern and a text in which each delimiter gets two more characters.
    Glob,
    /// Numbers that are multiplied.
    Product,
    /// Each key with each of its values.
    Pairs,
    /// Each value with the path to it.
    Walked,
    /// A value, and paths into it.
    Paths,
    /// Each of a list is joined with all before it.
    Merged,
    /// Each place of the one is compared with the other.
    Compared,
}

/// Every function that is offered, by what bounds it; `time.now_ns` is the gateway's own.
pub(super) const CALLS: &[(Bound, &[&str])] = &[
    (
        Bound::Kind,
        &["count", "is_array", "is_boolean", "is_null", "is_number", "is_object", "is_set", "is_string", "type_name"],
    ),
    (Bound::Keyed, &["object.get", "object.keys"]),
    (Bound::Listed, &["array.reverse", "array.slice"]),
    // Numbers.
    (
        Bound::Once,
        &["abs", "ceil", "floor", "round", "sum", "bits.and", "bits.negate", "bits.or", "bits.rsh", "bits.xor"],
    ),
    // In a base, a number has at most four times its digits.
    (Bound::Once, &["format_int"]),
    // A text that is searched once, or of which a part or each letter is taken; a lower or upper letter is at most three.
    (
        Bound::Once,
        &[
            "contains",
            "startswith",
            "endswith",
            "lower",
            "upper",
            "split",
            "strings.reverse",
            "substring",
            "trim_prefix",
            "trim_space",
            "trim_suffix",
            "trace",
        ],
    ),
    // Of a byte become at most three, and back; of a value the text, with escapes of six characters.
    (
        Bound::Once,
        &[
            "base64.decode",
            "base64.encode",
            "base64.is_valid",
            "base64url.decode",
            "base64url.encode",
            "base64url.encode_no_pad",
            "hex.decode",
            "hex.encode",
            "json.marshal",
            "urlquery.decode",
            "urlquery.decode_object",
            "urlquery.encode",
        ],
    ),
    // Each element is compared with a few others, or sorted among them.
    (
        Bound::Once,
        &[
            "__builtin_sets.intersection",
            "__builtin_sets.union",
            "intersection",
            "max",
            "min",
            "object.filter",
            "object.remove",
            "object.union",
            "sort",
        ],
    ),
    // Each edge is gone once.
    (Bound::Once, &["graph.reachable"]),
    // A few parts of a text, none of which says how often; a layout becomes at most three times as long.
    (
        Bound::Once,
        &[
            "semver.compare",
            "semver.is_valid",
            "time.add_date",
            "time.clock",
            "time.date",
            "time.diff",
            "time.format",
            "time.parse_duration_ns",
            "time.parse_ns",
            "time.parse_rfc3339_ns",
            "time.weekday",
        ],
    ),
    (Bound::Range, &["numbers.range", "numbers.range_step"]),
    (Bound::Shift, &["bits.lsh"]),
    (Bound::Numerals, &["json.is_valid", "json.unmarshal", "to_number"]),
    (Bound::Exponent, &["units.parse", "units.parse_bytes"]),
    (Bound::Format, &["sprintf"]),
    (Bound::Joined, &["concat"]),
    (Bound::Lists, &["array.concat"]),
    (
        Bound::Texts,
        &[
            "indexof",
            "indexof_n",
            "strings.any_prefix_match",
            "strings.any_suffix_match",
            "strings.count",
            "trim",
            "trim_left",
            "trim_right",
            "glob.quote_meta",
            "regex.find_n",
            "regex.is_valid",
            "regex.match",
            "regex.split",
        ],
    ),
    (Bound::Replaced, &["replace"]),
    (Bound::ReplacedEach, &["strings.replace_n"]),
    (Bound::ReplacedPattern, &["regex.replace"]),
    (Bound::Groups, &["regex.find_all_string_submatch_n"]),
    (Bound::Template, &["regex.template_match"]),
    (Bound::Glob, &["glob.match"]),
    (Bound::Product, &["product"]),
    (Bound::Pairs, &["urlquery.encode_object"]),
    (Bound::Walked, &["walk"]),
    (Bound::Paths, &["json.filter", "json.remove"]),
    (Bound::Merged, &["object.union_n", "union"]),
    (Bound::Compared, &["object.subset"]),
];

/// Why a call is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TooMuch;

impl std::fmt::Display for TooMuch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a call that would take too much")
    }
}

impl std::error::Error for TooMuch {}

/// Puts these calls before the evaluator's own, and an error in the place of those that are not offered.
pub(super) fn bound(engine: &mut Engine) -> Option<()> {
    let nowhere = Source::from_contents(String::new(), String::new()).ok()?;
    let span = Span { source: nowhere, line: 1, col: 1, start: 0, end: 0 };
    let called = CALLS.iter().flat_map(|(bound, names)| names.iter().map(|name| (*bound, *name)));
    for (bound, name) in called.filter(|(bound, _)| *bound != Bound::Kind) {
        let (call, arguments) = *BUILTINS.get(name)?;
        let at = span.clone();
        // The evaluator's functions count their parameters, and say where they stand.
        let params: Vec<_> =
            (0..arguments).map(|_| Ref::new(Expr::Null { span: span.clone(), value: Value::Null, eidx: 0 })).collect();
        let extension = move |arguments: Vec<Value>| match bound.allows(&arguments) {
            true => call(&at, &params, &arguments, true),
            false => Err(TooMuch.into()),
        };
        engine.add_extension(name.to_owned(), arguments, Box::new(extension)).ok()?;
    }
    for name in NOT_OFFERED {
        // Loading refuses them by name; this is for whoever spells the name in another way.
        let Some((_, arguments)) = BUILTINS.get(name) else { continue };
        engine.add_extension((*name).to_owned(), *arguments, Box::new(|_| Err(TooMuch.into()))).ok()?;
    }
    Some(())
}

impl Bound {
    fn allows(self, arguments: &[Value]) -> bool {
        let given = match (self, arguments) {
            (Self::Kind, _) => return true,
            (Self::Keyed, [Value::Object(_), rest @ ..]) => rest.get(..1).unwrap_or_default(),
            (Self::Listed, [Value::Array(_), rest @ ..]) => rest,
            _ => arguments,
        };
        let Some(bytes) = size(given, RESULT) else { return false };
        let text = |nth: usize| arguments.get(nth).and_then(|one| one.as_string().ok()).map_or("", |text| &**text);
        let number = |nth: usize| arguments.get(nth).and_then(|one| one.as_i64().ok());
        let many = |nth: usize| arguments.get(nth).map_or(0, elements);
        match self {
            Self::Kind | Self::Keyed | Self::Listed | Self::Once => true,
            // What is no whole number, the function refuses itself.
            Self::Range => match (number(0), number(1)) {
                (Some(from), Some(to)) => {
                    let step = number(2).unwrap_or(1).unsigned_abs().max(1);
                    from.abs_diff(to) / step < ELEMENTS
                }
                _ => false,
            },
            Self::Shift => number(1).is_some_and(|bits| bits.unsigned_abs() <= DIGITS),
            Self::Numerals => numerals(text(0)),
            Self::Exponent => numerals(text(0)) && exponents(text(0)),
            Self::Format => widths(text(0)),
            Self::Joined => text(0).len().saturating_mul(many(1)).saturating_add(bytes) <= RESULT,
            Self::Lists => many(0).saturating_add(many(1)) as u64 <= ELEMENTS,
            Self::Texts => bytes <= TEXT,
            Self::Replaced => bytes <= TEXT && replaced(text(0).len(), text(1).len(), text(2).len()) <= RESULT,
            Self::ReplacedEach => bytes <= TEXT && replaced_each(arguments.first(), text(1).len()),
            Self::ReplacedPattern => {
                let groups = text(2).matches('$').count().saturating_add(1);
                bytes <= TEXT && replaced(text(0).len(), 0, text(2).len()) + text(0).len() * groups <= RESULT
            }
            Self::Groups => {
                let groups = text(0).matches('(').count() + 1;
                bytes <= TEXT && groups * (text(1).len() + 1) <= ELEMENTS as usize
            }
            Self::Template => bytes <= TEMPLATE,
            Self::Glob => bytes <= TEXT && bytes.saturating_mul(1 + 2 * many(1)) <= RESULT,
            Self::Product => many(0) <= WIDTH as usize && bytes <= TEXT,
            Self::Pairs => pairs(arguments.first()).saturating_add(bytes) <= RESULT,
            Self::Walked => arguments.first().is_none_or(|value| walked(value).is_some()),
            Self::Paths => arguments.get(1).is_none_or(paths_are_short),
            Self::Merged => many(0).saturating_mul(bytes) <= WORK,
            Self::Compared => {
                let one = |nth: usize| {
                    arguments.get(nth).map_or(0, |value| size(std::slice::from_ref(value), RESULT).unwrap_or(RESULT))
                };
                one(0).saturating_mul(one(1)) <= WORK
            }
        }
    }
}
