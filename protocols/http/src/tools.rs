//! A tool call, read as the command that it proposes.
//!
//! Promises: every call is `call tool NAME`, and what its input does is said besides: command lines through
//! `portcullis-shell`, SQL through `portcullis-sql`, files and hosts. What tools do with which field is data
//! (`data/tools.yaml`, and the configuration before it); fields that nobody described are searched for code, a program and
//! its words in two of them together (`spawn.rs`), and JSON in them as readers that forgive take it (`loose.rs`). Input that
//! can be read two ways, that is too large or holds code that cannot be read is a fault. SQL may be for any database, so
//! the denies and masks of each are about it. What is recorded has the secrets of that code replaced. Does not promise to
//! see what an agent hides in a file and runs later: what it does then is judged where it arrives.
//! Held by: the tests below and `fixtures/http/tools.tsv`.

mod facts;
mod lines;
mod loose;
mod places;
mod search;
mod shown;
mod spawn;
#[cfg(test)]
mod tests;

use crate::json::{self, Node, Value};
use facts::{Role, Tool};
pub use facts::{ToolField, ToolTable};
use portcullis_model::{
    Action, Command, Digest, Fault, Fields, Mark, Marks, Object, Operation, Parameter, Part, Reach, Source, Text,
    is_unseen,
};
use portcullis_sql::Dialect;
use search::Named;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of the input of one call.
pub(crate) const LONGEST: usize = 1 << 20;
/// Texts of one call that are read as code.
const TEXTS: usize = 128;
/// Operations of one call.
const OPERATIONS: usize = 4_096;
/// JSON inside strings of JSON.
const DOCUMENTS: usize = 2;
/// Bytes of a name.
const NAME: usize = 256;

/// The command that a call of a tool is: `name` called with the JSON text `input`, by the id that the model gave it. Its
/// text is the name; the input stands beside it as the document that it is, which the record masks by its fields. One that
/// cannot be read does not: what is secret in it cannot be told.
pub(crate) fn call(table: &ToolTable, name: &str, id: Option<&str>, input: &str) -> Command {
    let digest = Digest::of_parts(&[name.as_bytes(), b"\0", input.as_bytes()]);
    let read = fits(name, input.len()).and_then(|()| {
        let message = |why: json::NotStrict| format!("the input of tool {name} cannot be read: {}", why.0).into();
        json::read(input.as_bytes()).map_err(|why| Fault::Ambiguous { message: message(why) })
    });
    match read {
        Ok(node) => called(table, name, id, &node, digest),
        Err(fault) => unread(name, id, fault, digest),
    }
}

/// The same of an input that was read already, for the bytes of this digest.
pub(crate) fn called(table: &ToolTable, name: &str, id: Option<&str>, node: &Node, digest: Digest) -> Command {
    let tool = match understood(table, name, node) {
        Ok(tool) => tool,
        Err(fault) => return unread(name, id, fault, digest),
    };
    let mut walk = Walk::default();
    walk.call(&tool, node.members());
    let marks = walk.marks.union(tool.marks());
    let mut operations = vec![Operation::new(Action::Call, Object::Tool(Part::known(name))).marked(marks)];
    operations.append(&mut walk.operations);
    let text = shown::call(name, id);
    let command = match walk.fault {
        Some(fault) => Command::faulty(Source::Tool, text, fault, digest),
        None => Command::new(Source::Tool, text, operations, digest).writing(true),
    };
    let kept = Parameter { type_name: "json".into(), value: Some(shown::input(node, &walk.hidden).into()) };
    // To a rule a call is its input: `$.amount` is that of the tool.
    command.with_parameters(vec![kept]).with_fields(node.fields(&[]))
}

fn unread(name: &str, id: Option<&str>, fault: Fault, digest: Digest) -> Command {
    let text = if is_name(name) { shown::call(name, id) } else { Text::plain("a tool call") };
    Command::faulty(Source::Tool, text, fault, digest).with_fields(Fields::unknown())
}

/// Whether a call of this name, with so many bytes of input, may be read at all.
fn fits(name: &str, bytes: usize) -> Result<(), Fault> {
    if !is_name(name) {
        return Err(Fault::Ambiguous { message: "the name of the tool is empty, too long, or not plain text".into() });
    }
    if bytes > LONGEST {
        return Err(Fault::TooLarge { message: format!("the input of tool {name} is larger than 1 MiB").into() });
    }
    Ok(())
}

