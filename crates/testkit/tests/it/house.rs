//! Rules of the house that no compiler knows: where names of protocols may stand, what modules may be called, that each
//! says what it promises, and that nothing is left for later.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every Rust source below a directory of the house, with its text.
fn sources(below: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(below)];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

fn everything() -> Vec<(PathBuf, String)> {
    ["crates", "protocols"].iter().flat_map(|below| sources(below)).collect()
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Code without its comments and its tests.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.split("//").next().unwrap_or("")));
    lines.take_while(|(_, line)| !line.contains("#[cfg(test)]"))
}

/// DESIGN 2, rule 1: the gate serves every protocol and knows none.
#[test]
fn the_gate_names_no_protocol() {
    let words = ["postgres", "pgwire", "russh", "ssh", "hyper", "sftp"];
    let mut wrong = Vec::new();
    for (path, text) in sources("crates/gate/src") {
        for (number, line) in code(&text) {
            let lower = line.to_lowercase();
            wrong.extend(
                words.iter().filter(|w| lower.contains(**w)).map(|w| format!("{}:{number}: {w}", path.display())),
            );
        }
    }
    none(&wrong);
}

#[test]
fn modules_are_named_for_what_they_are() {
    let names = ["util", "utils", "common", "helper", "helpers", "manager", "misc"];
    let wrong = everything()
        .into_iter()
        .filter(|(path, _)| path.file_stem().is_some_and(|stem| names.iter().any(|name| stem == *name)));
    none(&wrong.map(|(path, _)| path.display().to_string()).collect::<Vec<_>>());
}

#[test]
fn every_module_says_what_it_promises() {
    let wrong = everything().into_iter().filter(|(path, text)| !text.starts_with("//!") && !path.ends_with("tests.rs"));
    none(&wrong.map(|(path, _)| format!("{} has no head comment", path.display())).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_for_later() {
    // In halves, so that this file is read like every other.
    let halves = [("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("HA", "CK"), ("unimple", "mented!("), ("to", "do!(")];
    let words = halves.map(|(front, back)| format!("{front}{back}"));
    let mut wrong = Vec::new();
    for (path, text) in everything() {
        for (number, line) in text.lines().enumerate() {
            wrong.extend(
                words
                    .iter()
                    .filter(|w| line.contains(w.as_str()))
                    .map(|w| format!("{}:{}: {w}", path.display(), number + 1)),
            );
        }
    }
    none(&wrong);
}

/// Modules stay small enough to be read at once: 400 lines is the aim, and this the bound.
#[test]
fn modules_stay_readable() {
    const BOUND: usize = 750;
    let long =
        everything().into_iter().map(|(path, text)| (text.lines().count(), path)).filter(|(lines, _)| *lines > BOUND);
    none(&long.map(|(lines, path)| format!("{} has {lines} lines", path.display())).collect::<Vec<_>>());
}

/// DESIGN 10: each decoder that exports a way to fuzz it is fuzzed, begins with seeds, and docs/fuzzing.md says what fails it.
#[test]
fn every_decoder_that_can_be_fuzzed_is() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let (manifest, seeds, told) = (read("fuzz/Cargo.toml"), read("fuzz/seeds.py"), read("docs/fuzzing.md"));
    let targets = sources("fuzz/fuzz_targets");
    let mut wrong = Vec::new();
    for (path, text) in everything() {
        let package = path.components().nth(1).map(|part| part.as_os_str().to_string_lossy().into_owned()).unwrap();
        for (number, line) in code(&text) {
            let Some(name) = line.strip_prefix("pub fn ").and_then(|rest| rest.split(['(', '<']).next()) else {
                continue;
            };
            // What a target is given, not a target.
            if !name.starts_with("fuzz_") || name == "fuzz_scope" {
                continue;
            }
            let called = format!("portcullis_{package}::{name}");
            let ends = [format!("{called}("), format!("{called})")];
            if !targets.iter().any(|(_, target)| ends.iter().any(|end| target.contains(end))) {
                wrong.push(format!("{}:{number}: no target in fuzz/fuzz_targets calls {called}", path.display()));
            }
        }
    }
    for (path, _) in &targets {
        let name = path.file_stem().unwrap().to_string_lossy();
        let places = [
            ("fuzz/Cargo.toml", &manifest, format!("name = \"{name}\"\n")),
            ("fuzz/seeds.py", &seeds, format!("\"{name}\": ")),
            ("docs/fuzzing.md", &told, format!("\n| `{name}` |")),
        ];
        wrong.extend(
            places
                .iter()
                .filter(|(_, text, row)| !text.contains(row))
                .map(|(place, ..)| format!("{place} lacks {name}")),
        );
    }
    none(&wrong);
}
