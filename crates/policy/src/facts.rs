//! What a condition or a delegated rule may know of a case.
//!
//! Promises: everything is made when it is first looked at and then kept for the decision, so a set without conditions pays
//! nothing. What is not known is not there: an object whose name is not wholly known has no `object`, columns that could not
//! be told are no `columns`, a connection without a database has no `database`; looking at it is an error, `has()` asks. What
//! is too long to look at ([`MAX_TEXT`], [`MAX_COLUMNS`]) counts as not known. The text of a command is never among them.
//! Nothing here outlives its decision, so nothing is remembered of another moment, principal or policy.
//! Held by: `condition/tests.rs`, `rego/tests.rs`.

use crate::condition::{Expression, Failed, STEPS};
use crate::rego::{Answer, LIMIT, Rego};
use cel::Value;
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use jiff::Timestamp;
use portcullis_model::{Columns, Connection, Marks, Object, Operation, Principal};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// More operations than this are not shown to a condition.
pub(crate) const MAX_OPERATIONS: usize = 1000;

/// A text longer than this, in bytes, counts as not known.
const MAX_TEXT: usize = 4096;

/// More columns than this count as not known.
const MAX_COLUMNS: usize = 2000;

/// A case, and what was found out about it in this decision.
pub(crate) struct Facts<'a> {
    pub(crate) view: View<'a>,
    left: Cell<u64>,
    time: Cell<Duration>,
    input: OnceCell<regorus::Value>,
    conditions: RefCell<Vec<(*const Expression, Result<bool, Failed>)>>,
    answers: RefCell<Vec<(*const Rego, Arc<Answer>)>>,
}

/// A case, as conditions see it.
pub(crate) struct View<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) connection: &'a Connection,
    /// Every operation of the command.
    pub(crate) whole: &'a [Operation],
    pub(crate) at: Timestamp,
    longest: OnceLock<usize>,
    of_principal: Made,
    of_connection: Made,
    of_command: Made,
    of_now: Made,
    of_operations: OnceLock<Vec<Made>>,
}

/// A value of the language.
type Made = OnceLock<Box<dyn Val>>;

/// The case as an expression sees it that is about one of its operations.
pub(crate) struct Seen<'f, 'a> {
    pub(crate) view: &'f View<'a>,
    pub(crate) nth: usize,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(
        principal: &'a Principal,
        connection: &'a Connection,
        whole: &'a [Operation],
        at: Timestamp,
    ) -> Self {
        let view = View {
            principal,
            connection,
            whole,
            at,
            longest: OnceLock::new(),
            of_principal: Made::new(),
            of_connection: Made::new(),
            of_command: Made::new(),
            of_now: Made::new(),
            of_operations: OnceLock::new(),
        };
        Self {
            view,
            left: Cell::new(STEPS),
            time: Cell::new(LIMIT),
            input: OnceCell::new(),
            conditions: RefCell::default(),
            answers: RefCell::default(),
        }
    }

    /// Whether the command is too long to be looked at.
    pub(crate) const fn too_many(&self) -> bool {
        self.view.whole.len() > MAX_OPERATIONS
    }

    /// Forgets what was spent, for another decision about the same case.
    pub(crate) fn refill(&self) {
        self.left.set(STEPS);
        self.time.set(LIMIT);
    }

    /// The input document of delegated rules, the same for all of them.
    pub(crate) fn input(&self, made: impl FnOnce(&View<'_>) -> regorus::Value) -> regorus::Value {
        self.input.get_or_init(|| made(&self.view)).clone()
    }

    /// How long delegated rules may still be evaluated.
    pub(crate) const fn time_left(&self) -> Duration {
        self.time.get()
    }

    /// Takes what an evaluation took.
    pub(crate) fn take_time(&self, took: Duration) {
        self.time.set(self.time.get().saturating_sub(took));
    }

    /// The length of the longest list of the case.
    pub(crate) fn longest(&self) -> usize {
        *self.view.longest.get_or_init(|| self.view.length())
    }

    /// Takes this many steps from what is left, where that is enough.
    pub(crate) fn spend(&self, steps: u64) -> bool {
        let left = self.left.get().checked_sub(steps);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }

    /// What an expression comes to: once for all operations, where it is about none of them.
    pub(crate) fn once(
        &self,
        expression: &Expression,
        evaluate: impl FnOnce() -> Result<bool, Failed>,
    ) -> Result<bool, Failed> {
        if expression.uses.operation {
            return evaluate();
        }
        let found =
            self.conditions.borrow().iter().find(|(of, _)| std::ptr::eq(*of, expression)).map(|(_, found)| *found);
        found.unwrap_or_else(|| {
            let found = evaluate();
            self.conditions.borrow_mut().push((std::ptr::from_ref(expression), found));
            found
        })
    }

    /// What a delegated rule answers: asked once for the whole command.
    pub(crate) fn answer(&self, rego: &Rego) -> Arc<Answer> {
        let found =
            self.answers.borrow().iter().find(|(of, _)| std::ptr::eq(*of, rego)).map(|(_, found)| Arc::clone(found));
        found.unwrap_or_else(|| {
            let found = Arc::new(rego.ask(self));
            self.answers.borrow_mut().push((std::ptr::from_ref(rego), Arc::clone(&found)));
            found
        })
    }
}

impl View<'_> {
    fn length(&self) -> usize {
        let claims = &self.principal.claims;
        let lists = claims.values().map(std::collections::BTreeSet::len);
        let lists = lists.chain([self.principal.groups.len(), claims.len(), self.whole.len()]);
        let columns = self.whole.iter().filter_map(columns).map(<[_]>::len);
        // A map of an operation has five entries, an operation at most eleven marks.
        lists.chain(columns).chain([portcullis_model::Mark::ALL.len()]).max().unwrap_or(0)
    }

