//! The ways to tell: a signed webhook, Slack's incoming webhook, mail, a command.
//!
//! Promises: a webhook gets the document with the time and an HMAC-SHA256 of both under the shared secret, so that a receiver
//! knows who says it and when, and the same delivery id at every try; Slack and a mailbox get text; a command gets the document on standard
//! input, no shell, an environment of its own and a bounded time, after which it and its children are killed. What may pass is
//! tried again, later each time; a refusal is not. A failure is logged once until something arrives again. No secret is in a
//! log: a Slack URL is one.
//! Held by: the tests below and `tests/it/notifications.rs`.

use super::mail::{Mail, NotSent};
use super::notice::{Notice, for_slack};
use crate::fetch::{Fetch, NoAnswer};
use crate::program::Program;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode};
use jiff::Timestamp;
use portcullis_credentials::{CredentialError, Credentials};
use portcullis_model::{Name, Principal};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::Sha256;
use std::collections::BTreeSet;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

/// How long a command may run.
const COMMAND: Duration = Duration::from_secs(15);

/// How long after a failure the next try is.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15), Duration::from_secs(60)];

/// How somebody is told.
pub(crate) enum Way {
    /// A POST of the document to this URL, signed with the secret.
    Webhook(Arc<str>, Fetch, Secret),
    /// A POST of a text to the URL that is the secret.
    Slack(Fetch, Secret),
    /// Mail to one mailbox.
    Mail(Box<Mail>),
    /// This program with these words.
    Command(Vec<Arc<str>>),
}

/// Where a notifier's secret is: it is read when something is told.
pub(crate) struct Secret {
    pub(crate) name: Name,
    pub(crate) credentials: Credentials,
    pub(crate) reader: Principal,
}

/// One entry of `notifications`.
pub(crate) struct Notifier {
    pub(crate) way: Way,
    /// As it is called in logs.
    pub(crate) name: Arc<str>,
    /// What it is told of; empty for all.
    pub(crate) connections: BTreeSet<Name>,
    /// The same for rules.
    pub(crate) rules: BTreeSet<Arc<str>>,
}

/// Why a notice did not arrive; without any secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTold {
    #[error("its secret cannot be read: {0}")]
    Secret(#[from] CredentialError),
    #[error("its secret is none")]
    NoSecret,
    #[error("its URL is none over TLS or of a loopback address")]
    Url,
    #[error("{0}")]
    Exchange(NoAnswer),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error(transparent)]
    Mail(#[from] NotSent),
    #[error("it cannot be run: {0}")]
    Command(#[from] std::io::Error),
    #[error("it ended with {0}")]
    Ended(ExitStatus),
    #[error("it did not end within {} s", COMMAND.as_secs())]
    Late,
}

impl From<NoAnswer> for NotTold {
    fn from(error: NoAnswer) -> Self {
        match error {
            // It shows the URL.
            NoAnswer::Url(_) => Self::Url,
            NoAnswer::NoAuthorities
            | NoAnswer::Connection(_)
            | NoAnswer::Exchange(_)
            | NoAnswer::Body
            | NoAnswer::Late => Self::Exchange(error),
        }
    }
}

impl NotTold {
    /// Whether the same may arrive later.
    fn may_pass(&self) -> bool {
        match self {
            Self::Status(status) => status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429),
            Self::Mail(error) => error.may_pass(),
            Self::Secret(_) | Self::Exchange(_) | Self::Command(_) | Self::Ended(_) => true,
            // A command that hung has had its time, and others wait behind it.
            Self::NoSecret | Self::Url | Self::Late => false,
        }
    }
}

impl Notifier {
    /// Whether it is told of this.
    pub(crate) fn is_for(&self, notice: &Notice) -> bool {
        (self.connections.is_empty() || self.connections.contains(&notice.connection))
            && (self.rules.is_empty() || !self.rules.is_disjoint(&notice.rules))
    }

    /// Tells what comes, one after the other.
    pub(crate) async fn run(&self, mut waiting: mpsc::Receiver<Arc<Notice>>) {
        let mut failing = false;
        while let Some(notice) = waiting.recv().await {
            match self.tell(&notice, &mut failing).await {
                Ok(()) if failing => {
                    failing = false;
                    tracing::info!(notifier = %self.name, "notifications arrive again");
                }
                Ok(()) => {}
                Err(error) => self.failed(&error, &mut failing),
            }
        }
    }

    fn failed(&self, error: &NotTold, failing: &mut bool) {
        if !std::mem::replace(failing, true) {
            tracing::warn!(notifier = %self.name, %error, "notifications do not arrive: people are not told");
        }
    }

    async fn tell(&self, notice: &Notice, failing: &mut bool) -> Result<(), NotTold> {
        for pause in PAUSES {
            match self.once(notice).await {
                Err(error) if error.may_pass() => self.failed(&error, failing),
                told => return told,
            }
            tokio::time::sleep(pause).await;
        }
        self.once(notice).await
    }

    async fn once(&self, notice: &Notice) -> Result<(), NotTold> {
        let document = || serde_json::to_vec(notice).map_err(std::io::Error::from);
        match &self.way {
            Way::Webhook(url, fetch, secret) => {
                let document = document()?;
                let at = Timestamp::now().as_second();
                let signed = signature(&secret.read().await?, at, &document)?;
                let request = Request::post(&**url)
                    .header("portcullis-delivery", &notice.delivery)
                    .header("portcullis-signature", format!("t={at},v1={signed}"));
                post(fetch, request, document).await
            }
            Way::Slack(fetch, secret) => {
                let url = secret.read().await?;
                let body = json!({ "text": notice.text(for_slack), "mrkdwn": false, "unfurl_links": false });
                post(fetch, Request::post(url.expose_secret().trim()), body.to_string().into_bytes()).await
            }
            Way::Mail(mail) => mail.send(notice).await,
            Way::Command(words) => run(words, &document()?, COMMAND).await,
        }
    }
}

impl Secret {
    pub(super) async fn read(&self) -> Result<SecretString, NotTold> {
        let lease = self.credentials.lease(&self.name, None, &self.reader).await?;
        lease.into_password()?.ok_or(NotTold::NoSecret)
    }
}

async fn post(fetch: &Fetch, request: hyper::http::request::Builder, body: Vec<u8>) -> Result<(), NotTold> {
    let request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body);
    let status = fetch.send(request.map_err(|_| NotTold::Url)?).await?.status();
    if status.is_success() { Ok(()) } else { Err(NotTold::Status(status)) }
}

/// HMAC-SHA256 over the time, a full stop and the document, in hexadecimal.
fn signature(secret: &SecretString, at: i64, document: &[u8]) -> Result<String, NotTold> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes());
    let mut mac = mac.map_err(|_| NotTold::NoSecret)?;
    mac.update(format!("{at}.").as_bytes());
    mac.update(document);
    Ok(mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn run(words: &[Arc<str>], document: &[u8], within: Duration) -> Result<(), NotTold> {
    let environment = [("PATH", "/usr/local/bin:/usr/bin:/bin".into())];
    let mut program = Program::start(words, environment, (Stdio::piped(), Stdio::null()))?;
    let mut input = program.child.stdin.take();
    let ended = async {
        if let Some(mut input) = input.take() {
            // A program that does not read is none the worse.
            let _written = input.write_all(document).await;
        }
        program.child.wait().await
    };
    let status = tokio::time::timeout(within, ended).await.map_err(|_| NotTold::Late)??;
    if status.success() { Ok(()) } else { Err(NotTold::Ended(status)) }
}

#[cfg(test)]
mod tests;
