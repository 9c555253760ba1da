//! What a condition and a delegated rule have to do with an operation, for a person.
//!
//! Promises: of a rule that matches but for its condition it says whether that is true, false or cannot be evaluated and why;
//! of a rule that asks, what it was answered. A rule that fails is shown as matching, since it denies. No value of the case
//! is in what is said, but the message of an answer.
//! Held by: `explain/tests.rs`.

use crate::condition::Condition;
use crate::facts::Facts;
use crate::rego::{Named, Rego, Says};
use crate::rule::Rule;
use portcullis_model::{Effect, Mark, Operation};

/// What came of asking.
pub(super) struct Asked {
    pub(super) matched: bool,
    pub(super) effect: Effect,
    pub(super) note: Option<String>,
}

/// Asks what a rule asks that matches otherwise.
pub(super) fn explain(rule: &Rule, operation: &Operation, nth: usize, home: Option<&str>, facts: &Facts<'_>) -> Asked {
    let told = rule.condition.expression().map_or("its condition", |one| &*one.written).to_owned();
    let held = match (rule.condition.holds(facts, nth), &rule.condition) {
        (Ok(true), Condition::Always) => None,
        (Ok(true), _) => Some(format!("when `{told}`: true")),
        (Ok(false), _) => {
            return Asked { matched: false, effect: rule.effect, note: Some(format!("when `{told}`: false")) };
        }
        (Err(why), _) => {
            let note = format!("when `{told}`: cannot be evaluated, so it denies: {why}");
            return Asked { matched: true, effect: Effect::Deny, note: Some(note) };
        }
    };
    let Some(rego) = &rule.rego else { return Asked { matched: true, effect: rule.effect, note: held } };
    let Asked { matched, effect, note } = answer(rule, rego, operation, home, facts);
    Asked { matched, effect, note: super::joined(held, note) }
}

fn answer(rule: &Rule, rego: &Rego, operation: &Operation, home: Option<&str>, facts: &Facts<'_>) -> Asked {
    let answer = facts.answer(rego);
    let query = &rego.query;
    let (matched, effect, note) = match &answer.says {
        Err(why) => (true, Effect::Deny, format!("{query} gave no answer, so it denies: {why}")),
        Ok(Says::NoOpinion) => (false, rule.effect, format!("{query} has no opinion")),
        Ok(Says::Deny) => (true, Effect::Deny, format!("{query} says deny")),
        Ok(Says::Allow(named)) => match rule.allows(*named, operation, home) {
            Some(_) => (true, Effect::Allow, format!("{query} says allow")),
            None => (false, Effect::Allow, format!("{query} says allow, {}", lacks(rule, operation, *named))),
        },
        Ok(Says::Hold(_, approvers)) => match rule.terms.as_ref().and_then(|terms| approvers.terms(terms)) {
            Some(_) => (true, Effect::Hold, format!("{query} says hold")),
            None => {
                (true, Effect::Deny, format!("{query} says hold and nobody is named who could approve, so it denies"))
            }
        },
    };
    let message = answer.message.as_ref().map(|message| format!("{note}: {message}"));
    Asked { matched, effect, note: Some(message.unwrap_or(note)) }
}

/// Why an answer that allows does not permit the operation.
fn lacks(rule: &Rule, operation: &Operation, named: Named) -> String {
    let missing: Vec<_> =
        rule.missing(operation, named).iter().map(Mark::word).map(|word| format!("`{word}`")).collect();
    if missing.is_empty() {
        "which does not permit what must be named".to_owned()
    } else {
        format!("but neither it nor the rule names {}", missing.join(", "))
    }
}
