//! The protected sets of masks, closed over a catalogue and shared by the sessions they are the same for.
//!
//! Promises: a set is that of exactly these masks, this catalogue and this policy; where a hash is asked for, it is each
//! principal's own, since who may write a column must not compare hashes of it. Held by: `tests/it/masking.rs`.

use super::side::{paths, transform};
use crate::door::{InForce, Shared};
use portcullis_masking::{Protection, Treatment};
use portcullis_model::catalogue::{Column, Relation};
use portcullis_model::{Catalogue, Connection, Principal, Transform};
use portcullis_policy::{Masks, PolicySet};
use std::sync::Arc;

/// Closed sets that are kept for other sessions.
const KEPT: usize = 64;

/// One closed set, for whom it is.
pub(crate) struct Closed {
    policy: u64,
    connection: Connection,
    catalogue: (bool, u64),
    masks: Masks,
    /// Where a hash depends on who may write the column.
    principal: Option<Principal>,
    protection: Arc<Protection>,
}

/// What the masks ask for one column, if any names it.
fn treatment(
    policy: &PolicySet,
    masks: &Masks,
    principal: Option<&Principal>,
    connection: &Connection,
    relation: &Relation,
    column: &Column,
) -> Option<Treatment> {
    let (schema, table, name) = (relation.schema.as_str(), relation.name.as_str(), column.name.as_str());
    let mut all: Option<Treatment> = None;
    for mask in masks.on_column(schema, table, name) {
        let mut with = transform(mask);
        // Whoever may write the column could find a value by writing guesses and comparing hashes.
        if with == Transform::Hash
            && principal.is_none_or(|principal| policy.may_write(principal, connection, schema, table, name))
        {
            with = Transform::Redact;
        }
        let json = paths(mask).unwrap_or_default();
        let one = Treatment {
            rules: vec![mask.id.clone()],
            whole: (mask.hides_whole_columns() || json.is_empty()).then_some(with),
            json,
            predicates: mask.predicates,
            unproven: mask.unproven,
        };
        match &mut all {
            Some(all) => all.merge(&one),
            None => all = Some(one),
        }
    }
    all
}

fn name_columns(masks: &Masks) -> bool {
    masks.iter().any(|mask| !mask.columns().is_empty())
}

pub(crate) fn close(
    policy: &PolicySet,
    masks: &Masks,
    principal: Option<&Principal>,
    connection: &Connection,
    catalogue: &Catalogue,
) -> Protection {
    let rule = |relation: &Relation, column: &Column| treatment(policy, masks, principal, connection, relation, column);
    if name_columns(masks) { Protection::close(catalogue, &rule) } else { Protection::none() }
}

impl Shared {
    /// The protected set of these masks over this catalogue, from those that are kept or made now.
    pub(super) fn closed(
        &self,
        policy: &InForce,
        masks: &Masks,
        principal: Option<&Principal>,
        connection: &Connection,
        catalogue: &Arc<Catalogue>,
    ) -> Arc<Protection> {
        if !name_columns(masks) {
            return Arc::new(Protection::none());
        }
        let hashes = masks.iter().any(|mask| mask.with == Some(Transform::Hash));
        let principal = principal.filter(|_| hashes);
        let epoch = (catalogue.is_known(), catalogue.epoch());
        let kept = self.protections.load();
        let same = |closed: &&Arc<Closed>| {
            closed.policy == policy.epoch
                && closed.catalogue == epoch
                && closed.connection == *connection
                && closed.masks == *masks
                && closed.principal.as_ref() == principal
        };
        if let Some(closed) = kept.iter().find(same) {
            return Arc::clone(&closed.protection);
        }
        let closed = Arc::new(Closed {
            policy: policy.epoch,
            connection: connection.clone(),
            catalogue: epoch,
            masks: masks.clone(),
            principal: principal.cloned(),
            protection: Arc::new(close(&policy.set, masks, principal, connection, catalogue)),
        });
        self.protections.rcu(|kept| {
            let newest = std::iter::once(&closed).chain(kept.iter().filter(|other| other.policy == policy.epoch));
            newest.take(KEPT).cloned().collect::<Vec<_>>()
        });
        Arc::clone(&closed.protection)
    }
}
