//! A tool call, read as the command that it proposes.
//!
//! Promises: every call is `call tool NAME`, and what its input does is said besides: command lines through
//! `portcullis-shell`, SQL through `portcullis-sql`, files and hosts. What tools do with which field is data
//! (`data/tools.yaml`, and the configuration before it); fields that nobody described are searched for code and patches, a
//! program and its words in two of them together (`spawn.rs`), variables beside a command as those in front of one
//! (`variables.rs`), and JSON in them as readers that forgive take it (`loose.rs`).
//! A call of a known tool that does nothing by the fields that are known, and has a text in another, is unknown. Input that
//! can be read two ways, that is too large or holds code that cannot be read is a fault. SQL may be for any database, so
//! the denies and masks of each are about it. What is recorded has the secrets of that code replaced. Does not promise to
//! see what an agent hides in a file and runs later: what it does then is judged where it arrives.
//! Held by: the tests below and `fixtures/http/tools.tsv`.

mod among;
mod facts;
mod lines;
mod loose;
mod places;
mod search;
mod shown;
mod spawn;
#[cfg(test)]
mod tests;
mod variables;
mod walk;

use crate::json::{self, Node, Value};
use facts::Tool;
pub use facts::{ToolField, ToolTable};
use portcullis_model::{
    Action, Command, Digest, Fault, Fields, Object, Operation, Parameter, Part, Source, Text, is_unseen,
};
use std::collections::BTreeSet;
use walk::Walk;

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
