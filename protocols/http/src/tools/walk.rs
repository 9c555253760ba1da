//! A walk through the input of one call: what each field does, by what is known of the tool.
//!
//! Promises: a field that nobody described is searched like all that are not known; what is found is there once, and of no
//! more of it than one call may have; a secret in what was read is hidden from the record where it stands.
//! Held by: `tests.rs` and `fixtures/http/tools.tsv`.

use super::facts::{Role, Tool};
use super::search::{self, Named};
use super::{DOCUMENTS, OPERATIONS, TEXTS, among, loose, places};
use crate::json::{self, Node, Value};
use portcullis_model::{Action, Fault, Mark, Marks, Operation, Part, Reach, Text};
use portcullis_sql::Dialect;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// What was found in the input of one call.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) operations: Vec<Operation>,
    pub(super) seen: BTreeSet<Operation>,
    /// Of the call itself.
    pub(super) marks: Marks,
    pub(super) fault: Option<Fault>,
    /// What the record shows instead of the string at this place of the input.
    pub(super) hidden: HashMap<usize, String>,
    /// Where command lines run.
    pub(super) directory: Option<String>,
    /// The place below which contents are searched.
    pub(super) root: Option<String>,
    pub(super) texts: usize,
    /// How many command lines were met so far.
    pub(super) lines_read: usize,
    /// In how many strings of JSON the walk is, and whether a secret was found there.
    pub(super) depth: usize,
    pub(super) secret_below: bool,
}

impl Walk {
    pub(super) fn call(&mut self, tool: &Tool<'_>, members: &[(String, Node)]) {
        // The directory comes first: command lines are read in it.
        let place = |node: &Node| node.text().and_then(|text| places::file(text).as_str().map(ToOwned::to_owned));
        let named = members.iter().filter(|(field, _)| tool.role(field) == Some(Role::Directory));
        let mut named = named.map(|(_, node)| place(node));
        self.directory = named.next().flatten();
        // Which of two counts is the client's matter.
        if named.any(|other| other != self.directory) {
            self.directory = None;
        }
        let root = members.iter().find(|(field, _)| tool.role(field) == Some(Role::Tree));
        self.root = root.and_then(|(_, node)| place(node));
        // What a field of another tool holds is searched, also where this one's is only text.
        let another = tool.is_another(members);
        let role = |field: &str| tool.role(field).filter(|role| !(another && *role == Role::Text));
        self.with_variables(members, role, |walk| {
            let spawned = walk.spawned(members, role);
            for (field, node) in members {
                match role(field) {
                    Some(_) if tool.is_nothing(field, node) => {}
                    Some(role) => walk.field(role, node),
                    None if spawned.contains(&node.span.start) => {}
                    None => walk.member(field, node),
                }
            }
        });
        let filled = |name: &str| members.iter().any(|(field, node)| field == name && !tool.is_nothing(field, node));
        // A place that one client names by another field is told, too.
        let told = |role: Role| tool.fields().any(|field| field.role == role && filled(&field.name));
        for field in tool.wanted().filter(|field| !told(field.role)) {
            self.place(field.role, None);
        }
        if tool.astray || (self.operations.is_empty() && tool.may_do_more(members)) {
            self.emit([Operation::unknown()]);
        }
    }

    /// A field with a role.
    pub(super) fn field(&mut self, role: Role, node: &Node) {
        match role {
            Role::Text | Role::Directory | Role::Variables => {}
            Role::Shell => self.shell(node),
            Role::Argv => self.words(node, true),
            Role::Lines => self.lines(node),
            Role::Sql => match node.text() {
                Some(text) => self.sql(text, node, Named::Sql),
                None => self.undescribed(node),
            },
            Role::Code | Role::Dynamic
                if node.members().is_empty() && node.text().is_none() && node.elements().is_empty() => {}
            Role::Code | Role::Dynamic => self.marks = self.marks.with(Mark::Dynamic),
            Role::Forced => self.marks = self.marks.with(Mark::Forced),
            Role::Privileged => self.marks = self.marks.with(Mark::Privileged),
            Role::Patch => match node.text().and_then(|text| places::patch(text, self.directory.as_deref())) {
                Some(operations) => self.emit(operations),
                None => self.emit([Operation::unknown()]),
            },
            Role::Read | Role::Write | Role::Tree | Role::Glob | Role::Among | Role::Delete | Role::Url => {
                match node.text() {
                    Some(text) => self.place(role, Some(text)),
                    None => self.undescribed(node),
                }
            }
            Role::Reads => match (node.text(), node.elements()) {
                (Some(text), _) => self.place(Role::Read, Some(text)),
                (None, parts) if !parts.is_empty() && parts.iter().all(|part| part.text().is_some()) => {
                    parts.iter().for_each(|part| self.place(Role::Read, part.text()));
                }
                (None, _) => self.undescribed(node),
            },
        }
    }

