//! A rule that asks a policy written in Rego: `rego:` of a rule.
//!
//! Promises: the modules and data of an OPA bundle are parsed and compiled once, when the set loads, by an evaluator inside
//! this process; what it is asked is `rego/input.rs`, what it may answer `rego/answer.rs`, and everything else, undefined and
//! errors included, is a denial. An evaluation sees the case and its own data, nothing else: built-in functions that reach a
//! network, the host or chance are not there, and the clock is the case's moment. The evaluations of a decision end after
//! [`LIMIT`] together, on a stack of their own, and a panic of the evaluator is a denial as well. The same query of the same
//! bundle is asked at most once for a command, whoever asks and also where the command has many operations.
//! Does not promise that an answer comes within the time of other rules: a module is a program, and costs what it costs.
//! Held by: `rego/tests.rs`, and `fixtures/rego` with the answers of `opa` itself.

mod answer;
mod builtins;
mod graph;
mod input;
mod module;
mod read;
mod references;
mod tokens;

use crate::SourceFile;
use crate::facts::Facts;
use jiff::Timestamp;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};
use std::fmt;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use answer::{Answer, Named, Says};
pub(crate) use read::Loaded;

/// The evaluations of a decision that take longer, together, are none.
pub(crate) const LIMIT: Duration = Duration::from_millis(100);

/// Room for an evaluation, of which only what is used is taken: `graph.rs` says why it is enough.
const STACK: usize = 256 << 20;

/// Steps between two looks at the clock. An error of one definition of a function lets the evaluator go on with the next, so
/// each step after the last moment has to be one.
const LOOKS: NonZeroU32 = NonZeroU32::MIN;

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
        let input = facts.input(input::of);
        let (at, left) = (facts.view.at, facts.time_left());
        let asked = Instant::now();
        // Value and errors are dropped where there is room for them.
        let answer = on_its_own(|| self.evaluate(input, at, left).map(|value| Answer::read(&value)));
        let took = asked.elapsed();
        facts.take_time(took);
        match answer {
            Ok(Ok(answer)) if took < left => answer,
            // The evaluator's own words may quote the case.
            Ok(Ok(_) | Err(Unanswered)) => Answer::failed("it could not be evaluated"),
            Err(Panicked) => Answer::failed("the evaluator gave up"),
        }
    }

    fn evaluate(&self, input: Value, at: Timestamp, limit: Duration) -> Result<Value, Unanswered> {
        let mut engine = self.engine.clone();
        engine.set_execution_timer_config(ExecutionTimerConfig { limit, check_interval: LOOKS });
        let now = Value::from(at.as_nanosecond());
        let clock = engine.add_extension("time.now_ns".to_owned(), 0, Box::new(move |_| Ok(now.clone())));
        clock.map_err(|_| Unanswered)?;
        engine.set_input(input);
        engine.eval_rule(self.query.to_string()).map_err(|_| Unanswered)
    }
}

/// Runs the evaluator on a stack of its own. What it panics about is its own fault, and nothing of it is used afterwards.
fn on_its_own<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(|| stacker::grow(STACK, run))).map_err(|_| Panicked)
}

/// The evaluator panicked, or there is no room for its stack.
struct Panicked;

/// An evaluation came to nothing.
struct Unanswered;

#[cfg(test)]
mod tests;
