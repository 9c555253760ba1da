//! How long values are, and what becomes of them: what the bounds of built-in functions are taken against.
//!
//! Promises: never an answer that is too small; a value is gone over no further than the bound reaches, wherever the same
//! value stands in it many times.
//! Held by: `rego/tests/bounds.rs`.

use super::{DIGITS, RESULT, STEPS, WIDTH, WORK};
use regorus::Value;

/// The length of a text of `text` bytes in which each `old` bytes become `new`; without `old`, something is put between all.
pub(super) fn replaced(text: usize, old: usize, new: usize) -> usize {
    let each = text.checked_div(old).map(|times| (times, new.saturating_sub(old)));
    let (times, more) = each.unwrap_or((text + 1, new));
    text.saturating_add(times.saturating_mul(more))
}

/// Whether neither a text in which all these are replaced, in the order of the evaluator, gets too long, nor doing it.
pub(super) fn replaced_each(texts: Option<&Value>, mut text: usize) -> bool {
    let Some(Value::Object(texts)) = texts else { return true };
    let length = |value: &Value| value.as_string().map_or(0, |text| text.len());
    let mut each: Vec<(&Value, &Value)> = texts.iter().collect();
    each.sort_unstable();
    let mut work = 0_usize;
    each.into_iter().all(|(old, new)| {
        text = replaced(text, length(old), length(new));
        work = work.saturating_add(text);
        text <= RESULT && work <= WORK
    })
}

/// The length of a query in which each key stands before each of its values.
pub(super) fn pairs(object: Option<&Value>) -> usize {
    let Some(Value::Object(all)) = object else { return 0 };
    let length = |key: &Value| key.as_string().map_or(0, |text| text.len()) + 2;
    let each = all.iter().map(|(key, value)| length(key).saturating_mul(elements(value).max(1)));
    each.fold(0, usize::saturating_add)
}

/// How much all values within this one are with their paths; `None` beyond [`RESULT`].
pub(super) fn walked(value: &Value) -> Option<usize> {
    let (mut left, mut open) = (RESULT, vec![(value, 0_usize)]);
    while let Some((value, depth)) = open.pop() {
        left = left.checked_sub(depth + 4)?;
        if elements(value) > left {
            return None;
        }
        within(value, |inner| open.push((inner, depth + 1)), |_| ());
    }
    Some(RESULT - left)
}

/// Whether none of these paths has more than [`STEPS`].
pub(super) fn paths_are_short(paths: &Value) -> bool {
    let mut short = true;
    let mut look = |path: &Value| {
        short &= match path {
            Value::String(text) => text.matches('/').count() < STEPS,
            other => elements(other) <= STEPS,
        };
    };
    within(paths, &mut look, |_| ());
    short
}

/// Whether no number in this text has an exponent beyond [`DIGITS`].
pub(super) fn exponents(text: &str) -> bool {
    text.split(['e', 'E']).skip(1).all(|exponent| number(exponent.trim_start_matches(['+', '-'])) <= DIGITS)
}

/// Whether no number in this text has more than [`DIGITS`] digits.
pub(super) fn numerals(text: &str) -> bool {
    text.split(|letter: char| !letter.is_ascii_digit()).all(|digits| digits.len() as u64 <= DIGITS)
}

/// Whether no column of this format is wider than [`WIDTH`].
pub(super) fn widths(format: &str) -> bool {
    format.split('%').skip(1).all(|column| number(column.trim_start_matches('.')) <= WIDTH)
}

/// The number that this text begins with; 0 without one.
fn number(text: &str) -> u64 {
    let digits = text.chars().map_while(|digit| digit.to_digit(10));
    digits.fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(u64::from(digit)))
}

pub(super) fn elements(value: &Value) -> usize {
    match value {
        Value::Array(all) => all.len(),
        Value::Set(all) => all.len(),
        Value::Object(all) => all.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Undefined => 0,
    }
}

/// The elements of a value, or its values and its keys.
fn within<'a>(value: &'a Value, mut element: impl FnMut(&'a Value), mut key: impl FnMut(&'a Value)) {
    match value {
        Value::Array(all) => all.iter().for_each(element),
        Value::Set(all) => all.iter().for_each(element),
        Value::Object(all) => all.iter().for_each(|(name, value)| {
            key(name);
            element(value);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Undefined => {}
    }
}

/// How long these values are when they are written, a value in two places counted twice; `None` beyond this many bytes.
pub(super) fn size(values: &[Value], most: usize) -> Option<usize> {
    let mut left = most;
    let mut open: Vec<&Value> = values.iter().collect();
    while let Some(value) = open.pop() {
        // An element is a comma at least.
        let bytes = match value {
            Value::String(text) => text.len() + 1,
            Value::Number(number) if number.as_i128().is_none() => {
                let bits = number.as_big().map_or(0, |big| big.bits());
                usize::try_from(bits / 3).ok()?.saturating_add(1)
            }
            _ => 1,
        };
        left = left.checked_sub(bytes)?;
        if elements(value) > left {
            return None;
        }
        let mut keys = Vec::new();
        within(value, |inner| open.push(inner), |key| keys.push(key));
        open.append(&mut keys);
    }
    Some(most - left)
}
