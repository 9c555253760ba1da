//! Keeps secrets that somebody wrote into the file out of the lines that problems show.
//!
//! Promises: behind a key that looks like it holds a secret, and in the user part of a URL, nothing is shown unless it is a
//! reference (`{ env: … }`). Better cut too much than too little: the line and column still say where.
//! Held by: the tests below, and a property in `tests.rs` over every key that takes a secret.

/// Parts of key names that promise a secret behind them.
const TELLING: &[&str] = &[
    "pass",
    "pwd",
    "secret",
    "token",
    "credential",
    "api_key",
    "apikey",
    "-key",
    "private_key",
    "authorization",
    "cookie",
    "slack",
];

/// What is shown instead.
const CUT: &str = "[not shown]";

/// The line without what may be a secret.
pub(crate) fn without_secrets(line: &str) -> String {
    let line = without_logins(line);
    // A private key that stands behind any key at all.
    let line = line.split_once("-----BEGIN").map_or(line.clone(), |(before, _)| format!("{before}{CUT}"));
    let mut out = String::with_capacity(line.len());
    let mut rest = line.as_str();
    while let Some((key, value)) = rest.split_once(':') {
        out.push_str(key);
        out.push(':');
        rest = value;
        if is_telling(key) && !is_reference(value) && !value.trim().is_empty() {
            let gap = value.len() - value.trim_start().len();
            out.push_str(value.get(..gap).unwrap_or_default());
            out.push_str(CUT);
            return out;
        }
    }
    out.push_str(rest);
    out
}

/// The line without what stands before an `@` in a URL or in `user:password@host`.
fn without_logins(line: &str) -> String {
    let Some((before, after)) = line.rsplit_once('@') else { return line.to_owned() };
    if let Some((scheme, _)) = before.split_once("://") {
        return format!("{scheme}://{CUT}@{after}");
    }
    let word_starts = before.rfind(separates).map_or(0, |at| at + 1);
    match before.split_at_checked(word_starts) {
        Some((kept, word)) if word.contains(':') => format!("{kept}{CUT}@{after}"),
        _ => line.to_owned(),
    }
}

/// Whether a word ends here. All of these are one byte long.
const fn separates(c: char) -> bool {
    matches!(c, ' ' | '\t' | '{' | '[' | ',' | '"' | '\'' | '`')
}

/// Whether the word before the colon names a secret, or is a slip of the pen from `password`.
fn is_telling(before_colon: &str) -> bool {
    let word = before_colon.trim_end_matches(separates).rsplit(separates).next().unwrap_or_default().to_lowercase();
    // Headers with names of somebody's own, as in `x-crm-login`.
    word.starts_with("x-")
        || TELLING.iter().any(|part| word.contains(part))
        || strsim::damerau_levenshtein(&word, "password") <= 3
}

/// Whether a reference follows: nothing of it is secret. What stands for a variable's name and is none may be.
fn is_reference(value: &str) -> bool {
    let Some(inner) = value.trim_start().strip_prefix('{').map(str::trim_start) else { return false };
    if let Some(inner) = inner.strip_prefix("bearer:") {
        return is_reference(inner);
    }
    let names = |name: &str, also: &[char]| {
        let ends = name.find(['}', ',']).unwrap_or(name.len());
        let name = name.get(..ends).unwrap_or_default().trim();
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || also.contains(&c))
    };
    if let Some(name) = inner.strip_prefix("env:") {
        return names(name, &[]);
    }
    if let Some(name) = inner.strip_prefix("vault:") {
        return names(name, &['-', '.']);
    }
    inner.starts_with("file:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_cut_and_references_shown() {
        let cases = [
            ("    password: hunter2", "    password: [not shown]"),
            (
                "  x: { username: app, password: 'hun, ter2', tls: require }",
                "  x: { username: app, password: [not shown]",
            ),
            ("  pasword: hunter2", "  pasword: [not shown]"),
            ("  \"password\" : hunter2", "  \"password\" : [not shown]"),
            ("  headers: { x-api-key: hunter2 }", "  headers: { x-api-key: [not shown]"),
            ("  x-crm-login: hunter2", "  x-crm-login: [not shown]"),
            ("  authorization: Bearer hunter2", "  authorization: [not shown]"),
            ("  authorization: { bearer: hunter2 }", "  authorization: [not shown]"),
            ("  authorization: { bearer: { env: CRM } }", "  authorization: { bearer: { env: CRM } }"),
            ("  password: { env: SHOP }, usernam: x", "  password: { env: SHOP }, usernam: x"),
            ("  password: { plain: hunter2 }", "  password: [not shown]"),
            ("store: postgres://me:hunter2@db/x", "store: postgres://[not shown]@db/x"),
            (
                "  x: { address: me:hunter2@db:5432, tls: require }",
                "  x: { address: [not shown]@db:5432, tls: require }",
            ),
            ("  address: postgres://me:hun, ter2@db", "  address: postgres://[not shown]@db"),
            ("  password: { env: \"hunter2!\" }", "  password: [not shown]"),
            ("  password: { vault: shop-db.app }, x: y", "  password: { vault: shop-db.app }, x: y"),
            ("  password: { vault: \"hunter2!\" }", "  password: [not shown]"),
            ("  password: { vault: { path: hunter2 } }", "  password: [not shown]"),
            ("  user: me@example.com", "  user: me@example.com"),
            ("listen: { postgres: 127.0.0.1:6442 }", "listen: { postgres: 127.0.0.1:6442 }"),
            ("  password:", "  password:"),
            ("  - slack: https://hooks.slack.com/services/hunter2", "  - slack: [not shown]"),
            ("  host_key: '-----BEGIN OPENSSH PRIVATE KEY----- hunter2'", "  host_key: '[not shown]"),
            ("tls: { certificate: gw.pem, key: gw.key }", "tls: { certificate: gw.pem, key: gw.key }"),
        ];
        for (line, shown) in cases {
            assert_eq!(without_secrets(line), shown);
        }
    }
}
