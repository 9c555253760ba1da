//! `endpoint METHOD PATH`.
//!
//! Promises: the method is taken as it is sent, capitals and all; a path is compared segment by segment with the one
//! canonical spelling that a request is judged by, in which what a segment may have as it is (RFC 3986 §3.3) is itself and
//! every other byte a `%` and two capital hexadecimal digits. What that spelling never holds is refused here, since a rule
//! that has it would match nothing and a deny would silently be none: a query, a blank, a character beyond ASCII, `%2f` in
//! small letters, `%61` for `a`, `%40` for `@`, an escape cut by a `*`. Segments are compared as they are spelled: `*` takes
//! escapes as it takes letters.
//! Does not promise that a request's path is canonical: the reader of requests does. Held by: `pattern/tests.rs`.

use super::{Pattern, Refused, path};
use crate::glob::{Segment, Token};

pub(super) fn read(text: &str, tokens: &[Token]) -> Result<Pattern, Refused> {
    let blank = tokens.iter().position(|token| matches!(token, Token::Bare(c) if c.is_whitespace()));
    let split = blank.and_then(|blank| tokens.split_at_checked(blank));
    let Some((method, rest)) = split else {
        let help = "write method and path, as in `endpoint GET /orders/**`";
        return Err(Refused::new(format!("`endpoint {text}` is not METHOD PATH"), help));
    };
    if method.iter().any(|token| matches!(token, Token::Bare(c) | Token::Quoted(c) if c.is_lowercase())) {
        let help = "write the method in capitals, as in `GET`";
        return Err(Refused::new(format!("`endpoint {text}` has a method in small letters"), help));
    }
    let start = rest.iter().position(|token| !matches!(token, Token::Bare(c) if c.is_whitespace()));
    let tokens = start.and_then(|start| rest.get(start..)).unwrap_or_default();
    if tokens.iter().any(|token| matches!(token, Token::Bare('?' | '#') | Token::Quoted('?' | '#'))) {
        let help = "a pattern is about the path alone: leave out what follows it";
        return Err(Refused::new(format!("`endpoint {text}` has a query"), help));
    }
    let path = path("endpoint", text, tokens, false)?;
    if let Err((what, help)) = spelled(tokens) {
        return Err(Refused::new(format!("`endpoint {text}` {what}"), help));
    }
    Ok(Pattern::Endpoint { method: Segment::of(method)?.into_glob(), path })
}

/// Whether every character can stand in a canonical path; what is wrong and how to write it, where one cannot.
fn spelled(tokens: &[Token]) -> Result<(), (String, String)> {
    let mut tokens = tokens.iter();
    while let Some(token) = tokens.next() {
        match token {
            Token::Star | Token::Open | Token::Close | Token::Comma => {}
            Token::Quoted('/') => {
                return Err((
                    "quotes a slash".to_owned(),
                    "a slash always ends a segment: leave the `\\` out".to_owned(),
                ));
            }
            Token::Bare('%') | Token::Quoted('%') => escape(&mut tokens)?,
            Token::Bare(c) | Token::Quoted(c) => {
                if !c.is_ascii_alphanumeric() && !"-._~/!$&'()*+,;=:@".contains(*c) {
                    let mut bytes = [0; 4];
                    let bytes: String = c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")).collect();
                    return Err((format!("has a `{}` in its path", c.escape_debug()), format!("write it `{bytes}`")));
                }
            }
        }
    }
    Ok(())
}

/// The two digits behind a `%`.
fn escape(tokens: &mut std::slice::Iter<'_, Token>) -> Result<(), (String, String)> {
    let mut digit = || match tokens.next() {
        Some(Token::Bare(c) | Token::Quoted(c)) => c.to_digit(16).filter(|_| !c.is_ascii_lowercase()),
        Some(Token::Star | Token::Open | Token::Close | Token::Comma) | None => None,
    };
    let (Some(high), Some(low)) = (digit(), digit()) else {
        let help = "an escape is a `%` and two hexadecimal digits in capitals, without a `*` or braces in it";
        return Err(("has a `%` that is no escape".to_owned(), help.to_owned()));
    };
    let c = u8::try_from(high * 16 + low).map_or('\0', char::from);
    if c.is_ascii_alphanumeric() || "-._~!$&'()*+,=:@".contains(c) {
        let what = format!("escapes `{c}`, which a canonical path never does");
        // These two mean something else in a pattern.
        let quote = if matches!(c, '*' | ',') { "\\" } else { "" };
        return Err((what, format!("write `{quote}{c}`")));
    }
    if matches!(c, '/' | '\\' | '%') || c.is_ascii_control() {
        let what = format!("has an escaped `{}`, which no canonical path holds", c.escape_debug());
        return Err((what, "such a request is refused before it is judged: leave the pattern out".to_owned()));
    }
    Ok(())
}
