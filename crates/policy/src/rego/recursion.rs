//! Functions of a bundle that call each other: how deep, and whether in a circle.
//!
//! Promises: a bundle in which a function could come back to itself is refused when it loads, as `opa` refuses it, and so is
//! one whose functions call each other in a row of more than [`DEEPEST`], so that no evaluation is deeper than its stack. A
//! call is any name before a parenthesis; where the text does not show which rule it stands in, it counts for both.
//! Does not promise to see calls whose name is written in brackets: those fail when they are evaluated.
//! Held by: `rego/tests.rs`.

use super::module::Token;
use std::collections::{BTreeMap, BTreeSet};

/// Functions that call each other in a row.
pub(super) const DEEPEST: usize = 100;

/// Which function calls which, by their whole names, over all modules of a bundle.
#[derive(Debug, Default)]
pub(super) struct Calls(BTreeMap<String, BTreeSet<String>>);

/// What is wrong with them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// This one comes back to itself.
    Circle(String),
    /// Too many in a row, from this one.
    Deep(String),
}

impl Calls {
    /// Adds those of a module.
    pub(super) fn read(&mut self, tokens: &[Token]) {
        let package = tokens.iter().position(|token| token.is_name("package"));
        let package =
            package.and_then(|at| super::module::dotted(tokens, at + 1)).map_or_else(String::new, |(name, _)| name);
        let whole = |name: &str| match name.strip_prefix("data.") {
            Some(path) => path.to_owned(),
            None => format!("{package}.{name}"),
        };
        let (mut depth, mut line) = (0_usize, 0);
        let mut within: Vec<String> = Vec::new();
        for (nth, token) in tokens.iter().enumerate() {
            let begins_line = token.line != line;
            line = token.line;
            let name = super::module::called(tokens, nth).map(|name| whole(&name));
            if begins_line && depth == 0 {
                // A rule of its own begins at the margin; what is indented may also belong to the one before.
                if token.column == 1 {
                    within.clear();
                }
                if let Some(name) = &name {
                    for caller in &within {
                        self.0.entry(caller.clone()).or_default().insert(name.clone());
                    }
                    within.push(name.clone());
                    self.0.entry(name.clone()).or_default();
                }
            } else if let Some(name) = name {
                for caller in &within {
                    self.0.entry(caller.clone()).or_default().insert(name.clone());
                }
            }
            if token.is_symbol(&["(", "[", "{"]) {
                depth += 1;
            } else if token.is_symbol(&[")", "]", "}"]) {
                depth = depth.saturating_sub(1);
            }
        }
    }

    /// What is wrong with all of them together.
    pub(super) fn wrong(&self) -> Option<Wrong> {
        // Each round takes away those that call nothing that is left: as many rounds as there are calls in a row.
        let mut left: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (caller, called) in &self.0 {
            let known = called.iter().filter(|name| self.0.contains_key(*name)).map(String::as_str);
            left.insert(caller, known.collect());
        }
        for _ in 0..DEEPEST {
            let done: BTreeSet<&str> =
                left.iter().filter(|(_, called)| called.is_empty()).map(|(name, _)| *name).collect();
            if done.is_empty() {
                return left.keys().next().map(|name| Wrong::Circle((*name).to_owned()));
            }
            left.retain(|name, _| !done.contains(name));
            left.values_mut().for_each(|called| called.retain(|name| !done.contains(name)));
        }
        left.keys().next().map(|name| Wrong::Deep((*name).to_owned()))
    }
}
