//! What the APIs of models share: how a request is read, how an answer runs, what becomes of a tool call.
//!
//! | | |
//! |---|---|
//! | [`List`] | words that a data file names |
//! | [`Spared`] | values masked in place, but for what the API made itself |
//! | [`request`] | the body as it is sent: masked first, then read |
//! | [`members`] | which members objects in it may have |
//! | [`without`] | the same body without tools that are refused |
//! | [`Call`], [`Ready`] | a tool call: masked first, then judged, recorded and released as that |
//! | [`Speech`] | a streamed text; JSON in it waits until it is whole |
//! | [`Turn`] | what the record keeps of an answer |
//! | [`Answering`], [`Pump`] | the reader of an answer, and of a stream |
//!
//! An API says what its documents, events and words are ([`Dialect`], [`Document`], [`Grammar`]) and nothing else.
//! Promises: what is judged is what is sent or released, to the byte. Held by: the tests below and those of each API.

mod answering;
mod call;
mod list;
pub(super) mod members;
mod offered;
mod pump;
pub(super) mod request;
mod scan;
mod speech;
#[cfg(test)]
mod tests;
mod turn;
mod words;

pub(super) use answering::{Answering, Dialect, Document, Told, Wanted, error, failure};
pub(super) use call::{Call, Ready};
pub(super) use list::List;
pub(super) use offered::without;
pub(super) use pump::{Failure, Grammar, Pump};
pub(super) use speech::Speech;
pub(super) use turn::Turn;
pub(crate) use words::Room;
pub(super) use words::{Spared, is_sealed, is_word, string};

use super::Unfit;
use crate::json::{Node, Value};
use portcullis_model::Tokens;

/// Bytes of an id, of a model's name, and of a reason.
pub(super) const ID: usize = 256;

pub(super) const STRANGE: Unfit = Unfit("the answer of the model is not what its API says");
pub(super) const UNREADABLE: Unfit = Unfit("the answer of the model is not JSON that is read in one way only");
pub(super) const BROKE_OFF: Unfit = Unfit("the answer of the model broke off");
pub(super) const LONG_CALL: Unfit = Unfit("a tool call of the model's answer is too long");

/// A word of the API's own, no longer than an id.
pub(super) fn word<'n>(node: &'n Node, name: &str) -> Result<&'n str, Unfit> {
    let text = node.get(name).and_then(Node::text);
    text.filter(|text| text.len() <= ID && is_word(text)).ok_or(STRANGE)
}

/// The elements of the list that a member is; none where there is nothing in its place.
pub(super) fn elements<'n>(node: &'n Node, name: &str) -> Result<&'n [Node], Unfit> {
    match node.get(name).map(|list| &list.value) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(elements)) => Ok(elements),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => Err(STRANGE),
    }
}

/// How many tokens are said to have been used: no more than the record takes. Digits that no number holds are as many.
pub(super) fn tokens(usage: &Node, name: &str) -> Option<u64> {
    match &usage.get(name)?.value {
        Value::Number(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().map_or(Tokens::MOST, |said: u64| said.min(Tokens::MOST)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether a value says nothing but a word of the API's own.
pub(super) fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => text.len() <= ID && is_word(text),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// Why a turn ended: a word, or nothing yet.
pub(super) fn reason(node: Option<&Node>) -> Result<Option<&str>, Unfit> {
    match node.map(|node| &node.value) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(word)) if !word.is_empty() && word.len() <= ID && is_word(word) => Ok(Some(word)),
        Some(_) => Err(STRANGE),
    }
}
