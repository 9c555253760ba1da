//! Whole answers: each block as it comes out, and errors of the provider.

use super::*;

fn body(content: &str, reason: &str) -> String {
    format!(
        r#"{{ "id":"msg_1","type":"message","role":"assistant","model":"claude", "content":[{content}],"stop_reason":"{reason}","stop_sequence":"SECRET","usage":{{"input_tokens":1,"output_tokens":2}} }}"#
    )
}

fn read(content: &str, reason: &str) -> Came {
    everywhere(false, TestWords::binding, body(content, reason).as_bytes())
}

fn call(id: &str, command: &str) -> String {
    format!(r#"{{"type":"tool_use","id":"{id}","name":"Bash","input":{{"command": "{command}"}}}}"#)
}

#[test]
fn a_document_is_masked_and_its_calls_are_judged() {
    let text = r#"{"type":"text","text":"a SECRET","citations":null}"#;
    let came =
        read(&[text, &call("a", "ls SECRET"), &call("b", "DENY"), r#"{"type":"hologram"}"#].join(", "), "tool_use");
    assert_eq!(came.proposed, [r#"Bash (a) {"command":"ls [masked]"}"#, r#"Bash (b) {"command":"DENY"}"#]);
    let refused = "[portcullis] Bash was refused: ";
    let expected = body(
        r#"{"type":"text","text":"a [masked]","citations":null},{"type":"tool_use","id":"a","name":"Bash","input":{"command": "ls [masked]"}},{"type":"text","text":"#,
        "tool_use",
    );
    let expected = expected.replace("SECRET", "[masked]");
    let (before, after) = expected.split_once(r#""text":],"#).unwrap();
    assert!(came.client.starts_with(before), "{}\n{before}", came.client);
    assert!(came.client.ends_with(after) && came.client.contains(refused), "{}", came.client);
    assert_eq!(came.used, Some(Tokens { input: 1, output: 2, ..Tokens::default() }));
    assert!(came.recorded[0].contains("a [masked]") && !came.recorded[0].contains("SECRET"), "{:?}", came.recorded);
}

#[test]
fn a_turn_without_calls_does_not_wait_for_one() {
    let came = read(&call("a", "DENY"), "tool_use");
    assert!(came.client.contains(r#""stop_reason":"end_turn""#), "{}", came.client);
    let came = read(&[call("a", "DENY"), call("b", "ls")].join(","), "tool_use");
    assert!(came.client.contains(r#""stop_reason":"tool_use""#), "{}", came.client);
    let came = read(&[call("a", "ls"), call("b", "DENY")].join(","), "pause_turn");
    assert!(came.client.contains(r#""stop_reason":"pause_turn""#), "{}", came.client);
}

#[test]
fn thinking_and_results_are_treated_as_in_a_stream() {
    let came = read(r#"{"type":"thinking","thinking":"SECRET","signature":"c2ln"}"#, "end_turn");
    assert!(came.client.contains(r#"{"type":"thinking","thinking":"","signature":"c2ln"}"#), "{}", came.client);
    let came = read(r#"{"type":"thinking","thinking":"plain","signature":"c2ln"}"#, "end_turn");
    assert!(came.client.contains(r#""thinking":"plain""#), "{}", came.client);
    let server = r#"{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"DENY"}}"#;
    let result = r#"{"type":"web_search_tool_result","tool_use_id":"s","content":[]}"#;
    let came = read(&[server, result].join(","), "end_turn");
    assert!(!came.client.contains("web_search_tool_result"), "{}", came.client);
    let mcp = r#"{"type":"mcp_tool_use","id":"s","server_name":"db","name":"run","input":{"sql":"DROP TABLE t"}}"#;
    assert_eq!(read(mcp, "end_turn").proposed, [r#"mcp__db__run (s) {"sql":"DROP TABLE t"}"#]);
}

#[test]
fn what_is_no_message_does_not_pass() {
    for body in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"type":"message","role":"assistant"}"#,
        r#"{"type":"message","role":"user","content":[]}"#,
        r#"{"type":"message","role":"assistant","content":"a"}"#,
        r#"{"type":"message","role":"assistant","content":["a"]}"#,
        r#"{"type":"message","role":"assistant","content":[],"content":[]}"#,
        r#"{"type":"message","role":"assistant","content":[],"stop_reason":"a SECRET"}"#,
        r#"{"type":"message","role":"assistant","content":[],"stop_reason":{"a":1}}"#,
        r#"{"type":"message","role":"assistant","content":[{"type":"tool_use","id":"a","name":"x"}]}"#,
        "\u{feff}{\"type\":\"message\",\"role\":\"assistant\",\"content\":[]}",
        "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    ] {
        let came = everywhere(false, TestWords::binding, body.as_bytes());
        assert!(came.broken.is_some() && came.client.is_empty(), "{body}: {came:?}");
    }
    let utf16: Vec<u8> = body("", "end_turn").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(everywhere(false, TestWords::binding, &utf16).broken.is_some());
    let whole = body("", "end_turn");
    let came = answered(message(false), TestWords::binding(), &[whole.as_bytes()], Ended::Broken);
    assert!(came.broken.is_some() && came.client.is_empty());
}

#[test]
fn of_a_head_only_what_is_listed_passes() {
    let mut reader = message(true);
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("request-id", "r"),
        ("retry-after", "5"),
        ("anthropic-ratelimit-requests-limit", "9"),
        ("anthropic-organization-id", "org"),
        ("set-cookie", "a=b"),
        ("etag", "x"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    let mut head = Head { status: StatusCode::OK, headers };
    reader.on_head(&mut head, &mut TestWords::binding()).unwrap();
    let mut names: Vec<&str> = head.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    let expected = ["anthropic-ratelimit-requests-limit", "cache-control", "content-type", "request-id", "retry-after"];
    assert_eq!(names, expected);
    assert_eq!(head.headers["content-type"], "text/event-stream; charset=utf-8");
    for status in [201, 204, 206, 301, 307, 304] {
        let mut head = Head { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new() };
        assert!(message(true).on_head(&mut head, &mut TestWords::binding()).is_err(), "{status}");
    }
}

/// An error to a streamed request, as the client gets it.
fn failed(status: u16, body: &str) -> (u16, String) {
    let (mut reader, mut words) = (message(true), TestWords::binding());
    let mut head = Head { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new() };
    reader.on_head(&mut head, &mut words).unwrap();
    assert_eq!(head.headers["content-type"], "application/json");
    assert_eq!(reader.keep_alive(ApprovalId::new()), None);
    let (out, others) = crate::api::testing::feed(&mut reader, &mut words, body.as_bytes(), 7);
    assert!(matches!(others[..], [Part::End]), "{others:?}");
    (head.status.as_u16(), String::from_utf8(out).unwrap())
}

#[test]
fn errors_keep_their_type_and_message_and_nothing_else() {
    let error = r#"{"type":"error","error":{"type":"rate_limit_error","message":"SECRET: slow","account":"x"},"request_id":"r"}"#;
    let expected = r#"{"type":"error","error":{"type":"rate_limit_error","message":"[masked]: slow"}}"#;
    assert_eq!(failed(429, error), (429, expected.to_owned()));
    let (status, body) =
        failed(401, r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#);
    assert!(status == 502 && body.contains("the gateway's own credential"), "{body}");
    // The same credential is refused again; of others the provider says whether to try again.
    for (status, says) in [(401, Some("false")), (429, None), (529, None)] {
        let mut head = Head { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new() };
        message(true).on_head(&mut head, &mut TestWords::binding()).unwrap();
        assert_eq!(head.headers.get("x-should-retry").map(|value| value.to_str().unwrap()), says, "{status}");
    }
    let (status, body) = failed(500, "<html>SECRET</html>");
    assert!(status == 500 && body.contains("api_error") && !body.contains("SECRET"), "{body}");
    assert!(failed(500, r#"{"error":{"type":"a b","message":"x"}}"#).1.contains("answered 500"));
}

#[test]
fn models_and_counts_are_masked_documents() {
    let read = |body: &str| {
        let mut reader = Answering::plain();
        let mut words = TestWords::binding();
        crate::api::testing::feed(&mut reader, &mut words, body.as_bytes(), 1)
    };
    let (out, others) = read(r#"{"input_tokens": 5, "x":"SECRET"}"#);
    assert_eq!(out, br#"{"input_tokens": 5, "x":"[masked]"}"#);
    assert!(matches!(others[..], [Part::End]));
    let (out, others) = read("no JSON");
    assert!(out.is_empty() && matches!(others[..], [Part::Broken(_)]), "{others:?}");
}
