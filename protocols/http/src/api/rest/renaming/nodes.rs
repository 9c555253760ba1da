//! JSON of a request, looked through for what gives a protected member another name.
//!
//! Promises: what a text is judged as goes by the name of the member that it stands in ([`Place`]); a text that is JSON
//! itself is looked into once; objects and lists that write an alias are known by their form. Each value is looked at a few
//! times. Does not promise to tell the word for a member from a new name in `[{"field": "ssn"}]`: what languages of lists
//! call a member there is taken for that ([`TELLING`]), and what kind a thing is ([`KINDS`]) for no member outside of a
//! query.
//! Held by: `tests.rs`.

use super::FILTERS;
use super::tokens::{Language, Protected};
use crate::json::{self, Node, Value};

/// Members and parameters that hold a query, but for a `$` or `_` before the name.
const QUERIES: [&str; 24] = [
    "query",
    "queries",
    "sql",
    "statement",
    "graphql",
    "gql",
    "select",
    "fields",
    "columns",
    "attributes",
    "include",
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
/// What gives names, where it is an object of them.
const NAMED: [&str; 4] = ["alias", "aliases", "as", "rename"];
/// What computes values out of members that it names.
const COMPUTED: [&str; 5] = ["aggs", "aggregations", "runtime_mappings", "script_fields", "getfield"];
/// Members in which a value is computed, beside its name.
const EXPRESSIONS: [&str; 4] = ["calculate", "expr", "expression", "formula"];
/// Members that say what kind a thing is, never which member is meant.
const KINDS: [&str; 6] = ["type", "kind", "channel", "medium", "method", "format"];
/// Members of an element of what is selected that say which member is meant or how it looks, and are no new name.
const TELLING: [&str; 24] = [
    "attribute",
    "by",
    "col",
    "column",
    "data",
    "expr",
    "expression",
    "field",
    "from",
    "header",
    "id",
    "key",
    "kind",
    "label",
    "member",
    "model",
    "name",
    "path",
    "property",
    "ref",
    "source",
    "title",
    "type",
    "value",
];

/// What stands in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Prose,
    Query,
    /// The same, where an object names what it selects.
    Selected,
    /// An element of that.
    Listed,
    /// An object of new names.
    Named,
    Computed,
    /// The service answers with bare values of what is named here.
    Returned,
}

/// A name as it is compared with those above.
pub(super) fn plain(name: &str) -> String {
    name.trim_start_matches(['$', '_']).to_lowercase()
}

/// What looks through JSON.
pub(super) struct Nodes<'p> {
    protected: &'p Protected,
    /// The names of members whose bare values are answered.
    returned: &'static [&'static str],
}

