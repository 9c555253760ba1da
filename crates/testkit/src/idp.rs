//! An OpenID provider: discovery, keys, a login page, codes with PKCE, device logins, client credentials and refreshes; and,
//! for tests, keys that rotate on demand and tokens with anything wrong in them.
//!
//! Promises: listens on a random loopback port, over plain HTTP; accounts and clients are the caller's; every start has keys
//! of its own. What it hands out over HTTP is what a careful provider would; [`Provider::mint`] makes what none would.
//! Does not promise any of a provider's care for anything but a test or a demo: no lockout, no consent, no logout.
//! Held by: `tests/it/idp.rs`, and `tests/it/oidc.rs` of `identity`.

mod form;
mod grants;
mod keys;

pub use keys::Algorithm;

use crate::error::TestkitError;
use crate::http::{Act, Asked, Service};
use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use form::Form;
use grants::{Pending, document};
use keys::Keys;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Somebody who can log in.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user, who is the subject too.
    pub user: String,
    /// Their password.
    pub password: String,
    /// Their groups.
    pub groups: Vec<String>,
}

/// A program that tokens are for.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its name, and the audience of ID tokens.
    pub id: String,
    /// Its secret, if it can keep one. One without may be sent back to any port of loopback.
    pub secret: Option<String>,
    /// Where else a browser is sent back to.
    pub redirects: Vec<String>,
    /// Its groups, where it acts for itself.
    pub groups: Vec<String>,
}

/// Who logs in, and with what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The people.
    pub accounts: Vec<Account>,
    /// The programs.
    pub clients: Vec<Client>,
    /// Whom access tokens are for.
    pub audience: String,
    /// How long tokens live.
    pub lifetime: Duration,
    /// How clients may show their secret, as discovery says it; another way is refused.
    pub secrets_by: Vec<String>,
    /// Whether a client with a secret gets tokens for itself.
    pub for_programs: bool,
    /// How long a device's code is good.
    pub device_lifetime: Duration,
    /// Whether whoever waits for a device's login is first told to ask more slowly.
    pub slow_down: bool,
    /// Whom ID tokens are for where that is not their client, as no provider should do.
    pub id_tokens_for: Option<String>,
}

impl Settings {
    /// `dana` of `dba`, `alice` of `agents`, the client `portcullis` without a secret, and the agent `agent-7` with one.
    /// Passwords and secret are the names, so this is for tests only.
    #[must_use]
    pub fn for_tests() -> Self {
        let account = |user: &str, group: &str| Account {
            user: user.to_owned(),
            password: user.to_owned(),
            groups: vec![group.to_owned()],
        };
        let client = |id: &str, secret: Option<&str>| Client {
            id: id.to_owned(),
            secret: secret.map(str::to_owned),
            redirects: Vec::new(),
            groups: vec!["agents".to_owned()],
        };
        Self {
            accounts: vec![account("dana", "dba"), account("alice", "agents")],
            clients: vec![client("portcullis", None), client("agent-7", Some("agent-7"))],
            audience: "portcullis".to_owned(),
            lifetime: Duration::from_secs(600),
            secrets_by: Self::every_way(),
            for_programs: true,
            device_lifetime: Self::DEVICE_LIFETIME,
            slow_down: false,
            id_tokens_for: None,
        }
    }

    /// How long a device's code is good at most providers.
    pub const DEVICE_LIFETIME: Duration = Duration::from_secs(600);

    /// Both ways to show a secret.
    #[must_use]
    pub fn every_way() -> Vec<String> {
        ["client_secret_basic", "client_secret_post"].map(str::to_owned).into()
    }
}

/// Who signs what [`Provider::mint`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// This provider's key for the algorithm.
    Its(Algorithm),
    /// A key for the algorithm that nobody has published.
    Another(Algorithm),
    /// An HMAC keyed with the provider's public RSA key, as its file has it.
    PublicKey,
    /// An HMAC keyed with nothing.
    NoKey,
    /// Nobody: the third part is empty.
    Nobody,
}

