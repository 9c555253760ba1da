//! The reader of one statement: where names are looked up, which relations are in sight, and what has been gathered.
//!
//! A [`Level`] is one query's range table. Column references go to the innermost level that has the column, as in the
//! server; where a relation's columns are not known, the name is taken to be a column of every relation that could have
//! it, so a read is never lost. Promises: leaving a level records a `read` of each relation that was in it.
//! Does not promise to reject ambiguous names: the server does.
//! Held by: `fixtures/sql/query.tsv`.

use super::gather::{ColumnSet, Gathered};
use super::names::{self, Place, Standing};
use super::parse;
use crate::builtins::{self, CatalogueRelation};
use crate::scope::Limits;
use pg_query::protobuf::{CommonTableExpr, RangeVar};
use portcullis_model::catalogue::{Oid, Relation};
use portcullis_model::{Action, Fault, Mark, Marks, Name, Object, Part, QualifiedName};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// System columns of every relation; they hold no data of their own.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// How many texts of the catalogue (rules, views) may be read on behalf of one another.
pub(super) const NESTING: usize = 16;

/// What an entry of a range table stands for.
#[derive(Debug)]
pub(super) enum Source {
    /// A relation.
    Relation(Box<Reference>),
    /// The rows of a query, function or list; the columns where they are known.
    Derived(Option<Vec<Name>>),
    /// An aliased join of the entries in this range of its level.
    Join(Range<usize>),
}

/// A relation as it stands in a range table.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) place: Place,
    /// ONLY was not said.
    pub(super) descends: bool,
    /// The column names that an alias list gives, from the first column on.
    pub(super) renamed: Vec<Name>,
    /// Columns read.
    pub(super) used: ColumnSet,
    pub(super) marks: Marks,
    /// The target of a write: read only where a column of it is.
    pub(super) target: bool,
}

impl Reference {
    fn columns(&self) -> Option<&Arc<Relation>> {
        self.place.relation.as_ref()
    }

    /// Notes a read of the column that is called so here. False where the relation has none of that name.
    fn touch(&mut self, name: &str) -> Touch {
        if SYSTEM_COLUMNS.contains(&name) {
            return Touch::Has;
        }
        let Some(relation) = self.columns() else {
            if self.renamed.is_empty() {
                self.used.add_name(Name::canonical(name));
            } else {
                self.used.add(ColumnSet::Unknown);
            }
            return Touch::Perhaps;
        };
        let column = match self.renamed.iter().position(|renamed| renamed.as_str() == name) {
            Some(at) => relation.columns.get(at),
            None => relation.columns.iter().skip(self.renamed.len()).find(|column| column.name.as_str() == name),
        };
        let Some(column) = column.map(|column| column.name.clone()) else { return Touch::Lacks };
        self.used.add_name(column);
        Touch::Has
    }

    /// Notes a read of every column.
    fn touch_all(&mut self) {
        let all = match self.columns() {
            Some(relation) => ColumnSet::named(relation.columns.iter().map(|column| column.name.clone())),
            None => ColumnSet::Unknown,
        };
        self.used.add(all);
    }

