//! The same text in different scopes, and scopes that change along a text.

use crate::shop;
use portcullis_model::catalogue::{RelKind, Type};
use portcullis_model::{Catalogue, Fault, Name};
use portcullis_sql::{Dialect, Effect, Limits, Reading, Scope, SearchPath, SearchPathValue, read};
use std::collections::BTreeSet;
use std::sync::Arc;

fn reading(text: &str, scope: &Scope) -> Reading {
    read(text, Dialect::Postgres, scope, &Limits::default())
}

fn operations(text: &str, scope: &Scope) -> Vec<String> {
    let reading = reading(text, scope);
    assert_eq!(reading.fault, None, "{text}");
    reading.operations().iter().map(ToString::to_string).collect()
}

fn path(schemas: &[&str]) -> SearchPath {
    SearchPath::Known(schemas.iter().map(|schema| Name::canonical(*schema)).collect())
}

#[test]
fn a_name_without_a_catalogue_is_in_an_unknown_schema_unless_one_is_assumed() {
    let nothing = Scope::unknown();
    assert_eq!(operations("SELECT a FROM t", &nothing), ["read table ?.t (a)"]);
    assert_eq!(operations("SELECT a FROM s.t", &nothing), ["read table s.t (a)"]);
    assert_eq!(operations("SELECT relname FROM pg_class", &Scope::assuming(Name::canonical("public"))), ["session"]);
    let assumed = Scope::assuming(Name::canonical("public"));
    assert_eq!(operations("SELECT a FROM t", &assumed), ["read table public.t (a)"]);
    assert_eq!(
        operations("SELECT upper(a), f(b) FROM t", &assumed),
        ["execute function ?.f", "read table public.t (a, b)"]
    );
    assert_eq!(
        operations("DELETE FROM t WHERE id = 3", &assumed),
        ["delete table public.t", "read table public.t (id)"]
    );
}

/// Column notation: behind a value that has no fields a name is a function; behind others it may be a field.
#[test]
fn without_a_catalogue_a_name_behind_a_plain_value_is_a_call() {
    let assumed = Scope::assuming(Name::canonical("public"));
    assert_eq!(operations("SELECT (1).archive", &assumed), ["execute function ?.archive"]);
    assert_eq!(operations("SELECT ('x'::text).archive", &assumed), ["execute function ?.archive"]);
    assert_eq!(operations("SELECT ('x'::text).upper, (1).sign", &assumed), ["session"]);
    assert_eq!(operations("SELECT (a).zip, t.b FROM t", &assumed), ["read table public.t (a, b)"]);
    let bounded = |condition: &str| {
        let text = format!("DELETE FROM t WHERE {condition}");
        operations(&text, &assumed).iter().all(|operation| !operation.contains("+unbounded"))
    };
    for condition in ["t.name = 'x'", "t.count = 5", "(a).zip = '8010'", "(a).name = 'x'", "(t.a).kind = 'x'"] {
        assert!(bounded(condition), "{condition}");
    }
    for condition in ["t.pg_typeof = 't'::regtype", "t.pg_column_size > 0", "(a).sign = 1", "(a).jsonb_typeof = 'x'"] {
        assert!(!bounded(condition), "{condition}");
    }
}

#[test]
fn a_path_decides_which_relation_and_which_function_a_name_means() {
    let hr = Scope { search_path: path(&["hr", "public"]), ..shop::scope() };
    assert_eq!(operations("SELECT grade FROM reviews", &hr), ["read table hr.reviews (grade)"]);
    let evil = Scope { search_path: path(&["evil", "public"]), ..shop::scope() };
    assert_eq!(
        operations("SELECT upper(title) FROM products", &evil),
        ["execute function evil.upper", "read table public.products (title)"]
    );
    assert_eq!(operations("SELECT pg_catalog.upper('x')", &evil), ["session"]);
    assert_eq!(operations("SELECT upper('x')", &shop::scope()), ["session"]);
    let lost = Scope { search_path: SearchPath::Unknown, ..shop::scope() };
    assert_eq!(operations("SELECT upper('x')", &lost), ["execute function evil.upper"]);
    assert_eq!(
        operations("SELECT grade FROM reviews", &lost),
        ["read table ?.reviews (grade)", "read table hr.reviews (grade)"]
    );
}

