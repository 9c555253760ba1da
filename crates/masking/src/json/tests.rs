//! Paths, words, and documents against serde_json.

mod documents;

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn key() -> Key {
    Key::new([9; 32])
}

fn masked(text: &str, paths: &[(&str, Transform)]) -> Result<Option<String>, NotJson> {
    let paths: Vec<_> = paths.iter().map(|(path, with)| (JsonPath::parse(path).unwrap(), with.clone())).collect();
    mask_json(text, &paths, &key())
}

fn redacted(text: &str, path: &str) -> Option<String> {
    masked(text, &[(path, Transform::Redact)]).unwrap()
}

#[test]
fn only_what_a_path_leads_to_is_replaced_and_every_other_byte_stays() {
    let text = " { \"ssn\" :\t\"1\", \"u\":{\"ssn\":2,\"n\":[{\"ssn\":true},{\"ssn\":null}]} ,\"é\":1e5 }\n";
    let cases = [
        (
            "$.ssn",
            " { \"ssn\" :\t\"[redacted]\", \"u\":{\"ssn\":2,\"n\":[{\"ssn\":true},{\"ssn\":null}]} ,\"é\":1e5 }\n",
        ),
        (
            "$..ssn",
            " { \"ssn\" :\t\"[redacted]\", \"u\":{\"ssn\":\"[redacted]\",\"n\":[{\"ssn\":\"[redacted]\"},{\"ssn\":null}]} ,\"é\":1e5 }\n",
        ),
        ("$.u", " { \"ssn\" :\t\"1\", \"u\":\"[redacted]\" ,\"é\":1e5 }\n"),
        ("$.u.n[0]", " { \"ssn\" :\t\"1\", \"u\":{\"ssn\":2,\"n\":[\"[redacted]\",{\"ssn\":null}]} ,\"é\":1e5 }\n"),
        (
            "$.é",
            " { \"ssn\" :\t\"1\", \"u\":{\"ssn\":2,\"n\":[{\"ssn\":true},{\"ssn\":null}]} ,\"é\":\"[redacted]\" }\n",
        ),
        ("$", " \"[redacted]\"\n"),
    ];
    for (path, expected) in cases {
        assert_eq!(redacted(text, path).as_deref(), Some(expected), "{path}");
    }
    for path in ["$.sn", "$.ssn.x", "$[0]", "$.u.n[2]", "$.u.n[1].ssn", "$.n..ssn"] {
        assert_eq!(redacted(text, path), None, "{path}");
    }
}

