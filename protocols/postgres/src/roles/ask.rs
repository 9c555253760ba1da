//! How the roles of sessions are asked about: texts whose rows are kept.
//!
//! Promises: bounded in time by the target's own limit and in size by [`MOST`]; one text is one transaction, unless it says
//! otherwise. A statement that waits ends on the server, too,
//! soon after nobody reads its answer any more ([`WAITS`]). Does not promise anything about what is asked: the texts are
//! the caller's. Held by: `tests/it/roles.rs`.

use crate::asking::{self, Part};
use crate::error::{Error, Result, Side};
use crate::login::backend::Target;
use crate::message::DecodeError;
use std::time::Duration;

/// All rows of an answer together, in bytes.
const MOST: usize = 8 << 20;

/// What a connection that is closed in the middle would leave waiting on the server: it looks at its client only when it
/// writes. A lock that somebody holds is waited for the next time.
const WAITS: [(&str, &str); 2] = [("lock_timeout", "2s"), ("statement_timeout", "8s")];

/// `undefined_object`.
const GONE: &str = "42704";

/// `dependent_objects_still_exist`.
const OWNS: &str = "2BP01";

/// A row in text form.
pub(super) type Row = Vec<Option<String>>;

/// What became of a statement about a role.
pub(super) enum Told {
    Done,
    /// There is no such role.
    Gone,
    /// Something is its, or was granted to it.
    Owns,
    /// Anything else that the server said against it.
    Refused(Error),
}

impl Told {
    /// Whether the role is there and not what it was to be; the log says why.
    pub(super) fn is_left(&self, role: &str, wanted: &'static str) -> bool {
        match self {
            Self::Done | Self::Gone => return false,
            Self::Owns => tracing::warn!(%role, "the role of a session is not {wanted} yet: it owns something"),
            Self::Refused(error) => tracing::warn!(%role, %error, "the role of a session is not {wanted} yet"),
        }
        true
    }
}

/// An open connection.
pub(super) struct Asking {
    connection: asking::Asking,
    patience: Duration,
}

impl Asking {
    /// Logs in.
    pub(super) async fn open(target: &Target) -> Result<Self> {
        let settings = [("DateStyle", "ISO"), ("TimeZone", "UTC")].into_iter().chain(WAITS);
        let settings = settings.map(|(name, value)| (name, value.to_owned())).collect();
        Ok(Self { connection: asking::Asking::open(target, settings, MOST).await?, patience: target.timeout })
    }

    /// Runs a text: the rows of as many results as are asked for.
    pub(super) async fn ask<const RESULTS: usize>(&mut self, text: &str) -> Result<[Vec<Row>; RESULTS]> {
        let mut results = [const { Vec::new() }; RESULTS];
        let mut begun = 0_usize;
        let asked = self.connection.query(text, |part| {
            match part {
                Part::Result => begun += 1,
                Part::Row(row) => {
                    let text = |bytes| std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DecodeError::Text);
                    let row = row.cells().map(|cell| cell?.map(text).transpose());
                    let row: Row = row.collect::<std::result::Result<_, _>>()?;
                    // What nobody asked for is read and left.
                    if let Some(rows) = results.get_mut(begun.saturating_sub(1)) {
                        rows.push(row);
                    }
                }
                Part::Parameters(_) => {}
            }
            Ok(())
        });
        let late = |_| Error::Timeout { side: Side::Backend, doing: "answering the gateway" };
        tokio::time::timeout(self.patience, asked).await.map_err(late)??;
        Ok(results)
    }

    /// Runs a text about a role. An error is one of the connection.
    pub(super) async fn tell(&mut self, text: &str) -> Result<Told> {
        match self.ask(text).await {
            Ok([]) => Ok(Told::Done),
            Err(Error::BackendFailed { code, .. }) if code == GONE => Ok(Told::Gone),
            Err(Error::BackendFailed { code, .. }) if code == OWNS => Ok(Told::Owns),
            Err(error @ Error::BackendFailed { .. }) => Ok(Told::Refused(error)),
            Err(error) => Err(error),
        }
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        self.connection.close(None).await;
    }
}
