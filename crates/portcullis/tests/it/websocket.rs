//! WebSockets end to end: the built binary between clients and a service that writes their frames by hand, and Node's own
//! client. What rules and masks come to is in `websocket/core/tests.rs` of the HTTP crate; here it is what a client sees,
//! what reaches the service, and what the record has.

use crate::approvals::{World as Approvals, said};
use crate::surroundings::{BINARY, eventually, succeed};
use portcullis_testkit::gateway::{Gateway, Settings};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const POLICY: &str = r#"
bundle: live
applies_to: { connections: [crm, tools], principals: { groups: [agents] } }
rules:
  - id: reads
    allow: { actions: [read], objects: ["endpoint * /**"] }
  - id: talk
    allow: { actions: [connect], objects: ["endpoint GET /live/*"] }
  - id: no-refunds
    deny: { actions: [connect], objects: ["endpoint * /live/a"], fields: { "$.kind": [refund] } }
    message: Refunds are made by people.
mask:
  - { id: ssn, json: ["$..ssn"], with: redact }
"#;

/// Says who may talk, and what of it waits.
const HELD: &str = r#"
bundle: sockets
applies_to: { connections: [feed], principals: { groups: [agents] } }
rules:
  - id: talk
    allow: { actions: [connect], objects: ["endpoint GET /live"] }
  - id: orders
    hold: { actions: [connect], objects: ["endpoint GET /live"], fields: { "$.kind": [order] } }
    approvers: { groups: [dba] }
"#;

