//! What a database says about itself: plain data by object id, with an epoch.
//!
//! A protocol loads it (`protocols/postgres/catalogue.rs`), `sql` resolves names against it, `masking` closes protected
//! sets over it. One immutable snapshot per connection and database is shared by all its sessions.
//!
//! Promises: every lookup is by canonical name or object id and never guesses; [`Catalogue::unknown`] answers every
//! lookup with "not known", which readers turn into `?` names. Does not promise to be newer than its epoch.
//! Held by: the unit tests below, and `protocols/postgres/tests/it/catalogue.rs` against real servers.

use crate::lineage::Sources;
use crate::name::Name;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// A PostgreSQL object id.
pub type Oid = u32;

/// `pg_class.relkind`, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are PostgreSQL's")]
pub enum RelKind {
    Table,
    PartitionedTable,
    ForeignTable,
    View,
    MaterializedView,
    Sequence,
    Index,
    CompositeType,
    Toast,
}

/// A column of a relation.
#[derive(Clone, Debug)]
pub struct Column {
    /// `pg_attribute.attnum`.
    pub number: i16,
    /// Its name.
    pub name: Name,
    /// `pg_attribute.atttypid`.
    pub type_oid: Oid,
    /// `pg_attribute.attcollation`: 0 where its type has none, 100 where it is the database's own.
    pub collation: Oid,
    /// NOT NULL.
    pub not_null: bool,
    /// The expression of a stored or virtual generated column, as the server deparses it.
    pub generated: Option<Arc<str>>,
    /// The expression of its default, as the server deparses it.
    pub default: Option<Arc<str>>,
    /// For columns of views and materialised views, and for generated columns: what flows into their values. A reader
    /// fills it in (`sql::derive`); until then a view's columns are not known to be clean.
    pub derived: Option<Derived>,
}

/// What flows into the values of a column that the server computes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// The columns and functions.
    pub sources: Sources,
    /// Whether each value is that of its one source column, unchanged.
    pub exact: bool,
}

/// What a foreign key of another table does when rows of this one go or change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are SQL's")]
pub enum ReferentialAction {
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

/// A foreign key, kept at the referenced relation.
#[derive(Clone, Debug)]
pub struct ReferencedBy {
    /// The referencing relation.
    pub relation: Oid,
    /// On DELETE of a row here.
    pub on_delete: ReferentialAction,
    /// On UPDATE of the key here.
    pub on_update: ReferentialAction,
    /// The columns there.
    pub columns: Vec<Name>,
    /// The columns here.
    pub referenced: Vec<Name>,
}

/// The statement kind a rule or trigger fires on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are SQL's")]
pub enum FiredBy {
    Select,
    Insert,
    Update,
    Delete,
    Truncate,
}

/// A rewrite rule other than a view's own `_RETURN`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: Name,
    /// What it fires on.
    pub event: FiredBy,
    /// Whether it replaces the statement.
    pub instead: bool,
    /// `CREATE RULE …` as the server deparses it: readers read its actions like any other text.
    pub definition: Arc<str>,
}

/// A trigger that is not the system's own.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// Its name.
    pub name: Name,
    /// What it fires on.
    pub events: Vec<FiredBy>,
    /// INSTEAD OF.
    pub instead_of: bool,
    /// The function it runs.
    pub function: Oid,
    /// Whether it is enabled for ordinary sessions.
    pub enabled: bool,
}

/// A relation.
#[derive(Clone, Debug)]
pub struct Relation {
    /// `pg_class.oid`.
    pub oid: Oid,
    /// Its schema.
    pub schema: Name,
    /// Its name.
    pub name: Name,
    /// Its kind.
    pub kind: RelKind,
    /// Live columns by number; system columns are not listed.
    pub columns: Vec<Column>,
    /// Relations that inherit from it or are partitions of it, directly.
    pub children: Vec<Oid>,
    /// Relations it inherits from or is a partition of, directly.
    pub parents: Vec<Oid>,
    /// For views and materialised views: the query, as the server deparses it.
    pub definition: Option<Arc<str>>,
    /// For views and materialised views: the relations that its query reads, directly (`pg_depend` of its rule).
    pub reads: Vec<Oid>,
    /// Rewrite rules.
    pub rules: Vec<Rule>,
    /// Triggers.
    pub triggers: Vec<Trigger>,
    /// Foreign keys that point here.
    pub referenced_by: Vec<ReferencedBy>,
    /// Functions that its constraints, indexes, defaults and generated columns call and that are not built in.
    pub functions: Vec<Oid>,
}

