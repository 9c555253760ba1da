//! What the text of a prepared statement named whenever the server may have analysed it.
//!
//! The server keeps the analysed tree of a prepared statement as long as the search path is that of its last analysis and
//! nothing in the tree was changed or dropped. A relation or function that comes to hide a named one in an earlier place
//! of the path does not make it look again. So a use is judged against what was named under every path that may be
//! the server's: where that is the same, as it reads now; where it was another, it is refused; where it cannot be told,
//! as both.
//!
//! Promises: nothing is forgotten of a path before the server has analysed under another. Columns, and what a write
//! reaches beyond what the text names (partitions, keys), do not count: the server looks at these anew.
//! Does not promise to know what other sessions make before the catalogue is loaded again.
//! Held by: the tests below, `core/tests/analysed.rs`, and `tests/it/scope.rs` against a real server.

use super::named::untold;
use super::walk::add;
use super::{Code, Read, code};
use portcullis_model::{Action, Catalogue, Counted, Lineage, Name, Object, Operation, Part};
use portcullis_sql::{Reading, Scope, SearchPath};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Search paths that one statement is followed under.
const MOST: usize = 16;

const MOVED: &str = "what it names means something else than when it was prepared: prepare it again";

const SPREAD: &str = "it was used under more search paths than are followed: prepare it again";

/// The search path of a moment, as far as it is known to be the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Under {
    /// This, as the server has it.
    Told(Arc<[Name]>),
    /// This, but for schemas that the server leaves out: the session may not use them.
    Believed(Arc<[Name]>),
    /// Any.
    Unknown,
}

impl Under {
    /// Whether the server's path may have been the same in both.
    fn may_be(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) | (Self::Believed(_), Self::Believed(_)) => true,
            (Self::Told(one), Self::Told(two)) => one == two,
            (Self::Told(told), Self::Believed(believed)) | (Self::Believed(believed), Self::Told(told)) => {
                let mut left = believed.iter();
                told.iter().all(|schema| left.any(|other| other == schema))
            }
        }
    }
}

/// What a text named at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Meaning {
    objects: BTreeSet<Object>,
    operations: Vec<Operation>,
    /// What its statements use, of all of them.
    lineage: Lineage,
    /// What it names and is not known is one of those of that name that it lists.
    certain: bool,
    /// Every unqualified name was taken for whatever bears it.
    open: bool,
}

impl Meaning {
    /// Of a text read in a scope.
    pub(crate) fn of(reading: &Reading, scope: &Scope) -> Self {
        if reading.fault.is_some() {
            return Self::unknown();
        }
        let mut meaning = Self {
            objects: BTreeSet::new(),
            operations: Vec::new(),
            lineage: Lineage::default(),
            certain: scope.catalogue.is_known() && !scope.uncertain,
            open: scope.search_path == SearchPath::Unknown,
        };
        for statement in reading.statements.iter().filter(|statement| is_analysed(statement.tag)) {
            let named = |operation: &&Operation| {
                operation.action != Action::Session
                    && !is_reached(&operation.object, &statement.lineage, &scope.catalogue)
            };
            meaning.objects.extend(statement.operations.iter().filter(named).map(|one| one.object.clone()));
            add(&mut meaning.operations, &statement.operations);
            meaning.used(&statement.lineage);
        }
        meaning
    }

    /// Of what could not be read.
    pub(crate) fn unknown() -> Self {
        Self {
            objects: BTreeSet::from([Object::Unknown]),
            operations: vec![Operation::unknown()],
            lineage: Lineage::untold(),
            certain: false,
            open: false,
        }
    }

    fn is_known(&self) -> bool {
        self.objects.iter().all(Object::is_known)
    }

    fn used(&mut self, other: &Lineage) {
        self.lineage = with(&self.lineage, other);
    }

    /// What it can have named, where that is one thing for each name.
    fn settled(&self) -> Option<BTreeSet<&Object>> {
        let (known, unknown): (BTreeSet<_>, BTreeSet<_>) = self.objects.iter().partition(|object| object.is_known());
        let is_one = |object: &&Object| {
            let meant = |name| known.iter().filter(|other| relation_name(other) == Some(name)).count();
            relation_name(object).is_some_and(|name| meant(name) == 1)
        };
        let settled = unknown.is_empty() || (self.certain && unknown.iter().all(is_one));
        settled.then_some(known)
    }

    /// Whether what is allowed and masked as `now` is so as this as well.
    fn is_covered_by(&self, now: &Self) -> bool {
        self.objects == now.objects
            || (now.open && self.objects.is_subset(&now.objects))
            || self.settled().is_some_and(|known| known.into_iter().eq(&now.objects))
    }