#[test]
fn what_older_servers_take_for_a_call_counts_as_one_where_a_user_made_it() {
    let called = [
        ("json_array(5)", "json_array"),
        ("json_arrayagg(5)", "json_arrayagg"),
        ("json_object()", "json_object"),
        ("json_object('{a,1}')", "json_object"),
        ("json_scalar(5)", "json_scalar"),
        ("json_serialize('1')", "json_serialize"),
        ("json('1')", "json"),
        ("json_value('1', '$')", "json_value"),
        ("json_query('1', '$')", "json_query"),
        ("json_exists('1', '$')", "json_exists"),
        ("merge_action()", "merge_action"),
    ];
    let mut contents = shop::contents();
    for (at, (_, name)) in (1000_u32..).zip(called) {
        contents.functions.push(shop::function(at, &format!("hr.{name}"), false));
    }
    contents.relations.push(shop::relation(900, "public.logins", RelKind::Table, "id int, system_user text"));
    let json = Type {
        oid: 70_099,
        schema: Name::canonical("hr"),
        name: Name::canonical("json"),
        relation: None,
        functions: vec![107],
    };
    contents.types.push(json);
    let catalogue = Arc::new(Catalogue::new(1, contents));
    let plain = Scope { catalogue: Arc::clone(&catalogue), ..shop::scope() };
    let hr = Scope { catalogue, search_path: path(&["public", "hr"]), ..shop::scope() };
    for (call, name) in called {
        let text = format!("SELECT {call}");
        assert_eq!(operations(&text, &plain), ["session"], "{call}");
        assert_eq!(operations(&text, &hr), [format!("execute function hr.{name}")], "{call}");
        let lineage = Arc::clone(&reading(&text, &hr).statements[0].lineage);
        assert_eq!(lineage.all_outputs().functions().len(), 1, "{call}");
        assert!(reading(&text, &plain).statements[0].lineage.all_outputs().functions().is_empty(), "{call}");
    }
    assert_eq!(operations("SELECT * FROM json_array(5) a", &hr), ["execute function hr.json_array"]);
    assert_eq!(operations("SELECT '1'::json", &plain), ["session"]);
    assert_eq!(operations("SELECT '1'::json", &hr), ["execute function public.email_check"]);
    let column = "SELECT upper(system_user) FROM logins";
    assert_eq!(operations(column, &plain), ["read table public.logins (system_user)"]);
    assert_eq!(reading(column, &plain).statements[0].lineage.all_outputs().columns().len(), 1);
    assert_eq!(operations("SELECT system_user, id FROM products", &plain), ["read table public.products (id)"]);
}

#[test]
fn a_temporary_relation_hides_every_other() {
    let scope = Scope { temporary: Arc::new(BTreeSet::from([Name::canonical("payments")])), ..shop::scope() };
    assert_eq!(operations("TRUNCATE payments", &scope), ["truncate table pg_temp.payments"]);
    assert_eq!(operations("TRUNCATE public.payments", &scope), ["truncate table public.payments"]);
    let last = Scope { search_path: path(&["public", "pg_temp"]), ..scope };
    assert_eq!(operations("TRUNCATE payments", &last), ["truncate table public.payments"]);
}

#[test]
fn a_missing_relation_is_a_fault_only_where_the_catalogue_is_fresh() {
    let text = "SELECT 1 FROM products, no_such_table";
    let fault =
        Some(Fault::Missing { message: "relation \"no_such_table\" does not exist".into(), position: Some(25) });
    assert_eq!(reading(text, &shop::scope()).fault, fault);
    let uncertain = Scope { uncertain: true, ..shop::scope() };
    assert_eq!(operations("SELECT a FROM no_such_table", &uncertain), ["read table ?.no_such_table (a)"]);
    // Made by DDL that the catalogue does not have yet: it could be a view of anything.
    assert_eq!(operations("SELECT a FROM hr.fresh", &uncertain), ["read table ?.fresh (a)"]);
    let unknown = Scope { catalogue: Arc::new(Catalogue::unknown()), ..shop::scope() };
    assert_eq!(reading(text, &unknown).fault, None);
}

#[test]
fn what_a_dropped_relation_hid_may_be_meant_until_the_catalogue_is_fresh() {
    let mut contents = shop::contents();
    contents.relations.push(shop::relation(901, "hr.products", RelKind::Table, "id int, title text"));
    let catalogue = Arc::new(Catalogue::new(1, contents));
    let fresh = Scope { catalogue, search_path: path(&["hr", "public"]), ..shop::scope() };
    let text = "SELECT title FROM products";
    assert_eq!(operations(text, &fresh), ["read table hr.products (title)"]);
    let both =
        ["read table ?.products (title)", "read table public.products (title)", "read table hr.products (title)"];
    assert_eq!(operations(text, &Scope { uncertain: true, ..fresh.clone() }), both);
    assert_eq!(operations(&format!("DROP TABLE hr.products; {text}"), &fresh)[1..], both);
    // What hides nothing is what it was.
    let uncertain = Scope { uncertain: true, ..shop::scope() };
    assert_eq!(operations(text, &uncertain), ["read table public.products (title)"]);
}

