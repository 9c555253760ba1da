use super::names::{FORWARDING, OF_ONE_HOP};
use super::*;
use crate::serve::collected;
use crate::serve::listener;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn routes() -> Routes {
    let name = |name: &str| Name::canonical(name);
    Routes { hosts: [("shop.example".to_owned(), name("shop"))].into(), names: [name("shop"), name("crm")].into() }
}

/// What the table's column of the verdict says.
async fn verdict(request: http::Request<Incoming>) -> (StatusCode, String) {
    let (parts, body) = request.into_parts();
    let received = match read(&parts, !body.is_end_stream(), &routes()) {
        Ok(received) => received,
        Err(refusal) => return (refusal.status, refusal.why.to_owned()),
    };
    if received.contradicted {
        return (StatusCode::CONFLICT, String::new());
    }
    let request = received.request;
    match collected(body, received.coding, 1 << 20, Duration::from_secs(10)).await {
        Ok(body) => {
            let path = request.line().split_once(' ').map(|(_, path)| path.to_owned()).unwrap();
            let socket = if received.upgrade.is_some() { " socket" } else { "" };
            (StatusCode::OK, format!("200 {} {path} {}{socket}", received.connection.as_str(), body.len()))
        }
        Err(refusal) => (refusal.status, refusal.why.to_owned()),
    }
}

async fn answer(request: http::Request<Incoming>) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let (status, said) = verdict(request).await;
    let mut response = http::Response::new(Full::new(said.into()));
    *response.status_mut() = status;
    Ok(response)
}

fn unescape(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    let counted = |rest: &str| {
        let (count, after) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).unwrap();
        (count.parse::<usize>().unwrap(), after.len())
    };
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let kind = after.chars().next().unwrap();
        rest = &after[1..];
        match kind {
            'r' => out.push(b'\r'),
            'n' => out.push(b'\n'),
            't' => out.push(b'\t'),
            '\\' => out.push(b'\\'),
            'x' => {
                out.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                rest = &rest[2..];
            }
            'R' | 'H' => {
                let (count, left) = counted(rest);
                rest = &rest[rest.len() - left..];
                for n in 0..count {
                    out.extend_from_slice(
                        if kind == 'R' { "a".to_owned() } else { format!("x-{n}: a\r\n") }.as_bytes(),
                    );
                }
            }
            other => panic!("an escape `\\{other}`"),
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Everything that comes back for these bytes, the client's side being over behind them.
async fn play(raw: &[u8]) -> String {
    let (near, far) = tokio::io::duplex(1 << 20);
    let server = listener(Duration::from_secs(10));
    let serving = server.serve_connection(TokioIo::new(far), service_fn(answer));
    let client = async {
        let (mut from, mut to) = tokio::io::split(near);
        // One that is refused early is not read to its end.
        let said = to.write_all(raw).await;
        let mut back = Vec::new();
        let mut piece = [0; 4096];
        // It keeps the connection open where it has answered.
        while !back.windows(4).any(|end| end == b"\r\n\r\n") || back.starts_with(b"HTTP/1.1 100") {
            match from.read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(read) => back.extend_from_slice(&piece[..read]),
            }
            let text = String::from_utf8_lossy(&back).into_owned();
            if let Some(rest) = text.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n") {
                back = rest.as_bytes().to_vec();
            }
        }
        drop(said);
        let text = String::from_utf8_lossy(&back).into_owned();
        let length = text
            .to_ascii_lowercase()
            .split_once("content-length: ")
            .map_or(0, |(_, rest)| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
        let body = text.find("\r\n\r\n").map_or(text.len(), |at| at + 4);
        while back.len() < body + length && !raw.starts_with(b"HEAD") {
            match from.read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(read) => back.extend_from_slice(&piece[..read]),
            }
        }
        String::from_utf8_lossy(&back).into_owned()
    };
    tokio::select! {
        biased;
        back = client => back,
        () = async { serving.await.ok(); std::future::pending().await } => String::new(),
    }
}

#[tokio::test]
async fn every_shape_of_the_table_comes_to_its_verdict() {
    let table = include_str!("../../../../fixtures/http/requests.tsv");
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (expected, raw) = line.split_once('\t').unwrap();
        let back = tokio::time::timeout(Duration::from_secs(20), play(&unescape(raw))).await;
        let back = back.unwrap_or_else(|_| "no answer in time".to_owned());
        let status = if back.is_empty() { "cut" } else { back.get(9..12).unwrap_or_default() };
        let body = back.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let right =
            if status == "200" { body == expected } else { expected.split('|').any(|expected| expected == status) };
        if !right {
            wrong.push(format!("{raw}\n  expected {expected}, got {status} {body}"));
        }
        rows += 1;
    }
    assert!(rows >= 80, "{rows}");
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
}

