//! Waits that end before people have decided.

use crate::holding::{ask, dba, vote};
use crate::world::{BUNDLE, Patience, World, command, policy, table};
use bytes::Bytes;
use jiff::Timestamp;
use portcullis_approvals::{Ballot, LEFT, Vote};
use portcullis_gate::{Hold, LeftOpen, Ruling, Session, Settled, Waited};
use portcullis_model::{Action, ApprovalId, Digest, EventBody, Operation, Outcome, Reason};
use std::time::Duration;

const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

fn hold(session: &Session, text: &str) -> Hold<Bytes> {
    let create = command(text, Operation::new(Action::Create, table("t")));
    match session.ask(session.seal(Bytes::from_static(b"create"), create)) {
        Ruling::Hold(hold) => hold,
        Ruling::Forward(..) => panic!("allowed"),
        Ruling::Refuse(denial) => panic!("refused: {}", denial.reason),
    }
}

async fn left(session: &Session, text: &str) -> LeftOpen {
    match hold(session, text).settle_within(AT_ONCE).await {
        Waited::Left(left) => left,
        Waited::Settled(settled) => panic!("{}", said(&settled)),
    }
}

fn said(settled: &Settled<Bytes>) -> String {
    match settled {
        Settled::Forward(..) => "forwarded".into(),
        Settled::Refuse(denial) => denial.reason.to_string(),
    }
}

async fn settled(session: &Session, text: &str) -> Settled<Bytes> {
    match hold(session, text).settle_within(AT_ONCE).await {
        Waited::Settled(settled) => settled,
        Waited::Left(left) => panic!("{} waits", left.approval),
    }
}

async fn open(world: &World) -> Vec<ApprovalId> {
    let listed = world.desk.list().await.unwrap().into_iter();
    listed.filter(|shown| shown.state == portcullis_approvals::State::Open).map(|shown| shown.request.id).collect()
}

/// What the record says of approvals and outcomes.
async fn told(world: &World, session: &Session) -> Vec<String> {
    world.settle(session).await;
    let line = |body: EventBody| match body {
        EventBody::ApprovalRequested { command, .. } => Some(format!("{command} requested")),
        EventBody::ApprovalSettled { command, verdict, .. } => Some(format!("{command} {verdict}")),
        EventBody::CommandSettled { command, outcome: Outcome::Refused { .. }, .. } => {
            Some(format!("{command} refused"))
        }
        EventBody::CommandSettled { command, outcome, .. } => Some(format!("{command} {outcome:?}")),
        _ => None,
    };
    world.events(session.id()).into_iter().filter_map(|event| line(event.body)).collect()
}

#[tokio::test]
async fn the_same_command_finds_what_was_left_and_passes_once_after_the_approval() {
    let world = World::with_approvers().await;
    let (_, token) = world.token("agents").await;
    let session = world.arrive("shop", token.clone()).await.unwrap();
    let first = left(&session, "create table t ()").await;
    assert_eq!(left(&session, "create table t ()").await.approval, first.approval);
    assert_eq!(open(&world).await, [first.approval]);
    assert_eq!(
        told(&world, &session).await,
        ["1 requested", "1 left", "1 refused", "2 left", "2 refused"],
        "one request"
    );
    drop(session);
    vote(&world, first.approval, Ballot::Yes).await;
    // Another session of the same token.
    let session = world.arrive("shop", token).await.unwrap();
    let Settled::Forward(cleared, permit) = settled(&session, "create table t ()").await else { panic!("refused") };
    assert_eq!(cleared.weight(), 6);
    session.settle(permit, Outcome::Completed { status: "x".into(), rows: 0, bytes: 0 }, None);
    let next = left(&session, "create table t ()").await;
    assert_ne!(next.approval, first.approval, "it was used");
    let told = told(&world, &session).await;
    assert_eq!(told[0], "1 approved");
    assert_eq!(told[2..], ["2 requested", "2 left", "2 refused"]);
}

#[tokio::test]
async fn of_many_of_the_same_at_once_one_asks_and_one_is_forwarded() {
    let world = World::with_approvers().await;
    let session = world.session().await;
    let at_once = || futures_util::future::join_all((0..8).map(|_| hold(&session, "a").settle_within(AT_ONCE)));
    let asked = at_once().await;
    let ids: Vec<_> = asked
        .iter()
        .map(|waited| match waited {
            Waited::Left(left) => left.approval,
            Waited::Settled(settled) => panic!("{}", said(settled)),
        })
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(open(&world).await, [ids[0]]);
    vote(&world, ids[0], Ballot::Yes).await;
    let again = at_once().await;
    let forwarded = again.iter().filter(|waited| matches!(waited, Waited::Settled(Settled::Forward(..)))).count();
    let others = again.iter().filter(|waited| matches!(waited, Waited::Left(_))).count();
    assert_eq!((forwarded, others), (1, 7));
    assert_eq!(open(&world).await.len(), 1, "the others ask anew, together");
}

