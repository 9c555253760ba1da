//! The answer of the Messages API: what it has of its own of what answers of models are.
//!
//! Promises: errors are those of the API; counts are taken as they are said. Does not promise that the provider counts as
//! it charges. Held by: `tests.rs`.

use super::facts::facts;
use super::stream::Stream;
use super::whole::Whole;
use crate::api::model::{self, Dialect, List};
use crate::json::{Node, quoted};
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

    fn error(kind: &str, message: &str) -> String {
        let (kind, message) = (quoted(kind), quoted(message));
        format!(r#"{{"type":"error","error":{{"type":{kind},"message":{message}}}}}"#)
    }

    fn count(usage: &Node) -> Tokens {
        let mut used = Tokens::default();
        count(usage, &mut used);
        used
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