    /// The names that its columns are called here, where they are known.
    fn exposed(&self) -> Option<Vec<Name>> {
        let relation = self.columns()?;
        let rest = relation.columns.iter().skip(self.renamed.len()).map(|column| column.name.clone());
        Some(self.renamed.iter().cloned().chain(rest).collect())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touch {
    Has,
    Perhaps,
    Lacks,
}

/// One entry of a range table.
#[derive(Debug)]
pub(super) struct Entry {
    /// What it is called; empty for an entry without a name.
    pub(super) alias: Name,
    pub(super) source: Source,
}

impl Entry {
    /// How many columns it is known to have.
    pub(super) fn width(&self) -> usize {
        match &self.source {
            Source::Relation(reference) => reference.columns().map_or(0, |relation| relation.columns.len()),
            Source::Derived(columns) => columns.as_ref().map_or(0, Vec::len),
            Source::Join(_) => 0,
        }
    }
}

/// One query's range table.
#[derive(Debug, Default)]
pub(super) struct Level {
    pub(super) entries: Vec<Entry>,
    /// Names of the output columns, where ORDER BY may use them.
    pub(super) outputs: Vec<Name>,
}

/// A WITH entry in sight.
#[derive(Clone, Debug)]
pub(super) struct Cte<'t> {
    pub(super) node: &'t CommonTableExpr,
    pub(super) columns: Option<Vec<Name>>,
    pub(super) recursive: bool,
}

/// The reader of one statement.
pub(super) struct Reader<'s, 't> {
    pub(super) standing: Standing<'s>,
    pub(super) limits: &'s Limits,
    pub(super) text: &'t str,
    /// The statement's bytes in the text.
    pub(super) span: Range<usize>,
    pub(super) gathered: Gathered,
    pub(super) levels: Vec<Level>,
    pub(super) ctes: Vec<Cte<'t>>,
    /// Names that stand for the row of the statement that a rule's action runs for (`old`, `new`), and whether that
    /// statement is bounded.
    pub(super) given: Option<bool>,
    /// How deep texts of the catalogue are nested around this one.
    pub(super) nesting: usize,
    /// Writes already followed through views, rules and keys.
    pub(super) followed: HashSet<(Oid, Action, ColumnSet, Marks)>,
}

impl<'s, 't> Reader<'s, 't> {
    pub(super) fn new(standing: Standing<'s>, limits: &'s Limits, text: &'t str) -> Self {
        Self {
            standing,
            limits,
            text,
            span: 0..text.len(),
            gathered: Gathered::default(),
            levels: Vec::new(),
            ctes: Vec::new(),
            given: None,
            nesting: 0,
            followed: HashSet::new(),
        }
    }

    /// A reader for a text of the catalogue, on behalf of this one; `None` where they are nested too deeply.
    pub(super) fn nested<'u>(&self, text: &'u str) -> Option<Reader<'s, 'u>> {
        (self.nesting < NESTING).then(|| Reader {
            nesting: self.nesting + 1,
            followed: self.followed.clone(),
            // The variables of a code block are not those of a view or rule that it touches.
            ..Reader::new(Standing { variables: Arc::default(), ..self.standing.clone() }, self.limits, text)
        })
    }

    /// Adds an operation without columns.
    pub(super) fn add(&mut self, action: Action, object: Object, marks: impl Into<Marks>) {
        self.gathered.add(action, object, marks, ColumnSet::None);
    }

    /// Adds what cannot be read.
    pub(super) fn unknown(&mut self, marks: impl Into<Marks>) {
        self.add(Action::Unknown, Object::Unknown, marks);
    }

    /// The relation that the text refers to. One that is missing is a fault with the server's own words, and `?` here.
    pub(super) fn place(&mut self, range: &RangeVar) -> Place {
        if let Some(place) = self.standing.range(range) {
            return place;
        }
        // Texts of the catalogue were written under another search path: what is missing there is not the client's.
        if self.gathered.fault.is_none() && self.nesting == 0 {
            let name = if range.schemaname.is_empty() {
                range.relname.clone()
            } else {
                format!("{}.{}", range.schemaname, range.relname)
            };
            let position = usize::try_from(range.location).ok().and_then(|at| parse::characters(self.text, at));
            self.gathered.fault =
                Some(Fault::Missing { message: format!("relation \"{name}\" does not exist").into(), position });
        }
        self.absent(range)
    }

    /// The relation that the text refers to, which need not exist.
    pub(super) fn place_if_any(&self, range: &RangeVar) -> Place {
        self.standing.range(range).unwrap_or_else(|| self.absent(range))
    }

    fn absent(&self, range: &RangeVar) -> Place {
        let name = match range.schemaname.as_str() {
            "" => QualifiedName::unresolved(range.relname.as_str()),
            schema => QualifiedName::new(schema, range.relname.as_str()),
        };
        Place { name, relation: None, candidates: Vec::new() }
    }

