//! What the head of each kind of statement does: one arm for each, no other. The ledger is the match itself; a new kind
//! in the grammar does not compile until it has an arm. A kind that no arm reads well is `unknown`.

mod objects;
mod session;
mod writes;

use super::names;
use super::walk::Walk;
use objects::{create, drop_objects};
use portcullis_model::{Action, Columns, ItemKind, Mark, Object, Operation, Part, QualifiedName, RelationKind};
use sqlparser::ast::{Ident, ObjectName, Statement};

pub(super) use writes::select_into;

/// The part of an object that lives in no schema.
fn part(ident: &Ident, walk: &Walk<'_>) -> Part {
    Part::Known(names::name(ident, walk.facts))
}

/// An object without a noun of its own.
fn item(kind: ItemKind, name: QualifiedName) -> Object {
    Object::Item { kind, name }
}

fn item_of(kind: ItemKind, name: &ObjectName, walk: &Walk<'_>) -> Object {
    item(kind, names::qualified(name, walk.facts))
}

fn item_named(kind: ItemKind, ident: &Ident, walk: &Walk<'_>) -> Object {
    item(kind, QualifiedName { schema: Part::Unknown, name: part(ident, walk) })
}

fn view(name: &ObjectName, materialized: bool, walk: &Walk<'_>) -> Object {
    let kind = if materialized { RelationKind::MaterializedView } else { RelationKind::View };
    Object::relation(names::qualified(name, walk.facts), kind)
}

fn function(name: &ObjectName, walk: &Walk<'_>) -> Object {
    Object::Function(names::qualified(name, walk.facts))
}

