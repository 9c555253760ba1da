//! Answers that come as one document, and errors.

use super::*;

#[test]
fn a_document_is_masked_and_its_calls_are_judged() {
    let message = r#"{"id":"msg_1","type":"message","status":"completed","role":"assistant","phase":"final_answer","content":[{"type":"output_text","annotations":[{"type":"url_citation","title":"SECRET"},{"type":"file_path","file_id":"SECRET"}],"logprobs":[{"token":"SECRET"}],"text":"a SECRET","x":"SECRET"},{"type":"refusal","refusal":"no SECRET"}]}"#;
    let reasoning = format!(
        r#"{{"id":"rs_1","type":"reasoning","summary":[{{"type":"summary_text","text":"of SECRET"}}],"content":null,"encrypted_content":"{SEALED}"}}"#
    );
    let search =
        r#"{"id":"ws_1","type":"web_search_call","status":"completed","action":{"type":"search","query":"SECRET"}}"#;
    let call = |at: usize, command: &str| call_item(at, "shell", &format!(r#"{{"command":["{command}"],"ssn":5}}"#));
    let items = [reasoning, search.to_owned(), message.to_owned(), call(0, "ls"), call(1, "DENY")];
    let came = everywhere(document, TestWords::binding, &whole(&items, ""));
    assert_eq!((came.broken, came.proposed.len()), (None, 2));
    let released = [
        format!(r#"{{"id":"rs_1","type":"reasoning","summary":[{{"type":"summary_text","text":"of [masked]"}}],"encrypted_content":"{SEALED}"}}"#),
        search.replace("SECRET", "[masked]"),
        r#"{"id":"msg_1","type":"message","status":"completed","role":"assistant","phase":"final_answer","content":[{"type":"output_text","annotations":[{"type":"url_citation","title":"[masked]"}],"text":"a [masked]"},{"type":"refusal","refusal":"no [masked]"}]}"#.to_owned(),
        call_item(0, "shell", r#"{"command":["ls"],"ssn":"[masked]"}"#),
    ];
    let start = format!(
        r#"{{"id":"resp_1","object":"response","created_at":5,"status":"completed","error":null,"model":"gpt-x","temperature":1.0{USAGE},"output":[{},{{"id":"msg_call_1","type":"message","status":"completed","role":"assistant","content":[{{"type":"output_text","annotations":[],"text":"[portcullis] shell was refused: "#,
        released.join(",")
    );
    assert!(came.client.starts_with(&start), "{}\n{start}", came.client);
    assert!(came.client.contains("Ask the pilot.") && !came.client.contains("DENY"), "{}", came.client);
    assert_eq!(came.used, Some(Tokens { input: 7, output: 4, cache_read: 2, cache_write: 0 }));
    // It is the same as a stream of the same.
    let body = created() + &calls(0, "shell", &["{\"command\":[\"DENY\"]}"]) + &completed();
    let streamed = accumulated(&read(&body).client).items;
    let came =
        everywhere(document, TestWords::binding, &whole(&[call_item(0, "shell", "{\"command\":[\"DENY\"]}")], ""));
    assert!(came.client.ends_with(&format!(r#""output":[{}]}}"#, streamed.join(","))), "{}", came.client);
}

#[test]
fn a_document_that_is_none_of_the_api_does_not_pass() {
    let item = |item: &str| whole(&[item.to_owned()], "");
    let text = message_item(0, r#"{"type":"output_text","text":"a SECRET"}"#);
    for strange in [
        String::new(),
        "{}".to_owned(),
        "[]".to_owned(),
        r#"{"object":"response"}"#.to_owned(),
        whole(&[], r#","output":[]"#),
        item("{}"),
        item(r#""SECRET""#),
        item(&text).replace(r#""object":"response""#, r#""object":"chat.completion""#),
        item(&text).replace(r#""status":"completed","instructions""#, r#""status":"queued","instructions""#),
        item(&text).replace(r#""status":"completed","instructions""#, r#""instructions""#),
        item(&text).replace(r#""id":"resp_1""#, r#""id":"a SECRET""#),
        item(&text.replace("assistant", "user")),
        item(&text.replace("msg_0", "")),
        item(&text.replace("\"completed\"", "\"a SECRET\"")),
        item(&text.replace("output_text", "output_audio")),
        item(&text.replace("output_text", "summary_text")),
        item(&text.replace(r#""text":"a SECRET""#, r#""text":["SECRET"]"#)),
        item(&text.replace(r#""text":"a SECRET""#, r#""text":"a","annotations":"SECRET""#)),
        item(&text.replace(r#"[{"type""#, r#"{"type""#).replace(r#""}]"#, r#""}"#)),
        item(r#"{"id":"a","type":"image_generation_call","result":"SECRET"}"#),
        item(r#"{"id":"a","type":"custom_tool_call","call_id":"c","name":"SECRET","input":"SECRET"}"#),
        item(r#"{"id":"a","type":"web_search_call","action":"SECRET"}"#),
        item(r#"{"id":"a","type":"reasoning","summary":[],"encrypted_content":"SECRET"}"#),
        item(&call_item(0, "shell", "{}").replace(r#""arguments":"{}""#, r#""arguments":{}"#)),
        item(&call_item(0, "shell", "{}").replace(r#""name""#, r#""namespace":"x","name""#)),
        whole(&[text.clone(), text.clone()], ""),
        whole(&[call_item(0, "a", "{}"), call_item(1, "a", "{}").replace("call_1", "call_0")], ""),
        whole(&[], r#","incomplete_details":{"reason":"a SECRET"}"#),
    ] {
        let came = everywhere(document, TestWords::binding, &strange);
        assert!(came.broken.is_some() && came.client.is_empty(), "{strange}: {}", came.client);
    }
}

#[test]
fn of_a_head_only_what_is_listed_passes_and_errors_are_those_of_the_api() {
    let (mut reader, mut words) = (streamed(), TestWords::binding());
    let mut headers = HeaderMap::new();
    for name in ["x-request-id", "openai-organization", "openai-project", "set-cookie"] {
        headers.insert(name, "x".parse().unwrap());
    }
    let mut head = Head { status: StatusCode::BAD_REQUEST, headers };
    reader.on_head(&mut head, &mut words).unwrap();
    let mut names: Vec<&str> = head.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["cache-control", "content-type", "x-request-id"]);
    let error = r#"{"error":{"message":"SECRET","type":"invalid_request_error","param":"input","code":"x"}}"#;
    let (out, _) = testing::feed(&mut reader, &mut words, error.as_bytes(), 7);
    assert_eq!(out, br#"{"error":{"message":"[masked]","type":"invalid_request_error","param":"input","code":"x"}}"#);
}
