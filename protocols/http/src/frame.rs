//! What passes between the client, the gate and the backend.
//!
//! Promises: a request that is forwarded is built from what was judged: its method, its canonical path and query, the
//! headers that may pass, and its whole body; nothing of it is copied from the wire unread. Its digest is over all of these.
//! An approval is bound to them too, but for where the request stands in a trace (W3C Trace Context): clients that are
//! instrumented say so anew each time, it means nothing to what is asked, and what was approved would never be found again.
//! It is left out only where it is what the standard says and short; what else stands in its place is part of the request.
//! Held by: the tests below, and `core/tests/leaving.rs`.

use crate::path::{Path, Query};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};
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

/// Where a request stands in a trace (W3C Trace Context §3.2, §3.3), and how long its state may be at least (§3.3.1.5).
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");
const LONGEST_STATE: usize = 512;

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
        self.digest_without(&[])
    }

    /// The digest of the same request in no trace; `None` where it is in none.
    pub(crate) fn untraced(&self) -> Option<Digest> {
        let mut parents = self.headers.get_all(&TRACE_PARENT).iter();
        let parent = parents.next()?;
        let state: usize = self.headers.get_all(&TRACE_STATE).iter().map(|state| state.len() + 1).sum();
        let traced = parents.next().is_none() && is_trace_parent(parent.as_bytes()) && state <= LONGEST_STATE;
        traced.then(|| self.digest_without(&[TRACE_PARENT, TRACE_STATE]))
    }

    fn digest_without(&self, left_out: &[HeaderName]) -> Digest {
        let mut parts: Vec<&[u8]> = vec![self.method.word().as_bytes(), b" ", self.path.as_str().as_bytes()];
        let query = self.query.to_string();
        parts.extend([b"?".as_slice(), query.as_bytes(), b"\n"]);
        for (name, value) in self.headers.iter().filter(|(name, _)| !left_out.contains(name)) {
            parts.extend([name.as_str().as_bytes(), b":", value.as_bytes(), b"\n"]);
        }
        parts.extend([b"\n".as_slice(), &self.body]);
        Digest::of_parts(&parts)
    }

    /// The one value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether it asks for a socket: `head/upgrade.rs` put this header there, no client's goes further.
    pub(crate) fn upgrades(&self) -> bool {
        self.headers.contains_key(header::UPGRADE)
    }

    /// The protocols that it offers to speak over the socket.
    pub(crate) fn offers(&self) -> impl Iterator<Item = &str> {
        self.header(header::SEC_WEBSOCKET_PROTOCOL.as_str()).into_iter().flat_map(|offers| offers.split(", "))
    }

    /// Method, path and query, as the record shows them.
    pub(crate) fn line(&self) -> String {
        let (method, path, query) = (&self.method, self.path.as_str(), self.query.to_string());
        if query.is_empty() { format!("{method} {path}") } else { format!("{method} {path}?{query}") }
    }
}

/// Whether this is a version, a trace, a request and flags, in small hexadecimal digits.
fn is_trace_parent(value: &[u8]) -> bool {
    let is_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let parts: Vec<&[u8]> = value.split(|byte| *byte == b'-').take(5).collect();
    parts.iter().map(|part| part.len()).eq([2, 32, 16, 2]) && parts.into_iter().all(is_hex)
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(headers: &[(&'static str, &str)]) -> Request {
        let mut request = Request {
            method: Method::Get,
            path: Path::read("/a").unwrap(),
            query: Query::default(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        for (name, value) in headers {
            request.headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        request
    }

    #[test]
    fn a_place_in_a_trace_is_no_part_of_what_is_the_same() {
        let plain = of(&[("accept", "a"), ("x-b", "b")]);
        assert_eq!(plain.untraced(), None);
        for state in [&[][..], &["a=1,b=2"], &["a=1", "b=2"]] {
            let mut headers = vec![("accept", "a"), ("traceparent", PARENT), ("x-b", "b")];
            headers.extend(state.iter().map(|state| ("tracestate", *state)));
            let traced = of(&headers);
            assert_eq!(traced.untraced(), Some(plain.digest()));
            assert_ne!(traced.digest(), plain.digest(), "it is sent");
        }
        assert_ne!(of(&[("accept", "b"), ("traceparent", PARENT), ("x-b", "b")]).untraced(), Some(plain.digest()));
    }

    #[test]
    fn what_is_no_place_in_a_trace_is_part_of_the_request() {
        let (long, state) = ("a".repeat(512), "a=1");
        for headers in [
            &[("tracestate", state)][..],
            &[("traceparent", PARENT), ("traceparent", PARENT)],
            &[("traceparent", PARENT), ("tracestate", &long)],
            &[("traceparent", "")],
            &[("traceparent", &PARENT.to_uppercase())],
            &[("traceparent", &PARENT[..54])],
            &[("traceparent", &format!("{PARENT}-rm"))],
            &[("traceparent", &PARENT.replace('-', "_"))],
        ] {
            assert_eq!(of(headers).untraced(), None, "{headers:?}");
        }
    }
}
