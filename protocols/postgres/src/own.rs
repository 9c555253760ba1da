//! What goes to a backend without being a client's command: the gateway's own frames, and the frames that carry neither
//! command nor data.
//!
//! Promises: [`Own`] is built from constants, numbers and one random word, never from a client's bytes; the stand-in for
//! a refused frame is one that every server rejects by itself, at the same place in the protocol, without planning or
//! running anything: a text that no grammar accepts, a statement and a portal that do not exist. Their names carry a
//! random word of the session, so no client can make them exist. [`Passage`] is a closed list: its frames name at most a
//! prepared statement or portal, and cause no execution.
//!
//! Does not promise when each is legal: `core.rs` knows.
//! Held by: the tests below, `core/tests/*` and `tests/it/refusal.rs` against a real server.

use crate::frame::Frame;
use crate::message::{RESERVED_PREFIX, Target, write};
use bytes::{Bytes, BytesMut};
use portcullis_model::DecisionId;
use std::fmt::Write as _;

/// A name that no client can know: what stands in for a refused frame refers to it, and it never exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nowhere(String);

impl Nowhere {
    /// The name with this random word in it.
    pub(crate) fn new(random: u64) -> Self {
        Self(format!("{RESERVED_PREFIX}{random:016x}"))
    }
}

/// Frames that the gateway itself writes to a backend.
#[derive(Clone, Debug)]
pub(crate) enum Own {
    /// In place of a refused Query or FunctionCall: 42601, then ReadyForQuery with the true status.
    RefusedQuery(Option<DecisionId>),
    /// In place of a refused Parse: 42601. The unnamed statement is gone behind it, as behind any failed Parse of it.
    RefusedParse { decision: Option<DecisionId>, unnamed: bool, nowhere: Nowhere },
    /// In place of a refused Bind: 26000.
    RefusedBind(Nowhere),
    /// In place of a refused Execute: 34000.
    RefusedExecute(Nowhere),
    /// Begins a transaction around a statement whose rows are counted.
    Begin,
    /// Ends that transaction: its statement wrote no more rows than it may.
    Commit,
    /// Takes back what its statement wrote.
    Rollback,
    /// Ends a COPY FROM STDIN that may not go on: 57014.
    CopyFail,
    /// Makes the server send what it holds back.
    Flush,
    /// Asks the server what names mean now; `scope.rs` reads the answer. Prepared under a name of its own and closed
    /// again, so that the client's unnamed statement and portal stay: a Query would end them.
    AskScope(Nowhere),
    /// Describes a portal that is about to be run, to learn where its columns come from. The name is that of a Bind that
    /// was judged.
    AskColumns { portal: Box<str> },
    /// Ends the connection.
    Terminate,
}

/// The columns, in order: effective search path (without the implicit parts), current user, relations in `pg_temp`, whether
/// names mean more than these say: the path names `pg_temp`, whatever its letters, or types are in it, or rows of a relation
/// whose name is one of the server's types, before which they stand (schema 11 is `pg_catalog`).
/// Every name in it is qualified, so that a search path cannot make it mean anything else.
pub(crate) const ASK_SCOPE: &str = "SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(false)), \
     pg_catalog.to_json(CURRENT_USER::pg_catalog.text), \
     pg_catalog.array_to_json(ARRAY(SELECT c.relname::pg_catalog.text FROM pg_catalog.pg_class c \
     WHERE c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() \
     AND c.relkind OPERATOR(pg_catalog.<>) 'i')), \
     pg_catalog.to_json(pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.~*) '(^|[\\s,\"])pg_temp' \
     OR pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0 AND EXISTS (SELECT FROM pg_catalog.pg_type t \
     WHERE t.typnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() \
     AND (t.typrelid OPERATOR(pg_catalog.=) 0 \
     AND (t.typtype OPERATOR(pg_catalog.<>) 'b' OR t.typcategory OPERATOR(pg_catalog.<>) 'A') \
     OR EXISTS (SELECT FROM pg_catalog.pg_type b WHERE b.typname OPERATOR(pg_catalog.=) t.typname \
     AND b.typnamespace OPERATOR(pg_catalog.=) 11))))";

