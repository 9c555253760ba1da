//! CREATE: relations, indexes, functions, triggers, rules, types and everything else that can be made.
//!
//! Promises: what is made is `create`; what it is made on is `alter` (a trigger, rule, policy or index changes its
//! table); the queries and expressions in it are read; a body of code is `dynamic`, whatever its language.
//! Does not promise to read bodies of functions: they run at another time, under other names.
//! Held by: `fixtures/sql/define.tsv`.

use super::gather::ColumnSet;
use super::names::{self, TEMPORARY};
use super::objects::{item, role};
use super::query::reference;
use super::reader::{Reader, Source};
use crate::builtins;
use crate::reading::{Effect, SearchPathValue};
use crate::scope::is_temporary;
use pg_query::protobuf::{
    self, Constraint, CreateFunctionStmt, CreateStmt, DefElem, IntoClause, Node, ObjectType, RangeVar, TableLikeClause,
};
use pg_query::{NodeEnum, NodeRef};
use portcullis_model::{Action, ItemKind, Mark, Marks, Name, Object, Part, QualifiedName, RelationKind};

/// What a query's rows are made into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    Table,
    MaterializedView,
}

/// The options of a list.
pub(super) fn options(nodes: &[Node]) -> impl Iterator<Item = &DefElem> {
    nodes.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::DefElem(option)) => Some(&**option),
        _ => None,
    })
}

/// The relations of a list.
pub(super) fn ranges(nodes: &[Node]) -> impl Iterator<Item = &RangeVar> {
    nodes.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::RangeVar(range)) => Some(range),
        _ => None,
    })
}

