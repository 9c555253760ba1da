//! From the grammar's object references to objects of the command model.
//!
//! DROP, COMMENT, GRANT, RENAME, OWNER TO and the like all name an object by a kind and a node. Promises: each kind of
//! the grammar has an object; where the name cannot be read the object is `unknown`. Does not promise that it exists.
//! Held by: `fixtures/sql/define.tsv`, `fixtures/sql/alter.tsv` and `fixtures/sql/drop.tsv`.

use super::gather::ColumnSet;
use super::names;
use super::reader::Reader;
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, ObjectType, RangeVar, RoleSpec, RoleSpecType};
use portcullis_model::{ItemKind, Name, Object, Part, QualifiedName, RelationKind};

/// The words of an object's name: of a string, a list of strings, a type or a signature.
pub(super) fn words(node: Option<&Node>) -> Option<Vec<&str>> {
    match node?.node.as_ref()? {
        NodeEnum::String(text) => Some(vec![&text.sval]),
        NodeEnum::List(list) => {
            let mut all = Vec::new();
            for item in &list.items {
                all.extend(words(Some(item))?);
            }
            Some(all)
        }
        NodeEnum::TypeName(name) => names::strings(&name.names),
        NodeEnum::ObjectWithArgs(signature) => names::strings(&signature.objname),
        _ => None,
    }
}

/// An item that lives in no schema.
pub(super) fn item(kind: ItemKind, name: &str) -> Object {
    Object::Item { kind, name: QualifiedName::unresolved(name) }
}

/// A role, by how it is written.
pub(super) fn role(spec: Option<&RoleSpec>) -> Part {
    match spec.map(|spec| (spec.roletype(), spec.rolename.as_str())) {
        Some((RoleSpecType::RolespecCstring, name)) => Part::known(name),
        Some((RoleSpecType::RolespecPublic, _)) => Part::known("public"),
        Some((
            RoleSpecType::Undefined
            | RoleSpecType::RolespecCurrentRole
            | RoleSpecType::RolespecCurrentUser
            | RoleSpecType::RolespecSessionUser,
            _,
        ))
        | None => Part::Unknown,
    }
}

