//! The vault server: what is asked of it and when, and what its answers come to. The answers are those of HashiCorp
//! Vault's documentation (`/secret/kv-v2`, `/secret/databases`, `/system/leases`, `/auth/approle`).

use super::*;
use crate::server::{Answered, Exchange, Exchanged, NoAnswer, Request, Verb};
use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// What the server does about a request: a status and a body, or nothing.
type Act = dyn Fn(&str, Option<&str>) -> Option<(u16, String)> + Send + Sync;

/// A server of one function, which remembers what it was asked.
pub(super) struct Scripted {
    act: Box<Act>,
    asked: ArcSwap<Vec<String>>,
}

impl Scripted {
    pub(super) fn new(act: impl Fn(&str, Option<&str>) -> Option<(u16, String)> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { act: Box::new(act), asked: ArcSwap::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.load().to_vec()
    }

    fn count(&self, line: &str) -> usize {
        self.asked().iter().filter(|asked| asked.starts_with(line)).count()
    }
}

impl Exchange for Scripted {
    fn send(&self, request: Request) -> Exchanged<'_> {
        let header = |name: &str| request.headers.iter().find(|(known, _)| *known == name);
        let token = header("x-vault-token").map(|(_, value)| value.expose_secret().to_owned());
        assert!(header("x-vault-request").is_some());
        let verb = match request.verb {
            Verb::Get => "GET",
            Verb::Put => "PUT",
        };
        let body = String::from_utf8(request.body.to_vec()).unwrap();
        let line = format!("{verb} {} {body}", request.path).trim_end().to_owned();
        self.asked.rcu(|asked| [asked.to_vec(), vec![line.clone()]].concat());
        let answer = (self.act)(&line, token.as_deref());
        Box::pin(async move {
            match answer {
                Some((status, body)) => Ok(Answered { status, body: Zeroizing::new(body.into_bytes()) }),
                None => Err(NoAnswer("connection refused".to_owned())),
            }
        })
    }
}

fn ok(body: &str) -> Option<(u16, String)> {
    Some((200, body.to_owned()))
}

const DENIED: &str = r#"{"errors":["permission denied: hunter2-internal"]}"#;

/// A file with a secret of the gateway's.
fn source(dir: &tempfile::TempDir, name: &str, value: &str) -> PlainSource {
    let path = dir.path().join(name);
    fs::write(&path, value).unwrap();
    PlainSource::File(path)
}

fn app_role(dir: &tempfile::TempDir) -> ServerLogin {
    ServerLogin::AppRole {
        mount: "approle".into(),
        role_id: source(dir, "role", "the-role"),
        secret_id: source(dir, "secret", "its \"secret\"\n"),
    }
}

fn kv(field: &str) -> Method {
    Method::Password(SecretSource::Server { path: "secret/data/app".into(), field: field.into() })
}

fn before(method: Method, server: &Arc<Server>) -> Credentials {
    with(method).with_server(Arc::clone(server))
}

#[tokio::test]
async fn a_field_is_read_with_the_token_at_each_lease() {
    let dir = tempfile::tempdir().unwrap();
    let reads = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&reads);
    let exchange = Scripted::new(move |line, token| {
        assert_eq!(line, "GET /v1/secret/data/app");
        if token != Some("s.rotated") {
            return Some((403, DENIED.to_owned()));
        }
        let nth = counted.fetch_add(1, Ordering::Relaxed);
        ok(&format!(
            r#"{{"data":{{"data":{{"user":"x","password":"h\u00fcnter-{nth}"}},"metadata":{{"version":2,"destroyed":false}}}},"lease_id":""}}"#
        ))
    });
    let login = ServerLogin::Token(source(&dir, "token", "s.first"));
    let (server, _keeper) = Server::new(exchange.clone(), login, None);
    let credentials = before(kv("password"), &server);
    let denied = lease(&credentials).await.unwrap_err();
    assert!(denied.to_string().contains("403"), "{denied}");
    // The file is somebody else's to rotate.
    source(&dir, "token", "s.rotated");
    for nth in 0..2 {
        assert_eq!(secret(&lease(&credentials).await.unwrap()), Some(&*format!("hünter-{nth}")));
    }
    assert!(!format!("{credentials:?} {server:?} {denied:?}").contains("hunter2"));
    assert_eq!(exchange.asked().len(), 3, "no logins and no looks at a token that somebody else keeps");
}

