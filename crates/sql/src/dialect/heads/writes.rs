//! INSERT, UPDATE, DELETE, MERGE, TRUNCATE, COPY and SELECT INTO: what they write, and whether to every row.

use super::super::bounded::{Target, bounded};
use super::super::names;
use super::super::walk::{Source, Walk, sources};
use crate::Dialect;
use portcullis_model::{Action, Columns, Mark, Object, Operation, Part, QualifiedName, RelationKind};
use sqlparser::ast::{
    AssignmentTarget, CopyIntoSnowflakeKind, CopySource, CopyTarget, Delete, Expr, FromTable, Insert, Merge,
    MergeAction, ObjectName, OnConflictAction, OnInsert, SqliteOnConflict, TableFactor, TableObject, Truncate, Update,
    UpdateTableFromKind,
};

/// The relation that a write goes to: a name that a WITH defines stands for whatever it was made of.
fn target(walk: &Walk<'_>, name: &ObjectName) -> Object {
    if walk.defined(name) {
        Object::relation(QualifiedName::unknown(), RelationKind::Table)
    } else {
        names::table(name, walk.facts)
    }
}

pub(super) fn insert(walk: &mut Walk<'_>, insert: &Insert) {
    let columns =
        if insert.columns.is_empty() { Columns::Unknown } else { names::columns(insert.columns.iter(), walk.facts) };
    let object = match &insert.table {
        TableObject::TableName(name) => target(walk, name),
        TableObject::TableFunction(called) => {
            walk.call(&called.name);
            Object::relation(QualifiedName::unknown(), RelationKind::Table)
        }
        TableObject::TableQuery(_) => Object::relation(QualifiedName::unknown(), RelationKind::Table),
    };
    walk.push(Operation::new(Action::Insert, object.clone()).naming(columns));
    if insert.replace_into || insert.or == Some(SqliteOnConflict::Replace) {
        walk.act(Action::Delete, object.clone());
    }
    if insert.overwrite {
        walk.act(Action::Truncate, object.clone());
    }
    let assignments = match &insert.on {
        Some(OnInsert::DuplicateKeyUpdate(assignments)) => assignments.as_slice(),
        Some(OnInsert::OnConflict(conflict)) => match &conflict.action {
            OnConflictAction::DoUpdate(update) => update.assignments.as_slice(),
            OnConflictAction::DoNothing => &[],
        },
        // a form of a later grammar: it may update anything
        Some(_) => {
            walk.push(Operation::new(Action::Update, object.clone()).naming(Columns::Unknown));
            &[]
        }
        None => &[],
    };
    if !assignments.is_empty() {
        let columns = names::assigned(assignments.iter().map(|assignment| &assignment.target), walk.facts);
        walk.push(Operation::new(Action::Update, object).naming(columns));
    }
    let whens = insert.multi_table_when_clauses.iter().flat_map(|when| &when.into_clauses);
    let others = insert.multi_table_else_clause.iter().flatten();
    for clause in insert.multi_table_into_clauses.iter().chain(whens).chain(others) {
        walk.on_table(Action::Insert, &clause.table_name);
    }
}

/// The names that a table goes by in its statement.
fn called(source: &Source<'_>) -> Vec<String> {
    let own = source.name.and_then(|name| name.0.last()).and_then(|part| part.as_ident()).map(|id| id.value.clone());
    source.alias.map(str::to_owned).or(own).into_iter().collect()
}

/// Whether two spellings of an unqualified name are one to a system that compares without regard to case.
fn is_called(source: &Source<'_>, name: &ObjectName) -> bool {
    let [part] = name.0.as_slice() else { return false };
    part.as_ident().is_some_and(|ident| called(source).iter().any(|own| own.eq_ignore_ascii_case(&ident.value)))
}

/// One table that rows change in.
fn change(walk: &mut Walk<'_>, action: Action, source: &Source<'_>, columns: Columns, by: Option<&Expr>, joined: bool) {
    let object = source
        .name
        .map_or_else(|| Object::relation(QualifiedName::unknown(), RelationKind::Table), |name| target(walk, name));
    let scope = if joined { Target::Named(called(source)) } else { Target::Any };
    let operation = Operation::new(action, object).naming(columns);
    walk.push(if bounded(by, &scope) { operation } else { operation.marked(Mark::Unbounded) });
    if !joined {
        walk.is_target(source.factor);
    }
}

