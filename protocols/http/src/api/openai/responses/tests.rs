mod documents;
mod grammar;
mod recorded;
mod requests;
mod rig;

use super::answer::Answering;
use crate::api::testing::{self, Came, TestWords, answered};
use crate::api::{Ended, Part, Reader};
use crate::frame::Head;
use http::{HeaderMap, StatusCode};
use portcullis_model::{ApprovalId, Tokens};
use proptest::prelude::*;
use rig::*;

#[test]
fn a_text_is_masked_and_every_copy_says_what_was_released() {
    let body = created() + &says(0, &["a SEC", "RET b ", "SECR"]) + &says(1, &["", "ET"]) + &completed();
    let came = read(&body);
    let seen = accumulated(&came.client);
    assert_eq!(
        (seen.said, seen.status.as_deref()),
        (vec!["a [masked] b SECR".to_owned(), "ET".to_owned()], Some("completed"))
    );
    assert!(came.broken.is_none() && !came.client.contains("SECRET"), "{}", came.client);
    assert_eq!(came.used, Some(Tokens { input: 7, output: 4, cache_read: 2, cache_write: 0 }));
    for echo in ["instructions", "metadata", "tools", "format", "obfuscation", "token\""] {
        assert!(!came.client.contains(&format!("\"{echo}")), "{echo}: {}", came.client);
    }
    let kept = |at: u64, text: &str| format!(r#"{{"item":{at},"type":"output_text","text":"{text}"}}"#);
    let kept = [kept(0, "a [masked] b SECR"), kept(1, "ET")].join(",");
    assert_eq!(came.recorded, [format!(r#"{{"role":"assistant","content":[{kept}]}}"#)]);
    // What is held back leaves before the text is said as a whole.
    let deltas = came.client.matches("response.output_text.delta\",").count();
    assert_eq!(deltas, 4, "{}", came.client);
}

#[test]
fn every_kind_of_item_passes_as_it_was_masked() {
    let refusal = added(2, &message_item(2, ""))
        + &part(2, "msg_2", 0, TEXT, &["well"])
        + &part(2, "msg_2", 1, REFUSAL, &["not SEC", "RET"])
        + &ended(2, &message_item(2, "1,2"));
    let body = created()
        + &thinks(0, &["of SECR", "ET"], &["SECRET too"])
        + &searches(1)
        + &refusal
        + &calls(3, "shell", &["{\"command\":", "[\"ls\"]}"])
        + &event("keepalive", "")
        + &completed();
    let came = read(&body);
    let seen = accumulated(&came.client);
    let thought = format!(r#"["of [masked]"] ["[masked] too"] Some("{SEALED}")"#);
    assert_eq!(
        seen.said,
        [thought.as_str(), "searched a [masked]", "well|not [masked]", r#"shell {"command":["ls"]}"#]
    );
    assert!(!came.client.replace(SEALED, "").contains("SECRET"), "{}", came.client);
    assert!(came.client.contains(": keepalive\n\n"));
    assert_eq!(came.proposed, [r#"shell (call_3) {"command":["ls"]}"#]);
    let [kept] = came.recorded.as_slice() else { panic!("{:?}", came.recorded) };
    for part in [
        r#"{"item":0,"type":"summary_text","text":"of [masked]"}"#,
        r#"{"item":1,"type":"web_search_call","action":{"type":"search","query":"a [masked]","sources":[]}}"#,
        r#"{"item":2,"type":"refusal","refusal":"not [masked]"}"#,
        r#"{"item":3,"type":"function","id":"call_3","name":"shell"}"#,
    ] {
        assert!(kept.contains(part), "{part}: {kept}");
    }
}

#[test]
fn json_in_a_text_waits_until_it_is_whole_and_is_masked_by_its_fields() {
    let body = created() + &says(0, &["Here:\n{\"ss", "n\":5}"]) + &completed();
    assert_eq!(accumulated(&read(&body).client).said, ["Here:\n{\"ssn\":\"[masked]\"}"]);
    let half =
        created() + says(0, &["Here:\n{\"ss", "n\":5}"]).split("event: response.output_text.done").next().unwrap();
    let came = answered(streamed(), TestWords::binding(), &[half.as_bytes()], Ended::Broken);
    assert!(came.broken.is_some() && !came.client.contains("{\\\"ss"), "{}", came.client);
}

#[test]
fn a_call_waits_for_the_end_of_its_item_and_is_judged_once() {
    let whole = calls(1, "shell", &["{\"command\":", "[\"ls\",\"SECRET\"]}"]);
    let refused = calls(2, "shell", &["{\"command\":[\"DENY\"]}"]);
    let body = created() + &says(0, &["now"]) + &whole + &refused + &calls(3, "other", &[]) + &completed();
    let came = read(&body);
    let seen = accumulated(&came.client);
    assert_eq!(came.proposed.len(), 3);
    assert_eq!(came.proposed[0], r#"shell (call_1) {"command":["ls","[masked]"]}"#);
    assert_eq!([&seen.said[1], &seen.said[3]], [r#"shell {"command":["ls","[masked]"]}"#, "other {}"]);
    let instead = &seen.said[2];
    assert!(instead.starts_with("[portcullis] shell was refused: ") && instead.contains("Ask the pilot."), "{instead}");
    assert!(
        seen.items[2].starts_with(r#"{"id":"msg_call_2","type":"message","status":"completed","role":"assistant""#)
    );
    assert_eq!(seen.status.as_deref(), Some("completed"));
    assert!(!came.client.contains("DENY") && !came.client.contains("SECRET"), "{}", came.client);
    // Nothing of a call leaves before its item is over, wherever it broke off.
    let open = created() + &says(0, &["now"]) + &whole[..whole.find("event: response.output_item.done").unwrap()];
    let came = answered(streamed(), TestWords::binding(), &[open.as_bytes()], Ended::Whole);
    assert!(came.broken.is_some() && !came.client.contains("shell") && came.proposed.is_empty());
    for input in ["{\"command\":[\"ls\"],\"command\":[\"id\"]}", "{} x", "[]", "{"] {
        let seen = accumulated(&read(&(created() + &calls(0, "shell", &[input]) + &completed())).client);
        assert!(seen.said[0].starts_with("[portcullis] shell was refused"), "{input}: {seen:?}");
    }
}

#[test]
fn what_waits_for_people_keeps_its_client_and_nothing_behind_it_is_read() {
    let body = created() + &calls(0, "shell", &["{}"]) + &says(1, &["behind"]) + &completed();
    let (mut reader, mut words, mut parts) = (streamed(), TestWords::binding(), Vec::new());
    let approval = ApprovalId::new();
    reader.on_data(body.as_bytes(), &mut words, &mut parts);
    reader.on_end(Ended::Whole, &mut words, &mut parts);
    assert!(matches!(parts.last(), Some(Part::Propose(_))), "{parts:?}");
    let alive = reader.keep_alive(approval).unwrap();
    assert!(alive.starts_with(b": waiting for approval ") && alive.ends_with(b"\n\n"));
    let mut came = Came::default();
    came.take(std::mem::take(&mut parts));
    assert!(!came.client.contains("behind") && !came.client.contains("fc_0"));
    reader.on_verdict(Ok(()), &mut words, &mut parts);
    came.take(parts);
    assert!(came.is_over() && came.broken.is_none());
    assert_eq!(accumulated(&came.client).said, ["shell {}", "behind"]);
}

#[test]
fn the_sources_of_a_text_pass_masked_and_those_that_are_not_listed_do_not() {
    let source = |kind: &str| {
        format!(r#"{{"type":"{kind}","title":"a SECRET","url":"https://a.example/","start_index":0,"end_index":1}}"#)
    };
    let cites = |kind: &str| {
        let members = format!(r#""content_index":0,"annotation_index":4,"annotation":{}"#, source(kind));
        within("output_text.annotation.added", 0, "msg_0", &members)
    };
    let text = says(0, &["a"]);
    let at = text.find("event: response.output_text.done").unwrap();
    let body = created() + &text[..at] + &cites("file_citation") + &cites("url_citation") + &text[at..] + &completed();
    let came = read(&body);
    let masked = source("url_citation").replace("SECRET", "[masked]");
    let seen = accumulated(&came.client);
    assert!(seen.items[0].contains(&format!(r#""annotations":[{masked}]"#)), "{seen:?}");
    assert!(came.client.contains(r#""annotation_index":0"#) && !came.client.contains("file_citation"));
    assert!(came.recorded[0].contains(&format!(r#"{{"item":0,"type":"output_text","annotations":[{masked}]}}"#)));
}

#[test]
fn an_answer_that_is_not_complete_says_so() {
    let end = |kind: &str, more: &str| event(&format!("response.{kind}"), &response(kind, more));
    let body = created()
        + &says(0, &["a"])
        + &end("incomplete", r#","incomplete_details":{"reason":"max_output_tokens","x":"SECRET"}"#);
    let came = read(&body);
    assert_eq!(accumulated(&came.client).status.as_deref(), Some("incomplete"));
    assert!(came.client.contains(r#""incomplete_details":{"reason":"max_output_tokens"}"#) && came.broken.is_none());
    let error = r#","error":{"code":"server_error","message":"SECRET down","x":"SECRET"}"#;
    let came = read(&(created() + &says(0, &["a"]) + &end("failed", error)));
    assert_eq!(accumulated(&came.client).status.as_deref(), Some("failed"));
    assert!(came.client.contains(r#""error":{"code":"server_error","message":"[masked] down"}"#), "{}", came.client);
    assert!(came.recorded[0].contains(r#"{"type":"error","message":"[masked] down"}"#));
    // What came of an item is no item.
    let open = added(0, &message_item(0, "")) + &part(0, "msg_0", 0, TEXT, &["a"]);
    let came = read(&(created() + &open + &end("failed", error)));
    assert!(came.broken.is_some(), "{}", came.client);
    assert_eq!(accumulated(&came.client).error.as_deref(), Some("[masked] down"));
}

proptest! {
    #[test]
    fn whatever_comes_nothing_protected_leaves_and_no_part_looks_whole(
        steps in proptest::collection::vec(prop_oneof![
            4 => proptest::collection::vec("(SECRET|SEC|RET|[a-z]{0,3}|\n\\{\"ssn\":5\\})", 0..4).prop_map(Step::Says),
            3 => ("(shell|SECRET)", "(\\{\\}|\\{\"a\":\"SEC|\\{\"command\":\\[\"(DENY|ls|SECRET)\"\\]\\})").prop_map(|(name, input)| Step::Calls(name, input)),
            1 => Just(Step::Thinks),
            1 => Just(Step::Searches),
            1 => Just(Step::KeepsAlive),
        ], 0..5),
        lost in proptest::option::weighted(0.5, any::<prop::sample::Index>()),
        twice in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
        ends in proptest::bool::weighted(0.8),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut at = 0;
        let mut body = created();
        for step in &steps {
            body += &step.written(at);
            at += usize::from(!matches!(step, Step::KeepsAlive));
        }
        body += &if ends { completed() } else { String::new() };
        let mut events: Vec<String> = body.split_inclusive("\n\n").map(ToOwned::to_owned).collect();
        if let Some(lost) = lost {
            events.remove(lost.index(events.len()));
        }
        if let Some(twice) = twice.filter(|_| !events.is_empty()) {
            let twice = twice.index(events.len());
            events.insert(twice, events[twice].clone());
        }
        let body = events.concat();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        at.extend([0, body.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &body.as_bytes()[pair[0]..pair[1]]).collect();
        let came = answered(streamed(), TestWords::binding(), &pieces, Ended::Whole);
        prop_assert_eq!(&came, &answered(streamed(), TestWords::binding(), &[body.as_bytes()], Ended::Whole));
        let seen = accumulated(&came.client);
        prop_assert_eq!(came.broken.is_some(), seen.error.is_some());
        prop_assert!(came.broken.is_some() || seen.status.as_deref() == Some("completed"));
        prop_assert!(!came.client.replace(SEALED, "").contains("SECRET"), "{}", came.client);
        prop_assert!(!seen.said.concat().contains("\"ssn\":5"), "{:?}", seen);
        prop_assert!(!came.client.contains("DENY"), "{}", came.client);
        if lost.is_none() && twice.is_none() && ends {
            prop_assert_eq!((came.broken, seen.items.len()), (None, steps.iter().filter(|step| !matches!(step, Step::KeepsAlive)).count()));
        }
    }
}

/// What a stream does next.
#[derive(Clone, Debug)]
enum Step {
    Says(Vec<String>),
    Calls(String, String),
    Thinks,
    Searches,
    KeepsAlive,
}

impl Step {
    fn written(&self, at: usize) -> String {
        match self {
            Self::Says(pieces) => says(at, &pieces.iter().map(String::as_str).collect::<Vec<_>>()),
            Self::Calls(name, input) => calls(at, name, &[input]),
            Self::Thinks => thinks(at, &["a SEC", "RET"], &["SECRET"]),
            Self::Searches => searches(at),
            Self::KeepsAlive => event("keepalive", ""),
        }
    }
}
