//! Finds e-mail addresses, keys and tokens.
//!
//! Promises: each is found by what its issuer puts in it (a prefix, a form, a header that decodes), not by its length
//! alone, high-entropy tokens aside. Linear in the text: a token found is not looked into again. Does not promise keys
//! without a mark of their own: those are for the high-entropy detector or a pattern.
//!
//! `open` says that the text goes on beyond what is given: a token that reaches its end then counts as it stands.
//!
//! Held by: `fixtures/masking/detectors.tsv`.

use super::Found;
use super::bytes::{at, before, closes, opens, part, run, run_back};
use super::validate::is_random;
use memchr::{memchr_iter, memchr2_iter};

/// Last labels that name a kind of file, not a domain: `logo@2x.png`.
const FILES: &[&str] =
    &["png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "json", "html", "xml", "yaml", "yml", "txt", "pdf"];

/// Local parts of letters (of two-byte scripts too), digits and `. _ % + - '`; domains of two labels or more.
pub(super) fn email_addresses(text: &[u8], _open: bool, found: Found<'_>) {
    let mut done = 0;
    for sign in memchr_iter(b'@', text) {
        let mut start = run_back(text, sign, sign - done.min(sign), is_local);
        while start < sign && (matches!(at(text, start), b'.' | b'\'') || (0x80..0xC0).contains(&at(text, start))) {
            start += 1;
        }
        let end = domain_end(text, sign + 1);
        if start < sign
            && let Some(end) = end
        {
            found(start..end);
            done = end;
        } else {
            done = sign + 1;
        }
    }
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'') || is_two_byte(byte)
}

/// Bytes of letters in Latin, Greek and Cyrillic beyond ASCII.
fn is_two_byte(byte: u8) -> bool {
    matches!(byte, 0xC3..=0xD4 | 0x80..=0xBF)
}

/// Where the domain that begins here ends; labels after the last that could be a top-level domain are left out.
fn domain_end(text: &[u8], start: usize) -> Option<usize> {
    let stop =
        run(text, start, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') || is_two_byte(byte));
    let mut end = stop;
    while end > start {
        let label = run_back(text, end, end - start, |byte| byte != b'.');
        let name = part(text, label, end);
        let file = FILES.iter().any(|kind| name.eq_ignore_ascii_case(kind.as_bytes()));
        let top = name.len() >= 2 && name.iter().all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80)
            || name.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"xn--"));
        let below = before(text, label, 2);
        if label > start + 1 && top && !file && (below.is_ascii_alphanumeric() || below >= 0x80) {
            return Some(end);
        }
        end = label.saturating_sub(1).max(start);
    }
    None
}

/// Access key ids, and secret keys where an assignment says so.
pub(super) fn aws_keys(text: &[u8], _open: bool, found: Found<'_>) {
    for start in memchr_iter(b'A', text) {
        let known = matches!(part(text, start, start + 4), b"AKIA" | b"ASIA" | b"ABIA" | b"ACCA");
        let rest = part(text, start + 4, start + 20);
        let form = rest.len() == 16 && rest.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if known && form && opens(text, start) && closes(text, start + 20) {
            found(start..start + 20);
        }
    }
    for start in memchr2_iter(b's', b'S', text) {
        if part(text, start, start + 6).eq_ignore_ascii_case(b"secret")
            && let Some(value) = aws_secret(text, start)
        {
            found(value..value + 40);
        }
    }
}

