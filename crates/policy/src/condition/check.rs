//! Whether an expression can be meant: names, members, functions and types, before it is ever evaluated.
//!
//! Promises: an identifier is a variable of the case or of a loop, a member one that its variable has, a function one of
//! [`FUNCTIONS`] with arguments of its types, a comparison one of values that can be compared, a loop one over a list or
//! map; the whole is true or false. A time zone and a pattern of `matches` are written out and are good ones; `map` and
//! `filter`, which build lists, are not offered. What was checked counts the steps of the expression as well.
//! Does not promise that a claim exists, or that an index is inside its list: those are found at evaluation, and deny.
//! Held by: `condition/tests.rs`, and the table of bad bundles in `set/tests.rs`.

use super::functions::{Arg, FUNCTIONS, operator};
use super::kinds::{COMMAND, CONNECTION, Kind, OPERATION, PRINCIPAL, VARIABLES};
use super::{ENV, MAX_DEPTH, MAX_NESTING, Uses};
use crate::source::{list, nearest};
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr};
use cel::{Context, Program};
use std::sync::Arc;

/// What `matches` costs, in steps: its pattern is made anew each time.
const MATCH_STEPS: u64 = 500;

/// What putting two texts together costs.
const TEXT_STEPS: u64 = 100;

/// A regular expression may grow to this many bytes when it is made.
const PATTERN_BYTES: usize = 32 * 1024;

/// What is wrong with an expression, and at which of its parts.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) part: u64,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// What checking found out.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) uses: Uses,
    /// Its parts, by how often the longest list is gone through for each.
    pub(super) steps: [u64; MAX_NESTING + 2],
    /// The longest list that is written in it.
    pub(super) longest: usize,
    bound: Vec<(String, Kind)>,
    nesting: usize,
    depth: usize,
}

type Result<T> = std::result::Result<T, Wrong>;

fn wrong<T>(part: &IdedExpr, message: impl Into<String>) -> Result<T> {
    Err(Wrong { part: part.id, message: message.into(), help: None })
}

/// Checks a whole expression.
pub(super) fn check(program: &Program) -> Result<Checked> {
    let mut checked = Checked::default();
    match checked.kind(program.expression())? {
        Kind::Bool => Ok(checked),
        other => wrong(program.expression(), format!("a condition is true or false, and this is {}", other.told())),
    }
}

