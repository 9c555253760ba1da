//! The identity provider: each way to its tokens, and what it must not give any for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_testkit::idp::{Provider, Settings};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const VERIFIER: &str = "a-verifier-of-forty-three-characters-or-more";
const BACK: &str = "http://127.0.0.1:4711/back";

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// A field of the query that a browser is sent on with.
    fn sent_on(&self, name: &str) -> Option<&str> {
        let target = self.head.split_once("location: ")?.1.lines().next()?;
        let fields = target.split_once('?')?.1.split('&').filter_map(|field| field.split_once('='));
        fields.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

fn ask(provider: &Provider, line: &str, body: Option<&str>) -> Answer {
    let host = provider.issuer().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.map(|body| format!("content-length: {}\r\n", body.len())).unwrap_or_default();
    write!(stream, "{line} HTTP/1.1\r\nhost: {host}\r\n{length}\r\n{}", body.unwrap_or_default()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Answer { status: head[9..12].parse().unwrap(), head: head.to_owned(), body: body.to_owned() }
}

fn post(provider: &Provider, path: &str, body: &str) -> Answer {
    ask(provider, &format!("POST {path}"), Some(body))
}

fn claims(token: &Value) -> Value {
    let part = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn request(more: &str) -> String {
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    format!(
        "response_type=code&client_id=portcullis&redirect_uri={BACK}&state=s%26t&nonce=n&code_challenge={challenge}\
         &code_challenge_method=S256{more}"
    )
}

fn code(provider: &Provider) -> String {
    let answer = post(provider, "/authorize", &request("&user=dana&password=dana"));
    assert_eq!((answer.status, answer.sent_on("state")), (303, Some("s%26t")));
    answer.sent_on("code").unwrap().to_owned()
}

fn exchange(provider: &Provider, code: &str, redirect: &str, verifier: &str, client: &str) -> Answer {
    let form = format!(
        "grant_type=authorization_code&code={code}&redirect_uri={redirect}&code_verifier={verifier}&client_id={client}"
    );
    post(provider, "/token", &form)
}

fn provider() -> Provider {
    Provider::start(Settings::for_tests()).unwrap()
}

#[test]
fn a_login_gives_a_code_that_is_worth_tokens_once() {
    let provider = provider();
    let shown = ask(&provider, &format!("GET /authorize?{}", request("")), None);
    assert!(shown.status == 200 && shown.body.contains("name=\"password\""), "{}", shown.body);
    for wrong in ["&user=dana&password=no", "&user=&password=", "&user=dana&password=dana&password=dana"] {
        let answer = post(&provider, "/authorize", &request(wrong));
        assert!(answer.status == 401 && answer.sent_on("code").is_none(), "{wrong}");
    }
    let made = code(&provider);
    let tokens = exchange(&provider, &made, BACK, VERIFIER, "portcullis").json();
    let id = claims(&tokens["id_token"]);
    assert_eq!((&id["sub"], &id["aud"], &id["nonce"]), (&"dana".into(), &"portcullis".into(), &"n".into()));
    assert!(id["auth_time"].is_u64() && id["groups"][0] == "dba" && id["email_verified"] == true);
    assert!(claims(&tokens["access_token"]).get("auth_time").is_none());
    assert_eq!(exchange(&provider, &made, BACK, VERIFIER, "portcullis").json()["error"], "invalid_grant");
    // A refresh is for one use too, and keeps the time of the login.
    let refresh = format!(
        "grant_type=refresh_token&client_id=portcullis&refresh_token={}",
        tokens["refresh_token"].as_str().unwrap()
    );
    let again = post(&provider, "/token", &refresh).json();
    assert_eq!(claims(&again["id_token"])["auth_time"], id["auth_time"]);
    assert_eq!(post(&provider, "/token", &refresh).json()["error"], "invalid_grant");
}

#[test]
fn a_code_is_for_its_client_its_redirect_and_its_verifier() {
    let provider = provider();
    for (redirect, verifier, client) in [
        ("http://127.0.0.1:4712/back", VERIFIER, "portcullis"),
        (BACK, "another-verifier-of-forty-three-characters-", "portcullis"),
        (BACK, "", "portcullis"),
        (BACK, VERIFIER, "agent-7"),
        (BACK, VERIFIER, "agent-7&client_secret=agent-7"),
        (BACK, VERIFIER, "nobody"),
    ] {
        let refused = exchange(&provider, &code(&provider), redirect, verifier, client);
        assert!(refused.status >= 400 && refused.json().get("id_token").is_none(), "{redirect} {verifier} {client}");
    }
    for (from, to) in [
        ("code_challenge_method=S256", "code_challenge_method=plain"),
        ("&code_challenge_method=S256", ""),
        ("code_challenge=", "ignored="),
    ] {
        let answer = post(&provider, "/authorize", &request("&user=dana&password=dana").replace(from, to));
        assert_eq!((answer.sent_on("error"), answer.sent_on("code")), (Some("invalid_request"), None), "{to}");
    }
    for redirect in
        ["https://evil.example/", "http://127.0.0.1.evil.example:1/", "http://127.0.0.1:1@evil.example/", ""]
    {
        let answer = post(&provider, "/authorize", &request("&user=dana&password=dana").replace(BACK, redirect));
        assert!(answer.status == 400 && !answer.head.contains("location"), "{redirect}");
    }
}

#[test]
fn a_device_has_its_tokens_once_its_user_has_logged_in() {
    let provider = provider();
    let begun = post(&provider, "/device_authorization", "client_id=portcullis").json();
    let poll = format!(
        "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=portcullis&device_code={}",
        begun["device_code"].as_str().unwrap()
    );
    assert_eq!(post(&provider, "/token", &poll).json()["error"], "authorization_pending");
    let user_code = begun["user_code"].as_str().unwrap();
    let shown = ask(&provider, &format!("GET /device?user_code={user_code}"), None);
    assert!(shown.body.contains(user_code));
    let enter = |code: &str, password: &str| {
        post(&provider, "/device", &format!("user_code={code}&user=dana&password={password}")).status
    };
    assert_eq!((enter("00000000", "dana"), enter(user_code, "no")), (400, 401));
    assert_eq!(post(&provider, "/token", &poll).json()["error"], "authorization_pending");
    assert_eq!((enter(user_code, "dana"), enter(user_code, "dana")), (200, 400));
    let tokens = post(&provider, "/token", &poll).json();
    assert_eq!(claims(&tokens["id_token"])["sub"], "dana");
    assert_eq!(post(&provider, "/token", &poll).json()["error"], "invalid_grant");
    assert_eq!(post(&provider, "/device_authorization", "client_id=nobody").status, 401);
}

#[test]
fn a_device_whose_user_says_no_or_comes_late_has_none_and_one_in_a_hurry_is_slowed() {
    let begin = |settings: Settings| {
        let provider = Provider::start(settings).unwrap();
        let begun = post(&provider, "/device_authorization", "client_id=portcullis").json();
        let poll = format!(
            "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=portcullis&device_code={}",
            begun["device_code"].as_str().unwrap()
        );
        (provider, begun["user_code"].as_str().unwrap().to_owned(), poll)
    };
    let (provider, code, poll) = begin(Settings { slow_down: true, ..Settings::for_tests() });
    assert_eq!(post(&provider, "/token", &poll).json()["error"], "slow_down");
    assert_eq!(post(&provider, "/token", &poll).json()["error"], "authorization_pending");
    let enter =
        |more: &str| post(&provider, "/device", &format!("user_code={code}&user=dana&password=dana{more}")).status;
    assert_eq!((enter("&answer=no"), enter("")), (200, 400));
    assert_eq!(
        (post(&provider, "/token", &poll).json()["error"].as_str(), provider.devices()),
        (Some("access_denied"), 1)
    );
    let (provider, _, poll) = begin(Settings { device_lifetime: Duration::ZERO, ..Settings::for_tests() });
    assert_eq!(post(&provider, "/token", &poll).json()["error"], "expired_token");
}

#[test]
fn a_client_with_a_secret_acts_for_itself_and_nobody_else_does() {
    let provider = provider();
    let grant =
        |client: &str| post(&provider, "/token", &format!("grant_type=client_credentials&client_id={client}")).json();
    let tokens = grant("agent-7&client_secret=agent-7");
    let access = claims(&tokens["access_token"]);
    assert_eq!((&access["sub"], &access["aud"]), (&"agent-7".into(), &"portcullis".into()));
    assert!(access.get("auth_time").is_none() && tokens.get("refresh_token").is_none());
    for (client, error) in [
        ("agent-7", "invalid_client"),
        ("agent-7&client_secret=no", "invalid_client"),
        ("portcullis", "unsupported_grant_type"),
        ("nobody", "invalid_client"),
    ] {
        assert_eq!(grant(client)["error"], error, "{client}");
    }
}

#[test]
fn it_says_where_everything_is_and_shows_no_private_part() {
    let provider = provider();
    let document = ask(&provider, "GET /.well-known/openid-configuration", None).json();
    assert_eq!(document["issuer"], provider.issuer());
    for name in ["authorization_endpoint", "token_endpoint", "device_authorization_endpoint", "jwks_uri"] {
        assert!(document[name].as_str().unwrap().starts_with(provider.issuer()), "{name}");
    }
    let keys = ask(&provider, "GET /keys", None).json();
    let keys = keys["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 4);
    assert!(keys.iter().all(|key| ["d", "p", "q", "k"].iter().all(|part| key.get(part).is_none())));
    provider.go_away(true);
    assert_eq!(ask(&provider, "GET /keys", None).status, 503);
}
