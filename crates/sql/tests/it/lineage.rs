//! Lineage: `fixtures/sql/lineage.tsv`, views and generated columns, and what must hold for any query.
//!
//! The catalogue is that of `shop.rs` with more in it: `people` has a composite and a generated column, and views over
//! it whose definitions are as a server writes them. A row of the table is a text, a tab, what the statement returns,
//! and behind ` | ` what it uses. `label:=t.c` is the column itself, `label: t.c+u.d` what flows into it, `t.*` the row,
//! `f()` a user's function, `?` not to be told, `0` nothing; `*:` is any column. Uses: `if` decides about rows or errors,
//! `eq` is compared with one constant, `into t.c` is written there, `kept` goes elsewhere, `value t.c 'x'` is a constant
//! that belongs to it, `unknown` says that not everything was followed. With `PORTCULLIS_BLESS=1` it is written anew.

use crate::shop;
use portcullis_model::catalogue::{Catalogue, Contents, RelKind, Type, Volatility};
use portcullis_model::{ColumnId, Lineage, Name, Output, Outputs, Place, Sources, Usage};
use portcullis_sql::{Dialect, Limits, Scope, derive, read};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/sql/lineage.tsv");

fn contents() -> Contents {
    let mut contents = shop::contents();
    let mut people = shop::relation(
        200,
        "public.people",
        RelKind::Table,
        "id int, name text, ssn text, pref contact_ref, tags text[], low text, score int",
    );
    people.columns[3].type_oid = 70_010;
    people.columns[5].generated = Some("lower((name || ssn))".into());
    let fields = shop::relation(201, "public.contact_ref", RelKind::CompositeType, "kind text, value text");
    let view = |oid, name: &str, columns: &str, text: &str| shop::view(oid, name, columns, &[200], text);
    contents.relations.extend([
        people,
        fields,
        view(
            202,
            "public.v_people",
            "id int, code text, shout text",
            " SELECT p.id,\n    p.ssn AS code,\n    upper(p.name) AS shout\n   FROM public.people p;",
        ),
        view(
            203,
            "public.v_over",
            "id int, c text, known bool",
            " SELECT v.id, v.code AS c, (EXISTS ( SELECT 1 FROM hr.employees e WHERE (e.ssn = v.code))) AS known \
             FROM public.v_people v;",
        ),
        view(204, "public.v_broken", "id int, x text", " SELECT id, x FROM nowhere;"),
        view(
            205,
            "public.v_union",
            "id int, label text",
            " SELECT people.id, people.name AS label FROM public.people UNION ALL SELECT c.id, public.pure_f(c.email) \
             FROM public.customers c;",
        ),
        shop::relation(206, "pg_toast.pg_toast_200", RelKind::Toast, "chunk_id int, chunk_seq int, chunk_data bytea"),
        shop::relation(207, "hr.people", RelKind::Table, "id int, ssn text"),
        shop::relation(208, "public.wide", RelKind::Table, "a int, b text, c text"),
    ]);
    for (oid, name, volatility) in [
        (300, "public.pure_f", Volatility::Immutable),
        (301, "public.stable_f", Volatility::Stable),
        (302, "public.kept_f", Volatility::Volatile),
        (303, "public.ci_eq", Volatility::Immutable),
    ] {
        let mut function = shop::function(oid, name, false);
        function.volatility = volatility;
        function.arguments = if oid == 303 { vec![70_001, 70_001] } else { Vec::new() };
        contents.functions.push(function);
    }
    let of = |oid, name: &str, relation| Type {
        oid,
        schema: Name::canonical("public"),
        name: Name::canonical(name),
        relation,
        functions: Vec::new(),
    };
    contents.types.push(of(70_010, "contact_ref", Some(201)));
    derive(&mut contents);
    contents
}

static SCOPE: LazyLock<Scope> = LazyLock::new(|| Scope {
    catalogue: Arc::new(Catalogue::new(1, contents())),
    temporary: Arc::new(BTreeSet::from([Name::canonical("tmp")])),
    ..shop::scope()
});

