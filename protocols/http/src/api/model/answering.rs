//! The answer of a model.
//!
//! Promises: how an answer is read follows from what was asked, never from what the answer says it is; of its head only
//! listed fields pass. An error of the provider's passes as its type, its message and its codes, masked; one about the
//! credential of the gateway's own is said as that, and that to try again does not help. However an answer ends, what was
//! read of it is in the record, and of what was not read how much came. Does not promise that the provider counts as it
//! charges.
//! Held by: the tests of each API.

use super::{BROKE_OFF, Failure, Grammar, List, Pump, is_word};
use crate::api::{Ended, Part, Reader, Unfit, Words};
use crate::frame::Head;
use crate::json::{self, Node, Value, quoted};
use crate::reply::SHOULD_RETRY;
use crate::sse;
use crate::tools::ToolTable;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use portcullis_model::{ApprovalId, Denial, Tokens};
use std::marker::PhantomData;
use std::sync::Arc;

/// Bytes of an answer that is one document.
const DOCUMENT: usize = 64 << 20;
/// Bytes of an error.
const ERROR: usize = 1 << 20;
/// Bytes of an error's type, and of a code of it.
const KIND: usize = 64;

const TOO_LONG: Unfit = Unfit("the answer of the model is too long");
const NO_ERROR: Unfit = Unfit("an error that is not one of the API");
const CREDENTIAL: Unfit = Unfit("an error about the credential of the gateway's own");

/// What an error says: its type and its message, and words by which clients tell what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) struct Told {
    pub(in crate::api) kind: String,
    pub(in crate::api) message: String,
    pub(in crate::api) param: Option<String>,
    pub(in crate::api) code: Option<String>,
}

impl Told {
    /// An error of the gateway's own.
    pub(in crate::api) fn own(message: String) -> Self {
        Self { kind: "api_error".to_owned(), message, param: None, code: None }
    }
}

/// What the client asked for of an answer with calls.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::api) struct Wanted {
    /// The count of tokens, of a stream.
    pub(in crate::api) counted: bool,
    /// A text in a form that it reads: what the gateway says in it would be none.
    pub(in crate::api) formatted: bool,
}

/// What an API has of its own.
pub(in crate::api) trait Dialect: Send + 'static {
    type Whole: Document;
    type Events: Grammar;

    /// Fields of a head that the client gets.
    fn headers() -> &'static List;

    /// An error in the API's words.
    fn error(told: &Told) -> String;

    /// What is counted, where it is said.
    fn count(usage: &Node) -> Tokens;
}

/// An answer that comes as one document.
pub(in crate::api) trait Document: Sized + Send {
    fn read(tools: Arc<ToolTable>, wanted: Wanted, body: Vec<u8>) -> Result<Self, Unfit>;

    /// What it says that it used.
    fn usage(&self) -> Option<&Node>;

    /// Goes on to the next call, or to the end.
    fn run(&mut self, words: &mut dyn Words, parts: &mut Vec<Part>) -> Result<(), Unfit>;

    /// What became of the call that was asked about.
    fn settled(
        &mut self,
        verdict: Result<(), &Denial>,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) -> Result<(), Unfit>;

    /// Gives the record what was read of an answer that does not pass.
    fn record(&mut self, broke: &Unfit, words: &mut dyn Words);
}

/// Reads an answer.
pub(in crate::api) struct Answering<D: Dialect> {
    mode: Mode<D>,
}

enum Mode<D: Dialect> {
    /// A document without calls: models, counts, embeddings.
    Plain {
        held: Vec<u8>,
        /// It says what it used.
        counted: bool,
        of: PhantomData<D>,
    },
    /// A message that gathers.
    Message(Vec<u8>, Arc<ToolTable>, Wanted),
    Whole(Box<D::Whole>),
    Stream(Box<Pump<D::Events>>),
    Error(Vec<u8>, StatusCode),
    Over,
}

impl<D: Dialect> Answering<D> {
    pub(in crate::api) const fn plain() -> Self {
        Self { mode: Mode::Plain { held: Vec::new(), counted: false, of: PhantomData } }
    }

    /// A document without calls that says what it used.
    pub(in crate::api) const fn counted() -> Self {
        Self { mode: Mode::Plain { held: Vec::new(), counted: true, of: PhantomData } }
    }

    pub(in crate::api) const fn message(tools: Arc<ToolTable>, wanted: Wanted) -> Self {
        Self { mode: Mode::Message(Vec::new(), tools, wanted) }
    }

