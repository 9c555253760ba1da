//! How `max_rows` of several rules combine.

use super::*;

const TEN: &str = "id: ten, allow: { actions: [write], objects: ['table public.*'] }, max_rows: 10";
const FIVE: &str = "id: five, allow: { actions: [delete], objects: ['table public.orders'] }, max_rows: 5";
const ONE: &str = "id: one, allow: { actions: [read, update], objects: ['column public.orders.a'] }, max_rows: 1";
const TWO: &str = "id: two, allow: { actions: [update], objects: ['column public.orders.b'] }, max_rows: 2";
const FREE: &str = "id: free, allow: { actions: [update], objects: ['column public.orders.{a,b}'] }";

#[test]
fn any_rule_suffices_and_every_write_counts() {
    let delete = on(Action::Delete, "public", "orders");
    let insert = on(Action::Insert, "public", "orders");
    let read = on(Action::Read, "public", "orders");
    let update = on(Action::Update, "public", "orders").naming(columns(&["a", "b"]));
    for (rules, operations, expected) in [
        (&[TEN][..], vec![delete.clone()], Some(10)),
        (&[TEN, FIVE], vec![delete.clone()], Some(10)),
        (&[FIVE], vec![delete.clone()], Some(5)),
        (&[TEN, WRITE], vec![delete.clone()], None),
        (&[WRITE, FIVE], vec![delete.clone()], None),
        (
            &[FIVE, "id: in, allow: { actions: [insert], objects: ['*'] }, max_rows: 7"],
            vec![insert, delete.clone()],
            Some(5),
        ),
        (&[READ, TEN], vec![read.clone(), delete.clone()], Some(10)),
        (&[READ, TEN], vec![read], None),
        (&[ONE, TWO], vec![update.clone()], Some(1)),
        (&[ONE, TWO, FREE], vec![update.clone()], None),
        (&[TEN, ONE, TWO], vec![update], Some(10)),
        (&[TEN, HOLD], vec![delete], None),
    ] {
        let turned: Vec<_> = rules.iter().rev().copied().collect();
        for rules in [rules, &turned] {
            let decision = decide(&load(&[&bundle(rules)]), &operations);
            assert!(!matches!(decision.verdict, Verdict::Deny(_)), "{rules:?}");
            assert_eq!(decision.limit.map(|limit| limit.rows), expected, "{rules:?} on {operations:?}");
        }
    }
}
