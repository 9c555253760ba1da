//! Documents as they come over the wire: detectors, names, numbers, documents inside strings, what is spared, and bytes.

use super::super::*;
use portcullis_model::Detector;
use proptest::prelude::*;

const CARD: &str = "4111111111111111";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

struct Rules {
    paths: Vec<(JsonPath, Transform)>,
    detectors: Detectors,
    spared: Vec<JsonPath>,
}

fn path(text: &str) -> JsonPath {
    JsonPath::parse(text).unwrap()
}

fn rules(paths: &[(&str, Transform)], detectors: &[(Detector, Transform)]) -> Rules {
    let paths = paths.iter().map(|(text, with)| (path(text), with.clone())).collect();
    Rules { paths, detectors: Detectors::new(detectors).unwrap(), spared: Vec::new() }
}

/// Social security numbers by path, cards, addresses and keys of AWS wherever they are.
fn usual() -> Rules {
    rules(
        &[("$..ssn", Transform::Redact)],
        &[
            (Detector::PaymentCard, Transform::KeepLast(4)),
            (Detector::Email, Transform::Redact),
            (Detector::AwsKey, Transform::Redact),
        ],
    )
}

impl Rules {
    fn with<T>(&self, run: impl FnOnce(JsonMasks<'_>) -> T) -> T {
        let key = Key::new([9; 32]);
        run(JsonMasks { paths: &self.paths, detectors: Some(&self.detectors), spared: &self.spared, key: &key })
    }

    fn masked(&self, text: &str) -> Option<MaskedJson> {
        self.with(|masks| masks.mask(text.as_bytes())).unwrap()
    }

    /// The document as it comes out.
    fn shown(&self, text: &str) -> String {
        self.masked(text).map_or_else(|| text.to_owned(), |masked| masked.text)
    }
}

#[test]
fn detectors_look_at_what_strings_say_at_names_and_at_numbers() {
    let cases = [
        (r#"{"a": "pay 4111 1111 1111 1111 now"}"#, r#"{"a": "pay ***************1111 now"}"#),
        // however it is written
        (r#"["\u0034111111111111111", "ann\u0040example.com"]"#, r#"["************1111", "[redacted]"]"#),
        (r#"["a\n4111111111111111\"b\/"]"#, r#"["a\n************1111\"b/"]"#),
        (r#"{"n":4111111111111111 ,"m":-1.5e3}"#, r#"{"n":"************1111" ,"m":-1.5e3}"#),
        (r#"{"ann@example.com" : {"4111111111111111":1}}"#, r#"{"[redacted]" : {"************1111":1}}"#),
        (r#""ann@example.com""#, r#""[redacted]""#),
        (" 4111111111111111 ", " \"************1111\" "),
    ];
    for (text, expected) in cases {
        assert_eq!(usual().shown(text), expected, "{text}");
    }
    for text in
        [r#"{"a":1e400,"b":[-0,123456789012345678901234567890,1E2],"b":"\u00e9\/"}"#, " [ ] ", "4111111111111112"]
    {
        assert_eq!(usual().masked(text), None, "{text}");
    }
}

#[test]
fn only_the_very_name_is_spared() {
    let mut rules = usual();
    rules.spared = vec![path("$.id")];
    let text = format!(r#"{{"id":{CARD},"ID":{CARD},"id.x":{CARD}}}"#);
    let expected = format!(r#"{{"id":{CARD},"ID":"************1111","id.x":"************1111"}}"#);
    assert_eq!(rules.shown(&text), expected);
}

#[test]
fn a_key_that_its_name_makes_one_is_found() {
    let text = format!(r#"{{"aws_secret_access_key": "{SECRET_KEY}", "digest": "{SECRET_KEY}"}}"#);
    let expected = format!(r#"{{"aws_secret_access_key": "[redacted]", "digest": "{SECRET_KEY}"}}"#);
    let masked = usual().masked(&text).unwrap();
    assert_eq!((&*masked.text, &*masked.detectors), (&*expected, &[0, 0, 1][..]));
    let text = serde_json::to_string(&text).unwrap();
    assert_eq!(usual().shown(&text), serde_json::to_string(&expected).unwrap());
}

#[test]
fn every_rule_is_told_how_many_values_it_replaced() {
    let rules = rules(
        &[("$..ssn", Transform::Redact), ("$.a.ssn", Transform::KeepLast(4)), ("$.none", Transform::Null)],
        &[(Detector::PaymentCard, Transform::Redact), (Detector::Email, Transform::Redact)],
    );
    let text = format!(r#"{{"a":{{"ssn":"1","ssn":2}},"ssn":null,"b":["{CARD} {CARD}", {CARD}, "{{\"ssn\":[]}}"]}}"#);
    let masked = rules.masked(&text).unwrap();
    assert_eq!((&*masked.paths, &*masked.detectors), (&[3, 2, 0][..], &[3, 0][..]));
    let expected = r#"{"a":{"ssn":"[redacted]","ssn":"[redacted]"},"ssn":null,"b":["[redacted] [redacted]", "[redacted]", "{\"ssn\":\"[redacted]\"}"]}"#;
    assert_eq!(masked.text, expected);
}

#[test]
fn a_string_that_is_documents_is_looked_into_once() {
    let rules = rules(
        &[("$..ssn", Transform::Redact), ("$.body.key", Transform::Null), ("$.top", Transform::Redact)],
        &[(Detector::Email, Transform::Redact)],
    );
    let shown = |text: &str| rules.shown(text);
    let cases = [
        // by the same paths, from its own root and from where it stands
        (
            r#"{"x":" {\"ssn\" : 1,\"\u0073sn\":\"\\u0031\"}\n"}"#,
            r#"{"x":" {\"ssn\" : \"[redacted]\",\"ssn\":\"[redacted]\"}\n"}"#,
        ),
        (r#"{"body":"{\"key\":1,\"top\":2}"}"#, r#"{"body":"{\"key\":null,\"top\":\"[redacted]\"}"}"#),
        (r#"{"x":"{\"key\":1,\"body\":[]}"}"#, r#"{"x":"{\"key\":1,\"body\":[]}"}"#),
        // several, one behind the other
        (r#"["{\"ssn\":1}\n{\"ssn\":2}\n"]"#, r#"["{\"ssn\":\"[redacted]\"}\n{\"ssn\":\"[redacted]\"}\n"]"#),
        // what has their ends and members and is not JSON to its end is withheld, without members it is text
        (r#"["{\"a\":1}\n2{\"ssn\":2}"]"#, r#"["[redacted]"]"#),
        (r#"["{\"ssn\":1, ann@example.com }"]"#, r#"["[redacted]"]"#),
        (r#"["{ann@example.com }"]"#, r#"["{[redacted] }"]"#),
        // once: what is a string inside is one
        (
            r#"["[\"{\\\"ssn\\\":1,\\\"a\\\":\\\"ann@example.com\\\"}\"]"]"#,
            r#"["[\"{\\\"ssn\\\":1,\\\"a\\\":\\\"[redacted]\\\"}\"]"]"#,
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(shown(text), expected, "{text}");
    }
    let words = |text: &str| rules.with(|masks| masks.mask_text(text)).map(|masked| masked.text);
    assert_eq!(words(r#"{"ssn":1}"#).as_deref(), Some(r#"{"ssn":"[redacted]"}"#));
    assert_eq!(words(r#"{"a":1}"#), None);
    assert_eq!(words("to ann@example.com").as_deref(), Some("to [redacted]"));
    assert_eq!(words("{ ann@example.com }").as_deref(), Some("{ [redacted] }"));
}

#[test]
fn a_path_that_keeps_an_end_does_not_show_what_something_else_hides() {
    let keeps = |detector: Transform| {
        rules(&[("$.a", Transform::KeepLast(4)), ("$..ssn", Transform::Redact)], &[(Detector::PaymentCard, detector)])
    };
    let text = format!(r#"{{"a":"{CARD}"}}"#);
    assert_eq!(keeps(Transform::KeepLast(4)).shown(&text), r#"{"a":"************1111"}"#);
    assert_eq!(keeps(Transform::KeepLast(2)).shown(&text), r#"{"a":"**************11"}"#);
    assert_eq!(keeps(Transform::Redact).shown(&text), r#"{"a":"[redacted]"}"#);
    assert_eq!(keeps(Transform::KeepLast(4)).shown(r#"{"a":"{\"ssn\":\"123456789\"}"}"#), r#"{"a":"[redacted]"}"#);
    assert_eq!(
        keeps(Transform::KeepLast(4)).shown(r#"{"a":"{\"sn\":\"123456789\"}"}"#),
        r#"{"a":"**************89\"}"}"#
    );
}

#[test]
fn what_is_spared_is_left_as_it_is_unless_a_path_leads_there() {
    let mut rules = usual();
    rules.spared = vec![path("$..signature"), path("$.id")];
    let text = r#"{"signature":"ann@example.com","id":{"ann@example.com":["{\"ssn\":1}",{"ssn":"2","a":4111111111111111}]},"b":{"id":"ann@example.com"}}"#;
    let expected = r#"{"signature":"ann@example.com","id":{"ann@example.com":["{\"ssn\":1}",{"ssn":"[redacted]","a":4111111111111111}]},"b":{"id":"[redacted]"}}"#;
    assert_eq!(rules.shown(text), expected);
    // a document inside a string cannot spare anything
    let text = r#"{"t":"{\"signature\":\"ann@example.com\"}"}"#;
    assert_eq!(rules.shown(text), r#"{"t":"{\"signature\":\"[redacted]\"}"}"#);
}

#[test]
fn what_is_not_strict_json_is_withheld() {
    for bytes in [&b"{\"a\":\"\xff\"}"[..], b"\xef\xbb\xbf{}", b"{\0}", b"\xff\xfe{\0}\0", b"{} {}", b"{\"a\":1", b""] {
        assert_eq!(usual().with(|masks| masks.mask(bytes)), Err(NotJson), "{bytes:?}");
    }
}

/// A scalar, and whether it is to be masked wherever it stands.
fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("-0".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        Just(CARD.to_owned()),
        "\"([a-z é😀@.{\\[]|\\\\n|\\\\u00e9|\\\\/|\\\\\"){0,6}\"",
        "\"([a-z ]{0,3} )?(\\\\u0034|4)111111111111111\"",
        "\"(é|\\\\t)?canary@(example|\\\\u0065xample)[.]com\"",
    ]
}

fn document(secret: &'static str) -> impl Strategy<Value = String> {
    scalar().prop_recursive(4, 40, 4, move |inner| {
        let member = prop_oneof![
            (Just("\"ssn\""), secret),
            (Just("\"\\u0073sn\" "), secret),
            (Just("\"a\""), inner.clone()),
            (Just("\"canary@example.com\""), inner.clone()),
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

/// Documents with documents in their strings.
fn nesting() -> impl Strategy<Value = String> {
    let within = document("\"SECRET[a-z]{0,2}\"")
        .prop_filter("a container", |text| is_container(text))
        .prop_map(|text| serde_json::to_string(&text).unwrap());
    (document("\"SECRET[a-z]{0,2}(\\\\n)?\""), within, document("[1-9]{1,3}"))
        .prop_map(|(outer, within, third)| format!("[{outer},{within} ,{{\"w\":{within}}}\t,{third}]"))
}

/// A text as its words: strings, numbers and names of values whole, else one character each.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' {
            let mut escaped = false;
            let end = rest.char_indices().skip(1).find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            end.unwrap().0 + 1
        } else if first.is_ascii_alphanumeric() || first == '-' {
            let more = |c: char| !(c.is_ascii_alphanumeric() || "-+.".contains(c));
            rest.find(more).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after;
    }
    tokens
}

/// Whether a token says something that must not be seen, at any depth of strings in strings.
fn tells(token: &str) -> bool {
    let said = serde_json::from_str::<String>(token);
    let canary = ["SECRET", CARD, "canary@example.com"].iter().any(|canary| token.contains(canary));
    canary || said.is_ok_and(|said| tokens_of_any(&said).into_iter().any(tells) || tells(&said))
}

fn tokens_of_any(text: &str) -> Vec<&str> {
    if serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok() { tokens(text) } else { Vec::new() }
}

proptest! {
    #[test]
    fn nothing_that_must_not_be_seen_is_left_and_nothing_else_is_changed(text in nesting()) {
        let rules = usual();
        let shown = rules.shown(&text);
        prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&shown).is_ok(), "{shown}");
        let (before, after) = (tokens(&text), tokens(&shown));
        prop_assert_eq!(before.len(), after.len(), "{} {}", text, shown);
        let mut named = "";
        for (nth, (before, after)) in before.iter().zip(&after).enumerate() {
            prop_assert!(!tells(after), "{after} is left of {before} in {text}");
            let by_path = ["ssn", "\\u0073sn"].iter().any(|name| named.contains(name)) && !after.trim().is_empty();
            prop_assert!(before == after || tells(before) || by_path, "{before} became {after} in {text}");
            if !matches!(*before, " " | "\n" | "\t" | ":") {
                named = if tokens(&text)[nth..].iter().skip(1).find(|one| !one.trim().is_empty()) == Some(&":") { before } else { "" };
            }
        }
        let masked = rules.masked(&text);
        prop_assert_eq!(masked.is_some(), shown != text);
        if let Some(masked) = masked {
            prop_assert!(masked.paths.iter().chain(&masked.detectors).sum::<u64>() > 0);
        }
    }

    /// A string in a document is looked at as the same text outside of one is.
    #[test]
    fn a_string_is_looked_at_like_a_text(text in "([ -~é]|4111 1111 1111 1111|@example.com|\n){0,20}") {
        let rules = usual();
        let key = Key::new([9; 32]);
        let alone = rules.detectors.redact(&text, &key, &mut |_| {}).unwrap_or_else(|| text.clone());
        let shown = rules.shown(&serde_json::to_string(&text).unwrap());
        prop_assume!(!is_container(&text));
        prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), alone);
    }
}

/// Prints what masking a document of 1 MiB costs: `cargo test --release -p portcullis-masking --lib json -- --ignored
/// --nocapture`.
#[test]
#[ignore = "it measures"]
fn speed() {
    let row = |n: usize, name: &str| {
        format!(
            r#"{{"id":{n},"name":"Person number {n}","{name}":"123-45-6789","address":{{"street":"{n} Long Street","city":"Springfield","zip":"{:05}"}},"active":true,"balance":{n}.25,"tags":["alpha","beta"],"note":"Called on Tuesday and asked for a copy of the last invoice, which was sent by post."}}"#,
            n % 100_000
        )
    };
    let rows: Vec<_> = (0..3600).map(|n| row(n, if n % 36 == 0 { "ssn" } else { "ref" })).collect();
    let document = format!("[{}]", rows.join(","));
    let prose =
        "The quick brown fox jumps over the lazy dog 12 times, on 3 May 2026; nobody knows why it does so. ".repeat(40);
    let messages = format!("[{}]", vec![serde_json::to_string(&prose).unwrap(); 260].join(","));
    let paths = || vec![("$..ssn", Transform::Redact), ("$.customer.email", Transform::Redact)];
    let some =
        [Detector::PaymentCard, Detector::Email, Detector::UsSsn, Detector::Iban, Detector::AwsKey, Detector::Jwt];
    let some: Vec<_> = some.into_iter().chain([Detector::PrivateKey]).map(|one| (one, Transform::Redact)).collect();
    let every: Vec<_> = Detector::NAMED.iter().map(|(_, one)| (one.clone(), Transform::Redact)).collect();
    let sets = [
        ("paths", rules(&paths(), &[])),
        ("paths and 7 detectors", rules(&paths(), &some[..])),
        ("all detectors", rules(&paths(), &every)),
    ];
    let unmasked =
        document.replace("\"ssn\":\"123-45-6789\"", "\"ref\":\"in order\"").replace("123-45-6789", "in order");
    let some_masked = document.replace("\"ref\":\"123-45-6789\"", "\"ref\":\"in order\"");
    for (what, text) in
        [("rows, nothing masked", &unmasked), ("rows, 100 masked", &some_masked), ("messages of 4 KB", &messages)]
    {
        for (with, rules) in &sets {
            let best = (0..15).map(|_| {
                let start = std::time::Instant::now();
                let masked = std::hint::black_box(rules.masked(std::hint::black_box(text)));
                (start.elapsed(), masked.map_or(0, |masked| masked.paths.iter().sum::<u64>()))
            });
            let (time, masked) = best.min().unwrap();
            let rate = text.len() as f64 / time.as_secs_f64() / 1e6;
            println!("{what}, {with}: {rate:.0} MB/s ({} KB, {masked} by path)", text.len() / 1024);
        }
    }
}