#[test]
fn a_key_is_what_it_says_not_how_it_is_written() {
    assert_eq!(redacted(r#"{"\u0073sn":1}"#, "$.ssn").unwrap(), r#"{"\u0073sn":"[redacted]"}"#);
    assert_eq!(redacted(r#"{"s\"n":1}"#, r#"$['s"n']"#).unwrap(), r#"{"s\"n":"[redacted]"}"#);
    assert_eq!(redacted(r#"{"\ud83d\ude00":1}"#, "$['😀']").unwrap(), r#"{"\ud83d\ude00":"[redacted]"}"#);
    assert_eq!(redacted(r#"{"a/b":1,"a\/b":2}"#, "$['a/b']").unwrap(), r#"{"a/b":"[redacted]","a\/b":"[redacted]"}"#);
    assert_eq!(redacted(r#"{"ssn\u0000":1}"#, "$.ssn"), None);
}

#[test]
fn letters_of_either_case_are_one_name() {
    let all = [
        (r#"{"SSN":1,"Ssn":2,"ssns":3}"#, "$..ssn", r#"{"SSN":"[redacted]","Ssn":"[redacted]","ssns":3}"#),
        (r#"{"ssn":1}"#, "$.SSN", r#"{"ssn":"[redacted]"}"#),
        (r#"{"STRASSE":1,"Straße":2}"#, "$.straße", r#"{"STRASSE":"[redacted]","Straße":"[redacted]"}"#),
        (r#"{"STRAẞE":1}"#, "$.strasse", r#"{"STRAẞE":"[redacted]"}"#),
        (r#"{"to\u212aen":1,"\u017fsn":2}"#, "$..token", r#"{"to\u212aen":"[redacted]","\u017fsn":2}"#),
        (r#"{"ΟΔΟΣ":1,"οδοσ":2}"#, "$.οδος", r#"{"ΟΔΟΣ":"[redacted]","οδοσ":"[redacted]"}"#),
        (r#"{"Owner":{"NAME":1,"id":2}}"#, "$.owner.name", r#"{"Owner":{"NAME":"[redacted]","id":2}}"#),
    ];
    for (text, path, expected) in all {
        assert_eq!(redacted(text, path).as_deref(), Some(expected), "{path}");
    }
}

#[test]
fn a_name_that_is_a_way_is_followed() {
    let masked = [
        (r#"{"customer.ssn":["1"]}"#, "$..ssn"),
        (r#"{"customer.SSN":1}"#, "$..ssn"),
        (r#"{"ssn.keyword":1}"#, "$..ssn"),
        (r#"{"a.ssn.b.c":1}"#, "$..ssn"),
        (r#"{"items[0].ssn":1}"#, "$..ssn"),
        (r#"{"customer[ssn]":1}"#, "$..ssn"),
        (r#"{"customer[\"ssn\"]":1}"#, "$..ssn"),
        (r#"{"items.0.ssn":1}"#, "$.items[*].ssn"),
        (r#"{"items[0].ssn":1}"#, "$.items[0].ssn"),
        (r#"{"items.ssn":[1]}"#, "$.items[*].ssn"),
        (r#"{"address.street":1}"#, "$.address"),
        (r#"{"a.b":{"c":1}}"#, "$.a.b.c"),
        (r#"{"a":{"b.c":1}}"#, "$.a.b.c"),
        (r#"{"a.b.c":1}"#, "$.a..c"),
        (r#"{"a.b":1}"#, "$['a.b']"),
    ];
    for (text, path) in masked {
        let shown = redacted(text, path).unwrap_or_else(|| panic!("{path} is not found in {text}"));
        assert!(shown.contains("[redacted]"), "{shown}");
    }
    let others = [
        (r#"{"customer.ssns":1}"#, "$..ssn"),
        (r#"{"customer_ssn":1,"ssn-hash":2,"a.xssn":3}"#, "$..ssn"),
        (r#"{"customer.ssn":1}"#, "$.ssn"),
        (r#"{"items.1.ssn":1}"#, "$.items[0].ssn"),
        (r#"{"a.b":{"d":1},"c":2}"#, "$.a.b.c"),
        (r#"{"...":1,"[":2,".x.":3}"#, "$..ssn"),
    ];
    for (text, path) in others {
        assert_eq!(redacted(text, path), None, "{path} of {text}");
    }
}

#[test]
fn a_key_that_occurs_twice_is_masked_twice() {
    assert_eq!(
        redacted(r#"{"a":1,"a":{"b":2},"a":[]}"#, "$.a").unwrap(),
        r#"{"a":"[redacted]","a":"[redacted]","a":"[redacted]"}"#
    );
    assert_eq!(redacted(r#"{"a":1,"a":{"b":2}}"#, "$.a.b").unwrap(), r#"{"a":1,"a":{"b":"[redacted]"}}"#);
}

#[test]
fn each_kind_of_value_takes_each_transform() {
    let text = r#"["4111111111111111",7,false,null,{"a":1},[2]]"#;
    let hash = |value: &str| format!("\"{}\"", key().digest(value.as_bytes()));
    let cases = [
        (Transform::Null, "[null,null,null,null,null,null]".to_owned()),
        (Transform::Fixed("a\"\n\u{1}".into()), {
            let fixed = r#""a\"\n\u0001""#;
            format!(r#"[{fixed},{fixed},{fixed},null,"[redacted]","[redacted]"]"#)
        }),
        (Transform::KeepLast(4), r#"["************1111",null,null,null,"[redacted]","[redacted]"]"#.to_owned()),
        (
            Transform::Hash,
            format!(r#"[{},{},{},null,"[redacted]","[redacted]"]"#, hash("4111111111111111"), hash("7"), hash("false")),
        ),
    ];
    for (transform, expected) in cases {
        assert_eq!(masked(text, &[("$[*]", transform)]).unwrap().unwrap(), expected);
    }
}

#[test]
fn the_strictest_of_the_paths_that_lead_somewhere_decides() {
    let text = r#"{"a":{"b":"xxxxxxxxxx"}}"#;
    let both = [("$.a.b", Transform::KeepLast(4)), ("$..b", Transform::Null)];
    assert_eq!(masked(text, &both).unwrap().unwrap(), r#"{"a":{"b":null}}"#);
    // what is below a hidden container is gone whatever another path asks for it
    let nested = [("$.a", Transform::Redact), ("$.a.b", Transform::KeepLast(4))];
    assert_eq!(masked(text, &nested).unwrap().unwrap(), r#"{"a":"[redacted]"}"#);
}

#[test]
fn what_is_not_json_for_every_reader_is_refused() {
    let bad = [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "[01]",
        "[1.]",
        "[.5]",
        "[+1]",
        "[1e]",
        "[NaN]",
        "tru",
        "truex",
        "[1] 2",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\udc00x\"",
        "\"\\ud800\\u0041\"",
        "\"a\nb\"",
        "\u{feff}1",
        "[1]//c",
        "{\"a\" 1}",
        "{\"a\":}",
        "[}",
        "{]",
        "[1 2]",
        "\u{a0}1",
        "nul",
        "{1:2}",
        "\"abc",
        "\"\\",
        "-",
        "\"\\u+123\"",
    ];
    for text in bad {
        assert_eq!(masked(text, &[("$..a", Transform::Redact)]), Err(NotJson), "{text:?}");
        assert!(serde_json::from_str::<Value>(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_string_with_members_that_cannot_be_read_is_replaced_whole_where_there_are_paths() {
    let deep = format!("{}{}", "[".repeat(600), "]".repeat(600));
    let unreadable = [
        r#"{"customer":{"ssn":"1"},"note":"\ud83d"}"#.to_owned(),
        r#"{"ssn":"1",}"#.to_owned(),
        r#"{"ssn":"1","at":'x'}"#.to_owned(),
        "\u{feff}{\"ssn\":\"1\"}".to_owned(),
        "\u{a0}[{\"ssn\" :1}]\u{2028}".to_owned(),
        format!(r#"{{"ssn":"1","deep":{deep}}}"#),
    ];
    let with = |inner: &str| serde_json::json!({ "note": "kept", "payload": inner }).to_string();
    let (key, paths) = (key(), [(JsonPath::parse("$..ssn").unwrap(), Transform::Redact)]);
    let masks = JsonMasks { paths: &paths, detectors: None, spared: &[], key: &key };
    let without = JsonMasks { paths: &[], ..masks };
    let masked = |masks: JsonMasks<'_>, text: &str| masks.mask(text.as_bytes()).unwrap().map(|masked| masked.text);
    for inner in unreadable {
        let expected = r#"{"note":"kept","payload":"[redacted]"}"#;
        assert_eq!(masked(masks, &with(&inner)).as_deref(), Some(expected), "{inner}");
        assert_eq!(masks.mask_text(&inner).unwrap().text, "[redacted]", "{inner}");
        assert_eq!(masked(without, &with(&inner)), None, "nothing is to be found in {inner}");
    }
    for inner in ["[info] began [7]", "{name}", "{a: 1}"] {
        assert_eq!(masked(masks, &with(inner)), None, "{inner}");
    }
}

#[test]
fn depth_is_bounded() {
    let nest = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(masked(&nest(512), &[]), Ok(None));
    assert_eq!(masked(&nest(513), &[]), Err(NotJson));
    assert_eq!(masked(&"[{\"a\":".repeat(1_000_000), &[("$..a", Transform::Null)]), Err(NotJson));
}

#[test]
fn paths_of_other_kinds_are_errors() {
    for path in [
        "",
        "a",
        ".a",
        "$a",
        "$.",
        "$..",
        "$.a.",
        "$[",
        "$[]",
        "$[-1]",
        "$[0:2]",
        "$[?(@.a)]",
        "$['a]",
        "$['a'",
        "$.a b",
        "$[a]",
        "$.['a']",
        "$['a\\x']",
        "$...a",
        "$[99999999999999999999]",
        "$.a[0",
        "$.'a'",
    ] {
        assert!(JsonPath::parse(path).is_err(), "{path}");
    }
    assert!(JsonPath::parse(&format!("${}", ".a".repeat(63))).is_ok());
    assert!(JsonPath::parse(&format!("${}", ".a".repeat(64))).is_err());
    assert_eq!(JsonPath::parse("$.a"), JsonPath::parse("$[\"a\"]"));
    assert_eq!(JsonPath::parse("$..*"), JsonPath::parse("$..[*]"));
}

/// Documents in which every value below a key `s` is `SECRET…`, and no other is.
fn document() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("-1.5e3".to_owned()),
        Just("true".to_owned()),
        "\"([a-z é]|\\\\n|\\\\u00e9|\\\\\"){0,6}\"",
    ];
    let secret = prop_oneof![
        "\"SECRET[a-z]{0,3}(\\\\n)?\"",
        "\\{\"[a-s]\": *\"SECRET\"\\}",
        "\\[\"SECRET\", *\\{\"s\":\"SECRET\"\\}\\]",
    ];
    scalar.prop_recursive(4, 40, 4, move |inner| {
        let secret = secret.clone();
        let member = prop_oneof![
            (Just("\"s\""), secret.clone()),
            (Just("\"\\u0073\""), secret),
            (Just("\"a\""), inner.clone()),
            (Just("\"s \""), inner.clone()),
        ];
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(|all| format!("[ {}]", all.join(" ,"))),
            proptest::collection::vec(member, 0..4).prop_map(|all| {
                let all: Vec<_> = all.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
                format!("{{{}\n}}", all.join(", "))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_secret_is_left_and_nothing_else_is_changed(text in document()) {
        let result = redacted(&text, "$..s");
        let shown = result.as_deref().unwrap_or(&text);
        prop_assert!(!shown.contains("SECRET"), "{text}");
        prop_assert!(serde_json::from_str::<Value>(shown).is_ok(), "{shown}");
        // the pieces between the replacements are pieces of the original, in order
        let mut rest = text.as_str();
        for piece in shown.split("\"[redacted]\"") {
            let at = rest.find(piece);
            prop_assert!(at.is_some(), "{piece:?} is not of {text:?}");
            rest = &rest[at.unwrap() + piece.len()..];
        }
        if result.is_none() {
            prop_assert!(!text.contains("SECRET"));
        }
    }

    #[test]
    fn what_is_accepted_is_what_serde_json_accepts(text in "[\\[\\]{}\":,a01.eE+\\-\\\\u n]{0,10}") {
        let ours = mask_json(&text, &[], &key()).is_ok();
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        prop_assert_eq!(ours, theirs, "{}", text);
    }

    #[test]
    fn bytes_of_any_kind_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        fuzz_json(&bytes);
    }

    #[test]
    fn documents_settle(text in document()) {
        fuzz_json(text.as_bytes());
    }
}
