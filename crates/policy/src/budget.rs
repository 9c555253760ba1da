//! `budgets` of a bundle: how much each principal may use of models there.
//!
//! Promises: a budget is about the principals and connections of its bundle, and counts for each of them by itself; with
//! `models` it is about requests that may be answered by one of those, a model that is not known among them, and about
//! none that asks no model. Several that are about one request bind it together. Does not count: the gate does, in the store, by days of UTC and whole minutes.
//! Held by: `budget/tests.rs`.

use crate::glob::{Glob, Quoting, Segment, alternatives};
use crate::set::PolicySet;
use crate::source::{Fields, Reader};
use crate::yaml::Node;
use portcullis_model::{Connection, Principal, RuleId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A limit beyond every use.
const MOST: u64 = 1_000_000_000_000_000;

/// One budget.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Its bundle and id.
    pub id: RuleId,
    /// Tokens in a day.
    pub tokens_per_day: Option<u64>,
    /// Requests in a minute.
    pub requests_per_minute: Option<u64>,
    /// The line it starts on, from 1.
    pub line: usize,
    /// As written, for comparing sets.
    pub(crate) models: Option<BTreeSet<Arc<str>>>,
    globs: Vec<Glob>,
}

impl Budget {
    /// Whether it is about a request that may be answered by any of these models; one that is not known may be any.
    #[must_use]
    pub fn is_about(&self, models: &[Option<&str>]) -> bool {
        let listed = |model| self.globs.iter().any(|glob| glob.matches(model));
        self.models.is_none() || models.iter().any(|model| model.is_none_or(listed))
    }

    /// Reads the budget at `path`; every problem is reported.
    pub(crate) fn read(reader: &mut Reader<'_>, bundle: &Arc<str>, node: &Node, path: &str) -> Option<Self> {
        let fields = reader.fields(node, path, &["id", "tokens_per_day", "requests_per_minute", "models"])?;
        let id = reader.required(&fields, "id").and_then(|text| reader.identifier(text, &fields.path_of("id")));
        let tokens_per_day = limit(reader, &fields, "tokens_per_day");
        let requests_per_minute = limit(reader, &fields, "requests_per_minute");
        if fields.get("tokens_per_day").is_none() && fields.get("requests_per_minute").is_none() {
            let help = Some("write `tokens_per_day: 2000000`".to_owned());
            reader.error_with(node.at, path, "a budget has `tokens_per_day`, `requests_per_minute` or both", help);
        }
        let mut globs = Vec::new();
        let models = fields.get("models").map(|entry| {
            let path = fields.path_of("models");
            let texts = reader.texts(&entry.value, &path);
            for (nth, text) in texts.iter().enumerate() {
                let read = alternatives(text.text, Quoting::Backslash).and_then(|all| {
                    all.iter().map(|one| Ok(Segment::of(one)?.into_glob())).collect::<Result<Vec<_>, String>>()
                });
                match read {
                    Ok(read) => globs.extend(read),
                    Err(message) => reader.error(text.at, &format!("{path}[{nth}]"), message),
                }
            }
            texts.iter().map(|text| Arc::from(text.text)).collect()
        });
        let id = RuleId { bundle: bundle.clone(), rule: id? };
        Some(Self { id, tokens_per_day, requests_per_minute, line: node.at.line, models, globs })
    }
}

fn limit(reader: &mut Reader<'_>, fields: &Fields<'_>, key: &str) -> Option<u64> {
    let path = fields.path_of(key);
    let text = reader.text(&fields.get(key)?.value, &path)?;
    let limit = text.text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
    if limit.is_none() {
        reader.error(text.at, &path, format!("`{}` is not a whole number from 1 to {MOST}", text.text));
    }
    limit
}

impl PolicySet {
    /// The budgets that bind this principal's request to these models here, in file order.
    #[must_use]
    pub fn budgets(&self, principal: &Principal, connection: &Connection, models: &[Option<&str>]) -> Vec<Arc<Budget>> {
        let bundles = self.bundles.iter().filter(|bundle| bundle.scope.applies(principal, connection));
        bundles.flat_map(|bundle| &bundle.budgets).filter(|budget| budget.is_about(models)).cloned().collect()
    }
}

#[cfg(test)]
mod tests;
