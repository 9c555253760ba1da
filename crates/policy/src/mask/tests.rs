//! Whom masks bind and what they name, as tables; paths; who may write.

use super::*;
use crate::path;
use crate::samples::{agent, bundle, load, shop};
use crate::{Loaded, SourceFile};
use portcullis_model::{Name, Part};
use std::collections::BTreeSet;

fn of(masks: &[&str]) -> PolicySet {
    load(&[&text("b", "", masks)])
}

fn text(name: &str, head: &str, masks: &[&str]) -> String {
    masks.iter().fold(format!("bundle: {name}\n{head}\nmask:\n"), |text, mask| format!("{text}  - {{ {mask} }}\n"))
}

fn ids<'m>(masks: impl Iterator<Item = &'m Arc<Mask>>) -> Vec<String> {
    masks.map(|mask| mask.id.to_string()).collect()
}

fn officer() -> Principal {
    Principal { user: "ann".into(), groups: ["privacy-officers".into()].into(), ..agent() }
}

fn refused(text: &str) -> Vec<String> {
    let problems = PolicySet::load(&[SourceFile::new("x.yaml", text)]).expect_err(text);
    problems.iter().map(|problem| problem.message.to_string()).collect()
}

const PII: &str = "id: pii, columns: [public.customers.email, 'hr.*.salary', 'public.notes.*'], with: redact, unless: { groups: [privacy-officers] }";

#[test]
fn the_example_of_the_design_says_what_it_says() {
    let set = of(&[
        PII,
        "id: cards, detect: [payment_card, jwt, { regex: ' EMP-[0-9]{6}' }], with: { keep_last: 4 }",
        "id: fields, json: [$..ssn, $.customer.email], with: { fixed: ' - ' }, predicates: equality, unproven: deny",
        "id: clean, functions: { clean: [public.order_total] }",
    ]);
    let masks: Vec<_> = set.masks_of_record(&shop()).iter().cloned().collect();
    let [pii, cards, fields, clean] = masks.as_slice() else { panic!("{masks:?}") };
    assert_eq!(
        (pii.with.clone(), pii.predicates, pii.unproven),
        (Some(Transform::Redact), Predicates::Deny, Unproven::Mask)
    );
    assert_eq!(pii.columns().len(), 3);
    assert_eq!((pii.id.to_string().as_str(), pii.line), ("b/pii", 4));
    assert_eq!(cards.with, Some(Transform::KeepLast(4)));
    assert_eq!(cards.detect, [Detector::PaymentCard, Detector::Jwt, Detector::Pattern(" EMP-[0-9]{6}".into())]);
    assert_eq!(fields.with, Some(Transform::Fixed(" - ".into())), "as it stands, blanks included");
    assert_eq!((fields.predicates, fields.unproven), (Predicates::Equality, Unproven::Deny));
    assert_eq!(fields.json.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["$..ssn", "$.customer.email"]);
    assert_eq!((clean.with.clone(), clean.clean().len()), (None, 1));
}

#[test]
fn every_detector_and_every_transform_can_be_written() {
    for (word, detector) in Detector::NAMED {
        let set = of(&[&format!("id: m, detect: [{word}], with: redact")]);
        assert_eq!(
            set.masks(&agent(), &shop()).iter().next().map(|mask| mask.detect.clone()),
            Some(vec![detector.clone()])
        );
    }
    for (with, transform) in [
        ("null", Transform::Null),
        ("'null'", Transform::Null),
        ("redact", Transform::Redact),
        ("hash", Transform::Hash),
        ("{ keep_first: 2 }", Transform::KeepFirst(2)),
        ("{ keep_last: 64 }", Transform::KeepLast(64)),
        ("{ fixed: 'null' }", Transform::Fixed("null".into())),
    ] {
        let set = of(&[&format!("id: m, columns: [a.b.c], with: {with}")]);
        assert_eq!(
            set.masks(&agent(), &shop()).iter().next().and_then(|mask| mask.with.clone()),
            Some(transform),
            "{with}"
        );
    }
}

