//! A vault server: HashiCorp Vault, or OpenBao, over its HTTP API.
//!
//! Promises: secrets of KV version 2 are read anew for every lease; a login of the database engine is made for one session
//! and given back when that ends (`leases.rs`); the gateway's own token is never printed, is renewed while it can be, and
//! is made anew by the AppRole login when the server says that it is none any more, and only then, because a secret id may
//! be good for a number of logins; the whole of a lease has ten seconds; what the server says in words is in no error.
//!
//! Does not promise to follow redirects of standby nodes, nor to wipe what the libraries under the exchange buffered.
//! Knows no sockets: the binary gives it an [`Exchange`]. Held by: `tests/server.rs` of this crate, and end to end by
//! `tests/it/vault_server.rs` of `portcullis`.

mod leases;

pub use leases::Keeper;

use crate::CredentialError;
use crate::kept::{Kept, Told};
use crate::source::{PlainSource, secret};
use arc_swap::ArcSwapOption;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use zeroize::Zeroizing;

/// How long all of one lease may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Messages to the keeper that wait at most.
const TOLD: usize = 4096;

/// How a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reading.
    Get,
    /// Writing.
    Put,
}

/// A request to the server.
#[derive(Debug)]
pub struct Request {
    /// How.
    pub verb: Verb,
    /// Of what: an absolute path, canonical.
    pub path: String,
    /// Further headers.
    pub headers: Vec<(&'static str, SecretString)>,
    /// JSON, or empty.
    pub body: Zeroizing<Vec<u8>>,
}

/// What the server answered. It has no printed form.
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

/// The server gave no answer: why, in the words of whoever asked it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// What [`Exchange::send`] gives.
pub type Exchanged<'a> = Pin<Box<dyn Future<Output = Result<Answered, NoAnswer>> + Send + 'a>>;

/// Asks the server for this crate, which opens no connections. It must follow no redirect, take no proxy or credential
/// from the environment, check the certificate of `https`, and bound the answer.
pub trait Exchange: Send + Sync + 'static {
    /// One request, and the whole of its answer.
    fn send(&self, request: Request) -> Exchanged<'_>;
}

/// What the gateway shows the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerLogin {
    /// A token that somebody else keeps alive.
    Token(PlainSource),
    /// A login of an AppRole.
    AppRole {
        /// Where the method is mounted.
        mount: Arc<str>,
        /// Which role.
        role_id: PlainSource,
        /// Its secret.
        secret_id: PlainSource,
    },
}

/// Why the server gave nothing. In the gateway's words: the server's own could hold anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerFault {
    /// No server is configured.
    #[error("there is no vault server")]
    None,
    /// It cannot be reached.
    #[error("no answer: {0}")]
    NoAnswer(#[from] NoAnswer),
    /// It took too long.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    /// It does not let the gateway.
    #[error("the server denies it to the gateway's token or login (403)")]
    Denied,
    /// It has no such thing.
    #[error("the server has nothing there (404)")]
    Absent,
    /// It cannot work now.
    #[error("the server is sealed or not ready ({0})")]
    NotReady(u16),
    /// It said something else.
    #[error("the server answered {0}")]
    Status(u16),
    /// It says something that cannot be read.
    #[error("{0}")]
    Wrong(&'static str),
}

/// The server, and the gateway's token for it. Share it.
pub struct Server {
    exchange: Arc<dyn Exchange>,
    login: ServerLogin,
    namespace: Option<Arc<str>>,
    token: ArcSwapOption<SecretString>,
    /// One login at a time.
    turn: Semaphore,
    tell: mpsc::Sender<Told>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("login", &self.login).finish_non_exhaustive()
    }
}

/// A login of a database that the server made.
pub(crate) struct Issued {
    pub(crate) username: Arc<str>,
    pub(crate) password: SecretString,
    pub(crate) kept: Kept,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
}

#[derive(Deserialize)]
struct Versioned<'b> {
    #[serde(borrow)]
    data: Option<BTreeMap<Cow<'b, str>, &'b RawValue>>,
}

#[derive(Deserialize)]
struct Made<'b> {
    lease_id: String,
    lease_duration: u64,
    renewable: bool,
    #[serde(borrow)]
    data: BTreeMap<Cow<'b, str>, &'b RawValue>,
}

#[derive(Deserialize)]
struct LoggedIn<'b> {
    #[serde(borrow)]
    auth: Auth<'b>,
}

#[derive(Deserialize)]
struct Auth<'b> {
    #[serde(borrow)]
    client_token: &'b RawValue,
    lease_duration: u64,
    renewable: bool,
}

#[derive(Deserialize)]
struct Renewed {
    lease_duration: u64,
}

