//! Requests in which a client gives a protected member a name of its own, while masks name fields.
//!
//! A mask finds a member by the name that stands in the answer, and many services let their client choose that one:
//! `select=x:ssn` (PostgREST), `{ x: ssn }` (GraphQL), `$compute=ssn as x` (OData), `max(ssn)` and `ssn.max()`, `"$ssn"`.
//!
//! | where | what is looked at |
//! |---|---|
//! | the query string | every value, and a name without one; bracketed names as the objects that they write |
//! | members of a body, values of a form, that hold a query by their name | their texts, also in a list |
//! | below what computes buckets or fields, and in a search what comes back as bare values | all that says a protected name |
//! | any other text of a body | where it reads as GraphQL or as SQL, or refers to a member (`"$a.ssn"`) |
//! | an object of a body | `as` or `alias` beside the name; `{"x": "ssn"}` where it is what is selected or an alias |
//!
//! Each named step of a mask's path is protected: a path leads nowhere where one of them is called something else. Steps that
//! take every member or an element have no name to change. Promises: to ask for a member by its name, to sort and filter by
//! it, and prose about it pass; the work is linear in the request for each name. Does not promise to know the query language
//! of every service, nor what was renamed before (views, stored queries), nor answers that write names and values apart.
//! Held by: `renaming/tests.rs`.

mod graphql;
mod nodes;
mod sql;
mod tokens;

use super::Media;
use crate::api::Words;
use crate::frame::Request;
use crate::json::{self, Node, Value};
use crate::path::Query;
use nodes::{Nodes, Place, plain};
use portcullis_model::Fault;
use std::collections::BTreeMap;
use tokens::{Language, Protected};

/// Parameters that choose and order what comes, and name nothing in it.
const FILTERS: [&str; 9] = ["filter", "where", "having", "order", "orderby", "order_by", "sort", "sortby", "sort_by"];
/// Parameters of words to search for, in which `type:ssn` narrows a search.
const SEARCHED: [&str; 4] = ["q", "search", "term", "keywords"];
/// What Elasticsearch and its like answer with bare values of, and what they compute scores from, in a search.
const RETURNED: [&str; 7] =
    ["sort", "suggest", "suggest_field", "script", "script_score", "field_value_factor", "vertices"];
/// Names in a name: more than services take.
const PARTS: usize = 64;

/// What is refused while these masks bind.
pub(super) struct Renaming {
    protected: Protected,
}

impl Renaming {
    /// `None` where no mask names a member.
    pub(super) fn under(words: &dyn Words) -> Option<Self> {
        let names = if words.binds_fields() { words.protected() } else { Vec::new() };
        Protected::new(&names).map(|protected| Self { protected })
    }

    /// Why such a request does not pass.
    pub(super) fn fault() -> Fault {
        let message = "it asks for a masked member under another name, or for what is computed of it; use its own name";
        Fault::Unsupported { message: message.into() }
    }

    /// Whether a request does it. `body` is what was read as JSON.
    pub(super) fn is_in(&self, request: &Request, body: Option<&Node>) -> bool {
        let nodes = Nodes::new(&self.protected, returned(request.path.as_str()));
        request.query.iter().any(|(name, value)| self.in_query(&nodes, name, value))
            || nodes.is_in(&unfolded(&request.query))
            || match body {
                Some(node) => nodes.is_in(node),
                None => in_values(&nodes, request),
            }
    }

    /// Whether a message that is a text does it.
    pub(super) fn is_said(&self, text: &str) -> bool {
        let nodes = Nodes::new(&self.protected, &[]);
        match json::read(text.as_bytes()) {
            Ok(node) => nodes.is_in(&node),
            Err(_) => nodes.in_text(text, Place::Prose, false),
        }
    }

