//! A text to what it would do: the reading, with the texts of the prepared statements and cursors that it runs.
//!
//! Promises: `EXECUTE p` is judged as the text of `p` read under today's scope, also from inside EXPLAIN or CREATE TABLE
//! AS; `FETCH c` as the query of `c`; a name that this session did not make is a fault, never a guess; names that stand
//! for the gateway's refusals cannot be made by SQL either. Of a statement that the server does not plan ahead it is told
//! that its names are looked up when it runs ([`Read::late`]). What is run by name is judged as whatever the server may have
//! analysed it as ([`Analysed`]).
//! Within one text, what follows a change of meaning is read in a scope that knows no search path; where the change was
//! made by what EXECUTE runs, nothing may follow.
//!
//! Does not promise to know cursors that functions open: their names are unknown, and refused.
//! Held by: `classify/tests.rs`, `tests/it/names.rs` and `tests/it/scope.rs` against a real server.

mod analysed;
mod named;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use analysed::{Analysed, Executed, Meaning, Under};

use crate::core::names::Found;
use crate::message::RESERVED_PREFIX;
use named::{copies_out, is_rewritten, untold, with_named};
use portcullis_model::{
    Action, Catalogue, Command, Counted, Digest, Fault, Followed, Lineage, Mark, Name, Object, Operation, Part, Source,
    Text,
};
use portcullis_sql::{
    Cache, CopyDirection, CopyOptions, Dialect, Effect, Limits, Reading, Scope, SearchPathValue, Statement,
};
use std::ops::Range;
use std::sync::Arc;
use walk::Walk;

/// How deep prepared statements may run each other.
const DEEPEST: usize = 8;

/// Reads texts; shared by all sessions.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) cache: Arc<Cache>,
    pub(crate) limits: Limits,
}

/// What names of this session mean.
pub(crate) trait Lookup {
    /// A prepared statement.
    fn prepared(&self, name: &str) -> Found<Made>;
    /// The search path of this moment.
    fn under(&self) -> Under;
    /// What the query of a cursor or portal does.
    fn cursor(&self, name: &str) -> Found<Opened>;
}

/// What a prepared statement is: its text, and what that named.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) text: Arc<str>,
    pub(crate) analysed: Arc<Analysed>,
}

/// What the query of a cursor or portal does, and where its values come from.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) operations: Arc<[Operation]>,
    pub(crate) lineage: Arc<Lineage>,
    /// The catalogue that it was read against.
    pub(crate) catalogue: Arc<Catalogue>,
    /// Whether rewrite rules may put other rows in the place of those that its text is about.
    pub(crate) rewritten: bool,
}

/// What a text would do, names of the session resolved.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) text: Arc<str>,
    pub(crate) operations: Arc<[Operation]>,
    /// For each statement, what it changes about later text.
    pub(crate) effects: Vec<Vec<Effect>>,
    /// For each statement, where its values come from and go, with those of what it runs by name.
    pub(crate) lineages: Arc<[Arc<Lineage>]>,
    /// For each statement that declares a cursor, what its rows are.
    pub(crate) cursors: Vec<Option<Arc<Lineage>>>,
    /// For each statement that copies to the client, in which form.
    pub(crate) copies_out: Vec<Option<CopyOut>>,
    /// For each statement, whether rewrite rules may put other rows in the place of those that its text is about.
    rewritten: Vec<bool>,
    /// What names were resolved against.
    pub(crate) catalogue: Arc<Catalogue>,
    /// Whether it makes changes lasting although its operations do not say so.
    pub(crate) writes: bool,
    /// Whether a statement of it reads COPY data from the client.
    pub(crate) copies_in: bool,
    /// Whether later text is judged only after its reply.
    pub(crate) barrier: bool,
    pub(crate) code: Code,
    /// Whether it runs statements or cursors by name, so that it means something else when they do.
    pub(crate) by_name: bool,
    /// The prepared statements that it runs by name, and what they name now.
    pub(crate) executed: Vec<Executed>,
    /// Whether the server looks up what a statement of it names when it is run, not when it is bound.
    pub(crate) late: bool,
    /// Whether its command tag says how many rows it wrote.
    pub(crate) counted: Counted,
    pub(crate) fault: Option<Fault>,
    /// The SQLSTATE of the fault, where it is not that of its kind.
    pub(crate) sqlstate: Option<&'static str>,
    secrets: Arc<[Range<usize>]>,
    /// The text as it was read, without what it runs by name.
    reading: Option<Arc<Reading>>,
    /// What it may mean besides, if it is a prepared statement's.
    besides: Option<Box<Meaning>>,
}

