//! What a shell knows while a text is walked: variables, directories, functions, aliases, positional parameters.
//!
//! A state is always an over-approximation: a variable that could have two values is not known, a directory that could be
//! two is both, a function that may or may not be defined is called and not called. Promises: [`State::join`] never
//! forgets a possibility, so what is read after a branch covers both. Held by: `fixtures/shell/{dynamic,wrappers}.tsv`.

use crate::path;
use crate::walk::Body;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// More directories than this at once are any directory.
const DIRECTORIES: usize = 8;

/// What is known of a variable. One that is absent may come from the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Exactly this.
    Known(Rc<str>),
    /// Some whole number.
    Integer,
    /// Anything.
    Unknown,
}

/// The directories that could be the current one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directories {
    pub(crate) known: BTreeSet<Rc<str>>,
    /// Any other too.
    pub(crate) unknown: bool,
}

impl Directories {
    pub(crate) fn one(path: Option<&str>) -> Self {
        path.map_or_else(Self::any, |path| Self { known: std::iter::once(Rc::from(path)).collect(), unknown: false })
    }

    pub(crate) const fn any() -> Self {
        Self { known: BTreeSet::new(), unknown: true }
    }

    pub(crate) fn join(&mut self, other: &Self) {
        self.known.extend(other.known.iter().cloned());
        self.unknown |= other.unknown;
        if self.known.len() > DIRECTORIES {
            *self = Self::any();
        }
    }

    /// The directories that `step` leads to from here.
    pub(crate) fn step(&self, step: &str) -> Self {
        let mut out = Self { known: BTreeSet::new(), unknown: self.unknown && !path::is_rooted(step) };
        if path::is_rooted(step) {
            return Self::one(path::resolve(None, step).as_deref());
        }
        for from in &self.known {
            match path::resolve(Some(from), step) {
                Some(path) => {
                    out.known.insert(path.into());
                }
                None => out.unknown = true,
            }
        }
        out
    }

    /// The one directory, where there is only one.
    pub(crate) fn single(&self) -> Option<&str> {
        let mut known = self.known.iter();
        match (known.next(), known.next(), self.unknown) {
            (Some(one), None, false) => Some(one),
            _ => None,
        }
    }
}

/// A function's bodies, each with the text that its spans lie in.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) bodies: Vec<Body>,
    /// It may also not be defined.
    pub(crate) maybe_absent: bool,
}

/// What the shell knows.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) variables: BTreeMap<Rc<str>, Value>,
    pub(crate) directories: Directories,
    /// Where the shell is if what ran last failed (a `cd`); the same as `directories` otherwise.
    pub(crate) failed: Directories,
    /// What `cd -` leads to.
    pub(crate) previous: Directories,
    /// What it leads to if what ran last failed; the same as `previous` otherwise.
    pub(crate) previous_failed: Directories,
    pub(crate) functions: BTreeMap<Rc<str>, Function>,
    /// Aliases, with their text where it is known.
    pub(crate) aliases: BTreeMap<Rc<str>, Option<Rc<str>>>,
    /// `$1` and so on; `None` where not known.
    pub(crate) positional: Option<Vec<Rc<str>>>,
    /// Names that stand for other names (`declare -n`): nothing about any variable is known any more.
    pub(crate) references: bool,
}

impl State {
    pub(crate) fn new(directory: Option<&str>) -> Self {
        Self {
            variables: BTreeMap::new(),
            directories: Directories::one(directory),
            failed: Directories::one(directory),
            previous: Directories::any(),
            previous_failed: Directories::any(),
            functions: BTreeMap::new(),
            aliases: BTreeMap::new(),
            positional: Some(Vec::new()),
            references: false,
        }
    }

