//! Rules and functions of a bundle that need each other: in a circle, or too deep for a stack.
//!
//! Promises: a bundle in which a rule or function could come back to itself is refused when it loads, as `opa` refuses it, and
//! so is one with a row of them that comes to more than [`DEEPEST`] steps (`references.rs`), so that no evaluation is deeper
//! than its stack. All modules of the bundle count together. A call is an edge to the function of that name. A name or path
//! is an edge to all rules at and below it, as is an import to all of what it imports, since the evaluator evaluates them;
//! what is known only in part (`data.lib[x]`) is one to everything below the part that is known, so over plain data it is
//! none. `with` may replace input and data, never a function: what a call comes to is known here.
//! The arithmetic: a step takes less than [`STEP`] bytes of stack (`rego/tests/stack.rs` measures it in the evaluator), and
//! `DEEPEST` of them, with as much again for what the built-in functions take, less than `STACK`.
//! Held by: `rego/tests/circles.rs` and `rego/tests/stack.rs`.

use super::STACK;
use super::references::{Found, Reference, STATEMENTS, path};
use regorus::unstable::{Expr, Module, Ref, Rule, RuleHead, Span};
use std::collections::BTreeMap;

/// Bytes of stack that a step takes at most.
pub(super) const STEP: usize = 4 << 10;

/// Steps of an evaluation, one below the other.
pub(super) const DEEPEST: usize = 16_000;

const _: () = assert!(2 * STEP * DEEPEST <= STACK);

/// What is wrong with a bundle, and where.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

/// A rule with all its definitions, or everything at and below a path.
#[derive(Default)]
struct Node<'m> {
    name: String,
    at: Option<&'m Span>,
    steps: usize,
    needs: Vec<usize>,
}

/// A part of a path.
#[derive(Default)]
struct Place {
    node: usize,
    below: BTreeMap<String, usize>,
    /// A rule stands here or below, in the package of somewhere above.
    of_rule: bool,
}

/// Everything that a bundle defines.
struct Graph<'m> {
    nodes: Vec<Node<'m>>,
    places: Vec<Place>,
    functions: BTreeMap<String, usize>,
    values: BTreeMap<String, usize>,
    imports: BTreeMap<String, String>,
}

/// What is wrong with these modules together.
pub(super) fn wrong(modules: &[Ref<Module>]) -> Option<Wrong> {
    beyond(modules, DEEPEST)
}

/// The same where this many steps are the most.
pub(super) fn beyond(modules: &[Ref<Module>], most: usize) -> Option<Wrong> {
    let mut graph = Graph {
        nodes: vec![Node::default()],
        places: vec![Place::default()],
        functions: BTreeMap::new(),
        values: BTreeMap::new(),
        imports: BTreeMap::new(),
    };
    for module in modules {
        graph.define(module);
    }
    for module in modules {
        let package = package(module);
        for rule in &module.policy {
            if let Err(wrong) = graph.read(&package, rule) {
                return Some(wrong);
            }
        }
    }
    graph.wrong(most)
}

fn package(module: &Module) -> String {
    path(&module.package.refr).map_or_else(String::new, |path| path.join("."))
}

/// The path in its package, whether it can be called, and whether it is a value.
fn head(rule: &Rule) -> (&Expr, bool, bool) {
    match rule {
        Rule::Spec { head: RuleHead::Func { refr, args, .. }, .. } => (refr, true, args.is_empty()),
        Rule::Spec { head: RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. }, .. } => (refr, false, true),
        // The evaluator calls a default by its name, too.
        Rule::Default { refr, args, .. } => (refr, true, args.is_empty()),
    }
}

fn at(span: &Span, message: String) -> Wrong {
    let (file, line, column) = (span.source.file().clone(), span.line as usize, span.col as usize);
    Wrong { file, line, column, message }
}