/// The tables that the assignments of a joined UPDATE are qualified by; `None` unless each of them is.
fn qualifiers(update: &Update) -> Option<Vec<&str>> {
    let mut out = Vec::new();
    for assignment in &update.assignments {
        let columns = match &assignment.target {
            AssignmentTarget::ColumnName(name) => std::slice::from_ref(name),
            AssignmentTarget::Tuple(names) => names.as_slice(),
        };
        for column in columns {
            let [.., qualifier, _] = column.0.as_slice() else { return None };
            out.push(qualifier.as_ident()?.value.as_str());
        }
    }
    Some(out)
}

fn is_among(source: &Source<'_>, names: &[&str]) -> bool {
    let own = called(source);
    own.is_empty() || own.iter().any(|own| names.iter().any(|name| own.eq_ignore_ascii_case(name)))
}

pub(super) fn update(walk: &mut Walk<'_>, update: &Update) {
    let columns = names::assigned(update.assignments.iter().map(|assignment| &assignment.target), walk.facts);
    let from: &[_] = match &update.from {
        Some(UpdateTableFromKind::BeforeSet(tables) | UpdateTableFromKind::AfterSet(tables)) => tables,
        None => &[],
    };
    let targets = sources([&update.table]);
    let others = sources(from);
    let joined = targets.len() + others.len() > 1;
    let by = update.selection.as_ref();
    let written = qualifiers(update);
    for source in &targets {
        if joined && others.is_empty() && written.as_ref().is_some_and(|written| !is_among(source, written)) {
            continue;
        }
        // `UPDATE a SET … FROM t AS a` names its target by the alias
        match source.name.and_then(|name| others.iter().find(|other| is_called(other, name))) {
            Some(aliased) => {
                change(walk, Action::Update, aliased, columns.clone(), by, joined);
                walk.is_target(source.factor);
            }
            None => change(walk, Action::Update, source, columns.clone(), by, joined),
        }
    }
    if targets.is_empty() {
        walk.unknown();
    }
}

pub(super) fn delete(walk: &mut Walk<'_>, delete: &Delete) {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let listed = sources(from);
    let others = sources(delete.using.iter().flatten());
    let joined = listed.len() + others.len() > 1;
    let by = delete.selection.as_ref();
    if delete.tables.is_empty() {
        for source in &listed {
            match source.name.and_then(|name| others.iter().find(|other| is_called(other, name))) {
                Some(aliased) => change(walk, Action::Delete, aliased, Columns::None, by, joined),
                None => change(walk, Action::Delete, source, Columns::None, by, joined),
            }
        }
    }
    for name in &delete.tables {
        match listed.iter().chain(&others).find(|source| is_called(source, name)) {
            Some(source) => change(walk, Action::Delete, source, Columns::None, by, joined),
            None => {
                let operation = Operation::new(Action::Delete, target(walk, name));
                let scope = Target::Named(
                    name.0.last().and_then(|part| part.as_ident()).map(|id| id.value.clone()).into_iter().collect(),
                );
                walk.push(if bounded(by, &scope) { operation } else { operation.marked(Mark::Unbounded) });
            }
        }
    }
    if delete.tables.is_empty() && listed.is_empty() {
        walk.unknown();
    }
}