#[test]
fn the_path_moves_along_a_text() {
    let scope = shop::scope();
    assert_eq!(
        operations("SET search_path = hr; SELECT grade FROM reviews", &scope),
        ["session", "read table hr.reviews (grade)"]
    );
    assert_eq!(
        operations("SELECT set_config('search_path', 'hr, public', false); DELETE FROM reviews", &scope),
        ["session", "delete table hr.reviews +unbounded"]
    );
    for unknown in ["SET search_path = DEFAULT", "RESET ALL", "SET ROLE dba", "ROLLBACK", "COMMIT", "DO ''"] {
        let text = format!("{unknown}; DELETE FROM payments");
        let operations = operations(&text, &scope);
        assert!(operations.contains(&"delete table ?.payments +unbounded".to_owned()), "{text}: {operations:?}");
    }
    assert_eq!(
        operations("BEGIN; DELETE FROM payments WHERE id = 1; COMMIT; SELECT id FROM orders", &scope),
        ["session", "delete table public.payments", "read table public.payments (id)", "read table public.orders (id)"]
    );
    let chained = "BEGIN; SET LOCAL search_path = evil; COMMIT; SELECT id FROM orders";
    assert!(operations(chained, &scope).contains(&"read table ?.orders (id)".to_owned()));
}

#[test]
fn names_mean_the_same_behind_a_rollback_to_a_savepoint_behind_which_they_did() {
    let scope = shop::scope();
    let deletes = |text: &str, from: &str| {
        let operations = operations(&format!("{text}; DELETE FROM payments WHERE id = 1"), &scope);
        assert!(operations.contains(&format!("delete table {from}.payments")), "{text}: {operations:?}");
    };
    for known in [
        "BEGIN; SAVEPOINT a; UPDATE orders SET status = 'x' WHERE id = 3; ROLLBACK TO a",
        "SAVEPOINT a; ROLLBACK TO SAVEPOINT a; ROLLBACK TO a; RELEASE a",
        "SAVEPOINT a; SAVEPOINT b; RELEASE b; ROLLBACK TO a",
        "SAVEPOINT a; SAVEPOINT a; ROLLBACK TO a; RELEASE a; ROLLBACK TO a",
        "SAVEPOINT a; PREPARE p AS SELECT 1; DEALLOCATE ALL; SET statement_timeout = 5; ROLLBACK TO a",
    ] {
        deletes(known, "public");
    }
    for unknown in [
        "ROLLBACK TO a",
        "SAVEPOINT b; ROLLBACK TO a",
        "SAVEPOINT a; RELEASE a; ROLLBACK TO a",
        "SAVEPOINT a; SAVEPOINT b; ROLLBACK TO a; ROLLBACK TO b",
        "SAVEPOINT a; SET search_path = public; ROLLBACK TO a",
        "SAVEPOINT a; SET LOCAL search_path = public; SAVEPOINT a; RELEASE a; ROLLBACK TO a",
        "SAVEPOINT a; CREATE TABLE fresh (id int); ROLLBACK TO a",
        "SAVEPOINT a; CREATE TEMP TABLE fresh (id int); ROLLBACK TO a",
        "SAVEPOINT a; SET ROLE dba; ROLLBACK TO a",
        "SAVEPOINT a; COMMIT; ROLLBACK TO a",
        "SAVEPOINT a; EXECUTE p; ROLLBACK TO a",
    ] {
        deletes(unknown, "?");
    }
    let between = "SET search_path = hr; SAVEPOINT a; SELECT 1; ROLLBACK TO a; SELECT grade FROM reviews";
    assert_eq!(operations(between, &scope), ["session", "read table hr.reviews (grade)"]);
}

#[test]
fn what_ddl_touched_is_not_what_the_catalogue_says() {
    let scope = shop::scope();
    let made = operations("CREATE TABLE fresh (id int); INSERT INTO fresh VALUES (1)", &scope);
    assert_eq!(made, ["create table public.fresh", "insert table public.fresh (?)"]);
    let view = operations("CREATE VIEW v AS SELECT * FROM hr.reviews; DELETE FROM v", &scope);
    assert!(view.contains(&"delete table ?.v +unbounded".to_owned()), "{view:?}");
    let swapped = operations("DROP TABLE scratch; CREATE VIEW scratch AS SELECT 1; DELETE FROM public.scratch", &scope);
    assert!(swapped.contains(&"delete table ?.scratch +unbounded".to_owned()), "{swapped:?}");
    let renamed = operations("ALTER TABLE scratch RENAME TO s2; UPDATE s2 SET n = 1 WHERE id = 1", &scope);
    assert!(renamed.contains(&"update table ?.s2 (n)".to_owned()), "{renamed:?}");
    let other = operations("CREATE TABLE fresh (id int); SELECT id FROM orders", &scope);
    assert_eq!(other, ["create table public.fresh", "read table public.orders (id)"]);
    let temporary = operations("CREATE TEMP TABLE payments (id int); DELETE FROM payments", &scope);
    assert_eq!(temporary, ["create table pg_temp.payments", "delete table pg_temp.payments +unbounded"]);
    let gone = operations("CREATE TEMP TABLE payments (id int); DROP TABLE payments; DELETE FROM payments", &scope);
    assert!(gone.contains(&"delete table public.payments +unbounded".to_owned()), "{gone:?}");
    let back = operations("BEGIN; CREATE TEMP TABLE payments (id int); ROLLBACK; DELETE FROM payments", &scope);
    assert!(back.contains(&"delete table public.payments +unbounded".to_owned()), "{back:?}");
}

