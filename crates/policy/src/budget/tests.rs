//! Whom and what budgets are about.

use super::*;
use crate::samples::{agent, load, shop};
use portcullis_model::Name;

const BUNDLE: &str = "bundle: b
applies_to: { connections: [shop], principals: { groups: [agents] } }
budgets:
  - { id: all, tokens_per_day: 1000, requests_per_minute: 5 }
  - { id: big, models: ['claude-{opus,fable}-*', exact], tokens_per_day: 100 }
";

#[test]
fn a_budget_is_about_the_principals_connections_and_models_that_it_names() {
    let set = load(&[BUNDLE]);
    let ids = |principal: &Principal, connection: &Connection, models: &[Option<&str>]| -> Vec<String> {
        set.budgets(principal, connection, models).iter().map(|budget| budget.id.rule.to_string()).collect()
    };
    assert_eq!(ids(&agent(), &shop(), &[Some("claude-opus-4")]), ["all", "big"]);
    assert_eq!(ids(&agent(), &shop(), &[Some("exact")]), ["all", "big"]);
    assert_eq!(ids(&agent(), &shop(), &[None]), ["all", "big"]);
    assert_eq!(ids(&agent(), &shop(), &[Some("claude-haiku-4")]), ["all"]);
    assert_eq!(ids(&agent(), &shop(), &[Some("claude-haiku-4"), Some("exact")]), ["all", "big"], "as a fallback");
    assert_eq!(ids(&agent(), &shop(), &[]), ["all"], "no model is asked");
    let elsewhere = Connection { name: Name::canonical("crm"), ..shop() };
    assert!(ids(&agent(), &elsewhere, &[None]).is_empty());
    assert!(ids(&Principal { groups: [].into(), ..agent() }, &shop(), &[None]).is_empty());
    let [all, big] = set.budgets(&agent(), &shop(), &[None]).try_into().unwrap();
    assert_eq!((all.tokens_per_day, all.requests_per_minute, all.line), (Some(1000), Some(5), 4));
    assert_eq!((big.tokens_per_day, big.requests_per_minute), (Some(100), None));
}

#[test]
fn a_budget_that_is_gone_or_larger_is_weaker() {
    let lost = |new: &str| load(&[new]).weakens(&load(&[BUNDLE]));
    assert!(lost(BUNDLE).is_empty());
    assert!(lost(&BUNDLE.replace("1000", "999").replace(", exact", ", exact, other")).is_empty());
    assert_eq!(lost(&BUNDLE.replace("id: big", "id: other")), ["budget b/big is gone"]);
    assert_eq!(lost(&BUNDLE.replace("1000", "1001")), ["budget b/all: more tokens_per_day"]);
    assert_eq!(lost(&BUNDLE.replace(", requests_per_minute: 5", "")), ["budget b/all: more requests_per_minute"]);
    assert_eq!(lost(&BUNDLE.replace(", exact", "")), ["budget b/big: models lost: exact"]);
    let scoped = lost(&BUNDLE.replace("[agents]", "[others]"));
    assert_eq!(scoped, ["bundle b: groups lost: agents"]);
}
