//! The bundles that are shipped, and the one for the attack corpus, through the real SQL reader.
//!
//! Promises: each loads without a warning, alone and with the others; every test in it passes when its command is read
//! as `policy test` reads it (no database: names not qualified are in `public`); every rule has a test that it decides,
//! and one in the same bundle that it leaves alone.
//! Does not promise anything about tests of command lines, requests, models and tool calls, which other readers read:
//! `policy test`, which `scripts/test` runs over every shipped bundle, and `ssh_bundles.rs` of `portcullis` hold those.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails loudly")]

mod tool_servers;

use portcullis_model::{Connection, Effect, Name, Operation, Protocol, RuleId, Severity};
use portcullis_policy::{Case, Expectation, PolicySet, PolicyTest, SourceFile, TestCommand, run_test};
use portcullis_sql::{Dialect, Limits, Scope, read};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn bundles(folder: &str) -> Vec<SourceFile> {
    let entries = std::fs::read_dir(root().join(folder)).expect("the bundles");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == "yaml"));
    paths.sort();
    let text = |path: &PathBuf| std::fs::read_to_string(path).expect("the text");
    paths.iter().map(|path| SourceFile::new(path.display().to_string(), text(path))).collect()
}

/// The OPA bundle of the fixtures, whichever is named.
fn opa(_: &SourceFile, directory: &str) -> Result<Vec<SourceFile>, String> {
    let root = root().join("fixtures/rego/change-window").join(directory);
    let names = ["portcullis.rego", "lib/calendar.rego", "data.json", "freezes/data.yaml"];
    let text = |name: &str| std::fs::read_to_string(root.join(name)).map_err(|error| error.to_string());
    names.iter().map(|name| Ok(SourceFile::new(*name, text(name)?))).collect()
}

fn load(files: &[SourceFile]) -> PolicySet {
    match PolicySet::load_with(files, &opa) {
        Ok(loaded) if loaded.warnings.is_empty() => loaded.set,
        Ok(loaded) => panic!("{}", told(&loaded.warnings)),
        Err(problems) => panic!("{}", told(&problems)),
    }
}

