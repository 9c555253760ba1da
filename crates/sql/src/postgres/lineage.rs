//! Where the values of one statement come from and where they go.
//!
//! A pass of its own over the tree, beside the reader of operations: it evaluates each expression to what may flow into
//! it, with the range tables that the server would have. Names are resolved by the same [`Standing`]. `flow` has the
//! sets, `range` what is in sight, `query`, `from`, `join`, `order` and `recursion` follow queries, `value`, `operator`
//! and `call` expressions, with `scalar` for what is no array, `kind` for types, `collation` and `size` for what is
//! refused for these, and `settled` for constants that fail for no value, `write` the statements that write, `statement`
//! all others, `bound` constants beside columns, `derive` texts of the catalogue.
//!
//! What is counted as [`Usage::Condition`] is one use for the whole statement: every clause that decides about rows,
//! and every value whose computing may raise an error that depends on it (a division, a cast out of text), since an
//! error that comes or stays away tells as much as a row. What goes where no column of the catalogue receives it is one
//! [`Usage::Written`] without `into`.
//!
//! Promises: what cannot be followed is unknown, never left out; each query is followed once, however often it is
//! named. Does not promise to know what triggers, rules, defaults or implicit casts do with a value.
//! Held by: `fixtures/sql/lineage.tsv` and the properties in `tests/it/lineage.rs`.

mod bound;
mod call;
mod collation;
mod derive;
mod flow;
mod from;
mod join;
mod kind;
mod operator;
mod order;
mod query;
mod range;
mod recursion;
mod scalar;
mod settled;
mod size;
mod statement;
mod value;
mod write;

pub(crate) use derive::derive;

use super::names::Standing;
use flow::Flow;
use pg_query::NodeRef;
use portcullis_model::catalogue::Oid;
use portcullis_model::{Bound, ColumnId, Lineage, Outputs, Usage, Use};
use query::Cte;
use range::Level;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is known of one statement.
pub(super) struct Told {
    pub(super) lineage: Arc<Lineage>,
    /// Of the query of a DECLARE CURSOR: what FETCH returns.
    pub(super) cursor: Option<Arc<Lineage>>,
}

/// Follows one statement.
pub(super) fn of(standing: &Standing<'_>, text: &str, node: NodeRef<'_>) -> Told {
    let mut tracer = Tracer::new(standing, text);
    let outputs = tracer.statement(node);
    if let NodeRef::DeclareCursorStmt(_) = node {
        let query = tracer.finish(outputs);
        let declared = Lineage { outputs: Outputs::None, ..query.clone() };
        return Told { lineage: Arc::new(declared), cursor: Some(Arc::new(query)) };
    }
    Told { lineage: Arc::new(tracer.finish(outputs)), cursor: None }
}

/// A use as it is gathered.
#[derive(Debug)]
struct Used {
    flow: Flow,
    usage: Usage,
}

/// Follows the values of one statement.
pub(super) struct Tracer<'s, 't> {
    standing: &'s Standing<'s>,
    text: &'t str,
    levels: Vec<Level>,
    ctes: Vec<Cte<'t>>,
    /// What decides about rows or errors.
    conditions: Flow,
    /// What goes somewhere that is no column of the catalogue.
    kept: Flow,
    /// Every other use.
    uses: Vec<Used>,
    bound: Vec<Bound>,
    relations: BTreeSet<Oid>,
    unknown: bool,
    /// How many operations were met that may raise an error.
    risks: usize,
    /// How many columns of recursive queries got a stand-in.
    stand_ins: i16,
    /// The collations that the text names, beside the server's own.
    named_collations: Vec<String>,
}

impl<'s, 't> Tracer<'s, 't> {
    fn new(standing: &'s Standing<'s>, text: &'t str) -> Self {
        Self {
            standing,
            text,
            levels: Vec::new(),
            ctes: Vec::new(),
            conditions: Flow::none(),
            kept: Flow::none(),
            uses: Vec::new(),
            bound: Vec::new(),
            relations: BTreeSet::new(),
            unknown: false,
            risks: 0,
            stand_ins: 0,
            named_collations: Vec::new(),
        }
    }

    fn condition(&mut self, flow: &Flow) {
        self.conditions.add(flow);
    }

    /// An operation that may raise an error, and what decides whether it does.
    fn risk(&mut self, flow: &Flow) {
        self.risks += 1;
        self.conditions.add(flow);
    }

    /// A value goes into a column, or somewhere else.
    fn written(&mut self, into: Option<ColumnId>, flow: Flow) {
        if flow.is_none() {
            return;
        }
        match into {
            Some(_) => self.uses.push(Used { flow, usage: Usage::Written { into } }),
            None => self.kept.add(&flow),
        }
    }

    fn finish(self, outputs: Outputs) -> Lineage {
        let conditions = Used { flow: self.conditions, usage: Usage::Condition };
        let kept = Used { flow: self.kept, usage: Usage::Written { into: None } };
        let all = self.uses.into_iter().chain([conditions, kept]).filter(|used| !used.flow.is_none());
        Lineage {
            outputs,
            uses: all.map(|used| Use { sources: used.flow.sources(), usage: used.usage }).collect(),
            bound: self.bound,
            relations: self.relations.into_iter().collect(),
            unknown: self.unknown,
        }
    }
}
