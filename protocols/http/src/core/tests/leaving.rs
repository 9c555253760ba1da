//! Requests whose clients do not stay while people decide.

use super::rig::{House, Rig};
use crate::api::Api;
use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_approvals::Ballot;
use portcullis_model::ApprovalId;
use std::time::Duration;

const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

/// The approval that an answer names.
fn named(rig: &Rig) -> ApprovalId {
    let (_, rest) = rig.told.body.split_once("approval ").unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}

fn call(id: u32, tool: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{}},"_meta":{{"progressToken":{id}}}}}}}"#
    )
}

#[tokio::test]
async fn a_client_that_does_not_stay_is_told_what_it_waits_for_and_passes_when_it_asks_again() {
    let house = House::new().await;
    let mut rig = house.exchange(Api::Rest).await;
    rig.ask_within(AT_ONCE, "POST", "/orders", "{}").await;
    rig.over().await;
    assert_eq!((rig.told.status, rig.told.ended, rig.sent.len()), (409, Some(true), 0));
    assert_eq!(rig.told.headers.get("x-should-retry").unwrap(), "false");
    assert!(rig.told.headers.contains_key("retry-after"));
    let approval = named(&rig);
    let said: serde_json::Value = serde_json::from_str(&rig.told.body).unwrap();
    assert_eq!((said["approval"].as_str(), said["rule"].as_str()), (Some(&*approval.to_string()), Some("test/ask")));
    assert!(rig.told.body.contains("group dba") && rig.told.body.contains("again"), "{}", rig.told.body);
    let mut again = rig.another(Api::Rest);
    again.ask_within(AT_ONCE, "POST", "/orders", "{}").await;
    again.over().await;
    assert_eq!((again.told.status, named(&again)), (409, approval));
    house.vote(approval, Ballot::Yes).await;
    // Also one that would stay.
    let mut last = rig.another(Api::Rest);
    last.ask("POST", "/orders", "{}").await;
    last.over().await;
    assert_eq!(last.sent.len(), 1, "{:?}", last.told);
    last.gone().await;
    let told = house.told(&rig).await;
    assert_eq!(told[..4], ["1 POST /orders", "1 hold", "1 vote left", "1 refused"]);
    assert!(told.contains(&"3 vote approved".to_owned()), "{told:?}");
    let mut next = rig.another(Api::Rest);
    next.ask_within(AT_ONCE, "POST", "/orders", "{}").await;
    next.over().await;
    assert!(next.told.status == 409 && named(&next) != approval, "it was used");
}

#[tokio::test]
async fn each_api_says_it_in_its_own_shape() {
    let house = House::new().await;
    let held = super::BUNDLE.replace("allow: { actions: [generate]", "hold: { actions: [generate]");
    let held = held.replace("\"model *\"] }", "\"model *\"] }\n    approvers: { users: [erin] }");
    house.gate.set_policy(super::policy(&held));
    let mut rig = house.exchange(Api::Anthropic).await;
    rig.ask_within(AT_ONCE, "POST", super::MESSAGES, super::ASK).await;
    rig.over().await;
    assert_eq!(rig.told.status, 409);
    let said: serde_json::Value = serde_json::from_str(&rig.told.body).unwrap();
    let message = said["error"]["message"].as_str().unwrap();
    assert!(message.contains(&named(&rig).to_string()) && message.contains("erin"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_tool_call_that_nobody_decides_about_in_time_passes_when_it_is_made_again() {
    let house = House::new().await;
    let mut rig = house.exchange(Api::Mcp).await;
    rig.ask("POST", "/", &call(1, "wipe")).await;
    assert!(rig.is_held(), "{:?}", rig.told);
    let began = tokio::time::Instant::now();
    rig.over().await;
    assert_eq!(began.elapsed().as_secs(), 50);
    assert_eq!((rig.told.status, rig.told.ended, rig.sent.len()), (200, Some(true), 0));
    assert!(rig.told.body.contains("\"isError\":true"), "{}", rig.told.body);
    let approval = named(&rig);
    let told = house.told(&rig).await;
    assert_eq!(told[1..], ["1 hold", "1 vote left", "1 refused"]);
    house.vote(approval, Ballot::Yes).await;
    // It has another number by then.
    let mut again = rig.another(Api::Mcp);
    again.ask("POST", "/", &call(2, "wipe")).await;
    again.over().await;
    assert_eq!(again.sent.len(), 1, "{:?}", again.told);
    again.gone().await;
}

/// Instrumented clients write a new place in a trace each time.
#[tokio::test]
async fn a_request_is_found_again_in_another_trace_and_not_with_another_header() {
    let headers = |span: &str, more: &[(&'static str, &'static str)]| -> HeaderMap {
        let parent = format!("00-0af7651916cd43dd8448eb211c80319c-{span}-01");
        let traced = [("traceparent", parent.as_str()), ("tracestate", span)];
        let all = traced.into_iter().chain(more.iter().copied());
        all.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
    };
    let (first, second) = ("b7ad6b7169203331", "00f067aa0ba902b7");
    for (api, path, body) in [
        (Api::Rest, "/orders", "{}".to_owned()),
        (Api::Rest, "/orders", String::new()),
        (Api::Mcp, "/", call(1, "wipe")),
    ] {
        let house = House::new().await;
        let mut rig = house.exchange(api).await;
        let mut left = Vec::new();
        for headers in [headers(first, &[]), headers(second, &[("accept", "text/x")]), headers("rm", &[])] {
            let mut one = rig.another(api);
            one.ask_with(headers, AT_ONCE, "POST", path, &body).await;
            one.over().await;
            left.push(named(&one));
        }
        assert!(left[0] != left[1] && left[0] != left[2] && left[1] != left[2], "{left:?}");
        house.vote(left[0], Ballot::Yes).await;
        for (more, sent) in [(&[("accept", "text/y")][..], 0), (&[][..], 1)] {
            let mut again = rig.another(api);
            again.ask_with(headers(second, more), AT_ONCE, "POST", path, &body).await;
            again.over().await;
            assert_eq!(again.sent.len(), sent, "{:?}", again.told);
            // What is sent is what came.
            assert!(again.sent.iter().all(|sent| sent.header("tracestate") == Some(second)));
            again.gone().await;
        }
        rig.gone().await;
    }
}

#[tokio::test]
async fn what_people_rejected_is_refused_when_it_is_asked_again() {
    let house = House::new().await;
    let mut rig = house.exchange(Api::Rest).await;
    rig.ask_within(AT_ONCE, "POST", "/orders", "{}").await;
    rig.over().await;
    house.vote(named(&rig), Ballot::No).await;
    let mut again = rig.another(Api::Rest);
    again.ask_within(AT_ONCE, "POST", "/orders", "{}").await;
    again.over().await;
    assert_eq!((again.told.status, again.sent.len()), (403, 0), "{:?}", again.told);
}
