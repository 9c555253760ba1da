//! `portcullis token exchange`: a program's client id and secret for its own short-lived token of an identity provider.
//!
//! The client credentials grant (RFC 6749 §4.4). The token is the provider's, so it opens what `identity.oidc` lets it open,
//! and ends as any token of that provider does.
//! Promises: the secret comes from a file, a variable or standard input, goes to the token endpoint of the provider that was
//! named to the command only, whatever a gateway says, and is in no output, neither as it is nor as it was sent, also not
//! where the provider says it back; standard output has the token and nothing else, or, with `--output`, nothing. With
//! `--gateway` a token that the gateway does not take is not given out.
//! Does not promise to keep the token for later commands: `PORTCULLIS_TOKEN` is where they look for one.
//! Held by: `tests/it/exchange.rs`, and the tests below.

use crate::args::ExchangeArgs;
use crate::client::Client;
use crate::command::provider::{self, Metadata, Offer, chain, shown};
use crate::command::token::text;
use crate::error::Failure;
use crate::fetch::{Fetch, NoAnswer};
use crate::state;
use console::Term;
use hyper::Method;
use hyper::header::AUTHORIZATION;
use jiff::{SignedDuration, Timestamp};
use openidconnect::core::{CoreClient, CoreClientAuthMethod, CoreErrorResponseType, CoreTokenResponse};
use openidconnect::url::form_urlencoded;
use openidconnect::{
    AuthType, ClientId, ClientSecret, HttpRequest, OAuth2TokenResponse as _, RequestTokenError, Scope,
    StandardErrorResponse,
};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use std::io::{IsTerminal as _, Read};
use std::sync::OnceLock;
use std::time::Duration;

/// Bytes of a secret at most, and some to see that there are more.
const LARGEST: u64 = 8 * 1024 + 3;

type Refusal = RequestTokenError<NoAnswer, StandardErrorResponse<CoreErrorResponseType>>;

pub(crate) async fn run(args: ExchangeArgs) -> Result<(), Failure> {
    // Before anybody is shown a secret for nothing.
    let offer = match &args.gateway {
        Some(gateway) => Some(provider::offered(gateway, args.ca.as_deref(), Some(&args.issuer)).await?),
        None => None,
    };
    let fetch = Fetch::new(args.provider_ca.as_deref()).map_err(provider::refused)?;
    let metadata = provider::discover(args.issuer.clone(), &fetch).await?;
    let way = way(&metadata)?;
    let secret = secret(&args)?;
    let response = asked(&args, metadata, way, &secret, &fetch).await?;
    let token = SecretString::from(response.access_token().secret().clone());
    let lives = match (&args.gateway, &offer) {
        (Some(gateway), Some(offer)) => taken(gateway, offer, &args, token.clone()).await?,
        (None, _) | (_, None) => lifetime(response.expires_in()),
    };
    match &args.output {
        Some(file) => state::write_private(file, &token)?,
        None => println!("{}", token.expose_secret()),
    }
    eprintln!("portcullis: {lives}");
    Ok(())
}

/// How the provider wants to be shown a secret.
fn way(metadata: &Metadata) -> Result<AuthType, Failure> {
    // Where it does not say, it is the header (OpenID Connect Discovery §3).
    let Some(ways) = metadata.token_endpoint_auth_methods_supported() else { return Ok(AuthType::BasicAuth) };
    if ways.contains(&CoreClientAuthMethod::ClientSecretBasic) {
        return Ok(AuthType::BasicAuth);
    }
    if ways.contains(&CoreClientAuthMethod::ClientSecretPost) {
        return Ok(AuthType::RequestBody);
    }
    let listed: Vec<&str> = ways.iter().map(AsRef::as_ref).collect();
    Err(Failure::Refused(format!(
        "the identity provider takes no client secrets, but {}: ask it with a program of its own and put the token in \
         PORTCULLIS_TOKEN",
        shown(&listed.join(", "))
    )))
}

