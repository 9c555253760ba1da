//! Reading `when:` out of its rule.
//!
//! Promises: what is wrong with an expression is told at its line and column where the text stands in the file as it was
//! written, and at the start of the text where it is folded or escaped. An expression that is too long or too deep is told
//! before anything walks it, on a stack of its own, so that no bundle can exhaust the loader's.
//! Held by: the table of bad bundles in `set/tests.rs`, `condition/tests.rs`.

use super::check::{self, Wrong};
use super::{Condition, ENV, Expression, MAX_LENGTH};
use crate::source::{Reader, Text};
use crate::yaml::{Node, Place};
use std::sync::Arc;

/// Room to parse and check an expression of the greatest length.
const STACK: usize = 16 << 20;

/// Brackets that are open at once.
const MAX_BRACKETS: usize = 40;

/// What is wrong, and where in the expression, in characters.
struct Told {
    at: Option<usize>,
    message: String,
    help: Option<String>,
}

/// Reads the condition; every problem is reported.
pub(crate) fn read(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Condition> {
    let text = reader.text(node, path)?;
    match compile(text.text) {
        Ok(expression) => Some(Condition::When(Arc::new(expression))),
        Err(told) => {
            let at = told.at.and_then(|at| place(&reader.file.text, text, at)).unwrap_or(text.at);
            reader.error_with(at, path, told.message, told.help);
            None
        }
    }
}

/// Compiles and checks an expression.
fn compile(text: &str) -> Result<Expression, Told> {
    let plain = |message: String| Told { at: None, message, help: None };
    if text.len() > MAX_LENGTH {
        return Err(plain(format!("a condition has at most {MAX_LENGTH} bytes")));
    }
    if brackets(text) > MAX_BRACKETS {
        return Err(plain("the expression is nested too deeply".to_owned()));
    }
    stacker::grow(STACK, || {
        let program = ENV.compile(text).map_err(|errors| {
            let mut errors = errors.errors;
            errors.sort_by_key(|error| error.pos);
            let first = errors.into_iter().next();
            let at = first.as_ref().and_then(|error| offset(text, error.pos));
            let message = first.map_or_else(String::new, |error| error.msg);
            let message = message.lines().next().unwrap_or_default();
            Told { at, message: format!("not an expression of CEL: {message}"), help: None }
        })?;
        let checked = check::check(&program).map_err(|wrong| {
            let Wrong { part, message, help } = wrong;
            let start = program.source_info().offset_for(part).and_then(|(start, _)| text.get(..start as usize));
            let at = start.map(|before| before.chars().count());
            Told { at, message, help }
        })?;
        let (uses, steps, longest) = (checked.uses, checked.steps, checked.longest);
        Ok(Expression { program, written: text.into(), uses, steps, longest })
    })
}

/// How many brackets are open at once at most, those inside texts too.
fn brackets(text: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// Line and column, as the parser counts them, to characters from the start.
fn offset(text: &str, (line, column): (isize, isize)) -> Option<usize> {
    let (line, column) = (usize::try_from(line).ok()?.checked_sub(1)?, usize::try_from(column).ok()?);
    let before: usize = text.split_inclusive('\n').take(line).map(|line| line.chars().count()).sum();
    Some(before + column.saturating_sub(1))
}

/// Where in the file a character of the expression stands, where the file has the text as it is.
fn place(file: &str, text: Text<'_>, at: usize) -> Option<Place> {
    let line = file.split('\n').nth(text.at.line.checked_sub(1)?)?;
    let from: String = line.chars().skip(text.at.column.checked_sub(1)?).collect();
    if text.text.contains('\n') {
        return in_block(file, text, at);
    }
    let quote = usize::from(from.starts_with(['\'', '"']));
    let rest: String = from.chars().skip(quote).collect();
    rest.starts_with(text.text).then_some(Place { line: text.at.line, column: text.at.column + quote + at })
}

/// The same in a block of several lines: each stands in the file, behind the indentation of the block.
fn in_block(file: &str, text: Text<'_>, at: usize) -> Option<Place> {
    let mut left = at;
    let mut lines = text.text.split('\n');
    for (nth, line) in file.split('\n').enumerate().skip(text.at.line.saturating_sub(1)) {
        let wanted = lines.next()?;
        let indent = line.chars().take_while(|c| *c == ' ').count();
        if line.trim_end() != format!("{}{}", " ".repeat(indent), wanted.trim()).trim_end() {
            return None;
        }
        let length = wanted.chars().count();
        if left <= length {
            let inner = wanted.chars().take_while(|c| *c == ' ').count();
            return Some(Place { line: nth + 1, column: indent + left.saturating_sub(inner) + 1 });
        }
        left -= length + 1;
    }
    None
}
