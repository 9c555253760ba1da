//! How rules combine, as tables: rules, operations, verdict.

mod limits;

use super::*;
use crate::condition::Condition;
use crate::samples::{agent, bundle, columns, decide, load, on, say, shop};
use portcullis_model::{Mark, Marks, Name, Part, QualifiedName, RelationKind};
use proptest::prelude::*;
use std::time::Duration;

fn verdict_of(rules: &[&str], operations: &[Operation]) -> String {
    say(&decide(&load(&[&bundle(rules)]), operations))
}

const READ: &str = "id: read, allow: { actions: [read], objects: ['table public.*'] }";
const WRITE: &str = "id: write, allow: { actions: [write], objects: ['table public.*'] }";
const UNBOUNDED: &str = "id: unbounded, deny: { actions: [update, delete], marks: [unbounded] }, message: Add a WHERE.";
const HOLD: &str =
    "id: hold, hold: { actions: [write], objects: ['table public.orders'] }, approvers: { groups: [dba] }";

#[test]
fn the_strictest_wins_and_nothing_is_deny() {
    let read = on(Action::Read, "public", "orders");
    let update = on(Action::Update, "public", "orders");
    let wipe = on(Action::Delete, "public", "orders").marked(Mark::Unbounded);
    let elsewhere = on(Action::Read, "hr", "employees");
    for (rules, operations, expected) in [
        (&[READ][..], vec![read.clone()], "allow"),
        (&[], vec![read.clone()], "deny: read table public.orders"),
        (&[READ], vec![update.clone()], "deny: update table public.orders"),
        (&[READ], vec![elsewhere.clone()], "deny: read table hr.employees"),
        (&[READ], vec![read.clone(), elsewhere.clone()], "deny: read table hr.employees"),
        (&[READ, WRITE], vec![read.clone(), update.clone()], "allow"),
        (&[WRITE, UNBOUNDED], vec![wipe.clone()], "deny unbounded"),
        (&[UNBOUNDED, WRITE], vec![wipe.clone()], "deny unbounded"),
        (&[WRITE, UNBOUNDED], vec![update.clone()], "allow"),
        (&[WRITE, HOLD], vec![update.clone()], "hold hold"),
        (&[HOLD], vec![update.clone()], "hold hold"),
        (&[HOLD, UNBOUNDED], vec![update.clone(), wipe.clone()], "deny unbounded"),
        (&[HOLD], vec![update.clone(), read.clone()], "deny: read table public.orders"),
        (&[HOLD, READ], vec![update.clone(), read.clone()], "hold hold"),
        (&[READ, UNBOUNDED], vec![elsewhere, wipe], "deny unbounded"),
    ] {
        assert_eq!(verdict_of(rules, &operations), expected, "{rules:?} on {operations:?}");
        let turned: Vec<_> = rules.iter().rev().copied().collect();
        assert_eq!(verdict_of(&turned, &operations), expected, "order does not matter");
    }
}

#[test]
fn a_slash_at_the_end_of_a_path_leads_round_no_rule() {
    const ALL: &str = "id: all, allow: { actions: [insert], objects: ['endpoint POST /**'] }";
    const ASK: &str =
        "id: ask, hold: { actions: [insert], objects: ['endpoint POST /orders'] }, approvers: { groups: [dba] }";
    const NONE: &str = "id: none, deny: { actions: [insert], objects: ['endpoint * /orders/*/refund/'] }";
    const ONE: &str = "id: one, allow: { actions: [insert], objects: ['endpoint POST /orders'] }";
    let post = |path: &str| {
        let object = Object::Endpoint { method: Name::canonical("POST"), path: Name::canonical(path) };
        vec![Operation::new(Action::Insert, object)]
    };
    for (rules, path, expected) in [
        (&[ALL, ASK, NONE][..], "/orders", "hold ask"),
        (&[ALL, ASK, NONE], "/orders/", "hold ask"),
        (&[ALL, ASK, NONE], "/orders/7", "allow"),
        (&[ALL, ASK, NONE], "/orders/7/refund", "deny none"),
        (&[ALL, ASK, NONE], "/orders/7/refund/", "deny none"),
        (&[ONE], "/orders", "allow"),
        (&[ONE], "/orders/", "deny: insert endpoint POST /orders/"),
    ] {
        assert_eq!(verdict_of(rules, &post(path)), expected, "{path}");
    }
}

