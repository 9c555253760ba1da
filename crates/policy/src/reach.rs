//! Statements inside other commands, judged by the bundles of the database that they can reach (DESIGN 3).
//!
//! Promises: an operation that reaches a database is also judged by the denies and holds, for this principal, of every
//! bundle about a database connection that it may go to; a hold of theirs holds back and permits nothing. Reading a column
//! that one of their masks may name is refused, since nothing masks what a program on another machine prints, unless the
//! mask exempts the principal. Of a connection only this rules it out: another database's name, where both are known, or
//! another IP address, where neither is a loopback one. Names of hosts and ports do not: a name may be an alias, and a
//! port a pooler. Where the connections are not known ([`PolicySet::with_connections`]), every bundle counts.
//! Does not promise to follow views: there is no catalogue here, so a column is protected under the names that a mask has.
//! Held by: `reach/tests.rs`, and `fixtures/shell/reach.tsv` for what shell lines say.

use crate::bundle::Bundle;
use crate::mask::Mask;
use crate::set::PolicySet;
use portcullis_model::{
    Action, Columns, Connection, Misuse, Object, Operation, Principal, Protocol, QualifiedName, Reach, Reason,
};
use std::net::IpAddr;
use std::sync::Arc;

impl PolicySet {
    /// The same, knowing which databases there are: one entry for each database of a connection, and whatever is no
    /// database connection is left out.
    #[must_use]
    pub fn with_connections(mut self, connections: impl IntoIterator<Item = Connection>) -> Self {
        let databases = connections.into_iter().filter(|one| one.protocol == Protocol::Postgres);
        self.databases = Some(databases.collect());
        self
    }

    /// The bundles of the databases that may be meant.
    pub(crate) fn reached<'a>(&'a self, reach: &Reach) -> impl Iterator<Item = &'a Bundle> {
        self.bundles.iter().filter(move |bundle| match &self.databases {
            None => true,
            Some(all) => all.iter().any(|one| bundle.scope.on(one) && may_be(reach, one)),
        })
    }

    /// The first read of a column that is masked where it goes, as a reason to refuse it.
    pub(crate) fn unmasked(&self, operations: &[Operation], principal: &Principal) -> Option<Reason> {
        operations.iter().find_map(|operation| {
            let masks = self.reached(operation.reaches.as_deref()?).flat_map(|bundle| &bundle.masks);
            let mut binding = masks.filter(|mask| !mask.exempts(principal));
            binding.find_map(|mask| protects(mask, operation))
        })
    }
}

fn protects(mask: &Arc<Mask>, operation: &Operation) -> Option<Reason> {
    let (Action::Read, Object::Relation { name, .. }) = (operation.action, &operation.object) else { return None };
    let named = |column: Option<&str>| mask.may_name(name, column).then(|| shown(name, column));
    let column = match &operation.columns {
        Columns::None => None,
        Columns::Unknown => named(None),
        Columns::Named(names) => names.iter().find_map(|column| named(Some(column.as_str()))),
    }?;
    Some(Reason::Protected { rule: mask.id.clone(), column: column.into(), misuse: Misuse::Unproven })
}

fn shown(name: &QualifiedName, column: Option<&str>) -> String {
    format!("{name}.{}", column.unwrap_or("*"))
}

fn may_be(reach: &Reach, connection: &Connection) -> bool {
    let other_database = match (&reach.database, &connection.database) {
        (Some(reached), Some(configured)) => reached != configured,
        (None, _) | (_, None) => false,
    };
    let address = |text: &str| {
        let text = text.trim_start_matches('[').trim_end_matches(']');
        text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
    };
    let configured = connection.address.rsplit_once(':').map_or(&*connection.address, |(host, _)| host);
    let other_server = match (reach.host.as_deref().and_then(address), address(configured)) {
        (Some(reached), Some(configured)) => reached != configured,
        (None, _) | (_, None) => false,
    };
    !other_database && !other_server
}

#[cfg(test)]
mod tests;
