//! Putting changed bundles into force.

use crate::Api;
use crate::caller::Admin;
use crate::error::ApiError;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub(crate) struct Reloaded {
    /// The digest of the set in force afterwards.
    policy: String,
    accepted: bool,
    problems: Vec<String>,
}

pub(crate) async fn reload(State(api): State<Arc<Api>>, _: Admin) -> Result<Json<Reloaded>, ApiError> {
    let (Some(reload), Some(gate)) = (&api.reload, api.journal.gate()) else {
        return Err(ApiError::Conflict("no gateway runs; it reads its bundles when it starts".to_owned()));
    };
    let (accepted, problems) = match reload() {
        Ok(warnings) => (true, warnings),
        Err(problems) => (false, problems),
    };
    let policy = gate.with_policy(|set| set.digest().to_string());
    Ok(Json(Reloaded { policy, accepted, problems: problems.iter().map(ToString::to_string).collect() }))
}