#[test]
fn a_decision_reports_every_match_in_file_order_and_the_deciding_message() {
    let set = load(&[&bundle(&[WRITE, UNBOUNDED, READ])]);
    let operations = [
        on(Action::Read, "public", "a"),
        on(Action::Delete, "public", "a").marked(Mark::Unbounded),
        Operation::session(),
    ];
    let decision = decide(&set, &operations);
    let matched: Vec<_> = decision.matches.iter().map(|one| (&*one.rule.rule, one.operation)).collect();
    assert_eq!(matched, [("write", 1), ("unbounded", 1), ("read", 0)]);
    assert_eq!(decision.message.as_deref(), Some("Add a WHERE."));
    assert_eq!(decision.policy, *set.digest());
    let Verdict::Deny(Reason::Rule { rule, operation }) = decision.verdict else { panic!("denied by rule") };
    assert_eq!((rule.to_string().as_str(), &*operation), ("b/unbounded", "delete table public.a +unbounded"));
}

#[test]
fn two_holds_need_both() {
    let second = "id: second, hold: { actions: [update] }, approvers: { users: [ann, bob] }, approvals: 2, expires: 30m, valid: 90s, in_transaction: wait, grant: 20m, reason: required, preview: count, message: Ask.";
    let set = load(&[&bundle(&[HOLD, second])]);
    let decision = decide(&set, &[on(Action::Update, "public", "orders"), on(Action::Update, "public", "orders")]);
    let Verdict::Hold(terms) = &decision.verdict else { panic!("held") };
    let [first, second] = terms.as_slice() else { panic!("both once: {terms:?}") };
    assert_eq!(
        (&*first.rule.rule, first.approvals, first.expires, first.valid, first.in_transaction),
        ("hold", 1, Duration::from_secs(600), Duration::from_secs(300), false)
    );
    assert!(first.groups.contains("dba") && first.users.is_empty());
    assert_eq!(
        (&*second.rule.rule, second.approvals, second.expires, second.valid, second.in_transaction),
        ("second", 2, Duration::from_secs(1800), Duration::from_secs(90), true)
    );
    assert_eq!(second.users.len(), 2);
    assert_eq!((first.grant, first.needs_reason, first.counts_rows), (None, false, false));
    assert_eq!((second.grant, second.needs_reason, second.counts_rows), (Some(Duration::from_secs(1200)), true, true));
    assert_eq!(decision.message.as_deref(), Some("Ask."));
}

#[test]
fn what_must_be_named_must_be_named_by_each_rule_that_permits_it() {
    let any = "id: any, allow: { actions: [any], objects: ['*'] }";
    let holds = "id: holds, hold: { actions: [any], objects: ['*'] }, approvers: { groups: [dba] }";
    let call = || Operation::new(Action::Execute, Object::Function(QualifiedName::new("public", "f")));
    for mark in [Mark::Dynamic, Mark::Privileged, Mark::Irreversible, Mark::ExposesProtected] {
        let operation = call().marked(mark);
        let word = mark.word();
        let names = format!("id: names, allow: {{ actions: [execute], objects: ['*'], marks: [{word}] }}");
        let hold_names = format!(
            "id: names, hold: {{ actions: [execute], objects: ['*'], marks: [{word}] }}, approvers: {{ groups: [dba] }}"
        );
        let refused = format!("deny: {operation}");
        let operations = [operation.clone()];
        assert_eq!(verdict_of(&[any], &operations), refused);
        assert_eq!(verdict_of(&[any, &names], &operations), "allow");
        assert_eq!(verdict_of(&[holds], &operations), refused, "a hold that does not name it permits nothing");
        assert_eq!(verdict_of(&[&hold_names], &operations), "hold names");
        assert_eq!(verdict_of(&[holds, &names], &operations), "hold holds", "and still holds back what another allows");
        let both = [operation.marked(Mark::Dynamic).marked(Mark::Privileged)];
        assert!(verdict_of(&[any, &names], &both).starts_with("deny: "), "each of them");
        assert_eq!(verdict_of(&[&names], &[call()]), "allow", "naming a mark does not require it");
        assert_eq!(verdict_of(&[&hold_names], &[call()]), format!("deny: {}", call()), "a hold's marks do");
    }
    for mark in [Mark::Unbounded, Mark::Recursive, Mark::Forced, Mark::Network, Mark::Bulk, Mark::Locks] {
        assert_eq!(verdict_of(&[any], &[call().marked(mark)]), "allow", "{}", mark.word());
    }
}

