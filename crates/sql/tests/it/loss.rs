//! No loss: whatever shape a query has, a marked column that is written in it is among what flows somewhere.
//!
//! Queries are made of a small grammar over the catalogue of `lineage.rs`: aliases, column lists, WITH, LATERAL, joins,
//! set operations, whole rows, casts, functions, constructors. `code` stands for the marked column in every one of them,
//! under whatever name the shape gives it, and reaches the outermost select list or a clause that decides.

use crate::lineage::SCOPE;
use portcullis_model::{ColumnId, Sources};
use portcullis_sql::{Dialect, Limits, read};
use proptest::prelude::*;

/// `people.ssn`.
const MARKED: ColumnId = ColumnId { relation: 200, number: 3 };

/// A query whose one column, `v`, holds what came from the marked column.
fn carrier() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "SELECT ssn AS v FROM people",
        "SELECT p.ssn AS v FROM people p",
        "SELECT name AS v FROM people AS p(id, other, name)",
        "SELECT (p).ssn AS v FROM people p",
        "SELECT (coalesce(p)).ssn AS v FROM people p",
        "SELECT p AS v FROM people p",
        "SELECT ssn(p) AS v FROM people p",
        "TABLE people",
        "SELECT j.x AS v FROM (wide a CROSS JOIN people b) AS j(k, l, m, n, o, x)",
        "SELECT ssn AS v FROM people NATURAL JOIN wide",
        "SELECT ssn AS v FROM people JOIN hr.people h USING (ssn)",
        "SELECT (SELECT p).ssn AS v FROM people p",
    ]);
    let leaf = leaf.prop_map(|text| match text {
        "TABLE people" => "SELECT t.c AS v FROM (TABLE people) AS t(a, b, c)".to_owned(),
        text => text.to_owned(),
    });
    leaf.prop_recursive(5, 24, 2, |inner| {
        let wrap = prop::sample::select(vec![
            "SELECT q.v FROM (@) q",
            "SELECT * FROM (@) AS q(v)",
            "SELECT q.* FROM (@) q",
            "SELECT v FROM people CROSS JOIN LATERAL (@) q",
            "WITH people AS (@) SELECT v FROM people",
            "WITH c(w) AS MATERIALIZED (@) SELECT w AS v FROM c",
            "WITH RECURSIVE r(a, b) AS (SELECT 'x'::text, v::text FROM (@) q UNION ALL SELECT b, a FROM r) SELECT a AS v FROM r",
            "SELECT v::text FROM (@) q",
            "SELECT (q).v FROM (@) q",
            "SELECT (r).v FROM (SELECT q AS r FROM (@) q) s",
            "SELECT upper(v::text) || 'x' AS v FROM (@) q",
            "SELECT CASE WHEN v IS NULL THEN 1 END AS v FROM (@) q",
            "SELECT to_jsonb(q) ->> 'v' AS v FROM (@) q",
            "SELECT q.to_jsonb AS v FROM (@) q",
            "SELECT row_to_json(ROW(1, q.v)) AS v FROM (@) q",
            "SELECT (ARRAY[v])[1] AS v FROM (@) q",
            "SELECT max(v::text) AS v FROM (@) q",
            "SELECT count(*) FILTER (WHERE v IS NOT NULL) AS v FROM (@) q",
            "SELECT lag(1) OVER (ORDER BY v) AS v FROM (@) q",
            "SELECT (SELECT v) AS v FROM (@) q",
            "SELECT ARRAY(@) AS v",
            "SELECT (@ LIMIT 1) AS v",
            "SELECT e.value AS v FROM (@) q, jsonb_each_text(to_jsonb(q)) e",
            "SELECT x AS v FROM (@) q CROSS JOIN LATERAL (VALUES (q.v)) t(x)",
            "SELECT b AS v FROM (@) q CROSS JOIN LATERAL (VALUES (1, q.*)) t(a, b)",
            "SELECT coalesce(v, v) AS v FROM (@) q",
            "SELECT pure_f(v) AS v FROM (@) q",
            "SELECT v FROM wide FULL JOIN (@) q ON true",
            "SELECT (unnest(ARRAY[q])).v FROM (@) q",
            "SELECT h.v FROM (SELECT q FROM (@) q) s, LATERAL (SELECT (s.q).v) h",
            "INSERT",
        ]);
        let both = prop::sample::select(vec!["UNION ALL", "UNION", "EXCEPT", "INTERSECT ALL"]);
        prop_oneof![
            4 => (wrap, inner.clone()).prop_map(|(wrap, inner)| match wrap {
                "INSERT" => format!("WITH w AS (INSERT INTO scratch (body) {inner} RETURNING body) SELECT body AS v FROM w"),
                wrap => wrap.replace('@', &inner),
            }),
            1 => (inner.clone(), both).prop_map(|(inner, both)| {
                format!("SELECT * FROM (SELECT 'x' {both} SELECT v FROM ({inner}) q) AS u(v)")
            }),
        ]
    })
}

fn holds(sources: &Sources) -> bool {
    let row = ColumnId::row(MARKED.relation);
    sources.is_unknown() || sources.columns().iter().any(|column| *column == MARKED || *column == row)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_marked_column_that_reaches_the_output_is_among_its_sources(query in carrier()) {
        let reading = read(&query, Dialect::Postgres, &SCOPE, &Limits::default());
        prop_assert!(reading.fault.is_none(), "{:?}: {}", reading.fault, query);
        let lineage = &reading.statements[0].lineage;
        prop_assert!(holds(&lineage.all_outputs()), "{}\n{:?}", query, lineage);
    }

    #[test]
    fn a_marked_column_that_decides_is_a_use(query in carrier(), at in 0..10_usize) {
        let shapes = [
            "SELECT 1 FROM (@) q WHERE v::text > 'x'",
            "SELECT 1 FROM (@) q ORDER BY v",
            "SELECT 1 FROM (@) q GROUP BY v",
            "SELECT DISTINCT v FROM (@) q",
            "SELECT 1 FROM wide JOIN (@) q ON q.v IS NULL",
            "SELECT 1 FROM wide WHERE EXISTS (SELECT 1 FROM (@) q WHERE q IS NOT NULL)",
            "SELECT 1 FROM wide LIMIT (SELECT length(v::text) FROM (@) q LIMIT 1)",
            "UPDATE wide SET a = 1 FROM (@) q WHERE q.v::text = wide.b",
            "INSERT INTO wide (b) SELECT v::text FROM (@) q",
            "SELECT 1 / length(v::text) FROM (@) q",
        ];
        let text = shapes[at].replace('@', &query.replace("WITH w AS (INSERT INTO scratch (body) ", "WITH w AS (")
            .replace(" RETURNING body)", ")").replace("SELECT body AS v FROM w", "SELECT v FROM w"));
        let reading = read(&text, Dialect::Postgres, &SCOPE, &Limits::default());
        prop_assert!(reading.fault.is_none(), "{:?}: {}", reading.fault, text);
        let lineage = &reading.statements[0].lineage;
        prop_assert!(lineage.uses.iter().any(|used| holds(&used.sources)), "{}\n{:?}", text, lineage);
    }
}
