//! What a request says about bytes that its client has (RFC 9110 §13, §14; RFC 4918 §10.4), while masks bind its answer.
//!
//! | the request | parts of an answer | conditions |
//! |---|---|---|
//! | reads (GET, HEAD, OPTIONS) | taken out | taken out: their answers tell of the unmasked bytes and of nothing else |
//! | any other | taken out: they mean something to GET only | go on as they were written; lists of tags are refused |
//!
//! Promises: no precondition of a write is lost, since a write that should not have happened is worse than what its refusal
//! tells; a request asks about one tag at most. A tag can be a digest of the unmasked body, so the answer to a write with a
//! guessed one (412 or not) tells whether the guess was right. That is one bit for each write that policy allowed and the
//! record has, which is what any write tells whose service has rules of its own; a list of tags would halve the guesses with
//! each write and is refused, and so is one that could be read as a list. The tags themselves are taken out of answers.
//! Held by: `rest/tests.rs`.

use crate::frame::Method;
use http::{HeaderMap, HeaderName, header};
use portcullis_model::Fault;

/// They only make sense with unmasked bytes.
const PARTS: [HeaderName; 2] = [header::RANGE, header::IF_RANGE];

/// The states of WebDAV, among them tags in brackets.
const IF: HeaderName = HeaderName::from_static("if");

const CONDITIONS: [HeaderName; 5] =
    [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE, IF];

/// Makes the head one that tells its client nothing of unmasked bytes, or no more than any request like it.
///
/// # Errors
/// A fault where it asks about several tags.
pub(super) fn bind(method: &Method, headers: &mut HeaderMap) -> Result<(), Fault> {
    for name in PARTS {
        headers.remove(name);
    }
    match method {
        Method::Get | Method::Head | Method::Options => {
            for name in CONDITIONS {
                headers.remove(name);
            }
            Ok(())
        }
        Method::Post | Method::Put | Method::Patch | Method::Delete | Method::Other(_) => one_tag(headers),
    }
}

fn one_tag(headers: &HeaderMap) -> Result<(), Fault> {
    let tags = [header::IF_MATCH, header::IF_NONE_MATCH];
    let mut tags = tags.iter().flat_map(|name| headers.get_all(name));
    let one = tags.next().is_none_or(|tag| tag.to_str().is_ok_and(is_one));
    let has_states = headers.get_all(IF).iter().any(|value| value.as_bytes().contains(&b'['));
    if one && tags.next().is_none() && !has_states {
        return Ok(());
    }
    let message =
        "while answers are masked a condition names `*` or one tag: send one `If-Match` with a single tag".into();
    Err(Fault::Unsupported { message })
}

/// Whether it is `*` or a tag that nobody takes for several, also one without its quotes.
fn is_one(tag: &str) -> bool {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let plain = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
    plain.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b','))
}
