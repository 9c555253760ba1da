//! Commands that wait for people, end to end: psql, ssh and curl in front, an identity provider beside, and a person who
//! decides with the command line.
//!
//! Promises: each way that a wait can end has the outcome it should at the server, at the client and in the record.

use crate::surroundings::{BINARY, eventually, found, libpq_client, server};
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::http::{Answers, Asked, Service, answer, chunked};
use portcullis_testkit::idp::{Algorithm, By, Provider, Settings as People};
use portcullis_testkit::ssh::{Sshd, keygen};
use portcullis_testkit::{Postgres, or_skip, shop};
use serde_json::{Value, json};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const HELD: &str = r#"
bundle: held
applies_to: { connections: ["*"], principals: { groups: [agents, dba] } }
rules:
  - id: look
    allow: { actions: [read], objects: ["table public.*"] }
  - id: change
    allow: { actions: [write], objects: ["table public.*"] }
  - id: ask
    hold: { actions: [delete], objects: ["table public.order_items"] }
    approvers: { groups: [dba] }
    message: Deleting items needs a second pair of eyes.
  - id: both
    hold: { actions: [delete], objects: ["table public.payments"] }
    approvers: { groups: [dba] }
    approvals: 2
  - id: short
    hold: { actions: [delete], objects: ["table public.shipments"] }
    approvers: { groups: [dba] }
    expires: 1s
  - id: often
    hold: { actions: [update], objects: ["table public.products"] }
    approvers: { groups: [dba] }
    grant: 30m
  - id: explained
    hold: { actions: [delete], objects: ["table public.products"] }
    approvers: { groups: [dba] }
    reason: required
  - id: programs
    hold: { actions: [execute], objects: ["program touch"] }
    approvers: { groups: [dba] }
    grant: 30m
  - id: files
    allow: { actions: [read, insert, update], objects: ["file **"] }
  - id: services
    hold: { actions: [insert], objects: ["endpoint POST /refunds"] }
    approvers: { groups: [dba] }
    grant: 30m
  - id: models
    allow: { actions: [generate], objects: ["model claude-*"] }
  - id: tools
    allow: { actions: [call], objects: ["tool Bash"] }
"#;

/// A gateway whose people log in at a provider.
pub(crate) struct World {
    pub(crate) provider: Provider,
    pub(crate) gateway: Gateway,
}

impl World {
    pub(crate) fn open(settings: Settings, identity: &str) -> Self {
        Self::with(People::for_tests(), settings, identity)
    }

    /// With these people and programs.
    pub(crate) fn with(people: People, settings: Settings, identity: &str) -> Self {
        Self::trusting("", people, settings, identity)
    }

    /// With these further keys of the provider as YAML flow, each behind a comma.
    pub(crate) fn trusting(more: &str, people: People, settings: Settings, identity: &str) -> Self {
        let provider = Provider::start(people).unwrap();
        let identity = format!(
            "identity:\n  oidc: [{{ issuer: \"{}\", audience: portcullis, groups_claim: groups{more} }}]\n  \
             roles: {{ admin: [platform], approver: [dba], auditor: [audit] }}\n{identity}",
            provider.issuer()
        );
        let gateway = settings.policy("held", HELD).extra(&identity).start().unwrap();
        Self { provider, gateway }
    }

    /// A person's token, who logged in this many seconds ago.
    pub(crate) fn login(&self, user: &str, group: &str, ago: u64) -> String {
        self.login_for(user, group, ago, 3600)
    }

    /// The same, which lasts this many seconds.
    pub(crate) fn login_for(&self, user: &str, group: &str, ago: u64, seconds: u64) -> String {
        let mut claims = self.provider.claims(user);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        claims["groups"] = json!([group]);
        claims["auth_time"] = json!(now - ago);
        claims["exp"] = json!(now + seconds);
        let header = self.provider.header(Algorithm::ES256).to_string();
        self.provider.mint(By::Its(Algorithm::ES256), &header, &claims.to_string()).unwrap()
    }

    pub(crate) fn dana(&self) -> String {
        self.login("dana", "dba", 5)
    }

    pub(crate) fn agent(&self) -> String {
        self.gateway.token("agent-7", &["agents"]).unwrap()
    }

