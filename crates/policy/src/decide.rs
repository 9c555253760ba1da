//! From a case to a decision: pure, total, deterministic.
//!
//! Promises (DESIGN 3): strictest wins, so order never matters: deny > hold > allow > nothing, which is deny. Every
//! operation of a command must be allowed; two holds need both. Every rule that matched is reported, in file order.
//! - An operation of action `session` needs no rule and no rule matches it. With `exposes-protected` or
//!   `infers-protected` on it, it is refused: those marks belong on what reads the value, where rules can be about them.
//! - An operation that names columns is as one operation per column: each must be covered by some allow or hold, not
//!   necessarily the same one; a deny or hold on any of them is on the operation. Where it cannot be told which columns
//!   are meant, a `column` deny or hold matches and a `column` allow does not, unless it ends in `*`.
//! - Where only a hold could match an object that is not wholly known, a human decides.
//! - `connect session sql|http|exec` needs no rule of its own where any allow or hold applies to the principal there.
//! - A statement inside another command is judged by the database that it goes to as well (`reach.rs`); the rules that
//!   match there are reported behind the others.
//! - A condition that fails to evaluate, in a rule that otherwise matches, denies, whatever the rule's effect; so does a
//!   rule that asks and gets no answer. Conditions are asked of what matches otherwise, at most once an operation, and a rule
//!   that asks is asked at most once a command; nothing of either outlives the decision.
//!
//! - A write that only rules with `max_rows` permit is permitted up to that many rows; the command up to the smallest
//!   of its writes' limits (`decide/limit.rs`).
//!
//! Which refusal is told: that of the first operation with a deny, by its first deny in file order; else the first rule
//! that failed; else the first operation that nothing allows, with only the columns that nothing covers.
//! Allocates for what it returns and nothing else (commands of up to eight operations).
//! Held by: `decide/tests.rs`.

mod limit;

use crate::bundle::Bundle;
use crate::condition::{Condition, Failed};
use crate::facts::Facts;
use crate::matching::opens_unnamed;
use crate::rego::{Answer, Named, Rego, Says};
use crate::rule::{Actions, ColumnSet, Permits, Rule};
use crate::set::PolicySet;
use jiff::Timestamp;
use limit::Limits;
use portcullis_model::{
    Action, Columns, Connection, Decision, Effect, Fields, HoldTerms, Mark, Marks, Match, Object, Operation, Principal,
    Reason, SessionKind, Verdict,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// What is to be decided: who does what, where and when.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// Where.
    pub connection: &'a Connection,
    /// What, as it was read; a command always has at least one operation, and an empty list is refused.
    pub operations: &'a [Operation],
    /// The target login's home, where the protocol knows it: a path below it has two spellings, and patterns take either.
    pub home: Option<&'a str>,
    /// The values of the body, where the command is a request that can have one: what `fields:` of rules is about.
    pub fields: Option<&'a Fields>,
    /// When.
    pub at: Timestamp,
}

/// The bundles of a set that are about one principal on one connection. A session may keep one for as long as set,
/// principal and connection stay the same: deciding then looks at no one else's rules.
#[derive(Clone, Debug)]
pub struct Scoped<'a> {
    set: &'a PolicySet,
    principal: &'a Principal,
    connection: &'a Connection,
    bundles: SmallVec<[&'a Bundle; 8]>,
    pub(crate) home: Option<&'a str>,
    pub(crate) fields: Option<&'a Fields>,
}

/// What became of one operation.
#[derive(Default)]
struct State<'a> {
    denied: Option<&'a Rule>,
    failed: Option<&'a Rule>,
    held: bool,
    whole: bool,
    columns: ColumnSet,
    /// The limits of what permits it.
    limits: Limits,
}

