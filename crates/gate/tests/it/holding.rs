//! Waiting for people.

use crate::world::{BUNDLE, Patience, Sink, World, command, policy, reads, table};
use bytes::Bytes;
use jiff::Timestamp;
use portcullis_approvals::{Ballot, Desk, Vote};
use portcullis_audit::Durability;
use portcullis_gate::{Downstream, Hold, Ruling, Session, Settled};
use portcullis_model::{
    Action, AdminAction, CredentialKind, EventBody, Operation, Outcome, Parameter, Preview, Principal, Reason, RuleId,
};
use portcullis_store::MemoryTable;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tokio::task::JoinSet;

fn creates(session: &Session) -> Ruling<Bytes> {
    let create = command("create table t ()", Operation::new(Action::Create, table("t")));
    session.ask(session.seal(Bytes::from_static(b"create"), create))
}

fn held(session: &Session) -> Hold<Bytes> {
    match creates(session) {
        Ruling::Hold(hold) => hold,
        Ruling::Forward(..) => panic!("allowed"),
        Ruling::Refuse(denial) => panic!("refused: {}", denial.reason),
    }
}

/// The rule that holds.
pub(crate) fn ask() -> RuleId {
    RuleId { bundle: "shop".into(), rule: "ask-a-person".into() }
}

pub(crate) fn dba(user: &str) -> Principal {
    Principal {
        issuer: "https://idp".into(),
        subject: user.into(),
        user: user.into(),
        groups: BTreeSet::from([Arc::from("dba")]),
        claims: BTreeMap::new(),
        credential: CredentialKind::Oidc,
    }
}

pub(crate) async fn vote(world: &World, hold: portcullis_model::ApprovalId, ballot: Ballot) {
    let now = Timestamp::now();
    let vote = Vote::new(dba("dana"), now, now, ballot).unwrap();
    // The request is opened by the future that waits; it may not be there yet.
    let patience = Patience::begin();
    while world.desk.vote(hold, &vote).await.is_err() {
        patience.turn().await;
    }
}

#[tokio::test]
async fn where_nobody_can_vote_a_hold_is_refused_at_once() {
    let world = World::new().await;
    let session = world.session().await;
    let Ruling::Refuse(denial) = creates(&session) else { panic!("not refused") };
    assert!(matches!(denial.reason, Reason::ApprovalUnavailable { .. }));
}

