//! Who calls the API, and which role a route needs.
//!
//! Promises: a handler that takes an [`Admin`], [`Auditor`] or [`Approver`] runs only for a caller with that role, and one
//! that takes an [`ApprovalReader`] for one with either of the last two, since taking one is the only way to name the
//! caller there; one that takes an [`Asked`] runs only for a caller who still stood when all of the body was there, however
//! slowly it came. Held by: `tests/it`.

use crate::error::ApiError;
use crate::{Api, Endpoint, Login};
use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use portcullis_identity::{Authenticated, Role, Standing};
use portcullis_model::Connection;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A caller that proved itself to the transport: the local administrator, or the bearer of a token.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Authenticated);

/// A caller with the role `admin`.
pub(crate) struct Admin(pub(crate) Authenticated);

/// A caller with the role `auditor`.
pub(crate) struct Auditor;

/// A caller with the role `approver`.
pub(crate) struct Approver(pub(crate) Authenticated);

/// A caller with the role `approver`, or one that reads the record anyway.
pub(crate) struct ApprovalReader(pub(crate) Authenticated);

/// A caller that may take a grant away: an approver or an administrator.
pub(crate) struct Revoker(pub(crate) Authenticated);

/// What a caller asks for in the body of a request, as JSON. The caller was judged when the headers were there.
pub(crate) struct Asked<T>(pub(crate) T);

fn caller(parts: &Parts) -> Result<Authenticated, ApiError> {
    parts.extensions.get::<Caller>().map(|caller| caller.0.clone()).ok_or(ApiError::NotAuthenticated)
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _api: &Arc<Api>) -> Result<Self, ApiError> {
        caller(parts).map(Self)
    }
}

impl FromRequestParts<Arc<Api>> for Admin {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        let caller = caller(parts)?;
        if api.roles.has(&caller.principal, Role::Admin) {
            Ok(Self(caller))
        } else {
            Err(ApiError::NotPermitted("admin"))
        }
    }
}

impl FromRequestParts<Arc<Api>> for Auditor {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        let caller = caller(parts)?;
        if api.roles.has(&caller.principal, Role::Auditor) { Ok(Self) } else { Err(ApiError::NotPermitted("auditor")) }
    }
}

impl FromRequestParts<Arc<Api>> for Approver {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        let caller = caller(parts)?;
        if api.roles.has(&caller.principal, Role::Approver) {
            Ok(Self(caller))
        } else {
            Err(ApiError::NotPermitted("approver"))
        }
    }
}

impl FromRequestParts<Arc<Api>> for ApprovalReader {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        let caller = caller(parts)?;
        let may = [Role::Approver, Role::Auditor].iter().any(|role| api.roles.has(&caller.principal, *role));
        if may { Ok(Self(caller)) } else { Err(ApiError::NotPermitted("approver")) }
    }
}

impl FromRequestParts<Arc<Api>> for Revoker {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        let caller = caller(parts)?;
        let may = [Role::Approver, Role::Admin].iter().any(|role| api.roles.has(&caller.principal, *role));
        if may { Ok(Self(caller)) } else { Err(ApiError::NotPermitted("approver")) }
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Asked<T> {
    type Rejection = Response;
    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Response> {
        let caller = request.extensions().get::<Caller>().cloned();
        let Json(asked) = Json::from_request(request, api).await.map_err(|wrong| wrong.into_response())?;
        match caller.map(|Caller(by)| api.identity.standing(&by, Timestamp::now())) {
            Some(Standing::Good) => Ok(Self(asked)),
            Some(Standing::Expired | Standing::Revoked) | None => Err(ApiError::NotAuthenticated.into_response()),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Who {
    user: Arc<str>,
    issuer: Arc<str>,
    groups: BTreeSet<Arc<str>>,
    roles: Vec<&'static str>,
    expires: Option<Timestamp>,
    /// When it logged in itself, where its provider says so: what a vote asks for.
    logged_in: Option<Timestamp>,
}

pub(crate) async fn whoami(State(api): State<Arc<Api>>, Caller(caller): Caller) -> Json<Who> {
    let roles = api.roles.of(&caller.principal).into_iter().map(|role| match role {
        Role::Admin => "admin",
        Role::Auditor => "auditor",
        Role::Approver => "approver",
    });
    Json(Who {
        user: Arc::clone(&caller.principal.user),
        issuer: Arc::clone(&caller.principal.issuer),
        roles: roles.collect(),
        groups: caller.principal.groups,
        expires: caller.expires,
        logged_in: caller.interactive,
    })
}

/// Where people log in: what anybody may know, since nobody has a token before.
pub(crate) async fn logins(State(api): State<Arc<Api>>) -> Json<Vec<Login>> {
    Json(api.logins.clone())
}

/// What a principal may know of a connection: where to connect, not where it leads.
#[derive(Serialize)]
pub(crate) struct Listed {
    name: String,
    protocol: &'static str,
    database: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    tls: Option<bool>,
}

impl Listed {
    fn of(connection: &Connection, endpoints: &[Endpoint]) -> Self {
        let endpoint = endpoints.iter().find(|endpoint| endpoint.protocol == connection.protocol);
        Self {
            name: connection.name.to_string(),
            protocol: connection.protocol.word(),
            database: connection.database.as_ref().map(ToString::to_string),
            host: endpoint.map(|endpoint| endpoint.address.ip().to_string()),
            port: endpoint.map(|endpoint| endpoint.address.port()),
            tls: endpoint.map(|endpoint| endpoint.tls),
        }
    }
}

pub(crate) async fn connections(State(api): State<Arc<Api>>, _: Caller) -> Json<Vec<Listed>> {
    Json(api.connections.iter().map(|connection| Listed::of(connection, &api.endpoints)).collect())
}

/// The authority that clients verify the gateway with.
pub(crate) async fn authority(State(api): State<Arc<Api>>, _: Caller) -> Result<Vec<u8>, ApiError> {
    let Some(file) = &api.authority else {
        return Err(ApiError::NotFound("this gateway's certificate comes from elsewhere".to_owned()));
    };
    tokio::fs::read(file).await.map_err(ApiError::internal)
}
