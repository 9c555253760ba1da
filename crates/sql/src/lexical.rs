//! What a PostgreSQL text must satisfy before any parser sees it.
//!
//! [`check`] refuses texts that are too large or that would make a scanner slow (size, tokens, nested comments, runs of
//! operator characters), that hold a NUL, and that mean another token sequence when `standard_conforming_strings` is
//! off: a plain `'…\…'` literal is lexed both ways, and refused where the borders of any token differ. So no setting of
//! the server can make it see a statement that the reader did not. One literal is let pass where the setting is pinned
//! ([`Limits::pinned_strings`]): `'\'` right behind the word ESCAPE, as programs write it that make SQL of patterns.
//! Such a text has two readings, and the server has ours, which is that of the grammar.
//!
//! [`has_plain_names`] tells of a text whether every database reads its names alike, whatever encoding it keeps text in.
//!
//! Promises: lexes as PostgreSQL 18 does, in time linear in the text, and never panics. What it passes can still be
//! refused by the grammar; a text that no server would accept may pass here.
//! Held by: the table `fixtures/sql/lexical.tsv`, and the property in `lexical/tests.rs` that the borders of strings and
//! statements agree with PostgreSQL's own scanner on random texts.

mod fuzz;
mod tokens;

#[cfg(test)]
mod tests;

use crate::scope::Limits;
use portcullis_model::Fault;
use tokens::{Backslash, Kind, Tokens};

pub use fuzz::fuzz_lexical;

/// How often, on average, a byte may be looked at again because it lies in a run of operator characters: a scanner
/// matches the whole run again for each operator or comment that starts in it.
const RESCANS: usize = 4;

/// Below this many bytes looked at again, a run of operator characters is not counted as slow.
const RESCANS_FREE: usize = 64 * 1024;

/// Whether a PostgreSQL text is within the limits and means the same under every setting of its strings, but for the
/// literal that is let pass where the setting is pinned.
///
/// # Errors
/// [`Fault::TooLarge`] beyond a limit, [`Fault::Ambiguous`] for a NUL or a text that can be lexed two ways.
pub(crate) fn check(text: &str, limits: &Limits) -> Result<(), Fault> {
    within_size(text, limits)?;
    let mut plain = Tokens::new(text, Backslash::Plain);
    let mut count = 0_usize;
    let mut doubtful = false;
    while let Some(token) = plain.next() {
        count += 1;
        if count > limits.tokens {
            return Err(too_large(format!("the text has more than {} tokens", limits.tokens)));
        }
        doubtful |= token.kind == Kind::Plain && token.backslash;
        within_pace(&plain, text, limits)?;
    }
    within_pace(&plain, text, limits)?;
    let other = if limits.pinned_strings { Backslash::EscapesElsewhere } else { Backslash::Escapes };
    if doubtful && differs(text, other) {
        return Err(Fault::Ambiguous {
            message: "a backslash stands at the end of a plain string literal or before a quote in it, so that the \
                      literal would end elsewhere under another setting: write it as E'…' with the backslash doubled, \
                      or send the value as a parameter"
                .into(),
        });
    }
    Ok(())
}

/// The caps that hold for a text of any dialect.
pub(crate) fn within_size(text: &str, limits: &Limits) -> Result<(), Fault> {
    if text.len() > limits.statement_bytes {
        return Err(too_large(format!(
            "the text has {} bytes, and at most {} are read",
            text.len(),
            limits.statement_bytes
        )));
    }
    if text.contains('\0') {
        return Err(Fault::Ambiguous { message: "the text holds a zero byte, which would cut it short".into() });
    }
    Ok(())
}

fn within_pace(tokens: &Tokens<'_>, text: &str, limits: &Limits) -> Result<(), Fault> {
    if tokens.nested_openers() > limits.comment_nesting {
        return Err(too_large(format!(
            "comments are opened inside comments more than {} times",
            limits.comment_nesting
        )));
    }
    if tokens.rescanned() > text.len().saturating_mul(RESCANS).saturating_add(RESCANS_FREE) {
        return Err(too_large("a run of operator characters is too long; put spaces into it".to_owned()));
    }
    Ok(())
}

/// Whether any token border lies elsewhere when a backslash escapes in plain literals, in all or in all but some.
fn differs(text: &str, other: Backslash) -> bool {
    let escapes = Tokens::new(text, other).map(|token| token.border());
    !Tokens::new(text, Backslash::Plain).map(|token| token.border()).eq(escapes)
}

/// Whether a server finds the same names in the text whatever encoding it keeps its text in: all are plain ASCII, and so are
/// the tags of dollar quotes. Such a server converts a text before it cuts names at 63 bytes, may fold capitals beyond
/// ASCII, and may make two characters one. What a DO block says is taken for names altogether, escapes included.
#[must_use]
pub fn has_plain_names(text: &str) -> bool {
    let (mut begins, mut block) = (true, false);
    for token in Tokens::new(text, Backslash::Plain) {
        let Some(written) = text.get(token.start..token.end) else { return false };
        let plain = match token.kind {
            Kind::Word => {
                block |= begins && written.eq_ignore_ascii_case("do");
                written.is_ascii()
            }
            Kind::QuotedWord => written.is_ascii() && written.starts_with('"'),
            Kind::Dollar => written.split('$').nth(1).is_some_and(str::is_ascii),
            Kind::Number
            | Kind::Parameter
            | Kind::Plain
            | Kind::Escape
            | Kind::Bits
            | Kind::Unicode
            | Kind::Operator
            | Kind::Semicolon
            | Kind::Other => true,
        };
        if !plain {
            return false;
        }
        begins = token.kind == Kind::Semicolon;
    }
    !block || (text.is_ascii() && !text.contains('\\') && !text.contains("U&") && !text.contains("u&"))
}

/// The bytes of the constant that starts here: a literal with all its parts, or a number with its sign.
pub(crate) fn literal(text: &str, at: usize) -> Option<std::ops::Range<usize>> {
    let mut end = None;
    for token in Tokens::new(text.get(at..)?, Backslash::Plain) {
        match token.kind {
            Kind::Operator | Kind::Other if end.is_none() && token.end <= token.start + 1 => end = Some(0),
            Kind::Word
            | Kind::QuotedWord
            | Kind::Number
            | Kind::Parameter
            | Kind::Plain
            | Kind::Escape
            | Kind::Bits
            | Kind::Unicode
            | Kind::Dollar => return Some(at..at + token.end),
            Kind::Operator | Kind::Semicolon | Kind::Other => return None,
        }
    }
    None
}

fn too_large(message: String) -> Fault {
    Fault::TooLarge { message: message.into() }
}
