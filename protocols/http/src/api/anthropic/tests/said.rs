//! What is judged, said and recorded of an answer, streamed or not.

use super::streams::{START, call, stream, text, whole};
use super::*;

/// A stream, in all kinds of pieces.
fn read(body: &str) -> Came {
    everywhere(true, TestWords::binding, body.as_bytes())
}

/// A path that a mask changes is another path, which somebody has to have judged.
#[test]
fn a_call_is_judged_as_it_is_released() {
    for streams in [true, false] {
        let input = r#"{"command":"rm -rf /srv/SECRET"}"#;
        let document = format!(
            r#"{{"type":"message","role":"assistant","content":[{{"type":"tool_use","id":"a","name":"Bash","input":{input}}}]}}"#
        );
        let body = if streams { whole(&[call(0, "Bash", &[input])], "tool_use") } else { document };
        let mut words = TestWords { masked: Some("*"), ..TestWords::binding() };
        let mut reader = message(streams);
        let mut parts = Vec::new();
        reader.on_data(body.as_bytes(), &mut words, &mut parts);
        reader.on_end(Ended::Whole, &mut words, &mut parts);
        let mut came = Came::default();
        let asked = came.take(parts).unwrap();
        let said: Vec<String> = asked.operations().iter().map(ToString::to_string).collect();
        // A mask made a pattern of it.
        assert!(said.iter().any(|one| one.starts_with("delete file ? +dynamic")), "{said:?}");
        let asked = testing::said(&asked);
        assert!(asked.contains("/srv/*") && !asked.contains("SECRET"), "{asked}");
        let mut parts = Vec::new();
        reader.on_verdict(Ok(()), &mut words, &mut parts);
        assert!(came.take(parts).is_none() && came.is_over());
        assert!(came.client.contains("/srv/*") && !came.client.contains("SECRET"), "{}", came.client);
    }
}

