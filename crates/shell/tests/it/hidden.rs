//! Nothing that bash runs is hidden: texts strung together from pieces of shell, each of which names the program `rm`.
//!
//! A text that is read without a fault, without anything unknown or dynamic and without `rm` is given to a real bash in an
//! empty directory, with a program `rm` alone in its path that only says that it ran. It must not have run. Skipped, with
//! a word, where there is no bash or no `timeout` (some texts loop).

use portcullis_shell::{Limits, Scope, read};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use std::path::Path;
use std::process::{Command, Stdio};

const PIECES: [&str; 101] = [
    "rm zz",
    "rm zz",
    "rm zz",
    " ",
    "\n",
    ";",
    "; ",
    "&&",
    "||",
    "|",
    "(",
    ")",
    " ( ",
    " ) ",
    "{ ",
    "; }",
    "}",
    "if ",
    "then ",
    "else ",
    "fi",
    "; fi",
    "while ",
    "do ",
    "; done",
    "done",
    "for x in a; do ",
    "case x in ",
    "x) ",
    ";;",
    "esac",
    "; esac",
    "$x",
    "${x}",
    "${",
    "$(",
    "`",
    "'",
    "\"",
    "\\",
    "<<E\n",
    "\nE\n",
    "<<-E\n",
    "<<'E'\n",
    "<<< ",
    "> o ",
    ">o",
    "< o ",
    "2>&1",
    ">&",
    "<(",
    ">(",
    "[[ ",
    " ]]",
    "[",
    "]",
    "((",
    "))",
    "$((",
    "x=",
    "a[",
    "a[0]=",
    "a=(",
    "+=",
    "g() ",
    "function g ",
    "echo ",
    "eval ",
    "command ",
    "! ",
    "time ",
    "#",
    " #",
    "{a,b}",
    "*",
    "?",
    "@(",
    "~",
    "$'",
    "\\'",
    "\\\"",
    "$\"",
    "==",
    "=~",
    "-n ",
    "esac ",
    "in ",
    "until ",
    "elif ",
    "$[",
    "\t",
    "<<",
    "|&",
    "&>",
    "{fd}>",
    "9>",
    "\\\n",
    "export ",
    "trap ",
    "set -- ",
    "exec ",
];

/// Texts that are made, and how many of them are run at most.
const TEXTS: usize = 6_000;
const RUN: usize = 250;

fn runs(text: &str, place: &Path) -> bool {
    let ran = place.join("ran");
    let home = place.join("home");
    let _ = std::fs::remove_dir_all(&home);
    std::fs::create_dir_all(&home).expect("a directory");
    let _ = std::fs::remove_file(&ran);
    Command::new("timeout")
        .args(["-k", "1", "2", "bash", "--norc", "--noprofile", "-c", text])
        .current_dir(&home)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("BASH_ENV", place.join("only"))
        .env("RAN", &ran)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("bash runs");
    ran.exists()
}

#[test]
fn no_program_that_bash_runs_is_hidden() {
    let there = |program: &str| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !there("bash") || !there("timeout") {
        println!("skipped: no bash or no timeout here");
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    let programs = place.path().join("programs");
    std::fs::create_dir(&programs).expect("a directory");
    // Before the text, bash reads this: from then on `rm` is the only program, and what loops behind a parent that has
    // ended runs out of time and of file size by itself.
    let only = format!("ulimit -t 2 -f 64\nPATH={}\n", programs.display());
    std::fs::write(place.path().join("only"), only).expect("written");
    std::fs::write(programs.join("rm"), "#!/bin/sh\n: > \"$RAN\"\n").expect("written");
    let mode = Command::new("chmod").arg("755").arg(programs.join("rm")).status().expect("chmod");
    assert!(mode.success());
    assert!(runs("rm zz", place.path()), "the program says that it ran");
    assert!(!runs("echo rm zz", place.path()), "and only then");

    let strategy = proptest::collection::vec(proptest::sample::select(PIECES.as_slice()), 2..14);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut run, mut hidden) = (0, String::new());
    for _ in 0..TEXTS {
        let mut text = strategy.new_tree(&mut runner).expect("pieces").current().concat();
        if !text.contains("rm zz") {
            text.push_str("\nrm zz");
        }
        let reading = read(&text, &Scope::at_home("a", "/home/a"), &Limits::default());
        let told = |operation: &portcullis_model::Operation| {
            let shown = operation.to_string();
            shown.contains("unknown") || shown.contains("dynamic") || shown.contains("program rm")
        };
        if reading.fault.is_some() || reading.operations.iter().any(told) || run >= RUN {
            continue;
        }
        run += 1;
        if runs(&text, place.path()) {
            hidden.push_str(&format!("{text:?}\n"));
        }
    }
    assert!(hidden.is_empty(), "bash ran what was not read:\n{hidden}");
    assert!(run > 50, "only {run} texts were run");
    println!("{run} of {TEXTS} texts were run");
}
