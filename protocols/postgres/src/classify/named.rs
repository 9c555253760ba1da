//! The lineage of a statement together with that of what it runs by name, and where rewrite rules take it from its text.
//!
//! Promises: what a named statement returns, uses and touches, the one that runs it does too; where a rule may put other
//! rows in the place of those that the text is about, nothing is told of them.
//! Held by: `classify/tests.rs`, `core/tests/masking/naming.rs`, and `tests/it/masking.rs` against a real server.

use super::CopyOut;
use portcullis_model::{Action, Bound, ColumnId, Lineage, Operation, Outputs, Place, Sources, Usage, Use};
use portcullis_sql::{CopyDirection, Scope, Statement};
use std::sync::Arc;

/// The lineage of a statement with that of what it runs by name: EXECUTE and FETCH return what the other returns, EXPLAIN
/// tells of it, anything else keeps it.
pub(super) fn with_named(statement: &Statement, named: &[Arc<Lineage>]) -> Arc<Lineage> {
    if named.is_empty() {
        return Arc::clone(&statement.lineage);
    }
    let mut lineage = Lineage::clone(&statement.lineage);
    // EXPLAIN EXECUTE is unknown where nobody knows what it explains; here that is known. Arguments that call
    // something, and CREATE TABLE around it, leave it so.
    let plain = statement.operations.iter().all(|operation| operation.action == Action::Session);
    if statement.tag == "ExplainStmt" && plain {
        (lineage.outputs, lineage.unknown) = (Outputs::None, false);
    }
    for other in named {
        match statement.tag {
            "ExecuteStmt" | "FetchStmt" if named.len() == 1 => lineage.outputs = other.outputs.clone(),
            "ExplainStmt" => {
                let rows = other.relations.iter().map(|relation| Sources::column(ColumnId::row(*relation)));
                let mut told = rows.fold(other.all_outputs().with(&lineage.all_outputs()), |all, row| all.with(&row));
                // Conditions are shown, and so are the arguments.
                other.uses.iter().chain(&lineage.uses).for_each(|used| told.add(&used.sources));
                if other.unknown {
                    told.add(&Sources::unknown());
                }
                lineage.outputs = Outputs::Unknown(told);
            }
            _ => {
                let sources = other.all_outputs();
                if !sources.is_none() {
                    lineage.uses.push(Use { sources, usage: Usage::Written { into: None } });
                }
                lineage.unknown = true;
            }
        }
        lineage.bound.extend(arguments(&statement.lineage, other));
        lineage.uses.extend(other.uses.iter().cloned());
        lineage.relations.extend_from_slice(&other.relations);
        lineage.unknown |= other.unknown;
    }
    lineage.relations.sort_unstable();
    lineage.relations.dedup();
    Arc::new(lineage)
}

/// The arguments of an EXECUTE, bound to what the prepared statement compares its parameters with.
fn arguments<'l>(execute: &'l Lineage, prepared: &'l Lineage) -> impl Iterator<Item = Bound> + 'l {
    execute.bound.iter().flat_map(|argument| {
        let number = argument.column.as_argument();
        let compared =
            prepared.bound.iter().filter(move |bound| number.map(Place::Parameter) == Some(bound.place.clone()));
        compared.map(|bound| Bound { column: bound.column, place: argument.place.clone() })
    })
}

/// What a statement copies to the client.
pub(super) fn copies_out(statement: &Statement) -> Option<CopyOut> {
    let out = statement.copies == Some(CopyDirection::Out);
    out.then(|| statement.copy_options.clone().map_or(CopyOut::Untold, CopyOut::As))
}

/// Whether it writes where a rewrite rule may fire: in a relation that has one, or in a view above one.
pub(super) fn is_rewritten(statement: &Statement, scope: &Scope) -> bool {
    let writes = |operation: &Operation| matches!(operation.action, Action::Insert | Action::Update | Action::Delete);
    if !statement.operations.iter().any(writes) {
        return false;
    }
    let mut seen = statement.lineage.relations.clone();
    let mut at = 0;
    while let Some(relation) = seen.get(at).copied() {
        at += 1;
        let Some(relation) = scope.catalogue.relation(relation) else { continue };
        if !relation.rules.is_empty() {
            return true;
        }
        let below = relation.reads.iter().filter(|below| !seen.contains(below)).copied().collect::<Vec<_>>();
        seen.extend(below);
    }
    false
}

/// The same, but nobody knows what it returns, or whether it is all that comes.
pub(super) fn untold(lineage: &Lineage) -> Arc<Lineage> {
    let outputs = match lineage.outputs {
        Outputs::None => Outputs::None,
        Outputs::Known(_) | Outputs::Unknown(_) => Outputs::Unknown(Sources::unknown()),
    };
    Arc::new(Lineage { outputs, unknown: true, ..lineage.clone() })
}
