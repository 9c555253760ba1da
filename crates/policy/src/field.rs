//! `fields:` of a rule: what must or may stand at places of a request's body.
//!
//! Promises, exactly:
//! - An **allow** matches where every path listed leads to at least one value, and every value that any of them leads to
//!   is one of those listed. An object or list is no such value, so one that stands where a scalar is expected does not
//!   pass, and neither does a body in which a member that a path names stands in another case, alone or beside it: many
//!   services find it there, and the last of two is the one that counts. Without a body, or with one whose values could
//!   not be told, it does not match.
//! - A **deny** or **hold** matches where any path leads to any value listed, to an object or list, or where the values
//!   could not be told. Names of members are compared without case there. A service may read `"5"` as 5, `"５"` too,
//!   `"true"` as true, and `null` as nought, false or no text, so these compare texts with numbers and words as well,
//!   `null` with what it may stand for, and what cannot be compared with a range is in it. What a JSON Patch sets counts
//!   as if it stood in the body; an allow sees the patch as it is. Without a body it does not match, and where nothing
//!   stands at the path, neither.
//! - Numbers are compared exactly as decimals; texts by pattern, byte for byte; `*` is any scalar.
//!
//! Does not promise that an element without a member is looked at: `$.items[*].sku` is about the items that have one.
//! Held by: `field/tests.rs`.

mod read;

pub(crate) use read::body;
pub use read::read_body;

use crate::decimal::Decimal;
use crate::glob::{Certainty, Glob};
use crate::path::{self, Spelling, Step};
use portcullis_model::{Fields, Leaf, Scalar};
use std::collections::BTreeSet;
use std::sync::Arc;

/// All that a rule says about a body.
#[derive(Clone, Debug)]
pub(crate) struct FieldRule {
    fields: Vec<Field>,
    /// Each path with each value, as written, for comparing sets.
    pub(crate) written: BTreeSet<Arc<str>>,
}

/// A path and what may stand there.
#[derive(Clone, Debug)]
struct Field {
    path: Arc<str>,
    steps: Vec<Step>,
    values: Values,
}

#[derive(Clone, Debug)]
enum Values {
    OneOf(Vec<Wanted>),
    Within { least: Option<Decimal>, most: Option<Decimal> },
}

#[derive(Clone, Debug)]
enum Wanted {
    /// `*`.
    Any,
    /// One of these patterns.
    Text(Vec<Glob>),
    Number {
        value: Decimal,
        written: Box<str>,
    },
    Bool(bool),
    Null,
}

impl FieldRule {
    /// Whether the body is as the rule says: wholly, or in some place of it.
    pub(crate) fn holds(&self, fields: Option<&Fields>, certainty: Certainty) -> bool {
        match (fields.map(Fields::leaves), certainty) {
            (None, _) => false,
            (Some(None), Certainty::Surely) => false,
            (Some(None), Certainty::Possibly) => true,
            (Some(Some(leaves)), Certainty::Surely) => self.fields.iter().all(|field| field.all(leaves).is_ok()),
            (Some(Some(_)), Certainty::Possibly) => {
                fields.is_some_and(|body| self.fields.iter().any(|field| field.meets_in(body)))
            }
        }
    }

    /// What keeps an allow from matching; `None` where nothing does.
    pub(crate) fn lacks(&self, fields: Option<&Fields>) -> Option<String> {
        match fields.map(Fields::leaves) {
            None => Some("there is no body, and it is about its fields".to_owned()),
            Some(None) => Some("the body could not be read, and it is about its fields".to_owned()),
            Some(Some(leaves)) => self.fields.iter().find_map(|field| field.all(leaves).err()),
        }
    }

    /// Where a deny or hold found what it is about.
    pub(crate) fn found(&self, fields: Option<&Fields>) -> Option<String> {
        let body = fields?;
        if body.leaves().is_none() {
            return Some("the body could not be read".to_owned());
        }
        self.fields.iter().find(|field| field.meets_in(body)).map(|field| format!("by {}", field.path))
    }
}

impl Field {
    /// Whether some value stands at the path, and all that do are wanted; else what is not.
    fn all(&self, leaves: &[Leaf]) -> Result<(), String> {
        let mut found = false;
        for leaf in leaves {
            let standing = path::standing(&self.steps, &leaf.path, Spelling::Exact);
            if path::standing(&self.steps, &leaf.path, Spelling::Any) != standing {
                return Err(format!("{} stands there in another spelling", self.path));
            }
            if standing.inside {
                return Err(format!("{} is no single value", self.path));
            }
            if standing.there {
                if !self.values.surely(&leaf.value) {
                    return Err(format!("{} is {}", self.path, said(&leaf.value)));
                }
                found = true;
            }
        }
        if found { Ok(()) } else { Err(format!("{} is not there", self.path)) }
    }

    /// Whether some value of the body, or one that it sets as a patch, stands at the path and may be one that is meant.
    fn meets_in(&self, body: &Fields) -> bool {
        body.leaves().unwrap_or_default().iter().chain(body.sets()).any(|leaf| self.meets(leaf))
    }

    /// Whether this value stands at the path and may be one that is meant.
    fn meets(&self, leaf: &Leaf) -> bool {
        let standing = path::standing(&self.steps, &leaf.path, Spelling::Any);
        standing.inside || (standing.there && self.values.possibly(&leaf.value))
    }
}

