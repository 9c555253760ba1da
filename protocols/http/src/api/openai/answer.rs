//! The answer of the API.
//!
//! Promises: how an answer is read follows from what was asked, never from what the answer says it is; of its head only
//! listed fields pass. An error of the provider's passes as its type and its message, masked; one about the credential of
//! the gateway's own is said as that. Does not promise that the provider counts as it charges.
//! Held by: `tests.rs`.

use super::facts::facts;
use super::stream::Stream;
use super::whole::Whole;
use crate::api::anthropic::{self, is_word};
use crate::api::{Ended, NotJson, Part, Reader, Unfit, Words};
use crate::frame::Head;
use crate::json::{self, Node, quoted};
use crate::sse;
use crate::tools::ToolTable;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use portcullis_model::Denial;
use portcullis_model::Tokens;
use std::sync::Arc;

/// Bytes of an answer that is one document.
const DOCUMENT: usize = 64 << 20;
/// Bytes of an error.
const ERROR: usize = 1 << 20;

const BROKE_OFF: Unfit = Unfit("the answer of the model broke off");
const TOO_LONG: Unfit = Unfit("the answer of the model is too long");
const NOT_JSON: Unfit = Unfit("the answer is not JSON that is read in one way only");

/// Reads an answer.
pub(super) struct Answering {
    mode: Mode,
}

enum Mode {
    /// A document without calls: models, embeddings.
    Plain(Vec<u8>),
    /// A message that gathers.
    Message(Vec<u8>, Arc<ToolTable>),
    Whole(Box<Whole>),
    Stream(Box<Stream>),
    Error(Vec<u8>, StatusCode),
    Over,
}

impl Answering {
    pub(super) const fn plain() -> Self {
        Self { mode: Mode::Plain(Vec::new()) }
    }

    pub(super) const fn message(tools: Arc<ToolTable>) -> Self {
        Self { mode: Mode::Message(Vec::new(), tools) }
    }

    pub(super) fn stream(usage: bool, tools: Arc<ToolTable>) -> Self {
        Self { mode: Mode::Stream(Box::new(Stream::new(usage, tools))) }
    }

    fn broken(&mut self, why: Unfit, parts: &mut Vec<Part>) {
        self.mode = Mode::Over;
        parts.push(Part::Broken(why));
    }

    /// What was done to a whole answer, if it could be.
    fn went(&mut self, whole: Result<(), Unfit>, parts: &mut Vec<Part>) {
        if let Err(why) = whole {
            self.broken(why, parts);
        }
    }
}

impl Reader for Answering {
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
            head.headers.keys().filter(|name| !facts().headers.has(name.as_str())).cloned().collect();
        for name in unlisted {
            head.headers.remove(name);
        }
        let kind = match &self.mode {
            Mode::Stream(_) => "text/event-stream; charset=utf-8",
            Mode::Plain(_) | Mode::Message(..) | Mode::Whole(_) | Mode::Error(..) | Mode::Over => "application/json",
        };
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        head.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(())
    }

    fn on_data(&mut self, data: &[u8], words: &mut dyn Words, parts: &mut Vec<Part>) {
        let (held, most) = match &mut self.mode {
            Mode::Stream(stream) => return stream.on_data(data, words, parts),
            Mode::Plain(held) | Mode::Message(held, _) => (held, DOCUMENT),
            Mode::Error(held, _) => (held, ERROR),
            Mode::Whole(_) | Mode::Over => return,
        };
        held.extend_from_slice(data);
        if held.len() > most {
            self.broken(TOO_LONG, parts);
        }
    }

    fn on_end(&mut self, ended: Ended, words: &mut dyn Words, parts: &mut Vec<Part>) {
        match std::mem::replace(&mut self.mode, Mode::Over) {
            Mode::Stream(mut stream) => {
                stream.on_end(ended, words, parts);
                self.mode = Mode::Stream(stream);
            }
            Mode::Plain(_) | Mode::Message(..) | Mode::Whole(_) if ended == Ended::Broken => {
                self.broken(BROKE_OFF, parts);
            }
            Mode::Plain(body) => match plain(body, words) {
                Ok(body) => parts.extend([Part::Data(body), Part::End]),
                Err(why) => self.broken(why, parts),
            },
            Mode::Message(body, tools) => match Whole::read(tools, body) {
                Ok(mut whole) => {
                    let went = whole.run(words, parts);
                    self.mode = Mode::Whole(Box::new(whole));
                    self.went(went, parts);
                }
                Err(why) => self.broken(why, parts),
            },
            Mode::Error(body, status) => parts.extend([Part::Data(failed(&body, status, words)), Part::End]),
            Mode::Whole(whole) => self.mode = Mode::Whole(whole),
            Mode::Over => {}
        }
    }

    fn on_verdict(&mut self, verdict: Result<(), &Denial>, words: &mut dyn Words, parts: &mut Vec<Part>) {
        match &mut self.mode {
            Mode::Stream(stream) => stream.on_verdict(verdict, words, parts),
            Mode::Whole(whole) => {
                let went = whole.on_verdict(verdict, words, parts);
                self.went(went, parts);
            }
            Mode::Plain(_) | Mode::Message(..) | Mode::Error(..) | Mode::Over => {}
        }
    }

    fn keep_alive(&self) -> Option<Bytes> {
        matches!(self.mode, Mode::Stream(_)).then(|| sse::comment("waiting for approval"))
    }
}

