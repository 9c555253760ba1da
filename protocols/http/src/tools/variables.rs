//! Variables beside a command: `{"command": "git diff", "env": {"GIT_EXTERNAL_DIFF": "/tmp/x"}}`.
//!
//! Promises: where a command line is read (not where a program stands alone), what the members of that object, and of the objects in it, say of its environment
//! is read as variables in front of a command are: which of them make other programs run, or change what programs do, is
//! the matter of `portcullis-shell`. An object, a list of `NAME=value` or of names and values, and a text of these are read;
//! of anything else, and of a file of variables, more may happen than is known. A name alone (`"environment": "staging"`)
//! sets nothing. Does not promise to know a variable's value inside the line: what names it there stays unknown. A secret in
//! them hides all of them from the record.
//! Held by: `fixtures/http/tools.tsv`, and `tests.rs` for the record.

use super::facts::Role;
use super::spawn::{joined, quote, word};
use super::walk::Walk;
use crate::json::{self, Node, Value};
use portcullis_model::{Action, Mark, Object, Operation};

/// Names for the environment of what is run, without what stands between their words; longer names may end in them.
const ENVIRONMENTS: [&str; 11] = [
    "env",
    "environ",
    "environment",
    "environmentvariable",
    "environmentvariables",
    "environmentvars",
    "envoverrides",
    "envs",
    "envvar",
    "envvariables",
    "envvars",
];
/// Names for files of variables; longer names may end in them.
const FILES: [&str; 5] = ["dotenv", "envfile", "envfiles", "environmentfile", "environmentfiles"];

/// Names for the name of one.
const NAMES: [&str; 3] = ["name", "key", "variable"];

/// A program that does nothing: what is read of a line with it is of its variables.
const NOTHING: &str = "true";

/// What is said of an environment.
#[derive(Default)]
struct Variables {
    /// Names and values.
    pairs: Vec<(String, String)>,
    /// Something of it is no name with a value.
    partly: bool,
}

impl Walk {
    /// Reads these members by `read`, and where a command line is among what they hold, also the variables beside it.
    pub(super) fn with_variables(
        &mut self,
        members: &[(String, Node)],
        role: impl Fn(&str) -> Option<Role>,
        read: impl FnOnce(&mut Self),
    ) {
        let before = self.lines_read;
        read(self);
        if self.lines_read == before {
            return;
        }
        for (field, node) in members {
            match role(field) {
                Some(Role::Variables) => self.variables(node, false),
                Some(_) => {}
                None => {
                    // As in `spawn(command, args, {env})`.
                    if !self.environment(field, node) {
                        for (inner, node) in node.members() {
                            self.environment(inner, node);
                        }
                    }
                }
            }
        }
    }

    /// The variables of a member, where its name says that it holds some. Whether it does.
    fn environment(&mut self, field: &str, node: &Node) -> bool {
        let name = joined(field);
        let is_of = |names: &[&str]| names.iter().any(|known| name.ends_with(known));
        let files = is_of(&FILES);
        let holds = files || is_of(&ENVIRONMENTS);
        if holds {
            self.variables(node, files);
        }
        holds
    }

    /// Variables, or the names of files of them.
    fn variables(&mut self, node: &Node, files: bool) {
        let mut found = Variables::default();
        found.take(node, files);
        if found.partly {
            self.marks = self.marks.with(Mark::Dynamic);
        }
        if found.pairs.is_empty() {
            return;
        }
        if !self.has_room() {
            return self.conceal(node);
        }
        let mut line: Vec<String> =
            found.pairs.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
        line.push(NOTHING.to_owned());
        let scope = portcullis_shell::Scope::unknown();
        let reading = portcullis_shell::read(&line.join(" "), &scope, &portcullis_shell::Limits::default());
        if let Some(fault) = reading.fault {
            self.fault.get_or_insert(fault);
        }
        self.emit(reading.operations.into_iter().filter(|operation| !is_nothing(operation)));
        if !reading.secrets.is_empty() {
            self.conceal(node);
        }
    }
}

