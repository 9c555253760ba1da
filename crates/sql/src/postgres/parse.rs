//! Text to tree, and the grammar's errors to faults.
//!
//! Promises: the tree is the grammar's own; a text that it rejects is a [`Fault::Syntax`] with the grammar's message and,
//! for texts up to [`POSITION_BYTES`], its position in characters; a text too deep for the grammar's guard is
//! [`Fault::TooLarge`]; nothing that the parser does ends the process. Passwords are found in the tokens, so a text that
//! does not parse gives none away.
//!
//! Does not promise a position for errors that the grammar raises behind its own tokens.
//! Held by: `fixtures/sql/faults.tsv`, `fixtures/sql/secrets.tsv` and `tests/it/deep.rs`.

use pg_query::protobuf::{ParseResult, Token};
use portcullis_model::Fault;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The largest text whose syntax error is located: locating parses some prefixes of it again.
const POSITION_BYTES: usize = 64 << 10;

/// The stack that reading takes: the grammar's guard allows trees that need a good part of it to be walked and dropped.
pub(super) const STACK_BYTES: usize = 32 << 20;

/// What the grammar says when its guard stops it.
const TOO_DEEP: [&str; 2] = ["stack depth limit exceeded", "parse tree is nested too deeply"];

/// The statements of a text.
pub(super) fn parse(text: &str) -> Result<ParseResult, Fault> {
    match attempt(text) {
        Err(Attempt::Message(message)) if too_deep(&message) => on_own_thread(text),
        other => other.map_err(|attempt| attempt.fault(text)),
    }
}

fn too_deep(message: &str) -> bool {
    TOO_DEEP.iter().any(|start| message.starts_with(start))
}

enum Attempt {
    Message(String),
    Broken,
}

impl Attempt {
    fn fault(self, text: &str) -> Fault {
        match self {
            Self::Broken => Fault::Unsupported { message: "the statement could not be read".into() },
            Self::Message(message) if too_deep(&message) => Fault::TooLarge {
                message: "the statement is nested too deeply: split it, or use a list instead of nested terms".into(),
            },
            Self::Message(message) => Fault::Syntax { position: position(text, &message), message: message.into() },
        }
    }
}

fn attempt(text: &str) -> Result<ParseResult, Attempt> {
    // The wrapper around the grammar derives tables and aliases that nobody here uses; should that ever panic, the text
    // is one that was not read.
    match catch_unwind(AssertUnwindSafe(|| pg_query::parse(text, 0))) {
        Ok(Ok(parsed)) => Ok(parsed.protobuf),
        Ok(Err(pg_query::Error::Parse(message))) => Err(Attempt::Message(message)),
        Ok(Err(_)) | Err(_) => Err(Attempt::Broken),
    }
}

/// The grammar's guard measures from the stack that the thread was born with, so on a stack that was grown it may stop
/// early. A thread of the right size decides.
fn on_own_thread(text: &str) -> Result<ParseResult, Fault> {
    std::thread::scope(|threads| {
        let spawned = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(threads, || attempt(text));
        match spawned.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result.map_err(|attempt| attempt.fault(text)),
            Ok(Err(_)) | Err(_) => Err(Attempt::Broken.fault(text)),
        }
    })
}

/// Where the grammar stopped, in characters from 1, as the server would say it.
fn position(text: &str, message: &str) -> Option<u32> {
    if message.ends_with("at end of input") {
        return u32::try_from(text.chars().count() + 1).ok();
    }
    if !message.contains("at or near") || text.len() > POSITION_BYTES {
        return None;
    }
    let Ok(scanned) = pg_query::scan(text) else { return unscanned(text, message) };
    let tokens = scanned.tokens;
    let end = |at: usize| tokens.get(at).and_then(|token| usize::try_from(token.end).ok());
    // The first token with which the text up to it fails in the same way. A prefix that stops earlier either parses or
    // wants more input.
    let (mut low, mut high) = (0, tokens.len().checked_sub(1)?);
    while low < high {
        let middle = low.midpoint(high);
        let prefix = text.get(..end(middle)?)?;
        let failed = matches!(attempt(prefix), Err(Attempt::Message(found)) if found.contains("at or near"));
        if failed {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let start = usize::try_from(tokens.get(low)?.start).ok()?;
    characters(text, start)
}

/// Where the scanner itself stopped: what the message quotes is the rest of the text.
fn unscanned(text: &str, message: &str) -> Option<u32> {
    let (_, quoted) = message.split_once("at or near \"")?;
    let rest = quoted.strip_suffix('"')?;
    text.ends_with(rest).then(|| characters(text, text.len() - rest.len())).flatten()
}

/// A byte offset as the server counts positions: in characters from 1.
pub(super) fn characters(text: &str, offset: usize) -> Option<u32> {
    u32::try_from(text.get(..offset)?.chars().count() + 1).ok()
}

/// Byte ranges that hold a password: the literal behind the word PASSWORD, with or without `=` between, and literals
/// that hold `password=…` (connection strings). Where the tokens cannot be told, the whole text.
pub(super) fn secrets(text: &str) -> Vec<Range<usize>> {
    if !mentions_password(text) {
        return Vec::new();
    }
    let Ok(scanned) = pg_query::scan(text) else { return std::iter::once(0..text.len()).collect() };
    let mut spans = Vec::new();
    // How far a literal may stand behind the word: directly, behind `=`, or behind `TO`.
    let mut awaited = false;
    for token in scanned.tokens {
        let (Ok(start), Ok(end)) = (usize::try_from(token.start), usize::try_from(token.end)) else { continue };
        let source = text.get(start..end).unwrap_or_default();
        match token.token() {
            Token::SqlComment | Token::CComment => {
                if mentions_password(source) {
                    spans.push(start..end);
                }
            }
            Token::Sconst | Token::Usconst => {
                if awaited || mentions_password(source) {
                    spans.push(start..end);
                }
                // Literals on several lines are one literal.
            }
            _ if mentions_password(source) => awaited = true,
            _ if source == "=" || source.eq_ignore_ascii_case("to") || source == "," || source == "(" => {}
            _ => awaited = false,
        }
    }
    spans
}

fn mentions_password(text: &str) -> bool {
    text.as_bytes().windows(b"passw".len()).any(|window| window.eq_ignore_ascii_case(b"passw"))
}
