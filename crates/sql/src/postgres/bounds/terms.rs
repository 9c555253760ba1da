//! Single terms: whether one restricts an item.
//!
//! A term is read with its negation pushed inwards. Below OR only tight terms count (equalities, lists, closed ranges),
//! since two open ranges together can be everything. Held by: `fixtures/sql/bounds.tsv`.

use super::given::{JSONB, bare, number};
use super::pattern::{self, Held, Side};
use super::shape::{NUMBERS, Shape, is_boolean};
use super::shown::{Pattern, Showing, is_text_type, pattern_settled};
use super::{Problem, Solver, Taken, level};
use crate::postgres::children::children;
use crate::postgres::expression::constant;
use crate::postgres::names;
use crate::postgres::query::last;
use crate::postgres::steps::Steps;
use pg_query::protobuf::{
    self, AExpr, AExprKind, AIndirection, BoolExprType, BoolTestType, Node, NullTestType, SubLinkType,
};
use pg_query::{NodeEnum, NodeRef};

/// The type id of booleans.
pub(super) const BOOLEAN: u32 = 16;

/// The type id of amounts of money.
const MONEY: u32 = 790;

/// The first id of users' types: before it all are the server's.
pub(super) const USERS: u32 = 16384;

/// Whether the term restricts the item at `at`.
pub(super) fn restricts<'t>(solver: &mut Solver<'_, '_, 't>, problem: &Problem<'t>, at: usize, term: &'t Node) -> bool {
    Term { solver, problem, at }.holds(term, false, false)
}

/// Whether a function is called, or may be behind a dot, or an aggregate or query stands, anywhere in the expression.
pub(super) fn calls(node: &Node) -> bool {
    fn below(node: NodeRef<'_>) -> bool {
        let called = match node {
            NodeRef::FuncCall(_)
            | NodeRef::SubLink(_)
            | NodeRef::SelectStmt(_)
            | NodeRef::JsonArrayAgg(_)
            | NodeRef::JsonObjectAgg(_) => true,
            NodeRef::AIndirection(indirection) => has_dots(indirection),
            _ => false,
        };
        if called {
            return true;
        }
        let mut found = false;
        let known = children(node, &mut |child| found = found || below(child));
        found || !known
    }
    node.node.as_ref().is_some_and(|node| below(node.to_ref()))
}

/// Whether a name stands behind a dot of it: a field, or a function.
pub(super) fn has_dots(indirection: &AIndirection) -> bool {
    indirection.indirection.iter().any(|step| matches!(&step.node, Some(NodeEnum::String(_))))
}

pub(super) struct Term<'x, 'r, 's, 't> {
    pub(super) solver: &'x mut Solver<'r, 's, 't>,
    pub(super) problem: &'x Problem<'t>,
    pub(super) at: usize,
}