pub(super) fn merge(walk: &mut Walk<'_>, merge: &Merge) {
    let (object, names_of) = if let TableFactor::Table { name, alias, args: None, .. } = &merge.table {
        walk.is_target(&merge.table);
        let alias = alias.as_ref().map(|alias| alias.name.value.as_str());
        (target(walk, name), called(&Source { factor: &merge.table, name: Some(name), alias }))
    } else {
        (Object::relation(QualifiedName::unknown(), RelationKind::Table), Vec::new())
    };
    let scope = Target::Named(names_of);
    for clause in &merge.clauses {
        let restricted = bounded(Some(&merge.on), &scope) || bounded(clause.predicate.as_ref(), &scope);
        let action = match &clause.action {
            MergeAction::Insert(_) => {
                walk.push(Operation::new(Action::Insert, object.clone()).naming(Columns::Unknown));
                continue;
            }
            MergeAction::Update(update) => {
                if update.delete_predicate.is_some() {
                    walk.push(Operation::new(Action::Delete, object.clone()).marked(Mark::Unbounded));
                }
                Action::Update
            }
            MergeAction::Delete { .. } => Action::Delete,
            MergeAction::DoNothing { .. } => continue,
        };
        let columns = if action == Action::Update { Columns::Unknown } else { Columns::None };
        let operation = Operation::new(action, object.clone()).naming(columns);
        walk.push(if restricted { operation } else { operation.marked(Mark::Unbounded) });
    }
}

pub(super) fn truncate(walk: &mut Walk<'_>, truncate: &Truncate) {
    for table in &truncate.table_names {
        walk.on_table(Action::Truncate, &table.name);
    }
    if truncate.cascade == Some(sqlparser::ast::CascadeOption::Cascade) || truncate.table_names.is_empty() {
        walk.act(Action::Truncate, Object::relation(QualifiedName::unknown(), RelationKind::Table));
    }
}

pub(super) fn copy(walk: &mut Walk<'_>, source: &CopySource, to: bool, place: &CopyTarget) {
    if let CopySource::Table { table_name, columns } = source {
        let action = if to { Action::Read } else { Action::Insert };
        let mut named: Vec<_> = columns.iter().map(|column| names::name(column, walk.facts)).collect();
        named.sort();
        named.dedup();
        let columns = if named.is_empty() { Columns::Unknown } else { Columns::Named(named.into()) };
        walk.push(Operation::new(action, names::table(table_name, walk.facts)).naming(columns).marked(Mark::Bulk));
    }
    match place {
        CopyTarget::Stdin | CopyTarget::Stdout => {}
        CopyTarget::File { filename } => walk.act(Action::Transfer, Object::File(Part::known(filename.as_str()))),
        CopyTarget::Program { command } => {
            let program = command.split_whitespace().next().map_or(Part::Unknown, Part::known);
            walk.push(
                Operation::new(Action::Execute, Object::Program { name: program, subcommand: None })
                    .marked(Mark::Dynamic),
            );
        }
    }
}

pub(super) fn copy_into(
    walk: &mut Walk<'_>,
    kind: &CopyIntoSnowflakeKind,
    into: &ObjectName,
    from: Option<&ObjectName>,
) {
    match kind {
        CopyIntoSnowflakeKind::Table => {
            walk.push(Operation::new(Action::Insert, names::table(into, walk.facts)).marked(Mark::Bulk));
            walk.act(Action::Transfer, Object::File(Part::Unknown));
        }
        CopyIntoSnowflakeKind::Location => {
            walk.act(Action::Transfer, Object::File(Part::Unknown));
            if let Some(from) = from {
                let read = Operation::new(Action::Read, names::table(from, walk.facts)).naming(Columns::Unknown);
                walk.push(read.marked(Mark::Bulk));
            }
        }
    }
}

/// One target of SELECT … INTO: a new table, or a variable of the session.
pub(crate) fn select_into(walk: &mut Walk<'_>, into: &Expr) {
    let name = if let Expr::Identifier(ident) = into {
        if ident.value.starts_with(['@', ':']) {
            return;
        }
        ObjectName::from(ident.clone())
    } else if let Expr::CompoundIdentifier(idents) = into {
        ObjectName::from(idents.clone())
    } else {
        return walk.unknown();
    };
    match walk.facts.dialect {
        // no tables are made so here; what it is (a file, a variable of a routine) is not told apart
        Dialect::MySql => walk.unknown(),
        Dialect::Postgres
        | Dialect::Sqlite
        | Dialect::ClickHouse
        | Dialect::Snowflake
        | Dialect::BigQuery
        | Dialect::MsSql
        | Dialect::Generic => {
            walk.on_table(Action::Create, &name);
            walk.push(Operation::new(Action::Insert, names::table(&name, walk.facts)).naming(Columns::Unknown));
        }
    }
}
