//! What a command would do: actions on objects, and the marks that make an action more than it looks.

use crate::name::Name;
use crate::object::Object;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What is done to an object (DESIGN 2). `Session` is implicit: it needs no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the words are DESIGN's; docs/glossary.md explains each")]
pub enum Action {
    Session,
    Read,
    Insert,
    Update,
    Delete,
    Truncate,
    Create,
    Alter,
    Drop,
    Grant,
    Revoke,
    Execute,
    Call,
    Configure,
    Lock,
    Maintain,
    Transfer,
    Connect,
    Become,
    Generate,
    Unknown,
}

impl Action {
    /// Every action, in DESIGN's order.
    pub const ALL: &'static [Self] = &[
        Self::Session,
        Self::Read,
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Truncate,
        Self::Create,
        Self::Alter,
        Self::Drop,
        Self::Grant,
        Self::Revoke,
        Self::Execute,
        Self::Call,
        Self::Configure,
        Self::Lock,
        Self::Maintain,
        Self::Transfer,
        Self::Connect,
        Self::Become,
        Self::Generate,
        Self::Unknown,
    ];

    /// The word used in rules and records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Read => "read",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
            Self::Create => "create",
            Self::Alter => "alter",
            Self::Drop => "drop",
            Self::Grant => "grant",
            Self::Revoke => "revoke",
            Self::Execute => "execute",
            Self::Call => "call",
            Self::Configure => "configure",
            Self::Lock => "lock",
            Self::Maintain => "maintain",
            Self::Transfer => "transfer",
            Self::Connect => "connect",
            Self::Become => "become",
            Self::Generate => "generate",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What makes an action more than it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u16)]
pub enum Mark {
    /// Every row, or a whole tree from its root.
    Unbounded = 1 << 0,
    /// Code that is not statically known.
    Dynamic = 1 << 1,
    /// With more rights than the login has.
    Privileged = 1 << 2,
    /// Descends into a tree.
    Recursive = 1 << 3,
    /// Overrides a safety question.
    Forced = 1 << 4,
    /// Cannot be undone by the system itself.
    Irreversible = 1 << 5,
    /// Reaches another host.
    Network = 1 << 6,
    /// Moves rows in bulk (COPY).
    Bulk = 1 << 7,
    /// Takes locks that others wait for.
    Locks = 1 << 8,
    /// Writes a protected value somewhere else.
    ExposesProtected = 1 << 9,
    /// Uses a protected value outside the output.
    InfersProtected = 1 << 10,
}

impl Mark {
    /// Every mark, in DESIGN's order.
    pub const ALL: &'static [Self] = &[
        Self::Unbounded,
        Self::Dynamic,
        Self::Privileged,
        Self::Recursive,
        Self::Forced,
        Self::Irreversible,
        Self::Network,
        Self::Bulk,
        Self::Locks,
        Self::ExposesProtected,
        Self::InfersProtected,
    ];

    /// The word used in rules and records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unbounded => "unbounded",
            Self::Dynamic => "dynamic",
            Self::Privileged => "privileged",
            Self::Recursive => "recursive",
            Self::Forced => "forced",
            Self::Irreversible => "irreversible",
            Self::Network => "network",
            Self::Bulk => "bulk",
            Self::Locks => "locks",
            Self::ExposesProtected => "exposes-protected",
            Self::InfersProtected => "infers-protected",
        }
    }
}

/// A set of marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Marks(u16);

impl Marks {
    /// No mark.
    pub const NONE: Self = Self(0);

    /// The set of these.
    #[must_use]
    pub fn of(marks: &[Mark]) -> Self {
        Self(marks.iter().fold(0, |bits, mark| bits | *mark as u16))
    }

    /// This set and one more.
    #[must_use]
    pub const fn with(self, mark: Mark) -> Self {
        Self(self.0 | mark as u16)
    }

    /// Everything in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the mark is in the set.
    #[must_use]
    pub const fn contains(self, mark: Mark) -> bool {
        self.0 & mark as u16 != 0
    }

    /// Whether the two share a mark.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether every mark of `other` is in this set.
    #[must_use]
    pub const fn is_superset(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The marks, in DESIGN's order.
    pub fn iter(self) -> impl Iterator<Item = Mark> {
        Mark::ALL.iter().copied().filter(move |mark| self.contains(*mark))
    }
}

impl From<Mark> for Marks {
    fn from(mark: Mark) -> Self {
        Self::NONE.with(mark)
    }
}

impl FromIterator<Mark> for Marks {
    fn from_iter<I: IntoIterator<Item = Mark>>(marks: I) -> Self {
        marks.into_iter().fold(Self::NONE, Self::with)
    }
}

impl Serialize for Marks {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Marks {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Mark>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// Which columns of the relation an operation names.
///
/// A `table` pattern covers every column of the tables it matches. A `column` pattern covers only the columns it
/// matches: an operation that names columns is covered by column patterns when each column is, and a deny or hold
/// on a column matches when one of them is named or the columns are [`Columns::Unknown`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Columns {
    /// The operation is on the relation and names no column (`DELETE`, `TRUNCATE`, `count(*)`).
    #[default]
    None,
    /// Exactly these, sorted, without repeats.
    Named(Arc<[Name]>),
    /// Some or all columns; which ones could not be told.
    Unknown,
}

/// Which database a statement that stands inside another command goes to, as far as that command says. Nothing is guessed:
/// what is `None` may be any, and what is said is only what the program was told, which may be an alias.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reach {
    /// The host, without its port: one server may be reached through several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Arc<str>>,
    /// The database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Name>,
}

impl Reach {
    /// Any database.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { host: None, database: None }
    }
}

