//! What the record gets of an answer: what a client does whom its masks bind, in order, and nothing behind a gap.

use super::streams::{START, call, delta, starts, stops, stream, text, whole};
use super::*;

const SSN: &str = "123-45-6789";

/// A text with a document in a line of its own.
fn found() -> String {
    format!("Found:\n{{\"ssn\":\"{SSN}\"}}")
}

/// An answer as one document.
fn document(blocks: &[String]) -> String {
    format!(r#"{{"type":"message","role":"assistant","content":[{}],"stop_reason":"end_turn"}}"#, blocks.join(","))
}

/// The same blocks as one document and as a stream, in which those that pass piece by piece come in pieces.
fn both(block: &str, pieces: Vec<String>) -> [(bool, String); 2] {
    [(false, document(&[block.to_owned()])), (true, whole(&[pieces], "end_turn"))]
}

#[test]
fn a_value_is_in_the_record_as_little_as_with_the_client() {
    let said = json::quoted(&found());
    let result =
        format!(r#"{{"type":"mcp_tool_result","tool_use_id":"x","content":[{{"type":"text","text":{said}}}]}}"#);
    let code = format!(
        r#"{{"type":"code_execution_tool_result","tool_use_id":"x","content":{{"type":"code_execution_result","stdout":{said}}}}}"#
    );
    let thinking = format!(r#"{{"type":"thinking","thinking":{said},"signature":"c2ln"}}"#);
    let thought = vec![
        starts(0, r#"{"type":"thinking","thinking":"","signature":""}"#),
        delta(0, "thinking_delta", "thinking", &found()[..12]),
        delta(0, "thinking_delta", "thinking", &found()[12..]),
        stops(0),
    ];
    let many = "[1]\n".repeat(70) + &found();
    let cited = r#"{"type":"char_location","cited_text":TEXT}"#.replace("TEXT", &said);
    let with_source = format!(r#"{{"type":"text","text":"a","citations":[{cited}]}}"#);
    let citing = format!(
        r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"citations_delta","citation":{cited}}}}}"#
    );
    let mut citations = text(0, &["a"]);
    citations.insert(2, citing);
    let cases = [
        both(&thinking, thought),
        both(&result, vec![starts(0, &result), stops(0)]),
        both(&code, vec![starts(0, &code), stops(0)]),
        both(&format!(r#"{{"type":"text","text":{}}}"#, json::quoted(&many)), text(0, &[&many[..200], &many[200..]])),
        both(&with_source, citations),
    ];
    for (streams, body) in cases.into_iter().flatten() {
        let came = everywhere(streams, TestWords::binding, body.as_bytes());
        assert!(came.broken.is_none() && !came.client.contains(SSN), "{streams}: {}", came.client);
        let [kept] = came.recorded.as_slice() else { panic!("{:?}", came.recorded) };
        assert!(!kept.contains(SSN) && kept.contains("[masked]"), "{streams}: {kept}");
        // A client that is exempt has it, and the record is not.
        let came = everywhere(streams, TestWords::exempt, body.as_bytes());
        assert!(came.client.contains(SSN), "{streams}: {}", came.client);
        assert!(!came.recorded.concat().contains(SSN) && came.recorded.concat().contains("[masked]"), "{streams}");
    }
}

#[test]
fn what_else_an_answer_says_is_recorded_too() {
    let more = format!(r#""stop_sequence":"the end","container":{{"x":{}}},"content":[]"#, json::quoted(&found()));
    let plain = document(&[]).replace(r#""content":[]"#, &more);
    let started = whole(&[], "end_turn").replacen(r#""content":[],"stop_reason":null,"stop_sequence":null"#, &more, 1);
    let ended = whole(&[], "end_turn").replace(
        r#""stop_sequence":null},"usage":{"output_tokens":42}"#,
        &more.replace(r#","content":[]"#, r#"},"usage":{}"#),
    );
    for (streams, body) in [(false, plain), (true, started), (true, ended)] {
        let came = everywhere(streams, TestWords::binding, body.as_bytes());
        assert!(came.broken.is_none() && came.client.contains("the end") && !came.client.contains(SSN), "{streams}");
        let [kept] = came.recorded.as_slice() else { panic!("{:?}", came.recorded) };
        assert!(kept.contains(r#"{"stop_sequence":"the end"}"#) && kept.contains("container"), "{kept}");
        assert!(kept.contains("[masked]") && !kept.contains(SSN) && json::read(kept.as_bytes()).is_ok(), "{kept}");
    }
}

#[test]
fn nothing_is_kept_behind_a_gap() {
    let prose = |kib: usize| "a b ".repeat(kib << 8);
    let pieces = [prose(500), prose(600) + "\n{\"ssn\":", format!("\"{SSN}\"}}")];
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let mut thought = vec![starts(0, r#"{"type":"thinking","thinking":"","signature":""}"#)];
    thought.extend(pieces.iter().map(|piece| delta(0, "thinking_delta", "thinking", piece)));
    thought.push(stops(0));
    for block in [text(0, &pieces), thought] {
        let body = whole(&[block], "end_turn");
        let came = answered(message(true), TestWords::exempt(), &[body.as_bytes()], Ended::Whole);
        assert!(came.client.contains(SSN) && !came.recorded[0].contains(SSN));
        assert!(came.recorded[0].contains("not all is kept"));
    }
}

#[test]
fn what_was_read_is_in_the_record_however_the_answer_ends() {
    let bash = r#"{"type":"tool_use","id":"a","name":"Bash","input":{"command":"ls"}}"#;
    let other = r#"{"type":"tool_use","id":"b","name":"Read","input":{"path":"/hunter2"}}"#;
    let said = |text: &str| format!(r#"{{"type":"text","text":"{text}"}}"#);
    let body = document(&[said("before"), bash.to_owned(), said("behind"), other.to_owned()]);
    let blocks = [text(0, &["before"]), call(1, "Bash", &["{}"]), text(2, &["behind"])].concat();
    let stream = stream(&[vec![START.to_owned()], blocks, call(3, "Read", &[r#"{"path":"/hunter2"}"#])].concat());
    // The client leaves while people decide: a document is all there, of a stream nobody knows.
    for (streams, body) in [(false, body), (true, stream)] {
        let came = left(message(streams), TestWords::binding(), &[body.as_bytes()]);
        let [kept] = came.recorded.as_slice() else { panic!("{:?}", came.recorded) };
        let at = |word: &str| kept.find(word).unwrap_or_else(|| panic!("{word}: {kept}"));
        assert!(at("before") < at("Bash") && at("Bash") < at("behind") && at("behind") < at("Read"), "{kept}");
        assert_eq!(kept.contains("this is not all"), streams, "{kept}");
        assert!(!kept.contains("hunter2") && came.proposed.len() == 2, "{kept}");
    }
}

#[test]
fn of_what_was_not_read_the_record_says_how_much_came() {
    let recorded =
        |reader: Answering, body: &[u8], ended| answered(reader, TestWords::binding(), &[body], ended).recorded;
    let says = |recorded: &[String], bytes: usize| {
        let [kept] = recorded else { panic!("{recorded:?}") };
        assert!(kept.contains(&format!("{bytes} bytes of an answer came and were not read")), "{kept}");
        assert!(json::read(kept.as_bytes()).is_ok() && !kept.contains("SECRET"), "{kept}");
    };
    for reader in [|| message(false), Answering::plain] {
        says(&recorded(reader(), b"{ SECRET", Ended::Broken), 8);
        says(&recorded(reader(), b"no JSON", Ended::Whole), 7);
        assert!(recorded(reader(), b"", Ended::Broken).is_empty());
    }
    says(&recorded(message(false), br#"{"type":"message"}"#, Ended::Whole), 18);
    let (mut reader, mut words, mut parts) = (message(false), TestWords::binding(), Vec::new());
    let piece = vec![b' '; 32 << 20];
    (0..4).for_each(|_| reader.on_data(&piece, &mut words, &mut parts));
    assert!(matches!(parts[..], [Part::Broken(_)]));
    says(&words.recorded, 64 << 20);
    // An error that is none, and one that the client is not told.
    for (status, body) in [(500, "<html>SECRET</html>"), (401, r#"{"error":{"type":"a","message":"SECRET"}}"#)] {
        let (mut reader, mut words) = (message(true), TestWords::binding());
        let mut head = Head { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new() };
        reader.on_head(&mut head, &mut words).unwrap();
        testing::feed(&mut reader, &mut words, body.as_bytes(), 3);
        says(&words.recorded, body.len());
    }
}

#[test]
fn a_text_stands_before_its_sources_and_in_its_place() {
    let blocks = [vec![START.to_owned()], text(0, &["one"]), call(1, "Bash", &["{}"]), text(2, &["two"])].concat();
    let came = answered(message(true), TestWords::binding(), &[stream(&blocks).as_bytes()], Ended::Broken);
    let [kept] = came.recorded.as_slice() else { panic!("{:?}", came.recorded) };
    let places: Vec<usize> = ["one", "Bash", "two"].iter().map(|word| kept.find(word).unwrap()).collect();
    assert!(places.is_sorted(), "{kept}");
}