    /// A relation and, unless ONLY was said, everything below it.
    pub(super) fn descendants(&self, relation: &Relation, descends: bool) -> Vec<Arc<Relation>> {
        let catalogue = &self.standing.scope.catalogue;
        if !descends || relation.children.is_empty() {
            return Vec::new();
        }
        let below = catalogue.with_descendants(relation.oid);
        below.iter().skip(1).filter_map(|oid| catalogue.relation(*oid)).map(Arc::clone).collect()
    }

    /// Adds an operation on what a name means: the relation, or the unresolved name and everything it could be; with
    /// everything below where `descends`.
    pub(super) fn on_place(
        &mut self,
        action: Action,
        place: &Place,
        marks: Marks,
        columns: &ColumnSet,
        descends: bool,
    ) {
        if place.relation.is_none() {
            self.gathered.add(action, place.object(), marks, columns.clone());
        }
        let meant: Vec<_> = place.relation.iter().chain(&place.candidates).map(Arc::clone).collect();
        for relation in meant {
            self.gathered.add(action, names::object_of(&relation), marks, columns.clone());
            for child in self.descendants(&relation, descends) {
                self.gathered.add(action, names::object_of(&child), marks, columns.clone());
            }
        }
    }

    /// Enters a query.
    pub(super) fn enter(&mut self) {
        self.levels.push(Level::default());
    }

    /// Leaves a query: what was in its range table has been read.
    pub(super) fn leave(&mut self) {
        let Some(level) = self.levels.pop() else { return };
        for entry in level.entries {
            match entry.source {
                Source::Relation(reference) => self.read(&reference),
                Source::Derived(_) | Source::Join(_) => {}
            }
        }
    }

    fn read(&mut self, reference: &Reference) {
        if reference.target && reference.used.is_none() {
            return;
        }
        if describes(&reference.place) && reference.marks.is_empty() {
            return;
        }
        self.on_place(Action::Read, &reference.place, reference.marks, &reference.used, reference.descends);
    }

    /// Adds an entry to the range table of the query being read.
    pub(super) fn enter_source(&mut self, alias: &str, source: Source) {
        if self.levels.is_empty() {
            self.enter();
        }
        if let Some(level) = self.levels.last_mut() {
            level.entries.push(Entry { alias: Name::canonical(alias), source });
        }
    }

    /// Notes a read of the column, unqualified. False where no relation in sight has it.
    pub(super) fn touch_column(&mut self, name: &str) -> bool {
        let mut perhaps = false;
        for level in self.levels.iter_mut().rev() {
            let mut found = false;
            for entry in &mut level.entries {
                if !self.standing.steps.take(1 + entry.width() / 16) {
                    return true;
                }
                match &mut entry.source {
                    Source::Relation(reference) => match reference.touch(name) {
                        Touch::Has => found = true,
                        Touch::Perhaps => perhaps = true,
                        Touch::Lacks => {}
                    },
                    Source::Derived(Some(columns)) => found |= columns.iter().any(|column| column.as_str() == name),
                    Source::Derived(None) => perhaps = true,
                    Source::Join(_) => {}
                }
            }
            if found {
                return true;
            }
        }
        perhaps
    }

    /// Notes a read of the column of what is called `qualifier`. `None` where nothing in sight is called so.
    pub(super) fn touch_qualified(&mut self, schema: Option<&str>, qualifier: &str, name: &str) -> Option<bool> {
        let (level, at) = self.find(schema, qualifier)?;
        let level = self.levels.get_mut(level)?;
        let members = match &level.entries.get(at)?.source {
            Source::Join(members) => members.clone(),
            Source::Relation(_) | Source::Derived(_) => at..at + 1,
        };
        let mut found = false;
        for entry in level.entries.get_mut(members).into_iter().flatten() {
            if !self.standing.steps.take(1 + entry.width() / 16) {
                break;
            }
            found |= match &mut entry.source {
                Source::Relation(reference) => reference.touch(name) != Touch::Lacks,
                Source::Derived(Some(columns)) => columns.iter().any(|column| column.as_str() == name),
                Source::Derived(None) => true,
                Source::Join(_) => false,
            };
        }
        Some(found)
    }

