//! Closing over a small database, and judging statements against it.

use super::*;
use crate::judge::{Finding, Judgement};
use portcullis_model::catalogue::{Contents, ReferencedBy, ReferentialAction};
use portcullis_model::{Lineage, Mark, Marks, Name, Output, Outputs, Predicates, RuleId, Transform, Usage, Use};

const CUSTOMERS: Oid = 20_001;
const ORDERS: Oid = 20_002;

fn relation(oid: Oid, name: &str, kind: RelKind, columns: Vec<Column>) -> Relation {
    Relation {
        oid,
        schema: Name::canonical("public"),
        name: Name::canonical(name),
        kind,
        columns,
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

fn plain(number: i16, name: &str) -> Column {
    Column {
        number,
        name: Name::canonical(name),
        type_oid: 25,
        collation: 100,
        not_null: false,
        generated: None,
        default: None,
        derived: None,
    }
}

fn computed(number: i16, name: &str, sources: Sources, exact: bool) -> Column {
    Column { derived: Some(Derived { sources, exact }), ..plain(number, name) }
}

fn view(oid: Oid, columns: Vec<Column>) -> Relation {
    relation(oid, &format!("v{oid}"), RelKind::View, columns)
}

const fn col(relation: Oid, number: i16) -> ColumnId {
    ColumnId { relation, number }
}

fn from(relation: Oid, number: i16) -> Sources {
    Sources::column(col(relation, number))
}

fn call(name: &str) -> Sources {
    Sources::function(QualifiedName::new("public", name))
}

fn clean(name: &QualifiedName) -> bool {
    *name == QualifiedName::new("public", "order_total")
}

/// customers (id, ssn, email), orders (id, ssn): only `customers` is named by rules.
fn tables() -> Vec<Relation> {
    vec![
        relation(CUSTOMERS, "customers", RelKind::Table, vec![plain(1, "id"), plain(2, "ssn"), plain(3, "email")]),
        relation(ORDERS, "orders", RelKind::Table, vec![plain(1, "id"), plain(2, "ssn")]),
    ]
}

fn treatment(whole: Transform) -> Treatment {
    Treatment {
        rules: vec![RuleId { bundle: "b".into(), rule: "pii".into() }],
        whole: Some(whole),
        json: Vec::new(),
        predicates: Predicates::Deny,
        unproven: Unproven::Mask,
    }
}

fn rule(relation: &Relation, column: &Column) -> Option<Treatment> {
    match (relation.name.as_str(), column.name.as_str()) {
        ("customers", "ssn") => Some(treatment(Transform::KeepLast(4))),
        ("customers", "email") => Some(Treatment { predicates: Predicates::Equality, ..treatment(Transform::Hash) }),
        _ => None,
    }
}

fn closed_with(more: Vec<Relation>) -> Protection {
    let relations = tables().into_iter().chain(more).collect();
    Protection::close(&Catalogue::new(1, Contents { relations, ..Contents::default() }), &rule)
}

fn closed() -> Protection {
    closed_with(Vec::new())
}

fn whole(protection: &Protection, column: ColumnId) -> Option<Transform> {
    protection.column(column).and_then(|treatment| treatment.whole.clone())
}

#[test]
fn what_a_rule_names_is_protected_and_the_rest_is_not() {
    let protection = closed();
    assert_eq!(whole(&protection, col(CUSTOMERS, 2)), Some(Transform::KeepLast(4)));
    assert_eq!(whole(&protection, ColumnId::row(CUSTOMERS)), Some(Transform::Null));
    for clear in [
        col(CUSTOMERS, 1),
        col(ORDERS, 2),
        ColumnId::row(ORDERS),
        col(CUSTOMERS, -1),
        col(1259, 1),
        ColumnId::row(1259),
    ] {
        assert_eq!(protection.column(clear), None, "{clear:?}");
    }
    assert!(protection.covers(CUSTOMERS) && !protection.covers(ORDERS) && !protection.covers(1259));
}

#[test]
fn what_the_catalogue_does_not_have_is_unproven() {
    let protection = closed();
    for unknown in [col(30_000, 1), ColumnId::row(30_000), col(ORDERS, 3)] {
        let treatment = protection.column(unknown).unwrap();
        assert!(treatment.rules.is_empty() && treatment.whole == Some(Transform::Null), "{unknown:?}");
    }
    assert!(protection.covers(30_000));
}

#[test]
fn where_no_rule_names_anything_nothing_is_protected_not_even_the_unknown() {
    let relations = tables().into_iter().chain([view(20_010, vec![plain(1, "x")])]).collect();
    let catalogue = Catalogue::new(1, Contents { relations, ..Contents::default() });
    let protection = Protection::close(&catalogue, &|_, _| None);
    assert!(protection.is_empty() && !protection.covers(30_000) && protection.column(col(20_010, 1)).is_none());
    assert_eq!(protection.fate(&Sources::unknown(), false, &clean), Fate::Clear);
    assert_eq!(protection.judge(&Lineage::untold(), &clean), Judgement::default());
    assert!(Protection::none().is_empty());
}

#[test]
fn of_a_catalogue_that_knows_nothing_everything_is_unproven() {
    let protection = Protection::close(&Catalogue::unknown(), &rule);
    assert!(!protection.is_empty() && protection.covers(CUSTOMERS));
    assert!(protection.column(col(CUSTOMERS, 1)).is_some());
}

#[test]
fn views_carry_what_flows_into_them_at_any_remove() {
    let protection = closed_with(vec![
        // read before those it reads: closing is by fixpoint, not by order
        view(20_005, vec![computed(1, "a", from(20_010, 1), true), computed(2, "b", from(20_010, 2), true)]),
        view(
            20_010,
            vec![
                computed(1, "a", from(CUSTOMERS, 2), true),
                computed(2, "b", from(CUSTOMERS, 2).with(&from(CUSTOMERS, 1)), false),
                computed(3, "c", from(ORDERS, 2), true),
                computed(4, "row", Sources::column(ColumnId::row(CUSTOMERS)), true),
                computed(5, "one", Sources::none(), false),
                computed(6, "f", call("order_total"), false),
                computed(7, "u", Sources::unknown(), false),
                computed(8, "late", from(30_000, 1), true),
            ],
        ),
    ]);
    assert_eq!(whole(&protection, col(20_005, 1)), Some(Transform::KeepLast(4)));
    assert_eq!(whole(&protection, col(20_005, 2)), Some(Transform::Null));
    assert_eq!(whole(&protection, col(20_010, 4)), Some(Transform::Null));
    assert_eq!((whole(&protection, col(20_010, 3)), whole(&protection, col(20_010, 5))), (None, None));
    for unproven in [6, 7, 8] {
        assert!(protection.column(col(20_010, unproven)).unwrap().rules.is_empty());
    }
    assert!(protection.covers(20_005));
    let fate = |number| protection.fate(&from(20_010, number), true, &clean);
    assert!(matches!(fate(1), Fate::Masked { because: Because::Provenance, .. }));
    assert!(matches!(fate(4), Fate::Masked { because: Because::Provenance, .. }));
    assert!(matches!(fate(7), Fate::Masked { because: Because::Unproven, .. }));
    assert_eq!(fate(3), Fate::Clear);
}

#[test]
fn a_view_that_reads_only_clean_columns_stays_clear_and_one_that_nobody_read_does_not() {
    let protection = closed_with(vec![
        view(20_010, vec![computed(1, "id", from(CUSTOMERS, 1), true)]),
        view(20_011, vec![plain(1, "id")]),
        relation(
            20_012,
            "g",
            RelKind::Table,
            vec![plain(1, "id"), Column { generated: Some("f(id)".into()), ..plain(2, "g") }],
        ),
        view(12_000, vec![plain(1, "setting")]),
    ]);
    assert!(!protection.covers(20_010) && !protection.covers(12_000));
    assert!(protection.covers(20_011) && protection.column(col(20_011, 1)).unwrap().rules.is_empty());
    assert!(protection.column(col(20_012, 2)).is_some() && protection.column(col(20_012, 1)).is_none());
}

#[test]
fn partitions_and_children_share_what_is_protected_whichever_side_says_so() {
    let mut relations = tables();
    relations[0].children = vec![20_020];
    let child = relation(20_020, "part", RelKind::Table, vec![plain(5, "ssn"), plain(6, "extra")]);
    let grandchild =
        Relation { parents: vec![20_020], ..relation(20_021, "sub", RelKind::Table, vec![plain(1, "ssn")]) };
    let archive = Relation {
        children: vec![CUSTOMERS],
        ..relation(20_000, "people", RelKind::PartitionedTable, vec![plain(1, "id"), plain(2, "ssn")])
    };
    relations.extend([child, grandchild, archive]);
    let protection = Protection::close(&Catalogue::new(1, Contents { relations, ..Contents::default() }), &rule);
    for same in [col(20_020, 5), col(20_021, 1), col(20_000, 2)] {
        assert_eq!(whole(&protection, same), Some(Transform::KeepLast(4)), "{same:?}");
    }
    for clear in [col(20_020, 6), col(20_000, 1)] {
        assert_eq!(protection.column(clear), None);
    }
}

#[test]
fn a_column_that_references_a_protected_one_is_protected_and_one_that_it_references_is_not() {
    let key = |relation, columns: &[&str], referenced: &[&str]| ReferencedBy {
        relation,
        on_delete: ReferentialAction::NoAction,
        on_update: ReferentialAction::Cascade,
        columns: columns.iter().map(|name| Name::canonical(*name)).collect(),
        referenced: referenced.iter().map(|name| Name::canonical(*name)).collect(),
    };
    let mut relations = tables();
    let columns = || vec![plain(1, "nr"), plain(2, "who"), plain(3, "of")];
    relations[0].referenced_by = vec![key(20_030, &["of", "who"], &["id", "ssn"])];
    let mut first = relation(20_030, "refers", RelKind::Table, columns());
    // Over two keys, and back to itself.
    first.referenced_by = vec![key(20_031, &["who"], &["who"]), key(20_030, &["who"], &["who"])];
    let mut second = relation(20_031, "again", RelKind::Table, columns());
    second.referenced_by = vec![key(30_000, &["x"], &["who"]), key(CUSTOMERS, &["id"], &["nr"])];
    // What a protected column references is not protected by that.
    let mut third = relation(20_032, "codes", RelKind::Table, columns());
    third.referenced_by = vec![key(CUSTOMERS, &["ssn"], &["nr"])];
    relations.extend([first, second, third]);
    let protection = Protection::close(&Catalogue::new(1, Contents { relations, ..Contents::default() }), &rule);
    for same in [col(20_030, 2), col(20_031, 2)] {
        assert_eq!(whole(&protection, same), Some(Transform::KeepLast(4)), "{same:?}");
    }
    for clear in [col(20_030, 1), col(20_030, 3), col(20_031, 1), col(CUSTOMERS, 1), col(20_032, 1)] {
        assert_eq!(protection.column(clear), None, "{clear:?}");
    }
    assert!(protection.covers(20_031) && !protection.covers(20_032));
}

#[test]
fn a_loop_of_views_ends() {
    let protection = closed_with(vec![
        view(20_010, vec![computed(1, "a", from(20_011, 1).with(&from(CUSTOMERS, 2)), false)]),
        view(20_011, vec![computed(1, "a", from(20_010, 1), true)]),
    ]);
    assert_eq!(whole(&protection, col(20_011, 1)), Some(Transform::Null));
}

#[test]
fn a_relation_of_the_system_is_protected_when_a_rule_names_it() {
    let relations = vec![relation(2619, "customers", RelKind::Table, vec![plain(1, "ssn"), plain(2, "x")])];
    let protection = Protection::close(&Catalogue::new(1, Contents { relations, ..Contents::default() }), &rule);
    assert!(protection.covers(2619) && protection.column(col(2619, 2)).is_none());
}

#[test]
fn a_value_is_shown_kept_or_hidden_by_where_it_comes_from() {
    let protection = closed();
    let fate = |sources: &Sources, exact| match protection.fate(sources, exact, &clean) {
        Fate::Clear => None,
        Fate::Masked { treatment, because } => Some((treatment.whole.unwrap(), treatment.rules.len(), because)),
    };
    let ssn = from(CUSTOMERS, 2);
    let cases = [
        (ssn.clone(), true, Some((Transform::KeepLast(4), 1, Because::Provenance))),
        (ssn.clone(), false, Some((Transform::Null, 1, Because::Lineage))),
        (Sources::column(ColumnId::row(CUSTOMERS)), true, Some((Transform::Null, 1, Because::Lineage))),
        (ssn.clone().with(&from(CUSTOMERS, 1)), true, Some((Transform::Null, 1, Because::Lineage))),
        (ssn.clone().with(&call("order_total")), true, Some((Transform::Null, 1, Because::Lineage))),
        (ssn.with(&call("f")), true, Some((Transform::Null, 1, Because::Unproven))),
        (call("f"), false, Some((Transform::Null, 0, Because::Unproven))),
        (call("order_total"), false, None),
        (Sources::unknown(), true, Some((Transform::Null, 0, Because::Unproven))),
        (from(30_000, 1), true, Some((Transform::Null, 0, Because::Unproven))),
        (from(CUSTOMERS, 1), true, None),
        (Sources::none(), false, None),
    ];
    for (sources, exact, expected) in cases {
        assert_eq!(fate(&sources, exact), expected, "{sources:?} {exact}");
    }
}

fn used(sources: Sources, usage: Usage) -> Judgement {
    let lineage = Lineage { uses: vec![Use { sources, usage }], ..Lineage::default() };
    closed().judge(&lineage, &clean)
}

fn columns(findings: &[Finding]) -> Vec<Option<i16>> {
    findings.iter().map(|finding| finding.column.map(|column| column.number)).collect()
}

#[test]
fn a_protected_value_may_be_written_only_back_to_its_own_column() {
    let into = |number| Usage::Written { into: Some(col(CUSTOMERS, number)) };
    let (ssn, email) = (from(CUSTOMERS, 2), from(CUSTOMERS, 3));
    let cases: Vec<(Sources, Usage, Vec<Option<i16>>)> = vec![
        (ssn.clone(), into(2), vec![]),
        (ssn.clone(), into(1), vec![Some(2)]),
        (ssn.clone(), into(3), vec![Some(2)]),
        (ssn.clone(), Usage::Written { into: None }, vec![Some(2)]),
        (ssn.clone().with(&email), into(2), vec![Some(3)]),
        (ssn.clone().with(&from(CUSTOMERS, 1)), into(2), vec![]),
        (ssn.clone().with(&call("f")), into(2), vec![None]),
        (ssn.with(&call("order_total")), into(2), vec![]),
        (Sources::column(ColumnId::row(CUSTOMERS)), into(0), vec![Some(0)]),
        (Sources::unknown(), into(1), vec![None]),
        (from(30_000, 4), into(1), vec![Some(4)]),
        (from(CUSTOMERS, 1), into(3), vec![]),
    ];
    for (sources, usage, expected) in cases {
        let judgement = used(sources.clone(), usage);
        assert_eq!(columns(&judgement.exposes), expected, "{sources:?} {usage:?}");
        assert_eq!(judgement.marks, if expected.is_empty() { Marks::NONE } else { Mark::ExposesProtected.into() });
        assert!(judgement.infers.is_empty() && (expected.is_empty() || judgement.touches));
    }
}

#[test]
fn a_condition_is_found_unless_the_rules_permit_it() {
    let cases: Vec<(Sources, Usage, Vec<Option<i16>>, usize)> = vec![
        (from(CUSTOMERS, 2), Usage::Condition, vec![Some(2)], 0),
        (from(CUSTOMERS, 2), Usage::Equality, vec![Some(2)], 0),
        (from(CUSTOMERS, 3), Usage::Condition, vec![Some(3)], 0),
        (from(CUSTOMERS, 3), Usage::Equality, vec![], 1),
        (from(CUSTOMERS, 3).with(&from(CUSTOMERS, 1)), Usage::Equality, vec![Some(3)], 0),
        (from(CUSTOMERS, 3).with(&call("order_total")), Usage::Equality, vec![Some(3)], 0),
        (Sources::column(ColumnId::row(CUSTOMERS)), Usage::Equality, vec![Some(0)], 0),
        (Sources::unknown(), Usage::Condition, vec![None], 0),
        (call("f"), Usage::Equality, vec![None], 0),
        (call("order_total"), Usage::Condition, vec![], 0),
        (from(30_000, 1), Usage::Equality, vec![Some(1)], 0),
        (from(CUSTOMERS, 1), Usage::Condition, vec![], 0),
    ];
    for (sources, usage, expected, equalities) in cases {
        let judgement = used(sources.clone(), usage);
        assert_eq!(
            (columns(&judgement.infers), judgement.equalities),
            (expected.clone(), equalities),
            "{sources:?} {usage:?}"
        );
        assert_eq!(judgement.marks, if expected.is_empty() { Marks::NONE } else { Mark::InfersProtected.into() });
    }
}

#[test]
fn a_rule_that_allows_predicates_permits_conditions_and_no_writes() {
    let allow = |relation: &Relation, column: &Column| {
        rule(relation, column).map(|treatment| Treatment { predicates: Predicates::Allow, whole: None, ..treatment })
    };
    let protection =
        Protection::close(&Catalogue::new(1, Contents { relations: tables(), ..Contents::default() }), &allow);
    let lineage = |usage| Lineage { uses: vec![Use { sources: from(CUSTOMERS, 2), usage }], ..Lineage::default() };
    for usage in [Usage::Condition, Usage::Equality] {
        assert_eq!(protection.judge(&lineage(usage), &clean).marks, Marks::NONE);
    }
    let written = protection.judge(&lineage(Usage::Written { into: None }), &clean);
    assert_eq!(written.marks, Mark::ExposesProtected.into());
}

#[test]
fn messages_are_scrubbed_wherever_something_protected_may_be_in_them() {
    let output = |sources| Outputs::Known(vec![Output { name: None, sources, exact: false }]);
    let with = |outputs, relations: Vec<Oid>, unknown| Lineage { outputs, relations, unknown, ..Lineage::default() };
    let cases = [
        (with(Outputs::None, vec![CUSTOMERS], false), true),
        (with(Outputs::None, vec![30_000], false), true),
        (with(Outputs::None, vec![ORDERS, 1259], false), false),
        (with(Outputs::None, vec![], true), true),
        (with(output(call("f")), vec![], false), true),
        (with(output(call("order_total")), vec![], false), false),
        (with(output(from(CUSTOMERS, 2)), vec![], false), true),
        (with(output(from(ORDERS, 2)), vec![], false), false),
        (Lineage::untold(), true),
    ];
    for (lineage, expected) in cases {
        assert_eq!(closed().judge(&lineage, &clean).touches, expected, "{lineage:?}");
    }
    assert!(used(call("f"), Usage::Condition).touches && !used(from(ORDERS, 1), Usage::Condition).touches);
}

#[test]
fn an_unproven_output_is_refused_where_any_rule_wants_that() {
    let deny = |relation: &Relation, column: &Column| {
        rule(relation, column).map(|treatment| Treatment { unproven: Unproven::Deny, ..treatment })
    };
    let strict = Protection::close(&Catalogue::new(1, Contents { relations: tables(), ..Contents::default() }), &deny);
    let returns = |sources, exact| Lineage {
        outputs: Outputs::Known(vec![Output { name: None, sources, exact }]),
        ..Lineage::default()
    };
    let cases = [
        (returns(call("f"), false), true),
        (returns(from(30_000, 1), true), true),
        (returns(from(CUSTOMERS, 2), false), false),
        (Lineage::untold(), true),
        (Lineage { outputs: Outputs::Unknown(from(CUSTOMERS, 2)), ..Lineage::default() }, false),
    ];
    for (lineage, expected) in cases {
        assert_eq!(strict.judge(&lineage, &clean).unproven, expected, "{lineage:?}");
        assert!(!closed().judge(&lineage, &clean).unproven);
    }
}

#[test]
fn each_reason_has_its_word() {
    let words = [Because::Provenance, Because::Lineage, Because::Unproven, Because::Detector].map(Because::word);
    assert_eq!(words, ["provenance", "lineage", "unproven", "detector"]);
}
