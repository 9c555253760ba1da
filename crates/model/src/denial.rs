//! Why a command is refused, and what its client is told.
//!
//! Promises: every reason has words for the client, and they are the same whatever protocol says them ([`Denial::told`]):
//! who refused, the rule and the decision where there is one, and the next step.
//! Does not promise that the words fit a protocol: a rule's message may hold line ends and control characters, which each
//! `reply.rs` makes harmless in its own way.
//! Held by: the tests below, and those of each protocol's `reply.rs`.

use crate::command::Fault;
use crate::decision::RuleId;
use crate::id::{ApprovalId, DecisionId, GrantId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// How a protected value would be given away other than by returning it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Misuse {
    /// It is written somewhere else.
    Exposed,
    /// It decides what comes back.
    Inferred,
    /// It was compared more often than its rule lets it be.
    TooOften,
    /// A result may hold it, and that cannot be told.
    Unproven,
}

/// What of a budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spent {
    /// The tokens of the day.
    Tokens,
    /// The requests of the minute.
    Requests,
    /// It could not be counted.
    Uncounted,
}

/// Why a command is refused. Every variant is written for the client to read: no internal detail, no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A deny rule matches this operation.
    Rule {
        /// Which.
        rule: RuleId,
        /// The operation, as printed in rules.
        operation: Arc<str>,
    },
    /// No rule allows this operation.
    NoRule {
        /// The operation, as printed in rules.
        operation: Arc<str>,
    },
    /// Its reader refused it.
    Unreadable(Fault),
    /// It uses a protected value in a way that would give it away, and no rule allows that.
    Protected {
        /// The mask that protects it.
        rule: RuleId,
        /// The column, or what could not be told.
        column: Arc<str>,
        /// What is done with it.
        misuse: Misuse,
    },
    /// The masks changed while it ran.
    MasksChanged,
    /// A rule that otherwise matches could not be evaluated.
    PolicyError {
        /// Which.
        rule: RuleId,
    },
    /// The record cannot be written: nothing may pass.
    RecordUnavailable,
    /// A rule asks for an approval and none can be given here.
    ApprovalUnavailable {
        /// The rule that holds.
        rule: RuleId,
    },
    /// A rule wants to know why the command is sent, and its requester did not say.
    ReasonMissing {
        /// The rule that holds.
        rule: RuleId,
    },
    /// A person refused it.
    Rejected {
        /// The request.
        approval: ApprovalId,
        /// The rule that holds.
        rule: RuleId,
        /// Who.
        by: Arc<str>,
    },
    /// Nobody decided in time, or the approval was not used in time, or a rule asks for more by now.
    Expired {
        /// The request.
        approval: ApprovalId,
        /// The rule that holds.
        rule: RuleId,
    },
    /// The gateway took the request back.
    Recalled {
        /// The request.
        approval: ApprovalId,
        /// The rule that holds.
        rule: RuleId,
    },
    /// It ran under a grant, which was revoked or is over.
    GrantEnded {
        /// Which.
        grant: GrantId,
        /// The rule that holds again.
        rule: RuleId,
    },
    /// The wait was cancelled by the client.
    Withdrawn,
    /// A hold inside an open transaction, where its rule does not say `in_transaction: wait`.
    HeldInTransaction {
        /// The rule that holds.
        rule: RuleId,
    },
    /// The session's identity was revoked or ran out.
    IdentityRevoked,
    /// It would use more of a model than a budget leaves.
    OverBudget {
        /// Which.
        rule: RuleId,
        /// What is used up.
        spent: Spent,
    },
    /// It wrote more rows than its rule lets it, and was undone.
    TooManyRows {
        /// The rule that limits it.
        rule: RuleId,
        /// To so many.
        limit: u64,
        /// How many it wrote.
        rows: u64,
    },
    /// Its rule limits how many rows it may write, and what it writes is not all counted.
    Uncounted {
        /// The rule that limits it.
        rule: RuleId,
        /// Why not.
        why: Arc<str>,
    },
    /// What was prepared earlier is not known here.
    UnknownName {
        /// What kind of thing, and its name.
        what: Arc<str>,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { rule, operation } => write!(f, "rule {rule} denies {operation}{}", unsure(operation)),
            Self::NoRule { operation } => {
                write!(f, "no rule allows {operation}{}{}", unsure(operation), astray(operation))
            }
            Self::Unreadable(fault) => f.write_str(fault.message()),
            Self::Protected { rule, column, misuse: Misuse::Exposed } => {
                write!(f, "rule {rule} protects {column}: its values may not be written elsewhere")
            }
            Self::Protected { rule, column, misuse: Misuse::Inferred } => {
                write!(f, "rule {rule} protects {column}: it may only be selected, not decide what comes back")
            }
            Self::Protected { rule, column, misuse: Misuse::TooOften } => {
                write!(f, "rule {rule} protects {column}: it was compared too often in a short time")
            }
            Self::Protected { rule, column, misuse: Misuse::Unproven } => {
                write!(f, "rule {rule} protects {column}: it cannot be proven that the result does not hold it")
            }
            Self::MasksChanged => f.write_str("what is protected changed while the statement ran"),
            Self::PolicyError { rule } => write!(f, "rule {rule} could not be evaluated"),
            Self::RecordUnavailable => f.write_str("the record cannot be written"),
            Self::ApprovalUnavailable { rule } => {
                write!(f, "rule {rule} asks for an approval, and nobody can approve on this gateway")
            }
            Self::ReasonMissing { rule } => {
                write!(f, "rule {rule} asks why the command is sent, and no reason was given")
            }
            Self::Rejected { approval, rule, by } => {
                write!(f, "rule {rule} asks for an approval, and approval {approval} was refused by {by}")
            }
            Self::Expired { approval, rule } => {
                write!(f, "rule {rule} asks for an approval, and approval {approval} ran out")
            }
            Self::Recalled { approval, rule } => {
                write!(f, "rule {rule} asks for an approval, and approval {approval} was taken back")
            }
            Self::GrantEnded { grant, rule } => {
                write!(f, "rule {rule} asks for an approval again: grant {grant} has ended")
            }
            Self::Withdrawn => f.write_str("the wait for an approval was cancelled"),
            Self::HeldInTransaction { rule } => {
                write!(f, "rule {rule} asks for an approval, which cannot be waited for inside a transaction")
            }
            Self::IdentityRevoked => f.write_str("the identity of this session is no longer valid"),
            Self::OverBudget { rule, spent: Spent::Tokens } => write!(f, "rule {rule}: today's tokens are used up"),
            Self::OverBudget { rule, spent: Spent::Requests } => {
                write!(f, "rule {rule}: this minute's requests are used up")
            }
            Self::OverBudget { rule, spent: Spent::Uncounted } => {
                write!(f, "rule {rule}: what is left of its budget cannot be told")
            }
            Self::TooManyRows { rule, limit, rows } => {
                write!(f, "rule {rule} lets a statement write {limit} rows, and this one wrote {rows}: it was undone")
            }
            Self::Uncounted { rule, why } => write!(f, "rule {rule} limits the rows that are written, and {why}"),
            Self::UnknownName { what } => write!(f, "{what} does not exist in this session"),
        }
    }
}

