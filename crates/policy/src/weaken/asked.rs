//! What a changed condition or a changed OPA bundle may take away.
//!
//! Promises: a `when` that is new or reads otherwise is named; so is a rule that asks where it did not, that asks something
//! else, whose answers may permit more marks, and every file of its bundle that is gone, new or reads otherwise: with one
//! file more, a query may come to something else too.
//! Held by: `weaken/tests.rs`.

use crate::condition::Condition;
use crate::rego::Rego;
use crate::rule::Rule;
use portcullis_model::{Mark, Marks};
use std::sync::Arc;

pub(super) fn compare(now: &Rule, was: &Rule) -> Vec<String> {
    let mut out: Vec<String> = condition(&now.condition, &was.condition).into_iter().collect();
    match (&now.rego, &was.rego) {
        (None, _) => {}
        (Some(now), None) => out.push(format!("asks {} of {} instead", now.query, now.bundle)),
        (Some(next), Some(before)) => {
            if next.query != before.query {
                out.push(format!("asks {} instead of {}", next.query, before.query));
            }
            let named = |rule: &Rule| rule.marks.unwrap_or(Marks::NONE);
            let more: Vec<_> = named(now).iter().filter(|mark| !named(was).contains(*mark)).map(Mark::word).collect();
            if !more.is_empty() {
                out.push(format!("its answers may also permit {}", more.join(", ")));
            }
            if now.names_unknown && !was.names_unknown {
                out.push("its answers may also permit unknown".to_owned());
            }
            out.extend(files(next, before));
        }
    }
    out
}

fn condition(now: &Condition, was: &Condition) -> Option<String> {
    let written = |condition: &Condition| condition.expression().map(|one| Arc::clone(&one.written));
    match (written(now), written(was)) {
        (None, _) => None,
        (Some(now), Some(was)) if now == was => None,
        (Some(now), _) => Some(format!("only when {now}")),
    }
}

fn files(now: &Rego, was: &Rego) -> Vec<String> {
    let mut out = Vec::new();
    for before in &was.files {
        match now.files.iter().find(|next| next.path == before.path) {
            None => out.push(format!("{} of {} is gone", before.path, was.bundle)),
            Some(next) if next.text != before.text => out.push(format!("{} of {} changed", before.path, was.bundle)),
            Some(_) => {}
        }
    }
    let new = now.files.iter().filter(|next| was.files.iter().all(|before| before.path != next.path));
    out.extend(new.map(|file| format!("{} of {} is new", file.path, now.bundle)));
    out
}
