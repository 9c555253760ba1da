//! Backslash escapes: `$'…'` and the format of `printf`.
//!
//! Promises: what makes bytes that are no text, or a zero byte, is not decoded at all. Held by: `fixtures/shell/quoting.tsv`.

use super::Chars;
use std::iter::Peekable;

/// `$'…'`, decoded.
pub(super) fn ansi(chars: &mut Chars) -> Option<String> {
    let mut raw = String::new();
    loop {
        match chars.next()? {
            '\'' => break,
            '\\' => {
                raw.push('\\');
                raw.push(chars.next()?);
            }
            c => raw.push(c),
        }
    }
    decode_escapes(&raw, true)
}

/// Backslash escapes as in `$'…'` and `printf`. `None` for what makes bytes that are no text, or a zero byte.
pub(crate) fn decode_escapes(raw: &str, ansi: bool) -> Option<String> {
    let mut bytes: Vec<u8> = Vec::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend(c.to_string().bytes());
            continue;
        }
        let Some(next) = chars.next() else {
            bytes.push(b'\\');
            break;
        };
        let code = match next {
            'a' => 7,
            'b' => 8,
            'e' | 'E' if ansi => 27,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            '\\' => 92,
            '\'' | '"' | '?' => u32::from(next),
            '0'..='7' => number(&mut chars, 8, 2, next.to_digit(8)),
            'x' => number(&mut chars, 16, 2, None),
            'u' => unicode(&mut chars, 4, &mut bytes)?,
            'U' => unicode(&mut chars, 8, &mut bytes)?,
            // Behind it bash takes two backslashes for one, and a question mark for another character than its bits say.
            'c' if ansi => u32::from(chars.next().filter(char::is_ascii_alphabetic)?) & 0x1f,
            other => {
                bytes.push(b'\\');
                bytes.extend(other.to_string().bytes());
                continue;
            }
        };
        if matches!(next, 'u' | 'U') {
            continue;
        }
        let byte = u8::try_from(code & 0xff).ok()?;
        if byte == 0 {
            return None;
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

fn number(chars: &mut Peekable<std::str::Chars<'_>>, radix: u32, most: usize, first: Option<u32>) -> u32 {
    let mut value = first.unwrap_or(0);
    for _ in 0..most {
        let Some(digit) = chars.peek().and_then(|c| c.to_digit(radix)) else { break };
        chars.next();
        value = value * radix + digit;
    }
    value
}

fn unicode(chars: &mut Peekable<std::str::Chars<'_>>, most: usize, bytes: &mut Vec<u8>) -> Option<u32> {
    let code = number(chars, 16, most, None);
    let c = char::from_u32(code).filter(|c| *c != '\0')?;
    bytes.extend(c.to_string().bytes());
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_character_is_made_of_a_letter_alone() {
        assert_eq!(decode_escapes("\\cA\\cz", true).as_deref(), Some("\u{1}\u{1a}"));
        for raw in ["\\c\\\\057x", "\\c?", "\\c1", "\\c"] {
            assert_eq!(decode_escapes(raw, true), None, "{raw}");
        }
        assert_eq!(decode_escapes("a\\cb", false).as_deref(), Some("a\\cb"));
    }
}
