//! Replays of what fuzzers are given: arbitrary bytes, texts that are nearly right, and the fixtures with bytes changed.

use super::*;
use crate::coding::fuzz_coding;
use proptest::prelude::*;

const REQUESTS: &str = include_str!("../../../../fixtures/http/mcp.tsv");
const TOOLS: &str = include_str!("../../../../fixtures/http/tools.tsv");
const PATHS: &str = include_str!("../../../../fixtures/http/paths.tsv");

/// Every function of this file and its neighbours.
fn all(data: &[u8]) {
    fuzz_head(data);
    fuzz_document(data);
    fuzz_events(data);
    fuzz_tool(data);
    fuzz_mcp(data);
    fuzz_request(data);
    fuzz_answers(data);
    fuzz_coding(data);
    fuzz_websocket(data);
}

fn rows(table: &str) -> impl Iterator<Item = Vec<&str>> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| line.split('\t').collect())
}

/// A message of the table as these functions take it.
fn message(row: &[&str]) -> Option<String> {
    let [_, method, headers, body] = row[..] else { return None };
    let headers: String = headers.split(" | ").filter(|one| !one.is_empty()).map(|one| format!("\n{one}")).collect();
    Some(format!("{method} /{headers}\n\n{body}"))
}

#[test]
fn the_fixtures_come_to_what_they_say() {
    let mut read = 0;
    for row in rows(REQUESTS) {
        let text = message(&row).unwrap();
        fuzz_mcp(text.as_bytes());
        read += usize::from(request_of(text.as_bytes(), "/").is_some());
    }
    assert!(read > 120, "{read}");
    for row in rows(TOOLS) {
        fuzz_tool(format!("{}\0{}", row[0], row[1]).as_bytes());
        fuzz_document(row[1].as_bytes());
    }
    for row in rows(PATHS) {
        fuzz_path(row[1].as_bytes());
        fuzz_head(format!("GET /crm{}\nhost: gw\nauthorization: Bearer x\nprefer: respond-async", row[1]).as_bytes());
    }
}

/// The requests that these functions are given in tests do pass: what is asserted of them is not asserted of nothing.
#[test]
fn what_is_right_is_read() {
    let turn = |path: &str, body: &str| request_of(format!("POST /\n\n{body}").as_bytes(), path).unwrap();
    let (tools, mut masks) = (Arc::new(ToolTable::default()), Masks::default());
    let body = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
    assert!(passed(anthropic::read(turn("/v1/messages", body), &tools, &mut masks)).is_some());
    assert!(passed(openai::read(turn("/v1/chat/completions", body), &tools, &mut masks)).is_some());
    let items = r#"{"model":"m","input":"hi"}"#;
    assert!(passed(openai::read(turn("/v1/responses", items), &tools, &mut masks)).is_some());
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#;
    assert!(passed(mcp::read(turn("/", call), &context().unwrap())).is_some());
    let (parts, _) = head_of(b"GET /crm/a?b=c\nhost: gw\nx-note: 1").unwrap();
    let routes = Routes { names: [Name::canonical("crm")].into(), ..Routes::default() };
    assert!(head::read(&parts, false, &routes).is_ok());
    fuzz_websocket(b"\x17\x01\x02h\xc3\x89\x01!\x00\x02\xabl\x80\x02lo\x82\x01\x00\x8a\x00\x88\x02\x03\xe9");
    for which in 0..=u8::MAX {
        fuzz_answers(&[which, 3, b'{', b'}']);
    }
}

