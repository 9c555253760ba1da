//! `portcullis connect --auth`: what libpq needs to prove who it is in another way than by the token as its password.
//!
//! Promises: SCRAM is bound to the gateway's certificate wherever there is TLS, so that the token goes nowhere and the
//! client notices anybody in between, and is not proposed for a token that it cannot prove; for OAUTHBEARER the provider is the one that the gateway sends clients to.
//! Held by: the tests below and `tests/it/scram.rs`.

use crate::client::Client;
use crate::command::token::text;
use crate::error::Failure;
use clap::ValueEnum;
use hyper::Method;
use portcullis_identity::TOKEN_ISSUER;
use serde_json::Value;

/// A way to prove who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// The token is the password.
    Password,
    /// SCRAM-SHA-256 over a token of the gateway.
    Scram,
    /// A provider's token by SASL OAUTHBEARER (PostgreSQL 18).
    #[value(name = "oauth")]
    OAuth,
}

/// A setting of libpq: its name in a string, and in the environment where it has one.
pub(super) type Setting = (&'static str, &'static str, String);

/// What this way needs besides address, connection and user. `issuer` is whose word the user's token is, where it is known.
pub(super) async fn settings(
    auth: Way,
    client: &Client,
    issuer: Option<&str>,
    tls: bool,
) -> Result<Vec<Setting>, Failure> {
    let provider = match auth {
        Way::OAuth => Some(provider(client).await?),
        Way::Password | Way::Scram => None,
    };
    of(auth, issuer, tls, provider)
}

fn of(auth: Way, issuer: Option<&str>, tls: bool, provider: Option<(String, String)>) -> Result<Vec<Setting>, Failure> {
    let mut settings = vec![("options", "PGOPTIONS", format!("-c portcullis.auth={}", word(auth)))];
    match auth {
        Way::Password => {}
        Way::Scram => {
            scram_knows(issuer)?;
            if tls {
                settings.push(("channel_binding", "PGCHANNELBINDING", "require".to_owned()));
            }
        }
        Way::OAuth => {
            let (issuer, id) = provider.unwrap_or_default();
            // libpq takes neither from the environment.
            settings.extend([("oauth_issuer", "", issuer), ("oauth_client_id", "", id)]);
        }
    }
    Ok(settings)
}

/// Whether SCRAM can work: it begins with what the gateway keeps of its own tokens, by their user.
fn scram_knows(issuer: Option<&str>) -> Result<(), Failure> {
    match issuer {
        Some(TOKEN_ISSUER) => Ok(()),
        Some(_) => Err(Failure::Refused("SCRAM is for tokens of this gateway; use --auth password".to_owned())),
        None => Err(Failure::Refused(
            "SCRAM needs the token's own user: name the gateway with --gateway and have the token in PORTCULLIS_TOKEN"
                .to_owned(),
        )),
    }
}

const fn word(auth: Way) -> &'static str {
    match auth {
        Way::Password => "password",
        Way::Scram => "scram",
        Way::OAuth => "oauth",
    }
}

/// The gateway's one provider, and the client that people log in with there.
async fn provider(client: &Client) -> Result<(String, String), Failure> {
    let logins: Vec<Value> = client.json(Method::GET, "/api/v1/logins", None).await?;
    match logins.as_slice() {
        [] => Err(Failure::Refused("the gateway has no identity provider".to_owned())),
        [login] => Ok((text(login, "issuer").to_owned(), text(login, "client").to_owned())),
        [..] => Err(Failure::Refused(
            "the gateway has several identity providers: write options='-c portcullis.auth=oauth' with the oauth_issuer \
             and oauth_client_id of yours"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(auth: Way, issuer: Option<&str>, tls: bool) -> Result<String, Failure> {
        let provider = Some(("https://idp.example".to_owned(), "portcullis".to_owned()));
        let settings = of(auth, issuer, tls, provider)?;
        Ok(settings.iter().map(|(name, _, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn scram_is_bound_where_it_can_be_and_for_tokens_of_the_gateway_only() {
        let ours = Some(TOKEN_ISSUER);
        assert_eq!(
            written(Way::Scram, ours, true).unwrap(),
            "options=-c portcullis.auth=scram channel_binding=require"
        );
        assert_eq!(written(Way::Scram, ours, false).unwrap(), "options=-c portcullis.auth=scram");
        let refused = |issuer| written(Way::Scram, issuer, true).unwrap_err().to_string();
        assert!(refused(None).contains("the token's own user") && !refused(None).contains("login"));
        let provider = refused(Some("https://idp.example"));
        assert!(provider.contains("SCRAM is for tokens of this gateway; use --auth password"), "{provider}");
        assert_eq!(written(Way::Password, None, true).unwrap(), "options=-c portcullis.auth=password");
    }

    #[test]
    fn a_provider_is_named_by_its_url_and_client() {
        let expected = "options=-c portcullis.auth=oauth oauth_issuer=https://idp.example oauth_client_id=portcullis";
        assert_eq!(written(Way::OAuth, Some("https://idp.example"), true).unwrap(), expected);
    }
}
