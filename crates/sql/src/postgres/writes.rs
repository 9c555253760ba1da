//! Writes: INSERT and its upserts, UPDATE, DELETE, MERGE, and what they return.
//!
//! The target of a write is an entry of its range table that is read only where a column of it is. Promises: a write
//! names the columns that it writes; UPDATE and DELETE, wherever they stand, are `unbounded` unless `bounds` says not.
//! Does not promise what triggers do. Held by: `fixtures/sql/writes.tsv` and `fixtures/sql/bounds.tsv`.

use super::bounds;
use super::gather::ColumnSet;
use super::names::Place;
use super::query::{all_columns, reference};
use super::reader::{Entry, Level, Reader, Reference, Source};
use pg_query::protobuf::{
    self, CmdType, DeleteStmt, InsertStmt, MergeMatchKind, MergeStmt, Node, OnConflictAction, RangeVar, UpdateStmt,
};
use pg_query::{NodeEnum, NodeRef};
use portcullis_model::{Action, Mark, Marks, Name, QualifiedName};

impl<'t> Reader<'_, 't> {
    /// The target of a write: its place, in the range table.
    fn target(&mut self, range: Option<&'t RangeVar>) -> Place {
        let Some(range) = range else {
            self.unknown(Marks::NONE);
            return Place { name: QualifiedName::unknown(), relation: None, candidates: Vec::new() };
        };
        let place = self.place(range);
        self.gathered.targets.push(place.clone());
        let shown = range.alias.as_ref().map_or(range.relname.as_str(), |alias| alias.aliasname.as_str());
        self.enter_source(shown, Source::Relation(Box::new(reference(place.clone(), range, true))));
        place
    }

    /// The columns that SET or an INSERT list writes, values walked.
    fn written(&mut self, targets: &'t [Node]) -> ColumnSet {
        let mut columns = ColumnSet::None;
        for node in targets {
            let Some(NodeEnum::ResTarget(target)) = &node.node else {
                self.walk_node(Some(node));
                columns.add(ColumnSet::Unknown);
                continue;
            };
            columns.add_name(Name::canonical(target.name.as_str()));
            self.walk_all(&target.indirection);
            self.walk_node(target.val.as_deref());
        }
        columns
    }

    /// RETURNING, where `old` and `new` mean the target too.
    fn returning(&mut self, clause: Option<&'t protobuf::ReturningClause>, place: &Place) -> Option<Vec<Name>> {
        let clause = clause?;
        let mut aliases = vec!["old", "new"];
        for option in &clause.options {
            if let Some(NodeEnum::ReturningOption(option)) = &option.node {
                aliases.push(&option.value);
            }
        }
        for alias in aliases {
            let reference = Reference {
                place: place.clone(),
                descends: true,
                renamed: Vec::new(),
                used: ColumnSet::None,
                marks: Marks::NONE,
                target: true,
            };
            if !self.has_alias(alias) {
                self.enter_hidden(alias, reference);
            }
        }
        self.outputs(&clause.exprs)
    }

    /// Entries that only a qualified name reaches: they stand at a level of their own, outside.
    fn enter_hidden(&mut self, alias: &str, reference: Reference) {
        let at = self.levels.len().saturating_sub(1);
        self.levels.insert(
            at,
            Level {
                entries: vec![Entry { alias: Name::canonical(alias), source: Source::Relation(Box::new(reference)) }],
                outputs: Vec::new(),
            },
        );
    }

    /// Leaves the levels of a write: its own, and those of `old` and `new`.
    fn leave_to(&mut self, depth: usize) {
        while self.levels.len() > depth {
            self.leave();
        }
    }

    pub(super) fn insert(&mut self, insert: &'t InsertStmt) -> Option<Vec<Name>> {
        let before = self.enter_with(insert.with_clause.as_ref());
        let source = self.query_node(insert.select_stmt.as_deref());
        let depth = self.levels.len();
        self.enter();
        let place = self.target(insert.relation.as_ref());
        let columns = if insert.cols.is_empty() {
            inserted(&place, insert, source.as_deref())
        } else {
            self.written(&insert.cols)
        };
        let marks = Self::catalogue_marks(&place);
        self.write(Action::Insert, &place, marks, &columns, true);
        if let Some(conflict) = &insert.on_conflict_clause {
            self.on_conflict(insert, conflict, &place);
        }
        let outputs = self.returning(insert.returning_clause.as_ref(), &place);
        self.leave_to(depth);
        self.leave_with(before);
        outputs
    }

    fn on_conflict(&mut self, insert: &'t InsertStmt, conflict: &'t protobuf::OnConflictClause, place: &Place) {
        if let Some(infer) = &conflict.infer {
            self.walk(NodeRef::InferClause(infer));
        }
        if conflict.action() != OnConflictAction::OnconflictUpdate {
            return;
        }
        let columns = place.relation.as_ref().map(|relation| relation.columns.iter().map(|c| c.name.clone()).collect());
        self.levels.insert(
            self.levels.len().saturating_sub(1),
            Level {
                entries: vec![Entry { alias: Name::canonical("excluded"), source: Source::Derived(columns) }],
                outputs: Vec::new(),
            },
        );
        let columns = self.written(&conflict.target_list);
        self.walk_node(conflict.where_clause.as_deref());
        let bounded = bounds::upsert(self, insert, conflict);
        let marks = Self::catalogue_marks(place).union(unbounded_unless(bounded));
        self.write(Action::Update, place, marks, &columns, true);
    }

    pub(super) fn update(&mut self, update: &'t UpdateStmt) -> Option<Vec<Name>> {
        let before = self.enter_with(update.with_clause.as_ref());
        let depth = self.levels.len();
        self.enter();
        let place = self.target(update.relation.as_ref());
        for item in &update.from_clause {
            self.source_item(item);
        }
        let columns = self.written(&update.target_list);
        self.walk_node(update.where_clause.as_deref());
        let bounded = bounds::update(self, update);
        let marks = Self::catalogue_marks(&place).union(unbounded_unless(bounded));
        let descends = update.relation.as_ref().is_none_or(|range| range.inh);
        self.write(Action::Update, &place, marks, &columns, descends);
        let outputs = self.returning(update.returning_clause.as_ref(), &place);
        self.leave_to(depth);
        self.leave_with(before);
        outputs
    }

    pub(super) fn delete(&mut self, delete: &'t DeleteStmt) -> Option<Vec<Name>> {
        let before = self.enter_with(delete.with_clause.as_ref());
        let depth = self.levels.len();
        self.enter();
        let place = self.target(delete.relation.as_ref());
        for item in &delete.using_clause {
            self.source_item(item);
        }
        self.walk_node(delete.where_clause.as_deref());
        let bounded = bounds::delete(self, delete);
        let marks = Self::catalogue_marks(&place).union(unbounded_unless(bounded));
        let descends = delete.relation.as_ref().is_none_or(|range| range.inh);
        self.write(Action::Delete, &place, marks, &ColumnSet::None, descends);
        let outputs = self.returning(delete.returning_clause.as_ref(), &place);
        self.leave_to(depth);
        self.leave_with(before);
        outputs
    }

    pub(super) fn merge(&mut self, merge: &'t MergeStmt) -> Option<Vec<Name>> {
        let before = self.enter_with(merge.with_clause.as_ref());
        let depth = self.levels.len();
        self.enter();
        let place = self.target(merge.relation.as_ref());
        if let Some(source) = merge.source_relation.as_deref() {
            self.source_item(source);
        }
        self.walk_node(merge.join_condition.as_deref());
        let descends = merge.relation.as_ref().is_none_or(|range| range.inh);
        for clause in &merge.merge_when_clauses {
            if let Some(NodeEnum::MergeWhenClause(clause)) = &clause.node {
                self.merge_branch(merge, clause, &place, descends);
            }
        }
        let outputs = self.returning(merge.returning_clause.as_ref(), &place);
        self.leave_to(depth);
        self.leave_with(before);
        outputs
    }

    fn merge_branch(
        &mut self,
        merge: &'t MergeStmt,
        clause: &'t protobuf::MergeWhenClause,
        place: &Place,
        descends: bool,
    ) {
        self.walk_node(clause.condition.as_deref());
        let columns = self.written(&clause.target_list);
        self.walk_all(&clause.values);
        let marks = Self::catalogue_marks(place);
        let by_source = clause.match_kind() == MergeMatchKind::MergeWhenNotMatchedBySource;
        let bounded = |reader: &Self| unbounded_unless(bounds::merge(reader, merge, clause, by_source));
        match clause.command_type() {
            CmdType::CmdInsert => {
                let columns = if columns.is_none() { all_columns(place) } else { columns };
                self.write(Action::Insert, place, marks, &columns, true);
            }
            CmdType::CmdUpdate => {
                let marks = marks.union(bounded(self));
                self.write(Action::Update, place, marks, &columns, descends);
            }
            CmdType::CmdDelete => {
                let marks = marks.union(bounded(self));
                self.write(Action::Delete, place, marks, &ColumnSet::None, descends);
            }
            CmdType::CmdNothing => {}
            CmdType::Undefined | CmdType::CmdUnknown | CmdType::CmdSelect | CmdType::CmdMerge | CmdType::CmdUtility => {
                self.unknown(Marks::NONE)
            }
        }
    }
}

fn unbounded_unless(bounded: bool) -> Marks {
    if bounded { Marks::NONE } else { Mark::Unbounded.into() }
}

/// The columns that an INSERT without a list writes: as many as its source has.
fn inserted(place: &Place, insert: &InsertStmt, source: Option<&[Name]>) -> ColumnSet {
    if insert.select_stmt.is_none() {
        return ColumnSet::None;
    }
    match (&place.relation, source) {
        (Some(relation), Some(source)) => {
            ColumnSet::named(relation.columns.iter().take(source.len()).map(|column| column.name.clone()))
        }
        _ => all_columns(place),
    }
}
