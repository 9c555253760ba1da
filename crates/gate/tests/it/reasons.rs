//! Why a command is sent.

use crate::world::{BUNDLE, Patience, World, command, policy, table};
use bytes::Bytes;
use portcullis_gate::{Ruling, Session};
use portcullis_model::{Action, Command, EventBody, Operation, Reason};
use std::sync::Arc;

fn asks(reason: Option<&str>) -> Command {
    let mut command = command("create table t ()", Operation::new(Action::Create, table("t")));
    command.reason = reason.map(Arc::from);
    command
}

/// What people would be shown as the reason; `None` where nobody is asked.
async fn shown(world: &World, session: &Session, reason: Option<&str>) -> Result<Option<Arc<str>>, Reason> {
    match session.ask(session.seal(Bytes::new(), asks(reason))) {
        Ruling::Forward(..) => panic!("allowed"),
        Ruling::Refuse(denial) => Err(denial.reason),
        Ruling::Hold(hold) => {
            let approval = hold.approval();
            let mut settling = Box::pin(hold.settle());
            let patience = Patience::begin();
            loop {
                assert!(futures_util::poll!(&mut settling).is_pending());
                if let Ok(shown) = world.desk.show(approval).await {
                    return Ok(shown.request.reason);
                }
                patience.turn().await;
            }
        }
    }
}

#[tokio::test]
async fn where_a_rule_wants_a_reason_nobody_is_asked_without_one() {
    let world = World::with_approvers().await;
    world.gate.set_policy(policy(&BUNDLE.replace("expires: 10m", "reason: required\n    message: Speak with us.")));
    let session = world.session().await;
    for blank in [None, Some(""), Some(" \t\n")] {
        let Ruling::Refuse(denial) = session.ask(session.seal(Bytes::new(), asks(blank))) else {
            panic!("not refused")
        };
        assert!(matches!(&denial.reason, Reason::ReasonMissing { rule } if &*rule.rule == "ask-a-person"));
        let told = denial.told();
        assert!(told.next.is_some_and(|next| next.contains("portcullis.reason")), "{told:?}");
        assert!(told.decided.is_some_and(|decided| decided.contains("shop/ask-a-person, decision ")));
    }
    assert!(world.desk.list().await.unwrap().is_empty());
    assert_eq!(shown(&world, &session, Some(" because ")).await.unwrap().as_deref(), Some("because"));
    session.because("the ticket says so");
    assert_eq!(shown(&world, &session, None).await.unwrap().as_deref(), Some("the ticket says so"));
    assert_eq!(shown(&world, &session, Some("its own")).await.unwrap().as_deref(), Some("its own"));
    session.because("  ");
    assert!(shown(&world, &session, None).await.is_err(), "taken back");
    // Only preparing it asks nobody.
    let Ruling::Forward(_, permit) = session.ask(session.seal(Bytes::new(), asks(None).preparing())) else {
        panic!("not prepared")
    };
    drop(permit);
}

#[tokio::test]
async fn a_reason_is_shown_where_none_was_asked_for_and_nobody_misses_one() {
    let world = World::with_approvers().await;
    let session = world.session().await;
    assert_eq!(shown(&world, &session, None).await.unwrap(), None);
    assert_eq!(shown(&world, &session, Some("why not")).await.unwrap().as_deref(), Some("why not"));
    world.gate.set_policy(policy(&BUNDLE.replace("expires: 10m", "reason: optional")));
    assert_eq!(shown(&world, &session, None).await.unwrap(), None);
}

#[tokio::test]
async fn what_people_and_the_record_see_of_a_reason_is_masked_and_bounded() {
    let world = World::with_approvers().await;
    world.gate.set_policy(policy(&format!(
        "{BUNDLE}\nmask:\n  - id: cards\n    detect: [payment_card]\n    with: redact\n    unless: {{ groups: [agents] }}\n"
    )));
    let session = world.session().await;
    let card = "refund to 4111 1111 1111 1111, please";
    let seen = shown(&world, &session, Some(card)).await.unwrap().unwrap();
    assert!(!seen.contains("4111") && seen.contains("refund to") && seen.contains("please"), "{seen}");
    let long = "ü".repeat(2000);
    assert_eq!(shown(&world, &session, Some(&long)).await.unwrap().map(|seen| seen.len()), Some(1024));
    world.settle(&session).await;
    let recorded: Vec<Arc<str>> = world
        .events(session.id())
        .into_iter()
        .filter_map(|event| match event.body {
            EventBody::ApprovalRequested { reason, .. } => reason,
            _ => None,
        })
        .collect();
    assert_eq!(recorded[0], seen);
}
