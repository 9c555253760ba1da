//! What passes between the client, the gate and the backend.
//!
//! Promises: a request that is forwarded is built from what was judged: its method, its canonical path and query, the
//! headers that may pass, and its whole body; nothing of it is copied from the wire unread. Its digest is over all of these.
//! Held by: the tests below.

use crate::path::{Path, Query};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use portcullis_gate::Weight;
use portcullis_model::Digest;
use std::fmt;

/// A method (RFC 9110 §9). CONNECT and TRACE have none: they are refused before anything is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Options,
    Post,
    Put,
    Patch,
    Delete,
    /// Any other, in upper-case letters.
    Other(Box<str>),
}

impl Method {
    /// The method of this word; `None` for what never passes.
    pub(crate) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            // What they would open or show is not read.
            "CONNECT" | "TRACE" | "PRI" => return None,
            word if word.len() <= 32 && !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase()) => {
                Self::Other(word.into())
            }
            _ => return None,
        })
    }

    /// As it is written.
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Other(word) => word,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A request, whole.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Below the connection: what the rules and the backend see.
    pub(crate) path: Path,
    pub(crate) query: Query,
    /// Those that may pass, without credentials and without what belongs to one hop.
    pub(crate) headers: HeaderMap,
    /// Decoded.
    pub(crate) body: Bytes,
}

impl Request {
    /// Over everything that is sent but the credential.
    pub(crate) fn digest(&self) -> Digest {
        let mut parts: Vec<&[u8]> = vec![self.method.word().as_bytes(), b" ", self.path.as_str().as_bytes()];
        let query = self.query.to_string();
        parts.extend([b"?".as_slice(), query.as_bytes(), b"\n"]);
        for (name, value) in &self.headers {
            parts.extend([name.as_str().as_bytes(), b":", value.as_bytes(), b"\n"]);
        }
        parts.extend([b"\n".as_slice(), &self.body]);
        Digest::of_parts(&parts)
    }

    /// The one value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Method, path and query, as the record shows them.
    pub(crate) fn line(&self) -> String {
        let (method, path, query) = (&self.method, self.path.as_str(), self.query.to_string());
        if query.is_empty() { format!("{method} {path}") } else { format!("{method} {path}?{query}") }
    }
}

impl Weight for Request {
    fn weight(&self) -> usize {
        self.body.len() + self.headers.len() * 64 + self.path.as_str().len()
    }
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

/// What goes to the client.
#[derive(Clone, Debug)]
pub(crate) enum ToClient {
    Head(Head),
    Data(Bytes),
    /// The body is whole.
    End,
    /// The connection breaks off, so that what was sent of the body never looks whole.
    Abort,
}

impl Weight for ToClient {
    fn weight(&self) -> usize {
        match self {
            Self::Head(head) => 64 + head.headers.len() * 64,
            // However little one holds, it takes its place.
            Self::Data(data) => data.len().max(64),
            Self::End | Self::Abort => 64,
        }
    }
}
