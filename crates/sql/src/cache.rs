//! Readings kept by text and scope, so that a text seen before is not parsed again.
//!
//! A reading is found by a keyed hash of its text and returned only where the text, the dialect and everything that
//! names depend on are equal: catalogue epoch, search path, temporary relations, uncertainty, user. Promises: bounded by
//! bytes; a text above [`LARGEST`] is read and not kept; no hit for another scope. Does not promise to keep anything.
//! Held by: `tests` below.

use crate::scope::{Limits, Scope, SearchPath};
use crate::{Dialect, Reading, Statement};
use portcullis_model::{Lineage, Name, Outputs, Sources};
use quick_cache::sync::Cache as Store;
use quick_cache::{Equivalent, Weighter};
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The largest text that is kept, in bytes.
const LARGEST: usize = 16 << 10;

/// What a reading costs besides its text, in bytes, roughly.
const OVERHEAD: usize = 512;

/// What a reading depends on, owned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    text: Box<str>,
    dialect: Dialect,
    limits: Limits,
    epoch: u64,
    known: bool,
    path: SearchPath,
    temporary: Arc<BTreeSet<Name>>,
    uncertain: bool,
    user: Option<Name>,
    assume: Option<Name>,
}

/// The same, borrowed for a look.
struct Look<'a> {
    text: &'a str,
    dialect: Dialect,
    limits: &'a Limits,
    scope: &'a Scope,
}

impl Hash for Look<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let scope = self.scope;
        self.text.hash(state);
        self.dialect.hash(state);
        self.limits.hash(state);
        scope.catalogue.epoch().hash(state);
        scope.catalogue.is_known().hash(state);
        scope.search_path.hash(state);
        scope.temporary.hash(state);
        scope.uncertain.hash(state);
        scope.user.hash(state);
        scope.assume.hash(state);
    }
}

impl Equivalent<Key> for Look<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        let scope = self.scope;
        *self.text == *key.text
            && self.dialect == key.dialect
            && *self.limits == key.limits
            && scope.catalogue.epoch() == key.epoch
            && scope.catalogue.is_known() == key.known
            && scope.search_path == key.path
            && scope.temporary == key.temporary
            && scope.uncertain == key.uncertain
            && scope.user == key.user
            && scope.assume == key.assume
    }
}

impl Look<'_> {
    fn key(&self) -> Key {
        let scope = self.scope;
        Key {
            text: self.text.into(),
            dialect: self.dialect,
            limits: *self.limits,
            epoch: scope.catalogue.epoch(),
            known: scope.catalogue.is_known(),
            path: scope.search_path.clone(),
            temporary: Arc::clone(&scope.temporary),
            uncertain: scope.uncertain,
            user: scope.user.clone(),
            assume: scope.assume.clone(),
        }
    }
}

/// What the lineage of a statement takes, in bytes, roughly.
fn weight(statement: &Statement) -> usize {
    let sources = |sources: &Sources| 96 + 8 * sources.columns().len() + 64 * sources.functions().len();
    let of = |lineage: &Lineage| {
        let outputs: usize = match &lineage.outputs {
            Outputs::None => 0,
            Outputs::Known(outputs) => outputs.iter().map(|output| sources(&output.sources)).sum(),
            Outputs::Unknown(all) => sources(all),
        };
        let uses: usize = lineage.uses.iter().map(|used| sources(&used.sources)).sum();
        outputs + uses + 40 * lineage.bound.len() + 4 * lineage.relations.len()
    };
    of(&statement.lineage) + statement.cursor.as_deref().map_or(0, of)
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Key, Arc<Reading>> for Weight {
    fn weight(&self, key: &Key, reading: &Arc<Reading>) -> u64 {
        let operations: usize = reading.statements.iter().map(|statement| statement.operations.len()).sum();
        let lineage: usize = reading.statements.iter().map(weight).sum();
        let bytes =
            lineage + key.text.len() + OVERHEAD + reading.statements.len() * OVERHEAD + operations * OVERHEAD / 2;
        bytes as u64
    }
}

/// Readings of the texts of one database, shared by its sessions. Catalogues of different databases number their epochs
/// each for itself, so each database has its own.
#[derive(Debug)]
pub struct Cache {
    store: Store<Key, Arc<Reading>, Weight>,
}

impl Cache {
    /// Keeps up to about this many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / 2048).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        Self { store: Store::with_weighter(entries, bytes, Weight) }
    }

    /// The reading of the text in this scope: kept, or made now.
    #[must_use]
    pub fn read(&self, text: &str, dialect: Dialect, scope: &Scope, limits: &Limits) -> Arc<Reading> {
        if text.len() > LARGEST {
            return Arc::new(crate::read(text, dialect, scope, limits));
        }
        let look = Look { text, dialect, limits, scope };
        if let Some(reading) = self.store.get(&look) {
            return reading;
        }
        let reading = Arc::new(crate::read(text, dialect, scope, limits));
        self.store.insert(look.key(), Arc::clone(&reading));
        reading
    }

    /// How many readings are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.store.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_in_the_same_scope_is_one_reading_and_in_another_scope_is_not() {
        let cache = Cache::new(1 << 20);
        let limits = Limits::default();
        let scope = Scope::assuming(Name::canonical("public"));
        let first = cache.read("SELECT a FROM t", Dialect::Postgres, &scope, &limits);
        let again = cache.read("SELECT a FROM t", Dialect::Postgres, &scope.clone(), &limits);
        assert!(Arc::ptr_eq(&first, &again));
        let elsewhere = Scope::assuming(Name::canonical("hr"));
        let other = cache.read("SELECT a FROM t", Dialect::Postgres, &elsewhere, &limits);
        assert_ne!(first.operations(), other.operations());
        let temporary = Scope { temporary: Arc::new(BTreeSet::from([Name::canonical("t")])), ..scope.clone() };
        let shadowed = cache.read("SELECT a FROM t", Dialect::Postgres, &temporary, &limits);
        assert_eq!(shadowed.operations()[0].to_string(), "read table pg_temp.t (a)");
        let generic = cache.read("SELECT a FROM t", Dialect::MySql, &scope, &limits);
        assert!(!Arc::ptr_eq(&first, &generic));
    }

    #[test]
    fn it_is_bounded_by_bytes_and_keeps_no_large_text() {
        let cache = Cache::new(64 << 10);
        let (scope, limits) = (Scope::unknown(), Limits::default());
        for at in 0..2_000 {
            let _ = cache.read(&format!("SELECT {at}"), Dialect::Postgres, &scope, &limits);
        }
        assert!(cache.len() < 200, "{} kept", cache.len());
        let before = cache.len();
        let large = format!("SELECT '{}'", "x".repeat(LARGEST));
        let _ = cache.read(&large, Dialect::Postgres, &scope, &limits);
        assert_eq!(cache.len(), before);
    }
}
