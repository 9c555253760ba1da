//! What becomes of one exchange, whatever happens in it: holds, masks, budgets, and peers that leave.

mod keeping;
mod leaving;
mod recorded;
pub(crate) mod rig;

use crate::api::Api;
use crate::error::{Error, Side};
use portcullis_approvals::Ballot;
use rig::{BUNDLE, House, Rig, policy};
use std::io::Write as _;

const MESSAGES: &str = "/v1/messages";
const ASK: &str =
    r#"{"model":"claude-small","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
const WHOLE: &str = r#"{"model":"claude-small","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}"#;
const EVENTS: &str = "text/event-stream";

/// The answer of a model: this text, then a call of `Bash` with this command.
fn stream(text: &str, command: Option<&str>) -> String {
    let start = r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-small","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":11,"output_tokens":1}}}"#;
    let mut events = vec![("message_start", start.to_owned())];
    let mut block = |index: usize, start: &str, delta: String| {
        let event = |kind: &str, rest: String| format!(r#"{{"type":"{kind}","index":{index}{rest}}}"#);
        events.push(("content_block_start", event("content_block_start", format!(r#","content_block":{start}"#))));
        events.push(("content_block_delta", event("content_block_delta", format!(r#","delta":{delta}"#))));
        events.push(("content_block_stop", event("content_block_stop", String::new())));
    };
    block(0, r#"{"type":"text","text":""}"#, format!(r#"{{"type":"text_delta","text":"{text}"}}"#));
    if let Some(command) = command {
        let input = format!(r#"{{"type":"input_json_delta","partial_json":"{{\"command\":\"{command}\"}}"}}"#);
        block(1, r#"{"type":"tool_use","id":"toolu_1","name":"Bash","input":{}}"#, input);
    }
    let reason = if command.is_some() { "tool_use" } else { "end_turn" };
    let delta = format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":null}},"usage":{{"output_tokens":7}}}}"#
    );
    events.push(("message_delta", delta));
    events.push(("message_stop", r#"{"type":"message_stop"}"#.to_owned()));
    events.iter().map(|(name, data)| format!("event: {name}\ndata: {data}\n\n")).collect()
}

/// A request to a model, sent.
async fn asked(house: &House) -> Rig {
    let mut rig = house.exchange(Api::Anthropic).await;
    rig.ask("POST", MESSAGES, ASK).await;
    assert_eq!(rig.sent.len(), 1, "{:?}", rig.told);
    rig
}

#[tokio::test]
async fn a_held_request_is_sent_once_people_say_so_and_not_before() {
    let house = House::new().await;
    let mut rig = house.exchange(Api::Rest).await;
    rig.ask("POST", "/orders", "{}").await;
    assert!(rig.is_held() && rig.sent.is_empty() && rig.told.status == 0);
    rig.decided(&house, Ballot::Yes).await;
    assert_eq!(rig.sent.len(), 1);
    rig.answer(200, "application/json", None, b"{\"id\":7}").await;
    rig.end().await;
    assert_eq!((rig.told.status, rig.told.body.as_str(), rig.told.ended), (200, "{\"id\":7}", Some(true)));
    let told = house.told(&rig).await;
    assert_eq!(told[..3], ["1 POST /orders", "1 hold", "1 vote approved"]);
    assert_eq!(told.last().unwrap(), "1 completed 200");
}

#[tokio::test]
async fn a_held_request_that_people_reject_is_never_sent() {
    let house = House::new().await;
    let mut rig = house.exchange(Api::Rest).await;
    rig.ask("POST", "/orders", "{}").await;
    rig.decided(&house, Ballot::No).await;
    assert_eq!((rig.told.status, rig.told.ended, rig.sent.len()), (403, Some(true), 0));
    assert_eq!(house.told(&rig).await, ["1 POST /orders", "1 hold", "1 vote rejected", "1 refused"]);
}

#[tokio::test]
async fn what_was_masked_under_other_masks_is_not_sent_when_it_is_approved() {
    let house = House::new().await;
    let held = BUNDLE.replace("allow: { actions: [generate]", "hold: { actions: [generate]");
    let held = held.replace("\"model *\"] }", "\"model *\"] }\n    approvers: { groups: [dba] }");
    house.gate.set_policy(policy(&held));
    for (mask, sent) in [("", 1), ("mask:\n  - { id: mail, detect: [email], with: redact }\n", 0)] {
        let mut rig = house.exchange(Api::Anthropic).await;
        rig.ask("POST", MESSAGES, ASK).await;
        assert!(rig.is_held(), "{:?}", rig.told);
        house.gate.set_policy(policy(&format!("{held}{mask}")));
        rig.decided(&house, Ballot::Yes).await;
        assert_eq!(rig.sent.len(), sent, "{:?}", rig.told);
        assert_eq!(rig.told.status, if sent == 1 { 0 } else { 403 });
        rig.gone().await;
    }
}

/// An API, a path, what a request of it says, and how it offers a tool of this name.
type Offer<'a> = (Api, &'static str, &'static str, &'a dyn Fn(&str) -> String);

/// The names of the tools that a request to a model offers.
fn offered(body: &[u8]) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    let tools = body["tools"].as_array().cloned().unwrap_or_default();
    let name =
        |tool: &serde_json::Value| tool["name"].as_str().or(tool["function"]["name"].as_str()).map(str::to_owned);
    tools.iter().map(|tool| name(tool).unwrap()).collect()
}

#[tokio::test]
async fn a_tool_that_no_rule_lets_be_called_is_left_out_of_what_is_offered() {
    let house = House::new().await;
    let plain = |name: &str| format!(r#"{{"name":"{name}","input_schema":{{"type":"object"}}}}"#);
    let function = |name: &str| format!(r#"{{"type":"function","name":"{name}","parameters":{{}}}}"#);
    let nested = |name: &str| format!(r#"{{"type":"function","function":{{"name":"{name}","parameters":{{}}}}}}"#);
    let asks: [Offer<'_>; 3] = [
        (Api::Anthropic, MESSAGES, r#""model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]"#, &plain),
        (
            Api::OpenAi,
            "/v1/chat/completions",
            r#""model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]"#,
            &nested,
        ),
        (Api::OpenAi, "/v1/responses", r#""model":"m","max_output_tokens":9,"store":false,"input":"hi""#, &function),
    ];
    for (api, path, rest, tool) in asks {
        let body = |names: &[&str], choice: &str| {
            let tools: Vec<String> = names.iter().map(|name| tool(name)).collect();
            format!(r#"{{"tools":[{}],{rest}{choice}}}"#, tools.join(" , "))
        };
        let mut rig = house.exchange(api).await;
        rig.ask("POST", path, &body(&["other", "Bash", "wipe", "last"], "")).await;
        assert_eq!(rig.sent.len(), 1, "{path}: {:?}", rig.told);
        assert_eq!(offered(&rig.sent[0].body), ["Bash", "wipe"], "{path}");
        let told = house.told(&rig).await;
        let refused = |name: &str| {
            let number = told.iter().find_map(|line| line.strip_suffix(&format!(" tools on offer: {name}")));
            number.is_some_and(|number| told.contains(&format!("{number} deny")))
        };
        assert!(refused("other") && refused("last") && !refused("Bash"), "{told:?}");
        // Where it insists on one, or has no other, it is refused as a whole.
        let insists = match path {
            MESSAGES => r#"{"type":"tool","name":"other"}"#,
            "/v1/responses" => r#"{"type":"function","name":"other"}"#,
            _ => r#"{"type":"function","function":{"name":"other"}}"#,
        };
        let choice = format!(r#","tool_choice":{insists}"#);
        for body in [body(&["other", "Bash"], &choice), body(&["other"], "")] {
            let mut rig = house.exchange(api).await;
            rig.ask("POST", path, &body).await;
            assert_eq!((rig.told.status, rig.sent.len()), (403, 0), "{body}");
            assert!(rig.told.body.contains("call tool other"), "{}", rig.told.body);
        }
    }
}

#[tokio::test]
async fn a_backend_that_breaks_off_is_an_error_before_the_head_and_an_abort_behind_it() {
    let house = House::new().await;
    let broken = || Error::Backend("reset".into());
    let mut before = house.exchange(Api::Rest).await;
    before.ask("GET", "/orders", "").await;
    before.broken(broken()).await;
    assert_eq!((before.told.status, before.told.ended), (502, Some(true)));
    assert_eq!(house.told(&before).await, ["1 GET /orders", "1 failed 502"]);
    let mut behind = house.exchange(Api::Rest).await;
    behind.ask("GET", "/orders", "").await;
    behind.answer(200, "text/plain", None, b"half of").await;
    behind.broken(broken()).await;
    assert_eq!((behind.told.status, behind.told.ended), (200, Some(false)));
    assert_eq!(house.told(&behind).await.last().unwrap(), "1 failed 502");
}

/// Told of another address it would be asked for it by itself; told of a broken service, again.
#[tokio::test]
async fn a_redirect_is_told_as_one_and_not_to_be_tried_again() {
    let house = House::new().await;
    let mut rig = house.exchange(Api::Rest).await;
    rig.ask("GET", "/orders", "").await;
    rig.broken(Error::Redirects(308)).await;
    assert_eq!((rig.told.status, rig.told.ended), (502, Some(true)));
    assert!(rig.told.body.contains("redirects are not passed on"), "{}", rig.told.body);
    assert_eq!(house.told(&rig).await.last().unwrap(), "1 failed 502");
}

/// An error of the service stays that error; of a write that was done its client learns that it was.
#[tokio::test]
async fn an_answer_that_may_not_pass_keeps_what_its_status_says() {
    let house = House::new().await;
    for (answered, told, words) in [
        (200, 502, "was carried out"),
        (201, 502, "was carried out"),
        (404, 404, "answered 404"),
        (500, 500, "answered 500"),
    ] {
        let mut rig = house.exchange(Api::Rest).await;
        rig.ask("GET", "/orders", "").await;
        // In a coding that nobody here reads.
        rig.answer(answered, "application/json", Some("x-unknown"), b"").await;
        assert_eq!((rig.told.status, rig.told.ended), (told, Some(true)), "{answered}");
        assert!(rig.told.body.contains(words), "{}", rig.told.body);
        assert_eq!(house.told(&rig).await.last().unwrap(), &format!("1 failed {told}"));
    }
}

#[tokio::test]
async fn what_an_answer_proposes_waits_for_people_while_its_client_is_kept() {
    for (ballot, passes) in [(Ballot::Yes, true), (Ballot::No, false)] {
        let house = House::new().await;
        let mut rig = asked(&house).await;
        rig.answer(200, EVENTS, None, stream("ok", Some("uptime")).as_bytes()).await;
        assert!(rig.is_held());
        assert!(!rig.told.body.contains("uptime") && rig.told.ended.is_none(), "{}", rig.told.body);
        let before = rig.told.body.len();
        rig.waited().await;
        assert!(rig.told.body[before..].starts_with(": waiting for approval "), "nothing keeps the client");
        rig.decided(&house, ballot).await;
        rig.end().await;
        assert_eq!(rig.told.ended, Some(true));
        assert_eq!(rig.told.body.contains("input_json_delta"), passes, "{}", rig.told.body);
        let told = house.told(&rig).await;
        assert!(told.iter().any(|line| line.starts_with("2 vote")), "{told:?}");
        assert_eq!(told.iter().any(|line| line == "2 completed proposed"), passes, "{told:?}");
    }
}

/// How many of so many tokens are left of 1000 today, by taking them.
async fn fits(rig: &Rig, tokens: u64) -> bool {
    let mut other = rig.another(Api::Anthropic);
    let ask = ASK.replace("\"max_tokens\":100", &format!("\"max_tokens\":{tokens}"));
    other.ask("POST", MESSAGES, &ask).await;
    let fits = other.sent.len() == 1;
    // Never sent: all of it is given back.
    if fits {
        other.broken(Error::Credential("none".into())).await;
    }
    fits
}

#[tokio::test]
async fn a_budget_is_given_back_only_what_was_surely_not_used() {
    let silent = || Error::Timeout { side: Side::Backend, doing: "to begin an answer" };
    let dial = || {
        let source = std::io::Error::other("refused");
        Error::Net(portcullis_net::Error::Dial { address: "127.0.0.1:1".into(), source })
    };
    for (error, given_back) in [
        (dial(), true),
        (Error::Credential("none".into()), true),
        (silent(), false),
        (Error::Backend("x".into()), false),
    ] {
        let house = House::new().await;
        let told = error.to_string();
        let mut rig = asked(&house).await;
        rig.broken(error).await;
        assert_eq!(fits(&rig, 900).await, given_back, "{told}");
    }
    for (status, given_back) in [(400, true), (529, true), (504, false)] {
        let house = House::new().await;
        let mut rig = asked(&house).await;
        rig.answer(status, "application/json", None, br#"{"type":"error","error":{"type":"x","message":"y"}}"#).await;
        rig.end().await;
        assert_eq!(fits(&rig, 900).await, given_back, "{status}");
    }
    let house = House::new().await;
    let mut rig = asked(&house).await;
    rig.answer(200, EVENTS, None, stream("ok", None).as_bytes()).await;
    rig.end().await;
    assert!(fits(&rig, 900).await, "what was not used of it is given back");
    assert!(house.told(&rig).await.contains(&"1 used 11+7".to_owned()));
}

/// A document that says so of its use, with a call in it.
fn document(usage: &str, call: &str) -> String {
    format!(
        r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude-small","content":[{call}],"stop_reason":"tool_use","usage":{{{usage}}}}}"#
    )
}

const USED: &str = r#""input_tokens":11,"output_tokens":7"#;

#[tokio::test]
async fn what_a_document_used_is_charged_however_it_ends() {
    let call = |id: &str| format!(r#"{{"type":"tool_use","id":"{id}","name":"Bash","input":{{"command":"uptime"}}}}"#);
    // It breaks, or its client leaves while people decide.
    for (id, leaves) in [("", false), ("a", true)] {
        let house = House::new().await;
        let mut rig = house.exchange(Api::Anthropic).await;
        rig.ask("POST", MESSAGES, WHOLE).await;
        rig.answer(200, "application/json", None, document(USED, &call(id)).as_bytes()).await;
        rig.end().await;
        assert_eq!((rig.is_held(), rig.told.status), if leaves { (true, 0) } else { (false, 502) }, "{:?}", rig.told);
        rig.gone().await;
        assert!(fits(&rig, 900).await, "what was not used of it is given back");
        let told = house.told(&rig).await;
        assert!(told.contains(&"1 used 11+7".to_owned()), "{told:?}");
        let said = told.iter().filter(|line| line.starts_with("said ")).count();
        assert!(said == 1 || (said == 0 && !leaves), "{told:?}");
    }
    // So is what a client of a stream leaves behind its use, but not before.
    let whole = stream("ok", None);
    for (behind, given_back) in [("event: message_stop", true), ("event: message_delta", false)] {
        let house = House::new().await;
        let mut rig = asked(&house).await;
        let (sent, _) = whole.split_once(behind).unwrap();
        rig.answer(200, EVENTS, None, sent.as_bytes()).await;
        rig.gone().await;
        assert_eq!(fits(&rig, 900).await, given_back, "{behind}");
    }
}

/// The record takes no number beyond 2^53, and a sum of these is no number at all.
#[tokio::test]
async fn a_use_beyond_all_numbers_is_the_greatest_there_is() {
    let most = u64::MAX;
    let usage = format!(
        r#""input_tokens":{most},"output_tokens":{most}0,"cache_read_input_tokens":{most},"cache_creation_input_tokens":{most}"#
    );
    let streamed = stream("ok", None).replace(r#""usage":{"output_tokens":7}"#, &format!(r#""usage":{{{usage}}}"#));
    for (kind, body) in [("application/json", document(&usage, "")), (EVENTS, streamed)] {
        let house = House::new().await;
        let mut rig = house.exchange(Api::Anthropic).await;
        rig.ask("POST", MESSAGES, if kind == EVENTS { ASK } else { WHOLE }).await;
        rig.answer(200, kind, None, body.as_bytes()).await;
        rig.end().await;
        assert_eq!((rig.told.status, rig.told.ended), (200, Some(true)), "{:?}", rig.told);
        assert!(!fits(&rig, 1).await);
        let told = house.told(&rig).await;
        assert!(told.contains(&"1 used 9007199254740991+9007199254740991".to_owned()), "{told:?}");
        assert!(told.contains(&"1 completed 200".to_owned()), "{told:?}");
    }
}

#[tokio::test]
async fn what_a_client_got_before_it_left_is_in_the_record_and_nothing_more_is_asked() {
    let house = House::new().await;
    let mut rig = asked(&house).await;
    let whole = stream("the words that it read", Some("uptime"));
    let (read, _) = whole.split_once("event: message_delta").unwrap();
    let (before, _) =
        read.split_once("event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1").unwrap();
    rig.answer(200, EVENTS, None, before.as_bytes()).await;
    rig.gone().await;
    let told = house.told(&rig).await;
    assert!(told.iter().any(|line| line.contains("the words that it read")), "{told:?}");
    assert_eq!(told.last().unwrap(), "1 interrupted");
    // While people decide about what it proposes, the same, and the proposal is withdrawn.
    let mut rig = asked(&house).await;
    rig.answer(200, EVENTS, None, whole.as_bytes()).await;
    assert!(rig.is_held());
    rig.gone().await;
    let told = house.told(&rig).await;
    assert!(told.contains(&"2 withdrawn".to_owned()) && told.contains(&"1 interrupted".to_owned()), "{told:?}");
    assert!(!told.iter().any(|line| line.starts_with("3 ")), "{told:?}");
}

#[tokio::test]
async fn what_grows_when_it_is_decoded_is_decoded_in_steps() {
    let house = House::new().await;
    let mut rig = house.exchange(Api::Rest).await;
    rig.ask("GET", "/orders", "").await;
    let text = vec![b'a'; 4 << 20];
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&text).unwrap();
    let encoded = encoder.finish().unwrap();
    rig.answer(200, "text/plain", Some("gzip"), &encoded[..64]).await;
    let steps = rig.data(&encoded[64..]).await;
    rig.end().await;
    assert_eq!((rig.told.body.len(), rig.told.ended), (text.len(), Some(true)));
    assert!(steps >= 7, "{steps}");
}
