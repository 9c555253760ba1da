//! What services, tool servers and models may answer, as fuzzers send it.
//!
//! Promises: [`fuzz_answers`] fails where an answer that came in other pieces comes to something else, or one that broke off
//! to something that is no beginning of it, where something follows its end, where an answer has none, and where a value
//! that a mask is about reaches the client of a service as it is. Nothing may panic. The masks are of this file: those of
//! the gate are looked at in `portcullis-masking`.
//! Held by: `tests.rs` beside this file, and whatever fuzzer calls it.

use super::{context, passed};
use crate::api::mcp;
use crate::api::rest::{self, Opaque};
use crate::api::{Ended, NotJson, Part, Reader, Words, anthropic, openai};
use crate::frame::{Head, Method, Request};
use crate::json::{self, Edits, Node};
use crate::path::{Path, Query};
use crate::tools::ToolTable;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portcullis_model::{Denial, Reason};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the masks are about, in text and JSON.
const CANARY: &str = "SECRET";
const MASKED: &str = "[masked]";

/// What services call what they send.
const KINDS: [&str; 5] =
    ["application/json", "application/x-ndjson", "text/event-stream", "text/plain", "application/octet-stream"];

/// What asks for the answers of the others.
const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"progressToken":2}}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const TURN: &str = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
const STREAM: &str = r#"{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
const ITEMS: &str = r#"{"model":"m","input":"hi"}"#;
const ITEM_STREAM: &str = r#"{"model":"m","stream":true,"input":"hi"}"#;

/// Reads an answer: the first byte says whose it is and the second where it is cut. `DENY` in a call has it refused.
pub fn fuzz_answers(data: &[u8]) {
    let Some((&which, data)) = data.split_first() else { return };
    let Some((&cut, data)) = data.split_first() else { return };
    let play = |cut: usize| Play::new(which)?.run(data, cut);
    let whole = play(data.len());
    let cut = play(usize::from(cut));
    assert!(agree(cut.as_ref(), whole.as_ref()), "a cut changes what comes of it: {cut:?} {whole:?}");
    if which % 3 == 0
        && let Some(came) = whole
    {
        let shown = String::from_utf8_lossy(&came.client);
        assert!(!shown.contains(CANARY), "{shown}");
    }
}

/// What came of it.
#[derive(Debug, Default, PartialEq)]
struct Came {
    client: Vec<u8>,
    proposed: Vec<String>,
    ends: bool,
    broken: bool,
}

/// Whether they are the same. Of an answer that broke off, what was whole before may have left or not.
fn agree(one: Option<&Came>, other: Option<&Came>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) if one.broken && other.broken => {
            let begins = |one: &Came, other: &Came| {
                other.client.starts_with(&one.client) && other.proposed.starts_with(&one.proposed)
            };
            begins(one, other) || begins(other, one)
        }
        (one, other) => one == other,
    }
}

struct Play {
    reader: Box<dyn Reader>,
    masks: Masks,
    came: Came,
}

impl Play {
    /// The answer of a service, of a tool server or of a model. None where its head is none.
    fn new(which: u8) -> Option<Self> {
        let mut masks = Masks::default();
        let by = usize::from(which / 6);
        let second = which % 2 == 1;
        let (kind, asked) = match which % 3 {
            0 => {
                let kind = KINDS.get(by % KINDS.len())?;
                (*kind, passed(rest::read(asks(Method::Get, "/", "")?, &Arc::new(Opaque::default()), &mut masks)))
            }
            1 => {
                let body = if second { CALL } else { LIST };
                let kind = if by.is_multiple_of(2) { "application/json" } else { "text/event-stream" };
                (kind, passed(mcp::read(asks(Method::Post, "/", body)?, &context()?)))
            }
            _ => {
                let streams = by.is_multiple_of(2);
                let kind = if streams { "text/event-stream" } else { "application/json" };
                let body = if streams { STREAM } else { TURN };
                let tools = Arc::new(ToolTable::default());
                let read = if second && by % 4 >= 2 {
                    let body = if streams { ITEM_STREAM } else { ITEMS };
                    openai::read(asks(Method::Post, "/v1/responses", body)?, &tools, &mut masks)
                } else if second {
                    openai::read(asks(Method::Post, "/v1/chat/completions", body)?, &tools, &mut masks)
                } else {
                    anthropic::read(asks(Method::Post, "/v1/messages", body)?, &tools, &mut masks)
                };
                (kind, passed(read))
            }
        };
        assert!(asked.is_some(), "what asks for the answer cannot be read");
        let mut reader = asked?.reader;
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
        reader.on_head(&mut Head { status: StatusCode::OK, headers }, &mut masks).ok()?;
        Some(Self { reader, masks, came: Came::default() })
    }

