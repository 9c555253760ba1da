//! The statements of one text in order, with what each runs by name: prepared statements by their texts, cursors by their
//! queries.
//!
//! Promises: a name means what the text so far and the session made of it; what cannot be found is a fault; a prepared
//! statement that the server may have analysed as something else is that too, or a fault; prepared
//! statements that run each other end at a depth. Held by: `tests/it/names.rs` against a real server.

use super::analysed::Judged;
use super::named::{copies_out, is_rewritten, with_named};
use super::{CopyOut, DEEPEST, Executed, Lookup, Made, Meaning, Opened, Read, Reader, Under, WaitFor};
use crate::core::names::Found;
use portcullis_model::{Counted, Lineage, Name, Operation, Place};
use portcullis_sql::{CopyDirection, Dialect, Effect, Reading, Savepoints, Scope, SearchPath, Statement};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The walk over one text's statements, in order.
pub(super) struct Walk<'a> {
    pub(super) reader: &'a Reader,
    pub(super) names: &'a dyn Lookup,
    pub(super) scope: &'a Scope,
    /// Prepared by this text so far; none is deallocated.
    pub(super) made: HashMap<Name, Option<Arc<str>>>,
    /// Opened by this text so far; none is closed.
    pub(super) opened: HashMap<Name, Option<Opened>>,
    /// A statement before this one changed what names mean.
    pub(super) unsure: bool,
    /// Savepoints of this text to which a rollback changes nothing about names.
    pub(super) saved: Savepoints,
    /// What EXECUTE ran before this statement changed what names mean, which the text was read without.
    pub(super) renamed: bool,
    /// What a statement that this one runs by name copies to the client.
    pub(super) copies: Option<CopyOut>,
    /// Rewrite rules may change what a statement that this one runs by name returns.
    pub(super) rewritten: bool,
    /// Whether the command tag of what a statement runs by name counts its rows.
    pub(super) counted: Option<Counted>,
    /// The operations listed so far: a text may run thousands of names.
    pub(super) listed: HashSet<Operation>,
}

impl<'a> Walk<'a> {
    /// Before the first statement of a text.
    pub(super) fn new(reader: &'a Reader, names: &'a dyn Lookup, scope: &'a Scope) -> Self {
        Self {
            reader,
            names,
            scope,
            made: HashMap::new(),
            opened: HashMap::new(),
            unsure: false,
            saved: Savepoints::default(),
            renamed: false,
            copies: None,
            rewritten: false,
            counted: None,
            listed: HashSet::new(),
        }
    }
}

