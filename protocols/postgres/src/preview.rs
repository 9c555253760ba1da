//! What a held statement would write, asked of the database before people are.
//!
//! Promises: asked over a connection of the gateway's own, never the client's, in a transaction that only reads and is
//! rolled back, under the session's role and search path, with the very values of its Bind, read as the session reads
//! them; nothing is planned or counted before the database itself has said, of the very statement that it has read by
//! then, that no code of users runs in its tables and that nothing of users has a name that it uses
//! (`preview/checks.rs`); few at once, each over in [`PATIENCE`]. Whatever fails is a [`Preview::None`] in the gateway's own
//! words. Dropping it leaves the connection, and the database ends what runs there after its own timeout.
//! Does not promise that nothing changes between two of its steps but the tables that the statement names, which stay
//! locked.
//! Held by: `protocols/postgres/tests/it/previews.rs` against real servers.

mod ask;
mod checks;

use crate::login::backend::Target;
use crate::startup::Setting;
use ask::Asking;
use bytes::Bytes;
use checks::{Checks, passed};
use portcullis_model::Preview;
use portcullis_sql::Question;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Previews of one database at once.
pub(crate) const AT_ONCE: usize = 4;

/// Nobody waits longer for one, the wait for others included.
const PATIENCE: Duration = Duration::from_secs(2);

/// A preview as far as the session's core makes it.
pub(crate) enum Foretold {
    /// Nobody is asked.
    Said(Preview),
    /// The database is.
    Ask(Box<Wanted>),
}

/// What the database is asked.
pub(crate) struct Wanted {
    pub(crate) question: Question,
    /// Count, not only estimate.
    pub(crate) counts: bool,
    /// The types of its parameters, as far as they were declared, and the body of the Bind that has their values.
    pub(crate) bound: Option<(Arc<[u32]>, Bytes)>,
    /// How the session reads values.
    pub(crate) settings: Vec<Setting>,
    /// Its transaction may have a snapshot already, where its isolation gives it one.
    pub(crate) open: bool,
}

/// Where previews are asked.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) target: Arc<Target>,
    pub(crate) turns: Arc<Semaphore>,
}

impl Place {
    /// Makes the preview.
    pub(crate) async fn foretell(self, foretold: Foretold) -> Preview {
        let wanted = match foretold {
            Foretold::Said(preview) => return preview,
            Foretold::Ask(wanted) => wanted,
        };
        // An estimate stays where counting takes too long.
        let mut estimate = None;
        let made = tokio::time::timeout(PATIENCE, self.ask(&wanted, &mut estimate)).await;
        let made = made.unwrap_or(Err(ask::TOO_LONG));
        match (made, estimate) {
            (Ok(preview), _) => preview,
            (Err(ask::TOO_LONG), Some(rows)) => Preview::Estimate(rows),
            // Whoever writes the statement may have made the count fail, and the estimate small.
            (Err(why), _) => Preview::none(why),
        }
    }

    async fn ask(&self, wanted: &Wanted, estimate: &mut Option<u64>) -> Result<Preview, &'static str> {
        let _turn = self.turns.acquire().await.map_err(|_| "the gateway stops")?;
        let mut asking = Asking::open(&self.target, &wanted.settings).await?;
        let made = converse(&mut asking, wanted, estimate).await;
        asking.close().await;
        made
    }
}

async fn converse(asking: &mut Asking, wanted: &Wanted, estimate: &mut Option<u64>) -> Result<Preview, &'static str> {
    let question = &wanted.question;
    let checks = Checks::new(question, wanted.open)?;
    // Parsing reads constants, so the tables that are named are looked at before.
    passed(asking.query(&checks.opening()).await?.as_deref())?;
    let (declared, bind) = wanted.bound.as_ref().map_or((&[][..], None), |(types, bind)| (&**types, Some(bind)));
    let types = asking.prepare("p", &question.plan, declared).await?;
    // The tables that it means are locked by now: what is said of them holds until it was planned.
    passed(asking.query(&checks.locked(&types)).await?.as_deref())?;
    if let Some(rows) = question.known {
        return Ok(Preview::Count(rows));
    }
    let plan = asking.run("p", bind).await?;
    let rows = rows_of(&plan).ok_or("its plan is not one of a write")?;
    *estimate = Some(rows);
    if wanted.counts
        && let Some(count) = &question.count
    {
        asking.prepare("c", count, &types).await?;
        passed(asking.query(&checks.locked(&types)).await?.as_deref())?;
        let counted = asking.run("c", bind).await?;
        return counted.parse().map(Preview::Count).map_err(|_| "the count is no number");
    }
    Ok(Preview::Estimate(rows))
}

/// The rows that a plan expects to write: those of what feeds its one write.
fn rows_of(plan: &str) -> Option<u64> {
    let document: serde_json::Value = serde_json::from_str(plan).ok()?;
    let write = document.pointer("/0/Plan")?;
    if write.get("Node Type")?.as_str()? != "ModifyTable" {
        return None;
    }
    let feeds = |plan: &&serde_json::Value| {
        let relationship = plan.get("Parent Relationship").and_then(serde_json::Value::as_str);
        matches!(relationship, Some("Outer" | "Member"))
    };
    let plans = write.get("Plans").and_then(serde_json::Value::as_array);
    // A condition that nothing meets leaves nothing to feed it.
    let fed = plans.into_iter().flatten().filter(feeds);
    fed.map(|plan| plan.get("Plan Rows")?.as_u64()).try_fold(0_u64, |sum, rows| Some(sum.saturating_add(rows?)))
}

#[cfg(test)]
mod tests {
    use super::rows_of;

    #[test]
    fn the_rows_of_a_plan_are_those_that_feed_its_write() {
        let feeds =
            |rows: &str| format!(r#"{{"Node Type": "Seq Scan", "Parent Relationship": "Outer", "Plan Rows": {rows}}}"#);
        let init = r#"{"Node Type": "Result", "Parent Relationship": "InitPlan", "Plan Rows": 99}"#;
        let write = |plans: &str| {
            format!(r#"[{{"Plan": {{"Node Type": "ModifyTable", "Plan Rows": 0, "Plans": [{plans}]}}}}]"#)
        };
        for (plan, rows) in [
            (write(&feeds("7")), Some(7)),
            (write(&format!("{init}, {}", feeds("7"))), Some(7)),
            (write(&format!("{}, {}", feeds("7"), feeds("5"))), Some(12)),
            (write(&format!("{0}, {0}", feeds("18446744073709551615"))), Some(u64::MAX)),
            (write(&feeds("-1")), None),
            (write(&feeds("\"7\"")), None),
            (r#"[{"Plan": {"Node Type": "ModifyTable"}}]"#.to_owned(), Some(0)),
            (r#"[{"Plan": {"Node Type": "Seq Scan", "Plan Rows": 7}}]"#.to_owned(), None),
            ("[]".to_owned(), None),
            ("{".to_owned(), None),
        ] {
            assert_eq!(rows_of(&plan), rows, "{plan}");
        }
    }
}