    pub(crate) fn get(&self, name: &str) -> Value {
        if self.references {
            return Value::Unknown;
        }
        self.variables.get(name).cloned().unwrap_or(Value::Unknown)
    }

    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.variables.insert(name.into(), value);
    }

    /// Nothing is known of any variable.
    pub(crate) fn forget(&mut self) {
        for value in self.variables.values_mut() {
            *value = Value::Unknown;
        }
        self.references = true;
        self.positional = None;
    }

    /// Any variable may hold another value by now.
    pub(crate) fn doubt(&mut self) {
        for value in self.variables.values_mut() {
            *value = Value::Unknown;
        }
    }

    /// Whether words are split at blanks, tabs and newlines.
    pub(crate) fn splits_as_usual(&self) -> bool {
        !self.references && !self.variables.contains_key("IFS")
    }

    /// The current directories are these, whether the last command failed or not.
    pub(crate) fn settle(&mut self, directories: Directories) {
        self.failed = directories.clone();
        self.directories = directories;
        self.previous_failed = self.previous.clone();
    }

    /// What ran last may not have run at all, which is a failure.
    pub(crate) fn or_failed(&mut self, skipped: &Self) {
        let (directories, previous) = (self.directories.clone(), self.previous.clone());
        self.join(skipped);
        self.failed.join(&skipped.directories);
        self.previous_failed.join(&skipped.previous);
        (self.directories, self.previous) = (directories, previous);
    }

    /// Either state: whether the command ran or not, on whichever path.
    pub(crate) fn join(&mut self, other: &Self) {
        for (name, value) in &mut self.variables {
            *value = joined(value, other.variables.get(name));
        }
        for name in other.variables.keys() {
            self.variables.entry(Rc::clone(name)).or_insert(Value::Unknown);
        }
        self.directories.join(&other.directories);
        self.failed.join(&other.failed);
        self.previous.join(&other.previous);
        self.previous_failed.join(&other.previous_failed);
        self.references |= other.references;
        if self.positional != other.positional {
            self.positional = None;
        }
        for (name, function) in &mut self.functions {
            match other.functions.get(name) {
                Some(theirs) => {
                    function.maybe_absent |= theirs.maybe_absent;
                    for body in &theirs.bodies {
                        if !function.bodies.iter().any(|mine| Rc::ptr_eq(&mine.1, &body.1)) {
                            function.bodies.push(body.clone());
                        }
                    }
                }
                None => function.maybe_absent = true,
            }
        }
        for (name, function) in &other.functions {
            self.functions
                .entry(Rc::clone(name))
                .or_insert_with(|| Function { bodies: function.bodies.clone(), maybe_absent: true });
        }
        for (name, text) in &other.aliases {
            let mine = self.aliases.entry(Rc::clone(name)).or_insert(None);
            if mine != text {
                *mine = None;
            }
        }
        for (name, text) in &mut self.aliases {
            if other.aliases.get(name) != Some(&*text) {
                *text = None;
            }
        }
    }

    /// Whether anything that a loop's body could change differs.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.variables == other.variables
            && self.directories == other.directories
            && self.failed == other.failed
            && self.previous == other.previous
            && self.previous_failed == other.previous_failed
            && self.positional == other.positional
            && self.references == other.references
            && self.aliases == other.aliases
            && self.functions.len() == other.functions.len()
            && self.functions.iter().all(|(name, mine)| {
                other.functions.get(name).is_some_and(|theirs| {
                    mine.bodies.len() == theirs.bodies.len() && mine.maybe_absent == theirs.maybe_absent
                })
            })
    }
}

fn joined(mine: &Value, theirs: Option<&Value>) -> Value {
    let number = |value: &Value| match value {
        Value::Integer => true,
        Value::Known(text) => is_integer(text),
        Value::Unknown => false,
    };
    match theirs {
        Some(theirs) if theirs == mine => mine.clone(),
        Some(theirs) if number(mine) && number(theirs) => Value::Integer,
        Some(_) | None => Value::Unknown,
    }
}

/// Whether a text is a whole number, which no arithmetic evaluates any further.
pub(crate) fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.len() < 19 && digits.bytes().all(|b| b.is_ascii_digit())
}
