//! What a delegated rule may answer.
//!
//! Promises: `"allow"`, `"deny"`, `"hold"` or `"no-opinion"`, or an object with one of them as `decision` and `message`,
//! `marks`, `approvers` and `approvals` beside it. A key that is not one of these, a mark or approver that cannot be, a text
//! that is too long, and every other value is a failure, so that a typing error refuses and does not permit.
//! Held by: `rego/tests.rs`.

use crate::condition::Failed;
use crate::rule::NAMED_MARKS;
use portcullis_model::{Action, HoldTerms, Mark, Marks};
use regorus::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bytes of a message.
const MAX_MESSAGE: usize = 1000;

/// People and groups that may be named.
const MAX_APPROVERS: usize = 100;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) says: Result<Says, Failed>,
    pub(crate) message: Option<Arc<str>>,
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    NoOpinion,
    Deny,
    Allow(Named),
    Hold(Named, Approvers),
}

/// What an allow or hold names of what must be named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) marks: Marks,
    pub(crate) unknown: bool,
}

impl Named {
    /// Everything that can be named.
    pub(crate) const ALL: Self = Self { marks: NAMED_MARKS, unknown: true };
}

/// Whom a hold asks, where the answer says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Approvers {
    groups: BTreeSet<Arc<str>>,
    users: BTreeSet<Arc<str>>,
    approvals: Option<u32>,
}

impl Approvers {
    /// The terms of the rule with what the answer says instead; `None` where nobody is named.
    pub(crate) fn terms(&self, rule: &HoldTerms) -> Option<HoldTerms> {
        let mut terms = rule.clone();
        if !self.groups.is_empty() || !self.users.is_empty() {
            (terms.groups, terms.users) = (self.groups.clone(), self.users.clone());
        }
        terms.approvals = self.approvals.unwrap_or(terms.approvals);
        let nobody = terms.groups.is_empty() && terms.users.is_empty();
        let too_few = terms.groups.is_empty() && (terms.users.len() as u64) < u64::from(terms.approvals);
        (!nobody && !too_few).then_some(terms)
    }
}

impl Answer {
    pub(crate) const fn failed(why: &'static str) -> Self {
        Self { says: Err(Failed(why)), message: None }
    }

    /// Reads what the query came to.
    pub(crate) fn read(value: &Value) -> Self {
        match read(value) {
            Ok(answer) => answer,
            Err(why) => Self::failed(why),
        }
    }
}

type Read<T> = Result<T, &'static str>;

fn read(value: &Value) -> Read<Answer> {
    let mut message = None;
    let (mut named, mut approvers) = (Named::default(), Approvers::default());
    let mut decision = None;
    match value {
        Value::Undefined => return Err("its query is undefined"),
        Value::String(word) => decision = Some(word.to_string()),
        Value::Object(entries) => {
            for (key, value) in entries.iter() {
                match text(key)? {
                    "decision" => decision = Some(text(value)?.to_owned()),
                    "message" => message = Some(text(value).and_then(said)?),
                    "marks" => named = marks(value)?,
                    "approvers" => people(value, &mut approvers)?,
                    "approvals" => approvers.approvals = Some(count(value)?),
                    _ => return Err("its answer has a key that no answer has"),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Set(_) => {
            return Err("its answer is no decision");
        }
    }
    let says = match decision.as_deref() {
        Some("allow") => Says::Allow(named),
        Some("deny") => Says::Deny,
        Some("hold") => Says::Hold(named, approvers),
        Some("no-opinion") => Says::NoOpinion,
        Some(_) | None => return Err("its answer is no decision"),
    };
    Ok(Answer { says: Ok(says), message })
}

fn text(value: &Value) -> Read<&str> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err("its answer has something else where a text belongs"),
    }
}

fn said(text: &str) -> Read<Arc<str>> {
    if text.len() > MAX_MESSAGE { Err("its message is too long") } else { Ok(text.into()) }
}

/// The items of an array or a set.
fn texts(value: &Value) -> Read<Vec<&str>> {
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        Value::Set(items) => items.iter().map(text).collect(),
        _ => Err("its answer has something else where a list belongs"),
    }
}

fn marks(value: &Value) -> Read<Named> {
    let mut named = Named::default();
    for word in texts(value)? {
        if word == Action::Unknown.word() {
            named.unknown = true;
            continue;
        }
        let found = Mark::ALL.iter().copied().find(|mark| mark.word() == word);
        let mark = found.filter(|mark| NAMED_MARKS.contains(*mark));
        named.marks = named.marks.with(mark.ok_or("its answer names a mark that nothing has to name")?);
    }
    Ok(named)
}

fn people(value: &Value, approvers: &mut Approvers) -> Read<()> {
    let Value::Object(entries) = value else { return Err("its answer has approvers that are none") };
    for (key, value) in entries.iter() {
        let names = texts(value)?;
        if names.is_empty() || names.len() > MAX_APPROVERS || names.iter().any(|name| name.is_empty()) {
            return Err("its answer has approvers that are none");
        }
        let names = names.into_iter().map(Arc::from).collect();
        match text(key)? {
            "groups" => approvers.groups = names,
            "users" => approvers.users = names,
            _ => return Err("its answer has approvers that are none"),
        }
    }
    if approvers.groups.is_empty() && approvers.users.is_empty() {
        return Err("its answer has approvers that are none");
    }
    Ok(())
}

fn count(value: &Value) -> Read<u32> {
    let count = value.as_u32().ok().filter(|count| (1..=100).contains(count));
    count.ok_or("its answer asks for a number of approvals that cannot be")
}
