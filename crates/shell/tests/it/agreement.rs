//! Agreement with bash: wherever a word is read as exactly one text, bash prints that text.
//!
//! Random words heavy in quotes are given to `rm --` here and to `printf` in bash; a file name that is read as known must
//! be one that bash would hand over. Skipped, with a word, where there is no bash.

use portcullis_model::{Action, Object};
use portcullis_shell::{Limits, Scope, read};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use std::collections::BTreeSet;
use std::process::Command;

const PIECES: [&str; 40] = [
    "a",
    "b",
    "'",
    "\"",
    "\\",
    "$'",
    "\\x41",
    "\\n",
    "$",
    "${v}",
    "$v",
    "${v:-d}",
    "${v%c}",
    "{a,b}",
    "{1..3}",
    "{",
    "}",
    ",",
    " ",
    "~",
    "=",
    "#",
    "\\'",
    "\\\"",
    "''",
    "\"\"",
    "'x y'",
    "\"x y\"",
    "$\"l\"",
    "é",
    "\\\n",
    ":",
    "%s",
    "-",
    "$'\\'q'",
    "\"$v\"",
    "{x,'y z'}",
    "\\$v",
    "${v:1:1}",
    "$((1",
];

fn bash() -> bool {
    Command::new("bash").arg("--version").output().is_ok()
}

/// The words as bash gives them, or `None` where it rejects the text.
fn by_bash(words: &[String]) -> Option<Vec<Option<Vec<String>>>> {
    let mut script = String::from("v='a bc'\ncd /\nHOME=/home/agent\n");
    for word in words {
        // Each in a shell of its own, since one may be broken.
        script.push_str(&format!(
            "printf 'W\\0'; bash -c {} 2>/dev/null || printf 'E\\0'\n",
            quoted(&format!("v='a bc'; HOME=/home/agent; set -f; printf '%s\\0' {word}"))
        ));
    }
    let output =
        Command::new("bash").args(["--norc", "--noprofile", "-c", &script]).env("LC_ALL", "C.UTF-8").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut out = Vec::new();
    for part in text.split("W\0").skip(1) {
        let mut fields: Vec<String> = part.split('\0').map(str::to_owned).collect();
        fields.pop();
        out.push(if fields.last().map(String::as_str) == Some("E") { None } else { Some(fields) });
    }
    Some(out)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The names that `rm` would be given, where all are known.
fn by_reader(word: &str) -> Option<BTreeSet<String>> {
    let scope = Scope { directory: Some("/d".to_owned()), home: Some("/home/agent".to_owned()), ..Scope::unknown() };
    let reading = read(&format!("v='a bc'; rm -- {word}"), &scope, &Limits::default());
    if reading.fault.is_some()
        || reading
            .operations
            .iter()
            .any(|operation| operation.to_string().contains("dynamic") || operation.action == Action::Unknown)
    {
        return None;
    }
    Some(
        reading
            .operations
            .iter()
            .filter(|operation| operation.action == Action::Delete)
            .filter_map(|operation| match &operation.object {
                Object::File(path) => path.as_str().map(str::to_owned),
                _ => None,
            })
            .collect(),
    )
}

/// As the reader names it.
fn canonical(name: &str) -> Option<String> {
    let full = if name.starts_with('/') { name.to_owned() } else { format!("/d/{name}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in full.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let path = format!("/{}", parts.join("/"));
    (!name.is_empty()).then(|| match path.strip_prefix("/home/agent") {
        Some("") => "~".to_owned(),
        Some(rest) if rest.starts_with('/') => format!("~{rest}"),
        _ => path.clone(),
    })
}

#[test]
fn words_read_as_known_are_what_bash_hands_over() {
    if !bash() {
        println!("skipped: no bash here");
        return;
    }
    let strategy = proptest::collection::vec(
        proptest::collection::vec(proptest::sample::select(PIECES.as_slice()), 1..9).prop_map(|pieces| pieces.concat()),
        120,
    );
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut compared = 0;
    let mut wrong = String::new();
    for _ in 0..8 {
        let words: Vec<String> = strategy.new_tree(&mut runner).expect("words").current();
        let expected = by_bash(&words).expect("bash runs");
        assert_eq!(expected.len(), words.len());
        for (word, expected) in words.iter().zip(expected) {
            // What bash rejects does not run, so it does not matter how it is read.
            let (Some(expected), Some(got)) = (expected, by_reader(word)) else { continue };
            let expected: BTreeSet<String> = expected.iter().filter_map(|name| canonical(name)).collect();
            if got != expected {
                wrong.push_str(&format!("{word:?}\n  bash {expected:?}\n  here {got:?}\n"));
            }
            compared += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(compared > 150, "only {compared} words were compared");
    println!("{compared} words agree");
}
