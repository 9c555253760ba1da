//! A vault server as HashiCorp's documentation has it: KV version 2, the database engine, leases, tokens and AppRole logins,
//! with the paths, forms and error bodies of the real one; sealed, or with its tokens revoked, when a test says so.
//!
//! Promises: listens on a random loopback port over plain HTTP; nothing without a good token; a login of the database engine
//! is made in the database by the caller's function, and taken away there when its lease is revoked or has run out: what was
//! not renewed in time is none, and cannot be renewed; the same for the token of a login. Does not promise a vault's care for
//! anything but a test: no policies, the logins that a token asked for outlive it, and what has run out ends when the server
//! is next asked something.
//! Held by: `tests/it/vault_server.rs` of the binary.

use crate::error::TestkitError;
use crate::http::{Act, Answers, Asked, Service, answer};
use crate::random_hex;
use arc_swap::ArcSwap;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Makes (`true`) or takes away a login of this name with this password, in the database.
pub type Manage = Arc<dyn Fn(bool, &str, &str) -> Result<(), TestkitError> + Send + Sync>;

/// What it knows and was told.
struct State {
    /// By path below `/v1/`.
    secrets: ArcSwap<BTreeMap<String, Value>>,
    tokens: ArcSwap<Vec<Token>>,
    role_id: String,
    secret_id: String,
    manage: Manage,
    /// By their ids.
    leases: ArcSwap<BTreeMap<String, Lease>>,
    lasts: u64,
    token_lasts: AtomicU64,
    sealed: AtomicBool,
    renewals: AtomicUsize,
    token_renewals: AtomicUsize,
    given_back: AtomicUsize,
    logins: AtomicUsize,
}

/// A login that was made.
#[derive(Clone)]
struct Lease {
    name: String,
    until: Instant,
}

/// What is shown with a request.
#[derive(Clone)]
struct Token {
    text: String,
    /// For ever, where there is none.
    until: Option<Instant>,
}

/// A running server. Cheap to ask.
pub struct VaultServer {
    service: Service,
    state: Arc<State>,
}

impl VaultServer {
    /// Starts one whose database logins last this many seconds and are managed by this function.
    ///
    /// # Errors
    /// [`TestkitError`].
    pub fn start(lasts: u64, manage: Manage) -> Result<Self, TestkitError> {
        let state = Arc::new(State {
            secrets: ArcSwap::default(),
            tokens: ArcSwap::from_pointee(vec![Token { text: format!("hvs.{}", random_hex()?), until: None }]),
            role_id: random_hex()?,
            secret_id: random_hex()?,
            manage,
            leases: ArcSwap::default(),
            lasts,
            token_lasts: AtomicU64::new(1200),
            sealed: AtomicBool::new(false),
            renewals: AtomicUsize::new(0),
            token_renewals: AtomicUsize::new(0),
            given_back: AtomicUsize::new(0),
            logins: AtomicUsize::new(0),
        });
        let told = Arc::clone(&state);
        let answers: Answers = Arc::new(move |asked| told.answer(asked));
        Ok(Self { service: Service::start(answers)?, state })
    }

