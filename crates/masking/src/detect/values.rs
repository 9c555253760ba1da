//! Looks through values that stand under a name, as those of JSON do.
//!
//! Promises: a value is looked through like any text, and a key that only its name makes one (`secret_access_key`) is
//! found too. Does not promise anything of a value that is spread over several.
//!
//! Held by: the tests of `json`.

use super::kinds::kinds_of;
use super::{Detectors, Hit, Hits, tokens};
use crate::key::Key;
use portcullis_model::Transform;

/// The shortest value that its name may make a secret.
const NAMED: usize = 40;

/// A name longer than this says nothing.
const NAME: usize = 128;

/// A value, the name that it stands under where it has one, and what kinds of bytes are in it.
#[derive(Clone, Copy)]
pub(crate) struct Value<'v> {
    pub(crate) name: Option<&'v str>,
    pub(crate) text: &'v str,
    pub(crate) kinds: u8,
}

impl<'v> Value<'v> {
    /// One without a name.
    pub(crate) fn plain(text: &'v str) -> Self {
        Self { name: None, text, kinds: kinds_of(text.as_bytes()) }
    }
}

impl Detectors {
    /// Whether anything could be found in a text of these kinds of bytes.
    pub(crate) fn may_find(&self, kinds: u8, length: usize) -> bool {
        length >= self.shortest.of(kinds)
    }

    /// The value with every hit replaced; `None` where there is none. `hit` is told the rule of each.
    pub(crate) fn redact_value(&self, value: Value<'_>, key: &Key, hit: &mut dyn FnMut(usize)) -> Option<String> {
        let hits = self.value(value);
        if hits.is_empty() { None } else { Some(self.redacted(value.text, &hits, key, hit)) }
    }

    /// The strictest transform that anything found in the value asks for. `hit` is told the rule of each.
    pub(crate) fn strictest(&self, value: Value<'_>, hit: &mut dyn FnMut(usize)) -> Option<&Transform> {
        let hits = self.value(value);
        hits.iter().for_each(|one| hit(one.rule));
        let transforms = hits.iter().filter_map(|one| Some(&self.rules.get(one.rule)?.transform));
        transforms.reduce(|one, other| one.stricter(other))
    }

    fn value(&self, value: Value<'_>) -> Hits {
        if !self.may_find(value.kinds, value.text.len()) {
            return Hits::new();
        }
        let mut hits = self.hits_among(value.text.as_bytes(), value.kinds);
        if self.named
            && value.text.len() >= NAMED
            && let Some(name) = value.name.filter(|name| name.len() <= NAME && says_secret(name))
        {
            self.named_secrets(name, value.text, &mut hits);
        }
        hits
    }

    /// Finds what is a key because of its name.
    fn named_secrets(&self, name: &str, text: &str, hits: &mut Hits) {
        let assigned = [name, "=", text].concat();
        let before = name.len() + 1;
        for (rule, _) in self.rules.iter().enumerate().filter(|(_, rule)| rule.is_named()) {
            tokens::aws_keys(assigned.as_bytes(), false, &mut |span| {
                if let Some(start) = span.start.checked_sub(before) {
                    let hit = Hit { rule, span: start..span.end - before };
                    if !hits.contains(&hit) {
                        hits.push(hit);
                    }
                }
            });
        }
        hits.sort_by_key(|hit| hit.span.start);
    }
}

fn says_secret(name: &str) -> bool {
    name.as_bytes().windows(6).any(|word| word.eq_ignore_ascii_case(b"secret"))
}
