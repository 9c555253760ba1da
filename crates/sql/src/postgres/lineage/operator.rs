//! Operators and casts: what they do with the values beside them, and which user's functions they run.
//!
//! Promises: a user's operator of a name that could be meant is taken to be meant, unless both sides are of built-in
//! types and the operator is for users' types alone; one that may raise an error is a risk. Does not promise to know
//! implicit casts that users defined. Held by: `fixtures/sql/lineage.tsv`.

use super::flow::{Flow, Value};
use super::kind::{self, Use};
use super::{Tracer, collation, scalar, size};
use crate::builtins;
use crate::postgres::names::{self, CATALOGUE};
use crate::postgres::query::last;
use crate::postgres::types;
use pg_query::NodeEnum;
use pg_query::protobuf::{AExpr, AExprKind, Node, TypeCast, TypeName};
use portcullis_model::QualifiedName;
use portcullis_model::catalogue::{Oid, Volatility};

/// The first object id that is not the server's own.
pub(super) const FIRST_NORMAL: Oid = 16384;

const JSONB: Oid = 3802;

/// Whether it is of a built-in type for certain.
pub(super) const fn is_builtin_column(value: &Value) -> bool {
    value.exact && value.type_oid != 0 && value.type_oid < FIRST_NORMAL
}

/// Whether it is written as a constant or parameter, cast to nothing but a built-in type.
pub(super) fn is_constant(node: Option<&Node>) -> bool {
    match node.and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_)) => true,
        Some(NodeEnum::TypeCast(cast)) => is_constant(cast.arg.as_deref()),
        _ => false,
    }
}

