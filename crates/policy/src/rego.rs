//! A rule that asks a policy written in Rego: `rego:` of a rule.
//!
//! Promises: the modules and data of an OPA bundle are parsed and compiled once, when the set loads, by an evaluator inside
//! this process; what it is asked is `rego/input.rs`, what it may answer `rego/answer.rs`, and everything else, undefined and
//! errors included, is a denial. An evaluation sees the case and its own data, nothing else: built-in functions that reach a
//! network, the host or chance are not there, and the clock is the case's moment. It ends after [`LIMIT`], on a stack of its
//! own. It is asked at most once for a command, also where the command has many operations.
//! Does not promise that an answer comes within the time of other rules: a module is a program, and costs what it costs.
//! Held by: `rego/tests.rs`, and `fixtures/rego` with the answers of `opa` itself.

mod answer;
mod input;
mod module;
mod read;
mod recursion;

use crate::SourceFile;
use crate::facts::Facts;
use jiff::Timestamp;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use answer::{Answer, Named, Says};

/// An evaluation that takes longer is none.
const LIMIT: Duration = Duration::from_millis(100);

/// Room for an evaluation, of which only what is used is taken: functions call each other [`recursion::DEEPEST`] deep at most.
const STACK: usize = 256 << 20;

/// Steps between two looks at the clock.
const LOOKS: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);

/// What a rule asks.
pub(crate) struct Rego {
    /// The directory, as written.
    pub(crate) bundle: Arc<str>,
    /// `data.…`
    pub(crate) query: Arc<str>,
    /// What was loaded, for comparing sets.
    pub(crate) files: Vec<SourceFile>,
    engine: Engine,
}

impl fmt::Debug for Rego {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bundle, query, files, engine: _ } = self;
        f.debug_struct("Rego").field("bundle", bundle).field("query", query).field("files", &files.len()).finish()
    }
}

impl Rego {
    /// Asks about the case.
    pub(crate) fn ask(&self, facts: &Facts<'_>) -> Answer {
        if facts.too_many() {
            return Answer::failed("the command has too many operations to ask about");
        }
        let input = input::of(&facts.view);
        match stacker::grow(STACK, || self.evaluate(input, facts.view.at)) {
            Ok(value) => Answer::read(&value),
            // The evaluator's own words may quote the case.
            Err(_) => Answer::failed("it could not be evaluated"),
        }
    }

    fn evaluate(&self, input: Value, at: Timestamp) -> Result<Value, Unanswered> {
        let mut engine = self.engine.clone();
        engine.set_execution_timer_config(ExecutionTimerConfig { limit: LIMIT, check_interval: LOOKS });
        let now = Value::from(at.as_nanosecond());
        let clock = engine.add_extension("time.now_ns".to_owned(), 0, Box::new(move |_| Ok(now.clone())));
        // Loading refuses it by name; this is for whoever spells the name in another way.
        let chance = |_| Err(std::fmt::Error.into());
        let chance = engine.add_extension("rand.intn".to_owned(), 2, Box::new(chance));
        clock.and(chance).map_err(|_| Unanswered)?;
        engine.set_input(input);
        engine.eval_rule(self.query.to_string()).map_err(|_| Unanswered)
    }
}

/// An evaluation came to nothing.
struct Unanswered;

#[cfg(test)]
mod tests;
