//! `api: rest`: a method on a path is the operation, and answers are masked by what they are.
//!
//! | the answer is | while a mask binds |
//! |---|---|
//! | JSON | whole, by fields and detectors; every byte not masked stays |
//! | JSON lines, JSON sequences | each line like a document |
//! | an event stream | the data of each event like a document where it is JSON, else by detectors; where fields are masked, none that holds members of JSON |
//! | a header | by detectors; emptied where fields are masked and it holds members of JSON |
//! | text | by detectors; where fields are masked, only what is JSON after all |
//! | of a type that the connection names in `opaque` | as it is |
//! | anything else | not passed |
//!
//! Promises: what a body is called decides nothing in favour of passing it: a text that could be JSON is masked as JSON;
//! parts of an answer (206), answers about bytes that a client has (304), redirects and trailers do not pass; what tells of
//! the unmasked bytes (validators, digests) is dropped. Which masks bind is asked when the answer comes: a request may have
//! waited for people under others. While masks bind, conditions of a read are taken out and those of a write go on
//! (`rest/conditions.rs`). While masks name fields, a request that gives a protected member another name is refused, as far
//! as its language is known (`rest/renaming.rs`). A request's JSON is read strictly, each line of a stream of it too;
//! text, XML, types not named in `opaque` and bodies that name another method than the request has are refused. Rules see
//! the values of one document; of JSON lines, forms and opaque bodies they are told that there are some. The record keeps
//! what passes as it comes, masked as what it is (`rest/kept.rs`).
//! Does not promise to find fields in text that is not JSON: it is withheld.
//! Held by: `rest/tests.rs`, `tests/it/http*.rs` of the binary.

mod answer;
mod conditions;
mod kept;
mod media;
mod renaming;
#[cfg(test)]
mod tests;

use crate::api::{Asked, Read, Words};
use crate::classify;
use crate::frame::Request;
use crate::head::names_a_method;
use crate::json::{self, Node};
use crate::path::Query;
pub(crate) use answer::message;
use answer::{Answering, looks_like_json};
pub(crate) use media::Media;
pub use media::Opaque;
use portcullis_model::{Command, Fault};
use renaming::Renaming;
use std::sync::Arc;

const ANOTHER_METHOD: &str = "the body names another method; send the request with that method";

/// Reads a request.
pub(crate) fn read(mut request: Request, opaque: &Arc<Opaque>, words: &mut dyn Words) -> Read {
    // Where masks come into force only later, what they ask for does not pass.
    let bound = if words.binds() { conditions::bind(&request.method, &mut request.headers) } else { Ok(()) };
    let command = match bound {
        Ok(()) => command(&request, opaque, Renaming::under(words).as_ref()),
        Err(fault) => classify::faulty(&request, fault),
    };
    let reader = Box::new(Answering::new(Arc::clone(opaque)));
    Read::Asked(Box::new(Asked { offers: None, command, request, tokens: 0, reader }))
}

/// Why a message that a client says over a socket does not pass, whatever rules say.
pub(crate) fn unfit_to_say(text: &str, words: &dyn Words) -> Option<Fault> {
    Renaming::under(words).filter(|renaming| renaming.is_said(text)).map(|_| Renaming::fault())
}

fn command(request: &Request, opaque: &Opaque, renaming: Option<&Renaming>) -> Command {
    let operation = if request.upgrades() {
        classify::upgrade(&request.path)
    } else {
        classify::endpoint(&request.method, &request.path)
    };
    let operations = vec![operation];
    match body(request, opaque) {
        Ok(read) if renaming.is_some_and(|renaming| renaming.is_in(request, read.as_ref())) => {
            classify::faulty(request, Renaming::fault())
        }
        Ok(read) => classify::document(request, operations, read.as_ref()),
        Err(fault) => classify::faulty(request, fault),
    }
}

/// The body, where it is JSON; a fault where it can be read two ways.
fn body(request: &Request, opaque: &Opaque) -> Result<Option<Node>, Fault> {
    if request.body.is_empty() {
        return Ok(None);
    }
    let ambiguous = |message: String| Fault::Ambiguous { message: message.into() };
    let Some(named) = request.header("content-type") else {
        let message = "the body has no content-type; say what it is (`content-type: application/json`)";
        return Err(ambiguous(message.to_owned()));
    };
    let media = Media::of(named).ok_or_else(|| ambiguous("the content-type cannot be read".to_owned()))?;
    if !media.is_utf8() {
        return Err(ambiguous("the body is in another charset than UTF-8".to_owned()));
    }
    if media.is_json() {
        return document(&request.body).map(Some).map_err(ambiguous);
    }
    if media.is_json_lines() {
        // Which of the values belong together only the service knows: rules are told that there are some.
        let lines = request.body.split(|byte| matches!(byte, b'\n' | 0x1e)).map(<[u8]>::trim_ascii);
        let read = lines.filter(|line| !line.is_empty()).try_for_each(|line| document(line).map(drop));
        return read.map(|()| None).map_err(ambiguous);
    }
    if media.is_form() {
        return form(&request.body).map(|()| None).map_err(ambiguous);
    }
    if opaque.covers(&media) {
        return Ok(None);
    }
    let way = match media.kind() {
        None => "whoever runs the gateway can name the type under the connection's `opaque`",
        Some(_) if looks_like_json(&request.body) => "it looks like JSON: send `content-type: application/json`",
        Some(_) => "send JSON or a form",
    };
    Err(Fault::Unsupported { message: format!("bodies of the type {media} do not pass; {way}").into() })
}

fn document(body: &[u8]) -> Result<Node, String> {
    let read = json::read(body).map_err(|error| error.to_string())?;
    if read.members().iter().any(|(name, _)| names_a_method(name)) {
        return Err(ANOTHER_METHOD.to_owned());
    }
    Ok(read)
}

/// A form is looked through for its names alone. One that stands twice is one of a list, as many services have it: nothing
/// here is decided by a value.
fn form(body: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(body).map_err(|_| "the form is not UTF-8".to_owned())?;
    // In a form, and only there, a plus is a space.
    let form = Query::read(&text.replace('+', "%20")).map_err(|error| {
        if looks_like_json(body) {
            "the body is called a form and looks like JSON: send `content-type: application/json`".to_owned()
        } else {
            error.to_string().replace("the query", "the form")
        }
    })?;
    if form.iter().any(|(name, _)| names_a_method(name)) {
        return Err(ANOTHER_METHOD.to_owned());
    }
    Ok(())
}
