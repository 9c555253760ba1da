//! The API as its clients meet it: over a socket with a token, and in process.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails loudly")]

mod approvals;

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use portcullis_approvals::Desk;
use portcullis_audit::{Durability, Recorder, Settings as RecordSettings, SigningKey, Writer};
use portcullis_console::{AdminSocket, Api, Health, Journal, call, serve_tls};
use portcullis_credentials::Credentials;
use portcullis_gate::{Gate, MaskingKey, Parts, Settings};
use portcullis_identity::{Authenticated, Identity, NewToken, Roles, Settings as IdentitySettings, TokenKey};
use portcullis_model::{AdminAction, EventBody};
use portcullis_net::{Drain, Limits, listen, serve_tcp};
use portcullis_policy::{PolicySet, SourceFile};
use portcullis_store::{FaultyLog, Log, MemoryLog, MemoryTable};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::net::{TcpStream, UnixStream};

const BUNDLE: &str =
    "bundle: p\napplies_to: { connections: [\"*\"] }\nrules:\n  - id: none\n    deny: { actions: [any] }\n";

struct World {
    api: Arc<Api>,
    identity: Arc<Identity>,
    recorder: Recorder,
    log: Arc<FaultyLog>,
    _writer: Writer,
}

async fn world() -> World {
    let faulty = Arc::new(FaultyLog::new(Arc::new(MemoryLog::new())));
    let log: Arc<dyn Log> = Arc::clone(&faulty) as _;
    let (recorder, writer) =
        Recorder::open(Arc::clone(&log), SigningKey::from_seed(&[3; 32]), RecordSettings::default()).unwrap();
    let table = Arc::new(MemoryTable::new());
    let identity = Identity::open(table, TokenKey::generate(), IdentitySettings::default()).await.unwrap();
    let identity = Arc::new(identity);
    let desk = Desk::open_at(Arc::new(MemoryTable::new()), "gateway", Arc::new(Timestamp::now)).await.unwrap();
    let gate = Gate::new(Parts {
        policy: PolicySet::load(&[SourceFile::new("p.yaml", BUNDLE)]).unwrap().set,
        recorder: recorder.clone(),
        identity: Arc::clone(&identity),
        credentials: Arc::new(Credentials::default()),
        desk: desk.clone(),
        masking_key: Arc::new(MaskingKey::new([3; 32])),
        connections: HashMap::new(),
        settings: Settings {
            durability: Durability::Strict,
            result_bytes: 0,
            approval_wait: std::time::Duration::from_secs(600),
            sessions_per_principal: 1000,
            version: "test".into(),
        },
    })
    .unwrap();
    let roles = Roles {
        admin: [Arc::from("platform")].into(),
        auditor: [Arc::from("audit")].into(),
        approver: ["dba", "leads"].map(Arc::from).into(),
    };
    let api = Api {
        journal: Journal::Gate(gate),
        identity: Arc::clone(&identity),
        roles,
        reader: recorder.reader(),
        public: recorder.public().clone(),
        log,
        recorder: Some(recorder.clone()),
        connections: Vec::new(),
        endpoints: Vec::new(),
        authority: None,
        ssh_host_key: None,
        logins: Vec::new(),
        desk,
        reload: None,
        health: Health::default(),
    };
    World { api: Arc::new(api), identity, recorder, log: faulty, _writer: writer }
}

impl World {
    async fn local(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        self.asked_by(Authenticated::local_admin(Some("root")), method, path, body).await
    }

    async fn asked_by(&self, caller: Authenticated, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = call(Arc::clone(&self.api), request, caller).await;
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn token(&self, group: &str) -> String {
        let wanted = NewToken::for_user("somebody").in_group(group);
        let made =
            self.identity.create_token(wanted, &Authenticated::local_admin(None), Timestamp::now()).await.unwrap();
        made.text.expose_secret().to_owned()
    }
}

/// One request over a fresh connection to a served listener.
async fn remote(world: &World, path: &str, token: Option<&str>) -> (StatusCode, String) {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (drain, api) = (Drain::new(), Arc::clone(&world.api));
    let serving = serve_tcp(listener, Limits::default(), drain.clone(), move |accepted| {
        serve_tls(Arc::clone(&api), accepted, None)
    });
    let asking = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let answer = ask(stream, path, token).await;
        drain.start();
        answer
    };
    let (_, answer) = tokio::join!(serving, asking);
    answer
}

