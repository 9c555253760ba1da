//! Models and tool servers end to end: curl, the built binary, and services that say what a provider would say.

use crate::surroundings::BINARY;
use jiff::Timestamp;
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::http::{Answers, Asked, Service, answer, chunked};
use std::process::Command;
use std::sync::Arc;

/// What both bundles say of programs, destruction and masks, behind rules of their own and before their budgets.
pub(crate) const TOOLS_AND_MASKS: &str = r#"
  - id: programs
    allow: { actions: [execute], objects: ["program {ls,psql}"] }
  - id: databases
    allow: { actions: [connect], objects: ["host *:*"] }
  - id: files
    allow: { actions: [read], objects: ["file **", "table *.*"] }
  - id: no-destruction
    deny: { actions: [drop, delete], objects: ["*"] }
    message: Ask a person to destroy data.
mask:
  - id: fields
    json: ["$..ssn"]
    with: redact
  - id: mail
    detect: [email]
    with: redact
"#;

const RULES: &str = r#"
bundle: models
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: models
    allow: { actions: [generate], objects: ["model claude-*", "model gpt-*"] }
  - id: tools
    allow: { actions: [call], objects: ["tool {Bash,run_sql,echo}"] }"#;

const BUDGETS: &str = r#"
budgets:
  - { id: large, models: ["claude-large"], tokens_per_day: 150 }
"#;

