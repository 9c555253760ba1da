//! JSON text as detectors see it: each string for itself, unescaped, and long numbers.
//!
//! Promises: what comes back is a document with the same structure, in which only strings and numbers that a detector
//! found something in differ; everything else is as it was, byte for byte. Names of members are looked at as well. What is
//! not one document, or holds a string that is no text (half a surrogate pair), is unreadable.
//! Does not promise to find what is spread over several strings.
//! Held by: `value/tests.rs` and `fixtures/postgres/mask_values.tsv`.

use super::value::is_long_number;
use serde_json::value::RawValue;

/// What detectors made of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Detected {
    Nothing,
    Rewritten(String),
    /// It is no document.
    Unreadable,
}

/// A text as a JSON string.
pub(super) fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Runs detectors over every string of a document, and over its long numbers; a number that is found becomes `null`.
pub(super) fn detect(document: &str, detected: &mut dyn FnMut(&str) -> Option<String>) -> Detected {
    if serde_json::from_str::<&RawValue>(document).is_err() {
        return Detected::Unreadable;
    }
    let (mut out, mut copied, mut at) = (String::new(), 0, 0);
    while let Some((token, replacement)) = next(document, at, detected) {
        let Some(replacement) = replacement else { return Detected::Unreadable };
        at = token.end;
        if let Some(replacement) = replacement {
            out.push_str(document.get(copied..token.start).unwrap_or_default());
            out.push_str(&replacement);
            copied = at;
        }
    }
    if copied == 0 {
        return Detected::Nothing;
    }
    out.push_str(document.get(copied..).unwrap_or_default());
    Detected::Rewritten(out)
}

/// The next string or number from `at` on, and what is to stand in its place, if anything; the inner none is a string
/// that is no text.
fn next(
    document: &str,
    at: usize,
    detected: &mut dyn FnMut(&str) -> Option<String>,
) -> Option<(std::ops::Range<usize>, Option<Option<String>>)> {
    let rest = document.as_bytes().get(at..)?;
    let start = at + rest.iter().position(|byte| matches!(byte, b'"' | b'-' | b'0'..=b'9'))?;
    let token = document.as_bytes().get(start..)?;
    if token.first() == Some(&b'"') {
        let end = start + string_length(token);
        let text = serde_json::from_str::<String>(document.get(start..end)?);
        let replacement = text.ok().map(|text| detected(&text).map(|text| string(&text)));
        return Some((start..end, replacement));
    }
    let is_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let end = start + token.iter().take_while(|byte| is_number(byte)).count();
    let number = document.get(start..end)?;
    let is_found = is_long_number(number, detected);
    Some((start..end, Some(is_found.then(|| "null".to_owned()))))
}

/// The bytes of a string literal, its quotes included. The document is valid, so the closing one is there.
fn string_length(token: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = token.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    token.len()
}
