//! A sample REST API: a customer with what should not be seen, refunds that cost money, and a deletion.
//!
//! Promises: the same answers every time; nothing without the key in `x-api-key`, so that whoever reaches it by another way
//! than the gateway's gets nothing. Does not promise to remember: a refund is answered and forgotten, and the customer
//! stays whatever is asked, because what was asked is in the service's ledger.
//! Held by: the tests below, and the demo's script.

use crate::http::{Act, Answers, Asked, answer};
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers for whoever has this key.
#[must_use]
pub fn answers(key: &str) -> Answers {
    let key = key.to_owned();
    Arc::new(move |asked| {
        if asked.header("x-api-key") == Some(key.as_str()) {
            about(asked)
        } else {
            said("401 Unauthorized", &json!({ "error": "no key, no answer" }))
        }
    })
}

fn about(asked: &Asked) -> Vec<Act> {
    let path = asked.target().split('?').next().unwrap_or_default();
    match (asked.line.split(' ').next().unwrap_or_default(), path) {
        ("GET", "/customers/7") => said(
            "200 OK",
            &json!({
                "id": 7, "name": "Gil Xavier", "city": "Graz", "ssn": "900-12-3407", "email": "gil.xavier@example.com",
                "orders": [{ "id": 7, "status": "paid", "receipt": { "email": "gil.xavier@example.com" } }],
            }),
        ),
        ("DELETE", "/customers/7") => vec![Act::Write("HTTP/1.1 204 No Content\r\n\r\n".into())],
        ("POST", "/refunds") => refund(&asked.body),
        _ => said("404 Not Found", &json!({ "error": "there is nothing here" })),
    }
}

fn refund(body: &[u8]) -> Vec<Act> {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    match asked.get("amount").filter(|amount| amount.is_number()) {
        Some(amount) => said("201 Created", &json!({ "refund": "paid", "amount": amount })),
        None => said("400 Bad Request", &json!({ "error": "a refund needs an amount" })),
    }
}

fn said(status: &str, body: &Value) -> Vec<Act> {
    answer(status, "application/json", body.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str, headers: &str, body: &'static str) -> String {
        let asked = Asked { line: line.to_owned(), headers: headers.to_owned(), body: body.into() };
        let acts = answers("k")(&asked);
        let [Act::Write(bytes)] = acts.as_slice() else { panic!("{acts:?}") };
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn it_answers_whoever_has_the_key_and_nobody_else() {
        for (line, body, expected) in [
            ("GET /customers/7 HTTP/1.1", "", "900-12-3407"),
            ("DELETE /customers/7 HTTP/1.1", "", "204"),
            ("POST /refunds HTTP/1.1", r#"{"amount":5}"#, r#""amount":5"#),
            ("POST /refunds HTTP/1.1", r#"{"amount":"5"}"#, "400"),
            ("GET /customers HTTP/1.1", "", "404"),
        ] {
            assert!(ask(line, "x-api-key: k", body).contains(expected), "{line}");
            for headers in ["", "x-api-key: other", "authorization: Bearer k"] {
                assert!(ask(line, headers, body).starts_with("HTTP/1.1 401"), "{line} {headers}");
            }
        }
    }
}
