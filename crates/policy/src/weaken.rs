//! What a new set would take away from an old one.
//!
//! Promises: names every bundle, deny and hold that is gone, that became weaker in effect, or that matches less than it
//! did as written (fewer actions, objects, marks, fields, connections or principals), every hold that asks fewer people, every budget that is gone or larger, every `max_rows` that is gone or larger, and of
//! masks what `weaken/masks.rs` says. Such a set is only taken when a person asks for it (`portcullis policy reload`,
//! DESIGN 3).
//! - A condition on a deny or hold that is new or reads otherwise, and a file of an OPA bundle that is gone, new or reads
//!   otherwise, counts: nobody can tell what it no longer refuses.
//!
//! Does not promise to understand patterns: it compares what is written, so a deny that was rewritten to match as much by
//! other words counts as weaker. That costs a person one command; the other error would cost a protection.
//! Held by: the tests below.

mod asked;
mod masks;

use crate::bundle::Bundle;
use crate::rule::Rule;
use crate::scope::Scope;
use crate::set::PolicySet;
use portcullis_model::{Action, Effect, Mark};
use std::collections::BTreeSet;
use std::sync::Arc;

impl PolicySet {
    /// What this set takes away from `old`, each as a sentence for a person; empty where it only adds or tightens.
    #[must_use]
    pub fn weakens(&self, old: &Self) -> Vec<String> {
        let mut out = Vec::new();
        for was in &old.bundles {
            match self.bundles.iter().find(|bundle| bundle.name == was.name) {
                Some(bundle) => compare(bundle, was, &mut out),
                None => out.push(format!("bundle {} is gone", was.name)),
            }
        }
        masks::cleaner(self, old, &mut out);
        out
    }
}

fn compare(now: &Bundle, was: &Bundle, out: &mut Vec<String>) {
    let strict = |rule: &&Rule| rule.effect != Effect::Allow;
    let mut guards = was.rules.iter().filter(strict).peekable();
    let guarded = guards.peek().is_some();
    let mut narrowed = Vec::new();
    if guarded || !was.masks.is_empty() || !was.budgets.is_empty() {
        narrowed.extend(fewer_connections(&now.scope, &was.scope));
    }
    if guarded || !was.budgets.is_empty() {
        narrowed.extend(fewer_principals(&now.scope, &was.scope));
    }
    out.extend(narrowed.into_iter().map(|what| format!("bundle {}: {what}", was.name)));
    for rule in guards {
        let word = if rule.rego.is_some() { "rule" } else { rule.effect.word() };
        let Some(next) = now.rules.iter().find(|next| next.id == rule.id) else {
            out.push(format!("{word} {} is gone", rule.id));
            continue;
        };
        if next.effect < rule.effect {
            out.push(format!("{word} {} became {}", rule.id, next.effect.word()));
            continue;
        }
        let mut narrowed = narrower_rule(next, rule);
        narrowed.extend(asked::compare(next, rule));
        out.extend(narrowed.into_iter().map(|what| format!("{word} {}: {what}", rule.id)));
    }
    limits(now, was, out);
    budgets(now, was, out);
    masks::compare(now, was, out);
}

/// An allow that lets statements write more rows than it did. One that is gone allows nothing, which weakens nothing.
fn limits(now: &Bundle, was: &Bundle, out: &mut Vec<String>) {
    for before in &was.rules {
        let (Some(limit), Some(next)) = (&before.limit, now.rules.iter().find(|next| next.id == before.id)) else {
            continue;
        };
        match &next.limit {
            None if next.effect == Effect::Allow => out.push(format!("allow {}: no max_rows", before.id)),
            None => {}
            Some(next) if next.rows > limit.rows => {
                out.push(format!("allow {}: max_rows {} instead of {}", before.id, next.rows, limit.rows));
            }
            Some(next) if next.ignores_cascades && !limit.ignores_cascades => {
                out.push(format!("allow {}: cascades are not counted", before.id));
            }
            Some(_) => {}
        }
    }
}

