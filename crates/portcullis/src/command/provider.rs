//! Identity providers as `login` and `token exchange` meet them: which one, and what it says of itself.
//!
//! Promises: a provider is one that the gateway accepts, and the one that was named to the command, where one was; what a
//! provider says, and what a gateway says of providers, is shown as one line without control characters and what else
//! nobody sees, cut where it is long.
//! Held by: `tests/it/login.rs`, `tests/it/exchange.rs`, and the test below.

use crate::client::Client;
use crate::error::Failure;
use crate::fetch::Fetch;
use hyper::Method;
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
    CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, DeviceAuthorizationUrl, IssuerUrl, ProviderMetadata};
use portcullis_model::is_unseen;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Characters of what a provider says that are shown.
const SHOWN: usize = 512;

/// What the metadata of a provider says of devices (RFC 8628 §4).
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Devices {
    pub(crate) device_authorization_endpoint: Option<DeviceAuthorizationUrl>,
}

impl AdditionalProviderMetadata for Devices {}

pub(crate) type Metadata = ProviderMetadata<
    Devices,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// Where to log in, as the gateway says, to anybody who asks: what is to be kept from a stranger is sent to no provider on
/// its word alone.
#[derive(Deserialize)]
pub(crate) struct Offer {
    pub(crate) issuer: String,
    /// Whom people log in to there, and whom every token of it must be for.
    pub(crate) client: String,
}

/// The one provider of this gateway, or the one of them that is named.
pub(crate) async fn offered(gateway: &str, ca: Option<&Path>, issuer: Option<&str>) -> Result<Offer, Failure> {
    let nobody = Client::over_tls(gateway, ca, None)?;
    let offers: Vec<Offer> = nobody.json(Method::GET, "/api/v1/logins", None).await?;
    chosen(offers, issuer)
}

fn chosen(offers: Vec<Offer>, issuer: Option<&str>) -> Result<Offer, Failure> {
    let listed: Vec<String> = offers.iter().map(|offer| shown(&offer.issuer)).collect();
    let mut fitting = offers.into_iter().filter(|offer| issuer.is_none_or(|wanted| wanted == offer.issuer));
    match (fitting.next(), fitting.next()) {
        (Some(offer), None) => Ok(offer),
        (Some(_), Some(_)) => Err(Failure::Usage(format!("say which provider: --issuer {}", listed.join(" | ")))),
        (None, _) if listed.is_empty() => {
            Err(Failure::Refused("this gateway has no identity provider: ask for a token instead".to_owned()))
        }
        (None, _) => Err(Failure::Usage(format!("the gateway's providers are {}", listed.join(", ")))),
    }
}

/// What this provider says of itself.
pub(crate) async fn discover(issuer: String, fetch: &Fetch) -> Result<Metadata, Failure> {
    let issuer = IssuerUrl::new(issuer).map_err(refused)?;
    Metadata::discover_async(issuer, fetch).await.map_err(refused)
}

/// A provider's refusal, or why it cannot be asked.
pub(crate) fn refused(error: impl std::error::Error) -> Failure {
    Failure::refused("the identity provider", shown(&chain(&error)))
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

/// Words of a provider as a terminal may have them.
pub(crate) fn shown(words: &str) -> String {
    let plain = |c: char| if c.is_control() || is_unseen(c) { '?' } else { c };
    words.chars().map(plain).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_the_only_one_or_the_one_that_was_named() {
        let offer = |issuer: &str| Offer { issuer: issuer.to_owned(), client: "c".to_owned() };
        let both = || vec![offer("https://a"), offer("https://b")];
        assert_eq!(chosen(vec![offer("https://a")], None).unwrap().issuer, "https://a");
        assert_eq!(chosen(both(), Some("https://b")).unwrap().issuer, "https://b");
        for (offers, named, said) in [
            (both(), None, "--issuer https://a | https://b"),
            (both(), Some("https://c"), "are https://a, https://b"),
            (Vec::new(), None, "no identity provider"),
        ] {
            assert!(chosen(offers, named).err().unwrap().to_string().contains(said), "{said}");
        }
    }

    #[test]
    fn what_a_provider_says_draws_nothing_on_a_terminal() {
        assert_eq!(shown("a\u{1b}[2J\nb\u{202e}c\u{200b}"), "a?[2J?b?c?");
        let offers = vec![Offer { issuer: "https://a\u{1b}[2J".to_owned(), client: "c".to_owned() }];
        let said = chosen(offers, Some("https://b")).err().unwrap().to_string();
        assert!(said.ends_with("https://a?[2J"), "{said}");
        assert_eq!(shown(&"x".repeat(9999)).len(), SHOWN);
    }
}
