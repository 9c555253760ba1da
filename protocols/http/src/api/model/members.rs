//! Members of the objects in a request, below the body's own.
//!
//! Promises: an object that has its members listed has no other that says something; a fault names the first one. What is
//! null or an empty list says nothing, and stays. Lists go by the name of the member that an object is the value of, or is
//! in a list that is. Does not promise anything of objects that no list is about: what clients describe themselves.
//! Held by: the tests of each API.

use super::List;
use super::request::unsupported;
use crate::json::{Node, Value};
use portcullis_model::Fault;
use std::collections::BTreeMap;
use std::fmt::Arguments;

/// Members of objects, by the names of the members that hold them.
pub(in crate::api) type Within = BTreeMap<String, List>;

/// Of other members than these, the object has none that says something.
pub(in crate::api) fn only(what: Arguments<'_>, node: &Node, listed: &List, within: &Within) -> Result<(), Fault> {
    for (name, member) in node.members() {
        if listed.has(name) {
            inside(name, member, within)?;
        } else if !is_nothing(member) {
            return Err(unlisted(what, name));
        }
    }
    Ok(())
}

/// The same of the objects that a member of this name holds.
fn inside(name: &str, member: &Node, within: &Within) -> Result<(), Fault> {
    let Some(listed) = within.get(name) else { return Ok(()) };
    match &member.value {
        Value::Array(elements) => elements.iter().try_for_each(|element| inside(name, element, within)),
        Value::Object(_) => only(format_args!("`{name}`"), member, listed, within),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// The same of what the members of a body hold, but for those that are read by themselves.
pub(in crate::api) fn settings(body: &Node, apart_from: &[&str], within: &Within) -> Result<(), Fault> {
    let mut others = body.members().iter().filter(|(name, _)| !apart_from.contains(&name.as_str()));
    others.try_for_each(|(name, member)| inside(name, member, within))
}

/// No object in it, however deep, has another member than these.
pub(in crate::api) fn throughout(what: Arguments<'_>, node: &Node, listed: &List) -> Result<(), Fault> {
    node.elements().iter().try_for_each(|element| throughout(what, element, listed))?;
    for (name, member) in node.members() {
        if !listed.has(name) && !is_nothing(member) {
            return Err(unlisted(what, name));
        }
        throughout(what, member, listed)?;
    }
    Ok(())
}

/// This has a member of this name, which is not listed.
pub(super) fn unlisted(what: Arguments<'_>, name: &str) -> Fault {
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    unsupported(format!("{what} has a member `{name}` that the gateway does not pass on; leave it out"))
}

/// Whether a member says nothing.
pub(in crate::api) fn is_nothing(node: &Node) -> bool {
    node.value == Value::Null || node.value == Value::Array(Vec::new())
}
