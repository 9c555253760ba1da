//! Pipelines, lists, conditions: what runs behind what, and with which state.
//!
//! What holds if a command succeeded and what if it failed are kept apart as far as `&&`, `||` and `if` ask for it: a `cd`
//! that failed left the shell where it was. Promises: a command that may or may not have run leaves both states;
//! behind `… || exit` what stands in front of it succeeded, where the `exit` surely leaves the shell. Does not read
//! `set -e`: whoever runs the text may give it to `eval` in front of an `&&`, where it does nothing.
//! Held by: `fixtures/shell/dynamic.tsv`.

use super::{Input, Walker, settle};
use crate::param::is_name;
use crate::pieces::{Expansion, Piece, pieces};
use crate::state::{State, Value};
use rable::{CasePattern, ListItem, ListOperator, Node, NodeKind};

impl Walker<'_> {
    pub(super) fn pipeline(&mut self, commands: &[Node], state: &mut State) {
        let mut outer = self.input.clone();
        let mut output = None;
        for (at, command) in commands.iter().enumerate() {
            if at > 0 {
                self.input = output.take().map_or(Input::Unknown, Input::Literal);
            }
            let mut own = state.clone();
            output = (at + 1 < commands.len()).then(|| self.output_of(command, state)).flatten();
            self.run(command, &mut own);
            if at == 0 && self.input != outer {
                outer = outer.less();
            }
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
                self.apart(|walker| walker.chain(group, &mut state.clone()));
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
                    let leaves = self.leaves_shell(&item.command, &after);
                    self.run(&item.command, &mut after);
                    if leaves {
                        // Behind it the shell is only where what stands in front of it succeeded.
                        failed = Some(state.clone());
                    } else {
                        let worse = if_failed(&after);
                        state.join(&after);
                        failed = Some(worse);
                    }
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

    /// Whether a command ends the shell whatever happens: `exit`, `exit 1`, `{ echo … >&2; exit 1; }`. One with a
    /// redirection might not run, and one with two words for its status does not leave.
    fn leaves_shell(&self, node: &Node, state: &State) -> bool {
        match &node.kind {
            NodeKind::Command { assignments, words, redirects } if assignments.is_empty() && redirects.is_empty() => {
                let status = |text: &str| {
                    let digits = !text.is_empty() && text.len() < 4 && text.bytes().all(|b| b.is_ascii_digit());
                    digits || text == "\"$?\"" || (text == "$?" && state.splits_as_usual())
                };
                let words: Option<Vec<&str>> = words.iter().map(raw).collect();
                self.is_own("exit", state)
                    && match words.as_deref() {
                        Some(["exit"]) => true,
                        Some(["exit", text]) => status(text),
                        Some(_) | None => false,
                    }
            }
            NodeKind::BraceGroup { body, redirects } if redirects.is_empty() => match &body.kind {
                NodeKind::List { items } => items.split_last().is_some_and(|(last, before)| {
                    // Nothing in front of it may jump (`break`), drop the line, or keep it from running.
                    let says = |item: &ListItem| {
                        item.operator == Some(ListOperator::Semi) && self.only_says(&item.command, state)
                    };
                    before.iter().all(says)
                        && last.operator != Some(ListOperator::Background)
                        && self.leaves_shell(&last.command, state)
                }),
                _ => self.leaves_shell(body, state),
            },
            _ => false,
        }
    }

    /// Whether a command is an `echo` or `printf` of which no part can fail so that bash drops the line.
    fn only_says(&self, node: &Node, state: &State) -> bool {
        let NodeKind::Command { assignments, words, redirects } = &node.kind else { return false };
        let words: Option<Vec<&str>> = words.iter().map(raw).collect();
        let Some((name, arguments)) = words.as_deref().and_then(<[&str]>::split_first) else { return false };
        let named = match *name {
            "echo" => true,
            // `printf -v` assigns, and evaluates subscripts.
            "printf" => arguments
                .first()
                .is_none_or(|format| !format.trim_start_matches(['"', '\'', '\\']).starts_with(['-', '$'])),
            _ => false,
        };
        let opens = |redirect: &Node| match &redirect.kind {
            NodeKind::Redirect { target, varfd: None, .. } => {
                raw(target).is_some_and(|text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b)))
            }
            _ => false,
        };
        named
            && self.is_own(name, state)
            && assignments.is_empty()
            && redirects.iter().all(opens)
            && arguments.iter().all(|word| is_said(word, state))
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

/// A word as it is written.
fn raw(word: &Node) -> Option<&str> {
    match &word.kind {
        NodeKind::Word { value, .. } => Some(value.as_str()),
        _ => None,
    }
}

/// Whether a word is text and values that the line itself gave: what else is expanded may fail (`set -u`, `failglob`,
/// `$((1/0))`), and bash then drops the line and goes on with the next.
fn is_said(word: &str, state: &State) -> bool {
    let given =
        |name: &str| name == "?" || (is_name(name) && matches!(state.get(name), Value::Known(_) | Value::Integer));
    pieces(word).is_some_and(|pieces| {
        pieces.iter().all(|piece| match piece {
            Piece::Bare(c) => !"*?[{~($`".contains(*c),
            Piece::Quoted(_) => true,
            // Without quotes a value is a pattern, too.
            Piece::Expand { what: Expansion::Name(name) | Expansion::Braced(name), quoted: true } => given(name),
            Piece::Expand { .. } => false,
        })
    })
}

/// The same state after a failure of what ran last.
fn if_failed(state: &State) -> State {
    let mut failed = state.clone();
    failed.directories = state.failed.clone();
    failed.previous = state.previous_failed.clone();
    failed
}
