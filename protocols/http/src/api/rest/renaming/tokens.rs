//! Texts of query languages as words and marks, as far as it takes to see what gets another name.
//!
//! Promises: names are compared without case; quotes and white space part words and are else nothing, so `x:"ssn"` is
//! `x:ssn`. Everything is read from left to right a few times. GraphQL is in `graphql.rs`, SQL in `sql.rs`; what is neither
//! is read as lists and functions, as PostgREST and OData write them.
//! Held by: `tests.rs`.

use super::{graphql, sql};

/// What computes a value of another name out of its arguments.
const FUNCTIONS: [&str; 25] = [
    "max",
    "min",
    "sum",
    "avg",
    "first",
    "last",
    "any_value",
    "string_agg",
    "array_agg",
    "json_agg",
    "jsonb_agg",
    "group_concat",
    "listagg",
    "lower",
    "upper",
    "tolower",
    "toupper",
    "substr",
    "substring",
    "left",
    "right",
    "concat",
    "trim",
    "coalesce",
    "cast",
];

/// What a text reads as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    GraphQl,
    Sql,
    Other,
}

impl Language {
    /// Of a text in lower case.
    pub(super) fn of(text: &str) -> Self {
        if graphql::reads_as(text) {
            Self::GraphQl
        } else if sql::reads_as(text) {
            Self::Sql
        } else {
            Self::Other
        }
    }
}

/// A text in which names can be compared: both ways, since letters of either case share one of the other.
fn fold(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_lowercase().to_uppercase().to_lowercase() }
}

pub(super) fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// A plus is a space in a query string.
fn is_nothing(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '`' | '+' | '\\' | '\u{feff}')
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    Protected,
    Word(&'t str),
    Mark(char),
}

impl Token<'_> {
    pub(super) const fn is_name(self) -> bool {
        matches!(self, Self::Protected | Self::Word(_))
    }

    /// Whether it is one of these words.
    pub(super) fn is(self, words: &[&str]) -> bool {
        matches!(self, Self::Word(word) if words.contains(&word))
    }
}

/// What stands between one pair of parentheses, or around all of them.
#[derive(Clone, Copy, Default)]
struct Frame {
    /// A protected name stands in the part since the last comma, or in any before it.
    seen: bool,
    before: bool,
    /// What stands here has a name that was given to it.
    aliased: bool,
    /// Arguments of a function.
    computes: bool,
}

/// The names of protected members, in lower case.
pub(super) struct Protected(Vec<String>);

impl Protected {
    /// `None` where there is none.
    pub(super) fn new(names: &[String]) -> Option<Self> {
        let names: Vec<String> = names.iter().map(|name| fold(name)).filter(|name| !name.is_empty()).collect();
        (!names.is_empty()).then_some(Self(names))
    }

    /// The text in lower case where it says a protected name.
    pub(super) fn said(&self, text: &str) -> Option<String> {
        let folded = fold(text);
        let near = self.0.iter().any(|name| folded.contains(name.as_str()));
        (near && self.tokens(&folded).contains(&Token::Protected)).then_some(folded)
    }

    /// Whether a text is such a name, or leads to such a member or to what is in one (`c.ssn`, `ssn.keyword`).
    pub(super) fn is_one(&self, text: &str) -> bool {
        let way = format!(".{}.", fold(text.trim()));
        self.0.iter().any(|name| way.contains(&format!(".{name}.")))
    }

    /// Whether a name is none that a mask looks for.
    pub(super) fn is_new(&self, name: &str) -> bool {
        let folded = fold(name);
        !self.0.contains(&folded)
    }

    /// Whether a text in lower case that says such a member gives it another name. One that only filters computes nothing.
    pub(super) fn is_renamed(&self, text: &str, filters: bool) -> bool {
        match Language::of(text) {
            Language::GraphQl => graphql::renames(self, text),
            Language::Sql => sql::renames(self, text),
            Language::Other => renames(&self.tokens(text), filters),
        }
    }

    pub(super) fn tokens<'t>(&self, text: &'t str) -> Vec<Token<'t>> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(behind) = self.behind_one(rest) {
                tokens.push(Token::Protected);
                rest = behind;
                continue;
            }
            let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (taken, behind) = rest.split_at_checked(word.max(c.len_utf8())).unwrap_or((rest, ""));
            rest = behind;
            if word > 0 {
                tokens.push(Token::Word(taken));
            } else if !is_nothing(c) {
                tokens.push(Token::Mark(c));
            }
        }
        tokens
    }

    /// What stands behind the longest name that the text begins with.
    fn behind_one<'t>(&self, text: &'t str) -> Option<&'t str> {
        let ends = |behind: &&str| {
            let mut next = behind.chars();
            match next.next() {
                Some('-') => !next.next().is_some_and(is_word),
                Some(c) => !is_word(c),
                None => true,
            }
        };
        self.0.iter().filter_map(|name| text.strip_prefix(name.as_str())).filter(ends).min_by_key(|behind| behind.len())
    }
}

/// Languages of lists and functions: PostgREST's, OData's and their like.
fn renames(tokens: &[Token<'_>], filters: bool) -> bool {
    let (mut outer, mut frame) = (Vec::new(), Frame::default());
    for (at, token) in tokens.iter().enumerate() {
        let back = |by: usize| at.checked_sub(by).and_then(|at| tokens.get(at)).copied();
        let next = tokens.get(at + 1).copied();
        let called = matches!(back(1), Some(Token::Word(word)) if FUNCTIONS.contains(&word)) && !filters;
        match token {
            Token::Protected => {
                let taken_apart = next == Some(Token::Mark('-')) && tokens.get(at + 2) == Some(&Token::Mark('>'));
                frame.aliased &= !back(1).is_some_and(Token::is_name);
                if frame.aliased || frame.computes || (taken_apart && !filters) {
                    return true;
                }
                frame.seen = true;
            }
            Token::Word("as") if frame.seen && next.is_some_and(Token::is_name) => return true,
            Token::Word(_) => frame.aliased &= !back(1).is_some_and(Token::is_name),
            Token::Mark('(') if called && frame.seen && back(2) == Some(Token::Mark('.')) => return true,
            Token::Mark('(') => {
                outer.push(frame);
                frame = Frame { computes: called || frame.computes, ..Frame::default() };
            }
            Token::Mark(')') => {
                let seen = frame.seen || frame.before;
                frame = outer.pop().unwrap_or_default();
                frame.seen |= seen;
            }
            Token::Mark(',') => {
                frame.before |= frame.seen;
                (frame.seen, frame.aliased) = (false, false);
            }
            Token::Mark(':') => {
                // Two of them are a cast, which changes no name.
                let cast = back(1) == Some(Token::Mark(':')) || next == Some(Token::Mark(':'));
                frame.aliased |= !cast && back(1).is_some_and(Token::is_name);
            }
            Token::Mark('.' | '-' | '>') => {}
            Token::Mark(_) => frame.aliased = false,
        }
    }
    false
}
