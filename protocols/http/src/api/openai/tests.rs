mod recorded;
mod requests;

use super::answer::Answering;
use super::stream::Stream;
use crate::api::model::Wanted;
use crate::api::testing::{self, Came, TestWords, answered, left};
use crate::api::{Ended, Part, Reader};
use crate::frame::Head;
use crate::json::{self, Node};
use crate::sse::{Event, Parser};
use crate::tools::ToolTable;
use http::{HeaderMap, StatusCode};
use portcullis_model::Tokens;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

fn streamed() -> Answering {
    Answering::stream(Stream::new(COUNTED, Arc::new(ToolTable::default())))
}

fn document() -> Answering {
    Answering::message(Arc::new(ToolTable::default()), COUNTED)
}

/// What a client asks for that takes texts as they are.
const COUNTED: Wanted = Wanted { counted: true, formatted: false };

/// The same answer in all kinds of pieces.
fn everywhere(reader: fn() -> Answering, words: fn() -> TestWords, body: &str) -> Came {
    testing::everywhere(reader, words, body.as_bytes())
}

fn read(body: &str) -> Came {
    everywhere(streamed, TestWords::binding, body)
}

fn chunk(index: u64, delta: &str, reason: &str) -> String {
    format!(
        r#"data: {{"id":"c-1","object":"chat.completion.chunk","created":5,"model":"gpt-x","system_fingerprint":"SECRET","choices":[{{"index":{index},"delta":{delta},"logprobs":{{"content":[{{"token":"SECRET"}}]}},"finish_reason":{reason}}}]}}"#
    ) + "\n\n"
}