pub(crate) struct Shared {
    issuer: String,
    settings: Settings,
    keys: ArcSwap<Keys>,
    /// Published too, and signing nothing any more.
    retired: ArcSwap<Vec<Value>>,
    /// A provider's that publishes none of its keys; made when somebody wants them, since RSA keys take their time.
    unpublished: OnceLock<Keys>,
    pending: ArcSwap<Pending>,
    away: AtomicBool,
    keys_asked: AtomicUsize,
    devices: AtomicUsize,
}

/// A running provider.
pub struct Provider {
    shared: Arc<Shared>,
    _service: Service,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.shared.issuer).finish_non_exhaustive()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Provider {
    /// Starts one.
    ///
    /// # Errors
    /// [`TestkitError::Io`] where it cannot listen, [`TestkitError::Key`] where keys cannot be made.
    pub fn start(settings: Settings) -> Result<Self, TestkitError> {
        // The address is known once it listens, and what answers there must know it.
        let late: Arc<OnceLock<Arc<Shared>>> = Arc::default();
        let early = Arc::clone(&late);
        let service = Service::forgetful(Arc::new(move |asked| match early.get() {
            Some(shared) => shared.answer(asked),
            None => document("503 Service Unavailable", &json!({})),
        }))?;
        let shared = Arc::new(Shared {
            issuer: format!("http://{}", service.address()),
            settings,
            keys: ArcSwap::from_pointee(Keys::generate()?),
            retired: ArcSwap::default(),
            unpublished: OnceLock::new(),
            pending: ArcSwap::default(),
            away: AtomicBool::new(false),
            keys_asked: AtomicUsize::new(0),
            devices: AtomicUsize::new(0),
        });
        let shared = Arc::clone(late.get_or_init(|| shared));
        Ok(Self { shared, _service: service })
    }

    /// Its URL, as its tokens say it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// Signs with fresh keys from now on, and still publishes the old ones until [`Provider::retire`].
    ///
    /// # Errors
    /// [`TestkitError::Key`].
    pub fn rotate(&self) -> Result<(), TestkitError> {
        let old = self.shared.keys.swap(Arc::new(Keys::generate()?));
        self.shared.retired.store(Arc::new(old.public()));
        Ok(())
    }

    /// Publishes no old keys any more.
    pub fn retire(&self) {
        self.shared.retired.store(Arc::default());
    }

    /// Answers nothing but errors, or again what it should.
    pub fn go_away(&self, away: bool) {
        self.shared.away.store(away, Ordering::SeqCst);
    }

    /// How often it was asked for its keys.
    #[must_use]
    pub fn keys_asked(&self) -> usize {
        self.shared.keys_asked.load(Ordering::SeqCst)
    }

    /// How many logins of devices were begun.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.shared.devices.load(Ordering::SeqCst)
    }

    /// The header that it gives a token so signed.
    #[must_use]
    pub fn header(&self, algorithm: Algorithm) -> Value {
        json!({"alg": algorithm.name(), "kid": self.shared.keys.load().id(algorithm), "typ": "JWT"})
    }

    /// The claims that it gives a token of this subject.
    #[must_use]
    pub fn claims(&self, subject: &str) -> Value {
        self.shared.claims(subject)
    }

    /// A token with this header and these claims, whatever they are; text that is no JSON too.
    ///
    /// # Errors
    /// [`TestkitError::Key`].
    pub fn mint(&self, by: By, header: &str, claims: &str) -> Result<String, TestkitError> {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let (keys, message) = (self.shared.keys.load(), signed.as_bytes());
        let signature = match by {
            By::Its(algorithm) => keys.sign(algorithm, message)?,
            By::Another(algorithm) => self.shared.unpublished()?.sign(algorithm, message)?,
            By::PublicKey => keys::hmac(keys.public_pem().as_bytes(), message)?,
            By::NoKey => keys::hmac(b"", message)?,
            By::Nobody => Vec::new(),
        };
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The public half of the key that [`By::Another`] signs with, as it would be published.
    ///
    /// # Errors
    /// [`TestkitError::Key`].
    pub fn unpublished(&self, algorithm: Algorithm) -> Result<Value, TestkitError> {
        let keys = self.shared.unpublished()?;
        let id = keys.id(algorithm);
        let found = keys.public().into_iter().find(|key| key.get("kid").is_some_and(|kid| *kid == id));
        found.ok_or_else(|| TestkitError::Key("there is none of that kind".to_owned()))
    }
}

