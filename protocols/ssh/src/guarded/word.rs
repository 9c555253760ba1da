//! The word that Tab completes, and what completing puts into the line.
//!
//! Only plain words are completed: one with a quote, a backslash, a `$` or a pattern in it means something that only the
//! shell knows. Names are put in with a backslash before what the shell would take for more than a letter.
//! Promises: what is put in is letters of the line like any others, and is judged with it; a name with a character that is
//! not shown as itself is never put in. Held by: the tests of `editor.rs`.

use super::shown;

/// What is to be completed: the names in `directory` that start with `prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// As it was typed, with its last `/`; empty for the current directory.
    pub(crate) directory: String,
    /// What names have to start with.
    pub(crate) prefix: String,
    /// It stands where a command's name does.
    pub(crate) command: bool,
    /// Which Tab of the session asks, so that names that come late are not taken for the next one's.
    number: u64,
}

/// A name that the word could become.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    /// Without its directory.
    pub(crate) name: String,
    /// More can follow in it.
    pub(crate) is_directory: bool,
}

/// Candidates shown at once.
const SHOWN: usize = 100;

/// The word that ends here, if it can be completed, for this Tab.
pub(super) fn word(before: &[char], number: u64) -> Option<Word> {
    let ends = |c: &char| matches!(c, ' ' | ';' | '|' | '&' | '<' | '>' | '(' | ')' | '=' | ':');
    let start = before.iter().rposition(ends).map_or(0, |at| at + 1);
    let word: String = before.get(start..)?.iter().collect();
    let quotes = |c: char| matches!(c, '\'' | '"' | '\\' | '$' | '`' | '*' | '?' | '[' | '{' | '!' | '#');
    if word.contains(quotes) || before.iter().any(|c| matches!(c, '\'' | '"' | '\\' | '`' | '#')) {
        return None;
    }
    let (directory, prefix) = match word.rfind('/') {
        Some(at) => word.split_at_checked(at + 1)?,
        None => ("", word.as_str()),
    };
    let first = before.get(..start)?.iter().rev().find(|c| **c != ' ');
    let command = directory.is_empty() && first.is_none_or(|c| matches!(c, ';' | '|' | '&' | '('));
    Some(Word { directory: directory.to_owned(), prefix: prefix.to_owned(), command, number })
}

/// What is put in behind the prefix, and what is shown where that is not the whole of a name.
pub(super) fn completed(word: &Word, mut candidates: Vec<Candidate>) -> (String, Option<String>) {
    candidates.retain(|candidate| {
        candidate.name.starts_with(&word.prefix)
            && candidate.name != word.prefix.as_str()
            && candidate.name.chars().all(|c| shown::is_plain(c) && c != '/')
            || (candidate.name == word.prefix && !word.prefix.is_empty())
    });
    candidates.sort();
    candidates.dedup();
    let rest = |candidate: &Candidate| candidate.name.get(word.prefix.len()..).unwrap_or_default().to_owned();
    match candidates.as_slice() {
        [] => (String::new(), None),
        [one] => {
            let end = if one.is_directory { '/' } else { ' ' };
            (escaped(&rest(one)) + &end.to_string(), None)
        }
        [first, others @ ..] => {
            let mut common = rest(first);
            for other in others {
                let other = rest(other);
                let same: usize =
                    common.chars().zip(other.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
                common.truncate(same);
            }
            let list = common.is_empty().then(|| list(&candidates));
            (escaped(&common), list)
        }
    }
}

fn list(candidates: &[Candidate]) -> String {
    let mut names: Vec<String> = candidates
        .iter()
        .take(SHOWN)
        .map(|candidate| format!("{}{}", candidate.name, if candidate.is_directory { "/" } else { "" }))
        .collect();
    if candidates.len() > SHOWN {
        names.push(format!("and {} more", candidates.len() - SHOWN));
    }
    names.join("  ")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii()
            && !c.is_ascii_alphanumeric()
            && !matches!(c, '.' | '_' | '-' | '+' | ',' | '/' | '@' | '%' | ':')
        {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
