//! What a notifier is told: one JSON document, and one text for people.
//!
//! Promises: both are built from what those who decide see of a request, bounded, and without the values bound to it; in
//! the text for people no character of a client's ends a line, is unseen, turns the direction of what follows or, as Slack
//! gets it, makes a link or a mention. The document has the text as it is recorded.
//! Does not promise that the whole command is told: `portcullis approvals show` shows it.
//! Held by: the tests below and `tests/it/notifications.rs`.

use jiff::Timestamp;
use portcullis_approvals::{Request, Verdict};
use portcullis_model::{ApprovalId, Name, Preview, is_unseen};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bytes of a command that are told.
const COMMAND: usize = 2048;

/// Bytes of a reason that are told.
const REASON: usize = 512;

/// Operations that are told, and bytes of each.
const OPERATIONS: (usize, usize) = (20, 256);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// A request waits for people.
    #[serde(rename = "approval.opened")]
    Opened,
    /// It does not any more.
    #[serde(rename = "approval.ended")]
    Ended,
}

/// That a request opened or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Notice {
    /// What happened.
    #[serde(rename = "type")]
    kind: Kind,
    /// The same each time that this is told to somebody.
    pub(crate) delivery: String,
    /// Which request.
    pub(crate) approval: ApprovalId,
    /// `open`, or what became of it.
    state: Arc<str>,
    /// Who decided.
    by: Vec<Arc<str>>,
    /// Who asks.
    pub(crate) user: Arc<str>,
    pub(crate) connection: Name,
    /// The command, as it is recorded.
    command: String,
    /// Whether there is more of it.
    cut: bool,
    operations: Vec<String>,
    /// The rules that hold it.
    pub(crate) rules: BTreeSet<Arc<str>>,
    /// Who may decide.
    approvers: Approvers,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What it would write, where it writes rows of a database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preview: Option<Preview>,
    /// Undecided by then: refused.
    pub(crate) deadline: Timestamp,
    /// What shows the whole command to whoever decides.
    show: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approvers {
    groups: BTreeSet<Arc<str>>,
    users: BTreeSet<Arc<str>>,
}

impl Notice {
    /// That this waits for people until then.
    pub(crate) fn opened(request: &Request, deadline: Timestamp) -> Self {
        let text = request.text.as_str();
        let (most, length) = OPERATIONS;
        let mut approvers = Approvers::default();
        for terms in &request.terms {
            approvers.groups.extend(terms.groups.iter().cloned());
            approvers.users.extend(terms.users.iter().cloned());
        }
        Self {
            kind: Kind::Opened,
            delivery: format!("{}-opened", request.id),
            approval: request.id,
            state: "open".into(),
            by: Vec::new(),
            user: Arc::clone(&request.requester.user),
            connection: request.connection.clone(),
            command: cut(text, COMMAND),
            cut: text.len() > COMMAND,
            operations: request.operations.iter().take(most).map(|operation| cut(operation, length)).collect(),
            rules: request.terms.iter().map(|terms| terms.rule.to_string().into()).collect(),
            approvers,
            reason: request.reason.as_deref().map(|reason| cut(reason, REASON)),
            preview: request.preview.clone(),
            deadline,
            show: format!("portcullis approvals show {}", request.id),
        }
    }

    /// What became of the same.
    pub(crate) fn ended(&self, verdict: Verdict) -> Self {
        let (state, by) = match verdict {
            Verdict::Approved { by } => ("approved", by),
            Verdict::Rejected { by } => ("rejected", vec![by]),
            Verdict::Expired => ("expired", Vec::new()),
            Verdict::Withdrawn => ("withdrawn", Vec::new()),
        };
        let delivery = format!("{}-ended", self.approval);
        Self { kind: Kind::Ended, delivery, state: state.into(), by, ..self.clone() }
    }

    /// What a message is headed with, in one line.
    pub(crate) fn subject(&self) -> String {
        let (user, connection) = (for_mail(&self.user), for_mail(self.connection.as_str()));
        match self.kind {
            Kind::Opened => format!("{user} waits for approval on {connection}"),
            Kind::Ended => format!("{user} on {connection}: {}", self.state),
        }
    }

    /// The delivery that told of what ends here.
    pub(crate) fn opening(&self) -> Option<String> {
        match self.kind {
            Kind::Opened => None,
            Kind::Ended => Some(format!("{}-opened", self.approval)),
        }
    }

    /// One text for people; what came from others is written by `plain`, as the medium needs it.
    pub(crate) fn text(&self, plain: fn(&str) -> String) -> String {
        let Self { approval, user, .. } = self;
        let (user, connection) = (plain(user), plain(self.connection.as_str()));
        let rules: Vec<&str> = self.rules.iter().map(|rule| &**rule).collect();
        let rules = plain(&rules.join(", "));
        let command = plain(&self.command);
        let more = if self.cut { " (cut)" } else { "" };
        match self.kind {
            Kind::Opened => {
                let reason = self.reason.as_ref().map(|reason| format!("Reason: {}\n", plain(reason)));
                let rows = self.preview.as_ref().map(|preview| format!("Rows: {}\n", plain(&preview.to_string())));
                format!(
                    "{user} waits for approval on {connection}, held by {rules}, until {}\n{}{}Decide: {}\nCommand{more}: \
                     {command}",
                    self.deadline,
                    reason.unwrap_or_default(),
                    rows.unwrap_or_default(),
                    self.show
                )
            }
            Kind::Ended => {
                let by: Vec<String> = self.by.iter().map(|by| plain(by)).collect();
                let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
                let state = &self.state;
                format!("{approval} of {user} on {connection} is {state}{by}\nCommand{more}: {command}")
            }
        }
    }
}

/// At most so many bytes, of whole characters.
fn cut(text: &str, most: usize) -> String {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default().to_owned()
}

/// Text on one line in which people see what is there.
pub(crate) fn for_mail(text: &str) -> String {
    let seen = |c: char| match c {
        c if is_unseen(c) => '\u{fffd}',
        c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => ' ',
        c => c,
    };
    text.chars().map(seen).collect()
}

/// The same, in which nothing is a mention or a link that says something else than where it leads. Services that speak like
/// Slack know `@here` and `[words](URL)` as well: a blank of no width breaks both.
pub(crate) fn for_slack(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in for_mail(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '@' => out.push_str("@\u{200b}"),
            '(' if out.ends_with(']') => out.push_str("\u{200b}("),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
pub(crate) mod tests;
