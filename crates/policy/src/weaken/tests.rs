//! Pairs of sets, and what the second takes away.

use crate::samples::{bundle, load};

const DENY: &str =
    "id: d, deny: { actions: [drop, alter], objects: ['table public.*', 'table hr.*'], marks: [forced, locks] }";
const HOLD: &str =
    "id: h, hold: { actions: [update] }, approvers: { groups: [dba] }, approvals: 2, reason: required, preview: count";
const ALLOW: &str = "id: a, allow: { actions: [read], objects: ['*'] }";

fn lost(old: &str, new: &str) -> Vec<String> {
    load(&[new]).weakens(&load(&[old]))
}

#[test]
fn what_is_lost_is_named() {
    let old = bundle(&[DENY, HOLD, ALLOW]);
    for (rules, expected) in [
        (&[DENY, HOLD, ALLOW][..], vec![]),
        (&[ALLOW, HOLD, DENY], vec![]),
        (&[DENY, HOLD], vec![]),
        (&[DENY, HOLD, ALLOW, "id: more, deny: {}"], vec![]),
        (&[HOLD], vec!["deny b/d is gone"]),
        (&[DENY], vec!["hold b/h is gone"]),
        (&["id: d, allow: { actions: [drop], objects: ['*'] }", HOLD], vec!["deny b/d became allow"]),
        (&["id: d, hold: {}, approvers: { groups: [dba] }", HOLD], vec!["deny b/d became hold"]),
        (&[DENY, "id: h, deny: { actions: [update] }"], vec![]),
        (&["id: d, deny: {}", HOLD], vec![]),
        (
            &[
                "id: d, deny: { actions: [define], objects: ['table hr.*', 'table public.*', 'table a.*'], marks: [forced, locks] }",
                HOLD,
            ],
            vec![],
        ),
        (
            &["id: d, deny: { actions: [drop], objects: ['table public.*'], marks: [forced] }", HOLD],
            vec!["deny b/d: actions lost: alter", "deny b/d: objects lost: table hr.*", "deny b/d: marks lost: locks"],
        ),
        (
            &[
                DENY,
                "id: h, hold: { actions: [update], objects: ['table hr.*'] }, approvers: { groups: [dba, dev] }, valid: 1h, grant: 5m",
            ],
            vec![
                "hold b/h: objects lost: all but table hr.*",
                "hold b/h: 1 approvals instead of 2",
                "hold b/h: more may approve: dev",
                "hold b/h: an approval stays valid for longer",
                "hold b/h: a grant may last for longer",
                "hold b/h: no reason is asked for",
                "hold b/h: rows are not counted for those who decide",
            ],
        ),
    ] {
        assert_eq!(lost(&old, &bundle(rules)), expected, "{rules:?}");
    }
}

#[test]
fn fields_that_a_deny_no_longer_finds_are_named() {
    let deny = |fields: &str| bundle(&[&format!("id: d, deny: {{ actions: [insert]{fields} }}")]);
    let old = deny(", fields: { '$.status': [open, 5], '$.amount': { min: 5 } }");
    for (fields, expected) in [
        (", fields: { '$.amount': { min: 5 }, '$.status': [5, open, paid] }", vec![]),
        ("", vec![]),
        (", fields: { '$.status': [open, '5'], '$.amount': { min: 5 } }", vec!["deny b/d: fields lost: $.status: 5"]),
        (
            ", fields: { '$.status': [open, 5], '$.amount': { min: 5, max: 7 } }",
            vec!["deny b/d: fields lost: $.amount: min 5"],
        ),
    ] {
        assert_eq!(lost(&old, &deny(fields)), expected, "{fields}");
    }
    let found = lost(&deny(""), &deny(", fields: { '$.a': [x] }"));
    assert_eq!(found, ["deny b/d: fields lost: all but $.a: x"]);
}

