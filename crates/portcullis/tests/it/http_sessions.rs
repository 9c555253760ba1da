//! Sessions over HTTP, end to end: what ends one, what changes under one, and what of one is in the record.

use crate::surroundings::{BINARY, eventually};
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::http::{Act, Asked, Service, answer, begun};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

const POLICY: &str = r#"
bundle: api
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: all
    allow: { actions: [read, insert], objects: ["endpoint * /**"] }
mask:
  - { id: cards, detect: [payment_card], with: redact }
"#;

struct World {
    service: Service,
    gateway: Gateway,
    token: String,
}

fn world() -> World {
    let service = Service::start(Arc::new(|asked: &Asked| match asked.target() {
        "/slow" => [begun("text/event-stream", &["data: the first words\n\n"]), vec![Act::Wait]].concat(),
        "/never" => vec![Act::Wait],
        _ => answer("200 OK", "application/json", b"{}"),
    }));
    let service = service.unwrap();
    let connection = |hosts: &str| {
        format!("{{ protocol: http, upstream: \"http://{}\", api: rest, hosts: [{hosts}] }}", service.address())
    };
    let settings = Settings::new(BINARY).plaintext().policy("api", POLICY).extra("limits: { statement: 16KiB }");
    let settings = settings.connection("api", &connection("api.example")).connection("other", &connection(""));
    let gateway = settings.start().unwrap();
    let token = gateway.token("agent", &["agents"]).unwrap();
    World { service, gateway, token }
}

/// A client's connection.
struct Client {
    stream: BufReader<TcpStream>,
    token: String,
}

impl Client {
    fn send(&mut self, line: &str, headers: &str, body: &str) {
        let host = if headers.contains("host:") { "" } else { "host: gw\r\n" };
        let text = format!("{line} HTTP/1.1\r\n{host}authorization: Bearer {}\r\n{headers}\r\n{body}", self.token);
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// The status of the next answer, whose head is read and whose body is not; `None` at the end of the connection.
    fn head(&mut self) -> Option<(String, usize)> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head
            .split_once("content-length: ")
            .map_or(0, |(_, rest)| rest.split("\r\n").next().unwrap().parse().unwrap());
        Some((head.get(9..12)?.to_owned(), length))
    }

    fn status(&mut self) -> Option<String> {
        let (status, length) = self.head()?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        Some(status)
    }
}

impl World {
    fn client(&self) -> Client {
        let stream = TcpStream::connect(self.gateway.address("http").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Client { stream: BufReader::new(stream), token: self.token.clone() }
    }

    fn record(&self) -> String {
        self.gateway.command(&["sessions", "export"]).unwrap()
    }

    fn admin(&self, method: &str, path: &str) -> String {
        let mut socket = UnixStream::connect(self.gateway.directory().join("data/admin.sock")).unwrap();
        let request = format!("{method} /api/v1{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }
}

#[test]
fn a_callers_requests_that_cannot_be_read_are_in_the_record() {
    let world = world();
    let large = "x".repeat(200 << 10);
    let long = format!("content-type: application/json\r\ncontent-length: {}\r\n", large.len());
    for (line, headers, body, status, recorded) in [
        ("GET /a%2Fone", "", "", "400", "the path encodes a `/` (`%2F`)"),
        ("GET /two?access_token=hunter2", "", "", "400", "a credential stands in the query"),
        ("POST /three", long.as_str(), large.as_str(), "413", "the body is larger than its limit"),
        ("POST /four", "content-encoding: br\r\ncontent-length: 1\r\n", "x", "415", "as gzip and nothing else"),
        ("GET /other/five", "host: api.example\r\n", "", "400", "names one connection and the path another"),
    ] {
        let mut client = world.client();
        let asked = if headers.starts_with("host:") { line.to_owned() } else { line.replacen(" /", " /api/", 1) };
        client.send(&asked, headers, "");
        // One that is refused early is not read to its end.
        client.stream.get_mut().write_all(body.as_bytes()).ok();
        assert_eq!(client.status().as_deref(), Some(status), "{line}");
        let record = world.record();
        assert!(record.contains(recorded), "{line}: {record}");
        let shown = line.split('?').next().unwrap();
        assert!(record.contains(shown), "{line}: {record}");
    }
    assert!(!world.record().contains("hunter2"));
    assert!(world.service.ledger().is_empty());
    // Of somebody who is nobody, the failed proof is recorded and nothing else.
    let mut stranger = world.client();
    stranger.token = "nobody-issued-this".to_owned();
    stranger.send("GET /api/a%2Fsix", "", "");
    assert_eq!(stranger.status().as_deref(), Some("401"));
    assert!(!world.record().contains("%2Fsix"));
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_killed_session_ends_its_answer_and_its_connection() {
    let world = world();
    let mut client = world.client();
    client.send("GET /api/slow", "", "");
    assert_eq!(client.head().unwrap().0, "200");
    let live = world.admin("GET", "/live");
    let (_, rest) = live.split_once("\"id\":\"").unwrap();
    let id = rest.split('"').next().unwrap().to_owned();
    assert!(world.admin("DELETE", &format!("/live/{id}")).starts_with("HTTP/1.1 2"));
    let mut rest = Vec::new();
    // A connection that is cut may be reset; one that stays open runs into the patience of its reader.
    let read = client.stream.read_to_end(&mut rest).map_err(|error| error.kind());
    assert!(!matches!(read, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "its connection is still open");
    assert!(!rest.ends_with(b"0\r\n\r\n"), "an answer that was cut looks whole");
    eventually("the session ends in the record", || world.record().contains("\"killed\""));
    assert!(world.record().contains("interrupted"));
    // Another is as good as before.
    let mut other = world.client();
    other.send("GET /api/a", "", "");
    assert_eq!(other.status().as_deref(), Some("200"));
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn what_a_client_got_before_it_left_is_in_the_record() {
    let world = world();
    let mut client = world.client();
    client.send("GET /api/slow", "", "");
    assert_eq!(client.head().unwrap().0, "200");
    let mut words = String::new();
    while !words.contains("the first words") {
        client.stream.read_line(&mut words).unwrap();
    }
    drop(client);
    eventually("its command is interrupted", || world.record().contains("interrupted"));
    eventually("what it got is there", || world.record().contains("the first words"));
    // One that leaves before there is a head.
    let mut client = world.client();
    client.send("GET /api/never", "", "");
    eventually("the service is asked", || world.service.ledger().contains("GET /never"));
    drop(client);
    eventually("both are interrupted", || world.record().matches("interrupted").count() >= 2);
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_policy_that_is_reloaded_decides_about_the_next_request_of_a_connection() {
    let world = world();
    let mut client = world.client();
    client.send("GET /api/a", "", "");
    assert_eq!(client.status().as_deref(), Some("200"));
    let closed = "rules:\n  - id: closed\n    deny: { actions: [any], objects: [\"endpoint * /a\"] }\n";
    let stricter = POLICY.replace("rules:\n", closed);
    world.gateway.write_policy("api", &stricter).unwrap();
    world.gateway.command(&["policy", "reload"]).unwrap();
    for (path, status) in [("/api/a", "403"), ("/api/a/", "403"), ("/api/b", "200")] {
        client.send(&format!("GET {path}"), "", "");
        assert_eq!(client.status().as_deref(), Some(status), "{path}");
    }
    world.gateway.stop(&[]).unwrap();
}
