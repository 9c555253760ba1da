//! Whether a text goes on: a table, and what `bash -n` says of texts put together at random.

use crate::tables::unescaped;
use portcullis_shell::{Completeness, Limits, Scope, completeness, read};
use proptest::prelude::*;
use std::process::Command;

#[test]
fn a_text_is_complete_or_goes_on() {
    let path = [env!("CARGO_MANIFEST_DIR"), "../../fixtures/guarded/complete.tsv"].join("/");
    let source = std::fs::read_to_string(path).expect("the table");
    for line in source.lines().skip(1).filter(|line| !line.is_empty()) {
        let (text, expected) = line.rsplit_once('\t').expect("two columns");
        let text = unescaped(text);
        let got = completeness(&text, &Limits::default());
        assert_eq!(format!("{got:?}").to_lowercase(), expected, "{text:?}");
        // Bash takes a backslash before the end as it is.
        if !text.contains('\0')
            && !text.ends_with('\\')
            && let Some(by_bash) = by_bash(&text)
        {
            assert_eq!(got, by_bash, "bash of {text:?}");
        }
    }
}

/// What `bash -n` says; `None` where there is no bash.
fn by_bash(text: &str) -> Option<Completeness> {
    let output =
        Command::new("bash").args(["--norc", "--noprofile", "-n", "-c", text]).env("LC_ALL", "C").output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let open = ["unexpected end of file", "token `EOF'", "unexpected EOF", "delimited by end-of-file"];
    let wrong = said.lines().any(|line| {
        line.contains("unexpected token") && !line.contains("token `newline'") && !line.contains("token `EOF'")
    });
    Some(if wrong {
        Completeness::Invalid
    } else if open.iter().any(|open| said.contains(open)) {
        Completeness::Incomplete
    } else if output.status.success() {
        Completeness::Complete
    } else {
        Completeness::Invalid
    })
}

const PIECES: [&str; 36] = [
    "ls",
    " ",
    "\n",
    ";",
    "'",
    "\"",
    "$(",
    ")",
    "`",
    "if true",
    "; then",
    "; fi",
    "while :",
    "; do",
    "; done",
    "case x in",
    " a) ",
    ";; ",
    "esac",
    "{ ",
    "; }",
    "(",
    "| ",
    "&& ",
    "||",
    "&",
    "# c",
    "<<E",
    "\nE\n",
    "\\\n",
    "x=1",
    "!",
    "${x",
    "}",
    "$((1",
    "))",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// What the reader reads is never waited for, and what bash still waits for is never read.
    #[test]
    fn as_bash_says(picks in prop::collection::vec(0..PIECES.len(), 1..7)) {
        let text: String = picks.iter().map(|pick| PIECES[*pick]).collect();
        let limits = Limits::default();
        let got = completeness(&text, &limits);
        let reading = read(&text, &Scope::unknown(), &limits);
        match by_bash(&text) {
            Some(Completeness::Incomplete) => {
                prop_assert!(got != Completeness::Complete || reading.fault.is_some(), "{text:?} is open");
            }
            Some(Completeness::Complete) => {
                prop_assert!(got != Completeness::Incomplete || reading.fault.is_some(), "{text:?} is whole");
            }
            Some(Completeness::Invalid) | None => {}
        }
    }
}

fn cases() -> u32 {
    std::env::var("PORTCULLIS_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}
