//! WITH RECURSIVE: what flows around in a query that reads itself.
//!
//! While the recursive term is followed, once, the entry's columns are stand-ins; what flows into each is then solved
//! over what was found and put in the place of the stand-ins wherever they went. Promises: the solution holds whatever
//! any number of rounds brings in. Held by: `fixtures/sql/lineage.tsv`.

use super::bound::BESIDE;
use super::flow::{Column, Columns, Flow, STAND_IN, Value};
use super::query::{State, is_set_operation, renamed};
use super::{Tracer, kind, size};
use pg_query::NodeEnum;
use pg_query::protobuf::{CommonTableExpr, SelectStmt};
use portcullis_model::{Bound, ColumnId};
use std::rc::Rc;

/// Columns up to which each is solved for itself; above, everything flows into all of them.
const SOLVED: usize = 64;

/// The stand-ins of one entry, and what flows into each.
struct Solution {
    first: i16,
    flows: Vec<Flow>,
}

impl Solution {
    fn of(&self, column: ColumnId) -> Option<Flow> {
        if column.relation != STAND_IN {
            return None;
        }
        let at = usize::try_from(column.number.checked_sub(self.first)?).ok()?;
        self.flows.get(at).cloned()
    }

    fn apply(&self, flow: &mut Flow) {
        flow.substitute(&|column| self.of(column));
    }
}

impl<'t> Tracer<'_, 't> {
    /// Follows an entry of WITH RECURSIVE.
    pub(super) fn recursive_entry(&mut self, node: &'t CommonTableExpr, at: usize) -> Columns {
        let query = node.ctequery.as_deref().and_then(|query| query.node.as_ref());
        match query {
            Some(NodeEnum::SelectStmt(select)) if is_set_operation(select) => self.recursive_select(node, select, at),
            _ => self.entry(node),
        }
    }

    fn recursive_select(&mut self, node: &'t CommonTableExpr, select: &'t SelectStmt, at: usize) -> Columns {
        let before = self.enter_with(select.with_clause.as_ref());
        let (Some(left), Some(right)) = (&select.larg, &select.rarg) else {
            self.leave_with(before);
            return Columns::open(Flow::unknown());
        };
        let left = self.select(left);
        let left = renamed(left, &node.aliascolnames);
        let first = self.stand_ins.saturating_add(1);
        let stand_ins = self.stand_in(&left);
        let stand_ins = self.entry_columns(node, stand_ins);
        if let Some(cte) = self.ctes.get_mut(at) {
            cte.state = State::Running(Some(Rc::new(stand_ins)));
        }
        let (uses, bound) = (self.uses.len(), self.bound.len());
        let right = self.select(right);
        // What flows round is solved by rounds over all columns.
        let (wide, weight) = (left.list.len().min(SOLVED), left.weight() + right.weight());
        if !self.standing.steps.take(wide * (wide + weight) + self.uses.len() + self.bound.len()) {
            self.leave_with(before);
            return Columns::open(Flow::unknown());
        }
        let solution = Solution { first, flows: solved(&left, &right, first) };
        let columns = self.combined(select, left, &right);
        let columns = self.combined_tail(select, columns);
        self.leave_with(before);
        self.settle(&solution, uses, bound);
        let columns = settled(columns, &solution);
        self.entry_columns(node, columns)
    }

    /// Columns like these that stand for the rows of earlier rounds.
    fn stand_in(&mut self, columns: &Columns) -> Columns {
        let mut list = Vec::with_capacity(columns.list.len());
        for column in &columns.list {
            let Some(number) = self.stand_ins.checked_add(1) else { return Columns::open(Flow::unknown()) };
            self.stand_ins = number;
            let (type_oid, tame) = kind::of_round(&column.value);
            let value = Value {
                exact: column.value.exact,
                type_oid,
                tame,
                scalar: column.value.scalar,
                collation: column.value.collation,
                // A text may grow in each round.
                size: if size::has_collation(type_oid) { size::ENDLESS } else { size::SMALL },
                ..Value::of(Flow::column(ColumnId { relation: STAND_IN, number }))
            };
            list.push(Column { name: column.name.clone(), value });
        }
        // What is not known of the first term is not known of any.
        let rest = columns.rest.as_ref().map(|_| columns.all().with(&Flow::unknown()));
        Columns { list, rest }
    }

    /// Puts the solution in the place of stand-ins wherever they went.
    fn settle(&mut self, solution: &Solution, uses: usize, bound: usize) {
        solution.apply(&mut self.conditions);
        solution.apply(&mut self.kept);
        for used in self.uses.get_mut(uses..).into_iter().flatten() {
            solution.apply(&mut used.flow);
        }
        for bound in self.bound.split_off(bound.min(self.bound.len())) {
            match solution.of(bound.column) {
                None => self.bound.push(bound),
                Some(flow) => {
                    let columns = flow.columns().iter().take(BESIDE);
                    self.bound.extend(columns.map(|column| Bound { column: *column, place: bound.place.clone() }));
                }
            }
        }
    }
}

/// What flows into each column in any number of rounds.
fn solved(left: &Columns, right: &Columns, first: i16) -> Vec<Flow> {
    let all = left.all().with(&right.all());
    let mut flows: Vec<Flow> = left.list.iter().map(|column| column.value.flow.clone()).collect();
    let by_place = left.rest.is_none() && right.rest.is_none() && left.list.len() == right.list.len();
    if !by_place || flows.len() > SOLVED {
        // Stand-ins in it stand for nothing more than it holds itself.
        let mut all = all;
        let own = Solution { first, flows: vec![Flow::none(); flows.len()] };
        own.apply(&mut all);
        flows.fill(all);
        return flows;
    }
    loop {
        let now = Solution { first, flows: flows.clone() };
        for (flow, column) in flows.iter_mut().zip(&right.list) {
            let mut more = column.value.flow.clone();
            now.apply(&mut more);
            flow.add(&more);
        }
        // Flows only grow, and there are no more than `SOLVED` steps from one column to another.
        if flows == now.flows {
            return flows;
        }
    }
}

fn settled(columns: Columns, solution: &Solution) -> Columns {
    let settle = |mut column: Column| {
        let exact = column.value.exact && column.value.flow.only().is_some();
        solution.apply(&mut column.value.flow);
        column.value.exact = exact && column.value.flow.only().is_some();
        if let Some(tame) = &mut column.value.tame {
            solution.apply(tame);
        }
        column.value.fields = None;
        column.value.own = Vec::new();
        column
    };
    let rest = columns.rest.map(|mut rest| {
        solution.apply(&mut rest);
        rest
    });
    Columns { list: columns.list.into_iter().map(settle).collect(), rest }
}
