//! What a client is told: one table from the gate's reasons to the words of each API (DESIGN 7).
//!
//! | what | status | REST | Anthropic | OpenAI | MCP |
//! |---|---|---|---|---|---|
//! | refused by policy | 403 | problem+json (RFC 9457) | `permission_error` | `permission_denied` | see `api/mcp` |
//! | cannot be read | 400, 413 | problem+json | `invalid_request_error` | `invalid_request_error` | |
//! | waits for people without its client | 409 | problem+json | `invalid_request_error` | `invalid_request_error` | |
//! | over a budget | 429 | problem+json | `rate_limit_error` | `rate_limit_exceeded` | |
//! | identity refused or revoked | 401 | problem+json | `authentication_error` | `invalid_api_key` | JSON-RPC error |
//! | the record or the backend failed | 502, 503, 504 | problem+json | `api_error` | `server_error` | JSON-RPC error |
//! | the answer came and may not pass | the backend's of an error, else 502 | problem+json | `api_error` | `server_error` | JSON-RPC error |
//!
//! What is told of a request to a tool server before its message was read has no id of its own: it is null, and the
//! problem is the error's `data`. Clients of the protocol show nothing else of an answer that is no success.
//!
//! Promises: each text names rule, reason, decision and next step; `x-should-retry: false` stands where trying again
//! cannot help, since clients of models try again by themselves; nothing here is made of what the backend said, but for the
//! status of an answer that is withheld.
//! Held by: the tests below.

mod problem;

use crate::api::{Api, anthropic};
use crate::frame::Head;
use crate::sse::Event;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use portcullis_gate::{LeftOpen, NotEntered};
use portcullis_model::{Denial, Fault, HoldTerms, Reason, Spent};
use problem::Problem;

/// Tells the clients of models whether to try again; others pass it over.
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Seconds until it is worth to look again whether people have decided.
const RETRY_AFTER: u64 = 10;

/// A refusal.
pub(crate) fn refused(api: Api, denial: &Denial) -> (Head, Bytes) {
    problem(denial).reply(Some(api))
}

/// A refusal in one text.
pub(crate) fn refusal_text(denial: &Denial) -> String {
    let told = denial.told();
    let mut text = format!("{}.", told.headline);
    if let Some(next) = told.next {
        text.push(' ');
        text.push_str(next);
    }
    if let Some(decided) = told.decided {
        text.push_str(&format!(" ({decided})"));
    }
    text
}

/// What its client is to do where its request waits without it.
const AGAIN: &str = "Send the same request again after the approval: it then passes, once.";

/// What its client is told of a request that stays open, in one text.
pub(crate) fn left_text(left: &LeftOpen) -> String {
    format!("{}. {AGAIN} (decision {})", waiting(left), left.decision)
}

/// What waits, for whom, and until when.
fn waiting(left: &LeftOpen) -> String {
    let rules: Vec<String> = left.terms.iter().map(|terms| format!("{} ({})", terms.rule, people(terms))).collect();
    format!("approval {} is open until {:.0}; held by {}", left.approval, left.until, rules.join(" and by "))
}

/// Who decides.
fn people(terms: &HoldTerms) -> String {
    let groups = terms.groups.iter().map(|group| format!("group {group}"));
    let who: Vec<String> = groups.chain(terms.users.iter().map(ToString::to_string)).collect();
    format!("{} of {} must say yes", terms.approvals.max(1), who.join(", "))
}

/// A request that waits for people without its client.
pub(crate) fn left(api: Api, left: &LeftOpen) -> (Head, Bytes) {
    let problem = Problem {
        rule: left.terms.first().map(|terms| terms.rule.to_string()),
        decision: Some(left.decision.to_string()),
        approval: Some(left.approval.to_string()),
        next_step: Some(AGAIN),
        sentence: format!("portcullis: {}", left_text(left)),
        ..Problem::plain(StatusCode::CONFLICT, "the request waits for an approval", waiting(left), false)
    };
    let (mut head, body) = problem.reply(Some(api));
    head.headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
    (head, body)
}

