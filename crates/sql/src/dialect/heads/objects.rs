//! What definitions change: ALTER TABLE, COMMENT, DROP, GRANT; CREATE is in `create`.

pub(super) mod create;

use super::super::names;
use super::super::walk::Walk;
use super::{function, item_of, view};
use crate::Dialect;
use portcullis_model::{Action, ItemKind, Mark, Object, Operation, QualifiedName, RelationKind};
use sqlparser::ast::{
    AlterTable, AlterTableOperation, CommentObject, GrantObjects, ObjectName, ObjectType, RenameTableNameKind,
};

fn any_table() -> Object {
    Object::relation(QualifiedName::unknown(), RelationKind::Table)
}

/// Every relation of a schema.
fn all_in(schema: &ObjectName, walk: &Walk<'_>) -> Object {
    let name = QualifiedName { schema: names::last(schema, walk.facts), name: portcullis_model::Part::Unknown };
    Object::relation(name, RelationKind::Table)
}

pub(super) fn alter_table(walk: &mut Walk<'_>, alter: &AlterTable) {
    let object = names::table(&alter.name, walk.facts);
    walk.act(Action::Alter, object.clone());
    for operation in &alter.operations {
        if let AlterTableOperation::RenameTable {
            table_name: RenameTableNameKind::As(name) | RenameTableNameKind::To(name),
        } = operation
        {
            walk.on_table(Action::Create, name);
        }
        if let AlterTableOperation::SwapWith { table_name } = operation {
            walk.on_table(Action::Alter, table_name);
        }
        // the rows of a partition go with it
        if let AlterTableOperation::DropPartitions { .. } | AlterTableOperation::DetachPartition { .. } = operation {
            walk.push(Operation::new(Action::Delete, object.clone()).marked(Mark::Unbounded));
        }
    }
}

pub(super) fn comment(walk: &mut Walk<'_>, kind: CommentObject, name: &ObjectName) {
    let object = match kind {
        CommentObject::Table => names::table(name, walk.facts),
        CommentObject::View => view(name, false, walk),
        CommentObject::MaterializedView => view(name, true, walk),
        CommentObject::Column => {
            let parts = name.0.len().saturating_sub(1);
            match name.0.get(..parts) {
                Some(table) if !table.is_empty() => names::table(&ObjectName(table.to_vec()), walk.facts),
                _ => any_table(),
            }
        }
        CommentObject::Function | CommentObject::Procedure => function(name, walk),
        CommentObject::Database => Object::Database(names::last(name, walk.facts)),
        CommentObject::Schema => Object::Schema(names::last(name, walk.facts)),
        CommentObject::Role | CommentObject::User => Object::Role(names::last(name, walk.facts)),
        CommentObject::Collation => item_of(ItemKind::Collation, name, walk),
        CommentObject::Domain => item_of(ItemKind::Domain, name, walk),
        CommentObject::Extension => item_of(ItemKind::Extension, name, walk),
        CommentObject::Index => item_of(ItemKind::Index, name, walk),
        CommentObject::Sequence => item_of(ItemKind::Sequence, name, walk),
        CommentObject::Type => item_of(ItemKind::Type, name, walk),
    };
    walk.act(Action::Alter, object);
}

