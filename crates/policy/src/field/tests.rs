//! What rules say of bodies, as tables: an allow that needs all, a deny and a hold that need any.

use super::*;
use crate::Case;
use crate::samples::{agent, bundle, load, say, shop};
use jiff::Timestamp;
use portcullis_model::{Action, Name, Object, Operation};

fn judged(rules: &[&str], body: Option<&Fields>) -> String {
    let set = load(&[&bundle(rules)]);
    let object = Object::Endpoint { method: Name::canonical("POST"), path: Name::canonical("/orders") };
    let (operations, principal, connection) = ([Operation::new(Action::Insert, object)], agent(), shop());
    let case = Case {
        principal: &principal,
        connection: &connection,
        operations: &operations,
        home: None,
        fields: body,
        at: Timestamp::UNIX_EPOCH,
    };
    let decision = set.decide(&case);
    assert_eq!(set.explain(&case).decision, decision);
    say(&decision)
}

fn of(json: &str) -> Fields {
    read_body(json).unwrap()
}

const ALL: &str = "id: all, allow: { actions: [any], objects: ['*'] }";

/// Whether a rule with these fields allows, and whether it denies, a request with this body.
fn both(fields: &str, body: Option<&Fields>) -> (bool, bool) {
    let allow = format!("id: a, allow: {{ actions: [insert], objects: ['endpoint POST /orders'], fields: {fields} }}");
    let deny = format!("id: d, deny: {{ actions: [insert], fields: {fields} }}");
    let held = format!("id: h, hold: {{ fields: {fields} }}, approvers: {{ groups: [dba] }}");
    let denied = judged(&[ALL, &deny], body) == "deny d";
    assert_eq!(judged(&[ALL, &held], body) == "hold h", denied, "a hold matches as a deny does: {fields}");
    (judged(&[&allow], body) == "allow", denied)
}