/// `infers-protected` is there only where `predicates:` forbids the use: nothing permits it.
#[test]
fn what_a_mask_forbids_no_rule_permits() {
    let read = on(Action::Read, "public", "orders").marked(Mark::InfersProtected);
    let refused = format!("deny: {read}");
    let hold =
        "id: hold, hold: { actions: [read], objects: ['*'], marks: [infers-protected] }, approvers: { groups: [dba] }";
    let both = "id: both, hold: { actions: [read], objects: ['*'], marks: [infers-protected, exposes-protected] }, approvers: { groups: [dba] }";
    let deny = "id: no, deny: { marks: [infers-protected] }, message: Ask for a report.";
    assert_eq!(verdict_of(&[READ], std::slice::from_ref(&read)), refused);
    assert_eq!(verdict_of(&[hold], std::slice::from_ref(&read)), refused, "a hold that names it permits nothing");
    assert_eq!(verdict_of(&[READ, hold], std::slice::from_ref(&read)), refused, "beside an allow too");
    assert_eq!(verdict_of(&[READ, deny], std::slice::from_ref(&read)), "deny no");
    let exposes = on(Action::Read, "public", "orders").marked(Mark::ExposesProtected);
    assert_eq!(verdict_of(&[both], std::slice::from_ref(&exposes)), "hold both", "and may permit the other");
    assert!(verdict_of(&[both], &[exposes.marked(Mark::InfersProtected)]).starts_with("deny: "), "but not both");
    assert_eq!(verdict_of(&[READ, hold, deny], &[on(Action::Read, "public", "orders")]), "allow");
}

/// Nothing protected hides in what needs no rule.
#[test]
fn an_implicit_operation_on_protected_values_is_refused() {
    let any = "id: any, allow: { actions: [any], objects: ['*'], marks: [exposes-protected] }";
    for mark in [Mark::ExposesProtected, Mark::InfersProtected] {
        let session = Operation::session().marked(mark);
        assert_eq!(verdict_of(&[any], &[on(Action::Read, "a", "b"), session.clone()]), format!("deny: {session}"));
    }
    assert_eq!(verdict_of(&[], &[Operation::session().marked(Mark::Dynamic)]), "allow");
}

#[test]
fn unknown_is_permitted_only_by_name_and_denied_by_everything() {
    let unknown = [Operation::unknown()];
    for (rules, expected) in [
        (&["id: any, allow: { actions: [any], objects: ['*'] }"][..], "deny: unknown"),
        (&["id: named, allow: { actions: [unknown], objects: ['*'] }"], "allow"),
        (&["id: named, allow: { actions: [any, unknown], objects: [unknown] }"], "allow"),
        (&["id: named, allow: { actions: [unknown], objects: ['table *.*'] }"], "deny: unknown"),
        (&["id: h, hold: { objects: ['*'] }, approvers: { groups: [dba] }"], "deny: unknown"),
        (&["id: h, hold: { actions: [unknown] }, approvers: { groups: [dba] }"], "hold h"),
        (
            &[
                "id: named, allow: { actions: [unknown], objects: ['*'] }",
                "id: h, hold: { objects: ['table hr.*'] }, approvers: { groups: [dba] }",
            ],
            "hold h",
        ),
        (&["id: named, allow: { actions: [unknown], objects: ['*'] }", "id: d, deny: {}"], "deny d"),
        (&["id: named, allow: { actions: [unknown], objects: ['*'] }", "id: d, deny: { actions: [any] }"], "deny d"),
        (&["id: named, allow: { actions: [unknown], objects: ['*'] }", "id: d, deny: { actions: [drop] }"], "allow"),
    ] {
        assert_eq!(verdict_of(rules, &unknown), expected, "{rules:?}");
    }
}

