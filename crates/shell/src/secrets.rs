//! Secrets in a command line, as byte ranges.
//!
//! Two ways: what a row says is a secret (the argument of `-p`, a header, the user part of a URL) is looked for in the text
//! wherever it occurs; and, whether or not the text could be read, what looks like one by its surroundings is taken too.
//! Promises: ranges lie on character borders; a secret that does not stand in the text as it is (quoted in pieces) takes
//! the whole text with it. Does not promise to know a secret that nothing marks as one. Held by: `fixtures/shell/secrets.tsv`.

use std::ops::Range;

/// Words behind which a value is a secret.
const NAMES: [&str; 12] = [
    "password",
    "passwd",
    "pgpassword",
    "mysql_pwd",
    "rediscli_auth",
    "secret",
    "token",
    "api_key",
    "apikey",
    "access_key",
    "private_key",
    "sshpass",
];

/// Where these texts stand in the text, and whatever else looks like a secret in it.
pub(crate) fn ranges(text: &str, secrets: &[String]) -> Vec<Range<usize>> {
    let mut out = suspect(text);
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        let mut found = false;
        for (at, _) in text.match_indices(secret.as_str()) {
            out.push(at..at + secret.len());
            found = true;
        }
        if !found {
            out.push(0..text.len());
        }
    }
    out.sort_by_key(|range| (range.start, range.end));
    out.dedup();
    out
}

/// What looks like a secret by what stands around it.
pub(crate) fn suspect(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    userinfo(text, &mut out);
    let lower = text.to_ascii_lowercase();
    for name in NAMES {
        for (at, _) in lower.match_indices(name) {
            let from = at + name.len();
            let Some(rest) = text.get(from..) else { continue };
            let skipped = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            if let Some(value) = rest.get(skipped..).and_then(|rest| rest.strip_prefix(['=', ':'])) {
                let start = text.len() - value.len();
                push_value(text, start, &mut out);
            }
        }
    }
    for word in ["authorization:", "x-api-key:", "private-token:", "cookie:"] {
        for (at, _) in lower.match_indices(word) {
            let from = at + word.len();
            let end =
                text.get(from..).and_then(|rest| rest.find(['"', '\'', '\n'])).map_or(text.len(), |end| from + end);
            if end > from {
                out.push(from..end);
            }
        }
    }
    out
}

/// `scheme://user:secret@host`.
fn userinfo(text: &str, out: &mut Vec<Range<usize>>) {
    for (at, _) in text.match_indices("://") {
        let from = at + 3;
        let Some(rest) = text.get(from..) else { continue };
        let end =
            rest.find(|c: char| c.is_whitespace() || matches!(c, '/' | '\'' | '"' | '?' | '#')).unwrap_or(rest.len());
        let Some(authority) = rest.get(..end) else { continue };
        if let Some((user, _)) = authority.rsplit_once('@') {
            let start = user.find(':').map_or(from, |colon| from + colon + 1);
            if start < from + user.len() {
                out.push(start..from + user.len());
            }
        }
    }
}

/// A value up to the end of its word, or of its quotes.
fn push_value(text: &str, start: usize, out: &mut Vec<Range<usize>>) {
    let Some(rest) = text.get(start..) else { return };
    let blank = rest.len() - rest.trim_start_matches(' ').len();
    let rest = rest.trim_start_matches(' ');
    let start = start + blank;
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let end = match quote {
        Some(quote) => rest.get(1..).and_then(|inner| inner.find(quote)).map_or(rest.len(), |end| end + 2),
        None => {
            rest.find(|c: char| c.is_whitespace() || matches!(c, ';' | '&' | '|' | '"' | '\'')).unwrap_or(rest.len())
        }
    };
    // What is expanded is no secret itself.
    if end > 0 && !rest.starts_with('$') {
        out.push(start..start + end);
    }
}
