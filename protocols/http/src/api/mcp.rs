//! `api: mcp`: the Model Context Protocol over streamable HTTP, in both its eras: with sessions (to 2025-11-25), and without
//! (2026-07-28).
//!
//! | what a client asks | the operation |
//! |---|---|
//! | `tools/call` | `call tool NAME`, and what its arguments do (`tools.rs`); rules with `fields:` see the arguments |
//! | `resources/read` of `file:///srv/a`, `resources/subscribe` | `read endpoint READ /resources/file/-/srv/a`, `read endpoint SUBSCRIBE …` (`names.rs`) |
//! | `prompts/get` of NAME | `read endpoint GET /prompts/NAME` |
//! | `completion/complete` for either | `read endpoint COMPLETE /prompts/NAME`, `read endpoint COMPLETE /resources/…` |
//! | lists, `initialize`, `ping`, notifications, GET, DELETE | none of their own: the session |
//!
//! Promises: what has no row in `data/mcp.yaml` does not pass; headers say what the body says; the id of a session is its
//! principal's alone, and so is that of an event, from which a server goes on; no page sends anything: all are refused as
//! commands, so the record has them; tools that policy refuses are not listed, and are judged again when they are called;
//! a refused call is the result of a tool that failed, which every client gives to its model. Does not promise that a
//! client speaks the version that it once negotiated: only the server knows that one.
//! Held by: `mcp/tests.rs` with `fixtures/http/mcp.tsv`.

mod answer;
mod headers;
mod mask;
mod message;
mod methods;
mod names;
mod reply;
mod same;
mod seal;
mod shape;
#[cfg(test)]
mod tests;

use crate::api::rest::Opaque;
use crate::api::{Asked, Read};
use crate::classify;
use crate::frame::Request;
use crate::json::{self, Edits, Node, Value};
use crate::tools::{self, ToolTable};
use answer::Answering;
use bytes::Bytes;
use http::HeaderValue;
use message::{Message, Refusal, Said, What};
use portcullis_model::{Command, Digest, Operation, Text};
pub(crate) use reply::{PATIENCE, failed, left, refused};
pub(crate) use same::same;
use seal::Of;
pub use seal::Seal;
use shape::Expects;
use std::sync::Arc;

/// What requests of one caller on one connection are read by.
pub(crate) struct Context {
    pub(crate) tools: Arc<ToolTable>,
    pub(crate) opaque: Arc<Opaque>,
    /// The same on every replica.
    pub(crate) seal: Arc<Seal>,
    /// Over the principal (issuer and subject) and the connection's name: whose the sessions are.
    pub(crate) holder: Digest,
}

/// Reads a request.
pub(crate) fn read(mut request: Request, context: &Context) -> Read {
    let mut message = match message::of(&request) {
        Ok(message) => message,
        Err(refusal) => return unread(request, refusal, context),
    };
    let session = match session(&request, &message, context) {
        Ok(session) => session,
        Err(NotTheirs) => return astray(request, context),
    };
    let Ok(resumed) = last_event(&mut request, &message, context) else { return astray(request, context) };
    if let Err(refusal) = forward(&mut request, &mut message, session.as_deref()) {
        return unread(request, refusal, context);
    }
    let command = command(&request, &message, &context.tools);
    let expects = Expects::of(&message.said, resumed);
    let progress = message.progress.as_ref().map(message::Id::written);
    asked(request, command, Answering::new(expects, message.stateless, progress, context))
}

fn asked(request: Request, command: Command, reader: Answering) -> Read {
    Read::Asked(Box::new(Asked { offers: None, command, request, tokens: 0, reader: Box::new(reader) }))
}

fn unread(request: Request, refusal: Refusal, context: &Context) -> Read {
    let command = classify::faulty(&request, refusal.fault);
    asked(request, command, Answering::new(Expects::of(&Said::Notification, false), false, None, context))
}

