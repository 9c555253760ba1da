//! Requests for approval: what waits, voting on it, and the grants that came of it.
//!
//! Promises: a vote counts only for whoever logged in interactively within the last five minutes (DESIGN 3) and still stands
//! when all of it is there, and is in the record; where that cannot be written the request is withdrawn, so that nothing runs on a vote that nobody can prove; no
//! number of requests keeps one that waits out of the listing.
//! Does not promise that a command ran: its own record says so.
//! Held by: `tests/it`.

use crate::Api;
use crate::caller::{ApprovalReader, Approver, Asked, Revoker};
use crate::error::ApiError;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use portcullis_approvals::{Ballot, DeskError, GrantError, GrantShown, Shown, State as Standing, Vote, VoteError};
use portcullis_model::{AdminAction, ApprovalId, GrantId, Principal};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// What a voter says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    approve: bool,
    /// With a yes: for how long it asks for a grant, as in `20m`.
    #[serde(rename = "for")]
    grant: Option<String>,
}

impl Said {
    fn grant(&self) -> Result<Option<Duration>, ApiError> {
        let Some(text) = &self.grant else { return Ok(None) };
        if !self.approve {
            return Err(ApiError::BadRequest("only a yes asks for a grant".to_owned()));
        }
        let read = text.parse::<SignedDuration>().ok().and_then(|length| Duration::try_from(length).ok());
        let read = read.filter(|length| length.as_secs() > 0);
        read.map(Some).ok_or_else(|| ApiError::BadRequest(format!("`{text}` is not a time such as `20m` or `1h`")))
    }
}

/// What a vote led to.
#[derive(Serialize)]
pub(crate) struct Counted {
    state: Standing,
    missing: u32,
}

/// How many requests that are over a listing holds where nobody says, and at most.
const LISTED: (usize, usize) = (200, 1000);

/// Which requests are listed.
#[derive(Deserialize)]
pub(crate) struct Listing {
    /// How many of those that are over.
    last: Option<usize>,
    /// Those that nobody can decide or use any more, too.
    #[serde(default)]
    all: bool,
}

/// All that can be decided or used, however many there are: nobody's requests hide another's. Of those that are over, where
/// they are asked for, the newest. Oldest first.
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    ApprovalReader(caller): ApprovalReader,
    Query(wanted): Query<Listing>,
) -> Result<Json<Vec<Shown>>, ApiError> {
    let mut found = api.desk.list().await.map_err(desk)?;
    let is_over = |shown: &Shown| !matches!(shown.state, Standing::Open | Standing::Approved);
    let (usual, most) = LISTED;
    let kept = if wanted.all { wanted.last.unwrap_or(usual).min(most) } else { 0 };
    let mut cut = found.iter().filter(|shown| is_over(shown)).count().saturating_sub(kept);
    found.retain(|shown| {
        let goes = is_over(shown) && cut > 0;
        cut -= usize::from(goes);
        !goes
    });
    found.iter_mut().for_each(|shown| hide_preview(shown, &caller.principal));
    Ok(Json(found))
}

pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    ApprovalReader(caller): ApprovalReader,
    Path(id): Path<String>,
) -> Result<Json<Shown>, ApiError> {
    let mut shown = api.desk.show(parse(&id)?).await.map_err(desk)?;
    hide_preview(&mut shown, &caller.principal);
    Ok(Json(shown))
}

/// Whoever asks learns nothing by asking: how many rows match is for others. The record has it, which is kept from no
/// auditor: one who asks reads it there.
fn hide_preview(shown: &mut Shown, reader: &Principal) {
    if shown.request.is_of(reader) {
        shown.request.preview = None;
    }
}

pub(crate) async fn vote(
    State(api): State<Arc<Api>>,
    Approver(caller): Approver,
    Path(id): Path<String>,
    Asked(said): Asked<Said>,
) -> Result<Json<Counted>, ApiError> {
    let id = parse(&id)?;
    let grant = said.grant()?;
    let ballot = if said.approve { Ballot::Yes } else { Ballot::No };
    let vote = match caller.interactive {
        Some(at) => Vote::new(caller.principal.clone(), at, Timestamp::now(), ballot),
        None => Err(portcullis_approvals::NotAVoter::NotInteractive),
    };
    let vote = vote.map_err(|error| ApiError::Forbidden(error.to_string()))?;
    let vote = match grant {
        Some(length) => vote.granting(length),
        None => vote,
    };
    let tally = api.desk.vote(id, &vote).await.map_err(refused)?;
    let change = AdminAction::ApprovalVoted {
        approval: id,
        approve: said.approve,
        grant_seconds: grant.map(|length| length.as_secs()),
    };
    if let Err(error) = api.journal.record(&caller.principal, change) {
        // Whoever claimed it already met the same record, and sends nothing on it.
        api.desk.withdraw(id).await.map_err(desk)?;
        return Err(error);
    }
    Ok(Json(Counted { state: tally.state, missing: tally.missing }))
}

/// Every grant that is kept.
pub(crate) async fn grants(State(api): State<Arc<Api>>, _: ApprovalReader) -> Result<Json<Vec<GrantShown>>, ApiError> {
    api.desk.grants().map(Json).map_err(desk)
}

/// Ends a grant. It takes away and gives nothing, so that any approver may, without a fresh login, and an administrator.
pub(crate) async fn revoke(
    State(api): State<Arc<Api>>,
    Revoker(caller): Revoker,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id: GrantId = id.parse().map_err(|_| ApiError::BadRequest(format!("`{id}` is not the id of a grant")))?;
    api.desk.revoke(id, &caller.principal.user).await.map_err(|error| match error {
        GrantError::NotFound(_) => ApiError::NotFound(error.to_string()),
        GrantError::Ended => ApiError::Conflict(error.to_string()),
        GrantError::Desk(error) => desk(error),
        other => ApiError::internal(other),
    })?;
    api.journal.record(&caller.principal, AdminAction::GrantRevoked { grant: id })?;
    Ok(StatusCode::NO_CONTENT)
}

fn parse(id: &str) -> Result<ApprovalId, ApiError> {
    id.parse().map_err(|_| ApiError::BadRequest(format!("`{id}` is not the id of a request for approval")))
}

fn refused(error: VoteError) -> ApiError {
    match error {
        VoteError::NotAVoter(_) | VoteError::OwnRequest | VoteError::NotNamed => ApiError::Forbidden(error.to_string()),
        VoteError::NoGrant | VoteError::GrantTooLong { .. } => ApiError::BadRequest(error.to_string()),
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