fn shown_column(column: ColumnId) -> String {
    let relation = SCOPE.catalogue.relation(column.relation).expect("a relation that there is");
    let schema = if relation.schema.as_str() == "public" { String::new() } else { format!("{}.", relation.schema) };
    let name = relation.columns.iter().find(|known| known.number == column.number).map(|known| known.name.clone());
    let name = if column.is_row() { "*".to_owned() } else { name.expect("a column that there is").to_string() };
    format!("{schema}{}.{name}", relation.name)
}

fn shown_sources(sources: &Sources) -> String {
    let mut parts: Vec<String> = sources.columns().iter().map(|column| shown_column(*column)).collect();
    parts.extend(sources.functions().iter().map(|function| format!("{function}()")));
    if sources.is_unknown() {
        parts.push("?".to_owned());
    }
    if parts.is_empty() { "0".to_owned() } else { parts.join("+") }
}

fn shown_output(output: &Output) -> String {
    let name = output.name.as_ref().map_or("", Name::as_str);
    format!("{name}:{}{}", if output.exact { "=" } else { " " }, shown_sources(&output.sources))
}

fn shown(text: &str, lineage: &Lineage) -> String {
    let mut out = match &lineage.outputs {
        Outputs::None => "-".to_owned(),
        Outputs::Known(outputs) => outputs.iter().map(shown_output).collect::<Vec<_>>().join(", "),
        Outputs::Unknown(sources) => format!("*: {}", shown_sources(sources)),
    };
    let mut uses: Vec<String> = Vec::new();
    for used in &lineage.uses {
        let sources = shown_sources(&used.sources);
        uses.push(match used.usage {
            Usage::Equality => format!("eq {sources}"),
            Usage::Condition => format!("if {sources}"),
            Usage::Written { into: None } => format!("kept {sources}"),
            Usage::Written { into: Some(column) } => format!("into {} {sources}", shown_column(column)),
        });
    }
    for bound in &lineage.bound {
        let place = match &bound.place {
            Place::Text(span) => text[span.clone()].to_owned(),
            Place::Parameter(number) => format!("${number}"),
        };
        uses.push(format!("value {} {place}", shown_column(bound.column)));
    }
    if lineage.unknown {
        uses.push("unknown".to_owned());
    }
    if !uses.is_empty() {
        let _ = write!(out, " | {}", uses.join("; "));
    }
    out
}

fn told(text: &str) -> String {
    let reading = read(text, Dialect::Postgres, &SCOPE, &Limits::default());
    if let Some(fault) = &reading.fault {
        return format!("fault: {}", fault.message());
    }
    let each = reading.statements.iter().map(|statement| {
        let cursor = statement.cursor.as_ref().map(|cursor| format!(" CURSOR {}", shown(text, cursor)));
        format!("{}{}", shown(text, &statement.lineage), cursor.unwrap_or_default())
    });
    each.collect::<Vec<_>>().join(" ; ")
}

#[test]
fn every_row_of_the_table_is_followed_as_it_says() {
    let source = std::fs::read_to_string(PATH).expect("the table");
    let (mut fresh, mut wrong, mut rows) = (String::new(), String::new(), 0);
    for line in source.lines() {
        if line.is_empty() || line.starts_with('#') {
            fresh.push_str(line);
            fresh.push('\n');
            continue;
        }
        rows += 1;
        let (text, expected) = line.split_once('\t').unwrap_or((line, ""));
        let got = told(text);
        let _ = writeln!(fresh, "{text}\t{got}");
        if got != expected {
            let _ = writeln!(wrong, "{text}\n  expected {expected}\n  followed {got}");
        }
    }
    if std::env::var_os("PORTCULLIS_BLESS").is_some() {
        std::fs::write(PATH, fresh).expect("written");
    } else {
        assert!(wrong.is_empty(), "{wrong}");
    }
    assert!(rows >= 200, "{rows} rows");
}
