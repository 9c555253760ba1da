//! Mail to one mailbox: the message, and its way to the server that takes it ([`smtp`]).
//!
//! Promises: one message for each notice, in plain text, with the same Message-ID at every try, and an ending answers its
//! opening; no character of a client's makes a header or a line of its own. Nothing but EHLO is said to a server before its
//! certificate was verified, where the way there is not a loopback address: one that offers no STARTTLS gets no mail and no
//! password, and what it said before TLS is no answer inside it. Bounded in time and in what is read. What a server answers is
//! told by its number only.
//! Does not promise that the mail is read, or that it arrives once: a server that takes it and does not say so in time gets it
//! again, five times at most. The password is in buffers of the library's while it is used.
//! Held by: the tests below, and `tests/it/notifications.rs` with a server.

mod smtp;

use super::notice::{Notice, for_mail};
use super::send::{NotTold, Secret};
use lettre::Message;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::response::Code;
use portcullis_net::{ClientTls, Roots, VerifyMode};
use secrecy::ExposeSecret as _;
use smtp::{Cover, Route, Smtp};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a message may take from the connection to the server's answer.
const WITHIN: Duration = Duration::from_secs(30);

/// The server that takes mail.
pub(crate) struct Server<'c> {
    pub(crate) host: &'c str,
    pub(crate) port: u16,
    pub(crate) security: Security<'c>,
    /// The login there, and where its password is.
    pub(crate) login: Option<(Arc<str>, Secret)>,
}

/// How the way to it is kept.
#[derive(Clone, Copy)]
pub(crate) enum Security<'c> {
    /// TLS from the first byte (RFC 8314 §3), verified with these authorities or the system's.
    Tls(Option<&'c Path>),
    /// TLS by STARTTLS (RFC 3207), and nothing without it; the same.
    StartTls(Option<&'c Path>),
    /// In plaintext, to a loopback address.
    Loopback,
}

/// The way to one mailbox.
pub(crate) struct Mail {
    route: Route,
    from: Mailbox,
    to: Mailbox,
    login: Option<(Arc<str>, Secret)>,
}

/// Why mail did not leave; without a password, and without text of the server's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSent {
    #[error("the mail cannot be written: {0}")]
    Message(#[from] lettre::error::Error),
    #[error("the mail server answered {0}")]
    Answered(Code),
    #[error("the mail server is not who it should be, or speaks no TLS")]
    Tls,
    #[error("the mail server offers no TLS, or no way to log in")]
    Offers,
    #[error("the mail server was not reached, or broke off")]
    Connection,
    #[error("the mail server did not take it within {} s", WITHIN.as_secs())]
    Late,
}

impl From<io::Error> for NotSent {
    fn from(_: io::Error) -> Self {
        Self::Connection
    }
}

impl NotSent {
    /// Whether the same may be taken later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Answered(code) => code.is_positive() || u16::from(*code) / 100 == 4,
            Self::Tls | Self::Connection | Self::Late => true,
            Self::Message(_) | Self::Offers => false,
        }
    }
}

/// Why there is no way to a mailbox.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoWay {
    #[error("`{0}` is not the address of a mailbox")]
    Mailbox(String),
    #[error(transparent)]
    Authorities(#[from] portcullis_net::Error),
}

impl Mail {
    /// By this server, between these mailboxes.
    ///
    /// # Errors
    /// An address is none, or the authorities cannot be read.
    pub(crate) fn new(server: Server<'_>, from: &str, to: &str) -> Result<Self, NoWay> {
        let Server { host, port, security, login } = server;
        let mailbox = |text: &str| {
            // Others need servers that know RFC 6531.
            let mailbox = text.parse::<Mailbox>().ok().filter(|_| text.is_ascii());
            mailbox.ok_or_else(|| NoWay::Mailbox(text.to_owned()))
        };
        let cover = match security {
            Security::Tls(authorities) => Cover::First(verified(authorities)?),
            Security::StartTls(authorities) => Cover::Asked(verified(authorities)?),
            Security::Loopback => Cover::Nothing,
        };
        let route = Route { host: host.to_owned(), port, cover };
        Ok(Self { route, from: mailbox(from)?, to: mailbox(to)?, login })
    }

    /// Hands it to the server.
    pub(crate) async fn send(&self, notice: &Notice) -> Result<(), NotTold> {
        let message = self.message(notice)?.formatted();
        let login = match &self.login {
            Some((username, secret)) => {
                let password = secret.read().await?;
                Some(Credentials::new(username.to_string(), password.expose_secret().to_owned()))
            }
            None => None,
        };
        let handed = tokio::time::timeout(WITHIN, self.hand_over(login, &message)).await;
        let (smtp, taken) = handed.unwrap_or(Err(NotSent::Late))?;
        // What the server answered counts, whatever becomes of the goodbye.
        smtp.quit(taken.is_ok()).await;
        Ok(taken?)
    }

    /// What became of the message, and the connection to say goodbye on.
    async fn hand_over(
        &self,
        login: Option<Credentials>,
        message: &[u8],
    ) -> Result<(Smtp, Result<(), NotSent>), NotSent> {
        let mut smtp = Smtp::open(&self.route).await?;
        let taken = smtp.deliver(login, (&self.from.email, &self.to.email), message).await;
        Ok((smtp, taken))
    }

    fn message(&self, notice: &Notice) -> Result<Message, NotSent> {
        let id = |delivery: &str| format!("<{delivery}@{}>", self.from.email.domain());
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(self.to.clone())
            .subject(notice.subject())
            .message_id(Some(id(&notice.delivery)))
            // So that nobody's absence is told to it (RFC 3834 §5).
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN);
        if let Some(opening) = notice.opening() {
            message = message.in_reply_to(id(&opening)).references(id(&opening));
        }
        Ok(message.body(notice.text(for_mail))?)
    }
}

/// Verified as everything else is: by these authorities alone, or by the system's.
fn verified(authorities: Option<&Path>) -> Result<ClientTls, portcullis_net::Error> {
    let roots = authorities.map_or(Roots::Native, |file| Roots::File(file.to_owned()));
    ClientTls::new(VerifyMode::VerifyFull, &roots, &[])
}

#[cfg(test)]
mod tests;
