//! `portcullis login`: a person proves to an identity provider who they are, and keeps the token it gives.
//!
//! Two ways: with a code that is typed in any browser (RFC 8628), and with a browser on this machine and a loopback
//! listener (RFC 8252, PKCE). The browser is asked for a login now, so that what comes of it can also vote on approvals; a
//! code cannot ask for that, and where the provider took an earlier login for it, that is said.
//! Promises: the token is printed nowhere and kept as `state` says; what is kept was accepted by the gateway. The browser's
//! answer counts only with the state that was sent. Does not promise to open a browser: it says where to go.
//! Held by: `tests/it/login.rs`.

use crate::args::LoginArgs;
use crate::client::Client;
use crate::command::token::text;
use crate::error::Failure;
use crate::fetch::Fetch;
use crate::state;
use hyper::Method;
use jiff::{SignedDuration, Timestamp};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthenticationFlow, CoreClaimName, CoreClaimType, CoreClient, CoreClientAuthMethod,
    CoreDeviceAuthorizationResponse, CoreGrantType, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType, CoreTokenResponse,
};
use openidconnect::{
    AdditionalProviderMetadata, AuthorizationCode, ClientId, CsrfToken, DeviceAuthorizationUrl, IssuerUrl, Nonce,
    PkceCodeChallenge, ProviderMetadata, RedirectUrl, Scope, TokenResponse as _,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A login older than this is asked for anew: a vote needs one of the last five minutes.
const FRESH: Duration = Duration::from_secs(60);

/// How old a login may be that votes (DESIGN 3).
const VOTES: SignedDuration = SignedDuration::from_mins(5);

/// How long a person may take.
const WITHIN: Duration = Duration::from_secs(600);

/// How long a visitor of the loopback listener may take to say what it wants.
const VISIT: Duration = Duration::from_secs(5);

/// How many may be there at once.
const VISITORS: usize = 16;

/// Bytes of a request that a browser sends to the loopback listener.
const LINE: u64 = 16 * 1024;

/// What the metadata of a provider says of devices (RFC 8628 §4).
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Devices {
    device_authorization_endpoint: Option<DeviceAuthorizationUrl>,
}

impl AdditionalProviderMetadata for Devices {}

type Metadata = ProviderMetadata<
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

/// Where to log in, as the gateway says.
#[derive(Deserialize)]
struct Offer {
    issuer: String,
    client: String,
}

pub(crate) async fn run(args: &LoginArgs) -> Result<(), Failure> {
    let nobody = Client::over_tls(&args.gateway, args.ca.as_deref(), None)?;
    let offers: Vec<Offer> = nobody.json(Method::GET, "/api/v1/logins", None).await?;
    let offer = chosen(offers, args.issuer.as_deref())?;
    let fetch = Fetch::new(args.provider_ca.as_deref()).map_err(refused)?;
    let issuer = IssuerUrl::new(offer.issuer).map_err(refused)?;
    let metadata = Metadata::discover_async(issuer, &fetch).await.map_err(refused)?;
    let client = ClientId::new(offer.client);
    let response = match metadata.additional_metadata().device_authorization_endpoint.clone() {
        Some(endpoint) if !args.browser => with_code(metadata, client, endpoint, &fetch).await?,
        Some(_) | None => with_browser(metadata, client, &fetch).await?,
    };
    let Some(token) = response.id_token() else {
        return Err(Failure::Refused("the identity provider gave no ID token".to_owned()));
    };
    let token = SecretString::from(token.to_string());
    let client = Client::over_tls(&args.gateway, args.ca.as_deref(), Some(token.clone()))?;
    let who: Value = client.json(Method::GET, "/api/v1/whoami", None).await?;
    state::keep_token(&args.gateway, &token)?;
    println!("logged in as {} until {}", text(&who, "user"), text(&who, "expires"));
    let logged_in = text(&who, "logged_in").parse::<Timestamp>().ok();
    if let Some(words) = cannot_vote(logged_in, Timestamp::now()) {
        println!("{words}");
    }
    Ok(())
}

/// Why nothing that came of a login at this time can vote, where that is so.
fn cannot_vote(logged_in: Option<Timestamp>, now: Timestamp) -> Option<&'static str> {
    match logged_in {
        None => Some("the provider does not say when you logged in: this login cannot vote on approvals"),
        Some(at) if now.duration_since(at) > VOTES => {
            Some("the provider took an earlier login for this one: to vote on approvals, log in with --browser")
        }
        Some(_) => None,
    }
}