    /// `portcullis approvals …` of somebody with this token.
    pub(crate) fn approvals(&self, words: &[&str], token: &str) -> Output {
        let mut command = Command::new(BINARY);
        command.arg("approvals").args(words).args(["--gateway", &self.gateway.address("console").unwrap()]);
        command.arg("--ca").arg(self.gateway.ca_file()).env("PORTCULLIS_TOKEN", token);
        command.output().unwrap()
    }

    pub(crate) fn decide(&self, word: &str, id: &str, token: &str) {
        let output = self.approvals(&[word, id], token);
        assert!(output.status.success(), "{}", told(&output));
    }

    /// Every request that is kept, newest last.
    pub(crate) fn requests(&self) -> Vec<Value> {
        let output = self.approvals(&["list", "--all", "--json"], &self.login("fay", "audit", 0));
        assert!(output.status.success(), "{}", told(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The request that waits, once there is one.
    pub(crate) fn waiting(&self) -> String {
        let open = |request: &Value| request["state"] == "open";
        let Some(request) = found(|| self.requests().into_iter().find(open)) else {
            let (requests, log) = (self.requests(), self.gateway.log_text());
            panic!("no request for approval within 30 s: {requests:?}\n{log}\n{}", self.recorded());
        };
        request["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn becomes(&self, id: &str, state: &str) {
        eventually(&format!("the request {state}"), || {
            self.requests().iter().any(|request| request["id"] == id && request["state"] == state)
        });
    }

    /// Every event of the record, the gateway's own among them.
    pub(crate) fn recorded(&self) -> String {
        self.gateway.command(&["sessions", "export"]).unwrap().replace("\\\"", "\"")
    }

    /// What the record says of approvals in the newest session that has any.
    fn verdicts(&self) -> Vec<String> {
        let listed = self.gateway.command(&["sessions", "list", "--json"]).unwrap();
        let mut verdicts = Vec::new();
        for line in listed.lines() {
            let session: Value = serde_json::from_str(line).unwrap();
            let shown = self.gateway.command(&["sessions", "show", session["id"].as_str().unwrap(), "--json"]).unwrap();
            for event in shown.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
                if event["type"] == "approval.settled" {
                    verdicts.push(event["verdict"].as_str().unwrap().to_owned());
                }
            }
        }
        verdicts
    }
}

/// A shop behind it.
pub(crate) struct Shop {
    pub(crate) world: World,
    server: &'static Postgres,
    database: String,
}

impl Shop {
    fn open() -> Option<Self> {
        Self::open_with("")
    }

    /// With these lines behind its section of identities.
    pub(crate) fn open_with(lines: &str) -> Option<Self> {
        let server = server()?;
        let database = server.create_database("held", shop::SQL).unwrap();
        let world = World::open(Settings::new(BINARY).postgres("shop", server, &database), lines);
        Some(Self { world, server, database })
    }

    fn psql(&self, sql: &[&str], token: &str) -> Child {
        self.psql_with(sql, token, "")
    }

    /// With these options of the server.
    pub(crate) fn psql_with(&self, sql: &[&str], token: &str, options: &str) -> Child {
        let dsn = self.world.gateway.dsn("shop", "token", token).unwrap();
        let mut command = libpq_client("psql", &dsn).unwrap();
        command.arg("-X").args(sql.iter().flat_map(|sql| ["-c", sql]));
        if !options.is_empty() {
            command.env("PGOPTIONS", options);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn count(&self, table: &str) -> u32 {
        self.server.run_sql(&self.database, &format!("SELECT count(*) FROM {table}")).unwrap().trim().parse().unwrap()
    }
}

pub(crate) fn said(child: Child) -> String {
    told(&child.wait_with_output().unwrap())
}

pub(crate) fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn an_approved_delete_runs_once_in_the_session_that_asked() {
    let Some(shop) = Shop::open() else { return };
    let (world, delete) = (&shop.world, "DELETE FROM order_items WHERE order_id = 1");
    let (before, dana) = (shop.count("order_items"), world.dana());
    let client = shop.psql(&[delete, "SELECT 'still here'"], &world.agent());
    let id = world.waiting();
    assert_eq!(shop.count("order_items"), before, "it waits");
    let words = told(&world.approvals(&["show", &id], &dana));
    for expected in [delete, "agent-7", "held/ask", "delete table public.order_items"] {
        assert!(words.contains(expected), "{expected} in {words}");
    }
    world.decide("approve", &id, &dana);
    let words = said(client);
    for expected in ["DELETE ", "still here", &format!("waiting for approval {id}")] {
        assert!(words.contains(expected), "{expected} in {words}");
    }
    assert!(shop.count("order_items") < before);
    assert!(!world.approvals(&["approve", &id], &dana).status.success(), "it is used");
    // The same command asks anew: one approval is one use.
    let client = shop.psql(&[delete], &world.agent());
    let second = world.waiting();
    assert_ne!(second, id);
    world.decide("reject", &second, &dana);
    let words = said(client);
    assert!(words.contains("ERROR") && words.contains("was refused"), "{words}");
    let mut verdicts = world.verdicts();
    verdicts.sort();
    assert_eq!(verdicts, ["approved", "rejected"]);
    shop.world.gateway.stop(&[]).unwrap();
}

#[test]
fn nobody_decides_for_themselves_and_two_are_two() {
    let Some(shop) = Shop::open() else { return };
    let world = &shop.world;
    // Dana asks as herself; neither she nor an old login nor a token of the gateway decides.
    let client = shop.psql(&["DELETE FROM payments WHERE false"], &world.dana());
    let id = world.waiting();
    let token = world.gateway.token("gus", &["dba"]).unwrap();
    for (who, expected) in [
        (world.dana(), "whoever asked"),
        (world.login("erin", "dba", 400), "log in again"),
        (token, "interactive"),
        (world.login("alice", "agents", 1), "approver"),
    ] {
        let output = world.approvals(&["approve", &id], &who);
        assert!(!output.status.success() && told(&output).contains(expected), "{expected} in {}", told(&output));
    }
    let two = ["erin", "gus"].map(|user| world.login(user, "dba", 1));
    std::thread::scope(|scope| {
        two.iter().for_each(|token| drop(scope.spawn(|| world.decide("approve", &id, token))));
    });
    let words = said(client);
    assert!(words.contains("DELETE 0"), "{words}");
    shop.world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_wait_ends_when_its_time_is_up_or_nobody_waits_any_more() {
    let Some(shop) = Shop::open() else { return };
    let (world, delete) = (&shop.world, "DELETE FROM order_items WHERE order_id = 1 AND product_id < 2");
    let before = shop.count("order_items");
    let words = said(shop.psql(&["DELETE FROM shipments WHERE false", "SELECT 'still here'"], &world.agent()));
    assert!(words.contains("ERROR") && words.contains("still here"), "{words}");
    // Ctrl-C: the statement is given up, the session is not.
    let client = shop.psql(&[delete], &world.agent());
    let id = world.waiting();
    signal(&client, "INT");
    world.becomes(&id, "withdrawn");
    assert!(said(client).contains("ERROR"));
    // The client is gone.
    let client = shop.psql(&[delete], &world.agent());
    let gone = world.waiting();
    signal(&client, "KILL");
    drop(said(client));
    world.becomes(&gone, "withdrawn");
    for id in [&id, &gone] {
        assert!(!world.approvals(&["approve", id], &world.dana()).status.success());
    }
    assert_eq!(shop.count("order_items"), before);
    let mut verdicts = world.verdicts();
    verdicts.sort();
    assert_eq!(verdicts, ["expired", "withdrawn", "withdrawn"]);
    shop.world.gateway.stop(&[]).unwrap();
}

#[test]
fn the_gateways_own_limit_ends_a_wait_before_the_rules_does() {
    let Some(shop) = Shop::open_with("limits: { approval_wait: 1s }\n") else { return };
    let words =
        said(shop.psql(&["DELETE FROM order_items WHERE order_id = 1", "SELECT 'still here'"], &shop.world.agent()));
    for expected in ["Undecided in 1 s", "ran out", "still here"] {
        assert!(words.contains(expected), "{expected} in {words}");
    }
    shop.world.gateway.stop(&[]).unwrap();
}

#[test]
fn an_approval_does_not_outlive_the_policy_or_the_gateway_that_it_was_asked_under() {
    let Some(mut shop) = Shop::open() else { return };
    let before = shop.count("order_items");
    let client = shop.psql(&["DELETE FROM order_items WHERE order_id = 1 AND product_id < 3"], &shop.world.agent());
    let id = shop.world.waiting();
    let stricter = HELD
        .replace("  - id: look\n", "  - id: never\n    deny: { actions: [delete], objects: [\"*\"] }\n  - id: look\n");
    shop.world.gateway.write_policy("held", &stricter).unwrap();
    shop.world.gateway.command(&["policy", "reload"]).unwrap();
    shop.world.decide("approve", &id, &shop.world.dana());
    let words = said(client);
    assert!(words.contains("ERROR"), "{words}");
    shop.world.gateway.write_policy("held", HELD).unwrap();
    shop.world.gateway.command(&["policy", "reload"]).unwrap();
    let client = shop.psql(&["DELETE FROM order_items WHERE order_id = 1 AND product_id < 3"], &shop.world.agent());
    let id = shop.world.waiting();
    shop.world.gateway.kill().unwrap();
    shop.world.gateway.restart().unwrap();
    drop(said(client));
    shop.world.becomes(&id, "withdrawn");
    assert!(!shop.world.approvals(&["approve", &id], &shop.world.dana()).status.success());
    assert_eq!(shop.count("order_items"), before);
    shop.world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_held_program_waits_in_its_ssh_session() {
    let Some(server) = or_skip(Sshd::shared()) else { return };
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("key");
    keygen(&key).unwrap();
    let identity = format!(
        "  ssh_keys: [{{ user: agent-7, groups: [agents], file: \"{}\" }}]\n",
        key.with_extension("pub").display()
    );
    let world = World::open(Settings::new(BINARY).ssh("box", server), &identity);
    let work = crate::ssh::directory(server);
    let ssh = |name: &str| {
        let address = world.gateway.address("ssh").unwrap();
        let mut command = Command::new("ssh");
        command.args(["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"]);
        command.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-i"]).arg(&key);
        command.args(["-p", address.rsplit_once(':').unwrap().1, "box@127.0.0.1"]);
        command.args(["-o", "SetEnv=PORTCULLIS_REASON=nightly"]);
        command.arg(format!("touch {}", work.join(name).display()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let client = ssh("yes");
    let id = world.waiting();
    assert!(!work.join("yes").exists());
    let words = told(&world.approvals(&["show", &id], &world.dana()));
    assert!(words.contains("because     nightly"), "{words}");
    world.decide("approve", &id, &world.dana());
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success() && told(&output).contains(&id), "{}", told(&output));
    assert!(work.join("yes").exists());
    let client = ssh("no");
    world.decide("reject", &world.waiting(), &world.dana());
    let output = client.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(126), "{}", told(&output));
    for expected in ["rule held/programs", "was refused by dana", "Speak with the person", "decision "] {
        assert!(told(&output).contains(expected), "{expected} in {}", told(&output));
    }
    let client = ssh("gone");
    let id = world.waiting();
    signal(&client, "KILL");
    drop(said(client));
    world.becomes(&id, "withdrawn");
    assert!(!work.join("no").exists() && !work.join("gone").exists());
    let client = ssh("granted");
    let output = world.approvals(&["approve", &world.waiting(), "--for", "20m"], &world.dana());
    assert!(output.status.success(), "{}", told(&output));
    assert!(client.wait_with_output().unwrap().status.success());
    let output = ssh("under").wait_with_output().unwrap();
    assert!(output.status.success() && told(&output).is_empty(), "{}", told(&output));
    assert!(work.join("granted").exists() && work.join("under").exists());
    world.gateway.stop(&[]).unwrap();
}

#[test]
fn a_held_request_and_a_held_tool_call_wait_over_http() {
    let service = Service::start(script()).unwrap();
    let at = service.address();
    let upstream = |api: &str| format!("{{ protocol: http, upstream: \"http://{at}\", api: {api} }}");
    let settings =
        Settings::new(BINARY).connection("crm", &upstream("rest")).connection("claude", &upstream("anthropic"));
    let world = World::open(settings, "");
    let token = world.agent();
    let post = |path: &str, body: &str| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "60", "--write-out", "\n%{http_code}", "--cacert"]);
        command.arg(world.gateway.ca_file()).args(["-H", &format!("Authorization: Bearer {token}")]);
        command.args(["-H", "portcullis-reason: ticket 42"]);
        command.args(["-H", "content-type: application/json", "-H", "anthropic-version: 2023-06-01", "-d", body]);
        command.arg(format!("https://{}{path}", world.gateway.address("http").unwrap()));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let refunds = || {
        let written = service.ledger().connections().concat();
        String::from_utf8_lossy(&written).matches("POST /refunds").count()
    };
    let client = post("/crm/refunds", r#"{"amount": 5}"#);
    let id = world.waiting();
    assert_eq!(refunds(), 0);
    let words = told(&world.approvals(&["show", &id], &world.dana()));
    assert!(words.contains("POST /refunds") && words.contains("amount"), "{words}");
    assert!(words.contains("because     ticket 42"), "{words}");
    world.decide("approve", &id, &world.dana());
    assert!(said(client).contains("\n200"));
    assert_eq!(refunds(), 1);
    let client = post("/crm/refunds", r#"{"amount": 6}"#);
    world.decide("reject", &world.waiting(), &world.dana());
    let words = said(client);
    for expected in
        ["\n403", "held/services", "was refused by dana", "Speak with the person", "\"decision\"", "\"approval\""]
    {
        assert!(words.contains(expected), "{expected} in {words}");
    }
    let client = post("/crm/refunds", r#"{"amount": 7}"#);
    let id = world.waiting();
    signal(&client, "KILL");
    drop(said(client));
    world.becomes(&id, "withdrawn");
    assert_eq!(refunds(), 1);
    let client = post("/crm/refunds", r#"{"amount": 8}"#);
    let output = world.approvals(&["approve", &world.waiting(), "--for", "20m"], &world.dana());
    assert!(output.status.success(), "{}", told(&output));
    assert!(said(client).contains("\n200"));
    assert!(said(post("/crm/refunds", r#"{"amount": 9}"#)).contains("\n200"), "under the grant");
    let written = service.ledger().connections().concat();
    assert!(!String::from_utf8_lossy(&written).contains("ticket 42"), "the reason goes no further");
    assert_eq!(refunds(), 3);
    let ask = r#"{"model":"claude-small","max_tokens":64,"stream":true,"tools":[{"name":"Bash","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"go"}]}"#;
    for (word, expected) in [("approve", "touch /tmp/x"), ("reject", "refused")] {
        let client = post("/claude/v1/messages", ask);
        world.decide(word, &world.waiting(), &world.dana());
        let words = said(client);
        assert!(words.contains(expected) && words.contains("message_stop"), "{words}");
        assert_eq!(words.contains("touch /tmp/x\\\""), word == "approve", "{words}");
    }
    world.gateway.stop(&[]).unwrap();
}

/// A service that takes refunds, and a model that wants to touch a file.
fn script() -> Answers {
    Arc::new(|asked: &Asked| match asked.target() {
        "/v1/messages" => chunked("text/event-stream", &[&proposes("touch /tmp/x")]),
        _ => answer("200 OK", "application/json", b"{}"),
    })
}

/// The stream of a model that wants this line run.
pub(crate) fn proposes(line: &str) -> String {
    let input = format!(r#"{{\"command\":\"{line}\"}}"#);
    [
        r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-small","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}"#.to_owned(),
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"toolu_1","name":"Bash","input":{}}}"#.to_owned(),
        format!(r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"input_json_delta","partial_json":"{input}"}}}}"#),
        r#"{"type":"content_block_stop","index":0}"#.to_owned(),
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":7}}"#.to_owned(),
        r#"{"type":"message_stop"}"#.to_owned(),
    ]
    .map(|data| {
        let kind = data.split('"').nth(3).unwrap();
        format!("event: {kind}\ndata: {data}\n\n")
    })
    .concat()
}
