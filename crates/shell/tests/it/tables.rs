//! Tables of texts and what they are read as, for a login `agent` whose home is `/home/agent`, started there.
//!
//! A row is a text, a tab, and its operations with ` ; ` between; `\n`, `\r`, `\t`, `\0` and `\\` are escapes in the
//! text. A fault is `fault KIND: message`. With `PORTCULLIS_BLESS=1` the tables are written anew, to be looked at.

use portcullis_model::{Fault, Name, Operation, Text};
use portcullis_shell::{Limits, Reading, Scope, read};
use std::fmt::Write as _;
use std::path::PathBuf;

const TABLES: [&str; 12] = [
    "quoting",
    "wrappers",
    "redirects",
    "programs",
    "git",
    "find",
    "interpreters",
    "database",
    "network",
    "benign",
    "dynamic",
    "faults",
];

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../fixtures/shell", &format!("{name}.tsv")].iter().collect()
}

pub(crate) fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match characters.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('0') => out.push('\0'),
            Some('\\') => out.push('\\'),
            other => panic!("escape {other:?} in {text}"),
        }
    }
    out
}

fn shown(reading: &Reading) -> String {
    if let Some(fault) = &reading.fault {
        let kind = match fault {
            Fault::Syntax { .. } => "syntax",
            Fault::Missing { .. } => "missing",
            Fault::Ambiguous { .. } => "ambiguous",
            Fault::TooLarge { .. } => "too large",
            Fault::Unsupported { .. } => "unsupported",
        };
        return format!("fault {kind}: {}", fault.message());
    }
    reading.operations.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ; ").replace('\n', "\\n")
}

fn table(name: &str) -> usize {
    let scope = Scope::at_home("agent", "/home/agent");
    let source = std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (mut fresh, mut wrong, mut rows) = (String::new(), String::new(), 0);
    for line in source.lines() {
        if line.is_empty() || line.starts_with('#') {
            let _ = writeln!(fresh, "{line}");
            continue;
        }
        rows += 1;
        let (text, expected) = line.split_once('\t').unwrap_or((line, ""));
        let got = shown(&read(&unescaped(text), &scope, &Limits::default()));
        let _ = writeln!(fresh, "{text}\t{got}");
        if got != expected {
            let _ = writeln!(wrong, "{text}\n  expected {expected}\n  read as  {got}");
        }
    }
    if std::env::var_os("PORTCULLIS_BLESS").is_some() {
        std::fs::write(path(name), fresh).expect("written");
    } else {
        assert!(wrong.is_empty(), "{name}:\n{wrong}");
    }
    rows
}

/// `reach.tsv`: a text, a tab, and what reaches a database, with its database and host.
#[test]
fn sql_says_which_database_it_goes_to() {
    let scope = Scope::at_home("agent", "/home/agent");
    let source = std::fs::read_to_string(path("reach")).expect("reach");
    let (mut fresh, mut wrong) = (String::new(), String::new());
    for line in source.lines() {
        let Some((text, expected)) = line.split_once('\t').filter(|_| !line.starts_with('#')) else {
            let _ = writeln!(fresh, "{line}");
            continue;
        };
        let reading = read(&unescaped(text), &scope, &Limits::default());
        let reaches = |operation: &Operation| {
            let reach = operation.reaches.as_ref()?;
            let (host, database) = (reach.host.as_deref(), reach.database.as_ref().map(Name::as_str));
            Some(format!("{operation} in {} on {}", database.unwrap_or("?"), host.unwrap_or("?")))
        };
        let got = reading.operations.iter().filter_map(reaches).collect::<Vec<_>>().join(" ; ");
        let _ = writeln!(fresh, "{text}\t{got}");
        if got != expected {
            let _ = writeln!(wrong, "{text}\n  expected {expected}\n  read as  {got}");
        }
    }
    if std::env::var_os("PORTCULLIS_BLESS").is_some() {
        std::fs::write(path("reach"), fresh).expect("written");
    } else {
        assert!(wrong.is_empty(), "{wrong}");
    }
}

#[test]
fn every_row_of_every_table_is_read_as_it_says() {
    let rows: usize = TABLES.iter().map(|name| table(name)).sum();
    assert!(rows >= 300, "{rows} rows");
}

/// In this table nothing may be unknown, dynamic or privileged: it is everyday work.
#[test]
fn everyday_work_is_read_without_a_doubt() {
    let scope = Scope::at_home("agent", "/home/agent");
    let source = std::fs::read_to_string(path("benign")).expect("benign");
    for line in source.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let text = unescaped(line.split_once('\t').map_or(line, |(text, _)| text));
        let reading = read(&text, &scope, &Limits::default());
        let got = shown(&reading);
        assert!(!["unknown", "dynamic", "privileged", "fault"].iter().any(|word| got.contains(word)), "{text}: {got}");
    }
}

/// `secrets.tsv`: a text, a tab, and the text as it is recorded.
#[test]
fn secrets_are_found_and_redacted() {
    let source = std::fs::read_to_string(path("secrets")).expect("secrets");
    for line in source.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (text, expected) = line.split_once('\t').expect("two columns");
        let reading = read(text, &Scope::at_home("agent", "/home/agent"), &Limits::default());
        assert_eq!(Text::redacted(text, &reading.secrets).as_str(), expected, "{text}");
    }
}
