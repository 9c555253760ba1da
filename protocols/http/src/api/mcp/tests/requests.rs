//! Requests, and what is said of those that do not pass.

use super::*;
use portcullis_gate::LeftOpen;
use portcullis_model::{ApprovalId, DecisionId, Fault, RuleId, SessionId};
use serde_json::Value;

#[test]
fn every_request_of_the_table_is_what_it_says() {
    let table = include_str!("../../../../../../fixtures/http/mcp.tsv");
    let mut rows = 0;
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [verdict, method, headers, body] = fields[..] else { panic!("{line}") };
        let asked = ask(method, headers, body);
        let found = match &asked.command.fault {
            Some(fault) => {
                let refused = refused(&asked.request, &denial(Reason::Unreadable(fault.clone())));
                let said: Value = serde_json::from_slice(&refused.1).unwrap();
                format!("{} {}", said.pointer("/error/code").unwrap(), refused.0.status.as_u16())
            }
            None => {
                assert_eq!(asked.command.digest, asked.request.digest(), "{line}");
                let operations: Vec<String> = asked.command.operations().iter().map(ToString::to_string).collect();
                operations.join("; ")
            }
        };
        assert_eq!(found, verdict, "{line}");
        rows += 1;
    }
    assert!(rows > 120, "{rows}");
}

#[test]
fn the_endpoint_is_the_connection_itself() {
    for (path, query) in [("/mcp", ""), ("/mcp/", ""), ("/", "a=b")] {
        let mut request = request("POST", OLD, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
        request.path = Path::read(path).unwrap();
        request.query = Query::read(query).unwrap();
        let Read::Asked(asked) = read(request, &context()) else { panic!() };
        let fault = asked.command.fault.clone().unwrap();
        assert_eq!(refused(&asked.request, &denial(Reason::Unreadable(fault))).0.status, StatusCode::NOT_FOUND);
    }
}

#[test]
fn what_is_sent_on_is_a_closed_list_and_no_server_is_told_that_it_may_ask() {
    let headers =
        format!("{OLD} | x-forwarded-for: 1.2.3.4 | cookie: a=b | mcp-evil: 1 | user-agent: c/1 | accept: */*");
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"sampling":{},"roots":{"listChanged":true},"elicitation":{},"tasks":{},"experimental":{"x":1E2}},"clientInfo":{}}}"#;
    let asked = ask("POST", &headers, body);
    let mut names: Vec<&str> = asked.request.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "content-type", "mcp-protocol-version", "user-agent"]);
    assert_eq!(asked.request.header("accept"), Some("application/json, text/event-stream"));
    let sent = String::from_utf8(asked.request.body.to_vec()).unwrap();
    assert!(sent.contains(r#""capabilities":{"experimental":{"x":1E2}}"#), "{sent}");
    // Nor in another case, which some servers take for the same.
    let spelled = body.replace("sampling", "Sampling").replace("roots", "ROOTS").replace("tasks", "ta\u{17f}\u{212a}s");
    let asked = ask("POST", &headers, &spelled);
    assert_eq!(String::from_utf8(asked.request.body.to_vec()).unwrap(), sent);
    // In the newer kind they are in every request, before or behind the arguments.
    let headers = "mcp-protocol-version: 2026-07-28 | mcp-method: tools/call | mcp-name: run_sql";
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"sampling":{"tools":{}}}}"#;
    for params in [
        format!(r#"{meta},"name":"run_sql","arguments":{{"sql":"DROP TABLE a"}}"#),
        format!(r#""name":"run_sql","arguments":{{"sql":"DROP TABLE a"}},{meta}"#),
    ] {
        let asked =
            ask("POST", headers, &format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{params}}}}}"#));
        assert!(!String::from_utf8_lossy(&asked.request.body).contains("sampling"));
        let operations: Vec<String> = asked.command.operations().iter().map(ToString::to_string).collect();
        assert!(operations.len() == 2 && operations[1].starts_with("drop table"), "{operations:?}");
    }
}

