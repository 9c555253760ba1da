//! Finds cards, social security numbers, account numbers, phone numbers and addresses of hosts.
//!
//! Promises: a number inside a longer run of digits, a decimal fraction, a digest, a UUID or a version is not reported;
//! every number is looked at by itself, so one rejected candidate hides no other. Looks no further than 64 bytes beyond a
//! number. Does not promise separators other than those named at each function.
//!
//! Held by: `fixtures/masking/detectors.tsv`.

use super::Found;
use super::bytes::{at, before, closes, opens, part, run, run_back};
use super::validate::{iban_checks, iban_length, is_card, is_ssn, is_uuid};
use memchr::memchr_iter;
use smallvec::SmallVec;
use std::net::Ipv6Addr;

/// Calls `look` at the start of each run of digits; it gives where to go on, at least past that run.
fn at_numbers(text: &[u8], mut look: impl FnMut(usize) -> Option<usize>) {
    let mut position = 0;
    while let Some(skipped) = part(text, position, text.len()).iter().position(u8::is_ascii_digit) {
        let start = position + skipped;
        let end = run(text, start, |byte| byte.is_ascii_digit());
        position = look(start).unwrap_or(end).max(end);
    }
}

/// 13 to 19 digits, whole or in up to six groups with one space or one dash between each two.
pub(super) fn cards(text: &[u8], _open: bool, found: Found<'_>) {
    at_numbers(text, |start| {
        let end = card(text, start)?;
        found(start..end);
        Some(end)
    });
}

fn card(text: &[u8], start: usize) -> Option<usize> {
    // No network's numbers begin otherwise, years do; and no first group is shorter than four digits.
    let begins = match at(text, start) {
        b'2' => matches!(at(text, start + 1), b'2'..=b'7'),
        first => matches!(first, b'3'..=b'6' | b'8' | b'9'),
    };
    if !begins || !at(text, start + 3).is_ascii_digit() {
        return None;
    }
    let mut digits: SmallVec<[u8; 19]> = SmallVec::new();
    let mut separator = None;
    let mut from = start;
    let mut best = None;
    for _ in 0..6 {
        let end = run(text, from, |byte| byte.is_ascii_digit());
        if digits.len() + (end - from) > 19 {
            break;
        }
        digits.extend(part(text, from, end).iter().map(|digit| digit - b'0'));
        if digits.len() >= 13 && is_card(&digits) && !is_part_of_more(text, start, end) {
            best = Some(end);
        }
        let next = at(text, end);
        let same = separator.is_none_or(|separator| separator == next);
        if end - from < 2 || !matches!(next, b' ' | b'-') || !same || !at(text, end + 1).is_ascii_digit() {
            break;
        }
        separator = Some(next);
        from = end + 1;
    }
    best
}

/// Whether a run of digits belongs to a decimal number, a digest or a UUID.
fn is_part_of_more(text: &[u8], start: usize, end: usize) -> bool {
    let fraction = before(text, start, 1) == b'.' && before(text, start, 2).is_ascii_digit();
    let whole = at(text, end) == b'.' && at(text, end + 1).is_ascii_digit();
    let word = part(
        text,
        run_back(text, start, 64, |byte| byte.is_ascii_alphanumeric()),
        run(part(text, 0, end + 64), end, |byte| byte.is_ascii_alphanumeric()),
    );
    let digest = word.len() >= 20 && word.iter().all(u8::is_ascii_hexdigit) && word.iter().any(u8::is_ascii_alphabetic);
    let dashed = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    let uuid = is_uuid(part(text, run_back(text, start, 40, dashed), run(part(text, 0, end + 40), end, dashed)));
    fraction || whole || digest || uuid
}

/// `ddd-dd-dddd` or `ddd dd dddd` that is not part of a longer row of such groups.
pub(super) fn social_security_numbers(text: &[u8], _open: bool, found: Found<'_>) {
    at_numbers(text, |start| {
        let digits = |from: usize, to: usize| {
            let part = part(text, start + from, start + to);
            (part.len() == to - from && part.iter().all(u8::is_ascii_digit)).then_some(part)
        };
        let separator = at(text, start + 3);
        if !matches!(separator, b'-' | b' ') || at(text, start + 6) != separator {
            return None;
        }
        let valid = is_ssn(digits(0, 3)?, digits(4, 6)?, digits(7, 11)?);
        let end = start + 11;
        let joins = |byte: u8| byte == separator || byte == b'-' || byte == b'.';
        let continues = joins(at(text, end)) && at(text, end + 1).is_ascii_digit();
        let continued = joins(before(text, start, 1)) && before(text, start, 2).is_ascii_digit();
        if !valid || continues || continued || !opens(text, start) || !closes(text, end) {
            return None;
        }
        found(start..end);
        Some(end)
    });
}

