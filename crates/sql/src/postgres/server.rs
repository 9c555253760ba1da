//! What reaches past the tables: COPY with files and programs, maintenance, locks, libraries, servers.
//!
//! Promises: a server-side file is `transfer file`, a program `execute program`, code that is not read `dynamic`.
//! Does not promise to know what a program does. Held by: `fixtures/sql/server.tsv`.

use super::define::{options, ranges, truthy};
use super::gather::ColumnSet;
use super::names::{self, Place};
use super::objects::item;
use super::query::{all_columns, reference};
use super::reader::{Reader, Source};
use crate::reading::CopyDirection;
use pg_query::NodeEnum;
use pg_query::protobuf::{self, CopyStmt, Node, RangeVar, ReindexObjectType, VacuumStmt};
use portcullis_model::{Action, ItemKind, Mark, Marks, Name, Object, Part};

impl<'t> Reader<'_, 't> {
    pub(super) fn copy(&mut self, statement: &'t CopyStmt) {
        let with_client = statement.filename.is_empty();
        let marks = if with_client { Mark::Bulk.into() } else { Marks::NONE };
        self.copy_rows(statement, marks);
        self.walk_all(&statement.options);
        if with_client && !statement.is_program {
            let direction = if statement.is_from { CopyDirection::In } else { CopyDirection::Out };
            self.gathered.copies = Some(direction);
            if direction == CopyDirection::Out {
                self.gathered.copy_options = super::copy_options::copy_options(statement);
            }
        } else if statement.is_program {
            self.program(&statement.filename);
        } else {
            let file = Object::File(Part::known(statement.filename.as_str()));
            self.add(Action::Transfer, file, Marks::NONE);
        }
    }

    fn copy_rows(&mut self, statement: &'t CopyStmt, marks: Marks) {
        if let Some(query) = statement.query.as_deref() {
            self.query_node(Some(query));
            // What a COPY reads leaves in bulk, whatever the query.
            self.gathered.mark_reads(marks);
            return;
        }
        let Some(range) = &statement.relation else { return self.unknown(Marks::NONE) };
        let place = self.place(range);
        let columns = if statement.attlist.is_empty() {
            all_columns(&place)
        } else {
            let named = names::strings(&statement.attlist).unwrap_or_default();
            ColumnSet::named(named.into_iter().map(Name::canonical))
        };
        if statement.is_from {
            let marks = marks.union(Self::catalogue_marks(&place));
            self.gathered.targets.push(place.clone());
            self.write(Action::Insert, &place, marks, &columns, true);
        } else if !super::reader::describes(&place) {
            self.on_place(Action::Read, &place, marks, &columns, range.inh);
        }
        if statement.where_clause.is_some() {
            self.enter();
            self.enter_source(&range.relname, Source::Relation(Box::new(reference(place, range, true))));
            self.walk_node(statement.where_clause.as_deref());
            self.leave();
        }
    }

    /// A program that the server runs: its first word, and that what it does is not known.
    fn program(&mut self, line: &str) {
        let word = line.split_whitespace().next().unwrap_or_default();
        let plain = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "/._-+".contains(c));
        let name = word.rsplit('/').next().filter(|name| plain && !name.is_empty());
        let name = name.map_or(Part::Unknown, Part::known);
        self.add(Action::Execute, Object::Program { name, subcommand: None }, Mark::Dynamic);
    }

    pub(super) fn vacuum(&mut self, statement: &'t VacuumStmt) {
        let full = statement.is_vacuumcmd
            && options(&statement.options).any(|option| option.defname == "full" && truthy(option.arg.as_deref()));
        let marks = if full { Marks::of(&[Mark::Irreversible, Mark::Locks]) } else { Marks::NONE };
        self.walk_all(&statement.options);
        for node in &statement.rels {
            match &node.node {
                Some(NodeEnum::VacuumRelation(relation)) => {
                    let columns = names::strings(&relation.va_cols).unwrap_or_default();
                    let columns = ColumnSet::named(columns.into_iter().map(Name::canonical));
                    self.maintain(relation.relation.as_ref(), marks, &columns);
                }
                _ => self.unknown(Marks::NONE),
            }
        }
        if statement.rels.is_empty() {
            self.maintain_database(marks);
        }
    }

    fn maintain(&mut self, range: Option<&'t RangeVar>, marks: Marks, columns: &ColumnSet) {
        match range {
            Some(range) => {
                let place = self.place(range);
                self.on_place(Action::Maintain, &place, marks, columns, range.inh);
            }
            None => self.maintain_database(marks),
        }
    }

    fn maintain_database(&mut self, marks: Marks) {
        self.add(Action::Maintain, Object::Database(Part::Unknown), marks);
    }

    pub(super) fn cluster(&mut self, statement: &'t protobuf::ClusterStmt) {
        let marks = Marks::of(&[Mark::Irreversible, Mark::Locks]);
        self.walk_all(&statement.params);
        self.maintain(statement.relation.as_ref(), marks, &ColumnSet::None);
    }

    pub(super) fn refresh(&mut self, statement: &'t protobuf::RefreshMatViewStmt) {
        let marks = if statement.concurrent { Marks::NONE } else { Mark::Locks.into() };
        self.maintain(statement.relation.as_ref(), marks, &ColumnSet::None);
    }

    pub(super) fn reindex(&mut self, statement: &'t protobuf::ReindexStmt) {
        let locks = Marks::from(Mark::Locks);
        self.walk_all(&statement.params);
        match statement.kind() {
            ReindexObjectType::ReindexObjectTable => {
                self.maintain(statement.relation.as_ref(), locks, &ColumnSet::None);
            }
            ReindexObjectType::ReindexObjectIndex => {
                let Some(range) = &statement.relation else { return self.unknown(Marks::NONE) };
                let place = self.place(range);
                let object = if place.relation.is_some() {
                    place.object()
                } else {
                    Object::Item { kind: ItemKind::Index, name: place.name }
                };
                self.add(Action::Maintain, object, locks);
            }
            ReindexObjectType::ReindexObjectSchema => {
                self.add(Action::Maintain, Object::Schema(Part::known(statement.name.as_str())), locks);
                self.relations_in_schema(Action::Maintain, &statement.name, locks);
            }
            ReindexObjectType::ReindexObjectSystem
            | ReindexObjectType::ReindexObjectDatabase
            | ReindexObjectType::Undefined => self.maintain_database(locks),
        }
    }

    pub(super) fn lock(&mut self, statement: &'t protobuf::LockStmt) {
        for range in ranges(&statement.relations) {
            let place = self.place(range);
            self.on_place(Action::Lock, &place, Mark::Locks.into(), &ColumnSet::None, range.inh);
        }
        if statement.relations.is_empty() {
            self.unknown(Marks::NONE);
        }
    }

    pub(super) fn load(&mut self, file: &str) {
        self.add(Action::Execute, Object::File(Part::known(file)), Mark::Privileged);
    }

    pub(super) fn checkpoint(&mut self) {
        self.maintain_database(Marks::NONE);
    }

    pub(super) fn create_tablespace(&mut self, statement: &'t protobuf::CreateTableSpaceStmt) {
        self.changes_catalogue();
        self.add(Action::Create, item(ItemKind::Tablespace, &statement.tablespacename), Mark::Privileged);
        let location = statement.location.as_str();
        let file = if location.is_empty() { Part::Unknown } else { Part::known(location) };
        self.add(Action::Transfer, Object::File(file), Mark::Privileged);
    }

    /// An extension is made of scripts and libraries that nobody here has read.
    pub(super) fn extension(&mut self, action: Action, name: &str, dynamic: bool) {
        let marks = if dynamic { Marks::of(&[Mark::Dynamic, Mark::Privileged]) } else { Marks::NONE };
        self.changes_catalogue();
        self.add(action, item(ItemKind::Extension, name), marks);
    }

    pub(super) fn extension_contents(&mut self, statement: &'t protobuf::AlterExtensionContentsStmt) {
        self.extension(Action::Alter, &statement.extname, false);
        let (object, _) = self.object(statement.objtype(), statement.object.as_deref());
        self.add(Action::Alter, object, Marks::NONE);
    }

    pub(super) fn import_foreign_schema(&mut self, statement: &'t protobuf::ImportForeignSchemaStmt) {
        self.changes_catalogue();
        self.add(Action::Connect, item(ItemKind::Server, &statement.server_name), Mark::Network);
        let schema = statement.local_schema.as_str();
        self.add(Action::Create, Object::Schema(Part::known(schema)), Marks::NONE);
        let anything = portcullis_model::QualifiedName::anything_in(schema);
        let object = Object::relation(anything, portcullis_model::RelationKind::Table);
        self.add(Action::Create, object, Mark::Dynamic);
    }

    /// Something that has the server reach another host, now or later.
    pub(super) fn reaches_out(&mut self, action: Action, kind: ItemKind, name: &str) {
        self.changes_catalogue();
        self.add(action, item(kind, name), Mark::Network);
    }

    /// CREATE and ALTER PUBLICATION: the publication, and the tables whose rows it gives away.
    pub(super) fn publication(&mut self, action: Action, name: &str, all: bool, objects: &'t [Node]) {
        self.changes_catalogue();
        self.add(action, item(ItemKind::Publication, name), Marks::NONE);
        if all {
            self.add(Action::Read, Object::Unknown, Mark::Bulk);
        }
        for node in objects {
            let Some(NodeEnum::PublicationObjSpec(spec)) = &node.node else { continue };
            match spec.pubtable.as_ref().and_then(|table| table.relation.as_ref().map(|range| (table, range))) {
                Some((table, range)) => {
                    let place = self.place(range);
                    self.published(&place, table, range);
                }
                None if spec.name.is_empty() => self.add(Action::Read, Object::Unknown, Mark::Bulk),
                None => self.relations_in_schema(Action::Read, &spec.name, Mark::Bulk.into()),
            }
        }
    }

    fn published(&mut self, place: &Place, table: &'t protobuf::PublicationTable, range: &'t RangeVar) {
        let named = names::strings(&table.columns).unwrap_or_default();
        let columns = if named.is_empty() {
            all_columns(place)
        } else {
            ColumnSet::named(named.into_iter().map(Name::canonical))
        };
        self.on_place(Action::Read, place, Mark::Bulk.into(), &columns, range.inh);
        self.enter();
        self.enter_source(&range.relname, Source::Relation(Box::new(reference(place.clone(), range, true))));
        self.walk_node(table.where_clause.as_deref());
        self.leave();
    }
}