async fn ask<I>(io: I, path: &str, token: Option<&str>) -> (StatusCode, String)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.unwrap();
    let mut request = Request::builder().uri(path).header("host", "gateway");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    let exchange = async {
        let response = sender.send_request(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        drop(sender);
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    };
    let (_, answer) = tokio::join!(connection, exchange);
    answer
}

#[tokio::test]
async fn a_route_needs_a_principal_and_its_role() {
    let world = world().await;
    let (nobody, auditor, admin) =
        (world.token("agents").await, world.token("audit").await, world.token("platform").await);
    let cases = [
        ("/api/v1/whoami", None, StatusCode::UNAUTHORIZED),
        ("/api/v1/whoami", Some("pct_wrong"), StatusCode::UNAUTHORIZED),
        ("/api/v1/whoami", Some(nobody.as_str()), StatusCode::OK),
        ("/api/v1/tokens", Some(nobody.as_str()), StatusCode::FORBIDDEN),
        ("/api/v1/tokens", Some(auditor.as_str()), StatusCode::FORBIDDEN),
        ("/api/v1/tokens", Some(admin.as_str()), StatusCode::OK),
        ("/api/v1/sessions", Some(admin.as_str()), StatusCode::FORBIDDEN),
        ("/api/v1/sessions", Some(auditor.as_str()), StatusCode::OK),
        ("/api/v1/live", Some(auditor.as_str()), StatusCode::FORBIDDEN),
        ("/api/v1/verify", None, StatusCode::UNAUTHORIZED),
        ("/api/v1/nothing", Some(admin.as_str()), StatusCode::NOT_FOUND),
        ("/livez", None, StatusCode::OK),
    ];
    for (path, token, expected) in cases {
        let (status, body) = remote(&world, path, token).await;
        assert_eq!(status, expected, "{path}: {body}");
    }
}

