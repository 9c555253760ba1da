//! Tokens of a real provider: every flaw of `fixtures/identity/oidc.tsv`, rotation, absence, two issuers, an interactive
//! login.

use super::gateway::Gateway;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use portcullis_identity::{Flaw, Issuer, Why};
use portcullis_testkit::idp::{Algorithm, By, Provider, Settings};
use serde_json::Value;
use std::time::{Duration, Instant};

const TABLE: &str = include_str!("../../../../fixtures/identity/oidc.tsv");

fn provider() -> Provider {
    Provider::start(Settings::for_tests()).unwrap()
}

fn trusted(provider: &Provider) -> Issuer {
    let mut issuer = Issuer::new(provider.issuer(), "portcullis");
    issuer.groups_claim = Some("groups".into());
    issuer
}

fn prefixed(provider: &Provider, prefix: &str) -> Issuer {
    Issuer { user_prefix: Some(prefix.into()), groups_prefix: Some(prefix.into()), ..trusted(provider) }
}

fn named(name: &str) -> Algorithm {
    *Algorithm::ALL.iter().find(|algorithm| algorithm.name() == name).unwrap_or_else(|| panic!("{name}"))
}

/// A good token of this subject.
fn good(provider: &Provider, algorithm: Algorithm, subject: &str) -> String {
    let (header, claims) = (provider.header(algorithm), provider.claims(subject));
    provider.mint(By::Its(algorithm), &header.to_string(), &claims.to_string()).unwrap()
}

/// What a value of the table means.
fn meant(provider: &Provider, value: &Value) -> Value {
    let Value::String(text) = value else {
        return match value {
            Value::Array(items) => items.iter().map(|item| meant(provider, item)).collect(),
            other => other.clone(),
        };
    };
    let Some(word) = text.strip_prefix('@') else { return value.clone() };
    match word.split_once(':') {
        Some(("kid", name)) => return provider.header(named(name))["kid"].clone(),
        Some(("jwk", name)) => return provider.unpublished(named(name)).unwrap(),
        Some(_) => panic!("{text}"),
        None => {}
    }
    let at = Timestamp::now().as_second();
    match word {
        "iss" | "iss/" => word.replace("iss", provider.issuer()).into(),
        "long" => "x".repeat(16 * 1024).into(),
        "name" => "x".repeat(256).into(),
        seconds => match seconds.parse::<i64>() {
            Ok(seconds) => (at + seconds).into(),
            Err(_) => (i32::try_from(at).map(f64::from).unwrap() + seconds.parse::<f64>().unwrap()).into(),
        },
    }
}

/// The good one with these changes, or what stands there instead of it.
fn changed(provider: &Provider, good: &Value, change: &str) -> String {
    if let Some(whole) = change.strip_prefix('=') {
        return whole.to_owned();
    }
    let mut good = good.clone();
    if !change.is_empty() {
        let changes: Value = serde_json::from_str(change).unwrap_or_else(|error| panic!("{change}: {error}"));
        let members = good.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), meant(provider, value));
            }
        }
    }
    good.to_string()
}

/// The token of a row.
fn minted(provider: &Provider, columns: &[&str]) -> String {
    let column = |at: usize| columns.get(at).copied().unwrap_or_default();
    let (algorithm, by) = match column(1) {
        "public-key" => (Algorithm::RS256, By::PublicKey),
        "no-key" => (Algorithm::ES256, By::NoKey),
        "nobody" => (Algorithm::ES256, By::Nobody),
        name => match name.strip_prefix("other:") {
            Some(name) => (named(name), By::Another(named(name))),
            None => (named(name), By::Its(named(name))),
        },
    };
    let header = changed(provider, &provider.header(algorithm), column(2));
    let mut claims = provider.claims("alice");
    claims["groups"] = serde_json::json!(["agents"]);
    let claims = changed(provider, &claims, column(3));
    let token = provider.mint(by, &header, &claims).unwrap();
    let parts: Vec<_> = token.split('.').collect();
    let text = if column(4).is_empty() { "{h}.{c}.{s}" } else { column(4) };
    text.replace("{h}", parts[0])
        .replace("{h2}", &URL_SAFE_NO_PAD.encode(header.replace(':', ": ")))
        .replace("{c}", parts[1])
        .replace("{root}", &URL_SAFE_NO_PAD.encode(claims.replace("alice", "root")))
        .replace("{s}", parts[2])
        .replace("{zero}", &URL_SAFE_NO_PAD.encode([0; 64]))
}

