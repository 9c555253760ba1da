mod answers;
mod recorded;
mod requests;
mod said;
mod streams;

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
use portcullis_model::{ApprovalId, Tokens};
use std::sync::Arc;

/// A reader of a message.
fn message(streams: bool) -> Answering {
    let tools = Arc::new(ToolTable::default());
    if streams { Answering::stream(Stream::new(tools)) } else { Answering::message(tools, Wanted::default()) }
}

/// The same answer in all kinds of pieces.
fn everywhere(streams: bool, words: impl Fn() -> TestWords, body: &[u8]) -> Came {
    testing::everywhere(|| message(streams), words, body)
}

/// The events for the client.
fn heard(came: &Came) -> Vec<Event> {
    let mut events = Vec::new();
    let mut parser = Parser::default();
    parser.feed(came.client.as_bytes(), &mut events).unwrap();
    assert!(parser.is_between(), "{}", came.client);
    events
}

/// What a client makes of a stream: its blocks and the reason it ended for. Strict about the grammar, as SDKs are not.
fn accumulated(events: &[Event]) -> (Vec<String>, Option<String>) {
    let (mut blocks, mut open, mut reason): (Vec<String>, Option<usize>, _) = (Vec::new(), None, None);
    let mut over = false;
    for event in events {
        let node = json::read(event.data.as_bytes()).unwrap();
        let word = |node: &Node, name: &str| node.get(name).and_then(Node::text).unwrap_or_default().to_owned();
        assert_eq!(event.name.as_deref(), Some(word(&node, "type").as_str()));
        assert!(!over);
        let index = node.get("index").and_then(Node::number).map(|index| index as usize);
        match event.name.as_deref().unwrap() {
            "content_block_start" => {
                assert_eq!((index, open), (Some(blocks.len()), None));
                let block = node.get("content_block").unwrap();
                blocks.push([word(block, "type"), word(block, "name")].concat() + ":");
                open = index;
            }
            "content_block_delta" => {
                assert_eq!(index, open);
                let delta = node.get("delta").unwrap();
                for member in ["text", "thinking", "signature", "partial_json", "content"] {
                    blocks.last_mut().unwrap().push_str(&word(delta, member));
                }
            }
            "content_block_stop" => assert_eq!(index, open.take()),
            "message_delta" => reason = Some(word(node.get("delta").unwrap(), "stop_reason")),
            "message_stop" => over = true,
            "message_start" | "ping" | "error" => {}
            other => panic!("{other}"),
        }
    }
    (blocks, reason)
}
