//! Lineage: `fixtures/sql/lineage.tsv`, views and generated columns, and what must hold for any query.
//!
//! The catalogue is that of `shop.rs` with more in it: `people` has a composite and a generated column, and views over
//! it whose definitions are as a server writes them; of `mail` the column `email` has a user's collation, `tag` "C". A
//! row of the table is a text, a tab, what the statement returns, and behind ` | ` what it uses. `label:=t.c` is the
//! column itself, `label: t.c+u.d` what flows into it, `t.*` the row, `f()` a user's function, `?` not to be told, `0`
//! nothing; `*:` is any column. Uses: `if` decides about rows or errors, `eq` is compared with one constant, `into t.c`
//! is written there, `kept` goes elsewhere, `value t.c 'x'` is a constant that belongs to it, `unknown` says that not
//! everything was followed. With `PORTCULLIS_BLESS=1` it is written anew.

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
    let mut mail = shop::relation(209, "public.mail", RelKind::Table, "id int, email text, tag text");
    (mail.columns[1].collation, mail.columns[2].collation) = (20_000, 950);
    let fields = shop::relation(201, "public.contact_ref", RelKind::CompositeType, "kind text, value text");
    let view = |oid, name: &str, columns: &str, text: &str| shop::view(oid, name, columns, &[200], text);
    contents.relations.extend([
        people,
        mail,
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

pub(crate) static SCOPE: LazyLock<Scope> = LazyLock::new(|| Scope {
    catalogue: Arc::new(Catalogue::new(1, contents())),
    temporary: Arc::new(BTreeSet::from([Name::canonical("tmp")])),
    ..shop::scope()
});

fn shown_column(column: ColumnId) -> String {
    if let Some(number) = column.as_argument() {
        return format!("argument {number}");
    }
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

fn derived(relation: u32) -> Vec<String> {
    let relation = SCOPE.catalogue.relation(relation).expect("a relation that there is");
    let one = |column: &portcullis_model::catalogue::Column| {
        let exact = column.derived.as_ref().is_some_and(|derived| derived.exact);
        let sources = column.derived.as_ref().map_or_else(|| "none".to_owned(), |found| shown_sources(&found.sources));
        format!("{}:{}{sources}", column.name, if exact { "=" } else { " " })
    };
    relation.columns.iter().map(one).collect()
}

#[test]
fn columns_of_views_are_derived_from_what_they_read() {
    assert_eq!(derived(202), ["id:=people.id", "code:=people.ssn", "shout: people.name"]);
    assert_eq!(derived(203), ["id:=v_people.id", "c:=v_people.code", "known: hr.employees.ssn+v_people.code"]);
    assert_eq!(derived(204), ["id: ?", "x: ?"], "a definition that cannot be followed");
    assert_eq!(
        derived(205),
        ["id: customers.id+people.id", "label: customers.email+people.name+public.pure_f()"],
        "both sides of a set operation"
    );
    assert_eq!(derived(43), ["order_id:=orders.id", "name:=customers.name"]);
    // As many columns as its definition gives, or none is known.
    assert_eq!(derived(46), ["id: ?", "name: ?", "contact: ?"]);
    assert!(!derived(29).is_empty());
    assert!(derived(29).iter().all(|column| column.ends_with(" none")), "the server's own are told by its list");
}

#[test]
fn generated_columns_are_derived_and_no_other_column_of_a_table() {
    let people = derived(200);
    assert_eq!(people[5], "low: people.name+people.ssn");
    assert!(people.iter().filter(|column| column.ends_with(" none")).count() == people.len() - 1);
}

/// Every relation of the fixture that has a definition gets something for each column, and nothing claims to be clean
/// that its definition does not show to be.
#[test]
fn every_view_of_the_fixture_is_derived() {
    let mut followed = 0;
    for relation in SCOPE.catalogue.relations() {
        let computed = matches!(relation.kind, RelKind::View | RelKind::MaterializedView);
        if computed && !matches!(relation.schema.as_str(), "pg_catalog" | "information_schema") {
            let told = relation.columns.iter().all(|column| column.derived.is_some());
            assert!(told && !relation.columns.is_empty(), "{}", relation.name);
            followed += 1;
        }
    }
    assert!(followed > 3, "the fixture has views");
}

#[test]
fn a_large_catalogue_is_derived() {
    let mut contents = Contents { schemas: vec![Name::canonical("public")], ..Contents::default() };
    let columns: Vec<String> = (0..20).map(|at| format!("c{at} text")).collect();
    for oid in 1..=500 {
        contents.relations.push(shop::relation(oid, &format!("public.t{oid}"), RelKind::Table, &columns.join(", ")));
    }
    for oid in 501..=1000 {
        let from = oid - 500;
        let list: Vec<String> = (0..20).map(|at| format!("t{from}.c{at}")).collect();
        let text = format!(" SELECT {}\n   FROM public.t{from}\n  WHERE (t{from}.c1 > 'x'::text);", list.join(", "));
        let mut view = shop::view(oid, &format!("public.v{oid}"), &columns.join(", "), &[from], &text);
        view.kind = RelKind::View;
        contents.relations.push(view);
    }
    derive(&mut contents);
    let views = contents.relations.iter().filter(|relation| relation.kind == RelKind::View);
    for (column, number) in views.flat_map(|view| view.columns.iter().zip(1..)) {
        let derived = column.derived.as_ref().expect("derived");
        assert!(derived.exact && derived.sources.columns()[0].number == number);
    }
}

#[test]
fn the_relations_that_a_statement_names_are_told() {
    let relations = |text: &str| {
        let reading = read(text, Dialect::Postgres, &SCOPE, &Limits::default());
        let all = reading.statements.iter().flat_map(|statement| statement.lineage.relations.clone());
        all.collect::<Vec<_>>()
    };
    assert_eq!(
        relations("SELECT 1 FROM v_people, ONLY customers WHERE id IN (SELECT id FROM hr.people)"),
        [1, 202, 207]
    );
    assert_eq!(relations("WITH people AS (SELECT 1) INSERT INTO wide SELECT * FROM people"), [208]);
    assert_eq!(relations("COPY people FROM STDIN"), [200]);
    assert_eq!(relations("TRUNCATE people, wide"), [200, 208]);
    assert_eq!(relations("CREATE TABLE x (a int REFERENCES customers (id)) INHERITS (wide)"), [1, 208]);
    assert_eq!(relations("DECLARE c CURSOR FOR SELECT 1 FROM wide"), [208]);
    assert_eq!(relations("LOCK TABLE people"), [200]);
    assert_eq!(relations("SELECT 1"), Vec::<u32>::new());
}

/// An extension's `=` for a type of its own is not meant where both sides are of built-in types, and is where one is not.
#[test]
fn an_operator_for_users_types_is_meant_for_them_alone() {
    let mut contents = contents();
    contents.operators.push(portcullis_model::catalogue::UserOperator {
        schema: Name::canonical("public"),
        name: Name::canonical("="),
        function: 303,
    });
    let scope = Scope { catalogue: Arc::new(Catalogue::new(2, contents)), ..shop::scope() };
    let uses = |text: &str| {
        let reading = read(text, Dialect::Postgres, &scope, &Limits::default());
        shown(text, &reading.statements[0].lineage)
    };
    assert_eq!(uses("SELECT 1 FROM customers WHERE id = 5"), "?column?: 0 | eq customers.id; value customers.id 5");
    assert_eq!(
        uses("SELECT 1 FROM customers WHERE email = 'x'"),
        "?column?: 0 | if customers.email+public.ci_eq(); value customers.email 'x'"
    );
    assert_eq!(uses("SELECT 1 FROM people JOIN hr.people h USING (id)"), "?column?: 0 | if people.id+hr.people.id");
    assert_eq!(
        uses("SELECT 1 FROM people WHERE ssn = upper(name)"),
        "?column?: 0 | if people.name+people.ssn+public.ci_eq()",
        "what a function returns could be of any type"
    );
}

/// `(x).f` is the call `f(x)`: whatever the function and the value, it uses no less.
#[test]
fn column_notation_uses_no_less_than_the_call() {
    let conditions = |text: &str| -> BTreeSet<ColumnId> {
        let reading = read(text, Dialect::Postgres, &SCOPE, &Limits::default());
        assert_eq!(reading.fault, None, "{text}");
        let uses = reading.statements[0].lineage.uses.iter().filter(|used| used.usage == Usage::Condition);
        uses.flat_map(|used| used.sources.columns().to_vec()).collect()
    };
    let values =
        ["left(ssn, 1)", "string_to_array(left(ssn, 1), '9')", "CASE WHEN left(ssn, 1) = '9' THEN '{}'::json END"];
    let table = include_str!("../../data/functions.tsv");
    let names = table.lines().filter_map(|line| line.strip_prefix("pg_catalog\t")?.split_once("\tpure"));
    for (name, _) in names {
        for value in values {
            let call = conditions(&format!("SELECT \"{name}\"({value}) FROM people"));
            let dotted = conditions(&format!("SELECT ({value}).\"{name}\" FROM people"));
            assert!(dotted.is_superset(&call), "{name} of {value}");
        }
    }
}

/// Other dialects, and texts that are not read, say that they are not followed.
#[test]
fn what_is_not_followed_says_so() {
    for (text, dialect) in [("SELECT a FROM t", Dialect::MySql), ("SELECT FROM WHERE", Dialect::Postgres)] {
        let reading = read(text, dialect, &SCOPE, &Limits::default());
        assert_eq!(*reading.statements[0].lineage, Lineage::untold(), "{text}");
    }
    let unknown = read("SELECT a FROM t WHERE b = 1", Dialect::Postgres, &Scope::unknown(), &Limits::default());
    let lineage = &unknown.statements[0].lineage;
    assert!(lineage.unknown && lineage.all_outputs().is_unknown());
    assert!(lineage.uses.iter().all(|used| used.sources.is_unknown()));
}

/// Names and sets that grow with each step must not make work grow faster than the text.
#[test]
fn texts_that_multiply_are_followed_in_bounded_work() {
    let doubling: Vec<String> =
        (1..40).map(|at| format!("a{at} AS (SELECT x.*, y.* FROM a{} x, a{} y)", at - 1, at - 1)).collect();
    let text = format!("WITH a0 AS (SELECT * FROM people), {} SELECT * FROM a39", doubling.join(", "));
    let reading = read(&text, Dialect::Postgres, &SCOPE, &Limits::default());
    let all = reading.statements[0].lineage.all_outputs();
    assert!(all.columns().contains(&ColumnId { relation: 200, number: 3 }));
    let nested = (0..60).fold("ssn".to_owned(), |inner, _| format!("coalesce({inner}, {})", "name"));
    assert!(told(&format!("SELECT {nested} FROM people")).starts_with("coalesce: people.name+people.ssn"));
    let recursive: Vec<String> = (0..10)
        .map(|at| {
            format!(
                "r{at} AS (SELECT * FROM people UNION ALL SELECT * FROM r{at} WHERE EXISTS (SELECT 1 FROM r{}))",
                (at + 1) % 10
            )
        })
        .collect();
    let text = format!("WITH RECURSIVE {} SELECT ssn FROM r0", recursive.join(", "));
    assert!(told(&text).starts_with("ssn:"));
}