fn chosen(offers: Vec<Offer>, issuer: Option<&str>) -> Result<Offer, Failure> {
    let listed: Vec<String> = offers.iter().map(|offer| offer.issuer.clone()).collect();
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

fn refused(error: impl std::error::Error) -> Failure {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    Failure::refused("the identity provider", words)
}

/// A code to type in any browser.
async fn with_code(
    metadata: Metadata,
    client: ClientId,
    endpoint: DeviceAuthorizationUrl,
    fetch: &Fetch,
) -> Result<CoreTokenResponse, Failure> {
    let client = CoreClient::from_provider_metadata(metadata, client, None).set_device_authorization_url(endpoint);
    let request = client.exchange_device_code().add_scopes(scopes());
    let details: CoreDeviceAuthorizationResponse = request.request_async(fetch).await.map_err(refused)?;
    println!("Open {} and enter {}", details.verification_uri().as_str(), details.user_code().secret());
    if let Some(complete) = details.verification_uri_complete() {
        println!("or open {}", complete.secret());
    }
    let asked = client.exchange_device_access_token(&details).map_err(refused)?;
    asked.request_async(fetch, tokio::time::sleep, Some(WITHIN)).await.map_err(refused)
}

/// A browser on this machine, which comes back to a loopback listener.
async fn with_browser(metadata: Metadata, client: ClientId, fetch: &Fetch) -> Result<CoreTokenResponse, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let back = format!("http://{}/", listener.local_addr()?);
    let back = RedirectUrl::new(back).map_err(refused)?;
    let client = CoreClient::from_provider_metadata(metadata, client, None).set_redirect_uri(back);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let request = client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
    let (url, state, nonce) = request.add_scopes(scopes()).set_max_age(FRESH).set_pkce_challenge(challenge).url();
    println!("Open {url}");
    let come_back = tokio::time::timeout(WITHIN, answer(&listener, state.secret())).await;
    let code = come_back.map_err(|_| Failure::Refused("nobody logged in within ten minutes".to_owned()))??;
    let exchange = client.exchange_code(AuthorizationCode::new(code)).map_err(refused)?;
    let response: CoreTokenResponse =
        exchange.set_pkce_verifier(verifier).request_async(fetch).await.map_err(refused)?;
    if let Some(token) = response.id_token() {
        token.claims(&client.id_token_verifier(), &nonce).map_err(refused)?;
    }
    Ok(response)
}

fn scopes() -> [Scope; 3] {
    ["profile", "email", "groups"].map(|scope| Scope::new(scope.to_owned()))
}

/// Waits until the browser comes back with the state that was sent; whatever else asks is told to go away.
async fn answer(listener: &TcpListener, state: &str) -> Result<String, Failure> {
    // One that says nothing keeps nobody else out.
    let mut visits = JoinSet::new();
    loop {
        tokio::select! {
            visitor = listener.accept(), if visits.len() < VISITORS => {
                let (stream, _) = visitor?;
                visits.spawn(visit(stream, state.to_owned()));
            }
            Some(found) = visits.join_next() => {
                if let Ok(Some(code)) = found {
                    return code;
                }
            }
        }
    }
}

/// One request to the listener: a code, a refusal, or nothing of this login.
async fn visit(stream: TcpStream, state: String) -> Option<Result<String, Failure>> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut beginning = tokio::io::AsyncReadExt::take(&mut stream, LINE);
    let read = tokio::time::timeout(VISIT, beginning.read_line(&mut line)).await;
    let found = read.ok()?.ok().and_then(|_| code_in(&line, &state));
    let (status, words) = match &found {
        Some(Ok(_)) => ("200 OK", "You are logged in. Close this window."),
        Some(Err(_)) => ("200 OK", "The identity provider refused the login. Close this window."),
        None => ("404 Not Found", "There is nothing here."),
    };
    let reply = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{words}",
        words.len()
    );
    // A browser that does not wait for these words logged in all the same.
    let _told = tokio::time::timeout(VISIT, stream.write_all(reply.as_bytes())).await;
    found
}

/// `GET /?code=…&state=… HTTP/1.1`, where the state is the one that was sent.
fn code_in(line: &str, state: &str) -> Option<Result<String, Failure>> {
    let target = line.strip_prefix("GET ")?.split(' ').next()?;
    let url = openidconnect::url::Url::parse("http://127.0.0.1/").ok()?.join(target).ok()?;
    let value = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    if url.path() != "/" || value("state")? != state {
        return None;
    }
    match (value("code"), value("error")) {
        (Some(code), None) => Some(Ok(code)),
        (_, Some(error)) => Some(Err(Failure::refused("the identity provider", error))),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_of_an_unknown_time_is_not_told_to_come_again() {
        let now = Timestamp::now();
        assert_eq!(cannot_vote(Some(now - SignedDuration::from_mins(5)), now), None);
        assert!(cannot_vote(Some(now - SignedDuration::from_secs(301)), now).unwrap().contains("--browser"));
        let untold = cannot_vote(None, now).unwrap();
        assert!(untold.contains("does not say when you logged in") && !untold.contains("--browser"), "{untold}");
    }

    #[test]
    fn only_an_answer_with_the_state_counts() {
        let code = |line: &str| code_in(line, "s1").map(|found| found.map_err(|error| error.to_string()));
        assert_eq!(code("GET /?code=abc&state=s1 HTTP/1.1\r\n"), Some(Ok("abc".to_owned())));
        assert_eq!(code("GET /?code=a%2Fb&state=s1 HTTP/1.1\r\n"), Some(Ok("a/b".to_owned())));
        let denied = code("GET /?error=access_denied&state=s1 HTTP/1.1\r\n");
        assert_eq!(denied, Some(Err("the identity provider: access_denied".to_owned())));
        for other in [
            "GET /?code=abc&state=s2 HTTP/1.1\r\n",
            "GET /?code=abc HTTP/1.1\r\n",
            "GET /favicon.ico HTTP/1.1\r\n",
            "GET /x?code=abc&state=s1 HTTP/1.1\r\n",
            "POST /?code=abc&state=s1 HTTP/1.1\r\n",
            "GET //evil.example/?code=abc&state=s2 HTTP/1.1\r\n",
            "",
        ] {
            assert_eq!(code(other), None, "{other}");
        }
    }
}
