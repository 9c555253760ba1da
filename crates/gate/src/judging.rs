//! What a command comes to now: identity, reader, masks, policy, and whether anybody could approve it.
//!
//! Promises: one place judges, whether a command is asked, asked again behind a hold, or goes on with data after policy
//! moved on; an identity that is gone and a text that was not read are refused before any rule is asked; what masks add to
//! the operations only makes a verdict stricter, and the reason then names what is protected; a hold where nobody can vote
//! is a refusal, and none lasts longer than the gateway lets commands wait.
//! Does not promise to record or to forward anything: `session.rs` does both with what is said here.
//! Held by: `tests/it/asking.rs`, `tests/it/holding.rs`, `tests/it/masking.rs`.

use crate::clearance::Permit;
use crate::limit;
use crate::masking::{Masking, Touches};
use crate::session::Inner;
use jiff::Timestamp;
use portcullis_approvals::Grant;
use portcullis_identity::Standing;
use portcullis_model::{Command, Decision, Denial, Misuse, Operation, Reason, RuleId, Verdict};
use portcullis_policy::Case;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a command comes to now.
pub(crate) struct Judged {
    pub(crate) decision: Decision,
    /// The policy epoch it was made under.
    pub(crate) epoch: u64,
    /// What was judged: the command's operations with what masks add.
    pub(crate) operations: Arc<[Operation]>,
    pub(crate) masking: Arc<Masking>,
    pub(crate) touches: Touches,
    /// The grants without which it would be held, or held by more.
    pub(crate) granted: Vec<Arc<Grant>>,
    compared: Option<(RuleId, Arc<str>)>,
    comparisons: usize,
}

impl Inner {
    /// What a command comes to now.
    pub(crate) fn judge(&self, command: &Command, now: Timestamp) -> Judged {
        let policy = self.shared.policy.load();
        let masking = self.masking(&policy, command.followed.as_ref().map(|followed| &followed.catalogue));
        let found = masking.judge(command);
        let refuse = |reason| Decision {
            verdict: Verdict::Deny(reason),
            limit: None,
            matches: Vec::new(),
            message: None,
            policy: Arc::clone(policy.set.digest()),
        };
        let decide = |operations: &[Operation]| {
            policy.set.decide(&Case {
                principal: &self.authenticated.principal,
                connection: &self.connection,
                operations,
                home: command.home.as_deref(),
                fields: command.fields.as_deref(),
                at: now,
            })
        };
        let mut operations = command.shared_operations();
        let standing = self.shared.identity.standing(&self.authenticated, now);
        let decision = match (standing, &command.fault, found.refusal) {
            (Standing::Expired | Standing::Revoked, ..) => refuse(Reason::IdentityRevoked),
            (Standing::Good, Some(fault), _) => refuse(Reason::Unreadable(fault.clone())),
            (Standing::Good, None, refusal) => {
                let mut decision = if found.marks.is_empty() {
                    decide(&operations)
                } else {
                    operations = Operation::all_marked(&operations, found.marks).into();
                    let decision = decide(&operations);
                    self.because_of_masks(decision, found.misuse, || decide(command.operations()))
                };
                if let Some(reason) = refusal.filter(|_| !matches!(decision.verdict, Verdict::Deny(_))) {
                    decision.verdict = Verdict::Deny(reason);
                }
                decision
            }
        };
        let mut decision = self.not_waiting_longer(decision);
        let granted = self.not_held_by_grants(&mut decision, &operations, now);
        limit::unless_uncounted(&mut decision, &command.counted);
        Judged {
            decision: self.unless_nobody_can_approve(decision),
            epoch: policy.epoch,
            operations,
            masking,
            touches: found.touches,
            granted,
            compared: found.compared.filter(|_| found.equalities > 0),
            comparisons: found.equalities,
        }
    }

