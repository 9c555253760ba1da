//! What a rule of a bundle refers to, and how deep its own evaluation is.
//!
//! Promises: every call, every name that may be that of a rule or an import, and every path into `data` is found, wherever it
//! stands: in heads and their keys, in `default` and `else`, in `with`, in comprehensions. A name that the rule declares
//! before (`:=`, `some`, `every`, an argument) is its own; a path is known up to the first bracket without a literal, and then
//! stands for everything below. Steps are what the stack is measured in: an expression is one step deeper than the
//! expressions in it, and each statement and each bracket or call that may iterate is one more for all that follow it.
//! Does not promise to recurse on a small stack: an expression is as deep as `tokens.rs` lets it be.
//! Held by: `rego/tests/circles.rs`; what a step takes, by `rego/tests/stack.rs`.

use regorus::unstable::{AssignOp, Expr, Literal, LiteralStmt, Query, Ref, Rule, RuleHead, WithModifier};
use std::collections::BTreeMap;

/// Steps that a rule takes before its body.
const RULE: usize = 8;

/// Statements of a body: the evaluator looks at each pair of them when it puts them in order.
pub(super) const STATEMENTS: usize = 250;

/// What is referred to.
pub(super) enum Reference {
    /// A call of this name, as written.
    Call(String),
    /// A name that is not declared, and what is known of the path behind it.
    Name(String),
    /// What is known of a path into `data`.
    Data(String),
    /// What `with` replaces, as written, at this line and column.
    With { target: String, line: usize, column: usize },
}

/// What is found in a rule.
#[derive(Default)]
pub(super) struct Found<'m> {
    pub(super) references: Vec<Reference>,
    /// Line and column of a body with more than [`STATEMENTS`].
    pub(super) crowded: Option<(usize, usize)>,
    /// How often each name is declared where the walk is.
    declared: BTreeMap<&'m str, usize>,
    order: Vec<&'m str>,
    loops: usize,
}

/// What is known of a path, up to its first bracket without a literal. `None` where it does not begin with a name.
pub(super) fn path(mut expr: &Expr) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    loop {
        match expr {
            Expr::Var { span, .. } => parts.push(span.text()),
            Expr::RefDot { field, .. } => parts.push(field.0.text()),
            Expr::RefBrack { index, .. } => match &**index {
                Expr::String { span, .. } => parts.push(span.text()),
                _ => parts.clear(),
            },
            _ => return None,
        }
        match expr {
            Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } => expr = refr,
            _ => break,
        }
    }
    parts.reverse();
    Some(parts)
}

impl<'m> Found<'m> {
    /// Reads a rule; its steps.
    pub(super) fn rule(&mut self, rule: &'m Rule) -> usize {
        match rule {
            Rule::Default { refr, args, value, .. } => {
                self.keys(refr);
                args.iter().for_each(|one| self.declare_in(one));
                let deep = self.expr(value);
                RULE + deep + self.forget_all()
            }
            Rule::Spec { head, bodies, .. } => {
                let (refr, key, assign) = match head {
                    RuleHead::Compr { refr, assign, .. } => (refr, None, assign),
                    RuleHead::Set { refr, key, .. } => (refr, key.as_ref(), &None),
                    RuleHead::Func { refr, args, assign, .. } => {
                        args.iter().for_each(|one| self.declare_in(one));
                        (refr, None, assign)
                    }
                };
                let value = assign.as_ref().map(|assign| &*assign.value);
                let head: Vec<&'m Expr> = key.map(|key| &**key).into_iter().chain(value).collect();
                // A key is evaluated with each body, of which the names are another's.
                let mut deepest = if bodies.len() == 1 { 0 } else { self.keys(refr) };
                if bodies.is_empty() {
                    deepest = deepest.max(self.all(&head));
                }
                for (nth, body) in bodies.iter().enumerate() {
                    let with = match (nth, bodies.len()) {
                        (0, 1) => self.body(&body.query, &head, Some(refr)),
                        (0, _) => self.body(&body.query, &head, None),
                        _ => {
                            let value = body.assign.as_ref().map(|assign| &*assign.value);
                            self.body(&body.query, value.as_slice(), None)
                        }
                    };
                    deepest = deepest.max(with);
                }
                RULE + deepest + self.forget_all()
            }
        }
    }

    /// The end of a rule; the steps of what iterates outside of its bodies.
    fn forget_all(&mut self) -> usize {
        self.forget(0);
        std::mem::take(&mut self.loops)
    }

    fn all(&mut self, all: &[&'m Expr]) -> usize {
        all.iter().map(|one| self.expr(one)).max().unwrap_or(0)
    }

    /// The brackets of a rule's own path.
    fn keys(&mut self, mut expr: &'m Expr) -> usize {
        let mut deepest = 0;
        loop {
            match expr {
                Expr::RefBrack { refr, index, .. } => {
                    deepest = deepest.max(self.expr(index));
                    expr = refr;
                }
                Expr::RefDot { refr, .. } => expr = refr,
                _ => return deepest,
            }
        }
    }

    /// The statements, and then what is evaluated with their names.
    fn body(&mut self, query: &'m Query, then: &[&'m Expr], keys: Option<&'m Expr>) -> usize {
        let (known, loops) = (self.order.len(), std::mem::take(&mut self.loops));
        if query.stmts.len() > STATEMENTS {
            self.crowded = Some((query.span.line as usize, query.span.col as usize));
        }
        let mut deepest = 0;
        for statement in &query.stmts {
            deepest = deepest.max(self.statement(statement));
        }
        deepest = deepest.max(self.all(then));
        if let Some(refr) = keys {
            deepest = deepest.max(self.keys(refr));
        }
        self.forget(known);
        query.stmts.len() + std::mem::replace(&mut self.loops, loops) + deepest
    }

