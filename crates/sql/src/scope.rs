//! What names mean at the moment a text is read, and how much text is accepted.
//!
//! A [`Scope`] is a snapshot: the protocol keeps it true (search path, temporary relations, DDL in the open
//! transaction) and hands it to every reading. Promises: a scope that knows less makes a reading say `?`, never a guess.
//! Does not promise to follow a session: the effects in a reading say what to change.
//! Held by: `tests/it/scopes.rs`.

use portcullis_model::{Catalogue, Name};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// How much text a reader accepts. What is beyond a limit is a fault, before anything was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Bytes of one text. 1 MiB.
    pub statement_bytes: usize,
    /// Tokens of one text. 400,000.
    pub tokens: usize,
    /// Openers of nested comments. 64.
    pub comment_nesting: usize,
    /// Objects that an operation on a container is enumerated to. 1000.
    pub enumeration: usize,
    /// Whoever runs the text is known to have `standard_conforming_strings` on, so that `LIKE x ESCAPE '\'` is one
    /// thing. Not so by default: of a text in a shell line nobody knows.
    pub pinned_strings: bool,
}

impl Limits {
    /// The same, for texts of a session in which `standard_conforming_strings` is pinned.
    #[must_use]
    pub const fn pinned(self) -> Self {
        Self { pinned_strings: true, ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            statement_bytes: 1 << 20,
            tokens: 400_000,
            comment_nesting: 64,
            enumeration: 1000,
            pinned_strings: false,
        }
    }
}

/// The schemas that an unqualified name is looked up in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SearchPath {
    /// These, in this order, without the implicit `pg_temp` and `pg_catalog`.
    Known(Arc<[Name]>),
    /// Not known: an unqualified name may be in any schema.
    Unknown,
}

/// What names mean at this moment.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The database's objects.
    pub catalogue: Arc<Catalogue>,
    /// Where unqualified names are looked up.
    pub search_path: SearchPath,
    /// Relations that this session made in `pg_temp`.
    pub temporary: Arc<BTreeSet<Name>>,
    /// DDL ran in the open transaction: a name absent from the catalogue resolves to schema `?` instead of being missing.
    pub uncertain: bool,
    /// The current user: `$user` in a search path.
    pub user: Option<Name>,
    /// For reading without a database: an unqualified name that is not known resolves to this schema.
    pub assume: Option<Name>,
}

impl Scope {
    /// Knows nothing: every unqualified name is in schema `?`.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            catalogue: Arc::new(Catalogue::unknown()),
            search_path: SearchPath::Unknown,
            temporary: Arc::new(BTreeSet::new()),
            uncertain: true,
            user: None,
            assume: None,
        }
    }

    /// For reading without a database, as `policy test` and `policy explain` do: names not qualified are in `schema`.
    #[must_use]
    pub fn assuming(schema: Name) -> Self {
        Self { search_path: SearchPath::Known(Arc::new([schema.clone()])), assume: Some(schema), ..Self::unknown() }
    }

    /// The path that a list as written in SET makes: `$user` replaced, or left out where the user is not known or has
    /// no schema, and schemas that do not exist left out, as the server does. Where it names the schema of temporary
    /// objects, it says where new ones go and what is found before them, which is not followed.
    #[must_use]
    pub fn effective_path(&self, written: &[Name]) -> SearchPath {
        if written.iter().any(|name| is_temporary(name.as_str())) {
            return SearchPath::Unknown;
        }
        let (mut path, mut listed) = (Vec::with_capacity(written.len()), HashSet::new());
        for name in written {
            let name = match (name.as_str(), &self.user) {
                ("$user", Some(user)) => user,
                // The schema of a user not known could be any.
                ("$user", None) => return SearchPath::Unknown,
                _ => name,
            };
            let exists = !self.catalogue.is_known() || self.uncertain || self.catalogue.has_schema(name.as_str());
            if exists && listed.insert(name) {
                path.push(name.clone());
            }
        }
        SearchPath::Known(path.into())
    }
}

/// Whether a schema is one of temporary objects, by the name that each session has for its own or by its own name.
pub(crate) fn is_temporary(schema: &str) -> bool {
    schema == "pg_temp" || schema.starts_with("pg_temp_")
}
