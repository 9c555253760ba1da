//! The conformance suite over HTTP: the built binary, a raw client that sends its requests one behind the other, and a
//! service that says what it was asked.

use crate::surroundings::BINARY;
use portcullis_testkit::conform::{Heard, Proof, Say, Subject};
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::http::{Asked, Service, answer};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

const POLICY: &str = r#"
bundle: conform
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: reads
    allow: { actions: [read, insert], objects: ["endpoint * /**"] }
"#;

const KEY: &str = "backend-key-77aa";
/// The limit on a body: eight times that on a statement.
const LIMIT: usize = 8 * (16 << 10);

struct Http {
    service: Service,
    gateway: Gateway,
    token: String,
}

struct Client {
    stream: BufReader<TcpStream>,
    /// The line of its credential.
    credential: String,
}

impl Subject for Http {
    type Client = Client;

    async fn open() -> Option<Self> {
        let service = Service::start(Arc::new(|asked: &Asked| {
            answer("200 OK", "application/json", format!("[{:?}]", asked.line).as_bytes())
        }));
        let service = service.unwrap();
        let api = format!(
            "{{ protocol: http, upstream: \"http://{}\", api: rest, headers: {{ authorization: {{ bearer: {{ env: API_KEY }} }} }} }}",
            service.address()
        );
        let settings = Settings::new(BINARY).connection("api", &api).policy("conform", POLICY).plaintext();
        let settings = settings.environment("API_KEY", KEY).extra("limits: { statement: 16KiB }");
        let gateway = settings.start().unwrap();
        let token = gateway.token("agent", &["agents"]).unwrap();
        Some(Self { service, gateway, token })
    }

    async fn connect(&self, proof: Proof) -> Option<Client> {
        let stream = TcpStream::connect(self.gateway.address("http").unwrap()).await.ok()?;
        let credential = match proof {
            Proof::Good => format!("authorization: Bearer {}\r\n", self.token),
            Proof::Wrong => "authorization: Bearer nobody-issued-this\r\n".to_owned(),
            Proof::Absent => String::new(),
        };
        Some(Client { stream: BufReader::new(stream), credential })
    }

    async fn say(&self, client: &mut Client, all: &[Say]) -> Vec<Heard> {
        for say in all {
            let request = request(say, &client.credential);
            // One that is refused early is not read to its end.
            if client.stream.get_mut().write_all(&request).await.is_err() {
                break;
            }
        }
        let mut heard = Vec::new();
        for _ in all {
            heard.push(hear(&mut client.stream).await.unwrap_or(Heard::End));
            if heard.last() == Some(&Heard::End) {
                break;
            }
        }
        heard
    }

    fn reached_backend(&self, text: &str) -> bool {
        self.service.ledger().contains(text)
    }

    fn record(&self) -> String {
        self.gateway.command(&["sessions", "export"]).unwrap()
    }

    fn log(&self) -> String {
        self.gateway.log_text()
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.token.clone(), KEY.to_owned()]
    }

    fn break_record(&self) {
        self.gateway.program().unwrap().limit_files(0).unwrap();
    }
}

fn request(say: &Say, credential: &str) -> Vec<u8> {
    let (line, body) = match say {
        Say::Allowed(mark) => (format!("GET /api/{mark}"), String::new()),
        Say::Denied(mark) => (format!("DELETE /api/{mark}"), String::new()),
        Say::Unknown(mark) => ("FROBNICATE /api/x".to_owned(), format!("[\"{mark}\"]")),
        Say::Oversized(mark) => ("POST /api/x".to_owned(), format!("[\"{mark}{}{mark}\"]", "x".repeat(LIMIT))),
    };
    let kind = if body.is_empty() {
        String::new()
    } else {
        format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
    };
    format!("{line} HTTP/1.1\r\nhost: gw\r\n{credential}{kind}\r\n{body}").into_bytes()
}

/// The next answer; `None` at the end of the connection.
async fn hear(stream: &mut BufReader<TcpStream>) -> Option<Heard> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let mut body = Vec::new();
    if let Some((_, rest)) = lower.split_once("content-length: ") {
        body.resize(rest.lines().next()?.trim().parse().ok()?, 0);
        stream.read_exact(&mut body).await.ok()?;
    } else if lower.contains("transfer-encoding: chunked") {
        loop {
            let mut size = String::new();
            stream.read_line(&mut size).await.ok()?;
            let mut chunk = vec![0; usize::from_str_radix(size.trim(), 16).ok()? + 2];
            stream.read_exact(&mut chunk).await.ok()?;
            if chunk.len() == 2 {
                break;
            }
            body.extend_from_slice(&chunk[..chunk.len() - 2]);
        }
    }
    // Its last word: what was not read of the request is not waited for.
    if lower.contains("connection: close") {
        return None;
    }
    let text = format!("{head}{}", String::from_utf8_lossy(&body));
    Some(if head.starts_with("HTTP/1.1 200") { Heard::Answer(text) } else { Heard::Refusal(text) })
}

portcullis_testkit::conform!(Http);
