//! What a mask rule asks for: which transform stands in a value's place, what to look for in text, and what a protected
//! column may still be used for (DESIGN 3). `policy` reads these, `masking` carries them out.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What stands in the place of a protected value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// NULL.
    Null,
    /// A constant that says so.
    Redact,
    /// This text.
    Fixed(Arc<str>),
    /// A keyed hash: equal values stay equal.
    Hash,
    /// The first characters, at most two fifths of them.
    KeepFirst(u8),
    /// The last characters, at most two fifths of them.
    KeepLast(u8),
}

impl Transform {
    /// How much it hides, most first: null, redact, fixed, hash, keep; of two that keep, the one that keeps less.
    #[must_use]
    pub const fn strictness(&self) -> u16 {
        match self {
            Self::Null => 500,
            Self::Redact => 400,
            Self::Fixed(_) => 300,
            Self::Hash => 200,
            Self::KeepFirst(count) | Self::KeepLast(count) => 100 - if *count < 100 { *count as u16 } else { 100 },
        }
    }

    /// The stricter of two; the first where they are alike.
    #[must_use]
    pub fn stricter<'t>(&'t self, other: &'t Self) -> &'t Self {
        if other.strictness() > self.strictness() { other } else { self }
    }
}

/// What a column may be used for besides being returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predicates {
    /// Nothing.
    #[default]
    Deny,
    /// One `=` with one constant or parameter, rate-limited.
    Equality,
    /// Anything.
    Allow,
}

/// What becomes of a result whose origin could not be proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unproven {
    /// It is masked as a whole.
    #[default]
    Mask,
    /// The statement is refused.
    Deny,
}

/// What to look for in text, whatever column it is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words are those of rules; docs/policy-guide.md explains each")]
pub enum Detector {
    PaymentCard,
    Email,
    UsSsn,
    Iban,
    Phone,
    Ipv4,
    Ipv6,
    AwsKey,
    GithubKey,
    PrivateKey,
    Jwt,
    HighEntropy,
    /// A user's own regular expression.
    Pattern(Arc<str>),
}

impl Detector {
    /// Those with a name, and the word for each in rules and records.
    pub const NAMED: &'static [(&'static str, Self)] = &[
        ("payment_card", Self::PaymentCard),
        ("email", Self::Email),
        ("us_ssn", Self::UsSsn),
        ("iban", Self::Iban),
        ("phone", Self::Phone),
        ("ipv4", Self::Ipv4),
        ("ipv6", Self::Ipv6),
        ("aws_key", Self::AwsKey),
        ("github_key", Self::GithubKey),
        ("private_key", Self::PrivateKey),
        ("jwt", Self::Jwt),
        ("high_entropy", Self::HighEntropy),
    ];

    /// The word used in rules and records.
    #[must_use]
    pub fn word(&self) -> &'static str {
        Self::NAMED.iter().find(|(_, detector)| detector == self).map_or("regex", |(word, _)| word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_of_several_transforms_wins() {
        let order = [
            Transform::Null,
            Transform::Redact,
            Transform::Fixed("x".into()),
            Transform::Hash,
            Transform::KeepFirst(2),
            Transform::KeepLast(4),
        ];
        for pair in order.windows(2) {
            let [strict, loose] = pair else { continue };
            assert_eq!(loose.stricter(strict), strict);
            assert_eq!(strict.stricter(loose), strict);
        }
        assert_eq!(Transform::KeepLast(200).strictness(), 0);
    }

    #[test]
    fn every_detector_has_one_word() {
        for (word, detector) in Detector::NAMED {
            assert_eq!(detector.word(), *word);
        }
        assert_eq!(Detector::Pattern("a".into()).word(), "regex");
    }
}