    /// A place that a field names; one that is not told could be any.
    pub(super) fn place(&mut self, role: Role, text: Option<&str>) {
        let file = || text.map_or(Part::Unknown, places::file);
        match role {
            Role::Read | Role::Reads => self.emit(places::on(Action::Read, file())),
            Role::Write => self.emit(places::on(Action::Update, file())),
            Role::Delete => self.emit(places::on(Action::Delete, file())),
            Role::Tree => self.emit([places::tree(file())]),
            Role::Glob => self.emit(text.and_then(places::glob)),
            Role::Among => {
                self.emit(text.and_then(places::glob));
                self.emit(among::named(text.unwrap_or_default(), self.root.as_deref()));
            }
            Role::Url => self.emit([places::url(text.unwrap_or_default())]),
            Role::Text
            | Role::Shell
            | Role::Argv
            | Role::Lines
            | Role::Sql
            | Role::Patch
            | Role::Code
            | Role::Directory
            | Role::Variables
            | Role::Dynamic
            | Role::Forced
            | Role::Privileged => {}
        }
    }

    /// A value whose role asks for a text, and it is none: what is in it is searched, and the call says that more may be.
    pub(super) fn undescribed(&mut self, node: &Node) {
        self.marks = self.marks.with(Mark::Dynamic);
        self.search(node);
    }

    /// A field without a role: its name may say what it holds.
    pub(super) fn member(&mut self, field: &str, node: &Node) {
        match (search::named(field), &node.value) {
            (Named::Shell, Value::String(text)) => self.line(text, node),
            (Named::Shell, Value::Array(parts)) => {
                if parts.iter().all(|part| part.text().is_some()) {
                    self.words(node, false);
                }
                self.one_by_one(parts, |walk, part| walk.member(field, part));
            }
            (Named::Words, Value::Array(_)) => self.argv(node),
            (named @ (Named::Sql | Named::Query), Value::String(text)) => self.sql(text, node, named),
            (Named::Sql | Named::Query, Value::Array(texts)) => {
                texts.iter().for_each(|node| self.member(field, node));
            }
            (named @ (Named::Sql | Named::Query), Value::Object(members)) => self.query(field, named, members),
            (_, _) => self.search(node),
        }
    }

    /// An object where SQL is asked for, as drivers take it (`{text, values}`, `{sql, values}`). What of it is SQL its names
    /// say, and where nothing else can stand, how it begins.
    pub(super) fn query(&mut self, field: &str, named: Named, members: &[(String, Node)]) {
        self.with_variables(members, |_| None, |walk| walk.members_of_query(field, named, members));
    }

