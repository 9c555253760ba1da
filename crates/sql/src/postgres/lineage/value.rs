//! Expressions: what may flow into their values.
//!
//! What has no arm of its own is what flows into anything below it, so nothing inside can hide; a node that no text has
//! is unknown. Promises: a value is exact only where it is one column's, unchanged: a reference, however many queries
//! it comes through, a field of a row whose fields are known, or a scalar subquery of one.
//! Held by: `fixtures/sql/lineage.tsv` and the properties in `tests/it/lineage.rs`.

use super::flow::{Column, Columns, Flow, Found, Value};
use super::kind::{self, Side, Use};
use super::operator::is_constant;
use super::range::listed;
use super::{Tracer, collation, scalar, size};
use crate::builtins;
use crate::postgres::children::children;
use crate::postgres::expression::inner;
use crate::postgres::query::is_star;
use crate::postgres::{names, notation};
use pg_query::protobuf::{self, AIndirection, BoolExprType, Node, SubLink, SubLinkType, WindowDef};
use pg_query::{NodeEnum, NodeRef};
use portcullis_model::{ColumnId, Name};

/// Columns that a value may be an unchanged one of, at most: of others it is not known.
const OWN: usize = 8;

impl<'t> Tracer<'_, 't> {
    /// The value of an expression, where there is one.
    pub(super) fn value(&mut self, node: Option<&'t Node>) -> Value {
        inner(node).map_or_else(Value::none, |node| self.evaluate(node))
    }

    /// Everything that flows into any of them.
    pub(super) fn all_values(&mut self, nodes: &'t [Node]) -> Flow {
        nodes.iter().fold(Flow::none(), |all, node| all.with(&self.value(Some(node)).flow))
    }

    /// Everything that flows into anything directly below.
    pub(super) fn below(&mut self, node: NodeRef<'t>) -> Flow {
        let mut nodes = Vec::new();
        if !children(node, &mut |child| nodes.push(child)) {
            self.unknown = true;
            return Flow::unknown();
        }
        nodes.into_iter().fold(Flow::none(), |all, node| all.with(&self.evaluate(node).flow))
    }

    /// The value of an expression.
    pub(super) fn evaluate(&mut self, node: NodeRef<'t>) -> Value {
        if self.standing.steps.are_out() {
            return Value::untold(Flow::unknown());
        }
        let value = self.of_node(node);
        // It is put together with those beside it.
        self.standing.steps.take(1 + value.flow.weight() / 2);
        value
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the generic step is what every other node gets")]
    fn of_node(&mut self, node: NodeRef<'t>) -> Value {
        match node {
            NodeRef::ColumnRef(column) => self.column(&column.fields),
            NodeRef::AConst(constant) => kind::of_constant(constant),
            // Those that are no times are names.
            NodeRef::SqlvalueFunction(_) => Value { collation: collation::C, size: size::SMALL, ..kind::of_server() },
            // Of whichever type its client says.
            NodeRef::ParamRef(_) => Value { collation: collation::UNTOLD, size: size::PARAMETER, ..Value::none() },
            NodeRef::SetToDefault(_) | NodeRef::GroupingFunc(_) | NodeRef::CurrentOfExpr(_) | NodeRef::String(_) => {
                Value::none()
            }
            NodeRef::MergeSupportFunc(_) => Value::of(self.called_on_older(node, &Flow::none())),
            NodeRef::FuncCall(call) => {
                let (value, arguments) = self.called(call);
                if self.may_give_rows(call) {
                    self.condition(&arguments);
                }
                value
            }
            NodeRef::AExpr(expression) => self.operation(expression),
            NodeRef::SubLink(link) => self.sub_link(link),
            NodeRef::TypeCast(cast) => self.cast(cast),
            NodeRef::TypeName(name) => Value::of(self.type_use(name, &Value::none())),
            NodeRef::AIndirection(indirection) => self.indirection(&indirection.indirection, indirection),
            NodeRef::WindowDef(window) => Value::of(self.window(window)),
            NodeRef::SelectStmt(select) => Value::of(self.select(select).all()),
            NodeRef::JsonAggConstructor(aggregate) => {
                let flow = self.below(node);
                if aggregate.agg_filter.is_some() || !aggregate.agg_order.is_empty() {
                    self.condition(&flow);
                }
                Value::untold(flow)
            }
            NodeRef::BoolExpr(term) if term.boolop() == BoolExprType::NotExpr => kind::boolean(self.below(node)),
            // Which of them is computed depends on the others: an error in one tells of those before it, and so does the
            // time that a query in one takes.
            NodeRef::BoolExpr(_) => kind::boolean(self.guarded(node)),
            NodeRef::CaseExpr(case) => self.case(case),
            NodeRef::CoalesceExpr(coalesce) => self.coalesce(&coalesce.args),
            NodeRef::MinMaxExpr(choice) => {
                let values: Vec<Value> = choice.args.iter().map(|argument| self.value(Some(argument))).collect();
                self.typed(&beside(&values, &choice.args), Use::Compared);
                self.collations(&beside(&values, &choice.args), false);
                Value { own: Vec::new(), ..one_of(&Flow::none(), &values) }
            }
            NodeRef::AArrayExpr(array) => self.array(&array.elements),
            NodeRef::CollateClause(collate) => {
                let Value { flow, type_oid, tame, scalar, size, .. } = self.value(collate.arg.as_deref());
                let collation = collate.collname.is_empty().then_some(collation::UNTOLD);
                let collation = collation.unwrap_or_else(|| self.collation_named(collate));
                Value { type_oid, tame, collation, size, ..Value::scalar(flow, scalar) }
            }
            NodeRef::RowExpr(row) => {
                let (flow, values) = self.listed_values(&row.args);
                kind::row(flow, &values).made_of(values.iter())
            }
            NodeRef::List(list) => {
                let (flow, values) = self.listed_values(&list.items);
                kind::list(flow, &values).made_of(values.iter())
            }
            NodeRef::NullTest(_) | NodeRef::BooleanTest(_) => kind::boolean(self.below(node)),
            NodeRef::JsonIsPredicate(predicate) => {
                let value = self.value(predicate.expr.as_deref());
                self.typed(&[(&value, predicate.expr.as_deref())], Use::Read);
                kind::boolean(value.flow)
            }
            NodeRef::XmlExpr(_)
            | NodeRef::XmlSerialize(_)
            | NodeRef::JsonParseExpr(_)
            | NodeRef::JsonFuncExpr(_)
            | NodeRef::JsonSerializeExpr(_)
            | NodeRef::JsonObjectConstructor(_)
            | NodeRef::JsonObjectAgg(_)
            | NodeRef::JsonArrayConstructor(_)
            | NodeRef::JsonArrayQueryConstructor(_)
            | NodeRef::JsonArrayAgg(_)
            | NodeRef::JsonScalarExpr(_) => {
                let flow = self.below(node);
                self.risk(&flow);
                let more = self.called_on_older(node, &flow);
                Value::untold(flow.with(&more))
            }
            _ => Value::of(self.below(node)),
        }
    }

    /// What flows into anything below a node that computes some of it only where the rest says so.
    fn guarded(&mut self, node: NodeRef<'t>) -> Flow {
        let before = self.risks;
        let flow = self.below(node);
        self.chosen(before, &flow);
        flow
    }

    /// What was computed since then was computed only where these values said so.
    pub(super) fn chosen(&mut self, before: usize, flow: &Flow) {
        if self.risks > before {
            self.condition(flow);
        }
    }

    /// The values of several expressions, and all that flows into them.
    fn listed_values(&mut self, nodes: &'t [Node]) -> (Flow, Vec<Value>) {
        let values: Vec<Value> = nodes.iter().map(|node| self.value(Some(node))).collect();
        (values.iter().fold(Flow::none(), |all, value| all.with(&value.flow)), values)
    }

    /// The first that is not NULL. The first one is always computed, the others only behind it.
    fn coalesce(&mut self, nodes: &'t [Node]) -> Value {
        let mut values = Vec::with_capacity(nodes.len());
        let mut before = None;
        for node in nodes {
            values.push(self.value(Some(node)));
            before.get_or_insert(self.risks);
        }
        let mut value = one_of(&Flow::none(), &values);
        self.chosen(before.unwrap_or(self.risks), &value.flow);
        // Which of them it is tells whether those before it are NULL; of a stored column's own, and of a row, that shows
        // anyway.
        let computed = values.split_last().map_or(&[] as &[Value], |(_, before)| before).iter();
        let shows = |value: &Value| self.shows_nulls(value) || (value.exact && value.column().is_none());
        let computed = computed.filter(|value| !shows(value));
        let by = computed.fold(Flow::none(), |all, value| all.with(&value.flow));
        let before = self.risks;
        self.typed(&beside(&values, nodes), Use::Joined);
        self.chosen(before, &by);
        value.tame = kind::chosen(value.type_oid, value.tame, &by);
        value
    }

    /// CASE: one of its results.
    fn case(&mut self, case: &'t protobuf::CaseExpr) -> Value {
        let before = self.risks;
        let of = self.value(case.arg.as_deref());
        let mut tests = of.flow.clone();
        let mut results = Vec::with_capacity(case.args.len() + 1);
        let mut nodes = Vec::with_capacity(case.args.len() + 1);
        for node in &case.args {
            match node.node.as_ref() {
                Some(NodeEnum::CaseWhen(when)) => {
                    let test = self.value(when.expr.as_deref());
                    if case.arg.is_some() {
                        let sides = [(&of, case.arg.as_deref()), (&test, when.expr.as_deref())];
                        self.typed(&sides, Use::Compared);
                        self.collations(&sides, false);
                    }
                    tests.add(&test.flow);
                    results.push(self.value(when.result.as_deref()));
                    nodes.push(when.result.as_deref());
                }
                _ => tests.add(&self.value(Some(node)).flow),
            }
        }
        results.push(case.defresult.as_deref().map_or_else(kind::null, |node| self.value(Some(node))));
        nodes.push(case.defresult.as_deref());
        let sides: Vec<_> = results.iter().zip(nodes).collect();
        self.typed(&sides, Use::Joined);
        // Its tests alone say what is computed.
        self.chosen(before, &tests);
        one_of(&tests, &results)
    }

    /// `ARRAY[…]`: arrays in it must be of one shape, elements need not.
    fn array(&mut self, elements: &'t [Node]) -> Value {
        let values: Vec<Value> = elements.iter().map(|element| self.value(Some(element))).collect();
        let flow = values.iter().fold(Flow::none(), |all, value| all.with(&value.flow));
        let spelt = |node: &Node| matches!(node.node, Some(NodeEnum::AArrayExpr(_))) || is_constant(Some(node));
        if !values.iter().any(|value| value.scalar) && !elements.iter().all(spelt) {
            self.risk(&flow);
        }
        self.typed(&beside(&values, elements), Use::Joined);
        let (of, tame) = kind::common(values.iter());
        let (type_oid, tame) = kind::array_of(of, tame);
        Value { type_oid, tame, ..Value::of(flow) }.made_of(values.iter())
    }

    fn column(&mut self, fields: &'t [Node]) -> Value {
        if is_star(fields) {
            let qualifier = fields.split_last().and_then(|(_, rest)| names::strings(rest)).unwrap_or_default();
            let row = match qualifier.as_slice() {
                [] => None,
                [name] => self.row(None, name),
                [.., schema, name] => self.row(Some(schema), name),
            };
            return row.unwrap_or_else(|| Value::of(self.star(&qualifier).all()));
        }
        let Some(parts) = names::strings(fields) else { return Value::of(Flow::unknown()) };
        match parts.as_slice() {
            [name] => self.bare_value(name),
            [qualifier, name] => self.qualified_value(None, qualifier, name),
            [.., schema, relation, name] => self.qualified_value(Some(schema), relation, name),
            [] => Value::of(Flow::unknown()),
        }
    }

    pub(super) fn bare_value(&self, name: &str) -> Value {
        let found = self.bare(name);
        if let Found::Certainly(value) = found {
            return value;
        }
        match (found, self.row(None, name)) {
            (Found::Certainly(value), _) | (Found::No, Some(value)) => value,
            (Found::Perhaps(flow), Some(row)) => Value::untold(flow.with(&row.flow)),
            (Found::Perhaps(flow), None) => Value::untold(flow),
            // What is in a variable was put there by something that counts as kept.
            (Found::No, None) if self.standing.is_variable(name) => Value::untold(Flow::none()),
            (Found::No, None) => Value::untold(Flow::unknown()),
        }
    }

    fn qualified_value(&mut self, schema: Option<&str>, qualifier: &str, name: &str) -> Value {
        match self.qualified(schema, qualifier, name) {
            Some((Found::Certainly(value), _)) => value,
            // Where nothing is known of the row, it is a column more likely than a call of what takes no rows: types are
            // not looked at then.
            Some((Found::Perhaps(flow), row)) if row.flow.is_untold() && !notation::takes_rows(name) => {
                let Some(callee) = self.standing.behind_dot(name) else { return Value::untold(row.flow.with(&flow)) };
                self.strained(name, &[(&row, None)]);
                let called = self.answer(&callee, name, std::slice::from_ref(&row), &row.flow);
                Value::untold(called.with(&flow))
            }
            Some((Found::Perhaps(flow), row)) => Value::untold(self.attribute(&row, name).0.with(&flow)),
            // Not a column: a function of the whole row, written as one.
            Some((Found::No, row)) => Value::untold(self.attribute(&row, name).0),
            None if self.standing.is_variable(schema.unwrap_or(qualifier)) => Value::untold(Flow::none()),
            None => Value::untold(Flow::unknown()),
        }
    }

    /// What stands behind a dot and is no column that is known: what flows into the call that it is, or into a field not
    /// known, and how long that may be.
    fn attribute(&mut self, value: &Value, name: &str) -> (Flow, u64) {
        let callee = self.standing.behind_dot(name).filter(|_| !self.has_field(value, name));
        let Some(callee) = callee else { return (value.flow.clone(), value.size) };
        let called = self.applied(&callee, name, std::slice::from_ref(value), &[None], false);
        if builtins::flows(name).rows.is_some() {
            self.condition(&value.flow);
        }
        (called.flow, called.size.max(value.size))
    }

    /// Whether it is a column of a composite type that has this field.
    fn has_field(&self, value: &Value, name: &str) -> bool {
        self.standing.composite(value.type_oid).is_some_and(|fields| fields.column(name).is_some())
    }

    /// The fields of a composite type.
    fn fields_of(&self, type_oid: u32) -> Option<Vec<Name>> {
        let relation = self.standing.composite(type_oid)?;
        Some(relation.columns.iter().map(|column| column.name.clone()).collect())
    }

    /// The field of a row, or a function of it.
    fn field(&mut self, value: &Value, name: &str) -> Value {
        if let Some(Found::Certainly(field)) = value.fields.as_ref().map(|fields| fields.named(&[], name)) {
            return field;
        }
        let tame = value.tame.clone().filter(|_| self.has_field(value, name));
        let (flow, size) = self.attribute(value, name);
        Value { tame, size, collation: collation::UNTOLD, ..Value::of(flow) }
    }

    /// An expression and these of the subscripts and fields behind it.
    fn indirection(&mut self, steps: &'t [Node], node: &'t AIndirection) -> Value {
        let mut value = self.value(node.arg.as_deref());
        for step in steps {
            value = match &step.node {
                Some(NodeEnum::String(field)) => self.field(&value, &field.sval),
                Some(NodeEnum::AStar(_)) => Value::untold(value.flow),
                _ => {
                    // What stands in brackets is not computed where there is nothing to take it from.
                    let before = self.risks;
                    let index = self.value(Some(step)).flow;
                    self.chosen(before, &value.flow);
                    let is_element = scalar::of_element(node);
                    let (type_oid, tame) = kind::taken(&value, &index, is_element);
                    let Value { flow, collation, size, .. } = value;
                    Value { type_oid, tame, collation, size, ..Value::scalar(flow.with(&index), is_element) }
                }
            };
        }
        value
    }

    /// `(expression).*` in a select list.
    pub(super) fn row_star(&mut self, node: &'t AIndirection) -> Columns {
        let steps = node.indirection.split_last().map_or(&[] as &[Node], |(_, steps)| steps);
        let value = self.indirection(steps, node);
        if let Some(list) = value.fields.as_ref().and_then(|fields| fields.columns(&[])) {
            return Columns { list, rest: None };
        }
        match self.fields_of(value.type_oid) {
            Some(names) => Columns { list: listed(names, &value.flow), rest: None },
            None => Columns::open(value.flow),
        }
    }

    fn sub_link(&mut self, link: &'t SubLink) -> Value {
        let test = self.value(link.testexpr.as_deref());
        // However little it tells, a query takes time: whether it ran at all can be measured.
        self.risks += 1;
        let before = self.risks;
        let outside = std::mem::take(&mut self.conditions);
        let columns = self.query_node(link.subselect.as_deref());
        let within = std::mem::replace(&mut self.conditions, outside);
        self.condition(&within);
        match link.sub_link_type() {
            SubLinkType::ExistsSublink => {
                // Its columns are not looked at, but those that are computed may raise errors.
                let computed = |column: &Column| (!column.value.exact).then(|| column.value.flow.clone());
                let computed = columns.list.iter().filter_map(computed).chain(columns.rest.clone());
                computed.for_each(|flow| self.condition(&flow));
                kind::boolean(within)
            }
            SubLinkType::ExprSublink => single(columns),
            SubLinkType::AnySublink | SubLinkType::AllSublink | SubLinkType::RowcompareSublink => {
                let all = test.flow.clone().with(&columns.all());
                // Rows are read until one settles it.
                self.chosen(before, &all);
                let parts = names::strings(&link.oper_name).unwrap_or_default();
                let (schema, symbol) = names::split(&parts).unwrap_or((None, "="));
                let given = single(columns);
                let sides = [(&test, link.testexpr.as_deref()), (&given, None)];
                if let Some(using) = kind::asked(symbol, 2) {
                    self.typed(&sides, using);
                }
                self.collations(&sides, collation::searches(symbol));
                self.strained(symbol, &sides);
                let operator = self.operator_named(schema, symbol, &[&test, &given]);
                kind::boolean(all.with(&within).with(&operator))
            }
            SubLinkType::ArraySublink => {
                let all = columns.all();
                let element = single(columns);
                if !element.scalar {
                    self.risk(&all);
                }
                let (type_oid, tame) = kind::array_of(element.type_oid, element.tame);
                Value { type_oid, tame, collation: element.collation, size: size::ENDLESS, ..Value::of(all) }
            }
            SubLinkType::MultiexprSublink => Value::untold(columns.all()),
            SubLinkType::Undefined | SubLinkType::CteSublink => Value::untold(columns.all().with(&Flow::unknown())),
        }
    }

    /// What a window's rows are divided and ordered by; it decides what functions over it give.
    pub(super) fn window(&mut self, window: &'t WindowDef) -> Flow {
        let mut flow = self.all_values(&window.partition_clause);
        flow.add(&self.all_values(&window.order_clause));
        flow.add(&self.value(window.start_offset.as_deref()).flow);
        flow.add(&self.value(window.end_offset.as_deref()).flow);
        for name in [&window.name, &window.refname] {
            let named = |level: &super::range::Level| {
                self.standing.steps.take(1 + level.windows.len() / 4);
                level.windows.iter().find(|(known, _)| known.as_str() == name).map(|(_, flow)| flow.clone())
            };
            if let Some(known) = self.levels.iter().rev().find_map(named) {
                flow.add(&known);
            }
        }
        self.condition(&flow);
        flow
    }

    /// Columns that values are assigned from: `(a, b) = (…)` gives each its place.
    pub(super) fn assigned(&mut self, node: Option<&'t Node>) -> Value {
        let Some(NodeEnum::MultiAssignRef(part)) = node.and_then(|node| node.node.as_ref()) else {
            return self.value(node);
        };
        self.part_assigned(part)
    }

    fn part_assigned(&mut self, part: &'t protobuf::MultiAssignRef) -> Value {
        let at = usize::try_from(part.colno).ok().and_then(|number| number.checked_sub(1));
        let source = part.source.as_deref();
        match (source.and_then(|source| source.node.as_ref()), at) {
            (Some(NodeEnum::RowExpr(row)), Some(at)) => match row.args.get(at) {
                Some(item) => self.value(Some(item)),
                None => self.value(source),
            },
            (Some(NodeEnum::SubLink(link)), Some(at)) => {
                let columns = self.query_node(link.subselect.as_deref());
                match (columns.list.get(at), &columns.rest) {
                    (Some(column), None) => column.value.clone(),
                    _ => Value::untold(columns.all()),
                }
            }
            _ => self.value(source),
        }
    }
}

