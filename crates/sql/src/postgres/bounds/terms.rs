//! Single terms: whether one restricts an item, and whether an expression is settled (made of constants, parameters and
//! columns of items that are restricted already).
//!
//! A term is read with its negation pushed inwards. Below OR only tight terms count (equalities, lists, closed ranges),
//! since two open ranges together can be everything. Held by: `fixtures/sql/bounds.tsv`.

use super::pattern::{self, Side};
use super::shape::Shape;
use super::{Problem, Solver};
use crate::builtins::{self, FunctionClass};
use crate::postgres::children::children;
use crate::postgres::expression::constant;
use crate::postgres::names;
use pg_query::protobuf::{
    self, AExpr, AExprKind, BoolExprType, BoolTestType, Node, NullTestType, SubLinkType, a_const,
};
use pg_query::{NodeEnum, NodeRef};
use portcullis_model::catalogue::Oid;

/// Functions whose value is another at every call, so that they compare with a column like no constant does; and those
/// that give more rows than a restriction may.
const UNSETTLED: [&str; 8] = [
    "random",
    "random_normal",
    "generate_series",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "clock_timestamp",
    "timeofday",
];

/// Whether the term restricts the item at `at`.
pub(super) fn restricts<'t>(solver: &mut Solver<'_, '_, 't>, problem: &Problem<'t>, at: usize, term: &'t Node) -> bool {
    Term { solver, problem, at }.holds(term, false, false)
}

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

/// Whether the query refers to nothing but its own items. A query inside it counts as a reference.
pub(super) fn uncorrelated<'t>(
    solver: &mut Solver<'_, '_, 't>,
    problem: &Problem<'t>,
    select: &'t protobuf::SelectStmt,
) -> bool {
    let term = Term { solver, problem, at: usize::MAX };
    fn own<'t>(term: &Term<'_, '_, '_, 't>, node: NodeRef<'t>) -> bool {
        match node {
            NodeRef::ColumnRef(column) => {
                term.resolve(&column.fields).is_some() || names::strings(&column.fields).is_none()
            }
            NodeRef::SubLink(_) | NodeRef::RangeSubselect(_) => false,
            NodeRef::FuncCall(call) => {
                !names::strings(&call.funcname).is_some_and(|parts| parts.last().is_some_and(|n| UNSETTLED.contains(n)))
                    && below(term, node)
            }
            _ => below(term, node),
        }
    }
    fn below<'t>(term: &Term<'_, '_, '_, 't>, node: NodeRef<'t>) -> bool {
        let mut all = true;
        children(node, &mut |child| all = all && own(term, child)) && all
    }
    below(&term, NodeRef::SelectStmt(select))
}

/// Whether a function is called anywhere in the expression.
pub(super) fn calls(node: &Node) -> bool {
    fn below(node: NodeRef<'_>) -> bool {
        if matches!(node, NodeRef::FuncCall(_) | NodeRef::SubLink(_)) {
            return true;
        }
        let mut found = false;
        let known = children(node, &mut |child| found = found || below(child));
        found || !known
    }
    node.node.as_ref().is_some_and(|node| below(node.to_ref()))
}

pub(super) struct Term<'x, 'r, 's, 't> {
    pub(super) solver: &'x mut Solver<'r, 's, 't>,
    pub(super) problem: &'x Problem<'t>,
    pub(super) at: usize,
}