#[test]
fn masks_bind_everybody_on_their_connections_but_whom_unless_names() {
    let own = text("own", "applies_to: { connections: [shop], principals: { groups: [dba] } }", &[PII]);
    let other = text("other", "applies_to: { connections: [crm] }", &["id: m, columns: [a.b.c], with: redact"]);
    let all = text("all", "", &["id: m, detect: [email], with: redact"]);
    let set = load(&[&own, &other, &all]);
    assert_eq!(
        ids(set.masks(&agent(), &shop()).iter()),
        ["own/pii", "all/m"],
        "the bundle's principals do not limit them"
    );
    assert_eq!(ids(set.masks(&officer(), &shop()).iter()), ["all/m"]);
    assert_eq!(ids(set.masks_of_record(&shop()).iter()), ["own/pii", "all/m"], "the record knows no exemption");
    let elsewhere = Connection { name: Name::canonical("crm"), ..shop() };
    assert_eq!(ids(set.masks(&agent(), &elsewhere).iter()), ["other/m", "all/m"]);
    assert!(load(&[]).masks(&agent(), &shop()).is_empty() && !set.masks(&agent(), &shop()).is_empty());
}

#[test]
fn each_kind_that_unless_lists_must_match() {
    let mask = |unless: &str| of(&[&format!("id: m, columns: [a.b.c], with: redact, unless: {unless}")]);
    for (unless, exempt) in [
        ("{ users: [agent-7] }", true),
        ("{ users: [agent-8] }", false),
        ("{ groups: [agents, dba] }", true),
        ("{ users: [agent-7], groups: [dba] }", false),
        ("{ claims: { team: payments } }", true),
        ("{ claims: { team: payments, site: berlin } }", false),
    ] {
        assert_eq!(mask(unless).masks(&agent(), &shop()).is_empty(), exempt, "{unless}");
    }
    for empty in ["{}", "{ groups: [] }", "{ claims: {} }", "~", "[agents]", "{ groups: ['*'] }"] {
        let text = text("b", "", &[&format!("id: m, columns: [a.b.c], with: redact, unless: {empty}")]);
        assert!(!refused(&text).is_empty(), "{empty} exempts nobody and everybody alike");
    }
}

#[test]
fn columns_are_told_by_their_three_names() {
    let set = of(&[
        PII,
        "id: quoted, columns: ['public.\"Order Items\".\"a.b\"', '{a,b}.t.{x,y*}'], with: hash",
        "id: rest, columns: ['**.token'], with: 'null'",
    ]);
    let masks = set.masks(&agent(), &shop());
    for (schema, relation, column, expected) in [
        ("public", "customers", "email", &["b/pii"][..]),
        ("public", "customers", "Email", &[]),
        ("public", "customers", "name", &[]),
        ("hr", "employees", "salary", &["b/pii"]),
        ("hr.x", "employees", "salary", &[]),
        ("public", "notes", "anything at all", &["b/pii"]),
        ("public", "notes", "token", &["b/pii", "b/rest"]),
        ("public", "Order Items", "a.b", &["b/quoted"]),
        ("public", "order items", "a.b", &[]),
        ("b", "t", "yes", &["b/quoted"]),
        ("c", "t", "x", &[]),
        ("any", "thing", "token", &["b/rest"]),
    ] {
        assert_eq!(ids(masks.on_column(schema, relation, column)), expected, "{schema}.{relation}.{column}");
    }
}

#[test]
fn paths_beside_columns_apply_inside_them_only() {
    let set = of(&[
        "id: inside, columns: [a.b.doc], json: [$.x], with: redact",
        "id: anywhere, json: [$.x], with: redact",
        "id: whole, columns: [a.b.c], with: redact",
        "id: text, detect: [email], with: redact",
    ]);
    let masks = set.masks(&agent(), &shop());
    assert_eq!(ids(masks.with_json()), ["b/anywhere"]);
    assert_eq!(ids(masks.with_detectors()), ["b/text"]);
    let whole = masks.iter().map(|mask| mask.hides_whole_columns()).collect::<Vec<_>>();
    assert_eq!(whole, [false, false, true, false]);
    assert_eq!(ids(masks.on_column("a", "b", "doc")), ["b/inside"]);
}

#[test]
fn only_a_function_that_is_wholly_known_is_clean() {
    let set = of(&[
        "id: m, columns: [a.b.c], with: redact, functions: { clean: [public.order_total, 'report.*', '*.id_of'] }",
    ]);
    let masks = set.masks(&agent(), &shop());
    let known = |schema: &str, name: &str| QualifiedName::new(schema, name);
    for (function, clean) in [
        (known("public", "order_total"), true),
        (known("public", "Order_total"), false),
        (known("evil", "order_total"), false),
        (known("report", "anything"), true),
        (known("x", "id_of"), true),
        (QualifiedName::unresolved("order_total"), false),
        (QualifiedName::unresolved("id_of"), false),
        (QualifiedName::anything_in("report"), false),
        (QualifiedName { schema: Part::Unknown, name: Part::Unknown }, false),
    ] {
        assert_eq!(masks.is_clean(&function), clean, "{function}");
    }
    assert!(!Masks::default().is_clean(&known("public", "order_total")));
}

