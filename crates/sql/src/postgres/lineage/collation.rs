//! Collations: which one a value has beside the database's own, and what refuses it for that.
//!
//! Two values of different collations can stand together; whatever compares or folds what is made of them is an
//! error, but only when it is computed, and strict functions are computed for no NULL. A search (LIKE, a regular
//! expression, `strpos`) refuses some collations in the same way. So such a call tells which value was NULL, as a
//! division tells which was 0.
//!
//! Promises: where two collations may meet, or a search may meet one that a user made, the call is a risk of every
//! value in it that is computed, and counts as one for whatever chose it. One that stands alone, and "C" beside the
//! database's own, is none. An own column's value is not computed: its NULLs show anyway. Does not promise to know
//! which of users' collations are deterministic: none is taken to be.
//! Held by: `fixtures/sql/lineage.tsv` and `tests` below.

use super::Tracer;
use super::flow::Flow;
use super::kind::Side;
use super::operator::FIRST_NORMAL;
use crate::postgres::names::{self, CATALOGUE};
use pg_query::NodeEnum;
use pg_query::protobuf::CollateClause;
use portcullis_model::catalogue::{Column, Oid};

/// The database's own, or none at all.
pub(super) const NONE: Oid = 0;
/// "C", which names have.
pub(super) const C: Oid = 950;
const POSIX: Oid = 951;
/// The database's own in the catalogue.
const DEFAULT: Oid = 100;
/// The first of those that the text names.
const NAMED: Oid = 0x8000_0000;
/// One of which it is not told which.
pub(super) const UNTOLD: Oid = Oid::MAX - 1;
/// Several that do not go together.
pub(super) const MIXED: Oid = Oid::MAX;

/// They look for one text in another, by a collation that they may refuse.
const SEARCHES: [&str; 23] = [
    "!~",
    "!~*",
    "!~~",
    "!~~*",
    "^@",
    "position",
    "regexp_count",
    "regexp_like",
    "regexp_match",
    "regexp_matches",
    "regexp_replace",
    "regexp_split_to_array",
    "regexp_split_to_table",
    "regexp_substr",
    "replace",
    "split_part",
    "starts_with",
    "string_to_array",
    "string_to_table",
    "strpos",
    "substring",
    "~",
    "~*",
];

/// Functions of no text whose results are names.
const NAMES: [&str; 8] = [
    "current_database",
    "current_schema",
    "current_schemas",
    "getdatabaseencoding",
    "getpgusername",
    "pg_client_encoding",
    "pg_encoding_to_char",
    "pg_get_userbyid",
];

/// Whether the function or operator refuses collations under which equal texts may differ.
pub(super) fn searches(name: &str) -> bool {
    matches!(name, "~~" | "~~*") || SEARCHES.contains(&name)
}

/// That of a built-in function's result; `given`: what its arguments have.
pub(super) fn of_call(name: &str, given: Oid) -> Oid {
    if given == NONE && (name == "name" || NAMES.contains(&name)) { C } else { given }
}

/// That of a column.
pub(super) const fn of_column(column: &Column) -> Oid {
    match (column.collation, column.type_oid) {
        (NONE, 19 | 1003) => C,
        (NONE | DEFAULT, _) => NONE,
        (NAMED.., _) => UNTOLD,
        (collation, _) => collation,
    }
}

/// That of what both stand in.
pub(super) const fn together(one: Oid, other: Oid) -> Oid {
    match (one, other) {
        (NONE, other) => other,
        (one, NONE) => one,
        (one, other) if one == other && one != UNTOLD => one,
        _ => MIXED,
    }
}

impl Tracer<'_, '_> {
    /// The collation that a text names.
    pub(super) fn collation_named(&mut self, clause: &CollateClause) -> Oid {
        let parts = names::strings(&clause.collname).unwrap_or_default();
        match parts.as_slice() {
            ["C"] | [CATALOGUE, "C"] => return C,
            ["POSIX"] | [CATALOGUE, "POSIX"] => return POSIX,
            ["default"] | [CATALOGUE, "default"] => return NONE,
            _ => {}
        }
        if !self.standing.steps.take(1 + self.named_collations.len() / 4) {
            return UNTOLD;
        }
        let name = parts.join(".");
        let at = self.named_collations.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.named_collations.push(name);
            self.named_collations.len() - 1
        });
        Oid::try_from(at).map_or(UNTOLD, |at| NAMED.saturating_add(at).min(UNTOLD))
    }

    /// Values are compared, folded or searched together; gives the collation of what becomes of them.
    pub(super) fn collations(&mut self, sides: &[Side<'_>], searches: bool) -> Oid {
        // One that is written beside them counts alone.
        let written = sides
            .iter()
            .find(|(_, node)| matches!(node.and_then(|node| node.node.as_ref()), Some(NodeEnum::CollateClause(_))));
        let all = || sides.iter().fold(NONE, |all, (value, _)| together(all, value.collation));
        let collation = written.map_or_else(all, |(value, _)| value.collation);
        if collation == MIXED || (searches && collation >= FIRST_NORMAL) {
            self.may_fail(sides);
        }
        collation
    }

    /// A call that may fail for each value in it that is computed, and for none alone where nothing is.
    pub(super) fn may_fail(&mut self, sides: &[Side<'_>]) {
        self.risks += 1;
        if sides.iter().any(|(value, _)| !self.shows_nulls(value)) {
            let all = sides.iter().fold(Flow::none(), |all, (value, _)| all.with(&value.flow));
            self.risk(&all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtins;

    #[test]
    fn names_are_built_in() {
        for name in SEARCHES.iter().chain(&NAMES) {
            assert!(builtins::function(name).is_some() || builtins::is_builtin_operator(name), "{name}");
        }
    }

    #[test]
    fn what_searches_and_is_safe_is_listed() {
        for name in ["~~", "~~*", "!~~", "~", "strpos", "position", "replace", "substring", "regexp_matches"] {
            assert!(searches(name), "{name}");
        }
        for name in ["=", "<", "||", "lower", "length", "left", "concat"] {
            assert!(!searches(name), "{name}");
        }
    }

    #[test]
    fn one_collation_beside_the_databases_own_is_that_one() {
        assert_eq!((together(NONE, C), together(C, NONE), together(C, C), together(NONE, NONE)), (C, C, C, NONE));
        assert_eq!((together(C, POSIX), together(MIXED, NONE), together(MIXED, C)), (MIXED, MIXED, MIXED));
        assert_eq!((together(UNTOLD, NONE), together(UNTOLD, UNTOLD)), (UNTOLD, MIXED));
    }
}