impl<'t> Term<'_, '_, '_, 't> {
    /// Whether the term, or its negation, restricts the item; `tight`: in a way that adds up under OR.
    fn holds(&mut self, node: &'t Node, negated: bool, tight: bool) -> bool {
        if !self.solver.step(1) {
            return false;
        }
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
            SubLinkType::ExistsSublink => {
                let (problem, at) = (self.problem, self.at);
                self.inside(|solver| solver.exists(problem, at, link.subselect.as_deref()))
            }
            SubLinkType::AnySublink => {
                let equal = matches!(names::strings(&link.oper_name).as_deref(), Some([] | ["="]));
                equal
                    && link.testexpr.as_deref().is_some_and(|test| self.spread(test, usize::MAX))
                    && self.inside(|solver| solver.values(link.subselect.as_deref(), Taken::Each))
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
            (AExprKind::AexprIn, "=", false) | (AExprKind::AexprIn, "<>", true) => self.listed(left, right, tight),
            (AExprKind::AexprOpAny, "=", false) => {
                let whole = self.spread(left, usize::MAX) && !self.two_valued(left, right) && self.settled_array(right);
                whole || (self.settled(left) && self.apart(right))
            }
            (AExprKind::AexprNotDistinct, _, false) | (AExprKind::AexprDistinct, _, true) => {
                self.equal(left, right, tight, true)
            }
            (AExprKind::AexprLike, "~~", false) | (AExprKind::AexprIlike, "~~*", false) => {
                self.matched(left, right, Pattern::Like)
            }
            (AExprKind::AexprSimilar, "~", false) => self.matched(left, right, Pattern::Similar),
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
            ("=", false) | ("<>", true) => self.equal(left, right, tight, false),
            (">" | ">=", false) | ("<" | "<=", true) => !tight && self.range(Side::Above, left, right),
            ("<" | "<=", false) | (">" | ">=", true) => !tight && self.range(Side::Below, left, right),
            ("~" | "~*", false) => self.matched(left, right, Pattern::Regex),
            ("~~" | "~~*", false) => self.matched(left, right, Pattern::Like),
            ("^@", false) => self.matched(left, right, Pattern::Prefix),
            ("@@", false) => self.search(left, right) || self.search(right, left),
            ("@>", false) => self.contains(left, right, Held::Inside),
            ("<@", false) => self.contains(right, left, Held::Inside),
            ("&&" | "?" | "?|" | "?&", false) => self.contains(left, right, Held::Around),
            _ => false,
        }
    }

    /// Whether a container restricts; `held`: what `part` is to `whole` where `part` is the constant.
    fn contains(&mut self, whole: &'t Node, part: &'t Node, held: Held) -> bool {
        (self.apart(whole) && self.container(part, held)) || (self.apart(part) && self.container(whole, Held::Around))
    }

    fn matched(&mut self, left: &'t Node, right: &'t Node, pattern: Pattern) -> bool {
        self.apart(left) && pattern_settled(right, pattern, self.showing(left))
    }

    /// Whether a column of only two values is compared, so that two comparisons can be everything.
    fn two_valued(&self, column: &'t Node, with: &'t Node) -> bool {
        fn boolean(node: &Node) -> bool {
            match &bare(node).node {
                Some(NodeEnum::List(list)) => list.items.iter().any(boolean),
                Some(NodeEnum::AArrayExpr(array)) => array.elements.iter().any(boolean),
                Some(_) => is_boolean(node),
                None => false,
            }
        }
        self.column_type(column) == Some(BOOLEAN) || boolean(with)
    }

    /// Whether an equality restricts; `nulls`: one that NULL takes part in.
    fn equal(&mut self, left: &'t Node, right: &'t Node, tight: bool, nulls: bool) -> bool {
        if let (Some(NodeEnum::RowExpr(left)), Some(NodeEnum::RowExpr(right))) = (&left.node, &right.node) {
            return left.args.iter().zip(&right.args).any(|(left, right)| self.equal(left, right, tight, nulls));
        }
        self.pins(left, right, tight, nulls) || self.pins(right, left, tight, nulls)
    }

    fn pins(&mut self, column: &'t Node, with: &'t Node, tight: bool, nulls: bool) -> bool {
        // Of a column that has few values, equalities with a few rows are all of them.
        let few = if tight || self.mentions_columns(with) { usize::MAX } else { 1 };
        if !self.spread(column, few) {
            return false;
        }
        if few > 1 && self.two_valued(column, with) {
            return false;
        }
        // What is computed may be NULL whatever the column is.
        let plain = matches!(self.shape(column), Some(Shape::Plain | Shape::Place));
        let value = matches!(&bare(with).node, Some(NodeEnum::AConst(value)) if !value.isnull);
        (!nulls || plain || value) && (self.settled(with) || self.scalar(with))
    }

    /// Whether a list of values leaves some of the column's out.
    fn listed(&mut self, column: &'t Node, list: &'t Node, tight: bool) -> bool {
        let Some(NodeEnum::List(list)) = &list.node else { return false };
        let count = if tight { usize::MAX } else { list.items.len() };
        if list.items.is_empty() || !list.items.iter().all(|item| self.settled(item)) {
            return false;
        }
        let Some(NodeEnum::RowExpr(row)) = &column.node else {
            return self.spread(column, count) && !list.items.iter().any(|item| self.two_valued(column, item));
        };
        row.args.iter().enumerate().any(|(at, column)| {
            self.spread(column, count)
                && list.items.iter().all(|item| match &item.node {
                    Some(NodeEnum::RowExpr(item)) => item.args.get(at).is_some_and(|arg| !self.two_valued(column, arg)),
                    Some(_) | None => false,
                })
        })
    }

    /// Whether so many values of the expression leave some out.
    fn spread(&mut self, node: &'t Node, count: usize) -> bool {
        if let Some(NodeEnum::RowExpr(row)) = &node.node {
            return row.args.iter().any(|arg| self.spread(arg, count));
        }
        match self.shape(node) {
            Some(Shape::Coarse(values)) => count < values,
            Some(Shape::Plain) => count < 2 || self.column_type(node) != Some(BOOLEAN),
            Some(Shape::Period | Shape::Other | Shape::Joined | Shape::Place) => true,
            None => false,
        }
    }

    /// Whether the expression is of the column's own values, apart from any constant.
    pub(super) fn apart(&mut self, node: &'t Node) -> bool {
        matches!(self.shape(node), Some(Shape::Plain | Shape::Period | Shape::Other))
    }

    fn mentions_columns(&self, node: &'t Node) -> bool {
        fn below(steps: &Steps, node: NodeRef<'_>) -> bool {
            let mut found = matches!(node, NodeRef::ColumnRef(_)) || !steps.take(1);
            children(node, &mut |child| found = found || below(steps, child));
            found
        }
        node.node.as_ref().is_some_and(|node| below(&self.solver.standing.steps, node.to_ref()))
    }

    fn scalar(&mut self, node: &'t Node) -> bool {
        match &bare(node).node {
            Some(NodeEnum::SubLink(link)) if link.sub_link_type() == SubLinkType::ExprSublink => {
                self.inside(|solver| solver.scalar(link.subselect.as_deref()))
            }
            Some(_) | None => false,
        }
    }

    /// Looks at a query in the one that the term is of.
    pub(super) fn inside<R>(&mut self, look: impl FnOnce(&mut Solver<'_, '_, 't>) -> R) -> R {
        self.solver.step(self.problem.items.iter().map(|item| item.columns.weight()).sum());
        self.solver.around.push(level(self.problem));
        let found = look(&mut *self.solver);
        self.solver.around.pop();
        found
    }

    fn range(&mut self, side: Side, left: &'t Node, right: &'t Node) -> bool {
        let flipped = if side == Side::Above { Side::Below } else { Side::Above };
        self.end(side, left, right) || self.end(flipped, right, left)
    }

    /// Whether `column` beyond `end` leaves something out.
    fn end(&mut self, side: Side, column: &'t Node, end: &'t Node) -> bool {
        if !(matches!(self.shape(column), Some(Shape::Plain | Shape::Period)) || self.is_measured_member(column))
            || !self.settled(end)
            || self.column_type(column) == Some(BOOLEAN)
        {
            return false;
        }
        let (text, type_oid) = (constant(Some(end)), self.column_type(column));
        if text.is_some_and(|text| !self.is_placed(column, text)) {
            return false;
        }
        let counts = type_oid.is_none_or(|oid| NUMBERS.contains(&oid) || oid == MONEY || oid >= USERS);
        if let (Some(value), true) = (number(end), text.is_none() || counts) {
            return pattern::number_restricts(side, value, type_oid);
        }
        match text {
            Some(text) => pattern::text_restricts(side, text),
            // A value of another row of unknown extent is no restriction: only what constants make is.
            None => self.moment(end),
        }
    }

    /// Whether a text says where in the order of the column it stands: labels of an enumeration do not, nor does what
    /// is JSON, nor the text of what is no text.
    fn is_placed(&self, column: &'t Node, text: &str) -> bool {
        let first = text.trim_start().chars().next();
        let placed = match self.column_type(column) {
            Some(JSONB) => false,
            Some(type_oid) if type_oid >= USERS => first.is_some_and(|c| c.is_ascii_digit() || matches!(c, '-' | '+')),
            Some(_) | None => true,
        };
        placed && (!is_text_cast(column) || self.showing(column) == Showing::Text)
    }

    fn between(&mut self, column: &'t Node, ends: &'t Node, tight: bool) -> bool {
        let Some(NodeEnum::List(list)) = &ends.node else { return false };
        let [low, high] = list.items.as_slice() else { return false };
        // As strict as `>=` is: `id BETWEEN 5 AND (SELECT max(id) …)` is whatever is there.
        if !(self.settled(low) && self.settled(high)) {
            return false;
        }
        let (low, high) = (self.end(Side::Above, column, low), self.end(Side::Below, column, high));
        if tight { low && high } else { low || high }
    }

    fn either_way(&mut self, column: &'t Node, ends: &'t Node) -> bool {
        let Some(NodeEnum::List(list)) = &ends.node else { return false };
        list.items.iter().all(|end| self.end(Side::Above, column, end) && self.end(Side::Below, column, end))
    }
}

/// Whether a value is taken as a text.
fn is_text_cast(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::TypeCast(cast)) => cast.type_name.as_ref().is_some_and(|name| is_text_type(last(&name.names))),
        Some(NodeEnum::CollateClause(collate)) => collate.arg.as_deref().is_some_and(is_text_cast),
        Some(_) | None => false,
    }
}