/// A request in a session, or behind an event, that is not the caller's. Whoever answers it reads it again, with a
/// session that is none.
fn astray(mut request: Request, context: &Context) -> Read {
    let command = classify::faulty(&request, headers::no_session().fault);
    request.headers.insert(headers::SESSION, HeaderValue::from_static(""));
    asked(request, command, Answering::new(Expects::of(&Said::Notification, false), false, None, context))
}

/// The session or the event is not the caller's.
struct NotTheirs;

/// The server's id of the session, where the request is in one.
fn session(request: &Request, message: &Message, context: &Context) -> Result<Option<String>, NotTheirs> {
    let Some(sealed) = request.headers.get(headers::SESSION).filter(|_| !message.stateless) else { return Ok(None) };
    let opened = sealed.to_str().ok().and_then(|sealed| context.seal.open(&context.holder, Of::Session, sealed));
    opened.map(Some).ok_or(NotTheirs)
}

/// Whether a broken stream is taken up again; the event behind which it goes on is then the server's own id of it. Only a
/// stream goes on behind one (2025-11-25, "Resumability and Redelivery"): elsewhere the header says nothing and goes no
/// further.
fn last_event(request: &mut Request, message: &Message, context: &Context) -> Result<bool, NotTheirs> {
    let Some(sealed) = request.headers.remove(headers::LAST_EVENT) else { return Ok(false) };
    if !matches!(message.said, Said::Stream) {
        return Ok(false);
    }
    let opened = sealed.to_str().ok().and_then(|sealed| context.seal.open(&context.holder, Of::Event, sealed));
    let id = opened.and_then(|id| HeaderValue::from_str(&id).ok()).ok_or(NotTheirs)?;
    request.headers.insert(headers::LAST_EVENT, id);
    Ok(true)
}

/// Makes the request what is sent: with the server's own session id, and without what no server may ask of a client.
fn forward(request: &mut Request, message: &mut Message, session: Option<&str>) -> Result<(), Refusal> {
    let has_message = !matches!(message.said, Said::Stream | Said::Close);
    let refusal = |why| Refusal::new(message::INVALID, why);
    let headers = headers::sent(&request.headers, has_message, session);
    let headers = headers.ok_or_else(|| refusal("a header cannot be sent on"))?;
    if let Some((span, json)) = message.capabilities.take() {
        let mut edits = Edits::default();
        edits.replace(span, json);
        let changed = std::str::from_utf8(&request.body).ok().and_then(|body| edits.apply(body));
        let changed = changed.ok_or_else(|| refusal("the capabilities cannot be read"))?;
        // What is judged is what is sent, where it stands now.
        let read = json::read(changed.as_bytes()).map_err(|_| refusal("the capabilities cannot be read"))?;
        message.body = Some(read);
        request.body = Bytes::from(changed);
    }
    request.headers = headers;
    Ok(())
}

fn command(request: &Request, message: &Message, tools: &ToolTable) -> Command {
    match &message.said {
        Said::Request(_, What::Tool { name, call, .. }) => {
            // Its arguments in the body that is sent: they may have moved with the capabilities.
            let arguments = message.body.as_ref().and_then(|body| body.get("params")?.get("arguments"));
            let none = Node { value: Value::Object(Vec::new()), span: 0..0 };
            tools::called(tools, name, call.as_deref(), arguments.unwrap_or(&none), request.digest())
        }
        Said::Request(_, What::Read(operations, names)) => {
            plain(request, message, operations.clone(), format!("{} {names}", message.method))
        }
        Said::Request(_, What::Session | What::Tools)
        | Said::Notification
        | Said::Pong
        | Said::Stream
        | Said::Close => plain(request, message, vec![Operation::session()], message.method.clone()),
    }
}

fn plain(request: &Request, message: &Message, operations: Vec<Operation>, text: String) -> Command {
    let mut command = classify::document(request, operations, message.body.as_ref());
    command.text = Text::plain(text);
    command
}
