//! What a text does by the names of its session and of itself: over three tables, with the path `public`.

use super::{Lookup, Made, Opened, Read, Reader, Under};
use crate::core::names::Found;
use portcullis_model::catalogue::{Catalogue, Column, Contents, Oid, RelKind, Relation};
use portcullis_model::{ColumnId, Fault, Name};
use portcullis_sql::{Cache, Limits, Scope, SearchPath};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What the session has prepared. By Parse, everything can be.
const PREPARED: [(&str, &str); 5] = [
    ("items", "SELECT name FROM items WHERE id = $1"),
    ("people", "SELECT id FROM people WHERE ssn LIKE $1"),
    ("path", "SET search_path = hr"),
    ("made", "CREATE TEMP TABLE people (id int)"),
    ("again", "EXECUTE path"),
];

struct Session;

impl Lookup for Session {
    fn prepared(&self, name: &str) -> Found<Made> {
        let text = PREPARED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        text.map_or(Found::Absent, |text| Found::Here(Made { text: text.into(), analysed: Arc::default() }))
    }

    fn under(&self) -> Under {
        Under::Told(path())
    }

    fn cursor(&self, _name: &str) -> Found<Opened> {
        Found::Absent
    }
}

fn path() -> Arc<[Name]> {
    Arc::new([Name::canonical("public")])
}

fn relation(oid: Oid, schema: &str, name: &str, columns: &[&str]) -> Relation {
    let column = |(number, name): (i16, &&str)| Column {
        number,
        name: Name::canonical(*name),
        type_oid: if *name == "id" { 23 } else { 25 },
        collation: if *name == "id" { 0 } else { 100 },
        not_null: false,
        generated: None,
        derived: None,
        default: None,
    };
    Relation {
        oid,
        schema: Name::canonical(schema),
        name: Name::canonical(name),
        kind: RelKind::Table,
        columns: (1_i16..).zip(columns).map(column).collect(),
        children: Vec::new(),
        parents: Vec::new(),
        definition: None,
        reads: Vec::new(),
        rules: Vec::new(),
        triggers: Vec::new(),
        referenced_by: Vec::new(),
        functions: Vec::new(),
    }
}

const ITEMS: Oid = 20_000;

fn scope() -> Scope {
    let relations = vec![
        relation(ITEMS, "public", "items", &["id", "name"]),
        relation(20_001, "public", "people", &["id", "ssn"]),
        relation(20_002, "hr", "people", &["id", "ssn"]),
    ];
    let schemas = ["public", "hr", "pg_catalog"].map(Name::canonical).to_vec();
    Scope {
        catalogue: Arc::new(Catalogue::new(1, Contents { relations, schemas, ..Contents::default() })),
        search_path: SearchPath::Known(path()),
        temporary: Arc::new(BTreeSet::new()),
        uncertain: false,
        user: None,
        assume: None,
    }
}

fn read(text: &str) -> Read {
    let reader = Reader { cache: Arc::new(Cache::new(1 << 16)), limits: Limits::default().pinned() };
    reader.read(&text.into(), &scope(), &Session, false).unwrap()
}

/// Whether every relation that the text uses is known by its schema.
fn is_told(text: &str) -> bool {
    let read = read(text);
    assert_eq!(read.fault, None, "{text}");
    !read.operations.iter().any(|operation| operation.to_string().contains("?."))
}

