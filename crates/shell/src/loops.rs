//! Loops, functions and `[[ ]]`.
//!
//! A loop's body is walked until its state no longer changes, at most three times, the last with everything forgotten; a
//! loop over known words is walked once per word, and over names that a pattern met in any order of them. A function's body
//! is walked per call. Promises: what `break`,
//! `continue` and `return` leave behind holds behind the loop and the call too. Held by: `fixtures/shell/dynamic.tsv`.

use crate::expand::{Field, Sure};
use crate::param::is_name;
use crate::state::{Directories, State, Value};
use crate::walk::{Body, Walker, settle};
use rable::{Node, NodeKind};
use std::rc::Rc;

/// A loop over more words than this is walked as over any word.
const WORDS: usize = 16;

/// Functions that call functions: no deeper than this.
const CALLS: usize = 16;

impl Walker<'_> {
    /// `while` and `until`.
    pub(crate) fn repeat(&mut self, condition: &Node, body: &Node, state: &mut State) {
        self.fixpoint(state, |walker, state| {
            walker.run(condition, state);
            settle(state);
            walker.run(body, state);
            settle(state);
        });
    }

    /// `for ((init; condition; step))`.
    pub(crate) fn count(&mut self, parts: [&str; 3], body: &Node, state: &mut State) {
        let [init, condition, step] = parts;
        self.arithmetic(init, state);
        self.fixpoint(state, |walker, state| {
            walker.arithmetic(condition, state);
            walker.run(body, state);
            settle(state);
            walker.arithmetic(step, state);
        });
    }

    /// `for name in words`.
    pub(crate) fn each(&mut self, name: &str, words: Option<&[Node]>, body: &Node, state: &mut State) {
        if !is_name(name) {
            self.unread();
        }
        let fields = self.words_of(words, state);
        let known: Option<Vec<&str>> = fields.iter().map(Field::named).collect();
        match known {
            Some(values) if values.len() <= WORDS && fields.iter().any(|field| field.sure == Sure::Among) => {
                self.in_any_order(name, &values, body, state);
            }
            Some(values) if values.len() <= WORDS => {
                for value in values {
                    self.assigned(name, Value::Known(value.into()), state);
                    self.run(body, state);
                    settle(state);
                    self.rejoin(state);
                }
            }
            _ => {
                self.fixpoint(state, |walker, state| {
                    walker.assigned(name, Value::Unknown, state);
                    walker.run(body, state);
                    settle(state);
                });
            }
        }
    }

    /// The same where the order of the words is not known: each is walked with whatever the others may have left.
    fn in_any_order(&mut self, name: &str, values: &[&str], body: &Node, state: &mut State) {
        let noted = self.commands.len();
        let mut entry = state.clone();
        for round in 0..3 {
            if round == 2 {
                forget(&mut entry);
            }
            // A round walks all that the one before it did: each command is noted once for a word.
            self.commands.truncate(noted);
            let input = self.input.clone();
            let mut left: Option<State> = None;
            for value in values {
                let mut own = entry.clone();
                self.assigned(name, Value::Known((*value).into()), &mut own);
                self.run(body, &mut own);
                settle(&mut own);
                self.rejoin(&mut own);
                match &mut left {
                    Some(left) => left.join(&own),
                    None => left = Some(own),
                }
            }
            let Some(left) = left else { return };
            let before = entry.clone();
            entry.join(&left);
            *state = left;
            if entry.same(&before) && self.input == input {
                return;
            }
        }
    }

    /// `select`: which word is chosen is read from standard input.
    pub(crate) fn choose(&mut self, name: &str, words: Option<&[Node]>, body: &Node, state: &mut State) {
        if !is_name(name) {
            self.unread();
        }
        let _ = self.words_of(words, state);
        self.fixpoint(state, |walker, state| {
            walker.assigned("REPLY", Value::Unknown, state);
            walker.assigned(name, Value::Unknown, state);
            walker.run(body, state);
            settle(state);
        });
    }

    fn words_of(&mut self, words: Option<&[Node]>, state: &mut State) -> Vec<Field> {
        let Some(words) = words else {
            return state.positional.as_ref().map_or_else(
                || vec![Field { text: String::new(), sure: Sure::Splits }],
                |words| words.iter().map(|word| Field::literal(word.to_string())).collect(),
            );
        };
        let mut fields = Vec::new();
        for word in words {
            match &word.kind {
                NodeKind::Word { value, .. } => fields.extend(self.expand(value, state)),
                _ => self.unread(),
            }
        }
        fields
    }

    fn fixpoint(&mut self, state: &mut State, mut body: impl FnMut(&mut Self, &mut State)) {
        for round in 0..3 {
            if round == 2 {
                forget(state);
            }
            let (before, input) = (state.clone(), self.input.clone());
            body(self, state);
            self.rejoin(state);
            state.join(&before);
            settle(state);
            if state.same(&before) && self.input == input {
                return;
            }
        }
    }

    /// What an early way out of a loop or function left.
    fn rejoin(&self, state: &mut State) {
        if let Some(escaped) = &self.escaped {
            state.join(escaped);
            settle(state);
        }
    }

    /// `break`, `continue`, `return`.
    pub(crate) fn escapes(&mut self, state: &State) {
        match &mut self.escaped {
            Some(escaped) => escaped.join(state),
            None => self.escaped = Some(state.clone()),
        }
    }

    /// Walks a function's body with these arguments.
    pub(crate) fn body(&mut self, name: &str, body: &Body, arguments: Option<&[Field]>, state: &mut State) {
        if self.calling.len() >= CALLS || self.calling.iter().any(|calling| &**calling == name) {
            // Recursion: what it does is read once; what it does with other arguments is not known.
            self.unread();
            forget(state);
            return;
        }
        self.walked.push(Rc::clone(&body.1));
        self.calling.push(name.into());
        let outer_text = std::mem::replace(&mut self.text, Rc::clone(&body.0));
        let known: Option<Vec<Rc<str>>> =
            arguments.and_then(|fields| fields.iter().map(|field| field.known().map(Rc::from)).collect());
        let outer = std::mem::replace(&mut state.positional, known);
        let outer_locals = std::mem::take(&mut self.locals);
        self.run(&body.1, state);
        settle(state);
        self.rejoin(state);
        // What was local has its old value again.
        for name in std::mem::replace(&mut self.locals, outer_locals) {
            state.set(&name, Value::Unknown);
        }
        state.positional = outer;
        self.text = outer_text;
        self.calling.pop();
    }

    /// The inside of `[[ ]]`.
    pub(crate) fn test_expression(&mut self, node: &Node, state: &mut State) {
        match &node.kind {
            NodeKind::CondAnd { left, right } | NodeKind::CondOr { left, right } => {
                self.test_expression(left, state);
                // The right side is not expanded where the left one decides.
                let without = state.clone();
                self.test_expression(right, state);
                state.join(&without);
            }
            NodeKind::CondNot { operand } => self.test_expression(operand, state),
            NodeKind::CondParen { inner } => self.test_expression(inner, state),
            NodeKind::UnaryTest { op, operand } => {
                let field = self.value_of(operand, state);
                if matches!(op.as_str(), "-v" | "-R") {
                    self.evaluated_name(&field, state);
                }
            }
            NodeKind::BinaryTest { op, left, right } => {
                for side in [left, right] {
                    let field = match &side.kind {
                        NodeKind::CondTerm { value, .. } if op == "=~" => self.expand_term(value, true, state),
                        _ => self.value_of(side, state),
                    };
                    if matches!(op.as_str(), "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge") {
                        self.evaluated_number(&field, side, state);
                    }
                }
            }
            NodeKind::Word { .. } | NodeKind::CondTerm { .. } => {
                self.value_of(node, state);
            }
            NodeKind::Empty => {}
            _ => self.unread(),
        }
    }

    /// An operand that `[[ ]]` evaluates as arithmetic.
    fn evaluated_number(&mut self, field: &Field, node: &Node, state: &mut State) {
        match (field.known(), &node.kind) {
            (Some(text), _) => {
                let text = text.to_owned();
                self.arithmetic(&text, state);
            }
            // `$#`, `$?` and variables that hold a number, judged by their names.
            (None, NodeKind::CondTerm { value, .. } | NodeKind::Word { value, .. }) => {
                let raw = value.trim_matches('"').to_owned();
                self.arithmetic(&raw, state);
            }
            (None, _) => self.dynamic_code(),
        }
    }
}

/// Nothing is known any more.
pub(crate) fn forget(state: &mut State) {
    state.forget();
    state.previous = Directories::any();
    state.settle(Directories::any());
    for text in state.aliases.values_mut() {
        *text = None;
    }
}
