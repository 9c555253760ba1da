//! One thing to tell, in the shape that the clients of each API understand and show.
//!
//! Promises: an answer says its kind and length, and is kept by no cache; `x-should-retry: false` stands where trying again
//! cannot help. Does not choose the words: `reply.rs` does. Held by: the tests of `reply.rs`.

use super::SHOULD_RETRY;
use crate::api::Api;
use crate::frame::Head;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

/// One thing to tell.
pub(super) struct Problem<'a> {
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    pub(super) detail: String,
    pub(super) rule: Option<String>,
    pub(super) decision: Option<String>,
    /// The request that people decide about.
    pub(super) approval: Option<String>,
    pub(super) next_step: Option<&'a str>,
    /// Everything in one text, for clients that show one text only.
    pub(super) sentence: String,
    /// What the SDKs of an API go by.
    pub(super) details: Option<Value>,
    /// Whether the same request may pass later without anybody doing anything.
    pub(super) passing: bool,
}

impl Problem<'_> {
    /// One that names no rule.
    pub(super) fn plain(status: StatusCode, title: &'static str, detail: impl Into<String>, passing: bool) -> Self {
        let detail = detail.into();
        let sentence = format!("portcullis: {title}: {detail}");
        Self {
            status,
            title,
            detail,
            rule: None,
            decision: None,
            approval: None,
            next_step: None,
            sentence,
            details: None,
            passing,
        }
    }

    fn json(&self) -> Value {
        let mut problem = json!({
            "type": "about:blank",
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        for (name, value) in [
            ("rule", self.rule.as_deref()),
            ("decision", self.decision.as_deref()),
            ("approval", self.approval.as_deref()),
            ("next_step", self.next_step),
        ] {
            if let (Some(value), Some(members)) = (value, problem.as_object_mut()) {
                members.insert(name.to_owned(), value.into());
            }
        }
        problem
    }

    fn body(&self, api: Api) -> Value {
        match api {
            Api::Rest => self.json(),
            Api::Mcp => json!({
                "jsonrpc": "2.0",
                "id": null,
                "error": { "code": self.status.as_u16(), "message": self.sentence, "data": self.json() },
            }),
            Api::Anthropic => {
                let mut error = json!({ "type": anthropic_type(self.status), "message": self.sentence });
                if let (Some(details), Some(error)) = (&self.details, error.as_object_mut()) {
                    error.insert("details".to_owned(), details.clone());
                }
                json!({ "type": "error", "error": error, "request_id": self.decision })
            }
            Api::OpenAi => json!({
                "error": {
                    "message": self.sentence,
                    "type": openai_type(self.status),
                    "param": null,
                    "code": openai_code(self.status),
                }
            }),
        }
    }

    /// As an answer in the shape of an API; of a plain one, where none is known.
    pub(super) fn reply(&self, api: Option<Api>) -> (Head, Bytes) {
        let api = api.unwrap_or(Api::Rest);
        let body = Bytes::from(self.body(api).to_string());
        let kind = match api {
            Api::Rest => "application/problem+json",
            Api::Mcp | Api::Anthropic | Api::OpenAi => "application/json",
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if !self.passing {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"portcullis\""));
        }
        (Head { status: self.status, headers }, body)
    }
}

/// Anthropic's words for a status.
fn anthropic_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 | 409 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        _ => "api_error",
    }
}

/// OpenAI's words for a status.
fn openai_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400..=404 | 409 | 413 => "invalid_request_error",
        429 => "rate_limit_error",
        _ => "server_error",
    }
}

fn openai_code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "invalid_api_key",
        403 => "permission_denied",
        429 => "rate_limit_exceeded",
        _ => openai_type(status),
    }
}
