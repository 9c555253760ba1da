//! Open sessions: listing them, and ending one at once.

use crate::Api;
use crate::caller::Admin;
use crate::error::ApiError;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use portcullis_model::{AdminAction, SessionId};
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub(crate) struct Open {
    id: SessionId,
    user: Arc<str>,
    connection: String,
    client: Arc<str>,
    started: Timestamp,
}

pub(crate) async fn list(State(api): State<Arc<Api>>, _: Admin) -> Json<Vec<Open>> {
    let sessions = api.journal.gate().map(|gate| gate.sessions()).unwrap_or_default();
    Json(
        sessions
            .into_iter()
            .map(|session| Open {
                id: session.id,
                user: session.principal.user,
                connection: session.connection.name.to_string(),
                client: session.client,
                started: session.started,
            })
            .collect(),
    )
}

pub(crate) async fn end(
    State(api): State<Arc<Api>>,
    Admin(by): Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id: SessionId = id.parse().map_err(|_| ApiError::BadRequest(format!("`{id}` is not a session's id")))?;
    if !api.journal.gate().is_some_and(|gate| gate.kill(id)) {
        return Err(ApiError::NotFound(format!("session {id} is not open here")));
    }
    api.journal.record(&by.principal, AdminAction::SessionKilled { session: id })?;
    Ok(StatusCode::NO_CONTENT)
}
