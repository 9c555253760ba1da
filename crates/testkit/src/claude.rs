//! A scripted model behind the shape of Anthropic's Messages API, whole and as a stream in small deltas.
//!
//! Promises: the same answer to the same request: a few words; a call of the tool `Bash`, where it is offered, that drops a
//! table if the newest message says "clean up" and that lists files if it says "look"; nothing without the key in
//! `x-api-key`. Does not promise a model, or anything of the API beyond messages and their list of models.
//! Held by: the tests below, and the demo's script.

use crate::http::{Act, Answers, Asked, answer, chunked};
use serde_json::{Value, json};
use std::sync::Arc;

/// The model that it says it is.
pub const MODEL: &str = "claude-opus-5";

/// What it would do when asked to clean up.
pub const DESTRUCTIVE: &str = "psql -c 'DROP TABLE orders'";

/// Letters of a delta.
const DELTA: usize = 6;

/// Answers for whoever has this key.
#[must_use]
pub fn answers(key: &str) -> Answers {
    let key = key.to_owned();
    Arc::new(move |asked| match (asked.header("x-api-key") == Some(key.as_str()), asked.line.split(' ').next()) {
        (false, _) => failed("401 Unauthorized", "authentication_error", "no key, no answer"),
        (true, Some("POST")) if path(asked) == "/v1/messages" => message(&asked.body),
        (true, Some("GET")) if path(asked) == "/v1/models" => {
            let model = json!({
                "type": "model", "id": MODEL, "display_name": "A scripted model", "created_at": "2026-01-01T00:00:00Z"
            });
            whole(&json!({ "data": [model], "has_more": false, "first_id": MODEL, "last_id": MODEL }))
        }
        (true, _) => failed("404 Not Found", "not_found_error", "there is nothing here"),
    })
}

fn path(asked: &Asked) -> &str {
    asked.target().split('?').next().unwrap_or_default()
}

fn failed(status: &str, kind: &str, message: &str) -> Vec<Act> {
    let body = json!({ "type": "error", "error": { "type": kind, "message": message } });
    answer(status, "application/json", body.to_string().as_bytes())
}

fn whole(body: &Value) -> Vec<Act> {
    answer("200 OK", "application/json", body.to_string().as_bytes())
}

/// What the model says, and the command that it wants to run.
struct Said {
    words: &'static str,
    command: Option<&'static str>,
}

/// Looks at the newest message alone.
fn said(request: &Value) -> Said {
    let newest = request.get("messages").and_then(Value::as_array).and_then(|messages| messages.last());
    let newest = newest.and_then(|message| message.get("content")).map(ToString::to_string).unwrap_or_default();
    let tools = request.get("tools").and_then(Value::as_array).into_iter().flatten();
    let bash = tools.filter_map(|tool| tool.get("name")).any(|name| name == "Bash");
    let newest = newest.to_lowercase();
    if newest.contains("tool_result") {
        Said { words: "That is what came of it.", command: None }
    } else if newest.contains("clean up") && bash {
        Said { words: "I drop what nobody needs.", command: Some(DESTRUCTIVE) }
    } else if newest.contains("look") && bash {
        Said { words: "I look around first.", command: Some("ls -l /tmp") }
    } else {
        Said { words: "Every order is paid or open, and none is lost.", command: None }
    }
}