#[test]
fn json_in_a_text_waits_until_it_is_whole_and_is_masked_by_its_fields() {
    let cases: [(&[&str], &str); 8] = [
        (&["{\"ss", "n\":\"12", "3\"}"], r#"{"ssn":"[masked]"}"#),
        (&[" \n", "[{\"ssn\"", ":1}]\n"], " \n[{\"ssn\":\"[masked]\"}]\n"),
        (
            &["Here:\n```json\n{\"ssn\":1", "}\n```\nand SEC", "RET"],
            "Here:\n```json\n{\"ssn\":\"[masked]\"}\n```\nand [masked]",
        ),
        (&["{\"a\":1}\n{\"ssn\":1}"], "{\"a\":1}\n{\"ssn\":\"[masked]\"}"),
        (&["{\"ssn\":\"123\",\"b"], "{\"ssn\":\"[masked]\",\"b"),
        (&["{\"ssn\":1,\"ssn\":2}"], "[portcullis: JSON that cannot be masked]"),
        (&["[a link](x) SEC", "RET"], "[a link](x) [masked]"),
        (&["a {\n", "b [SECRET]"], "a {\nb [[masked]]"),
    ];
    for (pieces, expected) in cases {
        let body = whole(&[text(0, pieces), text(1, &["b"])], "end_turn");
        let came = read(&body);
        assert_eq!(accumulated(&heard(&came)).0, [format!("text:{expected}"), "text:b".to_owned()], "{pieces:?}");
        // The same of a document.
        let said = json::quoted(&pieces.concat());
        let document =
            format!(r#"{{"type":"message","role":"assistant","content":[{{"type":"text","text":{said}}}]}}"#);
        let came = everywhere(false, TestWords::binding, document.as_bytes());
        assert!(came.client.contains(&json::quoted(expected)), "{}", came.client);
    }
    // The record has it as it is shown.
    let came = read(&whole(&[text(0, &["a\n{\"ssn\":1}\nb"])], "end_turn"));
    let kept = json::quoted("a\n{\"ssn\":\"[masked]\"}\nb");
    assert_eq!(came.recorded, [format!(r#"{{"role":"assistant","content":[{{"type":"text","text":{kept}}}]}}"#)]);
    // Where no mask is about fields, nothing waits for the end of a text.
    let mut words = TestWords { binds: true, ..TestWords::default() };
    let open = &text(0, &["{\"ssn\":1,"])[..2];
    let mut parts = Vec::new();
    message(true).on_data(stream(&[&[START.to_owned()], open].concat()).as_bytes(), &mut words, &mut parts);
    let mut came = Came::default();
    assert!(came.take(parts).is_none() && came.client.contains("ssn"), "{}", came.client);
}

#[test]
fn the_record_has_what_came_and_says_what_is_missing() {
    let secret = r#"{"command":"PGPASSWORD=hunter2 psql -c 'select 1'"}"#;
    let came = read(&whole(&[call(0, "Bash", &[secret])], "tool_use"));
    assert!(came.client.contains("hunter2"), "the client runs it");
    assert!(came.proposed[0].contains("[redacted]") && !came.proposed[0].contains("hunter2"));
    assert_eq!(came.recorded, [r#"{"role":"assistant","content":[{"type":"tool_use","id":"toolu_0","name":"Bash"}]}"#]);
    // An input that breaks off may end in the middle of a secret.
    let half = [vec![START.to_owned()], text(0, &["a SEC"]), call(1, "Bash", &[&secret[..30]])[..2].to_vec()].concat();
    let came = answered(message(true), TestWords::binding(), &[stream(&half).as_bytes()], Ended::Broken);
    assert_eq!(came.recorded.len(), 1, "{:?}", came.recorded);
    assert!(came.recorded[0].contains("a SEC") && came.recorded[0].contains("Bash"), "{:?}", came.recorded);
    assert!(came.recorded[0].contains("this is not all") && !came.recorded[0].contains("hunter"));
    // A client that leaves while people decide.
    let body = whole(&[text(0, &["before"]), call(1, "Bash", &[r#"{"command":"ls"}"#])], "tool_use");
    let (mut reader, mut words, mut parts) = (message(true), TestWords::binding(), Vec::new());
    reader.on_data(body.as_bytes(), &mut words, &mut parts);
    reader.on_end(Ended::Broken, &mut words, &mut parts);
    assert!(matches!(parts.last(), Some(Part::Broken(_))));
    assert!(words.recorded[0].contains("before") && words.recorded[0].contains("this is not all"));
    parts.clear();
    reader.on_verdict(Ok(()), &mut words, &mut parts);
    assert!(parts.is_empty() && words.recorded.len() == 1);
    // What is too long is left out, and that is said.
    let long = "a".repeat(600 << 10);
    let came = answered(
        message(true),
        TestWords::default(),
        &[whole(&[text(0, &[&long, &long])], "end_turn").as_bytes()],
        Ended::Whole,
    );
    assert!(came.broken.is_none() && came.recorded[0].contains("not all is kept"));
}

#[test]
fn a_call_that_cannot_be_one_is_recorded() {
    let input = r#"{"command":"PGPASSWORD=hunter2 psql"}"#;
    let streamed = whole(&[text(0, &["before"]), call(1, "Bash", &[input])], "tool_use");
    let unnamed = format!(r#"{{"type":"tool_use","id":"","name":"Bash","input":{input}}}"#);
    let empty = r#"{"type":"tool_use","id":"a","name":"Bash"}"#.to_owned();
    let document = |call: &str| {
        format!(
            r#"{{"type":"message","role":"assistant","content":[{{"type":"text","text":"before"}},{call}],"usage":{{"output_tokens":4}}}}"#
        )
    };
    for (streams, body) in
        [(true, streamed.replace("toolu_1", "")), (false, document(&unnamed)), (false, document(&empty))]
    {
        let came = everywhere(streams, TestWords::binding, body.as_bytes());
        let [kept] = came.recorded.as_slice() else { panic!("{:?}", came.recorded) };
        assert!(came.broken.is_some() && kept.contains("before") && !kept.contains("hunter2"), "{kept}");
        assert_eq!(kept.matches(r#"{"type":"tool_use","name":"Bash"}"#).count(), 1, "{kept}");
        // It is used, whatever becomes of it.
        assert_eq!(came.used.map(|used| used.output), (!streams).then_some(4), "{came:?}");
    }
}

#[test]
fn what_an_answer_used_is_known_at_its_end() {
    let broke = stream(&[vec![START.to_owned()], text(0, &["a"])].concat());
    assert_eq!(read(&broke).used, None);
    assert_eq!(
        read(&whole(&[text(0, &["a"])], "end_turn")).used,
        Some(Tokens { input: 7, output: 42, cache_read: 3, cache_write: 0 })
    );
}
