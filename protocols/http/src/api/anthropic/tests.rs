mod answers;
mod requests;
mod streams;

use super::answer::Answering;
use super::stream::Stream;
use crate::api::testing::TestWords;
use crate::api::{Ended, Part, Reader, Unfit};
use crate::frame::Head;
use crate::json::{self, Node};
use crate::sse::{Event, Parser};
use crate::tools::ToolTable;
use http::{HeaderMap, StatusCode};
use portcullis_model::Tokens;
use portcullis_model::{Command, Denial, Reason};
use std::sync::Arc;

/// A reader of a message.
fn message(streams: bool) -> Answering {
    let tools = Arc::new(ToolTable::default());
    if streams { Answering::stream(Stream::new(tools)) } else { Answering::message(tools) }
}

fn denial() -> Denial {
    Denial { decision: None, reason: Reason::Withdrawn, message: Some("Ask the pilot.".into()) }
}

/// What came out of an answer.
#[derive(Debug, PartialEq)]
struct Came {
    client: String,
    proposed: Vec<String>,
    broken: Option<Unfit>,
    used: Option<Tokens>,
    recorded: Vec<String>,
}

impl Came {
    /// The events for the client.
    fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut parser = Parser::default();
        parser.feed(self.client.as_bytes(), &mut events).unwrap();
        assert!(parser.is_between(), "{}", self.client);
        events
    }
}

/// Feeds an answer in these pieces; a call passes unless its command's text holds `DENY`. Verdicts come at once, or only when
/// all has been fed that may be.
fn feed(mut reader: Answering, words: &mut TestWords, pieces: &[&[u8]], ended: Ended) -> Came {
    let mut head = Head { status: StatusCode::OK, headers: HeaderMap::new() };
    reader.on_head(&mut head, words).unwrap();
    let mut came = Came { client: String::new(), proposed: Vec::new(), broken: None, used: None, recorded: Vec::new() };
    let mut over = false;
    for at in 0..=pieces.len() {
        let mut parts = Vec::new();
        match pieces.get(at) {
            Some(piece) => reader.on_data(piece, words, &mut parts),
            None => reader.on_end(ended, words, &mut parts),
        }
        while let Some(command) = take(parts, &mut came, &mut over) {
            parts = Vec::new();
            let denial = denial();
            let refused = command.fault.is_some() || command.text.as_str().contains("DENY");
            came.proposed.push(command.text.as_str().to_owned());
            reader.on_verdict(if refused { Err(&denial) } else { Ok(()) }, words, &mut parts);
        }
    }
    assert!(over, "an answer without an end: {came:?}");
    came.recorded = std::mem::take(&mut words.recorded);
    came
}

/// Takes parts; gives what is proposed, behind which nothing may stand.
fn take(parts: Vec<Part>, came: &mut Came, over: &mut bool) -> Option<Command> {
    let mut proposed = None;
    for part in parts {
        assert!(proposed.is_none(), "something follows a proposal");
        assert!(!*over, "something follows the end: {part:?}");
        match part {
            Part::Data(data) => came.client.push_str(std::str::from_utf8(&data).unwrap()),
            Part::Propose(command) => proposed = Some(*command),
            Part::Used(used) => came.used = Some(used),
            Part::End => *over = true,
            Part::Broken(why) => {
                *over = true;
                came.broken = Some(why);
            }
        }
    }
    proposed
}

/// The same answer whole, by bytes, and cut once at every place, which must all come to the same.
fn everywhere(streams: bool, words: impl Fn() -> TestWords, body: &[u8]) -> Came {
    let whole = feed(message(streams), &mut words(), &[body], Ended::Whole);
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(feed(message(streams), &mut words(), &bytes, Ended::Whole), whole, "by bytes");
    for at in (0..body.len()).step_by(1 + body.len() / 200) {
        let (left, right) = body.split_at(at);
        assert_eq!(feed(message(streams), &mut words(), &[left, right], Ended::Whole), whole, "cut at {at}");
    }
    whole
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