#[test]
fn an_allow_needs_all_and_a_deny_any() {
    let status = "{ '$.status': [open, paid] }";
    let amount = "{ '$.amount': { max: 1000 } }";
    let two = "{ '$.status': [open], '$.amount': { min: 1, max: 1000 } }";
    let items = "{ '$.items[*].sku': ['A-*'] }";
    for (fields, body, allowed, denied) in [
        (status, r#"{"status": "open"}"#, true, true),
        (status, r#"{"status": "Open"}"#, false, false),
        (status, r#"{"status": "closed"}"#, false, false),
        (status, r#"{"other": "open"}"#, false, false),
        // A name in another case: Go, .NET and others find the member there, and of two the last one.
        (status, r#"{"Status": "open"}"#, false, true),
        (status, r#"{"STATUS": "closed"}"#, false, false),
        (status, r#"{"status": "open", "Status": "paid"}"#, false, true),
        (status, r#"{"status": "open", "Status": "closed"}"#, false, true),
        (status, r#"{"status": "closed", "\u017ftatus": "open"}"#, false, true),
        (status, r#"{"\u017ftatu\u017f": "paid"}"#, false, true),
        (status, r#"{"status": "open", "Status": {"a": "x"}}"#, false, true),
        (status, r#"{"status": "open", "States": "paid", "in": {"Status": "paid"}}"#, true, true),
        ("{ '$.\u{fc}ber.status': [open] }", "{\"\u{dc}BER\": {\"status\": \"open\"}}", false, true),
        ("{ '$.in.status': [open] }", r#"{"in": {"status": "open"}, "IN": {"status": "paid"}}"#, false, true),
        ("{ '$.in.status': [open] }", r#"{"in": {"status": "open"}, "status": "paid", "Status": 1}"#, true, true),
        ("{ '$..kind': [refund] }", r#"{"in": [{"\u212aIND": "refund"}]}"#, false, true),
        ("{ '$..kind': [refund] }", r#"{"in": [{"KINDS": "refund"}]}"#, false, false),
        ("{ '$.*': [open] }", r#"{"status": "open", "Status": "open"}"#, true, true),
        (status, r#"{"status": ["open"]}"#, false, true),
        (status, r#"{"status": {"is": "x"}}"#, false, true),
        (status, r#"{"status": []}"#, false, true),
        (status, r#"{"status": {}}"#, false, true),
        (status, r#"{"status": null}"#, false, false),
        (status, r#"{"in": {"status": "open"}}"#, false, false),
        ("{ '$..status': [open] }", r#"{"in": {"status": "open"}}"#, true, true),
        ("{ '$..status': [open] }", r#"{"status": {"status": "open"}}"#, false, true),
        (amount, r#"{"amount": 1000}"#, true, true),
        (amount, r#"{"amount": 1e3}"#, true, true),
        (amount, r#"{"amount": 1000.0000000000000001}"#, false, false),
        (amount, r#"{"amount": "999"}"#, false, true),
        (amount, r#"{"amount": "0x10"}"#, false, true),
        (amount, r#"{"amount": true}"#, false, true),
        (amount, r#"{"amount": null}"#, false, true),
        ("{ '$.amount': { min: 1 } }", r#"{"amount": null}"#, false, false),
        ("{ '$.amount': { max: -1 } }", r#"{"amount": null}"#, false, false),
        ("{ '$.amount': { min: 1 } }", r#"{"amount": ""}"#, false, true),
        (amount, r#"{"amount": -5}"#, true, true),
        (two, r#"{"status": "open", "amount": 5}"#, true, true),
        (two, r#"{"status": "open"}"#, false, true),
        (two, r#"{"status": "closed", "amount": 0}"#, false, false),
        (items, r#"{"items": [{"sku": "A-1"}, {"sku": "A-2"}]}"#, true, true),
        (items, r#"{"items": [{"sku": "A-1"}, {"sku": "B-2"}]}"#, false, true),
        (items, r#"{"items": [{"sku": "A-1"}, {"sku": {"x": "A-2"}}]}"#, false, true),
        (items, r#"{"items": []}"#, false, false),
        (items, r#"{"items": {"first": {"sku": "A-1"}}}"#, true, true),
        ("{ '$[0]': [x] }", r#"["x", "y"]"#, true, true),
        ("{ '$[1]': [x] }", r#"["x", "y"]"#, false, false),
        ("{ '$[\"a b\"]': [x] }", r#"{"a b": "x"}"#, true, true),
        ("{ '$.n': [5] }", r#"{"n": 5.0}"#, true, true),
        ("{ '$.n': [5] }", r#"{"n": "5"}"#, false, true),
        ("{ '$.n': ['5'] }", r#"{"n": 5}"#, false, true),
        ("{ '$.n': [true] }", r#"{"n": true}"#, true, true),
        ("{ '$.n': [100] }", r#"{"n": "+100"}"#, false, true),
        ("{ '$.n': [100] }", r#"{"n": "0100"}"#, false, true),
        ("{ '$.n': [100] }", r#"{"n": "100."}"#, false, true),
        ("{ '$.n': [100] }", r#"{"n": "99"}"#, false, false),
        ("{ '$.n': [100] }", r#"{"n": "none"}"#, false, false),
        ("{ '$.n': [100] }", "{\"n\": \"\u{ff11}\u{ff10}\u{ff10}\"}", false, true),
        ("{ '$.n': [100] }", "{\"n\": \"\u{661}\u{660}\u{660}\"}", false, true),
        ("{ '$.n': [100] }", "{\"n\": \"\u{216d}\"}", false, true),
        ("{ '$.n': [100] }", r#"{"n": " \t"}"#, false, true),
        ("{ '$.n': [100] }", "{\"n\": \"\u{a0}100\u{3000}\"}", false, true),
        ("{ '$.n': [100] }", r#"{"n": null}"#, false, false),
        ("{ '$.n': [0] }", r#"{"n": ""}"#, false, true),
        ("{ '$.n': [0.0] }", r#"{"n": null}"#, false, true),
        ("{ '$.n': [0] }", r#"{"n": {}}"#, false, true),
        ("{ '$.n': [0] }", r#"{"m": 1}"#, false, false),
        ("{ '$.n': [0] }", r#"{"n": "none"}"#, false, false),
        ("{ '$.n': [false] }", r#"{"n": null}"#, false, true),
        ("{ '$.n': [false] }", r#"{"n": []}"#, false, true),
        ("{ '$.n': [false] }", r#"{"m": null}"#, false, false),
        ("{ '$.n': [true] }", r#"{"n": null}"#, false, false),
        ("{ '$.n': [''] }", r#"{"n": null}"#, false, true),
        ("{ '$.n': ['a*'] }", r#"{"n": null}"#, false, false),
        ("{ '$.n': [1] }", r#"{"n": true}"#, false, true),
        ("{ '$.n': [1] }", r#"{"n": false}"#, false, false),
        ("{ '$.n': [true] }", r#"{"n": "TRUE"}"#, false, true),
        ("{ '$.n': [true] }", r#"{"n": "yes"}"#, false, true),
        ("{ '$.n': [true] }", r#"{"n": "Off"}"#, false, false),
        ("{ '$.n': [true] }", r#"{"n": 1}"#, false, true),
        ("{ '$.n': [true] }", r#"{"n": 0.0}"#, false, false),
        ("{ '$.n': [false] }", r#"{"n": -0e5}"#, false, true),
        ("{ '$.n': [false] }", r#"{"n": ""}"#, false, true),
        ("{ '$.n': [false] }", r#"{"n": "true"}"#, false, false),
        ("{ '$.n': [null] }", r#"{"n": null}"#, true, true),
        ("{ '$.n': ['*'] }", r#"{"n": ""}"#, true, true),
        ("{ '$.n': ['*'] }", r#"{"n": null}"#, true, true),
        ("{ '$.n': ['*'] }", r#"{"m": 1}"#, false, false),
        ("{ '$.n': [''] }", r#"{"n": ""}"#, true, true),
        ("{ '$.n': [''] }", r#"{"n": "x"}"#, false, false),
        ("{ '$.n': ['{a,b}*'] }", r#"{"n": "bc"}"#, true, true),
        (r"{ '$.n': ['a\*'] }", r#"{"n": "ab"}"#, false, false),
        // JSON Patch (RFC 6902).
        (status, r#"[{"op": "replace", "path": "/status", "value": "open"}]"#, false, true),
        (status, r#"[{"op": "replace", "path": "/status", "value": "closed"}]"#, false, false),
        (status, r#"[{"op": "replace", "path": "/Status", "value": "open"}]"#, false, true),
        (status, r#"[{"op": "replace", "path": "", "value": {"status": "open"}}]"#, false, true),
        (status, r#"[{"op": "replace", "path": "/status~0", "value": "open"}]"#, false, false),
        (status, r#"[{"op": "remove", "path": "/status"}]"#, false, false),
        (status, r#"[{"op": "copy", "from": "/note", "path": "/status"}]"#, false, true),
        (
            amount,
            r#"[{"op": "add", "path": "/note", "value": 1}, {"value": 1, "path": "/amount", "op": "add"}]"#,
            false,
            true,
        ),
        (items, r#"[{"op": "add", "path": "/items/-", "value": {"sku": "A-1"}}]"#, false, true),
        (items, r#"[{"op": "replace", "path": "/items/0/sku", "value": "B-1"}]"#, false, false),
        ("{ '$[*].path': ['/note'] }", r#"[{"op": "add", "path": "/note", "value": 1}]"#, true, true),
    ] {
        assert_eq!(both(fields, Some(&of(body))), (allowed, denied), "{fields} of {body}");
    }
}

#[test]
fn no_body_is_neither_allowed_nor_denied_and_an_unread_one_is_denied() {
    let fields = "{ '$.status': [open] }";
    assert_eq!(both(fields, None), (false, false));
    assert_eq!(both(fields, Some(&Fields::none())), (false, false));
    assert_eq!(both(fields, Some(&Fields::unknown())), (false, true));
    let many = format!("[{}0]", "0, ".repeat(Fields::MOST));
    assert_eq!(both(fields, Some(&of(&many))), (false, true));
}

#[test]
fn an_explanation_says_which_field() {
    let rules = [
        "id: small, allow: { actions: [insert], objects: ['endpoint POST /orders'], fields: { '$.amount': { max: 10 } } }",
        "id: closed, deny: { fields: { '$.status': [closed] } }",
    ];
    let set = load(&[&bundle(&rules)]);
    let object = Object::Endpoint { method: Name::canonical("POST"), path: Name::canonical("/orders") };
    let (operations, principal, connection) = ([Operation::new(Action::Insert, object)], agent(), shop());
    let explain = |body: &Fields| {
        let case = Case {
            principal: &principal,
            connection: &connection,
            operations: &operations,
            home: None,
            fields: Some(body),
            at: Timestamp::UNIX_EPOCH,
        };
        set.explain(&case).to_string()
    };
    for (body, note) in [
        (of(r#"{"amount": 11}"#), "[$.amount is 11]"),
        (of(r#"{"amount": "\u001b[2J"}"#), r#"[$.amount is "\u{1b}[2J"]"#),
        (of(r#"{"amount": [1]}"#), "[$.amount is no single value]"),
        (of(r#"{"amount": 1, "Amount": 2}"#), "[$.amount stands there in another spelling]"),
        (of(r#"{"Status": "closed"}"#), "[by $.status]"),
        (of("{}"), "[$.amount is not there]"),
        (Fields::none(), "[$.amount is not there]"),
        (Fields::unknown(), "[the body could not be read, and it is about its fields]"),
        (of(r#"{"amount": 1, "status": "closed"}"#), "[by $.status]"),
    ] {
        let explained = explain(&body);
        assert!(explained.contains(note), "{note} in\n{explained}");
    }
}

#[test]
fn a_body_is_read_with_every_value_and_its_kind() {
    let body = of(r#"{"a": [1, "1", true, null, {}], "b": {"c": "x"}}"#);
    let kinds: Vec<_> = body.leaves().unwrap().iter().map(|leaf| (leaf.path.len(), leaf.value.clone())).collect();
    let expected = [
        (2, Scalar::Number("1".into())),
        (2, Scalar::Text("1".into())),
        (2, Scalar::Bool(true)),
        (2, Scalar::Null),
        (2, Scalar::Empty),
        (2, Scalar::Text("x".into())),
    ];
    assert_eq!(kinds, expected);
    assert!(read_body("{").is_err());
}
