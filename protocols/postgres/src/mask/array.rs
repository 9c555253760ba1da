//! Arrays, in text and in binary form: their elements are replaced, how they are built stays.
//!
//! Promises: bounds, nesting, NULL elements and, where nothing was replaced, every byte stay; a new element is quoted
//! exactly where the server would quote it. Only what `array_out` and `array_send` write is understood, strictly: spaces
//! outside quotes, a dimension too many, bytes that are no text or behind the end make the whole value NULL.
//! Does not promise to hide bounds and numbers of elements; see [`super::Treatment::Null`].
//! Held by: `value/tests.rs` and `fixtures/postgres/mask_values.tsv`.

use super::value::Masked;
use std::borrow::Cow;

/// The most dimensions an array has (`MAXDIM`).
const DIMENSIONS: usize = 6;

/// An array in text form. `each` is given elements without quotes and escapes.
pub(super) fn text(value: &[u8], each: &mut dyn FnMut(&[u8]) -> Masked) -> Masked {
    let mut out = Vec::with_capacity(value.len());
    match text_elements(value, each, &mut out) {
        Some(true) => Masked::Bytes(out),
        Some(false) => Masked::Keep,
        None => Masked::Null,
    }
}

/// What may stand where the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Behind an element or a closing brace.
    End,
    /// Behind an opening brace: an element, another brace, or the end of an array without elements.
    First,
    /// Behind a comma.
    Next,
}

/// Writes the array with its elements replaced; whether any was, or nothing if it is malformed.
fn text_elements(value: &[u8], each: &mut dyn FnMut(&[u8]) -> Masked, out: &mut Vec<u8>) -> Option<bool> {
    std::str::from_utf8(value).ok()?;
    let mut at = bounds(value)?;
    out.extend_from_slice(value.get(..at)?);
    let (mut depth, mut expected, mut changed) = (0_usize, Expected::Next, false);
    loop {
        let byte = *value.get(at)?;
        match (byte, expected) {
            (b'{', Expected::First | Expected::Next) => {
                depth += 1;
                expected = Expected::First;
            }
            (b'}', Expected::End) => depth = depth.checked_sub(1)?,
            // Only an array without elements is empty, and it is one pair of braces.
            (b'}', Expected::First) if depth == 1 => {
                depth = 0;
                expected = Expected::End;
            }
            (b',', Expected::End) => expected = Expected::Next,
            (_, Expected::First | Expected::Next) if depth > 0 => {
                let (element, length) = text_element(value.get(at..)?)?;
                changed |= put_text(value.get(at..at + length)?, element.as_deref(), each, out);
                at += length;
                expected = Expected::End;
                continue;
            }
            (_, Expected::End | Expected::First | Expected::Next) => return None,
        }
        out.push(byte);
        at += 1;
        if depth > DIMENSIONS {
            return None;
        }
        if depth == 0 {
            return (at == value.len()).then_some(changed);
        }
    }
}

/// The length of `[1:2][0:1]=` in front of an array, which stands there if a bound is not 1.
fn bounds(value: &[u8]) -> Option<usize> {
    if value.first() != Some(&b'[') {
        return Some(0);
    }
    let end = value.iter().position(|byte| *byte == b'=')?;
    let is_bound = |byte: &u8| matches!(byte, b'[' | b']' | b':' | b'-' | b'+' | b'0'..=b'9');
    value.get(..end)?.iter().all(is_bound).then_some(end + 1)
}

