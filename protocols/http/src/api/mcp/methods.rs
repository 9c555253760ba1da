//! The methods of the protocol, as `data/mcp.yaml` has them.
//!
//! Promises: a method without a row is none; a table that cannot be read has no rows, so nothing passes.
//! Held by: the ledger test below.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const SOURCE: &str = include_str!("../../../data/mcp.yaml");

/// The first version without sessions: what each request needs is in the request.
pub(super) const STATELESS: &str = "2026-07-28";

/// Who may say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum From {
    Client,
    Server,
}

/// Whether it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Says {
    Request,
    Notification,
}

/// What it is to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Is {
    Session,
    Tools,
    Tool,
    Endpoint,
}

/// One method.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) says: Says,
    pub(super) is: Is,
    since: String,
    until: Option<String>,
    params: Vec<String>,
    /// The member of `params` that names what it is about.
    pub(super) name: Option<String>,
    /// Whether the header Mcp-Name must be there where headers must be.
    pub(super) header: bool,
}

impl Row {
    /// Whether this version has it. Versions are dates, so their order is that of their text.
    pub(super) fn is_in(&self, version: &str) -> bool {
        self.since.as_str() <= version && self.until.as_deref().is_none_or(|until| version <= until)
    }

    /// Whether `params` may have this member.
    pub(super) fn takes(&self, member: &str) -> bool {
        self.params.iter().any(|known| known == member)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTable {
    versions: String,
    methods: Vec<RawRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
    method: String,
    from: From,
    says: Says,
    is: Is,
    since: String,
    until: Option<String>,
    params: String,
    name: Option<String>,
    header: Option<bool>,
    source: String,
}

#[derive(Default)]
struct Table {
    versions: Vec<String>,
    rows: BTreeMap<(From, String), Row>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| load().unwrap_or_default());

fn load() -> Result<Table, String> {
    let raw: RawTable = marked_yaml::from_yaml(0, SOURCE).map_err(|error| error.to_string())?;
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut rows = BTreeMap::new();
    for raw in raw.methods {
        if !raw.source.contains("schema/") {
            return Err(format!("{} has no source", raw.method));
        }
        let row = Row {
            says: raw.says,
            is: raw.is,
            since: raw.since,
            until: raw.until,
            params: words(&raw.params),
            name: raw.name,
            header: raw.header.unwrap_or(false),
        };
        let key = (raw.from, raw.method);
        if rows.contains_key(&key) {
            return Err(format!("{} has two rows", key.1));
        }
        rows.insert(key, row);
    }
    Ok(Table { versions: words(&raw.versions), rows })
}

/// The row of a method.
pub(super) fn row(from: From, method: &str) -> Option<&'static Row> {
    TABLE.rows.get(&(from, method.to_owned()))
}

/// The versions, oldest first.
pub(super) fn versions() -> &'static [String] {
    &TABLE.versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_whole_and_of_known_versions() {
        let table = load().unwrap_or_else(|error| panic!("{error}"));
        assert!(table.rows.len() > 20 && table.versions.is_sorted());
        assert_eq!(table.versions.last().unwrap(), STATELESS);
        for ((from, method), row) in &table.rows {
            assert!(table.versions.contains(&row.since), "{method}");
            assert!(row.until.as_ref().is_none_or(|until| table.versions.contains(until)), "{method}");
            assert_eq!(row.says == Says::Notification, method.starts_with("notifications/"), "{method}");
            assert_eq!(matches!(row.is, Is::Tool | Is::Endpoint), row.name.is_some(), "{method}");
            assert!(row.name.as_ref().is_none_or(|name| row.takes(name)), "{method}");
            assert!(*from == From::Client || row.is == Is::Session, "{method}");
        }
    }

    #[test]
    fn what_a_server_would_ask_of_a_client_has_no_row() {
        for method in ["sampling/createMessage", "elicitation/create", "roots/list", "tasks/get", "tasks/result"] {
            assert!(row(From::Server, method).is_none() && row(From::Client, method).is_none());
        }
        assert!(!row(From::Client, "initialize").unwrap().is_in(STATELESS));
        assert!(row(From::Client, "tools/call").unwrap().is_in("2024-11-05"));
    }
}
