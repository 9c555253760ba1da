//! One part of a shell's pattern (POSIX.1-2024, XCU 2.14), as `crates/shell` writes it: what would be special and is
//! not stands behind a backslash.
//!
//! Promises: `*` and `?` do not meet a leading period, as in a shell without `dotglob`; a bracket expression that this
//! module does not know (classes, equivalences, an end that is missing) makes no pattern, so that nothing is taken for
//! expanded that was not. Held by: the tests below.

/// A part with something special in it.
#[derive(Debug)]
pub(super) struct Pattern(Vec<Token>);

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    Any,
    Run,
    Set { negated: bool, ranges: Vec<(char, char)> },
}

/// The text of a part in which nothing is special.
pub(super) fn literal(part: &str) -> Option<String> {
    let mut out = String::with_capacity(part.len());
    let mut chars = part.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next()?),
            '*' | '?' | '[' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

/// Whether a part meets a name; one that is not known here may.
pub(super) fn meets(part: &str, name: &str) -> bool {
    match literal(part) {
        Some(text) => text == name,
        None => Pattern::new(part).is_none_or(|pattern| pattern.meets(name)),
    }
}

impl Pattern {
    /// The pattern; `None` for one that is not known here.
    pub(super) fn new(part: &str) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut chars = part.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '\\' => Token::Char(chars.next()?),
                '*' if tokens.last() == Some(&Token::Run) => continue,
                '*' => Token::Run,
                '?' => Token::Any,
                '[' => set(&mut chars)?,
                c => Token::Char(c),
            });
        }
        Some(Self(tokens))
    }

    /// Whether a name is met.
    pub(super) fn meets(&self, name: &str) -> bool {
        let hidden = name.starts_with('.') && self.0.first() != Some(&Token::Char('.'));
        let name: Vec<char> = name.chars().collect();
        !hidden && matches(&self.0, &name)
    }
}

/// Remembers only the newest run: enough, since a run takes anything.
fn matches(tokens: &[Token], name: &[char]) -> bool {
    let (mut token, mut at, mut retry) = (0, 0, None);
    loop {
        match (tokens.get(token), name.get(at)) {
            (Some(Token::Run), _) => {
                token += 1;
                retry = Some((token, at));
            }
            (Some(one), Some(c)) if takes(one, *c) => {
                token += 1;
                at += 1;
            }
            (None, None) => return true,
            (_, None) if retry.is_none_or(|(_, from)| from >= name.len()) => return false,
            _ => {
                let Some((behind, from)) = retry else { return false };
                if from >= name.len() {
                    return false;
                }
                token = behind;
                at = from + 1;
                retry = Some((behind, at));
            }
        }
    }
}

fn takes(token: &Token, c: char) -> bool {
    match token {
        Token::Char(one) => *one == c,
        Token::Any => true,
        Token::Run => false,
        Token::Set { negated, ranges } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated,
    }
}

fn set(chars: &mut std::str::Chars<'_>) -> Option<Token> {
    let mut members: Vec<(char, bool)> = Vec::new();
    let mut negated = false;
    let mut first = true;
    loop {
        match chars.next()? {
            '!' | '^' if first && !negated => {
                negated = true;
                continue;
            }
            ']' if !members.is_empty() => break,
            '[' => return None,
            '\\' => members.push((chars.next()?, false)),
            c => members.push((c, c == '-')),
        }
        first = false;
    }
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some((from, _)) = members.get(at) {
        match (members.get(at + 1), members.get(at + 2)) {
            (Some((_, true)), Some((to, _))) => {
                ranges.push((*from, *to));
                at += 3;
            }
            _ => {
                ranges.push((*from, *from));
                at += 1;
            }
        }
    }
    // What lies between two letters depends on the target's locale: only ranges of digits are the same everywhere.
    let plain = |(from, to): &(char, char)| from == to || (from.is_ascii_digit() && to.is_ascii_digit());
    ranges.iter().all(plain).then_some(Token::Set { negated, ranges })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_meet_as_in_a_shell() {
        for (part, name, met) in [
            ("*", "a", true),
            ("*", ".a", false),
            (".*", ".a", true),
            ("?", ".", false),
            ("*.rs", "lib.rs", true),
            ("*.rs", "lib.rsx", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("**", "abc", true),
            ("p?rt[12]", "part1", true),
            ("p?rt[12]", "part3", false),
            (".*", "..", true),
            (".?", "..", true),
            (".[!.]*", "..", false),
            (".*rc", "..", false),
            ("*", "..", false),
            ("[!a]*", "b", true),
            ("[!a]*", "a", false),
            ("[]x]", "]", true),
            ("[0-9]", "7", true),
            ("[a-]", "-", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("a\\?", "a?", true),
            ("", "", true),
            ("*a", "aaaaab", false),
        ] {
            assert_eq!(Pattern::new(part).is_some_and(|pattern| pattern.meets(name)), met, "{part} on {name}");
        }
        for unknown in ["[a-z]", "[[:alpha:]]", "[", "[a", "x\\"] {
            assert!(Pattern::new(unknown).is_none(), "{unknown}");
        }
        assert_eq!(literal("a\\*b"), Some("a*b".to_owned()));
        assert_eq!(literal("a*"), None);
    }
}
