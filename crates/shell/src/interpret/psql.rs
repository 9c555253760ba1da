//! What psql reads that the server does not: variables in SQL, and commands of its own that only show.
//!
//! Promises: cut as psql's own scanner does it, so a colon that it would replace is found; where a `$` could belong to a
//! name or open a quotation, any colon is one. A text with a backslash is no matter of this. Of commands those are known
//! that show what a database has, and no settings of servers, subscriptions or mappings of users, which hold passwords.
//! Held by: the tests below and `fixtures/shell/database.tsv`.

/// Commands of psql and `sqlite3` that list or say something, whatever words follow.
const LISTING: [&str; 14] = [
    "\\conninfo",
    "\\echo",
    "\\l",
    "\\l+",
    "\\list",
    "\\list+",
    "\\sf",
    "\\sf+",
    "\\sv",
    "\\sv+",
    "\\timing",
    ".tables",
    ".schema",
    ".databases",
];

/// What may stand behind `\d`: not `e`, `r` and `R`, which show more than what is there.
const DESCRIBED: &str = "aAbcCdDEfFgilLmnoOpPstTuvXy";

/// Whether a client's command only shows, where neither a variable, another command nor a program stands in it.
pub(super) fn is_listing(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let Some(word) = words.next() else { return false };
    // With a name the texts behind it are read otherwise.
    let says = word == "\\encoding" && words.next().is_none();
    says || LISTING.contains(&word) || word.strip_prefix("\\d").is_some_and(is_described)
}

/// `\dt+`, `\dS`, `\dfn`: kinds of objects, with more of them or of what they are.
fn is_described(kinds: &str) -> bool {
    let kinds = kinds.trim_end_matches(['S', '+', 'x']);
    let known = kinds.chars().next().is_none_or(|c| DESCRIBED.contains(c));
    known && kinds.bytes().all(|b| b.is_ascii_alphabetic()) && !kinds.starts_with("config")
}

/// Whether a variable's value would be put into a text: `:name`, `:'name'`, `:"name"`, `:{?name}` outside quotations and
/// comments. `::` and `:=` are operators.
pub(super) fn has_variable(text: &str) -> bool {
    let mut rest = text;
    let mut name = false;
    while let Some(c) = rest.chars().next() {
        let behind = rest.get(c.len_utf8()..).unwrap_or_default();
        let in_name = std::mem::replace(&mut name, of_name(c));
        rest = match c {
            '\'' | '"' => behind.split_once(c).map_or("", |(_, rest)| rest),
            '-' if behind.starts_with('-') => behind.split_once('\n').map_or("", |(_, rest)| rest),
            '/' if behind.starts_with('*') => behind_comment(behind.get(1..).unwrap_or_default()),
            '$' if in_name => return text.contains(':'),
            '$' => behind_dollar(behind),
            ':' => match behind.chars().next() {
                Some(':' | '=') => behind.get(1..).unwrap_or_default(),
                Some(c) if of_name(c) || matches!(c, '\'' | '"' | '{') => return true,
                Some(_) | None => behind,
            },
            _ => behind,
        };
    }
    false
}

fn of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

/// What follows a comment that is open; they nest.
fn behind_comment(mut rest: &str) -> &str {
    let mut depth = 1_usize;
    while depth > 0 {
        let from = rest.find(['/', '*']).and_then(|at| rest.get(at..)).unwrap_or_default();
        if from.is_empty() {
            return "";
        }
        (depth, rest) = if let Some(rest) = from.strip_prefix("/*") {
            (depth + 1, rest)
        } else if let Some(rest) = from.strip_prefix("*/") {
            (depth - 1, rest)
        } else {
            (depth, from.get(1..).unwrap_or_default())
        };
    }
    rest
}

/// What follows a `$`: behind the quotation that it opens, where it does.
fn behind_dollar(behind: &str) -> &str {
    let end = behind.find(|c: char| !of_name(c)).unwrap_or(behind.len());
    let (tag, rest) = behind.split_at_checked(end).unwrap_or((behind, ""));
    match rest.strip_prefix('$') {
        Some(quotation) if !tag.starts_with(|c: char| c.is_ascii_digit()) => {
            quotation.split_once(format!("${tag}$").as_str()).map_or("", |(_, rest)| rest)
        }
        Some(_) | None => behind,
    }
}

#[cfg(test)]
mod tests {
    use super::{has_variable, is_listing};

    #[test]
    fn a_variable_of_psql_is_told_from_casts_slices_of_quotations_and_comments() {
        for text in [
            "select :x",
            "select a[1:n] from t",
            "select a[1:2] from t",
            "select :'x'",
            "select :\"x\"",
            "select :{?x}",
            "select 1::int, :x",
            "select 1:::x",
            "select f(a :=:x)",
            "select '\"' :x",
            "select '\"; drop table t; --'::int; select a[1:LAST_ERROR_MESSAGE] from t",
            "/* ' */ select :x --'",
            "/* /* */ ' */ select :x --'",
            "-- '\nselect :x --'",
            "select $$ ' $$ || :x --'",
            "select $a$ $$ ' $a$ || :x --'",
            "select 1 $ ' $ ' :x --'",
            "select a$b$ || :x || '$b$'",
            "select 'a''b' || :x",
            "select :é",
        ] {
            assert!(has_variable(text), "{text}");
        }
        for text in [
            "select a::text, b :: date from t",
            "select '10:30', \"a:b\", '{\"a\":1}'::jsonb",
            "select f(a := 1, b:=2)",
            "select $$ :x $$, $q$ ' :x $q$",
            "-- at:x\nselect 1",
            "/* a:x /* :y */ :z */ select 1",
            "select a[1: 2] from t",
            "select 'it''s :x'",
            "select price - $1 from t",
            "insert into t values ('2026-01-01 10:00:00', 'http://h:80/')",
        ] {
            assert!(!has_variable(text), "{text}");
        }
    }

    #[test]
    fn what_only_shows_is_told_from_what_runs_writes_or_shows_secrets() {
        #[rustfmt::skip]
        let shows = [
            "\\d", "\\d+ users", "\\dt+", "\\dx", "\\l+", "\\dS", "\\dFp", "\\dtvmS+", "\\sf f(int)", "\\timing on", "\\encoding", "\\echo x",
        ];
        for line in shows {
            assert!(is_listing(line), "{line}");
        }
        #[rustfmt::skip]
        let others = [
            "", "\\", "\\d-x", "\\d+users", "\\dconfig", "\\dconfig+ x", "\\deu+", "\\dRs+", "\\drds", "\\lo_import x", "\\encoding SJIS",
            "\\copy t to x", "\\i x", "\\o x", "\\set x y", "\\s x", "\\watch", "\\gexec", "\\! rm x",
        ];
        for line in others {
            assert!(!is_listing(line), "{line}");
        }
    }
}
