//! What a write reaches besides the relation it names: the base of a view, the actions of rules, partitions and
//! inheritance children, and the tables that foreign keys cascade to.
//!
//! Promises: each is an operation of its own with the marks of the write that causes it; a text of the catalogue that
//! cannot be read is `unknown`; cycles end. Does not follow triggers: their effects are the server's (DESIGN 2), and an
//! INSTEAD OF trigger ends the way of a write through a view. Held by: `fixtures/sql/spread.tsv`.

use super::gather::ColumnSet;
use super::names::{self, Place};
use super::parse;
use super::reader::Reader;
use pg_query::NodeEnum;
use pg_query::protobuf::{self, RawStmt, SelectStmt};
use portcullis_model::catalogue::{FiredBy, Oid, ReferencedBy, ReferentialAction, RelKind, Relation};
use portcullis_model::{Action, Mark, Marks, Name};
use std::collections::HashMap;
use std::sync::Arc;

/// How many writes one statement is followed to; beyond, it is `unknown`.
const FOLLOWED: usize = 10_000;

/// The event that a write fires.
const fn fires(action: Action) -> Option<FiredBy> {
    match action {
        Action::Insert => Some(FiredBy::Insert),
        Action::Update => Some(FiredBy::Update),
        Action::Delete => Some(FiredBy::Delete),
        Action::Truncate => Some(FiredBy::Truncate),
        _ => None,
    }
}

/// One statement inside a text of the catalogue.
fn statement_of(raw: &RawStmt) -> Option<&NodeEnum> {
    raw.stmt.as_ref()?.node.as_ref()
}

/// What a text of the catalogue made of a write through its view or rule.
struct Base {
    range: protobuf::RangeVar,
    /// Column of the view to column of the base.
    columns: HashMap<String, String>,
}

impl<'t> Reader<'_, 't> {
    /// Adds a write on what a name means, and everything it reaches.
    pub(super) fn write(&mut self, action: Action, place: &Place, marks: Marks, columns: &ColumnSet, descends: bool) {
        if place.relation.is_none() {
            self.gathered.add(action, place.object(), marks, columns.clone());
        }
        let meant: Vec<_> = place.relation.iter().chain(&place.candidates).map(Arc::clone).collect();
        for relation in meant {
            self.follow(action, &relation, marks, columns, descends);
        }
    }

    fn follow(&mut self, action: Action, relation: &Arc<Relation>, marks: Marks, columns: &ColumnSet, descends: bool) {
        if self.followed.len() >= FOLLOWED {
            return self.unknown(Marks::NONE);
        }
        if !self.followed.insert((relation.oid, action, columns.clone(), marks)) {
            return;
        }
        self.gathered.add(action, names::object_of(relation), marks, columns.clone());
        let replaced = self.rules(action, relation, marks);
        match relation.kind {
            RelKind::View if !replaced => self.through_view(action, relation, marks, columns),
            RelKind::View => {}
            RelKind::Table
            | RelKind::PartitionedTable
            | RelKind::ForeignTable
            | RelKind::MaterializedView
            | RelKind::Sequence
            | RelKind::Index
            | RelKind::CompositeType
            | RelKind::Toast => {
                self.cascades(action, relation, marks, columns);
                for child in self.descendants(relation, descends && action != Action::Insert) {
                    // A child's own rules do not apply to a write through its parent; its keys do.
                    self.gathered.add(action, names::object_of(&child), marks, columns.clone());
                    self.cascades(action, &child, marks, columns);
                }
                if action == Action::Insert && relation.kind == RelKind::PartitionedTable {
                    for child in self.descendants(relation, true) {
                        self.gathered.add(action, names::object_of(&child), marks, columns.clone());
                    }
                }
            }
        }
    }

    /// Reads the actions of the rules that the write fires. True where one of them replaces the write.
    fn rules(&mut self, action: Action, relation: &Arc<Relation>, marks: Marks) -> bool {
        let Some(event) = fires(action) else { return false };
        let mut replaced = false;
        for rule in relation.rules.iter().filter(|rule| rule.event == event) {
            let Ok(tree) = parse::parse(&rule.definition) else {
                self.unknown(Mark::Dynamic);
                continue;
            };
            for raw in &tree.stmts {
                let Some(NodeEnum::RuleStmt(definition)) = statement_of(raw) else {
                    self.unknown(Mark::Dynamic);
                    continue;
                };
                replaced |= rule.instead && definition.where_clause.is_none();
                let Some(mut reader) = self.nested(&rule.definition) else {
                    self.unknown(Mark::Dynamic);
                    continue;
                };
                reader.given = Some(!marks.contains(Mark::Unbounded));
                reader.walk_node(definition.where_clause.as_deref());
                reader.rule_actions(&definition.actions);
                let gathered = std::mem::take(&mut reader.gathered);
                self.followed.extend(reader.followed);
                self.gathered.absorb(gathered);
            }
        }
        replaced
    }

    /// Reads the statements of a rule.
    pub(super) fn rule_actions(&mut self, actions: &'t [protobuf::Node]) {
        for action in actions {
            match &action.node {
                Some(NodeEnum::List(list)) => self.rule_actions(&list.items),
                Some(node) => {
                    self.query(node.to_ref());
                }
                None => {}
            }
        }
    }

    /// A write through a view the server writes through itself: on its base too.
    fn through_view(&mut self, action: Action, view: &Arc<Relation>, marks: Marks, columns: &ColumnSet) {
        let event = fires(action);
        if view.triggers.iter().any(|t| t.instead_of && t.enabled && event.is_some_and(|e| t.events.contains(&e))) {
            return;
        }
        let base = view.definition.as_deref().and_then(base_of);
        let catalogue = Arc::clone(&self.standing.scope.catalogue);
        let read: Vec<_> = view.reads.iter().filter_map(|oid| catalogue.relation(*oid)).map(Arc::clone).collect();
        if let Some(base) = &base {
            let named = |relation: &&Arc<Relation>| {
                relation.name.as_str() == base.range.relname
                    && (base.range.schemaname.is_empty() || relation.schema.as_str() == base.range.schemaname)
            };
            let meant: Vec<_> = read.iter().filter(named).map(Arc::clone).collect();
            if !meant.is_empty() {
                let columns = mapped(columns, &base.columns);
                for relation in meant {
                    let marks = marks.union(self.marks_of(&relation));
                    self.follow(action, &relation, marks, &columns, base.range.inh);
                }
                return;
            }
        }
        // Its query was not understood: the base is one of what it reads, or not known at all.
        if read.is_empty() {
            self.unknown(Marks::NONE);
        }
        let columns = if columns.is_none() { ColumnSet::None } else { ColumnSet::Unknown };
        for relation in read {
            self.follow(action, &relation, marks, &columns, true);
        }
    }

    fn marks_of(&self, relation: &Arc<Relation>) -> Marks {
        let place =
            Place { name: names::name_of(relation), relation: Some(Arc::clone(relation)), candidates: Vec::new() };
        Self::catalogue_marks(&place)
    }

    /// What foreign keys do to other tables.
    fn cascades(&mut self, action: Action, relation: &Arc<Relation>, marks: Marks, columns: &ColumnSet) {
        let catalogue = Arc::clone(&self.standing.scope.catalogue);
        for key in &relation.referenced_by {
            let Some((action, columns)) = cascade(action, key, columns) else { continue };
            let Some(referencing) = catalogue.relation(key.relation) else {
                self.unknown(Marks::NONE);
                continue;
            };
            self.gathered.cascades.get_or_insert_with(|| referencing.name.clone());
            self.follow(action, referencing, marks, &columns, true);
        }
    }

    /// TRUNCATE … CASCADE: every table that references this one, and those that reference them.
    pub(super) fn truncate_referencing(&mut self, relation: &Arc<Relation>, marks: Marks) {
        let catalogue = Arc::clone(&self.standing.scope.catalogue);
        let mut next: Vec<Oid> = relation.referenced_by.iter().map(|key| key.relation).collect();
        let mut seen = std::collections::HashSet::from([relation.oid]);
        while let Some(oid) = next.pop() {
            if !seen.insert(oid) {
                continue;
            }
            let Some(referencing) = catalogue.relation(oid) else {
                self.unknown(Marks::NONE);
                continue;
            };
            self.gathered.add(Action::Truncate, names::object_of(referencing), marks, ColumnSet::None);
            next.extend(referencing.referenced_by.iter().map(|key| key.relation));
            next.extend(referencing.children.iter().copied());
        }
    }
}

