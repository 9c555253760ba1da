//! What PostgreSQL itself brings: functions, catalogue relations, settings, types and operators, each classed by what a
//! use of it amounts to.
//!
//! Every fact is a row of `data/*.tsv`, read once; a row names its source in the head of its file. This module only
//! looks names up. Names are canonical, as the server spells them in its catalogues (`int4`, not `integer`); only
//! settings fold, since the server compares their names without regard to case.
//!
//! Promises: a name that has no row, and a row that does not parse, is never pure, never harmless: functions answer
//! `None`, relations [`CatalogueRelation::Unknown`], settings [`SettingClass::Other`]. All overloads of a function name
//! are classed as the worst of them. Does not promise anything about a user's object of the same name: whoever resolves
//! names decides whether a name is the built-in one.
//! Held by: the ledger tests in `builtins/tests.rs`, which compare the tables with the names of real servers 14 to 18.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::LazyLock;

#[cfg(test)]
mod tests;

const FUNCTIONS: &str = include_str!("../data/functions.tsv");
const RELATIONS: &str = include_str!("../data/catalogue_relations.tsv");
const SETTINGS: &str = include_str!("../data/settings.tsv");
const TYPES: &str = include_str!("../data/types.tsv");
const OPERATORS: &str = include_str!("../data/operators.tsv");
const FLOWS: &str = include_str!("../data/function_flows.tsv");
const SIGHTS: &str = include_str!("../data/function_sights.tsv");

/// What a call of a built-in function amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FunctionClass {
    /// No side effect, no SQL in a string, no file or state of the server: needs no rule.
    Pure,
    /// Reads a relation, sequence, setting, large object or type that is named at run time.
    ReadsByName,
    /// Runs SQL that stands in a string or a cursor.
    RunsSql,
    /// Reads, lists or writes files of the server.
    ServerFiles,
    /// Changes something, waits, takes locks, or is called by the server alone.
    ChangesState,
    /// Shows other sessions, statistics, or the inside of the server.
    Sensitive,
}

impl FunctionClass {
    fn of(word: &str) -> Option<Self> {
        match word {
            "pure" => Some(Self::Pure),
            "reads-by-name" => Some(Self::ReadsByName),
            "runs-sql" => Some(Self::RunsSql),
            "server-files" => Some(Self::ServerFiles),
            "changes-state" => Some(Self::ChangesState),
            "sensitive" => Some(Self::Sensitive),
            _ => None,
        }
    }
}

/// What flows into the result of a built-in function besides what its class tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResultFlow {
    /// What flows into its arguments, and nothing else.
    Given,
    /// What others stored.
    Stored,
}

/// The arguments whose values never decide whether a call raises an error, for constant others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Safe(u32);

impl Safe {
    fn of(word: &str) -> Option<Self> {
        match word {
            "-" => Some(Self(0)),
            "*" => Some(Self(u32::MAX)),
            "even" => Some(Self(0xAAAA_AAAA)),
            _ => {
                let (number, on) = word.strip_suffix('+').map_or((word, false), |number| (number, true));
                let at = number.parse::<u32>().ok()?.checked_sub(1).filter(|at| *at < 31)?;
                Some(Self(if on { u32::MAX << at } else { 1 << at }))
            }
        }
    }

    /// Whether all are.
    #[must_use]
    pub const fn is_all(self) -> bool {
        self.0 == u32::MAX
    }

    /// Whether the argument at this place, from 0, is one of them.
    #[must_use]
    pub fn holds(self, at: usize) -> bool {
        let at = u32::try_from(at).unwrap_or(u32::MAX).min(u32::BITS - 1);
        self.0 & (1 << at) != 0
    }
}

/// The columns of a set that a function returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowShape {
    /// One, called after the call.
    Single,
    /// These, with `,` between.
    Named(&'static str),
    /// Not told.
    Open,
}

impl RowShape {
    fn of(word: &'static str) -> Option<Self> {
        match word {
            "set" => Some(Self::Single),
            "rows" => Some(Self::Open),
            _ => word.strip_prefix("set:").map(Self::Named),
        }
    }
}

