//! The table of readings, the ledgers of the data files, and what must hold of any text.

use super::facts::{DIALECTS, FUNCTIONS, STATEMENTS, rows};
use super::*;
use portcullis_model::{Mark, Operation};
use proptest::prelude::*;
use std::collections::BTreeSet;

const TABLE: &str = include_str!("../../../../fixtures/sql/dialects.tsv");

const ALL: &[(&str, Dialect)] = &[
    ("mysql", Dialect::MySql),
    ("sqlite", Dialect::Sqlite),
    ("clickhouse", Dialect::ClickHouse),
    ("snowflake", Dialect::Snowflake),
    ("bigquery", Dialect::BigQuery),
    ("mssql", Dialect::MsSql),
    ("generic", Dialect::Generic),
];

fn dialect(word: &str) -> Dialect {
    ALL.iter().find(|(name, _)| *name == word).unwrap_or_else(|| panic!("no dialect {word}")).1
}

/// A reading in one line: the kind of its fault, or its operations.
fn told(reading: &Reading) -> String {
    match &reading.fault {
        Some(Fault::Syntax { .. }) => "fault: syntax".to_owned(),
        Some(Fault::Missing { .. }) => "fault: missing".to_owned(),
        Some(Fault::Ambiguous { .. }) => "fault: ambiguous".to_owned(),
        Some(Fault::TooLarge { .. }) => "fault: too large".to_owned(),
        Some(Fault::Unsupported { .. }) => "fault: unsupported".to_owned(),
        None => reading.operations().iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "),
    }
}

/// The text of a row: as it stands, or a JSON string where it holds a tab or a line break.
fn text(cell: &str) -> String {
    if cell.starts_with('"') { serde_json::from_str(cell).unwrap() } else { cell.to_owned() }
}

#[test]
fn texts_read_as_the_table_says() {
    let mut wrong = Vec::new();
    for row in rows(TABLE) {
        let [word, cell, expected] = row.as_slice() else { panic!("three columns: {row:?}") };
        let reading = read(&text(cell), dialect(word), &Limits::default());
        let told = told(&reading);
        if told != *expected {
            wrong.push(format!("{word}\t{cell}\t{told}"));
        }
    }
    assert!(wrong.is_empty(), "these rows read as:\n{}", wrong.join("\n"));
}

#[test]
fn every_dialect_has_its_facts() {
    let known: BTreeSet<_> = ALL.iter().map(|(name, _)| *name).collect();
    let rows_of: Vec<_> = rows(DIALECTS).collect();
    assert_eq!(rows_of.iter().map(|row| row[0]).collect::<BTreeSet<_>>(), known);
    assert_eq!(rows_of.len(), known.len());
    for row in &rows_of {
        assert_eq!(row.len(), 6, "{row:?}");
        for fold in &row[1..3] {
            assert!(["lower", "upper", "keep"].contains(fold), "{row:?}");
        }
        assert!(["yes", "no", "unknown"].contains(&row[3]), "{row:?}");
    }
    for (name, dialect) in ALL {
        let facts = Facts::of(*dialect);
        assert_eq!(facts.word, *name);
        if let Some(escapes) = facts.backslash {
            assert_eq!(escapes, facts.grammar().supports_string_literal_backslash_escape(), "{name}");
        }
    }
    for (table, what) in [(FUNCTIONS, "dialect_functions"), (STATEMENTS, "dialect_statements")] {
        let mut seen = BTreeSet::new();
        for row in rows(table) {
            assert_eq!(row.len(), 2, "{what}: {row:?}");
            assert!(row[0] == "*" || known.contains(row[0]), "{what}: {row:?}");
            assert_eq!(row[1], row[1].to_lowercase(), "{what}: {row:?}");
            assert!(seen.insert(row.clone()), "{what}: {row:?} stands twice");
        }
    }
}

/// Functions that read files or networks, run SQL, wait or lock are on no list.
#[test]
fn no_function_with_an_effect_is_pure() {
    for name in "load_file sleep benchmark get_lock release_lock load_extension readfile writefile edit url file s3 \
                 remote remotesecure mysql postgresql executable dictget system$cancel_query openrowset openquery \
                 opendatasource external_query nextval xp_cmdshell sys_exec sys_eval fts3_tokenizer input cluster"
        .split_whitespace()
    {
        for (word, dialect) in ALL {
            assert!(!Facts::of(*dialect).is_pure(name), "{name} in {word}");
        }
    }
    assert!(Facts::of(Dialect::MySql).is_pure("COUNT"));
}

#[test]
fn a_schema_is_told_only_where_it_is_written() {
    for (name, dialect) in ALL {
        let reading = read("SELECT * FROM t", *dialect, &Limits::default());
        let object = reading.statements[0].operations[0].object.to_string();
        assert!(object.starts_with("table ?."), "{name}: {object}");
    }
}

