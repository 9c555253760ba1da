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
//! - A condition that fails to evaluate, in a rule that otherwise matches, denies, whatever the rule's effect.
//!
//! Which refusal is told: that of the first operation with a deny, by its first deny in file order; else the first rule
//! that failed; else the first operation that nothing allows, with only the columns that nothing covers.
//! Allocates for what it returns and nothing else (commands of up to eight operations).
//! Held by: `decide/tests.rs`.

use crate::bundle::Bundle;
use crate::matching::opens_unnamed;
use crate::rule::{Actions, ColumnSet, Permits, Rule};
use crate::set::PolicySet;
use jiff::Timestamp;
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
}

/// What the rules met so far come to.
struct Judging<'a> {
    states: SmallVec<[State<'a>; 8]>,
    matches: Vec<Match>,
    holds: SmallVec<[&'a Rule; 4]>,
}

impl<'a> Judging<'a> {
    fn new(states: SmallVec<[State<'a>; 8]>) -> Self {
        Self { states, matches: Vec::new(), holds: SmallVec::new() }
    }

    /// A rule that matches this operation and permits this much of it.
    fn take(&mut self, rule: &'a Rule, nth: usize, permits: Permits) {
        let Some(state) = self.states.get_mut(nth) else { return };
        match rule.condition.holds() {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => {
                state.failed = state.failed.or(Some(rule));
                return;
            }
        }
        self.matches.push(Match { rule: rule.id.clone(), effect: rule.effect, operation: nth });
        match rule.effect {
            Effect::Allow => state.permit(permits),
            Effect::Hold => {
                state.held = true;
                state.permit(permits);
                if !self.holds.iter().any(|held| std::ptr::eq(*held, rule)) {
                    self.holds.push(rule);
                }
            }
            Effect::Deny => state.denied = state.denied.or(Some(rule)),
        }
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
    pub fn scope_for<'a>(&'a self, principal: &'a Principal, connection: &Connection) -> Scoped<'a> {
        let bundles = self.bundles.iter().filter(|bundle| bundle.scope.applies(principal, connection)).collect();
        Scoped { set: self, principal, bundles, home: None, fields: None }
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
    pub fn decide(&self, operations: &[Operation], _at: Timestamp) -> Decision {
        let wanted = operations.iter().fold(Actions::default(), |set, operation| set.with(operation.action));
        let mut judging = Judging::new(operations.iter().map(|one| self.implied(one)).collect());
        for rule in self.rules(wanted).filter(|rule| rule.agrees(self.fields)) {
            for (nth, operation) in operations.iter().enumerate() {
                if let Some(permits) = rule.meets(operation, self.home) {
                    judging.take(rule, nth, permits);
                }
            }
        }
        for (nth, operation) in operations.iter().enumerate().filter(|(_, operation)| operation.reaches.is_some()) {
            for (_, rule) in self.elsewhere(operation).filter(|(_, rule)| rule.agrees(self.fields)) {
                if rule.meets(operation, self.home).is_some() {
                    judging.take(rule, nth, Permits::Nothing);
                }
            }
        }
        let (mut verdict, message) = verdict(operations, &judging.states, &judging.holds);
        if !matches!(verdict, Verdict::Deny(_))
            && let Some(reason) = self.set.unmasked(operations, self.principal)
        {
            verdict = Verdict::Deny(reason);
        }
        Decision { verdict, matches: judging.matches, message, policy: self.set.digest().clone() }
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
        self.bundles.iter().flat_map(|bundle| &bundle.rules).any(|rule| rule.effect != Effect::Deny)
    }
}

fn verdict(operations: &[Operation], states: &[State<'_>], holds: &[&Rule]) -> (Verdict, Option<Arc<str>>) {
    let denied = operations.iter().zip(states).find_map(|(operation, state)| Some((operation, state.denied?)));
    if let Some((operation, rule)) = denied {
        let reason = Reason::Rule { rule: rule.id.clone(), operation: operation.to_string().into() };
        return (Verdict::Deny(reason), rule.message.clone());
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
        let terms: Vec<HoldTerms> = holds.iter().filter_map(|rule| rule.terms.clone()).collect();
        return (Verdict::Hold(terms), holds.iter().find_map(|rule| rule.message.clone()));
    }
    (Verdict::Allow, None)
}

#[cfg(test)]
mod tests;