    /// Every mark of the command.
    pub(crate) fn marks(&self) -> Marks {
        self.whole.iter().fold(Marks::NONE, |all, one| all.union(one.marks))
    }

    fn principal(&self) -> Value {
        let who = self.principal;
        let claims: HashMap<String, Value> =
            who.claims.iter().map(|(claim, values)| (claim.to_string(), texts(values.iter()))).collect();
        map([
            ("user", Some(text(&who.user))),
            ("issuer", Some(text(&who.issuer))),
            ("subject", Some(text(&who.subject))),
            ("groups", Some(texts(who.groups.iter()))),
            ("claims", Some(Value::from(claims))),
        ])
    }

    fn connection(&self) -> Value {
        let one = self.connection;
        map([
            ("name", Some(text(one.name.as_str()))),
            ("protocol", Some(text(one.protocol.word()))),
            ("database", one.database.as_ref().map(|name| text(name.as_str()))),
            ("login", Some(text(&one.login))),
        ])
    }

    fn command(&self) -> Value {
        let operations: Vec<Value> = self.whole.iter().map(operation).collect();
        map([("operations", Some(Value::from(operations))), ("marks", Some(marks(self.marks())))])
    }

    fn now(&self) -> Value {
        let (seconds, nanoseconds) = (self.at.as_second(), self.at.subsec_nanosecond());
        let moment = chrono::DateTime::from_timestamp(seconds, u32::try_from(nanoseconds).unwrap_or(0));
        moment.map_or(Value::Null, |moment| Value::Timestamp(moment.fixed_offset()))
    }

    fn one(&self, nth: usize) -> Option<&dyn Val> {
        let all = self.of_operations.get_or_init(|| self.whole.iter().map(|_| Made::new()).collect());
        Some(make(all.get(nth)?, || self.whole.get(nth).map_or(Value::Null, operation)))
    }
}

impl VariableResolver for Seen<'_, '_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let view = self.view;
        let found = match variable {
            "principal" => make(&view.of_principal, || view.principal()),
            "connection" => make(&view.of_connection, || view.connection()),
            "command" => make(&view.of_command, || view.command()),
            "now" => make(&view.of_now, || view.now()),
            "operation" => view.one(self.nth)?,
            _ => return None,
        };
        Some(CowVal::Borrowed(found))
    }
}

fn make(slot: &Made, value: impl FnOnce() -> Value) -> &dyn Val {
    let null = || Box::new(cel::common::types::CelNull) as Box<dyn Val>;
    &**slot.get_or_init(|| value().try_into().unwrap_or_else(|_| null()))
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn texts(texts: impl Iterator<Item = impl AsRef<str>>) -> Value {
    Value::from(texts.map(|one| text(one.as_ref())).collect::<Vec<_>>())
}

fn marks(marks: Marks) -> Value {
    texts(marks.iter().map(portcullis_model::Mark::word))
}

/// A map of those that are known.
fn map<const N: usize>(entries: [(&str, Option<Value>); N]) -> Value {
    let known = entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::from(known.collect::<HashMap<String, Value>>())
}

fn operation(one: &Operation) -> Value {
    map([
        ("action", Some(text(one.action.word()))),
        ("object", object(&one.object).map(Value::from)),
        ("kind", Some(text(one.object.noun()))),
        ("marks", Some(marks(one.marks))),
        ("columns", columns(one).map(|names| texts(names.iter().map(portcullis_model::Name::as_str)))),
    ])
}

/// The columns, where it is known which; none is a list without any.
pub(crate) fn columns(one: &Operation) -> Option<&[portcullis_model::Name]> {
    match &one.columns {
        Columns::None => Some(&[]),
        Columns::Named(names) => (names.len() <= MAX_COLUMNS).then_some(&**names),
        Columns::Unknown => None,
    }
}

/// The object as patterns are written, where its name is wholly known and not too long to look at.
pub(crate) fn object(object: &Object) -> Option<String> {
    object.is_known().then(|| object.to_string()).filter(|text| text.len() <= MAX_TEXT)
}