/// Adds what the head of a statement does; what is nested in it the walk finds by itself.
pub(super) fn head(walk: &mut Walk<'_>, statement: &Statement) {
    use Action::{Alter, Configure, Drop, Execute, Maintain, Transfer};
    match statement {
        Statement::Insert(insert) => writes::insert(walk, insert),
        Statement::Update(update) => writes::update(walk, update),
        Statement::Delete(delete) => writes::delete(walk, delete),
        Statement::Merge(merge) => writes::merge(walk, merge),
        Statement::Truncate(truncate) => writes::truncate(walk, truncate),
        Statement::Copy { source, to, target, .. } => writes::copy(walk, source, *to, target),
        Statement::LoadData { inpath, table_name, .. } => {
            walk.act(Transfer, Object::File(Part::known(inpath.as_str())));
            walk.push(Operation::new(Action::Insert, names::table(table_name, walk.facts)).marked(Mark::Bulk));
        }
        Statement::CopyIntoSnowflake { kind, into, from_obj, .. } => {
            writes::copy_into(walk, kind, into, from_obj.as_ref());
        }
        Statement::Directory { path, .. } => walk.act(Transfer, Object::File(Part::known(path.as_str()))),
        Statement::Unload { query_text, .. } => {
            walk.act(Transfer, Object::File(Part::Unknown));
            if query_text.is_some() {
                walk.push(Operation::unknown().marked(Mark::Dynamic));
            }
        }
        Statement::Put { source, .. } => walk.act(Transfer, Object::File(Part::known(source.as_str()))),
        Statement::ExportData(_) | Statement::List(_) => walk.act(Transfer, Object::File(Part::Unknown)),
        Statement::Remove(_) => walk.act(Action::Delete, Object::File(Part::Unknown)),

        Statement::CreateTable(table) => create::table(walk, table),
        Statement::CreateView(definition) => create::view(walk, definition),
        Statement::CreateVirtualTable { name, module_name, .. } => {
            walk.on_table(Action::Create, name);
            let module = QualifiedName { schema: Part::Unknown, name: part(module_name, walk) };
            walk.act(Execute, Object::Function(module));
        }
        Statement::CreateIndex(index) => create::index(walk, index),
        Statement::CreateRole(role) => create::roles(walk, &role.names),
        Statement::CreateUser(user) => create::role(walk, Action::Create, &user.name),
        Statement::CreateSchema { schema_name, clone, or_replace, .. } => {
            create::schema(walk, schema_name, clone.as_ref(), *or_replace);
        }
        Statement::CreateDatabase { db_name, clone, or_replace, .. } => {
            create::database(walk, db_name, clone.as_ref(), *or_replace);
        }
        Statement::CreateFunction(definition) => create::function(walk, &definition.name, definition.or_replace),
        Statement::CreateProcedure { name, or_alter, .. } => create::function(walk, name, *or_alter),
        Statement::CreateMacro { name, or_replace, .. } => create::function(walk, name, *or_replace),
        Statement::CreateTrigger(trigger) => create::trigger(walk, trigger),
        Statement::CreateSequence { name, .. } => walk.act(Action::Create, item_of(ItemKind::Sequence, name, walk)),
        Statement::CreateDomain(domain) => walk.act(Action::Create, item_of(ItemKind::Domain, &domain.name, walk)),
        Statement::CreateType { name, .. } => walk.act(Action::Create, item_of(ItemKind::Type, name, walk)),
        Statement::CreateServer(server) => walk.act(Action::Create, item_of(ItemKind::Server, &server.name, walk)),
        Statement::CreatePolicy(policy) => {
            walk.act(Action::Create, item_named(ItemKind::Policy, &policy.name, walk));
            walk.on_table(Alter, &policy.table_name);
        }
        Statement::CreateOperator(operator) => {
            walk.act(Action::Create, item_of(ItemKind::Operator, &operator.name, walk));
        }
        Statement::CreateOperatorFamily(family) => {
            walk.act(Action::Create, item_of(ItemKind::OperatorFamily, &family.name, walk));
        }
        Statement::CreateOperatorClass(class) => {
            walk.act(Action::Create, item_of(ItemKind::OperatorClass, &class.name, walk));
        }
        Statement::CreateTextSearch(search) => {
            walk.act(Action::Create, item_of(ItemKind::TextSearch, &search.name, walk));
        }
        Statement::CreateExtension(extension) => {
            walk.act(Action::Create, item_named(ItemKind::Extension, &extension.name, walk));
        }
        Statement::CreateCollation(collation) => {
            walk.act(Action::Create, item_of(ItemKind::Collation, &collation.name, walk));
        }
        Statement::CreateSecret { .. }
        | Statement::CreateConnector(_)
        | Statement::CreateStage { .. }
        | Statement::CreateFileFormat { .. }
        | Statement::CreateWarehouse(_) => walk.act(Action::Create, Object::Unknown),

        Statement::AlterTable(table) => objects::alter_table(walk, table),
        Statement::AlterView { name, .. } => walk.act(Alter, view(name, false, walk)),
        Statement::AlterSchema(schema) => walk.act(Alter, Object::Schema(names::last(&schema.name, walk.facts))),
        Statement::AlterIndex { name, .. } => walk.act(Alter, item_of(ItemKind::Index, name, walk)),
        Statement::AlterFunction(alter) => walk.act(Alter, function(&alter.function.name, walk)),
        Statement::AlterType(alter) => walk.act(Alter, item_of(ItemKind::Type, &alter.name, walk)),
        Statement::AlterCollation(alter) => walk.act(Alter, item_of(ItemKind::Collation, &alter.name, walk)),
        Statement::AlterOperator(alter) => walk.act(Alter, item_of(ItemKind::Operator, &alter.name, walk)),
        Statement::AlterOperatorFamily(alter) => {
            walk.act(Alter, item_of(ItemKind::OperatorFamily, &alter.name, walk));
        }
        Statement::AlterOperatorClass(alter) => walk.act(Alter, item_of(ItemKind::OperatorClass, &alter.name, walk)),
        Statement::AlterTextSearch(alter) => walk.act(Alter, item_of(ItemKind::TextSearch, &alter.name, walk)),
        Statement::AlterRole { name, .. } => create::role(walk, Alter, name),
        Statement::AlterUser(user) => create::role(walk, Alter, &user.name),
        Statement::AlterPolicy(policy) => {
            walk.act(Alter, item_named(ItemKind::Policy, &policy.name, walk));
            walk.on_table(Alter, &policy.table_name);
        }
        Statement::AlterConnector { .. } => walk.act(Alter, Object::Unknown),
        Statement::RenameTable(renames) => {
            for rename in renames {
                walk.on_table(Alter, &rename.old_name);
                walk.on_table(Action::Create, &rename.new_name);
            }
        }
        Statement::Comment { object_type, object_name, .. } => objects::comment(walk, *object_type, object_name),

        Statement::Drop { object_type, names, cascade, table, .. } => {
            drop_objects(walk, *object_type, names, *cascade);
            if let Some(table) = table {
                walk.on_table(Alter, table);
            }
        }
        Statement::DropFunction(dropped) => {
            for desc in &dropped.func_desc {
                walk.act(Drop, function(&desc.name, walk));
            }
        }
        Statement::DropProcedure { proc_desc, .. } => {
            for desc in proc_desc {
                walk.act(Drop, function(&desc.name, walk));
            }
        }
        Statement::DropDomain(domain) => walk.act(Drop, item_of(ItemKind::Domain, &domain.name, walk)),
        Statement::DropPolicy(policy) => {
            walk.act(Drop, item_named(ItemKind::Policy, &policy.name, walk));
            walk.on_table(Alter, &policy.table_name);
        }
        Statement::DropTrigger(trigger) => {
            walk.act(Drop, item_of(ItemKind::Trigger, &trigger.trigger_name, walk));
            if let Some(table) = &trigger.table_name {
                walk.on_table(Alter, table);
            }
        }
        Statement::DropExtension(extension) => {
            for name in &extension.names {
                walk.act(Drop, item_named(ItemKind::Extension, name, walk));
            }
        }
        Statement::DropOperator(dropped) => {
            for operator in &dropped.operators {
                walk.act(Drop, item_of(ItemKind::Operator, &operator.name, walk));
            }
        }
        Statement::DropOperatorFamily(dropped) => {
            for name in &dropped.names {
                walk.act(Drop, item_of(ItemKind::OperatorFamily, name, walk));
            }
        }
        Statement::DropOperatorClass(dropped) => {
            for name in &dropped.names {
                walk.act(Drop, item_of(ItemKind::OperatorClass, name, walk));
            }
        }
        Statement::DropSecret { .. } | Statement::DropConnector { .. } => walk.act(Drop, Object::Unknown),

        Statement::Grant(grant) => objects::grant(walk, Action::Grant, grant.objects.as_ref()),
        Statement::Revoke(revoke) => objects::grant(walk, Action::Revoke, revoke.objects.as_ref()),
        Statement::Deny(deny) => objects::grant(walk, Action::Revoke, Some(&deny.objects)),

        Statement::Analyze(analyze) => match &analyze.table_name {
            Some(name) => walk.on_table(Maintain, name),
            None => walk.act(Maintain, Object::Unknown),
        },
        Statement::Vacuum(vacuum) => {
            let object = vacuum.table_name.as_ref().map_or(Object::Unknown, |name| names::table(name, walk.facts));
            let operation = Operation::new(Maintain, object);
            walk.push(if vacuum.full { operation.marked(Mark::Irreversible) } else { operation });
        }
        Statement::OptimizeTable { name, deduplicate, .. } => {
            let operation = Operation::new(Maintain, names::table(name, walk.facts));
            walk.push(if deduplicate.is_some() { operation.marked(Mark::Irreversible) } else { operation });
        }
        Statement::Msck(msck) => walk.on_table(Maintain, &msck.table_name),
        Statement::Cache { table_name, .. } | Statement::UNCache { table_name, .. } => {
            walk.on_table(Maintain, table_name);
        }
        Statement::Flush { tables, .. } => {
            walk.act(Maintain, Object::Unknown);
            for table in tables {
                walk.on_table(Maintain, table);
            }
        }
        Statement::Lock(lock) => {
            for table in &lock.tables {
                walk.on_table(Action::Lock, &table.name);
            }
        }
        Statement::LockTables { tables } => {
            for table in tables {
                walk.on_table(Action::Lock, &ObjectName::from(table.table.clone()));
            }
        }

        Statement::Call(called) => walk.call(&called.name),
        Statement::Execute { name, immediate, .. } => session::execute(walk, name.as_ref(), *immediate),
        Statement::LISTEN { channel } => walk.act(Action::Read, Object::Channel(part(channel, walk))),
        Statement::NOTIFY { channel, .. } => walk.act(Action::Call, Object::Channel(part(channel, walk))),

        Statement::Set(set) => session::set(walk, set),
        Statement::AlterSession { session_params, .. } => {
            for option in &session_params.options {
                walk.act(Configure, Object::Setting(Part::known(names::lower(&option.option_name))));
            }
            if session_params.options.is_empty() {
                walk.act(Configure, Object::Setting(Part::Unknown));
            }
        }
        Statement::Reset(reset) => session::reset(walk, &reset.reset),
        Statement::Use(target) => session::use_object(walk, target),
        Statement::ShowProcessList { .. } => {
            let list = QualifiedName::new("information_schema", "processlist");
            walk.push(
                Operation::new(Action::Read, Object::relation(list, RelationKind::Table)).naming(Columns::Unknown),
            );
        }
        Statement::ShowVariable { variable } => session::show(walk, variable),
        Statement::Pragma { name, is_eq, .. } => session::pragma(walk, name, *is_eq),

        // the head itself does nothing; what stands inside is walked
        Statement::Query(_)
        | Statement::Case(_)
        | Statement::If(_)
        | Statement::While(_)
        | Statement::Raise(_)
        | Statement::RaisError { .. }
        | Statement::Throw(_)
        | Statement::Print(_)
        | Statement::Return(_)
        | Statement::Assert { .. }
        | Statement::Declare { .. }
        | Statement::Open(_)
        | Statement::Fetch { .. }
        | Statement::Close { .. }
        | Statement::Prepare { .. }
        | Statement::Deallocate { .. }
        | Statement::Explain { .. }
        | Statement::StartTransaction { .. }
        | Statement::Rollback { .. }
        | Statement::Savepoint { .. }
        | Statement::ReleaseSavepoint { .. }
        | Statement::UnlockTables
        | Statement::UNLISTEN { .. }
        | Statement::Discard { .. } => {}
        Statement::Commit { .. } => walk.writes = true,

        // what describes objects or the session
        Statement::ExplainTable { .. }
        | Statement::ShowFunctions { .. }
        | Statement::ShowStatus { .. }
        | Statement::ShowVariables { .. }
        | Statement::ShowCreate { .. }
        | Statement::ShowColumns { .. }
        | Statement::ShowCatalogs { .. }
        | Statement::ShowDatabases { .. }
        | Statement::ShowSchemas { .. }
        | Statement::ShowCharset(_)
        | Statement::ShowObjects(_)
        | Statement::ShowTables { .. }
        | Statement::ShowViews { .. }
        | Statement::ShowCollation { .. } => {}

        // code from elsewhere, other files as databases, waits, the end of other sessions
        Statement::Install { .. }
        | Statement::Load { .. }
        | Statement::AttachDatabase { .. }
        | Statement::AttachDuckDBDatabase { .. }
        | Statement::DetachDuckDBDatabase { .. }
        | Statement::WaitFor(_)
        | Statement::Kill { .. } => walk.unknown(),
    }
}
