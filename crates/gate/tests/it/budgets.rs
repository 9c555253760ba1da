//! Budgets at the gate: taken before, given back behind, refused in the record.

use crate::world::{World, policy, table};
use bytes::Bytes;
use portcullis_gate::{Permit, Ruling, Session};
use portcullis_model::{
    Action, Command, Digest, EventBody, Name, Object, Operation, Outcome, Part, Reason, Source, Spent, Text, Tokens,
};
use portcullis_store::MemoryTable;
use std::sync::Arc;

const BUDGETS: &str = "bundle: shop
rules:
  - { id: reads, allow: { actions: [read, generate], objects: ['*'] } }
budgets:
  - { id: daily, tokens_per_day: 100 }
  - { id: calm, models: [big], requests_per_minute: 2 }
";

/// Of a request to these models.
fn permit(session: &Session, models: &[&str]) -> Permit {
    let generate = |model: &&str| Operation::new(Action::Generate, Object::Model(Part::Known(Name::canonical(*model))));
    let operations: Vec<Operation> = match models {
        [] => vec![Operation::new(Action::Read, table("orders"))],
        models => models.iter().map(generate).collect(),
    };
    let command = Command::new(Source::Request, Text::plain("x"), operations, Digest::of(b"x"));
    let Ruling::Forward(_, permit) = session.ask(session.seal(Bytes::from_static(b"x"), command)) else {
        panic!("refused")
    };
    permit
}

fn completed() -> Outcome {
    Outcome::Completed { status: "200".into(), rows: 0, bytes: 0 }
}

#[tokio::test]
async fn what_is_not_used_is_given_back_and_what_is_dropped_is_not() {
    let world = World::new().await;
    world.gate.count_budgets_in(Arc::new(MemoryTable::new()));
    world.gate.set_policy(policy(BUDGETS));
    let session = world.session().await;
    let (permit, small) = (permit(&session, &[]), permit(&session, &["small"]));
    let spent = |refused: Result<_, portcullis_model::Denial>| match refused.err().map(|denial| denial.reason) {
        Some(Reason::OverBudget { rule, spent }) => Some((rule.rule.to_string(), spent)),
        _ => None,
    };
    session.reserve(&small, 100).await.unwrap().settle(40).await;
    assert_eq!(spent(session.reserve(&permit, 61).await), Some(("daily".to_owned(), Spent::Tokens)));
    drop(session.reserve(&small, 50).await.unwrap());
    assert_eq!(spent(session.reserve(&permit, 11).await), Some(("daily".to_owned(), Spent::Tokens)));
    // A request that uses more than it took is counted so.
    session.reserve(&small, 1).await.unwrap().settle(10).await;
    assert_eq!(spent(session.reserve(&permit, 1).await), Some(("daily".to_owned(), Spent::Tokens)));
    for permit in [permit, small] {
        session.settle(permit, completed(), None);
    }
}

#[tokio::test]
async fn every_model_that_may_answer_counts_and_a_request_to_none_does_not() {
    let world = World::new().await;
    world.gate.count_budgets_in(Arc::new(MemoryTable::new()));
    world.gate.set_policy(policy(BUDGETS));
    let session = world.session().await;
    let (none, other, fallback) =
        (permit(&session, &[]), permit(&session, &["small"]), permit(&session, &["small", "big"]));
    let reserved = async |permit: &Permit| session.reserve(permit, 1).await.map(drop).is_ok();
    assert!(reserved(&fallback).await && reserved(&fallback).await);
    assert!(!reserved(&fallback).await, "the third in a minute that may be answered by `big`");
    assert!(reserved(&none).await && reserved(&other).await);
    for permit in [none, other, fallback] {
        session.settle(permit, completed(), None);
    }
}

#[tokio::test]
async fn a_budget_that_nothing_counts_refuses_and_none_at_all_does_not() {
    let world = World::new().await;
    let session = world.session().await;
    let first = permit(&session, &[]);
    assert!(session.reserve(&first, u64::MAX).await.is_ok(), "no budget is about it");
    world.gate.set_policy(policy(BUDGETS));
    let denial = session.reserve(&first, 1).await.err().unwrap();
    assert!(matches!(denial.reason, Reason::OverBudget { spent: Spent::Uncounted, .. }));
    assert_eq!(denial.rule().map(ToString::to_string).as_deref(), Some("shop/daily"));
    assert!(denial.decision.is_some());
    session.settle(first, Outcome::REFUSED, None);
}

#[tokio::test]
async fn a_refusal_and_what_was_used_are_in_the_record() {
    let world = World::new().await;
    world.gate.count_budgets_in(Arc::new(MemoryTable::new()));
    world.gate.set_policy(policy(BUDGETS));
    let session = world.session().await;
    let permit = permit(&session, &[]);
    let usage = Tokens { input: 10, output: 20, cache_read: 3, cache_write: 4 };
    session.used(&permit, usage);
    assert!(session.reserve(&permit, 101).await.is_err());
    session.settle(permit, Outcome::REFUSED, None);
    world.settle(&session).await;
    let events: Vec<EventBody> = world.events(session.id()).into_iter().map(|event| event.body).collect();
    assert!(events.iter().any(|body| matches!(body, EventBody::Usage { command: 1, usage: found } if *found == usage)));
    let told = events.iter().find_map(|body| match body {
        EventBody::CommandDecided { reason: Some(Reason::OverBudget { .. }), told, .. } => told.clone(),
        _ => None,
    });
    assert_eq!(told.as_deref(), Some("rule shop/daily: today's tokens are used up"));
}