impl Relation {
    /// The live column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.as_str() == name)
    }
}

/// `pg_proc.provolatile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are PostgreSQL's")]
pub enum Volatility {
    Immutable,
    Stable,
    Volatile,
}

/// A function, procedure, aggregate or window function outside `pg_catalog` and `information_schema`.
#[derive(Clone, Debug)]
pub struct Function {
    /// `pg_proc.oid`.
    pub oid: Oid,
    /// Its schema.
    pub schema: Name,
    /// Its name.
    pub name: Name,
    /// Input argument types.
    pub arguments: Vec<Oid>,
    /// How its result may change.
    pub volatility: Volatility,
    /// Its language's name.
    pub language: Name,
    /// SECURITY DEFINER.
    pub security_definer: bool,
    /// Procedure rather than function.
    pub procedure: bool,
    /// The source text, for languages that keep one.
    pub source: Option<Arc<str>>,
}

/// A type outside `pg_catalog`, as far as readers need it.
#[derive(Clone, Debug)]
pub struct Type {
    /// `pg_type.oid`.
    pub oid: Oid,
    /// Its schema.
    pub schema: Name,
    /// Its name.
    pub name: Name,
    /// The relation of a composite type.
    pub relation: Option<Oid>,
    /// Functions outside `pg_catalog` that reading a value of it runs (input functions, domain checks).
    pub functions: Vec<Oid>,
}

/// An operator or cast that users defined: using it runs a function.
#[derive(Clone, Debug)]
pub struct UserOperator {
    /// Its schema.
    pub schema: Name,
    /// Its symbol.
    pub name: Name,
    /// The function it runs.
    pub function: Oid,
}

/// One snapshot of a database's catalogue.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    epoch: u64,
    known: bool,
    relations: HashMap<Oid, Arc<Relation>>,
    relations_by_name: HashMap<(Name, Name), Oid>,
    functions: HashMap<Oid, Arc<Function>>,
    functions_by_name: BTreeMap<Name, Vec<Oid>>,
    types: HashMap<Oid, Arc<Type>>,
    types_by_name: HashMap<(Name, Name), Oid>,
    operators: HashMap<Name, Vec<UserOperator>>,
    casts: HashMap<Oid, Vec<Oid>>,
    schemas: HashSet<Name>,
}

/// What a snapshot is built from.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// All schemas.
    pub schemas: Vec<Name>,
    /// All relations, those of `pg_catalog` and `information_schema` included.
    pub relations: Vec<Relation>,
    /// All functions outside `pg_catalog` and `information_schema`.
    pub functions: Vec<Function>,
    /// All types outside `pg_catalog` and `information_schema`.
    pub types: Vec<Type>,
    /// All operators outside `pg_catalog`.
    pub operators: Vec<UserOperator>,
    /// User casts: (target type, function).
    pub casts: Vec<(Oid, Oid)>,
}

impl Catalogue {
    /// Knows nothing: there is no backend to ask, or nobody asked yet.
    #[must_use]
    pub fn unknown() -> Self {
        Self::default()
    }

    /// A snapshot of these contents. Epochs of one database must grow.
    #[must_use]
    pub fn new(epoch: u64, contents: Contents) -> Self {
        let mut snapshot = Self { epoch, known: true, ..Self::default() };
        snapshot.schemas = contents.schemas.into_iter().collect();
        for relation in contents.relations {
            snapshot.relations_by_name.insert((relation.schema.clone(), relation.name.clone()), relation.oid);
            snapshot.relations.insert(relation.oid, Arc::new(relation));
        }
        for function in contents.functions {
            snapshot.functions_by_name.entry(function.name.clone()).or_default().push(function.oid);
            snapshot.functions.insert(function.oid, Arc::new(function));
        }
        for user_type in contents.types {
            snapshot.types_by_name.insert((user_type.schema.clone(), user_type.name.clone()), user_type.oid);
            snapshot.types.insert(user_type.oid, Arc::new(user_type));
        }
        for operator in contents.operators {
            snapshot.operators.entry(operator.name.clone()).or_default().push(operator);
        }
        for (target, function) in contents.casts {
            snapshot.casts.entry(target).or_default().push(function);
        }
        snapshot
    }

