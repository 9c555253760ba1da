//! Which columns are protected: what the rules name, closed over everything that a database derives from it.
//!
//! Promises: a column that shares data with a protected one (partitions, inheritance, a foreign key that references it) is
//! protected alike, though what a protected column references is not; one that the server computes from it (views,
//! materialised views, generated columns) is too, and shows nothing of the value unless it is the value; what cannot be
//! told (a view nobody read, a relation that the catalogue lacks, a function nobody vouched for) counts as protected, by no
//! rule, as soon as anything is protected at all. Relations of `pg_catalog` are clear unless a rule names them: a reader
//! says of those that hold data that they are unknown. Does not promise anything of foreign tables and triggers: what they
//! copy is another column unless a rule names it.
//!
//! Immutable once closed; share it in an `Arc`. Held by: `protection/tests.rs`.

use crate::treatment::Treatment;
use portcullis_model::catalogue::{Column, Derived, Oid, RelKind, Relation};
use portcullis_model::{Catalogue, ColumnId, QualifiedName, Sources, Unproven};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The first object id that a user's relation may have.
const FIRST_USER_OID: Oid = 16384;

/// Why a value is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Because {
    /// It is the value of a protected column.
    Provenance,
    /// It was computed from one.
    Lineage,
    /// It may have been.
    Unproven,
    /// It looks like what a detector looks for.
    Detector,
}

impl Because {
    /// The word used in records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Provenance => "provenance",
            Self::Lineage => "lineage",
            Self::Unproven => "unproven",
            Self::Detector => "detector",
        }
    }
}

/// What becomes of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is shown.
    Clear,
    /// It is not.
    Masked {
        /// What stands in its place.
        treatment: Treatment,
        /// Why.
        because: Because,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    treatment: Treatment,
    /// That it carries something protected could not be ruled out, rather than is known.
    unproven: bool,
}

impl Entry {
    fn derived(&self) -> Self {
        Self { treatment: self.treatment.derived(), unproven: self.unproven }
    }

    fn merge(&mut self, other: &Self) {
        self.treatment.merge(&other.treatment);
        self.unproven |= other.unproven;
    }
}

/// The protected columns of one database, for one principal.
pub struct Protection {
    columns: HashMap<ColumnId, Entry>,
    /// For each relation with a protected column, what stands for a whole row.
    rows: HashMap<Oid, Entry>,
    /// The relations of the catalogue, and the highest column number of each.
    known: HashMap<Oid, i16>,
    /// What stands for what cannot be told.
    unproven: Entry,
    active: bool,
}

impl Protection {
    /// Closes the protected set over everything derived from it. Of a catalogue that knows nothing, everything is
    /// unproven: where no rule names columns, use [`Protection::none`].
    #[must_use]
    pub fn close(catalogue: &Catalogue, rule: &dyn Fn(&Relation, &Column) -> Option<Treatment>) -> Self {
        let mut closing = Self { active: !catalogue.is_known(), ..Self::none() };
        if !catalogue.is_known() {
            return closing;
        }
        let mut relations: Vec<_> = catalogue.relations().collect();
        relations.sort_unstable_by_key(|relation| relation.oid);
        for relation in &relations {
            let highest = relation.columns.iter().map(|column| column.number).max().unwrap_or(0);
            closing.known.insert(relation.oid, highest);
            for column in &relation.columns {
                if let Some(treatment) = rule(relation, column) {
                    closing.active = true;
                    let strictest = closing.unproven.treatment.unproven.max(treatment.unproven);
                    closing.unproven.treatment.unproven = strictest;
                    closing.protect(id(relation, column), &Entry { treatment, unproven: false });
                }
            }
        }
        if !closing.active {
            return Self::none();
        }
        let relatives = relatives(&relations);
        let mut changed = true;
        while changed {
            changed = false;
            for relation in &relations {
                changed |= closing.share(catalogue, relation, relatives.get(&relation.oid));
                changed |= closing.refer(catalogue, relation);
                changed |= closing.derive(relation);
            }
        }
        closing
    }

    /// Nothing is protected.
    #[must_use]
    pub fn none() -> Self {
        let unproven = Entry { treatment: Treatment::unproven(Unproven::Mask), unproven: true };
        Self { columns: HashMap::new(), rows: HashMap::new(), known: HashMap::new(), unproven, active: false }
    }

