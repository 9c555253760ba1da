//! A tool server of both eras of the Model Context Protocol: `echo` answers with what masks are about, `wipe` and `run_sql`
//! would do what rules refuse.

use portcullis_testkit::http::{Act, Asked, answer};
use serde_json::{Value, json};

fn tool(name: &str, argument: &str) -> Value {
    json!({"name": name, "inputSchema": {"type": "object", "properties": {argument: {"type": "string"}}}})
}

fn result(method: &str, params: &Value, stateless: bool) -> Option<Value> {
    let server = json!({"name": "scripted", "version": "1"});
    let capabilities = json!({"tools": {}});
    let mut result = match method {
        "server/discover" => {
            json!({"supportedVersions": ["2026-07-28"], "capabilities": capabilities, "serverInfo": server})
        }
        "initialize" => {
            json!({"protocolVersion": params["protocolVersion"], "capabilities": capabilities, "serverInfo": server})
        }
        "tools/list" => json!({"tools": [tool("echo", "text"), tool("wipe", "all"), tool("run_sql", "sql")]}),
        "tools/call" => {
            let found = json!({"ssn": "123-45-6789", "said": params["arguments"]["text"]});
            json!({"content": [{"type": "text", "text": format!("{found} by agent@corp.example")}],
                "structuredContent": found, "isError": false})
        }
        _ => return None,
    };
    if stateless {
        result["resultType"] = "complete".into();
        if method != "tools/call" {
            result["ttlMs"] = 0.into();
            result["cacheScope"] = "private".into();
        }
    }
    Some(result)
}

/// What is done about a request.
pub(super) fn answered(asked: &Asked) -> Vec<Act> {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let nothing = |status: &str| vec![Act::Write(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").into())];
    if asked.line.starts_with("GET ") {
        return nothing("405 Method Not Allowed");
    }
    if asked.line.starts_with("DELETE ") {
        return nothing("200 OK");
    }
    if body["id"].is_null() {
        return nothing("202 Accepted");
    }
    let stateless = asked.header("mcp-protocol-version") == Some("2026-07-28");
    let said = match result(body["method"].as_str().unwrap_or_default(), &body["params"], stateless) {
        Some(result) => json!({"jsonrpc": "2.0", "id": body["id"], "result": result}),
        None => json!({"jsonrpc": "2.0", "id": body["id"], "error": {"code": -32601, "message": "no such method"}}),
    };
    let said = said.to_string();
    if body["method"] != "initialize" {
        return answer("200 OK", "application/json", said.as_bytes());
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nmcp-session-id: server-session-41\r\ncontent-length: {}\r\n\r\n{said}",
        said.len()
    );
    vec![Act::Write(head.into())]
}
