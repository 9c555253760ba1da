//! `portcullis-reason`: why a request is sent, for whoever decides about it.
//!
//! Promises: it is for the gateway and goes no further, and the request without it is the same request, the order of its
//! other headers included. It is words in any language, in UTF-8 and without characters that steer whoever shows them.
//! Held by: the tests below and `head/tests.rs`.

use super::{Refusal, bad};
use http::{HeaderMap, HeaderName};
use std::sync::Arc;

pub(super) const REASON: HeaderName = HeaderName::from_static("portcullis-reason");

/// Takes the reason out of a head.
///
/// # Errors
/// It says two things, or nothing that can be read.
pub(super) fn take(headers: &mut HeaderMap) -> Result<Option<Arc<str>>, Refusal> {
    let mut values = headers.get_all(&REASON).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(bad("a reason is given once"));
    }
    let words = std::str::from_utf8(value.as_bytes()).map_err(|_| bad("a reason is written in UTF-8"))?;
    if words.chars().any(|c| c.is_control() && c != '\t') {
        return Err(bad("a reason has no control characters"));
    }
    let words = Arc::from(words);
    // Removing one would change the order of the others.
    let others = headers.iter().filter(|(name, _)| *name != REASON);
    *headers = others.map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(Some(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn head(reasons: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &[u8]| {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        };
        put("a", b"1");
        reasons.iter().for_each(|reason| put("portcullis-reason", reason));
        ["b", "c", "d"].into_iter().for_each(|name| put(name, b"2"));
        put("a", b"3");
        headers
    }

    #[test]
    fn a_reason_goes_no_further_and_changes_nothing_else() {
        for (given, expected) in [
            (&[][..], None),
            (&[&b"because"[..]][..], Some("because")),
            (&["für später".as_bytes()][..], Some("für später")),
            (&[&b""[..]][..], Some("")),
        ] {
            let mut headers = head(given);
            assert_eq!(take(&mut headers).unwrap().as_deref(), expected);
            let order = |headers: &HeaderMap| headers.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
            assert_eq!(order(&headers), order(&head(&[])));
        }
    }

    #[test]
    fn two_reasons_or_one_that_cannot_be_read_are_refused() {
        for given in [&[&b"a"[..], &b"a"[..]][..], &[&b"\xff"[..]][..], &["a\u{9b}2J".as_bytes()][..]] {
            assert!(take(&mut head(given)).is_err());
        }
    }
}
