//! What events are made of: clients, operations and rules as the record keeps them, outcomes, administrative changes.
//!
//! Promises: as for events: plain serde data whose numbers stay within 2^53, and no secret in any of it.
//! Held by: the round trip in the tests of `event.rs`, and the test below.

use crate::decision::{Decision, Effect};
use crate::id::{ApprovalId, GrantId, SessionId, TokenId};
use crate::operation::Operation;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The client as the gateway saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientInfo {
    /// Its address and port.
    pub address: Arc<str>,
    /// What it calls itself (`application_name`, SSH version, `user-agent`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<Arc<str>>,
    /// The transport: `tls1.3`, `plaintext` …
    pub transport: Arc<str>,
}

/// An operation as recorded: as rules print it, and as data, so that it can be judged again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedOperation {
    /// As printed in rules.
    pub shown: Arc<str>,
    /// As data.
    #[serde(flatten)]
    pub operation: Operation,
}

impl From<&Operation> for RecordedOperation {
    fn from(operation: &Operation) -> Self {
        Self { shown: operation.to_string().into(), operation: operation.clone() }
    }
}

/// A rule that matched, as recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedMatch {
    /// `BUNDLE/RULE`.
    pub rule: Arc<str>,
    /// What it does.
    pub effect: Effect,
    /// Which operation of the command, from 0.
    pub operation: usize,
}

impl RecordedMatch {
    /// The matches of a decision.
    #[must_use]
    pub fn all(decision: &Decision) -> Vec<Self> {
        decision
            .matches
            .iter()
            .map(|m| Self { rule: m.rule.to_string().into(), effect: m.effect, operation: m.operation })
            .collect()
    }
}

/// A column of a recorded result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedColumn {
    /// Its label.
    pub name: Arc<str>,
    /// Its type, as the system names it or by number.
    #[serde(rename = "type")]
    pub type_name: Arc<str>,
}

/// How much of one column of an answer was masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskedColumn {
    /// Its label. Of what is no column: the path into JSON as the rule writes it, or the stream that it was found in.
    pub column: Arc<str>,
    /// `BUNDLE/RULE`, several with commas between them; empty where no rule names it and it could not be proven clean.
    pub rule: Arc<str>,
    /// How it was found: `provenance`, `lineage`, `unproven`, `detector`, and `path` in JSON.
    pub reason: Arc<str>,
    /// Values replaced.
    pub values: u64,
}

/// Tokens of a model that a command used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Read by the model and not from its cache.
    pub input: u64,
    /// Written by it.
    pub output: u64,
    /// Read from its cache.
    pub cache_read: u64,
    /// Written to its cache.
    pub cache_write: u64,
}

impl Tokens {
    /// The most that one of them may be: the record takes no greater number, and what backends say may be one.
    pub const MOST: u64 = (1 << 53) - 1;

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.input.saturating_add(self.output).saturating_add(self.cache_read).saturating_add(self.cache_write)
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The backend did it.
    Completed {
        /// What the backend said: a command tag, an exit status, an HTTP status.
        status: Arc<str>,
        /// Rows returned.
        rows: u64,
        /// Bytes of answer, as released to the client.
        bytes: u64,
    },
    /// The backend refused or failed.
    Failed {
        /// SQLSTATE, exit status or HTTP status.
        status: Arc<str>,
        /// The backend's message as the client read it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Arc<str>>,
    },
    /// The backend discarded it unread, because something before it failed.
    Skipped,
    /// Refused by the gateway: nothing reached the backend, or what it did there was undone.
    Refused {
        /// The rows that it had written when it was undone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undone: Option<u64>,
    },
    /// The client took it back before it was forwarded.
    Withdrawn,
    /// Sealed, and dropped before it was asked.
    Abandoned,
    /// The session or the gateway ended before the outcome was known.
    Interrupted,
}

impl Outcome {
    /// Refused before anything reached the backend.
    pub const REFUSED: Self = Self::Refused { undone: None };
}

/// An administrative change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum AdminAction {
    /// A token was made.
    TokenCreated {
        /// Which.
        token: TokenId,
        /// For whom.
        user: Arc<str>,
        /// With these groups.
        groups: Vec<Arc<str>>,
        /// Until then.
        expires: Timestamp,
    },
    /// A login at an identity provider was given an SSH certificate, by whoever logged in.
    LoginCertified {
        /// Its record: what revokes it.
        token: TokenId,
        /// For whom.
        user: Arc<str>,
        /// With these groups.
        groups: Vec<Arc<str>>,
        /// For the key of this fingerprint.
        key: Arc<str>,
        /// Until then.
        expires: Timestamp,
    },
    /// A token, or a certificate of a login, was revoked.
    TokenRevoked {
        /// Which.
        token: TokenId,
    },
    /// Everything that an identity provider gave somebody until now was revoked.
    LoginsRevoked {
        /// The provider.
        issuer: Arc<str>,
        /// Who, as the provider calls them.
        subject: Arc<str>,
    },
    /// Somebody presented a new login of theirs; what their earlier ones opened goes on.
    SessionsRenewed {
        /// Until then.
        until: Timestamp,
    },
    /// Somebody voted on a request for approval.
    ApprovalVoted {
        /// Which.
        approval: ApprovalId,
        /// Whether they said yes.
        approve: bool,
        /// The grant they asked for with their yes, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant_seconds: Option<u64>,
    },
    /// A grant was revoked.
    GrantRevoked {
        /// Which.
        grant: GrantId,
    },
    /// A session was ended by an administrator.
    SessionKilled {
        /// Which.
        session: SessionId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_beyond_all_numbers_are_the_greatest_number() {
        let tokens = Tokens { input: 1, output: 2, cache_read: 3, cache_write: 4 };
        assert_eq!(tokens.total(), 10);
        assert_eq!(Tokens { input: u64::MAX, ..tokens }.total(), u64::MAX);
    }
}