/// One thing that a command would do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Operation {
    /// What is done.
    pub action: Action,
    /// To what.
    pub object: Object,
    /// Which columns of it, where the object is a relation.
    #[serde(default, skip_serializing_if = "Operation::names_no_columns")]
    pub columns: Columns,
    /// What makes it more than it looks.
    pub marks: Marks,
    /// Where it goes, for a statement inside a shell line or a tool call: the rules and masks of that database bind it as
    /// well as those of the command's own connection. `None` for what is done where the command is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaches: Option<Arc<Reach>>,
}

impl Operation {
    /// The action on the object, no columns, no marks.
    #[must_use]
    pub const fn new(action: Action, object: Object) -> Self {
        Self { action, object, columns: Columns::None, marks: Marks::NONE, reaches: None }
    }

    /// The same with these marks added.
    #[must_use]
    pub fn marked(mut self, marks: impl Into<Marks>) -> Self {
        self.marks = self.marks.union(marks.into());
        self
    }

    /// These operations with these marks added to each that a rule can be about. Where none is, all of them carry the
    /// marks: what is marked must not pass as what needs no rule.
    #[must_use]
    pub fn all_marked(operations: &[Self], marks: Marks) -> Vec<Self> {
        let ruled = |operation: &Self| operation.action != Action::Session;
        let some = operations.iter().any(ruled);
        let mark = |operation: &Self| {
            if some && !ruled(operation) { operation.clone() } else { operation.clone().marked(marks) }
        };
        operations.iter().map(mark).collect()
    }

    /// The same naming these columns.
    #[must_use]
    pub fn naming(mut self, columns: Columns) -> Self {
        self.columns = columns;
        self
    }

    /// The same done in a database elsewhere.
    #[must_use]
    pub fn reaching(mut self, reach: Arc<Reach>) -> Self {
        self.reaches = Some(reach);
        self
    }

    /// What cannot be read: `unknown` on an unknown object.
    #[must_use]
    pub const fn unknown() -> Self {
        Self::new(Action::Unknown, Object::Unknown)
    }

    /// Needs no rule: the implicit action of every session.
    #[must_use]
    pub const fn session() -> Self {
        Self::new(Action::Session, Object::Unknown)
    }

    /// Whether it only reads, so that its record may become durable as late as its first result byte (DESIGN 2,
    /// "Durability"): `read` of a relation without `dynamic` or `locks`.
    #[must_use]
    pub const fn only_reads(&self) -> bool {
        matches!(self.action, Action::Read)
            && matches!(self.object, Object::Relation { .. })
            && !self.marks.contains(Mark::Dynamic)
            && !self.marks.contains(Mark::Locks)
    }

    const fn names_no_columns(columns: &Columns) -> bool {
        matches!(columns, Columns::None)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.action, &self.object) {
            (Action::Session | Action::Unknown, Object::Unknown) => write!(f, "{}", self.action)?,
            _ => write!(f, "{} {}", self.action, self.object)?,
        }
        match &self.columns {
            Columns::None => {}
            Columns::Named(names) => {
                f.write_str(" (")?;
                for (at, name) in names.iter().enumerate() {
                    if at > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{name}")?;
                }
                f.write_str(")")?;
            }
            Columns::Unknown => f.write_str(" (?)")?,
        }
        for mark in self.marks.iter() {
            write!(f, " +{}", mark.word())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::QualifiedName;
    use crate::object::RelationKind;

    #[test]
    fn every_mark_has_a_bit_of_its_own() {
        let all = Marks::of(Mark::ALL);
        assert_eq!(all.iter().count(), Mark::ALL.len());
        for mark in Mark::ALL {
            assert!(all.contains(*mark));
            assert!(!Marks::NONE.contains(*mark));
        }
    }

    #[test]
    fn marks_land_on_what_rules_are_about_and_never_nowhere() {
        let orders = Object::relation(QualifiedName::new("public", "orders"), RelationKind::Table);
        let marks = Marks::from(Mark::InfersProtected);
        let both = [Operation::session(), Operation::new(Action::Read, orders)];
        let marked: Vec<bool> = Operation::all_marked(&both, marks).iter().map(|one| one.marks == marks).collect();
        assert_eq!(marked, [false, true]);
        assert_eq!(Operation::all_marked(&[Operation::session()], marks)[0].marks, marks);
    }

    #[test]
    fn where_an_operation_goes_is_written_only_where_it_goes_somewhere() {
        let here = Operation::unknown();
        let json = serde_json::to_string(&here).unwrap();
        assert!(!json.contains("reaches"), "{json}");
        let reach = Reach { host: Some("db".into()), database: None };
        let there = here.clone().reaching(Arc::new(reach));
        let json = serde_json::to_string(&there).unwrap();
        assert!(json.contains(r#""reaches":{"host":"db"}"#), "{json}");
        assert_eq!(serde_json::from_str::<Operation>(&json).unwrap(), there);
        assert_ne!(here, there);
    }

    #[test]
    fn an_operation_prints_as_rules_are_written() {
        let orders = Object::relation(QualifiedName::new("public", "orders"), RelationKind::Table);
        let read = Operation::new(Action::Read, orders.clone())
            .naming(Columns::Named([Name::canonical("id"), Name::canonical("total")].into()));
        assert_eq!(read.to_string(), "read table public.orders (id, total)");
        assert!(read.only_reads());
        let wipe = Operation::new(Action::Delete, orders).marked(Mark::Unbounded);
        assert_eq!(wipe.to_string(), "delete table public.orders +unbounded");
        assert!(!wipe.only_reads());
    }
}