/// What is said of an operation that was not wholly read: a rule about something else may match it for that alone.
fn unsure(operation: &str) -> &'static str {
    let mut words = operation.split(" +");
    let bare = words.next().unwrap_or_default();
    let mut marks: Vec<&str> = words.collect();
    marks.retain(|mark| matches!(*mark, "recursive" | "dynamic"));
    if bare == "unknown" {
        " (a part of it is not understood: leave that out, or write it another way)"
    } else if matches!(bare, "read file ?" | "delete file ?") && marks == ["recursive"] {
        " (what lies below is not known: name the directory from the root, for a tool by its `path`; of a tree that is too \
         large to be looked through, as .git or node_modules make it, name the directories that you mean)"
    } else if is_variable_in_capitals(bare) {
        " (a variable of the line's own needs no rule where its name is in small letters)"
    } else if bare.ends_with(" file ?") {
        " (which file is not known: write paths from the root, or all of the line behind one cd: cd /DIRECTORY && { …; })"
    } else {
        ""
    }
}

/// What is said of a change right in the home, where a command line starts: behind a `cd` that fails it goes on
/// there, so what was meant for another directory is asked for here, too.
fn astray(operation: &str) -> &'static str {
    let bare = operation.split(" +").next().unwrap_or_default();
    let changed = ["execute", "insert", "update", "delete"]
        .into_iter()
        .find_map(|action| bare.strip_prefix(action)?.strip_prefix(" file ~/"));
    if changed.is_some_and(|name| !name.contains('/')) {
        " (was a cd in front of it? where that fails the line goes on in the home: write cd DIRECTORY && …, or \
         cd DIRECTORY || exit)"
    } else {
        ""
    }
}

/// Whether it sets a variable whose name says that programs may look at it.
fn is_variable_in_capitals(operation: &str) -> bool {
    let name = operation.strip_prefix("configure setting \"").and_then(|rest| rest.strip_suffix('"'));
    name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'))
}

