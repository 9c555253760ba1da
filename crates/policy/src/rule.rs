//! One rule: what it matches, and what it may permit.
//!
//! Promises, exactly (DESIGN 3):
//! - **allow** covers an operation when its action is among `actions`, its object among `objects`, and every mark of
//!   [`NAMED_MARKS`] that the operation carries is listed in `marks`. Other marks (`unbounded`, `recursive`, `forced`,
//!   `network`, `bulk`, `locks`) do not matter to an allow: without `marks` it covers them all, and listing them adds
//!   nothing (loading warns). To refuse one, write a deny with that mark.
//! - **deny** matches when action and object match (an absent key matches everything, `unknown` included) and, with
//!   `marks`, when the operation carries any of them.
//! - **hold** matches as a deny does. It stands in for an allow, so that approval lets the operation pass, only where it
//!   could have allowed it: `unknown` is named in `actions` and every mark of [`NAMED_MARKS`] in `marks`.
//! - `rego` asks a policy of Rego about whatever its actions and objects may match. What it answers is as a rule of that
//!   effect: an allow or hold permits `unknown` and every mark of [`NAMED_MARKS`] only where rule or answer names them, and
//!   a session that must be named only where the rule names it.
//! - `max_rows` on an allow limits the writes that it permits (`decide/limit.rs`); its reads it does not.
//! - `when` (`condition.rs`) is asked last, of what matches otherwise.
//! - `fields` narrows any of them to requests whose body is as it says (`field.rs`).
//! - `any` is every action, but in allow and hold not `unknown`, which must be named. No rule names `session`: what is
//!   implicit in a session needs no rule and no rule takes it away; refuse the session itself (`connect`).
//! - `infers-protected` is never permitted by a rule, a hold that names it included: it follows a mask's `predicates:`.
//!
//! Held by: `decide/tests.rs`.

mod read;

use crate::condition::Condition;
use crate::field::FieldRule;
use crate::glob::Certainty;
use crate::matching::Taken;
use crate::pattern::Pattern;
use crate::rego::{Named, Rego};
use portcullis_model::{
    Action, Columns, Effect, Fields, HoldTerms, Mark, Marks, Object, Operation, RowLimit, RuleId, SessionKind,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// The marks that an allow or hold must name (DESIGN 3); `unknown`, the fifth of that list, is an action.
pub(crate) const NAMED_MARKS: Marks =
    Marks::NONE.with(Mark::Dynamic).with(Mark::Privileged).with(Mark::Irreversible).with(Mark::ExposesProtected);

/// The marks that no allow or hold covers without naming them; the last none covers at all.
const NEEDED_MARKS: Marks = NAMED_MARKS.with(Mark::InfersProtected);

/// A set of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Actions(u32);

impl Actions {
    /// Everything that a rule can match.
    pub(crate) fn every() -> Self {
        Action::ALL.iter().filter(|action| **action != Action::Session).fold(Self(0), |set, action| set.with(*action))
    }

    pub(crate) const fn with(self, action: Action) -> Self {
        Self(self.0 | 1 << action as u32)
    }

    pub(crate) const fn without(self, action: Action) -> Self {
        Self(self.0 & !(1 << action as u32))
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn contains(self, action: Action) -> bool {
        self.0 & 1 << action as u32 != 0
    }

    pub(crate) const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Those of `other` that are missing here.
    pub(crate) fn missing(self, other: Self) -> impl Iterator<Item = Action> {
        Action::ALL.iter().copied().filter(move |action| other.contains(*action) && !self.contains(*action))
    }
}

/// The groups of actions that rules may name.
pub(crate) const GROUPS: &[(&str, &[Action])] = &[
    ("write", &[Action::Insert, Action::Update, Action::Delete]),
    ("define", &[Action::Create, Action::Alter, Action::Drop, Action::Truncate]),
];

/// The objects of a rule.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    /// As written, for comparing sets and for people.
    pub(crate) written: Vec<Arc<str>>,
    pub(crate) patterns: Vec<Pattern>,
}

/// One rule of a bundle.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: RuleId,
    /// What it does; the strictest that it may do, where it asks.
    pub(crate) effect: Effect,
    /// What it asks instead of having an effect of its own.
    pub(crate) rego: Option<Arc<Rego>>,
    /// What it matches.
    pub(crate) actions: Actions,
    /// Whether `unknown` was named: only then does a hold permit it.
    pub(crate) names_unknown: bool,
    pub(crate) objects: Option<Objects>,
    pub(crate) marks: Option<Marks>,
    /// What it says of the body of a request.
    pub(crate) fields: Option<FieldRule>,
    pub(crate) condition: Condition,
    pub(crate) message: Option<Arc<str>>,
    /// For holds, and for what it asks where that holds.
    pub(crate) terms: Option<HoldTerms>,
    /// How many rows a statement may write that it permits.
    pub(crate) limit: Option<RowLimit>,
    /// The line it starts on.
    pub(crate) line: usize,
}

/// Which of an operation's columns something covers, by their place in its list.
pub(crate) type ColumnSet = SmallVec<[u64; 2]>;

/// How much of an operation a matching rule permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Permits {
    /// Nothing: a deny, or a hold that only holds back.
    Nothing,
    /// All of it.
    Whole,
    /// These columns.
    Columns(ColumnSet),
}

