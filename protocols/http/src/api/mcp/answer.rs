//! A tool server's answer, message by message.
//!
//! Promises: an answer is one JSON-RPC message, or a stream of them in events; each is read strictly, but that half of a
//! character becomes U+FFFD, and what passes is built anew and masked (`mask.rs`); what is recorded is built in the same way
//! with the masks of the record. Only the answer to this very request passes as one, and only once. Of what a server says by
//! itself only what has a row in `data/mcp.yaml` passes. Tools are listed only where policy lets them be called, or asks
//! people first: each is proposed as a command that is only prepared. The id of an event is given sealed, to go on from for
//! whom it is given to (`seal.rs`).
//! Does not promise that a server learns why what it asks of its client (sampling, elicitation, roots) stays unanswered: the
//! gateway does not speak for a client. A server that keeps to the protocol does not ask, since `message.rs` takes those
//! capabilities out of what the client says it can do; an answer that asks all the same, as a result or as an error, becomes
//! an error of the gateway's. The record has no words of what did not pass.
//! Held by: `tests.rs`.

mod list;

use super::mask::Masker;
use super::message::Id;
use super::methods::{self, From, Says};
use super::reply;
use super::seal::Of;
use super::shape::{self, Asks, Body, Expects, Sealing};
use super::{Context, Seal};
use crate::api::rest::Opaque;
use crate::api::{Ended, Keeps, Part, Reader, Unfit, Words};
use crate::frame::Head;
use crate::json::{self, Node, Value};
use crate::sse::Event;
use bytes::Bytes;
use http::StatusCode;
use list::Listing;
use portcullis_model::{ApprovalId, Denial, Digest};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of an answer that is one message.
const LONGEST: usize = 16 << 20;
/// Bytes of an event's id.
const EVENT_ID: usize = 256;

/// The error by which a server sends the client's person to an address first (2025-11-25, URLElicitationRequiredError).
const ELICITATION: f64 = -32042.0;

const BROKE_OFF: Unfit = Unfit("the tool server broke off its answer");
const NO_MESSAGE: Unfit = Unfit("the tool server answered with what is no message of the protocol");

/// What the record holds in the place of a message that its masks could not be applied to.
const UNKEPT: &str = "[not kept: a message that cannot be masked for the record]";
/// What it holds of one that does not pass.
const NOT_PASSED: &str = "[a message of the tool server that does not pass]";

pub(super) struct Answering {
    expects: Expects,
    stateless: bool,
    /// As the client wrote it.
    progress: Option<String>,
    seal: Arc<Seal>,
    holder: Digest,
    opaque: Arc<Opaque>,
    status: StatusCode,
    body: Body,
    queue: VecDeque<Event>,
    listing: Option<Listing>,
    /// The answer to the request has passed.
    answered: bool,
    ended: Option<Result<(), Unfit>>,
    over: bool,
}

/// What becomes of one message.
enum Passed {
    /// The answer to the request.
    Answered(String),
    /// What the server says by itself.
    Said(String),
    Dropped,
    Listed(String, Node),
}

impl Answering {
    pub(super) fn new(expects: Expects, stateless: bool, progress: Option<String>, context: &Context) -> Self {
        Self {
            expects,
            stateless,
            progress,
            seal: Arc::clone(&context.seal),
            holder: context.holder,
            opaque: Arc::clone(&context.opaque),
            status: StatusCode::OK,
            body: Body::Nothing,
            queue: VecDeque::new(),
            listing: None,
            answered: false,
            ended: None,
            over: false,
        }
    }

    /// Reads what is there, up to a list that must be judged first.
    fn pump(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) {
        while !self.over && self.listing.is_none() {
            let Some(event) = self.queue.pop_front() else { break };
            if let Err(why) = self.on_event(event, words, parts) {
                self.broken(why, parts);
            }
        }
        if !self.over
            && self.listing.is_none()
            && let Some(ended) = self.ended.take()
        {
            match ended {
                Ok(()) => {
                    self.over = true;
                    parts.push(Part::End);
                }
                Err(why) => self.broken(why, parts),
            }
        }
    }

    fn broken(&mut self, why: Unfit, parts: &mut Vec<Part>) {
        self.over = true;
        self.queue.clear();
        parts.push(Part::Broken(why));
    }

