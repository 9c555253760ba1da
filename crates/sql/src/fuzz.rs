//! Reading under arbitrary text: what every reading must hold, in a scope that knows nothing and in a small known one.
//!
//! Promises: [`fuzz_read`] fails where a statement has no operation, where a range leaves the text or cuts a character,
//! where a faulty text is read as anything but `unknown`, and where a DELETE put behind a text that was read is not
//! seen. Does not promise that operations are right: the tables of `fixtures/sql` say what they are.
//! Held by: `tests/it/properties.rs`, which replays generated texts, and the fuzz target `sql_read`.

use crate::{Dialect, Limits, Reading, Scope, SearchPath, read};
use portcullis_model::catalogue::{
    Catalogue, Column, Contents, Oid, ReferencedBy, ReferentialAction, RelKind, Relation,
};
use portcullis_model::{Action, Name, Operation};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

/// Two tables joined by a key that cascades, and a view over one.
static SMALL: LazyLock<Scope> = LazyLock::new(|| {
    let mut items = relation(20_000, "items", RelKind::Table);
    items.referenced_by = vec![ReferencedBy {
        relation: 20_001,
        on_delete: ReferentialAction::Cascade,
        on_update: ReferentialAction::NoAction,
        columns: vec![Name::canonical("id")],
        referenced: vec![Name::canonical("id")],
    }];
    let mut shown = relation(20_002, "shown", RelKind::View);
    shown.reads = vec![20_000];
    shown.definition = Some(" SELECT items.id, items.name FROM public.items;".into());
    let relations = vec![items, relation(20_001, "others", RelKind::Table), shown];
    let schemas = ["public", "pg_catalog"].map(Name::canonical).to_vec();
    Scope {
        catalogue: Arc::new(Catalogue::new(1, Contents { relations, schemas, ..Contents::default() })),
        search_path: SearchPath::Known(Arc::new([Name::canonical("public")])),
        uncertain: false,
        user: Some(Name::canonical("app")),
        ..Scope::unknown()
    }
});

/// A small known scope, for targets of other crates too: `public.items`, `public.others` and a view over the first.
#[must_use]
pub fn fuzz_scope() -> Scope {
    SMALL.clone()
}

/// Fuzzing entry: any bytes, read as PostgreSQL in a scope that knows nothing and in a small known one. Panics where a
/// reading does not hold what `reading.rs` promises, or hides what stands behind the text.
pub fn fuzz_read(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for scope in [&Scope::unknown(), &*SMALL] {
        let reading = read(&text, Dialect::Postgres, scope, &Limits::default());
        holds(&text, &reading);
        if reading.fault.is_none() {
            let longer = format!("{text}\n; DELETE FROM public.items");
            let reading = read(&longer, Dialect::Postgres, scope, &Limits::default());
            let seen = reading.operations().iter().any(deletes_items);
            assert!(reading.fault.is_some() || seen, "a DELETE behind the text was not seen");
        }
    }
}

fn holds(text: &str, reading: &Reading) {
    let inside = |range: &Range<usize>| text.get(range.clone()).is_some();
    for statement in &reading.statements {
        assert!(!statement.operations.is_empty(), "a statement without operation");
        assert!(inside(&statement.span), "a statement outside its text");
    }
    assert!(reading.secrets.iter().all(inside), "a secret outside its text");
    if reading.fault.is_some() {
        assert_eq!(reading.operations(), [Operation::unknown()], "a faulty text was read");
    }
}

fn deletes_items(operation: &Operation) -> bool {
    operation.action == Action::Delete && operation.object.to_string().ends_with(".items")
}

fn relation(oid: Oid, name: &str, kind: RelKind) -> Relation {
    let column = |number, name: &str| Column {
        number,
        name: Name::canonical(name),
        type_oid: 25,
        collation: 100,
        not_null: false,
        generated: None,
        derived: None,
        default: None,
    };
    Relation {
        oid,
        schema: Name::canonical("public"),
        name: Name::canonical(name),
        kind,
        columns: vec![column(1, "id"), column(2, "name")],
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