/// Account numbers (IBAN): without spaces in either case, or in capitals with one space after every fourth character.
pub(super) fn account_numbers(text: &[u8], _open: bool, found: Found<'_>) {
    at_numbers(text, |check| {
        let start = check.checked_sub(2)?;
        let country = [at(text, start), at(text, start + 1)];
        if !country.iter().all(u8::is_ascii_alphabetic) || !opens(text, start) {
            return None;
        }
        let length = iban_length(country)?;
        let mut characters: SmallVec<[u8; 36]> = SmallVec::new();
        let mut position = start;
        while characters.len() < length {
            let byte = at(text, position);
            let group = !characters.is_empty() && characters.len().is_multiple_of(4);
            if byte == b' ' && group && before(text, position, 1) != b' ' {
                if characters.iter().any(u8::is_ascii_lowercase) {
                    return None;
                }
            } else if byte.is_ascii_alphanumeric() {
                characters.push(byte);
            } else {
                return None;
            }
            position += 1;
        }
        let spaced = position - start > length;
        let mixed = spaced && characters.iter().any(u8::is_ascii_lowercase);
        if mixed || !closes(text, position) || !iban_checks(&characters) {
            return None;
        }
        found(start..position);
        Some(position)
    });
}

/// `+` and 8 to 15 digits, the first not 0, with one space, dot or dash, or a bracket, between groups.
/// `+12345678.90` is a sum of money.
pub(super) fn phone_numbers(text: &[u8], _open: bool, found: Found<'_>) {
    for start in memchr_iter(b'+', text) {
        if !opens(text, start) || before(text, start, 1) == b'+' {
            continue;
        }
        if let Some(end) = phone_number(text, start) {
            found(start..end);
        }
    }
}

fn phone_number(text: &[u8], start: usize) -> Option<usize> {
    let mut position = start + 1;
    let mut digits = 0;
    let mut groups = 0;
    let mut best = None;
    let whole = run(text, position, |byte| byte.is_ascii_digit());
    let cents = run(part(text, 0, whole + 4), whole + 1, |byte| byte.is_ascii_digit()).saturating_sub(whole + 1);
    let money = at(text, whole) == b'.' && (1..=2).contains(&cents) && at(text, whole + 1 + cents) != b'.';
    if !matches!(at(text, position), b'1'..=b'9') || money {
        return None;
    }
    while groups < 8 {
        let end = run(text, position, |byte| byte.is_ascii_digit());
        digits += end - position;
        groups += 1;
        if digits > 15 {
            break;
        }
        if digits >= 8 && closes(text, end) {
            best = Some(end);
        }
        let gap = match (at(text, end), at(text, end + 1)) {
            (b' ' | b'-', b'(') | (b')', b' ' | b'-') => 2,
            (b' ' | b'-' | b'.' | b'(' | b')', _) => 1,
            _ => break,
        };
        position = end + gap;
        if !at(text, position).is_ascii_digit() {
            break;
        }
    }
    best
}

/// Four numbers to 255 with dots between; a version (`v1.2.3.4`, `Name/1.2.3.4`, `name-1.2.3.4`) is none.
pub(super) fn ipv4_addresses(text: &[u8], _open: bool, found: Found<'_>) {
    at_numbers(text, |start| {
        let mut position = start;
        for part_number in 0..4 {
            if part_number > 0 {
                if at(text, position) != b'.' {
                    return None;
                }
                position += 1;
            }
            let end = run(text, position, |byte| byte.is_ascii_digit());
            let digits = part(text, position, end);
            let number = digits.iter().take(4).fold(0_u32, |number, digit| number * 10 + u32::from(digit - b'0'));
            if digits.is_empty() || number > 255 || digits.len() > 3 || (digits.len() > 1 && at(digits, 0) == b'0') {
                return None;
            }
            position = end;
        }
        let previous = before(text, start, 1);
        let named = matches!(previous, b'/' | b'-' | b'_') && before(text, start, 2).is_ascii_alphabetic();
        let (next, after) = (at(text, position), at(text, position + 1));
        let longer = next == b'.' && after.is_ascii_digit();
        let suffixed = matches!(next, b'-' | b'_') && after.is_ascii_alphabetic();
        if named || longer || suffixed || previous == b'.' || !opens(text, start) || !closes(text, position) {
            return None;
        }
        found(start..position);
        Some(position)
    });
}

/// What the standard library reads as an IPv6 address, if it says more than `::1` does and is no hardware address.
pub(super) fn ipv6_addresses(text: &[u8], _open: bool, found: Found<'_>) {
    let of = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
    let mut done = 0;
    for colon in memchr_iter(b':', text) {
        if colon < done {
            continue;
        }
        let mut start = run_back(text, colon, 64, of).max(done);
        let mut end = run(text, colon, of);
        done = end;
        if end - start > 64 || !opens(text, start) || !closes(text, end) {
            continue;
        }
        if at(text, start) == b':' && at(text, start + 1) != b':' {
            start += 1;
        }
        while matches!(before(text, end, 1), b'.') || (before(text, end, 1) == b':' && before(text, end, 2) != b':') {
            end -= 1;
        }
        let address = part(text, start, end);
        let digits = address.iter().filter(|byte| byte.is_ascii_hexdigit()).count();
        let words = address.split(|byte| *byte == b':').count();
        let hardware = words == 8 && address.len() == 23;
        let numbered = address.iter().any(u8::is_ascii_digit);
        let read = std::str::from_utf8(address).ok().and_then(|address| address.parse::<Ipv6Addr>().ok());
        if read.is_some() && numbered && !hardware && (digits >= 5 || words == 8) {
            found(start..end);
        }
    }
}
