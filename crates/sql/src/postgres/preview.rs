//! What can be asked about how many rows a statement would write, before it runs.
//!
//! Promises: only one plain INSERT, UPDATE, DELETE or MERGE is asked about, over tables that the catalogue knows by name,
//! with functions and operators of the server's own that are pure, with no type that users defined, and with nothing that
//! is different for another session (`preview/parts.rs`); what is asked is that statement itself behind EXPLAIN, or a
//! SELECT made of its own FROM and WHERE (`preview/count.rs`) and read again before it is given out.
//! Does not promise that planning or counting runs no code of users: constraints, indexes, policies and casts may, and so
//! may what users defined since the catalogue was read. Whoever asks looks at those first, in the database.
//! Held by: `tests/it/preview.rs`, and with real servers `protocols/postgres/tests/it/previews.rs`.

mod count;
mod parts;

pub use parts::Mentioned;

use super::children::children;
use super::names::Standing;
use super::{parse, stack_needed};
use crate::reading::{Reading, Statement};
use crate::scope::{Limits, Scope, SearchPath};
use parts::Parts;
use pg_query::protobuf::{InsertStmt, ParseResult};
use pg_query::{NodeEnum, NodeRef};
use portcullis_model::catalogue::{Oid, RelKind};
use portcullis_model::{Action, Counted, Name, Object};
use std::sync::Arc;

/// Relations that are asked about at once.
const MOST_RELATIONS: usize = 64;

/// The longest text that is made into another, in bytes.
const LONGEST_COUNTED: usize = 8 << 10;

/// What can be said, or asked, about the rows that a text would write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foresight {
    /// The database can be asked.
    Ask(Question),
    /// Nothing, for this reason, as half a sentence.
    Untold(Arc<str>),
}

/// What the database is asked, in a scope of the session's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The relations that the statement names, and those that its writes are carried on to.
    pub relations: Vec<Oid>,
    /// It writes so many rows whatever these hold, where nothing stands beside them that the database is asked about.
    pub known: Option<u64>,
    /// The statement behind `EXPLAIN (FORMAT JSON)`.
    pub plan: String,
    /// A SELECT of one number: the rows that it would write; none where there is no such text.
    pub count: Option<String>,
    /// Where unqualified names are looked up.
    pub search_path: Arc<[Name]>,
    /// The current user.
    pub user: Option<Name>,
    /// What it calls by name.
    pub mentioned: Mentioned,
    /// It reads the time at which its transaction began: another transaction is asked with another time.
    pub clock: bool,
}

/// Why there is nothing to ask.
type Untold = Arc<str>;

/// What can be asked about the rows that this text would write.
pub(crate) fn foresee(text: &str, scope: &Scope, limits: &Limits) -> Foresight {
    let reading = super::read(text, scope, limits);
    let asked = stacker::maybe_grow(stack_needed(text), parse::STACK_BYTES, || ask(text, &reading, scope, limits));
    asked.unwrap_or_else(Foresight::Untold)
}

fn ask(text: &str, reading: &Reading, scope: &Scope, limits: &Limits) -> Result<Foresight, Untold> {
    if reading.fault.is_some() {
        return Err("it could not be read".into());
    }
    let [statement] = reading.statements.as_slice() else {
        return Err("it is one of several statements in one text".into());
    };
    if !["InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"].contains(&statement.tag) {
        return Err("it is not one plain INSERT, UPDATE, DELETE or MERGE".into());
    }
    match &statement.counted {
        Counted::Whole | Counted::Outer { .. } => {}
        Counted::Nothing => return Err("it writes nothing".into()),
        Counted::Not { why } => return Err(Arc::clone(why)),
    }
    if !(statement.fetches.is_empty() && statement.executes.is_empty()) {
        return Err("it is about a row of a cursor, which only its session has".into());
    }
    if !statement.effects.is_empty() {
        return Err("it changes what its session is".into());
    }
    let search_path = settled(scope)?;
    let relations = relations(statement, scope)?;
    let tree = parse::parse(text).map_err(|_| "it could not be read")?;
    let Some(node) = root(&tree) else { return Err("it could not be read".into()) };
    let Parts { mentioned, clock, chance } = Parts::of(node.to_ref(), &Standing::new(scope))?;
    let known = match node {
        NodeEnum::InsertStmt(insert) => rows_listed(insert),
        _ => None,
    };
    let plan = format!("EXPLAIN (FORMAT JSON) {}", text.get(statement.span.clone()).unwrap_or_default());
    let explained = super::read(&plan, scope, limits);
    if explained.fault.is_some() || !matches!(explained.statements.as_slice(), [one] if one.tag == "ExplainStmt") {
        return Err("it cannot be explained".into());
    }
    // What is random comes out another way next time: that has no count.
    let countable = text.len() <= LONGEST_COUNTED && !chance && known.is_none();
    let count = if countable { count::count_of(node) } else { None };
    let count = count.filter(|count| only_reads(count, &relations, scope, limits));
    let user = scope.user.clone();
    Ok(Foresight::Ask(Question { relations, known, plan, count, search_path, user, mentioned, clock }))
}