/// The gateway's own limit counts where the rule's is longer, and only there: in what the client is told, too.
#[tokio::test]
async fn nobody_waits_longer_than_the_gateway_lets_them() {
    for (limit, expected) in [(Duration::from_secs(60), 60), (Duration::from_secs(3600), 600)] {
        let table = Arc::new(MemoryTable::new());
        let desk = Desk::open_at(table, "gateway-1", Arc::new(Timestamp::now)).await.unwrap();
        let world = World::waiting(Durability::Strict, desk, limit).await;
        let session = world.session().await;
        let hold = held(&session);
        assert_eq!(hold.terms()[0].expires, Duration::from_secs(expected));
        let approval = hold.approval();
        let shown = async {
            loop {
                match world.desk.show(approval).await {
                    Ok(shown) => break shown,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        let Ok(shown) = tokio::time::timeout(Duration::from_secs(60), async {
            tokio::select! { shown = shown => shown, _ = hold.settle() => panic!("settled") }
        })
        .await
        else {
            panic!("not asked")
        };
        assert_eq!(shown.deadline.duration_since(shown.request.created).as_secs(), i64::try_from(expected).unwrap());
    }
}

#[tokio::test]
async fn an_approved_command_passes_and_a_rejected_one_does_not() {
    let world = World::with_approvers().await;
    let session = world.session().await;
    let hold = held(&session);
    let approval = hold.approval();
    let (settled, ()) = tokio::join!(hold.settle(), vote(&world, approval, Ballot::Yes));
    let Settled::Forward(cleared, permit) = settled else { panic!("an approved command did not pass") };
    assert_eq!(cleared.weight(), 6);
    drop(permit);
    let hold = held(&session);
    let approval = hold.approval();
    let (settled, ()) = tokio::join!(hold.settle(), vote(&world, approval, Ballot::No));
    let Settled::Refuse(denial) = settled else { panic!("a rejected command passed") };
    assert_eq!(denial.reason, Reason::Rejected { approval, rule: ask(), by: "dana".into() });
}

#[tokio::test]
async fn what_people_said_yes_to_does_not_pass_where_the_record_cannot_say_so() {
    for durability in [Durability::Strict, Durability::Batched] {
        let table = Arc::new(MemoryTable::new());
        let desk = Desk::open_at(table, "gateway-1", Arc::new(Timestamp::now)).await.unwrap();
        let world = World::with(durability, desk).await;
        let (session, other) = (world.session().await, world.session().await);
        let hold = held(&session);
        let approval = hold.approval();
        let mut settling = JoinSet::new();
        settling.spawn(hold.settle());
        let patience = Patience::begin();
        while world.desk.show(approval).await.is_err() {
            patience.turn().await;
        }
        world.settle(&session).await;
        world.log.fill();
        let ruling = other.ask(other.seal(Bytes::new(), reads("select 1")));
        let mut watermark = world.recorder.durable();
        while !other.record_failed() {
            watermark.changed().await.unwrap();
        }
        vote(&world, approval, Ballot::Yes).await;
        let Settled::Refuse(denial) = settling.join_next().await.unwrap().unwrap() else {
            panic!("{durability:?}: passed unrecorded")
        };
        assert_eq!(denial.reason, Reason::RecordUnavailable);
        let voted = AdminAction::ApprovalVoted { approval, approve: true, grant_seconds: None };
        assert!(world.gate.changed(dba("dana"), voted).is_err(), "a vote counts as recorded");
        drop(ruling);
    }
}

/// An answer that proposed it, the gateway's own words about it, and its own answer: each waits for the votes.
#[tokio::test]
async fn nothing_of_an_approved_command_leaves_before_its_approval_is_durable() {
    let world = World::with_approvers().await;
    let session = world.session().await;
    let Ruling::Forward(_, before) = session.ask(session.seal(Bytes::new(), reads("select 1"))) else {
        panic!("not allowed")
    };
    let mut proposing = session.answer(Some(&before));
    let hold = held(&session);
    let approval = hold.approval();
    world.settle(&session).await;
    world.log.block();
    let (settled, ()) = tokio::join!(hold.settle(), vote(&world, approval, Ballot::Yes));
    let Settled::Forward(_, permit) = settled else { panic!("an approved command did not pass") };
    proposing.behind_newest();
    let frame = Bytes::from_static(b"x");
    let released = [
        proposing.release(frame.clone()),
        session.say(frame.clone()),
        session.answer(Some(&permit)).release(frame.clone()),
    ];
    let mut waiting = Vec::new();
    for released in released {
        let sink = Sink::default();
        let sent = Arc::clone(&sink.sent);
        let mut downstream = Downstream::new(sink, &session);
        downstream.push(released);
        let polled = futures_util::poll!(std::future::poll_fn(|cx| downstream.poll_send(cx)));
        let left = polled.is_ready() || sent.load(SeqCst) > 0;
        waiting.push((downstream, sent, left));
    }
    // A log that is blocked while the world ends would never let it end.
    world.log.release();
    for (number, (mut downstream, sent, left)) in waiting.into_iter().enumerate() {
        assert!(!left, "number {number} left");
        std::future::poll_fn(|cx| downstream.poll_send(cx)).await.unwrap();
        assert_eq!(sent.load(SeqCst), 1);
    }
    drop((before, permit));
}

#[tokio::test]
async fn who_is_asked_sees_what_is_sent_masked_as_in_the_record() {
    let world = World::with_approvers().await;
    world.gate.set_policy(policy(&format!(
        "{BUNDLE}\nmask:\n  - id: fields\n    json: [\"$..ssn\"]\n    with: redact\n    unless: {{ groups: [agents] }}\n\
           \x20 - id: cards\n    detect: [payment_card]\n    with: redact\n    unless: {{ groups: [agents] }}\n"
    )));
    let session = world.session().await;
    let parameter = |kind: &str, value: &str| Parameter { type_name: kind.into(), value: Some(value.into()) };
    let create =
        command("POST /t?of=4111111111111111", Operation::new(Action::Create, table("t"))).with_parameters(vec![
            parameter("json", r#"{"ssn":"1","n":2}"#),
            parameter("int4", "7"),
            parameter("text", "4111 1111 1111 1111"),
            parameter("text", &"x".repeat(20_000)),
        ]);
    let Ruling::Hold(hold) = session.ask(session.seal(Bytes::new(), create)) else { panic!("not held") };
    let approval = hold.approval();
    let seen = async {
        let patience = Patience::begin();
        let shown = loop {
            match world.desk.show(approval).await {
                Ok(shown) => break shown,
                Err(_) => patience.turn().await,
            }
        };
        vote(&world, approval, Ballot::No).await;
        shown.request
    };
    let (_, request) = tokio::join!(hold.settle(), seen);
    assert_eq!(request.text.as_str(), "POST /t?of=[redacted]");
    let cut = format!("{}… (3616 bytes more)", "x".repeat(16_384));
    assert_eq!(
        request.parameters,
        [
            parameter("json", r#"{"ssn":"[redacted]","n":2}"#),
            parameter("int4", "7"),
            parameter("text", "[redacted]"),
            parameter("text", &cut),
        ]
    );
}

#[tokio::test]
async fn policy_that_moved_on_during_the_wait_decides() {
    let world = World::with_approvers().await;
    let session = world.session().await;
    let hold = held(&session);
    let approval = hold.approval();
    let change = async {
        world.gate.set_policy(policy(
            &BUNDLE
                .replace("hold: { actions: [create]", "deny: { actions: [create]")
                .replace("    approvers: { groups: [dba] }\n    expires: 10m\n", ""),
        ));
        vote(&world, approval, Ballot::Yes).await;
    };
    let (settled, ()) = tokio::join!(hold.settle(), change);
    let Settled::Refuse(denial) = settled else { panic!("an approval overruled a deny rule") };
    assert!(matches!(denial.reason, Reason::Rule { .. }));
}

#[tokio::test]
async fn a_rule_that_asks_for_more_by_now_was_not_satisfied() {
    let world = World::with_approvers().await;
    let session = world.session().await;
    let hold = held(&session);
    let approval = hold.approval();
    let change = async {
        world.gate.set_policy(policy(&BUNDLE.replace("expires: 10m", "approvals: 2\n    expires: 10m")));
        vote(&world, approval, Ballot::Yes).await;
    };
    let (settled, ()) = tokio::join!(hold.settle(), change);
    let Settled::Refuse(denial) = settled else { panic!("one vote was enough for a rule that asks for two") };
    assert_eq!(denial.reason, Reason::Expired { approval, rule: ask() });
    // A rule that only asks for the same again changes nothing.
    world.gate.set_policy(policy(BUNDLE));
    let hold = held(&session);
    let approval = hold.approval();
    let change = async {
        world.gate.set_policy(policy(&BUNDLE.replace("id: reads", "id: reading")));
        vote(&world, approval, Ballot::Yes).await;
    };
    let (settled, ()) = tokio::join!(hold.settle(), change);
    let Settled::Forward(_, permit) = settled else { panic!("an approval did not count") };
    drop(permit);
}

/// What people said yes to goes on, where every frame of it is judged again because of a condition on the moment.
#[tokio::test]
async fn an_approved_command_goes_on_under_a_condition_on_the_moment() {
    let world = World::with_approvers().await;
    let rule = "  - id: hours\n    deny: { actions: [delete] }\n    when: now.getHours() < 8\n";
    world.gate.set_policy(policy(&format!("{BUNDLE}{rule}")));
    let session = world.session().await;
    let hold = held(&session);
    let approval = hold.approval();
    let (settled, ()) = tokio::join!(hold.settle(), vote(&world, approval, Ballot::Yes));
    let Settled::Forward(_, permit) = settled else { panic!("an approval did not count") };
    assert!(session.follow(&permit, Bytes::from_static(b"more")).is_ok());
    world.gate.set_policy(policy(&format!("{BUNDLE}{rule}").replace("expires: 10m", "approvals: 2\n    expires: 10m")));
    assert!(session.follow(&permit, Bytes::from_static(b"more")).is_err(), "it was approved under another policy");
    drop(permit);
}

#[tokio::test]
async fn leaving_withdraws_and_is_recorded() {
    let world = World::with_approvers().await;
    let session = world.session().await;
    drop(held(&session));
    let hold = held(&session);
    let mut settling = Box::pin(hold.settle());
    // Opened, then left.
    let patience = Patience::begin();
    while world.desk.list().await.unwrap().is_empty() {
        let polled = futures_util::poll!(&mut settling);
        assert!(polled.is_pending());
        patience.turn().await;
    }
    drop(settling);
    world.settle(&session).await;
    let outcomes: Vec<Outcome> = world
        .events(session.id())
        .into_iter()
        .filter_map(|event| match event.body {
            EventBody::CommandSettled { outcome, .. } => Some(outcome),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [Outcome::Withdrawn, Outcome::Withdrawn]);
}

#[tokio::test]
async fn what_it_would_write_is_for_those_who_decide_and_the_record() {
    let world = World::with_approvers().await;
    world.gate.set_policy(policy(&BUNDLE.replace("expires: 10m", "preview: count")));
    let session = world.session().await;
    let hold = held(&session);
    assert!(hold.counts_rows());
    let approval = hold.approval();
    let (settled, ()) = tokio::join!(hold.previewed(Preview::Count(7)).settle(), vote(&world, approval, Ballot::Yes));
    assert!(matches!(settled, Settled::Forward(..)));
    assert_eq!(world.desk.show(approval).await.unwrap().request.preview, Some(Preview::Count(7)));
    world.settle(&session).await;
    let recorded = world.events(session.id()).into_iter().find_map(|event| match event.body {
        EventBody::ApprovalRequested { preview, .. } => Some(preview),
        _ => None,
    });
    assert_eq!(recorded, Some(Some(Preview::Count(7))));
}