/// What flows through a built-in function or operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    /// Where its class does not tell it.
    pub result: Option<ResultFlow>,
    /// The arguments that raise no error.
    pub safe: Safe,
    /// They raise none, of whatever type they are.
    pub any_type: bool,
    /// Set where it returns a set.
    pub rows: Option<RowShape>,
}

/// What a built-in function tells that is not the same for another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sight {
    /// Of the session, its connection or its transaction.
    Session,
    /// When its transaction began.
    Clock,
    /// Random.
    Chance,
}

/// What reading a relation of `pg_catalog` or `information_schema` amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CatalogueRelation {
    /// Clients need it to describe objects, and it holds no data value and no secret: needs no rule.
    Describes,
    /// What the server counts, locks and names, of other sessions too: no value of a column.
    Counts,
    /// It can hold data values or secrets, or shows the inside of the server.
    Sensitive,
    /// Not a relation that servers 14 to 18 have there.
    Unknown,
}

/// What a change of a setting amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SettingClass {
    /// Presentation of values and time limits of the session: needs no rule.
    Presentation,
    /// Decides which objects a bare name means.
    SearchPath,
    /// The gateway reads text by it, so it keeps its value ([`pinned_value_ok`]).
    Pinned,
    /// Every other: `configure setting NAME`.
    Other,
}

/// The columns of each row of a table; lines that start with `#` are its head.
fn rows(table: &'static str) -> impl Iterator<Item = std::str::Split<'static, char>> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")).map(|line| line.split('\t'))
}

/// A table keyed by its first two columns: schema and name.
type BySchema<V> = HashMap<&'static str, HashMap<&'static str, V>>;

fn by_schema<V>(table: &'static str, value: impl Fn(&'static str) -> Option<V>) -> BySchema<V> {
    let mut out: BySchema<V> = HashMap::new();
    for mut row in rows(table) {
        let (Some(schema), Some(name)) = (row.next(), row.next()) else { continue };
        if let Some(value) = value(row.next().unwrap_or_default()) {
            out.entry(schema).or_default().insert(name, value);
        }
    }
    out
}

fn find<V: Copy>(table: &BySchema<V>, schema: &str, name: &str) -> Option<V> {
    table.get(schema)?.get(name).copied()
}

fn firsts<T: Eq + Hash>(table: &'static str, value: impl Fn(&'static str) -> T) -> HashSet<T> {
    rows(table).filter_map(|mut row| row.next()).map(value).collect()
}

static BY_FUNCTION: LazyLock<BySchema<FunctionClass>> = LazyLock::new(|| by_schema(FUNCTIONS, FunctionClass::of));

static BY_RELATION: LazyLock<BySchema<CatalogueRelation>> = LazyLock::new(|| {
    by_schema(RELATIONS, |class| match class {
        "describes" => Some(CatalogueRelation::Describes),
        "counts" => Some(CatalogueRelation::Counts),
        "sensitive" => Some(CatalogueRelation::Sensitive),
        _ => None,
    })
});

static BY_TYPE: LazyLock<BySchema<()>> = LazyLock::new(|| by_schema(TYPES, |_| Some(())));

static OPERATOR_NAMES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| firsts(OPERATORS, |name| name));

static BY_FLOW: LazyLock<HashMap<&'static str, Flows>> = LazyLock::new(|| {
    let result = |word| match word {
        "given" => Some(ResultFlow::Given),
        "stored" => Some(ResultFlow::Stored),
        _ => None,
    };
    let parsed = rows(FLOWS).filter_map(|mut row| {
        let (name, given, safe, rows) = (row.next()?, row.next()?, row.next()?, row.next()?);
        let any_type = row.next()? == "any";
        Some((name, Flows { result: result(given), safe: Safe::of(safe)?, any_type, rows: RowShape::of(rows) }))
    });
    parsed.collect()
});

static BY_SIGHT: LazyLock<HashMap<&'static str, Sight>> = LazyLock::new(|| {
    let sight = |word| match word {
        "session" => Some(Sight::Session),
        "clock" => Some(Sight::Clock),
        "chance" => Some(Sight::Chance),
        _ => None,
    };
    rows(SIGHTS).filter_map(|mut row| Some((row.next()?, sight(row.next()?)?))).collect()
});