/// What a foreign key does to the referencing table, if anything.
fn cascade(action: Action, key: &ReferencedBy, columns: &ColumnSet) -> Option<(Action, ColumnSet)> {
    let changed = || ColumnSet::named(key.columns.iter().cloned());
    let does = match action {
        Action::Delete => key.on_delete,
        Action::Update if touches(columns, &key.referenced) => key.on_update,
        _ => return None,
    };
    match (does, action) {
        (ReferentialAction::NoAction | ReferentialAction::Restrict, _) => None,
        (ReferentialAction::Cascade, Action::Delete) => Some((Action::Delete, ColumnSet::None)),
        (ReferentialAction::Cascade | ReferentialAction::SetNull | ReferentialAction::SetDefault, _) => {
            Some((Action::Update, changed()))
        }
    }
}

fn touches(columns: &ColumnSet, key: &[Name]) -> bool {
    match columns {
        ColumnSet::None => false,
        ColumnSet::Named(names) => key.iter().any(|name| names.contains(name)),
        ColumnSet::Unknown => true,
    }
}

/// The base columns that view columns stand for.
fn mapped(columns: &ColumnSet, map: &HashMap<String, String>) -> ColumnSet {
    match columns {
        ColumnSet::None => ColumnSet::None,
        ColumnSet::Unknown => ColumnSet::Unknown,
        ColumnSet::Named(names) => names
            .iter()
            .map(|name| map.get(name.as_str()).map(|base| Name::canonical(base.as_str())))
            .collect::<Option<Vec<_>>>()
            .map_or(ColumnSet::Unknown, ColumnSet::named),
    }
}

/// The one relation that a view which the server writes through selects from, and its columns.
fn base_of(definition: &str) -> Option<Base> {
    let tree = parse::parse(definition).ok()?;
    let Some(NodeEnum::SelectStmt(select)) = tree.stmts.first().and_then(statement_of) else { return None };
    let [item] = select.from_clause.as_slice() else { return None };
    let Some(NodeEnum::RangeVar(range)) = &item.node else { return None };
    Some(Base { range: range.clone(), columns: base_columns(select) })
}

fn base_columns(select: &SelectStmt) -> HashMap<String, String> {
    let mut columns = HashMap::new();
    for target in &select.target_list {
        let Some(NodeEnum::ResTarget(target)) = &target.node else { continue };
        let Some(NodeEnum::ColumnRef(column)) = target.val.as_ref().and_then(|value| value.node.as_ref()) else {
            continue;
        };
        let Some(base) = names::strings(&column.fields).and_then(|parts| parts.last().map(ToString::to_string)) else {
            continue;
        };
        let shown = if target.name.is_empty() { base.clone() } else { target.name.clone() };
        columns.insert(shown, base);
    }
    columns
}
