//! What an explanation shows, as it prints.

use super::*;
use crate::samples::{agent, columns, load, on, shop};
use jiff::Timestamp;
use portcullis_model::{Action, Mark, Object, QualifiedName, RelationKind};

const AGENTS: &str = "bundle: agents
applies_to: { connections: [shop], principals: { groups: [agents] } }
rules:
  - { id: read, allow: { actions: [read], objects: ['table public.*', 'column hr.employees.name'] } }
  - { id: write, allow: { actions: [write], objects: ['table public.*'] } }
  - { id: wipe, deny: { actions: [delete], marks: [unbounded] }, message: Add a WHERE. }
  - { id: ask, hold: { actions: [alter], objects: ['table public.*'] }, approvers: { groups: [dba] }, message: A DBA looks first. }
";
const DBA: &str = "bundle: dba
applies_to: { principals: { groups: [dba] } }
rules:
  - { id: all, allow: { actions: [any], objects: ['*'] } }
";

fn explain(operations: &[Operation]) -> String {
    let set = load(&[AGENTS, DBA]);
    let case = Case {
        principal: &agent(),
        connection: &shop(),
        operations,
        home: None,
        fields: None,
        at: Timestamp::UNIX_EPOCH,
    };
    let text = set.explain(&case).to_string();
    text.replace(&**set.digest(), "DIGEST")
}

#[test]
fn every_rule_that_matched_and_every_near_miss_is_shown() {
    let unknown = Object::relation(QualifiedName::unresolved("orders"), RelationKind::Table);
    let found = explain(&[
        on(Action::Delete, "public", "orders").marked(Mark::Unbounded),
        on(Action::Update, "public", "orders").marked(Mark::Dynamic),
        on(Action::Read, "hr", "employees").naming(columns(&["name", "salary"])),
        Operation::new(Action::Read, unknown),
        on(Action::Alter, "public", "orders"),
        Operation::session(),
    ]);
    let expected = "DENY: agent-7 (groups agents) (team payments) on shop
  Add a WHERE.

  1. delete table public.orders +unbounded
     allow  agents/write  0.yaml:5
     deny   agents/wipe  0.yaml:6
     => deny: rule agents/wipe denies it: Add a WHERE.

  2. update table public.orders +dynamic
     (no)   agents/write  0.yaml:5  [does not name `dynamic`]
     => deny: no rule allows update table public.orders +dynamic

  3. read table hr.employees (name, salary)
     allow  agents/read  0.yaml:4  [only for name]
     => deny: no rule allows read table hr.employees (salary)

  4. read table ?.orders
     (no)   agents/read  0.yaml:4  [not wholly known here, and an allow takes that only by a literal `*`]
     => deny: no rule allows read table ?.orders

  5. alter table public.orders
     hold   agents/ask  0.yaml:7
     => hold: rule agents/ask asks for 1 of dba: A DBA looks first.

  6. session
     => allow: it needs no rule of its own

  bundles
     agents applies  0.yaml
     dba does not apply: it is about group dba  1.yaml
  policy DIGEST";
    assert_eq!(found, expected);
}

const MASKS: &str = "bundle: masks
applies_to: { connections: [shop], principals: { groups: [dba] } }
mask:
  - { id: pii, columns: [public.customers.email, hr.*.salary], with: redact, predicates: equality }
  - { id: doc, columns: [public.orders.doc], json: [$..ssn], with: { fixed: '***' }, unless: { groups: [agents] } }
  - { id: text, detect: [email, { regex: 'EMP-[0-9]+' }], with: { keep_last: 4 } }
  - { id: paths, json: [$.a, $.b], with: 'null', unproven: deny, unless: { users: [ann] } }
  - { id: clean, functions: { clean: [public.order_total] } }
";

#[test]
fn the_masks_in_force_are_shown_and_those_that_do_not_bind() {
    let set = load(&[
        AGENTS,
        MASKS,
        "bundle: else\napplies_to: { connections: [crm] }\nmask:\n  - { id: m, detect: [jwt], with: redact }\n",
    ]);
    let operations = [on(Action::Read, "public", "orders")];
    let case = Case {
        principal: &agent(),
        connection: &shop(),
        operations: &operations,
        home: None,
        fields: None,
        at: Timestamp::UNIX_EPOCH,
    };
    let explained = set.explain(&case);
    assert_eq!(explained.masks, set.masks_explained(&agent(), &shop()));
    let text = explained.to_string();
    let shown = text.split("\n\n  masks\n").nth(1).and_then(|rest| rest.split("\n\n  bundles").next());
    let expected = "     mask   masks/pii  1.yaml:4
            columns public.customers.email, hr.*.salary => redact; predicates equality, unproven mask
     (no)   masks/doc  1.yaml:5  [exempt: group agents]
            json $..ssn in public.orders.doc => fixed: \"***\"; predicates deny, unproven mask
     mask   masks/text  1.yaml:6
            detect email, regex => keep_last: 4
     mask   masks/paths  1.yaml:7
            json $.a, $.b in any JSON => null; predicates deny, unproven deny
     mask   masks/clean  1.yaml:8
            clean functions public.order_total";
    assert_eq!(shown, Some(expected), "{text}");
    let bound: Vec<_> = set.masks(&agent(), &shop()).iter().map(|mask| mask.id.clone()).collect();
    let listed = explained.masks.into_iter().filter(|mask| !mask.exempt).map(|mask| mask.id);
    assert_eq!(bound, listed.collect::<Vec<_>>(), "what is shown as binding is what binds");
}

#[test]
fn nobody_is_told_to_name_a_mark_that_no_rule_may_name() {
    let infers = explain(&[on(Action::Read, "public", "orders").marked(Mark::InfersProtected)]);
    assert!(infers.contains("[no rule permits `infers-protected`: it follows `predicates` of a mask]"), "{infers}");
    let exposes = explain(&[on(Action::Read, "public", "orders").marked(Mark::ExposesProtected)]);
    assert!(exposes.contains("[does not name `exposes-protected`]"), "{exposes}");
}

#[test]
fn the_decision_explained_is_the_decision_made() {
    let set = load(&[AGENTS, DBA]);
    let operations = [on(Action::Read, "public", "orders")];
    let case = Case {
        principal: &agent(),
        connection: &shop(),
        operations: &operations,
        home: None,
        fields: None,
        at: Timestamp::UNIX_EPOCH,
    };
    assert_eq!(set.explain(&case).decision, set.decide(&case));
}
