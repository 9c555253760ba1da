//! Pairs of sets, and what the second takes away.

use crate::samples::{bundle, load};

const DENY: &str =
    "id: d, deny: { actions: [drop, alter], objects: ['table public.*', 'table hr.*'], marks: [forced, locks] }";
const HOLD: &str = "id: h, hold: { actions: [update] }, approvers: { groups: [dba] }, approvals: 2";
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
                "id: h, hold: { actions: [update], objects: ['table hr.*'] }, approvers: { groups: [dba, dev] }, valid: 1h",
            ],
            vec![
                "hold b/h: objects lost: all but table hr.*",
                "hold b/h: 1 approvals instead of 2",
                "hold b/h: more may approve: dev",
                "hold b/h: an approval stays valid for longer",
            ],
        ),
    ] {
        assert_eq!(lost(&old, &bundle(rules)), expected, "{rules:?}");
    }
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
