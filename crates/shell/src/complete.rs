//! Whether a text is whole, as a shell asks itself at the end of each line that is typed.
//!
//! The parser is asked: an error where the text ends is a text that goes on, one before that is an error whatever
//! follows. Three things it takes for whole are looked for besides: a here-document without its end, a backslash
//! before the end, and a function without its body.
//!
//! Promises: bounded by the limits of a reading. Nothing rests on the answer but when to read: a text taken for whole too
//! early is one that the reader refuses, one taken for open too long waits for the user.
//! Held by: `fixtures/guarded/complete.tsv` and the agreement with `bash -n` in `tests/it/complete.rs`.

use crate::caps;
use crate::reading::Limits;
use rable::{Node, NodeKind, RableError};

/// What is to be done with the lines so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Read them.
    Complete,
    /// Ask for another.
    Incomplete,
    /// No line that follows makes a command of them.
    Invalid,
}

pub(crate) fn completeness(text: &str, limits: &Limits) -> Completeness {
    if caps::check(text, limits).is_err() {
        return Completeness::Invalid;
    }
    let backslashes = text.len() - text.trim_end_matches('\\').len();
    if backslashes % 2 == 1 {
        let before = text.get(..text.len() - 1).unwrap_or_default();
        // In a comment a quote opens nothing, and a backslash joins nothing.
        return match judged(before) {
            Completeness::Complete if rable::parse(&format!("{before}'"), false).is_ok() => Completeness::Complete,
            Completeness::Complete | Completeness::Incomplete => Completeness::Incomplete,
            Completeness::Invalid => Completeness::Invalid,
        };
    }
    judged(text)
}

fn judged(text: &str) -> Completeness {
    match rable::parse(text, false) {
        // Only a here-document that is still open takes a bracket that closes nothing.
        Ok(_) if rable::parse(&format!("{text}\n)"), false).is_ok() => Completeness::Incomplete,
        Ok(nodes) if nodes.last().is_some_and(is_bodiless) => Completeness::Incomplete,
        Ok(_) => Completeness::Complete,
        Err(RableError::MatchedPair { .. }) => Completeness::Incomplete,
        Err(RableError::Parse { pos, .. }) if pos >= text.trim_end().chars().count() => Completeness::Incomplete,
        Err(RableError::Parse { .. }) => Completeness::Invalid,
    }
}

/// Whether what comes last is a function whose body has yet to come.
fn is_bodiless(node: &Node) -> bool {
    match &node.kind {
        NodeKind::Function { body, .. } => matches!(body.kind, NodeKind::Empty),
        NodeKind::List { items } => items.last().is_some_and(|item| is_bodiless(&item.command)),
        _ => false,
    }
}
