//! Built-in functions that one call could make as long, or as large, as a number or text in it says.
//!
//! Promises: the evaluator looks at the clock between its steps and not inside a built-in function, so those that allocate or
//! go round by a number of theirs, or multiply their texts, are called through here: a range of more than [`ELEMENTS`], a
//! shift or an exponent beyond [`DIGITS`], a column wider than [`WIDTH`], texts beyond [`TEXT`] where the work is their
//! product, or a result beyond [`RESULT`], is an error, and so a denial. The numbers and texts may come from a claim.
//! The others take time and room in proportion to what they are given; `graph.reachable_paths` is not offered (`module.rs`).
//! Does not promise anything of operators: `x * x` of a module doubles the digits each time it is written.
//! Held by: `rego/tests/bounds.rs`; that each of the evaluator's functions was looked at, by a list there.

use super::module::NOT_OFFERED;
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

/// Bytes of a text that is put together.
const RESULT: usize = 1 << 20;

/// What a call may come to.
#[derive(Clone, Copy)]
enum Bound {
    /// From a number to a number.
    Range,
    /// By this many bits.
    Shift,
    /// Text with a unit, of which the number may have an exponent.
    Exponent,
    /// A format and what is put in.
    Format,
    /// Texts with a text between each.
    Joined,
    /// Two lists.
    Lists,
    /// Texts, wherever they stand.
    Texts,
    /// Numbers that are multiplied.
    Product,
    /// What becomes a text.
    Written,
}

/// The functions that are bounded.
const BOUNDED: &[(&str, Bound)] = &[
    ("numbers.range", Bound::Range),
    ("numbers.range_step", Bound::Range),
    ("bits.lsh", Bound::Shift),
    ("units.parse", Bound::Exponent),
    ("units.parse_bytes", Bound::Exponent),
    ("sprintf", Bound::Format),
    ("concat", Bound::Joined),
    ("array.concat", Bound::Lists),
    ("product", Bound::Product),
    ("replace", Bound::Texts),
    ("strings.replace_n", Bound::Texts),
    ("strings.count", Bound::Texts),
    ("strings.any_prefix_match", Bound::Texts),
    ("strings.any_suffix_match", Bound::Texts),
    ("indexof", Bound::Texts),
    ("indexof_n", Bound::Texts),
    ("trim", Bound::Texts),
    ("trim_left", Bound::Texts),
    ("trim_right", Bound::Texts),
    ("glob.match", Bound::Texts),
    ("glob.quote_meta", Bound::Texts),
    ("regex.is_valid", Bound::Texts),
    ("regex.match", Bound::Texts),
    ("regex.replace", Bound::Texts),
    ("regex.split", Bound::Texts),
    ("regex.find_n", Bound::Texts),
    ("regex.find_all_string_submatch_n", Bound::Texts),
    ("regex.template_match", Bound::Texts),
    ("base64.encode", Bound::Written),
    ("base64url.encode", Bound::Written),
    ("base64url.encode_no_pad", Bound::Written),
    ("hex.encode", Bound::Written),
    ("urlquery.encode", Bound::Written),
    ("urlquery.encode_object", Bound::Written),
    ("json.marshal", Bound::Written),
    ("json.marshal_with_options", Bound::Written),
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

/// Puts the bounded functions before the evaluator's own, and an error in the place of those that are not offered.
pub(super) fn bound(engine: &mut Engine) -> Option<()> {
    let nowhere = Source::from_contents(String::new(), String::new()).ok()?;
    let span = Span { source: nowhere, line: 1, col: 1, start: 0, end: 0 };
    for (name, bound) in BOUNDED {
        let (call, arguments) = *BUILTINS.get(name)?;
        let (bound, at) = (*bound, span.clone());
        // The evaluator's functions count their parameters, and say where they stand.
        let params: Vec<_> =
            (0..arguments).map(|_| Ref::new(Expr::Null { span: span.clone(), value: Value::Null, eidx: 0 })).collect();
        let extension = move |arguments: Vec<Value>| match bound.allows(&arguments) {
            true => call(&at, &params, &arguments, true),
            false => Err(TooMuch.into()),
        };
        engine.add_extension((*name).to_owned(), arguments, Box::new(extension)).ok()?;
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
        let text = |nth: usize| arguments.get(nth).and_then(|one| one.as_string().ok());
        let number = |nth: usize| arguments.get(nth).and_then(|one| one.as_i64().ok());
        match self {
            // What is no whole number, the function refuses itself.
            Self::Range => match (number(0), number(1)) {
                (Some(from), Some(to)) => {
                    let step = number(2).unwrap_or(1).unsigned_abs().max(1);
                    from.abs_diff(to) / step < ELEMENTS
                }
                _ => false,
            },
            Self::Shift => number(1).is_some_and(|bits| bits.unsigned_abs() <= DIGITS),
            Self::Exponent => text(0).is_none_or(|text| exponents(text)),
            Self::Format => text(0).is_some_and(|text| widths(text)) && size(arguments, RESULT).is_some(),
            Self::Joined => match (text(0), size(arguments.get(1..).unwrap_or_default(), RESULT)) {
                (Some(between), Some(bytes)) => {
                    let texts = arguments.get(1).map_or(0, elements);
                    between.len().saturating_mul(texts).saturating_add(bytes) <= RESULT
                }
                _ => false,
            },
            Self::Lists => arguments.iter().map(elements).sum::<usize>() as u64 <= ELEMENTS,
            Self::Texts => size(arguments, TEXT).is_some(),
            Self::Product => arguments.iter().map(elements).sum::<usize>() <= WIDTH as usize,
            Self::Written => size(arguments, RESULT).is_some(),
        }
    }
}

/// Whether no number in this text has an exponent beyond [`DIGITS`].
fn exponents(text: &str) -> bool {
    text.split(['e', 'E']).skip(1).all(|exponent| number(exponent.trim_start_matches(['+', '-'])) <= DIGITS)
}

/// Whether no column of this format is wider than [`WIDTH`].
fn widths(format: &str) -> bool {
    format.split('%').skip(1).all(|column| number(column.trim_start_matches('.')) <= WIDTH)
}

/// The number that this text begins with; 0 without one.
fn number(text: &str) -> u64 {
    let digits = text.chars().map_while(|digit| digit.to_digit(10));
    digits.fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(u64::from(digit)))
}

fn elements(value: &Value) -> usize {
    match value {
        Value::Array(all) => all.len(),
        Value::Set(all) => all.len(),
        Value::Object(all) => all.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Undefined => 0,
    }
}

/// How long these values are when they are written, a value in two places counted twice; `None` beyond this many bytes.
fn size(values: &[Value], most: usize) -> Option<usize> {
    let mut left = most;
    let mut open: Vec<&Value> = values.iter().collect();
    while let Some(value) = open.pop() {
        // An element is a comma at least; no number of a case or of data is longer.
        let bytes = match value {
            Value::String(text) => text.len() + 1,
            _ => 1,
        };
        left = left.checked_sub(bytes)?;
        if elements(value) > left {
            return None;
        }
        match value {
            Value::Array(all) => open.extend(all.iter()),
            Value::Set(all) => open.extend(all.iter()),
            Value::Object(all) => open.extend(all.iter().flat_map(|(key, value)| [key, value])),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Undefined => {}
        }
    }
    Some(most - left)
}
