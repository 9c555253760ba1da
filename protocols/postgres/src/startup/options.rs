//! The `options` of a startup message, split as the server splits them (`pg_split_opts`, then its switches).
//!
//! Words are separated by white space; a backslash takes the next character as it is. Only the switches that set
//! something are known: `-c name=value`, `-cname=value`, `--name=value`. Any other is refused, since each changes the
//! session (`-d`, `-P`, `-f` …). In a name `-` stands for `_`, as the server reads it.
//! Held by: `startup/tests.rs`.

use crate::error::Refused;

/// The settings in order, names and values.
pub(super) fn split(options: &str) -> Result<Vec<(String, String)>, Refused> {
    let mut settings = Vec::new();
    let mut words = words(options).into_iter();
    while let Some(word) = words.next() {
        let setting = if let Some(long) = word.strip_prefix("--") {
            long.to_owned()
        } else if let Some(short) = word.strip_prefix("-c") {
            if short.is_empty() {
                words.next().ok_or_else(|| refused("-c", "names no setting"))?
            } else {
                short.to_owned()
            }
        } else {
            return Err(refused(&word, "is not allowed by this gateway"));
        };
        let (name, value) = setting.split_once('=').ok_or_else(|| refused(&word, "requires a value"))?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn refused(word: &str, why: &str) -> Refused {
    let shown: String = word.chars().filter(|c| !c.is_control()).take(63).collect();
    Refused::new("42501", format!("startup option \"{shown}\" {why}"))
        .hint("Only -c name=value and --name=value are read in PGOPTIONS.")
}

fn words(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = options.chars();
    while let Some(c) = characters.next() {
        match c {
            // C's isspace, which the server uses.
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' => words.extend(word.take()),
            '\\' => {
                let word = word.get_or_insert_default();
                word.extend(characters.next());
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}
