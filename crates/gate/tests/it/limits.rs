//! How many rows a command may write: what passes, under which obligation, and what is said of what exceeds it.

use crate::world::{World, policy, writes};
use bytes::Bytes;
use portcullis_gate::{Permit, Ruling, Session};
use portcullis_model::{Command, Counted, EventBody, Outcome, Reason};

const FRAME: Bytes = Bytes::from_static(b"frame");

fn bundle(more: &str) -> String {
    format!(
        "bundle: shop\napplies_to: {{ connections: [shop], principals: {{ groups: [agents] }} }}\nrules:\n  \
         - id: few\n    allow: {{ actions: [update], objects: [\"table public.*\"] }}\n    max_rows: 3\n    \
         message: Three at a time.\n{more}"
    )
}

fn counted(counted: Counted) -> Command {
    let mut command = writes("update orders");
    command.counted = counted;
    command
}

fn permit(session: &Session, command: Command) -> Result<Permit, Reason> {
    match session.ask(session.seal(FRAME, command)) {
        Ruling::Forward(_, permit) => Ok(permit),
        Ruling::Refuse(denial) => Err(denial.reason),
        Ruling::Hold(_) => panic!("held"),
    }
}

#[tokio::test]
async fn what_is_not_counted_is_refused() {
    let world = World::new().await;
    let outer = || Counted::Outer { why: "a trigger may write more".into() };
    for (more, command, passes) in [
        ("", counted(Counted::Whole), true),
        ("", counted(outer()), false),
        ("    cascades: ignore\n", counted(outer()), true),
        ("    cascades: ignore\n", writes("update orders"), false),
        ("", writes("update orders"), false),
    ] {
        world.gate.set_policy(policy(&bundle(more)));
        let session = world.session().await;
        match permit(&session, command) {
            Ok(permit) => {
                assert!(passes && permit.is_limited());
                session.settle(permit, Outcome::REFUSED, None);
            }
            Err(reason) => assert!(!passes && matches!(reason, Reason::Uncounted { .. }), "{reason}"),
        }
    }
}

#[tokio::test]
async fn what_writes_nothing_and_what_another_rule_allows_has_no_limit() {
    let world = World::new().await;
    world.gate.set_policy(policy(&bundle("")));
    let session = world.session().await;
    let nothing = permit(&session, counted(Counted::Nothing)).unwrap();
    assert!(!nothing.is_limited() && nothing.exceeds(Some(u64::MAX)).is_none());
    world
        .gate
        .set_policy(policy(&bundle("  - id: all\n    allow: { actions: [update], objects: [\"table public.*\"] }\n")));
    assert!(!permit(&session, writes("update orders")).unwrap().is_limited());
}

#[tokio::test]
async fn a_count_decides_and_one_that_was_not_told_is_too_many() {
    let world = World::new().await;
    world.gate.set_policy(policy(&bundle("")));
    let session = world.session().await;
    let permit = permit(&session, counted(Counted::Whole)).unwrap();
    assert!(permit.exceeds(Some(0)).is_none() && permit.exceeds(Some(3)).is_none());
    let denial = permit.exceeds(Some(4)).unwrap();
    assert_eq!(denial.rule().map(ToString::to_string).as_deref(), Some("shop/few"));
    assert_eq!(denial.decision.map(|id| id.number), Some(1));
    assert_eq!(denial.next_step(), "Three at a time.");
    assert!(denial.told().headline.contains("write 3 rows, and this one wrote 4"), "{:?}", denial.told());
    assert!(matches!(permit.exceeds(None).unwrap().reason, Reason::Uncounted { .. }));
    session.settle(permit, Outcome::Refused { undone: Some(4) }, None);
    world.settle(&session).await;
    let events = world.events(session.id());
    let limit = events.iter().find_map(|event| match &event.body {
        EventBody::CommandDecided { limit, .. } => limit.as_ref().map(|limit| (limit.rule.to_string(), limit.rows)),
        _ => None,
    });
    assert_eq!(limit, Some(("shop/few".to_owned(), 3)));
    let undone = |event: &portcullis_model::Event| {
        matches!(event.body, EventBody::CommandSettled { outcome: Outcome::Refused { undone: Some(4) }, .. })
    };
    assert!(events.iter().any(undone));
}

#[tokio::test]
async fn a_limit_that_is_stricter_by_now_is_a_refusal() {
    let world = World::new().await;
    let session = world.session().await;
    world.gate.set_policy(policy(&bundle("").replace("max_rows: 3", "max_rows: 9")));
    let permit = permit(&session, counted(Counted::Whole)).unwrap();
    assert!(session.follow(&permit, FRAME).is_ok());
    world.gate.set_policy(policy(&bundle("")));
    let denial = session.follow(&permit, FRAME).map(|_| ()).map_err(|stale| stale.denial).unwrap_err();
    assert!(matches!(denial.reason, Reason::Uncounted { .. }));
    world.gate.set_policy(policy(&bundle("").replace("max_rows: 3", "max_rows: 90")));
    assert!(session.follow(&permit, FRAME).is_ok(), "a larger one does not matter");
    session.settle(permit, Outcome::REFUSED, None);
}
