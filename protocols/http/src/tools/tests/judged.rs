//! Tool calls through sets of rules: what is said of a call has to be what rules, masks and fields meet.

use super::*;
use portcullis_model::{Connection, CredentialKind, Name, Principal, Protocol, Verdict};
use portcullis_policy::{Case, PolicySet, SourceFile, TestCommand, run_test};

/// A model on which everything is allowed but refunds, and a database with rules and a mask of its own.
const MODEL: &str = "bundle: model
applies_to: { connections: [claude] }
rules:
  - { id: all, allow: { actions: [any], objects: ['*'] } }
  - { id: refunds, deny: { actions: [call], objects: ['tool refund'], fields: { '$.amount': { min: 100 } } } }
";
const SHOP: &str = "bundle: shop
applies_to: { connections: [shop] }
rules:
  - { id: no-drop, deny: { actions: [drop] } }
  - { id: ask, hold: { actions: [update] }, approvers: { groups: [dba] } }
mask:
  - { id: pii, columns: [public.people.ssn], with: redact }
";

fn connection(name: &str, protocol: Protocol, address: &str) -> Connection {
    Connection { name: Name::canonical(name), protocol, address: address.into(), database: None, login: "".into() }
}

fn set() -> PolicySet {
    let files = [SourceFile::new("model.yaml", MODEL), SourceFile::new("shop.yaml", SHOP)];
    let set = PolicySet::load(&files).unwrap().set;
    set.with_connections([connection("shop", Protocol::Postgres, "10.0.0.7:5432")])
}

fn judged(name: &str, input: &str) -> &'static str {
    let command = read(name, input);
    assert_eq!(command.fault, None, "{input}");
    let principal = Principal {
        issuer: "test".into(),
        subject: "agent".into(),
        user: "agent".into(),
        groups: ["agents".into()].into(),
        claims: [].into(),
        credential: CredentialKind::Oidc,
    };
    let case = Case {
        principal: &principal,
        connection: &connection("claude", Protocol::Http, "api.example.com:443"),
        operations: command.operations(),
        home: None,
        fields: command.fields.as_deref(),
        at: "2026-01-05T10:00:00Z".parse().unwrap(),
    };
    match set().decide(&case).verdict {
        Verdict::Allow => "allow",
        Verdict::Deny(_) => "deny",
        Verdict::Hold(_) => "hold",
    }
}

#[test]
fn the_rules_and_masks_of_a_database_are_about_the_sql_of_a_call() {
    for (input, expected) in [
        (r#"{"sql":"SELECT name FROM public.people"}"#, "allow"),
        (r#"{"sql":"SELECT ssn FROM public.people"}"#, "deny"),
        (r#"{"sql":"SELECT * FROM people"}"#, "deny"),
        (r#"{"query":"SELECT ssn FROM public.people"}"#, "deny"),
        (r#"{"sql":"UPDATE t SET a = 1 WHERE b = 2"}"#, "hold"),
        (r#"{"sql":"DROP TABLE t"}"#, "deny"),
        (r#"{"x":"{\"y\":\"DROP TABLE t\"}"}"#, "deny"),
        (r#"{"cmd":"psql -c 'DROP TABLE t'"}"#, "deny"),
    ] {
        assert_eq!(judged("mcp__db__run_sql", input), expected, "{input}");
    }
}

#[test]
fn rules_with_fields_meet_the_input_of_a_call() {
    for (input, expected) in [
        (r#"{"amount":99}"#, "allow"),
        (r#"{"amount":100}"#, "deny"),
        (r#"{"amount":1e4,"note":"x"}"#, "deny"),
        ("{}", "allow"),
    ] {
        assert_eq!(judged("refund", input), expected, "{input}");
    }
}

/// The shipped bundles say of tool calls what their tests say.
#[test]
fn the_shipped_bundles_judge_calls_as_they_say() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let files: Vec<SourceFile> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| SourceFile::new(path.display().to_string(), std::fs::read_to_string(path).unwrap()))
        .collect();
    let set = PolicySet::load(&files).unwrap().set;
    let mut run = 0;
    for test in set.tests() {
        let TestCommand::Tool { name, input } = &test.command else { continue };
        let here = connection(test.on.as_str(), Protocol::Http, "");
        let call = read(name, input);
        let outcome = run_test(&set, test, call.operations(), call.fields.as_deref(), &here);
        assert!(outcome.passed, "{}:{}: {outcome}", test.file, test.line);
        run += 1;
    }
    assert!(run > 5, "{run}");
    assert!(set.bundles().count() > 3);
}
