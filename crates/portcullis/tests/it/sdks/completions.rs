//! A provider of chat completions, embeddings and a list of models: what it says follows from a word in the conversation.

use portcullis_testkit::http::{Act, Asked, answer, begun, chunked};
use serde_json::{Value, json};

fn document(body: &Value) -> Vec<Act> {
    answer("200 OK", "application/json", body.to_string().as_bytes())
}

fn said(body: &str) -> (&'static str, Option<&'static str>) {
    match body {
        _ if body.contains("case-drop") => ("I shall.", Some("psql -c 'DROP TABLE users'")),
        _ if body.contains("case-list") => ("I shall.", Some("ls /tmp")),
        _ if body.contains("case-json") => (r#"{"city":"Rome","mail":"agent@corp.example"}"#, None),
        _ if body.contains("case-mask") => ("Grüße an agent@corp.example, \"bald\" \u{1F44B}\nEnde", None),
        _ => ("Hello.", None),
    }
}

const fn reason(command: Option<&str>) -> &'static str {
    if command.is_some() { "tool_calls" } else { "stop" }
}

/// The text in single characters, the arguments of the call in two pieces, then the count of tokens.
fn events(text: &str, command: Option<&str>, model: &Value) -> Vec<String> {
    let chunk = |choices: Value, usage: Value| {
        let body = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_767_607_200, "model": model,
            "choices": choices, "usage": usage});
        format!("data: {body}\n\n")
    };
    let delta = |delta: Value, reason: Value| {
        chunk(json!([{"index": 0, "delta": delta, "finish_reason": reason}]), Value::Null)
    };
    let mut events = vec![delta(json!({"role": "assistant", "content": ""}), Value::Null)];
    events.extend(text.chars().map(|letter| delta(json!({"content": letter.to_string()}), Value::Null)));
    if let Some(command) = command {
        let input = json!({"command": command}).to_string();
        let call = json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": "Bash", "arguments": &input[..9]}});
        let rest = json!({"index": 0, "function": {"arguments": &input[9..]}});
        events.extend([call, rest].map(|call| delta(json!({"tool_calls": [call]}), Value::Null)));
    }
    events.push(delta(json!({}), reason(command).into()));
    events.push(chunk(json!([]), json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18})));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn whole(text: &str, command: Option<&str>, model: &Value) -> Value {
    let mut message = json!({"role": "assistant", "content": text, "refusal": null});
    if let Some(command) = command {
        let input = json!({"command": command}).to_string();
        message["tool_calls"] =
            json!([{"id": "call_1", "type": "function", "function": {"name": "Bash", "arguments": input}}]);
    }
    let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": reason(command)});
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1_767_607_200, "model": model,
        "choices": [choice], "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}})
}

/// The vector 1.0, -0.5, 0.25: as numbers, or as the bytes of little-endian floats in Base64, which the SDK asks for.
fn embedding(body: &Value) -> Value {
    let vector = if body["encoding_format"] == "base64" { json!("AACAPwAAAL8AAIA+") } else { json!([1.0, -0.5, 0.25]) };
    json!({"object": "list", "model": body["model"], "usage": {"prompt_tokens": 3, "total_tokens": 3},
        "data": [{"object": "embedding", "index": 0, "embedding": vector}]})
}

/// What is done about a request.
pub(super) fn answered(asked: &Asked) -> Vec<Act> {
    let text = String::from_utf8_lossy(&asked.body).into_owned();
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let model = json!({"id": "gpt-small", "object": "model", "created": 1_767_607_200, "owned_by": "system"});
    match asked.target() {
        "/openai/v1/models" => return document(&json!({"object": "list", "data": [model]})),
        "/openai/v1/models/gpt-small" => return document(&model),
        "/openai/v1/embeddings" => return document(&embedding(&body)),
        _ => {}
    }
    let ((said, command), model) = (said(&text), &body["model"]);
    if body["stream"] != true {
        return document(&whole(said, command, model));
    }
    let events = events(said, command, model);
    let pieces: Vec<&str> = events.iter().map(String::as_str).collect();
    let half = &pieces[..pieces.len() / 2];
    match text {
        // It ends as if it were whole; or its connection does.
        _ if text.contains("case-short") => chunked("text/event-stream", half),
        _ if text.contains("case-broken") => [begun("text/event-stream", half), vec![Act::Close]].concat(),
        _ => chunked("text/event-stream", &pieces),
    }
}
