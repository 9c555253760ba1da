//! DROP and TRUNCATE: what goes, and what goes or changes with it.
//!
//! A container goes with each object in it, up to a limit; beyond, with anything in it. CASCADE takes the views that
//! read a relation and changes the tables that reference it. Promises: nothing that the catalogue knows to go is left
//! out. Does not promise dependencies that the catalogue does not hold (functions over types, defaults over sequences):
//! CASCADE on such an object is also `drop unknown`. Held by: `fixtures/sql/drop.tsv`.

use super::gather::ColumnSet;
use super::names::{self, Place, TEMPORARY};
use super::objects::words;
use super::reader::Reader;
use crate::reading::Effect;
use pg_query::NodeEnum;
use pg_query::protobuf::{DropBehavior, DropStmt, Node, ObjectType, TruncateStmt};
use portcullis_model::catalogue::{Oid, RelKind, Relation};
use portcullis_model::{Action, Mark, Marks, Name, Object, Part, QualifiedName, RelationKind};
use std::collections::HashSet;
use std::sync::Arc;

impl<'t> Reader<'_, 't> {
    pub(super) fn drop_statement(&mut self, statement: &'t DropStmt) {
        self.changes_catalogue();
        let cascade = statement.behavior() == DropBehavior::DropCascade;
        for object in &statement.objects {
            self.drop_one(statement.remove_type(), object, cascade);
        }
    }

    fn drop_one(&mut self, kind: ObjectType, node: &'t Node, cascade: bool) {
        match kind {
            ObjectType::ObjectTable
            | ObjectType::ObjectForeignTable
            | ObjectType::ObjectView
            | ObjectType::ObjectMatview
            | ObjectType::ObjectSequence
            | ObjectType::ObjectIndex => self.drop_relation(kind, node, cascade),
            ObjectType::ObjectSchema => match words(Some(node)).as_deref() {
                Some([.., name]) => self.drop_schema(name, cascade),
                Some([]) | None => self.add(Action::Drop, Object::Unknown, Marks::NONE),
            },
            _ => {
                let (object, columns) = self.object(kind, Some(node));
                self.gathered.add(Action::Drop, object, Marks::NONE, columns);
                let carrier = words(Some(node)).and_then(|parts| self.carrier(kind, &parts));
                if let Some(carrier) = carrier {
                    self.alters(carrier);
                }
                if cascade {
                    self.drop_dependents(kind, node);
                }
            }
        }
    }

    /// CASCADE behind an object whose dependents the catalogue does not hold, or holds in part.
    fn drop_dependents(&mut self, kind: ObjectType, node: &'t Node) {
        if matches!(kind, ObjectType::ObjectType | ObjectType::ObjectDomain) {
            let parts = words(Some(node)).unwrap_or_default();
            let oids: Vec<Oid> = self.standing.types(&parts).iter().map(|found| found.oid).collect();
            let catalogue = Arc::clone(&self.standing.scope.catalogue);
            let mut using: Vec<_> = catalogue
                .relations()
                .filter(|relation| relation.columns.iter().any(|column| oids.contains(&column.type_oid)))
                .collect();
            using.sort_by_key(|relation| relation.oid);
            for relation in using {
                self.add(Action::Alter, names::object_of(relation), Marks::NONE);
            }
        }
        if !matches!(
            kind,
            ObjectType::ObjectTrigger
                | ObjectType::ObjectRule
                | ObjectType::ObjectPolicy
                | ObjectType::ObjectEventTrigger
        ) {
            self.add(Action::Drop, Object::Unknown, Marks::NONE);
        }
    }

    fn drop_relation(&mut self, kind: ObjectType, node: &'t Node, cascade: bool) {
        let parts = words(Some(node)).unwrap_or_default();
        let (schema, name) = match parts.as_slice() {
            [name] => (None, *name),
            [.., schema, name] => (Some(*schema), *name),
            [] => return self.add(Action::Drop, Object::Unknown, Marks::NONE),
        };
        let place = self.standing.relation(schema, name);
        if let Some(place) = &place
            && place.name.schema.as_str() == Some(TEMPORARY)
        {
            self.gathered.effects.push(Effect::DropsTemporary(Some(vec![Name::canonical(name)])));
        }
        let object = match &place {
            Some(place) if place.relation.is_some() => place.object(),
            _ => self.relation_object(&parts, kind),
        };
        self.add(Action::Drop, object, Marks::NONE);
        let Some(place) = place else { return };
        let meant: Vec<_> = place.relation.iter().chain(&place.candidates).map(Arc::clone).collect();
        let unknown = meant.is_empty();
        for relation in meant {
            self.drop_with(&relation, cascade);
        }
        if cascade && unknown {
            self.add(Action::Drop, Object::Unknown, Marks::NONE);
        }
    }

    /// A relation, its partitions, and with CASCADE what depends on it.
    fn drop_with(&mut self, relation: &Arc<Relation>, cascade: bool) {
        let mut next = vec![Arc::clone(relation)];
        let mut seen: HashSet<Oid> = HashSet::new();
        let catalogue = Arc::clone(&self.standing.scope.catalogue);
        while let Some(relation) = next.pop() {
            if !seen.insert(relation.oid) {
                continue;
            }
            self.add(Action::Drop, names::object_of(&relation), Marks::NONE);
            if cascade || relation.kind == RelKind::PartitionedTable {
                next.extend(relation.children.iter().filter_map(|oid| catalogue.relation(*oid)).map(Arc::clone));
            }
            if !cascade {
                continue;
            }
            for key in &relation.referenced_by {
                match catalogue.relation(key.relation) {
                    Some(referencing) => self.add(Action::Alter, names::object_of(referencing), Marks::NONE),
                    None => self.add(Action::Alter, Object::Unknown, Marks::NONE),
                }
            }
            let mut reading: Vec<_> = catalogue
                .relations()
                .filter(|other| other.reads.contains(&relation.oid) && other.oid != relation.oid)
                .map(Arc::clone)
                .collect();
            reading.sort_by_key(|other| other.oid);
            next.extend(reading);
            if relation.kind == RelKind::Sequence {
                // Defaults that use it go; which columns have them the catalogue shows only as text.
                let spelled = format!("{}'", relation.name);
                let mut all: Vec<_> = catalogue.relations().collect();
                all.sort_by_key(|other| other.oid);
                for other in all {
                    let uses = |column: &portcullis_model::catalogue::Column| {
                        column
                            .default
                            .as_deref()
                            .is_some_and(|text| text.contains("nextval") && text.contains(&spelled))
                    };
                    if other.columns.iter().any(uses) {
                        self.add(Action::Alter, names::object_of(other), Marks::NONE);
                    }
                }
            }
        }
    }

    /// A schema, and with CASCADE everything in it.
    pub(super) fn drop_schema(&mut self, name: &str, cascade: bool) {
        self.add(Action::Drop, Object::Schema(Part::known(name)), Marks::NONE);
        if cascade {
            self.each_in_schema(Action::Drop, name, Marks::NONE);
        }
    }

    /// An operation on each relation and function of a schema; on anything in it where there are too many or they are
    /// not known.
    pub(super) fn each_in_schema(&mut self, action: Action, schema: &str, marks: Marks) {
        self.relations_in_schema(action, schema, marks);
        let catalogue = Arc::clone(&self.standing.scope.catalogue);
        let mut functions: Vec<_> =
            catalogue.functions().filter(|function| function.schema.as_str() == schema).map(Arc::clone).collect();
        functions.sort_by_key(|function| function.oid);
        if self.too_many(functions.len()) {
            return self.add(action, Object::Function(QualifiedName::anything_in(schema)), marks);
        }
        for function in functions {
            let name = QualifiedName::new(function.schema.as_str(), function.name.as_str());
            self.add(action, Object::Function(name), marks);
        }
    }

    /// The same for relations alone.
    pub(super) fn relations_in_schema(&mut self, action: Action, schema: &str, marks: Marks) {
        let catalogue = Arc::clone(&self.standing.scope.catalogue);
        let mut relations: Vec<_> =
            catalogue.relations().filter(|relation| relation.schema.as_str() == schema).map(Arc::clone).collect();
        relations.sort_by_key(|relation| relation.oid);
        if self.too_many(relations.len()) {
            let anything = QualifiedName::anything_in(schema);
            return self.add(action, Object::relation(anything, RelationKind::Table), marks);
        }
        for relation in relations {
            self.add(action, names::object_of(&relation), marks);
        }
    }

    fn too_many(&self, objects: usize) -> bool {
        !self.standing.scope.catalogue.is_known() || self.standing.uncertain || objects > self.limits.enumeration
    }

    pub(super) fn truncate(&mut self, statement: &'t TruncateStmt) {
        let cascade = statement.behavior() == DropBehavior::DropCascade;
        for range in super::define::ranges(&statement.relations) {
            let place = self.place(range);
            let marks = Self::catalogue_marks(&place);
            self.truncate_place(&place, marks, range.inh, cascade);
        }
    }

    fn truncate_place(&mut self, place: &Place, marks: Marks, descends: bool, cascade: bool) {
        self.on_place(Action::Truncate, place, marks, &ColumnSet::None, descends);
        if !cascade {
            return;
        }
        let meant: Vec<_> = place.relation.iter().chain(&place.candidates).map(Arc::clone).collect();
        if meant.is_empty() {
            self.add(Action::Truncate, Object::Unknown, marks);
        }
        for relation in meant {
            self.truncate_referencing(&relation, marks);
            for child in self.descendants(&relation, descends) {
                self.truncate_referencing(&child, marks);
            }
        }
    }

    /// DROP OWNED: whatever the roles own, and whatever they were granted.
    pub(super) fn drop_owned(&mut self, roles: &'t [Node]) {
        self.changes_catalogue();
        self.add(Action::Drop, Object::Unknown, Mark::Unbounded);
        for node in roles {
            if let Some(NodeEnum::RoleSpec(spec)) = &node.node {
                self.add(Action::Revoke, Object::Role(super::objects::role(Some(spec))), Marks::NONE);
            }
        }
    }
}
