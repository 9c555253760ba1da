//! The nouns of Portcullis: what every crate speaks about and no crate owns.
//!
//! A protocol reads bytes into a [`Command`]: a list of [`Operation`]s on [`Object`]s. Policy turns a command and a
//! [`Principal`] into a [`Decision`]; the gate turns a refusing decision into a [`Denial`] and every step into an
//! [`Event`]. The [`Catalogue`] is what a database told us about itself, as plain data.
//!
//! Promises: plain data, serde only; no I/O, no async, no clock and no randomness of its own. Names inside objects are
//! canonical (folded, unquoted, truncated as the system does it): [`Name`] says who may make one. A type lives here only
//! when two crates besides `gate` need it. Secrets do not: a text that held one is redacted before it becomes a
//! [`Text`], and nothing here prints what it must not.
//!
//! Does not promise: that an operation list is right. The readers (`sql`, `shell`) promise that.
//! Held by: the unit tests beside each type, and the round trip of every event in `event.rs`.

pub mod catalogue;
mod command;
mod decision;
mod denial;
mod event;
mod fields;
mod id;
mod lineage;
mod media;
mod name;
mod object;
mod operation;
mod preview;
mod principal;
mod problem;
mod protection;
mod recorded;
mod unseen;

pub use catalogue::Catalogue;
pub use command::{Command, Counted, Digest, Fault, Followed, Parameter, Source, Text};
pub use decision::{Decision, Effect, HoldTerms, Match, RowLimit, RuleId, Verdict};
pub use denial::{Denial, Misuse, Reason, Spent, Told};
pub use event::{Event, EventBody, StreamKind};
pub use fields::{Fields, Leaf, Scalar, Step};
pub use id::{ApprovalId, DecisionId, GrantId, SessionId, TokenId};
pub use lineage::{Bound, ColumnId, Lineage, Output, Outputs, Place, Sources, Usage, Use};
pub use media::MediaKind;
pub use name::{Name, Part, QualifiedName};
pub use object::{ItemKind, Object, RelationKind, SessionKind};
pub use operation::{Action, Columns, Mark, Marks, Operation, Reach};
pub use preview::Preview;
pub use principal::{Connection, CredentialKind, Principal, Protocol};
pub use problem::{Location, Problem, Severity};
pub use protection::{Detector, Predicates, Transform, Unproven};
pub use recorded::{
    AdminAction, ClientInfo, MaskedColumn, Outcome, RecordedColumn, RecordedMatch, RecordedOperation, Tokens,
};
pub use unseen::is_unseen;
