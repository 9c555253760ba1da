//! `Prefer: respond-async` (RFC 7240 §4.1): a client that does not stay while people decide.
//!
//! Promises: `respond-async` and the `wait` beside it are for the gateway and go no further; every other preference goes
//! on as it was written, behind the other headers, so that a request with the wish is otherwise the one without. Strings in quotes are not searched.
//! Held by: the tests below.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// How long a client stays at most.
const LONGEST: u64 = 600;

/// Takes the wish not to wait out of a head: for how long its client stays, where it has that wish.
pub(super) fn take(headers: &mut HeaderMap) -> Option<Duration> {
    if !headers.contains_key(&PREFER) {
        return None;
    }
    let values = headers.get_all(&PREFER).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<&str> = values.flat_map(preferences).collect();
    if !all.iter().any(|preference| name(preference).eq_ignore_ascii_case("respond-async")) {
        let as_written = Some(all.join(", ")).filter(|all| !all.is_empty());
        put_last(headers, as_written.and_then(|all| HeaderValue::from_str(&all).ok()));
        return None;
    }
    let ours =
        |preference: &&str| ["respond-async", "wait"].iter().any(|ours| name(preference).eq_ignore_ascii_case(ours));
    let wait = all.iter().find(|preference| name(preference).eq_ignore_ascii_case("wait"));
    let seconds = wait.and_then(|wait| wait.split_once('=')?.1.trim().trim_matches('"').parse::<u64>().ok());
    let others: Vec<&str> = all.iter().copied().filter(|preference| !ours(preference)).collect();
    let others = Some(others.join(", ")).filter(|others| !others.is_empty());
    // What is joined of values that were read is one.
    let others = others.and_then(|others| HeaderValue::from_str(&others).ok());
    put_last(headers, others);
    Some(Duration::from_secs(seconds.unwrap_or(0).min(LONGEST)))
}

/// Puts what is left of it behind all other headers, whose order stays: the same request with and without the wish is the
/// same request.
fn put_last(headers: &mut HeaderMap, left: Option<HeaderValue>) {
    let others = headers.iter().filter(|(name, _)| *name != PREFER);
    let mut kept: HeaderMap = others.map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some(left) = left {
        kept.insert(PREFER, left);
    }
    *headers = kept;
}

/// The preferences of one value; a comma inside of a string in quotes parts nothing.
fn preferences(value: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = value.split(move |c: char| {
        let before = escaped;
        escaped = quoted && c == '\\' && !before;
        if c == '"' && !before {
            quoted = !quoted;
        }
        c == ',' && !quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

fn name(preference: &str) -> &str {
    preference.split(['=', ';']).next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_the_wish_is_otherwise_the_one_without() {
        for (with, without) in [("respond-async", None), ("respond-async, return=minimal", Some("return=minimal"))] {
            let read = |prefer: Option<&'static str>| {
                let mut headers = HeaderMap::with_capacity(200);
                let room = headers.capacity();
                headers.insert("accept", HeaderValue::from_static("*/*"));
                if let Some(prefer) = prefer {
                    headers.insert(PREFER, HeaderValue::from_static(prefer));
                }
                headers.insert("content-type", HeaderValue::from_static("text/plain"));
                headers.insert("x-last", HeaderValue::from_static("1"));
                take(&mut headers);
                // Most requests have no wish: their headers are not built anew.
                assert_eq!(headers.capacity() == room, prefer.is_none());
                headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect::<Vec<_>>()
            };
            assert_eq!(read(Some(with)), read(without));
        }
    }

    #[test]
    fn what_is_for_the_gateway_goes_no_further_and_the_rest_does() {
        let secs = |seconds| Some(Duration::from_secs(seconds));
        for (values, stays, rest) in [
            (&["respond-async"][..], secs(0), None),
            (&["Respond-Async; foo=\"a,b\""], secs(0), None),
            (&["respond-async, wait=20, return=minimal"], secs(20), Some("return=minimal")),
            (&["return=representation", "wait = 5,respond-async"], secs(5), Some("return=representation")),
            (&["respond-async, wait=99999999"], secs(600), None),
            (&["respond-async, wait=soon"], secs(0), None),
            (&["return=minimal, wait=5"], None, Some("return=minimal, wait=5")),
            (&["x=\"a, respond-async\""], None, Some("x=\"a, respond-async\"")),
            (&["x=\"a\\\", respond-async\", respond-async"], secs(0), Some("x=\"a\\\", respond-async\"")),
            (&[], None, None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(PREFER, HeaderValue::from_static(value));
            }
            assert_eq!(take(&mut headers), stays, "{values:?}");
            assert_eq!(headers.get(PREFER).and_then(|left| left.to_str().ok()), rest, "{values:?}");
        }
    }
}
