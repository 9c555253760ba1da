//! The values of a request's body, as plain data: what rules with `fields:` are about.
//!
//! Promises: says apart that there is no body, what its values are, and that they could not be told; at most
//! [`Fields::MOST`] values, and a body of more is one that could not be told, never one cut short. Numbers keep the text
//! they were sent as. A JSON Patch is told apart, with what it sets ([`Fields::sets`]). Printing one shows no value: bodies
//! hold secrets.
//! Does not promise that the values are those of the body: its reader does, which also refuses a body that can be read two
//! ways (a member twice, a second document). Held by: the tests below.

mod patch;

use patch::Patch;
use std::fmt;
use std::sync::Arc;

/// The values of a body.
#[derive(Clone, PartialEq, Eq)]
pub struct Fields(Reading);

#[derive(Clone, PartialEq, Eq)]
enum Reading {
    None,
    Known {
        leaves: Vec<Leaf>,
        /// What a patch sets.
        sets: Vec<Leaf>,
    },
    Unknown,
}

/// One value, and where in the body it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// From the root; empty where the body is this value.
    pub path: Vec<Step>,
    /// The value.
    pub value: Scalar,
}

/// From a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The member of this name, unescaped.
    Member(Arc<str>),
    /// The element at this place, from 0.
    Element(u32),
}

/// A value that holds no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Text, unescaped.
    Text(Arc<str>),
    /// A number in the form of JSON, as it was sent.
    Number(Arc<str>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An object or a list with nothing in it.
    Empty,
}

impl Fields {
    /// A body of more values is [`Fields::unknown`].
    pub const MOST: usize = 4096;

    /// There is no body.
    #[must_use]
    pub const fn none() -> Self {
        Self(Reading::None)
    }

    /// There is a body, and its values could not be told.
    #[must_use]
    pub const fn unknown() -> Self {
        Self(Reading::Unknown)
    }

    /// All values of a body: every scalar, and every object and list with nothing in it.
    #[must_use]
    pub fn of(leaves: impl IntoIterator<Item = Leaf>) -> Self {
        Self::read(leaves, false)
    }

    /// The same of a body whose sender declares it to be a JSON Patch: one that is none could not be told.
    #[must_use]
    pub fn of_patch(leaves: impl IntoIterator<Item = Leaf>) -> Self {
        Self::read(leaves, true)
    }

    fn read(leaves: impl IntoIterator<Item = Leaf>, declared: bool) -> Self {
        let mut leaves = leaves.into_iter();
        let known: Vec<Leaf> = leaves.by_ref().take(Self::MOST).collect();
        if leaves.next().is_some() {
            return Self::unknown();
        }
        match patch::read(&known, declared) {
            Patch::None => Self(Reading::Known { leaves: known, sets: Vec::new() }),
            Patch::Sets(sets) => Self(Reading::Known { leaves: known, sets }),
            Patch::Untold => Self::unknown(),
        }
    }

    /// The values; `None` where they could not be told. No body has no values.
    #[must_use]
    pub fn leaves(&self) -> Option<&[Leaf]> {
        match &self.0 {
            Reading::None => Some(&[]),
            Reading::Known { leaves, .. } => Some(leaves),
            Reading::Unknown => None,
        }
    }

    /// What a JSON Patch sets besides, as if it stood in the body: what refuses or holds such a body does so with its patch.
    #[must_use]
    pub fn sets(&self) -> &[Leaf] {
        match &self.0 {
            Reading::Known { sets, .. } => sets,
            Reading::None | Reading::Unknown => &[],
        }
    }

    /// Whether there is a body at all.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        matches!(self.0, Reading::None)
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reading::None => f.write_str("Fields(none)"),
            Reading::Known { leaves, .. } => write!(f, "Fields({})", leaves.len()),
            Reading::Unknown => f.write_str("Fields(unknown)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: usize) -> impl Iterator<Item = Leaf> {
        (0..count).map(|_| Leaf { path: vec![Step::Element(0)], value: Scalar::Text("hunter2".into()) })
    }

    #[test]
    fn a_body_of_too_many_values_is_not_known_rather_than_cut() {
        assert_eq!(Fields::of(leaves(Fields::MOST)).leaves().map(<[Leaf]>::len), Some(Fields::MOST));
        assert_eq!(Fields::of(leaves(Fields::MOST + 1)), Fields::unknown());
        assert_eq!(Fields::unknown().leaves(), None);
        assert_eq!((Fields::none().leaves(), Fields::none().is_none()), (Some(&[][..]), true));
        assert!(!Fields::of(leaves(0)).is_none());
    }

    #[test]
    fn printing_shows_no_value() {
        assert_eq!(format!("{:?}", Fields::of(leaves(2))), "Fields(2)");
    }
}