pub(super) fn drop_objects(walk: &mut Walk<'_>, kind: ObjectType, dropped: &[ObjectName], cascade: bool) {
    for name in dropped {
        let object = match kind {
            ObjectType::Table => names::table(name, walk.facts),
            ObjectType::View => view(name, false, walk),
            ObjectType::MaterializedView => view(name, true, walk),
            ObjectType::Schema => Object::Schema(names::last(name, walk.facts)),
            ObjectType::Database => Object::Database(names::last(name, walk.facts)),
            ObjectType::Role | ObjectType::User => Object::Role(names::last(name, walk.facts)),
            ObjectType::Collation => item_of(ItemKind::Collation, name, walk),
            ObjectType::Index => item_of(ItemKind::Index, name, walk),
            ObjectType::Sequence => item_of(ItemKind::Sequence, name, walk),
            ObjectType::Type => item_of(ItemKind::Type, name, walk),
            ObjectType::Stage | ObjectType::Stream | ObjectType::Warehouse => Object::Unknown,
        };
        walk.act(Action::Drop, object);
        // a container goes with all that is in it; for MySQL a database is a schema
        match kind {
            ObjectType::Schema => walk.act(Action::Drop, all_in(name, walk)),
            ObjectType::Database if walk.facts.dialect == Dialect::MySql => {
                walk.act(Action::Drop, Object::Schema(names::last(name, walk.facts)));
                walk.act(Action::Drop, all_in(name, walk));
            }
            ObjectType::Database => walk.act(Action::Drop, any_table()),
            ObjectType::Table
            | ObjectType::View
            | ObjectType::MaterializedView
            | ObjectType::Role
            | ObjectType::User
            | ObjectType::Collation
            | ObjectType::Index
            | ObjectType::Sequence
            | ObjectType::Type
            | ObjectType::Stage
            | ObjectType::Stream
            | ObjectType::Warehouse => {}
        }
    }
    if cascade {
        walk.act(Action::Drop, Object::Unknown);
    }
}

/// What rights are given or taken on; roles given to roles have no object.
pub(super) fn grant(walk: &mut Walk<'_>, action: Action, on: Option<&GrantObjects>) {
    let Some(on) = on else { return walk.act(action, Object::Unknown) };
    let objects: Vec<Object> = match on {
        GrantObjects::Tables(tables) | GrantObjects::Views(tables) => {
            tables.iter().map(|name| granted_table(name, walk)).collect()
        }
        GrantObjects::AllTablesInSchema { schemas }
        | GrantObjects::AllViewsInSchema { schemas }
        | GrantObjects::AllMaterializedViewsInSchema { schemas }
        | GrantObjects::AllExternalTablesInSchema { schemas }
        | GrantObjects::FutureTablesInSchema { schemas }
        | GrantObjects::FutureViewsInSchema { schemas }
        | GrantObjects::FutureExternalTablesInSchema { schemas }
        | GrantObjects::FutureMaterializedViewsInSchema { schemas } => {
            schemas.iter().map(|schema| all_in(schema, walk)).collect()
        }
        GrantObjects::Schemas(schemas) => {
            schemas.iter().map(|name| Object::Schema(names::last(name, walk.facts))).collect()
        }
        GrantObjects::Databases(databases) | GrantObjects::FutureSchemasInDatabase { databases } => {
            databases.iter().map(|name| Object::Database(names::last(name, walk.facts))).collect()
        }
        GrantObjects::Users(users) => users.iter().map(|name| Object::Role(names::last(name, walk.facts))).collect(),
        GrantObjects::Sequences(names) => names.iter().map(|name| item_of(ItemKind::Sequence, name, walk)).collect(),
        GrantObjects::Procedure { name, .. } | GrantObjects::Function { name, .. } => vec![function(name, walk)],
        GrantObjects::AllSequencesInSchema { .. }
        | GrantObjects::FutureSequencesInSchema { .. }
        | GrantObjects::AllFunctionsInSchema { .. }
        | GrantObjects::Warehouses(_)
        | GrantObjects::Integrations(_)
        | GrantObjects::ResourceMonitors(_)
        | GrantObjects::ComputePools(_)
        | GrantObjects::Connections(_)
        | GrantObjects::FailoverGroup(_)
        | GrantObjects::ReplicationGroup(_)
        | GrantObjects::ExternalVolumes(_) => vec![Object::Unknown],
    };
    for object in objects {
        walk.act(action, object);
    }
}

/// `*` and `*.*` of MySQL stand for every table.
fn granted_table(name: &ObjectName, walk: &Walk<'_>) -> Object {
    let mut qualified = names::qualified(name, walk.facts);
    for part in [&mut qualified.schema, &mut qualified.name] {
        if part.as_str() == Some("*") {
            *part = portcullis_model::Part::Unknown;
        }
    }
    Object::relation(qualified, RelationKind::Table)
}
