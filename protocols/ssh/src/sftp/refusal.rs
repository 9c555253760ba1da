//! What a client is told: one table from the gate's reasons to the protocol's status codes (DESIGN 7).
//!
//! | reason | status |
//! |---|---|
//! | a rule denies, no rule allows, an approval was refused or ran out, policy failed, identity gone, a name that is not text | `PERMISSION_DENIED` |
//! | it leads nowhere, or the handle is not open | `NO_SUCH_FILE` |
//! | a kind of request that is never forwarded | `OP_UNSUPPORTED` |
//! | fields that contradict each other | `BAD_MESSAGE` |
//! | larger than is read, the record cannot be written, the wait was cancelled | `FAILURE` |
//!
//! Promises: the words name the rule and the decision's id and the next step, in one line without control characters,
//! bounded; nothing in them is made of what the target said.
//! Does not promise that they are read: OpenSSH's client prints its own words for a code and drops these.
//! Held by: the tests below.

use portcullis_model::{Denial, Fault, Reason};

/// Status codes (draft 02, section 7).
pub(crate) mod code {
    pub(crate) const OK: u32 = 0;
    pub(crate) const EOF: u32 = 1;
    pub(crate) const NO_SUCH_FILE: u32 = 2;
    pub(crate) const PERMISSION_DENIED: u32 = 3;
    pub(crate) const FAILURE: u32 = 4;
    pub(crate) const BAD_MESSAGE: u32 = 5;
    pub(crate) const OP_UNSUPPORTED: u32 = 8;
}

/// The most characters of a refusal.
const LONGEST: usize = 1000;

/// The status code of a refusal.
pub(crate) const fn status(reason: &Reason) -> u32 {
    match reason {
        Reason::Unreadable(Fault::Missing { .. }) => code::NO_SUCH_FILE,
        Reason::Unreadable(Fault::Unsupported { .. }) => code::OP_UNSUPPORTED,
        Reason::Unreadable(Fault::Syntax { .. }) => code::BAD_MESSAGE,
        Reason::Unreadable(Fault::TooLarge { .. }) | Reason::RecordUnavailable | Reason::Withdrawn => code::FAILURE,
        Reason::Unreadable(Fault::Ambiguous { .. })
        | Reason::Rule { .. }
        | Reason::NoRule { .. }
        | Reason::Protected { .. }
        | Reason::MasksChanged
        | Reason::PolicyError { .. }
        | Reason::ApprovalUnavailable { .. }
        | Reason::Rejected { .. }
        | Reason::Expired { .. }
        | Reason::Recalled { .. }
        | Reason::GrantEnded { .. }
        | Reason::ReasonMissing { .. }
        | Reason::HeldInTransaction { .. }
        | Reason::TooManyRows { .. }
        | Reason::Uncounted { .. }
        | Reason::IdentityRevoked
        | Reason::OverBudget { .. }
        | Reason::UnknownName { .. } => code::PERMISSION_DENIED,
    }
}

/// The words of a refusal, in one line.
pub(crate) fn words(denial: &Denial) -> String {
    let told = denial.told();
    let mut words = told.headline;
    // The headline names the rule.
    if let Some(decision) = &denial.decision {
        words.push_str(&format!(" (decision {decision})"));
    }
    if let Some(next) = told.next {
        words.push_str(". ");
        words.push_str(next);
    }
    words.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The name of a status code, for the record.
pub(crate) fn name(status: u32) -> String {
    match status {
        code::OK => "SSH_FX_OK".to_owned(),
        code::EOF => "SSH_FX_EOF".to_owned(),
        code::NO_SUCH_FILE => "SSH_FX_NO_SUCH_FILE".to_owned(),
        code::PERMISSION_DENIED => "SSH_FX_PERMISSION_DENIED".to_owned(),
        code::FAILURE => "SSH_FX_FAILURE".to_owned(),
        code::BAD_MESSAGE => "SSH_FX_BAD_MESSAGE".to_owned(),
        code::OP_UNSUPPORTED => "SSH_FX_OP_UNSUPPORTED".to_owned(),
        other => format!("SSH_FX {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_model::{DecisionId, RuleId, SessionId};

    #[test]
    fn a_refusal_names_rule_decision_and_next_step_in_one_line() {
        let decision = DecisionId { session: SessionId::new(), number: 4 };
        let rule = RuleId { bundle: "build".into(), rule: "no-secrets".into() };
        let denial = Denial {
            decision: Some(decision),
            reason: Reason::Rule { rule, operation: "read file ~/.pgpass".into() },
            message: Some("Ask the owner\nof the file.".into()),
        };
        let told = "refused by policy: rule build/no-secrets denies read file ~/.pgpass";
        assert_eq!(words(&denial), format!("{told} (decision {decision}). Ask the owner of the file."));
        assert_eq!(status(&denial.reason), code::PERMISSION_DENIED);
    }

    #[test]
    fn what_is_not_there_is_told_as_the_target_would() {
        let fault = Fault::Missing { message: "no such file or directory".into(), position: None };
        let denial = Denial { decision: None, reason: Reason::Unreadable(fault), message: None };
        assert_eq!(words(&denial), "refused: no such file or directory");
        assert_eq!(status(&denial.reason), code::NO_SUCH_FILE);
    }
}
