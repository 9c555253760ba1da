//! What a held command would write, as far as that can be told before it runs.
//!
//! Promises: a number that the database's planner estimated never reads as one that was counted; where there is neither, a
//! few words say why, and they hold nothing that a backend said.
//! Does not promise that as many rows are written when the command runs: other sessions write meanwhile, and triggers,
//! rules and foreign keys write more or less.
//! Held by: the tests below and `protocols/postgres/tests/it/previews.rs`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What a held command would write: `{"estimate": 12}`, `{"count": 12}` or `{"none": "it is locked"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preview {
    /// About so many rows, by what the database knows of its tables.
    Estimate(u64),
    /// So many rows at the moment at which people were asked.
    Count(u64),
    /// It cannot be told, for this reason.
    None(Arc<str>),
}

impl Preview {
    /// It cannot be told.
    #[must_use]
    pub fn none(why: impl Into<Arc<str>>) -> Self {
        Self::None(why.into())
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = |many: &u64| if *many == 1 { "row" } else { "rows" };
        match self {
            Self::Estimate(many) => write!(f, "about {many} {}, as the planner estimates", rows(many)),
            Self::Count(many) => write!(f, "{many} {}, counted", rows(many)),
            Self::None(why) => write!(f, "no preview: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_never_reads_as_a_count() {
        for (preview, json, words) in [
            (Preview::Estimate(1), r#"{"estimate":1}"#, "about 1 row, as the planner estimates"),
            (Preview::Count(2), r#"{"count":2}"#, "2 rows, counted"),
            (Preview::none("it is locked"), r#"{"none":"it is locked"}"#, "no preview: it is locked"),
        ] {
            assert_eq!(serde_json::to_string(&preview).unwrap(), json);
            assert_eq!(serde_json::from_str::<Preview>(json).unwrap(), preview);
            assert_eq!(preview.to_string(), words);
        }
    }
}