impl<'t> Term<'_, '_, '_, 't> {
    /// Whether the term, or its negation, restricts the item; `tight`: in a way that adds up under OR.
    fn holds(&mut self, node: &'t Node, negated: bool, tight: bool) -> bool {
        match &node.node {
            Some(NodeEnum::BoolExpr(term)) => {
                let args: Vec<_> = term.args.iter().collect();
                match (term.boolop(), negated) {
                    (BoolExprType::NotExpr, _) => args.iter().any(|arg| self.holds(arg, !negated, tight)),
                    (BoolExprType::AndExpr, false) | (BoolExprType::OrExpr, true) => {
                        args.iter().any(|arg| self.holds(arg, negated, tight))
                    }
                    (BoolExprType::AndExpr, true) | (BoolExprType::OrExpr, false) => {
                        !args.is_empty() && args.iter().all(|arg| self.holds(arg, negated, true))
                    }
                    (BoolExprType::Undefined, _) => false,
                }
            }
            Some(NodeEnum::AExpr(term)) => self.comparison(term, negated, tight),
            Some(NodeEnum::NullTest(test)) => {
                let is_null = (test.nulltesttype() == NullTestType::IsNull) != negated;
                is_null && test.arg.as_deref().is_some_and(|arg| self.shape(arg) == Some(Shape::Plain))
            }
            Some(NodeEnum::BooleanTest(test)) => self.boolean_test(test, negated, tight),
            Some(NodeEnum::ColumnRef(_)) => !tight && self.shape(node) == Some(Shape::Plain),
            Some(NodeEnum::SubLink(link)) => !negated && self.sublink(link),
            Some(NodeEnum::CurrentOfExpr(_)) => !negated && self.at == 0,
            Some(_) | None => false,
        }
    }

    fn boolean_test(&mut self, test: &'t protobuf::BooleanTest, negated: bool, tight: bool) -> bool {
        let Some(arg) = test.arg.as_deref() else { return false };
        match (test.booltesttype(), negated) {
            (BoolTestType::IsTrue, false) | (BoolTestType::IsNotTrue, true) => self.holds(arg, false, tight),
            (BoolTestType::IsFalse, false) | (BoolTestType::IsNotFalse, true) => self.holds(arg, true, tight),
            (BoolTestType::IsUnknown, false) | (BoolTestType::IsNotUnknown, true) => {
                self.shape(arg) == Some(Shape::Plain)
            }
            _ => false,
        }
    }

    fn sublink(&mut self, link: &'t protobuf::SubLink) -> bool {
        match link.sub_link_type() {
            SubLinkType::ExistsSublink => self.solver.exists(self.problem, self.at, link.subselect.as_deref()),
            SubLinkType::AnySublink => {
                let equal = matches!(names::strings(&link.oper_name).as_deref(), Some([] | ["="]));
                equal
                    && link.testexpr.as_deref().is_some_and(|test| self.owned(test))
                    && self.solver.values(link.subselect.as_deref())
            }
            SubLinkType::Undefined
            | SubLinkType::AllSublink
            | SubLinkType::RowcompareSublink
            | SubLinkType::ExprSublink
            | SubLinkType::MultiexprSublink
            | SubLinkType::ArraySublink
            | SubLinkType::CteSublink => false,
        }
    }

    fn comparison(&mut self, term: &'t AExpr, negated: bool, tight: bool) -> bool {
        let (Some(left), Some(right)) = (term.lexpr.as_deref(), term.rexpr.as_deref()) else { return false };
        let symbol = match names::strings(&term.name).as_deref() {
            Some([symbol] | [names::CATALOGUE, symbol]) => *symbol,
            _ => return false,
        };
        match (term.kind(), symbol, negated) {
            (AExprKind::AexprOp, _, _) => self.operator(symbol, left, right, negated, tight),
            (AExprKind::AexprIn, "=", false) | (AExprKind::AexprIn, "<>", true) => {
                self.owned(left) && self.settled_list(right) && !self.two_valued(left, right)
            }
            (AExprKind::AexprOpAny, "=", false) => {
                (self.owned(left) && self.settled_array(right) && !self.two_valued(left, right))
                    || (self.settled(left) && self.owned(right))
            }
            (AExprKind::AexprNotDistinct, _, false) | (AExprKind::AexprDistinct, _, true) => {
                self.equal(left, right) && !(tight && self.two_valued(left, right))
            }
            (AExprKind::AexprLike, "~~", false) | (AExprKind::AexprIlike, "~~*", false) => {
                self.owned(left) && pattern_settled(right, pattern::like_restricts)
            }
            (AExprKind::AexprSimilar, "~", false) => {
                self.owned(left) && pattern_settled(right, pattern::regex_restricts)
            }
            (AExprKind::AexprBetween, _, false) | (AExprKind::AexprNotBetween, _, true) => {
                self.between(left, right, tight)
            }
            // Either end may be the lower one.
            (AExprKind::AexprBetweenSym, _, false) | (AExprKind::AexprNotBetweenSym, _, true) => {
                self.either_way(left, right)
            }
            _ => false,
        }
    }

    fn operator(&mut self, symbol: &str, left: &'t Node, right: &'t Node, negated: bool, tight: bool) -> bool {
        match (symbol, negated) {
            ("=", false) | ("<>", true) => {
                self.equal(left, right) && !(tight && (self.two_valued(left, right) || self.two_valued(right, left)))
            }
            (">" | ">=", false) | ("<" | "<=", true) => !tight && self.range(Side::Above, left, right),
            ("<" | "<=", false) | (">" | ">=", true) => !tight && self.range(Side::Below, left, right),
            ("~" | "~*", false) => self.owned(left) && pattern_settled(right, pattern::regex_restricts),
            ("~~" | "~~*", false) => self.owned(left) && pattern_settled(right, pattern::like_restricts),
            ("^@", false) => self.owned(left) && pattern_settled(right, |text| !text.is_empty()),
            ("@>" | "<@" | "&&" | "?" | "?|" | "?&" | "@@", false) => {
                (self.owned(left) && self.container(right)) || (self.owned(right) && self.container(left))
            }
            _ => false,
        }
    }

    /// A container that leaves something out, as far as its text tells.
    fn container(&mut self, node: &'t Node) -> bool {
        if let Some(text) = constant(Some(node)) {
            return pattern::container_restricts(text);
        }
        let empty = matches!(&bare(node).node, Some(NodeEnum::AArrayExpr(array)) if array.elements.is_empty());
        !empty && self.settled(node)
    }

    /// Whether a column of only two values is compared, so that two comparisons can be everything.
    fn two_valued(&self, column: &'t Node, with: &'t Node) -> bool {
        fn boolean(node: &Node) -> bool {
            match &bare(node).node {
                Some(NodeEnum::AConst(value)) => matches!(value.val, Some(a_const::Val::Boolval(_))),
                Some(NodeEnum::List(list)) => list.items.iter().any(boolean),
                Some(NodeEnum::AArrayExpr(array)) => array.elements.iter().any(boolean),
                Some(_) | None => false,
            }
        }
        self.column_type(column) == Some(16) || boolean(with)
    }

    fn equal(&mut self, left: &'t Node, right: &'t Node) -> bool {
        if let (Some(NodeEnum::RowExpr(left)), Some(NodeEnum::RowExpr(right))) = (&left.node, &right.node) {
            return left.args.iter().zip(&right.args).any(|(left, right)| self.equal(left, right));
        }
        (self.owned(left) && (self.settled(right) || self.scalar(right)))
            || (self.owned(right) && (self.settled(left) || self.scalar(left)))
    }

    fn scalar(&mut self, node: &'t Node) -> bool {
        match &bare(node).node {
            Some(NodeEnum::SubLink(link)) if link.sub_link_type() == SubLinkType::ExprSublink => {
                self.solver.scalar(link.subselect.as_deref())
            }
            Some(_) | None => false,
        }
    }

    fn range(&mut self, side: Side, left: &'t Node, right: &'t Node) -> bool {
        let flipped = if side == Side::Above { Side::Below } else { Side::Above };
        self.end(side, left, right) || self.end(flipped, right, left)
    }

    /// Whether `column` beyond `end` leaves something out.
    fn end(&mut self, side: Side, column: &'t Node, end: &'t Node) -> bool {
        if !matches!(self.shape(column), Some(Shape::Plain | Shape::Period)) || !self.settled(end) {
            return false;
        }
        if let Some(value) = number(end) {
            return pattern::number_restricts(side, value, self.column_type(column));
        }
        match constant(Some(end)) {
            Some(text) => pattern::text_restricts(side, text),
            // A value of another row of unknown extent is no restriction: only what constants make is.
            None => !mentions_columns(end) && !is_query(end),
        }
    }

    fn between(&mut self, column: &'t Node, ends: &'t Node, tight: bool) -> bool {
        let Some(NodeEnum::List(list)) = &ends.node else { return false };
        let [low, high] = list.items.as_slice() else { return false };
        let (low, high) = (self.end(Side::Above, column, low), self.end(Side::Below, column, high));
        if tight { low && high } else { low || high }
    }

    fn either_way(&mut self, column: &'t Node, ends: &'t Node) -> bool {
        let Some(NodeEnum::List(list)) = &ends.node else { return false };
        list.items.iter().all(|end| self.end(Side::Above, column, end) && self.end(Side::Below, column, end))
    }

    /// Whether the expression stands for a column of the item, or is a row with one in it.
    fn owned(&mut self, node: &'t Node) -> bool {
        match &node.node {
            Some(NodeEnum::RowExpr(row)) => row.args.iter().any(|arg| self.shape(arg).is_some()),
            Some(_) => self.shape(node).is_some(),
            None => false,
        }
    }

    pub(super) fn is_builtin(&self, name: &str) -> bool {
        let user = self.solver.standing.function(None, name);
        user.user.is_empty() && builtins::function(name) == Some(FunctionClass::Pure)
    }

    fn settled_list(&mut self, node: &'t Node) -> bool {
        match &node.node {
            Some(NodeEnum::List(list)) => !list.items.is_empty() && list.items.iter().all(|item| self.settled(item)),
            _ => false,
        }
    }

    fn settled_array(&mut self, node: &'t Node) -> bool {
        match &bare(node).node {
            Some(NodeEnum::SubLink(link)) if link.sub_link_type() == SubLinkType::ArraySublink => {
                self.solver.values(link.subselect.as_deref())
            }
            Some(NodeEnum::FuncCall(call)) => {
                // Only what makes an array of a text or list: any other function may have every key.
                let name = names::strings(&call.funcname).and_then(|parts| parts.last().copied());
                matches!(name, Some("string_to_array" | "array_remove" | "array_append")) && self.settled(node)
            }
            Some(_) => self.settled(node),
            None => false,
        }
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
        match node {
            NodeRef::ColumnRef(column) => {
                self.is_variable(&column.fields)
                    || self.resolve(&column.fields).is_some_and(|(at, _)| {
                        at != self.at && self.problem.items.get(at).is_some_and(|item| item.restricted)
                    })
            }
            NodeRef::SubLink(link) => match link.sub_link_type() {
                SubLinkType::ExprSublink | SubLinkType::ArraySublink => self.solver.values(link.subselect.as_deref()),
                _ => false,
            },
            NodeRef::FuncCall(call) => {
                let parts = names::strings(&call.funcname).unwrap_or_default();
                let name = parts.last().copied().unwrap_or_default();
                let plain = parts.len() == 1 || parts.first() == Some(&names::CATALOGUE);
                plain && !UNSETTLED.contains(&name) && self.is_builtin(name) && self.settled_below(node)
            }
            NodeRef::SetToDefault(_) | NodeRef::AStar(_) => false,
            _ => self.settled_below(node),
        }
    }

    fn settled_below(&mut self, node: NodeRef<'t>) -> bool {
        let mut below = Vec::new();
        children(node, &mut |child| below.push(child)) && below.into_iter().all(|child| self.settled_ref(child))
    }

    /// The item that a column reference means, and the column's name. `None` where that is not certain.
    pub(super) fn resolve(&self, fields: &'t [Node]) -> Option<(usize, &'t str)> {
        let parts = names::strings(fields)?;
        match parts.as_slice() {
            // Which of the two a name means is a setting of the server.
            [name] if self.solver.standing.is_variable(name) => None,
            [name] => self.bare_column(name).map(|at| (at, *name)),
            [alias, name] => self.called(None, alias).map(|at| (at, *name)),
            [.., schema, alias, name] => self.called(Some(schema), alias).map(|at| (at, *name)),
            [] => None,
        }
    }

    /// Whether the name is a variable of a code block for certain: it is given like a parameter.
    fn is_variable(&self, fields: &'t [Node]) -> bool {
        let Some(parts) = names::strings(fields) else { return false };
        let Some(first) = parts.first().filter(|first| self.solver.standing.is_variable(first)) else { return false };
        let lacks = |item: &super::Item<'_>| match (&item.relation, &item.columns) {
            (Some(relation), _) => relation.column(first).is_none(),
            (None, Some(columns)) => !columns.contains(first),
            (None, None) => false,
        };
        self.problem.items.iter().all(|item| item.alias != *first && item.schema != *first && lacks(item))
    }

    fn called(&self, schema: Option<&str>, alias: &str) -> Option<usize> {
        let matching = |outer: bool| {
            self.problem.items.iter().position(|item| {
                item.outer == outer
                    && item.alias == alias
                    && schema.is_none_or(|schema| item.schema == schema || item.schema.is_empty())
            })
        };
        matching(false).or_else(|| matching(true))
    }

    fn bare_column(&self, name: &str) -> Option<usize> {
        let system = matches!(name, "ctid" | "tableoid" | "xmin" | "xmax" | "cmin" | "cmax");
        let inner: Vec<_> = self.problem.items.iter().enumerate().filter(|(_, item)| !item.outer).collect();
        let knows = |item: &super::Item<'_>| match (&item.relation, &item.columns) {
            (Some(relation), _) => Some(system || relation.column(name).is_some()),
            (None, Some(columns)) => Some(columns.contains(&name)),
            (None, None) => None,
        };
        let mut has = inner.iter().filter(|(_, item)| knows(item) == Some(true));
        let unsure: Vec<_> = inner.iter().filter(|(_, item)| knows(item).is_none()).collect();
        match (has.next(), has.next(), unsure.as_slice()) {
            (Some((at, _)), None, []) => Some(*at),
            (None, None, [(at, _)]) => Some(*at),
            // Not a column of the query itself: of the one around, where that is the only one.
            (None, None, []) => self
                .problem
                .items
                .iter()
                .position(|item| item.outer && knows(item).unwrap_or(true) && item.alias != "old"),
            _ => None,
        }
    }

    fn column_type(&self, node: &'t Node) -> Option<Oid> {
        let Some(NodeEnum::ColumnRef(column)) = &bare(node).node else { return None };
        let (at, name) = self.resolve(&column.fields)?;
        self.problem.items.get(at)?.relation.as_ref()?.column(name).map(|column| column.type_oid)
    }
}

