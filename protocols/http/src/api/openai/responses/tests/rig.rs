//! What a provider says, and what a client as strict as any makes of what comes out.

use super::super::answer::Answering;
use super::super::stream::Stream;
use crate::api::model::Wanted;
use crate::api::testing::{self, Came, TestWords};
use crate::json::{self, Node};
use crate::sse::{Event, Parser};
use crate::tools::ToolTable;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn streamed() -> Answering {
    Answering::stream(Stream::new(Wanted::default(), Arc::new(ToolTable::default())))
}

pub(super) fn document() -> Answering {
    Answering::message(Arc::new(ToolTable::default()), Wanted::default())
}

/// The same answer in all kinds of pieces.
pub(super) fn everywhere(reader: fn() -> Answering, words: fn() -> TestWords, body: &str) -> Came {
    testing::everywhere(reader, words, body.as_bytes())
}

pub(super) fn read(body: &str) -> Came {
    everywhere(streamed, TestWords::binding, body)
}

/// An event; its number is anything.
pub(super) fn event(kind: &str, members: &str) -> String {
    format!("event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":7{members}}}\n\n")
}

pub(super) fn response(status: &str, more: &str) -> String {
    format!(
        r#","response":{{"id":"resp_1","object":"response","created_at":5,"status":"{status}","instructions":"SECRET","metadata":{{"a":"SECRET"}},"tools":[{{"name":"SECRET"}}],"text":{{"format":{{"name":"SECRET"}}}},"model":"gpt-x","tool_choice":"auto"{more}}}"#
    )
}

