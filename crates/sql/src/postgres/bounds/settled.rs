//! Whether an expression is settled: made of constants, parameters and columns of items that are restricted already.
//!
//! Promises: what may be another value at each call, or as many rows as a text asks for, is not.
//! Held by: `fixtures/sql/bounds.tsv`.

use super::given::bare;
use super::terms::Term;
use super::{Problem, Solver, Taken};
use crate::builtins::{self, FunctionClass};
use crate::postgres::children::children;
use crate::postgres::names;
use pg_query::protobuf::{Node, SubLinkType};
use pg_query::{NodeEnum, NodeRef};

/// Functions whose value is another at every call, so that they compare with a column like no constant does; and those
/// that give more rows than a restriction may.
pub(super) const UNSETTLED: [&str; 11] = [
    "random",
    "random_normal",
    "generate_series",
    "generate_subscripts",
    "array_fill",
    "repeat",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "clock_timestamp",
    "timeofday",
];

/// Functions that give a row for each part of what they are given. Those of no other set are counted.
const ROW_FOR_EACH: [&str; 16] = [
    "json_array_elements",
    "json_array_elements_text",
    "json_each",
    "json_each_text",
    "json_object_keys",
    "json_populate_recordset",
    "json_to_recordset",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_object_keys",
    "jsonb_populate_recordset",
    "jsonb_to_recordset",
    "string_to_table",
    "unnest",
];

/// Whether the expression is made of constants, parameters and columns of restricted items (other than `at`) alone.
pub(super) fn settled<'t>(
    solver: &mut Solver<'_, '_, 't>,
    problem: &Problem<'t>,
    at: Option<usize>,
    node: &'t Node,
) -> bool {
    let at = at.unwrap_or(usize::MAX);
    Term { solver, problem, at }.settled(node)
}

/// Whether functions in FROM are built-in functions of constants.
pub(super) fn function_of_constants<'t>(solver: &mut Solver<'_, '_, 't>, functions: &'t [Node]) -> bool {
    let problem = Problem::default();
    functions.iter().all(|function| settled(solver, &problem, None, function))
}

impl<'t> Term<'_, '_, '_, 't> {
    pub(super) fn is_builtin(&self, name: &str) -> bool {
        let user = self.solver.standing.function(None, name);
        user.user.is_empty() && builtins::function(name) == Some(FunctionClass::Pure)
    }

    pub(super) fn settled_array(&mut self, node: &'t Node) -> bool {
        match &bare(node).node {
            Some(NodeEnum::SubLink(link)) if link.sub_link_type() == SubLinkType::ArraySublink => {
                self.inside(|solver| solver.values(link.subselect.as_deref(), Taken::Elements))
            }
            Some(NodeEnum::SubLink(link)) if link.sub_link_type() == SubLinkType::ExprSublink => {
                self.inside(|solver| solver.values(link.subselect.as_deref(), Taken::Array))
            }
            Some(NodeEnum::FuncCall(call)) => {
                // Only what makes an array of a text or list: any other function may have every key.
                let name = names::strings(&call.funcname).and_then(|parts| parts.last().copied());
                matches!(name, Some("string_to_array" | "array_remove" | "array_append"))
                    && self.settled(node)
                    && !has_query(node)
                    && call.args.iter().all(|arg| self.is_single(arg))
            }
            Some(_) => self.settled(node) && !has_query(node) && self.is_single(node),
            None => false,
        }
    }

    /// Whether no value of it holds more than the rows that it is of.
    fn is_single(&self, node: &'t Node) -> bool {
        node.node.as_ref().is_none_or(|node| !self.heaps(node.to_ref()))
    }

    /// Made of constants, parameters and columns of other items that are restricted.
    pub(super) fn settled(&mut self, node: &'t Node) -> bool {
        match &node.node {
            Some(node) => self.settled_ref(node.to_ref()),
            None => true,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "any other node is settled when all below it is")]
    fn settled_ref(&mut self, node: NodeRef<'t>) -> bool {
        if !self.solver.step(1) {
            return false;
        }
        match node {
            NodeRef::ColumnRef(column) => {
                self.is_variable(&column.fields)
                    || self.resolve(&column.fields).is_some_and(|(at, _)| {
                        let item = self.problem.items.get(at).filter(|item| at != self.at && item.restricted);
                        item.is_some_and(|item| {
                            !item.columns.made(names::strings(&column.fields).and_then(|f| f.last().copied()))
                        })
                    })
            }
            NodeRef::SubLink(link) => match link.sub_link_type() {
                SubLinkType::ExprSublink | SubLinkType::ArraySublink => {
                    self.inside(|solver| solver.values(link.subselect.as_deref(), Taken::Each))
                }
                _ => false,
            },
            NodeRef::FuncCall(call) => {
                let parts = names::strings(&call.funcname).unwrap_or_default();
                let name = parts.last().copied().unwrap_or_default();
                let plain = parts.len() == 1 || parts.first() == Some(&names::CATALOGUE);
                plain && self.is_counted_call(name, &call.args) && self.settled_below(node)
            }
            // What stands behind a dot is a call too, unless it is a field.
            NodeRef::AIndirection(indirection) => {
                let arg = indirection.arg.as_deref().map(std::slice::from_ref).unwrap_or_default();
                self.behind_dots(indirection).iter().all(|call| self.is_counted_call(call.name, arg))
                    && self.settled_below(node)
            }
            // The query of `JSON_ARRAY(SELECT …)`: of as many rows as it likes.
            NodeRef::SetToDefault(_) | NodeRef::AStar(_) | NodeRef::SelectStmt(_) => false,
            _ => self.settled_below(node),
        }
    }

    /// Whether a call is of a built-in function that gives no more than it is given, and the same at each call.
    fn is_counted_call(&self, name: &str, args: &'t [Node]) -> bool {
        let counted = builtins::flows(name).rows.is_none()
            || (ROW_FOR_EACH.contains(&name) && args.iter().all(|arg| is_handed_on(arg) && self.is_single(arg)));
        counted && !UNSETTLED.contains(&name) && self.is_builtin(name)
    }

    fn settled_below(&mut self, node: NodeRef<'t>) -> bool {
        let mut below = Vec::new();
        children(node, &mut |child| below.push(child)) && below.into_iter().all(|child| self.settled_ref(child))
    }
}

/// Whether an argument is as it was given or stored: nothing in it makes more of it.
fn is_handed_on(node: &Node) -> bool {
    fn below(node: NodeRef<'_>) -> bool {
        let makes = match node {
            NodeRef::FuncCall(call) => {
                !matches!(names::strings(&call.funcname).as_deref(), Some([.., "string_to_array"]))
            }
            NodeRef::SubLink(_) => true,
            _ => false,
        };
        let mut all = !makes;
        children(node, &mut |child| all = all && below(child)) && all
    }
    node.node.as_ref().is_some_and(|node| below(node.to_ref()))
}

fn has_query(node: &Node) -> bool {
    fn below(node: NodeRef<'_>) -> bool {
        let mut found = matches!(node, NodeRef::SubLink(_));
        children(node, &mut |child| found = found || below(child));
        found
    }
    node.node.as_ref().is_some_and(|node| below(node.to_ref()))
}