/// How a client says why it sends something.
const SAY_WHY: &str = "Say why as the session opens, and send it again: PGOPTIONS='-c portcullis.reason=…' for a database, \
     PORTCULLIS_REASON in the environment that ssh sends, the header portcullis-reason of a request.";

/// Whether it sets the setting that a reason would have, which nobody reads inside of a session.
fn sets_the_reason(operation: &str) -> bool {
    operation.strip_prefix("configure setting ").is_some_and(|setting| setting.contains("portcullis.reason"))
}

/// What a refused client is told: [`Denial::told`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<'d> {
    /// Who refused, and why.
    pub headline: String,
    /// The rule and the decision, where there is either.
    pub decided: Option<String>,
    /// What to do next; nothing where the target itself would say no more than that something is not there.
    pub next: Option<&'d str>,
}

/// A refusal: a value, not an error. Each protocol's `reply.rs` turns it into that protocol's native error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The command and decision; `None` only where the record could not take it.
    pub decision: Option<DecisionId>,
    /// Why.
    pub reason: Reason,
    /// The next step, in the rule's own words.
    pub message: Option<Arc<str>>,
}

impl Denial {
    /// The rule that decided, where one did.
    #[must_use]
    pub const fn rule(&self) -> Option<&RuleId> {
        match &self.reason {
            Reason::Rule { rule, .. }
            | Reason::Protected { rule, .. }
            | Reason::PolicyError { rule }
            | Reason::ApprovalUnavailable { rule }
            | Reason::HeldInTransaction { rule }
            | Reason::ReasonMissing { rule }
            | Reason::Rejected { rule, .. }
            | Reason::Expired { rule, .. }
            | Reason::Recalled { rule, .. }
            | Reason::GrantEnded { rule, .. }
            | Reason::OverBudget { rule, .. }
            | Reason::TooManyRows { rule, .. }
            | Reason::Uncounted { rule, .. } => Some(rule),
            Reason::NoRule { .. }
            | Reason::MasksChanged
            | Reason::Unreadable(_)
            | Reason::RecordUnavailable
            | Reason::Withdrawn
            | Reason::IdentityRevoked
            | Reason::UnknownName { .. } => None,
        }
    }

