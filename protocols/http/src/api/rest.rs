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
//! (`rest/conditions.rs`). A request's JSON is read strictly; forms of several parts, types not named in `opaque` and
//! bodies that name another method than the request has are refused. The record keeps what passes as it comes, masked as
//! what it is (`rest/kept.rs`).
//! Does not promise to find fields in text that is not JSON: it is withheld.
//! Held by: `rest/tests.rs`, `tests/it/http*.rs` of the binary.

mod answer;
mod conditions;
mod kept;
mod media;
#[cfg(test)]
mod tests;

use crate::api::{Asked, Read, Words};
use crate::classify;
use crate::frame::Request;
use crate::head::names_a_method;
use crate::json::{self, Node};
use crate::path::Query;
use answer::Answering;
pub(crate) use answer::message;
pub(crate) use media::Media;
pub use media::Opaque;
use portcullis_model::{Command, Fault};
use std::sync::Arc;

const ANOTHER_METHOD: &str = "the body names another method; send the request with that method";

/// Reads a request.
pub(crate) fn read(mut request: Request, opaque: &Arc<Opaque>, words: &mut dyn Words) -> Read {
    // Where masks come into force only later, what they ask for does not pass.
    let bound = if words.binds() { conditions::bind(&request.method, &mut request.headers) } else { Ok(()) };
    let command = match bound {
        Ok(()) => command(&request, opaque),
        Err(fault) => classify::faulty(&request, fault),
    };
    let reader = Box::new(Answering::new(Arc::clone(opaque)));
    Read::Asked(Box::new(Asked { offers: None, command, request, tokens: 0, reader }))
}

fn command(request: &Request, opaque: &Opaque) -> Command {
    let operation = if request.upgrades() {
        classify::upgrade(&request.path)
    } else {
        classify::endpoint(&request.method, &request.path)
    };
    let operations = vec![operation];
    match body(request, opaque) {
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
        return Err(ambiguous("the body has no content-type".to_owned()));
    };
    let media = Media::of(named).ok_or_else(|| ambiguous("the content-type cannot be read".to_owned()))?;
    if !media.is_utf8() {
        return Err(ambiguous("the body is in another charset than UTF-8".to_owned()));
    }
    if media.is_json() {
        let read = json::read(&request.body).map_err(|error| ambiguous(error.to_string()))?;
        if read.members().iter().any(|(name, _)| names_a_method(name)) {
            return Err(ambiguous(ANOTHER_METHOD.to_owned()));
        }
        return Ok(Some(read));
    }
    if media.is_form() {
        let text = std::str::from_utf8(&request.body).map_err(|_| ambiguous("the form is not UTF-8".to_owned()))?;
        // In a form, and only there, a plus is a space.
        let form = Query::read(&text.replace('+', "%20")).map_err(|error| ambiguous(error.to_string()))?;
        let mut names: Vec<&str> = form.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(ambiguous("the form has a name twice".to_owned()));
        }
        if names.iter().any(|name| names_a_method(name)) {
            return Err(ambiguous(ANOTHER_METHOD.to_owned()));
        }
        return Ok(None);
    }
    if opaque.covers(&media) {
        return Ok(None);
    }
    let message = format!("bodies of the type {media} do not pass; the connection can name it under `opaque`");
    Err(Fault::Unsupported { message: message.into() })
}
