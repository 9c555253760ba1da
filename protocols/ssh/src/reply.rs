//! What a client is told: one table from the gate's reasons to SSH's words (DESIGN 7).
//!
//! | what | where it is said | status |
//! |---|---|---|
//! | a command, a shell, a transfer that is refused | standard error | 126 |
//! | a command whose program does not exist there, or that the target would not start | standard error | 127, 255 |
//! | a command that waits for people | standard error, then its own output | its own, or 126 |
//! | the same, given up by Ctrl-C at a terminal or by the signal INT | standard error | 130 |
//! | the target is out of reach or does not prove itself | standard error | 255 |
//! | a terminal, a variable, a forwarding that is refused | the request's own failure | |
//! | a listener that is refused | the request's own failure, and words that `ssh -v` shows | |
//!
//! Promises: each text names rule, reason, decision and next step, in lines that end as the client's terminal wants
//! them; nothing here is made of the target's output, and no control character of a rule's words reaches a terminal.
//! Held by: the tests below and `tests/it/ssh.rs` of the binary.

use crate::frame::ToClient;
use bytes::Bytes;
use portcullis_gate::NotEntered;
use portcullis_model::{ApprovalId, Denial, HoldTerms};

/// The exit status of what was refused.
pub(crate) const REFUSED: u32 = 126;
/// The exit status of what was given up while it waited, as a shell has it for the signal INT.
pub(crate) const INTERRUPTED: u32 = 130;
/// The exit status where the gateway or its target failed, as `ssh` itself uses it.
pub(crate) const FAILED: u32 = 255;
/// Standard error (RFC 4254 §5.2).
pub(crate) const STDERR: u32 = 1;

/// How lines end for this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// `\n`.
    Plain,
    /// `\r\n`: a terminal in raw mode.
    Terminal,
}

/// The text of a refusal.
pub(crate) fn refused(denial: &Denial) -> String {
    let told = denial.told();
    let lines = [Some(told.headline.as_str()), told.decided.as_deref(), told.next];
    lines.into_iter().flatten().map(|line| format!("portcullis: {line}\n")).collect()
}

/// The text that a command waits for people.
pub(crate) fn held(approval: ApprovalId, terms: &[HoldTerms]) -> String {
    let rules: Vec<String> = terms.iter().map(|terms| terms.rule.to_string()).collect();
    let patience = terms.iter().map(|terms| terms.expires.as_secs()).min().unwrap_or(0);
    format!(
        "portcullis: waiting for approval {approval}, held by {}; undecided in {patience} s it is refused\n\
         portcullis: an approver answers it with: portcullis approvals approve {approval}\n",
        rules.join(", ")
    )
}

/// The text that it still does.
pub(crate) fn still_held(approval: ApprovalId) -> String {
    format!("portcullis: still waiting for approval {approval}\n")
}

/// The text that something waits for people and is not waited for.
pub(crate) fn left(approval: ApprovalId) -> String {
    format!(
        "portcullis: it needs approval {approval}: ask for it again when that is given\n\
         portcullis: an approver answers it with: portcullis approvals approve {approval}\n"
    )
}

/// Why a caller that proved its identity may open nothing.
pub(crate) fn not_entered(why: &NotEntered, connection: &str) -> String {
    match why {
        NotEntered::NoSuchConnection => format!(
            "portcullis: there is no connection `{connection}`\n\
             portcullis: the user name is the connection: ssh CONNECTION@gateway, or CONNECTION+LOGIN@gateway\n"
        ),
        NotEntered::Denied(denial) => refused(denial),
        other => format!("portcullis: {other}\n"),
    }
}

/// The text of a failure that is nobody's refusal.
pub(crate) fn failed(what: &str) -> String {
    format!("portcullis: {what}\n")
}

/// A text of the gateway's own, on standard error.
pub(crate) fn say(text: &str, ends: Ends) -> ToClient {
    ToClient::Extended(STDERR, lines(text, ends))
}

/// A text of the gateway's own in bytes, with control characters made visible.
pub(crate) fn lines(text: &str, ends: Ends) -> Bytes {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' if ends == Ends::Terminal => out.push_str("\r\n"),
            '\n' => out.push('\n'),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_model::{DecisionId, Fault, Reason, RuleId, SessionId};

    #[test]
    fn what_policy_did_not_refuse_is_not_said_to_be_policys() {
        let fault = Fault::Syntax { message: "the quote never ends".into(), position: None };
        let denial = |reason| Denial { decision: None, reason, message: None };
        let text = refused(&denial(Reason::Unreadable(fault)));
        assert_eq!(
            text,
            "portcullis: refused: the quote never ends\nportcullis: Rewrite the command and send it again.\n"
        );
        assert!(refused(&denial(Reason::RecordUnavailable)).starts_with("portcullis: the record cannot be written\n"));
    }

    #[test]
    fn a_refusal_names_rule_reason_decision_and_next_step() {
        let rule = RuleId { bundle: "hosts".into(), rule: "no-deletes".into() };
        let reason = Reason::Rule { rule, operation: "delete file /srv +recursive".into() };
        let decision = DecisionId { session: SessionId::new(), number: 3 };
        let text = refused(&Denial { decision: Some(decision), reason, message: Some("Ask the owner.\x1b[2J".into()) });
        for part in ["hosts/no-deletes", "delete file /srv +recursive", "Ask the owner.", &decision.to_string()] {
            assert!(text.contains(part), "{text}");
        }
        let said = lines(&text, Ends::Terminal);
        let said = std::str::from_utf8(&said).unwrap();
        assert!(!said.contains('\x1b') && said.ends_with("\r\n") && !said.contains("\n\n"));
        assert!(!lines(&text, Ends::Plain).contains(&b'\r'));
    }
}
