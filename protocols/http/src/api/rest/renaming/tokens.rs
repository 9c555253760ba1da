//! Texts of query languages as words and marks, as far as it takes to see what gets another name.
//!
//! Promises: names are compared without case; quotes and white space part words and are else nothing, so `x:"ssn"` is
//! `x:ssn`; of GraphQL comments, strings and commas are nothing, and what stands in parentheses are arguments; of SQL with
//! one `select` each item that says a protected name must be that name alone, and behind `from` it may stand in conditions;
//! SQL that puts several queries together may not say one at all. Everything is read once from left to right.
//! Held by: `tests.rs`.

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
        let bare = without_strings(text);
        let begins = bare.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ',' | '\u{feff}'));
        let word = begins.split(|c| !is_word(c)).next().unwrap_or_default();
        if begins.starts_with('{')
            || (matches!(word, "query" | "mutation" | "subscription" | "fragment") && begins.contains('{'))
        {
            return Self::GraphQl;
        }
        let mut words = text.split(|c| !is_word(c)).filter(|word| !word.is_empty());
        // Two words of each, since people write to each other that begin with one.
        let is_sql = match words.next() {
            Some("select") => words.any(|word| word == "from"),
            Some("with") => words.any(|word| word == "select"),
            Some(_) | None => false,
        };
        if is_sql { Self::Sql } else { Self::Other }
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// A plus is a space in a query string.
fn is_nothing(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '`' | '+' | '\\' | '\u{feff}')
}

/// A text of GraphQL with a space for each string and comment.
fn without_strings(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', '#']) {
        let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, ""));
        bare.push_str(before);
        bare.push(' ');
        rest = if let Some(block) = behind.strip_prefix("\"\"\"") {
            behind_block(block)
        } else if let Some(string) = behind.strip_prefix('"') {
            behind_string(string)
        } else {
            behind.find(['\n', '\r']).and_then(|end| behind.get(end..)).unwrap_or_default()
        };
    }
    bare.push_str(rest);
    bare
}

fn behind_block(block: &str) -> &str {
    let mut rest = block;
    while let Some((before, behind)) = rest.split_once("\"\"\"") {
        if !before.ends_with('\\') {
            return behind;
        }
        rest = behind;
    }
    ""
}

/// A string ends with its quote, and with its line, which is an error to who reads it.
fn behind_string(string: &str) -> &str {
    let mut escaped = false;
    for (at, c) in string.char_indices() {
        match c {
            '"' | '\n' | '\r' if !escaped => return string.get(at + c.len_utf8()..).unwrap_or_default(),
            _ => escaped = c == '\\' && !escaped,
        }
    }
    ""
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    Protected,
    Word(&'t str),
    Mark(char),
}

impl Token<'_> {
    const fn is_name(self) -> bool {
        matches!(self, Self::Protected | Self::Word(_))
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
        let names: Vec<String> = names.iter().map(|name| name.to_lowercase()).filter(|name| !name.is_empty()).collect();
        (!names.is_empty()).then_some(Self(names))
    }

    /// The text in lower case where it says a protected name.
    pub(super) fn said(&self, text: &str) -> Option<String> {
        let folded = text.to_lowercase();
        let near = self.0.iter().any(|name| folded.contains(name.as_str()));
        (near && self.tokens(&folded).contains(&Token::Protected)).then_some(folded)
    }

    /// Whether a text is such a name, or leads to a member of it.
    pub(super) fn is_one(&self, text: &str) -> bool {
        let folded = text.trim().to_lowercase();
        let leads = |name: &String| {
            let before = folded.strip_suffix(name.as_str());
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        self.0.iter().any(leads)
    }

    /// Whether a text in lower case gives such a member another name. One that only filters computes nothing.
    pub(super) fn is_renamed(&self, text: &str, filters: bool) -> bool {
        match Language::of(text) {
            Language::GraphQl => aliases(&self.tokens(&without_strings(text))),
            Language::Sql => selects(&self.tokens(text)),
            Language::Other => renames(&self.tokens(text), filters),
        }
    }

    fn tokens<'t>(&self, text: &'t str) -> Vec<Token<'t>> {
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

/// GraphQL: a colon outside of arguments stands behind an alias.
fn aliases(tokens: &[Token<'_>]) -> bool {
    let (mut depth, mut named) = (0_usize, false);
    for token in tokens {
        match token {
            Token::Mark('(') => depth += 1,
            Token::Mark(')') => depth = depth.saturating_sub(1),
            Token::Protected if named && depth == 0 => return true,
            // Commas are white space, and a point leads on in languages that look like it.
            Token::Mark(',' | '.') => continue,
            Token::Protected | Token::Word(_) | Token::Mark(_) => {}
        }
        named = *token == Token::Mark(':');
    }
    false
}

/// SQL.
fn selects(tokens: &[Token<'_>]) -> bool {
    let is = |token: &Token<'_>, words: &[&str]| matches!(token, Token::Word(word) if words.contains(word));
    let queries = tokens.iter().filter(|token| is(token, &["select"])).count();
    if queries != 1 || tokens.iter().any(|token| is(token, &["with", "union", "intersect", "except"])) {
        return tokens.contains(&Token::Protected);
    }
    let (mut depth, mut item, mut listed) = (0_usize, Vec::new(), true);
    // Protected names in parentheses, so that `f(ssn) as x` is seen among what is selected from.
    let mut inside = Vec::new();
    let mut closed = false;
    for token in tokens {
        if listed && depth == 0 && (*token == Token::Mark(',') || is(token, &["from"])) {
            if !is_path(&item) {
                return true;
            }
            item.clear();
            listed = *token == Token::Mark(',');
        } else if listed && !is(token, &["select", "distinct", "all"]) {
            item.push(*token);
        }
        if closed && is(token, &["as"]) {
            return true;
        }
        closed = false;
        match token {
            Token::Mark('(') => {
                depth += 1;
                inside.push(false);
            }
            Token::Mark(')') => {
                depth = depth.saturating_sub(1);
                closed = inside.pop().unwrap_or_default();
                inside.last_mut().into_iter().for_each(|outer| *outer |= closed);
            }
            Token::Protected => inside.last_mut().into_iter().for_each(|outer| *outer = true),
            Token::Word(_) | Token::Mark(_) => {}
        }
    }
    listed && !is_path(&item)
}

/// Whether an item of a list says no protected name, or is names with points between them.
fn is_path(item: &[Token<'_>]) -> bool {
    let mut even = item.iter().step_by(2);
    let mut odd = item.iter().skip(1).step_by(2);
    !item.contains(&Token::Protected)
        || (item.len() % 2 == 1 && even.all(|token| token.is_name()) && odd.all(|token| *token == Token::Mark('.')))
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