/// What the rules met so far come to.
struct Judging<'a, 'f> {
    states: SmallVec<[State<'a>; 8]>,
    matches: Vec<Match>,
    holds: SmallVec<[Held<'a>; 4]>,
    /// What rules answered that ask.
    answers: Vec<(&'a Rule, Arc<Answer>)>,
    /// What conditions see. Without it, everything is permitted that they could permit at any time.
    facts: Option<&'f Facts<'f>>,
    /// Where the operations that are judged begin among those of the case.
    first: usize,
    home: Option<&'f str>,
}

/// A rule that holds, and what it asks for.
struct Held<'a> {
    rule: &'a Rule,
    terms: Option<HoldTerms>,
}

impl<'a, 'f> Judging<'a, 'f> {
    fn new(
        states: SmallVec<[State<'a>; 8]>,
        facts: Option<&'f Facts<'f>>,
        first: usize,
        home: Option<&'f str>,
    ) -> Self {
        Self { states, matches: Vec::new(), holds: SmallVec::new(), answers: Vec::new(), facts, first, home }
    }

    /// A rule that matches this operation but for its condition, and permits this much of it.
    fn take(&mut self, rule: &'a Rule, nth: usize, operation: &Operation, permits: Permits) {
        match self.condition(rule, nth) {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => return self.fail(rule, nth),
        }
        match &rule.rego {
            None => self.add(rule, nth, rule.effect, permits, rule.terms.as_ref()),
            Some(rego) => self.ask(rule, rego, nth, operation),
        }
    }

    fn condition(&self, rule: &Rule, nth: usize) -> Result<bool, Failed> {
        match self.facts {
            Some(facts) => rule.condition.holds(facts, self.first + nth),
            None => {
                Ok(matches!(rule.condition, Condition::Always) || rule.effect != Effect::Deny || rule.rego.is_some())
            }
        }
    }

    /// A rule that asks: its answer is as a rule of that effect.
    fn ask(&mut self, rule: &'a Rule, rego: &Rego, nth: usize, operation: &Operation) {
        let Some(facts) = self.facts else {
            if let Some(permits) = rule.allows(Named::ALL, operation, self.home) {
                self.add(rule, nth, Effect::Allow, permits, None);
            }
            return;
        };
        let answer = facts.answer(rego);
        match &answer.says {
            Err(_) => self.fail(rule, nth),
            Ok(Says::NoOpinion) => {}
            Ok(Says::Deny) => self.add(rule, nth, Effect::Deny, Permits::Nothing, None),
            Ok(Says::Allow(named)) => {
                if let Some(permits) = rule.allows(*named, operation, self.home) {
                    self.add(rule, nth, Effect::Allow, permits, None);
                }
            }
            Ok(Says::Hold(named, approvers)) => match rule.terms.as_ref().and_then(|terms| approvers.terms(terms)) {
                // Nobody could say yes.
                None => self.fail(rule, nth),
                Some(terms) => {
                    let permits = rule.holds(*named, operation, self.home);
                    self.add(rule, nth, Effect::Hold, permits, Some(&terms));
                }
            },
        }
        if !self.answers.iter().any(|(of, _)| std::ptr::eq(*of, rule)) {
            self.answers.push((rule, answer));
        }
    }

    /// The same for a rule of another database than the command's own: it permits nothing there.
    fn take_elsewhere(&mut self, rule: &'a Rule, nth: usize, operation: &Operation) {
        let state = |judging: &Self| {
            judging.states.get(nth).map(|state| (state.whole, state.columns.clone(), state.limits.clone()))
        };
        let (before, matches) = (state(self), self.matches.len());
        self.take(rule, nth, operation, Permits::Nothing);
        let permitted = |one: &Match| one.effect == Effect::Allow;
        if self.matches.get(matches..).is_some_and(|new| new.iter().any(permitted)) {
            self.matches.truncate(matches);
        }
        if let (Some(state), Some((whole, columns, limits))) = (self.states.get_mut(nth), before) {
            (state.whole, state.columns, state.limits) = (whole, columns, limits);
        }
    }

    fn fail(&mut self, rule: &'a Rule, nth: usize) {
        if let Some(state) = self.states.get_mut(nth) {
            state.failed = state.failed.or(Some(rule));
        }
    }

    fn add(&mut self, rule: &'a Rule, nth: usize, effect: Effect, permits: Permits, terms: Option<&HoldTerms>) {
        let Some(state) = self.states.get_mut(nth) else { return };
        self.matches.push(Match { rule: rule.id.clone(), effect, operation: nth });
        match effect {
            Effect::Allow => {
                state.limits.permit(&permits, rule.limit.as_ref());
                state.permit(permits);
            }
            Effect::Hold => {
                state.held = true;
                state.limits.permit(&permits, None);
                state.permit(permits);
                if !self.holds.iter().any(|held| std::ptr::eq(held.rule, rule)) {
                    self.holds.push(Held { rule, terms: terms.cloned() });
                }
            }
            Effect::Deny => state.denied = state.denied.or(Some(rule)),
        }
    }

    /// What a rule says to whom it refuses or holds back.
    fn message(&self, rule: &Rule) -> Option<Arc<str>> {
        let answered = self.answers.iter().find(|(of, _)| std::ptr::eq(*of, rule));
        answered.and_then(|(_, answer)| answer.message.clone()).or_else(|| rule.message.clone())
    }
}

impl State<'_> {
    fn permit(&mut self, permits: Permits) {
        match permits {
            Permits::Nothing => {}
            Permits::Whole => self.whole = true,
            Permits::Columns(set) => {
                self.columns.resize(self.columns.len().max(set.len()), 0);
                self.columns.iter_mut().zip(&set).for_each(|(bits, more)| *bits |= more);
            }
        }
    }

    fn covers(&self, nth: usize) -> bool {
        self.whole || self.columns.get(nth / 64).is_some_and(|bits| bits >> (nth % 64) & 1 == 1)
    }

    /// What of the operation nothing permits.
    fn uncovered(&self, operation: &Operation) -> Option<Operation> {
        if self.whole {
            return None;
        }
        let Columns::Named(names) = &operation.columns else { return Some(operation.clone()) };
        let left: Arc<[_]> =
            names.iter().enumerate().filter(|(nth, _)| !self.covers(*nth)).map(|(_, name)| name.clone()).collect();
        if left.is_empty() && !names.is_empty() {
            return None;
        }
        let mut rest = operation.clone();
        rest.columns = Columns::Named(left);
        Some(rest)
    }
}

impl PolicySet {
    /// Decides a case.
    #[must_use]
    pub fn decide(&self, case: &Case<'_>) -> Decision {
        self.scope_of(case).decide(case.operations, case.at)
    }

    /// Whether rules with `fields:` are about operations of the case: what is decided may depend on its body.
    #[must_use]
    pub fn looks_into_bodies(&self, case: &Case<'_>) -> bool {
        let wanted = case.operations.iter().fold(Actions::default(), |set, operation| set.with(operation.action));
        let scoped = self.scope_of(case);
        let mut rules = scoped.rules(wanted).filter(|rule| rule.fields.is_some());
        rules.any(|rule| case.operations.iter().any(|operation| rule.meets(operation, case.home).is_some()))
    }

    /// Decides whether a session of this kind opens for the principal on the connection: `connect session KIND`. `sql`,
    /// `http` and `exec` are implied by any allow or hold rule that applies there, the other kinds must be named; a deny
    /// on it wins.
    #[must_use]
    pub fn opens(&self, kind: SessionKind, principal: &Principal, connection: &Connection, at: Timestamp) -> Decision {
        let operations = [Operation::new(Action::Connect, Object::Session(kind))];
        self.decide(&Case { principal, connection, operations: &operations, home: None, fields: None, at })
    }

    /// The part of the set that is about this principal on this connection.
    #[must_use]
    pub fn scope_for<'a>(&'a self, principal: &'a Principal, connection: &'a Connection) -> Scoped<'a> {
        let bundles = self.bundles.iter().filter(|bundle| bundle.scope.applies(principal, connection)).collect();
        Scoped { set: self, principal, connection, bundles, home: None, fields: None }
    }