    fn statement(&mut self, statement: &'m LiteralStmt) -> usize {
        let with = statement.with_mods.iter().map(|with| self.with(with)).max().unwrap_or(0);
        let deep = match &statement.literal {
            Literal::Expr { expr, .. } => match &**expr {
                Expr::AssignExpr { op: AssignOp::ColEq, lhs, rhs, .. } => {
                    let deep = self.expr(rhs);
                    self.declare_in(lhs);
                    1 + deep
                }
                other => self.expr(other),
            },
            Literal::NotExpr { expr, .. } => self.expr(expr),
            Literal::SomeVars { vars, .. } => {
                vars.iter().for_each(|var| self.declare(var.text()));
                1
            }
            Literal::SomeIn { key, value, collection, .. } => {
                let deep = self.expr(collection);
                key.iter().chain([value]).for_each(|one| self.declare_in(one));
                1 + deep
            }
            Literal::Every { key, value, domain, query, .. } => {
                let deep = self.expr(domain);
                let known = self.order.len();
                key.iter().chain([value]).for_each(|one| self.declare(one.text()));
                let deep = deep.max(self.body(query, &[], None));
                self.forget(known);
                1 + deep
            }
        };
        1 + deep.max(with)
    }

    fn with(&mut self, with: &'m WithModifier) -> usize {
        let target = path(&with.refr).map_or_else(String::new, |path| path.join("."));
        let (line, column) = (with.span.line as usize, with.span.col as usize);
        self.references.push(Reference::With { target, line, column });
        self.expr(&with.r#as)
    }

    /// The names of a pattern are declared; what else is in it is evaluated.
    fn declare_in(&mut self, pattern: &'m Expr) {
        match pattern {
            Expr::Var { span, .. } => self.declare(span.text()),
            Expr::Array { items, .. } => items.iter().for_each(|one| self.declare_in(one)),
            Expr::Object { fields, .. } => {
                for (_, key, value) in fields {
                    self.expr(key);
                    self.declare_in(value);
                }
            }
            other => {
                self.expr(other);
            }
        }
    }

    fn declare(&mut self, name: &'m str) {
        *self.declared.entry(name).or_default() += 1;
        self.order.push(name);
    }

    /// Forgets the names that were declared since this many were.
    fn forget(&mut self, known: usize) {
        for name in self.order.drain(known.min(self.order.len())..) {
            if let Some(times) = self.declared.get_mut(name) {
                *times -= 1;
            }
        }
    }

    fn every(&mut self, all: impl IntoIterator<Item = &'m Ref<Expr>>) -> usize {
        all.into_iter().map(|one| self.expr(one)).max().unwrap_or(0)
    }

    /// Reads an expression; its steps.
    fn expr(&mut self, expr: &'m Expr) -> usize {
        1 + match expr {
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. } => 0,
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => self.reference(expr),
            Expr::Array { items, .. } | Expr::Set { items, .. } => self.every(items),
            Expr::Object { fields, .. } => self.every(fields.iter().flat_map(|(_, key, value)| [key, value])),
            Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
                self.body(query, &[term], None)
            }
            Expr::ObjectCompr { key, value, query, .. } => self.body(query, &[key, value], None),
            Expr::Call { fcn, params, .. } => {
                self.loops += 1;
                let name = path(fcn).map_or_else(String::new, |path| path.join("."));
                self.references.push(Reference::Call(name));
                let deep = self.keys(fcn);
                deep.max(self.every(params))
            }
            Expr::UnaryExpr { expr, .. } => self.expr(expr),
            Expr::BinExpr { lhs, rhs, .. }
            | Expr::BoolExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. }
            | Expr::AssignExpr { lhs, rhs, .. } => self.every([lhs, rhs]),
            Expr::Membership { key, value, collection, .. } => self.every(key.iter().chain([value, collection])),
        }
    }

    /// A name, and the path behind it.
    fn reference(&mut self, mut expr: &'m Expr) -> usize {
        if let Some(path) = path(expr) {
            match path.split_first() {
                Some((&"input", _)) => {}
                Some((&"data", rest)) => self.references.push(Reference::Data(rest.join("."))),
                Some((name, _)) if self.declared.get(name).is_some_and(|times| *times > 0) => {}
                Some(_) => self.references.push(Reference::Name(path.join("."))),
                None => {}
            }
        }
        let (mut deepest, mut links) = (0, 0);
        loop {
            match expr {
                Expr::RefDot { refr, .. } => expr = refr,
                Expr::RefBrack { refr, index, .. } => {
                    if !matches!(&**index, Expr::String { .. }) {
                        self.loops += 1;
                        deepest = deepest.max(self.expr(index));
                    }
                    expr = refr;
                }
                Expr::Var { .. } => return links + deepest,
                other => return links + deepest.max(self.expr(other)),
            }
            links += 1;
        }
    }
}
