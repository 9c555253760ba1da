//! Where a provider's keys come from: its discovery document, then its key set, kept and fetched again.
//!
//! Promises: only `https` is asked (plain `http` at a loopback address), for an issuer that states itself exactly; keys are fetched
//! when this starts and every [`REFRESH`], by one task, one fetch at a time; a key that is not known makes at most one
//! fetch every [`SPACING`] whatever number of tokens name it, and a bounded number wait for it. What a fetch brings replaces
//! what was known, so a key that was taken back is gone; while the provider is away the old keys are good for
//! [`LONGEST_KEPT`], then none is. Every wait ends. Does not promise anything about redirects or certificates: the given
//! [`Fetch`] must follow none and check them.
//! Held by: the tests in `provider/tests.rs`.

use super::Flaw;
use super::json;
use super::keys::{Key, Keys};
use super::token::Token;
use crate::error::Why;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use openidconnect::url::{Host, Url};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// Keys are fetched again after this long.
const REFRESH: Duration = Duration::from_secs(10 * 60);
/// Between two fetches that tokens caused, and after one that failed.
const SPACING: Duration = Duration::from_secs(10);
/// Keys that cannot be fetched again are good for this long.
const LONGEST_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// A fetch takes no longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Tokens that may wait for a fetch: all clients that come again after a restart, before the first keys are there.
const WAITING: usize = 1024;
/// Bytes of a document.
const LONGEST: usize = 256 * 1024;

/// Why a document was not to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// It is longer than it may be.
    #[error("the answer is too long")]
    TooLong,
    /// The answer was another one than 200; a redirect too.
    #[error("the answer was {0}")]
    Status(u16),
    /// No answer.
    #[error("{0}")]
    Failed(String),
    /// The answer cannot be read, or says what it must not.
    #[error("{0}")]
    Wrong(&'static str),
}

/// Gets documents for this crate, which opens no connections.
pub trait Fetch: Send + Sync + 'static {
    /// The body of a `GET` of this URL that was answered with 200, of at most `limit` bytes. It must follow no redirect,
    /// take no proxy or credential from the environment, and check the certificate of `https`.
    fn get<'a>(&'a self, url: &'a str, limit: usize) -> BoxFuture<'a, Result<Bytes, FetchError>>;
}

/// What is known of a provider.
#[derive(Clone, Default)]
struct Known {
    keys: Arc<Keys>,
    as_of: Option<Instant>,
    /// How often somebody who asked has been answered.
    rounds: u64,
}

/// A provider's keys. Dropping it ends its task.
pub(crate) struct Provider {
    known: watch::Receiver<Known>,
    ask: mpsc::Sender<()>,
    waiting: Semaphore,
    _task: JoinSet<()>,
}

impl Provider {
    /// Starts to fetch the keys of this issuer. To be called inside a Tokio runtime.
    pub(crate) fn start(issuer: Arc<str>, fetch: Arc<dyn Fetch>) -> Self {
        let (known_to, known) = watch::channel(Known::default());
        let (ask, asked) = mpsc::channel(1);
        let mut task = JoinSet::new();
        task.spawn(Keeper { issuer, fetch, jwks_uri: None, known: known_to }.keep(asked));
        Self { known, ask, waiting: Semaphore::new(WAITING), _task: task }
    }

    /// The key that this token says it is signed with.
    pub(crate) async fn key(&self, token: &Token<'_>) -> Result<Arc<Key>, Why> {
        let round = match self.look(token) {
            (Ok(key), _) => return Ok(key),
            (Err(_), round) => round,
        };
        let Ok(_waiting) = self.waiting.try_acquire() else { return Err(Why::Unavailable) };
        // Full: somebody asked already, and the answer is for all.
        let (Ok(()) | Err(_)) = self.ask.try_send(());
        let mut known = self.known.clone();
        let answered = known.wait_for(|known| known.rounds > round);
        // A fetch that was under way, then ours.
        match timeout(2 * PATIENCE, answered).await {
            Ok(_) | Err(_) => self.look(token).0,
        }
    }

    fn look(&self, token: &Token<'_>) -> (Result<Arc<Key>, Why>, u64) {
        let known = self.known.borrow();
        let fresh = known.as_of.is_some_and(|as_of| as_of.elapsed() <= LONGEST_KEPT);
        let found = known.keys.find(token.algorithm, token.key_id.as_deref());
        let found = match (fresh, found) {
            (false, _) => Err(Why::Unavailable),
            (true, None) => Err(Why::Oidc(Flaw::UnknownKey)),
            (true, Some(key)) => Ok(Arc::clone(key)),
        };
        (found, known.rounds)
    }
}