/// A body that is held back until its token was revoked; the server asks for it once it knows whose it is.
#[tokio::test]
async fn a_token_that_is_revoked_before_the_body_is_there_changes_nothing() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let world = world().await;
    let admin = Authenticated::local_admin(None);
    let wanted = NewToken::for_user("pat").in_group("platform");
    let token = world.identity.create_token(wanted, &admin, Timestamp::now()).await.unwrap();
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (drain, api) = (Drain::new(), Arc::clone(&world.api));
    let serving = serve_tcp(listener, Limits::default(), drain.clone(), move |accepted| {
        serve_tls(Arc::clone(&api), accepted, None)
    });
    let asking = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (body, text) = (r#"{"user":"agent-7"}"#, token.text.expose_secret());
        let head = format!(
            "POST /api/v1/tokens HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {text}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 25];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
        world.identity.revoke_token(token.id, &admin, Timestamp::now()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        drain.start();
        answer
    };
    let (_, answer) = tokio::join!(serving, asking);
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(world.identity.list_tokens().await.unwrap().len(), 1);
}

#[tokio::test]
async fn health_follows_the_gateway_and_metrics_count() {
    let world = world().await;
    assert_eq!(remote(&world, "/readyz", None).await.0, StatusCode::SERVICE_UNAVAILABLE);
    world.api.health.set_ready(true);
    assert_eq!(remote(&world, "/readyz", None).await.0, StatusCode::OK);
    let (status, text) = remote(&world, "/metrics", None).await;
    assert_eq!(status, StatusCode::OK);
    for name in ["portcullis_sessions_open", "portcullis_commands_denied_total", "portcullis_record_failed"] {
        assert!(text.contains(name), "{name} is missing in {text}");
    }
}

#[tokio::test]
async fn a_token_is_made_listed_revoked_and_each_change_is_recorded() {
    let world = world().await;
    let wanted = json!({ "user": "agent-7", "groups": ["agents"], "ttl": "30m" });
    let (status, made) = world.local(Method::POST, "/api/v1/tokens", wanted).await;
    assert_eq!(status, StatusCode::CREATED);
    let token = made.get("token").and_then(Value::as_str).unwrap().to_owned();
    let id = made.get("id").and_then(Value::as_str).unwrap().to_owned();
    assert_eq!(remote(&world, "/api/v1/whoami", Some(&token)).await.0, StatusCode::OK);
    let (_, listed) = world.local(Method::GET, "/api/v1/tokens", Value::Null).await;
    assert!(listed.to_string().contains(&id) && !listed.to_string().contains(&token));
    let path = format!("/api/v1/tokens/{id}");
    assert_eq!(world.local(Method::DELETE, &path, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(remote(&world, "/api/v1/whoami", Some(&token)).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(world.local(Method::DELETE, "/api/v1/tokens/x", Value::Null).await.0, StatusCode::BAD_REQUEST);
    let (sessions, _) = world.recorder.reader().sessions(None, 10).unwrap();
    let changes: Vec<AdminAction> = sessions
        .iter()
        .flat_map(|session| world.recorder.reader().events(session.id, 0))
        .filter_map(|event| match event.unwrap().body {
            EventBody::AdminChanged { change, by } => {
                assert_eq!(&*by.user, "root");
                Some(change)
            }
            _ => None,
        })
        .collect();
    assert!(matches!(changes.as_slice(), [AdminAction::TokenCreated { .. }, AdminAction::TokenRevoked { .. }]));
}

#[tokio::test]
async fn a_request_that_is_wrong_is_told_what_is_wrong() {
    let world = world().await;
    for wrong in
        [json!({ "user": "token" }), json!({ "user": "a", "ttl": "25h" }), json!({ "user": "a", "ttl": "soon" })]
    {
        let (status, told) = world.local(Method::POST, "/api/v1/tokens", wrong).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{told}");
        assert!(told.get("detail").is_some());
    }
    assert_eq!(world.local(Method::POST, "/api/v1/policy/reload", Value::Null).await.0, StatusCode::CONFLICT);
    assert_eq!(world.local(Method::GET, "/api/v1/sessions/abc/events", Value::Null).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_record_is_proved_and_exported() {
    let world = world().await;
    world.local(Method::POST, "/api/v1/tokens", json!({ "user": "a" })).await;
    let mut watermark = world.recorder.durable();
    watermark.wait_for(|mark| mark.reached(1).unwrap()).await.unwrap();
    let (status, proved) = world.local(Method::GET, "/api/v1/verify", Value::Null).await;
    assert_eq!((status, proved.get("unaltered")), (StatusCode::OK, Some(&Value::Bool(true))), "{proved}");
    let (_, listed) = world.local(Method::GET, "/api/v1/sessions?all=true", Value::Null).await;
    let id = listed.get(0).and_then(|session| session.get("id")).and_then(Value::as_str).unwrap().to_owned();
    let request = Request::get(format!("/api/v1/sessions/{id}/export")).body(Body::empty()).unwrap();
    let response = call(Arc::clone(&world.api), request, Authenticated::local_admin(None)).await;
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(status, StatusCode::OK, "{bytes:?}");
    let report = portcullis_audit::verify::export(bytes.as_ref(), world.recorder.public(), &[]).unwrap();
    assert_eq!(report.sessions, 1);
    let (status, cast) =
        remote(&world, &format!("/api/v1/sessions/{id}/asciicast"), Some(&world.token("audit").await)).await;
    assert_eq!(status, StatusCode::OK, "{cast}");
    let header: Value = serde_json::from_str(cast.lines().next().unwrap()).unwrap();
    assert_eq!((header.get("version"), header.get("width")), (Some(&json!(2)), Some(&json!(80))));
    let nobody = remote(&world, &format!("/api/v1/sessions/{id}/asciicast"), Some(&world.token("agents").await)).await;
    assert_eq!(nobody.0, StatusCode::FORBIDDEN);
    let missing = world.local(Method::GET, "/api/v1/sessions/abc/asciicast", Value::Null).await;
    assert_eq!(missing.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_admin_socket_is_the_local_administrator_and_closed_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = world().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let socket = AdminSocket::bind(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let drain = Drain::new();
    let serving = socket.serve(Arc::clone(&world.api), Authenticated::local_admin(Some("root")), drain.clone());
    let asking = async {
        let answer = ask(UnixStream::connect(&path).await.unwrap(), "/api/v1/tokens", None).await;
        drain.start();
        answer
    };
    let ((), (status, _)) = tokio::join!(serving, asking);
    assert_eq!(status, StatusCode::OK);
    assert!(!path.exists(), "the socket outlived its gateway");
}
