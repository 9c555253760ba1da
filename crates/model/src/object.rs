//! What an operation acts on (DESIGN 2, "The shared command model").

use crate::name::{Name, Part, QualifiedName};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What kind of relation a `table` object is. A pattern `table P` matches every kind; `view P` and
/// `materialized view P` only theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelationKind {
    /// An ordinary, partitioned or foreign table, a toast table, or a relation whose kind is not known.
    Table,
    /// A view.
    View,
    /// A materialised view.
    MaterializedView,
}

/// The kind of an object that has no noun of its own in the command model. Printed in lower case, as written in a
/// pattern: `index public.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the SQL noun of the same name")]
pub enum ItemKind {
    AccessMethod,
    Aggregate,
    Cast,
    Collation,
    Constraint,
    Conversion,
    Domain,
    EventTrigger,
    Extension,
    ForeignDataWrapper,
    Index,
    Language,
    LargeObject,
    Operator,
    OperatorClass,
    OperatorFamily,
    Policy,
    Publication,
    Rule,
    Sequence,
    Server,
    Statistics,
    Subscription,
    Tablespace,
    TextSearch,
    Transform,
    Trigger,
    Type,
    UserMapping,
}

impl ItemKind {
    /// Every kind, in the order of the names.
    pub const ALL: &'static [Self] = &[
        Self::AccessMethod,
        Self::Aggregate,
        Self::Cast,
        Self::Collation,
        Self::Constraint,
        Self::Conversion,
        Self::Domain,
        Self::EventTrigger,
        Self::Extension,
        Self::ForeignDataWrapper,
        Self::Index,
        Self::Language,
        Self::LargeObject,
        Self::Operator,
        Self::OperatorClass,
        Self::OperatorFamily,
        Self::Policy,
        Self::Publication,
        Self::Rule,
        Self::Sequence,
        Self::Server,
        Self::Statistics,
        Self::Subscription,
        Self::Tablespace,
        Self::TextSearch,
        Self::Transform,
        Self::Trigger,
        Self::Type,
        Self::UserMapping,
    ];

    /// Whether it lives in a schema, itself or with the relation that it hangs on, and is named within it.
    #[must_use]
    pub const fn is_in_schema(self) -> bool {
        match self {
            Self::AccessMethod
            | Self::Cast
            | Self::EventTrigger
            | Self::Extension
            | Self::ForeignDataWrapper
            | Self::Language
            | Self::LargeObject
            | Self::Publication
            | Self::Server
            | Self::Subscription
            | Self::Tablespace
            | Self::Transform
            | Self::UserMapping => false,
            Self::Aggregate
            | Self::Collation
            | Self::Constraint
            | Self::Conversion
            | Self::Domain
            | Self::Index
            | Self::Operator
            | Self::OperatorClass
            | Self::OperatorFamily
            | Self::Policy
            | Self::Rule
            | Self::Sequence
            | Self::Statistics
            | Self::TextSearch
            | Self::Trigger
            | Self::Type => true,
        }
    }

    /// The noun as written in patterns and printed in records.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::AccessMethod => "access method",
            Self::Aggregate => "aggregate",
            Self::Cast => "cast",
            Self::Collation => "collation",
            Self::Constraint => "constraint",
            Self::Conversion => "conversion",
            Self::Domain => "domain",
            Self::EventTrigger => "event trigger",
            Self::Extension => "extension",
            Self::ForeignDataWrapper => "foreign data wrapper",
            Self::Index => "index",
            Self::Language => "language",
            Self::LargeObject => "large object",
            Self::Operator => "operator",
            Self::OperatorClass => "operator class",
            Self::OperatorFamily => "operator family",
            Self::Policy => "policy",
            Self::Publication => "publication",
            Self::Rule => "rule",
            Self::Sequence => "sequence",
            Self::Server => "server",
            Self::Statistics => "statistics",
            Self::Subscription => "subscription",
            Self::Tablespace => "tablespace",
            Self::TextSearch => "text search",
            Self::Transform => "transform",
            Self::Trigger => "trigger",
            Self::Type => "type",
            Self::UserMapping => "user mapping",
        }
    }
}

/// How a session was opened: the object of `connect session TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionKind {
    /// A database session.
    Sql,
    /// An HTTP connection.
    Http,
    /// One command over SSH.
    Exec,
    /// An interactive session judged line by line.
    Guarded,
    /// A raw interactive session.
    Shell,
    /// A file transfer session.
    Sftp,
}

impl SessionKind {
    /// The word used in patterns.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::Http => "http",
            Self::Exec => "exec",
            Self::Guarded => "guarded",
            Self::Shell => "shell",
            Self::Sftp => "sftp",
        }
    }
}

