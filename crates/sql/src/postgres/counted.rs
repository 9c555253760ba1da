//! Whether the tag with which a statement completes says how many rows it wrote.
//!
//! Promises: it does for one INSERT, UPDATE, DELETE, MERGE or COPY FROM STDIN that is the statement itself, writes in one
//! place, calls nothing off the pure list, and whose target is known and has no rewrite rules. Where triggers, foreign
//! keys or functions of the target may write more rows behind it, the tag says how many the statement itself wrote, and
//! this says what the others come from. PREPARE and EXPLAIN without ANALYZE write nothing.
//! Does not promise to know what a foreign table or a trigger does: only that there is one.
//! Held by: `tests/it/counted.rs`.

use super::gather::Gathered;
use pg_query::NodeRef;
use pg_query::protobuf::ExplainStmt;
use portcullis_model::catalogue::{Catalogue, FiredBy, RelKind, Relation};
use portcullis_model::{Action, Counted, Mark, Operation};
use std::collections::HashSet;
use std::sync::Arc;

/// Whether the statement's tag counts what it writes.
pub(super) fn of(catalogue: &Catalogue, node: NodeRef<'_>, gathered: &Gathered, operations: &[Operation]) -> Counted {
    match node {
        NodeRef::InsertStmt(_) | NodeRef::UpdateStmt(_) | NodeRef::DeleteStmt(_) | NodeRef::MergeStmt(_) => {}
        NodeRef::CopyStmt(copy) if copy.is_from && copy.filename.is_empty() && !copy.is_program => {}
        NodeRef::PrepareStmt(_) => return Counted::Nothing,
        NodeRef::ExplainStmt(explain) if !runs(explain) => return Counted::Nothing,
        NodeRef::ExplainStmt(_) => return Counted::not("EXPLAIN ANALYZE runs it and does not say how many they were"),
        _ => return Counted::not("it is not one plain INSERT, UPDATE, DELETE, MERGE or COPY FROM STDIN"),
    }
    let [target] = gathered.targets.as_slice() else {
        return Counted::not("it writes in more places than one");
    };
    if let Some(off) = operations.iter().find(|operation| !is_plain(operation)) {
        return Counted::not(format!("it would also {off}"));
    }
    match &target.relation {
        Some(relation) if target.candidates.is_empty() => behind(catalogue, relation, gathered, operations),
        Some(_) | None => Counted::not("what it writes to is not known for certain"),
    }
}

/// Whether EXPLAIN runs what it explains. A value that turns that off again is not looked at.
fn runs(explain: &ExplainStmt) -> bool {
    explain.options.iter().any(|option| match &option.node {
        Some(pg_query::NodeEnum::DefElem(option)) => option.defname.eq_ignore_ascii_case("analyze"),
        Some(_) | None => true,
    })
}

/// Whether an operation is a read or a write of rows and runs no code.
fn is_plain(operation: &Operation) -> bool {
    let rows =
        matches!(operation.action, Action::Session | Action::Read | Action::Insert | Action::Update | Action::Delete);
    rows && !operation.marks.contains(Mark::Dynamic)
}

/// What else writes rows when the target is written to.
fn behind(catalogue: &Catalogue, target: &Relation, gathered: &Gathered, operations: &[Operation]) -> Counted {
    let all = written_through(catalogue, target);
    let rewritten = all.iter().find(|relation| !relation.rules.is_empty());
    if let Some(relation) = rewritten {
        return Counted::not(format!("rewrite rules of {} may put another statement in its place", relation.name));
    }
    let outer = |why: String| Counted::Outer { why: why.into() };
    if let Some(referencing) = &gathered.cascades {
        return outer(format!("a foreign key of {referencing} carries it on"));
    }
    // A row that moves between partitions is deleted in one and inserted into the other.
    let moves = all.iter().any(|relation| relation.kind == RelKind::PartitionedTable);
    let fires = |event: &FiredBy| match event {
        FiredBy::Select | FiredBy::Truncate => false,
        FiredBy::Insert => moves || does(operations, Action::Insert),
        FiredBy::Update => moves || does(operations, Action::Update),
        FiredBy::Delete => moves || does(operations, Action::Delete),
    };
    for relation in &all {
        if let Some(trigger) = relation.triggers.iter().find(|one| one.enabled && one.events.iter().any(fires)) {
            return outer(format!("trigger {} of {} may write more", trigger.name, relation.name));
        }
        let typed = |oid| catalogue.type_by_oid(oid).is_some_and(|one| !one.functions.is_empty());
        if !relation.functions.is_empty() || relation.columns.iter().any(|column| typed(column.type_oid)) {
            return outer(format!("functions that users defined run in {}", relation.name));
        }
        if relation.kind == RelKind::ForeignTable {
            return outer(format!("{} is a foreign table, and what it writes behind is not known", relation.name));
        }
    }
    Counted::Whole
}

fn does(operations: &[Operation], action: Action) -> bool {
    operations.iter().any(|operation| operation.action == action)
}

/// The target, everything below it, and everything that is read where it is a view: its base is among that.
fn written_through(catalogue: &Catalogue, target: &Relation) -> Vec<Arc<Relation>> {
    let mut oids = vec![target.oid];
    let mut seen = HashSet::from([target.oid]);
    let mut at = 0;
    let mut all = Vec::new();
    while let Some(oid) = oids.get(at).copied() {
        at += 1;
        let Some(relation) = catalogue.relation(oid) else { continue };
        oids.extend(relation.children.iter().chain(&relation.reads).copied().filter(|below| seen.insert(*below)));
        all.push(Arc::clone(relation));
    }
    all
}