fn told(problems: &[portcullis_model::Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn is_sql(test: &PolicyTest) -> bool {
    matches!(test.command, TestCommand::Sql(_))
}

fn operations(test: &PolicyTest) -> Vec<Operation> {
    let TestCommand::Sql(text) = &test.command else { panic!("{}:{}: not SQL", test.file, test.line) };
    let reading = read(text, Dialect::Postgres, &Scope::assuming(Name::canonical("public")), &Limits::default());
    assert!(reading.fault.is_none(), "{}:{}: {:?}", test.file, test.line, reading.fault);
    reading.operations()
}

fn connection(test: &PolicyTest) -> Connection {
    Connection {
        name: test.on.clone(),
        protocol: Protocol::Postgres,
        address: "127.0.0.1:5432".into(),
        database: Some(test.on.clone()),
        login: "app".into(),
    }
}

/// Runs all tests of a set; what failed, each with its explanation.
fn failures(set: &PolicySet) -> Vec<String> {
    set.tests()
        .iter()
        .filter(|test| is_sql(test))
        .filter_map(|test| {
            let (operations, connection) = (operations(test), connection(test));
            let outcome = run_test(set, test, &operations, None, &connection);
            let case = Case {
                principal: &test.principal,
                connection: &connection,
                operations: &operations,
                home: None,
                fields: None,
                at: test.at,
            };
            let explained = || format!("{}:{}: {outcome}\n{}\n", test.file, test.line, set.explain(&case));
            (!outcome.passed).then(explained)
        })
        .collect()
}

#[test]
fn every_shipped_bundle_passes_its_tests_by_itself() {
    let files: Vec<_> = bundles("policies").into_iter().chain(bundles("fixtures/corpus")).collect();
    assert!(files.len() >= 4, "the bundles are there");
    for file in files {
        let set = load(std::slice::from_ref(&file));
        assert!(!set.tests().is_empty(), "{} has tests", file.path);
        let failures = failures(&set);
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

#[test]
fn the_bundle_that_asks_a_policy_in_rego_passes_its_tests() {
    let set = load(&bundles("fixtures/rego/change-window"));
    assert_eq!(set.tests().len(), 6);
    let failures = failures(&set);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// `policy test policies/*.yaml` is how a DBA runs them.
#[test]
fn the_shipped_bundles_pass_their_tests_together() {
    let set = load(&bundles("policies"));
    let failures = failures(&set);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_read_only_bundle_alone_lets_nothing_write() {
    let files = bundles("policies");
    let file = files.iter().find(|file| file.path.ends_with("agents-read-only.yaml")).expect("the bundle");
    let text = file.text.split("\ntests:").next().expect("rules");
    for sql in [
        "INSERT INTO orders (id) VALUES (7)",
        "UPDATE orders SET status = 'x' WHERE id = 7",
        "DELETE FROM orders WHERE id = 7",
        "WITH gone AS (DELETE FROM orders WHERE id = 7 RETURNING id) SELECT * FROM gone",
        "SELECT id INTO copied FROM orders",
        "COPY orders FROM STDIN",
        "SELECT nextval('orders_id_seq')",
        "SELECT public.archive_orders()",
    ] {
        let test = format!(
            "{text}\ntests:\n  - {{ as: {{ user: a, groups: [agents] }}, on: shop, run: \"{sql}\", expect: deny }}\n"
        );
        let failures = failures(&load(&[SourceFile::new("read-only.yaml", test)]));
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

#[test]
fn every_rule_has_a_test_that_it_decides_and_a_near_miss() {
    for file in bundles("policies").into_iter().chain(bundles("fixtures/corpus")) {
        let set = load(std::slice::from_ref(&file));
        if !set.tests().iter().any(is_sql) {
            continue;
        }
        let decided: Vec<_> = set
            .tests()
            .iter()
            .map(|test| {
                let (operations, connection) = (operations(test), connection(test));
                let case = Case {
                    principal: &test.principal,
                    connection: &connection,
                    operations: &operations,
                    home: None,
                    fields: None,
                    at: test.at,
                };
                (test, set.decide(&case))
            })
            .collect();
        for rule in set.bundles().flat_map(|bundle| &bundle.rules) {
            let fires = |id: &RuleId| {
                decided.iter().any(|(test, decision)| match &test.expect {
                    Expectation::Deny(expected) | Expectation::Hold(expected) => expected == id,
                    Expectation::Allow => {
                        rule.effect == Effect::Allow && decision.matches.iter().any(|one| one.rule == *id)
                    }
                    Expectation::DenyByDefault => false,
                })
            };
            assert!(fires(&rule.id), "{}:{}: no test that {} decides", file.path, rule.line, rule.id);
            let missed = decided.iter().any(|(_, decision)| decision.matches.iter().all(|one| one.rule != rule.id));
            assert!(missed, "{}:{}: no test that {} leaves alone", file.path, rule.line, rule.id);
        }
    }
}

/// What the guide shows is what loads.
#[test]
fn the_bundles_of_the_guide_load_without_a_warning() {
    let guide = std::fs::read_to_string(root().join("docs/policy-guide.md")).expect("the guide");
    let blocks = guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let files: Vec<_> = blocks.map(|text| SourceFile::new("policy-guide.md", text)).collect();
    assert!(files.len() >= 2, "its examples are there");
    let set = load(&files);
    assert!(set.bundles().any(|bundle| !bundle.masks.is_empty()), "one of them masks");
    let failures = failures(&set);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_severity_of_a_warning_does_not_refuse_a_set() {
    let loaded = PolicySet::load(&[SourceFile::new("x.yaml", "bundle: x\n")]).expect("loads");
    assert!(!loaded.warnings.is_empty(), "a bundle without rules is worth a warning");
    assert!(loaded.warnings.iter().all(|problem| problem.severity == Severity::Warning));
}