    pub(in crate::api) fn stream(events: D::Events) -> Self {
        Self { mode: Mode::Stream(Box::new(Pump::new(events))) }
    }

    fn broken(&mut self, why: Unfit, parts: &mut Vec<Part>) {
        self.mode = Mode::Over;
        parts.push(Part::Broken(why));
    }

    /// Goes on with a whole answer, if it went.
    fn went(
        &mut self,
        mut whole: Box<D::Whole>,
        went: Result<(), Unfit>,
        words: &mut dyn Words,
        parts: &mut Vec<Part>,
    ) {
        match went {
            Ok(()) => self.mode = Mode::Whole(whole),
            Err(why) => {
                whole.record(&why, words);
                self.broken(why, parts);
            }
        }
    }
}

impl<D: Dialect> Reader for Answering<D> {
    fn on_head(&mut self, head: &mut Head, _words: &mut dyn Words) -> Result<(), Unfit> {
        if head.status.is_client_error() || head.status.is_server_error() {
            self.mode = Mode::Error(Vec::new(), head.status);
            // Told to a client, this would be about its own credential.
            if head.status == StatusCode::UNAUTHORIZED {
                head.status = StatusCode::BAD_GATEWAY;
            }
        } else if head.status != StatusCode::OK {
            return Err(Unfit("the provider of the model answers with a status that does not pass"));
        }
        let unlisted: Vec<HeaderName> =
            head.headers.keys().filter(|name| !D::headers().has(name.as_str())).cloned().collect();
        for name in unlisted {
            head.headers.remove(name);
        }
        if matches!(self.mode, Mode::Error(_, StatusCode::UNAUTHORIZED)) {
            head.headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        let kind = match &self.mode {
            Mode::Stream(_) => "text/event-stream; charset=utf-8",
            Mode::Plain { .. } | Mode::Message(..) | Mode::Whole(_) | Mode::Error(..) | Mode::Over => {
                "application/json"
            }
        };
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        head.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(())
    }

    fn on_data(&mut self, data: &[u8], words: &mut dyn Words, parts: &mut Vec<Part>) {
        let (held, most) = match &mut self.mode {
            Mode::Stream(stream) => return stream.on_data(data, words, parts),
            Mode::Plain { held, .. } | Mode::Message(held, ..) => (held, DOCUMENT),
            Mode::Error(held, _) => (held, ERROR),
            Mode::Whole(_) | Mode::Over => return,
        };
        held.extend_from_slice(data);
        if held.len() > most {
            unread(most, &TOO_LONG, words);
            self.broken(TOO_LONG, parts);
        }
    }

    fn gathered(&self) -> usize {
        match &self.mode {
            Mode::Plain { held, .. } | Mode::Message(held, ..) | Mode::Error(held, _) => held.len(),
            // What is held back of a stream is bounded by itself; a document that is read is whole.
            Mode::Stream(_) | Mode::Whole(_) | Mode::Over => 0,
        }
    }

    fn on_end(&mut self, ended: Ended, words: &mut dyn Words, parts: &mut Vec<Part>) {
        match std::mem::replace(&mut self.mode, Mode::Over) {
            Mode::Stream(mut stream) => {
                stream.on_end(ended, words, parts);
                self.mode = Mode::Stream(stream);
            }
            Mode::Whole(whole) if ended == Ended::Broken => self.went(whole, Err(BROKE_OFF), words, parts),
            Mode::Plain { held, .. } | Mode::Message(held, ..) if ended == Ended::Broken => {
                unread(held.len(), &BROKE_OFF, words);
                self.broken(BROKE_OFF, parts);
            }
            Mode::Plain { held, counted, .. } => {
                let bytes = held.len();
                match plain(held, counted.then_some(D::count as fn(&Node) -> Tokens), words, parts) {
                    Ok(body) => parts.extend([Part::Data(body), Part::End]),
                    Err(why) => {
                        unread(bytes, &why, words);
                        self.broken(why, parts);
                    }
                }
            }
            Mode::Message(held, tools, wanted) => {
                let bytes = held.len();
                match D::Whole::read(tools, wanted, held) {
                    Ok(whole) => {
                        let mut whole = Box::new(whole);
                        parts.extend(used(whole.usage(), D::count));
                        let went = whole.run(words, parts);
                        self.went(whole, went, words, parts);
                    }
                    Err(why) => {
                        unread(bytes, &why, words);
                        self.broken(why, parts);
                    }
                }
            }
            Mode::Error(body, status) => {
                let told = failed(&body, status, words);
                parts.extend([Part::Data(Bytes::from(D::error(&told))), Part::End]);
            }
            Mode::Whole(whole) => self.mode = Mode::Whole(whole),
            Mode::Over => {}
        }
    }

    fn on_verdict(&mut self, verdict: Result<(), &Denial>, words: &mut dyn Words, parts: &mut Vec<Part>) {
        match std::mem::replace(&mut self.mode, Mode::Over) {
            Mode::Stream(mut stream) => {
                stream.on_verdict(verdict, words, parts);
                self.mode = Mode::Stream(stream);
            }
            Mode::Whole(mut whole) => {
                let went = whole.settled(verdict, words, parts);
                self.went(whole, went, words, parts);
            }
            other @ (Mode::Plain { .. } | Mode::Message(..) | Mode::Error(..) | Mode::Over) => self.mode = other,
        }
    }

    fn keep_alive(&self, approval: ApprovalId) -> Option<Bytes> {
        matches!(self.mode, Mode::Stream(_)).then(|| sse::comment(&format!("waiting for approval {approval}")))
    }
}

/// Says in the record how much came of what was not read.
fn unread(bytes: usize, why: &Unfit, words: &mut dyn Words) {
    if bytes > 0 && words.recording().is_some() {
        let said = format!("{bytes} bytes of an answer came and were not read: {}", why.0);
        words.record_made(&format!(r#"{{"portcullis":{}}}"#, quoted(&said)));
    }
}

/// What a document says that it used. It is used, whatever becomes of the document here.
fn used(usage: Option<&Node>, count: fn(&Node) -> Tokens) -> Option<Part> {
    let usage = usage.filter(|usage| matches!(usage.value, Value::Object(_)))?;
    Some(Part::Used(count(usage)))
}

/// A document without calls.
fn plain(
    body: Vec<u8>,
    count: Option<fn(&Node) -> Tokens>,
    words: &mut dyn Words,
    parts: &mut Vec<Part>,
) -> Result<Bytes, Unfit> {
    let document = String::from_utf8(body).map_err(|_| super::UNREADABLE)?;
    let node = json::read(document.as_bytes()).map_err(|_| super::UNREADABLE)?;
    parts.extend(count.and_then(|count| used(node.get("usage"), count)));
    let masked = words.json_kept(&document).map_err(|_| super::UNREADABLE)?;
    Ok(masked.unwrap_or(document).into())
}

/// What the provider says went wrong; nothing of an answer that is not its API's.
fn failed(body: &[u8], status: StatusCode, words: &mut dyn Words) -> Told {
    if status == StatusCode::UNAUTHORIZED {
        let message =
            "portcullis: the provider of the model refused the gateway's own credential; nothing is wrong with yours";
        unread(body.len(), &CREDENTIAL, words);
        return Told::own(message.to_owned());
    }
    let said = json::read(body).ok().and_then(|node| told(node.get("error")?, "type", words));
    said.unwrap_or_else(|| {
        unread(body.len(), &NO_ERROR, words);
        Told::own(format!("portcullis: the provider of the model answered {status}"))
    })
}

/// What kind of error it is, by the member of this name, and its message, masked. Codes pass where they are words in which
/// no mask finds anything.
fn told(error: &Node, kind: &str, words: &mut dyn Words) -> Option<Told> {
    let kind = error.get(kind).and_then(Node::text).unwrap_or("api_error");
    let message = error.get("message").and_then(Node::text)?;
    if kind.is_empty() || kind.len() > KIND || !is_word(kind) {
        return None;
    }
    words.record(message);
    let message = super::string(message, words).unwrap_or_else(|| message.to_owned());
    let mut word = |name: &str| {
        let text = error.get(name).and_then(Node::text)?;
        // A place in a list is written in brackets.
        let is_plain = !text.is_empty() && text.len() <= KIND && is_word(&text.replace(['[', ']'], ""));
        (is_plain && words.whole(text).is_none()).then(|| text.to_owned())
    };
    let (param, code) = (word("param"), word("code"));
    Some(Told { kind: kind.to_owned(), message, param, code })
}

/// The error that a stream says instead of going on.
pub(in crate::api) fn error(node: &Node, words: &mut dyn Words) -> Failure {
    node.get("error").map_or_else(|| super::STRANGE.into(), |error| failure(error, "type", words))
}

/// The same of the error itself, whose kind is the member of this name.
pub(in crate::api) fn failure(error: &Node, kind: &str, words: &mut dyn Words) -> Failure {
    match told(error, kind, words) {
        told @ Some(_) => Failure { why: Unfit("the provider of the model broke off with an error"), told },
        None => super::STRANGE.into(),
    }
}
