//! Running a bundle's tests: each expectation against each verdict.

use super::*;
use crate::SourceFile;
use crate::samples::{load, on, shop};
use portcullis_model::{Action, Mark};

const RULES: &str = "bundle: b
rules:
  - { id: read, allow: { actions: [read], objects: ['table public.*'] } }
  - { id: wipe, deny: { actions: [delete], marks: [unbounded] } }
  - { id: ask, hold: { actions: [update], objects: ['table public.*'] }, approvers: { groups: [dba] } }
tests:
";

fn run(expect: &str, operations: &[Operation]) -> TestOutcome {
    let text = format!("{RULES}  - {{ as: {{ user: a }}, on: shop, run: SELECT 1, expect: {expect} }}\n");
    let set = load(&[&text]);
    run_test(&set, &set.tests()[0], operations, None, &shop())
}

#[test]
fn a_test_passes_only_on_what_it_expects() {
    let read = vec![on(Action::Read, "public", "a")];
    let update = vec![on(Action::Update, "public", "a")];
    let insert = vec![on(Action::Insert, "public", "a")];
    let wipe = vec![on(Action::Delete, "public", "a").marked(Mark::Unbounded)];
    for (expect, passes) in
        [("allow", &read), ("hold ask", &update), ("deny", &insert), ("deny wipe", &wipe), ("deny b/wipe", &wipe)]
    {
        for operations in [&read, &update, &insert, &wipe] {
            let outcome = run(expect, operations);
            assert_eq!(outcome.passed, operations == passes, "{expect} on {operations:?}: {outcome}");
        }
    }
}

#[test]
fn an_outcome_says_what_was_expected_and_what_came() {
    let outcome = run("allow", &[on(Action::Delete, "public", "a").marked(Mark::Unbounded)]);
    assert_eq!(
        outcome.to_string(),
        "FAILED: expected allow, got deny (rule b/wipe denies delete table public.a +unbounded); matched: deny b/wipe"
    );
    let outcome = run("deny", &[on(Action::Insert, "public", "a")]);
    assert_eq!(outcome.to_string(), "ok: expected deny (no rule), got deny (no rule allows insert table public.a)");
}

#[test]
fn a_test_carries_all_that_it_says() {
    let tests = "  - as: { user: agent-7, groups: [agents], claims: { team: payments, site: [a, b] } }
    at: 2026-07-05T10:00:00Z
    on: shop
    shell: psql -c 'select 1'
    expect: allow
  - { as: { user: x }, on: crm, http: 'GET /orders/7', expect: deny }
  - { as: { user: x }, on: crm, http: 'POST /orders', body: { amount: 5 }, expect: deny }
";
    let set = load(&[&format!("{RULES}{tests}")]);
    let [first, second, third] = set.tests() else { panic!("three tests") };
    assert_eq!((&*first.file, first.line, &*first.bundle), ("0.yaml", 7, "b"));
    assert_eq!((&*first.principal.user, first.principal.claims.len()), ("agent-7", 2));
    assert_eq!(first.principal.claims["site"].len(), 2);
    assert_eq!(first.at.to_string(), "2026-07-05T10:00:00Z");
    assert_eq!(first.command, TestCommand::Shell("psql -c 'select 1'".into()));
    assert_eq!(second.on.as_str(), "crm");
    assert_eq!(second.at.to_string(), "2026-01-05T10:00:00Z");
    assert_eq!(second.command, TestCommand::Http { method: "GET".into(), path: "/orders/7".into(), upgrade: false });
    let values = |test: &PolicyTest| test.fields.as_ref().map(|fields| fields.leaves().map(<[_]>::len));
    assert_eq!((values(first), values(second), values(third)), (None, Some(Some(0)), Some(Some(1))));
}

#[test]
fn a_request_that_opens_a_websocket_says_so_and_nothing_else_does() {
    let test = |more: &str| format!("{RULES}  - {{ as: {{ user: x }}, on: crm, {more}, expect: deny }}\n");
    let set = load(&[&test("http: 'GET /live', upgrade: websocket, body: { kind: note }")]);
    let opens = TestCommand::Http { method: "GET".into(), path: "/live".into(), upgrade: true };
    assert_eq!(set.tests()[0].command, opens);
    for wrong in [
        "http: 'GET /live', upgrade: h2c",
        "http: 'POST /live', upgrade: websocket",
        "run: SELECT 1, upgrade: websocket",
    ] {
        let file = SourceFile::new("0.yaml", test(wrong));
        assert!(PolicySet::load(&[file]).is_err(), "{wrong}");
    }
}