impl Walk<'_> {
    /// What a statement runs by name and changes about names.
    pub(super) fn statement(
        &mut self,
        statement: &Statement,
        operations: &mut Vec<Operation>,
        effects: &mut Vec<Effect>,
        named: &mut Vec<Arc<Lineage>>,
        read: &mut Read,
        depth: usize,
    ) -> Result<(), WaitFor> {
        for name in &statement.executes {
            read.by_name = true;
            self.execute(name, operations, effects, named, read, depth)?;
        }
        for name in &statement.fetches {
            read.by_name = true;
            let opened = match self.opened.get(name) {
                Some(opened) => opened.clone().map_or(Found::Absent, Found::Here),
                None => self.names.cursor(name.as_str()),
            };
            match opened {
                Found::Here(opened) => {
                    self.add(operations, &opened.operations);
                    self.rewritten |= opened.rewritten;
                    // Numbers of columns mean something only in the catalogue that they are of.
                    let same = opened.catalogue.epoch() == self.scope.catalogue.epoch();
                    named.push(if same { opened.lineage } else { Arc::new(Lineage::untold()) });
                }
                Found::Wait(slot) => return Err(WaitFor(slot)),
                Found::Absent => read.missing("cursor", name.as_str(), "34000"),
            }
        }
        for effect in &statement.effects {
            self.effect(effect, statement, read);
        }
        Ok(())
    }

    /// What the statement has changed about names for those behind it; `effects`: its own, and those of what it runs by
    /// name. By Parse, SET and CREATE TEMPORARY TABLE are prepared like queries, and EXECUTE runs them.
    pub(super) fn passes(&mut self, statement: &Statement, effects: &[Effect], read: &mut Read) {
        if self.renamed {
            read.refuse("what EXECUTE runs before it changes what names mean: send it by itself".to_owned());
        }
        if !statement.executes.is_empty() {
            self.saved.forget();
        }
        for effect in effects {
            self.unsure |= self.saved.renames(effect);
        }
        // What a name stands for is followed here; all else is by whoever read the text, who did not see these.
        let ran = effects.get(statement.effects.len()..).unwrap_or_default();
        let named = |effect: &Effect| matches!(effect, Effect::Prepare { .. } | Effect::Deallocate(_));
        self.renamed |= ran.iter().any(|effect| effect.is_barrier() && !named(effect));
    }

    fn execute(
        &mut self,
        name: &Name,
        operations: &mut Vec<Operation>,
        effects: &mut Vec<Effect>,
        named: &mut Vec<Arc<Lineage>>,
        read: &mut Read,
        depth: usize,
    ) -> Result<(), WaitFor> {
        let made = match self.prepared(name) {
            Found::Here(made) => made,
            Found::Wait(slot) => return Err(WaitFor(slot)),
            Found::Absent => {
                read.missing("prepared statement", name.as_str(), "26000");
                return Ok(());
            }
        };
        if depth >= DEEPEST {
            self.add(operations, &[Operation::unknown()]);
            named.push(Arc::new(Lineage::untold()));
            return Ok(());
        }
        let (inner, meaning) = self.read_inner(&made.text);
        read.writes |= inner.writes();
        if read.fault.is_none() {
            read.fault.clone_from(&inner.fault);
        }
        self.add(operations, &inner.operations());
        let more = self.judged(name, made, meaning, operations, read);
        self.counted = match inner.statements.as_slice() {
            [_] if more.is_some() => None,
            [one] if one.executes.is_empty() => Some(one.counted.clone()),
            _ => None,
        };
        for statement in &inner.statements {
            read.copies_in |= statement.copies == Some(CopyDirection::In);
            self.copies = copies_out(statement).or(self.copies.take());
            self.rewritten |= is_rewritten(statement, self.scope);
            effects.extend(statement.effects.iter().cloned());
            let (mut deeper, mut below) = (Vec::new(), Vec::new());
            self.statement(statement, operations, &mut deeper, &mut below, read, depth + 1)?;
            effects.append(&mut deeper);
            let lineage = with_named(statement, &below);
            let lineage = more.as_ref().map_or_else(|| Arc::clone(&lineage), |more| more.blend(&lineage));
            // Places of values are those of the inner text; its parameters are the arguments of this one.
            let parameters = lineage.bound.iter().filter(|bound| matches!(bound.place, Place::Parameter(_)));
            let bound = parameters.cloned().collect();
            named.push(Arc::new(Lineage { bound, ..Lineage::clone(&lineage) }));
        }
        Ok(())
    }

    /// Lists operations that are not yet.
    fn add(&mut self, operations: &mut Vec<Operation>, more: &[Operation]) {
        for operation in more {
            if !self.listed.contains(operation) {
                self.listed.insert(operation.clone());
                operations.push(operation.clone());
            }
        }
    }

    fn prepared(&self, name: &Name) -> Found<Made> {
        match self.made.get(name) {
            // It was not analysed before this text.
            Some(Some(text)) => Found::Here(Made { text: Arc::clone(text), analysed: Arc::default() }),
            Some(None) => Found::Absent,
            None => self.names.prepared(name.as_str()),
        }
    }

    /// Notes that the statement is run, and what it may be besides what it reads as now.
    fn judged(
        &mut self,
        name: &Name,
        made: Made,
        meaning: Meaning,
        operations: &mut Vec<Operation>,
        read: &mut Read,
    ) -> Option<Box<Meaning>> {
        let under = if self.unsure { Under::Unknown } else { self.names.under() };
        let judged = made.analysed.judge(&meaning, &under);
        read.executed.push(Executed { name: name.clone(), text: made.text, under, meaning: Arc::new(meaning) });
        match judged {
            Judged::Same => None,
            Judged::Both(more) => {
                self.add(operations, more.operations());
                Some(more)
            }
            Judged::Other | Judged::Many => {
                read.moved(&judged);
                None
            }
        }
    }

    fn read_inner(&self, text: &str) -> (Arc<Reading>, Meaning) {
        let (cache, limits) = (&self.reader.cache, &self.reader.limits);
        if !self.unsure {
            let reading = cache.read(text, Dialect::Postgres, self.scope, limits);
            let meaning = Meaning::of(&reading, self.scope);
            return (reading, meaning);
        }
        let scope = Scope { search_path: SearchPath::Unknown, uncertain: true, ..self.scope.clone() };
        let reading = cache.read(text, Dialect::Postgres, &scope, limits);
        let meaning = Meaning::of(&reading, &scope);
        (reading, meaning)
    }

    fn effect(&mut self, effect: &Effect, statement: &Statement, read: &mut Read) {
        match effect {
            Effect::Prepare { name, text } => {
                read.not_reserved(name);
                self.made.insert(name.clone(), Some(Arc::clone(text)));
            }
            Effect::Deallocate(Some(name)) => {
                self.made.insert(name.clone(), None);
            }
            Effect::DeclareCursor { name, .. } => {
                read.not_reserved(name);
                let opened = Opened {
                    operations: statement.operations.clone().into(),
                    lineage: statement.cursor.clone().unwrap_or_else(|| Arc::new(Lineage::untold())),
                    catalogue: Arc::clone(&self.scope.catalogue),
                    // DECLARE takes nothing that writes.
                    rewritten: false,
                };
                self.opened.insert(name.clone(), Some(opened));
            }
            Effect::CloseCursor(Some(name)) => {
                self.opened.insert(name.clone(), None);
            }
            Effect::Begin
            | Effect::Commit { .. }
            | Effect::Rollback { .. }
            | Effect::Savepoint(_)
            | Effect::RollbackTo(_)
            | Effect::Release(_)
            | Effect::TwoPhase
            // What is prepared elsewhere is gone behind these; names of this text as well, since it is not said which.
            | Effect::Deallocate(None)
            | Effect::CloseCursor(None)
            | Effect::SearchPath { .. }
            | Effect::CreatesTemporary(_)
            | Effect::DropsTemporary(_)
            | Effect::ChangesCatalogue
            | Effect::DiscardAll
            | Effect::ResetAll
            | Effect::Role
            | Effect::Setting { .. } => {}
        }
    }
}

/// Adds operations that are not there yet.
pub(super) fn add(operations: &mut Vec<Operation>, more: &[Operation]) {
    let mut seen: HashSet<&Operation> = operations.iter().collect();
    let fresh: Vec<Operation> = more.iter().filter(|operation| seen.insert(*operation)).cloned().collect();
    drop(seen);
    operations.extend(fresh);
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_model::{Action, Object, QualifiedName, RelationKind};

    #[test]
    fn what_is_there_is_not_added_again() {
        let read = |name: &str| {
            let object = Object::relation(QualifiedName::new("public", name), RelationKind::Table);
            Operation::new(Action::Read, object)
        };
        let mut operations = vec![read("b")];
        add(&mut operations, &[read("a"), read("b"), read("a")]);
        assert_eq!(operations, [read("b"), read("a")]);
    }
}