    fn widen(&mut self, other: &Self) {
        self.objects.extend(other.objects.iter().cloned());
        add(&mut self.operations, &other.operations);
        self.used(&other.lineage);
        self.certain &= other.certain;
        self.open |= other.open;
    }

    /// What it does.
    pub(super) fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Adds what it does.
    pub(super) fn add_to(&self, operations: &mut Vec<Operation>) {
        add(operations, &self.operations);
    }

    /// A lineage of the same text, which may be this one's as well.
    pub(super) fn blend(&self, lineage: &Lineage) -> Arc<Lineage> {
        untold(&with(lineage, &self.lineage))
    }
}

/// The name of a relation without its schema.
const fn relation_name(object: &Object) -> Option<&Part> {
    if let Object::Relation { name, .. } = object { Some(&name.name) } else { None }
}

/// The lineage with what the other uses.
fn with(lineage: &Lineage, other: &Lineage) -> Lineage {
    let mut both = lineage.clone();
    both.uses.extend(other.uses.iter().filter(|one| !lineage.uses.contains(one)).cloned());
    both.bound.extend(other.bound.iter().filter(|one| !lineage.bound.contains(one)).cloned());
    both.relations.extend_from_slice(&other.relations);
    both.relations.sort_unstable();
    both.relations.dedup();
    both.unknown |= other.unknown;
    both
}

/// Whether the server analyses the statement when it is prepared. What else there is it looks up when it runs.
fn is_analysed(tag: &str) -> bool {
    matches!(
        tag,
        "SelectStmt"
            | "InsertStmt"
            | "UpdateStmt"
            | "DeleteStmt"
            | "MergeStmt"
            | "ExplainStmt"
            | "CreateTableAsStmt"
            | "DeclareCursorStmt"
            | "CallStmt"
    )
}

/// Whether the text does not name the relation itself: it is a partition or child of what the text names, its base or
/// what its keys lead to.
fn is_reached(object: &Object, lineage: &Lineage, catalogue: &Catalogue) -> bool {
    let Object::Relation { name, .. } = object else { return false };
    let (Part::Known(schema), Part::Known(name)) = (&name.schema, &name.name) else { return false };
    let Some(relation) = catalogue.relation_named(schema, name) else { return false };
    if lineage.relations.contains(&relation.oid) {
        return false;
    }
    let mut seen: BTreeSet<_> = lineage.relations.iter().copied().collect();
    let mut next = lineage.relations.clone();
    while let Some(oid) = next.pop() {
        let Some(from) = catalogue.relation(oid) else { continue };
        let keys = from.referenced_by.iter().map(|key| key.relation);
        let below = from.children.iter().chain(&from.reads).copied().chain(keys);
        next.extend(below.filter(|oid| seen.insert(*oid)));
        if seen.contains(&relation.oid) {
            return true;
        }
    }
    false
}

/// How a use is to be judged.
#[derive(Clone, Debug)]
pub(crate) enum Judged {
    /// As it reads now.
    Same,
    /// As it reads now and as this: it cannot be told which the server has.
    Both(Box<Meaning>),
    /// The server may still have it as something else.
    Other,
    /// Nothing more of it can be followed.
    Many,
}

/// A statement that a text runs by name, and what that named then.
#[derive(Clone, Debug)]
pub(crate) struct Executed {
    pub(crate) name: Name,
    pub(crate) text: Arc<str>,
    pub(crate) under: Under,
    pub(crate) meaning: Arc<Meaning>,
}

#[derive(Clone, Debug)]
struct Kept {
    under: Under,
    meaning: Meaning,
    /// The server analysed it as different things under this one path.
    split: bool,
}

/// What a prepared statement named under each search path that the server may have analysed it under last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Analysed(Vec<Kept>);

impl Analysed {
    fn at(&self, under: &Under) -> Option<&Kept> {
        self.0.iter().find(|kept| kept.under == *under)
    }

    /// How a use under this path is to be judged that reads like this.
    pub(crate) fn judge(&self, now: &Meaning, under: &Under) -> Judged {
        match (self.at(under), under) {
            (Some(kept), Under::Told(_)) => {
                let moved = kept.meaning.objects != now.objects && kept.meaning.is_known() && now.is_known();
                if kept.split || moved {
                    return Judged::Other;
                }
            }
            (Some(_), Under::Believed(_) | Under::Unknown) => {}
            (None, _) if self.0.len() >= MOST => return Judged::Many,
            (None, _) => {}
        }
        let mut both: Option<Box<Meaning>> = None;
        for kept in self.0.iter().filter(|kept| kept.under.may_be(under) && !kept.meaning.is_covered_by(now)) {
            match &mut both {
                Some(both) => both.widen(&kept.meaning),
                None => both = Some(Box::new(kept.meaning.clone())),
            }
        }
        both.map_or(Judged::Same, Judged::Both)
    }

