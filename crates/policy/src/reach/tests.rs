//! Whom a statement inside a shell line is judged by: its own connection, and the databases that it may go to.

use super::*;
use crate::Case;
use crate::samples::{agent, columns, load, on, say, shop};
use jiff::Timestamp;
use portcullis_model::{Name, Part, RelationKind};

const BOX: &str = "bundle: box
applies_to: { connections: [box] }
rules:
  - { id: all, allow: { actions: [any], objects: ['*'] } }
";
const SHOP: &str = "bundle: shop
applies_to: { connections: [shop], principals: { groups: [agents] } }
rules:
  - { id: read, allow: { actions: [read], objects: ['*'] } }
  - { id: no-drop, deny: { actions: [drop] } }
  - { id: ask, hold: { actions: [update] }, approvers: { groups: [dba] } }
mask:
  - { id: pii, columns: [public.customers.ssn], with: redact, unless: { groups: [auditors] } }
";
const OTHERS: &str = "bundle: others
applies_to: { connections: [box, shop], principals: { groups: [dba] } }
rules:
  - { id: nothing, deny: {} }
";

fn build_box() -> Connection {
    Connection { name: Name::canonical("box"), protocol: Protocol::Ssh, address: "10.0.0.5:22".into(), ..shop() }
}

/// The shop at this address.
fn shop_at(address: &str) -> Connection {
    Connection { address: address.into(), ..shop() }
}

fn judged(set: &PolicySet, principal: &Principal, operations: &[Operation]) -> String {
    let connection = build_box();
    let at = Timestamp::UNIX_EPOCH;
    let case = Case { principal, connection: &connection, operations, home: None, fields: None, at };
    let decision = set.decide(&case);
    assert_eq!(set.explain(&case).decision, decision, "an explanation decides otherwise");
    say(&decision)
}

fn to(operation: Operation, host: Option<&str>, database: Option<&str>) -> Operation {
    operation.reaching(Arc::new(Reach { host: host.map(Into::into), database: database.map(Name::canonical) }))
}

#[test]
fn denies_and_holds_of_a_database_that_is_reached_bind() {
    let set = load(&[BOX, SHOP, OTHERS]).with_connections([build_box(), shop_at("10.0.0.7:5432")]);
    let judged = |operation: &Operation| judged(&set, &agent(), std::slice::from_ref(operation));
    let (drop, update, insert) =
        (on(Action::Drop, "public", "t"), on(Action::Update, "public", "t"), on(Action::Insert, "public", "t"));
    assert_eq!(judged(&drop), "allow", "what is done on the target itself is its own bundle's");
    for (host, database, reached) in [
        (None, None, true),
        (None, Some("shop"), true),
        (Some("10.0.0.7"), Some("shop"), true),
        (Some("10.0.0.7"), None, true),
        (Some("::ffff:10.0.0.7"), None, true),
        (Some("db.internal"), Some("shop"), true),
        (Some("db.internal"), None, true),
        (Some("127.0.0.1"), Some("shop"), true),
        (Some("10.0.0.8"), None, false),
        (Some("10.0.0.8"), Some("shop"), false),
        (Some("10.0.0.7"), Some("warehouse"), false),
        (None, Some("warehouse"), false),
    ] {
        let expected = |word: &str| if reached { word.to_owned() } else { "allow".to_owned() };
        assert_eq!(judged(&to(drop.clone(), host, database)), expected("deny no-drop"), "{host:?} {database:?}");
        assert_eq!(judged(&to(update.clone(), host, database)), expected("hold ask"), "{host:?} {database:?}");
        assert_eq!(judged(&to(insert.clone(), host, database)), "allow", "no allow is needed there");
    }
}

#[test]
fn where_the_connections_are_not_known_every_bundle_counts() {
    let set = load(&[BOX, SHOP, OTHERS]);
    let drop = to(on(Action::Drop, "public", "t"), Some("10.0.0.8"), Some("warehouse"));
    assert_eq!(judged(&set, &agent(), std::slice::from_ref(&drop)), "deny no-drop");
    let stranger = Principal { groups: [].into(), ..agent() };
    assert_eq!(judged(&set, &stranger, std::slice::from_ref(&drop)), "allow", "its bundle is not about this principal");
    let nowhere = load(&[BOX, SHOP]).with_connections([build_box()]);
    assert_eq!(judged(&nowhere, &agent(), &[drop]), "allow", "there is no database");
}

#[test]
fn a_hold_there_permits_nothing_here() {
    let closed = BOX.replace("actions: [any]", "actions: [execute]");
    let set = load(&[&closed, SHOP]).with_connections([shop()]);
    let update = to(on(Action::Update, "public", "t"), None, None);
    assert_eq!(judged(&set, &agent(), &[update]), "deny: update table public.t");
}

#[test]
fn what_is_masked_there_is_not_read_here() {
    let set = load(&[BOX, SHOP]).with_connections([shop()]);
    let unresolved = |name: &str| {
        let name = QualifiedName { schema: Part::Unknown, name: Part::known(name) };
        Operation::new(Action::Read, Object::relation(name, RelationKind::Table))
    };
    let customers = || on(Action::Read, "public", "customers");
    for (operation, refused) in [
        (customers().naming(columns(&["ssn"])), true),
        (customers().naming(columns(&["id", "ssn"])), true),
        (customers().naming(Columns::Unknown), true),
        (unresolved("customers").naming(columns(&["ssn"])), true),
        (customers().naming(columns(&["id"])), false),
        (customers(), false),
        (unresolved("orders").naming(Columns::Unknown), false),
        (on(Action::Delete, "public", "customers"), false),
    ] {
        let there = to(operation.clone(), None, Some("shop"));
        // Masks bind everybody, whomever the bundle's rules are about.
        for groups in [vec!["agents".into()], vec![]] {
            let principal = Principal { groups: groups.into_iter().collect(), ..agent() };
            let found = judged(&set, &principal, std::slice::from_ref(&there));
            assert_eq!(found.starts_with("deny: rule shop/pii protects"), refused, "{operation}: {found}");
        }
        assert_eq!(judged(&set, &agent(), &[operation]), "allow", "not in a database of ours");
        let auditor = Principal { groups: ["auditors".into()].into(), ..agent() };
        assert_eq!(judged(&set, &auditor, std::slice::from_ref(&there)), "allow", "exempt");
        let elsewhere = to(there, None, Some("warehouse"));
        assert_eq!(judged(&set, &agent(), &[elsewhere]), "allow", "another database");
    }
}