/// A document without calls.
fn plain(body: Vec<u8>, words: &mut dyn Words) -> Result<Bytes, Unfit> {
    let document = String::from_utf8(body).map_err(|_| NOT_JSON)?;
    json::read(document.as_bytes()).map_err(|_| NOT_JSON)?;
    let masked = words.json_kept(&document).map_err(|_| NOT_JSON)?;
    Ok(masked.unwrap_or(document).into())
}

/// What the provider says went wrong; nothing of an answer that is not its API's.
fn failed(body: &[u8], status: StatusCode, words: &mut dyn Words) -> Bytes {
    let said = json::read(body).ok().and_then(|node| told(&node, words));
    let (kind, message) = match said {
        _ if status == StatusCode::UNAUTHORIZED => (
            "api_error".to_owned(),
            "portcullis: the provider of the model refused the gateway's own credential; nothing is wrong with yours"
                .to_owned(),
        ),
        Some(told) => told,
        None => ("api_error".to_owned(), format!("portcullis: the provider of the model answered {status}")),
    };
    Bytes::from(error(&kind, &message))
}

/// An error in the API's words.
pub(super) fn error(kind: &str, message: &str) -> String {
    let (kind, message) = (quoted(kind), quoted(message));
    format!(r#"{{"error":{{"message":{message},"type":{kind},"param":null,"code":null}}}}"#)
}

/// The type and the message of an error.
pub(super) fn told(node: &Node, words: &mut dyn Words) -> Option<(String, String)> {
    let error = node.get("error")?;
    let kind = error.get("type").and_then(Node::text).unwrap_or("api_error");
    let message = error.get("message").and_then(Node::text)?;
    words.record(message);
    let message = words.whole(message).unwrap_or_else(|| message.to_owned());
    (kind.len() <= 64 && is_word(kind)).then(|| (kind.to_owned(), message))
}

/// The value with its strings masked.
pub(super) fn masked(node: &Node, text: &str, words: &mut dyn Words) -> Result<String, NotJson> {
    anthropic::masked_sparing(&facts().spared, node, text, words)
}

/// What is counted, where it is said.
pub(super) fn count(usage: &Node, used: &mut Tokens) {
    let number = |node: &Node, name: &str| node.get(name).and_then(Node::number).unwrap_or_default();
    let cached = usage.get("prompt_tokens_details").map_or(0, |details| number(details, "cached_tokens"));
    // Of the prompt's tokens some were cached; they are counted apart.
    used.input = number(usage, "prompt_tokens").saturating_sub(cached);
    used.output = number(usage, "completion_tokens");
    used.cache_read = cached;
}
