//! Open sessions: listing them, ending one at once, and keeping one's own with a new login.

use crate::Api;
use crate::caller::{Admin, Caller};
use crate::error::ApiError;
use crate::tokens::told;
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

/// What a new login keeps open.
#[derive(Serialize)]
pub(crate) struct Kept {
    until: Timestamp,
    /// Of this gateway; others of the same store hear of it.
    sessions: usize,
}

pub(crate) async fn renew(State(api): State<Arc<Api>>, Caller(by): Caller) -> Result<Json<Kept>, ApiError> {
    let until = api.identity.renew(&by, Timestamp::now()).await.map_err(told)?;
    api.journal.record(&by.principal, AdminAction::SessionsRenewed { until })?;
    let open = api.journal.gate().map(|gate| gate.sessions()).unwrap_or_default();
    let sessions = open.iter().filter(|open| by.principal.differs_in_credential_only(&open.principal)).count();
    Ok(Json(Kept { until, sessions }))
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