async fn asked(
    args: &ExchangeArgs,
    metadata: Metadata,
    way: AuthType,
    secret: &SecretString,
    fetch: &Fetch,
) -> Result<CoreTokenResponse, Failure> {
    let (id, shared) = (ClientId::new(args.client_id.clone()), ClientSecret::new(secret.expose_secret().to_owned()));
    let client = CoreClient::from_provider_metadata(metadata, id, Some(shared)).set_auth_type(way);
    let mut request = client.exchange_client_credentials().map_err(provider::refused)?;
    for scope in &args.scopes {
        request = request.add_scope(Scope::new(scope.clone()));
    }
    for (name, value) in [("audience", &args.audience), ("resource", &args.resource)] {
        if let Some(value) = value {
            request = request.add_extra_param(name, value.clone());
        }
    }
    let header = OnceLock::new();
    let watched = |request: HttpRequest| {
        let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let _first = shown.map(|shown| header.set(SecretString::from(shown.trim_start_matches("Basic "))));
        fetch.send(request)
    };
    let answer = request.request_async(&watched).await;
    answer.map_err(|refusal| said(&refusal, &as_shown(secret, header.get())))
}

/// The secret in every form in which the provider was shown it, the longest first.
fn as_shown(secret: &SecretString, header: Option<&SecretString>) -> Vec<SecretString> {
    let plain = secret.expose_secret();
    let in_form = form_urlencoded::byte_serialize(plain.as_bytes()).collect::<String>();
    let in_header = header.map(|header| SecretString::from(header.expose_secret().trim_end_matches('=')));
    in_header.into_iter().chain([SecretString::from(in_form), secret.clone()]).collect()
}

/// A provider's refusal with what to do about it, without the secret where it repeats that.
fn said(refusal: &Refusal, secrets: &[SecretString]) -> Failure {
    let (words, help) = match refusal {
        RequestTokenError::ServerResponse(answer) => (answer.to_string(), help(answer.error().as_ref())),
        RequestTokenError::Request(error) => (chain(error), ""),
        // What it said instead may be a token.
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            ("its answer is no answer to a request for a token".to_owned(), "; look whether --issuer is the right one")
        }
    };
    let hidden = |words: String, secret: &SecretString| words.replace(secret.expose_secret(), "(the secret)");
    let words = shown(&secrets.iter().fold(words, hidden));
    Failure::refused("the identity provider", format!("{words}{help}"))
}

/// What to do about an error of a token endpoint (RFC 6749 §5.2, RFC 8707 §2).
fn help(error: &str) -> &'static str {
    match error {
        "invalid_client" => {
            "; look whether --client-id names the program as the provider does, and whether the secret was changed there"
        }
        "unauthorized_client" | "unsupported_grant_type" => {
            "; allow the client credentials grant to this client at the provider, or make a token with `portcullis token create`"
        }
        "invalid_scope" => "; --scope says what is asked for, and the provider what may be",
        "invalid_target" | "invalid_request" => "; --audience or --resource says whom the token is for",
        _ => "",
    }
}

/// Whether the gateway takes it, and how long it lives there.
async fn taken(gateway: &str, offer: &Offer, args: &ExchangeArgs, token: SecretString) -> Result<String, Failure> {
    let client = Client::over_tls(gateway, args.ca.as_deref(), Some(token))?;
    let who: Value = client.json(Method::GET, "/api/v1/whoami", None).await.map_err(|failure| match failure {
        Failure::Refused(why) => Failure::Refused(format!(
            "the gateway does not take the token that the provider gave: {why}. Its audience must be `{}`: --audience, \
             --resource or --scope asks for it; the gateway's record says what was wrong",
            shown(&offer.client)
        )),
        other => other,
    })?;
    let until: Option<Timestamp> = text(&who, "expires").parse().ok();
    let left = until.map(|until| until.duration_since(Timestamp::now())).map(|left| rounded(left.as_secs()));
    let (left, until) = (left.unwrap_or_else(|| "some time".to_owned()), text(&who, "expires"));
    Ok(format!("the token of {} lives for {left}, until {until}", text(&who, "user")))
}