impl Server {
    /// The server that this exchange leads to, and what keeps its leases: run that for as long as sessions live.
    #[must_use]
    pub fn new(exchange: Arc<dyn Exchange>, login: ServerLogin, namespace: Option<Arc<str>>) -> (Arc<Self>, Keeper) {
        let (tell, told) = mpsc::channel(TOLD);
        let server = Self { exchange, login, namespace, token: ArcSwapOption::empty(), turn: Semaphore::new(1), tell };
        let server = Arc::new(server);
        (Arc::clone(&server), Keeper::new(server, told))
    }

    /// This field of a secret, as it is on the server now.
    pub(crate) async fn read(&self, path: &Arc<str>, field: &str) -> Result<SecretString, CredentialError> {
        let answered = within(path, self.ask(Verb::Get, path, &[])).await?;
        let fault = |why| CredentialError::Server { path: Arc::clone(path), why: ServerFault::Wrong(why) };
        let read: Envelope<Versioned<'_>> =
            serde_json::from_slice(&answered.body).map_err(|_| fault("this is not a secret of KV version 2"))?;
        let fields = read.data.and_then(|read| read.data).ok_or_else(|| fault("the secret was deleted"))?;
        let value = fields.get(field).ok_or_else(|| fault("the secret has no such field"))?;
        let value = text(value).ok_or_else(|| fault("the field is not text"))?;
        secret(value).map_err(fault)
    }

    /// A login that the server makes in a database for one session.
    pub(crate) async fn issue(&self, path: &Arc<str>) -> Result<Issued, CredentialError> {
        let answered = within(path, self.ask(Verb::Get, path, &[])).await?;
        let fault = |why| CredentialError::Server { path: Arc::clone(path), why: ServerFault::Wrong(why) };
        let made: Made<'_> =
            serde_json::from_slice(&answered.body).map_err(|_| fault("this is not a login of a database engine"))?;
        // First of all, so that whatever is wrong with the rest, it is given back.
        let lasts = lasting(made.lease_duration);
        let kept = Kept::of_server(made.lease_id, Arc::clone(path), lasts, made.renewable, self.tell.clone());
        let part = |name: &str| made.data.get(name).and_then(|value| text(value)).map(secret);
        let (Some(Ok(username)), Some(Ok(password))) = (part("username"), part("password")) else {
            return Err(fault("the login has no username and password"));
        };
        Ok(Issued { username: username.expose_secret().into(), password, kept })
    }

    /// Extends a lease: for how long it is good from now.
    async fn renew(&self, id: &str, lasts: Duration) -> Result<Duration, ServerFault> {
        let body = object(&[("lease_id", id)], Some(lasts))?;
        let answered = self.ask(Verb::Put, "sys/leases/renew", &body).await?;
        let renewed: Renewed = serde_json::from_slice(&answered.body).map_err(|_| ServerFault::Wrong("no lease"))?;
        Ok(lasting(renewed.lease_duration))
    }

