//! What a client is told: one table from the gate's reasons to PostgreSQL's errors (DESIGN 7).
//!
//! | reason | SQLSTATE |
//! |---|---|
//! | a rule denies, no rule allows, an approval was refused or ran out, policy failed, identity gone | 42501 |
//! | the grammar rejects it | 42601, with the position |
//! | a relation is missing from a fresh catalogue | 42P01; an unknown statement 26000, an unknown portal 34000 |
//! | larger than is read | 54000 |
//! | a kind of request that is never forwarded | 0A000 |
//! | the record cannot be written | 58030 |
//! | the wait for an approval was cancelled | 57014 |
//!
//! Promises: `DETAIL` names the rule and the decision's id, `HINT` the next step; one frame each, severity ERROR, so the
//! session lives on; nothing here is made of backend output.
//! Held by: the tests below and `tests/it/refusal.rs`.

use crate::error::Refused;
use crate::message::{Report, Severity, write};
use bytes::{BufMut, Bytes, BytesMut};
use portcullis_gate::NotEntered;
use portcullis_model::{ApprovalId, Denial, Fault, HoldTerms, Reason};

/// The error in place of a refused command.
pub(crate) fn refused(denial: &Denial, sqlstate: Option<&'static str>) -> Bytes {
    let (code, position) = code(&denial.reason);
    let told = denial.told();
    // What the reader says is worded as the server would say it.
    let message =
        if let Reason::Unreadable(fault) = &denial.reason { fault.message().to_owned() } else { told.headline };
    let mut fields = vec![
        (b'S', "ERROR".to_owned()),
        (b'V', "ERROR".to_owned()),
        (b'C', sqlstate.unwrap_or(code).to_owned()),
        (b'M', message),
    ];
    if let Some(decided) = told.decided {
        fields.push((b'D', sentence(&decided)));
    }
    // Where the words are the server's own, so is the silence about what to do next.
    let next = told.next.filter(|_| !matches!(denial.reason, Reason::Unreadable(Fault::Syntax { .. })));
    if let Some(next) = next {
        fields.push((b'H', next.to_owned()));
    }
    if let Some(position) = position {
        fields.push((b'P', position.to_string()));
    }
    error_of(&fields)
}

fn code(reason: &Reason) -> (&'static str, Option<u32>) {
    match reason {
        Reason::Unreadable(Fault::Syntax { position, .. }) => ("42601", *position),
        Reason::Unreadable(Fault::Missing { position, .. }) => ("42P01", *position),
        Reason::Unreadable(Fault::Ambiguous { .. }) => ("42501", None),
        Reason::Unreadable(Fault::TooLarge { .. }) => ("54000", None),
        Reason::Unreadable(Fault::Unsupported { .. }) => ("0A000", None),
        Reason::RecordUnavailable => ("58030", None),
        Reason::Withdrawn | Reason::Recalled { .. } => ("57014", None),
        Reason::Rule { .. }
        | Reason::NoRule { .. }
        | Reason::Protected { .. }
        | Reason::MasksChanged
        | Reason::PolicyError { .. }
        | Reason::ApprovalUnavailable { .. }
        | Reason::Rejected { .. }
        | Reason::Expired { .. }
        | Reason::GrantEnded { .. }
        | Reason::ReasonMissing { .. }
        | Reason::HeldInTransaction { .. }
        | Reason::TooManyRows { .. }
        | Reason::Uncounted { .. }
        | Reason::IdentityRevoked
        | Reason::OverBudget { .. }
        | Reason::UnknownName { .. } => ("42501", None),
    }
}

/// As PostgreSQL writes its details: a capital first, a full stop last.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).chain(['.']).collect()
}

/// An ErrorResponse of these fields. A NUL cannot stand in a field and becomes a space.
fn error_of(fields: &[(u8, String)]) -> Bytes {
    let mut body = BytesMut::new();
    for (code, text) in fields {
        body.put_u8(*code);
        body.extend(text.bytes().map(|byte| if byte == 0 { b' ' } else { byte }));
        body.put_u8(0);
    }
    body.put_u8(0);
    let mut out = BytesMut::with_capacity(body.len() + 5);
    out.put_u8(b'E');
    // Texts of the gateway are bounded by the statement limit.
    out.put_u32(u32::try_from(body.len() + 4).unwrap_or(u32::MAX));
    out.put_slice(&body);
    out.freeze()
}