impl<'p> Nodes<'p> {
    pub(super) const fn new(protected: &'p Protected, returned: &'static [&'static str]) -> Self {
        Self { protected, returned }
    }

    /// Of the member of this name.
    pub(super) fn place(&self, name: &str) -> Place {
        let name = plain(name);
        match name.as_str() {
            name if self.returned.contains(&name) => Place::Returned,
            name if SELECTED.contains(&name) => Place::Selected,
            name if QUERIES.contains(&name) => Place::Query,
            name if COMPUTED.contains(&name) => Place::Computed,
            name if NAMED.contains(&name) => Place::Named,
            _ => Place::Prose,
        }
    }

    /// Whether a document does it.
    pub(super) fn is_in(&self, document: &Node) -> bool {
        self.in_node(document, Place::Prose, true)
    }

    /// `deep`: a text that is JSON itself is looked into.
    fn in_node(&self, node: &Node, place: Place, deep: bool) -> bool {
        match &node.value {
            Value::String(text) => self.in_text(text, place, deep),
            Value::Array(elements) => {
                // A list of what is selected has the names of the service's language in its objects.
                let inside = if matches!(place, Place::Selected | Place::Named) { Place::Listed } else { place };
                // A list of aliases is one of words, of a person's or an index's.
                let of_words = |element: &Node| place == Place::Named && element.text().is_some();
                elements.iter().any(|element| {
                    self.is_pair(element, place)
                        || self.in_node(element, if of_words(element) { Place::Prose } else { inside }, deep)
                })
            }
            Value::Object(members) => {
                self.is_beside(members, place)
                    || members.iter().any(|(name, node)| {
                        self.is_named(name, node, place) || self.in_node(node, self.within(name, place), deep)
                    })
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// The place of a member of an object in a place.
    fn within(&self, name: &str, place: Place) -> Place {
        match place {
            Place::Named | Place::Computed | Place::Returned => place,
            Place::Prose | Place::Query | Place::Selected | Place::Listed => self.place(name),
        }
    }

    pub(super) fn in_text(&self, text: &str, place: Place, deep: bool) -> bool {
        let Some(folded) = self.protected.said(text) else { return false };
        if deep && self.in_json(text, place) {
            return true;
        }
        let refers = folded.starts_with('$') && !folded.contains(char::is_whitespace);
        match place {
            Place::Computed | Place::Returned => true,
            Place::Query | Place::Selected | Place::Listed => refers || self.protected.is_renamed(&folded, false),
            Place::Prose | Place::Named => {
                refers || (Language::of(&folded) != Language::Other && self.protected.is_renamed(&folded, false))
            }
        }
    }

    /// A text that is a document itself.
    pub(super) fn in_json(&self, text: &str, place: Place) -> bool {
        text.trim_start().starts_with(['{', '['])
            && json::read(text.as_bytes()).is_ok_and(|node| self.in_node(&node, place, false))
    }

    /// `{"column": "ssn", "as": "x"}`.
    fn is_beside(&self, members: &[(String, Node)], place: Place) -> bool {
        let is_alias = |name: &str| matches!(plain(name).as_str(), "as" | "alias");
        let names = |(name, node): &(String, Node)| {
            is_alias(name) && node.text().is_some_and(|text| self.protected.is_new(text))
        };
        let is_meant = |(name, node): &(String, Node)| {
            !is_alias(name) && node.text().is_some_and(|text| self.is_meant(name, text, place))
        };
        members.iter().any(names) && members.iter().any(is_meant)
    }

    /// Whether a member beside an alias says what is called so.
    fn is_meant(&self, name: &str, text: &str, place: Place) -> bool {
        let name = plain(name);
        let (in_query, name) = (place != Place::Prose, name.as_str());
        (self.protected.is_one(text) && (in_query || !KINDS.contains(&name)))
            || ((in_query || EXPRESSIONS.contains(&name)) && self.protected.said(text).is_some())
    }

    /// Whether a member gives a name: `{"x": "ssn"}`.
    fn is_named(&self, name: &str, node: &Node, place: Place) -> bool {
        let is_new = self.protected.is_new(name);
        match place {
            Place::Selected => match &node.value {
                // Names alone are what is selected of an object of that name.
                Value::Array(elements) => {
                    is_new && elements.iter().any(|element| element.text().is_none() && self.takes(element))
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                    is_new && self.takes(node)
                }
            },
            Place::Listed => {
                let plain = plain(name);
                let tells = TELLING.contains(&plain.as_str()) || FILTERS.contains(&plain.as_str());
                is_new && !tells && node.text().is_some_and(|text| self.protected.is_one(text))
            }
            // In either order: some write the new name first, and some the old one.
            Place::Named => node.text().is_some_and(|text| {
                let says = self.protected.said(text).is_some();
                (is_new && says) || (self.protected.is_one(name) && self.protected.is_new(text))
            }),
            Place::Returned => self.protected.said(name).is_some(),
            Place::Prose | Place::Query | Place::Computed => false,
        }
    }

    /// `["ssn", "x"]` in a list of what is selected.
    fn is_pair(&self, element: &Node, place: Place) -> bool {
        let selects = matches!(place, Place::Query | Place::Selected | Place::Listed);
        let [old, new] = element.elements() else { return false };
        let says = |text: &str| self.protected.said(text).is_some();
        selects
            && new.text().is_some_and(|new| self.protected.is_new(new))
            && old.text().map_or_else(|| self.takes(old), says)
    }

    /// Whether a value is taken from a protected member: `"ssn"`, `{"field": "ssn"}`, `{"fn": "max", "args": ["ssn"]}`.
    fn takes(&self, node: &Node) -> bool {
        match &node.value {
            Value::String(text) => self.protected.is_one(text),
            Value::Array(elements) => elements.iter().any(|element| self.takes(element)),
            Value::Object(members) => members.iter().any(|(name, node)| {
                let computes = self.place(name) == Place::Prose && !FILTERS.contains(&plain(name).as_str());
                computes && self.takes(node)
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}