    /// `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.service.address()
    }

    /// A token that is good from the start.
    #[must_use]
    pub fn token(&self) -> String {
        self.state.tokens.load().first().map(|token| token.text.clone()).unwrap_or_default()
    }

    /// How many seconds the token of a login lasts from now on: 20 minutes at first.
    pub fn set_token_lasts(&self, seconds: u64) {
        self.state.token_lasts.store(seconds, Ordering::SeqCst);
    }

    /// What the AppRole logs in with: its id and its secret.
    #[must_use]
    pub fn app_role(&self) -> (String, String) {
        (self.state.role_id.clone(), self.state.secret_id.clone())
    }

    /// Puts a secret at `MOUNT/data/PATH`.
    pub fn put(&self, path: &str, fields: &Value) {
        self.state.secrets.rcu(|secrets| {
            let mut secrets = BTreeMap::clone(secrets);
            secrets.insert(path.to_owned(), fields.clone());
            secrets
        });
    }

    /// Seals it, or opens it again.
    pub fn seal(&self, sealed: bool) {
        self.state.sealed.store(sealed, Ordering::SeqCst);
    }

    /// Revokes every token.
    pub fn revoke_tokens(&self) {
        self.state.tokens.store(Arc::default());
    }

    /// The logins that it made, that nobody gave back and that have not run out.
    #[must_use]
    pub fn logins_made(&self) -> Vec<String> {
        self.state.end_what_ran_out();
        self.state.leases.load().values().map(|lease| lease.name.clone()).collect()
    }

    /// How often leases were renewed, and how often somebody logged in.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.state.renewals.load(Ordering::SeqCst), self.state.logins.load(Ordering::SeqCst))
    }

    /// How many of its logins were given back before they ran out.
    #[must_use]
    pub fn given_back(&self) -> usize {
        self.state.given_back.load(Ordering::SeqCst)
    }

    /// How often somebody's own token was renewed.
    #[must_use]
    pub fn token_renewals(&self) -> usize {
        self.state.token_renewals.load(Ordering::SeqCst)
    }
}

fn said(status: &str, body: &Value) -> Vec<Act> {
    answer(status, "application/json", body.to_string().as_bytes())
}

/// In so many seconds, or in a day, which is longer than any test.
fn after(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds.min(24 * 60 * 60))
}

fn denied() -> Vec<Act> {
    said("403 Forbidden", &json!({ "errors": ["permission denied"] }))
}

impl State {
    fn answer(&self, asked: &Asked) -> Vec<Act> {
        if self.sealed.load(Ordering::SeqCst) {
            return said("503 Service Unavailable", &json!({ "errors": ["Vault is sealed"] }));
        }
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let verb = asked.line.split(' ').next().unwrap_or_default();
        let path = asked.target().strip_prefix("/v1/").unwrap_or_default();
        if verb == "PUT" && path == "auth/approle/login" {
            return self.log_in(text("role_id"), text("secret_id"));
        }
        let token = asked.header("x-vault-token").unwrap_or_default();
        self.end_what_ran_out();
        if !self.tokens.load().iter().any(|good| good.text == token) || asked.header("x-vault-request") != Some("true")
        {
            return denied();
        }
        match (verb, path) {
            ("GET", "auth/token/lookup-self") => said("200 OK", &json!({ "data": { "ttl": 3600, "renewable": true } })),
            ("PUT", "auth/token/renew-self") => self.renew_token(token),
            ("PUT", "sys/leases/renew") => self.renew(text("lease_id")),
            ("PUT", "sys/leases/revoke") => self.revoke(text("lease_id")),
            ("GET", path) if path.split('/').rev().nth(1) == Some("creds") => self.make(path),
            ("GET", path) => match self.secrets.load().get(path) {
                Some(fields) => said(
                    "200 OK",
                    &json!({
                        "request_id": "1", "lease_id": "", "renewable": false, "lease_duration": 0,
                        "data": { "data": fields, "metadata": { "version": 1, "destroyed": false, "deletion_time": "" } },
                        "wrap_info": null, "warnings": null, "auth": null,
                    }),
                ),
                None => said("404 Not Found", &json!({ "errors": [] })),
            },
            _ => said("405 Method Not Allowed", &json!({ "errors": ["unsupported operation"] })),
        }
    }

    fn log_in(&self, role_id: &str, secret_id: &str) -> Vec<Act> {
        let Ok(random) = random_hex() else { return denied() };
        if role_id != self.role_id || secret_id != self.secret_id {
            return said("400 Bad Request", &json!({ "errors": ["invalid role or secret ID"] }));
        }
        self.logins.fetch_add(1, Ordering::SeqCst);
        let (text, lasts) = (format!("hvs.{random}"), self.token_lasts.load(Ordering::SeqCst));
        let token = Token { text: text.clone(), until: Some(after(lasts)) };
        self.tokens.rcu(|tokens| [tokens.to_vec(), vec![token.clone()]].concat());
        let auth = json!({
            "client_token": text, "accessor": "a", "policies": ["default"], "token_policies": ["default"],
            "lease_duration": lasts, "renewable": true,
        });
        said("200 OK", &json!({ "auth": auth, "data": null, "lease_id": "" }))
    }

