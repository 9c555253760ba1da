//! Logins with a code that is typed in any browser (RFC 8628): the command line runs them for whoever starts it, the gateway
//! for people who come over SSH.
//!
//! Promises: the provider is asked no more often than it wants, and than whoever waits has it asked, once a second at most,
//! and until the code runs out; what it says is shown as one line each, without control characters and what else nobody
//! sees, and only where it can be shown whole; nobody is sent to a page in plaintext, but for a loopback address. Nothing
//! but the configuration goes into a request. Does not promise a login of now: a code cannot ask for that.
//! Held by: `tests/it/login.rs`, `tests/it/login_device.rs`, and the tests below.

use crate::command::provider::{Metadata, refused, shown};
use crate::error::Failure;
use crate::fetch::{Fetch, NoAnswer, is_safe};
use openidconnect::core::{CoreClient, CoreDeviceAuthorizationResponse, CoreTokenResponse};
use openidconnect::url::Url;
use openidconnect::{
    ClientId, DeviceCodeErrorResponse, EndpointMaybeSet, EndpointNotSet, EndpointSet, RequestTokenError, Scope,
};
use std::time::Duration;

/// What a login asks to be told.
pub(crate) fn scopes() -> [Scope; 3] {
    ["profile", "email", "groups"].map(|scope| Scope::new(scope.to_owned()))
}

/// The least pause before a provider is asked again, whatever it says.
const LEAST: Duration = Duration::from_secs(1);

/// A provider that wants to be asked less often is not worth waiting for.
const MOST: Duration = Duration::from_secs(60);

/// Characters of a page, and of a code.
const PAGE: usize = 256;
const CODE: usize = 64;

type DeviceClient =
    CoreClient<EndpointSet, EndpointSet, EndpointNotSet, EndpointNotSet, EndpointMaybeSet, EndpointMaybeSet>;

/// Why there is no token.
pub(crate) type NoToken = RequestTokenError<NoAnswer, DeviceCodeErrorResponse>;

/// A login that was begun.
pub(crate) struct Device {
    client: DeviceClient,
    details: CoreDeviceAuthorizationResponse,
    least: Duration,
    /// Where to go.
    pub(crate) page: String,
    /// What to type there.
    pub(crate) code: String,
    /// Where to go without typing anything.
    pub(crate) whole: Option<String>,
}

/// Whether this provider has such logins.
pub(crate) fn is_offered(metadata: &Metadata) -> bool {
    metadata.additional_metadata().device_authorization_endpoint.is_some()
}

impl Device {
    /// Asks for a code.
    pub(crate) async fn begin(metadata: Metadata, client: ClientId, fetch: &Fetch) -> Result<Self, Failure> {
        let endpoint = metadata.additional_metadata().device_authorization_endpoint.clone();
        let endpoint = endpoint
            .ok_or_else(|| Failure::Refused("the identity provider has no logins with a code (RFC 8628)".to_owned()))?;
        let client = CoreClient::from_provider_metadata(metadata, client, None).set_device_authorization_url(endpoint);
        let request = client.exchange_device_code().add_scopes(scopes());
        let details: CoreDeviceAuthorizationResponse = request.request_async(fetch).await.map_err(refused)?;
        Self::of(client, details)
    }

    fn of(client: DeviceClient, details: CoreDeviceAuthorizationResponse) -> Result<Self, Failure> {
        let wrong = |what: &str| Failure::Refused(format!("the identity provider {what}"));
        if details.interval() > MOST {
            return Err(wrong("wants to be asked less than once a minute"));
        }
        let page = page(details.verification_uri().as_str())
            .ok_or_else(|| wrong("says a page that is none over TLS, or too long"))?;
        let code = shown(details.user_code().secret());
        if code.chars().count() > CODE {
            return Err(wrong("says a code that is too long"));
        }
        // It is for comfort only.
        let whole = details.verification_uri_complete().and_then(|whole| self::page(whole.secret()));
        Ok(Self { client, details, least: LEAST, page, code, whole })
    }

    /// Where to go, and what to type there.
    pub(crate) fn to_open(&self) -> Vec<String> {
        let mut lines = vec![format!("Open {} and enter {}", self.page, self.code)];
        lines.extend(self.whole.as_ref().map(|whole| format!("or open {whole}")));
        lines
    }

    /// How long the provider waits for its person.
    pub(crate) fn within(&self) -> Duration {
        self.details.expires_in()
    }

    /// The same, with a pause of at least this before the provider is asked again.
    #[must_use]
    pub(crate) fn with_pauses_of(mut self, least: Duration) -> Self {
        self.least = self.least.max(least);
        self
    }

