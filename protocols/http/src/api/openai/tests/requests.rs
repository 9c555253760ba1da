//! Requests: what each is judged as, and which are refused.

use super::super::read;
use super::*;
use crate::api::{Asked, Read};
use crate::frame::{Method, Request};
use crate::path::{Path, Query};
use bytes::Bytes;
use portcullis_model::{Denial, Reason};

pub(super) fn asked(method: Method, target: &str, body: &str) -> Asked {
    with(method, target, body, &mut TestWords::binding())
}

fn with(method: Method, target: &str, body: &str, words: &mut TestWords) -> Asked {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    let (path, query) = (Path::read(path).unwrap(), Query::read(query).unwrap());
    let request = Request { method, path, query, headers, body: Bytes::from(body.to_owned()) };
    match read(request, &Arc::new(ToolTable::default()), words) {
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

fn chat(members: &str) -> Asked {
    let body = format!(r#"{{"model":"gpt-x","messages":[{{"role":"user","content":"hi"}}]{members}}}"#);
    asked(Method::Post, "/v1/chat/completions", &body)
}

#[test]
fn a_request_is_its_model_and_what_the_provider_runs() {
    assert_eq!(said(&chat("")), r#"generate model "gpt-x""#);
    let asked = chat(
        r#","tools":[{"type":"function","function":{"name":"shell"}},{"type":"function","function":{"name":"c"}},{"type":"web_search"}],"max_tokens":7,"n":2"#,
    );
    assert_eq!(said(&asked), r#"generate model "gpt-x" ; call tool web_search"#);
    let offers: Vec<String> = asked.offers.unwrap().operations().iter().map(ToString::to_string).collect();
    assert_eq!(offers, ["call tool c", "call tool shell"]);
    assert_eq!(asked.tokens, 14 + asked.request.body.len() as u64 / 4);
    let seen = super::requests::asked(
        Method::Post,
        "/v1/chat/completions",
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x.example/a"}},{"type":"image_url","image_url":{"url":"data:image/png;base64,SECRETxSECRETxSECRETxSECRETxSECRET+x8/=="}}]}]}"#,
    );
    assert_eq!(said(&seen), "generate model m ; connect host x.example:443 +network");
    assert!(std::str::from_utf8(&seen.request.body).unwrap().contains("base64,SECRETxSECRET"));
}

#[test]
fn what_is_not_known_of_a_request_is_refused() {
    for members in [
        r#","logprobs":true"#,
        r#","functions":[]"#,
        r#","functions":false"#,
        r#","top_logprobs":1"#,
        r#","modalities":["audio"]"#,
        r#","enable_thinking":false"#,
        r#","x":0,"logprobs":null"#,
        r#","audio":{}"#,
        r#","model":"b""#,
        r#","tools":[{"type":"custom","custom":{"name":"c"}}]"#,
        r#","stream_options":{"include_usage":"a SECRET"}"#,
        r#","stream_options":{"x":1}"#,
        r#","stream_options":{"include_obfuscation":"a SECRET"}"#,
        r#","n":17"#,
        r#","n":"2""#,
        r#","max_tokens":-1"#,
        r#","stream":1"#,
        r#","stream":true,"stream_options":{"x":1}"#,
        r#","stream":true,"stream_options":[]"#,
        r#","tools":{}"#,
        r#","tools":[{}]"#,
        r#","tools":[{"type":"function","function":{}}]"#,
        r#","tools":[{"type":"a b"}]"#,
        r#","tools":[{"type":"function","function":{"name":"t"},"server_url":"https://x.example/"}]"#,
        r#","tools":[{"type":"function","function":{"name":"t","server_url":"https://x.example/"}}]"#,
        r#","tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"mcp","server_url":"https://x.example/"}]}}"#,
        r#","tool_choice":{"type":"custom","custom":{"name":"t"}}"#,
        r#","prediction":{"type":"content","content":[{"type":"file","file":{"file_id":"f"}}]}"#,
        r#","prediction":{"type":"content","content":[{"type":"text","text":"a","file":{"file_id":"f"}}]}"#,
        r#","prediction":{"type":"content","content":"a","file_id":"f"}"#,
        r#","web_search_options":{"tools":[{"type":"mcp"}]}"#,
    ] {
        assert!(said(&chat(members)).starts_with("fault"), "{members}");
    }
    for (method, target) in [
        (Method::Get, "/v1/responses"),
        (Method::Post, "/v1/completions"),
        (Method::Post, "/v1/chat/completions?x=1"),
        (Method::Post, "/v1/files"),
        (Method::Get, "/v1/chat/completions"),
        (Method::Delete, "/v1/models/x"),
    ] {
        let body = r#"{"model":"m","messages":[]}"#;
        assert!(said(&asked(method, target, body)).starts_with("fault"), "{target}");
    }
    assert_eq!(said(&asked(Method::Get, "/v1/models", "")), "read endpoint GET /v1/models");
}

#[test]
fn what_is_sent_is_masked_and_asks_for_the_count() {
    let sent = |members: &str| String::from_utf8(chat(members).request.body.to_vec()).unwrap();
    let counted = r#"{"stream_options":{"include_usage":true},"model":"gpt-x","#;
    assert!(sent(r#","stream":true"#).starts_with(counted));
    assert!(sent(r#","stream":true,"stream_options":{}"#).ends_with(r#""stream_options":{"include_usage":true}}"#));
    assert!(!sent(r#","stream":false"#).contains("stream_options"));
    for (given, wanted) in [
        (r#"{"include_obfuscation":false}"#, r#"{"include_usage":true,"include_obfuscation":false}"#),
        (
            r#"{"include_usage":null,"include_obfuscation":true}"#,
            r#"{"include_usage":true,"include_obfuscation":true}"#,
        ),
        (r#"{"include_obfuscation":null}"#, r#"{"include_usage":true}"#),
        (
            r#"{"include_usage":true,"include_obfuscation":false}"#,
            r#"{"include_usage":true,"include_obfuscation":false}"#,
        ),
    ] {
        let members = format!(r#","stream":true,"stream_options":{given}"#);
        assert!(sent(&members).ends_with(&format!(r#""stream_options":{wanted}}}"#)), "{given}");
    }
    let body = r#"{"model":"SECRET","messages":[{"role":"assistant","content":"a SECRET","tool_calls":[{"id":"SECRET","type":"function","function":{"name":"t","arguments":"{\"ssn\":5}"}}]},{"role":"tool","tool_call_id":"SECRET","content":"SECRET"}]}"#;
    let asked = asked(Method::Post, "/v1/chat/completions", body);
    let expected = r#"{"model":"SECRET","messages":[{"role":"assistant","content":"a [masked]","tool_calls":[{"id":"SECRET","type":"function","function":{"name":"t","arguments":"{\"ssn\":\"[masked]\"}"}}]},{"role":"tool","tool_call_id":"SECRET","content":"[masked]"}]}"#;
    assert_eq!(asked.request.body, expected);
    assert_eq!(asked.command.digest, asked.request.digest());
    let embedded = super::requests::asked(Method::Post, "/v1/embeddings", r#"{"model":"e","input":["a SECRET"]}"#);
    assert_eq!(
        (said(&embedded).as_str(), &*embedded.request.body),
        ("generate model e", br#"{"model":"e","input":["a [masked]"]}"#.as_slice())
    );
}

/// Clients send every setting that they have.
#[test]
fn members_that_say_nothing_are_taken_out() {
    let sent = |body: &str| {
        let asked = asked(Method::Post, "/v1/chat/completions", body);
        assert_eq!(
            (said(&asked).as_str(), asked.command.digest),
            ("generate model m", asked.request.digest()),
            "{body}"
        );
        String::from_utf8(asked.request.body.to_vec()).unwrap()
    };
    for (body, expected) in [
        (r#"{"model":"m","messages":[],"logprobs":null,"functions" : null}"#, r#"{"model":"m","messages":[]}"#),
        (r#"{"logprobs":false, "a,b" : null ,"model":"m","x":null,"messages":[]}"#, r#"{"model":"m","messages":[]}"#),
        (
            r#"{ "l\u006fgprobs":false,"model":"m","top_logprobs":0 , "messages":[],"modalities":["text"] }"#,
            r#"{"model":"m" , "messages":[] }"#,
        ),
        (
            r#"{"x":null,"model":"m","stream":true,"messages":[{"role":"user","content":"a SECRET"}],"y":null}"#,
            r#"{"stream_options":{"include_usage":true},"model":"m","stream":true,"messages":[{"role":"user","content":"a [masked]"}]}"#,
        ),
    ] {
        assert_eq!(sent(body), expected);
    }
    for body in [r#"{"x":null}"#, r#"{"x":null,"y":null}"#, r#"{"x":null,"y":1,"model":"m","messages":[]}"#] {
        assert!(said(&asked(Method::Post, "/v1/chat/completions", body)).starts_with("fault"), "{body}");
    }
    let embedded = asked(Method::Post, "/v1/embeddings", r#"{"user":"a","model":"e","x":null,"input":"a"}"#);
    assert_eq!(&*embedded.request.body, br#"{"user":"a","model":"e","input":"a"}"#.as_slice());
}

#[test]
fn parts_that_are_not_known_are_refused() {
    let message = |members: &str| {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user",{members}}}]}}"#);
        said(&asked(Method::Post, "/v1/chat/completions", &body))
    };
    for members in [
        r#""content":[{"type":"video_url","video_url":{"url":"https://x.example/a"}}]"#,
        r#""content":[{"type":"file","file":{"file_id":"f"}}]"#,
        r#""content":[{"type":"input_audio","input_audio":{"data":"AAAA"}}]"#,
        r#""content":["a"]"#,
        r#""content":{"type":"text"}"#,
        r#""content":null,"audio":{"id":"a"}"#,
        r#""content":[{"type":"text","text":"a","file":{"file_id":"f"}}]"#,
        r#""content":[{"type":"image_url","image_url":{"url":"data:,","file_id":"f"}}]"#,
        r#""content":[{"type":"image_url","image_url":{"url":"data:,"},"file_id":"f"}]"#,
        r#""content":"a","tools":[{"type":"function","function":{"name":"t"}}]"#,
        r#""content":"a","file_ids":["f"]"#,
        r#""content":"a","attachments":[{"file_id":"f"}]"#,
        r#""content":null,"tool_calls":[{"id":"a","type":"custom","custom":{"name":"t","input":"a"}}]"#,
        r#""content":null,"function_call":{"name":"t","arguments":""}"#,
        r#""content":"a","provider_specific_fields":{"file_id":"f"}"#,
        r#""content":"a","provider_specific_fields":[{"refusal":null,"file_id":"f"}]"#,
        r#""content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"t","arguments":"{}"},"provider_specific_fields":{"refusal":"a"}}]"#,
    ] {
        assert!(message(members).starts_with("fault"), "{members}");
    }
    assert!(message(r#""content":"a","file_ids":["f"]"#).contains("a message has a member `file_ids`"));
    for members in [
        r#""content":[{"type":"text","text":"a"}],"audio":null"#,
        r#""content":null,"refusal":null,"annotations":[],"audio":null,"function_call":null,"tool_calls":[{"id":"a","index":0,"type":"function","function":{"name":"t","arguments":"{}"}}]"#,
        // As LiteLLM sends again what it was answered.
        r#""content":null,"tool_calls":[{"index":0,"function":{"arguments":"{}","name":"t"},"id":"a","type":"function"}],"function_call":null,"provider_specific_fields":{"refusal":null},"annotations":[]"#,
        r#""content":"a","provider_specific_fields":{"refusal":"b","other":null}"#,
        r#""content":"a","name":"n","reasoning_content":"b","reasoning":"c","tool_call_id":"d","file_ids":[]"#,
        r#""content":[{"type":"image_url","image_url":{"url":"data:,","detail":"low"}},{"type":"refusal","refusal":"a"}]"#,
    ] {
        assert_eq!(message(members), "generate model m", "{members}");
    }
    let settings = r#","tools":[{"type":"function","function":{"name":"t","description":"d","parameters":{"file_id":1},"strict":true}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"t"}}]}},"prediction":{"type":"content","content":[{"type":"text","text":"a"}]},"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"file_id":1},"strict":true}}"#;
    assert_eq!(said(&chat(settings)), r#"generate model "gpt-x""#);
}

/// As SDKs send a message again that they parsed.
#[test]
fn what_an_sdk_made_of_a_message_is_masked_with_it() {
    let talk = |ssn: &str, secret: &str| {
        let document = json::quoted(&format!(r#"{{"ssn":{ssn}}}"#));
        format!(
            r#"{{"model":"m","messages":[{{"role":"assistant","content":{document},"parsed":{{"ssn":{ssn},"id":"{secret}"}},"refusal":null,"tool_calls":[{{"id":"a","type":"function","function":{{"name":"t","arguments":{document},"parsed_arguments":{{"ssn":{ssn},"type":"{secret}"}}}}}}]}},{{"role":"assistant","content":"a","parsed":null}}]}}"#
        )
    };
    let asked = asked(Method::Post, "/v1/chat/completions", &talk("5", "SECRET"));
    assert_eq!(said(&asked), "generate model m");
    assert_eq!(std::str::from_utf8(&asked.request.body).unwrap(), talk(r#""[masked]""#, "[masked]"));
}

#[test]
fn how_a_prompt_is_cached_passes_and_nothing_that_is_kept() {
    let cached = |options: &str| said(&chat(&format!(r#","prompt_cache_options":{options}"#)));
    assert_eq!(cached(r#"{"mode":"explicit","ttl":"30m"}"#), r#"generate model "gpt-x""#);
    assert!(cached(r#"{"mode":"explicit","comparison_response_id":"resp_1"}"#).starts_with("fault"));
}

/// What becomes of a refused call in the answer to a request with these members.
fn refused(members: &str, answer: &str) -> String {
    let (mut reader, mut words, mut parts) = (chat(members).reader, TestWords::binding(), Vec::new());
    reader.on_data(answer.as_bytes(), &mut words, &mut parts);
    reader.on_end(Ended::Whole, &mut words, &mut parts);
    let denial = Denial { decision: None, reason: Reason::Withdrawn, message: None };
    reader.on_verdict(Err(&denial), &mut words, &mut parts);
    let data = parts.into_iter().filter_map(|part| if let Part::Data(data) = part { Some(data) } else { None });
    data.map(|data| String::from_utf8(data.to_vec()).unwrap()).collect()
}

/// A client that asked for a form reads the text as that.
#[test]
fn a_refused_call_is_said_where_no_form_is_read() {
    let call = r#"{"id":"a","type":"function","function":{"name":"shell","arguments":"{}"}}"#;
    let answer = |more: &str| {
        format!(
            r#"{{"object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":"{{\"a\":1}}","tool_calls":[{call}]{more}}},"finish_reason":"tool_calls"}}]}}"#
        )
    };
    let streamed = calls(0, 0, "shell", "{}") + &ends(0, "tool_calls") + DONE;
    let instead = |member: &str| format!(r#""{member}":"[portcullis] shell was refused"#);
    let schema = r#","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}}"#;
    for (format, formatted) in [
        ("", false),
        (r#","response_format":{"type":"text"}"#, false),
        (r#","response_format":{"type":"json_object"}"#, true),
        (schema, true),
    ] {
        for more in ["", r#","refusal":null"#] {
            let out = refused(format, &answer(more));
            assert_eq!(out.contains(&instead("refusal")), formatted, "{out}");
            assert_eq!(out.contains(r#""content":"{\"a\":1}""#), formatted, "{out}");
            assert!(out.contains("[portcullis] shell was refused") && json::read(out.as_bytes()).is_ok(), "{out}");
        }
        let out = refused(&format!(r#","stream":true{format}"#), &streamed);
        assert!(out.contains(&instead(if formatted { "refusal" } else { "content" })), "{out}");
    }
    // What the model refused itself stands before it.
    let out = refused(schema, &answer(r#","refusal":"not SECRET""#));
    assert!(out.contains(r#""refusal":"not [masked]\n\n[portcullis] shell was refused"#), "{out}");
}

/// A body is long: what was read of it is not read again for the rules.
#[test]
fn a_body_is_read_once() {
    let reads = |members: &str| {
        let body = format!(r#"{{"model":"m","messages":[]{members}}}"#);
        let before = json::READS.get();
        let asked = with(Method::Post, "/v1/chat/completions", &body, &mut TestWords::default());
        assert!(asked.command.fault.is_none() && asked.command.fields.is_some(), "{body}");
        json::READS.get() - before
    };
    assert_eq!(reads(""), 1);
    // What was changed of it is read once more.
    assert_eq!(reads(r#","stream":true"#), 2);
}

#[test]
fn nothing_is_spared_for_what_it_calls_itself() {
    let talk = |secret: &str, ssn: &str| {
        format!(
            r#"{{"model":"m","messages":[{{"role":"assistant","content":"a","annotations":[{{"type":"thinking","thinking":"{secret}","signature":"{secret}"}}]}},{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{secret} no picture"}}}}]}}],"metadata":{{"id":"{secret}","ssn":{ssn}}},"response_format":{{"type":"json_schema","json_schema":{{"id":"{secret}"}}}},"tools":[{{"type":"function","function":{{"name":"t","parameters":{{"id":"{secret}"}}}}}}]}}"#
        )
    };
    let asked = asked(Method::Post, "/v1/chat/completions", &talk("SECRET", "5"));
    assert_eq!(std::str::from_utf8(&asked.request.body).unwrap(), talk("[masked]", r#""[masked]""#));
}

#[test]
fn an_answer_without_a_limit_may_cost_the_most_of_any() {
    let tokens = |members: &str| {
        let asked = chat(members);
        asked.tokens - asked.request.body.len() as u64 / 4
    };
    assert_eq!((tokens(""), tokens(r#","n":3,"max_tokens":null"#)), (128_000, 384_000));
    assert_eq!(tokens(r#","max_tokens":0,"n":0"#), 128_000);
    assert_eq!((tokens(r#","max_tokens":7"#), tokens(r#","max_tokens":7,"max_completion_tokens":9"#)), (7, 9));
}

#[test]
fn an_input_of_tokens_is_a_text_that_no_mask_reads() {
    let embed = |words: &mut TestWords, input: &str| {
        let body = format!(r#"{{"model":"e","input":{input}}}"#);
        said(&with(Method::Post, "/v1/embeddings", &body, words))
    };
    for tokens in ["[1,2]", "[[1,2]]", r#"["a",[1]]"#, "{}", "7"] {
        assert!(embed(&mut TestWords::binding(), tokens).starts_with("fault"), "{tokens}");
    }
    assert_eq!(embed(&mut TestWords::default(), "[1,2]"), "generate model e");
}

/// No tokenizer makes more tokens of a text than it has bytes.
#[test]
fn an_input_takes_at_most_what_it_may_count_as() {
    for (input, tokens) in [
        (r#""abc""#, 3),
        (r#""\u00e9\n""#, 3),
        (r#"["abc","","é"]"#, 5),
        ("[1,2,3]", 3),
        ("[[1,2],[31337]]", 3),
        ("[]", 0),
    ] {
        let body = format!(r#"{{"model":"e","input":{input}}}"#);
        assert_eq!(with(Method::Post, "/v1/embeddings", &body, &mut TestWords::default()).tokens, tokens, "{input}");
    }
}

#[test]
fn of_the_clients_headers_those_pass_that_a_provider_needs() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("user-agent", "OpenAI/Python 3"),
        ("openai-project", "other"),
        ("openai-organization", "other"),
        ("x-stainless-os", "a SECRET"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    let (path, query) = (Path::read("/v1/models").unwrap(), Query::read("").unwrap());
    let request = Request { method: Method::Get, path, query, headers, body: Bytes::new() };
    let Read::Asked(asked) = read(request, &Arc::new(ToolTable::default()), &mut TestWords::binding()) else {
        panic!("the gateway answered")
    };
    let mut names: Vec<&str> = asked.request.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "user-agent"]);
}
