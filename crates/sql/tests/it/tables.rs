//! Tables of texts and what they are read as, over the catalogue of `shop.rs` with the path `public`.
//!
//! A row is a text, a tab, and its operations with ` ; ` between; `\n`, `\r`, `\t` and `\\` are escapes in the text. A
//! fault is `fault: message @position`. With `PORTCULLIS_BLESS=1` the tables are written anew, to be looked at.

use crate::shop;
use portcullis_model::{Fault, Text};
use portcullis_sql::{Dialect, Limits, Reading, read};
use std::fmt::Write as _;
use std::path::PathBuf;

const TABLES: [&str; 15] = [
    "query",
    "functions",
    "writes",
    "bounds",
    "spread",
    "define",
    "drop",
    "alter",
    "access",
    "session",
    "server",
    "plpgsql",
    "faults",
    "corpus",
    "enforcement",
];

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../fixtures/sql", &format!("{name}.tsv")].iter().collect()
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, c == '\\') {
            (_, false) => out.push(c),
            (_, true) => match characters.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some('\\') => out.push('\\'),
                other => panic!("escape {other:?} in {text}"),
            },
        }
    }
    out
}

fn shown(reading: &Reading) -> String {
    if let Some(fault) = &reading.fault {
        let position = match fault {
            Fault::Syntax { position, .. } | Fault::Missing { position, .. } => *position,
            Fault::Ambiguous { .. } | Fault::TooLarge { .. } | Fault::Unsupported { .. } => None,
        };
        let mut out = format!("fault: {}", fault.message());
        if let Some(position) = position {
            let _ = write!(out, " @{position}");
        }
        return out;
    }
    reading.operations().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ; ")
}

fn table(name: &str) -> usize {
    let scope = shop::scope();
    let limits = Limits::default();
    let source = std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut fresh = String::new();
    let mut wrong = String::new();
    let mut rows = 0;
    for line in source.lines() {
        if line.is_empty() || line.starts_with('#') {
            fresh.push_str(line);
            fresh.push('\n');
            continue;
        }
        rows += 1;
        let (text, expected) = line.split_once('\t').unwrap_or((line, ""));
        let reading = read(&unescaped(text), Dialect::Postgres, &scope, &limits);
        let got = shown(&reading);
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

#[test]
fn every_row_of_every_table_is_read_as_it_says() {
    let rows: usize = TABLES.iter().map(|name| table(name)).sum();
    assert!(rows >= 400, "{rows} rows");
}

/// `secrets.tsv`: a text, a tab, and the text as it is recorded.
#[test]
fn secrets_are_found_and_redacted() {
    let source = std::fs::read_to_string(path("secrets")).expect("secrets");
    for line in source.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (text, expected) = line.split_once('\t').expect("two columns");
        let reading = read(text, Dialect::Postgres, &shop::scope(), &Limits::default());
        assert_eq!(Text::redacted(text, &reading.secrets).as_str(), expected, "{text}");
    }
}
