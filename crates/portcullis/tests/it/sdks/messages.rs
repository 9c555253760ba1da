//! A provider of the Messages API: what it says follows from a word in the conversation (`case-…`) and the model.

use portcullis_testkit::http::{Act, Asked, answer, begun, chunked};
use serde_json::{Value, json};

/// What the model says, and the tool that it proposes to call.
struct Turn {
    text: String,
    call: Option<(&'static str, Value)>,
}

fn turn(body: &str) -> Turn {
    let said = |text: &str| Turn { text: text.to_owned(), call: None };
    let calls = |name: &'static str, input: Value| Turn { text: "I shall.".to_owned(), call: Some((name, input)) };
    match body {
        // The last turn of an agent's: its tool has run.
        _ if body.contains(r#""tool_result""#) => said("The tool has run."),
        _ if body.contains("case-drop") => calls("Bash", json!({"command": "psql -c 'DROP TABLE users'"})),
        _ if body.contains("case-list") => {
            let place = body.split("case-list(").nth(1).and_then(|rest| rest.split(')').next()).unwrap_or("/tmp");
            calls("Bash", json!({"command": format!("ls {place}")}))
        }
        _ if body.contains("case-echo") => calls("mcp__tools__echo", json!({"text": "as the agent said"})),
        _ if body.contains("case-query") => calls("mcp__tools__run_sql", json!({"sql": "DROP TABLE customers"})),
        _ if body.contains("case-mask") => said("Grüße an agent@corp.example, \"bald\" \u{1F44B}\nEnde"),
        _ if body.contains("case-json") => said(r#"{"city":"Rome","mail":"agent@corp.example"}"#),
        _ => said("Hello."),
    }
}

fn event(name: &str, mut data: Value) -> String {
    data["type"] = name.into();
    format!("event: {name}\ndata: {data}\n\n")
}

/// The turn as events, its text cut into single characters and the call's input in two.
fn events(turn: &Turn, model: &Value) -> Vec<String> {
    let usage = json!({"input_tokens": 11, "output_tokens": 1});
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage});
    let mut events = vec![event("message_start", json!({"message": message})), event("ping", json!({}))];
    let mut block = |index: usize, start: Value, deltas: Vec<Value>| {
        events.push(event("content_block_start", json!({"index": index, "content_block": start})));
        events.extend(
            deltas.into_iter().map(|delta| event("content_block_delta", json!({"index": index, "delta": delta}))),
        );
        events.push(event("content_block_stop", json!({"index": index})));
    };
    let letters = turn.text.chars().map(|letter| json!({"type": "text_delta", "text": letter.to_string()}));
    block(0, json!({"type": "text", "text": ""}), letters.collect());
    if let Some((name, input)) = &turn.call {
        let input = input.to_string();
        let pieces = [&input[..9], &input[9..]].map(|part| json!({"type": "input_json_delta", "partial_json": part}));
        block(1, json!({"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}), pieces.into());
    }
    let delta = json!({"stop_reason": reason(turn), "stop_sequence": null});
    events.push(event("message_delta", json!({"delta": delta, "usage": {"output_tokens": 7}})));
    events.push(event("message_stop", json!({})));
    events
}

const fn reason(turn: &Turn) -> &'static str {
    if turn.call.is_some() { "tool_use" } else { "end_turn" }
}

fn whole(turn: &Turn, model: &Value) -> Value {
    let mut content = vec![json!({"type": "text", "text": turn.text})];
    if let Some((name, input)) = &turn.call {
        content.push(json!({"type": "tool_use", "id": "toolu_1", "name": name, "input": input}));
    }
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": reason(turn), "stop_sequence": null, "usage": {"input_tokens": 11, "output_tokens": 7}})
}

fn document(body: &Value) -> Vec<Act> {
    answer("200 OK", "application/json", body.to_string().as_bytes())
}

/// What is done about a request.
pub(super) fn answered(asked: &Asked) -> Vec<Act> {
    let path = asked.target().split('?').next().unwrap_or_default();
    let text = String::from_utf8_lossy(&asked.body).into_owned();
    let model =
        json!({"type": "model", "id": "claude-small", "display_name": "Small", "created_at": "2026-01-05T10:00:00Z"});
    if path == "/anthropic/v1/models/claude-small" {
        return document(&model);
    }
    if path == "/anthropic/v1/models" {
        return document(
            &json!({"data": [model], "has_more": false, "first_id": "claude-small", "last_id": "claude-small"}),
        );
    }
    if path == "/anthropic/v1/messages/count_tokens" {
        return document(&json!({"input_tokens": 42}));
    }
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let (turn, model) = (turn(&text), &body["model"]);
    if body["stream"] != true {
        return document(&whole(&turn, model));
    }
    let events = events(&turn, model);
    let pieces: Vec<&str> = events.iter().map(String::as_str).collect();
    let half = &pieces[..pieces.len() / 2];
    match text {
        // It ends as if it were whole; or its connection does.
        _ if text.contains("case-short") => chunked("text/event-stream", half),
        _ if text.contains("case-broken") => [begun("text/event-stream", half), vec![Act::Close]].concat(),
        _ => chunked("text/event-stream", &pieces),
    }
}
