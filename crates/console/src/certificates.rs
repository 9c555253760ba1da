//! SSH certificates of logins: whoever logged in gets one for a public key. Recorded, listed and revoked as tokens are.

use crate::Api;
use crate::caller::{Asked, Caller};
use crate::error::ApiError;
use crate::tokens::told;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use portcullis_model::{AdminAction, TokenId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A request for a certificate.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// As OpenSSH writes it, on one line.
    public_key: String,
}

#[derive(Serialize)]
pub(crate) struct Certified {
    /// Of its record: what `DELETE /api/v1/tokens/ID` takes.
    id: TokenId,
    certificate: String,
    user: Arc<str>,
    expires: Timestamp,
    /// The key by which SSH clients know the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_key: Option<Arc<str>>,
}

pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    Caller(by): Caller,
    Asked(wanted): Asked<Wanted>,
) -> Result<(StatusCode, Json<Certified>), ApiError> {
    let made = api.identity.certify_login(&wanted.public_key, &by, Timestamp::now()).await.map_err(told)?;
    let user = Arc::clone(&by.principal.user);
    let groups = by.principal.groups.iter().cloned().collect();
    let (key, expires) = (made.key, made.expires);
    let change = AdminAction::LoginCertified { token: made.id, user: Arc::clone(&user), groups, key, expires };
    if let Err(error) = api.journal.record(&by.principal, change) {
        // One that the record does not know of must not be valid.
        api.identity.revoke_token(made.id, &by, Timestamp::now()).await.map_err(ApiError::internal)?;
        return Err(error);
    }
    let host_key = api.ssh_host_key.clone();
    let certified = Certified { id: made.id, certificate: made.certificate, user, expires, host_key };
    Ok((StatusCode::CREATED, Json(certified)))
}
