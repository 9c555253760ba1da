//! Calls of functions: what flows into their results, and what they may do with what they are given.
//!
//! A built-in that is pure gives what it is given; every other may keep it, and some return what was stored: which, is
//! told by the class of the function and by `data/function_flows.tsv`. A user's function may return anything; one that
//! is not known to be immutable or stable may keep its arguments. Promises: what may raise an error is a risk, and so is
//! what leaves a trace in the session; `(x).f` uses no less than `f(x)`.
//! Held by: `fixtures/sql/lineage.tsv`.

use super::flow::{Flow, Found, Value};
use super::kind::Side;
use super::{Tracer, collation, kind, scalar, size};
use crate::builtins::{self, FunctionClass, ResultFlow, Sight};
use crate::postgres::expression::constant;
use crate::postgres::names::{self, Callee};
use crate::postgres::older;
use pg_query::protobuf::{FuncCall, Node};
use pg_query::{NodeEnum, NodeRef};
use portcullis_model::Part;

impl<'t> Tracer<'_, 't> {
    /// The result of a call, and what flows into its arguments.
    pub(super) fn called(&mut self, call: &'t FuncCall) -> (Value, Flow) {
        let arguments: Vec<Value> = call.args.iter().map(|argument| self.argument(argument)).collect();
        let all = arguments.iter().fold(Flow::none(), |all, value| all.with(&value.flow));
        let around = self.around(call, &all);
        let parts = names::strings(&call.funcname).unwrap_or_default();
        let Some((schema, name)) = names::split(&parts) else {
            return (Value::untold(all.clone().with(&Flow::unknown())), all);
        };
        let callee = self.standing.function(older::written_schema(schema, name), name);
        if let (None, [row]) = (schema, arguments.as_slice())
            && let Some(field) = self.field_as_function(&callee, row, name)
        {
            return (field, all);
        }
        let special = schema.is_none_or(|schema| schema == names::CATALOGUE) && callee.user.is_empty();
        if special && name == "current_setting" && is_plain_setting(call.args.first()) {
            return (Value::of(all.clone()), all);
        }
        let nodes: Vec<Option<&Node>> = call.args.iter().map(Some).collect();
        let mut value = self.applied(&callee, name, &arguments, &nodes, call.func_variadic);
        value.flow.add(&around);
        if older::is_system_user(call, schema, name) {
            // Of a column, where it is one.
            value.flow.add(&self.column_on_older());
            (value.collation, value.size) = (collation::UNTOLD, size::STORED);
        }
        (value, all)
    }

    /// What a function makes of its arguments, and what it may refuse of them; `nodes`: as which they are written, where
    /// they are. However a call is written, it comes here.
    pub(super) fn applied(
        &mut self,
        callee: &Callee,
        name: &str,
        arguments: &[Value],
        nodes: &[Option<&Node>],
        variadic: bool,
    ) -> Value {
        let all = arguments.iter().fold(Flow::none(), |all, value| all.with(&value.flow));
        let flow = self.answer(callee, name, arguments, &all);
        let is_builtin = callee.builtin.is_some();
        let alone = is_builtin && callee.user.is_empty();
        let beside: Vec<Side<'_>> = arguments.iter().zip(nodes.iter().copied()).collect();
        let settled = !variadic && self.is_settled(name, &beside);
        // Arrays that are gathered must be of one shape.
        let shaped = name == "array_agg" && arguments.iter().any(|value| !value.scalar);
        if is_builtin && (shaped || !settled) {
            self.risk(&all);
        }
        if let (true, Some(using)) = (is_builtin, kind::asked(name, arguments.len())) {
            self.typed(&beside, using);
        }
        let given = self.collations(&beside, collation::searches(name));
        self.strained(name, &beside);
        let (type_oid, tame) = match (is_builtin, callee.user.is_empty()) {
            (true, true) => kind::of_call(name, arguments),
            (true, false) => (0, None),
            // Its arguments are a risk already, and what it makes of them is for whoever wrote it.
            (false, _) => (0, Some(Flow::none())),
        };
        let (collation, size) = if alone {
            let has = size::has_collation(type_oid);
            let collation = if has { collation::of_call(name, given) } else { collation::NONE };
            let of_call = if variadic { size::of_variadic } else { size::of_call };
            (collation, of_call(name, type_oid, &beside))
        } else {
            (collation::UNTOLD, size::ENDLESS)
        };
        let is_scalar = alone && scalar::of_call(name, arguments);
        Value { type_oid, tame, collation, size, ..Value::scalar(flow, is_scalar) }
    }

    /// What flows into what only newer servers have syntax for, where older ones call a user's function.
    pub(super) fn called_on_older(&mut self, node: NodeRef<'_>, arguments: &Flow) -> Flow {
        let functions = self.standing.called_on_older(node);
        functions.iter().fold(Flow::none(), |all, function| all.with(&self.user_function(function, arguments)))
    }

    /// What flows into `SYSTEM_USER` where older servers take it for a column.
    fn column_on_older(&self) -> Flow {
        match self.bare(older::SYSTEM_USER) {
            Found::Certainly(value) => value.flow,
            Found::Perhaps(flow) => flow,
            Found::No => Flow::none(),
        }
    }

    fn argument(&mut self, node: &'t Node) -> Value {
        match &node.node {
            Some(NodeEnum::NamedArgExpr(named)) => self.value(named.arg.as_deref()),
            _ => self.value(Some(node)),
        }
    }

    /// What decides about an aggregate's or window function's result besides its arguments.
    fn around(&mut self, call: &'t FuncCall, arguments: &Flow) -> Flow {
        let mut flow = self.all_values(&call.agg_order);
        flow.add(&self.value(call.agg_filter.as_deref()).flow);
        self.condition(&flow);
        if call.agg_distinct {
            self.condition(arguments);
        }
        if let Some(window) = &call.over {
            flow.add(&self.window(window));
        }
        flow
    }

    /// `f(row)` where the row has a field `f` and no function is called so.
    fn field_as_function(&self, callee: &Callee, row: &Value, name: &str) -> Option<Value> {
        let standing = self.standing;
        let none = callee.builtin.is_none() && callee.user.iter().all(|function| function.schema == Part::Unknown);
        if !none || !standing.scope.catalogue.is_known() || standing.uncertain {
            return None;
        }
        match row.fields.as_ref()?.named(&[], name) {
            Found::Certainly(value) => Some(value),
            Found::Perhaps(_) | Found::No => None,
        }
    }

    /// Whether a call in a select list may give several rows, or none.
    pub(super) fn may_give_rows(&self, call: &FuncCall) -> bool {
        let parts = names::strings(&call.funcname).unwrap_or_default();
        names::split(&parts).is_none_or(|(schema, name)| match schema {
            None | Some(names::CATALOGUE) => builtins::flows(name).rows.is_some(),
            Some(_) => false,
        })
    }

    /// What flows into the result of whoever answers the call.
    pub(super) fn answer(&mut self, callee: &Callee, name: &str, arguments: &[Value], all: &Flow) -> Flow {
        let mut flow = all.clone();
        for function in &callee.user {
            flow.add(&self.user_function(function, all));
        }
        if let Some(class) = callee.builtin {
            flow.add(&self.builtin(class, name, arguments, all));
        }
        flow
    }

    fn builtin(&mut self, class: FunctionClass, name: &str, arguments: &[Value], all: &Flow) -> Flow {
        let facts = builtins::flows(name);
        for (at, argument) in arguments.iter().enumerate() {
            if !facts.safe.holds(at) {
                self.risk(&argument.flow);
            }
        }
        if class != FunctionClass::Pure {
            // Whether it is called at all can be seen afterwards.
            self.risks += 1;
            self.written(None, all.clone());
        } else if draws(name) {
            // As how often it was: the next number is another.
            self.risks += 1;
        }
        self.unknown |= class == FunctionClass::RunsSql;
        let stored = match (facts.result, class) {
            (Some(result), _) => result == ResultFlow::Stored,
            (None, FunctionClass::Pure | FunctionClass::ChangesState) => false,
            (
                None,
                FunctionClass::ReadsByName
                | FunctionClass::RunsSql
                | FunctionClass::ServerFiles
                | FunctionClass::Sensitive,
            ) => true,
        };
        if stored { Flow::unknown() } else { Flow::none() }
    }
}

/// Whether it takes a number from the session's own generator, whose later ones tell how many were taken. Identifiers are
/// made of the system's.
fn draws(name: &str) -> bool {
    builtins::sight(name) == Some(Sight::Chance) && !matches!(name, "gen_random_uuid" | "uuidv4" | "uuidv7")
}

/// A setting that holds no secret.
fn is_plain_setting(node: Option<&Node>) -> bool {
    constant(node).is_some_and(builtins::may_be_shown)
}
