//! The answer of the Messages API: what it has of its own of what answers of models are.
//!
//! Promises: errors are those of the API; counts are taken as they are said, with those that are in no total. Does not
//! promise that the provider counts as it charges. Held by: `tests.rs`.

use super::facts::facts;
use super::stream::Stream;
use super::whole::Whole;
use crate::api::model::{self, Dialect, List, Told};
use crate::json::{Node, Value, quoted};
use portcullis_model::Tokens;

/// The Messages API.
pub(super) enum Messages {}

/// Reads an answer of it.
#[cfg(test)]
pub(super) type Answering = crate::api::model::Answering<Messages>;

impl Dialect for Messages {
    type Whole = Whole;
    type Events = Stream;

    fn headers() -> &'static List {
        &facts().headers
    }

    fn error(told: &Told) -> String {
        let (kind, message) = (quoted(&told.kind), quoted(&told.message));
        format!(r#"{{"type":"error","error":{{"type":{kind},"message":{message}}}}}"#)
    }

    fn count(usage: &Node) -> Tokens {
        let mut used = Tokens::default();
        count(usage, &mut used);
        beside(usage).map_or(used, |more| sum(used, more))
    }
}

/// What is in no total: what the provider made summaries with, and what other models were asked beside. `None` where the
/// usage does not say it.
pub(super) fn beside(usage: &Node) -> Option<Tokens> {
    let mut all = Tokens::default();
    for turn in usage.get("iterations").filter(|turns| matches!(turns.value, Value::Array(_)))?.elements() {
        if matches!(turn.get("type").and_then(Node::text), Some("compaction" | "advisor_message")) {
            let mut used = Tokens::default();
            count(turn, &mut used);
            all = sum(all, used);
        }
    }
    Some(all)
}

/// Both together.
pub(super) fn sum(one: Tokens, other: Tokens) -> Tokens {
    let both = |of: fn(&Tokens) -> u64| of(&one).saturating_add(of(&other)).min(Tokens::MOST);
    Tokens {
        input: both(|used| used.input),
        output: both(|used| used.output),
        cache_read: both(|used| used.cache_read),
        cache_write: both(|used| used.cache_write),
    }
}

/// What is counted, where it is said.
pub(super) fn count(usage: &Node, used: &mut Tokens) {
    let counts = [
        ("input_tokens", &mut used.input),
        ("output_tokens", &mut used.output),
        ("cache_read_input_tokens", &mut used.cache_read),
        ("cache_creation_input_tokens", &mut used.cache_write),
    ];
    for (name, count) in counts {
        if let Some(said) = model::tokens(usage, name) {
            *count = said;
        }
    }
}
