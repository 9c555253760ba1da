//! What the rules of a policy ask for one column.
//!
//! Promises: merging takes the strictest of each and is the same in any order as far as what is hidden goes; what is
//! derived shows nothing of a value. Held by: the tests below.

use crate::json::JsonPath;
use portcullis_model::{Predicates, RuleId, Transform, Unproven};

/// What the rules of a policy ask for one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Treatment {
    /// The rules that ask for it, sorted, without repeats; none where the origin could not be proven.
    pub rules: Vec<RuleId>,
    /// What stands in the place of the whole value; then `json` is of no account.
    pub whole: Option<Transform>,
    /// What stands in the place of members of it.
    pub json: Vec<(JsonPath, Transform)>,
    /// What the column may be used for besides being returned.
    pub predicates: Predicates,
    /// What becomes of results whose origin could not be proven.
    pub unproven: Unproven,
}

impl Treatment {
    /// Of what could not be proven to be clean.
    #[must_use]
    pub const fn unproven(unproven: Unproven) -> Self {
        Self {
            rules: Vec::new(),
            whole: Some(Transform::Null),
            json: Vec::new(),
            predicates: Predicates::Deny,
            unproven,
        }
    }

    /// Takes on what another asks for: the strictest of each.
    pub fn merge(&mut self, other: &Self) {
        self.rules.extend_from_slice(&other.rules);
        self.rules.sort_unstable();
        self.rules.dedup();
        self.whole = match (self.whole.take(), &other.whole) {
            (Some(one), Some(other)) => Some(one.stricter(other).clone()),
            (Some(one), None) => Some(one),
            (None, other) => other.clone(),
        };
        for (path, transform) in &other.json {
            match self.json.iter_mut().find(|(known, _)| known == path) {
                Some((_, known)) => *known = known.stricter(transform).clone(),
                None => self.json.push((path.clone(), transform.clone())),
            }
        }
        if !self.json.is_empty() {
            match &self.whole {
                // The ends that it keeps may be those of a member that is masked.
                Some(Transform::KeepFirst(_) | Transform::KeepLast(_)) => self.whole = Some(Transform::Redact),
                Some(Transform::Null | Transform::Redact | Transform::Fixed(_) | Transform::Hash) | None => {}
            }
        }
        self.predicates = self.predicates.min(other.predicates);
        self.unproven = self.unproven.max(other.unproven);
    }

    /// The same for a value computed from the column: NULL, since anything else shows which values are NULL, and
    /// `nullif(ssn, '1')` or `substring(ssn from '^5')` turn that into the value.
    #[must_use]
    pub fn derived(&self) -> Self {
        Self { whole: Some(Transform::Null), json: Vec::new(), rules: self.rules.clone(), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn treatment(rule: &str, whole: Option<Transform>, json: &[(&str, Transform)]) -> Treatment {
        Treatment {
            rules: vec![RuleId { bundle: "b".into(), rule: rule.into() }],
            whole,
            json: json.iter().map(|(path, with)| (JsonPath::parse(path).unwrap(), with.clone())).collect(),
            predicates: Predicates::Allow,
            unproven: Unproven::Mask,
        }
    }

    #[test]
    fn the_strictest_of_each_wins() {
        let mut one = treatment("z", Some(Transform::KeepLast(4)), &[]);
        let mut other = treatment("a", Some(Transform::Null), &[]);
        other.predicates = Predicates::Equality;
        other.unproven = Unproven::Deny;
        one.merge(&other);
        one.merge(&other);
        assert_eq!(one.rules.iter().map(|rule| &*rule.rule).collect::<Vec<_>>(), ["a", "z"]);
        assert_eq!(
            (&one.whole, one.predicates, one.unproven),
            (&Some(Transform::Null), Predicates::Equality, Unproven::Deny)
        );
    }

    #[test]
    fn keeping_the_ends_of_a_document_does_not_undo_a_path() {
        let path = treatment("a", None, &[("$.ssn", Transform::KeepLast(4))]);
        let whole = treatment("b", Some(Transform::KeepLast(4)), &[]);
        for (one, other) in [(&path, &whole), (&whole, &path)] {
            let mut merged = one.clone();
            merged.merge(other);
            assert_eq!(merged.whole, Some(Transform::Redact));
        }
        let mut both = path.clone();
        both.merge(&treatment("c", None, &[("$.ssn", Transform::Null), ("$.b", Transform::Hash)]));
        assert_eq!(
            both.json.iter().map(|(_, with)| with.clone()).collect::<Vec<_>>(),
            [Transform::Null, Transform::Hash]
        );
    }

    #[test]
    fn what_is_derived_shows_nothing() {
        for whole in [Some(Transform::KeepLast(4)), Some(Transform::Hash), Some(Transform::Fixed("x".into())), None] {
            let derived = treatment("a", whole, &[("$.a", Transform::Hash)]).derived();
            assert_eq!((derived.whole, derived.json.len(), derived.rules.len()), (Some(Transform::Null), 0, 1));
        }
        assert_eq!(treatment("a", Some(Transform::Null), &[]).derived().whole, Some(Transform::Null));
    }
}