    fn run(mut self, data: &[u8], cut: usize) -> Option<Came> {
        for piece in data.chunks(cut.max(1)) {
            let mut parts = Vec::new();
            self.reader.on_data(piece, &mut self.masks, &mut parts);
            self.take(parts);
            if self.came.ends {
                break;
            }
        }
        if !self.came.ends {
            let mut parts = Vec::new();
            self.reader.on_end(Ended::Whole, &mut self.masks, &mut parts);
            self.take(parts);
        }
        assert!(self.came.ends, "an answer without an end");
        Some(self.came)
    }

    fn take(&mut self, mut parts: Vec<Part>) {
        while !parts.is_empty() {
            let mut more = Vec::new();
            let last = parts.len() - 1;
            for (at, part) in parts.into_iter().enumerate() {
                assert!(!self.came.ends, "something follows the end");
                match part {
                    Part::Data(data) => self.came.client.extend_from_slice(&data),
                    Part::Propose(command) => {
                        assert_eq!(at, last, "something follows a proposal");
                        let said = format!("{} {:?}", command.text.as_str(), command.operations());
                        let denial = Denial { decision: None, reason: Reason::Withdrawn, message: None };
                        let refused = command.fault.is_some() || said.contains("DENY");
                        self.came.proposed.push(said);
                        let verdict = if refused { Err(&denial) } else { Ok(()) };
                        self.reader.on_verdict(verdict, &mut self.masks, &mut more);
                    }
                    Part::Used(_) => {}
                    Part::End => self.came.ends = true,
                    Part::Broken(_) => (self.came.ends, self.came.broken) = (true, true),
                }
            }
            parts = more;
        }
    }
}

fn asks(method: Method, path: &str, body: &'static str) -> Option<Request> {
    let mut headers = HeaderMap::new();
    if !body.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    }
    let (path, body) = (Path::read(path).ok()?, Bytes::from_static(body.as_bytes()));
    Some(Request { method, path, query: Query::default(), headers, body })
}

/// Masks of a canary, and of members named `ssn`.
#[derive(Default)]
pub(super) struct Masks(BTreeMap<u32, String>);

impl Words for Masks {
    fn binds(&self) -> bool {
        true
    }

    fn binds_fields(&self) -> bool {
        true
    }

    fn protected(&self) -> Vec<String> {
        vec!["ssn".to_owned()]
    }

    fn json(&mut self, document: &str) -> Result<Option<String>, NotJson> {
        let root = json::read(document.as_bytes()).map_err(|_| NotJson)?;
        if is_named(&root) {
            return Err(NotJson);
        }
        let mut edits = Edits::default();
        mask("", &root, &mut edits);
        if edits.is_empty() { Ok(None) } else { edits.apply(document).map(Some).ok_or(NotJson) }
    }

    fn whole(&mut self, text: &str) -> Option<String> {
        text.contains(CANARY).then(|| text.replace(CANARY, MASKED))
    }

    fn piece(&mut self, stream: u32, text: &str) -> String {
        // All waits for the end: what leaves when is not looked at here.
        self.0.entry(stream).or_default().push_str(text);
        String::new()
    }

    fn last(&mut self, stream: u32) -> String {
        self.0.remove(&stream).unwrap_or_default().replace(CANARY, MASKED)
    }

    fn record(&mut self, _text: &str) {
        // Nothing is recorded.
    }
}

/// Whether a member's name has the canary in it: the edits of a reader are of values.
fn is_named(node: &Node) -> bool {
    node.elements().iter().any(is_named)
        || node.members().iter().any(|(name, member)| name.contains(CANARY) || is_named(member))
}

fn mask(name: &str, node: &Node, edits: &mut Edits) {
    if name == "ssn" {
        return edits.replace(node.span.clone(), json::quoted(MASKED));
    }
    if let Some(text) = node.text().filter(|text| text.contains(CANARY)) {
        edits.replace(node.span.clone(), json::quoted(&text.replace(CANARY, MASKED)));
    }
    node.elements().iter().for_each(|element| mask("", element, edits));
    node.members().iter().for_each(|(name, member)| mask(name, member, edits));
}
