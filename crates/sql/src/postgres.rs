//! PostgreSQL: the grammar's own tree, walked whole.
//!
//! `parse` makes the tree or a fault; `statement` maps every statement to what it does; `query` and `expression` walk
//! the rest; `lineage` follows values; `names` resolves; `notation` tells calls that are written as columns; `bounds`
//! decides what is unbounded; `block` reads DO through `plpgsql`; `preview` finds what can be asked before a write;
//! `spread` follows writes through the catalogue; `steps` counts it all.
//! Promises: a text is read with one scope that changes along it as its statements change the session: behind DDL, a
//! relation that was touched by it has schema `?`; behind a path or transaction end that cannot be told, every
//! unqualified name has. What a statement does that EXECUTE runs is not known here: whoever knows its text must not
//! believe what stands behind it (`protocols/postgres/classify`). Held by: `postgres/tests.rs` over `fixtures/sql/`,
//! and `tests/it/scopes.rs`.

mod access;
mod alter;
mod block;
mod bounds;
mod children;
mod copy_options;
mod counted;
mod define;
mod drop;
mod expression;
mod gather;
mod lineage;
mod lists;
mod names;
mod notation;
mod objects;
mod older;
mod parse;
mod plpgsql;
pub(crate) mod preview;
mod query;
mod reader;
mod server;
mod session;
mod spread;
mod statement;
mod steps;
mod types;
mod writes;

pub(crate) use lineage::derive;
pub use lists::{Unquoted, listed_names};

#[cfg(test)]
mod tests;

use crate::lexical;
use crate::reading::{Effect, Reading, Savepoints, SearchPathValue, Statement};
use crate::scope::{Limits, Scope, SearchPath};
use gather::Gathered;
use names::Standing;
use pg_query::protobuf::{self, RawStmt};
use portcullis_model::{Action, Fault, Object, Operation, Part};
use reader::Reader;
use std::ops::Range;
use std::sync::Arc;
use steps::Steps;

/// The stack that a text of this many bytes can need: a level of nesting takes a byte at least, and no level more than
/// this much. Most texts are short and are read where they are; for others a new stack is taken.
fn stack_needed(text: &str) -> usize {
    const BASE: usize = 192 << 10;
    const EACH_BYTE: usize = 4 << 10;
    text.len().saturating_mul(EACH_BYTE).saturating_add(BASE).min(24 << 20)
}

/// Reads a PostgreSQL text.
pub(crate) fn read(text: &str, scope: &Scope, limits: &Limits) -> Reading {
    read_within(text, scope, limits, &Steps::new(steps::MOST))
}

/// Reads a text in so many steps.
fn read_within(text: &str, scope: &Scope, limits: &Limits, steps: &Steps) -> Reading {
    if let Err(fault) = lexical::check(text, limits) {
        return refused(text, fault);
    }
    stacker::maybe_grow(stack_needed(text), parse::STACK_BYTES, || {
        let tree = match parse::parse(text) {
            Ok(tree) => tree,
            Err(fault) => return refused(text, fault),
        };
        read_tree(text, &tree, scope, limits, steps)
    })
}

fn refused(text: &str, fault: Fault) -> Reading {
    let secrets = parse::secrets(text);
    Reading { secrets, ..Reading::faulty(text, fault) }
}

fn read_tree(text: &str, tree: &protobuf::ParseResult, scope: &Scope, limits: &Limits, steps: &Steps) -> Reading {
    let standing = Standing { steps: steps.clone(), ..Standing::new(scope) };
    let mut course = Course { standing, began: false, saved: Savepoints::default() };
    let mut statements = Vec::with_capacity(tree.stmts.len());
    for raw in &tree.stmts {
        let span = span(text, raw);
        let Some(node) = raw.stmt.as_ref().and_then(|stmt| stmt.node.as_ref()).map(pg_query::NodeEnum::to_ref) else {
            statements.push(Statement::unknown(span, ""));
            continue;
        };
        // What is known so far is copied for each statement.
        if !steps.take(1 + course.standing.weight()) {
            return refused(text, steps::too_large());
        }
        // Positions count from the start of the whole text; PREPARE wants its own.
        let mut reader = Reader::new(course.standing.clone(), limits, text);
        reader.span = span.clone();
        reader.statement(node);
        let Reader { mut gathered, .. } = reader;
        if steps.are_out() {
            return refused(text, steps::too_large());
        }
        if let Some(fault) = gathered.fault.take() {
            return refused(text, fault);
        }
        let operations = gathered.operations();
        let counted = counted::of(&course.standing.scope.catalogue, node, &gathered, &operations);
        let told = match gathered.lineage.take() {
            Some(lineage) => lineage::Told { lineage: Arc::new(lineage), cursor: None },
            None => lineage::of(&course.standing, text, node),
        };
        if steps.are_out() {
            return refused(text, steps::too_large());
        }
        course.passes(&gathered, &operations, node);
        statements.push(Statement {
            span,
            tag: children::tag(node),
            operations,
            effects: gathered.effects,
            writes: gathered.writes,
            executes: gathered.executes,
            fetches: gathered.fetches,
            copies: gathered.copies,
            copy_options: gathered.copy_options,
            counted,
            lineage: told.lineage,
            cursor: told.cursor,
        });
    }
    Reading { statements, fault: None, secrets: parse::secrets(text) }
}

