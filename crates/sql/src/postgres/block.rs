//! DO: the operations of a code block, through every text that it may run.
//!
//! Each piece of the body is read by the reader like a statement of its own, with the block's variables for names that
//! no column has. Which branch runs does not count: what a piece may do, the block may do. Behind a piece that changes
//! what names mean nothing is taken for known; where there are loops, no piece is before another.
//!
//! Promises: a block is read whole, or it is `dynamic` and `unknown`; one that was read needs what its pieces need, and
//! `execute language plpgsql`. Every value that it computes counts as put away (a variable can go anywhere) and as a
//! condition; what a cursor or an error may bring is unknown. A block with statements whose effect on the session cannot
//! be told (temporary relations, PREPARE, DECLARE, savepoints, settings that change how text is lexed) is not read.
//! Does not promise to tell how often a bounded write in a loop runs. Held by: `fixtures/sql/plpgsql.tsv` and
//! `tests/it/blocks.rs`.

use super::define::options;
use super::expression::constant;
use super::gather::Gathered;
use super::names::Standing;
use super::objects::item;
use super::plpgsql::{self, Block, Piece};
use super::reader::{NESTING, Reader};
use super::{lineage, parse};
use crate::lexical;
use crate::reading::{Effect, SearchPathValue};
use pg_query::protobuf::{DoStmt, RawStmt};
use pg_query::{NodeEnum, NodeRef};
use portcullis_model::{Action, Bound, ItemKind, Lineage, Mark, Marks, Outputs, Place, Sources, Usage, Use};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// The most columns that the values of a block are followed to, and the most writes: beyond, they are unknown.
const FOLLOWED: usize = 1024;

/// What the pieces add up to.
#[derive(Default)]
struct Sum {
    gathered: Gathered,
    lineage: Lineage,
    /// Everything that any of them computes.
    values: Sources,
    /// What decides about rows, errors and branches.
    conditions: Sources,
}

impl<'t> Reader<'_, 't> {
    /// DO.
    pub(super) fn code_block(&mut self, statement: &'t DoStmt) {
        let named = |name: &'static str| {
            let mut found = options(&statement.args).filter(move |option| option.defname == name);
            (found.next(), found.next().is_none())
        };
        let ((body, one_body), (language, one_language)) = (named("as"), named("language"));
        let language = language.map_or(Some("plpgsql"), |option| constant(option.arg.as_deref())).unwrap_or_default();
        let body = body.and_then(|option| constant(option.arg.as_deref()));
        let sum =
            body.filter(|_| one_body && one_language && language == "plpgsql").and_then(|body| self.read_block(body));
        match sum {
            Some(sum) => {
                self.add(Action::Execute, item(ItemKind::Language, language), Marks::NONE);
                self.take_block(sum);
            }
            None => self.unread_block(language),
        }
    }

    fn unread_block(&mut self, language: &str) {
        let marks = Marks::from(Mark::Dynamic);
        self.add(Action::Execute, item(ItemKind::Language, language), marks);
        self.unknown(marks);
        // It may set the path, make temporary relations, change role.
        self.unsettles();
    }

    fn unsettles(&mut self) {
        self.changes_catalogue();
        self.gathered.effects.push(Effect::SearchPath { value: SearchPathValue::Unknown, local: false });
    }

    fn read_block(&self, body: &str) -> Option<Sum> {
        if self.nesting >= NESTING {
            return None;
        }
        lexical::check(body, self.limits).ok()?;
        let block = plpgsql::read(body)?;
        let mut sum = self.pieces(&block, &self.standing)?;
        let again = block.ends_transaction || (block.repeats && sum.gathered.effects.iter().any(unsettles));
        if again && !self.standing.is_unsettled() {
            let mut standing = self.standing.clone();
            standing.unsettle();
            sum = self.pieces(&block, &standing)?;
        }
        if block.ends_transaction {
            sum.gathered.writes = true;
            sum.gathered.effects.push(Effect::ChangesCatalogue);
        }
        if block.takes_values {
            sum.values.add(&Sources::unknown());
            sum.lineage.unknown = true;
        }
        Some(sum)
    }

    /// Reads every piece; `None` where one cannot be.
    fn pieces(&self, block: &Block, standing: &Standing<'_>) -> Option<Sum> {
        let mut standing = standing.clone();
        let names = Arc::new(block.names.clone());
        let mut sum = Sum::default();
        for piece in &block.pieces {
            let (text, variables) = match piece {
                Piece::Statement(text) | Piece::Expression(text) => (text, Arc::clone(&names)),
                Piece::Constant(text) => {
                    lexical::check(text, self.limits).ok()?;
                    (text, Arc::default())
                }
            };
            standing.variables = variables;
            let tree = parse::parse(text).ok()?;
            match (piece, tree.stmts.as_slice()) {
                (Piece::Statement(_), [_]) | (Piece::Constant(_), _) => {}
                (Piece::Expression(_), [raw]) => {
                    matches!(node_of(raw)?, NodeRef::SelectStmt(_)).then_some(())?;
                }
                (Piece::Statement(_) | Piece::Expression(_), _) => return None,
            }
            for raw in &tree.stmts {
                self.piece(&standing, text, node_of(raw)?, super::span(text, raw), &mut sum)?;
                if !standing.is_unsettled() && sum.gathered.effects.iter().any(unsettles) {
                    standing.unsettle();
                }
            }
        }
        Some(sum)
    }

    fn piece(
        &self,
        standing: &Standing<'_>,
        text: &str,
        node: NodeRef<'_>,
        span: Range<usize>,
        sum: &mut Sum,
    ) -> Option<()> {
        let mut reader = Reader { nesting: self.nesting + 1, span, ..Reader::new(standing.clone(), self.limits, text) };
        reader.statement(node);
        let mut gathered = reader.gathered;
        let readable = gathered.fault.is_none()
            && gathered.copies.is_none()
            && gathered.executes.is_empty()
            && gathered.fetches.is_empty()
            && gathered.effects.iter().all(is_told);
        if !readable {
            return None;
        }
        match gathered.lineage.take() {
            Some(lineage) => sum.add(&lineage),
            None => sum.add(&lineage::of(standing, text, node).lineage),
        }
        sum.gathered.effects.append(&mut gathered.effects);
        sum.gathered.absorb(gathered);
        Some(())
    }

    fn take_block(&mut self, mut sum: Sum) {
        let effects = std::mem::take(&mut sum.gathered.effects);
        if effects.iter().any(unsettles) {
            self.unsettles();
        }
        let mut dropped = false;
        for effect in effects {
            if matches!(effect, Effect::DropsTemporary(_)) {
                // Whether it was there, or was made again, is not known: what was known may be gone.
                dropped = true;
            } else if matches!(effect, Effect::Role | Effect::Setting { .. })
                && !self.gathered.effects.contains(&effect)
            {
                self.gathered.effects.push(effect);
            }
        }
        if dropped {
            self.gathered.effects.push(Effect::DropsTemporary(None));
        }
        let lineage = std::mem::take(&mut sum.lineage);
        self.gathered.lineage = Some(finished(lineage, sum.values, sum.conditions, &self.span));
        self.gathered.absorb(sum.gathered);
    }
}

