//! How many rows a command may write: an obligation of the rules that allow it, kept with its permit.
//!
//! Promises: a command with a limit passes only where its target tells how many rows it wrote, all of them unless the rule
//! ignores what is written behind it; one that writes nothing has no limit. Whoever sends it asks [`Permit::exceeds`] with
//! what the target told before any of the answer is released, and undoes it where that gives a denial: a count that was not
//! told is too many. A limit that is another by the time a command goes on is a refusal.
//! Does not undo anything: each protocol does, in its own way.
//! Held by: `tests/it/limits.rs`.

use crate::clearance::Permit;
use portcullis_model::{Counted, Decision, DecisionId, Denial, Reason, RowLimit, Verdict};

/// A command that may only write so many rows is refused where they are not counted.
pub(crate) fn unless_uncounted(decision: &mut Decision, counted: &Counted) {
    let Some(limit) = &decision.limit else { return };
    let why = match counted {
        Counted::Whole => return,
        Counted::Nothing => return decision.limit = None,
        Counted::Outer { .. } if limit.ignores_cascades => return,
        Counted::Outer { why } | Counted::Not { why } => why.clone(),
    };
    if !matches!(decision.verdict, Verdict::Deny(_)) {
        // What the rule says is about too many rows; what to do about this is said by the reason.
        decision.message = None;
        decision.verdict = Verdict::Deny(Reason::Uncounted { rule: limit.rule.clone(), why });
    }
}

/// Whether a command that was let through under one limit is now under another that is stricter, or the first.
pub(crate) fn is_other(under: Option<&RowLimit>, now: Option<&RowLimit>) -> bool {
    match (under, now) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(under), Some(now)) => now.rows < under.rows || (under.ignores_cascades && !now.ignores_cascades),
    }
}

/// Why a command whose limit changed may not go on.
pub(crate) fn changed(now: Option<RowLimit>) -> Reason {
    match now {
        Some(now) => Reason::Uncounted { rule: now.rule, why: "that changed while it ran: send it again".into() },
        None => Reason::Withdrawn,
    }
}

impl Permit {
    /// Whether what the command wrote is counted before any of its answer may be released.
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// The denial, where the command wrote more rows than it may, or it was not told how many.
    #[must_use]
    pub fn exceeds(&self, rows: Option<u64>) -> Option<Denial> {
        let limit = self.limit.as_ref()?;
        let reason = match rows {
            Some(rows) if rows <= limit.rows => return None,
            Some(rows) => Reason::TooManyRows { rule: limit.rule.clone(), limit: limit.rows, rows },
            None => Reason::Uncounted { rule: limit.rule.clone(), why: "the target did not say how many".into() },
        };
        Some(self.refused(reason, limit))
    }

    /// The denial of a limited command whose rows cannot be told before its answer is, as half a sentence.
    #[must_use]
    pub fn uncounted(&self, why: &'static str) -> Option<Denial> {
        let limit = self.limit.as_ref()?;
        Some(self.refused(Reason::Uncounted { rule: limit.rule.clone(), why: why.into() }, limit))
    }

    fn refused(&self, reason: Reason, limit: &RowLimit) -> Denial {
        let decision = DecisionId { session: self.session.stream.id(), number: self.number };
        let many = matches!(reason, Reason::TooManyRows { .. });
        Denial { decision: Some(decision), reason, message: limit.message.clone().filter(|_| many) }
    }
}
