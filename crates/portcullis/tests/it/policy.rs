//! What the policy commands say of a database: which columns would be masked and why, and where masks may not say what was
//! meant.

use crate::surroundings::{AGENTS, BINARY, libpq_client, server};
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::shop;

const MASKS: &str = r#"
bundle: masks
mask:
  - id: personal
    columns: [public.customers.email, public.customers.ssn]
    with: redact
    unless: { groups: [owners] }
  - id: nobody-has-it
    columns: [public.customers.shoe_size]
    with: redact
  - id: clean
    functions: { clean: [public.peek] }
"#;

/// A trigger that copies, and a function that reads, what is protected.
const LEAKS: &str = "
CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER copies AFTER UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION public.keep();
CREATE FUNCTION public.peek() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM public.customers LIMIT 1';
CREATE VIEW public.contacts_of AS SELECT id, email AS reach, lower(ssn) AS low FROM customers;
";

fn gateway() -> Option<Gateway> {
    let server = server()?;
    let database = server.create_database("policy", &format!("{}\n{LEAKS}", shop::SQL)).unwrap();
    let settings = Settings::new(BINARY).policy("agents", AGENTS).policy("masks", MASKS);
    Some(settings.postgres("shop", server, &database).start().unwrap())
}

fn explain(gateway: &Gateway, groups: &str, sql: &str) -> String {
    let words = ["policy", "explain", "--as", "someone", "--groups", groups, "--on", "shop", "--sql", sql];
    match gateway.command(&words) {
        Ok(told) => told,
        // A denial is exit code 1, and is told all the same.
        Err(error) => error.to_string(),
    }
}

/// What is said of this column.
fn line<'t>(told: &'t str, column: &str) -> &'t str {
    let lines = told.lines().skip_while(|line| !line.starts_with("columns of the result"));
    let mut found = lines.filter(|line| line.split_whitespace().next() == Some(column));
    found.next().unwrap_or_else(|| panic!("{column} is not in {told}"))
}

#[test]
fn explain_says_of_each_column_what_becomes_of_it_and_why() {
    let Some(gateway) = gateway() else { return };
    let told = explain(&gateway, "agents", "SELECT id, email AS contact, upper(ssn) AS loud FROM customers");
    assert!(line(&told, "id").ends_with("shown"), "{told}");
    assert!(line(&told, "contact").contains("masked  by masks/personal: provenance"), "{told}");
    assert!(line(&told, "loud").contains("NULL  by masks/personal: lineage"), "{told}");
    let view = explain(&gateway, "agents", "SELECT reach, low FROM contacts_of");
    assert!(line(&view, "reach").contains("masked  by masks/personal"), "{view}");
    assert!(line(&view, "low").contains("NULL  by masks/personal"), "{view}");
    let exempt = explain(&gateway, "agents,owners", "SELECT email FROM customers");
    assert!(line(&exempt, "email").ends_with("shown"), "{exempt}");
    let refused = explain(&gateway, "agents", "SELECT id FROM customers ORDER BY ssn");
    assert!(refused.contains("+infers-protected") && refused.contains("public.customers.ssn"), "{refused}");
    gateway.stop(&[]).unwrap();
}

#[test]
fn check_warns_of_masks_that_miss_and_of_ways_around_them() {
    let Some(gateway) = gateway() else { return };
    let told = gateway.command(&["check"]).unwrap();
    assert!(told.contains("`masks/nobody-has-it` names no column"), "{told}");
    assert!(told.contains("trigger `copies` on public.customers runs public.keep"), "{told}");
    assert!(told.contains("public.peek is called clean, and its text names public.customers"), "{told}");
    assert!(told.contains("0 errors"), "{told}");
    gateway.stop(&[]).unwrap();
}