    /// The snapshot's number; readings made against one epoch do not hold for another.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether anything is known at all.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.known
    }

    /// The relation with this id.
    #[must_use]
    pub fn relation(&self, oid: Oid) -> Option<&Arc<Relation>> {
        self.relations.get(&oid)
    }

    /// The relation of this name in this schema.
    #[must_use]
    pub fn relation_named(&self, schema: &Name, name: &Name) -> Option<&Arc<Relation>> {
        // The key is a pair of owned names; both are one reference count each.
        self.relations_by_name.get(&(schema.clone(), name.clone())).and_then(|oid| self.relations.get(oid))
    }

    /// Every relation, in no order.
    pub fn relations(&self) -> impl Iterator<Item = &Arc<Relation>> {
        self.relations.values()
    }

    /// Whether the schema exists.
    #[must_use]
    pub fn has_schema(&self, schema: &str) -> bool {
        self.schemas.contains(schema)
    }

    /// The user function with this id.
    #[must_use]
    pub fn function(&self, oid: Oid) -> Option<&Arc<Function>> {
        self.functions.get(&oid)
    }

    /// The user functions of this name, in every schema.
    pub fn functions_named(&self, name: &str) -> impl Iterator<Item = &Arc<Function>> {
        self.functions_by_name.get(name).into_iter().flatten().filter_map(|oid| self.functions.get(oid))
    }

    /// Every user function, in no order.
    pub fn functions(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.functions.values()
    }

    /// The user type of this name in this schema.
    #[must_use]
    pub fn type_named(&self, schema: &Name, name: &Name) -> Option<&Arc<Type>> {
        self.types_by_name.get(&(schema.clone(), name.clone())).and_then(|oid| self.types.get(oid))
    }

    /// The user type with this id.
    #[must_use]
    pub fn type_by_oid(&self, oid: Oid) -> Option<&Arc<Type>> {
        self.types.get(&oid)
    }

    /// The user operators with this symbol, in every schema.
    #[must_use]
    pub fn operators_named(&self, symbol: &str) -> &[UserOperator] {
        self.operators.get(symbol).map_or(&[], Vec::as_slice)
    }

    /// The functions that casts users defined to this type run.
    #[must_use]
    pub fn casts_to(&self, target: Oid) -> &[Oid] {
        self.casts.get(&target).map_or(&[], Vec::as_slice)
    }

    /// The relation and everything below it: partitions and inheritance children, each once, itself first.
    #[must_use]
    pub fn with_descendants(&self, oid: Oid) -> Vec<Oid> {
        let mut seen = HashSet::from([oid]);
        let mut order = vec![oid];
        let mut next = 0;
        while let Some(current) = order.get(next).copied() {
            next += 1;
            if let Some(relation) = self.relations.get(&current) {
                order.extend(relation.children.iter().copied().filter(|child| seen.insert(*child)));
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(oid: Oid, name: &str, children: Vec<Oid>) -> Relation {
        Relation {
            oid,
            schema: Name::canonical("public"),
            name: Name::canonical(name),
            kind: RelKind::Table,
            columns: Vec::new(),
            children,
            parents: Vec::new(),
            definition: None,
            reads: Vec::new(),
            rules: Vec::new(),
            triggers: Vec::new(),
            referenced_by: Vec::new(),
            functions: Vec::new(),
        }
    }

    #[test]
    fn descendants_are_listed_once_even_when_they_inherit_twice() {
        let relations = vec![
            relation(1, "a", vec![2, 3]),
            relation(2, "b", vec![4]),
            relation(3, "c", vec![4]),
            relation(4, "d", vec![1]),
        ];
        let catalogue = Catalogue::new(1, Contents { relations, ..Contents::default() });
        assert_eq!(catalogue.with_descendants(1), [1, 2, 3, 4]);
        assert!(catalogue.relation_named(&Name::canonical("public"), &Name::canonical("d")).is_some());
        assert!(!Catalogue::unknown().is_known());
    }
}
