//! GraphQL: aliases, and properties that an argument takes out of a document.
//!
//! Promises: strings, comments and commas are nothing; a colon outside of parentheses stands behind an alias, and only in
//! braces, where selections are; what stands in parentheses are arguments, of which one that is called a path and says a
//! protected member takes it out (`profile(path: "$.ssn")`, Hasura). Does not promise to follow a variable into the request's
//! `variables`, but for the value that the text itself gives it, nor to read escapes in strings.
//! Held by: `tests.rs`.

use super::tokens::{Protected, Token, is_word};

/// Arguments that name a property of a document.
const PATHS: [&str; 3] = ["path", "json_path", "jsonpath"];

/// Whether a text in lower case is of this language, or of one that looks like it.
pub(super) fn reads_as(text: &str) -> bool {
    let bare = without_comments(text, false);
    let begins = bare.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ',' | '\u{feff}'));
    let word = begins.split(|c| !is_word(c)).next().unwrap_or_default();
    begins.starts_with('{')
        || (matches!(word, "query" | "mutation" | "subscription" | "fragment") && begins.contains('{'))
}

/// Whether it gives a protected member another name.
pub(super) fn renames(protected: &Protected, text: &str) -> bool {
    aliases(&protected.tokens(&without_comments(text, false)))
        || takes_out(&protected.tokens(&without_comments(text, true)))
}

fn aliases(tokens: &[Token<'_>]) -> bool {
    let (mut depth, mut braces, mut named) = (0_usize, 0_usize, false);
    for token in tokens {
        match token {
            Token::Mark('(') => depth += 1,
            Token::Mark(')') => depth = depth.saturating_sub(1),
            Token::Mark('{') => braces += 1,
            Token::Mark('}') => braces = braces.saturating_sub(1),
            Token::Protected if named && depth == 0 && braces > 0 => return true,
            // Commas are white space, and a point leads on in languages that look like it.
            Token::Mark(',' | '.') => continue,
            Token::Protected | Token::Word(_) | Token::Mark(_) => {}
        }
        named = *token == Token::Mark(':');
    }
    false
}

/// `tokens` with what stands in strings.
fn takes_out(tokens: &[Token<'_>]) -> bool {
    let ends = |token: &Token<'_>| matches!(token, Token::Mark(')' | ',' | '{' | '}' | '='));
    // Whether a value that begins at a token says one: told from behind, so that each is looked at once.
    let says = |says: &mut bool, token: &Token<'_>| {
        *says = !ends(token) && (*says || *token == Token::Protected);
        Some(*says)
    };
    let mut said: Vec<bool> = tokens.iter().rev().scan(false, says).collect();
    said.reverse();
    let says = |at: usize| said.get(at).copied().unwrap_or_default();
    let (mut takes, mut gives) = (false, false);
    for (at, token) in tokens.iter().enumerate() {
        let next = |by: usize| tokens.get(at + by).copied();
        if token.is(&PATHS) && next(1) == Some(Token::Mark(':')) {
            if says(at + 2) {
                return true;
            }
            takes |= next(2) == Some(Token::Mark('$'));
        }
        // The value of a variable where the request gives none.
        gives |= *token == Token::Mark('=') && says(at + 1);
    }
    takes && gives
}

/// A text with a space for each comment, and for each string or the marks in it.
fn without_comments(text: &str, strings: bool) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', '#']) {
        let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, ""));
        bare.push_str(before);
        bare.push(' ');
        let after = if let Some(block) = behind.strip_prefix("\"\"\"") {
            behind_block(block)
        } else if let Some(string) = behind.strip_prefix('"') {
            behind_string(string)
        } else {
            behind.find(['\n', '\r']).and_then(|end| behind.get(end..)).unwrap_or_default()
        };
        if strings && behind.starts_with('"') {
            let string = behind.get(..behind.len() - after.len()).unwrap_or_default();
            let mark = |c| matches!(c, '(' | ')' | '{' | '}' | ',' | ':' | '=' | '#');
            bare.extend(string.chars().map(|c| if mark(c) { ' ' } else { c }));
            bare.push(' ');
        }
        rest = after;
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