    /// Whether nothing is protected by column.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.active
    }

    /// What is asked for a column; number 0 is the whole row.
    #[must_use]
    pub fn column(&self, column: ColumnId) -> Option<&Treatment> {
        self.entry(column).map(|entry| &entry.treatment)
    }

    /// Whether the relation has a protected column, or may have.
    #[must_use]
    pub fn covers(&self, relation: Oid) -> bool {
        self.rows.contains_key(&relation) || self.is_unknown(relation)
    }

    /// What becomes of a value: of the column itself where it is `exact`, else of something computed from its sources.
    #[must_use]
    pub fn fate(&self, sources: &Sources, exact: bool, clean: &dyn Fn(&QualifiedName) -> bool) -> Fate {
        let flow = self.flow(sources, exact, clean);
        let Some(entry) = flow.entry else { return Fate::Clear };
        let because = match (entry.unproven, flow.exact) {
            (true, _) => Because::Unproven,
            (false, true) => Because::Provenance,
            (false, false) => Because::Lineage,
        };
        Fate::Masked { treatment: entry.treatment, because }
    }

    /// Whether any treatment in force wants statements refused whose results cannot be proven.
    pub(crate) const fn denies_unproven(&self) -> bool {
        matches!(self.unproven.treatment.unproven, Unproven::Deny)
    }

    /// Whether something may flow in that cannot be told.
    pub(crate) fn is_untold(&self, sources: &Sources, clean: &dyn Fn(&QualifiedName) -> bool) -> bool {
        self.active && (sources.is_unknown() || !sources.functions().iter().all(clean))
    }

    fn flow(&self, sources: &Sources, exact: bool, clean: &dyn Fn(&QualifiedName) -> bool) -> Flow {
        let exact = exact && sources.functions().is_empty() && !sources.is_unknown();
        if let ([column], true) = (sources.columns(), exact) {
            return Flow { entry: self.entry(*column).cloned(), exact: !column.is_row() };
        }
        let mut entry = self.is_untold(sources, clean).then(|| self.unproven.clone());
        for source in sources.columns().iter().filter_map(|column| self.entry(*column)) {
            match &mut entry {
                Some(entry) => entry.merge(&source.derived()),
                None => entry = Some(source.derived()),
            }
        }
        Flow { entry, exact: false }
    }

    fn entry(&self, column: ColumnId) -> Option<&Entry> {
        if !self.active {
            return None;
        }
        let known = if column.is_row() { self.rows.get(&column.relation) } else { self.columns.get(&column) };
        known.or_else(|| {
            let newer = self.known.get(&column.relation).is_some_and(|highest| column.number > *highest);
            let unknown = self.is_unknown(column.relation) || (newer && column.relation >= FIRST_USER_OID);
            unknown.then_some(&self.unproven)
        })
    }

    fn is_unknown(&self, relation: Oid) -> bool {
        self.active && relation >= FIRST_USER_OID && !self.known.contains_key(&relation)
    }

    /// Adds to what is asked for a column; says whether that is more than before.
    fn protect(&mut self, column: ColumnId, entry: &Entry) -> bool {
        let derived = entry.derived();
        match self.rows.get_mut(&column.relation) {
            Some(row) => row.merge(&derived),
            None => drop(self.rows.insert(column.relation, derived)),
        }
        match self.columns.get_mut(&column) {
            Some(known) => {
                let before = known.clone();
                known.merge(entry);
                *known != before
            }
            None => {
                self.columns.insert(column, entry.clone());
                true
            }
        }
    }

    /// Columns of one name share their data with those of the relations above and below.
    fn share(&mut self, catalogue: &Catalogue, relation: &Relation, relatives: Option<&HashSet<Oid>>) -> bool {
        let mut changed = false;
        for column in &relation.columns {
            let Some(entry) = self.columns.get(&id(relation, column)).cloned() else { continue };
            let mut relatives: Vec<_> = relatives.into_iter().flatten().copied().collect();
            relatives.sort_unstable();
            for relative in relatives.iter().filter_map(|oid| catalogue.relation(*oid)) {
                if let Some(same) = relative.column(column.name.as_str()) {
                    changed |= self.protect(id(relative, same), &entry);
                }
            }
        }
        changed
    }

    /// A column that references another holds its values.
    fn refer(&mut self, catalogue: &Catalogue, relation: &Relation) -> bool {
        let mut changed = false;
        for key in &relation.referenced_by {
            let Some(referencing) = catalogue.relation(key.relation) else { continue };
            for (here, there) in key.referenced.iter().zip(&key.columns) {
                let columns = (relation.column(here.as_str()), referencing.column(there.as_str()));
                let (Some(here), Some(there)) = columns else { continue };
                let Some(entry) = self.columns.get(&id(relation, here)).cloned() else { continue };
                changed |= self.protect(id(referencing, there), &entry);
            }
        }
        changed
    }

    /// Columns that the server computes carry what flows into them.
    fn derive(&mut self, relation: &Relation) -> bool {
        let view = matches!(relation.kind, RelKind::View | RelKind::MaterializedView);
        let mut changed = false;
        for column in &relation.columns {
            let flowing = match &column.derived {
                Some(Derived { sources, exact }) => self.flow(sources, *exact, &|_| false).entry,
                None if relation.oid >= FIRST_USER_OID && (view || column.generated.is_some()) => {
                    Some(self.unproven.clone())
                }
                None => None,
            };
            if let Some(entry) = flowing {
                changed |= self.protect(id(relation, column), &entry);
            }
        }
        changed
    }
}

struct Flow {
    entry: Option<Entry>,
    /// The value is that of a column, unchanged.
    exact: bool,
}

fn id(relation: &Relation, column: &Column) -> ColumnId {
    ColumnId { relation: relation.oid, number: column.number }
}

/// For each relation, those directly above and below it, whichever side says so.
fn relatives(relations: &[&Arc<Relation>]) -> HashMap<Oid, HashSet<Oid>> {
    let mut all: HashMap<Oid, HashSet<Oid>> = HashMap::new();
    for relation in relations {
        for other in relation.children.iter().chain(&relation.parents) {
            all.entry(relation.oid).or_default().insert(*other);
            all.entry(*other).or_default().insert(relation.oid);
        }
    }
    all
}

#[cfg(test)]
mod tests;