/// What to do about a request that cannot be read, where no rule says it: `detail` says what is wrong.
const CHANGE: &str = "Change the request as `detail` says, and send it again.";

fn problem(denial: &Denial) -> Problem<'_> {
    let unread = matches!(&denial.reason, Reason::Unreadable(_)) && denial.message.is_none();
    let (status, title) = match &denial.reason {
        Reason::Unreadable(Fault::TooLarge { .. }) => (StatusCode::PAYLOAD_TOO_LARGE, "the request is too large"),
        Reason::Unreadable(Fault::Syntax { .. } | Fault::Ambiguous { .. }) => {
            (StatusCode::BAD_REQUEST, "the request cannot be read in one way only")
        }
        Reason::Unreadable(Fault::Missing { .. } | Fault::Unsupported { .. }) => {
            (StatusCode::FORBIDDEN, "the request is of a kind that does not pass")
        }
        Reason::IdentityRevoked => (StatusCode::UNAUTHORIZED, "the identity is no longer valid"),
        Reason::RecordUnavailable | Reason::OverBudget { spent: Spent::Uncounted, .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "nothing passes")
        }
        Reason::OverBudget { spent: Spent::Tokens | Spent::Requests, .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "a budget is used up")
        }
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
        | Reason::Withdrawn
        | Reason::HeldInTransaction { .. }
        | Reason::TooManyRows { .. }
        | Reason::Uncounted { .. }
        | Reason::UnknownName { .. } => (StatusCode::FORBIDDEN, "refused by policy"),
    };
    Problem {
        status,
        title,
        detail: denial.reason.to_string(),
        rule: denial.rule().map(ToString::to_string),
        decision: denial.decision.as_ref().map(ToString::to_string),
        approval: match &denial.reason {
            Reason::Rejected { approval, .. }
            | Reason::Expired { approval, .. }
            | Reason::Recalled { approval, .. } => Some(approval.to_string()),
            _ => None,
        },
        next_step: denial.told().next.map(|next| if unread { CHANGE } else { next }),
        sentence: format!("portcullis: {}", refusal_text(denial)),
        details: match &denial.reason {
            Reason::Unreadable(fault) => anthropic::details(fault),
            _ => None,
        },
        passing: false,
    }
}

/// The body of an answer as the last event of a stream that has begun. Only APIs of models have such streams.
pub(crate) fn event(api: Api, body: &[u8]) -> Bytes {
    let name = match api {
        Api::Anthropic => Some("error"),
        Api::OpenAi | Api::Rest | Api::Mcp => None,
    };
    Event::new(name, String::from_utf8_lossy(body)).written()
}

/// The head of a stream that begins while people decide.
pub(crate) fn stream() -> Head {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Head { status: StatusCode::OK, headers }
}

/// A failure that is nobody's refusal, and whether the same request may pass later.
pub(crate) fn failed(api: Api, status: StatusCode, why: &str, passing: bool) -> (Head, Bytes) {
    Problem::plain(status, "the request failed", why, passing).reply(Some(api))
}

/// An answer of a plain API that came, with this status, and may not pass. An error keeps its status: it holds no value, and
/// tells a client whether to try again. A success is none to a client that gets nothing of it, but what was asked for is
/// done: its words say so, since a client that tries again would have it done twice.
pub(crate) fn withheld(answered: StatusCode, why: &str) -> (Head, Bytes) {
    let code = answered.as_u16();
    let (status, detail, passing) = if answered.is_client_error() || answered.is_server_error() {
        let passing = answered.is_server_error() || matches!(code, 408 | 425 | 429);
        (answered, format!("the service answered {code}, and its answer is withheld: {why}"), passing)
    } else if answered.is_success() {
        let detail = format!(
            "the request was carried out: the service answered {code}. Its answer is withheld: {why}. Look at what became of it \
             before you send it again"
        );
        (StatusCode::BAD_GATEWAY, detail, false)
    } else {
        (StatusCode::BAD_GATEWAY, format!("the service answered {code}, and its answer is withheld: {why}"), false)
    };
    let (mut head, body) = Problem::plain(status, "the answer is withheld", detail, passing).reply(Some(Api::Rest));
    // It is not the gateway that wants to know who asks.
    head.headers.remove(header::WWW_AUTHENTICATE);
    (head, body)
}