#[test]
fn an_object_of_an_unknown_schema_leans_to_the_strict_side() {
    let orders = Object::relation(QualifiedName::unresolved("orders"), RelationKind::Table);
    let read = [Operation::new(Action::Read, orders)];
    for (rules, expected) in [
        (&[READ][..], "deny: read table ?.orders"),
        (&["id: read, allow: { actions: [read], objects: ['table *.*'] }"], "allow"),
        (
            &[
                "id: read, allow: { actions: [read], objects: ['table *.*'] }",
                "id: hr, deny: { actions: [read], objects: ['table hr.*'] }",
            ],
            "deny hr",
        ),
        (
            &[
                "id: read, allow: { actions: [read], objects: ['table *.*'] }",
                "id: hr, deny: { actions: [read], objects: ['table hr.employees'] }",
            ],
            "allow",
        ),
        (&["id: h, hold: { actions: [read], objects: ['table hr.*'] }, approvers: { groups: [dba] }"], "hold h"),
    ] {
        assert_eq!(verdict_of(rules, &read), expected, "{rules:?}");
    }
}

#[test]
fn each_named_column_is_judged_by_itself() {
    let ids = "id: ids, allow: { actions: [read], objects: ['column hr.employees.{id,name}'] }";
    let grade = "id: grade, allow: { actions: [read], objects: ['column hr.employees.grade'] }";
    let all = "id: all, allow: { actions: [read], objects: ['table hr.*'] }";
    let no_pay = "id: pay, deny: { objects: ['column hr.*.salary'] }";
    let hold_pay = "id: pay, hold: { actions: [read], objects: ['column hr.*.salary'] }, approvers: { groups: [dba] }";
    let read = |columns| [on(Action::Read, "hr", "employees").naming(columns)];
    for (rules, operations, expected) in [
        (&[ids][..], read(columns(&["id", "name"])), "allow"),
        (&[ids], read(columns(&["id", "name", "salary"])), "deny: read table hr.employees (salary)"),
        (&[ids, grade], read(columns(&["grade", "id", "name"])), "allow"),
        (&[ids], read(Columns::None), "deny: read table hr.employees"),
        (&[ids], read(Columns::Unknown), "deny: read table hr.employees (?)"),
        (&[all], read(Columns::Unknown), "allow"),
        (&[all, no_pay], read(columns(&["id", "name"])), "allow"),
        (&[all, no_pay], read(columns(&["id", "salary"])), "deny pay"),
        (&[all, no_pay], read(Columns::Unknown), "deny pay"),
        (&[all, no_pay], read(Columns::None), "allow"),
        (&[all, hold_pay], read(columns(&["id", "salary"])), "hold pay"),
        (&[ids, hold_pay], read(columns(&["id", "salary"])), "hold pay"),
        (&[hold_pay], read(columns(&["id", "salary"])), "deny: read table hr.employees (id)"),
    ] {
        assert_eq!(verdict_of(rules, &operations), expected, "{rules:?} on {operations:?}");
    }
}

