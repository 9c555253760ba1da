//! The configuration document under arbitrary text.
//!
//! Promises: [`fuzz_document`] fails where a refusal names no reason, where a problem points outside the text or would
//! steer a terminal, and where a password that stands under its own key is shown by a problem of a file damaged
//! elsewhere. Does not promise what a value means.
//! Held by: `tests.rs`, and the fuzz target `config_document`.

use crate::parse;
use portcullis_model::Problem;
use std::path::Path;

const BEFORE: &str = "listen: { postgres: 127.0.0.1:6442 }\n";
const AFTER: &str = "\nconnections:\n  shop:\n    protocol: postgres\n    address: 127.0.0.1:5432\n    database: \
     shop\n    username: app\n    password: hunter2\npolicies: [policies/*.yaml]\n";

/// Reads arbitrary bytes as the file, and as one line of a file that holds a password.
pub fn fuzz_document(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Err(problems) = parse(&text, Path::new("x.yaml")) {
        holds(&text, &problems);
    }
    // The line must not open a text that goes on over the password's own.
    let line: String = text.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\'' | '|' | '>')).collect();
    let damaged = format!("{BEFORE}{line}{AFTER}");
    if let Err(problems) = parse(&damaged, Path::new("x.yaml")) {
        holds(&damaged, &problems);
        let shown = problems.iter().any(|problem| problem.to_string().contains("hunter2"));
        assert!(!shown || line.contains("hunter2"), "a password was shown");
    }
}

fn holds(text: &str, problems: &[Problem]) {
    assert!(!problems.is_empty(), "refused without a reason");
    let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
    for problem in problems {
        let inside = problem.location.as_ref().is_none_or(|at| at.line > 0 && at.line <= lines + 1 && at.column > 0);
        assert!(inside, "a problem outside its file: {:?} of {lines} lines", problem.location);
        let steers = problem.to_string().chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert!(!steers, "a problem steers the terminal");
    }
}