/// The notice that a command waits for people.
pub(crate) fn held(approval: ApprovalId, terms: &[HoldTerms]) -> Bytes {
    let rules: Vec<String> = terms.iter().map(|terms| terms.rule.to_string()).collect();
    let patience = terms.iter().map(|terms| terms.expires.as_secs()).min().unwrap_or(0);
    let report = Report::new(Severity::Notice, "01000", format!("waiting for approval {approval}"))
        .detail(format!("Held by {}. Undecided in {patience} s it is refused.", rules.join(", ")))
        .hint(format!("An approver answers it with: portcullis approvals approve {approval}"));
    one(|out| write::error(out, &report))
}

/// The notice that it still does.
pub(crate) fn still_held(approval: ApprovalId) -> Bytes {
    let report = Report::new(Severity::Notice, "01000", format!("still waiting for approval {approval}"));
    one(|out| write::error(out, &report))
}

/// The session ends.
pub(crate) fn fatal(code: &'static str, message: &str) -> Bytes {
    one(|out| write::error(out, &Report::new(Severity::Fatal, code, message)))
}

/// Why a caller that proved its identity did not enter.
pub(crate) fn not_entered(why: &NotEntered, connection: &str) -> Refused {
    match why {
        NotEntered::Identity { .. } => Refused::new("28P01", "authentication failed"),
        NotEntered::NoSuchConnection => no_such_connection(connection),
        NotEntered::Denied(denial) => Refused::new("28000", denial.told().headline).hint(denial.next_step()),
        NotEntered::RecordUnavailable => Refused::new("58030", "the record cannot be written, so nobody enters")
            .hint("Tell whoever runs the gateway."),
        NotEntered::TooManySessions => Refused::new("53300", why.to_string()),
        other => Refused::new("28000", other.to_string()),
    }
}

/// There is no such connection, or not with this database.
pub(crate) fn no_such_connection(name: &str) -> Refused {
    Refused::new("3D000", format!("there is no connection \"{name}\" here"))
        .hint("dbname is CONNECTION or CONNECTION/DATABASE. `portcullis connections` lists what you may reach.")
}

fn one(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    write(&mut out);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ServerMessage;
    use portcullis_model::{DecisionId, RuleId, SessionId};

    fn fields(bytes: &Bytes) -> Vec<(char, String)> {
        match ServerMessage::decode(b'E', bytes.get(5..).unwrap()).unwrap() {
            ServerMessage::Error(fields) => fields
                .iter()
                .map(|(code, text)| (char::from(code), String::from_utf8_lossy(text).into_owned()))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    fn field(bytes: &Bytes, code: char) -> String {
        fields(bytes).into_iter().find(|(found, _)| *found == code).map(|(_, text)| text).unwrap_or_default()
    }

    #[test]
    fn a_refusal_names_rule_decision_and_next_step() {
        let decision = DecisionId { session: SessionId::new(), number: 4 };
        let rule = RuleId { bundle: "shop".into(), rule: "no-destruction".into() };
        let denial = Denial {
            decision: Some(decision),
            reason: Reason::Rule { rule, operation: "drop table public.orders".into() },
            message: Some("Agents may not destroy tables.\0".into()),
        };
        let bytes = refused(&denial, None);
        assert_eq!(field(&bytes, 'C'), "42501");
        assert_eq!(field(&bytes, 'M'), "refused by policy: rule shop/no-destruction denies drop table public.orders");
        assert_eq!(field(&bytes, 'D'), format!("Rule shop/no-destruction, decision {decision}."));
        assert_eq!(field(&bytes, 'H'), "Agents may not destroy tables. ");
    }

    #[test]
    fn pg_p15_a_syntax_error_is_the_servers_own_with_its_position() {
        let fault = Fault::Syntax { message: "syntax error at or near \"selec\"".into(), position: Some(1) };
        let denial = Denial { decision: None, reason: Reason::Unreadable(fault), message: None };
        let bytes = refused(&denial, None);
        assert_eq!((field(&bytes, 'C'), field(&bytes, 'P')), ("42601".to_owned(), "1".to_owned()));
        assert_eq!(field(&bytes, 'M'), "syntax error at or near \"selec\"");
        let missing = Fault::Missing { message: "portal \"p\" does not exist".into(), position: None };
        let denial = Denial { decision: None, reason: Reason::Unreadable(missing), message: None };
        assert_eq!(field(&refused(&denial, Some("34000")), 'C'), "34000");
    }
}