#[test]
fn what_a_text_prepares_it_runs_under_the_path_that_it_had() {
    for text in [
        "PREPARE q AS SELECT name FROM items WHERE id = 3; EXECUTE q",
        "PREPARE q (int) AS UPDATE items SET name = 'x' WHERE id = $1; EXECUTE q(3); DEALLOCATE q; EXECUTE items(1)",
        "DEALLOCATE ALL; PREPARE q AS SELECT name FROM items; EXECUTE q",
        "BEGIN; PREPARE q AS SELECT name FROM items; EXPLAIN EXECUTE q; EXECUTE q",
        "SAVEPOINT a; UPDATE items SET name = 'x' WHERE id = 3; ROLLBACK TO a; EXECUTE items(1)",
        "SAVEPOINT a; PREPARE q AS SELECT name FROM items; ROLLBACK TO a; EXECUTE q",
    ] {
        assert!(is_told(text), "{text}");
    }
    for text in [
        "SET search_path = public; EXECUTE items(1)",
        "PREPARE q AS SELECT name FROM items; SET search_path = public; EXECUTE q",
        "SET LOCAL search_path = public; PREPARE q AS SELECT name FROM items; EXECUTE q",
        "ROLLBACK; EXECUTE items(1)",
        "ROLLBACK TO a; EXECUTE items(1)",
        "SAVEPOINT a; RELEASE a; ROLLBACK TO a; EXECUTE items(1)",
        "SAVEPOINT a; SET search_path = public; SAVEPOINT a; RELEASE a; ROLLBACK TO a; EXECUTE items(1)",
        "SAVEPOINT a; EXECUTE items(1); ROLLBACK TO a; EXECUTE items(1)",
        "CREATE TABLE t (id int); EXECUTE items(1)",
        "CREATE TEMP TABLE t (id int); EXECUTE items(1)",
    ] {
        assert!(!is_told(text), "{text}");
    }
}

#[test]
fn nothing_stands_behind_what_changes_names_by_a_name() {
    for text in [
        "EXECUTE path; SELECT ssn FROM people",
        "EXECUTE made; SELECT id FROM people",
        "EXECUTE again; SELECT ssn FROM people",
        "BEGIN; EXECUTE path; COMMIT",
        "PREPARE q AS SELECT set_config('search_path', 'hr', false); EXECUTE q; SELECT ssn FROM people",
    ] {
        assert!(matches!(read(text).fault, Some(Fault::Unsupported { .. })), "{text}");
    }
    let last = "SELECT ssn FROM people; EXECUTE path";
    for text in ["EXECUTE path", last, "EXECUTE items(1); EXECUTE people('x'); SELECT 1"] {
        assert_eq!(read(text).fault, None, "{text}");
    }
}

#[test]
fn explain_tells_of_what_it_explains_by_name_and_of_nothing_else() {
    let of = |text: &str| {
        let read = read(text);
        assert_eq!(read.fault, None, "{text}");
        let lineage = read.lineages.first().unwrap();
        (lineage.all_outputs(), lineage.unknown)
    };
    for text in ["EXPLAIN EXECUTE items(1)", "EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE items(NULL)"] {
        let (told, unknown) = of(text);
        assert!(!told.is_unknown() && !unknown, "{text}");
        assert!(told.columns().contains(&ColumnId::row(ITEMS)), "{text}");
        assert!(told.columns().iter().all(|column| column.relation == ITEMS), "{text}");
    }
    let (told, _) = of("EXPLAIN EXECUTE people('5%')");
    assert!(told.columns().contains(&ColumnId { relation: 20_001, number: 2 }), "what it asks for is shown");
    for text in ["EXPLAIN EXECUTE items(pg_sleep(1)::text::int)", "EXPLAIN CREATE TABLE t AS EXECUTE items(1)"] {
        assert!(of(text).0.is_unknown(), "{text}");
    }
}

#[test]
fn a_backslash_alone_behind_escape_is_one_literal_in_a_session() {
    for text in [
        "SELECT id FROM items WHERE name LIKE $1 ESCAPE '\\'",
        "COPY items TO STDOUT (FORMAT csv, ESCAPE '\\')",
        "PREPARE q AS SELECT id FROM items WHERE name LIKE 'a\\_%' ESCAPE '\\'; EXECUTE q",
    ] {
        assert!(is_told(text), "{text}");
    }
    let dropped = read("SELECT id FROM items WHERE name LIKE $1 ESCAPE '\\'; DROP TABLE items; --'");
    assert!(dropped.operations.iter().any(|operation| operation.to_string() == "drop table public.items"));
    for text in ["SELECT '\\'", "SELECT id FROM items WHERE name LIKE $1 ESCAPE '\\''; DROP TABLE items; --'"] {
        assert!(matches!(read(text).fault, Some(Fault::Ambiguous { .. })), "{text}");
    }
}
