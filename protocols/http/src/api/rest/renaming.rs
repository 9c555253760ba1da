//! Requests in which a client gives a protected member a name of its own, while masks name fields.
//!
//! A mask finds a member by the name that stands in the answer, and many services let their client choose that one:
//! `select=x:ssn` (PostgREST), `{ x: ssn }` (GraphQL), `$compute=ssn as x` (OData), `max(ssn)` and `ssn.max()`, `"$ssn"`.
//!
//! | where | what is looked at |
//! |---|---|
//! | the query string | every value, and a name without one |
//! | members of a body, values of a form, that hold a query by their name ([`QUERIES`]) | their texts, also in a list |
//! | below what computes buckets or fields (Elasticsearch's [`COMPUTED`]) | every text that says a protected name |
//! | any other text of a body | where it reads as GraphQL or as SQL, or refers to a member (`"$a.ssn"`) |
//! | an object of a body | `as` or `alias` beside the name; `{"x": "ssn"}` where it is what is selected |
//!
//! Each named step of a mask's path is protected: a path leads nowhere where one of them is called something else. Steps that
//! take every member or an element have no name to change. Promises: to ask for a member by its name, to sort and filter by
//! it, and prose about it pass; the work is linear in the request for each name. Does not promise to know the query language
//! of every service, nor what was renamed before (views, stored queries), nor answers that write names and values apart.
//! Held by: `renaming/tests.rs`.

mod tokens;

use super::Media;
use crate::api::Words;
use crate::frame::Request;
use crate::json::{self, Node, Value};
use crate::path::Query;
use portcullis_model::Fault;
use tokens::{Language, Protected};

/// Members and parameters that hold a query, but for a `$` or `_` before the name.
const QUERIES: [&str; 22] = [
    "query",
    "queries",
    "sql",
    "statement",
    "graphql",
    "gql",
    "select",
    "fields",
    "columns",
    "project",
    "projection",
    "returning",
    "compute",
    "apply",
    "aggregate",
    "expr",
    "expression",
    "formula",
    "groq",
    "soql",
    "jq",
    "jmespath",
];
/// Of these what is selected, where it is an object of new names.
const SELECTED: [&str; 4] = ["select", "project", "projection", "returning"];
/// What computes values out of members that it names.
const COMPUTED: [&str; 4] = ["aggs", "aggregations", "runtime_mappings", "script_fields"];
/// Parameters that choose and order what comes, and name nothing in it.
const FILTERS: [&str; 9] = ["filter", "where", "having", "order", "orderby", "order_by", "sort", "sortby", "sort_by"];

/// What stands in a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Prose,
    Query,
    /// The same, where an object names what it selects.
    Selected,
    Computed,
}

impl Place {
    /// Of the member of this name.
    fn of(name: &str) -> Self {
        let name = plain(name);
        match name.as_str() {
            name if SELECTED.contains(&name) => Self::Selected,
            name if QUERIES.contains(&name) => Self::Query,
            name if COMPUTED.contains(&name) => Self::Computed,
            _ => Self::Prose,
        }
    }
}

fn plain(name: &str) -> String {
    name.trim_start_matches(['$', '_']).to_lowercase()
}

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
        let in_query = |(name, value): (&str, Option<&str>)| self.in_query(name, value);
        request.query.iter().any(in_query)
            || match body {
                Some(node) => self.in_node(node, Place::Prose, true),
                None => self.in_values(request),
            }
    }

    /// Whether a message that is a text does it.
    pub(super) fn is_said(&self, text: &str) -> bool {
        match json::read(text.as_bytes()) {
            Ok(node) => self.in_node(&node, Place::Prose, true),
            Err(_) => self.in_text(text, Place::Prose, false),
        }
    }

    fn in_query(&self, name: &str, value: Option<&str>) -> bool {
        let text = value.unwrap_or(name);
        let Some(folded) = self.protected.said(text) else { return false };
        let filters = value.is_some() && FILTERS.contains(&plain(name).as_str());
        self.in_json(text, Place::of(name)) || self.protected.is_renamed(&folded, filters)
    }

    /// The values of a body that is no single document.
    fn in_values(&self, request: &Request) -> bool {
        let Some(media) = request.header("content-type").and_then(Media::of) else { return false };
        if media.is_form() {
            let text = String::from_utf8_lossy(&request.body).replace('+', "%20");
            let in_form = |(name, value): (&str, Option<&str>)| {
                value.is_some_and(|value| self.in_text(value, Place::of(name), true))
            };
            return Query::read(&text).is_ok_and(|form| form.iter().any(in_form));
        }
        let mut lines = request.body.split(|byte| matches!(byte, b'\n' | 0x1e));
        media.is_json_lines()
            && lines.any(|line| json::read(line).is_ok_and(|node| self.in_node(&node, Place::Prose, true)))
    }

    /// `deep`: a text that is JSON itself is looked into.
    fn in_node(&self, node: &Node, place: Place, deep: bool) -> bool {
        match &node.value {
            Value::String(text) => self.in_text(text, place, deep),
            Value::Array(elements) => {
                // A list of what is selected has the names of the service's language in its objects.
                let place = if place == Place::Selected { Place::Query } else { place };
                elements.iter().any(|element| self.in_node(element, place, deep))
            }
            Value::Object(members) => {
                let within = |name: &str| if place == Place::Computed { place } else { Place::of(name) };
                self.is_beside(members)
                    || (place == Place::Selected && members.iter().any(|(name, node)| self.is_named(name, node)))
                    || members.iter().any(|(name, node)| self.in_node(node, within(name), deep))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    fn in_text(&self, text: &str, place: Place, deep: bool) -> bool {
        let Some(folded) = self.protected.said(text) else { return false };
        if deep && self.in_json(text, place) {
            return true;
        }
        let refers = folded.starts_with('$') && !folded.contains(char::is_whitespace);
        match place {
            Place::Computed => true,
            Place::Query | Place::Selected => refers || self.protected.is_renamed(&folded, false),
            Place::Prose => {
                refers || (Language::of(&folded) != Language::Other && self.protected.is_renamed(&folded, false))
            }
        }
    }

    /// A text that is a document itself.
    fn in_json(&self, text: &str, place: Place) -> bool {
        text.trim_start().starts_with(['{', '['])
            && json::read(text.as_bytes()).is_ok_and(|node| self.in_node(&node, place, false))
    }

    /// `{"column": "ssn", "as": "x"}`.
    fn is_beside(&self, members: &[(String, Node)]) -> bool {
        let is_alias = |(name, node): &(String, Node)| {
            let new = |text: &str| !self.protected.is_one(text);
            matches!(plain(name).as_str(), "as" | "alias") && node.text().is_some_and(new)
        };
        members.iter().any(is_alias)
            && members.iter().any(|(_, node)| node.text().is_some_and(|text| self.protected.is_one(text)))
    }

    /// `{"x": "ssn"}`.
    fn is_named(&self, name: &str, node: &Node) -> bool {
        node.text().is_some_and(|text| self.protected.is_one(text) && !self.protected.is_one(name))
    }
}

#[cfg(test)]
mod tests;
