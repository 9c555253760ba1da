//! Identifiers. All sort by time where they are made by [`SessionId::new`] and its like (UUID version 7, RFC 9562).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The identifier with exactly this value.
            #[must_use]
            pub const fn from_uuid(value: Uuid) -> Self {
                Self(value)
            }

            /// A fresh identifier; the caller supplies the clock's part through `Uuid::now_v7`.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "a default that differs every time would surprise")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The value.
            #[must_use]
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// One session: one client connection (or one administrative stream) and its hash chain.
    SessionId
);
uuid_id!(
    /// One gateway-issued token; never the token itself.
    TokenId
);
uuid_id!(
    /// One request for a human's approval.
    ApprovalId
);
uuid_id!(
    /// One grant: what people allow for some minutes.
    GrantId
);

/// One command and the decision on it: the session and the command's ordinal in it, from 1.
///
/// Printed as `SESSION.NUMBER`, so that whoever reads an error can open the session and find the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DecisionId {
    /// The session in which it was asked.
    pub session: SessionId,
    /// The command's ordinal in the session, from 1.
    pub number: u64,
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.session, self.number)
    }
}

/// The text is not `SESSION.NUMBER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a decision id (SESSION.NUMBER)")]
pub struct NotADecisionId;

impl FromStr for DecisionId {
    type Err = NotADecisionId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (session, number) = text.split_once('.').ok_or(NotADecisionId)?;
        Ok(Self {
            session: session.parse().map_err(|_| NotADecisionId)?,
            number: number.parse().map_err(|_| NotADecisionId)?,
        })
    }
}

impl Serialize for DecisionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DecisionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_id_reads_back_as_printed() {
        let id = DecisionId { session: SessionId::new(), number: 17 };
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("17".parse::<DecisionId>(), Err(NotADecisionId));
        assert_eq!("x.17".parse::<DecisionId>(), Err(NotADecisionId));
    }
}
