//! A list of names in a text: the value of `search_path` and of settings like it.
//!
//! Follows the server's `SplitIdentifierString` (`varlena.c`): names between commas, quoted or not, with spaces around.
//! Promises: a list that servers of some version would read otherwise is not read: whether a vertical tab is a space
//! depends on it. Does not promise to shorten a long name as the server does.
//! Held by: the tests below, and `fixtures/sql/session.tsv`.

/// What becomes of the letters of a name without quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unquoted {
    /// They stay, as those of files do.
    AsWritten,
    /// They become small ones, as those of identifiers do.
    Folded,
}

/// The names of a list, without their quotes; nothing where it cannot be read.
#[must_use]
pub fn listed_names(list: &str, unquoted: Unquoted) -> Option<Vec<String>> {
    let space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c');
    let mut rest = list.trim_matches(space);
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (name, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_name(quoted)?,
            None => {
                let end = rest.find(|c| c == ',' || space(c)).unwrap_or(rest.len());
                let (name, behind) = rest.split_at(end);
                if name.is_empty() || name.contains('\x0b') {
                    return None;
                }
                let name = match unquoted {
                    Unquoted::AsWritten => name.to_owned(),
                    Unquoted::Folded => name.to_ascii_lowercase(),
                };
                (name, behind)
            }
        };
        names.push(name);
        rest = behind.trim_start_matches(space);
        if !rest.is_empty() {
            // Behind a comma there is a name.
            rest = rest.strip_prefix(',')?.trim_start_matches(space);
            if rest.is_empty() {
                return None;
            }
        }
    }
    Some(names)
}

/// What stands before the closing quote, and what stands behind it.
fn quoted_name(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (before, behind) = rest.split_once('"')?;
        name.push_str(before);
        match behind.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_read_as_servers_of_every_version_read_them() {
        for (list, names) in [
            ("", Some(&[][..])),
            (" \t", Some(&[])),
            ("\"\"", Some(&[""])),
            ("\"$user\", \"own space\",Public", Some(&["$user", "own space", "public"])),
            (" \"a\"\"b, c\"\t,\nd ", Some(&["a\"b, c", "d"])),
            // No space to the server, but a part of a name.
            ("a\u{a0}b, \u{2003}c", Some(&["a\u{a0}b", "\u{2003}c"])),
            ("\"\x0bpublic\"", Some(&["\x0bpublic"])),
            ("\x0bpublic", None),
            ("a\x0b", None),
            ("\"a\"\x0b", None),
            ("\"a", None),
            ("a,", None),
            ("a,,b", None),
            (",a", None),
            ("a b", None),
            ("\"a\"b", None),
        ] {
            let read = listed_names(list, Unquoted::Folded);
            let names = names.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            assert_eq!(read, names, "{list:?}");
        }
        assert_eq!(listed_names("Its", Unquoted::AsWritten), Some(vec!["Its".to_owned()]));
    }

    proptest! {
        #[test]
        fn any_names_come_out_of_a_list_as_they_went_in(names in prop::collection::vec(any::<String>(), 0..5)) {
            let quoted: Vec<String> = names.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
            prop_assert_eq!(listed_names(&quoted.join(", "), Unquoted::Folded), Some(names));
        }

        #[test]
        fn any_text_is_read_or_not(text in any::<String>()) {
            let folded = listed_names(&text, Unquoted::Folded).map(|names| names.len());
            prop_assert_eq!(folded, listed_names(&text, Unquoted::AsWritten).map(|names| names.len()));
        }
    }
}
