//! Why a case is decided as it is, for a person.
//!
//! Promises: for every operation, each rule of each applicable bundle that matched, with its place; allows and holds
//! that would have covered it but for a mark or an unknown name are listed with what they lack; bundles that do not
//! apply say why not; the masks on the connection are listed, those from which the principal is exempt too. The
//! decision shown is [`PolicySet::decide`]'s own.
//! Held by: `explain/tests.rs`.

mod asked;
mod masks;

use crate::bundle::Bundle;
use crate::decide::{Case, Scoped};
use crate::facts::Facts;
use crate::glob::Certainty;
use crate::rule::{Permits, Rule};
use crate::set::PolicySet;
use portcullis_model::{Columns, Decision, Effect, Fields, Mark, Marks, Operation, Reason, RuleId, Verdict};
use std::fmt;
use std::sync::Arc;

pub use masks::MaskExplanation;
pub(crate) use masks::written;

/// A decision and everything that led to it. Prints as a person wants to read it.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Who, with groups and claims.
    pub principal: String,
    /// Where.
    pub connection: String,
    /// Every bundle of the set, and whether it applies here.
    pub bundles: Vec<ScopeExplanation>,
    /// The operations of the command, in its order.
    pub operations: Vec<OperationExplanation>,
    /// The masks on the connection, and whether each binds the principal.
    pub masks: Vec<MaskExplanation>,
    /// What is decided on the whole.
    pub decision: Decision,
}

/// Whether a bundle applies.
#[derive(Clone, Debug)]
pub struct ScopeExplanation {
    /// Its name.
    pub bundle: Arc<str>,
    /// The file it was read from.
    pub file: Arc<str>,
    /// Why it does not apply; `None` where it does.
    pub lacks: Option<String>,
}

/// What is decided on one operation by itself.
#[derive(Clone, Debug)]
pub struct OperationExplanation {
    /// The operation.
    pub operation: Operation,
    /// What it comes to.
    pub effect: Effect,
    /// Why.
    pub why: String,
    /// The rules that matched, and the allows and holds that nearly did.
    pub rules: Vec<RuleExplanation>,
}

/// What one rule has to do with an operation.
#[derive(Clone, Debug)]
pub struct RuleExplanation {
    /// Which.
    pub rule: RuleId,
    /// What it does.
    pub effect: Effect,
    /// The file it stands in.
    pub file: Arc<str>,
    /// The line it starts on, from 1.
    pub line: usize,
    /// Whether it matched.
    pub matched: bool,
    /// What it lacks or leaves out.
    pub note: Option<String>,
}

impl PolicySet {
    /// Explains a case.
    #[must_use]
    pub fn explain(&self, case: &Case<'_>) -> Explanation {
        let scoped = self.scope_of(case);
        let lacks = |bundle: &Bundle| {
            if !bundle.scope.on(case.connection) {
                let names = bundle.scope.connections.iter().flatten().map(AsRef::as_ref).collect::<Vec<&str>>();
                return Some(format!("it is about the connections {}", names.join(", ")));
            }
            let who = &bundle.scope.principals;
            (!who.matches(case.principal)).then(|| format!("it is about {}", who.describe()))
        };
        let bundles = self.bundles.iter().map(|bundle| ScopeExplanation {
            bundle: bundle.name.clone(),
            file: bundle.file.clone(),
            lacks: lacks(bundle),
        });
        let facts = Facts::new(case.principal, case.connection, case.operations, case.at);
        let operations =
            case.operations.iter().enumerate().map(|(nth, one)| self.explain_one(&scoped, one, nth, &facts));
        Explanation {
            principal: principal(case),
            connection: case.connection.name.to_string(),
            bundles: bundles.collect(),
            operations: operations.collect(),
            masks: self.masks_explained(case.principal, case.connection),
            decision: scoped.decide(case.operations, case.at),
        }
    }

