//! Requests for approval: what waits, and voting on it.
//!
//! Promises: a vote counts only for whoever logged in interactively within the last five minutes (DESIGN 3), and is in the
//! record; where that cannot be written the request is withdrawn, so that nothing runs on a vote that nobody can prove.
//! Does not promise that a command ran: its own record says so.
//! Held by: `tests/it`.

use crate::Api;
use crate::caller::{ApprovalReader, Approver};
use crate::error::ApiError;
use axum::Json;
use axum::extract::{Path, Query, State};
use jiff::Timestamp;
use portcullis_approvals::{Ballot, DeskError, Shown, State as Standing, Vote, VoteError};
use portcullis_model::{AdminAction, ApprovalId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a voter says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    approve: bool,
}

/// What a vote led to.
#[derive(Serialize)]
pub(crate) struct Counted {
    state: Standing,
    missing: u32,
}

/// How many requests a listing holds where nobody says, and at most.
const LISTED: (usize, usize) = (200, 1000);

/// Which requests are listed.
#[derive(Deserialize)]
pub(crate) struct Listing {
    last: Option<usize>,
    /// Those that nobody can decide or use any more, too.
    #[serde(default)]
    all: bool,
}

/// The newest of them, oldest first.
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    _: ApprovalReader,
    Query(wanted): Query<Listing>,
) -> Result<Json<Vec<Shown>>, ApiError> {
    let mut found = api.desk.list().await.map_err(desk)?;
    found.retain(|shown| wanted.all || matches!(shown.state, Standing::Open | Standing::Approved));
    let (usual, most) = LISTED;
    let rest = found.len().saturating_sub(wanted.last.unwrap_or(usual).min(most));
    Ok(Json(found.split_off(rest)))
}

pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    _: ApprovalReader,
    Path(id): Path<String>,
) -> Result<Json<Shown>, ApiError> {
    api.desk.show(parse(&id)?).await.map(Json).map_err(desk)
}

pub(crate) async fn vote(
    State(api): State<Arc<Api>>,
    Approver(caller): Approver,
    Path(id): Path<String>,
    Json(said): Json<Said>,
) -> Result<Json<Counted>, ApiError> {
    let id = parse(&id)?;
    let ballot = if said.approve { Ballot::Yes } else { Ballot::No };
    let vote = match caller.interactive {
        Some(at) => Vote::new(caller.principal.clone(), at, Timestamp::now(), ballot),
        None => Err(portcullis_approvals::NotAVoter::NotInteractive),
    };
    let vote = vote.map_err(|error| ApiError::Forbidden(error.to_string()))?;
    let tally = api.desk.vote(id, &vote).await.map_err(refused)?;
    let change = AdminAction::ApprovalVoted { approval: id, approve: said.approve };
    if let Err(error) = api.journal.record(&caller.principal, change) {
        // Whoever claimed it already met the same record, and sends nothing on it.
        api.desk.withdraw(id).await.map_err(desk)?;
        return Err(error);
    }
    Ok(Json(Counted { state: tally.state, missing: tally.missing }))
}

fn parse(id: &str) -> Result<ApprovalId, ApiError> {
    id.parse().map_err(|_| ApiError::BadRequest(format!("`{id}` is not the id of a request for approval")))
}

fn refused(error: VoteError) -> ApiError {
    match error {
        VoteError::NotAVoter(_) | VoteError::OwnRequest | VoteError::NotNamed => ApiError::Forbidden(error.to_string()),
        VoteError::AlreadyVoted | VoteError::Decided(_) => ApiError::Conflict(error.to_string()),
        VoteError::Desk(error) => desk(error),
        other => ApiError::internal(other),
    }
}

fn desk(error: DeskError) -> ApiError {
    match error {
        DeskError::Closed => ApiError::Conflict(
            "nobody can approve here: no gateway runs on this store, or none of its identity providers lets people log in"
                .to_owned(),
        ),
        DeskError::NotFound(_) => ApiError::NotFound(error.to_string()),
        other => ApiError::internal(other),
    }
}
