//! A text to what it would do: the reading, with the texts of the prepared statements and cursors that it runs.
//!
//! Promises: `EXECUTE p` is judged as the text of `p` read under today's scope, also from inside EXPLAIN or CREATE TABLE
//! AS; `FETCH c` as the query of `c`; a name that this session did not make is a fault, never a guess; names that stand
//! for the gateway's refusals cannot be made by SQL either.
//! Within one text, what follows a change of meaning is read in a scope that knows no search path.
//!
//! Does not promise to know cursors that functions open: their names are unknown, and refused.
//! Held by: the tests below, and `tests/it/names.rs` against a real server.

use crate::core::names::Found;
use crate::message::RESERVED_PREFIX;
use portcullis_model::{
    Action, Bound, Catalogue, ColumnId, Command, Digest, Fault, Followed, Lineage, Mark, Name, Object, Operation,
    Outputs, Part, Place, Source, Sources, Text, Usage, Use,
};
use portcullis_sql::{
    Cache, CopyDirection, CopyOptions, Dialect, Effect, Limits, Reading, Scope, SearchPath, Statement,
};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

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
    /// The text of a prepared statement.
    fn prepared(&self, name: &str) -> Found<Arc<str>>;
    /// What the query of a cursor or portal does.
    fn cursor(&self, name: &str) -> Found<Opened>;
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
    pub(crate) fault: Option<Fault>,
    /// The SQLSTATE of the fault, where it is not that of its kind.
    pub(crate) sqlstate: Option<&'static str>,
    secrets: Arc<[Range<usize>]>,
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
            fault: None,
            sqlstate: None,
            secrets: Arc::new([]),
        }
    }

    /// Whether it names something that the catalogue does not have.
    pub(crate) const fn is_missing(&self) -> bool {
        matches!(self.fault, Some(Fault::Missing { .. })) && self.sqlstate.is_none()
    }

    /// Whether it was read as the same as the other: what it runs by name has not changed since.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.operations == other.operations
            && self.lineages == other.lineages
            && self.effects == other.effects
            && self.copies_out == other.copies_out
            && self.rewritten == other.rewritten
            && self.fault == other.fault
            && self.catalogue.epoch() == other.catalogue.epoch()
            && (self.writes, self.copies_in, self.barrier) == (other.writes, other.copies_in, other.barrier)
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
    /// Reads a text in a scope.
    pub(crate) fn read(&self, text: &Arc<str>, scope: &Scope, names: &dyn Lookup) -> Result<Read, WaitFor> {
        let reading = self.cache.read(text, Dialect::Postgres, scope, &self.limits);
        let mut walk = Walk {
            reader: self,
            names,
            scope,
            made: HashMap::new(),
            opened: HashMap::new(),
            unsure: false,
            copies: None,
            rewritten: false,
        };
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
            fault: reading.fault.clone(),
            sqlstate: None,
            secrets: reading.secrets.as_slice().into(),
        };
        let mut operations = reading.operations();
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
            walk.unsure |= effects.iter().any(Effect::is_barrier);
            read.effects.push(effects);
        }
        read.code = operations.iter().map(code).max().unwrap_or(Code::Read);
        read.barrier |= read.code == Code::Dynamic;
        read.operations = operations.into();
        read.lineages = lineages.into();
        Ok(read)
    }
}

/// The walk over one text's statements, in order.
struct Walk<'a> {
    reader: &'a Reader,
    names: &'a dyn Lookup,
    scope: &'a Scope,
    /// Prepared by this text so far; none is deallocated.
    made: HashMap<Name, Option<Arc<str>>>,
    /// Opened by this text so far; none is closed.
    opened: HashMap<Name, Option<Opened>>,
    /// A statement before this one changed what names mean.
    unsure: bool,
    /// What a statement that this one runs by name copies to the client.
    copies: Option<CopyOut>,
    /// Rewrite rules may change what a statement that this one runs by name returns.
    rewritten: bool,
}

