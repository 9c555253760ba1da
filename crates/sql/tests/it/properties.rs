//! Properties: whatever the text, reading ends, gives operations, and hides nothing that stands behind it.

use crate::shop;
use portcullis_sql::{Dialect, Limits, Scope, fuzz_read, read};
use proptest::prelude::*;
use std::sync::LazyLock;

static SHOP: LazyLock<Scope> = LazyLock::new(shop::scope);

const WORDS: &str = "SELECT|FROM|WHERE|AND|OR|NOT|(|)|,|;|*|.|=|<|>|'a'|1|$1|payments|orders|public|id|status|AS|a|b|\
    INSERT INTO|VALUES|UPDATE|SET|DELETE FROM|USING|RETURNING|WITH|RECURSIVE|UNION ALL|ORDER BY|LIMIT|IN|EXISTS|ANY|\
    ARRAY|[|]|::int|CASE|WHEN|THEN|ELSE|END|NULL|IS|LIKE|'%'|BETWEEN|ON CONFLICT|DO UPDATE|DO NOTHING|MERGE INTO|\
    WHEN MATCHED THEN DELETE|ON|JOIN|LEFT JOIN|EXPLAIN|ANALYZE|COPY|TO STDOUT|FROM STDIN|DROP TABLE|TRUNCATE|CASCADE|\
    CREATE|TABLE|VIEW|TEMP|PREPARE p AS|EXECUTE p|BEGIN|COMMIT|ROLLBACK|SET search_path =|ALTER TABLE|ADD|COLUMN|\
    GRANT|ON|TO|DECLARE c CURSOR FOR|FETCH c|purge_payments()|count(*)|--x\n|/*|*/|$$|E'\\''|ONLY|LATERAL|VALUES (1)";

const TEXTS: &str = include_str!("../../../../fixtures/sql/writes.tsv");

fn first_column(line: &str) -> String {
    line.split('\t').next().unwrap_or_default().to_owned()
}

fn text() -> impl Strategy<Value = String> {
    let words: Vec<&'static str> = WORDS.split('|').collect();
    let rows: Vec<String> = TEXTS.lines().filter(|line| !line.starts_with('#')).map(first_column).collect();
    let several = prop::collection::vec(prop::sample::select(rows), 1..4);
    prop_oneof![
        prop::collection::vec(prop::sample::select(words), 0..30).prop_map(|words| words.join(" ")),
        several.clone().prop_map(|texts| texts.join(";")),
        // A text cut in two and put together with another.
        (several, 0..200_usize).prop_map(|(texts, at)| {
            let half: String = texts[0].chars().take(at).collect();
            format!("{half} {}", texts.last().expect("one at least"))
        }),
        "\\PC{0,80}",
    ]
}

/// Conditions over two columns, constants and one another.
fn condition() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "id = 5",
        "id <> 5",
        "true",
        "id = id",
        "status LIKE '%'",
        "status LIKE 'a%'",
        "id IN (1, 2)",
        "id IS NULL",
        "id IS NOT NULL",
        "id > 5",
        "id <= 5",
        "id BETWEEN 1 AND 5",
        "random() > 0",
        "$1",
        "id = $1",
        "1 = 1",
        "id IN (SELECT id FROM orders)",
        "id IN (SELECT id FROM orders WHERE id = 3)",
        "status = 'x'",
    ]);
    leaf.prop_map(ToOwned::to_owned).prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|a| format!("(NOT {a})")),
        ]
    })
}

fn operations(text: &str) -> (bool, Vec<String>) {
    let reading = read(text, Dialect::Postgres, &SHOP, &Limits::default());
    (reading.fault.is_some(), reading.operations().iter().map(ToString::to_string).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_read(&bytes);
    }

    #[test]
    fn any_words_are_read(text in text()) {
        fuzz_read(text.as_bytes());
        let reading = read(&text, Dialect::Postgres, &SHOP, &Limits::default());
        prop_assert!(reading.statements.iter().all(|statement| !statement.operations.is_empty()));
        for statement in &reading.statements {
            prop_assert!(text.get(statement.span.clone()).is_some());
        }
    }

    #[test]
    fn a_delete_behind_any_text_is_seen(text in text()) {
        let (faulty, _) = operations(&text);
        if faulty {
            return Ok(());
        }
        let (faulty, operations) = operations(&format!("{text}\n; DELETE FROM public.payments"));
        let seen = operations.iter().any(|operation| {
            operation == "delete table public.payments +unbounded" || operation == "delete table ?.payments +unbounded"
        });
        prop_assert!(faulty || seen, "{:?}", operations);
    }

    /// Taken together with any condition by OR, a tautology bounds nothing; and nothing that is bounded becomes
    /// unbounded by AND.
    #[test]
    fn bounds_follow_logic(condition in condition()) {
        let unbounded = |condition: &str| {
            let (_, operations) = operations(&format!("DELETE FROM payments WHERE {condition}"));
            operations.iter().any(|operation| operation == "delete table public.payments +unbounded")
        };
        let with_true = format!("{condition} OR true");
        prop_assert!(unbounded(&with_true));
        let with_twin = format!("{condition} OR (NOT {condition})");
        prop_assert!(unbounded(&with_twin), "{}", with_twin);
        if !unbounded(&condition) {
            let narrower = format!("{condition} AND status <> 'y'");
            prop_assert!(!unbounded(&narrower));
        }
    }
}