/// A request whose head or body is refused before anybody is asked.
pub(crate) fn malformed(api: Option<Api>, status: StatusCode, why: &str) -> (Head, Bytes) {
    let (title, passing) = match status {
        // Nothing is wrong with it: sent again it may pass.
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => ("the request was not taken", true),
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            ("the request is too large", false)
        }
        _ => ("the request cannot be read in one way only", false),
    };
    Problem::plain(status, title, why, passing).reply(api)
}

/// Why a caller may not enter.
pub(crate) fn not_entered(api: Option<Api>, why: &NotEntered, connection: &str) -> (Head, Bytes) {
    match why {
        NotEntered::Denied(denial) => problem(denial).reply(api),
        NotEntered::NoSuchConnection => {
            let detail = format!("there is no connection `{connection}`; the first segment of the path names it");
            Problem::plain(StatusCode::NOT_FOUND, "no such connection", detail, false).reply(api)
        }
        NotEntered::RecordUnavailable => {
            Problem::plain(StatusCode::SERVICE_UNAVAILABLE, "nothing passes", why.to_string(), false).reply(api)
        }
        NotEntered::TooManySessions => {
            Problem::plain(StatusCode::TOO_MANY_REQUESTS, "too many sessions", why.to_string(), false).reply(api)
        }
        NotEntered::Identity { retry_after: Some(wait) } => {
            let (mut head, body) =
                Problem::plain(StatusCode::TOO_MANY_REQUESTS, "too many attempts", why.to_string(), false).reply(api);
            head.headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
            (head, body)
        }
        _ => {
            let detail = "send a token that is still good as `Authorization: Bearer TOKEN` or `x-api-key: TOKEN`; tokens end, \
                          after 24 hours at the latest";
            Problem::plain(StatusCode::UNAUTHORIZED, "the identity was refused", detail, false).reply(api)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_model::{DecisionId, RuleId, SessionId};
    use serde_json::Value;

    fn denial(reason: Reason) -> Denial {
        let decision = DecisionId { session: SessionId::new(), number: 3 };
        Denial { decision: Some(decision), reason, message: Some("Ask the owner.".into()) }
    }

    #[test]
    fn what_came_and_may_not_pass_is_told_with_what_the_service_said_of_it() {
        for (answered, told, passing, done) in [
            (200, 502, false, true),
            (202, 502, false, true),
            (304, 502, false, false),
            (401, 401, false, false),
            (404, 404, false, false),
            (429, 429, true, false),
            (500, 500, true, false),
            (503, 503, true, false),
        ] {
            let (head, body) = withheld(StatusCode::from_u16(answered).unwrap(), "it is no JSON");
            assert_eq!(head.status.as_u16(), told);
            assert_eq!(head.headers.get(SHOULD_RETRY).is_none(), passing, "{answered}");
            assert!(!head.headers.contains_key(header::WWW_AUTHENTICATE));
            let said: Value = serde_json::from_slice(&body).unwrap();
            let detail = said.pointer("/detail").unwrap().as_str().unwrap();
            assert!(detail.contains(&answered.to_string()) && detail.contains("it is no JSON"), "{detail}");
            assert_eq!(detail.contains("was carried out"), done, "{detail}");
        }
    }

    #[test]
    fn who_sends_what_cannot_be_read_is_told_about_a_request() {
        let fault = || Fault::Ambiguous { message: "the body has no content-type".into() };
        let denial = Denial { message: None, ..denial(Reason::Unreadable(fault())) };
        let (_, body) = refused(Api::Rest, &denial);
        let said: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(said.pointer("/next_step").unwrap(), CHANGE);
        // A file that is not there has no next step.
        let missing = Fault::Missing { message: "no such file".into(), position: None };
        let denial = Denial { reason: Reason::Unreadable(missing), ..denial };
        let (_, body) = refused(Api::Rest, &denial);
        assert!(!String::from_utf8_lossy(&body).contains("next_step"));
    }

    #[test]
    fn each_api_reads_rule_reason_decision_and_next_step() {
        let rule = RuleId { bundle: "crm".into(), rule: "no-deletes".into() };
        let denial = denial(Reason::Rule { rule, operation: "delete endpoint DELETE /orders/7".into() });
        let message = "/error/message";
        for (api, place) in
            [(Api::Rest, "/detail"), (Api::Anthropic, message), (Api::OpenAi, message), (Api::Mcp, message)]
        {
            let (head, body) = refused(api, &denial);
            assert_eq!(head.status, StatusCode::FORBIDDEN);
            assert_eq!(head.headers.get(SHOULD_RETRY).unwrap(), "false");
            assert_eq!(head.headers.get(header::CONTENT_LENGTH).unwrap(), &body.len().to_string());
            let said: Value = serde_json::from_slice(&body).unwrap();
            assert!(said.pointer(place).unwrap().as_str().unwrap().contains("delete endpoint DELETE /orders/7"));
            let text = String::from_utf8_lossy(&body);
            for part in ["crm/no-deletes", "Ask the owner.", &denial.decision.unwrap().to_string()] {
                assert!(text.contains(part), "{text}");
            }
        }
    }

    #[test]
    fn who_asks_for_too_much_at_once_may_try_again_and_who_cannot_be_read_may_not() {
        for (status, passing, title) in [
            (503, true, "was not taken"),
            (408, true, "was not taken"),
            (413, false, "too large"),
            (400, false, "one way only"),
            (501, false, "one way only"),
        ] {
            let (head, body) = malformed(Some(Api::Anthropic), StatusCode::from_u16(status).unwrap(), "why");
            assert_eq!(head.headers.get(SHOULD_RETRY).is_none(), passing, "{status}");
            assert!(String::from_utf8_lossy(&body).contains(title), "{status}");
        }
    }

    #[test]
    fn a_status_says_whose_turn_it_is() {
        let fault = |fault| denial(Reason::Unreadable(fault));
        for (denial, status) in [
            (fault(Fault::TooLarge { message: "x".into() }), 413),
            (fault(Fault::Ambiguous { message: "x".into() }), 400),
            (fault(Fault::Unsupported { message: "x".into() }), 403),
            (denial(Reason::IdentityRevoked), 401),
            (denial(Reason::RecordUnavailable), 503),
        ] {
            assert_eq!(refused(Api::Rest, &denial).0.status.as_u16(), status);
        }
        let limited = NotEntered::Identity { retry_after: Some(std::time::Duration::from_millis(10)) };
        let (head, _) = not_entered(None, &limited, "crm");
        assert_eq!(
            (head.status.as_u16(), head.headers.get(header::RETRY_AFTER).unwrap()),
            (429, &HeaderValue::from(1))
        );
        let (head, _) = not_entered(None, &NotEntered::Identity { retry_after: None }, "crm");
        assert!(head.status == 401 && head.headers.contains_key(header::WWW_AUTHENTICATE));
        let (_, body) = not_entered(Some(Api::Mcp), &NotEntered::Identity { retry_after: None }, "tools");
        let said: Value = serde_json::from_slice(&body).unwrap();
        let id = said.get("id").unwrap();
        assert!(id.is_null() && said["error"]["message"].as_str().unwrap().contains("the identity was refused"));
        let (head, _) = failed(Api::Anthropic, StatusCode::BAD_GATEWAY, "gone", true);
        assert!(!head.headers.contains_key(SHOULD_RETRY));
    }
}
