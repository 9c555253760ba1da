//! Tokens: make, list, revoke, and what identity providers gave revoked. The text of a token is in one answer and nowhere
//! else.

use crate::Api;
use crate::caller::{Admin, Asked};
use crate::error::ApiError;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use portcullis_identity::{IdentityError, NewToken, Revocation, TokenInfo};
use portcullis_model::{AdminAction, TokenId};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A request for a token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    user: Arc<str>,
    #[serde(default)]
    groups: Vec<Arc<str>>,
    /// As in `30m` or `8h`.
    ttl: Option<String>,
}

impl Wanted {
    fn request(&self) -> Result<NewToken, ApiError> {
        let mut request = NewToken::for_user(Arc::clone(&self.user));
        request.groups = self.groups.iter().cloned().collect();
        if let Some(ttl) = &self.ttl {
            let life: SignedDuration = ttl
                .parse()
                .map_err(|_| ApiError::BadRequest(format!("`{ttl}` is not a time such as `30m` or `8h`")))?;
            let life = life.try_into().map_err(|_| ApiError::BadRequest("a token lasts at least 1s".to_owned()))?;
            request.ttl = Some(life);
        }
        Ok(request)
    }
}

#[derive(Serialize)]
pub(crate) struct Made {
    id: TokenId,
    token: String,
    expires: Timestamp,
}

pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    Admin(by): Admin,
    Asked(wanted): Asked<Wanted>,
) -> Result<(StatusCode, Json<Made>), ApiError> {
    let made = api.identity.create_token(wanted.request()?, &by, Timestamp::now()).await.map_err(told)?;
    let change =
        AdminAction::TokenCreated { token: made.id, user: wanted.user, groups: wanted.groups, expires: made.expires };
    if let Err(error) = api.journal.record(&by.principal, change) {
        // A token that the record does not know of must not be valid.
        api.identity.revoke_token(made.id, &by, Timestamp::now()).await.map_err(ApiError::internal)?;
        return Err(error);
    }
    let token = made.text.expose_secret().to_owned();
    Ok((StatusCode::CREATED, Json(Made { id: made.id, token, expires: made.expires })))
}

pub(crate) async fn list(State(api): State<Arc<Api>>, _: Admin) -> Result<Json<Vec<TokenInfo>>, ApiError> {
    api.identity.list_tokens().await.map(Json).map_err(told)
}

pub(crate) async fn revoke(
    State(api): State<Arc<Api>>,
    Admin(by): Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id: TokenId = id.parse().map_err(|_| ApiError::BadRequest(format!("`{id}` is not a token's id")))?;
    // Revoked before it is recorded: a record that fails must not keep a token alive.
    match api.identity.revoke_token(id, &by, Timestamp::now()).await.map_err(told)? {
        Revocation::Revoked { .. } => api.journal.record(&by.principal, AdminAction::TokenRevoked { token: id })?,
        Revocation::AlreadyRevoked { .. } => {}
        Revocation::Unknown => return Err(ApiError::NotFound(format!("no token has the id {id}"))),
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Whose logins end.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Person {
    issuer: Arc<str>,
    subject: Arc<str>,
}

pub(crate) async fn revoke_logins(
    State(api): State<Arc<Api>>,
    Admin(by): Admin,
    Asked(person): Asked<Person>,
) -> Result<StatusCode, ApiError> {
    // Revoked before it is recorded, as a token is.
    api.identity.revoke_oidc(&person.issuer, &person.subject, &by, Timestamp::now()).await.map_err(told)?;
    let change = AdminAction::LoginsRevoked { issuer: person.issuer, subject: person.subject };
    api.journal.record(&by.principal, change)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn told(error: IdentityError) -> ApiError {
    match error {
        IdentityError::Invalid(why) => ApiError::BadRequest(why),
        IdentityError::NoLongerStands => ApiError::NotAuthenticated,
        other => ApiError::internal(other),
    }
}

/// Reads arbitrary bytes as the body of a request for a token; panics where it asks for what the body does not say.
pub fn fuzz_token_request(data: &[u8]) {
    let Ok(wanted) = serde_json::from_slice::<Wanted>(data) else { return };
    let Ok(request) = wanted.request() else { return };
    assert_eq!(request.user, wanted.user, "for somebody else");
    assert!(request.groups.iter().all(|group| wanted.groups.contains(group)), "in a group that was not named");
    assert_eq!(request.ttl.is_some(), wanted.ttl.is_some(), "for another time");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_asks_for_what_its_body_says() {
        for body in [
            r#"{"user":"a","groups":["g"],"ttl":"30m"}"#,
            r#"{"user":"a","ttl":"-1s"}"#,
            r#"{"user":"a","ttl":"9223372036854775807s"}"#,
            r#"{"user":"a","ttl":"1y"}"#,
            r#"{"user":"a","more":1}"#,
            r#"{"user":"\ud800"}"#,
            "[]",
            "",
        ] {
            fuzz_token_request(body.as_bytes());
        }
        let wanted: Wanted = serde_json::from_str(r#"{"user":"a","ttl":"30m"}"#).unwrap();
        assert_eq!(wanted.request().unwrap().ttl, Some(std::time::Duration::from_secs(1800)));
    }
}