    fn on_event(&mut self, mut event: Event, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        // Where a server cut a text inside of a character, the message is good but for that half. All that is made of the
        // message, a list and the record too, is made of this text.
        event.data = json::whole_characters(event.data);
        // Clients read events of no other name; an empty one only says where to go on from.
        if event.name.as_deref().is_some_and(|name| name != "message") {
            return Ok(());
        }
        let plain = |id: &String| id.len() <= EVENT_ID && id.bytes().all(|byte| byte.is_ascii_graphic());
        // An empty one says that there is none to go on from.
        let sealed = |id: String| if id.is_empty() { Some(id) } else { self.seal.seal(&self.holder, Of::Event, &id) };
        let id = event.id.filter(plain).filter(|id| words.whole(id).is_none()).and_then(sealed);
        let retry = event.retry.filter(|wait| words.whole(&wait.to_string()).is_none());
        let shell = Event { id, retry, data: String::new(), ..event };
        if event.data.is_empty() {
            self.write(shell, String::new(), parts);
            return Ok(());
        }
        let passed = self.message(&event.data, words)?;
        self.answered |= matches!(passed, Passed::Answered(_) | Passed::Listed(..));
        match passed {
            Passed::Answered(text) | Passed::Said(text) => {
                let again = |words: &mut dyn Words| match self.built(&event.data, words) {
                    Ok(Passed::Answered(made) | Passed::Said(made)) => Some(made),
                    Ok(Passed::Dropped | Passed::Listed(..)) | Err(_) => None,
                };
                record(&text, again, words);
                self.write(shell, text, parts);
            }
            // An answer that is one message has no place for another's.
            Passed::Dropped if matches!(self.body, Body::Message(_)) => return Err(NO_MESSAGE),
            Passed::Dropped => words.record_made(NOT_PASSED),
            Passed::Listed(id, node) => self.list(shell, id, node, event.data, words, parts)?,
        }
        Ok(())
    }

    fn write(&self, shell: Event, text: String, parts: &mut Vec<Part>) {
        let data = match &self.body {
            Body::Events(_) => Event { data: text, ..shell }.written(),
            Body::Nothing | Body::Withheld | Body::Message(_) => Bytes::from(text),
        };
        parts.push(Part::Data(data));
    }

    /// One message of the server; a second answer is none.
    fn message(&self, text: &str, words: &mut dyn Words) -> Result<Passed, Unfit> {
        let built = self.built(text, words)?;
        let again = self.answered && matches!(self.expects, Expects::Answer(..));
        Ok(match built {
            Passed::Answered(_) | Passed::Listed(..) if again => Passed::Dropped,
            built => built,
        })
    }