/// The search path, where names mean the same to another session.
fn settled(scope: &Scope) -> Result<Arc<[Name]>, Untold> {
    if !scope.temporary.is_empty() {
        return Err("its session has temporary tables".into());
    }
    match &scope.search_path {
        SearchPath::Known(path) if scope.catalogue.is_known() && !scope.uncertain => Ok(Arc::clone(path)),
        SearchPath::Known(_) | SearchPath::Unknown => Err("what its names mean is not known for certain".into()),
    }
}

/// The tables that it reads and writes, all known by name.
fn relations(statement: &Statement, scope: &Scope) -> Result<Vec<Oid>, Untold> {
    let unknown = || Arc::from("what it reads is not known for certain");
    let mut found = Vec::new();
    for operation in statement.operations.iter().filter(|operation| operation.action != Action::Session) {
        let Object::Relation { name, .. } = &operation.object else { return Err(unknown()) };
        let (Some(schema), Some(table)) = (name.schema.as_str(), name.name.as_str()) else { return Err(unknown()) };
        let named = scope.catalogue.relation_named(&Name::canonical(schema), &Name::canonical(table));
        let relation = named.ok_or_else(unknown)?;
        match relation.kind {
            RelKind::Table | RelKind::PartitionedTable | RelKind::MaterializedView => {}
            RelKind::ForeignTable => return Err("it reaches a foreign table".into()),
            RelKind::View => return Err("it reaches a view".into()),
            RelKind::Sequence | RelKind::Index | RelKind::CompositeType | RelKind::Toast => return Err(unknown()),
        }
        if ["pg_catalog", "information_schema", "pg_toast"].contains(&schema) {
            return Err("it reaches the server's own tables".into());
        }
        if !found.contains(&relation.oid) {
            found.push(relation.oid);
        }
    }
    if found.len() > MOST_RELATIONS { Err("it reaches too many tables".into()) } else { Ok(found) }
}

fn root(tree: &ParseResult) -> Option<&NodeEnum> {
    tree.stmts.first()?.stmt.as_ref()?.node.as_ref()
}

/// How many rows an INSERT lists, where no database changes that.
fn rows_listed(insert: &InsertStmt) -> Option<u64> {
    if insert.on_conflict_clause.is_some() {
        return None;
    }
    let Some(source) = insert.select_stmt.as_ref() else { return Some(1) };
    let Some(NodeEnum::SelectStmt(select)) = &source.node else { return None };
    let listed = !select.values_lists.is_empty() && select.limit_count.is_none() && select.limit_offset.is_none();
    // A function in a list of one row may return many.
    let one_may_be_many = select.values_lists.len() == 1 && calls(NodeRef::SelectStmt(select));
    (listed && !one_may_be_many).then(|| u64::try_from(select.values_lists.len()).ok()).flatten()
}

/// Whether a function is called in it, or may be: a name behind a value is a column's or a function's.
fn calls(node: NodeRef<'_>) -> bool {
    let mut below = vec![node];
    while let Some(node) = below.pop() {
        if matches!(node, NodeRef::FuncCall(_) | NodeRef::AIndirection(_))
            || !children(node, &mut |child| below.push(child))
        {
            return true;
        }
    }
    false
}

/// Whether a text that was made only reads what the statement names.
fn only_reads(text: &str, relations: &[Oid], scope: &Scope, limits: &Limits) -> bool {
    let reading = super::read(text, scope, limits);
    let [statement] = reading.statements.as_slice() else { return false };
    let reads = statement.operations.iter().all(|operation| matches!(operation.action, Action::Session | Action::Read));
    let known = self::relations(statement, scope);
    reading.fault.is_none()
        && statement.tag == "SelectStmt"
        && reads
        && known.is_ok_and(|known| known.iter().all(|oid| relations.contains(oid)))
}
