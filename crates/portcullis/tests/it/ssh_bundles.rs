//! The shipped bundles through all readers, as `policy test` reads their tests.
//!
//! Promises: every test of every bundle passes; every rule has a test of its own bundle that it decides and one that it
//! leaves alone, command lines, requests and tool calls included; a rule that opens sessions opens one, since no test can ask for that.
//! `crates/policy` holds the same for SQL alone, without a reader of command lines.

use portcullis_model::{
    Action, Connection, Decision, Effect, Fields, Name, Object, Operation, Part, Protocol, RuleId, SessionKind,
};
use portcullis_policy::{Case, Expectation, PolicySet, PolicyTest, SourceFile, TestCommand, run_test};
use std::path::Path;
use std::sync::Arc;

fn bundles() -> Vec<SourceFile> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    paths.sort();
    paths
        .iter()
        .map(|path| SourceFile::new(path.display().to_string(), std::fs::read_to_string(path).unwrap()))
        .collect()
}

fn operations(test: &PolicyTest) -> (Vec<Operation>, Option<Fields>) {
    let public = || portcullis_sql::Scope::assuming(Name::canonical("public"));
    let operations = match &test.command {
        TestCommand::Sql(text) => {
            let limits = portcullis_sql::Limits::default();
            portcullis_sql::read(text, portcullis_sql::Dialect::Postgres, &public(), &limits).operations()
        }
        TestCommand::Shell(line) => {
            let unknown = portcullis_shell::Scope::unknown();
            let scope = portcullis_shell::Scope { directory: Some("~".to_owned()), sql: public(), ..unknown };
            portcullis_shell::read(line, &scope, &portcullis_shell::Limits::default()).operations
        }
        TestCommand::Http { path, upgrade: true, .. } => vec![portcullis_http::upgrade_of(path).unwrap()],
        TestCommand::Http { method, path, upgrade: false } => vec![portcullis_http::endpoint_of(method, path).unwrap()],
        TestCommand::Model(model) => {
            vec![Operation::new(Action::Generate, Object::Model(Part::known(Arc::clone(model))))]
        }
        TestCommand::Tool { name, input } => return portcullis_http::call_of(name, input),
    };
    (operations, None)
}

fn connection(name: &Name) -> Connection {
    Connection {
        name: name.clone(),
        protocol: Protocol::Postgres,
        address: "".into(),
        database: None,
        login: "".into(),
    }
}

/// Every test of a set, with what is decided.
fn decided(set: &PolicySet) -> Vec<(&PolicyTest, Decision)> {
    let decide = |test| {
        let ((operations, fields), connection) = (operations(test), connection(&test.on));
        let outcome = run_test(set, test, &operations, fields.as_ref(), &connection);
        assert!(outcome.passed, "{}:{}: {outcome}", test.file, test.line);
        let case = Case {
            principal: &test.principal,
            connection: &connection,
            operations: &operations,
            home: None,
            fields: test.fields.as_deref(),
            at: test.at,
        };
        (test, set.decide(&case))
    };
    set.tests().iter().map(decide).collect()
}

/// Whether a rule opens some kind of session to whoever a test stands for.
fn opens(set: &PolicySet, rule: &RuleId) -> bool {
    let kinds = [SessionKind::Guarded, SessionKind::Sftp, SessionKind::Shell];
    set.tests().iter().any(|test| {
        let opened = |kind| set.opens(kind, &test.principal, &connection(&test.on), test.at);
        kinds.into_iter().any(|kind| opened(kind).matches.iter().any(|one| one.rule == *rule))
    })
}

#[test]
fn every_rule_of_every_shipped_bundle_is_hit_and_missed_by_its_own_tests() {
    let files = bundles();
    assert!(files.iter().any(|file| file.path.ends_with("agents-ssh.yaml")), "the bundles are there");
    for file in files {
        let set = PolicySet::load(std::slice::from_ref(&file)).unwrap().set;
        let decided = decided(&set);
        for rule in set.bundles().flat_map(|bundle| &bundle.rules) {
            let matches = |decision: &Decision| decision.matches.iter().any(|one| one.rule == rule.id);
            let hit = decided.iter().any(|(test, decision)| match &test.expect {
                Expectation::Deny(expected) | Expectation::Hold(expected) => *expected == rule.id,
                Expectation::Allow => rule.effect == Effect::Allow && matches(decision),
                Expectation::DenyByDefault => false,
            });
            let opened = rule.effect == Effect::Allow && opens(&set, &rule.id);
            assert!(hit || opened, "{}:{}: no test that {} decides", file.path, rule.line, rule.id);
            let missed = decided.iter().any(|(_, decision)| !matches(decision));
            assert!(missed, "{}:{}: no test that {} leaves alone", file.path, rule.line, rule.id);
        }
    }
}
