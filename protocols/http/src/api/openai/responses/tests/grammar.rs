//! Streams that break off, by what they say or by what they lack.

use super::*;

#[test]
fn an_error_ends_a_stream_that_does_not_look_whole() {
    for error in [
        event("error", r#","code":"server_error","message":"SECRET down","param":null"#),
        event("error", r#","error":{"type":"server_error","message":"SECRET down","x":1}"#),
        "data: {\"error\":{\"type\":\"server_error\",\"message\":\"SECRET down\"}}\n\n".to_owned(),
    ] {
        let came = read(&(created() + &says(0, &["a"]) + &error + &completed()));
        let seen = accumulated(&came.client);
        assert_eq!((seen.error.as_deref(), seen.status), (Some("[masked] down"), None));
        assert!(came.client.contains(r#""code":"server_error","message":"[masked] down","param":null,"error":{"#));
        assert!(came.broken.is_some());
    }
}

/// What breaks the grammar: the name of it, and a stream.
fn broken() -> Vec<(&'static str, String)> {
    let (begin, end) = (created(), completed());
    let whole = |middle: &str| begin.clone() + middle + &end;
    let text = says(0, &["a"]);
    let cut = |kind: &str| text[..text.find(&format!("event: response.{kind}")).unwrap()].to_owned();
    let without = |text: &str, kind: &str| {
        let at = text.find(&format!("event: response.{kind}")).unwrap();
        let rest = &text[at..];
        text[..at].to_owned() + &rest[rest.find("\n\n").unwrap() + 2..]
    };
    let shell = calls(0, "shell", &["{}"]);
    vec![
        ("nothing", String::new()),
        ("no end", begin.clone() + &text),
        ("no beginning", text.clone() + &end),
        ("an end alone", end.clone()),
        ("two beginnings", begin.clone() + &whole(&text)),
        ("no `created`", without(&whole(&text), "created")),
        ("an item that did not end", whole(&cut("output_item.done"))),
        ("a part that did not end", whole(&(cut("content_part.done") + &ended(0, &message_item(0, "1"))))),
        ("a text that was not said whole", whole(&without(&text, "output_text.done"))),
        ("an item without a beginning", whole(&without(&text, "output_item.added"))),
        ("a part without a beginning", whole(&without(&text, "content_part.added"))),
        ("an item twice", whole(&(text.clone() + &text))),
        ("an id twice", whole(&(text.clone() + &says(1, &["b"]).replace("msg_1", "msg_0")))),
        ("a call twice", whole(&(shell.clone() + &calls(1, "shell", &["{}"]).replace("call_1", "call_0")))),
        ("a gap", whole(&says(1, &["a"]))),
        ("two items at once", whole(&(cut("content_part.added") + &says(1, &["b"])))),
        ("another item's text", whole(&text.replace(r#""item_id":"msg_0""#, r#""item_id":"msg_1""#))),
        ("another part's text", whole(&text.replace(r#""content_index":0,"delta""#, r#""content_index":1,"delta""#))),
        ("a part too far", whole(&text.replace(r#""content_index":0"#, r#""content_index":1"#))),
        ("a copy that says more", whole(&text.replace(r#""text":"a","logprobs""#, r#""text":"ab","logprobs""#))),
        (
            "a part that says more",
            whole(
                &text.replace(
                    r#""part":{"type":"output_text","text":"a""#,
                    r#""part":{"type":"output_text","text":"b""#,
                ),
            ),
        ),
        ("an item of more parts", whole(&text.replace(r#""content":[{"type""#, r#""content":[{},{"type""#))),
        (
            "a text in the beginning",
            whole(&text.replace(r#""text":"","annotations""#, r#""text":"SECRET","annotations""#)),
        ),
        (
            "an item with a text",
            whole(&text.replace(r#""content":[]"#, r#""content":[{"type":"output_text","text":"SECRET"}]"#)),
        ),
        ("an item of the user", whole(&text.replace("assistant", "user"))),
        ("a part of another kind", whole(&text.replace(r#"{"type":"output_text""#, r#"{"type":"output_audio""#))),
        ("a summary in a message", whole(&text.replace("content_part", "reasoning_summary_part"))),
        ("an id that is no id", whole(&text.replace("msg_0", "a SECRET"))),
        ("a response of another id", begin.clone() + &text + &end.replace("resp_1", "resp_2")),
        (
            "an end that says otherwise",
            begin.clone() + &text + &end.replace(r#""status":"completed""#, r#""status":"failed""#),
        ),
        ("an end of more items", begin.clone() + &text + &end.replace(r#""output":[]"#, r#""output":[{},{}]"#)),
        ("an end that waits", whole(&text).replace("response.completed", "response.queued")),
        ("arguments in the beginning", whole(&shell.replacen(r#""arguments":"""#, r#""arguments":"{}""#, 1))),
        (
            "other arguments in the end",
            whole(&(calls(0, "shell", &["{}"]).replace(r#""arguments":"{}"}}"#, r#""arguments":"{\"a\":1}"}}"#))),
        ),
        (
            "another name in the end",
            whole(&(added(0, &call_item(0, "shell", "")) + &ended(0, &call_item(0, "other", "")))),
        ),
        ("a call of a namespace", whole(&shell.replace(r#""name":"shell""#, r#""name":"shell","namespace":"x""#))),
        (
            "a call of a program",
            whole(&shell.replace(r#""name":"shell""#, r#""name":"shell","caller":{"type":"program","caller_id":"x"}"#)),
        ),
        ("a call without an id", whole(&shell.replace("call_0", ""))),
        ("a call that is too long an id", whole(&shell.replace("call_0", &"c".repeat(257)))),
        (
            "arguments after their end",
            whole(&shell.replace(
                "event: response.output_item.done",
                &(within("function_call_arguments.delta", 0, "fc_0", r#""delta":"""#)
                    + "event: response.output_item.done"),
            )),
        ),
        ("sealed words", whole(&thinks(0, &["a"], &["b"]).replace(SEALED, "SECRET"))),
        (
            "an unknown item",
            whole(
                &(added(0, r#"{"id":"a","type":"mcp_call","name":"SECRET"}"#)
                    + &ended(0, r#"{"id":"a","type":"mcp_call"}"#)),
            ),
        ),
        ("an unknown event", whole(&(text.clone() + &event("response.audio.delta", r#","delta":"SECRET""#)))),
        ("a name that is not the type", whole(&text.replace("event: response.output_text.delta", "event: response.x"))),
        ("no type", whole("data: {\"a\":\"SECRET\"}\n\n")),
        ("no JSON", whole("data: SECRET\n\n")),
        ("a member twice", whole("data: {\"type\":\"keepalive\",\"type\":\"keepalive\"}\n\n")),
        ("a response that is none", whole(&text).replace(r#""object":"response""#, r#""object":"thread""#)),
        ("an item before the response", searches(0) + &whole("")),
        ("progress of no search", whole(&within("web_search_call.searching", 0, "ws_0", r#""x":1"#))),
    ]
}

#[test]
fn a_stream_that_breaks_its_grammar_breaks_off() {
    for (what, body) in broken() {
        let came = read(&body);
        let seen = accumulated(&came.client);
        assert!(came.broken.is_some() && seen.status.is_none() && seen.error.is_some(), "{what}: {}", came.client);
        assert!(!came.client.replace(SEALED, "").contains("SECRET"), "{what}: {}", came.client);
    }
    // Behind the end it cannot be taken back, but no client finds the connection whole.
    for behind in [says(1, &["b"]), completed(), event("keepalive", ""), "data: [DONE]\n\n".to_owned()] {
        let came = read(&(created() + &says(0, &["a"]) + &completed() + &behind));
        assert!(came.broken.is_some() && accumulated(&came.client).error.is_some(), "{behind}");
    }
    let body = created() + &says(0, &["a"]) + &completed();
    assert!(answered(streamed(), TestWords::binding(), &[body.as_bytes()], Ended::Broken).broken.is_some());
    assert!(read(&body).broken.is_none());
}

#[test]
fn what_is_held_for_the_end_is_bounded() {
    let line = "a line of an answer that is too long\n".repeat(16 << 10);
    let items: String = (0..9).map(|at| says(at, &[&line])).collect();
    let body = created() + &items + &completed();
    let came = answered(streamed(), TestWords::default(), &[body.as_bytes()], Ended::Whole);
    assert!(came.broken.is_some_and(|why| why.0.contains("too long")) && accumulated(&came.client).status.is_none());
}
