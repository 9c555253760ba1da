//! What bounds a write where types, views and generated columns decide. The rest is in `fixtures/sql/bounds.tsv`.
//!
//! The catalogue is that of `shop.rs` with `typed` in it, which has a column of each kind, and views over it.

use crate::shop;
use portcullis_model::Name;
use portcullis_model::catalogue::{Catalogue, Contents, Oid, RelKind, Type};
use portcullis_sql::{Dialect, Limits, Scope, derive, read};
use std::sync::{Arc, LazyLock};

/// Columns of `typed` whose types `shop.rs` has no word for.
const TYPED: [(&str, Oid); 10] = [
    ("dur", 1186),
    ("clock", 1083),
    ("uid", 2950),
    ("mood", 70_002),
    ("rng", 3904),
    ("bits", 1562),
    ("ip", 869),
    ("words", 3614),
    ("ids", 1007),
    ("raw", 17),
];

fn contents() -> Contents {
    let mut contents = shop::contents();
    let plain = "id int, status text, doc jsonb, day date, at timestamptz, fixed text, made text";
    let names = TYPED.map(|(name, _)| name).join(", ");
    let mut typed = shop::relation(300, "public.typed", RelKind::Table, &format!("{plain}, {names}"));
    for column in &mut typed.columns {
        if let Some((_, oid)) = TYPED.iter().find(|(name, _)| *name == column.name.as_str()) {
            column.type_oid = *oid;
        }
        match column.name.as_str() {
            "fixed" => column.generated = Some("'x'::text".into()),
            "made" => column.generated = Some("lower(status)".into()),
            _ => {}
        }
    }
    let view = |oid, name: &str, columns: &str, reads: &[Oid], text: &str| {
        shop::view(oid, &format!("public.{name}"), columns, reads, text)
    };
    // A column of a composite type, and one of a domain that may be over one.
    let fields = shop::relation(309, "public.address", RelKind::CompositeType, "street text, zip text, sign int");
    let mut homes = shop::relation(310, "public.homes", RelKind::Table, "id int, address text, place text");
    (homes.columns[1].type_oid, homes.columns[2].type_oid) = (70_020, 70_021);
    for (oid, name, relation) in [(70_020, "address", Some(309)), (70_021, "place", None)] {
        let (schema, name) = (Name::canonical("public"), Name::canonical(name));
        contents.types.push(Type { oid, schema, name, relation, functions: Vec::new() });
    }
    contents.relations.extend([fields, homes]);
    contents.relations.push(typed);
    contents.relations.extend([
        view(
            301,
            "marked",
            "id int, status text, src text, total numeric",
            &[300],
            " SELECT typed.id, typed.status, 'x'::text AS src, public.order_total(typed.id) AS total FROM public.typed;",
        ),
        view(302, "over", "id int, origin text", &[301], " SELECT marked.id, marked.src AS origin FROM public.marked;"),
        view(
            303,
            "crossed",
            "id int, status text",
            &[300, 3],
            " SELECT t.id, o.status FROM public.typed t, public.orders o;",
        ),
        view(
            304,
            "joined",
            "id int, status text, total numeric",
            &[300, 3],
            " SELECT t.id, t.status, o.total FROM (public.typed t LEFT JOIN public.orders o ON ((o.id = t.id)));",
        ),
        view(
            305,
            "regions",
            "id int, region text",
            &[300, 3],
            " SELECT typed.id, 'eu'::text AS region FROM public.typed UNION ALL SELECT orders.id, 'us'::text AS region \
             FROM public.orders;",
        ),
        view(306, "gathered", "ids int", &[300], " SELECT array_agg(typed.id) AS ids FROM public.typed;"),
        view(307, "broken", "id int, x text", &[300], " SELECT id, x, 1 FROM public.typed;"),
        view(
            308,
            "counted",
            "status text, n bigint",
            &[300],
            " SELECT typed.status, count(*) AS n FROM public.typed GROUP BY typed.status;",
        ),
    ]);
    derive(&mut contents);
    contents
}

static SCOPE: LazyLock<Scope> =
    LazyLock::new(|| Scope { catalogue: Arc::new(Catalogue::new(1, contents())), ..shop::scope() });

fn is_bounded(text: &str) -> bool {
    let reading = read(text, Dialect::Postgres, &SCOPE, &Limits::default());
    assert_eq!(reading.fault, None, "{text}");
    !reading.operations().iter().any(|operation| operation.to_string().contains("+unbounded"))
}

fn none_bounds(relation: &str, conditions: &[&str]) {
    for condition in conditions {
        assert!(!is_bounded(&format!("DELETE FROM {relation} WHERE {condition}")), "{relation}: {condition}");
    }
}

fn all_bound(relation: &str, conditions: &[&str]) {
    for condition in conditions {
        assert!(is_bounded(&format!("DELETE FROM {relation} WHERE {condition}")), "{relation}: {condition}");
    }
}

#[test]
fn what_a_view_or_a_generated_column_has_in_every_row_bounds_nothing() {
    none_bounds("marked", &["src = 'x'", "total = 5"]);
    none_bounds("over", &["origin = 'x'"]);
    none_bounds("regions", &["region = 'eu'"]);
    none_bounds("broken", &["id = 5"]);
    none_bounds("typed", &["fixed = 'x'"]);
    none_bounds(
        "payments",
        &[
            "id IN (SELECT id FROM crossed WHERE status = 'x')",
            "id IN (SELECT id FROM marked WHERE src = 'x')",
            "id IN (SELECT n FROM counted)",
            "id = ANY ((SELECT ids FROM gathered LIMIT 1)::int[])",
            "id IN (SELECT unnest(ids) FROM (SELECT ids FROM gathered LIMIT 1) s)",
        ],
    );
}

