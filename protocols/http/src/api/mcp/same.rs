//! When one message says the same as another.
//!
//! Promises: two messages are the same only where everything is that is sent but three marks which clients choose anew for
//! each: the `id`, the token by which a server tells how far it is, and which call of a model it was; and, as for any
//! request, but for where it stands in a trace ([`Request::untraced`]). An approval of the
//! one is an approval of the other, and no server is told more by these than who waits for the answer: a mark is a whole
//! number or a short text, and what is neither is no mark (`message.rs` refuses it, and it is not left out here).
//! Held by: the tests below, and `core/tests/leaving.rs`.

use super::message::{Id, META_PROGRESS, META_TOOL_USE, tool_use};
use crate::frame::Request;
use crate::json::{self, Edits};
use bytes::Bytes;
use portcullis_model::Digest;

/// A digest that is the same for messages that say the same; `None` where there is no message.
pub(crate) fn same(request: &Request) -> Option<Digest> {
    let body = json::read(&request.body).ok()?;
    let meta = body.get("params").and_then(|params| params.get("_meta"));
    let of_meta = |name| meta.and_then(|meta| meta.get(name));
    let marks = [
        body.get("id").filter(|id| Id::of(id).is_some()),
        of_meta(META_PROGRESS).filter(|token| Id::of(token).is_some()),
        of_meta(META_TOOL_USE).filter(|call| tool_use(call).is_some()),
    ];
    let mut edits = Edits::default();
    for mark in marks.into_iter().flatten() {
        edits.replace(mark.span.clone(), "0");
    }
    let body = edits.apply(std::str::from_utf8(&request.body).ok()?)?;
    let request = Request { body: Bytes::from(body), ..request.clone() };
    Some(request.untraced().unwrap_or_else(|| request.digest()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Method;
    use crate::path::{Path, Query};
    use http::HeaderMap;

    fn of(body: &str) -> Option<Digest> {
        let (path, query) = (Path::read("/").unwrap(), Query::default());
        let body = Bytes::from(body.to_owned());
        same(&Request { method: Method::Post, path, query, headers: HeaderMap::new(), body })
    }

    #[test]
    fn only_the_marks_of_a_message_may_differ() {
        let call = |id: &str, token: &str, arguments: &str| {
            of(&format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"wipe","arguments":{arguments},"_meta":{{"progressToken":{token},"claudecode/toolUseId":"toolu_{token}"}}}}}}"#
            ))
        };
        let first = call("1", "7", r#"{"id":1}"#);
        assert!(first.is_some());
        assert_eq!(first, call("\"two\"", "8", r#"{"id":1}"#));
        for other in [r#"{"id":2}"#, r#"{"id":1,"_meta":{"progressToken":1}}"#, r#"{"id":1 }"#] {
            assert_ne!(first, call("1", "7", other), "{other}");
        }
        assert_eq!(of("{"), None);
        // What is no mark is part of what was approved.
        let long = format!("\"{}\"", "x".repeat(257));
        for token in [r#"{"force":true}"#, "[1]", "null", "true", "1.5", &long] {
            let other = of(&format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"wipe","arguments":{{"id":1}},"_meta":{{"progressToken":{token},"claudecode/toolUseId":"toolu_7"}}}}}}"#
            ));
            assert!(other.is_some() && other != first, "{token}");
            let other = of(&format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"wipe","arguments":{{"id":1}},"_meta":{{"progressToken":7,"claudecode/toolUseId":{token}}}}}}}"#
            ));
            assert!(other.is_some() && other != first, "{token}");
        }
        assert_ne!(
            first,
            of(&format!(
                r#"{{"jsonrpc":"2.0","id":{long},"method":"tools/call","params":{{"name":"wipe","arguments":{{"id":1}},"_meta":{{"progressToken":7,"claudecode/toolUseId":"toolu_7"}}}}}}"#
            ))
        );
    }
}