    /// Says what is protected where that alone is why no rule allows the command.
    fn because_of_masks(
        &self,
        mut decision: Decision,
        misuse: Option<Reason>,
        plain: impl FnOnce() -> Decision,
    ) -> Decision {
        if matches!(decision.verdict, Verdict::Deny(Reason::NoRule { .. }))
            && let Some(misuse) = misuse
            && !matches!(plain().verdict, Verdict::Deny(_))
        {
            decision.verdict = Verdict::Deny(misuse);
        }
        decision
    }

    /// Takes the comparisons of a command that would pass from the principal's allowance.
    pub(crate) fn count_comparisons(&self, judged: &mut Judged) {
        if let Some((rule, column)) = judged.compared.take()
            && !matches!(judged.decision.verdict, Verdict::Deny(_))
            && !self.shared.allowance.take(&self.authenticated.principal, &self.connection, judged.comparisons)
        {
            judged.decision.verdict = Verdict::Deny(Reason::Protected { rule, column, misuse: Misuse::TooOften });
        }
    }

    /// Nobody waits for people longer than the gateway lets them, whatever a rule says.
    fn not_waiting_longer(&self, mut decision: Decision) -> Decision {
        if let Verdict::Hold(terms) = &mut decision.verdict {
            terms.iter_mut().for_each(|terms| terms.expires = terms.expires.min(self.shared.approval_wait));
        }
        decision
    }

    /// A hold where nobody can vote is a refusal, at once and in the record.
    fn unless_nobody_can_approve(&self, mut decision: Decision) -> Decision {
        if let Verdict::Hold(terms) = &decision.verdict
            && !self.shared.desk.can_approve()
            && let Some(terms) = terms.first()
        {
            decision.verdict = Verdict::Deny(Reason::ApprovalUnavailable { rule: terms.rule.clone() });
        }
        decision
    }

    /// Whether a command that was let through may go on: it is judged again where policy has moved on since, each time where
    /// time alone may change what policy decides, and where a grant that it was let through under is over.
    ///
    /// # Errors
    /// The denial, where it may not.
    pub(crate) fn still_allowed(&self, permit: &Permit) -> Result<(), Denial> {
        let now = Timestamp::now();
        let policy = self.shared.policy.load();
        let good = matches!(self.shared.identity.standing(&self.authenticated, now), Standing::Good);
        let ended = self.ended_grant(permit, now);
        let timeless = !policy.set.depends_on_time();
        if good && timeless && policy.epoch == permit.judged_under() && ended.is_none() {
            return Ok(());
        }
        let judged = self.judge(&permit.command, now);
        let moved = judged.epoch != permit.judged_under();
        let reason = match judged.decision.verdict {
            // What people said yes to, and nothing more is asked since.
            Verdict::Hold(terms) if !moved && terms.iter().all(|terms| permit.satisfied.contains(terms)) => {
                return Ok(());
            }
            // What is on its way was planned under other masks.
            Verdict::Allow | Verdict::Hold(_)
                if limit::is_other(permit.limit.as_ref(), judged.decision.limit.as_ref()) =>
            {
                limit::changed(judged.decision.limit)
            }
            Verdict::Allow if moved && !judged.masking.same_for_client(&permit.masking) => Reason::MasksChanged,
            Verdict::Allow => {
                // Under other grants than it knows of, it is judged again each time: the end of those is looked for.
                let knows = |grant: &Arc<Grant>| permit.granted.iter().any(|known| known.id == grant.id);
                if judged.granted.iter().all(knows) {
                    permit.epoch.store(judged.epoch, Ordering::Relaxed);
                }
                return Ok(());
            }
            // What already runs cannot wait for a person.
            Verdict::Hold(terms) => match (ended, terms.into_iter().next()) {
                (Some(grant), Some(terms)) => Reason::GrantEnded { grant: grant.id, rule: terms.rule },
                (None, Some(terms)) => Reason::ApprovalUnavailable { rule: terms.rule },
                (_, None) => Reason::Withdrawn,
            },
            Verdict::Deny(reason) => reason,
        };
        Err(self.denial(Some(permit.number), reason, judged.decision.message))
    }
}