impl Rule {
    /// Whether the body is one that the rule is about.
    pub(crate) fn agrees(&self, fields: Option<&Fields>) -> bool {
        self.fields.as_ref().is_none_or(|rule| rule.holds(fields, self.certainty()))
    }

    /// How sure a match has to be.
    const fn certainty(&self) -> Certainty {
        match self.effect {
            Effect::Allow => Certainty::Surely,
            Effect::Hold | Effect::Deny => Certainty::Possibly,
        }
    }

    /// Whether the rule matches the operation, and how much it then permits; its condition and its fields are not asked
    /// here. What a rule that asks may match, it matches as a deny.
    pub(crate) fn meets(&self, operation: &Operation, home: Option<&str>) -> Option<Permits> {
        if !self.actions.contains(operation.action) {
            return None;
        }
        let asks = self.rego.is_some();
        let tolerated = self.tolerates(operation, Named::default());
        match self.effect {
            Effect::Allow if !tolerated => return None,
            Effect::Allow => {}
            Effect::Hold | Effect::Deny => {
                if !asks && self.marks.is_some_and(|marks| !marks.intersects(operation.marks)) {
                    return None;
                }
            }
        }
        let permits = self.objects_of(operation, self.certainty(), home)?;
        let may_permit = match self.effect {
            Effect::Allow => true,
            Effect::Hold => tolerated && self.names_session(&operation.object),
            Effect::Deny => false,
        };
        Some(if may_permit { permits } else { Permits::Nothing })
    }

    /// How much of an operation that [`Rule::meets`] matched an answer permits that allows it, naming these.
    pub(crate) fn allows(&self, named: Named, operation: &Operation, home: Option<&str>) -> Option<Permits> {
        let tolerated = self.tolerates(operation, named) && self.names_session(&operation.object);
        if tolerated { self.objects_of(operation, Certainty::Surely, home) } else { None }
    }

    /// The same of an answer that holds it: what it does not permit, it still holds back.
    pub(crate) fn holds(&self, named: Named, operation: &Operation, home: Option<&str>) -> Permits {
        let tolerated = self.tolerates(operation, named) && self.names_session(&operation.object);
        let permits = self.objects_of(operation, Certainty::Possibly, home);
        permits.filter(|_| tolerated).unwrap_or(Permits::Nothing)
    }

    /// The marks that keep an allow or hold from permitting the operation.
    pub(crate) fn missing_marks(&self, operation: &Operation) -> Marks {
        self.missing(operation, Named::default())
    }

    /// The same where an answer names some too.
    pub(crate) fn missing(&self, operation: &Operation, named: Named) -> Marks {
        let listed = self.marks.unwrap_or(Marks::NONE).union(named.marks);
        let permits = |mark| !NEEDED_MARKS.contains(mark) || (NAMED_MARKS.contains(mark) && listed.contains(mark));
        operation.marks.iter().filter(|mark| !permits(*mark)).collect()
    }

    /// Whether the objects match the operation at all, this surely; marks and condition are not asked.
    pub(crate) fn may_cover(&self, operation: &Operation, certainty: Certainty) -> bool {
        self.actions.contains(operation.action) && self.objects_of(operation, certainty, None).is_some()
    }

    fn tolerates(&self, operation: &Operation, named: Named) -> bool {
        let marks = !operation.marks.intersects(NEEDED_MARKS) || self.missing(operation, named).is_empty();
        marks && (operation.action != Action::Unknown || self.names_unknown || named.unknown)
    }

    /// Whether the object is no kind of session that must be named, or is named.
    fn names_session(&self, object: &Object) -> bool {
        let Object::Session(kind) = object else { return true };
        crate::matching::opens_unnamed(*kind) || self.names_session_kind(*kind)
    }

    fn names_session_kind(&self, kind: SessionKind) -> bool {
        let named = |pattern: &Pattern| matches!(pattern, Pattern::Session(glob) if glob.matches(kind.word()));
        self.objects.as_ref().is_some_and(|objects| objects.patterns.iter().any(named))
    }

    /// How much of the operation the objects cover; `None` where they do not match.
    fn objects_of(&self, operation: &Operation, certainty: Certainty, home: Option<&str>) -> Option<Permits> {
        let Some(objects) = &self.objects else { return Some(Permits::Whole) };
        let mut some = false;
        for pattern in &objects.patterns {
            match pattern.takes(operation, certainty, home) {
                Taken::Whole => return Some(Permits::Whole),
                Taken::SomeColumns => some = true,
                Taken::Nothing => {}
            }
        }
        some.then(|| Permits::Columns(columns_of(&objects.patterns, operation, certainty)))
    }
}

fn columns_of(patterns: &[Pattern], operation: &Operation, certainty: Certainty) -> ColumnSet {
    let mut set = ColumnSet::new();
    if let Columns::Named(names) = &operation.columns {
        for names in names.chunks(64) {
            let covered = |name| patterns.iter().any(|one| one.takes_column(&operation.object, name, certainty));
            set.push(names.iter().enumerate().fold(0, |bits, (nth, name)| bits | u64::from(covered(name)) << nth));
        }
    }
    set
}