    fn built(&self, text: &str, words: &mut dyn Words) -> Result<Passed, Unfit> {
        let node = json::read(text.as_bytes()).map_err(|_| NO_MESSAGE)?;
        if !matches!(node.value, Value::Object(_)) || node.get("jsonrpc").and_then(Node::text) != Some("2.0") {
            return Err(NO_MESSAGE);
        }
        if let Some(method) = node.get("method") {
            let method = method.text().ok_or(NO_MESSAGE)?;
            if matches!(self.body, Body::Message(_)) {
                return Err(NO_MESSAGE);
            }
            return self.said(method, &node, text, words);
        }
        let id = node.get("id").and_then(Id::of);
        let Some(id) = self.answers(id, node.get("error").is_some(), words) else { return Ok(Passed::Dropped) };
        let mut masker = self.masker(text, words);
        match (node.get("result"), node.get("error")) {
            (None, Some(error)) if asks(error) => Ok(Passed::Answered(self.unanswerable(&id))),
            (None, Some(error)) => {
                Ok(Passed::Answered(format!(r#"{{"jsonrpc":"2.0",{id}"error":{}}}"#, masker.error(error)?)))
            }
            (Some(result), None) if matches!(result.value, Value::Object(_)) => {
                if asks_for_input(result) {
                    return Ok(Passed::Answered(self.unanswerable(&id)));
                }
                if self.lists_tools() {
                    // Some clients take another spelling for the list, which is read in one alone.
                    if result.members().iter().any(|(name, _)| name != "tools" && is(name, "tools")) {
                        return Err(NO_MESSAGE);
                    }
                    if result.get("tools").is_some() {
                        return Ok(Passed::Listed(id, node));
                    }
                }
                Ok(Passed::Answered(format!(r#"{{"jsonrpc":"2.0",{id}"result":{}}}"#, masker.result(result, None)?)))
            }
            (Some(_) | None, _) => Err(NO_MESSAGE),
        }
    }

    fn masker<'a>(&'a self, text: &'a str, words: &'a mut dyn Words) -> Masker<'a> {
        Masker { text, words, opaque: &self.opaque, progress: self.progress.as_deref() }
    }

    /// Whether a list of tools may be in its results. Which request a stream that was taken up again answers is not known.
    const fn lists_tools(&self) -> bool {
        matches!(self.expects, Expects::Answer(_, Asks::Tools) | Expects::Stream { .. })
    }

    /// The member `id` of the message to pass, where it answers what was asked.
    fn answers(&self, id: Option<Id>, is_error: bool, words: &mut dyn Words) -> Option<String> {
        let alone = is_error && matches!(self.body, Body::Message(_));
        let id = match (&self.expects, id) {
            // A server that could not read the request does not know its id; some make one up.
            (Expects::Answer(asked, _), _) if alone => Some(asked.clone()),
            (Expects::Status | Expects::Stream { .. }, _) if alone => return Some(String::new()),
            (Expects::Answer(asked, _), Some(id)) => (*asked == id).then_some(id),
            (Expects::Answer(asked, _), None) => is_error.then(|| asked.clone()),
            (Expects::Stream { resumed: true }, Some(Id::Text(text))) => {
                words.whole(&text).is_none().then_some(Id::Text(text))
            }
            (Expects::Stream { resumed: true }, Some(id @ Id::Number(_))) => Some(id),
            (Expects::Status | Expects::Stream { .. }, _) => None,
        };
        id.map(|id| format!(r#""id":{},"#, id.written()))
    }

    /// The server wants an answer of the client before it gives its own (2026-07-28, Multi Round-Trip Requests).
    fn unanswerable(&self, id: &str) -> String {
        let text = "[portcullis] the tool server asks its client for input, which does not pass";
        match &self.expects {
            Expects::Answer(id, Asks::Tool) => reply::tool_error(id, self.stateless, text),
            Expects::Answer(id, Asks::Tools | Asks::Other) => reply::error(Some(id), reply::INTERNAL, text, None),
            Expects::Status | Expects::Stream { .. } => {
                let (code, text) = (reply::INTERNAL, json::quoted(text));
                format!(r#"{{"jsonrpc":"2.0",{id}"error":{{"code":{code},"message":{text}}}}}"#)
            }
        }
    }

    /// What the server says by itself.
    fn said(&self, method: &str, node: &Node, text: &str, words: &mut dyn Words) -> Result<Passed, Unfit> {
        let Some(row) = methods::row(From::Server, method) else { return Ok(Passed::Dropped) };
        let params = node.get("params");
        let known = params.map_or(&[][..], Node::members).iter().all(|(name, _)| row.takes(name));
        let id = match (row.says, node.get("id")) {
            (Says::Notification, None) => String::new(),
            (Says::Request, Some(id)) if !self.stateless => match Id::of(id) {
                Some(Id::Text(text)) if words.whole(&text).is_some() => return Ok(Passed::Dropped),
                Some(id) => format!(r#""id":{},"#, id.written()),
                None => return Ok(Passed::Dropped),
            },
            (Says::Notification | Says::Request, _) => return Ok(Passed::Dropped),
        };
        if !known {
            return Ok(Passed::Dropped);
        }
        let params = match params {
            Some(params) => format!(r#","params":{}"#, self.masker(text, words).params(params)?),
            None => String::new(),
        };
        Ok(Passed::Said(format!(r#"{{"jsonrpc":"2.0",{id}"method":{}{params}}}"#, json::quoted(method))))
    }

    /// What is said of an error whose words do not pass.
    fn withheld(&self) -> Bytes {
        let id = match &self.expects {
            Expects::Answer(id, _) => Some(id),
            Expects::Status | Expects::Stream { .. } => None,
        };
        let text = format!("[portcullis] the tool server answered with status {}", self.status.as_u16());
        reply::error(id, reply::INTERNAL, &text, None).into()
    }

    /// The answer that is one message is whole.
    fn whole(&mut self, held: Vec<u8>, parts: &mut Vec<Part>) -> Result<(), Unfit> {
        let nothing_came = held.is_empty();
        let data = String::from_utf8(held).ok().map(json::whole_characters);
        let read = data.as_deref().and_then(|data| json::read(data.as_bytes()).ok());
        let is_message = read.is_some_and(|node| node.get("jsonrpc").is_some());
        if !is_message && !self.status.is_success() {
            parts.push(Part::Data(self.withheld()));
            return Ok(());
        }
        let nothing_due = matches!(self.status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT);
        if nothing_came && nothing_due {
            return Ok(());
        }
        let data = data.filter(|data| !data.is_empty()).ok_or(NO_MESSAGE)?;
        self.queue.push_back(Event { data, ..Event::default() });
        Ok(())
    }
}

/// Whether a reader that takes names without case takes this one for that (Go's folds two letters beyond ASCII as well).
pub(super) fn is(name: &str, known: &str) -> bool {
    name.replace('\u{17f}', "s").replace('\u{212a}', "k").eq_ignore_ascii_case(known)
}

/// Whether a result is the request for one more answer of the client.
fn asks_for_input(result: &Node) -> bool {
    result
        .members()
        .iter()
        .any(|(name, node)| (is(name, "resultType") && node.text() != Some("complete")) || is(name, "inputRequests"))
}

/// Whether an error asks its client for something.
fn asks(error: &Node) -> bool {
    let is_code = |node: &Node| {
        let number: Option<f64> = match &node.value {
            Value::Number(digits) => digits.parse().ok(),
            Value::String(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number.is_some_and(|number| (number - ELICITATION).abs() < 1.0)
    };
    let is_asked =
        |node: &Node| node.members().iter().any(|(name, _)| is(name, "elicitations") || is(name, "inputRequests"));
    let mut members = error.members().iter();
    members.any(|(name, node)| (is(name, "code") && is_code(node)) || (is(name, "data") && is_asked(node)))
}

/// Records what passes: as the client gets it, or as it is when it is made `again` with the masks of the record.
fn record(passed: &str, again: impl FnOnce(&mut dyn Words) -> Option<String>, words: &mut dyn Words) {
    match words.keeps() {
        Keeps::Nothing => {}
        Keeps::Alike => words.record_made(passed),
        Keeps::Apart(mut kept) => words.record_made(again(&mut *kept).as_deref().unwrap_or(UNKEPT)),
    }
}

impl Reader for Answering {
    fn on_head(&mut self, head: &mut Head, _words: &mut dyn Words) -> Result<(), Unfit> {
        self.body = shape::body_of(&self.expects, head)?;
        self.status = head.status;
        let sealed = |id: &str| self.seal.seal(&self.holder, Of::Session, id);
        let sealed: Option<Sealing<'_>> = if self.stateless { None } else { Some(&sealed) };
        head.headers = shape::headers(&head.headers, &self.body, sealed)?;
        // It is the gateway's credential that the server does not take: the client's is good.
        if head.status == StatusCode::UNAUTHORIZED {
            head.status = StatusCode::BAD_GATEWAY;
        }
        Ok(())
    }

    fn on_data(&mut self, data: &[u8], words: &mut dyn Words, parts: &mut Vec<Part>) {
        if self.over {
            return;
        }
        match &mut self.body {
            Body::Nothing | Body::Withheld => {}
            Body::Message(held) if held.len() + data.len() > LONGEST => {
                self.broken(Unfit("the tool server's answer is larger than 16 MiB"), parts);
            }
            Body::Message(held) => held.extend_from_slice(data),
            Body::Events(parser) => {
                if parser.feed(data, &mut self.queue).is_err() {
                    self.ended = Some(Err(Unfit("the tool server's stream of events cannot be read")));
                }
                self.pump(words, parts);
            }
        }
    }

    fn gathered(&self) -> usize {
        match &self.body {
            Body::Message(held) => held.len(),
            // An event is bounded by itself.
            Body::Nothing | Body::Withheld | Body::Events(_) => 0,
        }
    }

    fn on_end(&mut self, ended: Ended, words: &mut dyn Words, parts: &mut Vec<Part>) {
        if self.over {
            return;
        }
        let read = match (&mut self.body, ended) {
            (Body::Message(held), Ended::Whole) => {
                let held = std::mem::take(held);
                self.whole(held, parts)
            }
            (Body::Withheld, _) => {
                parts.push(Part::Data(self.withheld()));
                Ok(())
            }
            (Body::Nothing, _) | (Body::Events(_), Ended::Whole) => Ok(()),
            (Body::Message(_) | Body::Events(_), Ended::Broken) => Err(BROKE_OFF),
        };
        self.ended.get_or_insert(read);
        self.pump(words, parts);
    }

    fn on_verdict(&mut self, verdict: Result<(), &Denial>, words: &mut dyn Words, parts: &mut Vec<Part>) {
        if let Some(listing) = &mut self.listing {
            listing.may.push(verdict.is_ok());
        }
        if let Err(why) = self.next_tool(words, parts) {
            self.listing = None;
            self.broken(why, parts);
        }
        self.pump(words, parts);
    }

    /// What is proposed here is only prepared: nobody is asked, so nothing waits.
    fn keep_alive(&self, _approval: ApprovalId) -> Option<Bytes> {
        None
    }
}