fn parts(headers: &[(&'static str, &'static str)]) -> Parts {
    let mut request = http::Request::builder().uri("/crm/a").header("host", "gw");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn a_reason_is_words_in_any_language_and_no_other_header_is() {
    let read_with = |name: &str, value: &[u8]| {
        let mut parts = parts(&[]);
        parts.headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap());
        read(&parts, false, &routes())
    };
    for words in ["ticket 42", "Rücknahme für später", "チケット 42"] {
        let received = read_with("portcullis-reason", words.as_bytes()).unwrap();
        assert_eq!((received.reason.as_deref(), received.request.headers.len()), (Some(words), 0));
        assert_eq!(read_with("x-reason", words.as_bytes()).is_ok(), words.is_ascii(), "{words}");
    }
    for value in [&b"\xff"[..], b"R\xfccknahme", "a\u{85}b".as_bytes()] {
        assert_eq!(read_with("portcullis-reason", value).unwrap_err().status, StatusCode::BAD_REQUEST);
    }
}

#[test]
fn what_is_for_the_gateway_goes_no_further() {
    let lists = OF_ONE_HOP.iter().chain(&CREDENTIALS).chain(&FORWARDING);
    let all = lists.copied().chain([
        "x-forwarded-for",
        "x-forwarded-host",
        "x-portcullis-user",
        "accept-encoding",
        "x-hop",
        "private-token",
    ]);
    let mut headers = HeaderMap::new();
    for name in all {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x-hop"));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("curl/8"));
    let left: Vec<String> = passing(&headers).keys().map(ToString::to_string).collect();
    assert_eq!(left, ["content-type", "user-agent"]);
}

#[test]
fn a_credential_is_kept_out_of_sight() {
    for headers in
        [&[("authorization", "Bearer abcdef")][..], &[("x-api-key", "abcdef"), ("authorization", "bearer  abcdef")]]
    {
        let received = read(&parts(headers), false, &routes()).unwrap();
        assert_eq!(received.credential.as_ref().unwrap().expose_secret(), "abcdef");
        assert!(received.request.headers.is_empty() && !format!("{received:?}").contains("abcdef"));
    }
    assert!(read(&parts(&[]), false, &routes()).unwrap().credential.is_none());
    let (one, other) = (SecretString::from("a"), SecretString::from("b"));
    assert!(digest(&one) == digest(&one.clone()) && digest(&one) != digest(&other));
}

#[test]
fn what_is_the_backends_own_goes_no_further() {
    let mut headers = HeaderMap::new();
    for name in OF_THE_BACKEND.iter().chain(&["connection", "transfer-encoding", "trailer", "x-hop", "via"]) {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x-hop"));
    }
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let left: Vec<String> = answered(&headers).keys().map(ToString::to_string).collect();
    assert_eq!(left, ["content-encoding", "content-type"]);
}

#[test]
fn a_head_that_is_refused_says_whom_to_record_it_for_or_nothing() {
    let unread = |uri: &str, headers: &[(&'static str, &'static str)]| {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        let refusal = read(&parts, false, &routes()).unwrap_err();
        super::unread(&parts, refusal, &routes())
    };
    let known = [("host", "gw"), ("authorization", "Bearer abcdef")];
    let found = unread("/crm/a%2Fb?access_token=hunter2", &known).unwrap();
    assert_eq!((found.connection.as_str(), found.credential.expose_secret()), ("crm", "abcdef"));
    assert_eq!(found.command.text.as_str(), "GET /a%2Fb?…");
    assert!(matches!(&found.command.fault, Some(Fault::Ambiguous { .. })));
    assert!(!format!("{found:?}").contains("hunter2") && !format!("{found:?}").contains("abcdef"));
    let by_host = unread("//a", &[("host", "shop.example"), ("x-api-key", "abcdef")]).unwrap();
    assert_eq!(by_host.connection.as_str(), "shop");
    for (uri, headers) in [
        ("/crm//a", &[("host", "gw")][..]),
        ("/none//a", &known),
        ("//crm/a", &known),
        ("/crm//a", &[("host", "gw"), ("authorization", "Basic dTpw")]),
        ("/crm//a", &[("host", "gw"), ("authorization", "Bearer a"), ("authorization", "Bearer a")]),
        ("/crm//a", &[("host", "gw"), ("authorization", "Bearer a"), ("x-api-key", "b")]),
    ] {
        assert!(unread(uri, headers).is_none(), "{uri} {headers:?}");
    }
}