#[test]
fn a_bundle_gone_or_about_fewer_is_named() {
    let text = |name: &str, scope: &str| bundle(&[DENY]).replace("bundle: b\n", &format!("bundle: {name}\n{scope}\n"));
    let all = text("b", "");
    assert_eq!(lost(&all, &text("c", "")), ["bundle b is gone"]);
    assert_eq!(
        lost(
            &all,
            &text("b", "applies_to: { connections: [shop], principals: { groups: [agents], claims: { team: x } } }")
        ),
        [
            "bundle b: connections lost: all but shop",
            "bundle b: groups lost: all but agents",
            "bundle b: claim team lost: all but x"
        ]
    );
    let two = text("b", "applies_to: { connections: [shop, crm], principals: { users: [ann, bob] } }");
    assert_eq!(
        lost(&two, &text("b", "applies_to: { connections: [shop], principals: { users: [ann] } }")),
        ["bundle b: connections lost: crm", "bundle b: users lost: bob"]
    );
    assert!(lost(&two, &all).is_empty(), "about more than before");
    let allows = |scope: &str| bundle(&[ALLOW]).replace("bundle: b\n", &format!("bundle: b\n{scope}\n"));
    assert!(
        lost(&allows(""), &allows("applies_to: { connections: [shop] }")).is_empty(),
        "only allows are about fewer"
    );
}

fn masks(list: &[&str]) -> String {
    list.iter().fold("bundle: b\nmask:\n".to_owned(), |text, mask| format!("{text}  - {{ {mask} }}\n"))
}

const PII: &str = "id: m, columns: [public.c.email, public.c.ssn], with: redact";
const CARDS: &str = "id: cards, detect: [payment_card, { regex: 'EMP-[0-9]{6}' }], with: { keep_last: 4 }";
const PATHS: &str = "id: paths, json: ['$..ssn', '$.email'], with: redact";

#[test]
fn what_masks_lose_is_named() {
    let old = masks(&[PII, CARDS, PATHS]);
    let m = |text: &str| format!("id: m, {text}");
    for (now, expected) in [
        (masks(&[PATHS, CARDS, PII]), vec![]),
        (masks(&[PII, CARDS, PATHS, "id: more, detect: [email], with: redact"]), vec![]),
        (masks(&[&m("columns: [public.c.email, public.c.ssn, public.c.name], with: 'null'"), CARDS, PATHS]), vec![]),
        (masks(&[PII, PATHS]), vec!["mask b/cards is gone"]),
        (
            masks(&[&m("columns: [public.c.email], with: redact"), CARDS, PATHS]),
            vec!["mask b/m: columns lost: public.c.ssn"],
        ),
        (
            masks(&[&m("columns: [public.c.email, public.c.ssn], json: [$.a], with: redact"), CARDS, PATHS]),
            vec!["mask b/m: columns are no longer hidden whole: only $.a in them"],
        ),
        (
            masks(&[&m("columns: [public.c.email, public.c.ssn], with: hash"), CARDS, PATHS]),
            vec!["mask b/m: hash instead of redact"],
        ),
        (
            masks(&[
                &m(
                    "columns: [public.c.email, public.c.ssn], with: { fixed: '***' }, unless: { groups: [dba] }, predicates: equality",
                ),
                CARDS,
                PATHS,
            ]),
            vec![
                "mask b/m: fixed: \"***\" instead of redact",
                "mask b/m: more are exempt: group dba",
                "mask b/m: predicates equality instead of deny",
            ],
        ),
        (
            masks(&[PII, "id: cards, detect: [payment_card], with: { keep_last: 6 }", PATHS]),
            vec![
                "mask b/cards: detectors lost: regex EMP-[0-9]{6}",
                "mask b/cards: keep_last: 6 instead of keep_last: 4",
            ],
        ),
        (
            masks(&[
                PII,
                "id: cards, detect: [payment_card, { regex: 'EMP-[0-9]{6}' }], with: { keep_first: 2 }",
                PATHS,
            ]),
            vec!["mask b/cards: keep_first: 2 instead of keep_last: 4"],
        ),
        (masks(&[PII, CARDS, "id: paths, json: ['$..ssn'], with: redact"]), vec!["mask b/paths: paths lost: $.email"]),
        (
            masks(&[PII, CARDS, "id: paths, columns: [public.c.doc], json: ['$..ssn', '$.email'], with: redact"]),
            vec!["mask b/paths: paths apply only inside public.c.doc"],
        ),
        (
            masks(&[PII, CARDS, "id: paths, functions: { clean: [public.f] }"]),
            vec!["mask b/paths: paths lost: $..ssn, $.email", "mask b/paths: clean functions added: public.f"],
        ),
    ] {
        assert_eq!(lost(&old, &now), expected, "{now}");
    }
}