#[tokio::test]
async fn what_the_server_does_not_give_is_no_lease_and_its_words_are_in_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: Vec<(Option<(u16, String)>, &str)> = vec![
        (None, "no answer: connection refused"),
        (Some((403, DENIED.to_owned())), "denies"),
        (Some((404, r#"{"errors":[]}"#.to_owned())), "nothing there"),
        (
            Some((404, r#"{"data":{"data":null,"metadata":{"deletion_time":"2026-01-01T00:00:00Z"}}}"#.to_owned())),
            "nothing there",
        ),
        (Some((503, r#"{"errors":["Vault is sealed hunter2"]}"#.to_owned())), "sealed or not ready (503)"),
        (Some((307, String::new())), "answered 307"),
        (Some((500, r#"{"errors":["hunter2 dsn=postgres://root:hunter2@db"]}"#.to_owned())), "answered 500"),
        (ok(""), "not a secret of KV version 2"),
        (ok("hunter2"), "not a secret of KV version 2"),
        (ok(&deep), "not a secret of KV version 2"),
        // Version 1 has no `data` in its data, and its field of that name would be another thing.
        (ok(r#"{"data":{"password":"hunter2"}}"#), "deleted"),
        (ok(r#"{"data":{"data":"hunter2"}}"#), "not a secret of KV version 2"),
        (ok(r#"{"data":null}"#), "deleted"),
        (ok(r#"{"data":{"data":null}}"#), "deleted"),
        (ok(r#"{"data":{"data":{"other":"hunter2"}}}"#), "no such field"),
        (ok(r#"{"data":{"data":{"password":["hunter2"]}}}"#), "not text"),
        (ok(r#"{"data":{"data":{"password":7}}}"#), "not text"),
        (ok(r#"{"data":{"data":{"password":""}}}"#), "is empty"),
        (ok(r#"{"data":{"data":{"password":"hunter2\u0000"}}}"#), "NUL"),
        (ok(&format!(r#"{{"data":{{"data":{{"password":"{}"}}}}}}"#, "x".repeat(64 * 1024 + 1))), "64 KiB"),
    ];
    for (answer, expected) in cases {
        let exchange = Scripted::new(move |_, _| answer.clone());
        let login = ServerLogin::Token(source(&dir, "token", "s.token-canary"));
        let (server, _keeper) = Server::new(exchange, login, None);
        let error = lease(&before(kv("password"), &server)).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(expected), "{expected}: {shown}");
        assert!(
            shown.contains("secret/data/app") && !shown.contains("hunter2") && !shown.contains("canary"),
            "{shown}"
        );
    }
    let missing = before(
        kv("password"),
        &Server::new(
            Scripted::new(|_, _| ok("")),
            ServerLogin::Token(PlainSource::Env("PORTCULLIS_NO_SUCH_VARIABLE".into())),
            None,
        )
        .0,
    );
    assert!(lease(&missing).await.unwrap_err().to_string().contains("PORTCULLIS_NO_SUCH_VARIABLE"));
    assert!(lease(&with(kv("password"))).await.unwrap_err().to_string().contains("no vault server"));
}

/// A server with AppRole logins: tokens count up, and only the newest is good.
fn with_logins(good: Arc<AtomicU64>, allowed: bool) -> Arc<Scripted> {
    let made = AtomicU64::new(0);
    Scripted::new(move |line, token| {
        if line.starts_with("PUT /v1/auth/approle/login") {
            assert_eq!(line, r#"PUT /v1/auth/approle/login {"role_id":"the-role","secret_id":"its \"secret\""}"#);
            assert_eq!(token, None);
            let nth = made.fetch_add(1, Ordering::Relaxed) + 1;
            good.store(nth, Ordering::Relaxed);
            return ok(&format!(
                r#"{{"auth":{{"client_token":"s.{nth}","accessor":"a","policies":["p"],"lease_duration":1200,"renewable":true}}}}"#
            ));
        }
        if token != Some(&*format!("s.{}", good.load(Ordering::Relaxed))) {
            return Some((403, DENIED.to_owned()));
        }
        match line {
            "GET /v1/auth/token/lookup-self" => ok(r#"{"data":{"ttl":100}}"#),
            "GET /v1/secret/data/app" if allowed => ok(r#"{"data":{"data":{"password":"value"},"metadata":{}}}"#),
            _ => Some((403, DENIED.to_owned())),
        }
    })
}

#[tokio::test]
async fn an_app_role_logs_in_once_and_again_when_its_token_is_none_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let good = Arc::new(AtomicU64::new(0));
    let exchange = with_logins(Arc::clone(&good), true);
    let (server, _keeper) = Server::new(exchange.clone(), app_role(&dir), None);
    let credentials = before(kv("password"), &server);
    let leases = futures(&credentials).await;
    assert!(leases.iter().all(Result::is_ok), "{leases:?}");
    assert_eq!(exchange.count("PUT /v1/auth/approle/login"), 1, "one for all who asked at once");
    good.store(99, Ordering::Relaxed);
    assert!(lease(&credentials).await.is_ok());
    assert_eq!(exchange.count("PUT /v1/auth/approle/login"), 2);
    assert!(!format!("{server:?}").contains("s.2"));
}

async fn futures(credentials: &Credentials) -> Vec<Result<Lease, CredentialError>> {
    let (a, b, c) = tokio::join!(lease(credentials), lease(credentials), lease(credentials));
    vec![a, b, c]
}

#[tokio::test]
async fn what_a_good_token_is_denied_uses_up_no_login() {
    let dir = tempfile::tempdir().unwrap();
    let exchange = with_logins(Arc::default(), false);
    let (server, _keeper) = Server::new(exchange.clone(), app_role(&dir), None);
    for _ in 0..3 {
        assert!(lease(&before(kv("password"), &server)).await.unwrap_err().to_string().contains("403"));
    }
    assert_eq!(exchange.count("PUT /v1/auth/approle/login"), 1);
}

/// A server that makes logins in a database.
fn with_database(lasts: u64, renewable: bool, revoke: impl Fn() -> u16 + Send + Sync + 'static) -> Arc<Scripted> {
    let made = AtomicU64::new(0);
    Scripted::new(move |line, _| {
        if line == "GET /v1/database/creds/app" {
            let nth = made.fetch_add(1, Ordering::Relaxed) + 1;
            return ok(&format!(
                r#"{{"request_id":"r","lease_id":"database/creds/app/{nth}","renewable":{renewable},"lease_duration":{lasts},"data":{{"password":"canary-{nth}","username":"v-app-{nth}"}},"wrap_info":null,"warnings":null,"auth":null}}"#
            ));
        }
        if line.starts_with("PUT /v1/sys/leases/renew") {
            return ok(&format!(r#"{{"lease_id":"x","renewable":true,"lease_duration":{lasts}}}"#));
        }
        Some((revoke(), String::new()))
    })
}

/// A keeper at work, and what stops it.
fn keep(keeper: Keeper) -> (oneshot::Sender<()>, tokio::task::JoinSet<()>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(keeper.keep(async { drop(stopped.await) }));
    (stop, task)
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let waited = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited).await.expect(what);
}

#[tokio::test]
async fn a_login_made_for_a_lease_is_renewed_while_it_is_held_and_then_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let exchange = with_database(1, true, || 204);
    let login = ServerLogin::Token(source(&dir, "token", "s.token"));
    let (server, keeper) = Server::new(exchange.clone(), login, None);
    let (stop, mut task) = keep(keeper);
    let credentials = before(Method::Issued("database/creds/app".into()), &server);
    let (one, other) = (lease(&credentials).await.unwrap(), lease(&credentials).await.unwrap());
    assert_eq!((&*one.username, secret(&one)), ("v-app-1", Some("canary-1")));
    assert_eq!(&*other.username, "v-app-2");
    assert!(!format!("{one:?}").contains("canary"));
    let renewed = r#"PUT /v1/sys/leases/renew {"lease_id":"database/creds/app/1","increment":1}"#;
    until("renewed twice", || exchange.count(renewed) >= 2).await;
    drop(one);
    let revoked = |nth: u64| format!(r#"PUT /v1/sys/leases/revoke {{"lease_id":"database/creds/app/{nth}"}}"#);
    until("given back", || exchange.count(&revoked(1)) == 1).await;
    assert_eq!(exchange.count(&revoked(2)), 0, "the other is held");
    let renewals = exchange.count(renewed);
    // What is left when the gateway stops is given back too.
    drop(stop);
    task.join_next().await.unwrap().unwrap();
    assert_eq!((exchange.count(&revoked(1)), exchange.count(&revoked(2))), (1, 1));
    assert_eq!(exchange.count(renewed), renewals, "what was given back is not renewed");
    drop(other);
}

#[tokio::test]
async fn a_server_that_is_away_is_told_again() {
    let dir = tempfile::tempdir().unwrap();
    let times = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&times);
    let exchange =
        with_database(3600, false, move || if counted.fetch_add(1, Ordering::Relaxed) == 0 { 503 } else { 204 });
    let login = ServerLogin::Token(source(&dir, "token", "s.token"));
    let (server, keeper) = Server::new(exchange.clone(), login, None);
    let (_stop, _task) = keep(keeper);
    drop(lease(&before(Method::Issued("database/creds/app".into()), &server)).await.unwrap());
    until("told again", || times.load(Ordering::Relaxed) >= 2).await;
    assert_eq!(exchange.count("PUT /v1/sys/leases/renew"), 0, "it said that it does not renew");
}

#[tokio::test]
async fn a_login_that_lacks_a_part_or_lasts_for_ever_breaks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let login = || ServerLogin::Token(source(&dir, "token", "s.token"));
    for (body, expected) in [
        (
            r#"{"lease_id":"l","renewable":true,"lease_duration":60,"data":{"username":"u"}}"#,
            Some("no username and password"),
        ),
        (
            r#"{"lease_id":"l","renewable":true,"lease_duration":60,"data":{"username":"","password":"p"}}"#,
            Some("no username"),
        ),
        (r#"{"data":{"username":"u","password":"hunter2"}}"#, Some("not a login of a database engine")),
        (
            r#"{"lease_id":"l","renewable":true,"lease_duration":-1,"data":{}}"#,
            Some("not a login of a database engine"),
        ),
        (
            r#"{"lease_id":"l","renewable":true,"lease_duration":18446744073709551615,"data":{"username":"u","password":"p"}}"#,
            None,
        ),
        (r#"{"lease_id":"l","renewable":true,"lease_duration":0,"data":{"username":"u","password":"p"}}"#, None),
    ] {
        let exchange =
            Scripted::new(move |line, _| if line.starts_with("GET") { ok(body) } else { Some((204, String::new())) });
        let (server, keeper) = Server::new(exchange.clone(), login(), None);
        let (stop, mut task) = keep(keeper);
        let leased = lease(&before(Method::Issued("database/creds/app".into()), &server)).await;
        let error = leased.as_ref().err().map(ToString::to_string);
        assert_eq!(error.is_some(), expected.is_some(), "{body}: {error:?}");
        assert!(error.unwrap_or_default().contains(expected.unwrap_or_default()), "{body}");
        drop((leased, stop));
        task.join_next().await.unwrap().unwrap();
        let revoked = exchange.count("PUT /v1/sys/leases/revoke");
        assert_eq!(revoked, usize::from(body.contains("lease_id") && !body.contains("-1")), "{body}");
    }
}

#[tokio::test]
async fn check_makes_one_login_and_gives_it_back_itself() {
    let dir = tempfile::tempdir().unwrap();
    let exchange = with_database(3600, true, || 204);
    let (server, _) = Server::new(exchange.clone(), ServerLogin::Token(source(&dir, "token", "s.token")), None);
    assert_eq!(before(Method::Issued("database/creds/app".into()), &server).problems().await, []);
    assert_eq!(exchange.asked().len(), 2, "{:?}", exchange.asked());
    assert_eq!(exchange.count("PUT /v1/sys/leases/revoke"), 1);
}