fn lifetime(lives: Option<Duration>) -> String {
    lives.map_or_else(
        || "the provider does not say how long the token lives".to_owned(),
        |lives| format!("the token lives for {}", rounded(i64::try_from(lives.as_secs()).unwrap_or(i64::MAX))),
    )
}

fn rounded(seconds: i64) -> String {
    format!("{:#}", SignedDuration::from_secs(seconds.max(0)))
}

/// The program's secret, without the line ends at its end.
fn secret(args: &ExchangeArgs) -> Result<SecretString, Failure> {
    let bytes = match (&args.secret_file, &args.secret_env) {
        (Some(file), _) => {
            let opened = std::fs::File::open(file);
            opened.and_then(read).map_err(|error| Failure::refused(&file.display().to_string(), error))?
        }
        (None, Some(name)) => {
            // The value is in no error: it may be the secret that was meant for the variable.
            let Ok(value) = std::env::var(name) else {
                return Err(Failure::Usage(
                    "the variable that --secret-env names is not set, or not text; it takes a name, not a secret"
                        .to_owned(),
                ));
            };
            Zeroizing::new(value.into_bytes())
        }
        (None, None) if std::io::stdin().is_terminal() => {
            let terminal = Term::stderr();
            terminal.write_str("Client secret (not shown): ")?;
            Zeroizing::new(terminal.read_secure_line()?.into_bytes())
        }
        (None, None) => read(std::io::stdin())?,
    };
    usable(&bytes)
}

fn read(from: impl Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // All of the room at once, so that no half of the secret is left behind where a growing buffer was.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(LARGEST).unwrap_or(usize::MAX)));
    from.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn usable(bytes: &[u8]) -> Result<SecretString, Failure> {
    let wrong = |why: &str| Err(Failure::Usage(format!("the client's secret {why}")));
    if bytes.len() as u64 >= LARGEST {
        return wrong("is longer than 8 KiB");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return wrong("is not text") };
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return wrong("is empty: give it on standard input, or by --secret-file or --secret-env");
    }
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_text_without_its_last_line_ends() {
        for (bytes, expected) in [
            (&b"s3cret"[..], Some("s3cret")),
            (b"s3cret\r\n\n", Some("s3cret")),
            (b" s3 cret ", Some(" s3 cret ")),
            (b"", None),
            (b"\n", None),
            (b"\xff", None),
            (&[b'x'; 8 * 1024 + 3], None),
        ] {
            let found = usable(bytes);
            assert_eq!(found.as_ref().ok().map(|secret| secret.expose_secret()), expected);
        }
        assert_eq!(read(&[b'x'; 64 * 1024][..]).unwrap().len() as u64, LARGEST);
    }

    #[test]
    fn a_refusal_says_what_to_do_and_never_the_secret() {
        let secrets = as_shown(&"s3cret".into(), None);
        let told = |error: &str, description: &str| {
            let error = CoreErrorResponseType::Extension(error.to_owned());
            let answer = StandardErrorResponse::new(error, Some(description.to_owned()), None);
            said(&RequestTokenError::ServerResponse(answer), &secrets).to_string()
        };
        let words = told("invalid_client", "no client has the secret s3cret\u{1b}[2J");
        assert!(words.contains("--client-id") && words.contains("the secret (the secret)?[2J"), "{words}");
        assert!(!words.contains("s3cret"), "{words}");
        assert!(told("unsupported_grant_type", "").contains("client credentials grant"));
        let words = said(&RequestTokenError::Other("token eyJhbGc".to_owned()), &secrets).to_string();
        assert!(!words.contains("eyJ"), "{words}");
    }
}
