//! SQLSTATEs and what may be shown of the messages that have them, from `data/sqlstates.tsv` and
//! `data/sqlstate_classes.tsv`.
//!
//! Promises: a code that is in neither file is P0001 and its message is replaced.
//! Held by: `message/tests.rs`, which reads both files line by line.

use std::collections::HashMap;
use std::sync::LazyLock;

pub(super) const CODES: &str = include_str!("../../../data/sqlstates.tsv");
pub(super) const CLASSES: &str = include_str!("../../../data/sqlstate_classes.tsv");

/// Whether a message may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    Keep,
    /// Only with a position in the client's own text.
    Position,
    Replace,
}

impl Ruling {
    pub(super) fn of(word: &str) -> Option<Self> {
        match word {
            "keep" => Some(Self::Keep),
            "position" => Some(Self::Position),
            "replace" => Some(Self::Replace),
            _ => None,
        }
    }
}

/// What is known of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) code: &'static str,
    pub(super) condition: String,
    pub(super) class: &'static str,
    pub(super) ruling: Ruling,
    /// Whether it is procedural code's own.
    pub(super) is_users: bool,
}

/// What stands for a code that no server knows: what `RAISE` gives where no code is named.
const UNKNOWN: &str = "P0001";

pub(super) fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

static CONDITIONS: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    rows(CODES)
        .filter_map(|row| match *row.as_slice() {
            [code, condition, _] => Some((code, condition)),
            _ => None,
        })
        .collect()
});

static RULINGS: LazyLock<HashMap<&'static str, (Ruling, &'static str)>> = LazyLock::new(|| {
    rows(CLASSES)
        .filter_map(|row| match *row.as_slice() {
            [class, ruling, text, _] => Some((class, (Ruling::of(ruling)?, text))),
            _ => None,
        })
        .collect()
});

pub(super) fn of(code: &[u8]) -> State {
    let known = std::str::from_utf8(code).ok().and_then(|code| CONDITIONS.get_key_value(code));
    let (code, condition) = known.map_or((UNKNOWN, "raise_exception"), |(code, condition)| (*code, *condition));
    let class = code.get(..2).unwrap_or_default();
    let ruling = RULINGS.get(code).or_else(|| RULINGS.get(class));
    let (ruling, text) = ruling.copied().unwrap_or((Ruling::Replace, "error"));
    let condition = condition.replace('_', " ");
    State { code, condition, class: text, ruling, is_users: known.is_none() || class == "P0" }
}
