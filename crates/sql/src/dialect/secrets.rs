//! Where a text of another dialect holds a password: the literals behind the words that introduce one.

#![expect(clippy::wildcard_enum_match_arm, reason = "a token that is not listed is no literal and introduces none")]

use super::guard::{Spanned, byte_of};
use sqlparser::tokenizer::Token;
use std::ops::Range;

/// Words behind which, before the next comma or semicolon, a literal is a secret.
const WORDS: &[&str] =
    &["password", "identified", "secret", "encrypted", "token", "credentials", "aws_secret_key", "private_key", "pwd"];

fn introduces(token: &Token) -> bool {
    let word = match token {
        Token::Word(word) => word.value.to_ascii_lowercase(),
        _ => return false,
    };
    WORDS.iter().any(|secret| word == *secret || word.ends_with("password") || word.ends_with("_secret_key"))
}

const fn is_literal(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::SingleQuotedRawStringLiteral(_)
            | Token::DoubleQuotedRawStringLiteral(_)
            | Token::TripleSingleQuotedString(_)
            | Token::TripleDoubleQuotedString(_)
    )
}

/// The byte ranges of the literals that follow such a word in the same statement. A literal whose place cannot be told
/// makes the whole text a secret.
pub(super) fn find(text: &str, tokens: &[Spanned]) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut behind = false;
    for spanned in tokens {
        behind = match &spanned.token {
            Token::SemiColon => false,
            token if behind && is_literal(token) => {
                let range = byte_of(text, spanned.span.start).zip(byte_of(text, spanned.span.end));
                out.push(range.map_or(0..text.len(), |(start, end)| start..end));
                true
            }
            token => behind || introduces(token),
        };
    }
    out
}

/// For a text that has no tokens: all of it, if it speaks of a secret at all.
pub(super) fn suspect(text: &str) -> Vec<Range<usize>> {
    let lower = text.to_ascii_lowercase();
    WORDS.iter().any(|word| lower.contains(word)).then_some(0..text.len()).into_iter().collect()
}
