mod answers;
mod record;
mod requests;

use super::*;
use crate::api::testing::TestWords;
use crate::api::{Ended, Part, Reader, Unfit, Words};
use crate::frame::{Head, Method};
use crate::path::{Path, Query};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use portcullis_model::{Denial, Reason};
use secrecy::SecretBox;

const OLD: &str = "mcp-protocol-version: 2025-11-25";

fn context() -> Context {
    Context {
        tools: Arc::new(ToolTable::default()),
        opaque: Arc::new(Opaque::new(["image/png"])),
        seal: Arc::new(Seal::new(&SecretBox::new(Box::new([7; 32]))).unwrap()),
        holder: Digest::of(b"agent-7 at tools"),
    }
}

/// An id as the caller of every test has it.
fn sealed(of: Of, id: &str) -> String {
    context().seal.seal(&context().holder, of, id).unwrap()
}

fn request(method: &str, headers: &str, body: &str) -> Request {
    let method = match method {
        "POST" => Method::Post,
        "GET" => Method::Get,
        "DELETE" => Method::Delete,
        "PUT" => Method::Put,
        "OPTIONS" => Method::Options,
        other => panic!("{other}"),
    };
    let mut map = HeaderMap::new();
    for line in headers.split(" | ").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        map.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    if method == Method::Post && !map.contains_key(header::CONTENT_TYPE) {
        map.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let (path, query) = (Path::read("/").unwrap(), Query::default());
    Request { method, path, query, headers: map, body: Bytes::copy_from_slice(body.as_bytes()) }
}

fn ask(method: &str, headers: &str, body: &str) -> Asked {
    match read(request(method, headers, body), &context()) {
        Read::Asked(asked) => *asked,
        Read::Own(head, body) => panic!("{} {}", head.status, String::from_utf8_lossy(&body)),
    }
}

fn call(method: &str, params: &str) -> Asked {
    ask("POST", OLD, &format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#))
}

fn denial(reason: Reason) -> Denial {
    Denial { decision: None, reason, message: Some("Ask the owner.".into()) }
}

fn head(status: u16, kind: &str) -> Head {
    let mut headers = HeaderMap::new();
    if !kind.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
    }
    Head { status: StatusCode::from_u16(status).unwrap(), headers }
}

/// What came of an answer: its text, how it ended, and what was proposed.
#[derive(Debug, PartialEq, Eq)]
struct Came {
    text: String,
    end: Result<(), Unfit>,
    proposed: Vec<String>,
}

/// Feeds an answer in these pieces; tools whose name begins with `no` are refused.
fn answer(asked: Asked, kind: &str, pieces: &[&[u8]], mut words: TestWords) -> Came {
    answered(asked, kind, pieces, &mut words)
}

fn answered(asked: Asked, kind: &str, pieces: &[&[u8]], words: &mut dyn Words) -> Came {
    let mut reader = asked.reader;
    let mut came = Came { text: String::new(), end: Ok(()), proposed: Vec::new() };
    if let Err(why) = reader.on_head(&mut head(200, kind), words) {
        return Came { end: Err(why), ..came };
    }
    let mut over = false;
    let mut take = |reader: &mut Box<dyn Reader>, words: &mut dyn Words, parts: Vec<Part>| {
        let mut parts = std::collections::VecDeque::from(parts);
        while let Some(part) = parts.pop_front() {
            assert!(!over);
            match part {
                Part::Data(data) => came.text.push_str(std::str::from_utf8(&data).unwrap()),
                Part::Propose(command) => {
                    assert!(parts.is_empty() && command.prepares());
                    let operation = command.operations()[0].to_string();
                    let denial = denial(Reason::Withdrawn);
                    let verdict = if operation.starts_with("call tool no") { Err(&denial) } else { Ok(()) };
                    came.proposed.push(operation);
                    let mut more = Vec::new();
                    reader.on_verdict(verdict, words, &mut more);
                    parts.extend(more);
                }
                Part::Used(_) => panic!(),
                Part::End => over = true,
                Part::Broken(why) => {
                    over = true;
                    came.end = Err(why);
                }
            }
        }
    };
    for piece in pieces {
        let mut parts = Vec::new();
        reader.on_data(piece, words, &mut parts);
        take(&mut reader, words, parts);
    }
    let mut parts = Vec::new();
    reader.on_end(Ended::Whole, words, &mut parts);
    take(&mut reader, words, parts);
    assert!(over || came.end.is_err());
    came
}

/// What comes of an answer whole, and the same byte by byte.
fn everywhere(asked: &dyn Fn() -> Asked, kind: &str, body: &str, binds: bool) -> Came {
    let words = || if binds { TestWords::binding() } else { TestWords::default() };
    let whole = answer(asked(), kind, &[body.as_bytes()], words());
    let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    assert_eq!(answer(asked(), kind, &bytes, words()), whole);
    whole
}

fn events(messages: &[&str]) -> String {
    messages.iter().map(|message| format!("event: message\r\ndata: {message}\r\n\r\n")).collect()
}
