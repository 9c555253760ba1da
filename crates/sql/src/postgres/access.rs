//! Who may do what: GRANT, REVOKE, default privileges, roles and their settings.
//!
//! Promises: a grant names each object it is on, a whole schema's objects one by one up to the limit; a setting that is
//! changed for later sessions is both the setting and the role, database or server that gets it.
//! Held by: `fixtures/sql/access.tsv`.

use super::alter::role_object;
use super::define::options;
use super::gather::ColumnSet;
use super::names;
use super::objects::words;
use super::reader::Reader;
use pg_query::NodeEnum;
use pg_query::protobuf::{self, GrantStmt, GrantTargetType, Node, ObjectType, VariableSetStmt};
use portcullis_model::{Action, Mark, Marks, Name, Object, Part, QualifiedName, RelationKind};

impl<'t> Reader<'_, 't> {
    pub(super) fn grant(&mut self, statement: &'t GrantStmt) {
        self.changes_catalogue();
        let action = if statement.is_grant { Action::Grant } else { Action::Revoke };
        let columns = granted_columns(&statement.privileges);
        match statement.targtype() {
            GrantTargetType::AclTargetAllInSchema => {
                for schema in &statement.objects {
                    match words(Some(schema)).as_deref() {
                        Some([.., name]) => self.grant_schema(action, statement.objtype(), name),
                        Some([]) | None => self.add(action, Object::Unknown, Marks::NONE),
                    }
                }
            }
            GrantTargetType::AclTargetObject | GrantTargetType::AclTargetDefaults | GrantTargetType::Undefined => {
                for object in &statement.objects {
                    self.grant_one(action, statement.objtype(), object, &columns);
                }
            }
        }
        if statement.objects.is_empty() {
            self.add(action, Object::Unknown, Marks::NONE);
        }
    }

    fn grant_one(&mut self, action: Action, kind: ObjectType, node: &'t Node, columns: &ColumnSet) {
        if let Some(NodeEnum::RangeVar(range)) = &node.node {
            let place = self.place(range);
            if place.relation.is_some() || !place.candidates.is_empty() {
                self.on_place(action, &place, Marks::NONE, columns, true);
            } else {
                let object = super::objects::relation_named(place.name, kind);
                self.gathered.add(action, object, Marks::NONE, columns.clone());
            }
            return;
        }
        let (object, _) = self.object(kind, Some(node));
        self.gathered.add(action, object, Marks::NONE, columns.clone());
    }

    fn grant_schema(&mut self, action: Action, kind: ObjectType, schema: &str) {
        match kind {
            ObjectType::ObjectTable | ObjectType::ObjectSequence => {
                self.relations_in_schema(action, schema, Marks::NONE);
            }
            _ => self.add(action, Object::Function(QualifiedName::anything_in(schema)), Marks::NONE),
        }
        self.add(action, Object::Schema(Part::known(schema)), Marks::NONE);
    }

    pub(super) fn grant_role(&mut self, statement: &'t protobuf::GrantRoleStmt) {
        self.changes_catalogue();
        let action = if statement.is_grant { Action::Grant } else { Action::Revoke };
        for granted in &statement.granted_roles {
            match &granted.node {
                Some(NodeEnum::AccessPriv(granted)) => {
                    self.add(action, Object::Role(Part::known(granted.priv_name.as_str())), Marks::NONE);
                }
                _ => self.add(action, Object::Unknown, Marks::NONE),
            }
        }
        for grantee in &statement.grantee_roles {
            if let Some(NodeEnum::RoleSpec(spec)) = &grantee.node {
                self.add(Action::Alter, role_object(Some(spec)), Marks::NONE);
            }
        }
    }

    pub(super) fn default_privileges(&mut self, statement: &'t protobuf::AlterDefaultPrivilegesStmt) {
        self.changes_catalogue();
        let action = match &statement.action {
            Some(grant) if !grant.is_grant => Action::Revoke,
            _ => Action::Grant,
        };
        let schemas: Vec<&str> = options(&statement.options)
            .filter(|option| option.defname == "schemas")
            .filter_map(|option| words(option.arg.as_deref()))
            .flatten()
            .collect();
        let kind = statement.action.as_ref().map_or(ObjectType::Undefined, GrantStmt::objtype);
        let anything = |name: QualifiedName| match kind {
            ObjectType::ObjectTable => Object::relation(name, RelationKind::Table),
            ObjectType::ObjectFunction => Object::Function(name),
            ObjectType::ObjectSequence | ObjectType::ObjectType => super::objects::relation_named(name, kind),
            _ => Object::Unknown,
        };
        if schemas.is_empty() {
            self.add(action, anything(QualifiedName::unknown()), Marks::NONE);
        }
        for schema in schemas {
            self.add(action, anything(QualifiedName::anything_in(schema)), Marks::NONE);
        }
    }

    pub(super) fn create_role(&mut self, statement: &'t protobuf::CreateRoleStmt) {
        let role = Object::Role(Part::known(statement.role.as_str()));
        self.changes_catalogue();
        self.add(Action::Create, role, role_marks(&statement.options));
        self.memberships(&statement.options);
    }

    pub(super) fn alter_role(&mut self, statement: &'t protobuf::AlterRoleStmt) {
        self.changes_catalogue();
        self.add(Action::Alter, role_object(statement.role.as_ref()), role_marks(&statement.options));
        // ALTER GROUP … ADD USER is a grant of the role.
        if options(&statement.options).any(|option| option.defname == "rolemembers") {
            let action = if statement.action < 0 { Action::Revoke } else { Action::Grant };
            self.add(action, role_object(statement.role.as_ref()), Marks::NONE);
        }
    }

    /// IN ROLE grants the roles named.
    fn memberships(&mut self, nodes: &'t [Node]) {
        for option in options(nodes).filter(|option| option.defname == "addroleto") {
            let Some(NodeEnum::List(roles)) = option.arg.as_ref().and_then(|arg| arg.node.as_ref()) else { continue };
            for node in &roles.items {
                if let Some(NodeEnum::RoleSpec(spec)) = &node.node {
                    self.add(Action::Grant, role_object(Some(spec)), Marks::NONE);
                }
            }
        }
    }

    pub(super) fn drop_roles(&mut self, roles: &'t [Node]) {
        self.changes_catalogue();
        for node in roles {
            match &node.node {
                Some(NodeEnum::RoleSpec(spec)) => self.add(Action::Drop, role_object(Some(spec)), Marks::NONE),
                _ => self.add(Action::Drop, Object::Unknown, Marks::NONE),
            }
        }
    }

    pub(super) fn reassign_owned(&mut self, statement: &'t protobuf::ReassignOwnedStmt) {
        self.changes_catalogue();
        self.add(Action::Alter, Object::Unknown, Mark::Unbounded);
        self.add(Action::Grant, Object::Unknown, Mark::Unbounded);
        for node in &statement.roles {
            if let Some(NodeEnum::RoleSpec(spec)) = &node.node {
                self.add(Action::Alter, role_object(Some(spec)), Marks::NONE);
            }
        }
        self.add(Action::Alter, role_object(statement.newrole.as_ref()), Marks::NONE);
    }

    /// A setting for later sessions of a role, a database or the whole server.
    pub(super) fn lasting_setting(&mut self, setting: Option<&'t VariableSetStmt>, of: &[Object], marks: Marks) {
        let name = setting.map_or("", |setting| setting.name.as_str());
        let part = if name.is_empty() { Part::Unknown } else { Part::known(name.to_ascii_lowercase()) };
        self.add(Action::Configure, Object::Setting(part), marks);
        for object in of {
            self.add(Action::Alter, object.clone(), marks);
        }
        for arg in setting.map(|setting| setting.args.as_slice()).unwrap_or_default() {
            self.walk_node(Some(arg));
        }
    }
}

/// The columns that privileges are restricted to.
fn granted_columns(privileges: &[Node]) -> ColumnSet {
    let mut columns = ColumnSet::None;
    for node in privileges {
        if let Some(NodeEnum::AccessPriv(privilege)) = &node.node {
            let named = names::strings(&privilege.cols).unwrap_or_default();
            columns.add(ColumnSet::named(named.into_iter().map(Name::canonical)));
        }
    }
    columns
}

/// Rights that make a role more than one that logs in.
fn role_marks(nodes: &[Node]) -> Marks {
    let strong = options(nodes).any(|option| {
        matches!(option.defname.as_str(), "superuser" | "createrole" | "bypassrls" | "isreplication" | "createdb")
            && super::define::truthy(option.arg.as_deref())
    });
    if strong { Mark::Privileged.into() } else { Marks::NONE }
}
