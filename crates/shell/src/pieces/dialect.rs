//! What of a word another shell reads otherwise.

use super::{backticks, dollar, double, until};

/// Whether POSIX sh reads a word otherwise, or not at all: quotes behind a dollar sign, `$[…]`, process substitutions.
pub(crate) fn is_bash_only(raw: &str) -> bool {
    let mut chars = raw.chars().collect::<Vec<_>>().into_iter().peekable();
    let mut skipped = Vec::new();
    while let Some(c) = chars.next() {
        let read = match c {
            '\'' => until(&mut chars, '\'').map(drop),
            '"' => double(&mut chars, &mut skipped),
            '\\' => {
                chars.next();
                Some(())
            }
            '$' if matches!(chars.peek(), Some('\'' | '"' | '[')) => None,
            '$' => dollar(&mut chars, false, &mut skipped),
            '`' => backticks(&mut chars, false).map(drop),
            '<' | '>' if chars.peek() == Some(&'(') => None,
            _ => Some(()),
        };
        if read.is_none() {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::is_bash_only;

    #[test]
    fn quotes_behind_a_dollar_sign_are_told_from_dollar_signs_in_quotes() {
        for word in ["$'a'", "a$'b'", "$\"a\"", "$[1]", "<(a)", "a\"b\"$'c'", "'a'$'b'"] {
            assert!(is_bash_only(word), "{word}");
        }
        for word in ["'a$'", "\"a$\"", "'$'\"$\"", "$((1))", "$(a $'b')", "${x:-a}", "\\$'a'", "`a`", "a$", "x<y"] {
            assert!(!is_bash_only(word), "{word}");
        }
    }
}