    /// Whether it is kept already that the text named this under this path.
    pub(crate) fn has(&self, under: &Under, meaning: &Meaning) -> bool {
        self.at(under).is_some_and(|kept| {
            meaning.objects.is_subset(&kept.meaning.objects)
                && !kept.differs(meaning)
                && (meaning.certain || !kept.meaning.certain)
        })
    }

    /// The server may analyse it under this path, where it names this.
    pub(crate) fn add(&mut self, under: &Under, meaning: &Meaning) {
        let full = self.0.len() >= MOST;
        match self.0.iter_mut().find(|kept| kept.under == *under) {
            Some(kept) => {
                kept.split |= kept.differs(meaning);
                kept.meaning.widen(meaning);
            }
            // Nothing is judged under more; what the server analyses without being told to run it counts as anything.
            None if full => match self.0.iter_mut().find(|kept| kept.under == Under::Unknown) {
                Some(kept) => kept.meaning.widen(&Meaning::unknown()),
                None => self.0.push(Kept { under: Under::Unknown, meaning: Meaning::unknown(), split: false }),
            },
            None => self.0.push(Kept { under: under.clone(), meaning: meaning.clone(), split: false }),
        }
    }

    /// The server has analysed it under this path: what it was under any other is looked up anew.
    pub(crate) fn confirm(&mut self, under: &Under) {
        if matches!(under, Under::Told(_)) {
            self.0.retain(|kept| kept.under.may_be(under));
        }
    }

    /// Whether there is more than one path.
    pub(crate) const fn is_spread(&self) -> bool {
        self.0.len() > 1
    }
}

impl Kept {
    fn differs(&self, meaning: &Meaning) -> bool {
        self.meaning.objects != meaning.objects && self.meaning.is_known() && meaning.is_known()
    }
}

impl Read {
    /// What its text names; of a text that is none, nothing that can be told.
    pub(crate) fn meaning(&self, scope: &Scope) -> Meaning {
        self.reading.as_ref().map_or_else(Meaning::unknown, |reading| Meaning::of(reading, scope))
    }

    /// Makes it what a use that is judged like this is.
    pub(crate) fn judged(&mut self, judged: &Judged) {
        match judged {
            Judged::Same => {}
            Judged::Both(more) => self.add(more),
            Judged::Other | Judged::Many => self.moved(judged),
        }
    }

    /// Refuses what the server may have as something else.
    pub(super) fn moved(&mut self, judged: &Judged) {
        self.refuse(if matches!(judged, Judged::Many) { SPREAD } else { MOVED }.to_owned());
    }

    /// Makes it what the same text was read as before besides.
    pub(crate) fn besides(&mut self, before: &Self) {
        if let Some(more) = &before.besides {
            self.add(more);
        }
    }

    /// Whether it is one EXECUTE: once that has completed, the server has analysed what it runs.
    pub(crate) fn is_execute(&self) -> bool {
        self.reading
            .as_ref()
            .is_some_and(|reading| matches!(reading.statements.as_slice(), [one] if one.tag == "ExecuteStmt"))
    }

