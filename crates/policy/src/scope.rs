//! `applies_to`: the connections and principals that a bundle is about.
//!
//! Promises: a key that is absent limits nothing. `connections` are globs over connection names. Of `principals`, each
//! kind listed must match, by any of its values: the user is one of `users`, at least one group is among `groups`, and
//! for every claim named at least one of its values is listed. Values are exact: a `*` in them is refused, so that no one
//! mistakes a group list for a pattern.
//! Held by: `decide/tests.rs` (who a rule binds) and the table of bad bundles in `set/tests.rs`.

use crate::glob::{Glob, Quoting, Segment, alternatives};
use crate::source::{Fields, Reader, Text, join};
use crate::yaml::{Node, Value};
use portcullis_model::{Connection, Principal};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Whom and what a bundle is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// As written, for comparing sets.
    pub(crate) connections: Option<BTreeSet<Arc<str>>>,
    pub(crate) principals: Who,
    globs: Vec<Glob>,
}

/// A list of principals: `principals:` and `as:` and `unless:` of a mask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Who {
    pub(crate) users: Option<BTreeSet<Arc<str>>>,
    pub(crate) groups: Option<BTreeSet<Arc<str>>>,
    pub(crate) claims: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl Scope {
    /// Whether the bundle is about this principal on this connection.
    pub(crate) fn applies(&self, principal: &Principal, connection: &Connection) -> bool {
        self.on(connection) && self.principals.matches(principal)
    }

    /// Whether the bundle is about this connection.
    pub(crate) fn on(&self, connection: &Connection) -> bool {
        self.connections.is_none() || self.globs.iter().any(|glob| glob.matches(connection.name.as_str()))
    }

    /// Whether some connection may be of both; true where it cannot be told.
    pub(crate) fn may_share_a_connection(&self, other: &Self) -> bool {
        let everywhere = self.connections.is_none() || other.connections.is_none();
        everywhere || self.globs.iter().any(|mine| other.globs.iter().any(|theirs| mine.may_meet(theirs)))
    }

    /// Reads `applies_to`.
    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node, path: &str) -> Self {
        let Some(fields) = reader.fields(node, path, &["connections", "principals"]) else { return Self::default() };
        let mut scope = Self::default();
        if let Some(entry) = fields.get("connections") {
            let texts = reader.texts(&entry.value, &fields.path_of("connections"));
            let mut written = BTreeSet::new();
            for (nth, text) in texts.into_iter().enumerate() {
                written.insert(Arc::from(text.text));
                match globs(text.text) {
                    Ok(globs) => scope.globs.extend(globs),
                    Err(message) => reader.error(text.at, &format!("{path}.connections[{nth}]"), message),
                }
            }
            scope.connections = Some(written);
        }
        if let Some(entry) = fields.get("principals") {
            scope.principals = Who::read(reader, &entry.value, &fields.path_of("principals"));
        }
        scope
    }
}

fn globs(text: &str) -> Result<Vec<Glob>, String> {
    if text.contains(char::is_whitespace) {
        return Err(format!("`{text}` is not the name of a connection"));
    }
    let all = alternatives(text, Quoting::Backslash)?;
    all.iter().map(|tokens| Ok(Segment::of(tokens)?.into_glob())).collect()
}

impl Who {
    /// Whether each kind listed matches, by any of its values.
    pub(crate) fn matches(&self, principal: &Principal) -> bool {
        let user = self.users.as_ref().is_none_or(|users| users.contains(&principal.user));
        let group = self.groups.as_ref().is_none_or(|groups| !groups.is_disjoint(&principal.groups));
        user && group
            && self
                .claims
                .iter()
                .all(|(claim, values)| principal.claims.get(claim).is_some_and(|found| !found.is_disjoint(values)))
    }

    /// Whether everybody whom `other` names is certainly named here.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let within = |mine: Option<&BTreeSet<_>>, theirs: Option<&BTreeSet<_>>| {
            mine.is_none_or(|mine| theirs.is_some_and(|theirs| theirs.is_subset(mine)))
        };
        within(self.users.as_ref(), other.users.as_ref())
            && within(self.groups.as_ref(), other.groups.as_ref())
            && self.claims.iter().all(|(claim, values)| within(Some(values), other.claims.get(claim)))
    }

    /// Reads a mapping of `users`, `groups` and `claims`, at least one of them.
    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node, path: &str) -> Self {
        let Some(fields) = reader.fields(node, path, &["users", "groups", "claims"]) else { return Self::default() };
        if ["users", "groups", "claims"].iter().all(|key| fields.get(key).is_none()) {
            reader.error(node.at, path, "nobody is listed: name `users`, `groups` or `claims`");
        }
        let users = names(reader, &fields, "users");
        let groups = names(reader, &fields, "groups");
        let claims = fields
            .get("claims")
            .map_or_else(BTreeMap::new, |entry| claims(reader, &entry.value, &fields.path_of("claims")));
        Self { users, groups, claims }
    }

    /// How a person would name them.
    pub(crate) fn describe(&self) -> String {
        let join = |values: &BTreeSet<Arc<str>>| values.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(" or ");
        let mut kinds = Vec::new();
        if let Some(users) = &self.users {
            kinds.push(format!("user {}", join(users)));
        }
        if let Some(groups) = &self.groups {
            kinds.push(format!("group {}", join(groups)));
        }
        kinds.extend(self.claims.iter().map(|(claim, values)| format!("claim {claim} {}", join(values))));
        if kinds.is_empty() { "everybody".to_owned() } else { kinds.join(", ") }
    }
}

/// The exact names under this key.
pub(crate) fn names(reader: &mut Reader<'_>, fields: &Fields<'_>, key: &str) -> Option<BTreeSet<Arc<str>>> {
    let entry = fields.get(key)?;
    let path = fields.path_of(key);
    let texts = reader.texts(&entry.value, &path);
    Some(texts.into_iter().filter_map(|text| exact(reader, text, &path)).collect())
}

fn exact(reader: &mut Reader<'_>, text: Text<'_>, path: &str) -> Option<Arc<str>> {
    if text.text.contains(['*', '{']) {
        let help = Some("list the names one by one; only connections and objects take patterns".to_owned());
        reader.error_with(text.at, path, format!("`{}` is a pattern, and here names are exact", text.text), help);
        return None;
    }
    Some(text.text.into())
}

/// Claims: each a value or a list of values.
pub(crate) fn claims(reader: &mut Reader<'_>, node: &Node, path: &str) -> BTreeMap<Arc<str>, BTreeSet<Arc<str>>> {
    let Value::Map(entries) = &node.value else {
        let help = Some("write `{ team: payments }`".to_owned());
        reader.error_with(node.at, path, format!("expected a mapping, found {}", node.value.kind()), help);
        return BTreeMap::new();
    };
    if entries.is_empty() {
        reader.error(node.at, path, "no claim is listed: leave the key out if it is not meant to limit anything");
    }
    let mut out = BTreeMap::new();
    for entry in entries {
        let path = join(path, &entry.key);
        let texts = match &entry.value.value {
            Value::Scalar { .. } => reader.text(&entry.value, &path).into_iter().collect(),
            Value::List(_) | Value::Map(_) => reader.texts(&entry.value, &path),
        };
        let values = texts.into_iter().filter_map(|text| exact(reader, text, &path)).collect();
        out.insert(Arc::from(entry.key.as_str()), values);
    }
    out
}
