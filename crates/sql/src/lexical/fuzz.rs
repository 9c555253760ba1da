//! The lexical check under arbitrary text, against itself and against PostgreSQL's own scanner.
//!
//! Promises: [`fuzz_lexical`] fails where a text of two readings passes that is not pinned to one, where tokens overlap
//! or leave the text, and where PostgreSQL's scanner accepts a text that passed and puts the start of a literal, name,
//! parameter or statement end elsewhere. Does not promise to compare operators: how they divide moves no other border.
//! Held by: `lexical/tests.rs`, which replays generated texts, and the fuzz target `sql_lexical`.

use super::tokens::{Backslash, Token, Tokens};
use super::{check, differs};
use crate::scope::Limits;

/// Fuzzing entry: any bytes; must not panic, whatever they are, and must not pass a text that lexes two ways or that
/// PostgreSQL's scanner divides differently.
pub fn fuzz_lexical(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let limits = Limits::default();
    let passed = check(&text, &limits).is_ok();
    assert!(!(passed && differs(&text, Backslash::Escapes)), "a text of two readings passed");
    let pinned = check(&text, &limits.pinned()).is_ok();
    assert!(pinned || !passed, "a text of one reading did not pass");
    assert!(!(pinned && differs(&text, Backslash::EscapesElsewhere)), "a text of two readings passed");
    for backslash in [Backslash::Plain, Backslash::Escapes, Backslash::EscapesElsewhere] {
        let mut at = 0;
        for token in Tokens::new(&text, backslash) {
            assert!(token.start >= at && token.end > token.start && token.end <= text.len(), "tokens overlap");
            at = token.end;
        }
    }
    if pinned && let Some(theirs) = scanned(&text) {
        assert_eq!(ours(&text), theirs, "PostgreSQL divides it differently");
    }
}

/// Where strings, names, parameters and semicolons begin, as PostgreSQL's scanner sees it; `None` where it refuses.
pub(super) fn scanned(text: &str) -> Option<Vec<usize>> {
    let scan = pg_query::scan(text).ok()?;
    let marks = |start: usize| text.as_bytes().get(start).is_some_and(|byte| marked(*byte));
    let comment = |token: i32| {
        token == pg_query::protobuf::Token::SqlComment as i32 || token == pg_query::protobuf::Token::CComment as i32
    };
    let starts = scan.tokens.iter().filter(|token| !comment(token.token));
    Some(starts.filter_map(|token| usize::try_from(token.start).ok()).filter(|start| marks(*start)).collect())
}

/// The same, as our own scanner sees it.
pub(super) fn ours(text: &str) -> Vec<usize> {
    let starts = |token: &Token| text.as_bytes().get(token.start).is_some_and(|byte| marked(*byte));
    Tokens::new(text, Backslash::Plain).filter(starts).map(|token| token.start).collect()
}

fn marked(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0x80 || matches!(byte, b'_' | b'\'' | b'"' | b'$' | b';')
}