impl<'t> Reader<'_, 't> {
    /// The catalogue is another behind this statement.
    pub(super) fn changes_catalogue(&mut self) {
        if !self.gathered.effects.contains(&Effect::ChangesCatalogue) {
            self.gathered.effects.push(Effect::ChangesCatalogue);
        }
    }

    /// Notes that a thing is made.
    pub(super) fn creates(&mut self, object: Object) {
        self.changes_catalogue();
        // Where its schema is not known, it may be the session's own.
        let temporary = matches!(&object, Object::Item { kind: ItemKind::Type | ItemKind::Domain, name }
            if name.schema.as_str().is_none_or(is_temporary));
        if temporary {
            self.hides_types();
        }
        let marks = if temporary { Mark::Dynamic.into() } else { Marks::NONE };
        self.add(Action::Create, object, marks);
    }

    /// A type of this session's own stands before the server's of its name, and nobody else's catalogue has it.
    fn hides_types(&mut self) {
        self.gathered.effects.push(Effect::SearchPath { value: SearchPathValue::Unknown, local: false });
    }

    /// Notes that an object is changed.
    pub(super) fn alters(&mut self, object: Object) {
        self.changes_catalogue();
        self.add(Action::Alter, object, Marks::NONE);
    }

    /// The name that a new relation gets; temporary ones are noted.
    fn new_relation(&mut self, range: &RangeVar) -> QualifiedName {
        let temporary = range.relpersistence == "t" || is_temporary(&range.schemaname);
        if temporary {
            self.gathered.effects.push(Effect::CreatesTemporary(vec![Name::canonical(range.relname.as_str())]));
            // Its rows are of a type of its name.
            if builtins::is_builtin_type(&range.relname) {
                self.hides_types();
            }
            return QualifiedName::new(TEMPORARY, range.relname.as_str());
        }
        match range.schemaname.as_str() {
            "" => self.standing.creation(&[&range.relname]),
            schema => QualifiedName::new(schema, range.relname.as_str()),
        }
    }

    /// SELECT INTO, CREATE TABLE AS, CREATE MATERIALIZED VIEW: the target.
    pub(super) fn creates_from(&mut self, into: &'t IntoClause, made: Made) {
        let Some(range) = &into.rel else { return self.unknown(Marks::NONE) };
        let name = self.new_relation(range);
        let kind = match made {
            Made::Table => RelationKind::Table,
            Made::MaterializedView => RelationKind::MaterializedView,
        };
        self.creates(Object::relation(name, kind));
        self.walk_all(&into.options);
    }

    pub(super) fn create_table_as(&mut self, statement: &'t protobuf::CreateTableAsStmt) {
        if let Some(into) = &statement.into {
            let made = match statement.objtype() {
                ObjectType::ObjectMatview => Made::MaterializedView,
                _ => Made::Table,
            };
            self.creates_from(into, made);
        }
        self.query_node(statement.query.as_deref());
    }

    /// CREATE TABLE, CREATE FOREIGN TABLE.
    pub(super) fn create_table(&mut self, statement: &'t CreateStmt) {
        let Some(range) = &statement.relation else { return self.unknown(Marks::NONE) };
        let name = self.new_relation(range);
        self.creates(Object::relation(name, RelationKind::Table));
        for parent in ranges(&statement.inh_relations) {
            let place = self.place(parent);
            self.on_place(Action::Alter, &place, Marks::NONE, &ColumnSet::None, false);
        }
        if let Some(of) = &statement.of_typename {
            self.type_use(of);
        }
        self.enter();
        self.enter_source(&range.relname, Source::Derived(None));
        self.table_elements(&statement.table_elts);
        self.table_elements(&statement.constraints);
        self.table_elements(&statement.nnconstraints);
        if let Some(bound) = &statement.partbound {
            self.walk(NodeRef::PartitionBoundSpec(bound));
        }
        if let Some(spec) = &statement.partspec {
            self.walk(NodeRef::PartitionSpec(spec));
        }
        self.walk_all(&statement.options);
        self.leave();
    }

    /// Columns and constraints.
    pub(super) fn table_elements(&mut self, nodes: &'t [Node]) {
        for node in nodes {
            self.table_element(node);
        }
    }

    /// One column, constraint or LIKE of a table.
    pub(super) fn table_element(&mut self, node: &'t Node) {
        match &node.node {
            Some(NodeEnum::ColumnDef(column)) => {
                if let Some(name) = &column.type_name {
                    self.type_use(name);
                }
                self.walk_node(column.raw_default.as_deref());
                self.table_elements(&column.constraints);
                self.walk_all(&column.fdwoptions);
            }
            Some(NodeEnum::Constraint(constraint)) => self.constraint(constraint),
            Some(NodeEnum::TableLikeClause(like)) => self.table_like(like),
            _ => self.walk_node(Some(node)),
        }
    }

    fn table_like(&mut self, like: &'t TableLikeClause) {
        if let Some(range) = &like.relation {
            let place = self.place(range);
            self.on_place(Action::Read, &place, Marks::NONE, &ColumnSet::None, false);
        }
    }

    /// A constraint; a foreign key reads the table that it references.
    pub(super) fn constraint(&mut self, constraint: &'t Constraint) {
        self.walk_node(constraint.raw_expr.as_deref());
        self.walk_node(constraint.where_clause.as_deref());
        for exclusion in &constraint.exclusions {
            self.exclusion(exclusion);
        }
        self.walk_all(&constraint.options);
        if let Some(referenced) = &constraint.pktable {
            let place = self.place(referenced);
            let columns = names::strings(&constraint.pk_attrs).unwrap_or_default();
            let columns = ColumnSet::named(columns.into_iter().map(Name::canonical));
            self.on_place(Action::Read, &place, Marks::NONE, &columns, false);
            // The server puts triggers on the referenced table.
            self.on_place(Action::Alter, &place, Marks::NONE, &ColumnSet::None, false);
        }
    }

    /// EXCLUDE: an index element and its operator.
    fn exclusion(&mut self, node: &'t Node) {
        match &node.node {
            Some(NodeEnum::List(list)) => {
                for item in &list.items {
                    match &item.node {
                        Some(NodeEnum::List(operator)) => self.operator_use(&operator.items),
                        _ => self.walk_node(Some(item)),
                    }
                }
            }
            _ => self.walk_node(Some(node)),
        }
    }

    pub(super) fn create_foreign_table(&mut self, statement: &'t protobuf::CreateForeignTableStmt) {
        if let Some(base) = &statement.base_stmt {
            self.create_table(base);
        }
        self.add(Action::Connect, item(ItemKind::Server, &statement.servername), Mark::Network);
    }

    pub(super) fn create_view(&mut self, statement: &'t protobuf::ViewStmt) {
        let Some(range) = &statement.view else { return self.unknown(Marks::NONE) };
        let existing = self.standing.range(range).filter(|_| statement.replace);
        let name = self.new_relation(range);
        let temporary = name.schema.as_str() == Some(TEMPORARY);
        self.changes_catalogue();
        // Writes through a temporary view cannot be followed to its base later: the catalogue is everybody's.
        let marks = if temporary { Mark::Dynamic.into() } else { Marks::NONE };
        self.add(Action::Create, Object::relation(name, RelationKind::View), marks);
        if let Some(place) = existing.filter(|place| place.relation.is_some()) {
            self.alters(place.object());
        }
        self.query_node(statement.query.as_deref());
    }

    pub(super) fn create_index(&mut self, statement: &'t protobuf::IndexStmt) {
        let Some(range) = &statement.relation else { return self.unknown(Marks::NONE) };
        let place = self.place(range);
        let schema = place.name.schema.clone();
        let name = if statement.idxname.is_empty() { Part::Unknown } else { Part::known(statement.idxname.as_str()) };
        self.creates(Object::Item { kind: ItemKind::Index, name: QualifiedName { schema, name } });
        let marks = if statement.concurrent { Marks::NONE } else { Mark::Locks.into() };
        self.on_place(Action::Alter, &place, marks, &ColumnSet::None, range.inh);
        self.enter();
        self.enter_source(&range.relname, Source::Relation(Box::new(reference(place, range, true))));
        self.walk_all(&statement.index_params);
        self.walk_all(&statement.index_including_params);
        self.walk_node(statement.where_clause.as_deref());
        self.walk_all(&statement.options);
        self.leave();
    }

    pub(super) fn create_function(&mut self, statement: &'t CreateFunctionStmt) {
        let Some(parts) = names::strings(&statement.funcname) else { return self.unknown(Marks::NONE) };
        let name = self.standing.creation(&parts);
        let mut marks = Marks::from(Mark::Dynamic);
        for option in options(&statement.options) {
            match option.defname.as_str() {
                "security" if truthy(option.arg.as_deref()) => marks = marks.with(Mark::Privileged),
                "language" if !safe_language(super::expression::constant(option.arg.as_deref())) => {
                    marks = marks.with(Mark::Privileged);
                }
                // SET in the head of a function changes settings whenever it runs.
                "set" => self.set_for_function(option.arg.as_deref()),
                _ => {}
            }
        }
        let exists = self.standing.scope.catalogue.functions_named(parts.last().copied().unwrap_or_default());
        let replaces = statement.replace
            && exists.into_iter().any(|function| name.schema.as_str().is_none_or(|s| s == function.schema.as_str()));
        self.changes_catalogue();
        self.add(Action::Create, Object::Function(name.clone()), marks);
        if replaces {
            self.add(Action::Alter, Object::Function(name), marks);
        }
        for parameter in &statement.parameters {
            if let Some(NodeEnum::FunctionParameter(parameter)) = &parameter.node {
                self.walk_node(parameter.defexpr.as_deref());
            }
        }
    }

    pub(super) fn create_trigger(&mut self, statement: &'t protobuf::CreateTrigStmt) {
        self.creates(self.hanging(ItemKind::Trigger, statement.relation.as_ref(), &statement.trigname));
        if let Some(range) = &statement.relation {
            let place = self.place(range);
            self.on_place(Action::Alter, &place, Marks::NONE, &ColumnSet::None, range.inh);
        }
        // Its condition is over `old` and `new`.
        self.given = Some(false);
        self.walk_node(statement.when_clause.as_deref());
        self.given = None;
        self.names_function(&statement.funcname);
    }

    /// A function that the server will call by itself: as if it were called now.
    fn names_function(&mut self, parts: &[Node]) {
        match names::strings(parts) {
            Some(parts) if !parts.is_empty() => {
                let (schema, name) = match parts.as_slice() {
                    [.., schema, name] => (Some(*schema), *name),
                    [name] => (None, *name),
                    [] => return,
                };
                let callee = self.standing.function(schema, name);
                self.callee(&callee, name, Marks::NONE);
            }
            _ => {}
        }
    }

    pub(super) fn create_event_trigger(&mut self, statement: &'t protobuf::CreateEventTrigStmt) {
        self.changes_catalogue();
        self.add(Action::Create, item(ItemKind::EventTrigger, &statement.trigname), Mark::Privileged);
        self.names_function(&statement.funcname);
    }

    pub(super) fn create_rule(&mut self, statement: &'t protobuf::RuleStmt) {
        self.creates(self.hanging(ItemKind::Rule, statement.relation.as_ref(), &statement.rulename));
        if let Some(range) = &statement.relation {
            let place = self.place(range);
            self.on_place(Action::Alter, &place, Marks::NONE, &ColumnSet::None, range.inh);
        }
        self.given = Some(false);
        self.walk_node(statement.where_clause.as_deref());
        self.rule_actions(&statement.actions);
        self.given = None;
    }

    /// CREATE POLICY and ALTER POLICY.
    pub(super) fn policy(
        &mut self,
        action: Action,
        name: &str,
        table: Option<&'t RangeVar>,
        expressions: [Option<&'t Node>; 2],
    ) {
        self.changes_catalogue();
        self.add(action, self.hanging(ItemKind::Policy, table, name), Marks::NONE);
        let Some(range) = table else { return };
        let place = self.place(range);
        self.on_place(Action::Alter, &place, Marks::NONE, &ColumnSet::None, range.inh);
        self.enter();
        self.enter_source(&range.relname, Source::Relation(Box::new(reference(place, range, true))));
        for expression in expressions {
            self.walk_node(expression);
        }
        self.leave();
    }

    pub(super) fn create_schema(&mut self, statement: &'t protobuf::CreateSchemaStmt) {
        let name = if statement.schemaname.is_empty() {
            role(statement.authrole.as_ref())
        } else {
            Part::known(statement.schemaname.as_str())
        };
        self.creates(Object::Schema(name.clone()));
        // Its elements are made in it, and see it first.
        let outside = self.standing.path.clone();
        let around = match &outside {
            crate::SearchPath::Known(path) => path.to_vec(),
            crate::SearchPath::Unknown => Vec::new(),
        };
        self.standing.path = match (name, &outside) {
            (Part::Known(name), crate::SearchPath::Known(_)) => {
                crate::SearchPath::Known(std::iter::once(name).chain(around).collect())
            }
            _ => crate::SearchPath::Unknown,
        };
        let uncertain = std::mem::replace(&mut self.standing.uncertain, true);
        for element in &statement.schema_elts {
            match &element.node {
                Some(node) => self.statement(node.to_ref()),
                None => self.unknown(Marks::NONE),
            }
        }
        self.standing.uncertain = uncertain;
        self.standing.path = outside;
    }

    pub(super) fn create_sequence(&mut self, statement: &'t protobuf::CreateSeqStmt) {
        let Some(range) = &statement.sequence else { return self.unknown(Marks::NONE) };
        let name = self.new_relation(range);
        self.creates(Object::Item { kind: ItemKind::Sequence, name });
        self.sequence_options(&statement.options);
    }

    /// OWNED BY ties a sequence to a table.
    pub(super) fn sequence_options(&mut self, nodes: &'t [Node]) {
        for option in options(nodes).filter(|option| option.defname == "owned_by") {
            let parts = super::objects::words(option.arg.as_deref()).unwrap_or_default();
            if let Some((_, relation)) = parts.split_last().filter(|(_, relation)| !relation.is_empty()) {
                self.alters(self.relation_object(relation, ObjectType::ObjectTable));
            }
        }
    }

    pub(super) fn create_statistics(&mut self, statement: &'t protobuf::CreateStatsStmt) {
        let name = names::strings(&statement.defnames).map_or_else(QualifiedName::unknown, |parts| {
            if parts.is_empty() { QualifiedName::unknown() } else { self.standing.creation(&parts) }
        });
        self.creates(Object::Item { kind: ItemKind::Statistics, name });
        self.enter();
        for node in &statement.relations {
            match &node.node {
                Some(NodeEnum::RangeVar(range)) => {
                    let place = self.place(range);
                    self.on_place(Action::Alter, &place, Marks::NONE, &ColumnSet::None, false);
                    self.enter_source(&range.relname, Source::Relation(Box::new(reference(place, range, true))));
                }
                _ => self.walk_node(Some(node)),
            }
        }
        self.walk_all(&statement.exprs);
        self.leave();
    }

    /// CREATE AGGREGATE, OPERATOR, TYPE, TEXT SEARCH …, COLLATION.
    pub(super) fn define(&mut self, statement: &'t protobuf::DefineStmt) {
        let parts = names::strings(&statement.defnames).unwrap_or_default();
        let name = self.standing.creation(&parts);
        let object = match statement.kind() {
            ObjectType::ObjectAggregate => Object::Function(name),
            ObjectType::ObjectOperator => Object::Item { kind: ItemKind::Operator, name },
            ObjectType::ObjectType => Object::Item { kind: ItemKind::Type, name },
            ObjectType::ObjectCollation => Object::Item { kind: ItemKind::Collation, name },
            ObjectType::ObjectTsconfiguration
            | ObjectType::ObjectTsdictionary
            | ObjectType::ObjectTsparser
            | ObjectType::ObjectTstemplate => Object::Item { kind: ItemKind::TextSearch, name },
            _ => Object::Unknown,
        };
        self.creates(object);
        // The functions that it is made of run whenever it is used.
        for option in options(&statement.definition) {
            if matches!(option.defname.as_str(), "template" | "dictionary" | "locale" | "provider" | "parser") {
                continue;
            }
            if let Some(NodeEnum::TypeName(name)) = option.arg.as_ref().and_then(|arg| arg.node.as_ref()) {
                self.definition_function(statement.kind(), &option.defname, &name.names);
            }
        }
    }

    /// CREATE TYPE … AS RANGE: two of its options are functions.
    pub(super) fn range_options(&mut self, nodes: &'t [Node]) {
        for option in options(nodes) {
            if let Some(NodeEnum::TypeName(name)) = option.arg.as_ref().and_then(|arg| arg.node.as_ref()) {
                match option.defname.as_str() {
                    "subtype_diff" | "canonical" => self.names_function(&name.names),
                    _ => self.type_use(name),
                }
            }
        }
    }

    fn definition_function(&mut self, kind: ObjectType, option: &str, parts: &'t [Node]) {
        const FUNCTIONS: [&str; 27] = [
            "sfunc",
            "sfunc1",
            "finalfunc",
            "msfunc",
            "minvfunc",
            "mfinalfunc",
            "combinefunc",
            "serialfunc",
            "deserialfunc",
            "procedure",
            "function",
            "restrict",
            "join",
            "input",
            "output",
            "receive",
            "send",
            "typmod_in",
            "typmod_out",
            "analyze",
            "subscript",
            "start",
            "gettoken",
            "end",
            "headline",
            "lextypes",
            "init",
        ];
        let called = FUNCTIONS.contains(&option) || (kind == ObjectType::ObjectTstemplate && option == "lexize");
        if called {
            self.names_function(parts);
        }
    }

    /// CREATE CAST, TRANSFORM, CONVERSION, LANGUAGE, ACCESS METHOD, OPERATOR CLASS: what it is and what it runs.
    pub(super) fn creates_calling(&mut self, object: Object, functions: &[&'t [Node]]) {
        self.changes_catalogue();
        self.add(Action::Create, object, Mark::Privileged);
        for function in functions {
            self.names_function(function);
        }
    }
}

/// Whether an option's argument says yes.
pub(super) fn truthy(node: Option<&Node>) -> bool {
    match node.and_then(|node| node.node.as_ref()) {
        None => true,
        Some(NodeEnum::Boolean(value)) => value.boolval,
        Some(NodeEnum::Integer(value)) => value.ival != 0,
        Some(NodeEnum::String(value)) => {
            !matches!(value.sval.to_ascii_lowercase().as_str(), "off" | "false" | "no" | "0" | "f" | "n")
        }
        Some(_) => true,
    }
}

/// Languages whose code the server keeps within the rights of its caller.
fn safe_language(name: Option<&str>) -> bool {
    matches!(name.map(str::to_ascii_lowercase).as_deref(), Some("sql" | "plpgsql" | "plperl" | "pltcl"))
}
