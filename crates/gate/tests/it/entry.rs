//! Who enters, and what is recorded of those who do not.

use crate::world::{BUNDLE, World, policy, reads};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use portcullis_gate::{Extensions, NotEntered, Ruling};
use portcullis_identity::Authenticated;
use portcullis_model::{Effect, EventBody, Reason};

#[tokio::test]
async fn a_wrong_token_and_a_wrong_connection_get_nobody_in() {
    let world = World::new().await;
    assert!(matches!(world.arrive("shop", "nonsense".into()).await, Err(NotEntered::Identity { .. })));
    let (_, token) = world.token("agents").await;
    assert!(matches!(world.arrive("vault", token.clone()).await, Err(NotEntered::NoSuchConnection)));
    assert!(world.arrive("shop", token).await.is_ok());
    assert_eq!(world.gate.counts().refused_entries, 2);
}

#[tokio::test]
async fn a_session_is_for_a_login_that_its_connection_has() {
    let world = World::new().await;
    let (_, token) = world.token("agents").await;
    for (asked, got) in [(None, "app"), (Some("app"), "app"), (Some("owner"), "owner")] {
        let session = world.arrive_as("shop", asked, token.clone()).await.unwrap();
        assert_eq!((&*session.connection().login, &*session.lease().await.unwrap().username), (got, got));
        assert_eq!(session.extensions(), Extensions::all());
    }
    for login in ["postgres", ""] {
        let refused = world.arrive_as("shop", Some(login), token.clone()).await;
        assert!(matches!(refused, Err(NotEntered::NoSuchConnection)), "{login:?}");
    }
}

#[tokio::test]
async fn policy_that_says_nothing_for_a_principal_keeps_it_out() {
    let world = World::new().await;
    let (_, token) = world.token("strangers").await;
    assert!(matches!(world.arrive("shop", token).await, Err(NotEntered::Denied(_))));
}

#[tokio::test]
async fn one_principal_does_not_take_the_places_of_all() {
    let world = World::new().await;
    let (_, token) = world.token("agents").await;
    let (_, again) = world.token("agents").await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(world.arrive("shop", token.clone()).await.unwrap());
    }
    // Another token is of the same principal.
    for token in [&token, &again] {
        assert!(matches!(world.arrive("shop", token.clone()).await, Err(NotEntered::TooManySessions)));
    }
    let (_, other) = world.token_of("agent-8", "agents").await;
    assert!(world.arrive("shop", other).await.is_ok());
    open.pop();
    assert!(world.arrive("shop", token).await.is_ok());
}

#[tokio::test]
async fn without_a_record_nobody_enters() {
    let world = World::new().await;
    let (_, token) = world.token("agents").await;
    world.log.fill();
    // The record notices at its next commit; whoever comes meanwhile may enter, and can do nothing there.
    let mut watermark = world.recorder.durable();
    let first = world.arrive("shop", token.clone()).await;
    watermark.wait_for(|mark| *mark == portcullis_audit::Watermark::Failed).await.unwrap();
    assert!(matches!(world.arrive("shop", token).await, Err(NotEntered::RecordUnavailable)));
    if let Ok(session) = first {
        let pending = session.seal(Bytes::from_static(b"q"), reads("select 1 from orders"));
        let Ruling::Refuse(denial) = session.ask(pending) else { panic!("passed without a record") };
        assert_eq!(denial.reason, Reason::RecordUnavailable);
    }
}

#[tokio::test]
async fn a_revoked_token_ends_what_its_sessions_may_do() {
    let world = World::new().await;
    let (id, token) = world.token("agents").await;
    let session = world.arrive("shop", token).await.unwrap();
    let ask = |text| session.ask(session.seal(Bytes::from_static(b"q"), reads(text)));
    assert!(matches!(ask("select 1"), Ruling::Forward(..)));
    world.identity.revoke_token(id, &Authenticated::local_admin(None), Timestamp::now()).await.unwrap();
    let Ruling::Refuse(denial) = ask("select 2") else { panic!("passed with a revoked token") };
    assert_eq!(denial.reason, Reason::IdentityRevoked);
    let other = world.session().await;
    assert_eq!(world.gate.end_fallen(Timestamp::now()), 1);
    assert!(session.ended().is_cancelled() && !other.ended().is_cancelled());
    assert_eq!(world.gate.end_fallen(Timestamp::now()), 0, "it is ended once");
}

#[tokio::test]
async fn live_sessions_follow_policy_and_can_be_ended() {
    let world = World::new().await;
    let session = world.session().await;
    let ask = || session.ask(session.seal(Bytes::from_static(b"q"), reads("select 1")));
    let Ruling::Forward(_, permit) = ask() else { panic!("not allowed") };
    assert!(session.follow(&permit, Bytes::from_static(b"more")).is_ok());
    world.gate.set_policy(policy(&BUNDLE.replace("id: reads\n    allow", "id: reads\n    deny")));
    assert!(session.follow(&permit, Bytes::from_static(b"more")).is_err(), "a permit outlived its rule");
    assert!(matches!(ask(), Ruling::Refuse(_)));
    assert_eq!(world.gate.sessions().len(), 1);
    assert!(world.gate.kill(session.id()));
    session.ended().cancelled().await;
    drop((permit, session));
    assert!(world.gate.sessions().is_empty());
}

/// What was decided under a condition on the moment is not remembered past it.
#[tokio::test]
async fn a_permit_ends_with_the_hour_of_its_rule() {
    let world = World::new().await;
    let session = world.session().await;
    let ask = || session.ask(session.seal(Bytes::from_static(b"q"), reads("select 1")));
    let mut ahead = SignedDuration::from_millis(300);
    let (until, permit) = loop {
        let until = Timestamp::now() + ahead;
        let when = format!("    when: now >= timestamp(\"{until}\")\n");
        world.gate.set_policy(policy(&format!("{BUNDLE}  - id: over\n    deny: {{ actions: [read] }}\n{when}")));
        match ask() {
            Ruling::Forward(_, permit) => break (until, permit),
            Ruling::Refuse(_) | Ruling::Hold(_) => {
                assert!(Timestamp::now() >= until, "not allowed before its hour");
                // A busy machine asked too late: anew, with a later hour.
                ahead *= 4;
            }
        }
    };
    while Timestamp::now() < until {
        if session.follow(&permit, Bytes::from_static(b"more")).is_err() {
            assert!(Timestamp::now() >= until, "refused too early");
        }
        tokio::task::yield_now().await;
    }
    let Err(stale) = session.follow(&permit, Bytes::from_static(b"more")) else { panic!("a permit outlived its hour") };
    assert!(matches!(stale.denial.reason, Reason::Rule { .. }));
    assert!(matches!(ask(), Ruling::Refuse(_)));
}

#[tokio::test]
async fn a_session_is_recorded_from_its_start_to_its_end() {
    let world = World::new().await;
    let session = world.session().await;
    let id = session.id();
    let Ruling::Forward(_, permit) = session.ask(session.seal(Bytes::new(), reads("select 1"))) else {
        panic!("not allowed")
    };
    drop(permit);
    world.settle(&session).await;
    session.end("terminated");
    let other = world.session().await;
    world.settle(&other).await;
    let events = world.events(id);
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| match &event.body {
            EventBody::SessionStarted { .. } => "started",
            EventBody::CommandReceived { .. } => "received",
            EventBody::CommandDecided { verdict: Effect::Allow, .. } => "allowed",
            EventBody::CommandSettled { .. } => "settled",
            EventBody::SessionEnded { .. } => "ended",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["started", "received", "allowed", "settled", "ended"]);
}