impl<'t> Reader<'_, 't> {
    /// An item that lives in a schema.
    pub(super) fn schema_item(&self, kind: ItemKind, parts: &[&str]) -> Object {
        Object::Item { kind, name: self.standing.existing(parts) }
    }

    /// A function by its name: the one that the path reaches, where it is one.
    pub(super) fn function_object(&self, parts: &[&str]) -> Object {
        let name = match parts {
            [name] => {
                let mut user = self.standing.function(None, name).user;
                if user.len() == 1 { user.remove(0) } else { QualifiedName::unresolved(*name) }
            }
            _ => self.standing.existing(parts),
        };
        Object::Function(name)
    }

    /// A relation by the words of its name, and what it would be if nobody knew it.
    pub(super) fn relation_object(&self, parts: &[&str], kind: ObjectType) -> Object {
        let (schema, name) = match parts {
            [name] => (None, *name),
            [.., schema, name] => (Some(*schema), *name),
            [] => return Object::Unknown,
        };
        match self.standing.relation(schema, name) {
            Some(place) if place.relation.is_some() => place.object(),
            Some(place) => relation_named(place.name, kind),
            None => relation_named(
                schema.map_or_else(|| QualifiedName::unresolved(name), |s| QualifiedName::new(s, name)),
                kind,
            ),
        }
    }

    pub(super) fn type_named(&self, parts: &[&str], kind: ItemKind) -> Object {
        match self.standing.types(parts).as_slice() {
            [found] => Object::Item { kind, name: QualifiedName::new(found.schema.as_str(), found.name.as_str()) },
            _ => self.schema_item(kind, parts),
        }
    }

    /// What hangs on a relation: its name is in the relation's schema.
    pub(super) fn hanging(&self, kind: ItemKind, relation: Option<&RangeVar>, name: &str) -> Object {
        let schema = relation.map_or(Part::Unknown, |range| self.place_if_any(range).name.schema);
        Object::Item { kind, name: QualifiedName { schema, name: Part::known(name) } }
    }

    /// The object that a kind and a node name, and the columns where it is a column.
    pub(super) fn object(&self, kind: ObjectType, node: Option<&'t Node>) -> (Object, ColumnSet) {
        let Some(parts) = words(node) else { return (self.wordless(kind, node), ColumnSet::None) };
        if kind == ObjectType::ObjectColumn {
            return match parts.split_last() {
                Some((column, relation)) => {
                    let object = self.relation_object(relation, ObjectType::ObjectTable);
                    (object, ColumnSet::named([Name::canonical(*column)]))
                }
                None => (Object::Unknown, ColumnSet::None),
            };
        }
        (self.named_object(kind, &parts), ColumnSet::None)
    }

    fn wordless(&self, kind: ObjectType, node: Option<&'t Node>) -> Object {
        match (kind, node.and_then(|node| node.node.as_ref())) {
            (ObjectType::ObjectLargeobject, Some(NodeEnum::Integer(oid))) => {
                item(ItemKind::LargeObject, &oid.ival.to_string())
            }
            (ObjectType::ObjectLargeobject, Some(NodeEnum::Float(oid))) => item(ItemKind::LargeObject, &oid.fval),
            (ObjectType::ObjectRole, Some(NodeEnum::RoleSpec(spec))) => Object::Role(role(Some(spec))),
            (ObjectType::ObjectLargeobject, _) => {
                Object::Item { kind: ItemKind::LargeObject, name: QualifiedName::unknown() }
            }
            _ => Object::Unknown,
        }
    }

    /// The object of this kind and name.
    pub(super) fn named_object(&self, kind: ObjectType, parts: &[&str]) -> Object {
        let Some(last) = parts.last().copied() else { return Object::Unknown };
        let plain = |kind| item(kind, last);
        let schema = |kind| self.schema_item(kind, parts);
        match kind {
            ObjectType::ObjectTable
            | ObjectType::ObjectForeignTable
            | ObjectType::ObjectView
            | ObjectType::ObjectMatview
            | ObjectType::ObjectSequence
            | ObjectType::ObjectIndex => self.relation_object(parts, kind),
            ObjectType::ObjectColumn | ObjectType::ObjectPublicationRel => {
                self.relation_object(parts, ObjectType::ObjectTable)
            }
            ObjectType::ObjectFunction | ObjectType::ObjectProcedure | ObjectType::ObjectRoutine => {
                self.function_object(parts)
            }
            ObjectType::ObjectAggregate => self.function_object(parts),
            ObjectType::ObjectType => self.type_named(parts, ItemKind::Type),
            ObjectType::ObjectAttribute => {
                let type_name = parts.split_last().map_or(parts, |(_, rest)| rest);
                self.type_named(type_name, ItemKind::Type)
            }
            ObjectType::ObjectDomain => self.type_named(parts, ItemKind::Domain),
            ObjectType::ObjectDomconstraint => {
                let domain = parts.split_last().map_or(parts, |(_, rest)| rest);
                self.type_named(domain, ItemKind::Domain)
            }
            ObjectType::ObjectTrigger => self.on_relation(ItemKind::Trigger, parts),
            ObjectType::ObjectRule => self.on_relation(ItemKind::Rule, parts),
            ObjectType::ObjectPolicy => self.on_relation(ItemKind::Policy, parts),
            ObjectType::ObjectTabconstraint | ObjectType::ObjectDefault => {
                self.on_relation(ItemKind::Constraint, parts)
            }
            ObjectType::ObjectSchema | ObjectType::ObjectPublicationNamespace => Object::Schema(Part::known(last)),
            ObjectType::ObjectDatabase => Object::Database(Part::known(last)),
            ObjectType::ObjectRole => Object::Role(Part::known(last)),
            ObjectType::ObjectParameterAcl => Object::Setting(Part::known(last.to_ascii_lowercase())),
            ObjectType::ObjectAccessMethod => plain(ItemKind::AccessMethod),
            ObjectType::ObjectEventTrigger => plain(ItemKind::EventTrigger),
            ObjectType::ObjectExtension => plain(ItemKind::Extension),
            ObjectType::ObjectFdw => plain(ItemKind::ForeignDataWrapper),
            ObjectType::ObjectForeignServer => plain(ItemKind::Server),
            ObjectType::ObjectLanguage => plain(ItemKind::Language),
            ObjectType::ObjectLargeobject => plain(ItemKind::LargeObject),
            ObjectType::ObjectPublication => plain(ItemKind::Publication),
            ObjectType::ObjectSubscription => plain(ItemKind::Subscription),
            ObjectType::ObjectTablespace => plain(ItemKind::Tablespace),
            ObjectType::ObjectUserMapping => plain(ItemKind::UserMapping),
            ObjectType::ObjectCast => plain(ItemKind::Cast),
            ObjectType::ObjectTransform => plain(ItemKind::Transform),
            ObjectType::ObjectCollation => schema(ItemKind::Collation),
            ObjectType::ObjectConversion => schema(ItemKind::Conversion),
            ObjectType::ObjectOperator => schema(ItemKind::Operator),
            ObjectType::ObjectOpclass => self.behind_method(ItemKind::OperatorClass, parts),
            ObjectType::ObjectOpfamily | ObjectType::ObjectAmop | ObjectType::ObjectAmproc => {
                self.behind_method(ItemKind::OperatorFamily, parts)
            }
            ObjectType::ObjectStatisticExt => schema(ItemKind::Statistics),
            ObjectType::ObjectTsconfiguration
            | ObjectType::ObjectTsdictionary
            | ObjectType::ObjectTsparser
            | ObjectType::ObjectTstemplate => schema(ItemKind::TextSearch),
            ObjectType::Undefined | ObjectType::ObjectDefacl => Object::Unknown,
        }
    }

    /// `relation.name` of something that hangs on a relation.
    fn on_relation(&self, kind: ItemKind, parts: &[&str]) -> Object {
        let Some((name, relation)) = parts.split_last() else { return Object::Unknown };
        let schema = match self.relation_object(relation, ObjectType::ObjectTable) {
            Object::Relation { name, .. } => name.schema,
            _ => Part::Unknown,
        };
        Object::Item { kind, name: QualifiedName { schema, name: Part::known(*name) } }
    }

    /// An operator class or family, whose access method the grammar writes first.
    fn behind_method(&self, kind: ItemKind, parts: &[&str]) -> Object {
        self.schema_item(kind, parts.split_first().map_or(parts, |(_, rest)| rest))
    }

    /// The relation that something hangs on, from the words that name it.
    pub(super) fn carrier(&self, kind: ObjectType, parts: &[&str]) -> Option<Object> {
        match kind {
            ObjectType::ObjectTrigger
            | ObjectType::ObjectRule
            | ObjectType::ObjectPolicy
            | ObjectType::ObjectTabconstraint => {
                let (_, relation) = parts.split_last()?;
                Some(self.relation_object(relation, ObjectType::ObjectTable))
            }
            _ => None,
        }
    }
}

/// A relation that nobody knows, by the kind that the statement says it is.
pub(super) fn relation_named(name: QualifiedName, kind: ObjectType) -> Object {
    match kind {
        ObjectType::ObjectView => Object::relation(name, RelationKind::View),
        ObjectType::ObjectMatview => Object::relation(name, RelationKind::MaterializedView),
        ObjectType::ObjectSequence => Object::Item { kind: ItemKind::Sequence, name },
        ObjectType::ObjectIndex => Object::Item { kind: ItemKind::Index, name },
        ObjectType::ObjectType => Object::Item { kind: ItemKind::Type, name },
        _ => Object::relation(name, RelationKind::Table),
    }
}