#[test]
fn hundreds_of_columns_are_each_looked_at() {
    let names: Vec<_> = (0..200).map(|nth| format!("c{nth:03}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let operations = [on(Action::Read, "public", "wide").naming(columns(&names))];
    let most = "id: most, allow: { actions: [read], objects: ['column public.wide.c0*', 'column public.wide.c10*'] }";
    let rest = "id: rest, allow: { actions: [read], objects: ['column public.wide.c1{1,2,3,4,5,6,7,8,9}*'] }";
    assert_eq!(verdict_of(&[most, rest], &operations), "allow");
    let but_one = "id: rest, allow: { actions: [read], objects: ['column public.wide.c1{1,2,3,4,5,6,7,8}*', 'column public.wide.c19{0,1,2,3,4,5,6,7,8}'] }";
    assert_eq!(verdict_of(&[most, but_one], &operations), "deny: read table public.wide (c199)");
}

#[test]
fn who_and_where_a_bundle_binds() {
    let rules = "rules:\n  - { id: read, allow: { actions: [read], objects: ['table public.*'] } }\n";
    let read = [on(Action::Read, "public", "orders")];
    for (scope, applies) in [
        ("", true),
        ("applies_to: { connections: [shop] }", true),
        ("applies_to: { connections: ['sh*', other] }", true),
        ("applies_to: { connections: ['{shop,crm}'] }", true),
        ("applies_to: { connections: [crm] }", false),
        ("applies_to: { principals: { groups: [dba, agents] } }", true),
        ("applies_to: { principals: { groups: [dba] } }", false),
        ("applies_to: { principals: { users: [agent-7], groups: [agents] } }", true),
        ("applies_to: { principals: { users: [agent-8], groups: [agents] } }", false),
        ("applies_to: { principals: { claims: { team: payments } } }", true),
        ("applies_to: { principals: { claims: { team: [billing, payments] } } }", true),
        ("applies_to: { principals: { claims: { team: billing } } }", false),
        ("applies_to: { principals: { claims: { team: payments, site: berlin } } }", false),
        ("applies_to: { connections: [shop], principals: { groups: [dba] } }", false),
    ] {
        let set = load(&[&format!("bundle: b\n{scope}\n{rules}")]);
        assert_eq!(say(&decide(&set, &read)) == "allow", applies, "{scope}");
    }
}

#[test]
fn bundles_combine_as_one_set() {
    let first = "bundle: first\nrules:\n  - { id: read, allow: { actions: [read], objects: ['*'] } }\n";
    let second = "bundle: second\napplies_to: { principals: { groups: [agents] } }\nrules:\n  - { id: hr, deny: { objects: ['table hr.*'] } }\n";
    let set = load(&[first, second]);
    assert_eq!(say(&decide(&set, &[on(Action::Read, "public", "a")])), "allow");
    assert_eq!(say(&decide(&set, &[on(Action::Read, "hr", "a")])), "deny hr");
}

fn opens(rules: &[&str], kind: SessionKind) -> String {
    let set = load(&[&bundle(rules)]);
    say(&set.opens(kind, &agent(), &shop(), Timestamp::UNIX_EPOCH))
}

#[test]
fn sessions_open_by_any_rule_or_by_name() {
    let hold = "id: h, hold: { actions: [drop] }, approvers: { groups: [dba] }";
    let deny = "id: d, deny: { actions: [drop] }";
    let any = "id: any, allow: { actions: [any], objects: ['*'] }";
    let shell = "id: shell, allow: { actions: [connect], objects: ['session {shell,sftp}'] }";
    for (rules, kind, expected) in [
        (&[READ][..], SessionKind::Sql, "allow"),
        (&[READ], SessionKind::Http, "allow"),
        (&[READ], SessionKind::Exec, "allow"),
        (&[hold], SessionKind::Sql, "allow"),
        (&[deny], SessionKind::Sql, "deny: connect session sql"),
        (&[READ], SessionKind::Guarded, "deny: connect session guarded"),
        (&[any], SessionKind::Shell, "deny: connect session shell"),
        (&[shell], SessionKind::Shell, "allow"),
        (&[shell], SessionKind::Sftp, "allow"),
        (&[shell], SessionKind::Guarded, "deny: connect session guarded"),
        (&[READ, "id: no, deny: { objects: ['session sql'] }"], SessionKind::Sql, "deny no"),
        (&[READ, "id: no, deny: { objects: ['session sql'] }"], SessionKind::Http, "allow"),
        (&[READ, "id: no, deny: {}"], SessionKind::Sql, "deny no"),
        (
            &["id: ask, hold: { actions: [connect], objects: ['session shell'] }, approvers: { groups: [dba] }"],
            SessionKind::Shell,
            "hold ask",
        ),
        (
            &["id: ask, hold: { actions: [connect], objects: ['*'] }, approvers: { groups: [dba] }"],
            SessionKind::Shell,
            "deny: connect session shell",
        ),
    ] {
        assert_eq!(opens(rules, kind), expected, "{rules:?} {kind:?}");
    }
    let elsewhere = "bundle: b\napplies_to: { connections: [crm] }\nrules:\n  - { id: read, allow: { actions: [read], objects: ['*'] } }\n";
    let decision = load(&[elsewhere]).opens(SessionKind::Sql, &agent(), &shop(), Timestamp::UNIX_EPOCH);
    assert_eq!(say(&decision), "deny: connect session sql");
}

#[test]
fn what_is_implicit_in_a_session_is_out_of_reach_of_rules() {
    assert_eq!(verdict_of(&["id: d, deny: {}"], &[Operation::session()]), "allow");
    assert_eq!(verdict_of(&[], &[Operation::session()]), "allow");
    assert_eq!(verdict_of(&[], &[]), "deny: a command that was not read");
}

#[test]
fn a_rule_that_cannot_be_evaluated_denies_whatever_its_effect() {
    for rule in [READ, HOLD, UNBOUNDED] {
        let mut set = load(&[&bundle(&[READ, WRITE, rule.replace("id: ", "id: failing-").as_str()])]);
        for rule in set.bundles.iter_mut().flat_map(|bundle| &mut bundle.rules) {
            if rule.id.rule.starts_with("failing-") {
                rule.condition = Condition::Failing;
            }
        }
        let orders = || on(Action::Update, "public", "orders").marked(Mark::Unbounded);
        let decision = decide(&set, &[on(Action::Read, "public", "orders"), orders()]);
        assert!(say(&decision).starts_with("error failing-"), "{rule}: {decision:?}");
        let other = decide(&set, &[on(Action::Insert, "public", "customers")]);
        assert_eq!(say(&other), "allow", "a rule that does not otherwise match is not asked");
    }
}

#[test]
fn a_scope_decides_as_its_set_does() {
    let set = load(&[&bundle(&[READ, WRITE, UNBOUNDED])]);
    let (principal, connection) = (agent(), shop());
    let scoped = set.scope_for(&principal, &connection);
    let operations = [on(Action::Delete, "public", "a").marked(Mark::Unbounded)];
    assert_eq!(scoped.decide(&operations, Timestamp::UNIX_EPOCH), decide(&set, &operations));
}

// === laws ===

const ACTIONS: &[Action] =
    &[Action::Read, Action::Update, Action::Delete, Action::Drop, Action::Execute, Action::Unknown];
const MARKS: &[Mark] = &[Mark::Unbounded, Mark::Dynamic, Mark::Bulk, Mark::Irreversible];

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let part = proptest::option::of(proptest::sample::select(vec!["public", "hr", "a"]));
    let part = part.prop_map(|part| part.map_or(Part::Unknown, Part::known));
    let object = (part.clone(), part)
        .prop_map(|(schema, name)| Object::relation(QualifiedName { schema, name }, RelationKind::Table));
    let named = proptest::collection::btree_set(proptest::sample::select(vec!["id", "pay"]), 0..3);
    let columns = prop_oneof![
        Just(Columns::None),
        Just(Columns::Unknown),
        named.prop_map(|names| columns(&names.into_iter().collect::<Vec<_>>())),
    ];
    let marks = proptest::sample::subsequence(MARKS, 0..=2).prop_map(|marks| Marks::of(&marks));
    let one = (proptest::sample::select(ACTIONS), prop_oneof![8 => object, 1 => Just(Object::Unknown)], columns, marks)
        .prop_map(|(action, object, columns, marks)| Operation::new(action, object).naming(columns).marked(marks));
    proptest::collection::vec(one, 1..4)
}

fn rules() -> impl Strategy<Value = Vec<String>> {
    let actions = proptest::sample::select(vec!["read", "write", "any", "unknown", "drop, execute"]);
    let objects = proptest::sample::select(vec![
        "'*'",
        "'table public.*'",
        "'table *.a'",
        "'table hr.a', unknown",
        "'column *.*.id'",
        "'column public.*.pay'",
    ]);
    let marks = proptest::option::of(proptest::sample::select(vec!["dynamic", "dynamic, irreversible", "unbounded"]));
    let effect = proptest::sample::select(vec!["allow", "hold", "deny"]);
    let one = (effect, actions, objects, marks).prop_map(|(effect, actions, objects, marks)| {
        let marks = marks.map_or_else(String::new, |marks| format!(", marks: [{marks}]"));
        let terms = if effect == "hold" { ", approvers: { groups: [dba] }" } else { "" };
        format!("{effect}: {{ actions: [{actions}], objects: [{objects}]{marks} }}{terms}")
    });
    proptest::collection::vec(one, 0..5)
}

fn numbered(rules: &[String]) -> PolicySet {
    let rules: Vec<_> = rules.iter().enumerate().map(|(nth, rule)| format!("id: r{nth}, {rule}")).collect();
    load(&[&bundle(&rules.iter().map(String::as_str).collect::<Vec<_>>())])
}

fn effect(set: &PolicySet, operations: &[Operation]) -> Effect {
    decide(set, operations).verdict.effect()
}

proptest! {
    #[test]
    fn order_never_matters(rules in rules(), operations in operations()) {
        let mut turned = rules.clone();
        turned.reverse();
        prop_assert_eq!(effect(&numbered(&rules), &operations), effect(&numbered(&turned), &operations));
    }

    #[test]
    fn a_command_is_as_strict_as_its_strictest_operation(rules in rules(), operations in operations()) {
        let set = numbered(&rules);
        let strictest = operations.iter().map(|one| effect(&set, std::slice::from_ref(one))).max();
        prop_assert_eq!(Some(effect(&set, &operations)), strictest);
    }

    #[test]
    fn a_deny_more_never_permits_and_an_allow_more_never_refuses(rules in rules(), operations in operations()) {
        let before = effect(&numbered(&rules), &operations);
        let mut more = rules.clone();
        more.push("deny: { actions: [read, write], objects: ['table public.*'] }".to_owned());
        prop_assert!(effect(&numbered(&more), &operations) >= before);
        let mut more = rules;
        more.push("allow: { actions: [read, write], objects: ['table public.*'] }".to_owned());
        prop_assert!(effect(&numbered(&more), &operations) <= before);
    }

    /// What passes with a name unknown passes whatever the name turns out to be.
    #[test]
    fn an_allowed_unknown_is_allowed_whatever_it_is(
        rules in rules(), operations in operations(), fill in proptest::sample::select(vec!["public", "hr", "a", "id"]),
    ) {
        let mut rules = rules;
        rules.retain(|rule| !rule.starts_with("deny"));
        rules.push("allow: { actions: [any], objects: ['table *.a', 'column *.*.*'], marks: [dynamic] }".to_owned());
        let set = numbered(&rules);
        if effect(&set, &operations) != Effect::Allow {
            return Ok(());
        }
        let known = |part: &mut Part| if matches!(part, Part::Unknown) { *part = Part::Known(Name::canonical(fill)) };
        let mut filled = operations;
        for operation in &mut filled {
            if let Object::Relation { name, .. } = &mut operation.object {
                known(&mut name.schema);
                known(&mut name.name);
            }
            if matches!(operation.columns, Columns::Unknown) {
                operation.columns = columns(&["id", "pay"]);
            }
        }
        prop_assert_eq!(effect(&set, &filled), Effect::Allow);
    }
}
