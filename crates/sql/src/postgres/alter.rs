//! ALTER: tables and their kin, renames, moves, owners, and comments.
//!
//! Promises: the object is altered, and with it whatever the change reaches: partitions and children below a table, the
//! table that is attached or detached, the schema something moves to; a change of owner is also a grant. Expressions in
//! a change (USING, DEFAULT, CHECK) are read. Held by: `fixtures/sql/alter.tsv`.

use super::gather::ColumnSet;
use super::names::Place;
use super::objects::{relation_named, role, words};
use super::query::reference;
use super::reader::{Reader, Source};
use pg_query::protobuf::{self, AlterTableCmd, AlterTableStmt, AlterTableType, Node, ObjectType, RangeVar};
use pg_query::{NodeEnum, NodeRef};
use portcullis_model::{Action, Mark, Marks, Name, Object, Part, QualifiedName};

impl<'t> Reader<'_, 't> {
    pub(super) fn alter_table(&mut self, statement: &'t AlterTableStmt) {
        let Some(range) = &statement.relation else { return self.unknown(Marks::NONE) };
        self.changes_catalogue();
        let place = self.altered(statement, range);
        let columns = statement.cmds.iter().fold(ColumnSet::None, |mut columns, node| {
            if let Some(NodeEnum::AlterTableCmd(command)) = &node.node {
                columns.add(altered_columns(command));
            }
            columns
        });
        self.alter_place(&place, statement.objtype(), &columns, range.inh, Self::catalogue_marks(&place));
        self.enter();
        self.enter_source(&range.relname, Source::Relation(Box::new(reference(place.clone(), range, true))));
        for node in &statement.cmds {
            match &node.node {
                Some(NodeEnum::AlterTableCmd(command)) => self.alter_command(command, &place),
                _ => self.walk_node(Some(node)),
            }
        }
        self.leave();
    }

    fn altered(&mut self, statement: &AlterTableStmt, range: &RangeVar) -> Place {
        // Types have relations of their own only as composite types; IF EXISTS may name nothing.
        if statement.missing_ok || statement.objtype() == ObjectType::ObjectType {
            self.place_if_any(range)
        } else {
            self.place(range)
        }
    }

    fn alter_place(&mut self, place: &Place, kind: ObjectType, columns: &ColumnSet, descends: bool, marks: Marks) {
        if place.relation.is_some() || !place.candidates.is_empty() {
            self.on_place(Action::Alter, place, marks, columns, descends);
        } else {
            self.gathered.add(Action::Alter, relation_named(place.name.clone(), kind), marks, columns.clone());
        }
    }

    fn alter_command(&mut self, command: &'t AlterTableCmd, place: &Place) {
        match command.subtype() {
            AlterTableType::AtAttachPartition
            | AlterTableType::AtDetachPartition
            | AlterTableType::AtDetachPartitionFinalize
            | AlterTableType::AtAddInherit
            | AlterTableType::AtDropInherit => self.alter_other(command),
            AlterTableType::AtChangeOwner => self.add(Action::Grant, place.object(), Marks::NONE),
            // Keys, rules and row security stop guarding the rows.
            AlterTableType::AtDisableTrig
            | AlterTableType::AtDisableTrigAll
            | AlterTableType::AtDisableTrigUser
            | AlterTableType::AtEnableReplicaTrig
            | AlterTableType::AtDisableRule
            | AlterTableType::AtEnableReplicaRule
            | AlterTableType::AtDisableRowSecurity
            | AlterTableType::AtNoForceRowSecurity => self.add(Action::Alter, place.object(), Mark::Privileged),
            _ => {}
        }
        match command.def.as_ref().and_then(|def| def.node.as_ref()) {
            Some(NodeEnum::Constraint(constraint)) => self.constraint(constraint),
            Some(NodeEnum::ColumnDef(_)) => {
                if let Some(def) = command.def.as_deref() {
                    self.table_element(def);
                }
            }
            Some(NodeEnum::PartitionCmd(part)) => {
                if let Some(bound) = &part.bound {
                    self.walk(NodeRef::PartitionBoundSpec(bound));
                }
            }
            Some(NodeEnum::RangeVar(_) | NodeEnum::ReplicaIdentityStmt(_)) | None => {}
            Some(_) => self.walk_node(command.def.as_deref()),
        }
    }

    /// The partition or parent that the command names.
    fn alter_other(&mut self, command: &'t AlterTableCmd) {
        let other = match command.def.as_ref().and_then(|def| def.node.as_ref()) {
            Some(NodeEnum::PartitionCmd(part)) => part.name.as_ref(),
            Some(NodeEnum::RangeVar(range)) => Some(range),
            _ => None,
        };
        match other {
            Some(range) => {
                let place = self.place(range);
                self.on_place(Action::Alter, &place, Marks::NONE, &ColumnSet::None, true);
            }
            None => self.unknown(Marks::NONE),
        }
    }

    /// The object of RENAME, SET SCHEMA, OWNER TO, DEPENDS ON: a relation or a name of a kind.
    fn subject(
        &mut self,
        kind: ObjectType,
        relation: Option<&'t RangeVar>,
        object: Option<&'t Node>,
        missing_ok: bool,
    ) -> Object {
        match relation {
            Some(range) => {
                let place = if missing_ok { self.place_if_any(range) } else { self.place(range) };
                if place.relation.is_some() { place.object() } else { relation_named(place.name, kind) }
            }
            None => self.object(kind, object).0,
        }
    }

    pub(super) fn rename(&mut self, statement: &'t protobuf::RenameStmt) {
        let kind = statement.rename_type();
        let on_relation = matches!(
            kind,
            ObjectType::ObjectColumn
                | ObjectType::ObjectAttribute
                | ObjectType::ObjectTabconstraint
                | ObjectType::ObjectTrigger
                | ObjectType::ObjectRule
                | ObjectType::ObjectPolicy
        );
        self.changes_catalogue();
        match kind {
            // These are named in their own fields.
            ObjectType::ObjectRole => self.add(Action::Alter, known_role(&statement.subname), Marks::NONE),
            ObjectType::ObjectDatabase => {
                self.add(Action::Alter, Object::Database(Part::known(statement.subname.as_str())), Marks::NONE);
            }
            ObjectType::ObjectSchema => {
                self.add(Action::Alter, Object::Schema(Part::known(statement.subname.as_str())), Marks::NONE);
                self.each_in_schema(Action::Alter, &statement.subname, Marks::NONE);
            }
            ObjectType::ObjectTablespace if statement.object.is_none() => {
                let object = self.named_object(kind, &[&statement.subname]);
                self.add(Action::Alter, object, Marks::NONE);
            }
            _ if on_relation => {
                let carrier = statement.relation_type();
                let object = self.subject(carrier, statement.relation.as_ref(), None, statement.missing_ok);
                let columns = match kind {
                    ObjectType::ObjectColumn => ColumnSet::named([Name::canonical(statement.subname.as_str())]),
                    _ => ColumnSet::None,
                };
                self.gathered.add(Action::Alter, object, Marks::NONE, columns);
            }
            _ => {
                let object =
                    self.subject(kind, statement.relation.as_ref(), statement.object.as_deref(), statement.missing_ok);
                self.add(Action::Alter, object, Marks::NONE);
            }
        }
    }

    pub(super) fn set_schema(&mut self, statement: &'t protobuf::AlterObjectSchemaStmt) {
        let object = self.subject(
            statement.object_type(),
            statement.relation.as_ref(),
            statement.object.as_deref(),
            statement.missing_ok,
        );
        self.alters(object);
        self.add(Action::Alter, Object::Schema(Part::known(statement.newschema.as_str())), Marks::NONE);
    }

    pub(super) fn set_owner(&mut self, statement: &'t protobuf::AlterOwnerStmt) {
        let object =
            self.subject(statement.object_type(), statement.relation.as_ref(), statement.object.as_deref(), false);
        self.alters(object.clone());
        self.add(Action::Grant, object, Marks::NONE);
    }

    pub(super) fn depends(&mut self, statement: &'t protobuf::AlterObjectDependsStmt) {
        let kind = statement.object_type();
        let object = self.subject(kind, statement.relation.as_ref(), statement.object.as_deref(), false);
        self.alters(object);
    }

    /// COMMENT and SECURITY LABEL.
    pub(super) fn annotate(&mut self, kind: ObjectType, object: Option<&'t Node>, marks: Marks) {
        let (named, columns) = self.object(kind, object);
        self.gathered.add(Action::Alter, named, marks, columns);
        let carrier = words(object).and_then(|parts| self.carrier(kind, &parts));
        if let Some(carrier) = carrier {
            self.add(Action::Alter, carrier, marks);
        }
    }

    /// ALTER of a name of a kind, without more.
    pub(super) fn alter_named(&mut self, kind: ObjectType, parts: &'t [Node]) {
        let object = match super::names::strings(parts) {
            Some(parts) => self.named_object(kind, &parts),
            None => Object::Unknown,
        };
        self.alters(object);
    }

    pub(super) fn alter_domain(&mut self, statement: &'t protobuf::AlterDomainStmt) {
        self.alter_named(ObjectType::ObjectDomain, &statement.type_name);
        match statement.def.as_ref().and_then(|def| def.node.as_ref()) {
            Some(NodeEnum::Constraint(constraint)) => self.constraint(constraint),
            _ => self.walk_node(statement.def.as_deref()),
        }
    }

    pub(super) fn alter_function(&mut self, statement: &'t protobuf::AlterFunctionStmt) {
        let parts = statement.func.as_ref().and_then(|func| super::names::strings(&func.objname));
        let object = parts.map_or(Object::Unknown, |parts| self.function_object(&parts));
        let mut marks = Marks::NONE;
        for option in super::define::options(&statement.actions) {
            match option.defname.as_str() {
                "security" => marks = marks.with(Mark::Privileged),
                "set" => self.set_for_function(option.arg.as_deref()),
                "support" => marks = marks.with(Mark::Privileged),
                _ => {}
            }
        }
        self.changes_catalogue();
        self.add(Action::Alter, object, marks);
    }

    pub(super) fn alter_sequence(&mut self, statement: &'t protobuf::AlterSeqStmt) {
        let Some(range) = &statement.sequence else { return self.unknown(Marks::NONE) };
        let place = if statement.missing_ok { self.place_if_any(range) } else { self.place(range) };
        self.changes_catalogue();
        self.alter_place(&place, ObjectType::ObjectSequence, &ColumnSet::None, false, Marks::NONE);
        self.sequence_options(&statement.options);
    }

    /// ALTER … ALL IN TABLESPACE: relations that are not known.
    pub(super) fn move_all(&mut self, statement: &'t protobuf::AlterTableMoveAllStmt) {
        self.changes_catalogue();
        self.add(Action::Alter, relation_named(QualifiedName::unknown(), statement.objtype()), Mark::Locks);
    }
}

