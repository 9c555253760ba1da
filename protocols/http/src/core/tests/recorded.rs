//! What the record gets of a model's answer through the gate, beside what the client gets.

use super::rig::House;
use super::{ASK, BUNDLE, EVENTS, MESSAGES, asked, policy, stream};
use crate::api::Api;
use portcullis_approvals::Ballot;
use std::io::Write as _;

const SSN: &str = "123-45-6789";

/// A house whose masks are about fields; `unless` exempts the callers of a group.
async fn house(unless: &str) -> House {
    let house = House::new().await;
    let mask = format!("mask:\n  - {{ id: fields, json: [\"$..ssn\"], with: redact{unless} }}\n");
    house.gate.set_policy(policy(&format!("{BUNDLE}{mask}")));
    house
}

/// The answers in which a document stands in a line of its own: whole and streamed.
fn answers() -> Vec<(bool, String)> {
    let said = serde_json::Value::from(format!("Let me see:\n{{\"ssn\":\"{SSN}\"}}")).to_string();
    let thinking = format!(r#"{{"type":"thinking","thinking":{said},"signature":"c2ln"}}"#);
    let found =
        format!(r#"{{"type":"mcp_tool_result","tool_use_id":"x","content":[{{"type":"text","text":{said}}}]}}"#);
    let whole = |block: &str| {
        format!(
            r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude-small","content":[{block}],"stop_reason":"end_turn","usage":{{"input_tokens":1,"output_tokens":1}}}}"#
        )
    };
    let text = r#"{"type":"text","text":""}"#;
    let delta = |kind: &str, member: &str| format!(r#"{{"type":"{kind}","{member}":{said}}}"#);
    let streamed = |start: &str, delta: &str| {
        let plain = stream("x", None);
        plain.replace(text, start).replace(r#"{"type":"text_delta","text":"x"}"#, delta)
    };
    let thought = streamed(r#"{"type":"thinking","thinking":"","signature":""}"#, &delta("thinking_delta", "thinking"));
    let text = streamed(text, &delta("text_delta", "text"));
    vec![(false, whole(&thinking)), (false, whole(&found)), (true, thought), (true, text)]
}

#[tokio::test]
async fn a_masked_field_is_neither_with_the_client_nor_in_the_record() {
    for (unless, exempt) in [("", false), (", unless: { groups: [agents] }", true)] {
        let house = house(unless).await;
        for (streams, body) in answers() {
            let mut rig = house.exchange(Api::Anthropic).await;
            rig.ask("POST", MESSAGES, &ASK.replace("\"stream\":true", &format!("\"stream\":{streams}"))).await;
            rig.answer(200, if streams { EVENTS } else { "application/json" }, None, body.as_bytes()).await;
            rig.end().await;
            assert_eq!((rig.told.status, rig.told.ended), (200, Some(true)), "{}", rig.told.body);
            assert_eq!(rig.told.body.contains(SSN), exempt, "{}", rig.told.body);
            let told = house.told(&rig).await.join("\n");
            assert!(told.contains("said ") && told.contains("Let me see"), "{told}");
            assert!(!told.contains(SSN), "{told}");
        }
    }
}

/// Its session is killed, or the gateway stops.
#[tokio::test]
async fn what_a_client_had_of_an_answer_that_is_dropped_is_in_the_record_once() {
    let house = House::new().await;
    let mut rig = asked(&house).await;
    let whole = stream("Let me see", None);
    let (came, _) = whole.split_once("event: content_block_stop").unwrap();
    rig.answer(200, EVENTS, None, came.as_bytes()).await;
    assert!(rig.told.body.contains("Let me see"), "{}", rig.told.body);
    let session = rig.id;
    drop(rig);
    let told = house.told_of(session).await;
    let said: Vec<_> = told.iter().filter(|line| line.starts_with("said ")).collect();
    assert!(said.len() == 1 && said[0].contains("Let me see"), "{told:?}");
    assert!(told.iter().any(|line| line == "1 interrupted"), "{told:?}");
}

/// A service that is asked for no coding answers in one that is wrong.
#[tokio::test]
async fn a_client_learns_that_a_request_was_carried_out_whose_answer_cannot_be_decoded() {
    let house = house("").await;
    let mut rig = house.exchange(Api::Rest).await;
    rig.ask("POST", "/orders", "{}").await;
    rig.decided(&house, Ballot::Yes).await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(b"{\"id\":7}").unwrap();
    let twice = encoder.finish().unwrap().repeat(2);
    rig.answer(201, "application/json", Some("gzip"), &twice).await;
    rig.end().await;
    assert_eq!((rig.told.status, rig.told.ended), (502, Some(true)), "{}", rig.told.body);
    assert!(rig.told.body.contains("was carried out") && rig.told.body.contains("201"), "{}", rig.told.body);
    assert_eq!(rig.told.headers.get("x-should-retry").unwrap(), "false");
}