fn message(body: &[u8]) -> Vec<Act> {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return failed("400 Bad Request", "invalid_request_error", "that is no JSON");
    };
    let said = said(&request);
    let mut message = json!({
        "id": "msg_demo", "type": "message", "role": "assistant", "model": request.get("model"), "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 12, "output_tokens": 1 },
    });
    let reason = if said.command.is_some() { "tool_use" } else { "end_turn" };
    if request.get("stream") == Some(&Value::Bool(true)) {
        let events = events(message, &said, reason);
        return chunked("text/event-stream", &events.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let mut content = vec![json!({ "type": "text", "text": said.words })];
    content.extend(said.command.map(|command| tool(&json!({ "command": command }))));
    for (name, value) in [
        ("content", content.into()),
        ("stop_reason", reason.into()),
        ("usage", json!({ "input_tokens": 12, "output_tokens": 20 })),
    ] {
        message.as_object_mut().map(|members| members.insert(name.to_owned(), value));
    }
    whole(&message)
}

fn tool(input: &Value) -> Value {
    json!({ "type": "tool_use", "id": "toolu_demo", "name": "Bash", "input": input })
}

fn events(message: Value, said: &Said, reason: &str) -> Vec<String> {
    let mut events = vec![json!({ "type": "message_start", "message": message })];
    let mut block = |index: usize, start: Value, deltas: Vec<Value>| {
        events.push(json!({ "type": "content_block_start", "index": index, "content_block": start }));
        events.extend(
            deltas.into_iter().map(|delta| json!({ "type": "content_block_delta", "index": index, "delta": delta })),
        );
        events.push(json!({ "type": "content_block_stop", "index": index }));
    };
    let words = pieces(said.words).into_iter().map(|text| json!({ "type": "text_delta", "text": text }));
    block(0, json!({ "type": "text", "text": "" }), words.collect());
    if let Some(command) = said.command {
        let input = json!({ "command": command }).to_string();
        let parts = pieces(&input).into_iter();
        let parts = parts.map(|part| json!({ "type": "input_json_delta", "partial_json": part }));
        block(1, tool(&json!({})), parts.collect());
    }
    let delta = json!({ "stop_reason": reason, "stop_sequence": null });
    events.push(json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": 20 } }));
    events.push(json!({ "type": "message_stop" }));
    let named = |event: Value| {
        let name = event.get("type").and_then(Value::as_str).unwrap_or_default();
        format!("event: {name}\ndata: {event}\n\n")
    };
    events.into_iter().map(named).collect()
}

fn pieces(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(DELTA).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(key: &str, body: &Value) -> String {
        let asked = Asked {
            line: "POST /v1/messages HTTP/1.1".to_owned(),
            headers: format!("x-api-key: {key}"),
            body: body.to_string().into(),
        };
        let acts = answers("k")(&asked);
        let bytes = acts.iter().map(|act| match act {
            Act::Write(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        });
        bytes.collect()
    }

    /// The parts of one member of every delta, together.
    fn heard(stream: &str, member: &str) -> String {
        let events = stream.lines().filter_map(|line| line.strip_prefix("data: "));
        let events = events.map(|event| serde_json::from_str::<Value>(event).unwrap());
        let parts = events.map(|event| event["delta"][member].as_str().unwrap_or_default().to_owned());
        parts.collect()
    }

    #[test]
    fn it_wants_to_destroy_only_when_told_to_clean_up_and_given_a_shell() {
        let request = |prompt: &str, tools: Value| json!({ "model": MODEL, "stream": true, "tools": tools, "messages": [{ "role": "user", "content": prompt }] });
        let bash = json!([{ "name": "Bash", "input_schema": { "type": "object" } }]);
        let stream = ask("k", &request("Please clean up.", bash.clone()));
        assert_eq!(heard(&stream, "partial_json"), json!({ "command": DESTRUCTIVE }).to_string());
        assert!(stream.contains(r#""stop_reason":"tool_use""#) && stream.contains("event: message_stop"), "{stream}");
        assert!(ask("k", &request("look", bash.clone())).contains("tool_use"));
        for (prompt, tools) in [("clean up", json!([])), ("hello", bash.clone())] {
            let stream = ask("k", &request(prompt, tools));
            assert!(heard(&stream, "text").contains("none is lost") && !stream.contains("tool_use"), "{stream}");
        }
        assert!(ask("other", &request("clean up", bash)).starts_with("HTTP/1.1 401"));
    }

    #[test]
    fn whole_it_says_the_same() {
        let request = json!({
            "model": MODEL, "tools": [{ "name": "Bash" }], "messages": [{ "role": "user", "content": "clean up" }]
        });
        let answer = ask("k", &request);
        let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body["content"][1]["input"]["command"], DESTRUCTIVE);
        assert_eq!(body["stop_reason"], "tool_use");
    }
}
