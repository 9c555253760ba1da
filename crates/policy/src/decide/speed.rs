//! What a decision costs, without conditions, with one, and with a rule that asks. Prints, and measures nothing against a
//! limit: `cargo test --release -p portcullis-policy --lib speed -- --ignored --nocapture`.

use crate::samples::{agent, bundle, columns, on, shop};
use crate::{Case, PolicySet, SourceFile};
use portcullis_model::{Action, Mark};
use std::time::{Duration, Instant};

const RULES: [&str; 4] = [
    "id: read, allow: { actions: [read], objects: ['table public.*'] }",
    "id: write, allow: { actions: [write], objects: ['table public.*'] }",
    "id: unbounded, deny: { actions: [update, delete], marks: [unbounded] }",
    "id: gone, deny: { actions: [drop, truncate], objects: ['*'] }",
];

const MODULE: &str = "package p\ndefault decision := \"no-opinion\"\n\
    decision := \"deny\" if {\n\tsome o in input.operations\n\to.action == \"drop\"\n}\n";

fn measure(name: &str, more: &[&str]) {
    let rules: Vec<&str> = RULES.iter().chain(more).copied().collect();
    let loaded = PolicySet::load_with(&[SourceFile::new("b.yaml", bundle(&rules))], &|_, _| {
        Ok(vec![SourceFile::new("p.rego", MODULE)])
    });
    let set = loaded.expect("loads").set;
    let (principal, connection) = (agent(), shop());
    let operations = [
        on(Action::Read, "public", "orders").naming(columns(&["id", "status"])),
        on(Action::Update, "public", "orders").naming(columns(&["status"])),
        on(Action::Read, "public", "customers").naming(columns(&["id"])).marked(Mark::Locks),
    ];
    let at = "2026-01-05T10:00:00Z".parse().expect("a moment");
    let case =
        Case { principal: &principal, connection: &connection, operations: &operations, home: None, fields: None, at };
    let once = |times: u32| {
        let started = Instant::now();
        for _ in 0..times {
            std::hint::black_box(set.decide(std::hint::black_box(&case)));
        }
        started.elapsed() / times
    };
    let best = (0..200).map(|_| once(200)).min().unwrap_or(Duration::ZERO);
    println!("{name}: {best:?} a decision");
}

#[test]
#[ignore = "measures"]
fn speed() {
    measure("no condition", &[]);
    measure(
        "a condition of a rule that does not match",
        &["id: w, deny: { actions: [drop] }, when: now.getHours() < 8"],
    );
    measure(
        "working hours",
        &["id: w, deny: { actions: [write] }, when: 'now.getHours(\"UTC\") < 8 || now.getHours(\"UTC\") >= 19'"],
    );
    measure("on the principal", &["id: w, deny: { actions: [write] }, when: '\"dba\" in principal.groups'"]);
    measure("on each of three operations", &["id: w, deny: {}, when: operation.object == \"table hr.people\""]);
    measure("a pattern", &["id: w, deny: { actions: [write] }, when: 'principal.user.matches(\"^x-[0-9]+$\")'"]);
    measure(
        "a loop over the operations",
        &["id: w, deny: {}, when: 'command.operations.exists(o, o.action == \"drop\")'"],
    );
    measure("a rule that asks", &["id: w, rego: { bundle: opa/, query: data.p.decision }"]);
}
