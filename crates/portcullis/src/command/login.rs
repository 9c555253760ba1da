//! `portcullis login`: a person proves to an identity provider who they are, and keeps the token it gives.
//!
//! Two ways: with a code that is typed in any browser (RFC 8628), and with a browser on this machine and a loopback
//! listener (RFC 8252, PKCE). The browser is asked for a login now, so that what comes of it can also vote on approvals; a
//! code cannot ask for that, and where the provider took an earlier login for it, that is said.
//! Promises: the token is printed nowhere and kept as `state` says; what is kept was accepted by the gateway. The browser's
//! answer counts only with the state that was sent; nothing that a provider says drives a terminal.
//! Does not promise to open a browser: it says where to go.
//! Held by: `tests/it/login.rs`, and the tests below.

mod agent;
mod ssh;

use crate::args::LoginArgs;
use crate::client::Client;
use crate::command::provider::{self, Metadata, refused, shown};
use crate::command::token::text;
use crate::device::{self, Device, scopes};
use crate::error::Failure;
use crate::fetch::Fetch;
use crate::state;
use hyper::Method;
use jiff::{SignedDuration, Timestamp};
use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreTokenResponse};
use openidconnect::{
    AuthorizationCode, ClientId, CsrfToken, Nonce, PkceCodeChallenge, RedirectUrl, TokenResponse as _,
};
use secrecy::SecretString;
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

pub(crate) async fn run(args: &LoginArgs) -> Result<(), Failure> {
    // Before anybody types a password for nothing.
    let agent = if args.ssh { Some(agent::Agent::of_user().await?) } else { None };
    let offer = provider::offered(&args.gateway, args.ca.as_deref(), args.issuer.as_deref()).await?;
    let fetch = Fetch::new(args.provider_ca.as_deref()).map_err(refused)?;
    let metadata = provider::discover(offer.issuer, &fetch).await?;
    let client = ClientId::new(offer.client);
    let response = if device::is_offered(&metadata) && !args.browser {
        with_code(metadata, client, &fetch).await?
    } else {
        with_browser(metadata, client, &fetch).await?
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
    match agent {
        Some(mut agent) => ssh::run(&client, &args.gateway, &mut agent).await,
        None => Ok(()),
    }
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

/// A code to type in any browser.
async fn with_code(metadata: Metadata, client: ClientId, fetch: &Fetch) -> Result<CoreTokenResponse, Failure> {
    let device = Device::begin(metadata, client, fetch).await?;
    for line in device.to_open() {
        println!("{line}");
    }
    device.token(fetch, WITHIN).await.map_err(refused)
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
        (_, Some(error)) => Some(Err(Failure::refused("the identity provider", shown(&error)))),
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
    fn what_a_provider_refuses_with_draws_nothing_on_a_terminal() {
        let refused = code_in("GET /?error=no%1b%5b2J%0aOpen&state=s1 HTTP/1.1\r\n", "s1").unwrap();
        assert_eq!(refused.unwrap_err().to_string(), "the identity provider: no?[2J?Open");
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
