//! Decide, record, rule.

use crate::world::{World, command, reads, table, writes};
use bytes::Bytes;
use portcullis_gate::Ruling;
use portcullis_model::{
    Action, Command, Digest, Effect, EventBody, Fault, Mark, Operation, Outcome, Reason, Source, Text,
};

const FRAME: Bytes = Bytes::from_static(b"frame");

#[tokio::test]
async fn a_denial_names_rule_decision_and_next_step() {
    let world = World::new().await;
    let session = world.session().await;
    let wipe = command("update orders", Operation::new(Action::Update, table("orders")).marked(Mark::Unbounded));
    let Ruling::Refuse(denial) = session.ask(session.seal(FRAME, wipe)) else { panic!("allowed") };
    assert_eq!(denial.rule().map(ToString::to_string).as_deref(), Some("shop/no-unbounded"));
    assert_eq!(denial.decision.map(|id| (id.session, id.number)), Some((session.id(), 1)));
    assert_eq!(denial.next_step(), "Name the rows.");
    world.settle(&session).await;
    let decided = world.events(session.id()).into_iter().find_map(|event| match event.body {
        EventBody::CommandDecided { verdict, told, .. } => Some((verdict, told)),
        _ => None,
    });
    let (verdict, told) = decided.unwrap();
    assert_eq!(verdict, Effect::Deny);
    assert!(told.unwrap().contains("shop/no-unbounded"));
}

#[tokio::test]
async fn a_denial_is_the_end_of_its_command() {
    let world = World::new().await;
    let session = world.session().await;
    let id = session.id();
    let wipe = command("update orders", Operation::new(Action::Update, table("orders")).marked(Mark::Unbounded));
    assert!(matches!(session.ask(session.seal(FRAME, wipe)), Ruling::Refuse(_)));
    session.end("terminated");
    let other = world.session().await;
    world.settle(&other).await;
    let events = world.events(id);
    assert!(matches!(events.last().unwrap().body, EventBody::SessionEnded { commands: 1, .. }));
    let settled = |event: &portcullis_model::Event| matches!(event.body, EventBody::CommandSettled { .. });
    assert!(!events.iter().any(settled), "a refused command was interrupted: {events:?}");
}

#[tokio::test]
async fn what_its_reader_refused_is_refused_whatever_the_rules_say() {
    let world = World::new().await;
    let session = world.session().await;
    let fault = Fault::Syntax { message: "syntax error at end of input".into(), position: Some(3) };
    let faulty = Command::faulty(Source::Sql, Text::plain("selec"), fault.clone(), Digest::of(b"selec"));
    let Ruling::Refuse(denial) = session.ask(session.seal(FRAME, faulty)) else { panic!("allowed") };
    assert_eq!(denial.reason, Reason::Unreadable(fault));
}

#[tokio::test]
async fn dropping_a_sealed_frame_records_that_it_was_abandoned() {
    let world = World::new().await;
    let session = world.session().await;
    drop(session.seal(FRAME, writes("update orders set x = 1 where id = 2")));
    let Ruling::Forward(_, permit) = session.ask(session.seal(FRAME, reads("select 1"))) else { panic!("refused") };
    assert_eq!(permit.number(), 2, "an abandoned command keeps its ordinal");
    world.settle(&session).await;
    let settled: Vec<_> = world
        .events(session.id())
        .into_iter()
        .filter_map(|event| match event.body {
            EventBody::CommandSettled { command, outcome, .. } => Some((command, outcome)),
            _ => None,
        })
        .collect();
    assert_eq!(settled, [(1, Outcome::Abandoned)]);
}

#[tokio::test]
async fn what_is_only_prepared_is_one_event_when_allowed_and_two_when_not() {
    let world = World::new().await;
    let session = world.session().await;
    let Ruling::Forward(_, permit) = session.ask(session.seal(FRAME, writes("update orders").preparing())) else {
        panic!("refused")
    };
    drop(permit);
    let drops = command("drop table orders", Operation::new(Action::Drop, table("orders"))).preparing();
    assert!(matches!(session.ask(session.seal(FRAME, drops)), Ruling::Refuse(_)));
    world.settle(&session).await;
    let kinds: Vec<&str> = world
        .events(session.id())
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::CommandPrepared { command: 1, .. } => Some("prepared"),
            EventBody::CommandReceived { command: 2, .. } => Some("received"),
            EventBody::CommandDecided { command: 2, verdict: Effect::Deny, .. } => Some("denied"),
            EventBody::SessionStarted { .. } => None,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["prepared", "received", "denied"]);
}
