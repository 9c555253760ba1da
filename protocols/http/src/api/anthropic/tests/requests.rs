//! Requests: what each is judged as, and which are refused.

use super::super::{read, without};
use super::*;
use crate::api::{Asked, Read};
use crate::frame::{Method, Request};
use crate::path::{Path, Query};
use bytes::Bytes;
use portcullis_model::{Denial, Reason};
use std::collections::BTreeSet;

fn request(method: Method, target: &str, body: &str) -> Request {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    headers.insert("anthropic-version", "2023-06-01".parse().unwrap());
    let (path, query) = (Path::read(path).unwrap(), Query::read(query).unwrap());
    Request { method, path, query, headers, body: Bytes::from(body.to_owned()) }
}

fn asked(request: Request, words: &mut TestWords) -> Asked {
    match read(request, &Arc::new(ToolTable::default()), words) {
        Read::Asked(asked) => *asked,
        Read::Own(..) => panic!("the gateway answered"),
    }
}

fn post(body: &str) -> Asked {
    asked(request(Method::Post, "/v1/messages", body), &mut TestWords::binding())
}

/// What it does, or what is wrong with it.
fn said(asked: &Asked) -> String {
    match &asked.command.fault {
        Some(fault) => format!("fault: {}", fault.message()),
        None => asked.command.operations().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ; "),
    }
}

