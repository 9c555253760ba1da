//! The events of the record (DESIGN 8): what is hashed, stored, replayed and exported.
//!
//! Promises: every event is plain serde data whose JSON form (RFC 8785 canonical, made by `audit`) is what is hashed;
//! numbers stay within 2^53 so that no JSON reader changes them; no event holds a secret, since it is built from a
//! redacted [`Text`] and from values after masking. Held by: the round trip in the tests below.

use crate::command::{Digest, Fault, Parameter, Source, Text};
use crate::decision::{Effect, RowLimit};
use crate::denial::Reason;
use crate::id::{ApprovalId, GrantId, SessionId};
use crate::preview::Preview;
use crate::principal::{Connection, Principal};
use crate::recorded::{
    AdminAction, ClientInfo, MaskedColumn, Outcome, RecordedColumn, RecordedMatch, RecordedOperation, Tokens,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a stream of events is about. Every stream is one hash chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamKind {
    /// A client's session.
    Session,
    /// What administrators did, what policy was loaded, which logins failed: one stream per gateway run.
    Gateway,
}

/// One event: the `number`th of its stream, from 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The stream.
    pub stream: SessionId,
    /// Its place in the stream, from 0, without gaps.
    pub number: u64,
    /// When it was made, by this gateway's clock.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened. The JSON `type` is DESIGN 8's name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum EventBody {
    /// A session began.
    #[serde(rename = "session.started")]
    SessionStarted {
        /// What kind of stream.
        kind: StreamKind,
        /// Who.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        principal: Option<Principal>,
        /// Where to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        connection: Option<Connection>,
        /// From where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<ClientInfo>,
        /// The gateway's version.
        gateway: Arc<str>,
    },
    /// The backend is logged in to under a name that was made for this session, in the place of the connection's login.
    #[serde(rename = "session.login")]
    SessionLogin {
        /// The name.
        login: Arc<str>,
    },
    /// A command was read.
    #[serde(rename = "command.received")]
    CommandReceived {
        /// Its ordinal in the session, from 1.
        command: u64,
        /// Where it came from.
        source: Source,
        /// Its text, redacted.
        text: Text,
        /// Over the exact bytes.
        digest: Digest,
        /// What it would do.
        operations: Vec<RecordedOperation>,
        /// The values bound to it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parameters: Vec<Parameter>,
        /// Set where the reader refused it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<Fault>,
        /// The `command.prepared` that it runs, where it runs one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prepared_by: Option<u64>,
    },
    /// A command was read, allowed and only prepared: nothing ran. A refused one is recorded as received and decided.
    #[serde(rename = "command.prepared")]
    CommandPrepared {
        /// Its ordinal in the session, from 1.
        command: u64,
        /// Where it came from.
        source: Source,
        /// Its text, redacted.
        text: Text,
        /// Over the exact bytes.
        digest: Digest,
        /// What it would do.
        operations: Vec<RecordedOperation>,
        /// The digest of the policy set that allowed it.
        policy: Arc<str>,
    },
    /// A command was decided.
    #[serde(rename = "command.decided")]
    CommandDecided {
        /// Which.
        command: u64,
        /// Allow, hold or deny.
        verdict: Effect,
        /// Why it was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
        /// The reason in words, as the client was told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        told: Option<Arc<str>>,
        /// Every rule that matched.
        matches: Vec<RecordedMatch>,
        /// The digest of the policy set.
        policy: Arc<str>,
        /// The grants under which rules that hold did not hold it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        grants: Vec<GrantId>,
        /// How many rows it may write.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<RowLimit>,
    },
    /// A command ended.
    #[serde(rename = "command.settled")]
    CommandSettled {
        /// Which.
        command: u64,
        /// How.
        #[serde(flatten)]
        outcome: Outcome,
        /// The digest of data that followed the command (COPY, stdin, files), where some did. The body of an HTTP request is
        /// part of its command.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<Digest>,
    },
    /// A part of a command's answer, after masking.
    #[serde(rename = "result")]
    Result {
        /// Which command.
        command: u64,
        /// The columns; empty in all but the first part of one result.
        columns: Vec<RecordedColumn>,
        /// Rows of values in text form; `null` is NULL.
        rows: Vec<Vec<Option<Arc<str>>>>,
        /// Set on the last part when the limit cut the rest off.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
    },
    /// Output that is not rows: notices, terminal bytes, message bodies; after masking.
    #[serde(rename = "output")]
    Output {
        /// Which command, where it belongs to one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        command: Option<u64>,
        /// `notice`, `error`, `copy` …; of programs `stdout`, `stderr`, and `terminal` where both go to a screen; of HTTP
        /// `body`, and `body 0` and on for its streams of text. (`channel` in JSON, where `stream` is the event's own.)
        #[serde(rename = "channel")]
        stream: Arc<str>,
        /// The text.
        text: String,
        /// Set on the last part when the limit cut the rest off.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
    },
    /// The screen that `terminal` output is written for: said when it begins, and at every change of its size.
    #[serde(rename = "terminal")]
    Terminal {
        /// Which command it belongs to, where it belongs to one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        command: Option<u64>,
        /// Characters in a line.
        columns: u32,
        /// Lines.
        rows: u32,
        /// What kind the client says it is (`TERM`); absent in a change of size.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<Arc<str>>,
    },
    /// What of a command's answer was masked for the client; the values are nowhere.
    #[serde(rename = "masked")]
    Masked {
        /// Which command.
        command: u64,
        /// The columns of which a value was replaced.
        columns: Vec<MaskedColumn>,
    },
    /// What a command used of a model.
    #[serde(rename = "usage")]
    Usage {
        /// Which command.
        command: u64,
        /// How much.
        #[serde(flatten)]
        usage: Tokens,
    },
    /// An approval was asked for.
    #[serde(rename = "approval.requested")]
    ApprovalRequested {
        /// Which command.
        command: u64,
        /// The request.
        approval: ApprovalId,
        /// The rule that asks.
        rule: Arc<str>,
        /// Undecided by then: refused.
        expires: Timestamp,
        /// Why the command is sent, in its requester's words, after masking.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Arc<str>>,
        /// What it would write, as those who decide are told, where it writes rows of a database.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        preview: Option<Preview>,
    },
    /// An approval was decided, used, withdrawn or ran out, or nobody waits for it any more and it stays open.
    #[serde(rename = "approval.settled")]
    ApprovalSettled {
        /// Which command.
        command: u64,
        /// The request.
        approval: ApprovalId,
        /// `approved`, `rejected`, `expired`, `withdrawn`, `left`, `overtaken`, `unavailable`.
        verdict: Arc<str>,
        /// Who voted.
        voters: Vec<Arc<str>>,
    },
    /// With an approval people gave a grant: until then a rule does not hold these operations of the same principal here.
    #[serde(rename = "grant.given")]
    GrantGiven {
        /// The command that was approved.
        command: u64,
        /// The request that it was given with.
        approval: ApprovalId,
        /// The grant.
        grant: GrantId,
        /// The rule that does not hold them.
        rule: Arc<str>,
        /// What is granted.
        operations: Vec<RecordedOperation>,
        /// Who gave it.
        voters: Vec<Arc<str>>,
        /// It ends then.
        until: Timestamp,
    },
    /// A grant ended.
    #[serde(rename = "grant.ended")]
    GrantEnded {
        /// Which.
        grant: GrantId,
        /// The rule that holds again.
        rule: Arc<str>,
        /// Whose it was.
        user: Arc<str>,
        /// Where.
        connection: Arc<str>,
        /// `time`, `revoked`, `identity` (of whoever had or gave it), `unkept` (it could not be stored, and never was).
        why: Arc<str>,
    },
    /// A session ended.
    #[serde(rename = "session.ended")]
    SessionEnded {
        /// `terminated`, `client left`, `backend left`, `killed`, `interrupted` …
        reason: Arc<str>,
        /// Commands asked in it.
        commands: u64,
    },
    /// An administrator changed something.
    #[serde(rename = "admin.changed")]
    AdminChanged {
        /// Who.
        by: Principal,
        /// What.
        change: AdminAction,
    },
    /// A policy set came into force, or was refused.
    #[serde(rename = "policy.loaded")]
    PolicyLoaded {
        /// Its digest.
        policy: Arc<str>,
        /// The bundles in it.
        bundles: Vec<Arc<str>>,
        /// Whether it is now in force.
        accepted: bool,
        /// Why not.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        problems: Vec<Arc<str>>,
    },
    /// A login was refused. What was presented is not recorded.
    #[serde(rename = "identity.refused")]
    IdentityRefused {
        /// The protocol's word.
        protocol: Arc<str>,
        /// The user name that was claimed, as claimed, cut at 128 characters.
        claimed: Arc<str>,
        /// From where.
        client: ClientInfo,
        /// Why, for the auditor; the client is told less.
        why: Arc<str>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TokenId;
    use crate::name::QualifiedName;
    use crate::object::{Object, RelationKind};
    use crate::operation::{Action, Mark, Operation};
    use crate::principal::CredentialKind;
    use std::collections::{BTreeMap, BTreeSet};

    fn dana() -> Principal {
        Principal {
            issuer: "https://idp.example".into(),
            subject: "d-1".into(),
            user: "dana".into(),
            groups: BTreeSet::new(),
            claims: BTreeMap::new(),
            credential: CredentialKind::Oidc,
        }
    }

    #[test]
    fn an_event_reads_back_as_it_was_written() {
        let orders = Object::relation(QualifiedName::new("public", "orders"), RelationKind::Table);
        let operation = Operation::new(Action::Delete, orders).marked(Mark::Unbounded);
        let received = EventBody::CommandReceived {
            command: 3,
            source: Source::Sql,
            text: Text::plain("DELETE FROM orders"),
            digest: Digest::of(b"x"),
            operations: vec![RecordedOperation::from(&operation)],
            parameters: vec![Parameter { type_name: "int4".into(), value: Some("1".into()) }],
            fault: None,
            prepared_by: None,
        };
        let settled = EventBody::CommandSettled {
            command: 3,
            outcome: Outcome::Completed { status: "DELETE 0".into(), rows: 0, bytes: 12 },
            data: None,
        };
        let output = |text: &str, truncated| EventBody::Output {
            command: Some(3),
            stream: "notice".into(),
            text: text.into(),
            truncated,
        };
        let terminal = |name| EventBody::Terminal { command: None, columns: 80, rows: 24, name };
        let screens = [terminal(Some("xterm".into())), terminal(None)];
        let used =
            EventBody::Usage { command: 3, usage: Tokens { input: 1, output: 2, cache_read: 3, cache_write: 4 } };
        let login = EventBody::SessionLogin { login: "v-approle-1".into() };
        let outputs = [output("hello", false), output("", true)];
        let certified = AdminAction::LoginCertified {
            token: TokenId::new(),
            user: "dana".into(),
            groups: vec!["dba".into()],
            key: "SHA256:x".into(),
            expires: Timestamp::UNIX_EPOCH,
        };
        let changed = EventBody::AdminChanged { by: dana(), change: certified };
        for body in [login, received, settled, used, changed].into_iter().chain(outputs).chain(screens) {
            let event = Event { stream: SessionId::new(), number: 5, at: Timestamp::UNIX_EPOCH, body };
            let json = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event, "{json}");
        }
    }

    /// What was hashed before a field was added is what is hashed now.
    #[test]
    fn an_output_of_an_older_record_keeps_its_form() {
        let json = r#"{"stream":"00000000-0000-0000-0000-000000000000","number":5,"at":"1970-01-01T00:00:00Z","#
            .to_owned()
            + r#""type":"output","command":3,"channel":"notice","text":"hello"}"#;
        let event: Event = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), json);
    }
}