/// The task that fetches.
struct Keeper {
    issuer: Arc<str>,
    fetch: Arc<dyn Fetch>,
    jwks_uri: Option<Url>,
    known: watch::Sender<Known>,
}

impl Keeper {
    async fn keep(mut self, mut asked: mpsc::Receiver<()>) {
        let mut due = Instant::now();
        let mut began: Option<Instant> = None;
        loop {
            let (wanted, whole) = tokio::select! {
                biased;
                () = sleep_until(due) => (true, true),
                asked = asked.recv() => {
                    let Some(()) = asked else { return };
                    (began.is_none_or(|began| began.elapsed() >= SPACING), self.jwks_uri.is_none())
                }
            };
            if wanted {
                let start = Instant::now();
                began = Some(start);
                let fetched = timeout(PATIENCE, self.fetch(whole)).await;
                let fetched = fetched.unwrap_or_else(|_| Err(FetchError::Failed("no answer in time".to_owned())));
                due = match &fetched {
                    Ok(()) if whole => start + REFRESH,
                    Ok(()) => due,
                    Err(error) => {
                        tracing::warn!(issuer = &*self.issuer, "the provider's keys cannot be fetched: {error}");
                        start + SPACING
                    }
                };
            }
            self.known.send_modify(|known| known.rounds = known.rounds.wrapping_add(1));
        }
    }

    async fn get(&self, url: &Url) -> Result<Bytes, FetchError> {
        let body = self.fetch.get(url.as_str(), LONGEST).await?;
        if body.len() > LONGEST { Err(FetchError::TooLong) } else { Ok(body) }
    }

    /// The keys; with the document that says where they are, where `whole`.
    async fn fetch(&mut self, whole: bool) -> Result<(), FetchError> {
        let said = if whole { self.discover().await } else { Ok(()) };
        match &said {
            // It says what it must not: nor is it asked for keys until it says otherwise.
            Err(FetchError::Wrong(_)) => self.jwks_uri = None,
            // Where the keys were before they still are, until it says otherwise.
            Ok(()) | Err(FetchError::TooLong | FetchError::Status(_) | FetchError::Failed(_)) => {}
        }
        let Some(jwks_uri) = self.jwks_uri.clone() else { return said };
        let began = Instant::now();
        let keys = Keys::read(&self.get(&jwks_uri).await?).ok_or(FetchError::Wrong("the key set is none"))?;
        self.known.send_modify(|known| {
            known.keys = Arc::new(keys);
            known.as_of = Some(began);
        });
        said
    }

    async fn discover(&mut self) -> Result<(), FetchError> {
        let issuer = issuer_url(&self.issuer).ok_or(FetchError::Wrong("the issuer is no URL to be asked"))?;
        let document = self.get(&document_of(&self.issuer, &issuer)?).await?;
        self.jwks_uri = Some(read_document(&document, &self.issuer, &issuer)?);
        Ok(())
    }
}

/// The URL of an issuer that may be asked: `https`, or on loopback, and nothing in it besides where.
pub(crate) fn issuer_url(issuer: &str) -> Option<Url> {
    let url = Url::parse(issuer).ok()?;
    (may_be_asked(&url) && url.query().is_none()).then_some(url)
}

fn may_be_asked(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // A name is whatever resolves it says it is, `localhost` too; no fetch takes one for loopback.
        Some(Host::Domain(_)) => false,
        None => return false,
    };
    let encrypted = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    encrypted && url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
}

fn document_of(issuer: &str, parsed: &Url) -> Result<Url, FetchError> {
    let text = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let url = Url::parse(&text).map_err(|_| FetchError::Wrong("the issuer is no URL to be asked"))?;
    if url.origin() == parsed.origin() { Ok(url) } else { Err(FetchError::Wrong("the issuer is no URL to be asked")) }
}

/// Where a provider's keys are, as its discovery document says.
fn read_document(bytes: &[u8], issuer: &str, parsed: &Url) -> Result<Url, FetchError> {
    let document = json::object(bytes).ok_or(FetchError::Wrong("the discovery document is none"))?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    if text("issuer") != Some(issuer) {
        return Err(FetchError::Wrong("the discovery document is another issuer's"));
    }
    // Plain http on loopback is for a provider that is there itself.
    let there = |text: &str| {
        let url = Url::parse(text).ok()?;
        (may_be_asked(&url) && (url.scheme() == "https" || url.origin() == parsed.origin())).then_some(url)
    };
    let jwks_uri = text("jwks_uri").and_then(there);
    jwks_uri.ok_or(FetchError::Wrong("the discovery document does not say where the keys are"))
}

#[cfg(test)]
mod tests;