    fn explain_one(
        &self,
        scoped: &Scoped<'_>,
        operation: &Operation,
        nth: usize,
        facts: &Facts<'_>,
    ) -> OperationExplanation {
        let decision = scoped.decide_one(operation, nth, facts);
        facts.refill();
        let place = Place { scoped, nth, facts };
        let here = scoped.bundles().iter().flat_map(|bundle| bundle.rules.iter().map(move |rule| (*bundle, rule)));
        let here = here.filter_map(|(bundle, rule)| explain_rule(bundle, rule, operation, &place));
        let there = scoped.elsewhere(operation).filter_map(|(bundle, rule)| {
            let mut found = explain_rule(bundle, rule, operation, &place)?;
            let there = "of a database that it may go to";
            found.note = Some(found.note.map_or_else(|| there.to_owned(), |note| format!("{there}; {note}")));
            Some(found)
        });
        let rules = here.chain(there);
        OperationExplanation {
            operation: operation.clone(),
            effect: decision.verdict.effect(),
            why: self.why(&decision),
            rules: rules.collect(),
        }
    }

    fn why(&self, decision: &Decision) -> String {
        let said = |rule: &RuleId| {
            let message = self.rule(rule).and_then(|rule| rule.message.as_ref());
            message.map(|message| format!(": {message}")).unwrap_or_default()
        };
        match &decision.verdict {
            Verdict::Deny(Reason::Rule { rule, .. }) => format!("rule {rule} denies it{}", said(rule)),
            Verdict::Deny(Reason::NoRule { operation }) => format!("no rule allows {operation}"),
            Verdict::Deny(reason) => reason.to_string(),
            Verdict::Hold(terms) => {
                let all: Vec<_> = terms
                    .iter()
                    .map(|terms| {
                        let who: Vec<&str> = terms.groups.iter().chain(&terms.users).map(AsRef::as_ref).collect();
                        let rule = &terms.rule;
                        format!("rule {rule} asks for {} of {}{}", terms.approvals, who.join(", "), said(rule))
                    })
                    .collect();
                all.join("; and ")
            }
            Verdict::Allow if decision.matches.is_empty() => "it needs no rule of its own".to_owned(),
            Verdict::Allow => match &decision.limit {
                None => "allowed, and nothing stricter matches".to_owned(),
                Some(limit) => {
                    format!("allowed up to {} rows, by {}, and nothing stricter matches", limit.rows, limit.rule)
                }
            },
        }
    }
}

fn principal(case: &Case<'_>) -> String {
    let mut out = case.principal.user.to_string();
    let groups: Vec<&str> = case.principal.groups.iter().map(AsRef::as_ref).collect();
    if !groups.is_empty() {
        out.push_str(&format!(" (groups {})", groups.join(", ")));
    }
    for (claim, values) in &case.principal.claims {
        let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
        out.push_str(&format!(" ({claim} {})", values.join(", ")));
    }
    out
}

/// Where an operation stands.
struct Place<'p, 's, 'f> {
    scoped: &'p Scoped<'s>,
    nth: usize,
    facts: &'p Facts<'f>,
}

fn explain_rule(
    bundle: &Bundle,
    rule: &Rule,
    operation: &Operation,
    place: &Place<'_, '_, '_>,
) -> Option<RuleExplanation> {
    let Place { scoped, nth, facts } = *place;
    let mut effect = rule.effect;
    let (matched, note) = match rule.meets(operation, scoped.home) {
        Some(_) if !rule.agrees(scoped.fields) => (false, Some(of_another_body(rule, scoped.fields)?)),
        Some(permits) => {
            let by = rule.fields.as_ref().filter(|_| rule.effect != Effect::Allow);
            let found = by.and_then(|rule| rule.found(scoped.fields));
            let note = leaves_out(rule, operation, &permits).or(found);
            let asked = asked::explain(rule, operation, nth, scoped.home, facts);
            effect = asked.effect;
            (asked.matched, joined(asked.note, note.filter(|_| asked.matched)))
        }
        None => (false, Some(lacks(rule, operation, scoped.home)?)),
    };
    Some(RuleExplanation { rule: rule.id.clone(), effect, file: bundle.file.clone(), line: rule.line, matched, note })
}

fn joined(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(format!("{one}; {other}")),
        (one, other) => one.or(other),
    }
}