    fn add(&mut self, more: &Meaning) {
        let mut operations = self.operations.to_vec();
        more.add_to(&mut operations);
        self.code = operations.iter().map(code).max().unwrap_or(self.code).max(self.code);
        self.operations = operations.into();
        self.lineages = self.lineages.iter().map(|lineage| more.blend(lineage)).collect();
        for cursor in self.cursors.iter_mut().flatten() {
            *cursor = more.blend(cursor);
        }
        self.barrier |= self.code == Code::Dynamic;
        self.counted = Counted::not("what it names is not known for certain");
        self.besides = Some(Box::new(more.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_model::{QualifiedName, RelationKind};

    /// From names of tables, as in `hr.t ?.t`.
    fn meaning(names: &str) -> Meaning {
        let table = |name: &str| {
            let (schema, name) = name.split_once('.').unwrap();
            let schema = if schema == "?" { Part::Unknown } else { Part::known(schema) };
            Object::relation(QualifiedName { schema, name: Part::known(name) }, RelationKind::Table)
        };
        let objects: BTreeSet<_> = names.split_whitespace().map(table).collect();
        let operations = objects.iter().map(|object| Operation::new(Action::Read, object.clone())).collect();
        Meaning { objects, operations, lineage: Lineage::default(), certain: true, open: false }
    }

    fn path(text: &str) -> Arc<[Name]> {
        text.split(',').map(Name::canonical).collect()
    }

    /// `public` is told, `?public` believed, `?` not known.
    fn under(text: &str) -> Under {
        match text.strip_prefix('?') {
            Some("") => Under::Unknown,
            Some(believed) => Under::Believed(path(believed)),
            None => Under::Told(path(text)),
        }
    }

    /// What is judged besides what it reads as now, or the word for how.
    fn word(judged: &Judged) -> String {
        match judged {
            Judged::Same => "same".to_owned(),
            Judged::Both(both) => {
                let mut names: Vec<_> =
                    both.operations.iter().map(|one| one.object.to_string().replace("table ", "")).collect();
                names.sort_unstable();
                names.join(" ")
            }
            Judged::Other => "other".to_owned(),
            Judged::Many => "many".to_owned(),
        }
    }

    #[test]
    fn a_use_is_judged_by_what_the_server_may_have() {
        let table = [
            // Kept under a path; the use's path, what it reads, and how that is judged.
            ("public", "public.t", "public", "public.t", "same"),
            ("public", "public.t", "public", "pg_temp.t", "other"),
            ("hr,public", "public.t", "hr,public", "hr.t", "other"),
            // Under another path the server looks again.
            ("a,public", "a.t", "b,public", "b.t", "same"),
            ("a", "a.t", "a,public", "a.t", "same"),
            // Unless the other is one that the server may read as the same.
            ("public", "public.t", "?hidden,public", "pg_temp.t", "public.t"),
            ("?hidden,public", "public.t", "public", "pg_temp.t", "public.t"),
            ("?a,public", "a.t", "b,public", "b.t", "same"),
            ("?a", "a.t", "?b", "b.t", "a.t"),
            // What was not known stays so: both are judged.
            ("public", "?.t", "public", "?.t", "same"),
            ("public", "?.t", "public", "public.t", "?.t"),
            ("?", "?.t public.t", "public", "public.t", "same"),
            ("?", "?.t public.t", "public", "pg_temp.t", "?.t public.t"),
            ("?", "?.t public.t hr.t", "public", "public.t", "?.t hr.t public.t"),
            ("?", "a.t", "b", "b.t", "a.t"),
        ];
        for (first, before, second, after, expected) in table {
            let mut analysed = Analysed::default();
            analysed.add(&under(first), &meaning(before));
            let judged = word(&analysed.judge(&meaning(after), &under(second)));
            assert_eq!(judged, expected, "{before} under {first}, {after} under {second}");
        }
    }

    #[test]
    fn a_use_where_no_path_is_known_covers_what_it_lists_only() {
        let mut analysed = Analysed::default();
        analysed.add(&under("public"), &meaning("public.t"));
        let open = |names| Meaning { open: true, ..meaning(names) };
        assert_eq!(word(&analysed.judge(&open("?.t public.t hr.t"), &Under::Unknown)), "same");
        assert_eq!(word(&analysed.judge(&open("?.t hr.t"), &Under::Unknown)), "public.t");
        // In a transaction that made tables it may be none of those.
        let uncertain = Meaning { certain: false, ..meaning("?.t public.t") };
        let mut analysed = Analysed::default();
        analysed.add(&under("public"), &uncertain);
        assert_eq!(word(&analysed.judge(&meaning("public.t"), &under("public"))), "?.t public.t");
    }

    #[test]
    fn what_was_analysed_twice_stays_refused_until_it_is_prepared_again() {
        let mut analysed = Analysed::default();
        let public = under("public");
        analysed.add(&public, &meaning("pg_temp.t"));
        // Described while the temporary relation was away: the server has the other since then.
        analysed.add(&public, &meaning("public.t"));
        for names in ["pg_temp.t", "public.t"] {
            assert_eq!(word(&analysed.judge(&meaning(names), &public)), "other", "{names}");
        }
    }

    #[test]
    fn paths_are_forgotten_only_when_the_server_is_known_to_have_another() {
        let mut analysed = Analysed::default();
        for number in 0..MOST {
            analysed.add(&under(&format!("t{number}")), &meaning(&format!("t{number}.t")));
        }
        assert_eq!(word(&analysed.judge(&meaning("more.t"), &under("more"))), "many");
        assert_eq!(word(&analysed.judge(&meaning("t3.t"), &under("t3"))), "same");
        analysed.confirm(&Under::Unknown);
        assert_eq!(word(&analysed.judge(&meaning("pg_temp.t"), &under("t4"))), "other");
        analysed.confirm(&under("t3"));
        assert_eq!(word(&analysed.judge(&meaning("more.t"), &under("more"))), "same");
        assert_eq!(word(&analysed.judge(&meaning("pg_temp.t"), &under("t4"))), "same");
        assert_eq!(word(&analysed.judge(&meaning("pg_temp.t"), &under("t3"))), "other");
    }
}