fn said(value: &Scalar) -> String {
    match value {
        Scalar::Text(text) => {
            let short: String = text.chars().take(40).flat_map(char::escape_debug).collect();
            let more = if text.chars().nth(40).is_some() { "…" } else { "" };
            format!("\"{short}{more}\"")
        }
        Scalar::Number(text) => text.chars().take(40).collect(),
        Scalar::Bool(value) => value.to_string(),
        Scalar::Null => "null".to_owned(),
        Scalar::Empty => "no single value".to_owned(),
    }
}

impl Values {
    fn surely(&self, value: &Scalar) -> bool {
        match (self, value) {
            (_, Scalar::Empty) => false,
            (Self::OneOf(wanted), _) => wanted.iter().any(|wanted| wanted.surely(value)),
            (Self::Within { .. }, Scalar::Number(text)) => {
                Decimal::parse(text).is_some_and(|value| self.within(&value))
            }
            (Self::Within { .. }, Scalar::Text(_) | Scalar::Bool(_) | Scalar::Null) => false,
        }
    }

    fn possibly(&self, value: &Scalar) -> bool {
        match (self, value) {
            (_, Scalar::Empty) => true,
            (Self::OneOf(wanted), _) => wanted.iter().any(|wanted| wanted.possibly(value)),
            (Self::Within { .. }, Scalar::Number(text) | Scalar::Text(text)) => {
                Decimal::parse(text).is_none_or(|value| self.within(&value))
            }
            (Self::Within { .. }, Scalar::Bool(_)) => true,
            (Self::Within { .. }, Scalar::Null) => Decimal::parse("0").is_none_or(|nought| self.within(&nought)),
        }
    }

    fn within(&self, value: &Decimal) -> bool {
        match self {
            Self::OneOf(_) => false,
            Self::Within { least, most } => {
                least.as_ref().is_none_or(|least| value >= least) && most.as_ref().is_none_or(|most| value <= most)
            }
        }
    }
}

fn any(globs: &[Glob], text: &str) -> bool {
    globs.iter().any(|glob| glob.matches(text))
}

impl Wanted {
    fn surely(&self, value: &Scalar) -> bool {
        match (self, value) {
            (Self::Any, _) => true,
            (Self::Text(globs), Scalar::Text(text)) => any(globs, text),
            (Self::Number { value, .. }, Scalar::Number(text)) => {
                Decimal::parse(text).is_some_and(|found| found == *value)
            }
            (Self::Bool(wanted), Scalar::Bool(found)) => wanted == found,
            (Self::Null, Scalar::Null) => true,
            (Self::Text(_) | Self::Number { .. } | Self::Bool(_) | Self::Null, _) => false,
        }
    }

    /// The same where a service may take a value of one kind for one of another.
    fn possibly(&self, value: &Scalar) -> bool {
        if self.surely(value) {
            return true;
        }
        match (self, value) {
            (Self::Text(globs), Scalar::Number(text)) => any(globs, text),
            (Self::Text(globs), Scalar::Bool(found)) => any(globs, if *found { "true" } else { "false" }),
            (Self::Text(globs), Scalar::Null) => any(globs, "null") || any(globs, ""),
            (Self::Number { value, written }, Scalar::Text(text) | Scalar::Number(text)) => {
                **text == **written
                    || Decimal::parse(text.trim()).map_or_else(|| may_be_number(text), |found| found == *value)
            }
            (Self::Number { value, .. }, Scalar::Bool(found)) => {
                Decimal::parse(if *found { "1" } else { "0" }).is_some_and(|found| found == *value)
            }
            (Self::Number { value, .. }, Scalar::Null | Scalar::Empty) => {
                Decimal::parse("0").is_none_or(|nought| nought == *value)
            }
            (Self::Bool(wanted), Scalar::Null | Scalar::Empty) => !wanted,
            // `"yes"`, `1`: all but what can only mean the opposite.
            (Self::Bool(wanted), Scalar::Text(text)) => !is_word_of(!wanted, text),
            (Self::Bool(wanted), Scalar::Number(text)) => *wanted != is_zero(text),
            (Self::Null, Scalar::Text(text)) => text.is_empty() || text.eq_ignore_ascii_case("null"),
            (Self::Any, _)
            | (Self::Text(_), Scalar::Text(_) | Scalar::Empty)
            | (Self::Bool(_), Scalar::Bool(_))
            | (Self::Null, Scalar::Number(_) | Scalar::Bool(_) | Scalar::Null | Scalar::Empty) => false,
        }
    }
}

/// Whether a text that is no number of JSON may be one to a careless service: `0100`, `+100`, `100.`, digits of any script,
/// and no text at all for nought.
fn may_be_number(text: &str) -> bool {
    text.trim().is_empty() || text.contains(char::is_numeric)
}

/// Whether a text can only mean this of true and false.
fn is_word_of(value: bool, text: &str) -> bool {
    let words: &[&str] =
        if value { &["true", "yes", "on", "y", "t", "1"] } else { &["false", "no", "off", "n", "f", "0", ""] };
    words.iter().any(|word| text.trim().eq_ignore_ascii_case(word))
}

/// Whether a number of JSON is nought, however it is written.
fn is_zero(number: &str) -> bool {
    !number.split(['e', 'E']).next().unwrap_or_default().contains(|c: char| matches!(c, '1'..='9'))
}

#[cfg(test)]
mod tests;