/// The bytes of a statement, blanks around it left out.
fn span(text: &str, raw: &RawStmt) -> Range<usize> {
    let start = usize::try_from(raw.stmt_location).unwrap_or(0).min(text.len());
    let length = usize::try_from(raw.stmt_len).unwrap_or(0);
    let end = if length == 0 { text.len() } else { (start + length).min(text.len()) };
    let Some(slice) = text.get(start..end) else { return 0..text.len() };
    let front = slice.len() - slice.trim_start().len();
    start + front..start + front + slice.trim().len()
}

/// How the meaning of names changes along a text.
struct Course<'s> {
    standing: Standing<'s>,
    /// The open transaction was begun in this text, so what it set is known.
    began: bool,
    /// A rollback to one of these leaves names as they are.
    saved: Savepoints,
}

impl Course<'_> {
    fn passes(&mut self, gathered: &Gathered, operations: &[Operation], node: pg_query::NodeRef<'_>) {
        // What a prepared statement does about savepoints is not told here.
        if !gathered.executes.is_empty() {
            self.saved.forget();
        }
        for effect in &gathered.effects {
            self.effect(effect);
        }
        if gathered.effects.contains(&Effect::ChangesCatalogue) {
            self.touched(operations, node);
        }
    }

    fn effect(&mut self, effect: &Effect) {
        let renames = self.saved.renames(effect);
        let standing = &mut self.standing;
        match effect {
            Effect::Begin => self.began = true,
            Effect::SearchPath { value, local } => {
                standing.path = match value {
                    SearchPathValue::List(names) if (!local || self.began) && !standing.path_doubted => {
                        standing.scope.effective_path(names)
                    }
                    SearchPathValue::List(_) | SearchPathValue::Default | SearchPathValue::Unknown => {
                        SearchPath::Unknown
                    }
                };
                standing.path_changed = true;
                standing.path_doubted |= *value == SearchPathValue::Unknown;
            }
            // What ends here may have set the path, and temporary relations may go with it.
            Effect::Commit { .. } | Effect::Rollback { .. } => {
                if !self.began || standing.path_changed {
                    standing.path = SearchPath::Unknown;
                }
                self.began = false;
                self.ends();
            }
            Effect::RollbackTo(_) if !renames => {}
            Effect::RollbackTo(_) | Effect::TwoPhase => {
                standing.path = SearchPath::Unknown;
                standing.uncertain = true;
                self.ends();
            }
            Effect::DiscardAll => {
                standing.path = SearchPath::Unknown;
                standing.temporary = Arc::default();
            }
            Effect::ResetAll | Effect::Role => standing.path = SearchPath::Unknown,
            Effect::CreatesTemporary(names) => {
                Arc::make_mut(&mut standing.temporary).extend(names.iter().cloned());
            }
            Effect::DropsTemporary(names) => {
                let temporary = Arc::make_mut(&mut standing.temporary);
                match names {
                    Some(names) => names.iter().for_each(|name| {
                        temporary.remove(name);
                    }),
                    None => temporary.clear(),
                }
                standing.uncertain = true;
            }
            Effect::ChangesCatalogue => standing.uncertain = true,
            Effect::Savepoint(_)
            | Effect::Release(_)
            | Effect::Prepare { .. }
            | Effect::Deallocate(_)
            | Effect::DeclareCursor { .. }
            | Effect::CloseCursor(_)
            | Effect::Setting { .. } => {}
        }
    }

    /// Behind the end of a transaction, what it made may be gone again.
    fn ends(&mut self) {
        let gone: Vec<_> = self.standing.temporary.iter().cloned().collect();
        let made =
            self.standing.made.iter().filter_map(|made| made.name.as_str().map(portcullis_model::Name::canonical));
        for name in made.collect::<Vec<_>>().into_iter().chain(gone) {
            self.standing.touch(name);
        }
    }

    /// Relations that DDL touched are not what the catalogue says any more; a plain new table is what its name says.
    fn touched(&mut self, operations: &[Operation], node: pg_query::NodeRef<'_>) {
        let plain_table = match node {
            pg_query::NodeRef::CreateStmt(create) => {
                create.inh_relations.is_empty() && create.partbound.is_none() && !create.if_not_exists
            }
            pg_query::NodeRef::CreateTableAsStmt(create) => !create.if_not_exists,
            pg_query::NodeRef::SelectStmt(_) => true,
            _ => false,
        };
        for operation in operations {
            match (operation.action, &operation.object) {
                (Action::Create, Object::Relation { name, .. }) if plain_table => {
                    self.standing.made.insert(name.clone());
                }
                (Action::Create | Action::Alter | Action::Drop, Object::Relation { name, .. }) => match &name.name {
                    Part::Known(name) => self.standing.touch(name.clone()),
                    Part::Unknown => self.standing.forget(),
                },
                (
                    Action::Create | Action::Alter | Action::Drop | Action::Unknown,
                    Object::Unknown | Object::Schema(_),
                ) => {
                    self.standing.forget();
                }
                _ => {}
            }
        }
        if let pg_query::NodeRef::RenameStmt(rename) = node {
            self.standing.touch(portcullis_model::Name::canonical(rename.newname.as_str()));
        }
    }
}
