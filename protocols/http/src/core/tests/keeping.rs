//! Clients that are kept while people decide about their requests.

use super::rig::{House, Rig};
use super::{ASK, BUNDLE, EVENTS, MESSAGES, policy, stream};
use crate::api::Api;
use crate::error::Error;
use portcullis_approvals::Ballot;

/// A model that people are asked about.
async fn house() -> House {
    let house = House::new().await;
    let held = BUNDLE.replace("allow: { actions: [generate]", "hold: { actions: [generate]");
    house.gate.set_policy(policy(&held.replace("\"model *\"] }", "\"model *\"] }\n    approvers: { groups: [dba] }")));
    house
}

/// A streamed request that has waited for a while.
async fn kept(house: &House) -> Rig {
    let mut rig = house.exchange(Api::Anthropic).await;
    rig.ask("POST", MESSAGES, ASK).await;
    assert!(rig.is_held() && rig.told.status == 0, "{:?}", rig.told);
    for _ in 0..2 {
        rig.waited().await;
    }
    assert_eq!((rig.told.status, rig.told.ended), (200, None));
    assert_eq!(rig.told.headers["content-type"], "text/event-stream; charset=utf-8");
    let waiting = rig.told.body.matches(": waiting for approval ").count();
    assert!(waiting == 2 && rig.sent.is_empty(), "{}", rig.told.body);
    rig.told.body.clear();
    rig
}

#[tokio::test]
async fn a_stream_that_waits_begins_with_comments_and_goes_on_with_the_answer() {
    let house = house().await;
    let mut rig = kept(&house).await;
    rig.decided(&house, Ballot::Yes).await;
    assert!(rig.sent.len() == 1 && rig.told.body.is_empty(), "{}", rig.told.body);
    rig.answer(200, EVENTS, None, stream("the answer", None).as_bytes()).await;
    rig.end().await;
    assert_eq!(rig.told.ended, Some(true));
    assert!(rig.told.body.starts_with("event: message_start") && rig.told.body.contains("the answer"));
    assert!(rig.told.body.contains("message_stop") && !rig.told.body.contains("event: error"), "{}", rig.told.body);
}

#[tokio::test]
async fn whatever_else_comes_of_it_is_an_error_event() {
    let house = house().await;
    let mut rejected = kept(&house).await;
    rejected.decided(&house, Ballot::No).await;
    assert!(rejected.sent.is_empty() && rejected.told.ended == Some(true));
    let mut over_budget = house.exchange(Api::Anthropic).await;
    over_budget.ask("POST", MESSAGES, &ASK.replace("\"max_tokens\":100", "\"max_tokens\":5000")).await;
    over_budget.waited().await;
    over_budget.decided(&house, Ballot::Yes).await;
    let mut unreachable = kept(&house).await;
    unreachable.decided(&house, Ballot::Yes).await;
    unreachable.broken(Error::Credential("none".into())).await;
    let mut overloaded = kept(&house).await;
    overloaded.decided(&house, Ballot::Yes).await;
    let body = br#"{"type":"error","error":{"type":"overloaded_error","message":"later"}}"#;
    overloaded.answer(529, "application/json", None, body).await;
    overloaded.end().await;
    assert!(overloaded.told.body.contains("later"), "{}", overloaded.told.body);
    let mut strange = kept(&house).await;
    strange.decided(&house, Ballot::Yes).await;
    strange.answer(204, "text/plain", None, b"").await;
    for rig in [rejected, over_budget, unreachable, overloaded, strange] {
        let (_, event) = rig.told.body.rsplit_once("event: error\ndata: ").unwrap();
        let said: serde_json::Value = serde_json::from_str(event.trim_end()).unwrap();
        assert!(event.ends_with("\n\n") && said["error"]["message"].is_string(), "{event}");
        assert!(rig.told.ended.is_some() && !rig.told.body.contains("message_stop"), "{}", rig.told.body);
    }
}

#[tokio::test]
async fn what_is_decided_soon_or_asks_for_no_stream_has_a_status_of_its_own() {
    let house = house().await;
    let mut soon = house.exchange(Api::Anthropic).await;
    soon.ask("POST", MESSAGES, ASK).await;
    soon.decided(&house, Ballot::No).await;
    assert_eq!(soon.told.status, 403);
    let mut whole = house.exchange(Api::Anthropic).await;
    whole.ask("POST", MESSAGES, &ASK.replace("\"stream\":true", "\"stream\":false")).await;
    let mut service = house.exchange(Api::Rest).await;
    service.ask("POST", "/orders", "{}").await;
    for rig in [&mut whole, &mut service] {
        assert!(rig.is_held());
        rig.waited().await;
        assert!(rig.told.status == 0 && rig.told.body.is_empty());
        rig.decided(&house, Ballot::No).await;
        assert_eq!(rig.told.status, 403);
    }
}