    fn members_of_query(&mut self, field: &str, named: Named, members: &[(String, Node)]) {
        let spawned = self.spawned(members, |_| None);
        for (inner, node) in members.iter().filter(|(_, node)| !spawned.contains(&node.span.start)) {
            match &node.value {
                Value::String(_) | Value::Array(_) | Value::Object(_) if search::is_text_of_query(inner) => {
                    self.member(if search::named(inner) >= named { inner } else { field }, node);
                }
                // The name of a statement is one word.
                Value::String(text)
                    if named == Named::Sql && search::begins_as_sql(text) && !search::is_one_word(text) =>
                {
                    self.sql(text, node, named);
                }
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_) => self.member(inner, node),
            }
        }
    }

    /// SQL. A text that its field does not say to be SQL is that only where the grammar accepts it; one that a field for
    /// queries holds is read whatever it begins with.
    pub(super) fn sql(&mut self, text: &str, node: &Node, named: Named) {
        let begins = named == Named::Sql || search::begins_as_sql(text);
        if !begins {
            self.search(node);
        }
        if !self.has_room() {
            return self.conceal(node);
        }
        if search::has_comment_that_runs(text) {
            // What is a comment here, the server of another system runs.
            self.emit([Operation::unknown()]);
        }
        let limits = portcullis_sql::Limits::default();
        let reading = portcullis_sql::read(text, Dialect::Postgres, &portcullis_sql::Scope::unknown(), &limits);
        self.hide(node, text, &reading.secrets);
        if let Some(fault) = reading.fault {
            match named {
                Named::Sql => drop(self.fault.get_or_insert(fault)),
                // It begins like SQL, in a field for queries, and is not PostgreSQL's: another system may run it.
                Named::Query if begins => self.emit([Operation::unknown()]),
                Named::Query | Named::Words | Named::Shell | Named::Other => {}
            }
            return;
        }
        // Where the tool sends it nobody here knows: it may be any database.
        let reach = Arc::new(Reach::unknown());
        let ruled = |operation: &Operation| operation.action != Action::Session;
        let operations = reading.operations().into_iter().filter(ruled);
        self.emit(operations.map(|operation| operation.reaching(Arc::clone(&reach))));
    }

    /// Every string in a value that nobody described.
    pub(super) fn search(&mut self, node: &Node) {
        match &node.value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::Array(elements) => elements.iter().for_each(|element| self.search(element)),
            Value::Object(members) => self.with_variables(
                members,
                |_| None,
                |walk| {
                    let spawned = walk.spawned(members, |_| None);
                    let others = members.iter().filter(|(_, member)| !spawned.contains(&member.span.start));
                    others.for_each(|(field, member)| walk.member(field, member));
                },
            ),
            Value::String(text) => {
                if search::begins_as_sql(text) {
                    self.sql(text, node, Named::Other);
                }
                if search::looks_like_shell(text) {
                    self.line(text, node);
                }
                if places::is_patch(text) {
                    // Where the tool runs nobody said, so its names are from anywhere.
                    self.emit(places::patch(text, None).unwrap_or_else(|| vec![Operation::unknown()]));
                }
                self.document(text, node);
            }
        }
    }

    /// JSON inside a string.
    pub(super) fn document(&mut self, text: &str, node: &Node) {
        let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        if self.depth >= DOCUMENTS || !text.starts_with(['{', '[']) {
            return;
        }
        let read = json::read(text.as_bytes()).map(|inner| vec![inner]);
        // Whoever reads it may forgive more than we do.
        let Some(documents) = read.ok().or_else(|| loose::read(text)) else {
            self.marks = self.marks.with(Mark::Dynamic);
            return;
        };
        self.depth += 1;
        documents.iter().for_each(|inner| self.search(inner));
        self.depth -= 1;
        // Places of the inner text are no places of the input: a secret in it hides all of it.
        if self.depth == 0 && std::mem::take(&mut self.secret_below) {
            self.hide_at(node, Text::REDACTED.to_owned());
        }
    }

    /// Whether one more text may be read as code.
    pub(super) fn has_room(&mut self) -> bool {
        self.texts += 1;
        if self.texts > TEXTS {
            self.fault.get_or_insert_with(|| Fault::TooLarge {
                message: format!("the input of the tool holds more than {TEXTS} command lines or statements").into(),
            });
        }
        self.texts <= TEXTS
    }

    /// Hides all of a text that was not read, or was read in more ways than can be shown.
    pub(super) fn conceal(&mut self, node: &Node) {
        if self.depth > 0 {
            self.secret_below = true;
        } else {
            self.hide_at(node, Text::REDACTED.to_owned());
        }
    }

    pub(super) fn hide(&mut self, node: &Node, text: &str, secrets: &[Range<usize>]) {
        if self.depth > 0 {
            self.secret_below |= !secrets.is_empty();
        } else if !secrets.is_empty() {
            self.hide_at(node, Text::redacted(text, secrets).as_str().to_owned());
        }
    }

    pub(super) fn hide_at(&mut self, node: &Node, shown: String) {
        match self.hidden.entry(node.span.start) {
            Entry::Vacant(place) => drop(place.insert(shown)),
            // Read in two ways, with secrets in both.
            Entry::Occupied(mut place) => {
                if *place.get() != shown {
                    place.insert(Text::REDACTED.to_owned());
                }
            }
        }
    }

    pub(super) fn emit(&mut self, operations: impl IntoIterator<Item = Operation>) {
        for operation in operations {
            if self.operations.len() >= OPERATIONS {
                self.fault.get_or_insert_with(|| Fault::TooLarge {
                    message: format!("the input of the tool does more than {OPERATIONS} things").into(),
                });
                return;
            }
            if self.seen.insert(operation.clone()) {
                self.operations.push(operation);
            }
        }
    }
}