impl Walk<'_> {
    fn statement(
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
                    add(operations, &opened.operations);
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

    fn execute(
        &mut self,
        name: &Name,
        operations: &mut Vec<Operation>,
        effects: &mut Vec<Effect>,
        named: &mut Vec<Arc<Lineage>>,
        read: &mut Read,
        depth: usize,
    ) -> Result<(), WaitFor> {
        let prepared = match self.made.get(name) {
            Some(made) => made.clone().map_or(Found::Absent, Found::Here),
            None => self.names.prepared(name.as_str()),
        };
        let text = match prepared {
            Found::Here(text) => text,
            Found::Wait(slot) => return Err(WaitFor(slot)),
            Found::Absent => {
                read.missing("prepared statement", name.as_str(), "26000");
                return Ok(());
            }
        };
        if depth >= DEEPEST {
            add(operations, &[Operation::unknown()]);
            named.push(Arc::new(Lineage::untold()));
            return Ok(());
        }
        let inner = self.read_inner(&text);
        read.writes |= inner.writes();
        if read.fault.is_none() {
            read.fault.clone_from(&inner.fault);
        }
        add(operations, &inner.operations());
        for statement in &inner.statements {
            read.copies_in |= statement.copies == Some(CopyDirection::In);
            self.copies = copies_out(statement).or(self.copies.take());
            self.rewritten |= is_rewritten(statement, self.scope);
            effects.extend(statement.effects.iter().cloned());
            let (mut deeper, mut below) = (Vec::new(), Vec::new());
            self.statement(statement, operations, &mut deeper, &mut below, read, depth + 1)?;
            effects.append(&mut deeper);
            let lineage = with_named(statement, &below);
            // Places of values are those of the inner text; its parameters are the arguments of this one.
            let parameters = lineage.bound.iter().filter(|bound| matches!(bound.place, Place::Parameter(_)));
            let bound = parameters.cloned().collect();
            named.push(Arc::new(Lineage { bound, ..Lineage::clone(&lineage) }));
        }
        Ok(())
    }

    fn read_inner(&self, text: &str) -> Arc<Reading> {
        let (cache, limits) = (&self.reader.cache, &self.reader.limits);
        if !self.unsure {
            return cache.read(text, Dialect::Postgres, self.scope, limits);
        }
        let scope = Scope { search_path: SearchPath::Unknown, uncertain: true, ..self.scope.clone() };
        cache.read(text, Dialect::Postgres, &scope, limits)
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

    fn refuse(&mut self, message: String) {
        if self.fault.is_none() {
            self.fault = Some(Fault::Unsupported { message: message.into() });
        }
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

/// The lineage of a statement with that of what it runs by name: EXECUTE and FETCH return what the other returns, EXPLAIN
/// tells of it, anything else keeps it.
fn with_named(statement: &Statement, named: &[Arc<Lineage>]) -> Arc<Lineage> {
    if named.is_empty() {
        return Arc::clone(&statement.lineage);
    }
    let mut lineage = Lineage::clone(&statement.lineage);
    for other in named {
        match statement.tag {
            "ExecuteStmt" | "FetchStmt" if named.len() == 1 => lineage.outputs = other.outputs.clone(),
            "ExplainStmt" => {
                let rows = other.relations.iter().map(|relation| Sources::column(ColumnId::row(*relation)));
                let mut told = rows.fold(other.all_outputs().with(&lineage.all_outputs()), |all, row| all.with(&row));
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
fn copies_out(statement: &Statement) -> Option<CopyOut> {
    let out = statement.copies == Some(CopyDirection::Out);
    out.then(|| statement.copy_options.clone().map_or(CopyOut::Untold, CopyOut::As))
}

/// Whether it writes where a rewrite rule may fire: in a relation that has one, or in a view above one.
fn is_rewritten(statement: &Statement, scope: &Scope) -> bool {
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
fn untold(lineage: &Lineage) -> Arc<Lineage> {
    let outputs = match lineage.outputs {
        Outputs::None => Outputs::None,
        Outputs::Known(_) | Outputs::Unknown(_) => Outputs::Unknown(Sources::unknown()),
    };
    Arc::new(Lineage { outputs, unknown: true, ..lineage.clone() })
}

fn add(operations: &mut Vec<Operation>, more: &[Operation]) {
    for operation in more {
        if !operations.contains(operation) {
            operations.push(operation.clone());
        }
    }
}