fn says(index: u64, text: &str) -> String {
    chunk(index, &format!(r#"{{"content":{}}}"#, json::quoted(text)), "null")
}

fn calls(index: u64, at: u64, head: &str, arguments: &str) -> String {
    let arguments = json::quoted(arguments);
    let function = if head.is_empty() {
        format!(r#""function":{{"arguments":{arguments}}}"#)
    } else {
        format!(r#""id":"call_{at}","type":"function","function":{{"name":"{head}","arguments":{arguments}}}"#)
    };
    chunk(index, &format!(r#"{{"tool_calls":[{{"index":{at},{function}}}]}}"#), "null")
}

fn ends(index: u64, reason: &str) -> String {
    chunk(index, "{}", &format!("\"{reason}\""))
}

const DONE: &str = "data: [DONE]\n\n";
const USAGE: &str = "data: {\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"gpt-x\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,\"prompt_tokens_details\":{\"cached_tokens\":2}}}\n\n";

/// What a client makes of a stream: of each choice its text, its calls and why it ended.
fn accumulated(client: &str) -> BTreeMap<u64, (String, Vec<String>, String)> {
    let mut events: Vec<Event> = Vec::new();
    Parser::default().feed(client.as_bytes(), &mut events).unwrap();
    let mut choices: BTreeMap<u64, (String, Vec<String>, String)> = BTreeMap::new();
    for event in events.iter().filter(|event| event.data != "[DONE]") {
        let node = json::read(event.data.as_bytes()).unwrap();
        for choice in node.get("choices").map(Node::elements).unwrap_or_default() {
            let of = choices.entry(choice.get("index").and_then(Node::number).unwrap()).or_default();
            let delta = choice.get("delta").unwrap();
            of.0.push_str(delta.get("content").and_then(Node::text).unwrap_or_default());
            for call in delta.get("tool_calls").map(Node::elements).unwrap_or_default() {
                assert_eq!(call.get("index").and_then(Node::number), Some(of.1.len() as u64));
                let function = call.get("function").unwrap();
                let text = |name: &str| function.get(name).and_then(Node::text).unwrap();
                of.1.push(format!("{}{}", text("name"), text("arguments")));
            }
            of.2.push_str(choice.get("finish_reason").and_then(Node::text).unwrap_or_default());
        }
    }
    choices
}

#[test]
fn each_choice_is_masked_by_itself() {
    let body = [
        says(0, "a SEC"),
        says(1, "SECR"),
        says(0, "RET b"),
        says(1, "ET"),
        ends(0, "stop"),
        ends(1, "length"),
        USAGE.to_owned(),
        DONE.to_owned(),
    ];
    let came = read(&body.concat());
    let said = accumulated(&came.client);
    assert_eq!(said[&0], ("a [masked] b".to_owned(), vec![], "stop".to_owned()));
    assert_eq!(said[&1], ("[masked]".to_owned(), vec![], "length".to_owned()));
    assert!(!came.client.contains("SECRET") && came.client.ends_with(DONE), "{}", came.client);
    assert_eq!(came.used, Some(Tokens { input: 7, output: 4, cache_read: 2, cache_write: 0 }));
    assert!(came.client.contains("\"prompt_tokens\":9"));
    let kept = |choice: u64, text: &str| {
        format!(r#"{{"choice":{choice},"type":"message","member":"content","text":"{text}"}}"#)
    };
    let kept = [kept(0, "a [masked] b"), kept(1, "[masked]")].join(",");
    assert_eq!(came.recorded, [format!(r#"{{"role":"assistant","content":[{kept}]}}"#)]);
    // A client that did not ask for the count does not get it; it is counted all the same.
    let unasked = || Answering::stream(Stream::new(Wanted::default(), Arc::new(ToolTable::default())));
    let came = everywhere(unasked, TestWords::binding, &body.concat());
    assert!(!came.client.contains("usage") && came.used.is_some());
}

#[test]
fn a_chunk_of_several_choices_is_as_many_chunks() {
    let both = r#"data: {"id":"c","object":"chat.completion.chunk","created":5,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"shell","arguments":"{\"command\":[\"DENY\"]}"}}]},"finish_reason":"tool_calls"},{"index":1,"delta":{"content":"a SECRET"},"finish_reason":"stop"}]}"#;
    let came = read(&format!("{both}\n\n{DONE}"));
    let said = accumulated(&came.client);
    assert!(said[&0].0.starts_with("[portcullis] shell was refused") && said[&0].2 == "stop", "{said:?}");
    assert_eq!(said[&1], ("a [masked]".to_owned(), vec![], "stop".to_owned()));
}

#[test]
fn calls_wait_until_their_choice_is_over_and_are_judged_in_order() {
    let body = [
        says(0, "now"),
        calls(0, 0, "shell", "{\"command\":"),
        calls(0, 1, "shell", "{\"command\":[\"DENY\"]}"),
        calls(0, 0, "", "[\"ls\",\"SECRET\"]}"),
        calls(0, 2, "other", ""),
        ends(0, "tool_calls"),
        DONE.to_owned(),
    ];
    let came = read(&body.concat());
    assert_eq!(came.proposed.len(), 3);
    assert_eq!(came.proposed[0], r#"shell (call_0) {"command":["ls","[masked]"]}"#);
    let said = &accumulated(&came.client)[&0];
    assert!(said.0.starts_with("now[portcullis] shell was refused: ") && said.0.contains("Ask the pilot."), "{said:?}");
    assert_eq!(said.1, [r#"shell{"command":["ls","[masked]"]}"#, "other{}"]);
    assert_eq!(said.2, "tool_calls");
    // Nothing of a call leaves before its choice is over.
    let open = answered(streamed(), TestWords::binding(), &[body[..5].concat().as_bytes()], Ended::Whole);
    assert!(open.broken.is_some() && !open.client.contains("shell") && open.proposed.is_empty());
    // Where none is left the choice does not wait for a result.
    let none = [calls(0, 0, "shell", "{\"command\":[\"DENY\"]}"), ends(0, "tool_calls"), DONE.to_owned()];
    assert_eq!(accumulated(&read(&none.concat()).client)[&0].2, "stop");
    for input in ["{\"command\":[\"ls\"],\"command\":[\"id\"]}", "{} x", "[]", "{"] {
        let body = [calls(0, 0, "shell", input), ends(0, "tool_calls"), DONE.to_owned()].concat();
        let said = accumulated(&read(&body).client);
        assert!(said[&0].0.starts_with("[portcullis] shell was refused") && said[&0].1.is_empty(), "{input}: {said:?}");
    }
}

#[test]
fn json_in_a_text_waits_until_it_is_whole_and_is_masked_by_its_fields() {
    let body = [
        says(0, "{\"ss"),
        says(1, "Here:\n```json\n["),
        says(0, "n\":5}"),
        says(1, "{\"ssn\":5}]\n```"),
        ends(0, "stop"),
        ends(1, "stop"),
        DONE.to_owned(),
    ];
    let said = accumulated(&read(&body.concat()).client);
    assert_eq!(said[&0].0, r#"{"ssn":"[masked]"}"#);
    assert_eq!(said[&1].0, "Here:\n```json\n[{\"ssn\":\"[masked]\"}]\n```");
    let document = r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"{\"ssn\":5}","reasoning":"a\n[{\"ssn\":5}]"},"finish_reason":"stop"}]}"#;
    let came = everywhere(self::document, TestWords::binding, document);
    assert_eq!(came.client, document.replace(":5", r#":\"[masked]\""#));
}

#[test]
fn a_call_is_judged_and_recorded_as_it_is_released() {
    let body = [
        calls(0, 0, "shell", r#"{"command":["psql","SECRET"],"ssn":5}"#),
        calls(0, 1, "mcp__db__run_sql", r#"{"sql":"ALTER ROLE a PASSWORD 'hunter2'"}"#),
        ends(0, "tool_calls"),
        DONE.to_owned(),
    ];
    let came = read(&body.concat());
    assert_eq!(came.proposed[0], r#"shell (call_0) {"command":["psql","[masked]"],"ssn":"[masked]"}"#);
    assert!(came.proposed[1].contains("[redacted]") && !came.proposed[1].contains("hunter2"), "{:?}", came.proposed);
    let kept = |id: &str, name: &str| format!(r#"{{"choice":0,"type":"function","id":"{id}","name":"{name}"}}"#);
    let kept = [kept("call_0", "shell"), kept("call_1", "mcp__db__run_sql")].join(",");
    assert!(came.client.contains("hunter2"), "the client runs it");
    assert_eq!(came.recorded, [format!(r#"{{"role":"assistant","content":[{kept}]}}"#)]);
}

#[test]
fn the_record_has_what_came_and_says_what_is_missing() {
    let half = says(0, "a SEC") + &calls(0, 0, "shell", r#"{"command":["PGPASSWORD=hunter2"#);
    let came = answered(streamed(), TestWords::binding(), &[half.as_bytes()], Ended::Broken);
    let [kept] = came.recorded.as_slice() else { panic!("{:?}", came.recorded) };
    assert!(kept.contains("a SEC") && kept.contains("this is not all") && !kept.contains("hunter2"), "{kept}");
    // A client that leaves while people decide.
    let body = says(0, "before") + &calls(0, 0, "shell", "{}") + &ends(0, "tool_calls") + DONE;
    let document = r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"before","tool_calls":[{"id":"a","type":"function","function":{"name":"shell","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;
    for (reader, body, whole) in [(streamed(), body.as_str(), false), (self::document(), document, true)] {
        let came = left(reader, TestWords::binding(), &[body.as_bytes()]);
        let [kept] = came.recorded.as_slice() else { panic!("{:?}", came.recorded) };
        assert!(kept.contains("before") && kept.contains("shell"), "{kept}");
        assert_eq!((came.broken.is_none(), kept.contains("this is not all")), (whole, !whole), "{kept}");
    }
}

#[test]
fn what_an_answer_used_is_known_when_its_choices_are_over() {
    let early = USAGE.to_owned() + &says(0, "a");
    assert_eq!(read(&early).used, None);
    let used = Some(Tokens { input: 7, output: 4, cache_read: 2, cache_write: 0 });
    assert_eq!(read(&(says(0, "a") + &ends(0, "stop") + USAGE)).used, used);
    assert_eq!(read(&(says(0, "a") + USAGE + &ends(0, "stop") + DONE)).used, used);
}

#[test]
fn of_a_head_only_what_is_listed_passes() {
    for (status, passed) in [(200, 200), (401, 502), (429, 429)] {
        let mut headers = HeaderMap::new();
        for name in ["x-request-id", "retry-after", "openai-organization", "openai-project", "set-cookie", "etag"] {
            headers.insert(name, "x".parse().unwrap());
        }
        let (mut reader, mut words) = (streamed(), TestWords::binding());
        let mut head = Head { status: StatusCode::from_u16(status).unwrap(), headers };
        reader.on_head(&mut head, &mut words).unwrap();
        let mut names: Vec<&str> = head.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        names.retain(|name| *name != "x-should-retry" || status != 401);
        assert_eq!(names, ["cache-control", "content-type", "retry-after", "x-request-id"]);
        assert_eq!(head.status.as_u16(), passed);
    }
    for status in [201, 206, 302] {
        let mut head = Head { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new() };
        assert!(streamed().on_head(&mut head, &mut TestWords::binding()).is_err(), "{status}");
    }
}

/// An error to a streamed request, as the client gets it.
fn failed(status: u16, body: &str) -> String {
    let (mut reader, mut words) = (streamed(), TestWords::binding());
    let mut head = Head { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new() };
    reader.on_head(&mut head, &mut words).unwrap();
    assert_eq!(head.headers["content-type"], "application/json");
    let (out, others) = testing::feed(&mut reader, &mut words, body.as_bytes(), 7);
    assert!(matches!(others[..], [Part::End]), "{others:?}");
    String::from_utf8(out).unwrap()
}

#[test]
fn errors_keep_their_type_message_and_codes_and_nothing_else() {
    let told = |codes: &str| {
        let error =
            failed(429, &format!(r#"{{"error":{{"type":"tokens","message":"SECRET: slow"{codes}}},"account":"z"}}"#));
        let rest = error.strip_prefix(r#"{"error":{"message":"[masked]: slow","type":"tokens","#).unwrap().to_owned();
        rest.strip_suffix("}}").unwrap().to_owned()
    };
    let long = format!(r#","code":"{}""#, "x".repeat(65));
    for (codes, kept) in [
        (
            r#","code":"context_length_exceeded","param":"messages""#,
            r#""param":"messages","code":"context_length_exceeded""#,
        ),
        (r#","param":"messages[0].content","code":null"#, r#""param":"messages[0].content","code":null"#),
        (r#","code":"a SECRET","param":"SECRET""#, r#""param":null,"code":null"#),
        (r#","code":400,"param":"""#, r#""param":null,"code":null"#),
        (long.as_str(), r#""param":null,"code":null"#),
        ("", r#""param":null,"code":null"#),
    ] {
        assert_eq!(told(codes), kept, "{codes}");
    }
    let own = failed(401, r#"{"error":{"type":"invalid_request_error","message":"Incorrect API key provided: sk-1"}}"#);
    assert!(own.contains("the gateway's own credential") && !own.contains("sk-1"), "{own}");
    assert!(failed(500, "<html>SECRET</html>").contains("answered 500"));
    assert!(failed(500, r#"{"error":{"type":"a b","message":"x"}}"#).contains("answered 500"));
}

#[test]
fn a_stream_that_breaks_its_grammar_breaks_off() {
    let done = DONE.to_owned();
    let other_name = calls(0, 0, "shell", "{}") + &calls(0, 0, "other", "{}");
    let piece = |members: &str| chunk(0, &format!(r#"{{"tool_calls":[{{"index":0,{members}}}]}}"#), "null");
    let cases: Vec<(&str, String)> = vec![
        ("nothing", String::new()),
        ("done alone", done.clone()),
        ("no done", says(0, "a") + &ends(0, "stop")),
        ("a choice that did not end", says(0, "a") + &done),
        ("text after the end", says(0, "a") + &ends(0, "stop") + &says(0, "b") + &done),
        ("a call after the end", ends(0, "stop") + &calls(0, 0, "shell", "{}") + &done),
        ("two ends", ends(0, "stop") + &ends(0, "stop") + &done),
        ("a chunk after done", ends(0, "stop") + &done + &says(0, "b")),
        ("two names of a call", other_name + &ends(0, "tool_calls") + &done),
        ("too many choices", says(16, "a") + &done),
        ("an old call", chunk(0, r#"{"function_call":{"name":"x"}}"#, "null")),
        ("no chunk", "data: {\"object\":\"chat.completion\"}\n\n".to_owned()),
        ("no JSON", "data: {\n\n".to_owned()),
        ("a member twice", "data: {\"id\":1,\"id\":2}\n\n".to_owned()),
        ("an id that is no id", says(0, "a").replace("c-1", "c 1")),
        ("an id that is too long", says(0, "a").replace("c-1", &"c".repeat(257))),
        ("a delta that is no object", chunk(0, r#""a SECRET""#, "null")),
        ("calls that are no list", chunk(0, r#"{"tool_calls":{"a":"SECRET"}}"#, "null")),
        ("an id of a call that is too long", calls(0, 0, "shell", "{}").replace("call_0", &"c".repeat(257))),
        ("a text in parts", chunk(0, r#"{"content":[{"type":"text","text":"a SECRET"}]}"#, "null")),
        ("a refusal in parts", chunk(0, r#"{"refusal":{"text":"a SECRET"}}"#, "null")),
        ("arguments that are no text", piece(r#""function":{"name":"shell","arguments":{"command":["ls"]}}"#)),
        ("a name that is no text", piece(r#""function":{"name":["shell"],"arguments":"{}"}"#)),
        ("an id that is no text", piece(r#""id":5,"function":{"name":"shell","arguments":"{}"}"#)),
        ("a function that is no object", piece(r#""function":"shell""#)),
        ("a call without an id", calls(0, 0, "shell", "{}").replace("call_0", "") + &ends(0, "tool_calls") + &done),
    ];
    for (what, body) in cases {
        let came = read(&body);
        assert!(came.broken.is_some(), "{what}: {}", came.client);
        assert!(came.client.contains(r#"data: {"error":"#), "{what}");
        if what != "a chunk after done" {
            assert!(!came.client.contains("[DONE]"), "{what}");
        }
    }
    let body = says(0, "a") + &ends(0, "stop") + DONE;
    assert!(answered(streamed(), TestWords::binding(), &[body.as_bytes()], Ended::Broken).broken.is_some());
    let error =
        says(0, "a") + "data: {\"error\":{\"type\":\"server_error\",\"message\":\"SECRET down\",\"x\":1}}\n\n" + DONE;
    let came = read(&error);
    let expected = r#"data: {"error":{"message":"[masked] down","type":"server_error","param":null,"code":null}}"#;
    assert!(came.client.trim_end().ends_with(expected) && came.broken.is_some(), "{}", came.client);
}

/// Clients leave a stream that is silent for minutes, and a long call is said for longer.
#[test]
fn a_call_that_is_said_for_long_is_not_silent() {
    let piece = calls(0, 0, "", &"a".repeat(200));
    let begins = calls(0, 0, "shell", r#"{"command":""#);
    let ends = calls(0, 0, "", r#""}"#) + &ends(0, "tool_calls") + DONE;
    let came = read(&(begins.clone() + &piece.repeat(60) + &ends));
    assert_eq!((came.broken, came.proposed.len()), (None, 1));
    assert!((2..8).contains(&came.client.matches(": goes on\n\n").count()), "{}", came.client);
    assert!(!read(&(begins + &piece + &ends)).client.contains(": goes on"));
}

/// As Azure's API reference shows them, its asynchronous filter on.
#[test]
fn what_filters_say_is_left_out_and_what_they_end_is_over() {
    let filter = |choice: &str| {
        format!(
            r#"data: {{"id":"","object":"","created":0,"model":"","prompt_filter_results":[{{"a":"SECRET"}}],"choices":[{choice}],"usage":null}}"#
        ) + "\n\n"
    };
    let found = r#"{"index":0,"finish_reason":null,"content_filter_results":{"a":"SECRET"},"content_filter_offsets":{"check_offset":44}}"#;
    let ended = found.replace("null", r#""content_filter""#);
    let all = [filter(""), says(0, "a"), filter(found), ends(0, "stop"), filter(found), DONE.to_owned()];
    let came = read(&all.concat());
    assert_eq!((came.broken, came.client), (None, read(&(says(0, "a") + &ends(0, "stop") + DONE)).client));
    let came = read(&[filter(""), says(0, "a"), filter(&ended), DONE.to_owned()].concat());
    assert_eq!(accumulated(&came.client)[&0], ("a".to_owned(), vec![], "content_filter".to_owned()));
    let came = read(&[calls(0, 0, "shell", r#"{"command":["DENY"]}"#), filter(&ended), DONE.to_owned()].concat());
    let said = &accumulated(&came.client)[&0];
    assert!(said.0.starts_with("[portcullis] shell was refused") && said.1.is_empty(), "{said:?}");
    for strange in [
        says(0, "a").replace("chat.completion.chunk", ""),
        filter("").replace(r#""object":"""#, r#""object":"x""#),
        filter(r#"{"index":0,"delta":"SECRET"}"#),
        filter(r#"{"index":0,"delta":null}"#),
        filter(r#"{"finish_reason":"stop"}"#),
    ] {
        let came = read(&(strange.clone() + &ends(0, "stop") + DONE));
        assert!(came.broken.is_some(), "{strange}");
    }
}

#[test]
fn a_document_is_masked_and_its_calls_are_judged() {
    let call = |id: &str, command: &str| {
        format!(
            r#"{{"id":"{id}","type":"function","function":{{"name":"shell","arguments":"{{\"command\":[\"{command}\"]}}"}}}}"#
        )
    };
    let body = |calls: &str| {
        format!(
            r#"{{ "id":"c","object":"chat.completion","model":"gpt-x","choices":[{{"index":0,"message":{{"role":"assistant","content":null,"refusal":"SECRET","tool_calls":[{calls}]}},"logprobs":{{"x":"SECRET"}},"finish_reason":"tool_calls"}},{{"index":1,"message":{{"role":"assistant","content":"a SECRET"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":9}} }}"#
        )
    };
    let came = everywhere(document, TestWords::binding, &body(&[call("a", "ls"), call("b", "DENY")].join(",")));
    assert_eq!(came.broken, None);
    assert_eq!(came.proposed.len(), 2);
    let node = json::read(came.client.as_bytes()).unwrap();
    let [first, second] = node.get("choices").unwrap().elements() else { panic!("{}", came.client) };
    let message = first.get("message").unwrap();
    assert_eq!(message.get("tool_calls").unwrap().elements().len(), 1);
    assert!(message.get("content").and_then(Node::text).unwrap().starts_with("[portcullis] shell was refused"));
    assert_eq!(first.get("finish_reason").and_then(Node::text), Some("tool_calls"));
    assert_eq!(
        second.get("message").and_then(|message| message.get("content")).and_then(Node::text),
        Some("a [masked]")
    );
    assert!(!came.client.contains("SECRET") && !came.client.contains("DENY"), "{}", came.client);
    let came = everywhere(document, TestWords::binding, &body(&call("b", "DENY")).replace(r#""content":null,"#, ""));
    assert!(came.client.contains(r#""finish_reason":"stop""#) && came.client.contains(r#""tool_calls":null"#));
    assert!(came.client.contains(r#""content":"[portcullis] shell"#), "{}", came.client);
    for strange in [
        "{}",
        "",
        "[]",
        r#"{"object":"chat.completion"}"#,
        r#"{"object":"chat.completion","choices":[{}]}"#,
        r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":[1]}}]}"#,
        r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":{"a":"SECRET"}}}]}"#,
        r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":null,"audio":{}}}]}"#,
        r#"{"object":"chat.completion","choices":[{"index":0,"message":"a SECRET"}]}"#,
        r#"{"object":"chat.completion","choices":[{"index":0,"message":["a SECRET"]}]}"#,
        r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"a SECRET","content":"a"}}]}"#,
        r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","tool_calls":{"a":"SECRET"}}}]}"#,
        r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","tool_calls":"SECRET"}}]}"#,
        r#"{"object":"chat.completion","choices":[{"index":"a SECRET","message":{"role":"assistant","content":"a"}}]}"#,
        r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"a SECRET"}]}"#,
        r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":["SECRET"]}]}"#,
        r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"a"}},{"index":0,"message":{"role":"assistant","content":"b"}}]}"#,
        r#"{"object":"chat.completion","choices":{"a":"SECRET"}}"#,
    ] {
        let came = everywhere(document, TestWords::binding, strange);
        assert!(came.broken.is_some() && came.client.is_empty(), "{strange}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_nothing_protected_leaves_and_no_part_looks_whole(
        chunks in proptest::collection::vec(prop_oneof![
            5 => (0..2u64, "(SECRET|SEC|RET|[a-z]{0,3})").prop_map(|(index, text)| says(index, &text)),
            2 => (0..2u64, 0..2u64, "(shell)?", "(SECRET|\\{\\}|\\{\"a\":)").prop_map(|(i, at, name, text)| calls(i, at, &name, &text)),
            2 => (0..2u64).prop_map(|index| ends(index, "tool_calls")),
            1 => Just(USAGE.to_owned()),
            1 => Just(DONE.to_owned()),
        ], 0..14),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let body = chunks.concat();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        at.extend([0, body.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &body.as_bytes()[pair[0]..pair[1]]).collect();
        let came = answered(streamed(), TestWords::binding(), &pieces, Ended::Whole);
        prop_assert_eq!(&came, &answered(streamed(), TestWords::binding(), &[body.as_bytes()], Ended::Whole));
        prop_assert!(came.broken.is_some() || came.client.ends_with(DONE));
        for (text, calls, _) in accumulated(&came.client).into_values() {
            prop_assert!(!text.contains("SECRET") && !calls.concat().contains("SECRET"), "{}", came.client);
        }
    }
}
