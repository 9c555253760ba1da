mod record;

use super::*;
use crate::api::testing::{MASKED, TestWords, feed};
use crate::api::{Part, Reader, Unfit};
use crate::frame::{Head, Method};
use crate::path::Path;
use bytes::Bytes;
use http::header;
use http::{HeaderMap, HeaderValue, StatusCode};
use proptest::prelude::*;

fn request(kind: Option<&str>, body: &[u8]) -> Request {
    let mut headers = HeaderMap::new();
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
    }
    headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-1"));
    let (path, query) = (Path::read("/orders").unwrap(), Query::default());
    Request { method: Method::Post, path, query, headers, body: Bytes::copy_from_slice(body) }
}

fn opaque() -> Arc<Opaque> {
    Arc::new(Opaque::new(["application/pdf"]))
}

fn reader(kind: Option<&str>, words: &mut TestWords) -> Result<(Box<dyn Reader>, Head), Unfit> {
    let Read::Asked(asked) = read(request(None, b""), &opaque(), words) else { panic!() };
    let mut reader = asked.reader;
    let mut headers = HeaderMap::new();
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
    }
    headers.insert("etag", HeaderValue::from_static("\"x\""));
    headers.insert("x-note", HeaderValue::from_static("of SECRET"));
    let mut head = Head { status: StatusCode::OK, headers };
    reader.on_head(&mut head, words)?;
    Ok((reader, head))
}

/// What the client gets of a body, or `None` where it breaks off.
fn answered(kind: Option<&str>, body: &[u8], size: usize, mut words: TestWords) -> Option<Vec<u8>> {
    let (mut reader, _) = reader(kind, &mut words).ok()?;
    let (out, parts) = feed(&mut *reader, &mut words, body, size);
    matches!(parts.as_slice(), [Part::End]).then_some(out)
}