    /// Notes a read of the whole row of what is called `qualifier`; its columns where they are known. `None` where
    /// nothing in sight is called so.
    pub(super) fn touch_row(&mut self, schema: Option<&str>, qualifier: &str) -> Option<Option<Vec<Name>>> {
        let (level, at) = self.find(schema, qualifier)?;
        Some(self.touch_entries(level, at..at + 1))
    }

    /// Notes a read of every column in the range table of the query being read.
    pub(super) fn touch_star(&mut self) -> Option<Vec<Name>> {
        let level = self.levels.len().checked_sub(1)?;
        let entries = self.levels.get(level).map_or(0, |level| level.entries.len());
        self.touch_entries(level, 0..entries)
    }

    /// Every relation in sight may have been read in columns that cannot be told.
    pub(super) fn touch_unknown(&mut self) {
        for entry in self.levels.iter_mut().flat_map(|level| &mut level.entries) {
            if !self.standing.steps.take(1) {
                break;
            }
            if let Source::Relation(reference) = &mut entry.source {
                reference.used.add(ColumnSet::Unknown);
            }
        }
    }

    fn touch_entries(&mut self, level: usize, range: Range<usize>) -> Option<Vec<Name>> {
        let mut names = Some(Vec::new());
        let mut joins = Vec::new();
        for entry in self.levels.get_mut(level)?.entries.get_mut(range).into_iter().flatten() {
            if !self.standing.steps.take(1 + entry.width()) {
                break;
            }
            let exposed = match &mut entry.source {
                Source::Relation(reference) => {
                    reference.touch_all();
                    reference.exposed()
                }
                Source::Derived(columns) => columns.clone(),
                Source::Join(members) => {
                    joins.push(members.clone());
                    Some(Vec::new())
                }
            };
            names = together(names, exposed);
        }
        for members in joins {
            let more = self.touch_entries(level, members);
            names = together(names, more);
        }
        names
    }

    /// The innermost entry that is called so.
    fn find(&self, schema: Option<&str>, qualifier: &str) -> Option<(usize, usize)> {
        self.levels.iter().enumerate().rev().find_map(|(at, level)| {
            if !self.standing.steps.take(1 + level.entries.len() / 4) {
                return None;
            }
            let entry = level.entries.iter().position(|entry| {
                entry.alias.as_str() == qualifier
                    && schema.is_none_or(|schema| match &entry.source {
                        Source::Relation(reference) => match &reference.place.name.schema {
                            Part::Known(known) => known.as_str() == schema,
                            Part::Unknown => true,
                        },
                        Source::Derived(_) | Source::Join(_) => false,
                    })
            })?;
            Some((at, entry))
        })
    }

    /// Whether something in sight is called so.
    pub(super) fn has_alias(&self, name: &str) -> bool {
        self.find(None, name).is_some()
    }

    /// The marks of a write to a relation of the server's own catalogue.
    pub(super) fn catalogue_marks(place: &Place) -> Marks {
        match place.name.schema.as_str() {
            Some(names::CATALOGUE | "information_schema" | "pg_toast") => Mark::Privileged.into(),
            _ => Marks::NONE,
        }
    }
}

/// The most columns that a row can have (`MaxTupleAttributeNumber`).
pub(super) const WIDEST: usize = 1664;

/// Columns and those behind them. Beyond what a row can have they are not told: stars over stars would double them with
/// every level of a text.
pub(super) fn together(names: Option<Vec<Name>>, more: Option<Vec<Name>>) -> Option<Vec<Name>> {
    let (mut names, more) = names.zip(more)?;
    (names.len() + more.len() <= WIDEST).then(|| {
        names.extend(more);
        names
    })
}

/// Whether reading the relation needs no rule: it only describes objects.
pub(super) fn describes(place: &Place) -> bool {
    match (place.name.schema.as_str(), place.name.name.as_str()) {
        (Some(schema), Some(name)) => builtins::catalogue_relation(schema, name) == CatalogueRelation::Describes,
        _ => false,
    }
}
