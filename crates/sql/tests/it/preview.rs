//! What is asked about the rows that a statement would write, over the catalogue of the small shop.

use crate::shop;
use portcullis_sql::{Foresight, Limits, Question, Scope, SearchPath, foresee};
use std::collections::BTreeSet;
use std::sync::Arc;

fn asked(text: &str, scope: &Scope) -> Result<Question, String> {
    match foresee(text, scope, &Limits::default()) {
        Foresight::Ask(question) => Ok(question),
        Foresight::Untold(why) => Err(why.to_string()),
    }
}

#[test]
fn one_plain_write_is_asked_about_by_its_own_text_and_counted_by_its_own_condition() {
    for (text, relations, count) in [
        ("DELETE FROM scratch WHERE id = $1", vec![7], "SELECT pg_catalog.count(*) FROM scratch WHERE id = $1"),
        (
            "DELETE FROM ONLY public.scratch AS \"S\" WHERE \"S\".n IN (1, 2)",
            vec![7],
            "SELECT pg_catalog.count(*) FROM ONLY public.scratch \"S\" WHERE \"S\".n IN (1, 2)",
        ),
        ("UPDATE scratch SET n = $1", vec![7], "SELECT pg_catalog.count(*) FROM scratch"),
        (
            "UPDATE scratch SET n = o.id FROM orders o WHERE o.id = scratch.id AND lower(body) LIKE 'a%' RETURNING n",
            vec![7, 3],
            "SELECT pg_catalog.count(DISTINCT (scratch.tableoid, scratch.ctid)) FROM scratch, orders o WHERE o.id = scratch.id \
             AND lower(body) LIKE 'a%'",
        ),
        (
            "WITH o AS (SELECT id FROM orders) DELETE FROM scratch s USING o WHERE o.id = s.id",
            vec![7, 3],
            "WITH o AS (SELECT id FROM orders) SELECT pg_catalog.count(DISTINCT (s.tableoid, s.ctid)) FROM scratch s, o \
             WHERE o.id = s.id",
        ),
        (
            "INSERT INTO scratch (id) SELECT id FROM orders LIMIT 3",
            vec![7, 3],
            "SELECT pg_catalog.count(*) FROM (SELECT id FROM orders LIMIT 3) rows",
        ),
    ] {
        let question = asked(&format!(" {text} ; -- end"), &shop::scope()).unwrap();
        assert_eq!(question.plan, format!("EXPLAIN (FORMAT JSON) {text}"));
        assert_eq!(question.count.as_deref(), Some(count), "{text}");
        let named: BTreeSet<_> = question.relations.into_iter().collect();
        assert_eq!(named, relations.into_iter().collect(), "{text}");
    }
}

#[test]
fn what_cannot_be_counted_is_only_planned() {
    for text in [
        "MERGE INTO scratch USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
        "INSERT INTO scratch (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET n = 2",
        "INSERT INTO scratch (id) SELECT 1 ON CONFLICT DO NOTHING",
    ] {
        assert_eq!(asked(text, &shop::scope()).unwrap().count, None, "{text}");
    }
    // A write never goes to a WITH query, and a SELECT always does.
    for text in [
        "WITH scratch AS (SELECT 1 AS id WHERE false) DELETE FROM scratch",
        "WITH scratch AS (SELECT 1 AS id WHERE false) DELETE FROM scratch s WHERE s.id = 1",
        "WITH scratch AS (SELECT 1 AS id WHERE false) UPDATE scratch SET n = 1 FROM orders o WHERE o.id = scratch.id",
        "WITH RECURSIVE a AS (SELECT 1 AS id), scratch AS (SELECT id FROM a) DELETE FROM scratch USING orders o",
    ] {
        assert_eq!(asked(text, &shop::scope()).unwrap().count, None, "{text}");
    }
    let named = "WITH scratch AS (SELECT 1 AS id) DELETE FROM public.scratch";
    let count = "WITH scratch AS (SELECT 1 AS id) SELECT pg_catalog.count(*) FROM public.scratch";
    assert_eq!(asked(named, &shop::scope()).unwrap().count.as_deref(), Some(count));
    let inner = "DELETE FROM scratch WHERE id IN (WITH scratch AS (SELECT 1 AS id) SELECT id FROM scratch)";
    assert!(
        asked(inner, &shop::scope())
            .unwrap()
            .count
            .is_some_and(|count| count.starts_with("SELECT pg_catalog.count(*) FROM scratch "))
    );
    // What is random comes out another way next time.
    for text in ["DELETE FROM scratch WHERE random() < 0.5", "DELETE FROM scratch WHERE gen_random_uuid() IS NULL"] {
        assert_eq!(asked(text, &shop::scope()).unwrap().count, None, "{text}");
    }
    let long = format!("DELETE FROM scratch WHERE body = '{}'", "x".repeat(9000));
    assert_eq!(asked(&long, &shop::scope()).unwrap().count, None);
}

