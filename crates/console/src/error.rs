//! What goes wrong at the API, and how it is said: problem details (RFC 9457) with a next step, no internal detail.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Why a request was not met.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ApiError {
    /// Client: no acceptable proof.
    #[error("present a valid token as `authorization: Bearer TOKEN`")]
    NotAuthenticated,
    /// Client: the principal has not the role.
    #[error("this needs the role `{0}`: a group listed under identity.roles.{0}")]
    NotPermitted(&'static str),
    /// Client: it may not do this here, whatever its roles.
    #[error("{0}")]
    Forbidden(String),
    /// Client: the request is not of the right form.
    #[error("{0}")]
    BadRequest(String),
    /// Client: there is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// Client: it cannot be done as things stand.
    #[error("{0}")]
    Conflict(String),
    /// Gateway: the change was not recorded, so it was not made.
    #[error("the record cannot be written; nothing was changed")]
    RecordUnavailable,
    /// Gateway: its log says why.
    #[error("the gateway could not do this; its log says why")]
    Internal,
}

#[derive(Serialize)]
struct ProblemDetails {
    title: &'static str,
    status: u16,
    detail: String,
}

impl From<portcullis_audit::RecordUnavailable> for ApiError {
    fn from(_: portcullis_audit::RecordUnavailable) -> Self {
        Self::RecordUnavailable
    }
}

impl ApiError {
    /// Logs what a client must not read, once, and answers with the general words.
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "an API request failed");
        Self::Internal
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::NotAuthenticated => StatusCode::UNAUTHORIZED,
            Self::NotPermitted(_) | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::RecordUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let details = ProblemDetails {
            title: status.canonical_reason().unwrap_or("error"),
            status: status.as_u16(),
            detail: self.to_string(),
        };
        let mut response = (status, Json(details)).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

pub(crate) async fn no_such_route() -> ApiError {
    ApiError::NotFound("there is no such route".to_owned())
}