    /// The part of the set that is about this case.
    pub(crate) fn scope_of<'a>(&'a self, case: &Case<'a>) -> Scoped<'a> {
        self.scope_for(case.principal, case.connection).at_home(case.home).with_fields(case.fields)
    }
}

impl<'a> Scoped<'a> {
    /// The same, with what `~` stands for.
    #[must_use]
    pub const fn at_home(mut self, home: Option<&'a str>) -> Self {
        self.home = home;
        self
    }

    /// The same, with the values of a body.
    #[must_use]
    pub const fn with_fields(mut self, fields: Option<&'a Fields>) -> Self {
        self.fields = fields;
        self
    }

    /// Decides these operations at this moment.
    #[must_use]
    pub fn decide(&self, operations: &[Operation], at: Timestamp) -> Decision {
        let facts = Facts::new(self.principal, self.connection, operations, at);
        self.judge(operations, 0, Some(&facts))
    }

    /// Decides one of the operations of a case by itself.
    pub(crate) fn decide_one(&self, operation: &Operation, nth: usize, facts: &Facts<'_>) -> Decision {
        facts.refill();
        self.judge(std::slice::from_ref(operation), nth, Some(facts))
    }

    /// Whether these operations could be permitted at some time, under some command.
    pub(crate) fn ever_permits(&self, operations: &[Operation]) -> bool {
        !matches!(self.judge(operations, 0, None).verdict, Verdict::Deny(_))
    }