/// A role by its name.
fn known_role(name: &str) -> Object {
    Object::Role(if name.is_empty() { Part::Unknown } else { Part::known(name) })
}

/// The columns that a command changes.
fn altered_columns(command: &AlterTableCmd) -> ColumnSet {
    let named = |name: &str| if name.is_empty() { ColumnSet::None } else { ColumnSet::named([Name::canonical(name)]) };
    match command.subtype() {
        AlterTableType::AtAddColumn | AlterTableType::AtAddColumnToView => {
            match command.def.as_ref().and_then(|def| def.node.as_ref()) {
                Some(NodeEnum::ColumnDef(column)) => named(&column.colname),
                _ => ColumnSet::Unknown,
            }
        }
        AlterTableType::AtColumnDefault
        | AlterTableType::AtDropNotNull
        | AlterTableType::AtSetNotNull
        | AlterTableType::AtSetExpression
        | AlterTableType::AtDropExpression
        | AlterTableType::AtSetStatistics
        | AlterTableType::AtSetOptions
        | AlterTableType::AtResetOptions
        | AlterTableType::AtSetStorage
        | AlterTableType::AtSetCompression
        | AlterTableType::AtDropColumn
        | AlterTableType::AtAlterColumnType
        | AlterTableType::AtAlterColumnGenericOptions
        | AlterTableType::AtAddIdentity
        | AlterTableType::AtSetIdentity
        | AlterTableType::AtDropIdentity => {
            if command.name.is_empty() {
                ColumnSet::Unknown
            } else {
                named(&command.name)
            }
        }
        _ => ColumnSet::None,
    }
}

/// The role that something is about.
pub(super) fn role_object(spec: Option<&protobuf::RoleSpec>) -> Object {
    Object::Role(role(spec))
}