#[test]
fn a_column_of_a_view_or_one_made_of_others_bounds() {
    all_bound("marked", &["id = 5", "status = 'x'", "src = 'x' AND id IN (1, 2)"]);
    all_bound("over", &["id = 5"]);
    all_bound("joined", &["id = 5", "status LIKE 'x%'"]);
    all_bound("typed", &["made = 'x'", "fixed = 'x' AND id = 5"]);
    all_bound(
        "payments",
        &[
            "id IN (SELECT id FROM joined WHERE status = 'x')",
            "id IN (SELECT id FROM regions WHERE id = 5)",
            "id IN (SELECT id FROM crossed LIMIT 10)",
            "status IN (SELECT status FROM counted WHERE status LIKE 'x%')",
        ],
    );
}

#[test]
fn a_call_that_is_written_as_a_column_bounds_as_the_call_does() {
    none_bounds(
        "homes",
        &[
            "homes.pg_typeof = 'homes'::regtype",
            "homes.pg_column_size > 0",
            "homes.nowhere = 5",
            "(id).sign = 1",
            "(id).pg_typeof = 'integer'::regtype",
            "(address).pg_column_size > 0",
            "((address).street).length >= 0",
            "(place).sign = 1",
        ],
    );
    none_bounds(
        "payments",
        &[
            "EXISTS (SELECT o.count FROM orders o WHERE o.id = payments.order_id AND o.id = 5)",
            "EXISTS (SELECT 1 FROM orders o WHERE o.id = payments.order_id AND o.id = 5 ORDER BY count(*))",
            "id IN (SELECT (a).unnest FROM (SELECT array_agg(id) AS a FROM payments LIMIT 1) s)",
            "id = ANY ((SELECT a FROM (SELECT (id).array_agg AS a FROM payments LIMIT 1) s)::int[])",
        ],
    );
    all_bound(
        "homes",
        &[
            "(address).zip = '8010'",
            "(homes.address).zip = '8010'",
            "(address).sign = 1",
            "(place).zip = '8010'",
            "(place).name = 'x'",
            "homes.id = 5 AND homes.pg_column_size > 0",
        ],
    );
    all_bound("typed", &["(status).lower = 'x'", "(at).date = '2024-01-01'"]);
    all_bound("typed", &["at + interval '1 hour' < now()", "day + 7 < now()"]);
    none_bounds("typed", &["clock + interval '1 hour' < '12:00'", "dur + interval '1 day' < '2 days'"]);
}

#[test]
fn the_ends_of_a_type_bound_nothing() {
    none_bounds(
        "typed",
        &[
            "mood >= 'sad'",
            "mood BETWEEN 'sad' AND 'happy'",
            "rng >= 'empty'",
            "rng >= '(,5)'",
            "bits >= '0'",
            "bits >= B'0'",
            "day >= '4714-11-24BC'",
            "uid <= '{ffffffff-ffff-ffff-ffff-ffffffffffff}'",
            "doc >= '0'",
            "clock <= '24:00'",
            "status >= '0'",
        ],
    );
    all_bound("typed", &["mood = 'sad'", "day >= '2024-01-01'", "clock <= '12:00'", "status >= 'm'", "at < now()"]);
}

#[test]
fn what_is_cut_off_or_written_over_bounds_nothing() {
    none_bounds(
        "typed",
        &[
            "dur::interval year = '0'",
            "date_trunc('year', dur) = '0'",
            "date_trunc('year', dur + '1 day') = '0'",
            "date_trunc('year', at - $1) = '0'",
            "extract(year FROM dur) = 0",
            "to_char(dur, 'YYYY') = '0000'",
            "to_char(clock, 'YYYY') = '0000'",
            "date_trunc('day', clock) = '0'",
            "dur::time = '00:00'",
            "day::timestamp::time = '00:00'",
            "dur + interval 'infinity' = 'infinity'",
            "rng + '(,)' = '(,)'",
            "rng - '(,)' = 'empty'",
            "doc - '1' = '{}'",
            "doc || $1 = $2",
            "words || 'a' = 'a'",
        ],
    );
    all_bound(
        "typed",
        &[
            "dur = '1 day'",
            "dur + interval '1 day' = '2 days'",
            "extract(epoch FROM dur) = 60",
            "at::time = '12:00'",
            "date_trunc('day', at - interval '3 hours') = '2024-01-01'",
            "date_trunc('day', day + 1) = '2024-01-01'",
            "ids || 5 = '{4,5}'",
            "ip + 1 = '10.0.0.1'",
        ],
    );
}

#[test]
fn the_form_of_a_type_matches_no_pattern() {
    none_bounds(
        "typed",
        &[
            "uid::text LIKE '%-%'",
            "uid::text LIKE '%-4%'",
            "at::text LIKE '%:%'",
            "at::text LIKE '%+00'",
            "day::timestamp::text LIKE '%00:00%'",
            "rng::text ^@ '['",
            "ip::text LIKE '%/32'",
            "raw::text LIKE '_x%'",
            "doc::text LIKE '{%'",
            "uid::text ~ 'a'",
        ],
    );
    all_bound(
        "typed",
        &[
            "uid::text LIKE '12%'",
            "at::text LIKE '2024-01%'",
            "ip::text LIKE '10.%'",
            "doc::text LIKE '%needle%'",
            "status::varchar LIKE '%-%'",
            "mood::text LIKE '%app%'",
            "uid::text LIKE $1",
        ],
    );
}