impl<'t> Tracer<'_, 't> {
    /// A call of a user's function: what it returns besides what is given to it.
    pub(super) fn user_function(&mut self, name: &QualifiedName, arguments: &Flow) -> Flow {
        self.risk(arguments);
        if self.may_keep(name) {
            self.written(None, arguments.clone());
        }
        Flow::function(name.clone())
    }

    /// Whether the function may do something with its arguments besides computing.
    fn may_keep(&self, name: &QualifiedName) -> bool {
        let (Some(schema), Some(called)) = (name.schema.as_str(), name.name.as_str()) else { return true };
        let mut known = self.standing.scope.catalogue.functions_named(called).peekable();
        let mut meant = known.by_ref().filter(|function| function.schema.as_str() == schema).peekable();
        meant.peek().is_none()
            || meant.any(|function| function.procedure || function.volatility == Volatility::Volatile)
    }

    /// The functions of the operator of a name as written.
    pub(super) fn operator(&mut self, parts: &[Node]) -> Flow {
        match names::strings(parts).as_deref() {
            None | Some([]) => Flow::none(),
            Some([symbol]) => self.operator_named(None, symbol, &[]),
            Some([.., schema, symbol]) => self.operator_named(Some(schema), symbol, &[]),
        }
    }

    /// The functions that an operator runs on these operands.
    pub(super) fn operator_named(&mut self, schema: Option<&str>, symbol: &str, operands: &[&Value]) -> Flow {
        let functions = self.user_operators(schema, symbol, operands);
        if functions.is_empty() {
            return Flow::none();
        }
        let arguments = operands.iter().fold(Flow::none(), |all, operand| all.with(&operand.flow));
        functions.iter().fold(Flow::none(), |all, function| {
            let more = self.user_function(function, &arguments);
            all.with(&more)
        })
    }

    /// The users' operators that may be meant.
    pub(super) fn user_operators(&self, schema: Option<&str>, symbol: &str, operands: &[&Value]) -> Vec<QualifiedName> {
        let mut functions = self.standing.operator(schema, symbol);
        let plain = |value: &&Value| is_builtin_column(value) || value.flow.is_none();
        let builtin = schema.is_none()
            && operands.iter().all(plain)
            && operands.iter().any(|value| is_builtin_column(value))
            && builtins::is_builtin_operator(symbol);
        if builtin {
            functions.retain(|name| !self.is_for_users_types(name));
        }
        functions
    }

    /// Whether every function of this name takes nothing but users' types.
    fn is_for_users_types(&self, name: &QualifiedName) -> bool {
        let (Some(schema), Some(called)) = (name.schema.as_str(), name.name.as_str()) else { return false };
        let mut any = false;
        for function in self.standing.scope.catalogue.functions_named(called) {
            if function.schema.as_str() == schema {
                any = true;
                if function.arguments.is_empty() || function.arguments.iter().any(|oid| *oid < FIRST_NORMAL) {
                    return false;
                }
            }
        }
        any
    }

    /// An expression with an operator.
    pub(super) fn operation(&mut self, expression: &'t AExpr) -> Value {
        let before = self.risks;
        let left = self.value(expression.lexpr.as_deref());
        let right = self.value(expression.rexpr.as_deref());
        self.compared(expression, &left, &right);
        let sides = [(&left, expression.lexpr.as_deref()), (&right, expression.rexpr.as_deref())];
        let collation = self.collations(&sides, collation::searches(last(&expression.name)));
        if stops_early(expression) {
            self.chosen(before, &left.flow.clone().with(&right.flow));
        }
        let mut is_scalar = scalar::of_operation(expression.kind(), "", &sides);
        let mut told = kind::of_operation(expression.kind(), "", &sides);
        let mut using = Some(Use::Compared);
        let mut flow = left.flow.clone().with(&right.flow);
        let operands = [&left, &right];
        match expression.kind() {
            AExprKind::AexprBetween
            | AExprKind::AexprNotBetween
            | AExprKind::AexprBetweenSym
            | AExprKind::AexprNotBetweenSym => {
                for symbol in ["<", "<=", ">", ">="] {
                    flow.add(&self.operator_named(None, symbol, &operands));
                }
            }
            AExprKind::AexprDistinct | AExprKind::AexprNotDistinct | AExprKind::AexprNullif => {
                flow.add(&self.operator_named(None, "=", &operands));
            }
            AExprKind::Undefined
            | AExprKind::AexprOp
            | AExprKind::AexprOpAny
            | AExprKind::AexprOpAll
            | AExprKind::AexprIn
            | AExprKind::AexprLike
            | AExprKind::AexprIlike
            | AExprKind::AexprSimilar => {
                let parts = names::strings(&expression.name).unwrap_or_default();
                let Some((schema, symbol)) = names::split(&parts) else {
                    return Value::untold(flow.with(&Flow::unknown()));
                };
                flow.add(&self.operator_named(schema, symbol, &operands));
                is_scalar = scalar::of_operation(expression.kind(), symbol, &sides);
                told = kind::of_operation(expression.kind(), symbol, &sides);
                using = kind::asked(symbol, sides.len());
                // Texts can always be put together, and so can documents; arrays must be of one shape.
                if symbol != "||" || !scalar::joins(&sides) {
                    self.operator_risk(symbol, &sides);
                }
            }
        }
        if let Some(using) = using {
            // An operator may stand in front of its one operand.
            let given: Vec<_> = sides.into_iter().filter(|(_, node)| node.is_some()).collect();
            self.typed(&given, using);
        }
        let (type_oid, tame) = told;
        let size = self.length(expression, type_oid, &sides);
        let collation = if size::has_collation(type_oid) { collation } else { collation::NONE };
        Value { type_oid, tame, collation, size, ..Value::scalar(flow, is_scalar) }
    }

    /// How long the result may be, and whether an operand is too long for the operator.
    fn length(&mut self, expression: &AExpr, type_oid: Oid, sides: &[(&Value, Option<&Node>)]) -> u64 {
        // Documents that are put together may be too long for one; texts and arrays are not.
        let symbol = match last(&expression.name) {
            "||" if type_oid == 0 || type_oid == JSONB => "jsonb ||",
            symbol => symbol,
        };
        self.strained(symbol, sides);
        match sides.first() {
            Some((left, _)) if expression.kind() == AExprKind::AexprNullif => left.size,
            Some(_) | None => size::of_operation(symbol, type_oid, sides),
        }
    }

    fn operator_risk(&mut self, symbol: &str, operands: &[(&Value, Option<&Node>)]) {
        let facts = builtins::flows(symbol);
        for (at, (operand, _)) in operands.iter().enumerate() {
            if !facts.safe.holds(at) {
                self.risk(&operand.flow);
            }
        }
        if !self.is_settled(symbol, operands) {
            let all = operands.iter().fold(Flow::none(), |all, (operand, _)| all.with(&operand.flow));
            self.risk(&all);
        }
    }

    pub(super) fn cast(&mut self, cast: &'t TypeCast) -> Value {
        let value = self.value(cast.arg.as_deref());
        let Some(name) = &cast.type_name else { return Value::untold(value.flow) };
        let functions = self.type_use(name, &value);
        if !is_text(name) {
            if !is_constant(cast.arg.as_deref()) {
                self.risk(&value.flow);
            } else if kind::has_parameter(cast.arg.as_deref()) {
                // Other than a constant it is cast where it is met, in a plan that is kept.
                self.risks += 1;
            }
        }
        let (type_oid, tame) = kind::of_cast(name, &value, cast.arg.as_deref());
        let collation = match names::strings(&name.names).as_deref() {
            _ if !size::has_collation(type_oid) => collation::NONE,
            // A domain may have one of its own.
            None | Some([]) => collation::UNTOLD,
            Some([.., last]) if !builtins::is_builtin_type(last) => collation::UNTOLD,
            Some([.., "name"]) => collation::of_call("name", value.collation),
            Some(_) => value.collation,
        };
        let size = size::of_cast(name, type_oid, &value);
        Value { type_oid, tame, collation, size, ..Value::scalar(value.flow.with(&functions), scalar::of_type(name)) }
    }

    /// What the functions of a user's type, and of casts to a type, add to a value that becomes one of it.
    pub(super) fn type_use(&mut self, name: &'t TypeName, value: &Value) -> Flow {
        let mut flow = self.all_values(&name.typmods);
        let Some(parts) = names::strings(&name.names) else { return flow.with(&Flow::unknown()) };
        let catalogue = std::sync::Arc::clone(&self.standing.scope.catalogue);
        let mut functions = Vec::new();
        for user_type in self.standing.types(&parts) {
            functions.extend(user_type.functions.iter().copied());
            functions.extend_from_slice(catalogue.casts_to(user_type.oid));
        }
        let builtin = match parts.as_slice() {
            [name] | [CATALOGUE, name] => types::oid(name),
            _ => None,
        };
        if let Some(oid) = builtin {
            // A cast from a user's type is not meant for a value of a built-in one.
            let plain = is_builtin_column(value) || value.flow.is_none();
            let from_users = |oid: &&Oid| {
                let source = catalogue.function(**oid).and_then(|function| function.arguments.first().copied());
                plain && source.is_some_and(|source| source >= FIRST_NORMAL)
            };
            functions.extend(catalogue.casts_to(oid).iter().filter(|oid| !from_users(oid)));
        }
        for function in functions {
            let name = self.standing.function_name(function);
            flow.add(&self.user_function(&name, &value.flow));
        }
        flow
    }
}

