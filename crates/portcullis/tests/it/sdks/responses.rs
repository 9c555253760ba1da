//! A provider of responses: what it says follows from a word in the conversation, and each answer begins with a thought.

use portcullis_testkit::http::{Act, Asked, answer, begun, chunked};
use serde_json::{Value, json};

fn said(body: &str) -> (&'static str, Option<&'static str>) {
    match body {
        _ if body.contains("function_call_output") => ("Hello.", None),
        _ if body.contains("case-drop") => ("I shall.", Some("psql -c 'DROP TABLE users'")),
        _ if body.contains("case-list") => ("I shall.", Some("ls /tmp")),
        _ if body.contains("case-people") => ("I shall.", Some("id")),
        _ if body.contains("case-json") => (r#"{"city":"Rome","mail":"agent@corp.example"}"#, None),
        _ if body.contains("case-mask") => ("Grüße an agent@corp.example, \"bald\" \u{1F44B}\nEnde", None),
        _ => ("Hello.", None),
    }
}

const THOUGHT: &str = "think of agent@corp.example";

fn source() -> Value {
    json!({"type": "url_citation", "url": "https://corp.example/", "title": "by agent@corp.example", "start_index": 0, "end_index": 1})
}

/// The items of an answer: what was thought, what is said, and what is called.
fn items(text: &str, command: Option<&str>) -> Vec<Value> {
    let sealed = format!("gAAAAABo{}", "x".repeat(40));
    let thought = json!({"id": "rs_1", "type": "reasoning", "encrypted_content": sealed,
        "summary": [{"type": "summary_text", "text": THOUGHT}]});
    let part = json!({"type": "output_text", "text": text, "annotations": [source()], "logprobs": []});
    let message =
        json!({"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]});
    let call = command.map(|command| {
        json!({"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "Bash",
            "arguments": json!({"command": command}).to_string()})
    });
    [thought, message].into_iter().chain(call).collect()
}

fn response(status: &str, items: &[Value], model: &Value) -> Value {
    let usage = json!({"input_tokens": 11, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 18});
    json!({"id": "resp_1", "object": "response", "created_at": 1_767_607_200, "status": status, "error": null,
        "incomplete_details": null, "instructions": "be agent@corp.example", "metadata": {}, "model": model, "output": items,
        "parallel_tool_calls": true, "store": false, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "usage": if status == "completed" { usage } else { Value::Null }})
}

/// The events of an answer: its texts in single characters, the arguments of its call in two pieces.
fn events(items: &[Value], model: &Value) -> Vec<String> {
    let mut events: Vec<Value> = ["created", "in_progress"]
        .map(|kind| json!({"type": format!("response.{kind}"), "response": response("in_progress", &[], model)}))
        .into();
    for (at, item) in items.iter().enumerate() {
        let mut begins = item.clone();
        for (member, empty) in [("summary", json!([])), ("content", json!([])), ("arguments", json!(""))] {
            if item[member] != Value::Null {
                begins[member] = empty;
            }
        }
        events.push(json!({"type": "response.output_item.added", "output_index": at, "item": begins}));
        let mut within = |kind: &str, more: Value| {
            let mut event = json!({"type": format!("response.{kind}"), "output_index": at, "item_id": item["id"]});
            event.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
            events.push(event);
        };
        if let Some(arguments) = item["arguments"].as_str() {
            let (one, other) = arguments.split_at(9);
            within("function_call_arguments.delta", json!({"delta": one}));
            within("function_call_arguments.delta", json!({"delta": other}));
            within("function_call_arguments.done", json!({"arguments": arguments}));
        } else {
            let (part, index, around, said) = match &item["content"][0] {
                Value::Null => {
                    (&item["summary"][0], "summary_index", "reasoning_summary_part", "reasoning_summary_text")
                }
                part => (part, "content_index", "content_part", "output_text"),
            };
            let text = part["text"].as_str().unwrap();
            let mut empty = part.clone();
            empty["text"] = json!("");
            within(&format!("{around}.added"), json!({index: 0, "part": empty}));
            for letter in text.chars() {
                within(&format!("{said}.delta"), json!({index: 0, "delta": letter, "obfuscation": "x7"}));
            }
            if said == "output_text" {
                within(
                    "output_text.annotation.added",
                    json!({index: 0, "annotation_index": 0, "annotation": source()}),
                );
            }
            within(&format!("{said}.done"), json!({index: 0, "text": text}));
            within(&format!("{around}.done"), json!({index: 0, "part": part}));
        }
        events.push(json!({"type": "response.output_item.done", "output_index": at, "item": item}));
    }
    events.push(json!({"type": "response.completed", "response": response("completed", items, model)}));
    let written = |(number, mut event): (usize, Value)| {
        event["sequence_number"] = json!(number);
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())
    };
    events.into_iter().enumerate().map(written).collect()
}

/// What is done about a request.
pub(super) fn answered(asked: &Asked) -> Vec<Act> {
    let text = String::from_utf8_lossy(&asked.body).into_owned();
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let ((said, command), model) = (said(&text), &body["model"]);
    let items = items(said, command);
    if body["stream"] != true {
        return answer("200 OK", "application/json", response("completed", &items, model).to_string().as_bytes());
    }
    let events = events(&items, model);
    let pieces: Vec<&str> = events.iter().map(String::as_str).collect();
    let half = &pieces[..pieces.len() / 2];
    match text {
        // It ends as if it were whole; or its connection does.
        _ if text.contains("case-short") => chunked("text/event-stream", half),
        _ if text.contains("case-broken") => [begun("text/event-stream", half), vec![Act::Close]].concat(),
        _ => chunked("text/event-stream", &pieces),
    }
}
