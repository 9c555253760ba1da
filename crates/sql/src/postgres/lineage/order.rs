//! ORDER BY, GROUP BY and DISTINCT: items that may mean a column of the result.
//!
//! Promises: where a name or number may mean several things, all of them are conditions. Does not promise to refuse
//! what the server refuses as ambiguous. Held by: `fixtures/sql/lineage.tsv`.

use super::Tracer;
use super::flow::{Columns, Flow, Found};
use crate::postgres::names;
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, a_const};

impl<'t> Tracer<'_, 't> {
    /// ORDER BY and DISTINCT ON: a bare name means an output column first, a number the column at that place.
    pub(super) fn sorted(&mut self, node: Option<&'t Node>, columns: &Columns) {
        self.standing.steps.take(1 + columns.list.len() / 8 + columns.rest.as_ref().map_or(0, |_| columns.weight()));
        match output(node, columns) {
            Some(flow) => {
                self.condition(&flow);
                if let (Some(node), true) = (node, columns.rest.is_some()) {
                    let input = self.known_column(node);
                    self.condition(&input);
                }
            }
            None => self.decides(node),
        }
    }

    /// GROUP BY: a bare name means an input column first; both count where both are there.
    pub(super) fn grouped(&mut self, node: &'t Node, columns: &Columns) {
        self.standing.steps.take(1 + columns.list.len() / 8 + columns.rest.as_ref().map_or(0, |_| columns.weight()));
        match &node.node {
            Some(NodeEnum::GroupingSet(set)) => set.content.iter().for_each(|node| self.grouped(node, columns)),
            _ => match output(Some(node), columns) {
                Some(flow) => {
                    self.condition(&flow);
                    let input = self.known_column(node);
                    self.condition(&input);
                }
                None => self.decides(Some(node)),
            },
        }
    }

    fn known_column(&self, node: &Node) -> Flow {
        match bare_name(Some(node)).map(|name| self.bare(name)) {
            Some(Found::Certainly(value)) => value.flow,
            Some(Found::Perhaps(flow)) => flow,
            Some(Found::No) | None => Flow::none(),
        }
    }

    /// DISTINCT, and DISTINCT ON.
    pub(super) fn distinct(&mut self, nodes: &'t [Node], columns: &Columns) {
        match nodes {
            [] => {}
            [Node { node: None }] => self.condition(&columns.all()),
            _ => nodes.iter().for_each(|node| self.sorted(Some(node), columns)),
        }
    }
}

fn bare_name(node: Option<&Node>) -> Option<&str> {
    match node.and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::ColumnRef(column)) => match names::strings(&column.fields).as_deref() {
            Some([name]) => Some(*name),
            _ => None,
        },
        _ => None,
    }
}

/// The output column that an item of ORDER BY, GROUP BY or DISTINCT ON means, by name or number.
fn output(node: Option<&Node>, columns: &Columns) -> Option<Flow> {
    if let Some(name) = bare_name(node) {
        let mut named = columns.list.iter().filter(|column| column.name.as_str() == name).peekable();
        let found = named.peek().is_some();
        let flow = named.fold(Flow::none(), |all, column| all.with(&column.value.flow));
        return match &columns.rest {
            // It may be any output, or an input column.
            Some(_) => Some(columns.all()),
            None => found.then_some(flow),
        };
    }
    let Some(NodeEnum::AConst(constant)) = node.and_then(|node| node.node.as_ref()) else { return None };
    let Some(a_const::Val::Ival(number)) = &constant.val else { return None };
    let at = usize::try_from(number.ival).ok()?.checked_sub(1)?;
    Some(match (columns.list.get(at), &columns.rest) {
        (Some(column), None) => column.value.flow.clone(),
        (_, Some(_)) => columns.all(),
        (None, None) => Flow::none(),
    })
}