/// Whether the server computes the right side, or a part of it, only where what it compared before leaves it open.
fn stops_early(expression: &AExpr) -> bool {
    let row = |node: Option<&Node>| {
        matches!(node.and_then(|node| node.node.as_ref()), Some(NodeEnum::RowExpr(_) | NodeEnum::List(_)))
    };
    match expression.kind() {
        AExprKind::AexprIn
        | AExprKind::AexprBetween
        | AExprKind::AexprNotBetween
        | AExprKind::AexprBetweenSym
        | AExprKind::AexprNotBetweenSym => true,
        AExprKind::Undefined
        | AExprKind::AexprOp
        | AExprKind::AexprOpAny
        | AExprKind::AexprOpAll
        | AExprKind::AexprDistinct
        | AExprKind::AexprNotDistinct
        | AExprKind::AexprNullif
        | AExprKind::AexprLike
        | AExprKind::AexprIlike
        | AExprKind::AexprSimilar => row(expression.lexpr.as_deref()) || row(expression.rexpr.as_deref()),
    }
}

/// Types that take every value's text.
fn is_text(name: &TypeName) -> bool {
    name.array_bounds.is_empty()
        && matches!(
            names::strings(&name.names).as_deref(),
            Some([CATALOGUE, "text" | "varchar" | "bpchar" | "name"] | ["text" | "varchar" | "name"])
        )
}