/// The element at the front, none if it is NULL, and the bytes it takes.
fn text_element(rest: &[u8]) -> Option<(Option<Cow<'_, [u8]>>, usize)> {
    if rest.first() != Some(&b'"') {
        let length = rest.iter().position(|byte| matches!(byte, b',' | b'}'))?;
        let element = rest.get(..length)?;
        if element.is_empty() || element.iter().any(|byte| needs_quotes(*byte)) {
            return None;
        }
        let is_null = element.eq_ignore_ascii_case(b"NULL");
        return Some(((!is_null).then_some(Cow::Borrowed(element)), length));
    }
    let mut element = Vec::new();
    let mut at = 1;
    loop {
        match *rest.get(at)? {
            b'"' => return Some((Some(Cow::Owned(element)), at + 1)),
            b'\\' => {
                element.push(*rest.get(at + 1)?);
                at += 2;
            }
            byte => {
                element.push(byte);
                at += 1;
            }
        }
    }
}

/// Writes one element; whether it differs from what it was.
fn put_text(written: &[u8], element: Option<&[u8]>, each: &mut dyn FnMut(&[u8]) -> Masked, out: &mut Vec<u8>) -> bool {
    match element.map(each) {
        None | Some(Masked::Keep) => {
            out.extend_from_slice(written);
            return false;
        }
        Some(Masked::Null) => out.extend_from_slice(b"NULL"),
        Some(Masked::Bytes(new)) => {
            let quoted =
                new.is_empty() || new.eq_ignore_ascii_case(b"NULL") || new.iter().any(|byte| needs_quotes(*byte));
            if !quoted {
                out.extend_from_slice(&new);
                return true;
            }
            out.push(b'"');
            for byte in new {
                if matches!(byte, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(byte);
            }
            out.push(b'"');
        }
    }
    true
}

/// As `array_out` has it: what would mean something outside quotes, and what `array_isspace` calls a space.
fn needs_quotes(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',' | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// An array in binary form, whose elements must have this type.
pub(super) fn binary(value: &[u8], element: u32, each: &mut dyn FnMut(&[u8]) -> Masked) -> Masked {
    let mut out = Vec::with_capacity(value.len());
    match binary_elements(value, element, each, &mut out) {
        Some(true) => Masked::Bytes(out),
        Some(false) => Masked::Keep,
        None => Masked::Null,
    }
}

fn word(value: &[u8], at: usize) -> Option<i32> {
    value.get(at..)?.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes))
}

fn binary_elements(
    value: &[u8],
    element: u32,
    each: &mut dyn FnMut(&[u8]) -> Masked,
    out: &mut Vec<u8>,
) -> Option<bool> {
    const FLAGS: usize = 4;
    let dimensions = usize::try_from(word(value, 0)?).ok().filter(|count| *count <= DIMENSIONS)?;
    let is_known = matches!(word(value, FLAGS)?, 0 | 1) && word(value, 8)?.cast_unsigned() == element;
    if !is_known {
        return None;
    }
    let mut elements = usize::from(dimensions > 0);
    for dimension in 0..dimensions {
        elements = elements.checked_mul(usize::try_from(word(value, 12 + dimension * 8)?).ok()?)?;
    }
    let mut at = 12 + dimensions * 8;
    out.extend_from_slice(value.get(..at)?);
    let (mut changed, mut nulls) = (false, false);
    // Each element takes four bytes at least, so a count that lies runs out of them.
    for _ in 0..elements {
        let length = word(value, at)?;
        let end = if length == -1 { at + 4 } else { at.checked_add(4)?.checked_add(usize::try_from(length).ok()?)? };
        let written = value.get(at..end)?;
        match if length == -1 { Masked::Keep } else { each(written.get(4..)?) } {
            Masked::Keep => out.extend_from_slice(written),
            Masked::Null => {
                out.extend_from_slice(&(-1_i32).to_be_bytes());
                (changed, nulls) = (true, true);
            }
            Masked::Bytes(new) => {
                out.extend_from_slice(&i32::try_from(new.len()).ok()?.to_be_bytes());
                out.extend_from_slice(&new);
                changed = true;
            }
        }
        at = end;
    }
    if nulls {
        out.get_mut(FLAGS..FLAGS + 4)?.copy_from_slice(&1_i32.to_be_bytes());
    }
    (at == value.len()).then_some(changed)
}