    fn judge(&self, operations: &[Operation], first: usize, facts: Option<&Facts<'_>>) -> Decision {
        let wanted = operations.iter().fold(Actions::default(), |set, operation| set.with(operation.action));
        let states = operations.iter().map(|one| self.implied(one)).collect();
        let mut judging = Judging::new(states, facts, first, self.home);
        for rule in self.rules(wanted).filter(|rule| rule.agrees(self.fields)) {
            for (nth, operation) in operations.iter().enumerate() {
                if let Some(permits) = rule.meets(operation, self.home) {
                    judging.take(rule, nth, operation, permits);
                }
            }
        }
        for (nth, operation) in operations.iter().enumerate().filter(|(_, operation)| operation.reaches.is_some()) {
            for (_, rule) in self.elsewhere(operation).filter(|(_, rule)| rule.agrees(self.fields)) {
                if rule.meets(operation, self.home).is_some() {
                    judging.take_elsewhere(rule, nth, operation);
                }
            }
        }
        let (mut verdict, message) = verdict(operations, &judging);
        if !matches!(verdict, Verdict::Deny(_))
            && let Some(reason) = self.set.unmasked(operations, self.principal)
        {
            verdict = Verdict::Deny(reason);
        }
        let limit = limit::smallest(operations, judging.states.iter().map(|state| &state.limits));
        Decision { verdict, limit, matches: judging.matches, message, policy: self.set.digest().clone() }
    }

    /// The denies and holds for this principal of the databases that the operation may go to, but for those that apply
    /// here anyway.
    pub(crate) fn elsewhere(&self, operation: &Operation) -> impl Iterator<Item = (&'a Bundle, &'a Rule)> {
        let set = self.set;
        let reached = operation.reaches.as_deref().into_iter().flat_map(|reach| set.reached(reach));
        let others = reached.filter(|bundle| {
            let here = self.bundles.iter().any(|here| std::ptr::eq(*here, *bundle));
            !here && bundle.scope.principals.matches(self.principal)
        });
        let rules = others.flat_map(|bundle| bundle.rules.iter().map(move |rule| (bundle, rule)));
        rules.filter(|(_, rule)| rule.effect != Effect::Allow)
    }

    /// The rules that match any of these actions, in file order.
    fn rules(&self, wanted: Actions) -> impl Iterator<Item = &'a Rule> {
        let bundles = self.bundles.iter().filter(move |bundle| bundle.actions.intersects(wanted));
        bundles.flat_map(|bundle| &bundle.rules).filter(move |rule| rule.actions.intersects(wanted))
    }

    /// The bundles that apply.
    pub(crate) fn bundles(&self) -> &[&'a Bundle] {
        &self.bundles
    }

    /// What needs no rule of its own: what is implicit in a session, and opening one where any rule lets something pass.
    fn implied(&self, operation: &Operation) -> State<'a> {
        let protected = Marks::NONE.with(Mark::ExposesProtected).with(Mark::InfersProtected);
        let session = operation.action == Action::Session && !operation.marks.intersects(protected);
        let opens = operation.action == Action::Connect
            && matches!(operation.object, Object::Session(kind) if opens_unnamed(kind))
            && operation.marks.is_empty()
            && self.lets_something_pass();
        State { whole: session || opens, ..State::default() }
    }

    fn lets_something_pass(&self) -> bool {
        self.bundles
            .iter()
            .flat_map(|bundle| &bundle.rules)
            .any(|rule| rule.effect != Effect::Deny || rule.rego.is_some())
    }
}

fn verdict(operations: &[Operation], judging: &Judging<'_, '_>) -> (Verdict, Option<Arc<str>>) {
    let Judging { states, holds, .. } = judging;
    let denied = operations.iter().zip(states).find_map(|(operation, state)| Some((operation, state.denied?)));
    if let Some((operation, rule)) = denied {
        let reason = Reason::Rule { rule: rule.id.clone(), operation: operation.to_string().into() };
        return (Verdict::Deny(reason), judging.message(rule));
    }
    if let Some(rule) = states.iter().find_map(|state| state.failed) {
        return (Verdict::Deny(Reason::PolicyError { rule: rule.id.clone() }), None);
    }
    let refused = operations.iter().zip(states).find_map(|(operation, state)| state.uncovered(operation));
    if let Some(operation) = refused {
        return (Verdict::Deny(Reason::NoRule { operation: operation.to_string().into() }), None);
    }
    if operations.is_empty() {
        return (Verdict::Deny(Reason::NoRule { operation: "a command that was not read".into() }), None);
    }
    if states.iter().any(|state| state.held) {
        let terms: Vec<HoldTerms> = holds.iter().filter_map(|held| held.terms.clone()).collect();
        return (Verdict::Hold(terms), holds.iter().find_map(|held| judging.message(held.rule)));
    }
    (Verdict::Allow, None)
}

#[cfg(test)]
mod speed;
#[cfg(test)]
mod tests;
