//! HTTP end to end: curl, the built binary, and a service that says what the test tells it.

use crate::surroundings::BINARY;
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::http::{Act, Answers, Asked, Service, answer, begun, chunked};
use std::process::Command;
use std::sync::Arc;

const POLICY: &str = r#"
bundle: crm
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: reads
    allow: { actions: [read, insert], objects: ["endpoint * /**"] }
  - id: no-deletes
    deny: { actions: [delete], objects: ["*"] }
    message: Ask the owner to delete it.
"#;

const KEY: &str = "backend-key-5b1f";

struct World {
    service: Service,
    gateway: Gateway,
    token: String,
}

/// What came back.
struct Heard {
    status: String,
    head: String,
    body: String,
    curl: i32,
}

fn script() -> Answers {
    Arc::new(|asked: &Asked| {
        match asked.target() {
        "/base/redirect" => vec![Act::Write(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".into(),
        )],
        "/base/made" => {
            let host = asked.header("host").unwrap_or_default();
            let head = format!(
                "HTTP/1.1 201 Created\r\nlocation: /base/orders/7\r\nlink: <http://{host}/base/orders?page=2>; rel=\"next\"\r\ncontent-length: 0\r\n\r\n"
            );
            vec![Act::Write(head.into())]
        }
        "/base/cookie" => vec![Act::Write(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: a=b\r\nalt-svc: h3=\":1\"\r\nconnection: x-hop\r\nx-hop: 1\r\ncontent-length: 2\r\n\r\n{}".into(),
        )],
        "/base/broken" => [begun("application/json", &["[1,"]), vec![Act::Close]].concat(),
        "/base/short" => vec![
            Act::Write("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n[1,".into()),
            Act::Close,
        ],
        "/base/nothing" => vec![Act::Close],
        "/base/silent" => vec![Act::Wait],
        "/base/chunks" => chunked("application/json", &["[1", ",2", "]"]),
        _ => {
            let said = format!("{}\n{}\n\n{}", asked.line, asked.headers, String::from_utf8_lossy(&asked.body));
            let said = format!("{{\"said\":{said:?}}}");
            answer("200 OK", "application/json", said.as_bytes())
        }
    }
    })
}

fn world() -> World {
    world_of(POLICY)
}

fn world_of(policy: &str) -> World {
    world_with(policy, "timeout: 30s")
}

/// A world whose connection has these settings besides.
fn world_with(policy: &str, more: &str) -> World {
    let service = Service::start(script()).unwrap();
    let crm = format!(
        "{{ protocol: http, upstream: \"http://{}/base\", api: rest, hosts: [crm.example], {more}, headers: {{ x-api-key: {{ env: CRM_KEY }} }} }}",
        service.address()
    );
    let settings = Settings::new(BINARY).environment("CRM_KEY", KEY).connection("crm", &crm).policy("crm", policy);
    let gateway = settings.start().unwrap();
    let token = gateway.token("agent", &["agents"]).unwrap();
    World { service, gateway, token }
}

impl World {
    fn curl(&self, path: &str, arguments: &[&str]) -> Heard {
        self.curl_as(&format!("Authorization: Bearer {}", self.token), path, arguments)
    }

