//! `when:` of a rule: an expression of CEL over the case.
//!
//! Promises: an expression is parsed and checked once, when its bundle loads (`condition/check.rs` says what is checked), so
//! that what is left to fail later is a value that is not there. It sees [`Facts`] and nothing else: no clock but the
//! case's, no I/O, no text of a command. It is evaluated on bounded work: an expression has at most [`MAX_LENGTH`] bytes and
//! [`MAX_DEPTH`] levels, builds no lists, nests at most [`MAX_NESTING`] loops, and all conditions of one decision together
//! may take [`STEPS`] steps, a loop counted as often as the longest list of the case has items. What would take more is not
//! evaluated. An expression that does not name `operation` is evaluated once for a command, any other once an operation.
//! What cannot be evaluated is [`Failed`], which says why without a value of the case, and the rule then denies.
//! Does not promise that the expression means what its author thinks: that is what tests of bundles are for.
//! Held by: `condition/tests.rs`, and the table of bad bundles in `set/tests.rs`.

mod check;
mod functions;
mod kinds;
mod read;

use crate::facts::{Facts, Seen};
use cel::{Context, Env, ExecutionError, Program, Value};
use std::fmt;
use std::sync::{Arc, LazyLock};

pub(crate) use read::read;

/// Bytes of one expression.
pub(crate) const MAX_LENGTH: usize = 2000;

/// Levels of one expression.
pub(crate) const MAX_DEPTH: usize = 48;

/// Loops inside loops.
pub(crate) const MAX_NESTING: usize = 2;

/// The steps that all conditions of one decision may take together: a few milliseconds.
pub(crate) const STEPS: u64 = 50_000;

/// The standard functions of CEL, shared by all expressions.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// Whether a rule's `when` holds.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    /// There is none.
    Always,
    /// An expression.
    When(Arc<Expression>),
    /// One that cannot be evaluated: what a failing expression comes to.
    #[cfg(test)]
    Failing,
}

/// An expression that was checked.
#[derive(Debug)]
pub(crate) struct Expression {
    program: Program,
    /// As written.
    pub(crate) written: Arc<str>,
    pub(crate) uses: Uses,
    /// Its parts, by how many loops they stand in.
    steps: [u64; MAX_NESTING + 2],
    /// The longest list that is written in it.
    longest: usize,
}

/// Which of its variables an expression names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    /// Evaluated once for each operation.
    pub(crate) operation: bool,
    pub(crate) command: bool,
    pub(crate) now: bool,
}

/// A condition could not be evaluated, and why; no value of the case is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed(pub(crate) &'static str);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Condition {
    /// Whether it holds for the operation at this place of the case.
    pub(crate) fn holds(&self, facts: &Facts<'_>, nth: usize) -> Result<bool, Failed> {
        match self {
            Self::Always => Ok(true),
            Self::When(expression) => facts.once(expression, || expression.holds(facts, nth)),
            #[cfg(test)]
            Self::Failing => Err(Failed("a test says so")),
        }
    }

    /// The expression, where there is one.
    pub(crate) fn expression(&self) -> Option<&Expression> {
        match self {
            Self::Always => None,
            Self::When(expression) => Some(expression),
            #[cfg(test)]
            Self::Failing => None,
        }
    }
}

impl Expression {
    /// What it takes at most, where no list of the case is longer than this.
    fn cost(&self, longest: usize) -> u64 {
        let longest = longest.max(self.longest) as u64;
        self.steps.iter().rev().fold(0_u64, |sum, steps| sum.saturating_mul(longest).saturating_add(*steps))
    }

    fn holds(&self, facts: &Facts<'_>, nth: usize) -> Result<bool, Failed> {
        if (self.uses.operation || self.uses.command) && facts.too_many() {
            return Err(Failed("the command has too many operations to look at"));
        }
        if !facts.spend(self.cost(facts.longest())) {
            return Err(Failed("it would take too long"));
        }
        let seen = Seen { view: &facts.view, nth };
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.set_variable_resolver(&seen);
        match self.program.execute(&context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err(Failed("it is neither true nor false")),
            Err(error) => Err(Failed(told(&error))),
        }
    }
}

/// What went wrong, without the values that the library's own words hold.
fn told(error: &ExecutionError) -> &'static str {
    match error {
        ExecutionError::NoSuchKey(_) => "something that it looks at is not there, or not known",
        ExecutionError::IndexOutOfBounds(_) => "a list that it looks into is too short",
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "it divides by zero",
        ExecutionError::Overflow(..) => "a number in it grows too large",
        ExecutionError::FunctionError { .. } => "a value is not one that a function of it takes",
        // Checking leaves nothing else that a value can bring about; the library may add to the list.
        _ => "it cannot be evaluated with this case",
    }
}

#[cfg(test)]
mod tests;
