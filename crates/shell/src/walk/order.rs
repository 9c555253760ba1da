//! Pipelines, lists, conditions: what runs behind what, and with which state.
//!
//! What holds if a command succeeded and what if it failed are kept apart as far as `&&`, `||` and `if` ask for it: a `cd`
//! that failed left the shell where it was. Promises: a command that may or may not have run leaves both states.
//! Held by: `fixtures/shell/dynamic.tsv`.

use super::{Input, Walker, settle};
use crate::state::State;
use rable::{CasePattern, ListItem, ListOperator, Node};

impl Walker<'_> {
    pub(super) fn pipeline(&mut self, commands: &[Node], state: &mut State) {
        let outer = self.input.clone();
        let mut output = None;
        for (at, command) in commands.iter().enumerate() {
            if at > 0 {
                self.input = output.take().map_or(Input::Unknown, Input::Literal);
            }
            let mut own = state.clone();
            output = (at + 1 < commands.len()).then(|| self.output_of(command, state)).flatten();
            self.run(command, &mut own);
            // The last runs in the shell itself in some shells, and with `lastpipe`.
            if at + 1 == commands.len() {
                state.join(&own);
            }
        }
        self.input = outer;
    }

    pub(super) fn list(&mut self, items: &[ListItem], state: &mut State) {
        let mut rest = items;
        while !rest.is_empty() {
            let end = rest
                .iter()
                .position(|item| !matches!(item.operator, Some(ListOperator::And | ListOperator::Or)))
                .map_or(rest.len(), |at| at + 1);
            let Some((group, later)) = rest.split_at_checked(end) else { return };
            rest = later;
            let background = group.last().is_some_and(|item| item.operator == Some(ListOperator::Background));
            if background {
                let input = self.input.clone();
                self.chain(group, &mut state.clone());
                self.input = input;
            } else {
                self.chain(group, state);
                if !rest.is_empty() {
                    settle(state);
                }
            }
        }
    }

    /// `a && b || c`: what holds if it succeeded and what if it failed are kept apart.
    pub(super) fn chain(&mut self, group: &[ListItem], state: &mut State) {
        let mut operator = None;
        let mut failed: Option<State> = None;
        for item in group {
            match (operator, failed.take()) {
                (Some(ListOperator::And), Some(mut before)) => {
                    self.run(&item.command, state);
                    before.join(&if_failed(state));
                    failed = Some(before);
                }
                (Some(ListOperator::Or), Some(mut after)) => {
                    self.run(&item.command, &mut after);
                    let worse = if_failed(&after);
                    state.join(&after);
                    failed = Some(worse);
                }
                _ => {
                    self.run(&item.command, state);
                    failed = Some(if_failed(state));
                }
            }
            operator = item.operator;
        }
        if let Some(failed) = failed.filter(|_| group.len() > 1) {
            let (directories, previous) = (state.directories.clone(), state.previous.clone());
            state.join(&failed);
            (state.directories, state.previous) = (directories, previous);
            (state.failed, state.previous_failed) = (failed.directories, failed.previous);
        }
    }

    pub(super) fn conditional(&mut self, condition: &Node, body: &Node, otherwise: Option<&Node>, state: &mut State) {
        self.run(condition, state);
        let mut other = if_failed(state);
        self.run(body, state);
        settle(state);
        if let Some(otherwise) = otherwise {
            self.run(otherwise, &mut other);
            settle(&mut other);
        }
        state.join(&other);
    }

    pub(super) fn case(&mut self, word: &Node, patterns: &[CasePattern], state: &mut State) {
        self.value_of(word, state);
        let mut result = state.clone();
        let mut entry = state.clone();
        for clause in patterns {
            for pattern in &clause.patterns {
                // Behind one that fits the others are not expanded, nor are those of a clause that is fallen into.
                let without = entry.clone();
                self.value_of(pattern, &mut entry);
                entry.join(&without);
            }
            let mut own = entry.clone();
            if let Some(body) = &clause.body {
                self.run(body, &mut own);
                settle(&mut own);
            }
            result.join(&own);
            if clause.terminator != ";;" {
                entry.join(&own);
            }
        }
        *state = result;
    }
}

/// The same state after a failure of what ran last.
fn if_failed(state: &State) -> State {
    let mut failed = state.clone();
    failed.directories = state.failed.clone();
    failed.previous = state.previous_failed.clone();
    failed
}