/// A request with these members besides what it must have.
fn with(members: &str) -> String {
    format!(r#"{{"model":"claude-x","max_tokens":10,"messages":[{{"role":"user","content":"hi"}}]{members}}}"#)
}

#[test]
fn a_request_is_its_models_and_the_providers_tools() {
    for (members, expected) in [
        ("", r#"generate model "claude-x""#),
        (r#","stream":true,"temperature":1,"thinking":{"type":"adaptive"}"#, r#"generate model "claude-x""#),
        (
            r#","system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2; cc_entrypoint=sdk-cli","cache_control":{"type":"ephemeral"}}],"metadata":{"user_id":"{\"device_id\":\"a\"}"},"context_management":{"edits":[]},"output_config":{"effort":"high"},"thinking":{"type":"adaptive","display":"omitted"},"stream":true"#,
            r#"generate model "claude-x""#,
        ),
        (r#","fallback_credit_token":"abcde""#, r#"generate model "claude-x""#),
        (r#","fallback_credit_token":{"token":"a","mode":"best_effort"}"#, r#"generate model "claude-x""#),
        (r#","fallbacks":["b",{"model":"c"}]"#, r#"generate model "claude-x" ; generate model b ; generate model c"#),
        (
            r#","tools":[{"name":"Bash","input_schema":{}},{"type":"web_search_20250305","name":"web_search"},{"type":"mcp_toolset","mcp_server_name":"x"}]"#,
            r#"generate model "claude-x" ; call tool web_search ; call tool mcp_toolset"#,
        ),
        (
            r#","tools":[{"type":"web_hack_2030","name":"bash"}]"#,
            r#"generate model "claude-x" ; call tool web_hack_2030"#,
        ),
        (
            r#","tools":[{"type":"web_search_20250305","name":"Read"},{"type":"mcp_toolset","name":"Read"}]"#,
            r#"generate model "claude-x" ; call tool web_search_20250305 ; call tool mcp_toolset"#,
        ),
        // An adviser is a model, too.
        (
            r#","tools":[{"type":"advisor_20260301","name":"advisor","model":"claude-y","max_tokens":9},{"name":"a"}]"#,
            r#"generate model "claude-x" ; generate model "claude-y" ; call tool advisor"#,
        ),
        // The client runs them, but by calls that are not read.
        (
            r#","tools":[{"type":"computer_toolset_20260801"},{"type":"browser_toolset_20260801","configs":{}}]"#,
            r#"generate model "claude-x" ; call tool computer_toolset_20260801 ; call tool browser_toolset_20260801"#,
        ),
    ] {
        let asked = post(&with(members));
        assert_eq!(said(&asked), expected, "{members}");
        assert!(asked.command.can_write());
    }
    let asked =
        post(&with(r#","tools":[{"name":"Bash"},{"type":"bash_20250124","name":"bash"},{"type":null,"name":"a"}]"#));
    let offers: Vec<String> = asked.offers.unwrap().operations().iter().map(ToString::to_string).collect();
    assert_eq!(offers, [r#"call tool "Bash""#, "call tool a", "call tool bash"]);
    assert!(post(&with("")).offers.is_none());
    let image = r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[
        {"type":"image","source":{"type":"url","url":"https://x.example/a"}},
        {"type":"tool_use","input":{"type":"url","url":"https://y.example/a"}}]}]}"#;
    assert_eq!(said(&post(image)), "generate model m ; connect host x.example:443 +network");
    assert_eq!(post(&with("")).tokens, 10 + with("").len() as u64 / 4);
}

#[test]
fn what_is_not_known_of_a_request_is_refused() {
    for members in [
        r#","mcp_servers":[]"#,
        r#","container":"x""#,
        r#","model":"other""#,
        r#","Model":"other""#,
        r#","unheard_of":1"#,
        r#","unheard_of":false"#,
        r#","unheard_of":0,"container":null"#,
        r#","stream":"yes""#,
        r#","tools":{}"#,
        r#","tools":[{"name":"a b"}]"#,
        r#","tools":[{"type":5,"name":"a"}]"#,
        r#","tools":[{}]"#,
        r#","tools":[{"type":"advisor_20260301","name":"advisor","model":["b"]}]"#,
        r#","tools":[{"type":"advisor_20260301","name":"advisor","model":"a b"}]"#,
        r#","fallbacks":[{"model":"b","tools":[]}]"#,
        r#","fallbacks":"b""#,
        r#","fallback_credit_token":{"token":"a","model":"b"}"#,
        r#","fallback_credit_token":{"token":"a","fallbacks":["b"]}"#,
        r#","diagnostics":{"previous_message_id":"msg_1"}"#,
        r#","compaction":{"type":"auto"}"#,
    ] {
        assert!(said(&post(&with(members))).starts_with("fault"), "{members}");
    }
    for body in [
        "",
        "[]",
        "{}",
        r#"{"model":"x","messages":[]}"#,
        r#"{"model":"x","max_tokens":-1,"messages":[]}"#,
        r#"{"model":"x","max_tokens":"1","messages":[]}"#,
        r#"{"model":5,"max_tokens":1,"messages":[]}"#,
        r#"{"model":"a b","max_tokens":1,"messages":[]}"#,
        r#"{"model":"x","max_tokens":1}"#,
        r#"{"model":"x","max_tokens":1,"messages":["hi"]}"#,
        r#"{"model":"x","max_tokens":1,"messages":[{"role":"root","content":"hi"}]}"#,
        r#"{"model":"x","max_tokens":1,"messages":[{"role":"user","content":5}]}"#,
        r#"{"model":"x","max_tokens":1,"messages":[{"role":"user","content":["hi"]}]}"#,
        "\u{feff}{}",
    ] {
        assert!(said(&post(body)).starts_with("fault"), "{body}");
    }
}

#[test]
fn a_member_that_is_null_is_taken_out() {
    let asked = post(&with(r#","container":null,"mcp_servers" : null"#));
    assert_eq!((said(&asked).as_str(), &*asked.request.body), (r#"generate model "claude-x""#, with("").as_bytes()));
    assert_eq!(asked.command.digest, asked.request.digest());
}

#[test]
fn only_known_paths_parameters_and_heads_pass() {
    let whole = with("");
    let get = |target: &str| said(&asked(request(Method::Get, target, ""), &mut TestWords::binding()));
    assert_eq!(get("/v1/models?limit=1000"), "read endpoint GET /v1/models");
    assert_eq!(get("/v1/models/claude-x"), "read endpoint GET /v1/models/claude-x");
    for target in [
        "/v1/models/a/b",
        "/v1/models/",
        "/v1/modelsx",
        "/v1/messages",
        "/v1/files",
        "/",
        "/v1/models?x=1",
        "/v1/models?limit=a%20b",
    ] {
        assert!(get(target).starts_with("fault"), "{target}");
    }
    let post = |target: &str| said(&asked(request(Method::Post, target, &whole), &mut TestWords::binding()));
    assert_eq!(post("/v1/messages?beta=true"), r#"generate model "claude-x""#);
    assert_eq!(post("/v1/messages/count_tokens"), r#"generate model "claude-x""#);
    for target in [
        "/v1/messages?beta=false",
        "/v1/messages?beta",
        "/v1/messages?x=1",
        "/v1/messages/batches",
        "/v1/complete",
        "/v1/messages/",
        "/api/hello",
    ] {
        assert!(post(target).starts_with("fault"), "{target}");
    }
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-type", "application/json; charset=utf-16"),
        ("anthropic-version", "2020-01-01"),
        ("anthropic-version", ""),
    ] {
        let mut request = request(Method::Post, "/v1/messages", &whole);
        request.headers.insert(name, value.parse().unwrap());
        assert!(said(&asked(request, &mut TestWords::binding())).starts_with("fault"), "{name}: {value}");
    }
    // What the newer version no longer has is not passed under it.
    let mut newer = request(Method::Post, "/v1/messages", &with(r#","top_k":1"#));
    newer.headers.insert("anthropic-version", "2026-10-21".parse().unwrap());
    assert!(said(&asked(newer, &mut TestWords::binding())).starts_with("fault"));
    let hello = request(Method::Head, "/api/hello", "");
    let own = read(hello, &Arc::new(ToolTable::default()), &mut TestWords::binding());
    assert!(matches!(own, Read::Own(head, body) if head.status == StatusCode::OK && body.is_empty()));
}

/// What a provider signs or encrypts, and a picture: base64 of some length.
const SEALED: &str = "SECRETxSECRETxSECRETxSECRETxSECRET+x8/==";

/// A conversation with these values where masks are about them, and what is sealed where they are not.
fn talk(secret: &str, ssn: &str, thought: &str) -> String {
    format!(
        r#"{{"model":"claude-x","max_tokens":10,"system":[{{"type":"text","text":"a {secret}"}}], "messages":[
        {{"role":"user","content":"{secret}"}},
        {{"role":"assistant","content":[{{"type":"thinking","thinking":"{thought}","signature":"{SEALED}"}},
         {{"type":"thinking","thinking":"b","signature":"{secret}"}},
         {{"type":"redacted_thinking","data":"{SEALED}"}},
         {{"type":"redacted_thinking","data":"{secret}"}},
         {{"type":"tool_use","id":"SECRET","name":"t","input":{{"id":"{secret}","ssn":{ssn}}}}}]}},
        {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"SECRET","content":"{{\"ssn\":{ssn_text}}}"}},
         {{"type":"tool_result","tool_use_id":"b","content":[{{"type":"text","text":"x {secret} y"}}]}},
         {{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{SEALED}"}}}},
         {{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{secret} is no picture"}}}},
         {{"type":"document","source":{{"type":"text","media_type":"text/plain","data":"{secret}"}}}},
         {{"type":"text","text":"t","citations":[{{"type":"a {secret} in a text","title":"{secret}"}},{{"type":"thinking","cited_text":"{secret}"}}]}},
         {{"type":"web_search_tool_result","content":[{{"encrypted_content":"{SEALED}"}},{{"encrypted_content":"{secret}"}}]}}]}}],
         "metadata":{{"id":"{secret}","ssn":{ssn},"type":"thinking"}},
         "tools":[{{"name":"t","input_schema":{{"type":"object","properties":{{"id":"{secret}","ssn":{{"type":"string"}}}}}}}}]}}"#,
        ssn_text = ssn.replace('"', "\\\"")
    )
}

#[test]
fn a_request_is_masked_where_it_may_be_changed() {
    let asked = post(&talk("SECRET", "5", "a SECRET thought"));
    assert_eq!(asked.command.fault, None);
    let body = std::str::from_utf8(&asked.request.body).unwrap();
    // A signature is over what was thought: it is left out.
    assert_eq!(body, talk("[masked]", r#""[masked]""#, ""));
    assert!(post(&talk("", "5", "a thought")).request.body.windows(9).any(|part| part == b"a thought"));
    // What is judged is what is sent.
    assert_eq!(asked.command.digest, asked.request.digest());
    // The same conversation comes out alike each time, and what was masked stays.
    assert_eq!(post(body).request.body, asked.request.body);
    let plain = super::requests::asked(
        request(Method::Post, "/v1/messages", &talk("SECRET", "5", "SECRET")),
        &mut TestWords::default(),
    );
    assert_eq!(&*plain.request.body, talk("SECRET", "5", "SECRET").as_bytes());
}

/// The names in them are the client's.
#[test]
fn examples_of_an_input_are_documents() {
    let tool = |example: &str| format!(r#","tools":[{{"name":"t","input_schema":{{}},"input_examples":[{example}]}}]"#);
    let asked = post(&with(&tool(r#"{"ssn":5,"id":"SECRET","type":"SECRET","model":"a"}"#)));
    let expected = with(&tool(r#"{"ssn":"[masked]","id":"[masked]","type":"[masked]","model":"a"}"#));
    assert_eq!((said(&asked).as_str(), &*asked.request.body), (r#"generate model "claude-x""#, expected.as_bytes()));
}

/// Which models the provider would ask is its own matter: whoever asks is told what to write instead.
#[test]
fn fallbacks_that_name_no_model_are_refused_with_a_reason() {
    let asked = said(&post(&with(r#","fallbacks":"default""#)));
    assert!(asked.starts_with("fault") && asked.contains("name them"), "{asked}");
}

/// What a refusal gave is the provider's own: a detector that takes it for a secret would spoil it.
#[test]
fn a_credit_is_sent_as_it_came() {
    let credit = |token: &str| with(&format!(r#","fallback_credit_token":"{token}""#));
    let asked = post(&credit(SEALED));
    assert_eq!(&*asked.request.body, credit(SEALED).as_bytes());
    // What only stands in its place is a text.
    assert_eq!(&*post(&credit("SECRET")).request.body, credit("[masked]").as_bytes());
}

/// A body is long: what was read of it is not read again for the rules.
#[test]
fn a_body_is_read_once() {
    let reads = |body: &str| {
        let (request, before) = (request(Method::Post, "/v1/messages", body), json::READS.get());
        let asked = asked(request, &mut TestWords::default());
        assert!(asked.command.fault.is_none() && asked.command.fields.is_some(), "{body}");
        json::READS.get() - before
    };
    assert_eq!(reads(&with(r#","metadata":{"user_id":"a"}"#)), 1);
    // What was changed of it is read once more.
    assert_eq!(reads(&with(r#","container":null"#)), 2);
}

#[test]
fn what_is_judged_is_what_the_masks_leave() {
    let asked = post(&with(
        r#","tools":[{"name":"x-SECRET"},{"type":"web_SECRET y","name":"b"}],"system":[{"type":"document","source":{"type":"url","url":"https://SECRET.example/"}}]"#,
    ));
    let said = said(&asked);
    assert!(!said.contains("SECRET") && !format!("{:?}", asked.offers).contains("SECRET"), "{said}");
}

#[test]
fn parts_and_sources_that_are_not_known_are_refused() {
    let message = |part: &str| {
        said(&post(&format!(r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":[{part}]}}]}}"#)))
    };
    for part in [
        r#"{"type":"container_upload","file_id":"f"}"#,
        r#"{"type":"hologram"}"#,
        r#"{"type":"image","source":{"type":"file","file_id":"f"}}"#,
        r#"{"type":"document","source":{"type":"content","content":[{"type":"image","source":{"type":"file","file_id":"f"}}]}}"#,
        r#"{"type":"document","source":{"type":"content","content":[{"type":"hologram"}]}}"#,
        r#"{"type":"tool_result","tool_use_id":"a","content":[{"type":"video","url":"https://x.example"}]}"#,
        r#"{"type":"web_fetch_tool_result","content":{"type":"x","content":{"source":{"type":"file","file_id":"f"}}}}"#,
        r#"{"type":"image","source":{}}"#,
    ] {
        assert!(message(part).starts_with("fault"), "{part}");
    }
    for part in [
        r#"{"type":"search_result","source":"https://x.example","title":"t","content":[{"type":"text","text":"t"}]}"#,
        r#"{"type":"tool_result","tool_use_id":"a","content":"x"}"#,
        r#"{"type":"tool_use","id":"a","name":"t","input":{"source":{"type":"file"}}}"#,
        r#"{"type":"web_search_tool_result","tool_use_id":"a","content":[{"type":"web_search_result","encrypted_content":"x"}]}"#,
    ] {
        assert_eq!(message(part), "generate model m", "{part}");
    }
}

/// A member that is not listed could define a tool, or name a file or a model, and nobody would be asked.
#[test]
fn members_that_are_not_listed_are_refused_by_their_names() {
    let of = |members: &str| said(&post(&format!(r#"{{"model":"m","max_tokens":1{members}}}"#)));
    let turn = |turn: &str| of(&format!(r#","messages":[{turn}]"#));
    let part = |part: &str| turn(&format!(r#"{{"role":"assistant","content":[{part}]}}"#));
    let change = |definition: &str| {
        part(&format!(
            r#"{{"type":"compaction","content":"s","tool_changes":[{{"type":"tool_addition","tool":{{"type":"tool_definition","definition":{definition}}}}}]}}"#
        ))
    };
    let set = |member: &str| of(&format!(r#","messages":[],{member}"#));
    for (name, told) in [
        ("definition", change(r#"{"type":"web_search_20250305","name":"web_search"}"#)),
        ("definition", change(r#"{"name":"mcp__x__y","input_schema":{}}"#)),
        ("tool_changes", part(r#"{"type":"text","text":"a","tool_changes":[{"type":"tool_addition"}]}"#)),
        ("file", part(r#"{"type":"text","text":"a","file":{"file_id":"f"}}"#)),
        ("tools", part(r#"{"type":"text","text":"a","cache_control":{"type":"ephemeral","tools":[1]}}"#)),
        ("source2", part(r#"{"type":"document","source":{"type":"text","data":"a"},"source2":{"type":"file"}}"#)),
        ("file_id", part(r#"{"type":"image","source":{"type":"base64","data":"AAAA","file_id":"f"}}"#)),
        ("definition", part(r#"{"type":"tool_result","tool_use_id":"a","content":"x","definition":{"name":"t"}}"#)),
        ("file", part(r#"{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"a","file":1}]}"#)),
        ("tools", part(r#"{"type":"web_search_tool_result","tool_use_id":"a","content":[{"tools":[{"name":"t"}]}]}"#)),
        ("tools", part(r#"{"type":"fallback","from":{"model":"a"},"to":{"model":"b","tools":[1]}}"#)),
        ("tools", part(r#"{"type":"fallback","trigger":{"type":"refusal","tools":[1]}}"#)),
        ("model", part(r#"{"type":"advisor_tool_result","tool_use_id":"a","content":{"type":"x","model":"b"}}"#)),
        ("tools", turn(r#"{"role":"user","content":"a","tools":[{"name":"t"}]}"#)),
        ("attachments", turn(r#"{"role":"user","content":"a","attachments":[{"file_id":"f"}]}"#)),
        ("format", turn(r#"{"role":"system","content":"a","output_config":{"effort":"low"},"format":{}}"#)),
        ("tool", of(r#","messages":[],"system":[{"type":"text","text":"a","tool":{"type":"tool_definition"}}]"#)),
        ("tools", set(r#""context_management":{"edits":[],"tools":[{"name":"t"}]}"#)),
        ("model", set(r#""context_management":{"edits":[{"type":"compact_20260112","model":"b"}]}"#)),
        ("tools", set(r#""output_config":{"effort":"high","tools":[{"name":"t"}]}"#)),
        ("tools", set(r#""thinking":{"type":"adaptive","tools":[1]}"#)),
        ("tools", set(r#""tool_choice":{"type":"any","tools":[1]}"#)),
        ("model", set(r#""tools":[{"name":"t","model":"b"}]"#)),
    ] {
        assert!(told.starts_with("fault") && told.contains(&format!("a member `{name}`")), "{name}: {told}");
    }
}

/// What the SDKs and Claude Code send, by their types.
#[test]
fn members_of_ordinary_requests_pass() {
    let cache = r#""cache_control":{"type":"ephemeral","ttl":"1h"}"#;
    let parts = [
        format!(r#"{{"type":"text","text":"a","citations":[{{"type":"char_location","cited_text":"a","document_index":0,"document_title":null,"file_id":null,"start_char_index":0,"end_char_index":1}}],{cache}}}"#),
        format!(r#"{{"type":"tool_use","id":"a","name":"t","input":{{"definition":1}},"caller":{{"type":"direct"}},{cache}}}"#),
        format!(r#"{{"type":"tool_result","tool_use_id":"a","is_error":true,"content":[{{"type":"tool_reference","tool_name":"t"}}],{cache}}}"#),
        format!(r#"{{"type":"document","title":"t","context":"c","citations":{{"enabled":true}},"source":{{"type":"text","media_type":"text/plain","data":"a"}},{cache}}}"#),
        r#"{"type":"thinking","thinking":"a","signature":"c2ln"}"#.to_owned(),
        r#"{"type":"text","text":"a","citations":null,"unheard_of":null,"more":[]}"#.to_owned(),
        r#"{"type":"compaction","content":"s","encrypted_content":null,"signature":"c2ln","tool_changes":[]}"#.to_owned(),
        r#"{"type":"compaction","content":null,"tool_changes":[{"type":"tool_removal","tool":{"type":"mcp_tool_reference","name":"t","server_name":"s"}}]}"#.to_owned(),
        r#"{"type":"server_tool_use","id":"a","name":"web_fetch","input":{"url":"a"}}"#.to_owned(),
        r#"{"type":"web_fetch_tool_result","tool_use_id":"a","caller":{"type":"direct"},"content":{"type":"web_fetch_result","url":"https://x.example","retrieved_at":"t","content":{"type":"document","title":"t","citations":{"enabled":true},"source":{"type":"text","media_type":"text/plain","data":"a"}}}}"#.to_owned(),
        r#"{"type":"code_execution_tool_result","tool_use_id":"a","content":{"type":"code_execution_result","stdout":"","stderr":"","return_code":0,"content":[{"type":"code_execution_output","file_id":"f"}]}}"#.to_owned(),
        r#"{"type":"mcp_tool_result","tool_use_id":"a","is_error":false,"content":[{"type":"text","text":"a","citations":null}]}"#.to_owned(),
        format!(r#"{{"type":"advisor_tool_result","tool_use_id":"a","content":{{"type":"advisor_result","text":"a","stop_reason":"end_turn"}},{cache}}}"#),
        r#"{"type":"advisor_tool_result","tool_use_id":"a","content":{"type":"advisor_redacted_result","encrypted_content":"x"}}"#.to_owned(),
        r#"{"type":"fallback","from":{"model":"a"},"to":{"model":"b"},"trigger":{"type":"refusal","category":null}}"#.to_owned(),
        r#"{"type":"fallback","from":{"model":"a"},"to":{"model":"b"},"trigger":null}"#.to_owned(),
    ];
    let body = format!(
        r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"assistant","content":[{}]}},{{"role":"system","content":"a","clear_at":"never","output_config":{{"effort":"low"}}}}],"tools":[{{"name":"t","description":"d","input_schema":{{"definition":1}},"eager_input_streaming":true,"defer_loading":true,"strict":true,{cache}}},{{"type":"computer_20251124","name":"computer","display_width_px":1,"display_height_px":1}}],"tool_choice":{{"type":"tool","name":"t","disable_parallel_tool_use":true}},"thinking":{{"type":"enabled","budget_tokens":1024,"display":"omitted"}},"output_config":{{"effort":"high","format":{{"type":"json_schema","schema":{{"tools":1}}}},"task_budget":{{"type":"tokens","total":9}}}},"context_management":{{"edits":[{{"type":"clear_thinking_20251015","keep":"all"}},{{"type":"clear_tool_uses_20250919","keep":{{"type":"tool_uses","value":3}},"trigger":{{"type":"input_tokens","value":9}},"clear_at_least":null,"exclude_tools":["t"]}}]}},"metadata":{{"user_id":"a"}}}}"#,
        parts.join(",")
    );
    assert_eq!(said(&post(&body)), "generate model m");
}

/// A provider refuses a conversation that refers to a tool which it is not offered.
#[test]
fn a_tool_that_is_left_out_is_referred_to_nowhere() {
    let body = |tools: &str, found: &str, references: &str, changes: &str| {
        let call = r#"{"type":"tool_use","id":"a","name":"ToolSearch","input":{"type":"tool_reference","tool_name":"WebFetch"}}"#;
        format!(
            r#"{{"model":"m","max_tokens":1,"tools":[{{"name":"Bash"}}{tools}],"messages":[{{"role":"assistant","content":[{call}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"a","content":[{found},{{"type":"tool_reference","tool_name":"Bash"}}]}}]}},{{"role":"assistant","content":[{{"type":"tool_search_tool_result","tool_use_id":"s","content":{{"type":"tool_search_tool_search_result","tool_references":[{references}{{"type":"tool_reference","tool_name":"Bash"}}]}}}},{{"type":"compaction","content":"s","tool_changes":[{changes}]}}]}}]}}"#
        )
    };
    let given = body(
        r#",{"name":"WebFetch","defer_loading":true}"#,
        r#"{"type":"tool_reference","tool_name":"WebFetch","cache_control":{"type":"ephemeral"}}"#,
        r#"{"type":"tool_reference","tool_name":"WebFetch"},"#,
        r#"{"type":"tool_addition","tool":{"type":"tool_reference","name":"WebFetch"}}"#,
    );
    let text =
        r#"{"type":"text","text":"[portcullis] WebFetch may not be called here","cache_control":{"type":"ephemeral"}}"#;
    let refused = |name: &str| BTreeSet::from([name.to_owned()]);
    let given = request(Method::Post, "/v1/messages", &given);
    let sent = without(&given, &refused("WebFetch")).unwrap();
    assert_eq!(std::str::from_utf8(&sent.body).unwrap(), body("", text, "", ""));
    assert_eq!(said(&asked(sent, &mut TestWords::binding())), "generate model m");
    // References to what is still offered stay as they are.
    assert_eq!(without(&given, &refused("Other")).unwrap().body, given.body);
}

#[test]
fn of_the_clients_headers_those_pass_that_a_provider_needs() {
    let mut given = request(Method::Post, "/v1/messages", &with(""));
    for (name, value) in [
        ("anthropic-beta", "a-2025-01-01,b"),
        ("user-agent", "SECRET/1"),
        ("x-stainless-lang", "python"),
        ("x-api-account", "other"),
        ("anthropic-organization-id", "other"),
        ("idempotency-key", "x"),
    ] {
        given.headers.insert(name, value.parse().unwrap());
    }
    let asked = asked(given, &mut TestWords::binding());
    let mut names: Vec<&str> = asked.request.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["anthropic-beta", "anthropic-version", "content-type", "x-stainless-lang"]);
    assert_eq!(asked.command.digest, asked.request.digest());
}

#[test]
fn who_asks_for_a_conversation_that_is_kept_is_told_to_send_it_whole() {
    for thread in [r#"{"type":"create"}"#, r#"{"type":"continue","previous_message_id":"msg_of_anybody"}"#, "null"] {
        let fault = post(&with(&format!(r#","thread":{thread}"#))).command.fault.unwrap();
        let denial = Denial { decision: None, reason: Reason::Unreadable(fault), message: None };
        let (head, body) = crate::reply::refused(crate::api::Api::Anthropic, &denial);
        let said: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(head.status, 403);
        assert_eq!(said["error"]["details"]["error_code"], "thread_unsupported_request", "{said}");
        assert!(said["error"]["message"].as_str().unwrap().contains("send it whole"), "{said}");
    }
    let other = post(&with(r#","container":"x""#)).command.fault.unwrap();
    assert!(crate::api::anthropic::details(&other).is_none());
}
