//! What a dialect's system does, out of the data files: how it folds names, what its literals and comments look like,
//! which functions are pure and which statements only describe.

use crate::Dialect;
use sqlparser::dialect as grammars;
use std::collections::HashSet;
use std::sync::LazyLock;

pub(super) const DIALECTS: &str = include_str!("../../data/dialects.tsv");
pub(super) const FUNCTIONS: &str = include_str!("../../data/dialect_functions.tsv");
pub(super) const STATEMENTS: &str = include_str!("../../data/dialect_statements.tsv");

/// The rows of a table, split at tabs; lines that start with `# ` are its head.
pub(super) fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")).map(|line| line.split('\t').collect())
}

fn pairs(table: &'static str) -> HashSet<(&'static str, &'static str)> {
    rows(table).filter_map(|row| Some((*row.first()?, *row.get(1)?))).collect()
}

static PURE: LazyLock<HashSet<(&'static str, &'static str)>> = LazyLock::new(|| pairs(FUNCTIONS));
static DESCRIBING: LazyLock<HashSet<(&'static str, &'static str)>> = LazyLock::new(|| pairs(STATEMENTS));

/// How a name compares with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    Lower,
    Upper,
    Keep,
}

impl Fold {
    /// A word that is not in the table keeps names apart, so nothing is taken for something else.
    fn of(word: &str) -> Self {
        match word {
            "lower" => Self::Lower,
            "upper" => Self::Upper,
            _ => Self::Keep,
        }
    }

    pub(super) fn apply(self, name: &str) -> String {
        match self {
            Self::Lower => name.to_lowercase(),
            Self::Upper => name.to_uppercase(),
            Self::Keep => name.to_owned(),
        }
    }
}

/// The facts of one dialect.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) dialect: Dialect,
    pub(super) word: &'static str,
    pub(super) unquoted: Fold,
    pub(super) quoted: Fold,
    /// Whether a backslash escapes in a plain literal; `None` where the system is not known.
    pub(super) backslash: Option<bool>,
    /// What starts a comment up to the line's end.
    pub(super) comments: &'static str,
    /// Kinds of literals beside the plain ones.
    pub(super) strings: &'static str,
}

const fn word(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::MySql => "mysql",
        Dialect::Sqlite => "sqlite",
        Dialect::ClickHouse => "clickhouse",
        Dialect::Snowflake => "snowflake",
        Dialect::BigQuery => "bigquery",
        Dialect::MsSql => "mssql",
        // PostgreSQL text is read by its own grammar and never comes here; read so it would be `unknown` soon enough.
        Dialect::Generic | Dialect::Postgres => "generic",
    }
}

impl Facts {
    pub(super) fn of(dialect: Dialect) -> Self {
        let word = word(dialect);
        let row = rows(DIALECTS).find(|row| row.first() == Some(&word)).unwrap_or_default();
        let column = |nth: usize| row.get(nth).copied().unwrap_or_default();
        Self {
            dialect,
            word,
            unquoted: Fold::of(column(1)),
            quoted: Fold::of(column(2)),
            backslash: match column(3) {
                "yes" => Some(true),
                "no" => Some(false),
                _ => None,
            },
            comments: column(4),
            strings: column(5),
        }
    }

    /// Whether `kind` is among the words of a column of the table.
    pub(super) fn lists(column: &'static str, kind: &str) -> bool {
        column.split(' ').any(|word| word == kind)
    }

    pub(super) fn grammar(&self) -> &'static dyn grammars::Dialect {
        match self.dialect {
            Dialect::MySql => &grammars::MySqlDialect {},
            Dialect::Sqlite => &grammars::SQLiteDialect {},
            Dialect::ClickHouse => &grammars::ClickHouseDialect {},
            Dialect::Snowflake => &grammars::SnowflakeDialect,
            Dialect::BigQuery => &grammars::BigQueryDialect {},
            Dialect::MsSql => &grammars::MsSqlDialect {},
            Dialect::Generic | Dialect::Postgres => &grammars::GenericDialect {},
        }
    }

    /// Whether an unqualified function of this name has no side effect.
    pub(super) fn is_pure(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        PURE.contains(&("*", name.as_str())) || PURE.contains(&(self.word, name.as_str()))
    }

    /// Whether a statement that starts with these words only describes.
    pub(super) fn describes(&self, words: &str) -> bool {
        DESCRIBING.contains(&(self.word, words.to_ascii_lowercase().as_str()))
    }
}