impl<'m> Graph<'m> {
    fn define(&mut self, module: &'m Module) {
        let package = package(module);
        for import in &module.imports {
            let Some(parts) = path(&import.refr) else { continue };
            let Some((&"data", rest)) = parts.split_first() else { continue };
            let alias = import.r#as.as_ref().map_or_else(|| rest.last().copied().unwrap_or_default(), Span::text);
            self.imports.insert(format!("{package}.{alias}"), rest.join("."));
        }
        for rule in &module.policy {
            let (refr, called, value) = head(rule);
            let Some(path) = path(refr) else { continue };
            let name = format!("{package}.{}", path.join("."));
            if called && !self.functions.contains_key(&name) {
                let node = self.node(&name, rule.span());
                self.functions.insert(name.clone(), node);
            }
            if value && !self.values.contains_key(&name) {
                let node = self.node(&name, rule.span());
                let place = self.place(&name, package.split('.').count());
                if let Some(Place { node: below, .. }) = self.places.get(place) {
                    self.need(*below, node);
                }
                self.values.insert(name, node);
            }
        }
    }

    fn node(&mut self, name: &str, span: &'m Span) -> usize {
        self.nodes.push(Node { name: format!("data.{name}"), at: Some(span), ..Node::default() });
        self.nodes.len() - 1
    }

    fn need(&mut self, one: usize, other: usize) {
        if let Some(node) = self.nodes.get_mut(one) {
            node.needs.push(other);
        }
    }

    /// The place of this path, made where it is not there; the first `above` parts are a package's.
    fn place(&mut self, name: &str, above: usize) -> usize {
        let mut here = 0;
        for (nth, part) in name.split('.').enumerate() {
            let known = self.places.get(here).and_then(|place| place.below.get(part).copied());
            let next = known.unwrap_or_else(|| {
                self.nodes.push(Node::default());
                let node = self.nodes.len() - 1;
                self.places.push(Place { node, ..Place::default() });
                let next = self.places.len() - 1;
                if let Some(place) = self.places.get_mut(here) {
                    place.below.insert(part.to_owned(), next);
                    let above = place.node;
                    self.need(above, node);
                }
                next
            });
            if let Some(place) = self.places.get_mut(next) {
                place.of_rule |= nth >= above;
            }
            here = next;
        }
        here
    }

    /// The nodes of what is at and below this path, and of the rule that it goes through.
    fn below(&self, name: &str) -> Vec<usize> {
        let (mut here, mut through) = (self.places.first(), None);
        let mut parts = name.split('.').filter(|_| !name.is_empty());
        while let (Some(place), Some(part)) = (here, parts.next()) {
            here = place.below.get(part).and_then(|next| self.places.get(*next));
            through = here.filter(|place| place.of_rule).or(through);
        }
        here.into_iter().chain(through).map(|place| place.node).collect()
    }

    /// Reads what a rule needs.
    fn read(&mut self, package: &str, rule: &'m Rule) -> Result<(), Wrong> {
        let (refr, ..) = head(rule);
        let Some(path) = path(refr) else {
            return Err(at(rule.span(), "the name of this rule is not understood".to_owned()));
        };
        let name = format!("{package}.{}", path.join("."));
        let mut found = Found::default();
        let steps = found.rule(rule);
        let own: Vec<usize> =
            [&self.functions, &self.values].into_iter().filter_map(|all| all.get(&name).copied()).collect();
        if let Some((line, column)) = found.crowded {
            let message = format!("a body of more than {STATEMENTS} statements");
            return Err(Wrong { line, column, ..at(rule.span(), message) });
        }
        for reference in found.references {
            let needed = match reference {
                Reference::Call(name) => {
                    let name = name.strip_prefix("data.").map_or_else(|| format!("{package}.{name}"), str::to_owned);
                    self.functions.get(&name).copied().into_iter().collect()
                }
                Reference::Data(path) => self.below(&path),
                Reference::Name(path) => self.named(package, &path),
                Reference::With { target, line, column } => {
                    self.replaced(&target).map_err(|message| Wrong { line, column, ..at(rule.span(), message) })?;
                    continue;
                }
            };
            for (own, needed) in own.iter().flat_map(|own| needed.iter().map(|needed| (*own, *needed))) {
                self.need(own, needed);
            }
        }
        for own in own {
            if let Some(node) = self.nodes.get_mut(own) {
                node.steps = node.steps.max(steps);
            }
        }
        Ok(())
    }