/// An expression without the casts around it.
fn bare(node: &Node) -> &Node {
    match &node.node {
        Some(NodeEnum::TypeCast(cast)) => cast.arg.as_deref().map_or(node, bare),
        _ => node,
    }
}

/// The number that constants add up to.
pub(super) fn number(node: &Node) -> Option<f64> {
    match bare(node).node.as_ref()? {
        NodeEnum::AConst(value) => match value.val.as_ref()? {
            a_const::Val::Ival(value) => Some(f64::from(value.ival)),
            a_const::Val::Fval(value) => value.fval.replace('_', "").parse().ok(),
            a_const::Val::Sval(text) => text.sval.trim().parse().ok().filter(|value: &f64| value.is_finite()),
            a_const::Val::Boolval(_) | a_const::Val::Bsval(_) => None,
        },
        NodeEnum::AExpr(operation) => {
            let symbol = names::strings(&operation.name)?;
            let right = number(operation.rexpr.as_deref()?)?;
            let left = operation.lexpr.as_deref().map_or(Some(0.0), number)?;
            match symbol.as_slice() {
                ["-"] => Some(left - right),
                ["+"] => Some(left + right),
                ["*"] => Some(left * right),
                ["/"] => Some(left / right),
                ["^"] => Some(left.powf(right)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether a pattern is a constant that restricts, or holds a parameter.
fn pattern_settled(node: &Node, restricts: fn(&str) -> bool) -> bool {
    if let Some(text) = constant(Some(node)) {
        return restricts(text);
    }
    match &bare(node).node {
        Some(NodeEnum::ParamRef(_)) => true,
        Some(NodeEnum::AExpr(operation)) if matches!(names::strings(&operation.name).as_deref(), Some(["||"])) => {
            let sides = [operation.lexpr.as_deref(), operation.rexpr.as_deref()];
            sides.into_iter().flatten().any(|side| pattern_settled(side, restricts))
        }
        // LIKE … ESCAPE and SIMILAR TO hand their pattern through a built-in.
        Some(NodeEnum::FuncCall(call)) => match names::strings(&call.funcname).as_deref() {
            Some([.., "like_escape" | "similar_to_escape"]) => {
                call.args.first().is_some_and(|pattern| pattern_settled(pattern, restricts))
            }
            _ => false,
        },
        Some(_) | None => false,
    }
}

fn mentions_columns(node: &Node) -> bool {
    fn below(node: NodeRef<'_>) -> bool {
        let mut found = matches!(node, NodeRef::ColumnRef(_));
        children(node, &mut |child| found = found || below(child));
        found
    }
    node.node.as_ref().is_some_and(|node| below(node.to_ref()))
}

fn is_query(node: &Node) -> bool {
    matches!(&bare(node).node, Some(NodeEnum::SubLink(_)))
}
