//! Canonical names, and names that are not wholly known.
//!
//! A [`Name`] is what the system itself would call the thing: folded, unquoted, truncated by that system's rules. Only a
//! reader (`sql`, `shell`, a protocol's path canonicaliser) makes one out of text; policy compares names byte for byte.
//! A [`Part`] that is [`Part::Unknown`] prints as `?`: deny and hold patterns may match it, an allow pattern only with a
//! literal `*` there (DESIGN 3).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A canonical name: folded, unquoted and truncated as its system does it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(Arc<str>);

impl Name {
    /// Takes `text` as canonical. The caller is a reader that canonicalised it, or the system that reported it.
    #[must_use]
    pub fn canonical(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// One part of a qualified name: known, or any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Part {
    /// Exactly this.
    Known(Name),
    /// Not determined: it could be any name. Printed as `?`.
    Unknown,
}

impl Part {
    /// Whether it was determined.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }

    /// The known part made of canonical text.
    #[must_use]
    pub fn known(text: impl Into<Arc<str>>) -> Self {
        Self::Known(Name::canonical(text))
    }

    /// The text, where it is known.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Known(name) => Some(name.as_str()),
            Self::Unknown => None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(name) => quoted(name.as_str(), f),
            Self::Unknown => f.write_str("?"),
        }
    }
}

/// Writes a name as SQL would quote it: bare where it is a plain lower-case identifier, in double quotes otherwise, so
/// that `a.b` as one name and `a` dot `b` never print alike.
fn quoted(name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_' || !c.is_ascii())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '$' || !c.is_ascii());
    if plain { f.write_str(name) } else { write!(f, "\"{}\"", name.replace('"', "\"\"")) }
}

/// A schema and a name in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QualifiedName {
    /// The schema; [`Part::Unknown`] where the name could not be resolved.
    pub schema: Part,
    /// The name; [`Part::Unknown`] for "any object of this schema".
    pub name: Part,
}

impl QualifiedName {
    /// Both parts known.
    #[must_use]
    pub fn new(schema: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { schema: Part::known(schema), name: Part::known(name) }
    }

    /// A name of an unknown schema.
    #[must_use]
    pub fn unresolved(name: impl Into<Arc<str>>) -> Self {
        Self { schema: Part::Unknown, name: Part::known(name) }
    }

    /// Any object of the schema.
    #[must_use]
    pub fn anything_in(schema: impl Into<Arc<str>>) -> Self {
        Self { schema: Part::known(schema), name: Part::Unknown }
    }

    /// Neither part known.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { schema: Part::Unknown, name: Part::Unknown }
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_dots_or_capitals_are_quoted_so_that_no_two_print_alike() {
        assert_eq!(QualifiedName::new("public", "orders").to_string(), "public.orders");
        assert_eq!(QualifiedName::new("public", "a.b").to_string(), "public.\"a.b\"");
        assert_eq!(QualifiedName::new("Public", "x\"y").to_string(), "\"Public\".\"x\"\"y\"");
        assert_eq!(QualifiedName::unresolved("t").to_string(), "?.t");
    }
}