    /// The files that the gateway logs in to it with.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let sources = match &self.login {
            ServerLogin::Token(source) => [Some(source), None],
            ServerLogin::AppRole { role_id, secret_id, .. } => [Some(role_id), Some(secret_id)],
        };
        sources.into_iter().flatten().filter_map(PlainSource::file)
    }

    /// Ends a lease: the server takes the login away.
    pub(crate) async fn revoke(&self, id: &str) -> Result<(), ServerFault> {
        let body = object(&[("lease_id", id)], None)?;
        self.ask(Verb::Put, "sys/leases/revoke", &body).await.map(drop)
    }

    /// Extends the gateway's own token: for how long it is good from now.
    async fn renew_token(&self) -> Result<Duration, ServerFault> {
        let token = self.token.load_full().ok_or(ServerFault::Denied)?;
        let answered = good(self.send(Verb::Put, "auth/token/renew-self", Some(&token), b"{}").await?)?;
        let renewed: LoggedIn<'_> =
            serde_json::from_slice(&answered.body).map_err(|_| ServerFault::Wrong("no token"))?;
        Ok(lasting(renewed.auth.lease_duration))
    }

    /// One request with the gateway's token, which is made anew where it is none any more.
    async fn ask(&self, verb: Verb, path: &str, body: &[u8]) -> Result<Answered, ServerFault> {
        let token = self.token(None).await?;
        let answered = self.send(verb, path, Some(&token), body).await?;
        if answered.status != 403 || matches!(self.login, ServerLogin::Token(_)) {
            return good(answered);
        }
        // Denied to a good token is denied to the next one.
        let own = self.send(Verb::Get, "auth/token/lookup-self", Some(&token), &[]).await?;
        if own.status != 403 {
            return good(answered);
        }
        let token = self.token(Some(&token)).await?;
        good(self.send(verb, path, Some(&token), body).await?)
    }

    /// The gateway's token; another one than this.
    async fn token(&self, other_than: Option<&Arc<SecretString>>) -> Result<Arc<SecretString>, ServerFault> {
        let (mount, role_id, secret_id) = match &self.login {
            ServerLogin::Token(source) => return Ok(Arc::new(plain(source).await?)),
            ServerLogin::AppRole { mount, role_id, secret_id } => (mount, role_id, secret_id),
        };
        let known = || {
            let token = self.token.load_full()?;
            other_than.is_none_or(|other| !Arc::ptr_eq(other, &token)).then_some(token)
        };
        if let Some(token) = known() {
            return Ok(token);
        }
        let _turn = self.turn.acquire().await.map_err(|_| ServerFault::None)?;
        if let Some(token) = known() {
            return Ok(token);
        }
        let (role, its_secret) = (plain(role_id).await?, plain(secret_id).await?);
        let body = object(&[("role_id", role.expose_secret()), ("secret_id", its_secret.expose_secret())], None)?;
        let answered = good(self.send(Verb::Put, &format!("auth/{mount}/login"), None, &body).await?)?;
        let wrong = |()| ServerFault::Wrong("the login gave no token");
        let read: LoggedIn<'_> = serde_json::from_slice(&answered.body).map_err(|_| wrong(()))?;
        let token = text(read.auth.client_token).and_then(|token| secret(token).ok()).ok_or_else(|| wrong(()))?;
        let token = Arc::new(token);
        self.token.store(Some(Arc::clone(&token)));
        if read.auth.renewable {
            // Full: it is then made anew when it has run out.
            let (Ok(()) | Err(_)) = self.tell.try_send(Told::LoggedIn(lasting(read.auth.lease_duration)));
        }
        Ok(token)
    }

    async fn send(
        &self,
        verb: Verb,
        path: &str,
        token: Option<&SecretString>,
        body: &[u8],
    ) -> Result<Answered, ServerFault> {
        // Proof against being made to ask by a link: required where the server's listener says so.
        let mut headers = vec![("x-vault-request", SecretString::from("true"))];
        headers.extend(token.map(|token| ("x-vault-token", token.clone())));
        headers.extend(self.namespace.as_ref().map(|name| ("x-vault-namespace", SecretString::from(&**name))));
        let body = Zeroizing::new(body.to_vec());
        Ok(self.exchange.send(Request { verb, path: format!("/v1/{path}"), headers, body }).await?)
    }
}

/// A time that the server names: at most a year, so that no clock runs over.
fn lasting(seconds: u64) -> Duration {
    Duration::from_secs(seconds.min(365 * 24 * 60 * 60))
}

/// The answer, unless it says that there is none.
fn good(answered: Answered) -> Result<Answered, ServerFault> {
    match answered.status {
        200 | 204 => Ok(answered),
        403 => Err(ServerFault::Denied),
        404 => Err(ServerFault::Absent),
        not_ready @ (412 | 429 | 472 | 473 | 501 | 502 | 503) => Err(ServerFault::NotReady(not_ready)),
        other => Err(ServerFault::Status(other)),
    }
}

async fn within<T>(path: &Arc<str>, asked: impl Future<Output = Result<T, ServerFault>>) -> Result<T, CredentialError> {
    let answered = tokio::time::timeout(PATIENCE, asked).await.unwrap_or(Err(ServerFault::Late));
    answered.map_err(|why| CredentialError::Server { path: Arc::clone(path), why })
}

async fn plain(source: &PlainSource) -> Result<SecretString, ServerFault> {
    source.read().await.map_err(|error| ServerFault::NoAnswer(NoAnswer(error.to_string())))
}

/// A JSON text, wiped.
fn text(raw: &RawValue) -> Option<Zeroizing<Vec<u8>>> {
    let text: String = serde_json::from_str(raw.get()).ok()?;
    Some(Zeroizing::new(text.into_bytes()))
}

/// A JSON object of these texts, wiped.
fn object(texts: &[(&str, &str)], increment: Option<Duration>) -> Result<Zeroizing<Vec<u8>>, ServerFault> {
    let longest: usize = texts.iter().map(|(name, text)| 6 * (name.len() + text.len()) + 8).sum();
    // All of the room at once, six bytes for the longest escape, so that nothing is left where a growing buffer was.
    let mut body = Zeroizing::new(Vec::with_capacity(longest + 64));
    let failed = |_| ServerFault::Wrong("the request could not be written");
    body.push(b'{');
    for (at, (name, text)) in texts.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        serde_json::to_writer(&mut *body, name).map_err(failed)?;
        body.push(b':');
        serde_json::to_writer(&mut *body, text).map_err(failed)?;
    }
    if let Some(increment) = increment {
        body.extend_from_slice(format!(",\"increment\":{}", increment.as_secs()).as_bytes());
    }
    body.push(b'}');
    Ok(body)
}