#[test]
fn masks_are_equal_where_the_same_are_in_them() {
    let set = of(&[PII, "id: m, detect: [email], with: redact"]);
    let again = of(&[PII, "id: m, detect: [email], with: redact"]);
    let masks = set.masks(&agent(), &shop());
    assert_eq!(masks, again.masks(&agent(), &shop()));
    assert_eq!(masks, masks.clone());
    assert_ne!(masks, set.masks(&officer(), &shop()));
    assert_ne!(masks, of(&[PII, "id: m, detect: [iban], with: redact"]).masks(&agent(), &shop()));
    let wider = PII.replace("privacy-officers", "everyone");
    assert_ne!(masks.iter().next(), of(&[&wider]).masks(&agent(), &shop()).iter().next(), "exemptions count");
    let hashed: std::collections::HashSet<_> = [masks.clone(), masks].into();
    assert_eq!(hashed.len(), 1);
}

#[test]
fn a_json_path_is_one_that_can_be_carried_out() {
    for text in [
        "$.a",
        "$.a.b-c",
        "$..ssn",
        "$.*",
        "$..*",
        "$[0].a",
        "$[*]",
        "$['a b'].c",
        "$[\"a.b\"]",
        "$.straße",
        "$.a[12][*]..b",
    ] {
        assert!(path::parse(text).is_ok(), "{text}");
    }
    for text in [
        "",
        "a",
        "$",
        "$.",
        "$..",
        "$.a.",
        "$.a..",
        "$...a",
        "$a",
        "$ .a",
        "$.a b",
        "$.0",
        "$.-a",
        "$[",
        "$[]",
        "$[-1]",
        "$[01]",
        "$[1:2]",
        "$[1,2]",
        "$['a']['b'",
        "$['a','b']",
        "$['']",
        "$['a\\'b']",
        "$[?(@.a)]",
        "$.a()",
        "$.a?",
        "$['a\n']",
        "$.a\u{0}",
        "$[99999999999]",
        "$.a\u{85}",
        "$.'a'",
        "$.**",
        "$.\u{2603}",
    ] {
        assert!(path::parse(text).is_err(), "{text:?}");
    }
    assert!(path::parse(&format!("$.{}", "a".repeat(600))).is_err());
    assert!(path::parse(&format!("${}", ".a".repeat(63))).is_ok());
    assert!(path::parse(&format!("${}", ".a".repeat(64))).is_err());
}

// === who may write ===

fn may(rules: &[&str], column: &str) -> bool {
    load(&[&bundle(rules)]).may_write(&agent(), &shop(), "public", "customers", column)
}

#[test]
fn who_may_write_a_column_by_any_rule_may_write_it() {
    let insert = "id: a, allow: { actions: [insert], objects: ['table public.*'] }";
    let held = |marks: &str| {
        format!(
            "id: h, hold: {{ actions: [update], objects: ['table public.*'], marks: [{marks}] }}, approvers: {{ groups: [dba] }}"
        )
    };
    let no_email = "id: d, deny: { actions: [write], objects: ['column public.customers.email'] }";
    for (rules, expected) in [
        (&[][..], false),
        (&["id: a, allow: { actions: [read], objects: ['*'] }"], false),
        (&["id: a, allow: { actions: [delete], objects: ['*'] }"], false),
        (&["id: a, allow: { actions: [insert], objects: ['table hr.*'] }"], false),
        (&[insert], true),
        (&["id: a, allow: { actions: [update], objects: ['column public.customers.email'] }"], true),
        (&["id: a, allow: { actions: [update], objects: ['column public.customers.name'] }"], false),
        (&["id: a, allow: { actions: [update], objects: ['view public.*'] }"], true),
        (&["id: a, hold: { actions: [update] }, approvers: { groups: [dba] }"], true),
        (&[&held("bulk")], true),
        (&[&held("dynamic, privileged")], true),
        (&[&held("infers-protected")], false),
        (&[insert, no_email], false),
        (&[insert, "id: d, deny: { actions: [insert], marks: [unbounded] }"], true),
        (&["id: a, allow: { actions: [unknown], objects: ['*'] }"], true),
        (&["id: a, allow: { actions: [unknown], objects: ['*'] }", no_email], true),
        (&[&held("dynamic"), "id: d, deny: { marks: [dynamic] }"], false),
    ] {
        assert_eq!(may(rules, "email"), expected, "{rules:?}");
    }
    assert!(may(&[insert, no_email], "name"));
}