fn budgets(now: &Bundle, was: &Bundle, out: &mut Vec<String>) {
    for before in &was.budgets {
        let Some(next) = now.budgets.iter().find(|next| next.id == before.id) else {
            out.push(format!("budget {} is gone", before.id));
            continue;
        };
        let limits = [
            ("tokens_per_day", next.tokens_per_day, before.tokens_per_day),
            ("requests_per_minute", next.requests_per_minute, before.requests_per_minute),
        ];
        for (key, now, was) in limits {
            if was.is_some_and(|was| now.is_none_or(|now| now > was)) {
                out.push(format!("budget {}: more {key}", before.id));
            }
        }
        let lost = lost(next.models.as_ref(), before.models.as_ref());
        out.extend(lost.map(|lost| format!("budget {}: models lost: {lost}", before.id)));
    }
}

fn fewer_connections(now: &Scope, was: &Scope) -> Option<String> {
    lost(now.connections.as_ref(), was.connections.as_ref()).map(|lost| format!("connections lost: {lost}"))
}

/// Masks bind everybody, so this is about rules only.
fn fewer_principals(now: &Scope, was: &Scope) -> Vec<String> {
    let mut out = Vec::new();
    let (now, was) = (&now.principals, &was.principals);
    out.extend(lost(now.users.as_ref(), was.users.as_ref()).map(|lost| format!("users lost: {lost}")));
    out.extend(lost(now.groups.as_ref(), was.groups.as_ref()).map(|lost| format!("groups lost: {lost}")));
    for (claim, values) in &now.claims {
        let before = was.claims.get(claim);
        out.extend(lost(Some(values), before).map(|lost| format!("claim {claim} lost: {lost}")));
    }
    out
}

fn narrower_rule(now: &Rule, was: &Rule) -> Vec<String> {
    let mut out = Vec::new();
    let actions: Vec<_> = now.actions.missing(was.actions).map(Action::word).collect();
    if !actions.is_empty() {
        out.push(format!("actions lost: {}", actions.join(", ")));
    }
    let objects = |rule: &Rule| rule.objects.as_ref().map(|objects| objects.written.iter().cloned().collect());
    out.extend(lost(objects(now).as_ref(), objects(was).as_ref()).map(|lost| format!("objects lost: {lost}")));
    // A rule that asks names what its answers may permit: there, fewer are stricter.
    let marks = |rule: &Rule| {
        let marks = rule.marks.filter(|_| rule.rego.is_none());
        marks.map(|marks| marks.iter().map(Mark::word).map(Arc::from).collect())
    };
    out.extend(lost(marks(now).as_ref(), marks(was).as_ref()).map(|lost| format!("marks lost: {lost}")));
    let fields = |rule: &Rule| rule.fields.as_ref().map(|fields| fields.written.clone());
    out.extend(lost(fields(now).as_ref(), fields(was).as_ref()).map(|lost| format!("fields lost: {lost}")));
    if let (Some(now), Some(was)) = (&now.terms, &was.terms) {
        if now.approvals < was.approvals {
            out.push(format!("{} approvals instead of {}", now.approvals, was.approvals));
        }
        let more = now.groups.difference(&was.groups).chain(now.users.difference(&was.users));
        let more: Vec<&str> = more.map(AsRef::as_ref).collect();
        if !more.is_empty() {
            out.push(format!("more may approve: {}", more.join(", ")));
        }
        if now.valid > was.valid {
            out.push("an approval stays valid for longer".to_owned());
        }
        if now.grant > was.grant {
            out.push("a grant may last for longer".to_owned());
        }
        if was.needs_reason && !now.needs_reason {
            out.push("no reason is asked for".to_owned());
        }
        if was.counts_rows && !now.counts_rows {
            out.push("rows are not counted for those who decide".to_owned());
        }
    }
    out
}

/// What a limit took away. Absent is everything: gaining a limit is a loss, losing one is not.
fn lost(now: Option<&BTreeSet<Arc<str>>>, was: Option<&BTreeSet<Arc<str>>>) -> Option<String> {
    match (now, was) {
        (None, _) => None,
        (Some(now), None) => {
            Some(format!("all but {}", now.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ")))
        }
        (Some(now), Some(was)) => {
            let lost: Vec<&str> = was.difference(now).map(AsRef::as_ref).collect();
            (!lost.is_empty()).then(|| lost.join(", "))
        }
    }
}

#[cfg(test)]
mod tests;
