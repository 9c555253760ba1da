//! SQL text to operations: the only user of the SQL parsers.
//!
//! [`read`] turns a text into a [`Reading`]: what each statement would do ([`portcullis_model::Operation`]), where its
//! values come from and go ([`portcullis_model::Lineage`]), what it changes about later text ([`Effect`]), and why it must
//! not be forwarded ([`portcullis_model::Fault`]). PostgreSQL text is read with PostgreSQL's own grammar, other dialects
//! with `sqlparser`.
//!
//! Promises: no statement without an operation; what cannot be read is `unknown`, never a guess; a name is resolved
//! against the [`Scope`] or its schema is `?`; caps before parsing, and deep text never ends the process. Does not
//! promise to know what existing triggers do, nor which rows a condition meets.
//! Held by: `fixtures/sql/*.tsv`, the ledger of grammar nodes (`ledger/nodes.tsv`) and the properties in `tests/it`.

pub mod builtins;
mod cache;
mod dialect;
mod fuzz;
mod lexical;
mod postgres;
mod reading;
mod scope;

pub use cache::Cache;
pub use fuzz::{fuzz_read, fuzz_scope};
pub use lexical::{fuzz_lexical, has_plain_names};
pub use postgres::preview::{Foresight, Mentioned, Question};
pub use postgres::{Unquoted, listed_names};
pub use reading::{
    CopyDirection, CopyFormat, CopyOptions, Effect, ForceQuote, Reading, Savepoints, SearchPathValue, Statement,
};
pub use scope::{Limits, Scope, SearchPath};

/// Whose SQL a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is a product's name")]
pub enum Dialect {
    Postgres,
    MySql,
    Sqlite,
    ClickHouse,
    Snowflake,
    BigQuery,
    MsSql,
    Generic,
}

/// Reads a text. Synchronous; takes a large stack for itself where the caller's is small.
#[must_use]
pub fn read(text: &str, dialect: Dialect, scope: &Scope, limits: &Limits) -> Reading {
    match dialect {
        Dialect::Postgres => postgres::read(text, scope, limits),
        Dialect::MySql
        | Dialect::Sqlite
        | Dialect::ClickHouse
        | Dialect::Snowflake
        | Dialect::BigQuery
        | Dialect::MsSql
        | Dialect::Generic => dialect::read(text, dialect, limits),
    }
}

/// What can be asked of a PostgreSQL database about how many rows this text would write, before it runs. Synchronous; reads
/// the text anew.
#[must_use]
pub fn foresee(text: &str, scope: &Scope, limits: &Limits) -> Foresight {
    postgres::preview::foresee(text, scope, limits)
}

/// Fills in what flows into each column of `contents` that the server computes from others: those of views and
/// materialised views, and generated columns. Definitions are as the server deparses them under an empty search path.
/// A view over a view refers to that one's columns, so nothing is read twice.
pub fn derive(contents: &mut portcullis_model::catalogue::Contents) {
    postgres::derive(contents);
}
