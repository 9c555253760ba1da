//! What the record gets of an answer: what came, in its order, and what is missing.

use super::*;
use crate::api::testing::left;

#[test]
fn what_came_is_recorded_before_its_calls_and_nothing_that_nobody_was_asked_about() {
    let secret = r#"{"a":"hunter2"}"#;
    let text = message_item(0, r#"{"type":"output_text","text":"before"}"#);
    let items = [
        text,
        call_item(1, "shell", "{}"),
        message_item(2, r#"{"type":"refusal","refusal":"open"}"#),
        call_item(3, "other", secret),
    ];
    let stream = created() + &says(0, &["before"]) + &calls(1, "shell", &["{}"]) + &says(2, &["open"]);
    for (reader, body, words) in [
        (streamed(), stream, &["before", "shell", "open", "this is not all"][..]),
        (document(), whole(&items, ""), &["before", "shell", "open", "other"]),
    ] {
        // The client leaves while people decide about the first call: the document is all there.
        let recorded = left(reader, TestWords::binding(), &[body.as_bytes()]).recorded;
        let [kept] = recorded.as_slice() else { panic!("{recorded:?}") };
        let places: Vec<usize> =
            words.iter().map(|word| kept.find(word).unwrap_or_else(|| panic!("{word}: {kept}"))).collect();
        assert!(places.is_sorted() && !kept.contains("hunter2"), "{kept}");
        assert_eq!(kept.contains("this is not all"), words.contains(&"this is not all"), "{kept}");
        assert_eq!(kept.matches("before").count(), 1, "{kept}");
    }
}

#[test]
fn of_half_an_item_the_record_has_what_came() {
    let half = |kind: &str, body: String| body[..body.find(&format!("event: response.{kind}")).unwrap()].to_owned();
    let text = created() + &half("output_text.done", says(0, &["a SEC", "RET b"]));
    let came = answered(streamed(), TestWords::exempt(), &[text.as_bytes()], Ended::Broken);
    let [kept] = came.recorded.as_slice() else { panic!("{:?}", came.recorded) };
    assert!(kept.contains(r#""text":"a [masked] b""#) && kept.contains("this is not all"), "{kept}");
    let call =
        created() + &half("function_call_arguments.done", calls(0, "shell", &[r#"{"command":["PGPASSWORD=hunter2"#]));
    let came = answered(streamed(), TestWords::binding(), &[call.as_bytes()], Ended::Whole);
    let [kept] = came.recorded.as_slice() else { panic!("{:?}", came.recorded) };
    assert!(kept.contains(r#"{"item":0,"type":"function","name":"shell"}"#) && !kept.contains("hunter2"), "{kept}");
}

#[test]
fn a_call_that_cannot_be_one_is_recorded_with_its_name() {
    let strange =
        calls(0, "shell", &[r#"{"a":"hunter2"}"#]).replace(r#""name":"shell""#, r#""name":"shell","namespace":"x""#);
    let body = created() + &strange + &completed();
    let item =
        call_item(0, "shell", r#"{"a":"hunter2"}"#).replace(r#""name":"shell""#, r#""name":"shell","namespace":"x""#);
    for (reader, body) in [(streamed as fn() -> Answering, body), (document, whole(&[item], ""))] {
        let came = everywhere(reader, TestWords::binding, &body);
        let [kept] = came.recorded.as_slice() else { panic!("{:?}", came.recorded) };
        assert!(came.broken.is_some() && kept.contains(r#"{"item":0,"type":"function","name":"shell"}"#), "{kept}");
        assert!(kept.contains("this is not all") && !kept.contains("hunter2"), "{kept}");
    }
}

#[test]
fn a_document_and_a_stream_of_the_same_come_to_the_same_record() {
    let text = |kind: &str, text: &str| format!(r#"{{"type":"{kind}","text":"{text}"}}"#);
    let reasoning = format!(
        r#"{{"id":"rs_0","type":"reasoning","summary":[{}],"content":[{}],"encrypted_content":"{SEALED}"}}"#,
        text("summary_text", "of SECRET"),
        text("reasoning_text", "SECRET too")
    );
    let search = r#"{"id":"ws_1","type":"web_search_call","status":"completed","action":{"type":"search","query":"a SECRET","sources":[]}}"#;
    let items =
        [reasoning, search.to_owned(), message_item(2, &text("output_text", "a SECRET")), call_item(3, "shell", "{}")];
    let stream = created()
        + &thinks(0, &["of SEC", "RET"], &["SECRET too"])
        + &searches(1)
        + &says(2, &["a SECR", "ET"])
        + &calls(3, "shell", &["{}"])
        + &completed();
    for words in [TestWords::binding as fn() -> TestWords, TestWords::exempt] {
        let whole = everywhere(document, words, &whole(&items, ""));
        let streamed = everywhere(streamed, words, &stream);
        assert_eq!(whole.recorded, streamed.recorded);
        assert_eq!(whole.recorded.len(), 1);
        assert!(!whole.recorded[0].replace(SEALED, "").contains("SECRET"), "{:?}", whole.recorded);
        assert_eq!((whole.proposed, whole.used), (streamed.proposed, streamed.used));
    }
}

#[test]
fn what_an_answer_used_is_known_at_its_end_and_of_a_document_whatever_becomes_of_it() {
    let used = Some(Tokens { input: 7, output: 4, cache_read: 2, cache_write: 0 });
    assert_eq!(read(&(created() + &says(0, &["a"]))).used, None);
    assert_eq!(read(&(created() + &says(0, &["a"]) + &completed())).used, used);
    let came = everywhere(document, TestWords::binding, &whole(&[call_item(0, "a", "{}").replace("call_0", "")], ""));
    assert_eq!((came.used, came.broken.is_some()), (used, true));
    let came = everywhere(document, TestWords::binding, &whole(&[], "").replace(USAGE, r#","usage":null"#));
    assert_eq!((came.used, came.broken), (None, None));
}