#[test]
fn passwords_are_found_in_texts_that_parse_and_in_those_that_do_not() {
    for (dialect, text, secret) in [
        (Dialect::MySql, "CREATE USER bob IDENTIFIED BY 'hunter2'", "'hunter2'"),
        (Dialect::MySql, "SET PASSWORD FOR bob = 'hunter2'", "'hunter2'"),
        (Dialect::Snowflake, "CREATE USER bob PASSWORD = 'hunter2'", "'hunter2'"),
        (Dialect::MsSql, "CREATE LOGIN bob WITH PASSWORD = 'hunter2'", "'hunter2'"),
        (Dialect::MySql, "SELECT 'é',\n 1; ALTER USER b IDENTIFIED BY \"hunter2\"", "\"hunter2\""),
    ] {
        let reading = read(text, dialect, &Limits::default());
        let found: Vec<_> = reading.secrets.iter().map(|range| &text[range.clone()]).collect();
        assert_eq!(found, [secret], "{text}");
        if let Some(fault) = &reading.fault {
            assert!(!fault.message().contains("hunter2"), "{fault:?}");
        }
    }
    let open = "ALTER USER b IDENTIFIED BY 'hunter2";
    let whole: Vec<_> = std::iter::once(0..open.len()).collect();
    assert_eq!(read(open, Dialect::MySql, &Limits::default()).secrets, whole);
    assert_eq!(read("SELECT 'a'", Dialect::MySql, &Limits::default()).secrets, []);
}

#[test]
fn a_syntax_error_says_where_in_characters() {
    let reading = read("SELECT 'é';\n SELEC 1", Dialect::Sqlite, &Limits::default());
    let Some(Fault::Syntax { position: Some(position), .. }) = reading.fault else { panic!("{reading:?}") };
    assert_eq!(position, 14);
}

/// Long chains make trees as deep as they are long; nesting is refused before it is deep.
#[test]
fn deep_texts_do_not_end_the_process() {
    let limits = Limits::default();
    for dialect in ALL.iter().map(|(_, dialect)| *dialect) {
        for (open, part, close) in [
            ("SELECT 1", "+1", ""),
            ("SELECT 1", " OR 1", ""),
            ("SELECT 'a'", "||'a'", ""),
            ("SELECT 1", " UNION ALL SELECT 1", ""),
            ("DELETE FROM t WHERE a = 1", " OR a = 1", ""),
            ("DELETE FROM t WHERE a = 1", " AND b = b", ""),
            ("SELECT a", "[1]", ""),
            ("SELECT ", "(", "1"),
            ("SELECT ", "NOT ", "1"),
            ("SELECT ", "CASE WHEN 1 THEN ", "1"),
            ("SELECT * FROM ", "(SELECT * FROM ", "t"),
            ("SELECT 1 FROM t", " JOIN t ON 1 = 1", ""),
            ("", "BEGIN;", ""),
            ("", "EXPLAIN ", "SELECT 1"),
        ] {
            for repeats in [40, 45_000] {
                let text = format!("{open}{}{close}", part.repeat(repeats));
                let reading = read(&text, dialect, &limits);
                assert!(!reading.operations().is_empty());
            }
        }
    }
}

#[test]
fn a_long_chain_is_still_read() {
    let text = format!("DELETE FROM t WHERE {}a = 1", "a = 2 OR ".repeat(5_000));
    let reading = read(&text, Dialect::MySql, &Limits::default());
    assert_eq!(told(&reading), "delete table ?.t");
    let text = format!("DELETE FROM t WHERE {}b = b", "a = 2 OR ".repeat(5_000));
    assert!(read(&text, Dialect::MySql, &Limits::default()).operations()[0].marks.contains(Mark::Unbounded));
}

/// Words that make texts which often parse.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("SELECT * FROM t"),
        Just("DELETE FROM t"),
        Just("UPDATE t SET a = 1"),
        Just(" WHERE "),
        Just("id = 1"),
        Just(" AND "),
        Just("id = id"),
        Just("; "),
        Just("DROP TABLE t"),
        Just("'a;b'"),
        Just("'\\'"),
        Just("\""),
        Just("$$"),
        Just("/*"),
        Just("*/"),
        Just("--"),
        Just("#"),
        Just("\n"),
        Just("\r"),
        Just("BEGIN"),
        Just("END"),
        Just("("),
        Just(")"),
        Just("WITH x AS ("),
        Just("é"),
        Just("COPY t FROM STDIN"),
        Just("\\."),
        Just("\\G"),
        Just("PRAGMA x(y)"),
    ]
    .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn any_text_has_operations_and_none_panics(text in "\\PC{0,80}", which in 0..7_usize) {
        let reading = read(&text, ALL[which].1, &Limits::default());
        prop_assert!(!reading.operations().is_empty());
        prop_assert!(reading.fault.is_none() || reading.operations() == [Operation::unknown()]);
    }

    #[test]
    fn no_statement_is_lost(parts in proptest::collection::vec(fragment(), 1..12), which in 0..7_usize) {
        let text = parts.concat();
        let reading = read(&text, ALL[which].1, &Limits::default());
        prop_assert!(reading.statements.iter().all(|statement| !statement.operations.is_empty()));
        for range in &reading.secrets {
            prop_assert!(text.get(range.clone()).is_some());
        }
    }

    /// A DROP behind a semicolon outside quotes and comments is never overlooked.
    #[test]
    fn a_drop_behind_a_semicolon_is_seen(parts in proptest::collection::vec(fragment(), 0..8), which in 0..7_usize) {
        let text = format!("{}\n; DROP TABLE victim", parts.concat());
        let alone = read(&parts.concat(), ALL[which].1, &Limits::default());
        let reading = read(&text, ALL[which].1, &Limits::default());
        if alone.fault.is_none() && reading.fault.is_none() {
            let drops = reading.operations().iter().any(|operation| operation.to_string().contains("drop table ?."));
            prop_assert!(drops, "{text}");
        }
    }
}