fn node_of(raw: &RawStmt) -> Option<NodeRef<'_>> {
    raw.stmt.as_ref()?.node.as_ref().map(NodeEnum::to_ref)
}

/// Whether the effect changes what names mean.
fn unsettles(effect: &Effect) -> bool {
    !matches!(effect, Effect::Setting { .. })
}

/// Whether what follows the effect can be told of a block as a whole.
fn is_told(effect: &Effect) -> bool {
    match effect {
        Effect::SearchPath { .. } | Effect::DropsTemporary(_) | Effect::ChangesCatalogue | Effect::Role => true,
        // These change how a text is taken apart.
        Effect::Setting { name, .. } => {
            let name = name.as_str();
            !name.starts_with("plpgsql.") && !matches!(name, "standard_conforming_strings" | "backslash_quote")
        }
        // Whether it is made hangs on the branch, and from then on its name means another relation.
        Effect::CreatesTemporary(_)
        | Effect::Begin
        | Effect::Commit { .. }
        | Effect::Rollback { .. }
        | Effect::Savepoint(_)
        | Effect::RollbackTo(_)
        | Effect::Release(_)
        | Effect::TwoPhase
        | Effect::Prepare { .. }
        | Effect::Deallocate(_)
        | Effect::DeclareCursor { .. }
        | Effect::CloseCursor(_)
        | Effect::DiscardAll
        | Effect::ResetAll => false,
    }
}

impl Sum {
    fn add(&mut self, lineage: &Lineage) {
        let outputs = lineage.all_outputs();
        self.values.add(&outputs);
        self.conditions.add(&outputs);
        for used in &lineage.uses {
            match used.usage {
                Usage::Written { into: None } => self.values.add(&used.sources),
                // In a loop, one comparison is as many as there are values.
                Usage::Equality | Usage::Condition => self.conditions.add(&used.sources),
                Usage::Written { into: Some(_) } => {
                    if self.lineage.uses.len() >= FOLLOWED {
                        self.values = Sources::unknown();
                    } else if !self.lineage.uses.contains(used) {
                        self.lineage.uses.push(used.clone());
                    }
                }
            }
        }
        for sources in [&mut self.values, &mut self.conditions] {
            if sources.columns().len() > FOLLOWED {
                *sources = Sources::unknown();
            }
        }
        self.lineage.bound.extend_from_slice(&lineage.bound);
        self.lineage.relations.extend_from_slice(&lineage.relations);
        // Values leave a block in messages too, which are not columns: what touches a relation is not all followed.
        self.lineage.unknown |= lineage.unknown || !lineage.relations.is_empty();
    }
}

/// The lineage of a block whose statement has these bytes.
fn finished(lineage: Lineage, values: Sources, conditions: Sources, span: &Range<usize>) -> Lineage {
    let columns: BTreeSet<_> = lineage.bound.iter().map(|bound| bound.column).collect();
    let relations: BTreeSet<_> = lineage.relations.into_iter().collect();
    let whole = [
        Use { sources: conditions, usage: Usage::Condition },
        Use { sources: values, usage: Usage::Written { into: None } },
    ];
    Lineage {
        outputs: Outputs::None,
        uses: lineage.uses.into_iter().chain(whole.into_iter().filter(|used| !used.sources.is_none())).collect(),
        // Positions inside the body are not positions of the text: the whole statement may hold the value.
        bound: columns.into_iter().map(|column| Bound { column, place: Place::Text(span.clone()) }).collect(),
        relations: relations.into_iter().collect(),
        unknown: lineage.unknown,
    }
}