    fn in_query(&self, nodes: &Nodes<'_>, name: &str, value: Option<&str>) -> bool {
        let text = value.unwrap_or(name);
        let Some(folded) = self.protected.said(text) else { return false };
        let place = nodes.place(name);
        let is_one_of = |names: &[&str]| value.is_some() && names.contains(&plain(name).as_str());
        // Other languages than these two that stand there have brackets.
        let searches =
            is_one_of(&SEARCHED) && Language::of(&folded) == Language::Other && !folded.contains(['{', '(', '[']);
        (place == Place::Returned && value.is_some())
            || nodes.in_json(text, place)
            || (!searches && self.protected.is_renamed(&folded, is_one_of(&FILTERS)))
    }
}

/// The members that a service at this path answers with bare values of.
fn returned(path: &str) -> &'static [&'static str] {
    let mut parts = path.split('/').filter(|part| part.starts_with('_'));
    if parts.clone().any(|part| part == "_terms_enum") {
        return &["field"];
    }
    if parts.any(|part| part.contains("search") || part == "_graph") { &RETURNED } else { &[] }
}

/// The values of a body that is no single document.
fn in_values(nodes: &Nodes<'_>, request: &Request) -> bool {
    let Some(media) = request.header("content-type").and_then(Media::of) else { return false };
    if media.is_form() {
        let text = String::from_utf8_lossy(&request.body).replace('+', "%20");
        let in_form = |(name, value): (&str, Option<&str>)| {
            value.is_some_and(|value| nodes.in_text(value, nodes.place(name), true))
        };
        return Query::read(&text).is_ok_and(|form| form.iter().any(in_form) || nodes.is_in(&unfolded(&form)));
    }
    let mut lines = request.body.split(|byte| matches!(byte, b'\n' | 0x1e));
    media.is_json_lines() && lines.any(|line| json::read(line).is_ok_and(|node| nodes.is_in(&node)))
}

/// Parameters as the object that services make of their names: `alias[x]=ssn`, `columns[0][as]=x`.
fn unfolded(query: &Query) -> Node {
    let is_way = |name: &str| name.contains(['[', '.']);
    let parts = |name: &str| name.replace(']', "").split(['[', '.']).take(PARTS).map(str::to_owned).collect();
    let parameters = query.iter().filter_map(|(name, value)| Some((name, value?)));
    let parameters: Vec<(Vec<String>, &str)> =
        parameters.filter(|(name, _)| is_way(name)).map(|(name, value)| (parts(name), value)).collect();
    tree(parameters.iter().map(|(name, value)| (name.as_slice(), *value)).collect(), true)
}

/// What these parameters are, of whose names the parts in front are gone. Each of them is looked at once for each part.
fn tree(parameters: Vec<(&[String], &str)>, is_root: bool) -> Node {
    let node = |value| Node { value, span: 0..0 };
    let mut values: Vec<Node> = Vec::new();
    let mut groups: BTreeMap<&str, Vec<(&[String], &str)>> = BTreeMap::new();
    for (parts, value) in parameters {
        match parts.split_first() {
            Some((name, rest)) => groups.entry(name).or_default().push((rest, value)),
            None => values.push(node(Value::String(value.to_owned()))),
        }
    }
    let is_index = |name: &&str| name.bytes().all(|byte| byte.is_ascii_digit());
    let is_list = !is_root && !groups.is_empty() && groups.keys().all(is_index);
    let mut members = Vec::with_capacity(groups.len());
    for (name, below) in groups {
        let is_last = below.iter().all(|(rest, _)| rest.is_empty());
        match tree(below, false) {
            // Each of `x[]=a&x[]=b` is an element.
            Node { value: Value::Array(elements), .. } if is_list && is_last => values.extend(elements),
            below if is_list => values.push(below),
            below => members.push((name.to_owned(), below)),
        }
    }
    if !members.is_empty() || is_root {
        return node(Value::Object(members));
    }
    if !is_list
        && values.len() == 1
        && let Some(only) = values.pop()
    {
        return only;
    }
    node(Value::Array(values))
}

#[cfg(test)]
mod tests;