#[test]
fn a_body_that_can_be_read_two_ways_is_no_request() {
    let cases: &[(Option<&str>, &[u8], bool)] = &[
        (None, b"", true),
        (Some("application/json"), br#"{"a":1}"#, true),
        (Some("application/json; charset=utf-8"), br#"{"a":1}"#, true),
        (Some("application/vnd.api+json"), br#"{"a":1}"#, true),
        (Some("application/x-www-form-urlencoded"), b"a=1&b=x+y", true),
        (Some("application/pdf"), b"%PDF", true),
        (None, br#"{"a":1}"#, false),
        (Some("application/json"), br#"{"a":1,"a":2}"#, false),
        (Some("application/json; charset=utf-16"), br#"{"a":1}"#, false),
        (Some("application/json, text/plain"), br#"{"a":1}"#, false),
        (Some("application/json"), b"\xef\xbb\xbf{}", false),
        (Some("application/x-www-form-urlencoded"), b"a=1&a=2", true),
        (Some("application/x-www-form-urlencoded"), b"expand[]=a&expand[]=b", true),
        (Some("application/x-www-form-urlencoded"), b"a=1&_method=get&_method=delete", false),
        (Some("application/x-www-form-urlencoded"), b"a+b=1&q=x|y", true),
        (Some("application/x-www-form-urlencoded"), br#"{"a": 1}"#, false),
        (Some("application/x-ndjson"), b"{\"index\":{}}\n{\"a\":1}\r\n\n{\"a\":2}", true),
        (Some("application/json-seq"), b"\x1e{\"a\":1}\n\x1e{\"a\":2}\n", true),
        (Some("application/jsonl"), b"\n", true),
        (Some("application/x-ndjson"), b"{\"a\":1}\n{\"_method\":\"DELETE\"}", false),
        (Some("application/x-ndjson"), b"{\"_method\":\"DELETE\"}", false),
        (Some("application/x-ndjson"), b"{\"a\":1}\n{\"a\":", false),
        (Some("application/x-ndjson"), b"{\"a\":1,\"a\":2}\n", false),
        (Some("application/x-ndjson"), b"{\n\"a\":1}", false),
        (Some("application/x-ndjson; charset=utf-16"), b"{}\n", false),
        (Some("application/xml"), b"<a/>", false),
        (Some("text/csv"), b"a,b", false),
        (Some("application/x-www-form-urlencoded"), b"a=1;b=2", false),
        (Some("application/x-www-form-urlencoded"), b"a=1&_method=delete", false),
        (Some("application/x-www-form-urlencoded"), b"_METHOD=delete", false),
        (Some("application/x-www-form-urlencoded"), b"+.method=delete", false),
        (Some("application/x-www-form-urlencoded"), b"%20_method%00x=delete", false),
        (Some("application/x-www-form-urlencoded"), b"[method=delete", false),
        (Some("application/x-www-form-urlencoded"), b"_method[]=delete", false),
        (Some("application/x-www-form-urlencoded"), b"payment_method=card&method=x", true),
        (Some("application/json"), br#"{"_method":"DELETE"}"#, false),
        (Some("application/json"), br#"{"a":1,"_m\u0065thod":"DELETE"}"#, false),
        (Some("application/json"), br#"{"X-HTTP-Method-Override":"DELETE"}"#, false),
        (Some("application/json"), br#"{"_HttpMethod":"DELETE"}"#, false),
        (Some("application/json"), br#"{"httpMethod":"DELETE"}"#, true),
        (Some("application/x-www-form-urlencoded"), b"x-tunneled-method=DELETE", false),
        (Some("application/json"), br#"{"method":"card","o":{"_method":"x"}}"#, true),
        (Some("multipart/form-data; boundary=x"), b"--x", false),
        (Some("application/octet-stream"), b"x", false),
        (Some("application/graphql"), b"{a}", false),
        (Some("text/plain"), b"x", false),
    ];
    for (kind, body, good) in cases {
        let Read::Asked(asked) = read(request(*kind, body), &opaque(), &mut TestWords::default()) else { panic!() };
        assert_eq!(asked.command.fault.is_none(), *good, "{kind:?} {}", String::from_utf8_lossy(body));
        assert!(asked.request.headers.contains_key(header::RANGE), "no mask binds");
    }
    let Read::Asked(asked) = read(request(None, b""), &opaque(), &mut TestWords::binding()) else { panic!() };
    assert!(!asked.request.headers.contains_key(header::RANGE));
}

#[test]
fn a_body_that_does_not_pass_is_told_what_would() {
    let told = |kind: &str, body: &[u8]| {
        let Read::Asked(asked) = read(request(Some(kind), body), &opaque(), &mut TestWords::default()) else {
            panic!()
        };
        asked.command.fault.unwrap().message().to_owned()
    };
    for (kind, body, part) in [
        (
            "application/x-www-form-urlencoded",
            &br#" {"a": 1}"#[..],
            "looks like JSON: send `content-type: application/json`",
        ),
        ("application/x-www-form-urlencoded", b"a=1;b=2", "the form has a `;`"),
        ("text/plain", br#"[{"a":1}]"#, "looks like JSON: send `content-type: application/json`"),
        ("text/plain", b"a", "send JSON or a form"),
        ("application/xml", b"<a/>", "send JSON or a form"),
        ("application/octet-stream", b"x", "under the connection's `opaque`"),
    ] {
        assert!(told(kind, body).contains(part), "{kind}: {}", told(kind, body));
    }
}

/// Rules about values are told that there are some: none allows by them, and each refusal meets them.
#[test]
fn of_lines_and_forms_rules_see_no_value_and_know_it() {
    for (kind, body) in
        [("application/x-ndjson", &b"{\"a\":1}\n"[..]), ("application/x-www-form-urlencoded", b"a=1&a=2")]
    {
        let Read::Asked(asked) = read(request(Some(kind), body), &opaque(), &mut TestWords::default()) else {
            panic!()
        };
        assert!(asked.command.fields.as_deref().unwrap().leaves().is_none(), "{kind}");
    }
}

/// What is left of these headers, in words; `refused` where the request is.
fn conditions(method: &Method, headers: &[(&'static str, &'static str)], mut words: TestWords) -> String {
    let mut asks = Request { method: method.clone(), ..request(None, b"") };
    for (name, value) in headers {
        asks.headers.append(*name, HeaderValue::from_static(value));
    }
    let Read::Asked(asked) = read(asks, &opaque(), &mut words) else { panic!() };
    if asked.command.fault.is_some() {
        return "refused".to_owned();
    }
    assert_eq!(asked.command.digest, asked.request.digest());
    let left = asked.request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    left.collect::<Vec<_>>().join(" ; ")
}

#[test]
fn a_write_keeps_its_conditions_and_a_read_has_none_while_masks_bind() {
    let all = [
        ("if-match", "\"a\""),
        ("if-modified-since", "x"),
        ("if-unmodified-since", "y"),
        ("if-range", "\"a\""),
        ("if", "(<urn:lock>)"),
    ];
    let kept = "if-match: \"a\" ; if-modified-since: x ; if-unmodified-since: y ; if: (<urn:lock>)";
    let everything = "range: bytes=0-1 ; if-match: \"a\" ; if-modified-since: x ; if-unmodified-since: y ; if-range: \"a\" ; if: (<urn:lock>)";
    for (method, while_bound) in [
        (Method::Get, ""),
        (Method::Head, ""),
        (Method::Options, ""),
        (Method::Post, kept),
        (Method::Put, kept),
        (Method::Patch, kept),
        (Method::Delete, kept),
        (Method::Other("LOCK".into()), kept),
    ] {
        let sorted = |text: &str| {
            let mut parts: Vec<String> = text.split(" ; ").map(str::to_owned).collect();
            parts.sort_unstable();
            parts
        };
        assert_eq!(sorted(&conditions(&method, &all, TestWords::binding())), sorted(while_bound), "{method:?}");
        assert_eq!(sorted(&conditions(&method, &all, TestWords::default())), sorted(everything), "{method:?}");
    }
}

/// A list of tags would ask about many guesses of the unmasked body at once.
#[test]
fn a_write_asks_about_one_tag_while_masks_bind() {
    for (name, value, passes) in [
        ("if-none-match", "*", true),
        ("if-match", "*", true),
        ("if-match", "\"v3\"", true),
        ("if-match", "W/\"v3\"", true),
        ("if-match", "v3", true),
        ("if-match", "\"\"", true),
        ("if-match", "\"a\", \"b\"", false),
        ("if-match", "\"a\",\"b\"", false),
        ("if-match", "\"a\" \"b\"", false),
        ("if-match", "\"a\"\"b\"", false),
        ("if-match", "\"a,b\"", false),
        ("if-match", "a,b", false),
        ("if-match", "a b", false),
        ("if-match", "*, \"a\"", false),
        ("if-none-match", "\"a\", W/\"b\"", false),
        ("if", "([\"a\"]) ([\"b\"])", false),
        ("if", "([\"a\"])", false),
    ] {
        let got = conditions(&Method::Put, &[(name, value)], TestWords::binding());
        assert_eq!(got, if passes { format!("{name}: {value}") } else { "refused".to_owned() }, "{name}: {value}");
        assert_ne!(conditions(&Method::Put, &[(name, value)], TestWords::default()), "refused", "{name}: {value}");
        assert_eq!(conditions(&Method::Get, &[(name, value)], TestWords::binding()), "", "{name}: {value}");
    }
    // As two headers, of one name or of both.
    for other in ["if-match", "if-none-match"] {
        let two = [("if-match", "\"a\""), (other, "\"b\"")];
        assert_eq!(conditions(&Method::Put, &two, TestWords::binding()), "refused");
    }
}

#[test]
fn what_tells_of_unmasked_bytes_is_dropped_and_headers_are_masked() {
    let (_, head) = reader(Some("application/json"), &mut TestWords::binding()).unwrap();
    assert!(!head.headers.contains_key("etag"));
    assert_eq!(head.headers.get("x-note").unwrap(), &format!("of {MASKED}"));
    assert_eq!(head.headers.get(header::CACHE_CONTROL).unwrap(), "private, no-store");
    let (_, head) = reader(Some("application/json"), &mut TestWords::default()).unwrap();
    assert!(head.headers.contains_key("etag"));
}

#[test]
fn an_answer_is_masked_as_what_it_is_or_not_passed() {
    let json: &[u8] = br#"{"ssn": "1", "n": 1E2, "o":"SECRET"}"#;
    let masked: &[u8] = br#"{"ssn": "[masked]", "n": 1E2, "o":"[masked]"}"#;
    type Case<'c> = (Option<&'c str>, &'c [u8], Option<&'c [u8]>);
    let cases: &[Case<'_>] = &[
        (Some("application/json"), json, Some(masked)),
        (Some("application/json"), b"", Some(b"")),
        (Some("application/problem+json"), json, Some(masked)),
        (Some("text/html"), json, Some(masked)),
        (Some("text/plain"), b"no json, SECRET", None),
        (Some("application/json"), b"\xff\xfe{\0}\0", None),
        (Some("application/json; charset=utf-16"), json, None),
        (Some("application/x-ndjson"), b"{\"ssn\":1}\r\n\n {\"a\":2}", Some(b"{\"ssn\":\"[masked]\"}\r\n\n {\"a\":2}")),
        (Some("application/x-ndjson"), b"{\"ssn\":1}\n{\"ssn\":", None),
        (
            Some("application/stream+json"),
            b"{\"ssn\":1}\n{\"ssn\":2}",
            Some(b"{\"ssn\":\"[masked]\"}\n{\"ssn\":\"[masked]\"}"),
        ),
        (
            Some("text/event-stream"),
            b": hi\r\nevent: x\r\ndata: {\"ssn\":1}\r\n\r\ndata: of SECRET\n\ndata: lost",
            Some(b"event: x\ndata: {\"ssn\":\"[masked]\"}\n\ndata: of [masked]\n\n"),
        ),
        (Some("text/event-stream"), b"data: {\"ssn\":1\n\n", None),
        (Some("text/event-stream"), b"data: 42[\"event\",{\"ssn\":1}]\n\n", None),
        (Some("text/event-stream"), b"data: 0:{\"ssn\" : 1}\n\n", None),
        (Some("text/event-stream"), b"data: ({\"ssn\":1})\n\n", None),
        (Some("text/event-stream"), b"data: \xef\xbb\xbf{\"ssn\":1}\n\n", None),
        (Some("text/event-stream"), b"event: {\"ssn\":1}\ndata: x\n\n", None),
        (Some("text/event-stream"), b"data: [DONE]\n\n", Some(b"data: [DONE]\n\n")),
        (Some("application/pdf"), b"%PDF SECRET", Some(b"%PDF SECRET")),
        (Some("image/png"), b"x", None),
        (Some("image/png"), b"", Some(b"")),
        (Some("application/octet-stream"), json, None),
        (None, json, None),
        (Some("gibberish"), json, None),
    ];
    for (kind, body, expected) in cases {
        for size in [1, 2, 3, 7, body.len()] {
            let got = answered(*kind, body, size, TestWords::binding());
            let shown = String::from_utf8_lossy(body);
            // A stream that breaks off has sent what was whole: what matters is that it does not end.
            assert_eq!(got.as_deref(), *expected, "{kind:?} {shown} by {size}");
        }
    }
}

/// Clients differ in which of two they take.
#[test]
fn two_types_are_one_only_where_they_say_the_same() {
    let said = |types: &[&'static str], mut words: TestWords| {
        let Read::Asked(mut asked) = read(request(None, b""), &opaque(), &mut words) else { panic!() };
        let mut head = Head { status: StatusCode::OK, headers: HeaderMap::new() };
        for kind in types {
            head.headers.append(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        asked.reader.on_head(&mut head, &mut words).ok()?;
        let (out, _) = feed(&mut *asked.reader, &mut words, br#"{"ssn":1}"#, 3);
        String::from_utf8(out).ok()
    };
    let (json, pdf) = ("application/json", "application/pdf");
    let masked = Some(r#"{"ssn":"[masked]"}"#.to_owned());
    assert_eq!(said(&[json, "application/JSON"], TestWords::binding()), masked);
    for types in [&[pdf, json][..], &[json, pdf], &[pdf, "gibberish"], &["gibberish", pdf], &[json, "text/plain"]] {
        assert_eq!(said(types, TestWords::binding()), None, "{types:?}");
        assert_eq!(said(types, TestWords::default()).as_deref(), Some(r#"{"ssn":1}"#), "{types:?}");
    }
}

#[test]
fn when_to_come_again_is_no_value_that_a_mask_finds() {
    let words = || TestWords { finds: Some("4111"), ..TestWords::binding() };
    let body = b"retry: 4111\ndata: a\n\nretry: 3000\ndata: b\n\n";
    let got = answered(Some("text/event-stream"), body, 5, words()).unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), "data: a\n\nretry: 3000\ndata: b\n\n");
}

#[test]
fn masks_that_came_into_force_while_a_request_waited_bind_its_answer() {
    let Read::Asked(asked) = read(request(None, b""), &opaque(), &mut TestWords::default()) else { panic!() };
    let (mut reader, mut words) = (asked.reader, TestWords::binding());
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    reader.on_head(&mut Head { status: StatusCode::OK, headers }, &mut words).unwrap();
    let (out, _) = feed(&mut *reader, &mut words, br#"{"ssn":"1"}"#, 3);
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"ssn":"[masked]"}"#);
}

#[test]
fn detectors_alone_let_text_pass() {
    let words = || TestWords { binds: true, ..TestWords::default() };
    for size in [1, 4, 100] {
        let text = "é: SECRET, SECRE".as_bytes();
        let got = answered(Some("text/plain"), text, size, words()).unwrap();
        assert_eq!(String::from_utf8(got).unwrap(), "é: [masked], SECRE");
    }
    assert_eq!(answered(Some("text/plain"), b"\xff", 1, words()), None);
    assert_eq!(answered(Some("text/plain"), b"x\xc3", 1, words()), None);
    // In UTF-16 that nobody called so.
    for text in [&b"S\0E\0C\0R\0E\0T\0"[..], b"\0S\0E\0C\0R\0E\0T"] {
        assert_eq!(answered(Some("text/plain"), text, 3, words()), None);
    }
}

/// What helps its client is another thing for each.
#[test]
fn an_answer_that_is_withheld_says_why() {
    let why = |kind: Option<&str>, body: &[u8], mut words: TestWords| match reader(kind, &mut words) {
        Err(Unfit(why)) => why,
        Ok((mut reader, _)) => {
            let (_, parts) = feed(&mut *reader, &mut words, body, body.len());
            let broken = parts.into_iter().find_map(|part| match part {
                Part::Broken(Unfit(why)) => Some(why),
                _ => None,
            });
            broken.unwrap()
        }
    };
    for (kind, body, part) in [
        (Some("text/html"), &b"<p>no</p>"[..], "ask for JSON"),
        (Some("application/json"), b"{", "ask for JSON"),
        (Some("text/plain; charset=iso-8859-1"), b"x", "not text in UTF-8"),
        (Some("image/png"), b"x", "under the connection's `opaque`"),
        (None, b"x", "no content-type"),
        (Some("gibberish"), b"x", "no content-type"),
    ] {
        let said = why(kind, body, TestWords::binding());
        assert!(said.contains(part), "{kind:?}: {said}");
    }
    let text = TestWords { binds: true, ..TestWords::default() };
    assert!(why(Some("text/plain"), b"\xff", text).contains("not text in UTF-8"));
}

#[test]
fn parts_and_redirects_do_not_pass() {
    for (status, binds, passes) in [
        (StatusCode::FOUND, false, false),
        (StatusCode::TEMPORARY_REDIRECT, true, false),
        (StatusCode::NOT_MODIFIED, false, true),
        (StatusCode::NOT_MODIFIED, true, false),
        (StatusCode::PARTIAL_CONTENT, true, false),
        (StatusCode::PARTIAL_CONTENT, false, true),
        (StatusCode::INTERNAL_SERVER_ERROR, true, true),
    ] {
        let mut words = TestWords { binds, ..TestWords::default() };
        let Read::Asked(mut asked) = read(request(None, b""), &opaque(), &mut words) else { panic!() };
        let mut head = Head { status, headers: HeaderMap::new() };
        assert_eq!(asked.reader.on_head(&mut head, &mut words).is_ok(), passes, "{status}");
    }
}

proptest! {
    #[test]
    fn cuts_change_nothing_and_the_canary_never_leaves(
        kind in prop::sample::select(vec!["application/json", "application/x-ndjson", "text/event-stream", "text/plain"]),
        lines in prop::collection::vec("(data: )?\\{\"(ssn|a)\": ?\"?(SECRET|1|x)\"?\\}|SECRET|", 0..5),
        size in 1usize..9,
    ) {
        let body = lines.join("\n");
        let whole = answered(Some(kind), body.as_bytes(), body.len(), TestWords::binding());
        let cut = answered(Some(kind), body.as_bytes(), size, TestWords::binding());
        if let Some(out) = &whole {
            prop_assert!(!String::from_utf8_lossy(out).contains("SECRET"));
        }
        prop_assert_eq!(whole, cut);
    }
}
