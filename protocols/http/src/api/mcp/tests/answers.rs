//! Answers, whole and cut everywhere.

use super::*;
use proptest::prelude::*;

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream; charset=utf-8";

fn result(result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#)
}

fn tool_call() -> Asked {
    call("tools/call", r#"{"name":"echo","arguments":{},"_meta":{"progressToken":"SECRET-7"}}"#)
}

#[test]
fn results_pass_masked_and_otherwise_as_they_were_written() {
    let cases: &[(&str, &str)] = &[
        (
            r#"{"content":[],"n":[1E2, -0, 123456789012345678901234567890]}"#,
            r#"{"content":[],"n":[1E2, -0, 123456789012345678901234567890]}"#,
        ),
        (
            r#"{"content":[{"type":"text","text":"a SECRET"}],"isError":true}"#,
            r#"{"content":[{"type":"text","text":"a [masked]"}],"isError":true}"#,
        ),
        (
            r#"{"content":[{"type":"text","text":"{\"ssn\":\"1\"}"}]}"#,
            r#"{"content":[{"type":"text","text":"{\"ssn\":\"[masked]\"}"}]}"#,
        ),
        (
            r#"{"content":[{"type":"text","text":"rows:\n{\"ssn\":\"1\"}\n{\"ssn\":\"2\"}"}]}"#,
            r#"{"content":[{"type":"text","text":"rows:\n{\"ssn\":\"[masked]\"}\n{\"ssn\":\"[masked]\"}"}]}"#,
        ),
        (
            r#"{"content":[{"type":"text","text":"found: {\"ssn\":\n\"1\"} SECRET"}]}"#,
            r#"{"content":[{"type":"text","text":"found: {\"ssn\":\n\"[masked]\"} [masked]"}]}"#,
        ),
        (
            r#"{"content":[{"type":"text","text":"[INFO] {\"ssn\":\"1\"}\n[INFO] done"}]}"#,
            r#"{"content":[{"type":"text","text":"[INFO] {\"ssn\":\"[masked]\"}\n[INFO] done"}]}"#,
        ),
        (
            r#"{"content":[{"type":"text","text":"of \"a\"\n{\"ssn\":\"1\"} of \"b\"\n\"c\" {\"ssn\":\"2\"} \"d\".\n: e"}]}"#,
            r#"{"content":[{"type":"text","text":"of \"a\"\n{\"ssn\":\"[masked]\"} of \"b\"\n\"c\" {\"ssn\":\"[masked]\"} \"d\".\n: e"}]}"#,
        ),
        (
            r#"{"structuredContent":{"ssn":"1","s":"S\u0045CRET"}}"#,
            r#"{"structuredContent":{"ssn":"[masked]","s":"[masked]"}}"#,
        ),
        (r#"{"ssn":"1","_meta":{"x":"SECRET"}}"#, r#"{"ssn":"[masked]","_meta":{"x":"[masked]"}}"#),
        (
            r#"{"content":[{"type":"resource","resource":{"uri":"a:b","text":"SECRET"}}]}"#,
            r#"{"content":[{"type":"resource","resource":{"uri":"a:b","text":"[masked]"}}]}"#,
        ),
        (
            r#"{"content":[{"type":"image","data":"AAAA","mimeType":"image/png"}]}"#,
            r#"{"content":[{"type":"image","data":"AAAA","mimeType":"image/png"}]}"#,
        ),
        (
            r#"{"content":[{"type":"image","data":"SECRET","mimeType":"image/png","ssn":"1","_meta":{"x":"SECRET"}}]}"#,
            r#"{"content":[{"type":"image","data":"SECRET","mimeType":"image/png","ssn":"[masked]","_meta":{"x":"[masked]"}}]}"#,
        ),
        (
            r#"{"contents":[{"uri":"a:SECRET","mimeType":"text/plain","text":"SECRET"}]}"#,
            r#"{"contents":[{"uri":"a:[masked]","mimeType":"text/plain","text":"[masked]"}]}"#,
        ),
        (
            r#"{"messages":[{"role":"user","content":{"type":"text","text":"SECRET"}},{"role":"user","content":[{"type":"text","text":"SECRET"}]}]}"#,
            r#"{"messages":[{"role":"user","content":{"type":"text","text":"[masked]"}},{"role":"user","content":[{"type":"text","text":"[masked]"}]}]}"#,
        ),
        // A text that was cut inside of a character, and one that was not.
        (
            r#"{"content":[{"type":"text","text":"SECRET ab\ud83d"}],"n":["\ud83d\ude00","\\ud83d"]}"#,
            r#"{"content":[{"type":"text","text":"[masked] ab�"}],"n":["\ud83d\ude00","\\ud83d"]}"#,
        ),
        (
            r#"{"completion":{"values":["SECRET"]},"ttlMs":3600000,"cacheScope":"public"}"#,
            r#"{"completion":{"values":["[masked]"]},"ttlMs":0,"cacheScope":"private"}"#,
        ),
    ];
    for (from, to) in cases {
        let came = everywhere(&tool_call, JSON, &result(from), true);
        assert_eq!((came.text.as_str(), &came.end), (result(to).as_str(), &Ok(())), "{from}");
        let came = everywhere(&tool_call, EVENTS, &events(&[&result(from)]), true);
        assert_eq!(came.text, format!("event: message\ndata: {}\n\n", result(to)), "{from}");
    }
}

#[test]
fn what_masks_cannot_look_into_is_left_out_while_they_bind() {
    for content in [
        r#"{"content":[{"type":"image","data":"U0VDUkVU","mimeType":"image/jpeg"}]}"#,
        r#"{"content":[{"type":"audio","data":"U0VDUkVU","mimeType":"audio/wav"}]}"#,
        r#"{"content":[{"type":"hologram","data":"U0VDUkVU"}]}"#,
        r#"{"content":[{"data":"U0VDUkVU"}]}"#,
        r#"{"content":["U0VDUkVU"]}"#,
        r#"{"content":[{"type":"resource","resource":{"uri":"a:b","blob":"U0VDUkVU"}}]}"#,
        r#"{"contents":[{"uri":"a:b","mimeType":"x/y","blob":"U0VDUkVU"}]}"#,
        r#"{"content":[{"type":"text","text":"{\"ssn\":\"U0VDUkVU\""}]}"#,
        r#"{"content":[{"type":"text","text":"a \"ssn\" : \"U0VDUkVU\""}]}"#,
        r#"{"content":[{"type":"text","text":"{\"a\":1} and \"ssn\":\"U0VDUkVU\""}]}"#,
        r#"{"content":[{"type":"text","text":"x {\\\"ssn\\\":\\\"U0VDUkVU\\\"}"}]}"#,
        r#"{"content":[{"type":"text","text":"{\n  \"ssn\": \"U0VDUkVU\",\n"}]}"#,
        // In two lines, also beside documents that can be read.
        r#"{"content":[{"type":"text","text":"{\"ssn\"\n:\"U0VDUkVU\",}"}]}"#,
        r#"{"content":[{"type":"text","text":"Row:\n\"ssn\"\n: \"U0VDUkVU\"\n"}]}"#,
        r#"{"content":[{"type":"text","text":"[1]\n\"ssn\"\n: [\"U0VDUkVU\"]"}]}"#,
        r#"{"content":[{"type":"text","text":"[1] \"ssn\"\n: \"U0VDUkVU\"\n[2]"}]}"#,
        r#"{"content":[{"type":"text","text":"[1]\n\"ssn\"\n\n: {\"a\":\"U0VDUkVU\"}"}]}"#,
    ] {
        let came = everywhere(&tool_call, JSON, &result(content), true);
        assert!(!came.text.contains("U0VDUkVU") && came.text.contains("[portcullis]"), "{}", came.text);
        assert!(came.end.is_ok() && json::read(came.text.as_bytes()).is_ok());
        let came = everywhere(&tool_call, JSON, &result(content), false);
        assert!(came.text.contains("U0VDUkVU"), "{}", came.text);
    }
}

const SERVER_SAYS: [(&str, Option<&str>); 13] = [
    (
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"SECRET-7","progress":1,"message":"SECRET"}}"#,
        Some(
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"SECRET-7","progress":1,"message":"[masked]"}}"#,
        ),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"SECRET","progress":1}}"#,
        Some(
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"[masked]","progress":1}}"#,
        ),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":{"ssn":"1"}}}"#,
        Some(
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":{"ssn":"[masked]"}}}"#,
        ),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"SECRET"},"x":"SECRET"}"#,
        Some(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"[masked]"}}"#),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
        Some(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#),
    ),
    (r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#, Some(r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#)),
    (r#"{"jsonrpc":"2.0","id":"SECRET","method":"ping"}"#, None),
    (r#"{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{"messages":[]}}"#, None),
    (r#"{"jsonrpc":"2.0","id":9,"method":"elicitation/create","params":{"message":"password?"}}"#, None),
    (r#"{"jsonrpc":"2.0","id":9,"method":"roots/list"}"#, None),
    (r#"{"jsonrpc":"2.0","method":"notifications/SECRET"}"#, None),
    (r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","other":"SECRET"}}"#, None),
    (r#"{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"SECRET"}]}}"#, None),
];

#[test]
fn a_server_says_what_has_a_row_and_asks_nothing() {
    for (from, to) in SERVER_SAYS {
        let answer = result(r#"{"content":[]}"#);
        let came = everywhere(&tool_call, EVENTS, &events(&[from, &answer]), true);
        let said: Vec<&str> = came.text.split_terminator("\n\n").collect();
        let expected: Vec<String> =
            to.into_iter().chain([answer.as_str()]).map(|data| format!("event: message\ndata: {data}")).collect();
        assert_eq!(said, expected, "{from}");
        // Alone in a body there is no place for it.
        let came = everywhere(&tool_call, JSON, from, true);
        assert!(!came.text.contains("SECRET"), "{from}");
        // The stream of what a server says by itself is read alike, and answers nothing.
        let stream = || ask("GET", OLD, "");
        let came = everywhere(&stream, EVENTS, &events(&[from, &answer]), true);
        let kept = to.map(|to| to.replace("SECRET-7", "[masked]-7"));
        assert_eq!(came.text, kept.map(|to| format!("event: message\ndata: {to}\n\n")).unwrap_or_default());
    }
}

#[test]
fn what_is_no_message_ends_the_answer() {
    for body in [
        "",
        "SECRET",
        "[]",
        "7",
        "{}",
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":7}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{}}"#,
        r#"[{"jsonrpc":"2.0","id":1,"result":{}}]"#,
        r#"{"jsonrpc":"1.0","id":1,"result":{}}"#,
        "\u{feff}{}",
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
    ] {
        let came = everywhere(&tool_call, JSON, body, true);
        assert!(came.text.is_empty() && came.end.is_err(), "{body}");
        if !body.is_empty() && !body.starts_with('\u{feff}') {
            let came = everywhere(&tool_call, EVENTS, &events(&[body]), true);
            assert!(came.text.is_empty() && came.end.is_err(), "{body}");
        }
    }
    let other = r#"{"jsonrpc":"2.0","id":2,"result":{"content":"SECRET"}}"#;
    assert!(everywhere(&tool_call, JSON, other, false).end.is_err());
    for kind in ["text/html", "", "application/json; charset=utf-16", "application/octet-stream"] {
        assert!(everywhere(&tool_call, kind, &result("{}"), false).end.is_err(), "{kind}");
    }
    let mut reader = tool_call().reader;
    let (mut words, mut parts) = (TestWords::default(), Vec::new());
    reader.on_head(&mut head(200, JSON), &mut words).unwrap();
    reader.on_data(result("{}").as_bytes(), &mut words, &mut parts);
    reader.on_end(Ended::Broken, &mut words, &mut parts);
    assert!(matches!(parts.as_slice(), [Part::Broken(_)]));
    assert!(tool_call().reader.on_head(&mut head(307, JSON), &mut words).is_err());
}

#[test]
fn half_of_a_character_loses_no_list() {
    let page = result(r#"{"tools":[{"name":"yes","description":"a SECRET \ud83d"}]}"#);
    let came = everywhere(&|| call("tools/list", "{}"), JSON, &page, true);
    assert_eq!(came.text, result(r#"{"tools":[{"name":"yes","description":"a [masked] �"}]}"#));
}

#[test]
fn a_tool_that_may_not_be_called_is_not_listed() {
    let listed = || call("tools/list", "{}");
    let page = result(
        r#"{"tools":[{"name":"yes","description":"SECRET","inputSchema":{"type":"object","properties":{"ssn":{"type":"string","description":"a SECRET","default":"SECRET"}}}},{"name":"no_way","inputSchema":{}},{"name":"a SECRET","inputSchema":{}},{"inputSchema":{}},{"name":"SECRET"},{"name":"odd","inputSchema":{"properties":{"SECRET":{}}}},{"name":"more"}],"nextCursor":"c","ttlMs":9,"cacheScope":"public","resultType":"complete"}"#,
    );
    let expected = result(
        r#"{"tools":[{"name":"yes","description":"[masked]","inputSchema":{"type":"object","properties":{"ssn":{"type":"string","description":"a [masked]","default":"[masked]"}}}},{"name":"more"}],"nextCursor":"c","ttlMs":0,"cacheScope":"private","resultType":"complete"}"#,
    );
    let tools = ["call tool yes", "call tool no_way", "call tool \"SECRET\"", "call tool odd", "call tool more"];
    let came = everywhere(&listed, JSON, &page, true);
    assert_eq!((came.text.as_str(), came.end.clone()), (expected.as_str(), Ok(())));
    assert_eq!(came.proposed, tools);
    // Two events that come at once are read one after the other, around the verdicts.
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#;
    let came = everywhere(&listed, EVENTS, &events(&[log, &page, log]), true);
    assert_eq!(came.proposed, tools);
    assert_eq!(came.text, [log, &expected, log].map(|data| format!("event: message\ndata: {data}\n\n")).concat());
    // Without masks too; and where it is not known what a stream answers.
    let resumed = || {
        let (session, event) = (sealed(Of::Session, "s"), sealed(Of::Event, "7"));
        ask("GET", &format!("{OLD} | mcp-session-id: {session} | last-event-id: {event}"), "")
    };
    let came = everywhere(&resumed, EVENTS, &events(&[&page]), false);
    assert!(came.proposed == tools && !came.text.contains("no_way"));
    let many = result(&format!(r#"{{"tools":[{}{{"name":"x"}}]}}"#, r#"{"name":"x"},"#.repeat(256)));
    assert!(everywhere(&listed, JSON, &many, false).end.is_err());
    assert!(everywhere(&listed, JSON, &result(r#"{"tools":{"name":"x"}}"#), false).end.is_err());
}

#[test]
fn a_result_that_asks_the_client_becomes_an_error() {
    let asks = result(
        r#"{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"message":"SECRET"}}},"requestState":"s"}"#,
    );
    // As some clients read it, too.
    for asks in
        [&asks, &asks.replace("resultType", "ResultType"), &asks.replace(r#""resultType":"input_required","#, "")]
    {
        let came = everywhere(&tool_call, JSON, asks, false);
        assert!(came.text.contains(r#""isError":true"#) && !came.text.contains("elicitation"), "{}", came.text);
    }
    let came = everywhere(&|| call("prompts/get", r#"{"name":"p"}"#), EVENTS, &events(&[&asks]), false);
    assert!(came.text.contains(r#""error":{"#) && !came.text.contains("elicitation"), "{}", came.text);
}

/// In the shape of an error too, which sends a person to an address of the server's choice.
#[test]
fn an_error_that_asks_the_client_becomes_another() {
    let asks =
        r#"{"elicitations":[{"mode":"url","url":"https://evil.example/","message":"SECRET","elicitationId":"e"}]}"#;
    let kinds = || [tool_call as fn() -> Asked, || call("prompts/get", r#"{"name":"p"}"#)];
    for error in [
        format!(r#"{{"code":-32042,"message":"m","data":{asks}}}"#),
        format!(r#"{{"code":-32042.0,"message":"m","data":{asks}}}"#),
        format!(r#"{{"code":-3.2042e4,"message":"m","data":{asks}}}"#),
        format!(r#"{{"code":"-32042","message":"m","data":{asks}}}"#),
        format!(r#"{{"Code":-32042,"message":"m","Data":{asks}}}"#),
        format!(r#"{{"code":-32000,"message":"m","data":{asks}}}"#),
        r#"{"code":-32042,"message":"open https://evil.example/"}"#.to_owned(),
    ] {
        let error = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#);
        for asked in kinds() {
            for (kind, body) in [(JSON, error.clone()), (EVENTS, events(&[&error]))] {
                let came = everywhere(&asked, kind, &body, false);
                assert!(!came.text.contains("evil.example") && came.text.contains("[portcullis]"), "{}", came.text);
                assert_eq!(came.end, Ok(()));
            }
        }
    }
    // What only looks like it.
    for error in [
        r#"{"code":-32043,"message":"m","data":{"url":"https://a.example/"}}"#,
        r#"{"code":-32602,"message":"no elicitations"}"#,
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#);
        assert_eq!(everywhere(&tool_call, JSON, &body, false).text, body);
    }
}

#[test]
fn a_list_of_tools_under_another_spelling_is_none() {
    for page in [
        r#"{"Tools":[{"name":"no_way"}]}"#,
        r#"{"tools":[{"name":"yes"}],"TOOLS":[{"name":"no_way"}]}"#,
        "{\"tools\":[],\"tool\u{17f}\":[{\"name\":\"no_way\"}]}",
    ] {
        let came = everywhere(&|| call("tools/list", "{}"), JSON, &result(page), false);
        assert!(came.end.is_err() && !came.text.contains("no_way"), "{page}");
    }
    // It is a list only where one was asked for.
    let page = r#"{"Tools":["a"]}"#;
    assert_eq!(everywhere(&tool_call, JSON, &result(page), false).text, result(page));
}

#[test]
fn errors_keep_their_code_and_lose_what_is_masked() {
    // Servers that could not read a request do not know its id, and some make one up.
    for id in ["null", "1", "\"server-error\"", "\"SECRET\""] {
        let error = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32602,"message":"SECRET at x","data":{{"ssn":"1"}}}}}}"#
        );
        let came = everywhere(&tool_call, JSON, &error, true);
        let expected =
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"[masked] at x","data":{"ssn":"[masked]"}}}"#;
        assert_eq!(came.text, expected);
    }
    for (status, kind, body, client) in [
        (500, "text/html", "<h1>SECRET</h1>", 500),
        (401, "application/json", r#"{"error":"SECRET"}"#, 502),
        (404, "", "SECRET", 404),
        (405, "text/plain", "SECRET", 405),
    ] {
        let mut reader = tool_call().reader;
        let (mut words, mut parts) = (TestWords::default(), Vec::new());
        let mut head = head(status, kind);
        head.headers.insert("set-cookie", HeaderValue::from_static("a=SECRET"));
        head.headers.insert("www-authenticate", HeaderValue::from_static("Bearer SECRET"));
        reader.on_head(&mut head, &mut words).unwrap();
        assert_eq!(head.status.as_u16(), client);
        assert!(!format!("{:?}", head.headers).contains("SECRET"));
        reader.on_data(body.as_bytes(), &mut words, &mut parts);
        reader.on_end(Ended::Whole, &mut words, &mut parts);
        let [Part::Data(said), Part::End] = parts.as_slice() else { panic!("{parts:?}") };
        let said = std::str::from_utf8(said).unwrap();
        assert!(said.contains(&status.to_string()) && said.contains(r#""id":1"#) && !said.contains("SECRET"), "{said}");
    }
}

#[test]
fn a_notification_is_answered_by_a_status_alone() {
    let notification = || ask("POST", OLD, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    for kind in [JSON, EVENTS, "text/html", ""] {
        let came = everywhere(&notification, kind, "SECRET", false);
        assert_eq!(came, Came { text: String::new(), end: Ok(()), proposed: Vec::new() });
    }
}

#[test]
fn where_to_go_on_from_passes_and_other_fields_do_not() {
    let body = "id: 7\nretry: 100\ndata:\n\n: comment\nid: SECRET\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\nevent: SECRET\ndata: SECRET\n\n";
    let came = everywhere(&tool_call, EVENTS, body, true);
    // An id is sealed, as that of a session is.
    let id = sealed(Of::Event, "7");
    let result = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";
    assert_eq!(came.text, format!("id: {id}\nretry: 100\ndata: \n\n{result}"));
    // Not what a mask finds something in.
    let words = TestWords { finds: Some("100"), ..TestWords::binding() };
    let came = answer(tool_call(), EVENTS, &[body.as_bytes()], words);
    assert!(came.text.starts_with(&format!("id: {id}\ndata: \n\n")), "{}", came.text);
    // One of nothing says that there is none.
    let came = everywhere(&tool_call, EVENTS, "id:\ndata:\n\n", false);
    assert_eq!(came.text, "id: \ndata: \n\n");
}

proptest! {
    #[test]
    fn how_an_answer_is_cut_changes_nothing_and_the_canary_never_leaves(
        chosen in proptest::collection::vec(0..SERVER_SAYS.len(), 0..4),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..5),
        list in any::<bool>(),
    ) {
        let last = if list {
            result(r#"{"tools":[{"name":"a","description":"SECRET"},{"name":"no"},{"name":"SECRET"}]}"#)
        } else {
            result(r#"{"content":[{"type":"text","text":"{\"a\":[\"SECRET\",{\"ssn\":\"hidden\"}]}"}],"structuredContent":{"ssn":["hidden"]}}"#)
        };
        let mut messages: Vec<&str> = chosen.iter().map(|at| SERVER_SAYS[*at].0).filter(|text| !text.contains("SECRET-7")).collect();
        messages.push(&last);
        let stream = events(&messages).into_bytes();
        let asked = || if list { call("tools/list", "{}") } else { tool_call() };
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        at.extend([0, stream.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        let whole = answer(asked(), EVENTS, &[&stream], TestWords::binding());
        prop_assert!(!whole.text.contains("SECRET") && !whole.text.contains("hidden") && whole.end.is_ok());
        prop_assert_eq!(answer(asked(), EVENTS, &pieces, TestWords::binding()), whole);
    }

    #[test]
    fn nothing_a_peer_sends_breaks_the_reader(body in "[\\PC\\n]{0,200}", kind in prop::sample::select(vec![JSON, EVENTS])) {
        let came = everywhere(&tool_call, kind, &body, true);
        prop_assert!(!came.text.contains("SECRET"));
        let _ = message::of(&request("POST", OLD, &body));
    }
}

#[test]
fn a_second_answer_to_one_request_does_not_pass() {
    let (first, second) = (result(r#"{"content":[]}"#), result(r#"{"content":[{"type":"text","text":"more"}]}"#));
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#;
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"more"}}"#;
    let came = everywhere(&tool_call, EVENTS, &events(&[&first, log, &second, error]), false);
    assert_eq!(came.text, [first.as_str(), log].map(|data| format!("event: message\ndata: {data}\n\n")).concat());
    let listed = || call("tools/list", "{}");
    let page = result(r#"{"tools":[{"name":"yes"}]}"#);
    let came = everywhere(&listed, EVENTS, &events(&[&page, &result(r#"{"tools":[{"name":"other"}]}"#)]), false);
    assert_eq!(came.proposed, ["call tool yes"]);
    assert!(!came.text.contains("other"));
}