/// The form of what a COPY sends to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CopyOut {
    /// This.
    As(CopyOptions),
    /// It could not be told.
    Untold,
}

/// Code that a text runs and that no reader has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Code {
    /// None.
    Read,
    /// Functions that users defined.
    Functions,
    /// Code that is not statically known.
    Dynamic,
}

/// The answer to this slot decides what the text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitFor(pub(crate) u64);

impl Read {
    /// The command that running this text is.
    pub(crate) fn command(&self, digest: Digest) -> Command {
        let text = Text::redacted(&self.text, &self.secrets);
        match &self.fault {
            Some(fault) => Command::faulty(Source::Sql, text, fault.clone(), digest),
            None => {
                let mut command =
                    Command::new(Source::Sql, text, Arc::clone(&self.operations), digest).writing(self.writes);
                command.counted = self.counted.clone();
                let (catalogue, lineages) = (Arc::clone(&self.catalogue), Arc::clone(&self.lineages));
                command.followed =
                    Some(Followed::new(catalogue, lineages, Arc::clone(&self.text), Arc::clone(&self.secrets)));
                command
            }
        }
    }

    /// What a cursor that SQL declared does when it is run by name.
    pub(crate) fn of_cursor(opened: &Opened) -> Self {
        Self {
            text: "".into(),
            operations: Arc::clone(&opened.operations),
            effects: Vec::new(),
            lineages: [Arc::clone(&opened.lineage)].into(),
            cursors: Vec::new(),
            copies_out: Vec::new(),
            rewritten: vec![opened.rewritten],
            catalogue: Arc::clone(&opened.catalogue),
            writes: false,
            copies_in: false,
            barrier: false,
            code: Code::Read,
            by_name: true,
            executed: Vec::new(),
            late: false,
            counted: Counted::not("its rows are fetched"),
            fault: None,
            sqlstate: None,
            secrets: Arc::new([]),
            reading: None,
            besides: None,
        }
    }

    /// Whether it names something that the catalogue does not have.
    pub(crate) const fn is_missing(&self) -> bool {
        matches!(self.fault, Some(Fault::Missing { .. })) && self.sqlstate.is_none()
    }

    /// Whether it was read as the same as the other: what it runs by name has not changed since.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.means_the_same(other) && self.catalogue.epoch() == other.catalogue.epoch()
    }

    /// Whether it means what the other does, whichever catalogue said so.
    pub(crate) fn means_the_same(&self, other: &Self) -> bool {
        self.operations == other.operations
            && self.lineages == other.lineages
            && self.effects == other.effects
            && self.copies_out == other.copies_out
            && self.rewritten == other.rewritten
            && self.counted == other.counted
            && self.fault == other.fault
            && (self.writes, self.copies_in, self.barrier) == (other.writes, other.copies_in, other.barrier)
    }

    /// Whether it sets no search path of schemas whose names are not plain ASCII.
    pub(crate) fn has_plain_path(&self) -> bool {
        let is_foreign = |effect: &Effect| {
            matches!(effect, Effect::SearchPath { value: SearchPathValue::List(schemas), .. }
                if !schemas.iter().all(|schema| schema.as_str().is_ascii()))
        };
        !self.effects.iter().flatten().any(is_foreign)
    }

    /// Whether it writes rows that a rule could limit and its command tag counts.
    pub(crate) const fn may_be_limited(&self) -> bool {
        matches!(self.counted, Counted::Whole | Counted::Outer { .. })
    }

    /// Whether rewrite rules may put other rows in the place of those of the statement at this place.
    pub(crate) fn is_rewritten(&self, statement: usize) -> bool {
        self.rewritten.get(statement).copied().unwrap_or(false)
    }

    /// What the statement at this place changes about later text.
    pub(crate) fn effects_of(&self, statement: usize) -> &[Effect] {
        self.effects.get(statement).map_or(&[], Vec::as_slice)
    }
}

