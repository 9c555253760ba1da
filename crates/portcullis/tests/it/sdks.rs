//! The vendors' own SDKs, unchanged, through the gateway to services that say what a provider would say.
//!
//! Each runs its own program of checks (`tests/drivers/sdks`) with the gateway as its base URL and a token of the gateway's
//! as its key. What they share with `http_models.rs` is what rules say; these say that an SDK understands it: which error it
//! raises, how often it asks again, what its caller reads.

mod completions;
mod messages;
mod responses;
mod tool_server;

use crate::http_models::TOOLS_AND_MASKS;
use crate::surroundings::{BINARY, fetched, succeed};
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::http::{Answers, Asked, Service};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

const RULES: &str = r#"
bundle: sdks
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: models
    allow: { actions: [generate], objects: ["model claude-*", "model gpt-*", "model text-embedding-*"] }
  - id: listings
    allow: { actions: [read], objects: ["endpoint GET /v1/models", "endpoint GET /v1/models/*"] }
  - id: tools
    allow: { actions: [call], objects: ["tool {Bash,run_sql,echo,DeferredToolPlaceholder}", "tool mcp__tools__*"] }
  - id: people
    hold: { actions: [execute], objects: ["program id"] }
    approvers: { groups: [people] }
    expires: 1s"#;

const BUDGETS: &str = r#"
budgets:
  - { id: large, models: ["*-large"], tokens_per_day: 10 }
"#;

const KEY: &str = "provider-key-7c20";

struct World {
    service: Service,
    gateway: Gateway,
    token: String,
}

impl World {
    fn open() -> Self {
        let answers: Answers = Arc::new(|asked: &Asked| match asked.target().split('?').next() {
            Some(path) if path.starts_with("/anthropic/") => messages::answered(asked),
            Some("/openai/v1/responses") => responses::answered(asked),
            Some(path) if path.starts_with("/openai/") => completions::answered(asked),
            _ => tool_server::answered(asked),
        });
        let service = Service::start(answers).unwrap();
        let at = service.address();
        let connection = |api: &str, header: &str| {
            format!(
                "{{ protocol: http, upstream: \"http://{at}/{api}\", api: {api}, headers: {{ {header}: {{ env: PROVIDER_KEY }} }} }}"
            )
        };
        let settings = Settings::new(BINARY)
            .environment("PROVIDER_KEY", KEY)
            .connection("claude", &connection("anthropic", "x-api-key"))
            .connection("gpt", &connection("openai", "authorization"))
            .connection("tools", &connection("mcp", "authorization"))
            .policy("sdks", &[RULES, TOOLS_AND_MASKS, BUDGETS].concat());
        let gateway = settings.start().unwrap();
        let token = gateway.token("agent", &["agents"]).unwrap();
        Self { service, gateway, token }
    }

    /// The program of checks, with nothing of its surroundings but what says where the gateway is and whom it trusts.
    fn play(&self, mut command: Command, connection: &str) -> String {
        let address = self.gateway.address("http").unwrap();
        let ca = self.gateway.ca_file();
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.gateway.directory()).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("SSL_CERT_FILE", &ca).env("NODE_EXTRA_CA_CERTS", &ca);
        command.env("PORTCULLIS_TEST_URL", format!("https://{address}/{connection}"));
        command.env("PORTCULLIS_TEST_TOOLS", format!("https://{address}/tools/"));
        command.env("PORTCULLIS_TEST_TOKEN", &self.token);
        let said = succeed(&mut command);
        assert!(said.trim_end().ends_with("checks passed"), "{said}\n{}", self.gateway.log_text());
        said
    }

    /// What the services were sent, after the gateway has ended well.
    fn end(self, listed: &[&str]) -> String {
        let connections = self.service.ledger().connections();
        let sent: String = connections.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        assert!(sent.contains(KEY) && !sent.contains(&self.token), "{sent}");
        self.gateway.stop(listed).unwrap();
        sent
    }
}

fn program(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/sdks").join(name)
}

fn python(script: &str) -> Option<Command> {
    let mut command = Command::new(fetched("python-sdks/bin/python")?);
    command.arg(program(script));
    Some(command)
}

fn node(modules: &str, script: &str) -> Option<Command> {
    let modules = fetched(modules)?;
    let mut command = Command::new("node");
    // `import` goes by no search path, so programs are told where the packages are.
    command.arg(program(script)).arg(modules);
    Some(command)
}

/// What every SDK for the Messages API must have sent on, and what must not have passed.
fn holds_for_messages(sent: &str) {
    for part in [
        "x-stainless-lang: ",
        "anthropic-version: ",
        "anthropic-beta: token-counting-2024-11-01",
        "my mail is [redacted]",
    ] {
        assert!(sent.contains(part), "{part}: {sent}");
    }
    for part in ["me@home.example", "other-model", "claude-large"] {
        assert!(!sent.contains(part), "{part}: {sent}");
    }
}

#[test]
fn anthropic_for_python() {
    let Some(command) = python("anthropic_checks.py") else { return };
    let world = World::open();
    world.play(command, "claude");
    holds_for_messages(&world.end(&["an answer failed"]));
}

#[test]
fn anthropic_for_typescript() {
    let Some(command) = node("node-sdks/node_modules", "node/anthropic.mjs") else { return };
    let world = World::open();
    world.play(command, "claude");
    holds_for_messages(&world.end(&["an answer failed"]));
}

#[test]
fn openai_for_python() {
    let Some(command) = python("openai_checks.py") else { return };
    let world = World::open();
    world.play(command, "gpt");
    let sent = world.end(&["an answer failed"]);
    assert!(sent.contains("x-stainless-lang: ") && sent.contains("my mail is [redacted]"), "{sent}");
    assert_eq!(
        sent.matches("POST /openai/v1/responses ").count(),
        sent.matches(r#"{"store":false,"#).count(),
        "{sent}"
    );
    for part in ["me@home.example", "other-model", "gpt-large", "item_reference", "resp_0", r#""store":true"#] {
        assert!(!sent.contains(part), "{part}: {sent}");
    }
}

#[test]
fn mcp_for_python() {
    let Some(command) = python("mcp_checks.py") else { return };
    let world = World::open();
    world.play(command, "tools");
    let sent = world.end(&[]);
    for part in [r#""method":"initialize""#, r#""method":"server/discover""#, "mcp-session-id: server-session-41"] {
        assert!(sent.contains(part), "{part}: {sent}");
    }
    for part in ["DROP TABLE", r#""name":"wipe""#] {
        assert!(!sent.contains(part), "{part}: {sent}");
    }
}

/// The agent: what it was allowed ran, and what it was refused did not; a program in place of `psql` tells.
#[test]
fn claude_agent_for_typescript() {
    let Some(mut command) = node("node-agent/node_modules", "agent/agent.mjs") else { return };
    let world = World::open();
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("a-file-that-only-ls-knows"), "").unwrap();
    command.arg(place.path());
    world.play(command, "claude");
    assert!(!place.path().join("psql-ran").exists());
    let sent = world.end(&[]);
    for part in ["a-file-that-only-ls-knows", "user-agent: claude-cli/", "user-agent: claude-code/"] {
        assert!(sent.contains(part), "{part}: {sent}");
    }
}