pub(super) fn created() -> String {
    event("response.created", &response("in_progress", r#","output":[]"#))
        + &event("response.in_progress", &response("in_progress", r#","output":[],"usage":null"#))
}

pub(super) const USAGE: &str = r#","usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":2},"output_tokens":4,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":13}"#;

pub(super) fn completed() -> String {
    event("response.completed", &response("completed", &format!(r#","output":[]{USAGE}"#)))
}

pub(super) fn added(at: usize, item: &str) -> String {
    event("response.output_item.added", &format!(r#","output_index":{at},"item":{item}"#))
}

pub(super) fn ended(at: usize, item: &str) -> String {
    event("response.output_item.done", &format!(r#","output_index":{at},"item":{item}"#))
}

pub(super) fn within(kind: &str, at: usize, id: &str, members: &str) -> String {
    event(&format!("response.{kind}"), &format!(r#","item_id":"{id}","output_index":{at},{members}"#))
}

/// A part of a text, in these pieces: its kind, its events, the name of its index.
pub(super) fn part(at: usize, id: &str, nth: usize, of: [&str; 4], pieces: &[&str]) -> String {
    let [kind, part, said, index] = of;
    let member = if kind == "refusal" { "refusal" } else { "text" };
    let whole = json::quoted(&pieces.concat());
    let index = format!(r#""{index}":{nth}"#);
    let begins = format!(r#"{index},"part":{{"type":"{kind}","{member}":"","annotations":[]}}"#);
    let mut out = within(&format!("{part}.added"), at, id, &begins);
    for piece in pieces {
        let piece = json::quoted(piece);
        let members = format!(r#"{index},"delta":{piece},"logprobs":[{{"token":"SECRET"}}],"obfuscation":"SECRET""#);
        out += &within(&format!("{said}.delta"), at, id, &members);
    }
    out += &within(
        &format!("{said}.done"),
        at,
        id,
        &format!(r#"{index},"{member}":{whole},"logprobs":[{{"token":"SECRET"}}]"#),
    );
    let ends = format!(r#"{index},"part":{{"type":"{kind}","{member}":{whole},"logprobs":[{{"token":"SECRET"}}]}}"#);
    out + &within(&format!("{part}.done"), at, id, &ends)
}

pub(super) const TEXT: [&str; 4] = ["output_text", "content_part", "output_text", "content_index"];
pub(super) const REFUSAL: [&str; 4] = ["refusal", "content_part", "refusal", "content_index"];
pub(super) const SUMMARY: [&str; 4] =
    ["summary_text", "reasoning_summary_part", "reasoning_summary_text", "summary_index"];
pub(super) const THOUGHT: [&str; 4] = ["reasoning_text", "content_part", "reasoning_text", "content_index"];

pub(super) fn message_item(at: usize, content: &str) -> String {
    format!(r#"{{"id":"msg_{at}","type":"message","status":"completed","role":"assistant","content":[{content}]}}"#)
}

pub(super) fn says(at: usize, pieces: &[&str]) -> String {
    let id = format!("msg_{at}");
    let text = format!(r#"{{"type":"output_text","text":{}}}"#, json::quoted(&pieces.concat()));
    added(at, &message_item(at, "").replace("completed", "in_progress"))
        + &part(at, &id, 0, TEXT, pieces)
        + &ended(at, &message_item(at, &text))
}

pub(super) fn call_item(at: usize, name: &str, arguments: &str) -> String {
    let arguments = json::quoted(arguments);
    format!(
        r#"{{"id":"fc_{at}","type":"function_call","status":"completed","call_id":"call_{at}","name":"{name}","arguments":{arguments}}}"#
    )
}

pub(super) fn calls(at: usize, name: &str, pieces: &[&str]) -> String {
    let (id, whole) = (format!("fc_{at}"), pieces.concat());
    let deltas = pieces
        .iter()
        .map(|piece| within("function_call_arguments.delta", at, &id, &format!(r#""delta":{}"#, json::quoted(piece))));
    let deltas: String = deltas.collect();
    let done = within("function_call_arguments.done", at, &id, &format!(r#""arguments":{}"#, json::quoted(&whole)));
    added(at, &call_item(at, name, "")) + &deltas + &done + &ended(at, &call_item(at, name, &whole))
}

pub(super) const SEALED: &str = "gAAAAABSECRETSECRETSECRETSECRETSECRETSECRET";

pub(super) fn thinks(at: usize, summary: &[&str], thought: &[&str]) -> String {
    let id = format!("rs_{at}");
    let item = |summary: &str, content: &str, sealed: &str| {
        format!(
            r#"{{"id":"{id}","type":"reasoning","summary":[{summary}],"content":[{content}],"encrypted_content":"{sealed}"}}"#
        )
    };
    let written =
        |kind: &str, pieces: &[&str]| format!(r#"{{"type":"{kind}","text":{}}}"#, json::quoted(&pieces.concat()));
    added(at, &item("", "", "SECRET"))
        + &part(at, &id, 0, SUMMARY, summary)
        + &part(at, &id, 0, THOUGHT, thought)
        + &ended(at, &item(&written("summary_text", summary), &written("reasoning_text", thought), SEALED))
}

pub(super) fn searches(at: usize) -> String {
    let id = format!("ws_{at}");
    let item = |more: &str| format!(r#"{{"id":"{id}","type":"web_search_call","status":"completed"{more}}}"#);
    let progress = ["in_progress", "searching", "completed"]
        .map(|state| within(&format!("web_search_call.{state}"), at, &id, r#""x":"SECRET""#));
    added(at, &item(""))
        + &progress.concat()
        + &ended(at, &item(r#","action":{"type":"search","query":"a SECRET","sources":[]}"#))
}

/// What a client makes of a stream.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The items, as they were last said to be.
    pub(super) items: Vec<String>,
    /// What they say: of a text which, of a call what it calls.
    pub(super) said: Vec<String>,
    /// How it ended, if it did.
    pub(super) status: Option<String>,
    pub(super) error: Option<String>,
}

/// An item that is not whole, and what was said of it: by list and place.
pub(super) struct Growing {
    id: String,
    texts: BTreeMap<(&'static str, u64), String>,
    arguments: String,
}

impl Growing {
    fn place(node: &Node) -> (&'static str, u64) {
        let at = |name| node.get(name).and_then(Node::number);
        at("summary_index").map_or_else(|| ("content", at("content_index").unwrap()), |at| ("summary", at))
    }
}

pub(super) fn text<'n>(node: &'n Node, name: &str) -> &'n str {
    node.get(name).and_then(Node::text).unwrap_or_else(|| panic!("no {name}: {node:?}"))
}

/// What a part says: its text or its refusal.
pub(super) fn part_text(part: &Node) -> &str {
    part.get("text").or_else(|| part.get("refusal")).and_then(Node::text).unwrap()
}

/// Reads a stream as strictly as a client may: every number follows, every copy says the same.
pub(super) fn accumulated(client: &str) -> Seen {
    let mut events: Vec<Event> = Vec::new();
    Parser::default().feed(client.as_bytes(), &mut events).unwrap();
    let (mut seen, mut open) = (Seen::default(), None::<Growing>);
    for (number, event) in events.iter().enumerate() {
        let node = json::read(event.data.as_bytes()).unwrap();
        let kind = text(&node, "type");
        assert_eq!(
            (event.name.as_deref(), node.get("sequence_number").unwrap().number()),
            (Some(kind), Some(number as u64))
        );
        assert!(seen.status.is_none() || kind == "error", "{kind} follows the end");
        let written = |node: &Node| event.data[node.span.clone()].to_owned();
        if kind == "error" {
            assert_eq!(node.get("error").map(|error| text(error, "message")), Some(text(&node, "message")));
            seen.error = Some(text(&node, "message").to_owned());
            continue;
        }
        if let Some(response) = node.get("response") {
            let items: Vec<String> = response.get("output").unwrap().elements().iter().map(written).collect();
            assert_eq!((text(response, "id"), &items), ("resp_1", &seen.items));
            if !matches!(kind, "response.created" | "response.in_progress") {
                assert!(open.is_none());
                seen.status = Some(text(response, "status").to_owned());
            }
            continue;
        }
        assert_eq!(node.get("output_index").and_then(Node::number), Some(seen.items.len() as u64));
        if kind == "response.output_item.added" {
            let id = text(node.get("item").unwrap(), "id").to_owned();
            assert!(open.is_none());
            open = Some(Growing { id, texts: BTreeMap::new(), arguments: String::new() });
            continue;
        }
        if kind == "response.output_item.done" {
            let (item, growing) = (node.get("item").unwrap(), open.take().unwrap());
            assert_eq!(text(item, "id"), growing.id);
            seen.said.push(said(item, &growing));
            seen.items.push(written(item));
            continue;
        }
        let growing = open.as_mut().unwrap();
        assert_eq!(text(&node, "item_id"), growing.id);
        match kind.rsplit_once('.').unwrap() {
            ("response.function_call_arguments", "delta") => growing.arguments.push_str(text(&node, "delta")),
            ("response.function_call_arguments", "done") => assert_eq!(text(&node, "arguments"), growing.arguments),
            ("response.output_text.annotation", "added") => {}
            (_, "added") => {
                assert_eq!(part_text(node.get("part").unwrap()), "");
                assert_eq!(growing.texts.insert(Growing::place(&node), String::new()), None);
            }
            (_, "delta") => {
                assert!(!text(&node, "delta").is_empty());
                growing.texts.get_mut(&Growing::place(&node)).unwrap().push_str(text(&node, "delta"));
            }
            (_, "done") => {
                let said = node.get("part").unwrap_or(&node);
                assert_eq!(part_text(said), growing.texts[&Growing::place(&node)]);
            }
            other => panic!("{other:?}"),
        }
    }
    seen
}

/// What an item says, which is what was said of it before.
pub(super) fn said(item: &Node, growing: &Growing) -> String {
    let texts = |name: &str| -> Vec<&str> {
        item.get(name).map(Node::elements).unwrap_or_default().iter().map(part_text).collect()
    };
    let grown = |name: &str| -> Vec<&str> {
        growing.texts.iter().filter(|((list, _), _)| *list == name).map(|(_, text)| text.as_str()).collect()
    };
    for name in ["content", "summary"] {
        assert_eq!(texts(name), grown(name));
    }
    match text(item, "type") {
        "function_call" => {
            assert_eq!(text(item, "arguments"), growing.arguments);
            format!("{} {}", text(item, "name"), growing.arguments)
        }
        "web_search_call" => format!("searched {}", text(item.get("action").unwrap(), "query")),
        "reasoning" => format!(
            "{:?} {:?} {:?}",
            texts("summary"),
            texts("content"),
            item.get("encrypted_content").and_then(Node::text)
        ),
        _ => texts("content").join("|"),
    }
}

pub(super) fn whole(items: &[String], more: &str) -> String {
    format!(
        r#"{{ "id":"resp_1","object":"response","created_at":5,"status":"completed","instructions":"SECRET","tools":[{{"name":"SECRET"}}],"metadata":{{"a":"SECRET"}},"error":null,"model":"gpt-x","output":[{}],"temperature":1.0,"text":{{"format":"SECRET"}}{USAGE}{more} }}"#,
        items.join(",")
    )
}