#[test]
fn a_command_line_is_explained_and_tested_as_it_would_run() {
    let bundle = r#"
bundle: build-box
rules:
  - id: read
    allow: { actions: [execute, read], objects: ["program {ls,cat,make}", "file **"] }
  - id: no-deletes
    deny: { actions: [delete], objects: ["file **"] }
tests:
  - { as: { user: a }, on: box, shell: "cat notes.txt", expect: allow }
  - { as: { user: a }, on: box, shell: "find . -name '*.o' -exec rm {} +", expect: deny no-deletes }
  - { as: { user: a }, on: box, shell: "sh -c 'rm -rf build'", expect: deny no-deletes }
  - { as: { user: a }, on: box, shell: "echo cm0gLXJmIC8= | base64 -d | sh", expect: deny }
"#;
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("build-box.yaml");
    std::fs::write(&file, bundle).unwrap();
    let run = |words: &[&str]| {
        let output = std::process::Command::new(BINARY).arg("policy").args(words).arg(&file).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, told) = run(&["test"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("4 passed, 0 failed"), "{told}");
    let (code, told) = run(&["explain", "--as", "a", "--on", "box", "--shell", "sudo rm -rf /srv"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("delete file /srv") && told.contains("privileged"), "{told}");
}

#[test]
fn a_request_is_explained_and_tested_with_its_body() {
    let bundle = r#"
bundle: crm
rules:
  - id: read
    allow: { actions: [read], objects: ["endpoint * /orders/**"] }
  - id: small-orders
    allow: { actions: [insert], objects: ["endpoint POST /orders"], fields: { "$.amount": { max: 1000 } } }
  - id: no-refunds
    deny: { fields: { "$.kind": [refund] } }
tests:
  - { as: { user: a }, on: crm, http: GET /orders/7, expect: allow }
  - { as: { user: a }, on: crm, http: DELETE /orders/7, expect: deny }
  - { as: { user: a }, on: crm, http: POST /orders, body: { amount: 1000 }, expect: allow }
  - { as: { user: a }, on: crm, http: POST /orders, body: { amount: 1000.01 }, expect: deny }
  - { as: { user: a }, on: crm, http: POST /orders, body: { amount: 1, kind: refund }, expect: deny no-refunds }
  - { as: { user: a }, on: crm, http: POST /orders, expect: deny }
"#;
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("crm.yaml");
    std::fs::write(&file, bundle).unwrap();
    let run = |words: &[&str]| {
        let output = std::process::Command::new(BINARY).arg("policy").args(words).arg(&file).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, told) = run(&["test"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("6 passed, 0 failed"), "{told}");
    let explain = ["explain", "--as", "a", "--on", "crm", "--http"];
    let asked = |words: &[&str]| run(&[&explain[..], words].concat());
    let (code, told) = asked(&["POST /orders", "--body", r#"{"amount": 5000}"#]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("crm/small-orders") && told.contains("[$.amount is 5000]"), "{told}");
    assert_eq!(asked(&["GET /orders/7"]).0, Some(0));
    assert_eq!(asked(&["GET /orders//7"]).0, Some(2));
}

#[test]
fn a_changed_bundle_is_tried_on_what_is_recorded() {
    let Some(gateway) = gateway() else { return };
    let dsn = gateway.dsn("shop", "token", &gateway.token("agent-7", &["agents"]).unwrap()).unwrap();
    let run = |sql: &str| libpq_client("psql", &dsn).unwrap().args(["-Xc", sql]).output().unwrap().status.success();
    let erase = "DELETE FROM order_items WHERE order_id = 1";
    assert!(run("SELECT count(*) FROM products") && run(erase) && run(erase) && !run("DELETE FROM order_items"));
    let changed = AGENTS
        .replace("rules:\n", "rules:\n  - id: kept\n    deny: { actions: [delete], objects: [\"table public.*\"] }\n");
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("changed.yaml");
    std::fs::write(&file, changed).unwrap();
    let diff = |more: &[&str]| {
        let words = [&["policy", "diff", "--bundle", file.to_str().unwrap()], more].concat();
        gateway.command(&words).unwrap()
    };
    let told = diff(&[]);
    assert!(told.contains("agent-7 on shop: allow -> deny: ") && told.contains("agents/kept"), "{told}");
    assert!(told.contains("recorded: allow, 2 times\n") && told.contains(erase), "{told}");
    let summary = told.lines().last().unwrap();
    // What the clients asked by themselves is judged, too, and what was refused stays refused.
    assert!(summary.starts_with("2 of ") && summary.ends_with(" commands would be decided otherwise"), "{told}");
    let lines = diff(&["--json"]);
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["recorded"], &lines[0]["changed"]), (&"allow".into(), &"deny".into()));
    assert_eq!(diff(&["--since", "0ms"]), "0 of 0 commands would be decided otherwise\n");
    let output = gateway.command_line(&["policy", "diff", "--bundle", "none.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    gateway.stop(&[]).unwrap();
}
