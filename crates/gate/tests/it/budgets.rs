//! Budgets at the gate: taken before, given back behind, refused in the record.

use crate::world::{World, policy, table};
use bytes::Bytes;
use jiff::Timestamp;
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

/// What this finds, anew where the minute turned in between: then counts of a minute, and may be of a day, are others.
async fn within_a_minute<T>(look: impl AsyncFn() -> T) -> T {
    let minute = || Timestamp::now().as_second().div_euclid(60);
    loop {
        let begun = minute();
        let found = look().await;
        if begun == minute() {
            return found;
        }
    }
}

fn completed() -> Outcome {
    Outcome::Completed { status: "200".into(), rows: 0, bytes: 0 }
}

#[tokio::test]
async fn what_is_not_used_is_given_back_and_what_is_dropped_is_not() {
    let refused = within_a_minute(async || {
        let world = World::new().await;
        world.gate.count_budgets_in(Arc::new(MemoryTable::new()));
        world.gate.set_policy(policy(BUDGETS));
        let session = world.session().await;
        let (permit, small) = (permit(&session, &[]), permit(&session, &["small"]));
        let spent = async |tokens| match session.reserve(&permit, tokens).await.err().map(|denial| denial.reason) {
            Some(Reason::OverBudget { rule, spent }) => Some((rule.rule.to_string(), spent)),
            _ => None,
        };
        session.reserve(&small, 100).await.unwrap().settle(40).await;
        let given_back = spent(61).await;
        drop(session.reserve(&small, 50).await.unwrap());
        let dropped = spent(11).await;
        // A request that uses more than it took is counted so.
        session.reserve(&small, 1).await.unwrap().settle(10).await;
        let more = spent(1).await;
        for permit in [permit, small] {
            session.settle(permit, completed(), None);
        }
        [given_back, dropped, more]
    });
    assert_eq!(refused.await, [(); 3].map(|()| Some(("daily".to_owned(), Spent::Tokens))));
}

#[tokio::test]
async fn every_model_that_may_answer_counts_and_a_request_to_none_does_not() {
    let reserved = within_a_minute(async || {
        let world = World::new().await;
        world.gate.count_budgets_in(Arc::new(MemoryTable::new()));
        world.gate.set_policy(policy(BUDGETS));
        let session = world.session().await;
        let (none, other, fallback) =
            (permit(&session, &[]), permit(&session, &["small"]), permit(&session, &["small", "big"]));
        let mut reserved = Vec::new();
        for permit in [&fallback, &fallback, &fallback, &none, &other] {
            reserved.push(session.reserve(permit, 1).await.is_ok());
        }
        for permit in [none, other, fallback] {
            session.settle(permit, completed(), None);
        }
        reserved
    });
    // Of three in a minute that may be answered by `big` the third is refused.
    assert_eq!(reserved.await, [true, true, false, true, true]);
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
