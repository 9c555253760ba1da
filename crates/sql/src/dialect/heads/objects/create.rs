//! CREATE. OR REPLACE of a table or container also drops what was there; of a view or routine it alters it.

use super::super::super::names;
use super::super::super::walk::Walk;
use super::super::{item, item_named, item_of, part};
use super::{all_in, any_table};
use portcullis_model::{Action, Columns, ItemKind, Mark, Object, Operation, Part, QualifiedName};
use sqlparser::ast::{
    CreateIndex, CreateTable, CreateTableLikeKind, CreateTrigger, CreateView, Ident, ObjectName, SchemaName,
};

fn read(walk: &mut Walk<'_>, name: &ObjectName) {
    walk.push(Operation::new(Action::Read, names::table(name, walk.facts)).naming(Columns::Unknown));
}

pub(crate) fn table(walk: &mut Walk<'_>, table: &CreateTable) {
    walk.on_table(Action::Create, &table.name);
    if table.or_replace {
        walk.on_table(Action::Drop, &table.name);
    }
    if let Some(CreateTableLikeKind::Parenthesized(like) | CreateTableLikeKind::Plain(like)) = &table.like {
        read(walk, &like.name);
    }
    if let Some(clone) = &table.clone {
        read(walk, clone);
    }
    for parent in table.inherits.iter().flatten().chain(&table.partition_of) {
        walk.on_table(Action::Alter, parent);
    }
    if table.external || table.location.is_some() {
        walk.act(Action::Transfer, Object::File(table.location.as_deref().map_or(Part::Unknown, Part::known)));
    }
}

pub(crate) fn view(walk: &mut Walk<'_>, view: &CreateView) {
    let object = super::super::view(&view.name, view.materialized, walk);
    walk.act(Action::Create, object.clone());
    if view.or_replace || view.or_alter {
        walk.act(Action::Alter, object);
    }
    if let Some(to) = &view.to {
        walk.on_table(Action::Insert, to);
    }
}

pub(crate) fn index(walk: &mut Walk<'_>, index: &CreateIndex) {
    let unnamed = || item(ItemKind::Index, QualifiedName::unknown());
    let object = index.name.as_ref().map_or_else(unnamed, |name| item_of(ItemKind::Index, name, walk));
    walk.act(Action::Create, object);
    walk.on_table(Action::Alter, &index.table_name);
}

/// A role or user: who may do what changes.
pub(crate) fn role(walk: &mut Walk<'_>, action: Action, name: &Ident) {
    walk.push(Operation::new(action, Object::Role(part(name, walk))).marked(Mark::Privileged));
}

pub(crate) fn roles(walk: &mut Walk<'_>, names: &[ObjectName]) {
    for name in names {
        let object = Object::Role(names::last(name, walk.facts));
        walk.push(Operation::new(Action::Create, object).marked(Mark::Privileged));
    }
}

pub(crate) fn schema(walk: &mut Walk<'_>, name: &SchemaName, clone: Option<&ObjectName>, replace: bool) {
    let schema = match name {
        SchemaName::Simple(name) | SchemaName::NamedAuthorization(name, _) => names::last(name, walk.facts),
        SchemaName::UnnamedAuthorization(user) => part(user, walk),
    };
    walk.act(Action::Create, Object::Schema(schema.clone()));
    if replace {
        walk.act(Action::Drop, Object::Schema(schema));
        walk.act(Action::Drop, any_table());
    }
    if let Some(clone) = clone {
        let all = all_in(clone, walk);
        walk.push(Operation::new(Action::Read, all).naming(Columns::Unknown));
    }
}

pub(crate) fn database(walk: &mut Walk<'_>, name: &ObjectName, clone: Option<&ObjectName>, replace: bool) {
    let database = Object::Database(names::last(name, walk.facts));
    walk.act(Action::Create, database.clone());
    if replace {
        walk.act(Action::Drop, database);
        walk.act(Action::Drop, any_table());
    }
    if clone.is_some() {
        walk.push(Operation::new(Action::Read, any_table()).naming(Columns::Unknown));
    }
}

/// A routine: what its body does when it is called later is not known.
pub(crate) fn function(walk: &mut Walk<'_>, name: &ObjectName, replace: bool) {
    let object = super::super::function(name, walk);
    walk.push(Operation::new(Action::Create, object.clone()).marked(Mark::Dynamic));
    if replace {
        walk.push(Operation::new(Action::Alter, object).marked(Mark::Dynamic));
    }
}

pub(crate) fn trigger(walk: &mut Walk<'_>, trigger: &CreateTrigger) {
    let object = match trigger.name.0.as_slice() {
        [part] => match part.as_ident() {
            Some(ident) => item_named(ItemKind::Trigger, ident, walk),
            None => item(ItemKind::Trigger, QualifiedName::unknown()),
        },
        _ => item_of(ItemKind::Trigger, &trigger.name, walk),
    };
    walk.push(Operation::new(Action::Create, object).marked(Mark::Dynamic));
    walk.on_table(Action::Alter, &trigger.table_name);
}