    fn renew_token(&self, text: &str) -> Vec<Act> {
        let lasts = self.token_lasts.load(Ordering::SeqCst);
        let until = after(lasts);
        self.tokens.rcu(|tokens| {
            let mut tokens = Vec::clone(tokens);
            for token in tokens.iter_mut().filter(|token| token.text == text) {
                token.until = token.until.map(|_| until);
            }
            tokens
        });
        self.token_renewals.fetch_add(1, Ordering::SeqCst);
        said("200 OK", &json!({ "auth": { "client_token": text, "lease_duration": lasts, "renewable": true } }))
    }

    /// Takes away what has run out: who renews it later finds nothing.
    fn end_what_ran_out(&self) {
        let now = Instant::now();
        self.tokens.rcu(|tokens| {
            tokens.iter().filter(|token| token.until.is_none_or(|until| until > now)).cloned().collect::<Vec<_>>()
        });
        let before = self.leases.rcu(|leases| {
            let mut leases = BTreeMap::clone(leases);
            leases.retain(|_, lease| lease.until > now);
            leases
        });
        for lease in before.values().filter(|lease| lease.until <= now) {
            // A session may still have it, and things that belong to it.
            let (Ok(()) | Err(_)) = (self.manage)(false, &lease.name, "");
        }
    }

    fn make(&self, path: &str) -> Vec<Act> {
        let (Ok(name), Ok(password)) = (random_hex(), random_hex()) else { return denied() };
        let name = format!("v-approle-{}", name.get(..12).unwrap_or_default());
        if let Err(error) = (self.manage)(true, &name, &password) {
            return said("500 Internal Server Error", &json!({ "errors": [error.to_string()] }));
        }
        let id = format!("{path}/{name}");
        let lease = Lease { name: name.clone(), until: after(self.lasts) };
        self.leases.rcu(|leases| {
            let mut leases = BTreeMap::clone(leases);
            leases.insert(id.clone(), lease.clone());
            leases
        });
        said(
            "200 OK",
            &json!({
                "request_id": "1", "lease_id": id, "renewable": true, "lease_duration": self.lasts,
                "data": { "username": name, "password": password }, "wrap_info": null, "warnings": null, "auth": null,
            }),
        )
    }

    fn renew(&self, id: &str) -> Vec<Act> {
        let until = after(self.lasts);
        let before = self.leases.rcu(|leases| {
            let mut leases = BTreeMap::clone(leases);
            leases.entry(id.to_owned()).and_modify(|lease| lease.until = until);
            leases
        });
        if !before.contains_key(id) {
            return said("400 Bad Request", &json!({ "errors": ["lease not found"] }));
        }
        self.renewals.fetch_add(1, Ordering::SeqCst);
        said("200 OK", &json!({ "lease_id": id, "renewable": true, "lease_duration": self.lasts }))
    }

    fn revoke(&self, id: &str) -> Vec<Act> {
        let before = self.leases.rcu(|leases| {
            let mut leases = BTreeMap::clone(leases);
            leases.remove(id);
            leases
        });
        let ended = before.get(id).map(|lease| (self.manage)(false, &lease.name, ""));
        self.given_back.fetch_add(usize::from(ended.is_some()), Ordering::SeqCst);
        match ended {
            Some(Err(error)) => said("500 Internal Server Error", &json!({ "errors": [error.to_string()] })),
            Some(Ok(())) | None => vec![Act::Write("HTTP/1.1 204 No Content\r\n\r\n".into())],
        }
    }
}