/// A stream of the Messages API: a text cut into single characters, then a call of `Bash` with this command.
fn stream(text: &str, command: Option<&str>) -> String {
    let mut events = vec![(
        "message_start",
        r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-small","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":11,"output_tokens":1}}}"#.to_owned(),
    )];
    let mut block = |index: usize, start: &str, deltas: Vec<String>| {
        events.push((
            "content_block_start",
            format!(r#"{{"type":"content_block_start","index":{index},"content_block":{start}}}"#),
        ));
        for delta in deltas {
            events.push((
                "content_block_delta",
                format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#),
            ));
        }
        events.push(("content_block_stop", format!(r#"{{"type":"content_block_stop","index":{index}}}"#)));
    };
    let letters = text.chars().map(|c| format!(r#"{{"type":"text_delta","text":"{c}"}}"#)).collect();
    block(0, r#"{"type":"text","text":""}"#, letters);
    let mut reason = "end_turn";
    if let Some(command) = command {
        reason = "tool_use";
        let input = format!("{{\"command\":\"{command}\"}}").replace('"', "\\\"");
        let (first, second) = input.split_at(9);
        let piece = |part: &str| format!(r#"{{"type":"input_json_delta","partial_json":"{part}"}}"#);
        block(1, r#"{"type":"tool_use","id":"toolu_1","name":"Bash","input":{}}"#, vec![piece(first), piece(second)]);
    }
    events.push((
        "message_delta",
        format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":null}},"usage":{{"output_tokens":7}}}}"#),
    ));
    events.push(("message_stop", r#"{"type":"message_stop"}"#.to_owned()));
    events.iter().map(|(name, data)| format!("event: {name}\ndata: {data}\n\n")).collect()
}

fn script() -> Answers {
    Arc::new(|asked: &Asked| {
        let body = String::from_utf8_lossy(&asked.body).into_owned();
        let said = match asked.target() {
            "/mcp" if body.contains("tools/list") => {
                r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"echo","inputSchema":{"type":"object"}},{"name":"wipe","inputSchema":{"type":"object"}}]}}"#.to_owned()
            }
            "/mcp" => r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{\"ssn\": \"123\"} a@b.example"}],"structuredContent":{"ssn":"123"}}}"#.to_owned(),
            _ if body.contains("destroy") => return chunked("text/event-stream", &[&stream("ok", Some("psql -c 'DROP TABLE users'"))]),
            _ if body.contains("look") => return chunked("text/event-stream", &[&stream("ok", Some("ls /tmp"))]),
            _ if body.contains("cut") => {
                let whole = stream("never whole", None);
                return chunked("text/event-stream", &[&whole[..whole.len() / 2]]);
            }
            _ => return chunked("text/event-stream", &[&stream("write to agent@corp.example now", None)]),
        };
        answer("200 OK", "application/json", said.as_bytes())
    })
}

struct World {
    service: Service,
    gateway: Gateway,
    token: String,
}

fn world() -> World {
    let service = Service::start(script()).unwrap();
    let at = service.address();
    let connection =
        |api: &str, path: &str| format!("{{ protocol: http, upstream: \"http://{at}{path}\", api: {api} }}");
    let settings = Settings::new(BINARY)
        .connection("claude", &connection("anthropic", ""))
        .connection("gpt", &connection("openai", ""))
        .connection("tools", &connection("mcp", "/mcp"))
        .policy("models", &[RULES, TOOLS_AND_MASKS, BUDGETS].concat());
    let gateway = settings.start().unwrap();
    let token = gateway.token("agent", &["agents"]).unwrap();
    World { service, gateway, token }
}

impl World {
    /// The status and the body of a POST.
    fn post(&self, path: &str, headers: &[&str], body: &str) -> (String, String) {
        let address = self.gateway.address("http").unwrap();
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "30", "--write-out", "\n%{http_code}", "--cacert"]);
        command.arg(self.gateway.ca_file()).args(["-H", &format!("Authorization: Bearer {}", self.token)]);
        for header in headers.iter().chain(&["content-type: application/json"]) {
            command.args(["-H", header]);
        }
        let output = command.args(["-d", body]).arg(format!("https://{address}{path}")).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.to_owned(), body.to_owned())
    }

    fn ask(&self, model: &str, prompt: &str) -> (String, String) {
        let tools = r#"[{"name":"Bash","input_schema":{"type":"object"}}]"#;
        let body = format!(
            r#"{{"model":"{model}","max_tokens":64,"stream":true,"tools":{tools},"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
        );
        self.post("/claude/v1/messages", &["anthropic-version: 2023-06-01"], &body)
    }

    /// Everything that reached the services.
    fn sent(&self) -> String {
        let connections = self.service.ledger().connections();
        connections.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}

/// The text of all text deltas.
fn spoken(stream: &str) -> String {
    let deltas = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    deltas
        .filter_map(|data| serde_json::from_str::<serde_json::Value>(data).ok())
        .filter_map(|event| event.pointer("/delta/text").and_then(|text| text.as_str().map(str::to_owned)))
        .collect()
}

#[test]
fn a_text_comes_out_masked_however_it_was_cut() {
    let world = world();
    let (status, body) = world.ask("claude-small", "write");
    assert_eq!((status.as_str(), spoken(&body).as_str()), ("200", "write to [redacted] now"), "{body}");
    assert!(body.contains("message_stop") && !body.contains("corp.example"), "{body}");
    // What leaves to the provider is masked like what comes back.
    let (status, _) = world.ask("claude-small", "mail me@home.example");
    let sent = world.sent();
    assert!(status == "200" && !sent.contains("me@home.example") && sent.contains("mail [redacted]"), "{sent}");
    let (_, cut) = world.ask("claude-small", "cut");
    assert!(cut.contains("message_start"), "{cut}");
    assert!(!cut.contains("message_stop"), "{cut}");
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_tool_call_is_judged_before_its_client_sees_it() {
    let world = world();
    let (status, body) = world.ask("claude-small", "destroy");
    assert_eq!(status, "200", "{body}");
    assert!(!body.contains("tool_use") && !body.contains("partial_json"), "{body}");
    for part in ["Bash was refused", "models/no-destruction", "drop table", "Ask a person to destroy data."] {
        assert!(spoken(&body).contains(part), "{part}: {body}");
    }
    assert!(body.contains(r#""stop_reason":"end_turn""#), "{body}");
    let (_, body) = world.ask("claude-small", "look");
    assert!(body.contains(r#""name":"Bash""#) && body.contains("ls /tmp"), "{body}");
    assert!(body.contains(r#""stop_reason":"tool_use""#), "{body}");
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn models_tools_and_budgets_are_what_rules_say() {
    let world = world();
    let (status, body) = world.ask("other-model", "write");
    assert_eq!(status, "403", "{body}");
    assert!(body.contains("permission_error") && body.contains("other-model"), "{body}");
    let server_tool = r#"{"model":"claude-small","max_tokens":9,"tools":[{"type":"web_search_20250305","name":"web_search"}],"messages":[]}"#;
    let (status, body) = world.post("/claude/v1/messages", &["anthropic-version: 2023-06-01"], server_tool);
    assert!(status == "403" && body.contains("call tool web_search"), "{status} {body}");
    let asked = world.sent();
    assert!(asked.is_empty(), "nothing reached the provider: {asked}");
    // A request takes some 107 of 150 tokens (its length and its answer's limit) and gives back all but the 18 it used: the
    // fourth does not fit any more. Another model is another matter.
    let statuses = |world: &World| ["claude-large"; 4].map(|model| world.ask(model, "write").0);
    let day = || Timestamp::now().as_second().div_euclid(24 * 60 * 60);
    let (today, mut told) = (day(), statuses(&world));
    if day() != today {
        // A day's tokens begin anew with the next of UTC.
        let anew = self::world();
        told = statuses(&anew);
        anew.gateway.stop(&[]).unwrap();
    }
    assert_eq!(told, ["200", "200", "200", "429"]);
    assert_eq!(world.ask("claude-small", "write").0, "200");
    let (status, body) = world.post("/gpt/v1/chat/completions", &[], r#"{"model":"other","messages":[]}"#);
    assert!(
        status == "403" && body.contains(r#""error":{"#) && body.contains("no rule allows generate model other"),
        "{body}"
    );
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_tool_server_is_reached_by_calls_that_rules_allow() {
    let world = world();
    let headers = ["accept: application/json, text/event-stream", "mcp-protocol-version: 2025-11-25"];
    let call = |name: &str, arguments: &str| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","arguments":{arguments}}}}}"#
        );
        world.post("/tools/", &headers, &body)
    };
    let (status, body) = call("run_sql", r#"{"sql":"DROP TABLE customers"}"#);
    assert!(
        status == "200" && body.contains(r#""isError":true"#) && body.contains("no-destruction"),
        "{status} {body}"
    );
    let (status, body) = call("wipe", "{}");
    assert!(status == "200" && body.contains(r#""isError":true"#), "{status} {body}");
    let (status, body) = call("echo", "{}");
    assert_eq!(status, "200", "{body}");
    assert!(!body.contains("123") && !body.contains("b.example") && body.contains("structuredContent"), "{body}");
    let (status, listed) = world.post("/tools/", &headers, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    assert!(listed.contains(r#""echo""#) && !listed.contains("wipe"), "{status} {listed} {}", world.gateway.log_text());
    world.gateway.stop(&[]).unwrap();
}
