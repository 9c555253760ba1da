//! What policy decided about a command, and which of its rules matched.
//!
//! Promises: a verdict that refuses carries its reason, one that holds what each rule asks for. What a client reads of it
//! says `denial.rs`. Does not decide anything: that is the crate `policy`.
//! Held by: the tests of `policy`, which makes them, and of `gate`, which takes them.

use crate::denial::Reason;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A rule: its bundle and its id there. Printed as `BUNDLE/RULE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleId {
    /// The bundle's name.
    pub bundle: Arc<str>,
    /// The rule's id in it.
    pub rule: Arc<str>,
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bundle, self.rule)
    }
}

/// What a rule does when it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Permits the operation unless a stricter rule matches.
    Allow,
    /// Makes it wait for a human.
    Hold,
    /// Refuses it.
    Deny,
}

impl Effect {
    /// The word used in rules and records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Hold => "hold",
            Self::Deny => "deny",
        }
    }
}

/// A rule that matched one operation of the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// Which rule.
    pub rule: RuleId,
    /// What it does.
    pub effect: Effect,
    /// The index of the operation in the command.
    pub operation: usize,
}

/// What a hold asks for. Where several hold rules match, all of them must be satisfied: one `HoldTerms` each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldTerms {
    /// The rule that holds.
    pub rule: RuleId,
    /// Members of any of these groups may vote.
    pub groups: BTreeSet<Arc<str>>,
    /// And these users.
    pub users: BTreeSet<Arc<str>>,
    /// How many distinct people must say yes.
    pub approvals: u32,
    /// Undecided by then: refused.
    pub expires: Duration,
    /// An approval not used by then lapses.
    pub valid: Duration,
    /// Whether it may wait inside an open transaction.
    pub in_transaction: bool,
    /// How long a grant lasts at most that its approvers may give; `None`: they may give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Duration>,
    /// Whether nobody is asked about a command whose requester does not say why.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_reason: bool,
    /// Whether the rows that it would write are counted for those who decide (`preview: count`), where they can be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counts_rows: bool,
}

/// The verdict on a command: the strictest of its operations'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every operation is allowed.
    Allow,
    /// No operation is refused, and these must be satisfied first.
    Hold(Vec<HoldTerms>),
    /// Refused, for this reason.
    Deny(Reason),
}

impl Verdict {
    /// The effect that it comes to.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        match self {
            Self::Allow => Effect::Allow,
            Self::Hold(_) => Effect::Hold,
            Self::Deny(_) => Effect::Deny,
        }
    }
}

/// An obligation of an allow: what it permits is undone where it wrote more rows than this (`max_rows:`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowLimit {
    /// The rule that says so.
    pub rule: RuleId,
    /// The most rows.
    pub rows: u64,
    /// Whether rows that triggers and foreign keys write behind the statement's own do not count (`cascades: ignore`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignores_cascades: bool,
    /// The rule's `message:`.
    #[serde(skip)]
    pub message: Option<Arc<str>>,
}

/// What policy decided about one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What happens.
    pub verdict: Verdict,
    /// How many rows it may write, where it is allowed only by rules that say so: the smallest of its writes' limits.
    pub limit: Option<RowLimit>,
    /// Every rule that matched, in file order.
    pub matches: Vec<Match>,
    /// The `message:` of the rule that decided, where it has one: the next step, in the DBA's words.
    pub message: Option<Arc<str>>,
    /// The digest of the policy set that decided.
    pub policy: Arc<str>,
}