    /// What the client is told, in parts that each protocol puts where it has room for them.
    #[must_use]
    pub fn told(&self) -> Told<'_> {
        let reason = &self.reason;
        let headline = match reason {
            Reason::Unreadable(_) => format!("refused: {reason}"),
            Reason::RecordUnavailable | Reason::Withdrawn => reason.to_string(),
            Reason::Rule { .. }
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
            | Reason::IdentityRevoked
            | Reason::OverBudget { .. }
            | Reason::TooManyRows { .. }
            | Reason::Uncounted { .. }
            | Reason::UnknownName { .. } => format!("refused by policy: {reason}"),
        };
        let decided = match (self.rule(), &self.decision) {
            (Some(rule), Some(decision)) => Some(format!("rule {rule}, decision {decision}")),
            (Some(rule), None) => Some(format!("rule {rule}")),
            (None, Some(decision)) => Some(format!("decision {decision}")),
            (None, None) => None,
        };
        let there = !matches!(reason, Reason::Unreadable(Fault::Missing { .. }));
        Told { headline, decided, next: there.then(|| self.next_step()) }
    }

    /// What the client can do next: the rule's message, or the standing advice for the reason.
    #[must_use]
    pub fn next_step(&self) -> &str {
        // A rule's message may say that the command waits; one that nobody can approve does not. And what was not
        // understood may be matched by any rule: what that says of its files or tables is beside the point.
        let vague = matches!(&self.reason, Reason::Rule { operation, .. } if &**operation == "unknown");
        let beside = vague || matches!(self.reason, Reason::ApprovalUnavailable { .. });
        if let Some(message) = self.message.as_deref().filter(|_| !beside) {
            return message;
        }
        match &self.reason {
            Reason::Rule { .. } if vague => {
                "Send its parts one by one: the one that is refused is the one to write in another way."
            }
            Reason::Rule { operation, .. } | Reason::NoRule { operation } if sets_the_reason(operation) => SAY_WHY,
            Reason::Rule { .. } | Reason::NoRule { .. } => {
                "Ask whoever keeps the policy of this connection for a rule that allows it."
            }
            Reason::Unreadable(_) => "Rewrite the command and send it again.",
            Reason::Protected { misuse: Misuse::Exposed, .. } => {
                "Leave the column out of what is written; selecting it returns its masked form."
            }
            Reason::Protected { misuse: Misuse::Inferred, .. } => {
                "Select the column to see its masked form; filter, join, sort and group by other columns."
            }
            Reason::Protected { misuse: Misuse::TooOften, .. } => "Wait a minute before comparing it again.",
            Reason::Protected { misuse: Misuse::Unproven, .. } => {
                "Name the columns that you need, without functions that users defined."
            }
            Reason::MasksChanged => "Run the statement again.",
            Reason::PolicyError { .. } => "Tell whoever keeps the policy of this connection.",
            Reason::RecordUnavailable => "Tell whoever runs the gateway; nothing passes until the record can be kept.",
            Reason::ApprovalUnavailable { .. } => "Ask whoever runs the gateway who may approve.",
            Reason::Rejected { .. } => "Speak with the person who refused it.",
            Reason::Expired { .. } | Reason::Recalled { .. } | Reason::GrantEnded { .. } | Reason::Withdrawn => {
                "Send the command again to ask again."
            }
            Reason::ReasonMissing { .. } => SAY_WHY,
            Reason::HeldInTransaction { .. } => "Send it outside a transaction.",
            Reason::IdentityRevoked => "Connect again with a valid token.",
            Reason::OverBudget { spent: Spent::Tokens, .. } => {
                "Ask for fewer tokens, or wait for the next day (UTC); whoever keeps the policy can raise the budget."
            }
            Reason::OverBudget { spent: Spent::Requests, .. } => "Wait a minute before asking again.",
            Reason::OverBudget { spent: Spent::Uncounted, .. } => "Tell whoever runs the gateway.",
            Reason::TooManyRows { .. } => {
                "Nothing of it remains. Check its WHERE with a SELECT count(*), and write fewer rows at a time."
            }
            Reason::Uncounted { .. } => {
                "Send one plain INSERT, UPDATE, DELETE, MERGE or COPY FROM STDIN by itself, or ask whoever keeps the policy."
            }
            Reason::UnknownName { .. } => "Prepare it first, in this session.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;

    fn denial(reason: Reason) -> Denial {
        Denial { decision: None, reason, message: None }
    }

    #[test]
    fn only_policy_is_said_to_be_policy() {
        let rule = || RuleId { bundle: "hosts".into(), rule: "no-deletes".into() };
        let message = || "the quote never ends".into();
        for (reason, headline) in [
            (
                Reason::Rule { rule: rule(), operation: "delete file /srv".into() },
                "refused by policy: rule hosts/no-deletes denies delete file /srv",
            ),
            (Reason::NoRule { operation: "read file /x".into() }, "refused by policy: no rule allows read file /x"),
            (Reason::Unreadable(Fault::Syntax { message: message(), position: None }), "refused: the quote never ends"),
            (Reason::Unreadable(Fault::Ambiguous { message: message() }), "refused: the quote never ends"),
            (Reason::RecordUnavailable, "the record cannot be written"),
            (Reason::Withdrawn, "the wait for an approval was cancelled"),
        ] {
            assert_eq!(denial(reason).told().headline, headline);
        }
    }

    #[test]
    fn rule_and_decision_are_named_where_they_are_known() {
        let rule = RuleId { bundle: "hosts".into(), rule: "no-deletes".into() };
        let decision = DecisionId { session: SessionId::new(), number: 3 };
        let by_rule = Reason::PolicyError { rule };
        for (reason, known, decided) in [
            (by_rule.clone(), Some(decision), Some(format!("rule hosts/no-deletes, decision {decision}"))),
            (by_rule, None, Some("rule hosts/no-deletes".to_owned())),
            (Reason::Withdrawn, Some(decision), Some(format!("decision {decision}"))),
            (Reason::Withdrawn, None, None),
        ] {
            assert_eq!(Denial { decision: known, ..denial(reason) }.told().decided, decided);
        }
    }

    /// Whatever becomes of a wait for people, its client reads the rule, why, the decision and what to do next.
    #[test]
    fn the_end_of_a_wait_names_rule_reason_decision_and_next_step() {
        let rule = || RuleId { bundle: "shop".into(), rule: "ask".into() };
        let (approval, grant) = (ApprovalId::new(), GrantId::new());
        let decision = DecisionId { session: SessionId::new(), number: 3 };
        for (reason, why) in [
            (Reason::Rejected { approval, rule: rule(), by: "dana".into() }, format!("{approval} was refused by dana")),
            (Reason::Expired { approval, rule: rule() }, format!("{approval} ran out")),
            (Reason::Recalled { approval, rule: rule() }, format!("{approval} was taken back")),
            (Reason::GrantEnded { grant, rule: rule() }, format!("{grant} has ended")),
            (Reason::ReasonMissing { rule: rule() }, "no reason was given".to_owned()),
            (Reason::ApprovalUnavailable { rule: rule() }, "nobody can approve".to_owned()),
            (Reason::HeldInTransaction { rule: rule() }, "inside a transaction".to_owned()),
        ] {
            let denial = Denial { decision: Some(decision), ..denial(reason) };
            let told = denial.told();
            assert!(told.headline.contains("refused by policy: rule shop/ask"), "{}", told.headline);
            assert!(told.headline.contains(&why), "{why} in {}", told.headline);
            assert_eq!(told.decided, Some(format!("rule shop/ask, decision {decision}")));
            assert!(told.next.is_some_and(|next| !next.is_empty()));
        }
    }

    #[test]
    fn a_reason_that_is_set_inside_a_session_is_told_where_it_belongs() {
        let next = |operation: &str| {
            let denial = denial(Reason::NoRule { operation: operation.into() });
            denial.next_step().to_owned()
        };
        assert!(next("configure setting \"portcullis.reason\"").contains("PGOPTIONS"));
        assert!(next("configure setting portcullis.reason +dynamic").contains("PGOPTIONS"));
        assert!(next("configure setting work_mem").contains("keeps the policy"));
        assert!(next("read file /srv/portcullis.reason").contains("keeps the policy"));
    }

    #[test]
    fn a_file_that_is_not_known_is_told_how_to_be() {
        let reason = Reason::NoRule { operation: "read file ? +dynamic".into() };
        assert!(reason.to_string().contains("cd /DIRECTORY && { …; }"), "{reason}");
        assert_eq!(Reason::NoRule { operation: "read file /x".into() }.to_string(), "no rule allows read file /x");
        // A tree is not made known by a `cd`, and what an archive writes not by naming its directory.
        let said = |operation: &str| Reason::NoRule { operation: operation.into() }.to_string();
        for tree in ["read file ? +recursive", "delete file ? +recursive +forced"] {
            assert!(said(tree).contains("directories that you mean"), "{tree}");
        }
        assert!(said("read file ? +dynamic +recursive").contains("cd /DIRECTORY"));
        assert!(!said("update file ? +recursive").contains("directories that you mean"));
    }

    #[test]
    fn what_is_not_understood_is_not_said_to_be_what_a_rule_is_about() {
        let rule = RuleId { bundle: "hosts".into(), rule: "no-secrets".into() };
        let denied = |operation: &str| Denial {
            message: Some("This file can hold secrets.".into()),
            ..denial(Reason::Rule { rule: rule.clone(), operation: operation.into() })
        };
        let vague = denied("unknown");
        let told = vague.told();
        assert!(told.headline.contains("not understood"), "{}", told.headline);
        assert!(told.next.is_some_and(|next| next.contains("one by one")), "{:?}", told.next);
        // A rule that names a mark is about that, whatever bears it.
        for operation in ["read file /x", "read file ? +dynamic", "unknown +privileged", "execute program unknown"] {
            assert_eq!(denied(operation).next_step(), "This file can hold secrets.", "{operation}");
        }
    }

    #[test]
    fn a_change_right_in_the_home_is_told_of_the_cd_that_may_fail() {
        let said = |operation: &str| Reason::NoRule { operation: operation.into() }.to_string();
        for operation in ["execute file ~/GNUmakefile", "insert file ~/n.txt", "delete file ~/x +forced"] {
            assert!(said(operation).contains("cd DIRECTORY && …"), "{operation}");
        }
        for operation in ["read file ~/x", "insert file ~/work/x", "insert file /x", "execute program make"] {
            assert_eq!(said(operation), format!("no rule allows {operation}"));
        }
    }

    #[test]
    fn a_variable_in_capitals_is_told_to_be_in_small_letters() {
        let said = |operation: &str| Reason::NoRule { operation: operation.into() }.to_string();
        assert!(said("configure setting \"DIR\"").contains("small letters"));
        assert!(said("configure setting \"OUT_2\" +dynamic").contains("small letters"));
        for other in ["configure setting work_mem", "configure setting \"alias x\"", "configure setting \"Path\""] {
            assert_eq!(said(other), format!("no rule allows {other}"));
        }
    }

    #[test]
    fn the_next_step_is_the_rules_own_where_it_has_one() {
        let reason = Reason::NoRule { operation: "read file /x".into() };
        let own = Denial { message: Some("Ask the owner.".into()), ..denial(reason.clone()) };
        assert_eq!(own.told().next, Some("Ask the owner."));
        assert!(denial(reason).told().next.is_some_and(|next| next.contains("policy")));
        let missing = Fault::Missing { message: "no such file".into(), position: None };
        assert_eq!(denial(Reason::Unreadable(missing)).told().next, None);
    }
}