/// What is known of the tool, where the input is one object.
fn understood<'t>(table: &'t ToolTable, name: &str, node: &Node) -> Result<Tool<'t>, Fault> {
    fits(name, node.span.len())?;
    if !matches!(node.value, Value::Object(_)) {
        return Err(Fault::Ambiguous { message: format!("the input of tool {name} is no JSON object").into() });
    }
    let tool = Tool::of(table, name, |field| node.get(field).and_then(Node::text));
    tool.ok_or_else(|| Fault::Unsupported { message: "what is known of tools cannot be read".into() })
}

/// The command that a call is of whose name or input the masks leave nothing that a tool could take.
pub(crate) fn spoilt(id: &str) -> Command {
    let message = "a mask changes the name of the tool, or its input cannot be masked".into();
    let digest = Digest::of_parts(&[b"spoilt\0", id.as_bytes()]);
    let fault = Fault::Unsupported { message };
    Command::faulty(Source::Tool, shown::call("a tool call", Some(id)), fault, digest).with_fields(Fields::unknown())
}

/// The command that offering these tools to a model is, if there are any: judged before the model may call them.
pub(crate) fn offers<'n>(names: impl Iterator<Item = &'n str>) -> Option<Command> {
    let names: BTreeSet<&str> = names.collect();
    if names.is_empty() {
        return None;
    }
    let listed = names.iter().copied().collect::<Vec<_>>().join(", ");
    let digest = Digest::of_parts(&[b"offers\0", listed.as_bytes()]);
    let text = Text::plain(format!("tools on offer: {}", shown::bounded(&listed)));
    if !names.iter().all(|name| is_name(name)) {
        let message = "the name of a tool on offer is empty, too long, or not plain text".into();
        let text = Text::plain("tools on offer");
        return Some(Command::faulty(Source::Tool, text, Fault::Ambiguous { message }, digest));
    }
    let operations: Vec<Operation> = names.iter().map(|name| offered(name)).collect();
    Some(Command::new(Source::Tool, text, operations, digest).preparing())
}

/// `call tool NAME`, whatever its input.
pub(crate) fn offered(name: &str) -> Operation {
    Operation::new(Action::Call, Object::Tool(Part::known(name)))
}

/// Reaching the host of a URL, whoever does it.
pub(crate) fn reached(url: &str) -> Operation {
    places::url(url)
}

/// Whether the text can be the name of a tool.
pub(crate) fn is_name(name: &str) -> bool {
    let plain =
        |c: char| !c.is_control() && !c.is_whitespace() && !is_unseen(c) && !matches!(c, '\u{2010}'..='\u{2027}');
    !name.is_empty() && name.len() <= NAME && name.chars().all(plain)
}

/// What was found in the input of one call.
#[derive(Default)]
struct Walk {
    operations: Vec<Operation>,
    seen: BTreeSet<Operation>,
    /// Of the call itself.
    marks: Marks,
    fault: Option<Fault>,
    /// What the record shows instead of the string at this place of the input.
    hidden: HashMap<usize, String>,
    /// Where command lines run.
    directory: Option<String>,
    texts: usize,
    /// In how many strings of JSON the walk is, and whether a secret was found there.
    depth: usize,
    secret_below: bool,
}

impl Walk {
    fn call(&mut self, tool: &Tool<'_>, members: &[(String, Node)]) {
        // The directory comes first: command lines are read in it.
        let place = |node: &Node| node.text().and_then(|text| places::file(text).as_str().map(ToOwned::to_owned));
        let named = members.iter().filter(|(field, _)| tool.role(field) == Some(Role::Directory));
        let mut named = named.map(|(_, node)| place(node));
        self.directory = named.next().flatten();
        // Which of two counts is the client's matter.
        if named.any(|other| other != self.directory) {
            self.directory = None;
        }
        let spawned = self.spawned(members, |field| tool.role(field));
        for (field, node) in members {
            match tool.role(field) {
                Some(_) if tool.is_nothing(field, node) => {}
                Some(role) => self.field(role, node),
                None if spawned.contains(&node.span.start) => {}
                None => self.member(field, node),
            }
        }
        let absent = |name: &str| !members.iter().any(|(field, node)| field == name && !tool.is_nothing(field, node));
        for field in tool.fields().filter(|field| field.wanted && absent(&field.name)) {
            self.place(field.role, None);
        }
        if tool.astray {
            self.emit([Operation::unknown()]);
        }
    }