/// What an operation acts on. Its `Display` is the form that patterns are written in and that records and messages
/// show: `table public.orders`, `function pg_catalog.pg_sleep`, `setting work_mem`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Object {
    /// A relation that can be read from or written to.
    Relation {
        /// Schema and name.
        name: QualifiedName,
        /// Table, view or materialised view.
        kind: RelationKind,
    },
    /// A function, procedure or aggregate.
    Function(QualifiedName),
    /// A schema.
    Schema(Part),
    /// A role of the target system.
    Role(Part),
    /// A setting of the target system or of the session; environment variables too.
    Setting(Part),
    /// A database.
    Database(Part),
    /// A notification channel.
    Channel(Part),
    /// A program, with its subcommand words where it has them.
    Program {
        /// The program's name.
        name: Part,
        /// Its subcommand, as in `git push`.
        subcommand: Option<Name>,
    },
    /// A file, by canonical absolute path (or `~/…` of the target login).
    File(Part),
    /// A host and port.
    Host(Part),
    /// An address and port at which the target takes connections for a client.
    Listener(Part),
    /// An HTTP method and canonical path.
    Endpoint {
        /// Upper case.
        method: Name,
        /// Canonical.
        path: Name,
    },
    /// A model.
    Model(Part),
    /// A tool.
    Tool(Part),
    /// An SSH subsystem.
    Subsystem(Part),
    /// A kind of session.
    Session(SessionKind),
    /// An object of the target system without a noun of its own in the model.
    Item {
        /// What it is.
        kind: ItemKind,
        /// Its name; the schema is `?` for objects that live in none.
        name: QualifiedName,
    },
    /// Not determined: it could be any object.
    Unknown,
}

impl Object {
    /// The relation `schema.name`, of the kind.
    #[must_use]
    pub const fn relation(name: QualifiedName, kind: RelationKind) -> Self {
        Self::Relation { name, kind }
    }

    /// Whether its name is wholly known: nothing of it is missing. Several objects may still bear one name: the functions
    /// that take different arguments, the triggers of two tables of a schema.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        match self {
            Self::Relation { name, .. } | Self::Function(name) => name.schema.is_known() && name.name.is_known(),
            Self::Item { kind, name } => name.name.is_known() && (name.schema.is_known() || !kind.is_in_schema()),
            Self::Schema(part)
            | Self::Role(part)
            | Self::Setting(part)
            | Self::Database(part)
            | Self::Channel(part)
            | Self::File(part)
            | Self::Host(part)
            | Self::Listener(part)
            | Self::Model(part)
            | Self::Tool(part)
            | Self::Subsystem(part)
            | Self::Program { name: part, .. } => part.is_known(),
            Self::Endpoint { .. } | Self::Session(_) => true,
            Self::Unknown => false,
        }
    }

    /// The noun that starts the printed form.
    #[must_use]
    pub const fn noun(&self) -> &'static str {
        match self {
            Self::Relation { kind: RelationKind::Table, .. } => "table",
            Self::Relation { kind: RelationKind::View, .. } => "view",
            Self::Relation { kind: RelationKind::MaterializedView, .. } => "materialized view",
            Self::Function(_) => "function",
            Self::Schema(_) => "schema",
            Self::Role(_) => "role",
            Self::Setting(_) => "setting",
            Self::Database(_) => "database",
            Self::Channel(_) => "channel",
            Self::Program { .. } => "program",
            Self::File(_) => "file",
            Self::Host(_) => "host",
            Self::Listener(_) => "listener",
            Self::Endpoint { .. } => "endpoint",
            Self::Model(_) => "model",
            Self::Tool(_) => "tool",
            Self::Subsystem(_) => "subsystem",
            Self::Session(_) => "session",
            Self::Item { kind, .. } => kind.noun(),
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = self.noun();
        match self {
            Self::Relation { name, .. } | Self::Function(name) => write!(f, "{noun} {name}"),
            Self::Item { name: QualifiedName { schema: Part::Unknown, name }, .. } => write!(f, "{noun} {name}"),
            Self::Item { name, .. } => write!(f, "{noun} {name}"),
            Self::Schema(part)
            | Self::Role(part)
            | Self::Setting(part)
            | Self::Database(part)
            | Self::Channel(part)
            | Self::Model(part)
            | Self::Tool(part)
            | Self::Subsystem(part) => write!(f, "{noun} {part}"),
            Self::File(part) | Self::Host(part) | Self::Listener(part) => {
                write!(f, "{noun} {}", part.as_str().unwrap_or("?"))
            }
            Self::Program { name, subcommand } => {
                write!(f, "{noun} {}", name.as_str().unwrap_or("?"))?;
                subcommand.as_ref().map_or(Ok(()), |word| write!(f, " {word}"))
            }
            Self::Endpoint { method, path } => write!(f, "{noun} {method} {path}"),
            Self::Session(kind) => write!(f, "{noun} {}", kind.word()),
            Self::Unknown => f.write_str(noun),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_its_schema_is_known_only_where_there_is_none() {
        for kind in ItemKind::ALL.iter().copied() {
            let known = |name| Object::Item { kind, name }.is_known();
            assert!(known(QualifiedName::new("public", "x")), "{kind:?}");
            assert!(!known(QualifiedName::anything_in("public")) && !known(QualifiedName::unknown()), "{kind:?}");
            assert_eq!(known(QualifiedName::unresolved("x")), !kind.is_in_schema(), "{kind:?}");
        }
        for (expected, kind) in [
            (false, ItemKind::Extension),
            (false, ItemKind::UserMapping),
            (true, ItemKind::Statistics),
            (true, ItemKind::Policy),
        ] {
            assert_eq!(kind.is_in_schema(), expected, "{kind:?}");
        }
    }
}