impl Checked {
    fn kind(&mut self, part: &IdedExpr) -> Result<Kind> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return wrong(part, "the expression is nested too deeply");
        }
        self.step(1);
        let kind = match &part.expr {
            Expr::Literal(value) => literal(part, value),
            Expr::Ident(name) => self.variable(part, name),
            Expr::Select(select) => self.member(part, select),
            Expr::Call(call) => self.call(part, call),
            Expr::List(items) => self.items(part, &items.elements),
            Expr::Map(entries) => {
                let mut kind = Kind::Nothing;
                for entry in &entries.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return wrong(part, "only maps are built here");
                    };
                    if self.kind(&entry.key)? != Kind::Text {
                        return wrong(&entry.key, "the keys of a map are texts");
                    }
                    let found = self.kind(&entry.value)?;
                    if kind != Kind::Nothing && kind != found {
                        return wrong(&entry.value, format!("a map of {} and {}", kind.told(), found.told()));
                    }
                    kind = found;
                }
                Ok(Kind::Map(Box::new(kind)))
            }
            Expr::Comprehension(each) => self.each(part, each),
            Expr::Struct(_) => wrong(part, "there are no messages to build here"),
            Expr::Unspecified => wrong(part, "something is missing here"),
        };
        self.depth -= 1;
        kind
    }

    fn step(&mut self, steps: u64) {
        self.step_at(self.nesting, steps);
    }

    fn step_at(&mut self, nesting: usize, steps: u64) {
        if let Some(sum) = self.steps.get_mut(nesting) {
            *sum += steps;
        }
    }

    fn variable(&mut self, part: &IdedExpr, name: &str) -> Result<Kind> {
        if let Some((_, kind)) = self.bound.iter().rev().find(|(bound, _)| bound == name) {
            return Ok(kind.clone());
        }
        match name {
            "principal" => Ok(Kind::Record(&PRINCIPAL)),
            "connection" => Ok(Kind::Record(&CONNECTION)),
            "command" => {
                self.uses.command = true;
                Ok(Kind::Record(&COMMAND))
            }
            "operation" => {
                self.uses.operation = true;
                Ok(Kind::Record(&OPERATION))
            }
            "now" => {
                self.uses.now = true;
                Ok(Kind::Moment)
            }
            _ => Err(Wrong {
                part: part.id,
                message: format!("there is no `{name}` here"),
                help: Some(suggestion(name, VARIABLES, "the variables are")),
            }),
        }
    }

    fn member(&mut self, part: &IdedExpr, select: &SelectExpr) -> Result<Kind> {
        match self.kind(&select.operand)? {
            Kind::Map(value) => Ok(if select.test { Kind::Bool } else { *value }),
            Kind::Record(record) => {
                let found = record.members.iter().find(|(name, _)| *name == select.field);
                let Some((_, member)) = found else {
                    let names: Vec<_> = record.members.iter().map(|(name, _)| *name).collect();
                    return Err(Wrong {
                        part: part.id,
                        message: format!("`{}` has no `{}`", record.name, select.field),
                        help: Some(suggestion(&select.field, &names, "it has")),
                    });
                };
                Ok(if select.test { Kind::Bool } else { Kind::of(member)() })
            }
            other => wrong(part, format!("{} has no members", other.told())),
        }
    }

    fn items(&mut self, part: &IdedExpr, items: &[IdedExpr]) -> Result<Kind> {
        let mut kind = Kind::Nothing;
        for item in items {
            let found = self.kind(item)?;
            if kind != Kind::Nothing && kind != found {
                return wrong(part, format!("a list of {} and {}", kind.told(), found.told()));
            }
            kind = found;
        }
        self.longest = self.longest.max(items.len());
        Ok(Kind::List(Box::new(kind)))
    }

    /// A loop: `exists`, `all` and `exists_one`, which the parser writes out.
    fn each(&mut self, part: &IdedExpr, each: &ComprehensionExpr) -> Result<Kind> {
        let range = self.kind(&each.iter_range)?;
        let item = match range {
            Kind::List(item) => *item,
            Kind::Map(_) => Kind::Text,
            other => return wrong(&each.iter_range, format!("{} has no items to go through", other.told())),
        };
        if matches!(each.accu_init.expr, Expr::List(_)) || each.iter_var2.is_some() {
            let help = Some("ask with `exists`, `all` or `exists_one`".to_owned());
            return Err(Wrong { part: part.id, message: "`map` and `filter` are not offered here".to_owned(), help });
        }
        let accumulator = self.kind(&each.accu_init)?;
        self.bound.push((each.accu_var.clone(), accumulator));
        self.bound.push((each.iter_var.clone(), item));
        self.nesting += 1;
        let body = if self.nesting > MAX_NESTING {
            wrong(part, format!("more than {MAX_NESTING} loops inside each other"))
        } else {
            self.kind(&each.loop_cond).and_then(|_| self.kind(&each.loop_step))
        };
        self.nesting -= 1;
        self.bound.pop();
        let result = body.and_then(|_| self.kind(&each.result));
        self.bound.pop();
        result
    }

    fn call(&mut self, part: &IdedExpr, call: &CallExpr) -> Result<Kind> {
        let target = call.target.as_ref().map(|target| self.kind(target)).transpose()?;
        let mut args = Vec::new();
        for arg in &call.args {
            args.push(self.kind(arg)?);
        }
        if target.is_none()
            && let Some(kind) = operator(&call.func_name, &args)
        {
            // Lists are gone through, and texts copied.
            if args.iter().any(|kind| matches!(kind, Kind::List(_))) {
                self.step_at(self.nesting + 1, 1);
            } else if kind == Ok(Kind::Text) {
                self.step(TEXT_STEPS);
            }
            return kind.map_err(|message| Wrong { part: part.id, message, help: None });
        }
        let name = call.func_name.as_str();
        let named = || FUNCTIONS.iter().filter(|one| one.0 == name);
        let fits = |one: &&(&str, Option<Arg>, &[Arg], Arg)| {
            let on = match (one.1, &target) {
                (None, None) => true,
                (Some(arg), Some(kind)) => kind.fits(arg),
                (None, Some(_)) | (Some(_), None) => false,
            };
            on && one.2.len() == args.len() && one.2.iter().zip(&args).all(|(arg, kind)| kind.fits(*arg))
        };
        let Some((_, _, wanted, result)) = named().find(fits) else {
            if named().next().is_some() {
                let given: Vec<String> = target.iter().chain(&args).map(Kind::told).collect();
                return wrong(part, format!("`{name}` is not for {}", given.join(" and ")));
            }
            let mut names: Vec<_> = FUNCTIONS.iter().map(|one| one.0).collect();
            names.dedup();
            let help = Some(suggestion(name, &names, "the functions are"));
            return Err(Wrong { part: part.id, message: format!("there is no function `{name}` here"), help });
        };
        for (arg, given) in wanted.iter().zip(&call.args) {
            self.written_out(*arg, given)?;
        }
        Ok(Kind::result(*result))
    }

    /// Zones and patterns are written out, so that a bad one is told now.
    fn written_out(&mut self, arg: Arg, given: &IdedExpr) -> Result<()> {
        let text = match &given.expr {
            Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
            _ => None,
        };
        match (arg, text) {
            (Arg::Zone, Some(zone)) if known_zone(zone) => Ok(()),
            (Arg::Zone, Some(zone)) => {
                let help = Some(
                    "write a name of the IANA list, as `\"Europe/Berlin\"`, or an offset, as `\"+02:00\"`".to_owned(),
                );
                Err(Wrong { part: given.id, message: format!("there is no time zone `{zone}`"), help })
            }
            (Arg::Pattern, Some(pattern)) => {
                self.step(MATCH_STEPS);
                let made = regex::RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build();
                made.map(|_| ()).or_else(|error| {
                    let last = error.to_string().lines().last().unwrap_or_default().to_owned();
                    wrong(given, format!("not a regular expression that can be used: {last}"))
                })
            }
            (Arg::Zone | Arg::Pattern, None) => wrong(given, "this is written out, not computed"),
            _ => Ok(()),
        }
    }
}

fn literal(part: &IdedExpr, value: &LiteralValue) -> Result<Kind> {
    match value {
        LiteralValue::Boolean(_) => Ok(Kind::Bool),
        LiteralValue::Int(_) => Ok(Kind::Int),
        LiteralValue::Double(_) => Ok(Kind::Double),
        LiteralValue::String(_) => Ok(Kind::Text),
        LiteralValue::Null => Ok(Kind::Null),
        LiteralValue::Bytes(_) => wrong(part, "nothing here is bytes"),
        LiteralValue::UInt(_) => wrong(part, "nothing here is an unsigned number: leave the `u` out"),
    }
}

/// Whether evaluation will know the zone.
fn known_zone(zone: &str) -> bool {
    let mut context = Context::with_env(Arc::clone(&ENV));
    context.add_variable_from_value("zone", zone);
    let asked = ENV.compile("timestamp(0).getHours(zone)").ok();
    asked.is_some_and(|asked| asked.execute(&context).is_ok())
}

fn suggestion(name: &str, known: &[&str], otherwise: &str) -> String {
    nearest(name, known.iter().copied())
        .map_or_else(|| format!("{otherwise} {}", list(known)), |near| format!("did you mean `{near}`?"))
}
