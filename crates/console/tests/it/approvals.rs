//! Requests for approval at the API.
//!
//! Promises: whoever may not vote is told why and changes nothing; a vote that counts is in the record with who cast it.

use super::{World, world};
use hyper::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use portcullis_approvals::{Binding, Grant, Party, Request, Verdict};
use portcullis_audit::Watermark;
use portcullis_identity::Authenticated;
use portcullis_model::{
    AdminAction, ApprovalId, CredentialKind, DecisionId, EventBody, GrantId, HoldTerms, Name, Parameter, Preview,
    Principal, RuleId, SessionId, Text, TokenId,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn person(user: &str, group: &str, credential: CredentialKind) -> Authenticated {
    let principal = Principal {
        issuer: "https://idp.test".into(),
        subject: user.into(),
        user: user.into(),
        groups: [Arc::from(group)].into(),
        claims: BTreeMap::new(),
        credential,
    };
    Authenticated { principal, interactive: None, ..Authenticated::local_admin(None) }
}

/// Somebody who logged in this long ago.
fn logged_in(user: &str, group: &str, ago: i64) -> Authenticated {
    let at = Timestamp::now() - SignedDuration::from_secs(ago);
    Authenticated { interactive: Some(at), ..person(user, group, CredentialKind::Oidc) }
}

/// Asks for two people of the group `dba`.
async fn asked(world: &World) -> ApprovalId {
    asked_by(world, "agent-7").await
}

async fn asked_by(world: &World, user: &str) -> ApprovalId {
    let requester = person(user, "agents", CredentialKind::Token(TokenId::new())).principal;
    let terms = HoldTerms {
        rule: RuleId { bundle: "shop".into(), rule: "big".into() },
        groups: ["dba", "audit"].map(Arc::from).into(),
        users: [].into(),
        approvals: 2,
        expires: Duration::from_secs(600),
        valid: Duration::from_secs(60),
        in_transaction: false,
        grant: Some(Duration::from_secs(1800)),
        needs_reason: false,
        counts_rows: false,
    };
    let request = Request {
        id: ApprovalId::new(),
        decision: DecisionId { session: SessionId::new(), number: 1 },
        connection: Name::canonical("shop"),
        text: Text::plain("delete from orders where id = $1"),
        parameters: vec![Parameter { type_name: "int4".into(), value: Some("7".into()) }],
        operations: vec!["delete table public.orders".into()],
        reason: None,
        preview: Some(Preview::Count(7)),
        binding: Binding::of(&requester, &[("text", b"x")]),
        terms: vec![terms],
        requester,
        makers: vec![person("maker", "dba", CredentialKind::Oidc).principal],
        created: Timestamp::now(),
    };
    let id = request.id;
    world.api.desk.open(request).await.unwrap();
    id
}

#[tokio::test]
async fn only_a_fresh_login_of_somebody_named_votes_and_each_vote_is_recorded() {
    let world = world().await;
    let id = asked(&world).await;
    let path = format!("/api/v1/approvals/{id}/votes");
    let refused = [
        (person("dana", "dba", CredentialKind::Oidc), StatusCode::FORBIDDEN, "interactive"),
        (logged_in("dana", "dba", 301), StatusCode::FORBIDDEN, "log in again"),
        (logged_in("maker", "dba", 1), StatusCode::FORBIDDEN, "made the token"),
        (logged_in("agent-7", "dba", 1), StatusCode::FORBIDDEN, "whoever asked"),
        (logged_in("erin", "agents", 1), StatusCode::FORBIDDEN, "approver"),
        (logged_in("fay", "audit", 1), StatusCode::FORBIDDEN, "approver"),
        (logged_in("gil", "leads", 1), StatusCode::FORBIDDEN, "no rule"),
        (Authenticated::local_admin(Some("root")), StatusCode::FORBIDDEN, "approver"),
    ];
    let token = person("dana", "dba", CredentialKind::Token(TokenId::new()));
    let token = Authenticated { interactive: Some(Timestamp::now()), ..token };
    for (caller, expected, words) in refused.into_iter().chain([(token, StatusCode::FORBIDDEN, "interactive")]) {
        let who = caller.principal.user.clone();
        let (status, told) = world.asked_by(caller, Method::POST, &path, json!({ "approve": true })).await;
        assert_eq!(status, expected, "{who}: {told}");
        assert!(told.to_string().contains(words), "{who}: {told}");
    }
    let yes = json!({ "approve": true });
    let (status, told) = world.asked_by(logged_in("dana", "dba", 1), Method::POST, &path, yes.clone()).await;
    assert_eq!((status, told), (StatusCode::OK, json!({ "state": "open", "missing": 1 })));
    let again = world.asked_by(logged_in("Dana", "dba", 1), Method::POST, &path, yes.clone()).await;
    assert_eq!(again.0, StatusCode::CONFLICT, "{again:?}");
    let (status, told) = world.asked_by(logged_in("erin", "dba", 1), Method::POST, &path, yes.clone()).await;
    assert_eq!((status, told), (StatusCode::OK, json!({ "state": "approved", "missing": 0 })));
    let late = world.asked_by(logged_in("gus", "dba", 1), Method::POST, &path, yes).await;
    assert_eq!(late.0, StatusCode::CONFLICT, "{late:?}");
    assert!(matches!(world.api.desk.watch(id).await, Ok(Verdict::Approved { by }) if by.len() == 2));
    let mut durable = world.recorder.durable();
    while votes(&world).len() < 2 {
        durable.changed().await.unwrap();
    }
    assert_eq!(votes(&world), [("dana".to_owned(), true), ("erin".to_owned(), true)]);
}

#[tokio::test]
async fn a_vote_that_cannot_be_recorded_is_told_so_and_counts_for_nothing() {
    let world = world().await;
    let id = asked(&world).await;
    let path = format!("/api/v1/approvals/{id}/votes");
    let yes = || world.asked_by(logged_in("dana", "dba", 1), Method::POST, &path, json!({ "approve": true }));
    // Whatever is recorded next fails, and the record with it. It is no vote: where the record failed before it, on an
    // earlier event, a vote would withdraw the request that this is about.
    world.log.fill();
    world.local(Method::POST, "/api/v1/tokens", json!({ "user": "agent-8", "ttl": "30m" })).await;
    let mut durable = world.recorder.durable();
    durable.wait_for(|mark| matches!(mark, Watermark::Failed)).await.unwrap();
    let (status, told) = yes().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{told}");
    assert!(matches!(world.api.desk.watch(id).await, Ok(Verdict::Withdrawn)));
}

#[tokio::test]
async fn whoever_was_revoked_since_they_logged_in_neither_votes_nor_administers() {
    let world = world().await;
    let id = asked(&world).await;
    let admin = Authenticated::local_admin(Some("root"));
    let before = Some(Timestamp::now() - SignedDuration::from_secs(120));
    let login = |user: &str, group: &str| Authenticated { issued: before, ..logged_in(user, group, 120) };
    for user in ["dana", "pat"] {
        world.identity.revoke_oidc("https://idp.test", user, &admin, Timestamp::now()).await.unwrap();
    }
    let path = format!("/api/v1/approvals/{id}/votes");
    let person = json!({ "issuer": "https://idp.test", "subject": "root" });
    for (caller, path, body) in [
        (login("dana", "dba"), path.as_str(), json!({ "approve": true })),
        (login("dana", "dba"), &path, json!({ "approve": false })),
        (login("pat", "platform"), "/api/v1/tokens", json!({ "user": "agent-7" })),
        (login("pat", "platform"), "/api/v1/revocations", person),
    ] {
        let (status, told) = world.asked_by(caller, Method::POST, path, body).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}: {told}");
    }
    let (_, shown) = world.local(Method::GET, &format!("/api/v1/approvals/{id}"), Value::Null).await;
    assert_eq!((&shown["state"], &shown["votes"]), (&json!("open"), &json!([])), "{shown}");
    assert_eq!(world.identity.list_tokens().await.unwrap().len(), 0);
    let (status, told) = world.asked_by(login("erin", "dba"), Method::POST, &path, json!({ "approve": true })).await;
    assert_eq!(status, StatusCode::OK, "{told}");
}

