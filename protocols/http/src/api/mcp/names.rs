//! Names of prompts and addresses of resources, in one spelling only.
//!
//! Promises: a name that two readers could take for different things is refused, never repaired: steps up or in place, empty
//! segments, escapes that need not be or that change a path, upper case where it means nothing (RFC 3986 §6.2.2). So a rule
//! about a resource is about all that a server takes for it.
//! Held by: `fixtures/http/mcp.tsv`, which `tests.rs` plays.

use super::message::{LONGEST_NAME, PARAMS, Refusal};

/// Bytes of a resource's address.
const LONGEST_URI: usize = 4096;

fn ambiguous() -> Refusal {
    Refusal::new(PARAMS, "the name can be read two ways; write it without what needs no writing")
}

/// The name of a prompt.
pub(super) fn named(name: &str) -> Result<&str, Refusal> {
    let strange =
        |c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}');
    if name.is_empty() || name.len() > LONGEST_NAME || name.trim() != name || name.chars().any(strange) {
        return Err(ambiguous());
    }
    Ok(name)
}

/// Without steps up or in place, which patterns never match and servers walk.
pub(super) fn segments(name: &str) -> Result<&str, Refusal> {
    if name.split(['/', '\\']).any(|segment| matches!(segment, "." | "..")) { Err(ambiguous()) } else { Ok(name) }
}

/// The address of a resource: RFC 3986 in one spelling only.
pub(super) fn address(uri: &str) -> Result<&str, Refusal> {
    let (scheme, rest) = uri.split_once(':').ok_or_else(ambiguous)?;
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.');
    if uri.len() > LONGEST_URI || scheme.is_empty() || rest.is_empty() || !scheme.bytes().all(lower) {
        return Err(ambiguous());
    }
    let path = rest.split_once('?').map_or(rest, |(path, _)| path);
    let path = path.strip_prefix("//").unwrap_or(path);
    // The authority, where there is one, is read without case by servers; so is what it escapes.
    let authority = if rest.starts_with("//") { path.split('/').next().unwrap_or(path) } else { "" };
    if authority.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'%') || path.contains("//") {
        return Err(ambiguous());
    }
    segments(path)?;
    let mut bytes = rest.bytes();
    while let Some(byte) = bytes.next() {
        let plain = match byte {
            b'%' => escaped(bytes.next(), bytes.next()),
            b'#' | b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'|' | b' ' => false,
            byte => byte.is_ascii_graphic(),
        };
        if !plain {
            return Err(ambiguous());
        }
    }
    Ok(uri)
}

/// Whether an escape stands for what needs one and changes no path.
fn escaped(high: Option<u8>, low: Option<u8>) -> bool {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    let Some(byte) = high.and_then(digit).zip(low.and_then(digit)).map(|(high, low)| high << 4 | low) else {
        return false;
    };
    let needless = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    !needless && !matches!(byte, b'/' | b'\\' | b'%' | 0..=0x1f | 0x7f)
}