static VALUES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    rows(SETTINGS)
        .filter_map(|mut row| Some((row.next()?, row.next()?)))
        .filter(|row| row.1 == "values")
        .map(|row| row.0)
        .collect()
});

static BY_SETTING: LazyLock<HashMap<&'static str, SettingClass>> = LazyLock::new(|| {
    let class = |word| match word {
        "presentation" | "values" => Some(SettingClass::Presentation),
        "search-path" => Some(SettingClass::SearchPath),
        "pinned" => Some(SettingClass::Pinned),
        _ => None,
    };
    rows(SETTINGS).filter_map(|mut row| Some((row.next()?, class(row.next()?)?))).collect()
});

/// The class of the function of this name in `pg_catalog`; `None` where no server 14 to 18 has it.
#[must_use]
pub fn function(name: &str) -> Option<FunctionClass> {
    function_in("pg_catalog", name)
}

/// The class of the function of this schema and name; `None` where it is not a built-in one.
#[must_use]
pub fn function_in(schema: &str, name: &str) -> Option<FunctionClass> {
    find(&BY_FUNCTION, schema, name)
}

/// What flows through the function or operator of this name in `pg_catalog`.
#[must_use]
pub fn flows(name: &str) -> Flows {
    BY_FLOW.get(name).copied().unwrap_or_default()
}

/// What a call of the function of this name in `pg_catalog` tells that is not the same for another session.
#[must_use]
pub fn sight(name: &str) -> Option<Sight> {
    BY_SIGHT.get(name).copied()
}

/// What reading this relation of `pg_catalog` or `information_schema` amounts to.
#[must_use]
pub fn catalogue_relation(schema: &str, name: &str) -> CatalogueRelation {
    find(&BY_RELATION, schema, name).unwrap_or(CatalogueRelation::Unknown)
}

/// What a change of this setting amounts to; the name in any case.
#[must_use]
pub fn setting_class(name: &str) -> SettingClass {
    BY_SETTING.get(name.to_ascii_lowercase().as_str()).copied().unwrap_or(SettingClass::Other)
}

/// Whether a change of this setting leaves what values a statement finds and compares as it was; the name in any case.
#[must_use]
pub fn keeps_values(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    match setting_class(&name) {
        SettingClass::Presentation => !VALUES.contains(name.as_str()),
        // The path is followed, and what is pinned stays.
        SettingClass::SearchPath | SettingClass::Pinned => true,
        SettingClass::Other => false,
    }
}

/// Whether the value of this setting can hold no secret: custom ones may hold anything, and lines that connect to other
/// servers or run commands have passwords in them; the name in any case.
#[must_use]
pub fn may_be_shown(name: &str) -> bool {
    const SECRET: [&str; 6] = [
        "archive_cleanup_command",
        "archive_command",
        "primary_conninfo",
        "recovery_end_command",
        "restore_command",
        "ssl_passphrase_command",
    ];
    !name.contains('.') && !SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

/// Whether setting a [`SettingClass::Pinned`] setting to this value leaves it as the gateway reads text by it. A reset
/// or DEFAULT is not such a value: it goes back to what a role or database may have been given.
#[must_use]
pub fn pinned_value_ok(name: &str, value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    match name.to_ascii_lowercase().as_str() {
        // the server compares names of encodings by their letters and digits only
        "client_encoding" => {
            matches!(value.replace(|c: char| !c.is_ascii_alphanumeric(), "").as_str(), "utf8" | "unicode")
        }
        "standard_conforming_strings" => matches!(value.as_str(), "on" | "true" | "yes" | "1"),
        "backslash_quote" => value == "safe_encoding",
        _ => false,
    }
}

/// Whether `pg_catalog` has a type of this name; row types of its relations do not count.
#[must_use]
pub fn is_builtin_type(name: &str) -> bool {
    is_builtin_type_in("pg_catalog", name)
}

/// Whether this schema has a built-in type of this name: `information_schema` has a few domains.
#[must_use]
pub fn is_builtin_type_in(schema: &str, name: &str) -> bool {
    find(&BY_TYPE, schema, name).is_some()
}

/// Whether `pg_catalog` has an operator of this name; each of them is a pure function.
#[must_use]
pub fn is_builtin_operator(name: &str) -> bool {
    OPERATOR_NAMES.contains(name)
}