    fn curl_as(&self, credential: &str, path: &str, arguments: &[&str]) -> Heard {
        let address = self.gateway.address("http").unwrap();
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--include", "--path-as-is", "--max-time", "30", "--cacert"]);
        command.arg(self.gateway.ca_file()).args(["-H", credential]).args(arguments);
        let output = command.arg(format!("https://{address}{path}")).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        Heard {
            status: head.split(' ').nth(1).unwrap_or_default().to_owned(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
            curl: output.status.code().unwrap(),
        }
    }
}

#[test]
fn a_request_reaches_its_service_as_it_was_judged_and_with_the_gateways_credential() {
    let world = world();
    for version in ["--http1.1", "--http2"] {
        let heard = world.curl(
            "/crm/orders?limit=3",
            &[
                version,
                "-d",
                "{\"a\":1}",
                "-H",
                "content-type: application/json",
                "-H",
                "X-Forwarded-For: 10.0.0.1",
                "-b",
                "a=b",
            ],
        );
        assert_eq!((heard.status.as_str(), heard.curl), ("200", 0), "{}", heard.body);
        let said = heard.body.to_ascii_lowercase();
        assert!(said.contains("post /base/orders?limit=3 http/1.1") && said.contains("{\\\"a\\\":1}"), "{said}");
        assert!(said.contains(KEY) && said.contains(&format!("host: {}", world.service.address())), "{said}");
        for absent in [world.token.as_str(), "10.0.0.1", "cookie", "authorization"] {
            assert!(!said.contains(&absent.to_ascii_lowercase()), "{absent}: {said}");
        }
        assert!(heard.head.contains("content-length: "), "what passes as it is keeps its length: {}", heard.head);
        let chunks = world.curl("/crm/chunks", &[version]);
        assert_eq!((chunks.status.as_str(), chunks.body.as_str()), ("200", "[1,2]"));
        let headers = world.curl("/crm/cookie", &[version]);
        assert_eq!(headers.status, "200");
        for absent in ["set-cookie", "alt-svc", "x-hop"] {
            assert!(!headers.head.contains(absent), "{}", headers.head);
        }
    }
    let by_key = world.curl_as(&format!("x-api-key: {}", world.token), "/crm/orders", &[]);
    assert_eq!(by_key.status, "200");
    let by_host = world.curl("/orders", &["-H", "Host: crm.example"]);
    assert_eq!(by_host.status, "200", "{}", by_host.body);
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_write_keeps_its_condition_while_masks_bind_and_a_read_has_none() {
    let world = world_of(&format!("{POLICY}mask:\n  - {{ id: ssn, json: ['$..ssn'], with: redact }}\n"));
    let asks = |arguments: &[&str]| world.curl("/crm/orders", arguments);
    let condition = "If-Match: \"v3\"";
    let written = asks(&["-X", "POST", "-H", condition]);
    assert!(written.status == "200" && written.body.to_ascii_lowercase().contains("if-match"), "{}", written.body);
    let read = asks(&["-H", condition, "-H", "If-None-Match: *"]);
    assert!(read.status == "200" && !read.body.to_ascii_lowercase().contains("if-"), "{}", read.body);
    let guesses = asks(&["-X", "POST", "-H", "If-Match: \"v3\", \"v4\""]);
    assert!(
        guesses.status.starts_with('4') && guesses.body.contains("If-Match"),
        "{} {}",
        guesses.status,
        guesses.body
    );
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn who_may_not_reads_why_and_nothing_reaches_the_service() {
    let world = world();
    let denied = world.curl("/crm/orders/7", &["-X", "DELETE"]);
    assert_eq!(denied.status, "403");
    assert!(denied.head.contains("application/problem+json") && denied.body.contains("Ask the owner to delete it."));

    let nobody = world.curl_as("X-None: 1", "/crm/orders", &[]);
    assert!(nobody.status == "401" && nobody.head.contains("www-authenticate: bearer"), "{}", nobody.head);
    let stranger = world.curl_as("Authorization: Bearer nobody-issued-this", "/crm/orders", &[]);
    assert!(stranger.status == "401" && stranger.head.contains("www-authenticate"), "{}", stranger.head);
    // Whether a connection exists is told to the known only.
    let unknown = world.curl_as("Authorization: Bearer nobody-issued-this", "/none/orders", &[]);
    assert_eq!((unknown.status, unknown.body), (stranger.status, stranger.body));
    assert_eq!(world.curl("/none/orders", &[]).status, "404");
    assert_eq!(world.curl("/crm/a%2Fb", &[]).status, "400");
    // A reason is read although the body was not, whichever way its frames come.
    for version in ["--http1.1", "--http2"] {
        let body = ["-d", "{}", "-H", "content-type: application/json", version];
        let coded = world.curl("/crm/orders", &[&body[..], &["-H", "content-encoding: br"]].concat());
        assert_eq!((coded.status.as_str(), coded.curl), ("415", 0), "{version}: {}", coded.body);
        let stranger = world.curl_as("Authorization: Bearer nobody-issued-this", "/crm/orders", &body);
        assert_eq!((stranger.status.as_str(), stranger.curl), ("401", 0), "{version}: {}", stranger.body);
    }
    assert!(world.service.ledger().is_empty());
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn an_answer_that_breaks_off_never_looks_whole() {
    let world = world();
    for path in ["/crm/redirect", "/crm/nothing"] {
        let heard = world.curl(path, &["--http1.1"]);
        assert_eq!((heard.status.as_str(), heard.curl), ("502", 0), "{path}: {}", heard.body);
        assert!(!heard.head.contains("location"), "{}", heard.head);
        let redirects = path == "/crm/redirect";
        assert_eq!(heard.body.contains("redirects are not passed on"), redirects, "{}", heard.body);
        assert_eq!(heard.head.contains("x-should-retry: false"), redirects, "{}", heard.head);
    }
    for path in ["/crm/broken", "/crm/short"] {
        for version in ["--http1.1", "--http2"] {
            let heard = world.curl(path, &[version]);
            assert!(heard.curl != 0 || heard.status == "502", "{path} {version}: {} {}", heard.status, heard.body);
        }
    }
    // The gateway is as good as before.
    assert_eq!(world.curl("/crm/orders", &[]).status, "200");
    world.gateway.stop(&["an answer failed"]).unwrap();
    let world = world_with(POLICY, "timeout: 1s");
    let heard = world.curl("/crm/silent", &["--http1.1"]);
    assert_eq!((heard.status.as_str(), heard.curl), ("504", 0), "{}", heard.body);
    world.gateway.stop(&["an answer failed"]).unwrap();
}

#[test]
fn an_address_of_the_service_is_told_as_one_of_the_gateway() {
    let world = world();
    let address = world.gateway.address("http").unwrap();
    for version in ["--http1.1", "--http2"] {
        let heard = world.curl("/crm/made", &[version, "-X", "POST"]);
        assert_eq!(heard.status, "201", "{}", heard.body);
        assert!(heard.head.lines().any(|line| line == "location: /crm/orders/7"), "{}", heard.head);
        let next = format!("link: <https://{address}/crm/orders?page=2>; rel=\"next\"");
        assert!(heard.head.contains(&next), "{}", heard.head);
        // By its host the connection needs no name in the path.
        let heard = world.curl("/made", &[version, "-X", "POST", "-H", "host: crm.example"]);
        assert!(heard.head.lines().any(|line| line == "location: /orders/7"), "{}", heard.head);
        assert!(heard.head.contains("link: <https://crm.example/orders?page=2>"), "{}", heard.head);
    }
    world.gateway.stop(&[]).unwrap();
}

/// What libraries write of a blank and of letters beyond ASCII is what the service gets.
#[test]
fn a_request_goes_on_as_libraries_write_it() {
    let world = world();
    for (asked, sent) in [
        ("/crm/search?q=is%3Aopen+label%3Abug", "GET /base/search?q=is:open+label:bug HTTP/1.1"),
        ("/crm/files/%c3%a9.txt", "GET /base/files/%C3%A9.txt HTTP/1.1"),
    ] {
        let heard = world.curl(asked, &[]);
        assert!(heard.status == "200" && heard.body.contains(sent), "{asked}: {} {}", heard.status, heard.body);
    }
    let form = ["-d", "expand[]=a", "-d", "expand[]=b"];
    assert_eq!(world.curl("/crm/charges", &form).status, "200");
    let lines = ["-H", "content-type: application/x-ndjson", "--data-binary", "{\"index\":{}}\n{\"a\":1}\n"];
    assert_eq!(world.curl("/crm/_bulk", &lines).status, "200");
    let heard = world.curl("/crm/orders", &["-d", "{\"a\": 1}"]);
    assert_eq!(heard.status, "400");
    assert!(heard.body.contains("send `content-type: application/json`"), "{}", heard.body);
    assert!(heard.body.contains("Change the request as"), "{}", heard.body);
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_service_that_is_not_there_is_told_without_its_address() {
    let settings = Settings::new(BINARY).policy("crm", POLICY);
    let settings = settings.connection("crm", "{ protocol: http, upstream: \"http://127.0.0.1:1\", api: rest }");
    let gateway = settings.start().unwrap();
    let token = gateway.token("agent", &["agents"]).unwrap();
    let world = World { service: Service::start(script()).unwrap(), gateway, token };
    let heard = world.curl("/crm/orders", &[]);
    assert_eq!(heard.status, "502");
    assert!(!heard.body.contains("127.0.0.1"), "{}", heard.body);
    world.gateway.stop(&["an answer failed"]).unwrap();
}

#[test]
fn connect_gives_the_base_url_and_a_client_its_surroundings() {
    let world = world();
    let address = world.gateway.address("http").unwrap();
    assert_eq!(world.gateway.command(&["connect", "crm"]).unwrap().trim(), format!("https://{address}/crm"));
    world.gateway.command(&["check"]).unwrap();
    world.gateway.stop(&[]).unwrap();
}