    /// What a name may mean that is not declared: a rule of the package, and what an import of it stands for.
    fn named(&self, package: &str, path: &str) -> Vec<usize> {
        let mut found = self.below(&format!("{package}.{path}"));
        let (name, rest) = path.split_once('.').unwrap_or((path, ""));
        if let Some(import) = self.imports.get(&format!("{package}.{name}")) {
            found.extend(self.below(import));
            if !rest.is_empty() {
                found.extend(self.below(&format!("{import}.{rest}")));
            }
        }
        found
    }

    fn replaced(&self, target: &str) -> Result<(), String> {
        let (root, rest) = target.split_once('.').unwrap_or((target, ""));
        if matches!(root, "input" | "data") && !self.functions.contains_key(rest) {
            return Ok(());
        }
        Err(format!("`with` replaces input and data here, not `{target}`"))
    }

    /// Takes those that need nothing that is left, until nothing is left, or a circle.
    fn wrong(mut self, most: usize) -> Option<Wrong> {
        let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        let mut left: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for (nth, node) in self.nodes.iter_mut().enumerate() {
            node.needs.sort_unstable();
            node.needs.dedup();
            left.push(node.needs.len());
            for needed in &node.needs {
                if let Some(by) = needed_by.get_mut(*needed) {
                    by.push(nth);
                }
            }
        }
        let mut deep: Vec<usize> = self.nodes.iter().map(|node| node.steps).collect();
        let mut ready: Vec<usize> =
            left.iter().enumerate().filter(|(_, left)| **left == 0).map(|(nth, _)| nth).collect();
        while let Some(done) = ready.pop() {
            let below = deep.get(done).copied().unwrap_or_default();
            let node = self.nodes.get(done)?;
            if let Some(span) = node.at.filter(|_| below > most) {
                let name = &node.name;
                let message =
                    format!("rules and functions need each other more than {most} steps deep, from `{name}` on");
                return Some(at(span, message));
            }
            for by in needed_by.get(done).into_iter().flatten() {
                if let (Some(deep), Some(node)) = (deep.get_mut(*by), self.nodes.get(*by)) {
                    *deep = (*deep).max(node.steps + below);
                }
                if let Some(left) = left.get_mut(*by) {
                    *left -= 1;
                    if *left == 0 {
                        ready.push(*by);
                    }
                }
            }
        }
        self.circle(&left)
    }

    /// A circle among those of which something is left.
    fn circle(&self, left: &[usize]) -> Option<Wrong> {
        let is_left = |nth: usize| left.get(nth).is_some_and(|left| *left > 0);
        let mut here = left.iter().position(|left| *left > 0)?;
        let next = |nth: usize| self.nodes.get(nth)?.needs.iter().copied().find(|needed| is_left(*needed));
        // Whoever goes as far as there are nodes is in a circle.
        for _ in 0..self.nodes.len() {
            here = next(here)?;
        }
        let (mut names, mut span) = (Vec::new(), None);
        for _ in 0..self.nodes.len() {
            here = next(here)?;
            let node = self.nodes.get(here)?;
            if names.contains(&node.name.as_str()) {
                break;
            }
            if let Some(at) = node.at {
                names.push(&node.name);
                span = span.or(Some(at));
            }
            if names.len() > SHOWN {
                names.pop();
                names.push("…");
                break;
            }
        }
        let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" needs ");
        Some(at(span?, format!("rules and functions need each other in a circle: {names} needs the first again")))
    }
}

/// Names of a circle that are shown.
const SHOWN: usize = 8;