#[test]
fn a_session_id_is_sealed_and_its_holders_alone() {
    let context = context();
    let mut asked = call("initialize", r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{}}"#);
    let mut head = head(200, "application/json");
    head.headers.insert("mcp-session-id", HeaderValue::from_static("upstream-1"));
    asked.reader.on_head(&mut head, &mut TestWords::default()).unwrap();
    let sealed = head.headers.get("mcp-session-id").unwrap().to_str().unwrap().to_owned();
    assert!(!sealed.contains("upstream"));
    for (method, body) in [("POST", r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#), ("GET", ""), ("DELETE", "")] {
        let send = |sealed: &str, holder: Digest| {
            let context = Context { holder, ..super::context() };
            read(request(method, &format!("{OLD} | mcp-session-id: {sealed}"), body), &context)
        };
        let Read::Asked(asked) = send(&sealed, context.holder) else { panic!() };
        assert_eq!(asked.request.header("mcp-session-id"), Some("upstream-1"));
        for (sealed, holder) in
            [(sealed.as_str(), Digest::of(b"another")), ("upstream-1", context.holder), ("x", context.holder)]
        {
            // It is refused as a command, so that the record has it, whatever is asked in it.
            let Read::Asked(asked) = send(sealed, holder) else { panic!() };
            let fault = asked.command.fault.clone().unwrap();
            assert_eq!(refused(&asked.request, &denial(Reason::Unreadable(fault))).0.status, StatusCode::NOT_FOUND);
        }
    }
}

/// Servers replay what follows an event to whoever names it: a principal goes on only from one that was said to it.
#[test]
fn a_stream_goes_on_from_an_event_of_its_holders_alone() {
    let session = sealed(Of::Session, "upstream-1");
    let goes_on = |method: &str, id: &str, body: &str| {
        let headers = format!("{OLD} | mcp-session-id: {session} | last-event-id: {id}");
        let Read::Asked(asked) = read(request(method, &headers, body), &context()) else { panic!() };
        asked
    };
    let asked = goes_on("GET", &sealed(Of::Event, "3"), "");
    assert_eq!((asked.command.fault.clone(), asked.request.header("last-event-id")), (None, Some("3")));
    assert_eq!(asked.request.header("mcp-session-id"), Some("upstream-1"));
    let theirs = context().seal.seal(&Digest::of(b"another"), Of::Event, "3").unwrap();
    for id in ["3", "x", "", &theirs, &session, &sealed(Of::Session, "3")] {
        let asked = goes_on("GET", id, "");
        let fault = asked.command.fault.clone().unwrap();
        let status = refused(&asked.request, &denial(Reason::Unreadable(fault))).0.status;
        assert_eq!(status, StatusCode::NOT_FOUND, "{id}");
    }
    // An event is no session.
    let headers = format!("{OLD} | mcp-session-id: {}", sealed(Of::Event, "upstream-1"));
    assert!(ask("GET", &headers, "").command.fault.is_some());
    // Elsewhere nothing goes on from one, and no server is told of any.
    for id in ["3", &sealed(Of::Event, "3")] {
        let asked = goes_on("POST", id, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
        assert_eq!((asked.command.fault.clone(), asked.request.header("last-event-id")), (None, None), "{id}");
    }
}

#[test]
fn a_refused_call_is_the_result_of_a_tool_that_failed() {
    let rule = RuleId { bundle: "tools".into(), rule: "no-drops".into() };
    let by_rule = denial(Reason::Rule { rule, operation: "drop table a".into() });
    let value = |(head, body): (Head, Bytes)| (head.status.as_u16(), serde_json::from_slice::<Value>(&body).unwrap());
    let old = request("POST", OLD, r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"x"}}"#);
    let (status, said) = value(refused(&old, &by_rule));
    assert_eq!((status, &said["id"], &said["result"]["isError"]), (200, &"a".into(), &true.into()));
    let text = said["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("tools/no-drops") && text.contains("Ask the owner."), "{text}");
    assert!(said["result"].get("resultType").is_none());
    let new = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let new = request("POST", "mcp-protocol-version: 2026-07-28 | mcp-method: tools/call | mcp-name: x", new);
    let (_, said) = value(refused(&new, &by_rule));
    assert_eq!(said["result"]["resultType"], "complete");
    // A tool whose input cannot be read is told so in the same way.
    let fault = Fault::Syntax { message: "no SQL".into(), position: None };
    assert_eq!(value(refused(&new, &denial(Reason::Unreadable(fault)))).1["result"]["isError"], true);
    let (approval, decision) = (ApprovalId::new(), DecisionId { session: SessionId::new(), number: 1 });
    let open = LeftOpen { approval, decision, terms: Vec::new(), until: jiff::Timestamp::UNIX_EPOCH };
    let (status, said) = value(left(&old, &open));
    assert!(status == 200 && said.to_string().contains(&approval.to_string()) && said["result"]["isError"] == true);
    let read = request("POST", OLD, r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a:b"}}"#);
    let (status, said) = value(refused(&read, &by_rule));
    assert_eq!((status, &said["error"]["code"], &said["id"]), (200, &403.into(), &1.into()));
    let get = request("GET", OLD, "");
    let (status, said) = value(refused(&get, &by_rule));
    assert!(status == 403 && said.get("id").is_some_and(Value::is_null), "{said}");
    assert_eq!(value(refused(&get, &denial(Reason::RecordUnavailable))).0, 503);
    let (status, said) = value(failed(&old, StatusCode::BAD_GATEWAY, "gone"));
    assert_eq!((status, &said["id"], &said["error"]["message"]), (502, &"a".into(), &"[portcullis] gone".into()));
    let unknown = request("POST", "mcp-protocol-version: 2099-01-01", r#"{"jsonrpc":"2.0","id":4,"method":"ping"}"#);
    let (_, said) = value(failed(&unknown, StatusCode::BAD_GATEWAY, "gone"));
    assert_eq!(said["id"], 4);
    let (_, said) = value(refused(&unknown, &denial(Reason::Withdrawn)));
    assert_eq!(said["error"]["data"]["requested"], "2099-01-01");
}

#[test]
fn a_rule_sees_the_arguments_of_a_call_and_the_whole_of_another_message() {
    let fields = |json: &str| Some(Arc::new(json::read(json.as_bytes()).unwrap().fields(&[])));
    let asked = call("tools/call", r#"{"name":"refund","arguments":{"amount":120}}"#);
    assert_eq!(asked.command.fields, fields(r#"{"amount":120}"#));
    assert_eq!(call("tools/call", r#"{"name":"refund"}"#).command.fields, fields("{}"));
    let asked = call("prompts/get", r#"{"name":"p","arguments":{"a":"b"}}"#);
    assert_eq!(asked.command.fields, fields(std::str::from_utf8(&asked.request.body).unwrap()));
}

#[test]
fn the_arguments_of_a_call_are_a_document_beside_its_name() {
    let of = |params: &str| {
        let command = call("tools/call", params).command;
        let parameter = command.parameters[0].clone();
        (command.text.as_str().to_owned(), parameter.type_name.to_string(), parameter.value.unwrap().to_string())
    };
    let parts = |text: &str, kind: &str, value: &str| (text.to_owned(), kind.to_owned(), value.to_owned());
    let pay = r#""name":"pay","arguments":{"ssn": "1"}"#;
    assert_eq!(of(&format!("{{{pay}}}")), parts("pay", "json", r#"{"ssn":"1"}"#));
    let meta = r#""_meta":{"claudecode/toolUseId":"toolu_1"}"#;
    assert_eq!(of(&format!("{{{pay},{meta}}}")), parts("pay (toolu_1)", "json", r#"{"ssn":"1"}"#));
    assert_eq!(of(r#"{"name":"pay"}"#), parts("pay", "json", "{}"));
    // Secrets of the code in them stay hidden; the record cuts what is long, masked before.
    let sql = r#"{"name":"run_sql","arguments":{"sql":"ALTER ROLE a PASSWORD 'hunter2'"}}"#;
    let (text, kind, value) = of(sql);
    assert!(text == "run_sql" && kind == "json" && !value.contains("hunter2"), "{value}");
    let long = format!(r#"{{"name":"pay","arguments":{{"a":"{}"}}}}"#, "x".repeat(100_000));
    let (text, kind, _) = of(&long);
    assert_eq!((text.as_str(), kind.as_str()), ("pay", "json"));
}

/// A body is read once, and what was changed of it once more.
#[test]
fn a_body_is_read_once() {
    let reads = |headers: &str, body: &str| {
        let before = json::READS.get();
        let asked = ask("POST", headers, body);
        let reads = json::READS.get() - before;
        assert_eq!(asked.command.fault, None, "{body}");
        reads
    };
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay","arguments":{"n":[1,"a b"]}}}"#;
    assert_eq!(reads(OLD, call), 1);
    assert_eq!(reads(OLD, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#), 1);
    assert_eq!(reads(OLD, r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"p"}}"#), 1);
    let opens = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{}},"clientInfo":{}}}"#;
    assert_eq!(reads(OLD, opens), 2);
}
