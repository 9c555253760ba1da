//! Requests: what each is judged as, and which are refused.

use super::super::super::read;
use super::rig::{accumulated, call_item, calls, completed, created, whole};
use super::{Came, SEALED, TestWords};
use crate::api::{Asked, Ended, Part, Read};
use crate::frame::{Method, Request};
use crate::path::{Path, Query};
use crate::tools::ToolTable;
use bytes::Bytes;
use http::HeaderMap;
use portcullis_model::{Denial, Reason};
use std::sync::Arc;

fn asked(method: Method, target: &str, body: &str) -> Asked {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    let (path, query) = (Path::read(path).unwrap(), Query::read(query).unwrap());
    let request = Request { method, path, query, headers, body: Bytes::from(body.to_owned()) };
    match read(request, &Arc::new(ToolTable::default()), &mut TestWords::binding()) {
        Read::Asked(asked) => *asked,
        Read::Own(..) => panic!("the gateway answered"),
    }
}

fn said(asked: &Asked) -> String {
    match &asked.command.fault {
        Some(fault) => format!("fault: {}", fault.message()),
        None => asked.command.operations().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ; "),
    }
}

fn with(members: &str) -> Asked {
    asked(Method::Post, "/v1/responses", &format!(r#"{{"model":"gpt-x","input":"hi"{members}}}"#))
}

fn of(input: &str) -> Asked {
    asked(Method::Post, "/v1/responses", &format!(r#"{{"store":false,"model":"m","input":{input}}}"#))
}

fn sent(asked: &Asked) -> &str {
    std::str::from_utf8(&asked.request.body).unwrap()
}

#[test]
fn a_request_is_its_model_and_what_the_provider_runs() {
    assert_eq!(said(&with("")), r#"generate model "gpt-x""#);
    let asked = with(
        r#","tools":[{"type":"function","name":"shell","description":null,"parameters":{},"strict":true},{"type":"function","name":"c","defer_loading":null},{"type":"web_search","filters":{"allowed_domains":["a.example"]}}],"max_output_tokens":7,"store":false"#,
    );
    assert_eq!(said(&asked), r#"generate model "gpt-x" ; call tool web_search"#);
    let offers: Vec<String> = asked.offers.as_ref().unwrap().operations().iter().map(ToString::to_string).collect();
    assert_eq!(offers, ["call tool c", "call tool shell"]);
    assert_eq!(asked.tokens, 7 + asked.request.body.len() as u64 / 4);
    assert_eq!(asked.command.digest, asked.request.digest());
    for (members, most) in
        [("", 128_000), (r#","max_output_tokens":null"#, 128_000), (r#","max_output_tokens":0"#, 128_000)]
    {
        let asked = with(members);
        assert_eq!(asked.tokens, most + asked.request.body.len() as u64 / 4, "{members}");
    }
    let picture = r#"{"type":"input_image","detail":"low","image_url":"https://x.example/a"}"#;
    let drawn = "data:image/png;base64,SECRETxSECRETxSECRETxSECRETxSECRET+x8/==";
    let seen = of(&format!(
        r#"[{{"role":"user","content":[{picture},{{"type":"input_image","file_id":null,"image_url":"{drawn}"}}]}}]"#
    ));
    assert_eq!(said(&seen), "generate model m ; connect host x.example:443 +network");
    assert!(sent(&seen).contains(drawn));
}

#[test]
fn the_provider_is_asked_to_keep_nothing() {
    assert_eq!(sent(&with("")), r#"{"store":false,"model":"gpt-x","input":"hi"}"#);
    assert_eq!(sent(&with(r#","store":null"#)), r#"{"model":"gpt-x","input":"hi","store":false}"#);
    assert_eq!(sent(&with(r#","store":false"#)), r#"{"model":"gpt-x","input":"hi","store":false}"#);
    for store in ["true", "1", "\"false\"", "{}"] {
        assert!(said(&with(&format!(r#","store":{store}"#))).starts_with("fault: a response that the provider keeps"));
    }
    for members in [
        r#","previous_response_id":"resp_1""#,
        r#","conversation":"conv_1""#,
        r#","conversation":{"id":"conv_1"}"#,
        r#","prompt":{"id":"pmpt_1"}"#,
        r#","background":true"#,
    ] {
        assert!(said(&with(members)).starts_with("fault: what the provider keeps"), "{members}");
    }
    let none = r#","previous_response_id":null,"conversation":null,"prompt":null,"background":false"#;
    assert_eq!(said(&with(none)), r#"generate model "gpt-x""#);
}

/// What Codex says of itself stands for headers that do not pass either.
#[test]
fn what_a_client_says_of_itself_is_taken_out() {
    let metadata = r#"{"x-codex-installation-id":"SECRET","ws_request_header_traceparent":"{\"ssn\":5}"}"#;
    let expected = r#"{"store":false,"model":"gpt-x","input":"hi"}"#;
    for members in [
        format!(r#","client_metadata":{metadata}"#),
        format!(r#","top_logprobs":0,"client_metadata": {metadata},"moderation":null"#),
        r#","client_metadata":"a SECRET""#.to_owned(),
    ] {
        let asked = with(&members);
        assert_eq!((said(&asked).as_str(), sent(&asked)), (r#"generate model "gpt-x""#, expected), "{members}");
        assert_eq!(asked.command.digest, asked.request.digest());
    }
    let first = format!(r#"{{"client_metadata":{metadata},"store":null,"input":"hi","model":"m"}}"#);
    assert_eq!(sent(&asked(Method::Post, "/v1/responses", &first)), r#"{"store":false,"input":"hi","model":"m"}"#);
    let first = format!(r#"{{"client_metadata":{metadata},"input":"hi","model":"m"}}"#);
    assert_eq!(sent(&asked(Method::Post, "/v1/responses", &first)), r#"{"store":false,"input":"hi","model":"m"}"#);
}

#[test]
fn what_is_not_known_of_a_request_is_refused() {
    for members in [
        r#","top_logprobs":1"#,
        r#","client_metadat":{}"#,
        r#","metadata":{},"x":false"#,
        r#","x":1"#,
        r#","messages":[]"#,
        r#","moderation":{"model":"m"}"#,
        r#","context_management":[]"#,
        r#","model":"b""#,
        r#","include":["message.output_text.logprobs"]"#,
        r#","include":["file_search_call.results"]"#,
        r#","include":[1]"#,
        r#","include":"reasoning.encrypted_content""#,
        r#","stream_options":{"include_usage":true}"#,
        r#","stream_options":[]"#,
        r#","stream":1"#,
        r#","max_output_tokens":-1"#,
        r#","max_output_tokens":"7""#,
        r#","instructions":["a SECRET"]"#,
        r#","tools":{}"#,
        r#","tools":[{}]"#,
        r#","tools":[{"type":"function"}]"#,
        r#","tools":[{"type":"function","name":"a b c","async":true}]"#,
        r#","tools":[{"type":"function","name":"a","allowed_callers":["programmatic"]}]"#,
        r#","tools":[{"type":"function","function":{"name":"a"}}]"#,
        r#","tools":[{"type":"custom","name":"c"}]"#,
        r#","tools":[{"type":"mcp","server_label":"a","server_url":"https://a.example/","authorization":"t"}]"#,
        r#","tools":[{"type":"mcp","server_label":"a","connector_id":"connector_gmail"}]"#,
        r#","tools":[{"type":"file_search","vector_store_ids":["vs_1"]}]"#,
        r#","tools":[{"type":"code_interpreter","container":"cntr_1"}]"#,
        r#","tools":[{"type":"image_generation"}]"#,
        r#","tools":[{"type":"local_shell"}]"#,
        r#","tools":[{"type":"shell"}]"#,
        r#","tools":[{"type":"apply_patch"}]"#,
        r#","tools":[{"type":"computer_use_preview"}]"#,
        r#","tools":[{"type":"namespace","name":"a","tools":[]}]"#,
        r#","tools":[{"type":"tool_search"}]"#,
        r#","tools":[{"type":"programmatic_tool_calling"}]"#,
        r#","tool_choice":{"type":"mcp","server_label":"a"}"#,
        r#","tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"mcp","server_url":"https://x.example/"}]}"#,
        r#","text":{"format":{"type":"text","file_id":"f"}}"#,
        r#","reasoning":{"effort":"low","tools":[{"type":"mcp"}]}"#,
    ] {
        assert!(said(&with(members)).starts_with("fault"), "{members}");
    }
    for (method, target) in [
        (Method::Get, "/v1/responses"),
        (Method::Get, "/v1/responses/resp_1"),
        (Method::Delete, "/v1/responses/resp_1"),
        (Method::Post, "/v1/responses/resp_1/cancel"),
        (Method::Get, "/v1/responses/resp_1/input_items"),
        (Method::Post, "/v1/responses/compact"),
        (Method::Post, "/v1/responses/input_tokens"),
        (Method::Post, "/v1/responses?stream=true"),
        (Method::Post, "/v1/conversations"),
    ] {
        let body = r#"{"model":"m","input":"hi"}"#;
        assert!(said(&asked(method, target, body)).starts_with("fault"), "{target}");
    }
    for body in
        ["{}", r#"{"model":"m"}"#, r#"{"input":"hi"}"#, r#"{"model":"m","input":null}"#, r#"{"model":"m","input":{}}"#]
    {
        assert!(said(&asked(Method::Post, "/v1/responses", body)).starts_with("fault"), "{body}");
    }
}

#[test]
fn items_that_are_not_known_are_refused() {
    let user = |content: &str| format!(r#"[{{"role":"user","content":{content}}}]"#);
    for input in [
        r#"["a"]"#.to_owned(),
        "[{}]".to_owned(),
        r#"[{"id":"msg_1"}]"#.to_owned(),
        r#"[{"type":"item_reference","id":"msg_1"}]"#.to_owned(),
        r#"[{"type":null,"role":"user","content":"a"}]"#.to_owned(),
        r#"[{"type":"message","role":"tool","content":"a"}]"#.to_owned(),
        r#"[{"type":"message","role":"user"}]"#.to_owned(),
        r#"[{"type":"message","role":"user","content":"a","x":"a"}]"#.to_owned(),
        r#"[{"type":"message","role":"user","content":null}]"#.to_owned(),
        user(r#"[{"type":"input_file","file_data":"AAAA"}]"#),
        user(r#"[{"type":"input_file","file_url":"https://x.example/a"}]"#),
        user(r#"[{"type":"input_image","file_id":"file_1"}]"#),
        user(r#"[{"type":"input_image","image_url":"data:,","file_id":"file_1"}]"#),
        user(r#"[{"type":"input_audio","input_audio":{}}]"#),
        user(r#"[{"type":"input_text","text":["a"]}]"#),
        user(r#"[{"type":"output_text","text":"a","logprobs":[{"token":"a"}]}]"#),
        user(r#"["a"]"#),
        user(r#"{"type":"input_text","text":"a"}"#),
        r#"[{"type":"function_call","call_id":"c","name":"a"}]"#.to_owned(),
        r#"[{"type":"function_call","call_id":"c","name":"a","arguments":{}}]"#.to_owned(),
        r#"[{"type":"function_call","call_id":"c","name":"a","arguments":"","namespace":"n"}]"#.to_owned(),
        r#"[{"type":"function_call_output","output":"a"}]"#.to_owned(),
        r#"[{"type":"function_call_output","call_id":"c","output":"a","namespace":"n"}]"#.to_owned(),
        r#"[{"type":"function_call_output","call_id":"c"}]"#.to_owned(),
        r#"[{"type":"function_call_output","call_id":"c","output":[{"type":"input_file","file_id":"f"}]}]"#.to_owned(),
        r#"[{"type":"reasoning","id":"rs_1","summary":[]}]"#.to_owned(),
        r#"[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":null}]"#.to_owned(),
        r#"[{"type":"reasoning","id":"rs_1","summary":["a"],"encrypted_content":"AAAA"}]"#.to_owned(),
        r#"[{"type":"web_search_call","id":"ws_1"}]"#.to_owned(),
        r#"[{"type":"custom_tool_call","call_id":"c","name":"a","input":"a"}]"#.to_owned(),
        r#"[{"type":"local_shell_call_output","id":"a","output":"a"}]"#.to_owned(),
        r#"[{"type":"mcp_approval_response","approval_request_id":"a","approve":true}]"#.to_owned(),
        r#"[{"type":"compaction","encrypted_content":"AAAA"}]"#.to_owned(),
        r#"[{"type":"additional_tools","role":"developer","tools":[{"type":"mcp"}]}]"#.to_owned(),
    ] {
        assert!(said(&of(&input)).starts_with("fault"), "{input}");
    }
}

/// What openai-py has of its types.
#[test]
fn what_is_cached_and_who_called_passes() {
    let breakpoint = r#""prompt_cache_breakpoint":{"mode":"explicit","ttl":"30m"}"#;
    let text = format!(r#"{{"type":"input_text","text":"a",{breakpoint}}}"#);
    let picture = format!(r#"{{"type":"input_image","image_url":"data:,",{breakpoint}}}"#);
    let caller = r#""caller":{"type":"direct"}"#;
    let items = format!(
        r#"[{{"role":"user","content":[{text},{picture}]}},{{"type":"function_call","call_id":"c","name":"t","arguments":"{{}}",{caller}}},{{"type":"function_call_output","call_id":"c","name":"t","output":[{text}],{caller}}}]"#
    );
    assert_eq!(said(&of(&items)), "generate model m");
    let set = r#","prompt_cache_options":{"mode":"explicit","ttl":"30m","prewarm":true},"tools":[{"type":"function","name":"t","parameters":{},"output_schema":{"type":"object"}}]"#;
    assert_eq!(said(&with(set)), r#"generate model "gpt-x""#);
    for members in [
        r#","prompt_cache_options":{"mode":"explicit","comparison_response_id":"resp_1"}"#,
        r#","prompt_cache_options":{"tools":[{"type":"mcp"}]}"#,
    ] {
        assert!(said(&with(members)).starts_with("fault"), "{members}");
    }
    let program = items.replace(caller, r#""caller":{"type":"program","caller_id":"p"}"#);
    assert!(said(&of(&program)).starts_with("fault"), "{program}");
}

/// A client that asked for a form reads the text as that.
#[test]
fn a_refused_call_is_said_where_no_form_is_read() {
    for (format, kind) in [
        ("", "output_text"),
        (r#","text":{"format":{"type":"text"}}"#, "output_text"),
        (r#","text":{"format":{"type":"json_object"}}"#, "refusal"),
        (r#","text":{"format":{"type":"json_schema","name":"n","schema":{}}}"#, "refusal"),
    ] {
        let refused = |members: &str, answer: &str| {
            let (mut reader, mut words, mut parts) = (with(members).reader, TestWords::binding(), Vec::new());
            reader.on_data(answer.as_bytes(), &mut words, &mut parts);
            reader.on_end(Ended::Whole, &mut words, &mut parts);
            let denial = Denial { decision: None, reason: Reason::Withdrawn, message: None };
            reader.on_verdict(Err(&denial), &mut words, &mut parts);
            let mut came = Came::default();
            let data = parts.into_iter().filter(|part| !matches!(part, Part::Propose(_)));
            came.take(data.collect());
            came.client
        };
        let streamed = created() + &calls(0, "shell", &["{}"]) + &completed();
        let streamed = accumulated(&refused(&format!(r#","stream":true{format}"#), &streamed));
        assert!(streamed.said[0].starts_with("[portcullis] shell was refused"), "{streamed:?}");
        assert!(streamed.items[0].contains(&format!(r#""type":"{kind}""#)), "{streamed:?}");
        // It is the same in a document.
        let document = refused(format, &whole(&[call_item(0, "shell", "{}")], ""));
        assert!(document.ends_with(&format!(r#""output":[{}]}}"#, streamed.items[0])), "{document}");
    }
}

/// What a turn may hold, as SDKs send it again: `secret` where a text stands, `ssn` where a value does.
fn turn(secret: &str, ssn: &str) -> String {
    let arguments = |ssn: &str| crate::json::quoted(&format!(r#"{{"ssn":{ssn}}}"#));
    [
        format!(r#"{{"store":false,"model":"SECRET","instructions":"{secret}","input":["#),
        format!(r#"{{"role":"developer","content":"{secret}"}},"#),
        format!(r#"{{"type":"message","role":"user","content":[{{"type":"input_text","text":"{secret}"}}]}},"#),
        format!(r#"{{"type":"reasoning","id":"SECRET","summary":[{{"type":"summary_text","text":"{secret}"}}],"content":[],"encrypted_content":"{SEALED}"}},"#),
        format!(r#"{{"type":"message","id":"SECRET","status":"completed","phase":"commentary","role":"assistant","content":[{{"type":"output_text","text":"{secret}","annotations":[{{"type":"url_citation","title":"{secret}"}}],"logprobs":[]}},{{"type":"refusal","refusal":"{secret}"}}]}},"#),
        format!(r#"{{"type":"web_search_call","id":"ws_1","status":"completed","action":{{"type":"search","query":"{secret}"}}}},"#),
        format!(r#"{{"type":"function_call","id":"fc_1","call_id":"SECRET","name":"t","arguments":{},"status":"completed"}},"#, arguments(ssn)),
        format!(r#"{{"type":"function_call_output","call_id":"SECRET","output":{}}},"#, arguments(ssn)),
        format!(r#"{{"type":"function_call_output","call_id":"SECRET","output":[{{"type":"input_text","text":"{secret}"}}]}}],"#),
        format!(r#""metadata":{{"id":"{secret}","ssn":{ssn}}},"text":{{"format":{{"type":"json_schema","name":"{secret}","schema":{{"id":"{secret}"}}}},"verbosity":"low"}},"#),
        format!(r#""tools":[{{"type":"function","name":"t","parameters":{{"id":"{secret}"}}}}],"user":"{secret}","#),
        r#""reasoning":{"effort":"low","summary":"auto"},"tool_choice":{"type":"function","name":"t"},"truncation":"auto","#.to_owned(),
        r#""include":["reasoning.encrypted_content"],"stream":true,"stream_options":{"include_obfuscation":false}}"#.to_owned(),
    ]
    .concat()
}

#[test]
fn what_is_sent_is_masked() {
    let asked = asked(Method::Post, "/v1/responses", &turn("SECRET", "5"));
    assert_eq!(said(&asked), r#"generate model "SECRET""#);
    assert_eq!(sent(&asked), turn("[masked]", r#""[masked]""#));
    assert_eq!(asked.command.digest, asked.request.digest());
    let text = super::requests::asked(Method::Post, "/v1/responses", r#"{"model":"m","input":"a SECRET"}"#);
    assert_eq!(sent(&text), r#"{"store":false,"model":"m","input":"a [masked]"}"#);
    let unsealed = turn("a", "5").replace(SEALED, "a SECRET");
    assert!(!sent(&super::requests::asked(Method::Post, "/v1/responses", &unsealed)).contains("a SECRET"));
}