impl Reader {
    /// Reads a text in a scope. Where it `is_unsaid` how the server reads strings, a text of two readings is refused.
    pub(crate) fn read(
        &self,
        text: &Arc<str>,
        scope: &Scope,
        names: &dyn Lookup,
        is_unsaid: bool,
    ) -> Result<Read, WaitFor> {
        let limits = Limits { pinned_strings: self.limits.pinned_strings && !is_unsaid, ..self.limits };
        let reading = self.cache.read(text, Dialect::Postgres, scope, &limits);
        let mut walk = Walk::new(self, names, scope);
        let mut read = Read {
            text: Arc::clone(text),
            operations: Arc::new([]),
            effects: Vec::with_capacity(reading.statements.len()),
            lineages: Arc::new([]),
            cursors: Vec::with_capacity(reading.statements.len()),
            copies_out: Vec::with_capacity(reading.statements.len()),
            rewritten: Vec::with_capacity(reading.statements.len()),
            catalogue: Arc::clone(&scope.catalogue),
            writes: reading.writes(),
            copies_in: reading.statements.iter().any(|statement| statement.copies == Some(CopyDirection::In)),
            barrier: false,
            code: Code::Read,
            by_name: false,
            executed: Vec::new(),
            late: reading.statements.iter().any(is_late),
            counted: Counted::Nothing,
            fault: reading.fault.clone(),
            sqlstate: None,
            secrets: reading.secrets.as_slice().into(),
            reading: Some(Arc::clone(&reading)),
            besides: None,
        };
        let mut operations = reading.operations();
        walk.listed.extend(operations.iter().cloned());
        let mut lineages = Vec::with_capacity(reading.statements.len());
        for statement in &reading.statements {
            let mut effects = statement.effects.clone();
            let mut named = Vec::new();
            walk.statement(statement, &mut operations, &mut effects, &mut named, &mut read, 0)?;
            walk.rewritten |= is_rewritten(statement, scope);
            let lineage = with_named(statement, &named);
            let rewritten = std::mem::take(&mut walk.rewritten);
            lineages.push(if rewritten { untold(&lineage) } else { lineage });
            read.rewritten.push(rewritten);
            read.cursors.push(statement.cursor.clone());
            read.copies_out.push(copies_out(statement).or(walk.copies.take()));
            // A cursor's name is only known behind the reply.
            let names = |effect: &Effect| matches!(effect, Effect::DeclareCursor { .. } | Effect::CloseCursor(_));
            read.barrier |= effects.iter().any(|effect| effect.is_barrier() || names(effect));
            walk.passes(statement, &effects, &mut read);
            read.effects.push(effects);
        }
        read.counted = counted(&reading.statements, walk.counted.take());
        read.code = operations.iter().map(code).max().unwrap_or(Code::Read);
        read.barrier |= read.code == Code::Dynamic;
        read.operations = operations.into();
        read.lineages = lineages.into();
        Ok(read)
    }
}

impl Read {
    fn missing(&mut self, what: &str, name: &str, sqlstate: &'static str) {
        if self.fault.is_none() {
            self.fault =
                Some(Fault::Missing { message: format!("{what} \"{name}\" does not exist").into(), position: None });
            self.sqlstate = Some(sqlstate);
        }
    }

    fn not_reserved(&mut self, name: &Name) {
        if name.as_str().starts_with(RESERVED_PREFIX) {
            self.refuse(format!("names that begin with \"{RESERVED_PREFIX}\" are the gateway's own"));
        }
    }

    pub(crate) fn refuse(&mut self, message: String) {
        if self.fault.is_none() {
            self.fault = Some(Fault::Unsupported { message: message.into() });
        }
    }
}

/// Whether the server looks up what the statement names when it runs. Queries and writes are analysed and planned before, all
/// else is not, or not as a whole: SELECT INTO makes its table when it runs.
fn is_late(statement: &Statement) -> bool {
    let planned = matches!(statement.tag, "SelectStmt" | "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt");
    !planned || !statement.effects.is_empty()
}

/// Whether the command tag of a text's one statement says how many rows it wrote; of EXECUTE, whether that of what it runs
/// does, which is what the server sends.
fn counted(statements: &[Statement], executed: Option<Counted>) -> Counted {
    match statements {
        [] => Counted::Nothing,
        [one] if one.tag == "ExecuteStmt" => {
            // Its arguments may call anything.
            let plain = one.operations.iter().all(|operation| operation.action == Action::Session);
            executed.filter(|_| plain).unwrap_or_else(|| Counted::not("what it runs is not known for certain"))
        }
        [one] => one.counted.clone(),
        [_, _, ..] => Counted::not("it is one of several statements in one text"),
    }
}

/// What an operation runs that nobody has read. Functions of the server itself change nothing about names but what
/// their effects say.
fn code(operation: &Operation) -> Code {
    if operation.marks.contains(Mark::Dynamic) || operation.action == Action::Unknown {
        return Code::Dynamic;
    }
    match (&operation.action, &operation.object) {
        (Action::Execute | Action::Call, Object::Function(name)) if name.schema != Part::known("pg_catalog") => {
            Code::Functions
        }
        _ => Code::Read,
    }
}
