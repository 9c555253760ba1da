//! `ssh_login` of `identity.oidc`: where people log in with a code when they come over SSH and show no key.
//!
//! Promises: one provider, as the public client that its tokens are for; what it says of itself is asked for once in
//! [`KNOWN`], and anew after it gave no code; while somebody waits it is asked no more often than every [`PAUSE`], however often
//! it wants that; why a login came to nothing is in the log in the provider's words, made harmless. Does not promise to bound
//! how many logins there are: `portcullis_identity` and `portcullis_net` do.
//! Held by: `tests/it/login_device.rs`.

use crate::assemble::oidc;
use crate::command::provider::{Metadata, chain, discover, shown};
use crate::device::{Device, NoToken};
use crate::error::Failure;
use crate::fetch::Fetch;
use openidconnect::{ClientId, DeviceCodeErrorResponseType as Said, RequestTokenError, TokenResponse as _};
use portcullis_config::Config;
use portcullis_ssh::{DeviceLogin, DeviceLogins, Unfinished};
use secrecy::SecretString;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long what a provider says of itself is taken to be so.
const KNOWN: Duration = Duration::from_secs(600);

/// How long a provider is asked at most: whoever waits ends sooner.
const LONGEST: Duration = Duration::from_secs(600);

/// The least pause before a provider is asked again for one who waits: what RFC 8628 (§3.2) has where a provider says nothing.
/// Any stranger can have it asked.
const PAUSE: Duration = Duration::from_secs(5);

/// Where people who come over SSH log in, where they may.
pub(crate) fn logins(config: &Config) -> Result<Option<Arc<dyn DeviceLogins>>, Failure> {
    let Some(one) = config.oidc.iter().find(|one| one.ssh_login) else { return Ok(None) };
    Ok(Some(Arc::new(Provider {
        issuer: Arc::clone(&one.issuer),
        client: ClientId::new(one.audience.to_string()),
        fetch: Arc::new(oidc::way(config)?),
        known: watch::Sender::new(None),
    })))
}

struct Provider {
    issuer: Arc<str>,
    client: ClientId,
    fetch: Arc<Fetch>,
    /// What it says of itself, and since when that is known.
    known: watch::Sender<Option<(Instant, Metadata)>>,
}

impl Provider {
    async fn metadata(&self) -> Result<Metadata, Failure> {
        let known = self.known.borrow().as_ref().filter(|(since, _)| since.elapsed() < KNOWN).cloned();
        if let Some((_, metadata)) = known {
            return Ok(metadata);
        }
        let metadata = discover(self.issuer.to_string(), &self.fetch).await?;
        self.known.send_replace(Some((Instant::now(), metadata.clone())));
        Ok(metadata)
    }

    async fn device(&self) -> Result<Device, Failure> {
        let metadata = self.metadata().await?;
        let begun = Device::begin(metadata, self.client.clone(), &self.fetch).await;
        let begun = begun.inspect_err(|_| drop(self.known.send_replace(None)))?;
        Ok(begun.with_pauses_of(PAUSE))
    }

    async fn login(&self) -> Result<DeviceLogin, Unfinished> {
        let device = self.device().await.map_err(|error| {
            tracing::warn!(issuer = &*self.issuer, %error, "no login can be begun");
            Unfinished::Unavailable
        })?;
        Ok(DeviceLogin {
            issuer: Arc::clone(&self.issuer),
            page: device.page.clone(),
            code: device.code.clone(),
            whole: device.whole.clone(),
            within: device.within(),
            token: Box::pin(token(device, Arc::clone(&self.fetch))),
        })
    }
}

/// Waits for the ID token.
async fn token(device: Device, fetch: Arc<Fetch>) -> Result<SecretString, Unfinished> {
    let response = device.token(&fetch, LONGEST).await.map_err(|why| unfinished(&why))?;
    response.id_token().map(|token| SecretString::from(token.to_string())).ok_or(Unfinished::NoToken)
}

fn unfinished(why: &NoToken) -> Unfinished {
    let (unfinished, words) = match why {
        RequestTokenError::ServerResponse(said) => match said.error() {
            Said::AccessDenied => return Unfinished::Denied,
            Said::ExpiredToken => return Unfinished::Expired,
            Said::AuthorizationPending | Said::SlowDown | Said::Basic(_) => (Unfinished::Refused, chain(why)),
        },
        RequestTokenError::Request(_) | RequestTokenError::Other(_) => (Unfinished::Unavailable, chain(why)),
        // What it could not be read at may be a token.
        RequestTokenError::Parse(..) => (Unfinished::Unavailable, why.to_string()),
    };
    tracing::warn!(error = shown(&words), "a login that was begun cannot be finished");
    unfinished
}

impl DeviceLogins for Provider {
    fn begin(&self) -> Pin<Box<dyn Future<Output = Result<DeviceLogin, Unfinished>> + Send + '_>> {
        Box::pin(self.login())
    }
}