#[test]
fn rows_that_are_listed_are_known_unless_one_may_be_many() {
    for (text, known) in [
        ("INSERT INTO scratch (id) VALUES (1), (2), (3)", Some(3)),
        ("INSERT INTO scratch DEFAULT VALUES", Some(1)),
        ("INSERT INTO scratch (id) VALUES (abs(1)), (2)", Some(2)),
        ("INSERT INTO scratch (id) VALUES (abs(1))", None),
        // A function that returns a row for each element.
        ("INSERT INTO scratch (id) VALUES (('{1,2}'::int[]).unnest)", None),
        ("INSERT INTO scratch (id) VALUES (($1::int[]).unnest)", None),
        ("INSERT INTO scratch (id) SELECT 1", None),
        ("DELETE FROM scratch", None),
    ] {
        let question = asked(text, &shop::scope()).unwrap();
        assert_eq!(question.known, known, "{text}");
        assert!(known.is_none() || question.count.is_none(), "{text}");
    }
}

#[test]
fn a_count_that_reads_back_as_something_else_is_none() {
    for (text, whole) in [
        // Printed as `char`, which is of one character.
        ("DELETE FROM scratch WHERE body::pg_catalog.bpchar LIKE '__%'", false),
        ("DELETE FROM scratch WHERE body = ANY (ARRAY(SELECT body::pg_catalog.bpchar FROM scratch))", false),
        ("INSERT INTO scratch (id) SELECT id FROM scratch WHERE body::pg_catalog.bpchar LIKE '__%'", false),
        ("DELETE FROM scratch WHERE body::char LIKE '__%'", true),
        ("DELETE FROM scratch WHERE body::bpchar LIKE '__%'", true),
        ("DELETE FROM scratch WHERE body = 'location: 5' OR id IN (1, 2)", true),
    ] {
        assert_eq!(asked(text, &shop::scope()).unwrap().count.is_some(), whole, "{text}");
    }
}

#[test]
fn nothing_is_asked_where_anything_but_the_servers_own_pure_code_could_run() {
    for (text, why) in [
        ("DELETE FROM scratch; DELETE FROM scratch", "it is one of several"),
        ("DELETE FROM scratch WHERE order_total(id) > 1", "it would also execute"),
        ("DELETE FROM scratch WHERE id IN (SELECT nextval('orders_id_seq'))", "it would also execute"),
        ("DELETE FROM scratch WHERE pg_sleep(1) IS NULL", "it would also execute"),
        ("DELETE FROM scratch WHERE body = 'x'::email", "it"),
        ("DELETE FROM scratch WHERE CAST(body AS customers) IS NULL", "it names a type"),
        ("DELETE FROM far_orders", "it reaches a foreign table"),
        ("DELETE FROM scratch USING far_orders", "it reaches a foreign table"),
        ("DELETE FROM scratch USING pg_authid c", "it reaches the server's own"),
        ("INSERT INTO ruled (id) VALUES (1)", "it writes in more"),
        ("DELETE FROM scratch WHERE CURRENT OF c", "it is about a row of a cursor"),
        ("PREPARE p AS DELETE FROM scratch", "it is not one plain"),
        ("WITH d AS (DELETE FROM scratch RETURNING id) SELECT id FROM d", "it is not one plain"),
        ("COPY scratch FROM STDIN", "it is not one plain"),
        ("EXPLAIN ANALYZE DELETE FROM scratch", "it is not one plain"),
        ("SELECT 1", "it is not one plain"),
        ("DELETE FROM nowhere", "it could not be read"),
        ("DELETE scratch", "it could not be read"),
    ] {
        let told = asked(text, &shop::scope()).unwrap_err();
        assert!(told.starts_with(why), "{text}: {told}");
    }
}

