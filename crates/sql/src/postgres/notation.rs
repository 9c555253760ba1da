//! Column notation: `(value).f` and `row.f` are the call `f(value)` where the value has no field of that name.
//!
//! Operations, bounds and lineage ask here what may stand behind a dot, so that no notation of a call is another call to
//! one of them. Promises: a name that some function has is told to be one wherever the type of the value is not known to
//! have such a field. Does not promise to choose overloads: which functions take the value is not looked at, but for
//! rows whose columns are not known, where most names are columns.
//! Held by: `fixtures/sql/bounds.tsv`, `fixtures/sql/lineage.tsv`, `tests/it/scopes.rs` and `tests` below.

use super::names::{Callee, Standing};
use portcullis_model::Part;
use portcullis_model::catalogue::{Oid, Relation};
use std::sync::Arc;

/// The first object id that is not the server's own.
const FIRST_NORMAL: Oid = 16384;

/// Built-in functions that take any row as their one argument. Those that take no row cannot be meant behind one's name.
const OF_ROWS: [&str; 20] = [
    "concat",
    "hash_record",
    "json_build_array",
    "json_build_object",
    "jsonb_build_array",
    "jsonb_build_object",
    "num_nonnulls",
    "num_nulls",
    "pg_collation_for",
    "pg_column_compression",
    "pg_column_size",
    "pg_column_toast_chunk_id",
    "pg_typeof",
    "quote_literal",
    "quote_nullable",
    "record_out",
    "record_send",
    "row_to_json",
    "to_json",
    "to_jsonb",
];

/// Aggregates that take any row. They stand in no condition, so that the name is a column's there.
const GATHERING: [&str; 9] =
    ["any_value", "array_agg", "count", "json_agg", "json_agg_strict", "jsonb_agg", "jsonb_agg_strict", "max", "min"];

/// What a name behind a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// A field of the value, of this type.
    Field(Oid),
    /// A field or a function: the type of the value is not told.
    Either,
    /// A function: the value has no such field.
    Function,
}

/// Whether a built-in function of this name takes any row.
pub(super) fn takes_rows(name: &str) -> bool {
    OF_ROWS.contains(&name)
}

/// Whether an aggregate of this name takes any row.
pub(super) fn gathers_rows(name: &str) -> bool {
    GATHERING.contains(&name)
}

impl Standing<'_> {
    /// Who answers if the name behind a dot is no field; `None` where no function that is known is called so.
    pub(super) fn behind_dot(&self, name: &str) -> Option<Callee> {
        let callee = self.function(None, name);
        let known = callee.builtin.is_some() || callee.user.iter().any(|function| function.schema != Part::Unknown);
        known.then_some(callee)
    }

    /// Whether the name behind that of a row may be a function, where it is not known whether the row has such a column.
    pub(super) fn may_take_row(&self, name: &str) -> bool {
        takes_rows(name) || self.behind_dot(name).is_some_and(|callee| !callee.user.is_empty())
    }

    /// What the fields of a composite type are.
    pub(super) fn composite(&self, type_oid: Oid) -> Option<&Arc<Relation>> {
        let catalogue = &self.scope.catalogue;
        let fields = catalogue.relation(catalogue.type_by_oid(type_oid)?.relation?)?;
        self.steps.take(1 + fields.columns.len() / 16).then_some(fields)
    }

    /// What the name behind a value of this type is; `None` where the type is not told.
    pub(super) fn behind(&self, type_oid: Option<Oid>, name: &str) -> Behind {
        let Some(type_oid) = type_oid.filter(|oid| *oid != 0) else { return Behind::Either };
        match self.composite(type_oid) {
            Some(fields) => fields.column(name).map_or(Behind::Function, |field| Behind::Field(field.type_oid)),
            None if type_oid < FIRST_NORMAL => Behind::Function,
            // A domain may be over a composite type.
            None => Behind::Either,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtins::{self, FunctionClass};

    #[test]
    fn names_are_in_order_and_built_in() {
        for names in [OF_ROWS.as_slice(), GATHERING.as_slice()] {
            assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
            for name in names {
                assert_eq!(builtins::function(name), Some(FunctionClass::Pure), "{name}");
            }
        }
    }
}