    /// The pause before it is asked again, where it wants this one.
    fn pause(&self, wanted: Duration) -> Duration {
        wanted.max(self.least)
    }

    /// Waits until somebody has logged in, for as long as the code is good and no longer than this.
    pub(crate) async fn token(&self, fetch: &Fetch, longest: Duration) -> Result<CoreTokenResponse, NoToken> {
        let asked = self.client.exchange_device_access_token(&self.details);
        let asked = asked.map_err(|error| NoToken::Other(error.to_string()))?;
        let rest = |wanted: Duration| tokio::time::sleep(self.pause(wanted));
        asked.request_async(fetch, rest, Some(longest.min(self.within()))).await
    }
}

/// A page that somebody may be sent to, as a terminal may have it.
fn page(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    (url.as_str().len() <= PAGE && is_safe(url.as_str())).then(|| shown(url.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn device(details: Value) -> Result<Device, String> {
        let metadata: Metadata = serde_json::from_value(json!({
            "issuer": "https://idp.example", "authorization_endpoint": "https://idp.example/authorize",
            "token_endpoint": "https://idp.example/token", "jwks_uri": "https://idp.example/keys",
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "device_authorization_endpoint": "https://idp.example/device_authorization",
        }))
        .unwrap();
        let endpoint = metadata.additional_metadata().device_authorization_endpoint.clone().unwrap();
        let client = CoreClient::from_provider_metadata(metadata, ClientId::new("portcullis".to_owned()), None);
        let details = serde_json::from_value(details).unwrap();
        Device::of(client.set_device_authorization_url(endpoint), details).map_err(|error| error.to_string())
    }

    fn details(more: Value) -> Value {
        let mut details = json!({
            "device_code": "d", "user_code": "ABCD", "verification_uri": "https://idp.example/d", "expires_in": 60,
        });
        details.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        details
    }

    #[test]
    fn what_a_provider_has_typed_or_opened_draws_nothing_on_a_terminal() {
        let device = device(details(json!({
            "user_code": "ABC\u{1b}]0;x\u{7}D",
            "verification_uri": "https://idp.example/a\u{1b}[2J",
            "verification_uri_complete": "https://idp.example/a?c=ABC\r\nOpen https://evil.example\u{202e}",
        })));
        assert_eq!(
            device.unwrap().to_open(),
            [
                "Open https://idp.example/a%1B[2J and enter ABC?]0;x?D",
                "or open https://idp.example/a?c=ABCOpen%20https://evil.example%E2%80%AE",
            ]
        );
    }

    #[test]
    fn nobody_is_sent_to_a_page_in_plaintext_or_one_that_is_not_seen_whole() {
        let long = format!("https://idp.example/{}", "x".repeat(PAGE));
        for url in
            ["http://idp.example/d", "ftp://idp.example/d", "javascript:alert(1)", "https://u:p@idp.example/", &long]
        {
            let refused = device(details(json!({ "verification_uri": url }))).err().unwrap();
            assert!(refused.contains("none over TLS, or too long"), "{url}: {refused}");
            let shorter = device(details(json!({ "verification_uri_complete": url }))).unwrap();
            assert_eq!(shorter.to_open(), ["Open https://idp.example/d and enter ABCD"], "{url}");
        }
        let loopback = device(details(json!({ "verification_uri": "http://127.0.0.1:8080/d" }))).unwrap();
        assert_eq!(loopback.page, "http://127.0.0.1:8080/d");
        let refused = device(details(json!({ "user_code": "x".repeat(CODE + 1) }))).err().unwrap();
        assert!(refused.contains("too long"), "{refused}");
    }

    #[test]
    fn a_provider_that_wants_haste_is_asked_no_more_often_than_its_asker_wants() {
        let seconds = Duration::from_secs;
        let device = device(details(json!({ "interval": 0 }))).unwrap();
        assert_eq!([0, 1, 7].map(|wanted| device.pause(seconds(wanted))), [1, 1, 7].map(seconds));
        let device = device.with_pauses_of(seconds(5));
        assert_eq!([0, 1, 7].map(|wanted| device.pause(seconds(wanted))), [5, 5, 7].map(seconds));
        // It gets longer only.
        assert_eq!(device.with_pauses_of(Duration::ZERO).pause(Duration::ZERO), seconds(5));
    }

    #[test]
    fn a_provider_that_wants_to_be_asked_hardly_ever_is_not_waited_for() {
        assert!(device(details(json!({ "interval": 60 }))).is_ok());
        for interval in [61, u64::MAX] {
            assert!(device(details(json!({ "interval": interval }))).is_err(), "{interval}");
        }
    }
}