impl Shared {
    fn unpublished(&self) -> Result<&Keys, TestkitError> {
        if let Some(keys) = self.unpublished.get() {
            return Ok(keys);
        }
        let made = Keys::generate()?;
        Ok(self.unpublished.get_or_init(|| made))
    }

    /// Changes what is under way, as one step, without what ran out.
    fn change<T>(&self, change: impl Fn(&mut Pending) -> T) -> T {
        loop {
            let old = self.pending.load_full();
            let mut new = Pending::clone(&old);
            new.forget(now());
            let done = change(&mut new);
            if Arc::ptr_eq(&old, &self.pending.compare_and_swap(&old, Arc::new(new))) {
                return done;
            }
        }
    }

    fn claims(&self, subject: &str) -> Value {
        let at = now();
        json!({
            "iss": self.issuer, "sub": subject, "aud": self.settings.audience, "iat": at,
            "exp": at + self.settings.lifetime.as_secs(),
        })
    }

    fn claims_of(&self, account: &Account) -> Value {
        let mut claims = self.claims(&account.user);
        if let Some(members) = claims.as_object_mut() {
            members.insert("groups".to_owned(), account.groups.clone().into());
            members.insert("email".to_owned(), format!("{}@example.com", account.user).into());
            members.insert("email_verified".to_owned(), true.into());
        }
        claims
    }

    fn signed(&self, kind: &str, claims: &Value) -> Result<String, TestkitError> {
        let keys = self.keys.load();
        let header = json!({"alg": "ES256", "kid": keys.id(Algorithm::ES256), "typ": kind}).to_string();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = keys.sign(Algorithm::ES256, signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn answer(&self, asked: &Asked) -> Vec<Act> {
        if self.away.load(Ordering::SeqCst) {
            return document("503 Service Unavailable", &json!({}));
        }
        let (path, query) = asked.target().split_once('?').unwrap_or((asked.target(), ""));
        let posted = asked.line.starts_with("POST ");
        let form = if posted { Form::read(&String::from_utf8_lossy(&asked.body)) } else { Form::read(query) };
        let answered = match (posted, path) {
            (false, "/.well-known/openid-configuration") => Ok(self.discovery()),
            (false, "/keys") => {
                self.keys_asked.fetch_add(1, Ordering::SeqCst);
                let keys = [self.keys.load().public(), Vec::clone(&self.retired.load())].concat();
                Ok(document("200 OK", &json!({ "keys": keys })))
            }
            (_, "/authorize") => self.authorize(&form, posted),
            (_, "/device") => Ok(self.device(&form, posted)),
            (true, "/device_authorization") => self.device_authorization(asked, &form),
            (true, "/token") => self.token(asked, &form),
            _ => Ok(document("404 Not Found", &json!({}))),
        };
        answered.unwrap_or_else(|error| document("500 Internal Server Error", &json!({"error": error.to_string()})))
    }

    fn discovery(&self) -> Vec<Act> {
        let at = |path: &str| format!("{}/{path}", self.issuer);
        let ways: Vec<&str> =
            std::iter::once("none").chain(self.settings.secrets_by.iter().map(String::as_str)).collect();
        let document_of_it = json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("authorize"),
            "token_endpoint": at("token"),
            "device_authorization_endpoint": at("device_authorization"),
            "jwks_uri": at("keys"),
            "response_types_supported": ["code"],
            "grant_types_supported": [
                "authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code",
            ],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ways,
            "authorization_response_iss_parameter_supported": true,
        });
        document("200 OK", &document_of_it)
    }
}
