//! `identity.oidc`: the providers that are trusted, and the way to their documents.
//!
//! Promises: each provider's own host is met with the authorities that its entry names; any other host that its documents
//! lead to (its keys may lie elsewhere) with the system's. Held by: `tests/it/login.rs`.

use crate::error::Failure;
use crate::fetch::Fetch;
use bytes::Bytes;
use hyper::{Request, StatusCode};
use portcullis_config::{Config, OidcIssuer};
use portcullis_console::Login;
use portcullis_identity::{Fetch as FetchDocument, FetchError, Issuer, OidcTrust};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Where people log in.
pub(crate) fn logins(config: &Config) -> Vec<Login> {
    let login = |one: &OidcIssuer| Login { issuer: Arc::clone(&one.issuer), client: Arc::clone(&one.audience) };
    config.oidc.iter().map(login).collect()
}

/// The way to the providers.
pub(super) fn way(config: &Config) -> Result<Fetch, Failure> {
    let refused = |error| Failure::refused("identity.oidc", error);
    let with_authorities = config.oidc.iter().filter_map(|one| Some((one, one.tls_ca.as_deref()?)));
    with_authorities.fold(Fetch::new(None).map_err(refused), |way, (one, authorities)| {
        way?.also(&one.address.to_string(), authorities).map_err(refused)
    })
}

/// Whose tokens are accepted.
pub(super) fn trust(config: &Config) -> Result<OidcTrust, Failure> {
    if config.oidc.is_empty() {
        return Ok(OidcTrust::default());
    }
    let documents = Arc::new(Documents(way(config)?));
    let trust = OidcTrust::new(config.oidc.iter().map(issuer).collect(), documents);
    trust.map_err(|error| Failure::refused("identity.oidc", error))
}

fn issuer(one: &OidcIssuer) -> Issuer {
    let mut issuer = Issuer::new(Arc::clone(&one.issuer), Arc::clone(&one.audience));
    issuer.user_claim = Arc::clone(&one.user_claim);
    issuer.groups_claim.clone_from(&one.groups_claim);
    issuer.groups_allowed.clone_from(&one.groups_allowed);
    issuer.user_prefix.clone_from(&one.user_prefix);
    issuer.groups_prefix.clone_from(&one.groups_prefix);
    issuer
}

/// The way to documents.
struct Documents(Fetch);

impl Documents {
    async fn document(&self, url: &str, limit: usize) -> Result<Bytes, FetchError> {
        let request = Request::get(url).body(Vec::new()).map_err(|error| FetchError::Failed(error.to_string()))?;
        let answer = self.0.send(request).await.map_err(|error| FetchError::Failed(error.to_string()))?;
        match answer.status() {
            StatusCode::OK if answer.body().len() <= limit => Ok(answer.into_body().into()),
            StatusCode::OK => Err(FetchError::TooLong),
            other => Err(FetchError::Status(other.as_u16())),
        }
    }
}

impl FetchDocument for Documents {
    fn get<'a>(
        &'a self,
        url: &'a str,
        limit: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, FetchError>> + Send + 'a>> {
        Box::pin(self.document(url, limit))
    }
}