    /// A field with a role.
    fn field(&mut self, role: Role, node: &Node) {
        match role {
            Role::Text | Role::Directory => {}
            Role::Shell => self.shell(node),
            Role::Argv => self.words(node, true),
            Role::Lines => self.lines(node),
            Role::Sql => match node.text() {
                Some(text) => self.sql(text, node, Named::Sql),
                None => self.undescribed(node),
            },
            Role::Dynamic if node.members().is_empty() && node.text().is_none() && node.elements().is_empty() => {}
            Role::Dynamic => self.marks = self.marks.with(Mark::Dynamic),
            Role::Forced => self.marks = self.marks.with(Mark::Forced),
            Role::Privileged => self.marks = self.marks.with(Mark::Privileged),
            Role::Patch => match node.text().and_then(|text| places::patch(text, self.directory.as_deref())) {
                Some(operations) => self.emit(operations),
                None => self.emit([Operation::unknown()]),
            },
            Role::Read | Role::Write | Role::Tree | Role::Glob | Role::Delete | Role::Url => match node.text() {
                Some(text) => self.place(role, Some(text)),
                None => self.undescribed(node),
            },
        }
    }

    /// A place that a field names; one that is not told could be any.
    fn place(&mut self, role: Role, text: Option<&str>) {
        let file = || text.map_or(Part::Unknown, places::file);
        match role {
            Role::Read => self.emit(places::on(Action::Read, file())),
            Role::Write => self.emit(places::on(Action::Update, file())),
            Role::Delete => self.emit(places::on(Action::Delete, file())),
            Role::Tree => self.emit([places::tree(file())]),
            Role::Glob => self.emit(text.and_then(places::glob)),
            Role::Url => self.emit([places::url(text.unwrap_or_default())]),
            Role::Text
            | Role::Shell
            | Role::Argv
            | Role::Lines
            | Role::Sql
            | Role::Patch
            | Role::Directory
            | Role::Dynamic
            | Role::Forced
            | Role::Privileged => {}
        }
    }

    /// A value whose role asks for a text, and it is none: what is in it is searched, and the call says that more may be.
    fn undescribed(&mut self, node: &Node) {
        self.marks = self.marks.with(Mark::Dynamic);
        self.search(node);
    }

    /// A field without a role: its name may say what it holds.
    fn member(&mut self, field: &str, node: &Node) {
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
    fn query(&mut self, field: &str, named: Named, members: &[(String, Node)]) {
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
    fn sql(&mut self, text: &str, node: &Node, named: Named) {
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
    fn search(&mut self, node: &Node) {
        match &node.value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::Array(elements) => elements.iter().for_each(|element| self.search(element)),
            Value::Object(members) => {
                let spawned = self.spawned(members, |_| None);
                let others = members.iter().filter(|(_, member)| !spawned.contains(&member.span.start));
                others.for_each(|(field, member)| self.member(field, member));
            }
            Value::String(text) => {
                if search::begins_as_sql(text) {
                    self.sql(text, node, Named::Other);
                }
                if search::looks_like_shell(text) {
                    self.line(text, node);
                }
                self.document(text, node);
            }
        }
    }

    /// JSON inside a string.
    fn document(&mut self, text: &str, node: &Node) {
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
    fn has_room(&mut self) -> bool {
        self.texts += 1;
        if self.texts > TEXTS {
            self.fault.get_or_insert_with(|| Fault::TooLarge {
                message: format!("the input of the tool holds more than {TEXTS} command lines or statements").into(),
            });
        }
        self.texts <= TEXTS
    }

    /// Hides all of a text that was not read, or was read in more ways than can be shown.
    fn conceal(&mut self, node: &Node) {
        if self.depth > 0 {
            self.secret_below = true;
        } else {
            self.hide_at(node, Text::REDACTED.to_owned());
        }
    }

    fn hide(&mut self, node: &Node, text: &str, secrets: &[Range<usize>]) {
        if self.depth > 0 {
            self.secret_below |= !secrets.is_empty();
        } else if !secrets.is_empty() {
            self.hide_at(node, Text::redacted(text, secrets).as_str().to_owned());
        }
    }

    fn hide_at(&mut self, node: &Node, shown: String) {
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

    fn emit(&mut self, operations: impl IntoIterator<Item = Operation>) {
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