/// Every vote in the record.
fn votes(world: &World) -> Vec<(String, bool)> {
    let (sessions, _) = world.recorder.reader().sessions(None, 10).unwrap();
    let events = sessions.iter().flat_map(|session| world.recorder.reader().events(session.id, 0));
    let votes = events.filter_map(|event| match event.unwrap().body {
        EventBody::AdminChanged { by, change: AdminAction::ApprovalVoted { approve, .. } } => {
            Some((by.user.to_string(), approve))
        }
        _ => None,
    });
    votes.collect()
}

#[tokio::test]
async fn what_waits_is_shown_whole_to_those_who_decide_and_to_auditors() {
    let world = world().await;
    let id = asked(&world).await;
    let show = format!("/api/v1/approvals/{id}");
    for caller in [logged_in("dana", "dba", 1), person("fay", "audit", CredentialKind::Oidc)] {
        let (status, shown) = world.asked_by(caller.clone(), Method::GET, &show, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{shown}");
        assert_eq!(shown.get("text"), Some(&json!("delete from orders where id = $1")));
        assert_eq!(shown.get("parameters"), Some(&json!([{ "type": "int4", "value": "7" }])));
        assert_eq!(shown.get("state"), Some(&json!("open")));
        let (_, listed) = world.asked_by(caller, Method::GET, "/api/v1/approvals", Value::Null).await;
        assert_eq!(listed, json!([shown]));
        assert_eq!(shown.get("preview"), Some(&json!({ "count": 7 })));
    }
    // Whoever asked, or made the token that asked, is not told how many rows match.
    for (own, caller) in [
        (id, person("maker", "dba", CredentialKind::Oidc)),
        (asked_by(&world, "dana").await, person("dana", "dba", CredentialKind::Oidc)),
    ] {
        let path = format!("/api/v1/approvals/{own}");
        let (status, shown) = world.asked_by(caller.clone(), Method::GET, &path, Value::Null).await;
        assert!(status == StatusCode::OK && shown.get("text").is_some() && shown.get("preview").is_none(), "{shown}");
        let (_, listed) = world.asked_by(caller, Method::GET, "/api/v1/approvals", Value::Null).await;
        assert!(listed.as_array().unwrap().contains(&shown), "{listed}");
    }
    let nobody = person("agent-7", "agents", CredentialKind::Oidc);
    assert_eq!(world.asked_by(nobody, Method::GET, &show, Value::Null).await.0, StatusCode::FORBIDDEN);
    let missing = format!("/api/v1/approvals/{}", ApprovalId::new());
    assert_eq!(world.local(Method::GET, &missing, Value::Null).await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.local(Method::GET, "/api/v1/approvals/7", Value::Null).await.0, StatusCode::BAD_REQUEST);
}

/// One requester's flood hides nobody else's request; what is over is cut where it is listed at all.
#[tokio::test]
async fn every_request_that_waits_is_listed_and_the_newest_of_those_that_are_over() {
    let world = world().await;
    let mut over = Vec::new();
    for _ in 0..4 {
        over.push(asked(&world).await.to_string());
        world.api.desk.withdraw(over.last().unwrap().parse().unwrap()).await.unwrap();
    }
    let first = asked_by(&world, "agent-7").await.to_string();
    let mut waiting = vec![first];
    for _ in 0..1100 {
        waiting.push(asked_by(&world, "agent-8").await.to_string());
    }
    over.push(asked(&world).await.to_string());
    world.api.desk.withdraw(over.last().unwrap().parse().unwrap()).await.unwrap();
    let list = async |query: &str| {
        let (status, listed) = world.local(Method::GET, &format!("/api/v1/approvals{query}"), Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{listed}");
        let ids = listed.as_array().unwrap().iter().map(|shown| shown["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    let with = |from: usize| [&over[from..4], &waiting, &over[4..]].concat();
    assert_eq!(list("").await, waiting);
    assert_eq!(list("?last=1").await, waiting);
    assert_eq!(list("?all=true").await, with(0));
    assert_eq!(list("?all=true&last=3").await, with(2));
    assert_eq!(list("?all=true&last=0").await, waiting);
}

#[tokio::test]
async fn a_vote_may_ask_for_a_grant_and_an_approver_or_an_administrator_may_end_one() {
    let world = world().await;
    let id = asked(&world).await;
    let path = format!("/api/v1/approvals/{id}/votes");
    let vote = |approve: bool, length: &str| json!({ "approve": approve, "for": length });
    for (body, expected) in [
        (vote(true, "soon"), "not a time"),
        (vote(true, "0s"), "not a time"),
        (vote(true, "-5m"), "not a time"),
        (vote(true, "31m"), "1800 s at most"),
        (vote(false, "5m"), "only a yes"),
    ] {
        let (status, told) = world.asked_by(logged_in("dana", "dba", 1), Method::POST, &path, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{told}");
        assert!(told.to_string().contains(expected), "{told}");
    }
    let (status, told) = world.asked_by(logged_in("dana", "dba", 1), Method::POST, &path, vote(true, "20m")).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let (_, shown) = world.local(Method::GET, &format!("/api/v1/approvals/{id}"), Value::Null).await;
    assert_eq!(shown["votes"][0]["grant"]["secs"], 1200, "{shown}");
    let grant = given(&world).await;
    let path = format!("/api/v1/grants/{grant}");
    let (_, listed) =
        world.asked_by(person("fay", "audit", CredentialKind::Oidc), Method::GET, "/api/v1/grants", Value::Null).await;
    assert_eq!((&listed[0]["id"], listed[0].get("ended")), (&json!(grant.to_string()), None), "{listed}");
    for other in [person("fay", "audit", CredentialKind::Oidc), person("agent-7", "agents", CredentialKind::Oidc)] {
        assert_eq!(world.asked_by(other, Method::DELETE, &path, Value::Null).await.0, StatusCode::FORBIDDEN);
    }
    let old = logged_in("dana", "dba", 9000);
    assert_eq!(world.asked_by(old.clone(), Method::DELETE, &path, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.asked_by(old, Method::DELETE, &path, Value::Null).await.0, StatusCode::CONFLICT);
    let missing = format!("/api/v1/grants/{}", GrantId::new());
    assert_eq!(world.local(Method::DELETE, &missing, Value::Null).await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.local(Method::DELETE, "/api/v1/grants/7", Value::Null).await.0, StatusCode::BAD_REQUEST);
    let (_, listed) = world.local(Method::GET, "/api/v1/grants", Value::Null).await;
    assert_eq!((&listed[0]["ended"], &listed[0]["revoked_by"]), (&json!("revoked"), &json!("dana")));
}

/// A grant at the world's desk.
async fn given(world: &World) -> GrantId {
    let now = Timestamp::now();
    let party = |user: &str| Party::of(&person(user, "dba", CredentialKind::Oidc).principal, None);
    let id = GrantId::new();
    let listed = world.api.desk.list().await.unwrap();
    let terms = listed.first().and_then(|shown| shown.request.terms.first()).unwrap().clone();
    let grant = Grant {
        id,
        approval: ApprovalId::new(),
        terms,
        holder: party("agent-7"),
        connection: Name::canonical("shop"),
        database: None,
        login: "app".into(),
        operations: Vec::new(),
        voters: vec![party("dana")],
        given: now,
        until: now + SignedDuration::from_secs(60),
    };
    world.api.desk.give(grant).await.unwrap();
    id
}
