//! Mail to one mailbox: the message, and its way to the server that takes it (SMTP, RFC 5321).
//!
//! Promises: one message for each notice, in plain text, with the same Message-ID at every try, and an ending answers its
//! opening; no character of a client's makes a header or a line of its own. Nothing is said to a server before its
//! certificate was verified, where the way there is not a loopback address: one that offers no STARTTLS gets no mail and no
//! password. Bounded in time. What a server answers is told by its number only.
//! Does not promise that the mail is read, or that it arrives once: a server that takes it and breaks off before it says so
//! gets it again. The password is in a buffer of the library's while it is used.
//! Held by: the tests below, and `tests/it/notifications.rs` with a server.

use super::notice::{Notice, for_mail};
use super::send::Secret;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::response::Code;
use lettre::transport::smtp::{AsyncSmtpTransportBuilder, Error as SmtpError};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use portcullis_net::{ClientTls, Roots, VerifyMode};
use secrecy::ExposeSecret as _;
use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a message may take from the connection to the server's answer.
const WITHIN: Duration = Duration::from_secs(30);

type Smtp = AsyncSmtpTransport<Tokio1Executor>;

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
    server: AsyncSmtpTransportBuilder,
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

impl From<SmtpError> for NotSent {
    fn from(error: SmtpError) -> Self {
        match error.status() {
            Some(code) => Self::Answered(code),
            None if error.is_tls() || is_of_tls(&error) => Self::Tls,
            None if error.is_client() => Self::Offers,
            None => Self::Connection,
        }
    }
}

/// Whether TLS did not come about: the library says so as of a connection that failed, with what was read amiss.
fn is_of_tls(error: &SmtpError) -> bool {
    let sources = std::iter::successors(error.source(), |&source| source.source());
    let mut read = sources.filter_map(|source| source.downcast_ref::<io::Error>());
    read.any(|error| error.kind() == io::ErrorKind::InvalidData)
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
    #[error("{}: {error}", .file.display())]
    File { file: PathBuf, error: io::Error },
    #[error("TLS: {0}")]
    Tls(#[from] SmtpError),
}

impl Mail {
    /// By this server, between these mailboxes.
    ///
    /// # Errors
    /// An address is none, or the authorities cannot be read.
    pub(crate) fn new(server: Server<'_>, from: &str, to: &str) -> Result<Self, NoWay> {
        let Server { host, port, security, login } = server;
        let mailbox = |text: &str| text.parse().map_err(|_| NoWay::Mailbox(text.to_owned()));
        let tls = match security {
            Security::Tls(authorities) => Tls::Wrapper(parameters(host, authorities)?),
            Security::StartTls(authorities) => Tls::Required(parameters(host, authorities)?),
            Security::Loopback => Tls::None,
        };
        let server = Smtp::builder_dangerous(host).port(port).tls(tls).timeout(Some(WITHIN));
        Ok(Self { server, from: mailbox(from)?, to: mailbox(to)?, login })
    }

    /// Hands it to the server.
    pub(crate) async fn send(&self, notice: &Notice) -> Result<(), super::send::NotTold> {
        let message = self.message(notice)?;
        let mut server = self.server.clone();
        if let Some((username, secret)) = &self.login {
            let password = secret.read().await?;
            server = server.credentials(Credentials::new(username.to_string(), password.expose_secret().to_owned()));
        }
        let server: Smtp = server.build();
        match tokio::time::timeout(WITHIN, server.send(message)).await {
            Ok(Ok(_taken)) => Ok(()),
            Ok(Err(error)) => Err(NotSent::from(error).into()),
            Err(_) => Err(NotSent::Late.into()),
        }
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
fn parameters(host: &str, authorities: Option<&Path>) -> Result<TlsParameters, NoWay> {
    let mut parameters = TlsParameters::builder(host.to_owned());
    if let Some(file) = authorities {
        // Says what is wrong with a file that has no authority in it.
        ClientTls::new(VerifyMode::VerifyFull, &Roots::File(file.to_owned()), &[])?;
        let pem = std::fs::read(file).map_err(|error| NoWay::File { file: file.to_owned(), error })?;
        parameters =
            parameters.certificate_store(CertificateStore::None).add_root_certificate(Certificate::from_pem(&pem)?);
    }
    Ok(parameters.build()?)
}

#[cfg(test)]
mod tests;
