//! The columns of a view, as those of the query that it is: a constant in it restricts nothing.
//!
//! The server's text of it is read under an empty search path, as the server wrote it. Promises: of a text that cannot
//! be followed no column restricts. Does not promise the same of the server's own views, which nobody writes through.
//! Held by: `tests/it/bounds.rs`.

use super::columns::{Columns, More, Output};
use super::{Problem, Solver};
use crate::postgres::names::{self, Standing};
use crate::postgres::reader::NESTING;
use crate::postgres::{parse, stack_needed};
use crate::scope::SearchPath;
use pg_query::protobuf::Node;
use portcullis_model::catalogue::{RelKind, Relation};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// What a view's query says of one column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    narrows: bool,
    made: bool,
    heaped: bool,
}

impl<'t> Solver<'_, '_, 't> {
    /// The columns of a relation.
    pub(super) fn relation(&mut self, relation: Arc<Relation>) -> Columns<'t> {
        let view = matches!(relation.kind, RelKind::View | RelKind::MaterializedView);
        if !view || matches!(relation.schema.as_str(), names::CATALOGUE | "information_schema") {
            return Columns::Relation(relation, Vec::new());
        }
        let told = if let Some(told) = self.told.get(&relation.oid).map(Arc::clone) {
            told
        } else {
            let said = relation.definition.as_deref().and_then(|text| self.view(text)).unwrap_or_default();
            let told: Arc<[Said]> = said.into();
            self.told.insert(relation.oid, Arc::clone(&told));
            told
        };
        let fits = told.len() == relation.columns.len();
        let outputs = relation.columns.iter().enumerate().map(|(at, column)| {
            let said = told.get(at).copied().filter(|_| fits);
            let said = said.unwrap_or(Said { narrows: false, made: false, heaped: true });
            Output {
                name: Cow::Owned(column.name.as_str().to_owned()),
                narrows: said.narrows,
                made: said.made,
                heaped: said.heaped,
                type_oid: Some(column.type_oid),
            }
        });
        Columns::Listed(outputs.collect(), More::Nothing)
    }

    fn view(&mut self, text: &str) -> Option<Vec<Said>> {
        if self.views >= NESTING || !self.spend() {
            return None;
        }
        let path = SearchPath::Known(Arc::new([]));
        let standing = Standing { path, variables: Arc::default(), ..self.standing.clone() };
        let (mut fuel, views) = (self.fuel, self.views + 1);
        let told = stacker::maybe_grow(stack_needed(text), parse::STACK_BYTES, || {
            let tree = parse::parse(text).ok()?;
            let query = tree.stmts.first()?.stmt.as_deref()?;
            let (ctes, open, around) = (Vec::new(), Vec::new(), Vec::new());
            let told = HashMap::new();
            let mut solver = Solver { standing: &standing, ctes, open, around, given: None, views, told, fuel };
            let rows = solver.query(Some(query));
            fuel = solver.fuel;
            let Columns::Listed(outputs, More::Nothing) = rows.columns else { return None };
            let said = |output: &Output<'_>| Said { narrows: output.narrows, made: output.made, heaped: output.heaped };
            Some(outputs.iter().map(said).collect())
        });
        self.fuel = fuel;
        told
    }

    /// Whether an output would be settled if all rows of the query were restricted. In a view a column that is not,
    /// such as what a user's function gives, says nothing about the others: a row of it is a row.
    pub(super) fn is_countable(&mut self, problem: &mut Problem<'t>, output: &'t Node) -> bool {
        let was: Vec<bool> = problem.items.iter().map(|item| item.restricted).collect();
        problem.items.iter_mut().for_each(|item| item.restricted = true);
        let settled = self.output(problem, output);
        for (item, was) in problem.items.iter_mut().zip(was) {
            item.restricted = was;
        }
        settled
    }
}