/// What may be any of these values, where the tests say which: all are of one type.
fn one_of(tests: &Flow, values: &[Value]) -> Value {
    let flow = values.iter().fold(tests.clone(), |all, value| all.with(&value.flow));
    // A test of the column itself says what the column is.
    let suits = |column: &ColumnId| !tests.reads(*column) && values.iter().all(|value| value.suits(*column));
    let mut own: Vec<ColumnId> = Vec::new();
    for column in values.iter().flat_map(Value::unchanged) {
        // Each is looked for in all values, so few are.
        if own.len() < OWN && !own.contains(&column) {
            own.push(column);
        }
    }
    own.retain(suits);
    let (type_oid, tame) = kind::common(values.iter());
    let tame = kind::chosen(type_oid, tame, tests);
    let one = Value { own, type_oid, tame, ..Value::scalar(flow, values.iter().any(|value| value.scalar)) };
    one.like(values.iter())
}

/// Values and what they are written as.
fn beside<'v>(values: &'v [Value], nodes: &'v [Node]) -> Vec<Side<'v>> {
    values.iter().zip(nodes.iter().map(Some)).collect()
}

/// The value of a query of one column.
fn single(columns: Columns) -> Value {
    match (columns.list.as_slice(), &columns.rest) {
        ([column], None) => column.value.clone(),
        (_, Some(_)) => Value { tame: columns.tame(), ..Value::untold(columns.all()) },
        (list, None) => {
            let row = Value { tame: columns.tame(), ..Value::of(columns.all()) };
            row.made_of(list.iter().map(|column| &column.value))
        }
    }
}
