//! Whether a statement's command tag says how many rows it wrote, over the catalogue of the small shop.

use crate::shop;
use portcullis_model::Counted;
use portcullis_sql::{Dialect, Limits, read};

/// `whole`, `nothing`, or why not, in few words.
fn counted(text: &str) -> String {
    let reading = read(text, Dialect::Postgres, &shop::scope(), &Limits::default());
    assert_eq!(reading.fault, None, "{text}");
    match &reading.statements[0].counted {
        Counted::Whole => "whole".to_owned(),
        Counted::Nothing => "nothing".to_owned(),
        Counted::Outer { why } => format!("outer: {why}"),
        Counted::Not { why } => format!("not: {why}"),
    }
}

#[test]
fn one_plain_write_is_counted_and_nothing_else_is() {
    for (text, expected) in [
        ("DELETE FROM scratch WHERE id = 1", "whole"),
        ("UPDATE scratch SET n = 1", "whole"),
        ("INSERT INTO scratch (id) SELECT id FROM orders", "whole"),
        ("INSERT INTO scratch (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET n = 2", "whole"),
        ("MERGE INTO scratch USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE", "whole"),
        ("WITH o AS (SELECT id FROM orders) DELETE FROM scratch USING o WHERE o.id = scratch.id RETURNING *", "whole"),
        ("COPY scratch FROM STDIN", "whole"),
        ("UPDATE parents SET name = 'x'", "whole"),
        ("PREPARE p AS DELETE FROM scratch", "nothing"),
        ("EXPLAIN DELETE FROM scratch", "nothing"),
        ("EXPLAIN (COSTS off) DELETE FROM scratch", "nothing"),
        ("EXPLAIN ANALYSE DELETE FROM scratch", "not: EXPLAIN"),
        ("EXPLAIN (\"analyze\") DELETE FROM scratch", "not: EXPLAIN"),
        ("EXPLAIN (ANALYSE, COSTS off) DELETE FROM scratch", "not: EXPLAIN"),
        ("WITH d AS (DELETE FROM scratch RETURNING id) SELECT id FROM d", "not: it is not one plain"),
        ("WITH d AS (DELETE FROM scratch RETURNING id) DELETE FROM scratch USING d", "not: it writes in more"),
        ("COPY (DELETE FROM scratch RETURNING id) TO STDOUT", "not: it is not one plain"),
        ("COPY scratch FROM '/etc/passwd'", "not: it is not one plain"),
        ("COPY scratch FROM PROGRAM 'id'", "not: it is not one plain"),
        ("DO $$BEGIN DELETE FROM scratch; END$$", "not: it is not one plain"),
        ("TRUNCATE scratch", "not: it is not one plain"),
        ("SELECT id INTO TEMP t FROM scratch", "not: it is not one plain"),
        ("UPDATE scratch SET n = order_total(1)", "not: it would also execute"),
        ("DELETE FROM scratch WHERE pg_advisory_lock(1) IS NULL", "not: it would also"),
        ("INSERT INTO ruled (id) VALUES (1)", "not: it writes in more"),
        ("DELETE FROM parents", "outer: a foreign key of kids"),
        ("DELETE FROM kids", "outer: a foreign key of toys"),
        ("DELETE FROM far_orders", "outer: far_orders is a foreign table"),
    ] {
        let found = counted(text);
        assert!(found.starts_with(expected), "{text}: {found}");
    }
}

#[test]
fn a_target_that_is_not_known_is_not_counted() {
    let reading = read("DELETE FROM t", Dialect::Postgres, &portcullis_sql::Scope::unknown(), &Limits::default());
    assert!(matches!(reading.statements[0].counted, Counted::Not { .. }));
}