#[test]
fn a_statement_that_could_tell_its_preview_from_itself_has_none() {
    for condition in [
        "current_setting('transaction_read_only') = 'off'",
        "pg_catalog.current_setting('statement_timeout') = '0'",
        "current_setting('application_name') = 'psql'",
        "current_query() LIKE 'DELETE%'",
        "pg_backend_pid() > 0",
        "inet_client_port() = 1",
        "inet_client_addr() IS NULL",
        "pg_current_xact_id_if_assigned() IS NULL",
        "txid_current_if_assigned() IS NULL",
        "EXISTS (SELECT FROM pg_listening_channels())",
        "EXISTS (SELECT FROM pg_show_all_settings() s WHERE s.name = 'jit')",
        "pg_my_temp_schema() = 0",
        "(current_schemas(true))[1] = 'pg_catalog'",
        "session_user = 'x'",
        "clock_timestamp() > now()",
        "statement_timestamp() = now()",
        "(body).current_setting IS NULL",
        "scratch.current_query IS NULL",
        "pg_advisory_unlock_all() IS NULL",
    ] {
        let told = asked(&format!("DELETE FROM scratch WHERE id = 1 OR {condition}"), &shop::scope()).unwrap_err();
        let executes = told.starts_with("it would also execute function pg_catalog.current_setting");
        assert!(told == "it asks about its own session" || executes, "{condition}: {told}");
    }
    let sets = "DELETE FROM scratch WHERE set_config('statement_timeout', '0', true) IS NOT NULL";
    assert_eq!(asked(sets, &shop::scope()).unwrap_err(), "it changes what its session is");
    let sample = "DELETE FROM scratch USING orders TABLESAMPLE bernoulli (10)";
    assert_eq!(asked(sample, &shop::scope()).unwrap_err(), "it takes a sample of a table");
    for text in [
        "DELETE FROM scratch WHERE now() > '2026-01-01'",
        "DELETE FROM scratch WHERE CURRENT_DATE > '2026-01-01'",
        "DELETE FROM scratch WHERE 'NOW'::timestamptz > '2026-01-01'",
    ] {
        assert!(asked(text, &shop::scope()).unwrap().clock, "{text}");
    }
    assert!(!asked("DELETE FROM scratch WHERE id = 1", &shop::scope()).unwrap().clock);
}

#[test]
fn every_name_that_may_mean_something_of_users_is_told() {
    let text = "DELETE FROM scratch s WHERE lower(body) || 'x' LIKE 'a%' AND s.n % 2 = 0 AND (s.id)::bigint > abs(-1)";
    let mentioned = asked(text, &shop::scope()).unwrap().mentioned;
    let all = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    assert_eq!(all(&mentioned.functions), "abs id lower n");
    assert_eq!(all(&mentioned.operators), "% < <= <> = > >= || ~~");
    assert_eq!(all(&mentioned.types), "int8");
}

#[test]
fn nothing_is_asked_where_another_session_would_mean_something_else() {
    let text = "DELETE FROM public.scratch";
    let temporary = Arc::new(BTreeSet::from([portcullis_model::Name::canonical("t")]));
    for scope in [
        Scope { temporary, ..shop::scope() },
        Scope { search_path: SearchPath::Unknown, ..shop::scope() },
        Scope { uncertain: true, ..shop::scope() },
        Scope::unknown(),
    ] {
        asked(text, &scope).unwrap_err();
    }
    asked(text, &shop::scope()).unwrap();
}

#[test]
fn deep_and_odd_texts_end_nothing() {
    for text in [
        format!("DELETE FROM scratch WHERE {}", "NOT ".repeat(1500) + "active"),
        format!("DELETE FROM scratch WHERE id = {}1", "- ".repeat(3000)),
        format!("DELETE FROM scratch WHERE id = {}1{}", "(".repeat(3000), ")".repeat(3000)),
        format!(
            "DELETE FROM scratch WHERE id IN ({}1{})",
            "SELECT id FROM scratch WHERE id IN (".repeat(150),
            ")".repeat(150)
        ),
    ] {
        let _any = foresee(&text, &shop::scope(), &Limits::default());
    }
}
