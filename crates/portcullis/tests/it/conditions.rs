//! Conditions and rules that ask, through the built binary: a moment that passes while a portal is open, and an OPA bundle
//! whose files change under a running gateway.

use crate::surroundings::{AGENTS, BINARY, eventually, server};
use jiff::{Timestamp, ToSpan as _};
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::shop;
use portcullis_testkit::wire::frontend::{bind, execute, parse, query, sync};
use portcullis_testkit::wire::{Frame, RawClient, outline};
use std::path::PathBuf;

const PROCESS: &str = r#"
bundle: process
applies_to: { connections: ["*"], principals: { groups: [agents] } }
rules:
  - id: process
    rego: { bundle: opa/, query: data.portcullis.decision, actions: [write] }
"#;

const MODULE: &str = r#"
package portcullis

default decision := "no-opinion"

decision := {"decision": "deny", "message": data.words.closed} if {
	some operation in input.operations
	operation.action == "delete"
	input.principal.user == "agent"
	input.connection.name == "shop"
	data.lib.open == false
}
"#;

fn gateway() -> Option<Gateway> {
    let server = server()?;
    let database = server.create_database("conditions", shop::SQL).unwrap();
    let settings = Settings::new(BINARY).plaintext().policy("agents", AGENTS).postgres("shop", server, &database);
    Some(settings.start().unwrap())
}

async fn login(gateway: &Gateway) -> RawClient {
    let token = gateway.token("agent", &["agents"]).unwrap();
    RawClient::login(&gateway.address("postgres").unwrap(), "agent", "shop", &token).await.unwrap()
}

fn said(heard: &[Frame]) -> String {
    heard.iter().filter(|frame| frame.tag == b'E').map(|frame| String::from_utf8_lossy(&frame.body)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_portal_is_refused_when_its_hour_is_over() {
    let Some(gateway) = gateway() else { return };
    let mut client = login(&gateway).await;
    let open = [
        query("BEGIN"),
        parse("", "SELECT a.id FROM orders a, orders b, orders c, orders d"),
        bind("p", "", &[]),
        execute("p", 1),
        sync(),
    ];
    // Where its hour was over before it was open, it is opened anew with a longer one.
    let mut ahead = 3_i64;
    let (until, mut heard) = loop {
        let until = Timestamp::now() + ahead.seconds();
        let hours = format!(
            "bundle: hours\nrules:\n  - id: over\n    deny: {{ actions: [read] }}\n    when: now >= timestamp(\"{until}\")\n    message: Come back tomorrow.\n"
        );
        gateway.write_policy("hours", &hours).unwrap();
        gateway.command(&["policy", "reload"]).unwrap();
        client.send(&open.concat()).await.unwrap();
        client.read_until_ready().await.unwrap();
        let heard = client.read_until_ready().await.unwrap();
        if !outline(&heard).contains("E:") {
            break (until, heard);
        }
        assert!(Timestamp::now() >= until && ahead < 100, "refused in its hour: {}", said(&heard));
        client.query("ROLLBACK").await.unwrap();
        ahead *= 3;
    };
    while !outline(&heard).starts_with("E:") {
        assert!(Timestamp::now() < until + 20.seconds(), "still let through: {}", outline(&heard));
        client.send(&[execute("p", 1), sync()].concat()).await.unwrap();
        heard = client.read_until_ready().await.unwrap();
    }
    assert_eq!(outline(&heard), "E:42501 Z:E");
    assert!(said(&heard).contains("hours/over"), "{}", said(&heard));
    assert!(Timestamp::now() >= until);
    client.query("ROLLBACK").await.unwrap();
    let heard = client.query("SELECT id FROM orders").await.unwrap();
    assert!(said(&heard).contains("Come back tomorrow."), "{}", said(&heard));
    // A later hour is a weaker rule, which a person takes and the watcher does not.
    gateway.stop(&["changed bundles are not taken"]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_asks_its_bundle_and_a_changed_bundle_is_taken_by_a_person() {
    let Some(gateway) = gateway() else { return };
    let opa: PathBuf = gateway.directory().join("policies/opa");
    std::fs::create_dir_all(opa.join("words")).unwrap();
    std::fs::write(opa.join("main.rego"), MODULE).unwrap();
    std::fs::write(opa.join("open.rego"), "package lib\n\nopen := false\n").unwrap();
    std::fs::write(opa.join("words/data.yaml"), "closed: The shop is closed.\n").unwrap();
    gateway.write_policy("process", PROCESS).unwrap();
    let mut client = login(&gateway).await;
    let delete = "DELETE FROM orders WHERE id = -1";
    eventually("the bundle is in force", || gateway.log_text().contains("changed bundles are in force"));
    let heard = client.query(delete).await.unwrap();
    assert!(
        said(&heard).contains("process/process") && said(&heard).contains("The shop is closed."),
        "{}",
        said(&heard)
    );
    let update = client.query("UPDATE orders SET status = status WHERE id = -1").await.unwrap();
    assert_eq!(outline(&update), "C:UPDATE 0 Z:I", "it has no opinion of that");

    // A module that changed, went or is a link elsewhere is not taken by itself.
    let refused = || gateway.log_text().matches("changed bundles are not taken").count();
    for (file, text) in
        [("open.rego", Some("package lib\n\nopen := true\n")), ("open.rego", None), ("main.rego", Some("package"))]
    {
        let before = refused();
        let kept = std::fs::read_to_string(opa.join(file)).unwrap();
        match text {
            Some(text) => std::fs::write(opa.join(file), text).unwrap(),
            None => std::fs::remove_file(opa.join(file)).unwrap(),
        }
        eventually("the files are refused", || refused() > before);
        assert!(said(&client.query(delete).await.unwrap()).contains("The shop is closed."), "{file}");
        std::fs::write(opa.join(file), kept).unwrap();
    }
    std::fs::write(opa.join("open.rego"), "package lib\n\nopen := true\n").unwrap();
    gateway.command(&["policy", "reload"]).unwrap();
    let heard = client.query(delete).await.unwrap();
    assert_eq!(outline(&heard), "C:DELETE 0 Z:I");

    std::fs::remove_file(opa.join("open.rego")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", opa.join("open.rego")).unwrap();
    let told = gateway.command(&["check"]).unwrap_err().to_string();
    assert!(told.contains("open.rego is a link to something else than a file of it"), "{told}");
    gateway.stop(&["changed bundles are not taken"]).unwrap();
}

#[test]
fn the_commands_read_bundles_and_show_conditions() {
    let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/rego/change-window/policy.yaml");
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(BINARY).args(arguments).arg(&fixture).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let told = run(&["policy", "test"]);
    assert!(told.ends_with("6 passed, 0 failed\n"), "{told}");
    let explain = ["policy", "explain", "--as", "agent-7", "--groups", "agents", "--on", "shop", "--sql"];
    let told = run(&[&explain[..], &["DROP TABLE orders"]].concat());
    assert!(told.contains("data.portcullis.decision says hold: 1 schema changes need a person."), "{told}");
}