#[tokio::test]
async fn another_command_proof_or_policy_finds_nothing() {
    let world = World::with_approvers().await;
    let session = world.session().await;
    let first = left(&session, "a").await;
    vote(&world, first.approval, Ballot::Yes).await;
    assert_ne!(left(&session, "b").await.approval, first.approval);
    // The same user with another token.
    let other = world.session().await;
    assert_ne!(left(&other, "a").await.approval, first.approval);
    // What people said yes to was less.
    world.gate.set_policy(policy(&BUNDLE.replace("    expires: 10m\n", "    expires: 10m\n    approvals: 2\n")));
    assert_ne!(left(&session, "a").await.approval, first.approval);
    // Denied by now.
    world.gate.set_policy(policy(BUNDLE));
    let second = left(&session, "c").await;
    vote(&world, second.approval, Ballot::Yes).await;
    let held = hold(&session, "c");
    let stricter = BUNDLE.replace("hold: { actions: [create]", "deny: { actions: [create]");
    world.gate.set_policy(policy(&stricter.replace("    approvers: { groups: [dba] }\n    expires: 10m\n", "")));
    let Waited::Settled(Settled::Refuse(denial)) = held.settle_within(AT_ONCE).await else { panic!("not refused") };
    assert!(matches!(denial.reason, Reason::Rule { .. }));
}

#[tokio::test]
async fn a_no_refuses_the_same_command_and_a_withdrawal_lets_it_ask_anew() {
    let world = World::with_approvers().await;
    let session = world.session().await;
    let first = left(&session, "a").await;
    vote(&world, first.approval, Ballot::No).await;
    let Settled::Refuse(denial) = settled(&session, "a").await else { panic!("a rejected command passed") };
    assert_eq!(denial.reason, Reason::Rejected { approval: first.approval, rule: ask(), by: "dana".into() });
    let second = left(&session, "b").await;
    world.desk.withdraw(second.approval).await.unwrap();
    assert_ne!(left(&session, "b").await.approval, second.approval);
}

#[tokio::test]
async fn who_waits_for_what_was_left_gets_it_or_leaves_it_as_it_is() {
    let world = World::with_approvers().await;
    let session = world.session().await;
    let first = left(&session, "a").await;
    // Gone before people decide.
    let waiting = hold(&session, "a");
    let watched = waiting.waits_for();
    assert_ne!(*watched.borrow(), first.approval);
    let mut settling = Box::pin(waiting.settle_within(None));
    let patience = Patience::begin();
    while *watched.borrow() != first.approval {
        assert!(futures_util::poll!(&mut settling).is_pending());
        patience.turn().await;
    }
    drop(settling);
    assert_eq!(told(&world, &session).await[3..], ["2 left", "2 Withdrawn"]);
    assert_eq!(open(&world).await, [first.approval]);
    // There when they do.
    let decide = async {
        let (now, mut voted) = (Timestamp::now(), false);
        let patience = Patience::begin();
        while !voted {
            patience.turn().await;
            let ballot = Vote::new(dba("dana"), now, now, Ballot::Yes).unwrap();
            voted = world.desk.vote(first.approval, &ballot).await.is_ok();
        }
    };
    let (waited, ()) = tokio::join!(hold(&session, "a").settle_within(None), decide);
    assert!(matches!(waited, Waited::Settled(Settled::Forward(..))));
}

#[tokio::test(start_paused = true)]
async fn a_patience_that_ends_leaves_the_request_open_and_a_client_that_goes_withdraws_it() {
    let world = World::with_approvers().await;
    let session = world.session().await;
    let began = tokio::time::Instant::now();
    let Waited::Left(left) = hold(&session, "a").settle_within(Some(Duration::from_secs(50))).await else {
        panic!("settled")
    };
    assert_eq!(began.elapsed().as_secs(), 50);
    assert_eq!(open(&world).await, [left.approval]);
    assert_eq!(left.decision.number, 1);
    let gone = hold(&session, "b");
    let approval = gone.approval();
    let mut settling = Box::pin(gone.settle_within(Some(Duration::from_secs(50))));
    let patience = Patience::begin();
    while world.desk.show(approval).await.is_err() {
        assert!(futures_util::poll!(&mut settling).is_pending());
        patience.turn().await;
    }
    drop(settling);
    while open(&world).await.len() > 1 {
        patience.turn().await;
    }
    assert_eq!(open(&world).await, [left.approval]);
}

#[tokio::test]
async fn what_is_the_same_may_differ_in_its_bytes_where_its_protocol_says_so() {
    let world = World::with_approvers().await;
    let session = world.session().await;
    let same = Digest::of(b"the same");
    let numbered = async |text: &str, same| match hold(&session, text).same_by(same).settle_within(AT_ONCE).await {
        Waited::Left(left) => left.approval,
        Waited::Settled(settled) => panic!("{}", said(&settled)),
    };
    let first = numbered("1 a", same).await;
    assert_eq!(numbered("2 a", same).await, first);
    assert_ne!(numbered("1 a", Digest::of(b"another")).await, first);
    assert_ne!(left(&session, "1 a").await.approval, first);
}

#[tokio::test]
async fn a_principal_that_leaves_too_many_is_refused_and_nothing_stays_open() {
    let world = World::with_approvers().await;
    let session = world.session().await;
    for number in 0..LEFT {
        let _left = left(&session, &number.to_string()).await;
    }
    let Settled::Refuse(denial) = settled(&session, "one more").await else { panic!("not refused") };
    assert!(denial.next_step().contains("wait for people already"), "{}", denial.next_step());
    let patience = Patience::begin();
    while open(&world).await.len() > LEFT {
        patience.turn().await;
    }
}