#[tokio::test]
async fn every_flaw_is_refused_for_its_own_reason_and_with_one_answer() {
    let (provider, ci) = (provider(), provider());
    let gateway = Gateway::trusting(vec![trusted(&provider), prefixed(&ci, "ci:")]).await;
    let rows: Vec<Vec<&str>> =
        TABLE.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect()).collect();
    let bad = rows.iter().filter(|row| row[0] != "good").count();
    assert!(bad >= 40, "{bad}");
    let tokens: Vec<_> = rows.iter().map(|row| minted(&provider, row)).collect();
    let judged = futures_util::future::join_all(tokens.iter().map(|token| gateway.present(token))).await;
    let mut wrong = Vec::new();
    for (row, judged) in rows.iter().zip(judged) {
        let found = match &judged {
            Ok(_) => "good".to_owned(),
            Err(refused) => {
                let told = (refused.to_string(), refused.retry_after());
                assert_eq!(told, ("the credential was not accepted".to_owned(), None), "{row:?}");
                match refused.why() {
                    Why::Oidc(flaw) => format!("{flaw:?}"),
                    why => format!("{why:?}"),
                }
            }
        };
        if found != row[0] {
            wrong.push(format!("{found} for {row:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn no_refusal_comes_before_its_time() {
    let provider = provider();
    let gateway = Gateway::trusting(vec![trusted(&provider)]).await;
    assert!(gateway.present(&good(&provider, Algorithm::ES256, "alice")).await.is_ok());
    for row in ["Signature\tother:ES256\t{\"kid\":\"@kid:ES256\"}", "Expired\tES256\t\t{\"exp\":\"@-1\"}"] {
        let token = minted(&provider, &row.split('\t').collect::<Vec<_>>());
        let asked = Instant::now();
        assert!(gateway.present(&token).await.is_err());
        assert!(asked.elapsed() >= portcullis_identity::REFUSAL_FLOOR, "{row}");
    }
}

#[tokio::test]
async fn issuers_do_not_speak_for_each_other() {
    let (main, ci) = (provider(), provider());
    let mut second = prefixed(&ci, "ci:");
    second.user_claim = "email".into();
    second.groups_allowed = Some(["deploy".into()].into());
    let gateway = Gateway::trusting(vec![trusted(&main), second]).await;
    let found = gateway.present(&good(&main, Algorithm::RS256, "alice")).await.unwrap();
    assert_eq!((&*found.principal.issuer, &*found.principal.user), (main.issuer(), "alice"));
    // The one's claims under the other's signature.
    let header = ci.header(Algorithm::ES256).to_string();
    let forged = ci.mint(By::Its(Algorithm::ES256), &header, &main.claims("alice").to_string()).unwrap();
    assert_eq!(gateway.present(&forged).await.unwrap_err().why(), Why::Oidc(Flaw::UnknownKey));
    let mail = |verified: Value| {
        let mut claims = ci.claims("1234");
        claims["email"] = "alice".into();
        claims["email_verified"] = verified;
        claims["groups"] = serde_json::json!(["deploy", "dba", "ci:dba"]);
        ci.mint(By::Its(Algorithm::ES256), &header, &claims.to_string()).unwrap()
    };
    let found = gateway.present(&mail(true.into())).await.unwrap().principal;
    assert_eq!((&*found.user, &*found.subject, &*found.issuer), ("ci:alice", "1234", ci.issuer()));
    assert_eq!(found.groups, ["ci:deploy".into()].into());
    for unverified in [false.into(), "true".into(), Value::Null] {
        assert_eq!(gateway.present(&mail(unverified)).await.unwrap_err().why(), Why::Oidc(Flaw::User));
    }
}

/// The time after which tokens may cause the keys to be fetched again has passed; for the gateway alone.
async fn later() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
}

/// Making keys takes as long as chance wills; the gateway's clock stands still meanwhile.
fn rotate(provider: &Provider) {
    tokio::time::pause();
    provider.rotate().unwrap();
    tokio::time::resume();
}

#[tokio::test]
async fn keys_rotate_and_are_taken_back() {
    let provider = provider();
    let gateway = Gateway::trusting(vec![trusted(&provider)]).await;
    let old = good(&provider, Algorithm::EdDSA, "alice");
    assert!(gateway.present(&old).await.is_ok());
    rotate(&provider);
    let new = good(&provider, Algorithm::EdDSA, "alice");
    // It asks at most every ten seconds, whoever wants it to.
    assert_eq!(gateway.present(&new).await.unwrap_err().why(), Why::Oidc(Flaw::UnknownKey));
    assert_eq!(provider.keys_asked(), 1);
    later().await;
    assert!(gateway.present(&new).await.is_ok() && gateway.present(&old).await.is_ok());
    assert_eq!(provider.keys_asked(), 2);
    // A gateway that starts now knows both, and after the old ones are taken back only the new.
    let second = Gateway::trusting(vec![trusted(&provider)]).await;
    assert!(second.present(&old).await.is_ok() && second.present(&new).await.is_ok());
    provider.retire();
    let last = Gateway::trusting(vec![trusted(&provider)]).await;
    assert!(last.present(&new).await.is_ok());
    assert_eq!(last.present(&old).await.unwrap_err().why(), Why::Oidc(Flaw::UnknownKey));
}

#[tokio::test]
async fn known_keys_outlast_an_absence_and_new_ones_are_found_after_it() {
    let provider = provider();
    let gateway = Gateway::trusting(vec![trusted(&provider)]).await;
    let old = good(&provider, Algorithm::EdDSA, "alice");
    assert!(gateway.present(&old).await.is_ok());
    rotate(&provider);
    let new = good(&provider, Algorithm::EdDSA, "alice");
    provider.go_away(true);
    later().await;
    // It is asked, and gives nothing: the new key stays unknown, the old one known.
    assert_eq!(gateway.present(&new).await.unwrap_err().why(), Why::Oidc(Flaw::UnknownKey));
    assert!(gateway.present(&old).await.is_ok());
    // Whoever starts now knows none, and counts nothing against those who come.
    let late = Gateway::trusting(vec![trusted(&provider)]).await;
    for token in [&old, &new] {
        assert_eq!(late.present(token).await.unwrap_err().why(), Why::Unavailable);
    }
    assert_eq!(provider.keys_asked(), 1);
    provider.go_away(false);
    later().await;
    for gateway in [&gateway, &late] {
        assert!(gateway.present(&new).await.is_ok() && gateway.present(&old).await.is_ok());
    }
}

#[tokio::test]
async fn only_the_id_token_of_a_login_says_when_it_was() {
    let provider = provider();
    let gateway = Gateway::trusting(vec![trusted(&provider)]).await;
    let at = Timestamp::now().as_second() - 20;
    for (header, claims, interactive) in [
        ("{}", format!("{{\"auth_time\":{at}}}"), Some(at)),
        ("{}", format!("{{\"auth_time\":{at},\"azp\":\"portcullis\",\"typ\":\"ID\"}}"), Some(at)),
        ("{}", "{}".to_owned(), None),
        ("{\"typ\":\"at+jwt\"}", format!("{{\"auth_time\":{at}}}"), None),
        ("{}", format!("{{\"auth_time\":{at},\"azp\":\"other\"}}"), None),
        ("{}", format!("{{\"auth_time\":{at},\"scope\":\"openid\"}}"), None),
        ("{}", format!("{{\"auth_time\":{at},\"client_id\":\"agent-7\"}}"), None),
        ("{}", format!("{{\"auth_time\":{at},\"typ\":\"Bearer\"}}"), None),
        ("{}", format!("{{\"auth_time\":{at},\"token_use\":\"access\"}}"), None),
    ] {
        let found = gateway.present(&minted(&provider, &["good", "ES256", header, &claims])).await.unwrap();
        assert_eq!(found.interactive.map(Timestamp::as_second), interactive, "{header} {claims}");
    }
}

/// `openidconnect`'s signatures of every kind, held against changes of one character.
#[tokio::test]
async fn no_signature_that_differs_in_one_character_is_accepted() {
    let provider = provider();
    let gateway = Gateway::trusting(vec![trusted(&provider)]).await;
    for algorithm in Algorithm::ALL {
        let token = good(&provider, algorithm, "alice");
        assert!(gateway.present(&token).await.is_ok());
        let from = token.rfind('.').unwrap() + 1;
        // Long signatures are slow to check: a part of them, from its last character on.
        let step = if token.len() - from > 200 { 9 } else { 1 };
        let changed = (from..token.len()).rev().step_by(step).map(|at| {
            let put = if token[at..].starts_with('A') { "B" } else { "A" };
            format!("{}{put}{}", &token[..at], &token[at + 1..])
        });
        let changed: Vec<_> = changed.collect();
        let judged = futures_util::future::join_all(changed.iter().map(|token| gateway.present(token)));
        let judged = tokio::time::timeout(Duration::from_secs(60), judged).await.unwrap();
        assert!(judged.iter().all(Result::is_err), "{algorithm:?}");
    }
}