impl portcullis_gate::Own for Own {
    type Frame = Bytes;

    fn into_frame(self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::RefusedQuery(decision) => write::query(&mut out, &unreadable(decision)),
            Self::RefusedParse { decision, unnamed, nowhere } => {
                let name = if unnamed { "" } else { nowhere.0.as_str() };
                write::parse(&mut out, name, &unreadable(decision), &[]);
            }
            Self::RefusedBind(nowhere) => write::bind(&mut out, "", &nowhere.0, &[], false),
            Self::RefusedExecute(nowhere) => write::execute(&mut out, &nowhere.0, 0),
            Self::Begin => write::query(&mut out, "BEGIN"),
            Self::Commit => write::query(&mut out, "COMMIT"),
            Self::Rollback => write::query(&mut out, "ROLLBACK"),
            Self::CopyFail => write::copy_fail(&mut out, "refused by policy"),
            Self::Flush => write::flush(&mut out),
            Self::AskScope(nowhere) => {
                let name = format!("{}s", nowhere.0);
                write::parse(&mut out, &name, ASK_SCOPE, &[]);
                write::bind(&mut out, &name, &name, &[], false);
                write::execute(&mut out, &name, 0);
                write::close(&mut out, Target::Portal(&name));
                write::close(&mut out, Target::Statement(&name));
                write::sync(&mut out);
            }
            Self::AskColumns { portal } => write::describe(&mut out, Target::Portal(&portal)),
            Self::Terminate => write::terminate(&mut out),
        }
        out.freeze()
    }
}

/// A text that no version's grammar accepts. The decision's id stands in it, so that the server's own log names it too.
fn unreadable(decision: Option<DecisionId>) -> String {
    let mut text = String::from("/*gw");
    if let Some(decision) = decision {
        // Writing into a String cannot fail.
        let _written = write!(text, ":{decision}");
    }
    text.push_str("*/!");
    text
}

/// A client's frames that carry neither command nor data.
#[derive(Clone, Debug)]
pub(crate) enum Passage {
    /// Close of a statement or portal.
    Close(Frame),
    /// The end of COPY data.
    CopyDone(Frame),
    /// The client gives its COPY up.
    CopyFail(Frame),
    /// Describe of a statement or portal.
    Describe(Frame),
    /// Flush.
    Flush(Frame),
    /// Sync.
    Sync(Frame),
    /// Terminate.
    Terminate(Frame),
}

impl portcullis_gate::Passage for Passage {
    type Frame = Bytes;

    fn into_frame(self) -> Bytes {
        match self {
            Self::Close(frame)
            | Self::CopyDone(frame)
            | Self::CopyFail(frame)
            | Self::Describe(frame)
            | Self::Flush(frame)
            | Self::Sync(frame)
            | Self::Terminate(frame) => frame.into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_gate::Own as _;
    use portcullis_model::SessionId;

    #[test]
    fn stand_ins_hold_nothing_of_a_client_and_never_the_same_name_twice() {
        let decision = Some(DecisionId { session: SessionId::new(), number: 3 });
        let query = Own::RefusedQuery(decision).into_frame();
        let text = String::from_utf8_lossy(&query).into_owned();
        assert!(text.starts_with('Q') && text.ends_with("*/!\0") && text.contains(".3"), "{text}");
        let bind = Own::RefusedBind(Nowhere::new(7)).into_frame();
        assert!(String::from_utf8_lossy(&bind).contains("gw$0000000000000007"));
        assert_ne!(
            Own::RefusedExecute(Nowhere::new(1)).into_frame(),
            Own::RefusedExecute(Nowhere::new(2)).into_frame()
        );
        let unnamed = Own::RefusedParse { decision: None, unnamed: true, nowhere: Nowhere::new(1) }.into_frame();
        assert_eq!(unnamed.get(5), Some(&0), "the unnamed statement is named by nothing");
    }
}
