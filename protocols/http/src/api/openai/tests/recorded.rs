//! What the record gets of an answer, and what of it passes: nothing that the record does not have.

use super::*;
use crate::frame::Method;

const SSN: &str = "123-45-6789";

/// A message of these members, with the calls of its choice behind it.
fn whole(members: &str) -> String {
    format!(
        r#"{{"id":"c","object":"chat.completion","created":5,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant",{members}}},"finish_reason":"stop"}}]}}"#
    )
}

#[test]
fn what_is_not_listed_does_not_pass() {
    let plain = whole(r#""content":"a""#);
    let more = plain
        .replace(
            r#""content":"a""#,
            r#""content":"a","reasoning_details":[{"text":"b"}],"reasoning":{"x":"b"},"x":null"#,
        )
        .replace(r#""finish_reason""#, r#""content_filter":{"x":"b"},"native_finish_reason":"b","finish_reason""#)
        .replace(r#""id":"c""#, r#""citations":["b"],"system_fingerprint":"b b","id":"c""#);
    let came = everywhere(document, TestWords::binding, &more);
    assert_eq!((came.broken, came.client.as_str()), (None, plain.as_str()));
    let kept = r#"{"choice":0,"type":"message","member":"content","text":"a"}"#;
    assert_eq!(came.recorded, [format!(r#"{{"role":"assistant","content":[{kept}]}}"#)]);
    // Nothing is recorded of a list without a source, nor does one behind the end break an answer.
    let none = chunk(0, r#"{"content":"a","annotations":[]}"#, "null") + &ends(0, "stop");
    let came = read(&(none + &chunk(0, r#"{"annotations":[]}"#, "null") + DONE));
    assert_eq!((came.broken, came.recorded.len()), (None, 1));
    assert!(!came.recorded[0].contains("annotations"), "{:?}", came.recorded);
    // The same of a stream.
    let body =
        chunk(0, r#"{"role":["b"],"content":"a","reasoning_details":[{"text":"b"}],"reasoning":{"x":"b"}}"#, "null");
    let came = read(&(body + &ends(0, "stop") + DONE));
    assert!(
        came.broken.is_none() && !came.client.contains("reasoning") && !came.client.contains("\"b\""),
        "{}",
        came.client
    );
    assert_eq!(came.recorded, [format!(r#"{{"role":"assistant","content":[{kept}]}}"#)]);
}

#[test]
fn the_sources_of_a_text_pass_masked_and_are_recorded() {
    let said = json::quoted(&format!("Found:\n{{\"ssn\":\"{SSN}\"}}"));
    let sources =
        format!(r#"[{{"type":"url_citation","url_citation":{{"title":{said},"url":"https://a.example/"}}}}]"#);
    let members = format!(r#""content":"a","annotations":{sources}"#);
    let streamed = chunk(0, &format!("{{{members}}}"), "null") + &ends(0, "stop") + DONE;
    for (reader, body) in [(document as fn() -> Answering, whole(&members)), (self::streamed, streamed)] {
        let came = everywhere(reader, TestWords::binding, &body);
        assert!(came.client.contains("url_citation") && !came.client.contains(SSN), "{}", came.client);
        let [kept] = came.recorded.as_slice() else { panic!("{:?}", came.recorded) };
        assert!(kept.contains(r#""member":"content","text":"a"},{"choice":0"#), "{kept}");
        assert!(kept.contains("url_citation") && kept.contains("[masked]") && !kept.contains(SSN), "{kept}");
        let came = everywhere(reader, TestWords::exempt, &body);
        assert!(came.client.contains(SSN) && !came.recorded[0].contains(SSN), "{:?}", came.recorded);
    }
}

#[test]
fn what_a_choice_said_is_recorded_before_its_calls() {
    let body = says(0, "before") + &calls(0, 0, "shell", "{}") + &ends(0, "tool_calls") + &says(1, "open") + DONE;
    let call = r#"{"id":"a","type":"function","function":{"name":"shell","arguments":"{}"}}"#;
    let choice = |index: u64, text: &str, calls: &str| {
        format!(
            r#"{{"index":{index},"message":{{"role":"assistant","tool_calls":[{calls}],"content":"{text}"}},"finish_reason":"tool_calls"}}"#
        )
    };
    let other = call.replace("shell", "other").replace("{}", r#"{\"a\":\"hunter2\"}"#);
    let document = format!(
        r#"{{"object":"chat.completion","choices":[{},{}]}}"#,
        choice(0, "before", call),
        choice(1, "open", &other)
    );
    // The client leaves while people decide about the first call: the document is all there.
    for (reader, body, words) in [
        (streamed(), body, &["before", "shell", "open", "this is not all"][..]),
        (self::document(), document, &["before", "shell", "open", "other"]),
    ] {
        let came = left(reader, TestWords::binding(), &[body.as_bytes()]);
        let [kept] = came.recorded.as_slice() else { panic!("{:?}", came.recorded) };
        let places: Vec<usize> =
            words.iter().map(|word| kept.find(word).unwrap_or_else(|| panic!("{word}: {kept}"))).collect();
        assert!(places.is_sorted() && !kept.contains("hunter2"), "{kept}");
        assert_eq!(kept.contains("this is not all"), words.contains(&"this is not all"), "{kept}");
        assert_eq!(kept.matches("before").count(), 1, "{kept}");
    }
}

#[test]
fn a_call_that_cannot_be_one_is_recorded_with_those_behind_it() {
    let secret = r#"{"a":"hunter2"}"#;
    let streamed = calls(0, 0, "first", "{}") + &calls(0, 1, "second", secret).replace("call_1", "");
    let streamed = streamed + &calls(0, 2, "third", secret) + &ends(0, "tool_calls") + DONE;
    let call = |id: &str, name: &str| {
        let arguments = json::quoted(secret);
        format!(r#"{{"id":"{id}","type":"function","function":{{"name":"{name}","arguments":{arguments}}}}}"#)
    };
    let calls = [call("a", "first").replace(&json::quoted(secret), "\"{}\""), call("", "second"), call("c", "third")];
    let document = whole(&format!(r#""content":null,"tool_calls":[{}]"#, calls.join(",")));
    for (reader, body) in [(self::streamed as fn() -> Answering, streamed), (self::document, document)] {
        let came = everywhere(reader, TestWords::binding, &body);
        let [kept] = came.recorded.as_slice() else { panic!("{:?}", came.recorded) };
        assert!(came.broken.is_some() && kept.contains("this is not all") && !kept.contains("hunter2"), "{kept}");
        for name in ["first", "second", "third"] {
            assert_eq!(kept.matches(&format!(r#""name":"{name}""#)).count(), 1, "{name}: {kept}");
        }
        assert!(kept.contains(r#"{"choice":0,"type":"function","name":"second"}"#), "{kept}");
    }
}

#[test]
fn an_embedding_is_counted_by_what_it_used() {
    let body = r#"{"object":"list","data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    let used = |reader: fn() -> Answering, body: &str| everywhere(reader, TestWords::binding, body).used;
    assert_eq!(used(Answering::counted, body), Some(Tokens { input: 8, ..Tokens::default() }));
    assert_eq!(used(Answering::counted, r#"{"data":[],"usage":null}"#), None);
    // What takes nothing from a budget is not counted.
    assert_eq!(used(Answering::plain, body), None);
    let asked = super::requests::asked(Method::Post, "/v1/embeddings", r#"{"model":"e","input":"abc"}"#);
    let (mut reader, mut parts) = (asked.reader, Vec::new());
    let mut words = TestWords::binding();
    reader.on_data(body.as_bytes(), &mut words, &mut parts);
    reader.on_end(Ended::Whole, &mut words, &mut parts);
    assert!(parts.iter().any(|part| matches!(part, Part::Used(used) if used.input == 8)), "{parts:?}");
}

#[test]
fn what_a_document_used_is_counted_whatever_becomes_of_it() {
    let usage = r#""usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":2}},"id""#;
    let used = Some(Tokens { input: 7, output: 4, cache_read: 2, cache_write: 0 });
    let unnamed = r#""content":null,"tool_calls":[{"id":"","type":"function","function":{"name":"a","arguments":""}}]"#;
    for (members, breaks) in [(r#""content":"a""#, false), (unnamed, true)] {
        let came = everywhere(
            document,
            TestWords::binding,
            &whole(members).replace(r#""id":"c""#, &format!(r#"{usage}:"c""#)),
        );
        assert_eq!((came.used, came.broken.is_some()), (used, breaks), "{came:?}");
    }
}