/// Whether it is what the line does without its variables.
fn is_nothing(operation: &Operation) -> bool {
    let nothing = matches!(&operation.object, Object::Program { name, .. } if name.as_str() == Some(NOTHING));
    operation.action == Action::Session || (operation.action == Action::Execute && nothing)
}

impl Variables {
    fn take(&mut self, node: &Node, files: bool) {
        match &node.value {
            Value::Null | Value::Bool(false) | Value::Number(_) => {}
            // Which file is then the tool's own matter.
            Value::Bool(true) => self.partly |= files,
            Value::String(text) if files => self.partly |= !text.trim().is_empty(),
            Value::String(text) => self.text(text),
            Value::Array(parts) if files => self.partly |= !parts.is_empty(),
            Value::Array(parts) => parts.iter().for_each(|part| self.element(part)),
            Value::Object(members) if files => self.partly |= !members.is_empty(),
            Value::Object(members) => {
                if let Some((name, value)) = named(node) {
                    self.pair(name, value);
                }
                members.iter().for_each(|(name, value)| self.value(name, value));
            }
        }
    }

    /// A text in the place of an environment: JSON, one in each line, or all in one.
    fn text(&mut self, text: &str) {
        let text = text.trim();
        if text.starts_with(['{', '[']) {
            match json::read(text.as_bytes()) {
                Ok(inner) => self.take(&inner, false),
                Err(_) => self.partly = true,
            }
        } else if text.contains('=') {
            let parts = |c: char| c.is_whitespace() || matches!(c, ',' | ';');
            for part in text.split(parts).filter(|part| !part.is_empty()) {
                match part.split_once('=') {
                    Some((name, value)) => self.pair(name, value.trim_matches(['\'', '"'])),
                    None => self.partly = true,
                }
            }
        } else {
            // An environment that is made elsewhere: a file of it, or a directory of programs.
            self.partly |= text.contains(['/', '\\']) || text.starts_with('.') || text.ends_with(".env");
        }
    }

    /// One of a list.
    fn element(&mut self, node: &Node) {
        let pair = match node.elements() {
            [name, value] => name.text().zip(word(value)),
            _ => named(node),
        };
        // Which of two names counts nobody says.
        self.partly |= NAMES.iter().filter(|name| node.get(name).is_some()).count() > 1;
        match (&node.value, pair) {
            (Value::Null, _) => {}
            (_, Some((name, value))) => self.pair(name, value),
            (Value::String(text), None) => match text.split_once('=') {
                Some((name, value)) => self.pair(name, value),
                // A name alone stands for what its variable is already.
                None => self.partly |= !text.is_empty() && !is_name(text),
            },
            (Value::Object(members), None) => {
                // A name and a value under words of their own.
                self.partly |= members.len() > 1;
                members.iter().for_each(|(name, value)| self.value(name, value));
            }
            (Value::Bool(_) | Value::Number(_) | Value::Array(_), None) => self.partly = true,
        }
    }

    /// A member of an object of variables.
    fn value(&mut self, name: &str, node: &Node) {
        match word(node) {
            Some(value) => self.pair(name, value),
            // One that is null is taken away, or stays as it is.
            None => self.partly |= node.value != Value::Null,
        }
    }

    fn pair(&mut self, name: &str, value: &str) {
        // They say which database a line reaches, which is read without them.
        self.partly |= matches!(name, "PGSERVICE" | "PGHOSTADDR");
        if is_name(name) {
            self.pairs.push((name.to_owned(), value.to_owned()));
        } else {
            self.partly = true;
        }
    }
}

/// The name and the value of an object that is one variable.
fn named(node: &Node) -> Option<(&str, &str)> {
    let name = NAMES.iter().find_map(|name| node.get(name).and_then(Node::text))?;
    Some((name, node.get("value").and_then(word)?))
}

/// Whether a shell takes it for the name of a variable.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