#[test]
fn exemptions_may_narrow_and_what_is_unproven_may_only_be_treated_more_strictly() {
    let mask = |rest: &str| masks(&[&format!("id: m, columns: [a.b.c], with: redact, {rest}")]);
    for (was, now, expected) in [
        ("unless: { groups: [dba, ops] }", "unless: { groups: [dba] }", vec![]),
        ("unless: { groups: [dba] }", "unless: { groups: [dba], users: [ann] }", vec![]),
        (
            "unless: { groups: [dba], users: [ann] }",
            "unless: { groups: [dba] }",
            vec!["mask b/m: more are exempt: group dba"],
        ),
        ("unless: { groups: [dba] }", "unless: { users: [ann] }", vec!["mask b/m: more are exempt: user ann"]),
        (
            "unless: { claims: { team: a } }",
            "unless: { claims: { team: [a, b] } }",
            vec!["mask b/m: more are exempt: claim team a or b"],
        ),
        ("unproven: mask", "unproven: deny", vec![]),
        ("unproven: deny", "predicates: deny", vec!["mask b/m: unproven mask instead of deny"]),
        ("predicates: allow", "predicates: equality", vec![]),
        ("predicates: equality", "predicates: allow", vec!["mask b/m: predicates allow instead of equality"]),
    ] {
        assert_eq!(lost(&mask(was), &mask(now)), expected, "{was} to {now}");
    }
}

#[test]
fn paths_given_up_for_the_whole_column_are_no_loss() {
    let inside = masks(&["id: m, columns: [a.b.c], json: ['$.x'], with: redact"]);
    let whole = masks(&["id: m, columns: [a.b.c], with: redact"]);
    assert!(lost(&inside, &whole).is_empty());
    assert_eq!(lost(&whole, &inside).len(), 1);
}

#[test]
fn a_new_clean_function_is_a_loss_wherever_it_comes_from() {
    let clean =
        |head: &str, list: &str| format!("bundle: {head}\nmask:\n  - {{ id: m, functions: {{ clean: [{list}] }} }}\n");
    assert!(lost(&clean("b", "a.f, a.g"), &clean("b", "a.g")).is_empty());
    assert_eq!(lost(&clean("b", "a.f"), &clean("b", "a.f, a.g")), ["mask b/m: clean functions added: a.g"]);
    let set = load(&[&masks(&[PII]), &clean("new", "a.f")]);
    assert_eq!(set.weakens(&load(&[&masks(&[PII])])), ["mask new/m: clean functions added: a.f"]);
    let on = |list: &str| clean(&format!("b\napplies_to: {{ connections: [{list}] }}"), "a.f");
    assert_eq!(lost(&on("staging"), &on("staging, shop")), ["bundle b: functions are clean on more connections: shop"]);
    assert_eq!(lost(&on("staging"), &clean("b", "a.f")).len(), 1, "on all");
}

#[test]
fn masks_bind_everybody_so_only_their_connections_count() {
    let text = |scope: &str| masks(&[PII]).replace("bundle: b\n", &format!("bundle: b\n{scope}\n"));
    assert!(lost(&text(""), &text("applies_to: { principals: { groups: [agents] } }")).is_empty());
    assert_eq!(
        lost(&text("applies_to: { connections: [shop, crm] }"), &text("applies_to: { connections: [shop] }")),
        ["bundle b: connections lost: crm"]
    );
}

#[test]
fn a_limit_that_is_gone_or_larger_is_named() {
    const FEW: &str = "id: few, allow: { actions: [delete], objects: ['*'] }";
    let rule = |more: &str| bundle(&[&format!("{FEW}{more}")]);
    for (old, new, expected) in [
        (", max_rows: 5", ", max_rows: 5", vec![]),
        (", max_rows: 5", ", max_rows: 4", vec![]),
        ("", ", max_rows: 4", vec![]),
        (", max_rows: 5, cascades: ignore", ", max_rows: 5", vec![]),
        (", max_rows: 5", ", max_rows: 6", vec!["allow b/few: max_rows 6 instead of 5"]),
        (", max_rows: 5", "", vec!["allow b/few: no max_rows"]),
        (", max_rows: 5", ", max_rows: 5, cascades: ignore", vec!["allow b/few: cascades are not counted"]),
    ] {
        assert_eq!(lost(&rule(old), &rule(new)), expected, "{old} to {new}");
    }
}