const KEY: &str = "backend-key-93ab";
/// RFC 6455 §1.3.
const CLIENT_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const CLIENT_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// SHA-1 (RFC 3174), for the service's side of the handshake.
fn sha1(data: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = data.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend((data.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut words: Vec<u32> = block.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        for at in 16..80 {
            words.push((words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (at, word) in words.iter().enumerate() {
            let (mixed, constant) = match at {
                0..20 => ((b & c) | (!b & d), 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let next = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(constant).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (whole, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *whole = whole.wrapping_add(part);
        }
    }
    let mut out = [0; 20];
    for (at, word) in state.iter().enumerate() {
        out[at * 4..at * 4 + 4].copy_from_slice(&word.to_be_bytes());
    }
    out
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = bytes.chunks(3).flat_map(|three| {
        let number = three.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        (0..4).map(
            move |at| if at <= three.len() { LETTERS[(number >> (18 - 6 * at) & 63) as usize] as char } else { '=' },
        )
    });
    letters.collect()
}

/// A frame as it stands on the wire: its first byte, and what it says.
fn write_frame(stream: &mut TcpStream, first: u8, payload: &[u8], masked: bool) -> std::io::Result<()> {
    let bit = if masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(bit | u8::try_from(short).unwrap()),
        long => {
            bytes.push(bit | 126);
            bytes.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    let mask = [0x1f, 0x2e, 0x3d, 0x4c];
    if masked {
        bytes.extend(mask);
        bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    } else {
        bytes.extend(payload);
    }
    stream.write_all(&bytes)
}

/// Reads this much; `None` where the stream has ended, which is another thing than silence.
fn filled(stream: &mut TcpStream, bytes: &mut [u8]) -> Option<()> {
    match stream.read_exact(bytes) {
        Ok(()) => Some(()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("neither a frame nor the end of the stream")
        }
        Err(_) => None,
    }
}

/// The next frame, unmasked; `None` at the end of the stream.
fn read_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut two = [0; 2];
    filled(stream, &mut two)?;
    let length = match two[1] & 0x7f {
        126 => {
            let mut length = [0; 2];
            filled(stream, &mut length)?;
            usize::from(u16::from_be_bytes(length))
        }
        127 => panic!("a longer frame than any here"),
        short => usize::from(short),
    };
    let mut mask = [0; 4];
    if two[1] & 0x80 != 0 {
        filled(stream, &mut mask)?;
    }
    let mut payload = vec![0; length];
    filled(stream, &mut payload)?;
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[at % 4];
    }
    Some((two[0], payload))
}

fn read_head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// The head that opens a socket.
fn switches(asked: &str, chat: bool) -> String {
    let mut lines = asked.lines().filter_map(|line| line.split_once(": "));
    let (_, key) = lines.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key")).unwrap();
    let accept = base64(&sha1(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes()));
    let chosen = if chat { "Sec-WebSocket-Protocol: chat\r\n" } else { "" };
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Of-The-Service: 1\r\n\
         {chosen}Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// A service that opens every socket it is asked for and echoes what is said, and what it saw: heads, messages, and `end`
/// for each connection.
struct Service {
    address: String,
    seen: Receiver<String>,
}

impl Service {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sees, seen) = channel();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let sees = sees.clone();
                std::thread::spawn(move || {
                    let asked = read_head(&mut stream);
                    let head = asked.to_ascii_lowercase();
                    sees.send(head.clone()).ok();
                    if head.contains("/never ") {
                        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}").unwrap();
                        return;
                    }
                    stream.write_all(switches(&asked, head.contains("protocol: chat")).as_bytes()).unwrap();
                    while let Some((first, payload)) = read_frame(&mut stream) {
                        sees.send(format!("{first:02x} {}", String::from_utf8_lossy(&payload))).ok();
                        if write_frame(&mut stream, first, &payload, false).is_err() || first == 0x88 {
                            break;
                        }
                    }
                    sees.send("end".to_owned()).ok();
                });
            }
        });
        Self { address, seen }
    }

    /// What it sees next.
    fn sees(&self) -> String {
        self.seen.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    fn saw_nothing(&self) -> bool {
        self.seen.try_recv().is_err()
    }
}

struct World {
    service: Service,
    gateway: Gateway,
    token: String,
}

fn world(extra: &str) -> World {
    let service = Service::start();
    let connection = |api: &str| {
        format!(
            "{{ protocol: http, upstream: \"http://{}/base\", api: {api}, headers: {{ x-crm-key: {{ env: CRM_KEY }} }} }}",
            service.address
        )
    };
    let settings = Settings::new(BINARY).plaintext().environment("CRM_KEY", KEY).policy("live", POLICY).extra(extra);
    let settings = settings.connection("crm", &connection("rest")).connection("tools", &connection("mcp"));
    let gateway = settings.start().unwrap();
    let token = gateway.token("agent", &["agents"]).unwrap();
    World { service, gateway, token }
}

/// A client's socket, and the head that it was answered with.
struct Client {
    stream: TcpStream,
    head: String,
}

fn open_at(address: &str, token: &str, path: &str, more: &str) -> Client {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let asks = format!(
        "GET {path} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {CLIENT_KEY}\r\n{more}\r\n"
    );
    stream.write_all(asks.as_bytes()).unwrap();
    let head = read_head(&mut stream);
    Client { stream, head }
}

impl World {
    fn open(&self, path: &str) -> Client {
        self.open_with(path, "")
    }

    fn open_with(&self, path: &str, more: &str) -> Client {
        open_at(&self.gateway.address("http").unwrap(), &self.token, path, more)
    }

    fn record(&self) -> String {
        self.gateway.command(&["sessions", "export"]).unwrap()
    }
}

impl Client {
    fn status(&self) -> &str {
        self.head.get(9..12).unwrap_or_default()
    }

    fn says(&mut self, first: u8, payload: &str) {
        write_frame(&mut self.stream, first, payload.as_bytes(), true).unwrap();
    }

    fn hears(&mut self) -> Option<(u8, String)> {
        read_frame(&mut self.stream).map(|(first, payload)| (first, String::from_utf8_lossy(&payload).into_owned()))
    }

    /// The code and the words that it is closed with.
    fn closed(&mut self) -> (u16, String) {
        loop {
            let (first, payload) = read_frame(&mut self.stream).expect("a close");
            if first == 0x88 {
                let (code, reason) = payload.split_first_chunk::<2>().expect("a code");
                return (u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).unwrap());
            }
        }
    }
}

#[test]
fn messages_pass_both_ways_masked_and_recorded() {
    let world = world("");
    let mut client = world
        .open_with("/crm/live/a", "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat\r\n");
    assert_eq!(client.status(), "101", "{}", client.head);
    let answered = client.head.to_ascii_lowercase();
    assert!(client.head.contains(CLIENT_ACCEPT) && answered.contains("sec-websocket-protocol: chat\r\n"), "{answered}");
    assert!(!answered.contains("extensions") && !answered.contains("x-of-the-service"), "{answered}");
    let asked = world.service.sees();
    assert!(
        asked.starts_with("get /base/live/a http/1.1\r\n") && asked.contains(&format!("x-crm-key: {KEY}")),
        "{asked}"
    );
    for absent in ["extensions", "authorization", &CLIENT_KEY.to_ascii_lowercase(), &world.token.to_ascii_lowercase()] {
        assert!(!asked.contains(absent), "{absent}: {asked}");
    }
    client.says(0x81, r#"{"kind":"note","ssn":"123-45-6789"}"#);
    assert_eq!(world.service.sees(), r#"81 {"kind":"note","ssn":"123-45-6789"}"#);
    let (first, echoed) = client.hears().unwrap();
    assert!(first == 0x81 && echoed.contains("\"kind\":\"note\"") && !echoed.contains("6789"), "{echoed}");
    // In pieces, with a ping between them that the gateway answers itself.
    client.says(0x01, "{\"kind\":");
    client.says(0x89, "here?");
    client.says(0x00, "");
    client.says(0x80, "\"other\"}");
    assert_eq!(client.hears().unwrap(), (0x8a, "here?".to_owned()));
    assert_eq!(world.service.sees(), r#"81 {"kind":"other"}"#);
    assert_eq!(client.hears().unwrap(), (0x81, r#"{"kind":"other"}"#.to_owned()));
    write_frame(&mut client.stream, 0x88, b"\x03\xe8bye", true).unwrap();
    assert_eq!(client.closed(), (1000, String::new()));
    assert_eq!(world.service.sees(), "88 \u{3}\u{fffd}");
    assert_eq!(world.service.sees(), "end");
    eventually("its command is settled", || world.record().contains("\"status\":\"1000\""));
    let record = world.record();
    // With its hyphen: four digits alone stand in one export of thirty anyway, in a hash.
    assert!(
        record.contains("endpoint GET /live/a") && record.contains("other") && !record.contains("45-6789"),
        "{record}"
    );
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn without_a_rule_for_it_no_socket_is_asked_for() {
    let world = world("");
    let refused = world.open("/crm/other");
    assert!(refused.status() == "403" && refused.head.contains("problem+json"), "{}", refused.head);
    let tools = world.open("/tools/live/a");
    assert_eq!(tools.status(), "501", "{}", tools.head);
    let nobody = open_at(&world.gateway.address("http").unwrap(), "nobody-issued-this", "/crm/live/a", "");
    assert_eq!(nobody.status(), "401", "{}", nobody.head);
    let plain = world.open_with("/crm/live/a", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n");
    assert_eq!(plain.status(), "400", "{}", plain.head);
    assert!(world.service.saw_nothing());
    // A service that opens none is read as one of HTTP.
    let never = world.open("/crm/live/never");
    assert_eq!(never.status(), "404", "{}", never.head);
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_refused_message_never_reaches_the_service_and_its_client_reads_why() {
    let world = world("");
    let mut client = world.open("/crm/live/a");
    world.service.sees();
    client.says(0x81, r#"{"kind":"refund"}"#);
    let (code, why) = client.closed();
    assert!(code == 1008 && why.contains("live/no-refunds") && why.contains("decision"), "{code} {why}");
    assert_eq!(world.service.sees(), "88 \u{3}\u{fffd}");
    assert_eq!(world.service.sees(), "end");
    let record = world.record();
    assert!(record.contains("refund") && record.contains("live/no-refunds"), "{record}");
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn an_answer_that_cannot_be_masked_closes_both_sides() {
    let world = world("");
    let mut client = world.open("/crm/live/b");
    world.service.sees();
    client.says(0x81, "ssn 123-45-6789 in no JSON");
    assert_eq!(world.service.sees(), "81 ssn 123-45-6789 in no JSON");
    let (code, why) = client.closed();
    assert!(code == 1011 && why.contains("masked"), "{code} {why}");
    assert_eq!((world.service.sees(), world.service.sees().as_str()), ("88 \u{3}\u{fffd}".to_owned(), "end"));
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_client_that_vanishes_and_a_gateway_that_stops_close_the_other_side() {
    let world = world("");
    let mut client = world.open("/crm/live/a");
    world.service.sees();
    client.says(0x81, "{}");
    assert_eq!((world.service.sees().as_str(), client.hears().unwrap().1.as_str()), ("81 {}", "{}"));
    client.stream.shutdown(Shutdown::Both).unwrap();
    drop(client);
    assert_eq!((world.service.sees(), world.service.sees().as_str()), ("88 \u{3}\u{fffd}".to_owned(), "end"));
    eventually("it is interrupted", || world.record().contains("interrupted"));
    let mut last = world.open("/crm/live/b");
    world.service.sees();
    let World { gateway, service, .. } = world;
    let stopping = std::thread::spawn(move || gateway.stop(&[]).map(|_| ()));
    assert_eq!(last.closed().0, 1001);
    assert!(service.sees().starts_with("88 \u{3}\u{fffd}"));
    assert_eq!(service.sees(), "end");
    stopping.join().unwrap().unwrap();
}

#[test]
fn a_socket_over_which_nobody_says_anything_is_closed() {
    let world = world("limits: { idle: 1s }");
    let mut quiet = world.open("/crm/live/a");
    world.service.sees();
    assert_eq!(quiet.closed(), (1001, "idle".to_owned()));
    assert_eq!((world.service.sees(), world.service.sees().as_str()), ("88 \u{3}\u{fffd}idle".to_owned(), "end"));
    eventually("its command is settled", || world.record().contains("\"status\":\"1001\""));
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_killed_session_closes_both_sides_without_a_word() {
    let world = world("");
    let mut client = world.open("/crm/live/a");
    world.service.sees();
    client.says(0x81, "{}");
    assert_eq!((world.service.sees().as_str(), client.hears().unwrap().1.as_str()), ("81 {}", "{}"));
    let admin = |method: &str, path: &str| {
        let mut socket = UnixStream::connect(world.gateway.directory().join("data/admin.sock")).unwrap();
        let request = format!("{method} /api/v1{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    let live = admin("GET", "/live");
    let (_, rest) = live.split_once("\"id\":\"").unwrap();
    let id = rest.split('"').next().unwrap();
    assert!(admin("DELETE", &format!("/live/{id}")).starts_with("HTTP/1.1 2"));
    assert_eq!((client.hears(), world.service.sees().as_str()), (None, "end"));
    eventually("the session ends in the record", || world.record().contains("\"killed\""));
    assert!(world.record().contains("interrupted"));
    world.gateway.stop(&[]).unwrap();
}

/// Node's client, which nobody here wrote.
const NODE: &str = r#"
const socket = new WebSocket(process.env.ADDRESS, { protocols: ["chat"], headers: { authorization: `Bearer ${process.env.TOKEN}` } });
socket.onopen = () => socket.send(JSON.stringify({ kind: "note", ssn: "123-45-6789", text: "ä".repeat(300) }));
socket.onmessage = ({ data }) => {
  const said = JSON.parse(data);
  console.log(said.kind, said.ssn.includes("6789") ? "seen" : "masked", said.text.length, socket.protocol);
  socket.send(JSON.stringify({ kind: "refund" }));
};
socket.onclose = ({ code, reason, wasClean }) => console.log(code, wasClean, reason);
"#;

/// Says two things over TLS, and tells what comes back.
const NODE_WAITS: &str = r#"
const socket = new WebSocket(process.env.ADDRESS, { headers: { authorization: `Bearer ${process.env.TOKEN}` } });
const heard = [];
socket.onopen = () => ["order", "note"].forEach((kind) => socket.send(JSON.stringify({ kind })));
socket.onmessage = ({ data }) => {
  heard.push(data);
  if (heard.length === 2) socket.close(1000);
};
socket.onclose = ({ code }) => console.log(code, heard.join(" "));
"#;

/// Node, where it has a WebSocket of its own.
fn node(script: &str) -> Option<Command> {
    let asked = Command::new("node").args(["--experimental-websocket", "-e", "new WebSocket"]).output();
    if !asked.is_ok_and(|asked| String::from_utf8_lossy(&asked.stderr).contains("TypeError")) {
        println!("skipped: no node with a WebSocket of its own");
        return None;
    }
    let mut node = Command::new("node");
    node.args(["--no-warnings", "--experimental-websocket", "-e", script]);
    Some(node)
}

#[test]
fn a_held_message_is_sent_once_people_say_so() {
    let Some(mut node) = node(NODE_WAITS) else { return };
    let service = Service::start();
    let upstream = format!("{{ protocol: http, upstream: \"http://{}\", api: rest }}", service.address);
    let settings = Settings::new(BINARY).connection("feed", &upstream).policy("sockets", HELD);
    let world = Approvals::open(settings, "");
    let address = format!("wss://{}/feed/live", world.gateway.address("http").unwrap());
    node.env("ADDRESS", address).env("TOKEN", world.agent()).env("NODE_EXTRA_CA_CERTS", world.gateway.ca_file());
    let client = node.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = world.waiting();
    assert!(service.sees().starts_with("get /live http/1.1"));
    assert!(service.saw_nothing());
    world.decide("approve", &id, &world.dana());
    assert_eq!(service.sees(), r#"81 {"kind":"order"}"#);
    assert_eq!(service.sees(), r#"81 {"kind":"note"}"#);
    assert_eq!(said(client).trim(), r#"1000 {"kind":"order"} {"kind":"note"}"#);
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn nodes_own_client_reads_what_is_said_and_why_it_is_closed() {
    let Some(mut node) = node(NODE) else { return };
    let world = world("");
    node.env("ADDRESS", format!("ws://{}/crm/live/a", world.gateway.address("http").unwrap()))
        .env("TOKEN", &world.token);
    let said = succeed(&mut node);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "note masked 300 chat", "{said}");
    assert!(lines[1].starts_with("1008 true refused by live/no-refunds"), "{said}");
    world.gateway.stop(&[]).unwrap();
}

/// Asks for a socket over HTTP/2 (RFC 8441), and then for a document, and tells what becomes of each.
const NODE_HTTP_2: &str = r#"
const session = require("node:http2").connect(process.env.ADDRESS);
const authorization = `Bearer ${process.env.TOKEN}`;
const ask = (headers, then) => {
  let told = "nothing";
  const stream = session.request({ authorization, ...headers });
  stream.on("response", (head) => { told = head[":status"]; });
  stream.on("error", ({ code }) => { told = code; });
  stream.on("close", () => { console.log(told, stream.rstCode); then(); });
  stream.resume();
};
session.on("remoteSettings", ({ enableConnectProtocol }) => {
  console.log("sockets", enableConnectProtocol);
  ask({ ":method": "CONNECT", ":protocol": "websocket", ":path": "/crm/live/a", "sec-websocket-version": "13" }, () =>
    ask({ ":path": "/crm/never" }, () => session.close()));
});
"#;

#[test]
fn a_socket_passes_over_tls_to_its_service_and_is_not_opened_over_http_2() {
    let (Some(mut socket), Some(mut http_2)) = (node(NODE), node(NODE_HTTP_2)) else { return };
    let service = Service::start();
    // A service over TLS that would speak HTTP/2 with whoever offers it: a gateway of its own.
    let upstream = format!("{{ protocol: http, upstream: \"http://{}\", api: rest }}", service.address);
    let inner = Settings::new(BINARY).connection("crm", &upstream).policy("live", POLICY).start().unwrap();
    let bearer = format!("Bearer {}", inner.token("gateway", &["agents"]).unwrap());
    let upstream = format!(
        "{{ protocol: http, upstream: \"https://{}/crm\", tls_ca: \"{}\", api: rest, headers: {{ authorization: {{ env: INNER }} }} }}",
        inner.address("http").unwrap(),
        inner.ca_file().display(),
    );
    let settings = Settings::new(BINARY).environment("INNER", &bearer).connection("crm", &upstream);
    let gateway = settings.policy("live", POLICY).start().unwrap();
    let (token, address) = (gateway.token("agent", &["agents"]).unwrap(), gateway.address("http").unwrap());
    for (node, scheme, path) in [(&mut socket, "wss", "/crm/live/a"), (&mut http_2, "https", "")] {
        node.env("ADDRESS", format!("{scheme}://{address}{path}")).env("TOKEN", &token);
        node.env("NODE_EXTRA_CA_CERTS", gateway.ca_file());
    }
    let said = succeed(&mut socket);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "note masked 300 chat", "{said}");
    assert!(lines[1].starts_with("1008 true refused by live/no-refunds"), "{said}");
    assert!(service.sees().starts_with("get /live/a http/1.1\r\n"));
    let refused = succeed(&mut http_2);
    assert_eq!(refused, "sockets false\nERR_HTTP2_STREAM_ERROR 1\n404 0\n");
    for gateway in [gateway, inner] {
        gateway.stop(&[]).unwrap();
    }
}