/// `aws_secret…=` or `secret…access…=`, quotes and spaces about it, and 40 characters of base64.
fn aws_secret(text: &[u8], secret: usize) -> Option<usize> {
    let joint = usize::from(matches!(before(text, secret, 1), b'_' | b'-' | b'.'));
    let aws = part(text, secret.saturating_sub(3 + joint), secret - joint).eq_ignore_ascii_case(b"aws");
    let next = secret + 6 + usize::from(matches!(at(text, secret + 6), b'_' | b'-' | b' '));
    let access = part(text, next, next + 6).eq_ignore_ascii_case(b"access");
    if !aws && !access {
        return None;
    }
    let name = part(text, 0, secret + 40);
    let name = run(name, secret + 6, |byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | b' '));
    let gap = |byte: u8| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'\\' | b':' | b'=' | b'>');
    let start = run(part(text, 0, name + 16), name, gap);
    let assigned = part(text, name, start).iter().any(|byte| matches!(byte, b':' | b'='));
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let end = run(part(text, 0, start + 41), start, base64);
    (assigned && end - start == 40).then_some(start)
}

/// `ghp_ gho_ ghu_ ghs_ ghr_` and 30 characters or more, `github_pat_` and 22 or more.
pub(super) fn github_keys(text: &[u8], _open: bool, found: Found<'_>) {
    let mut done = 0;
    for start in memchr_iter(b'g', text) {
        let classic = matches!(part(text, start, start + 4), b"ghp_" | b"gho_" | b"ghu_" | b"ghs_" | b"ghr_");
        let (prefix, least) = if classic { (4, 30) } else { (11, 22) };
        let fine = part(text, start, start + 11) == b"github_pat_";
        if !(classic || fine) || !opens(text, start) || start < done {
            continue;
        }
        let end = run(text, start + prefix, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if end - start - prefix >= least {
            found(start..end);
            done = end;
        }
    }
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Three to five parts of base64url, the first the beginning of a JSON object.
pub(super) fn web_tokens(text: &[u8], open: bool, found: Found<'_>) {
    let mut done = 0;
    for start in memchr_iter(b'e', text) {
        if start < done || !matches!(at(text, start + 1), b'y' | b'w') || !opens(text, start) {
            continue;
        }
        let first = run(text, start, is_base64url);
        if first - start < 8 || at(text, first) != b'.' || !begins_object(part(text, start, first)) {
            continue;
        }
        let mut end = first;
        let mut parts = 1;
        while parts < 5 && at(text, end) == b'.' {
            let next = run(text, end + 1, is_base64url);
            if parts >= 3 && next == end + 1 {
                break;
            }
            end = next;
            parts += 1;
        }
        done = end;
        let cut = open && end == text.len();
        if (parts >= 3 || cut) && end - start >= 20 {
            found(start..end);
        }
    }
}

/// Whether this base64url begins with `{`, white space and `"`.
fn begins_object(part: &[u8]) -> bool {
    let mut bits = 0_u32;
    let mut held = 0;
    let mut opened = false;
    for byte in part {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            match ((bits >> held) as u8, opened) {
                (b'{', false) => opened = true,
                (b' ' | b'\t' | b'\n' | b'\r', true) => {}
                (b'"', true) => return true,
                _ => return false,
            }
            bits &= (1 << held) - 1;
        }
    }
    false
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'_' | b'-')
}

/// Runs of 24 or more characters of base64, base64url or base62 that look drawn at random; where a run is a path, its parts.
pub(super) fn random_tokens(text: &[u8], _open: bool, found: Found<'_>) {
    let mut position = 0;
    while let Some(skipped) = part(text, position, text.len()).iter().position(|byte| is_token(*byte)) {
        let start = position + skipped;
        let end = run(text, start, is_token);
        position = end;
        // `SHA256:…` is how OpenSSH writes the fingerprint of a key
        if end - start < 24 || part(text, start.saturating_sub(7), start).eq_ignore_ascii_case(b"SHA256:") {
            continue;
        }
        let padded = run(part(text, 0, end + 2), end, |byte| byte == b'=');
        if is_random(part(text, start, end)) {
            found(start..padded);
            continue;
        }
        let mut from = start;
        for piece in part(text, start, end).split(|byte| *byte == b'/') {
            let to = from + piece.len();
            if is_random(piece) {
                found(from..if to == end { padded } else { to });
            }
            from = to + 1;
        }
    }
}
