//! `identity.oidc`: the providers that are trusted, and the way to their documents.
//!
//! Promises: each provider's own host is met with the authorities that its entry names; any other host that its documents
//! lead to (its keys may lie elsewhere) with the system's. Held by: `tests/it/login.rs`.

use crate::error::Failure;
use crate::fetch::Fetch;
use bytes::Bytes;
use hyper::{Request, StatusCode, Uri};
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

/// Whose tokens are accepted.
pub(super) fn trust(config: &Config) -> Result<OidcTrust, Failure> {
    if config.oidc.is_empty() {
        return Ok(OidcTrust::default());
    }
    let refused = |error: &dyn std::fmt::Display| Failure::refused("identity.oidc", error);
    let way = |authorities: Option<&std::path::Path>| Fetch::new(authorities).map_err(|error| refused(&error));
    let mut own = Vec::new();
    for one in &config.oidc {
        own.push((one.address.to_string().to_ascii_lowercase(), way(one.tls_ca.as_deref())?));
    }
    let ways = Ways { own, other: way(None)? };
    OidcTrust::new(config.oidc.iter().map(issuer).collect(), Arc::new(ways)).map_err(|error| refused(&error))
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

/// Host and port of a URL over TLS or in plaintext, as [`portcullis_config::Address`] writes them.
fn origin(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    let usual = if url.scheme_str()? == "https" { 443 } else { 80 };
    Some(format!("{}:{}", url.host()?, url.port_u16().unwrap_or(usual)).to_ascii_lowercase())
}

/// The ways to documents, by whose they are.
struct Ways {
    own: Vec<(String, Fetch)>,
    other: Fetch,
}

impl Ways {
    async fn document(&self, url: &str, limit: usize) -> Result<Bytes, FetchError> {
        let at = origin(url);
        let own = self.own.iter().find(|(own, _)| Some(own) == at.as_ref());
        let way = own.map_or(&self.other, |(_, way)| way);
        let request = Request::get(url).body(Vec::new()).map_err(|error| FetchError::Failed(error.to_string()))?;
        let answer = way.send(request).await.map_err(|error| FetchError::Failed(error.to_string()))?;
        match answer.status() {
            StatusCode::OK if answer.body().len() <= limit => Ok(answer.into_body().into()),
            StatusCode::OK => Err(FetchError::TooLong),
            other => Err(FetchError::Status(other.as_u16())),
        }
    }
}

impl FetchDocument for Ways {
    fn get<'a>(
        &'a self,
        url: &'a str,
        limit: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, FetchError>> + Send + 'a>> {
        Box::pin(self.document(url, limit))
    }
}
