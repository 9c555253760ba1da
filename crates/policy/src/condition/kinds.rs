//! What the parts of an expression can be, and what the variables have.
//!
//! Promises: the members here are those that `facts.rs` gives, no others. Held by: `condition/tests.rs`.

use super::functions::Arg;

/// What a part of an expression is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int,
    Double,
    Text,
    Moment,
    Length,
    Null,
    /// An element of an empty list.
    Nothing,
    List(Box<Kind>),
    Map(Box<Kind>),
    Record(&'static Record),
}

/// One of the things that have members.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: &'static str,
    pub(super) members: &'static [(&'static str, Member)],
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Member {
    Text,
    Texts,
    Claims,
    Operations,
}

pub(super) const PRINCIPAL: Record = Record {
    name: "principal",
    members: &[
        ("user", Member::Text),
        ("issuer", Member::Text),
        ("subject", Member::Text),
        ("groups", Member::Texts),
        ("claims", Member::Claims),
    ],
};
pub(super) const CONNECTION: Record = Record {
    name: "connection",
    members: &[("name", Member::Text), ("protocol", Member::Text), ("database", Member::Text), ("login", Member::Text)],
};
pub(super) const COMMAND: Record =
    Record { name: "command", members: &[("operations", Member::Operations), ("marks", Member::Texts)] };
pub(super) const OPERATION: Record = Record {
    name: "operation",
    members: &[
        ("action", Member::Text),
        ("object", Member::Text),
        ("kind", Member::Text),
        ("marks", Member::Texts),
        ("columns", Member::Texts),
    ],
};

/// The variables.
pub(super) const VARIABLES: &[&str] = &["principal", "connection", "command", "operation", "now"];

impl Kind {
    pub(super) fn told(&self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Int => "a whole number".to_owned(),
            Self::Double => "a number".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Moment => "a moment".to_owned(),
            Self::Length => "a length of time".to_owned(),
            Self::Null => "null".to_owned(),
            Self::Nothing => "nothing".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a map".to_owned(),
            Self::Record(record) => format!("`{}`", record.name),
        }
    }

    pub(super) const fn of(member: &Member) -> fn() -> Self {
        match member {
            Member::Text => || Self::Text,
            Member::Texts => || Self::List(Box::new(Self::Text)),
            Member::Claims => || Self::Map(Box::new(Self::List(Box::new(Self::Text)))),
            Member::Operations => || Self::List(Box::new(Self::Record(&OPERATION))),
        }
    }

    pub(super) fn result(arg: Arg) -> Self {
        match arg {
            Arg::Text | Arg::Zone | Arg::Pattern => Self::Text,
            Arg::Int | Arg::Sized => Self::Int,
            Arg::Double => Self::Double,
            Arg::Bool => Self::Bool,
            Arg::Moment => Self::Moment,
            Arg::Length => Self::Length,
        }
    }

    pub(super) fn fits(&self, arg: Arg) -> bool {
        match arg {
            Arg::Text | Arg::Zone | Arg::Pattern => *self == Self::Text,
            Arg::Int => *self == Self::Int,
            Arg::Double => *self == Self::Double,
            Arg::Bool => *self == Self::Bool,
            Arg::Moment => *self == Self::Moment,
            Arg::Length => *self == Self::Length,
            Arg::Sized => matches!(self, Self::Text | Self::List(_) | Self::Map(_)),
        }
    }

    /// Whether the two can be equal.
    pub(super) fn comparable(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nothing, _) | (_, Self::Nothing) => true,
            (Self::Int | Self::Double, Self::Int | Self::Double) => true,
            (Self::List(mine), Self::List(theirs)) => {
                !matches!((&**mine, &**theirs), (Self::List(_), _) | (_, Self::List(_))) && mine.comparable(theirs)
            }
            (Self::Map(_) | Self::Record(_), _) => false,
            _ => self == other,
        }
    }

    pub(super) fn ordered(&self) -> bool {
        matches!(self, Self::Int | Self::Double | Self::Text | Self::Moment | Self::Length)
    }
}