/// What of the body keeps an allow or hold from matching; nothing is said of a deny.
fn of_another_body(rule: &Rule, fields: Option<&Fields>) -> Option<String> {
    match rule.effect {
        Effect::Allow => rule.fields.as_ref()?.lacks(fields),
        Effect::Hold => Some("no field of the body is as it says".to_owned()),
        Effect::Deny => None,
    }
}

/// What a rule that matched does not permit.
fn leaves_out(rule: &Rule, operation: &Operation, permits: &Permits) -> Option<String> {
    match (rule.effect, permits) {
        (Effect::Hold, Permits::Nothing) => {
            let missing = words(rule.missing_marks(operation));
            let what = if missing.is_empty() { "what it does not name".to_owned() } else { missing };
            Some(format!("holds it back, but does not permit {what}"))
        }
        (Effect::Allow | Effect::Hold, Permits::Columns(set)) => {
            let Columns::Named(names) = &operation.columns else { return None };
            let covered = |nth: usize| set.get(nth / 64).is_some_and(|bits| bits >> (nth % 64) & 1 == 1);
            let covered: Vec<_> =
                names.iter().enumerate().filter(|(nth, _)| covered(*nth)).map(|(_, name)| name.as_str()).collect();
            (covered.len() < names.len()).then(|| format!("only for {}", covered.join(", ")))
        }
        (Effect::Allow | Effect::Hold | Effect::Deny, Permits::Nothing | Permits::Whole | Permits::Columns(_)) => None,
    }
}

/// What kept an allow from matching, where it came near: the same operation unmarked, or of a known name, would match.
fn lacks(rule: &Rule, operation: &Operation, home: Option<&str>) -> Option<String> {
    if rule.effect != Effect::Allow || !rule.actions.contains(operation.action) {
        return None;
    }
    let missing = rule.missing_marks(operation);
    let unmarked = Operation { marks: Marks::NONE, ..operation.clone() };
    if !missing.is_empty() && rule.meets(&unmarked, home).is_some() {
        if missing.contains(Mark::InfersProtected) {
            return Some("no rule permits `infers-protected`: it follows `predicates` of a mask".to_owned());
        }
        return Some(format!("does not name {}", words(missing)));
    }
    if rule.may_cover(&unmarked, Certainty::Possibly) && !rule.may_cover(&unmarked, Certainty::Surely) {
        return Some("not wholly known here, and an allow takes that only by a literal `*`".to_owned());
    }
    None
}

fn words(marks: Marks) -> String {
    marks.iter().map(|mark| format!("`{}`", mark.word())).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.decision.verdict.effect().word().to_uppercase();
        writeln!(f, "{word}: {} on {}", self.principal, self.connection)?;
        if let Some(message) = &self.decision.message {
            writeln!(f, "  {message}")?;
        }
        for (nth, operation) in self.operations.iter().enumerate() {
            writeln!(f, "\n  {}. {}", nth + 1, operation.operation)?;
            for rule in &operation.rules {
                let mark = if rule.matched { rule.effect.word() } else { "(no)" };
                write!(f, "     {mark:<6} {}  {}:{}", rule.rule, rule.file, rule.line)?;
                match &rule.note {
                    Some(note) => writeln!(f, "  [{note}]")?,
                    None => writeln!(f)?,
                }
            }
            writeln!(f, "     => {}: {}", operation.effect.word(), operation.why)?;
        }
        if !self.masks.is_empty() {
            writeln!(f, "\n  masks")?;
        }
        for mask in &self.masks {
            writeln!(f, "     {mask}")?;
        }
        writeln!(f, "\n  bundles")?;
        for bundle in &self.bundles {
            match &bundle.lacks {
                None => writeln!(f, "     {} applies  {}", bundle.bundle, bundle.file)?,
                Some(lacks) => writeln!(f, "     {} does not apply: {lacks}  {}", bundle.bundle, bundle.file)?,
            }
        }
        write!(f, "  policy {}", self.decision.policy)
    }
}

#[cfg(test)]
mod tests;