proptest! {
    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        all(&data);
    }

    #[test]
    fn nearly_json(text in "[\\[\\]{}\":,a1.eE+\\-\\\\u nrs0]{0,24}") {
        fuzz_document(text.as_bytes());
        fuzz_tool(text.as_bytes());
        fuzz_tool(format!("t\0{{\"command\":{text}}}").as_bytes());
    }

    #[test]
    fn nearly_a_head(
        method in "GET|POST|PUT|TRACE|get|OPTIONS",
        target in "(/crm|/claude|http://gw|\\*)?(/|%2F|%2e|\\.\\.|\\.|a|b;|;|\\?|&|=|%41|%C3%A9|//|~|\\+){0,8}",
        headers in prop::collection::vec(
            "host: (gw|crm\\.example|a@b|gw:1)|authorization: Bearer (x|y z)|x-api-key: x|prefer: respond-async(, wait=2)?|connection: (x-a|prefer|close)|x-a: b|x_a: b|te: x|content-length: 0|x-http-method-override: GET|if-match: \"a\"|upgrade: (websocket|h2c)|connection: upgrade|sec-websocket-version: 13|sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==|sec-websocket-protocol: a",
            0..6,
        ),
        version in "( 2)?",
    ) {
        let head = format!("{method} {target}{version}\n{}", headers.join("\n"));
        fuzz_head(head.trim_end().as_bytes());
    }

    #[test]
    fn nearly_frames(
        how in any::<u8>(),
        frames in prop::collection::vec((prop::sample::select(vec![0_u8, 1, 2, 8, 9, 10, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a, 0xc1, 0x83]), any::<[u8; 4]>(), prop::collection::vec(any::<u8>(), 0..130)), 0..6),
    ) {
        let mut bytes = vec![how];
        for (first, mask, payload) in frames {
            let mut out = bytes::BytesMut::new();
            crate::websocket::write(crate::websocket::Kind::Text, &payload, (how & 1 == 0).then_some(mask), &mut out);
            out[0] = first;
            bytes.extend(out);
        }
        fuzz_websocket(&bytes);
    }

    #[test]
    fn nearly_events(cut in any::<u8>(), lines in prop::collection::vec("(data|event|id|retry)?:? ?[a-b\0: \u{feff}0-9]{0,4}(\n|\r|\r\n)", 0..12)) {
        fuzz_events(&[&[cut][..], lines.concat().as_bytes()].concat());
    }

    #[test]
    fn a_message_with_bytes_changed(row in any::<prop::sample::Index>(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)) {
        let all: Vec<String> = rows(REQUESTS).filter_map(|row| message(&row)).collect();
        let mut bytes = all[row.index(all.len())].clone().into_bytes();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        fuzz_mcp(&bytes);
        fuzz_request(&[&[2][..], &bytes].concat());
    }

    #[test]
    fn a_conversation_with_bytes_changed(
        which in 0_u8..3,
        block in "(text|tool_use|tool_result|image|document|thinking|x)",
        said in "(SECRET|\\{\"ssn\":1\\}|rm -rf /|hi){0,2}",
        more in "(,\"(stream|tools|system|n|stop|temperature|thinking|metadata)\":(true|null|1|\\[\\]|\\{\\}|\"SECRET\")){0,2}",
    ) {
        let said = json::quoted(&said);
        let body = format!(r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":[{{"type":"{block}","text":{said},"id":"toolu_1","name":"Bash","input":{{"command":{said}}},"content":{said}}}]}}]{more}}}"#);
        fuzz_request(&[&[which][..], b"POST /\n\n", body.as_bytes()].concat());
    }

    #[test]
    fn an_input_with_bytes_changed(
        item in "(message|function_call|function_call_output|reasoning|web_search_call|item_reference|x)",
        part in "(input_text|input_image|output_text|refusal|input_file|x)",
        said in "(SECRET|\\{\"ssn\":1\\}|rm -rf /|hi){0,2}",
        more in "(,\"(stream|store|tools|include|instructions|background|text|metadata)\":(true|false|null|1|\\[\\]|\\{\\}|\"SECRET\")){0,2}",
    ) {
        let said = json::quoted(&said);
        let body = format!(r#"{{"model":"m","input":[{{"type":"{item}","role":"user","content":[{{"type":"{part}","text":{said}}}]}},{{"type":"{item}","call_id":"call_1","name":"t","arguments":{said}}},{{"type":"{item}","call_id":"call_1","output":{said}}}]{more}}}"#);
        fuzz_request(&[&[3][..], b"POST /\n\n", body.as_bytes()].concat());
        let body = format!(r#"{{"model":"m","input":[{{"type":"{item}","role":"user","content":[{{"type":"{part}","text":{said}}}]}}]{more}}}"#);
        fuzz_request(&[&[3][..], b"POST /\n\n", body.as_bytes()].concat());
    }

    #[test]
    fn an_answer_in_pieces(
        which in any::<u8>(),
        cut in 0_u8..40,
        events in prop::collection::vec(prop::sample::select(vec![
            r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"usage":{"input_tokens":1}}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"of SEC"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"RET {\"ssn\":1}"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"Bash","input":{}}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"command\":\"DENY ls\"}"}}"#,
            r#"{"type":"content_block_stop","index":1}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":2}}"#,
            r#"{"type":"message_stop"}"#,
            r#"{"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":"a SECRET"},"finish_reason":null}]}"#,
            r#"{"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"Bash","arguments":"{\"command\":\"ls\"}"}}]},"finish_reason":"tool_calls"}]}"#,
            "[DONE]",
            r#"{"type":"response.created","response":{"id":"r","object":"response","status":"in_progress","model":"m","output":[]}}"#,
            r#"{"type":"response.output_item.added","output_index":0,"item":{"id":"m","type":"message","role":"assistant","content":[]}}"#,
            r#"{"type":"response.content_part.added","output_index":0,"item_id":"m","content_index":0,"part":{"type":"output_text","text":""}}"#,
            r#"{"type":"response.output_text.delta","output_index":0,"item_id":"m","content_index":0,"delta":"of SEC"}"#,
            r#"{"type":"response.output_text.done","output_index":0,"item_id":"m","content_index":0,"text":"of SEC"}"#,
            r#"{"type":"response.content_part.done","output_index":0,"item_id":"m","content_index":0,"part":{"type":"output_text","text":"of SEC"}}"#,
            r#"{"type":"response.output_item.done","output_index":0,"item":{"id":"m","type":"message","role":"assistant","content":[{"type":"output_text"}]}}"#,
            r#"{"type":"response.output_item.added","output_index":0,"item":{"id":"f","type":"function_call","call_id":"c","name":"Bash","arguments":""}}"#,
            r#"{"type":"response.output_item.done","output_index":0,"item":{"id":"f","type":"function_call","call_id":"c","name":"Bash","arguments":""}}"#,
            r#"{"type":"response.completed","response":{"id":"r","object":"response","status":"completed","model":"m","output":[]}}"#,
            r#"{"id":"r","object":"response","status":"completed","model":"m","output":[{"id":"m","type":"message","role":"assistant","content":[{"type":"output_text","text":"a SECRET"}]},{"id":"f","type":"function_call","call_id":"c","name":"Bash","arguments":"{\"command\":\"DENY ls\"}"}]}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"a SECRET"}]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"DENY","inputSchema":{}},{"name":"b","inputSchema":{}}]}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":2,"progress":1}}"#,
            r#"{"ssn":"SECRET","a":["SECRET"]}"#,
            "SECRET",
            "",
        ]), 0..9),
        framed in any::<bool>(),
    ) {
        let body: String = events.iter().map(|event| if framed { format!("data: {event}\n\n") } else { format!("{event}\n") }).collect();
        fuzz_answers(&[&[which, cut][..], body.as_bytes()].concat());
    }
}