#[test]
fn effects_say_what_changed() {
    let effects = |text: &str| {
        let reading = reading(text, &shop::scope());
        reading.statements.into_iter().flat_map(|statement| statement.effects).collect::<Vec<_>>()
    };
    let named = Name::canonical;
    assert_eq!(effects("BEGIN"), [Effect::Begin]);
    let isolation = |name, local| Effect::Setting { name: named(name), local };
    assert_eq!(
        effects("BEGIN ISOLATION LEVEL REPEATABLE READ"),
        [Effect::Begin, isolation("transaction_isolation", true)]
    );
    assert_eq!(effects("START TRANSACTION READ ONLY, ISOLATION LEVEL READ COMMITTED"), [Effect::Begin]);
    assert_eq!(
        effects("SET TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE"),
        [isolation("transaction_isolation", true)]
    );
    assert_eq!(
        effects("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
        [isolation("default_transaction_isolation", false)]
    );
    assert_eq!(effects("COMMIT AND CHAIN"), [Effect::Commit { chain: true }]);
    assert_eq!(effects("ABORT"), [Effect::Rollback { chain: false }]);
    assert_eq!(effects("SAVEPOINT a"), [Effect::Savepoint(named("a"))]);
    assert_eq!(effects("ROLLBACK TO a"), [Effect::RollbackTo(named("a"))]);
    assert_eq!(effects("RELEASE a"), [Effect::Release(named("a"))]);
    assert_eq!(effects("COMMIT PREPARED 'x'"), [Effect::TwoPhase]);
    assert_eq!(
        effects("PREPARE p (int) AS DELETE FROM payments WHERE id = $1"),
        [Effect::Prepare { name: named("p"), text: "DELETE FROM payments WHERE id = $1".into() }]
    );
    assert_eq!(effects("DEALLOCATE ALL"), [Effect::Deallocate(None)]);
    assert_eq!(
        effects("DECLARE c CURSOR WITH HOLD FOR SELECT 1"),
        [Effect::DeclareCursor { name: named("c"), hold: true }]
    );
    assert_eq!(effects("CLOSE c"), [Effect::CloseCursor(Some(named("c")))]);
    assert_eq!(
        effects("CREATE TEMP TABLE t (id int)"),
        [Effect::CreatesTemporary(vec![named("t")]), Effect::ChangesCatalogue]
    );
    assert_eq!(effects("DISCARD ALL"), [Effect::DiscardAll]);
    assert_eq!(effects("DISCARD TEMP"), [Effect::DropsTemporary(None)]);
    assert_eq!(effects("SET ROLE x"), [Effect::Role]);
    assert_eq!(
        effects("SET LOCAL search_path = \"$user\", hr"),
        [
            Effect::SearchPath { value: SearchPathValue::List(vec![named("$user"), named("hr")]), local: true },
            Effect::Setting { name: named("search_path"), local: true },
        ]
    );
    assert_eq!(effects("SELECT 1"), []);
    assert!(!reading("SELECT 1", &shop::scope()).is_barrier());
    assert!(reading("SELECT 1; DROP TABLE payments", &shop::scope()).is_barrier());
    assert!(reading("COMMIT", &shop::scope()).writes());
    assert!(!reading("ROLLBACK", &shop::scope()).writes());
    let executed = reading("EXPLAIN ANALYZE EXECUTE p(1); CREATE TABLE t AS EXECUTE q", &shop::scope());
    let executes: Vec<_> = executed.statements.iter().flat_map(|statement| &statement.executes).collect();
    assert_eq!(executes, [&named("p"), &named("q")]);
    let fetched = reading("FETCH ALL c; MOVE d; DELETE FROM payments WHERE CURRENT OF e", &shop::scope());
    let fetches: Vec<_> = fetched.statements.iter().flat_map(|statement| &statement.fetches).collect();
    assert_eq!(fetches, [&named("c"), &named("d"), &named("e")]);
}
