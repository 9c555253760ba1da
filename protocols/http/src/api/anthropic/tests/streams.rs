//! Streams, whole and cut everywhere: texts masked, calls held for their verdict, broken grammar never whole.

use super::*;
use proptest::prelude::*;

pub(super) const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":7,"cache_read_input_tokens":3,"output_tokens":1}}}"#;

/// What a provider encrypts: base64 of some length.
const SEALED: &str = "SECRETxSECRETxSECRETxSECRETxSECRET+x8/==";

/// A stream of these events, each named by its type.
pub(super) fn stream(events: &[String]) -> String {
    let name = |data: &String| json::read(data.as_bytes()).ok()?.get("type")?.text().map(ToOwned::to_owned);
    events.iter().map(|data| format!("event: {}\ndata: {data}\n\n", name(data).unwrap_or_default())).collect()
}

pub(super) fn starts(index: usize, block: &str) -> String {
    format!(r#"{{"type":"content_block_start","index":{index},"content_block":{block}}}"#)
}

pub(super) fn delta(index: usize, kind: &str, member: &str, text: &str) -> String {
    let text = json::quoted(text);
    format!(r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"{kind}","{member}":{text}}}}}"#)
}

pub(super) fn stops(index: usize) -> String {
    format!(r#"{{"type":"content_block_stop","index":{index}}}"#)
}

pub(super) fn text(index: usize, pieces: &[&str]) -> Vec<String> {
    let mut events = vec![starts(index, r#"{"type":"text","text":""}"#)];
    events.extend(pieces.iter().map(|piece| delta(index, "text_delta", "text", piece)));
    events.push(stops(index));
    events
}

pub(super) fn call(index: usize, name: &str, pieces: &[&str]) -> Vec<String> {
    let block = format!(r#"{{"type":"tool_use","id":"toolu_{index}","name":"{name}","input":{{}}}}"#);
    let mut events = vec![starts(index, &block)];
    events.extend(pieces.iter().map(|piece| delta(index, "input_json_delta", "partial_json", piece)));
    events.push(stops(index));
    events
}

fn ends(reason: &str) -> Vec<String> {
    let ending = format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":null}},"usage":{{"output_tokens":42}}}}"#
    );
    vec![ending, r#"{"type":"message_stop"}"#.to_owned()]
}

/// A whole stream with these blocks in it.
pub(super) fn whole(blocks: &[Vec<String>], reason: &str) -> String {
    let mut events = vec![START.to_owned()];
    events.extend(blocks.concat());
    events.extend(ends(reason));
    stream(&events)
}

fn read(body: &str) -> Came {
    everywhere(true, TestWords::binding, body.as_bytes())
}

/// The blocks of an answer that came whole, and why it ended.
fn blocks(body: &str) -> (Vec<String>, String) {
    let came = read(body);
    assert_eq!(came.broken, None, "{}", came.client);
    let (blocks, reason) = accumulated(&heard(&came));
    (blocks, reason.unwrap())
}

#[test]
fn text_is_masked_wherever_it_is_cut() {
    let body = whole(&[text(0, &["a SEC", "RE", "T b ", "S", "ECRETS", "EC"])], "end_turn");
    let came = read(&body);
    assert_eq!(accumulated(&heard(&came)), (vec!["text:a [masked] b [masked]SEC".to_owned()], Some("end_turn".into())));
    assert_eq!(came.used, Some(Tokens { input: 7, output: 42, cache_read: 3, cache_write: 0 }));
    assert_eq!(
        came.recorded,
        [r#"{"role":"assistant","content":[{"type":"text","text":"a [masked] b [masked]SEC"}]}"#]
    );
    let unbound = everywhere(true, TestWords::default, body.as_bytes());
    assert_eq!(accumulated(&heard(&unbound)).0, ["text:a SECRET b SECRETSEC"]);
    // Text that stands in the start already.
    let mut events = text(0, &["RET"]);
    events[0] = starts(0, r#"{"type":"text","text":"SEC"}"#);
    assert_eq!(blocks(&whole(&[events], "end_turn")).0, ["text:[masked]"]);
}

#[test]
fn no_delta_is_empty_and_no_event_without_a_name() {
    let came = read(&whole(&[text(0, &["SEC", "RET", ""]), text(1, &[])], "end_turn"));
    for event in heard(&came) {
        assert!(event.name.is_some() && !event.data.contains(r#""text_delta","text":"""#), "{event:?}");
    }
}

#[test]
fn an_allowed_call_passes_whole_and_a_refused_one_is_said() {
    let bash = |index: usize, command: &str| call(index, "Bash", &[r#"{"comm"#, r#"and": ""#, command, r#""}"#]);
    let body = whole(&[text(0, &["now"]), bash(1, "ls /tmp"), bash(2, "DENY"), bash(3, "id")], "tool_use");
    let came = read(&body);
    let (said, reason) = accumulated(&heard(&came));
    assert_eq!(said[..2], ["text:now", r#"tool_useBash:{"command": "ls /tmp"}"#]);
    assert!(said[2].starts_with("text:[portcullis] Bash was refused: "), "{}", said[2]);
    assert!(said[2].contains("Ask the pilot."));
    assert_eq!((said[3].as_str(), reason.as_deref()), (r#"tool_useBash:{"command": "id"}"#, Some("tool_use")));
    assert_eq!(came.proposed[0], r#"Bash (toolu_1) {"command":"ls /tmp"}"#);
    assert_eq!(came.proposed.len(), 3);
    // Nothing of a refused call is left but its name.
    assert!(!came.client.contains("DENY"));
    assert!(came.proposed[1].contains("DENY") && came.recorded[0].contains(r#""id":"toolu_2","name":"Bash""#));
    // Where none is left the turn does not wait for a result.
    let (said, reason) = blocks(&whole(&[bash(0, "DENY"), bash(1, "DENY")], "tool_use"));
    assert!(said.iter().all(|block| block.starts_with("text:")));
    assert_eq!(reason, "end_turn");
    let (_, reason) = blocks(&whole(&[bash(0, "DENY")], "max_tokens"));
    assert_eq!(reason, "max_tokens");
}

#[test]
fn nothing_of_a_call_passes_before_its_verdict() {
    let body = whole(&[text(0, &["now"]), call(1, "Bash", &[r#"{"command":"ls"}"#])], "tool_use");
    let (mut reader, mut words) = (message(true), TestWords::binding());
    let mut parts = Vec::new();
    reader.on_data(body.as_bytes(), &mut words, &mut parts);
    // The end may come while people decide.
    reader.on_end(Ended::Whole, &mut words, &mut parts);
    let mut came = Came::default();
    assert!(came.take(parts).is_some() && !came.is_over());
    assert!(!came.client.contains("Bash") && !came.client.contains("message_delta"), "{}", came.client);
    let waiting = reader.keep_alive(ApprovalId::new()).unwrap();
    assert!(waiting.starts_with(b": waiting for approval ") && waiting.ends_with(b"\n\n"));
    let mut parts = Vec::new();
    reader.on_verdict(Ok(()), &mut words, &mut parts);
    assert!(came.take(parts).is_none() && came.is_over());
    assert!(came.client.contains("Bash") && came.client.contains("message_stop"));
}

#[test]
fn the_input_of_a_call_is_read_strictly_and_masked() {
    for input in [r#"{"command":"ls","command":"id"}"#, r#"{"command":"ls"} x"#, "[1]", "{", r#""ls""#, "\u{feff}{}"] {
        let (said, reason) = blocks(&whole(&[call(0, "Bash", &[input])], "tool_use"));
        assert!(said[0].starts_with("text:[portcullis] Bash was refused"), "{input}: {said:?}");
        assert_eq!(reason, "end_turn");
    }
    let came = read(&whole(&[call(0, "t", &[r#"{"a":"SEC"#, r#"RET","ssn":5, "n":1e400}"#])], "tool_use"));
    assert_eq!(accumulated(&heard(&came)).0, [r#"tool_uset:{"a":"[masked]","ssn":"[masked]", "n":1e400}"#]);
    // What the client runs is what was judged and what is recorded.
    assert_eq!(came.proposed, [r#"t (toolu_0) {"a":"[masked]","ssn":"[masked]","n":1e400}"#]);
    assert!(!came.recorded[0].contains("SECRET"), "{:?}", came.recorded);
    let (said, _) = blocks(&whole(&[call(0, "t", &[])], "tool_use"));
    assert_eq!(said, ["tool_uset:{}"]);
    // An input that says nothing yet is written in several ways.
    for nothing in [r#","input":null"#, r#","input":"""#, r#","input":[]"#, ""] {
        let mut events = call(0, "t", &[r#"{"a":1}"#]);
        events[0] = starts(0, &format!(r#"{{"type":"tool_use","id":"a","name":"t"{nothing}}}"#));
        assert_eq!(blocks(&whole(&[events], "tool_use")).0, [r#"tool_uset:{"a":1}"#], "{nothing}");
    }
    // A name that a mask would change is not the name of any tool.
    let (said, _) = blocks(&whole(&[call(0, "SECRET", &["{}"])], "tool_use"));
    assert!(said[0].starts_with("text:[portcullis] [masked] was refused"), "{said:?}");
    // Input that stands in the start already.
    let mut events = call(0, "Bash", &[]);
    events[0] = starts(0, r#"{"type":"tool_use","id":"a","name":"Bash","input":{"command":"DENY"}}"#);
    let (said, _) = blocks(&whole(&[events.clone()], "tool_use"));
    assert!(said[0].starts_with("text:"), "{said:?}");
    // And more of it behind: that is two documents.
    events.insert(1, delta(0, "input_json_delta", "partial_json", r#"{"command":"ls"}"#));
    assert!(blocks(&whole(&[events], "tool_use")).0[0].starts_with("text:"));
}

#[test]
fn what_is_not_known_is_dropped_and_the_blocks_are_numbered_anew() {
    let unknown = vec![
        starts(1, r#"{"type":"hologram","text":"SECRET"}"#),
        delta(1, "hologram_delta", "text", "SECRET"),
        stops(1),
    ];
    let (said, _) = blocks(&whole(&[text(0, &["a"]), unknown, text(2, &["b"])], "end_turn"));
    assert_eq!(said, ["text:a", "text:b"]);
    let mut events = vec![START.to_owned(), r#"{"type":"telemetry","x":"SECRET"}"#.to_owned()];
    events.extend(text(0, &["a"]));
    events.extend(ends("end_turn"));
    assert_eq!(blocks(&stream(&events)).0, ["text:a"]);
    // An event without a name is none to a client.
    let nameless = stream(&events).replace("event: telemetry\n", "");
    assert_eq!(blocks(&nameless).0, ["text:a"]);
}

#[test]
fn thinking_passes_unchanged_or_not_at_all() {
    let thinking = |said: &[&str]| {
        let mut events = vec![starts(0, r#"{"type":"thinking","thinking":"","signature":""}"#)];
        events.extend(said.iter().map(|said| delta(0, "thinking_delta", "thinking", said)));
        events.extend([delta(0, "signature_delta", "signature", "c2ln=="), stops(0)]);
        whole(&[events], "end_turn")
    };
    assert_eq!(blocks(&thinking(&["a ", "b"])).0, ["thinking:a bc2ln=="]);
    assert_eq!(blocks(&thinking(&["a SEC", "RET"])).0, ["thinking:c2ln=="]);
    let unbound = everywhere(true, TestWords::default, thinking(&["a SEC", "RET"]).as_bytes());
    assert_eq!(accumulated(&heard(&unbound)).0, ["thinking:a SECRETc2ln=="]);
    let redacted = |data: &str| {
        let block = format!(r#"{{"type":"redacted_thinking","data":"{data}"}}"#);
        whole(&[vec![starts(0, &block), stops(0)]], "end_turn")
    };
    assert!(read(&redacted("AbC+/=")).client.contains(r#""data":"AbC+/=""#));
    assert!(read(&redacted("a plain text")).broken.is_some());
}

/// Clients take the last piece of a compaction for all of it.
#[test]
fn a_compaction_comes_in_one_piece() {
    let begins = starts(0, r#"{"type":"compaction","content":null,"signature":"c2ln","tool_changes":[]}"#);
    let piece = |content: &str, more: &str| {
        format!(
            r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"compaction_delta","content":{content}{more}}}}}"#
        )
    };
    let read = |pieces: &[String]| {
        let block = [vec![begins.clone()], pieces.to_vec(), vec![stops(0)]].concat();
        let came = read(&whole(&[block], "end_turn"));
        assert_eq!(came.broken, None, "{}", came.client);
        assert!(came.client.contains(&begins), "{}", came.client);
        came
    };
    let sealed = format!(r#","encrypted_content":"{SEALED}""#);
    let (said, masked) =
        (json::quoted("a SECRET\n[ ] do this\nthen SEC"), json::quoted("a [masked]\n[ ] do this\nthen SEC"));
    let came = read(&[piece(&said, &sealed)]);
    assert!(came.client.contains(&piece(&masked, &sealed)), "{}", came.client);
    assert_eq!(came.client.matches("compaction_delta").count(), 1);
    assert!(
        came.recorded[0].contains(&format!(r#"{{"type":"compaction","content":{masked}}}"#)),
        "{:?}",
        came.recorded
    );
    // The last one is it; one that came to nothing has no text.
    let came = read(&[piece(&said, ""), piece(r#""b""#, &sealed)]);
    assert!(came.client.contains(&piece(r#""b""#, &sealed)) && !came.client.contains("do this"), "{}", came.client);
    assert!(!read(&[piece("null", "")]).client.contains("compaction_delta"));
    assert!(!read(&[]).client.contains("compaction_delta"));
    let came = read(&[piece("null", r#","encrypted_content":"a SECRET""#)]);
    assert!(came.client.contains(&piece("null", r#","encrypted_content":"a [masked]""#)), "{}", came.client);
}

/// Clients leave a stream that is silent for minutes, and a long call is said for longer.
#[test]
fn what_waits_for_long_is_not_silent() {
    let (long, goes_on) = ("a".repeat(400), ": goes on\n\n");
    let pieces = |first: &'static str, last: &'static str| {
        let mut pieces = vec![first];
        pieces.extend(std::iter::repeat_n(long.as_str(), 60));
        pieces.push(last);
        pieces
    };
    let thinking = |pieces: &[&str]| {
        let mut events = vec![starts(0, r#"{"type":"thinking","thinking":"","signature":""}"#)];
        events.extend(pieces.iter().map(|piece| delta(0, "thinking_delta", "thinking", piece)));
        events.push(stops(0));
        events
    };
    for block in
        [call(0, "Bash", &pieces(r#"{"command":"ls "#, r#""}"#)), text(0, &pieces("[", "")), thinking(&pieces("", ""))]
    {
        let came = read(&whole(&[block], "end_turn"));
        assert_eq!(came.broken, None);
        assert!((2..8).contains(&came.client.matches(goes_on).count()), "{}", came.client);
    }
    let short = whole(&[call(0, "Bash", &[r#"{"command":"ls"}"#]), text(1, &pieces("", ""))], "tool_use");
    assert!(!read(&short).client.contains(goes_on));
}

/// What summaries were made with, and what other models were asked, is in no total of the provider's.
#[test]
fn what_is_in_no_total_is_counted() {
    let beside = r#""iterations":[{"type":"compaction","input_tokens":180000,"output_tokens":3500},{"type":"message","input_tokens":7,"output_tokens":5},{"type":"advisor_message","model":"b","input_tokens":10,"output_tokens":20,"cache_read_input_tokens":1,"cache_creation_input_tokens":2}]"#;
    let plain = whole(&[text(0, &["a"])], "end_turn");
    let body = plain.replace(r#""usage":{"output_tokens":42}"#, &format!(r#""usage":{{"output_tokens":42,{beside}}}"#));
    let used = Tokens { input: 180_017, output: 3_562, cache_read: 4, cache_write: 2 };
    assert_eq!(read(&body).used, Some(used));
    let none = plain.replace(r#""usage":{"output_tokens":42}"#, r#""usage":{"output_tokens":42,"iterations":null}"#);
    assert_eq!(read(&none).used, read(&plain).used);
    let document = format!(
        r#"{{"type":"message","role":"assistant","content":[],"usage":{{"input_tokens":7,"output_tokens":42,"cache_read_input_tokens":3,{beside}}}}}"#
    );
    assert_eq!(everywhere(false, TestWords::binding, document.as_bytes()).used, Some(used));
}

#[test]
fn what_the_providers_tools_found_is_masked_and_goes_with_its_call() {
    let searched = |id: &str| {
        let call = r#"{"type":"server_tool_use","id":"srv_1","name":"web_search","input":{}}"#;
        let result = format!(
            r#"{{"type":"web_search_tool_result","tool_use_id":"{id}","content":[{{"type":"web_search_result","title":"a SECRET","encrypted_content":"{SEALED}"}}]}}"#
        );
        let query = delta(0, "input_json_delta", "partial_json", r#"{"query":"DENY"}"#);
        vec![starts(0, call), query, stops(0), starts(1, &result), stops(1)]
    };
    let came = read(&whole(&[searched("srv_1")], "end_turn"));
    assert!(!came.client.contains("web_search_tool_result"), "{}", came.client);
    assert_eq!(accumulated(&heard(&came)).0.len(), 1);
    let came = read(&whole(&[searched("srv_2")], "end_turn"));
    assert!(
        came.client.contains(&format!(r#""title":"a [masked]","encrypted_content":"{SEALED}""#)),
        "{}",
        came.client
    );
    let cited = r#"{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"type":"char_location","cited_text":"SECRET"}}}"#;
    let mut events = text(0, &["a"]);
    events.insert(2, cited.to_owned());
    let came = read(&whole(&[events], "end_turn"));
    assert!(came.client.contains(r#""cited_text":"[masked]""#), "{}", came.client);
}

/// A client forgets the calls of a model that broke off, and a provider refuses a turn without the place where it did.
#[test]
fn where_another_model_goes_on_is_said() {
    let fallback = r#"{"type":"fallback","from":{"model":"claude-a"},"to":{"model":"claude-b"},"trigger":{"type":"refusal","category":"cyber"}}"#;
    let bash = call(0, "Bash", &[r#"{"command":"ls"}"#]);
    let came = read(&whole(&[bash, vec![starts(1, fallback), stops(1)], text(2, &["a"])], "end_turn"));
    assert_eq!(accumulated(&heard(&came)).0, [r#"tool_useBash:{"command":"ls"}"#, "fallback:", "text:a"]);
    assert!(came.client.contains(&starts(1, fallback)) && came.recorded[0].contains(fallback), "{}", came.client);
    // Also where the call before it was refused, and in a document.
    let bash = call(0, "Bash", &[r#"{"command":"DENY"}"#]);
    let came = read(&whole(&[bash, vec![starts(1, fallback), stops(1)]], "end_turn"));
    assert!(came.client.contains(&starts(1, fallback)), "{}", came.client);
    let document =
        format!(r#"{{"type":"message","role":"assistant","content":[{fallback}],"stop_reason":"end_turn"}}"#);
    assert_eq!(everywhere(false, TestWords::binding, document.as_bytes()).client, document);
}

#[test]
fn what_an_adviser_said_is_masked_and_goes_with_its_call() {
    let advised = |id: &str| {
        let call = r#"{"type":"server_tool_use","id":"srv_1","name":"advisor","input":{}}"#;
        let result = format!(
            r#"{{"type":"advisor_tool_result","tool_use_id":"{id}","content":{{"type":"advisor_result","text":"a SECRET","stop_reason":"end_turn"}}}}"#
        );
        let asked = delta(0, "input_json_delta", "partial_json", r#"{"x":"DENY"}"#);
        let events = vec![starts(0, call), asked, stops(0), starts(1, &result), stops(1)];
        read(&whole(&[events], "end_turn"))
    };
    assert!(!advised("srv_1").client.contains("advisor_tool_result"));
    let came = advised("srv_2");
    let said = r#""content":{"type":"advisor_result","text":"a [masked]","stop_reason":"end_turn"}"#;
    assert!(came.client.contains(said) && came.recorded[0].contains(said), "{}", came.client);
}

#[test]
fn an_answer_that_breaks_its_grammar_breaks_off() {
    let start = START.to_owned();
    let with = |events: Vec<String>| stream(&[vec![START.to_owned()], events].concat());
    let second = [text(0, &["a"]), text(1, &["b"])].concat();
    let not_empty = START.replace(r#""content":[]"#, r#""content":[{"type":"text","text":"a"}]"#);
    let in_parts =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":["a SECRET"]}}"#.to_owned();
    let input = |input: &str| starts(0, &format!(r#"{{"type":"tool_use","id":"a","name":"Bash","input":{input}}}"#));
    let called = r#""delta":{"content":[{"type":"tool_use","id":"a","name":"Bash","input":{"command":"ls"}}],"#;
    let behind = ends("tool_use")[0].replace(r#""delta":{"#, called);
    let text_in_call = vec![call(0, "x", &[])[0].clone(), delta(0, "text_delta", "text", "a")];
    let cases: Vec<(&str, String)> = vec![
        ("nothing", String::new()),
        ("no start", stream(&text(0, &["a"]))),
        ("two starts", stream(&[start.clone(), start.clone()])),
        ("blocks in the start", stream(&[not_empty])),
        ("no end", with(text(0, &["a"]))),
        ("no message_stop", with([text(0, &["a"]), ends("end_turn")[..1].to_vec()].concat())),
        ("no message_delta", with([text(0, &["a"]), ends("end_turn")[1..].to_vec()].concat())),
        ("no block stop", with([text(0, &["a"])[..2].to_vec(), ends("end_turn")].concat())),
        ("an index twice", with([text(0, &["a"]), text(0, &["b"]), ends("end_turn")].concat())),
        ("an index left out", with([text(1, &["a"]), ends("end_turn")].concat())),
        ("two open blocks", with([second[..1].to_vec(), second[3..].to_vec()].concat())),
        ("a delta of no block", with(vec![delta(0, "text_delta", "text", "a")])),
        ("a delta after the stop", with([text(0, &["a"]), vec![delta(0, "text_delta", "text", "b")]].concat())),
        (
            "a delta of another kind",
            with(vec![text(0, &[])[0].clone(), delta(0, "input_json_delta", "partial_json", "a")]),
        ),
        ("an unknown delta", with(vec![text(0, &[])[0].clone(), delta(0, "odd_delta", "text", "a")])),
        ("a text in a call", with(text_in_call)),
        ("a block after the end", with([ends("end_turn")[..1].to_vec(), text(0, &["a"])].concat())),
        ("a text after the stop", with([ends("end_turn"), text(0, &["a"])].concat())),
        ("a second stop", with([ends("end_turn"), ends("end_turn")[1..].to_vec()].concat())),
        ("no JSON", with(vec![]) + "event: ping\ndata: {\"type\":\"ping\"\n\n"),
        ("a member twice", with(vec![]) + "event: ping\ndata: {\"type\":\"ping\",\"type\":\"error\"}\n\n"),
        ("another type", with(vec![]) + "event: ping\ndata: {\"type\":\"message_stop\"}\n\n"),
        ("no UTF-8", with(vec![]) + "event: ping\ndata: {\"type\":\"\u{fffd}\"}\n\n"),
        ("an id that is no id", with([call(0, "x", &[])].concat()).replace("toolu_0", "a b")),
        ("a reason that is no word", with([text(0, &["a"]), ends("a SECRET")].concat())),
        ("a text in parts", with(vec![starts(0, r#"{"type":"text","text":[{"text":"a SECRET"}]}"#)])),
        ("a piece in parts", with(vec![text(0, &[])[0].clone(), in_parts])),
        ("thinking in parts", with(vec![starts(0, r#"{"type":"thinking","thinking":["a SECRET"]}"#)])),
        ("an input that is a text", with(vec![input(r#""{\"command\":\"ls\"}""#), stops(0)])),
        ("an input that is a list", with(vec![input(r#"["ls"]"#), stops(0)])),
        ("blocks behind the blocks", with([text(0, &["a"]), vec![behind]].concat())),
        ("a document", r#"{"type":"message","role":"assistant","content":[]}"#.to_owned()),
    ];
    for (what, body) in cases {
        let came = read(&body);
        assert!(came.broken.is_some(), "{what}: {}", came.client);
        let events = heard(&came);
        // The client sees an error last, which its SDK raises.
        assert_eq!(events.last().and_then(|event| event.name.as_deref()), Some("error"), "{what}");
        // A stop that was passed already cannot be taken back.
        if !what.contains("stop") {
            assert!(!came.client.contains("message_stop"), "{what}");
        }
    }
    // What says nothing there is nothing.
    for nothing in ["[]", "null"] {
        let body = whole(&[text(0, &["a"])], "end_turn");
        let body =
            body.replace(r#""delta":{"stop_reason""#, &format!(r#""delta":{{"content":{nothing},"stop_reason""#));
        assert_eq!(read(&body).broken, None, "{nothing}");
    }
    // A connection that broke off is not made whole by what came before.
    let body = whole(&[text(0, &["a"])], "end_turn");
    let came = answered(message(true), TestWords::binding(), &[body.as_bytes()], Ended::Broken);
    assert!(came.broken.is_some());
}

#[test]
fn an_error_of_the_provider_passes_masked_and_ends_it() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"SECRET is full","x":"SECRET"}}"#;
    let came =
        read(&stream(&[vec![START.to_owned()], text(0, &["a"]), vec![error.to_owned()], ends("end_turn")].concat()));
    assert!(came.broken.is_some());
    let last = heard(&came).pop().unwrap();
    assert_eq!(last.data, r#"{"type":"error","error":{"type":"overloaded_error","message":"[masked] is full"}}"#);
}

#[test]
fn a_call_is_bounded() {
    let long = "a".repeat(600 << 10);
    let body = whole(&[call(0, "Bash", &[&long, &long])], "tool_use");
    let came = answered(message(true), TestWords::binding(), &[body.as_bytes()], Ended::Whole);
    assert!(came.broken.is_some() && came.proposed.is_empty());
    let many: Vec<Vec<String>> = (0..200).map(|index| call(index, "Bash", &[r#"{"command":"ls"}"#])).collect();
    let came = answered(message(true), TestWords::binding(), &[whole(&many, "tool_use").as_bytes()], Ended::Whole);
    assert!(came.broken.is_some() && came.proposed.len() == 128);
}

/// Some event, in its place or not.
fn some_event() -> impl Strategy<Value = String> {
    let piece = prop_oneof!["SECRET", "SEC", "RET", "[a-z ]{0,4}", Just("é€".to_owned())];
    let index = 0..3usize;
    prop_oneof![
        1 => Just(START.to_owned()),
        3 => (index.clone(), prop_oneof!["text", "hologram", "thinking", "compaction"], piece.clone())
            .prop_map(|(index, kind, text)| starts(index, &format!(r#"{{"type":"{kind}","text":"{text}"}}"#))),
        2 => index.clone().prop_map(|index| call(index, "Bash", &[])[0].clone()),
        6 => (index.clone(), prop_oneof![Just(("text_delta", "text")), Just(("thinking_delta", "thinking")),
            Just(("input_json_delta", "partial_json"))], piece)
            .prop_map(|(index, (kind, member), text)| delta(index, kind, member, &text)),
        4 => index.prop_map(stops),
        1 => Just(ends("tool_use")[0].clone()),
        1 => Just(ends("tool_use")[1].clone()),
        1 => Just(r#"{"type":"ping"}"#.to_owned()),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_nothing_protected_leaves_and_no_part_looks_whole(
        events in proptest::collection::vec(some_event(), 0..20),
        started in any::<bool>(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut events = events;
        if started {
            events.insert(0, START.to_owned());
        }
        let body = stream(&events);
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        at.extend([0, body.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &body.as_bytes()[pair[0]..pair[1]]).collect();
        let came = answered(message(true), TestWords::binding(), &pieces, Ended::Whole);
        let one = answered(message(true), TestWords::binding(), &[body.as_bytes()], Ended::Whole);
        prop_assert_eq!(&came, &one);
        let out = heard(&came);
        let stop = out.iter().any(|event| event.name.as_deref() == Some("message_stop"));
        prop_assert!(came.broken.is_some() || stop);
        let said: String = out.iter().filter_map(|event| {
            let node = json::read(event.data.as_bytes()).unwrap();
            node.get("delta").map(|delta| { let mut said = String::new(); delta.strings(&mut |text| said.push_str(text)); said })
        }).collect();
        prop_assert!(!said.contains("SECRET"), "{}", said);
    }
}