fn warnings(texts: &[&str]) -> Vec<String> {
    let files: Vec<_> =
        texts.iter().enumerate().map(|(nth, text)| SourceFile::new(format!("{nth}.yaml"), *text)).collect();
    let Loaded { warnings, .. } = PolicySet::load(&files).expect("loads");
    warnings
        .iter()
        .map(|warning| format!("{}: {}", warning.location.as_ref().map_or(0, |at| at.line), warning.message))
        .collect()
}

#[test]
fn a_hash_that_somebody_may_undo_is_warned_of() {
    let hash = |head: &str, rest: &str| {
        text("m", head, &[&format!("id: h, columns: ['public.customers.*'], with: hash{rest}")])
    };
    let rules = |head: &str, rules: &str| format!("bundle: r\n{head}\nrules:\n{rules}");
    let write = "  - { id: w, allow: { actions: [write], objects: ['table public.*'] } }\n";
    let count = |mask: &str, rule: &str| warnings(&[mask, rule]).len();
    let found = warnings(&[&hash("", ""), &rules("", write)]);
    assert!(found.len() == 1 && found[0].starts_with("4: ") && found[0].contains("`r/w`"), "{found:?}");
    for (rule, expected) in [
        ("  - { id: w, allow: { actions: [read, delete], objects: ['table public.*'] } }\n", 0),
        ("  - { id: w, allow: { actions: [update], objects: ['table hr.*'] } }\n", 0),
        ("  - { id: w, allow: { actions: [update], objects: ['column *.customers.name'] } }\n", 1),
        ("  - { id: w, allow: { actions: [update], objects: ['column *.orders.name'] } }\n", 0),
        ("  - { id: w, deny: { actions: [update] } }\n", 0),
        ("  - { id: w, hold: { actions: [insert] }, approvers: { groups: [dba] } }\n", 1),
        ("  - { id: w, allow: { actions: [unknown], objects: ['*'] } }\n", 1),
    ] {
        assert_eq!(count(&hash("", ""), &rules("", rule)), expected, "{rule}");
    }
    let on = |name: &str| format!("applies_to: {{ connections: [{name}] }}");
    assert_eq!(count(&hash(&on("shop"), ""), &rules(&on("crm"), write)), 0, "nobody is on both");
    assert_eq!(count(&hash(&on("shop"), ""), &rules(&on("'s*'"), write)), 1);
    let unless = ", unless: { groups: [dba, ops] }";
    let of = |groups: &str| format!("applies_to: {{ principals: {{ groups: [{groups}] }} }}");
    assert_eq!(count(&hash("", unless), &rules(&of("dba"), write)), 0, "all of them are exempt");
    assert_eq!(count(&hash("", unless), &rules(&of("dba, agents"), write)), 1);
    let deny = "  - { id: d, deny: { actions: [write], objects: ['column public.customers.*'] } }\n";
    assert_eq!(count(&hash("", ""), &rules("", &format!("{write}{deny}"))), 0, "it is denied as it is written");
    let only_update = deny.replace("write", "update");
    assert_eq!(count(&hash("", ""), &rules("", &format!("{write}{only_update}"))), 1);
    let redact = hash("", "").replace("with: hash", "with: redact");
    assert_eq!(count(&redact, &rules("", write)), 0);
}

#[test]
fn a_hash_of_what_is_found_anywhere_is_warned_of() {
    for (mask, expected) in [
        ("detect: [email], with: hash", 1),
        ("json: [$.a], with: hash", 1),
        ("columns: [a.b.c], json: [$.a], with: hash", 0),
        ("columns: [a.b.c], with: hash", 0),
        ("detect: [email], with: redact", 0),
    ] {
        assert_eq!(warnings(&[&text("b", "", &[&format!("id: m, {mask}")])]).len(), expected, "{mask}");
    }
}

/// A warning is about what may be; where there is none, no principal that is bound may write.
#[test]
fn who_is_not_warned_of_may_not_write() {
    let deny = text("m", "", &["id: h, columns: [public.customers.email], with: hash"])
        + "rules:\n  - { id: w, allow: { actions: [write], objects: ['*'] } }\n  - { id: d, deny: { actions: [write], objects: ['column public.customers.email'] } }\n";
    assert!(warnings(&[&deny]).is_empty());
    let set = load(&[&deny]);
    let groups: BTreeSet<Arc<str>> = ["x".into()].into();
    for principal in [agent(), officer(), Principal { groups, ..agent() }] {
        assert!(!set.may_write(&principal, &shop(), "public", "customers", "email"));
    }
}
