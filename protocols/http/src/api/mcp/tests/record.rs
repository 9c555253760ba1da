//! What the record gets of an answer: what a client would whom the masks of the record bind.

use super::*;
use crate::api::{Keeps, NotJson};

const EVENTS: &str = "text/event-stream";

/// A client whom no mask binds, and a record that all do.
#[derive(Default)]
struct Exempt {
    recorded: Vec<String>,
    alike: bool,
}

impl Words for Exempt {
    fn binds(&self) -> bool {
        false
    }

    fn binds_fields(&self) -> bool {
        false
    }

    fn protected(&self) -> Vec<String> {
        Vec::new()
    }

    fn json(&mut self, _document: &str) -> Result<Option<String>, NotJson> {
        Ok(None)
    }

    fn whole(&mut self, _text: &str) -> Option<String> {
        None
    }

    fn piece(&mut self, _stream: u32, text: &str) -> String {
        text.to_owned()
    }

    fn last(&mut self, _stream: u32) -> String {
        String::new()
    }

    fn record(&mut self, text: &str) {
        panic!("{text} is not masked part by part");
    }

    fn keeps(&mut self) -> Keeps {
        if self.alike { Keeps::Alike } else { Keeps::Apart(Box::new(TestWords::binding())) }
    }

    fn record_made(&mut self, made: &str) {
        self.recorded.push(made.to_owned());
    }
}

fn result(result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#)
}

#[test]
fn what_is_recorded_is_masked_part_by_part_although_the_client_is_exempt() {
    let cases = [
        r#"{"structuredContent":{"ssn":"1"}}"#,
        r#"{"content":[{"type":"text","text":"found: {\"ssn\":\n\"1\"} SECRET"}]}"#,
        r#"{"content":[{"type":"text","text":"{\"ssn\":\"1\"}"}]}"#,
        r#"{"content":[{"type":"text","text":"{\"ssn\":\"1\""}]}"#,
        r#"{"content":[{"type":"image","data":"U0VDUkVU","mimeType":"image/jpeg"}]}"#,
        r#"{"contents":[{"uri":"a:b","blob":"U0VDUkVU"}]}"#,
        r#"{"messages":[{"role":"user","content":{"type":"text","text":"SECRET"}}]}"#,
    ];
    let ask = || call("tools/call", r#"{"name":"echo","arguments":{}}"#);
    for case in cases {
        let mut exempt = Exempt::default();
        let came = answered(ask(), "application/json", &[result(case).as_bytes()], &mut exempt);
        assert_eq!(came.text, result(case), "the client is exempt");
        let bound = answer(ask(), "application/json", &[result(case).as_bytes()], TestWords::binding());
        assert_eq!(exempt.recorded, [bound.text.as_str()], "{case}");
        assert!(!["SECRET", "U0VDUkVU", r#""1""#].iter().any(|secret| exempt.recorded[0].contains(secret)), "{case}");
    }
}

#[test]
fn half_of_a_character_loses_no_record() {
    let mut exempt = Exempt::default();
    let ask = call("tools/call", r#"{"name":"echo","arguments":{}}"#);
    let cut = result(r#"{"structuredContent":{"ssn":"1","note":"\ud83d"}}"#);
    answered(ask, "application/json", &[cut.as_bytes()], &mut exempt);
    assert_eq!(exempt.recorded, [result(r#"{"structuredContent":{"ssn":"[masked]","note":"\ufffd"}}"#)]);
    // Where nothing is masked, too.
    let ask = call("tools/list", "{}");
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"ab\ud83d"}}"#;
    let came = answered(ask, "application/json", &[error.as_bytes()], &mut TestWords::default());
    assert!(came.end.is_ok() && came.text.contains("ab"), "{}", came.text);
}

#[test]
fn errors_lists_and_what_a_server_says_are_recorded_alike() {
    let page = result(r#"{"tools":[{"name":"yes","description":"a SECRET"},{"name":"no_way"}]}"#);
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":{"ssn":"1"}}}"#;
    let asks = r#"{"jsonrpc":"2.0","id":9,"method":"elicitation/create","params":{"message":"SECRET"}}"#;
    let mut exempt = Exempt::default();
    let came = answered(call("tools/list", "{}"), EVENTS, &[events(&[log, asks, &page]).as_bytes()], &mut exempt);
    assert!(came.text.contains("a SECRET") && !came.text.contains("no_way"));
    let bound = answer(call("tools/list", "{}"), EVENTS, &[events(&[log, &page]).as_bytes()], TestWords::binding());
    let expected: Vec<&str> =
        bound.text.split_terminator("\n\n").map(|event| event.split_once("data: ").unwrap().1).collect();
    let [first, passed_over, second] = &exempt.recorded[..] else { panic!("{:?}", exempt.recorded) };
    assert_eq!([first.as_str(), second.as_str()], expected[..]);
    assert!(!passed_over.contains("SECRET"), "{passed_over}");
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"SECRET","data":{"ssn":"1"}}}"#;
    let mut exempt = Exempt::default();
    answered(call("tools/list", "{}"), "application/json", &[error.as_bytes()], &mut exempt);
    assert!(!exempt.recorded[0].contains("SECRET") && exempt.recorded[0].contains(r#""ssn":"[masked]""#));
    // A name that is masked cannot be kept apart from its value.
    let mut exempt = Exempt::default();
    let odd = result(r#"{"SECRET":1}"#);
    assert_eq!(answered(call("tools/list", "{}"), "application/json", &[odd.as_bytes()], &mut exempt).text, odd);
    assert!(exempt.recorded.len() == 1);
}

#[test]
fn under_the_same_masks_the_record_has_what_the_client_gets() {
    let mut words = Exempt { alike: true, ..Exempt::default() };
    let body = result(r#"{"structuredContent":{"ssn":"1"}}"#);
    let came = answered(call("tools/call", r#"{"name":"echo"}"#), "application/json", &[body.as_bytes()], &mut words);
    assert_eq!(words.recorded, [came.text]);
}
